//! A requirement as a document of ours shows it: the keys of policy.json. The controller's bytes are `policy_write`'s business.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::policy::{KeySource, PolicyRequirement, RootOfTrust, SignedIdentity, Sourced};
use super::provenance::Provenance;

/// `{type, …as in policy.json…, from}`
impl Serialize for Sourced {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(flatten)]
            requirement: &'a PolicyRequirement,
            from: &'a [Provenance],
        }
        Document { requirement: &self.requirement, from: &self.from }.serialize(serializer)
    }
}

impl Serialize for PolicyRequirement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::InsecureAcceptAnything => map.serialize_entry("type", "insecureAcceptAnything")?,
            Self::Reject => map.serialize_entry("type", "reject")?,
            Self::SignedBaseLayer { base_layer_identity } => {
                map.serialize_entry("type", "signedBaseLayer")?;
                map.serialize_entry("baseLayerIdentity", base_layer_identity)?;
            }
            Self::SignedBy { key_type, keys, identity } => {
                map.serialize_entry("type", "signedBy")?;
                map.serialize_entry("keyType", key_type)?;
                source(&mut map, "key", keys)?;
                if let Some(identity) = identity {
                    map.serialize_entry("signedIdentity", identity)?;
                }
            }
            Self::SigstoreSigned { root, identity } => {
                map.serialize_entry("type", "sigstoreSigned")?;
                match root {
                    RootOfTrust::Keys { keys, rekor } => {
                        source(&mut map, "key", keys)?;
                        if let Some(rekor) = rekor {
                            source(&mut map, "rekorPublicKey", rekor)?;
                        }
                    }
                    RootOfTrust::Fulcio { rekor, .. } => {
                        map.serialize_entry("fulcio", &Fulcio(root))?;
                        source(&mut map, "rekorPublicKey", rekor)?;
                    }
                    RootOfTrust::Pki { .. } => map.serialize_entry("pki", &Pki(root))?,
                }
                if let Some(identity) = identity {
                    map.serialize_entry("signedIdentity", identity)?;
                }
            }
        }
        map.end()
    }
}

struct Fulcio<'a>(&'a RootOfTrust);

impl Serialize for Fulcio<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let RootOfTrust::Fulcio { ca, oidc_issuer, subject_email, .. } = self.0 {
            source(&mut map, "ca", ca)?;
            map.serialize_entry("oidcIssuer", oidc_issuer)?;
            map.serialize_entry("subjectEmail", subject_email)?;
        }
        map.end()
    }
}

struct Pki<'a>(&'a RootOfTrust);

impl Serialize for Pki<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let RootOfTrust::Pki { roots, intermediates, subject_email, subject_hostname } = self.0 {
            source(&mut map, "caRoots", roots)?;
            if let Some(intermediates) = intermediates {
                source(&mut map, "caIntermediates", intermediates)?;
            }
            if let Some(email) = subject_email {
                map.serialize_entry("subjectEmail", email)?;
            }
            if let Some(hostname) = subject_hostname {
                map.serialize_entry("subjectHostname", hostname)?;
            }
        }
        map.end()
    }
}

impl Serialize for SignedIdentity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::MatchExact => map.serialize_entry("type", "matchExact")?,
            Self::MatchRepoDigestOrExact => map.serialize_entry("type", "matchRepoDigestOrExact")?,
            Self::MatchRepository => map.serialize_entry("type", "matchRepository")?,
            Self::ExactReference(reference) => {
                map.serialize_entry("type", "exactReference")?;
                map.serialize_entry("dockerReference", reference)?;
            }
            Self::ExactRepository(repository) => {
                map.serialize_entry("type", "exactRepository")?;
                map.serialize_entry("dockerRepository", repository)?;
            }
            Self::RemapIdentity { prefix, signed_prefix } => {
                map.serialize_entry("type", "remapIdentity")?;
                map.serialize_entry("prefix", prefix)?;
                map.serialize_entry("signedPrefix", signed_prefix)?;
            }
        }
        map.end()
    }
}

/// `keyPath`, `keyPaths`, `keyData` or `keyDatas`, for any first word.
fn source<M: SerializeMap>(map: &mut M, word: &str, keys: &KeySource) -> Result<(), M::Error> {
    match keys {
        KeySource::Path(path) => map.serialize_entry(&format!("{word}Path"), path),
        KeySource::Paths(paths) => map.serialize_entry(&format!("{word}Paths"), paths),
        KeySource::Data(data) => map.serialize_entry(&format!("{word}Data"), &STANDARD.encode(data)),
        KeySource::Datas(all) => {
            let all: Vec<String> = all.iter().map(|data| STANDARD.encode(data)).collect();
            map.serialize_entry(&format!("{word}Datas"), &all)
        }
    }
}
