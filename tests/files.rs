//! The file door: whatever way the objects come in, the snapshot is the same; what makes no sense says where, and bombs end.

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use oc_imagepolicy::error::Error;
use oc_imagepolicy::files::yaml::{Budget, documents, emit};
use oc_imagepolicy::files::{self, ReadOptions};
use oc_imagepolicy::snapshot::{GapReason, KINDS, Kind, Laying, Snapshot, Source};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

const FLAT: ReadOptions<'_> = ReadOptions { recursive: false, workloads: false, drafts: None };

fn read(path: impl Into<PathBuf>) -> Result<Snapshot, Error> {
    files::read(&[path.into()], FLAT)
}

/// A directory of the given files.
fn directory(content: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in content {
        put(root.path(), name, text.as_bytes());
    }
    root
}

fn put(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Every object of a snapshot, without where it came from.
fn objects(snapshot: &Snapshot) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    macro_rules! collect {
        ($($field:ident),*) => { $(found.extend(snapshot.$field.iter().map(|object| object.raw.clone()));)* };
    }
    collect!(image, cluster_version, feature_gate, infrastructure, controller_config, machine_configuration);
    collect!(cluster_image_policies, image_policies, digest_mirror_sets, tag_mirror_sets, content_source_policies);
    collect!(pools, machine_configs, nodes, undecodable);
    found.sort_by_key(|object| {
        format!("{}{}{}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"])
    });
    found
}

fn policy(name: &str, scope: &str) -> String {
    format!(
        "apiVersion: config.openshift.io/v1\nkind: ClusterImagePolicy\nmetadata: {{name: {name}}}\nspec: {{scopes: [{scope}]}}\n"
    )
}

#[track_caller]
fn input_error(result: Result<Snapshot, Error>) -> (String, String) {
    match result.map(|_| ()).unwrap_err() {
        Error::Input { place, message, hint } => {
            assert!(!hint.is_empty(), "{place}: {message} has no hint");
            (place, message)
        }
        error => panic!("{error:?}"),
    }
}

// Manifests

