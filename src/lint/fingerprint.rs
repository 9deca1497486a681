//! What a finding is called from one run to the next: code, object, and the field with what stands there in place of its position.
//! Neither line nor message nor index takes part, so that a baseline survives reordering, renumbering and rewording.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::Value;

use super::{Context, Finding};
use crate::model::parallel;
use crate::model::private_keys::redact;
use crate::model::provenance::ObjectRef;

/// Gives each finding its fingerprint, but for those that have one. Equal ones are counted, in an order that neither positions nor files
/// take part in: what else they are about, then their words.
pub(super) fn name(context: &Context<'_>, findings: &mut [Finding]) {
    parallel::for_each(findings, |finding| {
        if finding.fingerprint.is_empty() {
            finding.fingerprint =
                format!("{}/{}/{}", finding.rule.id(), finding.object, key(context, &finding.object, &finding.path));
        }
    });
    let mut seen: HashMap<&str, Vec<usize>, foldhash::fast::RandomState> = HashMap::default();
    for (index, finding) in findings.iter().enumerate() {
        seen.entry(&finding.fingerprint).or_default().push(index);
    }
    let shared = seen.into_iter().filter(|(_, equal)| equal.len() > 1);
    let shared: Vec<(String, Vec<usize>)> = shared.map(|(name, equal)| (name.to_string(), equal)).collect();
    for (name, mut equal) in shared {
        equal.sort_by_cached_key(|index| findings.get(*index).map(|finding| what_else(context, finding)));
        for (times, index) in equal.into_iter().enumerate().skip(1) {
            if let Some(finding) = findings.get_mut(index) {
                finding.fingerprint = format!("{name}#{}", times + 1);
            }
        }
    }
}

/// What tells two findings of one name apart.
fn what_else(context: &Context<'_>, finding: &Finding) -> (Vec<String>, Option<String>, String) {
    let related = finding.related.iter();
    let mut related: Vec<String> =
        related.map(|related| format!("{}/{}", related.object, key(context, &related.object, &related.path))).collect();
    related.sort_unstable();
    (related, finding.witness.clone(), finding.message.clone())
}

/// `spec.scopes[3]` as `spec.scopes[registry.example.com/team]`.
fn key(context: &Context<'_>, object: &ObjectRef, path: &str) -> String {
    let mut key = String::new();
    let mut value = context.raw(object);
    for (position, part) in path.split('[').enumerate() {
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
    let named = |name: &str| item.get(name).and_then(Value::as_str);
    let text = match item {
        Value::String(text) => text.clone(),
        Value::Object(_) => match ["source", "path", "name", "type"].into_iter().find_map(named) {
            Some(name) => name.to_string(),
            None => item.to_string(),
        },
        other => other.to_string(),
    };
    // While it is still whole: of a part of a key nobody could say what it is.
    redact(&text).chars().take(LONGEST).collect()
}
