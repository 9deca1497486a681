//! IMP903

use crate::lint::suppress::{finding_about, words_for};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule};

pub static RULE: Rule = Rule {
    code: 903,
    name: "suppression-without-reason",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "A suppression without a reason, without a rule, or with a date that is none: it silences nothing.",
    why: "A year later nobody knows why a finding was silenced, and whether it may come back. So a suppression without a reason does not count. \
The same holds where the rule does not exist or the date cannot be read: what was meant is unknown.",
    fix: "Write it as `RULE=REASON`, with `; until=2027-01-31` if it is not for ever.",
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
    allowedRegistries: [quay.io, registry.example.com]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: company
  annotations:
    imagepolicy.openshift.io/ignore: "IMP202"
spec:
  scopes: [mirror.example.com/team]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    allowedRegistries: [quay.io, registry.example.com]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: company
  annotations:
    imagepolicy.openshift.io/ignore: "IMP2O2=the registry is added next week; until=soon"
spec:
  scopes: [mirror.example.com/team]
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
    allowedRegistries: [quay.io, registry.example.com]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: company
  annotations:
    imagepolicy.openshift.io/ignore: "IMP202=the registry is added next week"
spec:
  scopes: [mirror.example.com/team]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (directive, why) in context.suppressing().faulty() {
        let finding = finding_about(&RULE, directive, format!("{} does not count: {why}", words_for(directive)))
            .effect("it silences nothing")
            .help("write it as IMP204=REASON, or IMP204=REASON; until=2027-01-31; in a comment: # imagepolicy:ignore IMP204 REASON");
        findings.push(finding);
    }
}
