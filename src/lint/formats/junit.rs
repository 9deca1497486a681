//! `-o junit`: the XML that CI systems draw test results from. A suite for each object with a failed test for each of its findings, and
//! one with a passed test for each rule that found nothing, so that there is always something to show.

use std::collections::HashSet;
use std::io::{self, Write};

use super::super::report::{LintReport, Located};
use super::{by_object, extent, file_name, markup, place, whole_text};

/// Findings that count are failures, suppressed ones are skipped tests.
///
/// # Errors
/// Those of the writer.
pub fn write(report: &LintReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let found: HashSet<u16> = report.findings.iter().map(|located| located.finding.rule.code).collect();
    let quiet = report.rules.list.iter().filter(|rule| !found.contains(&rule.code));
    let mut passed: Vec<String> = quiet.map(|rule| format!("{} {}", rule.id(), rule.name)).collect();
    if passed.is_empty() && report.findings.is_empty() {
        passed.push("no rule could run".into());
    }
    let tests = passed.len() + report.findings.len();
    let failures = report.counted().count();
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        out,
        r#"<testsuites name="oc imagepolicy lint: {}" tests="{tests}" failures="{failures}" errors="0">"#,
        markup(&extent(report))
    )?;
    for group in by_object(report.findings.iter()) {
        write_object(report, &group, out)?;
    }
    if !passed.is_empty() {
        let tests = passed.len();
        writeln!(
            out,
            r#"  <testsuite name="rules that found nothing" tests="{tests}" failures="0" errors="0" skipped="0">"#
        )?;
        for name in passed {
            writeln!(out, r#"    <testcase classname="rules" name="{}"/>"#, markup(&name))?;
        }
        writeln!(out, "  </testsuite>")?;
    }
    writeln!(out, "</testsuites>")
}

fn write_object(report: &LintReport<'_>, group: &[&Located<'_>], out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = group.first() else { return Ok(()) };
    let object = first.finding.object.to_string();
    let skipped = group.iter().filter(|located| located.finding.suppression.is_some()).count();
    write!(
        out,
        r#"  <testsuite name="{}" tests="{}" failures="{}" errors="0" skipped="{skipped}""#,
        markup(&object),
        group.len(),
        group.len() - skipped,
    )?;
    if let Some(location) = &first.location {
        write!(out, r#" file="{}""#, markup(file_name(report, location)))?;
    }
    writeln!(out, ">")?;
    // Jenkins takes what stands before the last dot for a package.
    let class = object.replace('.', "_").replace('/', ".");
    for located in group {
        let finding = located.finding;
        let name = format!("{} {}: {}", finding.rule.id(), finding.rule.name, finding.path);
        let name = name.trim_end_matches([':', ' ']);
        writeln!(out, r#"    <testcase classname="{}" name="{}">"#, markup(&class), markup(name))?;
        match &finding.suppression {
            Some(suppression) => {
                let reason = format!("suppressed: {}", suppression.reason);
                writeln!(out, r#"      <skipped message="{}"/>"#, markup(reason.trim_end_matches([':', ' '])))?;
            }
            None => {
                let place = match &located.location {
                    Some(location) => format!(
                        "{}:{}:{} {}",
                        file_name(report, location),
                        location.line,
                        location.column,
                        place(finding)
                    ),
                    None => place(finding),
                };
                writeln!(
                    out,
                    r#"      <failure type="{}" message="{}">{}&#10;{}</failure>"#,
                    finding.level.word(),
                    markup(&finding.message),
                    markup(&place),
                    markup(&whole_text(finding)),
                )?;
            }
        }
        writeln!(out, "    </testcase>")?;
    }
    writeln!(out, "  </testsuite>")
}
