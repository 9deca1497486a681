//! Snapshot → [`Compiled`]: what the machine-config-controller makes of the objects of a cluster (domain.md 2), stage by stage,
//! refusals included.

mod attachments;
mod attribution;
mod contents;
mod generated;
pub mod in_force;
mod mirrors;
pub mod overlay;
mod policy;
pub mod pools;
mod registry_sources;
mod scopes;
pub mod signed_registries;
pub mod size;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::node_files::{NodeFiles, SEARCH_REGISTRIES, SIGSTORE_REGISTRIES, file_name};
use crate::model::provenance::{Cause, FieldPath, ObjectRef, Provenance, Refusal, RefusalReason, RefusedBy};
use crate::model::registries_conf::RegistriesConf;
use crate::model::release::Release;
use crate::snapshot::{Kind, Snapshot, Sync};

pub use generated::{Generated, GeneratedFile};
pub use overlay::Overlay;
pub use registry_sources::{Entry, Payload, RegistrySources};

/// What the controller makes of a snapshot, and what our own MachineConfigs lay over it.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The release whose controller this is.
    pub release: &'static Release,
    /// The payload, whose repository is protected from being blocked; `None` where it is not known: then no such exception was
    /// made, and [`NoteKind::PayloadUnknown`] says so.
    pub payload: Option<Payload>,
    /// The lists of the Image as the controller uses them, the payload's exception applied.
    pub sources: RegistrySources,
    /// What it writes for every pool, or everything that keeps it from writing. The real one stops at the first refusal, and at a
    /// random one of several scopes; all of them are here in the order of its stages. A refusal stands here only if it would
    /// still be there once those before it are gone.
    pub generated: Result<Generated, Vec<Refusal>>,
    /// What our own MachineConfigs deliver; nothing where the controller delivers everything that is asked for, or refuses.
    pub overlay: Result<Option<Overlay>, Vec<Refusal>>,
    /// What it drops without telling anybody.
    pub notes: Vec<Note>,
    /// Paths of key files that policies name or that our MachineConfigs write.
    key_paths: BTreeSet<Box<str>>,
}

impl Compiled {
    /// Why there is nothing that nodes should have: the controller's refusals, then ours. Empty where there is.
    pub fn refusals(&self) -> Vec<Refusal> {
        let of_controller = self.generated.as_ref().err().into_iter().flatten();
        of_controller.chain(self.overlay.as_ref().err().into_iter().flatten()).cloned().collect()
    }

    /// What our own MachineConfigs deliver.
    pub fn overlay(&self) -> Option<&Overlay> {
        self.overlay.as_ref().ok().and_then(Option::as_ref)
    }

    /// Whether a file of a node has to do with image policy: those that a node reads when it pulls, and keyrings.
    pub fn concerns(&self, path: &str) -> bool {
        pools::is_read_by_nodes(path) || self.key_paths.contains(path)
    }
}

/// Something that the controller drops silently, or that this answer rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is about: lint's rules choose by it.
    pub kind: NoteKind,
    /// For a person.
    pub text: String,
    /// The objects and fields that take part.
    pub causes: Vec<Cause>,
}

/// What a [`Note`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKind {
    /// The release's controller does not know the kind.
    KindUnknown,
    /// The feature gate is off, so policies have no effect (P38).
    GateOff,
    /// A live controller without Image/cluster or ClusterVersion/version does nothing (domain.md 2.1).
    NothingDone,
    /// The payload's repository is not known, so that no exception was made for it.
    PayloadUnknown,
    /// An ImagePolicy's scope that lies in a ClusterImagePolicy's is left out (P13).
    ImagePolicyScopeIgnored,
    /// 4.16 leaves out scopes that contain the payload's repository (P19).
    PayloadScopeSkipped,
    /// A blocked entry that contains the payload's repository is left out (P30).
    PayloadBlockIgnored,
    /// A blocked entry that contains the payload's repository makes that repository an allowed one (P07).
    PayloadAllowed,
    /// The whole list of blocked registries is left out, since the payload's mirrors cannot be determined (P52).
    BlockedListDropped,
    /// A mirror set whose only mirror is its source is ignored, its mirrorSourcePolicy too (P34).
    MirrorSetIgnored,
    /// `signedRegistries` is nobody's but ours.
    SignedRegistries,
}

/// What the controller of a release writes for every pool, or why it writes nothing, and what our own MachineConfigs lay over it.
/// Depends on nothing but the arguments.
pub fn compile(snapshot: &Snapshot, release: &'static Release) -> Compiled {
    let mut compiled = controller(snapshot.beneath.as_deref().unwrap_or(snapshot), release);
    compiled.overlay = overlay::compose(snapshot, &mut compiled);
    let signed = compiled.overlay().map(|overlay| overlay.signed.as_slice()).unwrap_or_default();
    compiled.key_paths = overlay::key_paths(snapshot, signed);
    compiled
}

