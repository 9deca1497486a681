//! `oc imagepolicy version`

use std::io;

use serde::Serialize;

use super::{Answer, OutputArgs};
use crate::model::release::RELEASES;
use crate::output::{API_VERSION, Report, Terminal};

/// Print the version of this program and the OpenShift releases that it knows
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Accepted as kubectl's; this program has no server side
    #[arg(long, hide = true)]
    client: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    api_version: &'static str,
    kind: &'static str,
    version: &'static str,
    oldest_release: String,
    newest_release: String,
}

impl Report for Version {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        t.line(&format!(
            "oc-imagepolicy {}, knows OpenShift {} to {}",
            self.version, self.oldest_release, self.newest_release
        ))
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        t.line(self.version)
    }
}

pub fn run(args: Args) -> Answer {
    let version = Version {
        api_version: API_VERSION,
        kind: "Version",
        version: env!("CARGO_PKG_VERSION"),
        oldest_release: RELEASES[0].to_string(),
        newest_release: RELEASES[RELEASES.len() - 1].to_string(),
    };
    crate::output::print(&version, args.output.format, &mut args.output.terminal())?;
    Ok(true)
}
