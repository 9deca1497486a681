//! Pools: who gets which MachineConfigs, who wins a path, the three truths and whether they agree.

use oc_imagepolicy::compile::in_force::{InForce, in_force};
use oc_imagepolicy::compile::pools::{Truth, desired, of_node, rendered};
use oc_imagepolicy::compile::{Compiled, compile};
use oc_imagepolicy::model::machine_config::{Form, ignition, object};
use oc_imagepolicy::model::node_files::{NodeFiles, PolicyForm};
use oc_imagepolicy::model::policy::{Transport, Verdict, verdict};
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::snapshot::{Kind, Laying, Origin, Snapshot, Source};
use serde_json::{Value, json};

const POLICY: &str = "/etc/containers/policy.json";
const CUSTOM: &str = r#"{"default":[{"type":"reject"}]}"#;

fn snapshot(source: Source, objects: Vec<Value>) -> Snapshot {
    let mut snapshot = Snapshot::new(source);
    for object in objects {
        snapshot.insert(object, Origin::Live, Laying::Beside).unwrap();
    }
    snapshot
}

fn compiled(snapshot: &Snapshot) -> Compiled {
    compile(snapshot, Release::newest())
}

fn policy(scope: &str) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": "team"},
           "spec": {"scopes": [scope], "policy": {
               "rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": "Zm9vIGJhcg=="}}}}})
}

fn allowed(registries: &[&str]) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
           "spec": {"registrySources": {"allowedRegistries": registries}}})
}

fn version() -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion", "metadata": {"name": "version"},
           "status": {"desired": {"version": "5.2.0", "image": format!("quay.io/ocp/release@sha256:{}", "a".repeat(64))}}})
}

fn machine_config(name: &str, role: &str, files: &[(&str, &str)]) -> Value {
    let config = ignition(files.iter().copied(), Release::newest());
    object(name, role, config, Form::Object { image_uid: None, controller_version: None }, Release::newest())
}

fn pool(name: &str, roles: &[&str], rendered: &str) -> Value {
    let built_in = json!({"machineconfiguration.openshift.io/mco-built-in": ""});
    let labels = if roles.len() == 1 { built_in } else { json!({}) };
    json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool",
           "metadata": {"name": name, "labels": labels},
           "spec": {"machineConfigSelector": {"matchExpressions": [
                        {"key": "machineconfiguration.openshift.io/role", "operator": "In", "values": roles}]},
                    "nodeSelector": {"matchLabels": {format!("node-role.kubernetes.io/{name}"): ""}},
                    "configuration": {"name": rendered}}})
}

fn node(name: &str, role: &str, current: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name,
           "labels": {format!("node-role.kubernetes.io/{role}"): ""},
           "annotations": {"machineconfiguration.openshift.io/currentConfig": current}}})
}

fn names(truth: &Truth) -> Vec<Vec<&str>> {
    truth.groups.iter().map(|group| group.names().collect()).collect()
}

fn default_verdict(files: &NodeFiles) -> Verdict {
    verdict(&files.policy.as_ref().unwrap().policy.default)
}

#[test]
fn without_pools_there_are_master_and_worker_and_they_agree() {
    let snapshot = snapshot(Source::Manifests, vec![policy("quay.io/team"), allowed(&["quay.io"])]);
    let compiled = compiled(&snapshot);
    let truth = desired(&snapshot, &compiled).unwrap();
    assert_eq!(names(&truth), [["master", "worker"]]);
    let group = &truth.groups[0];
    assert_eq!(group.pools[1].machine_configs[0].as_ref(), "99-worker-generated-registries");
    let files = &group.files;
    assert!(files.policy.as_ref().unwrap().policy.transports[&Transport::Docker].get("quay.io/team").is_some());
    // Nobody delivers a registries.conf: the one that OpenShift ships.
    let search = files.registries_conf.as_ref().unwrap().unqualified_search_registries.as_ref().unwrap();
    assert_eq!(search, &["registry.access.redhat.com", "docker.io"]);
}

