//! IMP602

use serde_json::Value;

use crate::lint::policies::is_shipped;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::snapshot::{Kind, Object, Source, api};

pub static RULE: Rule = Rule {
    code: 602,
    name: "not-effective-here",
    level: Level::Warning,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[48, 49],
    needs: &[Kind::Infrastructure],
    summary: "Nodes of this cluster do not get their image policy from these objects.",
    why: "With a hosted control plane there is no machine-config-controller in the cluster. Nodes get their configuration from the NodePool, in \
          the cluster that hosts the control plane: a ClusterImagePolicy takes effect only in a ConfigMap that the NodePool's `spec.config` names, and an \
          ImagePolicy is not accepted there at all. Policies in the hosted cluster will likely have no effect: nothing says so, and images are \
          accepted unsigned.\n\nOn a managed cluster (ROSA, OpenShift Dedicated) the provider's admission webhooks may deny changes of the Image and \
          of mirror sets.\n\nAnd what node policy does not cover anywhere: builds go by the lists of the Image and ask no ClusterImagePolicy, \
          nor do imports into image streams.",
    fix: "Put the ClusterImagePolicy into a ConfigMap in the namespace of the NodePool and name it in `spec.config`; registry lists belong in the \
          HostedCluster's `spec.configuration.image`, mirrors in `spec.imageContentSources`.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Infrastructure
metadata: {name: cluster}
status: {controlPlaneTopology: External, infrastructureName: hosted-1}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: team, namespace: shop}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Infrastructure
metadata: {name: cluster}
status: {controlPlaneTopology: HighlyAvailable, infrastructureName: lab-1}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: team, namespace: shop}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let snapshot = context.snapshot;
    let Some(infrastructure) = &snapshot.infrastructure else { return };
    let policies = || {
        let all = snapshot.cluster_image_policies.iter().chain(&snapshot.image_policies);
        all.filter(|policy| !is_shipped(policy))
    };
    if infrastructure.value.status.control_plane_topology == "External" {
        findings.extend(policies().map(|policy| hosted(infrastructure, policy)));
        return;
    }
    let sources = snapshot.image.as_ref().map(|image| &image.value.spec.registry_sources);
    let has_lists = sources.is_some_and(|lists| {
        [&lists.allowed_registries, &lists.blocked_registries, &lists.insecure_registries]
            .into_iter()
            .any(Option::is_some)
    });
    let has_mirrors = snapshot.mirror_sets().next().is_some();
    if let Some(tag) = managed(infrastructure).filter(|_| has_lists || has_mirrors) {
        let what = if has_lists { "Image/cluster" } else { "mirror sets" };
        let finding = Finding::new(&RULE, infrastructure, tag, "this is a managed cluster, whose provider may deny changes of node configuration")
            .effect(format!("changes of {what} may be denied by the provider's admission webhooks, or be reverted"))
            .help("try it on the server before relying on it: oc apply --dry-run=server; ask the provider what may be set, with rosa edit cluster or its like");
        // What is in a cluster was let in.
        findings.push(if snapshot.source == Source::Manifests { finding } else { finding.level(Level::Info) });
    }
    let build = snapshot.pods.iter().find(|pod| pod.is_build);
    if let (Some(build), Some(policy)) = (build, policies().next()) {
        findings.push(
            Finding::new(&RULE, policy, "", "builds run here, and builds ask no policy for signatures")
                .effect("base images of builds are pulled unsigned; what builds push is checked when nodes pull it, like any image")
                .help("sign what builds push, and restrict their sources with registrySources of Image/cluster, which builds go by")
                .related(&build.reference, "metadata.name", "a build")
                .level(Level::Info),
        );
    }
}

fn hosted(infrastructure: &Object<api::Infrastructure>, policy: &Object<api::ImagePolicy>) -> Finding {
    let name = shown(&policy.metadata.name);
    let is_tenant = !policy.metadata.namespace.is_empty();
    let (message, help) = match is_tenant {
        true => (
            format!("ImagePolicy {name} has no effect with a hosted control plane"),
            "NodePools do not take ImagePolicies: write a ClusterImagePolicy into a ConfigMap that spec.config of the NodePool names".to_string(),
        ),
        false => (
            format!("ClusterImagePolicy {name} will likely have no effect with a hosted control plane"),
            format!(
                "put it into a ConfigMap beside the NodePool, in the hosting cluster, and name that in the NodePool's spec.config:\n\
                 {} > policy.yaml\n\
                 oc create configmap image-policy -n NAMESPACE-OF-NODEPOOL --from-file=config=policy.yaml",
                fix::get(&policy.reference)
            ),
        ),
    };
    Finding::new(&RULE, policy, "", message)
        .effect("nodes get their policy from the NodePool: images of these scopes are accepted unsigned")
        .help(help)
        .related(&infrastructure.reference, "status.controlPlaneTopology", "the control plane is hosted: External")
}

/// The tag that the provider of a managed cluster puts on everything.
fn managed(infrastructure: &Object<api::Infrastructure>) -> Option<String> {
    let lists = ["status.platformStatus.aws.resourceTags", "status.platformStatus.gcp.resourceLabels"];
    lists.into_iter().find_map(|list| {
        let tags = infrastructure.raw.pointer(&fix::pointer(list)).and_then(Value::as_array)?;
        let is_red_hat = |tag: &Value| {
            let text = |key| tag.get(key).and_then(Value::as_str).unwrap_or_default();
            (text("key") == "red-hat-managed" && text("value") == "true") || text("key") == "red-hat-clustertype"
        };
        Some(format!("{list}[{}]", tags.iter().position(is_red_hat)?))
    })
}
