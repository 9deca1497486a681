//! IMP502

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::compile::overlay::is_ours;
use crate::compile::pools::Pool;
use crate::lint::nodes::in_words;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::machine_config::{GENERATED_BY, ROLE, ignition_files};
use crate::model::node_files::{NAMESPACE_POLICIES, POLICY_JSON};
use crate::snapshot::{Kind, Object, api};

pub static RULE: Rule = Rule {
    code: 502,
    name: "generated-file-overridden",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[1, 2, 12],
    needs: &[Kind::MachineConfig],
    summary: "A MachineConfig of your own writes a file that the controller generates: one of both loses, without a word.",
    why: "The MachineConfigs of a pool are laid over each other in the order of their names, those of role `worker` first; of each file the last \
          one wins as a whole. One that sorts before `99-<pool>-generated-registries` is void as long as the controller generates that file, \
          that is, from the first allowed or blocked registry or the first policy on (OpenShift 4.21 ships one). One that sorts behind it, or \
          that has the role of a custom pool, wins: then no allowed or blocked registry and no policy reaches the nodes of that pool any \
          more, while registries.d and the files of namespaces still come from the controller.",
    fix: "Say it with objects: allowed and blocked registries, a ClusterImagePolicy, for GPG `signedRegistries`; then delete the MachineConfig. \
          `oc imagepolicy diff --without MachineConfig/NAME` shows what that changes.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 51-worker-rh-registry-trust  # loses
  labels:
    machineconfiguration.openshift.io/role: worker
spec:
  config:
    ignition:
      version: 3.4.0
    storage:
      files:
        - path: /etc/containers/policy.json
          contents:
            source: data:,%7B%22default%22:[%7B%22type%22:%22reject%22%7D]%7D
---
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    blockedRegistries: [untrusted.example.com]
",
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 99-worker-policy  # wins
  labels:
    machineconfiguration.openshift.io/role: worker
spec:
  config:
    ignition:
      version: 3.4.0
    storage:
      files:
        - path: /etc/containers/policy.json
          contents:
            source: data:,%7B%22default%22:[%7B%22type%22:%22insecureAcceptAnything%22%7D]%7D
---
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    blockedRegistries: [untrusted.example.com]
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 51-worker-rh-registry-trust  # the controller generates no policy.json here
  labels:
    machineconfiguration.openshift.io/role: worker
spec:
  config:
    ignition:
      version: 3.4.0
    storage:
      files:
        - path: /etc/containers/policy.json
          contents:
            source: data:,%7B%22default%22:[%7B%22type%22:%22reject%22%7D]%7D
---
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    insecureRegistries: [registry.lab.example.com]
",
        },
    ],
    check,
};

/// What one MachineConfig does with one file.
#[derive(Default)]
struct Clash {
    /// Pools in which it wins over the controller's file.
    wins: Vec<Arc<str>>,
    /// Pools in which it loses, and to whom.
    loses: Vec<(Arc<str>, Arc<str>)>,
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let objects: BTreeMap<&str, &Object<api::MachineConfig>> =
        context.snapshot.machine_configs.iter().map(|object| (object.metadata.name.as_str(), object)).collect();
    let is_generated = |name: &str| name.starts_with("99-") && name.ends_with("-generated-registries");
    let mut clashes: BTreeMap<(&str, &str), Clash> = BTreeMap::new();
    for pool in context.groups().iter().flat_map(|group| &group.pools) {
        for (path, writers) in &pool.writers {
            let Some(generated) = writers.iter().rposition(|name| is_generated(name)) else { continue };
            let overlay = overlay_of(context, pool, path);
            for (position, name) in writers.iter().enumerate() {
                let Some(object) =
                    objects.get(&**name).filter(|object| is_foreign(object) && has_content(object, path))
                else {
                    continue;
                };
                let clash = clashes.entry((object.metadata.name.as_str(), path.as_str())).or_default();
                // Against ours, one that comes later is IMP508's.
                match overlay.and_then(|ours| writers.iter().position(|writer| **writer == *ours)) {
                    Some(ours) if position > ours => {}
                    Some(ours) => {
                        clash.loses.extend(writers.get(ours).map(|winner| (pool.name.clone(), winner.clone())))
                    }
                    None if position > generated => clash.wins.push(pool.name.clone()),
                    None => {
                        clash.loses.extend(writers.get(generated).map(|winner| (pool.name.clone(), winner.clone())))
                    }
                }
            }
        }
    }
    for ((name, path), clash) in clashes {
        let Some(object) = objects.get(name) else { continue };
        if !clash.wins.is_empty() {
            findings.push(winner(context, object, path, &clash.wins));
        }
        if !clash.loses.is_empty() {
            findings.push(loser(context, object, path, &clash.loses));
        }
    }
}

