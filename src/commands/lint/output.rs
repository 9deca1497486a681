//! `-o` of lint: one format on the console, others into files beside it.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::text::Document;
use crate::commands::Answer;
use crate::error::{Error, Result};
use crate::files::{self, Replacement, file_failure, identity};
use crate::lint::formats;
use crate::output::{Color, Format, Report, Terminal};
use crate::snapshot::{Origin, Snapshot};

/// What a report of lint is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LintFormat {
    /// For a person.
    #[value(alias = "table")]
    Text,
    /// For a person with room.
    Wide,
    /// One line a finding, for editors.
    Concise,
    /// One JSON document.
    Json,
    /// One JSON document a line, a line a finding.
    Jsonl,
    /// One YAML document.
    Yaml,
    /// Just the names, for scripts.
    Name,
    /// For code scanning.
    Sarif,
    /// For reports of tests.
    Junit,
    /// Annotations of a GitHub workflow.
    Github,
    /// Code quality of GitLab.
    Gitlab,
    /// For comments and summaries.
    Markdown,
    /// One page for a browser.
    Html,
    /// `oc patch` commands that mend what can be mended.
    Patch,
}

/// The flags.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct LintOutputArgs {
    /// Output format: text (the default), wide, concise, json, jsonl, yaml, name, sarif, junit, github, gitlab, markdown, html, patch.
    /// With =FILE it is written there, beside what the console shows; may be repeated
    #[arg(short = 'o', long, value_name = "FORMAT[=FILE]")]
    output: Vec<String>,
    /// When to use colours
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    color: Color,
}

/// What is to be written where.
pub struct Outputs {
    console: LintFormat,
    files: Vec<(LintFormat, PathBuf)>,
    color: Color,
}

impl LintOutputArgs {
    /// What the flags ask for; `inputs` are the files that are going to be read.
    ///
    /// # Errors
    /// [`Error::Usage`] where they contradict each other.
    pub fn plan<'p>(&self, inputs: impl Iterator<Item = &'p PathBuf>) -> Result<Outputs> {
        let inputs: Vec<PathBuf> = inputs.map(|path| identity(path)).collect();
        let mut console = None;
        let mut files: Vec<(LintFormat, PathBuf)> = Vec::new();
        for text in &self.output {
            let (name, file) = match text.split_once('=') {
                Some((name, file)) => (name, Some(file).filter(|file| *file != "-")),
                None => (text.as_str(), None),
            };
            let format = LintFormat::from_str(name, false).map_err(|_| no_such_format(name))?;
            let Some(file) = file else {
                if console.replace(format).is_some() {
                    return Err(Error::usage(
                        "two formats for the console",
                        format!("write all but one of them to files, as in: -o {name}=report.{}", format.extension()),
                    ));
                }
                continue;
            };
            if file.is_empty() {
                return Err(Error::usage(
                    format!("-o {text} names no file"),
                    format!("name it: -o {name}=report.{}", format.extension()),
                ));
            }
            let path = PathBuf::from(file);
            let same = |(_, other): &(LintFormat, PathBuf)| identity(other) == identity(&path);
            if files.iter().any(same) {
                return Err(Error::usage(
                    format!("two formats for the file {file}"),
                    format!("give each a file of its own, as in: -o {name}=report.{}", format.extension()),
                ));
            }
            if inputs.contains(&identity(&path)) {
                return Err(takes_place(format, &path));
            }
            files.push((format, path));
        }
        Ok(Outputs { console: console.unwrap_or(LintFormat::Text), files, color: self.color })
    }
}

impl Outputs {
    /// For `--rules` and `--explain`, which have only what every command has.
    ///
    /// # Errors
    /// [`Error::Usage`] where another was asked for.
    pub fn common(&self) -> Result<(Format, Terminal)> {
        const HINT: &str = "ask for one of these: -o table, json, yaml, jsonl, name";
        if let Some((_, path)) = self.files.first() {
            let message = format!("--rules and --explain write to the console only, not to {}", path.display());
            return Err(Error::usage(message, "lead it into the file: > FILE"));
        }
        let format = match self.console {
            LintFormat::Text => Format::Table,
            LintFormat::Wide => Format::Wide,
            LintFormat::Json => Format::Json,
            LintFormat::Jsonl => Format::Jsonl,
            LintFormat::Yaml => Format::Yaml,
            LintFormat::Name => Format::Name,
            other => {
                let name = other.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
                return Err(Error::usage(format!("--rules and --explain cannot be written as {name}"), HINT));
            }
        };
        Ok((format, self.terminal()))
    }

    /// Whether the console has a place for what could not be read.
    pub fn tells_gaps(&self) -> bool {
        use LintFormat::{Html, Json, Sarif, Text, Wide, Yaml};
        matches!(self.console, Text | Wide | Json | Yaml | Sarif | Html)
    }

