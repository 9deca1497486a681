//! Everything that can go wrong between an API server and a snapshot. Each fault ends in the right answer, a gap, or an error
//! that says what to do; never in fewer objects without a word.

#[path = "support/http.rs"]
mod http;

use std::time::{Duration, Instant};

use http::{Request, Response, Server};
use oc_imagepolicy::cluster::{Connection, ConnectionArgs, Environment, block_on_read, connect_in};
use oc_imagepolicy::error::Error;
use oc_imagepolicy::snapshot::{GapReason, KINDS, Kind, KindInfo, Snapshot, Source};
use serde_json::{Value, json};

const POLICIES: &str = "/apis/config.openshift.io/v1/clusterimagepolicies";
const IMAGE: &str = "/apis/config.openshift.io/v1/images/cluster";
const CIP: &[Kind] = &[Kind::ClusterImagePolicy];

fn args(server: &Server) -> ConnectionArgs {
    ConnectionArgs { server: Some(server.url.clone()), ..ConnectionArgs::default() }
}

fn connection(server: &Server) -> Connection {
    connect_in(&args(server), &Environment::default()).unwrap()
}

fn read(server: &Server, needs: &[Kind]) -> Result<Snapshot, Error> {
    block_on_read(&connection(server), needs, None)
}

fn prefix(info: &KindInfo) -> String {
    let version = info.versions[0];
    if info.group.is_empty() { format!("/api/{version}") } else { format!("/apis/{}/{version}", info.group) }
}

/// An OpenShift cluster with nothing in it.
fn empty_cluster(request: &Request) -> Response {
    for info in &KINDS {
        let collection = format!("{}/{}", prefix(info), info.plural);
        if request.path() == collection && info.only.is_none() {
            return list(info.kind, &[], "");
        }
        if info.only.is_some_and(|only| request.path() == format!("{collection}/{only}")) {
            return no_object(info.only.unwrap());
        }
    }
    Response::new(404, "404 page not found\n")
}

fn no_object(name: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "reason": "NotFound", "code": 404,
                        "message": format!("\"{name}\" not found"), "details": {"name": name}});
    Response::new(404, status.to_string())
}

fn list(kind: Kind, items: &[Value], next: &str) -> Response {
    Response::json(
        json!({"apiVersion": "x/v1", "kind": format!("{kind}List"), "metadata": {"continue": next, "resourceVersion": "1"}, "items": items}),
    )
}

fn policy(number: usize) -> Value {
    json!({"metadata": {"name": format!("p{number:04}")}, "spec": {"scopes": [format!("r{number}.io")]}})
}

fn names(snapshot: &Snapshot) -> Vec<String> {
    snapshot.cluster_image_policies.iter().map(|policy| policy.metadata.name.clone()).collect()
}

/// A cluster that pages `total` ClusterImagePolicies; a `continue` is the number to go on with.
fn paged(request: &Request, total: usize) -> Response {
    let from: usize = request.query("continue").map_or(0, |text| text.parse().unwrap());
    let limit: usize = request.query("limit").map_or(total, |text| text.parse().unwrap());
    let to = (from + limit).min(total);
    let items: Vec<Value> = (from..to).map(policy).collect();
    list(Kind::ClusterImagePolicy, &items, &if to < total { to.to_string() } else { String::new() })
}

#[track_caller]
fn cluster_error(result: Result<Snapshot, Error>, message: &str, hint: &str) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Cluster { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("http"), "{text}");
    assert!(text.contains(message), "{text}");
    assert!(error.hint().contains(hint), "{}", error.hint());
    assert!(!text.chars().chain(error.hint().chars()).any(char::is_control), "{text:?}");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn an_empty_cluster_is_known_to_be_empty() {
    let server = Server::start(empty_cluster);
    let all: Vec<Kind> = KINDS.iter().map(|info| info.kind).collect();
    let snapshot = read(&server, &all).unwrap();
    assert!(all.iter().all(|kind| snapshot.has_read(*kind)));
    assert_eq!(snapshot.gaps, []);
    assert!(snapshot.is_empty());
    assert_eq!(snapshot.source, Source::Live(server.url.clone()));
}