#[test]
fn a_directory_is_read_in_order_and_others_are_counted() {
    let root = directory(&[
        ("b.yaml", &policy("b", "b.io")),
        ("a.yml", &policy("a", "a.io")),
        ("c.json", "{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"n\"}}"),
        ("deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n---\nresources: [a.yaml]\n"),
        ("notes.txt", "kind: ["),
        ("below/d.yaml", &policy("d", "d.io")),
    ]);
    let snapshot = read(root.path()).unwrap();
    let names: Vec<&str> = snapshot.cluster_image_policies.iter().map(|policy| &*policy.reference.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(snapshot.nodes.len(), 1);
    assert_eq!(snapshot.passed_over.get("Deployment"), Some(&1));
    assert_eq!(snapshot.passed_over.values().sum::<usize>(), 2);
    assert_eq!(snapshot.source, Source::Manifests);
    assert!(snapshot.has_read(Kind::ClusterImagePolicy) && !snapshot.has_read(Kind::Image));
    let all = files::read(&[root.path().into()], ReadOptions { recursive: true, ..FLAT }).unwrap();
    assert_eq!(all.cluster_image_policies.len(), 3);
}

#[test]
fn lists_are_taken_apart() {
    let root = directory(&[(
        "list.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: config.openshift.io/v1\n  kind: ClusterImagePolicyList\n  items:\n  - metadata: {name: a}\n    \
         spec: {scopes: [x.io]}\n- {apiVersion: v1, kind: Pod, metadata: {name: p}}\n---\napiVersion: config.openshift.io/v1\nkind: ImageTagMirrorSetList\nitems: []\n",
    )]);
    let snapshot = read(root.path().join("list.yaml")).unwrap();
    let policy = &snapshot.cluster_image_policies[0];
    assert_eq!(&*policy.reference.api_version, "config.openshift.io/v1");
    let location = files::spans::locate(&policy.origin, "spec.scopes[0]").unwrap();
    assert_eq!((location.line, location.column, location.end_column), (8, 21, 25));
    assert_eq!(snapshot.passed_over.get("Pod"), Some(&1));
    assert!(snapshot.has_read(Kind::ImageTagMirrorSet), "an empty list says that there are none");
    assert!(!snapshot.has_read(Kind::ImageDigestMirrorSet));
}

#[test]
fn equal_objects_count_once_and_differing_ones_name_both_places() {
    let root = directory(&[
        ("a.yaml", &format!("# one\n{}", policy("a", "x.io"))),
        ("b.yaml", &policy("a", "x.io")),
        ("c.yaml", &format!("---\n{}---\n{}", policy("z", "z.io"), policy("a", "y.io"))),
    ]);
    let [a, b, c] = ["a.yaml", "b.yaml", "c.yaml"].map(|name| root.path().join(name));
    let once = files::read(&[a.clone(), b, a.clone()], FLAT).unwrap();
    assert_eq!(once.cluster_image_policies.len(), 1);
    let (place, message) = input_error(files::read(&[a.clone(), c.clone()], FLAT));
    assert_eq!(place, format!("{}:8", c.display()));
    assert!(
        message.contains("ClusterImagePolicy/a is there twice")
            && message.ends_with(&format!("first in {}:3", a.display())),
        "{message}"
    );

    let mut snapshot = read(&a).unwrap();
    files::read_onto(&mut snapshot, &[c], FLAT, Laying::OnTop).unwrap();
    let scopes: Vec<_> =
        snapshot.cluster_image_policies.iter().map(|policy| policy.value.spec.scopes.join(",")).collect();
    assert_eq!(scopes, ["z.io", "y.io"]);
}

#[test]
fn what_makes_no_sense_says_where_and_what_to_do() {
    let root = directory(&[
        ("twice.yaml", "a: 1\n---\napiVersion: v1\nkind: Node\nmetadata:\n  name: x\n  labels: {}\n  name: y\n"),
        ("open.yaml", "kind: X\nspec: [a\n"),
        ("helm.yaml", "{{- if .Values.x }}\nkind: X\n"),
        ("stranger.yaml", "kind: X\napiVersion: v1\n---\njust: text\n"),
        ("text.yaml", "hello\n"),
        ("bad.json", "{\"kind\": \"X\",\n  \"spec\": [1,}\n"),
    ]);
    put(root.path(), "latin1.yaml", b"kind: X\nname: \xe4\n");
    put(root.path(), "nul.yaml", b"kind: X\nname: \x00\n");
    for (name, position, words) in [
        ("twice.yaml", ":8:3", "the key `name` is there twice, first in line 6"),
        ("open.yaml", ":2:7", "unclosed"),
        ("helm.yaml", ":1:", ""),
        ("stranger.yaml", ":4", "it has no `kind`"),
        ("text.yaml", ":1", "it is no mapping"),
        ("bad.json", ":2:", ""),
        ("latin1.yaml", ":2", "is no text"),
        ("nul.yaml", ":2:7", "control characters"),
    ] {
        let (place, message) = input_error(read(root.path().join(name)));
        assert!(place.contains(&format!("{name}{position}")), "{place}: {message}");
        assert!(message.contains(words), "{place}: {message}");
    }
    let Err(Error::File { hint, .. }) = read(root.path().join("absent.yaml")) else { panic!() };
    assert!(hint.starts_with("see what is there: ls -l"), "{hint}");
    assert!(matches!(read("https://example.com/x.yaml"), Err(Error::Usage { .. })));
}

#[test]
fn an_empty_input_says_so() {
    let root = directory(&[
        ("empty.yaml", ""),
        ("pods.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"),
        ("above/below/a.yaml", "kind: x"),
        ("nothing/readme.txt", ""),
    ]);
    for (name, words, hint) in [
        ("empty.yaml", "it is empty", "oc get"),
        ("pods.yaml", "passed over: 1 Pod", "oc get"),
        ("above", "it is empty", "add -R"),
        ("nothing", "it is empty", "oc get"),
    ] {
        let error = read(root.path().join(name)).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Empty { .. }), "{error:?}");
        assert!(error.to_string().contains(words) && error.hint().contains(hint), "{error} {}", error.hint());
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn kinds_of_others_are_noted() {
    let text =
        "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {name: on}\nspec: {mode: warn}\n";
    let root = directory(&[("sigstore.yaml", text), ("a.yaml", &policy("'y'", "no"))]);
    let snapshot = read(root.path()).unwrap();
    assert_eq!(snapshot.same_name_elsewhere.len(), 1);
    assert_eq!(snapshot.warnings.len(), 2, "{:?}", snapshot.warnings);
    assert!(snapshot.warnings[0].contains("a.yaml:4: `no` without quotes is read as false"), "{:?}", snapshot.warnings);
    assert!(snapshot.warnings[1].contains("policy.sigstore.dev/v1beta1 is something else"), "{:?}", snapshot.warnings);
}

#[test]
fn windows_files_are_read() {
    let text = policy("a", "ä.io");
    let utf16: Vec<u8> =
        [0xfeff].into_iter().chain(text.replace('\n', "\r\n").encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "wide.yaml", &utf16);
    put(root.path(), "crlf.yaml", format!("\u{feff}{}", text.replace('\n', "\r\n")).as_bytes());
    for name in ["wide.yaml", "crlf.yaml"] {
        assert_eq!(
            read(root.path().join(name)).unwrap().cluster_image_policies[0].value.spec.scopes,
            ["ä.io"],
            "{name}"
        );
    }
}

// Must-gathers

/// Lays the objects out as `oc adm must-gather` does: lists of config.openshift.io, files for the rest.
fn must_gather(objects: &[Value]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let image = "must-gather.local.123/quay-io-openshift-release-dev-sha256-abc";
    put(root.path(), "must-gather.local.123/must-gather.logs", b"kind: [");
    put(root.path(), &format!("{image}/version"), b"openshift/must-gather\n");
    put(root.path(), &format!("{image}/namespaces/default/core/pods.yaml"), b"kind: [ never read");
    put(root.path(), &format!("{image}/cluster-scoped-resources/apps/x.yaml"), b"kind: [ never read");
    for info in &KINDS {
        let of_kind: Vec<&Value> = objects.iter().filter(|object| object["kind"] == info.kind.name()).collect();
        let group = if info.group.is_empty() { "core" } else { info.group };
        let base = format!("{image}/cluster-scoped-resources/{group}");
        if info.group == "config.openshift.io" && !info.namespaced {
            let list =
                json!({"apiVersion": "config.openshift.io/v1", "kind": format!("{}List", info.kind), "items": of_kind});
            put(root.path(), &format!("{base}/{}.yaml", info.plural), emit(&list).as_bytes());
            continue;
        }
        for object in of_kind {
            let text = format!("---\n{}", emit(object));
            let name = object["metadata"]["name"].as_str().unwrap();
            let path = match object["metadata"]["namespace"].as_str() {
                Some(namespace) => format!("{image}/namespaces/{namespace}/{group}/{}/{name}.yaml", info.plural),
                None => format!("{base}/{}/{name}.yaml", info.plural),
            };
            put(root.path(), &path, text.as_bytes());
        }
    }
    root
}

fn tar(root: &Path) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.append_dir_all("mg", root).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_must_gather_is_the_cluster() {
    let example = files::example().unwrap();
    let expected = objects(&example);
    let root = must_gather(&expected);
    let archives = tempfile::tempdir().unwrap();
    let tar = tar(root.path());
    put(archives.path(), "mg.tar", &tar);
    put(archives.path(), "mg.tar.gz", &gzip(&tar));
    let inner = root.path().join("must-gather.local.123");
    let image = fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    for path in [root.path().into(), inner, image, archives.path().join("mg.tar"), archives.path().join("mg.tar.gz")] {
        let snapshot = read(&path).unwrap();
        assert_eq!(snapshot.source, Source::MustGather, "{path:?}");
        assert_eq!(objects(&snapshot), expected, "{path:?}");
        let gaps: Vec<(Kind, GapReason)> = snapshot.gaps.iter().map(|gap| (gap.kind, gap.reason)).collect();
        let missing = [
            Kind::ImagePolicy,
            Kind::ImageContentSourcePolicy,
            Kind::ControllerConfig,
            Kind::Node,
            Kind::MachineConfiguration,
        ];
        assert_eq!(gaps, missing.map(|kind| (kind, GapReason::NotInInput)), "{path:?}");
        assert!(
            snapshot.gaps[0].message.contains("of these namespaces only: analytics, shop"),
            "{}",
            snapshot.gaps[0].message
        );
        let location = files::spans::locate(&snapshot.cluster_image_policies[0].origin, "metadata.name").unwrap();
        assert!(location.file.contains("clusterimagepolicies.yaml"), "{location:?}");
    }
}

#[test]
fn what_a_must_gather_lacks_is_a_gap_and_what_is_empty_is_known() {
    let base = "a/cluster-scoped-resources/config.openshift.io";
    let root = directory(&[
        (
            &format!("{base}/images/cluster.yaml"),
            "apiVersion: config.openshift.io/v1\nkind: Image\nmetadata: {name: cluster}\n",
        ),
        (
            &format!("{base}/clusterimagepolicies.yaml"),
            "apiVersion: config.openshift.io/v1\nkind: ClusterImagePolicyList\nitems: []\n",
        ),
        (&format!("{base}/imagetagmirrorsets.yaml"), "kind: [damaged"),
    ]);
    fs::create_dir_all(root.path().join("a/cluster-scoped-resources/core/nodes")).unwrap();
    let snapshot = read(root.path()).unwrap();
    let gap = |kind| snapshot.gaps.iter().find(|gap| gap.kind == kind).map(|gap| gap.reason);
    for (kind, read, reason) in [
        (Kind::Image, true, None),
        (Kind::ClusterImagePolicy, true, None),
        (Kind::Node, true, None),
        (Kind::ImageTagMirrorSet, false, Some(GapReason::Undecodable)),
        (Kind::MachineConfig, false, Some(GapReason::NotInInput)),
        (Kind::ImagePolicy, false, Some(GapReason::NotInInput)),
    ] {
        assert_eq!((snapshot.has_read(kind), gap(kind)), (read, reason), "{kind}");
    }
}

#[test]
fn the_newest_of_several_images_of_a_must_gather_counts() {
    let object = |version: u32, uid: &str, scope: &str| {
        format!("{}status: {{}}\n", policy("a", scope))
            .replace("{name: a}", &format!("{{name: a, uid: {uid}, resourceVersion: '{version}'}}"))
    };
    let path =
        |image: &str| format!("mg/{image}/cluster-scoped-resources/config.openshift.io/clusterimagepolicies/a.yaml");
    let [x, y, z] = ["x", "y", "z"].map(path);
    let root = directory(&[
        (&x, &object(9, "u", "old.io")),
        (&y, &object(10, "u", "new.io")),
        (&z, &object(8, "u", "older.io")),
    ]);
    let snapshot = read(root.path()).unwrap();
    assert_eq!(snapshot.cluster_image_policies.len(), 1);
    assert_eq!(snapshot.cluster_image_policies[0].value.spec.scopes, ["new.io"]);
    put(root.path(), &z, object(8, "another", "other.io").as_bytes());
    let (_, message) = input_error(read(root.path()));
    assert!(message.contains("is there twice"), "{message}");
}

const WITH_PODS: ReadOptions = ReadOptions { workloads: true, ..FLAT };

fn pod_manifest(name: &str, namespace: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, uid: u-{name}, resourceVersion: '7'}}\n\
         spec:\n  containers:\n  - name: c\n    image: {image}\n"
    )
}

