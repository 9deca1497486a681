//! `registrySources` of the Image as the controller uses them: validity, the payload's exception (domain.md 2.2).

use std::sync::Arc;

use super::{CRASH, Note, NoteKind, attachments, causes_of, mirrors, refusal};
use crate::model::go_text::quote;
use crate::model::provenance::{Cause, FieldPath, Provenance, Refusal, RefusalReason};
use crate::model::reference::ImageReference;
use crate::model::registries_conf::LoadedRegistries;
use crate::model::release::Release;
use crate::model::scope::is_nested;
use crate::model::scope_index::ScopeIndex;
use crate::snapshot::{Snapshot, Sync};

/// The release payload: OpenShift itself, as one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// As it is written.
    pub image: String,
    /// Its repository; `None` where the image's name cannot be parsed.
    pub repository: Option<String>,
    /// Where it is written.
    pub from: Provenance,
}

/// An entry of a list, with the fields that put it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The scope.
    pub text: Arc<str>,
    /// Never empty.
    pub from: Vec<Provenance>,
}

/// The lists that the controller goes on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrySources {
    /// `None` where the Image has no such list: an empty one still makes a registries.conf.
    pub insecure: Option<Vec<Entry>>,
    /// Blocked in registries.conf.
    pub registries_blocked: Vec<Entry>,
    /// Rejected in policy.json.
    pub policy_blocked: Vec<Entry>,
    /// Accepted in policy.json: the payload's repository where the exception needs it, then the Image's list.
    pub allowed: Vec<Entry>,
    /// `containerRuntimeSearchRegistries`; `None` where the Image has no such list.
    pub search: Option<Vec<Entry>>,
    /// What makes everything that is not allowed be rejected: the Image's list, or the blocked entries of the exception.
    pub allowed_by: Vec<Provenance>,
    /// The Image's list of blocked registries.
    pub blocked_by: Vec<Provenance>,
    /// How long the list of allowed registries is to the controller, which appends the Image's list twice at bootstrap.
    pub(super) allowed_length: usize,
}

const BLOCKED: &str = "spec.registrySources.blockedRegistries[]";

/// The payload, from where the controller would take it, and at bootstrap from where else it is written.
pub(super) fn payload(snapshot: &Snapshot) -> Option<Payload> {
    let version = snapshot.cluster_version.as_ref().map(|version| {
        (&version.reference, FieldPath::new("status.desired.image"), version.value.status.desired.image.as_str())
    });
    let config = snapshot.controller_config.as_ref().map(|config| {
        (&config.reference, FieldPath::new("spec.releaseImage"), config.value.spec.release_image.as_str())
    });
    let config = if snapshot.sync() == Sync::Bootstrap { config } else { None };
    let (object, path, image) = [version, config].into_iter().flatten().find(|(_, _, image)| !image.is_empty())?;
    Some(Payload {
        image: image.to_string(),
        repository: ImageReference::parse_canonical(image).ok().map(|reference| reference.name().to_string()),
        from: Provenance::Field { object: Arc::clone(object), path },
    })
}

