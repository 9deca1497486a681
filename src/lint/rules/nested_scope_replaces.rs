//! IMP206

use crate::lint::policies::{Asked, Difference, is_shipped};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 206,
    name: "nested-scope-replaces",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[17],
    needs: &[Kind::ClusterImagePolicy],
    summary: "A ClusterImagePolicy's scope inside of another's replaces the outer requirement, it does not add to it.",
    why: "A node goes by the most specific scope and by nothing else. Where one ClusterImagePolicy asks for `registry.example.com` and \
another for `registry.example.com/team`, images of the team need the second signature only. That is often what is wanted; where the outer \
policy was meant for everything below it, it has a hole.",
    fix: "If both signatures are wanted, add the inner scope to the outer policy: policies with the same scope add up. If the inner policy is \
meant to replace the outer one there, nothing needs to be done.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: company}
spec:
  scopes: [registry.example.com]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
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
metadata: {name: company}
spec:
  scopes: [registry.example.com, registry.example.com/team]  # here both keys are asked for
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: OTHER_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let scopes = context.scopes();
    for asked in scopes.cluster.iter().filter(|asked| !is_shipped(asked.policy)) {
        let Some(around) = scopes.cluster_around(asked.scope) else { continue };
        // Of the policies around it, those that nobody repeats for this scope with the same requirement.
        let here: Vec<_> =
            scopes.cluster_index.position(asked.scope).into_iter().flat_map(|first| scopes.same(first)).collect();
        let is_repeated = |outer: &Asked| here.iter().any(|inner| scopes.difference(inner, outer) == Difference::None);
        let Some(outer) = scopes.same(around).find(|outer| !is_repeated(outer)) else { continue };
        let (scope, outer_scope, outer_name) = (shown(asked.scope), shown(outer.scope), &outer.policy.reference);
        let mut help =
            "if both are meant to hold, make a policy of your own that has its key and asks for the inner scope"
                .to_string();
        if !is_shipped(outer.policy) {
            let add = fix::append(outer_name, "spec.scopes", asked.scope);
            help = format!("if both are meant to hold, let the outer policy ask for the inner scope, too:\n{add}");
        }
        let finding = Finding::new(
            &RULE,
            asked.policy,
            asked.path(),
            format!("{scope} replaces what {outer_name} asks for in {outer_scope}"),
        )
        .effect(format!(
            "images in {scope} need only what this policy requires: the signature that {outer_name} requires is not asked for"
        ))
        .related(outer_name, outer.path(), format!("{outer_scope} is around it"))
        .help(help);
        findings.push(Finding { witness: scopes.witness(asked.scope, ""), ..finding });
    }
}
