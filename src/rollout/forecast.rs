//! What nodes do about changed files (domain.md 3.2).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::registries_change::why_drained;
use crate::compile::pools;
use crate::model::node_files::REGISTRIES_CONF;
use crate::model::release::{DefaultAction, Release};
use crate::snapshot::{GapReason, Kind, Object, Snapshot, Source, api};

/// A file of a node before and after.
#[derive(Clone, Copy, Debug)]
pub struct ChangedFile<'a> {
    /// On the node.
    pub path: &'a str,
    /// `None`: it is not there.
    pub before: Option<&'a [u8]>,
    /// `None`: it is taken away.
    pub after: Option<&'a [u8]>,
}

/// What happens to a node, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Action {
    /// The files are written.
    None,
    /// A service, mostly CRI-O, is reloaded or restarted; what runs goes on.
    Reload,
    /// The node is drained first.
    Drain,
    /// The node is drained and rebooted.
    Reboot,
}

/// What a change does to the nodes of one pool (interface.md 3, `disruption`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Disruption {
    /// The pool.
    pub pool: String,
    /// The worst that any file asks for.
    pub action: Action,
    /// The file that decides; absent where none changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The rule that decides, in words.
    pub rule: String,
    /// How many nodes the pool has; absent where nothing says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u64>,
    /// How many times some nodes are taken, until all have been; absent where that is not known, or `maxUnavailable` makes no sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waves: Option<u64>,
    /// Whether nothing happens until somebody ends the pool's pause.
    pub paused: bool,
}

/// What nodes of the pool do once their files change like this. Files that do not change count for nothing.
pub fn forecast(snapshot: &Snapshot, release: &Release, pool: &str, changed: &[ChangedFile]) -> Disruption {
    let rules = Rules::of(snapshot, release);
    let mut worst: Option<(Action, &str, String)> = None;
    for file in changed.iter().filter(|file| file.before != file.after) {
        let (action, rule) = rules.decide(file);
        if worst.as_ref().is_none_or(|(worst, ..)| action > *worst) {
            worst = Some((action, file.path, rule));
        }
    }
    let (action, path, rule) = match worst {
        Some((action, path, rule)) => (action, Some(path.to_string()), rule),
        None => (Action::None, None, "no file changes".to_string()),
    };
    let object = snapshot.pools.iter().find(|object| object.metadata.name == pool);
    let nodes = object.and_then(|object| nodes(snapshot, object));
    let at_once = object.map_or(Some(1), |object| {
        let max_unavailable = object.value.spec.max_unavailable.as_ref();
        at_once(max_unavailable, nodes.unwrap_or_default())
    });
    Disruption {
        pool: pool.to_string(),
        action,
        path,
        rule,
        nodes,
        waves: nodes.zip(at_once).map(|(nodes, at_once)| nodes.div_ceil(at_once)),
        paused: object.is_some_and(|object| object.value.spec.paused),
    }
}

/// `reload, 3 nodes one after the other`
impl fmt::Display for Disruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.action {
            Action::None => "nothing but new files",
            Action::Reload => "reload",
            Action::Drain => "drain",
            Action::Reboot => "drain and reboot",
        })?;
        match (self.nodes, self.waves) {
            (Some(1), _) => f.write_str(", 1 node")?,
            (Some(nodes), Some(1)) if nodes > 0 => write!(f, ", {nodes} nodes at once")?,
            (Some(nodes), Some(waves)) if nodes > 0 && nodes == waves => {
                write!(f, ", {nodes} nodes one after the other")?;
            }
            (Some(nodes), Some(waves)) if nodes > 0 => write!(f, ", {nodes} nodes in {waves} waves")?,
            (Some(nodes), _) => write!(f, ", {nodes} nodes")?,
            (None, _) => {}
        }
        if self.paused { f.write_str(", once the pool is no longer paused") } else { Ok(()) }
    }
}

/// What the pool itself counts, else what there is.
fn nodes(snapshot: &Snapshot, pool: &Object<api::MachineConfigPool>) -> Option<u64> {
    let counted = u64::try_from(pool.value.status.machine_count).unwrap_or(0);
    if counted > 0 {
        return Some(counted);
    }
    let is_of_pool = |node: &&Object<api::Node>| {
        pools::pool_of_node(snapshot, &node.metadata.labels).is_some_and(|of_node| std::ptr::eq(of_node, pool))
    };
    snapshot.has_read(Kind::Node).then(|| snapshot.nodes.iter().filter(is_of_pool).count() as u64)
}

