//! IMP216

use std::collections::HashSet;
use std::sync::Arc;

use crate::lint::few::few;
use crate::lint::fix::{self, Fix, repository};
use crate::lint::policies::is_shipped;
use crate::lint::usage::{Unmatchable, Usage, unmatchable};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::policy::Transport;
use crate::model::policy_write::fits_atomic;
use crate::model::provenance::ObjectRef;
use crate::model::scope::is_valid_scope;
use crate::snapshot::{Kind, Origin};

pub static RULE: Rule = Rule {
    code: 216,
    name: "unmatchable-scope",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[25],
    needs: &[],
    summary: "A scope or list entry that no image can match: a tag without a repository, a Docker Hub name in short form, a tag where pods use digests.",
    why: "A node compares texts. It writes the name of the image out first, `nginx` as `docker.io/library/nginx:latest`, and of a name with tag and digest it drops the tag; then it looks for \
exactly that text, the repository, what is around it, and the registry. `registry.example.com:latest` is none of these for any image, nor is `docker.io/nginx`; and \
`…/app:v1` is never asked for where pods name `…/app:v1@sha256:…`. The API server takes such scopes: nothing is protected by them, blocked or allowed.",
    fix: "Name the repository without tag and digest, and Docker Hub's images in full: `docker.io/library/nginx`, `docker.io/team/app`.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: ["registry.example.com:latest"]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
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
    blockedRegistries: [docker.io/nginx]  # docker.io/library/nginx
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: ["registry.example.com/team/web/app:v1"]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
    - name: web
      image: registry.example.com/team/web/app:v1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
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
    blockedRegistries: [docker.io/library/nginx, docker.io/bitnami, "registry.example.net:5000"]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: ["registry.example.com/team/web/app:v1"]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers: [{name: web, image: "registry.example.com/team/web/app:v1"}]
"#,
        },
    ],
    check,
};

/// A scope or an entry of a list that matches nothing.
struct Place<'a> {
    object: &'a Arc<ObjectRef>,
    origin: &'a Origin,
    path: String,
    text: &'a str,
    /// Whether others stand beside it.
    is_one_of_several: bool,
    what: What,
    why: Why,
}

#[derive(Clone, Copy)]
enum What {
    Policy,
    Allowed,
    Blocked,
    Insecure,
}

enum Why {
    Text(Unmatchable),
    /// Pods ask for this image, by digest.
    Digests(String),
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut places = of_policies(context);
    places.extend(of_lists(context));
    // What somebody refuses is another rule's.
    let refused: HashSet<(&ObjectRef, &str)> = match &context.compiled.generated {
        Ok(_) => HashSet::new(),
        Err(refusals) => {
            let causes = refusals.iter().flat_map(|refusal| &refusal.causes);
            causes.map(|cause| (&*cause.object, cause.path.as_str())).collect()
        }
    };
    places.retain(|place| {
        !refused.contains(&(&**place.object, place.path.as_str())) && !context.api_refuses(place.object, &place.path)
    });
    for group in places.chunk_by(|a, b| a.object == b.object) {
        for (place, more) in few(group) {
            findings.push(finding(place, &more));
        }
    }
}

fn of_policies<'a>(context: &Context<'a>) -> Vec<Place<'a>> {
    let scopes = context.scopes();
    let usage = context.can_see(Kind::Pod).then(|| context.usage());
    let mut places = Vec::new();
    for asked in scopes.cluster.iter().chain(&scopes.tenants).filter(|asked| !is_shipped(asked.policy)) {
        // With such a scope nodes cannot read their policy: IMP213.
        let is_unreadable = fits_atomic(asked.scope) && !is_valid_scope(&Transport::Atomic, asked.scope);
        let is_ignored = !asked.namespace().is_empty() && scopes.cluster_index.contains(asked.scope);
        if is_unreadable || is_ignored {
            continue;
        }
        let position = match asked.namespace() {
            "" => scopes.cluster_index.position(asked.scope),
            namespace => scopes.tenant(namespace, asked.scope),
        };
        let is_used = |usage: &Usage| match (position, asked.namespace()) {
            (Some(position), "") => usage.of_cluster(position),
            (Some(position), _) => usage.of_tenant(position),
            (None, _) => false,
        };
        let by_usage = || usage.filter(|usage| !is_used(usage)).and_then(|usage| of_usage(usage, asked.scope));
        let why = match unmatchable(asked.scope) {
            Some(Unmatchable::NotExpanded(_)) if usage.is_some_and(is_used) => None,
            Some(why) => Some(Why::Text(why)),
            None => by_usage(),
        };
        let Some(why) = why else { continue };
        places.push(Place {
            object: &asked.policy.reference,
            origin: &asked.policy.origin,
            path: asked.path(),
            text: asked.scope,
            is_one_of_several: asked.policy.value.spec.scopes.len() > 1,
            what: What::Policy,
            why,
        });
    }
    places
}

