//! IMP601

use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::scope::is_nested;
use crate::snapshot::{Kind, Object, Sync, api};

pub static RULE: Rule = Rule {
    code: 601,
    name: "upgrade-signatures",
    level: Level::Error,
    confidence: Confidence::VersionDependent,
    refused_by: &[],
    releases: "4.20",
    pitfalls: &[23],
    needs: &[],
    summary: "The update from 4.20 to 4.21 requires signatures of release images, and this cluster has mirrors.",
    why: "From 4.21 on OpenShift ships a policy that requires a signature of every release image, `quay.io/openshift-release-dev/ocp-release`. Nodes look \
          for the signature where they get the image: a mirror made by `oc adm release mirror` has none, and the update then stops with images that \
          cannot be pulled. So 4.20 does not let a cluster with an ImageDigestMirrorSet or ImageContentSourcePolicy be updated before somebody \
          acknowledges it (`ack-4.20-sigstore-in-4.21`, in z-streams since January 2026). The acknowledgement mends nothing: it says that the \
          signatures are there.",
    fix: "Mirror the 4.21 release with `oc-mirror --v2`, or copy the signature (tag `sha256-<hex digits>.sig`) beside the release image. Then \
          acknowledge.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: release}
spec:
  imageDigestMirrors:
    - source: quay.io/openshift-release-dev/ocp-release
      mirrors: ['mirror.example.com:8443/ocp/release']
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
# Only what mirrors digests is asked about.
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata: {name: tags}
spec:
  imageTagMirrors:
    - source: registry.example.com/team
      mirrors: ['mirror.example.com:8443/team']
",
        },
        Example {
            fires: false,
            release: "4.19",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: release}
spec:
  imageDigestMirrors:
    - source: quay.io/openshift-release-dev/ocp-release
      mirrors: ['mirror.example.com:8443/ocp/release']
",
        },
    ],
    check,
};

const RELEASES: &str = "quay.io/openshift-release-dev/ocp-release";
const ACKNOWLEDGEMENT: &str = "ack-4.20-sigstore-in-4.21";
const ACKNOWLEDGE: &str = r#"oc patch configmap admin-acks -n openshift-config --type=merge -p '{"data":{"ack-4.20-sigstore-in-4.21":"true"}}'"#;

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    if !context.release.guards_shipped_policy {
        return;
    }
    let sets = || context.snapshot.mirror_sets().filter(|(kind, _)| *kind != Kind::ImageTagMirrorSet);
    let of_release = sets().find_map(|(kind, set)| {
        let concerns = |rule: &api::MirrorRule| is_nested(RELEASES, &rule.source) || is_nested(&rule.source, RELEASES);
        let index = set.value.spec.mirrors.iter().position(concerns)?;
        Some((kind, set, Some(index)))
    });
    let concerns_release = of_release.is_some();
    let any = || sets().next().map(|(kind, set)| (kind, set, (!set.value.spec.mirrors.is_empty()).then_some(0)));
    let Some((kind, set, index)) = of_release.or_else(any) else { return };
    let open = open_acknowledgement(context);
    let is_known = context.snapshot.sync() == Sync::Live && context.snapshot.cluster_version.is_some();
    let level = match (concerns_release, open.is_some(), is_known) {
        (_, true, _) | (true, _, false) => Level::Error,
        (true, false, true) => Level::Warning,
        // Only to be acknowledged: nothing breaks.
        (false, false, false) => Level::Info,
        // Nobody asks, and the release does not come from there.
        (false, false, true) => return,
    };
    let message = match concerns_release {
        true => "release images are mirrored, and OpenShift 4.21 requires their signatures at the mirror".to_string(),
        false => "the cluster has mirrors, so the update to OpenShift 4.21 wants to know whether release images are signed there".to_string(),
    };
    let effect = match (open.is_some(), concerns_release) {
        (true, _) => {
            format!("the cluster is not updated to 4.21: Upgradeable is False until {ACKNOWLEDGEMENT} is acknowledged")
        }
        (false, true) => {
            "without them the update to 4.21 stops: nodes reject release images that come from the mirror".to_string()
        }
        (false, false) => format!("the cluster is not updated to 4.21 before {ACKNOWLEDGEMENT} is acknowledged"),
    };
    let advice = match concerns_release {
        true => "mirror the 4.21 release with oc-mirror --v2, which copies signatures, and then acknowledge it",
        false => "release images are not mirrored here; if they are mirrored nowhere else, acknowledge it",
    };
    let path = index.map_or_else(String::new, |index| format!("spec.{}[{index}].source", kind.mirror_list()));
    let mut finding =
        Finding::new(&RULE, set, path, message).level(level).effect(effect).help(format!("{advice}:\n{ACKNOWLEDGE}"));
    if let Some((version, condition)) = open {
        let reason = shown(&version.value.status.conditions[condition].reason).into_owned();
        finding = finding.related(
            &version.reference,
            format!("status.conditions[{condition}]"),
            format!("Upgradeable is False: {reason}"),
        );
    }
    finding.witness = concerns_release.then(|| format!("{RELEASES}:latest"));
    findings.push(finding);
}

/// The condition of ClusterVersion that asks for it.
fn open_acknowledgement<'a>(context: &Context<'a>) -> Option<(&'a Object<api::ClusterVersion>, usize)> {
    let version = context.snapshot.cluster_version.as_ref()?;
    let asks = |condition: &api::Condition| {
        condition.kind == "Upgradeable" && condition.status == "False" && condition.message.contains(ACKNOWLEDGEMENT)
    };
    Some((version, version.value.status.conditions.iter().position(asks)?))
}
