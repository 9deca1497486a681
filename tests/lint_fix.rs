//! `lint --fix`: what it makes of files, and what it leaves alone.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use oc_imagepolicy::compile::compile;
use oc_imagepolicy::files::{self, edit};
use oc_imagepolicy::lint::fix::Fate;
use oc_imagepolicy::lint::rules::RULES;
use oc_imagepolicy::lint::{self, Context, Finding};
use oc_imagepolicy::model::release::Release;

const SOME_KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFemx3MFNMbE5yM21Q\
                        NHV4TFBhdFlaRTgydXNJSAp6R0tDbTJxWUU4ZXI2bWc1MkVWa2gwUmpudjhONXg4UEpxQlJJV2h4bXRZcDhhWEVNOGhkWWNvZnd3PT0KLS0tLS\
                        1FTkQgUFVCTElDIEtFWS0tLS0tCg==";
const OTHER_KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUNvd0JRWURLMlZ3QXlFQTRzb2tHQ05BOEF2eG5jSVlrMWg2eXl0SndPQ1Exa0Z\
                         1THJja0paVDlHYlE9Ci0tLS0tRU5EIFBVQkxJQyBLRVktLS0tLQo=";

fn run(arguments: &[&str]) -> Output {
    Command::cargo_bin("oc-imagepolicy").unwrap().args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is found, and what the fixes make of the text.
fn round(text: &str, release: &'static Release) -> (Vec<Finding>, Vec<Fate>, String) {
    let snapshot = files::read_text("example.yaml", text).unwrap();
    let compiled = compile(&snapshot, release);
    let context = Context::new(&snapshot, &compiled);
    let outcome = lint::run(&context, RULES);
    let findings: Vec<Finding> = outcome.findings.into_iter().filter(|finding| finding.fix.is_some()).collect();
    let fixes = findings.iter().filter_map(|finding| finding.fix.as_ref());
    let edited = edit::edit(fixes, |object| context.as_written(object));
    let changed = edited.files.first().map_or_else(|| text.to_string(), |file| file.text());
    (findings, edited.fates, changed)
}

fn comments(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| line.starts_with('#')).collect()
}

/// On the example of every rule: what is made is gone afterwards, comments of their own lines stay, and it ends.
#[test]
fn what_is_fixed_is_gone() {
    let mut made = 0;
    for rule in RULES {
        for example in rule.examples.iter().filter(|example| example.fires) {
            let release = Release::parse(example.release).unwrap();
            let mut text = example.manifests.replace("SOME_KEY", SOME_KEY).replace("OTHER_KEY", OTHER_KEY);
            let mut rounds = 0;
            loop {
                let (before, fates, changed) = round(&text, release);
                if changed == text {
                    assert!(!fates.contains(&Fate::Made), "{}: {before:#?} is made without a change", rule.id());
                    break;
                }
                rounds += 1;
                assert!(rounds < 8, "{} does not come to an end:\n{text}", rule.id());
                assert_eq!(comments(&text), comments(&changed), "{}", rule.id());
                let (after, ..) = round(&changed, release);
                for (finding, fate) in before.iter().zip(&fates).filter(|(_, fate)| **fate == Fate::Made) {
                    made += 1;
                    let is_same = |other: &&Finding| other.fingerprint == finding.fingerprint;
                    assert!(
                        !after.iter().any(|other| is_same(&other)),
                        "{fate:?} {finding:#?}\nis still there in\n{changed}"
                    );
                }
                text = changed;
            }
        }
    }
    assert!(made > 25, "only {made} findings of all examples can be fixed");
}

const MANIFESTS: &str = "\
# our registries
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    allowedRegistries:   # keep sorted
      - image-registry.openshift-image-registry.svc:5000
      - quay.io
      - quay.io/pub        # why?
      - \"https://registry.example.com/\"
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes:
    - quay.io
    - quay.io   # twice
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
    signedIdentity: {matchPolicy: MatchRepository}
";

