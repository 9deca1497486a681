//! Findings that somebody does not want to count: what annotations, comments, the command line and the configuration say, which finding
//! each of them is about, and what is wrong with those that say nothing (IMP901 to IMP903).
//!
//! An annotation's entries are `RULES=REASON`, each optionally followed by `; until=DATE`, and separated by line breaks, by `;`, or by
//! `,` before the next `RULES=`. A comment is `imagepolicy:ignore RULES REASON`, optionally with `until=DATE` at its end.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::select::{Matching, rules_named, shortened};
use super::{Context, Finding, Rule, Suppression, SuppressionKind};
use crate::model::private_keys::redact;
use crate::model::provenance::{ObjectRef, RefusedBy};
use crate::snapshot::{Location, Origin, SourceFile};

/// The annotation that silences findings of its own object.
pub const ANNOTATION: &str = "imagepolicy.openshift.io/ignore";
/// Where that annotation stands.
pub const ANNOTATION_PATH: &str = "metadata.annotations[imagepolicy.openshift.io/ignore]";
/// What a comment begins with.
pub const MARKER: &str = "imagepolicy:ignore";
/// What the configuration file is called as an object, in findings about what it suppresses.
pub const CONFIGURATION_KIND: &str = "LintConfiguration";
/// What the command line is called as an object, in findings about what it suppresses.
pub const COMMAND_LINE_KIND: &str = "CommandLine";

/// So many rules are read of one annotation or comment.
const MOST_RULES: usize = 100;
/// What stands for the rest.
const AND_MORE: &str = "…";
/// Longer reasons are cut: each is told with every finding that it silences.
const LONGEST_REASON: usize = 300;

/// What somebody wrote: rules, a reason, a date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// As written.
    pub rules: Vec<String>,
    /// Empty where there is none.
    pub reason: String,
    /// As written.
    pub until: Option<String>,
}

/// The entries of an annotation.
pub fn annotation(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines() {
        let mut in_entry = false;
        for part in line.split(';').filter(|part| !part.trim().is_empty()) {
            if let Some(date) = until(part.trim()) {
                match entries.last_mut() {
                    Some(entry) => entry.until = Some(date.to_string()),
                    None => entries.push(Entry { until: Some(date.to_string()), ..Entry::default() }),
                }
                continue;
            }
            let mut found = entries_of_part(part);
            if found.is_empty()
                && in_entry
                && let Some(entry) = entries.last_mut()
            {
                entry.reason.push(';');
                entry.reason.push_str(part);
            } else if found.is_empty() {
                entries.push(entry_in_words(part));
            } else {
                entries.append(&mut found);
            }
            in_entry = true;
        }
    }
    bounded(entries)
}

/// Tidied, and no more than anybody reads.
fn bounded(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut room = MOST_RULES;
    for (index, entry) in entries.iter_mut().enumerate() {
        entry.tidy();
        room = match room.checked_sub(entry.rules.len().max(1)) {
            Some(left) => left,
            None => {
                entry.rules.truncate(room);
                entry.rules.push(AND_MORE.into());
                entries.truncate(index + 1);
                break;
            }
        };
    }
    entries
}

/// `A,B=reason, C=reason`; nothing where it does not begin with rules and `=`.
fn entries_of_part(part: &str) -> Vec<Entry> {
    let is_word = |text: &str| !text.is_empty() && text.len() <= 80 && !text.contains(char::is_whitespace);
    let mut entries: Vec<Entry> = Vec::new();
    let mut rules = Vec::new();
    for piece in part.split(',') {
        let (left, right) =
            piece.split_once('=').map_or((piece.trim(), None), |(left, right)| (left.trim(), Some(right)));
        match (right, entries.last_mut()) {
            (Some(reason), None) if is_word(left) => {
                rules.push(left.to_string());
                entries.push(Entry { rules: std::mem::take(&mut rules), reason: reason.into(), until: None });
            }
            (Some(reason), Some(_)) if left.len() <= 80 && rules_named(left).is_ok() => {
                entries.push(Entry { rules: vec![left.to_string()], reason: reason.into(), until: None });
            }
            (_, Some(entry)) => {
                entry.reason.push(',');
                entry.reason.push_str(piece);
            }
            (None, None) if is_word(left) => rules.push(left.to_string()),
            _ => return Vec::new(),
        }
    }
    // Rules alone: without `=`, so that no reason can follow.
    if entries.is_empty() && rules.iter().all(|rule| rules_named(rule).is_ok()) && !rules.is_empty() {
        entries.push(Entry { rules, ..Entry::default() });
    }
    entries
}

