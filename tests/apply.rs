//! `apply` and `rollback` on a real kube-apiserver, with a machine-config-operator of the tests' own behind it.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::controlplane::{ControlPlane, Options};
use support::operator::{Cluster, Operator};
use support::proxy::{At, Proxy, Then};

/// Of the example cluster's shop.
const KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFVFNlcDlKMnB3NjFyNFFaMDZ5MFc3VFovVFZPdApNNkJmRkpTR0dzMkNWc3NNeEJ3SVo1R002ZFJrNlcwcCtXRlRiTU1yT3NJYmdKNUhKakNucnNPUEx3PT0KLS0tLS1FTkQgUFVCTElDIEtFWS0tLS0tCg==";
const PLATFORM: &str = "quay.io/openshift-release-dev";

fn policy(name: &str, scopes: &[&str]) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": name},
           "spec": {"scopes": scopes, "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": KEY}},
                                                   "signedIdentity": {"matchPolicy": "MatchRepository"}}}})
}

fn image(sources: Value) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"}, "spec": {"registrySources": sources}})
}

/// A folder for files and backups.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A file with these objects.
    fn file(&self, name: &str, objects: &[Value]) -> String {
        let path = self.0.path().join(name);
        let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
        fs::write(&path, texts.join("\n---\n")).unwrap();
        path.to_str().unwrap().to_string()
    }

    fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }

    fn backups(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for cluster in fs::read_dir(self.state().join("oc-imagepolicy")).into_iter().flatten().flatten() {
            found.extend(fs::read_dir(cluster.path()).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.sort();
        found
    }

    fn command(&self, server: &ControlPlane, user: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"));
        command.args(arguments).env("HOME", self.0.path()).env("NO_COLOR", "1").env("XDG_STATE_HOME", self.state());
        command.env("KUBECONFIG", server.kubeconfig(user)).stdin(Stdio::null());
        command
    }

    fn run(&self, server: &ControlPlane, user: &str, arguments: &[&str]) -> Output {
        self.command(server, user, arguments).output().unwrap()
    }

    #[track_caller]
    fn must(&self, server: &ControlPlane, code: i32, arguments: &[&str]) -> String {
        let output = self.run(server, "admin", arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}\n{}\n{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout) + &text(&output.stderr)
    }

    fn through(&self, proxy: &Proxy, server: &ControlPlane, arguments: &[&str]) -> Child {
        let mut command = self.command(server, "admin", arguments);
        command.env_remove("KUBECONFIG").args(["--server", &proxy.url]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One line, whatever the table's width.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn get(server: &ControlPlane, arguments: &[&str]) -> Value {
    let output = server.kubectl(&[&["get"], arguments, &["-o", "json", "--show-managed-fields"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// All policy of the cluster, as people wrote it.
fn policies(server: &ControlPlane) -> BTreeMap<String, Value> {
    let resources = "images.config.openshift.io,clusterimagepolicies.config.openshift.io,imagepolicies.config.openshift.io,imagedigestmirrorsets.config.openshift.io,machineconfigs";
    let list = get(server, &[resources, "-A"]);
    let mut all = BTreeMap::new();
    for item in list["items"].as_array().unwrap() {
        let name = format!("{}/{}", item["kind"].as_str().unwrap(), item["metadata"]["name"].as_str().unwrap());
        if name.starts_with("MachineConfig/") && !name.ends_with("-imagepolicy") {
            continue;
        }
        let mut spec = item["spec"].clone();
        // What apply leaves where an Image asks for nothing any more.
        if spec["externalRegistryHostnames"] == json!([]) {
            spec.as_object_mut().unwrap().remove("externalRegistryHostnames");
        }
        let meant =
            json!({"annotations": item["metadata"]["annotations"], "labels": item["metadata"]["labels"], "spec": spec});
        all.insert(name, meant);
    }
    all
}

fn roll(operator: &Operator) {
    operator.sync().unwrap();
    operator.roll_all();
}

fn nodes(operator: &Operator) -> Vec<BTreeMap<String, Vec<u8>>> {
    ["master-0", "worker-0"].map(|node| operator.node_files(node)).into()
}

fn policy_json(operator: &Operator) -> Value {
    serde_json::from_slice(&operator.node_files("worker-0")["/etc/containers/policy.json"]).unwrap()
}

#[test]
fn policies_from_a_file_to_the_nodes_and_back() {
    let server = ControlPlane::start(Options::default());
    let operator = Operator::install(&server, &Cluster::default(), "");
    let place = Place::new();
    let before = (policies(&server), nodes(&operator));

    // Scopes outside of what is allowed would freeze the controller: the order has to avoid it.
    let objects = [
        policy("team", &["registry.example.com/team"]),
        image(
            json!({"allowedRegistries": [PLATFORM, "registry.example.com", "image-registry.openshift-image-registry.svc:5000"]}),
        ),
    ];
    let file = place.file("policies.yaml", &objects);
    let looked = place.must(&server, 0, &["apply", "-f", &file, "--dry-run=server"]);
    assert!(looked.contains("ClusterImagePolicy/team") && looked.contains("registry.example.com/team"), "{looked}");
    assert!(looked.contains("reload, 2 nodes one after"), "{looked}");
    let local = place.must(&server, 0, &["apply", "-f", &file, "--dry-run=client"]);
    assert_eq!(local, looked, "what is computed here is what the server says");
    assert_eq!(policies(&server), before.0);
    assert!(place.backups().is_empty());

    let unasked = place.must(&server, 2, &["apply", "-f", &file]);
    assert!(unasked.contains("--yes"), "{unasked}");
    let written = place.must(&server, 0, &["apply", "-f", &file, "--yes"]);
    for line in [
        "image.config.openshift.io/cluster configured",
        "clusterimagepolicy.config.openshift.io/team created",
        "undo: oc imagepolicy rollback --to ",
    ] {
        assert!(written.contains(line), "{line}\n{written}");
    }
    roll(&operator);
    assert!(policy_json(&operator)["transports"]["docker"]["registry.example.com/team"][0]["keyData"].is_string());
    let again = place.must(&server, 0, &["apply", "-f", &file, "--yes"]);
    assert!(again.contains("Nothing to do"), "{again}");
    assert_eq!(place.backups().len(), 1);

    // Narrowing the list and taking the policy away: the policy has to go first.
    let narrowed = place.file("narrowed.yaml", &[image(json!({"allowedRegistries": [PLATFORM]}))]);
    let plan = place.must(
        &server,
        0,
        &["apply", "-f", &narrowed, "--without", "clusterimagepolicy/team", "--dry-run=server", "-o", "json"],
    );
    let plan: Value = serde_json::from_str(&plan).unwrap_or_else(|error| panic!("{error}: {plan}"));
    let order: Vec<&str> =
        plan["steps"].as_array().unwrap().iter().map(|step| step["object"]["kind"].as_str().unwrap()).collect();
    assert_eq!(order, ["ClusterImagePolicy", "Image"]);
    assert_eq!(plan["kind"], "Plan");
    assert_eq!(plan["freeze"], Value::Null);
    assert!(plan["steps"][1]["diff"].as_str().unwrap().contains("-    - registry.example.com"), "{plan:#}");
    assert_eq!(plan["disruption"][0]["action"], "Reload");
    assert!(policies(&server).contains_key("ClusterImagePolicy/team"), "a dry run deletes nothing");
    // Without the policy's end the controller would refuse.
    let refused = place.must(&server, 1, &["apply", "-f", &narrowed, "--yes"]);
    assert!(refused.contains("guard[refused]") && refused.contains("--force=refused"), "{refused}");
    assert!(words(&refused).contains("is not nested inside allowedRegistries"), "{refused}");
    let forced = place.must(&server, 0, &["apply", "-f", &narrowed, "--yes", "--force", "refused"]);
    assert!(forced.contains("forced[refused]"), "{forced}");
    operator.sync().unwrap_err();
    let back = place.must(&server, 0, &["rollback", "--yes"]);
    assert!(back.contains("image.config.openshift.io/cluster replaced"), "{back}");
    roll(&operator);
    assert_eq!(policies(&server)["Image/cluster"]["spec"], objects[1]["spec"]);

    // Back to the very beginning, by the first backup.
    let first = place.backups().remove(0);
    let listed = place.must(&server, 0, &["rollback", "--list"]);
    assert!(listed.contains(first.file_name().unwrap().to_str().unwrap()), "{listed}");
    let shown = place.must(&server, 0, &["rollback", "--to", first.to_str().unwrap(), "--dry-run"]);
    assert!(shown.contains("delete") && shown.contains("ClusterImagePolicy/team"), "{shown}");
    place.must(&server, 0, &["rollback", "--to", first.to_str().unwrap(), "--yes"]);
    roll(&operator);
    assert_eq!((policies(&server), nodes(&operator)), before);
    let nothing = place.must(&server, 0, &["rollback", "--to", first.to_str().unwrap(), "--yes"]);
    assert!(nothing.contains("Nothing to do"), "{nothing}");

    // The same by plain kubectl, from the files of the backup.
    place.must(&server, 0, &["apply", "-f", &file, "--yes"]);
    roll(&operator);
    assert_ne!(nodes(&operator), before.1);
    let last = place.backups().pop().unwrap();
    for (verb, file) in [("replace", "replace.yaml"), ("delete", "delete.yaml")] {
        let output = server.kubectl(&[verb, "-f", last.join(file).to_str().unwrap()]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    roll(&operator);
    assert_eq!((policies(&server), nodes(&operator)), before);
}

#[test]
fn signed_registries_from_a_file_to_the_nodes_and_back() {
    let server = ControlPlane::start(Options::default());
    let operator = Operator::install(&server, &Cluster::default(), "");
    let place = Place::new();
    let before = (policies(&server), nodes(&operator));
    let path = "/etc/machine-config-daemon/no-reboot/containers-gpg.pub";
    let keyring = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keyrings")).unwrap();
    let keyring: Vec<PathBuf> = keyring.map(|entry| entry.unwrap().path()).collect();
    let keyring = keyring
        .iter()
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("rsa"))
        .or(keyring.first())
        .unwrap();
    let key = format!("{path}={}", keyring.display());
    let signed = json!([{"sigRequiredRegistriesOrImages": ["registry.example.com/signed"], "gpgKeyPath": path}]);
    let with = place.file("signed.yaml", &[image(json!({"signedRegistries": signed}))]);
    let written = place.must(
        &server,
        0,
        &[
            "apply",
            "-f",
            &with,
            "--key",
            &key,
            "--lookaside",
            "registry.example.com/signed=https://signatures.example.com",
            "--yes",
        ],
    );
    for line in [
        "machineconfig.machineconfiguration.openshift.io/99-master-imagepolicy created",
        "machineconfig.machineconfiguration.openshift.io/99-worker-imagepolicy created",
    ] {
        assert!(written.contains(line), "{written}");
    }
    roll(&operator);
    let of_signed = |operator: &Operator| {
        policy_json(operator)["transports"]["docker"]["registry.example.com/signed"][0]["type"].clone()
    };
    assert_eq!(of_signed(&operator), "signedBy");
    let files = operator.node_files("worker-0");
    assert_eq!(files[path], fs::read(keyring).unwrap());
    assert!(text(&files["/etc/containers/registries.d/imagepolicy.yaml"]).contains("signatures.example.com"));
    let annotation = |server: &ControlPlane| {
        get(server, &["images.config.openshift.io", "cluster"])["metadata"]["annotations"]["imagepolicy.openshift.io/signed-registries"].clone()
    };
    assert!(annotation(&server).as_str().unwrap().contains("gpgKeyPath"));
    assert!(place.must(&server, 0, &["apply", "-f", &with, "--yes"]).contains("Nothing to do"));

    // An Image that does not name them leaves them alone, and our MachineConfigs follow the other objects.
    let sources = json!({"insecureRegistries": ["lab.example.com"]});
    let other = place.file("other.yaml", &[image(sources), policy("team", &["registry.example.com/team"])]);
    let written = place.must(&server, 0, &["apply", "-f", &other, "--yes"]);
    assert!(written.contains("99-worker-imagepolicy configured"), "{written}");
    roll(&operator);
    assert_eq!(of_signed(&operator), "signedBy");
    assert!(policy_json(&operator)["transports"]["docker"]["registry.example.com/team"].is_array());
    let half_way = (policies(&server), nodes(&operator));

    // An empty list ends them.
    let without = place.file("without.yaml", &[image(json!({"signedRegistries": []}))]);
    let written = place.must(&server, 0, &["apply", "-f", &without, "--without", "ClusterImagePolicy/team", "--yes"]);
    assert!(written.contains("99-worker-imagepolicy deleted"), "{written}");
    assert_eq!(annotation(&server), Value::Null);
    roll(&operator);
    assert_eq!((policies(&server), nodes(&operator)), before);
    let back = place.must(&server, 0, &["rollback", "--yes"]);
    assert!(back.contains("99-worker-imagepolicy created"), "{back}");
    roll(&operator);
    assert_eq!((policies(&server), nodes(&operator)), half_way);

    // Somebody else's MachineConfig under a name of ours is never touched.
    place.must(&server, 0, &["apply", "-f", &without, "--yes"]);
    let foreign = json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
        "metadata": {"name": "99-worker-imagepolicy", "labels": {"machineconfiguration.openshift.io/role": "worker"}},
        "spec": {"config": {"ignition": {"version": "3.5.0"}}}});
    server.apply(&foreign.to_string());
    let stopped = place.must(&server, 1, &["apply", "-f", &with, "--key", &key, "--yes"]);
    assert!(stopped.contains("was not made by this program"), "{stopped}");
    assert_eq!(annotation(&server), Value::Null);
}

/// Killed at every request that writes, before it and after it; then the same command again, then back by the first backup.
#[test]
fn killed_at_any_write_a_second_run_converges() {
    let server = ControlPlane::start(Options::default());
    let operator = Operator::install(&server, &Cluster::default(), "");
    let place = Place::new();
    let old = json!({"apiVersion": "config.openshift.io/v1", "kind": "ImageDigestMirrorSet", "metadata": {"name": "old"},
        "spec": {"imageDigestMirrors": [{"source": "old.example.com/x", "mirrors": ["mirror.example.com/x"]}]}});
    let created = server.kubectl_in(&["create", "-f", "-"], &old.to_string());
    assert!(created.status.success());
    // Written by an earlier kubectl apply: taking that over is a write of its own.
    let earlier = server.kubectl_in(&["apply", "-f", "-"], &policy("team", &["registry.example.com/a"]).to_string());
    assert!(earlier.status.success());
    roll(&operator);
    let before = (policies(&server), nodes(&operator));
    let file = place.file(
        "change.yaml",
        &[
            image(json!({"allowedRegistries": [PLATFORM, "registry.example.com"]})),
            policy("team", &["registry.example.com/b"]),
            policy("new", &["registry.example.com/new"]),
        ],
    );
    let arguments = ["apply", "-f", &file, "--without", "idms/old", "--yes"];
    place.must(&server, 0, &arguments);
    let wanted = policies(&server);
    place.must(&server, 0, &["rollback", "--yes"]);
    roll(&operator);
    let restored = policies(&server);
    assert_eq!(strip(&restored), strip(&before.0));
    assert_eq!(nodes(&operator), before.1);
    let reset = |first: &Path| {
        place.must(&server, 0, &["rollback", "--to", first.to_str().unwrap(), "--yes"]);
        assert_eq!(strip(&policies(&server)), strip(&before.0));
    };
    let mut stops = 0;
    for number in 0..5 {
        for at in [At::Before(number), At::After(number)] {
            let known = place.backups();
            let proxy = Proxy::start(&server, Some(at));
            let mut child = place.through(&proxy, &server, &arguments);
            proxy.when_reached(
                || {
                    child.kill().unwrap();
                    child.wait().unwrap();
                },
                Then::GoOn,
            );
            // What was sent may still be under way.
            thread::sleep(Duration::from_millis(50));
            drop(proxy);
            let first =
                place.backups().into_iter().find(|path| !known.contains(path)).expect("a backup before any write");
            place.must(&server, 0, &arguments);
            assert_eq!(policies(&server), wanted, "{at:?}");
            reset(&first);
            stops += 1;
        }
    }
    assert_eq!(stops, 10);
    roll(&operator);
    assert_eq!(nodes(&operator), before.1);

    // The server goes away half-way: what was written is said, and how to go on and back.
    let proxy = Proxy::start(&server, Some(At::Before(2)));
    let child = place.through(&proxy, &server, &arguments);
    proxy.when_reached(|| {}, Then::GoAway);
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in ["written: ", "not written: ", "the same command again", "rollback --to"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    drop(proxy);
    place.must(&server, 0, &arguments);
    assert_eq!(policies(&server), wanted);

    // The answer to a write is lost, and the write is sent again.
    place.must(&server, 0, &["rollback", "--yes"]);
    place.must(&server, 0, &arguments);
    let proxy = Proxy::start(&server, Some(At::Before(0)));
    let back = place.file("back.yaml", &[policy("team", &["registry.example.com/a"])]);
    let child = place.through(&proxy, &server, &["apply", "-f", &back, "--yes"]);
    proxy.when_reached(|| {}, Then::Nonsense);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("is not JSON"), "{}", text(&output.stderr));
    assert_eq!(policies(&server), wanted);
}

/// kubectl's annotation goes with the takeover, and does not come back by itself.
fn strip(all: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut all = all.clone();
    for value in all.values_mut() {
        if let Some(annotations) = value["annotations"].as_object_mut() {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            if annotations.is_empty() {
                value["annotations"] = Value::Null;
            }
        }
    }
    all
}

#[test]
fn others_write_too() {
    let server = ControlPlane::start(Options::default());
    let operator = Operator::install(&server, &Cluster::default(), "");
    let place = Place::new();
    let scopes = |name: &str| get(&server, &["clusterimagepolicies", name])["spec"]["scopes"].clone();

    // Somebody else's scope stays in the set, and is told.
    let theirs = server.kubectl_in(
        &["apply", "--server-side", "--field-manager=gitops", "-f", "-"],
        &policy("team", &["r.example.com/a", "r.example.com/b"]).to_string(),
    );
    assert!(theirs.status.success());
    let file = place.file("team.yaml", &[policy("team", &["r.example.com/a", "r.example.com/c"])]);
    let shown = place.must(&server, 0, &["apply", "-f", &file, "--yes"]);
    assert!(words(&shown).contains("(r.example.com/b) stays: gitops put it there"), "{shown}");
    assert_eq!(scopes("team"), json!(["r.example.com/a", "r.example.com/b", "r.example.com/c"]));

    // Somebody else's value is a conflict.
    let mut other = policy("team", &["r.example.com/a", "r.example.com/c"]);
    other["spec"]["policy"]["signedIdentity"]["matchPolicy"] = "MatchRepoDigestOrExact".into();
    let file = place.file("other.yaml", &[other]);
    let backups = place.backups().len();
    let conflict = place.must(&server, 1, &["apply", "-f", &file, "--yes"]);
    assert!(words(&conflict).contains("spec.policy.signedIdentity.matchPolicy belongs to gitops"), "{conflict}");
    assert!(conflict.contains("--force-conflicts"), "{conflict}");
    assert_eq!(place.backups().len(), backups, "nothing was written");
    place.must(&server, 0, &["apply", "-f", &file, "--yes", "--force-conflicts"]);
    assert_eq!(
        get(&server, &["clusterimagepolicies", "team"])["spec"]["policy"]["signedIdentity"]["matchPolicy"],
        "MatchRepoDigestOrExact"
    );

    // What an earlier kubectl apply wrote is taken over: a scope that the file no longer names goes.
    let earlier =
        server.kubectl_in(&["apply", "-f", "-"], &policy("csa", &["r.example.com/x", "r.example.com/y"]).to_string());
    assert!(earlier.status.success());
    let file = place.file("csa.yaml", &[policy("csa", &["r.example.com/x"])]);
    let shown = place.must(&server, 0, &["apply", "-f", &file, "--yes"]);
    assert!(words(&shown).contains("what an earlier kubectl apply wrote becomes this program's"), "{shown}");
    let object = get(&server, &["clusterimagepolicies", "csa"]);
    assert_eq!(object["spec"]["scopes"], json!(["r.example.com/x"]));
    assert_eq!(object["metadata"]["annotations"], Value::Null);
    let managers: Vec<&str> = object["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["manager"].as_str().unwrap())
        .collect();
    assert_eq!(managers, ["oc-imagepolicy"]);
    // Back, owners included; then once more.
    place.must(&server, 0, &["rollback", "--yes"]);
    let object = get(&server, &["clusterimagepolicies", "csa"]);
    assert_eq!(object["spec"]["scopes"], json!(["r.example.com/x", "r.example.com/y"]));
    let managers: Vec<&str> = object["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["manager"].as_str().unwrap())
        .collect();
    assert_eq!(managers, ["kubectl-client-side-apply"]);
    place.must(&server, 0, &["apply", "-f", &file, "--yes"]);
    assert_eq!(scopes("csa"), json!(["r.example.com/x"]));

    // Changed by somebody since: a rollback leaves it alone.
    let patch = r#"{"spec": {"scopes": ["r.example.com/z"]}}"#;
    assert!(server.kubectl(&["patch", "clusterimagepolicy", "csa", "--type=merge", "-p", patch]).status.success());
    let left = place.must(&server, 1, &["rollback", "--yes"]);
    assert!(left.contains("somebody has changed ClusterImagePolicy/csa since"), "{left}");
    assert_eq!(scopes("csa"), json!(["r.example.com/z"]));
    place.must(&server, 0, &["rollback", "--yes", "--force-conflicts"]);
    assert_eq!(scopes("csa"), json!(["r.example.com/x", "r.example.com/y"]));

    // Two at once: the second finds out that what it saw is no more.
    let (one, two) = (
        place.file("one.yaml", &[policy("race", &["r.example.com/one"])]),
        place.file("two.yaml", &[policy("race", &["r.example.com/two"])]),
    );
    let proxy = Proxy::start(&server, Some(At::Before(0)));
    let child = place.through(&proxy, &server, &["apply", "-f", &one, "--yes"]);
    proxy.when_reached(
        || {
            place.must(&server, 0, &["apply", "-f", &two, "--yes"]);
        },
        Then::GoOn,
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("changed in the meantime; nothing was changed"), "{}", text(&output.stderr));
    assert_eq!(scopes("race"), json!(["r.example.com/two"]));
    let three = place.file("three.yaml", &[policy("race", &["r.example.com/three"])]);
    let proxy = Proxy::start(&server, Some(At::Before(0)));
    let child = place.through(&proxy, &server, &["apply", "-f", &one, "--yes"]);
    proxy.when_reached(
        || {
            place.must(&server, 0, &["apply", "-f", &three, "--yes"]);
        },
        Then::GoOn,
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert_eq!(scopes("race"), json!(["r.example.com/three"]));
    // The answer is lost, and the write is sent again: carried out once, and known.
    let proxy = Proxy::start(&server, Some(At::After(0)));
    let child = place.through(&proxy, &server, &["apply", "-f", &one, "--yes"]);
    proxy.when_reached(|| {}, Then::GoOn);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(scopes("race"), json!(["r.example.com/one"]));

    // A reader may look, and not write.
    let role = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rbac.yaml")).unwrap();
    server.apply(&role);
    let bound =
        server.kubectl(&["create", "clusterrolebinding", "r", "--clusterrole=oc-imagepolicy-reader", "--user=reader"]);
    assert!(bound.status.success());
    let known = policies(&server);
    let two_arguments = ["apply", "-f", &two, "--yes"];
    let said = eventually(|| {
        let output = place.run(&server, "reader", &two_arguments);
        let said = text(&output.stderr);
        (output.status.code() == Some(2) && said.contains("cannot patch resource")).then_some(said.clone()).ok_or(said)
    });
    assert!(said.contains("nothing was changed") && said.contains("oc-imagepolicy-writer"), "{said}");
    let local = place.run(&server, "reader", &["apply", "-f", &two, "--dry-run=client"]);
    assert_eq!(local.status.code(), Some(0), "{}", text(&local.stderr));
    // The writer's role is enough.
    let bound =
        server.kubectl(&["create", "clusterrolebinding", "w", "--clusterrole=oc-imagepolicy-writer", "--user=reader"]);
    assert!(bound.status.success());
    eventually(|| {
        let output = place.run(&server, "reader", &["apply", "-f", &two, "--dry-run=server"]);
        (output.status.code() == Some(0)).then_some(()).ok_or(text(&output.stderr))
    });
    assert_eq!(policies(&server), known);

    // A rule of the cluster's provider is shown before anything is written.
    let rule = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "managed"},
        "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [{"apiGroups": ["config.openshift.io"], "apiVersions": ["*"],
            "operations": ["UPDATE"], "resources": ["images"]}]},
            "validations": [{"expression": "false", "message": "registry settings are managed by the provider"}]}});
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "managed"},
        "spec": {"policyName": "managed", "validationActions": ["Deny"]}});
    server.apply(&format!("{rule}\n---\n{binding}"));
    let denied = place.file(
        "denied.yaml",
        &[policy("fresh", &["r.example.com/fresh"]), image(json!({"insecureRegistries": ["lab.example.com"]}))],
    );
    let backups = place.backups().len();
    let said = eventually(|| {
        let output = place.run(&server, "admin", &["apply", "-f", &denied, "--dry-run=server"]);
        let said = text(&output.stdout) + &text(&output.stderr);
        (output.status.code() == Some(1)).then_some(said.clone()).ok_or(said)
    });
    assert!(words(&said).contains("denied request: registry settings are managed by the provider"), "{said}");
    let said = place.must(&server, 1, &["apply", "-f", &denied, "--yes"]);
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!((policies(&server), place.backups().len()), (known, backups));
    assert!(server.kubectl(&["delete", "validatingadmissionpolicybinding", "managed"]).status.success());

    // What the API server itself does not take.
    let bad = place.file("bad.yaml", &[policy("bad", &["no-dot/x"])]);
    let said = place.must(&server, 1, &["apply", "-f", &bad, "--yes"]);
    assert!(words(&said).contains("scope must contain a fully qualified domain name"), "{said}");
    let mut nowhere = policy("web", &["r.example.com/web"]);
    nowhere["kind"] = "ImagePolicy".into();
    nowhere["metadata"]["namespace"] = "nowhere".into();
    let said = place.must(&server, 1, &["apply", "-f", &place.file("nowhere.yaml", &[nowhere]), "--yes"]);
    assert!(said.contains("namespaces \"nowhere\" not found"), "{said}");

    // Images of the cluster itself must stay pullable.
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dns", "namespace": "openshift-dns"},
        "spec": {"automountServiceAccountToken": false, "containers": [{"name": "dns", "image": "quay.io/platform/dns:v1"}]}});
    assert!(server.kubectl(&["create", "namespace", "openshift-dns"]).status.success());
    let made = server.kubectl_in(&["create", "-f", "-"], &pod.to_string());
    assert!(made.status.success(), "{}", text(&made.stderr));
    let blocked = place.file("blocked.yaml", &[image(json!({"blockedRegistries": ["quay.io/platform"]}))]);
    // The rule's end takes a moment to be noticed.
    let said = eventually(|| {
        let output = place.run(&server, "admin", &["apply", "-f", &blocked, "--yes"]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        (!said.contains("ValidatingAdmissionPolicy")).then_some(said.clone()).ok_or(said)
    });
    assert!(
        said.contains("guard[platform-images]") && said.contains("quay.io/platform/dns:v1 (pod openshift-dns/dns)"),
        "{said}"
    );
    let said = place.must(&server, 0, &["apply", "-f", &blocked, "--dry-run=server", "--force=platform-images"]);
    assert!(said.contains("forced[platform-images]"), "{said}");

    // Backups that cannot be written, or are none.
    let nowhere = place.file("not-a-directory", &[]);
    let output = place
        .command(&server, "admin", &["apply", "-f", &two, "--yes"])
        .env("XDG_STATE_HOME", &nowhere)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("nothing was written to the cluster"), "{}", text(&output.stderr));
    assert_eq!(scopes("race"), json!(["r.example.com/one"]));
    let damaged = place.0.path().join("damaged");
    fs::create_dir(&damaged).unwrap();
    let said = place.must(&server, 2, &["rollback", "--to", damaged.to_str().unwrap(), "--yes"]);
    assert!(said.contains("this is no backup"), "{said}");
    fs::write(damaged.join("backup.json"), "{\"kind\": 1}").unwrap();
    let said = place.must(&server, 2, &["rollback", "--to", damaged.to_str().unwrap(), "--yes"]);
    assert!(said.contains("no backup of this program"), "{said}");
    let mut record: Value = serde_json::from_slice(&fs::read(place.backups()[0].join("backup.json")).unwrap()).unwrap();
    record["cluster"] = "another-cluster".into();
    fs::write(damaged.join("backup.json"), record.to_string()).unwrap();
    let said = place.must(&server, 2, &["rollback", "--to", damaged.to_str().unwrap(), "--yes"]);
    assert!(said.contains("another cluster"), "{said}");

    // Clusters on which none of this has an effect.
    let patch = r#"{"status": {"controlPlaneTopology": "External"}}"#;
    let hosted =
        server.kubectl(&["patch", "infrastructure", "cluster", "--subresource=status", "--type=merge", "-p", patch]);
    assert!(hosted.status.success(), "{}", text(&hosted.stderr));
    let said = place.must(&server, 1, &["apply", "-f", &two, "--yes"]);
    assert!(said.contains("hosted cluster") && said.contains("NodePool"), "{said}");
    drop(operator);
}

