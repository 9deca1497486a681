//! `rollout` on a real kube-apiserver, with a machine-config-operator of the tests' own behind it.

mod support;

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::controlplane::{ControlPlane, Options};
use support::faulty::{Fault, Faulty};
use support::operator::{Cluster, Operator};

const POLICY: &str = r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFRVdqM3Q3Ykx2YUNIMGVyNEs2OWJyVDV1ZUJVTwpFTkQ0Ck1jM0F2bzBmYkE9PQotLS0tLUVORCBQVUJMSUMgS0VZLS0tLS0K}
"#;

#[test]
fn the_operator_of_the_tests_does_what_the_real_one_does() {
    let server = ControlPlane::start(Options::default());
    let cluster =
        Cluster { pools: vec![("master".into(), 1), ("worker".into(), 2), ("infra".into(), 1)], ..Cluster::default() };
    let operator = Operator::install(&server, &cluster, "");
    let before = operator.node_files("infra-0");
    let text = |files: &std::collections::BTreeMap<String, Vec<u8>>| {
        String::from_utf8(files["/etc/containers/policy.json"].clone()).unwrap()
    };
    assert!(!text(&before).contains("team"));
    server.apply(POLICY);
    operator.sync().unwrap();
    assert!(text(&operator.pool_files("worker")).contains("registry.example.com/team"));
    assert_eq!(operator.node_files("worker-0"), before);
    operator.roll_all();
    for node in ["master-0", "worker-0", "worker-1", "infra-0"] {
        assert!(text(&operator.node_files(node)).contains("registry.example.com/team"), "{node}");
    }
    let patch = r#"{"spec": {"registrySources": {"allowedRegistries": ["quay.io"]}}}"#;
    assert!(
        server
            .kubectl(&["patch", "image.config.openshift.io", "cluster", "--type=merge", "-p", patch])
            .status
            .success()
    );
    let refused = operator.sync().unwrap_err();
    assert!(refused[0].contains("clusterimagePolicy configured for the scope"), "{refused:?}");
    let delete = server.kubectl(&["delete", "clusterimagepolicy", "team"]);
    assert!(delete.status.success());
    let patch = r#"{"spec": {"registrySources": null}}"#;
    assert!(
        server
            .kubectl(&["patch", "image.config.openshift.io", "cluster", "--type=merge", "-p", patch])
            .status
            .success()
    );
    operator.sync().unwrap();
    operator.roll_all();
    assert_eq!(operator.node_files("infra-0"), before);
}

fn program(server: &ControlPlane, user: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"));
    command.env("HOME", env!("CARGO_TARGET_TMPDIR")).env("KUBECONFIG", server.kubeconfig(user)).env("NO_COLOR", "1");
    command
}

fn rollout(server: &ControlPlane, arguments: &[&str]) -> (Option<i32>, String, String) {
    said(program(server, "admin").arg("rollout").args(arguments).output().unwrap())
}

fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn json(server: &ControlPlane, arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, out, err) = rollout(server, &[arguments, &["-o", "json"]].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}")))
}

fn pool<'d>(document: &'d Value, name: &str) -> &'d Value {
    document["pools"].as_array().unwrap().iter().find(|pool| pool["name"] == name).unwrap()
}

fn node<'d>(document: &'d Value, name: &str) -> &'d Value {
    document["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).unwrap()
}

/// Like `stdout` of `Command::output`, while it runs.
struct Watching(std::process::Child);

impl Watching {
    fn start(server: &ControlPlane, arguments: &[&str]) -> Self {
        let mut command = program(server, "admin");
        command.arg("rollout").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn end(self) -> (Option<i32>, String, String) {
        said(self.0.wait_with_output().unwrap())
    }
}

#[test]
fn a_rollout_from_its_beginning_to_its_end() {
    let server = ControlPlane::start(Options::default());
    let operator = Operator::install(&server, &Cluster::default(), "");
    let (code, document) = json(&server, &[]);
    assert_eq!(code, Some(0), "{document:#}");
    assert_eq!(document["kind"], "Rollout");
    assert_eq!(document["source"]["inForce"], "Yes");
    assert_eq!(pool(&document, "worker")["state"], "Done");

    // The objects have changed, and the controller has not come to it.
    server.apply(POLICY);
    let (code, document) = json(&server, &[]);
    assert_eq!((code, &document["source"]["inForce"]), (Some(0), &Value::from("No")));
    assert_eq!(pool(&document, "worker")["state"], "Progressing");
    let reason = pool(&document, "worker")["reason"].as_str().unwrap();
    assert!(reason.starts_with("the controller has not rendered this yet"), "{reason}");

    // One node is under way.
    operator.sync().unwrap();
    operator.start(1);
    let (code, document) = json(&server, &["--pool", "worker"]);
    assert_eq!(code, Some(0));
    assert_eq!(document["pools"].as_array().unwrap().len(), 1);
    assert_eq!(node(&document, "worker-0")["reason"], "updating");
    assert_eq!(node(&document, "worker-1")["reason"], "waits for its turn");
    assert_eq!(node(&document, "worker-1")["haveChange"], false);
    operator.finish();
    let (_, document) = json(&server, &[]);
    let worker = pool(&document, "worker");
    assert_eq!((&worker["nodes"], &worker["updated"], &worker["haveChange"]), (&2.into(), &1.into(), &1.into()));
    let (_, table, _) = rollout(&server, &[]);
    assert!(table.contains("worker-1") && !table.contains("worker-0"), "{table}");
    let (_, table, _) = rollout(&server, &["-o", "wide"]);
    assert!(table.contains("worker-0") && table.contains("rendered-worker-"), "{table}");

    // Nobody moves: the time runs out.
    let (code, out, err) = rollout(&server, &["--wait", "--timeout", "2s"]);
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(err.contains("not done within 2 s: rolling out, 1 of 2 pools done"), "{err}");
    assert!(out.contains("waits for its turn"), "{out}");

    // Somebody looks on while the last node takes it.
    let watching = Watching::start(&server, &["--watch", "--wait", "--timeout", "60s"]);
    std::thread::sleep(Duration::from_secs(3));
    operator.start(1);
    std::thread::sleep(Duration::from_millis(1500));
    operator.finish();
    let (code, out, err) = watching.end();
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("node worker-1 progressing: updating"), "{out}");
    assert!(out.contains("Rolled out · desired, in force"), "{out}");

