//! `lint --fix`: what findings can be mended without asking, made in the files that were read; on a cluster nothing is changed, and
//! `-o patch` prints the commands.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{Answer, Args, Looked};
use crate::commands::load::Loaded;
use crate::commands::say;
use crate::diff::unified_diff;
use crate::error::{Error, Result};
use crate::files;
use crate::files::edit::{self, Edited, FileEdits};
use crate::lint::fix::{self, Fate, Fix};
use crate::lint::report::{LintReport, TextEdit};
use crate::lint::{Context, Finding, Outcome};
use crate::model::private_keys::{NOT_SHOWN, private_keys, redact};
use crate::output::Terminal;
use crate::snapshot::{Origin, Source, SourceFile};

/// A fix can uncover another finding that can be mended; who needs more rounds than this goes in circles.
const MAX_ROUNDS: usize = 10;
/// Fixes that could not be made are told so many times.
const MAX_TOLD: usize = 20;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fixes")]
pub(super) struct FixArgs {
    /// Mend in the files what can be mended without changing what they are meant to say; comments, order and quotes stay
    #[arg(long)]
    pub fix: bool,
    /// Also what somebody should look at first, since it lets something in or takes something away
    #[arg(long)]
    pub unsafe_fixes: bool,
    /// Show what --fix would change, and change nothing
    #[arg(long, conflicts_with = "output")]
    pub diff: bool,
}

impl FixArgs {
    /// Whether files are to be changed, or a change of them is to be shown.
    pub fn wants_files(&self, prints_patches: bool) -> bool {
        self.fix || self.diff || (self.unsafe_fixes && !prints_patches)
    }

    fn includes(&self, finding: &Finding) -> bool {
        finding.suppression.is_none() && finding.fix.as_ref().is_some_and(|fix| fix.is_safe || self.unsafe_fixes)
    }
}

/// What is to be written, and what was found in it.
pub(super) struct Mended {
    /// Read with the changes, and what is left.
    pub looked: Looked,
    files: BTreeMap<String, (Arc<SourceFile>, String)>,
    fixed: usize,
    left: Vec<String>,
}

/// Mends what is found, in memory, until nothing more can be.
///
/// # Errors
/// [`Error::Input`] where an object stands in two files, so that changing one of them would make them differ.
pub(super) fn mend(args: &mut Args, mut looked: Looked, look: impl Fn(&Args) -> Result<Looked>) -> Result<Mended> {
    let mut files: BTreeMap<String, (Arc<SourceFile>, String)> = BTreeMap::new();
    let mut fixed = 0;
    let mut left = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let Looked { loaded, outcome, .. } = &looked;
        let context = Context::new(&loaded.snapshot, &loaded.compiled);
        let findings: Vec<&Finding> = outcome.findings.iter().filter(|finding| args.fix.includes(finding)).collect();
        let fixes = findings.iter().filter_map(|finding| finding.fix.as_ref());
        let Edited { files: changed, fates } = edit::edit(fixes, |object| context.as_written(object));
        left = (findings.iter().zip(&fates))
            .filter_map(|(finding, fate)| match fate {
                Fate::Impossible(why) => Some(format!("{} of {}: {why}", finding.rule.id(), finding.object)),
                _ => None,
            })
            .collect();
        if changed.is_empty() {
            break;
        }
        fixed += fates.iter().filter(|fate| **fate == Fate::Made).count();
        for change in changed {
            let text = change.text();
            args.input.drafts.insert(files::identity(Path::new(&change.source.name)), text.clone());
            files.entry(change.source.name.clone()).or_insert_with(|| (change.source, String::new())).1 = text;
        }
        looked = look(args).map_err(|error| match error {
            Error::Input { place, message, .. } => Error::Input {
                place,
                message: format!("with the fixes made: {message}"),
                hint: "no file is changed; leave one of the two out, or mend both by hand".into(),
            },
            error => error,
        })?;
    }
    Ok(Mended { looked, files, fixed, left })
}

/// Only files of manifests are changed.
///
/// # Errors
/// [`Error::Usage`] for input that is no file of one's own.
pub(super) fn check_source(args: &Args, loaded: &Loaded) -> Result<()> {
    if args.input.example {
        return Err(Error::usage(
            "--fix changes files, and the example is built into the program",
            "copy it, and name that: -f docs/example-cluster",
        ));
    }
    let patches = "print the commands that mend it instead: oc imagepolicy lint -o patch";
    let from_stdin =
        |origin: &Origin| matches!(origin, Origin::File { source, .. } if !Path::new(&source.name).is_file());
    match &loaded.snapshot.source {
        Source::Live(_) => Err(Error::usage("--fix changes files, and lint never changes a cluster", patches)),
        Source::MustGather => Err(Error::usage("--fix changes files of your own, and this is a must-gather", patches)),
        Source::Manifests => match loaded.snapshot.as_written().find(|(_, _, origin)| from_stdin(origin)) {
            Some(_) => Err(Error::usage(
                "--fix changes files, and standard input is none",
                "save it in a file first, and name that: -f FILE",
            )),
            None => Ok(()),
        },
    }
}

