//! The kinds that are read, in one table. Both doors use it: the cluster for its paths, files to know what to pass over.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// A kind that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[allow(missing_docs)]
pub enum Kind {
    Image,
    ClusterImagePolicy,
    ImagePolicy,
    ImageDigestMirrorSet,
    ImageTagMirrorSet,
    ImageContentSourcePolicy,
    ClusterVersion,
    FeatureGate,
    Infrastructure,
    MachineConfigPool,
    MachineConfig,
    ControllerConfig,
    Node,
    MachineConfiguration,
    PinnedImageSet,
    Pod,
}

/// One row of [`KINDS`].
#[derive(Debug)]
pub struct KindInfo {
    /// The kind.
    pub kind: Kind,
    /// API group; `""` for the core group.
    pub group: &'static str,
    /// Versions with the same shape, the one to ask for first in front.
    pub versions: &'static [&'static str],
    /// The resource in a URL, and the directory in a must-gather.
    pub plural: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// The only object of the kind that means anything.
    pub only: Option<&'static str>,
}

const fn row(
    kind: Kind,
    group: &'static str,
    versions: &'static [&'static str],
    plural: &'static str,
    only: Option<&'static str>,
) -> KindInfo {
    KindInfo { kind, group, versions, plural, namespaced: matches!(kind, Kind::ImagePolicy | Kind::Pod), only }
}

const CONFIG: &str = "config.openshift.io";
const OPERATOR: &str = "operator.openshift.io";
const MACHINE: &str = "machineconfiguration.openshift.io";

/// Every kind that is read, in the order of [`Kind`].
pub static KINDS: [KindInfo; 16] = [
    row(Kind::Image, CONFIG, &["v1"], "images", Some("cluster")),
    row(Kind::ClusterImagePolicy, CONFIG, &["v1", "v1alpha1"], "clusterimagepolicies", None),
    row(Kind::ImagePolicy, CONFIG, &["v1", "v1alpha1"], "imagepolicies", None),
    row(Kind::ImageDigestMirrorSet, CONFIG, &["v1"], "imagedigestmirrorsets", None),
    row(Kind::ImageTagMirrorSet, CONFIG, &["v1"], "imagetagmirrorsets", None),
    row(Kind::ImageContentSourcePolicy, OPERATOR, &["v1alpha1"], "imagecontentsourcepolicies", None),
    row(Kind::ClusterVersion, CONFIG, &["v1"], "clusterversions", Some("version")),
    row(Kind::FeatureGate, CONFIG, &["v1"], "featuregates", Some("cluster")),
    row(Kind::Infrastructure, CONFIG, &["v1"], "infrastructures", Some("cluster")),
    row(Kind::MachineConfigPool, MACHINE, &["v1"], "machineconfigpools", None),
    row(Kind::MachineConfig, MACHINE, &["v1"], "machineconfigs", None),
    row(Kind::ControllerConfig, MACHINE, &["v1"], "controllerconfigs", Some("machine-config-controller")),
    row(Kind::Node, "", &["v1"], "nodes", None),
    row(Kind::MachineConfiguration, OPERATOR, &["v1"], "machineconfigurations", Some("cluster")),
    row(Kind::PinnedImageSet, MACHINE, &["v1", "v1alpha1"], "pinnedimagesets", None),
    row(Kind::Pod, "", &["v1"], "pods", None),
];

