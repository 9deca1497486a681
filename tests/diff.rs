//! What `difference` says against what a node does: every image whose answer changes is explained by a scope, every witness is one,
//! and the real engine says the same of it.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use oc_imagepolicy::compile::pools::{self, Files, Which};
use oc_imagepolicy::compile::{Compiled, compile};
use oc_imagepolicy::diff::{Change, Difference, DifferenceGroup, ScopeChange, Side, difference};
use oc_imagepolicy::files;
use oc_imagepolicy::model::node_files::{
    NamespaceFile, NodeFiles, POLICY_JSON, PolicyFile, PolicyForm, namespace_policy_path,
};
use oc_imagepolicy::model::policy::{
    KeySource, Policy, PolicyRequirement, Requirements, RootOfTrust, SignedIdentity, Sourced, Transport, Verdict,
};
use oc_imagepolicy::model::policy_write::Additions;
use oc_imagepolicy::model::provenance::Provenance;
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::resolve::{Matched, Resolution, Resolver};
use oc_imagepolicy::snapshot::{Laying, Origin, Snapshot, Source};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use support::reference::{Engine, Request};

const POOL: &str = "worker";
const NAMESPACES: [&str; 3] = ["a", "b", "c"];

fn requirement(number: usize) -> Sourced {
    let signed = |key: &str, identity| PolicyRequirement::SigstoreSigned {
        root: RootOfTrust::Keys { keys: KeySource::Path(key.into()), rekor: None },
        identity: Some(identity),
    };
    let requirement = match number {
        0 => PolicyRequirement::InsecureAcceptAnything,
        1 => PolicyRequirement::Reject,
        2 => signed("/1", SignedIdentity::MatchRepository),
        3 => signed("/1", SignedIdentity::MatchExact),
        4 => signed("/2", SignedIdentity::MatchRepository),
        _ => PolicyRequirement::SignedBy {
            key_type: "GPGKeys".into(),
            keys: KeySource::Path("/3".into()),
            identity: None,
        },
    };
    Sourced { requirement: Arc::new(requirement), from: vec![Provenance::Default("test")] }
}

fn requirements() -> impl Strategy<Value = Requirements> {
    prop_oneof![4 => vec(0..6_usize, 1..2), 1 => vec(0..6_usize, 2..4)]
        .prop_map(|numbers| numbers.into_iter().map(requirement).collect())
}

const SCOPES: [&str; 18] = [
    "quay.io",
    "quay.io/team",
    "quay.io/team/app",
    "quay.io/team/app:v1",
    "quay.io/team/app:latest",
    "quay.io/team/image",
    "example.com",
    "example.com:5000",
    "example.com:5000/x",
    "*.example.com",
    "*.com",
    "a.example.com",
    "registry.example.com/team",
    "docker.io",
    "docker.io/library",
    "docker.io/library/busybox",
    "elsewhere.example.net",
    "*.example.net",
];

