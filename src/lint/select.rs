//! Which rules run and which findings are shown: rules by code, by the beginning of a code, or by name.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::glob::{Base, Glob, ObjectGlob};
use super::rules::RULES;
use super::{Finding, Level, Rule};
use crate::admission::{distance, nearest};
use crate::snapshot::Origin;

/// Codes of rules.
pub type Codes = BTreeSet<u16>;

/// The rules that a text names: a code (`IMP204`, `204`), the beginning of one (`IMP2`, `2`), a name (`shadowed-by-allowed`), or code and
/// name (`IMP204/shadowed-by-allowed`). Case does not count.
///
/// # Errors
/// Where there is no such rule.
pub fn rules_named(text: &str) -> Result<Vec<&'static Rule>, UnknownRule> {
    let wanted = text.trim().to_ascii_lowercase();
    let digits = wanted.strip_prefix("imp").unwrap_or(&wanted);
    let is_code = !wanted.is_empty() && digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_wanted = |rule: &&&'static Rule| {
        let id = rule.id().to_ascii_lowercase();
        match wanted.split_once('/') {
            Some((code, name)) => name == rule.name && id.get(3..) == Some(code.strip_prefix("imp").unwrap_or(code)),
            None if is_code => id.get(3..).is_some_and(|code| code.starts_with(digits)),
            None => rule.name == wanted,
        }
    };
    let found: Vec<&Rule> = RULES.iter().filter(is_wanted).copied().collect();
    if found.is_empty() { Err(UnknownRule::new(text.trim())) } else { Ok(found) }
}

/// A text that names no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRule {
    /// As it was written, shortened.
    pub text: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl UnknownRule {
    fn new(text: &str) -> Self {
        let upper = text.to_ascii_uppercase();
        let codes: Vec<String> = RULES.iter().map(|rule| rule.id()).collect();
        let by_name = || nearest(text, &RULES.iter().map(|rule| rule.name).collect::<Vec<_>>());
        let by_code = || {
            let upper = if upper.len() <= 4 && !upper.starts_with("IM") { format!("IMP{upper}") } else { upper };
            let near = nearest(&upper, &codes.iter().map(String::as_str).collect::<Vec<_>>())?;
            // Two characters in six say nothing.
            (distance(&upper, near) <= 1).then_some(near)
        };
        let suggestion = by_code().or_else(by_name).map(str::to_string);
        Self { text: shortened(text, 60), suggestion }
    }
}

/// `there is no rule `IMP2O4`: did you mean IMP204?`
impl fmt::Display for UnknownRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no rule `{}`", self.text)?;
        match &self.suggestion {
            Some(near) => write!(f, ": did you mean {near}?"),
            None => Ok(()),
        }
    }
}

/// At most so many characters of a text, `…` where some are left out.
pub(super) fn shortened(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_string(),
    }
}

/// What one place says about which rules run; places are laid on one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// Only these, whatever was said below.
    pub select: Option<Codes>,
    /// These as well.
    pub extend: Codes,
    /// Not these.
    pub ignore: Codes,
}

impl Layer {
    /// Of rules as they are written.
    ///
    /// # Errors
    /// The first that is none.
    pub fn new(select: &[String], extend: &[String], ignore: &[String]) -> Result<Self, UnknownRule> {
        let select = if select.is_empty() { None } else { Some(codes(select)?) };
        Ok(Self { select, extend: codes(extend)?, ignore: codes(ignore)? })
    }

    fn laid_on(&self, below: &Codes) -> Codes {
        let codes = self.select.as_ref().unwrap_or(below);
        codes.union(&self.extend).filter(|code| !self.ignore.contains(code)).copied().collect()
    }
}

fn codes(texts: &[String]) -> Result<Codes, UnknownRule> {
    let mut codes = Codes::new();
    for text in texts {
        codes.extend(rules_named(text)?.iter().map(|rule| rule.code));
    }
    Ok(codes)
}

/// Which findings something is about, by object and by file; empty lists say nothing, and both must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// Any of these.
    pub objects: Vec<ObjectGlob>,
    /// Any of these.
    pub paths: Vec<Glob>,
    /// Where the paths begin.
    pub base: Base,
}

impl Matching {
    /// Whether a finding is meant.
    pub fn matches(&self, finding: &Finding) -> bool {
        let object = self.objects.is_empty() || self.objects.iter().any(|glob| glob.matches(&finding.object));
        object && (self.paths.is_empty() || self.is_in_files(&finding.origin))
    }

    fn is_in_files(&self, origin: &Origin) -> bool {
        let Origin::File { source, .. } = origin else { return false };
        let file = self.base.relative(&source.name);
        self.paths.iter().any(|glob| glob.matches(&file))
    }
}

/// Other settings for some objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// For which.
    pub matching: Matching,
    /// Which rules.
    pub layer: Layer,
    /// From which level on.
    pub min_severity: Option<Level>,
}

