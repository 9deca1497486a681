//! diff against a real kube-apiserver: what it tells of a live cluster is what it tells of a must-gather of the same, and a file is
//! merged with a live object as the server does it.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use oc_imagepolicy::files::MANIFESTS;
use oc_imagepolicy::merge::apply_locally;
use serde_json::{Value, json};
use support::controlplane::{ControlPlane, Options};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The example cluster, statuses included.
fn load_example(server: &ControlPlane) {
    for namespace in ["shop", "analytics"] {
        assert!(server.kubectl(&["create", "namespace", namespace]).status.success());
    }
    for (_, manifest) in MANIFESTS {
        server.apply(manifest);
        for document in manifest.split("\n---\n").filter(|document| document.contains("\nstatus:")) {
            let arguments = ["apply", "--server-side", "--force-conflicts", "--subresource=status", "-f", "-"];
            let output = server.kubectl_in(&arguments, document);
            assert!(output.status.success(), "{}\n{document}", text(&output.stderr));
        }
    }
}

const RESOURCES: [(&str, &str); 13] = [
    ("controllerconfigs.machineconfiguration.openshift.io", "machineconfiguration.openshift.io/controllerconfigs"),
    ("machineconfigurations.operator.openshift.io", "operator.openshift.io/machineconfigurations"),
    ("images.config.openshift.io", "config.openshift.io/images"),
    ("clusterimagepolicies.config.openshift.io", "config.openshift.io/clusterimagepolicies"),
    ("imagedigestmirrorsets.config.openshift.io", "config.openshift.io/imagedigestmirrorsets"),
    ("imagetagmirrorsets.config.openshift.io", "config.openshift.io/imagetagmirrorsets"),
    ("imagecontentsourcepolicies.operator.openshift.io", "operator.openshift.io/imagecontentsourcepolicies"),
    ("clusterversions.config.openshift.io", "config.openshift.io/clusterversions"),
    ("featuregates.config.openshift.io", "config.openshift.io/featuregates"),
    ("infrastructures.config.openshift.io", "config.openshift.io/infrastructures"),
    ("machineconfigpools.machineconfiguration.openshift.io", "machineconfiguration.openshift.io/machineconfigpools"),
    ("machineconfigs.machineconfiguration.openshift.io", "machineconfiguration.openshift.io/machineconfigs"),
    ("nodes", "core/nodes"),
];

/// As `oc adm must-gather` lays it out, with managed fields.
fn must_gather(server: &ControlPlane, directory: &Path) {
    let root = directory.join("must-gather.local.1/quay-io-openshift-release-dev-ocp-v4-0-art-dev-sha256-abc");
    let get = |arguments: &[&str]| {
        let output = server.kubectl(&[arguments, &["-o", "json", "--show-managed-fields"]].concat());
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
    };
    for (resource, path) in RESOURCES {
        let folder = root.join("cluster-scoped-resources").join(path);
        fs::create_dir_all(&folder).unwrap();
        for item in get(&["get", resource])["items"].as_array().unwrap() {
            let name = item["metadata"]["name"].as_str().unwrap();
            fs::write(folder.join(format!("{name}.yaml")), item.to_string()).unwrap();
        }
    }
    for namespace in ["default", "shop", "analytics"] {
        let folder = root.join("namespaces").join(namespace).join("config.openshift.io");
        fs::create_dir_all(&folder).unwrap();
        let list = get(&["get", "imagepolicies.config.openshift.io", "-n", namespace]);
        fs::write(folder.join("imagepolicies.yaml"), list.to_string()).unwrap();
    }
    fs::write(root.join("version"), "openshift/must-gather\n4.21\n").unwrap();
}

fn diff(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"));
    command.env_clear().env("HOME", env!("CARGO_TARGET_TMPDIR")).arg("diff").args(arguments);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn document(output: &Output) -> Value {
    let mut document: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)));
    let source = document["source"].as_object_mut().unwrap();
    source.remove("from");
    source.remove("cluster");
    // A must-gather cannot prove that other namespaces have no ImagePolicies.
    document["gaps"].as_array_mut().unwrap().retain(|gap| gap["kind"] != "ImagePolicy");
    document
}

