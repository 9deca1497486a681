//! What the server asks of any object's metadata: name, labels and annotations.

use serde_json::{Map, Value};

use super::formats::is_dns1123_labels;
use super::{ApiRule, Causes, present};
use crate::model::go_text::quote;

/// Bytes of all annotations together.
const ANNOTATIONS_LIMIT: usize = 256 << 10;

/// Pushes a cause for each name, label and annotation that is refused. Wrong types are left to the decoder.
pub(super) fn validate(metadata: Option<&Value>, causes: &mut Causes) {
    let empty = Map::new();
    let metadata = metadata.and_then(Value::as_object).unwrap_or(&empty);
    causes.at_member("metadata", |causes| {
        validate_name(metadata, causes);
        validate_labels(metadata, causes);
        validate_annotations(metadata, causes);
    });
}

fn validate_name(metadata: &Map<String, Value>, causes: &mut Causes) {
    let text = |name| present(metadata, name).and_then(Value::as_str).unwrap_or_default();
    let (name, prefix) = (text("name"), text("generateName"));
    if !prefix.is_empty() {
        // The server validates a prefix as if a letter stood for its last dash and the byte before it. The name that it makes of a
        // refused prefix it refuses as well; that one is not known here.
        let completed = match prefix.as_bytes() {
            [rest @ .., _, b'-'] => format!("{}a", String::from_utf8_lossy(rest)),
            _ => prefix.to_string(),
        };
        causes.at_member("generateName", |causes| invalid(prefix, &subdomain_problems(&completed), causes));
    }
    causes.at_member("name", |causes| {
        if !name.is_empty() {
            invalid(name, &subdomain_problems(name), causes);
        } else if prefix.is_empty() {
            let message = "Required value: name or generateName is required".to_string();
            causes.push_blocking(ApiRule::Field, &Value::Null, message);
        }
    });
}

fn validate_labels(metadata: &Map<String, Value>, causes: &mut Causes) {
    let Some(labels) = present(metadata, "labels").and_then(Value::as_object) else { return };
    causes.at_member("labels", |causes| {
        for (key, value) in labels {
            invalid(key, &qualified_name_problems(key), causes);
            let value = value.as_str().unwrap_or_default();
            invalid(value, &label_value_problems(value), causes);
        }
    });
}

fn validate_annotations(metadata: &Map<String, Value>, causes: &mut Causes) {
    let Some(annotations) = present(metadata, "annotations").and_then(Value::as_object) else { return };
    causes.at_member("annotations", |causes| {
        for key in annotations.keys() {
            invalid(key, &qualified_name_problems(&key.to_lowercase()), causes);
        }
        let size: usize =
            annotations.iter().map(|(key, value)| key.len() + value.as_str().unwrap_or_default().len()).sum();
        if size > ANNOTATIONS_LIMIT {
            let message = format!("Too long: may not be more than {ANNOTATIONS_LIMIT} bytes");
            causes.push_blocking(ApiRule::Field, &Value::Null, message);
        }
    });
}

fn invalid(value: &str, problems: &[String], causes: &mut Causes) {
    for problem in problems {
        causes.push(ApiRule::Field, &Value::from(value), format!("Invalid value: {}: {problem}", quote(value)));
    }
}

fn subdomain_problems(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name.len() > 253 {
        problems.push("must be no more than 253 characters".to_string());
    }
    if !is_dns1123_labels(name) {
        problems.push(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an \
             alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                .to_string(),
        );
    }
    problems
}

const QUALIFIED_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
                              character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                              '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

fn qualified_name_problems(key: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((_, rest)) if rest.contains('/') => {
            let suffix = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {QUALIFIED_NAME} {suffix}")];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".to_string());
            } else {
                problems.extend(subdomain_problems(prefix).iter().map(|problem| format!("prefix part {problem}")));
            }
            name
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_string());
    } else if name.len() > 63 {
        problems.push("name part must be no more than 63 characters".to_string());
    }
    if !is_name(name) {
        problems.push(format!("name part {QUALIFIED_NAME}"));
    }
    problems
}

fn label_value_problems(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > 63 {
        problems.push("must be no more than 63 characters".to_string());
    }
    if !value.is_empty() && !is_name(value) {
        problems.push(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
             alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
             '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                .to_string(),
        );
    }
    problems
}

/// `([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]`
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    [bytes.first(), bytes.last()].iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_is_refused_as_kubernetes_refuses_it() {
        let long = "a".repeat(64);
        for (metadata, expected) in [
            (json!({"name": "a-b.c"}), 0),
            (json!({"generateName": "a-"}), 0),
            (json!({"name": null}), 1),
            (json!({}), 1),
            (json!({"name": "A_b"}), 1),
            (json!({"name": "A".repeat(254)}), 2),
            (json!({"generateName": ".-"}), 0),
            (json!({"generateName": "-a"}), 1),
            (json!({"generateName": "é-"}), 1),
            (json!({"name": "x", "labels": {"a.b/c_d": "", "e": "F.g"}, "annotations": {"A.b/c": " anything "}}), 0),
            (json!({"name": "x", "labels": {"": "-"}}), 3),
            (json!({"name": "x", "labels": {"/a": long, "A/b": "", "a/b/c": "", long.clone(): ""}}), 5),
            (json!({"name": "x", "annotations": {"-": "x".repeat(300_000)}}), 2),
        ] {
            let mut causes = Causes::default();
            validate(Some(&metadata), &mut causes);
            assert_eq!(causes.list.len(), expected, "{:#?}", causes.list);
        }
    }
}
