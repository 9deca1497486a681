//! ClusterImagePolicy and ImagePolicy → requirements by scope (domain.md 2.3, 2.5).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{CRASH, Note, NoteKind, Payload, cause, causes_of, refusal};
use crate::model::encoding::bytewise_order;
use crate::model::go_text::quote;
use crate::model::policy::{KeySource, PolicyRequirement, Requirements, RootOfTrust, SignedIdentity, Sourced};
use crate::model::provenance::{FieldPath, Provenance, Refusal, RefusalReason, RefusedBy};
use crate::model::reference::{ImageReference, is_remap_prefix};
use crate::model::release::Release;
use crate::model::scope::is_nested;
use crate::model::scope_index::ScopeIndex;
use crate::snapshot::api::{PolicyBody, PolicyIdentity};
use crate::snapshot::{Kind, Object, Snapshot, Source, api};

/// The feature gate of both kinds.
const GATE: &str = "SigstoreImageVerification";
const SCOPES: &str = "spec.scopes[]";

/// What the policies ask for.
#[derive(Debug, Default)]
pub(super) struct Policies<'a> {
    /// Bytewise by scope. Several policies for one scope stand in its list in the order of the snapshot, and all must hold.
    pub(super) cluster: Vec<Scoped<'a>>,
    /// Bytewise by scope, then namespace.
    pub(super) namespaced: Vec<Scoped<'a>>,
}

/// What holds for one scope, of one namespace or of the cluster.
#[derive(Debug)]
pub(super) struct Scoped<'a> {
    /// Shared by all files that it stands in.
    pub(super) scope: Arc<str>,
    /// Empty for the cluster.
    pub(super) namespace: &'a str,
    pub(super) requirements: Requirements,
}

impl Scoped<'_> {
    /// The fields that ask for the scope.
    pub(super) fn from(&self) -> impl Iterator<Item = &Provenance> {
        self.requirements.iter().flat_map(|requirement| &requirement.from)
    }
}

/// Converts every policy and sorts what comes out by scope. A policy that cannot be converted is refused and left out.
pub(super) fn collect<'a>(
    snapshot: &'a Snapshot,
    release: &Release,
    payload: Option<&Payload>,
    notes: &mut Vec<Note>,
    refusals: &mut Vec<Refusal>,
) -> Policies<'a> {
    if let Some(note) = unused(snapshot, release) {
        notes.push(note);
        return Policies::default();
    }
    let mut conversion = Conversion { release, known: HashSet::default(), refusals };
    let skip = payload.filter(|_| release.skips_payload_scopes).and_then(|payload| payload.repository.as_deref());
    let cluster = conversion.all(&snapshot.cluster_image_policies, |policy| {
        let (kept, skipped): (Vec<_>, Vec<_>) = policy
            .value
            .spec
            .scopes
            .iter()
            .enumerate()
            .partition(|(_, scope)| !skip.is_some_and(|payload| is_nested(payload, scope)));
        if !skipped.is_empty() {
            notes.push(skipped_scopes(policy, &skipped, skip.unwrap_or_default()));
        }
        kept
    });
    let cluster = by_scope(cluster);
    if !release.image_policies {
        if !snapshot.image_policies.is_empty() {
            notes.push(unknown_kind(Kind::ImagePolicy, release));
        }
        return Policies { cluster, namespaced: Vec::new() };
    }
    let index = match snapshot.image_policies.is_empty() {
        true => ScopeIndex::new([]),
        false => ScopeIndex::new(cluster.iter().map(|scoped| &*scoped.scope)),
    };
    let namespaced = conversion.all(&snapshot.image_policies, |policy| {
        let kept = |(position, scope): &(usize, &String)| {
            let Some(container) = index.containing(scope).next() else { return true };
            notes.push(ignored_scope(policy, *position, scope, &cluster[container]));
            false
        };
        policy.value.spec.scopes.iter().enumerate().filter(kept).collect()
    });
    Policies { namespaced: by_scope(namespaced), cluster }
}

