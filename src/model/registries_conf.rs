//! registries.conf, version 2: which sources a node pulls an image from.
//!
//! Source: `pkg/sysregistriesv2` of containers/image (domain.md 4.5).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use toml::Value;

use super::go_text::quote;
use super::node_files::REGISTRIES_CONF;
use super::provenance::Provenance;
use super::reference::{ImageReference, ReferenceError, is_host};
use super::scopes::Lengths;

/// One registries.conf, or a drop-in of it, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistriesConf {
    /// `None` where the file does not set it (a drop-in then leaves it alone).
    pub unqualified_search_registries: Option<Vec<String>>,
    /// `short-name-mode`, where set.
    pub short_name_mode: Option<String>,
    /// `[[registry]]`, in the file's order.
    pub registries: Vec<Registry>,
    /// `[aliases]`: short name → name in full, or nothing to take an alias back.
    pub aliases: BTreeMap<Box<str>, Box<str>>,
}

/// One `[[registry]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// What references start with; empty where only `location` is written, which is then the prefix.
    pub prefix: String,
    /// What replaces the prefix; empty for a wildcard without one.
    pub location: String,
    /// Whether TLS may be missing or unverified there.
    pub insecure: bool,
    /// Whether this endpoint (not its mirrors) is refused.
    pub blocked: bool,
    /// The older way of saying `pull-from-mirror = "digest-only"` for all mirrors.
    pub mirror_by_digest_only: bool,
    /// `[[registry.mirror]]`, tried in order before the location itself.
    pub mirrors: Vec<Mirror>,
    /// Who asked for the entry, its block and its insecurity.
    pub from: Vec<Provenance>,
}

/// One `[[registry.mirror]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    /// What replaces the prefix of the entry.
    pub location: String,
    /// Whether TLS may be missing or unverified there.
    pub insecure: bool,
    /// Which references it serves.
    pub pull_from_mirror: PullFromMirror,
    /// Who asked for it.
    pub from: Vec<Provenance>,
}

/// Which references a mirror serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PullFromMirror {
    /// Nothing written: all of them, unless the entry says `mirror-by-digest-only`.
    #[default]
    Unset,
    /// `all`
    All,
    /// `digest-only`
    DigestOnly,
    /// `tag-only`
    TagOnly,
}

impl PullFromMirror {
    /// As the file spells it; empty where nothing is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "",
            Self::All => "all",
            Self::DigestOnly => "digest-only",
            Self::TagOnly => "tag-only",
        }
    }

    fn serves(self, digested: bool) -> bool {
        match self {
            Self::Unset | Self::All => true,
            Self::DigestOnly => digested,
            Self::TagOnly => !digested,
        }
    }
}

impl Registry {
    /// The prefix, or the location where no prefix is written.
    pub fn scope(&self) -> &str {
        if self.prefix.is_empty() { &self.location } else { &self.prefix }
    }

    /// Where a node pulls the reference from, in the order in which it tries: mirrors that serve it, then the location itself.
    ///
    /// # Errors
    /// The engine's words where one of them cannot be rewritten; the node then tries none.
    pub fn pull_sources<'r>(&'r self, reference: &'r ImageReference<'_>) -> Result<Vec<PullSource<'r>>, String> {
        let digested = reference.digest().is_some();
        let serves = |mirror: &&Mirror| {
            if self.mirror_by_digest_only { digested } else { mirror.pull_from_mirror.serves(digested) }
        };
        let mirrors =
            self.mirrors.iter().filter(serves).map(|mirror| (&*mirror.location, mirror.insecure, &*mirror.from));
        mirrors
            .chain([(&*self.location, self.insecure, &*self.from)])
            .map(|(location, insecure, from)| {
                let reference = rewrite(reference, self.scope(), location)?;
                Ok(PullSource { location, reference, insecure, from })
            })
            .collect()
    }
}

/// One place that a node asks for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullSource<'r> {
    /// As the entry or its mirror writes it; empty for a wildcard entry without one.
    pub location: &'r str,
    /// The image there.
    pub reference: ImageReference<'r>,
    /// Whether TLS may be missing or unverified there.
    pub insecure: bool,
    /// Who asked for it.
    pub from: &'r [Provenance],
}

