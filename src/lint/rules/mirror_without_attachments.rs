//! IMP302

use std::collections::BTreeMap;

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
use std::sync::Arc;

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

/// A place without attachments, and who leads there.
struct Place {
    scope: String,
    /// Of the requirement.
    from: Vec<Provenance>,
    witness: String,
    more_scopes: usize,
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut told: Vec<(Arc<ObjectRef>, String)> = Vec::new();
    for group in context.groups() {
        let files = &group.files;
        // What a node cannot read is IMP213's and IMP301's.
        let Ok(resolver) = Resolver::new(files, None) else { continue };
        let docker = files.policy.as_ref().and_then(|file| file.policy.transports.get(&Transport::Docker));
        let signed: Vec<(String, &Requirements)> = docker
            .into_iter()
            .flat_map(|scopes| scopes.iter())
            .filter(|(_, requirements)| wants_attachments(requirements))
            .map(|(scope, requirements)| (scope.into_owned(), requirements))
            .collect();
        // What the controller alone writes always reads signatures at the scope itself.
        let is_generated = matches!(&context.compiled.generated, Ok(generated) if Arc::ptr_eq(&generated.files, files));
        let names = Names { conf: Entries::new(&resolver, is_generated), signed: &signed };
        let mut places: BTreeMap<String, Place> = BTreeMap::new();
        for (position, image) in names.images() {
            let Ok(resolution) = resolver.resolve(&image) else { continue };
            if !resolution.requirements().any(|sourced| is_sigstore(&sourced.requirement)) {
                continue;
            }
            let unread =
                resolution.pull.sources.iter().filter(|source| !source.sigstore_attachments && !source.blocked);
            for source in unread {
                let Ok(there) = ImageReference::parse(&source.reference) else { continue };
                let Some((scope, requirements)) = signed.get(position) else { continue };
                let place = places.entry(repository_root(there.name())).or_insert_with(|| Place {
                    scope: scope.clone(),
                    from: requirements.iter().flat_map(|sourced| sourced.from.clone()).collect(),
                    witness: image.clone(),
                    more_scopes: 0,
                });
                place.more_scopes += usize::from(place.scope != *scope);
            }
        }
        for (location, place) in places {
            let Some(finding) = unread(context, &location, &place, group) else { continue };
            let key = (finding.object.clone(), finding.message.clone());
            if !told.contains(&key) {
                told.push(key);
                findings.push(finding);
            }
        }
    }
}

fn is_sigstore(requirement: &PolicyRequirement) -> bool {
    matches!(requirement, PolicyRequirement::SigstoreSigned { .. })
}

fn wants_attachments(requirements: &Requirements) -> bool {
    requirements.iter().any(|sourced| is_sigstore(&sourced.requirement))
}

/// The made-up image's own part taken off again.
fn repository_root(name: &str) -> String {
    name.strip_suffix(MADE_UP).unwrap_or(name).to_string()
}

const MADE_UP: &str = "/app";

fn unread(context: &Context<'_>, location: &str, place: &Place, group: &PoolGroup) -> Option<Finding> {
    let message =
        format!("signatures are not read at {}, where images under {} come from", shown(location), shown(&place.scope));
    let more = match place.more_scopes {
        0 => String::new(),
        1 => " and one other scope".to_string(),
        more => format!(" and {more} other scopes"),
    };
    let effect = format!(
        "nodes of {} reject images under {}{more} that come from there, signed or not: {}",
        pools_in_words(group),
        shown(&place.scope),
        quote("Source image rejected: A signature was required, but no signature exists")
    );
    let help = format!(
        "turn them on with a MachineConfig, as the controller does from OpenShift 4.17 on; no other file there may have the key:\n{}",
        fix::attachments(group.names(), location)
    );
    let (object, path) = place.from.iter().find_map(|from| match from {
        Provenance::Field { object, path } => Some((object.clone(), path.to_string())),
        Provenance::File { machine_config: Some(name), .. } => {
            let objects = &context.snapshot.machine_configs;
            let object = objects.iter().find(|object| *object.metadata.name == **name)?;
            Some((object.reference.clone(), "spec.config".to_string()))
        }
        Provenance::File { machine_config: None, .. } | Provenance::Default(_) => None,
    })?;
    let finding = Finding::at(&RULE, &object, context.origin(&object), path, message);
    let mut finding = finding.effect(effect).help(help).witness(place.witness.clone());
    // The mirror set, if one leads there.
    for (_, set) in context.snapshot.mirror_sets() {
        let leads_there = |mirror: &String| location.starts_with(mirror.as_str());
        if set.value.spec.mirrors.iter().any(|rule| rule.mirrors.iter().any(leads_there)) {
            finding = finding.related(&set.reference, "spec", format!("makes {} a mirror", shown(location)));
        }
    }
    Some(finding)
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
}

/// Images to ask about.
struct Names<'n> {
    conf: Entries<'n>,
    signed: &'n [(String, &'n Requirements)],
}

impl Names<'_> {
    /// Position of the scope, and an image in it: of the scope itself, and of each entry of registries.conf inside of it.
    fn images(&self) -> impl Iterator<Item = (usize, String)> {
        self.signed.iter().enumerate().flat_map(move |(position, (scope, _))| {
            let mut images = self.conf.images_in(scope);
            for entry in self.conf.index.nested_in(scope) {
                let inner = self.conf.registries.entries().get(entry).map(|entry| entry.scope()).unwrap_or_default();
                if inner != scope {
                    images.extend(self.conf.images_in(inner));
                }
            }
            images.into_iter().map(move |image| (position, image))
        })
    }
}
