//! IMP302

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::compile::pools::PoolGroup;
use crate::lint::nodes::pools_in_words;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::go_text::quote;
use crate::model::policy::{PolicyRequirement, Requirements, Transport};
use crate::model::provenance::{ObjectRef, Provenance};
use crate::model::reference::ImageReference;
use crate::model::registries_conf::LoadedRegistries;
use crate::model::scope_index::ScopeIndex;
use crate::resolve::Resolver;

pub static RULE: Rule = Rule {
    code: 302,
    name: "mirror-without-attachments",
    level: Level::Error,
    confidence: Confidence::VersionDependent,
    refused_by: &[],
    releases: "4.16 for mirrors; all where a MachineConfig brings policy.json or registries.d",
    pitfalls: &[12],
    needs: &[],
    summary: "A signature is required, and nodes do not look for one at a place that images come from.",
    why: "A node reads sigstore signatures at a place only where registries.d says `use-sigstore-attachments: true` for that place: the source and \
          each mirror. Where it does not, the image comes without a signature and is rejected, although a signature lies beside it. OpenShift 4.16 \
          writes registries.d for the scopes of policies only, not for their mirrors; later releases write both. A policy.json or a registries.d \
          file in a MachineConfig of your own goes its own way.",
    fix: "Update to 4.17 or later, or add a file to `/etc/containers/registries.d` with a MachineConfig that turns attachments on for the mirror. \
          It needs keys that no other file there has.",
    examples: &[
        Example {
            fires: true,
            release: "4.16",
            manifests: "
apiVersion: config.openshift.io/v1alpha1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.example.com/team
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: datacentre
spec:
  imageDigestMirrors:
    - source: registry.example.com/team
      mirrors:
        - mirror.example.com:8443/team
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.example.com/team
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: datacentre
spec:
  imageDigestMirrors:
    - source: registry.example.com/team
      mirrors:
        - mirror.example.com:8443/team
",
        },
    ],
    check,
};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// The path of made-up images below a scope.
const MADE_UP: &str = "/app";

/// A place without attachments, and who leads there.
struct Place<'r> {
    /// Of the first scope that is concerned.
    requirements: &'r Requirements,
    scope: &'r str,
    /// Of the mirror; empty where images come from the source itself.
    from: Vec<Provenance>,
    witness: String,
    concerns_others: bool,
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut told: BTreeSet<(Arc<ObjectRef>, String)> = BTreeSet::new();
    for group in context.groups() {
        let files = &group.files;
        let is_generated = matches!(&context.compiled.generated, Ok(generated) if Arc::ptr_eq(&generated.files, files));
        // What the controller writes by itself reads signatures wherever images of a scope come from.
        if is_generated && context.release.attachments_for_mirrors {
            continue;
        }
        // What a node cannot read is IMP213's and IMP301's.
        let Ok(resolver) = Resolver::new(files, None) else { continue };
        let docker = files.policy.as_ref().and_then(|file| file.policy.transports.get(&Transport::Docker));
        let signed: Vec<(Cow<'_, str>, &Requirements)> = docker
            .into_iter()
            .flat_map(|scopes| scopes.iter())
            .filter(|(_, requirements)| requirements.iter().any(|sourced| is_sigstore(&sourced.requirement)))
            .collect();
        let entries = Entries::new(&resolver, is_generated);
        let mut places: BTreeMap<String, Place<'_>> = BTreeMap::new();
        for (scope, requirements) in &signed {
            for image in entries.images_below(scope) {
                unread_places(&resolver, scope, requirements, image, &mut places);
            }
        }
        for (location, place) in places {
            if let Some(finding) = unread(context, &location, &place, group)
                && told.insert((finding.object.clone(), finding.path.clone()))
            {
                findings.push(finding);
            }
        }
    }
}

fn is_sigstore(requirement: &PolicyRequirement) -> bool {
    matches!(requirement, PolicyRequirement::SigstoreSigned { .. })
}

