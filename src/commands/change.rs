//! A change that is asked for with `-f` and `--without`, laid on what was read as an apply would lay it: what `diff` shows and
//! `apply` writes.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use super::input::{DeliveryArgs, Of};
use super::load::{Loaded, release, without};
use crate::compile::pools::{self, PoolGroup, Which};
use crate::compile::{compile, overlay};
use crate::diff::Side;
use crate::error::{Error, Result};
use crate::files::{self, ReadOptions};
use crate::merge::apply_locally;
use crate::model::provenance::Refusal;
use crate::snapshot::{InsertError, Kind, Origin, Snapshot, Source};

/// What is to change.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Change")]
pub struct ChangeArgs {
    /// What to apply: a file of manifests, a directory, or `-` for stdin
    #[arg(short = 'f', long = "filename", visible_alias = "overlay", value_name = "PATH")]
    pub filename: Vec<PathBuf>,
    /// Read directories given with -f with all that lies below them
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// As if this object were deleted
    #[arg(long, value_name = "KIND/[NAMESPACE/]NAME")]
    pub without: Vec<String>,
    /// The namespace of objects in files that name none
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    #[command(flatten)]
    pub delivery: DeliveryArgs,
}

impl ChangeArgs {
    /// Whether nothing is to change.
    pub fn is_empty(&self) -> bool {
        let DeliveryArgs { key, lookaside, inline_keys } = &self.delivery;
        self.filename.is_empty() && self.without.is_empty() && key.is_empty() && lookaside.is_empty() && !inline_keys
    }

    /// The objects that `-f` names, each with a namespace where its kind has one.
    pub fn wanted(&self) -> Result<Vec<(Value, Origin)>> {
        if self.filename.is_empty() {
            return match self.recursive {
                true => Err(Error::usage("-R needs a directory", "say which with: -f DIR -R")),
                false => Ok(Vec::new()),
            };
        }
        let read = files::read(&self.filename, ReadOptions { recursive: self.recursive, ..ReadOptions::default() })?;
        if let Some(tree) = read.node_trees.first() {
            return Err(Error::usage(
                format!("{} holds the files of a node, and only objects can be applied", tree.name),
                "to compare with them, name them as what there is: --base DIR",
            ));
        }
        read.warnings.iter().for_each(|warning| super::say("warning", warning));
        read.as_written().map(|(_, raw, origin)| Ok((self.in_namespace(raw.clone())?, origin.clone()))).collect()
    }

    pub(super) fn in_namespace(&self, mut object: Value) -> Result<Value> {
        let is_namespaced = Kind::of_object(&object).is_some_and(|kind| kind.info().namespaced);
        let names_one = object
            .pointer("/metadata/namespace")
            .and_then(Value::as_str)
            .is_some_and(|namespace| !namespace.is_empty());
        if !is_namespaced || names_one {
            return Ok(object);
        }
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_string();
        match (&self.namespace, object.get_mut("metadata").and_then(Value::as_object_mut)) {
            (Some(namespace), Some(metadata)) => {
                metadata.insert("namespace".into(), namespace.as_str().into());
                Ok(object)
            }
            (None, Some(_)) => Err(Error::usage(
                format!("ImagePolicy {name} does not say in which namespace it is"),
                "name it: -n NAMESPACE, or metadata.namespace in the file",
            )),
            (_, None) => Ok(object),
        }
    }

    /// What there will be: the objects as an apply would merge them, deletions, and what our own MachineConfigs then bring along.
    pub fn lay_on(&self, before: &Loaded) -> Result<Loaded> {
        let wanted = self.wanted()?;
        let mut snapshot = before.snapshot.clone();
        // Next to a node's own files they are not a change but all that there is, statuses included.
        let is_all = snapshot.is_empty();
        let has_policies = wanted
            .iter()
            .any(|(object, _)| matches!(Kind::of_object(object), Some(Kind::ClusterImagePolicy | Kind::ImagePolicy)));
        let laid = if is_all { snapshot.lay_on_top(wanted) } else { lay(&mut snapshot, wanted) };
        laid.map_err(|error| Error::Input {
            place: "-f".into(),
            message: error.to_string(),
            hint: "each object can be applied only once: look for the same kind and name in the files".into(),
        })?;
        for text in &self.without {
            without(&mut snapshot, text)?;
        }
        let delivery = self.delivery.read()?;
        let (release, release_assumed) = match before.release_assumed {
            true => release(None, &snapshot)?,
            false => (before.release, false),
        };
        if has_policies || delivery != Default::default() {
            snapshot.delivery = delivery;
            overlay::deliver_what_is_not_read(&mut snapshot, release);
        }
        let compiled = compile(&snapshot, release);
        if compiled.payload.is_some() && before.compiled.payload.is_none() {
            snapshot.gaps.retain(|gap| gap.kind != Kind::ClusterVersion);
        }
        Ok(Loaded { snapshot, release, release_assumed, compiled, hypothetical: true })
    }
}

