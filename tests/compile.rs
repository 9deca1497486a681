//! The controller's stage against what the real controller wrote: every line of every `controller-*` vector.

mod support;

use std::collections::BTreeMap;

use oc_imagepolicy::compile::{Compiled, Generated, compile};
use oc_imagepolicy::model::machine_config::{Form, Member, generated_name, ignition_files, merge, split_name};
use oc_imagepolicy::model::node_files::SIGSTORE_REGISTRIES;
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::snapshot::{Laying, Origin, Snapshot, Source};
use serde_json::{Value, json};

use support::vector_lines;

fn snapshot(objects: &[Value], release_image: &str) -> Snapshot {
    let mut snapshot = Snapshot::new(Source::Manifests);
    let config = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "ControllerConfig",
        "metadata": {"name": "machine-config-controller"}, "spec": {"releaseImage": release_image},
    });
    for object in objects.iter().cloned().chain([config]) {
        snapshot.insert(object, Origin::Live, Laying::Beside).unwrap();
    }
    snapshot
}

fn compiled(line: &Value, release: &str) -> Compiled {
    let snapshot = snapshot(line["objects"].as_array().unwrap(), line["releaseImage"].as_str().unwrap());
    compile(&snapshot, Release::parse(release).unwrap())
}

/// The keys of a `sigstore-registries.yaml`, which come in one of several orders where the natural one contradicts itself.
fn attached(yaml: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = yaml.lines().collect();
    lines.sort_unstable();
    lines
}

fn check(line: &Value, release: &str) -> Result<(), String> {
    let compiled = compiled(line, release);
    let texts = |refusals: &[_]| -> Vec<String> {
        refusals.iter().map(|refusal: &oc_imagepolicy::model::provenance::Refusal| refusal.text.clone()).collect()
    };
    let generated = match (&compiled.generated, line.get("refusal").and_then(Value::as_str)) {
        (Err(refusals), Some(expected)) => {
            let texts = texts(refusals);
            return match texts.iter().any(|text| text == expected) {
                true => Ok(()),
                false => Err(format!("refused by {texts:#?}\ninstead of {expected}")),
            };
        }
        (Ok(_), Some(expected)) => return Err(format!("not refused: {expected}")),
        (Err(refusals), None) => return Err(format!("refused: {:#?}", texts(refusals))),
        (Ok(generated), None) => generated,
    };
    let expected: BTreeMap<&str, &str> = line["files"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, content)| (path.as_str(), content.as_str().unwrap()))
        .collect();
    let mut order: Vec<&str> = line["order"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    let mut written: Vec<(String, String)> = Vec::new();
    let mut sink = |path: &str, bytes: &[u8]| {
        written.push((path.to_string(), String::from_utf8(bytes.to_vec()).unwrap()));
        Ok(())
    };
    generated.write_files(&mut sink).unwrap();
    let contents = generated.contents().into_iter().map(|(path, bytes)| (path, String::from_utf8(bytes).unwrap()));
    if !contents.eq(written.iter().cloned()) {
        return Err("the files are not the same at once and one by one".into());
    }
    let mut paths: Vec<&str> = written.iter().map(|(path, _)| path.as_str()).collect();
    if matches!(release, "4.18" | "4.19") {
        paths.sort_unstable();
        order.sort_unstable();
    }
    if paths != order {
        return Err(format!("writes {paths:?} instead of {order:?}"));
    }
    for (path, content) in &written {
        let expected = expected[path.as_str()];
        let is_equal = content == expected
            || (path.ends_with("sigstore-registries.yaml")
                && !is_transitive(content)
                && attached(content) == attached(expected));
        if !is_equal {
            return Err(format!("{path} is\n{content}\ninstead of\n{expected}"));
        }
    }
    check_split(generated, release)?;
    if let Some(expected) = line.get("machineConfig") {
        let object = generated.machine_config("worker", Form::Bootstrap);
        if object != *expected {
            return Err(format!("the MachineConfig is\n{object}\ninstead of\n{expected}"));
        }
    }
    Ok(())
}

/// The second seed's layout gives nodes the same files, byte for byte.
fn check_split(generated: &Generated, release: &str) -> Result<(), String> {
    let release = Release::parse(release).unwrap();
    let merged = |configs: &[(String, &Value)]| -> BTreeMap<String, Vec<u8>> {
        let members = configs.iter().map(|(name, config)| Member {
            name: name.as_str().into(),
            role: "worker".into(),
            files: ignition_files(config).collect(),
        });
        merge(members.collect(), release).1.into_iter().map(|(path, file)| (path, file.bytes().unwrap())).collect()
    };
    let whole = generated.machine_config("worker", Form::Bootstrap)["spec"]["config"].clone();
    let [registries, attachments] = generated.split();
    if ignition_files(&attachments).any(|file| file.path != SIGSTORE_REGISTRIES) {
        return Err(format!("the second MachineConfig holds more than one file: {attachments}"));
    }
    let split = merged(&[(generated_name("worker"), &registries), (split_name("worker"), &attachments)]);
    if split != merged(&[(generated_name("worker"), &whole)]) {
        return Err("the two MachineConfigs of the split layout do not give the same files".into());
    }
    if split.is_empty() && [&registries, &attachments] != [&whole, &whole] {
        return Err(format!("without files both are empty: {registries} {attachments}"));
    }
    Ok(())
}

/// Whether the keys have only one natural order.
fn is_transitive(yaml: &str) -> bool {
    use oc_imagepolicy::model::encoding::natural_order;
    let keys: Vec<&str> = yaml
        .lines()
        .filter_map(|line| line.strip_prefix("  ? ").or(line.strip_prefix("  ")?.strip_suffix(':')))
        .map(|key| key.trim_matches(['\'', '"']))
        .collect();
    keys.iter().enumerate().all(|(position, a)| keys[position + 1..].iter().all(|b| natural_order(a, b).is_lt()))
}

#[test]
fn every_vector_of_the_controller_comes_out() {
    let mut failures = Vec::new();
    let mut count = 0;
    for release in ["4.14", "4.16", "4.17", "4.18", "4.19", "4.20", "5.2"] {
        for line in vector_lines(&format!("controller-{release}")) {
            let line: Value = serde_json::from_str(&line).unwrap();
            count += 1;
            if let Err(difference) = check(&line, release) {
                failures.push(format!("{}: {difference}", line["id"]));
            }
        }
    }
    assert!(count > 1000, "only {count} vectors");
    assert!(
        failures.is_empty(),
        "{} of {count} vectors fail\n{}",
        failures.len(),
        failures[..failures.len().min(3)].join("\n")
    );
}
