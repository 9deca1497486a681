//! Our own MachineConfigs: what the controller cannot write, laid over what it does write (domain.md 8.4). A node takes one
//! policy.json as a whole, so ours repeats the controller's and adds to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use ring::digest::{Context, SHA256};
use serde_json::{Map, Value, json};

use super::pools::{self, member};
use super::signed_registries::{self, Signed};
use super::{Compiled, Generated, Note, NoteKind, RegistrySources, controller, policy, scopes};
use crate::model::keyrings::{KeyringProblem, inspect_keyring};
use crate::model::machine_config::{INPUTS, MADE_FROM, ROLE, ignition, ignition_files, overlay_name};
use crate::model::node_files::{
    LOOKASIDE_REGISTRIES, NodeFiles, PolicyFile, PolicyForm, REGISTRIES_D, SHIPPED_KEYRING, SHIPPED_LOOKASIDES,
    SIGSTORE_REGISTRIES, file_name,
};
use crate::model::policy::{KeySource, PolicyRequirement, RootOfTrust};
use crate::model::policy_write::{Style, write_policy};
use crate::model::private_keys::contains_private_key;
use crate::model::provenance::{Cause, Provenance, Refusal, RefusalReason, RefusedBy};
use crate::model::registries_d::{RegistriesD, SignatureStorage};
use crate::model::registries_write;
use crate::model::release::Release;
use crate::snapshot::{Delivery, Kind, Object, Origin, Snapshot, api};

/// What our MachineConfigs deliver, the same for every pool.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// The files that they write.
    pub delivered: Generated,
    /// What nodes then read: the controller's files with ours over them.
    pub composed: Arc<NodeFiles>,
    /// What `signedRegistries` asks for, bytewise by scope.
    pub signed: Vec<Signed>,
    /// A hash of what all of it follows from, in hexadecimal: equal for equal policies, whatever the release writes them like.
    pub inputs: String,
    /// The objects that no API holds, as they are written.
    pub objects: Vec<Value>,
    /// What it was made with.
    pub delivery: Delivery,
}

/// No object of the API may be larger than what etcd takes, and a rendered MachineConfig holds all files of a pool (domain.md 3.1).
const LARGEST_MACHINE_CONFIG: usize = 1_572_864;
/// Of the annotation [`MADE_FROM`].
const LARGEST_RECORD: usize = 200 << 10;
/// Of the same, unpacked.
const LARGEST_UNPACKED: u64 = 16 << 20;

pub(super) fn plugin_refusal(reason: RefusalReason, text: String, causes: Vec<Cause>) -> Refusal {
    Refusal { by: RefusedBy::Plugin, reason, text, causes }
}

fn refused(text: impl Into<String>, causes: Vec<Cause>) -> Vec<Refusal> {
    vec![plugin_refusal(RefusalReason::SignedRegistries, text.into(), causes)]
}

/// Whether a MachineConfig is one of ours: by its name and its annotation, so that nobody else's is ever touched.
pub fn is_ours(object: &Object<api::MachineConfig>) -> bool {
    object.metadata.annotations.contains_key(INPUTS) && has_our_name(object)
}

/// Whether it has the name that ours would have.
pub fn has_our_name(object: &Object<api::MachineConfig>) -> bool {
    object.metadata.labels.get(ROLE).is_some_and(|role| object.metadata.name == overlay_name(role))
}

