//! A real kube-apiserver with etcd, the OpenShift CRDs and kubectl (`tests/controlplane`).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;

use serde::Deserialize;
use tempfile::TempDir;

use super::{GoProgram, go, run_go, testservers_dir};

const PROGRAM: GoProgram = GoProgram { module: "controlplane", tags: "", after_build: copy_crds_and_link_kubectl };

/// The OpenShift CRDs come with a Go module; the server gets those that `crds.txt` names.
fn copy_crds_and_link_kubectl(source: &Path) {
    let module = run_go(go(source).args(["list", "-m", "-f", "{{.Dir}}", "github.com/openshift/api"]));
    let crds = testservers_dir().join("crds");
    if crds.exists() {
        fs::remove_dir_all(&crds).unwrap();
    }
    fs::create_dir(&crds).unwrap();
    for file in fs::read_to_string(source.join("crds.txt")).unwrap().lines() {
        let from = Path::new(module.trim()).join(file);
        let content = fs::read(&from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
        fs::write(crds.join(from.file_name().unwrap()), content).unwrap();
    }
    let bin = testservers_dir().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let kubectl = bin.join("kubectl");
    if kubectl.symlink_metadata().is_err() {
        std::os::unix::fs::symlink("../controlplane", kubectl).unwrap();
    }
}

/// A folder that holds the real `kubectl` and nothing else, for a `PATH`.
pub fn kubectl_dir() -> PathBuf {
    PROGRAM.path();
    testservers_dir().join("bin")
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Serve ClusterImagePolicy and ImagePolicy as `v1alpha1` only; `v1` answers 404.
    pub v1alpha1_policies: bool,
}

/// A running server. It stops when this is dropped, and by itself when the test dies.
pub struct ControlPlane {
    /// `https://127.0.0.1:PORT`
    pub url: String,
    /// The CA's certificate, PEM.
    pub ca: PathBuf,
    /// Bearer tokens by user: `admin`, `reader`, `partial`, `nobody`.
    pub tokens: BTreeMap<String, String>,
    kubeconfigs: BTreeMap<String, PathBuf>,
    data: TempDir,
    /// The server ends when its stdin, in here, is closed.
    server: Child,
}

#[derive(Deserialize)]
struct Ready {
    url: String,
    ca: PathBuf,
    tokens: BTreeMap<String, String>,
    kubeconfigs: BTreeMap<String, PathBuf>,
}

impl ControlPlane {
    /// Builds it first where necessary (minutes); starts in seconds. It takes 350 MB: share it where a test can.
    ///
    /// # Panics
    /// Where it does not start; its log is part of the message.
    pub fn start(options: Options) -> Self {
        let program = PROGRAM.path();
        let data = tempfile::Builder::new().prefix("controlplane-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let log = data.path().join("log");
        let mut command = Command::new(program);
        command.arg("serve").arg("--data").arg(data.path()).arg("--crds").arg(testservers_dir().join("crds"));
        if options.v1alpha1_policies {
            command.arg("--v1alpha1-policies");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut server = command.spawn().expect("start the control plane");
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<Ready>(&line) else {
            let _ = server.kill();
            let _ = server.wait();
            panic!("the control plane did not start:\n{}", fs::read_to_string(log).unwrap_or_default());
        };
        let Ready { url, ca, tokens, kubeconfigs } = ready;
        Self { url, ca, tokens, kubeconfigs, data, server }
    }

    /// One server for all tests of the process, with the default options. Tests that change cluster-wide objects must agree
    /// about them.
    pub fn shared() -> &'static Self {
        // A static is never dropped: the server notices the end of this process by its stdin.
        static SHARED: OnceLock<ControlPlane> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Options::default()))
    }

    /// Where the server keeps its files; its `log` among them.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// The kubeconfig of `admin`, `certificate` (the same by client certificate), `reader`, `partial` or `nobody`.
    pub fn kubeconfig(&self, user: &str) -> &Path {
        self.kubeconfigs.get(user).unwrap_or_else(|| panic!("no user {user:?}: {:?}", self.kubeconfigs.keys()))
    }

    /// The real kubectl as the user, not yet started.
    pub fn kubectl_command(&self, user: &str) -> Command {
        let mut command = Command::new(kubectl_dir().join("kubectl"));
        // Its caches belong to this server: the next one on the same port may serve other kinds.
        command.env("KUBECONFIG", self.kubeconfig(user)).env("HOME", self.data_dir()).env_remove("KUBECACHEDIR");
        command
    }

    /// kubectl as admin, whatever comes of it.
    pub fn kubectl(&self, args: &[&str]) -> Output {
        self.kubectl_command("admin").args(args).stdin(Stdio::null()).output().expect("run kubectl")
    }

    /// kubectl as admin, with something to read (`-f -`).
    pub fn kubectl_in(&self, args: &[&str], stdin: &str) -> Output {
        let mut command = self.kubectl_command("admin");
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("run kubectl");
        let mut pipe = child.stdin.take().unwrap();
        thread::scope(|scope| {
            // Where kubectl gives up before it has read everything, its message says why, not ours.
            scope.spawn(move || drop(pipe.write_all(stdin.as_bytes())));
            child.wait_with_output().expect("run kubectl")
        })
    }

    /// Applies manifests as admin, server-side.
    ///
    /// # Panics
    /// Where the server takes any of them not.
    pub fn apply(&self, manifests: &str) {
        let output = self.kubectl_in(&["apply", "--server-side", "--force-conflicts", "-f", "-"], manifests);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
