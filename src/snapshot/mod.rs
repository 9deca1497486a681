//! What is known of one cluster at one time, as it was written. Two doors lead here, [`Snapshot::insert`] is the only way in,
//! and after it only [`Snapshot::sync`] tells manifests from a cluster.

pub mod api;
mod change;
mod kinds;
mod pods;
mod source;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::provenance::ObjectRef;

pub use change::Change;
pub use kinds::{KINDS, Kind, KindInfo, Recognised};
pub use pods::{Container, Interned, Pod};
pub use source::{Excerpt, Location, Origin, SourceFile};

/// Everything that was read of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Where it came from.
    pub source: Source,
    /// `Image/cluster`
    pub image: Option<Object<api::Image>>,
    /// In the order in which they were read; the real controller's order is unspecified.
    pub cluster_image_policies: Vec<Object<api::ImagePolicy>>,
    /// See [`Snapshot::cluster_image_policies`].
    pub image_policies: Vec<Object<api::ImagePolicy>>,
    /// ImageDigestMirrorSets.
    pub digest_mirror_sets: Vec<Object<api::MirrorSet>>,
    /// ImageTagMirrorSets.
    pub tag_mirror_sets: Vec<Object<api::MirrorSet>>,
    /// ImageContentSourcePolicies.
    pub content_source_policies: Vec<Object<api::MirrorSet>>,
    /// `ClusterVersion/version`
    pub cluster_version: Option<Object<api::ClusterVersion>>,
    /// `FeatureGate/cluster`
    pub feature_gate: Option<Object<api::FeatureGate>>,
    /// `Infrastructure/cluster`
    pub infrastructure: Option<Object<api::Infrastructure>>,
    /// MachineConfigPools.
    pub pools: Vec<Object<api::MachineConfigPool>>,
    /// MachineConfigs, rendered ones among them.
    pub machine_configs: Vec<Object<api::MachineConfig>>,
    /// `ControllerConfig/machine-config-controller`
    pub controller_config: Option<Object<api::ControllerConfig>>,
    /// Nodes.
    pub nodes: Vec<Object<api::Node>>,
    /// `MachineConfiguration/cluster`
    pub machine_configuration: Option<Object<api::MachineConfiguration>>,
    /// PinnedImageSets.
    pub pinned_image_sets: Vec<Object<api::PinnedImageSet>>,
    /// Pods that have not ended, sorted out to what they run.
    pub pods: Vec<Pod>,
    /// Node files that were given as they are.
    pub node_trees: Vec<NodeTree>,
    /// What the overlay is to be made with, apart from objects.
    pub delivery: Delivery,
    /// Where the overlay delivers objects that the API does not hold: what it does hold, and so all that the controller sees.
    pub beneath: Option<Box<Snapshot>>,
    /// Objects of ours that could not be decoded; each has a gap as well.
    pub undecodable: Vec<Object<()>>,
    /// Objects that only share a kind's name with ours.
    pub same_name_elsewhere: Vec<Object<()>>,
    /// Documents of other kinds, by kind: how many were passed over.
    pub passed_over: BTreeMap<String, usize>,
    /// What was needed and could not be read.
    pub gaps: Vec<Gap>,
    /// What was noticed while reading, for a person: for instance YAML's `on` read as `true`.
    pub warnings: Vec<String>,
    interned: Interned,
    read: [bool; KINDS.len()],
    index: HashMap<Identity, u64, foldhash::fast::RandomState>,
}

/// Where a snapshot came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// An API server; the text names it.
    Live(String),
    /// A must-gather: a cluster's objects in files.
    MustGather,
    /// Manifests, as one keeps them in Git.
    #[default]
    Manifests,
}

/// Which of the controller's two ways applies; domain.md 2.2 and 2.11 tell the differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// The running controller.
    Live,
    /// `machine-config-controller bootstrap` over manifests.
    Bootstrap,
}