fn rewrite<'r>(reference: &'r ImageReference<'_>, prefix: &str, location: &str) -> Result<ImageReference<'r>, String> {
    let text = reference.as_str();
    let Some(rest) = matched_length(text, prefix).and_then(|length| text.get(length..)) else {
        return Err(format!("invalid prefix '{prefix}' for reference '{text}'"));
    };
    if location.is_empty() {
        return Ok(reference.borrowed());
    }
    let failed = |error: ReferenceError| format!("rewriting reference: {error}");
    let rewritten = [location, rest].concat();
    ImageReference::parse_canonical(&rewritten).map(ImageReference::into_owned).map_err(failed)
}

/// How much of the reference the prefix of an entry covers, or nothing where it does not match.
fn matched_length(reference: &str, prefix: &str) -> Option<usize> {
    let length = if let Some(suffix) = prefix.strip_prefix('*').filter(|suffix| suffix.starts_with('.')) {
        // Only the first occurrence counts: `*.io` does not match `registry.iot.io`.
        let start = memchr::memmem::find(reference.as_bytes(), suffix.as_bytes())?;
        if memchr::memchr(b'/', reference.as_bytes().get(..start)?).is_some() {
            return None;
        }
        start + suffix.len()
    } else if reference.starts_with(prefix) {
        prefix.len()
    } else {
        return None;
    };
    matches!(reference.as_bytes().get(length), None | Some(b':' | b'/' | b'@')).then_some(length)
}

/// registries.conf with its drop-ins, as a node has it after loading: prefixes filled in, trailing slashes gone, sorted, distinct.
#[derive(Clone, Debug, Default)]
pub struct LoadedRegistries {
    entries: Vec<Registry>,
    /// Whole prefix → entry.
    plain: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    /// `x` of `*.x` → entry.
    wildcards: HashMap<Box<str>, u32, foldhash::fast::RandomState>,
    /// Which lengths occur among the keys, so that few pieces of a text are looked up.
    plain_lengths: Lengths,
    wildcard_lengths: Lengths,
    search: Vec<String>,
    short_name_mode: Option<String>,
    aliases: BTreeMap<Box<str>, Box<str>>,
}

impl LoadedRegistries {
    /// The main file, if there is one, and the drop-ins in the order of their paths.
    ///
    /// # Errors
    /// What the node says on loading them, with the file's path.
    pub fn load<'p>(
        main: Option<RegistriesConf>,
        drop_ins: impl IntoIterator<Item = (&'p str, RegistriesConf)>,
    ) -> Result<Self, String> {
        let mut merged = loaded(main.unwrap_or_default())
            .map_err(|e| format!("loading registries configuration {}: {e}", quote(REGISTRIES_CONF)))?;
        for (path, drop_in) in drop_ins {
            let drop_in = loaded(drop_in)
                .map_err(|e| format!("loading drop-in registries configuration {}: {e}", quote(path)))?;
            merge(&mut merged, drop_in);
        }
        Ok(Self::index(merged))
    }

    /// One file by itself.
    ///
    /// # Errors
    /// What the node says on loading it, without a path.
    pub fn load_one(file: RegistriesConf) -> Result<Self, String> {
        loaded(file).map(Self::index)
    }

    fn index(file: RegistriesConf) -> Self {
        let mut loaded = Self {
            search: file.unqualified_search_registries.unwrap_or_default(),
            short_name_mode: file.short_name_mode,
            aliases: file.aliases,
            entries: file.registries,
            ..Self::default()
        };
        for (index, entry) in loaded.entries.iter().enumerate() {
            let index = index as u32;
            match entry.prefix.strip_prefix("*.") {
                Some(suffix) => {
                    loaded.wildcard_lengths.add(suffix.len());
                    loaded.wildcards.insert(suffix.into(), index);
                }
                None => {
                    loaded.plain_lengths.add(entry.prefix.len());
                    loaded.plain.insert(entry.prefix.as_str().into(), index);
                }
            }
        }
        loaded
    }

    /// The entry with the longest prefix of a registry, namespace, repository or reference that starts with its host.
    pub fn find(&self, reference: &str) -> Option<&Registry> {
        let plain = self.find_plain(reference);
        let wildcard = if self.wildcards.is_empty() { None } else { self.find_wildcard(reference) };
        match (plain, wildcard) {
            (Some(plain), Some(wildcard)) => {
                let by_length = plain.prefix.len().cmp(&wildcard.prefix.len());
                // The engine keeps the first of equal length, and its list is sorted.
                let wins = by_length.then_with(|| wildcard.prefix.cmp(&plain.prefix));
                Some(if wins.is_gt() { plain } else { wildcard })
            }
            (plain, wildcard) => plain.or(wildcard),
        }
    }

