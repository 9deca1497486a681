//! IMP309

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::lint::api::field;
use crate::lint::mirrors::Place;
use crate::lint::policies::{Asked, is_shipped};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::go_text::quote;
use crate::model::provenance::ObjectRef;
use crate::model::reference::ImageReference;
use crate::model::scope::is_nested;
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 309,
    name: "mirror-copy-identity",
    level: Level::Error,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[22],
    needs: &[],
    summary: "A policy covers images by the name of a mirror, and the signatures of copies name the source.",
    why: "A copy of an image keeps its signature, and the signature says which repository it was made for: the source. A pod that asks for the \
          image by the mirror's name is checked against that name, so the signature is good and not accepted. Only a `signedIdentity` of \
          `RemapIdentity` or `ExactRepository` tells nodes that the mirror's name stands for the source's. Pods that ask by the source's name have \
          no such trouble, wherever the image is pulled from.",
    fix: "Write `signedIdentity: {matchPolicy: RemapIdentity, remapIdentity: {prefix: MIRROR, signedPrefix: SOURCE}}`, or let pods ask for the \
          image by the source's name and let the mirror set do its work. `RemapIdentity` needs signatures that name a tag (IMP308).",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: datacentre}
spec:
  imageDigestMirrors:
    - source: registry.example.com/team
      mirrors: ['mirror.example.com:8443/team']
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: copies}
spec:
  scopes: ['mirror.example.com:8443/team']
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
    signedIdentity: {matchPolicy: MatchRepository}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
    - name: web
      image: mirror.example.com:8443/team/web:v1
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: datacentre}
spec:
  imageDigestMirrors:
    - source: registry.example.com/team
      mirrors: ['mirror.example.com:8443/team']
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: copies}
spec:
  scopes: ['mirror.example.com:8443/team']
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
    signedIdentity:
      matchPolicy: RemapIdentity
      remapIdentity:
        prefix: mirror.example.com:8443/team
        signedPrefix: registry.example.com/team
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
    - name: web
      image: mirror.example.com:8443/team/web:v1
",
        },
    ],
    check,
};

const IDENTITY: &str = "spec.policy.signedIdentity";

/// A scope that covers images by a mirror's name.
struct Copies<'c, 'a> {
    asked: Asked<'a>,
    place: &'c Place<'a>,
    image: String,
    pod: Option<(Arc<ObjectRef>, String)>,
    pods: usize,
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let copies = match context.has_all(Kind::Pod) {
        true => copies_in_use(context),
        false => copies_in_scopes(context),
    };
    findings.extend(copies.into_iter().filter(needs_remapping).map(|copies| finding(context, copies)));
}

/// What pods ask for by a mirror's name, by the scope that decides.
fn copies_in_use<'c, 'a>(context: &'c Context<'a>) -> Vec<Copies<'c, 'a>> {
    let scopes = context.scopes();
    let mut found: BTreeMap<(&ObjectRef, usize), Copies<'c, 'a>> = BTreeMap::new();
    for used in context.images_in_use() {
        let Ok(reference) = ImageReference::parse(used.image) else { continue };
        let Some(place) = context.mirrors().around(reference.name()) else { continue };
        for (pod, container) in &used.pods {
            let Some(asked) = scopes.deciding(&reference, &pod.reference) else { continue };
            if is_shipped(asked.policy) {
                continue;
            }
            let copies = found.entry((&asked.policy.reference, asked.index)).or_insert_with(|| Copies {
                asked,
                place,
                image: reference.as_str().to_string(),
                pod: pod.containers.get(*container).map(|container| (pod.reference.clone(), container.path())),
                pods: 0,
            });
            copies.pods += used.count.div_ceil(used.pods.len().max(1));
        }
    }
    found.into_values().collect()
}

