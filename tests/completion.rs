//! Completion as people have it: the real kubectl, a real API server, and bash, zsh and fish that somebody types into.
#![cfg(unix)]

mod support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use support::controlplane::{ControlPlane, kubectl_dir};

const PROGRAM: &str = env!("CARGO_BIN_EXE_oc-imagepolicy");
const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata:\n  name: worker-1.lab\n";
/// One who may read everything, and a tenant who may read the policies of his namespace.
const ROLES: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: oc-imagepolicy-reader}
subjects: [{kind: User, name: reader, apiGroup: rbac.authorization.k8s.io}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: tenant, namespace: shop}
rules: [{apiGroups: [config.openshift.io], resources: [imagepolicies], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenant, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tenant}
subjects: [{kind: User, name: partial, apiGroup: rbac.authorization.k8s.io}]
";
/// A name as `oc login` makes it, with what bash takes for the end of a word.
const CONTEXT: &str = "shop/api-lab:6443/me";

/// A machine on which the plugin is installed: `bin` with its links is on PATH beside kubectl.
struct Machine {
    bin: PathBuf,
    home: PathBuf,
    kubeconfig: PathBuf,
}

fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let server = ControlPlane::shared();
        for namespace in ["shop", "analytics"] {
            server.kubectl(&["create", "namespace", namespace]);
        }
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/example-cluster");
        for file in ["cluster-image-policies", "image-policies", "mirrors", "pools"] {
            server.apply(&fs::read_to_string(examples.join(file).with_extension("yaml")).unwrap());
        }
        server.apply(NODE);
        server.apply(&fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rbac.yaml")).unwrap());
        server.apply(ROLES);

        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("completion");
        let _ = fs::remove_dir_all(&root);
        let machine = Machine { bin: root.join("bin"), home: root.join("home"), kubeconfig: root.join("kubeconfig") };
        fs::create_dir_all(&machine.bin).unwrap();
        fs::create_dir_all(machine.home.join("some-directory")).unwrap();
        fs::write(machine.home.join("some-file.yaml"), "").unwrap();
        fs::write(machine.home.join(".zshrc"), "").unwrap();
        for name in ["kubectl-imagepolicy", "oc-imagepolicy"] {
            symlink(PROGRAM, machine.bin.join(name)).unwrap();
        }
        fs::copy(server.kubeconfig("admin"), &machine.kubeconfig).unwrap();
        let context = ["config", "set-context", CONTEXT, "--cluster=x", "--user=y"];
        assert!(machine.command("kubectl").args(context).status().unwrap().success());
        let install = machine.command("oc-imagepolicy").args(["completion", "install"]).output().unwrap();
        assert!(install.status.success(), "{install:?}");
        machine
    })
}

impl Machine {
    fn path(&self) -> String {
        format!("{}:{}:/usr/bin:/bin", self.bin.display(), kubectl_dir().display())
    }

    /// A program on this machine's PATH, with nothing of ours in its environment.
    fn command(&self, program: &str) -> Command {
        let found =
            self.path().split(':').map(|directory| Path::new(directory).join(program)).find(|path| path.exists());
        let mut command = Command::new(found.unwrap_or_else(|| panic!("no {program} on {}", self.path())));
        command.env_clear().env("PATH", self.path()).env("HOME", &self.home).env("KUBECONFIG", &self.kubeconfig);
        // What is tested is what comes, on a machine that does other things at the same time.
        command.env("OC_IMAGEPOLICY_COMPLETION_TIMEOUT", "60s");
        command.env("TERM", "dumb").env("LANG", "C.UTF-8").env("INPUTRC", "/dev/null").env("ZDOTDIR", &self.home);
        command.current_dir(&self.home).stdin(Stdio::null());
        command
    }

