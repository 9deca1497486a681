//! Insecure and blocked registries and mirror sets → registries.conf (domain.md 2.4, 2.8).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::{Entry, Note, NoteKind, RegistrySources, SHIPPED_SEARCH, cause, causes_of, refusal};
use crate::model::go_text::quote;
use crate::model::provenance::{Cause, FieldPath, ObjectRef, Provenance, Refusal, RefusalReason};
use crate::model::reference::{is_host, is_remap_prefix};
use crate::model::registries_conf::{Mirror, PullFromMirror, RegistriesConf, Registry};
use crate::model::release::Release;
use crate::model::scope_index::ScopeIndex;
use crate::snapshot::api::MirrorRule;
use crate::snapshot::{Kind, Snapshot};

/// Every text of this stage begins so.
const PREFIX: &str = "could not update registries config with new changes: ";
const NEVER: &str = "NeverContactSource";
const ALLOW: &str = "AllowContactingSource";

/// registries.conf, where it is written at all: an empty list of insecure registries or a mirror object without rules suffices.
///
/// # Errors
/// What the controller refuses, the real first one in front.
pub(super) fn registries_conf(
    snapshot: &Snapshot,
    release: &Release,
    sources: &RegistrySources,
    notes: &mut Vec<Note>,
) -> Result<Option<RegistriesConf>, Vec<Refusal>> {
    let rules: Vec<Rule> = rules(snapshot).collect();
    notes.extend(rules.iter().filter_map(Rule::ignored));
    if sources.insecure.is_none() && sources.registries_blocked.is_empty() && snapshot.mirror_sets().next().is_none() {
        return Ok(None);
    }
    let insecure = sources.insecure.as_deref().unwrap_or_default();
    let mut refusals: Vec<Refusal> = invalid_entries(PREFIX, "insecure", insecure)
        .chain(invalid_entries(PREFIX, "blocked", &sources.registries_blocked))
        .collect();
    refusals.extend(invalid_rules(&rules, release));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let conf = RegistriesConf {
        unqualified_search_registries: Some(SHIPPED_SEARCH.map(str::to_string).into()),
        short_name_mode: Some(String::new()),
        registries: registries(&rules, insecure, &sources.registries_blocked).map_err(|refusal| vec![refusal])?,
        ..RegistriesConf::default()
    };
    Ok(Some(conf))
}

/// The temporary registries.conf of domain.md 2.2: digest mirrors only, the blocked list as it is written, nothing validated.
///
/// # Errors
/// The one thing that can go wrong without validation: a wildcard source.
pub(super) fn for_payload(
    snapshot: &Snapshot,
    insecure: &[Entry],
    blocked: &[Entry],
) -> Result<RegistriesConf, Refusal> {
    let rules: Vec<Rule> = rules(snapshot).filter(|rule| rule.kind != Kind::ImageTagMirrorSet).collect();
    Ok(RegistriesConf { registries: registries(&rules, insecure, blocked)?, ..RegistriesConf::default() })
}

/// One rule of a mirror set.
struct Rule<'a> {
    kind: Kind,
    object: &'a Arc<ObjectRef>,
    index: usize,
    rule: &'a MirrorRule,
}

/// In the controller's order: IDMS, ICSP, ITMS.
fn rules(snapshot: &Snapshot) -> impl Iterator<Item = Rule<'_>> {
    snapshot.mirror_sets().flat_map(|(kind, set)| {
        let rules = set.value.spec.mirrors.iter().enumerate();
        rules.map(move |(index, rule)| Rule { kind, object: &set.reference, index, rule })
    })
}

