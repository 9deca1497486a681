//! A machine-config-operator for tests, on the real API server of [`super::controlplane`]: it writes
//! `99-<pool>-generated-registries` from this crate's own compile, renders pools, and moves nodes.
//!
//! ```text
//! let server = ControlPlane::start(Options::default());
//! let operator = Operator::install(&server, &Cluster::default(), "…manifests…");   // synced and rolled out
//! server.apply("…a change…");
//! operator.sync()?;                     // Err(texts): the controller has frozen
//! operator.start(1); operator.finish(); // one node of each pool, in two steps; or roll_all()
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use http::{Method, Request};
use http_body_util::BodyExt;
use kube::client::Body;
use oc_imagepolicy::cluster::{ConnectionArgs, Environment, block_on_read, connect_in};
use oc_imagepolicy::compile::{compile, pools};
use oc_imagepolicy::model::machine_config::{
    Contents, Form, Member, ROLE, generated_name, ignition, ignition_files, merge,
};
use oc_imagepolicy::model::node_files::{POLICY_JSON, REGISTRIES_CONF};
use oc_imagepolicy::model::policy_write::TEMPLATE;
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::snapshot::{KINDS, Kind, Object, Snapshot, api};
use serde_json::{Value, json};

use super::controlplane::ControlPlane;

const GROUP: &str = "machineconfiguration.openshift.io";
const CONFIGS: &str = "/apis/machineconfiguration.openshift.io/v1/machineconfigs";
const POOLS: &str = "/apis/machineconfiguration.openshift.io/v1/machineconfigpools";
/// What the real controller signs its MachineConfigs with: its git hash.
const CONTROLLER_VERSION: &str = "00000000000000000000000000000000deadbeef";
/// registries.conf as OpenShift ships it.
const SHIPPED_REGISTRIES: &str =
    "unqualified-search-registries = [\"registry.access.redhat.com\", \"docker.io\"]\nshort-name-mode = \"\"\n";

/// What is installed.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Name and number of nodes. `master`, `worker` and `arbiter` are built-in; others are custom ones over worker. Nodes are named
    /// `<pool>-0` and so on.
    pub pools: Vec<(String, usize)>,
    /// `ClusterVersion` `status.desired.version`.
    pub version: String,
}

impl Default for Cluster {
    /// One master, two workers, 4.21.4.
    fn default() -> Self {
        Self { pools: vec![("master".into(), 1), ("worker".into(), 2)], version: "4.21.4".into() }
    }
}

/// See the module. All methods panic where the server does not answer as it should.
pub struct Operator {
    client: kube::Client,
    runtime: tokio::runtime::Runtime,
    kubeconfig: std::path::PathBuf,
    stalled: AtomicBool,
    degraded: Mutex<BTreeMap<String, String>>,
}

