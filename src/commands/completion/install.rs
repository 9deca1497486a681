//! The links by which oc and kubectl find what completes this plugin. krew can install one executable for a plugin and no second name of
//! it (krew#812), so the plugin makes them itself.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::commands::{Answer, plugin_file, say};
use crate::error::{Error, Result};

/// The flags of `completion install`.
#[derive(Debug, clap::Args)]
pub struct InstallArgs {
    /// Make the links in this directory, which must be on PATH [default: beside the program]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// The flags of `completion uninstall`.
#[derive(Debug, clap::Args)]
pub struct UninstallArgs {
    /// Remove them from this directory [default: from every directory on PATH, and from beside the program]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Programs that look for a completer of their own name.
const COMPLETERS: [&str; 2] = ["oc_complete", "kubectl_complete"];

pub fn install(args: &InstallArgs) -> Answer {
    let program = Program::of_process()?;
    let directory = match &args.dir {
        Some(directory) => absolute(directory)?,
        None => program.directory()?.to_path_buf(),
    };
    if !directory.is_dir() {
        return Err(Error::File {
            action: "make links in",
            path: directory.display().to_string(),
            source: io::Error::from(io::ErrorKind::NotADirectory),
            hint: "name a directory that is on PATH: --dir DIR".into(),
        });
    }
    let target = program.target_from(&directory);
    let links: Vec<(PathBuf, There)> = COMPLETERS
        .iter()
        .map(|completer| {
            let link = directory.join(executable(completer));
            let there = program.look_at(&link, &target)?;
            Ok((link, there))
        })
        .collect::<Result<_>>()?;
    // Both or none.
    if let Some((link, _)) = links.iter().find(|(_, there)| *there == There::Foreign) {
        return Err(foreign(link));
    }
    let mut said = Vec::new();
    for (link, there) in &links {
        let (done, would) = match there {
            There::AsItShouldBe => ("already there", "already there"),
            There::Ours => ("replaced", "would replace"),
            There::Nothing | There::Foreign => ("created", "would create"),
        };
        if !args.dry_run && *there != There::AsItShouldBe {
            make(link, &target)?;
        }
        said.push(format!("{}: {} -> {}", if args.dry_run { would } else { done }, link.display(), target.display()));
    }
    tell(&said)?;
    if !is_on_path(&directory) {
        say("warning", &format!("{} is not on PATH: oc and kubectl do not look there", directory.display()));
        say("hint", "add it to PATH, or name a directory that is: --dir DIR");
    }
    say("note", "oc and kubectl ask these when their own completion is loaded, as in: source <(oc completion bash)");
    say("hint", "for other shells see `oc completion --help` and `kubectl completion --help`");
    Ok(true)
}

pub fn uninstall(args: &UninstallArgs) -> Answer {
    let program = Program::of_process()?;
    let directories = match &args.dir {
        Some(directory) => vec![absolute(directory)?],
        None => {
            let mut directories: Vec<PathBuf> = on_path();
            directories.extend(program.directory().ok().map(Path::to_path_buf));
            let mut seen = std::collections::HashSet::new();
            directories.retain(|directory| seen.insert(directory.clone()));
            directories
        }
    };
    let mut said = Vec::new();
    let mut refused = None;
    for directory in &directories {
        for completer in COMPLETERS {
            let link = directory.join(executable(completer));
            let there = match program.look_at(&link, Path::new("")) {
                // A directory on PATH that may not be looked into.
                Err(_) if args.dir.is_none() => There::Nothing,
                there => there?,
            };
            match there {
                There::Nothing => {}
                There::Foreign if args.dir.is_some() => refused = Some(foreign(&link)),
                There::Foreign => say("note", &format!("{} is none of ours and stays", link.display())),
                There::Ours | There::AsItShouldBe if args.dry_run => {
                    said.push(format!("would remove: {}", link.display()))
                }
                There::Ours | There::AsItShouldBe => match fs::remove_file(&link) {
                    Ok(()) => said.push(format!("removed: {}", link.display())),
                    // What can be removed elsewhere, is.
                    Err(error) => refused = Some(failure("remove", &link, error)),
                },
            }
        }
    }
    tell(&said)?;
    match refused {
        Some(error) => Err(error),
        None => {
            if said.is_empty() {
                say("note", "there are no links to remove");
            }
            Ok(true)
        }
    }
}

/// What is found under the name of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    Nothing,
    AsItShouldBe,
    /// It leads to this plugin, in another way, or did once.
    Ours,
    Foreign,
}

/// This program, as it is found and as it is.
struct Program {
    /// Under krew `~/.krew/bin/kubectl-imagepolicy`, which stays when the plugin is upgraded.
    name: PathBuf,
    /// The file itself: `~/.krew/store/imagepolicy/v0.1.0/oc-imagepolicy`.
    file: PathBuf,
}

impl Program {
    fn of_process() -> Result<Self> {
        let file = std::env::current_exe().and_then(fs::canonicalize).map_err(|source| Error::File {
            action: "find",
            path: "this program".into(),
            source,
            hint: "say where it is: run it with its whole path".into(),
        })?;
        Ok(Self { name: found_as(std::env::args_os().next(), &file), file })
    }

    fn directory(&self) -> Result<&Path> {
        self.name.parent().ok_or_else(|| Error::usage("this program is in no directory", "name one: --dir DIR"))
    }

