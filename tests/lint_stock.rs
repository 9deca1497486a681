//! A cluster as OpenShift installs it, release by release, is nothing to warn of; and the catalogue of rules is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oc_imagepolicy::compile::compile;
use oc_imagepolicy::lint::rules::RULES;
use oc_imagepolicy::lint::{self, Context, Level};
use oc_imagepolicy::model::machine_config::{Contents, Form, Member, ROLE, ignition_files, merge};
use oc_imagepolicy::model::release::{RELEASES, Release};
use oc_imagepolicy::snapshot::{Gap, GapReason, KINDS, Kind, Laying, Origin, Snapshot, Source};
use serde_json::{Value, json};

/// An RSA key of 4096 bits like the vendor's, made once with openssl; its private half is gone.
const VENDOR_KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUlJQ0lqQU5CZ2txaGtpRzl3MEJBUUVGQUFPQ0FnOEFNSUlDQ2dLQ0FnRUFqWFBBMTFiRXM4TV\
    Z2OVZxTFdYTQp6SEFjV3UvME4vL2krU3JpeDREY2VFSDM2bW9YczVIRkYvV0VicS8wYzhKeEJzdWI1Q0c4b0RFZFhFUGUxYkJOClBlUi9TUk92\
    bnJMQzc5alJnNm5sTmZpRnFZSVdDdjdNNTE3L1dSR3RjSUViNVNDbjJoRHdDK09jR0JZWXU3THIKTHdsTzE4dDNQKzRnT1prV2ZkL29WQXR2V2\
    hkS1FJN2N5QUl5MnFPdTk1WTI5NnRUc2xmZThacG1NbU5qZzNTNApLQmFraTNKZUdRMDZOMjhGTm1LNjZBTDJpUFY3Z3FVbmhremtRbDdhSTBQ\
    RUpNQVRra0JtdVNKb3pDY0QzM3laCm0rdVE2UFNadms2NkNTK1hsVWtYbE02TXIrTG1VenVidktYWmtwOEZ0bTkvUDZDM3lKemkyZnpPY3dSZ1\
    E1cDEKUlQxWDFwWGNXZjZ0Rk1xSHJpeU5uUmluL3JMQW1xWTBPdzhxN1c1Sk1KUFJIN2hmcnUrKzVTcnpuOTlVNEs2MQo4eVhZNWxWVGViRmlU\
    bnA4R29OVzBuY1FhRFJoZWtJWW5aQWVmZDAvcGtvQnFsdXhjOVMwR0ZhSkg3cUhjMWZhCk1Qb0tDUDF6YjYzQ25NTXVQbHNmdENYODlQL2lKeE\
    x0dUdyaVR6aTd6VXdjQ2JRYmhWZk5MVHQvQTVQTE0za3gKTG9qaUNrNjRUdmpsbWtJN0o4eGtlV0RNYllwSWdoZXlCSlFXWFE5MkV6SFNPMG1Y\
    WDQ3d2VTeG1hamRKMTJYYwpyd1RocGhQcStNQXUrVklJMUlmRHVIVG9Qdnp3ZEVXZ0J6WUxwaXRwYjhaMitWV0IzY0graHZVOGJnNVVsTXFaCj\
    ZRb0kyS3U3cWZVbUd3MW9qNHFTRXMwQ0F3RUFBUT09Ci0tLS0tRU5EIFBVQkxJQyBLRVktLS0tLQo=";
const GROUP: &str = "machineconfiguration.openshift.io";
const COMPONENTS: &str = "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:";
const INTERNAL: &str = "image-registry.openshift-image-registry.svc:5000";

fn component(number: usize) -> String {
    format!("{COMPONENTS}{number:064x}")
}

