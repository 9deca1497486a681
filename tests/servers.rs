//! The real servers that other tests rest on do what those tests take for granted.

mod support;

use serde_json::{Value, json};

use support::controlplane::{ControlPlane, Options};
use support::reference::{Engine, Request, Verdict};

/// Where the texts of the vectors name the file that the engine read.
fn without_recorded_path(text: &str) -> String {
    let Some((before, rest)) = text.split_once("\"/tmp/eng") else { return text.to_string() };
    let (_, after) = rest.split_once('"').expect("the path ends");
    format!("{before}\"/etc/containers/registries.conf\"{after}")
}

#[test]
fn engine_answers_every_vector_as_recorded() {
    let recorded: Vec<Value> = support::vector_lines("engine").map(|l| serde_json::from_str(&l).unwrap()).collect();
    assert!(recorded.len() >= 1500);
    let text = |v: &Value| v.as_str().map(str::to_string);
    let images =
        |v: &Value| -> Vec<String> { v.as_array().into_iter().flatten().map(|e| text(&e["image"]).unwrap()).collect() };
    let requests: Vec<Request> = recorded
        .iter()
        .map(|r| Request {
            id: text(&r["id"]).unwrap(),
            policy: text(&r["policy"]),
            registries: text(&r["registries"]),
            images: if r["sources"].is_null() { images(&r["verdicts"]) } else { images(&r["sources"]) },
            ..Request::default()
        })
        .collect();
    let answers = Engine::start().ask(&requests);
    for (r, a) in recorded.iter().zip(answers) {
        let id = &a.id;
        assert_eq!(a.refused, text(&r["refused"]), "{id}");
        let verdicts: Vec<Value> = a
            .verdicts
            .iter()
            .map(|v| {
                let mut line = json!({"image": v.image, "verdict": format!("{:?}", v.verdict)});
                if !v.text.is_empty() {
                    line["text"] = json!(v.text);
                }
                line
            })
            .collect();
        assert_eq!(verdicts, r["verdicts"].as_array().cloned().unwrap_or_default(), "{id}");
        let expected = r["sources"].as_array().cloned().unwrap_or_default();
        assert_eq!(a.sources.len(), expected.len(), "{id}");
        for (got, want) in a.sources.iter().zip(expected) {
            assert_eq!(json!(got.image), want["image"], "{id}");
            assert_eq!(json!(got.prefix), want["prefix"], "{id} {want}");
            assert_eq!(got.blocked, want["blocked"] == true, "{id} {want}");
            assert_eq!(got.text, text(&want["text"]).map(|t| without_recorded_path(&t)), "{id} {want}");
            let sources: Vec<(&str, bool)> = got.sources.iter().map(|s| (s.reference.as_str(), s.insecure)).collect();
            let wanted: Vec<(&str, bool)> = want["sources"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|s| (s["ref"].as_str().unwrap(), s["insecure"] == true))
                .collect();
            assert_eq!(sources, wanted, "{id} {want}");
        }
    }
}

