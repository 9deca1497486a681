//! `signedRegistries` → signedBy requirements (domain.md 8): the GPG keys that an Image's list asks for, put into the policy that
//! the controller writes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use super::overlay::plugin_refusal;
use super::pools::is_read_by_nodes;
use super::{RegistrySources, cause, causes_of};
use crate::model::policy::{
    KeySource, Policy, PolicyRequirement, Requirements, SignedIdentity, Sourced, Transport, Verdict, verdict,
};
use crate::model::provenance::{Cause, FieldPath, Provenance, Refusal, RefusalReason};
use crate::model::reference::ImageReference;
use crate::model::scope::is_valid_scope;
use crate::model::scope_index::ScopeIndex;
use crate::model::scopes::Scopes;
use crate::snapshot::api::SignedRegistry;
use crate::snapshot::{Delivery, Object, Snapshot, api};

/// Where the list stands in a cluster: the API has no such field (domain.md 8.1).
pub const ANNOTATION: &str = "imagepolicy.openshift.io/signed-registries";
/// Longer ones are not read: an annotation has at most 256 KiB.
const LONGEST_LIST: usize = 256 << 10;

const REASON: RefusalReason = RefusalReason::SignedRegistries;

/// Where a list stands, as templates of paths.
struct Place {
    list: &'static str,
    item: &'static str,
    scope: &'static str,
    key: &'static str,
}

const FIELD: Place = Place {
    list: "spec.registrySources.signedRegistries",
    item: "spec.registrySources.signedRegistries[]",
    scope: "spec.registrySources.signedRegistries[].sigRequiredRegistriesOrImages[]",
    key: "spec.registrySources.signedRegistries[].gpgKeyPath",
};
const IN_ANNOTATION: Place = Place {
    list: "metadata.annotations.imagepolicy.openshift.io/signed-registries",
    item: "metadata.annotations.imagepolicy.openshift.io/signed-registries[]",
    scope: "metadata.annotations.imagepolicy.openshift.io/signed-registries[].sigRequiredRegistriesOrImages[]",
    key: "metadata.annotations.imagepolicy.openshift.io/signed-registries[].gpgKeyPath",
};

/// One scope whose images must be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// As it is written.
    pub scope: Arc<str>,
    /// Where the keyring lies on a node, absolute and without `//`.
    pub key_path: Arc<str>,
    /// Never empty.
    pub from: Vec<Provenance>,
}

/// What an Image asks for, bytewise by scope; `None` where it has no list. An empty list asks for nothing.
///
/// # Errors
/// Everything that is wrong with the list itself.
pub fn read(snapshot: &Snapshot) -> Result<Option<Vec<Signed>>, Vec<Refusal>> {
    let Some(image) = &snapshot.image else { return Ok(None) };
    let text = image.metadata.annotations.get(ANNOTATION);
    match (&image.value.spec.registry_sources.signed_registries, text) {
        // What somebody writes now replaces what was recorded before.
        (Some(list), _) => checked(image, list, &FIELD).map(Some),
        (None, Some(text)) => checked(image, &parse(image, text)?, &IN_ANNOTATION).map(Some),
        (None, None) => Ok(None),
    }
}

fn parse(image: &Object<api::Image>, text: &str) -> Result<Vec<SignedRegistry>, Vec<Refusal>> {
    let refused = |why: String| {
        let causes = vec![cause(&image.reference, FieldPath::new(IN_ANNOTATION.list), "")];
        vec![plugin_refusal(
            REASON,
            format!("the annotation {ANNOTATION} is not a list of signedRegistries: {why}"),
            causes,
        )]
    };
    if text.len() > LONGEST_LIST {
        return Err(refused("it has more than 256 KiB".into()));
    }
    // Two steps: the same lenient reading as the field's, whatever the YAML looks like. By way of YAML's own values, which hold no key
    // twice.
    let value: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| refused(error.to_string()))?;
    let value = serde_json::to_value(value).map_err(|error| refused(error.to_string()))?;
    Option::<Vec<SignedRegistry>>::deserialize(value)
        .map(Option::unwrap_or_default)
        .map_err(|error| refused(error.to_string()))
}

