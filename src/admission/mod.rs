//! What the API server of a release refuses: its schemas, their CEL rules, and what it asks of any object's metadata, in its own
//! words. Unknown fields are pruned there, not refused.

mod formats;
mod metadata;
mod schema;
mod text;
mod unknown;

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::model::go_text::quote;
use crate::model::release::Release;
use schema::{Schema, Shape, schema_of};
use text::bad_value;
pub use unknown::{UnknownField, distance, nearest, unknown_fields};

/// One cause of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRefusal {
    /// The field: `spec.scopes[0]`; `<nil>` where the server names none.
    pub path: String,
    /// The server's own words, without the field.
    pub message: String,
    /// What kind of refusal it is.
    pub rule: ApiRule,
    /// The refused value: a text as it is, a number or list as JSON; empty for an object and where there is none.
    pub value: String,
}

/// What a refusal is about: which rule of the linter reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiRule {
    /// The union under `rootOfTrust`, or an unknown `policyType` (104).
    RootOfTrust,
    /// An entry of `spec.scopes` (105).
    Scope,
    /// Too many entries, or the same one twice in a set (106).
    TooMany,
    /// An entry of `registrySources` (107).
    RegistryEntry,
    /// Any other field (111).
    Field,
    /// Both `allowedRegistries` and `blockedRegistries` (201).
    AllowedAndBlocked,
    /// Not a cause of its own: the CEL rules were not run because of the others. No rule reports it.
    NotChecked,
}

const NOT_CHECKED: &str = "Invalid value: null: some validation rules were not checked because the object was invalid; \
                           correct the existing errors to complete validation";

/// So that a list of a million numbers does not become a million messages. The server has no such limit.
const MOST_CAUSES: usize = 10_000;

/// Every cause for which the API server of `release` would refuse to create `object`, in the order of the schema. Empty: it is
/// accepted, or of a kind that is not checked here.
///
/// `object` is the object as written. A version of a policy that the release does not serve is checked with the schema of the
/// nearest release that does.
pub fn refusals(release: &Release, object: &Value) -> Vec<ApiRefusal> {
    let (Some(api_version), Some(kind)) = (text_at(object, "apiVersion"), text_at(object, "kind")) else {
        return Vec::new();
    };
    let Some(schema) = schema_of(release, api_version, kind) else { return Vec::new() };
    let mut causes = Causes::default();
    metadata::validate(object.get("metadata"), &mut causes);
    causes.validate(schema, object);
    if !causes.blocking {
        causes.evaluate(schema, object);
    } else if schema.has_checks() {
        causes.list.push(ApiRefusal {
            path: "<nil>".to_string(),
            message: NOT_CHECKED.to_string(),
            rule: ApiRule::NotChecked,
            value: String::new(),
        });
    }
    causes.list
}

/// Whether `spec.scopes` of a policy may have this entry, in every release that has policies.
pub fn accepts_scope(scope: &str) -> bool {
    accepts(&schema::SCOPE, scope)
}

/// Whether a list of `registrySources` may have this entry, in every release (to 4.22 they take any text).
pub fn accepts_registry(registry: &str) -> bool {
    accepts(&schema::REGISTRY_V5_0, registry)
}

fn accepts(schema: &Schema, text: &str) -> bool {
    let value = Value::from(text);
    let mut causes = Causes::default();
    causes.validate(schema, &value);
    causes.evaluate(schema, &value);
    causes.list.is_empty()
}

fn text_at<'a>(object: &'a Value, member: &str) -> Option<&'a str> {
    object.get(member).and_then(Value::as_str)
}

/// What has been found, and where the walk is.
#[derive(Default)]
struct Causes {
    list: Vec<ApiRefusal>,
    path: String,
    /// Whether a cause is of the sort for which the server does not go on to CEL.
    blocking: bool,
}

impl Causes {
    fn push(&mut self, rule: ApiRule, value: &Value, message: String) {
        if self.list.len() >= MOST_CAUSES {
            return;
        }
        let value = match value {
            Value::Null | Value::Object(_) => String::new(),
            Value::String(text) => text.clone(),
            other => bad_value(other),
        };
        self.list.push(ApiRefusal { path: self.path.clone(), message, rule, value });
    }