    fn find_plain(&self, reference: &str) -> Option<&Registry> {
        let mut end = reference.len();
        while end > 0 {
            let piece = reference.get(..end)?;
            if self.plain_lengths.has(end)
                && let Some(&index) = self.plain.get(piece)
            {
                return self.entries.get(index as usize);
            }
            end = piece.rfind([':', '/', '@']).unwrap_or(0);
        }
        None
    }

    fn find_wildcard(&self, reference: &str) -> Option<&Registry> {
        let bytes = reference.as_bytes();
        let host_end = memchr::memchr(b'/', bytes).unwrap_or(bytes.len());
        let mut piece_end = 0;
        for dot in memchr::memchr_iter(b'.', bytes.get(..host_end)?) {
            let start = dot + 1;
            if piece_end < start {
                piece_end =
                    start + memchr::memchr3(b':', b'/', b'@', bytes.get(start..)?).unwrap_or(bytes.len() - start);
            }
            if !self.wildcard_lengths.has(piece_end - start) {
                continue;
            }
            if let Some(&index) = self.wildcards.get(reference.get(start..piece_end)?) {
                let entry = self.entries.get(index as usize)?;
                if matched_length(reference, &entry.prefix).is_some() {
                    return Some(entry);
                }
            }
        }
        None
    }

    /// All entries, bytewise by prefix.
    pub fn entries(&self) -> &[Registry] {
        &self.entries
    }

    /// `unqualified-search-registries`: where short names are searched.
    pub fn search(&self) -> &[String] {
        &self.search
    }

    /// What an alias of a short name (without tag and digest) stands for.
    pub fn alias(&self, short_name: &str) -> Option<&str> {
        self.aliases.get(short_name).map(|name| &**name).filter(|name| !name.is_empty())
    }

    /// `short-name-mode`, where any file sets it.
    pub fn short_name_mode(&self) -> Option<&str> {
        self.short_name_mode.as_deref()
    }
}

/// Registries by prefix, later ones replacing earlier ones; the search list replaced where the drop-in has one.
fn merge(into: &mut RegistriesConf, drop_in: RegistriesConf) {
    // Stable, so that of equal prefixes the drop-in's comes last and is the one that is kept.
    into.registries.extend(drop_in.registries);
    into.registries.sort_by(|a, b| a.prefix.cmp(&b.prefix));
    into.registries.reverse();
    into.registries.dedup_by(|b, a| a.prefix == b.prefix);
    into.registries.reverse();
    if drop_in.unqualified_search_registries.is_some() {
        into.unqualified_search_registries = drop_in.unqualified_search_registries;
    }
    if drop_in.short_name_mode.as_deref().is_some_and(|mode| !mode.is_empty()) {
        into.short_name_mode = drop_in.short_name_mode;
    }
    into.aliases.extend(drop_in.aliases);
}

/// One file after the engine's checks, in its order, and its normalisation.
fn loaded(mut file: RegistriesConf) -> Result<RegistriesConf, String> {
    for registry in &mut file.registries {
        let own = Written {
            prefix: &registry.prefix,
            location: &registry.location,
            pull_from_mirror: "",
            by_digest_only: registry.mirror_by_digest_only,
        };
        own.check(registry.mirrors.iter().map(|mirror| (&*mirror.location, mirror.pull_from_mirror.as_str())))?;
        trim(&mut registry.location);
        if registry.prefix.is_empty() {
            registry.prefix.clone_from(&registry.location);
        } else {
            trim(&mut registry.prefix);
        }
        registry.mirrors.iter_mut().for_each(|mirror| trim(&mut mirror.location));
    }
    check_conflicts(&file.registries)?;
    for registry in file.unqualified_search_registries.iter_mut().flatten() {
        check_scheme(registry)?;
        trim(registry);
        if !is_host(registry) {
            return Err(format!("Invalid unqualified-search-registries entry {}", quote(registry)));
        }
    }
    file.registries.sort_by(|a, b| a.prefix.cmp(&b.prefix));
    file.registries.dedup_by(|b, a| a.prefix == b.prefix);
    match file.short_name_mode.as_deref() {
        None | Some("" | "disabled" | "enforcing" | "permissive") => {}
        Some(mode) => return Err(format!("invalid short-name mode: {}", quote(mode))),
    }
    for Registry { prefix, .. } in &file.registries {
        if prefix.starts_with("*.") && prefix.contains(['/', '@', ':']) {
            return Err(format!(
                "Wildcarded prefix should be in the format: *.example.com. Current prefix {} is incorrectly formatted",
                quote(prefix)
            ));
        }
    }
    check_aliases(&file.aliases)?;
    Ok(file)
}

