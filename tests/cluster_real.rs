//! Reading from a real kube-apiserver with the OpenShift CRDs: all kinds, pages, who may see what, both served versions.

mod support;

use std::time::{Duration, Instant};

use oc_imagepolicy::cluster::{ConnectionArgs, Environment, block_on_read, connect_in};
use oc_imagepolicy::error::{Error, Result};
use oc_imagepolicy::snapshot::{GapReason, KINDS, Kind, Snapshot};
use serde::Deserialize as _;
use serde_json::{Value, json};
use support::controlplane::{ControlPlane, Options};

const KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrPQotLS0tLUVORCBQVUJMSUMgS0VZLS0tLS0K";

fn args(cluster: &ControlPlane, user: &str) -> ConnectionArgs {
    ConnectionArgs { kubeconfig: Some(cluster.kubeconfig(user).into()), ..ConnectionArgs::default() }
}

fn read_with(args: &ConnectionArgs, needs: &[Kind], namespace: Option<&str>) -> Result<Snapshot> {
    block_on_read(&connect_in(args, &Environment::default())?, needs, namespace)
}

fn all_kinds() -> Vec<Kind> {
    KINDS.iter().map(|info| info.kind).collect()
}

/// The API server takes a moment to notice a new role.
fn eventually<T>(mut attempt: impl FnMut() -> std::result::Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(why) if begin.elapsed() > Duration::from_secs(20) => panic!("{why}"),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn policy(kind: &str, version: &str, namespace: Option<&str>, name: &str, scope: &str) -> Value {
    let mut object = json!({
        "apiVersion": format!("config.openshift.io/{version}"), "kind": kind, "metadata": {"name": name},
        "spec": {"scopes": [scope], "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": KEY}}}},
    });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

fn machine_config(name: &str, labels: Value, bytes: usize) -> Value {
    let contents = format!("data:,{}", "x".repeat(bytes));
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
        "metadata": {"name": name, "labels": labels},
        "spec": {"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/x", "contents": {"source": contents}}]}}},
    })
}

fn role_of_worker() -> Value {
    json!({"machineconfiguration.openshift.io/role": "worker"})
}

/// One object of every kind, and what must not be read beside it.
fn load_one_of_each(cluster: &ControlPlane) {
    let config = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "config.openshift.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let mirrors = json!([{"source": "a.example.com/x", "mirrors": ["b.example.com/x"]}]);
    let objects = [
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
        config("Image", "cluster", json!({"registrySources": {"allowedRegistries": ["a.example.com"]}})),
        policy("ClusterImagePolicy", "v1", None, "each", "a.example.com/x"),
        policy("ImagePolicy", "v1", Some("shop"), "web", "a.example.com/x/web"),
        policy("ImagePolicy", "v1", Some("default"), "other", "a.example.com/x/other"),
        config("ImageDigestMirrorSet", "each", json!({"imageDigestMirrors": mirrors})),
        config("ImageTagMirrorSet", "each", json!({"imageTagMirrors": mirrors})),
        json!({"apiVersion": "operator.openshift.io/v1alpha1", "kind": "ImageContentSourcePolicy", "metadata": {"name": "each"},
               "spec": {"repositoryDigestMirrors": mirrors}}),
        config("ClusterVersion", "version", json!({"clusterID": "7d8c1a4e-6a7a-4bc5-8f4d-111111111111"})),
        config("FeatureGate", "cluster", json!({})),
        config("Infrastructure", "cluster", json!({"platformSpec": {}})),
        json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool", "metadata": {"name": "worker"},
               "spec": {"machineConfigSelector": {"matchLabels": role_of_worker()}, "configuration": {"name": "rendered-worker-now"}}}),
        machine_config("99-worker-something", role_of_worker(), 10),
        machine_config("50-odd", json!({"mine": "yes"}), 10),
        machine_config("rendered-worker-now", json!({}), 1_000_000),
        machine_config("rendered-worker-node", json!({}), 10),
        machine_config("rendered-worker-before", json!({}), 1_000_000),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "annotations": {
               "machineconfiguration.openshift.io/currentConfig": "rendered-worker-node",
               "hostile": "\u{1b}[31mred\u{0}\u{202e}"}}}),
        json!({"apiVersion": "operator.openshift.io/v1", "kind": "MachineConfiguration", "metadata": {"name": "cluster"},
               "spec": {"managementState": "Managed"}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "shop"}}),
        pod("web-1", "a.example.com/x/web:v1"),
    ];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    cluster.apply(&list.to_string());
}

fn pod(name: &str, image: &str) -> Value {
    let containers = json!([{"name": "c", "image": image, "env": [{"name": "X", "value": "y"}]}]);
    let init = json!([{"name": "i", "image": "a.example.com/x/init"}]);
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"},
           "spec": {"containers": containers, "initContainers": init, "automountServiceAccountToken": false}})
}

