//! IMP312

use crate::lint::refusals::others;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::{Cause, Refusal, RefusedBy};
use crate::model::reference::{ImageReference, is_remap_prefix};
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 312,
    name: "entry-cannot-be-rewritten",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Controller],
    releases: "4.17 and later",
    pitfalls: &[51],
    needs: &[Kind::ClusterImagePolicy],
    summary: "A policy's scope meets a mirror, insecure or blocked entry from which no image name can be made.",
    why: "For every scope of a policy the machine-config-controller works out where images under it may be pulled from, so that nodes look \
for signatures there too. It does so by rewriting a made-up image name with every entry that is around the scope or inside of it. Some entries \
leave no valid name: a source with a path whose mirror is a bare host; anything on Docker Hub that is not two components deep \
(`docker.io/app` means `docker.io/library/app`); an entry with a tag, an upper-case letter or a slash at its end; and scopes that are no image \
names themselves. The controller then stops: no pool gets its registries, mirrors, blocks or policies written any more. Only its log says so.",
    fix: "Give the mirror a path; ask for Docker Hub images at two components (`docker.io/team/app`); keep tags and digests out of the lists of \
the Image.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [quay.io/team]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: team}
spec:
  imageDigestMirrors:
    - source: quay.io/team
      mirrors: ["mirror.example.com:8443"]
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: ubi}
spec:
  scopes: [docker.io/ubi9]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata: {name: hub}
spec:
  imageTagMirrors:
    - source: docker.io
      mirrors: [mirror.example.com/hub]
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
    insecureRegistries: ["registry.example.com/team/app:latest"]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: company}
spec:
  scopes: [registry.example.com]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
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
  scopes: [quay.io/team]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: team}
spec:
  imageDigestMirrors:
    - source: quay.io/team
      mirrors: ["mirror.example.com:8443/team"]
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (refusal, cause) in context.refusals(&RULE) {
        let scope = &cause.value;
        let namespace = cause.object.namespace.as_deref().unwrap_or_default();
        let (message, help) = match problem(refusal, cause) {
            Problem::Scope => (
                format!("{} is not the name of an image or repository", shown(scope)),
                format!("take the scope out of the policy, or mend it:\n{}", context.scopes().drop_scope(cause)),
            ),
            Problem::Entry(entry, Some(better)) => (
                format!(
                    "the policy's scope {} meets the entry {}, which no image can have",
                    shown(scope),
                    shown(&entry.value)
                ),
                format!("name the repository:\n{}", fix::replace(&entry.object, &entry.path, &entry.value, &better)),
            ),
            Problem::Entry(entry, None) => (
                format!(
                    "the policy's scope {} meets the entry {}, which no image can have",
                    shown(scope),
                    shown(&entry.value)
                ),
                format!("take the entry out of the list:\n{}", fix::remove(&entry.object, &entry.path, &entry.value)),
            ),
            Problem::DockerHub => (
                format!(
                    "the scope {} meets an entry of Docker Hub, and the two are not two components deep",
                    shown(scope)
                ),
                docker_hub(context, cause),
            ),
            Problem::BareMirror(mirror, better) => (
                format!(
                    "images in {} cannot be rewritten to the mirror {}, which has no path",
                    shown(scope),
                    shown(&mirror.value)
                ),
                format!(
                    "give the mirror a path, where the images must be then:\n{}",
                    fix::replace(&mirror.object, &mirror.path, &mirror.value, &better)
                ),
            ),
            Problem::Other => (
                format!("where images in {} are pulled from cannot be worked out", shown(scope)),
                format!(
                    "take the scope out of the policy, or mend the entries named here:\n{}",
                    context.scopes().drop_scope(cause)
                ),
            ),
        };
        let mut finding = context.refused(&RULE, refusal, cause, message).help(help);
        for other in others(refusal) {
            finding = finding.related(&other.object, &other.path, shown(&other.value));
        }
        finding.witness = context.scopes().witness(scope, namespace);
        findings.push(finding);
    }
}

/// `docker.io/app` is `docker.io/library/app` to a node.
fn docker_hub(context: &Context<'_>, cause: &Cause) -> String {
    let mut help =
        "ask for, or mirror, two components, such as docker.io/library/busybox or docker.io/team/app".to_string();
    let official = cause
        .value
        .strip_prefix("docker.io/")
        .filter(|name| !name.is_empty() && *name != "library" && !name.contains('/'));
    if let Some(name) = official {
        let better = format!("docker.io/library/{name}");
        help.push_str(&format!(
            "; for Docker's own image:\n{}",
            fix::replace(&cause.object, &cause.path, &cause.value, &better)
        ));
        return help;
    }
    format!("{help}; or take the scope out of the policy:\n{}", context.scopes().drop_scope(cause))
}

/// What to blame, by what stands there.
enum Problem<'r> {
    Scope,
    /// An entry of the Image, and the repository in it.
    Entry(&'r Cause, Option<String>),
    DockerHub,
    /// A mirror, and what it could be.
    BareMirror(&'r Cause, String),
    Other,
}

fn problem<'r>(refusal: &'r Refusal, cause: &Cause) -> Problem<'r> {
    let as_name = |scope: &str| match scope.strip_prefix('*') {
        Some(suffix) => format!("matched{suffix}"),
        None => scope.to_string(),
    };
    // A host alone may look like a name with a tag.
    let is_unparsable = |scope: &str| ImageReference::parse_literally(&as_name(scope)).is_err();
    if is_unparsable(&cause.value) || fix::repository(&cause.value).is_none() && !is_name(&as_name(&cause.value)) {
        return Problem::Scope;
    }
    let is_of_image = |other: &&Cause| &*other.object.kind == "Image";
    if let Some(entry) = others(refusal).filter(is_of_image).find(|entry| !is_name(&as_name(&entry.value))) {
        let better = fix::repository(&entry.value).map(str::to_string);
        let better = better.unwrap_or_else(|| entry.value.trim_end_matches('/').to_ascii_lowercase());
        return Problem::Entry(entry, Some(better).filter(|better| is_remap_prefix(better)));
    }
    let is_of_hub =
        |text: &str| text == "docker.io" || text.strip_prefix("docker.io/").is_some_and(|path| !path.contains('/'));
    if is_of_hub(&cause.value) || others(refusal).any(|other| is_of_hub(&other.value)) {
        return Problem::DockerHub;
    }
    let source = others(refusal).find(|other| other.path.ends_with(".source") && other.value.contains('/'));
    let bare = others(refusal).find(|other| other.path.contains(".mirrors[") && !other.value.contains('/'));
    match (source.and_then(|source| source.value.split_once('/')), bare) {
        (Some((_, path)), Some(mirror)) => Problem::BareMirror(mirror, format!("{}/{path}", mirror.value)),
        _ => Problem::Other,
    }
}

/// `host[:port][/path]`
fn is_name(text: &str) -> bool {
    is_remap_prefix(text)
}