#[test]
fn where_nothing_is_configured_the_shipped_policy_holds() {
    let snapshot = snapshot(Source::Manifests, vec![]);
    let truth = desired(&snapshot, &compiled(&snapshot)).unwrap();
    let file = truth.groups[0].files.policy.as_ref().unwrap();
    assert_eq!((file.form, verdict(&file.policy.default)), (PolicyForm::Template, Verdict::AcceptsAnything));
}

/// P01 and P02, and a custom pool whose own role beats every worker's name.
#[test]
fn the_last_writer_of_a_path_is_known_and_so_are_the_losers() {
    let snapshot = snapshot(
        Source::MustGather,
        vec![
            version(),
            allowed(&["quay.io"]),
            policy("quay.io/team"),
            pool("master", &["master"], ""),
            pool("worker", &["worker"], ""),
            pool("infra", &["worker", "infra"], ""),
            machine_config("51-worker-drop-in", "worker", &[(POLICY, CUSTOM), ("/etc/motd", "hello")]),
            machine_config("00-infra", "infra", &[(POLICY, CUSTOM)]),
            machine_config("99-master-zz", "master", &[(POLICY, "not json")]),
            machine_config("99-worker-generated-registries", "worker", &[(POLICY, "of yesterday")]),
            machine_config("rendered-worker-1", "worker", &[(POLICY, "of yesterday")]),
        ],
    );
    let compiled = compiled(&snapshot);
    let truth = desired(&snapshot, &compiled).unwrap();
    assert_eq!(names(&truth), [["master"], ["worker"], ["infra"]]);
    let writers = |group: usize| {
        let writers = &truth.groups[group].pools[0].writers;
        assert!(!writers.contains_key("/etc/motd"));
        writers[POLICY].iter().map(AsRef::as_ref).collect::<Vec<&str>>()
    };
    assert_eq!(writers(0), ["99-master-generated-registries", "99-master-zz"]);
    assert_eq!(writers(1), ["51-worker-drop-in", "99-worker-generated-registries"]);
    assert_eq!(writers(2), ["51-worker-drop-in", "99-worker-generated-registries", "00-infra"]);

    let master = &truth.groups[0].files;
    assert!(master.policy.is_none() && master.unreadable.contains_key(POLICY));
    assert!(truth.groups[1].files.policy.as_ref().unwrap().policy.transports.len() > 1);
    let infra = &truth.groups[2].files.policy.as_ref().unwrap().policy;
    assert_eq!(verdict(&infra.default), Verdict::Rejects);
    assert_eq!(infra.default[0].from[0].to_string(), "MachineConfig/00-infra /etc/containers/policy.json");
    // The rest of what is generated still arrives there (P12).
    assert!(truth.groups[2].files.registries_d.contains_key("sigstore-registries.yaml"));
}

/// A namespace's file rests on the generated policy, whoever delivers the cluster's.
#[test]
fn namespace_files_survive_a_foreign_policy() {
    let mut own = policy("quay.io/shop");
    own["kind"] = "ImagePolicy".into();
    own["metadata"]["namespace"] = "shop".into();
    let objects = vec![policy("quay.io/team"), own, machine_config("99-worker-zz", "worker", &[(POLICY, CUSTOM)])];
    let snapshot = snapshot(Source::Manifests, objects);
    let truth = desired(&snapshot, &compiled(&snapshot)).unwrap();
    assert_eq!(names(&truth), [["master"], ["worker"]]);
    let files = &truth.groups[1].files;
    assert_eq!(default_verdict(files), Verdict::Rejects);
    let resolver = oc_imagepolicy::resolve::Resolver::new(files, Some("shop")).unwrap();
    let mut scratch = String::new();
    assert_eq!(resolver.verdict_of("quay.io/shop/a", &mut scratch), Ok(Verdict::RequiresSignature));
    assert_eq!(resolver.verdict_of("quay.io/team/a", &mut scratch), Ok(Verdict::RequiresSignature));
    assert_eq!(resolver.verdict_of("quay.io/other", &mut scratch), Ok(Verdict::AcceptsAnything));
}

