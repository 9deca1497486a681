//! Image names: what is parsed is parsed to itself again, and every candidate is a part of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oc_imagepolicy::model::reference::{ImageReference, broader_scopes};

fuzz_target!(|text: &str| {
    let _ = broader_scopes(text).take(1_000).map(|scope| scope.text().len()).sum::<usize>();
    let Ok(reference) = ImageReference::parse(text) else { return };
    let name = reference.as_str().to_string();
    let Ok(again) = ImageReference::parse_canonical(&name) else { panic!("{name:?} is not canonical") };
    assert_eq!(again.as_str(), name);
    for candidate in reference.candidates() {
        let candidate = candidate.text();
        assert!(name.starts_with(&*candidate) || candidate.starts_with("*."), "{candidate:?} of {name:?}");
    }
});
