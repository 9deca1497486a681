//! Lists and policies → policy.json and the namespaces' files (domain.md 2.4, 2.6, 2.7).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::mirrors::invalid_entries;
use super::scopes::{Policies, Scoped, by_namespace};
use super::{Payload, RegistrySources, causes_of, refusal};
use crate::model::node_files::{NamespaceFile, PolicyFile, PolicyForm};
use crate::model::policy::{Policy, PolicyRequirement, Requirements, Sourced, Transport};
use crate::model::policy_write::fits_atomic;
use crate::model::provenance::{Provenance, Refusal, RefusalReason};
use crate::model::release::Release;
use crate::model::scope::is_nested;
use crate::model::scope_index::ScopeIndex;
use crate::model::scopes::Scopes;

const PREFIX: &str = "could not update policy json with new changes: ";
const NAMESPACE_PREFIX: &str = "could not update namespace policy JSON from imagepolicy: ";
/// Where nobody's object says anything.
const SHIPPED: Provenance = Provenance::Default("the policy.json that OpenShift ships");

/// policy.json, where one is written, and the files of namespaces.
type PolicyFiles = (Option<PolicyFile>, BTreeMap<Box<str>, NamespaceFile>);

/// # Errors
/// What the controller refuses, in the order of its checks.
pub(super) fn policies(
    sources: &RegistrySources,
    policies: &Policies,
    payload: Option<&Payload>,
    release: &Release,
) -> Result<PolicyFiles, Vec<Refusal>> {
    let (allowed, blocked) = (&sources.allowed, &sources.policy_blocked);
    if asks_for_nothing(sources, policies) && policies.namespaced.is_empty() {
        return Ok(PolicyFiles::default());
    }
    if let Some(refusal) = allowed_and_blocked(sources, payload) {
        return Err(vec![refusal]);
    }
    let mut refusals: Vec<Refusal> = misplaced(&policies.cluster, sources, &format!("{PREFIX}clusterimagePolicy"))
        .chain(invalid_entries(PREFIX, "blocked", blocked))
        .chain(invalid_entries(PREFIX, "allowed", allowed))
        .collect();
    refusals.extend(misplaced(&policies.namespaced, sources, &format!("{NAMESPACE_PREFIX}imagePolicy")));
    if !refusals.is_empty() {
        return Err(refusals);
    }
    Ok(unchecked(sources, policies, release))
}

/// What would be written if nothing were refused.
pub(super) fn unchecked(sources: &RegistrySources, policies: &Policies, release: &Release) -> PolicyFiles {
    let policy = match asks_for_nothing(sources, policies) {
        true => PolicyFile { policy: shipped(), form: PolicyForm::Template },
        false => PolicyFile { policy: policy(sources, &policies.cluster, release), form: release.policy_form },
    };
    let file = |(namespace, scopes): (&str, _)| {
        (namespace.into(), NamespaceFile::Additions { scopes, form: release.namespace_form })
    };
    (Some(policy), by_namespace(policies).into_iter().map(file).collect())
}

/// Whether nothing but ImagePolicies touches the policy (domain.md 2.6 step 1).
fn asks_for_nothing(sources: &RegistrySources, policies: &Policies) -> bool {
    sources.allowed.is_empty() && sources.policy_blocked.is_empty() && policies.cluster.is_empty()
}

/// Both lists at once are fine only where the payload's exception makes the allowed one.
fn allowed_and_blocked(sources: &RegistrySources, payload: Option<&Payload>) -> Option<Refusal> {
    let (allowed, blocked) = (&sources.allowed, &sources.policy_blocked);
    let repository = payload.and_then(|payload| payload.repository.as_deref());
    let is_exception =
        sources.allowed_length == 1 && allowed.first().is_some_and(|entry| Some(&*entry.text) == repository);
    if allowed.is_empty() || blocked.is_empty() || is_exception {
        return None;
    }
    let text =
        format!("{PREFIX}invalid images config: only one of AllowedRegistries or BlockedRegistries may be specified");
    let mut causes = causes_of(&sources.allowed_by, &joined(allowed));
    causes.extend(causes_of(&sources.blocked_by, &joined(blocked)));
    Some(refusal(RefusalReason::AllowedAndBlocked, text, causes))
}

fn joined(entries: &[super::Entry]) -> String {
    entries.iter().map(|entry| &*entry.text).collect::<Vec<_>>().join(", ")
}