/// A must-gather holds the pods of some namespaces: in a list, beside their logs, or both.
#[test]
fn pods_of_a_must_gather() {
    let list = format!(
        "apiVersion: v1\nkind: PodList\nitems:\n- {}",
        pod_manifest("a", "other", "a.io/a").replace('\n', "\n  ")
    );
    let root = directory(&[
        ("mg/cluster-scoped-resources/config.openshift.io/clusterimagepolicies.yaml", &policy("p", "x.io")),
        ("mg/namespaces/other/core/pods.yaml", list.trim_end()),
        ("mg/namespaces/other/pods/a/a.yaml", &pod_manifest("a", "other", "a.io/a")),
        ("mg/namespaces/other/pods/a/c/c/logs/current.log", "kind: ["),
        ("mg/namespaces/shop/pods/b/b.yaml", &pod_manifest("b", "shop", "a.io/b")),
        ("mg/namespaces/shop/pods/c/c.yaml", "kind: [damaged"),
        ("mg/namespaces/shop/pods/c/other.yaml", "kind: [never read"),
    ]);
    let archive = tempfile::tempdir().unwrap();
    put(archive.path(), "mg.tgz", &gzip(&tar(root.path())));
    for path in [root.path().to_path_buf(), archive.path().join("mg.tgz")] {
        let snapshot = files::read(std::slice::from_ref(&path), WITH_PODS).unwrap();
        let images: Vec<&str> = snapshot.pods.iter().map(|pod| &*pod.containers[0].image).collect();
        assert_eq!(images, ["a.io/a", "a.io/b"], "{path:?}");
        assert!(snapshot.has_read(Kind::Pod));
        let of_pods: Vec<_> = snapshot.gaps.iter().filter(|gap| gap.kind == Kind::Pod).collect();
        let [damaged, some] = &*of_pods else { panic!("{of_pods:?}") };
        assert_eq!((damaged.reason, damaged.namespace.as_deref()), (GapReason::Undecodable, Some("shop")));
        assert_eq!(some.message, "the must-gather holds the pods of these namespaces only: other, shop");
        assert!(snapshot.gaps.iter().all(|gap| gap.kind != Kind::PinnedImageSet));

        // Who does not look at pods hears nothing of them.
        let snapshot = read(&path).unwrap();
        assert!(snapshot.pods.is_empty() && !snapshot.has_read(Kind::Pod));
        assert!(snapshot.gaps.iter().all(|gap| !gap.kind.is_workload()), "{:?}", snapshot.gaps);
    }
    for number in 0..12 {
        let name = format!("n{number:02}");
        put(
            root.path(),
            &format!("mg/namespaces/{name}/core/pods.yaml"),
            pod_manifest("p", &name, "a.io/p").as_bytes(),
        );
    }
    let snapshot = files::read(&[root.path().into()], WITH_PODS).unwrap();
    let message = &snapshot.gaps.last().unwrap().message;
    assert!(
        message.contains("the pods of 14 namespaces only: n00, n01") && message.ends_with("n09 and 4 more"),
        "{message}"
    );
}

