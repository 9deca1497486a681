//! Levels and words of findings on small clusters that a review went through: what is a fault, and what only a note.

use oc_imagepolicy::compile::compile;
use oc_imagepolicy::lint::rules::RULES;
use oc_imagepolicy::lint::{self, Context};
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::snapshot::{Laying, Origin, Snapshot, Source};
use serde_json::{Value, json};

/// Level and message of each finding of a rule.
fn found(code: u16, objects: &[Value]) -> Vec<(String, String)> {
    let mut snapshot = Snapshot::new(Source::Manifests);
    for object in objects {
        snapshot.insert(object.clone(), Origin::Live, Laying::Beside).unwrap();
    }
    let compiled = compile(&snapshot, Release::parse("4.20").unwrap());
    let findings = lint::run(&Context::new(&snapshot, &compiled), RULES).findings;
    let of_rule = findings.into_iter().filter(|finding| finding.rule.code == code);
    of_rule.map(|finding| (finding.level.word().to_string(), finding.message)).collect()
}

fn levels(code: u16, objects: &[Value]) -> Vec<String> {
    found(code, objects).into_iter().map(|(level, _)| level).collect()
}

fn image(sources: Value) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
           "spec": {"registrySources": sources}})
}

fn mirror(source: &str, mirror: &str) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "ImageDigestMirrorSet", "metadata": {"name": "mirrors"},
           "spec": {"imageDigestMirrors": [{"source": source, "mirrors": [mirror]}]}})
}

fn pod(image: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"},
           "spec": {"containers": [{"name": "web", "image": image}]}})
}

/// The acknowledgement is asked for because of any mirror set; only mirrored releases need signatures.
#[test]
fn mirrors_of_other_images_do_not_stand_in_the_way_of_an_update() {
    let mirrored = |source| levels(601, &[mirror(source, "mirror.lab.local:8443/x/y")]);
    assert_eq!(mirrored("registry.example.com/team"), ["info"]);
    assert_eq!(mirrored("quay.io/openshift-release-dev/ocp-release"), ["error"]);
    assert_eq!(mirrored("quay.io"), ["error"]);
}

/// Nodes compare the name that a pod asks for.
#[test]
fn a_mirror_that_nothing_names_need_not_be_allowed() {
    let allowed = image(json!({"allowedRegistries": ["registry.redhat.io"]}));
    let mirrors = mirror("registry.redhat.io", "mirror.lab.local:8443/rh");
    assert_eq!(levels(303, &[allowed.clone(), mirrors.clone()]), ["warning"]);
    let by_source = [allowed.clone(), mirrors.clone(), pod("registry.redhat.io/ubi9/ubi:9.5")];
    assert_eq!(levels(303, &by_source), ["info"]);
    assert_eq!(levels(303, &[allowed, mirrors, pod("mirror.lab.local:8443/rh/ubi9/ubi:9.5")]), ["warning"]);
}

#[test]
fn a_wildcard_that_only_permits_may_mean_just_that() {
    let of = |list: &str| image(json!({list: ["*.apps.example.com"]}));
    assert_eq!(levels(217, &[of("allowedRegistries")]), ["info"]);
    assert_eq!(levels(217, &[of("insecureRegistries")]), ["info"]);
    assert_eq!(levels(217, &[of("blockedRegistries")]), ["warning"]);
    assert_eq!(levels(217, &[of("allowedRegistries"), pod("apps.example.com/web:v1")]), ["warning"]);
}

#[test]
fn a_pool_that_is_behind_and_not_updating() {
    let pool = |updating: &str| {
        json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfigPool", "metadata": {"name": "worker"},
               "spec": {"configuration": {"name": "rendered-worker-2"}},
               "status": {"configuration": {"name": "rendered-worker-1"}, "conditions": [{"type": "Updating", "status": updating}]}})
    };
    assert_eq!(levels(503, &[pool("True")]), ["info"]);
    assert_eq!(levels(503, &[pool("False")]), ["warning"]);
}

#[test]
fn an_unknown_policy_type_is_named() {
    let policy = |root: Value| {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": "team"},
               "spec": {"scopes": ["registry.example.com/team"], "policy": {"rootOfTrust": root}}})
    };
    let messages = found(104, &[policy(json!({"policyType": "Cosign", "publicKey": {"keyData": KEY}}))]);
    assert!(
        !messages.is_empty() && messages.iter().all(|(_, text)| text.starts_with("policyType is Cosign,")),
        "{messages:?}"
    );
}

#[test]
fn texts_of_any_length_fit_into_a_message() {
    let policy = json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": "team"},
        "spec": {"scopes": [format!("registry.example.com/{}", "ä".repeat(1_000_000))],
                 "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": ""}}}}});
    let messages = found(105, &[policy]);
    assert!(!messages.is_empty() && messages.iter().all(|(_, message)| message.len() < 3000), "{}", messages.len());
}

const KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFbEF0L0E5c3EvWUdRWFdUOVhMeEp4U3pQRExrUApwV2puSEhXbVdjRlB2Z05MQkE0M254S2F2NVVDTCtqNTlZcHVFTzhmRHhjVTQxclcyMTVRN0VnNDFRPT0KLS0tLS1FTkQgUFVCTElDIEtFWS0tLS0tCg==";
