//! How far pools and nodes have taken what the objects ask for, and what keeps them from it (domain.md 3.3).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use crate::compile::Compiled;
use crate::compile::in_force::delivers;
use crate::compile::pools::{PoolGroup, Truth, desired, pool_of_node};
use crate::model::node_files::NodeFiles;
use crate::model::provenance::{Refusal, RefusedBy};
use crate::snapshot::{Gap, GapReason, Kind, Object, Snapshot, api};

/// Pools, and the nodes of them as far as nodes could be read (interface.md 3, `Rollout`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RolloutStatus {
    /// In the order in which they were read.
    pub pools: Vec<PoolStatus>,
    /// Those that belong to a pool, in the order in which they were read.
    pub nodes: Vec<NodeStatus>,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Its name.
    pub name: Arc<str>,
    /// The rendered MachineConfig that its nodes should have; empty where there is none yet.
    pub wanted: String,
    /// Whether nothing is rolled out.
    pub paused: bool,
    /// How many nodes it has.
    pub nodes: u64,
    /// How many of them have `wanted`.
    pub updated: u64,
    /// How many of them have what the objects ask for, by content; `None` where that is not known.
    pub have_change: Option<u64>,
    /// Where it stands.
    pub state: State,
    /// Why it stands there, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it stays there until somebody does something: waiting does not help.
    #[serde(skip)]
    pub stays: bool,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Its pool.
    pub pool: Arc<str>,
    /// The MachineConfig that it has; empty where it has none yet.
    pub current: Arc<str>,
    /// The one that it is told to take.
    pub desired: Arc<str>,
    /// Whether it has what the objects ask for, by content; `None` where that is not known.
    pub have_change: Option<bool>,
    /// Where it stands.
    pub state: State,
    /// Why it stands there, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where a pool or node stands, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum State {
    /// It has what is rendered, and that is what the objects ask for.
    Done,
    /// On its way.
    Progressing,
    /// Something keeps it where it is.
    Stuck,
    /// It has failed.
    Degraded,
}

impl RolloutStatus {
    /// The worst of the pools; done where there is none.
    pub fn state(&self) -> State {
        self.pools.iter().map(|pool| pool.state).max().unwrap_or(State::Done)
    }

    /// The first pool that neither is done nor will be by waiting.
    pub fn hopeless(&self) -> Option<&PoolStatus> {
        self.pools.iter().find(|pool| pool.stays && pool.state >= State::Stuck)
    }
}

/// What is read of a node: a few fields of an object of many kilobytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// `metadata.name`
    pub name: Arc<str>,
    /// `metadata.labels`: pools choose by them.
    pub labels: BTreeMap<String, String>,
    current: Arc<str>,
    desired: Arc<str>,
    state: Box<str>,
    reason: Box<str>,
    is_drained: bool,
    not_ready: Option<Box<str>>,
}

impl NodeFacts {
    /// From the object's fields.
    pub fn of(metadata: &api::Metadata, node: &api::Node) -> Self {
        let annotation = |name: &str| {
            let key = format!("machineconfiguration.openshift.io/{name}");
            metadata.annotations.get(&key).map(String::as_str).unwrap_or_default()
        };
        let (current, desired) = (annotation("currentConfig"), annotation("desiredConfig"));
        let wanted_drain = annotation("desiredDrain");
        let not_ready =
            node.status.conditions.iter().find(|condition| condition.kind == "Ready" && condition.status != "True");
        let why = |condition: &api::Condition| {
            let why = if condition.message.is_empty() { &condition.reason } else { &condition.message };
            shortened(why).into()
        };
        Self {
            name: metadata.name.as_str().into(),
            labels: metadata.labels.clone(),
            current: current.into(),
            desired: if desired.is_empty() { current } else { desired }.into(),
            state: annotation("state").into(),
            reason: shortened(annotation("reason")).into(),
            is_drained: !wanted_drain.starts_with("drain-") || wanted_drain == annotation("lastAppliedDrain"),
            not_ready: not_ready.map(why),
        }
    }