#[test]
fn a_cluster_and_a_dump_of_it() {
    let server = ControlPlane::start(Options::default());
    load_example(&server);
    let directory = tempfile::tempdir().unwrap();
    let partners = "tests/cli/partners.yaml";
    let check = |dump: &str, arguments: &[&str], code: i32| {
        let gathered = directory.path().join(dump);
        if !gathered.exists() {
            must_gather(&server, &gathered);
        }
        let live =
            |more: &[&str]| diff(arguments).args(more).env("KUBECONFIG", server.kubeconfig("admin")).output().unwrap();
        let dumped = |more: &[&str]| diff(arguments).args(more).arg("--base").arg(&gathered).output().unwrap();
        let (from_server, from_files) = (live(&[]), dumped(&[]));
        assert_eq!(from_server.status.code(), Some(code), "{arguments:?} {}", text(&from_server.stderr));
        assert_eq!(text(&from_server.stdout), text(&from_files.stdout), "{arguments:?}");
        assert_eq!(from_server.status.code(), from_files.status.code(), "{arguments:?}");
        let found = document(&live(&["-o", "json"]));
        assert_eq!(found, document(&dumped(&["-o", "json"])), "{arguments:?}");
        found
    };

    // Nothing is rendered yet: what is asked for is compared.
    let found = check("first", &["-f", partners], 1);
    assert_eq!(found["source"]["of"], "desired");
    assert_eq!(found["groups"][0]["scopes"][0]["scope"], "registry.example.com/partners/acme");
    check("first", &["-f", "tests/cli/fewer-registries.yaml", "--without", "ImagePolicy/shop/partners"], 1);
    check("first", &["-f", "docs/example-cluster"], 0);
    let refused = check("first", &["-f", "tests/cli/contradiction.yaml"], 1);
    assert_eq!(refused["refusals"][0]["by"], "Controller");
    assert_eq!(refused["groups"], json!([]));

    // The operator renders it for one pool: from then on that is the left side.
    let generated = Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"))
        .args(["generate", "--pool", "worker", "-o", "json"])
        .env("KUBECONFIG", server.kubeconfig("admin"))
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    let generated: Value = serde_json::from_slice(&generated.stdout).unwrap();
    let mut rendered = generated["items"][0].clone();
    rendered["metadata"] = json!({"name": "rendered-worker-1"});
    let created = server.kubectl_in(&["create", "-f", "-"], &rendered.to_string());
    assert!(created.status.success(), "{}", text(&created.stderr));
    for (kind, name, patch) in [
        ("machineconfigpool", "worker", json!({"spec": {"configuration": {"name": "rendered-worker-1"}}})),
        (
            "image.config.openshift.io",
            "cluster",
            json!({"spec": {"registrySources": {"insecureRegistries": ["lab.example.com"]}}}),
        ),
    ] {
        let output = server.kubectl(&["patch", kind, name, "--type=merge", "-p", &patch.to_string()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let found = check("second", &["-f", partners, "--pool", "worker"], 1);
    assert_eq!(found["source"]["of"], "rendered");
    // What somebody else has changed since is part of what the nodes will get.
    let files: Vec<&str> =
        found["groups"][0]["files"].as_array().unwrap().iter().filter_map(|file| file["path"].as_str()).collect();
    assert!(files.contains(&"/etc/containers/registries.conf"), "{files:?}");
    assert_eq!(found["groups"][0]["scopes"].as_array().unwrap().len(), 1);
    let pending = check("second", &["--pool", "worker"], 1);
    assert_eq!(pending["groups"][0]["scopes"], json!([]));
    let asked = check("second", &["-f", partners, "--of", "desired"], 1);
    assert_eq!(asked["source"]["of"], "desired");
}

fn policy(name: &str, scopes: &[&str], extra: Value) -> Value {
    let mut object = json!({
        "apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": name},
        "spec": {"scopes": scopes, "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData":
            "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFR2pBTThTd0NsS0h6Wk5ZSVVWYlBrNVZvWXQyagpDYnVLZGJIdGJKM2lqdGtwVVJ1aW5hRWRuVm44d1daVVF3VDU0QnZzQVBZbThOckY5TDZDQi91UFNRPT0KLS0tLS1FTkQgUFVCTElDIEtFWS0tLS0tCg=="
        }}}},
    });
    if let Some(identity) = extra.get("signedIdentity") {
        object["spec"]["policy"]["signedIdentity"] = identity.clone();
    }
    if let Some(labels) = extra.get("labels") {
        object["metadata"]["labels"] = labels.clone();
    }
    object
}

