//! Scopes against what runs: which of them an image in use is looked up under, and which no image ever is.

use std::collections::{HashMap, HashSet};

use super::Context;
use super::fix::repository;
use crate::model::reference::{ImageReference, ReferenceError};
use crate::model::scope_index::ScopeIndex;
use crate::snapshot::Pod;

type Set<T> = HashSet<T, foldhash::fast::RandomState>;
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Which scopes of policies an image in use is looked up under, whether a more specific one decides or not.
#[derive(Debug, Default)]
pub struct Usage {
    /// First positions in [`super::policies::Scopes::cluster`].
    cluster: Set<usize>,
    /// First positions in [`super::policies::Scopes::tenants`].
    tenants: Set<usize>,
    /// Repositories, whether some pod asks for them by tag, and an image.
    repositories: Map<String, (bool, String)>,
    /// Hosts without their port, and with a colon behind them where they are named with one.
    hosts: Set<String>,
}

impl Usage {
    /// Whether some image is looked up under the scope at a position among those of ClusterImagePolicies.
    pub fn of_cluster(&self, position: usize) -> bool {
        self.cluster.contains(&position)
    }

    /// The same of ImagePolicies, with images of pods in its namespace.
    pub fn of_tenant(&self, position: usize) -> bool {
        self.tenants.contains(&position)
    }

    /// Whether the registry is in use under a name that the scope just misses: with a port, or without what a wildcard stands for.
    pub fn just_misses(&self, scope: &str) -> bool {
        match scope.strip_prefix("*.") {
            Some(domain) => self.hosts.contains(domain),
            None => {
                let host = scope.split('/').next().unwrap_or_default();
                !host.contains(':') && self.hosts.contains(&format!("{host}:"))
            }
        }
    }

    /// An image of a repository that is in use, and whether any is asked for by tag.
    pub fn of_repository(&self, name: &str) -> Option<(&str, bool)> {
        self.repositories.get(name).map(|(by_tag, image)| (image.as_str(), *by_tag))
    }
}

impl<'a> Context<'a> {
    /// Of pods, and for ClusterImagePolicies of what nodes pull besides; put together once.
    pub fn usage(&self) -> &Usage {
        self.usage.get_or_init(|| self.all_usage())
    }

    fn all_usage(&self) -> Usage {
        let scopes = self.scopes();
        let mut usage = Usage::default();
        let platform = self.platform_images();
        let pinned = self.snapshot.pinned_image_sets.iter().flat_map(|set| &set.value.spec.pinned_images);
        let pinned = pinned.map(|pinned| pinned.name.as_str());
        let in_use = self.images_in_use().iter().map(|image| image.image);
        let mut scratch = String::new();
        for image in in_use.chain(platform.iter().map(String::as_str)).chain(pinned) {
            let Ok(reference) = ImageReference::parse_in(image, &mut scratch) else { continue };
            for candidate in reference.candidates() {
                usage.cluster.extend(scopes.cluster_index.find(candidate));
            }
            // `a.io`, and `a.io:` where it has a port.
            let (host, end) = match reference.host().split_once(':') {
                Some((host, _)) => (host, reference.host().len().min(host.len() + 1)),
                None => (reference.host(), reference.host().len()),
            };
            for host in [host, reference.host().get(..end).unwrap_or_default()] {
                if !usage.hosts.contains(host) {
                    usage.hosts.insert(host.to_string());
                }
            }
            let (by_tag, _) =
                usage.repositories.entry(reference.name().to_string()).or_insert_with(|| (false, image.to_string()));
            *by_tag |= reference.digest().is_none();
        }
        let namespaces: Set<&str> = scopes.tenants.iter().map(|asked| asked.namespace()).collect();
        let mut seen: Set<(&str, &str)> = Set::default();
        for pod in &self.snapshot.pods {
            let namespace = namespace(pod);
            if !namespaces.contains(namespace) {
                continue;
            }
            for container in pod.containers.iter().filter(|container| seen.insert((namespace, &container.image))) {
                let Ok(reference) = ImageReference::parse_in(&container.image, &mut scratch) else { continue };
                for candidate in reference.candidates() {
                    usage.tenants.extend(scopes.tenant(namespace, &candidate.text()));
                }
            }
        }
        usage
    }
}

