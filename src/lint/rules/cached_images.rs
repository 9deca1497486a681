//! IMP703

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::lint::few::keep_few;
use crate::lint::policies::is_shipped;
use crate::lint::usage::{Decision, namespace};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::reference::ImageReference;
use crate::snapshot::{Kind, Pod};

pub static RULE: Rule = Rule {
    code: 703,
    name: "cached-images",
    level: Level::Warning,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[40],
    needs: &[Kind::Pod],
    summary: "Pods under a ClusterImagePolicy that may run an image which a node had before the policy came.",
    why: "A ClusterImagePolicy is looked at when a node pulls, and at no other time. A container with `imagePullPolicy: IfNotPresent` or `Never` starts from what the node has: an image that was pulled before \
the policy was there runs on, and starts again, without a signature. From 4.18 on that is different in a namespace with an ImagePolicy: there the whole policy is asked whenever a container \
starts. Where both are known, only pods that began before the policy was made are counted.",
    fix: "Let the pods pull anew: `imagePullPolicy: Always`, or the admission plugin AlwaysPullImages; then restart them. Or give the namespace an ImagePolicy, for whatever scope.",
    examples: &[
        Example {
            fires: true,
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
  containers: [{name: web, image: "registry.example.com/team/web:v1", imagePullPolicy: IfNotPresent}]
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team, creationTimestamp: "2026-05-04T10:00:00Z"}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers: [{name: web, image: "registry.example.com/team/web:v1", imagePullPolicy: Always}]
---
apiVersion: v1
kind: Pod
metadata: {name: newer, namespace: shop}
spec:
  containers: [{name: web, image: "registry.example.com/team/web:v1", imagePullPolicy: IfNotPresent}]
status: {startTime: "2026-05-05T10:00:00Z"}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: own, namespace: bank}
spec:
  scopes: [registry.example.com/bank]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: OTHER_KEY}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: bank}  # has an ImagePolicy: asked whenever a container starts
spec:
  containers: [{name: web, image: "registry.example.com/team/web:v1", imagePullPolicy: IfNotPresent}]
"#,
        },
    ],
    check,
};

/// What is counted for one scope.
#[derive(Default)]
struct Count<'a> {
    pods: usize,
    namespaces: HashSet<&'a str, foldhash::fast::RandomState>,
    first: Option<(&'a Pod, usize)>,
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut found = Vec::new();
    all(context, &mut found);
    findings.extend(keep_few(found));
}

fn all(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let scopes = context.scopes();
    if scopes.cluster.is_empty() {
        return;
    }
    let lists = context.lists();
    // Namespaces with a policy file of their own; one whose scopes are all ignored has none.
    let tenants = scopes.tenants.iter().filter(|asked| !scopes.cluster_index.contains(asked.scope));
    let checked: HashSet<&str, foldhash::fast::RandomState> = tenants.map(|asked| asked.namespace()).collect();
    let mut known: HashMap<&str, Option<usize>, foldhash::fast::RandomState> = HashMap::default();
    let mut counts: BTreeMap<usize, Count<'_>> = BTreeMap::new();
    let mut scratch = String::new();
    for pod in context.snapshot.pods.iter().filter(|pod| !checked.contains(namespace(pod))) {
        let mut of_pod: Vec<usize> = Vec::new();
        for (position, container) in pod.containers.iter().enumerate().filter(|(_, it)| it.may_be_cached) {
            let scope = *known.entry(&container.image).or_insert_with(|| {
                let image = ImageReference::parse_in(&container.image, &mut scratch).ok()?;
                match context.decision(&image, "", &lists) {
                    Decision::Signature(scope) => scope,
                    _ => None,
                }
            });
            let Some(scope) = scope.filter(|scope| !of_pod.contains(scope)) else { continue };
            let Some(asked) = scopes.cluster.get(scope) else { continue };
            if is_shipped(asked.policy) || is_newer(pod, &asked.policy.raw) {
                continue;
            }
            of_pod.push(scope);
            let count = counts.entry(scope).or_default();
            count.pods += 1;
            count.namespaces.insert(namespace(pod));
            count.first.get_or_insert((pod, position));
        }
    }
    for (position, count) in counts {
        let (Some(asked), Some((pod, container))) = (scopes.cluster.get(position), count.first) else { continue };
        let Some(container) = pod.containers.get(container) else { continue };
        let pods = match count.pods {
            1 => "1 pod".to_string(),
            pods => format!("{pods} pods"),
        };
        let namespaces = match count.namespaces.len() {
            1 => format!("of namespace {}", shown(namespace(pod))),
            namespaces => format!("of {namespaces} namespaces"),
        };
        let scope = shown(asked.scope);
        let message = format!("{pods} {namespaces} may run images of {scope} that a node had before the policy");
        let release = context.release;
        let or_policy = if release.image_policies { ", or give the namespace an ImagePolicy" } else { "" };
        let finding = Finding::new(&RULE, asked.policy, asked.path(), message)
            .effect("nodes ask for the signature when they pull, and these containers start from what the node has, signed or not")
            .help(format!(
                "write imagePullPolicy: Always{or_policy}, and have them started anew:\noc delete pod {} -n {}",
                fix::shell_word(&pod.reference.name),
                fix::shell_word(namespace(pod))
            ))
            .witness(&*container.image)
            .related(&pod.reference, container.path(), format!("may run {} without a pull", shown(&container.image)));
        findings.push(finding);
    }
}

/// Whether a pod began after its policy was made, where both are known: RFC 3339 of Kubernetes sorts as text.
fn is_newer(pod: &Pod, policy: &Value) -> bool {
    let made = policy.pointer("/metadata/creationTimestamp").and_then(Value::as_str).unwrap_or_default();
    !made.is_empty() && *made < *pod.started
}
