//! Who owns which field of a live object (`metadata.managedFields`), as far as an apply has to do with it: what an earlier
//! client-side apply leaves to ours, and what others keep in the object although the file does not name it.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::FIELD_MANAGER;

const LAST_APPLIED: &str = "f:kubectl.kubernetes.io/last-applied-configuration";
/// No object of ours is deeper.
const DEEPEST: usize = 64;

/// Something that stays in an object since somebody else put it there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Leftover {
    /// In the object as it will be: `spec.scopes[1]`.
    pub path: String,
    /// What stands there, where that is one word.
    #[serde(skip)]
    pub value: String,
    /// Whose it is.
    pub manager: String,
}

/// Who owns what once an earlier client-side apply is taken over, as kubectl does it before its own server-side apply (client-go's
/// csaupgrade): entries of those who own kubectl's annotation become ours. `None` where nothing is to be taken over.
pub fn taken_over(live: &Value) -> Option<Value> {
    let managed = entries(live);
    let managers: HashSet<&str> = managed.iter().filter(|entry| is_client_side(entry)).map(manager).collect();
    if managers.is_empty() {
        return None;
    }
    let is_theirs = |entry: &Value| is(entry, "Update") && managers.contains(manager(entry));
    let mut all = managed.to_vec();
    let ours = match all.iter().position(|entry| is(entry, "Apply") && manager(entry) == FIELD_MANAGER) {
        Some(position) => position,
        None => {
            // The first is the latest.
            let position = all.iter().position(is_theirs)?;
            let entry = all.get_mut(position)?.as_object_mut()?;
            entry.insert("manager".into(), FIELD_MANAGER.into());
            entry.insert("operation".into(), "Apply".into());
            position
        }
    };
    let version = all.get(ours)?.get("apiVersion").cloned();
    let mut fields = all.get(ours)?.get("fieldsV1").cloned().unwrap_or_default();
    for entry in managed.iter().filter(|entry| is_theirs(entry) && entry.get("apiVersion") == version.as_ref()) {
        unite(&mut fields, entry.get("fieldsV1").unwrap_or(&Value::Null), 0);
    }
    all.get_mut(ours)?.as_object_mut()?.insert("fieldsV1".into(), fields);
    all.retain(|entry| !is_theirs(entry));
    Some(Value::Array(all))
}

/// Whether a manager's fields become ours before anything is applied.
pub fn is_taken_over(live: &Value, name: &str) -> bool {
    entries(live).iter().any(|entry| manager(entry) == name && is_client_side(entry))
}

/// Whether an annotation is ours alone, or will be once an earlier client-side apply is taken over: then leaving it out ends it.
pub fn owns_annotation(live: &Value, annotation: &str) -> bool {
    let key = format!("f:{annotation}");
    let owns = |entry: &&Value| {
        entry.pointer("/fieldsV1/f:metadata/f:annotations").is_some_and(|owned| owned.get(key.as_str()).is_some())
    };
    let is_ours = |entry: &Value| (is(entry, "Apply") && manager(entry) == FIELD_MANAGER) || is_client_side(entry);
    let mut owners = entries(live).iter().filter(owns).peekable();
    owners.peek().is_some() && owners.all(is_ours)
}

/// What of the spec others keep in `answer` although the manifest does not name it.
pub fn leftovers(answer: &Value, manifest: &Value) -> Vec<Leftover> {
    let mut found = Vec::new();
    let (Some(spec), wanted) = (answer.get("spec"), manifest.get("spec")) else { return found };
    for entry in entries(answer) {
        let name = manager(entry);
        if name == FIELD_MANAGER || is_client_side(entry) || !subresource(entry).is_empty() {
            continue;
        }
        if let Some(fields) = entry.pointer("/fieldsV1/f:spec") {
            walk(fields, spec, wanted, "spec", name, 0, &mut found);
        }
    }
    found.sort();
    found.dedup();
    found
}

fn walk(
    fields: &Value,
    answer: &Value,
    wanted: Option<&Value>,
    path: &str,
    manager: &str,
    depth: usize,
    found: &mut Vec<Leftover>,
) {
    let Some(fields) = fields.as_object().filter(|_| depth < DEEPEST) else { return };
    let items: &[Value] = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let wanted_items: &[Value] = wanted.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut leave = |path: String, value: &Value| {
        let value = value.as_str().map(str::to_string).unwrap_or_default();
        found.push(Leftover { path, value, manager: manager.to_string() });
    };
    let is_set = fields.keys().any(|key| key.starts_with("v:"));
    let positions: HashMap<&Value, usize> = match is_set {
        true => items.iter().enumerate().map(|(index, item)| (item, index)).collect(),
        false => HashMap::new(),
    };
    let asked: HashSet<&Value> = if is_set { wanted_items.iter().collect() } else { HashSet::new() };
    let mut deeper = Vec::new();
    for (key, below) in fields {
        if let Some(name) = key.strip_prefix("f:") {
            let Some(value) = answer.get(name) else { continue };
            match wanted.and_then(|wanted| wanted.get(name)) {
                Some(wanted) => deeper.push((below, value, wanted, format!("{path}.{name}"))),
                None => leave(format!("{path}.{name}"), value),
            }
        } else if let Some(text) = key.strip_prefix("v:") {
            let Ok(value) = serde_json::from_str::<Value>(text) else { continue };
            if let Some(index) = positions.get(&value).filter(|_| !asked.contains(&value)) {
                leave(format!("{path}[{index}]"), &value);
            }
        } else if let Some(text) = key.strip_prefix("k:") {
            let Ok(Value::Object(keys)) = serde_json::from_str::<Value>(text) else { continue };
            let is_it = |item: &&Value| keys.iter().all(|(name, value)| item.get(name) == Some(value));
            let Some((index, item)) = items.iter().enumerate().find(|(_, item)| is_it(item)) else { continue };
            let path = format!("{path}[{index}]");
            match wanted_items.iter().find(is_it) {
                Some(wanted) => deeper.push((below, item, wanted, path)),
                None => leave(path, item),
            }
        }
    }
    for (below, value, wanted, path) in deeper {
        walk(below, value, Some(wanted), &path, manager, depth + 1, found);
    }
}

