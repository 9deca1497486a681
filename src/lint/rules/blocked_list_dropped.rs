//! IMP412

use crate::compile::NoteKind;
use crate::lint::fix::Fix;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::snapshot::{Kind, Sync};

pub static RULE: Rule = Rule {
    code: 412,
    name: "blocked-list-dropped",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[52],
    needs: &[Kind::Image],
    summary: "The whole list of blocked registries is dropped silently, because the payload's own mirror cannot be worked out.",
    why: "Before the machine-config-controller blocks a registry that the OpenShift release itself comes from, it looks for a mirror of the \
release that is not blocked. If it cannot work that out, for instance because a mirror of the release is a bare host, so that no image name \
can be made from it, it logs a line and goes on with no blocked registries at all: not only the one in question, every entry is gone. On a \
running cluster `allowedRegistries` goes with it, so that every registry is open.",
    fix: "Mend the entry that is named: give the mirror a path, write the entry as `host[:port][/path]`. Or do not block the registry of the \
release; `mirrorSourcePolicy: NeverContactSource` in its mirror set keeps nodes away from it.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata: {name: version}
status:
  desired: {version: 4.20.3, image: "quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
---
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: [quay.io, evil.example.com]
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: release}
spec:
  imageDigestMirrors:
    - source: quay.io/openshift-release-dev/ocp-release
      mirrors: [mirror.example.com]  # a path is missing
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata: {name: version}
status:
  desired: {version: 4.20.3, image: "quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
---
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: [quay.io, evil.example.com]
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: release}
spec:
  imageDigestMirrors:
    - source: quay.io/openshift-release-dev/ocp-release
      mirrors: [mirror.example.com/ocp-release]
"#,
        },
    ],
    check,
};

const LIST: &str = "spec.registrySources.blockedRegistries";

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(image) = &context.snapshot.image else { return };
    for note in context.compiled.notes.iter().filter(|note| note.kind == NoteKind::BlockedListDropped) {
        let blocked = image.value.spec.registry_sources.blocked_registries.as_deref().unwrap_or_default();
        let mut some: Vec<_> = blocked.iter().take(3).map(|entry| shown(entry).into_owned()).collect();
        if blocked.len() > some.len() {
            some.push(format!("{} more", blocked.len() - some.len()));
        }
        let allows = image.value.spec.registry_sources.allowed_registries.as_ref().is_some_and(|list| !list.is_empty());
        let also = match context.snapshot.sync() {
            _ if !allows => "",
            Sync::Live => ", and allowedRegistries is void as well",
            Sync::Bootstrap => ", and on a running cluster allowedRegistries is void as well",
        };
        let is_list = |cause: &&crate::model::provenance::Cause| cause.path.starts_with(LIST);
        let around = note.causes.iter().find(is_list);
        let message = match around {
            Some(entry) => format!(
                "{} is the registry of the release, and whether that has a usable mirror cannot be worked out",
                shown(&entry.value)
            ),
            None => "whether the release has a usable mirror cannot be worked out".to_string(),
        };
        let mut help = String::from(
            "mend what is named here: a mirror of the release needs a path, an entry the form host[:port][/path]",
        );
        let mut finding = Finding::new(&RULE, image, around.map_or(LIST, |entry| &entry.path), message).effect(
            format!("no node blocks {}{also}; only the controller's log says so: {}", some.join(", "), note.text),
        );
        for cause in note.causes.iter().filter(|cause| Some(*cause) != around) {
            finding = finding.related(&cause.object, &cause.path, shown(&cause.value));
        }
        if let Some(entry) = around {
            let unblocked = Fix::risky(format!("unblock {}", shown(&entry.value)));
            finding.fix = Some(unblocked.remove(&image.reference, &entry.path, entry.value.as_str()));
            let unblock = fix::remove(&image.reference, &entry.path, &entry.value);
            help.push_str(&format!("; or do not block the registry of the release:\n{unblock}"));
        }
        let payload =
            context.compiled.payload.as_ref().and_then(|payload| payload.repository.as_deref()).unwrap_or_default();
        let other = blocked.iter().find(|entry| !crate::model::scope::is_nested(payload, entry));
        finding.witness = other.or(blocked.first()).and_then(|entry| context.scopes().witness(entry, ""));
        findings.push(finding.help(help));
    }
}
