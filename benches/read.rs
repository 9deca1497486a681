//! Reading the large cluster: text → values, and file → snapshot. `cargo bench --bench read`

mod support;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use oc_imagepolicy::files::yaml::{Budget, documents};
use oc_imagepolicy::files::{self, ReadOptions, spans};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (policies, mirrors) in [(100, 10), (1_000, 100), (10_000, 1_000)] {
        let text = support::big_cluster::yaml(policies, mirrors);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.yaml");
        std::fs::write(&path, &text).unwrap();
        let mut group = criterion.benchmark_group(format!("{policies} policies"));
        group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
        // What comes out is dropped outside of the measurement, as a program that ends would not drop it at all.
        group.bench_function("text to values", |bench| {
            bench.iter_with_large_drop(|| documents(black_box(&text), &Budget::default()).unwrap());
        });
        group.bench_function("file to snapshot", |bench| {
            let paths = [path.clone()];
            bench.iter_with_large_drop(|| files::read(black_box(&paths), ReadOptions::default()).unwrap());
        });
        let snapshot = files::read(&[path], ReadOptions::default()).unwrap();
        let policies = &snapshot.cluster_image_policies;
        group.throughput(Throughput::Elements(1));
        group.bench_function("one position", |bench| {
            let mut next = policies.iter().cycle();
            let mut policy = || next.next().unwrap();
            bench.iter_batched(
                &mut policy,
                |policy| spans::locate(&policy.origin, "spec.scopes[7]").unwrap(),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
    criterion.final_summary();
}
