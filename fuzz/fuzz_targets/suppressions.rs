//! What people write to silence findings: annotations, comments in files, the configuration file, baselines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oc_imagepolicy::files::yaml::{Budget, documents};
use oc_imagepolicy::files::comments;
use oc_imagepolicy::lint::baseline::Baseline;
use oc_imagepolicy::lint::config::Config;
use oc_imagepolicy::lint::glob::Base;
use oc_imagepolicy::lint::suppress::{self, MARKER};
use oc_imagepolicy::snapshot::{Origin, SourceFile};

fuzz_target!(|text: &str| {
    for entry in suppress::annotation(text).into_iter().chain(suppress::comment(text)) {
        assert!(entry.rules.iter().all(|rule| !rule.is_empty()), "{entry:?}");
    }
    for comment in comments(&SourceFile::new("fuzz.yaml", text), MARKER) {
        let _ = suppress::comment(&comment.text);
    }
    let Ok(documents) = documents(text, &Budget::default()) else { return };
    let base = Base { working_directory: "/a".into(), directory: "/a/b".into() };
    for document in documents {
        let _ = Config::parse(&document.value, ".imagepolicy.yaml", &Origin::Live, &base);
        let _ = Baseline::parse(&document.value);
    }
});
