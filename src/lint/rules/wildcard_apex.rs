//! IMP217

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::lint::few::keep_few;
use crate::lint::fix::{self, Fix};
use crate::lint::policies::{Scopes, is_shipped};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::provenance::ObjectRef;
use crate::model::reference::{ImageReference, broader_scopes};
use crate::model::scope_index::ScopeIndex;
use crate::snapshot::{Kind, Origin};

pub static RULE: Rule = Rule {
    code: 217,
    name: "wildcard-apex",
    level: Level::Warning,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "all",
    pitfalls: &[26],
    needs: &[],
    summary: "A wildcard `*.x` without `x`: the domain itself is not in it.",
    why: "`*.example.com` is every host under example.com, at any depth and with any port, and not example.com itself: images named `example.com/…` are looked up under `example.com`, then \
under `*.com`. In a policy that leaves them without a signature, in `blockedRegistries` unblocked, in `allowedRegistries` rejected. Where pods are known, only a domain that some pod pulls \
from is told of; elsewhere every wildcard whose domain is mentioned nowhere beside it, as a note where it only permits something.",
    fix: "Add the domain itself next to the wildcard, if it is, or may become, a registry.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: ["*.example.com"]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers: [{name: web, image: "example.com/team/web:v1"}]
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: ["*.example.org"]
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: ["*.example.org", example.org]
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: ["*.apps.example.com"]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers: [{name: web, image: "registry.apps.example.com/team/web:v1"}]  # nobody pulls from apps.example.com
"#,
        },
    ],
    check,
};

/// A wildcard somewhere.
struct Wildcard<'a> {
    object: &'a Arc<ObjectRef>,
    origin: &'a Origin,
    path: String,
    /// The list that the domain would be added to.
    list: String,
    scope: &'a str,
    apex: &'a str,
    /// Of an ImagePolicy.
    namespace: &'a str,
    effect: &'static str,
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut found = Vec::new();
    all(context, &mut found);
    findings.extend(keep_few(found));
}

fn all(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let hosts = context.can_see(Kind::Pod).then(|| hosts(context));
    of_policies(context, hosts.as_ref(), findings);
    of_lists(context, hosts.as_ref(), findings);
}

/// Host without port → some images with it.
type Hosts<'a> = HashMap<String, Vec<(&'a str, ImageReference<'a>)>, foldhash::fast::RandomState>;

fn hosts<'c>(context: &'c Context<'_>) -> Hosts<'c> {
    const MOST: usize = 20;
    let mut hosts = Hosts::default();
    for image in context.images_in_use() {
        let Ok(reference) = ImageReference::parse(image.image) else { continue };
        let host = reference.host().split(':').next().unwrap_or_default();
        let known = hosts.entry(host.to_string()).or_default();
        if known.len() < MOST {
            known.push((image.image, reference));
        }
    }
    hosts
}

/// The `example.com` of `*.example.com`; a whole top-level domain is another rule's.
fn apex(scope: &str) -> Option<&str> {
    scope.strip_prefix("*.").filter(|domain| domain.contains('.') && !domain.contains(['/', ':', '@']))
}

/// An image that nothing in a list holds for, where pods are known; where not, whether the list says nothing of the domain.
fn left_out<'h>(
    wildcard: &Wildcard<'_>,
    hosts: Option<&'h Hosts<'_>>,
    has: impl Fn(&str) -> bool,
    mentions: impl Fn(&str) -> bool,
) -> Option<Option<&'h str>> {
    match hosts {
        Some(hosts) => {
            let images = hosts.get(wildcard.apex)?;
            let is_bare =
                |reference: &ImageReference<'_>| !reference.candidates().any(|candidate| has(&candidate.text()));
            images.iter().find(|(_, reference)| is_bare(reference)).map(|(image, _)| Some(*image))
        }
        None => {
            let is_covered = has(wildcard.apex) || broader_scopes(wildcard.apex).any(|broader| has(&broader.text()));
            (!is_covered && !mentions(wildcard.apex)).then_some(None)
        }
    }
}

