//! The few fields that are read of each kind. Lenient: what is absent or null is empty, what is unknown is passed over.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Absent and `null` are the same to the Kubernetes API.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A lenient struct: every field may be absent or null.
macro_rules! lenient {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(rename_all = "camelCase", expecting = "a map of fields")]
        pub struct $name {
            $($(#[$field_doc])* #[serde(default, deserialize_with = "nullable")] pub $field: $type,)*
        }
    };
}

lenient! {
    /// `metadata`
    Metadata {
        /// `name`
        name: String,
        /// Empty for cluster-scoped objects.
        namespace: String,
        /// Empty outside a cluster.
        uid: String,
        /// `labels`
        labels: BTreeMap<String, String>,
        /// `annotations`
        annotations: BTreeMap<String, String>,
        /// `generation`
        generation: i64,
    }
}

lenient! {
    /// `Image` of config.openshift.io
    Image {
        /// `spec`
        spec: ImageSpec,
        /// `status`
        status: ImageStatus,
    }
}
lenient! {
    /// `spec` of an `Image`
    ImageSpec {
        /// `registrySources`
        registry_sources: RegistrySources,
        /// The only registries that users may import images from.
        allowed_registries_for_import: Vec<RegistryLocation>,
    }
}
lenient! {
    /// One item of `allowedRegistriesForImport`
    RegistryLocation {
        /// Host and port; `*` and `?` stand for other characters.
        domain_name: String,
        /// Whether it may be contacted without TLS.
        insecure: bool,
    }
}
lenient! {
    /// `registrySources`: an absent list and an empty one differ for some (domain.md 2.2).
    RegistrySources {
        /// Registries without TLS or with an unknown certificate.
        insecure_registries: Option<Vec<String>>,
        /// Registries that may not be pulled from.
        blocked_registries: Option<Vec<String>>,
        /// The only registries that may be pulled from.
        allowed_registries: Option<Vec<String>>,
        /// What short names are looked up in.
        container_runtime_search_registries: Option<Vec<String>>,
        /// What must be signed with GPG keys. No released API has it: it stands in files, in a cluster in an annotation.
        signed_registries: Option<Vec<SignedRegistry>>,
    }
}
lenient! {
    /// One item of `signedRegistries` (domain.md 8.2).
    SignedRegistry {
        /// `hostname[:port][/namespace[/imagestream[:tag]]]`, at least one.
        sig_required_registries_or_images: Vec<String>,
        /// On the node: a keyring of which one key must have signed.
        gpg_key_path: String,
    }
}
lenient! {
    /// `status` of an `Image`
    ImageStatus {
        /// Normally `image-registry.openshift-image-registry.svc:5000`.
        internal_registry_hostname: String,
        /// Routes to it.
        external_registry_hostnames: Vec<String>,
    }
}