/// Why policies are not looked at, where there are some.
fn unused(snapshot: &Snapshot, release: &Release) -> Option<Note> {
    let (cluster, namespaced) = (&snapshot.cluster_image_policies, &snapshot.image_policies);
    if cluster.is_empty() && namespaced.is_empty() {
        return None;
    }
    if !release.cluster_image_policies {
        let kind = if cluster.is_empty() { Kind::ImagePolicy } else { Kind::ClusterImagePolicy };
        return Some(unknown_kind(kind, release));
    }
    (!gate_is_on(snapshot, release)).then(|| Note {
        kind: NoteKind::GateOff,
        text: format!("ClusterImagePolicies and ImagePolicies have no effect: the feature gate {GATE} is off"),
        causes: Vec::new(),
    })
}

fn unknown_kind(kind: Kind, release: &Release) -> Note {
    let text = format!("{kind} objects have no effect: the controller of OpenShift {release} does not know them");
    Note { kind: NoteKind::KindUnknown, text, causes: Vec::new() }
}

/// On unless the FeatureGate says otherwise for the version that the cluster has (domain.md 0, interface.md 2).
pub(super) fn gate_is_on(snapshot: &Snapshot, release: &Release) -> bool {
    if !release.asks_gate {
        return true;
    }
    let version = snapshot.cluster_version.as_ref().map(|version| version.value.status.desired.version.as_str());
    let gates =
        snapshot.feature_gate.as_ref().map(|gate| gate.value.status.feature_gates.as_slice()).unwrap_or_default();
    let of_version = gates.iter().find(|gates| Some(gates.version.as_str()) == version);
    let gates = match (of_version, gates) {
        (Some(gates), _) | (None, [gates]) => gates,
        _ => return true,
    };
    let has = |names: &[api::GateName]| names.iter().any(|gate| gate.name == GATE);
    let is_listed_nowhere = !has(&gates.enabled) && !has(&gates.disabled);
    match &snapshot.source {
        Source::Manifests => !has(&gates.disabled),
        Source::Live(_) | Source::MustGather => {
            has(&gates.enabled) || (is_listed_nowhere && release.signatures_by_default)
        }
    }
}

fn skipped_scopes(policy: &Object<api::ImagePolicy>, skipped: &[(usize, &String)], payload: &str) -> Note {
    let scopes: Vec<String> = skipped.iter().map(|(_, scope)| scope.to_string()).collect();
    let path = |position| FieldPath::indexed(SCOPES, position);
    Note {
        kind: NoteKind::PayloadScopeSkipped,
        text: format!(
            "has conflict scope(s) [{}] of Openshift payload repository {payload}, skip the scope(s)",
            scopes.join(" ")
        ),
        causes: skipped.iter().map(|(position, scope)| cause(&policy.reference, path(*position), scope)).collect(),
    }
}

fn ignored_scope(policy: &Object<api::ImagePolicy>, position: usize, scope: &str, container: &Scoped) -> Note {
    let mut causes = vec![cause(&policy.reference, FieldPath::indexed(SCOPES, position), scope)];
    causes.extend(causes_of(container.from(), &container.scope));
    let relation = if *scope == *container.scope { "is" } else { "lies in" };
    let text = format!(
        "the scope {scope} of {} is ignored, since it {relation} the scope {} of a ClusterImagePolicy",
        policy.reference, container.scope
    );
    Note { kind: NoteKind::ImagePolicyScopeIgnored, text, causes }
}

/// A scope, the policy that asks for it, and where.
struct Asked<'a> {
    scope: &'a str,
    namespace: &'a str,
    requirement: Arc<PolicyRequirement>,
    from: Provenance,
}