/// What kubectl shows of one object, the truth to compare with.
fn shown(cluster: &ControlPlane, kind: Kind, namespace: &str, name: &str) -> Value {
    let info = kind.info();
    let resource =
        if info.group.is_empty() { info.plural.to_string() } else { format!("{}.{}", info.plural, info.group) };
    let mut args = vec!["get", &resource, name, "-o", "json", "--show-managed-fields"];
    if !namespace.is_empty() {
        args.extend(["-n", namespace]);
    }
    let output = cluster.kubectl(&args);
    assert!(output.status.success(), "{resource} {name}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn raws(snapshot: &Snapshot) -> Vec<&Value> {
    let mut raws: Vec<&Value> = Vec::new();
    raws.extend(snapshot.image.iter().map(|object| &object.raw));
    raws.extend(
        snapshot
            .cluster_image_policies
            .iter()
            .map(|object| &object.raw)
            .filter(|raw| raw["metadata"]["name"] == "each"),
    );
    raws.extend(snapshot.image_policies.iter().map(|object| &object.raw));
    raws.extend(snapshot.mirror_sets().map(|(_, object)| &object.raw));
    raws.extend(snapshot.cluster_version.iter().map(|object| &object.raw));
    raws.extend(snapshot.feature_gate.iter().map(|object| &object.raw));
    raws.extend(snapshot.infrastructure.iter().map(|object| &object.raw));
    raws.extend(snapshot.pools.iter().map(|object| &object.raw));
    raws.extend(snapshot.machine_configs.iter().map(|object| &object.raw));
    raws.extend(snapshot.controller_config.iter().map(|object| &object.raw));
    raws.extend(snapshot.nodes.iter().map(|object| &object.raw));
    raws.extend(snapshot.machine_configuration.iter().map(|object| &object.raw));
    raws
}

/// `Kind/namespace/name` of everything but the 1,200 policies of another test.
fn inventory(snapshot: &Snapshot) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    raws(snapshot)
        .iter()
        .map(|raw| {
            format!("{}/{}/{}", text(&raw["kind"]), text(&raw["metadata"]["namespace"]), text(&raw["metadata"]["name"]))
        })
        .collect()
}

const EACH: [&str; 17] = [
    "Image//cluster",
    "ClusterImagePolicy//each",
    "ImagePolicy/default/other",
    "ImagePolicy/shop/web",
    "ImageDigestMirrorSet//each",
    "ImageContentSourcePolicy//each",
    "ImageTagMirrorSet//each",
    "ClusterVersion//version",
    "FeatureGate//cluster",
    "Infrastructure//cluster",
    "MachineConfigPool//worker",
    "MachineConfig//50-odd",
    "MachineConfig//99-worker-something",
    "MachineConfig//rendered-worker-node",
    "MachineConfig//rendered-worker-now",
    "Node//n1",
    "MachineConfiguration//cluster",
];

fn bind(user: &str, role: &str) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": format!("{user}-{role}")},
           "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
           "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]})
}

const RBAC: &str = include_str!("../docs/rbac.yaml");