#[test]
fn only_what_is_needed_is_asked_for() {
    let server = Server::start(empty_cluster);
    let snapshot = read(&server, &[Kind::Image, Kind::Node]).unwrap();
    assert_eq!(server.paths(), ["/api/v1/nodes", IMAGE]);
    assert!(!snapshot.has_read(Kind::ClusterImagePolicy));
    assert!(server.log().iter().all(|request| request.header("user-agent")[0].starts_with("oc-imagepolicy/")));
}

#[test]
fn objects_are_complete_and_in_order() {
    let server = Server::start(|request| match request.path() {
        POLICIES => list(Kind::ClusterImagePolicy, &[policy(2), policy(1)], ""),
        IMAGE => Response::json(json!({"apiVersion": "config.openshift.io/v1", "kind": "Image",
            "metadata": {"name": "cluster"}, "spec": {"registrySources": {"allowedRegistries": ["a.io"]}}})),
        _ => empty_cluster(request),
    });
    let snapshot = read(&server, &[Kind::Image, Kind::ClusterImagePolicy]).unwrap();
    assert_eq!(names(&snapshot), ["p0002", "p0001"]);
    let policy = &snapshot.cluster_image_policies[0];
    assert_eq!(policy.raw["apiVersion"], "config.openshift.io/v1");
    assert_eq!(policy.raw["kind"], "ClusterImagePolicy");
    assert_eq!(&*policy.reference.api_version, "config.openshift.io/v1");
    let image = snapshot.image.unwrap();
    assert_eq!(image.value.spec.registry_sources.allowed_registries, Some(vec!["a.io".to_string()]));
}

#[test]
fn every_page_is_read() {
    let server =
        Server::start(|request| if request.path() == POLICIES { paged(request, 1201) } else { empty_cluster(request) });
    let snapshot = read(&server, CIP).unwrap();
    assert_eq!(names(&snapshot), (0..1201).map(|number| format!("p{number:04}")).collect::<Vec<_>>());
    let asked: Vec<String> = server.log().iter().map(|request| request.target.clone()).collect();
    assert_eq!(
        asked,
        ["?limit=500", "?limit=500&continue=500", "?limit=500&continue=1000"].map(|query| format!("{POLICIES}{query}"))
    );

    let everything = ConnectionArgs { chunk_size: 0, ..args(&server) };
    let snapshot = block_on_read(&connect_in(&everything, &Environment::default()).unwrap(), CIP, None).unwrap();
    assert_eq!(snapshot.cluster_image_policies.len(), 1201);
    assert_eq!(server.log().last().unwrap().target, POLICIES);
}

#[test]
fn an_expired_list_is_begun_anew() {
    let server = Server::start(|request| match request.query("continue") {
        Some("1000") if request.before == 0 => Response::status(410, "The provided continue parameter is too old"),
        _ => paged(request, 1201),
    });
    assert_eq!(read(&server, CIP).unwrap().cluster_image_policies.len(), 1201);
    assert_eq!(server.log().len(), 6);

    // One that always expires is read without pages.
    let server = Server::start(|request| match request.query("continue") {
        Some(_) => Response::status(410, "too old"),
        None => paged(request, 1201),
    });
    assert_eq!(read(&server, CIP).unwrap().cluster_image_policies.len(), 1201);
    assert_eq!(server.log().last().unwrap().query("limit"), None);

    let server = Server::start(|_| Response::status(410, "too old"));
    cluster_error(read(&server, CIP), "keeps expiring", "try again");
}

#[test]
fn a_list_that_does_not_end_is_not_followed() {
    let server = Server::start(|_| list(Kind::ClusterImagePolicy, &[], "again"));
    cluster_error(read(&server, CIP), "leads back to itself", "oc whoami --show-server");
}

#[test]
fn a_page_that_is_too_large_is_asked_for_in_smaller_ones() {
    let server = Server::start(|request| {
        if request.query("limit") == Some("500") {
            let mut items = vec![policy(0)];
            items[0]["metadata"]["annotations"] = json!({"x": "y".repeat(70 << 20)});
            return list(Kind::ClusterImagePolicy, &items, "");
        }
        paged(request, 60)
    });
    let snapshot = read(&server, CIP).unwrap();
    assert_eq!(snapshot.cluster_image_policies.len(), 60);
    let server = Server::start(|_| Response::new(200, " ".repeat(65 << 20)));
    cluster_error(read(&server, &[Kind::Image]), "too large", "must-gather");
}