impl<'a> Rule<'a> {
    fn source(&self) -> &'a str {
        &self.rule.source
    }

    /// An ImageContentSourcePolicy has no such field.
    fn policy(&self) -> &'a str {
        match self.rule.mirror_source_policy.as_str() {
            "" => ALLOW,
            _ if self.kind == Kind::ImageContentSourcePolicy => ALLOW,
            policy => policy,
        }
    }

    fn path(&self, field: Field) -> FieldPath {
        let template = |digest, tag, content| match self.kind {
            Kind::ImageTagMirrorSet => tag,
            Kind::ImageContentSourcePolicy => content,
            _ => digest,
        };
        match field {
            Field::Source => FieldPath::indexed(
                template(
                    "spec.imageDigestMirrors[].source",
                    "spec.imageTagMirrors[].source",
                    "spec.repositoryDigestMirrors[].source",
                ),
                self.index,
            ),
            Field::Policy => FieldPath::indexed(
                template(
                    "spec.imageDigestMirrors[].mirrorSourcePolicy",
                    "spec.imageTagMirrors[].mirrorSourcePolicy",
                    "spec.repositoryDigestMirrors[].mirrorSourcePolicy",
                ),
                self.index,
            ),
            Field::Mirror(mirror) => FieldPath::indexed_twice(
                template(
                    "spec.imageDigestMirrors[].mirrors[]",
                    "spec.imageTagMirrors[].mirrors[]",
                    "spec.repositoryDigestMirrors[].mirrors[]",
                ),
                self.index,
                mirror,
            ),
        }
    }

    fn provenance(&self, field: Field) -> Provenance {
        Provenance::Field { object: Arc::clone(self.object), path: self.path(field) }
    }

    fn cause(&self, field: Field) -> Cause {
        let value = match field {
            Field::Source => self.source(),
            Field::Policy => self.policy(),
            Field::Mirror(mirror) => &self.rule.mirrors[mirror],
        };
        cause(self.object, self.path(field), value)
    }

    fn has_real_mirror(&self) -> bool {
        self.rule.mirrors.iter().any(|mirror| *mirror != self.rule.source)
    }

    fn ignored(&self) -> Option<Note> {
        let why = if self.rule.mirrors.is_empty() { "it has no mirrors" } else { "its only mirror is itself" };
        let policy = if self.policy() == NEVER { ", and so is NeverContactSource" } else { "" };
        (!self.has_real_mirror()).then(|| Note {
            kind: NoteKind::MirrorSetIgnored,
            text: format!("the mirrors of {} are ignored, since {why}{policy}", self.source()),
            causes: vec![self.cause(Field::Source)],
        })
    }
}

#[derive(Clone, Copy)]
enum Field {
    Source,
    Policy,
    Mirror(usize),
}

/// Refusals of entries that registries.conf or policy.json cannot have (`IsValidRegistriesConfScope`).
pub(super) fn invalid_entries<'a>(
    prefix: &'static str,
    list: &'static str,
    entries: &'a [Entry],
) -> impl Iterator<Item = Refusal> + 'a {
    entries.iter().filter(|entry| !is_valid_entry(&entry.text)).map(move |entry| {
        let text = format!("{prefix}invalid entry for {list} registries {}", quote(&entry.text));
        refusal(RefusalReason::RegistryEntry, text, causes_of(&entry.from, &entry.text))
    })
}

fn is_valid_entry(entry: &str) -> bool {
    match entry.strip_prefix("*.") {
        Some(rest) => !rest.contains(['/', '@', ':', '*']),
        None => !entry.is_empty() && !entry.contains('*'),
    }
}

/// Rule by rule: the source's format, its policy, then each mirror.
fn invalid_rules(rules: &[Rule], release: &Release) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut refuse = |reason, text: String, causes| refusals.push(refusal(reason, format!("{PREFIX}{text}"), causes));
    let mut first_policies: HashMap<&str, &Rule, foldhash::fast::RandomState> = HashMap::default();
    for rule in rules {
        if let Some(text) = invalid_source(rule.source(), release) {
            refuse(RefusalReason::MirrorFormat, text, vec![rule.cause(Field::Source)]);
        }
        let first = *first_policies.entry(rule.source()).or_insert(rule);
        if first.policy() != rule.policy() {
            let kinds = match release.mirror_formats {
                true => "imagedigestmirrorsets, imagetagmirrorsets, or imagecontentsourcepolicies",
                false => "imagedigestmirrorsets and/or imagetagmirrorsets",
            };
            let source = quote(rule.source());
            let text = format!("conflicting mirrorSourcePolicy is set for the same source {source} in {kinds}");
            let causes = vec![first.cause(Field::Policy), rule.cause(Field::Policy)];
            refuse(RefusalReason::MirrorSourcePolicy, text, causes);
        }
        for (position, mirror) in rule.rule.mirrors.iter().enumerate() {
            let cause = || vec![rule.cause(Field::Mirror(position))];
            if let Some(text) = invalid_mirror(mirror, release) {
                refuse(RefusalReason::MirrorFormat, text, cause());
            }
            if rule.policy() == NEVER && mirror == rule.source() {
                let text = format!(
                    "cannot set mirrorSourcePolicy: NeverContactSource if the source {} is one of the mirrors",
                    quote(mirror)
                );
                let causes = vec![rule.cause(Field::Policy), rule.cause(Field::Mirror(position))];
                refuse(RefusalReason::MirrorSourcePolicy, text, causes);
            }
        }
    }
    refusals
}

fn invalid_source(source: &str, release: &Release) -> Option<String> {
    if release.mirror_formats {
        let is_wildcard = source.strip_prefix("*.").is_some_and(|host| is_host(host) && !host.contains(':'));
        let fits = is_wildcard || is_remap_prefix(source);
        return (!fits).then(|| format!("invalid format for source {}", quote(source)));
    }
    if source.is_empty() {
        return Some("invalid empty entry for source configuration".into());
    }
    invalid_wildcard(source)
}