/// Puts together what `signedRegistries` and delivered objects ask for; `None` where nothing asks for anything, or where the
/// controller refuses, so that there is nothing to lay it over.
///
/// # Errors
/// What contradicts itself or the rest, as refusals by this program.
pub(super) fn compose(snapshot: &Snapshot, compiled: &mut Compiled) -> Result<Option<Overlay>, Vec<Refusal>> {
    let signed = signed_registries::read(snapshot)?;
    let delivers = snapshot.beneath.is_some();
    let wants = signed.as_ref().is_some_and(|signed| !signed.is_empty()) || delivers || snapshot.delivery.always;
    let Ok(generated) = &compiled.generated else { return Ok(None) };
    if !wants {
        return Ok(None);
    }
    let signed = signed.unwrap_or_default();
    let release = compiled.release;
    let virtual_compiled;
    let (base, sources): (&Generated, &RegistrySources) = if delivers {
        virtual_compiled = controller(snapshot, release.for_overlay());
        match &virtual_compiled.generated {
            Ok(base) => (base, &virtual_compiled.sources),
            Err(refusals) => {
                let ours = |refusal: &Refusal| Refusal { by: RefusedBy::Plugin, ..refusal.clone() };
                return Err(refusals.iter().map(ours).collect());
            }
        }
    } else {
        (generated, &compiled.sources)
    };
    let mut refusals = signed_registries::conflicts(&signed, sources);
    if delivers {
        refusals.extend(unreadable_on_old_nodes(snapshot, release));
    }
    let delivery = delivery(snapshot);
    let mut file = base
        .files
        .policy
        .clone()
        .unwrap_or_else(|| PolicyFile { policy: policy::shipped(), form: PolicyForm::Template });
    if !signed.is_empty() {
        refusals.extend(signed_registries::compose(&mut file.policy, &signed, &delivery).err().into_iter().flatten());
    }
    if file.form == PolicyForm::Compact || !signed.is_empty() {
        // Ours is for people as well.
        file.form = PolicyForm::Indented(2);
    }
    let mut ours = NodeFiles {
        policy: Some(file),
        namespaces: base.files.namespaces.clone(),
        keys: keys(&signed, &delivery),
        ..NodeFiles::default()
    };
    if let Some(attachments) = base.files.registries_d.get(file_name(SIGSTORE_REGISTRIES))
        && (delivers || snapshot.delivery.always)
    {
        // At the controller's own path, so that no key ever stands in two files.
        ours.registries_d.insert(file_name(SIGSTORE_REGISTRIES).into(), attachments.clone());
    }
    if delivers {
        deliver_registries(snapshot, base, generated, &mut ours);
    }
    match lookasides(snapshot, base, &delivery) {
        Ok(None) => {}
        Ok(Some(file)) => _ = ours.registries_d.insert(file_name(LOOKASIDE_REGISTRIES).into(), file),
        Err(found) => refusals.extend(found),
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    if !signed.is_empty() {
        compiled.notes.push(release_note(release));
    }
    let objects = delivered_objects(snapshot);
    let delivered = Generated { release, files: Arc::new(ours) };
    let composed = Arc::new(laid_over(&generated.files, &delivered.files));
    let inputs = hash(&delivered.files, &objects);
    Ok(Some(Overlay { delivered, composed, signed, inputs, objects, delivery }))
}

/// The controller's files with ours over them.
fn laid_over(generated: &NodeFiles, ours: &NodeFiles) -> NodeFiles {
    let mut all = generated.clone();
    let NodeFiles { policy, namespaces, registries_conf, registries_conf_d, registries_d, keys, .. } = ours.clone();
    all.policy = policy.or(all.policy);
    // Every namespace's file is among ours: those of the controller rest on its own policy.
    all.namespaces = namespaces;
    all.registries_conf = registries_conf.or(all.registries_conf);
    all.registries_conf_d.extend(registries_conf_d);
    all.registries_d.extend(registries_d);
    all.keys = keys;
    all
}

/// What the seed leaves to its release notes.
fn release_note(release: &Release) -> Note {
    Note {
        kind: NoteKind::SignedRegistries,
        text: format!(
            "signedRegistries is known to no release, {release} among them: its API server refuses the field and its controller \
             ignores it. Nodes ask for these GPG signatures only while our MachineConfigs 99-POOL-imagepolicy are there"
        ),
        causes: Vec::new(),
    }
}

/// What the nodes of a release cannot read, however it is delivered (domain.md 4.1, 5.1).
fn unreadable_on_old_nodes(snapshot: &Snapshot, release: &Release) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let policies = snapshot.cluster_image_policies.iter().chain(&snapshot.image_policies);
    let in_beneath = |policy: &Object<api::ImagePolicy>| {
        let Some(beneath) = &snapshot.beneath else { return false };
        let same = |other: &Object<api::ImagePolicy>| other.reference == policy.reference && other.raw == policy.raw;
        beneath.cluster_image_policies.iter().chain(&beneath.image_policies).any(same)
    };
    for policy in policies {
        let path = "spec.policy.rootOfTrust.policyType";
        let at = |path: &str, value: &str| {
            vec![Cause { object: Arc::clone(&policy.reference), path: path.to_string(), value: value.to_string() }]
        };
        if policy.value.spec.policy.root_of_trust.policy_type == "PKI" && !release.pki && !in_beneath(policy) {
            let text = format!(
                "nodes of OpenShift {release} cannot read a policy with PKI: every pull would fail with `Unknown key \"pki\"`"
            );
            refusals.extend(refused(text, at(path, "PKI")));
        }
        if policy.reference.namespace.is_some() && !release.reads_namespace_policies && !in_beneath(policy) {
            let text = format!("nodes of OpenShift {release} have no policies of namespaces");
            refusals.extend(refused(text, at("metadata.namespace", &policy.metadata.namespace)));
        }
    }
    refusals
}

