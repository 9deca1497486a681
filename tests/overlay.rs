//! signedRegistries and the overlay (domain.md 8.4): what our own MachineConfigs deliver, read by the real engine, and what comes of
//! it in every pool.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use oc_imagepolicy::compile::in_force::InForce;
use oc_imagepolicy::compile::overlay::{self, Overlay};
use oc_imagepolicy::compile::pools::{Which, contents};
use oc_imagepolicy::compile::pools::{desired, rendered};
use oc_imagepolicy::compile::signed_registries::ANNOTATION;
use oc_imagepolicy::compile::{Compiled, NoteKind, compile, in_force};
use oc_imagepolicy::model::machine_config::{Form, INPUTS, MADE_FROM, ignition, object};
use oc_imagepolicy::model::policy::Verdict;
use oc_imagepolicy::model::provenance::{RefusalReason, RefusedBy};
use oc_imagepolicy::model::release::{RELEASES, Release};
use oc_imagepolicy::resolve::Resolver;
use oc_imagepolicy::snapshot::{Delivery, Kind, Laying, Origin, Snapshot, Source};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::reference::{Engine, Request, Verdict as Engines};

const POLICY: &str = "/etc/containers/policy.json";
const ATTACHMENTS: &str = "/etc/containers/registries.d/sigstore-registries.yaml";
const LOOKASIDES: &str = "/etc/containers/registries.d/imagepolicy.yaml";
const KEY: &str = "/etc/pki/team.gpg";
const PAYLOAD: &str =
    "quay.io/openshift-release-dev/ocp-release@sha256:eee65f53e9421ce50211670eae679f02e8d28a79023c39c200661fccd268a29a";

fn image(sources: Value) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
           "spec": {"registrySources": sources}})
}

fn signed(items: &[(&[&str], &str)]) -> Value {
    let item = |(scopes, key): &(&[&str], &str)| json!({"sigRequiredRegistriesOrImages": scopes, "gpgKeyPath": key});
    items.iter().map(item).collect()
}

fn policy(kind: &str, name: &str, namespace: &str, scopes: &[&str]) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
           "spec": {"scopes": scopes, "policy": {
               "rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": "Zm9vIGJhcg=="}}}}})
}

fn cip(name: &str, scopes: &[&str]) -> Value {
    policy("ClusterImagePolicy", name, "", scopes)
}

fn ip(namespace: &str, name: &str, scopes: &[&str]) -> Value {
    policy("ImagePolicy", name, namespace, scopes)
}

fn version(release: &str) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion", "metadata": {"name": "version"},
           "status": {"desired": {"version": format!("{release}.0"), "image": PAYLOAD}}})
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
                    "configuration": {"name": rendered}}})
}

fn snapshot_of(source: Source, objects: &[Value]) -> Snapshot {
    let mut snapshot = Snapshot::new(source);
    for object in objects {
        snapshot.insert(object.clone(), Origin::Live, Laying::Beside).unwrap();
    }
    snapshot
}

fn release(text: &str) -> &'static Release {
    Release::parse(text).unwrap()
}

fn compiled(objects: &[Value]) -> Compiled {
    compiled_for("5.2", objects)
}

fn compiled_for(text: &str, objects: &[Value]) -> Compiled {
    let objects: Vec<Value> = objects.iter().cloned().chain([version(text)]).collect();
    compile(&snapshot_of(Source::Manifests, &objects), release(text))
}

fn ours(compiled: &Compiled) -> &Overlay {
    compiled.overlay().unwrap_or_else(|| panic!("{:?}", compiled.refusals()))
}

fn file(overlay: &Overlay, path: &str) -> Option<String> {
    let files = overlay.delivered.files();
    files.iter().find(|file| file.path == path).map(|file| String::from_utf8(file.bytes()).unwrap())
}

/// Scope → what it asks for, in short: a GPG key by its path, `sigstore`, or the type.
fn scopes(policy: &str, transport: &str) -> BTreeMap<String, Vec<String>> {
    let policy: Value = serde_json::from_str(policy).unwrap();
    let in_short = |requirement: &Value| match requirement["type"].as_str().unwrap() {
        "signedBy" => {
            assert_eq!(requirement["keyType"], "GPGKeys");
            assert_eq!(requirement["signedIdentity"], json!({"type": "matchRepoDigestOrExact"}));
            requirement["keyPath"].as_str().unwrap().to_string()
        }
        "sigstoreSigned" => "sigstore".to_string(),
        other => other.to_string(),
    };
    let map = policy["transports"][transport].as_object().cloned().unwrap_or_default();
    let list = |list: Value| list.as_array().unwrap().iter().map(in_short).collect();
    map.into_iter().map(|(scope, requirements)| (scope, list(requirements))).collect()
}

fn expected(table: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    table.iter().map(|(scope, list)| (scope.to_string(), list.iter().map(ToString::to_string).collect())).collect()
}

/// The seed's sample, its first path with the seed's own slip.
fn seed() -> Value {
    image(json!({
        "allowedRegistries": ["quay.io/allowed"],
        "signedRegistries": signed(&[
            (&["image-registry.openshift-image-registry.svc:5000", "quay.io/sign/repository:latest"], "//tmp/key1.gpg"),
            (&["example.com"], "/tmp/key2.gpg"),
        ]),
    }))
}

const ACCEPT: &[&str] = &["insecureAcceptAnything"];
const REJECT: &[&str] = &["reject"];
const SIGSTORE: &[&str] = &["sigstore"];
const KEY1: &[&str] = &["/tmp/key1.gpg"];
const KEY2: &[&str] = &["/tmp/key2.gpg"];

