//! Makes a release: archives for every platform, and the manifests of krew, a custom index and the OpenShift CLI Manager
//! (docs/releasing.md). Its own program, so that the plugin carries nothing of it.

mod archive;
mod binary;
mod build;
mod check;
mod cli_manager;
mod dependencies;
mod fault;
mod krew;
mod licenses;
mod manifests;
mod platform;
mod repository;
mod reproduce;
mod run;
mod sbom;
mod shelf;
mod template;
mod tools;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use oc_imagepolicy::commands::PLUGIN;

use fault::{Fault, Result};
use platform::{PLATFORMS, Platform};
use repository::Repository;
use tools::Tools;

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
    Build(BuildArgs),
    Collect(CollectArgs),
    /// Write the manifests that install a release: krew's, an index with it, the CLI Manager's object
    Manifests(manifests::Args),
    Check(CheckArgs),
    Reproduce(ReproduceArgs),
}

/// Build archives, and put them into the directory of the release
///
/// All that it needs besides Rust, python3 and git it installs itself, from package registries, into target/release-tools (or the
/// directory that OC_IMAGEPOLICY_RELEASE_TOOLS names). Either every archive is made or none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 # Every platform that this machine can build for\n\
    \x20 cargo run --example release -- build\n\
    \x20 # One platform, from a tree that is not committed\n\
    \x20 cargo run --example release -- build --target x86_64-unknown-linux-musl --allow-dirty --to /tmp/try")]
struct BuildArgs {
    /// A platform, as Rust names it; repeat it for more [default: all that this machine can link]
    #[arg(long = "target", value_name = "TRIPLE")]
    targets: Vec<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    kind: Kind,
}