    /// What `kubectl __complete imagepolicy …` prints.
    fn kubectl(&self, words: &[&str]) -> String {
        let output = self.command("kubectl").args(["__complete", "imagepolicy"]).args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = text(&output.stderr);
        let of_kubectl =
            |line: &&str| line.starts_with("[Debug] ") || line.starts_with("Completion ended with directive");
        assert!(said.lines().all(|line| of_kubectl(&line)), "only kubectl itself says something: {said}");
        text(&output.stdout)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The candidates without what is said about them, and the last line.
fn values(answer: &str) -> (Vec<&str>, &str) {
    let mut lines: Vec<&str> = answer.lines().collect();
    let last = lines.pop().unwrap_or_default();
    (lines.into_iter().map(|line| line.split('\t').next().unwrap()).collect(), last)
}

#[test]
fn kubectl_hands_on_what_the_plugin_answers() {
    let machine = machine();
    for (words, expected, directive) in [
        (&["exp"][..], &["explain"][..], ":4"),
        (&["lint", "--baseline-p"], &["--baseline-prune"], ":4"),
        (&["lint", "-n", ""], &["analytics", "default", "shop"], ":4"),
        (&["lint", "-n", "ana"], &["analytics"], ":4"),
        (&["lint", "--namespace=ana"], &["analytics"], ":4"),
        (&["lint", "-nana"], &["-nanalytics"], ":4"),
        (&["explain", "--pool", ""], &["infra", "master", "worker"], ":4"),
        (&["explain", "--of", ""], &["desired", "rendered", "node/worker-1.lab"], ":4"),
        (&["explain", "--of", "node/w"], &["node/worker-1.lab"], ":4"),
        (&["apply", "--without", "ClusterImagePolicy/s"], &["ClusterImagePolicy/shop"], ":4"),
        (&["apply", "--without", "ImagePolicy/shop/"], &["ImagePolicy/shop/partners", "ImagePolicy/shop/web"], ":4"),
        (&["apply", "--without", "idms/"], &["idms/datacentre"], ":4"),
        (&["apply", "--without", "ImageT"], &["ImageTagMirrorSet/"], ":6"),
        (&["lint", "--context", "shop/"], &[CONTEXT], ":4"),
        (&["explain", "registry.redhat"], &["registry.redhat.io/ubi9"], ":6"),
        (&["lint", "--ignore", "IMP90"], &["IMP901", "IMP902", "IMP903"], ":4"),
        (&["lint", "-f", ""], &[], ":0"),
        (&["generate", "--to", ""], &[], ":16"),
        // A context without a server, a namespace that is none, a user who is nobody: what needs no cluster is still there.
        (&["explain", "--context", CONTEXT, "--of", ""], &["desired", "rendered", "node/"], ":6"),
        (&["explain", "--context", "nonsense", "--of", "r"], &["rendered"], ":4"),
        (&["explain", "--token", "nobody-has-it", "--of", "node"], &["node/"], ":6"),
        (&["explain", "--kubeconfig", "/nonsense", "-n", ""], &[], ":4"),
        // Files instead of the cluster.
        (&["explain", "--example", "-n", ""], &["analytics", "shop"], ":4"),
        (&["explain", "-f", "some-file.yaml", "-n", ""], &[], ":4"),
        (&["explain", "-f", "-", "-n", ""], &[], ":4"),
    ] {
        let answer = machine.kubectl(words);
        let (mut found, last) = values(&answer);
        if words == ["lint", "-n", ""] {
            // Those of the server itself.
            found.retain(|name| !name.starts_with("kube-") && !name.starts_with("openshift"));
        }
        assert_eq!((found.as_slice(), last), (expected, directive), "{words:?}\n{answer}");
    }
}

#[test]
fn oc_asks_in_the_same_way() {
    let machine = machine();
    let ask = |words: &[&str]| machine.command("oc_complete-imagepolicy").args(words).output().unwrap();
    for (words, expected) in [
        (&["lint", "-n", "ana"][..], "analytics\n:4\n"),
        (
            &["version", "--color", ""],
            "auto\tOn a terminal, unless NO_COLOR or TERM=dumb says otherwise\nalways\tAlways\nnever\tNever\n:4\n",
        ),
        (&["explain", "-f", ""], ":0\n"),
    ] {
        let output = ask(words);
        assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), (expected, ""), "{words:?}");
        assert!(output.status.success());
    }
    // No word at all, one that is no text, and nobody who reads.
    for odd in [&[][..], &[std::ffi::OsStr::new("")]] {
        let output = machine.command("oc_complete-imagepolicy").args(odd).output().unwrap();
        assert!(text(&output.stdout).starts_with("explain\t") && output.status.success(), "{output:?}");
    }
    let bytes: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"-n\xff");
    let output = machine.command("oc_complete-imagepolicy").arg("lint").arg(bytes).output().unwrap();
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), (":4\n", ""));
    let mut deaf = machine.command("oc_complete-imagepolicy");
    let output = deaf.arg("").stdout(File::options().write(true).open("/dev/full").unwrap()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn who_may_see_little_gets_what_he_may_see() {
    let machine = machine();
    let server = ControlPlane::shared();
    let ask = |user: &str, words: &[&str]| {
        let mut command = machine.command("oc_complete-imagepolicy");
        let output = command.env("KUBECONFIG", server.kubeconfig(user)).args(words).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{user} {words:?}");
        text(&output.stdout)
    };
    assert_eq!(ask("nobody", &["lint", "-n", ""]), ":4\n");
    assert_eq!(ask("nobody", &["explain", "--pool", ""]), ":4\n");
    assert_eq!(ask("nobody", &["explain", ""]), ":4\n");
    assert_eq!(ask("certificate", &["lint", "-n", "ana"]), "analytics\n:4\n");
    // The authorizer learns of a binding a moment later.
    let begun = Instant::now();
    let eventually = |user: &str, words: &[&str], expected: &str| {
        while ask(user, words) != expected {
            assert!(begun.elapsed() < Duration::from_secs(60), "{user} {words:?}: {}", ask(user, words));
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    eventually("reader", &["explain", "--pool", "inf"], "infra\n:4\n");
    let of_shop = "ImagePolicy/shop/partners\nImagePolicy/shop/web\n:4\n";
    eventually("partial", &["apply", "-n", "shop", "--without", "ImagePolicy/"], of_shop);
    eventually("partial", &["apply", "--without", "ImagePolicy/"], ":4\n");
}

// Servers that are none.

/// A kubeconfig for this server, with this user.
fn kubeconfig(directory: &Path, server: &str, user: &str) -> PathBuf {
    let path = directory.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\ncontexts: [{{name: it, context: {{cluster: it, user: it}}}}]\n\
         clusters: [{{name: it, cluster: {{server: '{server}'}}}}]\nusers: [{{name: it, user: {user}}}]\n"
    );
    fs::write(&path, text).unwrap();
    path
}

/// Answers to `--of`, and how long that took.
fn asked_with(kubeconfig: &Path) -> (Output, Duration) {
    let begun = Instant::now();
    (asking(kubeconfig).output().unwrap(), begun.elapsed())
}

fn asking(kubeconfig: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["__complete", "explain", "--of", ""]).env("KUBECONFIG", kubeconfig).stdin(Stdio::null());
    command
}

/// The figure itself is in docs/performance.md; this says only that nobody is waited for.
const MUCH_TOO_LONG: Duration = Duration::from_secs(10);

#[test]
fn servers_that_do_not_answer_are_not_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("https://{}", refused.local_addr().unwrap());
    drop(refused);
    let silent_address = silent.local_addr().unwrap();
    let started = home.path().join("started");
    let plugin = home.path().join("plugin");
    fs::write(&plugin, format!("#!/bin/sh\nread answer </dev/stdin\necho $$ >{}\nexec sleep 300\n", started.display()))
        .unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    let exec = |mode: &str| {
        format!(
            "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: {}, interactiveMode: {mode}}}}}",
            plugin.display()
        )
    };
    for (server, user) in [
        (nobody.as_str(), "{token: x}".to_string()),
        (&format!("https://{silent_address}"), "{token: x}".to_string()),
        (&format!("http://{silent_address}"), "{token: x}".to_string()),
        ("https://no-such-host.invalid:6443", "{token: x}".to_string()),
        // Nobody is there, and no router says so (RFC 5737).
        ("https://192.0.2.1:6443", "{token: x}".to_string()),
        (&nobody, exec("IfAvailable")),
        (&nobody, exec("Always")),
        (&nobody, "{exec: {apiVersion: client.authentication.k8s.io/v1, command: /no/such/plugin}}".to_string()),
        ("nonsense://", "{token: x}".to_string()),
        ("https://x", "[]".to_string()),
    ] {
        let (output, took) = asked_with(&kubeconfig(home.path(), server, &user));
        let said = (text(&output.stdout), text(&output.stderr), output.status.code());
        let expected =
            "desired\tWhat the objects ask for\nrendered\tWhat the pools were given\nnode/\tWhat one node has\n:6\n";
        assert_eq!(said, (expected.to_string(), String::new(), Some(0)), "{server} {user}");
        assert!(took < MUCH_TOO_LONG, "{server} {user}: {took:?}");
    }
    // The plugin is stopped before this process ends, unless the machine stands still meanwhile.
    let path = kubeconfig(home.path(), &nobody, &exec("IfAvailable"));
    let is_stopped = || {
        let _ = fs::remove_file(&started);
        asked_with(&path);
        let plugin = fs::read_to_string(&started).unwrap_or_default();
        !Path::new("/proc").join(plugin.trim()).exists()
    };
    assert!((0..10).any(|_| is_stopped()));
    // A kubeconfig and an input that never end.
    let pipe = home.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (output, took) = asked_with(&pipe);
    assert!(text(&output.stdout).ends_with(":6\n") && took < MUCH_TOO_LONG, "{output:?} {took:?}");
    let begun = Instant::now();
    let output = Command::new(PROGRAM).args(["__complete", "lint", "-f"]).arg(&pipe).args(["-n", ""]).output().unwrap();
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), (":4\n", ""));
    assert!(begun.elapsed() < MUCH_TOO_LONG);
}

