//! IMP508

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::compile::Overlay;
use crate::compile::overlay::{is_ours, pools_of};
use crate::lint::nodes::in_words;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::machine_config::{INPUTS, ROLE, overlay_name};
use crate::snapshot::{Kind, Object, Source, api};

pub static RULE: Rule = Rule {
    code: 508,
    name: "overlay-stale",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[2],
    needs: &[Kind::MachineConfig],
    summary: "Our own MachineConfig no longer fits what it was made from, is missing, is there for nothing, or is overridden.",
    why: "`oc imagepolicy apply` writes what the controller cannot (GPG signatures, policies where the API has none) into `99-<pool>-imagepolicy`, \
          which repeats the controller's policy.json and adds to it. It does not follow by itself when the Image or a policy changes: until \
          `apply` has run again, nodes have the state of that day, and new blocked registries and policies do not reach them. Its annotation \
          `imagepolicy.openshift.io/inputs` is a hash of what it was made from.",
    fix: "Run `oc imagepolicy apply` again; it shows what changes before it writes anything. Where nothing asks for the overlay any more, \
          delete it.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
  annotations:
    imagepolicy.openshift.io/signed-registries: |
      - sigRequiredRegistriesOrImages: [registry.redhat.io]
        gpgKeyPath: /etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 99-worker-imagepolicy
  labels:
    machineconfiguration.openshift.io/role: worker
  annotations:
    imagepolicy.openshift.io/inputs: 5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9  # of another day
spec:
  config:
    ignition:
      version: 3.4.0
    storage:
      files:
        - path: /etc/containers/policy.json
          contents:
            source: data:,%7B%22default%22:[%7B%22type%22:%22reject%22%7D]%7D
",
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 99-worker-imagepolicy  # nothing asks for it
  labels:
    machineconfiguration.openshift.io/role: worker
  annotations:
    imagepolicy.openshift.io/inputs: 5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9
spec:
  config:
    ignition:
      version: 3.4.0
    storage:
      files:
        - path: /etc/containers/policy.json
          contents:
            source: data:,%7B%22default%22:[%7B%22type%22:%22reject%22%7D]%7D
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    # in files: what apply is yet to write
    signedRegistries:
      - sigRequiredRegistriesOrImages: [registry.redhat.io]
        gpgKeyPath: /etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    if !context.compiled.refusals().is_empty() {
        // What it should be is not known.
        return;
    }
    let ours = context.snapshot.machine_configs.iter().filter(|object| is_ours(object));
    match context.compiled.overlay() {
        None => findings.extend(ours.map(for_nothing)),
        Some(overlay) => {
            let wanted: BTreeSet<String> = pools_of(context.snapshot, context.compiled, overlay).into_iter().collect();
            let mut there = BTreeSet::new();
            for object in ours {
                let role = object.metadata.labels.get(ROLE).map(String::as_str).unwrap_or_default();
                there.insert(role.to_string());
                if object.metadata.annotations.get(INPUTS) != Some(&overlay.inputs) {
                    findings.push(stale(object));
                }
            }
            // In files, an overlay is what `apply` has yet to make.
            if context.snapshot.source != Source::Manifests || !there.is_empty() {
                findings.extend(missing(context, overlay, wanted.difference(&there)));
            }
            overridden(context, overlay, findings);
        }
    }
}

const APPLY: &str = "oc imagepolicy apply -f OBJECTS.yaml";

fn stale(object: &Object<api::MachineConfig>) -> Finding {
    let message = format!("{} no longer fits the objects that it was made from", object.reference);
    let effect = "its nodes have the policy of the day on which it was made: what was blocked, allowed or signed since then does not reach them";
    let help = format!("make it anew, from the objects as they are:\n{APPLY}");
    Finding::new(&RULE, object, format!("metadata.annotations.{INPUTS}"), message).effect(effect).help(help)
}

fn for_nothing(object: &Object<api::MachineConfig>) -> Finding {
    let message = format!("nothing asks for {} any more", object.reference);
    let effect = "its policy.json still wins over the controller's: nodes ask for what nobody asks for, and miss what objects say";
    let help = format!("delete it; nodes return to what the controller writes:\n{}", fix::delete(&object.reference));
    Finding::new(&RULE, object, format!("metadata.annotations.{INPUTS}"), message).effect(effect).help(help)
}

/// About the Image, or the first object that only an overlay can deliver.
fn missing<'p>(context: &Context<'_>, overlay: &Overlay, pools: impl Iterator<Item = &'p String>) -> Option<Finding> {
    let pools: Vec<&str> = pools.map(String::as_str).collect();
    let image = context.snapshot.image.as_ref().filter(|_| !pools.is_empty())?;
    let signed = overlay.signed.first().and_then(crate::lint::gpg::field);
    let (object, path) = signed.unwrap_or((&image.reference, String::new()));
    let names: Vec<String> = pools.iter().map(|pool| overlay_name(pool)).collect();
    let what = if overlay.signed.is_empty() { "what only our own MachineConfig delivers" } else { "signedRegistries" };
    let message = format!(
        "{what} has no effect in {}: MachineConfig {} is missing",
        in_words(pools.iter().copied()),
        names.join(", ")
    );
    let effect = format!("nodes of {} accept images that should be signed", in_words(pools.iter().copied()));
    let help = format!("let it be written:\n{APPLY}");
    Some(Finding::at(&RULE, object, context.origin(object), path, message).effect(effect).help(help))
}

/// MachineConfigs that come after ours and have one of its files, each with the pools in which they do.
fn overridden(context: &Context<'_>, overlay: &Overlay, findings: &mut Vec<Finding>) {
    let mut winners: BTreeMap<(Arc<str>, String), Vec<Arc<str>>> = BTreeMap::new();
    for file in overlay.delivered.files() {
        for pool in context.groups().iter().flat_map(|group| &group.pools) {
            let Some(writers) = pool.writers.get(&file.path) else { continue };
            let is_overlay = |name: &Arc<str>| name.starts_with("99-") && name.ends_with("-imagepolicy");
            if let Some(last) = writers.last().filter(|last| !is_overlay(last) && writers.iter().any(is_overlay)) {
                winners.entry((last.clone(), file.path.clone())).or_default().push(pool.name.clone());
            }
        }
    }
    for ((name, path), pools) in winners {
        let Some((object, place)) = context.file_of(&name, &path) else { continue };
        let pools = in_words(pools.iter().map(|pool| &**pool));
        let message = format!("{} of {object} wins over that of our own MachineConfig, in {pools}", shown(&path));
        let effect = format!(
            "what signedRegistries and delivered policies ask for does not reach the nodes of {pools} in this file"
        );
        let help = format!("take the file out of it, or the whole of it:\n{}", fix::edit(&object));
        findings.push(Finding::at(&RULE, &object, context.origin(&object), place, message).effect(effect).help(help));
    }
}
