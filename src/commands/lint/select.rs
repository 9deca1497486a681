//! Which rules run, what counts, and the configuration file that says so for a project.

use std::path::{Path, PathBuf};

use super::suppress::{Baselines, SuppressArgs};
use crate::error::{Error, Result};
use crate::files::{self, spans};
use crate::lint::config::{Config, FILE, FailOn, Problem};
use crate::lint::glob::Base;
use crate::lint::select::{Layer, Selection, UnknownRule};
use crate::lint::suppress::Directive;
use crate::lint::{Level, Outcome};
use crate::snapshot::Origin;

/// The flags.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Selection")]
pub struct SelectArgs {
    /// Only these rules, separated by commas: codes (IMP204), beginnings of codes (IMP3), or names
    #[arg(long, value_name = "RULES", value_delimiter = ',')]
    select: Vec<String>,
    /// These rules as well, whatever the configuration file says
    #[arg(long, value_name = "RULES", value_delimiter = ',')]
    extend_select: Vec<String>,
    /// Not these rules
    #[arg(long, value_name = "RULES", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Leave less severe findings out: they are not shown and do not count
    #[arg(long, value_enum, value_name = "LEVEL")]
    min_severity: Option<LevelArg>,
    /// The level from which findings make the exit code 1 [default: error]
    #[arg(long, value_enum, value_name = "LEVEL", conflicts_with = "strict")]
    fail_on: Option<FailOnArg>,
    /// The same as --fail-on warning
    #[arg(long)]
    strict: bool,
    /// Exit with 0 whatever is found; 2 still means that there is no answer
    #[arg(long)]
    exit_zero: bool,
    /// Exit with 1 where nothing in the input has to do with image policy
    #[arg(long)]
    pub fail_if_no_objects_found: bool,
    /// Read this configuration file [default: .imagepolicy.yaml in the working directory or above it, up to the root of the Git repository]
    #[arg(long, value_name = "FILE", conflicts_with = "no_config")]
    config: Option<PathBuf>,
    /// Read no configuration file
    #[arg(long)]
    no_config: bool,
}

/// A level, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LevelArg {
    Error,
    Warning,
    Info,
    Hint,
}

impl From<LevelArg> for Level {
    fn from(level: LevelArg) -> Self {
        match level {
            LevelArg::Error => Self::Error,
            LevelArg::Warning => Self::Warning,
            LevelArg::Info => Self::Info,
            LevelArg::Hint => Self::Hint,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FailOnArg {
    Error,
    Warning,
    Info,
    Hint,
    Never,
}

impl From<FailOnArg> for FailOn {
    fn from(level: FailOnArg) -> Self {
        match level {
            FailOnArg::Error => Self::From(Level::Error),
            FailOnArg::Warning => Self::From(Level::Warning),
            FailOnArg::Info => Self::From(Level::Info),
            FailOnArg::Hint => Self::From(Level::Hint),
            FailOnArg::Never => Self::Never,
        }
    }
}

/// What the flags and the configuration file come to.
pub struct Settings {
    /// Which rules run, and what is shown of what they find.
    pub selection: Selection,
    fail_on: FailOn,
    /// `--suppress` and `suppress`.
    pub directives: Vec<Directive>,
    /// Of the file: for input that does not tell.
    pub release: Option<String>,
    /// `--baseline`, else that of the file.
    pub baselines: Baselines,
    exit_zero: bool,
    /// The configuration file.
    pub file: Option<PathBuf>,
}

impl Settings {
    /// Reads the configuration file, if there is one.
    ///
    /// # Errors
    /// A mistake in a flag or in the file.
    pub fn read(select: &SelectArgs, suppress: &SuppressArgs) -> Result<Self> {
        let unknown =
            |unknown: UnknownRule| Error::usage(unknown.to_string(), "list them with: oc imagepolicy lint --rules");
        let command_line = Layer::new(&select.select, &select.extend_select, &select.ignore).map_err(unknown)?;
        let mut directives = suppress.directives()?;
        let file = select.file()?;
        let (config, directory) = match &file {
            Some(path) => (read_config(path)?, path.parent().unwrap_or(Path::new("")).to_path_buf()),
            None => (Config::default(), PathBuf::new()),
        };
        directives.extend(config.directives);
        let fail_on = match select.fail_on {
            Some(level) => Some(level.into()),
            None if select.strict => Some(FailOn::From(Level::Warning)),
            None => config.fail_on,
        };
        let selection = Selection {
            file: config.layer,
            overrides: config.overrides,
            command_line,
            file_min_severity: config.min_severity,
            min_severity: select.min_severity.map(Level::from),
        };
        if selection.rules().is_empty() {
            return Err(Error::usage(
                "no rule is left to run",
                "ignore fewer of them, or add some: --extend-select IMP2",
            ));
        }
        Ok(Self {
            selection,
            fail_on: fail_on.unwrap_or(FailOn::From(Level::Error)),
            directives,
            release: config.release,
            baselines: Baselines::read(suppress, config.baseline.map(|path| directory.join(path)))?,
            exit_zero: select.exit_zero,
            file,
        })
    }

    /// Whether what was found makes the exit code 1.
    pub fn fails(&self, outcome: &Outcome) -> bool {
        let mut counted = outcome.findings.iter().filter(|finding| finding.suppression.is_none());
        !self.exit_zero && counted.any(|finding| self.fail_on.reached_by(finding.level))
    }
}

impl SelectArgs {
    /// The configuration file: the one that is named, or the nearest, as seen from the working directory.
    fn file(&self) -> Result<Option<PathBuf>> {
        if self.no_config || self.config.is_some() {
            return Ok(self.config.clone());
        }
        // Nothing can be above a directory that is gone.
        let Ok(here) = std::env::current_dir() else { return Ok(None) };
        let mut found = PathBuf::new();
        for directory in here.ancestors() {
            // A link that leads nowhere is there, too: reading it tells.
            if directory.join(FILE).symlink_metadata().is_ok() {
                let file = found.join(FILE);
                if !found.as_os_str().is_empty() {
                    crate::commands::say("note", &format!("with the settings of {}", file.display()));
                }
                return Ok(Some(file));
            }
            if directory.join(".git").symlink_metadata().is_ok() {
                break;
            }
            found.push("..");
        }
        Ok(None)
    }
}

fn read_config(path: &Path) -> Result<Config> {
    let (value, origin) = files::read_document(path)?;
    if value.is_null() {
        return Ok(Config::default());
    }
    let working_directory = std::env::current_dir().unwrap_or_default();
    let absolute = working_directory.join(path);
    let directory = absolute.parent().unwrap_or(Path::new("/")).display().to_string();
    let base = Base { working_directory: working_directory.display().to_string(), directory };
    let name = path.display().to_string();
    let config = Config::parse(&value, &name, &origin, &base);
    config.map_err(|problem| {
        refused(&name, &origin, problem, "docs/lint.md has every key; to do without the file: --no-config")
    })
}

/// A mistake in a document of this program itself, with its place.
pub fn refused(name: &str, origin: &Origin, problem: Problem, hint: &str) -> Error {
    let found = match problem.path.as_str() {
        "" => None,
        path if problem.is_key => spans::locate_key(origin, path),
        path => spans::locate(origin, path),
    };
    let place = match found {
        Some(location) => format!("{name}:{}:{}", location.line, location.column),
        None => name.to_string(),
    };
    let message = match problem.path.as_str() {
        "" => problem.message,
        _ if problem.is_key => problem.message,
        path => format!("{path}: {}", problem.message),
    };
    Error::Input { place, message, hint: hint.to_string() }
}