#[test]
fn v6_the_seeds_sample() {
    let compiled = compiled(&[seed()]);
    let policy = file(ours(&compiled), POLICY).unwrap();
    assert!(policy.starts_with("{\n  \"default\": [\n    {\n      \"type\": \"reject\"\n"), "{policy}");
    let table = expected(&[
        ("example.com", KEY2),
        ("image-registry.openshift-image-registry.svc:5000", KEY1),
        ("quay.io/allowed", ACCEPT),
        ("quay.io/sign/repository:latest", KEY1),
    ]);
    assert_eq!(scopes(&policy, "docker"), table);
    assert_eq!(scopes(&policy, "atomic"), table);
    let parsed: Value = serde_json::from_str(&policy).unwrap();
    assert_eq!(parsed["transports"]["docker-daemon"], json!({"": [{"type": "insecureAcceptAnything"}]}));
    assert_eq!(compiled.notes.iter().filter(|note| note.kind == NoteKind::SignedRegistries).count(), 1);
    // The controller's own file knows nothing of it.
    let generated = compiled.generated.as_ref().unwrap();
    let own = generated.files().into_iter().find(|file| file.path == POLICY).unwrap().bytes();
    assert_eq!(scopes(&String::from_utf8(own).unwrap(), "docker"), expected(&[("quay.io/allowed", ACCEPT)]));
}

/// What the seed prints itself: a path as `keyData`, on which every pull ends.
#[test]
fn the_seeds_own_output_does_not_load() {
    let wrong = r#"{"default":[{"type":"reject"}],"transports":{"docker":{"example.com":[{"type":"signedBy","keyType":"GPGKeys","keyData":"/tmp/key1.gpg"}]}}}"#;
    let ours = file(super_seed(), POLICY).unwrap();
    let answers = Engine::start().ask(&[
        Request { id: "wrong".into(), policy: Some(wrong.into()), ..Request::default() },
        Request { id: "ours".into(), policy: Some(ours), ..Request::default() },
    ]);
    assert!(answers[0].refused.as_ref().unwrap().contains("illegal base64 data at input byte 9"), "{:?}", answers[0]);
    assert_eq!(answers[1].refused, None);
}

fn super_seed() -> &'static Overlay {
    Box::leak(Box::new(ours(&compiled(&[seed()])).clone()))
}

struct Golden {
    name: &'static str,
    objects: Vec<Value>,
    docker: &'static [(&'static str, &'static [&'static str])],
    /// Image, verdict with the controller's file, verdict with ours.
    images: &'static [(&'static str, Engines, Engines)],
}

