//! IMP406

use crate::lint::api::field;
use crate::lint::policies::is_shipped;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::go_text::quote;
use crate::snapshot::{Kind, Object, api};

pub static RULE: Rule = Rule {
    code: 406,
    name: "reserved-name",
    level: Level::Error,
    confidence: Confidence::VersionDependent,
    refused_by: &[],
    releases: "4.16 and later; 4.20 does not let the cluster be updated",
    pitfalls: &[37],
    needs: &[],
    summary: "A ClusterImagePolicy has a name that OpenShift keeps for itself, or its own policy is set aside.",
    why: "Names of ClusterImagePolicies that begin with `openshift` belong to OpenShift. From 4.21 on it ships a policy `openshift` for its own release \
          images and writes over whatever has that name, so that your rules are gone after the update. 4.20 therefore refuses to be updated: the \
          machine-config operator says `Upgradeable=False`, reason `ConflictingClusterImagePolicy`.\n\nAn entry of ClusterVersion's `overrides` that \
          makes the shipped policy unmanaged is meant for unsigned test releases: nobody mends or updates the policy then, and a cluster with \
          overrides is not updated.",
    fix: "Create the policy under another name, then delete this one. Take the override out.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: openshift}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
",
        },
        Example {
            fires: true,
            release: "4.21",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata: {name: version}
spec:
  overrides:
    - {kind: ClusterImagePolicy, group: config.openshift.io, name: openshift, namespace: '', unmanaged: true}
",
        },
        Example {
            fires: false,
            release: "4.21",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: openshift
  annotations: {include.release.openshift.io/self-managed-high-availability: 'true'}
spec:
  scopes: [quay.io/openshift-release-dev/ocp-release]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team-openshift}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: OTHER_KEY}
",
        },
    ],
    check,
};

const RESERVED: &str = "openshift";

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let policies = context.snapshot.cluster_image_policies.iter();
    let reserved = policies.filter(|policy| policy.metadata.name.starts_with(RESERVED) && !is_own(context, policy));
    findings.extend(reserved.map(|policy| name(context, policy)));
    let Some(version) = &context.snapshot.cluster_version else { return };
    for (index, entry) in version.value.spec.overrides.iter().enumerate() {
        let is_policy =
            entry.kind == Kind::ClusterImagePolicy.name() && entry.group == Kind::ClusterImagePolicy.info().group;
        if !is_policy || !entry.unmanaged || !entry.name.starts_with(RESERVED) {
            continue;
        }
        let path = format!("spec.overrides[{index}]");
        let written = field(&version.raw, &path).cloned().unwrap_or_default();
        let mend = fix::Fix::risky("let OpenShift manage its policy again").remove(&version.reference, &path, written);
        let help = format!("take the override out:\n{}", mend.commands().join("\n"));
        findings.push(
            Finding::new(&RULE, version, path, format!("the policy {} that OpenShift ships is unmanaged", shown(&entry.name)))
                .effect("nobody restores or updates the policy for release images, and the cluster is not updated as long as it has overrides")
                .help(help)
                .fixed_by(mend),
        );
    }
}

/// Whether the cluster-version-operator made it. From 4.21 on it has taken over what looks like its own.
fn is_own(context: &Context<'_>, policy: &Object<api::ImagePolicy>) -> bool {
    let annotations = &policy.metadata.annotations;
    annotations.keys().any(|key| key.starts_with("include.release.openshift.io/"))
        || (context.release.ships_policy && is_shipped(policy))
}

fn name(context: &Context<'_>, policy: &Object<api::ImagePolicy>) -> Finding {
    let name = &policy.metadata.name;
    let is_exact = name == RESERVED;
    let effect = match (is_exact, context.release.guards_shipped_policy) {
        (true, true) => format!(
            "the cluster cannot be updated: {}",
            quote(
                "ClusterImagePolicy resource named 'openshift' conflicts with the cluster default ClusterImagePolicy object and blocks upgrades. Please \
                 delete the 'openshift' ClusterImagePolicy resource and reapply it with a different name if needed"
            )
        ),
        (true, false) if context.release.ships_policy => {
            "OpenShift writes its own policy of that name over it, and its rules are gone".to_string()
        }
        (true, false) => {
            "from OpenShift 4.21 on a policy of that name is shipped and written over it, and its rules are gone"
                .to_string()
        }
        (false, _) => {
            "a later release may ship a policy of that name and write it over this one, and its rules are gone"
                .to_string()
        }
    };
    let rest = name.strip_prefix(RESERVED).unwrap_or_default().trim_start_matches('-');
    let wanted = if rest.is_empty() || rest.starts_with(RESERVED) { "team-policy" } else { rest };
    let change = format!(".metadata = {{name: {}}} | del(.status)", serde_json::Value::from(wanted));
    let help = format!(
        "create it under another name, then delete this one:\n{} | jq {} | oc create -f -\n{}",
        fix::get(&policy.reference).replace("-o yaml", "-o json"),
        fix::shell_word(&change),
        fix::delete(&policy.reference)
    );
    Finding::new(
        &RULE,
        policy,
        "metadata.name",
        format!("{} is a name that OpenShift keeps for its own policies", shown(name)),
    )
    .effect(effect)
    .help(help)
}
