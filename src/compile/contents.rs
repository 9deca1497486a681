//! The bytes of the files that nodes have, or would have: what is written in MachineConfigs as it is, and what the controller would
//! generate put together when somebody asks for it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use super::generated::GeneratedFile;
use super::pools::{
    MergedPool, Wanted, current_config, desired_merges, machine_config, member, merged_pool, pool_of_node,
    rendered_pool,
};
use super::{Compiled, Generated};
use crate::model::machine_config::{self, MergedFile};
use crate::model::node_files::{POLICY_JSON, REGISTRIES_CONF};
use crate::model::policy_write::TEMPLATE;
use crate::snapshot::Snapshot;

/// One of the three truths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// What the objects ask for.
    Desired,
    /// What the machine-config-operator last rendered for a pool.
    Rendered,
    /// What the node of this name has.
    Node(&'a str),
}

/// The files of a pool's nodes that concern images, by path.
pub type Files<'a> = BTreeMap<String, Content<'a>>;

/// The content of one file. Its bytes come about when they are asked for: a policy.json may have 100 MB, and every namespace may
/// have one.
#[derive(Clone)]
pub struct Content<'a> {
    start: Start<'a>,
    written: MergedFile<'a>,
}

#[derive(Clone)]
enum Start<'a> {
    Written,
    Generated(GeneratedFile<'a>),
    Shipped(&'static str),
    /// Of a node's own file.
    Bytes(&'a [u8]),
}

/// The file of a node, as it is.
impl<'a> From<&'a [u8]> for Content<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { start: Start::Bytes(bytes), written: MergedFile::default() }
    }
}

impl<'a> Content<'a> {
    /// All of it.
    ///
    /// # Errors
    /// Half a sentence: why what a MachineConfig holds cannot be decoded.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }

    /// The same in pieces: what is computed is never held as a whole.
    ///
    /// # Errors
    /// As [`Content::bytes`], and those of `out`.
    pub fn write_to(&self, out: &mut dyn Write) -> Result<(), String> {
        let written = match &self.start {
            Start::Written => Ok(()),
            Start::Generated(file) => file.write_to(out),
            Start::Shipped(text) => out.write_all(text.as_bytes()),
            Start::Bytes(bytes) => out.write_all(bytes),
        };
        let written = written.and_then(|()| out.write_all(&self.written.bytes().map_err(io::Error::other)?));
        written.map_err(|error| error.to_string())
    }

    /// Whether MachineConfigs hold it as it is; else it is yet to be put together.
    pub fn is_written(&self) -> bool {
        matches!(self.start, Start::Written | Start::Bytes(_))
    }

    /// Whether both stand in MachineConfigs in the same way, so that there is no need to decode them.
    pub fn is_written_as(&self, other: &Self) -> bool {
        match (&self.start, &other.start) {
            (Start::Written, Start::Written) => self.written.has_same_content(&other.written),
            (Start::Shipped(own), Start::Shipped(other_text)) => {
                own == other_text && self.written.has_same_content(&other.written)
            }
            _ => false,
        }
    }
}

/// The files of every pool, in one of the truths; pools of which that truth is not known are absent. Of a node its files stand under
/// the name of its pool, or its own where no pool takes it.
///
/// # Errors
/// A sentence: the controller refuses what is desired, or there is no such node.
pub fn files<'a>(
    snapshot: &'a Snapshot,
    compiled: &'a Compiled,
    which: Which<'_>,
) -> Result<Vec<(Arc<str>, Files<'a>)>, String> {
    match which {
        Which::Desired => {
            let merged = desired_merges(snapshot, compiled).map_err(|refusals| {
                let first = refusals.first().map(|refusal| refusal.text.as_str()).unwrap_or_default();
                format!("there is nothing that nodes should have, since it is refused: {first}")
            })?;
            let overlay = compiled.overlay().map(|overlay| (&overlay.delivered, machine_config::Contents::Overlay));
            let generated =
                compiled.generated.as_ref().ok().map(|generated| (generated, machine_config::Contents::Generated));
            let computed: Vec<_> = generated.into_iter().chain(overlay).collect();
            Ok(merged.into_iter().map(|pool| of_pool(pool, &computed)).collect())
        }
        Which::Rendered => {
            let merged = snapshot.pools.iter().filter_map(|pool| {
                let rendered = machine_config(snapshot, &pool.value.spec.configuration.name)?;
                Some(rendered_pool(snapshot, compiled, pool, rendered))
            });
            Ok(merged.map(|pool| of_pool(pool, &[])).collect())
        }
        Which::Node(name) => {
            let node = snapshot.nodes.iter().find(|object| object.metadata.name == name);
            let node = node.ok_or_else(|| format!("node {name} is not known"))?;
            let current = current_config(node).unwrap_or_default();
            let object = machine_config(snapshot, current)
                .ok_or_else(|| format!("MachineConfig {current} of node {name} is not known"))?;
            let merged = match pool_of_node(snapshot, &node.metadata.labels) {
                Some(pool) => rendered_pool(snapshot, compiled, pool, object),
                None => merged_pool(
                    &Wanted::unlabelled(name),
                    vec![member(object, &|path| compiled.concerns(path))],
                    compiled,
                ),
            };
            Ok(vec![of_pool(merged, &[])])
        }
    }
}

/// The bytes of every file of one pool that concerns images, as nodes have them. Makes all of them at once: see [`files`] for where
/// there may be very many. With [`Which::Node`] the pool does not matter.
///
/// # Errors
/// A sentence: as [`files`], the truth of this pool is not known, or a file cannot be decoded.
pub fn contents(
    snapshot: &Snapshot,
    compiled: &Compiled,
    which: Which<'_>,
    pool: &str,
) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let all = files(snapshot, compiled, which)?;
    let found = all.into_iter().find(|(name, _)| matches!(which, Which::Node(_)) || **name == *pool);
    let (_, found) = found.ok_or_else(|| format!("the files of pool {pool} are not known"))?;
    let read = |(path, content): (String, Content)| match content.bytes() {
        Ok(bytes) => Ok((path, bytes)),
        Err(why) => Err(format!("{path} cannot be read: {why}")),
    };
    found.into_iter().map(read).collect()
}

/// `computed` are the files that nobody has written yet, and how the merge marks them.
fn of_pool<'a>(
    (pool, merged): MergedPool<'a>,
    computed: &[(&'a Generated, machine_config::Contents<'a>)],
) -> (Arc<str>, Files<'a>) {
    let mut by_path: BTreeMap<(String, usize), GeneratedFile<'a>> = BTreeMap::new();
    for (position, (files, _)) in computed.iter().enumerate() {
        by_path.extend(files.files().into_iter().map(|file| ((file.path.clone(), position), file)));
    }
    let content = |(path, file): (String, MergedFile<'a>)| {
        let position = computed.iter().position(|(_, mark)| file.contents == Some(*mark));
        let start = position.and_then(|position| by_path.remove(&(path.clone(), position)));
        let start = start.map_or(Start::Written, Start::Generated);
        (path, Content { start, written: file })
    };
    let mut files: Files<'a> = merged.into_iter().map(content).collect();
    for (path, text) in [(POLICY_JSON, TEMPLATE), (REGISTRIES_CONF, SHIPPED_REGISTRIES_CONF)] {
        let shipped = Content { start: Start::Shipped(text), written: MergedFile::default() };
        files.entry(path.to_string()).or_insert(shipped);
    }
    (pool.name, files)
}

/// What OpenShift's own MachineConfig for every role delivers.
const SHIPPED_REGISTRIES_CONF: &str = "unqualified-search-registries = ['registry.access.redhat.com', 'docker.io']\n";
