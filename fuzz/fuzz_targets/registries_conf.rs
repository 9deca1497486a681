//! registries.conf and registries.d: what is read and loaded can be asked for sources.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oc_imagepolicy::model::provenance::Provenance;
use oc_imagepolicy::model::reference::ImageReference;
use oc_imagepolicy::model::registries_conf::{LoadedRegistries, RegistriesConf};
use oc_imagepolicy::model::registries_d::RegistriesD;

fuzz_target!(|bytes: &[u8]| {
    let from = Provenance::Default("fuzz");
    let _ = RegistriesD::read(bytes, &from);
    for is_drop_in in [false, true] {
        let Ok(file) = RegistriesConf::read(bytes, is_drop_in, &from) else { continue };
        let Ok(loaded) = LoadedRegistries::load_one(file) else { continue };
        for image in ["registry.example.com/team/app:v1", "docker.io/library/busybox", "localhost:5000/a@sha256:00"] {
            let Ok(reference) = ImageReference::parse(image) else { continue };
            if let Some(entry) = loaded.find(reference.as_str()) {
                let _ = entry.pull_sources(&reference);
            }
        }
    }
});