/// How many nodes are taken at a time, at least one; `None` for what the machine-config-operator cannot use.
fn at_once(max_unavailable: Option<&Value>, nodes: u64) -> Option<u64> {
    let number = match max_unavailable {
        None | Some(Value::Null) => 1,
        Some(Value::Number(number)) => number.as_u64()?,
        Some(Value::String(text)) => {
            let percent: u32 = text.strip_suffix('%')?.parse().ok()?;
            u64::try_from(u128::from(nodes) * u128::from(percent) / 100).unwrap_or(u64::MAX)
        }
        Some(_) => return None,
    };
    Some(number.max(1))
}

/// One rule about a file or directory.
struct Rule {
    path: String,
    actions: Vec<RuleAction>,
    /// Who made it.
    owner: Owner,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Release,
    Cluster,
}

/// `{type: Reload, reload: {serviceName}}`, as in MachineConfiguration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RuleAction {
    #[serde(rename = "type")]
    kind: String,
    reload: Option<Service>,
    restart: Option<Service>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Service {
    service_name: String,
}

/// Everything that decides.
struct Rules<'a> {
    rules: Vec<Rule>,
    release: &'a Release,
    /// NodeDisruptionPolicy, or what came before.
    is_policy: bool,
    /// Whether there may be rules of the cluster that are not known.
    may_be_more: bool,
}

const GATE: &str = "NodeDisruptionPolicy";

impl<'a> Rules<'a> {
    fn of(snapshot: &Snapshot, release: &'a Release) -> Self {
        let is_policy = !release.node_disruption.is_empty()
            && snapshot.has_gate(GATE).unwrap_or(release.node_disruption_by_default);
        let table = if is_policy { release.node_disruption } else { release.legacy_disruption };
        let shipped = table.iter().map(|rule| Rule {
            path: rule.path.to_string(),
            actions: shipped_actions(rule.action),
            owner: Owner::Release,
        });
        let mut rules: Vec<Rule> = shipped.collect();
        if is_policy && let Some(object) = &snapshot.machine_configuration {
            let merged = list(&object.value.status, "/nodeDisruptionPolicyStatus/clusterPolicies/files");
            let own = list(&object.value.spec, "/nodeDisruptionPolicy/files");
            let observed = object.value.status.get("observedGeneration").and_then(Value::as_i64);
            // A status that is behind is one that the nodes wait for to be brought up to date.
            let is_current = observed.is_none_or(|observed| observed == object.metadata.generation);
            if !merged.is_empty() && is_current {
                rules = merged;
            } else {
                rules.retain(|rule| own.iter().all(|own| own.path != rule.path));
                rules.extend(own);
            }
        }
        let is_unread = snapshot.source != Source::Manifests && !snapshot.has_read(Kind::MachineConfiguration);
        let is_hidden = snapshot
            .gaps
            .iter()
            .any(|gap| gap.kind == Kind::MachineConfiguration && gap.reason != GapReason::NotInstalled);
        Self { rules, release, is_policy, may_be_more: is_policy && (is_unread || is_hidden) }
    }

    fn decide(&self, file: &ChangedFile) -> (Action, String) {
        let (action, text) = match self.closest(file.path) {
            None => (Action::Reboot, "no rule covers this path, so the node reboots".to_string()),
            Some(rule) => {
                let (action, why) = self.action(rule, file);
                let words: Vec<String> = rule.actions.iter().map(RuleAction::in_words).collect();
                let owner = match (rule.owner, self.is_policy) {
                    (Owner::Cluster, _) => "NodeDisruptionPolicy of the cluster".to_string(),
                    (Owner::Release, true) => format!("NodeDisruptionPolicy of OpenShift {}", self.release),
                    (Owner::Release, false) => format!("OpenShift {}", self.release),
                };
                let words = if words.is_empty() { "nothing".to_string() } else { words.join(", ") };
                let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                (action, format!("{owner}: {} → {words}{why}", rule.path))
            }
        };
        let caution = if self.may_be_more { " (entries of the cluster's own are not known)" } else { "" };
        (action, text + caution)
    }

    /// The longest path that is the file's or lies above it; the first of equal ones.
    fn closest(&self, path: &str) -> Option<&Rule> {
        let covers = |rule: &&Rule| match path.strip_prefix(rule.path.trim_end_matches('/')) {
            Some("") => true,
            // What came before NodeDisruptionPolicy looks at the directory itself only.
            Some(rest) => rest.starts_with('/') && (self.is_policy || !rest.trim_start_matches('/').contains('/')),
            None => false,
        };
        self.rules.iter().rev().filter(covers).max_by_key(|rule| rule.path.len())
    }

