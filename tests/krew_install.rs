//! An installation from a release's archives as krew makes it, used by the real kubectl on a real API server; upgraded, uninstalled; and the
//! same through an index of our own, and through the CLI Manager's object.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use oc_imagepolicy::commands::{PLUGIN, plugin_file};
use serde_json::Value;
use support::controlplane::{ControlPlane, kubectl_dir};
use support::krew::{Krew, copy_tree};
use support::release::{release, smoke_release};
use tempfile::TempDir;

const IMAGE: &str = "registry.example.com/tools/oc-imagepolicy:v0.1.0";
const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// The archives of this commit for linux/amd64, with the manifests made from them.
struct Release {
    folder: TempDir,
    archive: PathBuf,
    manifest: String,
}

fn manifests() -> Release {
    static MADE: OnceLock<Release> = OnceLock::new();
    let made = MADE.get_or_init(make_manifests);
    let folder = tempfile::tempdir().unwrap();
    copy_tree(made.folder.path(), folder.path());
    let archive = folder.path().join(made.archive.file_name().unwrap());
    Release { folder, archive, manifest: made.manifest.clone() }
}

fn make_manifests() -> Release {
    let folder = tempfile::tempdir().unwrap();
    let built = smoke_release();
    let name = format!("oc-imagepolicy-{VERSION}-linux-amd64.tar.gz");
    let archive = folder.path().join(&name);
    for file in [name.as_str(), "SHA256SUMS"] {
        fs::copy(built.join(file), folder.path().join(file)).unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let output = release(&["manifests", "--archives", path, "--to", path, "--image", IMAGE]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let notes = text(&output.stderr);
    assert!(notes.contains("no archive for linux/arm64, "), "{notes}");
    assert!(notes.contains("oc-imagepolicy.example is a reserved name"), "{notes}");
    let manifest = fs::read_to_string(folder.path().join(format!("{PLUGIN}.yaml"))).unwrap();
    Release { folder, archive, manifest }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every path below a folder, with what is there.
fn tree(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() {
            found.insert(path.clone(), "folder".to_owned());
            found.extend(tree(&path));
        } else if metadata.is_symlink() {
            found.insert(path.clone(), format!("→ {}", fs::read_link(&path).unwrap().display()));
        } else {
            found.insert(path.clone(), format!("{} bytes", metadata.len()));
        }
    }
    found
}

/// A user's home with krew in it, and kubectl.
struct User {
    home: TempDir,
    krew: Krew,
}

impl User {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let krew = Krew::new(home.path().join(".krew"));
        Self { home, krew }
    }

    fn kubectl(&self, arguments: &[&str]) -> Output {
        let path = std::env::join_paths([self.krew.bin(), kubectl_dir()]).unwrap();
        let mut command = Command::new(kubectl_dir().join("kubectl"));
        command.args(arguments).env_clear().env("PATH", path).env("HOME", self.home.path()).env("NO_COLOR", "1");
        command.env("KUBECONFIG", ControlPlane::shared().kubeconfig("admin")).output().unwrap()
    }
}

fn load(server: &ControlPlane) {
    server.apply(&fs::read_to_string(root().join("docs/example-cluster/image.yaml")).unwrap());
    server.apply(&fs::read_to_string(root().join("docs/example-cluster/cluster-image-policies.yaml")).unwrap());
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn installed_by_krew_used_by_kubectl_upgraded_and_uninstalled() {
    let server = ControlPlane::shared();
    load(server);
    let release = manifests();
    let user = User::new();
    let before = tree(user.home.path());

    user.krew.install(&release.manifest, &release.archive).unwrap();
    let folder = user.krew.store(PLUGIN).join(VERSION);
    for file in
        ["oc-imagepolicy", "LICENSE", "README.md", "THIRD-PARTY-LICENSES.txt", "sbom.cdx.json", "man/oc-imagepolicy.1"]
    {
        assert!(folder.join(file).is_file(), "{file} is not installed");
    }
    let link = user.krew.link(PLUGIN);
    assert_eq!(link.file_name().unwrap(), plugin_file("kubectl").as_str());
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("../store").join(PLUGIN).join(VERSION).join("oc-imagepolicy"));
    let installed = tree(user.home.path());

    let listed = user.kubectl(&["plugin", "list"]);
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    assert!(text(&listed.stdout).lines().any(|line| Path::new(line) == link), "{}", text(&listed.stdout));

    let ours = user.kubectl(&[PLUGIN, "lint", "-o", "json"]);
    let direct = Command::new(env!("CARGO_BIN_EXE_oc-imagepolicy"))
        .args(["lint", "-o", "json"])
        .env("KUBECONFIG", server.kubeconfig("admin"))
        .output()
        .unwrap();
    assert_eq!(ours.status.code(), Some(1), "{}", text(&ours.stderr));
    assert_eq!(direct.status.code(), Some(1));
    assert_eq!(text(&ours.stdout), text(&direct.stdout));
    assert!(text(&ours.stdout).contains("IMP204"), "{}", text(&ours.stdout));

    let help = text(&user.kubectl(&[PLUGIN, "--help"]).stdout);
    assert!(help.contains(&format!("Usage: oc {PLUGIN}")) && !help.contains("kubectl-"), "{help}");
    let wrong = user.kubectl(&[PLUGIN, "lint", "--no-such-flag"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains(&format!("Usage: oc {PLUGIN} lint")), "{}", text(&wrong.stderr));
    assert_eq!(tree(user.home.path()), installed, "using the plugin wrote something");

    // A newer version: the same bytes, and a manifest of which only version, uri and checksum are others.
    let next = release.folder.path().join("next.tar.gz");
    let sha256 = pack_again(&release.archive, &next, |path| Some(path.replace(VERSION, "v0.9.9")));
    let old_sha256 = release.manifest.split("sha256: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let newer = release.manifest.replace(VERSION, "v0.9.9").replace(old_sha256, &sha256);
    let refused = user.krew.upgrade(&newer, &release.archive).unwrap_err();
    assert!(refused.starts_with("checksum does not match"), "{refused}");
    assert_eq!(tree(user.home.path()), installed);
    user.krew.upgrade(&newer, &next).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("../store").join(PLUGIN).join("v0.9.9/oc-imagepolicy"));
    assert!(!folder.exists(), "the old version is still there");
    assert_eq!(user.kubectl(&[PLUGIN, "lint", "-o", "json"]).stdout, ours.stdout);

    user.krew.uninstall(PLUGIN);
    assert_eq!(tree(user.home.path()), before);
    let gone = text(&user.kubectl(&[PLUGIN, "lint"]).stderr);
    assert!(gone.contains(&format!("unknown command \"{PLUGIN}\"")), "{gone}");
}

/// Packs the files of an archive again under other paths, or without some, and returns the checksum.
fn pack_again(archive: &Path, to: &Path, path_of: impl Fn(&str) -> Option<String>) -> String {
    let mut packed = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content, mut header) in entries(archive) {
        if let Some(path) = path_of(&path) {
            packed.append_data(&mut header, path, content.as_slice()).unwrap();
        }
    }
    let bytes = packed.into_inner().unwrap().finish().unwrap();
    fs::write(to, &bytes).unwrap();
    sha256(&bytes)
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entries(archive: &Path) -> Vec<(String, Vec<u8>, tar::Header)> {
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(archive).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (path, content, entry.header().clone())
    });
    entries.collect()
}