/// registries.conf and the search list, where delivered objects ask for other ones than the API's.
fn deliver_registries(snapshot: &Snapshot, base: &Generated, generated: &Generated, ours: &mut NodeFiles) {
    let is_delivered =
        |kind: Kind| delivered_objects(snapshot).iter().any(|object| Kind::of_object(object) == Some(kind));
    let kinds = [Kind::Image, Kind::ImageDigestMirrorSet, Kind::ImageTagMirrorSet, Kind::ImageContentSourcePolicy];
    if !kinds.into_iter().any(is_delivered) {
        return;
    }
    if base.files.registries_conf.is_some() || generated.files.registries_conf.is_some() {
        ours.registries_conf.clone_from(&base.files.registries_conf);
    }
    ours.registries_conf_d.clone_from(&base.files.registries_conf_d);
}

/// Objects of the snapshot that the API does not hold, as they are written, in the snapshot's order.
fn delivered_objects(snapshot: &Snapshot) -> Vec<Value> {
    let Some(beneath) = &snapshot.beneath else { return Vec::new() };
    let known: BTreeMap<_, &Value> = beneath.policy_objects().collect();
    let added = snapshot.policy_objects().filter(|(reference, raw)| known.get(reference) != Some(raw));
    added.map(|(_, raw)| plain(raw)).collect()
}

/// An object without what a server adds.
fn plain(raw: &Value) -> Value {
    let mut object = Map::new();
    for key in ["apiVersion", "kind"] {
        object.insert(key.into(), raw.get(key).cloned().unwrap_or_default());
    }
    let mut metadata = Map::new();
    for key in ["name", "namespace", "labels", "annotations"] {
        if let Some(value) = raw.get("metadata").and_then(|metadata| metadata.get(key)) {
            metadata.insert(key.into(), value.clone());
        }
    }
    object.insert("metadata".into(), Value::Object(metadata));
    if let Some(spec) = raw.get("spec") {
        object.insert("spec".into(), spec.clone());
    }
    Value::Object(object)
}

/// What flags say, over what our MachineConfigs in the snapshot were made with.
fn delivery(snapshot: &Snapshot) -> Delivery {
    let Delivery { keys, lookaside, inline_keys, always } = snapshot.delivery.clone();
    let mut all =
        snapshot.machine_configs.iter().find(|object| is_ours(object)).map(recorded_delivery).unwrap_or_default();
    all.keys.extend(keys);
    all.lookaside.extend(lookaside);
    all.inline_keys |= inline_keys;
    all.always = always;
    all
}

