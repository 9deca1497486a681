//! What keeps a plan from being carried out, unless somebody insists on it by name.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::compile::{Compiled, pools};
use crate::lint::rules::RULES;
use crate::lint::{self, Context, Finding, Level};
use crate::model::node_files::NodeFiles;
use crate::model::policy::{Sourced, Verdict};
use crate::model::provenance::{Provenance, Refusal, RefusedBy};
use crate::resolve::Resolver;
use crate::snapshot::Snapshot;

/// The name of the guard against states that somebody refuses.
const REFUSED: &str = "refused";
/// The name of the guard over images that the cluster itself needs.
const PLATFORM: &str = "platform-images";
/// OpenShift's own ClusterImagePolicy (domain.md 6).
const RELEASE_POLICY: &str = "openshift";
/// Images that a message names.
const SHOWN: usize = 3;

/// One reason not to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Guard {
    /// What `--force` takes: `refused`, `platform-images`, or the code of a lint rule.
    pub code: String,
    /// What would happen.
    pub message: String,
}

/// An image without which the cluster does not run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlatformImage {
    /// As it is pulled.
    pub image: String,
    /// Of the pod.
    pub namespace: Option<String>,
    /// What it is: `the release`, `pod dns-default-x`.
    pub what: String,
}

/// Everything that speaks against going from one state to the other. `refused` are the refusals of both ([`refusals`]), `findings`
/// the new ones.
pub fn guards(
    before: (&Snapshot, &Compiled),
    after: (&Snapshot, &Compiled),
    refused: (&[Refusal], &[Refusal]),
    findings: &[Finding],
    images: &[PlatformImage],
) -> Vec<Guard> {
    let mut guards = Vec::new();
    let known: HashSet<&str> = refused.0.iter().map(|refusal| refusal.text.as_str()).collect();
    let new: Vec<&Refusal> = refused.1.iter().filter(|refusal| !known.contains(refusal.text.as_str())).collect();
    for refusal in &new {
        let who = match refusal.by {
            RefusedBy::Api => "the API server would refuse this",
            RefusedBy::Controller => "the machine-config-controller would refuse this and write nothing for any pool",
            RefusedBy::Node => "nodes could not read their policy, and every pull would fail",
            RefusedBy::Plugin => "this contradicts itself",
        };
        guards.push(Guard { code: REFUSED.into(), message: format!("{who}: {}", refusal.text) });
    }
    let errors = findings.iter().filter(|finding| finding.level == Level::Error);
    for finding in errors.filter(|finding| new.is_empty() || finding.refused_by.is_none()) {
        guards.push(Guard { code: finding.rule.id(), message: format!("{}: {}", finding.object, finding.message) });
    }
    guards.extend(lost_images(before, after, images));
    guards
}

/// What was refused before and still is: nothing of the plan reaches a node until that is mended.
pub fn still_refused<'r>(refused: (&[Refusal], &'r [Refusal])) -> impl Iterator<Item = &'r Refusal> {
    let known: HashSet<String> = refused.0.iter().map(|refusal| refusal.text.clone()).collect();
    refused.1.iter().filter(move |refusal| known.contains(&refusal.text))
}

/// What is refused: by the controller, by us, then by nodes.
pub fn refusals(snapshot: &Snapshot, compiled: &Compiled) -> Vec<Refusal> {
    match pools::desired(snapshot, compiled) {
        Err(refusals) => refusals,
        Ok(truth) => truth.groups.iter().flat_map(|group| group.files.check()).collect(),
    }
}

/// What lint finds after that it did not find before, by rule, level, object and words: another value at the same place is another
/// finding, the same value at another place is not.
pub fn new_findings(before: (&Snapshot, &Compiled), after: (&Snapshot, &Compiled)) -> Vec<Finding> {
    let run = |state: (&Snapshot, &Compiled)| lint::run(&Context::new(state.0, state.1), RULES).findings;
    // Both take their time on a large cluster.
    let (earlier, found) = std::thread::scope(|threads| {
        let earlier = threads.spawn(|| run(before));
        let found = run(after);
        (earlier.join().unwrap_or_default(), found)
    });
    let key = |finding: &Finding| {
        let object = &finding.object;
        let object = (object.kind.clone(), object.namespace.clone(), object.name.clone());
        (finding.rule.code, finding.level, object, finding.message.clone())
    };
    let known: HashSet<_> = earlier.iter().map(key).collect();
    found.into_iter().filter(|finding| !known.contains(&key(finding))).collect()
}

/// Images of the payload and of the operating system, as far as objects name them.
pub fn platform_images(snapshot: &Snapshot) -> Vec<PlatformImage> {
    let mut images = BTreeSet::new();
    let mut add = |image: &str, what: &str| {
        if !image.is_empty() {
            images.insert(PlatformImage { image: image.into(), namespace: None, what: what.into() });
        }
    };
    if let Some(version) = &snapshot.cluster_version {
        add(&version.value.status.desired.image, "the release");
    }
    if let Some(config) = &snapshot.controller_config {
        let spec = &config.value.spec;
        add(&spec.os_image_url, "the operating system");
        add(&spec.release_image, "the release");
        for (name, image) in &spec.images {
            add(image, &format!("image {name} of the release"));
        }
    }
    images.into_iter().collect()
}

