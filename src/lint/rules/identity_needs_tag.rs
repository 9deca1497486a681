//! IMP308

use serde_json::json;

use crate::lint::api::field;
use crate::lint::policies::is_shipped;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::go_text::quote;
use crate::model::reference::ImageReference;
use crate::snapshot::{Object, api};

pub static RULE: Rule = Rule {
    code: 308,
    name: "identity-needs-tag",
    level: Level::Warning,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[20, 21, 45],
    needs: &[],
    summary: "The policy wants signatures that name a tag, and signatures of cosign name none unless they are told to.",
    why: "`MatchRepoDigestOrExact`, which holds where no `signedIdentity` is written, and `RemapIdentity` accept a signature only if the name in it \
          has a tag or digest, and an image that is asked for by tag only if it is exactly that tag. `cosign sign` writes the repository alone: \
          such a signature is good, and nodes reject the image all the same. So do pods that use a second tag of an image whose signature names \
          the first.\n\nAnother thing that only shows at the pull: nodes do not read the bundles that cosign 3 writes by default.",
    fix: "Write `signedIdentity: {matchPolicy: MatchRepository}`, which asks for the repository and lets any of its tags be signed; or \
          `ExactRepository` where the signatures name another repository. Or keep the policy and sign with \
          `cosign sign --sign-container-identity REPOSITORY:TAG`. With cosign 3, sign with `--new-bundle-format=false`.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
    # no signedIdentity: MatchRepoDigestOrExact
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
    signedIdentity: {matchPolicy: MatchRepository}
",
        },
    ],
    check,
};

const IDENTITY: &str = "spec.policy.signedIdentity";

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let snapshot = context.snapshot;
    let policies = snapshot.cluster_image_policies.iter().chain(&snapshot.image_policies);
    findings.extend(policies.filter(|policy| !is_shipped(policy)).filter_map(|policy| finding(context, policy)));
}

fn finding(context: &Context<'_>, policy: &Object<api::ImagePolicy>) -> Option<Finding> {
    let body = &policy.value.spec.policy;
    // What else stands there is IMP104's and IMP111's.
    if !matches!(body.root_of_trust.policy_type.as_str(), "PublicKey" | "FulcioCAWithRekor" | "PKI") {
        return None;
    }
    let match_policy = body.signed_identity.as_ref().map(|identity| identity.match_policy.as_str());
    let (path, message) = match match_policy {
        None => (IDENTITY.to_string(), "signedIdentity is absent, so a signature must name a tag".to_string()),
        Some(name @ ("MatchRepoDigestOrExact" | "RemapIdentity")) => {
            (format!("{IDENTITY}.matchPolicy"), format!("{name} accepts only signatures that name a tag"))
        }
        Some(_) => return None,
    };
    let scope = policy.value.spec.scopes.first()?;
    let witness = context.scopes().witness(scope, &policy.metadata.namespace);
    let remapped =
        body.signed_identity.as_ref().and_then(|identity| Some(&identity.remap_identity.as_ref()?.signed_prefix));
    let image = ImageReference::parse(witness.as_deref().unwrap_or(scope)).ok();
    let repository = match remapped.filter(|_| match_policy == Some("RemapIdentity")) {
        Some(prefix) => prefix.as_str(),
        None => image.as_ref().map_or(scope.as_str(), |image| image.name()),
    };
    let effect = format!(
        "images of {} whose signature names the repository alone, as cosign writes it by default, are rejected: {}",
        shown(scope),
        quote(&format!("Signature for identity {} is not accepted", quote(repository)))
    );
    let wanted = json!({"matchPolicy": "MatchRepository"});
    let what = "accept a signature for any tag of the repository";
    let mend = match policy.raw.pointer("/spec/policy/signedIdentity") {
        _ if match_policy == Some("RemapIdentity") => None,
        None => Some(fix::Fix::risky(what).set(&policy.reference, IDENTITY, wanted)),
        Some(_) => {
            let before = field(&policy.raw, IDENTITY).cloned().unwrap_or_default();
            Some(fix::Fix::risky(what).replace(&policy.reference, IDENTITY, before, wanted))
        }
    };
    let sign = "sign with cosign sign --sign-container-identity REPOSITORY:TAG (cosign 3: and --new-bundle-format=false, \
                whose bundles nodes do not read)";
    let help = match &mend {
        Some(mend) => format!("{sign}; or {what}:\n{}", mend.commands().join("\n")),
        None => format!(
            "{sign}; or name the repository in the signatures with ExactRepository, which takes any tag:\n{}",
            fix::edit(&policy.reference)
        ),
    };
    let mut finding = Finding::new(&RULE, policy, path, message).effect(effect).help(help);
    finding.fix = mend;
    finding.witness = witness.clone();
    Some(finding)
}
