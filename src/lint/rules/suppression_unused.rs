//! IMP901

use crate::lint::suppress::{finding_about, words_for};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule};

pub static RULE: Rule = Rule {
    code: 901,
    name: "suppression-unused",
    level: Level::Hint,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "A suppression of a finding that is not there.",
    why: "It may be mistyped, so that the finding it was meant for still counts. Or what it was about is mended, and it would silence the next one, \
which nobody has looked at.\n\n\
Only suppressions of rules that ran are looked at. Of two that say the same, the second one is not used.",
    fix: "Take it out.",
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
    imagepolicy.openshift.io/ignore: "IMP202=the registry is added next week"
spec:
  scopes: [registry.example.com/team]
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
    for directive in context.suppressing().unused() {
        let message = format!("{} silences nothing", words_for(directive));
        let finding = finding_about(&RULE, directive, message)
            .effect("none now: a later finding of this rule would not count, unseen")
            .help("take it out, if what it was about is mended; else look whether rule, object and line are right");
        findings.push(finding);
    }
}
