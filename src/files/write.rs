//! Files written all or nothing.

use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use crate::error::{Error, Result};

/// What a file consists of: something that writes it.
pub type Content<'a> = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'a>;

/// Writes files into a directory that is empty or absent; their paths are relative to it, and each writes its own content, two of
/// them at a time. Either all of them are there afterwards, or the directory is as it was.
///
/// # Errors
/// [`Error::Usage`] where the directory holds something or a path leads out of it, [`Error::File`] where the system refuses.
pub fn write_directory<'a>(directory: &Path, files: impl IntoIterator<Item = (String, Content<'a>)>) -> Result<()> {
    let exists = is_there_and_empty(directory)?;
    // Beside it where it can be renamed at once, inside of it where it may be a mount point or somebody's working directory.
    let parent = match directory.parent() {
        _ if exists => directory,
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|error| failure("create", parent, error))?;
    let temporary = create_temporary(parent)?;
    let written = write_all(&temporary, files.into_iter().collect())
        .and_then(|()| if exists { move_up(&temporary, directory) } else { rename(&temporary, directory) });
    if written.is_err() || exists {
        // What is left of it is of no use, and whether it can be removed changes nothing about the answer.
        let _ = fs::remove_dir_all(&temporary);
    }
    written
}

/// A file that is written beside its place first, and put there when all of it is right. Dropped before, it leaves nothing behind. What
/// is no regular file, such as a pipe, is written at once.
pub struct Replacement {
    path: PathBuf,
    temporary: Option<PathBuf>,
    file: fs::File,
}

impl Replacement {
    /// Begins to write a file that may exist or not; where it is a link, what it leads to.
    ///
    /// # Errors
    /// [`Error::File`] where the system refuses.
    pub fn begin(path: &Path) -> Result<Self> {
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let there = fs::metadata(&place).ok();
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            let file = fs::File::options().write(true).open(&place);
            let file = file.map_err(|error| file_failure("write", path, error))?;
            return Ok(Self { path: place, temporary: None, file });
        }
        // A file that may not be written to is not to be replaced either.
        if there.is_some() {
            fs::File::options().append(true).open(&place).map_err(|error| file_failure("write", path, error))?;
        }
        let parent = place.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        for attempt in 0..100 {
            let temporary = parent.join(format!(".oc-imagepolicy-{}-{attempt}", std::process::id()));
            match fs::File::create_new(&temporary) {
                Ok(file) => {
                    let begun = Self { path: place, temporary: Some(temporary), file };
                    if let Some(there) = there {
                        let kept = begun.file.set_permissions(there.permissions());
                        kept.map_err(|error| file_failure("write", path, error))?;
                    }
                    return Ok(begun);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(file_failure("write", path, error)),
            }
        }
        Err(file_failure("write", path, io::ErrorKind::AlreadyExists.into()))
    }

