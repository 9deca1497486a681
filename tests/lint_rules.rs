//! Every rule is in the list, complete, and does on its own examples what it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use oc_imagepolicy::compile::compile;
use oc_imagepolicy::files;
use oc_imagepolicy::lint::rules::RULES;
use oc_imagepolicy::lint::{self, Context, Finding, Rule};
use oc_imagepolicy::model::release::Release;

/// A good key, made once with openssl.
const SOME_KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFemx3MFNMbE5yM21Q\
                        NHV4TFBhdFlaRTgydXNJSAp6R0tDbTJxWUU4ZXI2bWc1MkVWa2gwUmpudjhONXg4UEpxQlJJV2h4bXRZcDhhWEVNOGhkWWNvZnd3PT0KLS0tLS\
                        1FTkQgUFVCTElDIEtFWS0tLS0tCg==";

/// Another good key, made once with openssl.
const OTHER_KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUNvd0JRWURLMlZ3QXlFQTRzb2tHQ05BOEF2eG5jSVlrMWg2eXl0SndPQ1Exa0Z\
                         1THJja0paVDlHYlE9Ci0tLS0tRU5EIFBVQkxJQyBLRVktLS0tLQo=";

fn findings(rule: &'static Rule, manifests: &str, release: &str) -> Vec<Finding> {
    let manifests = manifests.replace("SOME_KEY", SOME_KEY).replace("OTHER_KEY", OTHER_KEY);
    let manifests = manifests.replace("MUCH_DATA", &"eHh4".repeat((13 << 20) / 40));
    let snapshot =
        files::read_text("example.yaml", &manifests).unwrap_or_else(|error| panic!("{}: {error}", rule.id()));
    let release = Release::parse(release).unwrap();
    let compiled = compile(&snapshot, release);
    let context = Context::new(&snapshot, &compiled);
    // What is said about findings needs all of them.
    let rules = if rule.code >= 900 { RULES } else { &[rule] };
    let outcome = lint::run(&context, rules);
    let mut skipped = outcome.skipped.iter();
    assert!(!skipped.any(|(skipped, _)| *skipped == rule), "{} is skipped on its own example", rule.id());
    outcome.findings.into_iter().filter(|finding| finding.rule == rule).collect()
}

#[test]
fn examples_do_what_they_say() {
    for &rule in RULES {
        for example in rule.examples {
            let found = findings(rule, example.manifests, example.release);
            assert!(
                found.is_empty() != example.fires,
                "{} should {}fire on\n{}\n{found:#?}",
                rule.id(),
                if example.fires { "" } else { "not " },
                example.manifests
            );
        }
    }
}

#[test]
fn findings_are_complete() {
    for &rule in RULES {
        for example in rule.examples.iter().filter(|example| example.fires) {
            for finding in findings(rule, example.manifests, example.release) {
                let id = rule.id();
                assert!(finding.level <= rule.level, "{id}: {finding:?} is worse than its rule");
                assert!(!finding.message.is_empty() && !finding.message.contains('\n'), "{id}: {finding:?}");
                assert!(!finding.effect.is_empty(), "{id} does not say what follows: {finding:?}");
                assert!(!finding.help.is_empty(), "{id} does not say what to do: {finding:?}");
                if let Some(by) = finding.refused_by {
                    assert!(rule.refused_by.contains(&by), "{id} does not tell that it is refused by {by:?}");
                }
            }
        }
    }
}

#[test]
fn the_list_is_the_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lint/rules");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "mod.rs")
        .collect();
    let rules: BTreeSet<String> = RULES.iter().map(|rule| format!("{}.rs", rule.name.replace('-', "_"))).collect();
    assert_eq!(files, rules);
}

#[test]
fn every_rule_is_an_essay() {
    assert!(RULES.is_sorted_by(|a, b| a.code < b.code), "RULES is sorted by code");
    for rule in RULES {
        let id = rule.id();
        for (what, text) in
            [("summary", rule.summary), ("why", rule.why), ("fix", rule.fix), ("releases", rule.releases)]
        {
            assert!(!text.trim().is_empty(), "{id} has no {what}");
        }
        for fires in [true, false] {
            assert!(
                rule.examples.iter().any(|example| example.fires == fires),
                "{id} lacks an example, fires: {fires}"
            );
        }
    }
}
