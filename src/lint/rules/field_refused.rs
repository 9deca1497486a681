//! IMP111

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::admission::ApiRule;
use crate::lint::api::RefusedField;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::keys::{KeyProblem, inspect_certificates, inspect_public_key, inspect_rekor_key};
use crate::model::private_keys::contains_private_key;
use crate::model::provenance::{Cause, RefusedBy};
use crate::model::reference::is_remap_prefix;

pub static RULE: Rule = Rule {
    code: 111,
    name: "field-refused",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Api, RefusedBy::Controller],
    releases: "all; which fields and checks there are depends on the release",
    pitfalls: &[35],
    needs: &[],
    summary: "A field has a value that the API server or the controller refuses, or is missing.",
    why: "The API server holds every object against the schema of its release: keys and certificates begin and end with their PEM lines, identities \
          are repositories without tag or digest, the issuer is a URL, the subject an e-mail address, and so on. An object that it refuses is not \
          stored at all. Older schemas (`v1alpha1`) check less; what they let through stops the machine-config-controller instead, which then \
          writes nothing for any pool until the object is corrected.",
    fix: "Correct the field; the refuser's own words say which check failed. `oc apply --dry-run=server` asks the API server of your cluster without \
          storing anything.",
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
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
    signedIdentity:
      matchPolicy: ExactRepository
      exactRepository:
        repository: registry.example.com/team/app:v1   # a tag
",
        },
        Example {
            fires: true,
            release: "4.18",
            manifests: "
apiVersion: config.openshift.io/v1alpha1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.example.com/team
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: ''   # v1alpha1 lets it through, the controller does not
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
    - registry.example.com/team
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
    signedIdentity:
      matchPolicy: ExactRepository
      exactRepository:
        repository: registry.example.com/team/app
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for refused in context.refused_fields(ApiRule::Field) {
        let (message, advice) = words(&refused);
        let command = suggestion(&refused).and_then(|value| refused.replaced(&value));
        let finding = refused.finding(context, &RULE, message).help(refused.help(context, &advice, command));
        findings.push(match suggestion(&refused) {
            Some(value) => finding.fixed_by(refused.replacement(&value)),
            None => finding,
        });
    }
    for (refusal, cause) in context.refusals(&RULE) {
        let message = format!("{} {}", last(&cause.path), unconvertible(cause));
        let advice = advice_for(&cause.path);
        let help = format!("{advice}; until then the policy has to go:\n{}", fix::delete(&cause.object));
        findings.push(context.refused(&RULE, refusal, cause, message).help(help));
    }
}

fn unconvertible(cause: &Cause) -> String {
    match cause.value.is_empty() {
        true => "is empty or missing".to_string(),
        false => format!("is {}, which the controller cannot use", shown(&cause.value)),
    }
}

