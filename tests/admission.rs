//! Every line of the `api-*` vectors: what a real API server with the CRDs of that release accepted, and its causes where it did not.

mod support;

use oc_imagepolicy::admission::refusals;
use oc_imagepolicy::model::release::Release;
use serde_json::Value;

type Cause = (String, String);

fn expected(line: &Value) -> Vec<Cause> {
    let causes = line["causes"].as_array().map(Vec::as_slice).unwrap_or_default();
    causes.iter().map(|cause| (text(&cause[0]), text(&cause[1]))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_string()
}

fn check(release: &str, at_least: usize) {
    let model = Release::parse(release).unwrap();
    let mut wrong = Vec::new();
    let mut lines = 0;
    for line in support::vector_lines(&format!("api-{release}")) {
        let line: Value = serde_json::from_str(&line).unwrap();
        let mut expected = expected(&line);
        assert_eq!(expected.is_empty(), line["accepted"] == true, "{}", line["id"]);
        let mut found: Vec<Cause> =
            refusals(model, &line["object"]).into_iter().map(|cause| (cause.path, cause.message)).collect();
        expected.sort();
        found.sort();
        if found != expected {
            wrong.push(format!("{}\n  expected {expected:#?}\n  found {found:#?}", line["id"]));
        }
        lines += 1;
    }
    assert!(lines >= at_least, "{lines} lines");
    assert!(wrong.is_empty(), "{} of {lines} differ, the first:\n{}", wrong.len(), wrong[0]);
}

#[test]
fn release_4_18() {
    check("4.18", 700);
}

#[test]
fn release_4_20() {
    check("4.20", 700);
}

#[test]
fn release_5_2() {
    check("5.2", 1200);
}

/// Any value of an object may be a megabyte of anything.
#[test]
fn a_megabyte_in_any_field_does_no_harm() {
    let size = 1 << 20;
    let hostile =
        ["a", "a-", "a/", "*.", ":", "[", "%41", "\u{301}", "\n", "@", "a.", "QUJD", "-----BEGIN CERTIFICATE-----"];
    let release = Release::parse("5.2").unwrap();
    let mut fields = 0;
    for line in support::vector_lines("api-5.2").take(12) {
        let line: Value = serde_json::from_str(&line).unwrap();
        let mut pointers = Vec::new();
        collect_texts(&line["object"]["spec"], "/spec", &mut pointers);
        fields += pointers.len();
        for (pointer, hostile) in pointers.iter().zip(hostile.iter().cycle()) {
            let mut object = line["object"].clone();
            *object.pointer_mut(pointer).unwrap() = Value::from(hostile.repeat(size / hostile.len()));
            refusals(release, &object);
        }
    }
    assert!(fields > 30, "{fields} fields");
}

fn collect_texts(value: &Value, pointer: &str, pointers: &mut Vec<String>) {
    match value {
        Value::String(_) => pointers.push(pointer.to_string()),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate().take(2) {
                collect_texts(item, &format!("{pointer}/{at}"), pointers);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                collect_texts(member, &format!("{pointer}/{name}"), pointers);
            }
        }
        _ => {}
    }
}