fn entries(object: &Value) -> &[Value] {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text<'v>(entry: &'v Value, key: &str) -> &'v str {
    entry.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn manager(entry: &Value) -> &str {
    text(entry, "manager")
}

fn subresource(entry: &Value) -> &str {
    text(entry, "subresource")
}

fn is(entry: &Value, operation: &str) -> bool {
    text(entry, "operation") == operation && subresource(entry).is_empty()
}

/// Of a client-side apply, by whatever name, or of our own rollback.
fn is_client_side(entry: &Value) -> bool {
    let owns_annotation = || {
        let annotations = entry.pointer("/fieldsV1/f:metadata/f:annotations");
        annotations.is_some_and(|owned| owned.get(LAST_APPLIED).is_some())
    };
    is(entry, "Update") && (manager(entry) == FIELD_MANAGER || owns_annotation())
}

fn unite(fields: &mut Value, more: &Value, depth: usize) {
    let Some(more) = more.as_object() else { return };
    if !fields.is_object() {
        *fields = Value::Object(Map::new());
    }
    let Some(fields) = fields.as_object_mut() else { return };
    for (name, below) in more {
        match fields.get_mut(name) {
            Some(known) if depth < DEEPEST => unite(known, below, depth + 1),
            Some(_) => {}
            None => _ = fields.insert(name.clone(), below.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(managed: Value) -> Value {
        json!({"metadata": {"managedFields": managed}, "spec": {"scopes": ["a.io", "b.io"], "policy": {"x": "1", "y": "2"}}})
    }

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields})
    }

    #[test]
    fn a_client_side_apply_becomes_ours() {
        let annotation = json!({"f:annotations": {LAST_APPLIED: {}}});
        let theirs = json!({"f:metadata": annotation, "f:spec": {"f:scopes": {"v:\"a.io\"": {}}}});
        let edit = entry("kubectl-edit", "Update", json!({"f:spec": {"f:scopes": {"v:\"b.io\"": {}}}}));
        let live = object(json!([edit, entry("kubectl-client-side-apply", "Update", theirs.clone())]));
        assert_eq!(
            taken_over(&live),
            Some(json!([edit, entry(FIELD_MANAGER, "Apply", theirs.clone())])),
            "the only entry is renamed"
        );
        let own = entry(FIELD_MANAGER, "Apply", json!({"f:spec": {"f:policy": {}}}));
        let live = object(json!([own, entry("mine", "Update", theirs.clone()), edit]));
        let united = json!({"f:spec": {"f:policy": {}, "f:scopes": {"v:\"a.io\"": {}}}, "f:metadata": annotation});
        assert_eq!(taken_over(&live), Some(json!([entry(FIELD_MANAGER, "Apply", united), edit])));
        assert!(is_taken_over(&live, "mine") && !is_taken_over(&live, "kubectl-edit"));
        assert_eq!(taken_over(&object(json!([edit]))), None);
        assert_eq!(taken_over(&json!({})), None);
    }

    #[test]
    fn what_others_keep() {
        let other =
            json!({"f:spec": {"f:scopes": {"v:\"a.io\"": {}, "v:\"b.io\"": {}}, "f:policy": {"f:x": {}, "f:y": {}}}});
        let answer = object(json!([
            entry("kubectl-edit", "Update", other.clone()),
            entry(FIELD_MANAGER, "Apply", other.clone())
        ]));
        let manifest = json!({"spec": {"scopes": ["a.io"], "policy": {"y": "2"}}});
        let paths: Vec<String> = leftovers(&answer, &manifest).into_iter().map(|left| left.path).collect();
        assert_eq!(paths, ["spec.policy.x", "spec.scopes[1]"]);
        assert_eq!(leftovers(&answer, &answer), []);
        let list = json!({"metadata": {"managedFields": [entry("m", "Update", json!({"f:spec": {"f:l": {"k:{\"n\":\"b\"}": {".": {}, "f:n": {}}}}}))]},
                          "spec": {"l": [{"n": "a"}, {"n": "b"}]}});
        let paths = leftovers(&list, &json!({"spec": {"l": [{"n": "a"}]}}));
        assert_eq!(paths.first().map(|left| left.path.as_str()), Some("spec.l[1]"));
    }

    #[test]
    fn annotations_and_who_owns_them() {
        let owner = |name: &str, operation: &str| {
            entry(name, operation, json!({"f:metadata": {"f:annotations": {"f:a/b": {}}}}))
        };
        assert!(owns_annotation(&object(json!([owner(FIELD_MANAGER, "Apply")])), "a/b"));
        assert!(!owns_annotation(&object(json!([owner(FIELD_MANAGER, "Apply"), owner("x", "Update")])), "a/b"));
        assert!(!owns_annotation(&object(json!([owner(FIELD_MANAGER, "Apply")])), "a/c"));
    }
}