fn scope() -> impl Strategy<Value = String> {
    let digest = format!("quay.io/team/app@sha256:{}", "a".repeat(64));
    prop_oneof![
        18 => select(SCOPES.to_vec()).prop_map(String::from),
        1 => Just(digest),
        1 => Just(String::new()),
        1 => Just("quay.io/Never".to_string()),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let scopes = btree_map(scope(), requirements(), 0..7);
    (requirements(), prop_oneof![8 => scopes.prop_map(Some), 1 => Just(None)]).prop_map(|(default, docker)| {
        let mut policy = Policy { default, ..Policy::default() };
        for (scope, list) in docker.iter().flatten() {
            policy.transports.entry(Transport::Docker).or_default().insert(scope, list.clone());
        }
        if docker.is_some() {
            policy.transports.entry(Transport::Docker).or_default();
        }
        policy
    })
}

#[derive(Clone, Debug)]
enum Own {
    Absent,
    Additions(Additions),
    /// The cluster's policy and additions, as they are read back.
    Sum(Additions),
    Whole(Policy),
}

fn own() -> impl Strategy<Value = Own> {
    let additions = || {
        let named = scope().prop_filter("an ImagePolicy has no such scope", |scope| !scope.is_empty());
        btree_map(named.prop_map(String::into_boxed_str), requirements(), 1..4)
    };
    prop_oneof![
        2 => Just(Own::Absent),
        3 => additions().prop_map(Own::Additions),
        3 => additions().prop_map(Own::Sum),
        1 => policy().prop_map(Own::Whole),
    ]
}

fn node_files() -> impl Strategy<Value = NodeFiles> {
    (policy(), vec(own(), NAMESPACES.len())).prop_map(|(policy, own)| assembled(policy, own))
}

fn assembled(policy: Policy, own: Vec<Own>) -> NodeFiles {
    let whole = |policy| NamespaceFile::Whole(PolicyFile { policy, form: PolicyForm::Compact });
    let mut files = NodeFiles::default();
    for (namespace, own) in NAMESPACES.into_iter().zip(own) {
        let file = match own {
            Own::Absent => continue,
            Own::Additions(scopes) => NamespaceFile::Additions { scopes, form: PolicyForm::Compact },
            Own::Whole(policy) => whole(policy),
            Own::Sum(additions) => {
                let mut sum = policy.clone();
                let docker = sum.transports.entry(Transport::Docker).or_default();
                for (scope, added) in &additions {
                    let own = docker.get(scope).cloned();
                    let all = own.iter().flat_map(|own| own.iter()).chain(added.iter()).cloned().collect();
                    docker.insert(scope, all);
                }
                whole(sum)
            }
        };
        files.namespaces.insert(namespace.into(), file);
    }
    files.policy = Some(PolicyFile { policy, form: PolicyForm::Compact });
    files
}

/// Two sides that have much in common: each part is that of the first or a new one.
fn pair() -> impl Strategy<Value = (NodeFiles, NodeFiles)> {
    let cluster = (policy(), policy(), select(vec![true, true, false]), btree_map(scope(), requirements(), 0..3));
    let own = vec((own(), own(), any::<bool>()), NAMESPACES.len());
    (cluster, own).prop_map(|((before, other, is_like, more), own)| {
        let mut after = if is_like { before.clone() } else { other };
        for (scope, list) in more {
            after.transports.entry(Transport::Docker).or_default().insert(&scope, list);
        }
        let (before_own, after_own) =
            own.into_iter().map(|(own, other, is_same)| (own.clone(), if is_same { own } else { other })).unzip();
        (assembled(before, before_own), assembled(after, after_own))
    })
}

fn images() -> Vec<String> {
    let mut images: Vec<String> = SCOPES
        .iter()
        .filter(|scope| !scope.starts_with('*'))
        .flat_map(|scope| {
            [scope.to_string(), format!("{scope}/image"), format!("{scope}:v1"), format!("{scope}/x/y:v2")]
        })
        .collect();
    images.extend(
        ["x.y.example.com/a", "any.com/a", "b.example.com:8443/z", "nowhere.io/x", "localhost/x", "busybox"]
            .map(String::from),
    );
    images.push(format!("quay.io/team/app@sha256:{}", "a".repeat(64)));
    images.push(format!("quay.io/team/app:v1@sha256:{}", "a".repeat(64)));
    images
}

fn side(files: NodeFiles) -> Side<'static> {
    Side { pools: vec![POOL.into()], files: Arc::new(files), contents: Files::new() }
}

/// What an image must show, in a form of this test's own: lists that no image can tell apart are equal.
fn answer(resolution: &Resolution<'_>) -> (Verdict, BTreeSet<String>) {
    let verdict = resolution.verdict();
    let demands = resolution.requirements().map(|sourced| format!("{:?}", sourced.requirement));
    let demands = demands.filter(|demand| verdict == Verdict::RequiresSignature && demand != "InsecureAcceptAnything");
    (verdict, demands.collect())
}

fn matched(resolution: &Resolution<'_>) -> String {
    match resolution.matched() {
        Matched::Scope(scope) => scope.into_owned(),
        Matched::Default => String::new(),
    }
}

