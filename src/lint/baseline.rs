//! Findings that were there on a day and are not to count since: by their fingerprints, so that lines, order and wording may change.

use std::collections::{HashMap, HashSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::Problem;
use super::select::shortened;
use super::suppress::day;
use super::{Finding, Level, Suppression, SuppressionKind};
use crate::admission::nearest;

/// What the document says it is.
pub const API_VERSION: &str = "imagepolicy.openshift.io/v1alpha1";
/// What the document says it is.
pub const KIND: &str = "LintBaseline";

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Baseline {
    api_version: String,
    kind: String,
    /// The day on which it was written, as `2026-11-22`.
    pub created: String,
    /// By object, then code.
    pub entries: Vec<Entry>,
}

/// A finding that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// See [`Finding::fingerprint`].
    pub fingerprint: String,
    /// `IMP204`
    pub code: String,
    /// As it was.
    pub level: Level,
    /// `ClusterImagePolicy/team`
    pub object: String,
    /// The day, as `2026-11-22`.
    pub first_seen: String,
}

/// What a baseline does in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Findings that it hides, by level: errors, warnings, info, hints.
    pub hides: [usize; 4],
    /// Entries that no longer occur though their rule ran and their object is there.
    pub gone: usize,
}

impl Baseline {
    /// Of a document.
    ///
    /// # Errors
    /// What is no baseline, and where.
    pub fn parse(value: &Value) -> Result<Self, Problem> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("apiVersion") != API_VERSION || text("kind") != KIND {
            let what = match (text("apiVersion"), text("kind")) {
                ("", "") => "it has no `apiVersion` and no `kind`".to_string(),
                (version, kind) => format!(
                    "it is a {} of {}",
                    super::shown(&shortened(kind, 60)),
                    super::shown(&shortened(version, 60))
                ),
            };
            return Err(Problem::new("", format!("this is no baseline of lint: {what}")));
        }
        check_keys(value, &["apiVersion", "kind", "created", "entries"], "")?;
        let no_day = |path: &str| Problem::new(path, "expected a day such as 2026-11-22");
        if day(text("created")).is_none() {
            return Err(no_day("created"));
        }
        let Some(Value::Array(items)) = value.get("entries") else {
            return Err(Problem::new("entries", "expected a list"));
        };
        let mut entries = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("entries[{index}]");
            check_keys(item, &["fingerprint", "code", "level", "object", "firstSeen"], &path)?;
            let entry = Entry::deserialize(item).map_err(|error| Problem::new(&path, error.to_string()))?;
            if day(&entry.first_seen).is_none() {
                return Err(no_day(&format!("{path}.firstSeen")));
            }
            entries.push(entry);
        }
        Ok(Self { created: text("created").into(), entries, ..Self::empty(Date::default()) })
    }

    fn empty(today: Date) -> Self {
        Self { api_version: API_VERSION.into(), kind: KIND.into(), created: today.to_string(), entries: Vec::new() }
    }

    /// Of the findings of a run that nothing else suppresses. What `before` knew keeps its day, and what it knew of rules that did not
    /// run and of objects that were not there stays in it.
    pub fn of(findings: &[Finding], before: Option<&Self>, looked_at: impl Fn(&Entry) -> bool, today: Date) -> Self {
        let known = before.map(|before| before.entries.as_slice()).unwrap_or_default();
        let mut first_seen: HashMap<&str, &str> = HashMap::new();
        for entry in known {
            first_seen.insert(&entry.fingerprint, &entry.first_seen);
        }
        let new = findings.iter().filter(|finding| is_own(finding)).map(|finding| Entry {
            fingerprint: finding.fingerprint.clone(),
            code: finding.rule.id(),
            level: finding.level,
            object: finding.object.to_string(),
            first_seen: first_seen.get(&*finding.fingerprint).map_or_else(|| today.to_string(), ToString::to_string),
        });
        let unseen = known.iter().filter(|entry| !looked_at(entry)).cloned();
        let mut baseline = Self::empty(today);
        baseline.entries = new.chain(unseen).collect();
        baseline.tidy();
        baseline
    }

    /// The same order whatever the order of the findings, and nothing twice.
    fn tidy(&mut self) {
        let key = |entry: &Entry| (entry.object.clone(), entry.code.clone(), entry.fingerprint.clone());
        self.entries.sort_by_cached_key(key);
        self.entries.dedup_by(|a, b| a.fingerprint == b.fingerprint);
    }

    /// Marks the findings that are known and that nothing else suppresses.
    pub fn apply(&self, findings: &mut [Finding], looked_at: impl Fn(&Entry) -> bool) -> Effect {
        let mut known: HashMap<&str, &Entry, foldhash::fast::RandomState> = HashMap::default();
        for entry in &self.entries {
            known.insert(&entry.fingerprint, entry);
        }
        let mut effect = Effect::default();
        let mut met: HashSet<&str, foldhash::fast::RandomState> = HashSet::default();
        for finding in findings {
            let Some(entry) = known.get(&*finding.fingerprint) else { continue };
            met.insert(&entry.fingerprint);
            // What was a hint when somebody took it in and is an error now has not been seen by anybody.
            if finding.suppression.is_some() || finding.level > entry.level {
                continue;
            }
            if let Some(count) = effect.hides.get_mut(place(finding.level)) {
                *count += 1;
            }
            finding.suppression = Some(Suppression {
                kind: SuppressionKind::Baseline,
                reason: format!("known since {}", entry.first_seen),
                until: None,
            });
        }
        let gone = self.entries.iter().filter(|entry| !met.contains(&*entry.fingerprint) && looked_at(entry));
        effect.gone = gone.count();
        effect
    }

    /// Takes out the entries that no longer occur though their rule ran and their object is there. How many those were.
    pub fn prune(&mut self, found: &HashSet<String>, looked_at: impl Fn(&Entry) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| found.contains(&entry.fingerprint) || !looked_at(entry));
        before - self.entries.len()
    }

    /// How many days ago it was written; 0 for one of tomorrow.
    pub fn age(&self, today: Date) -> i32 {
        let since = day(&self.created).and_then(|created| created.until(today).ok());
        since.map_or(0, |span| span.get_days().max(0))
    }

    /// `baseline of 2026-11-22, 40 days old: hides 3 errors, 12 warnings; 2 no longer occur`
    pub fn words(&self, effect: &Effect, today: Date) -> String {
        let age = match self.age(today) {
            0 => "of today".to_string(),
            days => format!("of {}, {} old", self.created, counted(days.unsigned_abs() as usize, "day")),
        };
        let gone = match effect.gone {
            0 => String::new(),
            1 => "; 1 no longer occurs".to_string(),
            gone => format!("; {gone} no longer occur"),
        };
        format!("baseline {age}: hides {}{gone}", split(effect.hides))
    }
}

