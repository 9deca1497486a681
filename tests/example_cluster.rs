//! The example cluster: a controller takes it, nodes read what comes out, and its keys are what its README says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oc_imagepolicy::compile::{NoteKind, compile};
use oc_imagepolicy::model::keys::{inspect_certificates, inspect_public_key, inspect_rekor_key};
use oc_imagepolicy::model::policy::Verdict;
use oc_imagepolicy::model::private_keys::contains_private_key;
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::resolve::Resolver;
use oc_imagepolicy::snapshot::{Laying, Origin, Snapshot, Source};
use serde::Deserialize;
use serde_json::Value;

fn objects() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/example-cluster");
    let mut objects = Vec::new();
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "yaml") {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("# "), "{} does not say what it is for", file.display());
            for document in serde_yaml::Deserializer::from_str(&text) {
                objects.push(Value::deserialize(document).unwrap());
            }
        }
    }
    objects
}

fn snapshot(source: Source) -> Snapshot {
    let mut snapshot = Snapshot::new(source);
    for object in objects() {
        snapshot.insert(object, Origin::Live, Laying::Beside).unwrap();
    }
    snapshot
}

#[test]
fn the_controller_takes_it_and_nodes_read_it() {
    use Verdict::{AcceptsAnything, Rejects, RequiresSignature};
    for source in [Source::Manifests, Source::MustGather] {
        let compiled = compile(&snapshot(source), Release::parse("4.21").unwrap());
        let notes: Vec<NoteKind> = compiled.notes.iter().map(|note| note.kind).collect();
        assert_eq!(notes, [NoteKind::ImagePolicyScopeIgnored], "{:?}", compiled.notes);
        let files = compiled.generated.expect("refused").files;
        assert_eq!(files.check(), []);

        let cluster = Resolver::new(&files, None).unwrap();
        let analytics = Resolver::new(&files, Some("analytics")).unwrap();
        for (image, expected, in_analytics) in [
            ("quay.io/openshift-release-dev/ocp-release:4.21.4", RequiresSignature, RequiresSignature),
            ("registry.example.com/shop/cart:v1", RequiresSignature, RequiresSignature),
            ("registry.example.com/shop/base/jre:21", AcceptsAnything, AcceptsAnything),
            ("registry.example.com/analytics/notebook:v1", AcceptsAnything, RequiresSignature),
            ("pipelines.example.net/release/api:v1", RequiresSignature, RequiresSignature),
            ("pipelines.example.net/nightly/api:v1", Rejects, Rejects),
            ("image-registry.openshift-image-registry.svc:5000/shop/built:latest", Rejects, Rejects),
        ] {
            let verdict = |resolver: &Resolver<'_>| resolver.resolve(image).unwrap().verdict();
            assert_eq!((verdict(&cluster), verdict(&analytics)), (expected, in_analytics), "{image}");
        }
        let scope = |resolver: &Resolver<'_>| {
            format!("{:?}", resolver.resolve("registry.example.com/base/ubi:9-dev").unwrap().matched())
        };
        assert!(!scope(&cluster).contains(":9-dev") && scope(&analytics).contains(":9-dev"));
    }
}

#[test]
fn one_key_is_damaged_and_the_others_are_good() {
    let mut keys = BTreeMap::new();
    for object in objects() {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(!contains_private_key(object.to_string()), "{name}");
        let root = &object["spec"]["policy"]["rootOfTrust"];
        let decoded =
            |member: &str, field: &str| root[member][field].as_str().map(|text| STANDARD.decode(text).unwrap());
        if let Some(key) = decoded("publicKey", "keyData") {
            let words =
                inspect_public_key(&key).map_or_else(|problem| problem.to_string(), |key| key.algorithm.to_string());
            keys.insert(name.clone(), words);
        }
        for member in ["publicKey", "fulcioCAWithRekor"] {
            if let Some(key) = decoded(member, "rekorKeyData") {
                inspect_rekor_key(&key).unwrap();
            }
        }
        if let Some(ca) = decoded("fulcioCAWithRekor", "fulcioCAData") {
            let ca = inspect_certificates(&ca).unwrap();
            assert!(ca.skipped.is_empty() && ca.read.iter().all(|certificate| certificate.is_ca));
            assert!(ca.read[0].not_after_text().as_str() > "2040");
            keys.insert(name, ca.read[0].subject.clone());
        }
    }
    let keys: Vec<(&str, &str)> = keys.iter().map(|(name, words)| (name.as_str(), words.as_str())).collect();
    assert_eq!(
        keys,
        [
            ("base-images", "ECDSA P-384"),
            ("experimental-base", "ECDSA P-256"),
            ("notebooks", "Ed25519"),
            ("openshift", "RSA 4096"),
            ("partners", "RSA 3072"),
            ("pipelines", "CN=Example Signing CA,O=Example Corp"),
            ("shop", "ECDSA P-256"),
            (
                "vendor-agent",
                "has the right markers, but its body cannot be read: it is cut off, damaged, or never was a public key"
            ),
            ("web", "ECDSA P-256"),
        ]
    );
}
