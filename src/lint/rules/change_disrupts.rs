//! IMP504

use std::collections::BTreeSet;

use crate::compile::pools::{Content, Files, Which, files};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::node_files::REGISTRIES_CONF;
use crate::rollout::{Action, ChangedFile, Disruption, forecast};
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 504,
    name: "change-disrupts",
    level: Level::Warning,
    confidence: Confidence::VersionDependent,
    refused_by: &[],
    releases: "all",
    pitfalls: &[42],
    needs: &[Kind::MachineConfigPool, Kind::MachineConfig],
    summary: "What the objects ask for will drain or reboot nodes when it is rolled out.",
    why: "Most files of image policy need no more than a reload of CRI-O. But a change of registries.conf that could break what runs drains each \
          node first: whatever is blocked or insecure, a mirror that is taken away, tag mirrors. And what no rule of the NodeDisruptionPolicy covers \
          reboots it: the list of search registries, a key file in a place of one's own. A cluster's own NodeDisruptionPolicy may change either.",
    fix: "Roll it out when nodes may be drained, or add an entry for the file to `spec.nodeDisruptionPolicy.files` of MachineConfiguration/cluster. \
          Let key files lie in `/etc/machine-config-daemon/no-reboot/containers-gpg.pub`.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    containerRuntimeSearchRegistries:   # no rule covers its file: nodes reboot
      - registry.example.com
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfigPool
metadata:
  name: worker
spec:
  configuration:
    name: rendered-worker-5f2b
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
  name: rendered-worker-5f2b
spec:
  config:
    ignition:
      version: 3.5.0
    storage:
      files: []
",
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    blockedRegistries:
      - evil.example.com   # drains
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfigPool
metadata:
  name: worker
spec:
  configuration:
    name: rendered-worker-5f2b
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
  name: rendered-worker-5f2b
spec:
  config:
    ignition:
      version: 3.5.0
    storage:
      files: []
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    allowedRegistries:     # policy.json alone: CRI-O is reloaded
      - registry.example.com
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfigPool
metadata:
  name: worker
spec:
  configuration:
    name: rendered-worker-5f2b
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
  name: rendered-worker-5f2b
spec:
  config:
    ignition:
      version: 3.5.0
    storage:
      files: []
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let (snapshot, compiled) = (context.snapshot, context.compiled);
    let Ok(desired) = files(snapshot, compiled, Which::Desired) else { return };
    let Ok(rendered) = files(snapshot, compiled, Which::Rendered) else { return };
    for (name, before) in &rendered {
        let Some(pool) = snapshot.pools.iter().find(|pool| *pool.metadata.name == **name) else { continue };
        let Some((_, after)) = desired.iter().find(|(other, _)| other == name) else { continue };
        let Some(disruption) = disruption(context, name, before, after) else { continue };
        let path = disruption.path.as_deref().unwrap_or_default();
        let what = match disruption.action {
            Action::Reboot => "drains and reboots",
            _ => "drains",
        };
        let message = format!("rolling out what the objects ask for {what} the nodes of pool {}", shown(name));
        let effect = format!("{disruption}: {} changes ({})", shown(path), disruption.rule);
        let help = "see the whole change first, file by file:\noc imagepolicy diff --of rendered";
        let mut finding = Finding::new(&RULE, pool, "spec.configuration.name", message).effect(effect).help(help);
        if let Some(object) = &snapshot.machine_configuration {
            finding = finding.related(&object.reference, "spec.nodeDisruptionPolicy", "may say otherwise for a file");
        }
        findings.push(finding);
    }
}

/// A path with what is there before and after.
type Change<'a> = (&'a str, Option<Vec<u8>>, Option<Vec<u8>>);

/// What drains or reboots nodes of the pool, where something does.
fn disruption(context: &Context<'_>, pool: &str, before: &Files<'_>, after: &Files<'_>) -> Option<Disruption> {
    let forecast = |changed: &[ChangedFile]| forecast(context.snapshot, context.release, pool, changed);
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let may_change = |path: &&String| {
        !before.get(*path).zip(after.get(*path)).is_some_and(|(before, after)| before.is_written_as(after))
    };
    let paths: Vec<&String> = paths.into_iter().filter(may_change).collect();
    // What only reloads need not be put together: a policy may have a hundred megabytes, and there may be one for each namespace.
    let any = |path| ChangedFile { path, before: Some(b"a"), after: None };
    let others: Vec<ChangedFile> =
        paths.iter().filter(|path| **path != REGISTRIES_CONF).map(|path| any(path)).collect();
    let only_reload = forecast(&others).action < Action::Drain;
    let mut changed: Vec<Change> = Vec::new();
    for path in paths {
        let (before, after) = (before.get(path), after.get(path));
        if path != REGISTRIES_CONF && (only_reload || forecast(&[any(path)]).action < Action::Drain) {
            continue;
        }
        let bytes = |content: Option<&Content<'_>>| content.map(Content::bytes).transpose().ok();
        if let (Some(before), Some(after)) = (bytes(before), bytes(after)) {
            changed.push((path, before, after));
        }
    }
    let changed: Vec<ChangedFile> = changed
        .iter()
        .map(|(path, before, after)| ChangedFile { path, before: before.as_deref(), after: after.as_deref() })
        .collect();
    let disruption = forecast(&changed);
    (disruption.action >= Action::Drain).then_some(disruption)
}