    // A paused pool will not move without help.
    operator.pause("worker", true);
    assert!(server.kubectl(&["delete", "clusterimagepolicy", "team"]).status.success());
    operator.sync().unwrap();
    operator.roll_all();
    let (code, document) = json(&server, &["--wait", "--timeout", "60s"]);
    assert_eq!(code, Some(1), "{document:#}");
    assert_eq!(pool(&document, "master")["state"], "Done");
    assert_eq!(pool(&document, "worker")["reason"], "paused: nodes stay as they are until spec.paused is false");
    operator.pause("worker", false);

    // A node fails.
    operator.degrade("worker-0", Some("disk validation failed: content mismatch for file \"/etc/x\"\u{1b}[31m"));
    let watching = Watching::start(&server, &["--watch", "--wait", "--timeout", "60s", "-o", "jsonl"]);
    std::thread::sleep(Duration::from_secs(2));
    operator.start(1);
    operator.finish();
    let (code, out, err) = watching.end();
    assert_eq!(code, Some(1), "{out}{err}");
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert!(out.lines().count() > 1, "{out}");
    assert_eq!(pool(&last, "worker")["state"], "Degraded", "{last:#}");
    let reason = node(&last, "worker-0")["reason"].as_str().unwrap();
    assert!(reason.starts_with("disk validation failed"), "{reason}");
    let (code, table, _) = rollout(&server, &[]);
    assert_eq!(code, Some(1));
    assert!(table.contains("disk validation failed") && !table.contains('\u{1b}'), "{table}");
    operator.degrade("worker-0", None);
    operator.annotate("worker-0", &[("state", "Working"), ("reason", "")]);
    operator.finish();
    operator.roll_all();
    assert_eq!(rollout(&server, &[]).0, Some(0));

    // The controller freezes.
    let patch = r#"{"spec": {"registrySources": {"allowedRegistries": ["quay.io"]}}}"#;
    server.kubectl(&["patch", "image.config.openshift.io", "cluster", "--type=merge", "-p", patch]);
    server.apply(POLICY);
    let literal = operator.sync().unwrap_err().remove(0);
    let (code, document) = json(&server, &["--wait", "--timeout", "60s"]);
    assert_eq!(code, Some(1));
    let reason = pool(&document, "worker")["reason"].as_str().unwrap();
    assert_eq!(reason, format!("the controller has frozen: {literal}"));
    assert_eq!(document["refusals"][0]["text"], literal);

    // Until somebody mends the objects: that is noticed while it is watched.
    let watching = Watching::start(&server, &["--watch", "--timeout", "60s"]);
    std::thread::sleep(Duration::from_secs(2));
    server.kubectl(&["delete", "clusterimagepolicy", "team"]);
    std::thread::sleep(Duration::from_secs(4));
    operator.sync().unwrap();
    operator.roll_all();
    std::thread::sleep(Duration::from_secs(2));
    assert!(Command::new("kill").args(["-INT", &watching.0.id().to_string()]).status().unwrap().success());
    let (code, out, err) = watching.end();
    assert_eq!(code, Some(130), "{out}{err}");
    assert!(
        out.contains("pool worker progressing: 2 of 2 nodes updated, the controller has not rendered this yet"),
        "{out}"
    );
    assert!(out.ends_with("pool worker done: 2 of 2 nodes updated\n"), "{out}");
}

