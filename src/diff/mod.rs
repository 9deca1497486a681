//! Node files × node files → what changes: for images by scope, and in the files.
//!
//! Two lists of requirements are the same answer if no image can tell them apart: their order does not count, nor who asked for
//! them, nor an `insecureAcceptAnything` beside others; one that can never be met makes all others moot.

mod files;
mod scopes;
mod unified;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use crate::compile::pools::Files;
use crate::model::node_files::{NamespaceFile, NodeFiles, POLICY_JSON, namespace_policy_path};
use crate::model::policy::{Sourced, Verdict};
use crate::model::provenance::{Refusal, RefusalReason};

pub use files::{Change, FileChange, is_text, without_private_keys};
pub use unified::unified_diff;

/// The files of pools whose nodes read the same, before or after.
pub struct Side<'a> {
    /// Names of the pools.
    pub pools: Vec<String>,
    /// What their nodes read.
    pub files: Arc<NodeFiles>,
    /// The same as bytes.
    pub contents: Files<'a>,
}

/// What changes (interface.md 3). Pools and namespaces in which nothing changes are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// For pools that agree: first the cluster-wide policy, then namespaces that have a policy of their own.
    pub groups: Vec<DifferenceGroup>,
}

/// What changes for pods of the same namespace on nodes of pools that agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DifferenceGroup {
    /// The pools.
    pub pools: Vec<String>,
    /// `None`: every namespace that has no policy of its own. A namespace's group tells only what is not the same change as the
    /// cluster-wide one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Other namespaces with a policy of their own in which the very same holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_in: Vec<String>,
    /// Bytewise by scope, `""` (images in no scope) last. Scopes of which the answer stays the same are left out.
    pub scopes: Vec<ScopeChange>,
    /// Of a namespace: scopes of the cluster-wide change whose answer does not change here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unchanged: Vec<String>,
    /// By path. Those of all the namespaces of the group.
    pub files: Vec<FileChange>,
    /// What nodes refuse now: every pull fails, and there is no answer before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_before: Vec<Refusal>,
    /// What nodes will refuse: every pull will fail, and there is no answer after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused_after: Vec<Refusal>,
}

/// A scope of which the answer changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScopeChange {
    /// As it is written on at least one of the sides; `""` stands for everything that lies in no scope.
    pub scope: String,
    /// An image that lies in this scope and in none that is more specific.
    pub witness: String,
    /// The answer for the witness.
    pub before: Answer,
    /// See [`ScopeChange::before`].
    pub after: Answer,
}

/// What a node asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// In one word.
    pub verdict: Verdict,
    /// All of them must hold.
    pub requirements: Vec<Sourced>,
}

impl Difference {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// What nodes will refuse that they do not refuse now, each once.
    pub fn refused_after(&self) -> Vec<Refusal> {
        let mut refusals: Vec<Refusal> = Vec::new();
        for refusal in self.groups.iter().flat_map(|group| &group.refused_after) {
            if refusals.iter().all(|known| known.text != refusal.text) {
                refusals.push(refusal.clone());
            }
        }
        refusals
    }
}

/// What changes from the one to the other. Pools that are known on one side only are not compared.
pub fn difference(before: &[Side<'_>], after: &[Side<'_>]) -> Difference {
    let mut pairs: Vec<((usize, usize), Vec<String>)> = Vec::new();
    for (position, side) in after.iter().enumerate() {
        for pool in &side.pools {
            let Some(earlier) = before.iter().position(|side| side.pools.contains(pool)) else { continue };
            match pairs.iter_mut().find(|(pair, _)| *pair == (earlier, position)) {
                Some((_, pools)) => pools.push(pool.clone()),
                None => pairs.push(((earlier, position), vec![pool.clone()])),
            }
        }
    }
    let mut groups = Vec::new();
    for ((earlier, later), pools) in pairs {
        if let (Some(before), Some(after)) = (before.get(earlier), after.get(later)) {
            groups.extend(pair(&pools, before, after));
        }
    }
    Difference { groups }
}

