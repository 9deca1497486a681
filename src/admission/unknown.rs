//! Fields that no release has: the API server drops them without a word, so that they have no effect.

use serde_json::{Map, Value};

use super::schema::{Schema, Shape, schema_of};
use super::text_at;
use crate::model::release::Release;

/// A field that the server would drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField<'v> {
    /// What it is in, such as `spec.policy`; empty for the object itself.
    pub parent: String,
    /// Its name.
    pub name: &'v str,
    /// What it holds.
    pub value: &'v Value,
    /// What stands beside it, and itself.
    pub siblings: &'v Map<String, Value>,
    /// The fields that its parent may have.
    pub known: Vec<&'static str>,
    /// Where there is a field of this name.
    pub elsewhere: Option<String>,
}

/// So many of one object are named.
const MOST: usize = 50;

/// The fields of an object that no release of OpenShift has in that place, in the order of the schema, fifty at most: gates and releases decide
/// about others. `metadata` is only looked at for names that are nearly right, and `status` not at all.
pub fn unknown_fields(object: &Value) -> Vec<UnknownField<'_>> {
    let (Some(api_version), Some(kind)) = (text_at(object, "apiVersion"), text_at(object, "kind")) else {
        return Vec::new();
    };
    // Both versions of the policies have the same shape.
    let api_version = match kind {
        "ClusterImagePolicy" | "ImagePolicy" if api_version == "config.openshift.io/v1alpha1" => {
            "config.openshift.io/v1"
        }
        _ => api_version,
    };
    let Some(schema) = schema_of(Release::newest(), api_version, kind) else { return Vec::new() };
    let Value::Object(members) = object else { return Vec::new() };
    let mut walk = Walk { schema, path: String::new(), found: Vec::new() };
    walk.members(members, &["apiVersion", "kind", "metadata", "spec", "status"]);
    if let Some(Value::Object(metadata)) = object.get("metadata") {
        walk.metadata(metadata);
    }
    walk.below(schema, members);
    walk.found
}

/// Fields that some release has and whose content is not checked here.
const UNCHECKED: &[(&str, &str)] = &[("spec", "imageStreamImportMode")];

/// The seed's list, which is read from files (interface.md 2), and what is in its items.
const SIGNED: (&str, &str) = ("spec.registrySources", "signedRegistries");
const SIGNED_ITEM: &[&str] = &["gpgKeyPath", "sigRequiredRegistriesOrImages"];

const METADATA: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

struct Walk<'v> {
    schema: &'static Schema,
    path: String,
    found: Vec<UnknownField<'v>>,
}

impl<'v> Walk<'v> {
    fn members(&mut self, members: &'v Map<String, Value>, known: &[&'static str]) {
        for (name, value) in members {
            if self.found.len() < MOST && !known.contains(&name.as_str()) {
                let elsewhere = place_of(self.schema, name);
                let known = known.to_vec();
                self.found.push(UnknownField {
                    parent: self.path.clone(),
                    name,
                    value,
                    siblings: members,
                    known,
                    elsewhere,
                });
            }
        }
    }

    fn metadata(&mut self, members: &'v Map<String, Value>) {
        for (name, value) in members {
            if self.found.len() < MOST && !METADATA.contains(&name.as_str()) && nearest(name, METADATA).is_some() {
                let known = METADATA.to_vec();
                let parent = "metadata".to_string();
                self.found.push(UnknownField { parent, name, value, siblings: members, known, elsewhere: None });
            }
        }
    }

    fn below(&mut self, schema: &Schema, members: &'v Map<String, Value>) {
        let Shape::Object(fields) = &schema.shape else { return };
        for field in *fields {
            if let Some(value) = members.get(field.name) {
                self.at(field.name, |walk| walk.value(field.schema, value));
            }
        }
        if self.path == SIGNED.0
            && let Some(Value::Array(items)) = members.get(SIGNED.1)
        {
            self.at(SIGNED.1, |walk| walk.items(items, |walk, item| walk.members(item, SIGNED_ITEM)));
        }
    }

    fn value(&mut self, schema: &Schema, value: &'v Value) {
        match (&schema.shape, value) {
            (Shape::Object(fields), Value::Object(members)) => {
                let mut known: Vec<&str> = fields.iter().map(|field| field.name).collect();
                let others = UNCHECKED.iter().chain([&SIGNED]).filter(|(parent, _)| *parent == self.path);
                known.extend(others.map(|(_, name)| *name));
                self.members(members, &known);
                self.below(schema, members);
            }
            (Shape::List { items: item, .. }, Value::Array(items)) if matches!(item.shape, Shape::Object(_)) => {
                self.items(items, |walk, members| {
                    if let Shape::Object(fields) = &item.shape {
                        let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
                        walk.members(members, &known);
                    }
                    walk.below(item, members);
                });
            }
            _ => {}
        }
    }

    fn items(&mut self, items: &'v [Value], mut visit: impl FnMut(&mut Self, &'v Map<String, Value>)) {
        let length = self.path.len();
        for (index, item) in items.iter().enumerate() {
            if let Value::Object(members) = item {
                self.path.push_str(&format!("[{index}]"));
                visit(self, members);
                self.path.truncate(length);
            }
        }
    }

    fn at(&mut self, name: &str, visit: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        visit(self);
        self.path.truncate(length);
    }
}

