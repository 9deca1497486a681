//! What people write to silence findings: annotations, comments, the configuration file, baselines, globs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oc_imagepolicy::lint::suppress;

fuzz_target!(|text: &str| {
    for entry in suppress::annotation(text).into_iter().chain(suppress::comment(text)) {
        assert!(entry.rules.iter().all(|rule| !rule.is_empty()), "{entry:?}");
    }
});
