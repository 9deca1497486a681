//! The real servers that other tests rest on do what those tests take for granted.

mod support;

use serde_json::{Value, json};

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
