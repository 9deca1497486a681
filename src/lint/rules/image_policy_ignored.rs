//! IMP207

use std::collections::HashSet;

use crate::compile::NoteKind;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::parallel;
use crate::model::provenance::{Cause, ObjectRef};
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 207,
    name: "image-policy-ignored",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "4.18 and later",
    pitfalls: &[13],
    needs: &[Kind::ClusterImagePolicy, Kind::ImagePolicy],
    summary: "An ImagePolicy's scope is equal to a ClusterImagePolicy's scope or lies in it, and is therefore left out.",
    why: "Where a ClusterImagePolicy has a scope, no namespace can have another opinion: the machine-config-controller leaves such scopes of \
ImagePolicies out. The tenant's key is never asked for. On a running cluster the object's status says `Pending`, `False`, `ConflictScopes`.\n\n\
The controller never takes that status back. It still stands there after the conflict is gone, and then it is wrong: a note.",
    fix: "Take the scope out of the ImagePolicy, or let the administrator narrow the ClusterImagePolicy. A stale status goes away when the \
object is deleted and created again.",
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
kind: ImagePolicy
metadata: {name: web, namespace: shop}
spec:
  scopes: [registry.example.com/shop/web]
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
metadata: {name: web, namespace: shop, generation: 2}
spec:
  scopes: [registry.example.com/shop/web]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
status:
  conditions:
    - {type: Pending, status: "False", reason: ConflictScopes, observedGeneration: 1}  # left behind
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
  scopes: [registry.example.com/shop/web]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: OTHER_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let scopes = context.scopes();
    let notes = context.compiled.notes.iter().filter(|note| note.kind == NoteKind::ImagePolicyScopeIgnored);
    let left_out: Vec<(&Cause, &[Cause])> = notes.filter_map(|note| note.causes.split_first()).collect();
    let ignored: HashSet<&ObjectRef> = left_out.iter().map(|(cause, _)| &*cause.object).collect();
    findings.extend(parallel::map(&left_out, |(cause, around)| without_effect(context, cause, around)));
    if scopes.tenants.is_empty() {
        return;
    }
    for policy in context.snapshot.image_policies.iter().filter(|policy| !ignored.contains(&*policy.reference)) {
        for (index, condition) in policy.value.status.conditions.iter().enumerate() {
            if condition.kind != "Pending" || condition.status != "False" || condition.reason != "ConflictScopes" {
                continue;
            }
            let path = format!("status.conditions[{index}]");
            let message = match condition.observed_generation == policy.metadata.generation {
                true => "the status tells of conflicting scopes, and there are none".to_string(),
                false => format!(
                    "the status tells of conflicting scopes, but of generation {}, and there are none in generation {}",
                    condition.observed_generation, policy.metadata.generation
                ),
            };
            let finding = Finding::new(&RULE, policy, path, message)
                .level(Level::Info)
                .effect("none: the controller never takes this status back, and looks at every scope of this policy")
                .help(format!(
                    "create the object anew, if the status misleads somebody: save it first, then\n{}",
                    fix::delete(&policy.reference)
                ));
            findings.push(finding);
        }
    }
}

/// A scope that the controller leaves out of the namespace's policy.
fn without_effect(context: &Context<'_>, cause: &Cause, around: &[Cause]) -> Finding {
    let scopes = context.scopes();
    let scope = shown(&cause.value);
    let message = match around.first() {
        Some(cluster) if cluster.value == cause.value => {
            format!("{scope} has no effect here, since {} asks for it", cluster.object)
        }
        Some(cluster) => {
            format!("{scope} has no effect here, since it is inside {} of {}", shown(&cluster.value), cluster.object)
        }
        None => format!("{scope} has no effect here"),
    };
    let namespace = cause.object.namespace.as_deref().unwrap_or_default();
    let mut finding = Finding::at(&RULE, &cause.object, context.origin(&cause.object), &cause.path, message)
        .effect(format!(
            "pods of namespace {} need what the ClusterImagePolicy requires; the signature that this policy requires is never looked for",
            shown(namespace)
        ))
        .help(format!("take the scope out of the ImagePolicy, or have the ClusterImagePolicy narrowed:\n{}", scopes.drop_scope(cause)))
        .fixed_by(scopes.without_scope(cause, true));
    for cluster in around {
        finding = finding.related(&cluster.object, &cluster.path, format!("asks for {}", shown(&cluster.value)));
    }
    finding.witness = around.first().and_then(|cluster| scopes.witness_below(&cause.value, &cluster.value));
    finding
}
