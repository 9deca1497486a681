//! IMP212

use crate::lint::few::few;
use crate::lint::fix::{Fix, repository};
use crate::lint::policies::{Asked, is_shipped};
use crate::lint::usage::unmatchable;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::scope_index::ScopeIndex;
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 212,
    name: "dead-scope",
    level: Level::Hint,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[25],
    needs: &[Kind::Pod],
    summary: "A scope that no image in use is looked up under.",
    why: "Such a scope protects nothing that runs now. It may be meant for later; or the name has a slip, the registry moved, or the images are called by another name, and what \
should be signed is pulled from elsewhere without a signature.",
    fix: "Compare the scope with the names that pods have: `oc get pods -A -o jsonpath='{..image}'`. Take it out, if nothing is left there.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team, registry.example.com/old]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers: [{name: web, image: "registry.example.com/team/web:v1"}]
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
# IMP217 and IMP218 say why these match nothing.
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: ["*.example.com", registry.example.net]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
    - {name: web, image: "example.com/team/web:v1"}
    - {name: log, image: "registry.example.net:5000/team/log:v1"}
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
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers: [{name: web, image: "registry.example.com/team/web:v1"}]
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let scopes = context.scopes();
    // A must-gather has the pods of some namespaces: what is in none of those may be in use all the same.
    if (scopes.cluster.is_empty() && scopes.tenants.is_empty()) || !context.has_all(Kind::Pod) {
        return;
    }
    let usage = context.usage();
    let mirrors = context.snapshot.mirror_sets().flat_map(|(_, set)| &set.value.spec.mirrors);
    let mirrors = ScopeIndex::new(mirrors.flat_map(|rule| &rule.mirrors).map(String::as_str));
    let is_dead = |asked: &&Asked<'_>| {
        let is_used = match asked.namespace() {
            "" => scopes.cluster_index.position(asked.scope).is_some_and(|position| usage.of_cluster(position)),
            // What a ClusterImagePolicy covers is ignored in an ImagePolicy anyway.
            namespace => {
                scopes.cluster_index.contains(asked.scope)
                    || scopes.tenant(namespace, asked.scope).is_some_and(|position| usage.of_tenant(position))
            }
        };
        // Other rules say why: it can match nothing, images have digests or a port, they are at the
        // domain of a wildcard, or the scope names a mirror.
        let is_told = unmatchable(asked.scope).is_some()
            || repository(asked.scope).is_some_and(|name| usage.of_repository(name).is_some_and(|(_, by_tag)| !by_tag))
            || mirrors.contains(asked.scope)
            || usage.just_misses(asked.scope);
        !is_used && !is_told && !is_shipped(asked.policy)
    };
    let dead: Vec<&Asked<'_>> = scopes.cluster.iter().chain(&scopes.tenants).filter(is_dead).collect();
    for group in dead.chunk_by(|a, b| a.policy.reference == b.policy.reference) {
        for (asked, more) in few(group) {
            let whose = match asked.namespace() {
                "" => String::new(),
                namespace => format!(" of namespace {}", shown(namespace)),
            };
            let message = format!("no image in use{whose} is under {}{more}", shown(asked.scope));
            let finding = Finding::new(&RULE, asked.policy, asked.path(), message)
                .effect(
                    "the scope protects nothing that runs now; if images of that place do run, they have another name",
                )
                .help(format!(
                    "compare it with the names in use, or take it out if nothing is left there:\n{}",
                    scopes.drop_scope(&asked.cause())
                ));
            let is_only = asked.policy.value.spec.scopes.len() < 2;
            findings.push(match is_only {
                true => finding,
                false => finding.fixed_by(Fix::risky("take the scope out").remove(
                    &asked.policy.reference,
                    &asked.path(),
                    asked.scope,
                )),
            });
        }
    }
}