/// Adds the places where the image comes from and signatures are not read, by what registries.conf calls them.
fn unread_places<'r>(
    resolver: &Resolver<'_>,
    scope: &'r str,
    requirements: &'r Requirements,
    image: String,
    places: &mut BTreeMap<String, Place<'r>>,
) {
    let Ok(reference) = ImageReference::parse(&image) else { return };
    let entry = resolver.registries().find(reference.name());
    // Most scopes share their mirrors with others.
    let mirrors = entry.map(|entry| entry.mirrors.as_slice()).unwrap_or_default();
    if !mirrors.is_empty() && mirrors.iter().all(|mirror| places.contains_key(&mirror.location)) {
        for mirror in mirrors {
            if let Some(place) = places.get_mut(&mirror.location) {
                place.concerns_others |= place.scope != scope;
            }
        }
        return;
    }
    let sources = match entry.map(|entry| entry.pull_sources(&reference)) {
        Some(Ok(sources)) => sources,
        Some(Err(_)) => return,
        None => Vec::new(),
    };
    let own = fix::repository(scope).unwrap_or(scope);
    let locations: Vec<(&str, &[Provenance])> = match sources.as_slice() {
        [] => vec![(own, &[])],
        [mirrors @ .., _] => {
            mirrors.iter().map(|source| (source.location, source.from)).chain([(own, &[][..])]).collect()
        }
    };
    if !resolver.look_up(&reference).requirements().any(|sourced| is_sigstore(&sourced.requirement)) {
        return;
    }
    let pulled = resolver.pull(&reference);
    for (source, (location, from)) in pulled.sources.iter().zip(locations) {
        if source.sigstore_attachments || source.blocked {
            continue;
        }
        let new = || Place { requirements, scope, from: from.to_vec(), witness: image.clone(), concerns_others: false };
        let place = places.entry(location.to_string()).or_insert_with(new);
        place.concerns_others |= place.scope != scope;
    }
}

fn unread(context: &Context<'_>, location: &str, place: &Place<'_>, group: &PoolGroup) -> Option<Finding> {
    let (location_shown, scope) = (shown(location), shown(place.scope));
    let message = match location == place.scope {
        true => format!("signatures are not read at {location_shown}, though they are required"),
        false => format!("signatures are not read at {location_shown}, where images under {scope} come from"),
    };
    let others = if place.concerns_others { " and other scopes" } else { "" };
    let effect = format!(
        "nodes of {} reject images under {scope}{others} that come from there, signed or not: {}",
        pools_in_words(group),
        quote("Source image rejected: A signature was required, but no signature exists")
    );
    let help = format!(
        "turn them on with a MachineConfig, as the controller does from OpenShift 4.17 on; no other file there may have the key:\n{}",
        fix::attachments(group.names(), location)
    );
    let asking: Vec<Provenance> = place.requirements.iter().flat_map(|sourced| sourced.from.clone()).collect();
    let policy = asking.iter().find_map(|from| context.written(from));
    let (object, path) = place.from.iter().find_map(|from| context.written(from)).or_else(|| policy.clone())?;
    let finding = Finding::at(&RULE, &object, context.origin(&object), &path, message);
    let finding = finding.effect(effect).help(help).witness(place.witness.clone());
    Some(match policy {
        Some((policy, field)) if policy != object => {
            finding.related(&policy, field, format!("requires a signature for {scope}"))
        }
        _ => finding,
    })
}

/// Entries of registries.conf by their prefix.
struct Entries<'r> {
    registries: &'r LoadedRegistries,
    index: ScopeIndex<'r>,
    /// Only mirrors are of interest.
    is_generated: bool,
}

impl<'r> Entries<'r> {
    fn new(resolver: &'r Resolver<'_>, is_generated: bool) -> Self {
        let registries = resolver.registries();
        let index = ScopeIndex::new(registries.entries().iter().map(|entry| entry.scope()));
        Self { registries, index, is_generated }
    }

    fn is_mirrored(&self, name: &str) -> bool {
        self.registries.find(name).is_some_and(|entry| !entry.mirrors.is_empty())
    }

    /// Images in a scope for which the answer may differ.
    fn images_in(&self, scope: &str) -> Vec<String> {
        let is_repository = fix::repository(scope).is_none();
        let name = match scope.strip_prefix('*') {
            Some(suffix) => format!("registry{suffix}{MADE_UP}"),
            None if is_repository => format!("{scope}{MADE_UP}"),
            None => scope.to_string(),
        };
        match (self.is_mirrored(&name), is_repository) {
            (false, _) if self.is_generated => Vec::new(),
            (true, true) => vec![format!("{name}:latest"), format!("{name}@{DIGEST}")],
            (false, true) => vec![format!("{name}:latest")],
            (_, false) => vec![name],
        }
    }

    /// The same, of each entry inside of it as well.
    fn images_below(&self, scope: &str) -> Vec<String> {
        let mut images = self.images_in(scope);
        for entry in self.index.nested_in(scope) {
            let inner = self.registries.entries().get(entry).map(|entry| entry.scope()).unwrap_or_default();
            if inner != scope {
                images.extend(self.images_in(inner));
            }
        }
        images
    }
}
