//! IMP205

use crate::lint::policies::{Asked, Difference, is_shipped};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 205,
    name: "same-scope-twice",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[11],
    needs: &[Kind::ClusterImagePolicy],
    summary: "Several policies ask for the same scope: all of them must be satisfied, not one of them.",
    why: "The requirements of all ClusterImagePolicies for one scope (and of all ImagePolicies of a namespace for one scope) are put into \
one list, and a node wants every one of them met. Two keys mean two signatures. As a way to change keys this stops every pull that has only \
one of the two: there is no \"either … or\" in these objects.\n\n\
Where the keys are the same, the second policy adds nothing, or another signedIdentity that must hold as well: a warning.",
    fix: "Keep the scope in one policy. To change a key, sign the images with both keys first, then put the new key in the place of the old one.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team-new-key}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: OTHER_KEY}}
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: web, namespace: shop}
spec:
  scopes: [registry.example.com/web]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: frontend, namespace: shop}
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
kind: ImagePolicy
metadata: {name: web, namespace: shop}
spec:
  scopes: [registry.example.com/web]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: web, namespace: shop-test}  # each namespace has its own policy
spec:
  scopes: [registry.example.com/web]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: OTHER_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let scopes = context.scopes();
    let mut tell = |first: &Asked, asked: &Asked| {
        // What stands twice in one object is another matter.
        let is_twice = first.policy.reference != asked.policy.reference;
        if is_twice && !(is_shipped(first.policy) && is_shipped(asked.policy)) {
            findings.push(finding(context, first, asked));
        }
    };
    for (position, asked) in scopes.cluster.iter().enumerate() {
        let first = scopes.cluster_index.position(asked.scope).filter(|first| *first != position);
        if let Some(first) = first.and_then(|first| scopes.cluster.get(first)) {
            tell(first, asked);
        }
    }
    for (position, asked) in scopes.tenants.iter().enumerate() {
        let first = scopes.tenant(asked.namespace(), asked.scope).filter(|first| *first != position);
        // What a ClusterImagePolicy covers is ignored in an ImagePolicy anyway.
        if let Some(first) =
            first.and_then(|first| scopes.tenants.get(first)).filter(|_| !scopes.cluster_index.contains(asked.scope))
        {
            tell(first, asked);
        }
    }
}

/// About the second of two, or the one that OpenShift does not ship.
fn finding(context: &Context<'_>, first: &Asked<'_>, second: &Asked<'_>) -> Finding {
    let scopes = context.scopes();
    let (other, asked) = if is_shipped(second.policy) { (second, first) } else { (first, second) };
    let scope = shown(asked.scope);
    let (level, effect, help) = match scopes.difference(other, asked) {
        Difference::Root => (
            Level::Error,
            format!(
                "a signature by only one of the keys is not enough: nodes reject images in {scope} that lack either"
            ),
            "keep the scope in one policy; to change keys, sign with both first, then put the new key in the place of the old one",
        ),
        Difference::Identity => (
            Level::Warning,
            format!(
                "a signature in {scope} must be made for an identity that both accept, though the keys are the same"
            ),
            "keep the scope in one policy, with the identity that you mean",
        ),
        Difference::None => {
            (Level::Warning, format!("the second policy for {scope} adds nothing"), "keep the scope in one policy")
        }
    };
    let help = format!("{help}; to take it out of this one:\n{}", scopes.drop_scope(&asked.cause()));
    let message = format!(
        "{scope} is asked for by {} and {}, and both must be satisfied",
        other.policy.reference, asked.policy.reference
    );
    let mut finding = Finding::new(&RULE, asked.policy, asked.path(), message).level(level).effect(effect).help(help);
    finding.witness = scopes.witness(asked.scope, asked.namespace());
    if scopes.difference(other, asked) == Difference::None {
        finding.fix = Some(scopes.without_scope(&asked.cause(), true));
    }
    finding.related(&other.policy.reference, other.path(), "asks for the same scope")
}