fn image(sources: Value) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"}, "spec": {"registrySources": sources}})
}

/// An object's meaning: scopes are a set, and what the server alone writes does not count.
fn meaning(object: &Value) -> Value {
    let mut spec = object["spec"].clone();
    if let Some(scopes) = spec.get("scopes").and_then(Value::as_array) {
        let set: BTreeSet<String> = scopes.iter().map(Value::to_string).collect();
        assert_eq!(set.len(), scopes.len(), "{object}");
        spec["scopes"] = json!(set);
    }
    let labels = object["metadata"].get("labels").filter(|labels| **labels != json!({}));
    json!({"spec": spec, "labels": labels})
}

/// What the server makes of a file on a live object, and what we foretell: after an earlier apply of either kind, beside others.
#[test]
fn the_server_merges_as_foretold() {
    let server = ControlPlane::start(Options::default());
    let ours = ["apply", "--server-side", "--field-manager=oc-imagepolicy"];
    let other = ["apply", "--server-side", "--field-manager=other", "--force-conflicts"];
    let client_side = ["apply"];
    let create = ["create"];
    let repository = json!({"signedIdentity": {"matchPolicy": "MatchRepository"}, "labels": {"a": "1", "b": "2"}});
    let exact = json!({"labels": {"b": "2"}});
    let nothing = json!({});
    let two = image(json!({"allowedRegistries": ["a.io"], "insecureRegistries": ["i.io"]}));
    let one = image(json!({"allowedRegistries": ["b.io", "c.io"]}));
    type Writes<'a> = Vec<(&'a [&'a str], Value)>;
    let cases: Vec<(Writes, Value)> = vec![
        (
            vec![(&ours, policy("p0", &["a.io", "b.io"], repository.clone()))],
            policy("p0", &["b.io", "c.io"], exact.clone()),
        ),
        (
            vec![(&client_side, policy("p1", &["a.io", "b.io"], repository.clone()))],
            policy("p1", &["b.io", "c.io"], exact.clone()),
        ),
        (
            vec![(&create, policy("p2", &["a.io", "b.io"], repository.clone()))],
            policy("p2", &["b.io", "c.io"], exact.clone()),
        ),
        (
            vec![(&other, policy("p3", &["a.io", "b.io"], repository.clone()))],
            policy("p3", &["b.io", "c.io"], exact.clone()),
        ),
        (
            vec![
                (&ours, policy("p4", &["a.io", "b.io"], repository.clone())),
                (&other, policy("p4", &["b.io", "d.io"], nothing.clone())),
            ],
            policy("p4", &["c.io"], exact),
        ),
        (
            vec![
                (&client_side, policy("p5", &["a.io"], nothing.clone())),
                (&ours, policy("p5", &["a.io", "b.io"], repository)),
            ],
            policy("p5", &["b.io"], nothing),
        ),
        (vec![(&client_side, two.clone())], one.clone()),
        (vec![(&ours, two.clone())], image(json!({"insecureRegistries": ["i.io"]}))),
        (vec![(&other, two)], one),
    ];
    for (earlier, wanted) in cases {
        let kind = if wanted["kind"] == "Image" {
            "images.config.openshift.io"
        } else {
            "clusterimagepolicies.config.openshift.io"
        };
        let name = wanted["metadata"]["name"].as_str().unwrap();
        server.kubectl(&["delete", kind, name, "--ignore-not-found"]);
        for (arguments, object) in &earlier {
            let output = server.kubectl_in(&[*arguments, &["-f", "-"]].concat(), &object.to_string());
            assert!(output.status.success(), "{arguments:?} {}", text(&output.stderr));
        }
        let live = server.kubectl(&["get", kind, name, "-o", "json", "--show-managed-fields"]);
        let live: Value = serde_json::from_slice(&live.stdout).unwrap();
        let foretold = apply_locally(Some(&live), &wanted);
        let arguments = [&ours[..], &["--force-conflicts", "-o", "json", "-f", "-"]].concat();
        let applied = server.kubectl_in(&arguments, &wanted.to_string());
        let applied: Value =
            serde_json::from_slice(&applied.stdout).unwrap_or_else(|_| panic!("{}", text(&applied.stderr)));
        assert_eq!(meaning(&foretold), meaning(&applied), "{name}: {earlier:?}");
    }
}