/// `3 errors, 12 warnings`
pub fn split(counts: [usize; 4]) -> String {
    let words = ["error", "warning", "info", "hint"].into_iter().zip(counts).filter(|(_, count)| *count > 0);
    let words: Vec<String> = words
        .map(|(word, count)| if word == "info" { format!("{count} info") } else { counted(count, word) })
        .collect();
    if words.is_empty() { "nothing".into() } else { words.join(", ") }
}

/// How many entries have which level: errors, warnings, info, hints.
pub fn counts<'e>(entries: impl Iterator<Item = &'e Entry>) -> [usize; 4] {
    let mut counts = [0; 4];
    for entry in entries {
        if let Some(count) = counts.get_mut(place(entry.level)) {
            *count += 1;
        }
    }
    counts
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn place(level: Level) -> usize {
    Level::Error as usize - level as usize
}

/// Whether nothing but a baseline suppresses it.
fn is_own(finding: &Finding) -> bool {
    finding.suppression.as_ref().is_none_or(|suppression| suppression.kind == SuppressionKind::Baseline)
}

fn check_keys(value: &Value, keys: &[&str], path: &str) -> Result<(), Problem> {
    let Value::Object(map) = value else { return Err(Problem::new(path, "expected a mapping")) };
    let join = |key: &str| if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
    if let Some(key) = map.keys().find(|key| !keys.contains(&key.as_str())) {
        let near = nearest(key, keys).map(|near| format!(": did you mean {near}?"));
        let message = format!("unknown key `{}`{}", shortened(key, 60), near.unwrap_or_default());
        return Err(Problem { path: join(key), is_key: true, message });
    }
    match keys.iter().find(|key| !map.contains_key(**key)) {
        Some(missing) => Err(Problem::new(path, format!("`{missing}` is missing"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry() -> Value {
        json!({"fingerprint": "f", "code": "IMP204", "level": "Error", "object": "Image/cluster", "firstSeen": "2026-11-22"})
    }

    fn document() -> Value {
        json!({"apiVersion": API_VERSION, "kind": KIND, "created": "2026-10-13", "entries": [entry()]})
    }

    fn with(path: &str, value: Value) -> Value {
        let mut document = document();
        let (parent, key) = path.rsplit_once('/').unwrap();
        match document.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
            other => other[key] = value,
        }
        document
    }

    #[test]
    fn read_and_written() {
        let baseline = Baseline::parse(&document()).unwrap();
        assert_eq!(serde_json::to_value(&baseline).unwrap(), document());
        let today = day("2026-11-22").unwrap();
        let effect = Effect { hides: [3, 12, 1, 0], gone: 2 };
        assert_eq!(
            baseline.words(&effect, today),
            "baseline of 2026-10-13, 40 days old: hides 3 errors, 12 warnings, 1 info; 2 no longer occur"
        );
        assert_eq!(
            baseline.words(&Effect::default(), day("2026-10-14").unwrap()),
            "baseline of 2026-10-13, 1 day old: hides nothing"
        );
        assert_eq!(baseline.age(day("2020-01-01").unwrap()), 0);
        let other = Baseline::of(&[], Some(&baseline), |_| false, today);
        assert_eq!(other.entries, baseline.entries, "what was not looked at stays");
        assert!(Baseline::of(&[], Some(&baseline), |_| true, today).entries.is_empty());
        let (mut pruned, none) = (baseline.clone(), HashSet::new());
        assert_eq!((pruned.prune(&none, |_| false), pruned.prune(&none, |_| true), pruned.entries.len()), (0, 1, 0));
    }

    #[test]
    fn what_is_no_baseline() {
        for (value, path, word) in [
            (json!([]), "", "no baseline"),
            (json!({"apiVersion": "v1", "kind": "List"}), "", "a List of v1"),
            (with("/kind", json!("LintReport")), "", "no baseline"),
            (with("/created", json!("yesterday")), "created", "a day"),
            (with("/entries", json!({})), "entries", "a list"),
            (with("/extra", json!(1)), "extra", "unknown key"),
            (with("/entries/0/firstseen", json!(1)), "entries[0].firstseen", "did you mean firstSeen?"),
            (with("/entries/0/level", json!("Fatal")), "entries[0]", "Fatal"),
            (with("/entries/0/firstSeen", json!("22.11.2026")), "entries[0].firstSeen", "a day"),
            (with("/entries/0", json!("x")), "entries[0]", "a mapping"),
            (with("/entries/0", json!({"fingerprint": "f"})), "entries[0]", "`code` is missing"),
        ] {
            let problem = Baseline::parse(&value).unwrap_err();
            assert_eq!(problem.path, path, "{value}");
            assert!(problem.message.contains(word), "{value}: {}", problem.message);
        }
    }
}