/// Everything that was said about which findings somebody wants to see.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The configuration file.
    pub file: Layer,
    /// Of the configuration file; the last that fits counts.
    pub overrides: Vec<Override>,
    /// Flags, which win.
    pub command_line: Layer,
    /// Of the configuration file.
    pub file_min_severity: Option<Level>,
    /// `--min-severity`
    pub min_severity: Option<Level>,
}

impl Selection {
    /// The rules that are wanted for any object.
    pub fn rules(&self) -> Vec<&'static Rule> {
        let mut below = self.of_file();
        for layer in self.overrides.iter().map(|over| &over.layer) {
            below.extend(layer.select.iter().flatten().chain(&layer.extend));
        }
        let wanted = self.command_line.laid_on(&below);
        RULES.iter().filter(|rule| wanted.contains(&rule.code)).copied().collect()
    }

    /// Takes out what nobody wants to see: by rule for the finding's object, and by level.
    pub fn filter(&self, findings: &mut Vec<Finding>) {
        let below = self.of_file();
        let mut known: HashMap<Vec<usize>, (Codes, Level)> = HashMap::new();
        findings.retain(|finding| {
            let fitting = self.overrides.iter().enumerate().filter(|(_, over)| over.matching.matches(finding));
            let fitting: Vec<usize> = fitting.map(|(index, _)| index).collect();
            let (codes, least) = known.entry(fitting).or_insert_with_key(|fitting| self.of_object(&below, fitting));
            codes.contains(&finding.rule.code) && finding.level >= *least
        });
    }

    fn of_object(&self, below: &Codes, fitting: &[usize]) -> (Codes, Level) {
        let mut codes = below.clone();
        let mut level = self.file_min_severity;
        for over in fitting.iter().filter_map(|index| self.overrides.get(*index)) {
            codes = over.layer.laid_on(&codes);
            level = over.min_severity.or(level);
        }
        (self.command_line.laid_on(&codes), self.min_severity.or(level).unwrap_or(Level::Hint))
    }

    fn of_file(&self) -> Codes {
        self.file.laid_on(&RULES.iter().map(|rule| rule.code).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<u16> {
        rules_named(text).map(|rules| rules.iter().map(|rule| rule.code).collect()).unwrap_or_default()
    }

    #[test]
    fn rules_have_several_names() {
        for text in [
            "IMP204",
            "204",
            "imp204",
            " IMP204 ",
            "shadowed-by-allowed",
            "Shadowed-By-Allowed",
            "IMP204/shadowed-by-allowed",
            "204/shadowed-by-allowed",
        ] {
            assert_eq!(named(text), [204], "{text}");
        }
        assert_eq!(named("IMP").len(), RULES.len());
        assert!(named("IMP3").iter().all(|code| code / 100 == 3) && named("3") == named("IMP3"));
        assert!(named("20").iter().all(|code| code / 10 == 20) && named("20").len() > 5);
        for text in
            ["", "IMP999", "IMP2044", "IMP204/scope-refused", "IMP20/shadowed-by-allowed", "nope", "IMP-2", "８"]
        {
            assert!(named(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn mistyped_rules_are_recognised() {
        for (text, expected) in [
            ("IMP2O4", Some("IMP204")),
            ("IPM204", Some("IMP204")),
            ("shadowed-by-alowed", Some("shadowed-by-allowed")),
            ("something-else-entirely", None),
            ("IMP888", None),
        ] {
            assert_eq!(rules_named(text).unwrap_err().suggestion.as_deref(), expected, "{text}");
        }
        let long = rules_named(&"x".repeat(1_000_000)).unwrap_err();
        assert!(long.to_string().len() < 100);
    }

    #[test]
    fn layers() {
        let layer = |select: &[&str], extend: &[&str], ignore: &[&str]| {
            let texts = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<Vec<String>>();
            Layer::new(&texts(select), &texts(extend), &texts(ignore)).unwrap()
        };
        let all: Codes = RULES.iter().map(|rule| rule.code).collect();
        assert_eq!(Layer::default().laid_on(&all), all);
        assert_eq!(layer(&["204", "IMP301"], &[], &["301"]).laid_on(&all), Codes::from([204]));
        assert_eq!(layer(&[], &["202"], &[]).laid_on(&Codes::from([204])), Codes::from([202, 204]));
        assert_eq!(layer(&[], &[], &["2"]).laid_on(&Codes::from([204, 301])), Codes::from([301]));
        let selection = Selection {
            file: layer(&["204"], &["301"], &["301"]),
            overrides: vec![Override { layer: layer(&[], &["401"], &["204"]), ..Override::default() }],
            command_line: layer(&[], &["202"], &[]),
            ..Selection::default()
        };
        let codes: Vec<u16> = selection.rules().iter().map(|rule| rule.code).collect();
        assert_eq!(codes, [202, 204, 401]);
    }
}
