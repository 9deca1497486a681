//! IMP105

use crate::admission::{self, ApiRule};
use crate::lint::api::RefusedField;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::provenance::RefusedBy;

pub static RULE: Rule = Rule {
    code: 105,
    name: "scope-refused",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Api],
    releases: "4.16 on",
    pitfalls: &[],
    needs: &[],
    summary: "An entry of spec.scopes is not a scope to the API server.",
    why: "A scope is a registry (`registry.example.com`, `registry.example.com:5000`), a part of one (`registry.example.com/team`), one repository, \
          tag or digest, or all subdomains of a domain (`*.example.com`). The registry is always written out, with a dot or as `localhost`; a \
          wildcard stands at the start only, without port and path; repositories are in lower case. The API server refuses a policy with any \
          other entry as a whole, so none of its scopes is protected.",
    fix: "Correct the entry, or take it out. Images of Docker Hub are under `docker.io/library/NAME` or `docker.io/TEAM/NAME`; all repositories \
          of a host are covered by the host alone, without `/*`.",
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
    - registry.example.com/team
    - registry.example.com/*     # a path is matched without wildcards
    - busybox                    # no registry
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
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
    - registry.example.com
    - '*.example.net'
    - docker.io/library/busybox
    - localhost:5000/team/app:v1
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
    for refused in context.refused_fields(ApiRule::Scope) {
        let message = format!("{} {}", shown(refused.value), problem(refused.value));
        let help = match suggestion(refused.value) {
            Some(scope) => refused.help(context, &format!("write {scope}"), refused.replaced(&scope)),
            None => refused.help(context, "correct the scope, or take it out", refused.removed()),
        };
        let finding = described(&refused, context, message).help(help);
        findings.push(match suggestion(refused.value) {
            Some(scope) => finding.fixed_by(refused.replacement(&scope)),
            None => finding,
        });
    }
}

fn described(refused: &RefusedField<'_>, context: &Context<'_>, message: String) -> Finding {
    refused.finding(context, &RULE, message)
}

/// Why, in words that follow the scope.
fn problem(scope: &str) -> &'static str {
    let host = scope.split('/').next().unwrap_or_default();
    if scope.is_empty() {
        "is empty"
    } else if scope.len() > 512 {
        "is longer than 512 characters"
    } else if scope.contains("://") {
        "is a URL, not a scope"
    } else if scope.contains('*') {
        "has a wildcard where none can be: only *.DOMAIN stands for something, without port and path"
    } else if !host.contains('.') && host.split(':').next() != Some("localhost") {
        "does not begin with a registry, such as registry.example.com"
    } else if scope.ends_with('/') {
        "ends with a slash"
    } else {
        "is not the name of a registry, a repository or an image"
    }
}

/// What was probably meant, if the API server takes it.
fn suggestion(scope: &str) -> Option<String> {
    let plain = scope.trim();
    let plain = plain.split_once("://").map_or(plain, |(_, rest)| rest);
    let plain = plain.trim_end_matches(['/', '*']).to_string();
    let on_docker_hub = match plain.contains('/') {
        true => format!("docker.io/{plain}"),
        false => format!("docker.io/library/{plain}"),
    };
    let candidates = [plain.to_ascii_lowercase(), plain, on_docker_hub];
    candidates.into_iter().find(|candidate| candidate != scope && admission::accepts_scope(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant() {
        for (scope, expected) in [
            ("busybox", Some("docker.io/library/busybox")),
            ("team/app:v1", Some("docker.io/team/app:v1")),
            ("https://quay.io/", Some("quay.io")),
            ("quay.io/*", Some("quay.io")),
            ("quay.io/Team", Some("quay.io/team")),
            ("*", None),
            ("quay.io/a b", None),
        ] {
            assert_eq!(suggestion(scope).as_deref(), expected, "{scope}");
        }
    }
}
