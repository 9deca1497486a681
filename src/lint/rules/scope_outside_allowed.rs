//! IMP202

use crate::lint::fix::Fix;
use crate::lint::policies::is_shipped;
use crate::lint::refusals::others;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::{Cause, RefusedBy};
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 202,
    name: "scope-outside-allowed",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Controller],
    releases: "4.16 and later; the policy that OpenShift ships itself from 4.21",
    pitfalls: &[4, 5],
    needs: &[Kind::Image, Kind::ClusterImagePolicy],
    summary: "A ClusterImagePolicy asks for a scope that lies in no entry of allowedRegistries.",
    why: "Once `allowedRegistries` is set, the machine-config-controller insists that every scope of every ClusterImagePolicy is an entry of \
it or lies in one. If one does not, it stops: no pool gets its registries, mirrors, blocks or policies written any more, until the scope or \
the list is mended. No object's status says so; only the controller's log does.\n\n\
The policy `openshift`, which OpenShift ships from 4.21 on, is checked like any other. The list must therefore allow \
`quay.io/openshift-release-dev`, even where a mirror serves the release, since policies go by the name that is asked for.",
    fix: "Add the scope to `allowedRegistries`. An entry that is equal to a scope opens nothing: images there still need the policy's \
signature. Or take the scope out of the policy, if images from there are not meant to run.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    allowedRegistries: [quay.io/openshift-release-dev, registry.example.com]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: partner}
spec:
  scopes: [partner.example.net/images]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
        Example {
            fires: true,
            release: "4.21",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    allowedRegistries: [mirror.example.com]  # serves the release, too, but policies go by the name that is asked for
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: openshift
  annotations: {include.release.openshift.io/self-managed-high-availability: "true"}
spec:
  scopes: [quay.io/openshift-release-dev/ocp-release]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
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
    allowedRegistries: [quay.io/openshift-release-dev, registry.example.com, partner.example.net]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: partner}
spec:
  scopes: [partner.example.net/images]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (refusal, cause) in context.refusals(&RULE) {
        let scope = &cause.value;
        let message = format!("{} is outside allowedRegistries", shown(scope));
        let mut finding = context.refused(&RULE, refusal, cause, message).help(help(context, cause));
        finding.fix = allow(context, cause);
        for other in others(refusal) {
            finding = finding.related(&other.object, &other.path, "no entry covers the scope");
        }
        finding.witness = context.scopes().witness(scope, "");
        findings.push(finding);
    }
}

const PAYLOAD: &str = "quay.io/openshift-release-dev";
const ALLOWED: &str = "spec.registrySources.allowedRegistries";

/// The scope is allowed; a tag is no scope of that list.
fn allow(context: &Context<'_>, cause: &Cause) -> Option<Fix> {
    let image = context.snapshot.image.as_ref()?;
    let is_shipped = context.scopes().policy(&cause.object).is_some_and(is_shipped);
    let fix = Fix::risky("allow it; images there still need the signature");
    Some(match fix::repository(&cause.value) {
        _ if is_shipped && cause.value.starts_with(PAYLOAD) => fix.append(&image.reference, ALLOWED, PAYLOAD),
        Some(repository) => fix.replace(&cause.object, &cause.path, cause.value.as_str(), repository).append(
            &image.reference,
            ALLOWED,
            repository,
        ),
        None => fix.append(&image.reference, ALLOWED, cause.value.as_str()),
    })
}

fn help(context: &Context<'_>, cause: &Cause) -> String {
    let scope = &cause.value;
    let Some(image) = &context.snapshot.image else { return String::new() };
    let allow = |entry: &str| fix::append(&image.reference, ALLOWED, entry);
    let drop_scope = context.scopes().drop_scope(cause);
    let is_shipped = context.scopes().policy(&cause.object).is_some_and(is_shipped);
    if is_shipped && scope.starts_with(PAYLOAD) {
        return format!("allow the release images, also where a mirror serves them:\n{}", allow(PAYLOAD));
    }
    match fix::repository(scope) {
        Some(repository) => format!(
            "ask for the repository, since tags and digests do not belong into allowedRegistries, and allow it; it still needs the signature:\n\
             {}\n{}\nor take the scope out of the policy:\n{drop_scope}",
            fix::replace(&cause.object, &cause.path, scope, repository),
            allow(repository),
        ),
        None => format!(
            "allow the scope; images there still need the signature that the policy asks for:\n{}\nor take it out of the policy:\n{drop_scope}",
            allow(scope)
        ),
    }
}
