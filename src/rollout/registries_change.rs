//! Whether nodes are drained for a new registries.conf: only where what runs there could miss something (domain.md 3.2).

use std::collections::{BTreeMap, HashMap};

use crate::model::node_files::REGISTRIES_CONF;
use crate::model::provenance::Provenance;
use crate::model::registries_conf::{Mirror, PullFromMirror, RegistriesConf, Registry};

/// Why nodes are drained before they take the new file; `None` where CRI-O is only reloaded. A file that is absent is an empty one.
pub(super) fn why_drained(before: Option<&[u8]>, after: Option<&[u8]>) -> Option<String> {
    let read = |bytes: Option<&[u8]>| {
        let from = Provenance::File { machine_config: None, path: REGISTRIES_CONF.into() };
        RegistriesConf::read(bytes.unwrap_or_default(), false, &from)
    };
    let (before, after) = match (read(before), read(after)) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(problem), _) => return Some(format!("the old file cannot be read: {problem}")),
        (_, Err(problem)) => return Some(format!("the new file cannot be read: {problem}")),
    };
    difference(&before, &after)
}

fn difference(before: &RegistriesConf, after: &RegistriesConf) -> Option<String> {
    let search = |conf: &RegistriesConf| conf.unqualified_search_registries.clone().unwrap_or_default();
    if !search(after).starts_with(&search(before)) {
        return Some("the search list is shorter or in another order".into());
    }
    // Of several entries with one scope the last one counts.
    let by_scope = |conf| -> BTreeMap<_, &Registry> {
        let conf: &RegistriesConf = conf;
        conf.registries.iter().map(|registry| (registry.scope().to_string(), registry)).collect()
    };
    let (before, after) = (by_scope(before), by_scope(after));
    if let Some(scope) = before.keys().find(|scope| !after.contains_key(*scope)) {
        return Some(format!("registry {scope} is removed"));
    }
    after.iter().find_map(|(scope, new)| match before.get(scope) {
        Some(old) => registry_difference(scope, old, new),
        None if is_digest_only(new) => None,
        None if new.mirrors.is_empty() => Some(format!("registry {scope} is new and has no mirror")),
        None => Some(format!("registry {scope} is new and has a mirror that serves tags")),
    })
}

fn registry_difference(scope: &str, old: &Registry, new: &Registry) -> Option<String> {
    let changed = [
        ("prefix", old.prefix != new.prefix),
        ("location", old.location != new.location),
        ("blocked", old.blocked != new.blocked),
        ("insecure", old.insecure != new.insecure),
    ];
    if let Some((field, _)) = changed.iter().find(|(_, differs)| *differs) {
        return Some(format!("`{field}` of registry {scope} changes"));
    }
    let (old_mirrors, new_mirrors) = (mirrors(old), mirrors(new));
    if let Some(gone) = old.mirrors.iter().find(|mirror| !new_mirrors.contains_key(&*mirror.location)) {
        return Some(format!("mirror {} of registry {scope} is removed", gone.location));
    }
    new.mirrors.iter().find_map(|mirror| {
        let is_digest_only = mirror.pull_from_mirror == PullFromMirror::DigestOnly;
        match old_mirrors.get(&*mirror.location) {
            Some(old) if mirror.pull_from_mirror != old.pull_from_mirror && !is_digest_only => {
                Some(format!("mirror {} of registry {scope} serves tags from now on", mirror.location))
            }
            None if !is_digest_only && !new.mirror_by_digest_only => {
                Some(format!("mirror {} of registry {scope} is new and serves tags", mirror.location))
            }
            _ => None,
        }
    })
}

/// By location; of several the first counts.
fn mirrors(registry: &Registry) -> HashMap<&str, &Mirror> {
    registry.mirrors.iter().rev().map(|mirror| (&*mirror.location, mirror)).collect()
}

fn is_digest_only(registry: &Registry) -> bool {
    match registry.mirrors.is_empty() {
        true => registry.mirror_by_digest_only,
        false => registry.mirrors.iter().all(|mirror| mirror.pull_from_mirror == PullFromMirror::DigestOnly),
    }
}

#[cfg(test)]
mod tests {
    use super::why_drained;

    const SEARCH: &str = "unqualified-search-registries = [\"a.io\", \"b.io\"]\n";

