//! Which scopes get another answer, and an image for each that shows it.
//!
//! All images whose most specific scope, among those written on either side, is the same one get the same answer on each side. So
//! it is enough to ask once for each scope that is written, and once for the images that lie in none.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;

use super::{Answer, ScopeChange};
use crate::model::node_files::{NAMESPACE_POLICIES, NamespaceFile, NodeFiles};
use crate::model::policy::{Policy, PolicyRequirement, Sourced, Transport, Verdict, verdict};
use crate::model::policy_write::Additions;
use crate::model::reference::{Candidate, ImageReference, broader_scopes};
use crate::model::scopes::Scopes;
use crate::resolve::{Hit, Lookup};

/// What [`compare`] found.
#[derive(Default)]
pub(super) struct Compared<'f> {
    /// For pods of namespaces without a policy of their own.
    pub(super) cluster: Vec<ScopeChange>,
    /// Of each namespace that has one on either side.
    pub(super) namespaces: Vec<(&'f str, InNamespace)>,
}

/// What is not the same in a namespace as cluster-wide.
#[derive(Default)]
pub(super) struct InNamespace {
    pub(super) scopes: Vec<ScopeChange>,
    pub(super) unchanged: Vec<String>,
    /// Equal where all of it is.
    pub(super) key: Key,
}

/// Scopes with fingerprints of the answers before and after; without, where the answer stays.
pub(super) type Key = Vec<(String, Option<(Fingerprint, Fingerprint)>)>;

/// Compares what holds for images.
pub(super) fn compare<'f>(before: &'f NodeFiles, after: &'f NodeFiles) -> Compared<'f> {
    let mut fingerprints = Fingerprints::default();
    let cluster = [before, after].map(|files| files.policy.as_ref().map(|file| &file.policy));
    let [before_cluster, after_cluster] = cluster.map(|policy| policy.map(|policy| Lookup::new(policy, None)));
    let mut cluster_wide = Changes::default();
    if let (Some(before), Some(after)) = (&before_cluster, &after_cluster) {
        cluster_wide = all_changes(before, after, &mut fingerprints);
    }

    let mut beneath: Option<Beneath<'_>> = None;
    let mut namespaces = Vec::new();
    for namespace in own_policies(before).chain(own_policies(after)).collect::<BTreeSet<_>>() {
        let sides = [(before, cluster[0]), (after, cluster[1])].map(|(files, cluster)| {
            let own = files.namespaces.get(namespace);
            own.map_or_else(|| cluster.map(Effective::cluster), |own| Effective::of(own, cluster, &mut fingerprints))
        });
        let [Some(before_own), Some(after_own)] = sides else {
            namespaces.push((namespace, InNamespace::default()));
            continue;
        };
        let (before_lookup, after_lookup) = (before_own.lookup(), after_own.lookup());
        let mut pair = Pair { before: &before_lookup, after: &after_lookup, fingerprints: &mut fingerprints };
        let found = match (&before_cluster, &after_cluster, before_own.rests_on_cluster && after_own.rests_on_cluster) {
            (Some(before_cluster), Some(after_cluster), true) => {
                let keys: BTreeSet<&str> = before_own.keys().chain(after_own.keys()).collect();
                let beneath = beneath.get_or_insert_with(|| Beneath::new(before_cluster, after_cluster));
                let mut asked: BTreeSet<Cow<str>> = keys.iter().map(|key| Cow::Borrowed(*key)).collect();
                asked.extend(keys.iter().flat_map(|key| beneath.of(key)).map(|scope| Cow::Borrowed(&**scope)));
                pair.changes(asked.into_iter())
            }
            _ => {
                let mut changes = all_changes(&before_lookup, &after_lookup, &mut fingerprints);
                // What does not change here was not asked for.
                for scope in cluster_wide.found.keys() {
                    changes.found.entry(scope.clone()).or_default();
                }
                changes
            }
        };
        namespaces.push((namespace, against(found, &cluster_wide)));
    }
    Compared { cluster: cluster_wide.into_list(), namespaces }
}