#[test]
fn pods_among_manifests_are_read_where_they_matter() {
    let list =
        format!("apiVersion: v1\nkind: List\nitems:\n- {}", pod_manifest("b", "shop", "a.io/b").replace('\n', "\n  "));
    let root = directory(&[("pod.yaml", &pod_manifest("a", "other", "a.io/a")), ("list.yaml", list.trim_end())]);
    let snapshot = files::read(&[root.path().into()], WITH_PODS).unwrap();
    assert_eq!(snapshot.pods.len(), 2);
    let pod = snapshot.pods.iter().find(|pod| &*pod.reference.name == "a").unwrap();
    let location = files::spans::locate(&pod.origin, &pod.containers[0].path()).unwrap();
    assert_eq!((location.line, location.column), (7, 12));
    assert!(matches!(read(root.path()), Err(Error::Empty { .. })));
}

// Node files

#[test]
fn node_trees_are_known_by_their_contents() {
    let root = directory(&[
        ("worker/etc/containers/policy.json", "{}"),
        ("worker/etc/containers/registries.d/a.yaml", "docker: {}"),
        ("worker/etc/crio/policies/ns.json", "{}"),
        ("worker/etc/shadow", "secret"),
        ("secret", "secret"),
    ]);
    std::os::unix::fs::symlink("../../../secret", root.path().join("worker/etc/containers/registries.conf")).unwrap();
    let paths = ["/etc/containers/policy.json", "/etc/containers/registries.d/a.yaml", "/etc/crio/policies/ns.json"];
    let archive = root.path().join("node.tar.gz");
    fs::write(&archive, gzip(&tar(&root.path().join("worker")))).unwrap();
    for path in [root.path().to_path_buf(), root.path().join("worker"), archive] {
        let snapshot = read(&path).unwrap();
        assert_eq!(snapshot.node_trees.len(), 1, "{path:?}");
        assert_eq!(snapshot.node_trees[0].files.keys().collect::<Vec<_>>(), paths, "{path:?}");
    }
    let worker = root.path().join("worker/etc/containers");
    let tree = files::node_files(Some(&worker.join("policy.json")), None, Some(&worker.join("registries.d"))).unwrap();
    assert_eq!(tree.files.keys().collect::<Vec<_>>(), &paths[..2]);
}

