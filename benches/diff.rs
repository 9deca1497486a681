//! Two clusters that differ in one policy, or in every registry that is allowed: what changes, by scope and by file.

mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use oc_imagepolicy::compile::pools::{self, Which};
use oc_imagepolicy::compile::{Compiled, compile};
use oc_imagepolicy::diff::{Side, difference};
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::snapshot::{Origin, Snapshot};
use serde_json::{Value, json};

use support::big_cluster;

fn sides<'a>(snapshot: &'a Snapshot, compiled: &'a Compiled) -> Vec<Side<'a>> {
    let truth = pools::desired(snapshot, compiled).expect("nothing is refused");
    let all = pools::files(snapshot, compiled, Which::Desired).expect("nothing is refused");
    let (_, contents) = all.into_iter().next().expect("there are pools");
    let side = |group: pools::PoolGroup| Side {
        pools: group.names().map(str::to_string).collect(),
        files: group.files,
        contents: contents.clone(),
    };
    truth.groups.into_iter().map(side).collect()
}

/// One more policy.
fn policy() -> Value {
    json!({
        "apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": "new"},
        "spec": {"scopes": ["quay.io/new"], "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": "Zm9v"}}}},
    })
}

/// Every registry that no policy needs is no longer allowed, and the default stays.
fn image(policies: usize) -> Value {
    let allowed: Vec<String> = (0..(policies / 10).max(1)).map(|i| format!("reg{i}.example.com")).collect();
    json!({
        "apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
        "spec": {"registrySources": {"allowedRegistries": allowed}},
    })
}

fn bench(criterion: &mut Criterion) {
    let release = Release::newest();
    let mut group = criterion.benchmark_group("diff");
    group.sample_size(10);
    for policies in [100, 1_000, 10_000] {
        let before = big_cluster::snapshot(policies, policies / 10);
        let compiled_before = compile(&before, release);
        for (name, object) in [("one more policy", policy()), ("allowedRegistries", image(policies))] {
            let mut after = before.clone();
            after.lay_on_top([(object, Origin::Live)]).expect("it is one object");
            let compiled_after = compile(&after, release);
            group.bench_function(BenchmarkId::new(name, policies), |bencher| {
                bencher.iter(|| {
                    let sides = (sides(&before, &compiled_before), sides(&after, &compiled_after));
                    black_box(difference(&sides.0, &sides.1))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