#[test]
fn servers_that_answer_nonsense_are_passed_over() {
    let home = tempfile::tempdir().unwrap();
    let status = |code: u16, reason: &str| {
        let body = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code});
        let body = body.to_string();
        format!(
            "HTTP/1.1 {code} X\r\nretry-after: 30\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let found = |body: &str| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    for (answer, for_ever) in [
        (status(401, "Unauthorized"), false),
        (status(403, "Forbidden"), false),
        (status(404, "NotFound"), false),
        (status(429, "TooManyRequests"), false),
        (status(500, "InternalError"), false),
        ("HTTP/1.1 302 Found\r\nlocation: https://login.invalid/\r\ncontent-length: 0\r\n\r\n".to_string(), false),
        (found("<html>please log in</html>"), false),
        (found(r#"{"kind":"NodeList","items":null}"#), false),
        (found(r#"{"kind":"NodeList","items":[{"metadata":{"name":7}}]}"#), false),
        (found(r#"{"kind":"NodeList","items":[{},{"metadata":null},{"metadata":{}}]}"#), false),
        (found(&"[".repeat(100_000)), false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n{\"kind\":".to_string(), false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n{".to_string(), true),
        ("HTTP/1.1 200 OK\r\nx: ".to_string(), true),
        ("nonsense".to_string(), false),
        (String::new(), false),
    ] {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let kubeconfig = kubeconfig(home.path(), &format!("http://{}", server.local_addr().unwrap()), "{token: x}");
        let shown: String = answer.chars().take(80).collect();
        std::thread::spawn(move || {
            for mut stream in server.incoming().flatten() {
                let answer = answer.clone();
                std::thread::spawn(move || {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request);
                    let _ = stream.write_all(answer.as_bytes());
                    while for_ever && stream.write_all(&[b' '; 4096]).is_ok() {}
                });
            }
        });
        let (output, took) = asked_with(&kubeconfig);
        let answer = text(&output.stdout);
        assert_eq!(values(&answer), (vec!["desired", "rendered", "node/"], ":6"), "{shown}");
        assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)), "{shown}");
        assert!(took < MUCH_TOO_LONG, "{shown}: {took:?}");
    }
}

#[test]
fn what_needs_no_cluster_asks_none() {
    let home = tempfile::tempdir().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let kubeconfig = kubeconfig(home.path(), &format!("http://{}", server.local_addr().unwrap()), "{token: x}");
    let ask = |words: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("__complete").args(words).env("KUBECONFIG", &kubeconfig);
        // Enough to connect on a busy machine.
        let output = command.env("OC_IMAGEPOLICY_COMPLETION_TIMEOUT", "3s").output().unwrap();
        text(&output.stdout)
    };
    for words in [
        &[""][..],
        &["lint", "-"],
        &["lint", "--select", ""],
        &["lint", "--suppress", ""],
        &["explain", "-"],
        &["explain", "--of", "d"],
        &["explain", "--release", ""],
        &["lint", "--context", ""],
        &["apply", "--without", ""],
        &["rollback", "--to", ""],
        &["explain", "-o", ""],
    ] {
        ask(words);
        assert!(server.accept().is_err(), "{words:?}");
    }
    ask(&["explain", "--of", "n"]);
    assert!(server.accept().is_ok(), "this one does");
}

#[test]
fn names_that_a_shell_would_obey_are_not_offered() {
    let home = tempfile::tempdir().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let kubeconfig = kubeconfig(home.path(), &format!("http://{}", server.local_addr().unwrap()), "{token: x}");
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let items: Vec<_> = ["good", "$(touch x)", "a\tb", "a\nb", "a\u{1b}[2Jb", "-rf", "", "a b", "`x`", ":4"]
                .iter()
                .map(|name| serde_json::json!({"metadata": {"name": name}}))
                .collect();
            let body = serde_json::json!({"kind": "NodeList", "apiVersion": "v1", "items": items}).to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
            let _ = write!(stream, "{head}: {}\r\n\r\n{body}", body.len());
        }
    });
    let output = asking(&kubeconfig).env("OC_IMAGEPOLICY_COMPLETION_TIMEOUT", "60s").output().unwrap();
    let answer = text(&output.stdout);
    assert_eq!(values(&answer), (vec!["desired", "rendered", "node/good"], ":4"));
}