fn write(directory: &Path) -> String {
    let path = directory.join("a.yaml");
    fs::write(&path, MANIFESTS.replace("SOME_KEY", SOME_KEY)).unwrap();
    path.display().to_string()
}

#[test]
fn safe_fixes_are_written_and_nothing_else_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path());
    let before = fs::read_to_string(&path).unwrap();
    let shown = run(&["lint", "-f", &path, "--diff"]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(stdout(&shown).contains("-    - quay.io   # twice\n"), "{}", stdout(&shown));
    assert!(stderr(&shown).contains("would fix: 2 findings in"), "{}", stderr(&shown));
    assert_eq!(fs::read_to_string(&path).unwrap(), before, "--diff writes nothing");

    let fixed = run(&["lint", "-f", &path, "--fix", "--release", "5.1"]);
    let expected = before
        .replace("    - quay.io   # twice\n", "")
        .replace("\"https://registry.example.com/\"", "\"registry.example.com\"");
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(fixed.status.code(), Some(1), "IMP204 is left");
    assert!(stdout(&fixed).contains("IMP204") && !stdout(&fixed).contains("IMP106"), "{}", stdout(&fixed));
    assert!(stderr(&fixed).contains("fixed: 2 findings in"), "{}", stderr(&fixed));

    let again = run(&["lint", "-f", &path, "--fix", "--release", "5.1"]);
    assert!(stderr(&again).contains("fixed: nothing"), "{}", stderr(&again));
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);

    let risky = run(&["lint", "-f", &path, "--unsafe-fixes", "--release", "5.1"]);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        expected.replace("      - quay.io/pub        # why?\n", "").replace(
            "      - \"registry.example.com\"\n",
            "      - \"registry.example.com\"\n      - \"registry.access.redhat.com\"\n      - \"registry.redhat.io\"\n"
        )
    );
    assert!(!stdout(&risky).contains("IMP204"), "{}", stdout(&risky));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside the file");
}

