//! The scopes of one transport of a policy.json, made for looking up without allocating.

use std::collections::HashMap;
use std::sync::Arc;

use super::encoding::bytewise_order;
use super::policy::Requirements;

/// Scope → requirements. Wildcards (`*.example.com`) are kept apart by their suffix (`example.com`), so that a lookup can ask
/// with a slice of the image's host.
#[derive(Clone, Debug, Default)]
pub struct Scopes {
    plain: HashMap<Arc<str>, Requirements, foldhash::fast::RandomState>,
    lengths: Lengths,
    wildcards: HashMap<Box<str>, Requirements, foldhash::fast::RandomState>,
}

impl Scopes {
    /// With room for so many scopes.
    pub fn with_capacity(scopes: usize) -> Self {
        let plain = HashMap::with_capacity_and_hasher(scopes, Default::default());
        Self { plain, ..Self::default() }
    }

    /// Sets what holds for a scope, and returns what held before. `""` is the transport's own default.
    pub fn insert(&mut self, scope: &str, requirements: Requirements) -> Option<Requirements> {
        match scope.strip_prefix("*.") {
            Some(suffix) => self.wildcards.insert(suffix.into(), requirements),
            None => self.insert_plain(scope.into(), requirements),
        }
    }

    /// The same with a text that others hold as well.
    pub fn insert_shared(&mut self, scope: &Arc<str>, requirements: Requirements) -> Option<Requirements> {
        match scope.strip_prefix("*.") {
            Some(suffix) => self.wildcards.insert(suffix.into(), requirements),
            None => self.insert_plain(Arc::clone(scope), requirements),
        }
    }

    fn insert_plain(&mut self, scope: Arc<str>, requirements: Requirements) -> Option<Requirements> {
        self.lengths.add(scope.len());
        self.plain.insert(scope, requirements)
    }

    /// By the scope's text.
    pub fn get(&self, scope: &str) -> Option<&Requirements> {
        match scope.strip_prefix("*.") {
            Some(suffix) => self.wildcards.get(suffix),
            None => self.plain.get(scope),
        }
    }

    /// By the text of a scope that is no wildcard.
    pub fn get_plain(&self, scope: &str) -> Option<&Requirements> {
        if self.lengths.has(scope.len()) { self.plain.get(scope) } else { None }
    }

    /// What holds for `*.` + `suffix`.
    pub fn get_wildcard(&self, suffix: &str) -> Option<&Requirements> {
        if self.wildcards.is_empty() { None } else { self.wildcards.get(suffix) }
    }

    /// How many scopes there are.
    pub fn len(&self) -> usize {
        self.plain.len() + self.wildcards.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in no order. The text of a wildcard is put together here.
    pub fn iter(&self) -> impl Iterator<Item = (std::borrow::Cow<'_, str>, &Requirements)> {
        let plain = self.plain.iter().map(|(scope, requirements)| ((&**scope).into(), requirements));
        plain.chain(self.wildcards.iter().map(|(suffix, requirements)| (format!("*.{suffix}").into(), requirements)))
    }

    /// All of them, bytewise by scope, as Go writes a map.
    pub fn sorted(&self) -> Vec<(std::borrow::Cow<'_, str>, &Requirements)> {
        let all: Vec<_> = self.iter().collect();
        let order = bytewise_order(all.iter().map(|(scope, _)| &**scope));
        let mut all: Vec<_> = all.into_iter().map(Some).collect();
        order.into_iter().filter_map(|position| all[position as usize].take()).collect()
    }
}

/// Which lengths occur among many texts, so that few lookups are made for what cannot be there.
#[derive(Clone, Debug, Default)]
pub(super) struct Lengths(Vec<u64>);

impl Lengths {
    pub(super) fn add(&mut self, length: usize) {
        let word = length / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (length % 64);
    }

    pub(super) fn has(&self, length: usize) -> bool {
        self.0.get(length / 64).is_some_and(|word| word & (1 << (length % 64)) != 0)
    }
}
