//! IMP404

use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 404,
    name: "other-transports-rejected",
    level: Level::Error,
    confidence: Confidence::VersionDependent,
    refused_by: &[],
    releases: "to 4.20 with pinned images; builds and later releases as a note",
    pitfalls: &[29],
    needs: &[Kind::Image],
    summary: "Everything is rejected that is not in allowedRegistries, images that are on the node already among it.",
    why: "With `allowedRegistries` the policy's default is to reject, and the list speaks of registries only. An image in the node's own storage \
          (`containers-storage`), in a directory or in an archive is in no registry, so it is rejected too. With a PinnedImageSet nodes have the next \
          operating system image already and update from their own storage: the update fails with `is rejected by policy`, and the node is \
          degraded. The machine-config-operator got an exception for this at the end of 2025, in 4.19, 4.20 and later releases.\n\nOpenShift's own builds \
          have a policy of their own that takes images from storage; tools in custom builds that read the node's files have not.",
    fix: "Update to a z-stream with the exception before you pin images of an update, or take the operating system out of the PinnedImageSet. Do not \
          remove `allowedRegistries` for the sake of it.",
    examples: &[
        Example {
            fires: true,
            release: "4.19",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    allowedRegistries: [quay.io, registry.redhat.io]
---
apiVersion: machineconfiguration.openshift.io/v1
kind: PinnedImageSet
metadata:
  name: next-release
  labels: {machineconfiguration.openshift.io/role: worker}
spec:
  pinnedImages:
    - name: quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
",
        },
        Example {
            fires: false,
            release: "4.19",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: [docker.io]   # everything else is accepted
---
apiVersion: machineconfiguration.openshift.io/v1
kind: PinnedImageSet
metadata:
  name: next-release
  labels: {machineconfiguration.openshift.io/role: worker}
spec:
  pinnedImages:
    - name: quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
",
        },
    ],
    check,
};

const ALLOWED: &str = "spec.registrySources.allowedRegistries";

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(image) = &context.snapshot.image else { return };
    let sources = &context.compiled.sources;
    let listed = image.value.spec.registry_sources.allowed_registries.as_deref().unwrap_or_default();
    if listed.is_empty() || !sources.policy_blocked.is_empty() {
        return;
    }
    let allowed = |finding: Finding| finding.related(&image.reference, ALLOWED, "makes rejecting the default");
    let is_fixed = context.release.updates_from_storage;
    for set in context.snapshot.pinned_image_sets.iter().filter(|set| !set.value.spec.pinned_images.is_empty()) {
        let message =
            format!("{} pins images, and nodes reject images of their own storage", shown(&set.metadata.name));
        let effect = match is_fixed {
            false => {
                "an update from a pinned operating system image fails with \"is rejected by policy\", and the node is degraded; z-streams since the end of 2025 make an exception"
            }
            true => {
                "updates from a pinned operating system image rest on an exception that the machine-config-daemon makes for the time of the \
                     update; it does not hold where the node's image storage is a symbolic link"
            }
        };
        let help = match is_fixed {
            false => format!(
                "update to a z-stream with the exception first, or take the set away for the time of the update:\n{}",
                fix::delete(&set.reference)
            ),
            true => "look that /var/lib/containers/storage is a directory on the nodes".to_string(),
        };
        let finding = allowed(Finding::new(&RULE, set, "spec.pinnedImages", message).effect(effect).help(help));
        findings.push(if is_fixed { finding.level(Level::Info) } else { finding });
    }
    let mut builds = context.snapshot.pods.iter().filter(|pod| pod.is_build);
    if let Some(first) = builds.next() {
        let message = match builds.count() {
            0 => "a build runs, and only images of allowedRegistries are accepted".to_string(),
            more => format!("{} builds run, and only images of allowedRegistries are accepted", more + 1),
        };
        let finding = Finding::new(&RULE, image, ALLOWED, message)
            .effect("builds take their base images from the listed registries only; a custom build that reads images from storage, a directory or an archive is rejected")
            .help("list the registries of base images; give custom builds a policy.json of their own")
            .related(&first.reference, "metadata.name", "a build")
            .level(Level::Info);
        findings.push(finding);
    }
}
