//! Which pool gets what: the three truths (interface.md 2), last writers and losers, and whether what is asked for is in force.

pub use super::contents::{Content, Files, Which, contents, files};

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attribution::Attribution;
use super::overlay::is_ours;
use super::{Compiled, Generated, Overlay, policy};
use crate::model::machine_config::{
    Contents, IgnitionFile, Member, MergedFile, ROLE, generated_name, ignition_files, merge, overlay_name,
};
use crate::model::node_files::{
    NAMESPACE_POLICIES, NamespaceFile, NodeFiles, POLICY_JSON, PolicyFile, PolicyForm, REGISTRIES_CONF,
    REGISTRIES_CONF_D, REGISTRIES_D, file_name,
};
use crate::model::policy::{Policy, Requirements, Transport};
use crate::model::policy_write::{Additions, fits_atomic};
use crate::model::provenance::{Refusal, RefusalReason, RefusedBy};
use crate::model::registries_conf::RegistriesConf;
use crate::snapshot::{Object, Snapshot, api};

/// Pools whose nodes read the same.
#[derive(Clone, Debug)]
pub struct PoolGroup {
    /// Never empty.
    pub pools: Vec<Pool>,
    /// What their nodes read. Provenance of what a MachineConfig delivers names that of the first pool.
    pub files: Arc<NodeFiles>,
}

impl PoolGroup {
    /// The pools' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pools.iter().map(|pool| &*pool.name)
    }
}

/// How a pool comes by its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// Its MachineConfigs in the order of merging, as far as they are known.
    pub machine_configs: Vec<Arc<str>>,
    /// Path → MachineConfigs that write it, the last one with success. Only files that a node reads when it pulls.
    pub writers: BTreeMap<String, Vec<Arc<str>>>,
}

/// One of the truths, pool by pool.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// Groups of pools that agree, in the order of the pools.
    pub groups: Vec<PoolGroup>,
    /// Why pools or nodes are missing above: sentences for a person.
    pub missing: Vec<String>,
}

/// What the objects ask for: the generated MachineConfigs and our own computed anew and merged with all the others of each pool.
///
/// # Errors
/// What the controller or this program refuses: then there is no such thing.
pub fn desired(snapshot: &Snapshot, compiled: &Compiled) -> Result<Truth, Vec<Refusal>> {
    let merged = desired_merges(snapshot, compiled)?;
    let Ok(generated) = &compiled.generated else { return Ok(Truth::default()) };
    let groups = grouped(merged, |files| with_computed(files, generated, compiled.overlay()));
    Ok(Truth { groups, missing: Vec::new() })
}

/// The same as files that are merged and not yet read; what is computed is marked so.
pub(super) fn desired_merges<'a>(
    snapshot: &'a Snapshot,
    compiled: &'a Compiled,
) -> Result<Vec<MergedPool<'a>>, Vec<Refusal>> {
    let refusals = compiled.refusals();
    let (Ok(generated), true) = (&compiled.generated, refusals.is_empty()) else { return Err(refusals) };
    let pools = pools(snapshot);
    let paths: Vec<String> = generated.files().into_iter().map(|file| file.path).collect();
    let overlay = compiled.overlay().map(|overlay| {
        let paths: Vec<String> = overlay.delivered.files().into_iter().map(|file| file.path).collect();
        (with_overlay(snapshot, compiled, overlay), paths)
    });
    let merged = pools.iter().map(|wanted| {
        let mut members = foreign_members(snapshot, compiled, &pools, wanted);
        for pool in pools.iter().filter(|pool| pool.is_built_in && wanted.takes_role(&pool.name)) {
            members.push(computed_member(generated_name(&pool.name), &pool.name, &paths, Contents::Generated));
        }
        if let Some((roles, paths)) = &overlay {
            for role in roles.iter().filter(|role| wanted.takes_role(role)) {
                members.push(computed_member(overlay_name(role), role, paths, Contents::Overlay));
            }
        }
        merged_pool(wanted, members, compiled)
    });
    Ok(merged.collect())
}

