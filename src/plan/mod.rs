//! What to write, in which order and why: objects that somebody wants, against a cluster as it was read → steps.
//!
//! Objects that the API serves are written as objects. What it cannot express (`signedRegistries`, policies on clusters that do not
//! have the kind) is delivered by MachineConfigs of ours, which come last: they repeat the controller's policy.json with the final
//! objects in it, and until they are written nodes keep the policy that they have, which was coherent before. The other way round, a
//! policy of ours could ask for signatures before the controller has told nodes where to look for them.

mod guards;
mod order;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::compile::overlay::{self, is_ours};
use crate::compile::signed_registries::ANNOTATION;
use crate::compile::{Compiled, compile};
use crate::merge::apply_locally;
use crate::merge::ownership::owns_annotation;
use crate::model::machine_config::INPUTS;
use crate::model::provenance::{ObjectRef, Refusal};
use crate::model::release::Release;
use crate::snapshot::{Change, Delivery, GapReason, Kind, Origin, Recognised, Snapshot, Source};

pub use crate::merge::ownership::{Leftover, is_taken_over, leftovers, taken_over};
pub use guards::{Guard, PlatformImage, guards, new_findings, platform_images, refusals, still_refused};
pub use order::{Freeze, Ordered, order};

/// The kinds that are written.
pub const WRITTEN: [Kind; 6] = [
    Kind::Image,
    Kind::ClusterImagePolicy,
    Kind::ImagePolicy,
    Kind::ImageDigestMirrorSet,
    Kind::ImageTagMirrorSet,
    Kind::ImageContentSourcePolicy,
];

/// What somebody wants of a cluster.
#[derive(Debug, Default)]
pub struct Wish {
    /// Objects as they should be, in the order of the files.
    pub objects: Vec<Value>,
    /// Kind, namespace (empty for none) and name of what shall be gone.
    pub without: Vec<(Kind, String, String)>,
    /// Whether MachineConfigs of ours deliver all of it.
    pub as_machine_configs: bool,
    /// Keyrings and lookasides.
    pub delivery: Delivery,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It makes no sense to ask for it.
    Usage {
        /// What is wrong.
        message: String,
        /// What to type.
        hint: String,
    },
    /// It cannot be done on this cluster.
    Impossible {
        /// Why.
        message: String,
        /// What to do instead.
        hint: String,
    },
    /// It rests on something that this user may not see.
    Blind {
        /// What.
        message: String,
    },
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub enum Action {
    Create,
    Update,
    Delete,
}

/// One write.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// The object's kind.
    pub kind: Kind,
    /// The object.
    pub object: Arc<ObjectRef>,
    /// In a few words, for a person.
    pub reason: String,
    /// What is sent; null for a deletion.
    pub manifest: Value,
    /// The object as it is.
    pub before: Option<Value>,
    /// The object as it will be: as computed here, then as the server's dry run answers.
    pub after: Option<Value>,
    /// Whether fields of an earlier client-side apply become ours first.
    pub takes_over: bool,
    /// What others keep in it although the file does not name it.
    pub leftovers: Vec<Leftover>,
}

impl Step {
    /// What it makes of the object.
    pub fn change(&self) -> Change<'_> {
        Change {
            kind: self.kind,
            namespace: self.object.namespace.as_deref().unwrap_or_default(),
            name: &self.object.name,
            now: self.after.as_ref(),
        }
    }

    /// Takes what the server says it will be.
    pub fn answered(&mut self, answer: Value) {
        // The server cannot try out an apply on top of a takeover that it only tries out; then what is computed here counts.
        if !self.takes_over {
            self.leftovers = leftovers(&answer, &self.manifest);
            self.after = Some(answer);
        }
    }

    /// Whether it changes nothing.
    pub fn is_idle(&self) -> bool {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => same_content(before, after),
            (None, None) => true,
            _ => false,
        }
    }
}

/// What was wanted, taken apart.
#[derive(Debug)]
pub struct Draft {
    /// Writes of objects that the API holds, in the order of the wish; those that change nothing are left out.
    pub steps: Vec<Step>,
    /// Objects that MachineConfigs of ours deliver afterwards.
    pub delivered: Vec<Value>,
    /// Said to the person who asked.
    pub notes: Vec<String>,
    delivery: Delivery,
}

