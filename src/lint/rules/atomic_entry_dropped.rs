//! IMP211

use std::sync::Arc;

use crate::lint::few::few;
use crate::lint::policies::{Asked, is_shipped};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::policy_write::fits_atomic;
use crate::model::provenance::{ObjectRef, Provenance};

pub static RULE: Rule = Rule {
    code: 211,
    name: "atomic-entry-dropped",
    level: Level::Info,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "A scope with three slashes or more, which the controller writes for the transport `docker` only.",
    why: "policy.json has a list of scopes for each way of pulling. The controller writes every scope for `docker`, which is how CRI-O pulls, and for `atomic`, which is \
OpenShift's old registry API, only those with fewer than three slashes: nodes would refuse the file otherwise. Pods are not concerned. Who compares the two lists in the file, or uses a \
tool with `atomic:` names on a node, finds that deep scopes are missing there, and that a broader scope or the default decides.",
    fix: "Nothing is to be done for pods. If somebody does pull by `atomic:`, give the policy a scope of at most two slashes.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/group/team/app]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
        Example {
            fires: true,
            release: "4.16",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistries: [registry.example.com/group/team/app]
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
  scopes: [registry.example.com/team/app]  # two slashes
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let scopes = context.scopes();
    let is_told = |asked: &&Asked<'_>| {
        // What a ClusterImagePolicy covers is ignored in an ImagePolicy anyway.
        let is_ignored = !asked.namespace().is_empty() && scopes.cluster_index.contains(asked.scope);
        !fits_atomic(asked.scope) && !is_shipped(asked.policy) && !is_ignored
    };
    let asked = scopes.cluster.iter().chain(&scopes.tenants).filter(is_told);
    let asked = asked.map(|asked| (&asked.policy.reference, asked.path(), asked.scope));
    let sources = &context.compiled.sources;
    let listed = sources.policy_blocked.iter().chain(&sources.allowed).filter(|entry| !fits_atomic(&entry.text));
    let listed = listed.filter_map(|entry| match entry.from.first()? {
        Provenance::Field { object, path } if &*object.kind == "Image" => {
            Some((object, path.to_string(), &*entry.text))
        }
        _ => None,
    });
    let all: Vec<(&Arc<ObjectRef>, String, &str)> = asked.chain(listed).collect();
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        for ((object, path, scope), more) in few(group) {
            let message = format!("{} has more than two slashes{more}", shown(scope));
            let finding = Finding::at(&RULE, object, context.origin(object), path, message)
                .effect("none for pods; policy.json has no such scope for the transport atomic, where a broader one or the default decides")
                .help(format!(
                    "nothing is to be done, unless somebody pulls by atomic: names; what pods get:\noc imagepolicy explain {}",
                    crate::lint::fix::shell_word(scope)
                ));
            findings.push(finding);
        }
    }
}
