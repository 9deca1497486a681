//! What a run of lint came to, as every format renders it: one list, each finding with its place. Formats that only lint has are in
//! [`super::formats`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use super::{Finding, Level, Outcome, Rule};
use crate::model::parallel;
use crate::snapshot::{Excerpt, Gap, Location, Origin, SourceFile};

/// `LintReport` of interface.md 3, without the header that every document has.
#[derive(Debug, Serialize)]
pub struct LintReport<'a> {
    /// Worst first; suppressed ones among them, marked.
    pub findings: Vec<Located<'a>>,
    /// How many of each level, without those that are suppressed.
    pub summary: Summary,
    /// Which rules could say something.
    pub rules: RulesRun,
    /// How many objects were looked at.
    #[serde(skip)]
    pub objects: usize,
    /// Such as `4.20`.
    #[serde(skip)]
    pub release: String,
    /// What could not be read.
    #[serde(skip)]
    pub gaps: &'a [Gap],
    /// What the program is going to exit with.
    #[serde(skip)]
    pub exit_code: u8,
    /// The working directory: paths below it are relative in formats that repositories are looked up with.
    #[serde(skip)]
    pub directory: Option<String>,
    /// Lines of a shell that mend what can be mended; only where `-o patch` asks for them.
    #[serde(skip)]
    pub commands: Vec<String>,
}

/// A finding and where it stands.
#[derive(Debug, Serialize)]
pub struct Located<'a> {
    /// The finding.
    #[serde(flatten)]
    pub finding: &'a Finding,
    /// Nothing for objects of a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// What would mend it in the files that were read; empty where no safe change is known.
    #[serde(skip)]
    pub edits: Vec<TextEdit>,
}

/// A change of a file.
#[derive(Clone, Debug)]
pub struct TextEdit {
    /// The file.
    pub source: Arc<SourceFile>,
    /// The bytes to take out; empty where something is put in between.
    pub range: Range<usize>,
    /// What comes in their place.
    pub text: String,
}

/// How many findings there are; suppressed ones count only as such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Of level Error.
    pub error: usize,
    /// Of level Warning.
    pub warning: usize,
    /// Of level Info.
    pub info: usize,
    /// Of level Hint.
    pub hint: usize,
    /// Of any level.
    pub suppressed: usize,
}

/// Which rules could say something.
#[derive(Debug, Serialize)]
pub struct RulesRun {
    /// How many ran.
    pub ran: usize,
    /// Those that lacked something.
    pub skipped: Vec<Skipped>,
    /// Those that ran.
    #[serde(skip)]
    pub list: Vec<&'static Rule>,
}

/// A rule that could not run.
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// `IMP204`
    pub code: String,
    /// Kinds that were not in the input.
    pub missing: Vec<&'static str>,
}

impl<'a> LintReport<'a> {
    /// Of what a run found; `locate` looks up where a field stands in a file.
    pub fn new(
        outcome: &'a Outcome,
        objects: usize,
        release: String,
        locate: impl Fn(&Finding) -> Option<Location> + Sync,
    ) -> Self {
        let mut summary = Summary::default();
        for finding in &outcome.findings {
            let count = match finding.level {
                _ if finding.suppression.is_some() => &mut summary.suppressed,
                Level::Error => &mut summary.error,
                Level::Warning => &mut summary.warning,
                Level::Info => &mut summary.info,
                Level::Hint => &mut summary.hint,
            };
            *count += 1;
        }
        let locations =
            parallel::map(&outcome.findings, |finding| finding.location.clone().or_else(|| locate(finding)));
        let located = outcome.findings.iter().zip(locations);
        let located = located.map(|(finding, location)| Located { finding, location, edits: Vec::new() });
        let skipped = outcome.skipped.iter().map(|(rule, missing)| Skipped {
            code: rule.id(),
            missing: missing.iter().map(|kind| kind.name()).collect(),
        });
        Self {
            findings: located.collect(),
            summary,
            rules: RulesRun { ran: outcome.ran, skipped: skipped.collect(), list: outcome.rules.clone() },
            objects,
            release,
            gaps: &[],
            exit_code: 0,
            directory: None,
            commands: Vec::new(),
        }
    }

    /// Those that count.
    pub fn counted(&self) -> impl Iterator<Item = &Located<'a>> {
        self.findings.iter().filter(|located| located.finding.suppression.is_none())
    }
}

/// `3 errors, 2 warnings, 1 suppressed`; what there is none of, errors and warnings apart, is left out.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", count(self.error, "error"), count(self.warning, "warning"))?;
        if self.info > 0 {
            write!(f, ", {} info", self.info)?;
        }
        if self.hint > 0 {
            write!(f, ", {}", count(self.hint, "hint"))?;
        }
        if self.suppressed > 0 {
            write!(f, ", {} suppressed", self.suppressed)?;
        }
        Ok(())
    }
}

/// `1 rule`, `2 rules`
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

impl Located<'_> {
    /// The line that it is about, of a file.
    pub fn excerpt(&self) -> Option<Excerpt> {
        let Origin::File { source, .. } = &self.finding.origin else { return None };
        source.excerpt(self.location.as_ref()?)
    }
}