/// What the images in use say about a scope that none of them is looked up under.
fn of_usage(usage: &Usage, scope: &str) -> Option<Why> {
    if let Some(name) = repository(scope) {
        let is_tag = !scope.contains('@');
        return usage
            .of_repository(name)
            .filter(|(_, by_tag)| is_tag && !by_tag)
            .map(|(image, _)| Why::Digests(image.to_string()));
    }
    let name = scope.strip_prefix("docker.io/").filter(|name| !name.contains('/'))?;
    let expanded = format!("docker.io/library/{name}");
    usage.of_repository(&expanded).map(|_| Why::Text(Unmatchable::NotExpanded(expanded)))
}

fn of_lists<'a>(context: &Context<'a>) -> Vec<Place<'a>> {
    let Some(image) = &context.snapshot.image else { return Vec::new() };
    let lists = &image.value.spec.registry_sources;
    let mut places = Vec::new();
    for (list, entries, what) in [
        ("allowedRegistries", &lists.allowed_registries, What::Allowed),
        ("blockedRegistries", &lists.blocked_registries, What::Blocked),
        ("insecureRegistries", &lists.insecure_registries, What::Insecure),
    ] {
        let entries = entries.as_deref().unwrap_or_default();
        for (index, entry) in entries.iter().enumerate() {
            let is_unreadable = fits_atomic(entry) && !is_valid_scope(&Transport::Atomic, entry);
            if entry.contains("://") || (is_unreadable && !matches!(what, What::Insecure)) {
                continue;
            }
            let Some(why) = unmatchable(entry) else { continue };
            places.push(Place {
                object: &image.reference,
                origin: &image.origin,
                path: format!("spec.registrySources.{list}[{index}]"),
                text: entry,
                is_one_of_several: entries.len() > 1,
                what,
                why: Why::Text(why),
            });
        }
    }
    places
}

fn finding(place: &Place<'_>, more: &str) -> Finding {
    let text = shown(place.text);
    let (message, better) = match &place.why {
        Why::Text(Unmatchable::HostWithTag(host)) => (
            format!("{text} is a registry with a tag or digest, which no image is looked up under"),
            Some(host.clone()),
        ),
        Why::Text(Unmatchable::NotExpanded(expanded)) => {
            (format!("{text} is what nodes call {}", shown(expanded)), Some(expanded.clone()))
        }
        Why::Text(Unmatchable::TagAndDigest(digest)) => {
            (format!("{text} has a tag and a digest, and nodes look up only the digest"), Some(digest.clone()))
        }
        Why::Text(Unmatchable::NoDigest) => (format!("{text} has a digest that no image can have"), None),
        Why::Text(Unmatchable::NoName(why)) => (format!("{text} cannot be the name of an image: {why}"), None),
        Why::Digests(_) => {
            let better = repository(place.text).map(str::to_string);
            (format!("{text} has a tag, and pods ask for that repository by digest only"), better)
        }
    };
    let effect = match place.what {
        What::Policy => "it holds for no image: those that it is meant for are pulled by whatever else is in force",
        What::Allowed => "it lets nothing in",
        What::Blocked => "it blocks nothing",
        What::Insecure => "TLS is asked for as if it were not there",
    };
    let replace = |better: &str| fix::replace(place.object, &place.path, place.text, better);
    let help = match &better {
        Some(better) => format!("write {}:\n{}", shown(better), replace(better)),
        None if place.is_one_of_several || !matches!(place.what, What::Policy) => {
            format!("take it out, or write the repository:\n{}", fix::remove(place.object, &place.path, place.text))
        }
        None => format!("write the repository that you mean:\n{}", fix::edit(place.object)),
    };
    let mut finding = Finding::at(&RULE, place.object, place.origin.clone(), &place.path, format!("{message}{more}"))
        .effect(effect)
        .help(help);
    match &place.why {
        Why::Digests(image) => finding = finding.witness(image.as_str()),
        Why::Text(Unmatchable::NotExpanded(expanded)) => {
            if let Some(better) = &better {
                let fix = Fix::risky(format!("write {better}"));
                finding = finding.fixed_by(fix.replace(place.object, &place.path, place.text, better.as_str()));
            }
            finding = finding.witness(expanded.as_str());
        }
        Why::Text(_) => {}
    }
    finding
}
