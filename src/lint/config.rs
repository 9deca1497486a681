//! The configuration file: a value → what it asks for. Strict, as kubectl is: what is not known or not of the right type is refused.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::glob::{Base, Glob, ObjectGlob};
use super::select::{Layer, Matching, Override, rules_named, shortened};
use super::suppress::{self, CONFIGURATION_KIND, Directive, Entry, Target};
use super::{Level, SuppressionKind};
use crate::admission::nearest;
use crate::model::provenance::ObjectRef;
use crate::model::release::Release;
use crate::snapshot::Origin;

/// What the file is called, wherever it is.
pub const FILE: &str = ".imagepolicy.yaml";

/// What a configuration file asks for.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `select`, `extendSelect`, `ignore`
    pub layer: Layer,
    /// `overrides`
    pub overrides: Vec<Override>,
    /// `minSeverity`
    pub min_severity: Option<Level>,
    /// `failOn`
    pub fail_on: Option<FailOn>,
    /// `release`, such as `4.20`: one that is known.
    pub release: Option<String>,
    /// `baseline`: a path, relative to the file.
    pub baseline: Option<String>,
    /// `suppress`
    pub directives: Vec<Directive>,
}

/// From which level on findings make the exit code 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailOn {
    /// This one and worse ones.
    From(Level),
    /// None does.
    Never,
}

impl FailOn {
    /// Whether a finding of that level does.
    pub fn reached_by(self, level: Level) -> bool {
        matches!(self, Self::From(least) if level >= least)
    }
}

/// A key that a mapping may have.
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it holds.
    pub holds: &'static str,
    /// What it is for.
    pub meaning: &'static str,
}

const fn key(name: &'static str, holds: &'static str, meaning: &'static str) -> Key {
    Key { name, holds, meaning }
}

/// The keys of the file.
pub const KEYS: &[Key] = &[
    key("select", RULES, "only these rules run; otherwise all do"),
    key("extendSelect", RULES, "these as well"),
    key("ignore", RULES, "these do not run"),
    key("minSeverity", LEVELS, "less severe findings are not shown and do not count"),
    key(
        "failOn",
        "`error`, `warning`, `info`, `hint` or `never`",
        "the level from which findings make the exit code 1",
    ),
    key(
        "release",
        "a text such as `\"4.20\"`",
        "the OpenShift release to answer for, where neither `--release` nor a ClusterVersion tells",
    ),
    key("baseline", "a file, relative to this one", "findings that are known and do not count"),
    key("overrides", "a list of mappings", "other settings for some objects; the last that fits counts"),
    key("suppress", "a list of mappings", "findings that do not count, and why"),
];

/// The keys of an entry of `overrides`.
pub const OVERRIDE_KEYS: &[Key] = &[
    key("paths", PATHS, "for objects of these files"),
    key("objects", OBJECTS, "for these objects"),
    key("select", RULES, "only these rules look at them"),
    key("extendSelect", RULES, "these as well"),
    key("ignore", RULES, "these do not look at them"),
    key("minSeverity", LEVELS, "their less severe findings are not shown and do not count"),
];

/// The keys of an entry of `suppress`.
pub const SUPPRESS_KEYS: &[Key] = &[
    key("rules", RULES, "what is silenced; mandatory"),
    key("objects", OBJECTS, "of these objects"),
    key("paths", PATHS, "of objects of these files"),
    key("reason", "a text", "why; mandatory"),
    key("until", "a day as `2027-01-31`", "the last day, in UTC, on which it holds"),
];

const RULES: &str = "a list of rules: codes, beginnings of codes, names";
const LEVELS: &str = "`error`, `warning`, `info` or `hint`";
const PATHS: &str = "a list of patterns of files, relative to this one: `policies/**`";
const OBJECTS: &str = "a list of patterns of objects: `ClusterImagePolicy/*`, `ImagePolicy/team-*/*`";

/// What is wrong with the file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field.
    pub path: String,
    /// Whether its key is meant and not its value.
    pub is_key: bool,
    /// A sentence.
    pub message: String,
}

impl Problem {
    /// With a value.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), is_key: false, message: message.into() }
    }
}