fn keys(signed: &[Signed], delivery: &Delivery) -> BTreeMap<Box<str>, Arc<[u8]>> {
    let wanted: BTreeSet<&str> = signed.iter().map(|signed| &*signed.key_path).collect();
    let shipped = delivery.keys.iter().filter(|(path, _)| wanted.contains(path.as_str()) && !delivery.inline_keys);
    shipped.map(|(path, keyring)| (path.as_str().into(), keyring.as_slice().into())).collect()
}

/// Our file of registries.d.
fn lookasides(snapshot: &Snapshot, base: &Generated, delivery: &Delivery) -> Result<Option<RegistriesD>, Vec<Refusal>> {
    const ASKED: Provenance = Provenance::Default("--lookaside");
    if delivery.lookaside.is_empty() {
        return Ok(None);
    }
    let others = registries_d_keys(snapshot, base);
    let mut refusals = Vec::new();
    let mut docker = Vec::new();
    for (scope, url) in &delivery.lookaside {
        if let Some(file) = others.get(scope.as_str()) {
            let text = format!(
                "--lookaside {scope}: {file} has the key {scope} already, and every pull fails where two files of registries.d have the same"
            );
            refusals.extend(refused(text, Vec::new()));
        } else if !is_lookaside(url) {
            let text = format!(
                "--lookaside {scope}: {url:?} is not a URL that a node reads signatures from (http://, https:// or file:///)"
            );
            refusals.extend(refused(text, Vec::new()));
        } else {
            let storage = SignatureStorage {
                lookaside: Some(url.as_str().into()),
                from: vec![ASKED],
                ..SignatureStorage::default()
            };
            docker.push((scope.as_str().into(), storage));
        }
    }
    if refusals.is_empty() { Ok(Some(RegistriesD { docker, ..RegistriesD::default() })) } else { Err(refusals) }
}

fn is_lookaside(url: &str) -> bool {
    let rest = ["https://", "http://", "file:///"].into_iter().find_map(|scheme| url.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty()) && !url.contains(|c: char| c.is_control() || c.is_whitespace())
}

/// Key → the file of registries.d that has it: the controller's, those of other MachineConfigs, and those that RHCOS ships
/// (domain.md 4.4, P18).
fn registries_d_keys(snapshot: &Snapshot, base: &Generated) -> BTreeMap<String, String> {
    let mut keys: BTreeMap<String, String> = SHIPPED_LOOKASIDES
        .map(|key| (key.to_string(), format!("{REGISTRIES_D}/{key}.yaml, which RHCOS ships,")))
        .into();
    if let Some(attachments) = base.files.registries_d.get(file_name(SIGSTORE_REGISTRIES)) {
        let scopes = attachments.docker.iter().map(|(scope, _)| (scope.to_string(), SIGSTORE_REGISTRIES.to_string()));
        keys.extend(scopes);
    }
    let others = snapshot
        .machine_configs
        .iter()
        .filter(|object| !object.metadata.name.starts_with("rendered-") && !is_ours(object));
    for object in others {
        for file in ignition_files(&object.value.spec.config).filter(|file| file.path.starts_with(REGISTRIES_D)) {
            let Some(crate::model::machine_config::Contents::Url(url)) = file.contents else { continue };
            let from = Provenance::Default("");
            let Some(read) = url.decode().ok().and_then(|bytes| RegistriesD::read(&bytes, &from).ok()) else {
                continue;
            };
            let place = format!("{} of MachineConfig {}", file.path, object.metadata.name);
            keys.extend(read.docker.into_iter().map(|(scope, _)| (scope.to_string(), place.clone())));
        }
    }
    keys
}

