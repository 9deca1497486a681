//! IMP505

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::compile::in_force::{differing_files, files_of};
use crate::compile::pools::{current_config, machine_config, pool_of_node, rendered};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::node_files::{NodeFiles, SEARCH_REGISTRIES, SIGSTORE_REGISTRIES, file_name};
use crate::model::provenance::ObjectRef;
use crate::snapshot::{Kind, NodeTree, Object, Origin, api};

pub static RULE: Rule = Rule {
    code: 505,
    name: "node-differs",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[Kind::MachineConfigPool, Kind::MachineConfig],
    summary: "A node has other image policy than its pool says, and nothing is under way.",
    why: "A node has the MachineConfig that its annotation `currentConfig` names. While a pool is updated, and while it is paused, nodes have \
          different ones, and other findings tell of that. Where the pool counts itself as updated and a node still goes by another policy, somebody \
          has interfered: by hand on the node, or with its annotations. What that node accepts is anybody's guess from the objects.",
    fix: "Look at the node: `oc debug node/NODE`. The file `/run/machine-config-daemon-force` makes it take its MachineConfig anew.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfigPool
metadata:
  name: worker
spec:
  configuration:
    name: rendered-worker-7c1a
  machineConfigSelector:
    matchLabels:
      machineconfiguration.openshift.io/role: worker
  nodeSelector:
    matchLabels:
      node-role.kubernetes.io/worker: \"\"
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: rendered-worker-7c1a
spec:
  config:
    ignition:
      version: 3.5.0
    storage:
      files: 
        - path: /etc/containers/policy.json
          contents:
            source: data:,%7B%22default%22:%5B%7B%22type%22:%22reject%22%7D%5D%7D
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: rendered-worker-5f2b
spec:
  config:
    ignition:
      version: 3.5.0
    storage:
      files: []
---
apiVersion: v1
kind: Node
metadata:
  name: worker-1
  labels:
    node-role.kubernetes.io/worker: \"\"
  annotations:
    machineconfiguration.openshift.io/currentConfig: rendered-worker-5f2b   # accepts anything
    machineconfiguration.openshift.io/desiredConfig: rendered-worker-5f2b
    machineconfiguration.openshift.io/state: Done
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfigPool
metadata:
  name: worker
spec:
  configuration:
    name: rendered-worker-7c1a
  machineConfigSelector:
    matchLabels:
      machineconfiguration.openshift.io/role: worker
  nodeSelector:
    matchLabels:
      node-role.kubernetes.io/worker: \"\"
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: rendered-worker-7c1a
spec:
  config:
    ignition:
      version: 3.5.0
    storage:
      files: []
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: rendered-worker-5f2b
spec:
  config:
    ignition:
      version: 3.5.0
    storage:
      files: []
---
apiVersion: v1
kind: Node
metadata:
  name: worker-1
  labels:
    node-role.kubernetes.io/worker: \"\"
  annotations:
    machineconfiguration.openshift.io/currentConfig: rendered-worker-5f2b   # another one, with the same image policy
    machineconfiguration.openshift.io/desiredConfig: rendered-worker-7c1a
",
        },
    ],
    check,
};

const CURRENT: &str = "metadata.annotations.machineconfiguration.openshift.io/currentConfig";
const PREFIX: &str = "machineconfiguration.openshift.io/";
/// More files than these are counted.
const MOST_NAMED: usize = 3;

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut compared: HashMap<(&str, &str), BTreeSet<String>> = HashMap::new();
    let snapshot = context.snapshot;
    for node in snapshot.nodes.iter().filter(|node| is_settled(node)) {
        let Some(pool) = pool_of_node(snapshot, &node.metadata.labels).filter(|pool| is_idle(pool)) else { continue };
        let wanted = pool.value.spec.configuration.name.as_str();
        let Some(current) = current_config(node).filter(|current| *current != wanted) else { continue };
        let of = |name| machine_config(snapshot, name);
        let (Some(has), Some(should)) = (of(current), of(wanted)) else { continue };
        let compare = || differing_files(&files_of(has, context.compiled), &files_of(should, context.compiled));
        let differing = compared.entry((current, wanted)).or_insert_with(compare);
        if differing.is_empty() {
            continue;
        }
        let name = shown(&node.metadata.name);
        let message =
            format!("node {name} differs from its pool {} in {}", shown(&pool.metadata.name), named(differing));
        let effect = format!(
            "it goes by {}, while the pool counts as updated with {}: what it accepts is not what the objects say",
            shown(current),
            shown(wanted)
        );
        let help = format!(
            "see what keeps it from its MachineConfig:\noc describe node {}",
            fix::shell_word(&node.metadata.name)
        );
        findings.push(Finding::new(&RULE, node, CURRENT, message).effect(effect).help(help).related(
            &pool.reference,
            "spec.configuration.name",
            format!("says {}", shown(wanted)),
        ));
    }
    if !snapshot.node_trees.is_empty() {
        trees(context, findings);
    }
}

