//! The only printer. A report says what it knows; this module makes a table, JSON, YAML or lines of it.

mod list;
mod table;
mod terminal;
pub mod words;

use std::io;

use serde::Serialize;

use crate::model::safe_text::without_private_keys;

pub use crate::model::safe_text::{clean, is_unsafe, json};
pub use list::{json_list, yaml_list};
pub use table::Table;
pub use terminal::{Color, Look, Style, Terminal};

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

    /// `-o json`: one document.
    fn json(&self, t: &mut Terminal) -> io::Result<()> {
        t.write_raw(&json(self, true)?)?;
        t.end_line()
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
        Format::Json => report.json(t)?,
        Format::Yaml => report.yaml(t)?,
    }
    t.flush()
}

/// A document as YAML that kubectl reads as it was meant: serde_yaml would write `y` and `on` without quotes.
pub fn yaml(document: &(impl Serialize + ?Sized)) -> io::Result<String> {
    let text = crate::files::yaml::emit(&without_private_keys(document)?);
    if commands_terminal(&text) {
        // The emitter leaves bidirectional overrides as they are. JSON is YAML, with everything escaped.
        return Ok(json(document, true)? + "\n");
    }
    Ok(text)
}

fn commands_terminal(yaml: &str) -> bool {
    yaml.contains(|character| !matches!(character, '\n' | '\t') && is_unsafe(character))
}

#[cfg(test)]
mod tests {
    use super::*;

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
