//! Which server and which identity come of flags, environment and kubeconfig files: as with kubectl, unless a comment says why
//! not. What is sent is seen by a server that takes it down.

#[path = "support/http.rs"]
mod http;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::{Response, Server};
use oc_imagepolicy::cluster::{Connection, ConnectionArgs, Environment, block_on_read, connect_in};
use oc_imagepolicy::error::{Error, Result};
use oc_imagepolicy::snapshot::Kind;
use serde_json::json;
use tempfile::TempDir;

const NONE: ConnectionArgs = ConnectionArgs {
    kubeconfig: None,
    context: None,
    cluster: None,
    user: None,
    server: None,
    token: None,
    certificate_authority: None,
    insecure_skip_tls_verify: false,
    tls_server_name: None,
    as_user: None,
    as_group: Vec::new(),
    as_uid: None,
    request_timeout: None,
    chunk_size: 500,
    exec_timeout: None,
    unattended: false,
};

fn images() -> Server {
    Server::start(|_| {
        Response::json(
            json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"}}),
        )
    })
}

/// A kubeconfig with one context, `it`.
fn kubeconfig(server: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\npreferences: {{}}\n\
         contexts: [{{name: it, context: {{cluster: c, user: u, namespace: shop}}}}]\n\
         clusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n\
         users: [{{name: u, user: {user}}}]\n"
    )
}

