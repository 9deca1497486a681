//! What an object will be once a file is applied to it: the API server's own way (server-side apply with the field manager
//! `oc-imagepolicy`, after an earlier client-side apply was taken over), computed without the server.
//!
//! Maps are merged and lists replaced. What the file no longer names goes where it came from an earlier file, and stays where
//! somebody else put it. Who put what there stands in `metadata.managedFields`; where that is missing, kubectl's annotation tells
//! what its last file had. The types of lists are not known here, but a list whose items have owners of their own
//! (`v:"quay.io/team"`, `k:{"type":"Ready"}`) is a set or a map: items of others stay in it.

use std::collections::HashSet;

use serde_json::{Map, Value};

pub mod ownership;

use ownership::taken_over;

/// The field manager of everything that this program writes.
pub const FIELD_MANAGER: &str = "oc-imagepolicy";
// Where `signedRegistries` live in a cluster, whose Image has no such field.
pub use crate::compile::signed_registries::ANNOTATION as SIGNED_REGISTRIES;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// No object of ours is deeper; below it the file's value counts as a whole.
const DEEPEST: usize = 128;

/// The object as it will be. Without a live one it is created. `status` is never written by an apply: that of the live object stays.
///
/// An Image that does not name `signedRegistries` leaves those of the cluster alone; one that names them, be it as an empty list,
/// replaces them, wherever they stand.
pub fn apply_locally(live: Option<&Value>, wanted: &Value) -> Value {
    let mut wanted = wanted.clone();
    if let Some(fields) = wanted.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = wanted.get_mut("metadata").and_then(Value::as_object_mut) {
        SERVER_METADATA.iter().for_each(|field| _ = metadata.remove(*field));
    }
    let Some(live) = live else { return wanted };
    let Owners { ours, others } = owners(live);
    let mut merged = merge(live, &wanted, ours.as_ref(), &others, 0);
    keep_one_list_of_signed_registries(&mut merged, live, &wanted);
    merged
}

/// Which a file has no say in: the server sets them, or refuses others.
const SERVER_METADATA: [&str; 7] =
    ["managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "selfLink"];

/// A set of fields in the form of `fieldsV1`: `f:NAME`, `v:ITEM` and `k:KEYS` → what is below; empty is the whole.
type Fields = Map<String, Value>;

struct Owners {
    /// What an earlier file put there, and nobody says otherwise.
    ours: Option<Value>,
    others: Vec<Value>,
}

fn owners(live: &Value) -> Owners {
    let last_applied = live
        .pointer("/metadata/annotations")
        .and_then(|annotations| annotations.get(LAST_APPLIED))
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    // What the apply will find: an earlier client-side apply's fields are taken over before it, whatever its manager's name is.
    let managed = taken_over(live).or_else(|| live.pointer("/metadata/managedFields").cloned());
    let Some(Value::Array(managed)) = managed.filter(|managed| managed.as_array().is_some_and(|all| !all.is_empty()))
    else {
        let ours = last_applied.as_ref().map(|object| fields_of(object, 0));
        return Owners { ours, others: Vec::new() };
    };
    let mut owners = Owners { ours: None, others: Vec::new() };
    for entry in &managed {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let Some(fields) = entry.get("fieldsV1") else { continue };
        let is_ours = (text("manager"), text("operation"), text("subresource")) == (FIELD_MANAGER, "Apply", "");
        match (is_ours, &mut owners.ours) {
            (false, _) => owners.others.push(fields.clone()),
            (true, Some(ours)) => unite(ours, fields, 0),
            (true, ours) => *ours = Some(fields.clone()),
        }
    }
    owners
}

/// Everything that a file names.
fn fields_of(value: &Value, depth: usize) -> Value {
    let below = match value {
        Value::Object(fields) if depth < DEEPEST => {
            fields.iter().map(|(name, value)| (format!("f:{name}"), fields_of(value, depth + 1))).collect()
        }
        _ => Map::new(),
    };
    Value::Object(below)
}

fn unite(fields: &mut Value, more: &Value, depth: usize) {
    let (Some(fields), Some(more)) = (fields.as_object_mut(), more.as_object()) else { return };
    for (name, below) in more {
        match fields.get_mut(name) {
            Some(known) if depth < DEEPEST => unite(known, below, depth + 1),
            Some(_) => {}
            None => _ = fields.insert(name.clone(), below.clone()),
        }
    }
}

fn merge(live: &Value, wanted: &Value, ours: Option<&Value>, others: &[Value], depth: usize) -> Value {
    merge_owned(live, wanted, ours, &others.iter().collect::<Vec<_>>(), depth)
}

fn merge_owned(live: &Value, wanted: &Value, ours: Option<&Value>, others: &[&Value], depth: usize) -> Value {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) if depth < DEEPEST => {
            let mut merged = live.clone();
            for (name, value) in live {
                if wanted.contains_key(name) || is_kept(name, depth) {
                    continue;
                }
                let Some(ours) = below(ours, name) else { continue };
                match pruned(value, ours, &all_below(others, name), depth + 1) {
                    Some(rest) => _ = merged.insert(name.clone(), rest),
                    None => _ = merged.shift_remove(name),
                }
            }
            for (name, value) in wanted {
                let new = match live.get(name) {
                    Some(live) => merge_owned(live, value, below(ours, name), &all_below(others, name), depth + 1),
                    None => value.clone(),
                };
                merged.insert(name.clone(), new);
            }
            Value::Object(merged)
        }
        (Value::Array(live), Value::Array(wanted)) if depth < DEEPEST => {
            match list_type(others.iter().copied().chain(ours)) {
                ListType::Whole => Value::Array(wanted.clone()),
                ListType::Set => set(live, wanted, ours, others),
                ListType::Map => map_list(live, wanted, ours, others, depth),
            }
        }
        _ => wanted.clone(),
    }
}

