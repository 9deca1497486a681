//! GPG signatures that nodes ask for, and with which keyrings, as rules ask about them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Context;
use crate::compile::pools::PoolGroup;
use crate::compile::signed_registries::Signed;
use crate::model::policy::{KeySource, PolicyRequirement, Transport};
use crate::model::provenance::{ObjectRef, Provenance};

/// A scope of some pool's policy whose images need a GPG signature.
#[derive(Clone)]
pub struct Demand<'c> {
    /// Pools that ask for it.
    pub group: &'c PoolGroup,
    /// The names of these, and of others of which a rule says the same ([`together`]).
    pub pools: Vec<&'c str>,
    /// `""` for what no other scope covers.
    pub scope: String,
    /// Its keyrings.
    pub keys: &'c KeySource,
    /// Who asks for it: never empty.
    pub object: Arc<ObjectRef>,
    /// The field of that object.
    pub path: String,
}

impl Demand<'_> {
    /// For people: the scope, or what it stands for.
    pub fn place(&self) -> String {
        if self.scope.is_empty() { "every other registry".to_string() } else { super::shown(&self.scope).into_owned() }
    }

    /// Files of keyrings on the node.
    pub fn key_files(&self) -> impl Iterator<Item = &str> {
        let paths = match self.keys {
            KeySource::Path(path) => std::slice::from_ref(path),
            KeySource::Paths(paths) => paths,
            KeySource::Data(_) | KeySource::Datas(_) => &[],
        };
        paths.iter().map(|path| &**path)
    }

    /// An image that needs such a signature.
    pub fn witness(&self) -> Option<String> {
        (!self.scope.is_empty()).then(|| image_below(&self.scope))
    }
}

/// What a rule says of demands, once for each key: with the first demand, and the pools of all of them.
pub fn together<'c, K: Ord, T>(all: impl IntoIterator<Item = (K, Demand<'c>, T)>) -> Vec<(Demand<'c>, T)> {
    let mut places: BTreeMap<K, usize> = BTreeMap::new();
    let mut told: Vec<(Demand<'c>, T)> = Vec::new();
    for (key, demand, said) in all {
        match places.get(&key).and_then(|place| told.get_mut(*place)) {
            Some((first, _)) => {
                for pool in demand.pools {
                    if !first.pools.contains(&pool) {
                        first.pools.push(pool);
                    }
                }
            }
            None => {
                places.insert(key, told.len());
                told.push((demand, said));
            }
        }
    }
    told
}

/// The name that an image in a scope could have.
pub fn image_below(scope: &str) -> String {
    match scope.strip_prefix('*') {
        Some(suffix) => format!("registry{suffix}/app:latest"),
        None if super::fix::repository(scope).is_some() => scope.to_string(),
        None => format!("{scope}/app:latest"),
    }
}

impl Context<'_> {
    /// Every GPG signature that the cluster's policy asks for, group of pools by group: what nodes have beside the policy, keyrings and
    /// lookasides, may differ.
    pub fn gpg_demands(&self) -> Vec<Demand<'_>> {
        let mut demands = Vec::new();
        for group in self.groups() {
            let Some(policy) = group.files.policy.as_ref().map(|file| &file.policy) else { continue };
            let docker = policy.transports.get(&Transport::Docker);
            let scopes = docker.into_iter().flat_map(|scopes| scopes.iter());
            for (scope, list) in scopes.chain([("".into(), &policy.default)]) {
                for sourced in list.iter() {
                    let PolicyRequirement::SignedBy { keys, .. } = &*sourced.requirement else { continue };
                    let Some((object, path)) = sourced.from.iter().find_map(|from| self.written(from)) else {
                        continue;
                    };
                    let pools = group.names().collect();
                    demands.push(Demand { group, pools, scope: scope.to_string(), keys, object, path });
                }
            }
        }
        demands
    }

    /// What `signedRegistries` asks for; nothing where it is refused.
    pub fn signed(&self) -> &[Signed] {
        self.compiled.overlay().map(|overlay| overlay.signed.as_slice()).unwrap_or_default()
    }
}

impl Context<'_> {
    /// The same by scope.
    pub fn signed_index(&self) -> HashMap<&str, &Signed, foldhash::fast::RandomState> {
        self.signed().iter().map(|signed| (&*signed.scope, signed)).collect()
    }
}

/// The field that asks for a signed scope.
pub fn field(signed: &Signed) -> Option<(&Arc<ObjectRef>, String)> {
    signed.from.iter().find_map(|from| match from {
        Provenance::Field { object, path } => Some((object, path.to_string())),
        _ => None,
    })
}
