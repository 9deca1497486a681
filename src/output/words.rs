//! Requirements in words that need no knowledge of policy.json. Never "verified" or "trusted": nothing here was checked.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use super::Style;
use crate::model::keyrings::{GpgKey, KeyFault, Keyring, KeyringProblem, day, inspect_keyring};
use crate::model::keys;
use crate::model::node_files::{NodeFiles, SHIPPED_KEYRING};
use crate::model::policy::{KeySource, PolicyRequirement, RootOfTrust, SignedIdentity, Sourced, Verdict};
use crate::model::provenance::Provenance;

/// What a verdict looks like.
pub fn verdict_style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::AcceptsAnything => Style::Caution,
        Verdict::Rejects => Style::Bad,
        Verdict::RequiresSignature => Style::Good,
    }
}

/// The verdict as a sentence's predicate: `a node … accepts anything`.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::AcceptsAnything => "accepts anything",
        Verdict::Rejects => "rejects",
        Verdict::RequiresSignature => "needs a signature",
    }
}

/// The GPG keyrings of a pool's nodes, as far as MachineConfigs deliver them. Each is read once: that takes as long as thousands of
/// lookups.
#[derive(Clone, Default)]
pub struct Keyrings(Rc<Shelf>);

#[derive(Default)]
struct Shelf {
    files: BTreeMap<Box<str>, Arc<[u8]>>,
    read: RefCell<HashMap<Box<[u8]>, Inspected>>,
}

type Inspected = Rc<Result<Keyring, KeyringProblem>>;

/// A keyring that a requirement names.
pub struct NamedKeyring<'a> {
    /// The file on the node; `None` for one that stands in the policy.
    pub path: Option<&'a str>,
    /// What is in it; `None` where nobody says.
    pub content: Option<Inspected>,
}

impl Keyrings {
    /// Those of one pool.
    pub fn of(files: &NodeFiles) -> Self {
        Self(Rc::new(Shelf { files: files.keys.clone(), ..Shelf::default() }))
    }

    /// What a requirement's signature may be made with; nothing for other requirements than `signedBy`.
    pub fn named_by<'r>(&self, requirement: &'r PolicyRequirement) -> Vec<NamedKeyring<'r>> {
        let PolicyRequirement::SignedBy { keys, .. } = requirement else { return Vec::new() };
        let in_file = |path: &'r str| NamedKeyring {
            path: Some(path),
            content: self.0.files.get(path).map(|bytes| self.inspect(bytes)),
        };
        let in_place = |bytes: &[u8]| NamedKeyring { path: None, content: Some(self.inspect(bytes)) };
        match keys {
            KeySource::Path(path) => vec![in_file(path)],
            KeySource::Paths(paths) => paths.iter().map(|path| in_file(path)).collect(),
            KeySource::Data(bytes) => vec![in_place(bytes)],
            KeySource::Datas(all) => all.iter().map(|bytes| in_place(bytes)).collect(),
        }
    }

    fn inspect(&self, bytes: &[u8]) -> Inspected {
        let mut read = self.0.read.borrow_mut();
        if let Some(known) = read.get(bytes) {
            return Rc::clone(known);
        }
        let inspected: Inspected = Rc::new(inspect_keyring(bytes));
        read.insert(bytes.into(), Rc::clone(&inspected));
        inspected
    }
}

/// Keys of a keyring that are named one by one.
const NAMED_KEYS: usize = 5;

