//! `-o concise`: a line for each finding, as compilers print them and editors read them.

use std::io::{self, Write};

use super::super::report::LintReport;
use super::place;
use crate::model::safe_text::clean;

/// `FILE:LINE:COLUMN: IMP204 error: MESSAGE`, or the object and the field for objects of a cluster. Suppressed ones are left out.
///
/// # Errors
/// Those of the writer.
pub fn write(report: &LintReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    for located in report.counted() {
        let finding = located.finding;
        let place = match &located.location {
            Some(location) => format!("{}:{}:{}", location.file, location.line, location.column),
            None => place(finding),
        };
        let [place, message] = [&place, &finding.message].map(|text| clean(text));
        writeln!(out, "{place}: {} {}: {message}", finding.rule.id(), finding.level.word())?;
    }
    Ok(())
}
