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
    /// Whether there were too many states to look at all of them: in those, nobody knows what the controller says.
    pub has_unseen_states: bool,
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
    has_unseen_states: bool,
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
            has_unseen_states: false,
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
        Ordered { steps: self.done, freeze: self.freeze, has_unseen_states: self.has_unseen_states }
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
        let refusals = match self.budget {
            0 => {
                // After the last step all is done, and that state is compiled with the plan.
                self.has_unseen_states |= remaining().count() > 1;
                self.frozen.clone()
            }
            _ => self.refusals(&[next]),
        };
        if !frozen && !refusals.is_empty() {
            match &mut self.freeze {
                // A second one is told as one long one.
                Some(freeze) => {
                    freeze.until = None;
                    freeze.refusals.extend(refusals.iter().cloned());
                }
                None => {
                    self.freeze = Some(Freeze { from: self.done.len(), until: None, refusals: refusals.clone() });
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Wish, draft};
    use crate::snapshot::{Laying, Origin, Source};
    use serde_json::{Value, json};

    const KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFVFNlcDlKMnB3NjFyNFFaMDZ5MFc3VFovVFZPdApNNkJmRkpTR0dzMkNWc3NNeEJ3SVo1R002ZFJrNlcwcCtXRlRiTU1yT3NJYmdKNUhKakNucnNPUEx3PT0KLS0tLS1FTkQgUFVCTElDIEtFWS0tLS0tCg==";

    fn policy(name: &str, scope: &str) -> Value {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": name},
               "spec": {"scopes": [scope], "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": KEY}}}}})
    }

    fn image(allowed: &[&str]) -> Value {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
               "spec": {"registrySources": {"allowedRegistries": allowed}}})
    }

    fn mirrors(name: &str, policy: &str) -> Value {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "ImageDigestMirrorSet", "metadata": {"name": name},
               "spec": {"imageDigestMirrors": [{"source": "m.io/x", "mirrors": [format!("{name}.io/x")], "mirrorSourcePolicy": policy}]}})
    }

    fn cluster(objects: &[Value]) -> Snapshot {
        let mut snapshot = Snapshot::new(Source::Live("https://x".into()));
        let version = json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion", "metadata": {"name": "version"},
            "status": {"desired": {"version": "4.21.4", "image": "quay.io/openshift-release-dev/ocp-release@sha256:87e045e806c1d84318dfcd588d45a8d89ba4a94d81f15ca9727d67a02865857d"}}});
        for object in objects.iter().chain([&version]) {
            snapshot.insert(object.clone(), Origin::Live, Laying::Beside).unwrap();
        }
        snapshot
    }

    /// The order of what is written, and between which the controller is frozen.
    fn ordered(live: &[Value], objects: &[Value], without: &[&str]) -> (Vec<String>, Option<(usize, Option<usize>)>) {
        let live = cluster(live);
        let release = Release::parse("4.21").unwrap();
        let without = without.iter().map(|name| (Kind::ClusterImagePolicy, String::new(), name.to_string())).collect();
        let wish = Wish { objects: objects.to_vec(), without, ..Wish::default() };
        let draft = draft(&live, release, &wish).unwrap();
        let ordered = order(&live, release, draft.steps);
        // What is claimed of the states in between is so.
        let frozen = |done: usize| {
            let state = live.changed(ordered.steps.iter().take(done).map(Step::change));
            compile(&state, release).generated.is_err()
        };
        let claimed = ordered.freeze.as_ref().map(|freeze| (freeze.from, freeze.until));
        if !frozen(0) {
            for done in 1..=ordered.steps.len() {
                let is_claimed =
                    claimed.is_some_and(|(from, until)| done > from && until.is_none_or(|until| done <= until));
                assert_eq!(frozen(done), is_claimed, "after {done} of {:?}: {claimed:?}", ordered.steps);
            }
        }
        (ordered.steps.iter().map(|step| step.object.to_string()).collect(), claimed)
    }

    #[test]
    fn every_state_in_between_is_taken() {
        let (a, b) = (policy("a", "a.io/x"), policy("b", "b.io/x"));
        let none = image(&[]);
        // Policies first, where nothing speaks against it.
        assert_eq!(
            ordered(std::slice::from_ref(&none), &[image(&["a.io"]), a.clone()], &[]).0,
            ["ClusterImagePolicy/a", "Image/cluster"]
        );
        // The list must grow before the policy that needs it.
        let live = [image(&["b.io"]), b.clone()];
        assert_eq!(
            ordered(&live, &[a.clone(), image(&["a.io", "b.io"])], &[]).0,
            ["Image/cluster", "ClusterImagePolicy/a"]
        );
        // The list may shrink only once the policy is gone.
        let live = [image(&["a.io", "b.io"]), a.clone(), b.clone()];
        assert_eq!(ordered(&live, &[image(&["b.io"])], &["a"]).0, ["ClusterImagePolicy/a", "Image/cluster"]);
        // Two policies, one of them before the list and one after it.
        let moved = policy("a", "b.io/y");
        let (order, freeze) = ordered(&live, &[image(&["b.io", "c.io"]), moved, policy("c", "c.io/x")], &[]);
        assert_eq!(order, ["ClusterImagePolicy/a", "Image/cluster", "ClusterImagePolicy/c"]);
        assert_eq!(freeze, None);
        // One mirror set has to give way before another comes.
        let live = [none.clone(), mirrors("one", "NeverContactSource")];
        let changed = [mirrors("two", "AllowContactingSource"), mirrors("one", "AllowContactingSource")];
        assert_eq!(ordered(&live, &changed, &[]).0, ["ImageDigestMirrorSet/one", "ImageDigestMirrorSet/two"]);
    }

    #[test]
    fn where_no_order_avoids_it_the_freeze_is_told() {
        // The list moves from a.io to b.io, and the policy with it.
        let live = [image(&["a.io"]), policy("a", "a.io/x")];
        let (order, freeze) = ordered(&live, &[policy("a", "b.io/x"), image(&["b.io"])], &[]);
        assert_eq!(order, ["Image/cluster", "ClusterImagePolicy/a"]);
        assert_eq!(freeze, Some((0, Some(1))));
        // With others beside it, the one that ends the freeze comes first.
        let more = [policy("a", "b.io/x"), policy("z", "b.io/z"), image(&["b.io"]), policy("c", "b.io/c")];
        let (order, freeze) = ordered(&live, &more, &[]);
        assert_eq!(order.get(..2).unwrap(), ["Image/cluster", "ClusterImagePolicy/a"]);
        assert_eq!(freeze, Some((0, Some(1))));
        // It ends refused.
        let (_, freeze) = ordered(&live, &[image(&["b.io"]), policy("d", "d.io/x")], &[]);
        assert_eq!(freeze.map(|(_, until)| until), Some(None));
    }

    #[test]
    fn a_cluster_that_is_frozen_is_freed_first() {
        let live = [image(&["b.io"]), policy("a", "a.io/x")];
        let (order, freeze) = ordered(&live, &[policy("c", "b.io/c"), policy("d", "b.io/d")], &["a"]);
        assert_eq!(order.first().map(String::as_str), Some("ClusterImagePolicy/a"));
        assert_eq!(freeze, None);
    }
}
