//! IMP702

use std::collections::{HashMap, HashSet};

use crate::lint::usage::{Decision, namespace};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::reference::ImageReference;
use crate::snapshot::{Kind, Pod};

pub static RULE: Rule = Rule {
    code: 702,
    name: "coverage",
    level: Level::Hint,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[],
    needs: &[Kind::Pod],
    summary: "Images in use that no policy asks a signature for.",
    why: "Nodes pull these images and run them whoever made them. That may be meant, for images that nobody signs; or a registry was forgotten, or a policy's scope has another name than the images. \
Pods in OpenShift's own namespaces are not counted, and neither are images that nodes reject. There is one finding for the whole cluster.",
    fix: "Look at the list by registry, and give each registry whose images are signed a ClusterImagePolicy: `oc imagepolicy explain IMAGE` says what decides about one of them.",
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
  containers:
    - {name: web, image: "registry.example.com/team/web:v1"}
    - {name: proxy, image: "docker.io/library/nginx:1.29"}
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
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: hub, namespace: shop}
spec:
  scopes: [docker.io/library/nginx]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: OTHER_KEY}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
    - {name: web, image: "registry.example.com/team/web:v1"}
    - {name: proxy, image: "docker.io/library/nginx:1.29"}
---
apiVersion: v1
kind: Pod
metadata: {name: console, namespace: openshift-console}
spec:
  containers: [{name: console, image: "quay.io/openshift-release-dev/ocp-v4.0-art-dev:console"}]
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let lists = context.lists();
    let has_own: HashSet<&str> = context.scopes().tenants.iter().map(|asked| asked.namespace()).collect();
    // Of each image: whether it needs no signature, by namespace with a policy of its own or else as everywhere.
    let mut known: HashMap<(&str, &str), bool, foldhash::fast::RandomState> = HashMap::default();
    let mut bare: HashMap<&str, (&Pod, usize), foldhash::fast::RandomState> = HashMap::default();
    let mut total: HashSet<&str, foldhash::fast::RandomState> = Default::default();
    let mut scratch = String::new();
    for pod in context.snapshot.pods.iter().filter(|pod| !is_of_platform(namespace(pod))) {
        let own = Some(namespace(pod)).filter(|namespace| has_own.contains(namespace)).unwrap_or_default();
        for (position, container) in pod.containers.iter().enumerate() {
            total.insert(&container.image);
            let is_bare = *known.entry((own, &container.image)).or_insert_with(|| {
                let reference = ImageReference::parse_in(&container.image, &mut scratch);
                reference.is_ok_and(|image| context.decision(&image, own, &lists) == Decision::Accepts)
            });
            if is_bare {
                bare.entry(&container.image).or_insert((pod, position));
            }
        }
    }
    let mut bare: Vec<(&str, (&Pod, usize))> = bare.into_iter().collect();
    bare.sort_unstable_by_key(|(image, _)| *image);
    let Some((first, (pod, position))) = bare.first().copied() else { return };
    const SHOWN: usize = 3;
    let names: Vec<_> = bare.iter().take(SHOWN).map(|(image, _)| shown(image)).collect();
    let more = if bare.len() > SHOWN { format!(" and {} more", bare.len() - SHOWN) } else { String::new() };
    let message = format!(
        "no policy asks for a signature of {} of {} images in use: {}{more}",
        bare.len(),
        total.len(),
        names.join(", ")
    );
    let path_of = |pod: &Pod, position: usize| pod.containers.get(position).map(|container| container.path());
    let finding = match &context.snapshot.image {
        Some(image) => Finding::new(&RULE, image, "", message),
        None => {
            Finding::at(&RULE, &pod.reference, pod.origin.clone(), path_of(pod, position).unwrap_or_default(), message)
        }
    };
    let mut finding = finding
        .effect("nodes pull and run them whoever made them")
        .help(format!(
            "if they are signed, write a ClusterImagePolicy for their registry; what decides about one of them:\noc imagepolicy explain {}",
            crate::lint::fix::shell_word(first)
        ))
        .witness(first);
    for (image, (pod, position)) in bare.iter().take(SHOWN) {
        if let Some(path) = path_of(pod, *position) {
            finding = finding.related(&pod.reference, path, format!("runs {}", shown(image)));
        }
    }
    findings.push(finding);
}

/// A namespace of OpenShift's own.
fn is_of_platform(namespace: &str) -> bool {
    ["openshift", "kube"]
        .iter()
        .any(|prefix| namespace.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
}