fn is_in(group: &DifferenceGroup, namespace: &str) -> bool {
    group.namespace.as_deref() == Some(namespace) || group.also_in.iter().any(|other| other == namespace)
}

/// The changes that `difference` tells of for pods of a namespace.
fn told<'d>(difference: &'d Difference, namespace: Option<&str>, has_own: bool) -> Vec<&'d ScopeChange> {
    let cluster = difference.groups.iter().find(|group| group.namespace.is_none());
    let cluster_scopes = cluster.map(|group| group.scopes.as_slice()).unwrap_or_default();
    let Some(namespace) = namespace.filter(|_| has_own) else { return cluster_scopes.iter().collect() };
    let own = difference.groups.iter().find(|group| group.namespace.is_some() && is_in(group, namespace));
    let Some(own) = own else {
        let is_same = cluster_scopes.is_empty() || cluster.is_some_and(|cluster| is_in(cluster, namespace));
        assert!(is_same, "namespace {namespace} is not accounted for: {difference:#?}");
        return cluster_scopes.iter().collect();
    };
    let overridden =
        |scope: &str| own.unchanged.iter().any(|s| s == scope) || own.scopes.iter().any(|c| c.scope == scope);
    cluster_scopes.iter().filter(|change| !overridden(&change.scope)).chain(&own.scopes).collect()
}