/// Whether a node is not about to take something.
fn is_settled(node: &Object<api::Node>) -> bool {
    let annotation = |name: &str| node.metadata.annotations.get(&format!("{PREFIX}{name}")).map(String::as_str);
    let desired = annotation("desiredConfig").filter(|name| !name.is_empty());
    desired.is_none_or(|desired| Some(desired) == current_config(node))
        && annotation("state").is_none_or(|state| state.is_empty() || state == "Done")
}

/// Whether nothing keeps the pool's nodes apart that another rule tells of.
fn is_idle(pool: &Object<api::MachineConfigPool>) -> bool {
    let is_busy = |condition: &api::Condition| {
        condition.status == "True" && (condition.kind == "Updating" || condition.kind.ends_with("Degraded"))
    };
    !pool.value.spec.paused && !pool.value.status.conditions.iter().any(is_busy)
}

fn named(paths: &BTreeSet<String>) -> String {
    let mut names: Vec<String> = paths.iter().take(MOST_NAMED).map(|path| shown(path).into_owned()).collect();
    if paths.len() > MOST_NAMED {
        names.push(format!("{} more files", paths.len() - MOST_NAMED));
    }
    names.join(", ")
}

/// The files of nodes that were given as they are, against what is rendered, else against what the objects ask for.
fn trees(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let rendered = rendered(context.snapshot, context.compiled).groups;
    let groups = if rendered.is_empty() { context.groups() } else { &rendered };
    for tree in &context.snapshot.node_trees {
        let files = NodeFiles::read(tree.files.iter().map(|(path, bytes)| (path, bytes, None)));
        let against = groups.iter().map(|group| (differing(tree, files.clone(), &group.files), group));
        let Some((paths, group)) = against.min_by_key(|(paths, _)| paths.len()) else { continue };
        if paths.is_empty() {
            continue;
        }
        let name = tree.name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let node = context.snapshot.nodes.iter().find(|node| node.metadata.name == name);
        let object = node.map_or_else(
            || {
                Arc::new(ObjectRef {
                    api_version: "v1".into(),
                    kind: Kind::Node.name().into(),
                    namespace: None,
                    name: name.into(),
                })
            },
            |node| node.reference.clone(),
        );
        let pools = crate::lint::nodes::pools_in_words(group);
        let message =
            format!("the files in {} differ from what {pools} would have in {}", shown(&tree.name), named(&paths));
        let effect = "the node accepts something else than the objects say, until its MachineConfig is written anew";
        let help = "see what changes for images:\noc imagepolicy diff --base DIR -f OBJECTS.yaml";
        let origin = node.map_or(Origin::Live, |node| node.origin.clone());
        findings.push(Finding::at(&RULE, &object, origin, "", message).effect(effect).help(help));
    }
}

/// Only files that MachineConfigs write: nodes have others from their operating system, and a tree may be a part of a node.
fn differing(tree: &NodeTree, mut files: NodeFiles, wanted: &NodeFiles) -> BTreeSet<String> {
    files
        .registries_d
        .retain(|name, _| wanted.registries_d.contains_key(name) || **name == *file_name(SIGSTORE_REGISTRIES));
    files
        .registries_conf_d
        .retain(|name, _| wanted.registries_conf_d.contains_key(name) || **name == *file_name(SEARCH_REGISTRIES));
    files.keys = wanted
        .keys
        .keys()
        .filter_map(|path| Some((path.clone(), tree.files.get(&**path)?.as_slice().into())))
        .collect();
    if files.policy.is_none() && !tree.files.contains_key(crate::model::node_files::POLICY_JSON) {
        files.policy.clone_from(&wanted.policy);
    }
    if files.registries_conf.is_none() && !tree.files.contains_key(crate::model::node_files::REGISTRIES_CONF) {
        files.registries_conf.clone_from(&wanted.registries_conf);
    }
    differing_files(&files, wanted)
}
