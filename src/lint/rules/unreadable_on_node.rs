//! IMP213

use std::collections::BTreeSet;

use crate::lint::fix::Fix;
use crate::lint::nodes::pools_in_words;
use crate::lint::policies::{Asked, is_shipped};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::go_text::quote;
use crate::model::node_files::POLICY_JSON;
use crate::model::policy::Transport;
use crate::model::policy_write::fits_atomic;
use crate::model::provenance::{Cause, Provenance, Refusal, RefusalReason, RefusedBy};
use crate::model::registries_conf::{LoadedRegistries, RegistriesConf};
use crate::model::scope::is_valid_scope;

pub static RULE: Rule = Rule {
    code: 213,
    name: "unreadable-on-node",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Node],
    releases: "all; entries of registrySources up to 4.22",
    pitfalls: &[3],
    needs: &[],
    summary: "An entry that makes the nodes' policy.json or registries.conf unreadable, so that every pull fails.",
    why: "The controller writes what the objects ask for without reading it the way a node does. For the transport `atomic`, a tag or digest is \
          valid only after exactly two slashes (`host/team/app:v1`): `host/app:v1` makes the node refuse the whole file, and a node that cannot \
          read its policy pulls nothing at all, from anywhere, its own platform images included. A registry with a scheme (`https://…`) does \
          the same to registries.conf. The nodes roll into this one after another, and a node that cannot pull does not come back by itself.",
    fix: "Name the repository, or the image with one more path component. Never write tags, digests or schemes into the lists of the Image.",
    examples: &[
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
    - registry.example.com/app:v1   # one slash and a tag
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
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    blockedRegistries:
      - https://evil.example.org
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.example.com/team/app:v1   # two slashes and a tag
    - registry.example.com/app
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
    if context.compiled.generated.is_err() {
        findings.extend(later(context));
        return;
    }
    let mut told: BTreeSet<(Cause, String)> = BTreeSet::new();
    for group in context.groups() {
        for refusal in group.files.check() {
            let causes = match refusal.reason {
                RefusalReason::PolicyUnreadable => refusal.causes.clone(),
                RefusalReason::RegistriesUnreadable if refusal.causes.is_empty() => {
                    unloadable(group.files.registries_conf.as_ref())
                }
                RefusalReason::RegistriesUnreadable => refusal.causes.clone(),
                _ => continue,
            };
            let pools = pools_in_words(group);
            for cause in causes {
                // A namespace's policy repeats what is wrong with the cluster's.
                if told.insert((cause.clone(), what_is_unreadable(&refusal).to_string())) {
                    findings.push(of_node(context, &refusal, &cause, &pools));
                }
            }
        }
    }
}

/// Which file it is about.
fn what_is_unreadable(refusal: &Refusal) -> &'static str {
    match refusal.reason {
        RefusalReason::PolicyUnreadable => "policy",
        _ => "registries.conf",
    }
}

fn of_node(context: &Context<'_>, refusal: &Refusal, cause: &Cause, pools: &str) -> Finding {
    let file = what_is_unreadable(refusal);
    let is_file = cause.path.starts_with('/');
    let message = match is_file {
        true => format!("{} cannot be read by a node", cause.path),
        false => format!("{} makes the nodes' {file} unreadable", shown(&cause.value)),
    };
    let effect = format!("every pull on every node of {pools} fails, whatever the image: \"{}\"", refusal.text);
    let origin = context.origin(&cause.object);
    let finding = Finding::at(&RULE, &cause.object, origin, if is_file { "spec.config" } else { &cause.path }, message);
    let mut finding = finding.effect(effect).help(help(context, cause, is_file)).refused_by(RefusedBy::Node);
    finding.fix = (!is_file).then(|| mended(context, cause));
    finding
}

/// As [`help`] has it.
fn mended(context: &Context<'_>, cause: &Cause) -> Fix {
    let value = cause.value.as_str();
    let bare = value.split_once("://").map(|(_, rest)| rest.trim_end_matches('/')).filter(|bare| !bare.is_empty());
    match fix::repository(value).or(bare) {
        Some(better) => Fix::correction(&cause.object, &cause.path, value, better),
        None if cause.path.starts_with("spec.scopes[") => context.scopes().without_scope(cause, false),
        None => Fix::risky("take it out").remove(&cause.object, &cause.path, value),
    }
}