/// An object with where it came from.
#[derive(Clone, Debug)]
pub struct Object<T> {
    /// What to call it.
    pub reference: Arc<ObjectRef>,
    /// `metadata`
    pub metadata: api::Metadata,
    /// The fields that are read.
    pub value: T,
    /// Everything, as it was written.
    pub raw: Value,
    /// Where it stood.
    pub origin: Origin,
}

/// The files of one node, or of none in particular, as they are.
#[derive(Clone, Debug, Default)]
pub struct NodeTree {
    /// A name to show: the directory, or the files.
    pub name: String,
    /// Path on the node → content.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// What our own MachineConfigs are made with, apart from objects: keyrings and where signatures are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Path on the node → the keyring that is to be there.
    pub keys: BTreeMap<String, Vec<u8>>,
    /// Scope → URL of its GPG signatures.
    pub lookaside: BTreeMap<String, String>,
    /// Whether keyrings stand in the policy itself (`keyData`) instead of in files.
    pub inline_keys: bool,
    /// Whether an overlay is made even where the controller delivers everything.
    pub always: bool,
}

/// Something that was needed and not had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Gap {
    /// The kind.
    pub kind: Kind,
    /// Where only one namespace is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Why.
    pub reason: GapReason,
    /// A sentence for a person.
    pub message: String,
}

/// Why a kind is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum GapReason {
    /// The server will not show it to this user.
    Forbidden,
    /// The server does not know the kind.
    NotInstalled,
    /// The files do not have it.
    NotInInput,
    /// It is there and makes no sense.
    Undecodable,
}

/// What [`Snapshot::insert`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is part of the snapshot now.
    Added,
    /// An equal one was there already.
    Duplicate,
    /// Not of a kind that is read, or not the one that counts; it was counted.
    PassedOver,
}

/// Why an object cannot be part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// There is another with the same name and another content.
    #[error("{0} is there twice, with different contents")]
    Conflict(ObjectRef),
    /// Not a Kubernetes object.
    #[error("not a Kubernetes object: {0}")]
    NotAnObject(&'static str),
}

/// What to do with an object that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Laying {
    /// Equal ones count once, differing ones are an error.
    Beside,
    /// The new one replaces the old one (`--overlay`).
    OnTop,
}

type Identity = (Kind, Box<str>, Box<str>);

impl Snapshot {
    /// Nothing known yet.
    pub fn new(source: Source) -> Self {
        Self { source, ..Self::default() }
    }

    /// Which of the controller's ways applies.
    pub fn sync(&self) -> Sync {
        match self.source {
            Source::Live(_) | Source::MustGather => Sync::Live,
            Source::Manifests => Sync::Bootstrap,
        }
    }

    /// Takes in one object. `List`s must have been taken apart before.
    ///
    /// An object of ours that cannot be decoded is no error: it becomes a [`Gap`] and stays in [`Snapshot::undecodable`], so
    /// that lint can say what is wrong with it.
    ///
    /// # Errors
    /// [`InsertError`], where the snapshot would no longer have one meaning.
    pub fn insert(&mut self, raw: Value, origin: Origin, laying: Laying) -> Result<Inserted, InsertError> {
        let text = |key: &str| raw.get(key).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if kind.is_empty() {
            return Err(InsertError::NotAnObject("it has no `kind`"));
        }
        if api_version.is_empty() {
            return Err(InsertError::NotAnObject("it has no `apiVersion`"));
        }
        match Kind::of(api_version, kind) {
            Recognised::Kind(kind) => self.insert_kind(kind, raw, origin, laying),
            Recognised::UnknownVersion(known) => {
                let message = format!("{api_version} is not a version of {known} that is known here");
                self.set_aside(known, raw, origin, message);
                Ok(Inserted::Added)
            }
            Recognised::SameNameElsewhere(_) => {
                let metadata = metadata_of(&raw).unwrap_or_default();
                let reference = Arc::new(reference_of(api_version, kind, &metadata));
                self.same_name_elsewhere.push(Object { reference, metadata, value: (), raw, origin });
                Ok(Inserted::PassedOver)
            }
            Recognised::Other => {
                *self.passed_over.entry(kind.to_string()).or_default() += 1;
                Ok(Inserted::PassedOver)
            }
        }
    }

