//! The crates that a program for one platform is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use crate::fault::{Fault, Result};
use crate::platform::Platform;
use crate::repository::Repository;
use crate::run;

/// A crate, as cargo knows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Package {
    id: String,
    pub name: String,
    pub version: String,
    /// An SPDX expression.
    pub license: Option<String>,
    pub repository: Option<String>,
    #[serde(default)]
    pub authors: Vec<String>,
    manifest_path: PathBuf,
}

impl Package {
    pub fn directory(&self) -> PathBuf {
        self.manifest_path.parent().map(PathBuf::from).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    root: Option<String>,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// `dev`, `build`, or nothing.
    kind: Option<String>,
}

/// The crates, in the order of their names, without our own. Those that only tests and build scripts need are not among them.
///
/// # Errors
/// Where cargo does not tell.
pub fn of(repository: &Repository, platform: &Platform) -> Result<Vec<Package>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--locked", "--format-version=1", "--filter-platform", platform.triple]);
    cargo.arg("--manifest-path").arg(repository.root.join("Cargo.toml"));
    let metadata: Metadata = serde_json::from_str(&run::output(&mut cargo)?)
        .map_err(|error| Fault::new(format!("cargo metadata is not understood: {error}")))?;
    let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let root = metadata.resolve.root.as_deref().ok_or_else(|| Fault::new("cargo metadata names no root package"))?;
    let mut seen = BTreeSet::from([root]);
    let mut left = vec![root];
    while let Some(node) = left.pop() {
        for dependency in nodes.get(node).map_or(&[][..], |node| &node.deps) {
            if dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()) && seen.insert(&dependency.pkg) {
                left.push(&dependency.pkg);
            }
        }
    }
    let mut packages: Vec<Package> = metadata
        .packages
        .iter()
        .filter(|package| package.id != root && seen.contains(package.id.as_str()))
        .cloned()
        .collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(packages)
}
