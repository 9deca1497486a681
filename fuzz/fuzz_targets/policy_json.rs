//! policy.json: what is read can be looked up in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oc_imagepolicy::model::policy::{Policy, verdict};
use oc_imagepolicy::model::provenance::Provenance;
use oc_imagepolicy::model::reference::ImageReference;

fuzz_target!(|bytes: &[u8]| {
    let Ok(policy) = Policy::read(bytes, &Provenance::Default("fuzz")) else { return };
    let Ok(image) = ImageReference::parse("registry.example.com/team/app:v1") else { unreachable!() };
    let _ = verdict(&policy.default);
    for scopes in policy.transports.values() {
        let hit = image.candidates().find_map(|candidate| scopes.get(&candidate.text()));
        let _ = hit.map(|requirements| verdict(requirements));
    }
});