/// What an entry says before anything is trimmed or typed.
struct Written<'a> {
    prefix: &'a str,
    location: &'a str,
    pull_from_mirror: &'a str,
    by_digest_only: bool,
}

impl Written<'_> {
    /// `mirrors`: location and `pull-from-mirror` of each.
    fn check<'m>(&self, mirrors: impl Iterator<Item = (&'m str, &'m str)>) -> Result<(), String> {
        check_scheme(self.location)?;
        let location = trimmed(self.location);
        let prefix = if self.prefix.is_empty() {
            if location.is_empty() {
                return Err("invalid condition: both location and prefix are unset".into());
            }
            location
        } else {
            check_scheme(self.prefix)?;
            trimmed(self.prefix)
        };
        if location.is_empty() && !prefix.starts_with("*.") {
            return Err("invalid condition: location is unset and prefix is not in the format: *.example.com".into());
        }
        if !self.pull_from_mirror.is_empty() {
            return Err(format!("pull-from-mirror must not be set for a non-mirror registry {}", quote(prefix)));
        }
        for (location, mode) in mirrors {
            check_scheme(location)?;
            let location = trimmed(location);
            if location.is_empty() {
                return Err("invalid condition: mirror location is unset".into());
            }
            if self.by_digest_only && !mode.is_empty() {
                return Err(format!(
                    "cannot set mirror usage mirror-by-digest-only for the registry ({}) and pull-from-mirror for per-mirror ({}) at the same time",
                    quote(prefix),
                    quote(location)
                ));
            }
            if pull_from_mirror(mode).is_none() {
                return Err(format!(
                    "unsupported pull-from-mirror value {} for mirror {}",
                    quote(mode),
                    quote(location)
                ));
            }
        }
        Ok(())
    }
}

fn pull_from_mirror(text: &str) -> Option<PullFromMirror> {
    [PullFromMirror::Unset, PullFromMirror::All, PullFromMirror::DigestOnly, PullFromMirror::TagOnly]
        .into_iter()
        .find(|mode| mode.as_str() == text)
}

fn check_scheme(location: &str) -> Result<(), String> {
    let without_slashes = trimmed(location);
    if without_slashes.starts_with("http://") || without_slashes.starts_with("https://") {
        return Err(format!("invalid location '{location}': URI schemes are not supported"));
    }
    Ok(())
}

fn trimmed(location: &str) -> &str {
    location.trim_end_matches('/')
}

fn trim(location: &mut String) {
    location.truncate(trimmed(location).len());
}

/// Entries of one location must agree on `insecure` and `blocked`.
fn check_conflicts(registries: &[Registry]) -> Result<(), String> {
    fn key(registry: &Registry) -> &str {
        if registry.location.is_empty() { &registry.prefix } else { &registry.location }
    }
    let mut first: HashMap<&str, &Registry, foldhash::fast::RandomState> = HashMap::default();
    let mut disputed: HashMap<&str, Vec<&Registry>, foldhash::fast::RandomState> = HashMap::default();
    for registry in registries {
        let first = *first.entry(key(registry)).or_insert(registry);
        if first.insecure != registry.insecure || first.blocked != registry.blocked {
            disputed.insert(key(registry), Vec::new());
        }
    }
    if disputed.is_empty() {
        return Ok(());
    }
    for registry in registries {
        if let Some(all) = disputed.get_mut(key(registry)) {
            all.push(registry);
        }
    }
    for registry in registries {
        for other in disputed.get(key(registry)).into_iter().flatten() {
            let setting = if registry.insecure != other.insecure {
                "insecure"
            } else if registry.blocked != other.blocked {
                "blocked"
            } else {
                continue;
            };
            return Err(format!(
                "registry '{}' is defined multiple times with conflicting '{setting}' setting",
                registry.location
            ));
        }
    }
    Ok(())
}

