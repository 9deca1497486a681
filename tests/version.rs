//! `version` without a cluster; tests/live.rs has it with one.

use std::process::{Command, Output};

use serde_json::Value;

fn version(arguments: &[&str], kubeconfig: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"));
    command.arg("version").args(arguments).env("HOME", env!("CARGO_TARGET_TMPDIR")).env_remove("KUBECONFIG");
    command.envs(kubeconfig.map(|path| ("KUBECONFIG", path))).output().unwrap()
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn it_says_what_it_was_built_from_and_with() {
    let output = version(&["-o", "json"], None);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "no cluster is named, and none is missed");
    let document = document(&output);
    let compiler = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into())).arg("--version").output().unwrap();
    assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["compiler"], String::from_utf8(compiler.stdout).unwrap().trim());
    assert!(document["target"].as_str().unwrap().starts_with(std::env::consts::ARCH), "{}", document["target"]);
    let (system, processor) = document["platform"].as_str().unwrap().split_once('/').unwrap();
    assert!(["linux", "darwin", "windows"].contains(&system) && !processor.is_empty(), "{system}/{processor}");
    assert_eq!(document["cluster"], Value::Null);
    let releases: Vec<&str> = document["releases"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!((releases.first(), releases.last()), (Some(&"4.14"), Some(&"5.2")));

    let human = String::from_utf8(version(&[], None).stdout).unwrap();
    for words in ["oc-imagepolicy ", "knows OpenShift 4.14 to 5.2", "commit: ", "platform: ", "built with: rustc "] {
        assert!(human.contains(words), "{words:?} is not in\n{human}");
    }
    assert_eq!(version(&["-o", "name"], None).stdout, concat!(env!("CARGO_PKG_VERSION"), "\n").as_bytes());
}

#[test]
fn a_cluster_that_does_not_answer_is_said_after_the_rest_and_not_asked_with_client() {
    let kubeconfig = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("version-refused.yaml");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n\
                clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: a, user: {token: t}}]\n";
    std::fs::write(&kubeconfig, text).unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();

    let output = version(&["-o", "json"], Some(kubeconfig));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(document(&output)["version"], env!("CARGO_PKG_VERSION"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: ") && said.contains("127.0.0.1:1"), "{said}");

    let output = version(&["--client", "-o", "yaml"], Some(kubeconfig));
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));

    let output = version(&["--kubeconfig", "/does/not/exist"], None);
    assert_eq!(output.status.code(), Some(2), "a kubeconfig that is named must be there");
    assert!(String::from_utf8_lossy(&output.stdout).contains("knows OpenShift"));
}
