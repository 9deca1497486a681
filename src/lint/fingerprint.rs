//! What a finding is called from one run to the next: code, object, and the field with what stands there in place of its position.
//! Neither line nor message nor index takes part, so that a baseline survives reordering, renumbering and rewording.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::Value;

use super::{Context, Finding};
use crate::model::private_keys::redact;

/// Gives each finding its fingerprint. Equal ones are told apart by what else takes part in them, in order.
pub(super) fn name(context: &Context<'_>, findings: &mut [Finding]) {
    let mut seen: HashMap<String, usize, foldhash::fast::RandomState> = HashMap::default();
    for finding in findings {
        let mut name = format!("{}/{}/{}", finding.rule.id(), finding.object, key(context, finding));
        let times = seen.entry(name.clone()).or_default();
        *times += 1;
        if *times > 1 {
            // Writing to a String cannot fail.
            let _ = write!(name, "#{times}");
        }
        finding.fingerprint = name;
    }
}

/// `spec.scopes[3]` as `spec.scopes[registry.example.com/team]`.
fn key(context: &Context<'_>, finding: &Finding) -> String {
    let mut key = String::new();
    let mut value = context.raw(&finding.object);
    for (position, part) in finding.path.split('[').enumerate() {
        let field = if position == 0 {
            part
        } else {
            let (index, field) = part.split_once(']').unwrap_or((part, ""));
            value = index.parse::<usize>().ok().and_then(|index| value?.get(index));
            let _ = write!(key, "[{}]", value.map_or(index.to_string(), identity));
            field
        };
        key.push_str(field);
        for name in field.split('.').filter(|name| !name.is_empty()) {
            value = value.and_then(|value| value.get(name));
        }
    }
    key
}

/// What an item of a list is called.
fn identity(item: &Value) -> String {
    const LONGEST: usize = 300;
    let named = |name| item.get(name).and_then(Value::as_str);
    let text = match item {
        Value::String(text) => text.clone(),
        Value::Object(_) => match named("source").or_else(|| named("path")).or_else(|| named("name")) {
            Some(name) => name.to_string(),
            None => item.to_string(),
        },
        other => other.to_string(),
    };
    // While it is still whole: of a part of a key nobody could say what it is.
    redact(&text).chars().take(LONGEST).collect()
}