    /// The MachineConfig that it has.
    pub fn current(&self) -> &str {
        &self.current
    }
}

/// What a MachineConfig has of what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// All of it.
    HasChange,
    /// Something else.
    HasOther,
    /// There is no such MachineConfig.
    Missing,
    /// Nobody can tell.
    Unknown,
}

impl Comparison {
    fn has_change(self) -> Option<bool> {
        match self {
            Self::HasChange => Some(true),
            Self::HasOther => Some(false),
            Self::Missing | Self::Unknown => None,
        }
    }
}

/// What the objects ask of the nodes of each pool, to compare MachineConfigs with.
pub struct Wanted {
    pools: Result<BTreeMap<Arc<str>, Arc<NodeFiles>>, Vec<Refusal>>,
}

impl Wanted {
    /// What follows from the objects, or why nothing does. Where the Image or the ClusterImagePolicies could not be read, nobody can
    /// tell.
    pub fn of(snapshot: &Snapshot, compiled: &Compiled) -> Self {
        if blind(snapshot).is_some() {
            return Self { pools: Ok(BTreeMap::new()) };
        }
        let by_pool = |truth: Truth| {
            let of_group = |group: &PoolGroup| {
                let files = Arc::clone(&group.files);
                group.pools.iter().map(|pool| (Arc::clone(&pool.name), Arc::clone(&files))).collect::<Vec<_>>()
            };
            truth.groups.iter().flat_map(of_group).collect()
        };
        Self { pools: desired(snapshot, compiled).map(by_pool) }
    }

    /// What the MachineConfig has of what is asked of the pool, by content. `compiled` is what this was made of.
    pub fn compare(&self, machine_config: &Object<api::MachineConfig>, pool: &str, compiled: &Compiled) -> Comparison {
        let Ok(pools) = &self.pools else { return Comparison::HasOther };
        match pools.get(pool).map(|files| delivers(machine_config, files, compiled)) {
            Some(true) => Comparison::HasChange,
            Some(false) => Comparison::HasOther,
            None => Comparison::Unknown,
        }
    }

    /// Why nothing is asked for.
    pub fn refusals(&self) -> &[Refusal] {
        self.pools.as_ref().err().map(Vec::as_slice).unwrap_or_default()
    }
}

/// What keeps everybody from knowing what nodes should have.
pub fn blind(snapshot: &Snapshot) -> Option<&Gap> {
    let decides = |gap: &&Gap| {
        matches!(gap.kind, Kind::Image | Kind::ClusterImagePolicy) && gap.reason != GapReason::NotInstalled
    };
    snapshot.gaps.iter().find(decides)
}

/// Where everything stands.
pub fn status(snapshot: &Snapshot, compiled: &Compiled) -> RolloutStatus {
    let wanted = Wanted::of(snapshot, compiled);
    let by_name: HashMap<&str, &Object<api::MachineConfig>> =
        snapshot.machine_configs.iter().map(|object| (object.metadata.name.as_str(), object)).collect();
    let is_complete = snapshot.has_read(Kind::MachineConfig)
        && !snapshot.gaps.iter().any(|gap| gap.kind == Kind::MachineConfig && gap.reason == GapReason::Forbidden);
    let absent = if is_complete { Comparison::Missing } else { Comparison::Unknown };
    let mut known: HashMap<(Arc<str>, Arc<str>), Comparison> = HashMap::new();
    let mut compare = |pool: &Arc<str>, name: &Arc<str>| {
        let compare = || by_name.get(&**name).map_or(absent, |object| wanted.compare(object, pool, compiled));
        *known.entry((Arc::clone(pool), Arc::clone(name))).or_insert_with(compare)
    };
    let nodes: Vec<NodeFacts>;
    let facts = match snapshot.has_read(Kind::Node) {
        true => {
            nodes = snapshot.nodes.iter().map(|node| NodeFacts::of(&node.metadata, &node.value)).collect();
            Some(nodes.iter())
        }
        false => None,
    };
    status_of(snapshot, facts, &mut compare, wanted.refusals())
}