    fn insert_kind(&mut self, kind: Kind, raw: Value, origin: Origin, laying: Laying) -> Result<Inserted, InsertError> {
        let metadata = match metadata_of(&raw) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.set_aside(kind, raw, origin, format!("metadata: {error}"));
                return Ok(Inserted::Added);
            }
        };
        let info = kind.info();
        if info.only.is_some_and(|only| only != metadata.name) {
            *self.passed_over.entry(kind.to_string()).or_default() += 1;
            return Ok(Inserted::PassedOver);
        }
        let api_version = raw.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let reference = Arc::new(reference_of(api_version, kind.name(), &metadata));
        let identity = identity(kind, &metadata.namespace, &metadata.name);
        let hash = content_hash(&raw);
        if let Some(before) = self.index.insert(identity, hash) {
            match laying {
                Laying::Beside if before == hash => return Ok(Inserted::Duplicate),
                Laying::Beside => return Err(InsertError::Conflict((*reference).clone())),
                Laying::OnTop => {
                    self.take_out(kind, &reference);
                }
            }
        }
        self.mark_read(kind);
        macro_rules! decode {
            ($type:ty) => {
                decode!(<$type>::deserialize(&raw) =>)
            };
            ($read:expr =>) => {
                match $read {
                    Ok(value) => Object { reference, metadata, value, raw, origin },
                    Err(error) => {
                        self.set_aside(kind, raw, origin, error.to_string());
                        return Ok(Inserted::Added);
                    }
                }
            };
        }
        let mirror_set = || api::MirrorSet::read(&raw, kind.mirror_list());
        match kind {
            Kind::Image => self.image = Some(decode!(api::Image)),
            Kind::ClusterImagePolicy => self.cluster_image_policies.push(decode!(api::ImagePolicy)),
            Kind::ImagePolicy => self.image_policies.push(decode!(api::ImagePolicy)),
            Kind::ImageDigestMirrorSet => self.digest_mirror_sets.push(decode!(mirror_set() =>)),
            Kind::ImageTagMirrorSet => self.tag_mirror_sets.push(decode!(mirror_set() =>)),
            Kind::ImageContentSourcePolicy => self.content_source_policies.push(decode!(mirror_set() =>)),
            Kind::ClusterVersion => self.cluster_version = Some(decode!(api::ClusterVersion)),
            Kind::FeatureGate => self.feature_gate = Some(decode!(api::FeatureGate)),
            Kind::Infrastructure => self.infrastructure = Some(decode!(api::Infrastructure)),
            Kind::MachineConfigPool => self.pools.push(decode!(api::MachineConfigPool)),
            Kind::MachineConfig => self.machine_configs.push(decode!(api::MachineConfig)),
            Kind::ControllerConfig => self.controller_config = Some(decode!(api::ControllerConfig)),
            Kind::Node => self.nodes.push(decode!(api::Node)),
            Kind::MachineConfiguration => self.machine_configuration = Some(decode!(api::MachineConfiguration)),
            Kind::PinnedImageSet => self.pinned_image_sets.push(decode!(api::PinnedImageSet)),
            Kind::Pod => {
                let pod = decode!(api::Pod);
                self.pods.extend(Pod::of(pod, &mut self.interned));
            }
        }
        Ok(Inserted::Added)
    }

    /// Takes in many objects at once as [`Laying::OnTop`] does, each in the place of the one that it replaces, so that nothing else
    /// changes: not even the order of others.
    ///
    /// # Errors
    /// As [`Snapshot::insert`]; nothing is taken in then.
    pub fn lay_on_top(&mut self, objects: impl IntoIterator<Item = (Value, Origin)>) -> Result<(), InsertError> {
        let mut new = Self::new(self.source.clone());
        for (raw, origin) in objects {
            new.insert(raw, origin, Laying::Beside)?;
        }
        let unread: HashSet<(&str, Option<&str>, &str)> =
            new.undecodable.iter().map(|object| object.reference.identity()).collect();
        macro_rules! lay {
            ($($list:ident),*) => { $(
                self.$list.retain(|object| unread.is_empty() || !unread.contains(&object.reference.identity()));
                replace(&mut self.$list, new.$list);
            )* };
        }
        macro_rules! lay_one {
            ($($one:ident),*) => { $(
                self.$one = new.$one.or(self.$one.take().filter(|object| !unread.contains(&object.reference.identity())));
            )* };
        }
        let decoded: HashSet<Identity> = new.index.keys().cloned().collect();
        self.undecodable.retain(|object| match Kind::named(&object.reference.kind) {
            Some(kind) => !decoded.contains(&identity(
                kind,
                object.reference.namespace.as_deref().unwrap_or_default(),
                &object.reference.name,
            )),
            None => true,
        });
        lay_one!(image, cluster_version, feature_gate, infrastructure, controller_config, machine_configuration);
        lay!(cluster_image_policies, image_policies, digest_mirror_sets, tag_mirror_sets, content_source_policies);
        lay!(pools, machine_configs, nodes, pinned_image_sets);
        let laid: HashSet<&ObjectRef> = new.pods.iter().map(|pod| &*pod.reference).collect();
        self.pods.retain(|pod| !laid.contains(&*pod.reference) && !unread.contains(&pod.reference.identity()));
        self.pods.extend(new.pods);
        self.undecodable.extend(new.undecodable);
        self.same_name_elsewhere.extend(new.same_name_elsewhere);
        self.index.extend(new.index);
        self.gaps.extend(new.gaps);
        for (kind, number) in new.passed_over {
            *self.passed_over.entry(kind).or_default() += number;
        }
        for (read, also) in self.read.iter_mut().zip(new.read) {
            *read |= also;
        }
        Ok(())
    }

    /// Takes in the pods of a snapshot that holds nothing else, and that have not been taken in yet.
    pub fn add_pods(&mut self, of: Self) {
        self.pods.extend(of.pods);
        self.undecodable.extend(of.undecodable);
        self.gaps.extend(of.gaps);
        self.index.extend(of.index);
    }

    /// Every object that was taken in, as it was written, with where it stood.
    pub fn as_written(&self) -> impl Iterator<Item = (&Arc<ObjectRef>, &Value, &Origin)> {
        fn all<T>(objects: &[Object<T>]) -> impl Iterator<Item = (&Arc<ObjectRef>, &Value, &Origin)> {
            objects.iter().map(|object| (&object.reference, &object.raw, &object.origin))
        }
        let one = all(self.image.as_slice())
            .chain(all(self.cluster_version.as_slice()))
            .chain(all(self.feature_gate.as_slice()))
            .chain(all(self.infrastructure.as_slice()))
            .chain(all(self.controller_config.as_slice()))
            .chain(all(self.machine_configuration.as_slice()));
        let policies = all(&self.cluster_image_policies).chain(all(&self.image_policies));
        let mirrors = self.mirror_sets().map(|(_, set)| (&set.reference, &set.raw, &set.origin));
        let machines = all(&self.pools)
            .chain(all(&self.machine_configs))
            .chain(all(&self.nodes))
            .chain(all(&self.pinned_image_sets));
        one.chain(policies).chain(mirrors).chain(machines).chain(all(&self.undecodable))
    }

    /// Takes an object out as if it were deleted (`--without`), and says whether it was there.
    pub fn remove(&mut self, kind: Kind, namespace: &str, name: &str) -> bool {
        if self.index.remove(&identity(kind, namespace, name)).is_none() {
            return false;
        }
        let namespace = (!namespace.is_empty()).then(|| namespace.into());
        let reference = ObjectRef { api_version: "".into(), kind: kind.name().into(), namespace, name: name.into() };
        self.take_out(kind, &reference);
        true
    }

    fn take_out(&mut self, kind: Kind, reference: &ObjectRef) {
        let same = |other: &ObjectRef| other.name == reference.name && other.namespace == reference.namespace;
        self.undecodable.retain(|object| object.reference.kind != reference.kind || !same(&object.reference));
        match kind {
            Kind::Image => self.image = None,
            Kind::ClusterImagePolicy => self.cluster_image_policies.retain(|object| !same(&object.reference)),
            Kind::ImagePolicy => self.image_policies.retain(|object| !same(&object.reference)),
            Kind::ImageDigestMirrorSet => self.digest_mirror_sets.retain(|object| !same(&object.reference)),
            Kind::ImageTagMirrorSet => self.tag_mirror_sets.retain(|object| !same(&object.reference)),
            Kind::ImageContentSourcePolicy => self.content_source_policies.retain(|object| !same(&object.reference)),
            Kind::ClusterVersion => self.cluster_version = None,
            Kind::FeatureGate => self.feature_gate = None,
            Kind::Infrastructure => self.infrastructure = None,
            Kind::MachineConfigPool => self.pools.retain(|object| !same(&object.reference)),
            Kind::MachineConfig => self.machine_configs.retain(|object| !same(&object.reference)),
            Kind::ControllerConfig => self.controller_config = None,
            Kind::Node => self.nodes.retain(|object| !same(&object.reference)),
            Kind::MachineConfiguration => self.machine_configuration = None,
            Kind::PinnedImageSet => self.pinned_image_sets.retain(|object| !same(&object.reference)),
            Kind::Pod => self.pods.retain(|pod| !same(&pod.reference)),
        }
    }

    fn set_aside(&mut self, kind: Kind, raw: Value, origin: Origin, problem: String) {
        let metadata = metadata_of(&raw).unwrap_or_default();
        let api_version = raw.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let reference = Arc::new(reference_of(api_version, kind.name(), &metadata));
        self.gaps.push(Gap {
            kind,
            namespace: reference.namespace.as_deref().map(str::to_string),
            reason: GapReason::Undecodable,
            message: format!("{reference} cannot be read: {problem}"),
        });
        self.undecodable.push(Object { reference, metadata, value: (), raw, origin });
    }

    /// Takes in objects that the API does not hold and that our MachineConfigs deliver instead. What the API has under the same
    /// name stays in [`Snapshot::beneath`].
    ///
    /// # Errors
    /// As [`Snapshot::insert`].
    pub fn deliver(&mut self, objects: impl IntoIterator<Item = (Value, Origin)>) -> Result<(), InsertError> {
        if self.beneath.is_none() {
            self.beneath = Some(Box::new(self.clone()));
        }
        for (raw, origin) in objects {
            self.insert(raw, origin, Laying::OnTop)?;
        }
        Ok(())
    }

    /// Says that all objects of a kind were read, even if there are none.
    pub fn mark_read(&mut self, kind: Kind) {
        self.read[kind as usize] = true;
    }

    /// Whether objects of the kind were read, or it is known that there are none.
    pub fn has_read(&self, kind: Kind) -> bool {
        self.read[kind as usize]
    }

    /// Whether the cluster's release has the feature gate on; `None` where nothing says so.
    pub fn has_gate(&self, name: &str) -> Option<bool> {
        let version = self.cluster_version.as_ref().map(|version| version.value.status.desired.version.as_str());
        let gates = self.feature_gate.as_ref()?.value.status.feature_gates.as_slice();
        let of_version = gates.iter().find(|gates| Some(gates.version.as_str()) == version);
        let gates = match (of_version, gates) {
            (Some(gates), _) | (None, [gates]) => gates,
            _ => return None,
        };
        let has = |names: &[api::GateName]| names.iter().any(|gate| gate.name == name);
        has(&gates.enabled).then_some(true).or(has(&gates.disabled).then_some(false))
    }

    /// All ImageDigestMirrorSets, then ImageContentSourcePolicies, then ImageTagMirrorSets: the controller's order.
    pub fn mirror_sets(&self) -> impl Iterator<Item = (Kind, &Object<api::MirrorSet>)> {
        let digest = self.digest_mirror_sets.iter().map(|set| (Kind::ImageDigestMirrorSet, set));
        let content = self.content_source_policies.iter().map(|set| (Kind::ImageContentSourcePolicy, set));
        let tag = self.tag_mirror_sets.iter().map(|set| (Kind::ImageTagMirrorSet, set));
        digest.chain(content).chain(tag)
    }

    /// The objects that policies and node files follow from, as they were written.
    pub fn policy_objects(&self) -> impl Iterator<Item = (&Arc<ObjectRef>, &Value)> {
        let image = self.image.iter().map(|object| (&object.reference, &object.raw));
        let policies = self.cluster_image_policies.iter().chain(&self.image_policies);
        let policies = policies.map(|object| (&object.reference, &object.raw));
        image.chain(policies).chain(self.mirror_sets().map(|(_, object)| (&object.reference, &object.raw)))
    }

    /// Whether an object of that kind, namespace and name was taken in.
    pub fn has_object(&self, kind: Kind, raw: &Value) -> bool {
        let text = |pointer: &str| raw.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        self.index.contains_key(&identity(kind, text("/metadata/namespace"), text("/metadata/name")))
    }

    /// Where an object stood that was taken in. Slow, for errors.
    pub fn origin(&self, reference: &ObjectRef) -> Option<&Origin> {
        fn found<'a, T>(object: &'a Object<T>, wanted: &ObjectRef) -> Option<&'a Origin> {
            let same = &object.reference;
            let equal = same.kind == wanted.kind && same.name == wanted.name && same.namespace == wanted.namespace;
            equal.then_some(&object.origin)
        }
        macro_rules! search {
            ($($field:ident),*) => { $(if let Some(origin) = self.$field.iter().find_map(|object| found(object, reference)) {
                return Some(origin);
            })* };
        }
        search!(image, cluster_version, feature_gate, infrastructure, controller_config, machine_configuration);
        search!(cluster_image_policies, image_policies, digest_mirror_sets, tag_mirror_sets, content_source_policies);
        search!(pools, machine_configs, nodes, pinned_image_sets, undecodable);
        let same = |pod: &&Pod| pod.reference.identity() == reference.identity();
        self.pods.iter().find(same).map(|pod| &pod.origin)
    }

    /// How many objects were taken in.
    pub fn objects(&self) -> usize {
        self.index.len()
    }

    /// Whether nothing was taken in, node files included.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty() && self.node_trees.is_empty() && self.undecodable.is_empty()
    }
}