#[test]
fn a_busy_server_is_waited_for_as_it_asks() {
    let server = Server::start(|request| match request.before {
        0 => Response::status(429, "too many requests").with("retry-after", "1"),
        _ => paged(request, 3),
    });
    let begin = Instant::now();
    assert_eq!(read(&server, CIP).unwrap().cluster_image_policies.len(), 3);
    assert!(begin.elapsed() >= Duration::from_secs(1));

    // Not for an hour.
    let server = Server::start(|_| Response::status(429, "slow down").with("retry-after", "3600"));
    let begin = Instant::now();
    cluster_error(read(&server, CIP), "429 Too Many Requests: slow down, and asks to wait 3600 s", "try again later");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_failing_server_is_asked_again_but_not_for_ever() {
    for status in [500, 502, 503, 504, 429] {
        let server = Server::start(move |request| match request.before {
            0 | 1 => Response::status(status, "etcdserver: request timed out"),
            _ => paged(request, 3),
        });
        assert_eq!(read(&server, CIP).unwrap().cluster_image_policies.len(), 3, "{status}");
        let server = Server::start(move |_| Response::new(status, "<html>\u{1b}[31mbad gateway"));
        cluster_error(read(&server, CIP), &format!("fails 5 times, last with {status}"), "readyz");
        assert_eq!(server.log().len(), 5, "{status}");
    }
}

#[test]
fn a_failure_on_a_later_page_is_no_short_list() {
    for answer in [
        Response::status(500, "x"),
        Response::new(404, "404 page not found\n"),
        Response::new(200, "<html>"),
        Response::status(400, "continue key is not valid"),
    ] {
        let server = Server::start(move |request| match request.query("continue") {
            Some(_) => answer.clone(),
            None => paged(request, 1201),
        });
        read(&server, CIP).unwrap_err();
    }
    let server = Server::start(|request| match request.query("continue") {
        Some(_) => Response::status(403, "no more"),
        None => paged(request, 1201),
    });
    let snapshot = read(&server, &[Kind::ClusterImagePolicy, Kind::Image]);
    // Image is not served there either, so nothing could be read at all.
    snapshot.unwrap_err();
}

#[test]
fn a_cut_connection_is_tried_again() {
    let server = Server::start(|request| match request.before {
        0 => paged(request, 30).cut_after(100),
        1 => paged(request, 30).cut_after(0),
        _ => paged(request, 30),
    });
    assert_eq!(read(&server, CIP).unwrap().cluster_image_policies.len(), 30);
    let server = Server::start(|request| paged(request, 30).cut_after(100));
    cluster_error(read(&server, CIP), "the connection breaks", "try again later");
    assert_eq!(server.log().len(), 5);
}

#[test]
fn a_slow_body_ends_with_the_time_limit() {
    let server = Server::start(|request| paged(request, 30).stall(Duration::from_secs(20)));
    let args = ConnectionArgs { request_timeout: Some("300ms".into()), ..args(&server) };
    let begin = Instant::now();
    let result = block_on_read(&connect_in(&args, &Environment::default()).unwrap(), CIP, None);
    cluster_error(result, &format!("GET {POLICIES} is not there within 0.3 s"), "--request-timeout=");
    assert!(begin.elapsed() < Duration::from_secs(3));

    // Each request has the limit, not all of them together.
    let server = Server::start(|request| paged(request, 4).stall(Duration::from_millis(400)));
    let args = ConnectionArgs {
        request_timeout: Some("1".into()),
        chunk_size: 1,
        ..ConnectionArgs { server: Some(server.url.clone()), ..ConnectionArgs::default() }
    };
    let snapshot = block_on_read(&connect_in(&args, &Environment::default()).unwrap(), CIP, None).unwrap();
    assert_eq!(snapshot.cluster_image_policies.len(), 4);
}

#[test]
fn an_expired_token_is_said_to_be_one() {
    let server = Server::start(|_| Response::status(401, "Unauthorized"));
    let login = format!("oc login {}", server.url);
    cluster_error(read(&server, CIP), "(401 Unauthorized): the kubeconfig has no credentials", &login);
    let args = ConnectionArgs { token: Some("old".into()), ..args(&server) };
    let result = block_on_read(&connect_in(&args, &Environment::default()).unwrap(), CIP, None);
    cluster_error(result, "(401 Unauthorized): the login has expired", &login);
}

#[test]
#[ignore = "the next test runs it in a process of its own"]
fn waits_for_ever() {
    let server = Server::start(|request| empty_cluster(request).stall(Duration::from_secs(60)));
    println!("ready");
    println!("{:?}", read(&server, CIP).unwrap_err());
}

#[cfg(unix)]
#[test]
fn ctrl_c_interrupts() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["waits_for_ever", "--exact", "--ignored", "--nocapture"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0);
    }
    // It listens for the signal once the request is under way.
    std::thread::sleep(Duration::from_millis(500));
    let begin = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    assert!(rest.contains("Interrupted"), "{rest}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_is_forbidden_is_a_gap() {
    let server = Server::start(|request| match request.path() {
        POLICIES => Response::status(403, "clusterimagepolicies is forbidden: User \"tina\"\u{1b}[2J cannot list"),
        _ => empty_cluster(request),
    });
    let snapshot = read(&server, &[Kind::ClusterImagePolicy, Kind::Image]).unwrap();
    assert!(snapshot.has_read(Kind::Image));
    assert!(!snapshot.has_read(Kind::ClusterImagePolicy));
    assert_eq!(snapshot.gaps.len(), 1);
    assert_eq!((snapshot.gaps[0].kind, snapshot.gaps[0].reason), (Kind::ClusterImagePolicy, GapReason::Forbidden));
    assert_eq!(snapshot.gaps[0].message, "clusterimagepolicies is forbidden: User \"tina\" [2J cannot list");

    let server = Server::start(|_| Response::status(403, "User \"nobody\" cannot"));
    cluster_error(read(&server, &[Kind::ClusterImagePolicy, Kind::Image]), "you may read nothing", "docs/rbac.yaml");
}

