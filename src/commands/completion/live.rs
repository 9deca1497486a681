//! Names of objects, for whoever waits for them: from the files of `-f`, else from the cluster, else from nowhere. Nothing here is an
//! error, and nothing takes longer than [`Live::deadline`].

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::words::Words;
use crate::cluster::{self, ConnectionArgs, KubeconfigNames, Named, ObjectName};
use crate::files::{self, ReadOptions};
use crate::snapshot::{Kind, Snapshot};

/// A person sees no delay in less than a third of a second; what comes before and after takes the rest of it.
const PATIENCE: Duration = Duration::from_millis(225);
/// For who would rather wait for a cluster that is far away: `2s`.
const PATIENCE_VARIABLE: &str = "OC_IMAGEPOLICY_COMPLETION_TIMEOUT";
/// An exec plugin is stopped so long before the end that it is gone when this process is.
const TO_STOP_A_PLUGIN: Duration = Duration::from_millis(40);
/// The last page of names is asked for so long before the end that those of the others are handed over in time.
const TO_READ_NAMES: Duration = Duration::from_millis(25);

/// Where names come from.
pub struct Live {
    deadline: Instant,
    connection: ConnectionArgs,
    namespace: Option<String>,
    input: Input,
}

#[derive(Clone)]
enum Input {
    Cluster,
    Example,
    Files(Vec<PathBuf>, bool),
    /// Standard input, which is the terminal; or node files, which name no objects.
    Nothing,
}

impl Live {
    /// Of what flags say so far.
    pub fn new(words: &Words, started: Instant) -> Self {
        // What `-f` names is to be written where a command writes, and `--base` is what there is.
        let paths = match words.command.as_str() {
            "diff" => "base",
            "apply" | "rollback" => "",
            _ => "filename",
        };
        let paths: Vec<PathBuf> = words.all(paths).map(PathBuf::from).collect();
        let node_files = ["policy", "registries_conf", "registries_d"].iter().any(|id| words.has(id));
        let input = match () {
            () if node_files || paths.iter().any(|path| path.as_os_str() == "-") => Input::Nothing,
            () if words.has("example") => Input::Example,
            () if !paths.is_empty() => Input::Files(paths, words.has("recursive")),
            () => Input::Cluster,
        };
        let text = |id| words.text(id);
        let path = |id| words.last(id).filter(|path| !path.is_empty()).map(PathBuf::from);
        let connection = ConnectionArgs {
            kubeconfig: path("kubeconfig"),
            context: text("context"),
            cluster: text("cluster"),
            user: text("user"),
            server: text("server"),
            token: text("token"),
            certificate_authority: path("certificate_authority"),
            insecure_skip_tls_verify: words.has("insecure_skip_tls_verify"),
            tls_server_name: text("tls_server_name"),
            as_user: text("as_user").filter(|user| !(words.command == "apply" && user == "machineconfigs")),
            as_group: words.all("as_group").filter_map(|group| group.to_str()).map(str::to_string).collect(),
            as_uid: text("as_uid"),
            unattended: true,
            ..ConnectionArgs::default()
        };
        let patience = std::env::var(PATIENCE_VARIABLE).ok().and_then(|text| cluster::go_duration(&text));
        // Nobody waits for an hour.
        let patience = patience.unwrap_or(PATIENCE).min(Duration::from_secs(3600));
        Self { deadline: started + patience, connection, namespace: text("namespace"), input }
    }

    /// The objects of a kind.
    pub fn objects(&self, kind: Kind) -> Vec<ObjectName> {
        let find = move |snapshot: &Snapshot| {
            let of_kind = snapshot.as_written().filter(|(reference, ..)| *reference.kind == *kind.name());
            let name = |namespace: Option<&str>, name: &str| ObjectName {
                namespace: namespace.map(str::to_string),
                name: name.to_string(),
            };
            of_kind.map(|(reference, ..)| name(reference.namespace.as_deref(), &reference.name)).collect()
        };
        self.names(Named::Kind(kind), find)
    }

    /// Namespaces; of files those in which objects are.
    pub fn namespaces(&self) -> Vec<String> {
        let find = |snapshot: &Snapshot| {
            let namespaces = snapshot.as_written().filter_map(|(reference, ..)| reference.namespace.as_deref());
            namespaces.map(|name| ObjectName { namespace: None, name: name.to_string() }).collect()
        };
        self.names(Named::Namespaces, find).into_iter().map(|object| object.name).collect()
    }

    fn names(&self, of: Named, find: impl FnOnce(&Snapshot) -> Vec<ObjectName> + Send + 'static) -> Vec<ObjectName> {
        let found = match self.files() {
            Some(read) => self.in_time(move || Some(find(&read()?))),
            None if matches!(self.input, Input::Cluster) => {
                let (args, deadline, namespace) = (self.connection.clone(), self.deadline, self.namespace.clone());
                self.in_time(move || {
                    let connection = connect(args, deadline)?;
                    let until = deadline.checked_sub(TO_READ_NAMES).unwrap_or(deadline);
                    cluster::block_on(cluster::names(&connection, of, namespace.as_deref(), until)).ok()
                })
            }
            None => None,
        };
        let mut found: Vec<ObjectName> = found.unwrap_or_default();
        found.retain(|object| is_name(&object.name) && object.namespace.as_deref().is_none_or(is_name));
        found.sort();
        found.dedup();
        found
    }

