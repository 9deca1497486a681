//! IMP407

use crate::compile::NoteKind;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::go_text::quote;
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 407,
    name: "blocked-payload-ignored",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[30],
    needs: &[Kind::Image, Kind::ClusterVersion],
    summary: "A blocked registry is not blocked, because OpenShift's own release comes from there and has no mirror.",
    why: "Blocking the registry of the release would keep the cluster from pulling itself. So the controller leaves such an entry out, unless a \
          digest mirror of the release exists that is not blocked as well, and says so in its log only. The Image goes on showing the registry \
          as blocked; every image in it can be pulled.",
    fix: "Mirror the release (ImageDigestMirrorSet), so that the entry can take effect; or block the repositories that are meant rather than the \
          registry around the release; or take the entry out.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata: {name: version}
status:
  desired:
    version: 4.20.3
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: [docker.io, quay.io]
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata: {name: version}
status:
  desired:
    version: 4.20.3
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: [docker.io, quay.io/team]
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(image) = &context.snapshot.image else { return };
    let Some(payload) = &context.compiled.payload else { return };
    let repository = payload.repository.as_deref().unwrap_or_default();
    for note in context.compiled.notes.iter().filter(|note| note.kind == NoteKind::PayloadBlockIgnored) {
        for cause in note.causes.iter().filter(|cause| *cause.object == *image.reference) {
            let entry = shown(&cause.value);
            let mend =
                fix::Fix::risky("take the entry out").remove(&image.reference, &cause.path, cause.value.as_str());
            let help = format!(
                "mirror {} with an ImageDigestMirrorSet, block what is meant by its repositories, or take the entry out:\n{}",
                shown(repository),
                mend.commands().join("\n")
            );
            let mut finding = Finding::new(
                &RULE,
                image,
                &cause.path,
                format!(
                    "{entry} is not blocked: the release comes from {} and has no usable mirror",
                    shown(repository)
                ),
            )
            .effect(format!(
                "nodes pull from {entry} as before; only the controller's log says so: {}",
                quote(&note.text)
            ))
            .help(help)
            .fixed_by(mend);
            if let crate::model::provenance::Provenance::Field { object, path } = &payload.from {
                finding = finding.related(object, path, "names the payload");
            }
            finding.witness = context.scopes().witness(&cause.value, "");
            findings.push(finding);
        }
    }
}