/// Where the schema has a field of this name, if in one place only; `[]` for any item of a list.
fn place_of(schema: &Schema, name: &str) -> Option<String> {
    fn search(schema: &Schema, name: &str, path: &mut String, found: &mut Vec<String>) {
        match &schema.shape {
            Shape::Object(fields) => {
                for field in *fields {
                    let length = path.len();
                    if length > 0 {
                        path.push('.');
                    }
                    path.push_str(field.name);
                    if field.name == name {
                        found.push(path.clone());
                    }
                    search(field.schema, name, path, found);
                    path.truncate(length);
                }
            }
            Shape::List { items, .. } => {
                path.push_str("[]");
                search(items, name, path, found);
                path.truncate(path.len() - "[]".len());
            }
            Shape::Text { .. } | Shape::Boolean => {}
        }
    }
    let mut found = Vec::new();
    search(schema, name, &mut String::new(), &mut found);
    if found.len() == 1 { found.pop() } else { None }
}

/// What a name was probably meant to be: the same in another letter case, or with up to three slips, fewer in short names.
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let lower = name.to_lowercase();
    if let Some(same) = known.iter().find(|known| known.to_lowercase() == lower) {
        return Some(same);
    }
    let slips = |known: &str| distance(&lower, &known.to_lowercase());
    let near = known.iter().map(|known| (slips(known), *known)).min()?;
    let most = match near.1.len() {
        ..5 => 1,
        5..12 => 2,
        // `…ies` for `…y`
        _ => 3,
    };
    (near.0 <= most).then_some(near.1)
}

/// How many characters have to be put in, taken out, replaced, or exchanged with the next one.
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn slips() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("scopes", "scopes", 0),
            ("scope", "scopes", 1),
            ("socpes", "scopes", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
        let known = ["scopes", "policy", "pki", "allowedRegistries", "blockedRegistries"];
        for (name, expected) in [
            ("scope", Some("scopes")),
            ("Scopes", Some("scopes")),
            ("polciy", Some("policy")),
            ("pk", Some("pki")),
            ("key", None),
            ("allowedRegistry", Some("allowedRegistries")),
            ("trustedRegistries", None),
            ("something", None),
            (&"a".repeat(1_000_000), None),
        ] {
            assert_eq!(nearest(name, &known), expected, "{name:.20}");
        }
    }

    /// Parent, name, and where else.
    #[test]
    fn what_no_release_has() {
        type Expected<'a> = &'a [(&'a str, &'a str, Option<&'a str>)];
        let image = |spec: Value| json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {}, "spec": spec});
        let policy =
            |spec: Value| json!({"apiVersion": "config.openshift.io/v1alpha1", "kind": "ImagePolicy", "spec": spec});
        let table: [(Value, Expected); 9] = [
            (image(json!({"imageStreamImportMode": "Legacy", "registrySources": {"signedRegistries": [{}]}})), &[]),
            (
                image(json!({"allowedRegistries": ["a.io"]})),
                &[("spec", "allowedRegistries", Some("spec.registrySources.allowedRegistries"))],
            ),
            (
                image(json!({"registrySources": {"signedRegistries": [{"gpgKeyPath": "/k"}, {"keyPath": "/k"}, 7]}})),
                &[("spec.registrySources.signedRegistries[1]", "keyPath", None)],
            ),
            (
                image(json!({"allowedRegistriesForImport": [{"domain": "a.io"}]})),
                &[("spec.allowedRegistriesForImport[0]", "domain", None)],
            ),
            (
                policy(json!({"policy": {"rootOfTrust": {"pki": {"caRootsData": ""}, "policytype": 1}}})),
                &[("spec.policy.rootOfTrust", "policytype", None)],
            ),
            (
                json!({"apiVersion": "config.openshift.io/v1", "kind": "ImageDigestMirrorSet", "metadata": {"lables": {}, "x": 1},
                       "status": {"x": 1}, "spec": {"imageDigestMirrors": [{"source": "a", "mirror": []}]}}),
                &[("metadata", "lables", None), ("spec.imageDigestMirrors[0]", "mirror", None)],
            ),
            (
                json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": "ImageContentSourcePolicy", "specs": 1,
                       "spec": {"repositoryDigestMirrors": [{"mirrorSourcePolicy": "NeverContactSource"}]}}),
                &[("", "specs", None), ("spec.repositoryDigestMirrors[0]", "mirrorSourcePolicy", None)],
            ),
            (json!({"apiVersion": "v1", "kind": "Pod", "spec": {"x": 1}}), &[]),
            (json!([]), &[]),
        ];
        for (object, expected) in table {
            let found = unknown_fields(&object);
            let found: Vec<_> =
                found.iter().map(|found| (found.parent.as_str(), found.name, found.elsewhere.as_deref())).collect();
            assert_eq!(found, expected, "{object}");
        }
    }

    #[test]
    fn very_many_are_not_all_named() {
        let spec: Map<String, Value> = (0..100_000).map(|number| (format!("x{number}"), Value::Null)).collect();
        let object = json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "spec": spec});
        assert_eq!(unknown_fields(&object).len(), MOST);
    }
}
