//! The directory of a release, `target/releases/v0.1.0`: archives of one commit, and `SHA256SUMS`. It changes as a whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use oc_imagepolicy::commands::PLUGIN;

use crate::archive::{self, Archive};
use crate::fault::{Fault, Result};
use crate::run;
use crate::sbom::{Origin, Sbom};

pub const SUMS: &str = "SHA256SUMS";

/// What `manifests` writes beside archives: it is not about those that come, and has to be written anew.
const OF_MANIFESTS: &[&str] = &[INDEX, "cli-manager.yaml"];
pub const INDEX: &str = "index";

/// The directory of a version below `releases`.
pub fn of_version(releases: &Path, version: &str) -> PathBuf {
    releases.join(format!("v{version}"))
}

/// How an archive was made.
///
/// # Errors
/// Where it does not say so.
pub fn origin(archive: &Archive) -> Result<Origin> {
    let sbom = archive.file("sbom.cdx.json")?;
    Sbom::read(&sbom.content)
        .and_then(|sbom| sbom.origin())
        .map_err(|fault| fault.within("sbom.cdx.json").within(&archive.name))
}

/// What is there already and stays: every archive that is not among the new ones.
///
/// # Errors
/// Where there is something that is no archive, or one of another commit.
pub fn kept(directory: &Path, origin: &Origin, new: &[String]) -> Result<BTreeMap<String, String>> {
    let mut kept = BTreeMap::new();
    if !directory.exists() {
        return Ok(kept);
    }
    for entry in fs::read_dir(directory).map_err(Fault::at(directory))? {
        let path = entry.map_err(Fault::at(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == INDEX {
            nothing_else(&path)?;
        }
        if name == SUMS || OF_MANIFESTS.contains(&name.as_str()) || new.contains(&name) {
            continue;
        }
        let archive = archive::read(&path)
            .map_err(|fault| fault.hint(format!("{} is for archives of one release alone", directory.display())))?;
        same_origin(&archive, origin).map_err(|fault| {
            fault.hint(format!("remove {}, or choose another place with --to", directory.display()))
        })?;
        kept.insert(archive.name, archive.sha256);
    }
    Ok(kept)
}

/// Whoever made a Git repository of the index would lose it.
fn nothing_else(index: &Path) -> Result<()> {
    for (folder, ours) in [(index.to_owned(), "plugins".to_owned()), (index.join("plugins"), format!("{PLUGIN}.yaml"))]
    {
        for entry in fs::read_dir(&folder).map_err(Fault::at(&folder))? {
            let path = entry.map_err(Fault::at(&folder))?.path();
            if path.file_name().is_none_or(|name| name != ours.as_str()) {
                return Err(Fault::new(format!("{}: it is not from `manifests`, and would be lost", path.display()))
                    .hint(format!("move {} away", index.display())));
            }
        }
    }
    Ok(())
}

/// # Errors
/// Where an archive was made otherwise.
pub fn same_origin(archive: &Archive, wanted: &Origin) -> Result<()> {
    let found = self::origin(archive)?;
    let differs = |what: &str, found: &str, wanted: &str| {
        Err(Fault::new(format!("{}: its {what} is {found}, not {wanted}", archive.name)))
    };
    if found.commit != wanted.commit {
        return differs("commit", &found.commit, &wanted.commit);
    }
    if found.tree != wanted.tree {
        return differs("tree", &found.tree, &wanted.tree);
    }
    if found.profile != wanted.profile {
        return differs("profile", &found.profile, &wanted.profile);
    }
    Ok(())
}

/// Puts archives into the directory, beside those that are there.
///
/// # Errors
/// As [`kept`], and where the directory cannot be written; it then stays as it was.
pub fn put(directory: &Path, origin: &Origin, new: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    let releases = directory.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(releases).map_err(Fault::at(releases))?;
    let lock = File::open(releases).and_then(|file| file.lock().map(|()| file)).map_err(Fault::at(releases))?;
    let names: Vec<String> = new.keys().cloned().collect();
    let mut sums = kept(directory, origin, &names)?;
    let temporary =
        |prefix: &str| tempfile::Builder::new().prefix(prefix).tempdir_in(releases).map_err(Fault::at(releases));
    let partial = temporary(".partial-")?;
    for name in sums.keys() {
        let (from, to) = (directory.join(name), partial.path().join(name));
        fs::copy(&from, &to).map_err(Fault::at(&from))?;
    }
    for (name, bytes) in new {
        let path = partial.path().join(name);
        fs::write(&path, bytes).map_err(Fault::at(&path))?;
        sums.insert(name.clone(), archive::sha256(bytes));
    }
    let path = partial.path().join(SUMS);
    fs::write(&path, sums_text(&sums)).map_err(Fault::at(&path))?;
    readable(partial.path())?;
    run::go_on()?;
    let former = temporary(".former-")?;
    let former_directory = former.path().join("former");
    if directory.exists() {
        fs::rename(directory, &former_directory).map_err(Fault::at(directory))?;
    }
    if let Err(error) = fs::rename(partial.path(), directory) {
        let _ = fs::rename(&former_directory, directory);
        return Err(Fault::at(directory)(error));
    }
    // Nothing is left at its place to remove.
    let _ = partial.keep();
    drop(lock);
    Ok(())
}

/// A temporary directory is for its owner alone.
fn readable(directory: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).map_err(Fault::at(directory))?;
    }
    Ok(())
}

/// As `sha256sum` writes it, and `sha256sum --check` reads it.
pub fn sums_text(sums: &BTreeMap<String, String>) -> String {
    sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect()
}
