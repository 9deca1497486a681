//! Makes a release: archives for every platform, and the manifests of krew, a custom index and the OpenShift CLI Manager
//! (docs/releasing.md). Its own program, so that the plugin carries nothing of it.

#![allow(dead_code, reason = "being written")]

mod archive;
mod binary;
mod check;
mod cli_manager;
mod fault;
mod krew;
mod manifests;
mod platform;
mod template;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use fault::{Fault, Result};

#[derive(Debug, Parser)]
#[command(
    name = "release",
    bin_name = "cargo run --example release --",
    disable_help_subcommand = true,
    about = "Make a release: archives for every platform, and the manifests that install them",
    after_help = "A release, from a clean commit (docs/releasing.md):\n\
        \x20 cargo run --example release -- build\n\
        \x20 cargo run --example release -- manifests\n\
        \x20 cargo run --example release -- check"
)]
struct Cli {
    /// The repository to release
    #[arg(long, global = true, value_name = "DIR", default_value = env!("CARGO_MANIFEST_DIR"), hide_default_value = true)]
    repository: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the manifests that install a release: krew's, an index with it, the CLI Manager's object
    Manifests(manifests::Args),
    /// Check archives against every rule that a release keeps
    Check(ArchivesArgs),
}

/// Where the archives are.
#[derive(Debug, clap::Args)]
struct ArchivesArgs {
    /// The directory with the archives [default: target/releases/vVERSION]
    #[arg(long, value_name = "DIR")]
    archives: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault}");
            for line in fault.hint.lines() {
                eprintln!("hint: {line}");
            }
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Manifests(args) => manifests::run(&cli.repository, &args),
        Command::Check(args) => {
            let directory = args.archives.ok_or_else(|| Fault::new("no archives"))?;
            for archive in check::archives(&cli.repository, &directory)? {
                println!("{}  {}", archive.sha256, archive.name);
            }
            Ok(())
        }
    }
}