/// What files say, as a wish.
///
/// # Errors
/// [`Objection::Usage`] where something in them is not written here.
pub fn wish(files: &Snapshot) -> Result<Wish, Objection> {
    const HINT: &str = "apply takes Image, ClusterImagePolicy, ImagePolicy, ImageDigestMirrorSet, ImageTagMirrorSet and \
                        ImageContentSourcePolicy; write others with: oc apply -f";
    let usage = |message: String| Objection::Usage { message, hint: HINT.into() };
    if files.source != Source::Manifests || !files.node_trees.is_empty() {
        return Err(usage("-f names what shall be written, and this is a must-gather or the files of a node".into()));
    }
    if let Some(object) = files.undecodable.first() {
        let gap = files.gaps.iter().find(|gap| gap.message.contains(&*object.reference.name));
        return Err(usage(gap.map_or_else(|| object.reference.to_string(), |gap| gap.message.clone())));
    }
    if let Some(object) = files.same_name_elsewhere.first() {
        return Err(usage(format!(
            "{} is of {}, which only shares the name with what is written here",
            object.reference, object.reference.api_version
        )));
    }
    let mut others: Vec<String> = files.passed_over.keys().map(|kind| foreign_kind(kind)).collect();
    let singles = [
        (Kind::ClusterVersion, files.cluster_version.is_some()),
        (Kind::FeatureGate, files.feature_gate.is_some()),
        (Kind::Infrastructure, files.infrastructure.is_some()),
        (Kind::ControllerConfig, files.controller_config.is_some()),
        (Kind::MachineConfiguration, files.machine_configuration.is_some()),
        (Kind::MachineConfigPool, !files.pools.is_empty()),
        (Kind::Node, !files.nodes.is_empty()),
        (Kind::PinnedImageSet, !files.pinned_image_sets.is_empty()),
        (Kind::Pod, !files.pods.is_empty()),
    ];
    others.extend(singles.iter().filter(|(_, is_there)| *is_there).map(|(kind, _)| kind.to_string()));
    if let Some(object) = files.machine_configs.first() {
        return Err(Objection::Usage {
            message: format!(
                "{} is a MachineConfig: this program writes none but its own, which follow from objects",
                object.reference
            ),
            hint: "name the objects that it was made from instead; see `oc imagepolicy explain`".into(),
        });
    }
    if !others.is_empty() {
        return Err(usage(format!("this program writes image policy, and the files hold {}", others.join(", "))));
    }
    Ok(Wish { objects: files.policy_objects().map(|(_, raw)| raw.clone()).collect(), ..Wish::default() })
}

fn foreign_kind(kind: &str) -> String {
    // The only Image that means anything is `cluster`; others are passed over.
    match Kind::of("config.openshift.io/v1", kind) {
        Recognised::Kind(Kind::Image) => "an Image that is not named `cluster`".to_string(),
        _ => kind.to_string(),
    }
}

/// Takes a wish apart: what is written as an object, what our MachineConfigs deliver. `live` must have been unfolded
/// ([`overlay::unfold`]).
///
/// # Errors
/// [`Objection`]
pub fn draft(live: &Snapshot, release: &Release, wish: &Wish) -> Result<Draft, Objection> {
    check_cluster(live, wish)?;
    let api = live.beneath.as_deref().unwrap_or(live);
    let raws: BTreeMap<(Kind, String, String), &Value> =
        api.policy_objects().filter_map(|(_, raw)| Some((key(raw)?, raw))).collect();
    let mut delivered = Delivered::of(live);
    let mut draft =
        Draft { steps: Vec::new(), delivered: Vec::new(), notes: Vec::new(), delivery: wish.delivery.clone() };
    let mut named: HashSet<(Kind, String, String)> = HashSet::new();
    for object in &wish.objects {
        let Some(key) = key(object) else { continue };
        if key.0.info().namespaced && key.1.is_empty() {
            return Err(Objection::Usage {
                message: format!("{}/{} names no namespace", key.0, key.2),
                hint: "write it into the file: metadata.namespace".into(),
            });
        }
        let kind = key.0;
        let before = raws.get(&key).copied();
        let is_served = !live.gaps.iter().any(|gap| gap.kind == kind && gap.reason == GapReason::NotInstalled);
        let is_read = overlay::is_read_by_controller(live, release, kind);
        if wish.as_machine_configs || !is_served || !is_read {
            let why = match is_served {
                false => format!("this cluster's API has no {kind}"),
                true => format!("this cluster's controller makes nothing of {kind} objects"),
            };
            if !is_served || !is_read {
                draft.notes.push(format!(
                    "{why}: MachineConfigs of ours bring {} to the nodes, and say what they were made from",
                    reference(object)
                ));
            }
            delivered.put(key.clone(), object.clone());
        } else {
            delivered.take(&key);
            let step = written(object, before);
            if !step.is_idle() {
                draft.steps.push(step);
            }
        }
        named.insert(key);
    }
    for key in &wish.without {
        let shown = [key.0.name(), &key.1, &key.2]
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join("/");
        if named.contains(key) {
            return Err(Objection::Usage {
                message: format!("{shown} is named by -f and by --without"),
                hint: "leave one of them out".into(),
            });
        }
        let was_delivered = delivered.take(key);
        match raws.get(key) {
            Some(raw) => draft.steps.push(deleted(key.0, raw)),
            // Deleting is done when it is gone, so that a second run converges.
            None if !was_delivered => draft.notes.push(format!("there is no {shown}: nothing to delete")),
            None => {}
        }
    }
    draft.delivered = delivered.objects.into_values().collect();
    Ok(draft)
}

