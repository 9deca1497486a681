//! `rollout --watch` against servers that say anything: nonsense, too much, nothing, and 410 at every turn.

#[path = "support/http.rs"]
mod http;

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response, Server};
use serde_json::{Value, json};

const GROUP: &str = "machineconfiguration.openshift.io";

fn node(name: &str, current: &str) -> Value {
    json!({"metadata": {"name": name, "resourceVersion": "5", "labels": {"role": "worker"}, "annotations": {
        format!("{GROUP}/currentConfig"): current, format!("{GROUP}/desiredConfig"): current, format!("{GROUP}/state"): "Done"}}})
}

fn pool() -> Value {
    json!({"metadata": {"name": "worker", "resourceVersion": "5"}, "spec": {"configuration": {"name": "rendered-worker-1"},
        "nodeSelector": {"matchLabels": {"role": "worker"}}}, "status": {"configuration": {"name": "rendered-worker-1"}}})
}

fn list(kind: &str, items: &[Value]) -> Response {
    Response::json(json!({"kind": format!("{kind}List"), "metadata": {"resourceVersion": "5"}, "items": items}))
}

/// One pool with what nothing asks for; the nodes say what a test wants.
fn server(nodes: impl Fn(&Request, usize) -> Response + Send + Sync + 'static) -> Server {
    let asked = AtomicUsize::new(0);
    Server::start(move |request| {
        let is_watch = request.query("watch") == Some("true");
        let path = request.path();
        let kind = |plural: &str| path.ends_with(plural);
        if kind("/nodes") {
            let number = if is_watch { asked.fetch_add(1, Ordering::SeqCst) } else { 0 };
            return nodes(request, number);
        }
        if is_watch {
            // Nothing ever happens.
            return Response::new(200, "\n\n").stall(Duration::from_secs(100));
        }
        if path.ends_with("/machineconfigs/rendered-worker-1") {
            return Response::json(json!({"apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfig",
                "metadata": {"name": "rendered-worker-1"}, "spec": {"config": {}}}));
        }
        if kind("/machineconfigpools") {
            return list("MachineConfigPool", &[pool()]);
        }
        if kind("/images/cluster") {
            return Response::json(json!({"apiVersion": "config.openshift.io/v1", "kind": "Image",
                "metadata": {"name": "cluster"}, "spec": {}}));
        }
        for (plural, kind) in [
            ("/machineconfigs", "MachineConfig"),
            ("/clusterimagepolicies", "ClusterImagePolicy"),
            ("/imagepolicies", "ImagePolicy"),
            ("/imagedigestmirrorsets", "ImageDigestMirrorSet"),
            ("/imagetagmirrorsets", "ImageTagMirrorSet"),
            ("/imagecontentsourcepolicies", "ImageContentSourcePolicy"),
            ("/images", "Image"),
            ("/clusterversions", "ClusterVersion"),
            ("/featuregates", "FeatureGate"),
            ("/infrastructures", "Infrastructure"),
        ] {
            if path.ends_with(plural) {
                return list(kind, &[]);
            }
        }
        Response::status(404, "no such thing")
    })
}

fn rollout(server: &Server, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"))
        .args(["rollout", "--server", &server.url])
        .args(arguments)
        .env_clear()
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    (status.code(), String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned())
}

fn line(kind: &str, object: &Value) -> String {
    json!({"type": kind, "object": object}).to_string() + "\n"
}

