//! Requirements in words that need no knowledge of policy.json. Never "verified" or "trusted": nothing here was checked.

use super::Style;
use crate::model::keys;
use crate::model::policy::{KeySource, PolicyRequirement, RootOfTrust, SignedIdentity, Sourced, Verdict};
use crate::model::provenance::Provenance;

/// What a verdict looks like.
pub fn verdict_style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::AcceptsAnything => Style::Caution,
        Verdict::Rejects => Style::Bad,
        Verdict::RequiresSignature => Style::Good,
    }
}

/// The verdict as a sentence's predicate: `a node … accepts anything`.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::AcceptsAnything => "accepts anything",
        Verdict::Rejects => "rejects",
        Verdict::RequiresSignature => "needs a signature",
    }
}

/// A list of requirements in one cell of a table: `needs a signature by key SHA256:3f9c…e1`.
pub fn requirements(list: &[Sourced]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for Sourced { requirement, .. } in list {
        let part = match &**requirement {
            PolicyRequirement::InsecureAcceptAnything if list.len() > 1 => continue,
            PolicyRequirement::InsecureAcceptAnything => "accepts anything".to_string(),
            PolicyRequirement::Reject => return "rejects".to_string(),
            PolicyRequirement::SignedBaseLayer { .. } => return "rejects (signedBaseLayer is never met)".to_string(),
            PolicyRequirement::SignedBy { .. } | PolicyRequirement::SigstoreSigned { .. } => {
                format!("needs {}", short_demand(requirement))
            }
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    match parts.len() {
        0 => "accepts anything".to_string(),
        1 => parts.swap_remove(0),
        _ => parts.join(",\nand "),
    }
}

fn short_demand(requirement: &PolicyRequirement) -> String {
    match requirement {
        PolicyRequirement::SigstoreSigned { root, .. } => match root {
            RootOfTrust::Keys { keys, .. } => format!("a signature by {}", named_keys(keys, false)),
            RootOfTrust::Fulcio { subject_email, .. } => format!("a signature by {subject_email} through Fulcio"),
            RootOfTrust::Pki { subject_email, subject_hostname, .. } => {
                format!("a signature by the certificate of {}", subjects(subject_email, subject_hostname))
            }
        },
        PolicyRequirement::SignedBy { keys, .. } => format!("a GPG signature by {}", named_keys(keys, false)),
        PolicyRequirement::InsecureAcceptAnything => "nothing".to_string(),
        PolicyRequirement::Reject | PolicyRequirement::SignedBaseLayer { .. } => "what nobody can give".to_string(),
    }
}

/// A requirement in full: one line what is asked for, one line which identity the signature must name.
pub fn demand(requirement: &PolicyRequirement) -> Vec<String> {
    match requirement {
        PolicyRequirement::InsecureAcceptAnything => vec!["nothing: anything is accepted".to_string()],
        PolicyRequirement::Reject => vec!["what nobody can give: everything is rejected".to_string()],
        PolicyRequirement::SignedBaseLayer { .. } => {
            vec!["a signed base layer, which no node can check: everything is rejected".to_string()]
        }
        PolicyRequirement::SignedBy { key_type, keys, identity } => {
            let mut lines = vec![format!("a GPG signature by {}", named_keys(keys, true))];
            if &**key_type != "GPGKeys" {
                lines.push(format!("with keys of type {key_type}, which no node can use: every pull fails"));
            }
            lines.push(self::identity(identity.as_ref()));
            lines
        }
        PolicyRequirement::SigstoreSigned { root, identity } => {
            let mut lines = match root {
                RootOfTrust::Keys { keys, rekor } => {
                    let mut lines = vec![format!("a sigstore signature by {}", named_keys(keys, true))];
                    if let Some(rekor) = rekor {
                        lines.push(format!("recorded in the Rekor log of {}", named_keys(rekor, true)));
                    }
                    lines
                }
                RootOfTrust::Fulcio { ca, oidc_issuer, subject_email, rekor } => vec![
                    format!("a sigstore signature by {subject_email}, logged in at {oidc_issuer}"),
                    format!("with a certificate of the Fulcio {}", named_certificates(ca)),
                    format!("recorded in the Rekor log of {}", named_keys(rekor, true)),
                ],
                RootOfTrust::Pki { roots, subject_email, subject_hostname, .. } => vec![
                    format!(
                        "a sigstore signature with the certificate of {}",
                        subjects(subject_email, subject_hostname)
                    ),
                    format!("issued by the {}", named_certificates(roots)),
                ],
            };
            lines.push(self::identity(identity.as_ref()));
            lines
        }
    }
}

fn subjects(email: &Option<Box<str>>, hostname: &Option<Box<str>>) -> String {
    match (email, hostname) {
        (Some(email), Some(hostname)) => format!("{email} and {hostname}"),
        (Some(one), None) | (None, Some(one)) => one.to_string(),
        (None, None) => "nobody".to_string(),
    }
}

/// Which identity a signature must name, with the API's word for it.
pub fn identity(identity: Option<&SignedIdentity>) -> String {
    match identity {
        None | Some(SignedIdentity::MatchRepoDigestOrExact) => {
            "made for exactly this tag, or, when pulled by digest, for the same repository (MatchRepoDigestOrExact)"
                .to_string()
        }
        Some(SignedIdentity::MatchExact) => "made for exactly this tag or digest (matchExact)".to_string(),
        Some(SignedIdentity::MatchRepository) => "made for the same repository, any tag (MatchRepository)".to_string(),
        Some(SignedIdentity::ExactReference(reference)) => format!("made for exactly {reference} (exactReference)"),
        Some(SignedIdentity::ExactRepository(repository)) => {
            format!("made for the repository {repository}, any tag (ExactRepository)")
        }
        Some(SignedIdentity::RemapIdentity { prefix, signed_prefix }) => format!(
            "made for exactly this tag (by digest: the same repository), with {prefix} at the start of the name read as {signed_prefix} \
             (RemapIdentity)"
        ),
    }
}

fn named_keys(keys: &KeySource, with_algorithm: bool) -> String {
    let one = |data: &[u8]| match keys::inspect_public_key(data) {
        Ok(key) if with_algorithm => format!("key {key}"),
        Ok(key) => format!("key {}", key.fingerprint.short()),
        Err(problem) if with_algorithm => format!("a key that cannot be read: it {problem}"),
        Err(_) => "a key that cannot be read".to_string(),
    };
    match keys {
        KeySource::Data(data) => one(data),
        KeySource::Path(path) => format!("the key in {path}"),
        KeySource::Paths(paths) => format!("one of the keys in {}", paths.join(", ")),
        KeySource::Datas(all) => {
            let all: Vec<_> = all.iter().map(|data| one(data)).collect();
            format!("one of: {}", all.join(", "))
        }
    }
}

fn named_certificates(source: &KeySource) -> String {
    let one = |data: &[u8]| match keys::inspect_certificates(data) {
        Ok(certificates) => {
            let name = |certificate: &keys::CertificateInfo| {
                format!("{} ({})", certificate.subject, certificate.fingerprint.short())
            };
            let names: Vec<_> = certificates.read.iter().map(name).collect();
            format!("authority {}", names.join(", "))
        }
        Err(problem) => format!("authority that cannot be read ({problem})"),
    };
    match source {
        KeySource::Data(data) => one(data),
        KeySource::Path(path) => format!("authority in {path}"),
        KeySource::Paths(paths) => format!("authority in one of {}", paths.join(", ")),
        KeySource::Datas(all) => all.iter().map(|data| one(data)).collect::<Vec<_>>().join(" or "),
    }
}

/// Who asked for a list of requirements, in one cell: each object once, with its field.
pub fn because_of(list: &[Sourced]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for provenance in list.iter().flat_map(|sourced| &sourced.from) {
        let part = short_provenance(provenance);
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.join("\n")
}

/// `ClusterImagePolicy/team-key`, `Image/cluster allowedRegistries[0]`: the field only where the object has several that matter.
pub fn short_provenance(provenance: &Provenance) -> String {
    match provenance {
        Provenance::Field { object, path } => {
            let path = path.to_string();
            // Which scope of the item it is says nothing that the row does not say.
            let path = path
                .strip_suffix(']')
                .and_then(|path| path.rsplit_once(".sigRequiredRegistriesOrImages["))
                .map_or(path.as_str(), |(item, _)| item);
            match path
                .strip_prefix("spec.registrySources.")
                .or_else(|| path.strip_prefix("metadata.annotations.imagepolicy.openshift.io/"))
            {
                Some(field) => format!("{object} {field}"),
                None => object.to_string(),
            }
        }
        other => other.to_string(),
    }
}
