//! IMP501

use std::collections::BTreeSet;

use crate::compile::pools::machine_config;
use crate::lint::nodes::in_words;
use crate::lint::refusals::frozen;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule};
use crate::model::provenance::RefusedBy;
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 501,
    name: "frozen",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Controller],
    releases: "all",
    pitfalls: &[39],
    needs: &[Kind::MachineConfigPool, Kind::MachineConfig],
    summary: "The controller refuses what the objects ask for: nodes still have what was rendered before.",
    why: "The machine-config-controller makes registries.conf, policy.json and all the rest in one go. Where it refuses one field it writes nothing \
          at all, for any pool: neither newer policies nor mirrors, and no object tells of it. The pools look updated, because nothing is left to \
          roll out. Nodes go on with the MachineConfig that was rendered before.",
    fix: "Mend what the controller refuses; the other findings name the fields. `oc imagepolicy explain --of rendered` shows what is in force until \
          then.",
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
    allowedRegistries:
      - registry.redhat.io
      - quay.io/openshift-release-dev
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.example.com/team   # outside allowedRegistries
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
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
    allowedRegistries:
      - registry.redhat.io
      - quay.io/openshift-release-dev
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.redhat.io/ubi9
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
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

/// More fields than these tell nothing new here: each has a finding of its own.
const MOST_RELATED: usize = 10;

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let refusals = context.compiled.generated.as_ref().err().into_iter().flatten();
    let refusals: Vec<_> = refusals.filter(|refusal| refusal.by == RefusedBy::Controller).collect();
    let Some(first) = refusals.first() else { return };
    let snapshot = context.snapshot;
    let rendered =
        snapshot.pools.iter().filter(|pool| machine_config(snapshot, &pool.value.spec.configuration.name).is_some());
    let pools: Vec<_> = rendered.collect();
    let Some(pool) = pools.first() else { return };
    let more = match refusals.len() {
        1 => String::new(),
        number => format!(" (and {} more)", number - 1),
    };
    let message = format!(
        "what the objects ask for reaches no node: {} stay with what was rendered before",
        in_words(pools.iter().map(|pool| pool.metadata.name.as_str()))
    );
    let help = "mend what is refused; this shows what is in force until then:\noc imagepolicy explain --of rendered";
    let mut finding = Finding::new(&RULE, pool, "spec.configuration.name", message)
        .effect(frozen(&first.text) + &more)
        .help(help)
        .refused_by(RefusedBy::Controller);
    let mut told = BTreeSet::new();
    for cause in refusals.iter().flat_map(|refusal| &refusal.causes) {
        if told.len() < MOST_RELATED && told.insert((&cause.object, &cause.path)) {
            finding = finding.related(&cause.object, &cause.path, "takes part in what is refused");
        }
    }
    findings.push(finding);
}