#[test]
fn a_tenant_gets_the_policies_of_its_namespace() {
    let own = "/apis/config.openshift.io/v1/namespaces/shop/imagepolicies";
    let answer = move |request: &Request| match request.path() {
        "/apis/config.openshift.io/v1/imagepolicies" => Response::status(403, "cannot list at the cluster scope"),
        path if path == own => {
            let mut policy = policy(1);
            policy["metadata"]["namespace"] = "shop".into();
            list(Kind::ImagePolicy, &[policy], "")
        }
        path if path.contains("/namespaces/") => Response::status(403, "cannot list in namespace"),
        _ => empty_cluster(request),
    };
    let server = Server::start(answer);
    let needs = [Kind::ImagePolicy, Kind::ClusterImagePolicy];
    let snapshot = block_on_read(&connection(&server), &needs, Some("shop")).unwrap();
    assert_eq!(snapshot.image_policies.len(), 1);
    assert!(snapshot.has_read(Kind::ImagePolicy));
    assert_eq!(snapshot.gaps.len(), 1);
    assert_eq!(snapshot.gaps[0].reason, GapReason::Forbidden);
    assert!(
        snapshot.gaps[0].message.starts_with("only those of namespace shop were read"),
        "{}",
        snapshot.gaps[0].message
    );

    for namespace in [None, Some("other"), Some("../../pods")] {
        let snapshot = block_on_read(&connection(&server), &needs, namespace).unwrap();
        assert!(!snapshot.has_read(Kind::ImagePolicy), "{namespace:?}");
        assert_eq!(snapshot.gaps.len(), 1, "{namespace:?}");
    }
    assert!(!server.paths().iter().any(|path| path.contains("..")), "{:?}", server.paths());
}

/// As the API server has it: most of it is of no concern.
fn pod(number: usize, padding: &str) -> Value {
    let phase = if number % 10 == 9 { "Succeeded" } else { "Running" };
    json!({
        "metadata": {"name": format!("p{number:05}"), "namespace": "shop", "annotations": {"x": padding}, "managedFields": [{"f:spec": {}}]},
        "spec": {"containers": [{"name": "c", "image": "a.io/x", "imagePullPolicy": "Always", "env": [{"name": "X", "value": padding}]}]},
        "status": {"phase": phase, "startTime": "2026-01-01T00:00:00Z",
                   "containerStatuses": [{"name": "c", "imageID": "a.io/x@sha256:0", "state": {"running": {}}}]},
    })
}

