//! Many scopes at once: which of them contain a scope, which of them lie in one. Nesting is the controller's (domain.md 2.10);
//! what a node looks up is something else ([`crate::model::scopes::Scopes`]).

use std::collections::HashMap;
use std::sync::OnceLock;

use super::reference::Candidate;

type Map<'a> = HashMap<&'a str, u32, foldhash::fast::RandomState>;

/// The `.example.com` of `*.example.com`.
fn wildcard_suffix(scope: &str) -> Option<&str> {
    scope.starts_with("*.").then(|| &scope[1..])
}

/// What of a scope is compared with a wildcard. A colon anywhere hides a scope that has a path before it.
fn wildcard_host(scope: &str) -> Option<&str> {
    match scope.split_once(':') {
        Some((before, _)) if before.contains('/') => None,
        Some((before, _)) => Some(before),
        None => scope.split('/').next(),
    }
}

/// A scope that contains another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container<'a> {
    /// As it is written.
    Scope(&'a str),
    /// `*` and this.
    Wildcard(&'a str),
}

/// Everything that `sub` is nested in, itself first, then by path, then wildcards (where they are wanted), each once.
pub fn containers(sub: &str, with_wildcards: bool) -> impl Iterator<Item = Container<'_>> {
    let by_path = sub.rmatch_indices('/').map(|(end, _)| Container::Scope(&sub[..end]));
    let host = if with_wildcards { wildcard_host(sub) } else { None };
    // `*.a` and `*.a/b` have their own `*.a` above.
    let is_above =
        host.is_some_and(|host| host.starts_with("*.") && matches!(sub.as_bytes().get(host.len()), None | Some(b'/')));
    let by_wildcard = host.into_iter().flat_map(move |host| {
        let dots = host.match_indices('.').filter(move |(start, _)| !(*start == 1 && is_above));
        dots.map(move |(start, _)| Container::Wildcard(&host[start..]))
    });
    [Container::Scope(sub)].into_iter().chain(by_path).chain(by_wildcard)
}

/// Positions in a list of scopes, found by nesting. A text that stands in the list several times is found at its first
/// position; [`ScopeIndex::same`] has the others.
#[derive(Debug)]
pub struct ScopeIndex<'a> {
    scopes: Vec<&'a str>,
    by_text: Map<'a>,
    by_suffix: Map<'a>,
    /// Position → next position with the same text.
    next_same: HashMap<u32, u32, foldhash::fast::RandomState>,
    /// Which lengths occur, so that long texts are not hashed once for each of their slashes.
    lengths: Vec<bool>,
    sorted: OnceLock<Vec<u32>>,
    by_reversed_host: OnceLock<Vec<(Box<[u8]>, u32)>>,
}

impl<'a> ScopeIndex<'a> {
    /// Of scopes in the order given.
    pub fn new(scopes: impl IntoIterator<Item = &'a str>) -> Self {
        let scopes: Vec<&str> = scopes.into_iter().collect();
        let mut by_text = Map::with_capacity_and_hasher(scopes.len(), Default::default());
        let mut by_suffix = Map::default();
        let mut next_same = HashMap::default();
        let mut last_same: HashMap<u32, u32, foldhash::fast::RandomState> = HashMap::default();
        let mut lengths = vec![false; scopes.iter().map(|scope| scope.len() + 1).max().unwrap_or_default()];
        for (position, &scope) in scopes.iter().enumerate() {
            let position = position as u32;
            let first = *by_text.entry(scope).or_insert(position);
            if first != position {
                let last = last_same.insert(first, position).unwrap_or(first);
                next_same.insert(last, position);
                continue;
            }
            lengths[scope.len()] = true;
            if let Some(suffix) = wildcard_suffix(scope) {
                by_suffix.insert(suffix, position);
            }
        }
        Self {
            scopes,
            by_text,
            by_suffix,
            next_same,
            lengths,
            sorted: OnceLock::new(),
            by_reversed_host: OnceLock::new(),
        }
    }

    /// The position of exactly this text.
    pub fn position(&self, scope: &str) -> Option<usize> {
        self.by_text.get(scope).map(|position| *position as usize)
    }

    /// The position of exactly the scope that a node asks for.
    pub fn find(&self, candidate: Candidate<'_>) -> Option<usize> {
        match candidate {
            Candidate::Scope(scope) => self.lookup(scope),
            Candidate::Wildcard(_) if self.by_suffix.is_empty() => None,
            Candidate::Wildcard(_) => self.position(&candidate.text()),
        }
    }

    /// Every position of the text at a position that was found, that one first.
    pub fn same(&self, first: usize) -> impl Iterator<Item = usize> {
        let next = |position: &u32| self.next_same.get(position).copied();
        std::iter::successors(Some(first as u32), next).map(|position| position as usize)
    }

