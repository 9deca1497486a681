//! `-o sarif`: SARIF 2.1.0 (OASIS, with errata 01), which code scanning services read.
//!
//! There are always `results`. Suppressed findings are among them, with `suppressions`; objects of a cluster have logical locations only.

use std::collections::HashMap;
use std::io::{self, Write};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use super::super::report::{LintReport, Located, TextEdit};
use super::super::{Confidence, Finding, Level, Rule, Suppression, SuppressionKind, rules};
use super::{file_name, hashed_fingerprint, notes, rule_url};
use crate::model::parallel;
use crate::model::provenance::{ObjectRef, RefusedBy};
use crate::model::safe_text::json;
use crate::snapshot::{GapReason, Location};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// All findings, one a line.
///
/// # Errors
/// Those of the writer.
pub fn write(report: &LintReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut used: Vec<&'static Rule> = report.rules.list.clone();
    used.extend(report.findings.iter().map(|located| located.finding.rule));
    used.sort_by_key(|rule| rule.code);
    used.dedup();
    let tool = Tool {
        driver: Driver {
            name: env!("CARGO_PKG_NAME"),
            semantic_version: env!("CARGO_PKG_VERSION"),
            information_uri: Some(env!("CARGO_PKG_REPOSITORY")).filter(|uri| !uri.is_empty()),
            rules: used.iter().map(|rule| Descriptor::of(rule)).collect(),
        },
    };
    let indices: HashMap<u16, usize> = used.iter().enumerate().map(|(index, rule)| (rule.code, index)).collect();
    writeln!(out, r#"{{"$schema":"{SCHEMA}","version":"2.1.0","runs":[{{"#)?;
    writeln!(out, r#""tool":{},"#, json(&tool, false)?)?;
    writeln!(out, r#""invocations":[{}],"#, json(&Invocation::of(report), false)?)?;
    write!(out, r#""columnKind":"unicodeCodePoints","results":["#)?;
    let mut before = "\n";
    let result = |located: &Located<'_>| {
        let index = indices.get(&located.finding.rule.code).copied().unwrap_or_default();
        json(&SarifResult::of(report, located, index), false)
    };
    parallel::in_order(&report.findings, result, |text| {
        write!(out, "{}{text}", std::mem::replace(&mut before, ",\n"))
    })?;
    writeln!(out, "]}}]}}")
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    information_uri: Option<&'static str>,
    rules: Vec<Descriptor>,
}

/// `reportingDescriptor`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    id: String,
    name: &'static str,
    short_description: Text<&'static str>,
    full_description: Help,
    help: Help,
    help_uri: String,
    default_configuration: Configuration,
    properties: RuleProperties,
}

#[derive(Serialize)]
struct Text<T> {
    text: T,
}

#[derive(Serialize)]
struct Help {
    text: String,
    markdown: String,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct RuleProperties {
    /// GitHub's word for how sure a rule is.
    precision: &'static str,
    #[serde(rename = "problem.severity")]
    severity: &'static str,
    confidence: Confidence,
    releases: &'static str,
    tags: [&'static str; 2],
}

impl Descriptor {
    fn of(rule: &Rule) -> Self {
        let why = rule.why.trim();
        Self {
            id: rule.id(),
            name: rule.name,
            short_description: Text { text: rule.summary },
            full_description: Help { text: why.into(), markdown: why.into() },
            help: Help { text: rule.fix.trim().into(), markdown: rules::page(rule) },
            help_uri: rule_url(rule),
            default_configuration: Configuration { level: level(rule.level) },
            properties: RuleProperties {
                precision: match rule.confidence {
                    Confidence::Verified => "very-high",
                    Confidence::VersionDependent => "high",
                    Confidence::Heuristic => "medium",
                },
                severity: match rule.level {
                    Level::Error => "error",
                    Level::Warning => "warning",
                    Level::Info | Level::Hint => "recommendation",
                },
                confidence: rule.confidence,
                releases: rule.releases,
                tags: ["security", "image-policy"],
            },
        }
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info | Level::Hint => "note",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    exit_code: u8,
    exit_code_description: &'static str,
    tool_execution_notifications: Vec<Notification>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    level: &'static str,
    message: Text<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    associated_rule: Option<RuleId>,
}

#[derive(Serialize)]
struct RuleId {
    id: String,
}

impl Invocation {
    fn of(report: &LintReport<'_>) -> Self {
        let gaps = report.gaps.iter().map(|gap| Notification {
            level: if gap.reason == GapReason::Forbidden { "warning" } else { "note" },
            message: Text { text: gap.message.clone() },
            associated_rule: None,
        });
        let skipped = report.rules.skipped.iter().map(|skipped| Notification {
            level: "note",
            message: Text { text: format!("skipped, not in the input: {}", skipped.missing.join(", ")) },
            associated_rule: Some(RuleId { id: skipped.code.clone() }),
        });
        Self {
            execution_successful: report.exit_code < 2,
            exit_code: report.exit_code,
            exit_code_description: match report.exit_code {
                0 => "nothing at or above the level that fails",
                1 => "findings",
                _ => "no answer",
            },
            tool_execution_notifications: gaps.chain(skipped).collect(),
        }
    }
}

/// `result`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult<'a> {
    rule_id: String,
    rule_index: usize,
    level: &'static str,
    message: Text<String>,
    locations: [Place<'a>; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Place<'a>>,
    partial_fingerprints: Fingerprints,
    /// On all results of a run, or on none.
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressions: Option<Vec<Justified<'a>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixes: Vec<Change>,
    properties: Properties<'a>,
}

#[derive(Serialize)]
struct Fingerprints {
    #[serde(rename = "imagepolicy/v1")]
    hash: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties<'a> {
    level: Level,
    confidence: Confidence,
    object: &'a ObjectRef,
    path: &'a str,
    effect: &'a str,
    help: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    witness: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_by: Option<RefusedBy>,
}

impl<'a> SarifResult<'a> {
    fn of(report: &LintReport<'_>, located: &'a Located<'_>, rule_index: usize) -> Self {
        let finding = located.finding;
        let related = finding.related.iter().enumerate().map(|(position, related)| Place {
            id: Some(position + 1),
            message: Some(Text { text: without_links(&related.message) }),
            physical_location: None,
            logical_locations: [Logical::of(&related.object, &related.path)],
        });
        let suppressed = finding.suppression.iter().map(Justified::of).collect();
        Self {
            rule_id: finding.rule.id(),
            rule_index,
            level: level(finding.level),
            message: Text { text: message(finding) },
            locations: [Place {
                id: None,
                message: None,
                physical_location: Physical::of(report, located),
                logical_locations: [Logical::of(&finding.object, &finding.path)],
            }],
            related_locations: related.collect(),
            partial_fingerprints: Fingerprints { hash: hashed_fingerprint(finding) },
            suppressions: (report.summary.suppressed > 0).then_some(suppressed),
            fixes: Change::of(report, located).into_iter().collect(),
            properties: Properties {
                level: finding.level,
                confidence: finding.rule.confidence,
                object: &finding.object,
                path: &finding.path,
                effect: &finding.effect,
                help: &finding.help,
                witness: finding.witness.as_deref(),
                refused_by: finding.refused_by,
            },
        }
    }
}

/// What viewers show: the finding and what follows from it.
fn message(finding: &Finding) -> String {
    let mut text = format!("{}: {}", finding.rule.name, finding.message);
    for (word, note) in notes(finding).filter(|(word, _)| matches!(*word, "effect" | "image")) {
        text += &format!("\n{word}: {note}");
    }
    without_links(&text)
}

/// `[text](target)` would be a link in a message.
fn without_links(text: &str) -> String {
    if text.contains("](") { text.replace('[', "\\[").replace(']', "\\]") } else { text.into() }
}

/// `location`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Text<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_location: Option<Physical>,
    logical_locations: [Logical<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    region: Region,
}

#[derive(Serialize)]
struct Artifact {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
    start_column: usize,
    end_line: usize,
    end_column: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    snippet: Option<Text<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Logical<'a> {
    name: &'a str,
    fully_qualified_name: String,
    kind: &'static str,
}

impl Physical {
    fn of(report: &LintReport<'_>, located: &Located<'_>) -> Option<Self> {
        let location = located.location.as_ref()?;
        let mut region = Region::of(location);
        let width = location.end_column.saturating_sub(location.column);
        // A snippet is the region word for word: nothing that was cut, or taken out.
        region.snippet = (located.excerpt().map(|excerpt| excerpt.marked))
            .filter(|text| location.line == location.end_line && width > 0 && text.chars().count() == width)
            .map(|text| Text { text });
        Some(Self { artifact_location: Artifact::of(report, location), region })
    }
}

impl Artifact {
    fn of(report: &LintReport<'_>, location: &Location) -> Self {
        Self { uri: uri(file_name(report, location)) }
    }
}

impl Region {
    fn of(location: &Location) -> Self {
        Self {
            start_line: location.line,
            start_column: location.column,
            end_line: location.end_line,
            end_column: location.end_column,
            snippet: None,
        }
    }
}

impl<'a> Logical<'a> {
    fn of(object: &'a ObjectRef, path: &'a str) -> Self {
        match path {
            "" => Self { name: &object.name, fully_qualified_name: object.to_string(), kind: "resource" },
            _ => Self { name: path, fully_qualified_name: format!("{object}#{}", pointer(path)), kind: "object" },
        }
    }
}

/// `metadata.annotations[example.com/a]` as the JSON pointer `/metadata/annotations/example.com~1a`.
fn pointer(path: &str) -> String {
    let mut pointer = String::with_capacity(path.len() + 1);
    let mut push = |part: &str| {
        pointer.push('/');
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
    };
    for (position, part) in path.split('[').enumerate() {
        let (key, fields) = if position == 0 { (None, part) } else { split_key(part) };
        key.into_iter().for_each(&mut push);
        fields.split('.').filter(|field| !field.is_empty()).for_each(&mut push);
    }
    pointer
}

fn split_key(part: &str) -> (Option<&str>, &str) {
    part.split_once(']').map_or((Some(part), ""), |(key, fields)| (Some(key), fields))
}

/// A file as a URI: relative, or `file:` where it is absolute.
fn uri(file: &str) -> String {
    const KEPT: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'%')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'[')
        .add(b'\\')
        .add(b']')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}')
        .add(b':');
    let scheme = if file.starts_with('/') { "file://" } else { "" };
    format!("{scheme}{}", utf8_percent_encode(file, KEPT))
}

/// `suppression`
#[derive(Serialize)]
struct Justified<'a> {
    kind: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    justification: Option<&'a str>,
}

impl<'a> Justified<'a> {
    fn of(suppression: &'a Suppression) -> Self {
        Self {
            kind: match suppression.kind {
                SuppressionKind::Annotation | SuppressionKind::Comment => "inSource",
                SuppressionKind::CommandLine | SuppressionKind::Configuration | SuppressionKind::Baseline => "external",
            },
            status: "accepted",
            justification: Some(suppression.reason.as_str()).filter(|reason| !reason.is_empty()),
        }
    }
}

/// `fix`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    description: Text<String>,
    artifact_changes: Vec<ArtifactChange>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactChange {
    artifact_location: Artifact,
    replacements: Vec<Replacement>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replacement {
    deleted_region: Region,
    #[serde(skip_serializing_if = "Option::is_none")]
    inserted_content: Option<Text<String>>,
}

impl Change {
    fn of(report: &LintReport<'_>, located: &Located<'_>) -> Option<Self> {
        let fix = located.finding.fix.as_ref().filter(|fix| fix.is_safe)?;
        let mut changes: Vec<ArtifactChange> = Vec::new();
        let mut last: Option<&TextEdit> = None;
        for edit in &located.edits {
            let location = edit.source.location(edit.range.clone());
            let replacement = Replacement {
                deleted_region: Region::of(&location),
                inserted_content: Some(Text { text: edit.text.clone() }).filter(|content| !content.text.is_empty()),
            };
            match changes.last_mut().filter(|_| last.is_some_and(|last| last.source.name == edit.source.name)) {
                Some(change) => change.replacements.push(replacement),
                None => changes.push(ArtifactChange {
                    artifact_location: Artifact::of(report, &location),
                    replacements: vec![replacement],
                }),
            }
            last = Some(edit);
        }
        (!changes.is_empty())
            .then(|| Self { description: Text { text: without_links(&fix.what) }, artifact_changes: changes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_json_pointers() {
        for (path, expected) in [
            ("spec.scopes[2]", "/spec/scopes/2"),
            ("spec.imageDigestMirrors[0].mirrors[1]", "/spec/imageDigestMirrors/0/mirrors/1"),
            ("metadata.annotations[example.com/a~b]", "/metadata/annotations/example.com~1a~0b"),
            ("spec.a[", "/spec/a/"),
        ] {
            assert_eq!(pointer(path), expected);
        }
    }

    #[test]
    fn files_are_uris() {
        for (file, expected) in [
            ("a/b c.yaml", "a/b%20c.yaml"),
            ("/tmp/ä#?.yaml", "file:///tmp/%C3%A4%23%3F.yaml"),
            ("must-gather.tar:x/100%.yaml", "must-gather.tar%3Ax/100%25.yaml"),
        ] {
            assert_eq!(uri(file), expected);
        }
    }

    #[test]
    fn messages_have_no_links() {
        assert_eq!(without_links("spec.scopes[2] is"), "spec.scopes[2] is");
        assert_eq!(without_links("[x](https://evil)"), "\\[x\\](https://evil)");
    }
}
