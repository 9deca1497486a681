//! IMP413

use crate::lint::fix::Fix;
use crate::lint::refusals::others;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::RefusedBy;

pub static RULE: Rule = Rule {
    code: 413,
    name: "controller-crash",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Controller],
    releases: "all",
    pitfalls: &[53],
    needs: &[],
    summary: "These objects make the machine-config-controller crash.",
    why: "A blocked wildcard is inside of the release's registry for one part of the machine-config-controller and not for another: `*.io` and \
`registry.iot.io`, where `.io` occurs twice. It then follows a pointer that leads nowhere and ends; it is started again and ends again. Nothing \
that it is in charge of happens any more: no registries or policies, and no updates of nodes either. The same happens where a policy lacks \
the part that its `policyType` or `matchPolicy` names, which the API does not let in.",
    fix: "Block hosts by name in the place of the wildcard; complete the policy.",
    examples: &[
        Example {
            fires: true,
            release: "5.2",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata: {name: version}
status:
  desired: {version: 5.2.0, image: "registry.iot.io/openshift/release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
---
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: ["*.io"]
"#,
        },
        Example {
            fires: false,
            release: "5.2",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata: {name: version}
status:
  desired: {version: 5.2.0, image: "registry.lab.io/openshift/release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
---
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: ["*.io"]
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (refusal, cause) in context.refusals(&RULE) {
        let is_of_image = &*cause.object.kind == "Image";
        let payload = context
            .compiled
            .payload
            .as_ref()
            .map_or("the release", |payload| payload.repository.as_deref().unwrap_or(&payload.image));
        let (message, help) = match is_of_image {
            true => (
                format!(
                    "blocking {} crashes the controller, since the release comes from {}",
                    shown(&cause.value),
                    shown(payload)
                ),
                format!("block hosts by name in its place:\n{}", fix::remove(&cause.object, &cause.path, &cause.value)),
            ),
            false => (
                "the part that policyType or matchPolicy names is missing".to_string(),
                format!("complete the policy:\n{}", fix::edit(&cause.object)),
            ),
        };
        let mut finding = context.refused(&RULE, refusal, cause, message).help(help).effect(format!(
            "the machine-config-controller crashes, is started again and crashes again, so that nothing is written for any pool and no node is \
             updated: \"{}\"",
            refusal.text
        ));
        if is_of_image {
            let fix = Fix::risky("take the entry out").remove(&cause.object, &cause.path, cause.value.as_str());
            finding = finding.fixed_by(fix);
        }
        for other in others(refusal) {
            finding = finding.related(&other.object, &other.path, format!("blocks {}", shown(&other.value)));
        }
        findings.push(finding);
    }
}
