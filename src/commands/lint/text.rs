//! A report of `lint` for a person, as rustc prints, and as the documents that every command has.

use std::io;

use serde::Serialize;

use crate::commands::load::Header;
use crate::lint::Level;
use crate::lint::report::{LintReport, Located, RulesRun, Summary, count};
use crate::model::parallel;
use crate::output::words::fold;
use crate::output::{API_VERSION, Report, Style, Terminal, clean, json, json_list, yaml_list};

/// `LintReport` of interface.md 3.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    header: Header,
    /// What was found.
    #[serde(flatten)]
    pub report: &'a LintReport<'a>,
}

/// The same without its findings, which are written one by one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Frame<'a> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    header: &'a Header,
    findings: [&'static str; 0],
    summary: &'a Summary,
    rules: &'a RulesRun,
}

impl<'a> Document<'a> {
    /// With the header that every document has.
    pub fn new(header: Header, report: &'a LintReport<'a>) -> Self {
        Self { api_version: API_VERSION, kind: "LintReport", header, report }
    }

    fn frame(&self) -> Frame<'_> {
        let LintReport { summary, rules, .. } = self.report;
        Frame { api_version: self.api_version, kind: self.kind, header: &self.header, findings: [], summary, rules }
    }
}

impl Report for Document<'_> {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        let look = t.look();
        let print = |located: &Located<'_>| match located.finding.suppression {
            Some(_) => Ok(String::new()),
            None => look.picture(|t| print_finding(located, t)),
        };
        parallel::in_order(&self.report.findings, print, |text| t.picture(&text))?;
        let mut told = vec![count(self.report.rules.ran, "rule"), count(self.report.objects, "object")];
        if !self.report.rules.skipped.is_empty() {
            told.push(format!("{} skipped", count(self.report.rules.skipped.len(), "rule")));
        }
        told.push(self.header.release_in_words());
        if !self.header.gaps.is_empty() {
            told.push(format!("unreadable: {}", self.header.gaps_in_words()));
        }
        let style = match &self.report.summary {
            Summary { error: 0, warning: 0, .. } => Style::Good,
            Summary { error: 0, .. } => Style::Caution,
            _ => Style::Bad,
        };
        t.put(style, &self.report.summary.to_string())?;
        t.line(&format!(" ({})", told.join(", ")))
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        for Located { finding, .. } in self.report.counted() {
            t.line(&format!("{} {} {}", finding.rule.id(), finding.object, finding.path))?;
        }
        Ok(())
    }

    fn json(&self, t: &mut Terminal) -> io::Result<()> {
        json_list(&self.frame(), "findings", &self.report.findings, t)
    }

    fn yaml(&self, t: &mut Terminal) -> io::Result<()> {
        yaml_list(&self.frame(), "findings", &self.report.findings, t)
    }

    fn lines(&self, t: &mut Terminal) -> io::Result<()> {
        let write = |text: String| t.picture(&text).and_then(|()| t.end_line());
        parallel::in_order(&self.report.findings, |located| json(located, false), write)
    }
}

pub(super) fn level_style(level: Level) -> Style {
    match level {
        Level::Error => Style::Bad,
        Level::Warning => Style::Caution,
        Level::Info | Level::Hint => Style::Accent,
    }
}

/// As rustc prints: what, where, the line itself, what follows, what to do.
fn print_finding(located: &Located<'_>, t: &mut Terminal) -> io::Result<()> {
    let Located { finding, location, .. } = located;
    let style = level_style(finding.level);
    t.put(style, &format!("{}[{}]", finding.level.word(), finding.rule.id()))?;
    t.put(Style::Bold, &format!(" {}: {}", finding.rule.name, finding.message))?;
    t.end_line()?;
    let place = format!("{} {}", finding.object, finding.path);
    let excerpt = located.excerpt();
    let margin = excerpt.as_ref().map_or(1, |excerpt| excerpt.line.to_string().len());
    let bar = format!("{:margin$} |", "");
    t.put(Style::Accent, &format!("{:margin$}--> ", ""))?;
    match location {
        Some(location) => {
            t.line(&format!("{}:{}:{}   {}", location.file, location.line, location.column, place.trim_end()))?
        }
        None => t.line(place.trim_end())?,
    }
    if let Some(excerpt) = excerpt {
        let [before, marked, after] = [&excerpt.before, &excerpt.marked, &excerpt.after].map(|text| clean(text));
        let mut room = t.width().saturating_sub(margin + 4).max(30);
        let [before, marked, after] = [before, marked, after].map(|text| cut(&text, &mut room));
        t.put(Style::Accent, &bar)?;
        t.end_line()?;
        t.put(Style::Accent, &format!("{} |", excerpt.line))?;
        t.line(&format!(" {before}{marked}{after}"))?;
        t.put(Style::Accent, &bar)?;
        let [indent, length] = [before, marked].map(|text| text.chars().count());
        t.put(style, &format!(" {}{}", " ".repeat(indent), "^".repeat(length.max(1))))?;
        t.end_line()?;
        t.put(Style::Accent, &bar)?;
        t.end_line()?;
    }
    let mut note = |label: &str, text: &str| -> io::Result<()> {
        let indent = margin + 3 + 9;
        let room = t.width().saturating_sub(indent).max(30);
        let mut first = true;
        for line in text.lines() {
            // Commands are for copying: they are never broken.
            let pieces = if line.starts_with("oc ") { vec![line.to_string()] } else { fold(line, room) };
            for piece in pieces {
                if first {
                    t.put(Style::Accent, &format!("{:margin$} = ", ""))?;
                    t.put(Style::Bold, &format!("{label:<9}"))?;
                } else {
                    t.put(Style::Plain, &" ".repeat(indent))?;
                }
                first = false;
                t.line(&piece)?;
            }
        }
        Ok(())
    };
    note("effect:", &finding.effect)?;
    for related in &finding.related {
        note("see:", &format!("{} {}: {}", related.object, related.path, related.message))?;
    }
    if let Some(witness) = &finding.witness {
        note("image:", witness)?;
    }
    note("help:", &finding.help)?;
    t.end_line()
}

/// As much of a source line as there is room for, with `…` in place of the rest.
fn cut(text: &str, room: &mut usize) -> String {
    let length = text.chars().count();
    if length <= *room {
        *room -= length;
        return text.to_string();
    }
    let mut shown: String = text.chars().take(room.saturating_sub(1)).collect();
    if *room > 0 {
        shown.push('…');
    }
    *room = 0;
    shown
}
