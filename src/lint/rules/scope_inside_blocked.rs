//! IMP203

use crate::lint::fix::Fix;
use crate::lint::refusals::others;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::RefusedBy;
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 203,
    name: "scope-inside-blocked",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Controller],
    releases: "4.16 and later",
    pitfalls: &[6],
    needs: &[Kind::Image, Kind::ClusterImagePolicy],
    summary: "A ClusterImagePolicy asks for a scope that is blocked, or lies in a blocked registry.",
    why: "A blocked registry and a signature policy for images from there contradict each other. The machine-config-controller does not \
choose: it stops, and no pool gets its registries, mirrors, blocks or policies written any more, until one of the two is gone. No object's \
status says so; only the controller's log does.",
    fix: "Keep one of the two: unblock the registry, if signed images from there may run, or take the scope out of the policy. To block a \
registry except for one signed part of it is not possible with these lists.",
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
    blockedRegistries: [docker.io]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: vendor}
spec:
  scopes: [docker.io/vendor/agent]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
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
    blockedRegistries: [docker.io/library]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: vendor}
spec:
  scopes: [docker.io/vendor/agent]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (refusal, cause) in context.refusals(&RULE) {
        let scope = &cause.value;
        let message = match others(refusal).next() {
            Some(blocked) if blocked.value == *scope => format!("{} is a blocked registry", shown(scope)),
            Some(blocked) => format!("{} is inside the blocked registry {}", shown(scope), shown(&blocked.value)),
            None => format!("{} is inside a blocked registry", shown(scope)),
        };
        let mut finding = context.refused(&RULE, refusal, cause, message);
        let mut unblock = String::new();
        for blocked in others(refusal) {
            finding = finding.related(&blocked.object, &blocked.path, format!("blocks {}", shown(&blocked.value)));
            if unblock.is_empty() {
                unblock = fix::remove(&blocked.object, &blocked.path, &blocked.value);
                let fix = Fix::risky(format!("unblock {}", shown(&blocked.value)));
                finding.fix = Some(fix.remove(&blocked.object, &blocked.path, blocked.value.as_str()));
            }
        }
        finding.witness = context.scopes().witness(scope, "");
        findings.push(finding.help(format!(
            "unblock all of it, if signed images from there may run:\n{unblock}\nor take the scope out of the policy:\n{}",
            context.scopes().drop_scope(cause)
        )));
    }
}
