//! IMP222

use crate::compile::signed_registries::Signed;
use crate::lint::gpg::{field, image_below};
use crate::lint::policies::{Asked, is_shipped};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::reference::broader_scopes;

pub static RULE: Rule = Rule {
    code: 222,
    name: "signed-scope-replaced",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[],
    needs: &[],
    summary: "A signed scope and a policy's scope lie in each other: in the inner one, only its own signature is asked for.",
    why: "A node goes by the most specific scope and by nothing else. A policy for `registry.example.com/team` replaces the GPG signature that \
          `signedRegistries` asks for in `registry.example.com`, and the other way round. Of an ImagePolicy this is worse: the controller \
          compares it with ClusterImagePolicies and not with `signedRegistries`, so that any namespace can put a key of its own in the place of \
          the cluster's GPG key.",
    fix: "Name the inner scope on both sides if both signatures are wanted. Against ImagePolicies, a ClusterImagePolicy for the same scope helps: \
          what lies in its scopes is ignored in namespaces.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    signedRegistries:
      - sigRequiredRegistriesOrImages: [registry.example.com]
        gpgKeyPath: /etc/machine-config-daemon/no-reboot/containers-gpg.pub
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata:
  name: web
  namespace: shop
spec:
  scopes:
    - registry.example.com/shop  # pods of shop need this key, and no GPG signature
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
",
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    signedRegistries:
      - sigRequiredRegistriesOrImages: [registry.example.com/vendor]  # GPG only, not the company's key
        gpgKeyPath: /etc/machine-config-daemon/no-reboot/containers-gpg.pub
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: company
spec:
  scopes:
    - registry.example.com
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    signedRegistries:
      - sigRequiredRegistriesOrImages: [registry.example.com/vendor]
        gpgKeyPath: /etc/machine-config-daemon/no-reboot/containers-gpg.pub
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: company
spec:
  scopes:
    - registry.example.com/company
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let signed = context.signed_index();
    if signed.is_empty() {
        return;
    }
    let scopes = context.scopes();
    let is_cluster_scope = |scope: &str| scopes.cluster_index.position(scope).is_some();
    for asked in scopes.cluster.iter().chain(&scopes.tenants) {
        // What lies in a ClusterImagePolicy's scope is ignored in a namespace, and what both name is another matter.
        let is_void = !asked.namespace().is_empty() && scopes.cluster_index.contains(asked.scope);
        if is_shipped(asked.policy) || is_void || signed.contains_key(asked.scope) {
            continue;
        }
        let hit = broader_scopes(asked.scope).find_map(|broader| {
            let text = broader.text();
            match signed.get(&*text) {
                Some(entry) => Some(Some(*entry)),
                None => is_cluster_scope(&text).then_some(None),
            }
        });
        if let Some(outer) = hit.flatten() {
            findings.extend(policy_inside(context, outer, asked));
        }
    }
    for entry in context.signed() {
        if is_cluster_scope(&entry.scope) {
            continue;
        }
        let hit = broader_scopes(&entry.scope).find_map(|broader| {
            let text = broader.text();
            match scopes.cluster_index.position(&text) {
                Some(position) => Some(scopes.cluster.get(position)),
                None => signed.contains_key(&*text).then_some(None),
            }
        });
        if let Some(outer) = hit.flatten().filter(|outer| !is_shipped(outer.policy)) {
            findings.extend(signed_inside(context, outer, entry));
        }
    }
}

fn policy_inside(context: &Context<'_>, outer: &Signed, asked: &Asked<'_>) -> Option<Finding> {
    let (object, path) = field(outer)?;
    let (inner_scope, outer_scope) = (shown(asked.scope), shown(&outer.scope));
    let (level, whose) = match asked.namespace() {
        "" => (Level::Warning, String::new()),
        namespace => (Level::Error, format!(" by pods of namespace {}", shown(namespace))),
    };
    let message = format!("{inner_scope} replaces the GPG signature that is asked for in {outer_scope}");
    let effect = format!(
        "images under {inner_scope} that are pulled{whose} need a signature for {} and no GPG signature",
        asked.policy.reference
    );
    let help = format!(
        "add {inner_scope} to signedRegistries if both signatures are wanted; to take it out of the policy:\n{}",
        context.scopes().drop_scope(&asked.cause())
    );
    let finding = Finding::new(&RULE, asked.policy, asked.path(), message).level(level).effect(effect).help(help);
    Some(finding.witness(image_below(asked.scope)).related(object, path, format!("asks for GPG in {outer_scope}")))
}

fn signed_inside(context: &Context<'_>, outer: &Asked<'_>, entry: &Signed) -> Option<Finding> {
    let (object, path) = field(entry)?;
    let (inner_scope, outer_scope) = (shown(&entry.scope), shown(outer.scope));
    let name = &outer.policy.reference;
    let message = format!("the GPG signature for {inner_scope} replaces the one that {name} asks for in {outer_scope}");
    let effect = format!("images under {inner_scope} need a GPG signature, and none for {name}");
    let help = format!(
        "nothing, if that is meant; if both signatures are wanted, add {inner_scope} to the scopes of a policy with the same key:\n{}",
        crate::lint::fix::append(name, "spec.scopes", &entry.scope)
    );
    let finding = Finding::at(&RULE, object, context.origin(object), path, message)
        .level(Level::Warning)
        .effect(effect)
        .help(help);
    Some(finding.witness(image_below(&entry.scope)).related(name, outer.path(), format!("asks for {outer_scope}")))
}
