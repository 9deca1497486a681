//! JSON decoded down to a few fields: the rest is passed over without being kept, however much it is.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What is kept of a value: of a map these keys, of a list the same of each item, and scalars as they are.
#[derive(Clone, Copy)]
pub(super) struct Shape(pub(super) &'static [Kept]);

/// A key that is kept, and what of its value.
pub(super) struct Kept(&'static str, Shape);

const SCALAR: Shape = Shape(&[]);
const CONTAINERS: Shape = Shape(&[Kept("name", SCALAR), Kept("image", SCALAR), Kept("imagePullPolicy", SCALAR)]);
const LABELS: Shape = Shape(&[Kept("openshift.io/build.name", SCALAR)]);
const STATUSES: Shape = Shape(&[Kept("name", SCALAR), Kept("imageID", SCALAR)]);

/// What [`crate::snapshot::api::Pod`] has, and what names it.
pub(super) const POD: [Kept; 5] = [
    Kept("apiVersion", SCALAR),
    Kept("kind", SCALAR),
    Kept("metadata", Shape(&[Kept("name", SCALAR), Kept("namespace", SCALAR), Kept("labels", LABELS)])),
    Kept(
        "spec",
        Shape(&[
            Kept("containers", CONTAINERS),
            Kept("initContainers", CONTAINERS),
            Kept("ephemeralContainers", CONTAINERS),
        ]),
    ),
    Kept(
        "status",
        Shape(&[
            Kept("phase", SCALAR),
            Kept("startTime", SCALAR),
            Kept("containerStatuses", STATUSES),
            Kept("initContainerStatuses", STATUSES),
        ]),
    ),
];

impl<'de> DeserializeSeed<'de> for Shape {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.0.iter().find(|Kept(name, _)| **name == *key) {
                Some(Kept(name, shape)) => {
                    kept.insert((*name).to_string(), map.next_value_seed(*shape)?);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        while let Some(item) = list.next_element_seed(self)? {
            kept.push(item);
        }
        Ok(Value::Array(kept))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    use crate::snapshot::api;

    fn trimmed(text: &str) -> Result<Value, serde_json::Error> {
        Shape(&POD).deserialize(&mut serde_json::Deserializer::from_str(text))
    }

    #[test]
    fn the_rest_is_passed_over() {
        let container =
            json!({"name": "c", "image": "a.io/x", "imagePullPolicy": "Always", "env": [{"name": "x", "value": "y"}]});
        let pod = json!({
            "metadata": {"name": "p", "namespace": "n", "managedFields": [{"f:spec": {"f:containers": {}}}]},
            "spec": {"containers": [container], "initContainers": null, "volumes": [1, 2.5, true, null, {"name": []}]},
            "status": {"phase": "Running", "containerStatuses": [{"name": "c", "imageID": "a.io/x@sha256:0", "ready": true}]},
        });
        let expected = json!({
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {"containers": [{"name": "c", "image": "a.io/x", "imagePullPolicy": "Always"}], "initContainers": null},
            "status": {"phase": "Running", "containerStatuses": [{"name": "c", "imageID": "a.io/x@sha256:0"}]},
        });
        assert_eq!(trimmed(&pod.to_string()).unwrap(), expected);
        // A wrong type is for the snapshot to tell of.
        assert_eq!(
            trimmed(r#"{"spec": {"containers": "x\n"}, "kind": 7}"#).unwrap(),
            json!({"spec": {"containers": "x\n"}, "kind": 7})
        );
        assert!(trimmed(&format!("{{\"x\": {}", "[".repeat(100_000))).is_err());
    }

    /// Every field that is decoded comes through: each is given the value that shows that it was read.
    #[test]
    fn all_that_is_decoded_is_kept() {
        let container = json!([{"name": "n", "image": "i", "imagePullPolicy": "p"}]);
        let status = json!([{"name": "n", "imageID": "d"}]);
        let whole = json!({
            "spec": {"containers": container, "initContainers": container, "ephemeralContainers": container},
            "status": {"phase": "Running", "startTime": "t", "containerStatuses": status, "initContainerStatuses": status},
        });
        let decoded = |value: &Value| format!("{:?}", api::Pod::deserialize(value).unwrap());
        assert_eq!(decoded(&trimmed(&whole.to_string()).unwrap()), decoded(&whole));
        assert!(!decoded(&whole).contains("\"\"") && !decoded(&whole).contains("[]"), "{}", decoded(&whole));
    }
}