fn write(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn with_file(path: &Path) -> ConnectionArgs {
    ConnectionArgs { kubeconfig: Some(path.into()), ..NONE }
}

fn connect(args: &ConnectionArgs) -> Result<Connection> {
    connect_in(args, &Environment::default())
}

fn read(connection: &Connection) -> Result<oc_imagepolicy::snapshot::Snapshot> {
    block_on_read(connection, &[Kind::Image], None)
}

/// What one request of this user carries in `authorization`.
#[track_caller]
fn authorization(user: &str, change: impl FnOnce(&mut ConnectionArgs)) -> Vec<String> {
    let (server, directory) = (images(), TempDir::new().unwrap());
    let mut args = with_file(&write(&directory, "config", &kubeconfig(&server.url, user)));
    change(&mut args);
    let connection = connect(&args).unwrap();
    assert!(
        !["inline", "from-file", "opensesame", "flag", "oidc-token"]
            .iter()
            .any(|secret| format!("{connection:?}").contains(secret))
    );
    read(&connection).unwrap();
    server.log()[0].header("authorization").into_iter().map(str::to_string).collect()
}

#[track_caller]
fn kubeconfig_error(result: Result<Connection>, message: &str, hint: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Kubeconfig { .. } | Error::File { .. } | Error::Usage { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(message), "{text}");
    assert!(error.hint().contains(hint), "{}", error.hint());
    assert!(!text.chars().chain(error.hint().chars()).any(char::is_control), "{text:?}");
}

#[test]
fn the_current_context_counts_and_flags_override_it() {
    let directory = TempDir::new().unwrap();
    let text = "
current-context: one
contexts:
- {name: one, context: {cluster: a, user: u}}
- {name: default/api-lab:6443/kube:admin, context: {cluster: b, user: u, namespace: shop}}
clusters:
- {name: a, cluster: {server: 'https://a.lab:6443', insecure-skip-tls-verify: true}}
- {name: b, cluster: {server: 'https://b.lab:6443', insecure-skip-tls-verify: true, tls-server-name: inner}}
users: null
";
    let path = write(&directory, "config", text);
    let connection = connect(&with_file(&path)).unwrap();
    assert_eq!(
        (connection.server(), connection.namespace(), connection.context()),
        ("https://a.lab:6443", "default", Some("one"))
    );
    let args = ConnectionArgs { context: Some("default/api-lab:6443/kube:admin".into()), ..with_file(&path) };
    let connection = connect(&args).unwrap();
    assert_eq!((connection.server(), connection.namespace()), ("https://b.lab:6443", "shop"));
    let connection = connect(&ConnectionArgs { cluster: Some("a".into()), ..args.clone() }).unwrap();
    assert_eq!((connection.server(), connection.namespace()), ("https://a.lab:6443", "shop"));
    let connection = connect(&ConnectionArgs { server: Some("https://c.lab".into()), ..args }).unwrap();
    assert_eq!(connection.server(), "https://c.lab");
}

#[test]
fn several_files_are_merged_and_the_first_wins() {
    let directory = TempDir::new().unwrap();
    let first =
        write(&directory, "first", "current-context: ''\nclusters: [{name: c, cluster: {server: 'http://first'}}]\n");
    let second = write(&directory, "second", &kubeconfig("http://second", "{token: t}").replace("shop", "two"));
    let third = write(
        &directory,
        "third",
        &kubeconfig("http://third", "{}").replace("current-context: it", "current-context: x"),
    );
    let environment = |paths: &[&Path]| Environment {
        kubeconfig: Some(std::env::join_paths(paths).unwrap()),
        ..Environment::default()
    };
    let absent = directory.path().join("absent");
    let connection = connect_in(&NONE, &environment(&[&absent, Path::new(""), &first, &second, &third])).unwrap();
    assert_eq!(
        (connection.server(), connection.namespace(), connection.context()),
        ("http://first", "two", Some("it"))
    );
    // --kubeconfig is that file alone, and must be there.
    let connection = connect_in(&with_file(&second), &environment(&[&third])).unwrap();
    assert_eq!(connection.server(), "http://second");
    kubeconfig_error(connect(&with_file(&absent)), "cannot read", "--kubeconfig");
    // An empty KUBECONFIG is none.
    let home =
        Environment { kubeconfig: Some("".into()), home: Some(directory.path().into()), ..Environment::default() };
    write(&directory, ".kube/config", &kubeconfig("http://home", "{}"));
    assert_eq!(connect_in(&NONE, &home).unwrap().server(), "http://home");
}

#[test]
fn what_is_missing_is_named_and_the_nearest_suggested() {
    let directory = TempDir::new().unwrap();
    let path = write(&directory, "config", &kubeconfig("http://a.lab", "{}").replace("it", "production"));
    let file = with_file(&path);
    for (args, message, hint) in [
        (
            ConnectionArgs { context: Some("producton".into()), ..file.clone() },
            "no context \"producton\"",
            "did you mean --context production?",
        ),
        (
            ConnectionArgs { context: Some("lab".into()), ..file.clone() },
            "no context \"lab\"",
            "oc config get-contexts",
        ),
        (
            ConnectionArgs { cluster: Some("nowhere".into()), ..file.clone() },
            "no cluster \"nowhere\"",
            "oc config get-clusters",
        ),
        (
            ConnectionArgs { user: Some("x\u{1b}[31m".into()), ..file.clone() },
            "no user \"x [31m\"",
            "oc config get-users",
        ),
        (
            ConnectionArgs { server: Some("ftp://x".into()), ..file.clone() },
            "neither http nor https",
            "https://api.CLUSTER:6443",
        ),
        (
            ConnectionArgs { request_timeout: Some("soon".into()), ..file.clone() },
            "\"soon\" is not a length of time",
            "30s",
        ),
        (ConnectionArgs { as_group: vec!["g".into()], ..file.clone() }, "--as", "--as USER"),
        (ConnectionArgs { as_user: Some("a\nb".into()), ..file.clone() }, "cannot be the name of a user", "--as"),
        (ConnectionArgs { token: Some("a\nb".into()), ..file.clone() }, "the token has characters", "oc whoami"),
    ] {
        kubeconfig_error(connect(&args), message, hint);
    }
    for (text, message, hint) in [
        ("", "there is no cluster in", "--example"),
        ("---\n", "there is no cluster in", "oc login"),
        ("contexts: [{name: a}]", "no context is current", "oc config use-context"),
        (
            "current-context: a\ncontexts: [{name: a}]",
            "the cluster of context \"a\" has no server",
            "oc config view --minify",
        ),
        ("current-context: a\ncontexts: [{name: b}]", "no context \"a\"", "did you mean --context b?"),
        ("users: [{name: u, user: 's3cret'}]", "config:1:", "oc config view"),
        ("\t- s3cret: [", "config:", "oc config view"),
        ("clusters: {a: b}", "config:1:", "oc config view"),
    ] {
        let path = write(&directory, "odd/config", text);
        let result = connect(&with_file(&path));
        assert!(!format!("{result:?}").contains("s3cret"));
        kubeconfig_error(result, message, hint);
    }
    let nothing = Environment { home: Some(directory.path().join("nobody")), ..Environment::default() };
    kubeconfig_error(connect_in(&NONE, &nothing), "there is no cluster in", "oc login");
    fs::write(directory.path().join("bytes"), [0xff, 0xfe, 0x00]).unwrap();
    kubeconfig_error(connect(&with_file(&directory.path().join("bytes"))), "cannot read", "--kubeconfig");
    kubeconfig_error(connect(&with_file(directory.path())), "cannot read", "--kubeconfig");
    kubeconfig_error(connect(&with_file(Path::new("/dev/zero"))), "larger than 16 MiB", "--kubeconfig");
}

#[test]
fn a_token_comes_from_where_kubectl_takes_it() {
    let directory = TempDir::new().unwrap();
    let file = write(&directory, "token", "from-file\n");
    let file = file.display();
    let nothing = |_: &mut ConnectionArgs| {};
    for (user, expected) in [
        ("{token: inline}", "Bearer inline"),
        ("{token: '', tokenFile: '', username: me, password: opensesame}", "Basic bWU6b3BlbnNlc2FtZQ=="),
        (&format!("{{tokenFile: {file}}}"), "Bearer from-file"),
        (&format!("{{token: inline, tokenFile: {file}}}"), "Bearer from-file"),
        ("{token: inline, tokenFile: absent}", "Bearer inline"),
        ("{auth-provider: {name: oidc, config: {id-token: oidc-token}}}", "Bearer oidc-token"),
    ] {
        assert_eq!(authorization(user, nothing), [expected], "{user}");
    }
    assert_eq!(authorization("{}", nothing), [] as [&str; 0]);
    assert_eq!(authorization("null", nothing), [] as [&str; 0]);
    for user in
        ["{token: inline}", "{username: me, password: opensesame}", "{tokenFile: absent}", "{exec: {command: absent}}"]
    {
        let flag = |args: &mut ConnectionArgs| args.token = Some("flag".into());
        assert_eq!(authorization(user, flag), ["Bearer flag"], "{user}");
    }
    for (user, message, hint) in [
        ("{tokenFile: absent}", "absent: No such file", "tokenFile"),
        ("{tokenFile: /dev/null}", "/dev/null is empty", "--token"),
        (r#"{token: "a\x7fb"}"#, "the token has characters", "oc whoami"),
        ("{auth-provider: {name: gcp}}", "auth-provider \"gcp\" is not supported", "exec plugin"),
        ("{client-certificate-data: YQ==}", "not both", "oc login"),
        ("{client-certificate-data: '%', client-key-data: YQ==}", "is not base64", "oc login"),
        ("{client-certificate: absent.crt, client-key: absent.key}", "absent.crt: No such file", "client-certificate"),
    ] {
        let path = write(&directory, "config", &kubeconfig("http://a.lab", user));
        kubeconfig_error(connect(&with_file(&path)), message, hint);
    }
    // A key that is none is found when the client is made, before anything is sent.
    let path = write(
        &directory,
        "config",
        &kubeconfig("http://a.lab", "{client-certificate-data: YQ==, client-key-data: YQ==}"),
    );
    let error = read(&connect(&with_file(&path)).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Kubeconfig { .. }), "{error:?}");
}

#[test]
fn the_kubeconfig_can_impersonate() {
    let (server, directory) = (images(), TempDir::new().unwrap());
    let user = "{as: tina, as-uid: '7', as-groups: [g], as-user-extra: {reason: [why]}}";
    let path = write(&directory, "config", &kubeconfig(&server.url, user));
    read(&connect(&with_file(&path)).unwrap()).unwrap();
    read(&connect(&ConnectionArgs { as_user: Some("otto".into()), ..with_file(&path) }).unwrap()).unwrap();
    let log = server.log();
    for (header, expected) in [
        ("impersonate-user", "tina"),
        ("impersonate-uid", "7"),
        ("impersonate-group", "g"),
        ("impersonate-extra-reason", "why"),
    ] {
        assert_eq!(log[0].header(header), [expected]);
    }
    assert_eq!(log[1].header("impersonate-user"), ["otto"]);
}

#[test]
fn paths_count_from_the_file_that_has_them() {
    let (server, directory) = (images(), TempDir::new().unwrap());
    write(&directory, "deep/secrets/token", "relative");
    let path = write(&directory, "deep/config", &kubeconfig(&server.url, "{tokenFile: secrets/token}"));
    read(&connect(&with_file(&path)).unwrap()).unwrap();
    assert_eq!(server.log()[0].header("authorization"), ["Bearer relative"]);
    let text = kubeconfig("https://a.lab", "{}").replace("server:", "certificate-authority: ca.crt, server:");
    let path = write(&directory, "deep/other", &text);
    let expected = directory.path().join("deep/ca.crt").display().to_string();
    kubeconfig_error(connect(&with_file(&path)), &expected, "certificate-authority");
    write(&directory, "deep/ca.crt", "no certificate");
    kubeconfig_error(connect(&with_file(&path)), "no certificate in PEM form", "--certificate-authority");
    // --insecure-skip-tls-verify clears the authority, and a kubeconfig with both is refused.
    connect(&ConnectionArgs { insecure_skip_tls_verify: true, ..with_file(&path) }).unwrap();
    let both = text.replace("server:", "insecure-skip-tls-verify: true, server:");
    let path = write(&directory, "deep/both", &both);
    kubeconfig_error(connect(&with_file(&path)), "insecure-skip-tls-verify", "--certificate-authority");
}

#[test]
fn a_pod_knows_its_own_cluster() {
    let directory = TempDir::new().unwrap();
    write(&directory, "account/token", "pod-token\n");
    write(&directory, "account/namespace", "shop\n");
    let environment = Environment {
        service_host: Some("fd00::1".into()),
        service_port: Some("443".into()),
        service_account: directory.path().join("account"),
        home: Some(directory.path().into()),
        ..Environment::default()
    };
    let connection = connect_in(&NONE, &environment).unwrap();
    assert_eq!(
        (connection.server(), connection.namespace(), connection.context()),
        ("https://[fd00::1]:443", "shop", None)
    );
    // A kubeconfig or a server goes before it.
    let args = ConnectionArgs { server: Some("http://a.lab".into()), ..NONE };
    assert_eq!(connect_in(&args, &environment).unwrap().server(), "http://a.lab");
    write(&directory, ".kube/config", &kubeconfig("http://home", "{}"));
    assert_eq!(connect_in(&NONE, &environment).unwrap().server(), "http://home");
}

/// A user whose credentials come from a script.
#[cfg(unix)]
fn plugin(directory: &TempDir, script: &str, more: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = write(directory, "bin/plugin", &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: ./bin/plugin, interactiveMode: Never{more}}}}}"
    )
}

