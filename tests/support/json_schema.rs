//! JSON Schema, as much of it as the schemas under `tests/schemas` use. A keyword, format or pattern that it does not know ends in a
//! panic, never in a "valid". The crates that know all of it bring forty others along and have half of the program compiled anew.

use std::collections::HashSet;

use serde_json::Value;

/// What is wrong with a value, each with its place.
pub fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let mut validator = Validator { root: schema, problems: Vec::new() };
    validator.check(schema, value, "");
    validator.problems
}

struct Validator<'s> {
    root: &'s Value,
    problems: Vec<String>,
}

impl<'s> Validator<'s> {
    fn check(&mut self, schema: &'s Value, value: &Value, place: &str) {
        let keywords = schema.as_object().unwrap_or_else(|| panic!("no schema: {schema}"));
        // In drafts up to 07 nothing beside a reference counts.
        if let Some(reference) = keywords.get("$ref") {
            let pointer = reference.as_str().and_then(|reference| reference.strip_prefix('#')).unwrap();
            let schema = self.root.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"));
            return self.check(schema, value, place);
        }
        for (keyword, wanted) in keywords {
            if let Some(problem) = self.keyword(keywords, keyword, wanted, value, place) {
                self.problems.push(format!("{place}: {problem}: {value}"));
            }
        }
    }

    fn keyword(
        &mut self,
        keywords: &'s serde_json::Map<String, Value>,
        keyword: &str,
        wanted: &'s Value,
        value: &Value,
        place: &str,
    ) -> Option<String> {
        match keyword {
            "$schema" | "$id" | "title" | "description" | "default" | "definitions" => None,
            "type" => {
                let types: Vec<&Value> = wanted.as_array().map_or(vec![wanted], |types| types.iter().collect());
                let fits = types.iter().any(|name| has_type(value, name.as_str().unwrap()));
                (!fits).then(|| format!("not of type {wanted}"))
            }
            "enum" => (!wanted.as_array().unwrap().contains(value)).then(|| format!("none of {wanted}")),
            "required" => {
                let fields = value.as_object()?;
                let missing =
                    wanted.as_array().unwrap().iter().find(|name| !fields.contains_key(name.as_str().unwrap()));
                missing.map(|name| format!("lacks {name}"))
            }
            "properties" => {
                for (name, schema) in wanted.as_object().unwrap() {
                    if let Some(value) = value.get(name).filter(|_| value.is_object()) {
                        self.check(schema, value, &format!("{place}/{name}"));
                    }
                }
                None
            }
            "additionalProperties" => {
                let known = keywords.get("properties").and_then(Value::as_object);
                for (name, value) in value.as_object()? {
                    if known.is_some_and(|known| known.contains_key(name)) || *wanted == Value::Bool(true) {
                        continue;
                    }
                    if *wanted == Value::Bool(false) {
                        return Some(format!("{name} is not known"));
                    }
                    self.check(wanted, value, &format!("{place}/{name}"));
                }
                None
            }
            "items" => {
                for (index, item) in value.as_array()?.iter().enumerate() {
                    self.check(wanted, item, &format!("{place}/{index}"));
                }
                None
            }
            "minItems" => ((value.as_array()?.len() as u64) < wanted.as_u64().unwrap()).then(|| "too short".into()),
            "uniqueItems" if *wanted == Value::Bool(false) => None,
            "uniqueItems" => {
                let mut seen = HashSet::new();
                let twice = value.as_array()?.iter().find(|item| !seen.insert(item.to_string()));
                twice.map(|_| "the same item twice".into())
            }
            "minimum" => (value.as_f64()? < wanted.as_f64().unwrap()).then(|| format!("below {wanted}")),
            "maximum" => (value.as_f64()? > wanted.as_f64().unwrap()).then(|| format!("above {wanted}")),
            "anyOf" | "oneOf" => {
                let schemas = wanted.as_array().unwrap().iter();
                let fitting = schemas.filter(|schema| {
                    let mut alone = Validator { root: self.root, problems: Vec::new() };
                    alone.check(schema, value, place);
                    alone.problems.is_empty()
                });
                let fitting = fitting.count();
                let fits = if keyword == "oneOf" { fitting == 1 } else { fitting > 0 };
                (!fits).then(|| format!("fits {fitting} of {keyword}"))
            }
            "format" => has_format(value.as_str()?, wanted.as_str().unwrap()).err(),
            "pattern" if !value.is_string() => None,
            _ => panic!("{place}: the keyword {keyword} is not known here: {wanted}"),
        }
    }
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the type {other} is not known here"),
    }
}

/// RFC 3986, its characters and its scheme.
fn has_format(text: &str, format: &str) -> Result<(), String> {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
    let mut escapes = text.split('%').skip(1);
    let hexadecimal = |rest: &str| rest.get(..2).is_some_and(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let is_reference = text.chars().all(may_stand) && escapes.all(hexadecimal);
    let scheme = text.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
    let has_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let fits = match format {
        "uri" => is_reference && has_scheme,
        // A colon in the first part would make a scheme of it.
        "uri-reference" => is_reference && (has_scheme || !text.split('/').next().unwrap_or_default().contains(':')),
        other => panic!("the format {other} is not known here"),
    };
    if fits { Ok(()) } else { Err(format!("no {format}")) }
}
