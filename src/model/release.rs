//! What differs between OpenShift 4.14 and 5.2, as data. Everything that depends on a release asks here; no version is compared
//! anywhere else. Source: domain.md 0 and 2.12, and the vectors.

use std::fmt;

use super::node_files::{NAMESPACE_POLICIES, POLICY_JSON, PolicyForm, REGISTRIES_CONF, REGISTRIES_D};

/// A release of OpenShift and what the machine-config-controller, the API server and the nodes of it do.
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    /// Major and minor version.
    pub version: (u16, u16),
    /// Which generation of API schema and CEL rules applies to Image, ClusterImagePolicy and ImagePolicy.
    pub api: ApiGeneration,
    /// Whether the controller knows ClusterImagePolicy (4.16).
    pub cluster_image_policies: bool,
    /// Whether the controller knows ImagePolicy and writes `/etc/crio/policies` (4.18).
    pub image_policies: bool,
    /// Whether PKI is a root of trust (controller: 4.19).
    pub pki: bool,
    /// 4.19 writes all six keys of `pki`, empty or not.
    pub pki_writes_empty_keys: bool,
    /// 4.16 leaves out scopes that contain the payload's repository.
    pub skips_payload_scopes: bool,
    /// How policy.json is written when it is not the template.
    pub policy_form: PolicyForm,
    /// How namespace files are written.
    pub namespace_form: PolicyForm,
    /// 4.14 and 4.15 write the `docker` and `atomic` maps even when they are empty.
    pub writes_empty_transports: bool,
    /// registries.d covers mirrors too (4.17).
    pub attachments_for_mirrors: bool,
    /// registries.conf has `additional-layer-store-auth-helper` (4.19).
    pub layer_store_auth_helper: bool,
    /// Mirror sources may be wildcards, formats are checked by regular expression, and texts are today's (4.16).
    pub mirror_formats: bool,
    /// To 4.18 `Invalid format of dockerRepository x` has no quotes around x.
    pub quotes_docker_repository: bool,
    /// Ignition version of generated MachineConfigs.
    pub ignition: &'static str,
    /// Pools that get a MachineConfig of their own when no pool object says so.
    pub arbiter_pool: bool,
    /// A MachineConfig at bootstrap has `creationTimestamp: null` (to 4.20).
    pub writes_null_creation_timestamp: bool,
    /// Order of MachineConfigs when merging: from 4.15 the `worker` role first, then the others.
    pub merges_worker_role_first: bool,
    /// 4.18 and 4.19 write the files of namespaces in random order.
    pub random_namespace_order: bool,
    /// Whether nodes read `/etc/crio/policies` at all (CRI-O 1.28).
    pub reads_namespace_policies: bool,
    /// Whether a feature gate decides if policies have an effect; not for what our own MachineConfigs deliver.
    pub asks_gate: bool,
    /// Whether signature verification is on without a feature set (4.20).
    pub signatures_by_default: bool,
    /// Whether OpenShift ships the policy `openshift` without a feature set (4.21).
    pub ships_policy: bool,
    /// 4.20 keeps clusters with a policy of that name, or with mirrors, from the update to 4.21.
    pub guards_shipped_policy: bool,
    /// Whether every z-stream lets nodes update from an image of their own storage that the policy would reject (4.21).
    pub updates_from_storage: bool,
    /// The version of ClusterImagePolicy and ImagePolicy that is served.
    pub policy_version: &'static str,
    /// Whether NodeDisruptionPolicy is on without a feature set (4.17).
    pub node_disruption_by_default: bool,
    /// What nodes do about changed files where NodeDisruptionPolicy is on and nobody says otherwise.
    pub node_disruption: &'static [DisruptionRule],
    /// The same where it is off.
    pub legacy_disruption: &'static [DisruptionRule],
    /// The machine-config-operator says how large what it renders may be, and does not render what is larger (4.22).
    pub checks_rendered_size: bool,
    /// ConfigMap image-registry-override-drain keeps nodes from being drained (to 4.16).
    pub drain_can_be_overridden: bool,
}

/// What nodes do when a file changes that is, or lies below, this path. What has no rule reboots them (domain.md 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisruptionRule {
    /// A file or a directory.
    pub path: &'static str,
    /// What they do.
    pub action: DefaultAction,
}

