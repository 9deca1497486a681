//! The scopes that policies ask for, as rules compare them with each other and with the Image's lists.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use serde_json::Value;

use super::fix::Fix;
use super::{Context, fix};
use crate::compile::NoteKind;
use crate::model::keys::{Fingerprint, inspect_public_key};
use crate::model::provenance::{Cause, ObjectRef};
use crate::model::reference::{ImageReference, broader_scopes};
use crate::model::scope::is_nested;
use crate::model::scope_index::ScopeIndex;
use crate::snapshot::{Object, api};

/// One scope of one policy.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its text.
    pub scope: &'a str,
    /// Its place in `spec.scopes`.
    pub index: usize,
    /// The policy.
    pub policy: &'a Object<api::ImagePolicy>,
    root: usize,
    identity: usize,
}

impl Asked<'_> {
    /// `spec.scopes[3]`
    pub fn path(&self) -> String {
        format!("spec.scopes[{}]", self.index)
    }

    /// As the cause of something.
    pub fn cause(&self) -> Cause {
        Cause { object: Arc::clone(&self.policy.reference), path: self.path(), value: self.scope.to_string() }
    }

    /// Empty for a ClusterImagePolicy.
    pub fn namespace(&self) -> &str {
        &self.policy.metadata.namespace
    }
}

/// Everything that the controller looks at when it looks at policies at all; empty where the release or a feature gate makes
/// them void.
#[derive(Debug)]
pub struct Scopes<'a> {
    /// Of ClusterImagePolicies.
    pub cluster: Vec<Asked<'a>>,
    /// Of ImagePolicies, ignored ones too.
    pub tenants: Vec<Asked<'a>>,
    /// Positions in [`Scopes::cluster`].
    pub cluster_index: ScopeIndex<'a>,
    /// Positions in the list of allowed registries that the controller uses.
    pub allowed: ScopeIndex<'a>,
    /// The same of blocked registries, as policy.json has them.
    pub blocked: ScopeIndex<'a>,
    requirements: Requirements<'a>,
    of_tenants: HashMap<(&'a str, &'a str), usize, foldhash::fast::RandomState>,
    policies: HashMap<&'a ObjectRef, &'a Object<api::ImagePolicy>, foldhash::fast::RandomState>,
}

impl<'a> Context<'a> {
    /// See [`Scopes`]; put together once.
    pub fn scopes(&self) -> &Scopes<'a> {
        self.scopes.get_or_init(|| {
            let is_off = self.compiled.notes.iter().any(|note| note.kind == NoteKind::GateOff);
            let is_known = self.release.cluster_image_policies && !is_off;
            // 4.16 leaves these out (P19).
            let payload = self.compiled.payload.as_ref().filter(|_| self.release.skips_payload_scopes);
            let payload = payload.and_then(|payload| payload.repository.as_deref());
            let mut requirements = Requirements::default();
            let cluster: Vec<Asked> = asked(&self.snapshot.cluster_image_policies, &mut requirements)
                .filter(|asked| is_known && !payload.is_some_and(|payload| is_nested(payload, asked.scope)))
                .collect();
            let tenants: Vec<Asked> = asked(&self.snapshot.image_policies, &mut requirements)
                .filter(|_| is_known && self.release.image_policies)
                .collect();
            let sources = &self.compiled.sources;
            Scopes {
                cluster_index: ScopeIndex::new(cluster.iter().map(|asked| asked.scope)),
                allowed: ScopeIndex::new(sources.allowed.iter().map(|entry| &*entry.text)),
                blocked: ScopeIndex::new(sources.policy_blocked.iter().map(|entry| &*entry.text)),
                of_tenants: (tenants.iter().enumerate().rev())
                    .map(|(position, asked)| ((asked.policy.metadata.namespace.as_str(), asked.scope), position))
                    .collect(),
                policies: (self.snapshot.cluster_image_policies.iter().chain(&self.snapshot.image_policies))
                    .map(|policy| (&*policy.reference, policy))
                    .collect(),
                requirements,
                cluster,
                tenants,
            }
        })
    }
}

impl<'a> Context<'a> {
    /// The rule of a mirror set that a cause is in.
    pub fn mirror_rule(&self, cause: &Cause) -> Option<&'a api::MirrorRule> {
        let rules = self.mirror_rules.get_or_init(|| {
            let sets = self.snapshot.mirror_sets();
            sets.map(|(_, set)| (&*set.reference, set.value.spec.mirrors.as_slice())).collect()
        });
        let index = cause.path.split_once('[')?.1.split_once(']')?.0;
        rules.get(&*cause.object)?.get(index.parse::<usize>().ok()?)
    }
}

