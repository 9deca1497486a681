//! Templates: `{{ name }}` stands for a value, and the lines between `{{# list }}` and `{{/ list }}` are repeated for each item.
//! A value that is missing is an error that names it, and so is one that the template does not use: either is a mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a template is filled with.
#[derive(Debug, Default)]
pub struct Values {
    pub texts: Texts,
    /// Each item has texts of its own; the others are seen in it, too.
    pub lists: BTreeMap<&'static str, Vec<Texts>>,
}

pub type Texts = BTreeMap<&'static str, String>;

#[derive(Debug, PartialEq, Eq)]
pub enum TemplateError {
    Missing {
        line: usize,
        name: String,
    },
    Unused(String),
    /// The value could end the string in which it stands, or begin something else.
    Unsafe {
        name: String,
        value: String,
    },
    Syntax {
        line: usize,
        problem: &'static str,
    },
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Missing { line, name } => write!(f, "line {line}: no value for {name:?}"),
            Self::Unused(name) => write!(f, "the value {name:?} is used nowhere"),
            Self::Unsafe { name, value } => {
                write!(f, "the value of {name:?} is empty, or has a character with a meaning in YAML: {value:?}")
            }
            Self::Syntax { line, problem } => write!(f, "line {line}: {problem}"),
        }
    }
}

/// The template's text with its values.
///
/// # Errors
/// The first thing that is wrong with the template or its values, with the template's line from 1.
pub fn render(template: &str, values: &Values) -> Result<String, TemplateError> {
    check_values(values)?;
    let mut used = BTreeSet::new();
    let mut text = String::new();
    let mut lines = (1..).zip(template.split_inclusive('\n'));
    while let Some((number, line)) = lines.next() {
        let Some(name) = section(line, '#') else {
            if section(line, '/').is_some() {
                return Err(TemplateError::Syntax { line: number, problem: "the end of a list that did not begin" });
            }
            fill(line, number, &values.texts, &Texts::new(), &mut used, &mut text)?;
            continue;
        };
        let items = values.lists.get(name).ok_or(TemplateError::Missing { line: number, name: name.to_owned() })?;
        used.insert(name.to_owned());
        let mut repeated = Vec::new();
        loop {
            let Some((number, line)) = lines.next() else {
                return Err(TemplateError::Syntax { line: number, problem: "a list without an end" });
            };
            match (section(line, '/'), section(line, '#')) {
                (Some(end), _) if end == name => break,
                (None, None) => repeated.push((number, line)),
                _ => return Err(TemplateError::Syntax { line: number, problem: "a list inside a list" }),
            }
        }
        for item in items {
            for (number, line) in &repeated {
                fill(line, *number, &values.texts, item, &mut used, &mut text)?;
            }
        }
    }
    match names(values).find(|name| !used.contains(*name)) {
        Some(unused) => Err(TemplateError::Unused(unused.to_owned())),
        None => Ok(text),
    }
}

fn names(values: &Values) -> impl Iterator<Item = &'static str> {
    let items = values.lists.values().flatten().flat_map(|item| item.keys());
    values.texts.keys().chain(values.lists.keys()).chain(items).copied()
}

fn check_values(values: &Values) -> Result<(), TemplateError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#@!$&+,;=%".contains(c);
    for (name, value) in values.texts.iter().chain(values.lists.values().flatten().flatten()) {
        if value.is_empty() || !value.chars().all(is_plain) {
            return Err(TemplateError::Unsafe { name: (*name).to_owned(), value: value.clone() });
        }
    }
    Ok(())
}

/// `name` of a line that is `{{# name }}` (or `{{/ name }}`) alone.
fn section(line: &str, mark: char) -> Option<&str> {
    line.trim().strip_prefix("{{")?.strip_prefix(mark)?.strip_suffix("}}").map(str::trim)
}

fn fill(
    line: &str,
    number: usize,
    outer: &Texts,
    item: &Texts,
    used: &mut BTreeSet<String>,
    text: &mut String,
) -> Result<(), TemplateError> {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after
            .split_once("}}")
            .ok_or(TemplateError::Syntax { line: number, problem: "{{ without }} on the same line" })?;
        let name = name.trim();
        let value = item.get(name).or_else(|| outer.get(name));
        let value = value.ok_or_else(|| TemplateError::Missing { line: number, name: name.to_owned() })?;
        used.insert(name.to_owned());
        text.push_str(before);
        text.push_str(value);
        rest = after;
    }
    text.push_str(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "name: \"{{ name }}\"\nof:\n{{# parts }}\n- \"{{ part }} of {{name}}\"\n{{/ parts }}\nend\n";

    fn values(texts: &[(&'static str, &str)], parts: &[&[(&'static str, &str)]]) -> Values {
        let texts_of =
            |pairs: &[(&'static str, &str)]| pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Values { texts: texts_of(texts), lists: [("parts", parts.iter().map(|part| texts_of(part)).collect())].into() }
    }

    #[test]
    fn values_stand_where_they_are_named() {
        let values = values(&[("name", "house")], &[&[("part", "roof")], &[("part", "door")]]);
        let expected = "name: \"house\"\nof:\n- \"roof of house\"\n- \"door of house\"\nend\n";
        assert_eq!(render(TEMPLATE, &values).unwrap(), expected);
    }

    #[test]
    fn every_mistake_is_named() {
        let house = [("name", "house")];
        let roof: &[(&str, &str)] = &[("part", "roof")];
        let cases = [
            (TEMPLATE, values(&[], &[roof]), "line 1: no value for \"name\""),
            (TEMPLATE, values(&house, &[roof, &[]]), "line 4: no value for \"part\""),
            (TEMPLATE, Values { lists: [].into(), ..values(&house, &[]) }, "line 3: no value for \"parts\""),
            (
                TEMPLATE,
                values(&[("name", "house"), ("colour", "red")], &[roof]),
                "the value \"colour\" is used nowhere",
            ),
            ("{{ name }}", values(&house, &[roof]), "the value \"parts\" is used nowhere"),
            (TEMPLATE, values(&house, &[&[("part", "roof"), ("x", "y")]]), "the value \"x\" is used nowhere"),
            (
                TEMPLATE,
                values(&house, &[&[("part", "a\" b: \"c")]]),
                "the value of \"part\" is empty, or has a character with a meaning in YAML: \"a\\\" b: \\\"c\"",
            ),
            (
                TEMPLATE,
                values(&[("name", "")], &[roof]),
                "the value of \"name\" is empty, or has a character with a meaning in YAML: \"\"",
            ),
            ("a\n{{ name\n}}", values(&house, &[]), "line 2: {{ without }} on the same line"),
            ("{{# parts }}\n", values(&house, &[roof]), "line 1: a list without an end"),
            ("{{/ parts }}\n", values(&house, &[roof]), "line 1: the end of a list that did not begin"),
            ("{{# parts }}\n{{# parts }}\n", values(&house, &[roof]), "line 2: a list inside a list"),
            ("{{# parts }}\n{{/ other }}\n", values(&house, &[roof]), "line 2: a list inside a list"),
        ];
        for (template, values, expected) in cases {
            assert_eq!(render(template, &values).unwrap_err().to_string(), expected, "{template}");
        }
    }
}
