//! Files written all or nothing.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};

/// Writes files into a directory that is empty or absent; their paths are relative to it. Either all of them are there afterwards, or
/// the directory is as it was.
///
/// # Errors
/// [`Error::Usage`] where the directory holds something or a path leads out of it, [`Error::File`] where the system refuses.
pub fn write_directory<'a>(directory: &Path, files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<()> {
    let exists = is_there_and_empty(directory)?;
    // Beside it where it can be renamed at once, inside of it where it may be a mount point or somebody's working directory.
    let parent = match directory.parent() {
        _ if exists => directory,
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|error| failure("create", parent, error))?;
    let temporary = create_temporary(parent)?;
    let written = write_all(&temporary, files)
        .and_then(|()| if exists { move_up(&temporary, directory) } else { rename(&temporary, directory) });
    if written.is_err() || exists {
        // What is left of it is of no use, and whether it can be removed changes nothing about the answer.
        let _ = fs::remove_dir_all(&temporary);
    }
    written
}

fn is_there_and_empty(directory: &Path) -> Result<bool> {
    let mut entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failure("write to", directory, error)),
    };
    if entries.next().is_none() {
        return Ok(true);
    }
    let shown = directory.display();
    Err(Error::usage(
        format!("{shown} is not empty, and nothing in it shall be overwritten"),
        format!("name a directory that does not exist yet: --to {shown}-new"),
    ))
}

fn create_temporary(parent: &Path) -> Result<PathBuf> {
    for attempt in 0..100 {
        let path = parent.join(format!(".oc-imagepolicy-{}-{attempt}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failure("create", &path, error)),
        }
    }
    Err(failure("create", &parent.join(".oc-imagepolicy"), io::ErrorKind::AlreadyExists.into()))
}

fn write_all<'a>(root: &Path, files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<()> {
    let mut last_parent = PathBuf::new();
    for (name, content) in files {
        let relative = Path::new(name);
        let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || name.is_empty() {
            let message = format!("the path {name:?} leads out of the directory to be written");
            return Err(Error::usage(
                message,
                "look at the MachineConfig that names it: --to writes only what lies below DIR",
            ));
        }
        let path = root.join(relative);
        if let Some(parent) = path.parent().filter(|parent| **parent != last_parent) {
            fs::create_dir_all(parent).map_err(|error| failure("create", Path::new(name), error))?;
            last_parent = parent.to_path_buf();
        }
        fs::write(&path, content).map_err(|error| failure("write", Path::new(name), error))?;
    }
    Ok(())
}

/// Everything in `from`, moved into the empty `to`; taken back where that fails half-way.
fn move_up(from: &Path, to: &Path) -> Result<()> {
    let entries: io::Result<Vec<fs::DirEntry>> = fs::read_dir(from).and_then(Iterator::collect);
    let entries = entries.map_err(|error| failure("write to", to, error))?;
    let mut moved = Vec::new();
    for entry in entries {
        let target = to.join(entry.file_name());
        if let Err(error) = rename(&entry.path(), &target) {
            for path in moved {
                let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
            }
            return Err(error);
        }
        moved.push(target);
    }
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| failure("create", to, error))
}

fn failure(action: &'static str, path: &Path, source: io::Error) -> Error {
    let hint = match source.kind() {
        io::ErrorKind::PermissionDenied => "name a directory that you may write to: --to \"$(mktemp -u)\"",
        io::ErrorKind::StorageFull => "see how much room there is: df -h",
        io::ErrorKind::NotADirectory => "name a directory that does not exist yet",
        _ => "",
    };
    Error::File { action, path: path.display().to_string(), source, hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_nothing() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("a/b");
        let files: [(&str, &[u8]); 2] = [("worker/etc/x", b"1"), ("master/etc/y", b"2")];
        write_directory(&target, files).unwrap();
        assert_eq!(fs::read(target.join("master/etc/y")).unwrap(), b"2");
        let again = write_directory(&target, files).unwrap_err();
        assert!(again.to_string().contains("is not empty"), "{again}");

        let empty = root.path().join("empty");
        fs::create_dir(&empty).unwrap();
        // The second file needs the first as a directory.
        let clash: [(&str, &[u8]); 2] = [("x", b"1"), ("x/y", b"2")];
        assert!(write_directory(&empty, clash).is_err());
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
        assert!(write_directory(&root.path().join("absent"), clash).is_err());
        assert!(!root.path().join("absent").exists());
        write_directory(&empty, files).unwrap();
        let mut names: Vec<_> = fs::read_dir(&empty).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["master", "worker"]);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "nothing temporary is left");
    }

    #[test]
    fn nothing_is_written_outside() {
        let root = tempfile::tempdir().unwrap();
        for path in ["../x", "/etc/x", "a/../../x", ""] {
            let files: [(&str, &[u8]); 1] = [(path, b"1")];
            assert!(write_directory(&root.path().join("out"), files).is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
