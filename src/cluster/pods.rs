//! Images of the pods that the cluster itself consists of.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::session::{Answer, Session};
use super::{Connection, plain};
use crate::error::Result;
use crate::plan::PlatformImage;

/// Namespaces of the platform begin like this.
const PLATFORM: &str = "openshift-";
/// A pod may have a hundred kilobytes; the page is thrown away before the next comes.
const PAGE: u32 = 250;
const MAX_PAGES: usize = 4_000;

/// Images of running pods in namespaces of the platform, each once a namespace, or a sentence why they are not known.
///
/// # Errors
/// [`crate::error::Error::Cluster`] where there is no answer that can be relied on.
pub async fn platform_pods(connection: &Connection) -> Result<Result<Vec<PlatformImage>, String>> {
    let session = Session::new(connection)?;
    let mut found: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut next = String::new();
    for _ in 0..MAX_PAGES {
        let token: String = percent_encoding::utf8_percent_encode(&next, percent_encoding::NON_ALPHANUMERIC).collect();
        let path = match next.is_empty() {
            true => format!("/api/v1/pods?limit={PAGE}"),
            false => format!("/api/v1/pods?limit={PAGE}&continue={token}"),
        };
        let body = match session.get(&path, "application/json").await? {
            Answer::Found(body) => body,
            Answer::Forbidden(said) => return Ok(Err(format!("images of running pods were not looked at: {said}"))),
            // A list that expired half-way has said enough: it only adds to what objects name.
            Answer::Gone => break,
            Answer::NotFound(_) | Answer::TooLarge => {
                return Ok(Err("images of running pods could not be read".into()));
            }
        };
        let page: Page = serde_json::from_slice(&body).map_err(|error| {
            let why = format!("is no list of pods ({})", plain(&error.to_string(), 100));
            session.not_an_api_server("/api/v1/pods", &body, &why)
        })?;
        for pod in page.items.unwrap_or_default() {
            let Some(metadata) = pod.metadata.filter(|metadata| metadata.namespace.starts_with(PLATFORM)) else {
                continue;
            };
            let spec = pod.spec.unwrap_or_default();
            let containers = spec.containers.into_iter().chain(spec.init_containers).flatten();
            let running = pod.status.unwrap_or_default().container_statuses.unwrap_or_default();
            let images = containers.map(|container| container.image);
            // Where it is known by digest, that is what a node pulls next time.
            let ids =
                running.into_iter().map(|status| status.image_id).filter(|id| id.contains('/') && id.contains('@'));
            for image in images.chain(ids).filter(|image| !image.is_empty()) {
                found.entry((image, metadata.namespace.clone())).or_insert_with(|| metadata.name.clone());
            }
        }
        let continued = page.metadata.unwrap_or_default().next.unwrap_or_default();
        if continued.is_empty() || continued == next {
            break;
        }
        next = continued;
    }
    let image = |((image, namespace), pod): ((String, String), String)| PlatformImage {
        image,
        what: format!("pod {namespace}/{pod}"),
        namespace: Some(namespace),
    };
    Ok(Ok(found.into_iter().map(image).collect()))
}

#[derive(Deserialize)]
struct Page {
    metadata: Option<PageMetadata>,
    items: Option<Vec<Pod>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Option<Metadata>,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    image: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Deserialize)]
struct ContainerStatus {
    #[serde(default, rename = "imageID")]
    image_id: String,
}