/// What is there without anybody's doing (domain.md 6), MachineConfigs and nodes aside.
fn installed(release: &Release) -> Vec<Value> {
    let (major, minor) = release.version;
    let version = format!("{major}.{minor}.3");
    let config = |kind: &str, name: &str, spec: Value, status: Value| {
        json!({"apiVersion": "config.openshift.io/v1", "kind": kind, "metadata": {"name": name, "uid": format!("u-{kind}"), "generation": 1},
               "spec": spec, "status": status})
    };
    let gates = [
        ("SigstoreImageVerification", release.signatures_by_default),
        ("SigstoreImageVerificationPKI", release.version >= (4, 21)),
        ("NodeDisruptionPolicy", release.node_disruption_by_default),
    ];
    let gates_that = |on: bool| -> Vec<Value> {
        gates.iter().filter(|(_, is_on)| *is_on == on).map(|(name, _)| json!({"name": name})).collect()
    };
    let desired =
        json!({"version": version, "image": format!("quay.io/openshift-release-dev/ocp-release@sha256:{:064x}", 7)});
    let history = json!([{"state": "Completed", "version": version, "image": desired["image"]}]);
    let mut objects = vec![
        config(
            "ClusterVersion",
            "version",
            json!({"clusterID": "7d8c1a4e-6a7a-4bc5-8f4d-111111111111"}),
            json!({"desired": desired, "history": history, "conditions": []}),
        ),
        config(
            "FeatureGate",
            "cluster",
            json!({}),
            json!({"featureGates": [{"version": version, "enabled": gates_that(true), "disabled": gates_that(false)}]}),
        ),
        config(
            "Infrastructure",
            "cluster",
            json!({"platformSpec": {"type": "None"}}),
            json!({"infrastructureName": "stock-x7k2p", "controlPlaneTopology": "HighlyAvailable", "infrastructureTopology": "HighlyAvailable",
                   "apiServerURL": "https://api.stock.example.com:6443"}),
        ),
        config("Image", "cluster", json!({}), json!({"internalRegistryHostname": INTERNAL})),
        json!({"apiVersion": format!("{GROUP}/v1"), "kind": "ControllerConfig", "metadata": {"name": "machine-config-controller"},
            "spec": {"osImageURL": component(1), "baseOSContainerImage": component(1), "releaseImage": desired["image"],
                     "images": {"infraImageKey": component(2), "machineConfigOperator": component(3)}}}),
        json!({"apiVersion": "operator.openshift.io/v1", "kind": "MachineConfiguration", "metadata": {"name": "cluster"},
            "spec": {"managementState": "Managed"}, "status": {}}),
    ];
    if release.version >= (4, 21) {
        let mut scopes = vec!["quay.io/openshift-release-dev/ocp-release"];
        if release.version >= (4, 22) {
            scopes.extend([
                "quay.io/openshift-release-dev/ocp-v4.0-art-dev",
                "quay.io/openshift-release-dev/ocp-v5.0-art-dev",
            ]);
        }
        objects.push(json!({
            "apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy",
            "metadata": {"name": "openshift", "annotations": {
                "exclude.release.openshift.io/internal-openshift-hosted": "true",
                "include.release.openshift.io/self-managed-high-availability": "true",
                "kubernetes.io/description": "Require Red Hat signatures for quay.io/openshift-release-dev/ocp-release container images."}},
            "spec": {"scopes": scopes, "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": VENDOR_KEY}}}},
        }));
    }
    objects.extend(pods());
    objects
}

/// Pods of the platform.
fn pods() -> Vec<Value> {
    let pod = |namespace: &str, name: &str, image: String, policy: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
               "spec": {"containers": [{"name": "c", "image": image, "imagePullPolicy": policy}],
                        "initContainers": [{"name": "i", "image": image, "imagePullPolicy": policy}]},
               "status": {"phase": "Running", "startTime": "2026-11-01T08:00:00Z",
                          "containerStatuses": [{"name": "c", "imageID": image}], "initContainerStatuses": [{"name": "i", "imageID": image}]}})
    };
    vec![
        pod("openshift-etcd", "etcd-master-0", component(11), "IfNotPresent"),
        pod("openshift-machine-config-operator", "machine-config-controller-0", component(3), "IfNotPresent"),
        pod("openshift-monitoring", "prometheus-k8s-0", component(12), "IfNotPresent"),
        pod(
            "openshift-marketplace",
            "redhat-operators-x7k2p",
            "registry.redhat.io/redhat/redhat-operator-index:v4.20".into(),
            "Always",
        ),
    ]
}

fn machine_config(name: &str, role: Option<&str>, files: Value, release: &Release) -> Value {
    let labels = role.map(|role| json!({ROLE: role}));
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfig", "metadata": {"name": name, "labels": labels, "annotations": {
               format!("{GROUP}/generated-by-controller-version"): "6ae3d3ef9bb5ee8dcb4cdf0a31be4d2b3d6a9d1c"}},
           "spec": {"config": {"ignition": {"version": release.ignition}, "storage": {"files": files}}}})
}

fn read(source: &Source, objects: &[Value]) -> Snapshot {
    let mut snapshot = Snapshot::new(source.clone());
    for object in objects {
        snapshot.insert(object.clone(), Origin::Live, Laying::Beside).unwrap();
    }
    if *source != Source::Manifests {
        KINDS.iter().for_each(|info| snapshot.mark_read(info.kind));
    }
    snapshot
}

