//! The rules. [`RULES`] is the only list; `tests/lint_rules.rs` compares it with this folder and runs every example.

use super::Rule;

/// Every rule, by code.
pub static RULES: &[&Rule] = &[];

/// A rule's page in Markdown: what `lint --explain` prints and `docs/rules` holds.
pub fn page(rule: &Rule) -> String {
    use std::fmt::Write;
    let mut page = format!("# {}: {}\n\n{}\n\n", rule.id(), rule.name, rule.summary);
    let by: Vec<String> = rule.refused_by.iter().map(|by| format!("{by:?}")).collect();
    let needs: Vec<&str> = rule.needs.iter().map(|kind| kind.name()).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(page, "* Level: {}, confidence: {:?}", rule.level.word(), rule.confidence);
    if !by.is_empty() {
        let _ = writeln!(page, "* Refused by: {}", by.join(", "));
    }
    let _ = writeln!(page, "* Releases: {}", rule.releases);
    if !needs.is_empty() {
        let _ = writeln!(page, "* Needs: {}", needs.join(", "));
    }
    let _ = writeln!(page, "\n## Why it matters\n\n{}\n\n## How to mend it\n\n{}", rule.why.trim(), rule.fix.trim());
    for (fires, title) in [(true, "Fires"), (false, "Does not fire")] {
        for example in rule.examples.iter().filter(|example| example.fires == fires) {
            let _ = writeln!(
                page,
                "\n## {title} (OpenShift {})\n\n```yaml\n{}\n```",
                example.release,
                example.manifests.trim()
            );
        }
    }
    page
}