/// What only MachineConfigs of ours hold.
struct Delivered {
    objects: BTreeMap<(Kind, String, String), Value>,
}

impl Delivered {
    fn of(live: &Snapshot) -> Self {
        let mut objects = BTreeMap::new();
        if let Some(beneath) = &live.beneath {
            let known: HashSet<(&Arc<ObjectRef>, &Value)> = beneath.policy_objects().collect();
            let added = live.policy_objects().filter(|pair| !known.contains(pair));
            objects.extend(added.filter_map(|(_, raw)| Some((key(raw)?, raw.clone()))));
        }
        Self { objects }
    }

    fn put(&mut self, key: (Kind, String, String), object: Value) {
        self.objects.insert(key, object);
    }

    fn take(&mut self, key: &(Kind, String, String)) -> bool {
        self.objects.remove(key).is_some()
    }
}

/// Kinds without which nobody can tell whether the controller takes the result, what of ours has to change with it, or whether this is
/// a cluster where it has an effect.
const DECISIVE: [Kind; 9] = [
    Kind::Image,
    Kind::ClusterImagePolicy,
    Kind::ImagePolicy,
    Kind::ImageDigestMirrorSet,
    Kind::ImageTagMirrorSet,
    Kind::ImageContentSourcePolicy,
    Kind::MachineConfig,
    Kind::MachineConfigPool,
    Kind::Infrastructure,
];

/// Clusters on which nothing of this has an effect.
fn check_cluster(live: &Snapshot, wish: &Wish) -> Result<(), Objection> {
    let topology = live.infrastructure.as_ref().map(|object| object.value.status.control_plane_topology.as_str());
    if topology == Some("External") {
        return Err(Objection::Impossible {
            message: "this is a hosted cluster: no machine-config-controller runs in it, and nothing makes node files of these objects"
                .into(),
            hint: "put ClusterImagePolicies, ImageDigestMirrorSets and ImageContentSourcePolicies into a ConfigMap that the NodePool names \
                   in spec.config, on the management cluster\n\
                   what Image/cluster says belongs into HostedCluster spec.configuration.image, mirrors into spec.imageContentSources; \
                   an ImagePolicy is not taken there"
                .into(),
        });
    }
    let lacks = |kind: Kind| live.gaps.iter().any(|gap| gap.kind == kind && gap.reason == GapReason::NotInstalled);
    if lacks(Kind::MachineConfig) || lacks(Kind::MachineConfigPool) {
        return Err(Objection::Impossible {
            message: "this cluster has no MachineConfigs (MicroShift?): nothing makes node files of these objects"
                .into(),
            hint: "write the files of the node and copy them there: oc imagepolicy generate -f FILE --to DIR".into(),
        });
    }
    let kinds = wish.objects.iter().filter_map(Kind::of_object).chain(wish.without.iter().map(|(kind, ..)| *kind));
    let kinds: HashSet<Kind> = kinds.chain(DECISIVE).collect();
    let blind = live.gaps.iter().find(|gap| kinds.contains(&gap.kind) && gap.reason != GapReason::NotInstalled);
    match blind {
        Some(gap) => Err(Objection::Blind { message: gap.message.clone() }),
        None => Ok(()),
    }
}