    fn action(&self, rule: &Rule, file: &ChangedFile) -> (Action, Option<String>) {
        let of_kind = |action: &RuleAction| match action.kind.as_str() {
            "None" => (Action::None, None),
            "Reload" | "Restart" | "DaemonReload" => (Action::Reload, None),
            "Drain" => (Action::Drain, None),
            "Special" if file.path == REGISTRIES_CONF => match why_drained(file.before, file.after) {
                Some(why) if self.release.drain_can_be_overridden => {
                    let unless = "unless ConfigMap image-registry-override-drain, which is not read here, forbids it";
                    (Action::Drain, Some(format!("drain, since {why}; {unless}")))
                }
                Some(why) => (Action::Drain, Some(format!("drain, since {why}"))),
                None => (Action::Reload, Some("only a reload, since what runs loses nothing".to_string())),
            },
            "Special" => (Action::Reload, None),
            // Reboot, and what is not known here.
            _ => (Action::Reboot, None),
        };
        // The first of the worst; an empty list asks for nothing.
        rule.actions.iter().map(of_kind).rev().max_by_key(|(action, _)| *action).unwrap_or((Action::None, None))
    }
}

impl RuleAction {
    fn new(kind: &str) -> Self {
        Self { kind: kind.to_string(), ..Self::default() }
    }

    /// `Reload crio.service`
    fn in_words(&self) -> String {
        match self.reload.as_ref().or(self.restart.as_ref()) {
            Some(service) => format!("{} {}", self.kind, service.service_name),
            None => self.kind.clone(),
        }
    }
}

fn shipped_actions(action: DefaultAction) -> Vec<RuleAction> {
    let crio = Some(Service { service_name: "crio.service".into() });
    vec![match action {
        DefaultAction::Nothing => RuleAction::new("None"),
        DefaultAction::ReloadCrio => RuleAction { reload: crio, ..RuleAction::new("Reload") },
        DefaultAction::RestartCrio => RuleAction { restart: crio, ..RuleAction::new("Restart") },
        DefaultAction::Special => RuleAction::new("Special"),
    }]
}