/// The MachineConfigs of a pool that are not computed anew, with those of their files that matter.
fn foreign_members<'a>(
    snapshot: &'a Snapshot,
    compiled: &Compiled,
    pools: &[Wanted],
    wanted: &Wanted,
) -> Vec<Member<'a>> {
    let written = written_members(snapshot, compiled, pools, wanted).into_iter();
    written.map(|object| member(object, &|path| compiled.concerns(path))).collect()
}

/// The MachineConfigs of a pool that are not computed anew.
pub(super) fn written_members<'a>(
    snapshot: &'a Snapshot,
    compiled: &Compiled,
    pools: &[Wanted],
    wanted: &Wanted,
) -> Vec<&'a Object<api::MachineConfig>> {
    // Where nothing asks for an overlay, one that is there is a MachineConfig like any other.
    let is_computed = |object: &Object<api::MachineConfig>| {
        is_recomputed(object, pools) || (compiled.overlay().is_some() && is_ours(object))
    };
    let foreign = snapshot.machine_configs.iter().filter(|object| !is_computed(object));
    foreign.filter(|object| wanted.takes(&object.metadata.labels)).collect()
}

fn computed_member(name: String, role: &str, paths: &[String], contents: Contents<'static>) -> Member<'static> {
    let file =
        |path: &String| IgnitionFile { path: Cow::Owned(path.clone()), contents: Some(contents), append: Vec::new() };
    Member { name: name.into(), role: Cow::Owned(role.to_string()), files: paths.iter().map(file).collect() }
}

/// Pools for which our overlay needs a MachineConfig of its own role: built-in ones, and custom ones where a MachineConfig of that
/// role writes one of its files and would win over the worker's.
pub(super) fn with_overlay(snapshot: &Snapshot, compiled: &Compiled, overlay: &Overlay) -> Vec<String> {
    let pools = pools(snapshot);
    let paths: BTreeSet<String> = overlay.delivered.files().into_iter().map(|file| file.path).collect();
    let has_own_writer = |pool: &Wanted| {
        let members = foreign_members(snapshot, compiled, &pools, pool);
        let own = members.iter().filter(|member| *member.role == *pool.name);
        own.flat_map(|member| &member.files).any(|file| paths.contains(&*file.path))
    };
    let needs_one = |pool: &&Wanted| pool.is_built_in || has_own_writer(pool);
    pools.iter().filter(needs_one).map(|pool| pool.name.to_string()).collect()
}

/// The policy.json of a MachineConfig that is neither generated nor rendered, where it has one that can be read.
pub(super) fn foreign_policies(object: &Object<api::MachineConfig>) -> Vec<Policy> {
    let name = &object.metadata.name;
    if name.starts_with("rendered-") || name.ends_with("-generated-registries") {
        return Vec::new();
    }
    let is_policy = |path: &str| path == POLICY_JSON || path.starts_with(NAMESPACE_POLICIES);
    let from = crate::model::provenance::Provenance::Default("");
    let read = |file: IgnitionFile| match file.contents {
        Some(Contents::Url(url)) => Policy::read(&url.decode().ok()?, &from).ok(),
        _ => None,
    };
    member(object, &is_policy).files.into_iter().filter_map(read).collect()
}

/// What the machine-config-operator last rendered: `spec.configuration.name` of each pool.
pub fn rendered(snapshot: &Snapshot, compiled: &Compiled) -> Truth {
    let attribution = Attribution::new(snapshot, compiled);
    let mut merged = Vec::new();
    let mut missing = Vec::new();
    for pool in &snapshot.pools {
        let name = &pool.value.spec.configuration.name;
        match machine_config(snapshot, name) {
            Some(rendered) => merged.push(rendered_pool(snapshot, compiled, pool, rendered)),
            None if name.is_empty() => {
                missing.push(format!("pool {} has no rendered MachineConfig", pool.metadata.name))
            }
            None => missing.push(format!("MachineConfig {name} of pool {} is not known", pool.metadata.name)),
        }
    }
    if snapshot.pools.is_empty() {
        missing.push("no MachineConfigPool is known".into());
    }
    Truth { groups: grouped(merged, |files| attribution.apply(whole(files))), missing }
}

/// What one node has: the MachineConfig that its annotation `currentConfig` names.
///
/// # Errors
/// A sentence for a person: there is no such node, or its MachineConfig is not known.
pub fn of_node(snapshot: &Snapshot, compiled: &Compiled, node: &str) -> Result<PoolGroup, String> {
    let object = snapshot.nodes.iter().find(|object| object.metadata.name == node);
    let object = object.ok_or_else(|| format!("node {node} is not known"))?;
    let current = current_config(object).ok_or_else(|| format!("node {node} has no annotation {CURRENT_CONFIG}"))?;
    let machine_config = machine_config(snapshot, current)
        .ok_or_else(|| format!("MachineConfig {current} of node {node} is not known"))?;
    let pool = pool_of_node(snapshot, &object.metadata.labels);
    let merged = match pool {
        Some(pool) => rendered_pool(snapshot, compiled, pool, machine_config),
        None => {
            let members = vec![member(machine_config, &|path| compiled.concerns(path))];
            merged_pool(&Wanted::unlabelled(node), members, compiled)
        }
    };
    let attribution = Attribution::new(snapshot, compiled);
    let group = grouped(vec![merged], |files| attribution.apply(whole(files))).pop();
    group.ok_or_else(|| format!("node {node} has no files"))
}

/// Names of the pools for which the controller generates a MachineConfig; custom pools inherit the worker's.
pub fn built_in(snapshot: &Snapshot) -> Vec<String> {
    pools(snapshot).into_iter().filter(|pool| pool.is_built_in).map(|pool| pool.name.to_string()).collect()
}

const BUILT_IN: &str = "machineconfiguration.openshift.io/mco-built-in";
const CURRENT_CONFIG: &str = "machineconfiguration.openshift.io/currentConfig";

type Labels = BTreeMap<String, String>;

/// A pool and what its selector takes.
pub(super) struct Wanted<'a> {
    pub(super) name: Arc<str>,
    is_built_in: bool,
    selector: Option<&'a api::LabelSelector>,
}