fn check_aliases(aliases: &BTreeMap<Box<str>, Box<str>>) -> Result<(), String> {
    let mut errors = Vec::new();
    for (name, value) in aliases {
        errors.extend(check_short_name(name).err());
        if !value.is_empty() {
            errors.extend(check_alias_value(value).err());
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(format!("validating short-name aliases: {}", errors.join("\n"))) }
}

fn check_short_name(name: &str) -> Result<(), String> {
    let short = quote(name);
    let reference =
        ImageReference::parse_literally(name).map_err(|e| format!("cannot parse short name: {short}: {e}"))?;
    if reference.digest().is_some() {
        Err(format!("invalid short name {short}: must not contain digest"))
    } else if reference.tag().is_some() {
        Err(format!("invalid short name {short}: must not contain tag"))
    } else if is_registry(reference.host()) {
        Err(format!("invalid short name {short}: must not contain registry"))
    } else {
        Ok(())
    }
}

fn check_alias_value(value: &str) -> Result<(), String> {
    let alias = quote(value);
    let reference = ImageReference::parse_literally(value).map_err(|e| format!("parsing alias {alias}: {e}"))?;
    if reference.digest().is_some() {
        Err(format!("invalid alias {alias}: must not contain digest"))
    } else if reference.tag().is_some() {
        Err(format!("invalid alias {alias}: must not contain tag"))
    } else if !is_registry(reference.host()) {
        Err(format!("invalid alias {alias}: must contain registry and repository"))
    } else {
        ImageReference::parse_expanded(value).map(drop).map_err(|e| e.to_string())
    }
}

fn is_registry(host: &str) -> bool {
    host.contains(['.', ':']) || host == "localhost"
}

impl RegistriesConf {
    /// From the bytes of a file, as it is written. `from` says who wrote it. A file in the format of version 1 is converted; in a
    /// drop-in it is refused.
    ///
    /// # Errors
    /// What the node says of it; TOML's own errors are in our words.
    pub fn read(text: &[u8], is_drop_in: bool, from: &Provenance) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|e| format!("toml: {e}"))?;
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| toml_error(text, &e))?;
        let file = Self::from_table(&table, from)?;
        let old = OldFormat::from_table(&table)?;
        if old.is_set {
            if is_drop_in {
                return Err("registry must be in v2 format but is in v1".into());
            }
            if has_new_keys(&table) {
                return Err("mixing sysregistry v1/v2 is not supported".into());
            }
            let file = old.converted(from)?;
            loaded(file.clone())?;
            return Ok(file);
        }
        // What the typed form has no place for is refused here, in the engine's order.
        for entry in tables(&table, "registry")? {
            Written {
                prefix: written(entry, "prefix"),
                location: written(entry, "location"),
                pull_from_mirror: written(entry, "pull-from-mirror"),
                by_digest_only: boolean(entry, "mirror-by-digest-only")?,
            }
            .check(tables(entry, "mirror")?.map(|m| (written(m, "location"), written(m, "pull-from-mirror"))))?;
        }
        loaded(file.clone())?;
        Ok(file)
    }

    fn from_table(table: &toml::Table, from: &Provenance) -> Result<Self, String> {
        strings(table, "credential-helpers")?;
        string(table, "additional-layer-store-auth-helper")?;
        let mut file = Self {
            unqualified_search_registries: strings(table, "unqualified-search-registries")?,
            short_name_mode: field(table, "short-name-mode").map(|_| string(table, "short-name-mode")).transpose()?,
            ..Self::default()
        };
        for entry in tables(table, "registry")? {
            let registry = Registry {
                prefix: string(entry, "prefix")?,
                location: string(entry, "location")?,
                insecure: boolean(entry, "insecure")?,
                blocked: boolean(entry, "blocked")?,
                mirror_by_digest_only: boolean(entry, "mirror-by-digest-only")?,
                mirrors: tables(entry, "mirror")?
                    .map(|mirror| {
                        Ok(Mirror {
                            location: string(mirror, "location")?,
                            insecure: boolean(mirror, "insecure")?,
                            // What is none of these is refused once every type is known to be right.
                            pull_from_mirror: pull_from_mirror(&string(mirror, "pull-from-mirror")?)
                                .unwrap_or_default(),
                            from: vec![from.clone()],
                        })
                    })
                    .collect::<Result<_, String>>()?,
                from: vec![from.clone()],
            };
            string(entry, "pull-from-mirror")?;
            file.registries.push(registry);
        }
        // Go's decoder passes over anything that is not a table where it wants a map.
        for (name, value) in field(table, "aliases").and_then(Value::as_table).into_iter().flatten() {
            let value = value.as_str().ok_or_else(|| wrong_type("aliases", value, "string"))?;
            file.aliases.insert(name.as_str().into(), value.into());
        }
        Ok(file)
    }
}

