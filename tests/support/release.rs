//! The release program (`krew/release`), and archives that it builds for tests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::manifest_dir;

/// Built quickly, for the processor of this machine and for one that is emulated.
pub const SMOKE_TARGETS: &[&str] = &["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"];

/// The release program, built.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--example", "release"]).current_dir(manifest_dir());
        // What cargo tells a test about its package ring watches: it, and all that needs it, would be built anew.
        for (name, _) in std::env::vars_os() {
            let is_told =
                |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"].iter().any(|start| name.starts_with(start));
            if name.to_str().is_some_and(is_told) {
                cargo.env_remove(&name);
            }
        }
        assert!(cargo.status().unwrap().success(), "the release program does not build");
        Path::new(env!("CARGO_BIN_EXE_oc-imagepolicy")).parent().unwrap().join("examples/release")
    })
}

/// The release program, about to run for this repository, with the tools that are installed once.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    let tools = std::env::var_os("OC_IMAGEPOLICY_RELEASE_TOOLS");
    let tools = tools.map_or_else(|| manifest_dir().join("target/release-tools"), PathBuf::from);
    command.args(arguments).env("OC_IMAGEPOLICY_RELEASE_TOOLS", tools);
    command
}

pub fn release(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// The directory with archives of [`SMOKE_TARGETS`] as they would be for this tree, built without optimization. Only one process builds at
/// a time; the second time takes seconds.
pub fn smoke_release() -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let built = DIRECTORY.get_or_init(|| {
        let releases = manifest_dir().join("target/smoke-releases");
        fs::create_dir_all(&releases).unwrap();
        let lock = File::create(releases.join("lock")).unwrap();
        lock.lock().unwrap();
        let directory = releases.join(concat!("v", env!("CARGO_PKG_VERSION")));
        // Archives of the commit before are not mixed with new ones.
        let mut arguments = vec!["build", "--profile", "smoke", "--allow-dirty", "--to", releases.to_str().unwrap()];
        arguments.extend(SMOKE_TARGETS.iter().flat_map(|target| ["--target", target]));
        eprintln!("building {} (the first time takes minutes)", directory.display());
        let status = command(&arguments).status().unwrap();
        assert!(status.success(), "the release program failed: {status}");
        directory
    });
    built.clone()
}