/// Namespaces with a policy of their own, be it one that cannot be read.
fn own_policies(files: &NodeFiles) -> impl Iterator<Item = &str> {
    let unreadable = files
        .unreadable
        .keys()
        .filter_map(|path| path.strip_prefix(NAMESPACE_POLICIES)?.strip_prefix('/')?.strip_suffix(".json"));
    files.namespaces.keys().map(|namespace| &**namespace).chain(unreadable)
}

/// The policy that holds in one namespace on one side.
struct Effective<'f> {
    policy: &'f Policy,
    additions: Option<Cow<'f, Additions>>,
    /// Whether it is the cluster's policy and additions, nothing else.
    rests_on_cluster: bool,
}

impl<'f> Effective<'f> {
    fn cluster(policy: &'f Policy) -> Self {
        Self { policy, additions: None, rests_on_cluster: true }
    }

    fn of(own: &'f NamespaceFile, cluster: Option<&'f Policy>, fingerprints: &mut Fingerprints) -> Option<Self> {
        match own {
            NamespaceFile::Additions { scopes, .. } => {
                Some(Self { policy: cluster?, additions: Some(Cow::Borrowed(scopes)), rests_on_cluster: true })
            }
            NamespaceFile::Whole(file) => {
                let additions = cluster.and_then(|cluster| as_additions(&file.policy, cluster, fingerprints));
                Some(match (cluster, additions) {
                    (Some(policy), Some(additions)) => {
                        Self { policy, additions: Some(Cow::Owned(additions)), rests_on_cluster: true }
                    }
                    _ => Self { policy: &file.policy, additions: None, rests_on_cluster: false },
                })
            }
        }
    }

    fn lookup(&self) -> Lookup<'f> {
        Lookup::new(self.policy, self.additions.as_deref())
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.additions.iter().flat_map(|additions| additions.keys()).map(|scope| &**scope)
    }
}

/// What a file that was read back adds to the cluster's policy, where it is that policy and more.
fn as_additions(whole: &Policy, cluster: &Policy, fingerprints: &mut Fingerprints) -> Option<Additions> {
    let mut starts_with = |all: &[Sourced], start: &[Sourced]| {
        let (all, start) = (fingerprints.each(all), fingerprints.each(start));
        all.starts_with(&start)
    };
    if whole.default.len() != cluster.default.len() || !starts_with(&whole.default, &cluster.default) {
        return None;
    }
    let (own, shared) = (whole.transports.get(&Transport::Docker), cluster.transports.get(&Transport::Docker));
    let mut additions = Additions::new();
    let mut found = 0;
    for (scope, list) in own.into_iter().flat_map(Scopes::iter) {
        let rest = match shared.and_then(|shared| shared.get(&scope)) {
            Some(start) if !starts_with(list, start) => return None,
            Some(start) => {
                found += 1;
                list.get(start.len()..).unwrap_or_default()
            }
            None => list,
        };
        if !rest.is_empty() {
            additions.insert(scope.into(), rest.into());
        }
    }
    (found == shared.map_or(0, Scopes::len)).then_some(additions)
}

/// Scopes of the cluster's policies that are written on one side only, by every scope that holds where they are not.
struct Beneath<'f> {
    by_broader: HashMap<Cow<'f, str>, Vec<Cow<'f, str>>>,
    all: Vec<Cow<'f, str>>,
}

impl<'f> Beneath<'f> {
    fn new(before: &'f Lookup<'_>, after: &'f Lookup<'_>) -> Self {
        let mut beneath = Self { by_broader: HashMap::new(), all: Vec::new() };
        for (these, others) in [(before, after), (after, before)] {
            for scope in these.scopes().filter(|scope| !others.has(candidate(scope))) {
                for broader in broader_scopes(&scope) {
                    let broader = Cow::Owned(broader.text().into_owned());
                    beneath.by_broader.entry(broader).or_default().push(scope.clone());
                }
                beneath.all.push(scope);
            }
        }
        beneath
    }

