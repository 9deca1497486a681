//! IMP107

use std::collections::BTreeMap;

use crate::admission::{self, ApiRule};
use crate::lint::api::RefusedField;
use crate::lint::fix::Fix;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::go_text::quote;
use crate::model::provenance::{Cause, RefusedBy};

pub static RULE: Rule = Rule {
    code: 107,
    name: "registry-entry-refused",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Api, RefusedBy::Controller],
    releases: "all; the API server checks entries from 5.0",
    pitfalls: &[],
    needs: &[],
    summary: "An entry of registrySources is none to the API server or to the controller.",
    why: "`insecureRegistries`, `blockedRegistries` and `allowedRegistries` take `host[:port][/path]` and `*.domain`. Up to OpenShift 4.22 the API \
          server stores anything, and the machine-config-controller then stops on an empty entry or on a wildcard in another place: no registry \
          setting, no policy and no mirror reaches any node, and only its log says why. Where it does not stop, the node may (IMP213). From 5.0 \
          the API server refuses such an entry, and a tag or a digest as well.",
    fix: "Write the registry or the repository alone: no scheme, no tag, no digest, no `/*`.",
    examples: &[
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
      - evil.example.org/*
",
        },
        Example {
            fires: true,
            release: "5.0",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    allowedRegistries:
      - quay.io/openshift-release-dev
      - registry.example.com/base:v1   # a tag: refused from 5.0
",
        },
        Example {
            fires: false,
            release: "5.0",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    blockedRegistries:
      - evil.example.org
      - '*.evil.example.net'
      - registry.example.com:5000/old
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for refused in context.refused_fields(ApiRule::RegistryEntry) {
        findings.push(of_api(context, &refused));
    }
    // The same entry is refused while writing registries.conf and again while writing policy.json.
    let mut places: BTreeMap<&Cause, usize> = BTreeMap::new();
    for (refusal, cause) in context.refusals(&RULE) {
        let known = *places.entry(cause).or_insert(findings.len());
        if let Some(finding) = findings.get_mut(known) {
            finding.effect.push_str(&format!("; {}", quote(&refusal.text)));
            continue;
        }
        let message = format!("{} {}", shown(&cause.value), problem(&cause.value));
        let help = match suggestion(&cause.value) {
            Some(entry) => {
                format!("write {entry}:\n{}", fix::replace(&cause.object, &cause.path, &cause.value, &entry))
            }
            None => format!("take it out:\n{}", fix::remove(&cause.object, &cause.path, &cause.value)),
        };
        let finding = context.refused(&RULE, refusal, cause, message).help(help);
        findings.push(match suggestion(&cause.value) {
            Some(entry) => finding.fixed_by(Fix::correction(&cause.object, &cause.path, &cause.value, &entry)),
            None => finding.fixed_by(Fix::risky("take the entry out").remove(
                &cause.object,
                &cause.path,
                cause.value.as_str(),
            )),
        });
    }
}

fn of_api(context: &Context<'_>, refused: &RefusedField<'_>) -> Finding {
    let message = format!("{} {}", shown(refused.value), problem(refused.value));
    let help = match suggestion(refused.value) {
        Some(entry) => refused.help(context, &format!("write {entry}"), refused.replaced(&entry)),
        None => refused.help(context, "take it out", refused.removed()),
    };
    let finding = refused.finding(context, &RULE, message).help(help);
    match suggestion(refused.value) {
        Some(entry) => finding.fixed_by(refused.replacement(&entry)),
        None => finding.fixed_by(Fix::risky("take the entry out").remove(
            refused.object.object,
            refused.path,
            refused.value,
        )),
    }
}

/// Why, in words that follow the entry.
fn problem(entry: &str) -> &'static str {
    let last = entry.rsplit('/').next().unwrap_or_default();
    if entry.is_empty() {
        "is empty"
    } else if entry.contains("://") {
        "is a URL: a registry has no scheme"
    } else if entry.contains('*') {
        "has a wildcard where none can be: only *.DOMAIN stands for something, without port and path"
    } else if entry.contains('@') {
        "has a digest: only registries and repositories can be listed"
    } else if entry.contains('/') && last.contains(':') {
        "has a tag: only registries and repositories can be listed"
    } else {
        "is not a registry or a repository"
    }
}

/// The registry or repository that was probably meant.
fn suggestion(entry: &str) -> Option<String> {
    let plain = entry.trim();
    let plain = plain.split_once("://").map_or(plain, |(_, rest)| rest);
    let plain = plain.split_once('@').map_or(plain, |(name, _)| name);
    let path = plain.rfind('/').unwrap_or(plain.len());
    let tag = plain.get(path..).and_then(|last| last.find(':')).map(|colon| path + colon);
    let plain = plain.get(..tag.unwrap_or(plain.len())).unwrap_or_default().trim_end_matches(['/', '*']);
    let found = plain != entry && plain.contains('.') && admission::accepts_registry(plain);
    found.then(|| plain.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant() {
        for (entry, expected) in [
            ("https://quay.io/", Some("quay.io")),
            ("quay.io/team/*", Some("quay.io/team")),
            ("quay.io/team:v1", Some("quay.io/team")),
            ("quay.io:5000/team@sha256:aa", Some("quay.io:5000/team")),
            ("quay.io:5000/", Some("quay.io:5000")),
            ("quay.*", None),
            ("", None),
            ("*", None),
        ] {
            assert_eq!(suggestion(entry).as_deref(), expected, "{entry}");
        }
    }
}