fn written(object: &Value, before: Option<&Value>) -> Step {
    let mut manifest = manifest(object, before);
    let mut after = apply_locally(before, &manifest);
    let is_empty = |object: &Value| object.get("spec").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty);
    if Kind::of_object(object) == Some(Kind::Image)
        && is_empty(&after)
        && before.is_some_and(|before| !is_empty(before))
    {
        // Of a map that loses its last field server-side apply makes null, which the API server then refuses. An empty list of
        // something else says as little as an empty map.
        if let Some(fields) = manifest.as_object_mut() {
            fields.insert("spec".into(), serde_json::json!({"externalRegistryHostnames": []}));
        }
        after = apply_locally(before, &manifest);
    }
    if ends_signed_registries(object) && annotation(&manifest).is_none() {
        // A file without the field leaves the annotation alone; this one had it, and what is sent says nothing of it any more.
        if let Some(annotations) = after.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.shift_remove(ANNOTATION);
        }
    }
    let takes_over = before.is_some_and(|before| taken_over(before).is_some());
    let (action, reason) = match before {
        None => (Action::Create, "it is not there yet".to_string()),
        Some(before) => {
            (Action::Update, format!("the file says something else for {}", differing(before, &after).join(", ")))
        }
    };
    Step {
        action,
        kind: Kind::of_object(object).unwrap_or(Kind::Image),
        object: Arc::new(reference(object)),
        reason,
        leftovers: leftovers(&after, &manifest),
        manifest,
        before: before.cloned(),
        after: Some(after),
        takes_over,
    }
}

/// An Image with an empty list, as opposed to one without any.
fn ends_signed_registries(object: &Value) -> bool {
    let list = object.pointer("/spec/registrySources/signedRegistries").and_then(Value::as_array);
    list.is_some_and(Vec::is_empty)
}

fn annotation(object: &Value) -> Option<&Value> {
    object.pointer("/metadata/annotations")?.get(ANNOTATION)
}

fn deleted(kind: Kind, raw: &Value) -> Step {
    Step {
        action: Action::Delete,
        kind,
        object: Arc::new(reference(raw)),
        reason: "--without".into(),
        manifest: Value::Null,
        before: Some(raw.clone()),
        after: None,
        takes_over: false,
        leftovers: Vec::new(),
    }
}

/// What is sent: the file's object without what only a server writes, `signedRegistries` as the annotation that stands for it.
fn manifest(object: &Value, before: Option<&Value>) -> Value {
    // The same cleaning as for an object that is not there yet.
    let mut manifest = apply_locally(None, object);
    let metadata = manifest.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(annotations) =
        metadata.and_then(|metadata| metadata.get_mut("annotations")).and_then(Value::as_object_mut)
    {
        annotations.shift_remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    if Kind::of_object(object) != Some(Kind::Image) {
        return manifest;
    }
    let field = manifest
        .pointer_mut("/spec/registrySources")
        .and_then(Value::as_object_mut)
        .and_then(|sources| sources.shift_remove("signedRegistries"));
    if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut)
        && spec.get("registrySources").and_then(Value::as_object).is_some_and(serde_json::Map::is_empty)
    {
        spec.shift_remove("registrySources");
    }
    let recorded = before.and_then(annotation).cloned();
    let is_our_own = before.is_some_and(|before| owns_annotation(before, ANNOTATION));
    let annotation = match (field, recorded) {
        (Some(Value::Array(list)), Some(_)) if list.is_empty() => (!is_our_own).then(|| Value::from("[]\n")),
        (Some(Value::Array(list)), None) if list.is_empty() => None,
        (Some(list), _) => serde_yaml::to_string(&list).ok().map(Value::from),
        // Leaving out what an earlier apply wrote would end it.
        (None, Some(text)) if is_our_own => Some(text),
        (None, _) => None,
    };
    if let (Some(text), Some(object)) = (annotation, manifest.as_object_mut()) {
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(serde_json::Map::new()));
            if !annotations.is_object() {
                *annotations = Value::Object(serde_json::Map::new());
            }
            if let Some(annotations) = annotations.as_object_mut() {
                annotations.entry(ANNOTATION).or_insert(text);
            }
        }
    }
    manifest
}

/// The cluster once these steps are done, and what the draft delivers besides.
fn after(live: &Snapshot, draft: &Draft, steps: &[Step]) -> Result<Snapshot, Objection> {
    let api = live.beneath.as_deref().unwrap_or(live);
    let mut after = api.changed(steps.iter().map(Step::change));
    after.delivery = draft.delivery.clone();
    if !draft.delivered.is_empty() {
        let objects = draft.delivered.iter().map(|object| (object.clone(), Origin::Live));
        after.deliver(objects).map_err(|error| Objection::Blind { message: error.to_string() })?;
    }
    Ok(after)
}