#[test]
fn a_file_keeps_its_rights_and_its_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = directory.path().join("link.yaml");
    symlink(&path, &link).unwrap();
    run(&["lint", "-f", link.to_str().unwrap(), "--fix"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(!fs::read_to_string(&path).unwrap().contains("twice"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn what_is_no_file_of_ones_own_is_left_alone() {
    let stdin = Command::cargo_bin("oc-imagepolicy")
        .unwrap()
        .args(["lint", "-f", "-", "--fix"])
        .write_stdin(MANIFESTS.replace("SOME_KEY", SOME_KEY))
        .output()
        .unwrap();
    assert_eq!(stdin.status.code(), Some(2));
    assert!(stderr(&stdin).contains("standard input"), "{}", stderr(&stdin));
    let example = run(&["lint", "--example", "--fix"]);
    assert_eq!(example.status.code(), Some(2), "{}", stderr(&example));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.yaml.gz");
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, MANIFESTS.replace("SOME_KEY", SOME_KEY).as_bytes()).unwrap();
    encoder.finish().unwrap();
    let before = fs::read(&path).unwrap();
    let compressed = run(&["lint", "-f", path.to_str().unwrap(), "--fix"]);
    assert_eq!(compressed.status.code(), Some(2));
    assert!(stderr(&compressed).contains("compressed"), "{}", stderr(&compressed));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn several_files_are_fixed_together() {
    let directory = tempfile::tempdir().unwrap();
    let (image, policy) = MANIFESTS.split_once("---\n").unwrap();
    fs::write(directory.path().join("image.yaml"), image).unwrap();
    fs::write(directory.path().join("policy.yaml"), policy.replace("SOME_KEY", SOME_KEY)).unwrap();
    let fixed = run(&["lint", "-f", directory.path().to_str().unwrap(), "--fix", "--unsafe-fixes"]);
    assert_eq!(fixed.status.code(), Some(0), "{}{}", stdout(&fixed), stderr(&fixed));
    assert!(!fs::read_to_string(directory.path().join("image.yaml")).unwrap().contains("pub"));
    assert!(!fs::read_to_string(directory.path().join("policy.yaml")).unwrap().contains("twice"));
}

/// The same file under two names is one file; two files with the same object are not.
#[test]
fn a_file_may_be_named_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path());
    let before = fs::read_to_string(&path).unwrap();
    std::os::unix::fs::symlink("a.yaml", directory.path().join("z.yaml")).unwrap();
    let copy = directory.path().join("copy.yaml");
    fs::write(&copy, &before).unwrap();
    let all = directory.path().to_str().unwrap();
    let copied = run(&["lint", "-f", all, "--fix", "--release", "4.20"]);
    assert_eq!(copied.status.code(), Some(2));
    assert!(stderr(&copied).contains("no file is changed"), "{}", stderr(&copied));
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    assert_eq!(fs::read_to_string(&copy).unwrap(), before);
    fs::remove_file(&copy).unwrap();
    let fixed = run(&["lint", "-f", all, "-f", &path, "--fix", "--release", "4.20"]);
    assert_eq!(fixed.status.code(), Some(1), "{}", stderr(&fixed));
    assert!(!fs::read_to_string(&path).unwrap().contains("twice"));
    assert!(directory.path().join("z.yaml").is_symlink());
}

/// Where there is no answer, or a report cannot be written, no file is changed either.
#[test]
fn files_change_only_where_everything_else_goes_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path());
    let before = fs::read_to_string(&path).unwrap();
    let all = directory.path().to_str().unwrap();
    for arguments in [
        &["-o", "sarif=/nonexistent/x.sarif"][..],
        &["-o", &format!("json={path}")],
        &["--write-baseline", "/nonexistent/b.yaml"],
        &["--require-complete"],
        &["--diff", "-o", "json"],
    ] {
        let output = run(&[&["lint", "-f", all, "--release", "4.20", "--fix"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert_eq!(fs::read_to_string(&path).unwrap(), before, "{arguments:?}");
    }
    // Without --fix, either: a report over a file that the directory holds.
    let output = run(&["lint", "-f", all, "-o", &format!("json={path}")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("would take its place"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// An object goes with its own comments; what stands above the first one for the whole file stays.
#[test]
fn what_a_file_says_of_itself_stays() {
    let object = |name: &str, scope: &str| {
        format!(
            "# of {name}\napiVersion: config.openshift.io/v1\nkind: ImagePolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             scopes: [{scope}]\n  policy:\n    rootOfTrust: {{policyType: PublicKey, publicKey: {{keyData: {SOME_KEY}}}}}\n    \
             signedIdentity: {{matchPolicy: MatchRepository}}\n"
        )
    };
    let cluster = object("all", "a.io").replace("ImagePolicy", "ClusterImagePolicy").replace(", namespace: shop", "");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.yaml");
    fs::write(&path, format!("# ours\n\n{}---\n{cluster}", object("inside", "a.io/x"))).unwrap();
    run(&["lint", "-f", path.to_str().unwrap(), "--unsafe-fixes", "--release", "4.20", "--select", "207"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("# ours\n\n---\n{cluster}"));
}

/// The lines around a change may be those of a key, which nobody could tell by themselves.
#[test]
fn keys_beside_a_change_are_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.yaml");
    let lines: String = (0..20)
        .map(|line| format!("      MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQD{line:02}secret\n"))
        .collect();
    let key = format!("      -----BEGIN PRIVATE KEY-----\n{lines}      -----END PRIVATE KEY-----\n");
    let text = MANIFESTS
        .replace("SOME_KEY", SOME_KEY)
        .replace("spec:\n  scopes:\n", &format!("spec:\n  key: |\n{key}  scopes:\n"));
    fs::write(&path, text).unwrap();
    let shown = stdout(&run(&["lint", "-f", path.to_str().unwrap(), "--diff", "--release", "4.20"]));
    assert!(shown.contains("-    - quay.io   # twice") && shown.contains("@@ -39,7 +39,6 @@"), "{shown}");
    assert!(!shown.contains("secret") && !shown.contains("END PRIVATE"), "{shown}");
}
