//! `oc imagepolicy lint`

use std::io;

use serde::Serialize;

use super::input::{ConnectionFlags, InputArgs};
use super::load::{Header, Loaded, Needs};
use super::{Answer, OutputArgs};
use crate::error::Error;
use crate::files::spans::{self, Location};
use crate::lint::rules::RULES;
use crate::lint::{Context, Finding, Level, Outcome, Rule};
use crate::model::provenance::ObjectRef;
use crate::output::{API_VERSION, Format, Report, Style, Table, Terminal, clean};
use crate::snapshot::{Gap, GapReason, Kind};

/// Find what is wrong or dangerous in the image policy of a cluster
///
/// Every rule has a code such as IMP204. A rule that lacks objects which it needs is skipped and named.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Check the cluster of your kubeconfig
  oc imagepolicy lint

  # Check manifests in Git, for the release that they are meant for
  oc imagepolicy lint -f policies/ -R --release 4.20

  # Check what a change would make of the cluster
  oc imagepolicy lint --overlay change.yaml

  # What does a rule mean?
  oc imagepolicy lint --explain IMP204

Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 no answer, in every format.")]
pub struct Args {
    /// List the rules
    #[arg(long, conflicts_with = "explain")]
    rules: bool,
    /// Teach one rule: why it matters, examples, how to mend it
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    /// The level from which findings make the exit code 1
    #[arg(long, value_enum, default_value = "error", value_name = "LEVEL")]
    fail_on: FailOn,
    /// Only what concerns this namespace: its own objects and those of the cluster
    #[arg(short = 'n', long, value_name = "NAMESPACE", conflicts_with = "all_namespaces", help_heading = "Scope")]
    namespace: Option<String>,
    /// Objects of all namespaces (the default)
    #[arg(short = 'A', long, help_heading = "Scope")]
    all_namespaces: bool,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Info,
    Hint,
    Never,
}

impl FailOn {
    fn reached_by(self, level: Level) -> bool {
        match self {
            Self::Error => level >= Level::Error,
            Self::Warning => level >= Level::Warning,
            Self::Info => level >= Level::Info,
            Self::Hint => true,
            Self::Never => false,
        }
    }
}

pub fn run(args: Args) -> Answer {
    if args.rules {
        let list = RuleList {
            api_version: API_VERSION,
            kind: "RuleList",
            rules: RULES.iter().map(|rule| rule.into()).collect(),
        };
        crate::output::print(&list, args.output.format, &mut args.output.terminal())?;
        return Ok(true);
    }
    if let Some(code) = &args.explain {
        let page = RulePage { api_version: API_VERSION, kind: "Rule", rule: find_rule(code)? };
        crate::output::print(&page, args.output.format, &mut args.output.terminal())?;
        return Ok(true);
    }
    let loaded = Loaded::load(&args.input, &args.connection, Needs::Everything, args.namespace.as_deref())?;
    loaded.refuse_bare_node_files("lint")?;
    let context = Context::new(&loaded.snapshot, &loaded.compiled);
    let mut outcome = crate::lint::run(&context, RULES);
    if let Some(namespace) = &args.namespace {
        let concerns = |object: &ObjectRef| object.namespace.as_deref().is_none_or(|own| own == namespace);
        outcome.findings.retain(|finding| concerns(&finding.object));
    }
    let report = LintReport::new(loaded.header("desired", None), &loaded, &outcome);
    let fails = outcome.findings.iter().any(|finding| args.fail_on.reached_by(finding.level));
    crate::output::print(&report, args.output.format, &mut args.output.terminal())?;
    if matches!(args.output.format, Format::Name | Format::Jsonl) {
        loaded.say_gaps();
    }
    report.to_stderr();
    loaded.require_complete(&args.input)?;
    match unseen(&loaded, &outcome, args.namespace.as_deref()) {
        Some(gap) if !fails => Err(Error::Incomplete {
            message: format!("not everything could be looked at: {}", gap.message),
            hint: "mend the object: its fields have other types than the API's".into(),
        }),
        _ => Ok(!fails),
    }
}

