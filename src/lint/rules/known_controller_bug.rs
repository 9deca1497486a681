//! IMP411

use std::collections::BTreeMap;

use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::snapshot::{Object, api};

pub static RULE: Rule = Rule {
    code: 411,
    name: "known-controller-bug",
    level: Level::Error,
    confidence: Confidence::VersionDependent,
    refused_by: &[],
    releases: "4.18, 4.19",
    pitfalls: &[46],
    needs: &[],
    summary: "ImagePolicies in several namespaces meet a bug of this release's controller.",
    why: "The first controller of 4.18 stops as soon as two namespaces have ImagePolicies that count: it reads the cluster's policy from a buffer \
          that is empty the second time (OCPBUGS-48195), and nothing reaches any node. Later ones of 4.18, and those of 4.19, write the files of the \
          namespaces in random order: the MachineConfig may differ each time that it is written, though nothing changed, and nodes take it anew.",
    fix: "Update to the newest z-stream of 4.18, better to 4.20, which writes the files in order. Until then have ImagePolicies in one namespace \
          only.",
    examples: &[
        Example {
            fires: true,
            release: "4.18",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata:
  name: version
status:
  desired:
    version: 4.18.0
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1alpha1
kind: ImagePolicy
metadata:
  name: web
  namespace: shop
spec:
  scopes:
    - registry.example.com/shop
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
---
apiVersion: config.openshift.io/v1alpha1
kind: ImagePolicy
metadata:
  name: jobs
  namespace: batch
spec:
  scopes:
    - registry.example.com/jobs
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
",
        },
        Example {
            fires: false,
            release: "4.18",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata:
  name: version
status:
  desired:
    version: 4.18.0
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1alpha1
kind: ImagePolicy
metadata:
  name: web
  namespace: shop
spec:
  scopes:
    - registry.example.com/shop
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
kind: ClusterVersion
metadata:
  name: version
status:
  desired:
    version: 4.20.3
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata:
  name: web
  namespace: shop
spec:
  scopes:
    - registry.example.com/shop
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata:
  name: jobs
  namespace: batch
spec:
  scopes:
    - registry.example.com/jobs
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
    if !context.release.random_namespace_order {
        return;
    }
    let Ok(generated) = &context.compiled.generated else { return };
    let written = &generated.files.namespaces;
    let mut policies: BTreeMap<&str, &Object<api::ImagePolicy>> = BTreeMap::new();
    for policy in &context.snapshot.image_policies {
        let namespace = policy.metadata.namespace.as_str();
        if written.contains_key(namespace) {
            policies.entry(namespace).or_insert(policy);
        }
    }
    let mut policies = policies.into_values();
    let (Some(first), Some(second)) = (policies.next(), policies.next()) else { return };
    let version = context.snapshot.cluster_version.as_ref();
    let version = version.map(|version| version.value.status.desired.version.as_str()).unwrap_or_default();
    let namespaces = format!(
        "{} namespaces have ImagePolicies, {} and {} among them",
        written.len(),
        shown(&first.metadata.namespace),
        shown(&second.metadata.namespace)
    );
    let finding = if is_before_fix(version) {
        let effect = "the machine-config-controller of this version stops at the second one and writes nothing for any pool (OCPBUGS-48195)";
        Finding::new(&RULE, second, "metadata.namespace", namespaces).effect(effect)
    } else {
        let maybe = if version.is_empty() { "; that of 4.18.0 stops altogether (OCPBUGS-48195)" } else { "" };
        let effect = format!(
            "the machine-config-controller of OpenShift {} writes their files in random order: nodes will likely take a new MachineConfig again \
             and again, though nothing changes{maybe}",
            context.release
        );
        Finding::new(&RULE, second, "metadata.namespace", namespaces).level(Level::Warning).effect(effect)
    };
    let help = "see which newer versions there are, and update:\noc adm upgrade";
    findings.push(finding.related(&first.reference, "metadata.namespace", "has its own file, too").help(help));
}

/// OCPBUGS-48195 was mended in January 2025, before 4.18.1.
fn is_before_fix(version: &str) -> bool {
    let rest = version.strip_prefix("4.18.0");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '+']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (version, expected) in [
            ("4.18.0", true),
            ("4.18.0-rc.9", true),
            ("4.18.1", false),
            ("4.18.01", false),
            ("4.19.0", false),
            ("4.18", false),
            ("", false),
        ] {
            assert_eq!(is_before_fix(version), expected, "{version}");
        }
    }
}
