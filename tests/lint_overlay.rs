//! `lint` about MachineConfigs: ours as `apply` writes them, fresh and stale, and those of others that write the same files.

use oc_imagepolicy::compile::{compile, overlay};
use oc_imagepolicy::lint::rules::RULES;
use oc_imagepolicy::lint::{self, Context};
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::snapshot::{Laying, Origin, Snapshot, Source};
use serde_json::{Value, json};

const KEY: &str = "/etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release";
const POLICY: &str = "/etc/containers/policy.json";

fn release() -> &'static Release {
    Release::parse("4.20").unwrap()
}

fn image(signed: &[&str], blocked: &[&str]) -> Value {
    let mut annotations = json!({});
    if !signed.is_empty() {
        let list = json!([{"sigRequiredRegistriesOrImages": signed, "gpgKeyPath": KEY}]);
        annotations["imagepolicy.openshift.io/signed-registries"] = list.to_string().into();
    }
    json!({"apiVersion": "config.openshift.io/v1", "kind": "Image",
           "metadata": {"name": "cluster", "annotations": annotations},
           "spec": {"registrySources": {"blockedRegistries": blocked}}})
}

fn machine_config(name: &str, role: &str, path: &str) -> Value {
    json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
    "metadata": {"name": name, "labels": {"machineconfiguration.openshift.io/role": role}},
    "spec": {"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": [
        {"path": "/etc/hosts", "contents": {"source": "data:,"}},
        {"path": path, "contents": {"source": "data:,%7B%22default%22:[%7B%22type%22:%22reject%22%7D]%7D"}},
    ]}}}})
}

fn pool(name: &str, roles: &[&str]) -> Value {
    json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool", "metadata": {"name": name},
           "spec": {"machineConfigSelector": {"matchExpressions": [
               {"key": "machineconfiguration.openshift.io/role", "operator": "In", "values": roles}]}}})
}

fn snapshot(objects: &[Value]) -> Snapshot {
    let mut snapshot = Snapshot::new(Source::MustGather);
    let version = json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion", "metadata": {"name": "version"},
        "status": {"desired": {"version": "4.20.1", "image": format!("quay.io/openshift-release-dev/ocp-release@sha256:{}", "a".repeat(64))}}});
    for object in objects.iter().cloned().chain([version]) {
        snapshot.insert(object, Origin::Live, Laying::Beside).unwrap();
    }
    for kind in [
        oc_imagepolicy::snapshot::Kind::MachineConfig,
        oc_imagepolicy::snapshot::Kind::Image,
        oc_imagepolicy::snapshot::Kind::ClusterImagePolicy,
    ] {
        snapshot.mark_read(kind);
    }
    snapshot
}

/// What `apply` would write for these objects.
fn overlay_of(objects: &[Value]) -> Vec<Value> {
    let snapshot = snapshot(objects);
    let compiled = compile(&snapshot, release());
    let overlay = compiled.overlay().unwrap_or_else(|| panic!("no overlay: {:?}", compiled.refusals()));
    overlay::machine_configs(&snapshot, &compiled, overlay).unwrap()
}

/// Findings of the two rules: level, code, object, path and message.
fn told(objects: &[Value]) -> Vec<String> {
    told_by(&[502, 508], objects).into_iter().map(|(line, _)| line).collect()
}

/// The same of other rules, with the effect.
fn told_by(codes: &[u16], objects: &[Value]) -> Vec<(String, String)> {
    let snapshot = snapshot(objects);
    let compiled = compile(&snapshot, release());
    let rules: Vec<_> = RULES.iter().copied().filter(|rule| codes.contains(&rule.code)).collect();
    let outcome = lint::run(&Context::new(&snapshot, &compiled), &rules);
    assert!(outcome.skipped.is_empty());
    let line = |f: &lint::Finding| {
        (format!("{} {} {} {}: {}", f.level.word(), f.rule.code, f.object, f.path, f.message), f.effect.clone())
    };
    outcome.findings.iter().map(line).collect()
}

#[test]
fn a_fresh_overlay_is_fine_and_an_old_one_is_told_of() {
    let signed = image(&["registry.redhat.io"], &["untrusted.example.com"]);
    let ours = overlay_of(std::slice::from_ref(&signed));
    assert_eq!(ours.len(), 2);
    let with = |image: &Value| told(&[&[image.clone()][..], &ours].concat());
    assert_eq!(with(&signed), [] as [&str; 0]);

    let stale = [
        "error 508 MachineConfig/99-master-imagepolicy metadata.annotations.imagepolicy.openshift.io/inputs: \
         MachineConfig/99-master-imagepolicy no longer fits the objects that it was made from",
        "error 508 MachineConfig/99-worker-imagepolicy metadata.annotations.imagepolicy.openshift.io/inputs: \
         MachineConfig/99-worker-imagepolicy no longer fits the objects that it was made from",
    ];
    assert_eq!(with(&image(&["registry.redhat.io", "quay.io/a"], &["untrusted.example.com"])), stale);
    assert_eq!(with(&image(&["registry.redhat.io"], &["untrusted.example.com", "evil.example.com"])), stale);

    let for_nothing = with(&image(&[], &["untrusted.example.com"]));
    assert_eq!(for_nothing.len(), 2, "{for_nothing:?}");
    assert!(for_nothing[0].ends_with("nothing asks for MachineConfig/99-master-imagepolicy any more"));

    let [worker] = ours.iter().filter(|o| o["metadata"]["name"] == "99-worker-imagepolicy").collect::<Vec<_>>()[..]
    else {
        panic!("{ours:?}")
    };
    let one_is_missing = told(&[signed.clone(), worker.clone()]);
    assert_eq!(
        one_is_missing,
        [
            "error 508 Image/cluster metadata.annotations.imagepolicy.openshift.io/signed-registries[0].sigRequiredRegistriesOrImages[0]: \
          signedRegistries has no effect in pool master: MachineConfig 99-master-imagepolicy is missing"
        ]
    );
    assert_eq!(told(&[signed]).len(), 1, "both are missing");
}