fn invalid_mirror(mirror: &str, release: &Release) -> Option<String> {
    if release.mirror_formats {
        return (!is_remap_prefix(mirror)).then(|| format!("invalid format for mirror {}", quote(mirror)));
    }
    if mirror.is_empty() {
        return Some("invalid empty entry for mirror configuration".into());
    }
    invalid_wildcard(mirror)
}

fn invalid_wildcard(text: &str) -> Option<String> {
    let has_wildcard = text.contains('*');
    has_wildcard.then(|| format!("wildcard entries are not supported with mirror configuration {}", quote(text)))
}

/// The six steps of domain.md 2.8, in their order: entries stand in the file as they come about.
fn registries(rules: &[Rule], insecure: &[Entry], blocked: &[Entry]) -> Result<Vec<Registry>, Refusal> {
    let mut entries = Entries::default();
    let (tag, digest): (Vec<&Rule>, Vec<&Rule>) = rules.iter().partition(|rule| rule.kind == Kind::ImageTagMirrorSet);
    let sets = [(digest, PullFromMirror::DigestOnly), (tag, PullFromMirror::TagOnly)];
    let mut sources = Vec::new();
    for (rules, pull_from_mirror) in sets {
        for (source, rules) in by_source(&rules) {
            let entry = entries.get_or_append(source);
            for rule in &rules {
                entry.from.push(rule.provenance(Field::Source));
                if rule.policy() == NEVER {
                    entry.blocked = true;
                    entry.from.push(rule.provenance(Field::Policy));
                }
            }
            let mirrors = merged_mirrors(source, &rules).into_iter();
            entry.mirrors.extend(mirrors.map(|mirror| Mirror {
                location: mirror.location.to_string(),
                insecure: false,
                pull_from_mirror,
                from: mirror.from,
            }));
            sources.push(source);
        }
    }
    for entry in blocked {
        entries.get_or_append(&entry.text);
    }
    for entry in insecure {
        entries.get_or_append(&entry.text);
    }
    let mut registries = entries.registries;
    let insecure_scopes = ScopeIndex::new(insecure.iter().map(|entry| &*entry.text));
    let blocked_scopes = ScopeIndex::new(blocked.iter().map(|entry| &*entry.text));
    for registry in &mut registries {
        registry.insecure = asked_for(&insecure_scopes, insecure, registry);
        registry.blocked |= asked_for(&blocked_scopes, blocked, registry);
        for mirror in &mut registry.mirrors {
            mirror.insecure = insecure_scopes.contains(&mirror.location);
        }
    }
    inherit_mirrors(&mut registries, &sources)?;
    Ok(registries)
}

/// Whether a list names the entry or what it lies in; who did is noted.
fn asked_for(scopes: &ScopeIndex, list: &[Entry], registry: &mut Registry) -> bool {
    let scope = registry.scope().to_string();
    // An entry that is listed twice is told twice, what contains it once.
    let found = scopes
        .containing(&scope)
        .flat_map(|first| scopes.same(first).take(if *list[first].text == *scope { usize::MAX } else { 1 }));
    let before = registry.from.len();
    registry.from.extend(found.flat_map(|position| list[position].from.iter().cloned()));
    registry.from.len() > before
}

/// registries.conf while it is being written.
#[derive(Default)]
struct Entries {
    registries: Vec<Registry>,
    by_scope: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
}

impl Entries {
    fn get_or_append(&mut self, scope: &str) -> &mut Registry {
        let position = match self.by_scope.get(scope) {
            Some(position) => *position,
            None => {
                let (prefix, location) = if scope.starts_with("*.") { (scope, "") } else { ("", scope) };
                let registry = Registry { prefix: prefix.into(), location: location.into(), ..Registry::default() };
                self.registries.push(registry);
                self.by_scope.insert(scope.into(), self.registries.len() - 1);
                self.registries.len() - 1
            }
        };
        &mut self.registries[position]
    }
}

/// Sources bytewise, each with the rules that really mirror it.
fn by_source<'r, 'a>(rules: &[&'r Rule<'a>]) -> BTreeMap<&'a str, Vec<&'r Rule<'a>>> {
    let mut sources: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.has_real_mirror()) {
        sources.entry(rule.source()).or_default().push(rule);
    }
    sources
}

struct MergedMirror<'a> {
    location: &'a str,
    from: Vec<Provenance>,
}

