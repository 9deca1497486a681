//! IMP218

use std::collections::HashMap;
use std::sync::Arc;

use crate::lint::few::few;
use crate::lint::fix::{self, Fix, repository};
use crate::lint::gpg::{field, image_below};
use crate::lint::policies::is_shipped;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::provenance::{ObjectRef, Provenance};
use crate::model::reference::{Candidate, ImageReference, broader_scopes};
use crate::model::scope_index::ScopeIndex;

pub static RULE: Rule = Rule {
    code: 218,
    name: "port-asymmetry",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[27],
    needs: &[],
    summary: "A scope or list entry without a port, where the registry is used with one.",
    why: "To a policy `registry.example.com` and `registry.example.com:5000` are two registries: a scope without a port holds for no image that is named with one. registries.conf is different, there the \
entry without a port covers every port. So a registry seems blocked, since its pulls fail, and is not when a mirror has its images; a signature seems to be required, and images \
with the port in their name run without; an allowed registry is rejected. Only wildcards hold for every port in both files.",
    fix: "Write the entry as images are named, with the port, and both where both are used.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers: [{name: web, image: "registry.example.com:5000/team/web:v1"}]
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
    insecureRegistries: ["registry.lab.local:5000"]
    allowedRegistries: [quay.io, registry.lab.local]
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
    insecureRegistries: ["registry.lab.local:5000"]
    blockedRegistries: [registry.lab.local, "registry.lab.local:5000"]
---
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
  containers: [{name: web, image: "registry.example.com:5000/team/web:v1"}]
"#,
        },
    ],
    check,
};

/// A name with a port that is in use.
struct Used<'a> {
    /// Without tag and digest.
    name: String,
    /// An image in use with it.
    image: Option<&'a str>,
    /// The field that has it, and what it says.
    field: Option<(&'a Arc<ObjectRef>, String, &'static str)>,
    /// Where it is an image: namespaces of its pods.
    namespaces: Vec<&'a str>,
    kind: UsedKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum UsedKind {
    Image,
    Mirrored,
    Insecure,
    Allowed,
    Internal,
}

/// Host without port → what uses it with one.
type ByHost<'a> = HashMap<String, Vec<Used<'a>>, foldhash::fast::RandomState>;

/// Host, port and path of a name with a port.
fn with_port(name: &str) -> Option<(&str, &str, &str)> {
    let end = name.find('/').unwrap_or(name.len());
    let (host, port) = name.get(..end)?.split_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    (is_port && !host.is_empty()).then_some((host, port, name.get(end..)?))
}

fn used<'c>(context: &'c Context<'_>) -> ByHost<'c> {
    const MOST: usize = 20;
    let mut by_host = ByHost::default();
    let mut add = |used: Used<'c>| {
        let Some((host, ..)) = with_port(&used.name) else { return };
        let host = host.to_string();
        let known = by_host.entry(host).or_default();
        if known.len() < MOST {
            known.push(used);
        }
    };
    for image in context.images_in_use() {
        let Ok(reference) = ImageReference::parse(image.image) else { continue };
        if with_port(reference.name()).is_none() {
            continue;
        }
        let namespaces = image.pods.iter().filter_map(|(pod, _)| pod.reference.namespace.as_deref()).collect();
        let pod = image.pods.first();
        let field = pod.and_then(|(pod, position)| {
            Some((&pod.reference, pod.containers.get(*position)?.path(), "pulls from there"))
        });
        let name = reference.name().to_string();
        add(Used { name, image: Some(image.image), field, namespaces, kind: UsedKind::Image });
    }
    for (kind, set) in context.snapshot.mirror_sets() {
        for (index, rule) in set.value.spec.mirrors.iter().enumerate() {
            let field =
                Some((&set.reference, format!("spec.{}[{index}].source", kind.mirror_list()), "has mirrors for it"));
            let name = rule.source.clone();
            add(Used { name, image: None, field, namespaces: Vec::new(), kind: UsedKind::Mirrored });
        }
    }
    if let Some(image) = &context.snapshot.image {
        let lists = &image.value.spec.registry_sources;
        for (list, entries, kind, what) in [
            ("insecureRegistries", &lists.insecure_registries, UsedKind::Insecure, "is used without TLS"),
            ("allowedRegistries", &lists.allowed_registries, UsedKind::Allowed, "accepts anything from there"),
        ] {
            for (index, entry) in entries.iter().flatten().enumerate().filter(|(_, entry)| repository(entry).is_none())
            {
                let field = Some((&image.reference, format!("spec.registrySources.{list}[{index}]"), what));
                add(Used { name: entry.clone(), image: None, field, namespaces: Vec::new(), kind });
            }
        }
        let status = &image.value.status;
        let field =
            Some((&image.reference, "status.internalRegistryHostname".to_string(), "is OpenShift's own registry"));
        let name = status.internal_registry_hostname.clone();
        add(Used { name, image: None, field, namespaces: Vec::new(), kind: UsedKind::Internal });
    }
    by_host
}

