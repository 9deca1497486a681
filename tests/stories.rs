//! Both seed documents, told from an object in a file to MachineConfigs in a real API server and back. A test controller plays the
//! machine-config-operator, the real policy engine plays the node.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::controlplane::{ControlPlane, Options};
use support::operator::{Cluster, Operator};
use support::reference::{Engine, Request, Verdict};

const POLICY: &str = "/etc/containers/policy.json";
const ATTACHMENTS: &str = "/etc/containers/registries.d/sigstore-registries.yaml";
const LOOKASIDES: &str = "/etc/containers/registries.d/imagepolicy.yaml";
const KEY: &str = "/etc/machine-config-daemon/no-reboot/containers-gpg.pub";
const TEMPLATE: &str = oc_imagepolicy::model::policy_write::TEMPLATE;

type Files = BTreeMap<String, Vec<u8>>;

struct Story {
    server: ControlPlane,
    operator: Operator,
    home: tempfile::TempDir,
    engine: Engine,
}

impl Story {
    fn begin(version: &str, v1alpha1_policies: bool, manifests: &str) -> Self {
        let server = ControlPlane::start(Options { v1alpha1_policies });
        let cluster = Cluster { version: version.into(), ..Cluster::default() };
        let operator = Operator::install(&server, &cluster, manifests);
        Self { server, operator, home: tempfile::tempdir().unwrap(), engine: Engine::start() }
    }

    fn oc(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"))
            .args(arguments)
            .arg("--kubeconfig")
            .arg(self.server.kubeconfig("admin"))
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_STATE_HOME", self.home.path().join("state"))
            .output()
            .unwrap()
    }

    /// Runs and expects an exit code; what was printed, both streams.
    fn run(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.oc(arguments);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}:\n{text}");
        text
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.oc(&[arguments, &["-o", "json"]].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    }

    /// What the nodes of a pool have once the operator has done its work.
    fn settled(&self, node: &str) -> Files {
        self.operator.sync().unwrap();
        self.operator.roll_all();
        self.operator.node_files(node)
    }

    fn verdicts(&mut self, files: &Files, images: &[&str]) -> Vec<Verdict> {
        let policy = String::from_utf8(files[POLICY].clone()).unwrap();
        let registries_d = files
            .iter()
            .filter_map(|(path, bytes)| {
                let name = path.strip_prefix("/etc/containers/registries.d/")?;
                Some((name.to_string(), String::from_utf8(bytes.clone()).unwrap()))
            })
            .collect();
        let request = Request {
            policy: Some(policy),
            registries_d: Some(registries_d),
            images: images.iter().map(ToString::to_string).collect(),
            ..Request::default()
        };
        let answer = self.engine.ask(&[request]).remove(0);
        assert_eq!((answer.refused, answer.registries_d_refused), (None, None));
        answer.verdicts.iter().map(|verdict| verdict.overall()).collect()
    }

    fn object(&self, resource: &str, name: &str) -> Option<Value> {
        let output = self.server.kubectl(&["get", resource, name, "-o", "json", "--ignore-not-found"]);
        serde_json::from_slice(&output.stdout).ok()
    }
}

fn keyring() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keyrings/rsa4096.gpg").to_str().unwrap().to_string()
}

fn image(extra: &str) -> String {
    format!(
        "apiVersion: config.openshift.io/v1\nkind: Image\nmetadata:\n  name: cluster\nspec:\n  registrySources:\n    \
         allowedRegistries:\n    - quay.io/allowed\n    - quay.io/openshift-release-dev\n    - registry.ci.openshift.org\n    - \
         example.com/global\n{extra}"
    )
}

const SIGNED: &str = "    signedRegistries:\n    - sigRequiredRegistriesOrImages:\n      - \
                      image-registry.openshift-image-registry.svc:5000\n      - quay.io/sign/repository:latest\n      gpgKeyPath: \
                      //etc/machine-config-daemon/no-reboot/containers-gpg.pub\n";