    fn push_blocking(&mut self, rule: ApiRule, value: &Value, message: String) {
        self.blocking = true;
        self.push(rule, value, message);
    }

    fn at_member(&mut self, name: &str, visit: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        visit(self);
        self.path.truncate(length);
    }

    fn at_index(&mut self, index: usize, visit: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        visit(self);
        self.path.truncate(length);
    }

    /// The structural part: types, lengths, formats, patterns, enumerations, sets, required fields.
    fn validate(&mut self, schema: &Schema, value: &Value) {
        self.validate_type(schema, value);
        match value {
            Value::String(text) => self.validate_text(schema, value, text),
            Value::Array(items) => self.validate_items(schema, value, items),
            Value::Object(members) => self.validate_members(schema, members),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        if let Shape::Text { one_of, .. } = &schema.shape
            && !one_of.is_empty()
            && !value.as_str().is_some_and(|text| one_of.contains(&text))
        {
            let values: Vec<String> = one_of.iter().map(|value| quote(value)).collect();
            let message = format!("Unsupported value: {}: supported values: {}", bad_value(value), values.join(", "));
            self.push_blocking(schema.rule, value, message);
        }
    }

    fn validate_type(&mut self, schema: &Schema, value: &Value) {
        match &schema.format {
            Some(_) if value.is_string() || value.is_array() => {}
            Some(format) if !value.is_null() => self.wrong_type(schema.rule, value, format.name, go_format(value)),
            _ => {
                let (expected, found) = (schema.shape.name(), json_type(value));
                if found != expected {
                    self.wrong_type(schema.rule, value, expected, found);
                }
            }
        }
    }

    fn wrong_type(&mut self, rule: ApiRule, value: &Value, expected: &str, found: &str) {
        let found = quote(found);
        let message = format!("Invalid value: {found}: {} in body must be of type {expected}: {found}", self.path);
        self.push_blocking(rule, value, message);
    }

    fn validate_text(&mut self, schema: &Schema, value: &Value, text: &str) {
        if let Shape::Text { least, most, pattern, .. } = &schema.shape {
            let length = text.chars().count();
            if length > *most {
                self.push_blocking(schema.rule, value, format!("Too long: may not be more than {most} bytes"));
            } else if length < *least {
                let message = format!(
                    "Invalid value: {}: {} in body should be at least {least} chars long",
                    quote(text),
                    self.path
                );
                self.push(schema.rule, value, message);
            } else if let Some(pattern) = pattern
                && !(pattern.holds)(text)
            {
                let message =
                    format!("Invalid value: {}: {} in body should match '{}'", quote(text), self.path, pattern.text);
                self.push(schema.rule, value, message);
            }
        }
        if let Some(format) = &schema.format
            && !(format.holds)(text)
        {
            self.wrong_type(schema.rule, value, format.name, text);
        }
    }

    fn validate_items(&mut self, schema: &Schema, value: &Value, items: &[Value]) {
        let Shape::List { items: item_schema, least, most, set } = &schema.shape else { return };
        for (index, item) in items.iter().enumerate() {
            self.at_index(index, |causes| causes.validate(item_schema, item));
        }
        let size = items.len();
        if size < *least {
            let message = format!("Invalid value: {size}: {} in body should have at least {least} items", self.path);
            self.push(schema.rule, value, message);
        }
        if size > *most {
            let message = format!("Too many: {size}: must have at most {most} items");
            self.push_blocking(ApiRule::TooMany, &Value::from(size), message);
        }
        if *set {
            self.validate_set(items);
        }
    }

    /// Names the second occurrence of each value, not the third.
    fn validate_set(&mut self, items: &[Value]) {
        let mut seen: HashMap<Element<'_>, usize> = HashMap::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let times = seen.entry(Element::of(item)).or_default();
            *times += 1;
            if *times == 2 {
                let message = format!("Duplicate value: {}", bad_value(item));
                self.at_index(index, |causes| causes.push(ApiRule::TooMany, item, message));
            }
        }
    }