/// What decides about an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A signature is needed; the first position of the scope in [`super::policies::Scopes::cluster`], where it is one of those.
    Signature(Option<usize>),
    /// An entry of a list, or nothing: no signature is asked for.
    Accepts,
    /// No signature helps.
    Rejects,
}

impl<'a> Context<'a> {
    /// What the objects make of an image of pods in a namespace: by lists and policies, whatever MachineConfigs lay over them.
    pub fn decision(&self, image: &ImageReference<'_>, namespace: &str, lists: &Lists<'_>) -> Decision {
        let scopes = self.scopes();
        for candidate in image.candidates() {
            if !namespace.is_empty() && scopes.tenant(namespace, &candidate.text()).is_some() {
                return Decision::Signature(None);
            }
            if let Some(position) = scopes.cluster_index.find(candidate) {
                return Decision::Signature(Some(position));
            }
            if lists.signed.find(candidate).is_some() {
                return Decision::Signature(None);
            }
            if lists.blocked.find(candidate).is_some() {
                return Decision::Rejects;
            }
            if scopes.allowed.find(candidate).is_some() {
                return Decision::Accepts;
            }
        }
        if lists.rejects_others { Decision::Rejects } else { Decision::Accepts }
    }

    /// For [`Context::decision`], put together once.
    pub fn lists(&self) -> Lists<'_> {
        let sources = &self.compiled.sources;
        Lists {
            signed: ScopeIndex::new(self.signed().iter().map(|signed| &*signed.scope)),
            blocked: ScopeIndex::new(sources.policy_blocked.iter().map(|entry| &*entry.text)),
            rejects_others: !sources.allowed.is_empty() && sources.policy_blocked.is_empty(),
        }
    }
}

/// See [`Context::lists`].
#[derive(Debug)]
pub struct Lists<'c> {
    signed: ScopeIndex<'c>,
    blocked: ScopeIndex<'c>,
    rejects_others: bool,
}

/// Of a pod; empty where none is written.
pub fn namespace(pod: &Pod) -> &str {
    pod.reference.namespace.as_deref().unwrap_or_default()
}

/// Why no image is ever looked up under a scope, by its text alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmatchable {
    /// A host with a tag or digest; the host is here.
    HostWithTag(String),
    /// Docker Hub has the name in another form, which is here.
    NotExpanded(String),
    /// A tag and a digest: nodes look up only the digest. The form that they do look up is here.
    TagAndDigest(String),
    /// A digest that is none.
    NoDigest,
    /// In the engine's words, why it is no name of an image.
    NoName(String),
}

/// See [`Unmatchable`]. A Docker Hub name of one component is a user's, unless it is that of a well-known image.
pub fn unmatchable(scope: &str) -> Option<Unmatchable> {
    if scope.starts_with("*.") {
        return None;
    }
    let Some((host, path)) = scope.split_once('/') else { return unmatchable_host(scope) };
    if host == "index.docker.io" {
        return Some(Unmatchable::NotExpanded(format!("docker.io/{}", expanded(path))));
    }
    if !host.contains(['.', ':']) && host != "localhost" {
        return Some(Unmatchable::NotExpanded(format!("docker.io/{scope}")));
    }
    match ImageReference::parse_canonical(scope) {
        Ok(reference) => match (reference.tag(), reference.digest()) {
            (Some(_), Some(digest)) => Some(Unmatchable::TagAndDigest(format!("{}@{digest}", reference.name()))),
            _ => None,
        },
        Err(ReferenceError::NotCanonical) => {
            let name = repository(path).unwrap_or(path);
            let is_image = name.len() < path.len() || path.contains([':', '@']) || WELL_KNOWN.contains(&name);
            (is_image && path != "library").then(|| Unmatchable::NotExpanded(format!("docker.io/library/{path}")))
        }
        Err(ReferenceError::DigestLength | ReferenceError::DigestFormat | ReferenceError::DigestAlgorithm) => {
            Some(Unmatchable::NoDigest)
        }
        Err(error) => Some(Unmatchable::NoName(error.to_string())),
    }
}