/// Where the API has no ClusterImagePolicy, MachineConfigs of ours deliver it.
#[test]
fn clusters_without_the_kind_and_objects_as_machine_configs() {
    let server = ControlPlane::start(Options::default());
    let cluster = Cluster { version: "4.17.9".into(), ..Cluster::default() };
    let operator = Operator::install(&server, &cluster, "");
    let crds = ["clusterimagepolicies.config.openshift.io", "imagepolicies.config.openshift.io"];
    let deleted = server.kubectl(&[&["delete", "crd"], &crds[..]].concat());
    assert!(deleted.status.success(), "{}", text(&deleted.stderr));
    let place = Place::new();
    let files = |operator: &Operator| nodes(operator);
    let before = files(&operator);
    let file = place.file("team.yaml", &[policy("team", &["registry.example.com/team"])]);
    let written = eventually(|| {
        let output = place.run(&server, "admin", &["apply", "-f", &file, "--yes"]);
        let said = text(&output.stdout) + &text(&output.stderr);
        (output.status.code() == Some(0)).then_some(said.clone()).ok_or(said)
    });
    assert!(words(&written).contains("this cluster's API has no ClusterImagePolicy: MachineConfigs of ours bring ClusterImagePolicy/team to the nodes"), "{written}");
    assert!(written.contains("99-worker-imagepolicy created"), "{written}");
    roll(&operator);
    assert!(policy_json(&operator)["transports"]["docker"]["registry.example.com/team"][0]["keyData"].is_string());
    assert!(
        text(&operator.node_files("worker-0")["/etc/containers/registries.d/sigstore-registries.yaml"])
            .contains("registry.example.com/team")
    );
    assert!(place.must(&server, 0, &["apply", "-f", &file, "--yes"]).contains("Nothing to do"));
    // A second one joins it; the first goes.
    let more = place.file("more.yaml", &[policy("more", &["registry.example.com/more"])]);
    let shown = place.must(&server, 0, &["apply", "-f", &more, "--without", "ClusterImagePolicy/team", "--yes"]);
    assert!(shown.contains("99-worker-imagepolicy configured"), "{shown}");
    roll(&operator);
    let docker = policy_json(&operator)["transports"]["docker"].clone();
    assert!(
        docker["registry.example.com/more"].is_array() && docker["registry.example.com/team"].is_null(),
        "{docker:#}"
    );
    place.must(&server, 0, &["apply", "--without", "ClusterImagePolicy/more", "--yes"]);
    roll(&operator);
    assert_eq!(files(&operator), before);
    let back = place.must(&server, 0, &["rollback", "--yes"]);
    assert!(back.contains("99-worker-imagepolicy created"), "{back}");
    roll(&operator);
    assert!(policy_json(&operator)["transports"]["docker"]["registry.example.com/more"].is_array());
    place.must(&server, 0, &["apply", "--without", "ClusterImagePolicy/more", "--yes"]);

    // The same where the API has it and nobody wants an object.
    operator.set_version("4.21.4");
    let sources = image(json!({"insecureRegistries": ["lab.example.com"]}));
    let all = place.file("all.yaml", &[sources]);
    let shown = place.must(&server, 0, &["apply", "-f", &all, "--as-machineconfigs", "--yes"]);
    assert!(
        shown.contains("99-worker-imagepolicy created") && !shown.contains("image.config.openshift.io/cluster"),
        "{shown}"
    );
    roll(&operator);
    assert!(text(&operator.node_files("worker-0")["/etc/containers/registries.conf"]).contains("lab.example.com"));
    assert!(place.must(&server, 0, &["apply", "-f", &all, "--as-machineconfigs", "--yes"]).contains("Nothing to do"));
}