/// What has to become of our own MachineConfigs so that they fit `after`.
///
/// # Errors
/// What this program refuses, or [`Objection::Impossible`] where somebody else's MachineConfig has the name of ours.
pub fn machine_configs(live: &Snapshot, after: &Snapshot, compiled: &Compiled) -> Result<Vec<Step>, Objection> {
    let wanted = match compiled.overlay() {
        Some(overlay) => overlay::machine_configs(after, compiled, overlay)
            .map_err(|refusals| impossible(&refusals))?
            .into_iter()
            .map(|object| (object, overlay::made_from(overlay, after)))
            .collect(),
        // Where somebody refuses, nothing is known of what ours should be: they stay as they are.
        None if !compiled.refusals().is_empty() => return Ok(Vec::new()),
        None => Vec::new(),
    };
    let name_of =
        |object: &Value| object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_string();
    let names: HashSet<String> = wanted.iter().map(|(object, _)| name_of(object)).collect();
    let mut steps = Vec::new();
    for (object, made_from) in wanted {
        let name = name_of(&object);
        let there = live.machine_configs.iter().find(|there| there.metadata.name == name);
        if there.is_some_and(|there| !is_ours(there)) {
            return Err(Objection::Impossible {
                message: format!(
                    "MachineConfig {name} is there and was not made by this program: it has no annotation {INPUTS}"
                ),
                hint: format!(
                    "look at it: oc get machineconfig {name} -o yaml; give it another name, and run this again"
                ),
            });
        }
        let mut step = written(&object, there.map(|there| &there.raw));
        step.reason = match step.action {
            Action::Create => format!("brings to the nodes what the API has no place for, of {made_from}"),
            _ => format!("what it was made from is something else now: {made_from}"),
        };
        if !step.is_idle() {
            steps.push(step);
        }
    }
    let stale = live.machine_configs.iter().filter(|there| is_ours(there) && !names.contains(&there.metadata.name));
    for there in stale {
        let mut step = deleted(Kind::MachineConfig, &there.raw);
        step.reason = "nothing asks for what it brings to the nodes any more".into();
        steps.push(step);
    }
    Ok(steps)
}

fn impossible(refusals: &[Refusal]) -> Objection {
    let texts: Vec<&str> = refusals.iter().map(|refusal| refusal.text.as_str()).collect();
    Objection::Impossible { message: texts.join("; "), hint: String::new() }
}

/// The cluster with the steps done, and what follows from it.
///
/// # Errors
/// [`Objection::Blind`] where objects that our MachineConfigs deliver cannot be read.
pub fn outcome(
    live: &Snapshot,
    draft: &Draft,
    steps: &[Step],
    release: &'static Release,
) -> Result<(Snapshot, Compiled), Objection> {
    let after = after(live, draft, steps)?;
    let compiled = compile(&after, release);
    Ok((after, compiled))
}

fn key(object: &Value) -> Option<(Kind, String, String)> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
    Some((Kind::of_object(object)?, text("/metadata/namespace"), text("/metadata/name")))
}

/// What to call an object.
pub fn reference(object: &Value) -> ObjectRef {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let namespace = text("/metadata/namespace");
    ObjectRef {
        api_version: text("/apiVersion").into(),
        kind: text("/kind").into(),
        namespace: (!namespace.is_empty()).then(|| namespace.into()),
        name: text("/metadata/name").into(),
    }
}

/// Fields in which two states of an object differ, as deep as they are maps, at most a few.
fn differing(before: &Value, after: &Value) -> Vec<String> {
    fn walk(before: &Value, after: &Value, path: &str, depth: usize, found: &mut Vec<String>) {
        match (before, after) {
            (Value::Object(a), Value::Object(b)) if depth < 4 => {
                let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for name in names {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(
                        a.get(name).unwrap_or(&Value::Null),
                        b.get(name).unwrap_or(&Value::Null),
                        &path,
                        depth + 1,
                        found,
                    );
                }
            }
            (a, b) if a == b => {}
            _ => found.push(path.to_string()),
        }
    }
    let mut found = Vec::new();
    walk(&bare(before), &bare(after), "", 0, &mut found);
    if found.len() > 3 {
        let more = found.len() - 3;
        found.truncate(3);
        found.push(format!("{more} more"));
    }
    found
}

/// An object without what only servers write: what a person means by it.
pub fn bare(object: &Value) -> Value {
    let mut bare = apply_locally(None, object);
    if let Some(metadata) = bare.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in ["labels", "annotations"] {
            if metadata.get(key).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
                metadata.shift_remove(key);
            }
        }
    }
    bare
}

/// Whether two states of an object say the same, whoever wrote it and whatever its status.
pub fn same_content(a: &Value, b: &Value) -> bool {
    bare(a) == bare(b)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        })
    }
}