/// What every object has, whoever wrote it.
fn is_kept(name: &str, depth: usize) -> bool {
    match depth {
        0 => matches!(name, "apiVersion" | "kind" | "metadata" | "status"),
        1 => matches!(name, "name" | "namespace"),
        _ => false,
    }
}

/// What is left of a value that the file does not name any more; `None` where nothing is.
fn pruned(live: &Value, ours: &Value, others: &[&Value], depth: usize) -> Option<Value> {
    let owned = ours.as_object().filter(|fields| fields.keys().any(|key| key != "."));
    let rest = match (live, owned) {
        _ if depth >= DEEPEST => return Some(live.clone()),
        (Value::Object(fields), Some(_)) => {
            let mut rest = fields.clone();
            for (name, value) in fields {
                let Some(ours) = below(Some(ours), name) else { continue };
                match pruned(value, ours, &all_below(others, name), depth + 1) {
                    Some(value) => _ = rest.insert(name.clone(), value),
                    None => _ = rest.shift_remove(name),
                }
            }
            Value::Object(rest)
        }
        (Value::Array(items), Some(_)) => match list_type(others.iter().copied().chain([ours])) {
            ListType::Whole => return (!others.is_empty()).then(|| live.clone()),
            ListType::Set => set(items, &[], Some(ours), others),
            ListType::Map => map_list(items, &[], Some(ours), others, depth),
        },
        _ => return (!others.is_empty()).then(|| live.clone()),
    };
    let is_empty = match &rest {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    (!is_empty || !others.is_empty()).then_some(rest)
}

fn below<'f>(fields: Option<&'f Value>, name: &str) -> Option<&'f Value> {
    fields?.get(format!("f:{name}"))
}

fn all_below<'f>(all: &[&'f Value], name: &str) -> Vec<&'f Value> {
    all.iter().filter_map(|fields| below(Some(fields), name)).collect()
}

enum ListType {
    Whole,
    Set,
    Map,
}

/// As far as its owners show it.
fn list_type<'f>(owners: impl Iterator<Item = &'f Value>) -> ListType {
    let mut keys = owners.filter_map(Value::as_object).flat_map(Fields::keys);
    match keys.find_map(|key| key.get(..2).filter(|start| matches!(*start, "v:" | "k:"))) {
        Some("v:") => ListType::Set,
        Some(_) => ListType::Map,
        None => ListType::Whole,
    }
}

/// The items of a set, or the keys of a list, that somebody owns.
fn owned_items<'f>(owners: impl IntoIterator<Item = &'f Value>, start: &str) -> HashSet<Value> {
    let keys = owners.into_iter().filter_map(Value::as_object).flat_map(Fields::keys);
    keys.filter_map(|key| serde_json::from_str(key.strip_prefix(start)?).ok()).collect()
}