fn by_scope(mut asked: Vec<Asked<'_>>) -> Vec<Scoped<'_>> {
    // Of one scope the cluster's policies stay in the order of the snapshot, since that shows; namespaces are sorted first.
    asked.sort_by_key(|asked| asked.namespace);
    let order = bytewise_order(asked.iter().map(|asked| asked.scope));
    let place = |position: &u32| {
        let Asked { scope, namespace, .. } = &asked[*position as usize];
        (*scope, *namespace)
    };
    let groups = order.chunk_by(|a, b| place(a) == place(b));
    let scoped = |group: &[u32]| {
        let sourced = |position: &u32| {
            let Asked { requirement, from, .. } = &asked[*position as usize];
            Sourced { requirement: Arc::clone(requirement), from: vec![from.clone()] }
        };
        let (scope, namespace) = group.first().map(place).unwrap_or_default();
        Scoped { scope: scope.into(), namespace, requirements: group.iter().map(sourced).collect() }
    };
    groups.map(scoped).collect()
}

struct Conversion<'r> {
    release: &'r Release,
    /// Equal requirements are held, compared and written once.
    known: HashSet<Arc<PolicyRequirement>, foldhash::fast::RandomState>,
    refusals: &'r mut Vec<Refusal>,
}

impl Conversion<'_> {
    fn all<'a>(
        &mut self,
        policies: &'a [Object<api::ImagePolicy>],
        mut scopes: impl FnMut(&'a Object<api::ImagePolicy>) -> Vec<(usize, &'a String)>,
    ) -> Vec<Asked<'a>> {
        let mut asked = Vec::with_capacity(policies.iter().map(|policy| policy.value.spec.scopes.len()).sum());
        for policy in policies {
            let requirement = match requirement(&policy.value.spec.policy, self.release) {
                Ok(requirement) => self.intern(requirement),
                Err(problem) => {
                    self.refusals.push(problem.refusal(policy));
                    continue;
                }
            };
            asked.extend(scopes(policy).into_iter().map(|(position, scope)| Asked {
                scope,
                namespace: &policy.metadata.namespace,
                requirement: Arc::clone(&requirement),
                from: Provenance::Field {
                    object: Arc::clone(&policy.reference),
                    path: FieldPath::indexed(SCOPES, position),
                },
            }));
        }
        asked
    }

    fn intern(&mut self, requirement: PolicyRequirement) -> Arc<PolicyRequirement> {
        if let Some(known) = self.known.get(&requirement) {
            return Arc::clone(known);
        }
        let requirement = Arc::new(requirement);
        self.known.insert(Arc::clone(&requirement));
        requirement
    }
}

/// Why a policy cannot be converted, and at which field.
struct Problem<'a> {
    by: RefusedBy,
    reason: RefusalReason,
    text: String,
    path: &'static str,
    value: &'a str,
}

impl Problem<'_> {
    fn refusal(self, policy: &Object<api::ImagePolicy>) -> Refusal {
        let causes = vec![cause(&policy.reference, FieldPath::new(self.path), self.value)];
        Refusal { by: self.by, ..refusal(self.reason, self.text, causes) }
    }
}

fn unconvertible<'a>(text: String, path: &'static str, value: &'a str) -> Problem<'a> {
    Problem { by: RefusedBy::Controller, reason: RefusalReason::PolicyConversion, text, path, value }
}

/// A member of a union that `policyType` or `matchPolicy` promises is absent; the API server would not have let it in.
fn crash<'a>(path: &'static str) -> Problem<'a> {
    Problem { by: RefusedBy::Controller, reason: RefusalReason::Crash, text: CRASH.into(), path, value: "" }
}

/// `policyItemFromSpec` (domain.md 2.5).
fn requirement<'a>(policy: &'a PolicyBody, release: &Release) -> Result<PolicyRequirement, Problem<'a>> {
    let root = root_of_trust(policy, release)?;
    let identity = signed_identity(policy.signed_identity.as_ref(), release)?;
    let Some(root) = root else {
        let text = match release.pki {
            true => "exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio, and pki must be specified",
            false => "exactly one of keyPath, keyData and fulcio must be specified",
        };
        let value = &policy.root_of_trust.policy_type;
        return Err(unconvertible(text.into(), "spec.policy.rootOfTrust.policyType", value));
    };
    Ok(PolicyRequirement::SigstoreSigned { root, identity: Some(identity) })
}

