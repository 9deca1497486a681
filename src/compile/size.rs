//! How large the MachineConfig becomes that is rendered of all those of a pool: the API server takes none beyond 1.5 MiB (domain.md 3.1).

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::generated::Counter;
use super::pools::{built_in, pools, with_overlay, written_members};
use super::{Compiled, Generated};
use crate::model::machine_config::{ROLE, generated_name, overlay_name};
use crate::snapshot::{Object, Snapshot, api};

/// The largest that is rendered, in bytes of JSON.
pub const LARGEST: u64 = 1_572_864;
/// What is far beyond that is not counted to its end.
const COUNTED: u64 = 4 * LARGEST;
/// Of one file beside its path and content, and of the object beside its parts.
const ENTRY: u64 = 130;
const FRAME: u64 = 600;

/// The size of what is rendered for one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// The pool.
    pub pool: Arc<str>,
    /// Bytes of JSON, give or take a percent.
    pub bytes: u64,
    /// Whether it is even more.
    pub is_more: bool,
}

/// How many bytes of JSON a value has.
pub fn json_size(value: &impl Serialize) -> u64 {
    let mut counter = Counter { bytes: 0, most: u64::MAX };
    // Counting does not fail.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.bytes
}

/// What the MachineConfigs of each pool that are known come to, the generated one and ours computed anew. Empty where the controller
/// refuses.
pub fn rendered_sizes(snapshot: &Snapshot, compiled: &Compiled) -> Vec<Size> {
    let Ok(generated) = &compiled.generated else { return Vec::new() };
    let mut computed: Vec<(String, String, Parts)> = Vec::new();
    let parts = computed_parts(generated);
    computed.extend(built_in(snapshot).into_iter().map(|role| (generated_name(&role), role, parts.clone())));
    if let Some(overlay) = compiled.overlay() {
        let parts = computed_parts(&overlay.delivered);
        let roles = with_overlay(snapshot, compiled, overlay);
        computed.extend(roles.into_iter().map(|role| (overlay_name(&role), role, parts.clone())));
    }
    let mut known: HashMap<*const Object<api::MachineConfig>, Parts> = HashMap::new();
    let all = pools(snapshot);
    let of_pool = |pool| {
        let written = written_members(snapshot, compiled, &all, pool);
        for object in &written {
            known.entry(std::ptr::from_ref(*object)).or_insert_with(|| Parts::of(object));
        }
        let written = written.iter().filter_map(|object| {
            let role = object.metadata.labels.get(ROLE).map(String::as_str).unwrap_or_default();
            Some((object.metadata.name.as_str(), role, known.get(&std::ptr::from_ref(*object))?))
        });
        let computed = computed.iter().filter(|(_, role, _)| pool.takes_role(role));
        let computed = computed.map(|(name, role, parts)| (name.as_str(), role.as_str(), parts));
        let mut members: Vec<(&str, &str, &Parts)> = written.chain(computed).collect();
        let is_late = |role: &str| compiled.release.merges_worker_role_first && role != "worker";
        members.sort_by(|a, b| is_late(a.1).cmp(&is_late(b.1)).then_with(|| a.0.cmp(b.0)));
        let mut named: HashMap<(&str, &str), u64> = HashMap::new();
        let mut bytes = FRAME;
        for (_, _, parts) in &members {
            bytes += parts.rest;
            named.extend(parts.named.iter().map(|((what, name), size)| ((*what, name.as_str()), *size)));
        }
        Size {
            pool: Arc::clone(&pool.name),
            bytes: bytes + named.values().sum::<u64>(),
            is_more: members.iter().any(|(_, _, parts)| parts.is_more),
        }
    };
    all.iter().map(of_pool).collect()
}

