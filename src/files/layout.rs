//! What a file of a must-gather, or of a node, is by its path alone.

use crate::snapshot::{KINDS, Kind};

/// The directory of a must-gather (`oc adm must-gather`, `oc adm inspect`) that holds objects outside of namespaces.
pub(super) const CLUSTER_SCOPED: &str = "cluster-scoped-resources";
/// The one that holds those inside.
pub(super) const NAMESPACES: &str = "namespaces";
/// Of a namespace: a directory for each pod, with the pod and its logs.
pub(super) const PODS: &str = "pods";

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Objects of one kind in a must-gather.
    Objects {
        /// The kind.
        kind: Kind,
        /// Of one namespace only.
        namespace: Option<String>,
        /// Whether it is a file to read, or a directory whose being there says that the kind was collected.
        file: bool,
    },
    /// One pod beside its logs, which is mostly in the list of its namespace as well.
    Pod {
        /// Of the pod.
        namespace: String,
    },
    /// A file of a node.
    NodeFile {
        /// What stands before `etc`.
        root: String,
        /// The path on the node, from `/`.
        path: String,
    },
}

impl Place {
    /// The namespace of a list of pods.
    pub(super) fn lists_pods_of(&self) -> Option<String> {
        match self {
            Self::Objects { kind: Kind::Pod, namespace, file: true } => namespace.clone(),
            _ => None,
        }
    }
}

/// The directory that objects of a group are kept in.
pub(super) fn group_directory(group: &'static str) -> &'static str {
    if group.is_empty() { "core" } else { group }
}

/// Whether a directory of [`CLUSTER_SCOPED`] of this name is one of a must-gather.
pub(super) fn is_known_group(name: &str) -> bool {
    KINDS.iter().any(|info| group_directory(info.group) == name)
}

/// Names the file `NAME.yaml` without its ending, also of `NAME.json` and `NAME.yaml.gz`.
pub(super) fn stem(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    [".yaml", ".yml", ".json"].iter().find_map(|ending| name.strip_suffix(ending))
}

/// The parts of a path in an archive; nothing for those that lead out of it.
pub(super) fn parts(path: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!parts.contains(&"..")).then_some(parts)
}

/// Recognises a path.
pub(super) fn place(parts: &[&str], file: bool) -> Option<Place> {
    must_gather(parts, file).or_else(|| if file { node_file(parts) } else { None })
}

fn must_gather(parts: &[&str], file: bool) -> Option<Place> {
    let marker = parts.iter().position(|part| matches!(*part, CLUSTER_SCOPED | NAMESPACES))?;
    let (namespace, rest) = match (parts.get(marker)?, parts.get(marker + 1..)?) {
        (&NAMESPACES, [namespace, rest @ ..]) => (Some(namespace.to_string()), rest),
        (&CLUSTER_SCOPED, rest) => (None, rest),
        _ => return None,
    };
    if let (Some(namespace), [directory, pod, yaml]) = (&namespace, rest)
        && *directory == PODS
    {
        let is_pod = file && yaml.strip_suffix(".yaml") == Some(pod);
        return is_pod.then(|| Place::Pod { namespace: namespace.clone() });
    }
    let (group, plural) = match rest {
        [group, list] if file => (group, stem(list)?),
        [group, plural] => (group, *plural),
        [group, plural, object] if file && stem(object).is_some() => (group, *plural),
        _ => return None,
    };
    let info = KINDS.iter().find(|info| info.plural == plural && group_directory(info.group) == *group)?;
    (info.namespaced || namespace.is_none()).then_some(Place::Objects { kind: info.kind, namespace, file })
}

fn node_file(parts: &[&str]) -> Option<Place> {
    let etc = parts.iter().position(|part| *part == "etc")?;
    let (root, path) = parts.split_at_checked(etc)?;
    NODE_DIRECTORIES
        .contains(path.get(1)?)
        .then(|| Place::NodeFile { root: root.join("/"), path: format!("/{}", path.join("/")) })
}

/// What is read below `etc`: policies, registries, and the keys that they may name.
pub(super) const NODE_DIRECTORIES: [&str; 3] = ["containers", "crio", "pki"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_must_gather() {
        let objects = |kind, namespace: Option<&str>, file| {
            Some(Place::Objects { kind, namespace: namespace.map(str::to_string), file })
        };
        for (path, file, expected) in [
            (
                "mg/img/cluster-scoped-resources/config.openshift.io/images/cluster.yaml",
                true,
                objects(Kind::Image, None, true),
            ),
            ("mg/cluster-scoped-resources/config.openshift.io/images.yaml", true, objects(Kind::Image, None, true)),
            ("cluster-scoped-resources/core/nodes/a.b.yaml.gz", true, objects(Kind::Node, None, true)),
            ("cluster-scoped-resources/core/nodes", false, objects(Kind::Node, None, false)),
            ("cluster-scoped-resources/core/nodes/a.txt", true, None),
            ("cluster-scoped-resources/image.openshift.io/images/x.yaml", true, None),
            (
                "cluster-scoped-resources/config.openshift.io/imagepolicies.yaml",
                true,
                objects(Kind::ImagePolicy, None, true),
            ),
            (
                "x/namespaces/a/config.openshift.io/imagepolicies.yaml",
                true,
                objects(Kind::ImagePolicy, Some("a"), true),
            ),
            ("x/namespaces/a/config.openshift.io/images.yaml", true, None),
            ("x/namespaces/a/core/pods.yaml", true, objects(Kind::Pod, Some("a"), true)),
            ("x/namespaces/a/core/secrets.yaml", true, None),
            ("x/namespaces/a/pods/p/p.yaml", true, Some(Place::Pod { namespace: "a".into() })),
            ("x/namespaces/a/pods/p/c.yaml", true, None),
            ("x/namespaces/a/pods/p/p/p/logs/current.log", true, None),
        ] {
            assert_eq!(place(&parts(path).unwrap(), file), expected, "{path}");
        }
    }

    #[test]
    fn paths_of_a_node() {
        let found = place(&parts("/n1/./etc/containers/policy.json").unwrap(), true);
        let expected = Place::NodeFile { root: "n1".into(), path: "/etc/containers/policy.json".into() };
        assert_eq!(found, Some(expected));
        assert_eq!(place(&parts("etc/shadow").unwrap(), true), None);
        assert_eq!(parts("a/../etc/containers/policy.json"), None);
    }
}