#[cfg(unix)]
#[test]
fn an_exec_plugin_gives_a_token() {
    let (server, directory) = (images(), TempDir::new().unwrap());
    let script = r#"
echo "$@ $FRUIT" > "$0.args"
printf %s "$KUBERNETES_EXEC_INFO" > "$0.info"
echo "a word of warning" >&2
echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "from-plugin", "expirationTimestamp": "2030-01-01T00:00:00Z"}}'
"#;
    let user =
        plugin(&directory, script, ", args: [get, token], env: [{name: FRUIT, value: plum}], provideClusterInfo: true");
    let text = kubeconfig(&server.url, &user).replace(
        "cluster: {server:",
        "cluster: {extensions: [{name: client.authentication.k8s.io/exec, extension: {audience: us}}], server:",
    );
    let path = write(&directory, "config", &text);
    let connection = connect(&with_file(&path)).unwrap();
    let snapshot = read(&connection).unwrap();
    assert_eq!(server.log()[0].header("authorization"), ["Bearer from-plugin"]);
    assert_eq!(snapshot.warnings, ["a word of warning"]);
    let said = |name: &str| fs::read_to_string(directory.path().join("bin").join(name)).unwrap();
    assert_eq!(said("plugin.args"), "get token plum\n");
    let info: serde_json::Value = serde_json::from_str(&said("plugin.info")).unwrap();
    assert_eq!(
        info,
        json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "spec": {"interactive": false, "cluster": {"server": server.url, "config": {"audience": "us"}}}})
    );

    // An expired login of a plugin names the plugin.
    let expired = Server::start(|_| Response::status(401, "Unauthorized"));
    let path = write(&directory, "config", &kubeconfig(&expired.url, &user));
    let error = read(&connect(&with_file(&path)).unwrap()).unwrap_err();
    assert!(error.hint().contains("bin/plugin"), "{}", error.hint());
}

