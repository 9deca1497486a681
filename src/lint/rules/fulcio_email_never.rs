//! IMP310

use crate::lint::mirrors::others;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::go_text::quote;

pub static RULE: Rule = Rule {
    code: 310,
    name: "fulcio-email-never",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "4.16 and later",
    pitfalls: &[],
    needs: &[],
    summary: "The e-mail address that a certificate must have is a URI, which can never match.",
    why: "A certificate of Fulcio has the signer either as an e-mail address or as a URI: workflows of GitHub, GitLab and most build services sign as \
          a URI such as `https://github.com/org/repo/.github/workflows/release.yml@refs/heads/main`. The API takes such a text for an address, since \
          it has an `@` in it, but nodes look for it among the e-mail addresses of the certificate only, and it is never there. Every image of the \
          policy's scopes is rejected, however it is signed. Node policy cannot express a workflow's identity at all.",
    fix: "Sign with an identity that has an e-mail address, such as a service account of Google Cloud, or sign with a key (`PublicKey`).",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: workflows}
spec:
  scopes: [ghcr.io/team]
  policy:
    rootOfTrust:
      policyType: FulcioCAWithRekor
      fulcioCAWithRekor:
        fulcioCAData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==
        rekorKeyData: SOME_KEY
        fulcioSubject:
          oidcIssuer: https://token.actions.githubusercontent.com
          signedEmail: https://github.com/team/app/.github/workflows/release.yml@refs/heads/main
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: workflows}
spec:
  scopes: [ghcr.io/team]
  policy:
    rootOfTrust:
      policyType: FulcioCAWithRekor
      fulcioCAWithRekor:
        fulcioCAData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==
        rekorKeyData: SOME_KEY
        fulcioSubject:
          oidcIssuer: https://accounts.google.com
          signedEmail: builder@project.iam.gserviceaccount.com
",
        },
    ],
    check,
};

const FULCIO: &str = "spec.policy.rootOfTrust.fulcioCAWithRekor.fulcioSubject.signedEmail";
const PKI: &str = "spec.policy.rootOfTrust.pki.pkiCertificateSubject.email";

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let snapshot = context.snapshot;
    for policy in snapshot.cluster_image_policies.iter().chain(&snapshot.image_policies) {
        let root = &policy.value.spec.policy.root_of_trust;
        let asked = match root.policy_type.as_str() {
            "FulcioCAWithRekor" => {
                root.fulcio_ca_with_rekor.as_ref().map(|fulcio| (FULCIO, fulcio.fulcio_subject.signed_email.as_str()))
            }
            "PKI" => root.pki.as_ref().map(|pki| (PKI, pki.pki_certificate_subject.email.as_str())),
            _ => None,
        };
        let Some((path, email)) = asked.filter(|(_, email)| is_uri(email)) else { continue };
        // Without an `@` it is no address for the API either.
        if context.api_refuses(&policy.reference, path) {
            continue;
        }
        let scope = policy.value.spec.scopes.first().map(String::as_str).unwrap_or_default();
        let more = match policy.value.spec.scopes.len() {
            0 | 1 => String::new(),
            all => format!(" and {}", others(all, "scope")),
        };
        let effect = format!(
            "nodes reject every image in {}{more}, however it is signed: {}",
            shown(scope),
            quote(&format!("Required email {} not found (got [])", quote(email)))
        );
        let help = format!(
            "sign with an identity that has an e-mail address and write that here, or sign with a key and use policyType: PublicKey:\n{}",
            fix::edit(&policy.reference)
        );
        let mut finding = Finding::new(
            &RULE,
            policy,
            path,
            format!("{} is a URI, not the e-mail address of a certificate", shown(email)),
        )
        .effect(effect)
        .help(help);
        finding.witness = context.scopes().witness(scope, &policy.metadata.namespace);
        findings.push(finding);
    }
}

/// A scheme and what belongs to it.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme && (rest.starts_with("//") || scheme.eq_ignore_ascii_case("urn"))
}

#[cfg(test)]
mod tests {
    use super::is_uri;

    #[test]
    fn uris_are_told_from_addresses() {
        for uri in
            ["https://github.com/o/r/.github/workflows/x.yml@refs/heads/main", "spiffe://a@b", "urn:x@y", "HTTP://a@b"]
        {
            assert!(is_uri(uri), "{uri}");
        }
        for address in ["a@b.c", "a:b@c", "//a@b", "a b://c@d", ":@x", "", "\"https://x\"@example.com", "mailto:a@b.c"]
        {
            assert!(!is_uri(address), "{address}");
        }
    }
}
