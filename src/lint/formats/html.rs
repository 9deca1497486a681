//! `-o html`: one page that needs nobody else. Its own style and script are the only ones that the browser may use, as the page's
//! Content-Security-Policy says; without script all findings are there, only the filter is not.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::Finding;
use super::super::report::{LintReport, Located, Summary};
use super::{by_object, extent, file_name, markup, notes};

const STYLE: &str = include_str!("html.css");
const SCRIPT: &str = include_str!("html.js");

/// All findings by object; suppressed ones are marked, and shown when asked for.
///
/// # Errors
/// Those of the writer.
pub fn write(report: &LintReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let summary = report.summary;
    writeln!(
        out,
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Image policy: {summary}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>Image policy: {summary}</h1>
<p class="extent">{}</p>"#,
        source(STYLE),
        source(SCRIPT),
        markup(&extent(report)),
    )?;
    writeln!(out, "</header>")?;
    write_bar(&summary, out)?;
    writeln!(out, "<main>")?;
    if report.findings.is_empty() {
        writeln!(out, r#"<p class="fine">Nothing was found.</p>"#)?;
    }
    for group in by_object(report.findings.iter()) {
        write_object(report, &group, out)?;
    }
    writeln!(out, "</main>\n<footer>")?;
    write_not_seen(report, out)?;
    writeln!(out, "<p>Written by oc imagepolicy {}.</p>\n</footer>", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "<script>{SCRIPT}</script>\n</body>\n</html>")
}

/// How a Content-Security-Policy names what stands in the page.
fn source(content: &str) -> String {
    format!("sha256-{}", STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, content.as_bytes())))
}

fn write_bar(summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        r#"<div class="bar">
<input type="search" id="filter" placeholder="Filter by rule, object, image or word" aria-label="Filter">
<fieldset class="levels" aria-label="Levels">"#
    )?;
    let levels = [
        ("error", summary.error, "checked"),
        ("warning", summary.warning, "checked"),
        ("info", summary.info, "checked"),
        ("hint", summary.hint, "checked"),
        ("suppressed", summary.suppressed, ""),
    ];
    for (level, count, checked) in levels {
        let plural = if count == 1 || matches!(level, "info" | "suppressed") { "" } else { "s" };
        if count > 0 {
            writeln!(
                out,
                r#"<label class="{level}"><input type="checkbox" value="{level}" {checked}><b>{count}</b> {level}{plural}</label>"#
            )?;
        }
    }
    writeln!(out, "</fieldset>\n<output id=\"shown\" aria-live=\"polite\"></output>\n</div>")
}

fn write_object(report: &LintReport<'_>, group: &[&Located<'_>], out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = group.first() else { return Ok(()) };
    let object = &first.finding.object;
    let namespace = object.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let [kind, namespace, name] = [&*object.kind, &namespace, &*object.name].map(markup);
    writeln!(out, "<section>\n<h2><span>{kind}/{namespace}</span>{name}</h2>")?;
    for located in group {
        write_finding(report, located, out)?;
    }
    writeln!(out, "</section>")
}

fn write_finding(report: &LintReport<'_>, located: &Located<'_>, out: &mut dyn Write) -> io::Result<()> {
    let finding = located.finding;
    let level = finding.level.word();
    let shown_with = if finding.suppression.is_some() { "suppressed" } else { level };
    writeln!(
        out,
        r#"<article class="finding {shown_with}" data-level="{shown_with}" data-code="{}">
<h3><span class="badge">{level}</span><code>{0}</code> {}</h3>
<p class="message">{}</p>"#,
        finding.rule.id(),
        markup(finding.rule.name),
        markup(&finding.message),
    )?;
    write_place(report, located, out)?;
    writeln!(out, "<dl>")?;
    if let Some(suppression) = &finding.suppression {
        let until = suppression.until.iter().map(|until| format!(" (until {until})")).collect::<String>();
        let reason = format!("{}{until}", suppression.reason);
        writeln!(out, "<dt>Suppressed</dt><dd>{}</dd>", markup(reason.trim()))?;
    }
    for (word, note) in notes(finding) {
        write_note(word, &note, out)?;
    }
    writeln!(out, "</dl>\n</article>")
}

fn write_place(report: &LintReport<'_>, located: &Located<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Finding { path, .. } = located.finding;
    write!(out, r#"<p class="place">"#)?;
    if let Some(location) = &located.location {
        let place = format!("{}:{}:{}", file_name(report, location), location.line, location.column);
        write!(out, "<code>{}</code> ", markup(&place))?;
    }
    if !path.is_empty() {
        write!(out, "<code>{}</code>", markup(path))?;
    }
    writeln!(out, "</p>")?;
    if let Some(excerpt) = located.excerpt() {
        let [before, marked, after] = [&excerpt.before, &excerpt.marked, &excerpt.after].map(|text| markup(text));
        writeln!(
            out,
            r#"<pre class="source"><span class="line">{}</span>{before}<mark>{marked}</mark>{after}</pre>"#,
            excerpt.line
        )?;
    }
    Ok(())
}

fn write_note(word: &str, note: &str, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "<dt>{}</dt><dd>", capital(word))?;
    if word == "image" {
        return writeln!(out, "<code>{}</code></dd>", markup(note));
    }
    for line in note.lines() {
        match line.starts_with("oc ") {
            true => write!(out, r#"<pre class="command"><code>{}</code></pre>"#, markup(line))?,
            false => write!(out, "<p>{}</p>", markup(line))?,
        }
    }
    writeln!(out, "</dd>")
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// What could not be read, and the rules that could not run.
fn write_not_seen(report: &LintReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    if report.gaps.is_empty() && report.rules.skipped.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h2>Not looked at</h2>\n<ul>")?;
    for gap in report.gaps {
        writeln!(out, "<li>{}</li>", markup(&gap.message))?;
    }
    for skipped in &report.rules.skipped {
        let missing = skipped.missing.join(", ");
        writeln!(out, "<li><code>{}</code> was skipped: not in the input: {}</li>", skipped.code, markup(&missing))?;
    }
    writeln!(out, "</ul>")
}
