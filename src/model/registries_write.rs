//! The bytes of registries.conf and of registries.d as the controller writes them (domain.md 2.8).

use std::sync::Arc;

use super::encoding::{push_toml_string, sort_naturally, yaml_scalar};
use super::registries_conf::{PullFromMirror, RegistriesConf};
use super::registries_d::{RegistriesD, SignatureStorage};

/// registries.conf by BurntSushi's encoder; `has_auth_helper` is whether the release's header has
/// `additional-layer-store-auth-helper` (4.19).
pub fn registries_conf(conf: &RegistriesConf, has_auth_helper: bool) -> String {
    let mut out = String::new();
    if let Some(search) = &conf.unqualified_search_registries {
        out.push_str("unqualified-search-registries = [");
        for (position, registry) in search.iter().enumerate() {
            if position > 0 {
                out.push_str(", ");
            }
            push_toml_string(&mut out, registry);
        }
        out.push_str("]\n");
    }
    push_text(&mut out, "", "short-name-mode", conf.short_name_mode.as_deref().unwrap_or_default());
    if has_auth_helper {
        push_text(&mut out, "", "additional-layer-store-auth-helper", "");
    }
    for registry in &conf.registries {
        out.push_str("\n[[registry]]\n");
        push_text(&mut out, "  ", "prefix", &registry.prefix);
        if !registry.location.is_empty() {
            push_text(&mut out, "  ", "location", &registry.location);
        }
        push_flag(&mut out, "  ", "insecure", registry.insecure);
        push_flag(&mut out, "  ", "blocked", registry.blocked);
        push_flag(&mut out, "  ", "mirror-by-digest-only", registry.mirror_by_digest_only);
        for mirror in &registry.mirrors {
            out.push_str("\n  [[registry.mirror]]\n");
            if !mirror.location.is_empty() {
                push_text(&mut out, "    ", "location", &mirror.location);
            }
            push_flag(&mut out, "    ", "insecure", mirror.insecure);
            if mirror.pull_from_mirror != PullFromMirror::Unset {
                push_text(&mut out, "    ", "pull-from-mirror", mirror.pull_from_mirror.as_str());
            }
        }
    }
    out
}

fn push_text(out: &mut String, indent: &str, key: &str, value: &str) {
    out.push_str(indent);
    out.push_str(key);
    out.push_str(" = ");
    push_toml_string(out, value);
    out.push('\n');
}

fn push_flag(out: &mut String, indent: &str, key: &str, is_set: bool) {
    if is_set {
        out.push_str(indent);
        out.push_str(key);
        out.push_str(" = true\n");
    }
}

/// Above this a key is written with `? ` (go-yaml's limit of a simple key).
const LONGEST_SIMPLE_KEY: usize = 128;

/// sigstore-registries.yaml by go-yaml v2, keys in its natural order; our own file with lookasides in the same way.
pub fn registries_d(file: &RegistriesD) -> String {
    let mut sections: Vec<&(Arc<str>, SignatureStorage)> = file.docker.iter().collect();
    sort_naturally(&mut sections, |(key, _)| key);
    let mut out = String::with_capacity(16 + sections.iter().map(|(key, _)| key.len() + 48).sum::<usize>());
    out.push_str("docker:\n");
    for (key, storage) in sections {
        let scalar = yaml_scalar(key);
        let mut begin = if key.len() > LONGEST_SIMPLE_KEY {
            out.push_str("  ? ");
            out.push_str(&scalar);
            "\n  : "
        } else {
            out.push_str("  ");
            out.push_str(&scalar);
            ":\n    "
        };
        let mut setting = |name: &str, value: &str| {
            out.push_str(begin);
            out.push_str(name);
            out.push_str(": ");
            out.push_str(value);
            begin = "\n    ";
        };
        if let Some(lookaside) = &storage.lookaside {
            setting("lookaside", &yaml_scalar(lookaside));
        }
        if storage.use_sigstore_attachments == Some(true) {
            setting("use-sigstore-attachments", "true");
        }
        out.push('\n');
    }
    out
}