    fn validate_members(&mut self, schema: &Schema, members: &Map<String, Value>) {
        let Shape::Object(fields) = &schema.shape else { return };
        for field in *fields {
            self.at_member(field.name, |causes| match present(members, field.name) {
                Some(value) => causes.validate(field.schema, value),
                None if field.required => {
                    causes.push_blocking(ApiRule::Field, &Value::Null, "Required value".to_string());
                }
                None => {}
            });
        }
    }

    /// The CEL rules, of this value and of all below it.
    fn evaluate(&mut self, schema: &Schema, value: &Value) {
        for check in schema.checks {
            let problem = match (check.holds)(value) {
                Ok(true) => continue,
                Ok(false) => check.message.to_string(),
                Err(error) => format!("{error} evaluating rule: {}", check.message),
            };
            let message = format!("Invalid value: {}: {problem}", quote(schema.shape.name()));
            self.push(check.rule, value, message);
        }
        match (&schema.shape, value) {
            (Shape::Object(fields), Value::Object(members)) => {
                for field in *fields {
                    if let Some(value) = present(members, field.name) {
                        self.at_member(field.name, |causes| causes.evaluate(field.schema, value));
                    }
                }
            }
            (Shape::List { items: item_schema, .. }, Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.at_index(index, |causes| causes.evaluate(item_schema, item));
                }
            }
            _ => {}
        }
    }
}

/// The server drops nulls from objects before it looks at them, though not from lists.
fn present<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.get(name).filter(|value| !value.is_null())
}

/// An element of a set, equal where Go's values are: an integer is not a float.
#[derive(PartialEq, Eq, Hash)]
enum Element<'a> {
    Text(&'a str),
    Integer(i64),
    /// A float, a list or an object by its text.
    Printed(String),
    Bool(bool),
    Null,
}

impl<'a> Element<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Element::Text(text),
            Value::Number(number) => {
                number.as_i64().map_or_else(|| Element::Printed(bad_value(value)), Element::Integer)
            }
            Value::Bool(bool) => Element::Bool(*bool),
            Value::Null => Element::Null,
            Value::Array(_) | Value::Object(_) => Element::Printed(bad_value(value)),
        }
    }
}

impl Shape {
    fn name(&self) -> &'static str {
        match self {
            Shape::Object(_) => "object",
            Shape::List { .. } => "array",
            Shape::Text { .. } => "string",
            Shape::Boolean => "boolean",
        }
    }
}

