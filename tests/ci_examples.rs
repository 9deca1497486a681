//! The pipelines of docs/ci.md, taken from the page and run as their systems run them: with manifests that are fine, and with others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const FINE: &str = "apiVersion: config.openshift.io/v1\nkind: Image\nmetadata: {name: cluster}\nspec: {}\n";
const WRONG: &str = "apiVersion: config.openshift.io/v1\nkind: Image\nmetadata: {name: cluster}\nspec:\n  registrySources: {allowedRegistries: [a.io], blockedRegistries: [b.io]}\n";

/// The code block that begins with `# NAME`.
fn block(name: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md")).unwrap();
    let mut blocks = page.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    let found = blocks.find(|(_, text)| text.starts_with(&format!("# {name}\n")));
    found.unwrap_or_else(|| panic!("docs/ci.md has no {name}")).1.to_string()
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&block(name)).unwrap()
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

/// A checkout with a folder of policies.
fn checkout(manifests: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("policies")).unwrap();
    fs::write(directory.path().join("policies/image.yaml"), manifests).unwrap();
    directory
}

/// A script as the runners run it, with the program in their PATH.
fn run(script: &str, directory: &Path) -> Output {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_oc-imagepolicy"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).current_dir(directory);
    command.env_clear().env("PATH", path).env("HOME", directory).output().unwrap()
}

/// Exits with 1 for what is wrong and with 0 for what is fine, and leaves these files behind both times.
fn check(script: &str, files: &[&str]) {
    for (manifests, code) in [(FINE, 0), (WRONG, 1)] {
        let directory = checkout(manifests);
        let output = run(script, directory.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{script}\n{}{said}", String::from_utf8_lossy(&output.stdout));
        let shown = String::from_utf8_lossy(&output.stdout).contains("IMP201");
        assert_eq!(shown, code == 1, "{script}");
        for file in files {
            let written =
                fs::read_to_string(directory.path().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            // JUnit names rules that found nothing, too.
            let tells = written.contains("<failure") || written.contains("\"check_name\"");
            assert_eq!(tells && written.contains("IMP201"), code == 1, "{file}:\n{written}");
        }
    }
}

#[test]
fn pre_commit() {
    let configuration = yaml(".pre-commit-config.yaml");
    let hook = configuration.pointer("/repos/0/hooks/0").unwrap();
    assert_eq!(text(&configuration, "/repos/0/repo"), "local");
    assert_eq!((text(hook, "/language"), hook["pass_filenames"].as_bool()), ("system", Some(false)));
    assert!(text(hook, "/files").starts_with("^policies/"));
    // pre-commit splits the entry as a shell does, and runs it in the root of the repository.
    check(text(hook, "/entry"), &[]);
    let directory = checkout(&format!("{FINE}---\n{}", FINE.replace("spec: {}", "spec: {} # the same")));
    let fixing = run(&format!("{} --fix", text(hook, "/entry")), directory.path());
    assert_eq!(fixing.status.code(), Some(0), "{}", String::from_utf8_lossy(&fixing.stderr));
}

#[test]
fn github() {
    let workflow = yaml(".github/workflows/imagepolicy.yaml");
    let steps = workflow.pointer("/jobs/lint/steps").and_then(Value::as_array).unwrap();
    let scripts: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    let uploaded = steps.iter().find_map(|step| step.pointer("/with/sarif_file")?.as_str()).unwrap();
    let [script] = scripts.as_slice() else { panic!("{scripts:?}") };
    check(script, &[]);
    let directory = checkout(WRONG);
    let output = run(script, directory.path());
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("::error file=policies/image.yaml,line="), "{shown}");
    let sarif: Value = serde_json::from_slice(&fs::read(directory.path().join(uploaded)).unwrap()).unwrap();
    assert!(!sarif.pointer("/runs/0/results").and_then(Value::as_array).unwrap().is_empty());
}

#[test]
fn gitlab() {
    let job = yaml(".gitlab-ci.yml");
    let reports = job.pointer("/imagepolicy/artifacts/reports").unwrap();
    check(text(&job, "/imagepolicy/script/0"), &[text(reports, "/codequality"), text(reports, "/junit")]);
}

#[test]
fn tekton() {
    let task = yaml("imagepolicy-task.yaml");
    assert_eq!((text(&task, "/apiVersion"), text(&task, "/kind")), ("tekton.dev/v1", "Task"));
    let mut script = text(&task, "/spec/steps/0/script").to_string();
    for parameter in task.pointer("/spec/params").and_then(Value::as_array).unwrap() {
        let value = parameter["default"].as_str().unwrap_or("unused");
        script = script.replace(&format!("$(params.{})", text(parameter, "/name")), value);
    }
    assert!(!script.contains("$("), "{script}");
    check(&script, &["imagepolicy.xml"]);
}

#[test]
fn the_nightly_look() {
    let script = block("nightly.sh").replace("lint ", "lint -f policies ");
    let directory = checkout(WRONG);
    let written =
        run("oc-imagepolicy lint -f policies --write-baseline imagepolicy-baseline.yaml --exit-zero", directory.path());
    assert_eq!(written.status.code(), Some(0), "{}", String::from_utf8_lossy(&written.stderr));
    let known = run(&script, directory.path());
    assert_eq!(known.status.code(), Some(0), "{}", String::from_utf8_lossy(&known.stderr));
    assert!(fs::read_to_string(directory.path().join("imagepolicy.html")).unwrap().contains("IMP201"));
    fs::write(directory.path().join("policies/new.yaml"), "apiVersion: config.openshift.io/v1\nkind: ClusterImagePolicy\nmetadata: {name: new}\nspec: {scopes: ['https://x.io'], policy: {rootOfTrust: {policyType: PublicKey, publicKey: {keyData: Zm9v}}}}\n").unwrap();
    assert_eq!(run(&script, directory.path()).status.code(), Some(1), "what is new fails the job");
}