/// What the controller generates now, as a rendered MachineConfig.
fn rendered_now(objects: Vec<Value>, name: &str) -> Value {
    let snapshot = snapshot(Source::MustGather, objects);
    let compiled = compiled(&snapshot);
    let form = Form::Object { image_uid: None, controller_version: None };
    let mut object = compiled.generated.as_ref().unwrap().machine_config("worker", form);
    object["metadata"]["name"] = name.into();
    object
}

#[test]
fn what_is_rendered_is_read_back_with_who_asked_for_it() {
    let config = || vec![version(), allowed(&["quay.io"]), policy("quay.io/team")];
    let mut objects = config();
    objects.push(rendered_now(config(), "rendered-worker-1"));
    objects.push(pool("worker", &["worker"], "rendered-worker-1"));
    objects.push(pool("master", &["master"], "rendered-master-gone"));
    objects.push(node("w0", "worker", "rendered-worker-1"));
    let snapshot = snapshot(Source::MustGather, objects);
    let compiled = compiled(&snapshot);
    let truth = rendered(&snapshot, &compiled);
    assert_eq!(names(&truth), [["worker"]]);
    assert_eq!(truth.missing, ["MachineConfig rendered-master-gone of pool master is not known"]);
    for files in [&truth.groups[0].files, &of_node(&snapshot, &compiled, "w0").unwrap().files] {
        let docker = &files.policy.as_ref().unwrap().policy.transports[&Transport::Docker];
        let from = |scope| docker.get(scope).unwrap()[0].from[0].to_string();
        assert_eq!(from("quay.io/team"), "ClusterImagePolicy/team spec.scopes[0]");
        assert_eq!(from("quay.io"), "Image/cluster spec.registrySources.allowedRegistries[0]");
    }
    assert_eq!(of_node(&snapshot, &compiled, "w1").unwrap_err(), "node w1 is not known");
}

#[test]
fn in_force_where_rendered_and_every_node_have_it() {
    let config = || vec![version(), allowed(&["quay.io"]), policy("quay.io/team")];
    let before = || vec![version(), allowed(&["quay.io"]), policy("quay.io/other")];
    let answer = |rendered: &str, nodes: &[&str], refused: bool| {
        let mut objects = config();
        objects.push(rendered_now(config(), "rendered-new"));
        objects.push(rendered_now(before(), "rendered-old"));
        objects.push(pool("worker", &["worker"], rendered));
        objects.extend(nodes.iter().enumerate().map(|(i, current)| node(&format!("w{i}"), "worker", current)));
        let mut snapshot = snapshot(Source::MustGather, objects);
        snapshot.mark_read(Kind::Node);
        let compiled = compiled(&snapshot);
        let truth = desired(&snapshot, &compiled).unwrap();
        in_force(&snapshot, &compiled, (!refused).then_some(&truth))["worker"]
    };
    assert_eq!(answer("rendered-new", &["rendered-new", "rendered-new"], false), InForce::Yes);
    assert_eq!(answer("rendered-new", &["rendered-new", "rendered-old"], false), InForce::No);
    assert_eq!(answer("rendered-new", &["rendered-new", "rendered-gone"], false), InForce::Unknown);
    assert_eq!(answer("rendered-old", &["rendered-old"], false), InForce::No);
    assert_eq!(answer("rendered-gone", &["rendered-gone"], false), InForce::Unknown);
    assert_eq!(answer("rendered-new", &["rendered-new"], true), InForce::No);
}

