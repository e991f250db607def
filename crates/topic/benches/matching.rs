//! Matching: one filter, and the tree of many: `cargo bench -p topic`.

#![allow(missing_docs, reason = "criterion's macros make the functions")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use topic::{Bindings, TopicFilter, Tree};

fn matching(criterion: &mut Criterion) {
    if let Ok(filter) = TopicFilter::parse("plant/+/line/#") {
        criterion.bench_function("one filter", |bencher| {
            bencher.iter(|| black_box(&filter).matches_str(black_box(TOPIC)));
        });
    }
    for count in [100_u32, 100_000] {
        let mut tree = Tree::new();
        for number in 0..count {
            let line = if number % 10 == 0 { "+" } else { "4" };
            let text = format!("plant/hall-{number}/line/{line}/temperature");
            if let Ok(filter) = TopicFilter::parse(&text) {
                tree.insert(&filter, number);
            }
        }
        criterion.bench_function(&format!("a tree of {count} filters"), |bencher| {
            bencher.iter(|| {
                let mut found = 0_u32;
                let bindings = &Bindings::NONE;
                tree.for_each_matching(black_box(TOPIC), bindings, |_| found += 1);
                found
            });
        });
    }
}

const TOPIC: &str = "plant/hall-7/line/4/temperature";

criterion_group!(benches, matching);
criterion_main!(benches);