// Bombs

#[track_caller]
fn quickly<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    result
}

fn header(path: &str, size: u64, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    // `set_path` would refuse what a hostile archive holds.
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(size);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

#[test]
fn archives_lead_nowhere_and_write_nothing() {
    let cluster = "cluster-scoped-resources/config.openshift.io";
    let text = policy("a", "x.io");
    let mut builder = tar::Builder::new(Vec::new());
    let regular = tar::EntryType::Regular;
    let length = text.len() as u64;
    builder
        .append(&header(&format!("../{cluster}/clusterimagepolicies/up.yaml"), length, regular), text.as_bytes())
        .unwrap();
    let mut link = header(&format!("{cluster}/clusterimagepolicies/link.yaml"), 0, tar::EntryType::Symlink);
    link.set_link_name("/etc/passwd").unwrap();
    link.set_cksum();
    builder.append(&link, &[][..]).unwrap();
    builder.append(&header("/etc/containers/policy.json", 2, regular), &b"{}"[..]).unwrap();
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "x.tar", &builder.into_inner().unwrap());
    let snapshot = read(root.path().join("x.tar")).unwrap();
    assert!(snapshot.cluster_image_policies.is_empty());
    assert_eq!(snapshot.node_trees[0].files.keys().collect::<Vec<_>>(), ["/etc/containers/policy.json"]);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn archive_bombs_end_in_an_error() {
    let cluster = "cluster-scoped-resources/config.openshift.io/images.yaml";
    let zeros = |level, first: Option<tar::Header>, mebibytes: u64| {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        encoder.write_all(first.as_ref().map_or(&b"kind: X"[..], |header| header.as_bytes())).unwrap();
        for _ in 0..mebibytes {
            encoder.write_all(&vec![if first.is_some() { 0 } else { b' ' }; 1 << 20]).unwrap();
        }
        encoder.finish().unwrap()
    };
    let tarred = |level, path, kind, mebibytes| zeros(level, Some(header(path, mebibytes << 20, kind)), mebibytes);
    let root = tempfile::tempdir().unwrap();
    // Fast compression stays below the ratio that is refused.
    let of_interest = tarred(Compression::fast(), cluster, tar::EntryType::Regular, 300);
    let other = tarred(Compression::default(), "pod.log", tar::EntryType::Regular, 1024);
    let long_name = tarred(Compression::default(), "x", tar::EntryType::GNULongName, 50);
    let text = zeros(Compression::fast(), None, 300);
    for (name, bytes, words) in [
        ("interest.tar.gz", &of_interest, "more than 256 MiB"),
        ("other.tar.gz", &other, "expands more than 250-fold"),
        ("long.tar.gz", &long_name, "header is larger"),
        ("text.yaml.gz", &text, "more than 256 MiB"),
    ] {
        put(root.path(), name, bytes);
        let (place, message) = input_error(quickly(|| read(root.path().join(name))));
        assert!(place.ends_with(name) && message.contains(words), "{place}: {message}");
    }
    put(root.path(), "cut.tar.gz", &other[..5000]);
    input_error(read(root.path().join("cut.tar.gz")));
    put(root.path(), "random.tar.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\x03garbage garbage");
    input_error(read(root.path().join("random.tar.gz")));
    put(root.path(), "x.tar.xz", b"\xfd7zXZ\0garbage");
    let (_, message) = input_error(read(root.path().join("x.tar.xz")));
    assert!(message.contains("compressed with xz"));
}

#[test]
fn text_bombs_end_in_an_error() {
    let line = format!("kind: X\napiVersion: v1\nspec: {}\n", "x".repeat(100 << 20));
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "line.yaml", line.as_bytes());
    let error = quickly(|| read(root.path().join("line.yaml"))).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Empty { .. }), "{error}");
    drop(line);
    let error = quickly(|| read("/dev/zero")).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("more than 256 MiB"), "{error}");
    let laughs: String = (1..20)
        .map(|level| format!("b{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(",")))
        .collect();
    put(root.path(), "laughs.yaml", format!("a: &a0 [x]\n{laughs}").as_bytes());
    let (place, message) = input_error(quickly(|| read(root.path().join("laughs.yaml"))));
    assert!(place.contains("laughs.yaml:") && message.contains("aliases expand"), "{place}: {message}");
}

// The real kubectl

/// What the real kubectl reads in a text of several documents, without a server.
fn kubectl(text: &str) -> Result<Vec<Value>, String> {
    let mut command = Command::new(support::controlplane::kubectl_dir().join("kubectl"));
    command.args(["annotate", "--local", "-f", "-", "-o", "json", "added-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let mut found: Vec<Value> =
        serde_json::Deserializer::from_slice(&output.stdout).into_iter().map(Result::unwrap).collect();
    if let [list] = found.as_mut_slice()
        && list["kind"] == "List"
    {
        return Ok(list["items"].take().as_array_mut().map(std::mem::take).unwrap());
    }
    Ok(found)
}

fn ours(text: &str) -> Vec<Value> {
    documents(text, &Budget::default()).unwrap().into_iter().map(|document| document.value).collect()
}

/// A float that is whole and large is written by Go as digits.
fn floats(value: &Value) -> Value {
    match value {
        Value::Number(number) if !number.is_i64() => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(floats).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), floats(value))).collect(),
        other => other.clone(),
    }
}

