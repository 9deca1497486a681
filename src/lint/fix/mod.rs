//! Commands to type. They are made from objects of strangers and go through somebody's shell: everything is quoted, and a patch
//! of a list first tests that the entry is still where it was.

mod chosen;

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use serde_json::{Value, json};

use crate::model::provenance::ObjectRef;

pub use chosen::{Fate, choose, commands};

/// A change of objects that mends a finding. It is printed as commands, or made in files.
#[derive(Clone, Debug, PartialEq)]
pub struct Fix {
    /// Whether it may be made without looking: `--fix`; else `--unsafe-fixes`.
    pub is_safe: bool,
    /// What it does, in a few words: "take the entry out".
    pub what: String,
    /// What is changed, in order.
    pub edits: Vec<Edit>,
}

/// A change of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The object.
    pub object: Arc<ObjectRef>,
    /// What is done to it.
    pub operation: Operation,
}

/// What is done to an object. Paths are those of findings, such as `spec.scopes[3]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Takes an entry out of a list, or a field out of an object, that has this value.
    Remove {
        /// The entry.
        path: String,
        /// What stands there now.
        value: Value,
    },
    /// Writes another value in the place of one.
    Replace {
        /// The field.
        path: String,
        /// What stands there now.
        before: Value,
        /// What shall stand there.
        after: Value,
    },
    /// Sets a field that is not there.
    Set {
        /// The field; what is around it is there.
        path: String,
        /// Its value.
        value: Value,
    },
    /// Adds a value at the end of a list that is there.
    Append {
        /// The list.
        list: String,
        /// The value.
        value: Value,
    },
    /// Deletes the object.
    Delete,
}

impl Fix {
    /// One that changes what the objects mean only as the finding asks for.
    pub fn safe(what: impl Into<String>) -> Self {
        Self { is_safe: true, what: what.into(), edits: Vec::new() }
    }

    /// One that somebody should look at first: it lets something in, or takes something away.
    pub fn risky(what: impl Into<String>) -> Self {
        Self { is_safe: false, what: what.into(), edits: Vec::new() }
    }

    /// Another spelling of a name: safe where it is only that, and not another place.
    pub fn correction(object: &Arc<ObjectRef>, path: &str, before: &str, after: &str) -> Self {
        let what = format!("write {after}");
        let fix = if is_same_place(before, after) { Self::safe(what) } else { Self::risky(what) };
        fix.replace(object, path, before, after)
    }

    /// And this.
    pub fn and(mut self, object: &Arc<ObjectRef>, operation: Operation) -> Self {
        self.edits.push(Edit { object: object.clone(), operation });
        self
    }

    /// And an entry is taken out; `path` is that of the entry, such as `spec.scopes[3]`.
    pub fn remove(self, object: &Arc<ObjectRef>, path: &str, value: impl Into<Value>) -> Self {
        self.and(object, Operation::Remove { path: path.into(), value: value.into() })
    }

    /// And a value is replaced.
    pub fn replace(
        self,
        object: &Arc<ObjectRef>,
        path: &str,
        before: impl Into<Value>,
        after: impl Into<Value>,
    ) -> Self {
        self.and(object, Operation::Replace { path: path.into(), before: before.into(), after: after.into() })
    }

    /// And a field is set that is not there.
    pub fn set(self, object: &Arc<ObjectRef>, path: &str, value: impl Into<Value>) -> Self {
        self.and(object, Operation::Set { path: path.into(), value: value.into() })
    }

    /// And a value is added at the end of a list.
    pub fn append(self, object: &Arc<ObjectRef>, list: &str, value: impl Into<Value>) -> Self {
        self.and(object, Operation::Append { list: list.into(), value: value.into() })
    }

    /// And an object is deleted.
    pub fn delete(self, object: &Arc<ObjectRef>) -> Self {
        self.and(object, Operation::Delete)
    }

    /// As commands to type, one for each object.
    pub fn commands(&self) -> Vec<String> {
        commands([self])
    }
}

impl Operation {
    /// What it is about; of an object as a whole nothing.
    pub fn path(&self) -> &str {
        match self {
            Self::Delete => "",
            Self::Append { list, .. } => list,
            Self::Remove { path, .. } | Self::Replace { path, .. } | Self::Set { path, .. } => path,
        }
    }

    /// RFC 6902; what stands there now is tested first.
    fn json_patch(&self) -> Vec<Value> {
        let test = |path: &str, value: &Value| json!({"op": "test", "path": pointer(path), "value": value});
        match self {
            Self::Remove { path, value } => vec![test(path, value), json!({"op": "remove", "path": pointer(path)})],
            Self::Replace { path, before, after } => {
                vec![test(path, before), json!({"op": "replace", "path": pointer(path), "value": after})]
            }
            Self::Set { path, value } => vec![json!({"op": "add", "path": pointer(path), "value": value})],
            Self::Append { list, value } => {
                vec![json!({"op": "add", "path": format!("{}/-", pointer(list)), "value": value})]
            }
            Self::Delete => Vec::new(),
        }
    }
}

