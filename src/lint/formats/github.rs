//! `-o github`: workflow commands, which GitHub turns into annotations of a pull request.
//!
//! `::error file=…,line=…,title=…::message`. In the message `%`, CR and LF are escaped, in properties `:` and `,` as well (the
//! `toolkit` of GitHub's actions does the same).

use std::io::{self, Write};

use super::super::Level;
use super::super::report::LintReport;
use super::{clean_lines, file_name, place, whole_text};
use crate::model::safe_text::clean;

/// One command for each finding that counts.
///
/// # Errors
/// Those of the writer.
pub fn write(report: &LintReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    for located in report.counted() {
        let finding = located.finding;
        let command = match finding.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info | Level::Hint => "notice",
        };
        write!(out, "::{command} ")?;
        if let Some(location) = &located.location {
            let file = property(file_name(report, location));
            write!(out, "file={file},line={},endLine={},", location.line, location.end_line)?;
            // GitHub takes columns only within one line.
            if location.line == location.end_line {
                write!(out, "col={},endColumn={},", location.column, location.end_column)?;
            }
        }
        let title = format!("{} {}", finding.rule.id(), finding.rule.name);
        let message = format!("{}: {}", place(finding), whole_text(finding));
        writeln!(out, "title={}::{}", property(&title), data(&message))?;
    }
    Ok(())
}

fn data(text: &str) -> String {
    clean_lines(text).replace('%', "%25").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    clean(text).replace('%', "%25").replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_no_command_and_begin_none() {
        assert_eq!(data("100%\r\n::error::x\n\u{1b}[1m"), "100%25%0A::error::x%0A\\u{1b}[1m");
        assert_eq!(property("a,b:c\n::x%"), "a%2Cb%3Ac\\u{a}%3A%3Ax%25");
    }
}
