//! Kubeconfig files as kubectl reads them: several merged, the first to name a thing wins, relative paths count from the file
//! that has them. The reader of `kube` is not used: it refuses missing files, takes an empty `current-context` or `token` for a
//! value, and shows the offending line, which may be a token.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// More than any kubeconfig has, little enough to read at once.
const MAX_FILE: u64 = 16 << 20;

/// One file, or several merged. An empty string is the same as nothing, as in Go: read through [`filled`].
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Kubeconfig {
    #[serde(default)]
    clusters: Option<Vec<NamedCluster>>,
    #[serde(default)]
    contexts: Option<Vec<NamedContext>>,
    #[serde(default)]
    users: Option<Vec<NamedUser>>,
    #[serde(default)]
    current_context: Option<String>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Option<Context>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: Option<User>,
}

/// How to reach a server.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Cluster {
    pub server: Option<String>,
    pub tls_server_name: Option<String>,
    pub insecure_skip_tls_verify: Option<bool>,
    pub certificate_authority: Option<String>,
    pub certificate_authority_data: Option<String>,
    pub proxy_url: Option<String>,
    pub disable_compression: Option<bool>,
    pub extensions: Option<Vec<Extension>>,
}

/// Something that another program keeps in a kubeconfig.
#[derive(Clone, Deserialize)]
pub(super) struct Extension {
    pub name: String,
    #[serde(default)]
    pub extension: Value,
}

/// A cluster, a user and a namespace under one name.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Context {
    pub cluster: Option<String>,
    pub user: Option<String>,
    pub namespace: Option<String>,
}

/// Who one is to the server.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct User {
    pub client_certificate: Option<String>,
    pub client_certificate_data: Option<String>,
    pub client_key: Option<String>,
    pub client_key_data: Option<String>,
    pub token: Option<String>,
    #[serde(rename = "tokenFile")]
    pub token_file: Option<String>,
    #[serde(rename = "as")]
    pub impersonate: Option<String>,
    #[serde(rename = "as-uid")]
    pub impersonate_uid: Option<String>,
    #[serde(rename = "as-groups")]
    pub impersonate_groups: Option<Vec<String>>,
    #[serde(rename = "as-user-extra")]
    pub impersonate_extra: Option<BTreeMap<String, Vec<String>>>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub auth_provider: Option<AuthProvider>,
    pub exec: Option<Exec>,
}

/// The way before exec plugins.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AuthProvider {
    pub name: Option<String>,
    pub config: Option<BTreeMap<String, String>>,
}

/// A program that prints credentials.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Exec {
    pub api_version: Option<String>,
    pub command: Option<String>,
    pub args: Option<Vec<String>>,
    pub env: Option<Vec<ExecVariable>>,
    pub install_hint: Option<String>,
    pub provide_cluster_info: Option<bool>,
    pub interactive_mode: Option<String>,
}

/// One variable for it.
#[derive(Clone, Deserialize)]
pub(super) struct ExecVariable {
    pub name: String,
    #[serde(default)]
    pub value: String,
}