/// The second node is gone while nobody looked: only a new list can tell.
#[test]
fn what_was_missed_is_found_by_listing_again() {
    for refusal in [
        Response::status(410, "too old"),
        Response::new(200, line("ERROR", &json!({"kind": "Status", "code": 410, "message": "too old"}))),
        Response::new(200, "this is no JSON\n"),
        Response::new(200, line("SURPRISE", &json!({"metadata": {"name": "a"}}))),
    ] {
        let lists = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lists);
        let server = server(move |request, watch| match (request.query("watch"), watch) {
            (None, _) if counted.fetch_add(1, Ordering::SeqCst) == 0 => {
                list("Node", &[node("a", "rendered-worker-1"), node("b", "old")])
            }
            (None, _) => list("Node", &[node("a", "rendered-worker-1")]),
            (_, 0) => refusal.clone(),
            _ => Response::new(200, "\n\n").stall(Duration::from_secs(100)),
        });
        let (code, out, err) = rollout(&server, &["--wait", "--timeout", "20s", "-o", "json"]);
        assert_eq!(code, Some(0), "{out}{err}");
        let document: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(document["nodes"].as_array().unwrap().len(), 1);
        assert_eq!(lists.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn news_of_every_kind_are_taken_in() {
    let server = server(|request, watch| match (request.query("watch"), watch) {
        (None, _) => list("Node", &[json!(7), json!({"metadata": {"labels": 3}}), node("a", "old"), node("b", "old")]),
        (_, 0) => {
            let moved = node("a", "rendered-worker-1");
            let added = node("c", "rendered-worker-1");
            let nonsense = json!({"metadata": {"name": "a", "annotations": 7}});
            let news = [
                line("BOOKMARK", &json!({"metadata": {"resourceVersion": "9"}})),
                line("MODIFIED", &moved),
                line("MODIFIED", &nonsense),
                line("ADDED", &added),
                line("DELETED", &node("b", "old")),
            ];
            // In the middle of a line it takes a break.
            Response::new(200, news.concat()).stall(Duration::from_millis(300))
        }
        // Resumed where it was, bookmarks included.
        _ if request.query("resourceVersion") == Some("5") => {
            Response::new(200, "\n\n").stall(Duration::from_secs(100))
        }
        _ => Response::status(400, "resumed from nowhere"),
    });
    let (code, out, err) = rollout(&server, &["--wait", "--timeout", "20s", "-o", "json"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let document: Value = serde_json::from_str(&out).unwrap();
    let names: Vec<&str> =
        document["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "c"]);
}

/// Nothing of this may end in a panic, an endless loop or a full memory; the time that was given decides.
#[test]
fn hostile_watches_end_with_the_time_that_was_given() {
    let endless = "x".repeat(9 << 20);
    let deep = "[".repeat(100_000) + "\n";
    for (name, response) in [
        ("an endless line", Response::new(200, endless)),
        ("deep nesting", Response::new(200, deep)),
        ("nothing at all", Response::new(200, "")),
        ("busy", Response::new(429, "").with("retry-after", "1")),
        ("in trouble", Response::new(503, "")),
        ("cut", Response::new(200, line("ADDED", &node("z", "old"))).cut_after(20)),
    ] {
        let server = server(move |request, _| match request.query("watch") {
            None => list("Node", &[node("a", "old")]),
            _ => response.clone(),
        });
        let (code, out, err) = rollout(&server, &["--wait", "--timeout", "3s"]);
        assert_eq!(code, Some(2), "{name}: {out}{err}");
        assert!(err.contains("not done within 3 s"), "{name}: {err}");
    }
}

#[test]
fn a_login_that_expires_is_an_error() {
    let server = server(|request, _| match request.query("watch") {
        None => list("Node", &[node("a", "old")]),
        _ => Response::status(401, "Unauthorized"),
    });
    let (code, out, err) = rollout(&server, &["--wait", "--timeout", "20s"]);
    assert_eq!(code, Some(2), "{out}{err}");
    assert!(err.contains("401 Unauthorized") && err.contains("oc login"), "{err}");
}

#[test]
fn an_endless_list_of_nodes_ends() {
    let server = server(|request, _| match request.query("watch") {
        None => {
            let next = request.query("continue").map_or(0, |text| text.parse::<u64>().unwrap_or(0)) % 3 + 1;
            Response::json(
                json!({"kind": "NodeList", "metadata": {"continue": next.to_string(), "resourceVersion": "5"},
                "items": []}),
            )
        }
        _ => Response::new(200, ""),
    });
    let (code, out, err) = rollout(&server, &["--wait", "--timeout", "4s"]);
    assert_eq!(code, Some(2), "{out}{err}");
}