/// Hash of files in one fixed form, so that an update of the cluster alone changes nothing.
fn hash(files: &NodeFiles, objects: &[Value]) -> String {
    let style = Style { form: PolicyForm::Compact, pki_writes_empty_keys: false };
    let mut context = Context::new(&SHA256);
    let mut part = |name: &str, bytes: &[u8]| {
        for piece in [name.as_bytes(), bytes] {
            context.update(&(piece.len() as u64).to_be_bytes());
            context.update(piece);
        }
    };
    if let Some(file) = &files.policy {
        let mut bytes = Vec::new();
        // Writing to memory does not fail.
        let _ = write_policy(&mut bytes, &file.policy, None, style);
        part("policy", &bytes);
    }
    for (namespace, file) in &files.namespaces {
        let mut bytes = Vec::new();
        if let crate::model::node_files::NamespaceFile::Additions { scopes, .. } = file {
            let empty = crate::model::policy::Policy::default();
            let _ = write_policy(&mut bytes, &empty, Some(scopes), style);
        }
        part(namespace, &bytes);
    }
    for (name, file) in &files.registries_d {
        part(name, registries_write::registries_d(file).as_bytes());
    }
    if let Some(conf) = &files.registries_conf {
        part("registries.conf", registries_write::registries_conf(conf, false).as_bytes());
    }
    for (name, conf) in &files.registries_conf_d {
        part(name, registries_write::registries_conf(conf, false).as_bytes());
    }
    for (path, keyring) in &files.keys {
        part(path, keyring);
    }
    part("objects", &serde_json::to_vec(objects).unwrap_or_default());
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Our MachineConfigs as objects, for the pools that need one of their own: built-in ones, and custom pools where a MachineConfig
/// of their own role would win over the worker's (domain.md 8.4.10).
///
/// # Errors
/// What is too large for an object of the API, or would spread a private key.
pub fn machine_configs(
    snapshot: &Snapshot,
    compiled: &Compiled,
    overlay: &Overlay,
) -> Result<Vec<Value>, Vec<Refusal>> {
    let spread = overlay.delivered.files.keys.iter().find(|(_, keyring)| has_private_key(keyring));
    if let Some((path, _)) = spread {
        return Err(refused(
            format!("the keyring for {path} holds a private key, which would be copied to every node"),
            Vec::new(),
        ));
    }
    let record = record(snapshot, overlay)?;
    let config = ignition(overlay.delivered.contents(), compiled.release);
    let object = |pool: String| {
        json!({
            "apiVersion": "machineconfiguration.openshift.io/v1",
            "kind": "MachineConfig",
            "metadata": {
                "name": overlay_name(&pool),
                "labels": {ROLE: pool},
                "annotations": {INPUTS: overlay.inputs, MADE_FROM: record},
            },
            "spec": {"config": config},
        })
    };
    let objects: Vec<Value> = pools::with_overlay(snapshot, compiled, overlay).into_iter().map(object).collect();
    if let Some(first) = objects.first() {
        let size = serde_json::to_vec(first).map_or(0, |bytes| bytes.len());
        if size > LARGEST_MACHINE_CONFIG {
            let text = format!(
                "MachineConfig {} would have {size} bytes, more than the {LARGEST_MACHINE_CONFIG} that the cluster takes",
                first.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
            );
            return Err(refused(text, Vec::new()));
        }
    }
    Ok(objects)
}

/// The pools for which there are MachineConfigs of ours.
pub fn pools_of(snapshot: &Snapshot, compiled: &Compiled, overlay: &Overlay) -> Vec<String> {
    pools::with_overlay(snapshot, compiled, overlay)
}

fn has_private_key(keyring: &[u8]) -> bool {
    contains_private_key(keyring) || inspect_keyring(keyring) == Err(KeyringProblem::PrivateKey)
}

/// What an overlay was made from, so that it is known later: objects that no API holds, and what flags said.
fn record(snapshot: &Snapshot, overlay: &Overlay) -> Result<String, Vec<Refusal>> {
    let inline: BTreeMap<&str, String> = match overlay.delivery.inline_keys {
        true => overlay.delivery.keys.iter().map(|(path, key)| (path.as_str(), STANDARD.encode(key))).collect(),
        false => BTreeMap::new(),
    };
    // Which of them stand in for an object that the API has as well: any other one is the API's as soon as the API has it.
    let is_in_api = |object: &&Value| {
        let beneath = snapshot.beneath.as_ref().zip(Kind::of_object(object));
        beneath.is_some_and(|(beneath, kind)| beneath.has_object(kind, object))
    };
    let replaces: Vec<String> = overlay.objects.iter().filter(is_in_api).map(name_of).collect();
    let record = json!({"objects": overlay.objects, "replaces": replaces, "lookaside": overlay.delivery.lookaside, "inlineKeys": inline});
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let _ = gzip.write_all(&serde_json::to_vec(&record).unwrap_or_default());
    let text = STANDARD.encode(gzip.finish().unwrap_or_default());
    if text.len() > LARGEST_RECORD {
        let text = format!(
            "the objects that the overlay is made from take {} bytes when compressed, more than the {LARGEST_RECORD} that fit beside it",
            text.len()
        );
        return Err(refused(text, Vec::new()));
    }
    Ok(text)
}

/// The objects that a MachineConfig of ours was made from; nothing where it records none or the record is damaged.
pub fn recorded_objects(object: &Object<api::MachineConfig>) -> Vec<Value> {
    match recorded(object).and_then(|mut record| record.get_mut("objects").map(Value::take)) {
        Some(Value::Array(objects)) => objects,
        _ => Vec::new(),
    }
}

fn recorded_delivery(object: &Object<api::MachineConfig>) -> Delivery {
    let mut delivery = Delivery::default();
    let record = recorded(object).unwrap_or_default();
    let texts = |key: &str| record.get(key).and_then(Value::as_object).into_iter().flatten();
    for (scope, url) in texts("lookaside") {
        delivery.lookaside.insert(scope.clone(), url.as_str().unwrap_or_default().to_string());
    }
    for (path, data) in texts("inlineKeys") {
        let keyring = data.as_str().and_then(|data| STANDARD.decode(data).ok()).unwrap_or_default();
        delivery.keys.insert(path.clone(), keyring);
    }
    delivery.inline_keys = !delivery.keys.is_empty();
    for file in member(object, &|path| !pools::is_read_by_nodes(path)).files {
        if let Some(crate::model::machine_config::Contents::Url(url)) = file.contents
            && let Ok(keyring) = url.decode()
        {
            delivery.keys.insert(file.path.into_owned(), keyring);
        }
    }
    delivery
}

fn recorded(object: &Object<api::MachineConfig>) -> Option<Value> {
    let text = object.metadata.annotations.get(MADE_FROM).filter(|text| text.len() <= LARGEST_RECORD)?;
    let packed = STANDARD.decode(text).ok()?;
    let mut plain = Vec::new();
    GzDecoder::new(packed.as_slice()).take(LARGEST_UNPACKED).read_to_end(&mut plain).ok()?;
    serde_json::from_slice(&plain).ok()
}

/// `Kind/name` or `Kind/namespace/name`.
fn name_of(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let namespace = text("/metadata/namespace");
    let namespace = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    format!("{}/{namespace}{}", text("/kind"), text("/metadata/name"))
}

/// Takes in the objects that our MachineConfigs in the snapshot record. An object that the API did not have then and has by now is
/// the API's.
pub fn unfold(snapshot: &mut Snapshot) {
    let Some(ours) = snapshot.machine_configs.iter().find(|object| is_ours(object)) else { return };
    let origin = ours.origin.clone();
    let record = recorded(ours).unwrap_or_default();
    let replaces: BTreeSet<&str> =
        record.get("replaces").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let counts = |object: &Value| {
        Kind::of_object(object)
            .is_some_and(|kind| !snapshot.has_object(kind, object) || replaces.contains(&*name_of(object)))
    };
    let objects: Vec<(Value, Origin)> =
        recorded_objects(ours).into_iter().filter(counts).map(|object| (object, origin.clone())).collect();
    if objects.is_empty() {
        return;
    }
    if let Err(error) = snapshot.deliver(objects) {
        snapshot.warnings.push(format!("what our MachineConfig was made from cannot be read: {error}"));
    }
}

/// Whether the cluster's own controller makes anything of objects of a kind.
pub fn is_read_by_controller(snapshot: &Snapshot, release: &Release, kind: Kind) -> bool {
    let policies = || release.cluster_image_policies && scopes::gate_is_on(snapshot, release);
    match kind {
        Kind::ClusterImagePolicy => policies(),
        Kind::ImagePolicy => release.image_policies && policies(),
        _ => true,
    }
}

/// Lets our MachineConfigs deliver the policies that the controller of the cluster does not read, and says whether there are any.
pub fn deliver_what_is_not_read(snapshot: &mut Snapshot, release: &Release) -> bool {
    let cluster = is_read_by_controller(snapshot, release, Kind::ClusterImagePolicy);
    let namespaced = is_read_by_controller(snapshot, release, Kind::ImagePolicy);
    let unread = (!cluster && !snapshot.cluster_image_policies.is_empty())
        || (!namespaced && !snapshot.image_policies.is_empty());
    if !unread {
        return false;
    }
    let mut beneath = snapshot.beneath.take().unwrap_or_else(|| Box::new(snapshot.clone()));
    for policy in snapshot.cluster_image_policies.iter().filter(|_| !cluster) {
        beneath.remove(Kind::ClusterImagePolicy, "", &policy.metadata.name);
    }
    for policy in snapshot.image_policies.iter().filter(|_| !namespaced) {
        beneath.remove(Kind::ImagePolicy, &policy.metadata.namespace, &policy.metadata.name);
    }
    snapshot.beneath = Some(beneath);
    true
}

/// A keyring that policies of ours name and that we do not deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingKey {
    /// On the node.
    pub path: Arc<str>,
    /// The MachineConfig that delivers it, where there is one, or that RHCOS ships it.
    pub delivered_by: Option<String>,
    /// Whether the folder is emptied when a node boots.
    pub is_lost_at_boot: bool,
}

