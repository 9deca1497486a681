//! IMP209

use crate::lint::refusals::others;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::{RefusalReason, RefusedBy};
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 209,
    name: "image-policy-freezes",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Controller],
    releases: "4.18 and later",
    pitfalls: &[10],
    needs: &[Kind::Image, Kind::ImagePolicy],
    summary: "A tenant's ImagePolicy asks for a scope outside of allowedRegistries or inside of blockedRegistries, and stops the whole cluster.",
    why: "An ImagePolicy is meant for one namespace, but the machine-config-controller checks its scopes like everybody else's, and stops \
at the first one that is outside of `allowedRegistries` or inside of `blockedRegistries`: no pool of the cluster gets its registries, \
mirrors, blocks or policies written any more. Whoever may create ImagePolicies in any namespace can do that, on purpose or not. Neither the \
tenant nor the administrator is told: only the controller's log says so.\n\n\
A tag or digest is not inside of its own repository for the controller, so that `registry/app:v1` is refused where `registry/app` is allowed.",
    fix: "Take the scope out of the ImagePolicy, or let the administrator allow (or unblock) the registry. Give the right to create \
ImagePolicies only to those whom you would trust with the cluster, or check their scopes with an admission policy first.",
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
    allowedRegistries: [registry.example.com]
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: tools, namespace: shop}
spec:
  scopes: [ghcr.io/shop/tools]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
        Example {
            fires: true,
            release: "4.18",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: [ghcr.io]
---
apiVersion: config.openshift.io/v1alpha1
kind: ImagePolicy
metadata: {name: tools, namespace: shop}
spec:
  scopes: [ghcr.io/shop/tools]
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
    allowedRegistries: [registry.example.com, ghcr.io/shop]
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: tools, namespace: shop}
spec:
  scopes: [ghcr.io/shop/tools]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let scopes = context.scopes();
    for (refusal, cause) in context.refusals(&RULE) {
        let scope = &cause.value;
        let namespace = cause.object.namespace.as_deref().unwrap_or_default();
        let is_outside = refusal.reason == RefusalReason::ScopeOutsideAllowed;
        let problem = match others(refusal).next() {
            _ if is_outside => "is outside allowedRegistries".to_string(),
            Some(blocked) => format!("is inside the blocked registry {}", shown(&blocked.value)),
            None => "is inside a blocked registry".to_string(),
        };
        let message = format!("the scope {} of namespace {} {problem}", shown(scope), shown(namespace));
        let mut finding = context.refused(&RULE, refusal, cause, message);
        let mut or = String::new();
        for other in others(refusal) {
            let what = if is_outside {
                "no entry covers the scope".to_string()
            } else {
                format!("blocks {}", shown(&other.value))
            };
            finding = finding.related(&other.object, &other.path, what);
            if or.is_empty() {
                or = match is_outside {
                    true => format!(
                        "or, as administrator, allow it; what is allowed needs no signature in other namespaces:\n{}",
                        fix::append(&other.object, &other.path, fix::repository(scope).unwrap_or(scope))
                    ),
                    false => format!(
                        "or, as administrator, unblock all of {}:\n{}",
                        shown(&other.value),
                        fix::remove(&other.object, &other.path, &other.value)
                    ),
                };
            }
        }
        finding.witness = scopes.witness(scope, namespace);
        finding.fix = Some(scopes.without_scope(cause, false));
        findings
            .push(finding.help(format!("take the scope out of the ImagePolicy:\n{}\n{or}", scopes.drop_scope(cause))));
    }
}
