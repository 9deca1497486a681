//! Names of objects and nothing else of them, for shell completion: as many pages of metadata as there is time for.

use std::time::Instant;

use serde::Deserialize;

use super::Connection;
use super::read::{METADATA_ONLY, path_of, url_of};
use super::session::{Answer, Session};
use crate::error::Result;
use crate::snapshot::Kind;

/// As kubectl has it.
const PAGE: u32 = 500;
/// No cluster has more of anything that has a name worth typing.
const MOST: usize = 100_000;

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

/// Names in the cluster, as the server has them: foreign text. Those that come until then; none where there is no such kind or none may be read. Where
/// only one namespace may be read, its names: `namespace`, else that of the context.
///
/// Must run within a tokio runtime.
///
/// # Errors
/// [`crate::error::Error::Cluster`] and [`crate::error::Error::Kubeconfig`], as [`super::read()`].
pub async fn names(
    connection: &Connection,
    of: Named,
    namespace: Option<&str>,
    until: Instant,
) -> Result<Vec<ObjectName>> {
    let session = Session::new(connection)?;
    let kind = match of {
        Named::Kind(kind) => kind,
        // Who may not list namespaces may list projects, those of his own.
        Named::Namespaces => {
            return match list(&session, "/api/v1/namespaces", until).await? {
                Page::Names(names) => Ok(names),
                _ => Ok(list(&session, "/apis/project.openshift.io/v1/projects", until).await?.names()),
            };
        }
    };
    let info = kind.info();
    if let Some(name) = info.only {
        return Ok(vec![ObjectName { namespace: None, name: name.to_string() }]);
    }
    for version in info.versions {
        match list(&session, &path_of(info, version, None), until).await? {
            Page::Names(names) => return Ok(names),
            Page::NotInstalled => continue,
            Page::Forbidden if info.namespaced => {
                let namespace = namespace.unwrap_or(connection.namespace());
                return Ok(list(&session, &path_of(info, version, Some(namespace)), until).await?.names());
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

/// Page after page. What is there when the time is over, or a later page cannot be read, is better than nothing.
async fn list(session: &Session, path: &str, until: Instant) -> Result<Page> {
    let mut found = match page(session, path, "").await? {
        Ok(list) => list,
        Err(page) => return Ok(page),
    };
    let mut names = found.names();
    while names.len() < MOST
        && let Some(next) = found.next()
    {
        match tokio::time::timeout_at(until.into(), page(session, path, &next)).await {
            Ok(Ok(Ok(list))) => found = list,
            _ => break,
        }
        names.extend(found.names());
    }
    Ok(Page::Names(names))
}

async fn page(session: &Session, path: &str, next: &str) -> Result<std::result::Result<List, Page>> {
    let url = url_of(path, PAGE, next, None);
    let body = match session.get(&url, METADATA_ONLY).await? {
        Answer::Found(body) => body,
        Answer::Forbidden(_) => return Ok(Err(Page::Forbidden)),
        Answer::NotFound(_) | Answer::Gone | Answer::TooLarge => return Ok(Err(Page::NotInstalled)),
    };
    let list = serde_json::from_slice(&body);
    list.map(Ok).map_err(|_| session.not_an_api_server(&url, &body, "is not what was asked for"))
}

#[derive(Deserialize)]
struct List {
    items: Option<Vec<Item>>,
    metadata: Option<Continue>,
}

#[derive(Deserialize)]
struct Continue {
    r#continue: Option<String>,
}

impl List {
    fn names(&mut self) -> Vec<ObjectName> {
        let items = self.items.take().unwrap_or_default().into_iter().filter_map(|item| item.metadata);
        items.map(|metadata| ObjectName { namespace: metadata.namespace, name: metadata.name }).collect()
    }

    fn next(&mut self) -> Option<String> {
        self.metadata.take()?.r#continue.filter(|next| !next.is_empty())
    }
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