/// Reads the lists and makes the payload's exception.
pub(super) fn effective(
    snapshot: &Snapshot,
    release: &'static Release,
    payload: Option<&Payload>,
    notes: &mut Vec<Note>,
    refusals: &mut Vec<Refusal>,
) -> RegistrySources {
    let unparsable = payload.filter(|payload| payload.repository.is_none());
    if let Some(payload) = unparsable.filter(|_| snapshot.image.is_some() || release.skips_payload_scopes) {
        let text = "error parsing reference of release image".to_string();
        let causes = causes_of([&payload.from], &payload.image);
        refusals.push(refusal(RefusalReason::ReleaseImage, text, causes));
    }
    let Some(image) = &snapshot.image else { return RegistrySources::default() };
    let lists = &image.value.spec.registry_sources;
    let entries = |list: &Option<Vec<String>>, template: &'static str| -> Option<Vec<Entry>> {
        let entry = |(index, text): (usize, &String)| Entry {
            text: text.as_str().into(),
            from: vec![Provenance::Field {
                object: Arc::clone(&image.reference),
                path: FieldPath::indexed(template, index),
            }],
        };
        list.as_ref().map(|list| list.iter().enumerate().map(entry).collect())
    };
    let insecure = entries(&lists.insecure_registries, "spec.registrySources.insecureRegistries[]");
    let search =
        entries(&lists.container_runtime_search_registries, "spec.registrySources.containerRuntimeSearchRegistries[]");
    let listed = entries(&lists.allowed_registries, "spec.registrySources.allowedRegistries[]").unwrap_or_default();
    let blocked = entries(&lists.blocked_registries, BLOCKED).unwrap_or_default();
    let listed_length = listed.len() * if snapshot.sync() == Sync::Bootstrap { 2 } else { 1 };

    let list = |path, is_set| {
        let field = Provenance::Field { object: Arc::clone(&image.reference), path: FieldPath::new(path) };
        if is_set { vec![field] } else { Vec::new() }
    };
    let allowed_by = list("spec.registrySources.allowedRegistries", !listed.is_empty());
    let blocked_by = list("spec.registrySources.blockedRegistries", !blocked.is_empty());
    let mut sources = RegistrySources { insecure, search, allowed_by, blocked_by, ..RegistrySources::default() };
    let Some((payload, repository)) = payload.and_then(|payload| Some((payload, payload.repository.as_deref()?)))
    else {
        let (registries_blocked, policy_blocked) = (blocked.clone(), blocked);
        return RegistrySources {
            registries_blocked,
            policy_blocked,
            allowed: listed,
            allowed_length: listed_length,
            ..sources
        };
    };

    let is_about_payload: Vec<bool> = blocked.iter().map(|entry| is_nested(repository, &entry.text)).collect();
    let usable = match is_about_payload.contains(&true) {
        true => payload_has_usable_mirror(snapshot, &sources, &blocked, payload),
        false => Ok(false),
    };
    let about = || blocked.iter().zip(&is_about_payload).filter(|(_, is_about)| **is_about).map(|(entry, _)| entry);
    let causes = || about().flat_map(|entry| causes_of(&entry.from, &entry.text)).collect::<Vec<_>>();
    let usable = match usable {
        Ok(usable) => usable,
        Err(MirrorCheck::Crashes) => {
            refusals.push(refusal(RefusalReason::Crash, CRASH.into(), causes()));
            return sources;
        }
        Err(MirrorCheck::Fails(why, to_blame)) => {
            let dropped = match snapshot.sync() {
                Sync::Live => "blockedRegistries and allowedRegistries are",
                Sync::Bootstrap => "blockedRegistries is",
            };
            let text = format!(
                "{dropped} dropped as a whole: whether the payload {} has a mirror cannot be determined ({why})",
                payload.image
            );
            let causes = causes().into_iter().chain(to_blame).collect();
            notes.push(Note { kind: NoteKind::BlockedListDropped, text, causes });
            // The live controller loses allowedRegistries too; at bootstrap they are appended once more afterwards.
            if snapshot.sync() == Sync::Bootstrap {
                sources.allowed_length = listed.len();
                sources.allowed = listed;
            }
            return sources;
        }
    };
    let mut ignored = Vec::new();
    let mut excepted: Option<Entry> = None;
    for (entry, is_about_payload) in blocked.iter().zip(&is_about_payload) {
        if !is_about_payload {
            sources.policy_blocked.push(entry.clone());
        } else if !usable {
            ignored.push(entry);
            continue;
        } else {
            if *entry.text != *repository {
                sources.policy_blocked.push(entry.clone());
            }
            let new = || Entry { text: repository.into(), from: vec![payload.from.clone()] };
            excepted.get_or_insert_with(new).from.extend(entry.from.iter().cloned());
            sources.allowed_length += 1;
        }
        sources.registries_blocked.push(entry.clone());
    }
    if !ignored.is_empty() {
        let quoted: Vec<String> = ignored.iter().map(|entry| quote(&entry.text)).collect();
        let text = format!(
            "error adding [{}] to blocked registries, cannot block the repository being used by the payload",
            quoted.join(" ")
        );
        notes.push(Note { kind: NoteKind::PayloadBlockIgnored, text, causes: causes() });
    }
    if excepted.is_some() {
        let text = format!(
            "{repository}, the payload's repository, is allowed since its registry is blocked and has a mirror"
        );
        notes.push(Note { kind: NoteKind::PayloadAllowed, text, causes: causes() });
    }
    if let (Some(excepted), true) = (&excepted, sources.allowed_by.is_empty()) {
        sources.allowed_by = excepted.from.clone();
    }
    sources.allowed_length += listed_length;
    sources.allowed = excepted.into_iter().chain(listed).collect();
    sources
}

/// Why nobody knows whether the payload has a mirror.
enum MirrorCheck {
    /// The reason is logged; it lies in these fields.
    Fails(String, Vec<Cause>),
    /// No entry of registries.conf matches (P53).
    Crashes,
}

/// Whether the payload could still be pulled, its blocked registry notwithstanding: from any source that lies in no blocked entry.
fn payload_has_usable_mirror(
    snapshot: &Snapshot,
    sources: &RegistrySources,
    blocked: &[Entry],
    payload: &Payload,
) -> Result<bool, MirrorCheck> {
    let insecure = sources.insecure.as_deref().unwrap_or_default();
    let fails = |why: &dyn std::fmt::Display, to_blame| MirrorCheck::Fails(why.to_string(), to_blame);
    let conf =
        mirrors::for_payload(snapshot, insecure, blocked).map_err(|refusal| fails(&refusal.text, refusal.causes))?;
    let loaded =
        LoadedRegistries::load_one(conf.clone()).map_err(|error| fails(&error, attachments::unloadable(&conf)))?;
    let reference = ImageReference::parse_canonical(&payload.image).map_err(|error| fails(&error, Vec::new()))?;
    let entry = loaded.find(reference.name()).ok_or(MirrorCheck::Crashes)?;
    let to_blame = || entry.mirrors.iter().flat_map(|mirror| causes_of(&mirror.from, &mirror.location)).collect();
    let pull_sources = entry.pull_sources(&reference).map_err(|error| fails(&error, to_blame()))?;
    let blocked = ScopeIndex::new(blocked.iter().map(|entry| &*entry.text));
    Ok(pull_sources.iter().any(|source| !blocked.contains(source.reference.name())))
}
