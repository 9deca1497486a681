//! `oc imagepolicy version`

use std::io;

use serde::Serialize;

use super::input::ConnectionFlags;
use super::{Answer, OutputArgs};
use crate::cluster::{self, ConnectionArgs};
use crate::error::Result;
use crate::model::release::{RELEASES, Release};
use crate::output::{API_VERSION, Report, Terminal, clean};
use crate::snapshot::Kind;

/// Print the versions of this program and of the cluster, and the OpenShift releases that are known
///
/// What the program was built from and with is there for whoever wants to build the same bytes again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Which version is this, and does it know the cluster's release?
  oc imagepolicy version

  # Without asking the cluster
  oc imagepolicy version --client

  # For a script
  oc imagepolicy version --client -o json

Exit codes: 0 answered, 2 the cluster of the kubeconfig did not answer.")]
pub struct Args {
    /// Only of this program: ask no cluster
    #[arg(long)]
    client: bool,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    api_version: &'static str,
    kind: &'static str,
    version: &'static str,
    /// Absent in builds that were not told, such as `cargo build` without `--release`.
    #[serde(skip_serializing_if = "str::is_empty")]
    git_commit: &'static str,
    /// `clean`, or `dirty` where files were changed after the commit.
    #[serde(skip_serializing_if = "str::is_empty")]
    git_tree_state: &'static str,
    /// As Go and krew write it: `linux/amd64`.
    platform: String,
    /// As Rust writes it.
    target: &'static str,
    compiler: &'static str,
    /// `release` or `debug`.
    profile: &'static str,
    oldest_release: String,
    newest_release: String,
    releases: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    server: String,
    /// What ClusterVersion says, such as `4.21.3`; absent where it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    openshift_version: Option<String>,
    /// The release that answers are given for; absent where none is known that is as old.
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<String>,
}

impl Report for Version {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        t.line(&format!(
            "oc-imagepolicy {}, knows OpenShift {} to {}",
            self.version, self.oldest_release, self.newest_release
        ))?;
        let state = if self.git_tree_state == "dirty" { ", with changes" } else { "" };
        match self.git_commit {
            "" => t.line("commit:     not recorded, as in any development build")?,
            commit => t.line(&format!("commit:     {commit}{state}"))?,
        }
        t.line(&format!("platform:   {} ({})", self.platform, self.target))?;
        t.line(&format!("built with: {} ({})", self.compiler, self.profile))?;
        let Some(Cluster { server, openshift_version, release }) = &self.cluster else { return Ok(()) };
        let version = openshift_version.as_deref().map(clean);
        let version = match (&version, release) {
            (Some(version), Some(release)) if is_of(version, release) => format!("OpenShift {version}"),
            (Some(version), Some(release)) => format!("OpenShift {version}, answered for as {release}"),
            (Some(version), None) => format!("OpenShift {version}, which is older than what is known"),
            (None, _) => "OpenShift of a version that cannot be read".into(),
        };
        t.line(&format!("cluster:    {version}, at {server}"))
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        t.line(self.version)
    }
}

/// Whether `4.21.3` is of `4.21`.
fn is_of(version: &str, release: &str) -> bool {
    version.strip_prefix(release).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

pub fn run(args: Args) -> Answer {
    // What is known of the program is printed even where the cluster says nothing, as kubectl does.
    let (cluster, failure) = match if args.client { Ok(None) } else { ask(&args.connection) } {
        Ok(cluster) => (cluster, None),
        Err(error) => (None, Some(error)),
    };
    let version = Version {
        api_version: API_VERSION,
        kind: "Version",
        version: env!("CARGO_PKG_VERSION"),
        git_commit: env!("OC_IMAGEPOLICY_BUILD_COMMIT"),
        git_tree_state: env!("OC_IMAGEPOLICY_BUILD_TREE"),
        platform: platform(),
        target: env!("OC_IMAGEPOLICY_BUILD_TARGET"),
        compiler: env!("OC_IMAGEPOLICY_BUILD_COMPILER"),
        profile: env!("OC_IMAGEPOLICY_BUILD_PROFILE"),
        oldest_release: RELEASES[0].to_string(),
        newest_release: Release::newest().to_string(),
        releases: RELEASES.iter().map(ToString::to_string).collect(),
        cluster,
    };
    crate::output::print(&version, args.output.format, &mut args.output.terminal())?;
    match failure {
        Some(error) => Err(error),
        None => Ok(true),
    }
}

/// The cluster's version; `None` where no cluster is named.
fn ask(connection: &ConnectionFlags) -> Result<Option<Cluster>> {
    let Some(connection) = cluster::connect_if_any(&ConnectionArgs::from(connection))? else { return Ok(None) };
    let snapshot = cluster::block_on_read(&connection, &[Kind::ClusterVersion], None)?;
    for warning in &snapshot.warnings {
        super::say("warning", warning);
    }
    for gap in &snapshot.gaps {
        super::say("incomplete", &gap.message);
    }
    let version = snapshot.cluster_version.as_ref().map(|version| version.value.status.desired.version.to_string());
    let version = version.filter(|version| !version.is_empty());
    let release = version.as_deref().and_then(|version| Release::parse(version).ok()).map(ToString::to_string);
    Ok(Some(Cluster { server: connection.server().to_string(), openshift_version: version, release }))
}

/// Operating system and processor as Go names them.
fn platform() -> String {
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    };
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    format!("{system}/{processor}")
}