/// `[registries.search]`, `[registries.insecure]` and `[registries.block]`.
#[derive(Default)]
struct OldFormat {
    is_set: bool,
    search: Option<Vec<String>>,
    insecure: Vec<String>,
    block: Vec<String>,
}

impl OldFormat {
    fn from_table(table: &toml::Table) -> Result<Self, String> {
        let Some(registries) = subtable(table, "registries")? else { return Ok(Self::default()) };
        let list = |key| match subtable(registries, key)? {
            Some(section) => strings(section, "registries"),
            None => Ok(None),
        };
        let (search, insecure, block) = (list("search")?, list("insecure")?, list("block")?);
        Ok(Self {
            is_set: search.is_some() || insecure.is_some() || block.is_some(),
            search,
            insecure: insecure.unwrap_or_default(),
            block: block.unwrap_or_default(),
        })
    }

    fn converted(self, from: &Provenance) -> Result<RegistriesConf, String> {
        let mut registries: Vec<Registry> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let blocked = self.block.iter().map(|location| (location, true));
        for (location, is_block) in blocked.chain(self.insecure.iter().map(|location| (location, false))) {
            check_scheme(location)?;
            let location = trimmed(location).to_string();
            let index = *known.entry(location.clone()).or_insert(registries.len());
            if index == registries.len() {
                registries.push(Registry { location, from: vec![from.clone()], ..Registry::default() });
            }
            if let Some(registry) = registries.get_mut(index) {
                registry.blocked |= is_block;
                registry.insecure |= !is_block;
            }
        }
        Ok(RegistriesConf { unqualified_search_registries: self.search, registries, ..RegistriesConf::default() })
    }
}

fn has_new_keys(table: &toml::Table) -> bool {
    let lists = ["registry", "unqualified-search-registries", "credential-helpers", "aliases"];
    let texts = ["short-name-mode", "additional-layer-store-auth-helper"];
    lists.into_iter().any(|key| field(table, key).is_some())
        || texts.into_iter().any(|key| !written(table, key).is_empty())
}

/// By name, or by name without regard to case, as Go's decoder finds the fields of its structures.
fn field<'t>(table: &'t toml::Table, name: &str) -> Option<&'t Value> {
    table.get(name).or_else(|| table.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn written<'t>(table: &'t toml::Table, name: &str) -> &'t str {
    field(table, name).and_then(Value::as_str).unwrap_or_default()
}

fn string(table: &toml::Table, name: &str) -> Result<String, String> {
    match field(table, name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(wrong_type(name, other, "string")),
    }
}

fn boolean(table: &toml::Table, name: &str) -> Result<bool, String> {
    match field(table, name) {
        None => Ok(false),
        Some(Value::Boolean(value)) => Ok(*value),
        Some(other) => Err(wrong_type(name, other, "boolean")),
    }
}

fn strings(table: &toml::Table, name: &str) -> Result<Option<Vec<String>>, String> {
    let list = match field(table, name) {
        None => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(wrong_type(name, other, "slice")),
    };
    let text = |value: &Value| value.as_str().map(Into::into).ok_or_else(|| wrong_type(name, value, "string"));
    list.iter().map(text).collect::<Result<_, _>>().map(Some)
}

fn tables<'t>(table: &'t toml::Table, name: &str) -> Result<impl Iterator<Item = &'t toml::Table>, String> {
    let list = match field(table, name) {
        None => &[],
        Some(Value::Array(list)) => list.as_slice(),
        Some(other) => return Err(wrong_type(name, other, "slice")),
    };
    if let Some(other) = list.iter().find(|value| !value.is_table()) {
        return Err(wrong_type(name, other, "table"));
    }
    Ok(list.iter().filter_map(Value::as_table))
}

fn subtable<'t>(table: &'t toml::Table, name: &str) -> Result<Option<&'t toml::Table>, String> {
    match field(table, name) {
        None => Ok(None),
        Some(Value::Table(section)) => Ok(Some(section)),
        Some(other) => Err(wrong_type(name, other, "table")),
    }
}

