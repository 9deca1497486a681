//! What `rollout --watch` costs on a big cluster (docs/performance.md): `cargo build --release`, then
//! `cargo test --test rollout_load -- --ignored --nocapture`.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::controlplane::{ControlPlane, Options};
use support::operator::{Cluster, Operator};

const NODES: usize = 1000;
const CHANGES_A_SECOND: u32 = 10;
const SECONDS: u32 = 60;

/// A kubelet lists fifty images with their digests and tags: most of what a Node is.
fn images() -> Value {
    let image = |number: usize| {
        let name = format!("quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:{number:064x}");
        json!({"names": [name, format!("quay.io/openshift-release-dev/ocp-v4.0-art-dev:{number}")], "sizeBytes": 512_345_678})
    };
    (0..50).map(image).collect()
}

/// Processor time in clock ticks (a hundredth of a second each), and the most memory in KiB.
fn cost(process: u32) -> (u64, u64) {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    (ticks, peak.trim().trim_end_matches(" kB").parse().unwrap())
}

#[test]
#[ignore = "takes minutes and measures the release build"]
fn a_thousand_nodes() {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("release/oc-imagepolicy");
    assert!(program.exists(), "first: cargo build --release");
    let server = ControlPlane::start(Options::default());
    let cluster = Cluster { pools: vec![("master".into(), 3), ("worker".into(), NODES)], ..Cluster::default() };
    let operator = Operator::install(&server, &cluster, "");
    let status = json!({"status": {"images": images()}});
    (0..NODES).for_each(|node| _ = operator.patch(&format!("/api/v1/nodes/worker-{node}/status"), &status));
    let size = operator.get("/api/v1/nodes/worker-0").to_string().len();

    let mut command = Command::new(program);
    command.args(["rollout", "--watch"]).env("KUBECONFIG", server.kubeconfig("admin")).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(10));
    let (before, peak_at_start) = cost(child.id());
    let begin = Instant::now();
    for change in 0..SECONDS * CHANGES_A_SECOND {
        let state = if (change / NODES as u32).is_multiple_of(2) { "Working" } else { "Done" };
        operator.annotate(&format!("worker-{}", change as usize % NODES), &[("state", state)]);
        let due = Duration::from_secs(1) / CHANGES_A_SECOND * (change + 1);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
    }
    let seconds = begin.elapsed().as_secs_f64();
    let (after, peak) = cost(child.id());
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8_lossy(&output.stdout).lines().count();
    let share = (after - before) as f64 / seconds;
    println!(
        "{NODES} nodes of {size} bytes, {CHANGES_A_SECOND} changes a second for {seconds:.0} s: {share:.1} % of a core, \
         {} MiB at most ({} MiB once all was read), start {} ms of processor time, {lines} lines",
        peak / 1024,
        peak_at_start / 1024,
        before * 10,
    );
    assert!(lines > (SECONDS * CHANGES_A_SECOND) as usize, "it did not see the changes");
    assert!(share < 5.0 && peak < 64 << 10);
}