#[cfg(unix)]
#[test]
fn an_exec_plugin_that_fails_says_why() {
    let directory = TempDir::new().unwrap();
    let answer = |status: &str| {
        format!("cat <<'END'\n{{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"status\": {status}}}\nEND")
    };
    for (script, more, message, hint) in [
        (
            "printf 'session \\033[31mexpired\\n' >&2; exit 3",
            "",
            "fails (exit status: 3): session [31mexpired",
            "oc login",
        ),
        ("kill -9 $$", "", "fails (signal: 9", "oc login"),
        ("echo hello", "", "does not print an ExecCredential as JSON", "by hand"),
        ("exit 0", "", "does not print an ExecCredential as JSON", "by hand"),
        ("yes", "", "does not end within 0.5 s", "by hand"),
        ("sleep 30", "", "does not end within 0.5 s", "by hand"),
        ("echo browser >&2; sleep 30", "", "does not end within 0.5 s: browser", "by hand"),
        ("sleep 30 & exit 0", "", "does not end within 0.5 s", "by hand"),
        (&answer("{}"), "", "neither a token nor a certificate", "--token"),
        (&answer("null"), "", "neither a token nor a certificate", "--token"),
        (&answer("{\"clientCertificateData\": \"x\"}"), "", "and not both", "--token"),
        (&answer("{\"token\": \"a\\nb\"}"), "", "the token has characters", "oc whoami"),
        (&answer("{\"token\": \"t\"}").replace("/v1\"", "/v1beta1\""), "", "answers in version", "by hand"),
        ("exit 0", ", interactiveMode: Always", "is no terminal", "by hand"),
    ] {
        let user = plugin(&directory, script, "").replace("Never", if more.is_empty() { "Never" } else { "Always" });
        let path = write(&directory, "config", &kubeconfig("http://a.lab", &user));
        let args = ConnectionArgs { exec_timeout: Some(Duration::from_millis(500)), ..with_file(&path) };
        let begin = Instant::now();
        if message != "is no terminal" || !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            kubeconfig_error(connect(&args), message, hint);
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "{script}");
    }
    for (user, message, hint) in [
        (
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin, installHint: 'brew install it'}}",
            "`no-such-plugin` is not installed",
            "brew install it",
        ),
        (
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin}}",
            "is not installed",
            "--token",
        ),
        ("{exec: {apiVersion: client.authentication.k8s.io/v1}}", "no `command`", "oc config view"),
        ("{exec: {apiVersion: v1, command: x}}", "apiVersion", "by hand"),
    ] {
        let path = write(&directory, "config", &kubeconfig("http://a.lab", user));
        kubeconfig_error(connect(&with_file(&path)), message, hint);
    }
}