/// `None` where the controller does not know the type of root, or the key is empty.
fn root_of_trust<'a>(policy: &'a PolicyBody, release: &Release) -> Result<Option<RootOfTrust>, Problem<'a>> {
    let root = &policy.root_of_trust;
    match root.policy_type.as_str() {
        "PublicKey" => {
            const PATH: &str = "spec.policy.rootOfTrust.publicKey";
            let key = root.public_key.as_ref().ok_or_else(|| crash(PATH))?;
            let keys = data("spec.policy.rootOfTrust.publicKey.keyData", &key.key_data)?;
            let rekor = data("spec.policy.rootOfTrust.publicKey.rekorKeyData", &key.rekor_key_data)?;
            Ok(keys.map(|keys| RootOfTrust::Keys { keys, rekor }))
        }
        "FulcioCAWithRekor" => {
            const PATH: &str = "spec.policy.rootOfTrust.fulcioCAWithRekor";
            let fulcio = root.fulcio_ca_with_rekor.as_ref().ok_or_else(|| crash(PATH))?;
            let missing = |text: &str, path| unconvertible(text.into(), path, "");
            let path = "spec.policy.rootOfTrust.fulcioCAWithRekor.fulcioCAData";
            let ca = data(path, &fulcio.fulcio_ca_data)?
                .ok_or_else(|| missing("exactly one of caPath and caData must be specified", path))?;
            let subject = &fulcio.fulcio_subject;
            let path = "spec.policy.rootOfTrust.fulcioCAWithRekor.fulcioSubject.oidcIssuer";
            if subject.oidc_issuer.is_empty() {
                return Err(missing("oidcIssuer not specified", path));
            }
            let path = "spec.policy.rootOfTrust.fulcioCAWithRekor.fulcioSubject.signedEmail";
            if subject.signed_email.is_empty() {
                return Err(missing("subjectEmail not specified", path));
            }
            let path = "spec.policy.rootOfTrust.fulcioCAWithRekor.rekorKeyData";
            let rekor = data(path, &fulcio.rekor_key_data)?.ok_or_else(|| {
                missing(
                    match release.pki {
                        true => "At least one of rekorPublickeyPath, rekorPublicKeyPaths, rekorPublickeyData and rekorPublicKeyDatas must be specified if fulcio is used",
                        false => "At least one of RekorPublickeyPath and RekorPublickeyData must be specified if fulcio is used",
                    },
                    path,
                )
            })?;
            let (oidc_issuer, subject_email) =
                (subject.oidc_issuer.as_str().into(), subject.signed_email.as_str().into());
            Ok(Some(RootOfTrust::Fulcio { ca, oidc_issuer, subject_email, rekor }))
        }
        "PKI" if release.pki => {
            const PATH: &str = "spec.policy.rootOfTrust.pki";
            let pki = root.pki.as_ref().ok_or_else(|| crash(PATH))?;
            let path = "spec.policy.rootOfTrust.pki.caRootsData";
            let roots = data(path, &pki.ca_roots_data)?.ok_or_else(|| {
                unconvertible("exactly one of caRootsPath and caRootsData must be specified".into(), path, "")
            })?;
            let intermediates = data("spec.policy.rootOfTrust.pki.caIntermediatesData", &pki.ca_intermediates_data)?;
            let subject = &pki.pki_certificate_subject;
            let text = |value: &str| (!value.is_empty()).then(|| value.into());
            let (subject_email, subject_hostname) = (text(&subject.email), text(&subject.hostname));
            if subject_email.is_none() && subject_hostname.is_none() {
                let text = "at least one of subjectEmail, subjectHostname must be specified".to_string();
                return Err(unconvertible(text, "spec.policy.rootOfTrust.pki.pkiCertificateSubject", ""));
            }
            Ok(Some(RootOfTrust::Pki { roots, intermediates, subject_email, subject_hostname }))
        }
        _ => Ok(None),
    }
}

