//! IMP109

use crate::compile::NoteKind;
use crate::lint::fix::{self, Fix};
use crate::lint::policies::is_shipped;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::snapshot::{Kind, Origin, Recognised};

pub static RULE: Rule = Rule {
    code: 109,
    name: "not-served",
    level: Level::Warning,
    confidence: Confidence::VersionDependent,
    refused_by: &[],
    releases: "all: `v1alpha1` to 4.19, behind a feature gate; `v1` from 4.20",
    pitfalls: &[38],
    needs: &[],
    summary: "An object of a kind or version that this release does not serve, or whose feature gate is off.",
    why: "ClusterImagePolicy came with 4.16 and ImagePolicy with 4.18, both as `v1alpha1` and only on clusters with the feature gate SigstoreImageVerification, that is \
with the feature set TechPreviewNoUpgrade; from 4.20 on the gate is on everywhere and `v1` is the only version. What an API server does not serve it does not take: \
`oc apply` fails with `no matches for kind`. With the gate off an object that is still there has no effect at all: images are pulled without any look at their signatures.",
    fix: "Write the version that the release serves; the fields are the same, `v1` looks closer at them. Where the kind is not there yet or the gate is off, update to 4.20 or later, \
and do not count on signatures before.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1alpha1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
        Example {
            fires: true,
            release: "4.19",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: FeatureGate
metadata: {name: cluster}
status:
  featureGates:
    - version: 4.19.3
      disabled: [{name: SigstoreImageVerification}]
---
apiVersion: config.openshift.io/v1alpha1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
        Example {
            fires: true,
            release: "4.17",
            manifests: r#"
apiVersion: config.openshift.io/v1alpha1
kind: ImagePolicy
metadata: {name: web, namespace: shop}  # the controller knows it from 4.18 on
spec:
  scopes: [registry.example.com/web]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
        Example {
            fires: false,
            release: "4.18",
            manifests: r#"
apiVersion: config.openshift.io/v1alpha1
kind: ImagePolicy
metadata: {name: web, namespace: shop}
spec:
  scopes: [registry.example.com/web]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let release = context.release;
    let gate = context.compiled.notes.iter().find(|note| note.kind == NoteKind::GateOff);
    let served = format!("config.openshift.io/{}", release.policy_version);
    for policy in context.policies().filter(|policy| !is_shipped(policy)) {
        let is_known = match policy.metadata.namespace.is_empty() {
            true => release.cluster_image_policies,
            false => release.image_policies,
        };
        let (kind, version) = (&policy.reference.kind, &policy.reference.api_version);
        let no_effect = "it has no effect: images under its scopes are pulled whether they are signed or not";
        let finding = if !is_known {
            let since = if policy.metadata.namespace.is_empty() { "4.16" } else { "4.18" };
            Finding::new(&RULE, policy, "apiVersion", format!("OpenShift {release} does not know {kind}"))
                .effect(no_effect)
                .help(format!(
                    "update: {kind} came with {since} behind a feature gate, and is there for everybody from 4.20 on:\noc adm upgrade"
                ))
        } else if **version != *served {
            let message = format!("OpenShift {release} does not serve {} of {kind}", shown(version));
            Finding::new(&RULE, policy, "apiVersion", message)
                .effect(format!(
                    "the API server does not take it: \"no matches for kind \\\"{kind}\\\" in version \\\"{version}\\\"\""
                ))
                .help(match &policy.origin {
                    Origin::File { source, .. } if source.name != "-" => format!(
                        "write apiVersion: {served}, and let the server look at the rest without storing it:\noc apply --dry-run=server -f {}",
                        fix::shell_word(&source.name)
                    ),
                    _ => format!("write apiVersion: {served}; the fields are the same"),
                })
                .fixed_by(Fix::safe(format!("write {served}")).replace(
                    &policy.reference,
                    "apiVersion",
                    &**version,
                    served.as_str(),
                ))
        } else if gate.is_some() {
            let message = format!("the feature gate SigstoreImageVerification is off, and {kind} depends on it");
            let finding = Finding::new(&RULE, policy, "", message).effect(no_effect).help(
                "update to 4.20 or later, where it is on everywhere; to see what is on now:\noc get featuregate cluster -o yaml",
            );
            match &context.snapshot.feature_gate {
                Some(gate) => finding.related(&gate.reference, "status.featureGates", "the gate is off"),
                None => finding,
            }
        } else {
            continue;
        };
        findings.push(finding);
    }
    // Versions that nobody ever served.
    for object in &context.snapshot.undecodable {
        let Recognised::UnknownVersion(kind) = Kind::of(&object.reference.api_version, &object.reference.kind) else {
            continue;
        };
        let group = if kind.info().group.is_empty() { "" } else { "/" };
        let served = match kind {
            Kind::ClusterImagePolicy | Kind::ImagePolicy => served.clone(),
            _ => format!("{}{group}{}", kind.info().group, kind.info().versions.first().copied().unwrap_or_default()),
        };
        let version = shown(&object.reference.api_version);
        let message = format!("OpenShift {release} does not serve {version} of {kind}");
        let finding = Finding::new(&RULE, object, "apiVersion", message)
            .effect("the API server does not take it, and nothing of it was looked at here")
            .help(format!("write apiVersion: {served}; what the server has:\n{}", fix::get(&object.reference)));
        findings.push(finding);
    }
}