    /// Where its content goes.
    ///
    /// # Errors
    /// [`Error::File`] where the system refuses.
    pub fn writer(&self) -> Result<fs::File> {
        self.file.try_clone().map_err(|error| file_failure("write", &self.path, error))
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// [`Error::File`] where the system refuses.
    pub fn commit(mut self) -> Result<()> {
        let Some(temporary) = self.temporary.take() else { return Ok(()) };
        let put = fs::rename(&temporary, &self.path);
        if put.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        put.map_err(|error| file_failure("write", &self.path, error))
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nobody asked for it, so nobody need hear of it.
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Whether a file could be written now; a pipe or device is not touched.
///
/// # Errors
/// [`Error::File`] where the system refuses.
pub fn can_be_written(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(there) if !there.is_file() && !there.is_dir() => Ok(()),
        _ => Replacement::begin(path).map(drop),
    }
}

/// The file itself, however it is named; one that is not there yet, by its directory.
pub fn identity(path: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(path) {
        return path;
    }
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    match (fs::canonicalize(parent), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.to_path_buf(),
    }
}

/// What the system says of a file that was to be written.
pub fn file_failure(action: &'static str, path: &Path, source: io::Error) -> Error {
    let hint = match source.kind() {
        io::ErrorKind::NotFound => "make its directory first: mkdir -p",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "name a file that you may write to",
        io::ErrorKind::IsADirectory => "name a file in it",
        io::ErrorKind::StorageFull => "see how much room there is: df -h",
        _ => "",
    };
    Error::File { action, path: path.display().to_string(), source, hint: hint.into() }
}

/// Writes other texts in the place of what files hold: name, what was read, what shall stand there. Each changes at once and keeps its
/// rights; a link stays a link. None changes unless all of them hold what was read and can be written.
///
/// # Errors
/// [`Error::Input`] where one holds something else, [`Error::File`] where the system refuses.
pub fn replace_texts<'t>(files: impl IntoIterator<Item = (&'t Path, &'t str, &'t str)>) -> Result<()> {
    let mut begun = Vec::new();
    for (path, before, after) in files {
        let holds = fs::read(path).map_err(|error| file_failure("read", path, error))?;
        if holds != before.as_bytes() {
            return Err(Error::Input {
                place: path.display().to_string(),
                message: "is not as it was read: it is compressed, not UTF-8, or has changed since".into(),
                hint: "unpack it or convert it to UTF-8 first, or run the command again".into(),
            });
        }
        let file = Replacement::begin(path)?;
        let mut writer = file.writer()?;
        let written = writer.write_all(after.as_bytes()).and_then(|()| writer.sync_all());
        written.map_err(|error| file_failure("write", path, error))?;
        begun.push(file);
    }
    begun.into_iter().try_for_each(Replacement::commit)
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

fn write_all(root: &Path, files: Vec<(String, Content<'_>)>) -> Result<()> {
    let files = Mutex::new(files.into_iter());
    let next = || files.lock().ok()?.next();
    let work = || {
        while let Some((name, content)) = next() {
            write_one(root, &name, content)?;
        }
        Ok(())
    };
    std::thread::scope(|threads| {
        let beside = threads.spawn(work);
        let here = work();
        // A thread that panics has printed why.
        let beside = beside.join().unwrap_or_else(|_| Err(failure("write", root, io::ErrorKind::Other.into())));
        here.and(beside)
    })
}

fn write_one(root: &Path, name: &str, content: Content<'_>) -> Result<()> {
    let relative = Path::new(name);
    let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || name.is_empty() {
        return Err(Error::usage(
            format!("the path {name:?} leads out of the directory to be written"),
            "look at the MachineConfig that names it: --to writes only what lies below DIR",
        ));
    }
    let path = root.join(relative);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| failure("create", Path::new(name), error))?;
    }
    let written = fs::File::create(&path).and_then(|mut file| content(&mut file));
    written.map_err(|error| failure("write", Path::new(name), error))
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

    fn with_contents(files: &[(&str, &'static [u8])]) -> Vec<(String, Content<'static>)> {
        let file = |(name, bytes): &(&str, &'static [u8])| -> (String, Content<'static>) {
            let bytes = *bytes;
            (name.to_string(), Box::new(move |out: &mut dyn Write| out.write_all(bytes)))
        };
        files.iter().map(file).collect()
    }

    #[test]
    fn all_or_nothing() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("a/b");
        let files = || with_contents(&[("worker/etc/x", b"1"), ("master/etc/y", b"2")]);
        write_directory(&target, files()).unwrap();
        assert_eq!(fs::read(target.join("master/etc/y")).unwrap(), b"2");
        let again = write_directory(&target, files()).unwrap_err();
        assert!(again.to_string().contains("is not empty"), "{again}");

        let empty = root.path().join("empty");
        fs::create_dir(&empty).unwrap();
        // The second file needs the first as a directory.
        let clash = || with_contents(&[("x", b"1"), ("x/y", b"2")]);
        assert!(write_directory(&empty, clash()).is_err());
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
        assert!(write_directory(&root.path().join("absent"), clash()).is_err());
        assert!(!root.path().join("absent").exists());
        write_directory(&empty, files()).unwrap();
        let mut names: Vec<_> = fs::read_dir(&empty).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["master", "worker"]);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "nothing temporary is left");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("report.json");
        let write = |path: &Path| -> Result<Replacement> {
            let begun = Replacement::begin(path)?;
            begun.writer()?.write_all(b"new").unwrap();
            Ok(begun)
        };
        drop(write(&path).unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "nothing is left of what was given up");
        fs::write(&path, "old").unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let begun = write(&link).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        begun.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(link.is_symlink());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
        for impossible in [root.path().to_path_buf(), root.path().join("absent/x")] {
            assert!(matches!(write(&impossible), Err(Error::File { .. })), "{}", impossible.display());
        }
    }

    #[test]
    fn nothing_is_written_outside() {
        let root = tempfile::tempdir().unwrap();
        for path in ["../x", "/etc/x", "a/../../x", ""] {
            let files = with_contents(&[(path, b"1")]);
            assert!(write_directory(&root.path().join("out"), files).is_err(), "{path}");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
