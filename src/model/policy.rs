//! What is written in a policy.json: the vocabulary of containers/image, and nothing about reading, writing or looking up.
//! Reading is in `policy_read`, the controller's bytes are in `policy_write`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::provenance::Provenance;
use super::scopes::Scopes;

/// A policy as it is written; a node may still refuse it ([`crate::model::node_files::NodeFiles::check`]).
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What holds where no transport has an answer.
    pub default: Requirements,
    /// The scopes of each transport; a transport that is present but has no match falls to [`Policy::default`].
    pub transports: BTreeMap<Transport, Scopes>,
}

/// Requirements for one scope. All of them must hold; a valid policy has no empty list.
pub type Requirements = Arc<[Sourced]>;

/// A requirement with the fields that asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced {
    /// Shared between all scopes of one policy object, so that it is written and compared once.
    pub requirement: Arc<PolicyRequirement>,
    /// Never empty; more than one where the same thing is asked for twice.
    pub from: Vec<Provenance>,
}

/// A transport of containers/image. CRI-O asks for `docker` only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `docker`: what nodes pull with.
    Docker,
    /// `atomic`: never used by CRI-O, but its scopes are validated when the file is read.
    Atomic,
    /// `docker-daemon`.
    DockerDaemon,
    /// Any other name.
    Other(Box<str>),
}

impl Transport {
    /// The name as policy.json spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Docker => "docker",
            Self::Atomic => "atomic",
            Self::DockerDaemon => "docker-daemon",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for Transport {
    fn from(name: &str) -> Self {
        match name {
            "docker" => Self::Docker,
            "atomic" => Self::Atomic,
            "docker-daemon" => Self::DockerDaemon,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Bytewise by name, as Go sorts map keys.
impl Ord for Transport {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for Transport {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// One requirement of a policy.json.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PolicyRequirement {
    /// `insecureAcceptAnything`
    InsecureAcceptAnything,
    /// `reject`
    Reject,
    /// `signedBy`: GPG simple signing, found through a lookaside.
    SignedBy {
        /// Only `GPGKeys` can be met; the engine reads three others and then fails.
        key_type: Box<str>,
        /// A keyring, or paths to keyrings of which one must match.
        keys: KeySource,
        /// `None` where the file says nothing; the engine then takes `matchRepoDigestOrExact`.
        identity: Option<SignedIdentity>,
    },
    /// `signedBaseLayer`: read, and never satisfied.
    SignedBaseLayer {
        /// Required in the file.
        base_layer_identity: SignedIdentity,
    },
    /// `sigstoreSigned`
    SigstoreSigned {
        /// What a signature must chain to.
        root: RootOfTrust,
        /// `None` where the file says nothing; the engine then takes `matchRepoDigestOrExact`.
        identity: Option<SignedIdentity>,
    },
}

/// Keys or certificates: in place, or in files of the node. Several are alternatives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// `…Path`
    Path(Box<str>),
    /// `…Paths`, not empty
    Paths(Box<[Box<str>]>),
    /// `…Data`, decoded from base64
    Data(Box<[u8]>),
    /// `…Datas`, not empty, decoded from base64
    Datas(Box<[Box<[u8]>]>),
}

impl KeySource {
    /// Whether there is nothing in it. The controller leaves it out of the file then.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Path(path) => path.is_empty(),
            Self::Paths(paths) => paths.is_empty(),
            Self::Data(data) => data.is_empty(),
            Self::Datas(datas) => datas.is_empty(),
        }
    }
}

/// What a sigstore signature must chain to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RootOfTrust {
    /// Public keys, optionally with a proof of the Rekor log.
    Keys {
        /// One of them must have signed.
        keys: KeySource,
        /// Keys of the log.
        rekor: Option<KeySource>,
    },
    /// A certificate of a Fulcio instance, proven by Rekor.
    Fulcio {
        /// `caPath` or `caData`.
        ca: KeySource,
        /// Compared as it is.
        oidc_issuer: Box<str>,
        /// Compared with the e-mail SANs of the certificate only.
        subject_email: Box<str>,
        /// Required by the engine.
        rekor: KeySource,
    },
    /// A certificate of one's own PKI.
    Pki {
        /// `caRootsPath` or `caRootsData`.
        roots: KeySource,
        /// `caIntermediatesPath` or `caIntermediatesData`.
        intermediates: Option<KeySource>,
        /// At least one of the two subjects is there.
        subject_email: Option<Box<str>>,
        /// See `subject_email`.
        subject_hostname: Option<Box<str>>,
    },
}

/// Which identity a signature must claim for the image that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SignedIdentity {
    /// Tag or digest and all.
    MatchExact,
    /// Asked by tag: exactly that; by digest: the same repository, any tag.
    MatchRepoDigestOrExact,
    /// The same repository, any tag or none.
    MatchRepository,
    /// Exactly this reference.
    ExactReference(Box<str>),
    /// Anything in this repository.
    ExactRepository(Box<str>),
    /// `prefix` of the image's name replaced by `signed_prefix`, then as `MatchRepoDigestOrExact`.
    RemapIdentity {
        /// What the image's name starts with.
        prefix: Box<str>,
        /// What stands there in the signature.
        signed_prefix: Box<str>,
    },
}

/// What a node does with an unsigned image, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Verdict {
    /// Every requirement accepts anything.
    AcceptsAnything,
    /// At least one requirement can never be met, so no signature can help.
    Rejects,
    /// Some signature would do.
    RequiresSignature,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AcceptsAnything => "AcceptsAnything",
            Self::Rejects => "Rejects",
            Self::RequiresSignature => "RequiresSignature",
        })
    }
}

/// The verdict of a list of requirements. An empty list does not occur in a policy that could be read; it rejects.
pub fn verdict(requirements: &[Sourced]) -> Verdict {
    let mut verdict = if requirements.is_empty() { Verdict::Rejects } else { Verdict::AcceptsAnything };
    for Sourced { requirement, .. } in requirements {
        match **requirement {
            PolicyRequirement::InsecureAcceptAnything => {}
            PolicyRequirement::Reject | PolicyRequirement::SignedBaseLayer { .. } => return Verdict::Rejects,
            PolicyRequirement::SignedBy { .. } | PolicyRequirement::SigstoreSigned { .. } => {
                verdict = Verdict::RequiresSignature;
            }
        }
    }
    verdict
}