fn checked(image: &Object<api::Image>, list: &[SignedRegistry], place: &Place) -> Result<Vec<Signed>, Vec<Refusal>> {
    let mut refusals = Vec::new();
    let mut by_scope: BTreeMap<&str, (usize, Signed)> = BTreeMap::new();
    let mut twice: BTreeMap<&str, Vec<Cause>> = BTreeMap::new();
    let mut refuse = |text: String, path: FieldPath, value: &str| {
        refusals.push(plugin_refusal(REASON, text, vec![cause(&image.reference, path, value)]));
    };
    for (index, item) in list.iter().enumerate() {
        let key_path = key_path(&item.gpg_key_path).unwrap_or_else(|why| {
            let text = format!("signedRegistries[{index}]: invalid gpgKeyPath {:?}: {why}", item.gpg_key_path);
            refuse(text, FieldPath::indexed(place.key, index), &item.gpg_key_path);
            // What else is wrong is told, too.
            Arc::from("")
        });
        let scopes = &item.sig_required_registries_or_images;
        if scopes.is_empty() {
            let text = format!("signedRegistries[{index}]: sigRequiredRegistriesOrImages must have at least 1 item");
            refuse(text, FieldPath::indexed(place.item, index), "");
        }
        for (position, scope) in scopes.iter().enumerate() {
            let path = FieldPath::indexed_twice(place.scope, index, position);
            if let Err(why) = check_scope(scope) {
                let text = format!("signedRegistries[{index}]: invalid scope {scope:?}: {why}");
                refuse(text, path, scope);
                continue;
            }
            let from = Provenance::Field { object: Arc::clone(&image.reference), path };
            match by_scope.get_mut(scope.as_str()) {
                None => {
                    let signed =
                        Signed { scope: scope.as_str().into(), key_path: Arc::clone(&key_path), from: vec![from] };
                    by_scope.insert(scope, (index, signed));
                }
                // Twice in one item says nothing new.
                Some((first, signed)) if *first == index => signed.from.push(from),
                Some((_, signed)) => {
                    let causes = twice.entry(scope).or_insert_with(|| causes_of(&signed.from, scope));
                    causes.push(cause(&image.reference, path, scope));
                }
            }
        }
    }
    refusals.extend(twice.into_iter().map(|(scope, causes)| {
        let text = format!("signedRegistries configured for the scope {scope} more than once: a scope takes one keyring, which may hold several keys");
        plugin_refusal(REASON, text, causes)
    }));
    if refusals.is_empty() { Ok(by_scope.into_values().map(|(_, signed)| signed).collect()) } else { Err(refusals) }
}

/// The path of a keyring on a node, cleaned.
///
/// # Errors
/// Half a sentence: why it cannot be that.
pub fn key_path(path: &str) -> Result<Arc<str>, &'static str> {
    let path = clean_path(path)?;
    if is_read_by_nodes(&path) { Err("nodes read something else there, no keyring") } else { Ok(path) }
}

/// A path on a node without `//` and `/./`, which mean nothing; the seed's sample has `//tmp/key1.gpg`.
///
/// # Errors
/// Half a sentence: why it cannot be the path of a key file.
fn clean_path(path: &str) -> Result<Arc<str>, &'static str> {
    if path.is_empty() {
        return Err("it is required");
    }
    if !path.starts_with('/') {
        return Err("it must be absolute, a path on the node");
    }
    if path.contains(|c: char| c.is_control()) {
        return Err("it has control characters");
    }
    if path.ends_with('/') || path.split('/').any(|part| part == "..") {
        return Err("it must name a file, without `..`");
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.is_empty() {
        return Err("it must name a file");
    }
    Ok(format!("/{}", parts.join("/")).into())
}

/// `hostname[:port][/namespace[/imagestream[:tag]]]`, or `*.domain`: what a node can look an image up under. A digest works there
/// as well as a tag.
///
/// # Errors
/// Half a sentence: why no image can be looked up under it.
pub fn check_scope(scope: &str) -> Result<(), String> {
    if scope.is_empty() {
        return Err("it is empty".into());
    }
    if let Some(domain) = scope.strip_prefix("*.") {
        let is_domain = domain.split('.').all(is_label);
        return if is_domain { Ok(()) } else { Err("after `*.` only a domain may follow".into()) };
    }
    let (host, path) = scope.split_once('/').unwrap_or((scope, ""));
    let (name, port) = host.split_once(':').unwrap_or((host, "1"));
    if scope.starts_with(['[']) || !name.split('.').all(is_label) {
        return Err(format!("{name:?} is not a host name"));
    }
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err("after the host's `:` a port must follow: a tag needs a repository before it".into());
    }
    if scope.contains('/') {
        if path.is_empty() {
            return Err("it ends with `/`".into());
        }
        ImageReference::parse_literally(scope).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// What stands against the rest of what the cluster asks for: a signed scope inside of a blocked registry (domain.md 8.4.4).
pub(super) fn conflicts(signed: &[Signed], sources: &RegistrySources) -> Vec<Refusal> {
    let blocked = ScopeIndex::new(sources.policy_blocked.iter().map(|entry| &*entry.text));
    let inside = |signed: &Signed| {
        let container = &sources.policy_blocked[blocked.containing(&signed.scope).next()?];
        let text =
            format!("signedRegistries configured for the scope {} is nested inside blockedRegistries", signed.scope);
        let mut causes = causes_of(&signed.from, &signed.scope);
        causes.extend(causes_of(&container.from, &container.text));
        Some(plugin_refusal(REASON, text, causes))
    };
    signed.iter().filter_map(inside).collect()
}

/// Puts signed scopes into a policy (domain.md 8.4.1 to 8.4.8): an entry that accepts anything is replaced, requirements of
/// policies are added to, everything else stays as it is.
///
/// # Errors
/// A keyring that is to stand in the policy and is not known.
pub(super) fn compose(policy: &mut Policy, signed: &[Signed], delivery: &Delivery) -> Result<(), Vec<Refusal>> {
    let mut keys = Keys { delivery, known: HashMap::new(), refusals: Vec::new() };
    for Signed { scope, key_path, from } in signed {
        let Some(requirement) = keys.requirement(key_path, from) else { continue };
        for transport in [Transport::Docker, Transport::Atomic] {
            // Stricter than the controller's count of slashes: a scope that atomic does not take makes the whole file unusable.
            if is_valid_scope(&transport, scope) {
                let own = Sourced { requirement: Arc::clone(&requirement), from: from.clone() };
                add(policy.transports.entry(transport).or_default(), scope, own);
            }
        }
    }
    if keys.refusals.is_empty() { Ok(()) } else { Err(keys.refusals) }
}

fn add(scopes: &mut Scopes, scope: &Arc<str>, own: Sourced) {
    let all: Requirements = match scopes.get(scope) {
        Some(before) if verdict(before) == Verdict::RequiresSignature => before.iter().cloned().chain([own]).collect(),
        _ => Arc::new([own]),
    };
    scopes.insert_shared(scope, all);
}

/// Requirements by keyring, each made once.
struct Keys<'d> {
    delivery: &'d Delivery,
    known: HashMap<Arc<str>, Arc<PolicyRequirement>>,
    refusals: Vec<Refusal>,
}

