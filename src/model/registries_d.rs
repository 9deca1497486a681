//! registries.d: where a node looks for signatures.

use super::provenance::Provenance;

/// One file of `/etc/containers/registries.d`, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistriesD {
    /// `default-docker`
    pub default_docker: Option<SignatureStorage>,
    /// `docker`, in the file's order.
    pub docker: Vec<(Box<str>, SignatureStorage)>,
}

/// The settings of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignatureStorage {
    /// `lookaside`, or the older `sigstore`: where GPG signatures are read.
    pub lookaside: Option<Box<str>>,
    /// Whether sigstore attachments of the registry are read; `None` where the file does not say.
    pub use_sigstore_attachments: Option<bool>,
    /// Who asked for it.
    pub from: Vec<Provenance>,
}