/// What a MachineConfig (its name comes second) has of what is asked of a pool.
pub type Compare<'f> = dyn FnMut(&Arc<str>, &Arc<str>) -> Comparison + 'f;

/// The same from parts, for who keeps them up to date: pools of the snapshot, nodes where they could be read, and what the comparison of
/// MachineConfigs came to.
pub fn status_of<'n>(
    snapshot: &Snapshot,
    nodes: Option<impl Iterator<Item = &'n NodeFacts>>,
    compare: &mut Compare,
    refusals: &[Refusal],
) -> RolloutStatus {
    let mut pools: Vec<PoolInMaking> = snapshot.pools.iter().map(PoolInMaking::new).collect();
    let positions: HashMap<*const Object<api::MachineConfigPool>, usize> =
        snapshot.pools.iter().enumerate().map(|(position, pool)| (std::ptr::from_ref(pool), position)).collect();
    let mut status = RolloutStatus::default();
    let nodes_are_known = nodes.is_some();
    for node in nodes.into_iter().flatten() {
        let pool = pool_of_node(snapshot, &node.labels).and_then(|pool| positions.get(&std::ptr::from_ref(pool)));
        let Some(pool) = pool.and_then(|position| pools.get_mut(*position)) else { continue };
        let has_change = match node.current.is_empty() {
            true => Some(false),
            false => compare(&pool.name, &node.current).has_change(),
        };
        let node = node_status(node, pool, has_change);
        pool.add(&node);
        status.nodes.push(node);
    }
    for mut pool in pools {
        let name: Arc<str> = pool.object.value.spec.configuration.name.as_str().into();
        let rendered = if name.is_empty() { Comparison::HasOther } else { compare(&pool.name, &name) };
        if !nodes_are_known {
            pool.count_by_its_status(rendered.has_change());
        }
        status.pools.push(pool.finished(rendered, refusals));
    }
    status
}

fn node_status(node: &NodeFacts, pool: &PoolInMaking, have_change: Option<bool>) -> NodeStatus {
    let wanted = pool.object.value.spec.configuration.name.as_str();
    let has_wanted = *node.current == *wanted;
    let reason = |text: &str| Some(text.to_string());
    let (state, reason) = match &*node.state {
        "Degraded" | "Unreconcilable" if node.reason.is_empty() => (State::Degraded, reason("it gives no reason")),
        "Degraded" | "Unreconcilable" => (State::Degraded, reason(&node.reason)),
        _ if node.current.is_empty() => (State::Progressing, reason("it has no MachineConfig yet")),
        state if node.desired != node.current || matches!(state, "Working" | "Rebooting") => working(node),
        _ if !has_wanted && pool.object.value.spec.paused => (State::Stuck, reason("its pool is paused")),
        _ => match &node.not_ready {
            Some(why) if why.is_empty() => (State::Stuck, reason("not Ready")),
            Some(why) => (State::Stuck, Some(format!("not Ready: {why}"))),
            None if has_wanted => (State::Done, None),
            None => (State::Progressing, reason("waits for its turn")),
        },
    };
    NodeStatus {
        name: Arc::clone(&node.name),
        pool: Arc::clone(&pool.name),
        current: Arc::clone(&node.current),
        desired: Arc::clone(&node.desired),
        have_change,
        state,
        reason,
    }
}

/// A node in the middle of it. One that cannot be drained says so in its reason.
fn working(node: &NodeFacts) -> (State, Option<String>) {
    if !node.reason.is_empty() {
        let is_refused = node.reason.to_ascii_lowercase().contains("drain");
        return (if is_refused { State::Stuck } else { State::Progressing }, Some(node.reason.to_string()));
    }
    let doing = match &*node.state {
        "Rebooting" => "rebooting",
        _ if !node.is_drained => "being drained",
        _ if node.not_ready.is_some() => "updating, not Ready",
        _ => "updating",
    };
    (State::Progressing, Some(doing.to_string()))
}