#[test]
fn engine_tells_overall_verdicts_candidates_and_attachments() {
    let policy = json!({"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}, {"type": "reject"}]});
    let registries_d = [
        ("a.yaml", "docker:\n  quay.io/a:\n    use-sigstore-attachments: true\n"),
        ("b.yaml", "default-docker:\n  lookaside: https://sigs.example\n"),
        ("c.yaml", "docker:\n  quay.io/a/b:\n    use-sigstore-attachments: false\n"),
    ];
    let digest = format!("sha256:{}", "a".repeat(64));
    let request = Request {
        id: "1".into(),
        policy: Some(policy.to_string()),
        registries_d: Some(registries_d.map(|(name, text)| (name.into(), text.into())).into()),
        references: true,
        images: ["quay.io/a/c:v1", "quay.io/a/b", "busybox"].map(String::from).into(),
        ..Request::default()
    };
    let bytes = Request { id: "2".into(), policy_bytes: Some(b"\xff".into()), ..Request::default() };
    let tag_and_digest = Request {
        id: "3".into(),
        references: true,
        images: vec![format!("quay.io/a:v1@{digest}")],
        ..Request::default()
    };
    let answers = Engine::start().ask(&[request, bytes, tag_and_digest]);

    let first = &answers[0];
    assert_eq!(first.verdicts[0].verdict, Verdict::RequiresSignature);
    assert_eq!(first.verdicts[0].overall(), Verdict::Rejects);
    let used: Vec<_> = first.attachments.iter().map(|a| (a.used, a.namespace.as_deref(), &*a.lookaside)).collect();
    assert_eq!(
        used,
        [
            (true, Some("quay.io/a"), "https://sigs.example/a/c"),
            (false, Some("quay.io/a/b"), "https://sigs.example/a/b"),
            (false, Some("default-docker"), "https://sigs.example/library/busybox"),
        ]
    );
    assert_eq!(
        first.references[2].candidates,
        ["docker.io/library/busybox:latest", "docker.io/library/busybox", "docker.io/library", "docker.io", "*.io"]
    );
    assert_eq!(answers[1].refused.as_deref(), Some("invalid character 'ÿ' looking for beginning of value"));
    assert_eq!(answers[2].references[0].reference, Some(format!("quay.io/a@{digest}")));
}

fn apply_server_side(cluster: &ControlPlane, manifest: &Value) -> String {
    let output = cluster.kubectl_in(&["apply", "--server-side", "-f", "-"], &manifest.to_string());
    String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap()
}

fn image_config(registry_sources: Value) -> Value {
    json!({
        "apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
        "spec": {"registrySources": registry_sources},
    })
}

fn cluster_image_policy(version: &str, scope: &str) -> Value {
    let key = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrPQotLS0tLUVORCBQVUJMSUMgS0VZLS0tLS0K";
    json!({
        "apiVersion": format!("config.openshift.io/{version}"), "kind": "ClusterImagePolicy", "metadata": {"name": "p"},
        "spec": {
            "scopes": [scope],
            "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": key}}},
        },
    })
}

#[test]
fn api_server_serves_openshift_kinds_and_refuses_as_openshift_does() {
    let cluster = ControlPlane::shared();
    let listed = cluster.kubectl(&["get", "images.config.openshift.io"]);
    assert!(listed.status.success(), "{listed:?}");
    assert_eq!(String::from_utf8_lossy(&listed.stderr), "No resources found\n");

    for (manifest, expected) in [
        (
            cluster_image_policy("v1", "nodots"),
            "spec.scopes[0]: Invalid value: \"string\": invalid image scope format, ",
        ),
        (cluster_image_policy("v1", "example.com/team"), "clusterimagepolicy.config.openshift.io/p serverside-applied"),
        (
            image_config(json!({"allowedRegistries": ["a.example"], "blockedRegistries": ["b.example"]})),
            "Only one of blockedRegistries or allowedRegistries may be set",
        ),
        (
            image_config(json!({"signedRegistries": ["a.example"]})),
            ".spec.registrySources.signedRegistries: field not declared in schema",
        ),
    ] {
        let said = apply_server_side(cluster, &manifest);
        assert!(said.contains(expected), "{manifest}: {said}");
    }
}

#[test]
fn api_server_tells_users_apart() {
    let cluster = ControlPlane::shared();
    for user in ["admin", "certificate", "reader", "partial", "nobody"] {
        let may = cluster.kubectl_command(user).args(["auth", "can-i", "list", "nodes"]).output().unwrap();
        let administrator = matches!(user, "admin" | "certificate");
        assert_eq!(String::from_utf8_lossy(&may.stdout).trim(), if administrator { "yes" } else { "no" }, "{user}");
    }
}

#[test]
fn api_server_can_be_one_that_has_policies_in_v1alpha1_only() {
    let cluster = ControlPlane::start(Options { v1alpha1_policies: true });
    let asked = |version: &str| {
        let path = format!("/apis/config.openshift.io/{version}/clusterimagepolicies");
        let output = cluster.kubectl(&["get", "--raw", &path]);
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (found, said) = asked("v1");
    assert!(!found && said.contains("NotFound"), "{said}");
    assert!(asked("v1alpha1").0);
    cluster.apply(&cluster_image_policy("v1alpha1", "example.com/team").to_string());

    let server = cluster.url.clone();
    drop(cluster);
    let address = server.strip_prefix("https://").unwrap();
    assert!(std::net::TcpStream::connect(address).is_err(), "the server outlives its owner");
}
