//! `lint -o patch` on a real kube-apiserver: what it prints is run in a shell by the real kubectl, and the findings are gone.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use support::controlplane::{ControlPlane, Options, kubectl_dir};

const KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFemx3MFNMbE5yM21Q\
                   NHV4TFBhdFlaRTgydXNJSAp6R0tDbTJxWUU4ZXI2bWc1MkVWa2gwUmpudjhONXg4UEpxQlJJV2h4bXRZcDhhWEVNOGhkWWNvZnd3PT0KLS0tLS\
                   1FTkQgUFVCTElDIEtFWS0tLS0tCg==";

/// Two entries of one list have to go, a tenant's scope is ignored, another is all that its policy has, and a policy lies outside of
/// what is allowed.
const OBJECTS: &str = r"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    allowedRegistries:
      - image-registry.openshift-image-registry.svc:5000
      - quay.io/openshift-release-dev
      - registry.example.com
      - registry.example.com/team/a
      - registry.example.com/team/keep/not
      - registry.example.com/team/b
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team, registry.example.org]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: web, namespace: default}
spec:
  scopes: [registry.example.com/web, registry.example.com/team/web, registry.example.com/other]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
---
apiVersion: config.openshift.io/v1
kind: ImagePolicy
metadata: {name: idle, namespace: default}
spec:
  scopes: [registry.example.com/team/idle]
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
";

fn lint(server: &ControlPlane, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"));
    command.env("HOME", env!("CARGO_TARGET_TMPDIR")).env("KUBECONFIG", server.kubeconfig("admin")).env("NO_COLOR", "1");
    command.args(["lint", "--release", "5.1"]).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn printed_commands_are_accepted_and_the_findings_are_gone() {
    let server = ControlPlane::start(Options::default());
    for object in OBJECTS.replace("SOME_KEY", KEY).split("---\n") {
        server.apply(object);
    }
    let shell = |script: &str| {
        let directory = tempfile::tempdir().unwrap();
        let oc = directory.path().join("oc");
        fs::write(&oc, format!("#!/bin/sh\nexec '{}' \"$@\"\n", kubectl_dir().join("kubectl").display())).unwrap();
        fs::set_permissions(&oc, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.args(["-euc", script]).env("PATH", path).env("KUBECONFIG", server.kubeconfig("admin"));
        command.output().unwrap()
    };

    let safe = lint(&server, &["-o", "patch"]);
    let script = text(&safe.stdout);
    let commands = |script: &str| script.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(commands(&script), 1, "{script}");
    assert!(script.contains("more with --unsafe-fixes"), "{script}");
    let ran = shell(&script);
    assert!(ran.status.success(), "{}\n{script}", text(&ran.stderr));
    let scopes = server.kubectl(&[
        "get",
        "imagepolicies.config.openshift.io",
        "-n",
        "default",
        "web",
        "-o",
        "jsonpath={.spec.scopes}",
    ]);
    assert_eq!(text(&scopes.stdout), r#"["registry.example.com/web","registry.example.com/other"]"#);

    let all = lint(&server, &["-o", "patch", "--unsafe-fixes"]);
    let script = text(&all.stdout);
    let ran = shell(&script);
    assert!(ran.status.success(), "{}\n{script}", text(&ran.stderr));
    let allowed = server.kubectl(&[
        "get",
        "images.config.openshift.io",
        "cluster",
        "-o",
        "jsonpath={.spec.registrySources.allowedRegistries}",
    ]);
    assert_eq!(
        text(&allowed.stdout),
        r#"["image-registry.openshift-image-registry.svc:5000","quay.io/openshift-release-dev","registry.example.com","registry.example.org"]"#
    );
    let after = lint(&server, &["-o", "name"]);
    for code in ["IMP202", "IMP204", "IMP207"] {
        assert!(!text(&after.stdout).contains(code), "{}", text(&after.stdout));
    }

    // What stands there now is tested: an old command changes nothing.
    let again = shell(&script);
    assert!(!again.status.success(), "{}", text(&again.stdout));
    let refused = lint(&server, &["--fix"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("-o patch"), "{}", text(&refused.stderr));
}