fn wrong_type(name: &str, value: &Value, wanted: &str) -> String {
    let found = value.type_str();
    format!("toml: {name}: incompatible types: TOML value has type {found}; destination has type {wanted}")
}

fn toml_error(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().and_then(|span| text.get(..span.start));
    let line = at.map_or(1, |before| before.bytes().filter(|&b| b == b'\n').count() + 1);
    let message: Cow<'_, str> = error.message().replace('\n', ", ").into();
    format!("toml: line {line}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Provenance = Provenance::Default("test");

    fn read(text: &str) -> Result<LoadedRegistries, String> {
        LoadedRegistries::load_one(RegistriesConf::read(text.as_bytes(), false, &FROM)?)
    }

    fn entries(prefixes: &[&str]) -> LoadedRegistries {
        let text: String =
            prefixes.iter().map(|p| format!("[[registry]]\nprefix = \"{p}\"\nlocation = \"l.io\"\n")).collect();
        read(&text).unwrap()
    }

    #[test]
    fn the_longest_prefix_is_found() {
        let loaded = entries(&["quay.io", "quay.io/team", "*.io", "b.a.io", "*.a.io", "x.io:5000", "*.x.io", "y/"]);
        for (reference, expected) in [
            ("quay.io/team/app:v1", Some("quay.io/team")),
            ("quay.io/team2", Some("quay.io")),
            ("quay.io:443/x", Some("quay.io")),
            ("quay.io.x/team", None),
            ("b.a.io/x", Some("*.a.io")),
            ("c.b.a.io/x", Some("*.a.io")),
            ("x.io:5000/y", Some("x.io:5000")),
            ("x.io:5001/y", Some("*.io")),
            ("registry.iot.io/x", None),
            ("example.com/a.io", None),
            ("y/z", Some("y")),
            ("", None),
        ] {
            assert_eq!(loaded.find(reference).map(|entry| &*entry.prefix), expected, "{reference}");
        }
    }

    #[test]
    fn sources_are_mirrors_that_serve_the_reference_and_then_the_location() {
        let loaded = read(
            r#"
            [[registry]]
            location = "quay.io/team"
            blocked = true
            [[registry.mirror]]
            location = "m.io:5000/d"
            insecure = true
            pull-from-mirror = "digest-only"
            [[registry.mirror]]
            location = "m.io/t"
            pull-from-mirror = "tag-only"
            [[registry]]
            prefix = "*.ex.com"
            [[registry]]
            location = "bare.io/x"
            [[registry.mirror]]
            location = "mirror.lab"
            "#,
        )
        .unwrap();
        let sources = |image: &str| -> Result<Vec<String>, String> {
            let reference = ImageReference::parse(image).unwrap();
            let entry = loaded.find(reference.name()).unwrap();
            Ok(entry.pull_sources(&reference)?.iter().map(|s| format!("{} {}", s.reference, s.insecure)).collect())
        };
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(sources("quay.io/team/a:1").unwrap(), ["m.io/t/a:1 false", "quay.io/team/a:1 false"]);
        assert_eq!(
            sources(&format!("quay.io/team/a@{digest}")).unwrap(),
            [format!("m.io:5000/d/a@{digest} true"), format!("quay.io/team/a@{digest} false")]
        );
        assert_eq!(sources("a.ex.com/b").unwrap(), ["a.ex.com/b:latest false"]);
        assert_eq!(sources("bare.io/x:1").unwrap_err(), "rewriting reference: repository name must be canonical");
    }

    #[test]
    fn files_are_refused_in_the_engines_words() {
        for (text, refusal) in [
            ("[[registry]]\n", "invalid condition: both location and prefix are unset"),
            ("[[registry]]\nlocation = \"/\"\n", "invalid condition: both location and prefix are unset"),
            (
                "[[registry]]\nprefix = \"a.io\"\n",
                "invalid condition: location is unset and prefix is not in the format: *.example.com",
            ),
            (
                "[[registry]]\nlocation = \"https://a.io/\"\n",
                "invalid location 'https://a.io/': URI schemes are not supported",
            ),
            (
                "[[registry]]\nlocation = \"a.io\"\npull-from-mirror = \"all\"\n",
                "pull-from-mirror must not be set for a non-mirror registry \"a.io\"",
            ),
            (
                "[[registry]]\nlocation = \"a.io\"\n[[registry.mirror]]\nlocation = \"//\"\n",
                "invalid condition: mirror location is unset",
            ),
            (
                "[[registry]]\nlocation = \"a.io\"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = \"b.io\"\npull-from-mirror = \"all\"\n",
                "cannot set mirror usage mirror-by-digest-only for the registry (\"a.io\") and pull-from-mirror for per-mirror (\"b.io\") at the same time",
            ),
            (
                "[[registry]]\nlocation = \"a.io\"\n[[registry.mirror]]\nlocation = \"b.io\"\npull-from-mirror = \"x\"\n",
                "unsupported pull-from-mirror value \"x\" for mirror \"b.io\"",
            ),
            (
                "[[registry]]\nlocation = \"a.io\"\n[[registry]]\nprefix = \"b.io\"\nlocation = \"a.io\"\nblocked = true\n",
                "registry 'a.io' is defined multiple times with conflicting 'blocked' setting",
            ),
            (
                "[[registry]]\nprefix = \"*.a.io:5000\"\n",
                "Wildcarded prefix should be in the format: *.example.com. Current prefix \"*.a.io:5000\" is incorrectly formatted",
            ),
            ("unqualified-search-registries = [\"a b\"]", "Invalid unqualified-search-registries entry \"a b\""),
            ("short-name-mode = \"x\"", "invalid short-name mode: \"x\""),
            (
                "[aliases]\n\"a.io/b\" = \"c\"",
                "validating short-name aliases: invalid short name \"a.io/b\": must not contain registry\ninvalid alias \"c\": must contain registry and repository",
            ),
            (
                "[registries.search]\nregistries = []\n[[registry]]\nlocation = \"a.io\"",
                "mixing sysregistry v1/v2 is not supported",
            ),
        ] {
            assert_eq!(read(text).err().as_deref(), Some(refusal), "{text}");
        }
        for text in ["x", "registry = 5", "[[registry]]\nlocation = 5", "[registry]\nlocation = \"a\"", "\u{0}"] {
            assert!(read(text).is_err_and(|text| text.starts_with("toml: ")), "{text}");
        }
    }

    #[test]
    fn the_first_format_is_converted() {
        let loaded = read(
            "[registries.search]\nregistries = ['s.io']\n[registries.insecure]\nregistries = ['a.io/', 'b.io']\n[registries.block]\nregistries = ['a.io']\n",
        )
        .unwrap();
        assert_eq!(loaded.search(), ["s.io"]);
        let flags: Vec<_> = loaded.entries().iter().map(|e| (&*e.prefix, e.insecure, e.blocked)).collect();
        assert_eq!(flags, [("a.io", true, true), ("b.io", true, false)]);
        let drop_in = RegistriesConf::read(b"[registries.search]\nregistries = []", true, &FROM);
        assert_eq!(drop_in.unwrap_err(), "registry must be in v2 format but is in v1");
    }

    #[test]
    fn drop_ins_replace_by_prefix() {
        let file = |text: &str| RegistriesConf::read(text.as_bytes(), true, &FROM).unwrap();
        let main = file(
            "unqualified-search-registries = ['a.io']\n[[registry]]\nlocation = 'x.io'\ninsecure = true\n[[registry]]\nlocation = 'y.io'",
        );
        let first = file("short-name-mode = 'enforcing'\n[[registry]]\nprefix = 'x.io'\nlocation = 'z.io'");
        let second = file("unqualified-search-registries = []\n[[registry]]\nprefix = 'x.io'\nlocation = 'w.io'");
        let loaded = LoadedRegistries::load(Some(main), [("1.conf", first), ("2.conf", second)]).unwrap();
        let found: Vec<_> = loaded.entries().iter().map(|e| (&*e.prefix, &*e.location, e.insecure)).collect();
        assert_eq!(found, [("x.io", "w.io", false), ("y.io", "y.io", false)]);
        assert!(loaded.search().is_empty());
        assert_eq!(loaded.short_name_mode(), Some("enforcing"));
        let bad = RegistriesConf { registries: vec![Registry::default()], ..RegistriesConf::default() };
        assert_eq!(
            LoadedRegistries::load(None, [("/d/1.conf", bad)]).unwrap_err(),
            "loading drop-in registries configuration \"/d/1.conf\": invalid condition: both location and prefix are unset"
        );
    }
}
