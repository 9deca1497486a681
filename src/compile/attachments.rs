//! Scopes of policies × entries of registries.conf → sigstore-registries.yaml: where nodes look for sigstore signatures
//! (domain.md 2.8).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::scopes::{Policies, Scoped};
use super::{causes_of, refusal};
use crate::model::provenance::{Cause, Provenance, Refusal, RefusalReason};
use crate::model::reference::ImageReference;
use crate::model::registries_conf::{LoadedRegistries, RegistriesConf, Registry};
use crate::model::registries_d::{RegistriesD, SignatureStorage};
use crate::model::release::Release;
use crate::model::scope_index::{Container, containers};

/// Every scope of a policy, and every place that images under it are pulled from. Nothing is written where there are no scopes.
///
/// # Errors
/// One refusal for each scope whose places cannot be determined; the real controller stops at a random one of them.
pub(super) fn registries_d(
    policies: &Policies,
    conf: Option<&RegistriesConf>,
    release: &Release,
) -> Result<Option<RegistriesD>, Vec<Refusal>> {
    let mut all: Vec<&Scoped> = policies.cluster.iter().chain(&policies.namespaced).collect();
    all.sort_by(|a, b| a.scope.cmp(&b.scope));
    if all.is_empty() {
        return Ok(None);
    }
    let scopes: Vec<&[&Scoped]> = all.chunk_by(|a, b| a.scope == b.scope).collect();
    let mirrors = match conf.filter(|_| release.attachments_for_mirrors) {
        Some(conf) => Probes::new(conf).map_err(|refusal| vec![refusal])?.endpoints(&scopes)?,
        None => BTreeMap::new(),
    };
    let attached = |scope: Arc<str>, from| {
        (scope, SignatureStorage { use_sigstore_attachments: Some(true), from, ..SignatureStorage::default() })
    };
    let mut docker = Vec::with_capacity(scopes.len() + mirrors.len());
    docker.extend(scopes.iter().map(|group| {
        let from = group.iter().flat_map(|scoped| scoped.from()).cloned().collect();
        attached(Arc::clone(&group[0].scope), from)
    }));
    docker.extend(mirrors.iter().map(|(endpoint, from)| attached(endpoint.as_str().into(), from.clone())));
    Ok(Some(RegistriesD { docker, ..RegistriesD::default() }))
}

/// registries.conf as it is asked about scopes.
struct Probes<'a> {
    conf: &'a RegistriesConf,
    loaded: LoadedRegistries,
}

/// A repository or registry that images are pulled from, and who says so.
struct Endpoint {
    name: String,
    from: Vec<Provenance>,
}

/// Why a scope's places cannot be determined, and the entry that is to blame.
struct Failure<'r> {
    text: String,
    entry: Option<&'r Registry>,
}

impl<'a> Probes<'a> {
    fn new(conf: &'a RegistriesConf) -> Result<Self, Refusal> {
        let loaded = LoadedRegistries::load_one(conf.clone()).map_err(|error| {
            let text = format!("loading registries configuration \"/tmp/regtemp…\": {error}");
            refusal(RefusalReason::RegistriesConfUnreadable, text, unloadable(conf))
        })?;
        Ok(Self { conf, loaded })
    }

    /// Places that are no scopes themselves, with who asks for them.
    fn endpoints(&self, scopes: &[&[&Scoped]]) -> Result<BTreeMap<String, Vec<Provenance>>, Vec<Refusal>> {
        let mut endpoints: BTreeMap<String, Vec<Provenance>> = BTreeMap::new();
        let mut refusals = Vec::new();
        let nested = self.nested(scopes);
        let mut nested = nested.iter().peekable();
        for (position, group) in scopes.iter().enumerate() {
            let mut found = Vec::new();
            let inside = nested.next_if(|(scope, _)| **scope == position).map(|(_, inside)| inside.as_slice());
            let scope = &*group[0].scope;
            if let Err(failure) = self.probe_scope(scope, inside.unwrap_or_default(), &mut found) {
                refusals.push(cannot_rewrite(group, failure));
            }
            // Most scopes lead to themselves.
            for Endpoint { name, from } in found.into_iter().filter(|endpoint| endpoint.name != scope) {
                if scopes.binary_search_by(|group| (*group[0].scope).cmp(&name)).is_err() {
                    let asking = group.iter().flat_map(|scoped| scoped.from()).cloned();
                    endpoints.entry(name).or_default().extend(asking.chain(from));
                }
            }
        }
        if refusals.is_empty() { Ok(endpoints) } else { Err(refusals) }
    }

