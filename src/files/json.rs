//! JSON text → documents. A key that is there twice is an error here, too.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::scalars;
use super::yaml::{self, Budget, Document, Remark};

const NODE_WEIGHT: usize = std::mem::size_of::<Value>();
const DUPLICATE: &str = "duplicate key";

/// All documents of a text, one behind the other with white space between them at most.
pub(super) fn documents(text: &str, budget: &Budget) -> Result<Vec<Document>, Remark> {
    let mut documents = Vec::new();
    let mut start = text.len() - text.trim_start_matches('\u{feff}').len();
    loop {
        let rest = text.get(start..).unwrap_or_default();
        start += rest.len() - rest.trim_ascii_start().len();
        let rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(documents);
        }
        let mut deserializer = serde_json::Deserializer::from_str(rest);
        let value = Strict(budget).deserialize(&mut deserializer).map_err(|error| problem(rest, start, &error))?;
        let length = deserializer.into_iter::<de::IgnoredAny>().byte_offset();
        documents.push(Document { value, range: start..start + length, warnings: Vec::new() });
        start += length;
    }
}

fn problem(source: &str, base: usize, error: &serde_json::Error) -> Remark {
    let text = error.to_string();
    if text.starts_with(DUPLICATE) {
        // serde_json does not know where the first of the two stands; JSON is YAML enough to find out.
        let found = yaml::general(source, base, &Budget::default(), &mut Vec::new());
        if let Err(remark) = found.as_ref().map_err(Clone::clone)
            && remark.other.is_some()
        {
            return remark;
        }
    }
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    let mut lines = source.split_inclusive('\n');
    let before: usize = lines.by_ref().take(error.line().saturating_sub(1)).map(str::len).sum();
    let offset = before + error.column().saturating_sub(1);
    Remark::new(base + offset.min(source.len()), format!("not JSON: {message}"))
}

struct Strict<'a>(&'a Budget);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        // kubectl knows int64 and float64 only.
        Ok(i64::try_from(value).map_or_else(|_| (value as f64).into(), Value::from))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(match scalars::whole(value) {
            Some(value) => value.into(),
            None => Number::from_f64(value).map_or(Value::Null, Value::Number),
        })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.0.spend(text.len()).map_err(E::custom)?;
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Strict(self.0))? {
            self.0.spend(NODE_WEIGHT).map_err(de::Error::custom)?;
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(de::Error::custom(format_args!("{DUPLICATE} `{}`", yaml::shorten(&key))));
            }
            self.0.spend(2 * NODE_WEIGHT + key.len()).map_err(de::Error::custom)?;
            let value = entries.next_value_seed(Strict(self.0))?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