/// In a cell: `key 3F9C…E1 (Example Release <release@example.com>)`.
fn short_keyrings(keyrings: &[NamedKeyring<'_>]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let now = jiff::Timestamp::now().as_second();
    let named = |key: &GpgKey| match key.fault(now) {
        Some(fault) => format!("key {key}, which {fault}"),
        None => format!("key {key}"),
    };
    for NamedKeyring { path, content } in keyrings {
        match (content.as_deref(), path) {
            (Some(Ok(ring)), _) => {
                parts.extend(ring.keys.iter().take(NAMED_KEYS).map(named));
                parts.extend(more(ring.keys.len()));
            }
            (Some(Err(problem)), Some(path)) => parts.push(format!("a key that cannot be read: {path} {problem}")),
            (Some(Err(problem)), None) => parts.push(format!("a key that cannot be read: it {problem}")),
            (None, path) => parts.push(format!("the key in {}", path.unwrap_or_default())),
        }
    }
    one_of(&parts)
}

fn one_of(parts: &[String]) -> String {
    match parts {
        [one] => one.clone(),
        many => format!("one of: {}", many.join(", ")),
    }
}

fn more(number: usize) -> Option<String> {
    number.checked_sub(NAMED_KEYS).filter(|more| *more > 0).map(|more| format!("{more} more"))
}

/// In full: a line for each key.
fn long_keyrings(keyrings: &[NamedKeyring<'_>]) -> Vec<String> {
    let number: usize = keyrings
        .iter()
        .map(|keyring| keyring.content.as_deref().map_or(1, |content| content.as_ref().map_or(1, |r| r.keys.len())))
        .sum();
    let mut lines = vec![match keyrings {
        [NamedKeyring { content: None, path: Some(path) }] => {
            return vec![format!("a GPG signature by the key in {path}, {}", unknown_content(path))];
        }
        [NamedKeyring { path: Some(path), .. }] if number == 1 => format!("a GPG signature by the key in {path}:"),
        [NamedKeyring { path: Some(path), .. }] => format!("a GPG signature by one of the keys in {path}:"),
        _ if number == 1 => "a GPG signature by the key".to_string(),
        _ => "a GPG signature by one of the keys".to_string(),
    }];
    let has_one_file = keyrings.len() == 1;
    let now = jiff::Timestamp::now().as_second();
    for NamedKeyring { path, content } in keyrings {
        let place = path.filter(|_| !has_one_file).map(|path| format!(", in {path}")).unwrap_or_default();
        match content.as_deref() {
            Some(Ok(ring)) => {
                let keys = ring.keys.iter().take(NAMED_KEYS);
                lines.extend(keys.map(|key| format!("{}{place}", long_key(key, now))));
                lines.extend(more(ring.keys.len()));
            }
            Some(Err(problem)) => lines.push(format!("that cannot be read: it {problem}{place}")),
            None => {
                let path = path.unwrap_or_default();
                lines.push(format!("the key in {path}, {}", unknown_content(path)));
            }
        }
    }
    lines
}

fn unknown_content(path: &str) -> &'static str {
    if path == SHIPPED_KEYRING { "which RHCOS ships" } else { "whose content is not known here" }
}

/// `3F9C…  (RSA 4096) Example Release <release@example.com>, expires 2027-03-01`
fn long_key(key: &GpgKey, now: i64) -> String {
    let GpgKey { fingerprint, algorithm, user_ids, .. } = key;
    let mut names: Vec<&str> = user_ids.iter().take(NAMED_KEYS).map(String::as_str).collect();
    let more = more(user_ids.len());
    names.extend(more.as_deref());
    let state = match (key.fault(now), key.expires) {
        (Some(KeyFault::Expired(since)), _) => format!(", EXPIRED {}: no signature by it counts", day(since)),
        (Some(KeyFault::Revoked), _) => ", REVOKED: no signature by it counts".to_string(),
        (Some(KeyFault::CannotSign), _) => ", CANNOT SIGN".to_string(),
        (None, Some(until)) => format!(", expires {}", day(until)),
        (None, None) => String::new(),
    };
    format!("{fingerprint} ({algorithm}) {}{state}", names.join(", "))
}

/// A list of requirements in one cell of a table: `needs a signature by key SHA256:3f9c…e1`.
pub fn requirements(list: &[Sourced], keyrings: &Keyrings) -> String {
    let mut parts: Vec<String> = Vec::new();
    for Sourced { requirement, .. } in list {
        let part = match &**requirement {
            PolicyRequirement::InsecureAcceptAnything if list.len() > 1 => continue,
            PolicyRequirement::InsecureAcceptAnything => "accepts anything".to_string(),
            PolicyRequirement::Reject => return "rejects".to_string(),
            PolicyRequirement::SignedBaseLayer { .. } => return "rejects (signedBaseLayer is never met)".to_string(),
            PolicyRequirement::SignedBy { .. } | PolicyRequirement::SigstoreSigned { .. } => {
                format!("needs {}", short_demand(requirement, keyrings))
            }
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    match parts.len() {
        0 => "accepts anything".to_string(),
        1 => parts.swap_remove(0),
        _ => parts.join(",\nand "),
    }
}

fn short_demand(requirement: &PolicyRequirement, keyrings: &Keyrings) -> String {
    match requirement {
        PolicyRequirement::SigstoreSigned { root, .. } => match root {
            RootOfTrust::Keys { keys, .. } => format!("a signature by {}", named_keys(keys, false)),
            RootOfTrust::Fulcio { subject_email, .. } => format!("a signature by {subject_email} through Fulcio"),
            RootOfTrust::Pki { subject_email, subject_hostname, .. } => {
                format!("a signature by the certificate of {}", subjects(subject_email, subject_hostname))
            }
        },
        PolicyRequirement::SignedBy { .. } => {
            format!("a GPG signature by {}", short_keyrings(&keyrings.named_by(requirement)))
        }
        PolicyRequirement::InsecureAcceptAnything => "nothing".to_string(),
        PolicyRequirement::Reject | PolicyRequirement::SignedBaseLayer { .. } => "what nobody can give".to_string(),
    }
}

/// A requirement in full: one line what is asked for, one line which identity the signature must name.
pub fn demand(requirement: &PolicyRequirement, keyrings: &Keyrings) -> Vec<String> {
    match requirement {
        PolicyRequirement::InsecureAcceptAnything => vec!["nothing: anything is accepted".to_string()],
        PolicyRequirement::Reject => vec!["what nobody can give: everything is rejected".to_string()],
        PolicyRequirement::SignedBaseLayer { .. } => {
            vec!["a signed base layer, which no node can check: everything is rejected".to_string()]
        }
        PolicyRequirement::SignedBy { key_type, identity, .. } => {
            let mut lines = long_keyrings(&keyrings.named_by(requirement));
            if &**key_type != "GPGKeys" {
                lines.push(format!("with keys of type {key_type}, which no node can use: every pull fails"));
            }
            lines.push(self::identity(identity.as_ref()));
            lines
        }
        PolicyRequirement::SigstoreSigned { root, identity } => {
            let mut lines = match root {
                RootOfTrust::Keys { keys, rekor } => {
                    let mut lines = vec![format!("a sigstore signature by {}", named_keys(keys, true))];
                    if let Some(rekor) = rekor {
                        lines.push(format!("recorded in the Rekor log of {}", named_keys(rekor, true)));
                    }
                    lines
                }
                RootOfTrust::Fulcio { ca, oidc_issuer, subject_email, rekor } => vec![
                    format!("a sigstore signature by {subject_email}, logged in at {oidc_issuer}"),
                    format!("with a certificate of the Fulcio {}", named_certificates(ca)),
                    format!("recorded in the Rekor log of {}", named_keys(rekor, true)),
                ],
                RootOfTrust::Pki { roots, subject_email, subject_hostname, .. } => vec![
                    format!(
                        "a sigstore signature with the certificate of {}",
                        subjects(subject_email, subject_hostname)
                    ),
                    format!("issued by the {}", named_certificates(roots)),
                ],
            };
            lines.push(self::identity(identity.as_ref()));
            lines
        }
    }
}

fn subjects(email: &Option<Box<str>>, hostname: &Option<Box<str>>) -> String {
    match (email, hostname) {
        (Some(email), Some(hostname)) => format!("{email} and {hostname}"),
        (Some(one), None) | (None, Some(one)) => one.to_string(),
        (None, None) => "nobody".to_string(),
    }
}

/// Which identity a signature must name, with the API's word for it.
pub fn identity(identity: Option<&SignedIdentity>) -> String {
    match identity {
        None | Some(SignedIdentity::MatchRepoDigestOrExact) => {
            "made for exactly this tag, or, when pulled by digest, for the same repository (MatchRepoDigestOrExact)"
                .to_string()
        }
        Some(SignedIdentity::MatchExact) => "made for exactly this tag or digest (matchExact)".to_string(),
        Some(SignedIdentity::MatchRepository) => "made for the same repository, any tag (MatchRepository)".to_string(),
        Some(SignedIdentity::ExactReference(reference)) => format!("made for exactly {reference} (exactReference)"),
        Some(SignedIdentity::ExactRepository(repository)) => {
            format!("made for the repository {repository}, any tag (ExactRepository)")
        }
        Some(SignedIdentity::RemapIdentity { prefix, signed_prefix }) => format!(
            "made for exactly this tag (by digest: the same repository), with {prefix} at the start of the name read as {signed_prefix} \
             (RemapIdentity)"
        ),
    }
}

fn named_keys(keys: &KeySource, with_algorithm: bool) -> String {
    let one = |data: &[u8]| match keys::inspect_public_key(data) {
        Ok(key) if with_algorithm => format!("key {key}"),
        Ok(key) => format!("key {}", key.fingerprint.short()),
        Err(problem) if with_algorithm => format!("a key that cannot be read: it {problem}"),
        Err(_) => "a key that cannot be read".to_string(),
    };
    match keys {
        KeySource::Data(data) => one(data),
        KeySource::Path(path) => format!("the key in {path}"),
        KeySource::Paths(paths) => format!("one of the keys in {}", paths.join(", ")),
        KeySource::Datas(all) => {
            let all: Vec<_> = all.iter().map(|data| one(data)).collect();
            format!("one of: {}", all.join(", "))
        }
    }
}

fn named_certificates(source: &KeySource) -> String {
    let one = |data: &[u8]| match keys::inspect_certificates(data) {
        Ok(certificates) => {
            let name = |certificate: &keys::CertificateInfo| {
                format!("{} ({})", certificate.subject, certificate.fingerprint.short())
            };
            let names: Vec<_> = certificates.read.iter().map(name).collect();
            format!("authority {}", names.join(", "))
        }
        Err(problem) => format!("authority that cannot be read ({problem})"),
    };
    match source {
        KeySource::Data(data) => one(data),
        KeySource::Path(path) => format!("authority in {path}"),
        KeySource::Paths(paths) => format!("authority in one of {}", paths.join(", ")),
        KeySource::Datas(all) => all.iter().map(|data| one(data)).collect::<Vec<_>>().join(" or "),
    }
}

/// Who asked for a list of requirements, in one cell: each object once, with its field.
pub fn because_of(list: &[Sourced]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for provenance in list.iter().flat_map(|sourced| &sourced.from) {
        let part = short_provenance(provenance);
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.join("\n")
}

/// `ClusterImagePolicy/team-key`, `Image/cluster allowedRegistries[0]`: the field only where the object has several that matter.
pub fn short_provenance(provenance: &Provenance) -> String {
    match provenance {
        Provenance::Field { object, path } => {
            let path = path.to_string();
            // Which scope of the item it is says nothing that the row does not say.
            let path = path
                .strip_suffix(']')
                .and_then(|path| path.rsplit_once(".sigRequiredRegistriesOrImages["))
                .map_or(path.as_str(), |(item, _)| item);
            match path
                .strip_prefix("spec.registrySources.")
                .or_else(|| path.strip_prefix("metadata.annotations.imagepolicy.openshift.io/"))
            {
                Some(field) => format!("{object} {field}"),
                None => object.to_string(),
            }
        }
        other => other.to_string(),
    }
}

/// Lines of at most `width` characters, broken at blanks; a longer word stays whole.
pub fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut length = 0;
    for word in text.split(' ') {
        let word_length = word.chars().count();
        if length > 0 && length + 1 + word_length > width {
            lines.push(String::new());
            length = 0;
        }
        if let Some(line) = lines.last_mut() {
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.push_str(word);
            length += word_length;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_folded_at_blanks() {
        assert_eq!(fold("one two three", 7), ["one two", "three"]);
        assert_eq!(fold("averylongword x", 5), ["averylongword", "x"]);
        assert_eq!(fold("", 5), [""]);
    }
}