/// Where it is not known what pods ask for: scopes that lie in a mirror.
fn copies_in_scopes<'c, 'a>(context: &'c Context<'a>) -> Vec<Copies<'c, 'a>> {
    let scopes = context.scopes();
    let asked = scopes.cluster.iter().chain(&scopes.tenants).filter(|asked| !is_shipped(asked.policy));
    let copies = asked.filter_map(|asked| {
        let name = fix::repository(asked.scope).unwrap_or(asked.scope);
        let place = context.mirrors().around(name)?;
        let image = scopes.witness(asked.scope, asked.namespace()).unwrap_or_else(|| format!("{name}/app:latest"));
        Some(Copies { asked: *asked, place, image, pod: None, pods: 0 })
    });
    copies.collect()
}

/// Whether the policy leaves the mirror's name as it is.
fn needs_remapping(copies: &Copies<'_, '_>) -> bool {
    let Some(identity) = &copies.asked.policy.value.spec.policy.signed_identity else { return true };
    match identity.match_policy.as_str() {
        "ExactRepository" => false,
        "RemapIdentity" => {
            let prefix = identity.remap_identity.as_ref().map_or("", |remap| &remap.prefix);
            !is_nested(copies.place.mirror, prefix) && !is_nested(prefix, copies.place.mirror)
        }
        "MatchRepoDigestOrExact" | "MatchRepository" => true,
        // The API or the controller refuses it.
        _ => false,
    }
}

fn finding(context: &Context<'_>, copies: Copies<'_, '_>) -> Finding {
    let Copies { asked, place, image, pod, pods } = copies;
    let (scope, mirror, source) = (shown(asked.scope), shown(place.mirror), shown(&place.rule.source));
    let message = match pods {
        0 => format!(
            "{scope} is a name in the mirror {mirror}, and signatures of what is copied from {source} name that"
        ),
        1 => format!("a pod names the mirror {mirror}, and signatures of what is copied from {source} name that"),
        pods => {
            format!("{pods} pods name the mirror {mirror}, and signatures of what is copied from {source} name that")
        }
    };
    let name = ImageReference::parse(&image).map(|reference| reference.name().to_string()).unwrap_or_default();
    let signed_for = place.at_source(&name).unwrap_or_else(|| place.rule.source.clone());
    let effect = format!(
        "nodes reject copies that are asked for by the mirror's name, signed or not: {}",
        quote(&format!("Signature for identity {} is not accepted", quote(&signed_for)))
    );
    let mend = remap(asked, place);
    let advice = "let pods ask for the image by the source's name, or tell nodes that the mirror's name stands for it";
    let help = match &mend {
        Some(mend) => format!("{advice}:\n{}", mend.commands().join("\n")),
        None => format!("{advice} with RemapIdentity:\n{}", fix::edit(&asked.policy.reference)),
    };
    let mut finding = Finding::new(&RULE, asked.policy, asked.path(), message)
        .effect(effect)
        .help(help)
        .witness(image)
        .related(&place.set.reference, place.path(), "the mirror");
    finding.fix = mend;
    match pod {
        Some((pod, path)) => finding.related(&pod, path, "names the mirror"),
        // The policy works for pods that ask by the source's name, if it covers that as well.
        None if context.signed_source(&place.rule.source).is_some() => finding.level(Level::Warning),
        None => finding,
    }
}

/// RemapIdentity, where the API takes the names: a bare host with a port looks like a tag to it.
fn remap(asked: Asked<'_>, place: &Place<'_>) -> Option<fix::Fix> {
    let is_taken = |name: &str| !name.starts_with('*') && (name.contains('/') || !name.contains(':'));
    let (prefix, signed) = (place.mirror, place.rule.source.as_str());
    if !is_taken(prefix) || !is_taken(signed) {
        return None;
    }
    let wanted = json!({"matchPolicy": "RemapIdentity", "remapIdentity": {"prefix": prefix, "signedPrefix": signed}});
    let policy = asked.policy;
    let mend = fix::Fix::risky("let the mirror's name stand for the source's");
    Some(match field(&policy.raw, IDENTITY) {
        Some(before) => mend.replace(&policy.reference, IDENTITY, before.clone(), wanted),
        None => mend.set(&policy.reference, IDENTITY, wanted),
    })
}