/// Whatever an object went through before, the plan is what then happens to it.
#[test]
fn what_is_shown_is_what_is_written() {
    let server = ControlPlane::start(Options::default());
    let operator = Operator::install(&server, &Cluster::default(), "");
    let place = Place::new();
    let scopes = |name: &str| get(&server, &["clusterimagepolicies", name])["spec"]["scopes"].clone();
    let narrows = |name: &str| {
        let file = place.file("narrow.yaml", &[policy(name, &["r.example.com/x"])]);
        let known = get(&server, &["clusterimagepolicies", name]);
        for dry_run in ["--dry-run=client", "--dry-run=server"] {
            let shown = place.must(&server, 0, &["apply", "-f", &file, dry_run, "-o", "wide"]);
            assert!(shown.contains("-  - r.example.com/y"), "{name} {dry_run}: {shown}");
        }
        assert_eq!(get(&server, &["clusterimagepolicies", name]), known, "a dry run writes nothing, owners included");
        let written = place.must(&server, 0, &["apply", "-f", &file, "--yes"]);
        assert!(!written.contains("warning"), "{name}: {written}");
        assert_eq!(scopes(name), json!(["r.example.com/x"]), "{name}");
    };
    let wide = |name: &str| policy(name, &["r.example.com/x", "r.example.com/y"]);

    // Deleted, and brought back by a rollback.
    let file = place.file("wide.yaml", &[wide("back")]);
    place.must(&server, 0, &["apply", "-f", &file, "--yes"]);
    place.must(&server, 0, &["apply", "--without", "ClusterImagePolicy/back", "--yes"]);
    place.must(&server, 0, &["rollback", "--yes"]);
    assert_eq!(scopes("back"), json!(["r.example.com/x", "r.example.com/y"]));
    narrows("back");

    // A client-side apply by another name, as GitOps controllers do it.
    let theirs =
        server.kubectl_in(&["apply", "--field-manager=argocd-controller", "-f", "-"], &wide("gitops").to_string());
    assert!(theirs.status.success(), "{}", text(&theirs.stderr));
    narrows("gitops");

    // Somebody else comes to own a scope between plan and write: it would stay, which nobody was shown.
    let file = place.file("race.yaml", &[wide("race")]);
    place.must(&server, 0, &["apply", "-f", &file, "--yes"]);
    let file = place.file("race.yaml", &[policy("race", &["r.example.com/x"])]);
    let proxy = Proxy::start(&server, Some(At::Before(0)));
    let child = place.through(&proxy, &server, &["apply", "-f", &file, "--yes"]);
    proxy.when_reached(
        || {
            let arguments = ["apply", "--server-side", "--field-manager=gitops", "-f", "-"];
            assert!(server.kubectl_in(&arguments, &wide("race").to_string()).status.success());
        },
        Then::GoOn,
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("changed in the meantime; nothing was changed"), "{}", text(&output.stderr));

    // Interrupted between two writes: what was written is said, and the way back.
    let two = place.file("two.yaml", &[wide("first"), wide("second")]);
    let proxy = Proxy::start(&server, Some(At::Before(1)));
    let child = place.through(&proxy, &server, &["apply", "-f", &two, "--yes"]);
    proxy.when_reached(
        || {
            assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
            thread::sleep(Duration::from_millis(300));
        },
        Then::GoAway,
    );
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("written: ClusterImagePolicy/first") && said.contains("rollback --to"), "{said}");
    assert_eq!(scopes("second"), Value::Null);
    drop(proxy);
    place.must(&server, 0, &["rollback", "--yes"]);
    assert_eq!(scopes("first"), Value::Null);

    // A rollback that ends half-way: without --to the last backup would be its own by then.
    place.must(&server, 0, &["apply", "-f", &two, "--yes"]);
    let applied = place.backups().pop().unwrap();
    let proxy = Proxy::start(&server, Some(At::Before(1)));
    let child = place.through(&proxy, &server, &["rollback", "--yes"]);
    proxy.when_reached(|| {}, Then::GoAway);
    let said = text(&child.wait_with_output().unwrap().stderr);
    let on = format!("to go on where this one ended: oc imagepolicy rollback --to {}", applied.display());
    assert!(said.contains(&on) && !said.contains("the same command"), "{said}");
    drop(proxy);
    place.must(&server, 0, &["rollback", "--to", applied.to_str().unwrap(), "--yes"]);
    assert_eq!((scopes("first"), scopes("second")), (Value::Null, Value::Null));

    // The release's own policy, with somebody else's key.
    let file = place.file("own.yaml", &[policy("openshift", &["quay.io/openshift-release-dev/ocp-release"])]);
    let said = place.must(&server, 1, &["apply", "-f", &file, "--yes"]);
    assert!(said.contains("guard[platform-images]"), "{said}");

    // A private key that somebody pasted is in no plan.
    let mut pasted = wide("pasted");
    let body = "MHcCAQEEIIVPwvkUB6c0ZQ1tDs5MHnWZJ9tq0j5nQJvHtXhvvEKVoAoGCCqGSM49";
    let pem =
        format!("some words\n-----BEGIN EC PRIVATE KEY-----\n{body}\nAwEHoUQDQgAE\n-----END EC PRIVATE KEY-----\n");
    pasted["metadata"]["annotations"] = json!({"note": pem});
    let file = place.file("pasted.yaml", &[pasted]);
    for format in ["wide", "json", "yaml"] {
        let output = place.run(&server, "admin", &["apply", "-f", &file, "--dry-run=server", "-o", format]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("some words") && !said.contains(&body[..20]), "{format}: {said}");
    }

    // Nor in what the API server says of it.
    let mut refused = wide("refused");
    for key in [pem.clone(), format!("{pem}{}", "x".repeat(600))] {
        refused["spec"]["policy"]["rootOfTrust"]["publicKey"]["keyData"] = json!(key);
        let bad = place.file("bad-key.yaml", &[refused.clone()]);
        for format in ["wide", "json", "name"] {
            let output = place.run(&server, "admin", &["apply", "-f", &bad, "--dry-run=server", "-o", format]);
            let said = text(&output.stdout) + &text(&output.stderr);
            assert!(output.status.code() == Some(1) && !said.contains(&body[..20]), "{format}: {said}");
        }
    }

    // An older backup knows nothing of our MachineConfigs, which are made from what it takes back.
    place.must(&server, 0, &["apply", "-f", &place.file("old.yaml", &[wide("old")]), "--yes"]);
    let old = place.backups().pop().unwrap();
    let keyring = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keyrings/rsa4096.gpg");
    let path = "/etc/machine-config-daemon/no-reboot/containers-gpg.pub";
    let signed = json!([{"sigRequiredRegistriesOrImages": ["registry.example.com/signed"], "gpgKeyPath": path}]);
    let signed = place.file("signed.yaml", &[image(json!({"signedRegistries": signed}))]);
    place.must(&server, 0, &["apply", "-f", &signed, "--key", &format!("{path}={}", keyring.display()), "--yes"]);
    let said = place.must(&server, 0, &["rollback", "--to", old.to_str().unwrap(), "--dry-run"]);
    assert!(words(&said).contains("MachineConfig/99-worker-imagepolicy would no longer fit"), "{said}");
    place.must(&server, 0, &["rollback", "--to", old.to_str().unwrap(), "--yes"]);
    let again = place.must(&server, 0, &["apply", "-f", &signed, "--yes"]);
    assert!(again.contains("99-worker-imagepolicy configured"), "{again}");

    // A format that shows no plan cannot ask.
    let said = place.must(&server, 2, &["apply", "-f", &file, "-o", "json"]);
    assert!(said.contains("--yes"), "{said}");
    drop(operator);
}

