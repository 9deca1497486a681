//! IMP305

use crate::lint::fix::Fix;
use crate::lint::refusals::others;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::{Cause, RefusedBy};

pub static RULE: Rule = Rule {
    code: 305,
    name: "mirror-source-policy-conflict",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Controller],
    releases: "all",
    pitfalls: &[32],
    needs: &[],
    summary: "Mirror sets disagree on the mirrorSourcePolicy of a source, or a source that must never be contacted is its own mirror.",
    why: "For one source there can be one `mirrorSourcePolicy`, in all ImageDigestMirrorSets, ImageTagMirrorSets and \
ImageContentSourcePolicies together; where the field is absent it is `AllowContactingSource`, as in every ImageContentSourcePolicy. If two \
differ, or a source with `NeverContactSource` is among its own mirrors, the machine-config-controller stops: no pool gets its registries, \
mirrors, blocks or policies written any more. Only its log says so.",
    fix: "Set the same `mirrorSourcePolicy` everywhere for the source; take the source out of its own mirrors.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: by-digest}
spec:
  imageDigestMirrors:
    - source: quay.io/team
      mirrors: [mirror.example.com/team]
      mirrorSourcePolicy: NeverContactSource
---
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata: {name: by-tag}
spec:
  imageTagMirrors:
    - source: quay.io/team  # without a mirrorSourcePolicy: AllowContactingSource
      mirrors: [mirror.example.com/team]
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: by-digest}
spec:
  imageDigestMirrors:
    - source: quay.io/team
      mirrors: [mirror.example.com/team, quay.io/team]
      mirrorSourcePolicy: NeverContactSource
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: by-digest}
spec:
  imageDigestMirrors:
    - source: quay.io/team
      mirrors: [mirror.example.com/team]
      mirrorSourcePolicy: NeverContactSource
---
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata: {name: by-tag}
spec:
  imageTagMirrors:
    - source: quay.io/team
      mirrors: [mirror.example.com/team]
      mirrorSourcePolicy: NeverContactSource
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (refusal, cause) in context.refusals(&RULE) {
        let source = context.mirror_rule(cause).map_or("the source", |rule| &rule.source);
        let source = shown(source);
        let is_own_mirror = !cause.path.ends_with(".mirrorSourcePolicy");
        let message = match others(refusal).next() {
            Some(other) if !is_own_mirror => format!(
                "the mirrorSourcePolicy of {source} is {} here and {} in {}",
                shown(&cause.value),
                shown(&other.value),
                shown(&other.object.to_string())
            ),
            _ => format!("{source} is one of its own mirrors, and must never be contacted"),
        };
        let mut finding = context.refused(&RULE, refusal, cause, message);
        let mut help = String::new();
        for other in others(refusal) {
            finding = finding.related(&other.object, &other.path, format!("is {}", shown(&other.value)));
            finding.fix = Some(agreed(cause, other, is_own_mirror));
            help = match is_own_mirror {
                true => format!(
                    "take the source out of its mirrors:\n{}",
                    fix::remove(&cause.object, &cause.path, &cause.value)
                ),
                false => format!("decide for one of the two policies, here:\n{}", agree(cause, other)),
            };
        }
        findings.push(finding.help(help));
    }
}

/// As [`agree`] has it.
fn agreed(cause: &Cause, other: &Cause, is_own_mirror: bool) -> Fix {
    if is_own_mirror {
        let fix = Fix::risky("take the source out of its mirrors");
        return fix.remove(&cause.object, &cause.path, cause.value.as_str());
    }
    let (changed, value) = match &*cause.object.kind {
        "ImageContentSourcePolicy" => (other, &cause.value),
        _ => (cause, &other.value),
    };
    Fix::risky(format!("write {value} here, too")).set(&changed.object, &changed.path, value.as_str())
}

/// An ImageContentSourcePolicy has no such field, so that the other one must give way.
fn agree(cause: &Cause, other: &Cause) -> String {
    match &*cause.object.kind {
        "ImageContentSourcePolicy" => fix::set(&other.object, &other.path, &cause.value),
        _ => fix::set(&cause.object, &cause.path, &other.value),
    }
}
