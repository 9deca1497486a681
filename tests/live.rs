//! The program on a real kube-apiserver: the example cluster loaded with the real kubectl, then every command, live and from a
//! must-gather of the same cluster.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::controlplane::{ControlPlane, Options, kubectl_dir};

/// A file of the example cluster.
fn example_files() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/example-cluster");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Loads the example cluster, statuses included: there is no operator behind this server that would write them.
fn load_example(server: &ControlPlane) {
    for namespace in ["shop", "analytics"] {
        let output = server.kubectl(&["create", "namespace", namespace]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for text in example_files() {
        server.apply(&text);
        for document in text.split("\n---\n").filter(|document| document.contains("\nstatus:")) {
            let arguments = ["apply", "--server-side", "--force-conflicts", "--subresource=status", "-f", "-"];
            let output = server.kubectl_in(&arguments, document);
            assert!(output.status.success(), "{}\n{document}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"));
    command.env("HOME", env!("CARGO_TARGET_TMPDIR")).env_remove("KUBECONFIG").env("NO_COLOR", "1");
    command
}

fn live(server: &ControlPlane, user: &str, arguments: &[&str]) -> Output {
    program().args(arguments).env("KUBECONFIG", server.kubeconfig(user)).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `oc adm must-gather` writes one file an object of cluster scope, and lists by namespace.
fn must_gather(server: &ControlPlane, directory: &Path) {
    let root = directory.join("must-gather.local.1234/quay-io-openshift-release-dev-ocp-v4-0-art-dev-sha256-abc");
    let cluster_scoped = [
        ("images.config.openshift.io", "config.openshift.io/images"),
        ("clusterimagepolicies.config.openshift.io", "config.openshift.io/clusterimagepolicies"),
        ("imagedigestmirrorsets.config.openshift.io", "config.openshift.io/imagedigestmirrorsets"),
        ("imagetagmirrorsets.config.openshift.io", "config.openshift.io/imagetagmirrorsets"),
        ("imagecontentsourcepolicies.operator.openshift.io", "operator.openshift.io/imagecontentsourcepolicies"),
        ("clusterversions.config.openshift.io", "config.openshift.io/clusterversions"),
        ("featuregates.config.openshift.io", "config.openshift.io/featuregates"),
        ("infrastructures.config.openshift.io", "config.openshift.io/infrastructures"),
        (
            "machineconfigpools.machineconfiguration.openshift.io",
            "machineconfiguration.openshift.io/machineconfigpools",
        ),
        ("machineconfigs.machineconfiguration.openshift.io", "machineconfiguration.openshift.io/machineconfigs"),
        ("controllerconfigs.machineconfiguration.openshift.io", "machineconfiguration.openshift.io/controllerconfigs"),
        ("machineconfigurations.operator.openshift.io", "operator.openshift.io/machineconfigurations"),
        ("nodes", "core/nodes"),
    ];
    for (resource, path) in cluster_scoped {
        let folder = root.join("cluster-scoped-resources").join(path);
        fs::create_dir_all(&folder).unwrap();
        let list: Value = serde_json::from_slice(&server.kubectl(&["get", resource, "-o", "json"]).stdout).unwrap();
        for item in list["items"].as_array().unwrap() {
            let name = item["metadata"]["name"].as_str().unwrap();
            let output = server.kubectl(&["get", resource, name, "-o", "yaml"]);
            fs::write(folder.join(format!("{name}.yaml")), output.stdout).unwrap();
        }
    }
    for namespace in ["default", "shop", "analytics"] {
        let folder = root.join("namespaces").join(namespace).join("config.openshift.io");
        fs::create_dir_all(&folder).unwrap();
        let output = server.kubectl(&["get", "imagepolicies.config.openshift.io", "-n", namespace, "-o", "yaml"]);
        fs::write(folder.join("imagepolicies.yaml"), output.stdout).unwrap();
    }
    fs::write(root.join("version"), "openshift/must-gather\n4.21\n").unwrap();
}

/// What a document says apart from where it was read.
fn without_source(bytes: &[u8]) -> Value {
    let mut document: Value = serde_json::from_slice(bytes).unwrap_or_else(|e| panic!("{e}: {}", text(bytes)));
    let source = document["source"].as_object_mut().expect("a source");
    assert!(source.remove("from").is_some());
    source.remove("cluster");
    // A must-gather cannot prove that there are no ImagePolicies or pods in namespaces that it did not look into.
    let gaps = document["gaps"].as_array_mut().unwrap();
    let namespaced = |gap: &Value| gap["kind"] == "ImagePolicy" || gap["kind"] == "Pod";
    gaps.retain(|gap| !(namespaced(gap) && gap["reason"] == "NotInInput"));
    document
}

#[test]
fn live_answers_are_those_of_a_must_gather() {
    let server = ControlPlane::start(Options::default());
    load_example(&server);
    let directory = tempfile::tempdir().unwrap();
    must_gather(&server, directory.path());
    let image = "registry.example.com/shop/checkout:v3";
    let commands: [&[&str]; 7] = [
        &["explain"],
        &["explain", "-A"],
        &["explain", image],
        &["explain", "-n", "shop", image, "quay.io/openshift-release-dev/ocp-release:4.21", "evil.example.org/x"],
        &["lint"],
        &["generate"],
        &["generate", "-o", "name"],
    ];
    let must_gather = directory.path().to_str().unwrap();
    for arguments in commands {
        let from_server = live(&server, "admin", arguments);
        let from_files = program().args(arguments).args(["-f", must_gather]).output().unwrap();
        assert!(!from_server.stdout.is_empty(), "{arguments:?}: {}", text(&from_server.stderr));
        // A finding in a file has a line and shows it; nothing else may differ.
        if arguments != ["lint"] {
            assert_eq!(text(&from_server.stdout), text(&from_files.stdout), "{arguments:?}");
        }
        assert_eq!(from_server.status.code(), from_files.status.code(), "{arguments:?}");
        if arguments[0] == "generate" {
            continue;
        }
        let json = |output: Output| {
            let mut document = without_source(&output.stdout);
            // A must-gather holds the pods of some namespaces only, and rules that need all of them do not run.
            document.as_object_mut().unwrap().remove("rules");
            for finding in document["findings"].as_array_mut().into_iter().flatten() {
                finding.as_object_mut().unwrap().remove("location");
            }
            document
        };
        let with = |more: &[&'static str]| [arguments, &["-o", "json"], more].concat();
        let from_server = json(live(&server, "admin", &with(&[])));
        let from_files = json(program().args(with(&[])).args(["-f", must_gather]).output().unwrap());
        assert_eq!(from_server, from_files, "{arguments:?}");
    }
}

#[test]
fn what_is_generated_is_accepted_and_read_back_equal() {
    let server = ControlPlane::start(Options::default());
    load_example(&server);
    let generated = live(&server, "admin", &["generate"]);
    assert!(generated.status.success(), "{}", text(&generated.stderr));
    let created = server.kubectl_in(&["create", "-f", "-"], &text(&generated.stdout));
    assert!(created.status.success(), "{}", text(&created.stderr));
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("files");
    let written = live(&server, "admin", &["generate", "--to", to.to_str().unwrap()]);
    assert!(written.status.success(), "{}", text(&written.stderr));

    // The rendered MachineConfig of the pool, as the operator would make it from this one alone.
    let stored = server.kubectl(&["get", "machineconfig", "99-worker-generated-registries", "-o", "json"]);
    let mut rendered: Value = serde_json::from_slice(&stored.stdout).unwrap();
    rendered["metadata"] = serde_json::json!({"name": "rendered-worker-1"});
    let created = server.kubectl_in(&["create", "-f", "-"], &rendered.to_string());
    assert!(created.status.success(), "{}", text(&created.stderr));
    let pool = r#"{"spec": {"configuration": {"name": "rendered-worker-1"}}}"#;
    let patched = server.kubectl(&["patch", "machineconfigpool", "worker", "--type=merge", "-p", pool]);
    assert!(patched.status.success(), "{}", text(&patched.stderr));

    let desired = live(&server, "admin", &["explain", "--pool", "worker", "-o", "json"]);
    let desired: Value = serde_json::from_slice(&desired.stdout).unwrap();
    assert_eq!(desired["source"]["inForce"], "Yes", "{desired:#}");
    let rendered = live(&server, "admin", &["explain", "--pool", "worker", "--of", "rendered", "-o", "json"]);
    let rendered: Value = serde_json::from_slice(&rendered.stdout).unwrap();
    assert_eq!(desired["groups"][0]["scopes"], rendered["groups"][0]["scopes"]);

    // A change that is not rolled out is not in force.
    let patch = r#"[{"op": "add", "path": "/spec/registrySources/allowedRegistries/-", "value": "new.example.com"}]"#;
    assert!(
        server.kubectl(&["patch", "image.config.openshift.io", "cluster", "--type=json", "-p", patch]).status.success()
    );
    let changed = live(&server, "admin", &["explain", "--pool", "worker", "-o", "json"]);
    let changed: Value = serde_json::from_slice(&changed.stdout).unwrap();
    assert_eq!(changed["source"]["inForce"], "No");

    // A contradiction freezes the controller: the refusal is told, and what the nodes still have.
    let patch =
        r#"[{"op": "replace", "path": "/spec/registrySources/allowedRegistries", "value": ["new.example.com"]}]"#;
    assert!(
        server.kubectl(&["patch", "image.config.openshift.io", "cluster", "--type=json", "-p", patch]).status.success()
    );
    let frozen = live(&server, "admin", &["explain", "--pool", "worker", "registry.example.com/shop/checkout:v3"]);
    assert_eq!(frozen.status.code(), Some(1), "{}", text(&frozen.stderr));
    let said = text(&frozen.stdout);
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("is not nested inside allowedRegistries"), "{said}");
    assert!(said.contains("REQUIRES A SIGNATURE"), "{said}");
}

#[test]
fn the_documented_role_is_enough_and_less_is_told() {
    let server = ControlPlane::start(Options::default());
    load_example(&server);
    let role = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rbac.yaml")).unwrap();
    server.apply(&role);
    let bind = |role: &str, user: &str| {
        let name = format!("{user}-reads");
        let output = server.kubectl(&["create", "clusterrolebinding", &name, "--clusterrole", role, "--user", user]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    bind("oc-imagepolicy-reader", "reader");
    for arguments in [&["explain", "-o", "json"][..], &["lint", "-o", "json"]] {
        let as_admin = live(&server, "admin", arguments);
        let as_reader = live(&server, "reader", arguments);
        assert_eq!(text(&as_admin.stdout), text(&as_reader.stdout), "{}", text(&as_reader.stderr));
        let document: Value = serde_json::from_slice(&as_reader.stdout).unwrap();
        assert_eq!(document["gaps"], serde_json::json!([]));
    }
    let version = live(&server, "reader", &["version"]);
    assert_eq!(version.status.code(), Some(0), "{}", text(&version.stderr));
    assert!(text(&version.stdout).contains("\ncluster:    OpenShift 4.21."), "{}", text(&version.stdout));
    let client = text(&live(&server, "reader", &["version", "--client"]).stdout);
    assert!(!client.contains("cluster:"), "{client}");
    let stranger = live(&server, "nobody", &["version", "-o", "json"]);
    assert_eq!(stranger.status.code(), Some(2), "{}", text(&stranger.stderr));
    assert!(text(&stranger.stdout).contains("\"compiler\""), "{}", text(&stranger.stdout));
    // Everything but ImagePolicies.
    let some = role.replace("oc-imagepolicy-reader", "some");
    let without = some.replace("clusterimagepolicies, imagepolicies,", "clusterimagepolicies,");
    assert_ne!(some, without, "docs/rbac.yaml no longer has both on one line");
    server.apply(&without);
    bind("some", "partial");
    let partial = live(&server, "partial", &["explain", "-o", "json"]);
    let document: Value =
        serde_json::from_slice(&partial.stdout).unwrap_or_else(|_| panic!("{}", text(&partial.stderr)));
    assert_eq!(document["gaps"][0]["kind"], "ImagePolicy");
    assert_eq!(document["gaps"][0]["reason"], "Forbidden");
    let strict = live(&server, "partial", &["explain", "--require-complete"]);
    assert_eq!(strict.status.code(), Some(2));
    let nobody = live(&server, "nobody", &["explain", "registry.example.com/shop/checkout:v3"]);
    assert_eq!(nobody.status.code(), Some(2), "{}", text(&nobody.stdout));
    assert!(!text(&nobody.stdout).contains("ACCEPTS"), "a verdict from nothing: {}", text(&nobody.stdout));
}

#[test]
fn a_plugin_of_the_real_kubectl() {
    let bin = tempfile::tempdir().unwrap();
    for name in ["kubectl-imagepolicy", "oc-imagepolicy"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_oc-imagepolicy"), bin.path().join(name)).unwrap();
    }
    let path = std::env::join_paths([bin.path().to_path_buf(), kubectl_dir()]).unwrap();
    let kubectl = |arguments: &[&str]| {
        Command::new(kubectl_dir().join("kubectl"))
            .args(arguments)
            .env("PATH", &path)
            .env("HOME", bin.path())
            .output()
            .unwrap()
    };
    let explained = kubectl(&["imagepolicy", "explain", "--example", "registry.example.com/shop/checkout:v3"]);
    assert!(explained.status.success(), "{}", text(&explained.stderr));
    assert!(text(&explained.stdout).contains("REQUIRES A SIGNATURE"));
    let help = kubectl(&["imagepolicy", "--help"]);
    let help = text(&help.stdout);
    assert!(help.contains("Usage: oc imagepolicy"), "{help}");
    assert!(!help.contains("kubectl-imagepolicy"), "{help}");
}

#[test]
fn hostile_objects_command_no_terminal() {
    let server = ControlPlane::start(Options::default());
    // What a tenant may store: the API checks scopes, but not annotations, and not the messages of a status.
    let policy = r#"{"apiVersion": "config.openshift.io/v1", "kind": "ImagePolicy",
        "metadata": {"name": "evil", "namespace": "default", "annotations": {"x": "\u001b]0;owned\u0007\u009b31m"}},
        "spec": {"scopes": ["evil.example.com/x"], "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey":
        {"keyData": "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KG11dMDtvd25lZAcbWzMxbRtdMDtvd25lZAcbWzMxbRtdMDtvd25lZAcKLS0tLS1FTkQgUFVCTElDIEtFWS0tLS0tCg=="}}}}}"#;
    // Server-side apply would refuse the control characters; a plain create does not.
    let create = |object: &str| {
        let output = server.kubectl_in(&["create", "-f", "-"], object);
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    create(policy);
    let big = format!(
        r#"{{"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {{"name": "cluster", "annotations": {{"x": "{}"}}}},
            "spec": {{"registrySources": {{"insecureRegistries": ["{}"]}}}}}}"#,
        "y".repeat(200_000),
        "a\\u001b[31m\\u202eb".repeat(20_000)
    );
    create(&big);
    for arguments in [
        &["explain", "-A"][..],
        &["explain", "-n", "default", "evil.example.com/x/y:1"],
        &["lint"],
        &["explain", "-A", "-o", "json"],
        &["lint", "-o", "json"],
        &["lint", "-o", "yaml"],
    ] {
        let output = live(&server, "admin", arguments);
        assert!(output.status.code().is_some(), "{arguments:?} died");
        for bytes in [&output.stdout, &output.stderr] {
            let text = text(bytes);
            let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
            assert_eq!(bad, None, "{arguments:?}");
        }
    }
}
