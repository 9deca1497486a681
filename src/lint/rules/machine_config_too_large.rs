//! IMP507

use crate::compile::size::{LARGEST, Size, json_size, rendered_sizes};
use crate::lint::nodes::in_words;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule};
use crate::model::provenance::ObjectRef;
use std::sync::Arc;

pub static RULE: Rule = Rule {
    code: 507,
    name: "machine-config-too-large",
    level: Level::Error,
    confidence: Confidence::VersionDependent,
    refused_by: &[],
    releases: "all",
    pitfalls: &[44],
    needs: &[],
    summary: "What is rendered for a pool comes near, or exceeds, what the API server stores.",
    why: "All MachineConfigs of a pool become one, and no object may have more than 1.5 MiB. Every policy, mirror and registry is in it, in base64; \
          and each namespace that has an ImagePolicy gets a whole policy.json of its own, a copy of the cluster's. Beyond the limit nothing is \
          rendered: the pool stays with what it has.",
    fix: "Say more with less: scopes and mirrors of whole registries or organisations in place of single repositories, ImagePolicies in fewer \
          namespaces, one ClusterImagePolicy in place of many ImagePolicies.",
    examples: &[
        Example {
            fires: true,
            release: "4.22",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 50-worker-certificates
  labels:
    machineconfiguration.openshift.io/role: worker
spec:
  config:
    ignition:
      version: 3.5.0
    storage:
      files: 
        - path: /etc/pki/bundle.pem
          contents:
            source: data:;base64,MUCH_DATA   # 1.3 MiB
",
        },
        Example {
            fires: false,
            release: "4.22",
            manifests: "
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 50-worker-certificates
  labels:
    machineconfiguration.openshift.io/role: worker
spec:
  config:
    ignition:
      version: 3.5.0
    storage:
      files: 
        - path: /etc/pki/bundle.pem
          contents:
            source: data:;base64,c29tZSBjZXJ0aWZpY2F0ZQ==
",
        },
    ],
    check,
};

/// From here on there is a warning: 80 %.
const NEAR: u64 = LARGEST / 5 * 4;

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut sizes = rendered_sizes(context.snapshot, context.compiled);
    if sizes.is_empty() {
        sizes = as_rendered(context);
    }
    sizes.retain(|size| size.bytes >= NEAR);
    let Some(largest) = sizes.iter().max_by_key(|size| size.bytes) else { return };
    let Some((object, path)) = about(context, largest) else { return };
    let pools = in_words(sizes.iter().map(|size| &*size.pool));
    let more = if largest.is_more { "more than " } else { "about " };
    let message = format!(
        "the MachineConfig that is rendered for {pools} has {more}{} KiB, and {} KiB are the most",
        largest.bytes / 1024,
        LARGEST / 1024
    );
    let is_too_large = largest.bytes > LARGEST;
    let (level, effect) = match (is_too_large, context.release.checks_rendered_size) {
        (false, _) => {
            (Level::Warning, "a little more, and the pool takes nothing new any more, of whatever kind".to_string())
        }
        (true, true) => (
            Level::Error,
            format!(
                "nothing is rendered, and the pool becomes degraded: \"is too large ({} bytes, max {LARGEST} bytes)\"",
                largest.bytes
            ),
        ),
        (true, false) => {
            (Level::Error, "the API server does not store it: the pool stays with what it has".to_string())
        }
    };
    let help = "write scopes and mirrors of whole registries or organisations, and ImagePolicies in fewer namespaces; see what takes the most room:\n\
                oc imagepolicy generate --to files && du -a files | sort -n";
    findings.push(
        Finding::at(&RULE, &object, context.origin(&object), path, message).level(level).effect(effect).help(help),
    );
}

/// Where the controller refuses, what is there already.
fn as_rendered(context: &Context<'_>) -> Vec<Size> {
    let of_pool = |pool: &crate::snapshot::Object<crate::snapshot::api::MachineConfigPool>| {
        let rendered = crate::compile::pools::machine_config(context.snapshot, &pool.value.spec.configuration.name)?;
        Some(Size { pool: pool.metadata.name.as_str().into(), bytes: json_size(&rendered.raw), is_more: false })
    };
    context.snapshot.pools.iter().filter_map(of_pool).collect()
}

/// The pool; without one, the object that asks for the most.
fn about(context: &Context<'_>, size: &Size) -> Option<(Arc<ObjectRef>, &'static str)> {
    let snapshot = context.snapshot;
    if let Some(pool) = snapshot.pools.iter().find(|pool| *pool.metadata.name == *size.pool) {
        return Some((pool.reference.clone(), "spec.configuration.name"));
    }
    let written = snapshot.machine_configs.iter().map(|object| (&object.reference, &object.raw));
    let objects = snapshot.policy_objects().chain(written);
    objects.max_by_key(|(_, raw)| json_size(raw)).map(|(object, _)| (object.clone(), ""))
}
