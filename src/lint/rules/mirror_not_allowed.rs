//! IMP303

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::lint::mirrors::{Place, host, others};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::ObjectRef;
use crate::model::reference::ImageReference;
use crate::model::scope_index::ScopeIndex;
use crate::snapshot::Kind;
use std::sync::Arc;

pub static RULE: Rule = Rule {
    code: 303,
    name: "mirror-not-allowed",
    level: Level::Warning,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[Kind::Image],
    summary: "A mirror is in no entry of allowedRegistries, so that what names the mirror itself is rejected.",
    why: "Nodes compare the name that a pod asks for with `allowedRegistries`, not the place that the image comes from: under the source's name \
          images are pulled from the mirror whether it is allowed or not. But in a cluster with mirrors some images are named by the mirror: the \
          catalogs that `oc-mirror` makes, the release of `oc adm upgrade --to-image`, what somebody imported from there into an image stream. \
          Nodes reject these.",
    fix: "Add the mirror's host and port to `allowedRegistries`, beside the sources. If nothing is ever named by the mirror, ignore this.",
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
    allowedRegistries: [quay.io, registry.redhat.io]
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: datacentre}
spec:
  imageDigestMirrors:
    - source: registry.redhat.io/redhat
      mirrors: ['mirror.example.com:8443/redhat']
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
    allowedRegistries: [quay.io, registry.redhat.io, 'mirror.example.com:8443']
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: datacentre}
spec:
  imageDigestMirrors:
    - source: registry.redhat.io/redhat
      mirrors: ['mirror.example.com:8443/redhat']
    - source: docker.io   # nothing under this name may be pulled anyway
      mirrors: ['hub.example.com/docker']
",
        },
    ],
    check,
};

const ALLOWED: &str = "spec.registrySources.allowedRegistries";

/// The mirrors of one host that are not allowed.
pub(super) struct Host<'c, 'a> {
    first: &'c Place<'a>,
    mirrors: BTreeSet<&'a str>,
    /// The first pod that names it, and how many do.
    pod: Option<(Arc<ObjectRef>, String)>,
    pods: usize,
    witness: String,
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(image) = &context.snapshot.image else { return };
    let listed = image.value.spec.registry_sources.allowed_registries.as_deref().unwrap_or_default();
    if listed.is_empty() {
        return;
    }
    let mut hosts = left_out(context, listed);
    if hosts.is_empty() {
        return;
    }
    for used in context.images_in_use() {
        let Ok(reference) = ImageReference::parse(used.image) else { continue };
        let Some(group) = hosts.get_mut(reference.host()) else { continue };
        if context.rejected_by(&reference).is_none() {
            continue;
        }
        if group.pod.is_none() {
            let pod = used.pods.first();
            group.pod =
                pod.and_then(|(pod, container)| Some((pod.reference.clone(), pod.containers.get(*container)?.path())));
            group.witness = used.image.to_string();
        }
        group.pods += used.count;
    }
    for (name, group) in &hosts {
        let more = match group.mirrors.len() {
            1 => String::new(),
            more => format!(", nor {} at {}", others(more, "mirror"), shown(name)),
        };
        let message = format!("the mirror {} is in no entry of allowedRegistries{more}", shown(group.first.mirror));
        let effect = match group.pods {
            0 => "what names the mirror itself is rejected: catalogs that oc-mirror makes, image streams imported from it; \
                  images that are asked for by the source's name are still pulled from it"
                .to_string(),
            1 => "a pod names the mirror itself: its image is rejected".to_string(),
            pods => format!("{pods} pods name the mirror itself: their images are rejected"),
        };
        let entry = host(group.first.mirror);
        let mend = fix::Fix::risky("allow the mirror").append(&image.reference, ALLOWED, entry);
        let help = format!("allow it:\n{}", fix::append(&image.reference, ALLOWED, entry));
        let mut finding = Finding::new(&RULE, group.first.set, group.first.path(), message)
            .effect(effect)
            .help(help)
            .fixed_by(mend)
            .related(&image.reference, ALLOWED, "the registries that are allowed");
        if let Some((pod, path)) = &group.pod {
            finding = finding.related(pod, path, "names the mirror");
        }
        finding.witness = ImageReference::parse(&group.witness).ok().map(|witness| witness.as_str().to_string());
        // Nothing that runs needs it.
        let is_note = group.pods == 0 && context.has_all(Kind::Pod);
        findings.push(if is_note { finding.level(Level::Info) } else { finding });
    }
}

/// Hosts of mirrors that are not allowed, while what they mirror is.
pub(super) fn left_out<'c, 'a>(context: &'c Context<'a>, listed: &[String]) -> BTreeMap<&'c str, Host<'c, 'a>> {
    let allowed = ScopeIndex::new(listed.iter().map(String::as_str));
    let mut known: HashMap<&str, bool, foldhash::fast::RandomState> = HashMap::default();
    let mut allows_some =
        |name| *known.entry(name).or_insert_with(|| allowed.contains(name) || !allowed.nested_in(name).is_empty());
    let mut hosts: BTreeMap<&'c str, Host<'c, 'a>> = BTreeMap::new();
    for place in &context.mirrors().places {
        if allows_some(place.mirror) || !allows_some(&place.rule.source) {
            continue;
        }
        let new = || Host {
            first: place,
            mirrors: BTreeSet::new(),
            pod: None,
            pods: 0,
            witness: format!("{}/app:latest", place.mirror),
        };
        hosts.entry(place.host()).or_insert_with(new).mirrors.insert(place.mirror);
    }
    hosts
}
