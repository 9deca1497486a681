//! Images that pods of the snapshot run, as rules compare them with scopes and lists.

use std::collections::BTreeMap;

use super::Context;
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