/// What is wrong, and what to do, each as one line.
fn words(refused: &RefusedField<'_>) -> (String, String) {
    let name = refused.name();
    let first = refused.texts.first().copied().unwrap_or_default();
    if let Some(problem) = key_problem(refused) {
        let advice = problem.help().unwrap_or("give the key that the images are really signed with");
        return (format!("{name} {problem}"), advice.to_string());
    }
    let advice = advice_for(refused.path);
    let message = if first.starts_with("Required value") {
        return (format!("{name} is missing"), format!("add it: {advice}"));
    } else if first.starts_with("Too long") {
        format!("{name} is too long: {} characters", refused.value.chars().count())
    } else if first.starts_with("Unsupported value") {
        format!("{name} is {}, which is none of its values", shown(refused.value))
    } else if first.contains(" in body must be of type byte") {
        format!(
            "{name} is {}",
            if refused.value.contains("-----BEGIN") { "PEM as it is, not in base64" } else { "not base64" }
        )
    } else if first.contains(" in body must be of type ") {
        format!("{name} is of the wrong type")
    } else if first.contains(" in body should have at least ") {
        format!("{name} is empty")
    } else if refused.path.ends_with("signedIdentity") {
        "signedIdentity has other members than its matchPolicy asks for".to_string()
    } else if refused.path.ends_with("pkiCertificateSubject") {
        "pkiCertificateSubject names nobody".to_string()
    } else if is_data(refused.path) {
        format!("{name} has something before its BEGIN or after its END line")
    } else if refused.value.starts_with(['{', '[']) {
        format!("{name} is refused")
    } else {
        format!("{name} cannot be {}", shown(refused.value))
    };
    (message, advice.to_string())
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn is_data(path: &str) -> bool {
    path.ends_with("Data")
}

/// What is wrong with a key or certificates, where they are what is refused.
fn key_problem(refused: &RefusedField<'_>) -> Option<KeyProblem> {
    if !is_data(refused.path) || refused.value.is_empty() {
        return None;
    }
    if contains_private_key(refused.value) {
        return Some(KeyProblem::PrivateKey);
    }
    let bytes = STANDARD.decode(refused.value).ok()?;
    match refused.name() {
        "keyData" => inspect_public_key(&bytes).err(),
        "rekorKeyData" => inspect_rekor_key(&bytes).err(),
        _ => inspect_certificates(&bytes).err(),
    }
}

/// What a field takes, as something to do.
fn advice_for(path: &str) -> &'static str {
    match last(path).split('[').next().unwrap_or_default() {
        "keyData" | "rekorKeyData" => {
            "give the public key's PEM file in base64, and nothing else: base64 -w0 <cosign.pub"
        }
        "fulcioCAData" | "caRootsData" | "caIntermediatesData" => {
            "give the certificates' PEM file in base64, and nothing else: base64 -w0 <ca.pem"
        }
        "signedEmail" | "email" => {
            "give the e-mail address that stands in the certificate, such as release@example.com"
        }
        "oidcIssuer" => "give the URL of the issuer, such as https://issuer.example.com",
        "hostname" => "give a host name in lower case, or *.DOMAIN",
        "repository" | "prefix" | "signedPrefix" => {
            "give a repository in full, without tag and digest, such as registry.example.com/team/app; a host with a port needs a path"
        }
        "exactRepository" => "write matchPolicy: ExactRepository together with exactRepository.repository",
        "remapIdentity" => "write matchPolicy: RemapIdentity together with prefix and signedPrefix",
        "signedIdentity" => {
            "write exactRepository with matchPolicy ExactRepository only, and remapIdentity with RemapIdentity only"
        }
        "matchPolicy" => "write MatchRepoDigestOrExact, MatchRepository, ExactRepository or RemapIdentity",
        "pkiCertificateSubject" => "give email, hostname or both",
        "policyType" => {
            "write PublicKey, FulcioCAWithRekor or, from OpenShift 4.21, PKI, with the member that goes with it"
        }
        "publicKey" | "fulcioCAWithRekor" | "pki" => "add the member that policyType names",
        "source" => "give host[:port][/path], or *.DOMAIN, without scheme, tag and digest",
        "mirrors" => "give host[:port][/path], without scheme, wildcard, tag and digest",
        "mirrorSourcePolicy" => "write NeverContactSource or AllowContactingSource",
        "containerRuntimeSearchRegistries" => "list at least one host name, or leave the list out",
        "name" | "generateName" => "give a name of lower-case letters, digits, '-' and '.'",
        "labels" | "annotations" => "correct or leave out the one that is named",
        "scopes" => "list at least one scope, such as registry.example.com/team",
        "rootOfTrust" | "policy" | "spec" => "a policy has spec.scopes and spec.policy.rootOfTrust",
        _ => "correct it as the API server's words say",
    }
}

/// What was probably meant.
fn suggestion(refused: &RefusedField<'_>) -> Option<String> {
    if !matches!(refused.name(), "repository" | "prefix" | "signedPrefix") {
        return None;
    }
    let plain = refused.value.split_once("://").map_or(refused.value, |(_, rest)| rest);
    let plain = plain.split_once('@').map_or(plain, |(name, _)| name);
    let path = plain.rfind('/')?;
    let tag = plain.get(path..)?.find(':').map_or(plain.len(), |colon| path + colon);
    let plain = plain.get(..tag)?.trim_end_matches('/');
    (plain != refused.value && plain.contains('.') && is_remap_prefix(plain)).then(|| plain.to_string())
}