/// What stands in a comment behind the marker; nothing where it is another word.
pub fn comment(text: &str) -> Vec<Entry> {
    if text.starts_with(|c: char| c.is_alphanumeric() || "-_./".contains(c)) {
        return Vec::new();
    }
    let text = text.trim_start_matches(':').trim();
    let head: String = text.chars().take(200).collect();
    let rules = head.split('=').next().unwrap_or_default();
    if rules.len() < head.len() && rules.split(',').all(|rule| !rule.trim().contains(char::is_whitespace)) {
        return annotation(text);
    }
    bounded(vec![entry_in_words(text)])
}

/// `A, B reason`, with `:` or `-` in between if somebody likes.
fn entry_in_words(text: &str) -> Entry {
    let mut rules = Vec::new();
    let mut rest = text.trim();
    loop {
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | ':' | '=')).unwrap_or(rest.len());
        let (rule, behind) = rest.split_at(end);
        if !rule.is_empty() {
            rules.push(rule.to_string());
        }
        let behind = behind.trim_start();
        let Some(more) = behind.strip_prefix(',') else {
            let reason = behind.trim_start_matches([':', '=', '-', '–', '—']).to_string();
            return Entry { rules, reason, until: None };
        };
        rest = more.trim_start();
    }
}

impl Entry {
    /// Takes `until=DATE` from the end of the reason, and what surrounds either.
    fn tidy(&mut self) {
        let reason = self.reason.trim();
        let (before, last) = reason.rsplit_once(char::is_whitespace).unwrap_or(("", reason));
        let bare = last.trim_matches(['[', ']', '(', ')', ';', ',']);
        let (kept, date) = match until(bare) {
            Some(date) if self.until.is_none() => (before, Some(date.to_string())),
            _ => (reason, None),
        };
        let kept = kept.trim().trim_end_matches([';', ',']).trim_end();
        let kept = kept.strip_prefix('"').and_then(|kept| kept.strip_suffix('"')).unwrap_or(kept);
        let reason = shortened(&redact(kept), LONGEST_REASON);
        self.until = self.until.take().or(date);
        self.reason = reason;
    }
}

/// `until=2027-01-31`
fn until(text: &str) -> Option<&str> {
    let (word, date) = text.split_at_checked(5)?;
    let date = date.trim_start().strip_prefix(['=', ':'])?.trim();
    (word.eq_ignore_ascii_case("until") && !date.contains(char::is_whitespace)).then_some(date)
}

/// A day as `2027-01-31`.
pub fn day(text: &str) -> Option<Date> {
    let written = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    text.parse().ok().filter(|_| written)
}

/// The day in UTC on which a second since 1970 lies.
pub fn today(now: i64) -> Date {
    Timestamp::from_second(now).unwrap_or_default().to_zoned(TimeZone::UTC).date()
}

/// Which findings one is about.
#[derive(Clone, Debug)]
pub enum Target {
    /// All of an object.
    Object(Arc<ObjectRef>),
    /// Those on a line of a file.
    Line(Arc<SourceFile>, usize),
    /// Those of objects and files by patterns.
    Matching(Matching),
}