/// Lays objects on a snapshot, each merged with the one that is there. What our MachineConfigs deliver, they go on delivering.
fn lay(snapshot: &mut Snapshot, wanted: Vec<(Value, Origin)>) -> Result<(), InsertError> {
    let merged = {
        let live: HashMap<_, &Value> =
            snapshot.as_written().map(|(reference, raw, _)| (reference.identity(), raw)).collect();
        let merge = |(object, origin): (Value, Origin)| {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let namespace = Some(text("/metadata/namespace")).filter(|namespace| !namespace.is_empty());
            let live = live.get(&(text("/kind"), namespace, text("/metadata/name"))).copied();
            (apply_locally(live, &object), origin)
        };
        wanted.into_iter().map(merge).collect::<Vec<_>>()
    };
    if let Some(mut beneath) = snapshot.beneath.take() {
        let of_api = merged.iter().filter(|(object, _)| {
            Kind::of_object(object)
                .is_none_or(|kind| beneath.has_object(kind, object) || !snapshot.has_object(kind, object))
        });
        let laid = beneath.lay_on_top(of_api.cloned().collect::<Vec<_>>());
        snapshot.beneath = Some(beneath);
        laid?;
    }
    snapshot.lay_on_top(merged)
}

/// One side of a comparison.
#[derive(Default)]
pub struct Sides<'a> {
    /// Groups of pools whose nodes read the same.
    pub sides: Vec<Side<'a>>,
    /// Why pools are missing: sentences for a person.
    pub missing: Vec<String>,
    /// Why there is no such side: what is desired is refused.
    pub refusals: Vec<Refusal>,
}

/// What nodes were given last where that is known, else what the objects ask for.
pub fn known_left(before: &Loaded) -> Of {
    let knows_rendered = before.snapshot.source != Source::Manifests
        && before.snapshot.pools.iter().any(|pool| !pool.value.spec.configuration.name.is_empty())
        && before.snapshot.machine_configs.iter().any(|object| object.metadata.name.starts_with("rendered-"));
    if knows_rendered { Of::Rendered } else { Of::Desired }
}

/// The files of every pool in one of the truths.
pub fn sides<'a>(loaded: &'a Loaded, of: &Of) -> Result<Sides<'a>> {
    let (snapshot, compiled) = (&loaded.snapshot, &loaded.compiled);
    let (groups, missing, which) = match of {
        Of::Desired => match pools::desired(snapshot, compiled) {
            Ok(truth) => (truth.groups, truth.missing, Which::Desired),
            Err(refusals) => return Ok(Sides { refusals, ..Sides::default() }),
        },
        Of::Rendered => {
            let truth = pools::rendered(snapshot, compiled);
            (truth.groups, truth.missing, Which::Rendered)
        }
        Of::Node(name) => {
            let hint = "list nodes with: oc get nodes; a node's MachineConfig is in its annotation currentConfig";
            let group = pools::of_node(snapshot, compiled, name).map_err(|message| Error::usage(message, hint))?;
            (vec![group], Vec::new(), Which::Node(name))
        }
    };
    let message = |message| Error::Incomplete { message, hint: String::new() };
    let mut contents: HashMap<_, _> = pools::files(snapshot, compiled, which).map_err(message)?.into_iter().collect();
    let side = |group: PoolGroup| {
        let first = group.pools.first().and_then(|pool| contents.remove(&pool.name)).unwrap_or_default();
        Side { pools: group.names().map(str::to_string).collect(), files: group.files, contents: first }
    };
    Ok(Sides { sides: groups.into_iter().map(side).collect(), missing, refusals: Vec::new() })
}