/// The type of a value as the schema language has it.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The format that the server reads off a value, which it names instead of the type where the field has a format.
fn go_format(value: &Value) -> &'static str {
    match json_type(value) {
        "integer" => "int64",
        "number" => "float64",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Path, rule and value of each cause.
    fn causes(release: &str, object: &Value) -> Vec<(String, ApiRule, String)> {
        let release = Release::parse(release).unwrap();
        refusals(release, object).into_iter().map(|cause| (cause.path, cause.rule, cause.value)).collect()
    }

    fn policy(version: &str, scopes: &Value, root: &Value) -> Value {
        json!({
            "apiVersion": format!("config.openshift.io/{version}"),
            "kind": "ClusterImagePolicy",
            "metadata": {"name": "x"},
            "spec": {"scopes": scopes, "policy": {"rootOfTrust": root}},
        })
    }

    fn image(sources: &Value) -> Value {
        json!({
            "apiVersion": "config.openshift.io/v1",
            "kind": "Image",
            "metadata": {"name": "cluster"},
            "spec": {"registrySources": sources},
        })
    }

    #[test]
    fn causes_belong_to_rules() {
        use ApiRule::{AllowedAndBlocked, Field, NotChecked, RegistryEntry, RootOfTrust, Scope, TooMany};
        let union = "spec.policy.rootOfTrust";
        type Expected<'a> = &'a [(&'a str, ApiRule, &'a str)];
        let table: [(Value, Expected); 9] = [
            (
                policy("v1", &json!(["quay"]), &json!({"policyType": "PublicKey"})),
                &[("spec.scopes[0]", Scope, "quay"), ("spec.scopes[0]", Scope, "quay"), (union, RootOfTrust, "")],
            ),
            (
                policy("v1", &json!(["a.b", "a.b"]), &json!({"policyType": "Nope"})),
                &[
                    ("spec.scopes[1]", TooMany, "a.b"),
                    ("spec.policy.rootOfTrust.policyType", RootOfTrust, "Nope"),
                    ("<nil>", NotChecked, ""),
                ],
            ),
            (
                policy("v1", &json!([null]), &json!({})),
                &[
                    ("spec.scopes[0]", Scope, ""),
                    ("spec.policy.rootOfTrust.policyType", Field, ""),
                    ("<nil>", NotChecked, ""),
                ],
            ),
            (
                policy("v1", &json!(vec!["a.b"; 257]), &json!({"policyType": "PKI"})),
                &[("spec.scopes", TooMany, "257"), ("spec.scopes[1]", TooMany, "a.b"), ("<nil>", NotChecked, "")],
            ),
            (
                image(&json!({"blockedRegistries": [], "allowedRegistries": ["a:b", ""]})),
                &[
                    ("spec.registrySources.allowedRegistries[1]", RegistryEntry, ""),
                    ("spec.registrySources", AllowedAndBlocked, ""),
                    ("spec.registrySources.allowedRegistries[0]", RegistryEntry, "a:b"),
                    ("spec.registrySources.allowedRegistries[1]", RegistryEntry, ""),
                ],
            ),
            (
                image(&json!({"containerRuntimeSearchRegistries": []})),
                &[("spec.registrySources.containerRuntimeSearchRegistries", Field, "[]")],
            ),
            (image(&json!({"containerRuntimeSearchRegistries": "quay.io"})), &[]),
            (image(&json!([])), &[("spec.registrySources", Field, "[]"), ("<nil>", NotChecked, "")]),
            (
                json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "A"}}),
                &[("metadata.name", Field, "A"), ("spec", Field, ""), ("<nil>", NotChecked, "")],
            ),
        ];
        for (object, expected) in table {
            let expected: Vec<_> =
                expected.iter().map(|(path, rule, value)| ((*path).to_string(), *rule, (*value).to_string())).collect();
            assert_eq!(causes("5.0", &object), expected, "{object}");
        }
    }

    #[test]
    fn releases_differ() {
        let both = image(&json!({"blockedRegistries": ["a"], "allowedRegistries": ["b:tag"]}));
        let unknown = |version| policy(version, &json!(["a.b"]), &json!({"policyType": "Nope"}));
        let pki = |version| policy(version, &json!(["a.b"]), &json!({"policyType": "PKI"}));
        let short =
            policy("v1alpha1", &json!(["a.b"]), &json!({"policyType": "PublicKey", "publicKey": {"keyData": "Zm9v"}}));
        for (release, object, expected) in [
            ("4.17", &both, 0),
            ("4.18", &both, 1),
            ("4.22", &both, 1),
            ("4.23", &both, 2),
            ("5.1", &both, 2),
            ("4.16", &unknown("v1alpha1"), 2),
            ("4.18", &unknown("v1alpha1"), 2),
            ("4.19", &unknown("v1alpha1"), 0),
            ("4.20", &unknown("v1"), 0),
            ("4.21", &unknown("v1"), 2),
            ("4.18", &pki("v1alpha1"), 2),
            ("4.20", &pki("v1"), 0),
            ("4.21", &pki("v1"), 1),
            ("4.16", &unknown("v1"), 0),
            ("5.2", &short, 0),
            ("5.2", &unknown("v2"), 0),
        ] {
            assert_eq!(causes(release, object).len(), expected, "{release}: {object}");
        }
    }

    #[test]
    fn what_is_not_an_object_of_a_known_kind_is_left_alone() {
        for object in
            [json!(null), json!([]), json!("x"), json!({}), json!({"apiVersion": "v1", "kind": "Pod", "spec": 5})]
        {
            assert_eq!(causes("5.2", &object), [], "{object}");
        }
    }

    #[test]
    fn causes_without_end_are_cut() {
        let many = policy("v1", &json!(vec![1; 50_000]), &json!({"policyType": "Nope"}));
        let found = causes("5.2", &many);
        assert_eq!(found.len(), MOST_CAUSES + 1);
        assert_eq!(found.last().unwrap().1, ApiRule::NotChecked);
    }
}