impl Operator {
    /// One for a cluster that is there already.
    pub fn new(server: &ControlPlane) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = {
            let _guard = runtime.enter();
            kube::Client::try_from(as_admin(server)).unwrap()
        };
        let kubeconfig = server.kubeconfig("admin").to_path_buf();
        Self { client, runtime, kubeconfig, stalled: AtomicBool::new(false), degraded: Mutex::default() }
    }

    /// Makes the cluster: ClusterVersion, Image, pools, the MachineConfigs that OpenShift ships, nodes, then `manifests` (YAML, any
    /// number of documents; their namespaces are created), and rolls everything out.
    pub fn install(server: &ControlPlane, cluster: &Cluster, manifests: &str) -> Self {
        let operator = Self::new(server);
        operator.namespaces(manifests);
        let mut objects = vec![
            json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion", "metadata": {"name": "version"},
                "spec": {"clusterID": "6b2d1b9e-52c7-4c8e-9a63-0f4d1c7ae210"}}),
            json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"}, "spec": {}}),
            json!({"apiVersion": "config.openshift.io/v1", "kind": "Infrastructure", "metadata": {"name": "cluster"}, "spec": {}}),
        ];
        for (pool, _) in &cluster.pools {
            objects.push(pool_object(pool));
            objects.push(shipped(pool, &cluster.version));
        }
        let objects: Vec<String> = objects.iter().map(Value::to_string).collect();
        server.apply(&objects.join("\n---\n"));
        operator.set_version(&cluster.version);
        for (pool, count) in &cluster.pools {
            (0..*count).for_each(|number| operator.add_node(pool, &format!("{pool}-{number}")));
        }
        if !manifests.trim().is_empty() {
            server.apply(manifests);
        }
        operator.sync().unwrap();
        operator.roll_all();
        operator
    }

    /// Sets ClusterVersion `status.desired.version`.
    pub fn set_version(&self, version: &str) {
        let desired = json!({"image": format!("quay.io/openshift-release-dev/ocp-release@sha256:{}", "8".repeat(64)),
            "version": version});
        let status = json!({"status": {"desired": desired, "observedGeneration": 1, "versionHash": "x",
            "availableUpdates": [], "history": []}});
        self.patch("/apis/config.openshift.io/v1/clusterversions/version/status", &status);
    }

    fn namespaces(&self, manifests: &str) {
        let of =
            |line: &str| line.trim().strip_prefix("namespace:").map(|name| name.trim().trim_matches('"').to_string());
        let names: BTreeSet<String> = manifests.lines().filter_map(of).collect();
        for name in names {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            let (status, body) = self.send(Method::POST, "/api/v1/namespaces", Some(&namespace));
            assert!(status == 201 || status == 409, "{body:#}");
        }
    }

    /// A node of a pool that has nothing yet; [`Operator::roll_all`] gives it what its pool has.
    pub fn add_node(&self, pool: &str, name: &str) {
        let role = |pool: &str| (format!("node-role.kubernetes.io/{pool}"), json!(""));
        let mut labels = serde_json::Map::from_iter([role(pool)]);
        if !is_built_in(pool) {
            labels.extend([role("worker")]);
        }
        labels.insert("kubernetes.io/hostname".into(), name.into());
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
        self.must(Method::POST, "/api/v1/nodes", Some(&node));
        self.set_ready(name, true);
    }

    /// The node's condition Ready.
    pub fn set_ready(&self, node: &str, ready: bool) {
        let (status, reason, message) = match ready {
            true => ("True", "KubeletReady", "kubelet is posting ready status"),
            false => ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status."),
        };
        let ready = json!({"type": "Ready", "status": status, "reason": reason, "message": message});
        self.patch(&format!("/api/v1/nodes/{node}/status"), &json!({"status": {"conditions": [ready]}}));
    }

    /// From now on [`Operator::start`] and [`Operator::finish`] do nothing, or do again.
    pub fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::SeqCst);
    }

    /// The node fails with these words when it is started next; `None` heals it.
    pub fn degrade(&self, node: &str, message: Option<&str>) {
        let mut degraded = self.degraded.lock().unwrap();
        match message {
            Some(message) => _ = degraded.insert(node.into(), message.into()),
            None => _ = degraded.remove(node),
        }
    }

    /// Sets `spec.paused`.
    pub fn pause(&self, pool: &str, paused: bool) {
        self.patch(&format!("{POOLS}/{pool}"), &json!({"spec": {"paused": paused}}));
    }

    /// One sync of the container-runtime-config controller and one rendering of every pool.
    ///
    /// # Errors
    /// What the controller refuses, in its words: the generated MachineConfigs stay as they are (pools are rendered all the same).
    pub fn sync(&self) -> Result<(), Vec<String>> {
        let snapshot = self.read();
        let release = release(&snapshot);
        let compiled = compile(&snapshot, release);
        let refused = match &compiled.generated {
            Ok(generated) => {
                let uid = snapshot.image.as_ref().map(|image| image.metadata.uid.as_str());
                for pool in pools::built_in(&snapshot) {
                    let form = Form::Object { image_uid: uid, controller_version: Some(CONTROLLER_VERSION) };
                    self.replace_machine_config(&snapshot, generated.machine_config(&pool, form));
                }
                Ok(())
            }
            Err(refusals) => Err(refusals.iter().map(|refusal| refusal.text.clone()).collect()),
        };
        self.render();
        refused
    }

    fn replace_machine_config(&self, snapshot: &Snapshot, mut object: Value) {
        // Go leaves nulls out of what it sends.
        for field in ["kernelArguments", "extensions"] {
            object["spec"].as_object_mut().unwrap().remove(field);
        }
        let name = object["metadata"]["name"].as_str().unwrap().to_string();
        match snapshot.machine_configs.iter().find(|known| known.metadata.name == name) {
            None => _ = self.must(Method::POST, CONFIGS, Some(&object)),
            Some(known) if known.raw["spec"]["config"] == object["spec"]["config"] => {}
            Some(known) => {
                object["metadata"]["resourceVersion"] = known.raw["metadata"]["resourceVersion"].clone();
                self.must(Method::PUT, &format!("{CONFIGS}/{name}"), Some(&object));
            }
        }
    }

    /// Merges the MachineConfigs of every pool and names the result in it.
    pub fn render(&self) {
        let snapshot = self.read();
        let release = release(&snapshot);
        for pool in &snapshot.pools {
            let members = snapshot.machine_configs.iter().filter(|object| is_of(object, pool));
            let members: Vec<&Object<api::MachineConfig>> = members.collect();
            let merged = members.iter().map(|object| Member {
                name: object.metadata.name.as_str().into(),
                role: object.metadata.labels[ROLE].as_str().into(),
                files: ignition_files(&object.value.spec.config).collect(),
            });
            let (order, files) = merge(merged.collect(), release);
            let files: Vec<Value> = files
                .iter()
                .map(|(path, file)| {
                    let mut written = json!({"path": path, "mode": 0o644, "overwrite": true});
                    if let Some(Contents::Url(url)) = file.contents {
                        written["contents"] = json!({"source": url.source, "compression": url.compression});
                    }
                    let append = |url: &oc_imagepolicy::model::machine_config::DataUrl| json!({"source": url.source, "compression": url.compression});
                    if !file.append.is_empty() {
                        written["append"] = file.append.iter().map(append).collect();
                    }
                    written
                })
                .collect();
            let config = json!({"ignition": {"version": release.ignition}, "storage": {"files": files}});
            let digest = ring::digest::digest(&ring::digest::SHA256, config.to_string().as_bytes());
            let digest: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            let name = format!("rendered-{}-{digest}", pool.metadata.name);
            if pool.value.spec.configuration.name == name {
                continue;
            }
            let annotations = json!({format!("{GROUP}/generated-by-controller-version"): CONTROLLER_VERSION});
            let rendered = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfig",
                "metadata": {"name": name, "annotations": annotations}, "spec": {"config": config}});
            let (status, body) = self.send(Method::POST, CONFIGS, Some(&rendered));
            assert!(status == 201 || status == 409, "{body:#}");
            let source =
                |name: &Arc<str>| json!({"apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfig", "name": **name});
            let source: Vec<Value> = order.iter().map(source).collect();
            let configuration = json!({"name": name, "source": source});
            self.patch(&format!("{POOLS}/{}", pool.metadata.name), &json!({"spec": {"configuration": configuration}}));
        }
        self.report();
    }

    /// Up to `most` nodes of each pool begin to take what their pool has, where nothing keeps them. How many did.
    pub fn start(&self, most: usize) -> usize {
        if self.stalled.load(Ordering::SeqCst) {
            return 0;
        }
        let mut started = 0;
        for (pool, nodes) in self.pools_and_nodes() {
            let wanted = pool["spec"]["configuration"]["name"].as_str().unwrap_or_default().to_string();
            if pool["spec"]["paused"] == true || wanted.is_empty() {
                continue;
            }
            let behind = nodes.iter().filter(|node| annotation(node, "desiredConfig") != wanted);
            for node in behind.take(most) {
                let name = node["metadata"]["name"].as_str().unwrap();
                let failure = self.degraded.lock().unwrap().get(name).cloned();
                let (state, reason) = match &failure {
                    Some(message) => ("Degraded", message.as_str()),
                    None => ("Working", ""),
                };
                let mut changes = vec![("desiredConfig", wanted.as_str()), ("state", state), ("reason", reason)];
                if annotation(node, "currentConfig").is_empty() && failure.is_none() {
                    // A new node boots with it.
                    changes.push(("currentConfig", &wanted));
                }
                self.annotate(name, &changes);
                started += 1;
            }
        }
        self.report();
        started
    }

    /// Every node that has begun comes to its end.
    pub fn finish(&self) {
        if self.stalled.load(Ordering::SeqCst) {
            return;
        }
        for (_, nodes) in self.pools_and_nodes() {
            for node in nodes.iter().filter(|node| annotation(node, "state") == "Working") {
                let name = node["metadata"]["name"].as_str().unwrap();
                let current = annotation(node, "desiredConfig");
                self.annotate(name, &[("currentConfig", &current), ("state", "Done"), ("reason", "")]);
            }
        }
        self.report();
    }

    /// [`Operator::start`] and [`Operator::finish`] until nothing moves any more.
    pub fn roll_all(&self) {
        while self.start(usize::MAX) > 0 {
            self.finish();
        }
        self.finish();
    }

    /// Works by itself until what comes back is dropped: syncs, then moves `wave` nodes of each pool, `pause` between steps.
    pub fn run(self: &Arc<Self>, wave: usize, pause: Duration) -> Running {
        let (operator, stop) = (Arc::clone(self), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                // A controller that has frozen tries again.
                let _ = operator.sync();
                operator.start(wave);
                std::thread::sleep(pause);
                operator.finish();
                std::thread::sleep(pause);
            }
        });
        Running { stop, thread: Some(thread) }
    }

    /// The files of the MachineConfig that a pool names: path → content.
    pub fn pool_files(&self, pool: &str) -> BTreeMap<String, Vec<u8>> {
        let pool = self.get(&format!("{POOLS}/{pool}"));
        self.files(pool["spec"]["configuration"]["name"].as_str().unwrap())
    }

    /// The files of a node: path → content.
    pub fn node_files(&self, node: &str) -> BTreeMap<String, Vec<u8>> {
        let node = self.get(&format!("/api/v1/nodes/{node}"));
        self.files(&annotation(&node, "currentConfig"))
    }

    fn files(&self, machine_config: &str) -> BTreeMap<String, Vec<u8>> {
        let object = self.get(&format!("{CONFIGS}/{machine_config}"));
        let files = ignition_files(&object["spec"]["config"]).map(|file| {
            let content = match file.contents {
                Some(Contents::Url(url)) => url.decode().unwrap(),
                _ => Vec::new(),
            };
            (file.path.into_owned(), content)
        });
        files.collect()
    }

    /// What pools say of themselves: counts and conditions.
    pub fn report(&self) {
        for (pool, nodes) in self.pools_and_nodes() {
            let wanted = pool["spec"]["configuration"]["name"].as_str().unwrap_or_default();
            let is_done = |node: &&Value| {
                let has = |name: &str, value: &str| annotation(node, name) == value;
                has("currentConfig", wanted) && has("desiredConfig", wanted) && has("state", "Done")
            };
            let updated = nodes.iter().filter(is_done).count();
            let is_degraded = |node: &&Value| annotation(node, "state") == "Degraded";
            let degraded: Vec<String> = nodes
                .iter()
                .filter(is_degraded)
                .map(|node| {
                    let name = node["metadata"]["name"].as_str().unwrap();
                    format!("Node {name} is reporting: {:?}", annotation(node, "reason"))
                })
                .collect();
            let is_complete = updated == nodes.len();
            let condition = |kind: &str, holds: bool, message: &str| {
                json!({"type": kind, "status": if holds { "True" } else { "False" }, "reason": "", "message": message,
                    "lastTransitionTime": "2026-11-22T12:00:00Z"})
            };
            let message = degraded.join(", ");
            let mut status = json!({"observedGeneration": pool["metadata"]["generation"], "machineCount": nodes.len(),
                "updatedMachineCount": updated, "readyMachineCount": updated, "unavailableMachineCount": nodes.len() - updated,
                "degradedMachineCount": degraded.len(),
                "conditions": [condition("Updated", is_complete, ""), condition("Updating", !is_complete, ""),
                    condition("NodeDegraded", !degraded.is_empty(), &message),
                    condition("RenderDegraded", false, ""), condition("Degraded", !degraded.is_empty(), "")]});
            if is_complete {
                status["configuration"] = pool["spec"]["configuration"].clone();
            }
            let same = |key: &str| pool["status"][key] == status[key];
            if !["machineCount", "updatedMachineCount", "degradedMachineCount", "conditions", "observedGeneration"]
                .iter()
                .all(|key| same(key))
                || (is_complete && !same("configuration"))
            {
                let name = pool["metadata"]["name"].as_str().unwrap();
                self.patch(&format!("{POOLS}/{name}/status"), &json!({"status": status}));
            }
        }
    }

    /// Sets annotations of the machine-config-daemon (without their prefix).
    pub fn annotate(&self, node: &str, annotations: &[(&str, &str)]) {
        let annotations: serde_json::Map<String, Value> =
            annotations.iter().map(|(key, value)| (format!("{GROUP}/{key}"), json!(value))).collect();
        self.patch(&format!("/api/v1/nodes/{node}"), &json!({"metadata": {"annotations": annotations}}));
    }

    fn pools_and_nodes(&self) -> Vec<(Value, Vec<Value>)> {
        let items = |path: &str| self.get(path)["items"].as_array().unwrap().clone();
        let mut pools: Vec<(Value, Vec<Value>)> = items(POOLS).into_iter().map(|pool| (pool, Vec::new())).collect();
        // Custom pools come before worker.
        pools.sort_by_key(|(pool, _)| is_built_in(pool["metadata"]["name"].as_str().unwrap()));
        for node in items("/api/v1/nodes") {
            let labels = node["metadata"]["labels"].as_object().unwrap();
            let selects = |pool: &Value| {
                let wanted = pool["spec"]["nodeSelector"]["matchLabels"].as_object().unwrap();
                wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
            };
            if let Some((_, nodes)) = pools.iter_mut().find(|(pool, _)| selects(pool)) {
                nodes.push(node);
            }
        }
        pools
    }

    fn read(&self) -> Snapshot {
        let args = ConnectionArgs { kubeconfig: Some(self.kubeconfig.clone()), ..ConnectionArgs::default() };
        let kinds: Vec<Kind> = KINDS.iter().map(|info| info.kind).filter(|kind| *kind != Kind::Node).collect();
        block_on_read(&connect_in(&args, &Environment::default()).unwrap(), &kinds, None).unwrap()
    }

    /// The object at a path.
    pub fn get(&self, path: &str) -> Value {
        self.must(Method::GET, path, None)
    }

    /// A merge patch.
    pub fn patch(&self, path: &str, patch: &Value) -> Value {
        self.must(Method::PATCH, path, Some(patch))
    }

    fn must(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, body) = self.send(method.clone(), path, body);
        assert!((200..300).contains(&status), "{method} {path}: {body:#}");
        body
    }

    /// Any request: the status and the object that came back.
    pub fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let body = body.map(|body| Body::from(body.to_string().into_bytes())).unwrap_or(Body::empty());
        let request = request.body(body).unwrap();
        self.runtime.block_on(async {
            let response = self.client.send(request).await.unwrap();
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
        })
    }
}

