//! Lint against what the real API server said: the `api-*` vectors.

mod support;

use oc_imagepolicy::admission::{ApiRule, refusals};
use oc_imagepolicy::compile::compile;
use oc_imagepolicy::lint::rules::RULES;
use oc_imagepolicy::lint::{self, Context, Finding};
use oc_imagepolicy::model::provenance::RefusedBy;
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::snapshot::{Laying, Origin, Snapshot, Source};
use serde_json::Value;

fn findings(objects: &[Value], release: &str) -> Vec<Finding> {
    let mut snapshot = Snapshot::new(Source::Manifests);
    for object in objects {
        snapshot.insert(object.clone(), Origin::Live, Laying::Beside).unwrap();
    }
    let compiled = compile(&snapshot, Release::parse(release).unwrap());
    lint::run(&Context::new(&snapshot, &compiled), RULES).findings
}

/// A finding refused by the API server exactly where the server refuses, and its words in it.
fn api(release: &str, at_least: usize) {
    let mut lines = 0;
    for line in support::vector_lines(&format!("api-{release}")) {
        let line: Value = serde_json::from_str(&line).unwrap();
        let id = &line["id"];
        let found = findings(std::slice::from_ref(&line["object"]), release);
        let found: Vec<&Finding> = found.iter().filter(|finding| finding.refused_by == Some(RefusedBy::Api)).collect();
        assert_eq!(found.is_empty(), line["accepted"] == true, "{id}: {found:#?}");
        for cause in line["causes"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let (path, message) = (cause[0].as_str().unwrap(), cause[1].as_str().unwrap());
            let tells = |finding: &&&Finding| finding.path == path && finding.effect.contains(message);
            assert!(
                path == "<nil>" || found.iter().any(|finding| tells(&finding)),
                "{id}: {path}: {message}\n{found:#?}"
            );
        }
        lines += 1;
    }
    assert!(lines >= at_least, "{lines} lines");
}

#[test]
fn api_4_18() {
    api("4.18", 700);
}

#[test]
fn api_4_20() {
    api("4.20", 700);
}

#[test]
fn api_5_2() {
    api("5.2", 1200);
}

/// Objects that cannot even be decoded are held against the API server all the same.
#[test]
fn what_cannot_be_decoded_is_refused_too() {
    let policy = |spec: Value| serde_json::json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": "a"}, "spec": spec});
    let key = {
        let line = support::vector_lines("api-5.2").next().unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        line["object"]["spec"]["policy"]["rootOfTrust"].clone()
    };
    for (spec, rule) in [
        (serde_json::json!({"scopes": "quay.io", "policy": {"rootOfTrust": key}}), ApiRule::Field),
        (serde_json::json!({"scopes": [7], "policy": {"rootOfTrust": key}}), ApiRule::Scope),
        (
            serde_json::json!({"scopes": ["quay.io"], "policy": {"rootOfTrust": {"policyType": 7}}}),
            ApiRule::RootOfTrust,
        ),
    ] {
        let object = policy(spec);
        let expected: Vec<ApiRule> = refusals(Release::newest(), &object).iter().map(|cause| cause.rule).collect();
        assert!(expected.contains(&rule), "{object}: {expected:?}");
        let found = findings(std::slice::from_ref(&object), "5.2");
        assert!(found.iter().any(|finding| finding.refused_by == Some(RefusedBy::Api)), "{object}: {found:#?}");
    }
}

/// A private key is found wherever it is pasted, and never repeated.
#[test]
fn private_keys_are_not_repeated() {
    // Made once with openssl and thrown away; nothing was ever signed with it.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1JhkU0pDUoTWWJBN\n\
                           Yk1PSDFkZmFrZWZha2VmYWtlZmFrZWShRANCAAQxYWJjZGVmZ2hpamtsbW5vcHFy\n-----END PRIVATE KEY-----\n";
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(PRIVATE);
    let body = &encoded[60..100];
    let line = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1JhkU0pDUoTWWJBN";
    for release in ["4.18", "4.20", "5.2"] {
        let version = if release == "4.18" { "v1alpha1" } else { "v1" };
        for (key, scope) in
            [(encoded.as_str(), "quay.io"), (PRIVATE, "quay.io"), ("LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0K", PRIVATE)]
        {
            let object = serde_json::json!({
                "apiVersion": format!("config.openshift.io/{version}"), "kind": "ClusterImagePolicy", "metadata": {"name": "a"},
                "spec": {"scopes": [scope], "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": key}}}},
            });
            let found = findings(&[object], release);
            assert!(!found.is_empty(), "{release}");
            for finding in &found {
                let text = serde_json::to_string(finding).unwrap();
                assert!(!text.contains(body) && !text.contains(line), "{release}: {text}");
            }
        }
    }
}

/// The command that IMP302 gives makes it fall silent: the MachineConfigs in it are those that a node needs.
#[test]
fn attachments_are_on_after_the_command() {
    let policy = serde_json::json!({"apiVersion": "config.openshift.io/v1alpha1", "kind": "ClusterImagePolicy", "metadata": {"name": "a"},
        "spec": {"scopes": ["*.example.com", "registry.example.com/team", "quay.io"], "policy": {"rootOfTrust": {"policyType": "PublicKey",
        "publicKey": {"keyData": "Zm9v"}}}}});
    let mirrors = serde_json::json!({"apiVersion": "config.openshift.io/v1", "kind": "ImageDigestMirrorSet", "metadata": {"name": "a"},
    "spec": {"imageDigestMirrors": [
        {"source": "registry.example.com/team", "mirrors": ["mirror.example.net:8443/team"]},
        {"source": "quay.io/deep/path", "mirrors": ["mirror.example.net/deep"]},
    ]}});
    let mut objects = vec![policy, mirrors];
    let of_302 = |objects: &[Value]| -> Vec<Finding> {
        findings(objects, "4.16").into_iter().filter(|finding| finding.rule.code == 302).collect()
    };
    let found = of_302(&objects);
    assert_eq!(found.len(), 2, "{found:#?}");
    for finding in &found {
        let command = finding.help.lines().last().unwrap();
        let list = command.strip_prefix("oc apply -f - <<<'").unwrap().strip_suffix('\'').unwrap();
        let list: Value = serde_json::from_str(list).unwrap();
        objects.extend(list["items"].as_array().unwrap().iter().cloned());
    }
    assert_eq!(objects.len(), 2 + 4);
    let left = of_302(&objects);
    assert!(left.is_empty(), "{left:#?}");
}