#[test]
fn machine_configs_of_others() {
    let blocked = image(&[], &["untrusted.example.com"]);
    let pools = [pool("master", &["master"]), pool("worker", &["worker"]), pool("infra", &["worker", "infra"])];
    let case = |first: &Value, others: &[Value]| told(&[std::slice::from_ref(first), &pools[..], others].concat());

    assert_eq!(
        case(&blocked, &[machine_config("51-worker-own", "worker", POLICY)]),
        ["warning 502 MachineConfig/51-worker-own spec.config.storage.files[1].path: /etc/containers/policy.json of \
          MachineConfig/51-worker-own is not what nodes get, in pools worker and infra: MachineConfig/99-worker-generated-registries wins"]
    );
    assert_eq!(
        case(&blocked, &[machine_config("00-own", "infra", POLICY)]),
        [
            "error 502 MachineConfig/00-own spec.config.storage.files[1].path: /etc/containers/policy.json of MachineConfig/00-own \
          wins over the controller's, in pool infra"
        ]
    );
    assert_eq!(
        case(&blocked, &[machine_config("99-worker-own", "worker", "/etc/containers/registries.d/own.yaml")]),
        [] as [&str; 0]
    );
    let mut template = machine_config("01-worker-container-runtime", "worker", POLICY);
    template["metadata"]["annotations"] =
        json!({"machineconfiguration.openshift.io/generated-by-controller-version": "x"});
    assert_eq!(case(&blocked, &[template]), [] as [&str; 0]);

    let signed = image(&["registry.redhat.io"], &["untrusted.example.com"]);
    let mut ours = overlay_of(&[std::slice::from_ref(&signed), &pools[..]].concat());
    ours.push(machine_config("99-worker-zz", "worker", POLICY));
    assert_eq!(
        case(&signed, &ours),
        ["error 508 MachineConfig/99-worker-zz spec.config.storage.files[1].path: /etc/containers/policy.json of \
          MachineConfig/99-worker-zz wins over that of our own MachineConfig, in pools worker and infra"]
    );
    ours.pop();
    ours.push(machine_config("99-worker-i", "worker", POLICY));
    assert_eq!(
        case(&signed, &ours),
        ["warning 502 MachineConfig/99-worker-i spec.config.storage.files[1].path: /etc/containers/policy.json of \
          MachineConfig/99-worker-i is not what nodes get, in pools worker and infra: MachineConfig/99-worker-imagepolicy wins"]
    );
}

/// Pools ask for the same signatures and may differ in what they need to check them.
#[test]
fn what_one_pool_has_and_another_lacks() {
    const TEAM: &str = "/etc/pki/team.gpg";
    let list = json!([{"sigRequiredRegistriesOrImages": ["registry.example.com"], "gpgKeyPath": TEAM}]).to_string();
    let mut image = image(&[], &[]);
    image["metadata"]["annotations"] = json!({"imagepolicy.openshift.io/signed-registries": list});
    let lookaside = |role: &str| {
        let mut object = machine_config(&format!("51-{role}-lookaside"), role, "/etc/containers/registries.d/own.yaml");
        let source = "data:,docker:%0A  registry.example.com:%0A    lookaside: https://signatures.example.com%0A";
        object["spec"]["config"]["storage"]["files"][1]["contents"]["source"] = source.into();
        object
    };
    let key = |role: &str| machine_config(&format!("51-{role}-key"), role, TEAM);
    let lacking = |others: &[Value]| -> Vec<String> {
        let of = |effect: &str| {
            effect.split(" look into").next().unwrap().split(" reject every").next().unwrap().to_string()
        };
        told_by(&[113, 318], &[std::slice::from_ref(&image), others].concat())
            .iter()
            .map(|(line, effect)| format!("{} {}", line.split(' ').nth(1).unwrap(), of(effect)))
            .collect()
    };
    let (both, master, worker) = ("nodes of pools master and worker", "nodes of pool master", "nodes of pool worker");
    assert_eq!(lacking(&[]), [format!("113 {both}"), format!("318 {both}")]);
    assert_eq!(lacking(&[key("master"), lookaside("master")]), [format!("113 {worker}"), format!("318 {worker}")]);
    assert_eq!(lacking(&[key("master"), lookaside("worker")]), [format!("113 {worker}"), format!("318 {master}")]);
    assert_eq!(lacking(&[key("master"), key("worker")]), [format!("318 {both}")]);
}