/// The groups of pools that agree on both sides: first the cluster-wide one, then those of namespaces.
fn pair(pools: &[String], before: &Side<'_>, after: &Side<'_>) -> Vec<DifferenceGroup> {
    let (refused_before, refused_after) = (Refusals::of(&before.files), Refusals::of(&after.files));
    let by_scope = scopes::compare(&before.files, &after.files);
    let mut files = files::compare(before, after);

    let mut cluster = DifferenceGroup { pools: pools.to_vec(), scopes: by_scope.cluster, ..DifferenceGroup::default() };
    cluster.refuse(&refused_before.cluster_wide(), &refused_after.cluster_wide());

    let mut of_namespaces: Vec<DifferenceGroup> = Vec::new();
    let mut known: HashMap<scopes::Key, usize> = HashMap::new();
    for (namespace, found) in by_scope.namespaces {
        let file = files.remove(&namespace_policy_path(namespace));
        let mut group = DifferenceGroup {
            pools: pools.to_vec(),
            namespace: Some(namespace.to_string()),
            scopes: found.scopes,
            unchanged: found.unchanged,
            files: file.into_iter().collect(),
            ..DifferenceGroup::default()
        };
        let refused = (refused_before.in_namespace(namespace), refused_after.in_namespace(namespace));
        let is_refused = !refused.0.is_empty() || !refused.1.is_empty();
        group.refuse(&refused.0, &refused.1);
        let cluster_is_refused = !cluster.refused_before.is_empty() || !cluster.refused_after.is_empty();
        let says_more = !group.scopes.is_empty() || !group.unchanged.is_empty();
        if is_refused || (cluster_is_refused && says_more) {
            of_namespaces.push(group);
        } else if !says_more {
            if !cluster.scopes.is_empty() {
                cluster.also_in.push(namespace.to_string());
            }
            cluster.files.append(&mut group.files);
        } else if let Some(same) = known.get(&found.key).and_then(|position| of_namespaces.get_mut(*position)) {
            same.also_in.push(namespace.to_string());
            same.files.append(&mut group.files);
        } else {
            known.insert(found.key, of_namespaces.len());
            of_namespaces.push(group);
        }
    }
    cluster.files.extend(files.into_values());
    cluster.files.sort_by(|a, b| a.path.cmp(&b.path));
    let all = std::iter::once(cluster).chain(of_namespaces);
    all.filter(|group| !group.is_empty()).collect()
}

impl DifferenceGroup {
    /// Where a node refuses its files there is no answer: that, and not which scopes differ, is what changes.
    fn refuse(&mut self, before: &[Refusal], after: &[Refusal]) {
        let texts = |refusals: &[Refusal]| refusals.iter().map(|refusal| refusal.text.clone()).collect::<Vec<_>>();
        if !before.is_empty() || !after.is_empty() {
            self.scopes.clear();
            self.unchanged.clear();
        }
        if texts(before) != texts(after) {
            self.refused_before = before.to_vec();
            self.refused_after = after.to_vec();
        }
    }

    fn is_empty(&self) -> bool {
        let Self { scopes, unchanged, files, refused_before, refused_after, .. } = self;
        scopes.is_empty()
            && unchanged.is_empty()
            && files.is_empty()
            && refused_before.is_empty()
            && refused_after.is_empty()
    }
}

/// What a node says on reading its files, and whom that hits.
struct Refusals<'f> {
    files: &'f NodeFiles,
    /// Everybody.
    shared: Vec<Refusal>,
    /// By the path of the policy.
    policies: BTreeMap<String, Vec<Refusal>>,
}

impl<'f> Refusals<'f> {
    fn of(files: &'f NodeFiles) -> Self {
        let mut refusals = Self { files, shared: Vec::new(), policies: BTreeMap::new() };
        for (path, found) in files.refusals_by_path() {
            match found.reason {
                RefusalReason::PolicyUnreadable => refusals.policies.entry(path).or_default().push(found),
                _ => refusals.shared.push(found),
            }
        }
        refusals
    }

    fn cluster_wide(&self) -> Vec<Refusal> {
        self.of_policies(&[POLICY_JSON])
    }

    fn in_namespace(&self, namespace: &str) -> Vec<Refusal> {
        let own = namespace_policy_path(namespace);
        match self.files.namespaces.get(namespace) {
            Some(NamespaceFile::Whole(_)) => self.of_policies(&[&own]),
            // What is wrong with the cluster's policy is repeated in this file.
            Some(NamespaceFile::Additions { .. }) => self.of_policies(&[&own, POLICY_JSON]),
            None if self.policies.contains_key(&own) => self.of_policies(&[&own]),
            None => self.cluster_wide(),
        }
    }

    fn of_policies(&self, paths: &[&str]) -> Vec<Refusal> {
        let of_policies = paths.iter().filter_map(|path| self.policies.get(*path)).flatten();
        of_policies.chain(&self.shared).cloned().collect()
    }
}