/// The sample with each neighbour that domain.md 8.4 speaks of.
fn goldens() -> Vec<Golden> {
    use Engines::{AcceptsAnything as Accepts, Rejects, RequiresSignature as Signed};
    let lists = |mut lists: Value, items: &[(&[&str], &str)]| {
        lists["signedRegistries"] = signed(items);
        image(lists)
    };
    vec![
        Golden {
            name: "1: a signed scope that is allowed as well",
            objects: vec![lists(json!({"allowedRegistries": ["a.io", "b.io"]}), &[(&["a.io"], "/tmp/key1.gpg")])],
            docker: &[("a.io", KEY1), ("b.io", ACCEPT)],
            images: &[("a.io/x", Accepts, Signed), ("b.io/x", Accepts, Accepts), ("c.io/x", Rejects, Rejects)],
        },
        Golden {
            name: "2: implicitly allowed",
            objects: vec![lists(json!({"allowedRegistries": ["b.io"]}), &[(&["a.io/team"], "/tmp/key1.gpg")])],
            docker: &[("a.io/team", KEY1), ("b.io", ACCEPT)],
            images: &[("a.io/team/x", Rejects, Signed), ("a.io/x", Rejects, Rejects)],
        },
        Golden {
            name: "3: equal to a ClusterImagePolicy's scope: both must hold",
            objects: vec![lists(json!({}), &[(&["a.io"], "/tmp/key1.gpg")]), cip("p", &["a.io"])],
            docker: &[("a.io", &["sigstore", "/tmp/key1.gpg"])],
            images: &[("a.io/x", Signed, Signed), ("b.io/x", Accepts, Accepts)],
        },
        Golden {
            name: "5: broader than others, which stay",
            objects: vec![
                lists(json!({"allowedRegistries": ["a.io/open", "a.io/team"]}), &[(&["a.io"], "/tmp/key1.gpg")]),
                cip("p", &["a.io/team"]),
            ],
            docker: &[("a.io", KEY1), ("a.io/open", ACCEPT), ("a.io/team", SIGSTORE)],
            images: &[("a.io/x", Rejects, Signed), ("a.io/open/x", Accepts, Accepts), ("a.io/team/x", Signed, Signed)],
        },
        Golden {
            name: "5: around a blocked one",
            objects: vec![lists(json!({"blockedRegistries": ["a.io/bad"]}), &[(&["a.io"], "/tmp/key1.gpg")])],
            docker: &[("a.io", KEY1), ("a.io/bad", REJECT)],
            images: &[("a.io/bad/x", Rejects, Rejects), ("a.io/x", Accepts, Signed), ("b.io/x", Accepts, Accepts)],
        },
        Golden {
            name: "5: inside of a ClusterImagePolicy's scope, which it replaces there",
            objects: vec![lists(json!({}), &[(&["a.io/team"], "/tmp/key1.gpg")]), cip("p", &["a.io"])],
            docker: &[("a.io", SIGSTORE), ("a.io/team", KEY1)],
            images: &[("a.io/team/x", Signed, Signed), ("a.io/x", Signed, Signed)],
        },
        Golden {
            name: "7: nothing else set",
            objects: vec![lists(
                json!({}),
                &[(&["a.io", "*.b.io"], "/tmp/key1.gpg"), (&["c.io:5000"], "/tmp/key2.gpg")],
            )],
            docker: &[("*.b.io", KEY1), ("a.io", KEY1), ("c.io:5000", KEY2)],
            images: &[("a.io/x", Accepts, Signed), ("x.b.io/x", Accepts, Signed), ("b.io/x", Accepts, Accepts)],
        },
        Golden {
            name: "tags, digests and deep paths: atomic takes only what it can read",
            objects: vec![lists(
                json!({}),
                &[(
                    &[
                        "a.io/app:v1",
                        "a.io/a/b/c/d",
                        "a.io/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                    ],
                    "/tmp/key1.gpg",
                )],
            )],
            docker: &[
                ("a.io/a/b/c/d", KEY1),
                ("a.io/app:v1", KEY1),
                ("a.io/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", KEY1),
            ],
            images: &[
                ("a.io/app:v1", Accepts, Signed),
                ("a.io/app:v2", Accepts, Accepts),
                ("a.io/a/b/c/d/e", Accepts, Signed),
                ("a.io/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Accepts, Signed),
            ],
        },
        Golden {
            name: "the same scope twice in one item",
            objects: vec![lists(json!({}), &[(&["a.io", "a.io"], "/tmp/key1.gpg")])],
            docker: &[("a.io", KEY1)],
            images: &[("a.io/x", Accepts, Signed)],
        },
    ]
}

#[test]
fn every_neighbour_is_composed_and_the_engine_reads_it() {
    let mut engine = Engine::start();
    for golden in goldens() {
        for release in RELEASES.iter().map(ToString::to_string).filter(|release| release.as_str() >= "4.16") {
            let compiled = compiled_for(&release, &golden.objects);
            let policy = file(ours(&compiled), POLICY).unwrap();
            assert_eq!(scopes(&policy, "docker"), expected(golden.docker), "{} {release}", golden.name);
            let generated = compiled.generated.as_ref().unwrap();
            let own = generated.files().into_iter().find(|file| file.path == POLICY);
            let own = own.map_or_else(
                || oc_imagepolicy::model::policy_write::TEMPLATE.to_string(),
                |file| String::from_utf8(file.bytes()).unwrap(),
            );
            let images: Vec<String> = golden.images.iter().map(|(image, _, _)| image.to_string()).collect();
            let request = |id: &str, policy: &str| Request {
                id: id.into(),
                policy: Some(policy.to_string()),
                images: images.clone(),
                ..Request::default()
            };
            let answers = engine.ask(&[request("before", &own), request("after", &policy)]);
            for ((image, before, after), (was, is)) in
                golden.images.iter().zip(answers[0].verdicts.iter().zip(&answers[1].verdicts))
            {
                assert_eq!((was.overall(), is.overall()), (*before, *after), "{} {image}", golden.name);
            }
            assert_eq!(answers[1].refused, None, "{}", golden.name);
        }
    }
}

#[test]
fn atomic_has_only_what_it_takes() {
    let golden = goldens().into_iter().find(|golden| golden.name.starts_with("tags")).unwrap();
    let policy = file(ours(&compiled(&golden.objects)), POLICY).unwrap();
    assert_eq!(scopes(&policy, "atomic"), BTreeMap::new());
    let three = image(json!({"signedRegistries": signed(&[(&["a.io/a/b:v1"], "/tmp/key1.gpg")])}));
    assert_eq!(scopes(&file(ours(&compiled(&[three])), POLICY).unwrap(), "atomic"), expected(&[("a.io/a/b:v1", KEY1)]));
}

/// 8.4.8: a namespace's file replaces the cluster's, so it needs the signed scopes too.
#[test]
fn every_namespace_file_has_them() {
    let objects = [
        image(
            json!({"allowedRegistries": ["a.io", "b.io"], "signedRegistries": signed(&[(&["a.io"], "/tmp/key1.gpg")])}),
        ),
        ip("shop", "web", &["b.io/web", "a.io"]),
        ip("bank", "web", &["b.io"]),
    ];
    let compiled = compiled(&objects);
    let overlay = ours(&compiled);
    for (namespace, table) in [
        ("shop", expected(&[("a.io", &["/tmp/key1.gpg", "sigstore"]), ("b.io", ACCEPT), ("b.io/web", SIGSTORE)])),
        ("bank", expected(&[("a.io", KEY1), ("b.io", &["insecureAcceptAnything", "sigstore"])])),
    ] {
        let text = file(overlay, &format!("/etc/crio/policies/{namespace}.json")).unwrap();
        assert_eq!(scopes(&text, "docker"), table, "{namespace}");
    }
    let resolver = Resolver::new(&overlay.composed, Some("bank")).unwrap();
    assert_eq!(resolver.resolve("a.io/x").unwrap().verdict(), Verdict::RequiresSignature);
}

#[test]
fn what_contradicts_itself_or_the_rest_is_refused_with_its_causes() {
    let list = |lists: Value| vec![image(lists)];
    for (objects, texts, causes) in [
        (
            list(json!({"blockedRegistries": ["a.io"], "signedRegistries": signed(&[(&["b.io", "a.io/x"], "/k")])})),
            vec!["signedRegistries configured for the scope a.io/x is nested inside blockedRegistries"],
            vec![
                "spec.registrySources.signedRegistries[0].sigRequiredRegistriesOrImages[1]=a.io/x",
                "spec.registrySources.blockedRegistries[0]=a.io",
            ],
        ),
        (
            list(json!({"blockedRegistries": ["a.io"], "signedRegistries": signed(&[(&["a.io"], "/k")])})),
            vec!["signedRegistries configured for the scope a.io is nested inside blockedRegistries"],
            vec![
                "spec.registrySources.signedRegistries[0].sigRequiredRegistriesOrImages[0]=a.io",
                "spec.registrySources.blockedRegistries[0]=a.io",
            ],
        ),
        (
            list(json!({"signedRegistries": signed(&[(&["a.io"], "/k"), (&["b.io", "a.io"], "/l")])})),
            vec![
                "signedRegistries configured for the scope a.io more than once: a scope takes one keyring, which may hold several keys",
            ],
            vec![
                "spec.registrySources.signedRegistries[0].sigRequiredRegistriesOrImages[0]=a.io",
                "spec.registrySources.signedRegistries[1].sigRequiredRegistriesOrImages[1]=a.io",
            ],
        ),
        (
            list(json!({"signedRegistries": [{"gpgKeyPath": "/k"}, {"sigRequiredRegistriesOrImages": ["a.io:v1"]}]})),
            vec![
                "signedRegistries[0]: sigRequiredRegistriesOrImages must have at least 1 item",
                "signedRegistries[1]: invalid gpgKeyPath \"\": it is required",
                "signedRegistries[1]: invalid scope \"a.io:v1\": after the host's `:` a port must follow: a tag needs a repository before it",
            ],
            vec![
                "spec.registrySources.signedRegistries[0]=",
                "spec.registrySources.signedRegistries[1].gpgKeyPath=",
                "spec.registrySources.signedRegistries[1].sigRequiredRegistriesOrImages[0]=a.io:v1",
            ],
        ),
        (
            list(json!({"signedRegistries": signed(&[(&["a.io"], "/etc/containers//policy.json")])})),
            vec![
                "signedRegistries[0]: invalid gpgKeyPath \"/etc/containers//policy.json\": nodes read something else there, no keyring",
            ],
            vec!["spec.registrySources.signedRegistries[0].gpgKeyPath=/etc/containers//policy.json"],
        ),
        (
            list(json!({"signedRegistries": signed(&[(&["a.io:v1"], "/k")])})),
            vec![
                "signedRegistries[0]: invalid scope \"a.io:v1\": after the host's `:` a port must follow: a tag needs a repository before it",
            ],
            vec!["spec.registrySources.signedRegistries[0].sigRequiredRegistriesOrImages[0]=a.io:v1"],
        ),
    ] {
        let compiled = compiled(&objects);
        let refusals = compiled.refusals();
        assert!(
            refusals
                .iter()
                .all(|refusal| refusal.by == RefusedBy::Plugin && refusal.reason == RefusalReason::SignedRegistries)
        );
        assert_eq!(refusals.iter().map(|refusal| refusal.text.as_str()).collect::<Vec<_>>(), texts);
        let found: Vec<String> = refusals
            .iter()
            .flat_map(|refusal| &refusal.causes)
            .map(|cause| {
                assert_eq!(cause.object.to_string(), "Image/cluster");
                format!("{}={}", cause.path, cause.value)
            })
            .collect();
        assert_eq!(found, causes);
        assert!(compiled.generated.is_ok(), "the controller does not care");
    }
}

/// In a cluster the list stands in an annotation.
#[test]
fn the_annotation_says_the_same_as_the_field() {
    let text = "- sigRequiredRegistriesOrImages:\n  - example.com\n  gpgKeyPath: /tmp/key2.gpg\n";
    let mut in_cluster = image(json!({"allowedRegistries": ["quay.io/allowed"]}));
    in_cluster["metadata"]["annotations"] = json!({ANNOTATION: text});
    let field = image(json!({"allowedRegistries": ["quay.io/allowed"],
                             "signedRegistries": signed(&[(&["example.com"], "/tmp/key2.gpg")])}));
    let (a, b) = (compiled(std::slice::from_ref(&in_cluster)), compiled(&[field]));
    assert_eq!(file(ours(&a), POLICY), file(ours(&b), POLICY));
    assert_eq!(ours(&a).inputs, ours(&b).inputs);
    let from = |compiled: &Compiled| ours(compiled).signed[0].from[0].to_string();
    assert_eq!(
        from(&a),
        "Image/cluster metadata.annotations.imagepolicy.openshift.io/signed-registries[0].sigRequiredRegistriesOrImages[0]"
    );
    assert_eq!(from(&b), "Image/cluster spec.registrySources.signedRegistries[0].sigRequiredRegistriesOrImages[0]");
    // What is written in the field now replaces what was recorded.
    in_cluster["spec"]["registrySources"]["signedRegistries"] = json!([]);
    assert!(compiled(&[in_cluster]).overlay().is_none());
    let twice = "- sigRequiredRegistriesOrImages: [a.io]\n  gpgKeyPath: /a\n  gpgKeyPath: /b\n";
    let cases = [("{", "is not a list"), ("a: b", "is not a list"), ("- [x]", "is not a list"), (twice, "duplicate")];
    for (text, word) in cases {
        let mut damaged = image(json!({}));
        damaged["metadata"]["annotations"] = json!({ANNOTATION: text});
        let refusals = compiled(&[damaged]).refusals();
        assert!(matches!(&*refusals, [refusal] if refusal.text.contains(word)), "{text}: {refusals:?}");
    }
}

fn delivering(objects: &[Value], delivery: Delivery) -> (Snapshot, Compiled) {
    let objects: Vec<Value> = objects.iter().cloned().chain([version("5.2")]).collect();
    let mut snapshot = snapshot_of(Source::Manifests, &objects);
    snapshot.delivery = delivery;
    let compiled = compile(&snapshot, Release::newest());
    (snapshot, compiled)
}

#[test]
fn keyrings_and_lookasides_travel_along() {
    let objects = [image(json!({"signedRegistries": signed(&[(&["a.io"], KEY)])})), cip("p", &["b.io"])];
    let keys = BTreeMap::from([(KEY.to_string(), b"keyring".to_vec()), ("/unused".to_string(), b"x".to_vec())]);
    let lookaside = BTreeMap::from([("a.io".to_string(), "https://sig.a.io/x".to_string())]);
    let delivery = Delivery { keys, lookaside, ..Delivery::default() };
    let (snapshot, compiled) = delivering(&objects, delivery.clone());
    let overlay = ours(&compiled);
    let paths: Vec<String> = overlay.delivered.files().into_iter().map(|file| file.path).collect();
    assert_eq!(paths, [POLICY, LOOKASIDES, KEY]);
    assert_eq!(file(overlay, KEY).unwrap(), "keyring");
    assert_eq!(file(overlay, LOOKASIDES).unwrap(), "docker:\n  a.io:\n    lookaside: https://sig.a.io/x\n");
    assert_eq!(overlay::missing_keys(&snapshot, overlay), []);
    // Inline: no file, and the engine decodes it.
    let (_, inline) = delivering(&objects, Delivery { inline_keys: true, ..delivery.clone() });
    let policy: Value = serde_json::from_str(&file(ours(&inline), POLICY).unwrap()).unwrap();
    let requirement = &policy["transports"]["docker"]["a.io"][0];
    assert_eq!(requirement["keyData"], BASE64_STANDARD.encode("keyring"));
    assert_eq!(requirement["keyPath"], Value::Null);
    assert_eq!(file(ours(&inline), KEY), None);
    let (_, unknown) = delivering(&objects, Delivery { inline_keys: true, ..Delivery::default() });
    assert!(unknown.refusals()[0].text.contains("nobody says what is in it"), "{:?}", unknown.refusals());
    // A key that another file has would stop every pull.
    for (scope, file) in [
        ("b.io", ATTACHMENTS),
        ("registry.redhat.io", "/etc/containers/registries.d/registry.redhat.io.yaml, which RHCOS ships,"),
    ] {
        let lookaside = BTreeMap::from([(scope.to_string(), "https://x".to_string())]);
        let (_, compiled) = delivering(&objects, Delivery { lookaside, ..Delivery::default() });
        let refusals = compiled.refusals();
        assert!(refusals[0].text.contains(&format!("{file} has the key {scope} already")), "{refusals:?}");
    }
    for url in ["ftp://x", "https://", "https://x y", "/etc"] {
        let lookaside = BTreeMap::from([("a.io".to_string(), url.to_string())]);
        let (_, compiled) = delivering(&objects, Delivery { lookaside, ..Delivery::default() });
        assert!(compiled.refusals()[0].text.contains("is not a URL"), "{url}");
    }
}

#[test]
fn keyrings_that_nobody_delivers_are_told() {
    let objects = [
        image(json!({"signedRegistries": signed(&[
            (&["a.io"], "/tmp/k.gpg"),
            (&["b.io"], "/etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release"),
            (&["c.io"], "/etc/pki/c.gpg"),
            (&["d.io"], "/etc/pki/d.gpg"),
        ])})),
        machine_config("60-keys", "worker", &[("/etc/pki/c.gpg", "key")]),
    ];
    let (snapshot, compiled) = delivering(&objects, Delivery::default());
    let missing = overlay::missing_keys(&snapshot, ours(&compiled));
    let told: Vec<(String, bool, bool)> =
        missing.iter().map(|key| (key.path.to_string(), key.in_words().is_some(), key.is_lost_at_boot)).collect();
    assert_eq!(
        told,
        [
            ("/etc/pki/c.gpg".to_string(), false, false),
            ("/etc/pki/d.gpg".to_string(), true, false),
            ("/etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release".to_string(), false, false),
            ("/tmp/k.gpg".to_string(), true, true),
        ]
    );
}

/// A cluster with its rendered MachineConfigs, as a test controller would have it: `machine_configs` merged as they are.
fn cluster(objects: &[Value], pools: &[(&str, &[&str])]) -> Snapshot {
    let mut all: Vec<Value> = objects.to_vec();
    all.extend(pools.iter().map(|(name, roles)| pool(name, roles, &format!("rendered-{name}"))));
    snapshot_of(Source::Live("https://x".into()), &all)
}

/// Merging our MachineConfig with the controller's own gives what is desired, pool by pool, custom ones included.
#[test]
fn merged_with_the_controllers_own_it_is_what_is_desired() {
    let image = image(json!({"allowedRegistries": ["quay.io"], "signedRegistries": signed(&[(&["a.io"], KEY)])}));
    for (release_text, own_role_needs_one) in [("4.14", true), ("5.2", true)] {
        let release = release(release_text);
        let objects = vec![
            image.clone(),
            version(release_text),
            ip("shop", "web", &["quay.io/web"]),
            machine_config("50-infra-policy", "infra", &[(POLICY, r#"{"default":[{"type":"reject"}]}"#)]),
            machine_config("50-lab-other", "lab", &[("/etc/other", "x")]),
            machine_config("51-worker-trust", "worker", &[(POLICY, r#"{"default":[{"type":"reject"}]}"#)]),
        ];
        let pools: &[(&str, &[&str])] = &[
            ("master", &["master"]),
            ("worker", &["worker"]),
            ("infra", &["worker", "infra"]),
            ("lab", &["worker", "lab"]),
        ];
        let mut snapshot = cluster(&objects, pools);
        snapshot.delivery.keys.insert(KEY.into(), b"keyring".to_vec());
        let compiled = compile(&snapshot, release);
        let overlay = ours(&compiled);
        let own = overlay::pools_of(&snapshot, &compiled, overlay);
        assert_eq!(own.contains(&"infra".to_string()), own_role_needs_one);
        assert!(!own.contains(&"lab".to_string()));
        let wanted: Vec<_> =
            pools.iter().map(|(name, _)| contents(&snapshot, &compiled, Which::Desired, name).unwrap()).collect();
        // Now they are written, and the operator merges everything.
        let machine_configs = overlay::machine_configs(&snapshot, &compiled, overlay).unwrap();
        let names: BTreeSet<&str> =
            machine_configs.iter().map(|object| object["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, BTreeSet::from(["99-infra-imagepolicy", "99-master-imagepolicy", "99-worker-imagepolicy"]));
        let generated = compiled.generated.as_ref().unwrap();
        let mut written = objects.clone();
        written.extend(machine_configs);
        for role in ["master", "worker"] {
            written
                .push(generated.machine_config(role, Form::Object { image_uid: None, controller_version: Some("x") }));
        }
        let after = cluster(&written, pools);
        let mut as_they_are = after.clone();
        // Without the Image nothing asks for an overlay: what is there counts as it is.
        as_they_are.remove(Kind::Image, "", "cluster");
        as_they_are.remove(Kind::ImagePolicy, "shop", "web");
        let again = compile(&after, release);
        let bare = compile(&as_they_are, release);
        for ((name, _), wanted) in pools.iter().zip(&wanted) {
            let found = contents(&after, &again, Which::Desired, name).unwrap();
            assert_eq!(&found[POLICY], &wanted[POLICY], "{name} {release_text}");
            assert_eq!(found, *wanted, "{name} {release_text}");
            let merged = contents(&as_they_are, &bare, Which::Desired, name).unwrap();
            for (path, bytes) in &merged {
                assert_eq!(Some(bytes), wanted.get(path), "{name} {path} {release_text}");
            }
            let docker = scopes(std::str::from_utf8(&wanted[POLICY]).unwrap(), "docker");
            assert_eq!(docker["a.io"], [KEY], "{name} {release_text}");
        }
    }
}

#[test]
fn in_force_once_it_is_rendered_and_stale_when_objects_change() {
    let image_of = |scope: &str| image(json!({"signedRegistries": signed(&[(&[scope], KEY)])}));
    let before = cluster(&[image_of("a.io"), version("5.2")], &[("worker", &["worker"])]);
    let compiled = compile(&before, Release::newest());
    let truth = desired(&before, &compiled).unwrap();
    assert_eq!(in_force::in_force(&before, &compiled, Some(&truth))["worker"], InForce::Unknown);
    let mut objects = overlay::machine_configs(&before, &compiled, ours(&compiled)).unwrap();
    assert_eq!(objects.len(), 1);
    let files = contents(&before, &compiled, Which::Desired, "worker").unwrap();
    let rendered_config = ignition(files, Release::newest());
    objects.push(object(
        "rendered-worker",
        "",
        rendered_config,
        Form::Object { image_uid: None, controller_version: None },
        Release::newest(),
    ));
    let with = |scope: &str| {
        let mut objects = objects.clone();
        objects.extend([image_of(scope), version("5.2")]);
        let mut pool = pool("worker", &["worker"], "rendered-worker");
        pool["status"] =
            json!({"configuration": {"name": "rendered-worker"}, "machineCount": 1, "updatedMachineCount": 1});
        objects.push(pool);
        snapshot_of(Source::Live("https://x".into()), &objects)
    };
    let (fresh, stale) = (with("a.io"), with("b.io"));
    for (snapshot, expected) in [(&fresh, InForce::Yes), (&stale, InForce::No)] {
        let compiled = compile(snapshot, Release::newest());
        let truth = desired(snapshot, &compiled).unwrap();
        assert_eq!(in_force::in_force(snapshot, &compiled, Some(&truth))["worker"], expected);
        let recorded = snapshot.machine_configs.iter().find(|object| overlay::is_ours(object)).unwrap();
        let is_fresh = recorded.metadata.annotations[INPUTS] == ours(&compiled).inputs;
        assert_eq!(is_fresh, expected == InForce::Yes);
    }
    // What is rendered is traced back to the Image.
    let compiled = compile(&fresh, Release::newest());
    let truth = rendered(&fresh, &compiled);
    let policy = &truth.groups[0].files.policy.as_ref().unwrap().policy;
    let docker = policy.transports.iter().find(|(transport, _)| transport.as_str() == "docker").unwrap().1;
    let from = docker.get("a.io").unwrap()[0].from[0].to_string();
    assert_eq!(from, "Image/cluster spec.registrySources.signedRegistries[0].sigRequiredRegistriesOrImages[0]");
}

/// An object of ours that stands in for one of the API stays in its place; one that the API has got since is the API's.
#[test]
fn what_is_delivered_in_place_of_an_object_stays_so() {
    let cluster = [image(json!({})), version("5.2")];
    let mut snapshot = snapshot_of(Source::Manifests, &cluster);
    let over = [image(json!({"allowedRegistries": ["quay.io"]})), cip("p", &["quay.io/p"])];
    snapshot.deliver(over.into_iter().map(|object| (object, Origin::Live))).unwrap();
    let compiled = compile(&snapshot, Release::newest());
    let machine_configs = overlay::machine_configs(&snapshot, &compiled, ours(&compiled)).unwrap();
    let later = |more: &[Value]| {
        let all: Vec<Value> = cluster.iter().chain(&machine_configs).chain(more).cloned().collect();
        let mut later = snapshot_of(Source::MustGather, &all);
        overlay::unfold(&mut later);
        let compiled = compile(&later, Release::newest());
        scopes(&file(ours(&compiled), POLICY).unwrap(), "docker")
    };
    assert_eq!(later(&[]), expected(&[("quay.io", ACCEPT), ("quay.io/p", SIGSTORE)]));
    assert_eq!(later(&[cip("p", &["quay.io/q"])]), expected(&[("quay.io", ACCEPT), ("quay.io/q", SIGSTORE)]));
}

/// Clusters whose API or controller lacks policies: the overlay delivers them, and knows later what it was made from.
#[test]
fn policies_for_clusters_that_have_none() {
    let objects = [
        image(json!({"allowedRegistries": ["quay.io", "mirror.io"]})),
        cip("team", &["quay.io/team"]),
        json!({"apiVersion": "config.openshift.io/v1", "kind": "ImageDigestMirrorSet", "metadata": {"name": "m"},
               "spec": {"imageDigestMirrors": [{"source": "quay.io/team", "mirrors": ["mirror.io/team"]}]}}),
        version("4.15"),
    ];
    let mut snapshot = snapshot_of(Source::Manifests, &objects);
    assert!(compile(&snapshot, release("4.15")).overlay().is_none());
    assert!(overlay::deliver_what_is_not_read(&mut snapshot, release("4.15")));
    let compiled = compile(&snapshot, release("4.15"));
    let overlay = ours(&compiled);
    let policy = file(overlay, POLICY).unwrap();
    let table = expected(&[("mirror.io", ACCEPT), ("quay.io", ACCEPT), ("quay.io/team", SIGSTORE)]);
    assert_eq!(scopes(&policy, "docker"), table);
    assert_eq!(
        file(overlay, ATTACHMENTS).unwrap(),
        "docker:\n  mirror.io/team:\n    use-sigstore-attachments: true\n  quay.io/team:\n    use-sigstore-attachments: true\n"
    );
    assert_eq!(file(overlay, "/etc/containers/registries.conf"), None, "the controller writes that");
    assert_eq!(overlay::made_from(overlay, &snapshot), "ClusterImagePolicy/team");
    // In the cluster, only the MachineConfig knows.
    let machine_configs = overlay::machine_configs(&snapshot, &compiled, overlay).unwrap();
    assert!(machine_configs[0]["metadata"]["annotations"][MADE_FROM].as_str().unwrap().len() < 2_000);
    let mut in_cluster: Vec<Value> =
        objects.iter().filter(|object| object["kind"] != "ClusterImagePolicy").cloned().collect();
    in_cluster.extend(machine_configs);
    let mut later = snapshot_of(Source::MustGather, &in_cluster);
    overlay::unfold(&mut later);
    assert_eq!(later.cluster_image_policies.len(), 1);
    let again = compile(&later, release("4.15"));
    assert_eq!(ours(&again).inputs, overlay.inputs);
    assert_eq!(file(ours(&again), POLICY).unwrap(), policy);
    // Once the API has it, it is the API's.
    in_cluster.push(cip("team", &["quay.io/other"]));
    let mut updated = snapshot_of(Source::MustGather, &in_cluster);
    overlay::unfold(&mut updated);
    assert!(updated.beneath.is_none());
}

#[test]
fn what_old_nodes_cannot_read_is_refused() {
    let pki = json!({"apiVersion": "config.openshift.io/v1alpha1", "kind": "ClusterImagePolicy", "metadata": {"name": "p"},
        "spec": {"scopes": ["a.io"], "policy": {"rootOfTrust": {"policyType": "PKI", "pki": {
            "caRootsData": "Zm9v", "pkiCertificateSubject": {"email": "a@b.c"}}}}}});
    for (object, text, word) in [
        (pki.clone(), "4.15", "cannot read a policy with PKI"),
        (ip("shop", "web", &["a.io"]), "4.14", "have no policies of namespaces"),
    ] {
        let mut snapshot = snapshot_of(Source::Manifests, &[object, version(text)]);
        overlay::deliver_what_is_not_read(&mut snapshot, release(text));
        let refusals = compile(&snapshot, release(text)).refusals();
        assert!(matches!(&*refusals, [refusal] if refusal.text.contains(word)), "{refusals:?}");
    }
    let mut snapshot = snapshot_of(Source::Manifests, &[ip("shop", "web", &["a.io"]), version("4.15")]);
    overlay::deliver_what_is_not_read(&mut snapshot, release("4.15"));
    let compiled = compile(&snapshot, release("4.15"));
    assert!(file(ours(&compiled), "/etc/crio/policies/shop.json").is_some());
}

#[test]
fn the_hash_follows_the_policy_and_not_the_release() {
    let inputs = |text: &str, objects: &[Value]| ours(&compiled_for(text, objects)).inputs.clone();
    let one = inputs("4.16", &[seed()]);
    assert_eq!(one.len(), 64);
    assert_eq!(one, inputs("5.2", &[seed()]));
    let mut other = seed();
    other["spec"]["registrySources"]["allowedRegistries"] = json!(["quay.io/allowed", "x.io"]);
    assert_ne!(one, inputs("5.2", &[other]));
    assert_ne!(inputs("5.2", &[seed(), cip("p", &["quay.io/allowed"])]), one);
    assert_ne!(inputs("5.2", &[seed(), ip("n", "p", &["quay.io/allowed"])]), one);
}

#[test]
fn what_does_not_fit_into_a_machine_config_is_refused() {
    let scopes: Vec<String> =
        (0..9000).map(|number| format!("registry.example.com/team-{number}/application")).collect();
    let texts: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let (snapshot, compiled) =
        delivering(&[image(json!({"signedRegistries": signed(&[(&texts, KEY)])}))], Delivery::default());
    let refusals = overlay::machine_configs(&snapshot, &compiled, ours(&compiled)).unwrap_err();
    assert!(refusals[0].text.contains("more than the 1572864 that the cluster takes"), "{refusals:?}");
}

#[test]
fn foreign_machine_configs_of_our_name_are_not_ours() {
    let objects = [
        image(json!({"signedRegistries": signed(&[(&["a.io"], KEY)])})),
        machine_config("99-worker-imagepolicy", "worker", &[(POLICY, r#"{"default":[{"type":"reject"}]}"#)]),
    ];
    let snapshot = snapshot_of(Source::Manifests, &objects);
    let foreign = &snapshot.machine_configs[0];
    assert!(overlay::has_our_name(foreign) && !overlay::is_ours(foreign));
}

const HOSTS: [&str; 6] = ["a.io", "x.a.io", "*.a.io", "b.io:5000", "b.io", "c.io"];
const PATHS: [&str; 6] = ["", "/t", "/t/r", "/t/r:v1", "/t/r/s/u", "/u"];

fn scope() -> impl Strategy<Value = String> {
    (0..HOSTS.len(), 0..PATHS.len()).prop_map(|(host, path)| {
        let host = HOSTS[host];
        if host.starts_with('*') { host.to_string() } else { format!("{host}{}", PATHS[path]) }
    })
}

fn scope_list(most: usize) -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set(scope(), 0..most).prop_map(|scopes| scopes.into_iter().collect())
}

/// Scopes that a node tries for an image, most specific first: the rules of domain.md 4.3, spelled out once more.
fn candidates(image: &str) -> Vec<String> {
    let mut all = vec![image.to_string()];
    let name = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(image, |(name, _)| name);
    let mut rest = name;
    all.push(rest.to_string());
    while let Some((parent, _)) = rest.rsplit_once('/') {
        all.push(parent.to_string());
        rest = parent;
    }
    let mut host = rest.split(':').next().unwrap();
    while let Some((_, domain)) = host.split_once('.') {
        all.push(format!("*.{domain}"));
        host = domain;
    }
    all
}

/// Whatever the cluster is like: an image that a signed scope decides needs a signature, every other one is as before, and the
/// engine reads all of it.
#[test]
fn nothing_is_weakened_and_nothing_else_changes() {
    let images: Vec<String> = ["a.io", "x.a.io", "y.a.io", "b.io:5000", "b.io", "c.io"]
        .iter()
        .flat_map(|host| ["/t/r:v1", "/t/r:v2", "/t/r/s/u/v", "/u/x", "/z"].map(|path| format!("{host}{path}")))
        .collect();
    let engine = std::sync::Mutex::new(Engine::start());
    let checked = std::sync::atomic::AtomicUsize::new(0);
    proptest!(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() },
    |(listed in scope_list(4), is_allowed in any::<bool>(), policies in scope_list(4), own in scope_list(3), list in scope_list(5))| {
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        let texts = |scopes: &[String]| scopes.iter().map(String::clone).collect::<Vec<_>>();
        let key = if is_allowed { "allowedRegistries" } else { "blockedRegistries" };
        let mut lists = json!({key: texts(&listed)});
        if !list.is_empty() {
            lists["signedRegistries"] = signed(&[(&list, KEY)]);
        }
        let as_texts = |scopes: &[String]| scopes.to_vec();
        let borrowed = |scopes: &[String], kind: &str, namespace: &str| {
            let scopes: Vec<String> = as_texts(scopes);
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            policy(kind, "p", namespace, &scopes)
        };
        let objects = [image(lists), borrowed(&policies, "ClusterImagePolicy", ""), borrowed(&own, "ImagePolicy", "n")];
        let compiled = compiled(&objects);
        let (Ok(generated), Some(overlay)) = (&compiled.generated, compiled.overlay()) else { return Ok(()) };
        let template = oc_imagepolicy::model::policy_write::TEMPLATE;
        let bytes = |files: &oc_imagepolicy::compile::Generated, path: &str| {
            let file = files.files().into_iter().find(|file| file.path == path)?;
            Some(String::from_utf8(file.bytes()).unwrap())
        };
        for path in [POLICY, "/etc/crio/policies/n.json"] {
            let before = bytes(generated, path);
            let after = bytes(&overlay.delivered, path);
            if path != POLICY {
                prop_assert_eq!(before.is_some(), after.is_some());
            }
            let Some(after) = after else { continue };
            let before = before.unwrap_or_else(|| template.to_string());
            let own_scopes = scopes(&before, "docker");
            let request = |policy: String| Request { policy: Some(policy), images: images.clone(), ..Request::default() };
            let answers = engine.lock().unwrap().ask(&[request(before), request(after)]);
            // What the controller writes may be refused by itself (domain.md P03); ours adds nothing to that.
            prop_assert_eq!(&answers[0].refused, &answers[1].refused);
            if answers[0].refused.is_some() {
                continue;
            }
            for (image, (was, is)) in images.iter().zip(answers[0].verdicts.iter().zip(&answers[1].verdicts)) {
                let tried = candidates(image);
                let place = |has: &dyn Fn(&str) -> bool| tried.iter().position(|scope| has(scope)).unwrap_or(usize::MAX);
                let signed_at = place(&|scope| list.contains(&scope));
                let own_at = place(&|scope| own_scopes.contains_key(scope));
                if signed_at <= own_at && signed_at != usize::MAX {
                    let blocked = own_at == signed_at && was.overall() == Engines::Rejects;
                    prop_assert!(!blocked, "a blocked scope is refused: {}", image);
                    prop_assert_eq!(is.overall(), Engines::RequiresSignature, "{} {}", image, path);
                } else {
                    prop_assert_eq!(is.overall(), was.overall(), "{} {}", image, path);
                }
                checked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    });
    assert!(checked.into_inner() > 2_000);
}