impl Kind {
    /// What a mirror set of this kind calls its rules: the `imageDigestMirrors` of `spec.imageDigestMirrors[0].source`.
    pub fn mirror_list(self) -> &'static str {
        match self {
            Self::ImageTagMirrorSet => "imageTagMirrors",
            Self::ImageContentSourcePolicy => "repositoryDigestMirrors",
            _ => "imageDigestMirrors",
        }
    }
}

/// Each in the place of the one with its name, new ones at the end.
fn replace<T>(objects: &mut Vec<Object<T>>, new: Vec<Object<T>>) {
    if new.is_empty() {
        return;
    }
    let name = |object: &Object<T>| (object.reference.namespace.clone(), object.reference.name.clone());
    let known: HashMap<_, usize> =
        objects.iter().enumerate().map(|(position, object)| (name(object), position)).collect();
    for object in new {
        match known.get(&name(&object)).and_then(|position| objects.get_mut(*position)) {
            Some(old) => *old = object,
            None => objects.push(object),
        }
    }
}

fn metadata_of(raw: &Value) -> Result<api::Metadata, serde_json::Error> {
    match raw.get("metadata") {
        Some(metadata) => api::Metadata::deserialize(metadata),
        None => Ok(api::Metadata::default()),
    }
}

fn reference_of(api_version: &str, kind: &str, metadata: &api::Metadata) -> ObjectRef {
    ObjectRef {
        api_version: api_version.into(),
        kind: kind.into(),
        namespace: (!metadata.namespace.is_empty()).then(|| metadata.namespace.as_str().into()),
        name: metadata.name.as_str().into(),
    }
}

