//! IMP219

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lint::fix::Fix;
use crate::lint::gpg::image_below;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::{ObjectRef, Provenance};
use crate::model::scope::is_nested;
use crate::model::scope_index::ScopeIndex;
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 219,
    name: "blocked-mirrored-source",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[31],
    needs: &[Kind::Image],
    summary: "A blocked registry whose images are mirrored: nodes reject them by their name before they ask any mirror.",
    why: "`blockedRegistries` is written twice: into registries.conf, where it keeps nodes away from the registry and leaves its mirrors alone, and into policy.json, where it \
rejects every image *with a name* from there. Pods name the source, not the mirror, so that the second one decides: the pull is rejected although a mirror has the image and may \
be reached. Only the payload of OpenShift itself is excepted.",
    fix: "To keep nodes away from the source and use its mirrors, take the registry out of `blockedRegistries` and write `mirrorSourcePolicy: NeverContactSource` in its mirror set.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: [docker.io]
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: hub}
spec:
  imageDigestMirrors:
    - source: docker.io/bitnami
      mirrors: [mirror.example.net/hub/bitnami]
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: [evil.example.org]
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: hub}
spec:
  imageDigestMirrors:
    - source: docker.io/bitnami
      mirrors: [mirror.example.net/hub/bitnami]
      mirrorSourcePolicy: NeverContactSource
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: machineconfiguration.openshift.io/v1
kind: ControllerConfig
metadata: {name: machine-config-controller}
spec: {releaseImage: "registry.example.com/ocp/release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
---
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: [registry.example.com/ocp]
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: payload}
spec:
  imageDigestMirrors:
    - source: registry.example.com/ocp/release  # the payload is excepted
      mirrors: [mirror.example.net/ocp/release]
"#,
        },
    ],
    check,
};

const NEVER: &str = "NeverContactSource";

/// A mirrored source.
struct Mirrored<'a> {
    kind: Kind,
    object: &'a Arc<ObjectRef>,
    /// Such as `spec.imageDigestMirrors[0]`.
    path: String,
    source: &'a str,
    policy: &'a str,
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let blocked = &context.compiled.sources.policy_blocked;
    if blocked.is_empty() {
        return;
    }
    let index = ScopeIndex::new(blocked.iter().map(|entry| &*entry.text));
    // Whether OpenShift's own images may be pulled is IMP401's.
    let payload = context.compiled.payload.as_ref().and_then(|payload| payload.repository.as_deref());
    let payload = payload.and_then(|payload| payload.rsplit_once('/')).map(|(around, _)| around);
    let mut by_entry: BTreeMap<usize, Vec<Mirrored<'_>>> = BTreeMap::new();
    for (kind, set) in context.snapshot.mirror_sets() {
        for (rule_index, rule) in set.value.spec.mirrors.iter().enumerate() {
            let has_mirror = rule.mirrors.iter().any(|mirror| *mirror != rule.source);
            if !has_mirror || payload.is_some_and(|payload| is_nested(&rule.source, payload)) {
                continue;
            }
            let Some(entry) = index.containing(&rule.source).last() else { continue };
            let path = format!("spec.{}[{rule_index}]", kind.mirror_list());
            let mirrored = Mirrored {
                kind,
                object: &set.reference,
                path,
                source: &rule.source,
                policy: &rule.mirror_source_policy,
            };
            by_entry.entry(entry).or_default().push(mirrored);
        }
    }
    for (entry, mirrored) in by_entry {
        let Some(entry) = blocked.get(entry) else { continue };
        let from = entry.from.iter().find_map(|from| match from {
            Provenance::Field { object, path } if &*object.kind == "Image" => Some((object, path.to_string())),
            _ => None,
        });
        let (Some((image, path)), [first, rest @ ..]) = (from, mirrored.as_slice()) else { continue };
        let others = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        let entry = shown(&entry.text);
        let message = match &*entry == first.source {
            true => format!("{entry} is blocked, and is mirrored{others}"),
            false => format!("{entry} is blocked, and {}{others} inside of it is mirrored", shown(first.source)),
        };
        let mut finding = Finding::at(&RULE, image, context.origin(image), &path, message)
            .effect(format!(
                "nodes reject every image named {}… before they look at a mirror: \"Running image docker://{} is rejected by policy.\"",
                shown(first.source),
                image_below(first.source)
            ))
            .witness(image_below(first.source));
        let mut edits = Fix::risky("unblock it, and keep nodes away from the source in the mirror set");
        edits = edits.remove(image, &path, context.blocked_entry(&path).unwrap_or_default());
        let mut can_be_set = true;
        const MOST: usize = 20;
        for mirrored in mirrored.iter().take(MOST) {
            let what = format!("has mirrors for {}", shown(mirrored.source));
            finding = finding.related(mirrored.object, format!("{}.source", mirrored.path), what);
            can_be_set &= mirrored.kind != Kind::ImageContentSourcePolicy;
            let path = format!("{}.mirrorSourcePolicy", mirrored.path);
            edits = match mirrored.policy {
                "" => edits.set(mirrored.object, &path, NEVER),
                NEVER => edits,
                other => edits.replace(mirrored.object, &path, other, NEVER),
            };
        }
        let help = match can_be_set && mirrored.len() <= MOST {
            true => format!(
                "to use the mirrors and keep nodes away from the source, unblock it and say so in the mirror set{}:\n{}",
                if rest.is_empty() { "" } else { "s" },
                edits.commands().join("\n")
            ),
            false => format!(
                "to use the mirrors, unblock it, and write mirrorSourcePolicy: NeverContactSource in an ImageDigestMirrorSet for each source:\n{}",
                fix::remove(image, &path, context.blocked_entry(&path).unwrap_or_default())
            ),
        };
        finding = finding.help(help);
        findings.push(if can_be_set && mirrored.len() <= MOST { finding.fixed_by(edits) } else { finding });
    }
}