    /// Finds out what will go wrong with the files before anything is written.
    ///
    /// # Errors
    /// [`Error::Usage`] where one was read, as it is or within a directory, [`Error::File`] where one cannot be written.
    pub fn check(&self, snapshot: &Snapshot, config: Option<&Path>) -> Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let origins = snapshot.as_written().map(|(_, _, origin)| origin);
        let origins = origins.chain(snapshot.same_name_elsewhere.iter().map(|object| &object.origin));
        let origins = origins.chain(snapshot.pods.iter().map(|pod| &pod.origin));
        let names: HashSet<&str> = origins
            .filter_map(|origin| match origin {
                Origin::File { source, .. } => Some(source.name.as_str()),
                Origin::Live => None,
            })
            .collect();
        let read: HashSet<PathBuf> = names.into_iter().map(Path::new).chain(config).map(identity).collect();
        let taken = self.files.iter().find(|(_, path)| read.contains(&identity(path)));
        if let Some((format, path)) = taken {
            return Err(takes_place(*format, path));
        }
        self.files.iter().try_for_each(|(_, path)| files::can_be_written(path))
    }

    /// Prints the report and writes the files: all of them, or, where anything goes wrong or there is no answer, none.
    ///
    /// # Errors
    /// Those of `answer`, [`Error::File`] for a file and [`Error::Output`] for the console.
    pub fn write(&self, document: &Document<'_>, beside: impl FnOnce(), answer: Answer) -> Answer {
        let mut begun = Vec::new();
        for (format, path) in &self.files {
            let file = Replacement::begin(path)?;
            let mut terminal = Terminal::to(Box::new(file.writer()?), 80).widened(*format == LintFormat::Wide);
            render(*format, document, &mut terminal).map_err(|error| file_failure("write", path, error))?;
            begun.push(file);
        }
        let printed = render(self.console, document, &mut self.terminal());
        beside();
        // Nobody reads on: the files are wanted all the same.
        let gone = printed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        if (printed.is_ok() || gone) && answer.is_ok() {
            begun.into_iter().try_for_each(Replacement::commit)?;
        }
        if !gone {
            printed?;
        }
        answer
    }

    /// Whether a format was asked for, for the console or a file.
    pub fn has(&self, format: LintFormat) -> bool {
        self.console == format || self.files.iter().any(|(other, _)| *other == format)
    }

    /// The console.
    pub fn terminal(&self) -> Terminal {
        Terminal::stdout(self.color, self.console == LintFormat::Wide)
    }
}

impl LintFormat {
    fn extension(self) -> &'static str {
        match self {
            Self::Text | Self::Wide | Self::Concise | Self::Name | Self::Github => "txt",
            Self::Json | Self::Gitlab => "json",
            Self::Jsonl => "jsonl",
            Self::Yaml => "yaml",
            Self::Sarif => "sarif",
            Self::Junit => "xml",
            Self::Markdown => "md",
            Self::Html => "html",
            Self::Patch => "sh",
        }
    }
}

fn render(format: LintFormat, document: &Document<'_>, t: &mut Terminal) -> io::Result<()> {
    let report = document.report;
    match format {
        LintFormat::Text | LintFormat::Wide => document.human(t)?,
        LintFormat::Json => document.json(t)?,
        LintFormat::Jsonl => document.lines(t)?,
        LintFormat::Yaml => document.yaml(t)?,
        LintFormat::Name => document.names(t)?,
        LintFormat::Concise => formats::concise::write(report, t.writer())?,
        LintFormat::Sarif => formats::sarif::write(report, t.writer())?,
        LintFormat::Junit => formats::junit::write(report, t.writer())?,
        LintFormat::Github => formats::github::write(report, t.writer())?,
        LintFormat::Gitlab => formats::gitlab::write(report, t.writer())?,
        LintFormat::Markdown => formats::markdown::write(report, t.writer())?,
        LintFormat::Html => formats::html::write(report, t.writer())?,
        LintFormat::Patch => report.commands.iter().try_for_each(|line| t.line(line))?,
    }
    t.flush()
}

fn takes_place(format: LintFormat, path: &Path) -> Error {
    let name = format.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    Error::usage(
        format!("{} is to be read, and a report would take its place", path.display()),
        format!("name another file: -o {name}=report.{}", format.extension()),
    )
}

fn no_such_format(name: &str) -> Error {
    let names = LintFormat::value_variants().iter().filter_map(LintFormat::to_possible_value);
    let names: Vec<String> = names.map(|value| value.get_name().to_owned()).collect();
    Error::usage(format!("there is no format `{name}`"), format!("take one of: {}", names.join(", ")))
}