#[test]
fn a_refusal_leaves_the_rendered_truth() {
    let mut objects = vec![version(), allowed(&["mirror.lab"]), policy("quay.io/team")];
    objects.push(rendered_now(vec![version(), policy("quay.io/team")], "rendered-old"));
    objects.push(pool("worker", &["worker"], "rendered-old"));
    let snapshot = snapshot(Source::MustGather, objects);
    let compiled = compiled(&snapshot);
    assert_eq!(desired(&snapshot, &compiled).unwrap_err().len(), 1);
    let truth = rendered(&snapshot, &compiled);
    let docker = &truth.groups[0].files.policy.as_ref().unwrap().policy.transports[&Transport::Docker];
    assert_eq!(docker.get("quay.io/team").unwrap()[0].from[0].to_string(), "ClusterImagePolicy/team spec.scopes[0]");
    assert_eq!(in_force(&snapshot, &compiled, None)["worker"], InForce::No);
}

/// The machine-config-operator renders nothing for such a pool.
#[test]
fn an_empty_selector_selects_nothing() {
    let mut everything = pool("everything", &["worker"], "");
    everything["spec"]["machineConfigSelector"] = json!({});
    everything["spec"]["nodeSelector"] = json!({});
    everything["metadata"]["labels"] = json!({});
    let worker = pool("worker", &["worker"], "rendered-worker-1");
    let rendered = machine_config("rendered-worker-1", "worker", &[(POLICY, CUSTOM)]);
    let own = machine_config("99-zz", "worker", &[(POLICY, CUSTOM)]);
    let snapshot =
        snapshot(Source::Manifests, vec![everything, worker, rendered, own, node("n", "worker", "rendered-worker-1")]);
    let compiled = compiled(&snapshot);
    let truth = desired(&snapshot, &compiled).unwrap();
    let group = |name: &str| truth.groups.iter().find(|group| group.names().any(|found| found == name)).unwrap();
    assert_eq!(default_verdict(&group("worker").files), Verdict::Rejects);
    assert_eq!(default_verdict(&group("everything").files), Verdict::AcceptsAnything);
    assert_eq!(&*of_node(&snapshot, &compiled, "n").unwrap().pools[0].name, "worker");
}

#[test]
fn the_bytes_of_every_truth() {
    use oc_imagepolicy::compile::pools::{Which, contents};
    let text = |files: &std::collections::BTreeMap<String, Vec<u8>>, path: &str| {
        String::from_utf8(files[path].clone()).unwrap()
    };
    let snapshot = snapshot(
        Source::MustGather,
        vec![
            version(),
            allowed(&["quay.io"]),
            pool("worker", &["worker"], "rendered-worker-1"),
            pool("infra", &["worker", "infra"], "rendered-infra-1"),
            machine_config("51-infra", "infra", &[(POLICY, CUSTOM)]),
            machine_config("rendered-worker-1", "", &[("/etc/containers/registries.d/a.yaml", "docker: {}\n")]),
            node("w-1", "worker", "rendered-worker-1"),
        ],
    );
    let compiled = compiled(&snapshot);
    let of = |which, pool| contents(&snapshot, &compiled, which, pool);
    let generated =
        compiled.generated.as_ref().unwrap().contents().into_iter().find(|(path, _)| path == POLICY).unwrap();
    let worker = of(Which::Desired, "worker").unwrap();
    assert_eq!(worker[POLICY], generated.1);
    // Nobody delivers it: what OpenShift ships.
    assert!(
        text(&worker, "/etc/containers/registries.conf").starts_with("unqualified-search-registries = ['registry.")
    );
    assert_eq!(text(&of(Which::Desired, "infra").unwrap(), POLICY), CUSTOM);
    for rendered in [of(Which::Rendered, "worker"), of(Which::Node("w-1"), "")] {
        let rendered = rendered.unwrap();
        assert_eq!(text(&rendered, "/etc/containers/registries.d/a.yaml"), "docker: {}\n");
        assert_eq!(text(&rendered, POLICY), oc_imagepolicy::model::policy_write::TEMPLATE);
    }
    for (which, pool, why) in [
        (Which::Rendered, "infra", "the files of pool infra are not known"),
        (Which::Desired, "gpu", "the files of pool gpu are not known"),
        (Which::Node("x"), "", "node x is not known"),
    ] {
        assert_eq!(of(which, pool).unwrap_err(), why);
    }
}