impl Config {
    /// Of what the file says. `name` is what to call it, `origin` where it stands, `base` where its patterns of files begin.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn parse(value: &Value, name: &str, origin: &Origin, base: &Base) -> Result<Self, Problem> {
        let map = mapping(value, "", KEYS)?;
        let mut config = Self {
            layer: layer(map, "")?,
            min_severity: level(map, "")?,
            fail_on: fail_on(map)?,
            release: release(map)?,
            baseline: text(map, "", "baseline")?,
            ..Self::default()
        };
        for (path, entry) in entries(map, "overrides")? {
            let map = mapping(entry, &path, OVERRIDE_KEYS)?;
            let matching = matching(map, &path, base)?;
            if matching.objects.is_empty() && matching.paths.is_empty() {
                return Err(Problem::new(path, "an override needs `paths` or `objects`: what it is for"));
            }
            config.overrides.push(Override { matching, layer: layer(map, &path)?, min_severity: level(map, &path)? });
        }
        let object = ObjectRef {
            api_version: "imagepolicy.openshift.io/v1alpha1".into(),
            kind: CONFIGURATION_KIND.into(),
            namespace: None,
            name: name.into(),
        };
        let object = Arc::new(object);
        for (path, entry) in entries(map, "suppress")? {
            let directives = suppression(entry, &path, base)?.into_iter();
            config.directives.extend(directives.map(|directive| Directive {
                object: object.clone(),
                origin: origin.clone(),
                path: path.clone(),
                ..directive
            }));
        }
        Ok(config)
    }
}

fn suppression(entry: &Value, path: &str, base: &Base) -> Result<Vec<Directive>, Problem> {
    let map = mapping(entry, path, SUPPRESS_KEYS)?;
    let rules = rules(map, path, "rules")?;
    if rules.is_empty() {
        return Err(Problem::new(path, "it names no rules, as in: rules: [IMP204]"));
    }
    let reason = text(map, path, "reason")?.filter(|reason| reason.contains(char::is_alphanumeric));
    let Some(reason) = reason else { return Err(Problem::new(path, "it gives no `reason`")) };
    let until = text(map, path, "until")?;
    if until.as_deref().is_some_and(|until| suppress::day(until).is_none()) {
        return Err(Problem::new(join(path, "until"), "expected a day such as 2027-01-31"));
    }
    let matching = matching(map, path, base)?;
    let reason = shortened(&reason, 300);
    Ok(suppress::directives(Entry { rules, reason, until }, |directive| Directive {
        kind: SuppressionKind::Configuration,
        target: Target::Matching(matching.clone()),
        ..directive
    }))
}

fn mapping<'v>(value: &'v Value, path: &str, keys: &[Key]) -> Result<&'v Map<String, Value>, Problem> {
    let Value::Object(map) = value else { return Err(wrong_type(path, "a mapping", value)) };
    for key in map.keys() {
        if keys.iter().any(|known| known.name == key) {
            continue;
        }
        let names: Vec<&str> = keys.iter().map(|known| known.name).collect();
        let near = nearest(&key.replace(['-', '_'], ""), &names);
        let hint =
            near.map_or_else(|| format!("known are {}", names.join(", ")), |near| format!("did you mean {near}?"));
        let message = format!("unknown key `{}`: {hint}", shortened(key, 60));
        return Err(Problem { path: join(path, key), is_key: true, message });
    }
    Ok(map)
}

fn entries<'v>(map: &'v Map<String, Value>, key: &str) -> Result<Vec<(String, &'v Value)>, Problem> {
    match map.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            Ok(items.iter().enumerate().map(|(index, item)| (format!("{key}[{index}]"), item)).collect())
        }
        Some(other) => Err(wrong_type(key, "a list", other)),
    }
}

/// Texts with their places.
fn texts(map: &Map<String, Value>, path: &str, key: &str) -> Result<Vec<(String, String)>, Problem> {
    let path = join(path, key);
    let items = match map.get(key) {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(wrong_type(&path, "a list of texts", other)),
    };
    let texts = items.iter().enumerate().map(|(index, item)| {
        let path = format!("{path}[{index}]");
        match item {
            Value::String(text) => Ok((path, text.clone())),
            other => Err(wrong_type(&path, "a text", other)),
        }
    });
    texts.collect()
}

