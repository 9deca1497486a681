//! Which of many fixes go together, and what they come to as commands.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::{Edit, Fix, Operation, Step, delete, patch, steps};
use crate::model::provenance::ObjectRef;

/// What became of a fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is made.
    Made,
    /// Another fix touches the same field: after that one, look again.
    Later,
    /// It cannot be made here, and why.
    Impossible(String),
}

/// Lists that may become empty without meaning something else. An empty list of allowed registries allows everything, and a policy
/// without scopes is refused.
const MAY_BE_EMPTY: [&str; 2] = ["blockedRegistries", "insecureRegistries"];

/// Goes through fixes in their order and takes each that touches nothing which an earlier one touches. `raw` looks up an object as it
/// was written.
pub fn choose<'o>(fixes: &[&Fix], raw: impl Fn(&ObjectRef) -> Option<&'o Value>) -> Vec<Fate> {
    let mut touched = Touched::default();
    fixes.iter().map(|fix| touched.claim(&fix.edits, &raw)).collect()
}

#[derive(Default)]
struct Touched<'f> {
    claims: BTreeMap<(&'f ObjectRef, Vec<Step>), &'f Operation>,
    deleted: HashSet<&'f ObjectRef>,
    edited: HashSet<&'f ObjectRef>,
    /// How many entries go out of a list.
    removed: HashMap<(&'f ObjectRef, Vec<Step>), usize>,
}

impl<'f> Touched<'f> {
    fn claim<'o>(&mut self, edits: &'f [Edit], raw: impl Fn(&ObjectRef) -> Option<&'o Value>) -> Fate {
        let mut new = Vec::new();
        let mut going: HashMap<(&ObjectRef, Vec<Step>), usize> = HashMap::new();
        for Edit { object, operation } in edits {
            let object: &ObjectRef = object;
            let Some(value) = raw(object) else { return Fate::Impossible(format!("{object} is not known")) };
            if self.deleted.contains(object) {
                // Whatever was wrong with it is gone.
                return if edits.len() == 1 { Fate::Made } else { Fate::Later };
            }
            if *operation == Operation::Delete && self.edited.contains(object) {
                return Fate::Later;
            }
            let claim = (object, steps(operation.path()));
            if edits.len() == 1 && self.claims.get(&claim).is_some_and(|other| *other == operation) {
                return Fate::Made;
            }
            if self.is_taken(&claim, operation) {
                return Fate::Later;
            }
            if let (Operation::Remove { path, .. }, Some((Step::Index(_), list))) = (operation, claim.1.split_last()) {
                let list = (object, list.to_vec());
                let going = going.entry(list.clone()).or_default();
                *going += 1;
                let length = find(value, &list.1).and_then(Value::as_array).map_or(0, Vec::len);
                let is_free = matches!(list.1.last(), Some(Step::Key(key)) if MAY_BE_EMPTY.contains(&&**key));
                let all = *going + self.removed.get(&list).copied().unwrap_or_default() >= length;
                if all && !is_free && !replaced_around(edits, path) {
                    return match self.removed.get(&list) {
                        Some(_) => Fate::Later,
                        None => Fate::Impossible(format!("{object}: nothing would be left in the list of {path}")),
                    };
                }
            }
            new.push((claim, operation));
        }
        for (list, number) in going {
            *self.removed.entry(list).or_default() += number;
        }
        for (claim, operation) in new {
            self.edited.insert(claim.0);
            match operation {
                Operation::Delete => {
                    self.deleted.insert(claim.0);
                }
                _ => {
                    self.claims.insert(claim, operation);
                }
            }
        }
        Fate::Made
    }

    /// Whether something around, at or below the field is spoken for.
    fn is_taken(&self, (object, path): &(&'f ObjectRef, Vec<Step>), operation: &Operation) -> bool {
        let mut around = (0..=path.len()).filter(|length| {
            let Some(claim) = path.get(..*length).and_then(|part| self.claims.get(&(*object, part.to_vec()))) else {
                return false;
            };
            // An entry may go out of a list that another one is added to.
            !(matches!(claim, Operation::Append { .. }) && *length < path.len())
        });
        let below = self.claims.range((*object, path.clone())..).next();
        let is_below = below.is_some_and(|((other, below), _)| other == object && below.starts_with(path));
        around.next().is_some() || (is_below && !matches!(operation, Operation::Append { .. }))
    }
}

/// Whether the same fix adds to the list that loses an entry.
fn replaced_around(edits: &[Edit], path: &str) -> bool {
    edits.iter().any(|edit| matches!(&edit.operation, Operation::Append { list, .. } if path.starts_with(&**list)))
}

fn find<'v>(value: &'v Value, path: &[Step]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(index),
    })
}

