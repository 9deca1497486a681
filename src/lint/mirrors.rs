//! Where images are mirrored to, as rules compare it with scopes and lists.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::Context;
use super::policies::Asked;
use crate::model::scope_index::ScopeIndex;
use crate::snapshot::{Kind, Object, api};

/// One mirror of one rule of a mirror set; not a source that is in its own list.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The mirror set.
    pub set: &'a Object<api::MirrorSet>,
    /// Its kind.
    pub kind: Kind,
    /// The rule.
    pub rule: &'a api::MirrorRule,
    /// The mirror's text.
    pub mirror: &'a str,
    rule_index: usize,
    mirror_index: usize,
}

impl<'a> Place<'a> {
    /// `spec.imageDigestMirrors[0].mirrors[1]`
    pub fn path(&self) -> String {
        format!("spec.{}[{}].mirrors[{}]", self.kind.mirror_list(), self.rule_index, self.mirror_index)
    }

    /// `spec.imageDigestMirrors[0].source`
    pub fn source_path(&self) -> String {
        format!("spec.{}[{}].source", self.kind.mirror_list(), self.rule_index)
    }

    /// Host and port of the mirror.
    pub fn host(&self) -> &'a str {
        host(self.mirror)
    }

    /// What a name in the mirror is called where it comes from; nothing where the source is a wildcard.
    pub fn at_source(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(self.mirror)?;
        (!self.rule.source.starts_with('*')).then(|| format!("{}{rest}", self.rule.source))
    }
}

/// `1 other mirror`, `3 other mirrors`; `all` counts the one that is named already.
pub fn others(all: usize, what: &str) -> String {
    match all.saturating_sub(1) {
        1 => format!("1 other {what}"),
        more => format!("{more} other {what}s"),
    }
}

/// Host and port of a name.
pub fn host(name: &str) -> &str {
    name.split_once('/').map_or(name, |(host, _)| host)
}

/// Every mirror, put together once; see [`Context::mirrors`].
#[derive(Debug)]
pub struct Mirrors<'a> {
    /// In the order of the objects.
    pub places: Vec<Place<'a>>,
    /// Positions in [`Mirrors::places`], by mirror.
    by_mirror: ScopeIndex<'a>,
    tenants: ScopeIndex<'a>,
    signed: OnceLock<HashMap<&'a str, Asked<'a>, foldhash::fast::RandomState>>,
}

impl<'a> Mirrors<'a> {
    /// The most specific mirror that a name lies in; not one whose source the name lies in as well.
    pub fn around(&self, name: &str) -> Option<&Place<'a>> {
        const MOST: usize = 20;
        let around = self.by_mirror.containing(name).flat_map(|first| self.by_mirror.same(first).take(MOST));
        let place = around.filter_map(|position| self.places.get(position)).next()?;
        (!crate::model::scope::is_nested(name, &place.rule.source)).then_some(place)
    }
}

impl<'a> Context<'a> {
    /// Every mirror of every mirror set.
    pub fn mirrors(&self) -> &Mirrors<'a> {
        self.mirrors.get_or_init(|| {
            let places: Vec<Place<'a>> =
                self.snapshot.mirror_sets().flat_map(|(kind, set)| places(kind, set)).collect();
            Mirrors {
                by_mirror: ScopeIndex::new(places.iter().map(|place| place.mirror)),
                tenants: ScopeIndex::new(self.scopes().tenants.iter().map(|asked| asked.scope)),
                signed: OnceLock::new(),
                places,
            }
        })
    }

    /// A policy that requires signatures of images of a mirrored source, or of some of them. A ClusterImagePolicy where there is one.
    pub fn signed_source(&self, source: &str) -> Option<Asked<'a>> {
        let Mirrors { places, tenants, signed, .. } = self.mirrors();
        let scopes = self.scopes();
        let first = |index: &ScopeIndex<'a>, source: &str| {
            index.containing(source).next().or_else(|| index.nested_in(source).into_iter().min())
        };
        let signed = signed.get_or_init(|| {
            let mut sources: Vec<&'a str> = places.iter().map(|place| place.rule.source.as_str()).collect();
            sources.sort_unstable();
            sources.dedup();
            let policy_of = |source: &'a str| {
                let cluster = first(&scopes.cluster_index, source).and_then(|position| scopes.cluster.get(position));
                let tenant = || first(tenants, source).and_then(|position| scopes.tenants.get(position));
                Some((source, *cluster.or_else(tenant)?))
            };
            sources.into_iter().filter_map(policy_of).collect()
        });
        signed.get(source).copied()
    }
}

fn places<'a>(kind: Kind, set: &'a Object<api::MirrorSet>) -> impl Iterator<Item = Place<'a>> {
    set.value.spec.mirrors.iter().enumerate().flat_map(move |(rule_index, rule)| {
        let mirrors = rule.mirrors.iter().enumerate().filter(|(_, mirror)| **mirror != rule.source);
        mirrors.map(move |(mirror_index, mirror)| Place { set, kind, rule, mirror, rule_index, mirror_index })
    })
}