const PODS: &str = "/api/v1/pods";

fn paged_pods(request: &Request, total: usize, padding: &str) -> Response {
    let from: usize = request.query("continue").map_or(0, |text| text.parse().unwrap());
    let to = (from + request.query("limit").map_or(total, |text| text.parse::<usize>().unwrap())).min(total);
    let items: Vec<Value> = (from..to).map(|number| pod(number, padding)).collect();
    list(Kind::Pod, &items, &if to < total { to.to_string() } else { String::new() })
}

#[test]
fn pods_come_in_small_pages_and_little_of_them_is_kept() {
    let server = Server::start(|request| match (request.path(), request.query("continue")) {
        // One that expires half-way is begun anew, and no pod is there twice.
        (PODS, Some("1000")) if request.before == 0 => Response::status(410, "too old"),
        (PODS, _) => paged_pods(request, 1201, &"y".repeat(1000)),
        _ => empty_cluster(request),
    });
    let snapshot = read(&server, &[Kind::Pod, Kind::PinnedImageSet]).unwrap();
    assert_eq!(snapshot.gaps, []);
    assert!(snapshot.has_read(Kind::Pod) && snapshot.has_read(Kind::PinnedImageSet));
    assert_eq!((snapshot.pods.len(), snapshot.objects()), (1081, 1201));
    let last = snapshot.pods.last().unwrap();
    assert_eq!(last.reference.to_string(), "Pod/shop/p01200");
    assert_eq!(last.started.as_ref(), "2026-01-01T00:00:00Z");
    assert_eq!(last.containers.len(), 1);
    let container = &last.containers[0];
    assert_eq!((&*container.image, &*container.image_id), ("a.io/x", "a.io/x@sha256:0"));
    assert!(!container.may_be_cached);
    let pages = server.log().iter().filter(|request| request.path() == PODS).count();
    assert_eq!(pages, 10);
    assert!(server.log().iter().all(|request| request.path() != PODS || request.query("limit") == Some("250")));

    // A smaller page that was asked for counts.
    let args = ConnectionArgs { chunk_size: 100, ..args(&server) };
    let few = block_on_read(&connect_in(&args, &Environment::default()).unwrap(), &[Kind::Pod], None).unwrap();
    assert_eq!(few.pods.len(), 1081);
    assert_eq!(server.log().last().unwrap().query("limit"), Some("100"));
}

