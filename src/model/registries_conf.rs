//! registries.conf, version 2: which sources a node pulls an image from.

use super::provenance::Provenance;

/// One registries.conf, or a drop-in of it, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistriesConf {
    /// `None` where the file does not set it (a drop-in then leaves it alone).
    pub unqualified_search_registries: Option<Vec<String>>,
    /// `short-name-mode`, where set.
    pub short_name_mode: Option<String>,
    /// `[[registry]]`, in the file's order.
    pub registries: Vec<Registry>,
}

/// One `[[registry]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// What references start with; empty where only `location` is written, which is then the prefix.
    pub prefix: String,
    /// What replaces the prefix; empty for a wildcard without one.
    pub location: String,
    /// Whether TLS may be missing or unverified there.
    pub insecure: bool,
    /// Whether this endpoint (not its mirrors) is refused.
    pub blocked: bool,
    /// The older way of saying `pull-from-mirror = "digest-only"` for all mirrors.
    pub mirror_by_digest_only: bool,
    /// `[[registry.mirror]]`, tried in order before the location itself.
    pub mirrors: Vec<Mirror>,
    /// Who asked for the entry, its block and its insecurity.
    pub from: Vec<Provenance>,
}

impl Registry {
    /// The prefix, or the location where no prefix is written.
    pub fn scope(&self) -> &str {
        if self.prefix.is_empty() { &self.location } else { &self.prefix }
    }
}

/// One `[[registry.mirror]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    /// What replaces the prefix of the entry.
    pub location: String,
    /// Whether TLS may be missing or unverified there.
    pub insecure: bool,
    /// Which references it serves.
    pub pull_from_mirror: PullFromMirror,
    /// Who asked for it.
    pub from: Vec<Provenance>,
}

/// Which references a mirror serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PullFromMirror {
    /// `all`, or nothing written.
    #[default]
    All,
    /// `digest-only`
    DigestOnly,
    /// `tag-only`
    TagOnly,
}
