//! Which node files are asked about: those of every group of pools that agree, in the truth that was asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::input::{Of, ScopeArgs};
use super::load::Loaded;
use crate::compile::in_force::{InForce, in_force};
use crate::compile::overlay;
use crate::compile::pools::{self, PoolGroup};
use crate::error::{Error, Result};
use crate::model::node_files::NodeFiles;
use crate::model::provenance::Refusal;
use crate::snapshot::{NodeTree, Source};

/// The node files of pools that agree.
pub struct View {
    /// Empty where only files are known.
    pub pools: Vec<String>,
    /// What their nodes read.
    pub files: Arc<NodeFiles>,
    /// Whether that is what they have; for the desired truth of a cluster.
    pub in_force: Option<InForce>,
    /// Path → the MachineConfig of ours that delivers the file, and what it is made from, in words.
    pub ours: BTreeMap<String, String>,
}

/// The truth that was asked for.
pub struct Truth {
    views: Vec<View>,
    refusals: Vec<Refusal>,
    /// Why pools or nodes are missing: sentences for a person.
    pub missing: Vec<String>,
}

impl Truth {
    /// What nodes read; where the controller refuses, what they still have, as far as that is known.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// Why there is no desired truth.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// Whether there is none.
    pub fn refused(&self) -> bool {
        !self.refusals.is_empty()
    }

    /// For all views together.
    pub fn in_force(&self) -> Option<InForce> {
        if self.refused() {
            return self.views.iter().any(|view| view.in_force.is_some()).then_some(InForce::No);
        }
        let all: Option<Vec<InForce>> = self.views.iter().map(|view| view.in_force).collect();
        let all = all.filter(|all| !all.is_empty())?;
        Some(worst(all))
    }
}

fn worst(all: impl IntoIterator<Item = InForce>) -> InForce {
    all.into_iter().fold(InForce::Yes, |worst, one| match (worst, one) {
        (InForce::No, _) | (_, InForce::No) => InForce::No,
        (InForce::Unknown, _) | (_, InForce::Unknown) => InForce::Unknown,
        (InForce::Yes, InForce::Yes) => InForce::Yes,
    })
}

/// Puts together what was asked for.
pub fn truth(loaded: &Loaded, scope: &ScopeArgs) -> Result<Truth> {
    if loaded.hypothetical && scope.of != Of::Desired {
        return Err(Error::usage(
            format!("--overlay and --without change what is desired, not what is {}", scope.of),
            "leave --of out",
        ));
    }
    if !loaded.snapshot.node_trees.is_empty() {
        return of_trees(loaded, scope);
    }
    let mut answers = None;
    let (groups, refusals, missing) = match &scope.of {
        Of::Node(name) => {
            let group = pools::of_node(&loaded.snapshot, &loaded.compiled, name).map_err(|message| {
                Error::usage(
                    message,
                    "list nodes with: oc get nodes; a node's MachineConfig is in its annotation currentConfig",
                )
            })?;
            (vec![group], Vec::new(), Vec::new())
        }
        Of::Rendered => {
            let truth = pools::rendered(&loaded.snapshot, &loaded.compiled);
            (truth.groups, Vec::new(), truth.missing)
        }
        Of::Desired => {
            let desired = pools::desired(&loaded.snapshot, &loaded.compiled);
            if loaded.snapshot.source != Source::Manifests && !loaded.hypothetical {
                answers = Some(in_force(&loaded.snapshot, &loaded.compiled, desired.as_ref().ok()));
            }
            match desired {
                Ok(truth) => (truth.groups, Vec::new(), truth.missing),
                Err(refusals) => (pools::rendered(&loaded.snapshot, &loaded.compiled).groups, refusals, Vec::new()),
            }
        }
    };
    let mut views: Vec<View> = groups.iter().map(|group| view(loaded, group, answers.as_ref())).collect();
    if let Some(pool) = &scope.pool {
        views.retain(|view| view.pools.contains(pool));
        for view in &mut views {
            view.pools = vec![pool.clone()];
            if let Some(answers) = &answers {
                view.in_force = answers.get(pool.as_str()).copied();
            }
        }
        if views.is_empty() && (refusals.is_empty() || !groups.is_empty()) {
            let known: Vec<&str> = groups.iter().flat_map(PoolGroup::names).collect();
            return Err(Error::usage(
                format!("there is no pool `{pool}` here"),
                format!("those that are known: {}", known.join(", ")),
            ));
        }
    }
    if views.is_empty() && refusals.is_empty() {
        let message =
            if missing.is_empty() { format!("nothing is known of what is {}", scope.of) } else { missing.join("; ") };
        return Err(Error::Incomplete { message, hint: "ask for what the objects say with: --of desired".into() });
    }
    Ok(Truth { views, refusals, missing })
}

fn view(loaded: &Loaded, group: &PoolGroup, answers: Option<&BTreeMap<Arc<str>, InForce>>) -> View {
    let writers = group.pools.first().map(|pool| &pool.writers);
    // Very many files have the same few writers.
    let mut known: BTreeMap<&Arc<str>, Option<String>> = BTreeMap::new();
    let ours = writers.into_iter().flatten().filter_map(|(path, writers)| {
        let writer = writers.last()?;
        let words = || overlay::in_words(&loaded.snapshot, &loaded.compiled, writer);
        let text = known.entry(writer).or_insert_with(words).clone()?;
        Some((path.clone(), text))
    });
    View {
        ours: ours.collect(),
        pools: group.names().map(str::to_string).collect(),
        files: Arc::clone(&group.files),
        in_force: answers
            .map(|answers| worst(group.names().map(|name| answers.get(name).copied().unwrap_or(InForce::Unknown)))),
    }
}

/// Node files that were given as they are: each is a view of its own.
fn of_trees(loaded: &Loaded, scope: &ScopeArgs) -> Result<Truth> {
    if scope.pool.is_some() || scope.of != Of::Desired {
        return Err(Error::usage(
            "the files of a node belong to no pool and are the only truth there is",
            "leave --pool and --of out",
        ));
    }
    let read = |tree: &NodeTree| View {
        pools: Vec::new(),
        files: Arc::new(NodeFiles::read(tree.files.iter().map(|(path, bytes)| (path, bytes, None)))),
        in_force: None,
        ours: BTreeMap::new(),
    };
    Ok(Truth {
        views: loaded.snapshot.node_trees.iter().map(read).collect(),
        refusals: Vec::new(),
        missing: Vec::new(),
    })
}