fn asked<'a>(
    policies: &'a [Object<api::ImagePolicy>],
    requirements: &mut Requirements<'a>,
) -> impl Iterator<Item = Asked<'a>> {
    policies.iter().flat_map(|policy| {
        let (root, identity) = requirements.of(policy);
        let scopes = policy.value.spec.scopes.iter().enumerate();
        scopes.map(move |(index, scope)| Asked { scope, index, policy, root, identity })
    })
}

impl<'a> Scopes<'a> {
    /// The ClusterImagePolicies' scopes that a node would go by for images in a scope if it were not written, if any: the first of
    /// those with the most specific text, all of them with [`Scopes::same`].
    pub fn cluster_around(&self, scope: &str) -> Option<usize> {
        broader_scopes(scope).find_map(|broader| self.cluster_index.position(&broader.text()))
    }

    /// The ClusterImagePolicies that ask for the scope at a position: a few of them, where they are very many.
    pub fn same(&self, position: usize) -> impl Iterator<Item = Asked<'a>> {
        let all = self.cluster_index.same(position);
        all.filter_map(|position| self.cluster.get(position).copied()).take(20)
    }

    /// How two policies differ in what they ask for.
    pub fn difference(&self, a: &Asked<'a>, b: &Asked<'a>) -> Difference {
        let keys = |root| self.requirements.keys(root);
        if a.root != b.root && keys(a.root).is_none_or(|keys_of_a| Some(keys_of_a) != keys(b.root)) {
            return Difference::Root;
        }
        if a.identity == b.identity { Difference::None } else { Difference::Identity }
    }

    /// The policy of that name, whether its scopes count or not.
    pub fn policy(&self, object: &ObjectRef) -> Option<&'a Object<api::ImagePolicy>> {
        self.policies.get(object).copied()
    }

    /// The command that takes a scope out of its policy: the policy goes with its only scope.
    pub fn drop_scope(&self, cause: &Cause) -> String {
        match self.policy(&cause.object) {
            Some(policy) if policy.value.spec.scopes.len() < 2 => fix::delete(&cause.object),
            _ => fix::remove(&cause.object, &cause.path, &cause.value),
        }
    }

    /// The same as a fix. A policy goes only where somebody looks.
    pub fn without_scope(&self, cause: &Cause, is_safe: bool) -> Fix {
        let is_only = self.policy(&cause.object).is_some_and(|policy| policy.value.spec.scopes.len() < 2);
        match is_only {
            true => Fix::risky("delete the policy, which has no other scope").delete(&cause.object),
            false => {
                let what = "take the scope out of the policy";
                let fix = if is_safe { Fix::safe(what) } else { Fix::risky(what) };
                fix.remove(&cause.object, &cause.path, cause.value.as_str())
            }
        }
    }

    /// The position of the first ImagePolicy of a namespace that asks for exactly this.
    pub fn tenant(&self, namespace: &str, scope: &str) -> Option<usize> {
        self.of_tenants.get(&(namespace, scope)).copied()
    }

    /// The policy's scope that a node goes by for an image of a pod; nothing where it goes by a list of the Image, or by nothing.
    pub fn deciding(&self, image: &ImageReference<'_>, pod: &ObjectRef) -> Option<Asked<'a>> {
        for candidate in image.candidates() {
            let text = candidate.text();
            let tenant = || pod.namespace.as_deref().and_then(|namespace| self.tenant(namespace, &text));
            if let Some(position) = self.cluster_index.position(&text) {
                return self.cluster.get(position).copied();
            }
            if let Some(position) = tenant() {
                return self.tenants.get(position).copied();
            }
            if self.allowed.position(&text).is_some() || self.blocked.position(&text).is_some() {
                return None;
            }
        }
        None
    }

    /// An image whose answer a node of the cluster takes from the scope, for pods of a namespace where one is named.
    pub fn witness(&self, scope: &str, namespace: &str) -> Option<String> {
        let is_scope = |text: &str| {
            self.cluster_index.position(text).is_some()
                || self.allowed.position(text).is_some()
                || self.blocked.position(text).is_some()
                || (!namespace.is_empty() && self.tenant(namespace, text).is_some())
        };
        images_in(scope).into_iter().find_map(|image| {
            let reference = ImageReference::parse(&image).ok()?;
            let hit = reference
                .candidates()
                .map(|candidate| candidate.text())
                .find(|text| *text == scope || is_scope(text))?;
            (hit == scope).then(|| reference.as_str().to_string())
        })
    }

    /// An image in a scope that is not written, whose answer a node takes from the one around it.
    pub fn witness_below(&self, scope: &str, around: &str) -> Option<String> {
        images_in(scope).into_iter().find_map(|image| {
            let reference = ImageReference::parse(&image).ok()?;
            let hit = reference.candidates().find_map(|candidate| self.cluster_index.position(&candidate.text()))?;
            (self.cluster.get(hit)?.scope == around).then(|| reference.as_str().to_string())
        })
    }
}