/// `oc patch` with a JSON patch.
pub fn patch(object: &ObjectRef, operations: Value) -> String {
    format!("oc patch {} --type=json -p {}", named(object), shell_word(&ascii(&operations)))
}

/// Takes a value out of a list; `path` is that of the entry, such as `spec.scopes[3]`.
pub fn remove(object: &ObjectRef, path: &str, value: &str) -> String {
    let pointer = pointer(path);
    patch(object, json!([{"op": "test", "path": pointer, "value": value}, {"op": "remove", "path": pointer}]))
}

/// Writes another value in the place of one.
pub fn replace(object: &ObjectRef, path: &str, before: &str, after: &str) -> String {
    let pointer = pointer(path);
    let operations = [
        json!({"op": "test", "path": pointer, "value": before}),
        json!({"op": "replace", "path": pointer, "value": after}),
    ];
    patch(object, Value::from_iter(operations))
}

/// Sets a field, whether it is there already or not.
pub fn set(object: &ObjectRef, path: &str, value: &str) -> String {
    patch(object, json!([{"op": "add", "path": pointer(path), "value": value}]))
}

/// Sets a field to the base64 of a file, which the shell puts in.
pub fn set_to_file(object: &ObjectRef, path: &str, file: &str) -> String {
    let pointer = pointer(path);
    format!(
        r#"oc patch {} --type=json -p "[{{\"op\":\"add\",\"path\":\"{pointer}\",\"value\":\"$(base64 -w0 <{file})\"}}]""#,
        named(object)
    )
}

/// MachineConfigs that turn sigstore attachments on for one place of images.
pub fn attachments<'p>(pools: impl Iterator<Item = &'p str>, location: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let slug: String = location.chars().map(plain).take(100).collect();
    let slug = slug.trim_matches('-');
    let file = json!({"docker": {location: {"use-sigstore-attachments": true}}}).to_string();
    let source = format!("data:;base64,{}", base64::engine::general_purpose::STANDARD.encode(file));
    let machine_config = |pool: &str| {
        json!({
            "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
            "metadata": {"name": format!("50-{pool}-{slug}"), "labels": {"machineconfiguration.openshift.io/role": pool}},
            "spec": {"config": {"ignition": {"version": "3.2.0"}, "storage": {"files": [
                {"path": format!("/etc/containers/registries.d/{slug}.yaml"), "mode": 420, "overwrite": true, "contents": {"source": source}}
            ]}}},
        })
    };
    let list = json!({"apiVersion": "v1", "kind": "List", "items": Value::from_iter(pools.map(machine_config))});
    format!("oc apply -f - <<<{}", shell_word(&ascii(&list)))
}

/// Adds a value at the end of a list that is there.
pub fn append(object: &ObjectRef, list: &str, value: &str) -> String {
    patch(object, json!([{"op": "add", "path": format!("{}/-", pointer(list)), "value": value}]))
}

/// `oc delete`
pub fn delete(object: &ObjectRef) -> String {
    format!("oc delete {}", named(object))
}

/// `oc get`
pub fn get(object: &ObjectRef) -> String {
    format!("oc get {} -o yaml", named(object))
}

/// `oc edit`
pub fn edit(object: &ObjectRef) -> String {
    format!("oc edit {}", named(object))
}

/// Whether two texts name the same place, and only one of them as it is written in objects: without scheme, blanks and slashes.
fn is_same_place(before: &str, after: &str) -> bool {
    let bare = before.trim();
    let bare = bare.split_once("://").map_or(bare, |(_, rest)| rest).trim_end_matches('/');
    bare == after && !bare.contains(['*', '@']) && repository(bare).is_none()
}

/// The repository of a scope that has a tag or a digest.
pub fn repository(scope: &str) -> Option<&str> {
    let name = scope.split_once('@').map_or(scope, |(name, _)| name);
    let name = match name.rsplit_once(':') {
        Some((repository, tag)) if repository.contains('/') && !tag.contains('/') => repository,
        _ => name,
    };
    (name.len() < scope.len()).then_some(name)
}

/// `clusterimagepolicy.config team`, and what else names the object on a command line. The group is there where others have a
/// kind of the same name.
fn named(object: &ObjectRef) -> String {
    let group = match &*object.kind {
        "Image" | "ClusterImagePolicy" | "ImagePolicy" => ".config",
        _ => "",
    };
    let resource = format!("{}{group}", object.kind.to_ascii_lowercase());
    let is_usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let name = match object.name.starts_with(|c: char| c.is_ascii_alphanumeric()) && object.name.chars().all(is_usual) {
        true => format!("{resource} {}", object.name),
        false => shell_word(&format!("{resource}/{}", object.name)),
    };
    match &object.namespace {
        Some(namespace) => format!("{name} -n {}", shell_word(namespace)),
        None => name,
    }
}

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A field.
    Key(String),
    /// An item of a list.
    Index(usize),
}

