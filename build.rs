//! Tells the program what it was built from and with, for `version`.
//!
//! Release builds for Linux leave out the tables for unwinding, 0.9 MB of 8: with `panic = "abort"` nobody reads them. Cargo has no
//! setting for it, but both linkers that are in use (lld and GNU ld) take a script that adds to their own. Where the linker can, equal
//! functions are kept once, which saves another 0.2 MB.

use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

const SCRIPT: &str = "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.eh_frame_hdr) } } INSERT AFTER .text;\n";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    say_origin();
    if of_cargo("PROFILE") != "release" || of_cargo("CARGO_CFG_TARGET_OS") != "linux" {
        return Ok(());
    }
    let script = Path::new(&of_cargo("OUT_DIR")).join("without-unwinding.ld");
    fs::write(&script, SCRIPT)?;
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    if links_with(FOLD)? {
        println!("cargo::rustc-link-arg-bins={FOLD}");
    }
    Ok(())
}

fn of_cargo(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// What `version` prints. A release is told its commit (docs/releasing.md). Other release builds ask git; debug builds do not, since each
/// commit would compile everything anew.
fn say_origin() {
    println!("cargo::rerun-if-env-changed=OC_IMAGEPOLICY_COMMIT");
    println!("cargo::rerun-if-env-changed=OC_IMAGEPOLICY_TREE");
    let mut commit = of_cargo("OC_IMAGEPOLICY_COMMIT");
    let mut tree = of_cargo("OC_IMAGEPOLICY_TREE");
    if commit.is_empty() && of_cargo("PROFILE") == "release" {
        (commit, tree) = of_git().unwrap_or_default();
    }
    let compiler = first_line(Command::new(of_cargo("RUSTC")).arg("--version")).unwrap_or_default();
    for (name, value) in [
        ("COMMIT", commit),
        ("TREE", tree),
        ("TARGET", of_cargo("TARGET")),
        ("COMPILER", compiler),
        ("PROFILE", of_cargo("PROFILE")),
    ] {
        println!("cargo::rustc-env=OC_IMAGEPOLICY_BUILD_{name}={value}");
    }
}

/// The commit, and whether the files of the work tree are those of it; `None` outside of a clone of this repository.
fn of_git() -> Option<(String, String)> {
    let git = |arguments: &[&str]| first_line(Command::new("git").args(arguments));
    let home = fs::canonicalize(git(&["rev-parse", "--show-toplevel"])?).ok()?;
    if home != fs::canonicalize(of_cargo("CARGO_MANIFEST_DIR")).ok()? {
        return None;
    }
    for watched in ["HEAD", "logs/HEAD", "index"] {
        let path = git(&["rev-parse", "--git-path", watched])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    for watched in ["src", "docs/example-cluster", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    let tree = if changed.is_empty() { "clean" } else { "dirty" };
    Some((git(&["rev-parse", "HEAD"])?, tree.into()))
}

/// What a command prints on its first line, where it succeeds.
fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_string())
}

const FOLD: &str = "-Wl,--icf=all";

/// Whether the linker knows an argument: GNU ld does not know all that lld does.
fn links_with(argument: &str) -> io::Result<bool> {
    let directory = Path::new(&of_cargo("OUT_DIR")).to_path_buf();
    let source = directory.join("probe.rs");
    fs::write(&source, "fn main() {}")?;
    let mut rustc = Command::new(of_cargo("RUSTC"));
    rustc.arg(source).args(["--target", &of_cargo("TARGET"), "-o"]).arg(directory.join("probe"));
    let linker = of_cargo("RUSTC_LINKER");
    if !linker.is_empty() {
        rustc.arg(format!("-Clinker={linker}"));
    }
    Ok(rustc.arg(format!("-Clink-arg={argument}")).output()?.status.success())
}