fn identity(kind: Kind, namespace: &str, name: &str) -> Identity {
    (kind, namespace.into(), name.into())
}

/// Equal objects have equal hashes whatever the order of their keys.
fn content_hash(value: &Value) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::default().hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(name: &str, scope: &str) -> Value {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy",
               "metadata": {"name": name}, "spec": {"scopes": [scope]}})
    }

    #[test]
    fn the_same_object_twice() {
        let mut snapshot = Snapshot::new(Source::Manifests);
        let mut insert = |value, laying| snapshot.insert(value, Origin::Live, laying);
        assert_eq!(insert(policy("a", "x.io"), Laying::Beside), Ok(Inserted::Added));
        assert_eq!(insert(policy("a", "x.io"), Laying::Beside), Ok(Inserted::Duplicate));
        assert!(insert(policy("a", "y.io"), Laying::Beside).is_err());
        assert_eq!(insert(policy("a", "z.io"), Laying::OnTop), Ok(Inserted::Added));
        assert_eq!(snapshot.cluster_image_policies.len(), 1);
        assert_eq!(snapshot.cluster_image_policies[0].value.spec.scopes, ["z.io"]);
        assert!(snapshot.remove(Kind::ClusterImagePolicy, "", "a"));
        assert!(!snapshot.remove(Kind::ClusterImagePolicy, "", "a"));
        assert!(snapshot.is_empty());
    }

    #[test]
    fn many_on_top_keep_their_places() {
        let mut snapshot = Snapshot::new(Source::Manifests);
        for (name, scope) in [("a", "1.io"), ("b", "2.io"), ("c", "3.io")] {
            snapshot.insert(policy(name, scope), Origin::Live, Laying::Beside).unwrap();
        }
        let mut odd = policy("c", "x");
        odd["spec"]["scopes"] = json!("x");
        let laid = [policy("d", "5.io"), policy("a", "4.io"), odd].map(|object| (object, Origin::Live));
        snapshot.lay_on_top(laid).unwrap();
        let scopes: Vec<&str> =
            snapshot.cluster_image_policies.iter().map(|policy| &*policy.value.spec.scopes[0]).collect();
        assert_eq!(scopes, ["4.io", "2.io", "5.io"]);
        assert_eq!((snapshot.undecodable.len(), snapshot.objects(), snapshot.as_written().count()), (1, 4, 4));
        snapshot.lay_on_top([(policy("c", "6.io"), Origin::Live)]).unwrap();
        assert_eq!((snapshot.undecodable.len(), snapshot.cluster_image_policies.len()), (0, 4));
        let twice = [policy("a", "7.io"), policy("a", "8.io")].map(|object| (object, Origin::Live));
        assert!(snapshot.lay_on_top(twice).is_err());
        assert_eq!(snapshot.cluster_image_policies[0].value.spec.scopes, ["4.io"]);
    }

    #[test]
    fn what_cannot_be_decoded_is_a_gap() {
        let mut snapshot = Snapshot::new(Source::Manifests);
        let mut value = policy("a", "x.io");
        value["spec"]["scopes"] = json!("x.io");
        assert_eq!(snapshot.insert(value, Origin::Live, Laying::Beside), Ok(Inserted::Added));
        assert_eq!(snapshot.gaps.len(), 1);
        assert_eq!(snapshot.gaps[0].reason, GapReason::Undecodable);
        assert_eq!(snapshot.undecodable.len(), 1);
    }

    #[test]
    fn others_are_counted() {
        let mut snapshot = Snapshot::new(Source::Manifests);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "p"}});
        assert_eq!(snapshot.insert(secret, Origin::Live, Laying::Beside), Ok(Inserted::PassedOver));
        assert_eq!(snapshot.passed_over.get("Secret"), Some(&1));
        let sigstore = json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "p"}});
        assert_eq!(snapshot.insert(sigstore, Origin::Live, Laying::Beside), Ok(Inserted::PassedOver));
        assert_eq!(snapshot.same_name_elsewhere.len(), 1);
    }
}