impl Step {
    /// Of an item of a list.
    pub fn index(&self) -> Option<usize> {
        match self {
            Self::Index(index) => Some(*index),
            Self::Key(_) => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

/// A path such as `spec.scopes[3]` or `metadata.annotations[example.com/a]`, step by step.
pub fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some((inner, behind)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            let bare = ["\"", "'"].iter().find_map(|quote| inner.strip_prefix(quote)?.strip_suffix(quote));
            steps.push(inner.parse().map_or_else(|_| Step::Key(bare.unwrap_or(inner).to_string()), Step::Index));
            rest = behind;
        } else {
            let end = rest.find(['.', '[']).filter(|end| *end > 0).unwrap_or(rest.len());
            let (key, behind) = rest.split_at(end);
            steps.push(Step::Key(key.to_string()));
            rest = behind;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    steps
}

/// `spec.scopes[3]` as a JSON pointer.
pub fn pointer(path: &str) -> String {
    let part = |step: Step| format!("/{}", step.to_string().replace('~', "~0").replace('/', "~1"));
    steps(path).into_iter().map(part).collect()
}

/// JSON that is printable ASCII.
fn ascii(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        match c {
            ' '..='~' => text.push(c),
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    text
}

/// One word of a POSIX shell; what is not printable ASCII is written as bash reads it, on one line.
pub fn shell_word(text: &str) -> String {
    let is_plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b':' | b'@' | b'%' | b'+' | b',');
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_string();
    }
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut word = String::from("$'");
    for b in text.bytes() {
        match b {
            b'\'' | b'\\' => word.extend(['\\', char::from(b)]),
            b' '..=b'~' => word.push(char::from(b)),
            _ => word.push_str(&format!("\\x{b:02x}")),
        }
    }
    word.push('\'');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, namespace: Option<&str>, name: &str) -> ObjectRef {
        ObjectRef { api_version: "".into(), kind: kind.into(), namespace: namespace.map(Into::into), name: name.into() }
    }

    #[test]
    fn paths_as_pointers() {
        for (path, expected) in [
            ("spec.scopes[3]", "/spec/scopes/3"),
            ("metadata.annotations[example.com/a.b]", "/metadata/annotations/example.com~1a.b"),
            ("metadata.annotations['a~b'].c", "/metadata/annotations/a~0b/c"),
            ("spec.a[0][1].b", "/spec/a/0/1/b"),
            ("", ""),
            ("[", "/["),
            ("a[b", "/a/[b"),
            ("a..b", "/a/.b"),
        ] {
            assert_eq!(pointer(path), expected, "{path}");
        }
    }

    #[test]
    fn repositories_of_tags_and_digests() {
        for (scope, expected) in [
            ("quay.io/a/b:v1", Some("quay.io/a/b")),
            ("quay.io:5000/a@sha256:00", Some("quay.io:5000/a")),
            ("quay.io/a:v1@sha256:00", Some("quay.io/a")),
            ("quay.io:5000/a", None),
            ("quay.io:5000", None),
            ("*.quay.io", None),
        ] {
            assert_eq!(repository(scope), expected, "{scope}");
        }
    }

    #[test]
    fn commands_are_one_line_and_say_what_they_expect() {
        assert_eq!(
            remove(&object("ClusterImagePolicy", None, "team"), "spec.scopes[3]", "quay.io/it's"),
            r#"oc patch clusterimagepolicy.config team --type=json -p '[{"op":"test","path":"/spec/scopes/3","value":"quay.io/it'\''s"},{"op":"remove","path":"/spec/scopes/3"}]'"#
        );
        assert_eq!(
            append(&object("Image", None, "cluster"), "spec.registrySources.allowedRegistries", "a\u{85}😀\n"),
            r#"oc patch image.config cluster --type=json -p '[{"op":"add","path":"/spec/registrySources/allowedRegistries/-","value":"a\u0085\ud83d\ude00\n"}]'"#
        );
        assert_eq!(delete(&object("ImagePolicy", Some("shop"), "web")), "oc delete imagepolicy.config web -n shop");
        assert_eq!(
            delete(&object("ImagePolicy", Some("a b"), "-rf\n'$(x)")),
            r"oc delete $'imagepolicy.config/-rf\x0a\'$(x)' -n 'a b'"
        );
        assert_eq!(delete(&object("ImagePolicy", None, "")), "oc delete imagepolicy.config/");
    }
}
