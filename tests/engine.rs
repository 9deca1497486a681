//! Every question of `engine.jsonl.gz` answered as the real engine answered it.

mod support;

use std::collections::BTreeMap;

use oc_imagepolicy::model::node_files::{NodeFiles, POLICY_JSON, REGISTRIES_CONF};
use oc_imagepolicy::model::policy::Verdict;
use oc_imagepolicy::resolve::Resolver;
use serde_json::Value;

const ACCEPTS_ANYTHING: &str = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;

#[test]
fn every_line_is_answered_as_the_engine_answered_it() {
    let (mut refused, mut verdicts, mut sources) = (0, 0, 0);
    for line in support::vector_lines("engine") {
        let case: Value = serde_json::from_str(&line).unwrap();
        let id = case["id"].as_str().unwrap();
        let policy = case["policy"].as_str().unwrap();
        let files = NodeFiles::read([(POLICY_JSON, policy, None)]);
        match case.get("refused").and_then(Value::as_str) {
            Some(text) => {
                refused += 1;
                check_refusal(id, &files, text);
            }
            None => {
                let resolver = Resolver::new(&files, None).unwrap_or_else(|refusals| panic!("{id}: {refusals:?}"));
                for expected in case["verdicts"].as_array().unwrap() {
                    verdicts += 1;
                    check_verdict(id, &resolver, expected);
                }
            }
        }
        if let Some(registries) = case.get("registries").and_then(Value::as_str) {
            let files = NodeFiles::read([(POLICY_JSON, ACCEPTS_ANYTHING, None), (REGISTRIES_CONF, registries, None)]);
            for expected in case["sources"].as_array().unwrap() {
                sources += 1;
                check_sources(id, &files, expected);
            }
        }
    }
    assert!(refused > 600 && verdicts > 8_000 && sources > 5_000, "{refused} {verdicts} {sources}");
}

fn check_refusal(id: &str, files: &NodeFiles, expected: &str) {
    let refusals = files.check();
    let [refusal] = &*refusals else { panic!("{id}: {refusals:?} instead of {expected}") };
    // Go's own texts need not be equal.
    if !support::is_gos_own(expected) {
        assert_eq!(refusal.text, format!("invalid policy in \"{POLICY_JSON}\": {expected}"), "{id}");
    }
}

fn check_verdict(id: &str, resolver: &Resolver<'_>, expected: &Value) {
    let image = expected["image"].as_str().unwrap();
    let text = expected.get("text").and_then(Value::as_str);
    match resolver.resolve(image) {
        Err(error) => {
            assert_eq!(
                ("Unparsable", Some(&*error.to_string())),
                (expected["verdict"].as_str().unwrap(), text),
                "{id} {image}"
            );
        }
        Ok(resolution) => {
            assert_eq!(resolution.failure().as_deref(), text, "{id} {image}");
            // The vectors tell of the first requirement that fails, we of the worst of all.
            let mut first = Verdict::AcceptsAnything;
            if let Some(text) = text {
                first = if text.ends_with("is rejected by policy.") {
                    Verdict::Rejects
                } else {
                    Verdict::RequiresSignature
                };
            }
            assert_eq!(first.to_string(), expected["verdict"].as_str().unwrap(), "{id} {image}");
            assert!(resolution.verdict() == first || resolution.verdict() == Verdict::Rejects, "{id} {image}");
            assert_eq!(resolver.verdict_of(image, &mut String::new()), Ok(resolution.verdict()), "{id} {image}");
        }
    }
}

fn check_sources(id: &str, files: &NodeFiles, expected: &Value) {
    let image = expected["image"].as_str().unwrap();
    let text = expected.get("text").and_then(Value::as_str);
    let resolver = match Resolver::new(files, None) {
        Ok(resolver) => resolver,
        Err(refusals) => {
            // The engine loaded a temporary file.
            let (_, said) = text.unwrap().split_once(": ").unwrap();
            assert_eq!(refusals.len(), 1, "{id}");
            assert!(refusals[0].text.ends_with(&format!("\": {said}")), "{id}: {refusals:?} {said}");
            return;
        }
    };
    let resolution = match resolver.resolve(image) {
        Ok(resolution) => resolution,
        Err(error) => {
            assert_eq!(Some(&*error.to_string()), text, "{id} {image}");
            return;
        }
    };
    let entry = resolver.registries().find(resolution.reference.name());
    assert_eq!(entry.map(|entry| &*entry.prefix), expected.get("prefix").and_then(Value::as_str), "{id} {image}");
    assert_eq!(entry.is_some_and(|entry| entry.blocked), expected["blocked"] == Value::Bool(true), "{id} {image}");
    let Some(wanted) = expected.get("sources").and_then(Value::as_array) else {
        assert_eq!(resolution.pull.obstacle.as_deref(), text, "{id} {image}");
        return;
    };
    let found: Vec<(&str, bool)> = resolution.pull.sources.iter().map(|s| (&*s.reference, s.insecure)).collect();
    let wanted: Vec<(&str, bool)> =
        wanted.iter().map(|s| (s["ref"].as_str().unwrap(), s["insecure"] == Value::Bool(true))).collect();
    assert_eq!(found, wanted, "{id} {image}");
}