/// With the MachineConfigs, the generated ones and renderings among them, and nodes that have them.
fn running(source: &Source, release: &'static Release, mut objects: Vec<Value>) -> Vec<Value> {
    let compiled = compile(&read(source, &objects), release);
    let generated = compiled.generated.expect("a stock cluster is refused");
    let cri_o = match release.version {
        (4, minor @ ..=22) => format!("cri-o://1.{}.2-3.rhaos4.{minor}.git0b1a4a3.el9", minor + 13),
        _ => "cri-o://1.36.1-1.rhaos5.0.git0b1a4a3.el9".to_string(),
    };
    for pool in ["master", "worker"] {
        let template =
            "data:,%7B%0A%20%20%22default%22%3A%20%5B%7B%22type%22%3A%20%22insecureAcceptAnything%22%7D%5D%7D";
        let conf =
            "data:,unqualified-search-registries%20=%20%5B%27registry.access.redhat.com%27%2C%20%27docker.io%27%5D%0A";
        let base = json!([{"path": "/etc/containers/policy.json", "contents": {"source": template}},
                          {"path": "/etc/containers/registries.conf", "contents": {"source": conf}}]);
        let form = Form::Object {
            image_uid: Some("u-Image"),
            controller_version: Some("6ae3d3ef9bb5ee8dcb4cdf0a31be4d2b3d6a9d1c"),
        };
        let own = [
            machine_config(
                &format!("00-{pool}"),
                Some(pool),
                json!([{"path": "/etc/motd", "contents": {"source": "data:,hello"}}]),
                release,
            ),
            machine_config(&format!("01-{pool}-container-runtime"), Some(pool), base, release),
            generated.machine_config(pool, form),
        ];
        let members = own.iter().map(|object| Member {
            name: object["metadata"]["name"].as_str().unwrap().into(),
            role: pool.into(),
            files: ignition_files(&object["spec"]["config"]).collect(),
        });
        let (order, files) = merge(members.collect(), release);
        let files: Vec<Value> = files.iter().map(|(path, file)| {
            let Some(Contents::Url(url)) = file.contents else { panic!("{path} has no content") };
            json!({"path": path, "mode": 420, "overwrite": true, "contents": {"source": url.source, "compression": url.compression}})
        }).collect();
        let name = format!("rendered-{pool}-0b1a4a3");
        let rendered = machine_config(&name, None, json!(files), release);
        let source: Vec<Value> = order.iter().map(|name: &Arc<str>| json!({"name": **name})).collect();
        let configuration = json!({"name": name, "source": source});
        let node_label = format!("node-role.kubernetes.io/{pool}");
        objects.push(json!({
            "apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfigPool",
            "metadata": {"name": pool, "labels": {format!("{GROUP}/mco-built-in"): ""}},
            "spec": {"machineConfigSelector": {"matchLabels": {ROLE: pool}}, "nodeSelector": {"matchLabels": {&node_label: ""}},
                     "paused": false, "configuration": configuration},
            "status": {"configuration": configuration, "machineCount": 3, "updatedMachineCount": 3, "readyMachineCount": 3,
                       "unavailableMachineCount": 0, "degradedMachineCount": 0,
                       "conditions": [{"type": "Updated", "status": "True"}, {"type": "Updating", "status": "False"},
                                      {"type": "Degraded", "status": "False"}, {"type": "RenderDegraded", "status": "False"}]},
        }));
        for number in 0..3 {
            objects.push(json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": format!("{pool}-{number}"), "labels": {&node_label: ""}, "annotations": {
                    format!("{GROUP}/currentConfig"): name, format!("{GROUP}/desiredConfig"): name, format!("{GROUP}/state"): "Done"}},
                "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"containerRuntimeVersion": cri_o}},
            }));
        }
        objects.extend(own);
        objects.push(rendered);
    }
    objects
}

fn sources() -> [Source; 3] {
    [Source::Live("https://api.stock.example.com:6443".into()), Source::MustGather, Source::Manifests]
}

#[test]
fn stock_clusters_are_nothing_to_warn_of() {
    let stock: Vec<&'static Release> = RELEASES.iter().filter(|release| release.version >= (4, 16)).collect();
    assert_eq!(stock.len(), 11);
    for release in stock {
        for source in sources() {
            let objects = running(&source, release, installed(release));
            let snapshot = read(&source, &objects);
            let compiled = compile(&snapshot, release);
            let outcome = lint::run(&Context::new(&snapshot, &compiled), RULES);
            let told: Vec<String> = (outcome.findings.iter())
                .map(|finding| {
                    format!("{} {:?} {}: {}", finding.rule.id(), finding.level, finding.object, finding.message)
                })
                .collect();
            let is_quiet = outcome.findings.iter().all(|finding| finding.level <= Level::Info);
            assert!(is_quiet && told.len() <= 2, "{release}, {source:?}: {told:#?}");
            assert!(outcome.skipped.is_empty(), "{release}, {source:?}: {:?}", outcome.skipped);
        }
    }
}

