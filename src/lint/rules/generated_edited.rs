//! IMP506

use serde_json::Value;

use crate::compile::in_force::is_as_generated;
use crate::compile::pools::built_in;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::machine_config::{GENERATED_BY, generated_name};
use crate::snapshot::{Kind, Object, Source, api};

pub static RULE: Rule = Rule {
    code: 506,
    name: "generated-edited",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[43],
    needs: &[Kind::MachineConfig],
    summary: "A MachineConfig that the controller generates was edited, or somebody else's has its name: it is overwritten.",
    why: "`99-<pool>-generated-registries` belongs to the machine-config-controller. It compares it with what the objects ask for each time that one \
          of them changes, and whenever it starts, and writes it anew: an edit lasts until then, and a MachineConfig of one's own under that name is \
          lost. Both roll out twice over all nodes.",
    fix: "Say it in the objects: Image/cluster, ClusterImagePolicies, mirror sets. What they cannot say goes into a MachineConfig with another name.",
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
      - registry.example.com
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 99-worker-generated-registries
  labels:
    machineconfiguration.openshift.io/role: worker
spec:
  config:
    ignition:
      version: 3.5.0
    storage:
      files: 
        - path: /etc/containers/policy.json
          contents:
            source: data:,%7B%22default%22:%5B%7B%22type%22:%22insecureAcceptAnything%22%7D%5D%7D
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
    allowedRegistries: []
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 99-worker-generated-registries
  labels:
    machineconfiguration.openshift.io/role: worker
  annotations:
    machineconfiguration.openshift.io/generated-by-controller-version: 6ae3d3ef9bb5ee8dcb4cdf0a31be4d2b3d6a9d1c
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
    for pool in built_in(context.snapshot) {
        let name = generated_name(&pool);
        let objects = &context.snapshot.machine_configs;
        let Some(object) = objects.iter().find(|object| object.metadata.name == name) else { continue };
        let is_as_generated = is_as_generated(object, context.compiled);
        if is_as_generated == Some(true) {
            continue;
        }
        let what = match editor(object) {
            Some(manager) => format!("{name} was edited by {}", shown(manager)),
            None if !object.metadata.annotations.contains_key(GENERATED_BY) => {
                format!("{name} does not come from the controller, which will write its own under that name")
            }
            // On a cluster the controller may be about to write it.
            None if context.snapshot.source == Source::Manifests && is_as_generated == Some(false) => {
                format!("{name} is not what the objects ask for")
            }
            None => continue,
        };
        let effect = "the machine-config-controller overwrites it the next time that it looks; nodes take the one and then the other";
        let help = format!(
            "say it in the objects, or in a MachineConfig of another name; this shows what the controller would write:\n{}",
            "oc imagepolicy generate"
        );
        let command = match context.snapshot.source {
            Source::Manifests => String::new(),
            _ => format!("\nand this what is there:\n{}", fix::get(&object.reference)),
        };
        findings.push(Finding::new(&RULE, object, "spec.config", what).effect(effect).help(help + &command));
    }
}

/// Who wrote something of its content and is not the machine-config-controller.
fn editor(object: &Object<api::MachineConfig>) -> Option<&str> {
    let entries = object.raw.pointer("/metadata/managedFields")?.as_array()?;
    let writes_spec = |entry: &&Value| entry.pointer("/fieldsV1/f:spec").is_some();
    let managers = entries.iter().filter(writes_spec).filter_map(|entry| entry.get("manager")?.as_str());
    managers.into_iter().find(|manager| !manager.starts_with("machine-config-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::compile;
    use crate::lint;
    use crate::model::release::Release;
    use crate::snapshot::{Laying, Origin, Snapshot};
    use serde_json::json;

    fn found(source: Source, managers: &[&str], has_annotation: bool, default: &str) -> Vec<String> {
        let entries = managers.iter().map(|name| json!({"manager": name, "fieldsV1": {"f:spec": {"f:config": {}}}}));
        let policy = format!("data:,{{\"default\":[{{\"type\":\"{default}\"}}],\"transports\":{{\"docker\":{{}}}}}}");
        let mut object = json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
            "metadata": {"name": "99-worker-generated-registries", "managedFields": entries.collect::<Vec<_>>(),
                         "labels": {"machineconfiguration.openshift.io/role": "worker"}},
            "spec": {"config": {"storage": {"files": [{"path": "/etc/containers/policy.json", "contents": {"source": policy}}]}}},
        });
        if has_annotation {
            object["metadata"]["annotations"] = json!({GENERATED_BY: "abc"});
        }
        let mut snapshot = Snapshot::new(source);
        snapshot.insert(object, Origin::Live, Laying::Beside).unwrap();
        let compiled = compile(&snapshot, Release::newest());
        lint::run(&Context::new(&snapshot, &compiled), &[&RULE])
            .findings
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn whoever_wrote_it() {
        let one = |found: Vec<String>, part: &str| assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
        let live = || Source::Live("x".into());
        one(found(live(), &["machine-config-controller", "kubectl-edit"], true, "reject"), "edited by kubectl-edit");
        one(found(live(), &["machine-config-controller"], false, "reject"), "does not come from the controller");
        one(found(Source::Manifests, &[], true, "reject"), "is not what the objects ask for");
        assert_eq!(found(live(), &["machine-config-controller"], true, "reject"), [""; 0]);
    }
}
