//! IMP215

use std::collections::HashMap;

use crate::lint::few::keep_few;
use crate::lint::policies::{Asked, Difference, is_shipped};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 215,
    name: "image-policy-broader",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "4.18 and later",
    pitfalls: &[15],
    needs: &[Kind::ClusterImagePolicy],
    summary: "An ImagePolicy for more than a ClusterImagePolicy asks for: it decides about everything but the ClusterImagePolicy's part.",
    why: "An ImagePolicy that lies inside of a ClusterImagePolicy's scope is left out; one that is broader is not. A node goes by the most specific scope alone, so that pods of \
that namespace need the tenant's signature for most of the images, the cluster's for those in the narrower scope, and never both. Who reads only the ImagePolicy expects one \
key and finds images rejected that it has signed.",
    fix: "If both are meant, say so in a comment of the ImagePolicy. Otherwise narrow the ImagePolicy's scope to what the tenant signs.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: base}
spec:
  scopes: [registry.example.com/base]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: all, namespace: shop}
spec:
  scopes: [registry.example.com]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: OTHER_KEY}}
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: base}
spec:
  scopes: [registry.example.com/base]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: web, namespace: shop}
spec:
  scopes: [registry.example.com/shop]  # beside it
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: OTHER_KEY}}
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: base}
spec:
  scopes: [registry.example.com/base]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: all, namespace: shop}
spec:
  scopes: [registry.example.com]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}  # the same key
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut found = Vec::new();
    all(context, &mut found);
    findings.extend(keep_few(found));
}

fn all(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let scopes = context.scopes();
    // Many namespaces have the same scope.
    let mut inside: HashMap<&str, Vec<Asked<'_>>, foldhash::fast::RandomState> = HashMap::default();
    for asked in &scopes.tenants {
        let inside = inside.entry(asked.scope).or_insert_with(|| {
            if scopes.cluster_index.contains(asked.scope) {
                return Vec::new();
            }
            let mut positions = scopes.cluster_index.nested_in(asked.scope);
            positions.sort_unstable();
            let policies = positions.into_iter().filter_map(|position| scopes.cluster.get(position).copied());
            policies.filter(|cluster| !is_shipped(cluster.policy)).collect()
        });
        const MOST: usize = 10;
        let different = || inside.iter().filter(|cluster| scopes.difference(cluster, asked) != Difference::None);
        let Some(first) = different().next() else { continue };
        let (scope, namespace) = (shown(asked.scope), shown(asked.namespace()));
        let others = match different().take(MOST).count() {
            1 => String::new(),
            MOST => " and many more".to_string(),
            number => format!(" and {} more", number - 1),
        };
        let message = format!("{scope} goes by this policy, but for {}{others} inside of it", shown(first.scope));
        let mut finding = Finding::new(&RULE, asked.policy, asked.path(), message)
            .effect(format!(
                "pods of namespace {namespace} need a signature by this policy's key for {scope}, and for {} only what {} requires",
                shown(first.scope),
                first.policy.reference
            ))
            .help(format!(
                "narrow the scope to what this policy's key signs, if that is not what you mean; to take it out:\n{}",
                scopes.drop_scope(&asked.cause())
            ));
        for cluster in different().take(MOST) {
            let what = format!("decides about {}", shown(cluster.scope));
            finding = finding.related(&cluster.policy.reference, cluster.path(), what);
        }
        findings.push(Finding { witness: scopes.witness(first.scope, asked.namespace()), ..finding });
    }
}
