//! `rollout --example`: the example cluster in the middle of a rollout. `BLESS=1 cargo test --test rollout_example` writes
//! docs/example-rollout.yaml anew after the example cluster has changed.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, GzBuilder};
use oc_imagepolicy::compile::compile;
use oc_imagepolicy::files;
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::snapshot::Snapshot;
use serde_json::{Value, json};

const GROUP: &str = "machineconfiguration.openshift.io";
const FILE: &str = "docs/example-rollout.yaml";
const HEAD: &str = "\
# The example cluster in the middle of a rollout: its policies are new. Masters have them, workers are about to take them, and the
# infra pool is paused. Written by tests/rollout_example.rs.
";

/// A rendered MachineConfig with what the snapshot asks for, or with nothing.
fn rendered(name: &str, snapshot: Option<&Snapshot>) -> Value {
    let generated = snapshot.map(|snapshot| compile(snapshot, Release::parse("4.21").unwrap()).generated.unwrap());
    let file = |(path, bytes): (String, Vec<u8>)| {
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        gzip.write_all(&bytes).unwrap();
        let source = format!("data:;base64,{}", STANDARD.encode(gzip.finish().unwrap()));
        json!({"path": path, "mode": 420, "overwrite": true, "contents": {"compression": "gzip", "source": source}})
    };
    let files: Vec<Value> = generated.iter().flat_map(|generated| generated.contents()).map(file).collect();
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfig", "metadata": {"name": name},
        "spec": {"config": {"ignition": {"version": "3.5.0"}, "storage": {"files": files}}}})
}

fn node(name: &str, role: &str, current: &str, annotations: &[(&str, &str)]) -> Value {
    let mut all = json!({format!("{GROUP}/currentConfig"): current, format!("{GROUP}/desiredConfig"): current,
        format!("{GROUP}/state"): "Done"});
    annotations.iter().for_each(|(key, value)| all[format!("{GROUP}/{key}")] = json!(value));
    let mut labels = json!({format!("node-role.kubernetes.io/{role}"): ""});
    if role == "infra" {
        labels["node-role.kubernetes.io/worker"] = json!("");
    }
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels, "annotations": all},
        "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
            "message": "kubelet is posting ready status"}]}})
}

fn objects() -> Vec<Value> {
    let now = files::example().unwrap();
    let (old, new) = ("rendered-worker-4e1d90c7a2b35f68", "rendered-worker-b7c02e5588d3f914");
    let (infra_old, infra_new) = ("rendered-infra-19af63d20c7e84b5", "rendered-infra-e2d8047b5c16f93a");
    let master = "rendered-master-70d9b4e6a153c82f";
    let mut objects = Vec::new();
    for (pool, wanted, has, nodes, updated) in
        [("master", master, master, 3, 3), ("worker", new, old, 4, 1), ("infra", infra_new, infra_old, 2, 0)]
    {
        let mut object = now.pools.iter().find(|object| object.metadata.name == pool).unwrap().raw.clone();
        object["spec"]["configuration"] = json!({"name": wanted});
        object["spec"]["paused"] = json!(pool == "infra");
        object["status"] =
            json!({"configuration": {"name": has}, "machineCount": nodes, "updatedMachineCount": updated});
        objects.push(object);
    }
    (0..3).for_each(|number| objects.push(node(&format!("master-{number}"), "master", master, &[])));
    let drained = [
        ("desiredConfig", new),
        ("state", "Working"),
        ("desiredDrain", "drain-b7c02e"),
        ("lastAppliedDrain", "uncordon-4e1d90"),
    ];
    objects.push(node("worker-0", "worker", new, &[]));
    objects.push(node("worker-1", "worker", old, &drained));
    (2..4).for_each(|number| objects.push(node(&format!("worker-{number}"), "worker", old, &[])));
    (0..2).for_each(|number| objects.push(node(&format!("infra-{number}"), "infra", infra_old, &[])));
    for (name, has) in [(master, true), (new, true), (old, false), (infra_new, true), (infra_old, false)] {
        objects.push(rendered(name, has.then_some(&now)));
    }
    objects
}

#[test]
fn it_is_in_the_middle_of_a_rollout() {
    if std::env::var_os("BLESS").is_some() {
        let documents =
            objects().iter().map(|object| format!("---\n{}", files::yaml::emit(object))).collect::<String>();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
        return fs::write(path, HEAD.to_string() + documents.strip_prefix("---\n").unwrap()).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"))
        .args(["rollout", "--example", "-o", "json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let pools = document["pools"].as_array().unwrap().iter();
    let pools: Vec<Value> = pools.map(|pool| json!([pool["name"], pool["state"], pool["haveChange"]])).collect();
    // Where this differs, the example cluster has changed: see above.
    assert_eq!(
        pools,
        [json!(["master", "Done", 3]), json!(["worker", "Progressing", 1]), json!(["infra", "Stuck", 0])]
    );
}