    fn of(&self, scope: &str) -> &[Cow<'f, str>] {
        if scope.is_empty() { &self.all } else { self.by_broader.get(scope).map(Vec::as_slice).unwrap_or_default() }
    }
}

/// Of a namespace only what is not the same change cluster-wide.
fn against(own: Changes, cluster: &Changes) -> InNamespace {
    let mut answer = InNamespace::default();
    for (scope, change) in own.found {
        match (change, cluster.found.get(&scope).and_then(Option::as_ref)) {
            (Some(own), Some(cluster)) if own.fingerprints() == cluster.fingerprints() => {}
            (Some(own), _) => {
                answer.key.push((scope.clone(), Some(own.fingerprints())));
                answer.scopes.push(own.change);
            }
            (None, Some(_)) => {
                answer.key.push((scope.clone(), None));
                answer.unchanged.push(scope);
            }
            (None, None) => {}
        }
    }
    anything_else_last(&mut answer.scopes);
    answer
}

/// Scope → what changes there; `None` where it was asked for and does not.
#[derive(Default)]
struct Changes {
    found: BTreeMap<String, Option<Found>>,
}

struct Found {
    change: ScopeChange,
    before: Fingerprint,
    after: Fingerprint,
}

impl Found {
    fn fingerprints(&self) -> (Fingerprint, Fingerprint) {
        (self.before.clone(), self.after.clone())
    }
}

impl Changes {
    fn into_list(self) -> Vec<ScopeChange> {
        let mut list: Vec<ScopeChange> = self.found.into_values().flatten().map(|found| found.change).collect();
        anything_else_last(&mut list);
        list
    }
}

fn anything_else_last(changes: &mut [ScopeChange]) {
    if changes.first().is_some_and(|first| first.scope.is_empty()) {
        changes.rotate_left(1);
    }
}

/// Every scope that changes, and none of the others.
fn all_changes(before: &Lookup<'_>, after: &Lookup<'_>, fingerprints: &mut Fingerprints) -> Changes {
    let mut asked: Vec<Cow<'_, str>> = vec!["".into()];
    for scope in before.scopes().filter(|scope| !scope.is_empty()) {
        let is_same = after.has(candidate(&scope)) && {
            let (before, after) = (before.at_scope(&scope), after.at_scope(&scope));
            fingerprints.of(before.requirements()) == fingerprints.of(after.requirements())
        };
        if !is_same {
            asked.push(scope);
        }
    }
    asked.extend(after.scopes().filter(|scope| !scope.is_empty() && !before.has(candidate(scope))));
    let mut changes = Pair { before, after, fingerprints }.changes(asked.into_iter());
    changes.found.retain(|_, change| change.is_some());
    changes
}

fn candidate(scope: &str) -> Candidate<'_> {
    match scope.strip_prefix("*.") {
        Some(suffix) => Candidate::Wildcard(suffix),
        None => Candidate::Scope(scope),
    }
}

/// The policies of both sides.
struct Pair<'a, 'f> {
    before: &'a Lookup<'f>,
    after: &'a Lookup<'f>,
    fingerprints: &'a mut Fingerprints,
}

