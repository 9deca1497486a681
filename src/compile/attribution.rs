//! Who asked for what is read back from MachineConfigs: the objects that ask for the same now, else the MachineConfig and the file
//! (domain.md 3.4).

use std::collections::HashMap;
use std::sync::Arc;

use super::{Compiled, policy, registry_sources, scopes};
use crate::model::node_files::{NamespaceFile, NodeFiles};
use crate::model::policy::{Policy, Requirements, Sourced};
use crate::model::policy_write::Additions;
use crate::model::provenance::Provenance;
use crate::model::registries_conf::Registry;
use crate::model::scopes::Scopes;
use crate::snapshot::Snapshot;

/// What the objects ask for now.
pub(super) struct Attribution {
    known: Arc<NodeFiles>,
}

impl Attribution {
    /// Where the controller refuses, what it would write if nobody checked is still good for recognising.
    pub(super) fn new(snapshot: &Snapshot, compiled: &Compiled) -> Self {
        if let Some(overlay) = compiled.overlay() {
            return Self { known: Arc::clone(&overlay.composed) };
        }
        if let Ok(generated) = &compiled.generated {
            return Self { known: Arc::clone(&generated.files) };
        }
        let (mut notes, mut refusals) = (Vec::new(), Vec::new());
        let (release, payload) = (compiled.release, compiled.payload.as_ref());
        let sources = registry_sources::effective(snapshot, release, payload, &mut notes, &mut refusals);
        let policies = scopes::collect(snapshot, release, payload, &mut notes, &mut refusals);
        let (policy, namespaces) = policy::unchecked(&sources, &policies, release);
        Self { known: Arc::new(NodeFiles { policy, namespaces, ..NodeFiles::default() }) }
    }

    pub(super) fn apply(&self, mut files: NodeFiles) -> Arc<NodeFiles> {
        let known = &*self.known;
        let cluster = known.policy.as_ref().map(|file| &file.policy);
        if let (Some(file), Some(cluster)) = (&mut files.policy, cluster) {
            attribute(&mut file.policy, &[cluster], None);
        }
        for (namespace, file) in &mut files.namespaces {
            let (NamespaceFile::Whole(file), Some(cluster)) = (file, cluster) else { continue };
            let additions = match known.namespaces.get(namespace) {
                Some(NamespaceFile::Additions { scopes, .. }) => Some(scopes),
                _ => None,
            };
            attribute(&mut file.policy, &[cluster], additions);
        }
        if let (Some(conf), Some(known)) = (&mut files.registries_conf, &known.registries_conf) {
            let known: HashMap<&str, &Registry> = known.registries.iter().map(|entry| (entry.scope(), entry)).collect();
            for entry in &mut conf.registries {
                let Some(known) = known.get(entry.scope()) else { continue };
                if !known.from.is_empty() {
                    entry.from.clone_from(&known.from);
                }
                for mirror in &mut entry.mirrors {
                    let same = known.mirrors.iter().find(|known| {
                        known.location == mirror.location && known.pull_from_mirror == mirror.pull_from_mirror
                    });
                    if let Some(same) = same {
                        mirror.from.clone_from(&same.from);
                    }
                }
            }
        }
        for (name, file) in &mut files.registries_d {
            let Some(known) = known.registries_d.get(name) else { continue };
            let known: HashMap<&str, &Vec<Provenance>> =
                known.docker.iter().map(|(scope, storage)| (&**scope, &storage.from)).collect();
            for (scope, storage) in &mut file.docker {
                if let Some(from) = known.get(&**scope) {
                    storage.from.clone_from(from);
                }
            }
        }
        Arc::new(files)
    }
}

fn attribute(policy: &mut Policy, known: &[&Policy], additions: Option<&Additions>) {
    let attributed = |own: &Requirements, candidates: &[&Requirements]| -> Requirements {
        let source = |sourced: &Sourced| {
            let same =
                candidates.iter().flat_map(|known| known.iter()).find(|known| known.requirement == sourced.requirement);
            same.unwrap_or(sourced).clone()
        };
        own.iter().map(source).collect()
    };
    let defaults: Vec<&Requirements> = known.iter().map(|known| &known.default).collect();
    policy.default = attributed(&policy.default, &defaults);
    for (transport, scopes) in &mut policy.transports {
        let mut all = Scopes::with_capacity(scopes.len());
        for (scope, own) in scopes.iter() {
            let of_cluster = known.iter().filter_map(|known| known.transports.get(transport)?.get(&scope));
            let added = additions.and_then(|additions| additions.get(&*scope));
            let candidates: Vec<&Requirements> = of_cluster.chain(added).collect();
            all.insert(&scope, attributed(own, &candidates));
        }
        *scopes = all;
    }
}
