//! IMP106

use serde_json::Value;

use crate::admission::ApiRule;
use crate::lint::api::{RefusedField, field};
use crate::lint::fix::Fix;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::provenance::RefusedBy;

pub static RULE: Rule = Rule {
    code: 106,
    name: "too-many",
    level: Level::Error,
    confidence: Confidence::VersionDependent,
    refused_by: &[RefusedBy::Api],
    releases: "all; 1024 entries in a list of registries from 5.0",
    pitfalls: &[],
    needs: &[],
    summary: "A list is longer than the API server takes, or has the same entry twice.",
    why: "One policy holds at most 256 scopes and, from OpenShift 5.0, each list of `registrySources` at most 1024 registries. `spec.scopes`, the \
          `mirrors` of one source and `containerRuntimeSearchRegistries` are sets: nothing may be in them twice. The API server refuses the \
          whole object otherwise.",
    fix: "Take the second entry out. For more scopes, write several policies with the same `spec.policy`, or name what the scopes have in \
          common: `registry.example.com/team` covers everything below it.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: datacentre
spec:
  imageDigestMirrors:
    - source: registry.example.com/team
      mirrors:
        - mirror.example.com/team
        - mirror.example.com/team   # once more
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: datacentre
spec:
  imageDigestMirrors:
    - source: registry.example.com/team
      mirrors:
        - mirror.example.com/team
        - mirror.example.net/team
    - source: registry.example.com/team   # another rule of the same source is fine
      mirrors:
        - mirror.example.com/team
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for refused in context.refused_fields(ApiRule::TooMany) {
        let list = refused.path.rsplit_once('[').filter(|_| refused.path.ends_with(']')).map(|(list, _)| list);
        findings.push(match list {
            Some(list) => twice(context, &refused, list),
            None => too_many(context, &refused),
        });
    }
}

fn twice(context: &Context<'_>, refused: &RefusedField<'_>, list: &str) -> Finding {
    let message = format!("{} is in the list twice", shown(refused.value));
    let entry = field(refused.object.raw, refused.path);
    let entries = field(refused.object.raw, list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let finding = refused.finding(context, &RULE, message);
    let finding = finding.help(refused.help(context, "take one of the two out", refused.removed()));
    let finding = match entry {
        Some(entry) => finding.fixed_by(Fix::safe("take one of the two out").remove(
            refused.object.object,
            refused.path,
            entry.clone(),
        )),
        None => finding,
    };
    match entries.iter().position(|other| Some(other) == entry) {
        Some(first) => finding.related(refused.object.object, format!("{list}[{first}]"), "the same entry"),
        None => finding,
    }
}

fn too_many(context: &Context<'_>, refused: &RefusedField<'_>) -> Finding {
    let (what, advice) = match refused.name() {
        "scopes" => (
            "scopes",
            "move some of them to another policy with the same spec.policy, or name what they have in common",
        ),
        _ => ("entries", "name what they have in common: a registry covers all of its repositories"),
    };
    let message = format!("{} has {} {what}", refused.name(), refused.value);
    refused.finding(context, &RULE, message).help(refused.help(context, advice, None))
}