/// An object of image policy that cannot be read and that no finding tells of: nothing found must not pass for fine then.
fn unseen<'l>(loaded: &'l Loaded, outcome: &Outcome, namespace: Option<&str>) -> Option<&'l Gap> {
    let is_told = |object: &ObjectRef| outcome.findings.iter().any(|finding| *finding.object == *object);
    let concerns = |object: &ObjectRef| {
        namespace.is_none() || object.namespace.as_deref().is_none_or(|own| Some(own) == namespace)
    };
    let is_policy =
        |kind: &str| Kind::named(kind).is_some_and(|kind| (kind as usize) <= Kind::ImageContentSourcePolicy as usize);
    let silent = loaded.snapshot.undecodable.iter().map(|object| &*object.reference);
    let mut silent = silent.filter(|object| is_policy(&object.kind) && concerns(object) && !is_told(object));
    let object = silent.next()?;
    loaded
        .snapshot
        .gaps
        .iter()
        .find(|gap| gap.reason == GapReason::Undecodable && gap.message.starts_with(&object.to_string()))
}

/// By code (`IMP204`, `204`) or name.
fn find_rule(text: &str) -> Result<&'static Rule, Error> {
    let digits = text.trim_start_matches(['I', 'M', 'P', 'i', 'm', 'p']);
    let found = RULES.iter().find(|rule| digits.parse() == Ok(rule.code) || rule.name == text);
    found.copied().ok_or_else(|| {
        Error::usage(format!("there is no rule `{text}`"), "list them with: oc imagepolicy lint --rules")
    })
}

/// `LintReport` of interface.md 3.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LintReport<'a> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    header: Header,
    findings: Vec<Located<'a>>,
    summary: Summary,
    rules: RulesRun,
    #[serde(skip)]
    objects: usize,
}

#[derive(Serialize)]
struct Located<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    error: usize,
    warning: usize,
    info: usize,
    hint: usize,
    suppressed: usize,
}

#[derive(Serialize)]
struct RulesRun {
    ran: usize,
    skipped: Vec<Skipped>,
}

#[derive(Serialize)]
struct Skipped {
    code: String,
    missing: Vec<&'static str>,
}

impl<'a> LintReport<'a> {
    fn new(header: Header, loaded: &Loaded, outcome: &'a Outcome) -> Self {
        let mut summary = Summary::default();
        for finding in &outcome.findings {
            match finding.level {
                Level::Error => summary.error += 1,
                Level::Warning => summary.warning += 1,
                Level::Info => summary.info += 1,
                Level::Hint => summary.hint += 1,
            }
        }
        let locate =
            |finding: &'a Finding| Located { finding, location: spans::locate(&finding.origin, &finding.path) };
        Self {
            api_version: API_VERSION,
            kind: "LintReport",
            header,
            findings: outcome.findings.iter().map(locate).collect(),
            summary,
            rules: RulesRun {
                ran: outcome.ran,
                skipped: outcome
                    .skipped
                    .iter()
                    .map(|(rule, missing)| Skipped {
                        code: rule.id(),
                        missing: missing.iter().map(|kind| kind.name()).collect(),
                    })
                    .collect(),
            },
            objects: loaded.snapshot.objects(),
        }
    }

    /// What is not a finding goes to stderr: skipped rules.
    fn to_stderr(&self) {
        if !self.rules.skipped.is_empty() {
            let mut missing: Vec<&str> =
                self.rules.skipped.iter().flat_map(|skipped| skipped.missing.clone()).collect();
            missing.sort_unstable();
            missing.dedup();
            let codes: Vec<&str> = self.rules.skipped.iter().map(|skipped| skipped.code.as_str()).collect();
            super::say("note", &format!("skipped {}: not in the input: {}", codes.join(", "), missing.join(", ")));
        }
    }
}

impl Report for LintReport<'_> {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        for located in &self.findings {
            print_finding(located, t)?;
            t.end_line()?;
        }
        let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        let mut parts = vec![count(self.summary.error, "error"), count(self.summary.warning, "warning")];
        if self.summary.info > 0 {
            parts.push(format!("{} info", self.summary.info));
        }
        if self.summary.hint > 0 {
            parts.push(count(self.summary.hint, "hint"));
        }
        let mut told = vec![count(self.rules.ran, "rule"), count(self.objects, "object")];
        if !self.rules.skipped.is_empty() {
            told.push(format!("{} skipped", count(self.rules.skipped.len(), "rule")));
        }
        told.push(self.header.release_in_words());
        if !self.header.gaps.is_empty() {
            told.push(format!("unreadable: {}", self.header.gaps_in_words()));
        }
        let style = match &self.summary {
            Summary { error: 0, warning: 0, .. } => Style::Good,
            Summary { error: 0, .. } => Style::Caution,
            _ => Style::Bad,
        };
        t.put(style, &parts.join(", "))?;
        t.line(&format!(" ({})", told.join(", ")))
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        for Located { finding, .. } in &self.findings {
            t.line(&format!("{} {} {}", finding.rule.id(), finding.object, finding.path))?;
        }
        Ok(())
    }

    fn lines(&self, t: &mut Terminal) -> io::Result<()> {
        self.findings.iter().try_for_each(|located| t.json_line(located))
    }
}

