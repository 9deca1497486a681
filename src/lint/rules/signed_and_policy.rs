//! IMP221

use crate::lint::gpg::{field, image_below};
use crate::lint::policies::{Asked, is_shipped};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};

pub static RULE: Rule = Rule {
    code: 221,
    name: "signed-and-policy",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[],
    needs: &[],
    summary: "A scope is in signedRegistries and in a policy: its images need a GPG signature and one of sigstore.",
    why: "Requirements for the same scope add up. Where `signedRegistries` and a ClusterImagePolicy (or, for pods of its namespace, an \
          ImagePolicy) name the same scope, a node rejects an image that has one of the two signatures only. That is hardly ever meant.",
    fix: "Keep the scope where its images' signatures belong: in `signedRegistries` for GPG, in the policy for sigstore. While you change from \
          one to the other, sign with both.",
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
      - sigRequiredRegistriesOrImages: [registry.example.com/team]
        gpgKeyPath: /etc/machine-config-daemon/no-reboot/containers-gpg.pub
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.example.com/team
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
  name: team
spec:
  scopes:
    - registry.example.com/team
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
    for asked in scopes.cluster.iter().chain(&scopes.tenants) {
        if let Some(entry) = signed.get(asked.scope)
            && !(is_shipped(asked.policy))
            && let Some((object, path)) = field(entry)
        {
            let scope = shown(asked.scope);
            let whose = whose(asked);
            let message = format!("{scope} is in signedRegistries and in {}", asked.policy.reference);
            let effect =
                format!("nodes reject images in {scope}{whose} that lack the GPG signature or that of sigstore");
            let help = format!(
                "keep the scope in one of both; to take it out of the policy:\n{}",
                scopes.drop_scope(&asked.cause())
            );
            let finding = Finding::at(&RULE, object, context.origin(object), path, message)
                .effect(effect)
                .help(help)
                .witness(image_below(asked.scope))
                .related(&asked.policy.reference, asked.path(), "asks for the same scope");
            findings.push(finding);
        }
    }
}

fn whose(asked: &Asked<'_>) -> String {
    match asked.namespace() {
        "" => String::new(),
        namespace => format!(", for pods of namespace {},", shown(namespace)),
    }
}
