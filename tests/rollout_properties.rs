//! Forecast and status of anything that an API or a file may hold: no panic, and what must hold does.

use oc_imagepolicy::compile::compile;
use oc_imagepolicy::model::release::RELEASES;
use oc_imagepolicy::rollout::{ChangedFile, State, forecast, status};
use oc_imagepolicy::snapshot::{Laying, Origin, Snapshot, Source};
use proptest::prelude::*;
use serde_json::{Value, json};

const GROUP: &str = "machineconfiguration.openshift.io";

/// Something that may stand where it makes no sense.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof!["[0-9]{1,25}%", "-?[0-9]{1,3}%?", ".{0,8}"].prop_map(Value::from),
        Just(json!([])),
        Just(json!({"a": [1]})),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "rendered-1", "rendered-2", "gone", "\u{1b}[31m"])
}

fn path() -> impl Strategy<Value = String> {
    let known = vec![
        "/etc/containers/policy.json",
        "/etc/containers/registries.conf",
        "/etc/containers/registries.d/x.yaml",
        "/etc/crio/policies/a.json",
        "/etc/pki/x",
        "/",
        "",
        "relative",
    ];
    prop_oneof![prop::sample::select(known).prop_map(String::from), "[/a-z.]{0,20}"]
}

prop_compose! {
    fn pool()(wanted in name(), has in name(), paused in any::<bool>(), at_once in anything(), count in any::<i64>(),
        updated in any::<i64>(), condition in anything(), message in ".{0,30}") -> Value {
        json!({"apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfigPool", "metadata": {"name": "worker"},
            "spec": {"paused": paused, "maxUnavailable": at_once, "configuration": {"name": wanted},
                "nodeSelector": {"matchLabels": {"r": "w"}}},
            "status": {"configuration": {"name": has}, "machineCount": count, "updatedMachineCount": updated,
                "conditions": [{"type": "NodeDegraded", "status": "False", "message": message}, {"type": "X", "extra": condition}]}})
    }
}

prop_compose! {
    fn node()(number in 0..1000, current in name(), desired in name(), state in "Done|Working|Degraded|Rebooting|.{0,5}",
        reason in ".{0,20}", ready in "True|False|.{0,3}") -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("n{number}"), "labels": {"r": "w"},
            "annotations": {format!("{GROUP}/currentConfig"): current, format!("{GROUP}/desiredConfig"): desired,
                format!("{GROUP}/state"): state, format!("{GROUP}/reason"): reason}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    }
}

prop_compose! {
    fn machine_configuration()(paths in prop::collection::vec((path(), "None|Reload|Drain|Reboot|Special|.{0,6}"), 0..6),
        odd in anything(), in_status in any::<bool>()) -> Value {
        let files: Vec<Value> = paths.iter().map(|(path, kind)| json!({"path": path, "actions": [{"type": kind, "reload": odd}]})).collect();
        let (spec, status) = match in_status {
            true => (odd.clone(), json!({"nodeDisruptionPolicyStatus": {"clusterPolicies": {"files": files}}, "observedGeneration": odd})),
            false => (json!({"nodeDisruptionPolicy": {"files": files}}), odd.clone()),
        };
        json!({"apiVersion": "operator.openshift.io/v1", "kind": "MachineConfiguration", "metadata": {"name": "cluster"},
            "spec": spec, "status": status})
    }
}

fn snapshot(objects: &[Value]) -> Snapshot {
    let mut snapshot = Snapshot::new(Source::MustGather);
    for object in objects {
        // Two nodes of one name are refused, as they should be.
        let _ = snapshot.insert(object.clone(), Origin::Live, Laying::Beside);
    }
    for name in ["rendered-1", "rendered-2"] {
        let object = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "MachineConfig", "metadata": {"name": name}, "spec": {"config": {}}});
        snapshot.insert(object, Origin::Live, Laying::Beside).unwrap();
    }
    snapshot
}

proptest! {
    #[test]
    fn forecasts_of_anything(pool in pool(), policy in machine_configuration(), release in 0..RELEASES.len(),
        files in prop::collection::vec((path(), prop::option::of(any::<Vec<u8>>()), prop::option::of(any::<Vec<u8>>())), 0..6)) {
        let snapshot = snapshot(&[pool, policy]);
        let changed: Vec<ChangedFile> = files
            .iter()
            .map(|(path, before, after)| ChangedFile { path, before: before.as_deref(), after: after.as_deref() })
            .collect();
        let all = forecast(&snapshot, &RELEASES[release], "worker", &changed);
        let worst = changed.iter().map(|file| forecast(&snapshot, &RELEASES[release], "worker", &[*file]).action).max();
        prop_assert_eq!(Some(all.action), worst.or(Some(all.action)), "all of it is as bad as the worst of it");
        prop_assert_eq!(all.path.is_some(), files.iter().any(|(_, before, after)| before != after));
        prop_assert!(all.waves.is_none_or(|waves| waves <= all.nodes.unwrap_or(0)));
        let _ = all.to_string();
    }

    #[test]
    fn statuses_of_anything(pool in pool(), nodes in prop::collection::vec(node(), 0..8)) {
        let objects: Vec<Value> = std::iter::once(pool).chain(nodes).collect();
        let snapshot = snapshot(&objects);
        let compiled = compile(&snapshot, &RELEASES[8]);
        let status = status(&snapshot, &compiled);
        for pool in &status.pools {
            let of_pool = status.nodes.iter().filter(|node| node.pool == pool.name);
            if !status.nodes.is_empty() {
                prop_assert_eq!(pool.nodes as usize, of_pool.clone().count());
                prop_assert!(pool.updated <= pool.nodes);
            }
            // Nobody is told that all is well while some node is not.
            let all_done = of_pool.clone().all(|node| node.state == State::Done && *node.current == *pool.wanted);
            prop_assert!(pool.state != State::Done || all_done, "{:?}", status);
            prop_assert!(pool.state < State::Stuck || pool.reason.is_some());
        }
    }
}