/// What an entry without a port is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Policy,
    Signed,
    Blocked,
    Allowed,
}

/// A scope or entry without a port.
struct Entry<'a> {
    text: &'a str,
    object: &'a Arc<ObjectRef>,
    path: String,
    /// Of an ImagePolicy.
    namespace: &'a str,
    what: What,
}

fn entries<'c>(context: &'c Context<'_>) -> Vec<Entry<'c>> {
    let scopes = context.scopes();
    let asked = scopes.cluster.iter().chain(&scopes.tenants).filter(|asked| {
        let is_ignored = !asked.namespace().is_empty() && scopes.cluster_index.contains(asked.scope);
        !is_shipped(asked.policy) && !is_ignored
    });
    let asked = asked.map(|asked| Entry {
        text: asked.scope,
        object: &asked.policy.reference,
        path: asked.path(),
        namespace: asked.namespace(),
        what: What::Policy,
    });
    let signed = context.signed().iter().filter_map(|signed| {
        let (object, path) = field(signed)?;
        Some(Entry { text: &signed.scope, object, path, namespace: "", what: What::Signed })
    });
    let sources = &context.compiled.sources;
    let listed = [(&sources.policy_blocked, What::Blocked), (&sources.allowed, What::Allowed)];
    let listed = listed.into_iter().flat_map(|(list, what)| {
        list.iter().filter_map(move |entry| {
            let of_image = |from: &'c Provenance| match from {
                Provenance::Field { object, path } if &*object.kind == "Image" => Some((object, path.to_string())),
                _ => None,
            };
            let (object, path) = entry.from.iter().find_map(of_image)?;
            Some(Entry { text: &entry.text, object, path, namespace: "", what })
        })
    });
    asked.chain(signed).chain(listed).collect()
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let used = used(context);
    if used.is_empty() {
        return;
    }
    let scopes = context.scopes();
    let sources = &context.compiled.sources;
    let blocked = ScopeIndex::new(sources.policy_blocked.iter().map(|entry| &*entry.text));
    let signed = ScopeIndex::new(context.signed().iter().map(|signed| &*signed.scope));
    let is_decided = |entry: &Entry<'_>, candidate: Candidate<'_>| {
        let is_of_tenant = || scopes.tenant(entry.namespace, &candidate.text()).is_some();
        blocked.find(candidate).is_some()
            || scopes.cluster_index.find(candidate).is_some()
            || signed.find(candidate).is_some()
            || (!entry.namespace.is_empty() && is_of_tenant())
            || (entry.what == What::Allowed && scopes.allowed.find(candidate).is_some())
    };
    let rejects_others = !sources.allowed.is_empty() && sources.policy_blocked.is_empty();
    let mut told: Vec<(Entry<'_>, String, &Used<'_>)> = Vec::new();
    for entry in entries(context) {
        if entry.text.starts_with("*.") || repository(entry.text).is_some() {
            continue;
        }
        let (host, path) = entry.text.split_at(entry.text.find('/').unwrap_or(entry.text.len()));
        let Some(used) = used.get(host) else { continue };
        let hit = used.iter().find_map(|used| {
            let is_concerned = match (entry.what, used.kind) {
                (_, UsedKind::Image) => entry.namespace.is_empty() || used.namespaces.contains(&entry.namespace),
                (_, UsedKind::Mirrored | UsedKind::Insecure) => true,
                (What::Policy | What::Signed, UsedKind::Allowed | UsedKind::Internal) => true,
                (What::Blocked, UsedKind::Internal) => true,
                (What::Allowed | What::Blocked, _) => false,
            };
            let (_, port, rest) = with_port(&used.name).filter(|_| is_concerned)?;
            let is_below = |inner: &str, outer: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let missing = format!("{host}:{port}{path}");
            let name = match () {
                () if is_below(rest, path) => used.name.as_str(),
                () if is_below(path, rest) => missing.as_str(),
                () => return None,
            };
            let lookup = || [Candidate::Scope(name)].into_iter().chain(broader_scopes(name));
            let is_covered = lookup().any(|candidate| is_decided(&entry, candidate));
            // Nodes reject what is not allowed anyway.
            let is_allowed = || lookup().any(|candidate| scopes.allowed.find(candidate).is_some());
            let is_rejected = entry.what != What::Allowed && rejects_others && !is_allowed();
            (!is_covered && !is_rejected).then_some((missing, used))
        });
        if let Some((missing, used)) = hit {
            told.push((entry, missing, used));
        }
    }
    for group in told.chunk_by(|a, b| a.0.object == b.0.object) {
        for ((entry, missing, used), more) in few(group) {
            findings.push(finding(context, entry, missing, used, &more));
        }
    }
}