fn of_policies<'a>(context: &Context<'a>, hosts: Option<&Hosts<'_>>, findings: &mut Vec<Finding>) {
    let scopes: &Scopes<'a> = context.scopes();
    // One finding for each wildcard, however many policies have it.
    let mut seen: HashSet<(&str, &str), foldhash::fast::RandomState> = HashSet::default();
    for asked in scopes.cluster.iter().chain(&scopes.tenants) {
        let Some(apex) = apex(asked.scope) else { continue };
        let namespace = asked.namespace();
        let is_ignored = !namespace.is_empty() && scopes.cluster_index.contains(asked.scope);
        // What is not allowed is rejected, with or without a signature.
        let is_rejected = !context.compiled.sources.allowed.is_empty() && !scopes.allowed.contains(apex);
        if is_shipped(asked.policy) || is_ignored || is_rejected || !seen.insert((namespace, asked.scope)) {
            continue;
        }
        let has = |text: &str| {
            scopes.cluster_index.position(text).is_some()
                || (!namespace.is_empty() && scopes.tenant(namespace, text).is_some())
        };
        let wildcard = Wildcard {
            object: &asked.policy.reference,
            origin: &asked.policy.origin,
            path: asked.path(),
            list: "spec.scopes".to_string(),
            scope: asked.scope,
            apex,
            namespace,
            effect: "no signature of this policy is asked for",
        };
        let mentions = |apex: &str| !scopes.cluster_index.nested_in(apex).is_empty();
        if let Some(witness) = left_out(&wildcard, hosts, has, mentions) {
            findings.push(finding(&wildcard, witness));
        }
    }
}

fn of_lists(context: &Context<'_>, hosts: Option<&Hosts<'_>>, findings: &mut Vec<Finding>) {
    let Some(image) = &context.snapshot.image else { return };
    let lists = &image.value.spec.registry_sources;
    let scopes = context.scopes();
    for (list, entries, effect) in [
        ("allowedRegistries", &lists.allowed_registries, "nodes reject them, or go by another entry"),
        ("blockedRegistries", &lists.blocked_registries, "nodes do not reject them"),
        ("insecureRegistries", &lists.insecure_registries, "nodes want TLS and a certificate that they know"),
    ] {
        let entries = entries.as_deref().unwrap_or_default();
        let index = ScopeIndex::new(entries.iter().map(String::as_str));
        for (number, entry) in entries.iter().enumerate() {
            let Some(apex) = apex(entry).filter(|_| index.position(entry) == Some(number)) else { continue };
            let is_policy = |text: &str| list != "insecureRegistries" && scopes.cluster_index.position(text).is_some();
            let wildcard = Wildcard {
                object: &image.reference,
                origin: &image.origin,
                path: format!("spec.registrySources.{list}[{number}]"),
                list: format!("spec.registrySources.{list}"),
                scope: entry,
                apex,
                namespace: "",
                effect,
            };
            let has = |text: &str| index.position(text).is_some() || is_policy(text);
            let mentions = |apex: &str| !index.nested_in(apex).is_empty();
            if let Some(witness) = left_out(&wildcard, hosts, has, mentions) {
                let finding = finding(&wildcard, witness);
                // Nothing is less protected than it looks: a list of what is permitted may well mean just that.
                let is_note = witness.is_none() && list != "blockedRegistries";
                findings.push(if is_note { finding.level(Level::Info) } else { finding });
            }
        }
    }
}

fn finding(wildcard: &Wildcard<'_>, image: Option<&str>) -> Finding {
    let Wildcard { object, origin, path, list, scope, apex, namespace, effect } = wildcard;
    let (scope, domain) = (shown(scope), shown(apex));
    let message = match image {
        Some(_) => format!("{scope} leaves out {domain}, which pods pull from"),
        None => format!("{scope} leaves out {domain} itself"),
    };
    let pods = match *namespace {
        "" => String::new(),
        namespace => format!(" of pods of namespace {}", shown(namespace)),
    };
    let image = image.map_or_else(|| format!("{apex}/app:latest"), str::to_string);
    Finding::at(&RULE, object, (*origin).clone(), path, message)
        .effect(format!("for images{pods} named {domain}/…: {effect}"))
        .help(format!("add the domain itself, if it is a registry:\n{}", fix::append(object, list, apex)))
        .witness(image)
        .fixed_by(Fix::risky(format!("add {domain}")).append(object, list, *apex))
}
