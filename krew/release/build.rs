//! From a commit to the bytes of an archive. The same commit, rustc and tools give the same bytes on every machine, in every directory.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::archive::{self, Entries, Entry};
use crate::fault::{Fault, Result};
use crate::platform::{Linker, Platform};
use crate::repository::Repository;
use crate::sbom::Origin;
use crate::tools::Tools;
use crate::{dependencies, licenses, run, sbom};

/// What builds of this commit say of themselves.
///
/// # Errors
/// Where there is no rustc.
pub fn origin(repository: &Repository, profile: &str) -> Result<Origin> {
    let rustc = run::output(Command::new("rustc").arg("--version"))?;
    Ok(Origin {
        commit: repository.commit.clone(),
        tree: repository.tree().to_owned(),
        profile: profile.to_owned(),
        rustc: rustc.trim().to_owned(),
    })
}

/// Where the program for a platform is, once [`archive`] built it.
pub fn program(repository: &Repository, platform: &Platform, profile: &str) -> PathBuf {
    // cargo keeps what the profile `dev` makes in `debug`.
    let profile = if profile == "dev" { "debug" } else { profile };
    target_directory(repository).join(platform.triple).join(profile).join(platform.binary())
}

/// The archive of one platform.
///
/// # Errors
/// Where a crate's terms are not accepted, or the program cannot be built or is not for the platform.
pub fn archive(repository: &Repository, platform: &Platform, origin: &Origin, tools: &Tools) -> Result<Vec<u8>> {
    let plain = |content| Entry { content, executable: false };
    let mut files: Entries =
        repository.documents()?.into_iter().map(|(path, content)| (path, plain(content))).collect();
    let packages = dependencies::of(repository, platform)?;
    let licenses = licenses::text(repository, platform, &packages, tools)?;
    files.insert("THIRD-PARTY-LICENSES.txt".into(), plain(licenses.into_bytes()));
    let sbom = sbom::text(repository, platform, origin, tools)?;
    files.insert("sbom.cdx.json".into(), plain(sbom.into_bytes()));
    compile(repository, platform, origin, tools)?;
    let path = program(repository, platform, &origin.profile);
    let content = fs::read(&path).map_err(Fault::at(&path))?;
    files.insert(platform.binary().into(), Entry { content, executable: true });
    run::go_on()?;
    archive::pack(platform, &repository.version, &files, repository.seconds)
}

fn target_directory(repository: &Repository) -> PathBuf {
    repository.root.join("target/release-build")
}

fn compile(repository: &Repository, platform: &Platform, origin: &Origin, tools: &Tools) -> Result<()> {
    let mut cargo = Command::new("cargo");
    without_settings(&mut cargo);
    cargo.current_dir(&repository.root).arg("auditable");
    cargo.arg(if platform.linker == Linker::Mac { "build" } else { "zigbuild" });
    cargo.args(["--locked", "--bin", "oc-imagepolicy", "--profile", &origin.profile]);
    cargo.args(["--target", &platform.zig_target(), "--target-dir"]).arg(target_directory(repository));
    let places = places(repository)?;
    let flags = |option: &str| -> Vec<String> {
        places.iter().map(|(path, name)| format!("{option}={}={name}", path.display())).collect()
    };
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags("--remap-path-prefix").join("\u{1f}"));
    cargo.env("CFLAGS", flags("-ffile-prefix-map").join(" "));
    cargo.env("CARGO_INCREMENTAL", "0").env("PATH", tools.path()?);
    cargo.env("SOURCE_DATE_EPOCH", repository.seconds.to_string()).env("ZERO_AR_DATE", "1");
    cargo.env("OC_IMAGEPOLICY_COMMIT", &origin.commit).env("OC_IMAGEPOLICY_TREE", &origin.tree);
    run::run(&mut cargo).map_err(|fault| fault.within(format!("cannot build for {}", platform.triple)))
}

/// Directories of this machine, and what stands for them in the program.
fn places(repository: &Repository) -> Result<Vec<(PathBuf, &'static str)>> {
    let sysroot = run::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let cargo_home = cargo_home.ok_or_else(|| Fault::new("there is neither CARGO_HOME nor a home directory"))?;
    // The last that fits counts.
    Ok(vec![
        (PathBuf::from(sysroot.trim()), "/rust"),
        (cargo_home, "/cargo"),
        (repository.root.clone(), "/oc-imagepolicy"),
        (target_directory(repository), "/build"),
    ])
}

/// Takes away the settings of whoever runs this, and those that an outer cargo made.
pub fn without_settings(command: &mut Command) {
    let kept = |name: &str| {
        name == "CARGO_HOME"
            || ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR"].iter().any(|start| name.starts_with(start))
    };
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_cargo = text.starts_with("CARGO") && !kept(&text);
        let of_compilers = ["CFLAGS", "CPPFLAGS", "CXXFLAGS", "LDFLAGS", "AR_", "CC_", "ZIG", "TARGET_", "HOST_"];
        let exact = [
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC",
            "CC",
            "AR",
            "OUT_DIR",
            "LD_LIBRARY_PATH",
            "CPATH",
            "C_INCLUDE_PATH",
            "LIBRARY_PATH",
        ];
        if of_cargo || of_compilers.iter().any(|start| text.starts_with(start)) || exact.contains(&&*text) {
            command.env_remove(&name);
        }
    }
}

/// Runs the program where this machine can: what it says of itself must be true, and what it explains must be what the program
/// of this machine does. Returns whether it could be run.
///
/// # Errors
/// With what it says instead.
pub fn try_out(program: &Path, platform: &Platform, origin: &Origin, expected: &str) -> Result<bool> {
    let Some(runner) = platform.runner() else { return Ok(false) };
    let words: Vec<PathBuf> = runner.into_iter().chain([program.to_owned()]).collect();
    let answer = |arguments: &[&str]| {
        let mut command = Command::new(&words[0]);
        run::output(command.args(&words[1..]).args(arguments).env("NO_COLOR", "1"))
    };
    let version = answer(&["version", "--client", "-o", "json"])?;
    let version: Value = serde_json::from_str(&version)
        .map_err(|error| Fault::new(format!("{}: version prints no JSON: {error}", program.display())))?;
    for text in [platform.triple, &origin.commit] {
        if !mentions(&version, text) {
            return Err(Fault::new(format!("{}: version does not tell {text}: {version}", program.display())));
        }
    }
    if answer(EXAMPLE)? != expected {
        return Err(Fault::new(format!(
            "{}: explain --example prints something else than it does here",
            program.display()
        )));
    }
    Ok(true)
}

const EXAMPLE: &[&str] = &["explain", "--example"];

/// What the program prints that is built for this machine alone.
///
/// # Errors
/// Where it cannot be built.
pub fn explained_here(repository: &Repository) -> Result<String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--locked", "--bin", "oc-imagepolicy", "--"]).args(EXAMPLE);
    // What an outer `cargo run` or `cargo test` says of its package would have ring's build script run again, and so all behind it.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "OUT_DIR"].iter().any(|start| text.starts_with(start)) {
            cargo.env_remove(&name);
        }
    }
    run::output(cargo.current_dir(&repository.root).env("NO_COLOR", "1"))
}

fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string == text,
        Value::Array(values) => values.iter().any(|value| mentions(value, text)),
        Value::Object(fields) => fields.values().any(|value| mentions(value, text)),
        _ => false,
    }
}