/// Scopes outside of the allowed registries, then scopes inside of blocked ones. Neighbours with the same scope count once.
fn misplaced<'a>(
    scoped: &'a [Scoped<'a>],
    sources: &'a RegistrySources,
    subject: &'a str,
) -> impl Iterator<Item = Refusal> + 'a {
    let texts = |entries: &'a [super::Entry]| ScopeIndex::new(entries.iter().map(|entry| &*entry.text));
    let (allowed, blocked) = (texts(&sources.allowed), texts(&sources.policy_blocked));
    let groups = || scoped.chunk_by(|a, b| a.scope == b.scope);
    let causes =
        |group: &[Scoped]| group.iter().flat_map(|scoped| causes_of(scoped.from(), &scoped.scope)).collect::<Vec<_>>();
    let scope = |group: &'a [Scoped<'a>]| group.first().map(|scoped| &*scoped.scope).unwrap_or_default();
    // Neighbours mostly lie in the same entry.
    let mut last = "";
    let mut is_outside = move |scope: &str| {
        if !last.is_empty() && is_nested(scope, last) {
            return false;
        }
        let found = allowed.containing(scope).next();
        last = found.map(|position| &*sources.allowed[position].text).unwrap_or_default();
        found.is_none()
    };
    let outside =
        groups().filter(move |group| !sources.allowed.is_empty() && is_outside(scope(group))).map(move |group| {
            let text =
                format!("{subject} configured for the scope {} is not nested inside allowedRegistries", scope(group));
            let mut causes = causes(group);
            causes.extend(causes_of(&sources.allowed_by, ""));
            refusal(RefusalReason::ScopeOutsideAllowed, text, causes)
        });
    let inside = groups().filter_map(move |group| {
        let container = &sources.policy_blocked[blocked.containing(scope(group)).next()?];
        let text = format!("{subject} configured for the scope {} is nested inside blockedRegistries", scope(group));
        let mut causes = causes(group);
        causes.extend(causes_of(&container.from, &container.text));
        Some(refusal(RefusalReason::ScopeInsideBlocked, text, causes))
    });
    outside.chain(inside)
}

/// The content of [`crate::model::policy_write::TEMPLATE`].
pub(super) fn shipped() -> Policy {
    let mut daemon = Scopes::with_capacity(1);
    daemon.insert("", accept(vec![SHIPPED]));
    Policy { default: accept(vec![SHIPPED]), transports: BTreeMap::from([(Transport::DockerDaemon, daemon)]) }
}

fn accept(from: Vec<Provenance>) -> Requirements {
    Arc::new([Sourced { requirement: Arc::new(PolicyRequirement::InsecureAcceptAnything), from }])
}

/// Steps 2 to 5 of domain.md 2.6.
fn policy(sources: &RegistrySources, cluster: &[Scoped], release: &Release) -> Policy {
    let mut policy = shipped();
    let [accept, reject] = [PolicyRequirement::InsecureAcceptAnything, PolicyRequirement::Reject].map(Arc::new);
    let one = |requirement: &Arc<PolicyRequirement>, from: &[Provenance]| -> Requirements {
        Arc::new([Sourced { requirement: Arc::clone(requirement), from: from.to_vec() }])
    };
    if !sources.allowed.is_empty() && sources.policy_blocked.is_empty() {
        policy.default = one(&reject, &sources.allowed_by);
    }
    let count = sources.allowed.len() + sources.policy_blocked.len() + cluster.len();
    let mut docker = Scopes::with_capacity(count);
    let mut atomic = Scopes::with_capacity(count);
    let mut insert = |scope: &Arc<str>, requirements: Requirements| {
        if fits_atomic(scope) {
            atomic.insert_shared(scope, Arc::clone(&requirements));
        }
        docker.insert_shared(scope, requirements);
    };
    let is_of_policy = |text: &str| cluster.binary_search_by(|scoped| (*scoped.scope).cmp(text)).is_ok();
    for (text, from) in by_text(&sources.allowed).into_iter().filter(|(text, _)| !is_of_policy(text)) {
        insert(text, one(&accept, &from));
    }
    for (text, from) in by_text(&sources.policy_blocked) {
        insert(text, one(&reject, &from));
    }
    for Scoped { scope, requirements, .. } in cluster {
        insert(scope, Arc::clone(requirements));
    }
    if !docker.is_empty() || release.writes_empty_transports {
        policy.transports.insert(Transport::Docker, docker);
        policy.transports.insert(Transport::Atomic, atomic);
    }
    policy
}

/// Entries that stand in a list twice are one.
fn by_text(entries: &[super::Entry]) -> BTreeMap<&Arc<str>, Vec<Provenance>> {
    let mut by_text: BTreeMap<&Arc<str>, Vec<Provenance>> = BTreeMap::new();
    for entry in entries {
        by_text.entry(&entry.text).or_default().extend(entry.from.iter().cloned());
    }
    by_text
}