#[test]
fn names_on_later_pages_are_offered_and_a_page_that_fails_takes_none_away() {
    let home = tempfile::tempdir().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let kubeconfig = kubeconfig(home.path(), &format!("http://{}", server.local_addr().unwrap()), "{token: x}");
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or_default();
            let request = text(&request[..read]);
            let (name, next) = match () {
                () if request.contains("continue=two") => ("worker-2", "three"),
                () if request.contains("continue=three") => continue,
                () => ("worker-1", "two"),
            };
            let list = serde_json::json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {"continue": next},
                "items": [{"metadata": {"name": name}}]});
            let body = list.to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
            let _ = write!(stream, "{head}: {}\r\n\r\n{body}", body.len());
        }
    });
    let output = asking(&kubeconfig).env("OC_IMAGEPOLICY_COMPLETION_TIMEOUT", "60s").output().unwrap();
    let answer = text(&output.stdout);
    assert_eq!(values(&answer), (vec!["desired", "rendered", "node/worker-1", "node/worker-2"], ":4"));
}

#[test]
fn contexts_that_would_be_flags_are_not_offered() {
    let home = tempfile::tempdir().unwrap();
    let kubeconfig = home.path().join("kubeconfig");
    fs::write(&kubeconfig, "contexts: [{name: -x, context: {cluster: a}}, {name: good, context: {cluster: a}}]")
        .unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["__complete", "lint", "--context", ""]).env("KUBECONFIG", &kubeconfig);
    let answer = text(&command.env("OC_IMAGEPOLICY_COMPLETION_TIMEOUT", "60s").output().unwrap().stdout);
    assert_eq!(values(&answer), (vec!["good"], ":4"));
}

