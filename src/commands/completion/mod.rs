//! `oc imagepolicy completion`, and what shells ask through oc, kubectl and our own scripts.

use std::ffi::OsString;
use std::process::ExitCode;

use super::Answer;

/// Print a completion script for a shell, or make `oc` and `kubectl` complete this plugin
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Answer {
    Ok(true)
}

/// The words to complete, where this process was started to complete some: under the name `oc_complete-…` or `kubectl_complete-…`, or as
/// `__complete`.
pub fn asked(_args: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    None
}

/// Prints candidates as cobra's protocol has them.
pub fn answer(_words: Vec<OsString>) -> ExitCode {
    ExitCode::SUCCESS
}
