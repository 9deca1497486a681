//! The flags that every reading command has (interface.md 2), as they are typed.

use std::path::{Path, PathBuf};

use crate::compile::overlay::REBOOT_FREE_KEY;
use crate::compile::signed_registries::{check_scope, key_path};
use crate::error::{Error, Result};
use crate::files;
use crate::model::keyrings::{KeyringProblem, inspect_keyring};
use crate::snapshot::Delivery;

/// Where the objects come from, and which truth about them is asked for.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// Read these instead of a cluster: a file of manifests, a directory, `-` for stdin, a must-gather (directory or .tar, .tar.gz), or a
    /// node's file tree
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub filename: Vec<PathBuf>,
    /// Read directories given with -f with all that lies below them
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Read the example cluster that is built into the program
    #[arg(long, conflicts_with = "filename")]
    pub example: bool,
    /// Lay these manifests on top of what was read: the same object is replaced, others are added
    #[arg(long, value_name = "PATH")]
    pub overlay: Vec<PathBuf>,
    /// As if this object were deleted
    #[arg(long, value_name = "KIND/[NAMESPACE/]NAME")]
    pub without: Vec<String>,
    /// Read this policy.json instead of objects
    #[arg(long, value_name = "FILE", conflicts_with_all = ["filename", "example"])]
    pub policy: Option<PathBuf>,
    /// Read this registries.conf instead of objects
    #[arg(long, value_name = "FILE", conflicts_with_all = ["filename", "example"])]
    pub registries_conf: Option<PathBuf>,
    /// Read this registries.d instead of objects
    #[arg(long, value_name = "DIR", conflicts_with_all = ["filename", "example"])]
    pub registries_d: Option<PathBuf>,
    /// The OpenShift release to answer for [default: that of ClusterVersion, else the newest known]
    #[arg(long, value_name = "X.Y")]
    pub release: Option<String>,
    /// The release where neither the flag nor what was read tells: from a configuration file.
    #[arg(skip)]
    pub default_release: Option<String>,
    /// Exit with 2 where anything that is needed could not be read
    #[arg(long)]
    pub require_complete: bool,
    /// What is read in place of what files hold: changes that are not written yet (`lint --fix`).
    #[arg(skip)]
    pub drafts: files::Drafts,
}

impl InputArgs {
    /// Whether single node files were named.
    pub fn names_node_files(&self) -> bool {
        self.policy.is_some() || self.registries_conf.is_some() || self.registries_d.is_some()
    }

    /// Whether node files were named and no policy.json among them.
    pub fn lacks_policy(&self) -> bool {
        self.policy.is_none() && (self.registries_conf.is_some() || self.registries_d.is_some())
    }
}

/// What our own MachineConfigs bring along for `signedRegistries`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "GPG signatures")]
pub struct DeliveryArgs {
    /// Ship this keyring to the nodes: the path that gpgKeyPath names, and the local file with the public keys
    #[arg(long, value_name = "PATH-ON-NODE=FILE")]
    pub key: Vec<String>,
    /// Where nodes find the GPG signatures of a scope
    #[arg(long, value_name = "SCOPE=URL")]
    pub lookaside: Vec<String>,
    /// Put the keyrings into policy.json itself (keyData) instead of into files of their own
    #[arg(long)]
    pub inline_keys: bool,
}