fn object(index: usize, spec: &str) -> String {
    format!("---\napiVersion: example.com/v1\nkind: Trap\nmetadata:\n  name: t{index}\nspec:{spec}\n")
}

#[test]
fn traps_are_read_as_the_real_kubectl_reads_them() {
    let scalars = [
        "y",
        "Y",
        "yes",
        "Yes",
        "YES",
        "n",
        "N",
        "no",
        "No",
        "NO",
        "on",
        "On",
        "ON",
        "off",
        "Off",
        "OFF",
        "true",
        "True",
        "TRUE",
        "False",
        "yEs",
        "oN",
        "~",
        "null",
        "Null",
        "NULL",
        "nULL",
        "",
        "0",
        "-0",
        "00",
        "014",
        "-014",
        "+014",
        "08",
        "0o14",
        "0O14",
        "0x1F",
        "0X1f",
        "-0x1f",
        "0b11",
        "-0b11",
        "0b12",
        "1_000",
        "_1",
        "1__0",
        "1_000.5",
        "+1",
        "-1",
        "1.",
        ".5",
        "-.5",
        "+.5e3",
        "1e3",
        "1E+3",
        "1e-3",
        "1e",
        "1e400",
        "4.20",
        "1.2.3",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "2001-01-01",
        "2001-12-14T21:59:43.10-05:00",
        "1:30",
        "190:20:30",
        "'y'",
        "\"on\"",
        "!!str y",
        "!!str 014",
        "!!int '12'",
        "!!bool 'on'",
        "!!float 3",
        "!!null ''",
        "!!binary aGFsbG8=",
        "!!timestamp 2001-01-01",
        "! 12",
        "! y",
        "!custom on",
        "<<",
        "=",
        "0x",
        "+",
        ".",
        "..",
        "infinity",
        "nan",
        "[y, no, 014]",
        "{on: off}",
        "{014: a}",
        "{1.5: a, 1e6: b, 1e-5: c}",
        "{4.20: a}",
        "{-1: a}",
        "{~x: a}",
        "{? a : b}",
        "[a: b]",
        "[{a: 1}, 2]",
        "|\n  a\n  b\n",
        "|-\n  a\n",
        "|+\n  a\n\n",
        ">\n  a\n  b\n\n  c\n",
        ">-\n  a\n   b\n",
        "|2\n   a\n",
        "a\n  b\n  c",
        "'a\n  b'",
        "\"a\\\n  b\"",
        "\"\\x41\\u00e4\\U0001F600\"",
        "\"\\e\\0\\N\\_\"",
        "'it''s'",
        "a#b",
        "a #b",
        "a:b",
        "http://x/y",
        "a,b",
        "a]",
    ];
    let text: String = scalars.iter().enumerate().map(|(index, scalar)| object(index, &format!(" {scalar}"))).collect();
    let mappings = [
        "\n  on: 1\n  a: &x {b: 1, c: 2}\n  d: *x\n  e:\n    b: 0\n    <<: *x\n    c: 3",
        "\n  a: &x {b: 1}\n  y: &z {b: 2, c: 3}\n  m:\n    <<: [*x, *z]",
        "\n  <<: {a: 1}\n  a: 2",
        "\n  m:\n    <<: [{a: 1}, {a: 2, b: 3}]",
        "\n- a\n-\n- - b\n  - c\n- d: e\n  f:\n- ",
        "\n  - a: b\n\n    # c\n    d: e\n  # f\n  - g",
        "\n  ? a\n  : b\n  'c': d\n  \"e\\n\": f",
        "\n  a: &s text\n  b: *s\n  *s : key",
    ];
    let text: String =
        text + &mappings.iter().enumerate().map(|(index, spec)| object(1000 + index, spec)).collect::<String>();
    let (theirs, ours) = (kubectl(&text).unwrap(), ours(&text));
    assert_eq!(theirs.len(), scalars.len() + mappings.len());
    for (index, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
        assert_eq!(floats(&theirs["spec"]), floats(&ours["spec"]), "number {index}");
    }
    assert_eq!(theirs.len(), ours.len());
}