/// What a [`DisruptionRule`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// Nothing.
    Nothing,
    /// `systemctl reload crio`
    ReloadCrio,
    /// CRI-O and what it depends on are restarted.
    RestartCrio,
    /// Of registries.conf: a reload, after a drain where the change may break what runs.
    Special,
}

/// Where a key may lie whose change needs no reboot.
pub const REBOOT_FREE_KEY: &str = "/etc/machine-config-daemon/no-reboot/containers-gpg.pub";

const fn disruption(path: &'static str, action: DefaultAction) -> DisruptionRule {
    DisruptionRule { path, action }
}

const CA_BUNDLE: &str = "/etc/pki/ca-trust/source/anchors/openshift-config-user-ca-bundle.crt";

const LEGACY: &[DisruptionRule] = &[
    disruption(POLICY_JSON, DefaultAction::ReloadCrio),
    disruption(REGISTRIES_CONF, DefaultAction::Special),
    disruption(REBOOT_FREE_KEY, DefaultAction::ReloadCrio),
    disruption(REGISTRIES_D, DefaultAction::ReloadCrio),
];

/// In the order in which releases added to it: 4.16 has no directories yet, 4.17 lacks the last.
const NODE_DISRUPTION: &[DisruptionRule] = &[
    disruption(POLICY_JSON, DefaultAction::ReloadCrio),
    disruption(REGISTRIES_CONF, DefaultAction::Special),
    disruption(REBOOT_FREE_KEY, DefaultAction::ReloadCrio),
    disruption("/var/lib/kubelet/config.json", DefaultAction::Nothing),
    disruption(CA_BUNDLE, DefaultAction::RestartCrio),
    disruption(REGISTRIES_D, DefaultAction::ReloadCrio),
    disruption("/etc/nmstate/openshift", DefaultAction::Nothing),
    disruption(NAMESPACE_POLICIES, DefaultAction::ReloadCrio),
];

/// Which schemas and rules the API server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiGeneration {
    /// To 4.17: no rule on Image; policies, where they are, are `v1alpha1`.
    V4_14,
    /// 4.18: allowed and blocked exclude each other.
    V4_18,
    /// 4.19: any `policyType` passes, since its values hang on the gate of PKI.
    V4_19,
    /// 4.20: `v1` policies, checks on PEM markers; PKI behind a gate.
    V4_20,
    /// 4.21 and 4.22: PKI.
    V4_21,
    /// 4.23 and 5.0 on: formats of registrySources entries.
    V5_0,
}

const BASE: Release = Release {
    version: (4, 14),
    api: ApiGeneration::V4_14,
    cluster_image_policies: false,
    image_policies: false,
    pki: false,
    pki_writes_empty_keys: false,
    skips_payload_scopes: false,
    policy_form: PolicyForm::Compact,
    namespace_form: PolicyForm::Compact,
    writes_empty_transports: true,
    attachments_for_mirrors: false,
    layer_store_auth_helper: false,
    mirror_formats: false,
    quotes_docker_repository: false,
    ignition: "3.4.0",
    arbiter_pool: false,
    writes_null_creation_timestamp: true,
    merges_worker_role_first: false,
    random_namespace_order: false,
    reads_namespace_policies: false,
    asks_gate: true,
    signatures_by_default: false,
    ships_policy: false,
    guards_shipped_policy: false,
    updates_from_storage: false,
    policy_version: "v1alpha1",
    node_disruption_by_default: false,
    node_disruption: &[],
    legacy_disruption: LEGACY.split_at(3).0,
    checks_rendered_size: false,
    drain_can_be_overridden: true,
};
const R4_15: Release =
    Release { version: (4, 15), merges_worker_role_first: true, reads_namespace_policies: true, ..BASE };