    /// What a link leads to: the bare name where it is in the same directory, so that both can be moved together.
    fn target_from(&self, directory: &Path) -> PathBuf {
        let same =
            |other: &Path| other == directory || fs::canonicalize(other).ok() == fs::canonicalize(directory).ok();
        match (self.name.parent(), self.name.file_name()) {
            (Some(own), Some(name)) if same(own) => PathBuf::from(name),
            _ => self.name.clone(),
        }
    }

    fn look_at(&self, link: &Path, target: &Path) -> Result<There> {
        let metadata = match fs::symlink_metadata(link) {
            Ok(metadata) => metadata,
            Err(error) if is_absent(&error) => return Ok(There::Nothing),
            Err(error) => return Err(failure("look at", link, error)),
        };
        if !metadata.is_symlink() {
            // Where there are no links for everybody, it is a copy (or a hard link, which nothing tells from one).
            return Ok(match cfg!(windows) && metadata.is_file() {
                true if same_content(link, &self.file) => There::AsItShouldBe,
                true if is_this_program(link) => There::Ours,
                _ => There::Foreign,
            });
        }
        let leads_to = fs::read_link(link).map_err(|error| failure("look at", link, error))?;
        if leads_to == target {
            return Ok(There::AsItShouldBe);
        }
        let own = format!("{}{}", env!("CARGO_PKG_NAME"), std::env::consts::EXE_SUFFIX);
        let names = [executable("kubectl"), executable("oc"), own];
        let is_plugin = |name: &OsStr| names.iter().any(|own| name == &**own);
        let is_ours = match fs::canonicalize(link) {
            // Somebody else's plugin may have the same name.
            Ok(file) => file == self.file || is_this_program(&file),
            Err(error) if is_absent(&error) => leads_to.file_name().is_some_and(is_plugin),
            Err(_) => false,
        };
        Ok(if is_ours { There::Ours } else { There::Foreign })
    }
}

/// The path by which a program is started: oc and kubectl hand on the one that they found, a shell the word that was typed.
fn found_as(typed: Option<OsString>, file: &Path) -> PathBuf {
    let is_it = |path: &PathBuf| fs::canonicalize(path).is_ok_and(|found| found == *file);
    let typed = typed.map(PathBuf::from).unwrap_or_default();
    let found = match typed.components().count() {
        0 => None,
        1 if typed.is_relative() => on_path().into_iter().map(|directory| directory.join(&typed)).find(is_it),
        _ => std::path::absolute(&typed).ok().filter(is_it),
    };
    // A name that only completes is none to lead to.
    let completes = |path: &PathBuf| path.file_name().is_some_and(super::is_completer);
    found.filter(|path| !completes(path)).unwrap_or_else(|| file.to_path_buf())
}

fn on_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).filter(|directory| directory.is_absolute()).collect()
}

fn is_on_path(directory: &Path) -> bool {
    let real = fs::canonicalize(directory).ok();
    on_path().iter().any(|other| other == directory || (real.is_some() && fs::canonicalize(other).ok() == real))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|_| Error::usage("--dir names no directory", "as in: --dir ~/.local/bin"))
}

/// What the plugin is called for that program, on this system.
fn executable(program: &str) -> String {
    format!("{}{}", plugin_file(program), std::env::consts::EXE_SUFFIX)
}

/// Makes a link under another name first: what was there is either still there or replaced.
fn make(link: &Path, target: &Path) -> Result<()> {
    let mut name = link.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}", std::process::id()));
    let new = link.with_file_name(name);
    let made = link_to(&new, target).and_then(|()| fs::rename(&new, link));
    made.map_err(|error| {
        let _ = fs::remove_file(&new);
        failure("create", link, error)
    })
}

#[cfg(unix)]
fn link_to(link: &Path, target: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// Links are for administrators there; a second name for the same file is not, and neither is a copy.
#[cfg(not(unix))]
fn link_to(link: &Path, target: &Path) -> io::Result<()> {
    let file = link.parent().unwrap_or(Path::new("")).join(target);
    #[cfg(windows)]
    if std::os::windows::fs::symlink_file(target, link).is_ok() {
        return Ok(());
    }
    fs::hard_link(&file, link).or_else(|_| fs::copy(&file, link).map(drop))
}

fn same_content(one: &Path, other: &Path) -> bool {
    let length = |path: &Path| fs::metadata(path).map(|metadata| metadata.len()).ok();
    length(one) == length(other) && matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether an executable is this plugin in any version: it has its own long description in it.
fn is_this_program(path: &Path) -> bool {
    let about = b"Explain, check and generate the image policy of an OpenShift cluster";
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    is_file && fs::read(path).is_ok_and(|bytes| memchr::memmem::find(&bytes, about).is_some())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn foreign(link: &Path) -> Error {
    Error::usage(
        format!("{} is there already, and is no link to this plugin", link.display()),
        "look what it is; remove it, or name another directory: --dir DIR",
    )
}

fn failure(action: &'static str, path: &Path, source: io::Error) -> Error {
    let hint = match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "name a directory that is yours and on PATH, as in: --dir ~/.local/bin"
        }
        _ => "",
    };
    Error::File { action, path: path.display().to_string(), source, hint: hint.into() }
}

fn tell(lines: &[String]) -> Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{}", crate::output::clean(line))?;
    }
    Ok(())
}
