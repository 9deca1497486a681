//! `-o gitlab`: a code quality report, which GitLab shows in merge requests. The fields are those that GitLab documents for tools of
//! one's own, a part of Code Climate's.

use std::io::{self, Write};

use serde::Serialize;

use super::super::report::{LintReport, Located};
use super::super::{Finding, Level};
use super::{file_name, hashed_fingerprint, notes, place};
use crate::model::provenance::RefusedBy;
use crate::model::safe_text::json;

#[derive(Serialize)]
struct Issue {
    r#type: &'static str,
    check_name: String,
    description: String,
    content: Content,
    categories: [&'static str; 1],
    severity: &'static str,
    fingerprint: String,
    location: Place,
}

#[derive(Serialize)]
struct Content {
    body: String,
}

#[derive(Serialize)]
struct Place {
    path: String,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: usize,
    end: usize,
}

/// An array of the findings that count. An object of a cluster stands in the place of a file.
///
/// # Errors
/// Those of the writer.
pub fn write(report: &LintReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut before = "[";
    for located in report.counted() {
        write!(out, "{before}\n{}", json(&issue(report, located), false)?)?;
        before = ",";
    }
    writeln!(out, "{}", if before == "[" { "[]" } else { "\n]" })
}

fn issue(report: &LintReport<'_>, located: &Located<'_>) -> Issue {
    let finding = located.finding;
    let body: Vec<String> = notes(finding).map(|(word, note)| format!("{word}: {note}")).collect();
    let place = place(finding);
    let (path, begin, end) = match &located.location {
        Some(location) => (file_name(report, location).to_owned(), location.line, location.end_line),
        None => (finding.object.to_string(), 1, 1),
    };
    Issue {
        r#type: "issue",
        check_name: finding.rule.id(),
        description: format!("{} {}: {} ({place})", finding.rule.id(), finding.rule.name, finding.message),
        content: Content { body: body.join("\n") },
        categories: ["Security"],
        severity: severity(finding),
        fingerprint: hashed_fingerprint(finding),
        location: Place { path, lines: Lines { begin, end } },
    }
}

/// An error that stops the whole cluster or node is a blocker, others are critical.
fn severity(finding: &Finding) -> &'static str {
    match (finding.level, finding.refused_by) {
        (Level::Error, Some(RefusedBy::Controller | RefusedBy::Node)) => "blocker",
        (Level::Error, _) => "critical",
        (Level::Warning, _) => "major",
        (Level::Info, _) => "minor",
        (Level::Hint, _) => "info",
    }
}