/// A pool while its nodes are counted.
struct PoolInMaking<'a> {
    name: Arc<str>,
    object: &'a Object<api::MachineConfigPool>,
    nodes: u64,
    updated: u64,
    done: u64,
    have_change: Option<u64>,
    degraded: Option<String>,
    stuck: Option<String>,
    is_moving: bool,
}

impl<'a> PoolInMaking<'a> {
    fn new(object: &'a Object<api::MachineConfigPool>) -> Self {
        Self {
            name: object.metadata.name.as_str().into(),
            object,
            nodes: 0,
            updated: 0,
            done: 0,
            have_change: Some(0),
            degraded: None,
            stuck: None,
            is_moving: false,
        }
    }

    fn add(&mut self, node: &NodeStatus) {
        self.nodes += 1;
        let has_wanted = *node.current == *self.object.value.spec.configuration.name;
        self.updated += u64::from(has_wanted && node.desired == node.current && node.state != State::Degraded);
        self.done += u64::from(node.state == State::Done);
        self.have_change = self.have_change.zip(node.have_change).map(|(count, has)| count + u64::from(has));
        let reason = || format!("node {}: {}", node.name, node.reason.as_deref().unwrap_or_default());
        match node.state {
            State::Degraded => _ = self.degraded.get_or_insert_with(reason),
            State::Stuck => _ = self.stuck.get_or_insert_with(reason),
            State::Progressing => self.is_moving |= node.current != node.desired,
            State::Done => {}
        }
    }

    fn count_by_its_status(&mut self, has_change: Option<bool>) {
        let status = &self.object.value.status;
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        (self.nodes, self.updated) = (count(status.machine_count), count(status.updated_machine_count));
        self.done = self.updated;
        // What the others have is not known.
        self.have_change =
            has_change.filter(|has| *has || self.updated == self.nodes).map(|has| u64::from(has) * self.updated);
    }

    fn finished(self, rendered: Comparison, refusals: &[Refusal]) -> PoolStatus {
        let (state, reason, stays) = self.state(rendered, refusals);
        PoolStatus {
            name: self.name,
            wanted: self.object.value.spec.configuration.name.clone(),
            paused: self.object.value.spec.paused,
            nodes: self.nodes,
            updated: self.updated,
            have_change: self.have_change,
            state,
            reason,
            stays,
        }
    }

    fn state(&self, rendered: Comparison, refusals: &[Refusal]) -> (State, Option<String>, bool) {
        let (spec, status) = (&self.object.value.spec, &self.object.value.status);
        let wanted = &spec.configuration.name;
        if let Some(why) = self.degraded() {
            return (State::Degraded, Some(why), true);
        }
        if let Some(refusal) = refusals.first() {
            let more = if refusals.len() > 1 { format!(" (and {} more)", refusals.len() - 1) } else { String::new() };
            let text = shortened(&refusal.text);
            let what = match refusal.by {
                RefusedBy::Plugin => "what is asked for contradicts itself",
                _ => "the controller has frozen",
            };
            return (State::Stuck, Some(format!("{what}: {text}{more}")), true);
        }
        if wanted.is_empty() {
            return (State::Progressing, Some("nothing is rendered for it yet".into()), false);
        }
        match rendered {
            Comparison::HasOther => {
                let why = format!("the controller has not rendered this yet: {wanted} has something else");
                return (State::Progressing, Some(why), false);
            }
            Comparison::Missing => {
                return (State::Stuck, Some(format!("MachineConfig {wanted}, which it names, is missing")), false);
            }
            Comparison::HasChange | Comparison::Unknown => {}
        }
        let is_behind = !status.configuration.name.is_empty() && status.configuration.name != *wanted;
        if self.done == self.nodes && !is_behind {
            return (State::Done, None, false);
        }
        if spec.paused && self.updated < self.nodes {
            return (State::Stuck, Some("paused: nodes stay as they are until spec.paused is false".into()), true);
        }
        match &self.stuck {
            Some(why) if !self.is_moving => (State::Stuck, Some(why.clone()), false),
            Some(why) => (State::Progressing, Some(why.clone()), false),
            None if self.done == self.nodes => {
                (State::Progressing, Some("all nodes have it, the pool is about to say so".into()), false)
            }
            None => (State::Progressing, None, false),
        }
    }