/// Without pool objects master and worker (interface.md 2).
pub(super) fn pools(snapshot: &Snapshot) -> Vec<Wanted<'_>> {
    if snapshot.pools.is_empty() {
        let pool = |name: &str| Wanted { name: name.into(), is_built_in: true, selector: None };
        return ["master", "worker"].map(pool).into();
    }
    let pools = snapshot.pools.iter();
    pools
        .map(|object| Wanted {
            name: object.metadata.name.as_str().into(),
            is_built_in: is_built_in(object),
            selector: object.value.spec.machine_config_selector.as_ref(),
        })
        .collect()
}

/// By its label; manifests written by hand may lack it.
fn is_built_in(pool: &Object<api::MachineConfigPool>) -> bool {
    pool.metadata.labels.contains_key(BUILT_IN)
        || matches!(pool.metadata.name.as_str(), "master" | "worker" | "arbiter")
}

impl Wanted<'_> {
    pub(super) fn unlabelled(name: &str) -> Self {
        Self { name: name.into(), is_built_in: false, selector: None }
    }

    /// Whether a MachineConfig with this role and no other label belongs to the pool.
    pub(super) fn takes_role(&self, role: &str) -> bool {
        self.takes(&Labels::from([(ROLE.to_string(), role.to_string())]))
    }

    /// Whether a MachineConfig with these labels belongs to the pool; without a selector its role says so.
    fn takes(&self, labels: &Labels) -> bool {
        match self.selector {
            Some(selector) => selects(selector, labels),
            None => labels.get(ROLE).is_some_and(|role| **role == *self.name),
        }
    }
}

