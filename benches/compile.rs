//! The controller's stage on clusters of growing size: objects → node files, as values and as bytes.

mod support;

use std::hint::black_box;
use std::io::{self, Write};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use oc_imagepolicy::compile::{compile, pools};
use oc_imagepolicy::model::release::Release;

use support::big_cluster;

/// Counts what is written and keeps nothing.
#[derive(Default)]
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += black_box(bytes).len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn bench(criterion: &mut Criterion) {
    let release = Release::newest();
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for policies in [100, 1_000, 10_000] {
        let snapshot = big_cluster::snapshot(policies, policies / 10);
        group.throughput(Throughput::Elements(policies as u64 * 10));
        group.bench_with_input(BenchmarkId::new("objects to files", policies), &snapshot, |bencher, snapshot| {
            bencher.iter_with_large_drop(|| compile(snapshot, release));
        });
        let compiled = compile(&snapshot, release);
        group.bench_with_input(BenchmarkId::new("files of every pool", policies), &snapshot, |bencher, snapshot| {
            bencher.iter(|| pools::desired(black_box(snapshot), &compiled));
        });
        let generated = compiled.generated.as_ref().expect("nothing is refused");
        group.bench_function(BenchmarkId::new("files to bytes", policies), |bencher| {
            bencher.iter(|| {
                let mut counted = Counted::default();
                for file in generated.files() {
                    file.write_to(&mut counted).expect("counting does not fail");
                }
                counted.0
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