impl Mended {
    /// Writes the files, all of them or none.
    ///
    /// # Errors
    /// Those of the first file that cannot be written.
    pub fn write(&self) -> Result<()> {
        let files = self.files.iter();
        files::replace_texts(files.map(|(name, (source, text))| (Path::new(name), &*source.text, &**text)))?;
        self.tell("fixed");
        Ok(())
    }

    /// Shows the changes instead of writing them; the answer is whether there is none.
    pub fn show(&self, t: &mut Terminal) -> Answer {
        for (name, (source, text)) in &self.files {
            // Keys go while they are whole: of the lines around a change nobody could say what they are.
            let diff = unified_diff(&without_keys(&source.text), &without_keys(text), (name, name));
            redact(&diff).lines().try_for_each(|line| t.line(line))?;
        }
        t.flush()?;
        self.tell("would fix");
        Ok(self.files.is_empty())
    }

    fn tell(&self, what: &str) {
        let names: Vec<&str> = self.files.keys().map(String::as_str).collect();
        let plural = |number: usize| if number == 1 { "" } else { "s" };
        match names.as_slice() {
            [] => say(what, "nothing"),
            names => say(what, &format!("{} finding{} in {}", self.fixed, plural(self.fixed), names.join(", "))),
        }
        self.left.iter().take(MAX_TOLD).for_each(|left| say("not fixed", left));
        if let Some(more @ 1..) = self.left.len().checked_sub(MAX_TOLD) {
            say("not fixed", &format!("and {more} more"));
        }
    }
}

/// The text without private keys, with as many lines as before.
fn without_keys(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for range in private_keys(text.as_bytes()) {
        let key = text.get(range.clone()).unwrap_or_default();
        shown.push_str(text.get(at..range.start).unwrap_or_default());
        shown.push_str(NOT_SHOWN);
        shown.push_str(&format!("\n{NOT_SHOWN}").repeat(key.matches('\n').count()));
        at = range.end;
    }
    shown.push_str(text.get(at..).unwrap_or_default());
    shown
}

/// What would mend each finding alone, for formats that say so; for as many as can be proved within a moment.
pub(super) fn add_edits(report: &mut LintReport<'_>, context: &Context<'_>) {
    let mut bytes = 8 << 20;
    for located in &mut report.findings {
        let Some(fix) = located.finding.fix.as_ref().filter(|fix| fix.is_safe) else { continue };
        let files = edit::edit_one(fix, |object| {
            let origin = context.as_written(object)?.0;
            let Origin::File { source, .. } = origin else { return None };
            bytes = usize::checked_sub(bytes, source.text.len())?;
            Some(origin)
        });
        let edits = |file: FileEdits| {
            let source = file.source;
            file.edits.into_iter().map(move |edit| TextEdit {
                source: source.clone(),
                range: edit.range,
                text: edit.text,
            })
        };
        located.edits = files.unwrap_or_default().into_iter().flat_map(edits).collect();
    }
}

/// `-o patch`: lines of a shell that mend what was found; everything but the commands is a comment.
pub(super) fn commands(args: &Args, context: &Context<'_>, outcome: &Outcome) -> Vec<String> {
    let (taken, others): (Vec<&Finding>, Vec<&Finding>) = (outcome.findings.iter())
        .filter(|finding| finding.suppression.is_none())
        .partition(|finding| args.fix.includes(finding));
    let fixes: Vec<&Fix> = taken.iter().filter_map(|finding| finding.fix.as_ref()).collect();
    let fates = fix::choose(&fixes, |object| context.raw(object));
    let mut lines = Vec::new();
    for ((finding, fix), fate) in taken.iter().zip(&fixes).zip(&fates) {
        let what = match fate {
            Fate::Made => fix.what.clone(),
            Fate::Later => "run lint again after these commands".to_string(),
            Fate::Impossible(why) => format!("by hand: {why}"),
        };
        lines.push(format!("# {} {}: {}; {what}", finding.rule.id(), finding.object, finding.message));
    }
    let risky = others.iter().filter(|finding| finding.fix.is_some()).count();
    if risky > 0 {
        lines.push(format!("# {risky} more with --unsafe-fixes, which let something in or take something away"));
    }
    if others.len() > risky {
        lines.push(format!("# {} need a decision: see `oc imagepolicy lint`", others.len() - risky));
    }
    let made = fixes.iter().zip(&fates).filter(|(_, fate)| **fate == Fate::Made).map(|(fix, _)| *fix);
    lines.extend(fix::commands(made));
    lines
}