fn lost_images(before: (&Snapshot, &Compiled), after: (&Snapshot, &Compiled), images: &[PlatformImage]) -> Vec<Guard> {
    let Ok(truth) = pools::desired(after.0, after.1) else { return Vec::new() };
    let earlier = match pools::desired(before.0, before.1) {
        Ok(truth) => truth,
        Err(_) => pools::rendered(before.0, before.1),
    };
    let same_key_of_the_release = match (release_policy(before.0), release_policy(after.0)) {
        (Some(before), Some(after)) => before == after,
        _ => false,
    };
    let mut guards = Vec::new();
    for group in &truth.groups {
        let names: Vec<&str> = group.names().collect();
        let was = earlier.groups.iter().find(|earlier| earlier.names().any(|name| names.contains(&name)));
        if was.is_some_and(|was| Arc::ptr_eq(&was.files, &group.files)) {
            continue;
        }
        let lost = lost(was.map(|was| &*was.files), &group.files, images, same_key_of_the_release);
        for (how, images) in lost {
            let shown: Vec<String> =
                images.iter().take(SHOWN).map(|image| format!("{} ({})", image.image, image.what)).collect();
            let more = match images.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let message = format!("nodes of {} {how}: {}{more}", pools_in_words(&names), shown.join(", "));
            guards.push(Guard { code: PLATFORM.into(), message });
        }
    }
    guards
}

fn pools_in_words(names: &[&str]) -> String {
    match names {
        [one] => format!("pool {one}"),
        many => format!("pools {}", many.join(", ")),
    }
}

fn lost<'i>(
    before: Option<&NodeFiles>,
    after: &NodeFiles,
    images: &'i [PlatformImage],
    same_key_of_the_release: bool,
) -> BTreeMap<&'static str, Vec<&'i PlatformImage>> {
    let mut by_namespace: BTreeMap<Option<&str>, Vec<&PlatformImage>> = BTreeMap::new();
    for image in images {
        let has_own =
            |files: &NodeFiles| image.namespace.as_deref().is_some_and(|name| files.namespaces.contains_key(name));
        let namespace = (has_own(after) || before.is_some_and(has_own)).then_some(image.namespace.as_deref()).flatten();
        by_namespace.entry(namespace).or_default().push(image);
    }
    let mut lost: BTreeMap<&'static str, Vec<&PlatformImage>> = BTreeMap::new();
    for (namespace, images) in by_namespace {
        // What nodes cannot read at all is a refusal.
        let Ok(now) = Resolver::new(after, namespace) else { continue };
        let then = before.and_then(|files| Resolver::new(files, namespace).ok());
        for image in images {
            if let Some(how) = how_lost(then.as_ref(), &now, &image.image, same_key_of_the_release) {
                lost.entry(how).or_default().push(image);
            }
        }
    }
    lost
}

/// Why an image that could be pulled before may not be pulled any more.
fn how_lost(
    before: Option<&Resolver<'_>>,
    after: &Resolver<'_>,
    image: &str,
    same_key_of_the_release: bool,
) -> Option<&'static str> {
    let now = after.resolve(image).ok()?;
    let then = before.and_then(|before| before.resolve(image).ok());
    let had = |verdict: Verdict| then.as_ref().is_some_and(|then| then.verdict() == verdict);
    if now.pull.obstacle.is_some() && then.as_ref().is_none_or(|then| then.pull.obstacle.is_none()) {
        return Some("could not pull what the cluster itself needs, since it is blocked");
    }
    match now.verdict() {
        Verdict::Rejects if !had(Verdict::Rejects) => Some("would reject what the cluster itself needs"),
        Verdict::RequiresSignature => {
            let asked = |sourced: &Sourced| sourced.requirement.clone();
            let is_met = |sourced: &&Sourced| same_key_of_the_release && is_of_the_release(sourced);
            let mut wanted: Vec<_> = now.requirements().filter(|sourced| !is_met(sourced)).map(asked).collect();
            let known: Vec<_> = then.iter().flat_map(|then| then.requirements()).map(asked).collect();
            wanted.retain(|requirement| !known.contains(requirement));
            (!wanted.is_empty()).then_some("would ask for other signatures on what the cluster itself needs")
        }
        _ => None,
    }
}

/// What OpenShift's own ClusterImagePolicy asks for.
fn release_policy(snapshot: &Snapshot) -> Option<&Value> {
    let own = snapshot.cluster_image_policies.iter().find(|policy| policy.metadata.name == RELEASE_POLICY)?;
    own.raw.get("spec")
}

/// The payload is signed with the key of OpenShift's own ClusterImagePolicy, as long as nobody has put another one there.
fn is_of_the_release(sourced: &Sourced) -> bool {
    let is_own = |from: &Provenance| match from {
        Provenance::Field { object, .. } => &*object.kind == "ClusterImagePolicy" && *object.name == *RELEASE_POLICY,
        _ => false,
    };
    !sourced.from.is_empty() && sourced.from.iter().all(is_own)
}
