//! IMP301

use std::collections::{BTreeMap, HashSet};

use crate::lint::nodes::{pools_in_words, writers};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::node_files::{REGISTRIES_D, SHIPPED_LOOKASIDES, SIGSTORE_REGISTRIES, file_name};
use crate::model::provenance::{ObjectRef, Provenance, RefusedBy};
use crate::model::registries_d::{RegistriesD, SignatureStorage, SignatureStorages};
use crate::snapshot::Kind;
use std::sync::Arc;

pub static RULE: Rule = Rule {
    code: 301,
    name: "registries-d-duplicate",
    level: Level::Error,
    confidence: Confidence::Heuristic,
    refused_by: &[RefusedBy::Node],
    releases: "4.16 on",
    pitfalls: &[18],
    needs: &[],
    summary: "A scope gets the same key in registries.d that another file there has: every pull fails.",
    why: "For each policy scope (from 4.17 for its mirrors, too) the controller writes a key into \
          `/etc/containers/registries.d/sigstore-registries.yaml`. A node reads all files of that directory as one, and refuses all of them when \
          two have the same key: then no image can be pulled, from any registry. RHCOS ships files for `registry.redhat.io` and \
          `registry.access.redhat.com`, so a scope of exactly that name will likely stop every node; MachineConfigs may add more.",
    fix: "Make the scopes one level narrower (`registry.redhat.io/ubi9` in place of `registry.redhat.io`), or take the key out of the other file: \
          a MachineConfig may replace a file that RHCOS ships with one that leaves the key out.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: redhat
spec:
  scopes:
    - registry.redhat.io
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
",
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.example.com
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
---
apiVersion: machineconfiguration.openshift.io/v1
kind: MachineConfig
metadata:
  name: 50-worker-signatures
  labels:
    machineconfiguration.openshift.io/role: worker
spec:
  config:
    ignition:
      version: 3.4.0
    storage:
      files:
        # docker: {registry.example.com: {use-sigstore-attachments: true}}
        - path: /etc/containers/registries.d/team.yaml
          contents:
            source: data:,docker%3A%20%7Bregistry.example.com%3A%20%7Buse-sigstore-attachments%3A%20true%7D%7D
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: redhat
spec:
  scopes:
    - registry.redhat.io/ubi9
    - registry.redhat.io/rhel9
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut told: HashSet<(String, String)> = HashSet::new();
    let sigstore = file_name(SIGSTORE_REGISTRIES);
    for group in context.groups() {
        let files = &group.files.registries_d;
        let Some(ours) = files.get(sigstore) else { continue };
        let pools = pools_in_words(group);
        let mut others: BTreeMap<&str, (&str, &RegistriesD)> = BTreeMap::new();
        for (name, file) in files.iter().filter(|(name, _)| &***name != sigstore) {
            others.extend(file.docker.iter().map(|(key, _)| (&**key, (&**name, file))));
        }
        // The node names the first of the keys that two files share, whichever it is about here.
        let mut texts: BTreeMap<&str, Option<String>> = BTreeMap::new();
        for (key, storage) in &ours.docker {
            let (name, text, is_likely) = match others.get(&**key) {
                Some((name, file)) => {
                    let text = texts.entry(*name).or_insert_with(|| words((sigstore, ours), (*name, *file)));
                    (name.to_string(), text.clone(), false)
                }
                None if SHIPPED_LOOKASIDES.contains(&&**key) && !files.contains_key(&*format!("{key}.yaml")) => {
                    let name = format!("{key}.yaml");
                    let rhcos = only(key);
                    let text = words((sigstore, &only(key)), (&name, &rhcos));
                    (name, text, true)
                }
                None => continue,
            };
            if !told.insert((key.to_string(), name.clone())) {
                continue;
            }
            let machine_config = writers(group, &format!("{REGISTRIES_D}/{name}")).last();
            let collision = Collision { key, storage, file: &name, text, machine_config, pools: &pools, is_likely };
            findings.extend(duplicate(context, &collision));
        }
    }
    node_trees(context, findings);
}

