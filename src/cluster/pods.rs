//! Images of the pods that the cluster itself consists of.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Connection;
use super::read::pods;
use super::session::Session;
use crate::error::Result;
use crate::plan::PlatformImage;

/// Namespaces of the platform begin like this.
const PLATFORM: &str = "openshift-";

/// Images of running pods in namespaces of the platform, each once a namespace, or a sentence why they are not known.
///
/// # Errors
/// [`crate::error::Error::Cluster`] where there is no answer that can be relied on.
pub async fn platform_pods(connection: &Connection) -> Result<Result<Vec<PlatformImage>, String>> {
    let session = Arc::new(Session::new(connection)?);
    let pods = match pods(&session, connection.chunk_size).await? {
        Ok(pods) => pods,
        Err(gap) => return Ok(Err(format!("images of running pods were not looked at: {}", gap.message))),
    };
    let mut found: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for pod in &pods {
        let Some(namespace) = pod.reference.namespace.as_deref().filter(|name| name.starts_with(PLATFORM)) else {
            continue;
        };
        // Nobody restarts an ephemeral container.
        for container in pod.containers.iter().filter(|container| container.list != "ephemeralContainers") {
            // Where it is known by digest, that is what a node pulls next time.
            let id = Some(&*container.image_id).filter(|id| id.contains('/') && id.contains('@'));
            for image in [Some(&*container.image), id].into_iter().flatten() {
                found.entry((image, namespace)).or_insert(&pod.reference.name);
            }
        }
    }
    let image = |((image, namespace), pod): ((&str, &str), &str)| PlatformImage {
        image: image.to_string(),
        what: format!("pod {namespace}/{pod}"),
        namespace: Some(namespace.to_string()),
    };
    Ok(Ok(found.into_iter().map(image).collect()))
}