#[test]
fn who_may_not_see_nodes_sees_pools() {
    let server = ControlPlane::start(Options::default());
    let operator = Operator::install(&server, &Cluster::default(), "");
    let role = std::fs::read_to_string("docs/rbac.yaml").unwrap();
    let without = role.replace("resources: [nodes]", "resources: [nothing]");
    assert_ne!(role, without);
    server.apply(&without);
    let bind = ["create", "clusterrolebinding", "x", "--clusterrole", "oc-imagepolicy-reader", "--user", "reader"];
    assert!(server.kubectl(&bind).status.success());
    let run = |arguments: &[&str]| said(program(&server, "reader").arg("rollout").args(arguments).output().unwrap());
    let begin = Instant::now();
    while run(&["-o", "json"]).0 != Some(0) {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", run(&[]));
    }
    server.apply(POLICY);
    operator.sync().unwrap();
    operator.roll_all();
    let (code, out, err) = run(&["--wait", "--timeout", "30s", "-o", "json"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["gaps"][0]["kind"], "Node");
    assert_eq!(document["nodes"], serde_json::json!([]));
    assert_eq!(pool(&document, "worker")["haveChange"], 2);
    // The documented role is enough to notice that the one Image has changed.
    let mut command = program(&server, "reader");
    command.args(["rollout", "--watch", "--timeout", "12s"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let watching = Watching(command.spawn().unwrap());
    std::thread::sleep(Duration::from_secs(4));
    let image = |lists: &str| {
        let patch = format!(r#"{{"spec": {{"registrySources": {lists}}}}}"#);
        server.kubectl(&["patch", "image.config.openshift.io", "cluster", "--type=merge", "-p", &patch]);
    };
    image(r#"{"blockedRegistries": ["evil.example.com"]}"#);
    let (code, out, err) = watching.end();
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(out.contains("the controller has not rendered this yet"), "{out}{err}");
    image("null");

    // Who may list and not watch sees it too, a little later.
    let lists = role.replace("oc-imagepolicy-reader", "lists").replace("list, watch]", "list]");
    assert!(!lists.contains("watch]"));
    server.apply(&lists);
    assert!(
        server
            .kubectl(&["create", "clusterrolebinding", "y", "--clusterrole", "lists", "--user", "partial"])
            .status
            .success()
    );
    assert!(server.kubectl(&["delete", "clusterimagepolicy", "team"]).status.success());
    operator.sync().unwrap();
    let mut command = program(&server, "partial");
    command.args(["rollout", "--wait", "--timeout", "60s", "-o", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let waiting = Watching(command.spawn().unwrap());
    std::thread::sleep(Duration::from_secs(3));
    operator.roll_all();
    let (code, out, err) = waiting.end();
    assert_eq!(code, Some(0), "{out}{err}");

    // Who may read next to nothing gets an error, not a wait.
    let nobody = said(program(&server, "nobody").args(["rollout", "--wait"]).output().unwrap());
    assert_eq!(nobody.0, Some(2), "{nobody:?}");
}

#[test]
fn two_hundred_nodes_through_broken_connections() {
    let server = ControlPlane::start(Options::default());
    let cluster = Cluster { pools: vec![("master".into(), 3), ("worker".into(), 200)], ..Cluster::default() };
    let operator = Arc::new(Operator::install(&server, &cluster, ""));
    let faults = [Fault::Cut, Fault::Gone, Fault::Expired];
    let faulty = Faulty::start(&server, &faults);
    server.apply(POLICY);
    let mut command = program(&server, "admin");
    command.args(["rollout", "--watch", "--wait", "--timeout", "180s", "-o", "jsonl", "--server", &faulty.url]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let rolling = operator.run(10, Duration::from_millis(300));
    std::thread::sleep(Duration::from_secs(6));
    faulty.set_away(true);
    std::thread::sleep(Duration::from_secs(2));
    faulty.set_away(false);
    let (code, out, err) = said(child.wait_with_output().unwrap());
    drop(rolling);
    assert_eq!(code, Some(0), "{}{err}", out.lines().last().unwrap_or_default());
    let documents: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = documents.last().unwrap();
    let worker = pool(last, "worker");
    assert_eq!((&worker["state"], &worker["nodes"], &worker["updated"]), (&"Done".into(), &200.into(), &200.into()));
    assert_eq!(worker["haveChange"], 200);
    assert_eq!(last["nodes"].as_array().unwrap().len(), 203);
    let steps: Vec<u64> =
        documents.iter().map(|document| pool(document, "worker")["haveChange"].as_u64().unwrap()).collect();
    assert!(steps.is_sorted(), "it never goes back: {steps:?}");
    assert!(steps.len() > 9, "{steps:?}\n{err}");
    let happened = faulty.happened();
    assert!(faults.iter().all(|fault| happened.contains(fault)), "too little was broken: {happened:?}");
    assert!(err.contains("cannot be followed"), "{err}");
    // The whole picture is that of somebody who has not seen any of it.
    let (_, fresh) = json(&server, &[]);
    assert_eq!((&fresh["pools"], &fresh["nodes"]), (&last["pools"], &last["nodes"]));
}