/// See [`Operator::run`].
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let died = thread.join().is_err();
            assert!(!died || std::thread::panicking(), "the operator died");
        }
    }
}

/// How to reach the server as admin.
pub fn as_admin(server: &ControlPlane) -> kube::Config {
    let mut config = kube::Config::new(server.url.parse().unwrap());
    config.root_cert = Some(certificates(&std::fs::read(&server.ca).unwrap()));
    config.auth_info.token = Some(server.tokens["admin"].clone().into());
    config
}

fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    use x509_cert::der::Encode;
    let all = x509_cert::Certificate::load_pem_chain(pem).unwrap();
    all.iter().map(|certificate| certificate.to_der().unwrap()).collect()
}

fn release(snapshot: &Snapshot) -> &'static Release {
    Release::parse(&snapshot.cluster_version.as_ref().unwrap().value.status.desired.version).unwrap()
}

fn is_built_in(pool: &str) -> bool {
    matches!(pool, "master" | "worker" | "arbiter")
}

fn annotation(node: &Value, name: &str) -> String {
    node["metadata"]["annotations"][format!("{GROUP}/{name}")].as_str().unwrap_or_default().to_string()
}

fn is_of(object: &Object<api::MachineConfig>, pool: &Object<api::MachineConfigPool>) -> bool {
    let Some(role) = object.metadata.labels.get(ROLE) else { return false };
    let name = &pool.metadata.name;
    role == name || (!is_built_in(name) && role == "worker")
}