/// The second seed's policy, with a key that the API takes.
fn seeds_policy(version: &str, scopes: &str) -> String {
    let key = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/example-cluster/cluster-image-policies.yaml"),
    )
    .unwrap()
    .lines()
    .find_map(|line| line.trim().strip_prefix("keyData: ").map(str::to_string))
    .unwrap();
    format!(
        "apiVersion: config.openshift.io/{version}\nkind: ClusterImagePolicy\nmetadata:\n  name: p0\nspec:\n  scopes: {scopes}\n  policy:\n    rootOfTrust:\n      policyType: PublicKey\n      publicKey:\n        keyData: {key}\n    signedIdentity:\n      matchPolicy: MatchRepoDigestOrExact\n"
    )
}

/// The first seed: signedRegistries, from a file to every node, and back.
#[test]
fn signed_registries_reach_the_nodes_and_leave_them_again() {
    use Verdict::{AcceptsAnything, Rejects, RequiresSignature};
    let images = ["quay.io/allowed/x", "quay.io/sign/repository:latest", "quay.io/other/x"];
    let mut story = Story::begin("4.21.4", false, &image(""));
    let before = story.settled("worker-0");
    assert_eq!(story.verdicts(&before, &images), [AcceptsAnything, Rejects, Rejects]);

    // Nothing happens without a yes.
    let file = story.file("image.yaml", &image(SIGNED));
    let key = format!("{KEY}={}", keyring());
    let lookaside = "quay.io/sign/repository=https://signatures.example.com/sigstore";
    let arguments = ["apply", "-f", &file, "--key", &key, "--lookaside", lookaside];
    story.run(2, &arguments);
    assert!(story.object("machineconfig", "99-worker-imagepolicy").is_none());
    let shown = story.run(0, &[&arguments[..], &["--dry-run=server"]].concat());
    assert!(shown.contains("99-worker-imagepolicy") && shown.contains("quay.io/sign/repository:latest"), "{shown}");
    assert!(story.object("machineconfig", "99-worker-imagepolicy").is_none());
    let differs = story.run(1, &["diff", "-f", &file, "--key", &key]);
    assert!(differs.contains("quay.io/sign/repository:latest"), "{differs}");

    let applied = story.run(0, &[&arguments[..], &["--yes"]].concat());
    assert!(applied.contains("rollback"), "the way back is told: {applied}");
    let live = story.object("images.config.openshift.io", "cluster").unwrap();
    let annotation = live["metadata"]["annotations"]["imagepolicy.openshift.io/signed-registries"].as_str().unwrap();
    assert!(annotation.contains("quay.io/sign/repository:latest"), "{annotation}");
    let machine_config = story.object("machineconfig", "99-worker-imagepolicy").unwrap();
    assert!(machine_config["metadata"]["annotations"]["imagepolicy.openshift.io/inputs"].is_string());
    assert_eq!(
        machine_config["metadata"]["annotations"]["machineconfiguration.openshift.io/generated-by-controller-version"],
        Value::Null
    );

    let after = story.settled("worker-0");
    assert_eq!(story.verdicts(&after, &images), [AcceptsAnything, RequiresSignature, Rejects]);
    assert_eq!(after[KEY], fs::read(keyring()).unwrap());
    assert!(String::from_utf8_lossy(&after[LOOKASIDES]).contains("lookaside: https://signatures.example.com/sigstore"));
    assert_eq!(story.operator.node_files("master-0")[POLICY], after[POLICY]);
    story.run(0, &["rollout"]);
    let told = story.run(0, &["explain", "quay.io/sign/repository:latest"]);
    assert!(told.contains("from MachineConfig/99-") && told.contains("made from Image/cluster"), "{told}");
    let rendered = story.json(&["explain", "quay.io/sign/repository:latest", "--of", "node/worker-0"]);
    assert_eq!(rendered["verdict"], "RequiresSignature");
    assert_eq!(story.json(&["explain"])["source"]["inForce"], "Yes");
    // The same once more changes nothing.
    let again = story.run(0, &[&arguments[..], &["--yes"]].concat());
    assert!(!again.contains("configured\n"), "{again}");

    // Somebody adds an ImagePolicy: a namespace's file of the controller would let pods there pass.
    story.server.apply(
        &seeds_policy("v1", "[example.com/global]")
            .replace("ClusterImagePolicy", "ImagePolicy")
            .replace("name: p0", "name: p0\n  namespace: default"),
    );
    let namespaced = story.settled("worker-0");
    let own = &namespaced["/etc/crio/policies/default.json"];
    assert!(!String::from_utf8_lossy(own).contains("signedBy"), "the test's premise");
    let lint = story.json(&["lint"]);
    let codes: Vec<&str> =
        lint["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"IMP508"), "{codes:?}");
    story.run(0, &[&arguments[..], &["--yes"]].concat());
    let namespaced = story.settled("worker-0");
    assert!(String::from_utf8_lossy(&namespaced["/etc/crio/policies/default.json"]).contains("signedBy"));
    story.server.kubectl(&["delete", "imagepolicies.config.openshift.io", "p0", "-n", "default"]);

    // An Image without the list leaves it alone; an empty list ends it, and nodes return to what they had.
    let silent = story.file("silent.yaml", &image(""));
    story.run(0, &["apply", "-f", &silent, "--yes"]);
    let kept = story.settled("worker-0");
    assert_eq!(story.verdicts(&kept, &images), [AcceptsAnything, RequiresSignature, Rejects]);
    let ended = story.file("ended.yaml", &image("    signedRegistries: []\n"));
    story.run(0, &["apply", "-f", &ended, "--yes"]);
    assert!(story.object("machineconfig", "99-worker-imagepolicy").is_none());
    assert_eq!(story.settled("worker-0"), before);

    // The last step taken back: signed again, and once more back.
    story.run(0, &["rollback", "--yes"]);
    let signed_again = story.settled("worker-0");
    assert_eq!(story.verdicts(&signed_again, &images), [AcceptsAnything, RequiresSignature, Rejects]);
    assert_eq!(signed_again[POLICY], kept[POLICY]);
}

/// The second seed: a ClusterImagePolicy reaches the nodes; what conflicts is told in the seed's own words; once all are deleted,
/// nodes have the policy.json that they began with.
#[test]
fn a_cluster_image_policy_reaches_the_nodes_and_leaves_them_again() {
    use Verdict::{AcceptsAnything, RequiresSignature};
    let images = ["registry.ci.openshift.org/a", "example.com/global/b", "other.io/c"];
    let mut story = Story::begin("4.21.4", false, "");
    let before = story.settled("worker-0");
    assert_eq!(before[POLICY], TEMPLATE.as_bytes());

    let file = story.file("p0.yaml", &seeds_policy("v1", "[registry.ci.openshift.org, example.com/global]"));
    story.run(0, &["apply", "-f", &file, "--yes"]);
    assert!(story.object("machineconfig", "99-worker-imagepolicy").is_none(), "the controller delivers all of it");
    let after = story.settled("worker-0");
    assert_eq!(story.verdicts(&after, &images), [RequiresSignature, RequiresSignature, AcceptsAnything]);
    assert_eq!(
        String::from_utf8_lossy(&after[ATTACHMENTS]),
        "docker:\n  example.com/global:\n    use-sigstore-attachments: true\n  registry.ci.openshift.org:\n    use-sigstore-attachments: true\n"
    );

    // The seed's conflict, told before anything is written.
    let blocked = story.file(
        "blocked.yaml",
        "apiVersion: config.openshift.io/v1\nkind: Image\nmetadata: {name: cluster}\nspec:\n  registrySources:\n    blockedRegistries: [example.com]\n",
    );
    let refused = story.run(1, &["apply", "-f", &blocked, "--yes"]);
    let words: String = refused.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains(
            "clusterimagePolicy configured for the scope example.com/global is nested inside blockedRegistries"
        ),
        "{refused}"
    );
    assert_eq!(story.object("images.config.openshift.io", "cluster").unwrap()["spec"]["registrySources"], Value::Null);

    story.run(0, &["apply", "--without", "ClusterImagePolicy/p0", "--yes"]);
    let gone = story.settled("worker-0");
    assert_eq!(gone, before);
    assert!(!gone.contains_key(ATTACHMENTS));

    story.run(0, &["rollback", "--yes"]);
    assert_eq!(story.settled("worker-0"), after);
}

