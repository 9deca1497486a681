//! What a release is built with. All of it comes from package registries, in these versions.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fault::{Fault, Result};
use crate::platform::{Linker, Platform, on_path};
use crate::run;

const FROM_PYPI: &[&str] = &["ziglang==0.17.1", "cargo-zigbuild==0.24.0"];
const FROM_CRATES_IO: &[(&str, &str)] = &[("cargo-auditable", "0.7.7"), ("cargo-cyclonedx", "0.5.9")];

/// Names another directory for the tools, so that clones can share them.
pub const DIRECTORY: &str = "OC_IMAGEPOLICY_RELEASE_TOOLS";

/// Tools that are there.
#[derive(Debug)]
pub struct Tools {
    directory: PathBuf,
}

impl Tools {
    /// Installs what is missing.
    ///
    /// # Errors
    /// Where python3, rustup or cargo is missing, or a registry does not answer.
    pub fn install(repository: &Path, platforms: &[&Platform]) -> Result<Self> {
        let directory = env::var_os(DIRECTORY).map_or_else(|| repository.join("target/release-tools"), PathBuf::from);
        fs::create_dir_all(&directory).map_err(Fault::at(&directory))?;
        let directory = fs::canonicalize(&directory).map_err(Fault::at(&directory))?;
        let tools = Self { directory };
        let lock = tools.directory.join("lock");
        let lock = File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(Fault::at(&lock))?;
        need("cargo", "install Rust from https://rustup.rs")?;
        if platforms.iter().any(|platform| platform.linker != Linker::Mac) {
            tools.install_zig()?;
        }
        for (name, version) in FROM_CRATES_IO {
            tools.install_crate(name, version)?;
        }
        drop(lock);
        need("rustup", "install it from https://rustup.rs: it has the standard library of other platforms")?;
        let installed = run::output(Command::new("rustup").args(["target", "list", "--installed"]))?;
        for platform in platforms {
            if !installed.lines().any(|line| line == platform.triple) {
                run::run(Command::new("rustup").args(["target", "add", platform.triple]))?;
            }
        }
        Ok(tools)
    }

    /// The `PATH` on which they are found first.
    ///
    /// # Errors
    /// Where a directory has a name that no `PATH` can hold.
    pub fn path(&self) -> Result<OsString> {
        let own = [self.directory.join("zig/bin"), self.directory.join("bin")];
        let path = env::var_os("PATH").unwrap_or_default();
        env::join_paths(own.into_iter().chain(env::split_paths(&path)))
            .map_err(|error| Fault::new(format!("{}: {error}", self.directory.display())))
    }

    /// The files that zig comes with.
    pub fn zig(&self) -> Option<PathBuf> {
        let lib = fs::read_dir(self.directory.join("zig/lib")).ok()?;
        lib.flatten().map(|entry| entry.path().join("site-packages/ziglang")).find(|path| path.is_dir())
    }

    fn install_zig(&self) -> Result<()> {
        let venv = self.directory.join("zig");
        let mark = venv.join("installed");
        let wanted = FROM_PYPI.join(" ");
        if fs::read_to_string(&mark).is_ok_and(|installed| installed.trim() == wanted) {
            return Ok(());
        }
        need("python3", "apt-get install python3-venv")?;
        if venv.exists() {
            fs::remove_dir_all(&venv).map_err(Fault::at(&venv))?;
        }
        eprintln!("installing {wanted}");
        let tried = run::run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        tried.map_err(|fault| fault.hint("apt-get install python3-venv"))?;
        let pip = venv.join(if cfg!(windows) { "Scripts/pip" } else { "bin/pip" });
        run::run(Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check"]).args(FROM_PYPI))?;
        fs::write(&mark, wanted).map_err(Fault::at(&mark))
    }

    fn install_crate(&self, name: &str, version: &str) -> Result<()> {
        let list = fs::read_to_string(self.directory.join(".crates.toml")).unwrap_or_default();
        let installed =
            list.contains(&format!("\"{name} {version} (")) && self.directory.join("bin").join(name).is_file();
        if installed {
            return Ok(());
        }
        eprintln!("installing {name} {version}");
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--locked", "--quiet", "--force", "--root"]).arg(&self.directory);
        run::run(cargo.arg(format!("{name}@{version}")))
    }
}

fn need(program: &str, hint: &str) -> Result<()> {
    if on_path(program).is_some() {
        return Ok(());
    }
    Err(Fault::new(format!("{program} is missing")).hint(hint))
}