fn pool_object(name: &str) -> Value {
    let selector = match is_built_in(name) {
        true => json!({"matchLabels": {ROLE: name}}),
        false => json!({"matchExpressions": [{"key": ROLE, "operator": "In", "values": ["worker", name]}]}),
    };
    let labels = if is_built_in(name) { json!({format!("{GROUP}/mco-built-in"): ""}) } else { json!({}) };
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfigPool", "metadata": {"name": name, "labels": labels},
        "spec": {"machineConfigSelector": selector, "paused": false,
            "nodeSelector": {"matchLabels": {format!("node-role.kubernetes.io/{name}"): ""}}}})
}

/// `01-<pool>-container-runtime`, as far as it matters here; custom pools have the worker's.
fn shipped(pool: &str, version: &str) -> Value {
    let files: &[(&str, &str)] = match is_built_in(pool) {
        true => &[(POLICY_JSON, TEMPLATE), (REGISTRIES_CONF, SHIPPED_REGISTRIES)],
        false => &[],
    };
    let config = ignition(files.iter().copied(), Release::parse(version).unwrap());
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfig",
        "metadata": {"name": format!("01-{pool}-container-runtime"), "labels": {ROLE: pool}}, "spec": {"config": config}})
}

/// The name of a pool's generated MachineConfig, for assertions.
pub fn generated(pool: &str) -> String {
    generated_name(pool)
}