#[test]
fn pods_that_may_not_be_seen_or_make_no_sense_are_gaps() {
    let answer = |request: &Request| match request.path() {
        PODS => Response::status(403, "cannot list pods at the cluster scope"),
        "/api/v1/namespaces/shop/pods" => paged_pods(request, 3, ""),
        _ => empty_cluster(request),
    };
    let server = Server::start(answer);
    let needs = [Kind::Pod, Kind::Image];
    let snapshot = block_on_read(&connection(&server), &needs, Some("shop")).unwrap();
    assert_eq!((snapshot.pods.len(), snapshot.gaps.len()), (3, 1));
    assert!(snapshot.gaps[0].message.starts_with("only those of namespace shop were read"), "{:?}", snapshot.gaps);
    let snapshot = read(&server, &needs).unwrap();
    assert_eq!((snapshot.has_read(Kind::Pod), snapshot.gaps.len()), (false, 1));

    let server = Server::start(|request| match request.path() {
        PODS => {
            list(Kind::Pod, &[json!({"metadata": {"name": "odd"}, "spec": {"containers": "many"}}), pod(1, "")], "")
        }
        _ => empty_cluster(request),
    });
    let snapshot = read(&server, &needs).unwrap();
    assert_eq!((snapshot.pods.len(), snapshot.undecodable.len()), (1, 1));
    assert_eq!((snapshot.gaps[0].kind, snapshot.gaps[0].reason), (Kind::Pod, GapReason::Undecodable));

    for nonsense in [json!([7]), json!([{}]), json!([{"kind": "Secret", "metadata": {"name": "a"}}])] {
        let server = Server::start(move |_| {
            Response::json(json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": nonsense}))
        });
        cluster_error(read(&server, &[Kind::Pod]), "lists something that is no Pod", "oc whoami --show-server");
    }
}

/// Releases before it have nothing in the place of PinnedImageSet, so that nothing is missing.
#[test]
fn a_cluster_without_pinned_image_sets_lacks_nothing() {
    let server = Server::start(|request| match request.path() {
        path if path.ends_with("/pinnedimagesets") => Response::new(404, "404 page not found\n"),
        _ => empty_cluster(request),
    });
    let snapshot = read(&server, &[Kind::PinnedImageSet, Kind::Image]).unwrap();
    assert_eq!(snapshot.gaps, []);
    assert!(snapshot.has_read(Kind::PinnedImageSet) && snapshot.pinned_image_sets.is_empty());
}

#[test]
fn an_older_cluster_is_asked_for_the_older_version() {
    let server = Server::start(|request| match request.path() {
        POLICIES => Response::status(404, "the server could not find the requested resource"),
        "/apis/config.openshift.io/v1alpha1/clusterimagepolicies" => list(Kind::ClusterImagePolicy, &[policy(1)], ""),
        "/apis/config.openshift.io/v1/imagepolicies" => Response::new(404, "404 page not found\n"),
        _ => empty_cluster(request),
    });
    let snapshot = read(&server, &[Kind::ClusterImagePolicy, Kind::ImagePolicy, Kind::Image]).unwrap();
    assert_eq!(&*snapshot.cluster_image_policies[0].reference.api_version, "config.openshift.io/v1alpha1");
    assert_eq!(snapshot.gaps.len(), 1);
    assert_eq!((snapshot.gaps[0].kind, snapshot.gaps[0].reason), (Kind::ImagePolicy, GapReason::NotInstalled));
    assert!(snapshot.gaps[0].message.contains("does not have imagepolicies.config.openshift.io"));
    assert!(snapshot.has_read(Kind::Image) && !snapshot.has_read(Kind::ImagePolicy));
}

#[test]
fn a_cluster_that_is_not_openshift_is_said_to_be_one() {
    let server = Server::start(|request| match request.path() {
        "/api/v1/nodes" => list(Kind::Node, &[], ""),
        _ => Response::new(404, "404 page not found\n"),
    });
    let all: Vec<Kind> = KINDS.iter().map(|info| info.kind).collect();
    cluster_error(read(&server, &all), "not an OpenShift cluster", "--context");
}

#[test]
fn nonsense_is_no_answer() {
    let html = "<!DOCTYPE html>\u{1b}[31m<title>Log in</title>";
    for (answer, message) in [
        (
            Response::new(200, html).with("content-type", "text/html"),
            "is not JSON, which begins with \"<!DOCTYPE html> [31m<title>",
        ),
        (Response::new(200, ""), "is not JSON"),
        (Response::new(200, "[]"), "is not JSON"),
        (Response::new(200, "{"), "ends in the middle"),
        (Response::new(200, "{\"kind\": \"ClusterImagePolicyList\", \"items\": [{\"a\""), "ends in the middle"),
        (Response::new(200, vec![b'{', 0xff, 0xfe]), "is not JSON"),
        (Response::new(200, "{\"a\":".repeat(100_000)), "ends in the middle"),
        (
            Response::new(200, format!("{{\"kind\": \"ClusterImagePolicyList\", \"items\": {}", "[".repeat(100_000))),
            "recursion limit exceeded",
        ),
        (Response::json(json!({})), "is not what was asked for"),
        (Response::json(json!({"kind": "ClusterImagePolicyList", "metadata": {}})), "missing field `items`"),
        (Response::json(json!({"kind": "ClusterImagePolicyList", "items": {}})), "is not what was asked for"),
        (Response::json(json!({"kind": "Status", "items": []})), "is not a list of clusterimagepolicies"),
        (Response::json(json!({"kind": "ImagePolicyList", "items": []})), "is not a list of clusterimagepolicies"),
        (
            Response::json(json!({"kind": "PartialObjectMetadataList", "items": []})),
            "is not a list of clusterimagepolicies",
        ),
        (Response::json(json!({"kind": "ClusterImagePolicyList", "items": [{}]})), "lists something"),
        (Response::json(json!({"kind": "ClusterImagePolicyList", "items": [7]})), "lists something"),
        (
            Response::json(
                json!({"kind": "ClusterImagePolicyList", "items": [{"kind": "Secret", "metadata": {"name": "a"}}]}),
            ),
            "lists something",
        ),
        (
            Response::new(302, "").with("location", "https://sso.corp/login"),
            "is a redirection to \"https://sso.corp/login\"",
        ),
        (Response::new(403, html), "has status 403 Forbidden"),
        (Response::new(404, html), "has status 404 Not Found"),
        (Response::new(407, html), "has status 407"),
        (Response::new(204, ""), "has status 204"),
    ] {
        let server = Server::start(move |_| answer.clone());
        cluster_error(read(&server, CIP), message, "HTTPS_PROXY");
    }
    let server = Server::start(|_| Response::status(400, "bad\u{7} request"));
    cluster_error(read(&server, CIP), "400 Bad Request: bad request", "oc get --raw /version");
    for (answer, message) in [
        (json!({"kind": "Image", "metadata": {"name": "other"}}), "is not the Image asked for"),
        (json!({"kind": "Secret", "metadata": {"name": "cluster"}}), "is not the Image asked for"),
        (json!({"kind": "Image"}), "is not the Image asked for"),
    ] {
        let server = Server::start(move |_| Response::json(answer.clone()));
        cluster_error(read(&server, &[Kind::Image]), message, "HTTPS_PROXY");
    }
}

#[test]
fn the_same_object_twice_with_other_contents_makes_no_sense() {
    let server = Server::start(|_| {
        let mut second = policy(1);
        second["spec"] = json!({"scopes": ["other.io"]});
        list(Kind::ClusterImagePolicy, &[policy(1), second], "")
    });
    cluster_error(read(&server, CIP), "makes no sense", "oc get clusterimagepolicies.config.openshift.io");
}

#[test]
fn an_object_that_cannot_be_decoded_is_a_gap() {
    let server = Server::start(|_| {
        list(Kind::ClusterImagePolicy, &[json!({"metadata": {"name": "odd"}, "spec": {"scopes": 7}}), policy(1)], "")
    });
    let snapshot = read(&server, CIP).unwrap();
    assert_eq!(names(&snapshot), ["p0001"]);
    assert_eq!(snapshot.gaps[0].reason, GapReason::Undecodable);
}

#[test]
fn warnings_are_kept_once() {
    let server = Server::start(|request| {
        empty_cluster(request)
            .with("warning", "299 - \"config.openshift.io/v1 is \u{9b}31mold\"")
            .with("warning", &format!("299 - \"{}\"", if request.path() == IMAGE { "a, \\\"b\\\"" } else { "c" }))
    });
    let mut warnings = read(&server, &[Kind::Image, Kind::ClusterImagePolicy]).unwrap().warnings;
    warnings.sort();
    assert_eq!(warnings, ["a, \"b\"", "c", "config.openshift.io/v1 is 31mold"]);
}

#[test]
fn who_one_is_stands_in_the_headers() {
    let server = Server::start(empty_cluster);
    let args = ConnectionArgs {
        token: Some("sha256~abc".into()),
        as_user: Some("tina".into()),
        as_group: vec!["one".into(), "two".into()],
        as_uid: Some("7".into()),
        ..args(&server)
    };
    block_on_read(&connect_in(&args, &Environment::default()).unwrap(), &[Kind::Image], None).unwrap();
    let request = server.log().remove(0);
    assert_eq!(request.header("authorization"), ["Bearer sha256~abc"]);
    assert_eq!(request.header("impersonate-user"), ["tina"]);
    assert_eq!(request.header("impersonate-group"), ["one", "two"]);
    assert_eq!(request.header("impersonate-uid"), ["7"]);
    assert_eq!(request.header("accept"), ["application/json"]);

    read(&server, &[Kind::Image]).unwrap();
    let request = server.log().remove(1);
    assert!(request.header("authorization").is_empty() && request.header("impersonate-user").is_empty());
}

#[test]
fn nobody_at_home() {
    // Bound and closed again: nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let args = |server: String| ConnectionArgs {
        server: Some(server),
        insecure_skip_tls_verify: true,
        ..ConnectionArgs::default()
    };
    let read = |server: String| block_on_read(&connect_in(&args(server), &Environment::default()).unwrap(), CIP, None);
    let begin = Instant::now();
    cluster_error(read(format!("https://127.0.0.1:{port}")), "connection refused", "oc config view --minify");
    assert!(begin.elapsed() < Duration::from_secs(2));

    // Somebody takes the call and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let hurried = ConnectionArgs { request_timeout: Some("400ms".into()), ..args(url) };
    let begin = Instant::now();
    let error =
        block_on_read(&connect_in(&hurried, &Environment::default()).unwrap(), CIP, None).unwrap_err().to_string();
    assert!(error.contains("cannot be reached in time") || error.contains("within 0.4 s"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(2));

    let plain = Server::start(empty_cluster);
    let tls = plain.url.replace("http:", "https:");
    cluster_error(read(tls), "does not speak TLS", &plain.url);
}

#[test]
fn a_path_before_the_api_is_kept() {
    let server = Server::start(|request| {
        let inner = Request {
            target: request.target.strip_prefix("/k8s/clusters/c-1").unwrap_or("/").into(),
            ..request.clone()
        };
        empty_cluster(&inner)
    });
    let args =
        ConnectionArgs { server: Some(format!("{}/k8s/clusters/c-1/", server.url)), ..ConnectionArgs::default() };
    let connection = connect_in(&args, &Environment::default()).unwrap();
    assert_eq!(connection.server(), format!("{}/k8s/clusters/c-1", server.url));
    assert!(block_on_read(&connection, CIP, None).unwrap().has_read(Kind::ClusterImagePolicy));
}

#[test]
fn rendered_machine_configs_are_read_only_where_named() {
    let server = Server::start(|request| {
        let config = |name: &str, labelled: bool| {
            let labels = if labelled { json!({"machineconfiguration.openshift.io/role": "worker"}) } else { json!({}) };
            json!({"metadata": {"name": name, "labels": labels}})
        };
        let path = request.path();
        if path.ends_with("/machineconfigpools") {
            let pool = json!({"metadata": {"name": "worker"}, "spec": {"configuration": {"name": "rendered-worker-new"}},
                              "status": {"configuration": {"name": "rendered-worker-old"}}});
            return list(Kind::MachineConfigPool, &[pool], "");
        }
        if path.ends_with("/nodes") {
            let key = "machineconfiguration.openshift.io/currentConfig";
            let node = json!({"metadata": {"name": "n1", "annotations": {key: "rendered-worker-node"}}});
            return list(Kind::Node, &[node], "");
        }
        if path.ends_with("/machineconfigs") {
            let all = [
                "50-unlabelled",
                "99-worker",
                "rendered-worker-gone",
                "rendered-worker-new",
                "rendered-worker-node",
                "rendered-worker-old",
                "rendered-worker-older",
            ];
            if request.query("labelSelector").is_some() {
                return list(Kind::MachineConfig, &[config("99-worker", true)], "");
            }
            assert!(request.header("accept")[0].contains("PartialObjectMetadataList"));
            let items: Vec<Value> = all.iter().map(|name| config(name, *name == "99-worker")).collect();
            return Response::json(json!({"kind": "PartialObjectMetadataList", "metadata": {}, "items": items}));
        }
        match path.strip_prefix("/apis/machineconfiguration.openshift.io/v1/machineconfigs/") {
            Some(name @ "rendered-worker-node") => no_object(name),
            Some(name) => Response::json(json!({"apiVersion": "machineconfiguration.openshift.io/v1",
                "kind": "MachineConfig", "metadata": {"name": name}})),
            None => empty_cluster(request),
        }
    });
    let read_names = |needs: &[Kind]| -> Vec<String> {
        let snapshot = read(&server, needs).unwrap();
        assert_eq!(snapshot.gaps, []);
        snapshot.machine_configs.iter().map(|config| config.metadata.name.clone()).collect()
    };
    assert_eq!(
        read_names(&[Kind::MachineConfig, Kind::MachineConfigPool, Kind::Node]),
        ["50-unlabelled", "99-worker", "rendered-worker-new", "rendered-worker-old"]
    );
    assert_eq!(read_names(&[Kind::MachineConfig]), ["50-unlabelled", "99-worker"]);
}
