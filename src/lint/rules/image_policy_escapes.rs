//! IMP208

use crate::lint::policies::{Difference, is_shipped};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::policy::Transport;
use crate::model::policy_write::fits_atomic;
use crate::model::scope::is_valid_scope;
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 208,
    name: "image-policy-escapes",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "4.18 and later",
    pitfalls: &[14],
    needs: &[Kind::ClusterImagePolicy, Kind::ImagePolicy],
    summary: "An ImagePolicy's scope slips past a ClusterImagePolicy by a tag, a digest, or a name inside of a wildcard.",
    why: "No namespace is meant to overrule a ClusterImagePolicy: the machine-config-controller leaves out scopes of ImagePolicies that lie in \
a ClusterImagePolicy's. But it compares texts, and what follows the outer scope must begin with a slash. `registry.example.com/app:v1` is not \
inside of `registry.example.com/app` for it, and `a.example.com/app:v1` not inside of `*.example.com`. The scope gets into the namespace's \
policy, and a node goes by the most specific one: for this tag or digest the tenant's key decides, not the cluster's.",
    fix: "Add the same scope to the ClusterImagePolicy: the ImagePolicy's is then left out. Or take it out of the ImagePolicy. An admission \
policy can keep tags and digests out of ImagePolicies for good.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: base}
spec:
  scopes: [registry.example.com/base/ubi]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: own-base, namespace: analytics}
spec:
  scopes: ["registry.example.com/base/ubi:9-dev"]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: OTHER_KEY}}
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: company}
spec:
  scopes: ["*.example.com"]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: own-base, namespace: analytics}
spec:
  scopes: ["registry.example.com/base/ubi:9-dev"]
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
  scopes: [registry.example.com/base]  # a slash follows: the controller leaves the tenant's scope out
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: own-base, namespace: analytics}
spec:
  scopes: ["registry.example.com/base/ubi:9-dev"]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: OTHER_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let scopes = context.scopes();
    for asked in &scopes.tenants {
        if scopes.cluster_index.contains(asked.scope) {
            continue;
        }
        let Some(around) = scopes.cluster_around(asked.scope) else { continue };
        if scopes.same(around).all(|cluster| scopes.difference(&cluster, asked) == Difference::None) {
            continue;
        }
        let Some(cluster) = scopes.same(around).next() else { continue };
        let (scope, around_scope, name) = (shown(asked.scope), shown(cluster.scope), &cluster.policy.reference);
        let mut help = format!("take it out of the ImagePolicy:\n{}", scopes.drop_scope(&asked.cause()));
        // In a ClusterImagePolicy a scope that nodes cannot read would break every pull (P03).
        let is_readable = !fits_atomic(asked.scope) || is_valid_scope(&Transport::Atomic, asked.scope);
        if is_readable && !is_shipped(cluster.policy) {
            help.push_str(&format!(
                "\nor let the ClusterImagePolicy ask for exactly this, too; the ImagePolicy's scope is then left out:\n{}",
                fix::append(name, "spec.scopes", asked.scope)
            ));
        }
        let mut finding = Finding::new(&RULE, asked.policy, asked.path(), format!("{scope} slips past {name}"))
            .effect(format!(
                "for pods of namespace {} this policy's key decides about {scope}, not what {name} requires for {around_scope}",
                shown(asked.namespace())
            ))
            .help(help)
            .fixed_by(scopes.without_scope(&asked.cause(), false));
        for cluster in scopes.same(around) {
            let what = format!("requires a signature for {around_scope}, everywhere else");
            finding = finding.related(&cluster.policy.reference, cluster.path(), what);
        }
        findings.push(Finding { witness: scopes.witness(asked.scope, asked.namespace()), ..finding });
    }
}