/// What a release must not be made from, and what the program says to it.
#[test]
fn of_bad_archives_no_manifest_is_made() {
    let built = smoke_release();
    let (amd64, arm64) =
        (format!("oc-imagepolicy-{VERSION}-linux-amd64"), format!("oc-imagepolicy-{VERSION}-linux-arm64"));
    let archive = built.join(format!("{amd64}.tar.gz"));
    let refuse = |name: &str, make: &dyn Fn(&Path), arguments: &[&str], problem: &str| {
        let folder = tempfile::tempdir().unwrap();
        make(&folder.path().join(name));
        let before = tree(folder.path());
        let path = folder.path().to_str().unwrap();
        let output = release(&[&["manifests", "--archives", path, "--to", path], arguments].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.lines().any(|line| line.starts_with("error: ") && line.contains(problem)),
            "{said} is not: {problem}"
        );
        assert_eq!(text(&output.stdout), "");
        assert_eq!(tree(folder.path()), before, "{problem}");
    };
    let name = format!("{amd64}.tar.gz");
    let copy = |to: &Path| _ = fs::copy(&archive, to).unwrap();
    let cut = |to: &Path| {
        let bytes = fs::read(&archive).unwrap();
        fs::write(to, &bytes[..bytes.len() - 100]).unwrap();
    };
    let without_license = |to: &Path| {
        pack_again(&archive, to, |path| (!path.ends_with("/LICENSE")).then(|| path.to_owned()));
    };
    let of_another_platform = |to: &Path| {
        let other = built.join(format!("{arm64}.tar.gz"));
        pack_again(&other, to, |path| Some(path.replace(&arm64, &amd64)));
    };
    let two_versions = |to: &Path| {
        copy(to);
        fs::copy(&archive, to.with_file_name("oc-imagepolicy-v9.9.9-linux-amd64.tar.gz")).unwrap();
    };
    refuse(&name, &cut, &[], &format!("{name}: the archive is damaged"));
    refuse(&name, &without_license, &[], &format!("{name}: LICENSE is missing in it"));
    refuse(&name, &of_another_platform, &[], "oc-imagepolicy is for linux/arm64, not for linux/amd64");
    refuse(&format!("{arm64}.tar.gz"), &copy, &[], &amd64);
    refuse("imagepolicy.tar.gz", &copy, &[], "is the name of no archive of a release");
    refuse(&name, &two_versions, &[], "oc-imagepolicy-v9.9.9-linux-amd64.tar.gz");
    refuse("README", &|to| fs::write(to, "nothing").unwrap(), &[], "there is no archive in it");
    refuse(&name, &copy, &["--require-all"], "no archive for linux/arm64, ");
    refuse(&name, &copy, &["--image", "tools:latest"], "repository name must be canonical");
}