/// A place for keyrings whose change makes no node reboot (domain.md 3.2).
pub const REBOOT_FREE_KEY: &str = "/etc/machine-config-daemon/no-reboot/containers-gpg.pub";

/// The keyrings that `signedRegistries` names and that our MachineConfigs do not bring along.
pub fn missing_keys(snapshot: &Snapshot, overlay: &Overlay) -> Vec<MissingKey> {
    if overlay.delivery.inline_keys {
        return Vec::new();
    }
    let paths: BTreeSet<&Arc<str>> = overlay.signed.iter().map(|signed| &signed.key_path).collect();
    let missing = paths.into_iter().filter(|path| !overlay.delivered.files.keys.contains_key(&***path));
    let found = |path: &Arc<str>| {
        let writes = |object: &&Object<api::MachineConfig>| {
            let name = &object.metadata.name;
            !name.starts_with("rendered-")
                && !is_ours(object)
                && !member(object, &|own| *own == **path).files.is_empty()
        };
        let writer = snapshot.machine_configs.iter().find(writes);
        let writer = writer.map(|object| format!("MachineConfig {}", object.metadata.name));
        writer.or_else(|| (**path == *SHIPPED_KEYRING).then(|| "RHCOS".to_string()))
    };
    let of = |path: &Arc<str>| MissingKey {
        path: Arc::clone(path),
        delivered_by: found(path),
        is_lost_at_boot: ["/tmp/", "/run/", "/var/run/", "/dev/shm/"].iter().any(|folder| path.starts_with(folder)),
    };
    missing.map(of).collect()
}