fn text(map: &Map<String, Value>, path: &str, key: &str) -> Result<Option<String>, Problem> {
    match map.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong_type(&join(path, key), "a text", other)),
    }
}

/// Rules that there are. A number is a code, too: nobody quotes 204.
fn rules(map: &Map<String, Value>, path: &str, key: &str) -> Result<Vec<String>, Problem> {
    let path = join(path, key);
    let items = match map.get(key) {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(wrong_type(&path, "a list of rules", other)),
    };
    let rules = items.iter().enumerate().map(|(index, item)| {
        let path = format!("{path}[{index}]");
        let text = match item {
            Value::String(text) => text.clone(),
            Value::Number(number) if number.is_u64() => number.to_string(),
            other => return Err(wrong_type(&path, "a rule", other)),
        };
        rules_named(&text).map_err(|unknown| Problem::new(path, unknown.to_string()))?;
        Ok(text)
    });
    rules.collect()
}

fn layer(map: &Map<String, Value>, path: &str) -> Result<Layer, Problem> {
    let [select, extend, ignore] = ["select", "extendSelect", "ignore"].map(|key| rules(map, path, key));
    let (select, extend, ignore) = (select?, extend?, ignore?);
    if select.is_empty() && map.contains_key("select") {
        return Err(Problem::new(join(path, "select"), "an empty list selects no rule at all"));
    }
    Layer::new(&select, &extend, &ignore).map_err(|unknown| Problem::new(path, unknown.to_string()))
}

fn level(map: &Map<String, Value>, path: &str) -> Result<Option<Level>, Problem> {
    let Some(word) = text(map, path, "minSeverity")? else { return Ok(None) };
    let known = level_named(&word).map(Some);
    known.ok_or_else(|| Problem::new(join(path, "minSeverity"), not_a_level(&word, "error, warning, info or hint")))
}

fn fail_on(map: &Map<String, Value>) -> Result<Option<FailOn>, Problem> {
    let Some(word) = text(map, "", "failOn")? else { return Ok(None) };
    match level_named(&word) {
        Some(level) => Ok(Some(FailOn::From(level))),
        None if word == "never" => Ok(Some(FailOn::Never)),
        None => Err(Problem::new("failOn", not_a_level(&word, "error, warning, info, hint or never"))),
    }
}

fn release(map: &Map<String, Value>) -> Result<Option<String>, Problem> {
    let Some(release) = text(map, "", "release")? else { return Ok(None) };
    match Release::parse(&release) {
        Ok(_) => Ok(Some(release)),
        Err(message) => Err(Problem::new("release", message)),
    }
}

fn level_named(word: &str) -> Option<Level> {
    [Level::Error, Level::Warning, Level::Info, Level::Hint].into_iter().find(|level| level.word() == word)
}

fn not_a_level(word: &str, expected: &str) -> String {
    format!("`{}` is not a level: expected {expected}", shortened(word, 40))
}

fn matching(map: &Map<String, Value>, path: &str, base: &Base) -> Result<Matching, Problem> {
    let objects = texts(map, path, "objects")?.into_iter();
    let objects = objects.map(|(path, text)| ObjectGlob::parse(&text).map_err(|why| Problem::new(path, why)));
    let paths = texts(map, path, "paths")?.into_iter();
    let paths = paths.map(|(path, text)| match text.is_empty() || text.starts_with('/') {
        true => Err(Problem::new(path, "expected a pattern of files relative to this one, such as policies/**")),
        false => Ok(Glob::new(&text)),
    });
    let paths: Vec<Glob> = paths.collect::<Result<_, _>>()?;
    Ok(Matching { objects: objects.collect::<Result<_, _>>()?, paths, base: base.clone() })
}