// Shells.

/// A program of a package of the distribution, which is installed where it is missing and this may be done.
fn installed(program: &str, package: &str) -> PathBuf {
    let find = || {
        ["/usr/bin", "/bin", "/usr/share"]
            .iter()
            .map(|folder| Path::new(folder).join(program))
            .find(|path| path.exists())
    };
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap();
    find().unwrap_or_else(|| {
        let install = format!("apt-get update -qq && apt-get install -y -qq --no-install-recommends {package}");
        let _ = Command::new("sh").args(["-c", &install]).env("DEBIAN_FRONTEND", "noninteractive").status();
        find().unwrap_or_else(|| panic!("this test types into {program}: apt-get install {package}"))
    })
}

/// A shell at a terminal.
struct Shell {
    process: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<String>>,
}

/// What a key of ours shows: the line as the shell has it.
const LINE: &str = "LINE<";
const PROMPT: &str = "NEXT$ ";

impl Shell {
    fn start(machine: &Machine, shell: &str, set_up: &[&str]) -> Self {
        let script = installed("script", "bsdutils");
        let mut command = machine.command("env");
        command.arg(script).args(["-qfec", shell, "/dev/null"]).env("SHELL", "/bin/bash");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let (keyboard, mut out) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let screen = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut bytes) {
                shared.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        let mut shell = Self { process, keyboard, screen };
        for line in [&["stty cols 200"][..], set_up].concat() {
            // In two pieces, so that the echo of the line is not taken for what it prints.
            shell.press(&format!("{line}\recho RE''ADY\r"));
            shell.wait_for("READY");
        }
        shell.wait_for(PROMPT);
        shell
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// What is on the screen once this is there, which it then is not any more.
    fn wait_for(&mut self, what: &str) -> String {
        let begun = Instant::now();
        loop {
            let mut screen = self.screen.lock().unwrap();
            if let Some(at) = screen.find(what) {
                let rest = screen.split_off(at + what.len());
                return std::mem::replace(&mut *screen, rest);
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no {what:?}:\n{screen}");
            drop(screen);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types something and TAB; what the line is then, and what was listed.
    fn complete(&mut self, typed: &str) -> (String, String) {
        self.press(&format!("{typed}\t\u{7}"));
        let listed = self.wait_for(LINE);
        let line = self.wait_for(">").trim_end_matches('>').to_string();
        // Only now the shell reads keys again; the line is empty.
        self.wait_for(PROMPT);
        (line, listed)
    }

    fn check(&mut self, program: &str, cases: &[(&str, &str)]) {
        for (typed, expected) in cases {
            let (line, listed) = self.complete(&format!("{program} {typed}"));
            assert_eq!(line, format!("{program} {expected}"), "{typed:?}: {listed}");
        }
        let (_, listed) = self.complete(&format!("{program} version -o "));
        for value in ["table", "wide", "json", "yaml", "jsonl", "name"] {
            assert!(listed.contains(value), "{value}: {listed}");
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is typed and what the shell makes of it.
const TYPED: &[(&str, &str)] = &[
    ("expl", "explain "),
    ("lint --baseline-p", "lint --baseline-prune "),
    ("lint -n ana", "lint -n analytics "),
    ("lint --namespace=ana", "lint --namespace=analytics "),
    ("lint -nana", "lint -nanalytics "),
    ("explain --of=rend", "explain --of=rendered "),
    ("explain --of node/w", "explain --of node/worker-1.lab "),
    ("lint --context shop/", "lint --context shop/api-lab:6443/me "),
    ("lint --context shop/api-lab:6", "lint --context shop/api-lab:6443/me "),
    ("apply --without ImageT", "apply --without ImageTagMirrorSet/"),
    ("apply --without ImagePolicy/shop/w", "apply --without ImagePolicy/shop/web "),
    ("lint --suppress IMP204=ImageT", "lint --suppress IMP204=ImageTagMirrorSet/"),
    ("explain registry.redh", "explain registry.redhat.io/ubi9"),
    ("explain -f some-f", "explain -f some-file.yaml "),
    ("generate --to some-d", "generate --to some-directory/"),
];

/// The script for bash that kubectl has takes a comma for something to be quoted, and finds nothing that begins with one.
const TYPED_LISTS: &[(&str, &str)] =
    &[("lint --select IMP204,IMP901,coverag", "lint --select IMP204,IMP901,coverage ")];

/// Only words that begin a value are left where a flag has it in the same word, and the shell looks for files.
const TYPED_FILES: &[(&str, &str)] = &[
    ("explain --filename=some-f", "explain --filename=some-file.yaml "),
    ("lint -o sarif=some-f", "lint -o sarif=some-file.yaml "),
];

fn bash(machine: &Machine, load: &[&str]) -> Shell {
    installed("bash", "bash");
    let show = r#"show() { printf '%s%s>\n' LINE\< "$READLINE_LINE"; READLINE_LINE=; READLINE_POINT=0; }; bind -x '"\C-g": show'"#;
    let settings = "PS1='NEXT''$ '; bind 'set show-all-if-ambiguous on'; bind 'set page-completions off'; bind 'set enable-bracketed-paste off'; bind 'set completion-query-items 0'; bind 'set bell-style none'";
    Shell::start(machine, "bash --norc --noprofile -i", &[&[settings, show][..], load].concat())
}

fn zsh(machine: &Machine, load: &[&str]) -> Shell {
    installed("zsh", "zsh");
    let settings =
        "PS1='NEXT''$ '; unsetopt beep; setopt no_list_beep; LISTMAX=0; autoload -Uz compinit; compinit -u -D";
    let show =
        "show() { zle -I; print -r -- \"LINE\"\"<$BUFFER>\"; BUFFER= }; zle -N show; bindkey -e; bindkey '^G' show";
    Shell::start(machine, "zsh -f -i", &[&[settings, show][..], load].concat())
}

#[test]
fn bash_through_kubectl() {
    let library = installed("bash-completion/bash_completion", "bash-completion");
    let load = format!("source {}", library.display());
    let mut shell = bash(machine(), &[&load, "source <(kubectl completion bash)"]);
    shell.check("kubectl imagepolicy", TYPED);
    shell.check("kubectl imagepolicy", TYPED_FILES);
}

#[test]
fn bash_by_our_own_script() {
    let mut shell = bash(machine(), &["source <(oc-imagepolicy completion bash)"]);
    for program in ["oc-imagepolicy", "kubectl-imagepolicy"] {
        shell.check(program, TYPED);
        shell.check(program, TYPED_FILES);
        shell.check(program, TYPED_LISTS);
    }
    // Files in which bash ends a word.
    for file in ["od:d.yaml", "ev=en.yaml"] {
        File::create(machine().home.join(file)).unwrap();
    }
    shell.check(
        "oc-imagepolicy",
        &[
            ("lint -f od:", "lint -f od:d.yaml "),
            ("lint -f ev=", "lint -f ev=en.yaml "),
            ("lint --filename=ev=", "lint --filename=ev=en.yaml "),
        ],
    );
    for before in ["true; ", "VARIABLE=1 ", "true | "] {
        let (line, _) = shell.complete(&format!("{before}oc-imagepolicy lint --namespace=ana"));
        assert_eq!(line, format!("{before}oc-imagepolicy lint --namespace=analytics "));
    }
    // What stands in the line is not run.
    shell.complete("oc-imagepolicy lint -n $(touch some-trap) --select IMP2");
    shell.complete("oc-imagepolicy lint -n 'a b' --select IMP2");
    assert!(!machine().home.join("some-trap").exists());
}

#[test]
fn zsh_through_kubectl() {
    let mut shell = zsh(machine(), &["source <(kubectl completion zsh)"]);
    shell.check("kubectl imagepolicy", TYPED);
    shell.check("kubectl imagepolicy", TYPED_LISTS);
}

#[test]
fn zsh_by_our_own_script() {
    let mut shell = zsh(machine(), &["source <(oc-imagepolicy completion zsh)"]);
    for program in ["oc-imagepolicy", "kubectl-imagepolicy"] {
        shell.check(program, TYPED);
        shell.check(program, TYPED_FILES);
        shell.check(program, TYPED_LISTS);
    }
    let (_, listed) = shell.complete("oc-imagepolicy version --color ");
    assert!(listed.contains("On a terminal"), "{listed}");
}

/// What fish offers, a candidate a line.
fn fish(machine: &Machine, load: &str, typed: &str) -> Vec<String> {
    let fish = installed("fish", "fish");
    let script = format!("{load}; complete -C '{typed}'");
    let output = machine.command(fish.to_str().unwrap()).args(["--no-config", "-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout).lines().map(|line| line.split('\t').next().unwrap().to_string()).collect()
}

fn check_fish(load: &str, program: &str) {
    for (typed, expected) in TYPED.iter().chain(TYPED_FILES).chain(TYPED_LISTS) {
        // fish tells candidates for the last word.
        let expected = expected.trim_end().rsplit(' ').next().unwrap();
        let offered = fish(machine(), load, &format!("{program} {typed}"));
        assert!(offered.iter().any(|value| value == expected), "{program} {typed}: {offered:?}");
    }
    let mut offered = fish(machine(), load, &format!("{program} version -o "));
    // That of kubectl sorts.
    offered.sort();
    assert_eq!(offered, ["json", "jsonl", "name", "table", "wide", "yaml"]);
}

#[test]
fn fish_through_kubectl() {
    check_fish("kubectl completion fish | source", "kubectl imagepolicy");
}

#[test]
fn fish_by_our_own_script() {
    for program in ["oc-imagepolicy", "kubectl-imagepolicy"] {
        check_fish("oc-imagepolicy completion fish | source", program);
    }
}

/// There is no PowerShell to be had from Debian or a package registry: this looks only at what is sent to it.
#[test]
fn the_script_for_powershell_is_whole() {
    let output = Command::new(PROGRAM).args(["completion", "powershell"]).output().unwrap();
    let script = text(&output.stdout);
    assert!(script.contains("Register-ArgumentCompleter -Native -CommandName 'oc-imagepolicy'"), "{script}");
    assert!(script.contains("'kubectl-imagepolicy'") && script.contains("& $program __complete @words $last"));
    let code: String = script.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        // One bracket of each kind stands in a regular expression, with its partner.
        assert_eq!(code.matches(open).count(), code.matches(close).count(), "{open}{close}");
    }
    assert_eq!(code.matches('\'').count() % 2, 0);
}

#[test]
fn scripts_say_how_to_load_them_and_pass_their_shells_syntax_check() {
    let script = |shell: &str| text(&Command::new(PROGRAM).args(["completion", shell]).output().unwrap().stdout);
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = script(shell);
        assert!(script.contains(&format!("completion {shell}")) && script.contains("In every new one"), "{script}");
    }
    let machine = machine();
    for (shell, package) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")] {
        let path = machine.home.join(format!("script.{shell}"));
        fs::write(&path, script(shell)).unwrap();
        let output = Command::new(installed(shell, package)).arg("-n").arg(&path).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

// The links.

struct Installation {
    root: tempfile::TempDir,
}

impl Installation {
    /// As krew has it: `bin` with links on PATH, the program itself in the store.
    fn krew(version: &str) -> Self {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir_all(root.path().join("bin")).unwrap();
        let installation = Self { root };
        installation.upgrade(version);
        installation
    }

    fn path(&self, name: &str) -> PathBuf {
        // Links are compared by where they lead to; a directory above may be one.
        fs::canonicalize(self.root.path()).unwrap().join(name)
    }

    /// Puts another version in place of the one that is there, as `krew upgrade` does.
    fn upgrade(&self, version: &str) {
        let store = self.path("store/imagepolicy");
        let _ = fs::remove_dir_all(&store);
        fs::create_dir_all(store.join(version)).unwrap();
        // No copy: a file that is being written cannot be run, and other tests start processes that have it open.
        fs::hard_link(PROGRAM, store.join(version).join("oc-imagepolicy")).unwrap();
        let link = self.path("bin/kubectl-imagepolicy");
        let _ = fs::remove_file(&link);
        symlink(store.join(version).join("oc-imagepolicy"), link).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        // kubectl starts a plugin by the path that it found.
        let mut command = Command::new(self.path("bin/kubectl-imagepolicy"));
        command.arg("completion").args(arguments).env("PATH", path).env("HOME", self.root.path()).output().unwrap()
    }

    fn link(&self, name: &str) -> Option<PathBuf> {
        fs::read_link(self.path("bin").join(name)).ok()
    }
}

const LINKS: [&str; 2] = ["oc_complete-imagepolicy", "kubectl_complete-imagepolicy"];

#[test]
fn links_outlive_an_upgrade_and_are_removed() {
    let krew = Installation::krew("v0.1.0");
    let output = krew.run(&["install", "--dry-run"]);
    assert!(text(&output.stdout).contains("would create"), "{output:?}");
    assert!(LINKS.iter().all(|name| krew.link(name).is_none()));

    let output = krew.run(&["install"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout).matches("created: ").count(), 2);
    assert!(text(&output.stderr).contains("source <(oc completion bash)"));
    assert!(!text(&output.stderr).contains("warning"), "{output:?}");
    for name in LINKS {
        assert_eq!(krew.link(name).as_deref(), Some(Path::new("kubectl-imagepolicy")), "{name}");
    }
    let again = krew.run(&["install"]);
    assert_eq!((again.status.code(), text(&again.stdout).matches("already there: ").count()), (Some(0), 2));

    krew.upgrade("v0.2.0");
    for name in LINKS {
        let output = Command::new(krew.path("bin").join(name)).args(["version", "--col"]).output().unwrap();
        assert_eq!(text(&output.stdout), "--color\tWhen to use colours\n:4\n", "{name}");
    }

    // What another version left, or the plugin under its other name, is put right.
    for name in LINKS {
        fs::remove_file(krew.path("bin").join(name)).unwrap();
        symlink("/gone/oc-imagepolicy", krew.path("bin").join(name)).unwrap();
    }
    let output = krew.run(&["install"]);
    assert_eq!(text(&output.stdout).matches("replaced: ").count(), 2, "{output:?}");

    let output = krew.run(&["uninstall", "--dry-run"]);
    assert_eq!(text(&output.stdout).matches("would remove: ").count(), 2, "{output:?}");
    let output = krew.run(&["uninstall"]);
    assert_eq!((output.status.code(), text(&output.stdout).matches("removed: ").count()), (Some(0), 2), "{output:?}");
    let left: Vec<_> = fs::read_dir(krew.path("bin")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["kubectl-imagepolicy"]);
    let output = krew.run(&["uninstall"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), ""));
    assert!(text(&output.stderr).contains("no links to remove"));
}

#[test]
fn what_is_not_ours_stays() {
    let krew = Installation::krew("v0.1.0");
    let foreign = krew.path("bin/kubectl_complete-imagepolicy");
    for make in [
        |path: &Path| fs::write(path, "mine").unwrap(),
        |path: &Path| symlink("/bin/true", path).unwrap(),
        |path: &Path| fs::create_dir(path).unwrap(),
        // Somebody else's plugin of this name.
        |path: &Path| {
            let plugin = path.with_file_name("kubectl-imagepolicy.d").join("kubectl-imagepolicy");
            fs::create_dir_all(plugin.parent().unwrap()).unwrap();
            fs::write(&plugin, "#!/bin/sh\n").unwrap();
            symlink(&plugin, path).unwrap();
        },
    ] {
        make(&foreign);
        let before = fs::symlink_metadata(&foreign).unwrap().file_type();
        let output = krew.run(&["install"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains("kubectl_complete-imagepolicy is there already"), "{output:?}");
        assert_eq!(krew.link("oc_complete-imagepolicy"), None, "both or none");
        let output = krew.run(&["uninstall"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(text(&output.stderr).contains("is none of ours and stays"), "{output:?}");
        let bin = krew.path("bin");
        symlink("kubectl-imagepolicy", bin.join("oc_complete-imagepolicy")).unwrap();
        let output = krew.run(&["uninstall", "--dir", bin.to_str().unwrap()]);
        assert_eq!(
            (output.status.code(), text(&output.stdout).matches("removed: ").count()),
            (Some(2), 1),
            "{output:?}"
        );
        assert_eq!(fs::symlink_metadata(&foreign).unwrap().file_type(), before);
        let _ = fs::remove_file(&foreign).or_else(|_| fs::remove_dir(&foreign));
    }
}

#[test]
fn links_in_another_directory() {
    let krew = Installation::krew("v0.1.0");
    fs::create_dir(krew.path("elsewhere")).unwrap();
    let elsewhere = krew.path("elsewhere");
    let output = krew.run(&["install", "--dir", elsewhere.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains("is not on PATH"), "{output:?}");
    for name in LINKS {
        assert_eq!(fs::read_link(elsewhere.join(name)).unwrap(), krew.path("bin/kubectl-imagepolicy"), "{name}");
    }
    let output = krew.run(&["uninstall", "--dir", elsewhere.to_str().unwrap()]);
    assert_eq!(text(&output.stdout).matches("removed: ").count(), 2, "{output:?}");

    let output = krew.run(&["install", "--dir", "/no/such/directory"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("hint: name a directory"), "{output:?}");
    // Where nobody may write, whoever one is.
    let output = krew.run(&["install", "--dir", "/proc"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("cannot create /proc/oc_complete-imagepolicy"), "{output:?}");
}