/// Names that images in a scope could have.
fn images_in(scope: &str) -> Vec<String> {
    match scope.strip_prefix('*') {
        Some(suffix) => vec![format!("registry{suffix}/app:latest"), format!("images{suffix}/team/app:latest")],
        None if !scope.contains('/') => vec![format!("{scope}/app:latest"), format!("{scope}/team/app:latest")],
        None => vec![scope.to_string(), format!("{scope}/app:latest"), format!("{scope}/app/web:latest")],
    }
}

/// Where the releases of Red Hat are, and their components.
pub const RELEASES: &str = "quay.io/openshift-release-dev/";

/// Whether OpenShift ships the policy itself. Only for ClusterImagePolicies: anybody may write an annotation.
pub fn is_shipped(policy: &Object<api::ImagePolicy>) -> bool {
    policy.metadata.namespace.is_empty()
        && (policy.metadata.annotations.keys().any(|key| key.starts_with("include.release.openshift.io/"))
            || (policy.metadata.name == "openshift"
                && policy.value.spec.scopes.iter().all(|scope| scope.starts_with(RELEASES))))
}

/// How two policies differ in what they ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Not at all.
    None,
    /// The same keys, another signedIdentity.
    Identity,
    /// Other keys.
    Root,
}

/// What policies ask for, equal things once.
#[derive(Debug, Default)]
struct Requirements<'a> {
    roots: Vec<Root<'a>>,
    root_ids: HashMap<&'a Value, usize, foldhash::fast::RandomState>,
    identity_ids: HashMap<&'a Value, usize, foldhash::fast::RandomState>,
}

/// A rootOfTrust as it is written.
#[derive(Debug)]
struct Root<'a> {
    policy: &'a Object<api::ImagePolicy>,
    /// Read only where two that are written differently are compared.
    keys: OnceLock<Option<Keys>>,
}

/// The keys of a PublicKey policy, and of its Rekor.
pub type Keys = (Fingerprint, Option<Fingerprint>);

impl<'a> Requirements<'a> {
    /// Positions that are equal for what is written equally.
    fn of(&mut self, policy: &'a Object<api::ImagePolicy>) -> (usize, usize) {
        let part =
            |name| policy.raw.pointer("/spec/policy").and_then(|policy| policy.get(name)).unwrap_or(&Value::Null);
        let next = self.roots.len();
        let root = *self.root_ids.entry(part("rootOfTrust")).or_insert(next);
        if root == next {
            self.roots.push(Root { policy, keys: OnceLock::new() });
        }
        let next = self.identity_ids.len();
        (root, *self.identity_ids.entry(part("signedIdentity")).or_insert(next))
    }

    fn keys(&self, root: usize) -> Option<Keys> {
        let root = self.roots.get(root)?;
        *root.keys.get_or_init(|| keys(root.policy))
    }
}

/// What base64 in a field stands for, lines or not.
pub fn decoded(data: &str) -> Option<Vec<u8>> {
    STANDARD.decode(data.replace(['\r', '\n'], "")).ok()
}

/// The keys of a policy, however they are written.
pub fn keys(policy: &Object<api::ImagePolicy>) -> Option<Keys> {
    let fingerprint = |data: &str| Some(inspect_public_key(&decoded(data)?).ok()?.fingerprint);
    let root = &policy.value.spec.policy.root_of_trust;
    let key = root.public_key.as_ref().filter(|_| root.policy_type == "PublicKey")?;
    let rekor = if key.rekor_key_data.is_empty() { None } else { Some(fingerprint(&key.rekor_key_data)?) };
    Some((fingerprint(&key.key_data)?, rekor))
}