/// The controller alone.
fn controller(snapshot: &Snapshot, release: &'static Release) -> Compiled {
    let (overlay, key_paths) = (Ok(None), BTreeSet::new());
    let mut notes = what_is_missing(snapshot);
    let mut refusals = Vec::new();

    let payload = registry_sources::payload(snapshot);
    if payload.is_none() {
        let text = "the payload's image is not known: no exception is made for its repository".to_string();
        notes.push(Note { kind: NoteKind::PayloadUnknown, text, causes: Vec::new() });
    }
    let sources = registry_sources::effective(snapshot, release, payload.as_ref(), &mut notes, &mut refusals);
    if refusals.iter().any(|refusal| refusal.reason == RefusalReason::Crash) {
        return Compiled { release, payload, sources, generated: Err(refusals), overlay, notes, key_paths };
    }
    let policies = scopes::collect(snapshot, release, payload.as_ref(), &mut notes, &mut refusals);

    let mut files = NodeFiles::default();
    let registries = mirrors::registries_conf(snapshot, release, &sources, &mut notes);
    let registries_failed = registries.is_err();
    match registries {
        Ok(conf) => files.registries_conf = conf,
        Err(found) => refusals.extend(found),
    }
    let attach = || match registries_failed {
        true => Ok(None),
        false => attachments::registries_d(&policies, files.registries_conf.as_ref(), release),
    };
    // Both take their time with very many scopes, and neither needs the other.
    let (policy_files, attachments) = std::thread::scope(|threads| {
        let attachments = (policies.cluster.len() > MANY).then(|| threads.spawn(attach));
        let policy_files = policy::policies(&sources, &policies, payload.as_ref(), release);
        let attachments = attachments.and_then(|thread| thread.join().ok());
        (policy_files, attachments.unwrap_or_else(attach))
    });
    match policy_files {
        Ok((policy, namespaces)) => (files.policy, files.namespaces) = (policy, namespaces),
        Err(found) => refusals.extend(found),
    }
    match attachments {
        Ok(Some(attachments)) => {
            files.registries_d.insert(file_name(SIGSTORE_REGISTRIES).into(), attachments);
        }
        Ok(None) => {}
        Err(found) => refusals.extend(found),
    }
    if let Some(search) = &sources.search {
        let conf = RegistriesConf {
            unqualified_search_registries: Some(search.iter().map(|entry| entry.text.to_string()).collect()),
            short_name_mode: Some(String::new()),
            ..RegistriesConf::default()
        };
        files.registries_conf_d.insert(file_name(SEARCH_REGISTRIES).into(), conf);
    }
    let generated = if refusals.is_empty() { Ok(Generated { release, files: Arc::new(files) }) } else { Err(refusals) };
    Compiled { release, payload, sources, generated, overlay, notes, key_paths }
}

fn what_is_missing(snapshot: &Snapshot) -> Vec<Note> {
    let missing = [
        (Kind::Image, "Image/cluster", snapshot.image.is_some()),
        (Kind::ClusterVersion, "ClusterVersion/version", snapshot.cluster_version.is_some()),
    ];
    let missing = missing.into_iter().filter(|(kind, _, is_there)| !is_there && snapshot.has_read(*kind));
    let note = |(_, name, _)| Note {
        kind: NoteKind::NothingDone,
        text: format!("there is no {name}: the controller leaves everything as it is until there is one"),
        causes: Vec::new(),
    };
    if snapshot.sync() == Sync::Live { missing.map(note).collect() } else { Vec::new() }
}

/// A refusal by the controller.
fn refusal(reason: RefusalReason, text: String, causes: Vec<Cause>) -> Refusal {
    Refusal { by: RefusedBy::Controller, reason, text, causes }
}

fn cause(object: &Arc<ObjectRef>, path: FieldPath, value: &str) -> Cause {
    Cause { object: Arc::clone(object), path: path.to_string(), value: value.to_string() }
}

/// The fields among several origins as causes; what nobody asked for is none.
fn causes_of<'a>(from: impl IntoIterator<Item = &'a Provenance>, value: &str) -> Vec<Cause> {
    let fields = from.into_iter().filter_map(|provenance| match provenance {
        Provenance::Field { object, path } => Some(cause(object, *path, value)),
        Provenance::Default(_) | Provenance::File { .. } => None,
    });
    fields.collect()
}

/// What Go prints when it follows a nil pointer: the controller's container ends with it and starts again.
const CRASH: &str = "panic: runtime error: invalid memory address or nil pointer dereference";

/// Where nodes look for short names as OpenShift ships them.
const SHIPPED_SEARCH: [&str; 2] = ["registry.access.redhat.com", "docker.io"];

/// From so many scopes on a second thread is worth its while.
const MANY: usize = 5_000;
