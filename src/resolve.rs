//! What a node does when it pulls an image: which scope of its policy decides, what that requires, and where it pulls from.

use std::borrow::Cow;

use crate::model::go_text::quote;
use crate::model::node_files::{NamespaceFile, NodeFiles, POLICY_JSON, REGISTRIES_CONF, REGISTRIES_CONF_D};
use crate::model::node_files::{addition_refusals, namespace_policy_path, policy_refusals};
use crate::model::policy::{Policy, PolicyRequirement, Requirements, Sourced, Transport, Verdict, verdict};
use crate::model::policy_write::Additions;
use crate::model::provenance::{Provenance, Refusal, RefusalReason, RefusedBy};
use crate::model::reference::{Candidate, Candidates, ImageReference, ReferenceError, broader_scopes, is_short_name};
use crate::model::registries_conf::LoadedRegistries;
use crate::model::registries_d::SignatureStorages;
use crate::model::scopes::Scopes;

/// The files of a node, made ready for asking about images of pods in one namespace.
#[derive(Debug)]
pub struct Resolver<'f> {
    policy_file: String,
    policy: Lookup<'f>,
    registries: LoadedRegistries,
    storages: SignatureStorages<'f>,
}

impl<'f> Resolver<'f> {
    /// `namespace` is that of the pods; without one, or where it has no policy of its own, the cluster's policy holds.
    ///
    /// # Errors
    /// Where the node cannot read a file that it needs, so that every pull fails.
    pub fn new(files: &'f NodeFiles, namespace: Option<&str>) -> Result<Self, Vec<Refusal>> {
        let own_path = namespace.map(namespace_policy_path);
        let own = namespace.and_then(|namespace| files.namespaces.get(namespace));
        let is_own = own.is_some() || own_path.as_ref().is_some_and(|path| files.unreadable.contains_key(&**path));
        let policy_file = own_path.filter(|_| is_own).unwrap_or_else(|| POLICY_JSON.to_string());

        let mut refusals: Vec<Refusal> = files
            .unreadable
            .iter()
            .filter(|(path, refusal)| ***path == *policy_file || refusal.reason != RefusalReason::PolicyUnreadable)
            .map(|(_, refusal)| refusal.clone())
            .collect();
        let mut added = None;
        let policy = match own {
            Some(NamespaceFile::Whole(file)) => Some(&file.policy),
            Some(NamespaceFile::Additions { scopes, .. }) => {
                refusals.extend(addition_refusals(&policy_file, scopes));
                added = Some(scopes);
                files.policy.as_ref().map(|file| &file.policy)
            }
            None => files.policy.as_ref().map(|file| &file.policy),
        };
        match policy {
            Some(policy) => refusals.extend(policy_refusals(&policy_file, policy)),
            None if refusals.iter().any(|refusal| refusal.reason == RefusalReason::PolicyUnreadable) => {}
            None => refusals.push(no_policy()),
        }
        let registries = files.load_registries().map_err(|refusal| refusals.push(refusal));
        let storages = files.merge_registries_d().map_err(|refusal| refusals.push(refusal));
        match (policy, registries, storages) {
            (Some(policy), Ok(registries), Ok(storages)) if refusals.is_empty() => {
                Ok(Self { policy_file, policy: Lookup::new(policy, added), registries, storages })
            }
            _ => Err(refusals),
        }
    }

    /// The path of the policy file that holds.
    pub fn policy_file(&self) -> &str {
        &self.policy_file
    }

    /// What holds where no scope matches.
    pub fn default_requirements(&self) -> &Requirements {
        &self.policy.policy.default
    }

    /// Every scope of every transport with what holds there, by transport and scope.
    pub fn scopes(&self) -> Vec<(&Transport, Cow<'_, str>, Requirements)> {
        let Lookup { policy, docker, additions } = &self.policy;
        let mut all = Vec::new();
        for (transport, scopes) in &policy.transports {
            let is_docker = *transport == Transport::Docker;
            for (scope, own) in scopes.sorted() {
                let added = if is_docker { additions.get(&scope) } else { None };
                let list = added.map_or_else(|| own.clone(), |added| own.iter().chain(added.iter()).cloned().collect());
                all.push((transport, scope, list));
            }
        }
        for (scope, added) in additions.sorted() {
            if docker.is_none_or(|docker| docker.get(&scope).is_none()) {
                all.push((&Transport::Docker, scope, added.clone()));
            }
        }
        all
    }

    /// registries.conf as the node has it.
    pub fn registries(&self) -> &LoadedRegistries {
        &self.registries
    }