fn wrong_type(path: &str, expected: &str, value: &Value) -> Problem {
    let found = match value {
        Value::Null => "nothing".to_string(),
        Value::Bool(bool) => format!("the boolean {bool}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a text".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
    };
    let quote = match (expected, value) {
        ("a text", Value::Number(_) | Value::Bool(_)) => ": put it into quotes",
        _ => "",
    };
    Problem::new(path, format!("expected {expected}, not {found}{quote}"))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_string() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: Value) -> Result<Config, Problem> {
        Config::parse(&value, FILE, &Origin::Live, &Base::default())
    }

    #[test]
    fn everything() {
        let config = parse(json!({
            "select": ["IMP2", 301, "IMP9"],
            "extendSelect": ["key-unreadable"],
            "ignore": ["IMP206"],
            "minSeverity": "info",
            "failOn": "never",
            "release": "4.20",
            "baseline": "lint-baseline.yaml",
            "overrides": [{"paths": ["legacy/**"], "objects": ["ImagePolicy/team-*/*"], "ignore": ["207"], "minSeverity": "error"}],
            "suppress": [{"rules": ["IMP204", "IMP205"], "objects": ["Image/cluster"], "reason": "agreed", "until": "2027-01-31"}],
        }))
        .unwrap();
        assert!(config.layer.select.as_ref().is_some_and(|codes| codes.contains(&204) && codes.contains(&301)));
        assert!(config.layer.extend.contains(&101) && config.layer.ignore.contains(&206));
        assert_eq!((config.min_severity, config.fail_on), (Some(Level::Info), Some(FailOn::Never)));
        assert_eq!((config.release.as_deref(), config.baseline.as_deref()), (Some("4.20"), Some("lint-baseline.yaml")));
        assert_eq!((config.overrides.len(), config.overrides[0].min_severity), (1, Some(Level::Error)));
        let said: Vec<_> = config.directives.iter().map(|directive| (&*directive.said, &*directive.path)).collect();
        assert_eq!(said, [("IMP204", "suppress[0]"), ("IMP205", "suppress[0]")]);
        assert!(parse(json!({})).is_ok());
    }

    #[test]
    fn mistakes() {
        for (value, path, word) in [
            (json!([]), "", "a mapping"),
            (json!({"selct": []}), "selct", "did you mean select?"),
            (json!({"fail-on": "error"}), "fail-on", "did you mean failOn?"),
            (json!({"min_severity": "error"}), "min_severity", "did you mean minSeverity?"),
            (json!({"frobnicate": 1}), "frobnicate", "known are select, extendSelect"),
            (json!({"select": "IMP2"}), "select", "a list of rules, not a text"),
            (json!({"select": []}), "select", "no rule at all"),
            (json!({"select": ["IMP2", "IMP2O4"]}), "select[1]", "did you mean IMP204?"),
            (json!({"ignore": [true]}), "ignore[0]", "the boolean true"),
            (json!({"release": 4.2}), "release", "put it into quotes"),
            (json!({"release": "3.11"}), "release", "3.11"),
            (json!({"failOn": "Error"}), "failOn", "`Error` is not a level"),
            (json!({"minSeverity": "never"}), "minSeverity", "error, warning, info or hint"),
            (json!({"baseline": null}), "baseline", "not nothing"),
            (json!({"overrides": {}}), "overrides", "a list"),
            (json!({"overrides": [{"ignore": ["204"]}]}), "overrides[0]", "`paths` or `objects`"),
            (json!({"overrides": [{"paths": ["/x"]}]}), "overrides[0].paths[0]", "relative"),
            (json!({"overrides": [{"objects": ["ImagePolicy/x"]}]}), "overrides[0].objects[0]", "no namespace"),
            (json!({"overrides": [{"paths": ["x"], "failOn": "never"}]}), "overrides[0].failOn", "unknown key"),
            (json!({"suppress": [{"objects": ["Image/*"], "reason": "x"}]}), "suppress[0]", "no rules"),
            (json!({"suppress": [{"rules": ["204"]}]}), "suppress[0]", "no `reason`"),
            (json!({"suppress": [{"rules": ["204"], "reason": " - "}]}), "suppress[0]", "no `reason`"),
            (json!({"suppress": [{"rules": ["204"], "reason": "x", "until": "soon"}]}), "suppress[0].until", "a day"),
            (json!({"suppress": [{"rule": ["204"], "reason": "x"}]}), "suppress[0].rule", "did you mean rules?"),
        ] {
            let problem = parse(value.clone()).unwrap_err();
            assert_eq!(problem.path, path, "{value}");
            assert!(problem.message.contains(word), "{value}: {}", problem.message);
        }
    }
}
