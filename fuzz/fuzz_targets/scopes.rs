//! Nesting: the index must say what the controller's rule says of each pair.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oc_imagepolicy::model::policy::Transport;
use oc_imagepolicy::model::scope::{is_nested, is_valid_scope};
use oc_imagepolicy::model::scope_index::ScopeIndex;

fuzz_target!(|text: &str| {
    let scopes: Vec<&str> = text.split('\n').take(24).collect();
    let index = ScopeIndex::new(scopes.iter().copied());
    for scope in &scopes {
        for transport in [Transport::Docker, Transport::Atomic] {
            let _ = is_valid_scope(&transport, scope);
        }
        let pairs = scopes.iter().any(|outer| is_nested(scope, outer));
        assert_eq!(index.contains(scope), pairs, "{scope:?} in {scopes:?}");
        let mut nested = index.nested_in(scope);
        nested.sort_unstable();
        // A text that stands there several times is found where it stands first.
        let is_first = |at: &usize| !scopes[..*at].contains(&scopes[*at]);
        let nests = |at: &usize| is_nested(scopes[*at], scope);
        let expected: Vec<usize> = (0..scopes.len()).filter(is_first).filter(nests).collect();
        assert_eq!(nested, expected, "in {scope:?}: {scopes:?}");
    }
});