#[test]
fn what_kubectl_refuses_is_refused() {
    for spec in [
        " .inf",
        " .nan",
        " {~: a}",
        " {[a]: b}",
        " !!int x",
        " !!bool x",
        " *x",
        " [a",
        " {a",
        " \"a",
        " a: b: c",
        "\n  a: b\n c: d",
        " @x",
        " `x",
        " %x",
        " <<: 1",
        " {<<: 1}",
        " !!binary _",
    ] {
        let text = object(0, spec);
        assert!(kubectl(&text).is_err(), "{spec:?}");
        assert!(documents(&text, &Budget::default()).is_err(), "{spec:?}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z0-9./:-]{0,12}",
        "[ -~]{0,12}",
        "\\PC{0,8}",
        "[a\n \t'\"#:-]{0,8}",
        prop::sample::select(vec![
            "y",
            "on",
            "no",
            "014",
            "1_000",
            "0x1",
            "1e3",
            ".inf",
            "null",
            "~",
            "",
            "<<",
            "2001-01-01",
            "1:30",
            "-",
            "?",
            "=",
            "a\n\n",
            " a",
            "a ",
            "\u{85}",
            "\u{2028}"
        ])
        .prop_map(str::to_string),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6f64).prop_map(|value| json!((value * 4.0).floor() / 4.0 + 0.125)),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_is_read_back_equal(value in value()) {
        let document = json!({"spec": value});
        prop_assert_eq!(ours(&document.to_string()), [document.clone()]);
        prop_assert_eq!(ours(&serde_json::to_string_pretty(&document).unwrap()), [document]);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|[\n\t \\[\\]{}:#&*!|>'\"%@`?,-]){0,60}") {
        let _ = documents(&text, &Budget::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is emitted is read equal by this program and by the real kubectl, 100 documents at a time.
    #[test]
    fn emitted_yaml_is_read_back_equal(values in prop::collection::vec(value(), 100)) {
        let objects = values.into_iter().enumerate().map(|(index, spec)| {
            json!({"apiVersion": "example.com/v1", "kind": "Trap", "metadata": {"name": format!("t{index}")}, "spec": spec})
        });
        let objects: Vec<Value> = objects.collect();
        let text: String = objects.iter().map(|object| format!("---\n{}", emit(object))).collect();
        prop_assert_eq!(&ours(&text), &objects);
        let theirs = kubectl(&text).map_err(TestCaseError::fail)?;
        prop_assert_eq!(theirs.len(), objects.len());
        for (theirs, object) in theirs.iter().zip(&objects) {
            prop_assert_eq!(floats(&theirs["spec"]), floats(&object["spec"]));
        }
    }
}
