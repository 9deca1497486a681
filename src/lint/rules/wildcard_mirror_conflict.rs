//! IMP311

use serde_json::json;

use crate::lint::fix::Fix;
use crate::lint::refusals::others;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::RefusedBy;

pub static RULE: Rule = Rule {
    code: 311,
    name: "wildcard-mirror-conflict",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Controller],
    releases: "4.16 and later",
    pitfalls: &[33],
    needs: &[],
    summary: "A blocked or insecure registry lies in a mirrored wildcard and has no mirrors of its own.",
    why: "A node uses only the most specific entry of its registries.conf for an image. For an entry inside of a mirrored source the \
machine-config-controller therefore copies the mirrors; for a wildcard source it cannot, and stops with an internal error: no pool gets its \
registries, mirrors, blocks or policies written any more. Only its log says so.",
    fix: "Give the registry a mirror set of its own, take it out of the list, or name the mirrored hosts one by one in the place of the wildcard.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    insecureRegistries: [old.example.com]
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: company}
spec:
  imageDigestMirrors:
    - source: "*.example.com"
      mirrors: [mirror.lab.local/company]
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    insecureRegistries: [old.example.com]
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: company}
spec:
  imageDigestMirrors:
    - source: "*.example.com"
      mirrors: [mirror.lab.local/company]
    - source: old.example.com
      mirrors: [mirror.lab.local/company]
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (refusal, cause) in context.refusals(&RULE) {
        let wildcard = others(refusal).find(|other| other.path.ends_with(".source"));
        let source = wildcard.map_or("a wildcard", |wildcard| &wildcard.value);
        let message =
            format!("{} has no mirrors of its own, and {} around it is mirrored", shown(&cause.value), shown(source));
        let mut finding = context.refused(&RULE, refusal, cause, message);
        for other in others(refusal) {
            finding = finding.related(&other.object, &other.path, shown(&other.value));
        }
        let mut help = String::new();
        if let Some((wildcard, rule)) = wildcard.and_then(|wildcard| Some((wildcard, context.mirror_rule(wildcard)?))) {
            let list = wildcard.path.split('[').next().unwrap_or_default();
            let value = json!({"source": cause.value, "mirrors": rule.mirrors});
            let add = fix::patch(
                &wildcard.object,
                json!([{"op": "add", "path": fix::pointer(&format!("{list}[-]")), "value": value}]),
            );
            help = format!("give it the same mirrors by name:\n{add}\nor ");
        }
        help.push_str(&format!("take it out of the list:\n{}", fix::remove(&cause.object, &cause.path, &cause.value)));
        let fix = Fix::risky("take it out of the list").remove(&cause.object, &cause.path, cause.value.as_str());
        findings.push(finding.help(help).fixed_by(fix));
    }
}
