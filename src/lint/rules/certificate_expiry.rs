//! IMP103

use std::collections::HashMap;

use crate::lint::keys::{KeyField, Purpose, concerned, decode, fields, witness};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::keys::{CertificateInfo, inspect_certificates, unlinked};
use crate::snapshot::Object;
use crate::snapshot::api::ImagePolicy;

/// What is left until this is worth a warning.
const SOON: i64 = 90 * DAY;
const DAY: i64 = 24 * 60 * 60;

pub static RULE: Rule = Rule {
    code: 103,
    name: "certificate-expiry",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "4.16 and later; PKI: 4.19 and later",
    pitfalls: &[],
    needs: &[],
    summary: "A certificate that is not valid now or will soon not be, that may not issue others, or that no root leads to.",
    why: "A node checks the whole chain from the signer's certificate to a root, and each link must be valid: for `PKI` at the moment of the pull, so that the day a \
root or an intermediate expires, every image signed under it is rejected, old signatures too; for Fulcio at the time at which Rekor saw the signature, so that \
old signatures stay good and new ones are not. The API server looks at the first and last line of a PEM block only, and nobody gives warning.",
    fix: "Put the renewed certificates in before the old ones expire; roots of both generations may stand in the same field, one after the other. Intermediates must lead, by the names of \
their issuers, to one of the roots.",
    examples: &[
        Example {
            fires: true,
            release: "4.21",
            manifests: r#"
# The root expired at the end of 2023.
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PKI
      pki:
        caRootsData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJiRENDQVJPZ0F3SUJBZ0lKQU95UytSWk5nUmx1TUFvR0NDcUdTTTQ5QkFNQ01Cb3hHREFXQmdOVkJBTU0KRDBWNFlXMXdiR1VnVW05dmRDQkRRVEFlRncweE5EQXhNREV3TURBd01EQmFGdzB5TkRBeE1ERXdNREF3TURCYQpNQm94R0RBV0JnTlZCQU1NRDBWNFlXMXdiR1VnVW05dmRDQkRRVEJaTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5CkF3RUhBMElBQkFtNnMwemtmTytXQWJULzZMcDY2NFpMbkMzdVVkMFFaUzJSekxaTXVTTXBpQ1A4NVVncXBwSXYKTUUzWWhOZWU2T1kwQ1BNaUlVN3F3SVB0dmhoaUxLT2pRakJBTUE4R0ExVWRFd0VCL3dRRk1BTUJBZjh3RGdZRApWUjBQQVFIL0JBUURBZ0lFTUIwR0ExVWREZ1FXQkJRN3ZYSWVjQmpiektsWnRGVHBVeWlFRkEzdVZEQUtCZ2dxCmhrak9QUVFEQWdOSEFEQkVBaUJTbTU4dUJiQ3JKWVhXWmZhMDludzRIM1Bra2Z1VlEwR3hpUGFiVUl5SzJRSWcKU09YSWx1eWVpWVUrRVRSM0tNOGJ5U3krYXlQK0kvVzdXUHdJUmJyTnFHUT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=
        pkiCertificateSubject: {email: team@example.com}
"#,
        },
        Example {
            fires: true,
            release: "4.21",
            manifests: r#"
# The intermediate was issued by another root.
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PKI
      pki:
        caRootsData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJiekNDQVJTZ0F3SUJBZ0lJTFhLcmt2VWFMZVl3Q2dZSUtvWkl6ajBFQXdJd0dqRVlNQllHQTFVRUF3d1AKUlhoaGJYQnNaU0JTYjI5MElFTkJNQ0FYRFRJME1ERXdNVEF3TURBd01Gb1lEekl5TWpRd01UQXhNREF3TURBdwpXakFhTVJnd0ZnWURWUVFEREE5RmVHRnRjR3hsSUZKdmIzUWdRMEV3V1RBVEJnY3Foa2pPUFFJQkJnZ3Foa2pPClBRTUJCd05DQUFScnY0M0pHaDd0VkZqQzFydkpWTkxDYXdoYWN5UzRhTDgrSTNHODlVZm8vSk1MTnNPYTFJWmQKQnZYMVVaVjlZZ2t3bVlXbmZEeVpDMm54SFFnOGIxY2ZvMEl3UURBUEJnTlZIUk1CQWY4RUJUQURBUUgvTUE0RwpBMVVkRHdFQi93UUVBd0lDQkRBZEJnTlZIUTRFRmdRVUV2WlU5TE00dUpJbldVdGk5aUpLTFk4S2dFQXdDZ1lJCktvWkl6ajBFQXdJRFNRQXdSZ0loQU5UUFFmbVdDdVVYdCtJTXFHYzdpcVVDRjVXVjdXZGZpVWRjaW1qRXc2dUMKQWlFQXc3cllZdDdlbUJJdWhubVFMbmk3VERpUmpxYncrdDM2ZDg4Vyt6Y3FYTDg9Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K
        caIntermediatesData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJqekNDQVRTZ0F3SUJBZ0lJQVkxMU5CcG5Fb1l3Q2dZSUtvWkl6ajBFQXdJd0dERVdNQlFHQTFVRUF3d04KVDNSb1pYSWdVbTl2ZENCRFFUQWdGdzB5TkRBeE1ERXdNREF3TURCYUdBOHlNakkwTURFd01UQXdNREF3TUZvdwpHekVaTUJjR0ExVUVBd3dRVDNSb1pYSWdVMmxuYm1sdVp5QkRRVEJaTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5CkF3RUhBMElBQkJxWWVHR2VHUVlVdlc1cDR0cjF6VVMrczRNQnlhVERLQXV1S0tmRVh1TFYxVWJUVUNKN1pMRVgKRElTT0FoRjY5dFpsbVM2anNtaW1ycEhrOCtJNGtmV2pZekJoTUE4R0ExVWRFd0VCL3dRRk1BTUJBZjh3RGdZRApWUjBQQVFIL0JBUURBZ0lFTUIwR0ExVWREZ1FXQkJTbzQ3bVZiSjRnZkp4TnFjcTV1Sm5oelFNeVJEQWZCZ05WCkhTTUVHREFXZ0JRMGNwR1dXOTByemhaKzdrcXlpY3ZkZlJCNmVqQUtCZ2dxaGtqT1BRUURBZ05KQURCR0FpRUEKa0hRSG52TEdXeklEbjRDK2xCdkx2RFl0ZXpFMHovN3NNVWxYSDBvc1R1SUNJUUNDMzQwLzBjMTljWmxOVDdtNgovR01FYXlqWHcwdzFFODFrZVM2Q0h1RS9lQT09Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K
        pkiCertificateSubject: {email: team@example.com}
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
# The certificate of a signer, not of an authority.
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: FulcioCAWithRekor
      fulcioCAWithRekor:
        fulcioCAData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJZakNDQVFpZ0F3SUJBZ0lKQVBHVXVZR1hUeG1WTUFvR0NDcUdTTTQ5QkFNQ01CMHhHekFaQmdOVkJBTU0KRW5OcFoyNWxjaTVsZUdGdGNHeGxMbU52YlRBZ0Z3MHlOREF4TURFd01EQXdNREJhR0E4eU1qSTBNREV3TVRBdwpNREF3TUZvd0hURWJNQmtHQTFVRUF3d1NjMmxuYm1WeUxtVjRZVzF3YkdVdVkyOXRNRmt3RXdZSEtvWkl6ajBDCkFRWUlLb1pJemowREFRY0RRZ0FFUFNSWTZLYUdlb3l1cEpiNSt1VlVBUmZ3Z2RkRVk3aDR3Y3hZNnVoNXdsWHUKTTFBcStlWndacm0xUEEzRU1OVEhNa0NxbUJaR3RyUENDTTRGWnlELzRLTXZNQzB3REFZRFZSMFRBUUgvQkFJdwpBREFkQmdOVkhRNEVGZ1FVcjNDbXp3OWxVbURkN3RMKy9LK0Z6ZlJPOVhZd0NnWUlLb1pJemowRUF3SURTQUF3ClJRSWdEMC9ldi9JSS9qK3g4UWJsK2R6UEVRdVN3a0xRWWE2U2JkaUlQc2IwT0ZJQ0lRQ2tQaUcvbHJwSXpOVFgKYXlKSi85SW8yZm1kOTRBb3FrNG9DUlVBejRKT0pnPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=
        rekorKeyData: SOME_KEY
        fulcioSubject: {oidcIssuer: "https://accounts.example.com", signedEmail: team@example.com}
"#,
        },
        Example {
            fires: false,
            release: "4.21",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PKI
      pki:
        caRootsData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJiekNDQVJTZ0F3SUJBZ0lJTFhLcmt2VWFMZVl3Q2dZSUtvWkl6ajBFQXdJd0dqRVlNQllHQTFVRUF3d1AKUlhoaGJYQnNaU0JTYjI5MElFTkJNQ0FYRFRJME1ERXdNVEF3TURBd01Gb1lEekl5TWpRd01UQXhNREF3TURBdwpXakFhTVJnd0ZnWURWUVFEREE5RmVHRnRjR3hsSUZKdmIzUWdRMEV3V1RBVEJnY3Foa2pPUFFJQkJnZ3Foa2pPClBRTUJCd05DQUFScnY0M0pHaDd0VkZqQzFydkpWTkxDYXdoYWN5UzRhTDgrSTNHODlVZm8vSk1MTnNPYTFJWmQKQnZYMVVaVjlZZ2t3bVlXbmZEeVpDMm54SFFnOGIxY2ZvMEl3UURBUEJnTlZIUk1CQWY4RUJUQURBUUgvTUE0RwpBMVVkRHdFQi93UUVBd0lDQkRBZEJnTlZIUTRFRmdRVUV2WlU5TE00dUpJbldVdGk5aUpLTFk4S2dFQXdDZ1lJCktvWkl6ajBFQXdJRFNRQXdSZ0loQU5UUFFmbVdDdVVYdCtJTXFHYzdpcVVDRjVXVjdXZGZpVWRjaW1qRXc2dUMKQWlFQXc3cllZdDdlbUJJdWhubVFMbmk3VERpUmpxYncrdDM2ZDg4Vyt6Y3FYTDg9Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K
        caIntermediatesData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJrakNDQVRtZ0F3SUJBZ0lKQUpSL1ZxMFp2bVQ1TUFvR0NDcUdTTTQ5QkFNQ01Cb3hHREFXQmdOVkJBTU0KRDBWNFlXMXdiR1VnVW05dmRDQkRRVEFnRncweU5EQXhNREV3TURBd01EQmFHQTh5TWpJME1ERXdNVEF3TURBdwpNRm93SFRFYk1Ca0dBMVVFQXd3U1JYaGhiWEJzWlNCVGFXZHVhVzVuSUVOQk1Ga3dFd1lIS29aSXpqMENBUVlJCktvWkl6ajBEQVFjRFFnQUVuclJSZEMrVDdzeVYzaGo2a1BncSt0Z2xJRjdVK0dabzJwVzViZ05ZdndsYmc2K3UKYXJlRHJIYjYzVUYvdFRJWlhQOTVFQVVKTG5mRVJYQWpFVlJHVjZOak1HRXdEd1lEVlIwVEFRSC9CQVV3QXdFQgovekFPQmdOVkhROEJBZjhFQkFNQ0FnUXdIUVlEVlIwT0JCWUVGTGEyVlVKWHBoOHFDUWkwd1F3SURNRGJObUM5Ck1COEdBMVVkSXdRWU1CYUFGQkwyVlBTek9MaVNKMWxMWXZZaVNpMlBDb0JBTUFvR0NDcUdTTTQ5QkFNQ0EwY0EKTUVRQ0lDc0ZWZ2J0RHpKRlZrS2hGb21OTEN0elBNcmMzU04wQ0s3WHRQVVdIS083QWlCS0NibitmNFUyU0VoUQoxNkFMTkhITk1BZHljM0NTUk91aTA4V2JyQWd3S0E9PQotLS0tLUVORCBDRVJUSUZJQ0FURS0tLS0tCg==
        pkiCertificateSubject: {email: team@example.com}
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
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: FulcioCAWithRekor
      fulcioCAWithRekor:
        fulcioCAData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJiekNDQVJTZ0F3SUJBZ0lJTFhLcmt2VWFMZVl3Q2dZSUtvWkl6ajBFQXdJd0dqRVlNQllHQTFVRUF3d1AKUlhoaGJYQnNaU0JTYjI5MElFTkJNQ0FYRFRJME1ERXdNVEF3TURBd01Gb1lEekl5TWpRd01UQXhNREF3TURBdwpXakFhTVJnd0ZnWURWUVFEREE5RmVHRnRjR3hsSUZKdmIzUWdRMEV3V1RBVEJnY3Foa2pPUFFJQkJnZ3Foa2pPClBRTUJCd05DQUFScnY0M0pHaDd0VkZqQzFydkpWTkxDYXdoYWN5UzRhTDgrSTNHODlVZm8vSk1MTnNPYTFJWmQKQnZYMVVaVjlZZ2t3bVlXbmZEeVpDMm54SFFnOGIxY2ZvMEl3UURBUEJnTlZIUk1CQWY4RUJUQURBUUgvTUE0RwpBMVVkRHdFQi93UUVBd0lDQkRBZEJnTlZIUTRFRmdRVUV2WlU5TE00dUpJbldVdGk5aUpLTFk4S2dFQXdDZ1lJCktvWkl6ajBFQXdJRFNRQXdSZ0loQU5UUFFmbVdDdVVYdCtJTXFHYzdpcVVDRjVXVjdXZGZpVWRjaW1qRXc2dUMKQWlFQXc3cllZdDdlbUJJdWhubVFMbmk3VERpUmpxYncrdDM2ZDg4Vyt6Y3FYTDg9Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K
        rekorKeyData: SOME_KEY
        fulcioSubject: {oidcIssuer: "https://accounts.example.com", signedEmail: team@example.com}
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    // Many policies have the same certificates.
    let mut known: HashMap<&str, Vec<CertificateInfo>, foldhash::fast::RandomState> = HashMap::default();
    for policy in context.policies() {
        let mut roots: Option<Vec<CertificateInfo>> = None;
        for field in fields(policy).filter(|field| !matches!(field.purpose, Purpose::Key | Purpose::RekorKey)) {
            // What the API server refuses is IMP111's.
            if context.api_refuses(&policy.reference, field.path) {
                continue;
            }
            let read = || inspect_certificates(&decode(field.data)?).ok();
            let certificates =
                known.entry(field.data).or_insert_with(|| read().map(|found| found.read).unwrap_or_default());
            let stray = match (&roots, field.purpose) {
                (Some(roots), Purpose::Intermediates) => unlinked(certificates, roots),
                _ => Vec::new(),
            };
            for certificate in certificates.iter() {
                let is_stray = stray.iter().any(|stray| stray.fingerprint == certificate.fingerprint);
                for problem in problems(context.now, certificates, certificate, is_stray) {
                    findings.push(finding(context, policy, &field, certificate, &problem));
                }
            }
            if field.purpose == Purpose::Roots && !certificates.is_empty() {
                roots = Some(certificates.clone());
            }
        }
    }
}

/// What is wrong with a certificate.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    /// And whether another one with the same name is valid.
    Expired(bool),
    /// The same.
    NotYet(bool),
    /// In so many days.
    Soon(i64),
    NoAuthority,
    Unlinked,
}

fn problems(now: i64, all: &[CertificateInfo], certificate: &CertificateInfo, is_stray: bool) -> Vec<Problem> {
    let is_valid = |other: &CertificateInfo| other.not_before <= now && now <= other.not_after && other.is_ca;
    let outlasts = |other: &&CertificateInfo| is_valid(other) && other.not_after > certificate.not_after.max(now);
    let successor = all.iter().filter(|other| other.subject == certificate.subject).find(outlasts);
    let left = certificate.not_after.saturating_sub(now);
    let time = if left < 0 {
        Some(Problem::Expired(successor.is_some()))
    } else if certificate.not_before > now {
        Some(Problem::NotYet(all.iter().any(|other| other.subject == certificate.subject && is_valid(other))))
    } else if left <= SOON && successor.is_none_or(|successor| successor.not_after.saturating_sub(now) <= SOON) {
        Some(Problem::Soon(left / DAY))
    } else {
        None
    };
    let authority = (!certificate.is_ca).then_some(Problem::NoAuthority);
    time.into_iter().chain(authority).chain(is_stray.then_some(Problem::Unlinked)).collect()
}

fn finding(
    context: &Context<'_>,
    policy: &Object<ImagePolicy>,
    field: &KeyField<'_>,
    certificate: &CertificateInfo,
    problem: &Problem,
) -> Finding {
    let (name, concerned, subject) = (field.name(), concerned(policy), shown(&certificate.subject));
    let is_fulcio = field.purpose == Purpose::Fulcio;
    let (message, effect, advice) = match problem {
        Problem::Expired(has_successor) => (
            format!("the certificate {subject} in {name} expired on {}", certificate.not_after_text()),
            match (is_fulcio, has_successor) {
                (true, _) => format!(
                    "a signature that was made under it since then is not good enough for {concerned}; those that Rekor saw before stay good"
                ),
                (false, false) => {
                    format!("every pull of {concerned} that is signed under it fails, old signatures too")
                }
                (false, true) => format!(
                    "what only this certificate can vouch for is not good enough for {concerned}; another of the same name is still valid"
                ),
            },
            "put the renewed certificate in",
        ),
        Problem::NotYet(_) => (
            format!("the certificate {subject} in {name} is not valid before {}", certificate.not_before_text()),
            format!("until then no signature under it is good enough for {concerned}"),
            "put in the certificate that is valid now, beside this one",
        ),
        Problem::Soon(days) => (
            format!(
                "the certificate {subject} in {name} expires on {}, in {days} day{}",
                certificate.not_after_text(),
                if *days == 1 { "" } else { "s" }
            ),
            match is_fulcio {
                true => format!("a signature that is made under it later will not be good enough for {concerned}"),
                false => {
                    format!("from then on every pull of {concerned} that is signed under it fails, old signatures too")
                }
            },
            "have it renewed, and put the new one in beside this one",
        ),
        Problem::NoAuthority => (
            format!("the certificate {subject} in {name} may not issue certificates: it is not that of an authority"),
            format!("no certificate that it issues is good enough for {concerned}"),
            "put in the authority's certificate, with `CA:TRUE` among its constraints and, if it has a key usage, that of signing certificates",
        ),
        Problem::Unlinked => (
            format!(
                "no certificate in caRootsData leads to {subject} in {name}, which {} issued",
                shown(&certificate.issuer)
            ),
            format!("no signature under it is good enough for {concerned}"),
            "put in the certificates between it and a root, or its own root",
        ),
    };
    let is_warning = matches!(problem, Problem::Soon(_) | Problem::Expired(true) | Problem::NotYet(true));
    let finding = Finding::new(&RULE, policy, field.path, message)
        .level(if is_warning { Level::Warning } else { Level::Error })
        .effect(effect)
        .help(format!("{advice}:\n{}", fix::set_to_file(&policy.reference, field.path, field.file())));
    Finding { witness: witness(context, policy), ..finding }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJiekNDQVJTZ0F3SUJBZ0lJTFhLcmt2VWFMZVl3Q2dZSUtvWkl6ajBFQXdJd0dqRVlNQllHQTFVRUF3d1AKUlhoaGJYQnNaU0JTYjI5MElFTkJNQ0FYRFRJME1ERXdNVEF3TURBd01Gb1lEekl5TWpRd01UQXhNREF3TURBdwpXakFhTVJnd0ZnWURWUVFEREE5RmVHRnRjR3hsSUZKdmIzUWdRMEV3V1RBVEJnY3Foa2pPUFFJQkJnZ3Foa2pPClBRTUJCd05DQUFScnY0M0pHaDd0VkZqQzFydkpWTkxDYXdoYWN5UzRhTDgrSTNHODlVZm8vSk1MTnNPYTFJWmQKQnZYMVVaVjlZZ2t3bVlXbmZEeVpDMm54SFFnOGIxY2ZvMEl3UURBUEJnTlZIUk1CQWY4RUJUQURBUUgvTUE0RwpBMVVkRHdFQi93UUVBd0lDQkRBZEJnTlZIUTRFRmdRVUV2WlU5TE00dUpJbldVdGk5aUpLTFk4S2dFQXdDZ1lJCktvWkl6ajBFQXdJRFNRQXdSZ0loQU5UUFFmbVdDdVVYdCtJTXFHYzdpcVVDRjVXVjdXZGZpVWRjaW1qRXc2dUMKQWlFQXc3cllZdDdlbUJJdWhubVFMbmk3VERpUmpxYncrdDM2ZDg4Vyt6Y3FYTDg9Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K";

    fn certificate(not_before: i64, not_after: i64) -> CertificateInfo {
        let mut read = inspect_certificates(&decode(ROOT).unwrap()).unwrap().read;
        let mut certificate = read.remove(0);
        (certificate.not_before, certificate.not_after) = (not_before, not_after);
        certificate
    }

    #[test]
    fn validity() {
        let now = 1_000 * DAY;
        for (not_before, not_after, expected) in [
            (0, now - 1, Some(Problem::Expired(false))),
            (0, now, Some(Problem::Soon(0))),
            (0, now + SOON, Some(Problem::Soon(90))),
            (0, now + SOON + 1, None),
            (now, now + 10 * SOON, None),
            (now + 1, now + 10 * SOON, Some(Problem::NotYet(false))),
            (i64::MIN, i64::MAX, None),
        ] {
            let one = certificate(not_before, not_after);
            assert_eq!(problems(now, std::slice::from_ref(&one), &one, false), Vec::from_iter(expected), "{one:?}");
        }
    }

    #[test]
    fn a_renewed_certificate_makes_up_for_the_old_one() {
        let now = 1_000 * DAY;
        let (old, soon, new) = (certificate(0, now - 1), certificate(0, now + DAY), certificate(0, now + 10 * SOON));
        let all = [old.clone(), soon.clone(), new.clone()];
        assert_eq!(problems(now, &all, &old, false), [Problem::Expired(true)]);
        assert_eq!(problems(now, &all, &soon, false), []);
        assert_eq!(problems(now, &all, &new, true), [Problem::Unlinked]);
        let mut leaf = new;
        leaf.is_ca = false;
        assert_eq!(problems(now, &[old.clone(), leaf.clone()], &old, false), [Problem::Expired(false)]);
        assert_eq!(problems(now, &[leaf.clone()], &leaf, false), [Problem::NoAuthority]);
    }
}
