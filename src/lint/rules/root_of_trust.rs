//! IMP104

use serde_json::Value;

use crate::admission::ApiRule;
use crate::lint::api::{RefusedField, field};
use crate::lint::fix;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::provenance::RefusedBy;

pub static RULE: Rule = Rule {
    code: 104,
    name: "root-of-trust",
    level: Level::Error,
    confidence: Confidence::VersionDependent,
    refused_by: &[RefusedBy::Api],
    releases: "4.16 on; PKI from 4.21 (4.19 and 4.20: behind a feature gate)",
    pitfalls: &[],
    needs: &[],
    summary: "A root of trust has a policyType that the release does not know, or members that do not fit its policyType.",
    why: "`spec.policy.rootOfTrust` says what a signature must come from. It is a union: `policyType` names one of `PublicKey`, \
          `FulcioCAWithRekor` and `PKI`, and exactly the member of that name (`publicKey`, `fulcioCAWithRekor`, `pki`) must be there. The API \
          server refuses everything else, so the policy is never stored and protects nothing.",
    fix: "Keep one member, and let `policyType` name it. To accept either of two roots is not possible; to ask for both, write two policies \
          with the same scope.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.example.com/team
  policy:
    rootOfTrust:
      policyType: FulcioCAWithRekor   # but the member is publicKey
      publicKey:
        keyData: SOME_KEY
",
        },
        Example {
            fires: true,
            release: "4.18",
            manifests: "
apiVersion: config.openshift.io/v1alpha1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.example.com/team
  policy:
    rootOfTrust:
      policyType: PKI   # not known before 4.19
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.example.com/team
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
",
        },
    ],
    check,
};

/// `policyType` and the member that goes with it.
const MEMBERS: [(&str, &str); 3] =
    [("PublicKey", "publicKey"), ("FulcioCAWithRekor", "fulcioCAWithRekor"), ("PKI", "pki")];
const ROOT: &str = "spec.policy.rootOfTrust";

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for refused in context.refused_fields(ApiRule::RootOfTrust) {
        let root = field(refused.object.raw, ROOT).unwrap_or(&Value::Null);
        let policy_type = root.get("policyType").and_then(Value::as_str).unwrap_or_default();
        let is_there = |member: &str| root.get(member).is_some_and(|value| !value.is_null());
        let present: Vec<(&str, &str)> = MEMBERS.into_iter().filter(|(_, member)| is_there(member)).collect();
        let wanted = MEMBERS.into_iter().find(|(name, _)| *name == policy_type);
        let (message, advice, command) = match wanted {
            _ if refused.path.ends_with("policyType") => unknown(context, &refused, policy_type, &present),
            None => unknown(context, &refused, policy_type, &present),
            Some((_, member)) => unfitting(&refused, policy_type, member, &present),
        };
        findings.push(refused.finding(context, &RULE, message).help(refused.help(context, &advice, command)));
    }
}

type Words = (String, String, Option<String>);

fn unknown(context: &Context<'_>, refused: &RefusedField<'_>, policy_type: &str, present: &[(&str, &str)]) -> Words {
    let message = format!("policyType is {}, which OpenShift {} does not know", shown(policy_type), context.release);
    match present {
        [(name, member)] => {
            let advice = format!("for {member}, write policyType: {name}");
            (message, advice, Some(fix::set(refused.object.object, &format!("{ROOT}.policyType"), name)))
        }
        _ => {
            let advice = match context.release.pki && context.release.policy_version == "v1" {
                true => "write PublicKey, FulcioCAWithRekor or PKI, as it is spelt here",
                false => "write PublicKey or FulcioCAWithRekor, as it is spelt here",
            };
            (message, advice.to_string(), None)
        }
    }
}

fn unfitting(refused: &RefusedField<'_>, policy_type: &str, member: &str, present: &[(&str, &str)]) -> Words {
    let others: Vec<&str> = present.iter().map(|(_, other)| *other).filter(|other| *other != member).collect();
    let is_there = present.iter().any(|(_, there)| *there == member);
    let object = refused.object.object;
    match (is_there, present) {
        (true, _) => {
            let message = format!("policyType is {policy_type}, so {} must not be there", others.join(" and "));
            let operations = others
                .iter()
                .map(|other| serde_json::json!({"op": "remove", "path": format!("{}/{other}", fix::pointer(ROOT))}));
            let command = fix::patch(object, Value::from_iter(operations));
            (message, format!("keep {member} only"), Some(command))
        }
        (false, [(name, other)]) => {
            let message = format!("policyType is {policy_type}, but what is there is {other}, not {member}");
            let command = fix::set(object, &format!("{ROOT}.policyType"), name);
            (message, format!("for {other}, write policyType: {name}"), Some(command))
        }
        (false, _) => {
            let message = format!("policyType is {policy_type}, but {member} is missing");
            (message, format!("add {member} with its data"), None)
        }
    }
}
