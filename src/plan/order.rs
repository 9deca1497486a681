//! The order of writes. The controller looks at the objects after each of them, and one that it refuses freezes every pool until it is
//! mended; so each state in between must compile, where any order allows it.
//!
//! Policies do not depend on each other, given Image and mirror sets: whether the controller takes a scope is settled by those alone.
//! So policies go as one batch, new and changed ones first, deletions last (what is protected stays so as long as possible), and only
//! Image and mirror sets are tried one by one.

use std::collections::HashSet;
use std::sync::Arc;

use crate::compile::{Compiled, compile};
use crate::model::provenance::{ObjectRef, Refusal};
use crate::model::release::Release;
use crate::snapshot::{Kind, Snapshot};

use super::{Action, Step};

/// For how long the controller writes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// From after this step, by its place in the order.
    pub from: usize,
    /// Until this step is done; `None`: also afterwards.
    pub until: Option<usize>,
    /// The controller's words in between.
    pub refusals: Vec<Refusal>,
}

/// Steps in the order of writing.
#[derive(Debug)]
pub struct Ordered {
    /// All of them.
    pub steps: Vec<Step>,
    /// Where no order was found in which the controller takes every state.
    pub freeze: Option<Freeze>,
}

/// Puts steps on objects of the API into order. `api` is what it holds now.
pub fn order(api: &Snapshot, release: &'static Release, steps: Vec<Step>) -> Ordered {
    Search::new(api, release, steps).run()
}

struct Search<'a> {
    api: &'a Snapshot,
    release: &'static Release,
    steps: Vec<Option<Step>>,
    done: Vec<Step>,
    frozen: Vec<Refusal>,
    freeze: Option<Freeze>,
    /// How often a state may still be compiled: with 10,000 policies each takes its time.
    budget: usize,
}

/// How much may be compiled altogether, in policies.
const MOST_COMPILED: usize = 150_000;
const LEAST_STATES: usize = 8;

impl<'a> Search<'a> {
    fn new(api: &'a Snapshot, release: &'static Release, steps: Vec<Step>) -> Self {
        let policies = api.cluster_image_policies.len() + api.image_policies.len() + steps.len() + 1;
        Self {
            api,
            release,
            steps: steps.into_iter().map(Some).collect(),
            done: Vec::new(),
            frozen: Vec::new(),
            freeze: None,
            budget: (MOST_COMPILED / policies).max(LEAST_STATES),
        }
    }

    fn run(mut self) -> Ordered {
        // One write has no order.
        if self.steps.len() > 1 {
            self.frozen = self.refusals(&[]);
            while self.steps.iter().any(Option::is_some) {
                if self.budget == 0 || !self.advance() {
                    self.give_in();
                }
            }
        }
        self.done.extend(self.steps.iter_mut().filter_map(Option::take));
        Ordered { steps: self.done, freeze: self.freeze }
    }

    /// Takes whatever leads to a state that the controller takes; `false` where nothing does.
    fn advance(&mut self) -> bool {
        let batch = |steps: &[Option<Step>], deletes: bool| -> Vec<usize> {
            let is_it = |step: &Step| !is_unit(step) && (step.action == Action::Delete) == deletes;
            (0..steps.len()).filter(|index| steps[*index].as_ref().is_some_and(is_it)).collect()
        };
        let writes = batch(&self.steps, false);
        if self.take_batch(writes) {
            return true;
        }
        let units: Vec<usize> =
            (0..self.steps.len()).filter(|index| self.steps[*index].as_ref().is_some_and(is_unit)).collect();
        for unit in units {
            if self.budget == 0 {
                return false;
            }
            if self.refusals(&[unit]).is_empty() {
                self.take(&[unit], Vec::new());
                return true;
            }
        }
        let deletions = batch(&self.steps, true);
        self.take_batch(deletions)
    }

    /// As much of a batch of policies as the controller takes now; those that it names are left for later.
    fn take_batch(&mut self, mut batch: Vec<usize>) -> bool {
        if !self.frozen.is_empty() && self.budget > 0 {
            // The sooner the controller goes on, the better.
            let urgent = named(&self.frozen);
            let is_urgent = |index: &usize| {
                self.steps[*index].as_ref().is_some_and(|step| urgent.contains(&identity(&step.object)))
            };
            let first: Vec<usize> = batch.iter().copied().filter(is_urgent).collect();
            if !first.is_empty() && self.refusals(&first).is_empty() {
                self.take(&first, Vec::new());
                return true;
            }
        }
        for _ in 0..3 {
            if batch.is_empty() || self.budget == 0 {
                return false;
            }
            let refusals = self.refusals(&batch);
            if refusals.is_empty() {
                self.take(&batch, Vec::new());
                return true;
            }
            let named = named(&refusals);
            let before = batch.len();
            batch.retain(|index| {
                self.steps[*index].as_ref().is_none_or(|step| !named.contains(&identity(&step.object)))
            });
            if batch.len() == before {
                return false;
            }
        }
        false
    }

    /// No step leads to a state that the controller takes. The one that frees the most others goes first: Image and mirror sets, since
    /// after them all policies fit; then those that the refusals name.
    fn give_in(&mut self) {
        let remaining = || (0..self.steps.len()).filter(|index| self.steps[*index].is_some());
        let named = named(&self.frozen);
        let is_named =
            |index: &usize| self.steps[*index].as_ref().is_some_and(|step| named.contains(&identity(&step.object)));
        let is_a_unit = |index: &usize| self.steps[*index].as_ref().is_some_and(is_unit);
        let frozen = !self.frozen.is_empty();
        let next = match frozen {
            true => remaining().find(is_named).or_else(|| remaining().find(is_a_unit)),
            false => remaining().find(is_a_unit),
        };
        let Some(next) = next.or_else(|| remaining().next()) else { return };
        let refusals = if self.budget == 0 { self.frozen.clone() } else { self.refusals(&[next]) };
        if self.freeze.is_none() && !frozen && !refusals.is_empty() {
            self.freeze = Some(Freeze { from: self.done.len(), until: None, refusals: refusals.clone() });
        }
        self.take(&[next], refusals);
    }

    /// Does these steps, after which the controller says so much.
    fn take(&mut self, indices: &[usize], refusals: Vec<Refusal>) {
        for index in indices {
            self.done.extend(self.steps[*index].take());
        }
        self.frozen = refusals;
        let last = self.done.len().saturating_sub(1);
        if let Some(freeze) = &mut self.freeze
            && self.frozen.is_empty()
            && freeze.until.is_none()
        {
            freeze.until = Some(last);
        }
    }

    /// What the controller says once these are done as well.
    fn refusals(&mut self, indices: &[usize]) -> Vec<Refusal> {
        self.budget = self.budget.saturating_sub(1);
        let more = indices.iter().filter_map(|index| self.steps[*index].as_ref());
        let state = self.api.changed(self.done.iter().chain(more).map(Step::change));
        let Compiled { generated, .. } = compile(&state, self.release);
        generated.err().unwrap_or_default()
    }
}

/// Whether everything else depends on it.
fn is_unit(step: &Step) -> bool {
    !matches!(step.kind, Kind::ClusterImagePolicy | Kind::ImagePolicy)
}

type Identity = (Box<str>, Option<Box<str>>, Box<str>);

fn identity(object: &Arc<ObjectRef>) -> Identity {
    (object.kind.clone(), object.namespace.clone(), object.name.clone())
}

fn named(refusals: &[Refusal]) -> HashSet<Identity> {
    refusals.iter().flat_map(|refusal| &refusal.causes).map(|cause| identity(&cause.object)).collect()
}
