//! Who says so: objects, fields and files behind everything that is in force, and the refusals of those who will not take them.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// One object of the cluster, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// For instance `config.openshift.io/v1`.
    pub api_version: Box<str>,
    /// For instance `ClusterImagePolicy`.
    pub kind: Box<str>,
    /// Absent for cluster-scoped objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Box<str>>,
    /// `metadata.name`.
    pub name: Box<str>,
}

impl ObjectRef {
    /// Kind, namespace and name: what tells it from others, whatever version it is written in.
    pub fn identity(&self) -> (&str, Option<&str>, &str) {
        (&self.kind, self.namespace.as_deref(), &self.name)
    }
}

/// `Kind/name`, or `Kind/namespace/name`: also what `--without` takes.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.kind, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

/// A path into an object such as `spec.scopes[3]`, kept as a template and its indices: there is one for every scope of a
/// cluster, so it must not allocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath {
    template: &'static str,
    indices: [u32; 2],
}

impl FieldPath {
    /// A path without list indices, such as `spec.policy.rootOfTrust`.
    pub const fn new(template: &'static str) -> Self {
        Self { template, indices: [0; 2] }
    }

    /// A path whose first `[]` stands for the given index, such as `spec.scopes[]`.
    pub fn indexed(template: &'static str, index: usize) -> Self {
        Self { template, indices: [index as u32, 0] }
    }

    /// A path with two `[]`, such as `spec.imageDigestMirrors[].mirrors[]`.
    pub fn indexed_twice(template: &'static str, outer: usize, inner: usize) -> Self {
        Self { template, indices: [outer as u32, inner as u32] }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.template.split("[]");
        f.write_str(parts.next().unwrap_or_default())?;
        for (part, index) in parts.zip(self.indices) {
            write!(f, "[{index}]{part}")?;
        }
        Ok(())
    }
}

/// Where something that is in force was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provenance {
    /// Nobody's object: what the software does by itself. The text is shown as it is.
    Default(&'static str),
    /// A field of an object.
    Field {
        /// The object.
        object: Arc<ObjectRef>,
        /// The field in it.
        path: FieldPath,
    },
    /// A file of a node that no object could be matched with.
    File {
        /// The MachineConfig that wrote it, where that is known.
        machine_config: Option<Arc<str>>,
        /// The path on the node.
        path: Arc<str>,
    },
}

/// In words: `ClusterImagePolicy/team spec.scopes[0]`, `MachineConfig/51-x /etc/containers/policy.json`, or the default's text.
impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(text) => f.write_str(text),
            Self::Field { object, path } => write!(f, "{object} {path}"),
            Self::File { machine_config: Some(name), path } => write!(f, "MachineConfig/{name} {path}"),
            Self::File { machine_config: None, path } => f.write_str(path),
        }
    }
}

/// The `from` entry of interface.md 3: `{apiVersion, kind, namespace?, name, path}`; a default has only `default`, a node file
/// that belongs to no MachineConfig only `path`.
impl Serialize for Provenance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Default(text) => map.serialize_entry("default", text)?,
            Self::Field { object, path } => {
                map.serialize_entry("apiVersion", &object.api_version)?;
                map.serialize_entry("kind", &object.kind)?;
                if let Some(namespace) = &object.namespace {
                    map.serialize_entry("namespace", namespace)?;
                }
                map.serialize_entry("name", &object.name)?;
                map.serialize_entry("path", &path.to_string())?;
            }
            Self::File { machine_config, path } => {
                if let Some(name) = machine_config {
                    map.serialize_entry("apiVersion", "machineconfiguration.openshift.io/v1")?;
                    map.serialize_entry("kind", "MachineConfig")?;
                    map.serialize_entry("name", name)?;
                }
                map.serialize_entry("path", path)?;
            }
        }
        map.end()
    }
}

/// Who will not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum RefusedBy {
    /// The API server of that release: the object cannot be stored.
    Api,
    /// The machine-config-controller: it writes nothing for any pool.
    Controller,
    /// The node: every pull there fails.
    Node,
    /// This program, where nobody else would and the result would be wrong.
    Plugin,
}

/// An object's field that makes somebody refuse.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cause {
    /// The object.
    #[serde(flatten)]
    pub object: Arc<ObjectRef>,
    /// The field, such as `spec.scopes[0]`.
    pub path: String,
    /// What stands there.
    pub value: String,
}

/// What a refusal is about. Each has its lint rule (product.md 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalReason {
    /// The API server's schema or rules.
    Schema,
    /// Controller: an entry of insecure, blocked or allowedRegistries has no valid form.
    RegistryEntry,
    /// Controller: a mirror set's source or mirror has no valid form.
    MirrorFormat,
    /// Controller: two mirrorSourcePolicies for one source, or NeverContactSource with the source among its mirrors.
    MirrorSourcePolicy,
    /// Controller: a mirrored wildcard source with a concrete entry without mirrors inside it.
    WildcardMirror,
    /// Controller: allowed and blocked registries at once.
    AllowedAndBlocked,
    /// Controller: a policy's scope lies in no allowed registry.
    ScopeOutsideAllowed,
    /// Controller: a policy's scope lies in a blocked registry.
    ScopeInsideBlocked,
    /// Controller: a policy's signedIdentity (or another part of it) cannot be converted.
    PolicyConversion,
    /// Controller: an entry of registries.conf cannot be rewritten for a scope's mirrors.
    CannotRewrite,
    /// Controller: the registries.conf that it wrote itself does not load.
    RegistriesConfUnreadable,
    /// Controller: the payload's image name cannot be parsed.
    ReleaseImage,
    /// Controller: it crashes.
    Crash,
    /// Node: policy.json or a namespace's policy cannot be read.
    PolicyUnreadable,
    /// Node: registries.conf cannot be read.
    RegistriesUnreadable,
    /// Node: registries.d cannot be read, for instance since two files have the same key.
    RegistriesDUnreadable,
    /// This program: signedRegistries that contradict the rest.
    SignedRegistries,
}

/// Somebody will not take something: an answer of this program, not an error.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Refusal {
    /// Who refuses.
    pub by: RefusedBy,
    /// What for: lint's rules choose by it, never by the text.
    #[serde(skip)]
    pub reason: RefusalReason,
    /// The refuser's own words; the controller's from `could not update …`, or bare where it has no such prefix.
    pub text: String,
    /// Every object and field that takes part.
    pub causes: Vec<Cause>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_paths_fill_in_their_indices() {
        assert_eq!(FieldPath::new("spec.policy").to_string(), "spec.policy");
        assert_eq!(FieldPath::indexed("spec.scopes[]", 7).to_string(), "spec.scopes[7]");
        let path = FieldPath::indexed_twice("spec.imageDigestMirrors[].mirrors[]", 1, 2);
        assert_eq!(path.to_string(), "spec.imageDigestMirrors[1].mirrors[2]");
        assert_eq!(FieldPath::indexed("spec.a[].source", 3).to_string(), "spec.a[3].source");
    }
}