    /// What policies and mirror sets are about: beginnings of image names.
    pub fn scopes(&self) -> Vec<String> {
        const KINDS: [Kind; 5] = [
            Kind::ClusterImagePolicy,
            Kind::ImagePolicy,
            Kind::ImageDigestMirrorSet,
            Kind::ImageTagMirrorSet,
            Kind::ImageContentSourcePolicy,
        ];
        let snapshot = match self.files() {
            Some(read) => self.in_time(read),
            None if matches!(self.input, Input::Cluster) => {
                let (args, deadline, namespace) = (self.connection.clone(), self.deadline, self.namespace.clone());
                self.in_time(move || {
                    let connection = connect(args, deadline)?;
                    cluster::block_on_read(&connection, &KINDS, namespace.as_deref()).ok()
                })
            }
            None => None,
        };
        let Some(snapshot) = snapshot else { return Vec::new() };
        let policies = snapshot.cluster_image_policies.iter().chain(&snapshot.image_policies);
        let of_policies = policies.flat_map(|policy| &policy.value.spec.scopes);
        let of_mirrors =
            snapshot.mirror_sets().flat_map(|(_, set)| &set.value.spec.mirrors).map(|mirror| &mirror.source);
        let mut scopes: Vec<String> = of_policies.chain(of_mirrors).filter(|scope| is_scope(scope)).cloned().collect();
        scopes.sort();
        scopes.dedup();
        scopes
    }

    /// What the kubeconfig has names for.
    pub fn kubeconfig(&self) -> KubeconfigNames {
        let args = self.connection.clone();
        let mut names = self.in_time(move || cluster::kubeconfig_names(&args).ok()).unwrap_or_default();
        // As a word of its own it would be a flag.
        for names in [&mut names.contexts, &mut names.clusters, &mut names.users] {
            names.retain(|name| !name.starts_with('-'));
        }
        names
    }

    /// Any other work that may take long.
    pub fn in_time<T: Send + 'static>(&self, work: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
        within(self.deadline, work)
    }

    /// How to read what is read instead of a cluster.
    fn files(&self) -> Option<impl FnOnce() -> Option<Snapshot> + Send + 'static> {
        let input = self.input.clone();
        matches!(input, Input::Example | Input::Files(..)).then_some(move || match input {
            Input::Files(paths, recursive) => {
                files::read(&paths, ReadOptions { recursive, ..ReadOptions::default() }).ok()
            }
            _ => files::example().ok(),
        })
    }
}

fn connect(mut args: ConnectionArgs, deadline: Instant) -> Option<cluster::Connection> {
    args.exec_timeout = Some(deadline.saturating_duration_since(Instant::now()).saturating_sub(TO_STOP_A_PLUGIN));
    cluster::connect(&args).ok()
}

/// What the work comes to, if it is there by then. It is not stopped: a thread that looks up a name, or reads from something that gives
/// nothing, cannot be.
fn within<T: Send + 'static>(deadline: Instant, work: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let work = move || {
        let _ = sender.send(work());
    };
    thread::Builder::new().spawn(work).ok()?;
    receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?
}

/// Whether it is a name as the API allows it, and so nothing that a shell obeys: names come from whoever answers.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':'))
}

/// The same for scopes. A wildcard is no beginning of an image's name.
fn is_scope(scope: &str) -> bool {
    !scope.is_empty()
        && scope.len() <= 512
        && scope.starts_with(|c: char| c.is_ascii_alphanumeric())
        && scope.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '/' | '@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_waited_for_beyond_the_deadline() {
        let now = Instant::now();
        assert_eq!(within(now + Duration::from_secs(60), || Some(1)), Some(1));
        assert_eq!(within(now + Duration::from_secs(60), || None::<u8>), None);
        // A minute later this test would have failed for sure, and it waits for nothing.
        let slow = || {
            thread::sleep(Duration::from_secs(60));
            Some(1)
        };
        assert_eq!(within(now + Duration::from_millis(20), slow), None);
        assert_eq!(within(now, slow), None);
        assert!(now.elapsed() < Duration::from_secs(30));
        // Work that dies is no answer.
        assert_eq!(
            within(now + Duration::from_secs(60), || -> Option<u8> { std::panic::resume_unwind(Box::new(())) }),
            None
        );
    }

    #[test]
    fn names_that_a_shell_would_obey_are_none() {
        for name in ["a", "worker-1.lab", "rendered-worker-0a1b", "system:admin"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-rf", "$(reboot)", "a b", "a\tb", "a\nb", "a;b", "`x`", "a\u{1b}[31m", "ä", "a/b", ":4"] {
            assert!(!is_name(name), "{name:?}");
        }
        for scope in ["quay.io/org/app:v1", "registry:5000/x@sha256:ab"] {
            assert!(is_scope(scope), "{scope}");
        }
        for scope in ["*.example.com", "a b", "$x/y", "", "[::1]:5000/x"] {
            assert!(!is_scope(scope), "{scope:?}");
        }
    }
}