impl Pair<'_, '_> {
    fn changes<'s>(&mut self, asked: impl Iterator<Item = Cow<'s, str>>) -> Changes {
        let found = asked.map(|scope| {
            let change = self.change(&scope);
            (scope.into_owned(), change)
        });
        Changes { found: found.collect() }
    }

    /// `None` where the answer stays the same, or no image can show that it does not.
    fn change(&mut self, scope: &str) -> Option<Found> {
        let (before, after) = (self.before.at_scope(scope), self.after.at_scope(scope));
        let fingerprints = (self.fingerprints.of(before.requirements()), self.fingerprints.of(after.requirements()));
        if fingerprints.0 == fingerprints.1 {
            return None;
        }
        let witness = self.witness(scope)?;
        let change = ScopeChange { scope: scope.to_string(), witness, before: answer(&before), after: answer(&after) };
        Some(Found { change, before: fingerprints.0, after: fingerprints.1 })
    }

    /// An image that lies in the scope and in none that is more specific, on either side.
    fn witness(&self, scope: &str) -> Option<String> {
        if scope.is_empty() {
            return names_in("elsewhere.example.net")
                .chain(names_in("localhost"))
                .find(|image| self.lies_in(image, ""));
        }
        if let Some(suffix) = scope.strip_prefix("*.") {
            let hosts =
                ["a", "registry", "any"].into_iter().map(str::to_string).chain((1..TRIES).map(|n| format!("a{n}")));
            return hosts.map(|host| format!("{host}.{suffix}/image")).find(|image| self.lies_in(image, scope));
        }
        let tagged = || std::iter::once(format!("{scope}:latest"));
        let literal = std::iter::once(scope.to_string());
        // With three parts it is most likely a repository, with two more likely a team's place.
        let is_repository = scope.bytes().filter(|byte| *byte == b'/').count() >= 2;
        let first = is_repository.then(tagged).into_iter().flatten();
        let all = first.chain(names_in(scope)).chain(tagged()).chain(literal);
        all.into_iter().find(|image| self.lies_in(image, scope))
    }

    fn lies_in(&self, image: &str, scope: &str) -> bool {
        let Ok(reference) = ImageReference::parse(image) else { return false };
        let first = reference.candidates().find(|candidate| self.before.has(*candidate) || self.after.has(*candidate));
        match first {
            Some(first) => first.text() == scope,
            None => scope.is_empty(),
        }
    }
}

/// So many names are tried for a witness, should others be scopes of their own.
const TRIES: usize = 100;

/// Names below a place.
fn names_in(place: &str) -> impl Iterator<Item = String> {
    let numbered = (1..TRIES).map(move |number| format!("{place}/any/image{number}"));
    [format!("{place}/image"), format!("{place}/any/image")].into_iter().chain(numbered)
}

fn answer(hit: &Hit<'_>) -> Answer {
    let requirements: Vec<Sourced> = hit.requirements().cloned().collect();
    Answer { verdict: verdict(&requirements), requirements }
}

/// Equal for lists of requirements that no image can tell apart.
pub(super) type Fingerprint = Vec<u64>;

/// Each shared requirement is hashed once, whatever its size. The seed is the process's own, so that nobody can make two collide.
#[derive(Default)]
pub(super) struct Fingerprints {
    known: HashMap<*const PolicyRequirement, u64, foldhash::fast::RandomState>,
    state: foldhash::fast::RandomState,
}

impl Fingerprints {
    fn of<'f>(&mut self, list: impl Iterator<Item = &'f Sourced>) -> Fingerprint {
        let mut demands: Fingerprint = Vec::new();
        let mut is_empty = true;
        for sourced in list {
            is_empty = false;
            match verdict(std::slice::from_ref(sourced)) {
                Verdict::Rejects => return vec![REJECTS],
                Verdict::AcceptsAnything => {}
                Verdict::RequiresSignature => demands.push(self.one(sourced)),
            }
        }
        if is_empty {
            return vec![REJECTS];
        }
        demands.sort_unstable();
        demands.dedup();
        demands
    }

    /// One for each requirement, in order.
    pub(super) fn each(&mut self, list: &[Sourced]) -> Vec<u64> {
        list.iter().map(|sourced| self.one(sourced)).collect()
    }

    fn one(&mut self, sourced: &Sourced) -> u64 {
        let requirement = &sourced.requirement;
        let state = &self.state;
        *self.known.entry(std::sync::Arc::as_ptr(requirement)).or_insert_with(|| state.hash_one(&**requirement).max(1))
    }
}

const REJECTS: u64 = 0;