#[test]
fn a_proxy_is_used_where_kubectl_uses_it() {
    let directory = TempDir::new().unwrap();
    let direct = write(&directory, "direct", &kubeconfig("https://api.lab:6443", "{}"));
    let text = kubeconfig("https://api.lab:6443", "{}");
    // The proxy notes who asks and refuses.
    let asked = |change: &dyn Fn(&str, &mut Environment) -> PathBuf| {
        let proxy = Server::start(|_| Response::new(403, ""));
        let mut environment = Environment::default();
        let path = change(&proxy.url, &mut environment);
        let args =
            ConnectionArgs { insecure_skip_tls_verify: true, request_timeout: Some("5s".into()), ..with_file(&path) };
        let error = read(&connect_in(&args, &environment).unwrap()).unwrap_err();
        let asked = proxy.log().first().map(|request| format!("{} {}", request.method, request.target));
        (asked, error)
    };
    let (line, error) = asked(&|proxy, environment| {
        environment.https_proxy = Some(proxy.into());
        direct.clone()
    });
    assert_eq!(line.as_deref(), Some("CONNECT api.lab:6443"));
    assert!(error.to_string().contains("the proxy does not lead there"), "{error}");
    assert!(error.hint().contains("HTTPS_PROXY"), "{}", error.hint());
    // Without a scheme, as curl and Go take it; NO_PROXY is about the server, not about the proxy.
    let (line, _) = asked(&|proxy, environment| {
        environment.https_proxy = Some(proxy.trim_start_matches("http://").into());
        environment.no_proxy = Some("127.0.0.1,other.lab".into());
        direct.clone()
    });
    assert_eq!(line.as_deref(), Some("CONNECT api.lab:6443"));
    let (line, _) = asked(&|proxy, environment| {
        environment.https_proxy = Some(proxy.into());
        environment.no_proxy = Some(".lab".into());
        direct.clone()
    });
    assert_eq!(line, None);
    // The kubeconfig's own goes before the environment and does not care about NO_PROXY.
    let (line, _) = asked(&|proxy, environment| {
        environment.https_proxy = Some("http://127.0.0.1:1".into());
        environment.no_proxy = Some("*".into());
        write(&directory, "own", &text.replace("server:", &format!("proxy-url: '{proxy}', server:")))
    });
    assert_eq!(line.as_deref(), Some("CONNECT api.lab:6443"));
    let environment = Environment { https_proxy: Some("ftp://x".into()), ..Environment::default() };
    kubeconfig_error(
        connect_in(&with_file(&direct), &environment),
        "is not the URL of a proxy",
        "http://proxy.corp:3128",
    );
}