/// Put archives that were built on other machines into the directory of the release
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 cargo run --example release -- collect ~/Downloads/oc-imagepolicy-v0.1.0-darwin-arm64.tar.gz")]
struct CollectArgs {
    /// Archives, and directories with archives
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Check archives, SHA256SUMS and manifests against every rule that a release keeps
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 cargo run --example release -- check\n\
    \x20 cargo run --example release -- check --archives dist --require-all")]
struct CheckArgs {
    /// The directory with the archives [default: target/releases/vVERSION]
    #[arg(long, value_name = "DIR")]
    archives: Option<PathBuf>,
    /// Stop where the archive of a platform is missing
    #[arg(long)]
    require_all: bool,
    #[command(flatten)]
    kind: Kind,
}

/// Build archives again, from a clone of their commit in another directory, and compare the bytes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 cargo run --example release -- reproduce --target x86_64-unknown-linux-musl")]
struct ReproduceArgs {
    /// The directory with the archives [default: target/releases/vVERSION]
    #[arg(long, value_name = "DIR")]
    archives: Option<PathBuf>,
    /// A platform, as Rust names it; repeat it for more [default: all that this machine can link]
    #[arg(long = "target", value_name = "TRIPLE")]
    targets: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Where releases are kept, each in a directory of its version [default: target/releases]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

impl Place {
    fn releases(&self, repository: &Path) -> PathBuf {
        self.to.clone().unwrap_or_else(|| repository.join("target/releases"))
    }
}

/// What becomes public is built with `release`, of a commit alone. Tests build otherwise.
#[derive(Debug, clap::Args)]
struct Kind {
    /// cargo's profile
    #[arg(long, default_value = "release", value_name = "NAME")]
    profile: String,
    /// Take a tree with changes that are not committed
    #[arg(long)]
    allow_dirty: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if run::is_stopped() => {
            eprintln!("error: {}", run::INTERRUPTED);
            ExitCode::from(130)
        }
        Err(fault) => {
            eprintln!("error: {fault}");
            for line in fault.hint.lines() {
                eprintln!("hint: {line}");
            }
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    run::stop_on_signals()?;
    let root = &cli.repository;
    match &cli.command {
        Command::Build(args) => build_archives(root, args),
        Command::Collect(args) => collect_archives(root, args),
        Command::Manifests(args) => manifests::run(root, args),
        Command::Check(args) => check_release(root, args),
        Command::Reproduce(args) => build_again(root, args),
    }
}

fn build_archives(root: &Path, args: &BuildArgs) -> Result<()> {
    let platforms = platforms(&args.targets)?;
    let repository = Repository::open(root, args.kind.allow_dirty)?;
    // All that can be wrong is looked at before minutes of building.
    let documents = repository.documents()?;
    let origin = build::origin(&repository, &args.kind.profile)?;
    let directory = shelf::of_version(&args.place.releases(root), &repository.version);
    let names: Vec<String> = platforms.iter().map(|platform| platform.archive(&repository.version)).collect();
    shelf::kept(&directory, &origin, &names)?;
    let tools = Tools::install(root, &platforms)?;
    let license = &documents["LICENSE"];
    let mut archives = BTreeMap::new();
    let mut expected = None;
    for platform in &platforms {
        let bytes = build::archive(&repository, platform, &origin, &tools)?;
        let name = platform.archive(&repository.version);
        archive::of_bytes(&name, &bytes)?.verify(license)?;
        let program = build::program(&repository, platform, &origin.profile);
        if platform.runner().is_some() && expected.is_none() {
            expected = Some(build::explained_here(&repository)?);
        }
        let ran = build::try_out(&program, platform, &origin, expected.as_deref().unwrap_or_default())?;
        eprintln!("{name}: {} bytes, {}", bytes.len(), if ran { "runs" } else { "cannot be run on this machine" });
        archives.insert(name, bytes);
    }
    let after = Repository::open(root, args.kind.allow_dirty)?;
    if (&after.commit, after.dirty) != (&repository.commit, repository.dirty) {
        return Err(Fault::new("the repository changed while it was built: these are archives of no commit"));
    }
    put(&directory, &origin, &archives)
}

fn collect_archives(root: &Path, args: &CollectArgs) -> Result<()> {
    let path = root.join("LICENSE");
    let license = std::fs::read(&path).map_err(Fault::at(&path))?;
    let version = repository::version(root)?;
    let mut found = BTreeMap::new();
    let mut first = None;
    for path in &args.paths {
        let in_path = if path.is_dir() { archive::paths(path)? } else { vec![path.clone()] };
        for path in in_path {
            let archive = archive::read(&path)?;
            archive.verify(&license)?;
            if archive.version != version {
                return Err(Fault::new(format!("{}: Cargo.toml has version {version}", archive.name)));
            }
            shelf::same_origin(&archive, first.get_or_insert(shelf::origin(&archive)?))?;
            let bytes = std::fs::read(&path).map_err(Fault::at(&path))?;
            if archive::sha256(&bytes) != archive.sha256 {
                return Err(Fault::new(format!("{}: it changes while it is read", path.display())));
            }
            found.insert(archive.name, bytes);
        }
    }
    let origin = first.ok_or_else(|| Fault::new("there is no archive to collect"))?;
    put(&shelf::of_version(&args.place.releases(root), &version), &origin, &found)
}

fn put(directory: &Path, origin: &sbom::Origin, archives: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    shelf::put(directory, origin, archives)?;
    for (name, bytes) in archives {
        println!("{}  {}", archive::sha256(bytes), directory.join(name).display());
    }
    Ok(())
}

fn check_release(root: &Path, args: &CheckArgs) -> Result<()> {
    let repository = Repository::open(root, true)?;
    let directory = archives_or_default(root, &repository, args.archives.as_ref());
    let wanted = check::Wanted { profile: &args.kind.profile, dirty: args.kind.allow_dirty };
    let archives = check::release(&repository, &directory, wanted)?;
    manifests::note_missing(&archives, args.require_all)?;
    for archive in &archives {
        println!("{}  {}: as it should be", archive.sha256, archive.name);
    }
    // The one beside the archives, and the repository's own where these are its own archives.
    let mut manifests = vec![directory.join(shelf::INDEX).join("plugins")];
    manifests.extend(args.archives.is_none().then(|| root.join("krew")));
    for manifest in manifests.iter().map(|folder| folder.join(format!("{PLUGIN}.yaml"))).filter(|path| path.exists()) {
        manifests::check(root, &manifest, &archives)?;
        println!("{}: as it should be", manifest.display());
    }
    Ok(())
}

fn build_again(root: &Path, args: &ReproduceArgs) -> Result<()> {
    let platforms = platforms(&args.targets)?;
    let repository = Repository::open(root, true)?;
    let archives = check::archives(root, &archives_or_default(root, &repository, args.archives.as_ref()))?;
    let wanted: Vec<_> = archives.iter().filter(|archive| platforms.contains(&archive.platform)).collect();
    for platform in platforms.iter().filter(|_| !args.targets.is_empty()) {
        if !wanted.iter().any(|archive| archive.platform == *platform) {
            return Err(Fault::new(format!("there is no archive for {}", platform.triple)));
        }
    }
    reproduce::archives(root, &wanted)
}

fn archives_or_default(root: &Path, repository: &Repository, archives: Option<&PathBuf>) -> PathBuf {
    archives.cloned().unwrap_or_else(|| shelf::of_version(&root.join("target/releases"), &repository.version))
}

/// What somebody asks for, or all that can be built here.
fn platforms(triples: &[String]) -> Result<Vec<&'static Platform>> {
    if triples.is_empty() {
        return Ok(PLATFORMS.iter().filter(|platform| platform.is_linked_here()).collect());
    }
    let mut platforms = Vec::new();
    for triple in triples {
        let platform = Platform::of_triple(triple)?;
        if !platform.is_linked_here() {
            return Err(Fault::new(format!("{triple} can be linked on a Mac alone: it needs Apple's frameworks"))
                .hint("the workflow .github/workflows/release.yml does it on such a machine"));
        }
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}