/// One rule, or several with one beginning, that somebody does not want to hear.
#[derive(Clone, Debug)]
pub struct Directive {
    /// Where it stands.
    pub kind: SuppressionKind,
    /// The rule, as written.
    pub said: String,
    /// What it says about it.
    pub reason: String,
    /// The last day on which it holds, as written.
    pub until: Option<String>,
    /// Which findings.
    pub target: Target,
    /// The object that it stands in or beside.
    pub object: Arc<ObjectRef>,
    /// That object's origin.
    pub origin: Origin,
    /// The field that it is.
    pub path: String,
    /// The place of a comment, which is no field.
    pub location: Option<Location>,
}

/// What a directive is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds.
    Good,
    /// It held until this day.
    Expired(String),
    /// It cannot hold, and why.
    Faulty(String),
}

/// All directives of a run, and what became of them.
pub struct Suppressing {
    directives: Vec<Checked>,
    annotated: HashMap<(Arc<ObjectRef>, u16), usize, foldhash::fast::RandomState>,
    commented: HashMap<(Arc<ObjectRef>, u16), usize, foldhash::fast::RandomState>,
    /// By the file's address.
    lines: HashMap<(usize, usize, u16), usize, foldhash::fast::RandomState>,
    files: HashSet<usize, foldhash::fast::RandomState>,
    /// Command line, then configuration.
    patterns: HashMap<u16, Vec<usize>, foldhash::fast::RandomState>,
    ran: RwLock<HashSet<u16>>,
}

struct Checked {
    directive: Directive,
    state: State,
    rules: Vec<&'static Rule>,
    used: AtomicBool,
}

impl Suppressing {
    /// Everything that is said in a context: what was given to it, and the annotations of its objects.
    pub(super) fn new(context: &Context<'_>) -> Self {
        let mut suppressing = Self {
            directives: Vec::new(),
            annotated: HashMap::default(),
            commented: HashMap::default(),
            lines: HashMap::default(),
            files: HashSet::default(),
            patterns: HashMap::default(),
            ran: RwLock::default(),
        };
        let today = today(context.now);
        let elsewhere = context.snapshot.same_name_elsewhere.iter();
        let elsewhere = elsewhere.map(|object| (&object.reference, &object.raw, &object.origin));
        for (object, raw, origin) in context.snapshot.as_written().chain(elsewhere) {
            let annotations = raw.get("metadata").and_then(|metadata| metadata.get("annotations"));
            let Some(text) = annotations.and_then(|all| all.get(ANNOTATION)).and_then(Value::as_str) else { continue };
            // While a key is still whole: its lines would be entries.
            for entry in annotation(&redact(text)) {
                for directive in directives(entry, |directive| Directive {
                    target: Target::Object(object.clone()),
                    object: object.clone(),
                    origin: origin.clone(),
                    path: ANNOTATION_PATH.into(),
                    ..directive
                }) {
                    suppressing.add(directive, today);
                }
            }
        }
        for directive in &context.directives {
            suppressing.add(directive.clone(), today);
        }
        suppressing
    }

    fn add(&mut self, directive: Directive, today: Date) {
        let index = self.directives.len();
        let (state, rules) = check(&directive, today);
        if state == State::Good {
            for code in rules.iter().map(|rule| rule.code) {
                let taken = match &directive.target {
                    Target::Object(object) if directive.kind == SuppressionKind::Annotation => {
                        self.annotated.entry((object.clone(), code))
                    }
                    Target::Object(object) => self.commented.entry((object.clone(), code)),
                    Target::Line(file, line) => {
                        self.files.insert(address(file));
                        self.lines.entry((address(file), *line, code)).or_insert(index);
                        continue;
                    }
                    Target::Matching(_) => {
                        self.patterns.entry(code).or_default().push(index);
                        continue;
                    }
                };
                taken.or_insert(index);
            }
        }
        self.directives.push(Checked { directive, state, rules, used: AtomicBool::new(false) });
    }

    /// Begins a run of some rules.
    pub(super) fn begin(&self, ran: impl Iterator<Item = u16>) {
        self.directives.iter().for_each(|checked| checked.used.store(false, Ordering::Relaxed));
        *self.ran.write().unwrap_or_else(std::sync::PoisonError::into_inner) = ran.collect();
    }

