//! Builds a release again, elsewhere, and compares.

use std::path::Path;

use crate::archive::{self, Archive};
use crate::fault::{Fault, Result};
use crate::repository::Repository;
use crate::tools::Tools;
use crate::{build, run, shelf};

/// Clones the commit of the archives to another directory, builds each again and compares the bytes.
///
/// # Errors
/// Where the archives are not of a commit, it cannot be built, or the bytes differ.
pub fn archives(repository: &Path, archives: &[&Archive]) -> Result<()> {
    let Some(first) = archives.first() else { return Ok(()) };
    let origin = shelf::origin(first)?;
    for archive in archives {
        shelf::same_origin(archive, &origin)?;
    }
    if origin.tree != "clean" {
        return Err(Fault::new(format!("{}: it was not made of a commit alone", first.name)));
    }
    let place = tempfile::Builder::new().prefix("oc-imagepolicy-again-").tempdir();
    let place = place.map_err(|error| Fault::new(format!("cannot make a temporary directory: {error}")))?;
    let clone = place.path().join("clone");
    let repository = &Repository::open(repository, true)?.root;
    // A user's settings must not change the files' ends of lines.
    let plain = ["--config", "core.autocrlf=false", "--config", "core.eol=lf"];
    run::run(
        run::git(place.path()).args(["clone", "--quiet", "--no-checkout"]).args(plain).arg(repository).arg(&clone),
    )?;
    run::run(run::git(&clone).args(["checkout", "--quiet", "--detach", &origin.commit]))?;
    let again = Repository::open(&clone, false)?;
    let here = build::origin(&again, &origin.profile)?;
    if here.rustc != origin.rustc {
        return Err(Fault::new(format!(
            "{}: it was built by {}, and here is {}",
            first.name, origin.rustc, here.rustc
        ))
        .hint("only the same compiler gives the same bytes: rustup toolchain install, and RUSTUP_TOOLCHAIN"));
    }
    let platforms: Vec<_> = archives.iter().map(|archive| archive.platform).collect();
    let tools = Tools::install(repository, &platforms)?;
    for archive in archives {
        let bytes = build::archive(&again, archive.platform, &here, &tools)?;
        if archive::sha256(&bytes) == archive.sha256 {
            println!("{}  {}: the same again", archive.sha256, archive.name);
            continue;
        }
        let path = place.path().join(&archive.name);
        std::fs::write(&path, &bytes).map_err(Fault::at(&path))?;
        let second = archive::read(&path)?;
        let names = archive.files.keys().chain(second.files.keys().filter(|name| !archive.files.contains_key(*name)));
        let differ: Vec<&str> =
            names.filter(|name| archive.files.get(*name) != second.files.get(*name)).map(String::as_str).collect();
        let what = if differ.is_empty() { "the packing".to_owned() } else { differ.join(", ") };
        return Err(Fault::new(format!("{}: built again it is another: {what} differs", archive.name)));
    }
    Ok(())
}