/// The text, if there is any.
pub(super) fn filled(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

impl Kubeconfig {
    /// The files merged; one that does not exist counts as empty unless it `must_exist`.
    pub fn read(paths: &[PathBuf], must_exist: bool) -> Result<Self> {
        let mut merged = Self::default();
        for path in paths {
            match read_file(path) {
                Ok(text) => merged.add(Self::parse(&text, path)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => {}
                Err(source) => {
                    let hint = "name another with --kubeconfig, or read files with -f".to_string();
                    return Err(Error::File { action: "read", path: path.display().to_string(), source, hint });
                }
            }
        }
        Ok(merged)
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        // Go's decoder reads the first document and stops.
        let Some(document) = serde_yaml::Deserializer::from_str(text).next() else {
            return Ok(Self::default());
        };
        let mut parsed = Option::<Self>::deserialize(document)
            .map_err(|error| {
                let place = error.location().map_or_else(
                    || path.display().to_string(),
                    |location| format!("{}:{}:{}", path.display(), location.line(), location.column()),
                );
                Error::Kubeconfig {
                    message: format!("{place} is not what a kubeconfig has"),
                    hint: format!("`oc config view --kubeconfig={}` says more", path.display()),
                }
            })?
            .unwrap_or_default();
        parsed.resolve_paths(path.parent().unwrap_or(Path::new("")));
        Ok(parsed)
    }

    fn resolve_paths(&mut self, directory: &Path) {
        let resolve = |path: &mut Option<String>| {
            if let Some(relative) = filled(path)
                && Path::new(relative).is_relative()
            {
                *path = Some(directory.join(relative).to_string_lossy().into_owned());
            }
        };
        for cluster in self.clusters.iter_mut().flatten().filter_map(|named| named.cluster.as_mut()) {
            resolve(&mut cluster.certificate_authority);
        }
        for user in self.users.iter_mut().flatten().filter_map(|named| named.user.as_mut()) {
            resolve(&mut user.client_certificate);
            resolve(&mut user.client_key);
            resolve(&mut user.token_file);
            // A bare command is looked up in PATH.
            if let Some(exec) = &mut user.exec
                && filled(&exec.command).is_some_and(|command| command.contains(std::path::is_separator))
            {
                resolve(&mut exec.command);
            }
        }
    }

    fn add(&mut self, next: Self) {
        if filled(&self.current_context).is_none() {
            self.current_context = next.current_context;
        }
        append_new(&mut self.clusters, next.clusters, |named| &named.name);
        append_new(&mut self.contexts, next.contexts, |named| &named.name);
        append_new(&mut self.users, next.users, |named| &named.name);
    }

    /// Whether no cluster, context or user is in it.
    pub fn is_empty(&self) -> bool {
        self.clusters.iter().flatten().next().is_none()
            && self.contexts.iter().flatten().next().is_none()
            && self.users.iter().flatten().next().is_none()
    }

    /// `current-context`
    pub fn current_context(&self) -> Option<&str> {
        filled(&self.current_context)
    }

    /// The context of that name.
    pub fn context(&self, name: &str) -> Option<Context> {
        let found = self.contexts.iter().flatten().find(|named| named.name == name)?;
        Some(found.context.clone().unwrap_or_default())
    }

    /// The cluster of that name.
    pub fn cluster(&self, name: &str) -> Option<Cluster> {
        let found = self.clusters.iter().flatten().find(|named| named.name == name)?;
        Some(found.cluster.clone().unwrap_or_default())
    }

    /// The user of that name.
    pub fn user(&self, name: &str) -> Option<User> {
        let found = self.users.iter().flatten().find(|named| named.name == name)?;
        Some(found.user.clone().unwrap_or_default())
    }

    /// Names to suggest.
    pub fn context_names(&self) -> impl Iterator<Item = &str> {
        self.contexts.iter().flatten().map(|named| named.name.as_str())
    }

    /// Names to suggest.
    pub fn cluster_names(&self) -> impl Iterator<Item = &str> {
        self.clusters.iter().flatten().map(|named| named.name.as_str())
    }

    /// Names to suggest.
    pub fn user_names(&self) -> impl Iterator<Item = &str> {
        self.users.iter().flatten().map(|named| named.name.as_str())
    }
}

fn append_new<T>(to: &mut Option<Vec<T>>, from: Option<Vec<T>>, name: impl Fn(&T) -> &str) {
    let to = to.get_or_insert_default();
    let known: std::collections::HashSet<String> = to.iter().map(|item| name(item).to_string()).collect();
    to.extend(from.into_iter().flatten().filter(|item| !known.contains(name(item))));
}

/// The text of a small file, without a byte order mark.
pub(super) fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 16 MiB"));
    }
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

/// The name that `wanted` was probably meant to be.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wanted.chars().count() / 3).max(1);
    // Names that differ much in length are not compared: the table below is as large as both together.
    let near = |name: &&str| name.len().abs_diff(wanted.len()) <= 3 * limit && name.len() <= 500;
    let scored = names.filter(near).map(|name| (distance(wanted, name), name));
    scored.filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}

/// Levenshtein, without regard to letter case.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (to, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let best = (diagonal + usize::from(from != *to)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("prod", "prdo", 2),
            ("prod", "prd", 1),
            ("kitten", "sitting", 3),
            ("Prod", "prod", 0),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
        assert_eq!(nearest("prdo", ["test", "prod"].into_iter()), None);
        assert_eq!(nearest("prd", ["test", "prod"].into_iter()), Some("prod"));
        assert_eq!(
            nearest("production-est", ["production-east", "production-west"].into_iter()),
            Some("production-east")
        );
    }
}