lenient! {
    /// `ClusterImagePolicy` and `ImagePolicy`: the same shape in v1 and v1alpha1.
    ImagePolicy {
        /// `spec`
        spec: ImagePolicySpec,
        /// `status`
        status: ConditionStatus,
    }
}
lenient! {
    /// `spec` of a policy
    ImagePolicySpec {
        /// What it holds for.
        scopes: Vec<String>,
        /// What it asks for.
        policy: PolicyBody,
    }
}
lenient! {
    /// `spec.policy`
    PolicyBody {
        /// `rootOfTrust`
        root_of_trust: PolicyRootOfTrust,
        /// `signedIdentity`
        signed_identity: Option<PolicyIdentity>,
    }
}
lenient! {
    /// `spec.policy.rootOfTrust`: a union by `policyType`.
    PolicyRootOfTrust {
        /// `PublicKey`, `FulcioCAWithRekor` or `PKI`.
        policy_type: String,
        /// Of `PublicKey`.
        public_key: Option<PublicKey>,
        /// Of `FulcioCAWithRekor`.
        #[serde(rename = "fulcioCAWithRekor")]
        fulcio_ca_with_rekor: Option<FulcioCaWithRekor>,
        /// Of `PKI`.
        pki: Option<Pki>,
    }
}
lenient! {
    /// `publicKey`; the data is base64 as written.
    PublicKey {
        /// `keyData`
        key_data: String,
        /// `rekorKeyData`
        rekor_key_data: String,
    }
}
lenient! {
    /// `fulcioCAWithRekor`; the data is base64 as written.
    FulcioCaWithRekor {
        /// `fulcioCAData`
        #[serde(rename = "fulcioCAData")]
        fulcio_ca_data: String,
        /// `rekorKeyData`
        rekor_key_data: String,
        /// `fulcioSubject`
        fulcio_subject: FulcioSubject,
    }
}
lenient! {
    /// `fulcioSubject`
    FulcioSubject {
        /// `oidcIssuer`
        oidc_issuer: String,
        /// `signedEmail`
        signed_email: String,
    }
}
lenient! {
    /// `pki`; the data is base64 as written.
    Pki {
        /// `caRootsData`
        ca_roots_data: String,
        /// `caIntermediatesData`
        ca_intermediates_data: String,
        /// `pkiCertificateSubject`
        pki_certificate_subject: PkiCertificateSubject,
    }
}
lenient! {
    /// `pkiCertificateSubject`
    PkiCertificateSubject {
        /// `email`
        email: String,
        /// `hostname`
        hostname: String,
    }
}
lenient! {
    /// `spec.policy.signedIdentity`
    PolicyIdentity {
        /// `MatchRepoDigestOrExact`, `MatchRepository`, `ExactRepository` or `RemapIdentity`.
        match_policy: String,
        /// Of `ExactRepository`.
        exact_repository: Option<ExactRepository>,
        /// Of `RemapIdentity`.
        remap_identity: Option<RemapIdentity>,
    }
}
lenient! {
    /// `exactRepository`
    ExactRepository {
        /// `repository`
        repository: String,
    }
}
lenient! {
    /// `remapIdentity`
    RemapIdentity {
        /// `prefix`
        prefix: String,
        /// `signedPrefix`
        signed_prefix: String,
    }
}
lenient! {
    /// A `status` of which only the conditions are read.
    ConditionStatus {
        /// `conditions`
        conditions: Vec<Condition>,
    }
}
lenient! {
    /// One condition.
    Condition {
        /// `type`
        #[serde(rename = "type")]
        kind: String,
        /// `True`, `False` or `Unknown`.
        status: String,
        /// One word.
        reason: String,
        /// A sentence.
        message: String,
        /// The generation it speaks of.
        observed_generation: i64,
    }
}

/// `ImageDigestMirrorSet`, `ImageTagMirrorSet` and `ImageContentSourcePolicy`: the same shape under three names.
#[derive(Clone, Debug, Default)]
pub struct MirrorSet {
    /// `spec`
    pub spec: MirrorSetSpec,
}

/// `spec` of a mirror set
#[derive(Clone, Debug, Default)]
pub struct MirrorSetSpec {
    /// The rules, whatever the kind calls them; [`crate::snapshot::Kind::mirror_list`] has the name.
    pub mirrors: Vec<MirrorRule>,
}

impl MirrorSet {
    /// `list` is what the kind calls its rules. What another kind calls them is an unknown field, which is dropped on the way.
    ///
    /// # Errors
    /// Those of a wrong type.
    pub fn read(raw: &Value, list: &str) -> Result<Self, serde_json::Error> {
        let Some(spec) = raw.get("spec") else { return Ok(Self::default()) };
        // Only whether it is a map.
        Option::<HashMap<Cow<str>, IgnoredAny>>::deserialize(spec)?;
        let mirrors = spec.get(list).map(nullable).transpose()?.unwrap_or_default();
        Ok(Self { spec: MirrorSetSpec { mirrors } })
    }
}

lenient! {
    /// One source and where it is mirrored.
    MirrorRule {
        /// `source`
        source: String,
        /// `mirrors`, in order of preference.
        mirrors: Vec<String>,
        /// `NeverContactSource`, `AllowContactingSource` or empty. An ICSP has no such field.
        mirror_source_policy: String,
    }
}

lenient! {
    /// `ClusterVersion`
    ClusterVersion {
        /// `spec`
        spec: ClusterVersionSpec,
        /// `status`
        status: ClusterVersionStatus,
    }
}
lenient! {
    /// `spec` of `ClusterVersion`
    ClusterVersionSpec {
        /// `clusterID`
        #[serde(rename = "clusterID")]
        cluster_id: String,
        /// `overrides`
        overrides: Vec<ComponentOverride>,
    }
}
lenient! {
    /// What the cluster-version-operator is told to leave alone.
    ComponentOverride {
        /// `kind`
        kind: String,
        /// `group`
        group: String,
        /// `namespace`
        namespace: String,
        /// `name`
        name: String,
        /// `unmanaged`
        unmanaged: bool,
    }
}
lenient! {
    /// `status` of `ClusterVersion`
    ClusterVersionStatus {
        /// What the cluster is, or is being updated to.
        desired: DesiredRelease,
        /// The newest update in front.
        history: Vec<UpdateHistory>,
        /// `Upgradeable` among them, where something keeps the cluster from being updated.
        conditions: Vec<Condition>,
    }
}
lenient! {
    /// One update of `status.history`
    UpdateHistory {
        /// `Completed` or `Partial`.
        state: String,
        /// Such as `4.20.3`.
        version: String,
    }
}
lenient! {
    /// `status.desired`
    DesiredRelease {
        /// Such as `4.20.3`.
        version: String,
        /// The payload, by digest.
        image: String,
    }
}

