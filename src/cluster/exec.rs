//! Exec credential plugins (`aws eks get-token`, `oc get-token`, `kubelogin`, …). Run here and not by `kube`, which runs the
//! plugin up to three times for one client, without a time limit, and keeps what it says on stderr to itself.

use std::io::{self, IsTerminal, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::kubeconfig::{Cluster, Exec, filled};
use super::plain;
use crate::error::{Error, Result};

/// For a plugin that nobody can answer.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// For a plugin that may ask a person to open a browser.
const TIME_LIMIT_INTERACTIVE: Duration = Duration::from_secs(300);
/// What a plugin may print.
const MAX_OUTPUT: usize = 1 << 20;
const GROUP: &str = "client.authentication.k8s.io/";
/// The key under which a kubeconfig keeps a cluster's own settings for plugins.
const EXTENSION: &str = "client.authentication.k8s.io/exec";

/// What a plugin gives. One of token and certificate at least.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Credential {
    /// A bearer token.
    pub token: Option<String>,
    /// PEM.
    pub client_certificate_data: Option<String>,
    /// PEM.
    pub client_key_data: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    #[serde(default)]
    api_version: String,
    status: Option<Credential>,
}

/// Runs the plugin once. The second value is what it said on stderr, where no terminal showed it.
pub(super) fn run(
    exec: &Exec,
    cluster: &Cluster,
    time_limit: Option<Duration>,
    unattended: bool,
) -> Result<(Credential, String)> {
    let Some(command) = filled(&exec.command) else {
        return Err(Error::Kubeconfig {
            message: "its `exec` plugin has no `command`".into(),
            hint: "`oc config view --minify` shows it".into(),
        });
    };
    let failure = |message: String, stderr: &str| failure(command, message, stderr);
    let version = filled(&exec.api_version).unwrap_or_default();
    if !version.starts_with(GROUP) {
        return Err(failure(format!("has the apiVersion {:?}, which is not {GROUP}v1", plain(version, 80)), ""));
    }
    let terminal = !unattended && io::stdin().is_terminal();
    let interactive = match filled(&exec.interactive_mode) {
        Some("Never") => false,
        Some("Always") if !terminal => {
            return Err(failure("wants to ask somebody, and standard input is no terminal".into(), ""));
        }
        _ => terminal,
    };
    let limit = time_limit.unwrap_or(if interactive { TIME_LIMIT_INTERACTIVE } else { TIME_LIMIT });

    let mut process = Command::new(command);
    process.args(exec.args.iter().flatten());
    process.envs(exec.env.iter().flatten().map(|variable| (&variable.name, &variable.value)));
    process.env("KUBERNETES_EXEC_INFO", exec_info(exec, cluster, version, interactive)?.to_string());
    process.stdout(Stdio::piped());
    process.stdin(if interactive { Stdio::inherit() } else { Stdio::null() });
    process.stderr(if interactive { Stdio::inherit() } else { Stdio::piped() });
    let child = process.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::Kubeconfig {
            message: format!("its credential plugin `{}` is not installed", plain(command, 200)),
            hint: match filled(&exec.install_hint) {
                Some(hint) => plain(hint, 500),
                None => "install it, or `oc login`, or give a --token".into(),
            },
        },
        _ => failure(format!("does not start: {error}"), ""),
    })?;

    let Finished { success, stdout, stderr } = wait(child, limit).map_err(|stderr| {
        failure(
            format!("does not end within {} s", limit.as_secs_f32()),
            &plain(&String::from_utf8_lossy(&stderr), 500),
        )
    })?;
    let stderr = plain(&String::from_utf8_lossy(&stderr), 500);
    if let Err(status) = success {
        return Err(failure(format!("fails ({status})"), &stderr));
    }
    let answer: ExecCredential = serde_json::from_slice(&stdout)
        .map_err(|_| failure("does not print an ExecCredential as JSON".into(), &stderr))?;
    if answer.api_version != version {
        let returned = plain(&answer.api_version, 80);
        return Err(failure(format!("answers in version {returned:?}, and {version} is configured"), &stderr));
    }
    let credential = answer.status.unwrap_or_default();
    match (filled(&credential.client_certificate_data), filled(&credential.client_key_data)) {
        (None, None) if filled(&credential.token).is_none() => {
            Err(failure("gives neither a token nor a certificate".into(), &stderr))
        }
        (Some(_), None) | (None, Some(_)) => {
            Err(failure("gives a certificate or its key, and not both".into(), &stderr))
        }
        _ => Ok((credential, stderr)),
    }
}