/// Not the vendor's.
const OTHER_KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUNvd0JRWURLMlZ3QXlFQTRzb2tHQ05BOEF2eG5jSVlrMWg2eXl0SndPQ1Exa0Z\
                         1THJja0paVDlHYlE9Ci0tLS0tRU5EIFBVQkxJQyBLRVktLS0tLQo=";

/// The silence above says something: in the same clusters a change that nobody has rolled out yet is told of, and a policy around the
/// payload, where no narrower one of the release protects its components.
#[test]
fn a_stock_cluster_with_a_change_is_told_of_it() {
    for (release, is_protected) in [("4.21", false), ("5.2", true)] {
        let release = Release::parse(release).unwrap();
        for source in sources() {
            let mut objects = running(&source, release, installed(release));
            objects.push(json!({
                "apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": "quay"},
                "spec": {"scopes": ["quay.io"],
                         "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": OTHER_KEY}}}},
            }));
            let image = objects.iter_mut().find(|object| object["kind"] == "Image").unwrap();
            image["spec"]["registrySources"] = json!({"containerRuntimeSearchRegistries": ["registry.example.com"]});
            let snapshot = read(&source, &objects);
            let compiled = compile(&snapshot, release);
            let outcome = lint::run(&Context::new(&snapshot, &compiled), RULES);
            let of = |code: u16| outcome.findings.iter().filter(move |finding| finding.rule.code == code);
            assert_eq!(of(409).count(), usize::from(!is_protected), "{release} {source:?}");
            assert!(
                of(409).all(|finding| finding.object.to_string() == "ClusterImagePolicy/quay"
                    && finding.path == "spec.scopes[0]")
            );
            let effects: Vec<&str> = of(504).map(|finding| finding.effect.as_str()).collect();
            let begins = "drain and reboot, 3 nodes one after the other: /etc/containers/registries.conf.d/";
            assert!(
                effects.len() == 2 && effects.iter().all(|effect| effect.starts_with(begins)),
                "{source:?}: {effects:?}"
            );
        }
    }
}

/// What is in none of the namespaces that a must-gather looked into may be in use all the same.
#[test]
fn some_pods_prove_that_something_is_used_and_not_that_nothing_is() {
    let release = Release::newest();
    let source = Source::MustGather;
    let mut objects = running(&source, release, installed(release));
    objects.push(json!({
        "apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": "team"},
        "spec": {"scopes": ["registry.example.com/team"], "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": OTHER_KEY}}}},
    }));
    for has_all in [true, false] {
        let mut snapshot = read(&source, &objects);
        if !has_all {
            let message = "the must-gather holds the pods of 4 namespaces only".to_string();
            snapshot.gaps.push(Gap { kind: Kind::Pod, namespace: None, reason: GapReason::NotInInput, message });
        }
        let compiled = compile(&snapshot, release);
        let outcome = lint::run(&Context::new(&snapshot, &compiled), RULES);
        assert_eq!(outcome.findings.iter().any(|finding| finding.rule.code == 212), has_all);
    }
}

/// The catalogue of rules, but for 304, which needs the registry.
const CATALOGUE: &[u16] = &[
    101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212,
    213, 214, 215, 216, 217, 218, 219, 301, 302, 303, 305, 306, 307, 308, 309, 310, 311, 312, 313, 314, 315, 316, 317,
    401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 501, 502, 503, 504, 505, 506, 507, 508, 601,
    602, 701, 702, 703, 901, 902, 903,
];

#[test]
fn the_catalogue_is_whole() {
    let codes: BTreeSet<u16> = RULES.iter().map(|rule| rule.code).collect();
    let missing: Vec<&u16> = CATALOGUE.iter().filter(|code| !codes.contains(code)).collect();
    assert!(missing.is_empty(), "no rule has these codes: {missing:?}");
}

#[test]
fn every_pitfall_has_a_rule() {
    let mut rules: BTreeMap<u8, Vec<u16>> = BTreeMap::new();
    for rule in RULES {
        for pitfall in rule.pitfalls {
            rules.entry(*pitfall).or_default().push(rule.code);
        }
    }
    assert_eq!(rules.keys().copied().collect::<Vec<_>>(), (1..=53).collect::<Vec<_>>());
}