    /// Everything about one image, as a pod names it.
    ///
    /// # Errors
    /// In the engine's words, where that is not the name of an image.
    pub fn resolve<'r>(&'r self, image: &'r str) -> Result<Resolution<'r>, ReferenceError> {
        let reference = ImageReference::parse(image)?;
        let hit = self.look_up(&reference);
        let pull = self.pull(&reference);
        Ok(Resolution { image, reference, hit, pull })
    }

    /// The verdict alone, without allocating for each image; `scratch` is used again and again.
    ///
    /// # Errors
    /// In the engine's words, where that is not the name of an image.
    pub fn verdict_of(&self, image: &str, scratch: &mut String) -> Result<Verdict, ReferenceError> {
        let reference = ImageReference::parse_in(image, scratch)?;
        Ok(self.look_up(&reference).verdict())
    }

    /// Which requirements hold for an image.
    pub fn look_up(&self, reference: &ImageReference<'_>) -> Hit<'_> {
        self.policy.look_up(reference)
    }

    /// Where the node pulls an image from.
    pub fn pull(&self, reference: &ImageReference<'_>) -> Pull<'_> {
        let found = match self.registries.find(reference.name()) {
            Some(entry) => entry.pull_sources(reference).map(|sources| {
                sources.into_iter().map(|source| self.source(&source.reference, source.insecure)).collect()
            }),
            None => Ok(vec![self.source(reference, false)]),
        };
        match found {
            Ok(sources) => Pull { obstacle: obstacle(&sources), sources },
            Err(text) => Pull { obstacle: Some(text), sources: Vec::new() },
        }
    }

    fn source(&self, physical: &ImageReference<'_>, insecure: bool) -> Source<'_> {
        // Every place is looked up once more by its own name: the entry of a mirror's host may block it.
        let blocking = self.registries.find(physical.name()).filter(|entry| entry.blocked);
        let settings = self.storages.settings(physical);
        let failure = if physical.tag().is_some() && physical.digest().is_some() {
            Some("Docker references with both a tag and digest are currently not supported".to_string())
        } else {
            blocking.map(|entry| {
                format!("registry {} is blocked in {REGISTRIES_CONF} or {REGISTRIES_CONF_D}", entry.prefix)
            })
        };
        Source {
            reference: physical.as_str().into(),
            insecure,
            blocked: blocking.is_some(),
            sigstore_attachments: settings.sigstore_attachments,
            lookaside: settings.lookaside,
            failure,
            blocked_from: blocking.map_or(&[], |entry| &entry.from),
            attachments_from: settings.from,
        }
    }

    /// For a short name: what becomes of each name that the node would try instead; empty where nothing is searched.
    pub fn search(&self, image: &str) -> Vec<Searched> {
        if !is_short_name(image) {
            return Vec::new();
        }
        let name_end = image.find([':', '@']).unwrap_or(image.len());
        let (name, rest) = image.split_at_checked(name_end).unwrap_or((image, ""));
        let names: Vec<String> = match self.registries.alias(name) {
            Some(alias) => vec![[alias, rest].concat()],
            None => self.registries.search().iter().map(|registry| [registry, "/", image].concat()).collect(),
        };
        let answer = |name: &String| {
            let resolution = self.resolve(name).ok()?;
            Some(Searched {
                reference: resolution.reference.as_str().into(),
                verdict: resolution.verdict(),
                matched: resolution.matched().into_owned(),
                obstacle: resolution.pull.obstacle.clone(),
            })
        };
        names.iter().filter_map(answer).collect()
    }
}

/// A policy alone, made ready for asking which requirements hold. Whether a node can read it is not asked.
#[derive(Debug)]
pub struct Lookup<'f> {
    policy: &'f Policy,
    docker: Option<&'f Scopes>,
    /// What a namespace adds to the cluster's scopes.
    additions: Scopes,
}

impl<'f> Lookup<'f> {
    /// `additions` are what a namespace adds to the cluster's policy.
    pub fn new(policy: &'f Policy, additions: Option<&Additions>) -> Self {
        let mut added = Scopes::default();
        for (scope, requirements) in additions.into_iter().flatten() {
            added.insert(scope, requirements.clone());
        }
        Self { policy, docker: policy.transports.get(&Transport::Docker), additions: added }
    }

    /// Which requirements hold for an image.
    pub fn look_up(&self, reference: &ImageReference<'_>) -> Hit<'_> {
        if !self.has_scopes() {
            return Hit { place: Place::NoTransport, own: Some(&self.policy.default), added: None };
        }
        self.first_of(reference.candidates(), 0).unwrap_or_else(|| self.anything_else())
    }

    /// Which requirements hold for images of which nothing more specific than this scope is written. `""` stands for images that no
    /// scope matches.
    pub fn at_scope(&self, scope: &str) -> Hit<'_> {
        if !self.has_scopes() {
            return Hit { place: Place::NoTransport, own: Some(&self.policy.default), added: None };
        }
        let (own, added) = (self.docker.and_then(|docker| docker.get(scope)), self.additions.get(scope));
        match scope.is_empty() {
            false if own.is_some() || added.is_some() => Hit { place: Place::Candidate(0), own, added },
            false => self.first_of(broader_scopes(scope), 1).unwrap_or_else(|| self.anything_else()),
            true => self.anything_else(),
        }
    }

    /// The scopes that are written, each once and in no order.
    pub fn scopes(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let own = self.docker.into_iter().flat_map(Scopes::iter).map(|(scope, _)| scope);
        let is_new = |scope: &Cow<'_, str>| self.docker.is_none_or(|docker| docker.get(scope).is_none());
        own.chain(self.additions.iter().map(|(scope, _)| scope).filter(is_new))
    }

    /// Whether the scope is written.
    pub fn has(&self, candidate: Candidate<'_>) -> bool {
        self.own(candidate).is_some() || self.added(candidate).is_some()
    }

    fn has_scopes(&self) -> bool {
        self.docker.is_some() || !self.additions.is_empty()
    }

    fn first_of(&self, candidates: Candidates<'_>, first: usize) -> Option<Hit<'_>> {
        for (tried, candidate) in candidates.enumerate() {
            let (own, added) = (self.own(candidate), self.added(candidate));
            if own.is_some() || added.is_some() {
                return Some(Hit { place: Place::Candidate(first + tried), own, added });
            }
        }
        None
    }

    fn anything_else(&self) -> Hit<'_> {
        match (self.own(Candidate::Scope("")), self.added(Candidate::Scope(""))) {
            (None, None) => Hit { place: Place::Default, own: Some(&self.policy.default), added: None },
            (own, added) => Hit { place: Place::TransportDefault, own, added },
        }
    }

    fn own(&self, candidate: Candidate<'_>) -> Option<&Requirements> {
        get(self.docker?, candidate)
    }

    fn added(&self, candidate: Candidate<'_>) -> Option<&Requirements> {
        if self.additions.is_empty() { None } else { get(&self.additions, candidate) }
    }
}

fn get<'s>(scopes: &'s Scopes, candidate: Candidate<'_>) -> Option<&'s Requirements> {
    match candidate {
        Candidate::Scope(scope) => scopes.get_plain(scope),
        Candidate::Wildcard(suffix) => scopes.get_wildcard(suffix),
    }
}

fn no_policy() -> Refusal {
    Refusal {
        by: RefusedBy::Node,
        reason: RefusalReason::PolicyUnreadable,
        text: format!(
            "no policy.json file found at any of the following: {}, {}",
            quote("/root/.config/containers/policy.json"),
            quote(POLICY_JSON)
        ),
        causes: Vec::new(),
    }
}

/// What the node says where every place fails.
fn obstacle(sources: &[Source<'_>]) -> Option<String> {
    let failures: Option<Vec<&String>> = sources.iter().map(|source| source.failure.as_ref()).collect();
    let failures = failures?;
    let (last, mirrors) = failures.split_last()?;
    let primary = sources.last()?;
    if mirrors.is_empty() {
        return Some((*last).clone());
    }
    let mirrors: Vec<String> =
        sources.iter().zip(mirrors).map(|(source, failure)| format!("[{}: {failure}]", source.reference)).collect();
    Some(format!("(Mirrors also failed: {}): {}: {last}", mirrors.join("\n"), primary.reference))
}

/// The requirements that hold for one image.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'r> {
    /// Which of the candidates it was.
    pub place: Place,
    /// In the policy file, or in the cluster's policy where the namespace only adds to it.
    own: Option<&'r Requirements>,
    /// What the namespace adds.
    added: Option<&'r Requirements>,
}

/// Where the lookup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the candidate with this number, counted from 0.
    Candidate(usize),
    /// At the scope `""` of the transport, after all candidates.
    TransportDefault,
    /// At the policy's default, after all candidates and `""`.
    Default,
    /// At the policy's default, because the policy has nothing for the transport.
    NoTransport,
}

impl<'r> Hit<'r> {
    /// All of them must hold.
    pub fn requirements(&self) -> impl Iterator<Item = &'r Sourced> + use<'r> {
        self.own.into_iter().chain(self.added).flat_map(|list| list.iter())
    }

