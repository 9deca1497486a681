//! What runs: of a pod only its images are kept, since a cluster may have a hundred thousand pods of tens of kilobytes each.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Object, Origin, api};
use crate::model::provenance::ObjectRef;

/// A label and an annotation of the pods that builds run in.
const BUILD: &str = "openshift.io/build.name";

/// A pod that has not ended.
#[derive(Clone, Debug)]
pub struct Pod {
    /// What to call it.
    pub reference: Arc<ObjectRef>,
    /// Where it stood.
    pub origin: Origin,
    /// When it began, RFC 3339; empty where it is not known.
    pub started: Box<str>,
    /// Whether it is one of OpenShift's builds.
    pub is_build: bool,
    /// Its containers, init and ephemeral ones too.
    pub containers: Vec<Container>,
}

/// One container of a pod.
#[derive(Clone, Debug)]
pub struct Container {
    /// The list in `spec` that it is in: `containers`, `initContainers` or `ephemeralContainers`.
    pub list: &'static str,
    /// Its place there.
    pub index: u32,
    /// The image as it was asked for.
    pub image: Arc<str>,
    /// What runs, by digest, as the node tells it; empty before it was pulled.
    pub image_id: Arc<str>,
    /// Whether a node uses what it has without asking the registry, and so without asking the policy for a signature again.
    pub may_be_cached: bool,
}

impl Container {
    /// `spec.containers[0].image`
    pub fn path(&self) -> String {
        format!("spec.{}[{}].image", self.list, self.index)
    }
}

/// Texts that many pods have in common.
#[derive(Clone, Debug, Default)]
pub struct Interned(HashSet<Arc<str>, foldhash::fast::RandomState>);

impl Interned {
    fn text(&mut self, text: &str) -> Arc<str> {
        match self.0.get(text) {
            Some(known) => known.clone(),
            None => {
                let new: Arc<str> = text.into();
                self.0.insert(new.clone());
                new
            }
        }
    }
}

impl Pod {
    /// Nothing of a pod that has ended: it pulls nothing any more.
    pub(super) fn of(pod: Object<api::Pod>, interned: &mut Interned) -> Option<Self> {
        let Object { reference, metadata, value: api::Pod { spec, status }, origin, .. } = pod;
        if matches!(status.phase.as_str(), "Succeeded" | "Failed") {
            return None;
        }
        let lists = [
            ("containers", &spec.containers, status.container_statuses.as_slice()),
            ("initContainers", &spec.init_containers, status.init_container_statuses.as_slice()),
            ("ephemeralContainers", &spec.ephemeral_containers, &[]),
        ];
        let mut containers = Vec::new();
        for (list, specs, statuses) in lists {
            for (index, container) in specs.iter().enumerate().filter(|(_, container)| !container.image.is_empty()) {
                let status = statuses.iter().find(|status| status.name == container.name);
                // The API server writes the default: Always for `latest` and for no tag at all.
                let may_be_cached = matches!(container.image_pull_policy.as_str(), "IfNotPresent" | "Never");
                containers.push(Container {
                    list,
                    index: index as u32,
                    image: interned.text(&container.image),
                    image_id: interned.text(status.map_or("", |status| &status.image_id)),
                    may_be_cached,
                });
            }
        }
        let is_build = metadata.labels.contains_key(BUILD) || metadata.annotations.contains_key(BUILD);
        Some(Self { reference, origin, started: status.start_time.into(), is_build, containers })
    }
}