fn help(context: &Context<'_>, cause: &Cause, is_file: bool) -> String {
    if is_file {
        return format!("correct the file in the MachineConfig, or take it out:\n{}", fix::edit(&cause.object));
    }
    match fix::repository(&cause.value) {
        Some(repository) => {
            format!("name the repository:\n{}", fix::replace(&cause.object, &cause.path, &cause.value, repository))
        }
        None => match cause.value.split_once("://") {
            Some((_, rest)) if !rest.is_empty() => format!(
                "leave the scheme out:\n{}",
                fix::replace(&cause.object, &cause.path, &cause.value, rest.trim_end_matches('/'))
            ),
            _ if cause.path.starts_with("spec.scopes[") => {
                format!("take the scope out:\n{}", context.scopes().drop_scope(cause))
            }
            _ => format!("take it out:\n{}", fix::remove(&cause.object, &cause.path, &cause.value)),
        },
    }
}

/// The entries that do not load by themselves; where each does, all of them take part.
fn unloadable(conf: Option<&RegistriesConf>) -> Vec<Cause> {
    let registries = conf.map(|conf| conf.registries.as_slice()).unwrap_or_default();
    let fields = |from: &[Provenance], value: &str| -> Vec<Cause> {
        let fields = from.iter().filter_map(|from| match from {
            Provenance::Field { object, path } => {
                Some(Cause { object: object.clone(), path: path.to_string(), value: value.to_string() })
            }
            Provenance::Default(_) | Provenance::File { .. } => None,
        });
        fields.collect()
    };
    let mut alone = Vec::new();
    let mut all = Vec::new();
    for registry in registries {
        let mut causes = fields(&registry.from, registry.scope());
        causes.extend(registry.mirrors.iter().flat_map(|mirror| fields(&mirror.from, &mirror.location)));
        let conf = RegistriesConf { registries: vec![registry.clone()], ..RegistriesConf::default() };
        match LoadedRegistries::load_one(conf) {
            Ok(_) => all.extend(causes),
            Err(_) => alone.extend(causes),
        }
    }
    if alone.is_empty() { all } else { alone }
}

/// While the controller writes nothing: the scopes that will do it as soon as it writes again.
fn later(context: &Context<'_>) -> Vec<Finding> {
    let scopes = context.scopes();
    let ignored = |asked: &&Asked<'_>| !asked.namespace().is_empty() && scopes.cluster_index.contains(asked.scope);
    let asked = scopes.cluster.iter().chain(&scopes.tenants);
    let asked = asked.filter(|asked| is_bad(asked.scope) && !ignored(asked) && !is_shipped(asked.policy));
    let mut causes: Vec<Cause> = asked.map(Asked::cause).collect();
    let sources = &context.compiled.sources;
    for entry in sources.allowed.iter().chain(&sources.policy_blocked).filter(|entry| is_bad(&entry.text)) {
        causes.extend(entry.from.iter().filter_map(|from| match from {
            Provenance::Field { object, path } => {
                Some(Cause { object: object.clone(), path: path.to_string(), value: entry.text.to_string() })
            }
            Provenance::Default(_) | Provenance::File { .. } => None,
        }));
    }
    let finding = |cause: &Cause| {
        let text = format!("invalid policy in {}: Unknown key {}", quote(POLICY_JSON), quote(&cause.value));
        let message = format!("{} will make the nodes' policy unreadable", shown(&cause.value));
        let effect = format!(
            "as soon as the controller writes again, every pull on every node fails, whatever the image: \"{text}\""
        );
        Finding::at(&RULE, &cause.object, context.origin(&cause.object), &cause.path, message)
            .effect(effect)
            .help(help(context, cause, false))
            .refused_by(RefusedBy::Node)
    };
    causes.iter().map(finding).collect()
}

/// Whether the controller writes it for `atomic`, where a node does not take it.
fn is_bad(scope: &str) -> bool {
    fits_atomic(scope) && !is_valid_scope(&Transport::Atomic, scope)
}