    /// What becomes of an unsigned image.
    pub fn verdict(&self) -> Verdict {
        match (self.own, self.added) {
            (Some(own), Some(added)) => worse(verdict(own), verdict(added)),
            (Some(list), None) | (None, Some(list)) => verdict(list),
            (None, None) => Verdict::Rejects,
        }
    }
}

fn worse(a: Verdict, b: Verdict) -> Verdict {
    match (a, b) {
        (Verdict::Rejects, _) | (_, Verdict::Rejects) => Verdict::Rejects,
        (Verdict::RequiresSignature, _) | (_, Verdict::RequiresSignature) => Verdict::RequiresSignature,
        (Verdict::AcceptsAnything, Verdict::AcceptsAnything) => Verdict::AcceptsAnything,
    }
}

/// Everything about one image.
#[derive(Clone, Debug)]
pub struct Resolution<'r> {
    /// As it was given.
    pub image: &'r str,
    /// As the node looks it up.
    pub reference: ImageReference<'r>,
    /// Which requirements hold.
    pub hit: Hit<'r>,
    /// Where it is pulled from.
    pub pull: Pull<'r>,
}

/// What decides about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matched<'a> {
    /// A scope of the transport `docker`; `""` is the transport's own default.
    Scope(Cow<'a, str>),
    /// The policy's default.
    Default,
}

