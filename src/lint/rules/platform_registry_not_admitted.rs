//! IMP403

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::mirror_not_allowed;
use crate::lint::mirrors::host;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::private_keys::redact;
use crate::model::provenance::{ObjectRef, Provenance};
use crate::model::reference::ImageReference;
use crate::model::scope::is_nested;
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 403,
    name: "platform-registry-not-admitted",
    level: Level::Warning,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "all",
    pitfalls: &[28],
    needs: &[Kind::Image],
    summary: "allowedRegistries leaves out a registry that parts of OpenShift come from, though not the release itself.",
    why: "The release image is not all that a cluster pulls. Operators and their catalogs, images for must-gather and the toolbox of `oc debug` come \
          from `registry.redhat.io`; base images, samples and unqualified names from `registry.access.redhat.com`. With `allowedRegistries` nodes \
          reject them: catalogs disappear from the console, operators are neither installed nor updated, and on the day when support asks for a \
          must-gather its image cannot be pulled. An entry for a mirror does not help, since pods ask for the registry's own name.",
    fix: "Add the registry to `allowedRegistries`, or those of its repositories that are used. A cluster that names everything by its mirror does not \
          need it.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    allowedRegistries:
      - quay.io/openshift-release-dev
      - registry.access.redhat.com
      - image-registry.openshift-image-registry.svc:5000
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    allowedRegistries:
      - quay.io/openshift-release-dev
      - registry.redhat.io
      - registry.access.redhat.com
      - image-registry.openshift-image-registry.svc:5000
",
        },
    ],
    check,
};

const ALLOWED: &str = "spec.registrySources.allowedRegistries";
const RELEASES: &str = "quay.io/openshift-release-dev";
const INTERNAL: &str = "image-registry.openshift-image-registry.svc:5000";

/// What is pulled from where on nearly every cluster.
const USUAL: [(&str, &str); 4] = [
    ("registry.redhat.io/redhat/redhat-operator-index:latest", "the catalogs of operators"),
    ("registry.redhat.io/rhel9/support-tools:latest", "the toolbox of oc debug"),
    ("registry.redhat.io/openshift4/ose-cli:latest", "operators and must-gather"),
    ("registry.access.redhat.com/ubi9/ubi:latest", "base images and samples"),
];

/// What of a registry is rejected.
#[derive(Default)]
struct Rejected {
    witness: String,
    what: Vec<&'static str>,
    pod: Option<(Arc<ObjectRef>, String)>,
    pods: usize,
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(image) = &context.snapshot.image else { return };
    let listed = image.value.spec.registry_sources.allowed_registries.as_deref().unwrap_or_default();
    if listed.is_empty() {
        return;
    }
    // What is blocked or rejected by a MachineConfig is meant to be.
    let is_left_out = |reference: &ImageReference<'_>| {
        let is_list = |from: &Provenance| matches!(from, Provenance::Field { object, path } if **object == *image.reference && path.to_string() == ALLOWED);
        context.rejected_by(reference).is_some_and(|from| from.iter().any(is_list))
    };
    let mut registries: BTreeMap<String, Rejected> = BTreeMap::new();
    for (usual, what) in USUAL {
        let Ok(reference) = ImageReference::parse(usual) else { continue };
        if is_left_out(&reference) {
            let rejected = registries.entry(reference.host().to_string()).or_default();
            rejected.what.push(what);
            if rejected.witness.is_empty() {
                rejected.witness = usual.to_string();
            }
        }
    }
    let mirrors = mirror_not_allowed::left_out(context, listed);
    for used in context.images_in_use() {
        let mut of_platform = used.pods.iter().filter(|(pod, _)| is_platform(pod.reference.namespace.as_deref()));
        let Some((pod, container)) = of_platform.next() else { continue };
        let Ok(reference) = ImageReference::parse(used.image) else { continue };
        if is_told_elsewhere(context, &reference) || mirrors.contains_key(reference.host()) || !is_left_out(&reference)
        {
            continue;
        }
        let rejected = registries.entry(reference.host().to_string()).or_default();
        rejected.pods += of_platform.count() + 1;
        if rejected.pod.is_none() {
            rejected.witness = reference.as_str().to_string();
            rejected.pod = pod.containers.get(*container).map(|container| (pod.reference.clone(), container.path()));
        }
    }
    let hosts: HashSet<&str> = listed.iter().map(|entry| host(entry)).collect();
    for (registry, rejected) in registries {
        let message = match hosts.contains(registry.as_str()) {
            true => format!("allowedRegistries leaves out images of {} that OpenShift needs", shown(&registry)),
            false => format!("{} is in no entry of allowedRegistries", shown(&registry)),
        };
        let mut what = rejected.what.join(", ");
        match rejected.pods {
            0 => {}
            1 => push(&mut what, "images of pods in a namespace of OpenShift"),
            _ => push(&mut what, "images of pods in namespaces of OpenShift"),
        }
        let mend = fix::Fix::risky("allow the registry").append(&image.reference, ALLOWED, registry.as_str());
        let help = format!(
            "allow it, if the cluster uses any of that:\n{}",
            fix::append(&image.reference, ALLOWED, &registry)
        );
        let mut finding = Finding::new(&RULE, image, ALLOWED, message)
            .effect(format!("nodes reject what comes from there: {what}"))
            .help(help)
            .fixed_by(mend)
            .witness(rejected.witness);
        // All of them stand at the list: what tells them apart is the registry.
        finding.fingerprint = format!("{}/{}/{ALLOWED}[{}]", RULE.id(), image.reference, redact(&registry));
        if let Some((pod, path)) = &rejected.pod {
            finding = finding.related(pod, path, "its image is rejected when it is pulled again");
        }
        findings.push(finding);
    }
}

fn push(list: &mut String, item: &str) {
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push_str(item);
}

/// The namespaces that OpenShift keeps for itself.
fn is_platform(namespace: Option<&str>) -> bool {
    namespace.is_some_and(|namespace| {
        namespace.starts_with("openshift-") || matches!(namespace, "openshift" | "kube-system" | "default")
    })
}

/// The release itself is IMP401's, the internal registry IMP402's; mirrors are IMP303's.
fn is_told_elsewhere(context: &Context<'_>, image: &ImageReference<'_>) -> bool {
    let payload = context.compiled.payload.as_ref();
    let repository = payload.and_then(|payload| payload.repository.as_deref());
    let internal = context.snapshot.image.as_ref().map(|image| image.value.status.internal_registry_hostname.as_str());
    (payload.is_some() && is_nested(image.name(), RELEASES))
        || repository.is_some_and(|repository| is_nested(image.name(), repository))
        || internal.is_some_and(|internal| image.host() == internal)
        || image.host() == INTERNAL
}
