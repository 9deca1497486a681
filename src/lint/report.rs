//! What a run of lint came to, as every format renders it: one list, each finding with its place. Formats that only lint has are in
//! [`super::formats`].

use serde::Serialize;

use super::{Finding, Level, Outcome};
use crate::snapshot::{Excerpt, Location, Origin};

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
        locate: impl Fn(&Finding) -> Option<Location>,
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
        let located = outcome.findings.iter().map(|finding| Located { finding, location: locate(finding) });
        let skipped = outcome.skipped.iter().map(|(rule, missing)| Skipped {
            code: rule.id(),
            missing: missing.iter().map(|kind| kind.name()).collect(),
        });
        Self {
            findings: located.collect(),
            summary,
            rules: RulesRun { ran: outcome.ran, skipped: skipped.collect() },
            objects,
            release,
        }
    }
}

impl Located<'_> {
    /// The line that it is about, of a file.
    pub fn excerpt(&self) -> Option<Excerpt> {
        let Origin::File { source, .. } = &self.finding.origin else { return None };
        source.excerpt(self.location.as_ref()?)
    }
}
