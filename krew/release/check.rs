//! Whether archives are what a release may hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::archive::{self, Archive};
use crate::fault::{Fault, Result};
use crate::repository::Repository;
use crate::sbom::Sbom;
use crate::{dependencies, run, shelf};

/// What a release is asked for beyond what every archive must keep.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// cargo's profile.
    pub profile: &'a str,
    /// Archives of a tree with changes will do.
    pub dirty: bool,
}

/// Every archive in a directory, each verified for itself.
///
/// # Errors
/// With the first thing that is wrong.
pub fn archives(repository: &Path, directory: &Path) -> Result<Vec<Archive>> {
    let path = repository.join("LICENSE");
    let license = fs::read(&path).map_err(Fault::at(&path))?;
    let archives = archive::read_all(directory)?;
    for archive in &archives {
        archive.verify(&license)?;
    }
    Ok(archives)
}

/// Every archive in a directory, what it says of its making and of its content, and `SHA256SUMS`.
///
/// # Errors
/// With the first thing that is wrong.
pub fn release(repository: &Repository, directory: &Path, wanted: Wanted<'_>) -> Result<Vec<Archive>> {
    let archives = archives(&repository.root, directory)?;
    let mut first = None;
    for archive in &archives {
        if archive.version != repository.version {
            return Err(Fault::new(format!("{}: Cargo.toml has version {}", archive.name, repository.version)));
        }
        let origin = shelf::origin(archive)?;
        if origin.profile != wanted.profile {
            return Err(Fault::new(format!("{}: it is built with the profile {}", archive.name, origin.profile))
                .hint(format!("a release is built with {}", wanted.profile)));
        }
        if origin.tree != "clean" && !wanted.dirty {
            return Err(Fault::new(format!("{}: it was not made of a commit alone", archive.name))
                .hint("build it again from a clean tree (for a try: --allow-dirty)"));
        }
        shelf::same_origin(archive, first.get_or_insert(origin))?;
        contents(repository, archive)?;
    }
    if let Some(origin) = first.filter(|origin| origin.tree == "clean") {
        documents(repository, &origin.commit, &archives)?;
    }
    sums(directory, &archives)?;
    Ok(archives)
}

/// Whether the documents in an archive name everything that is in the program.
fn contents(repository: &Repository, archive: &Archive) -> Result<()> {
    let packages = dependencies::of(repository, archive.platform)?;
    let sbom = Sbom::read(&archive.file("sbom.cdx.json")?.content);
    sbom.and_then(|sbom| sbom.verify(&archive.version, archive.platform, &packages))
        .map_err(|fault| fault.within("sbom.cdx.json").within(&archive.name))?;
    let licenses = String::from_utf8_lossy(&archive.file("THIRD-PARTY-LICENSES.txt")?.content);
    let named: std::collections::BTreeSet<&str> = licenses.lines().collect();
    for package in &packages {
        if !named.contains(format!("{} {}", package.name, package.version).as_str()) {
            return Err(Fault::new(format!(
                "{}: THIRD-PARTY-LICENSES.txt: {} {} is missing in it",
                archive.name, package.name, package.version
            )));
        }
    }
    Ok(())
}

/// Whether the texts in archives are those of the commit that they name.
fn documents(repository: &Repository, commit: &str, archives: &[Archive]) -> Result<()> {
    let git = |words: &[&str]| {
        run::output(run::git(&repository.root).args(words))
            .map_err(|fault| fault.within(format!("the archives are of commit {commit}, which is not to be read here")))
    };
    let pages = git(&["ls-tree", "--name-only", commit, "docs/man/"])?;
    let pages = pages.lines().filter(|page| page.ends_with(".1"));
    for path in ["LICENSE", "README.md"].into_iter().chain(pages) {
        let wanted = git(&["show", &format!("{commit}:{path}")])?;
        for archive in archives {
            let found = archive.file(path.strip_prefix("docs/").unwrap_or(path))?;
            if String::from_utf8_lossy(&found.content) != wanted {
                return Err(Fault::new(format!("{}: its {path} is not the one of commit {commit}", archive.name)));
            }
        }
    }
    Ok(())
}

fn sums(directory: &Path, archives: &[Archive]) -> Result<()> {
    let path = directory.join(shelf::SUMS);
    let written = fs::read_to_string(&path).map_err(Fault::at(&path))?;
    let found: BTreeMap<String, String> =
        archives.iter().map(|archive| (archive.name.clone(), archive.sha256.clone())).collect();
    let wanted = shelf::sums_text(&found);
    if written == wanted {
        return Ok(());
    }
    let wrong = wanted.lines().find(|line| !written.lines().any(|other| other == *line));
    let wrong = wrong.or_else(|| written.lines().find(|line| !wanted.lines().any(|other| other == *line)));
    Err(Fault::new(format!(
        "{}: it is not about the archives beside it: {}",
        path.display(),
        wrong.unwrap_or_default()
    )))
}