#[test]
fn a_namespace_adds_to_the_cluster() {
    use oc_imagepolicy::model::node_files::{NamespaceFile, PolicyForm};
    let cluster = r#"{"default": [{"type": "reject"}], "transports": {"docker": {"a.io": [{"type": "insecureAcceptAnything"}]}}}"#;
    let signed = r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k"}]}"#;
    let mut files = NodeFiles::read([(POLICY_JSON, cluster, None)]);
    let added = NodeFiles::read([(POLICY_JSON, signed, None)]).policy.unwrap().policy.default;
    let scopes: BTreeMap<Box<str>, _> = ["a.io", "*.b.io", "c.io/x"].map(|scope| (scope.into(), added.clone())).into();
    files.namespaces.insert("team".into(), NamespaceFile::Additions { scopes, form: PolicyForm::Compact });
    for (namespace, image, verdict, requirements) in [
        (Some("team"), "a.io/x", Verdict::RequiresSignature, 2),
        (Some("team"), "x.b.io/x", Verdict::RequiresSignature, 1),
        (Some("team"), "c.io/y", Verdict::Rejects, 1),
        (Some("other"), "a.io/x", Verdict::AcceptsAnything, 1),
        (None, "x.b.io/x", Verdict::Rejects, 1),
    ] {
        let resolver = Resolver::new(&files, namespace).unwrap();
        let own = namespace == Some("team");
        assert_eq!(resolver.policy_file() == "/etc/crio/policies/team.json", own);
        let resolution = resolver.resolve(image).unwrap();
        assert_eq!((resolution.verdict(), resolution.requirements().count()), (verdict, requirements), "{image}");
    }
}

#[test]
fn what_is_refused_hits_those_who_read_it() {
    let bad = r#"{"default": []}"#;
    let own = "/etc/crio/policies/team.json";
    for (files, namespace, texts) in [
        (vec![(own, ACCEPTS_ANYTHING)], None, vec!["no policy.json file found at any of the following"]),
        (vec![(own, ACCEPTS_ANYTHING)], Some("team"), vec![]),
        (vec![(POLICY_JSON, bad), (own, ACCEPTS_ANYTHING)], Some("team"), vec![]),
        (
            vec![(POLICY_JSON, bad), (own, ACCEPTS_ANYTHING)],
            Some("other"),
            vec!["invalid policy in \"/etc/containers/"],
        ),
        (vec![(POLICY_JSON, ACCEPTS_ANYTHING), (own, bad)], Some("team"), vec!["invalid policy in \"/etc/crio/"]),
        (vec![(POLICY_JSON, ACCEPTS_ANYTHING), (own, bad)], None, vec![]),
        (vec![(POLICY_JSON, bad), (REGISTRIES_CONF, "[")], None, vec!["invalid policy", "loading registries"]),
    ] {
        let files = NodeFiles::read(files.into_iter().map(|(path, content)| (path, content, None)));
        let refusals = Resolver::new(&files, namespace).err().unwrap_or_default();
        assert_eq!(refusals.len(), texts.len(), "{refusals:?}");
        for (refusal, text) in refusals.iter().zip(texts) {
            assert!(refusal.text.starts_with(text), "{refusal:?}");
        }
    }
}

#[test]
fn short_names_are_searched() {
    let policy = r#"{"default": [{"type": "reject"}], "transports": {"docker": {"docker.io/library": [{"type": "insecureAcceptAnything"}]}}}"#;
    let registries = r#"
        unqualified-search-registries = ["docker.io", "blocked.io"]
        [[registry]]
        location = "blocked.io"
        blocked = true
        [aliases]
        "known" = "quay.io/team/known"
    "#;
    let files = NodeFiles::read([(POLICY_JSON, policy, None), (REGISTRIES_CONF, registries, None)]);
    let resolver = Resolver::new(&files, None).unwrap();
    let searched = |image: &str| -> Vec<String> {
        let line =
            |s: &oc_imagepolicy::resolve::Searched| format!("{} {} {}", s.reference, s.verdict, s.obstacle.is_some());
        resolver.search(image).iter().map(line).collect()
    };
    assert_eq!(
        searched("app:v1"),
        ["docker.io/library/app:v1 AcceptsAnything false", "blocked.io/app:v1 Rejects true"]
    );
    assert_eq!(searched("known:v2"), ["quay.io/team/known:v2 Rejects false"]);
    assert!(searched("quay.io/app").is_empty());
    let blocked = resolver.resolve("blocked.io/app").unwrap().pull;
    assert_eq!(
        blocked.obstacle.as_deref(),
        Some("registry blocked.io is blocked in /etc/containers/registries.conf or /etc/containers/registries.conf.d")
    );
}
