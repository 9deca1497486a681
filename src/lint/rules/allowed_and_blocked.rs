//! IMP201

use crate::admission::ApiRule;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, refusals};
use crate::model::provenance::{ObjectRef, RefusedBy};
use serde_json::json;

pub static RULE: Rule = Rule {
    code: 201,
    name: "allowed-and-blocked",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Api, RefusedBy::Controller],
    releases: "all; the API server checks it from 4.18",
    pitfalls: &[9],
    needs: &[],
    summary: "allowedRegistries and blockedRegistries are both set.",
    why: "The two lists mean opposite defaults: with `allowedRegistries` nodes reject everything else, with `blockedRegistries` they accept \
          everything else. With both the machine-config-controller writes nothing at all, for any pool: later changes of registries, policies and \
          mirrors do not reach the nodes either. From OpenShift 4.18 the API server refuses the object, even where one of the lists is empty.",
    fix: "Keep one list. What is not allowed is rejected anyway, so a list of allowed registries needs no list of blocked ones. To close a part of \
          an allowed registry, name the parts that stay open.",
    examples: &[
        Example {
            fires: true,
            release: "4.17",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    allowedRegistries:
      - quay.io
      - registry.redhat.io
    blockedRegistries:
      - docker.io
",
        },
        Example {
            fires: false,
            release: "4.17",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    allowedRegistries:
      - quay.io
      - registry.redhat.io
    insecureRegistries:
      - registry.redhat.io
",
        },
    ],
    check,
};

const SOURCES: &str = "spec.registrySources";
const BLOCKED: &str = "spec.registrySources.blockedRegistries";
const ALLOWED: &str = "spec.registrySources.allowedRegistries";
const ADVICE: &str = "keep one of the two: what allowedRegistries leaves out is rejected anyway";

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for refused in context.refused_fields(ApiRule::AllowedAndBlocked) {
        let help = refused.help(context, ADVICE, Some(without_blocked(refused.object.object)));
        let finding =
            refused.finding(context, &RULE, "allowedRegistries and blockedRegistries are both set").help(help);
        findings.push(finding);
    }
    for (refusal, cause) in context.refusals(&RULE) {
        let message = "allowedRegistries and blockedRegistries are both set";
        let mut finding = context
            .refused(&RULE, refusal, cause, message)
            .help(format!("{ADVICE}:\n{}", without_blocked(&cause.object)));
        finding.path = SOURCES.to_string();
        for other in [cause].into_iter().chain(refusals::others(refusal)) {
            let message = match &*other.path {
                ALLOWED => "everything that is not in it would be rejected",
                BLOCKED => "everything that is not in it would be accepted",
                _ => "takes part",
            };
            finding = finding.related(&other.object, &other.path, message);
        }
        findings.push(finding);
    }
}

fn without_blocked(object: &ObjectRef) -> String {
    fix::patch(object, json!([{"op": "remove", "path": fix::pointer(BLOCKED)}]))
}
