//! Whether archives are what a release may hold.

use std::path::Path;

use crate::archive::{self, Archive};
use crate::fault::{Fault, Result};

/// Every archive in a directory, each verified.
///
/// # Errors
/// With the first thing that is wrong.
pub fn archives(repository: &Path, directory: &Path) -> Result<Vec<Archive>> {
    let path = repository.join("LICENSE");
    let license = std::fs::read(&path).map_err(Fault::at(&path))?;
    let archives = archive::read_all(directory)?;
    for archive in &archives {
        archive.verify(&license)?;
    }
    Ok(archives)
}