/// Entries that make no sense are passed over, as what they would be without the schema.
fn list(value: &Value, pointer: &str) -> Vec<Rule> {
    let entries = value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rule = |entry: &Value| {
        let path = entry.get("path")?.as_str()?;
        let actions = entry.get("actions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let actions = actions.iter().filter_map(|action| RuleAction::deserialize(action).ok()).collect();
        Some(Rule { path: path.to_string(), actions, owner: Owner::Cluster })
    };
    entries.iter().filter_map(rule).filter(|rule| !rule.path.trim_end_matches('/').is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::node_files::{POLICY_JSON, SEARCH_REGISTRIES, SIGSTORE_REGISTRIES};
    use crate::model::release::REBOOT_FREE_KEY;
    use crate::snapshot::{Laying, Origin};
    use serde_json::json;

    fn snapshot(objects: &[Value]) -> Snapshot {
        let mut snapshot = Snapshot::new(Source::Manifests);
        for object in objects {
            snapshot.insert(object.clone(), Origin::Live, Laying::Beside).unwrap();
        }
        snapshot
    }

    fn of_files(snapshot: &Snapshot, release: &str, paths: &[&str]) -> Disruption {
        let file = |path: &&'static str| ChangedFile { path, before: Some(b"# a"), after: Some(b"# b") };
        let paths: Vec<&'static str> =
            paths.iter().map(|path| &*Box::leak(path.to_string().into_boxed_str())).collect();
        let changed: Vec<ChangedFile> = paths.iter().map(file).collect();
        forecast(snapshot, Release::parse(release).unwrap(), "worker", &changed)
    }

    fn machine_configuration(spec: Value, status: Value) -> Value {
        json!({"apiVersion": "operator.openshift.io/v1", "kind": "MachineConfiguration",
            "metadata": {"name": "cluster", "generation": 2}, "spec": spec, "status": status})
    }

    fn gate(list: &str) -> Value {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "FeatureGate", "metadata": {"name": "cluster"},
            "status": {"featureGates": [{"version": "x", list: [{"name": GATE}]}]}})
    }

    const NAMESPACE: &str = "/etc/crio/policies/shop.json";

    /// domain.md 3.2.
    #[test]
    fn what_each_release_does() {
        use Action::{None, Reboot, Reload};
        for (release, path, expected) in [
            ("4.14", POLICY_JSON, Reload),
            ("4.14", SIGSTORE_REGISTRIES, Reboot),
            ("4.15", SIGSTORE_REGISTRIES, Reboot),
            ("4.16", SIGSTORE_REGISTRIES, Reload),
            ("4.16", "/etc/containers/registries.d/a/b.yaml", Reboot),
            ("4.16", NAMESPACE, Reboot),
            ("4.16", "/etc/nmstate/openshift/x.yml", Reboot),
            ("4.17", SIGSTORE_REGISTRIES, Reload),
            ("4.17", "/etc/containers/registries.d/a/b.yaml", Reload),
            ("4.17", NAMESPACE, Reboot),
            ("4.18", NAMESPACE, Reload),
            ("5.2", NAMESPACE, Reload),
            ("5.2", "/etc/crio/policies-of-mine/shop.json", Reboot),
            ("5.2", SEARCH_REGISTRIES, Reboot),
            ("5.2", REBOOT_FREE_KEY, Reload),
            ("4.14", REBOOT_FREE_KEY, Reload),
            ("5.2", "/etc/pki/rpm-gpg/mine", Reboot),
            ("5.2", "/etc/nmstate/openshift/x.yml", None),
            ("5.2", REGISTRIES_CONF, Reload),
        ] {
            assert_eq!(of_files(&Snapshot::default(), release, &[path]).action, expected, "{release} {path}");
        }
        let tech_preview = snapshot(&[gate("enabled")]);
        assert_eq!(of_files(&tech_preview, "4.16", &[SIGSTORE_REGISTRIES]).action, Reboot);
        assert_eq!(of_files(&tech_preview, "4.16", &[POLICY_JSON]).action, Reload);
        let off = snapshot(&[gate("disabled")]);
        assert_eq!(of_files(&off, "4.18", &[NAMESPACE]).action, Reboot);
    }

    #[test]
    fn the_worst_file_decides_and_the_first_of_equals_is_named() {
        let nothing = Snapshot::default();
        let decided = of_files(&nothing, "4.20", &[POLICY_JSON, NAMESPACE]);
        assert_eq!(decided.path.as_deref(), Some(POLICY_JSON));
        assert_eq!(
            decided.rule,
            "NodeDisruptionPolicy of OpenShift 4.20: /etc/containers/policy.json → Reload crio.service"
        );
        let decided = of_files(&nothing, "4.20", &[POLICY_JSON, "/etc/x", "/etc/y"]);
        assert_eq!((decided.action, decided.path.as_deref()), (Action::Reboot, Some("/etc/x")));
        assert_eq!(decided.rule, "no rule covers this path, so the node reboots");
        let same = [ChangedFile { path: "/etc/x", before: Some(b"a"), after: Some(b"a") }];
        let decided = forecast(&nothing, Release::newest(), "worker", &same);
        assert_eq!((decided.action, decided.path, &*decided.rule), (Action::None, None, "no file changes"));
        let decided = of_files(&nothing, "4.15", &[POLICY_JSON]);
        assert_eq!(decided.rule, "OpenShift 4.15: /etc/containers/policy.json → Reload crio.service");
    }

    #[test]
    fn registries_conf_drains_where_it_must() {
        let changed = [ChangedFile {
            path: REGISTRIES_CONF,
            before: Some(b""),
            after: Some(b"[[registry]]\nlocation = \"a.io\"\nblocked = true\n"),
        }];
        let decided = forecast(&Snapshot::default(), Release::newest(), "worker", &changed);
        assert_eq!(decided.action, Action::Drain);
        assert_eq!(
            decided.rule,
            "NodeDisruptionPolicy of OpenShift 5.2: /etc/containers/registries.conf → Special: drain, since registry a.io is new \
             and has no mirror"
        );
        let decided = forecast(&Snapshot::default(), Release::parse("4.16").unwrap(), "worker", &changed);
        assert!(decided.rule.contains("image-registry-override-drain"), "{}", decided.rule);
    }

    #[test]
    fn entries_of_the_user_replace_and_add() {
        use Action::{Drain, None, Reboot, Reload};
        let own = json!({"nodeDisruptionPolicy": {"files": [
            {"path": POLICY_JSON, "actions": [{"type": "Reboot"}]},
            {"path": "/etc/pki", "actions": [{"type": "None"}]},
            {"path": "/etc/pki/rpm-gpg", "actions": [{"type": "Restart", "restart": {"serviceName": "x.service"}}]},
            {"path": "/etc/drained", "actions": [{"type": "DaemonReload"}, {"type": "Drain"}]},
            {"path": "/etc/nothing", "actions": []},
            {"path": "/etc/future", "actions": [{"type": "Levitate"}]},
            {"actions": 3}, 7, {"path": "", "actions": [{"type": "None"}]}, {"path": "/", "actions": [{"type": "None"}]},
        ]}});
        let from_spec = snapshot(&[machine_configuration(own.clone(), json!(null))]);
        for (path, expected) in [
            (POLICY_JSON, Reboot),
            ("/etc/pki/x", None),
            ("/etc/pki/rpm-gpg/key", Reload),
            ("/etc/drained", Drain),
            ("/etc/nothing", None),
            ("/etc/future", Reboot),
            ("/etc/other", Reboot),
            (NAMESPACE, Reload),
        ] {
            assert_eq!(of_files(&from_spec, "4.20", &[path]).action, expected, "{path}");
        }
        assert_eq!(
            of_files(&from_spec, "4.20", &["/etc/pki/rpm-gpg/key"]).rule,
            "NodeDisruptionPolicy of the cluster: /etc/pki/rpm-gpg → Restart x.service"
        );
        // Where NodeDisruptionPolicy is off, nobody reads it.
        assert_eq!(of_files(&from_spec, "4.15", &[POLICY_JSON]).action, Reload);
        // What the cluster itself says wins, unless it is behind.
        let merged = |generation: i64| {
            let files = json!([{"path": "/etc/containers", "actions": [{"type": "None"}]}]);
            let status = json!({"observedGeneration": generation,
                "nodeDisruptionPolicyStatus": {"clusterPolicies": {"files": files}}});
            snapshot(&[machine_configuration(own.clone(), status)])
        };
        assert_eq!(of_files(&merged(2), "4.20", &[POLICY_JSON]).action, None);
        assert_eq!(of_files(&merged(1), "4.20", &[POLICY_JSON]).action, Reboot);
    }

    #[test]
    fn waves_of_nodes() {
        let pool = |count: i64, max_unavailable: Value, paused: bool| {
            json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
                "metadata": {"name": "worker"}, "spec": {"maxUnavailable": max_unavailable, "paused": paused},
                "status": {"machineCount": count}})
        };
        for (count, max_unavailable, expected, words) in [
            (3, json!(null), Some(3), "reload, 3 nodes one after the other"),
            (1, json!(null), Some(1), "reload, 1 node"),
            (10, json!(4), Some(3), "reload, 10 nodes in 3 waves"),
            (10, json!("25%"), Some(5), "reload, 10 nodes in 5 waves"),
            (10, json!("100%"), Some(1), "reload, 10 nodes at once"),
            (3, json!("10%"), Some(3), "reload, 3 nodes one after the other"),
            (3, json!("0%"), Some(3), "reload, 3 nodes one after the other"),
            (3, json!(0), Some(3), "reload, 3 nodes one after the other"),
            (3, json!(-3), None, "reload, 3 nodes"),
            (3, json!("abc"), None, "reload, 3 nodes"),
            (3, json!("-5%"), None, "reload, 3 nodes"),
            (3, json!("5"), None, "reload, 3 nodes"),
            (3, json!({"a": 1}), None, "reload, 3 nodes"),
            (i64::MAX, json!("4294967295%"), Some(1), "reload, 9223372036854775807 nodes at once"),
        ] {
            let decided = of_files(&snapshot(&[pool(count, max_unavailable.clone(), false)]), "4.20", &[POLICY_JSON]);
            assert_eq!((decided.nodes, decided.waves), (Some(count as u64), expected), "{count} {max_unavailable}");
            assert_eq!(decided.to_string(), words);
        }
        let paused = of_files(&snapshot(&[pool(2, json!(null), true)]), "4.20", &[POLICY_JSON]);
        assert!(paused.paused);
        assert_eq!(paused.to_string(), "reload, 2 nodes one after the other, once the pool is no longer paused");
        let unknown = of_files(&snapshot(&[pool(-7, json!(null), false)]), "4.20", &[POLICY_JSON]);
        assert_eq!((unknown.nodes, unknown.waves), (None, None));
    }
}
