//! Images that pods of the snapshot run, as rules compare them with scopes and lists.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Context;
use super::policies::RELEASES;
use crate::snapshot::Pod;

/// One image name, and some of those who use it.
#[derive(Clone, Debug)]
pub struct ImageInUse<'a> {
    /// As pods ask for it.
    pub image: &'a str,
    /// The first pod of each namespace that uses it, with the path of the field: at most twenty.
    pub pods: Vec<(&'a Pod, usize)>,
    /// How many pods use it in all.
    pub count: usize,
    /// Whether some pod may run it from what a node has already, without a pull.
    pub may_be_cached: bool,
}

impl Context<'_> {
    /// The payload and what it is known to be made of: components, the operating system, what every pod sandbox starts from. Empty where
    /// the payload is not known.
    pub fn platform_images(&self) -> Vec<String> {
        const COMPONENTS: &str = "quay.io/openshift-release-dev/ocp-v4.0-art-dev";
        let Some(payload) = &self.compiled.payload else { return Vec::new() };
        let mut images = vec![payload.image.clone()];
        if payload.image.starts_with(RELEASES) {
            images.push(format!("{COMPONENTS}:latest"));
        }
        if let Some(config) = &self.snapshot.controller_config {
            let spec = &config.value.spec;
            let base = config.raw.pointer("/spec/baseOSContainerImage").and_then(Value::as_str).unwrap_or_default();
            let named = spec.images.values().map(String::as_str).chain([spec.os_image_url.as_str(), base]);
            images.extend(named.filter(|image| !image.is_empty()).map(str::to_string));
        }
        images
    }
}

impl<'a> Context<'a> {
    /// Every image that pods ask for, once, by name. Empty where pods were not read: see [`Context::can_see`].
    pub fn images_in_use(&self) -> &[ImageInUse<'a>] {
        const MOST: usize = 20;
        self.images.get_or_init(|| {
            let mut images: BTreeMap<&str, ImageInUse<'_>> = BTreeMap::new();
            for pod in &self.snapshot.pods {
                for (position, container) in pod.containers.iter().enumerate() {
                    let image = images.entry(&*container.image).or_insert_with(|| ImageInUse {
                        image: &container.image,
                        pods: Vec::new(),
                        count: 0,
                        may_be_cached: false,
                    });
                    let namespace = &pod.reference.namespace;
                    let is_new = image.pods.iter().all(|(other, _)| other.reference.namespace != *namespace);
                    if is_new && image.pods.len() < MOST {
                        image.pods.push((pod, position));
                    }
                    image.count += 1;
                    image.may_be_cached |= container.may_be_cached;
                }
            }
            images.into_values().collect()
        })
    }
}
