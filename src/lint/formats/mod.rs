//! Formats that only lint has, one file each: what CI systems read. All render the one list of a [`super::report::LintReport`], write one
//! finding after the other, and escape what comes from an object in their own way.

pub mod concise;
pub mod github;
pub mod gitlab;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod sarif;

use std::borrow::Cow;
use std::fmt::Write;

use super::report::{LintReport, Located};
use super::{Finding, Rule};
use crate::model::safe_text::{clean, is_unsafe};
use crate::snapshot::Location;

/// Where the pages of rules are, for readers of reports. The URL begins with the repository of Cargo.toml; while none is named there, an
/// identifier that leads nowhere, since SARIF wants one that is absolute.
pub fn rule_url(rule: &Rule) -> String {
    match env!("CARGO_PKG_REPOSITORY") {
        "" => format!("urn:oc-imagepolicy:docs/rules/{}.md", rule.id()),
        repository => format!("{repository}/blob/main/docs/rules/{}.md", rule.id()),
    }
}

/// `ClusterImagePolicy/team spec.scopes[2]`
fn place(finding: &Finding) -> String {
    match finding.path.as_str() {
        "" => finding.object.to_string(),
        path => format!("{} {path}", finding.object),
    }
}

/// What there is to say besides the message, with a word before it.
fn notes(finding: &Finding) -> impl Iterator<Item = (&'static str, String)> {
    let related = finding.related.iter().map(|related| {
        let place = format!("{} {}", related.object, related.path);
        ("see", format!("{}: {}", place.trim_end(), related.message))
    });
    let text = |word, text: &str| Some((word, text.to_owned())).filter(|(_, text)| !text.is_empty());
    let witness = text("image", finding.witness.as_deref().unwrap_or_default());
    text("effect", &finding.effect).into_iter().chain(related).chain(witness).chain(text("help", &finding.help))
}

/// All of it in plain lines, the message first.
fn whole_text(finding: &Finding) -> String {
    let mut text = format!("{}\n", finding.message);
    for (word, note) in notes(finding) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{word}: {note}");
    }
    text.truncate(text.trim_end().len());
    text
}

/// A text of several lines, each of them harmless.
fn clean_lines(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for (position, line) in text.lines().enumerate() {
        if position > 0 {
            cleaned.push('\n');
        }
        cleaned.push_str(&clean(line));
    }
    cleaned
}

/// Text of HTML and XML, in elements and in attributes. Line ends stay, other characters that XML 1.0 has no place for do not.
fn markup(text: &str) -> Cow<'_, str> {
    let is_special = |c: char| matches!(c, '&' | '<' | '>' | '"' | '\'' | '\u{fffe}' | '\u{ffff}') || is_unsafe(c);
    if !text.contains(is_special) {
        return Cow::Borrowed(text);
    }
    let text = if text.contains('\n') { clean_lines(text) } else { clean(text).into_owned() };
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' => escaped.push_str("&#10;"),
            '\u{fffe}' | '\u{ffff}' => escaped.extend(c.escape_unicode()),
            _ => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// The file as a repository names it: relative to the working directory where it is below that.
fn file_name<'r>(report: &LintReport<'_>, location: &'r Location) -> &'r str {
    let below = report.directory.as_deref().and_then(|directory| location.file.strip_prefix(directory));
    let relative = below.and_then(|below| below.strip_prefix('/')).unwrap_or(&location.file);
    relative.strip_prefix("./").unwrap_or(relative)
}

/// The fingerprint in a form that every reader of fingerprints takes: SHA-256 in hexadecimal.
fn hashed_fingerprint(finding: &Finding) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digest = ring::digest::digest(&ring::digest::SHA256, finding.fingerprint.as_bytes());
    let digits = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(HEX[usize::from(digit)])).collect()
}

/// What was looked at: `41 rules, 12 objects, OpenShift 4.20`.
fn extent(report: &LintReport<'_>) -> String {
    use super::report::count;
    let rules = count(report.rules.ran, "rule");
    format!("{rules}, {}, OpenShift {}", count(report.objects, "object"), report.release)
}

/// Findings by object, objects in the order of their worst finding.
fn by_object<'r, 'a>(findings: impl Iterator<Item = &'r Located<'a>>) -> Vec<Vec<&'r Located<'a>>>
where
    'a: 'r,
{
    let mut groups: Vec<Vec<&Located<'a>>> = Vec::new();
    let mut places = std::collections::HashMap::<_, usize, foldhash::fast::RandomState>::default();
    for located in findings {
        let place = *places.entry(&located.finding.object).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(located),
            None => groups.push(vec![located]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_has_neither_tags_nor_characters_that_xml_lacks() {
        for (text, expected) in [
            ("plain, né ✓", "plain, né ✓"),
            ("<a href='x'>&\"", "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"),
            ("a\nb", "a&#10;b"),
            ("\u{0}\u{b}\u{fffe}\u{ffff}\u{202e}", "\\u{0}\\u{b}\\u{fffe}\\u{ffff}\\u{202e}"),
        ] {
            assert_eq!(markup(text), expected);
        }
    }

    #[test]
    fn files_are_named_as_a_repository_does() {
        let file = |file: &str, directory: Option<&str>| {
            let location = Location { file: file.into(), line: 1, column: 1, end_line: 1, end_column: 1 };
            let outcome = crate::lint::Outcome::default();
            let mut report = LintReport::new(&outcome, 0, String::new(), |_| None);
            report.directory = directory.map(str::to_owned);
            file_name(&report, &location).to_owned()
        };
        assert_eq!(file("/work/repo/a/b.yaml", Some("/work/repo")), "a/b.yaml");
        assert_eq!(file("/work/repository/b.yaml", Some("/work/repo")), "/work/repository/b.yaml");
        assert_eq!(file("./a.yaml", None), "a.yaml");
        assert_eq!(file("../a.yaml", Some("/work")), "../a.yaml");
    }
}
