//! The same cluster with some of its objects changed.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Identity, Kind, Laying, Object, Origin, Snapshot, identity};

/// An object that is to be something else, or gone.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Its kind: one of the policy kinds, or MachineConfig.
    pub kind: Kind,
    /// Empty for cluster-scoped ones.
    pub namespace: &'a str,
    /// `metadata.name`
    pub name: &'a str,
    /// What it will be; `None` for gone.
    pub now: Option<&'a Value>,
}

impl Snapshot {
    /// A copy in which objects are replaced where they stood, added at the end, or gone. [`Snapshot::beneath`] stays as it is.
    pub fn changed<'a>(&self, changes: impl IntoIterator<Item = Change<'a>>) -> Snapshot {
        let mut touched: HashSet<Identity> = HashSet::new();
        let mut fresh = Snapshot::new(self.source.clone());
        for Change { kind, namespace, name, now } in changes {
            touched.insert(identity(kind, namespace, name));
            if let Some(now) = now {
                // What cannot be an object at all was never read from anywhere.
                let _ = fresh.insert(now.clone(), Origin::Live, Laying::OnTop);
            }
        }
        let mut all = self.clone();
        macro_rules! splice {
            ($($field:ident: $kind:ident),*) => { $(
                all.$field = spliced(Kind::$kind, std::mem::take(&mut all.$field), std::mem::take(&mut fresh.$field), &touched);
            )* };
        }
        splice!(cluster_image_policies: ClusterImagePolicy, image_policies: ImagePolicy);
        splice!(digest_mirror_sets: ImageDigestMirrorSet, tag_mirror_sets: ImageTagMirrorSet);
        splice!(content_source_policies: ImageContentSourcePolicy, machine_configs: MachineConfig);
        if touched.contains(&identity(Kind::Image, "", "cluster")) {
            all.image = fresh.image.take();
        }
        let is_touched = |object: &Object<()>| {
            let kind = Kind::named(&object.reference.kind);
            kind.is_some_and(|kind| touched.contains(&id(kind, object)))
        };
        all.undecodable.retain(|object| !is_touched(object));
        all.undecodable.extend(fresh.undecodable);
        all.gaps.extend(fresh.gaps);
        for identity in &touched {
            all.index.remove(identity);
        }
        for (identity, hash) in fresh.index {
            all.mark_read(identity.0);
            all.index.insert(identity, hash);
        }
        all
    }
}

fn id<T>(kind: Kind, object: &Object<T>) -> Identity {
    identity(kind, &object.metadata.namespace, &object.metadata.name)
}

fn spliced<T>(
    kind: Kind,
    before: Vec<Object<T>>,
    fresh: Vec<Object<T>>,
    touched: &HashSet<Identity>,
) -> Vec<Object<T>> {
    if touched.is_empty() {
        return before;
    }
    let names: Vec<Identity> = fresh.iter().map(|object| id(kind, object)).collect();
    let mut fresh: HashMap<Identity, Object<T>> = names.iter().cloned().zip(fresh).collect();
    let mut all: Vec<Object<T>> = before
        .into_iter()
        .filter_map(|object| {
            let name = id(kind, &object);
            if touched.contains(&name) { fresh.remove(&name) } else { Some(object) }
        })
        .collect();
    all.extend(names.iter().filter_map(|name| fresh.remove(name)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Source;
    use serde_json::json;

    fn policy(name: &str, scope: &str) -> Value {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy",
               "metadata": {"name": name}, "spec": {"scopes": [scope]}})
    }

    #[test]
    fn replaced_where_it_stood_added_at_the_end_or_gone() {
        let mut snapshot = Snapshot::new(Source::Manifests);
        for name in ["a", "b", "c"] {
            snapshot.insert(policy(name, "x.io"), Origin::Live, Laying::Beside).unwrap();
        }
        let (new, changed) = (policy("d", "d.io"), policy("b", "b.io"));
        let change = |name, now| Change { kind: Kind::ClusterImagePolicy, namespace: "", name, now };
        let after = snapshot.changed([change("d", Some(&new)), change("b", Some(&changed)), change("a", None)]);
        let scopes: Vec<(&str, &str)> = after
            .cluster_image_policies
            .iter()
            .map(|policy| (policy.metadata.name.as_str(), policy.value.spec.scopes[0].as_str()))
            .collect();
        assert_eq!(scopes, [("b", "b.io"), ("c", "x.io"), ("d", "d.io")]);
        assert_eq!(after.objects(), 3);
        assert_eq!(snapshot.objects(), 3);
        let image = json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"}});
        let change = |now| Change { kind: Kind::Image, namespace: "", name: "cluster", now };
        let with = after.changed([change(Some(&image))]);
        assert!(with.image.is_some() && with.has_read(Kind::Image));
        assert!(with.changed([change(None)]).image.is_none());
    }
}