/// The code block of docs/install.md that begins with `# NAME`, in another home and folder than the page has.
fn block(name: &str, folder: &Path) -> String {
    let page = fs::read_to_string(root().join("docs/install.md")).unwrap();
    let mut blocks = page.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    let found = blocks.find(|(_, text)| text.starts_with(&format!("# {name}\n")));
    let (_, script) = found.unwrap_or_else(|| panic!("docs/install.md has no {name}"));
    script.replace(&format!("target/releases/{VERSION}"), folder.to_str().unwrap())
}

fn shell(script: &str, folder: &Path, home: &Path) -> Output {
    let mut command = Command::new("sh");
    command.args(["-euc", script]).current_dir(folder).env("HOME", home);
    for (name, value) in [("NAME", "A"), ("EMAIL", "a@example.com")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    command.output().unwrap()
}

#[test]
fn the_index_is_one_that_krew_can_clone() {
    let release = manifests();
    let home = tempfile::tempdir().unwrap();
    let clone = home.path().join("clone");
    fs::create_dir(&clone).unwrap();
    let made = shell(&block("An index", release.folder.path()), &clone, home.path());
    assert!(made.status.success(), "{}", text(&made.stderr));
    let krew = Krew::new(home.path().join(".krew"));
    let cloned = Command::new("git")
        .args(["clone", "--quiet"])
        .args([home.path().join("krew-index"), krew.root.join("index/own")])
        .output()
        .unwrap();
    assert!(cloned.status.success(), "{}", text(&cloned.stderr));
    let plugins = krew.root.join("index/own/plugins");
    let names: Vec<_> = fs::read_dir(&plugins).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [format!("{PLUGIN}.yaml").as_str()]);
    let manifest = fs::read_to_string(plugins.join(format!("{PLUGIN}.yaml"))).unwrap();
    // Without the comments of the repository: in krew's index a change of them needs a person.
    assert!(release.manifest.ends_with(&manifest) && manifest.starts_with("apiVersion: "), "{manifest}");
    krew.install(&manifest, &release.archive).unwrap();
}

#[test]
fn installed_from_the_archive_by_hand() {
    let release = manifests();
    let home = tempfile::tempdir().unwrap();
    let done = shell(&block("From an archive", Path::new("")), release.folder.path(), home.path());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let bin = home.path().join(".local/bin");
    let path = std::env::join_paths([bin.clone(), kubectl_dir()]).unwrap();
    let explained = Command::new(kubectl_dir().join("kubectl"))
        .args([PLUGIN, "explain", "--example", "registry.example.com/shop/checkout:v3"])
        .env("PATH", path)
        .env("HOME", home.path())
        .output()
        .unwrap();
    assert!(text(&explained.stdout).contains("REQUIRES A SIGNATURE"), "{}", text(&explained.stderr));

    let removed = shell(&block("Uninstalling what came from an archive", Path::new("")), root(), home.path());
    assert!(removed.status.success(), "{}", text(&removed.stderr));
    assert_eq!(fs::read_dir(&bin).unwrap().count(), 0);

    // A damaged archive is noticed before anything is unpacked.
    let mut bytes = fs::read(&release.archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&release.archive, bytes).unwrap();
    let refused = shell(&block("From an archive", Path::new("")), release.folder.path(), home.path());
    assert!(!refused.status.success());
    assert_eq!(fs::read_dir(&bin).unwrap().count(), 0);
}