fn check(before: &NodeFiles, after: &NodeFiles) {
    let difference = difference(&[side(before.clone())], &[side(after.clone())]);
    for namespace in std::iter::once(None).chain(NAMESPACES.map(Some)) {
        let (earlier, later) = (Resolver::new(before, namespace).unwrap(), Resolver::new(after, namespace).unwrap());
        let has_own = namespace
            .is_some_and(|namespace| [before, after].iter().any(|files| files.namespaces.contains_key(namespace)));
        let changes = told(&difference, namespace, has_own);
        for image in images() {
            let (Ok(was), Ok(will)) = (earlier.resolve(&image), later.resolve(&image)) else { continue };
            let scopes = [matched(&was), matched(&will)];
            let change = changes.iter().find(|change| scopes.contains(&change.scope));
            if answer(&was) != answer(&will) {
                assert!(
                    change.is_some(),
                    "{image} in {namespace:?}, decided by {scopes:?}, is not explained: {difference:#?}"
                );
            }
        }
        let of_this = difference.groups.iter().filter(|group| group.namespace.as_deref() == namespace);
        for change in of_this.flat_map(|group| &group.scopes) {
            let (was, will) = (earlier.resolve(&change.witness).unwrap(), later.resolve(&change.witness).unwrap());
            assert_ne!(answer(&was), answer(&will), "{namespace:?} {change:?}");
            assert!([matched(&was), matched(&will)].contains(&change.scope), "{namespace:?} {change:?}");
            for (said, real) in [(&change.before, &was), (&change.after, &will)] {
                let requirements: Vec<&Sourced> = real.requirements().collect();
                assert_eq!((said.verdict, said.requirements.iter().collect()), (real.verdict(), requirements));
            }
        }
        let of_cluster = difference.groups.iter().filter(|group| group.namespace.is_none());
        let of_cluster: BTreeSet<&str> = of_cluster.flat_map(|group| &group.scopes).map(|c| &*c.scope).collect();
        let of_this = difference.groups.iter().filter(|group| group.namespace.as_deref() == namespace);
        let mut unchanged = of_this.flat_map(|group| &group.unchanged);
        assert!(unchanged.all(|scope| of_cluster.contains(&**scope)), "{difference:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_changed_image_is_explained_and_every_witness_is_one((before, after) in pair()) {
        check(&before, &after);
    }

    #[test]
    fn nothing_in_common((before, after) in (node_files(), node_files())) {
        check(&before, &after);
        assert!(difference(&[side(before.clone())], &[side(before)]).is_empty());
    }
}

/// One change a line: scopes before, scopes after, and what is said of it.
#[test]
fn scopes_that_change_and_scopes_that_do_not() {
    let files = |default: usize, scopes: &[(&str, &[usize])]| {
        let mut policy = Policy { default: [requirement(default)].into(), ..Policy::default() };
        for (scope, numbers) in scopes {
            let list = numbers.iter().map(|number| requirement(*number)).collect();
            policy.transports.entry(Transport::Docker).or_default().insert(scope, list);
        }
        NodeFiles { policy: Some(PolicyFile { policy, form: PolicyForm::Compact }), ..NodeFiles::default() }
    };
    type Scopes<'a> = &'a [(&'a str, &'a [usize])];
    let cases: [(usize, Scopes, usize, Scopes, &[&str]); 12] = [
        (
            1,
            &[("quay.io", &[0])],
            1,
            &[("quay.io", &[0]), ("quay.io/team", &[2])],
            &["quay.io/team quay.io/team/image AcceptsAnything RequiresSignature"],
        ),
        (
            1,
            &[("quay.io", &[0]), ("quay.io/team", &[2])],
            1,
            &[("quay.io", &[0])],
            &["quay.io/team quay.io/team/image RequiresSignature AcceptsAnything"],
        ),
        (0, &[], 1, &[("quay.io", &[0])], &[" elsewhere.example.net/image AcceptsAnything Rejects"]),
        // A scope that says what holds anyway.
        (0, &[], 0, &[("quay.io", &[0])], &[]),
        (1, &[("quay.io", &[2, 4])], 1, &[("quay.io", &[4, 2])], &[]),
        (1, &[("quay.io", &[2])], 1, &[("quay.io", &[0, 2, 2])], &[]),
        (1, &[("quay.io", &[2, 1])], 1, &[], &[]),
        (
            1,
            &[("quay.io", &[2])],
            1,
            &[("quay.io", &[3])],
            &["quay.io quay.io/image RequiresSignature RequiresSignature"],
        ),
        (0, &[], 0, &[("*.example.com", &[1])], &["*.example.com a.example.com/image AcceptsAnything Rejects"]),
        (
            0,
            &[("a.example.com", &[0])],
            0,
            &[("a.example.com", &[0]), ("*.example.com", &[1])],
            &["*.example.com registry.example.com/image AcceptsAnything Rejects"],
        ),
        (
            0,
            &[],
            0,
            &[("q.io/a/b:v1", &[1]), ("q.io:5000", &[1])],
            &["q.io/a/b:v1 q.io/a/b:v1 AcceptsAnything Rejects", "q.io:5000 q.io:5000/image AcceptsAnything Rejects"],
        ),
        // No image has this name, so that nothing changes for any.
        (0, &[], 0, &[("quay.io/Team", &[1])], &[]),
    ];
    for (before_default, before, after_default, after, expected) in cases {
        let found = difference(&[side(files(before_default, before))], &[side(files(after_default, after))]);
        let lines: Vec<String> = found
            .groups
            .iter()
            .flat_map(|group| &group.scopes)
            .map(|c| format!("{} {} {} {}", c.scope, c.witness, c.before.verdict, c.after.verdict))
            .collect();
        assert_eq!(lines, expected, "{before:?} → {after:?}");
    }
}

#[test]
fn a_node_that_will_refuse_its_files() {
    const GOOD: &str = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
    let read = |files: &[(&str, &str)]| NodeFiles::read(files.iter().map(|(path, text)| (*path, *text, None)));
    let own = namespace_policy_path("shop");
    let bad = r#"{"default": []}"#;
    for (before, after, expected) in [
        (vec![(POLICY_JSON, GOOD)], vec![(POLICY_JSON, bad)], vec![(None, 0, 1)]),
        (vec![(POLICY_JSON, bad)], vec![(POLICY_JSON, GOOD)], vec![(None, 1, 0)]),
        (vec![(POLICY_JSON, bad)], vec![(POLICY_JSON, bad)], vec![]),
        (vec![(POLICY_JSON, GOOD)], vec![(POLICY_JSON, GOOD), (own.as_str(), bad)], vec![(Some("shop"), 0, 1)]),
        // A policy of its own spares the namespace what befalls the others.
        (
            vec![(POLICY_JSON, GOOD), (own.as_str(), GOOD)],
            vec![(POLICY_JSON, bad), (own.as_str(), GOOD)],
            vec![(None, 0, 1)],
        ),
        (
            vec![(POLICY_JSON, GOOD), (own.as_str(), GOOD)],
            vec![(POLICY_JSON, GOOD), (own.as_str(), GOOD), ("/etc/containers/registries.conf", "[")],
            vec![(None, 0, 1), (Some("shop"), 0, 1)],
        ),
    ] {
        let found = difference(&[side(read(&before))], &[side(read(&after))]);
        let told: Vec<_> = found
            .groups
            .iter()
            .map(|group| (group.namespace.as_deref(), group.refused_before.len(), group.refused_after.len()))
            .collect();
        assert_eq!(told, expected, "{before:?} {after:?}");
        assert!(found.groups.iter().all(|group| group.scopes.is_empty()));
        let refused = expected.iter().any(|(_, _, after)| *after > 0);
        assert_eq!(found.refused_after().len(), usize::from(refused), "each once");
    }
}

fn read(objects: &[Value], release_image: &str) -> Snapshot {
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

fn sides<'a>(snapshot: &'a Snapshot, compiled: &'a Compiled) -> Vec<Side<'a>> {
    let mut contents: BTreeMap<_, _> = pools::files(snapshot, compiled, Which::Desired).unwrap().into_iter().collect();
    let truth = pools::desired(snapshot, compiled).unwrap();
    let side = |group: pools::PoolGroup| Side {
        pools: group.names().map(str::to_string).collect(),
        contents: contents.remove(&group.pools[0].name).unwrap(),
        files: group.files,
    };
    truth.groups.into_iter().map(side).collect()
}

/// From each cluster of the controller's vectors to the next one of the same release: the files that differ, and the verdict of the
/// real engine on every witness, before and after.
#[test]
fn the_real_engine_says_the_same_of_every_witness() {
    let mut engine = Engine::start();
    let mut asked: Vec<(Request, Vec<Verdict>)> = Vec::new();
    for release in ["4.16", "4.18", "4.20", "5.2"] {
        let mut earlier: Option<(Snapshot, Compiled)> = None;
        for line in support::vector_lines(&format!("controller-{release}")).step_by(3) {
            let line: Value = serde_json::from_str(&line).unwrap();
            let snapshot = read(line["objects"].as_array().unwrap(), line["releaseImage"].as_str().unwrap());
            let compiled = compile(&snapshot, Release::parse(release).unwrap());
            if compiled.generated.is_err() {
                continue;
            }
            if let Some((snapshot_before, compiled_before)) = &earlier {
                let (before, after) = (sides(snapshot_before, compiled_before), sides(&snapshot, &compiled));
                ask_of(&before, &after, &mut asked);
            }
            earlier = Some((snapshot, compiled));
        }
    }
    let requests: Vec<Request> = asked.iter().map(|(request, _)| request.clone()).collect();
    let mut count = 0;
    for ((request, expected), answer) in asked.iter().zip(engine.ask(&requests)) {
        assert_eq!(answer.refused, None, "{request:?}");
        let said: Vec<String> = answer.verdicts.iter().map(|verdict| format!("{:?}", verdict.overall())).collect();
        let expected: Vec<String> = expected.iter().map(Verdict::to_string).collect();
        assert_eq!(said, expected, "{request:?}");
        count += said.len();
    }
    assert!(count > 1000, "only {count} witnesses");
}

fn ask_of(before: &[Side<'_>], after: &[Side<'_>], asked: &mut Vec<(Request, Vec<Verdict>)>) {
    let found = difference(before, after);
    // Where a node refuses its files, before or after, no scope is told.
    for group in found.groups.iter().filter(|group| !group.scopes.is_empty()) {
        let own = group.namespace.as_deref().map(namespace_policy_path);
        for (sides, is_after) in [(before, false), (after, true)] {
            let contents = &sides.iter().find(|side| side.pools.contains(&group.pools[0])).unwrap().contents;
            let path = own.as_deref().filter(|path| contents.contains_key(*path)).unwrap_or(POLICY_JSON);
            let policy = String::from_utf8(contents[path].bytes().unwrap()).unwrap();
            let of = |change: &ScopeChange| if is_after { change.after.verdict } else { change.before.verdict };
            let request = Request {
                id: asked.len().to_string(),
                policy: Some(policy),
                images: group.scopes.iter().map(|change| change.witness.clone()).collect(),
                ..Request::default()
            };
            asked.push((request, group.scopes.iter().map(of).collect()));
        }
    }
    check_files(before, after, &found);
}

/// Exactly the files whose bytes differ are told, each once.
fn check_files(before: &[Side<'_>], after: &[Side<'_>], found: &Difference) {
    for side in after {
        let pool = &side.pools[0];
        let Some(earlier) = before.iter().find(|side| side.pools.contains(pool)) else { continue };
        let bytes = |files: &Files<'_>, path: &String| files.get(path).map(|content| content.bytes().unwrap());
        let paths: BTreeSet<&String> = earlier.contents.keys().chain(side.contents.keys()).collect();
        let differing = paths.into_iter().filter(|path| bytes(&earlier.contents, path) != bytes(&side.contents, path));
        let expected: Vec<(&str, Change)> = differing
            .map(|path| {
                let change = match (earlier.contents.contains_key(path), side.contents.contains_key(path)) {
                    (false, _) => Change::Added,
                    (_, false) => Change::Removed,
                    _ => Change::Changed,
                };
                (path.as_str(), change)
            })
            .collect();
        let groups = found.groups.iter().filter(|group| group.pools.contains(pool));
        let mut told: Vec<(&str, Change)> =
            groups.flat_map(|group| &group.files).map(|file| (file.path.as_str(), file.change)).collect();
        told.sort_by_key(|(path, _)| *path);
        assert_eq!(told, expected);
    }
}

/// A thousand namespaces under a changed cluster policy: nothing is told a thousand times, and nothing takes long.
#[test]
fn many_namespaces_do_not_multiply() {
    let files = |registries: usize| {
        let mut policy = Policy { default: [requirement(1)].into(), ..Policy::default() };
        let docker = policy.transports.entry(Transport::Docker).or_default();
        for number in 0..registries {
            docker.insert(&format!("reg{number}.example.com/team"), [requirement(2)].into());
        }
        let own = |number: usize| {
            let scope = format!("quay.io/ns{number}");
            let scopes = Additions::from([(scope.into(), [requirement(4)].into())]);
            (format!("ns{number}").into(), NamespaceFile::Additions { scopes, form: PolicyForm::Compact })
        };
        NodeFiles {
            policy: Some(PolicyFile { policy, form: PolicyForm::Compact }),
            namespaces: (0..1000).map(own).collect(),
            ..NodeFiles::default()
        }
    };
    let start = Instant::now();
    let found = difference(&[side(files(20_000))], &[side(files(10_000))]);
    let taken = start.elapsed();
    let [group] = found.groups.as_slice() else { panic!("{} groups", found.groups.len()) };
    assert_eq!((group.scopes.len(), group.also_in.len()), (10_000, 1000));
    assert!(taken < Duration::from_secs(20), "{taken:?}");
}

#[test]
fn only_pools_of_both_sides_are_compared() {
    let snapshot = files::example().unwrap();
    let compiled = compile(&snapshot, Release::newest());
    let (mut before, after) = (sides(&snapshot, &compiled), sides(&snapshot, &compiled));
    before[0].pools.retain(|pool| pool == "worker");
    before[0].contents.clear();
    let found = difference(&before, &after);
    let pools: BTreeSet<&String> = found.groups.iter().flat_map(|group| &group.pools).collect();
    assert_eq!(pools.into_iter().collect::<Vec<_>>(), ["worker"]);
    assert!(found.groups.iter().flat_map(|group| &group.files).all(|file| file.change == Change::Added));
}