/// The second seed on a cluster that has no such API: the same object, delivered by our own MachineConfigs.
#[test]
fn a_cluster_without_the_api_gets_the_same_policy() {
    use Verdict::{AcceptsAnything, RequiresSignature};
    let images = ["registry.ci.openshift.org/a", "example.com/global/b", "other.io/c"];
    let mut story = Story::begin("4.15.9", true, "");
    for crd in ["clusterimagepolicies.config.openshift.io", "imagepolicies.config.openshift.io"] {
        story.server.kubectl(&["delete", "crd", crd]);
    }
    let before = story.settled("worker-0");
    let file = story.file("p0.yaml", &seeds_policy("v1alpha1", "[registry.ci.openshift.org, example.com/global]"));
    let shown = story.run(0, &["apply", "-f", &file, "--yes"]);
    assert!(shown.contains("ClusterImagePolicy"), "{shown}");
    let after = story.settled("worker-0");
    assert_eq!(story.verdicts(&after, &images), [RequiresSignature, RequiresSignature, AcceptsAnything]);
    assert!(String::from_utf8_lossy(&after[ATTACHMENTS]).contains("example.com/global"));
    // Later everybody knows what it was made from.
    let told = story.run(0, &["explain", "example.com/global/b"]);
    assert!(told.contains("ClusterImagePolicy/p0"), "{told}");
    assert_eq!(story.json(&["explain"])["source"]["inForce"], "Yes");
    let lint = story.json(&["lint"]);
    assert!(lint["findings"].as_array().unwrap().iter().all(|finding| finding["code"] != "IMP508"), "{lint:#}");
    story.run(0, &["apply", "--without", "ClusterImagePolicy/p0", "--yes"]);
    assert!(story.object("machineconfig", "99-worker-imagepolicy").is_none());
    assert_eq!(story.settled("worker-0"), before);
}

