//! The rules. [`RULES`] is the only list; `tests/lint_rules.rs` compares it with this folder and runs every example.

mod allowed_and_blocked;
mod atomic_entry_dropped;
mod blocked_list_dropped;
mod blocked_mirrored_source;
mod blocked_payload_ignored;
mod cached_images;
mod certificate_expiry;
mod change_disrupts;
mod controller_crash;
mod coverage;
mod dead_scope;
mod entry_cannot_be_rewritten;
mod field_refused;
mod frozen;
mod fulcio_email_never;
mod generated_edited;
mod generated_file_overridden;
mod icsp_beside_idms;
mod identity_needs_tag;
mod image_policy_broader;
mod image_policy_escapes;
mod image_policy_freezes;
mod image_policy_ignored;
mod import_list_disagrees;
mod insecure_mirror_missing;
mod internal_registry_not_admitted;
mod key_file_missing;
mod key_unreadable;
mod key_unsafe;
mod keyring_unusable;
mod known_controller_bug;
mod lookaside_missing;
mod machine_config_too_large;
mod mirror_copy_identity;
mod mirror_may_lack_signatures;
mod mirror_not_allowed;
mod mirror_refused;
mod mirror_set_ignored;
mod mirror_source_policy_conflict;
mod mirror_without_attachments;
mod nested_by_name_only;
mod nested_scope_replaces;
mod node_differs;
mod not_effective_here;
mod not_served;
mod other_group;
mod other_transports_rejected;
mod overlay_stale;
mod payload_exception;
mod payload_not_admitted;
mod payload_scope_skipped;
mod platform_registry_not_admitted;
mod platform_under_foreign_key;
mod pool_not_converging;
mod port_asymmetry;
mod reader_too_old;
mod registries_d_duplicate;
mod registry_entry_refused;
mod release_image_unreadable;
mod reserved_name;
mod root_of_trust;
mod same_scope_twice;
mod scope_inside_blocked;
mod scope_names_mirror;
mod scope_outside_allowed;
mod scope_refused;
mod shadowed_by_allowed;
mod signed_and_policy;
mod signed_registries_refused;
mod signed_scope_replaced;
mod suppression_expired;
mod suppression_unused;
mod suppression_without_reason;
mod tag_pull_digest_mirror;
mod too_many;
mod unknown_field;
mod unmatchable_scope;
mod unreadable_on_node;
mod upgrade_signatures;
mod wide_scope;
mod wildcard_apex;
mod wildcard_mirror_conflict;

use super::Rule;

/// Every rule, by code.
pub static RULES: &[&Rule] = &[
    &key_unreadable::RULE,
    &key_unsafe::RULE,
    &certificate_expiry::RULE,
    &root_of_trust::RULE,
    &scope_refused::RULE,
    &too_many::RULE,
    &registry_entry_refused::RULE,
    &unknown_field::RULE,
    &not_served::RULE,
    &other_group::RULE,
    &field_refused::RULE,
    &keyring_unusable::RULE,
    &key_file_missing::RULE,
    &allowed_and_blocked::RULE,
    &scope_outside_allowed::RULE,
    &scope_inside_blocked::RULE,
    &shadowed_by_allowed::RULE,
    &same_scope_twice::RULE,
    &nested_scope_replaces::RULE,
    &image_policy_ignored::RULE,
    &image_policy_escapes::RULE,
    &image_policy_freezes::RULE,
    &nested_by_name_only::RULE,
    &atomic_entry_dropped::RULE,
    &dead_scope::RULE,
    &unreadable_on_node::RULE,
    &payload_exception::RULE,
    &image_policy_broader::RULE,
    &unmatchable_scope::RULE,
    &wildcard_apex::RULE,
    &port_asymmetry::RULE,
    &blocked_mirrored_source::RULE,
    &signed_registries_refused::RULE,
    &signed_and_policy::RULE,
    &signed_scope_replaced::RULE,
    &registries_d_duplicate::RULE,
    &mirror_without_attachments::RULE,
    &mirror_not_allowed::RULE,
    &mirror_source_policy_conflict::RULE,
    &icsp_beside_idms::RULE,
    &tag_pull_digest_mirror::RULE,
    &identity_needs_tag::RULE,
    &mirror_copy_identity::RULE,
    &fulcio_email_never::RULE,
    &wildcard_mirror_conflict::RULE,
    &entry_cannot_be_rewritten::RULE,
    &mirror_set_ignored::RULE,
    &scope_names_mirror::RULE,
    &mirror_may_lack_signatures::RULE,
    &insecure_mirror_missing::RULE,
    &mirror_refused::RULE,
    &lookaside_missing::RULE,
    &payload_not_admitted::RULE,
    &internal_registry_not_admitted::RULE,
    &platform_registry_not_admitted::RULE,
    &other_transports_rejected::RULE,
    &import_list_disagrees::RULE,
    &reserved_name::RULE,
    &blocked_payload_ignored::RULE,
    &payload_scope_skipped::RULE,
    &platform_under_foreign_key::RULE,
    &reader_too_old::RULE,
    &known_controller_bug::RULE,
    &blocked_list_dropped::RULE,
    &controller_crash::RULE,
    &release_image_unreadable::RULE,
    &frozen::RULE,
    &generated_file_overridden::RULE,
    &pool_not_converging::RULE,
    &change_disrupts::RULE,
    &node_differs::RULE,
    &generated_edited::RULE,
    &machine_config_too_large::RULE,
    &overlay_stale::RULE,
    &upgrade_signatures::RULE,
    &not_effective_here::RULE,
    &wide_scope::RULE,
    &coverage::RULE,
    &cached_images::RULE,
    &suppression_unused::RULE,
    &suppression_expired::RULE,
    &suppression_without_reason::RULE,
];

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