struct Collision<'c> {
    key: &'c str,
    storage: &'c SignatureStorage,
    file: &'c str,
    text: Option<String>,
    machine_config: Option<&'c Arc<str>>,
    pools: &'c str,
    is_likely: bool,
}

fn duplicate(context: &Context<'_>, collision: &Collision<'_>) -> Option<Finding> {
    let Collision { key, storage, file, text, machine_config, pools, is_likely } = collision;
    let mut fields = storage.from.iter().filter_map(|from| match from {
        Provenance::Field { object, path } => Some((object, path.to_string())),
        Provenance::Default(_) | Provenance::File { .. } => None,
    });
    let (object, path) = fields.next()?;
    let whose = if *is_likely { ", which RHCOS ships, will likely have" } else { " has" };
    let message = format!("{} gets a key in registries.d that {file}{whose} too", shown(key));
    let text = text.as_ref().map(|text| format!(": \"{text}\"")).unwrap_or_default();
    let likely = if *is_likely { "will likely fail" } else { "fails" };
    let effect = format!("every pull on every node of {pools} {likely}, whatever the image{text}");
    let scope = Some(*key).filter(|_| path.starts_with("spec.scopes["));
    let help = match scope {
        Some(scope) if !scope.contains('/') => format!(
            "name what is below it, such as {scope}/NAMESPACE:\n{}",
            fix::replace(object, &path, scope, &format!("{scope}/NAMESPACE"))
        ),
        _ => match machine_config {
            Some(name) => {
                format!("take the key {} out of {REGISTRIES_D}/{file}:\n{}", shown(key), fix::edit(&named(name)))
            }
            None => {
                format!("take the key {} out of {REGISTRIES_D}/{file} on the nodes:\n{}", shown(key), fix::edit(object))
            }
        },
    };
    let mut finding = Finding::at(&RULE, object, context.origin(object), path, message)
        .effect(effect)
        .help(help)
        .refused_by(RefusedBy::Node);
    for (object, path) in fields {
        finding = finding.related(object, path, "asks for the key as well");
    }
    if let Some(name) = machine_config {
        finding = finding.related(&Arc::new(named(name)), "spec.config", format!("writes {REGISTRIES_D}/{file}"));
    }
    Some(finding)
}

/// Files of nodes that were given beside the objects.
fn node_trees(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let sigstore = file_name(SIGSTORE_REGISTRIES);
    let Ok(generated) = &context.compiled.generated else { return };
    let Some(ours) = generated.files.registries_d.get(sigstore) else { return };
    for tree in &context.snapshot.node_trees {
        for (path, content) in &tree.files {
            let name = path.strip_prefix(REGISTRIES_D).and_then(|rest| rest.strip_prefix('/'));
            let Some(name) = name.filter(|name| name.ends_with(".yaml") && *name != sigstore) else { continue };
            let Ok(file) = RegistriesD::read(content, &Provenance::Default("a file of a node")) else { continue };
            let keys: HashSet<&str> = file.docker.iter().map(|(key, _)| &**key).collect();
            let shared: Vec<_> = ours.docker.iter().filter(|(key, _)| keys.contains(&**key)).collect();
            let words = if shared.is_empty() { None } else { words((sigstore, ours), (name, &file)) };
            for (key, storage) in shared {
                let text = words.clone();
                let pools = &tree.name;
                let collision =
                    Collision { key, storage, file: name, text, machine_config: None, pools, is_likely: false };
                findings.extend(duplicate(context, &collision));
            }
        }
    }
}

fn only(key: &str) -> RegistriesD {
    RegistriesD { docker: vec![(key.into(), SignatureStorage::default())], ..RegistriesD::default() }
}

/// What the node says of two files.
fn words(a: (&str, &RegistriesD), b: (&str, &RegistriesD)) -> Option<String> {
    let (first, second) = if a.0 < b.0 { (a, b) } else { (b, a) };
    SignatureStorages::merge([first, second]).err()
}

fn named(machine_config: &str) -> ObjectRef {
    ObjectRef {
        api_version: "machineconfiguration.openshift.io/v1".into(),
        kind: Kind::MachineConfig.name().into(),
        namespace: None,
        name: machine_config.into(),
    }
}