    /// Positions of the scopes that `sub` is nested in: itself, then by path, then wildcards, the most specific of each first.
    pub fn containing<'q>(&'q self, sub: &'q str) -> impl Iterator<Item = usize> + 'q {
        containers(sub, !self.by_suffix.is_empty()).filter_map(|container| match container {
            Container::Scope(scope) => self.lookup(scope),
            Container::Wildcard(suffix) => self.lookup_suffix(suffix),
        })
    }

    /// Whether `sub` is nested in any of the scopes.
    pub fn contains(&self, sub: &str) -> bool {
        self.containing(sub).next().is_some()
    }

    fn lookup(&self, scope: &str) -> Option<usize> {
        if !self.lengths.get(scope.len()).is_some_and(|occurs| *occurs) {
            return None;
        }
        self.position(scope)
    }

    fn lookup_suffix(&self, suffix: &str) -> Option<usize> {
        if !self.lengths.get(suffix.len() + 1).is_some_and(|occurs| *occurs) {
            return None;
        }
        self.by_suffix.get(suffix).map(|position| *position as usize)
    }

    /// Positions of the scopes that are nested in `sup`, itself among them, in no order.
    pub fn nested_in(&self, sup: &str) -> Vec<usize> {
        let mut found: Vec<usize> = self.position(sup).into_iter().collect();
        let suffix = wildcard_suffix(sup);
        let sorted = self.sorted.get_or_init(|| {
            let mut sorted: Vec<u32> = self.by_text.values().copied().collect();
            sorted.sort_unstable_by_key(|position| self.scopes[*position as usize]);
            sorted
        });
        let text = |position: &u32| self.scopes[*position as usize];
        let below = format!("{sup}/");
        let start = sorted.partition_point(|position| text(position) < below.as_str());
        let by_path = sorted[start..].iter().take_while(|position| text(position).starts_with(&below));
        match suffix {
            None => found.extend(by_path.map(|position| *position as usize)),
            Some(suffix) => {
                let is_found_by_host = |scope: &str| wildcard_host(scope).is_some_and(|host| host.ends_with(suffix));
                let others = by_path.filter(|position| !is_found_by_host(text(position)));
                found.extend(others.map(|position| *position as usize));
                let reversed: Vec<u8> = suffix.bytes().rev().collect();
                let hosts = self.by_reversed_host.get_or_init(|| self.reversed_hosts());
                let start = hosts.partition_point(|(host, _)| **host < *reversed);
                let by_host = hosts[start..].iter().take_while(|(host, _)| host.starts_with(&reversed));
                let others = by_host.filter(|(_, position)| text(position) != sup);
                found.extend(others.map(|(_, position)| *position as usize));
            }
        }
        found
    }

    fn reversed_hosts(&self) -> Vec<(Box<[u8]>, u32)> {
        let reversed = |position: &u32| {
            let host = wildcard_host(self.scopes[*position as usize])?;
            Some((host.bytes().rev().collect(), *position))
        };
        let mut hosts: Vec<(Box<[u8]>, u32)> = self.by_text.values().filter_map(reversed).collect();
        hosts.sort_unstable();
        hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::scope::is_nested;
    use proptest::prelude::*;

    #[test]
    fn the_same_text_is_found_once_and_its_other_places_on_demand() {
        let index = ScopeIndex::new(["a.io", "b.io", "a.io", "a.io"]);
        assert_eq!(index.containing("a.io/x").collect::<Vec<_>>(), [0]);
        assert_eq!(index.same(0).collect::<Vec<_>>(), [0, 2, 3]);
        assert_eq!(index.same(1).collect::<Vec<_>>(), [1]);
    }

    fn scope() -> impl Strategy<Value = String> {
        "(\\*?\\.?[ab]?\\.?[ab]?|\\*\\.a|\\*\\.a\\.b|a\\.b)(:5|:5/)?(/[ab]?){0,3}(:t|@d:1)?"
    }

    proptest! {
        #[test]
        fn the_index_agrees_with_pair_by_pair(scopes in prop::collection::vec(scope(), 0..30), asked in scope()) {
            let index = ScopeIndex::new(scopes.iter().map(String::as_str));
            let first = |position: &usize| scopes.iter().position(|scope| *scope == scopes[*position]) == Some(*position);
            let expected: Vec<usize> =
                (0..scopes.len()).filter(first).filter(|position| is_nested(&asked, &scopes[*position])).collect();
            let mut found: Vec<usize> = index.containing(&asked).collect();
            found.sort_unstable();
            prop_assert_eq!(found, expected, "containing {}", &asked);
            let expected: Vec<usize> =
                (0..scopes.len()).filter(first).filter(|position| is_nested(&scopes[*position], &asked)).collect();
            let mut found = index.nested_in(&asked);
            found.sort_unstable();
            prop_assert_eq!(found, expected, "nested in {}", &asked);
        }
    }
}