    /// By position of a scope, the entries that lie in it without being it, in the order of the file.
    fn nested(&self, scopes: &[&[&Scoped]]) -> BTreeMap<usize, Vec<&'a str>> {
        let mut nested: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        let lengths: HashSet<usize> = scopes.iter().map(|group| group[0].scope.len()).collect();
        // Of a text with very many slashes or dots only pieces are compared that are as long as some scope.
        let position = |scope: [&str; 2]| {
            let order = |group: &&[&Scoped]| group[0].scope.bytes().cmp(scope.iter().flat_map(|part| part.bytes()));
            let occurs = lengths.contains(&(scope[0].len() + scope[1].len()));
            if occurs { scopes.binary_search_by(order).ok() } else { None }
        };
        for entry in self.conf.registries.iter().map(Registry::scope) {
            for container in containers(entry, true).skip(1) {
                let found = match container {
                    Container::Scope(scope) => position(["", scope]),
                    Container::Wildcard(suffix) => position(["*", suffix]),
                };
                if let Some(found) = found {
                    nested.entry(found).or_default().push(entry);
                }
            }
        }
        nested
    }

    /// The scope itself, then the entries inside of it; the first failure ends it.
    fn probe_scope<'r>(&'r self, scope: &str, inside: &[&str], found: &mut Vec<Endpoint>) -> Result<(), Failure<'r>> {
        probe(scope, self.loaded.find(scope), found)?;
        inside.iter().try_for_each(|entry| probe(entry, self.loaded.find(entry), found))
    }
}

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const TAG: &str = "aaa";
const PATH: &str = "/a";

/// Where an image under the scope is pulled from: asked with a made-up image, by digest and by tag.
fn probe<'r>(scope: &str, entry: Option<&'r Registry>, found: &mut Vec<Endpoint>) -> Result<(), Failure<'r>> {
    let Some(entry) = entry else { return Ok(()) };
    let mut probed: Cow<str> = match scope.strip_prefix('*').filter(|rest| rest.starts_with('.')) {
        Some(rest) => format!("matched{rest}").into(),
        None => scope.into(),
    };
    let has_made_up_path = !probed.contains('/');
    if has_made_up_path {
        probed.to_mut().push_str(PATH);
    }
    let failure = |text| Failure { text, entry: Some(entry) };
    let reference = ImageReference::parse_literally(&probed)
        .map_err(|error| failure(format!("error parsing scope {probed}: {error}")))?;
    let texts =
        [('@', DIGEST), (':', TAG)].map(|(separator, made_up)| format!("{}{separator}{made_up}", reference.name()));
    let images = texts.each_ref().map(|text| ImageReference::parse_literally(text));
    let mut known: HashSet<&str, foldhash::fast::RandomState> = HashSet::default();
    for (image, what) in images.iter().zip(["digest", "tag"]) {
        let failure = |error: &dyn std::fmt::Display| {
            failure(format!("error getting {what} sources for scope {probed}: {error}"))
        };
        let image = image.as_ref().map_err(|error| failure(error))?;
        for source in entry.pull_sources(image).map_err(|error| failure(&error))? {
            if source.location.is_empty() {
                continue;
            }
            let name = source.reference.name();
            let name = if has_made_up_path { name.strip_suffix(PATH).unwrap_or(name) } else { name };
            // A mirror that serves both digests and tags is found twice.
            if known.insert(source.location) {
                found.push(Endpoint { name: name.to_string(), from: source.from.to_vec() });
            }
        }
    }
    Ok(())
}

const MIRRORS_TOLD: usize = 16;

fn cannot_rewrite(group: &[&Scoped], failure: Failure) -> Refusal {
    let scope = &*group[0].scope;
    let text = format!("error adding clusterimagepolicy scope {scope} relevant mirrors: {}", failure.text);
    let mut causes: Vec<Cause> = group.iter().flat_map(|scoped| causes_of(scoped.from(), scope)).collect();
    if let Some(entry) = failure.entry {
        causes.extend(causes_of(&entry.from, entry.scope()));
        // One entry with thousands of mirrors can stop thousands of scopes: each refusal names only the first of them.
        let mirrors = entry.mirrors.iter().take(MIRRORS_TOLD);
        causes.extend(mirrors.flat_map(|mirror| causes_of(&mirror.from, &mirror.location)));
    }
    refusal(RefusalReason::CannotRewrite, text, causes)
}

/// The entries that do not load by themselves; where each does, all of them take part.
pub(super) fn unloadable(conf: &RegistriesConf) -> Vec<Cause> {
    let causes = |registry: &Registry| {
        let mut causes = causes_of(&registry.from, registry.scope());
        causes.extend(registry.mirrors.iter().flat_map(|mirror| causes_of(&mirror.from, &mirror.location)));
        causes
    };
    let alone = |registry: &&Registry| {
        let conf = RegistriesConf { registries: vec![(*registry).clone()], ..RegistriesConf::default() };
        LoadedRegistries::load_one(conf).is_err()
    };
    let found: Vec<Cause> = conf.registries.iter().filter(alone).flat_map(causes).collect();
    if found.is_empty() { conf.registries.iter().flat_map(causes).collect() } else { found }
}