/// Those of others and of nobody stay, in their order; then come the new ones.
fn set(live: &[Value], wanted: &[Value], ours: Option<&Value>, others: &[&Value]) -> Value {
    let (ours, others) = (owned_items(ours, "v:"), owned_items(others.iter().copied(), "v:"));
    let asked: HashSet<&Value> = wanted.iter().collect();
    let stays = |item: &&Value| asked.contains(item) || others.contains(*item) || !ours.contains(*item);
    let mut items: Vec<Value> = live.iter().filter(stays).cloned().collect();
    let known: HashSet<&Value> = live.iter().collect();
    let mut added: HashSet<&Value> = HashSet::new();
    items.extend(wanted.iter().filter(|item| !known.contains(item) && added.insert(item)).cloned());
    Value::Array(items)
}

/// The same of a list whose items are known by the values of some fields.
fn map_list(live: &[Value], wanted: &[Value], ours: Option<&Value>, others: &[&Value], depth: usize) -> Value {
    let all = others.iter().copied().chain(ours);
    let names: Vec<String> = owned_items(all, "k:")
        .iter()
        .find_map(Value::as_object)
        .map(|keys| keys.keys().cloned().collect())
        .unwrap_or_default();
    let key = |item: &Value| -> Value {
        names.iter().filter_map(|name| Some((name.clone(), item.get(name)?.clone()))).collect::<Map<_, _>>().into()
    };
    let (mine, theirs) = (owned_items(ours, "k:"), owned_items(others.iter().copied(), "k:"));
    let mut asked: Vec<(Value, Option<&Value>)> = wanted.iter().map(|item| (key(item), Some(item))).collect();
    let positions: std::collections::HashMap<Value, usize> =
        asked.iter().enumerate().map(|(position, (key, _))| (key.clone(), position)).collect();
    let mut items = Vec::new();
    for item in live {
        let key = key(item);
        match positions.get(&key).and_then(|position| asked.get_mut(*position)) {
            Some((_, wanted)) => {
                // Who owns which of its fields does not matter for what the file names.
                items.extend(wanted.take().map(|wanted| merge_owned(item, wanted, None, &[], depth + 1)));
            }
            None if mine.contains(&key) && !theirs.contains(&key) => {}
            None => items.push(item.clone()),
        }
    }
    items.extend(asked.into_iter().filter_map(|(_, item)| item).cloned());
    Value::Array(items)
}

const FIELD: &str = "/spec/registrySources";