fn signed_identity<'a>(identity: Option<&'a PolicyIdentity>, release: &Release) -> Result<SignedIdentity, Problem<'a>> {
    const PATH: &str = "spec.policy.signedIdentity";
    let Some(identity) = identity else { return Ok(SignedIdentity::MatchRepoDigestOrExact) };
    match identity.match_policy.as_str() {
        "" | "MatchRepoDigestOrExact" => Ok(SignedIdentity::MatchRepoDigestOrExact),
        "MatchRepository" => Ok(SignedIdentity::MatchRepository),
        "ExactRepository" => {
            let repository = &identity.exact_repository.as_ref().ok_or_else(|| crash(PATH))?.repository;
            if let Err(error) = ImageReference::parse_expanded(repository) {
                let quoted = if release.quotes_docker_repository { &quote(repository) } else { repository };
                let text = format!(
                    "error getting signedIdentity for ExactRepository: Invalid format of dockerRepository {quoted}: {error}"
                );
                return Err(unconvertible(text, "spec.policy.signedIdentity.exactRepository.repository", repository));
            }
            Ok(SignedIdentity::ExactRepository(repository.as_str().into()))
        }
        "RemapIdentity" => {
            let remap = identity.remap_identity.as_ref().ok_or_else(|| crash(PATH))?;
            for (prefix, path) in [
                (&remap.prefix, "spec.policy.signedIdentity.remapIdentity.prefix"),
                (&remap.signed_prefix, "spec.policy.signedIdentity.remapIdentity.signedPrefix"),
            ] {
                if !is_remap_prefix(prefix) {
                    let text = format!(
                        "error getting signedIdentity for RemapIdentity: prefix {} is not valid",
                        quote(prefix)
                    );
                    return Err(unconvertible(text, path, prefix));
                }
            }
            let (prefix, signed_prefix) = (remap.prefix.as_str().into(), remap.signed_prefix.as_str().into());
            Ok(SignedIdentity::RemapIdentity { prefix, signed_prefix })
        }
        unknown => {
            let text = format!("unknown signedIdentity match policy: {unknown}");
            Err(unconvertible(text, "spec.policy.signedIdentity.matchPolicy", unknown))
        }
    }
}

/// As Go reads base64: line ends are passed over, padding is required.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// `None` for empty data. What is not base64 cannot be stored in a cluster at all.
fn data<'a>(path: &'static str, text: &'a str) -> Result<Option<KeySource>, Problem<'a>> {
    let decoded = match text.contains(['\r', '\n']) {
        true => BASE64.decode(text.replace(['\r', '\n'], "")),
        false => BASE64.decode(text),
    };
    match decoded {
        Ok(data) => Ok((!data.is_empty()).then(|| KeySource::Data(data.into()))),
        Err(error) => {
            let offset = match error {
                base64::DecodeError::InvalidByte(offset, _) => offset,
                _ => text.len(),
            };
            let text = format!("illegal base64 data at input byte {offset}");
            Err(Problem { by: RefusedBy::Api, reason: RefusalReason::Schema, text, path, value: "" })
        }
    }
}

/// By namespace, what each adds to the cluster's policy: scope → requirements.
pub(super) fn by_namespace<'p>(policies: &'p Policies) -> BTreeMap<&'p str, BTreeMap<Box<str>, Requirements>> {
    let mut namespaces: BTreeMap<&str, BTreeMap<Box<str>, Requirements>> = BTreeMap::new();
    for Scoped { scope, namespace, requirements } in &policies.namespaced {
        namespaces.entry(namespace).or_default().insert((**scope).into(), Arc::clone(requirements));
    }
    namespaces
}