/// What to tell somebody about keyrings that flags bring along and that no signed scope names: a path that is mistyped, say.
pub fn unused_keys(snapshot: &Snapshot, compiled: &Compiled) -> Vec<String> {
    let signed = compiled.overlay().map(|overlay| overlay.signed.as_slice()).unwrap_or_default();
    let named: BTreeSet<&str> = signed.iter().map(|signed| &*signed.key_path).collect();
    let unused = snapshot.delivery.keys.keys().filter(|path| !named.contains(path.as_str()));
    unused.map(|path| format!("--key {path} is not used: no signedRegistries names it as gpgKeyPath")).collect()
}

impl MissingKey {
    /// What to tell somebody about it; nothing where it is known to be there.
    pub fn in_words(&self) -> Option<String> {
        if self.delivered_by.is_some() {
            return None;
        }
        let lost = if self.is_lost_at_boot { ", and what is there is lost when a node boots" } else { "" };
        let reboots = match *self.path == *REBOOT_FREE_KEY {
            true => String::new(),
            false => format!("; a change of {REBOOT_FREE_KEY} makes no node reboot, that of most other paths does"),
        };
        Some(format!(
            "nobody delivers the keyring {0} to the nodes{lost}: until it is there, every pull that needs it fails. Ship it with --key \
             {0}=FILE{reboots}",
            self.path
        ))
    }
}