impl DeliveryArgs {
    /// Reads the keyrings.
    ///
    /// # Errors
    /// A flag that is not of its form, or a file that cannot be read.
    pub fn read(&self) -> Result<Delivery> {
        let mut delivery = Delivery { inline_keys: self.inline_keys, ..Delivery::default() };
        for text in &self.key {
            let hint = format!("as in: --key {REBOOT_FREE_KEY}=keys.gpg");
            let Some((path, file)) = text.split_once('=').filter(|(_, file)| !file.is_empty()) else {
                return Err(Error::usage(format!("--key {text}: not of the form PATH-ON-NODE=FILE"), hint));
            };
            let path = key_path(path).map_err(|why| Error::usage(format!("--key {text}: {path:?}: {why}"), hint))?;
            let keyring = files::read_keyring(Path::new(file))?;
            if let Err(problem) = inspect_keyring(&keyring) {
                let hint = match problem {
                    KeyringProblem::PrivateKey => "export only the public keys: gpg --export NAME >FILE",
                    _ => problem.help(),
                };
                return Err(Error::usage(format!("--key {text}: {file} {problem}"), hint));
            }
            if delivery.keys.insert(path.to_string(), keyring).is_some() {
                return Err(Error::usage(format!("--key {path} is given twice"), "one file may hold several keys"));
            }
        }
        for text in &self.lookaside {
            let Some((scope, url)) = text.split_once('=').filter(|(scope, url)| !scope.is_empty() && !url.is_empty())
            else {
                let hint = "as in: --lookaside registry.example.com=https://signatures.example.com/sigstore";
                return Err(Error::usage(format!("--lookaside {text}: not of the form SCOPE=URL"), hint));
            };
            if let Err(why) = check_scope(scope) {
                return Err(Error::usage(
                    format!("--lookaside {text}: invalid scope {scope:?}: {why}"),
                    "as in: --lookaside registry.example.com=https://signatures.example.com/sigstore",
                ));
            }
            if delivery.lookaside.insert(scope.to_string(), url.to_string()).is_some() {
                return Err(Error::usage(
                    format!("--lookaside {scope} is given twice"),
                    "a scope has one place for signatures",
                ));
            }
        }
        Ok(delivery)
    }
}

/// Which nodes and pods are asked about.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Scope")]
pub struct ScopeArgs {
    /// Which truth: what the objects ask for (desired), what the pools were given (rendered), or what one node has (node/NAME)
    #[arg(long, value_name = "TRUTH", default_value = "desired", value_parser = Of::parse)]
    pub of: Of,
    /// Only this MachineConfigPool
    #[arg(long, value_name = "NAME")]
    pub pool: Option<String>,
}

/// Which namespaces are asked about.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Scope")]
pub struct NamespaceArgs {
    /// The policy for pods of this namespace
    #[arg(short = 'n', long, value_name = "NAMESPACE", conflicts_with = "all_namespaces")]
    pub namespace: Option<String>,
    /// One answer for each distinct policy: the cluster-wide one and those of namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

/// `--of`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// What the objects ask for.
    Desired,
    /// The MachineConfigs that the pools name.
    Rendered,
    /// The MachineConfig that a node has.
    Node(String),
}

impl Of {
    /// As it is typed.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        match text.split_once('/') {
            None if text == "desired" => Ok(Self::Desired),
            None if text == "rendered" => Ok(Self::Rendered),
            Some(("node", name)) if !name.is_empty() => Ok(Self::Node(name.to_string())),
            _ => Err("expected desired, rendered or node/NAME".to_string()),
        }
    }
}

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Desired => f.write_str("desired"),
            Self::Rendered => f.write_str("rendered"),
            Self::Node(name) => write!(f, "node/{name}"),
        }
    }
}

/// How to reach the cluster: kubectl's flags, with kubectl's names.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionFlags {
    /// Kubeconfig to use [default: $KUBECONFIG, else ~/.kube/config, else the pod's service account]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Cluster of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// User of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// URL of the API server
    #[arg(short = 's', long, value_name = "URL")]
    pub server: Option<String>,
    /// Bearer token
    #[arg(long, value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Certificate authority of the API server
    #[arg(long, value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,
    /// Do not check the API server's certificate
    #[arg(long)]
    pub insecure_skip_tls_verify: bool,
    /// Name to expect in the API server's certificate
    #[arg(long, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Act as this user
    #[arg(long = "as", value_name = "USER")]
    pub as_user: Option<String>,
    /// Act as a member of this group
    #[arg(long = "as-group", value_name = "GROUP")]
    pub as_group: Vec<String>,
    /// Act with this UID
    #[arg(long = "as-uid", value_name = "UID")]
    pub as_uid: Option<String>,
    /// Give up on a request after this long, such as 5s or 1m; 0 for never
    #[arg(long, value_name = "DURATION")]
    pub request_timeout: Option<String>,
    /// Objects a page; 0 for everything at once
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub chunk_size: u32,
}