/// An empty selector selects nothing: the machine-config-operator leaves such a pool alone.
fn selects(selector: &api::LabelSelector, labels: &Labels) -> bool {
    if selector.match_labels.is_empty() && selector.match_expressions.is_empty() {
        return false;
    }
    let expression = |wanted: &api::LabelRequirement| {
        let value = labels.get(&wanted.key);
        let is_one_of = || value.is_some_and(|value| wanted.values.contains(value));
        match wanted.operator.as_str() {
            "In" => is_one_of(),
            "NotIn" => !is_one_of(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    };
    selector.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().all(expression)
}

/// What the controller would write anew, and renderings: neither is a source.
fn is_recomputed(object: &Object<api::MachineConfig>, pools: &[Wanted]) -> bool {
    let name = &object.metadata.name;
    name.starts_with("rendered-") || pools.iter().any(|pool| pool.is_built_in && *name == generated_name(&pool.name))
}

pub(crate) fn machine_config<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a Object<api::MachineConfig>> {
    snapshot.machine_configs.iter().find(|object| !name.is_empty() && object.metadata.name == name)
}

/// A MachineConfig with those of its files that matter.
pub(super) fn member<'a>(object: &'a Object<api::MachineConfig>, concerns: &dyn Fn(&str) -> bool) -> Member<'a> {
    Member {
        name: object.metadata.name.as_str().into(),
        role: object.metadata.labels.get(ROLE).map(String::as_str).unwrap_or_default().into(),
        files: ignition_files(&object.value.spec.config).filter(|file| concerns(&file.path)).collect(),
    }
}

/// Whether a node reads the file when it pulls.
pub(super) fn is_read_by_nodes(path: &str) -> bool {
    let in_folder = |folder: &str, ending| {
        let name = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
        name.is_some_and(|name| !name.contains('/') && name.ends_with(ending))
    };
    path == POLICY_JSON
        || path == REGISTRIES_CONF
        || in_folder(NAMESPACE_POLICIES, ".json")
        || in_folder(REGISTRIES_CONF_D, ".conf")
        || in_folder(REGISTRIES_D, ".yaml")
}

/// A pool with its files.
pub(super) type MergedPool<'a> = (Pool, BTreeMap<String, MergedFile<'a>>);

pub(super) fn merged_pool<'a>(pool: &Wanted, members: Vec<Member<'a>>, compiled: &Compiled) -> MergedPool<'a> {
    let (machine_configs, files) = merge(members, compiled.release);
    let writers = files.iter().map(|(path, file)| (path.clone(), file.writers.clone())).collect();
    (Pool { name: Arc::clone(&pool.name), machine_configs, writers }, files)
}

/// The content is the rendered one's; who wrote a file is found by merging its sources again (domain.md 3.4).
pub(super) fn rendered_pool<'a>(
    snapshot: &'a Snapshot,
    compiled: &Compiled,
    pool: &'a Object<api::MachineConfigPool>,
    rendered: &'a Object<api::MachineConfig>,
) -> MergedPool<'a> {
    let wanted = Wanted { name: pool.metadata.name.as_str().into(), is_built_in: false, selector: None };
    let concerns = |path: &str| compiled.concerns(path);
    let (mut merged, mut files) = merged_pool(&wanted, vec![member(rendered, &concerns)], compiled);
    let configurations = [&pool.value.spec.configuration, &pool.value.status.configuration];
    let Some(configuration) = configurations.into_iter().find(|found| found.name == rendered.metadata.name) else {
        return (merged, files);
    };
    let names: BTreeSet<&str> = configuration.source.iter().map(|source| source.name.as_str()).collect();
    let sources = snapshot.machine_configs.iter().filter(|object| names.contains(object.metadata.name.as_str()));
    let sources = sources.map(|object| member(object, &concerns)).collect();
    let (sources, by_source) = merged_pool(&wanted, sources, compiled);
    for (path, file) in &mut files {
        if let Some(source) = by_source.get(path) {
            file.writers.clone_from(&source.writers);
            merged.writers.insert(path.clone(), source.writers.clone());
        }
    }
    if !sources.machine_configs.is_empty() {
        merged.machine_configs = sources.machine_configs;
    }
    (merged, files)
}