    fn registry(scope: &str, fields: &str, mirrors: &[(&str, &str)]) -> String {
        let mut text = format!("[[registry]]\nprefix = \"\"\nlocation = \"{scope}\"\n{fields}\n");
        for (location, mode) in mirrors {
            text += &format!("[[registry.mirror]]\nlocation = \"{location}\"\n");
            if !mode.is_empty() {
                text += &format!("pull-from-mirror = \"{mode}\"\n");
            }
        }
        text
    }

    /// domain.md 3.2.
    #[test]
    fn what_drains_and_what_does_not() {
        let digest = |mirrors: &[&str]| {
            let all: Vec<(&str, &str)> = mirrors.iter().map(|location| (*location, "digest-only")).collect();
            registry("q.io", "", &all)
        };
        let (m1, m2) = (digest(&["m1.io"]), digest(&["m1.io", "m2.io"]));
        let wildcard = "[[registry]]\nprefix = \"*.q.io\"\n";
        for (before, after, expected) in [
            (SEARCH.to_string(), SEARCH.to_string(), None),
            (
                SEARCH.into(),
                "unqualified-search-registries = [\"a.io\"]".into(),
                Some("the search list is shorter or in another order"),
            ),
            (
                SEARCH.into(),
                "unqualified-search-registries = [\"b.io\", \"a.io\"]".into(),
                Some("the search list is shorter or in another order"),
            ),
            (SEARCH.into(), "unqualified-search-registries = [\"a.io\", \"b.io\", \"c.io\"]".into(), None),
            (SEARCH.into(), String::new(), Some("the search list is shorter or in another order")),
            (m1.clone(), m1.clone(), None),
            (String::new(), m1.clone(), None),
            (m1.clone(), String::new(), Some("registry q.io is removed")),
            (m1.clone(), m2.clone(), None),
            (m2.clone(), m1.clone(), Some("mirror m2.io of registry q.io is removed")),
            (
                m1.clone(),
                registry("q.io", "", &[("m1.io", "")]),
                Some("mirror m1.io of registry q.io serves tags from now on"),
            ),
            (
                m1.clone(),
                registry("q.io", "", &[("m1.io", "tag-only")]),
                Some("mirror m1.io of registry q.io serves tags from now on"),
            ),
            (registry("q.io", "", &[("m1.io", "all")]), m1.clone(), None),
            (
                m1.clone(),
                registry("q.io", "", &[("m1.io", "digest-only"), ("m2.io", "tag-only")]),
                Some("mirror m2.io of registry q.io is new and serves tags"),
            ),
            (
                registry("q.io", "mirror-by-digest-only = true", &[("m1.io", "")]),
                registry("q.io", "mirror-by-digest-only = true", &[("m1.io", ""), ("m2.io", "")]),
                None,
            ),
            (
                m1.clone(),
                registry("q.io", "blocked = true", &[("m1.io", "digest-only")]),
                Some("`blocked` of registry q.io changes"),
            ),
            (
                m1.clone(),
                registry("q.io", "insecure = true", &[("m1.io", "digest-only")]),
                Some("`insecure` of registry q.io changes"),
            ),
            (
                "[[registry]]\nprefix = \"q.io\"\nlocation = \"a.io\"".into(),
                "[[registry]]\nprefix = \"q.io\"\nlocation = \"b.io\"".into(),
                Some("`location` of registry q.io changes"),
            ),
            (
                registry("q.io", "", &[]),
                "[[registry]]\nprefix = \"q.io\"\nlocation = \"q.io\"".into(),
                Some("`prefix` of registry q.io changes"),
            ),
            (String::new(), registry("q.io", "blocked = true", &[]), Some("registry q.io is new and has no mirror")),
            (String::new(), registry("q.io", "mirror-by-digest-only = true", &[]), None),
            (
                String::new(),
                registry("q.io", "", &[("m1.io", "tag-only")]),
                Some("registry q.io is new and has a mirror that serves tags"),
            ),
            // Wildcards have no location: they are told apart by prefix.
            (wildcard.into(), wildcard.replace("*.q", "*.r"), Some("registry *.q.io is removed")),
        ] {
            let why = why_drained(Some(before.as_bytes()), Some(after.as_bytes()));
            assert_eq!(why.as_deref(), expected, "\n{before}\n-->\n{after}");
        }
        assert_eq!(why_drained(None, Some(m1.as_bytes())), None);
        assert!(why_drained(Some(b"["), None).is_some_and(|why| why.starts_with("the old file cannot be read: ")));
        assert!(why_drained(None, Some(b"\xff")).is_some_and(|why| why.starts_with("the new file cannot be read: ")));
    }
}
