//! IMP204

use crate::lint::fix::Fix;
use crate::lint::gpg::{field, image_below};
use crate::lint::policies::{Asked, is_shipped};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::reference::broader_scopes;
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
    summary: "An entry of allowedRegistries inside of the scope of a ClusterImagePolicy or of signedRegistries lets unsigned images through.",
    why: "Every entry of `allowedRegistries` becomes a scope of its own in policy.json, one that accepts anything. A node goes by the most \
specific scope and by nothing else: where a narrower entry is allowed inside of the scope of a ClusterImagePolicy or of `signedRegistries`, \
no signature is asked for there. Nobody says so: neither the API nor the controller, and images keep being pulled.",
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
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    allowedRegistries: [quay.io/pub]
    signedRegistries:
      - sigRequiredRegistriesOrImages: [quay.io]
        gpgKeyPath: /etc/machine-config-daemon/no-reboot/containers-gpg.pub
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: pub}
spec:
  scopes: [quay.io/pub/signed]
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
    let signed = context.signed_index();
    if scopes.cluster.is_empty() && signed.is_empty() {
        return;
    }
    let is_demanded = |scope: &str| scopes.cluster_index.position(scope).is_some() || signed.contains_key(scope);
    let listed = image.value.spec.registry_sources.allowed_registries.iter().flatten();
    for (index, entry) in listed.enumerate().filter(|(_, entry)| !is_demanded(entry)) {
        let Some(around) = broader_scopes(entry).find(|broader| is_demanded(&broader.text())) else { continue };
        let around = around.text();
        let policies: Vec<Asked> =
            scopes.cluster_index.position(&around).into_iter().flat_map(|first| scopes.same(first)).collect();
        let path = format!("spec.registrySources.allowedRegistries[{index}]");
        let mut help = format!(
            "take the entry out of the list, where {} is allowed as well:\n{}",
            shown(&around),
            fix::remove(&image.reference, &path, entry)
        );
        let by_gpg = signed.get(&*around).and_then(|signed| field(signed));
        let who = match policies.first() {
            Some(policy) => {
                let name = &policy.policy.reference;
                if !is_shipped(policy.policy) && fix::repository(entry).is_none() {
                    let add = fix::append(name, "spec.scopes", entry);
                    help.push_str(&format!("\nor let the policy ask for it by name, too:\n{add}"));
                }
                format!("{name} requires a signature")
            }
            None => "signedRegistries require a GPG signature".to_string(),
        };
        let message = format!("{} is allowed without a signature inside {}", shown(entry), shown(&around));
        let effect = format!("nodes accept anything from {}, although {who} for {}", shown(entry), shown(&around));
        let fix = Fix::risky("take the entry out of the list").remove(&image.reference, &path, entry.as_str());
        let mut finding = Finding::new(&RULE, image, &path, message).effect(effect).help(help).fixed_by(fix);
        for asked in &policies {
            let what = format!("requires a signature for {}", shown(asked.scope));
            finding = finding.related(&asked.policy.reference, asked.path(), what);
        }
        if let Some((object, path)) = by_gpg {
            finding = finding.related(object, path, format!("requires a GPG signature for {}", shown(&around)));
        }
        finding.witness = match policies.is_empty() {
            true => Some(image_below(entry)),
            false => scopes.witness(entry, ""),
        };
        findings.push(finding);
    }
}