fn finding(context: &Context<'_>, entry: &Entry<'_>, missing: &str, used: &Used<'_>, more: &str) -> Finding {
    let (text, other) = (shown(entry.text), shown(missing));
    let message = format!("{text} does not cover {other}, which is in use{more}");
    let effect = match entry.what {
        What::Policy | What::Signed => {
            format!("nodes ask for no signature of images named {other}…, although they need one for {text}")
        }
        What::Blocked => format!(
            "no policy rejects images named {other}…; only registries.conf keeps nodes from that registry, and not from mirrors of it"
        ),
        What::Allowed => format!("nodes reject images named {other}…, although {text} is allowed"),
    };
    let list = entry.path.rsplit_once('[').map_or(entry.path.as_str(), |(list, _)| list);
    let can_append = entry.what != What::Signed || list.starts_with("spec.");
    let help = match can_append {
        true => format!("add it with the port:\n{}", fix::append(entry.object, list, missing)),
        false => format!("add it with the port:\n{}", fix::edit(entry.object)),
    };
    let mut finding = Finding::at(&RULE, entry.object, context.origin(entry.object), &entry.path, message)
        .level(if entry.what == What::Allowed { Level::Warning } else { Level::Error })
        .effect(effect)
        .help(help)
        .witness(used.image.map_or_else(|| image_below(missing), str::to_string));
    if let Some((object, path, what)) = &used.field {
        finding = finding.related(object, path, *what);
    }
    match can_append {
        true => finding.fixed_by(Fix::risky(format!("add {other}")).append(entry.object, list, missing)),
        false => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_port() {
        for (name, expected) in [
            ("a.io:5000", Some(("a.io", "5000", ""))),
            ("a.io:5000/x/y", Some(("a.io", "5000", "/x/y"))),
            ("a.io/x:5000", None),
            ("a.io:latest", None),
            ("a.io:", None),
            (":5000", None),
            ("a.io", None),
            ("", None),
        ] {
            assert_eq!(with_port(name), expected, "{name}");
        }
    }
}