const R4_16: Release = Release {
    version: (4, 16),
    cluster_image_policies: true,
    skips_payload_scopes: true,
    writes_empty_transports: false,
    mirror_formats: true,
    node_disruption: NODE_DISRUPTION.split_at(5).0,
    legacy_disruption: LEGACY,
    ..R4_15
};
const R4_17: Release = Release {
    version: (4, 17),
    skips_payload_scopes: false,
    policy_form: PolicyForm::Indented(2),
    attachments_for_mirrors: true,
    node_disruption_by_default: true,
    node_disruption: NODE_DISRUPTION.split_at(7).0,
    drain_can_be_overridden: false,
    ..R4_16
};
const R4_18: Release = Release {
    version: (4, 18),
    api: ApiGeneration::V4_18,
    image_policies: true,
    random_namespace_order: true,
    namespace_form: PolicyForm::Indented(1),
    node_disruption: NODE_DISRUPTION,
    ..R4_17
};
const R4_19: Release = Release {
    version: (4, 19),
    api: ApiGeneration::V4_19,
    pki: true,
    pki_writes_empty_keys: true,
    namespace_form: PolicyForm::Indented(2),
    layer_store_auth_helper: true,
    quotes_docker_repository: true,
    ignition: "3.5.0",
    arbiter_pool: true,
    ..R4_18
};
const R4_20: Release = Release {
    version: (4, 20),
    api: ApiGeneration::V4_20,
    pki_writes_empty_keys: false,
    random_namespace_order: false,
    signatures_by_default: true,
    guards_shipped_policy: true,
    policy_version: "v1",
    ..R4_19
};
const R4_21: Release = Release {
    version: (4, 21),
    api: ApiGeneration::V4_21,
    writes_null_creation_timestamp: false,
    ships_policy: true,
    guards_shipped_policy: false,
    updates_from_storage: true,
    ..R4_20
};
const R4_22: Release = Release { version: (4, 22), checks_rendered_size: true, ..R4_21 };
const R4_23: Release = Release { version: (4, 23), api: ApiGeneration::V5_0, ..R4_22 };
const R5_0: Release = Release { version: (5, 0), ..R4_23 };
const R5_1: Release = Release { version: (5, 1), ..R5_0 };
const R5_2: Release = Release { version: (5, 2), ..R5_1 };

/// Every release that is known, oldest first.
pub static RELEASES: [Release; 13] =
    [BASE, R4_15, R4_16, R4_17, R4_18, R4_19, R4_20, R4_21, R4_22, R4_23, R5_0, R5_1, R5_2];

/// What our own MachineConfigs deliver to the nodes of a release: today's policies, whether its controller knows them or not.
const fn overlay(release: &Release) -> Release {
    Release {
        cluster_image_policies: true,
        image_policies: true,
        pki: true,
        pki_writes_empty_keys: false,
        random_namespace_order: false,
        skips_payload_scopes: false,
        policy_form: PolicyForm::Indented(2),
        namespace_form: PolicyForm::Indented(2),
        writes_empty_transports: false,
        attachments_for_mirrors: true,
        asks_gate: false,
        ..*release
    }
}

static OVERLAYS: [Release; RELEASES.len()] = {
    let mut all = [BASE; RELEASES.len()];
    let mut position = 0;
    while position < all.len() {
        all[position] = overlay(&RELEASES[position]);
        position += 1;
    }
    all
};

impl Release {
    /// The same nodes with a controller that writes everything that they can read: for what our own MachineConfigs deliver.
    pub fn for_overlay(&self) -> &'static Release {
        OVERLAYS.iter().find(|release| release.version == self.version).unwrap_or(&OVERLAYS[0])
    }

    /// The newest one that is known.
    pub fn newest() -> &'static Release {
        &RELEASES[RELEASES.len() - 1]
    }

    /// From `4.20`, `4.20.3` or `4.20.0-rc.1`. What is newer than the newest counts as the newest.
    ///
    /// # Errors
    /// A sentence that names the text, where it is not a version or is older than 4.14.
    pub fn parse(text: &str) -> Result<&'static Release, String> {
        let mut parts = text.split(['.', '-', '+']);
        let (major, minor) = match (parts.next().map(str::parse::<u16>), parts.next().map(str::parse::<u16>)) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            _ => return Err(format!("`{text}` is not a release of OpenShift such as 4.20")),
        };
        let found = RELEASES.iter().rev().find(|release| release.version <= (major, minor));
        found.ok_or_else(|| format!("OpenShift {major}.{minor} is older than 4.14, the oldest release known here"))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.version.0, self.version.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_found_by_any_spelling() {
        for (text, expected) in [
            ("4.14", "4.14"),
            ("4.20.3", "4.20"),
            ("4.21.0-rc.1", "4.21"),
            ("4.99", "4.23"),
            ("5.0.0", "5.0"),
            ("5.7", "5.2"),
            ("9.0", "5.2"),
        ] {
            assert_eq!(Release::parse(text).map(ToString::to_string), Ok(expected.to_string()), "{text}");
        }
        for text in ["", "4", "four.five", "4.13.9", "3.11"] {
            assert!(Release::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(RELEASES.is_sorted_by_key(|release| release.version));
    }
}
