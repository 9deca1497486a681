//! IMP902

use crate::lint::suppress::{finding_about, words_for};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule};

pub static RULE: Rule = Rule {
    code: 902,
    name: "suppression-expired",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "A suppression whose date has passed: it silences nothing any more.",
    why: "Somebody gave a finding time until a day, which was the last one in UTC. The finding counts again, and the suppression is left over.",
    fix: "Mend what it was about and take it out; or decide anew until when it is to hold.",
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
    imagepolicy.openshift.io/ignore: "IMP202=the registry is added next week; until=2024-03-31"
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
    imagepolicy.openshift.io/ignore: "IMP202=the registry is added by the end of the century; until=2099-12-31"
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
    for (directive, day) in context.suppressing().expired() {
        let message = format!("{} expired after {day}", words_for(directive));
        let finding = finding_about(&RULE, directive, message)
            .effect("what it silenced counts again")
            .help("mend what it was about and take it out, or give it a later date");
        findings.push(finding);
    }
}
