//! Everything a node reads when it pulls, as one value. All three truths (desired, rendered, node) have this shape, so one
//! lookup and one comparison serve them all.

use std::collections::BTreeMap;

use super::policy::{Policy, Requirements};
use super::provenance::Refusal;
use super::registries_conf::RegistriesConf;
use super::registries_d::RegistriesD;

/// `/etc/containers/policy.json`
pub const POLICY_JSON: &str = "/etc/containers/policy.json";
/// `/etc/containers/registries.conf`
pub const REGISTRIES_CONF: &str = "/etc/containers/registries.conf";
/// Drop-ins of registries.conf.
pub const REGISTRIES_CONF_D: &str = "/etc/containers/registries.conf.d";
/// Where the controller puts the search list.
pub const SEARCH_REGISTRIES: &str = "/etc/containers/registries.conf.d/01-image-searchRegistries.conf";
/// Where signatures are looked for.
pub const REGISTRIES_D: &str = "/etc/containers/registries.d";
/// The controller's own file there.
pub const SIGSTORE_REGISTRIES: &str = "/etc/containers/registries.d/sigstore-registries.yaml";
/// One policy a namespace, `NAMESPACE.json`; where one exists it replaces policy.json for pods of that namespace.
pub const NAMESPACE_POLICIES: &str = "/etc/crio/policies";

/// The files of one node, or of every node of a pool, or those that the controller generates (then without what it leaves alone).
#[derive(Clone, Debug, Default)]
pub struct NodeFiles {
    /// `None`: the file is absent.
    pub policy: Option<PolicyFile>,
    /// `/etc/crio/policies`, by namespace.
    pub namespaces: BTreeMap<Box<str>, NamespaceFile>,
    /// `None`: the file is absent.
    pub registries_conf: Option<RegistriesConf>,
    /// `registries.conf.d/*.conf` by file name; [`SEARCH_REGISTRIES`] among them.
    pub registries_conf_d: BTreeMap<Box<str>, RegistriesConf>,
    /// `registries.d/*.yaml` by file name; [`SIGSTORE_REGISTRIES`] among them.
    pub registries_d: BTreeMap<Box<str>, RegistriesD>,
    /// What could not be read at all when this was made from bytes. Such a file is then absent above.
    pub unreadable: Vec<Refusal>,
}

/// A policy.json and how it is written.
#[derive(Clone, Debug, Default)]
pub struct PolicyFile {
    /// The content.
    pub policy: Policy,
    /// The bytes' shape, where the controller writes it.
    pub form: PolicyForm,
}

/// How the bytes of a policy.json come about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyForm {
    /// The template's bytes, unchanged (domain.md 2.6 step 1).
    Template,
    /// Go's JSON without white space (to 4.16).
    #[default]
    Compact,
    /// Go's indented JSON, with so many spaces a level.
    Indented(u8),
}

/// One file of `/etc/crio/policies`.
#[derive(Clone, Debug)]
pub enum NamespaceFile {
    /// What the controller adds to the cluster's policy: scope → further requirements, appended to those of that scope
    /// (domain.md 2.7). The file on the node is the sum; with 100,000 scopes it must not be held for every namespace.
    Additions {
        /// Scope → requirements of the namespace's ImagePolicies.
        scopes: BTreeMap<Box<str>, Requirements>,
        /// How the file is written.
        form: PolicyForm,
    },
    /// A file that was read back.
    Whole(PolicyFile),
}