    /// Marks the findings that somebody does not want to count. The first that fits is told: annotation, comment, command line,
    /// configuration.
    pub(super) fn apply(&self, context: &Context<'_>, findings: &mut [Finding]) {
        if self.directives.is_empty() {
            return;
        }
        for finding in findings {
            let code = finding.rule.code;
            let key = (finding.object.clone(), code);
            let mut fitting = Vec::new();
            if let Some(index) = self.annotated.get(&key) {
                if may_silence(&key.0, finding) {
                    fitting.push(*index);
                } else {
                    self.use_up(*index);
                    let why = "asks to ignore this, and is not heeded: the annotation of a namespaced object cannot silence what others have to bear";
                    finding.related.push(super::Related {
                        object: key.0.clone(),
                        path: ANNOTATION_PATH.into(),
                        message: why.into(),
                    });
                }
            }
            fitting.extend(self.commented.get(&key));
            fitting.extend(self.on_line(context, finding));
            if let Some(patterns) = self.patterns.get(&code) {
                fitting.extend(patterns.iter().filter(|index| self.matches(**index, finding)));
            }
            for index in &fitting {
                self.use_up(*index);
            }
            let first = fitting.first().and_then(|index| self.directives.get(*index));
            finding.suppression = first.map(|Checked { directive, .. }| Suppression {
                kind: directive.kind,
                reason: directive.reason.clone(),
                until: directive.until.clone(),
            });
        }
    }

    fn use_up(&self, index: usize) {
        if let Some(checked) = self.directives.get(index) {
            checked.used.store(true, Ordering::Relaxed);
        }
    }

    fn matches(&self, index: usize, finding: &Finding) -> bool {
        match self.directives.get(index).map(|checked| &checked.directive.target) {
            Some(Target::Matching(matching)) => matching.matches(finding),
            _ => false,
        }
    }

    fn on_line(&self, context: &Context<'_>, finding: &Finding) -> Option<usize> {
        let Origin::File { source, .. } = &finding.origin else { return None };
        if !self.files.contains(&address(source)) {
            return None;
        }
        let lines = match &finding.location {
            Some(location) => [location.line; 2],
            None => (context.lines?)(&finding.origin, &finding.path)?,
        };
        lines.iter().find_map(|line| self.lines.get(&(address(source), *line, finding.rule.code)).copied())
    }

    /// Those that silence nothing though they could: each of their rules ran.
    pub fn unused(&self) -> impl Iterator<Item = &Directive> {
        let ran = self.ran.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let unused = self.directives.iter().filter(move |checked| {
            checked.state == State::Good
                && !checked.used.load(Ordering::Relaxed)
                && checked.rules.iter().all(|rule| ran.contains(&rule.code))
        });
        unused.map(|checked| &checked.directive)
    }

    /// Those that held once, and until when.
    pub fn expired(&self) -> impl Iterator<Item = (&Directive, &str)> {
        self.directives.iter().filter_map(|checked| match &checked.state {
            State::Expired(day) => Some((&checked.directive, day.as_str())),
            _ => None,
        })
    }

    /// Those that cannot hold, and why.
    pub fn faulty(&self) -> impl Iterator<Item = (&Directive, &str)> {
        self.directives.iter().filter_map(|checked| match &checked.state {
            State::Faulty(why) => Some((&checked.directive, why.as_str())),
            _ => None,
        })
    }
}

fn address(file: &Arc<SourceFile>) -> usize {
    Arc::as_ptr(file).addr()
}

fn check(directive: &Directive, today: Date) -> (State, Vec<&'static Rule>) {
    let faulty = |why: String| (State::Faulty(why), Vec::new());
    if directive.said.is_empty() {
        return faulty("it names no rule".into());
    }
    if directive.said == AND_MORE {
        return faulty(format!("it names more than {MOST_RULES} rules, and the rest is not read"));
    }
    let rules = match rules_named(&directive.said) {
        Ok(rules) => rules,
        Err(unknown) => return faulty(unknown.to_string()),
    };
    if !directive.reason.contains(char::is_alphanumeric) {
        return faulty("it gives no reason".into());
    }
    match directive.until.as_deref().map(|text| (text, day(text))) {
        Some((text, None)) => faulty(format!("its date `{}` is not of the form 2027-01-31", shortened(text, 40))),
        Some((_, Some(day))) if day < today => (State::Expired(day.to_string()), rules),
        _ => (State::Good, rules),
    }
}

