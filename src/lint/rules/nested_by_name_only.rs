//! IMP210

use crate::lint::fix::Fix;
use crate::lint::refusals::others;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::RefusedBy;
use crate::model::reference::broader_scopes;
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 210,
    name: "nested-by-name-only",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Controller],
    releases: "4.16 and later",
    pitfalls: &[4],
    needs: &[Kind::Image, Kind::ClusterImagePolicy],
    summary: "A ClusterImagePolicy's scope with a tag or digest is inside allowedRegistries by any reading but the controller's.",
    why: "The machine-config-controller compares scopes as texts: what follows the outer scope must begin with a slash. A tag or a digest \
therefore is not inside of its own repository, and a name with a tag is not inside of a wildcard such as `*.example.com`. A node would look \
it up there all the same. The controller refuses the scope as outside of `allowedRegistries` and stops: no pool gets its registries, \
mirrors, blocks or policies written any more.",
    fix: "Ask for the repository in place of the tag. If it must be the tag, allow the registry or the namespace that the repository is in: \
the tag is inside of those, for the controller too.",
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
    allowedRegistries: [registry.example.com/team/app]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: app}
spec:
  scopes: ["registry.example.com/team/app:stable"]
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
    allowedRegistries: [registry.example.com/team]  # a slash follows: the controller agrees
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: app}
spec:
  scopes: ["registry.example.com/team/app:stable"]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let scopes = context.scopes();
    for (refusal, cause) in context.refusals(&RULE) {
        let scope = &cause.value;
        let around = broader_scopes(scope).find(|broader| scopes.allowed.position(&broader.text()).is_some());
        let Some(around) = around.map(|around| around.text()) else { continue };
        let message =
            format!("{} is inside the allowed {} for a node, but not for the controller", shown(scope), shown(&around));
        let mut finding = context.refused(&RULE, refusal, cause, message);
        for other in others(refusal) {
            finding = finding.related(&other.object, &other.path, format!("has {}", shown(&around)));
        }
        let help = match fix::repository(scope) {
            Some(repository) => format!(
                "ask for the repository in place of the tag or digest:\n{}",
                fix::replace(&cause.object, &cause.path, scope, repository)
            ),
            None => format!("take the scope out of the policy:\n{}", scopes.drop_scope(cause)),
        };
        finding.witness = scopes.witness(scope, "");
        finding.fix = Some(match fix::repository(scope) {
            Some(repository) => Fix::risky(format!("ask for {repository}")).replace(
                &cause.object,
                &cause.path,
                scope.as_str(),
                repository,
            ),
            None => scopes.without_scope(cause, false),
        });
        findings.push(finding.help(help));
    }
}