/// Paths of key files that matter: those that `signedRegistries` names, that a policy of another MachineConfig names, and what our
/// own MachineConfigs write beside policies.
pub(super) fn key_paths(snapshot: &Snapshot, signed: &[Signed]) -> BTreeSet<Box<str>> {
    let mut paths: BTreeSet<Box<str>> = signed.iter().map(|signed| (*signed.key_path).into()).collect();
    for object in snapshot.machine_configs.iter().filter(|object| !object.metadata.name.starts_with("rendered-")) {
        if is_ours(object) {
            let files = member(object, &|path| !pools::is_read_by_nodes(path)).files;
            paths.extend(files.into_iter().map(|file| file.path.into_owned().into_boxed_str()));
        }
        for file in pools::foreign_policies(object) {
            for sourced in file
                .default
                .iter()
                .chain(file.transports.values().flat_map(|scopes| scopes.iter()).flat_map(|(_, own)| own.iter()))
            {
                paths.extend(named_key_files(&sourced.requirement).map(|path| path.into()));
            }
        }
    }
    paths
}

/// Key files that a requirement names.
pub fn named_key_files(requirement: &PolicyRequirement) -> impl Iterator<Item = &str> {
    let keys = match requirement {
        PolicyRequirement::SignedBy { keys, .. }
        | PolicyRequirement::SigstoreSigned { root: RootOfTrust::Keys { keys, .. }, .. } => Some(keys),
        _ => None,
    };
    let (one, many): (Option<&str>, &[Box<str>]) = match keys {
        Some(KeySource::Path(path)) => (Some(path), &[]),
        Some(KeySource::Paths(paths)) => (None, paths),
        _ => (None, &[]),
    };
    one.into_iter().chain(many.iter().map(|path| &**path))
}

/// A MachineConfig of ours in words, with what it is made from; `None` for one that is not ours.
pub fn in_words(snapshot: &Snapshot, compiled: &Compiled, machine_config: &str) -> Option<String> {
    if let Some(overlay) = compiled.overlay()
        && pools::with_overlay(snapshot, compiled, overlay).iter().any(|pool| overlay_name(pool) == machine_config)
    {
        return Some(format!("MachineConfig/{machine_config}, made from {}", made_from(overlay, snapshot)));
    }
    let object = snapshot.machine_configs.iter().find(|object| object.metadata.name == machine_config)?;
    is_ours(object).then(|| format!("MachineConfig/{machine_config}, which nothing asks for any more"))
}

/// In words, what an overlay is made from: `Image/cluster, ClusterImagePolicy/team`.
pub fn made_from(overlay: &Overlay, snapshot: &Snapshot) -> String {
    let image = snapshot.image.as_ref().filter(|_| !overlay.signed.is_empty());
    let image = image.map(|image| image.reference.to_string());
    let objects = overlay.objects.iter().map(name_of);
    image.into_iter().chain(objects).collect::<Vec<_>>().join(", ")
}