/// Somebody who sees only part of what decides writes nothing.
#[test]
fn what_decides_has_to_be_seen() {
    let server = ControlPlane::start(Options::default());
    let operator = Operator::install(&server, &Cluster::default(), "");
    let place = Place::new();
    let role = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rbac.yaml")).unwrap();
    let blind: String = role
        .replace("imagepolicies, imagedigest", "imagedigest")
        .replace("machineconfigpools", "no-pools")
        .replace("controllerconfigs", "no-configs");
    server.apply(&blind);
    for role in ["reader", "writer"] {
        let role = format!("--clusterrole=oc-imagepolicy-{role}");
        let name = role.replace("--clusterrole=", "");
        assert!(server.kubectl(&["create", "clusterrolebinding", &name, &role, "--user=reader"]).status.success());
    }
    let file = place.file("image.yaml", &[image(json!({"insecureRegistries": ["lab.example.com"]}))]);
    let said = eventually(|| {
        let output = place.run(&server, "reader", &["apply", "-f", &file, "--yes"]);
        let said = text(&output.stderr);
        let is_it = output.status.code() == Some(2) && said.contains("cannot be told");
        is_it.then_some(said.clone()).ok_or(said)
    });
    assert!(said.contains("docs/rbac.yaml"), "{said}");
    assert!(place.backups().is_empty());
    // Without the release's own list of images the guard says so.
    server.apply(&role.replace("controllerconfigs", "no-configs"));
    eventually(|| {
        let output = place.run(&server, "reader", &["apply", "-f", &file, "--dry-run=server"]);
        let said = words(&(text(&output.stdout) + &text(&output.stderr)));
        let is_it =
            output.status.code() == Some(0) && said.contains("images of the release stay pullable was not looked at");
        is_it.then_some(()).ok_or(said)
    });
    drop(operator);
}

fn eventually<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(why) if begin.elapsed() > Duration::from_secs(30) => panic!("{why}"),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}