/// The schema as openshift/cli-manager-operator serves it, in our own words: fields, types, what is required, what has a default.
const PLUGIN_CRD: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: plugins.config.openshift.io, annotations: {api-approved.kubernetes.io: "unapproved, for a test"}}
spec:
  group: config.openshift.io
  names: {kind: Plugin, listKind: PluginList, plural: plugins, singular: plugin}
  scope: Cluster
  versions:
  - name: v1alpha1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [platforms, shortDescription, version]
            properties:
              caveats: {type: string}
              description: {type: string}
              homepage: {type: string}
              shortDescription: {type: string}
              version: {type: string}
              platforms:
                type: array
                items:
                  type: object
                  required: [bin, files, image, platform]
                  properties:
                    bin: {type: string}
                    image: {type: string}
                    imagePullSecret: {type: string}
                    platform: {type: string}
                    files:
                      type: array
                      items:
                        type: object
                        required: [from, to]
                        properties: {from: {type: string}, to: {type: string, default: .}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"#;

#[test]
fn the_cli_managers_object_is_accepted_and_leads_to_an_installation() {
    let server = ControlPlane::shared();
    let release = manifests();
    server.apply(PLUGIN_CRD);
    let established =
        server.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "crd/plugins.config.openshift.io"]);
    assert!(established.status.success(), "{}", text(&established.stderr));
    let object = release.folder.path().join("cli-manager.yaml");
    let applied = server.kubectl(&["apply", "--validate=strict", "-f", object.to_str().unwrap()]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    let read = server.kubectl(&["get", "plugins.config.openshift.io", PLUGIN, "-o", "json"]);
    let read: Value = serde_json::from_slice(&read.stdout).unwrap();
    let written: Value = serde_yaml::from_str(&fs::read_to_string(&object).unwrap()).unwrap();
    assert_eq!(read["spec"], written["spec"]);
    let unknown = fs::read_to_string(&object).unwrap().replace("  bin:", "  binary:");
    assert!(!server.kubectl_in(&["apply", "--validate=strict", "-f", "-"], &unknown).status.success());
    assert!(server.kubectl(&["delete", "crd", "plugins.config.openshift.io"]).status.success());

    // The image as the page makes it, and of it what the CLI Manager takes: the files that are named, for an archive of its own.
    let home = tempfile::tempdir().unwrap();
    let made = shell(&block("The files of the image", release.folder.path()), home.path(), home.path());
    assert!(made.status.success(), "{}", text(&made.stderr));
    let platform = &written["spec"]["platforms"][0];
    let wanted = platform["files"].as_array().unwrap();
    let mut served = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut taken = 0;
    for (path, content, mut header) in entries(&home.path().join("target/image/layer.tgz")) {
        let path = path.trim_start_matches("./");
        if !content.is_empty()
            && wanted.iter().any(|file| file["from"].as_str().unwrap().strip_prefix('/') == Some(path))
        {
            served.append_data(&mut header, path, content.as_slice()).unwrap();
            taken += 1;
        }
    }
    assert_eq!(taken, wanted.len());
    let bytes = served.into_inner().unwrap().finish().unwrap();
    let archive = home.path().join("served.tar.gz");
    fs::write(&archive, &bytes).unwrap();
    let (os, arch) = platform["platform"].as_str().unwrap().split_once('/').unwrap();
    let manifest = serde_json::json!({
        "metadata": {"name": PLUGIN},
        "spec": {
            "version": written["spec"]["version"],
            "platforms": [{
                "selector": {"matchLabels": {"os": os, "arch": arch}},
                "sha256": sha256(&bytes),
                "files": wanted,
                "bin": platform["bin"],
            }],
        },
    });
    let krew = Krew::new(home.path().join(".krew"));
    krew.install(&manifest.to_string(), &archive).unwrap();
    let version = Command::new(krew.link(PLUGIN)).args(["version", "--client"]).output().unwrap();
    assert!(version.status.success(), "{}", text(&version.stderr));
    assert!(krew.store(PLUGIN).join(VERSION).join("LICENSE").is_file());
}