fn failure(command: &str, message: String, stderr: &str) -> Error {
    let mut message = format!("its credential plugin `{}` {message}", plain(command, 200));
    if !stderr.is_empty() {
        message = format!("{message}: {stderr}");
    }
    Error::Kubeconfig { message, hint: "run the plugin by hand, or `oc login`, or give a --token".into() }
}

/// The value of KUBERNETES_EXEC_INFO.
fn exec_info(exec: &Exec, cluster: &Cluster, version: &str, interactive: bool) -> Result<Value> {
    let mut spec = json!({"interactive": interactive});
    if exec.provide_cluster_info == Some(true) {
        let mut info = serde_json::Map::new();
        let mut put = |key: &str, value: Option<&str>| {
            if let Some(value) = value {
                info.insert(key.into(), value.into());
            }
        };
        put("server", filled(&cluster.server));
        put("tls-server-name", filled(&cluster.tls_server_name));
        put("proxy-url", filled(&cluster.proxy_url));
        let authority = super::connection::certificate_authority(cluster)?;
        let authority = authority.map(|pem| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem));
        put("certificate-authority-data", authority.as_deref());
        if cluster.insecure_skip_tls_verify == Some(true) {
            info.insert("insecure-skip-tls-verify".into(), true.into());
        }
        if cluster.disable_compression == Some(true) {
            info.insert("disable-compression".into(), true.into());
        }
        if let Some(own) = cluster.extensions.iter().flatten().find(|extension| extension.name == EXTENSION) {
            info.insert("config".into(), own.extension.clone());
        }
        spec["cluster"] = info.into();
    }
    Ok(json!({"apiVersion": version, "kind": "ExecCredential", "spec": spec}))
}

struct Finished {
    /// The exit status in words where it is not success.
    success: Result<(), String>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Waits for the end, reading along; on the time limit kills it and gives back what it had said on stderr.
fn wait(mut child: Child, limit: Duration) -> Result<Finished, Vec<u8>> {
    let deadline = Instant::now() + limit;
    let stdout = Stream::of(child.stdout.take());
    let stderr = Stream::of(child.stderr.take());
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let success = if status.success() { Ok(()) } else { Err(status.to_string()) };
                // A process that the plugin leaves behind may keep the pipes open.
                if !stdout.ends_within(left) {
                    return Err(stderr.so_far());
                }
                stderr.ends_within(left.min(Duration::from_millis(100)));
                return Ok(Finished { success, stdout: stdout.so_far(), stderr: stderr.so_far() });
            }
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(stderr.so_far());
            }
        }
    }
}

/// A pipe that is read to its end by a thread of its own, which nobody waits for: the end may never come.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    end: mpsc::Receiver<()>,
}

impl Stream {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (sender, end) = mpsc::channel();
        let shared = bytes.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            let mut pipe = pipe;
            while let Some(read) = pipe.as_mut().and_then(|pipe| pipe.read(&mut chunk).ok()).filter(|read| *read > 0) {
                let Ok(mut bytes) = shared.lock() else { break };
                if bytes.len() < MAX_OUTPUT {
                    bytes.extend(chunk.iter().take(read));
                }
            }
            let _ = sender.send(());
        });
        Self { bytes, end }
    }

    fn ends_within(&self, limit: Duration) -> bool {
        self.end.recv_timeout(limit).is_ok()
    }

    fn so_far(&self) -> Vec<u8> {
        self.bytes.lock().map(|bytes| bytes.clone()).unwrap_or_default()
    }
}
