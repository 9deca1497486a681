//! IMP314

use std::collections::HashSet;

use crate::lint::policies::is_shipped;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::reference::ImageReference;
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 314,
    name: "scope-names-mirror",
    level: Level::Warning,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[24],
    needs: &[],
    summary: "A scope names a mirror, while pods ask for images by the name of the source.",
    why: "Nodes look a policy up by the name that the pod asks for. That the image then comes from a mirror does not matter: a scope in the \
          mirror's name is never asked for, the policy has no effect, and what is pulled from the mirror is accepted unsigned. It looks like \
          protection and is none.",
    fix: "Write the source in the scope. Nodes find the signatures at the mirror by themselves.",
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
metadata: {name: team}
spec:
  scopes: ['mirror.example.com:8443/team']
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
    - name: web
      image: registry.example.com/team/web@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
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
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let (scopes, mirrors) = (context.scopes(), context.mirrors());
    if mirrors.places.is_empty() {
        return;
    }
    let sees_pods = context.has_all(Kind::Pod);
    let mut asked_for: HashSet<String, foldhash::fast::RandomState> = HashSet::default();
    for used in context.images_in_use() {
        let Ok(reference) = ImageReference::parse(used.image) else { continue };
        if mirrors.around(reference.name()).is_some() {
            asked_for.extend(reference.candidates().map(|candidate| candidate.text().into_owned()));
        }
    }
    for asked in scopes.cluster.iter().chain(&scopes.tenants).filter(|asked| !is_shipped(asked.policy)) {
        let Some(place) = mirrors.around(fix::repository(asked.scope).unwrap_or(asked.scope)) else { continue };
        let identity = asked.policy.value.spec.policy.signed_identity.as_ref();
        let knows_copies = identity
            .is_some_and(|identity| matches!(identity.match_policy.as_str(), "RemapIdentity" | "ExactRepository"));
        let source_is_covered = context.signed_source(&place.rule.source).is_some();
        let is_quiet = match sees_pods {
            true => asked_for.contains(asked.scope),
            // Whoever remaps names knows that pods name the mirror; whoever covers the source as well leaves no hole.
            false => knows_copies || source_is_covered,
        };
        if is_quiet {
            continue;
        }
        let source = shown(&place.rule.source);
        let no_pod = if sees_pods { "no pod names it, and " } else { "" };
        let message = format!("{} names a mirror of {source}", shown(asked.scope));
        let effect = match source_is_covered {
            true => format!(
                "{no_pod}nodes never ask for this scope when pods name the source; the source has a policy of its own"
            ),
            false => format!(
                "{no_pod}nodes never ask for this scope when pods name the source: what they pull from the mirror needs no signature"
            ),
        };
        let wanted = place.at_source(asked.scope);
        let mend = wanted.map(|wanted| {
            fix::Fix::risky("name the source").replace(&asked.policy.reference, &asked.path(), asked.scope, wanted)
        });
        let help = match &mend {
            Some(mend) => format!("name the source:\n{}", mend.commands().join("\n")),
            None => format!("name the source:\n{}", fix::edit(&asked.policy.reference)),
        };
        let mut finding = Finding::new(&RULE, asked.policy, asked.path(), message).effect(effect).help(help).related(
            &place.set.reference,
            place.path(),
            format!("a mirror of {source}"),
        );
        finding.fix = mend;
        if !place.rule.source.starts_with('*') {
            finding.witness = place
                .at_source(fix::repository(asked.scope).unwrap_or(asked.scope))
                .map(|name| format!("{name}/app:latest"));
        }
        findings.push(if source_is_covered { finding.level(Level::Info) } else { finding });
    }
}