/// The parts of a MachineConfig: those of which the last one of a name counts, and the rest.
#[derive(Clone, Debug, Default)]
struct Parts {
    named: Vec<((&'static str, String), u64)>,
    rest: u64,
    is_more: bool,
}

impl Parts {
    fn of(object: &Object<api::MachineConfig>) -> Self {
        let config = &object.value.spec.config;
        let mut parts = Self::default();
        for (list, key) in [("/storage/files", "path"), ("/systemd/units", "name")] {
            let entries = config.pointer(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for entry in entries {
                let name = entry.get(key).and_then(Value::as_str).unwrap_or_default();
                parts.named.push(((key, name.to_string()), json_size(entry) + 1));
            }
        }
        let beside =
            ["/kernelArguments", "/extensions"].iter().filter_map(|field| object.raw.pointer("/spec")?.pointer(field));
        let of_config =
            config.as_object().into_iter().flatten().filter(|(key, _)| !matches!(&***key, "storage" | "systemd"));
        parts.rest = beside.map(json_size).sum::<u64>() + of_config.map(|(_, value)| json_size(value)).sum::<u64>();
        parts
    }
}

fn computed_parts(generated: &Generated) -> Parts {
    let mut parts = Parts::default();
    let mut total = 0;
    for file in generated.files() {
        let most = COUNTED.saturating_sub(total);
        let bytes = file.size(most).unwrap_or_else(|_| {
            parts.is_more = true;
            most
        });
        total += bytes;
        let size = ENTRY + file.path.len() as u64 + bytes.div_ceil(3) * 4;
        parts.named.push((("path", file.path), size));
        if parts.is_more {
            break;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::compile;
    use crate::model::machine_config::Form;
    use crate::model::release::Release;
    use crate::snapshot::{Laying, Origin, Source};
    use serde_json::json;

    fn sizes(objects: &[Value]) -> (Vec<Size>, Compiled) {
        let mut snapshot = Snapshot::new(Source::Manifests);
        for object in objects {
            snapshot.insert(object.clone(), Origin::Live, Laying::Beside).unwrap();
        }
        let compiled = compile(&snapshot, Release::newest());
        (rendered_sizes(&snapshot, &compiled), compiled)
    }

    fn machine_config(name: &str, role: &str, path: &str, length: usize) -> Value {
        json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
            "metadata": {"name": name, "labels": {ROLE: role}},
            "spec": {"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": [
                {"path": path, "contents": {"source": format!("data:,{}", "x".repeat(length))}}]}}}})
    }

    #[test]
    fn the_size_is_that_of_what_is_rendered() {
        let registries: Vec<String> = (0..2000).map(|number| format!("registry-{number}.example.com/team")).collect();
        let image = json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
            "spec": {"registrySources": {"allowedRegistries": registries}}});
        let (sizes, compiled) = sizes(&[
            image,
            machine_config("50-a", "worker", "/a", 100_000),
            machine_config("60-a", "worker", "/a", 50_000),
        ]);
        let form = Form::Object { image_uid: None, controller_version: None };
        let generated = json_size(&compiled.generated.unwrap().machine_config("worker", form));
        for (size, own) in sizes.iter().zip([0, 50_000]) {
            let expected = generated + own;
            assert!(size.bytes.abs_diff(expected) * 100 < expected, "{size:?}, not {expected}");
            assert!(!size.is_more);
        }
    }

    #[test]
    fn what_is_far_beyond_is_not_counted_to_its_end() {
        let scopes: Vec<String> =
            (0..256).map(|number| format!("registry-{number}.example.com/team/application")).collect();
        let policy = |kind: &str, name: String, namespace: Option<String>| {
            json!({"apiVersion": "config.openshift.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
                "spec": {"scopes": scopes, "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": "YQ=="}}}}})
        };
        let tenants = (0..5000).map(|number| {
            let mut tenant = policy("ImagePolicy", "own".into(), Some(format!("n{number}")));
            tenant["spec"]["scopes"] = json!(["tenant.example.com"]);
            tenant
        });
        let objects: Vec<Value> = tenants.chain([policy("ClusterImagePolicy", "all".into(), None)]).collect();
        let (sizes, _) = sizes(&objects);
        assert!(sizes.iter().all(|size| size.is_more && size.bytes > LARGEST), "{sizes:?}");
    }
}