#[test]
fn one_cluster_seen_by_many() {
    let cluster = ControlPlane::shared();
    load_one_of_each(cluster);

    // The administrator sees everything, exactly as the server has it.
    let snapshot = read_with(&args(cluster, "admin"), &all_kinds(), None).unwrap();
    assert_eq!(snapshot.gaps, []);
    assert_eq!(inventory(&snapshot), EACH);
    assert!(all_kinds().iter().all(|kind| snapshot.has_read(*kind)));
    for raw in raws(&snapshot) {
        let kind = Kind::named(raw["kind"].as_str().unwrap()).unwrap();
        let namespace = raw["metadata"]["namespace"].as_str().unwrap_or_default();
        assert_eq!(*raw, shown(cluster, kind, namespace, raw["metadata"]["name"].as_str().unwrap()));
    }

    // Of pods, the images: the server has written the default of the second one's policy.
    let [pod] = &*snapshot.pods else { panic!("{:?}", snapshot.pods) };
    assert_eq!(pod.reference.to_string(), "Pod/shop/web-1");
    let containers: Vec<(String, &str, bool)> =
        pod.containers.iter().map(|container| (container.path(), &*container.image, container.may_be_cached)).collect();
    let expected = [("containers", "a.example.com/x/web:v1", true), ("initContainers", "a.example.com/x/init", false)];
    assert_eq!(containers, expected.map(|(list, image, cached)| (format!("spec.{list}[0].image"), image, cached)));

    // So does one who shows a client certificate, and one with the documented role.
    let by_certificate = read_with(&args(cluster, "certificate"), &all_kinds(), None).unwrap();
    assert_eq!(raws(&by_certificate), raws(&snapshot));
    cluster.apply(RBAC);
    cluster.apply(&bind("reader", "oc-imagepolicy-reader").to_string());
    let by_reader = eventually(|| match read_with(&args(cluster, "reader"), &all_kinds(), None) {
        Ok(snapshot) if snapshot.gaps.is_empty() => Ok(snapshot),
        other => Err(format!("{:?}", other.map(|snapshot| snapshot.gaps))),
    });
    assert_eq!(raws(&by_reader), raws(&snapshot));
    assert_eq!(by_reader.pods.len(), 1);

    // Or one who is that one for a moment.
    let as_reader = ConnectionArgs { as_user: Some("reader".into()), ..args(cluster, "admin") };
    assert_eq!(raws(&read_with(&as_reader, &all_kinds(), None).unwrap()), raws(&snapshot));
    let as_admin = ConnectionArgs { as_user: Some("admin".into()), ..args(cluster, "reader") };
    let error = read_with(&as_admin, &all_kinds(), None).unwrap_err().to_string();
    assert!(error.contains("User \"reader\" cannot impersonate"), "{error}");

    // A tenant sees some, and is told what is missing.
    let rules = json!([
        {"apiGroups": ["config.openshift.io"], "resources": ["clusterimagepolicies"], "verbs": ["list"]},
        {"apiGroups": ["config.openshift.io"], "resources": ["images"], "verbs": ["get"]},
    ]);
    let own = json!([{"apiGroups": ["config.openshift.io"], "resources": ["imagepolicies"], "verbs": ["list"]}]);
    let some = [
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "some"}, "rules": rules}),
        bind("partial", "some"),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "own", "namespace": "shop"}, "rules": own}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "own", "namespace": "shop"},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "own"},
               "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "partial"}]}),
    ];
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": some}).to_string());
    let needs = [Kind::Image, Kind::ClusterImagePolicy, Kind::ImagePolicy, Kind::MachineConfig, Kind::Node];
    let partial = eventually(|| match read_with(&args(cluster, "partial"), &needs, Some("shop")) {
        Ok(snapshot) if snapshot.image_policies.len() == 1 && snapshot.image.is_some() => Ok(snapshot),
        other => Err(format!("{:?}", other.map(|snapshot| snapshot.gaps))),
    });
    assert_eq!(inventory(&partial), ["Image//cluster", "ClusterImagePolicy//each", "ImagePolicy/shop/web"]);
    let missing: Vec<(Kind, GapReason)> = partial.gaps.iter().map(|gap| (gap.kind, gap.reason)).collect();
    assert_eq!(missing, [Kind::ImagePolicy, Kind::MachineConfig, Kind::Node].map(|kind| (kind, GapReason::Forbidden)));
    assert!(
        partial.gaps[0].message.starts_with("only those of namespace shop were read: "),
        "{}",
        partial.gaps[0].message
    );
    assert!(
        partial.gaps[2].message.contains("User \"partial\" cannot list resource \"nodes\""),
        "{}",
        partial.gaps[2].message
    );
    let elsewhere = read_with(&args(cluster, "partial"), &needs, Some("default")).unwrap();
    assert!(elsewhere.image_policies.is_empty() && !elsewhere.has_read(Kind::ImagePolicy));

    // Nobody sees nothing, and is told so.
    let error = read_with(&args(cluster, "nobody"), &all_kinds(), Some("shop")).unwrap_err();
    assert!(error.to_string().contains("you may read nothing of what this needs: "), "{error}");
    assert!(error.to_string().contains("User \"nobody\" cannot"), "{error}");
    assert!(error.hint().contains("docs/rbac.yaml"), "{}", error.hint());
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn twelve_hundred_policies_come_through_paging() {
    let cluster = ControlPlane::shared();
    let name = |number: usize| format!("many-{number:04}");
    let items: Vec<Value> = (0..1200)
        .map(|number| policy("ClusterImagePolicy", "v1", None, &name(number), &format!("r{number}.example.com")))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let output = cluster.kubectl_in(&["create", "-f", "-"], &list.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected: Vec<String> = (0..1200).map(name).collect();
    for chunk_size in [500, 7, 0] {
        let args = ConnectionArgs { chunk_size, ..args(cluster, "admin") };
        let snapshot = read_with(&args, &[Kind::ClusterImagePolicy], None).unwrap();
        let names = snapshot.cluster_image_policies.iter().map(|policy| policy.metadata.name.clone());
        assert_eq!(names.filter(|name| name.starts_with("many-")).collect::<Vec<_>>(), expected, "{chunk_size}");
    }
}

#[test]
fn who_the_server_is_gets_checked() {
    let cluster = ControlPlane::shared();
    let needs = [Kind::Image];
    let admin = || args(cluster, "admin");
    let refused = |args: ConnectionArgs, message: &str, hint: &str| {
        let error = read_with(&args, &needs, None).unwrap_err();
        assert!(matches!(error, Error::Cluster { .. }), "{error:?}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().contains(hint), "{}", error.hint());
    };
    refused(
        ConnectionArgs { token: Some("expired".into()), ..admin() },
        "401 Unauthorized",
        &format!("oc login {}", cluster.url),
    );
    refused(
        ConnectionArgs { tls_server_name: Some("elsewhere.lab".into()), ..admin() },
        "another name",
        "--tls-server-name",
    );
    let only_server = ConnectionArgs {
        server: Some(cluster.url.clone()),
        token: Some(cluster.tokens["admin"].clone()),
        ..ConnectionArgs::default()
    };
    refused(only_server.clone(), "cannot be trusted", "--certificate-authority");
    refused(
        ConnectionArgs { server: Some(cluster.url.replace("https", "http")), ..admin() },
        "400 Bad Request",
        "oc whoami",
    );
    for args in [
        ConnectionArgs { tls_server_name: Some("kubernetes.default.svc".into()), ..admin() },
        ConnectionArgs { insecure_skip_tls_verify: true, ..only_server.clone() },
        ConnectionArgs { certificate_authority: Some(cluster.ca.clone()), ..only_server.clone() },
        ConnectionArgs { server: Some(cluster.url.replace("127.0.0.1", "localhost")), ..admin() },
        ConnectionArgs { server: cluster.url.strip_prefix("https://").map(str::to_string), ..admin() },
        ConnectionArgs { request_timeout: Some("0".into()), ..admin() },
    ] {
        read_with(&args, &needs, None)
            .unwrap_or_else(|error| panic!("{:?} {:?}: {error}", args.server, args.tls_server_name));
    }
}

#[test]
fn an_older_cluster_has_v1alpha1() {
    let cluster = ControlPlane::start(Options { v1alpha1_policies: true });
    cluster.apply(&policy("ClusterImagePolicy", "v1alpha1", None, "old", "a.example.com").to_string());
    let gone = cluster.kubectl(&["delete", "crd", "imagecontentsourcepolicies.operator.openshift.io", "--wait"]);
    assert!(gone.status.success(), "{gone:?}");
    let needs = [Kind::ClusterImagePolicy, Kind::ImagePolicy, Kind::ImageContentSourcePolicy, Kind::Image];
    let snapshot = eventually(|| match read_with(&args(&cluster, "admin"), &needs, None) {
        Ok(snapshot) if snapshot.gaps.len() == 1 => Ok(snapshot),
        other => Err(format!("{:?}", other.map(|snapshot| snapshot.gaps))),
    });
    assert_eq!(&*snapshot.cluster_image_policies[0].reference.api_version, "config.openshift.io/v1alpha1");
    assert!(snapshot.has_read(Kind::ImagePolicy) && snapshot.image_policies.is_empty());
    assert!(snapshot.has_read(Kind::Image) && snapshot.image.is_none());
    assert_eq!(
        (snapshot.gaps[0].kind, snapshot.gaps[0].reason),
        (Kind::ImageContentSourcePolicy, GapReason::NotInstalled)
    );
}

/// The documented role has what is read, and nothing more.
#[test]
fn the_documented_role_is_exact() {
    let roles: Vec<Value> =
        serde_yaml::Deserializer::from_str(RBAC).map(|document| Value::deserialize(document).unwrap()).collect();
    // The second is for writing: tests/apply.rs writes with it.
    let [role, writer] = &*roles else { panic!("{} roles", roles.len()) };
    assert_eq!(role["metadata"]["name"], "oc-imagepolicy-reader");
    assert_eq!(writer["metadata"]["name"], "oc-imagepolicy-writer");
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_string()).collect()
    };
    let mut documented = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                documented.push((group.clone(), resource, texts(&rule["verbs"]), texts(&rule["resourceNames"])));
            }
        }
    }
    let mut needed: Vec<_> = KINDS
        .iter()
        .map(|info| {
            // `rollout --watch` watches all but two, and lists even those of which there is one.
            let verbs: &[&str] = match info.only {
                Some(_) if matches!(info.kind, Kind::ControllerConfig | Kind::MachineConfiguration) => &["get"],
                Some(_) => &["get", "list", "watch"],
                None if info.kind == Kind::MachineConfig => &["get", "list", "watch"],
                None if info.kind.is_workload() => &["list"],
                None => &["list", "watch"],
            };
            let verbs = verbs.iter().map(|verb| verb.to_string()).collect();
            let names = info.only.iter().map(|name| name.to_string()).collect();
            (info.group.to_string(), info.plural.to_string(), verbs, names)
        })
        .collect();
    documented.sort();
    needed.sort();
    assert_eq!(documented, needed);
}