/// Fixes that go together as commands to type, one for each object: a patch is made as a whole or not at all, and no entry moves
/// before it is taken out.
pub fn commands<'f>(fixes: impl IntoIterator<Item = &'f Fix>) -> Vec<String> {
    let mut order: Vec<&ObjectRef> = Vec::new();
    let mut of_objects: HashMap<&ObjectRef, Vec<&Operation>> = HashMap::new();
    for edit in fixes.into_iter().flat_map(|fix| &fix.edits) {
        let operations = of_objects.entry(&edit.object).or_insert_with(|| {
            order.push(&edit.object);
            Vec::new()
        });
        if !operations.contains(&&edit.operation) {
            operations.push(&edit.operation);
        }
    }
    let command = |object: &ObjectRef| {
        let mut operations = of_objects.remove(object).unwrap_or_default();
        if operations.contains(&&Operation::Delete) {
            return delete(object);
        }
        operations.sort_by_key(|operation| match operation {
            Operation::Replace { .. } | Operation::Set { .. } => (0, None),
            Operation::Remove { path, .. } => (1, Some(Reverse(steps(path)))),
            Operation::Append { .. } | Operation::Delete => (2, None),
        });
        patch(object, Value::Array(operations.iter().flat_map(|operation| operation.json_patch()).collect()))
    };
    order.into_iter().map(command).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn object() -> Arc<ObjectRef> {
        Arc::new(ObjectRef {
            api_version: "".into(),
            kind: "ImagePolicy".into(),
            namespace: Some("shop".into()),
            name: "web".into(),
        })
    }

    #[test]
    fn a_list_is_not_emptied() {
        let object = object();
        let raw = json!({"spec": {"scopes": ["a", "b"], "blockedRegistries": ["c"]}});
        let remove = |path: &str, value: &str| Fix::safe("").remove(&object, path, value);
        let fixes = [
            remove("spec.scopes[0]", "a"),
            remove("spec.scopes[1]", "b"),
            remove("spec.blockedRegistries[0]", "c"),
            remove("spec.scopes[1]", "b").append(&object, "spec.scopes", "d"),
        ];
        let fates = choose(&fixes.iter().collect::<Vec<_>>(), |_| Some(&raw));
        assert_eq!(fates, [Fate::Made, Fate::Later, Fate::Made, Fate::Made]);
        let raw = json!({"spec": {"scopes": ["a"]}});
        assert!(matches!(choose(&[&fixes[0]], |_| Some(&raw))[0], Fate::Impossible(_)));
    }

    #[test]
    fn one_command_an_object_and_the_last_entry_first() {
        let object = object();
        let fixes = [
            Fix::safe("").remove(&object, "spec.scopes[2]", "c"),
            Fix::safe("").remove(&object, "spec.scopes[10]", "k"),
            Fix::safe("").append(&object, "spec.scopes", "z"),
            Fix::safe("").replace(&object, "spec.x", "1", "2"),
            Fix::safe("").remove(&object, "spec.scopes[2]", "c"),
        ];
        assert_eq!(
            commands(&fixes),
            [concat!(
                "oc patch imagepolicy.config web -n shop --type=json -p '[",
                r#"{"op":"test","path":"/spec/x","value":"1"},{"op":"replace","path":"/spec/x","value":"2"},"#,
                r#"{"op":"test","path":"/spec/scopes/10","value":"k"},{"op":"remove","path":"/spec/scopes/10"},"#,
                r#"{"op":"test","path":"/spec/scopes/2","value":"c"},{"op":"remove","path":"/spec/scopes/2"},"#,
                r#"{"op":"add","path":"/spec/scopes/-","value":"z"}]'"#
            )]
        );
        let gone = [Fix::safe("").remove(&object, "spec.x", "1"), Fix::risky("").delete(&object)];
        assert_eq!(commands(&gone), ["oc delete imagepolicy.config web -n shop"]);
    }
}