impl Matched<'_> {
    /// The same, without borrowing.
    pub fn into_owned(self) -> Matched<'static> {
        match self {
            Self::Scope(scope) => Matched::Scope(scope.into_owned().into()),
            Self::Default => Matched::Default,
        }
    }
}

impl<'r> Resolution<'r> {
    /// The scopes of the transport `docker` that were tried, in order, up to the one that matches: the last one, if any.
    pub fn candidates(&self) -> Vec<(Cow<'_, str>, bool)> {
        let all = self.reference.candidates().map(Candidate::text);
        match self.hit.place {
            Place::NoTransport => Vec::new(),
            Place::Candidate(last) => {
                all.take(last + 1).enumerate().map(|(index, scope)| (scope, index == last)).collect()
            }
            Place::TransportDefault => all.map(|scope| (scope, false)).chain([("".into(), true)]).collect(),
            Place::Default => all.chain(["".into()]).map(|scope| (scope, false)).collect(),
        }
    }

    /// Which scope decides.
    pub fn matched(&self) -> Matched<'_> {
        match self.hit.place {
            Place::Candidate(index) => match self.reference.candidates().nth(index) {
                Some(candidate) => Matched::Scope(candidate.text()),
                None => Matched::Default,
            },
            Place::TransportDefault => Matched::Scope("".into()),
            Place::Default | Place::NoTransport => Matched::Default,
        }
    }

    /// What becomes of an unsigned image.
    pub fn verdict(&self) -> Verdict {
        self.hit.verdict()
    }

    /// All of them must hold; those of the namespace come last.
    pub fn requirements(&self) -> impl Iterator<Item = &'r Sourced> + use<'r> {
        self.hit.requirements()
    }

    /// What the node says of an image without signatures: the words of the first requirement that fails.
    pub fn failure(&self) -> Option<String> {
        self.requirements().find_map(|sourced| match *sourced.requirement {
            PolicyRequirement::InsecureAcceptAnything => None,
            PolicyRequirement::Reject => {
                Some(format!("Running image docker://{} is rejected by policy.", self.reference.familiar()))
            }
            PolicyRequirement::SignedBaseLayer { .. } => Some("signedBaseLayer not implemented yet!".into()),
            PolicyRequirement::SignedBy { .. } | PolicyRequirement::SigstoreSigned { .. } => {
                Some("A signature was required, but no signature exists".into())
            }
        })
    }
}

/// Where an image is pulled from.
#[derive(Clone, Debug)]
pub struct Pull<'r> {
    /// In the order in which the node tries them; empty where one of them cannot be rewritten.
    pub sources: Vec<Source<'r>>,
    /// In the node's words, why no place is left to pull from.
    pub obstacle: Option<String>,
}

/// One place that a node asks for an image.
#[derive(Clone, Debug)]
pub struct Source<'r> {
    /// The image there.
    pub reference: Box<str>,
    /// Whether TLS may be missing or unverified there.
    pub insecure: bool,
    /// Whether registries.conf refuses it.
    pub blocked: bool,
    /// Whether sigstore attachments are read there.
    pub sigstore_attachments: bool,
    /// Where GPG signatures are read, as registries.d has it; `None` for the node's own folder.
    pub lookaside: Option<&'r str>,
    /// In the node's words, why it is not even asked.
    pub failure: Option<String>,
    /// Who blocks it.
    pub blocked_from: &'r [Provenance],
    /// Who decided about sigstore attachments.
    pub attachments_from: &'r [Provenance],
}

/// One name that a node tries instead of a short one.
#[derive(Clone, Debug)]
pub struct Searched {
    /// As the node looks it up.
    pub reference: Box<str>,
    /// What becomes of it, unsigned.
    pub verdict: Verdict,
    /// Which scope decides.
    pub matched: Matched<'static>,
    /// In the node's words, why there is no place to pull it from.
    pub obstacle: Option<String>,
}
