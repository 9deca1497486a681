//! IMP110

use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};

pub static RULE: Rule = Rule {
    code: 110,
    name: "other-group",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "A ClusterImagePolicy or ImagePolicy of somebody else's API group, which OpenShift's nodes know nothing of.",
    why: "Sigstore's policy-controller, which Red Hat ships with Trusted Artifact Signer, has a ClusterImagePolicy in the group `policy.sigstore.dev`; Flux has an ImagePolicy in \
`image.toolkit.fluxcd.io`. Nodes go by neither. The first is checked by a webhook when a pod is created, only in namespaces with a label, and only while the webhook \
runs. And the short name is ambiguous: `oc get clusterimagepolicy` shows the one or the other.",
    fix: "If it is meant for the nodes, write it anew in the group `config.openshift.io`. If it is meant for the other product, keep it apart from the cluster's own policies, and \
use full names on the command line: `oc get clusterimagepolicies.config.openshift.io`.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  images: [{glob: "registry.example.com/team/**"}]
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: image.toolkit.fluxcd.io/v1beta2
kind: ImagePolicy
metadata: {name: web, namespace: shop}
spec:
  imageRepositoryRef: {name: web}
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
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for object in &context.snapshot.same_name_elsewhere {
        let (kind, version) = (&object.reference.kind, &object.reference.api_version);
        let group = version.split_once('/').map_or(&**version, |(group, _)| group);
        let plural = if &**kind == "ImagePolicy" { "imagepolicies" } else { "clusterimagepolicies" };
        let namespace = match &object.reference.namespace {
            Some(namespace) => format!(" -n {}", fix::shell_word(namespace)),
            None => String::new(),
        };
        let about = match group {
            "policy.sigstore.dev" => {
                "sigstore's policy-controller looks at it when pods are created, if it is installed"
            }
            "image.toolkit.fluxcd.io" => "Flux chooses image tags by it, and checks no signature",
            _ => "whoever owns that group decides what it means",
        };
        findings.push(
            Finding::new(
                &RULE,
                object,
                "apiVersion",
                format!("this {kind} is of the group {}, not of OpenShift's", shown(group)),
            )
            .effect(format!("nodes do not know it, and pull images whatever it says; {about}"))
            .help(format!(
                "write a {kind} of config.openshift.io/{} for what nodes pull; those that there are:\noc get {plural}.config.openshift.io{namespace}",
                context.release.policy_version
            )),
        );
    }
}