    /// The most telling condition that says so, else the first node that does.
    fn degraded(&self) -> Option<String> {
        let conditions = self.object.value.status.conditions.iter();
        let rank = |kind: &str| match kind {
            "RenderDegraded" => 0,
            "NodeDegraded" => 1,
            "Degraded" => 3,
            _ => 2,
        };
        let degraded =
            conditions.filter(|condition| condition.kind.ends_with("Degraded") && condition.status == "True");
        let Some(worst) = degraded.min_by_key(|condition| (rank(&condition.kind), condition.message.is_empty())) else {
            return self.degraded.clone();
        };
        // A node's own words are better than none.
        match (worst.message.is_empty(), &self.degraded) {
            (true, Some(node)) => Some(node.clone()),
            (true, None) => Some(format!("{} is True, and gives no reason", worst.kind)),
            (false, _) => Some(format!("{}: {}", worst.kind, shortened(&worst.message))),
        }
    }
}

/// A message that somebody else wrote may be a whole log.
fn shortened(text: &str) -> String {
    const MOST: usize = 1000;
    let text = text.trim();
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::compile;
    use crate::model::machine_config::Form;
    use crate::model::release::Release;
    use crate::snapshot::{Laying, Origin, Source};
    use serde_json::{Value, json};

    const GROUP: &str = "machineconfiguration.openshift.io";

    fn image(lists: Value) -> Value {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
            "spec": {"registrySources": lists}})
    }

    fn pool(name: &str, wanted: &str, more: Value) -> Value {
        let mut pool = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfigPool",
            "metadata": {"name": name},
            "spec": {"configuration": {"name": wanted}, "nodeSelector": {"matchLabels": {"role": name}},
                "machineConfigSelector": {"matchLabels": {format!("{GROUP}/role"): name}}},
            "status": {"configuration": {"name": wanted}, "machineCount": 2, "updatedMachineCount": 1}});
        for (pointer, value) in more.as_object().unwrap() {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            pool.pointer_mut(parent).unwrap()[key] = value.clone();
        }
        pool
    }

    fn node(name: &str, current: &str, desired: &str, more: &[(&str, &str)], ready: &str) -> Value {
        let mut annotations =
            json!({format!("{GROUP}/currentConfig"): current, format!("{GROUP}/desiredConfig"): desired});
        for (key, value) in more {
            annotations[format!("{GROUP}/{key}")] = json!(value);
        }
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"role": "worker"},
            "annotations": annotations}, "status": {"conditions": [
                {"type": "Ready", "status": ready, "message": "kubelet is silent"}]}})
    }

    /// `old` has nothing, `new` and `same` have what is asked for.
    fn of(objects: &[Value], lists: Value) -> RolloutStatus {
        let mut snapshot = Snapshot::new(Source::MustGather);
        let mut insert = |object: Value| snapshot.insert(object, Origin::Live, Laying::Beside).unwrap();
        let version = json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion",
            "metadata": {"name": "version"}, "status": {"desired": {"version": "4.20.1", "image": format!("q.io/a/r@sha256:{}", "0".repeat(64))}}});
        insert(image(lists));
        insert(version);
        objects.iter().cloned().for_each(|object| _ = insert(object));
        let form = Form::Object { image_uid: None, controller_version: None };
        let content = compile(&asked(), Release::newest()).generated.unwrap().machine_config("worker", form);
        for (name, config) in [
            ("old", json!({})),
            ("new", content["spec"]["config"].clone()),
            ("same", content["spec"]["config"].clone()),
        ] {
            let object = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfig", "metadata": {"name": name},
                "spec": {"config": config}});
            snapshot.insert(object, Origin::Live, Laying::Beside).unwrap();
        }
        let compiled = compile(&snapshot, Release::newest());
        status(&snapshot, &compiled)
    }

    fn lists() -> Value {
        json!({"blockedRegistries": ["evil.example.com"]})
    }

    fn asked() -> Snapshot {
        let mut snapshot = Snapshot::new(Source::Manifests);
        snapshot.insert(image(lists()), Origin::Live, Laying::Beside).unwrap();
        snapshot
    }

    fn words(pool: &PoolStatus) -> String {
        let reason = pool.reason.as_deref().unwrap_or("-");
        let count = pool.have_change.map_or("?".to_string(), |count| count.to_string());
        format!("{:?} {}/{}/{count} {reason}", pool.state, pool.nodes, pool.updated)
    }

    #[test]
    fn pools() {
        let done = |name: &str| node(name, "new", "new", &[("state", "Done")], "True");
        let old = |name: &str| node(name, "old", "old", &[("state", "Done")], "True");
        let condition = |kind: &str, message: &str| {
            json!({"/status/conditions": [{"type": "Updating", "status": "True"}, {"type": "Degraded", "status": "True"},
                {"type": kind, "status": "True", "message": message}, {"type": "BuildDegraded", "status": "False"}]})
        };
        let none = json!({});
        for (objects, expected, stays) in [
            (vec![pool("worker", "new", none.clone()), done("a"), done("b")], "Done 2/2/2 -", false),
            // By content, not by name.
            (
                vec![pool("worker", "new", none.clone()), done("a"), node("b", "same", "same", &[], "True")],
                "Progressing 2/1/2 -",
                false,
            ),
            (vec![pool("worker", "new", none.clone()), done("a"), old("b")], "Progressing 2/1/1 -", false),
            (
                vec![pool("worker", "new", json!({"/spec/paused": true})), done("a"), old("b")],
                "Stuck 2/1/1 paused: nodes stay as they are until spec.paused is false",
                true,
            ),
            (vec![pool("worker", "new", json!({"/spec/paused": true})), done("a")], "Done 1/1/1 -", false),
            (
                vec![pool("worker", "old", none.clone()), old("a")],
                "Progressing 1/1/0 the controller has not rendered this yet: old has something else",
                false,
            ),
            (
                vec![pool("worker", "", none.clone()), old("a")],
                "Progressing 1/0/0 nothing is rendered for it yet",
                false,
            ),
            (
                vec![pool("worker", "gone", none.clone()), old("a")],
                "Stuck 1/0/0 MachineConfig gone, which it names, is missing",
                false,
            ),
            (
                vec![pool("worker", "new", json!({"/status/configuration": {"name": "old"}})), done("a")],
                "Progressing 1/1/1 all nodes have it, the pool is about to say so",
                false,
            ),
            (
                vec![pool("worker", "new", condition("RenderDegraded", "Failed to render")), done("a")],
                "Degraded 1/1/1 RenderDegraded: Failed to render",
                true,
            ),
            (
                vec![
                    pool("worker", "new", condition("NodeDegraded", "")),
                    node("b", "old", "new", &[("state", "Degraded"), ("reason", "disk full")], "True"),
                ],
                "Degraded 1/0/0 node b: disk full",
                true,
            ),
            (
                vec![pool("worker", "new", condition("NodeDegraded", ""))],
                "Degraded 0/0/0 NodeDegraded is True, and gives no reason",
                true,
            ),
            (
                vec![
                    pool("worker", "new", none.clone()),
                    done("a"),
                    node("b", "new", "new", &[("state", "Done")], "False"),
                ],
                "Stuck 2/2/2 node b: not Ready: kubelet is silent",
                false,
            ),
            (
                vec![
                    pool("worker", "new", none.clone()),
                    node("b", "old", "new", &[("state", "Working"), ("reason", "failed to drain node b")], "True"),
                ],
                "Stuck 1/0/0 node b: failed to drain node b",
                false,
            ),
            // Somebody else is under way: not stuck, but the reason is worth a word.
            (
                vec![
                    pool("worker", "new", none.clone()),
                    node("a", "old", "new", &[("state", "Working")], "True"),
                    node("b", "old", "old", &[], "Unknown"),
                ],
                "Progressing 2/0/0 node b: not Ready: kubelet is silent",
                false,
            ),
        ] {
            let mut objects = objects;
            // Something of every kind was read.
            objects.push(node("elsewhere", "", "", &[], "True"));
            objects.last_mut().unwrap()["metadata"]["labels"] = json!({});
            let status = of(&objects, lists());
            assert_eq!(words(&status.pools[0]), expected);
            assert_eq!(status.hopeless().is_some(), stays, "{expected}");
            assert!(status.nodes.iter().all(|node| *node.name != *"elsewhere"));
        }
    }

    #[test]
    fn nodes() {
        for (current, desired, annotations, ready, expected) in [
            ("new", "new", &[("state", "Done")][..], "True", "Done Some(true) -"),
            ("new", "new", &[], "True", "Done Some(true) -"),
            ("new", "", &[], "True", "Done Some(true) -"),
            ("old", "old", &[("state", "Done")], "True", "Progressing Some(false) waits for its turn"),
            ("old", "new", &[("state", "Done")], "True", "Progressing Some(false) updating"),
            ("old", "new", &[("state", "Working")], "False", "Progressing Some(false) updating, not Ready"),
            ("old", "new", &[("state", "Rebooting")], "False", "Progressing Some(false) rebooting"),
            (
                "old",
                "new",
                &[("state", "Working"), ("desiredDrain", "drain-new"), ("lastAppliedDrain", "uncordon-old")],
                "True",
                "Progressing Some(false) being drained",
            ),
            (
                "old",
                "new",
                &[("state", "Working"), ("reason", "cordoning")],
                "True",
                "Progressing Some(false) cordoning",
            ),
            ("old", "new", &[("state", "Unreconcilable")], "True", "Degraded Some(false) it gives no reason"),
            ("old", "old", &[], "False", "Stuck Some(false) not Ready: kubelet is silent"),
            ("gone", "gone", &[], "True", "Progressing None waits for its turn"),
            ("", "new", &[], "True", "Progressing Some(false) it has no MachineConfig yet"),
        ] {
            let objects = [pool("worker", "new", json!({})), node("a", current, desired, annotations, ready)];
            let status = of(&objects, lists());
            let node = &status.nodes[0];
            let reason = node.reason.as_deref().unwrap_or("-");
            assert_eq!(format!("{:?} {:?} {reason}", node.state, node.have_change), expected);
        }
    }

    /// Nodes are forbidden: the pool's own counts have to do.
    #[test]
    fn without_nodes_the_pool_counts() {
        let counted = |updated: u64, wanted: &str| {
            let more = json!({"/status/updatedMachineCount": updated});
            words(&of(&[pool("worker", wanted, more)], lists()).pools[0])
        };
        assert_eq!(counted(1, "new"), "Progressing 2/1/1 -");
        assert_eq!(counted(2, "new"), "Done 2/2/2 -");
        assert_eq!(
            counted(2, "old"),
            "Progressing 2/2/0 the controller has not rendered this yet: old has something else"
        );
        assert_eq!(
            counted(1, "old"),
            "Progressing 2/1/? the controller has not rendered this yet: old has something else"
        );
    }

    #[test]
    fn a_frozen_controller_is_named_with_its_own_words() {
        let both = json!({"allowedRegistries": ["a.io"], "blockedRegistries": ["b.io"]});
        let status = of(&[pool("worker", "new", json!({})), node("a", "new", "new", &[], "True")], both);
        let pool = &status.pools[0];
        assert!(status.hopeless().is_some());
        let text = "could not update policy json with new changes: invalid images config: only one of AllowedRegistries or \
            BlockedRegistries may be specified";
        assert_eq!(words(pool), format!("Stuck 1/1/0 the controller has frozen: {text}"));
    }

    #[test]
    fn messages_of_others_are_not_endless() {
        assert_eq!(shortened(&"ä".repeat(5000)).chars().count(), 1001);
        assert_eq!(shortened(" short\n"), "short");
    }
}