/// Everything by MachineConfigs: nodes get the same files as from objects, and no object of the API changes.
#[test]
fn by_machine_configs_nodes_get_what_objects_would_give_them() {
    use Verdict::{AcceptsAnything, Rejects, RequiresSignature};
    let images = ["quay.io/allowed/x", "registry.ci.openshift.org/a", "example.com/global/b", "other.io/c"];
    let mirrors = "---\napiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\nmetadata: {name: m}\nspec:\n  imageDigestMirrors:\n  - source: example.com/global\n    mirrors: [mirror.example.com/global]\n";
    let manifests = |story: &Story| {
        let all = format!(
            "{}---\n{}{mirrors}",
            image(""),
            seeds_policy("v1", "[registry.ci.openshift.org, example.com/global]")
        );
        story.file("all.yaml", &all)
    };
    let mut by_objects = Story::begin("4.21.4", false, "");
    let file = manifests(&by_objects);
    by_objects.run(0, &["apply", "-f", &file, "--yes", "--force=IMP402"]);
    let expected = by_objects.settled("worker-0");

    let mut story = Story::begin("4.21.4", false, "");
    let before = story.settled("worker-0");
    let file = manifests(&story);
    let arguments = ["apply", "-f", &file, "--yes", "--force=IMP402", "--as", "machineconfigs"];
    story.run(0, &arguments);
    assert!(story.object("clusterimagepolicies.config.openshift.io", "p0").is_none());
    assert_eq!(story.object("images.config.openshift.io", "cluster").unwrap()["spec"], serde_json::json!({}));
    let after = story.settled("worker-0");
    for (path, bytes) in &expected {
        let (wanted, found) =
            (String::from_utf8_lossy(bytes), after.get(path).map(|bytes| String::from_utf8_lossy(bytes)));
        assert_eq!(found.as_deref(), Some(&*wanted), "{path}");
    }
    let verdicts = [AcceptsAnything, RequiresSignature, RequiresSignature, Rejects];
    assert_eq!(story.verdicts(&after, &images), verdicts);
    assert_eq!(by_objects.verdicts(&expected, &images), verdicts);
    // Known later, and the same once more changes nothing.
    assert_eq!(story.json(&["explain"])["source"]["inForce"], "Yes");
    let by_digest = format!("example.com/global/b@sha256:{}", "a".repeat(64));
    let told = story.run(0, &["explain", &by_digest]);
    assert!(told.contains("ClusterImagePolicy/p0") && told.contains("mirror.example.com/global"), "{told}");
    let again = story.run(0, &arguments);
    assert!(again.contains("Nothing to do"), "{again}");
    story.run(0, &["rollback", "--yes"]);
    assert_eq!(story.settled("worker-0"), before);
}