/// The mirrors of one source in an order that respects each rule's, as far as they agree (step 1 of domain.md 2.8).
fn merged_mirrors<'a>(source: &'a str, rules: &[&Rule<'a>]) -> Vec<MergedMirror<'a>> {
    let mut nodes: BTreeMap<&str, MergedMirror> = BTreeMap::new();
    let mut edges: BTreeSet<(&str, &str)> = BTreeSet::new();
    for rule in rules {
        let mirrors = &rule.rule.mirrors;
        for (position, mirror) in mirrors.iter().enumerate() {
            let node = nodes.entry(mirror).or_insert(MergedMirror { location: mirror, from: Vec::new() });
            node.from.push(rule.provenance(Field::Mirror(position)));
        }
        edges.extend(mirrors.windows(2).map(|pair| (pair[0].as_str(), pair[1].as_str())));
        if let Some(last) = mirrors.last().filter(|_| mirrors.iter().all(|mirror| mirror != source)) {
            edges.insert((last, source));
        }
    }
    nodes.entry(source).or_insert(MergedMirror { location: source, from: Vec::new() });
    let mut order = topological_order(&nodes.keys().copied().collect::<Vec<_>>(), &edges);
    // The source itself is tried last anyway.
    if order.last() == Some(&source) {
        order.pop();
    }
    order.into_iter().filter_map(|location| nodes.remove(location)).collect()
}

/// Kahn's algorithm with a queue, not a heap; where only circles are left, the first unused node breaks one. `nodes` are sorted.
fn topological_order<'a>(nodes: &[&'a str], edges: &BTreeSet<(&'a str, &'a str)>) -> Vec<&'a str> {
    let mut waiting_for: HashMap<&str, usize> = nodes.iter().map(|node| (*node, 0)).collect();
    for (_, to) in edges {
        *waiting_for.entry(to).or_default() += 1;
    }
    let mut free: VecDeque<&str> = nodes.iter().copied().filter(|node| waiting_for[node] == 0).collect();
    let mut unused = nodes.iter().copied();
    let mut used = BTreeSet::new();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(node) = free.pop_front().or_else(|| unused.find(|node| !used.contains(node))) {
        used.insert(node);
        order.push(node);
        // Edges are sorted by their end, so that newly free nodes come sorted too.
        for (_, to) in edges.range((node, "")..).take_while(|(from, _)| *from == node) {
            let waiting = waiting_for.entry(to).or_default();
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 && !used.contains(to) {
                free.push_back(to);
            }
        }
    }
    order
}

/// Step 6: an entry without mirrors inside a mirrored source gets that source's, since a node uses one entry only.
fn inherit_mirrors(registries: &mut [Registry], sources: &[&str]) -> Result<(), Refusal> {
    let scopes: Vec<String> = registries.iter().map(|registry| registry.scope().to_string()).collect();
    let index = ScopeIndex::new(scopes.iter().map(String::as_str));
    for source in sources {
        let Some(mirrored) = index.position(source) else { continue };
        let nested = index.nested_in(source).into_iter();
        for position in nested.filter(|position| *position != mirrored) {
            if !registries[position].mirrors.is_empty() {
                continue;
            }
            if source.starts_with("*.") {
                let text = format!(
                    "{PREFIX}internal error: mirrorsAdjustedForNestedScope for a wildcard scope {}",
                    quote(source)
                );
                let mut causes = causes_of(&registries[mirrored].from, source);
                causes.extend(causes_of(&registries[position].from, &scopes[position]));
                return Err(refusal(RefusalReason::WildcardMirror, text, causes));
            }
            let remainder = scopes[position].strip_prefix(source).unwrap_or_default();
            let adjusted =
                |mirror: &Mirror| Mirror { location: format!("{}{remainder}", mirror.location), ..mirror.clone() };
            registries[position].mirrors = registries[mirrored].mirrors.iter().map(adjusted).collect();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_keep_the_order_of_every_list_and_circles_are_broken() {
        for (edges, expected) in [
            (&[("a", "b"), ("b", "s"), ("c", "a")][..], &["c", "a", "b", "s"][..]),
            (&[("b", "s"), ("a", "s")], &["a", "b", "s"]),
            (&[("a", "b"), ("b", "a"), ("a", "s")], &["a", "b", "s"]),
            (&[("a", "a"), ("a", "s")], &["a", "s"]),
            // A queue: what becomes free late comes late, whatever its name.
            (&[("x", "a"), ("y", "s"), ("a", "s")], &["x", "y", "a", "s"]),
        ] {
            let edges: BTreeSet<(&str, &str)> = edges.iter().copied().collect();
            let nodes: BTreeSet<&str> = edges.iter().flat_map(|(from, to)| [*from, *to]).collect();
            let nodes: Vec<&str> = nodes.into_iter().collect();
            assert_eq!(topological_order(&nodes, &edges), expected);
        }
    }

    #[test]
    fn entries_that_registries_conf_can_have() {
        for (entry, expected) in [
            ("quay.io", true),
            ("*.quay.io", true),
            ("", false),
            ("quay.*", false),
            ("*.quay.io/a", false),
            ("*.quay.io:5000", false),
            ("http://quay.io", true),
        ] {
            assert_eq!(is_valid_entry(entry), expected, "{entry}");
        }
    }
}