lenient! {
    /// `FeatureGate`
    FeatureGate {
        /// `status`
        status: FeatureGateStatus,
    }
}
lenient! {
    /// `status` of `FeatureGate`
    FeatureGateStatus {
        /// By payload version.
        feature_gates: Vec<FeatureGatesOfVersion>,
    }
}
lenient! {
    /// The gates of one payload version.
    FeatureGatesOfVersion {
        /// Payload version.
        version: String,
        /// On.
        enabled: Vec<GateName>,
        /// Off.
        disabled: Vec<GateName>,
    }
}
lenient! {
    /// A gate's name.
    GateName {
        /// `name`
        name: String,
    }
}

lenient! {
    /// `Infrastructure`
    Infrastructure {
        /// `status`
        status: InfrastructureStatus,
    }
}
lenient! {
    /// `status` of `Infrastructure`
    InfrastructureStatus {
        /// `External` on a hosted control plane.
        control_plane_topology: String,
        /// A name for the cluster.
        infrastructure_name: String,
        /// `apiServerURL`
        #[serde(rename = "apiServerURL")]
        api_server_url: String,
    }
}

lenient! {
    /// `MachineConfigPool`
    MachineConfigPool {
        /// `spec`
        spec: MachineConfigPoolSpec,
        /// `status`
        status: MachineConfigPoolStatus,
    }
}
lenient! {
    /// `spec` of a pool
    MachineConfigPoolSpec {
        /// Which MachineConfigs go in.
        machine_config_selector: Option<LabelSelector>,
        /// Which nodes belong to it.
        node_selector: Option<LabelSelector>,
        /// Nothing is rolled out.
        paused: bool,
        /// The rendered MachineConfig that nodes should get.
        configuration: PoolConfiguration,
        /// An integer or a percentage.
        max_unavailable: Option<Value>,
    }
}
lenient! {
    /// `status` of a pool
    MachineConfigPoolStatus {
        /// The rendered MachineConfig that all nodes have.
        configuration: PoolConfiguration,
        /// `machineCount`
        machine_count: i64,
        /// `updatedMachineCount`
        updated_machine_count: i64,
        /// `readyMachineCount`
        ready_machine_count: i64,
        /// `unavailableMachineCount`
        unavailable_machine_count: i64,
        /// `degradedMachineCount`
        degraded_machine_count: i64,
        /// `conditions`
        conditions: Vec<Condition>,
    }
}
lenient! {
    /// A rendered MachineConfig and what it was made from.
    PoolConfiguration {
        /// `rendered-…`, or empty.
        name: String,
        /// What it was made from.
        source: Vec<SourceName>,
    }
}
lenient! {
    /// One source of a rendered MachineConfig.
    SourceName {
        /// Its name.
        name: String,
    }
}
lenient! {
    /// A label selector.
    LabelSelector {
        /// All must be there.
        match_labels: BTreeMap<String, String>,
        /// All must hold.
        match_expressions: Vec<LabelRequirement>,
    }
}
lenient! {
    /// One expression of a label selector.
    LabelRequirement {
        /// The label.
        key: String,
        /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
        operator: String,
        /// Of `In` and `NotIn`.
        values: Vec<String>,
    }
}

lenient! {
    /// `MachineConfig`
    MachineConfig {
        /// `spec`
        spec: MachineConfigSpec,
    }
}
lenient! {
    /// `spec` of a MachineConfig
    MachineConfigSpec {
        /// Ignition, as it is.
        config: Value,
        /// The operating system's image.
        #[serde(rename = "osImageURL")]
        os_image_url: String,
    }
}

lenient! {
    /// `ControllerConfig`
    ControllerConfig {
        /// `spec`
        spec: ControllerConfigSpec,
    }
}
lenient! {
    /// `spec` of `ControllerConfig`
    ControllerConfigSpec {
        /// The payload; used by the controller at bootstrap only.
        release_image: String,
        /// The operating system's image.
        #[serde(rename = "osImageURL")]
        os_image_url: String,
        /// Images of the payload by name.
        images: BTreeMap<String, String>,
    }
}

