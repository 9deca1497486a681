//! IMP204

use crate::lint::policies::is_shipped;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 204,
    name: "shadowed-by-allowed",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[16],
    needs: &[Kind::Image, Kind::ClusterImagePolicy],
    summary: "An entry of allowedRegistries inside of a ClusterImagePolicy's scope lets unsigned images through.",
    why: "Every entry of `allowedRegistries` becomes a scope of its own in policy.json, one that accepts anything. A node goes by the most \
specific scope and by nothing else: where a narrower entry is allowed inside of the scope of a ClusterImagePolicy, the policy's signature is \
not asked for there. Nobody says so: neither the API nor the controller, and images keep being pulled.",
    fix: "Take the narrower entry out of `allowedRegistries`, if a broader one covers it anyway; or add it to the policy's scopes, which puts \
the signature in the place of the free pass. If those images are meant to run without a signature, say so by leaving this finding suppressed \
with a reason.",
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
    allowedRegistries: [quay.io, quay.io/pub]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: quay}
spec:
  scopes: [quay.io]
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
    allowedRegistries: [quay.io, quay.io/pub]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: quay}
spec:
  scopes: [quay.io, quay.io/pub]  # the policy's own entry replaces the allowed one
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(image) = &context.snapshot.image else { return };
    let scopes = context.scopes();
    if scopes.cluster.is_empty() {
        return;
    }
    let listed = image.value.spec.registry_sources.allowed_registries.iter().flatten();
    for (index, entry) in listed.enumerate() {
        if scopes.cluster_index.position(entry).is_some() {
            continue;
        }
        let Some(around) = scopes.cluster_around(entry) else { continue };
        let Some(policy) = scopes.same(around).next() else { continue };
        let path = format!("spec.registrySources.allowedRegistries[{index}]");
        let name = &policy.policy.reference;
        let mut help = format!(
            "take the entry out of the list, where {} is allowed as well:\n{}",
            shown(policy.scope),
            fix::remove(&image.reference, &path, entry)
        );
        if !is_shipped(policy.policy) && fix::repository(entry).is_none() {
            let add = fix::append(name, "spec.scopes", entry);
            help.push_str(&format!("\nor let the policy ask for it by name, too:\n{add}"));
        }
        let message = format!("{} is allowed without a signature inside {}", shown(entry), shown(policy.scope));
        let effect = format!(
            "nodes accept anything from {}, although {name} requires a signature for {}",
            shown(entry),
            shown(policy.scope)
        );
        let mut finding = Finding::new(&RULE, image, &path, message).effect(effect).help(help);
        for asked in scopes.same(around) {
            let what = format!("requires a signature for {}", shown(asked.scope));
            finding = finding.related(&asked.policy.reference, asked.path(), what);
        }
        finding.witness = scopes.witness(entry, "");
        findings.push(finding);
    }
}
