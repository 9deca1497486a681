//! Whether nodes have what the objects ask for (interface.md 2).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use serde::Serialize;

use super::Compiled;
use super::pools::{
    Truth, Wanted, current_config, fill_in_what_is_shipped, machine_config, member, pool_of_node, pools, whole,
    with_additions,
};
use crate::model::machine_config::merge;
use crate::model::node_files::{
    NAMESPACE_POLICIES, NamespaceFile, NodeFiles, POLICY_JSON, REGISTRIES_CONF, REGISTRIES_CONF_D, REGISTRIES_D,
};
use crate::model::policy::{Policy, Sourced};
use crate::model::registries_conf::RegistriesConf;
use crate::snapshot::{Kind, Object, Snapshot, api};

/// Whether nodes have what the objects ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum InForce {
    /// Every node of the pool has it.
    Yes,
    /// The rendered MachineConfig, or that of some node, has something else.
    No,
    /// The MachineConfigs or nodes are not known.
    Unknown,
}

/// Whether each pool's nodes have what is desired. `desired` is `None` where the controller refuses: then no pool has it.
pub fn in_force(snapshot: &Snapshot, compiled: &Compiled, desired: Option<&Truth>) -> BTreeMap<Arc<str>, InForce> {
    let mut contents = Contained { snapshot, compiled, known: HashMap::new() };
    let mut of_pool = |pool: &Wanted| {
        let Some(object) = snapshot.pools.iter().find(|object| *object.metadata.name == *pool.name) else {
            return InForce::Unknown;
        };
        let Some(desired) = desired else { return InForce::No };
        let group = desired.groups.iter().find(|group| group.names().any(|name| *name == *pool.name));
        group.map_or(InForce::Unknown, |group| contents.in_force(object, &group.files))
    };
    pools(snapshot).iter().map(|pool| (Arc::clone(&pool.name), of_pool(pool))).collect()
}

/// Whether nodes with this MachineConfig do the same as with `wanted`, whoever asked for it and whatever the MachineConfig's name.
pub fn delivers(machine_config: &Object<api::MachineConfig>, wanted: &NodeFiles, compiled: &Compiled) -> bool {
    have_same_content(&files_of(machine_config, compiled), wanted)
}

/// Rendered MachineConfigs as they were compared with what is desired: by name and the group of pools that wants it.
struct Contained<'a> {
    snapshot: &'a Snapshot,
    compiled: &'a Compiled,
    known: HashMap<(&'a str, *const NodeFiles), Option<bool>>,
}

impl<'a> Contained<'a> {
    fn in_force(&mut self, pool: &'a Object<api::MachineConfigPool>, wanted: &NodeFiles) -> InForce {
        let rendered = pool.value.spec.configuration.name.as_str();
        match self.has(rendered, wanted) {
            Some(true) => {}
            Some(false) => return InForce::No,
            None => return InForce::Unknown,
        }
        let status = &pool.value.status;
        if !self.snapshot.has_read(Kind::Node) {
            let is_rolled_out =
                status.configuration.name == rendered && status.updated_machine_count == status.machine_count;
            return if is_rolled_out { InForce::Yes } else { InForce::Unknown };
        }
        let mut answer = InForce::Yes;
        for node in &self.snapshot.nodes {
            if !pool_of_node(self.snapshot, &node.metadata.labels).is_some_and(|of_node| std::ptr::eq(of_node, pool)) {
                continue;
            }
            match current_config(node).and_then(|current| self.has(current, wanted)) {
                Some(true) => {}
                Some(false) => return InForce::No,
                None => answer = InForce::Unknown,
            }
        }
        answer
    }

    fn has(&mut self, name: &'a str, wanted: &NodeFiles) -> Option<bool> {
        let (snapshot, compiled) = (self.snapshot, self.compiled);
        let compare = || Some(delivers(machine_config(snapshot, name)?, wanted, compiled));
        *self.known.entry((name, std::ptr::from_ref(wanted))).or_insert_with(compare)
    }
}

/// What nodes with this MachineConfig and no other have.
pub fn files_of(machine_config: &Object<api::MachineConfig>, compiled: &Compiled) -> NodeFiles {
    let (_, files) = merge(vec![member(machine_config, &|path| compiled.concerns(path))], compiled.release);
    whole(&files)
}

/// Whether a MachineConfig says what the controller would write now; `None` where it refuses.
pub fn is_as_generated(machine_config: &Object<api::MachineConfig>, compiled: &Compiled) -> Option<bool> {
    let mut generated = (*compiled.generated.as_ref().ok()?.files).clone();
    fill_in_what_is_shipped(&mut generated);
    Some(have_same_content(&files_of(machine_config, compiled), &generated))
}

/// Whether nodes do the same with both, whoever asked for it.
fn have_same_content(a: &NodeFiles, b: &NodeFiles) -> bool {
    a.namespaces.keys().eq(b.namespaces.keys())
        && Comparable::of(a) == Comparable::of(b)
        && a.namespaces.keys().all(|name| has_same_namespace(a, b, name))
}

/// Whether both have the same policy for a namespace. One at a time: each of very many is as large as the cluster's.
fn has_same_namespace(a: &NodeFiles, b: &NodeFiles, name: &str) -> bool {
    let (Some(own), Some(other)) = (a.namespaces.get(name), b.namespaces.get(name)) else { return false };
    // What is not written yet has the cluster's scopes and its own: a file with fewer is another one.
    let lacks_scopes = |files: &NodeFiles, written: &NamespaceFile, computed: &NamespaceFile| {
        let cluster = files.policy.as_ref().map_or(0, |file| scopes_in(&file.policy));
        matches!((written, computed), (NamespaceFile::Whole(file), NamespaceFile::Additions { .. }) if scopes_in(&file.policy) < cluster)
    };
    if lacks_scopes(b, own, other) || lacks_scopes(a, other, own) {
        return false;
    }
    let policy = |files: &NodeFiles, file: &NamespaceFile| match (file, &files.policy) {
        (NamespaceFile::Whole(file), _) => Some(ComparablePolicy::of(&file.policy)),
        (NamespaceFile::Additions { scopes, .. }, Some(cluster)) => {
            Some(ComparablePolicy::of(&with_additions(&cluster.policy, scopes)))
        }
        (NamespaceFile::Additions { .. }, None) => None,
    };
    policy(a, own) == policy(b, other)
}

