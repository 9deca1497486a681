//! What nodes make of it all: the files that each pool would get, as rules ask about them.

use std::sync::Arc;

use serde_json::Value;

use super::Context;
use crate::compile::pools::{PoolGroup, Truth, desired};
use crate::model::policy::{PolicyRequirement, Transport, Verdict, verdict};
use crate::model::provenance::{ObjectRef, Provenance};
use crate::model::reference::ImageReference;

impl Context<'_> {
    /// The files of pools, other MachineConfigs merged in; nothing where the controller refuses.
    pub fn groups(&self) -> &[PoolGroup] {
        let truth = self.desired.get_or_init(|| desired(self.snapshot, self.compiled).ok());
        truth.as_ref().map(|Truth { groups, .. }| groups.as_slice()).unwrap_or_default()
    }

    /// Who makes nodes of some pool reject every image of this name, where somebody does. Where the controller refuses, what it
    /// would write without the refusal.
    pub fn rejected_by(&self, image: &ImageReference<'_>) -> Option<Vec<Provenance>> {
        if self.compiled.generated.is_err() {
            return self.rejected_by_lists(image);
        }
        self.groups().iter().find_map(|group| {
            let policy = &group.files.policy.as_ref()?.policy;
            let docker = policy.transports.get(&Transport::Docker);
            let hit = image.candidates().find_map(|candidate| docker?.get(&candidate.text()));
            let requirements = hit.or_else(|| docker?.get("")).unwrap_or(&policy.default);
            let rejects = requirements.iter().find(|sourced| *sourced.requirement == PolicyRequirement::Reject);
            (verdict(requirements) == Verdict::Rejects)
                .then(|| rejects.map(|sourced| sourced.from.clone()).unwrap_or_default())
        })
    }

    fn rejected_by_lists(&self, image: &ImageReference<'_>) -> Option<Vec<Provenance>> {
        let sources = &self.compiled.sources;
        let scopes = self.scopes();
        for candidate in image.candidates() {
            let text = candidate.text();
            if scopes.allowed.position(&text).is_some() || scopes.cluster_index.position(&text).is_some() {
                return None;
            }
            if let Some(position) = scopes.blocked.position(&text) {
                return sources.policy_blocked.get(position).map(|entry| entry.from.clone());
            }
        }
        let rejects = !sources.allowed.is_empty() && sources.policy_blocked.is_empty();
        rejects.then(|| sources.allowed_by.clone())
    }
}

impl Context<'_> {
    /// The field that asked for something, or the MachineConfig whose file does.
    pub fn written(&self, from: &Provenance) -> Option<(Arc<ObjectRef>, String)> {
        match from {
            Provenance::Field { object, path } => Some((object.clone(), path.to_string())),
            Provenance::File { machine_config: Some(name), path } => self.file_of(name, path),
            Provenance::File { machine_config: None, .. } | Provenance::Default(_) => None,
        }
    }

    /// A MachineConfig of the snapshot and the place of a file in it.
    pub fn file_of(&self, machine_config: &str, path: &str) -> Option<(Arc<ObjectRef>, String)> {
        let objects = &self.snapshot.machine_configs;
        let object = objects.iter().find(|object| *object.metadata.name == *machine_config)?;
        let files = object.value.spec.config.pointer("/storage/files").and_then(Value::as_array);
        let has_path = |file: &Value| file.get("path").and_then(Value::as_str) == Some(path);
        let place = match files.and_then(|files| files.iter().position(has_path)) {
            Some(index) => format!("spec.config.storage.files[{index}].path"),
            None => "spec.config".to_string(),
        };
        Some((object.reference.clone(), place))
    }
}

impl<'a> Context<'a> {
    /// The entry of `blockedRegistries` at a path such as `spec.registrySources.blockedRegistries[2]`.
    pub fn blocked_entry(&self, path: &str) -> Option<&'a str> {
        let index = path.strip_prefix("spec.registrySources.blockedRegistries[")?.strip_suffix(']')?;
        let sources = &self.snapshot.image.as_ref()?.value.spec.registry_sources;
        sources.blocked_registries.as_ref()?.get(index.parse::<usize>().ok()?).map(String::as_str)
    }
}

/// `pool worker`, `pools master and worker`
pub fn pools_in_words(group: &PoolGroup) -> String {
    in_words(group.names())
}

/// The same of pools by name.
pub fn in_words<'p>(pools: impl Iterator<Item = &'p str>) -> String {
    let names: Vec<&str> = pools.collect();
    match names.as_slice() {
        [name] => format!("pool {name}"),
        [first @ .., last] => format!("pools {} and {last}", first.join(", ")),
        [] => "no pool".to_string(),
    }
}

/// Names of MachineConfigs that write a file of a pool, the one whose content counts last.
pub fn writers<'g>(group: &'g PoolGroup, path: &str) -> &'g [Arc<str>] {
    group.pools.first().and_then(|pool| pool.writers.get(path)).map(Vec::as_slice).unwrap_or_default()
}