impl Keys<'_> {
    fn requirement(&mut self, path: &Arc<str>, from: &[Provenance]) -> Option<Arc<PolicyRequirement>> {
        if let Some(known) = self.known.get(path) {
            return Some(Arc::clone(known));
        }
        let keys = match (self.delivery.inline_keys, self.delivery.keys.get(&**path)) {
            (false, _) => KeySource::Path((**path).into()),
            (true, Some(keyring)) => KeySource::Data(keyring.as_slice().into()),
            (true, None) => {
                let text = format!(
                    "the keyring {path} cannot stand in the policy: nobody says what is in it (--key {path}=FILE)"
                );
                self.refusals.push(plugin_refusal(REASON, text, causes_of(from, path)));
                return None;
            }
        };
        // Written out, as Go writes a policy that it has read; to leave it out would mean the same (domain.md 8.3).
        let identity = Some(SignedIdentity::MatchRepoDigestOrExact);
        let requirement = Arc::new(PolicyRequirement::SignedBy { key_type: "GPGKeys".into(), keys, identity });
        self.known.insert(Arc::clone(path), Arc::clone(&requirement));
        Some(requirement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, expected) in [
            ("/tmp/key1.gpg", Ok("/tmp/key1.gpg")),
            ("//tmp/key1.gpg", Ok("/tmp/key1.gpg")),
            ("/a//./b/../c", Err(())),
            ("/a/./b", Ok("/a/b")),
            ("", Err(())),
            ("/", Err(())),
            ("/a/", Err(())),
            ("key.gpg", Err(())),
            ("/a\nb", Err(())),
        ] {
            assert_eq!(clean_path(path).as_deref().map_err(|_| ()), expected, "{path}");
        }
    }

    #[test]
    fn keyrings_lie_nowhere_that_nodes_read_policies() {
        for path in [
            "/etc/containers/policy.json",
            "//etc//containers/policy.json",
            "/etc/containers/registries.conf",
            "/etc/containers/registries.d/imagepolicy.yaml",
            "/etc/containers/registries.conf.d/a.conf",
            "/etc/crio/policies/shop.json",
        ] {
            assert!(key_path(path).is_err(), "{path}");
        }
        for path in ["/etc/containers/keys/a.gpg", "/etc/containers/registries.d/keys/a.gpg", "/tmp/key1.gpg"] {
            assert_eq!(key_path(path).as_deref(), Ok(path));
        }
    }

    #[test]
    fn scopes_of_the_seed_and_others() {
        for scope in [
            "example.com",
            "image-registry.openshift-image-registry.svc:5000",
            "quay.io/sign/repository:latest",
            "quay.io/a/b/c/d",
            "localhost:5000/a",
            "*.example.com",
            "quay.io/a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(check_scope(scope), Ok(()), "{scope}");
        }
        for scope in [
            "",
            "example.com:latest",
            "example.com:",
            "example.com/",
            "https://example.com",
            "*",
            "*.example.com/a",
            "quay.io/*",
            "quay.io/A",
            "quay.io/a:",
            "-a.io",
            "a..io",
            "exämple.com",
            "quay.io/a@sha256:aa",
        ] {
            assert!(check_scope(scope).is_err(), "{scope}");
        }
    }
}
