//! What is released: a commit, with everything in it that goes into archives.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Result};
use crate::run;

/// A clone that a release can be made of.
#[derive(Debug)]
pub struct Repository {
    pub root: PathBuf,
    /// Of Cargo.toml.
    pub version: String,
    /// The full hash of the commit.
    pub commit: String,
    /// Whether there is anything that the commit does not have.
    pub dirty: bool,
    /// The commit's time in seconds since 1970: the time of every file of a release.
    pub seconds: u64,
}

impl Repository {
    /// # Errors
    /// Where there is no commit, Cargo.toml has no version, or (unless `allow_dirty`) something is not committed.
    pub fn open(root: &Path, allow_dirty: bool) -> Result<Self> {
        let root = fs::canonicalize(root).map_err(Fault::at(root))?;
        let git = |words: &[&str]| {
            run::output(run::git(&root).args(words))
                .map(|text| text.trim_end().to_owned())
                .map_err(|fault| fault.within(format!("{} is no git repository with a commit", root.display())))
        };
        let commit = git(&["rev-parse", "--verify", "HEAD"])?;
        let seconds = git(&["show", "--no-patch", "--no-show-signature", "--format=%ct", "HEAD"])?;
        let seconds = seconds
            .parse()
            .map_err(|_| Fault::new(format!("the commit's time {seconds:?} is no number of seconds")))?;
        let changes = git(&["status", "--porcelain", "--untracked-files=normal"])?;
        if !changes.is_empty() && !allow_dirty {
            let first: Vec<&str> = changes.lines().take(5).collect();
            return Err(Fault::new(format!("{} has changes that are not committed", root.display()))
                .hint(format!("{}\ncommit them or take them back (for a try: --allow-dirty)", first.join("\n"))));
        }
        let version = version(&root)?;
        Ok(Self { root, version, commit, dirty: !changes.is_empty(), seconds })
    }

    /// `clean` or `dirty`.
    pub fn tree(&self) -> &'static str {
        if self.dirty { "dirty" } else { "clean" }
    }

    /// The files of the repository that go into every archive, by their path in it.
    ///
    /// # Errors
    /// Where one is missing or empty, or there is no man page of the program itself.
    pub fn documents(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut documents = BTreeMap::new();
        let mut add = |path: String, from: &Path| {
            let content = fs::read(from).map_err(Fault::at(from))?;
            if content.is_empty() {
                return Err(Fault::new(format!("{}: it is empty", from.display())));
            }
            documents.insert(path, content);
            Ok(())
        };
        for name in ["LICENSE", "README.md"] {
            add(name.to_owned(), &self.root.join(name))?;
        }
        let man = self.root.join("docs/man");
        let generated = "man pages are generated: BLESS=1 cargo test --test docs";
        let entries = fs::read_dir(&man).map_err(|error| Fault::at(&man)(error).hint(generated))?;
        for entry in entries {
            let path = entry.map_err(Fault::at(&man))?.path();
            if path.extension().is_some_and(|extension| extension == "1") {
                add(format!("man/{}", path.file_name().unwrap_or_default().to_string_lossy()), &path)?;
            }
        }
        if !documents.contains_key("man/oc-imagepolicy.1") {
            return Err(Fault::new(format!("{}: oc-imagepolicy.1 is missing", man.display())).hint(generated));
        }
        Ok(documents)
    }
}

/// # Errors
/// Where Cargo.toml cannot be read or has no version.
pub fn version(root: &Path) -> Result<String> {
    let path = root.join("Cargo.toml");
    let manifest: toml::Table = read_toml(&path)?;
    let version =
        manifest.get("package").and_then(|package| package.get("version")).and_then(|version| version.as_str());
    version.map(str::to_owned).ok_or_else(|| Fault::new(format!("{}: there is no package.version", path.display())))
}

/// # Errors
/// Where there is no such file, or it is no TOML.
pub fn read_toml(path: &Path) -> Result<toml::Table> {
    let text = fs::read_to_string(path).map_err(Fault::at(path))?;
    text.parse().map_err(|error: toml::de::Error| Fault::new(format!("{}: {}", path.display(), error.message())))
}