/// One directive for each rule of an entry; `place` fills in where it stands and what it is about.
pub fn directives(entry: Entry, place: impl Fn(Directive) -> Directive) -> Vec<Directive> {
    let nobody = ObjectRef { api_version: "".into(), kind: "".into(), namespace: None, name: "".into() };
    let empty = Directive {
        kind: SuppressionKind::Annotation,
        said: String::new(),
        reason: entry.reason,
        until: entry.until,
        target: Target::Matching(Matching::default()),
        object: Arc::new(nobody),
        origin: Origin::Live,
        path: String::new(),
        location: None,
    };
    let rules = if entry.rules.is_empty() { vec![String::new()] } else { entry.rules };
    rules.into_iter().map(|said| place(Directive { said, ..empty.clone() })).collect()
}

/// Whether the annotation of an object may silence a finding of it. That of a tenant's object may not where the cluster's controller or
/// nodes refuse something, or where the rule is about more than the pods of that namespace.
fn may_silence(object: &ObjectRef, finding: &Finding) -> bool {
    /// Rules about what an ImagePolicy means for the pods of its own namespace, and for nobody else.
    const OF_THE_NAMESPACE: &[u16] =
        &[101, 102, 103, 104, 105, 106, 108, 109, 110, 111, 205, 206, 207, 211, 212, 215, 216, 217, 702, 703];
    let is_about_suppressions = finding.rule.code >= super::ABOUT_SUPPRESSIONS;
    object.namespace.is_none()
        || !matches!(finding.refused_by, Some(RefusedBy::Controller | RefusedBy::Node))
            && (is_about_suppressions || OF_THE_NAMESPACE.contains(&finding.rule.code))
}

/// A finding about a directive.
pub(super) fn finding_about(rule: &'static Rule, directive: &Directive, message: String) -> Finding {
    let mut finding = Finding::at(rule, &directive.object, directive.origin.clone(), &directive.path, message);
    finding.location.clone_from(&directive.location);
    let target = match &directive.target {
        Target::Object(_) => "",
        Target::Line(..) => "/line",
        Target::Matching(_) => "/matching",
    };
    let said = shortened(&redact(&directive.said), 60);
    finding.fingerprint = format!("{}/{}/{:?}{target}/{said}", rule.id(), directive.object, directive.kind);
    finding
}