/// The name of our own MachineConfig that writes the file, computed anew.
fn overlay_of<'c>(context: &'c Context<'_>, pool: &'c Pool, path: &str) -> Option<&'c str> {
    context.compiled.overlay()?;
    let writers = pool.writers.get(path)?;
    let is_overlay = |name: &&Arc<str>| name.starts_with("99-") && name.ends_with("-imagepolicy");
    let name = writers.iter().rfind(is_overlay)?;
    // One of that name without our annotation is a stranger's.
    let is_stranger = |object: &Object<api::MachineConfig>| *object.metadata.name == **name && !is_ours(object);
    (!context.snapshot.machine_configs.iter().any(is_stranger)).then_some(name)
}

/// Neither ours nor the operator's, whose templates are there to be replaced.
fn is_foreign(object: &Object<api::MachineConfig>) -> bool {
    let name = object.metadata.name.as_str();
    let role = object.metadata.labels.get(ROLE).map(String::as_str).unwrap_or_default();
    let is_template = name == format!("00-{role}") || name == format!("01-{role}-container-runtime");
    !is_ours(object) && !is_template && !object.metadata.annotations.contains_key(GENERATED_BY)
}

/// Whether it does more than append to the file.
fn has_content(object: &Object<api::MachineConfig>, path: &str) -> bool {
    ignition_files(&object.value.spec.config).any(|file| file.path == path && file.contents.is_some())
}

fn winner(context: &Context<'_>, object: &Object<api::MachineConfig>, path: &str, pools: &[Arc<str>]) -> Finding {
    let pools = in_words(pools.iter().map(|pool| &**pool));
    let what = match path {
        POLICY_JSON => "no allowed or blocked registry and no ClusterImagePolicy",
        _ if path.starts_with(NAMESPACE_POLICIES) => "no policy of that namespace",
        _ => "nothing of what the controller writes into it",
    };
    let message = format!("{} of {} wins over the controller's, in {pools}", shown(path), object.reference);
    let effect =
        format!("{what} reaches the nodes of {pools} in this file: what objects ask for is silently void there");
    finding(context, object, path, message).effect(effect).help(help(object, path))
}

fn loser(
    context: &Context<'_>,
    object: &Object<api::MachineConfig>,
    path: &str,
    lost: &[(Arc<str>, Arc<str>)],
) -> Finding {
    let pools = in_words(lost.iter().map(|(pool, _)| &**pool));
    let winner = lost.first().map_or("", |(_, winner)| winner);
    let message = format!(
        "{} of {} is not what nodes get, in {pools}: MachineConfig/{winner} wins",
        shown(path),
        object.reference
    );
    let effect = format!(
        "what it says has no effect on the nodes of {pools}, and comes back if {winner} stops writing the file"
    );
    let mut finding =
        finding(context, object, path, message).level(Level::Warning).effect(effect).help(help(object, path));
    if let Some((other, place)) = context.file_of(winner, path) {
        finding = finding.related(&other, place, "wins");
    }
    finding
}

fn finding(context: &Context<'_>, object: &Object<api::MachineConfig>, path: &str, message: String) -> Finding {
    let place =
        context.file_of(&object.metadata.name, path).map_or_else(|| "spec.config".to_string(), |(_, place)| place);
    Finding::new(&RULE, object, place, message)
}

fn help(object: &Object<api::MachineConfig>, path: &str) -> String {
    let instead = match path {
        POLICY_JSON => {
            "say it with allowedRegistries, blockedRegistries, ClusterImagePolicies, or signedRegistries for GPG, then take it out"
        }
        _ => "say it with objects, then take it out",
    };
    let files = ignition_files(&object.value.spec.config).count();
    let command = if files > 1 { fix::edit(&object.reference) } else { fix::delete(&object.reference) };
    format!("{instead}:\n{command}")
}