lenient! {
    /// `Node`: all that is read of it is in its metadata.
    Node {
        /// `status`
        status: NodeStatus,
    }
}
lenient! {
    /// `status` of a node
    NodeStatus {
        /// `conditions`
        conditions: Vec<Condition>,
        /// `nodeInfo`
        node_info: NodeInfo,
    }
}
lenient! {
    /// `status.nodeInfo` of a node
    NodeInfo {
        /// Such as `cri-o://1.33.2-3.rhaos4.20.git…`.
        container_runtime_version: String,
        /// Such as `Red Hat Enterprise Linux CoreOS 9.6.20251112-0 (Plow)`.
        os_image: String,
    }
}

lenient! {
    /// `MachineConfiguration` of operator.openshift.io
    MachineConfiguration {
        /// `spec`, as it is.
        spec: Value,
        /// `status`, as it is.
        status: Value,
    }
}

lenient! {
    /// `PinnedImageSet`: images that nodes keep from being removed
    PinnedImageSet {
        /// `spec`
        spec: PinnedImageSetSpec,
    }
}
lenient! {
    /// `spec` of a PinnedImageSet
    PinnedImageSetSpec {
        /// By digest.
        pinned_images: Vec<PinnedImage>,
    }
}
lenient! {
    /// One pinned image.
    PinnedImage {
        /// Its name.
        name: String,
    }
}

lenient! {
    /// `Pod`: what it runs, and nothing else of it is kept.
    Pod {
        /// `spec`
        spec: PodSpec,
        /// `status`
        status: PodStatus,
    }
}
lenient! {
    /// `spec` of a pod
    PodSpec {
        /// `containers`
        containers: Vec<Container>,
        /// `initContainers`
        init_containers: Vec<Container>,
        /// `ephemeralContainers`
        ephemeral_containers: Vec<Container>,
    }
}
lenient! {
    /// One container of a pod.
    Container {
        /// `name`
        name: String,
        /// The image as it was asked for.
        image: String,
        /// `Always`, `IfNotPresent`, `Never` or empty.
        image_pull_policy: String,
    }
}
lenient! {
    /// `status` of a pod
    PodStatus {
        /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
        phase: String,
        /// When it began, RFC 3339.
        start_time: String,
        /// Of `spec.containers`, in any order.
        container_statuses: Vec<ContainerStatus>,
        /// Of `spec.initContainers`, in any order.
        init_container_statuses: Vec<ContainerStatus>,
    }
}
lenient! {
    /// What became of a container.
    ContainerStatus {
        /// The container's name.
        name: String,
        /// What it runs, by digest; empty before it was pulled.
        #[serde(rename = "imageID")]
        image_id: String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_null_are_the_same() {
        let value =
            serde_json::json!({"spec": {"registrySources": {"allowedRegistries": null, "blockedRegistries": []}}});
        let image = Image::deserialize(&value).unwrap();
        assert_eq!(image.spec.registry_sources.allowed_registries, None);
        assert_eq!(image.spec.registry_sources.blocked_registries, Some(vec![]));
        let value = serde_json::json!({"spec": {"imageDigestMirrors": [{"source": "a.io", "mirrors": null}]}, "x": 1});
        let set = MirrorSet::read(&value, "imageDigestMirrors").unwrap();
        assert_eq!(set.spec.mirrors[0].source, "a.io");
        for nothing in [serde_json::json!({"spec": null}), serde_json::json!({}), serde_json::json!({"spec": {"x": 1}})]
        {
            assert!(MirrorSet::read(&nothing, "imageDigestMirrors").unwrap().spec.mirrors.is_empty(), "{nothing}");
        }
        for wrong in [serde_json::json!({"spec": "x"}), serde_json::json!({"spec": {"imageDigestMirrors": {}}})] {
            assert!(MirrorSet::read(&wrong, "imageDigestMirrors").is_err(), "{wrong}");
        }
    }

    /// Who turns an ImageContentSourcePolicy into an ImageDigestMirrorSet by its kind alone has no mirrors.
    #[test]
    fn rules_under_the_name_of_another_kind_are_none() {
        for list in ["repositoryDigestMirrors", "imageTagMirrors", "mirrors"] {
            let value = serde_json::json!({"spec": {list: [{"source": "a.io", "mirrors": ["b.io"]}]}});
            assert!(MirrorSet::read(&value, "imageDigestMirrors").unwrap().spec.mirrors.is_empty(), "{list}");
        }
    }
}