fn scopes_in(policy: &Policy) -> usize {
    policy.transports.values().map(crate::model::scopes::Scopes::len).sum()
}

/// Paths of the files with which nodes do not do the same.
pub fn differing_files(a: &NodeFiles, b: &NodeFiles) -> BTreeSet<String> {
    let names: BTreeSet<&str> = a.namespaces.keys().chain(b.namespaces.keys()).map(|name| &**name).collect();
    let namespaces = names.into_iter().filter(|name| !has_same_namespace(a, b, name));
    let mut paths: BTreeSet<String> = namespaces.map(|name| format!("{NAMESPACE_POLICIES}/{name}.json")).collect();
    let (a, b) = (Comparable::of(a), Comparable::of(b));
    if a.policy != b.policy {
        paths.insert(POLICY_JSON.to_string());
    }
    fn differing<'k, K: Ord, V: PartialEq>(
        a: &'k BTreeMap<K, V>,
        b: &'k BTreeMap<K, V>,
    ) -> impl Iterator<Item = &'k K> {
        let gone_or_other = a.iter().filter(|(key, value)| b.get(key) != Some(value)).map(|(key, _)| key);
        gone_or_other.chain(b.keys().filter(|key| !a.contains_key(key)))
    }
    paths.extend(differing(&a.registries, &b.registries).map(|name| match *name {
        "" => REGISTRIES_CONF.to_string(),
        name => format!("{REGISTRIES_CONF_D}/{name}"),
    }));
    paths.extend(differing(&a.storages, &b.storages).map(|(name, _)| format!("{REGISTRIES_D}/{name}")));
    paths.extend(differing(a.keys, b.keys).map(|path| path.to_string()));
    let unreadable = |own: &Comparable, other: &Comparable| {
        own.unreadable
            .iter()
            .filter(|path| !other.unreadable.contains(path))
            .map(|path| path.to_string())
            .collect::<Vec<_>>()
    };
    paths.extend(unreadable(&a, &b).into_iter().chain(unreadable(&b, &a)));
    paths
}

/// Lookaside and whether sigstore attachments are read.
type StorageSettings<'f> = (Option<&'f str>, Option<bool>);

/// Files without what makes no difference on a node, and without those of namespaces.
#[derive(PartialEq, Eq)]
struct Comparable<'f> {
    policy: Option<ComparablePolicy>,
    /// By file name; empty for the main file.
    registries: BTreeMap<&'f str, RegistriesConf>,
    /// By file name and scope; empty for the default.
    storages: BTreeMap<(&'f str, &'f str), StorageSettings<'f>>,
    keys: &'f BTreeMap<Box<str>, Arc<[u8]>>,
    unreadable: Vec<&'f str>,
}

impl<'f> Comparable<'f> {
    fn of(files: &'f NodeFiles) -> Self {
        let drop_ins = files.registries_conf_d.iter().map(|(name, conf)| (&**name, conf));
        let confs = files.registries_conf.iter().map(|conf| ("", conf)).chain(drop_ins);
        let mut storages = BTreeMap::new();
        for (name, file) in &files.registries_d {
            let default = file.default_docker.iter().map(|storage| ("", storage));
            let of_scopes = file.docker.iter().map(|(scope, storage)| (&**scope, storage));
            storages.extend(default.chain(of_scopes).map(|(scope, storage)| {
                ((&**name, scope), (storage.lookaside.as_deref(), storage.use_sigstore_attachments))
            }));
        }
        Self {
            policy: files.policy.as_ref().map(|file| ComparablePolicy::of(&file.policy)),
            registries: confs.map(|(name, conf)| (name, without_provenance(conf))).collect(),
            storages,
            keys: &files.keys,
            unreadable: files.unreadable.keys().map(|path| &**path).collect(),
        }
    }
}

fn without_provenance(conf: &RegistriesConf) -> RegistriesConf {
    let mut conf = conf.clone();
    conf.short_name_mode = conf.short_name_mode.filter(|mode| !mode.is_empty());
    for entry in &mut conf.registries {
        entry.from.clear();
        entry.mirrors.iter_mut().for_each(|mirror| mirror.from.clear());
    }
    conf
}

/// A policy by the hashes of its requirements, in any order, since the controller's is unspecified.
#[derive(PartialEq, Eq)]
struct ComparablePolicy {
    default: Vec<u64>,
    scopes: BTreeMap<(String, String), Vec<u64>>,
}

impl ComparablePolicy {
    fn of(policy: &Policy) -> Self {
        let state = foldhash::fast::FixedState::default();
        let hashes = |requirements: &[Sourced]| {
            let mut hashes: Vec<u64> =
                requirements.iter().map(|sourced| state.hash_one(&*sourced.requirement)).collect();
            hashes.sort_unstable();
            hashes
        };
        let all = policy.transports.iter().flat_map(|(transport, scopes)| {
            scopes.iter().map(move |(scope, own)| ((transport.to_string(), scope.into_owned()), own))
        });
        Self { default: hashes(&policy.default), scopes: all.map(|(place, own)| (place, hashes(own))).collect() }
    }
}