fn level_style(level: Level) -> Style {
    match level {
        Level::Error => Style::Bad,
        Level::Warning => Style::Caution,
        Level::Info | Level::Hint => Style::Accent,
    }
}

/// As rustc prints: what, where, the line itself, what follows, what to do.
fn print_finding(Located { finding, location }: &Located<'_>, t: &mut Terminal) -> io::Result<()> {
    let style = level_style(finding.level);
    t.put(style, &format!("{}[{}]", finding.level.word(), finding.rule.id()))?;
    t.put(Style::Bold, &format!(" {}: {}", finding.rule.name, finding.message))?;
    t.end_line()?;
    let place = format!("{} {}", finding.object, finding.path);
    let excerpt = location.as_ref().and_then(|location| spans::excerpt(&finding.origin, location));
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
    note("help:", &finding.help)
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

/// Lines of at most `width` characters, broken at blanks; a longer word stays whole.
pub(super) fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut length = 0;
    for word in text.split(' ') {
        let word_length = word.chars().count();
        if length > 0 && length + 1 + word_length > width {
            lines.push(String::new());
            length = 0;
        }
        if let Some(line) = lines.last_mut() {
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.push_str(word);
            length += word_length;
        }
    }
    lines
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleList {
    api_version: &'static str,
    kind: &'static str,
    rules: Vec<RuleRow>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleRow {
    code: String,
    name: &'static str,
    level: Level,
    confidence: crate::lint::Confidence,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    refused_by: &'static [crate::model::provenance::RefusedBy],
    needs: Vec<&'static str>,
    releases: &'static str,
    summary: &'static str,
}

impl From<&&'static Rule> for RuleRow {
    fn from(rule: &&'static Rule) -> Self {
        Self {
            code: rule.id(),
            name: rule.name,
            level: rule.level,
            confidence: rule.confidence,
            refused_by: rule.refused_by,
            needs: rule.needs.iter().map(|kind| kind.name()).collect(),
            releases: rule.releases,
            summary: rule.summary,
        }
    }
}

impl Report for RuleList {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        let mut table = Table::new(t, &["CODE", "LEVEL", "NAME", "FINDS"]);
        for rule in &self.rules {
            table.row([
                (Style::Bold, rule.code.as_str().into()),
                (level_style(rule.level), rule.level.word().into()),
                (Style::Plain, rule.name.into()),
                (Style::Plain, rule.summary.into()),
            ]);
        }
        table.print(t)
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        self.rules.iter().try_for_each(|rule| t.line(&rule.code))
    }

    fn lines(&self, t: &mut Terminal) -> io::Result<()> {
        self.rules.iter().try_for_each(|rule| t.json_line(rule))
    }
}

struct RulePage {
    api_version: &'static str,
    kind: &'static str,
    rule: &'static Rule,
}

impl Serialize for RulePage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            api_version: &'static str,
            kind: &'static str,
            #[serde(flatten)]
            row: RuleRow,
            why: &'static str,
            fix: &'static str,
            examples: Vec<PageExample>,
        }
        #[derive(Serialize)]
        struct PageExample {
            fires: bool,
            release: &'static str,
            manifests: &'static str,
        }
        let examples = self.rule.examples.iter();
        Page {
            api_version: self.api_version,
            kind: self.kind,
            row: (&self.rule).into(),
            why: self.rule.why,
            fix: self.rule.fix,
            examples: examples
                .map(|example| PageExample {
                    fires: example.fires,
                    release: example.release,
                    manifests: example.manifests,
                })
                .collect(),
        }
        .serialize(serializer)
    }
}

impl Report for RulePage {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        crate::lint::rules::page(self.rule).lines().try_for_each(|line| t.line(line))
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        t.line(&self.rule.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_folded_at_blanks() {
        assert_eq!(fold("one two three", 7), ["one two", "three"]);
        assert_eq!(fold("averylongword x", 5), ["averylongword", "x"]);
        assert_eq!(fold("", 5), [""]);
    }
}