fn unmatchable_host(scope: &str) -> Option<Unmatchable> {
    let host = scope.split(['@', ':']).next().unwrap_or_default();
    let port = scope.get(host.len()..).unwrap_or_default();
    let is_port =
        port.strip_prefix(':').is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let is_label = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !port.is_empty() && !is_port {
        Some(Unmatchable::HostWithTag(host.to_string()))
    } else if scope == "index.docker.io" {
        Some(Unmatchable::NotExpanded("docker.io".to_string()))
    } else if !scope.is_empty() && scope != "localhost" && scope.bytes().all(is_label) {
        Some(Unmatchable::NotExpanded(format!("docker.io/{}", expanded(scope))))
    } else {
        None
    }
}

/// What follows `docker.io/`.
fn expanded(path: &str) -> String {
    if path.contains('/') || path == "library" { path.to_string() } else { format!("library/{path}") }
}

/// Official images of Docker Hub, which are in `library`, and whose names people write without it.
const WELL_KNOWN: &[&str] = &[
    "adminer",
    "alpine",
    "amazoncorretto",
    "archlinux",
    "bash",
    "buildpack-deps",
    "busybox",
    "caddy",
    "cassandra",
    "centos",
    "consul",
    "couchdb",
    "debian",
    "docker",
    "eclipse-temurin",
    "elasticsearch",
    "fedora",
    "ghost",
    "golang",
    "gradle",
    "haproxy",
    "hello-world",
    "httpd",
    "influxdb",
    "joomla",
    "kibana",
    "logstash",
    "mariadb",
    "maven",
    "memcached",
    "mongo",
    "mysql",
    "nats",
    "nextcloud",
    "nginx",
    "node",
    "openjdk",
    "php",
    "postgres",
    "python",
    "rabbitmq",
    "redis",
    "registry",
    "rockylinux",
    "ruby",
    "rust",
    "sonarqube",
    "telegraf",
    "tomcat",
    "traefik",
    "ubuntu",
    "vault",
    "wordpress",
    "zookeeper",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_text_alone() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let not_expanded = |text: &str| Some(Unmatchable::NotExpanded(text.into()));
        let no_name = |text: &str| Some(Unmatchable::NoName(text.into()));
        for (scope, expected) in [
            ("example.com", None),
            ("example.com:5000", None),
            ("localhost", None),
            ("localhost:5000", None),
            ("*.example.com", None),
            ("", None),
            ("example.com:latest", Some(Unmatchable::HostWithTag("example.com".into()))),
            (&format!("example.com@{digest}"), Some(Unmatchable::HostWithTag("example.com".into()))),
            ("nginx", not_expanded("docker.io/library/nginx")),
            ("team/app", not_expanded("docker.io/team/app")),
            ("index.docker.io", not_expanded("docker.io")),
            ("index.docker.io/nginx", not_expanded("docker.io/library/nginx")),
            ("index.docker.io/team/app", not_expanded("docker.io/team/app")),
            ("docker.io", None),
            ("docker.io/library", None),
            ("docker.io/library/nginx", None),
            ("docker.io/team/app:v1", None),
            ("docker.io/bitnami", None),
            ("docker.io/nginx", not_expanded("docker.io/library/nginx")),
            ("docker.io/bitnami:v1", not_expanded("docker.io/library/bitnami:v1")),
            ("example.com/app", None),
            ("example.com/app:v1", None),
            (&format!("example.com/app@{digest}"), None),
            (
                &format!("example.com/app:v1@{digest}"),
                Some(Unmatchable::TagAndDigest(format!("example.com/app@{digest}"))),
            ),
            (&format!("example.com/app@sha256:{}", "a".repeat(40)), Some(Unmatchable::NoDigest)),
            ("example.com/app@sha256:aa", no_name("invalid reference format")),
            ("example.com/Team", no_name("invalid reference format: repository name must be lowercase")),
            ("example.com/team/", no_name("invalid reference format")),
        ] {
            assert_eq!(unmatchable(scope), expected, "{scope}");
        }
    }
}