/// Field and annotation say the same thing: what the file says wins, and where it says nothing, what is there stays.
fn keep_one_list_of_signed_registries(merged: &mut Value, live: &Value, wanted: &Value) {
    if wanted.get("kind").and_then(Value::as_str) != Some("Image") {
        return;
    }
    let annotation = |object: &Value| object.pointer("/metadata/annotations")?.get(SIGNED_REGISTRIES).cloned();
    let has_field =
        |object: &Value| object.pointer(FIELD).is_some_and(|sources| sources.get("signedRegistries").is_some());
    if annotation(wanted).is_some() {
        if let Some(sources) = merged.pointer_mut(FIELD).and_then(Value::as_object_mut).filter(|_| !has_field(wanted)) {
            sources.shift_remove("signedRegistries");
        }
        return;
    }
    match annotation(live) {
        Some(_) if has_field(wanted) => {
            if let Some(annotations) = merged.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
                annotations.shift_remove(SIGNED_REGISTRIES);
            }
        }
        Some(text) => {
            // An earlier apply wrote it, for a file that named the field: leaving the field out does not end it.
            let mut object = merged.as_object_mut();
            for name in ["metadata", "annotations"] {
                let inner = object.map(|fields| fields.entry(name).or_insert_with(|| Value::Object(Map::new())));
                object = inner.and_then(Value::as_object_mut);
            }
            if let Some(annotations) = object {
                annotations.insert(SIGNED_REGISTRIES.into(), text);
            }
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(scopes: Value, managed: Value) -> Value {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy",
               "metadata": {"name": "p", "uid": "u", "managedFields": managed},
               "spec": {"scopes": scopes, "policy": {"rootOfTrust": {"policyType": "PublicKey"}}}})
    }

    fn image(sources: Value, annotations: Value) -> Value {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "Image",
               "metadata": {"name": "cluster", "annotations": annotations}, "spec": {"registrySources": sources}})
    }

    fn owner(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "fieldsV1": fields})
    }

    #[test]
    fn without_a_live_object_the_file_is_the_object_but_for_its_status() {
        let wanted =
            json!({"kind": "Image", "metadata": {"name": "cluster", "uid": "x"}, "spec": {"a": 1}, "status": {"b": 2}});
        let expected = json!({"kind": "Image", "metadata": {"name": "cluster"}, "spec": {"a": 1}});
        assert_eq!(apply_locally(None, &wanted), expected);
    }

    #[test]
    fn maps_are_merged_and_lists_replaced() {
        let mut live =
            image(json!({"allowedRegistries": ["a.io", "b.io"], "insecureRegistries": ["i.io"]}), json!({"x": "1"}));
        live["status"] = json!({"internalRegistryHostname": "r"});
        let mut wanted = image(json!({"allowedRegistries": ["c.io"]}), json!({"y": "2"}));
        wanted["status"] = json!({});
        let merged = apply_locally(Some(&live), &wanted);
        assert_eq!(
            merged["spec"]["registrySources"],
            json!({"allowedRegistries": ["c.io"], "insecureRegistries": ["i.io"]})
        );
        assert_eq!(merged["metadata"]["annotations"], json!({"x": "1", "y": "2"}));
        assert_eq!(merged["status"], live["status"]);
    }

    /// What the file does not name: who owns it decides.
    #[test]
    fn what_an_earlier_file_put_there_goes_with_it() {
        let sources = json!({"f:spec": {"f:registrySources": {"f:blockedRegistries": {}}}});
        let last = json!({LAST_APPLIED: image(json!({"blockedRegistries": ["b.io"]}), json!({})).to_string()});
        let mut by_kubectl = sources.clone();
        by_kubectl["f:metadata"] = json!({"f:annotations": {format!("f:{LAST_APPLIED}"): {}}});
        let nothing = json!({});
        for (owners, annotations, stays) in [
            (json!([owner("oc-imagepolicy", "Apply", sources.clone())]), &nothing, false),
            // A rollback's, which the next apply takes over.
            (json!([owner("oc-imagepolicy", "Update", sources.clone())]), &nothing, false),
            (json!([owner("kubectl", "Apply", sources.clone())]), &nothing, true),
            (json!([owner("kubectl-edit", "Update", sources.clone())]), &nothing, true),
            (json!([owner("kubectl-client-side-apply", "Update", by_kubectl.clone())]), &last, false),
            (json!([owner("argocd-controller", "Update", by_kubectl.clone())]), &last, false),
            (json!([owner("argocd-controller", "Update", sources.clone())]), &last, true),
            (json!([owner("kubectl-client-side-apply", "Update", sources.clone())]), &nothing, true),
            (
                json!([
                    owner("oc-imagepolicy", "Apply", sources.clone()),
                    owner("kubectl-edit", "Update", sources.clone())
                ]),
                &nothing,
                true,
            ),
            (
                json!([owner(
                    "oc-imagepolicy",
                    "Apply",
                    json!({"f:spec": {"f:registrySources": {".": {}, "f:blockedRegistries": {}}}})
                )]),
                &nothing,
                false,
            ),
            // Without owners kubectl's annotation tells what its last file had.
            (json!([]), &last, false),
            (Value::Null, &last, false),
            (json!([]), &nothing, true),
            (json!("hostile"), &json!({LAST_APPLIED: "{"}), true),
        ] {
            let mut live =
                image(json!({"blockedRegistries": ["b.io"], "insecureRegistries": ["i.io"]}), annotations.clone());
            live["metadata"]["managedFields"] = owners.clone();
            let merged = apply_locally(Some(&live), &image(json!({"allowedRegistries": ["a.io"]}), json!({})));
            let sources = &merged["spec"]["registrySources"];
            assert_eq!(sources.get("blockedRegistries").is_some(), stays, "{owners} {annotations}");
            assert_eq!(sources["insecureRegistries"], json!(["i.io"]), "nobody's stays");
        }
    }

    /// `spec.scopes` is a set, as the items' owners show.
    #[test]
    fn items_of_others_stay_in_a_set() {
        let fields = |items: &[&str]| {
            let items: Map<String, Value> = items.iter().map(|item| (format!("v:\"{item}\""), json!({}))).collect();
            json!({"f:spec": {"f:scopes": items}})
        };
        for (ours, theirs, live, wanted, expected) in [
            (vec!["a.io"], vec!["b.io"], json!(["a.io", "b.io"]), json!(["c.io"]), json!(["b.io", "c.io"])),
            (vec!["a.io", "b.io"], vec!["b.io"], json!(["a.io", "b.io"]), json!([]), json!(["b.io"])),
            (
                vec!["a.io"],
                vec![],
                json!(["a.io", "n.io"]),
                json!(["a.io", "a.io", "c.io"]),
                json!(["a.io", "n.io", "c.io"]),
            ),
        ] {
            let managed = json!([
                owner("oc-imagepolicy", "Apply", fields(&ours)),
                owner("kubectl-create", "Update", fields(&theirs)),
            ]);
            let merged = apply_locally(Some(&policy(live, managed)), &policy(wanted, json!([])));
            assert_eq!(merged["spec"]["scopes"], expected);
            assert_eq!(merged["metadata"]["uid"], "u");
        }
        let unowned = apply_locally(Some(&policy(json!(["a.io"]), Value::Null)), &policy(json!(["b.io"]), Value::Null));
        assert_eq!(unowned["spec"]["scopes"], json!(["b.io"]));
    }

    #[test]
    fn items_of_others_stay_in_a_list_that_is_known_by_keys() {
        let object = |items: Value| json!({"kind": "X", "spec": {"items": items}});
        let fields = |names: &[&str]| {
            let items: Map<String, Value> =
                names.iter().map(|n| (format!("k:{{\"name\":\"{n}\"}}"), json!({}))).collect();
            json!({"f:spec": {"f:items": items}})
        };
        let mut live = object(json!([{"name": "a", "x": 1, "y": 2}, {"name": "b"}, {"name": "c"}]));
        live["metadata"] = json!({"managedFields": [
            owner("oc-imagepolicy", "Apply", fields(&["a", "b"])), owner("other", "Update", fields(&["c"])),
        ]});
        let merged = apply_locally(Some(&live), &object(json!([{"name": "d"}, {"name": "a", "x": 3}])));
        assert_eq!(merged["spec"]["items"], json!([{"name": "a", "x": 3, "y": 2}, {"name": "c"}, {"name": "d"}]));
    }

    #[test]
    fn signed_registries_end_only_where_a_file_says_so() {
        let list = json!([{"sigRequiredRegistriesOrImages": ["a.io"], "gpgKeyPath": "/k"}]);
        let in_cluster = |owners: Value| {
            let mut live = image(json!({}), json!({SIGNED_REGISTRIES: "- a"}));
            live["metadata"]["managedFields"] = owners;
            live
        };
        let ours = json!([owner(
            "oc-imagepolicy",
            "Apply",
            json!({"f:metadata": {"f:annotations": {format!("f:{SIGNED_REGISTRIES}"): {}}}})
        )]);
        let field = |object: &Value| object["spec"]["registrySources"].get("signedRegistries").cloned();
        let annotation = |object: &Value| object.pointer("/metadata/annotations")?.get(SIGNED_REGISTRIES).cloned();
        for live in [in_cluster(Value::Null), in_cluster(ours)] {
            let silent = apply_locally(Some(&live), &json!({"kind": "Image", "metadata": {"name": "cluster"}}));
            assert_eq!((field(&silent), annotation(&silent)), (None, Some(json!("- a"))));
            for wanted in [list.clone(), json!([])] {
                let told = apply_locally(Some(&live), &image(json!({"signedRegistries": wanted}), json!({})));
                assert_eq!((field(&told), annotation(&told)), (Some(wanted), None));
            }
            let written = apply_locally(Some(&live), &image(json!({}), json!({SIGNED_REGISTRIES: "- b"})));
            assert_eq!((field(&written), annotation(&written)), (None, Some(json!("- b"))));
        }
        let in_file = image(json!({"signedRegistries": list}), json!({}));
        let silent = apply_locally(Some(&in_file), &image(json!({"allowedRegistries": []}), json!({})));
        assert_eq!(field(&silent), Some(list));
        let written = apply_locally(Some(&in_file), &image(json!({}), json!({SIGNED_REGISTRIES: "- b"})));
        assert_eq!((field(&written), annotation(&written)), (None, Some(json!("- b"))));
    }

    #[test]
    fn nothing_that_is_no_object_is_a_problem() {
        let odd = [
            json!(null),
            json!([]),
            json!("x"),
            json!({"metadata": 1, "spec": []}),
            json!({"metadata": {"annotations": []}}),
        ];
        for live in &odd {
            for wanted in &odd {
                let mut image = wanted.clone();
                if let Some(fields) = image.as_object_mut() {
                    fields.insert("kind".into(), json!("Image"));
                }
                apply_locally(Some(live), &image);
                apply_locally(Some(live), wanted);
            }
        }
        let mut deep = json!({});
        for _ in 0..1000 {
            deep = json!({"a": deep});
        }
        let merged = apply_locally(Some(&deep), &deep);
        assert!(merged == deep);
    }
}