/// What a directive is called in a message: `the annotation for IMP204`.
pub(super) fn words_for(directive: &Directive) -> String {
    let what = match directive.kind {
        SuppressionKind::Annotation => "the annotation",
        SuppressionKind::Comment => "the comment",
        SuppressionKind::CommandLine => "--suppress",
        SuppressionKind::Configuration => "an entry of `suppress`",
        SuppressionKind::Baseline => "the baseline",
    };
    if directive.said.is_empty() {
        return what.to_string();
    }
    format!("{what} for {}", super::shown(&shortened(&directive.said, 60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(entries: Vec<Entry>) -> Vec<(String, String, String)> {
        let show = |entry: Entry| (entry.rules.join("+"), entry.reason, entry.until.unwrap_or_default());
        entries.into_iter().map(show).collect()
    }

    #[test]
    fn annotations() {
        for (text, expected) in [
            ("IMP204=reason text; until=2027-01-31", &[("IMP204", "reason text", "2027-01-31")][..]),
            ("  IMP204 =  reason text ;until = 2027-01-31 ; ", &[("IMP204", "reason text", "2027-01-31")]),
            ("IMP204=a\nIMP205=b; until=2027-01-31\n", &[("IMP204", "a", ""), ("IMP205", "b", "2027-01-31")]),
            ("IMP204=a; IMP205=b", &[("IMP204", "a", ""), ("IMP205", "b", "")]),
            ("IMP204=a, IMP205=b", &[("IMP204", "a", ""), ("IMP205", "b", "")]),
            ("IMP204,IMP205 = both, since x=1; more", &[("IMP204+IMP205", "both, since x=1; more", "")]),
            ("shadowed-by-allowed=asked for until=2027-01-31", &[("shadowed-by-allowed", "asked for", "2027-01-31")]),
            ("IMP204: we know", &[("IMP204", "we know", "")]),
            ("IMP204 we know", &[("IMP204", "we know", "")]),
            ("IMP204=", &[("IMP204", "", "")]),
            ("IMP204", &[("IMP204", "", "")]),
            ("IMP204, IMP205", &[("IMP204+IMP205", "", "")]),
            ("IMP999=x", &[("IMP999", "x", "")]),
            ("IMP204=x; until=tomorrow", &[("IMP204", "x", "tomorrow")]),
            ("until=2027-01-31", &[("", "", "2027-01-31")]),
            ("IMP204=\"quoted\"", &[("IMP204", "quoted", "")]),
            ("IMP204=until we move; until=2027-01-31", &[("IMP204", "until we move", "2027-01-31")]),
            ("", &[]),
            (" ;\n; ", &[]),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|(a, b, c)| (a.to_string(), b.to_string(), c.to_string())).collect();
            assert_eq!(shown(annotation(text)), expected, "{text}");
        }
    }

    #[test]
    fn comments() {
        for (text, expected) in [
            (" IMP204 reason text", &[("IMP204", "reason text", "")][..]),
            (" IMP204 reason text until=2027-01-31", &[("IMP204", "reason text", "2027-01-31")]),
            (" IMP204 reason text [until=2027-01-31]", &[("IMP204", "reason text", "2027-01-31")]),
            (" IMP204 reason; until=2027-01-31", &[("IMP204", "reason", "2027-01-31")]),
            (" IMP204, IMP205 both", &[("IMP204+IMP205", "both", "")]),
            (" IMP204,IMP205 ,IMP206 all", &[("IMP204+IMP205+IMP206", "all", "")]),
            (" IMP204: why", &[("IMP204", "why", "")]),
            (" IMP204 - why", &[("IMP204", "why", "")]),
            (" IMP204=why; until=2027-01-31", &[("IMP204", "why", "2027-01-31")]),
            (": IMP204 why", &[("IMP204", "why", "")]),
            (" IMP204", &[("IMP204", "", "")]),
            ("", &[("", "", "")]),
            ("d things", &[]),
            ("-next-line", &[]),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|(a, b, c)| (a.to_string(), b.to_string(), c.to_string())).collect();
            assert_eq!(shown(comment(text)), expected, "{text}");
        }
    }

    #[test]
    fn days() {
        assert_eq!(day("2027-01-31").map(|day| day.to_string()).as_deref(), Some("2027-01-31"));
        for text in
            ["2027-1-31", "20270131", "2027-02-30", "2027-01-31T00:00:00Z", "tomorrow", "", "+00027-01", "31-01-2027"]
        {
            assert_eq!(day(text), None, "{text}");
        }
        assert_eq!(today(0).to_string(), "1970-01-01");
        assert_eq!(today(86_399).to_string(), "1970-01-01");
        assert_eq!(today(i64::MAX).to_string(), "1970-01-01");
    }

    #[test]
    fn nothing_takes_long() {
        let started = std::time::Instant::now();
        for text in [
            "IMP204=a,".repeat(200_000),
            ";".repeat(2_000_000),
            "a,".repeat(1_000_000),
            "IMP204=".to_string() + &"é ".repeat(1_000_000),
            "until=".repeat(300_000),
        ] {
            let entries = annotation(&text);
            assert!(entries.iter().all(|entry| entry.reason.chars().count() <= LONGEST_REASON + 1));
            comment(&format!(" {text}"));
        }
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }
}