impl Kind {
    /// Its row of the table.
    pub fn info(self) -> &'static KindInfo {
        &KINDS[self as usize]
    }

    /// The name that manifests use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::ClusterImagePolicy => "ClusterImagePolicy",
            Self::ImagePolicy => "ImagePolicy",
            Self::ImageDigestMirrorSet => "ImageDigestMirrorSet",
            Self::ImageTagMirrorSet => "ImageTagMirrorSet",
            Self::ImageContentSourcePolicy => "ImageContentSourcePolicy",
            Self::ClusterVersion => "ClusterVersion",
            Self::FeatureGate => "FeatureGate",
            Self::Infrastructure => "Infrastructure",
            Self::MachineConfigPool => "MachineConfigPool",
            Self::MachineConfig => "MachineConfig",
            Self::ControllerConfig => "ControllerConfig",
            Self::Node => "Node",
            Self::MachineConfiguration => "MachineConfiguration",
            Self::PinnedImageSet => "PinnedImageSet",
            Self::Pod => "Pod",
        }
    }

    /// Whether it is what runs on a cluster: no node file follows from it, and only lint looks at it.
    pub fn is_workload(self) -> bool {
        matches!(self, Self::Pod | Self::PinnedImageSet)
    }

    /// Whether a cluster without the kind lacks nothing: it is read where there is one.
    pub fn is_optional(self) -> bool {
        self == Self::PinnedImageSet
    }

    /// By name, in any letter case, also in the plural: what a person types in `--without`.
    pub fn named(text: &str) -> Option<Kind> {
        let found = KINDS.iter().find(|info| {
            info.kind.name().eq_ignore_ascii_case(text)
                || info.plural.eq_ignore_ascii_case(text)
                || matches!(
                    (info.kind, text),
                    (Kind::ImageDigestMirrorSet, "idms")
                        | (Kind::ImageTagMirrorSet, "itms")
                        | (Kind::ImageContentSourcePolicy, "icsp")
                        | (Kind::MachineConfigPool, "mcp")
                        | (Kind::MachineConfig, "mc")
                )
        });
        found.map(|info| info.kind)
    }

    /// The kind of an object, where it is one that is read.
    pub fn of_object(raw: &Value) -> Option<Kind> {
        let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or_default();
        match Self::of(text("apiVersion"), text("kind")) {
            Recognised::Kind(kind) => Some(kind),
            _ => None,
        }
    }

    /// What a document's `apiVersion` and `kind` make of it.
    pub fn of(api_version: &str, kind: &str) -> Recognised {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let Some(info) = KINDS.iter().find(|info| info.kind.name() == kind) else {
            return Recognised::Other;
        };
        if info.group == group {
            return if info.versions.contains(&version) {
                Recognised::Kind(info.kind)
            } else {
                Recognised::UnknownVersion(info.kind)
            };
        }
        match info.kind {
            Kind::ClusterImagePolicy | Kind::ImagePolicy => Recognised::SameNameElsewhere(info.kind),
            _ => Recognised::Other,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a document is, by its `apiVersion` and `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// One that is read.
    Kind(Kind),
    /// Ours by group and kind, in a version nobody serves.
    UnknownVersion(Kind),
    /// Something else that shares the name, such as the `ClusterImagePolicy` of `policy.sigstore.dev`.
    SameNameElsewhere(Kind),
    /// Of no concern.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (index, info) in KINDS.iter().enumerate() {
            assert_eq!(info.kind as usize, index);
            assert_eq!(Kind::named(info.kind.name()), Some(info.kind));
            assert_eq!(Kind::named(info.plural), Some(info.kind));
        }
    }

    #[test]
    fn documents_are_recognised() {
        for (api_version, kind, expected) in [
            ("config.openshift.io/v1", "Image", Recognised::Kind(Kind::Image)),
            ("config.openshift.io/v1alpha1", "ImagePolicy", Recognised::Kind(Kind::ImagePolicy)),
            ("config.openshift.io/v2", "ImagePolicy", Recognised::UnknownVersion(Kind::ImagePolicy)),
            (
                "policy.sigstore.dev/v1beta1",
                "ClusterImagePolicy",
                Recognised::SameNameElsewhere(Kind::ClusterImagePolicy),
            ),
            ("image.toolkit.fluxcd.io/v1", "ImagePolicy", Recognised::SameNameElsewhere(Kind::ImagePolicy)),
            ("image.openshift.io/v1", "Image", Recognised::Other),
            ("v1", "Node", Recognised::Kind(Kind::Node)),
            ("v1", "Pod", Recognised::Kind(Kind::Pod)),
            ("v1", "Secret", Recognised::Other),
        ] {
            assert_eq!(Kind::of(api_version, kind), expected, "{api_version} {kind}");
        }
    }
}
