//! Names of objects and nothing else of them, for shell completion: one page of metadata, whoever may read how much.

use serde::Deserialize;

use super::Connection;
use super::read::{METADATA_ONLY, path_of, url_of};
use super::session::{Answer, Session};
use crate::error::Result;
use crate::snapshot::Kind;

/// Objects that are offered; nobody chooses among more.
const MOST: u32 = 500;

/// What has names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The objects of a kind.
    Kind(Kind),
    /// Namespaces, or what of them one may see as projects.
    Namespaces,
}

/// An object by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// Where its kind lives in namespaces.
    pub namespace: Option<String>,
    /// `metadata.name`
    pub name: String,
}

/// Names in the cluster, as the server has them: foreign text. The first 500; none where there is no such kind or none may be read. Where
/// only one namespace may be read, its names: `namespace`, else that of the context.
///
/// Must run within a tokio runtime.
///
/// # Errors
/// [`crate::error::Error::Cluster`] and [`crate::error::Error::Kubeconfig`], as [`super::read()`].
pub async fn names(connection: &Connection, of: Named, namespace: Option<&str>) -> Result<Vec<ObjectName>> {
    let session = Session::new(connection)?;
    let kind = match of {
        Named::Kind(kind) => kind,
        // Who may not list namespaces may list projects, those of his own.
        Named::Namespaces => {
            return match page(&session, "/api/v1/namespaces").await? {
                Page::Names(names) => Ok(names),
                _ => Ok(page(&session, "/apis/project.openshift.io/v1/projects").await?.names()),
            };
        }
    };
    let info = kind.info();
    if let Some(name) = info.only {
        return Ok(vec![ObjectName { namespace: None, name: name.to_string() }]);
    }
    for version in info.versions {
        match page(&session, &path_of(info, version, None)).await? {
            Page::Names(names) => return Ok(names),
            Page::NotInstalled => continue,
            Page::Forbidden if info.namespaced => {
                let namespace = namespace.unwrap_or(connection.namespace());
                return Ok(page(&session, &path_of(info, version, Some(namespace))).await?.names());
            }
            Page::Forbidden => break,
        }
    }
    Ok(Vec::new())
}

enum Page {
    Names(Vec<ObjectName>),
    NotInstalled,
    Forbidden,
}

impl Page {
    fn names(self) -> Vec<ObjectName> {
        match self {
            Self::Names(names) => names,
            Self::NotInstalled | Self::Forbidden => Vec::new(),
        }
    }
}

async fn page(session: &Session, path: &str) -> Result<Page> {
    let url = url_of(path, MOST, "", None);
    let body = match session.get(&url, METADATA_ONLY).await? {
        Answer::Found(body) => body,
        Answer::Forbidden(_) => return Ok(Page::Forbidden),
        Answer::NotFound(_) | Answer::Gone | Answer::TooLarge => return Ok(Page::NotInstalled),
    };
    let list: List = serde_json::from_slice(&body)
        .map_err(|_| session.not_an_api_server(&url, &body, "is not what was asked for"))?;
    let items = list.items.unwrap_or_default().into_iter().filter_map(|item| item.metadata);
    Ok(Page::Names(items.map(|metadata| ObjectName { namespace: metadata.namespace, name: metadata.name }).collect()))
}

#[derive(Deserialize)]
struct List {
    items: Option<Vec<Item>>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    namespace: Option<String>,
}
