//! The YAML door and everything behind it: read, compile for the oldest and the newest release, lint with every rule, and make the fixes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oc_imagepolicy::compile::compile;
use oc_imagepolicy::files::{edit, read_text, spans};
use oc_imagepolicy::lint::fix::Fate;
use oc_imagepolicy::lint::rules::RULES;
use oc_imagepolicy::lint::{self, Context};
use oc_imagepolicy::model::release::Release;

fuzz_target!(|text: &str| {
    let Ok(snapshot) = read_text("fuzz.yaml", text) else { return };
    for release in ["4.14", "4.20", "5.2"] {
        let Ok(release) = Release::parse(release) else { unreachable!("{release} is known") };
        let compiled = compile(&snapshot, release);
        let context = Context::new(&snapshot, &compiled);
        let outcome = lint::run(&context, RULES);
        for finding in &outcome.findings {
            let _ = spans::locate(&finding.origin, &finding.path);
        }
        let fixes = outcome.findings.iter().filter_map(|finding| finding.fix.as_ref());
        let edited = edit::edit(fixes, |object| context.as_written(object));
        for file in &edited.files {
            assert!(edited.fates.contains(&Fate::Made));
            assert!(read_text("fixed.yaml", &file.text()).is_ok(), "a fix makes a file unreadable");
        }
    }
});
