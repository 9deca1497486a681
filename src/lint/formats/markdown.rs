//! `-o markdown`: a table for a comment or a job's summary, and below it, folded, what to do.

use std::io::{self, Write};

use super::super::Level;
use super::super::report::{LintReport, Located};
use super::{clean_lines, extent, file_name, notes, place, rule_url};
use crate::model::safe_text::clean;

/// A row for each finding that counts.
///
/// # Errors
/// Those of the writer.
pub fn write(report: &LintReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "## Image policy: {}\n\n{}", report.summary, escaped(&extent(report)))?;
    if report.counted().next().is_none() {
        return writeln!(out, "\nNothing was found.");
    }
    writeln!(out, "\n| Level | Rule | Where | Finding |\n|---|---|---|---|")?;
    for located in report.counted() {
        let finding = located.finding;
        writeln!(
            out,
            "| {} | {} {} | {} | {} |",
            badge(finding.level),
            rule(located),
            finding.rule.name,
            whereabouts(report, located),
            escaped(&finding.message)
        )?;
    }
    writeln!(out, "\n<details><summary>What follows, and what to do</summary>\n")?;
    for (position, located) in report.counted().enumerate() {
        let finding = located.finding;
        writeln!(out, "{}. {} {}\n", position + 1, rule(located), escaped(&finding.message))?;
        let text: Vec<String> = notes(finding).map(|(word, note)| format!("{word}: {note}")).collect();
        // In a fenced block nothing is markup but its own fence.
        let text = clean_lines(&format!("{}\n{}", place(finding), text.join("\n")));
        let fence = "`".repeat(longest_run(&text, '`').max(2) + 1);
        let indent = " ".repeat((position + 1).to_string().len() + 2);
        writeln!(out, "{indent}{fence}text")?;
        for line in text.lines() {
            writeln!(out, "{indent}{line}")?;
        }
        writeln!(out, "{indent}{fence}\n")?;
    }
    writeln!(out, "</details>")
}

fn badge(level: Level) -> &'static str {
    match level {
        Level::Error => "🟥 error",
        Level::Warning => "🟧 warning",
        Level::Info => "🟦 info",
        Level::Hint => "⬜ hint",
    }
}

fn rule(located: &Located<'_>) -> String {
    let rule = located.finding.rule;
    match rule_url(rule) {
        url if url.starts_with("https:") => format!("[{}]({url})", rule.id()),
        _ => rule.id(),
    }
}

fn whereabouts(report: &LintReport<'_>, located: &Located<'_>) -> String {
    let object = code(&place(located.finding));
    match &located.location {
        Some(location) => {
            let file = format!("{}:{}:{}", file_name(report, location), location.line, location.column);
            format!("{}<br>{object}", code(&file))
        }
        None => object,
    }
}

/// Code in a table. In a code span a bar ends the cell, and a backslash before it does not always help.
fn code(text: &str) -> String {
    let text = clean(text);
    match text.contains(['`', '|', '\\']) {
        true => format!("<code>{}</code>", escaped(&text)),
        false => format!("`{text}`"),
    }
}

/// Prose in which nothing is markup, a link or a mention of somebody.
fn escaped(text: &str) -> String {
    let text = clean(text);
    let mut escaped = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // GitHub looks for people, issues and links in the text that comes out; a comment within keeps them apart.
            '@' | '#' => escaped.extend([c, '<', '!', '-', '-', '-', '-', '>']),
            ':' if rest.peek() == Some(&'/') => escaped.push_str(":<!---->"),
            '.' if ends_with_www(&escaped) => escaped.push_str("<!---->."),
            '\\' => escaped.push_str("&#92;"),
            '|' => escaped.push_str("&#124;"),
            '`' | '*' | '_' | '{' | '}' | '[' | ']' | '~' | '!' | '$' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    escaped
}

fn ends_with_www(text: &str) -> bool {
    text.len().checked_sub(3).and_then(|start| text.get(start..)).is_some_and(|tail| tail.eq_ignore_ascii_case("www"))
}

fn longest_run(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_no_markup() {
        for (text, expected) in [
            ("registry.example.com/team is not `ok`", r"registry.example.com/team is not \`ok\`"),
            ("a|b\n| c", r"a&#124;b&#92;u\{a\}&#124; c"),
            ("<script> &amp;", "&lt;script&gt; &amp;amp;"),
            ("[x](https://evil)", r"\[x\](https:<!---->//evil)"),
            ("WWW.evil @all #1", "WWW<!---->.evil @<!---->all #<!---->1"),
        ] {
            assert_eq!(escaped(text), expected);
        }
        for (text, expected) in [("a", "`a`"), ("a\\|b", "<code>a&#92;&#124;b</code>"), ("`a", r"<code>\`a</code>")] {
            assert_eq!(code(text), expected);
        }
    }
}
