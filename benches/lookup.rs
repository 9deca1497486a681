//! Reading a large policy.json and looking images up in it: 100,000 scopes of 10,000 policies under `docker` and `atomic`.
//!
//! Goals: reading 91 MB in 350 ms, parsing and looking up an image in 250 ns, looking up a parsed one in 150 ns.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use oc_imagepolicy::model::node_files::{NodeFiles, POLICY_JSON};
use oc_imagepolicy::model::policy::Policy;
use oc_imagepolicy::model::provenance::Provenance;
use oc_imagepolicy::model::reference::ImageReference;
use oc_imagepolicy::resolve::Resolver;

const POLICIES: usize = 10_000;
const SCOPES_OF_EACH: usize = 10;

fn scope(policy: usize, scope: usize) -> String {
    format!("registry{}.example.com/team{policy}/app{scope}", policy % 97)
}

fn policy_json() -> String {
    let mut text =
        String::from("{\n  \"default\": [\n    {\n      \"type\": \"reject\"\n    }\n  ],\n  \"transports\": {");
    for (position, transport) in ["atomic", "docker"].into_iter().enumerate() {
        let _ = write!(text, "{}\n    \"{transport}\": {{", if position == 0 { "" } else { "," });
        for policy in 0..POLICIES {
            // 178 bytes are the size of an ECDSA key in PEM.
            let key = format!("{policy:08}").repeat(30);
            for index in 0..SCOPES_OF_EACH {
                let comma = if policy + index == 0 { "" } else { "," };
                let _ = write!(
                    text,
                    "{comma}\n      \"{}\": [\n        {{\n          \"type\": \"sigstoreSigned\",\n          \"keyData\": \"{key}\",\n          \"signedIdentity\": {{\n            \"type\": \"matchRepoDigestOrExact\"\n          }}\n        }}\n      ]",
                    scope(policy, index)
                );
            }
        }
        text.push_str("\n    }");
    }
    text.push_str("\n  }\n}");
    text
}

/// By tag, by digest and without either; three in four lie in a scope.
fn images() -> Vec<String> {
    let end = |index: usize| match index % 3 {
        0 => format!(":v{index}"),
        1 => format!("@sha256:{index:064x}"),
        _ => String::new(),
    };
    let policy = |index: usize| index * 7919 % (POLICIES * 4 / 3);
    (0..256).map(|index| format!("{}/web{}", scope(policy(index), index % SCOPES_OF_EACH), end(index))).collect()
}

fn lookup(c: &mut Criterion) {
    let text = policy_json();
    let from = Provenance::Default("bench");
    let mut group = c.benchmark_group("read");
    group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("policy.json", |b| {
        b.iter_batched(|| (), |()| Policy::read(text.as_bytes(), &from), BatchSize::PerIteration);
    });
    group.finish();

    let files = NodeFiles::read([(POLICY_JSON, text, None)]);
    let resolver = Resolver::new(&files, None).expect("the policy is good");
    let images = images();
    let references: Vec<ImageReference<'_>> =
        images.iter().filter_map(|image| ImageReference::parse(image).ok()).collect();
    let mut group = c.benchmark_group("image");
    let mut scratch = String::new();
    let mut next = images.iter().cycle();
    group.bench_function("parse and look up", |b| {
        b.iter(|| next.next().map(|image| resolver.verdict_of(black_box(image), &mut scratch)));
    });
    let mut next = references.iter().cycle();
    group.bench_function("look up", |b| {
        b.iter(|| next.next().map(|reference| resolver.look_up(black_box(reference)).verdict()));
    });
    group.finish();
}

criterion_group!(benches, lookup);
criterion_main!(benches);
