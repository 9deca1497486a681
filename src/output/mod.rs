//! The only printer. A report says what it knows; this module makes a table, JSON, YAML or lines of it.

mod table;
mod terminal;
pub mod words;

use std::io::{self, Write};

use serde::Serialize;

use crate::model::private_keys;

pub use table::Table;
pub use terminal::{Color, Style, Terminal, clean, is_unsafe};

/// `apiVersion` of every document that is printed.
pub const API_VERSION: &str = "imagepolicy.openshift.io/v1alpha1";

/// `-o`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a person.
    #[default]
    Table,
    /// For a person with room.
    Wide,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// One JSON document a line.
    Jsonl,
    /// Just the names, for scripts.
    Name,
}

impl Format {
    /// Whether a program reads it.
    pub fn is_document(self) -> bool {
        matches!(self, Self::Json | Self::Yaml | Self::Jsonl)
    }
}

/// Something to say. JSON and YAML need no code of its own.
pub trait Report: Serialize {
    /// For a person; `t.wide()` tells whether there is room.
    fn human(&self, t: &mut Terminal) -> io::Result<()>;

    /// `-o name`
    fn names(&self, t: &mut Terminal) -> io::Result<()>;

    /// `-o yaml`: one document, unless it is a stream of objects.
    fn yaml(&self, t: &mut Terminal) -> io::Result<()> {
        t.write_raw(&yaml(self)?)
    }

    /// `-o jsonl`: the whole document on one line, unless it is a list of things.
    fn lines(&self, t: &mut Terminal) -> io::Result<()> {
        t.json_line(self)
    }
}

/// Prints a report in the format that was asked for.
pub fn print(report: &impl Report, format: Format, t: &mut Terminal) -> io::Result<()> {
    match format {
        Format::Table | Format::Wide => report.human(t)?,
        Format::Name => report.names(t)?,
        Format::Jsonl => report.lines(t)?,
        Format::Json => {
            t.write_raw(&json(report, true)?)?;
            t.end_line()?;
        }
        Format::Yaml => report.yaml(t)?,
    }
    t.flush()
}

/// A document as JSON: control characters escaped wherever a terminal would obey them, private keys taken out.
pub fn json(document: &(impl Serialize + ?Sized), pretty: bool) -> io::Result<String> {
    let text = encode(document, pretty)?;
    if !private_keys::contains_private_key(&text) {
        return Ok(text);
    }
    encode(&without_private_keys(document)?, pretty)
}

/// A document as YAML that kubectl reads as it was meant: serde_yaml would write `y` and `on` without quotes.
pub fn yaml(document: &(impl Serialize + ?Sized)) -> io::Result<String> {
    let text = crate::files::yaml::emit(&without_private_keys(document)?);
    if text.contains(|character| !matches!(character, '\n' | '\t') && is_unsafe(character)) {
        // The emitter leaves bidirectional overrides as they are. JSON is YAML, with everything escaped.
        return Ok(json(document, true)? + "\n");
    }
    Ok(text)
}

fn without_private_keys(document: &(impl Serialize + ?Sized)) -> io::Result<serde_json::Value> {
    fn walk(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => {
                if let std::borrow::Cow::Owned(redacted) = private_keys::redact(text) {
                    *text = redacted;
                }
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(walk),
            serde_json::Value::Object(fields) => fields.values_mut().for_each(walk),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(document)?;
    walk(&mut value);
    Ok(value)
}

fn encode(document: &(impl Serialize + ?Sized), pretty: bool) -> io::Result<String> {
    let mut bytes = Vec::with_capacity(4096);
    if pretty {
        let formatter = Escaping { inner: serde_json::ser::PrettyFormatter::new() };
        document.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))?;
    } else {
        let formatter = Escaping { inner: serde_json::ser::CompactFormatter };
        document.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))?;
    }
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// serde_json leaves DEL, the C1 controls and the bidirectional overrides as they are; a terminal obeys them.
struct Escaping<F> {
    inner: F,
}

impl<F: serde_json::ser::Formatter> serde_json::ser::Formatter for Escaping<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unsafe) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut characters = from.chars();
            let unsafe_one = characters.next().unwrap_or_default();
            let mut units = [0; 2];
            for unit in unsafe_one.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.begin_array(writer)
    }
    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.end_array(writer)
    }
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.inner.begin_array_value(writer, first)
    }
    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.end_array_value(writer)
    }
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.begin_object(writer)
    }
    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.end_object(writer)
    }
    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.inner.begin_object_key(writer, first)
    }
    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.begin_object_value(writer)
    }
    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_no_character_that_a_terminal_obeys() {
        let text = json(&serde_json::json!({"a": "x\u{9b}31m\u{7f}\u{202e}y\u{1b}[0m\nz"}), false).unwrap();
        assert_eq!(text, r#"{"a":"x\u009b31m\u007f\u202ey\u001b[0m\nz"}"#);
    }

    #[test]
    fn yaml_has_no_character_that_a_terminal_obeys() {
        let document = serde_json::json!({"a": "x\u{9b}31m\u{7f}\u{202e}y\u{1b}[0m\nz"});
        let text = yaml(&document).unwrap();
        assert!(!text.contains(|character| character != '\n' && is_unsafe(character)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), document);
    }

    #[test]
    fn yaml_is_read_as_it_was_meant() {
        let text = yaml(&serde_json::json!({"a": "y", "b": "on", "c": "1_0"})).unwrap();
        for (key, value) in [("a", "y"), ("b", "on"), ("c", "1_0")] {
            let quoted =
                text.lines().any(|line| line == format!("{key}: \"{value}\"") || line == format!("{key}: '{value}'"));
            assert!(quoted, "{text}");
        }
    }
}