fn grouped<'a>(
    pools: Vec<MergedPool<'a>>,
    files_of: impl Fn(&BTreeMap<String, MergedFile>) -> Arc<NodeFiles>,
) -> Vec<PoolGroup> {
    let mut groups: Vec<(Vec<Pool>, BTreeMap<String, MergedFile>)> = Vec::new();
    for (pool, files) in pools {
        let agrees = |other: &BTreeMap<String, MergedFile>| {
            let same = |((path, file), (other_path, other)): ((&String, &MergedFile), (&String, &MergedFile))| {
                path == other_path && file.has_same_content(other)
            };
            files.len() == other.len() && files.iter().zip(other).all(same)
        };
        match groups.iter_mut().find(|(_, other)| agrees(other)) {
            Some((pools, _)) => pools.push(pool),
            None => groups.push((vec![pool], files)),
        }
    }
    groups.into_iter().map(|(pools, files)| PoolGroup { pools, files: files_of(&files) }).collect()
}

/// Files that were written, read back.
fn as_written(files: &BTreeMap<String, MergedFile>) -> NodeFiles {
    let mut undecodable = Vec::new();
    let mut keys = BTreeMap::new();
    let is_written = |file: &MergedFile| !matches!(file.contents, Some(Contents::Generated | Contents::Overlay));
    let written = files.iter().filter(|(_, file)| is_written(file)).filter_map(|(path, file)| {
        let writer = file.writers.last().cloned();
        match file.bytes() {
            Ok(bytes) if is_read_by_nodes(path) => Some((path.as_str(), bytes, writer)),
            Ok(keyring) => {
                keys.insert(path.as_str().into(), keyring.into());
                None
            }
            Err(why) => {
                undecodable.push((path, why, writer));
                None
            }
        }
    });
    let mut read = NodeFiles::read(written);
    read.keys = keys;
    for (path, why, writer) in undecodable {
        let writer = writer.map(|name| format!(" of MachineConfig {name}")).unwrap_or_default();
        let reason = match path.as_str() {
            path if path == POLICY_JSON || path.starts_with(NAMESPACE_POLICIES) => RefusalReason::PolicyUnreadable,
            path if path.starts_with(REGISTRIES_D) => RefusalReason::RegistriesDUnreadable,
            _ => RefusalReason::RegistriesUnreadable,
        };
        let text = format!("{path}{writer} cannot be read: {why}");
        let refusal = Refusal { by: RefusedBy::Plugin, reason, text, causes: Vec::new() };
        read.unreadable.insert(path.as_str().into(), refusal);
    }
    read
}

/// The same where nothing else adds to it.
pub(super) fn whole(files: &BTreeMap<String, MergedFile>) -> NodeFiles {
    let mut read = as_written(files);
    fill_in_what_is_shipped(&mut read);
    read
}

/// What is computed and what MachineConfigs write, as one; where nobody delivers a policy.json, the one that OpenShift ships.
fn with_computed(
    files: &BTreeMap<String, MergedFile>,
    generated: &Generated,
    overlay: Option<&Overlay>,
) -> Arc<NodeFiles> {
    let is_by = |path: &str, whose| files.get(path).is_some_and(|file| file.contents == Some(whose));
    let lost_of = |computed: &Generated, whose| -> Vec<String> {
        computed.files().into_iter().map(|file| file.path).filter(|path| !is_by(path, whose)).collect()
    };
    // Most clusters have no other MachineConfigs for these files: nothing has to be copied then.
    let is_ours_alone =
        files.values().all(|file| matches!(file.contents, Some(Contents::Generated | Contents::Overlay)));
    let is_complete = |files: &NodeFiles| files.policy.is_some() && files.registries_conf.is_some();
    let lost = lost_of(generated, Contents::Generated);
    let whole = match overlay {
        None => lost.is_empty().then_some(&generated.files),
        Some(overlay) => lost_of(&overlay.delivered, Contents::Overlay).is_empty().then_some(&overlay.composed),
    };
    if let Some(whole) = whole.filter(|files| is_ours_alone && is_complete(files)) {
        return Arc::clone(whole);
    }
    let mut all = kept(&generated.files, &lost);
    if let Some(overlay) = overlay {
        lay(&mut all, kept(&overlay.delivered.files, &lost_of(&overlay.delivered, Contents::Overlay)));
    }
    lay(&mut all, as_written(files));
    fill_in_what_is_shipped(&mut all);
    Arc::new(all)
}

/// Files without those that somebody else writes.
fn kept(files: &NodeFiles, lost: &[String]) -> NodeFiles {
    let mut all = files.clone();
    if lost.iter().any(|path| path == POLICY_JSON) {
        // The files of namespaces rest on the policy that they were made with, whoever delivers the cluster's.
        let cluster = all.policy.take();
        for file in all.namespaces.values_mut() {
            if let (NamespaceFile::Additions { scopes, form }, Some(cluster)) = (&*file, &cluster) {
                *file =
                    NamespaceFile::Whole(PolicyFile { policy: with_additions(&cluster.policy, scopes), form: *form });
            }
        }
    }
    lost.iter().for_each(|path| remove(&mut all, path));
    all
}

/// Lays files over others: they have no path in common, since each has one winner.
fn lay(all: &mut NodeFiles, over: NodeFiles) {
    let NodeFiles { policy, namespaces, registries_conf, registries_conf_d, registries_d, keys, unreadable } = over;
    all.policy = policy.or(all.policy.take());
    all.registries_conf = registries_conf.or(all.registries_conf.take());
    all.namespaces.extend(namespaces);
    all.registries_conf_d.extend(registries_conf_d);
    all.registries_d.extend(registries_d);
    all.keys.extend(keys);
    all.unreadable.extend(unreadable);
}

/// Where no MachineConfig delivers policy.json or registries.conf, nodes have those that OpenShift ships.
pub(super) fn fill_in_what_is_shipped(files: &mut NodeFiles) {
    if files.policy.is_none() && !files.unreadable.contains_key(POLICY_JSON) {
        files.policy = Some(PolicyFile { policy: policy::shipped(), form: PolicyForm::Template });
    }
    if files.registries_conf.is_none() && !files.unreadable.contains_key(REGISTRIES_CONF) {
        let search = super::SHIPPED_SEARCH.map(str::to_string).into();
        files.registries_conf =
            Some(RegistriesConf { unqualified_search_registries: Some(search), ..RegistriesConf::default() });
    }
}

fn remove(files: &mut NodeFiles, path: &str) {
    let name = file_name(path);
    match path {
        POLICY_JSON => files.policy = None,
        REGISTRIES_CONF => files.registries_conf = None,
        _ if path.starts_with(NAMESPACE_POLICIES) => _ = files.namespaces.remove(name.trim_end_matches(".json")),
        _ if path.starts_with(REGISTRIES_CONF_D) => _ = files.registries_conf_d.remove(name),
        _ if path.starts_with(REGISTRIES_D) => _ = files.registries_d.remove(name),
        _ => _ = files.keys.remove(path),
    }
}

/// A namespace's policy in full (domain.md 2.7).
pub(super) fn with_additions(cluster: &Policy, additions: &Additions) -> Policy {
    let mut policy = cluster.clone();
    for transport in [Transport::Docker, Transport::Atomic] {
        let scopes = policy.transports.entry(transport.clone()).or_default();
        let fits = |scope: &str| transport == Transport::Docker || fits_atomic(scope);
        for (scope, added) in additions.iter().filter(|(scope, _)| fits(scope)) {
            let all: Requirements = match scopes.get(scope) {
                Some(own) => own.iter().chain(added.iter()).cloned().collect(),
                None => Arc::clone(added),
            };
            scopes.insert(scope, all);
        }
    }
    policy
}

pub(crate) fn current_config<T>(node: &Object<T>) -> Option<&str> {
    node.metadata.annotations.get(CURRENT_CONFIG).map(String::as_str).filter(|name| !name.is_empty())
}

/// A node that a custom pool selects belongs to that one rather than to worker; master wins over everything.
pub(crate) fn pool_of_node<'a>(
    snapshot: &'a Snapshot,
    labels: &BTreeMap<String, String>,
) -> Option<&'a Object<api::MachineConfigPool>> {
    let selecting = snapshot
        .pools
        .iter()
        .filter(|pool| pool.value.spec.node_selector.as_ref().is_some_and(|selector| selects(selector, labels)));
    selecting.min_by_key(|pool| match pool.metadata.name.as_str() {
        "master" => 0,
        "arbiter" => 1,
        "worker" => 3,
        _ => 2,
    })
}
