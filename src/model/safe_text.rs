//! Text that nobody obeys: neither a terminal nor a reader of documents. Whatever comes from an object goes through here on its way out.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;

use super::private_keys;

/// Whether a terminal would do something else with the character than show it: control characters, and those that
/// turn the direction of text so that it reads as something else.
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Text for a terminal: what it would obey is shown as an escape, the body of a private key is not shown.
pub fn clean(text: &str) -> Cow<'_, str> {
    let text = private_keys::redact(text);
    if !text.contains(is_unsafe) {
        return text;
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_unsafe(character) {
            cleaned.extend(character.escape_unicode());
        } else {
            cleaned.push(character);
        }
    }
    Cow::Owned(cleaned)
}

/// A document as JSON: control characters escaped wherever a terminal would obey them, private keys taken out.
///
/// # Errors
/// Where it cannot be serialized, which none of this program does.
pub fn json(document: &(impl Serialize + ?Sized), pretty: bool) -> io::Result<String> {
    let text = encode(document, pretty)?;
    if !private_keys::contains_private_key(&text) {
        return Ok(text);
    }
    encode(&without_private_keys(document)?, pretty)
}

/// A document as a value in which no private key is left.
///
/// # Errors
/// Where it cannot be serialized, which none of this program does.
pub fn without_private_keys(document: &(impl Serialize + ?Sized)) -> io::Result<serde_json::Value> {
    fn walk(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => {
                if let Cow::Owned(redacted) = private_keys::redact(text) {
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

/// Whether some text of a document has a character that JSON escapes with one of these letters.
///
/// # Errors
/// Where it cannot be serialized, which none of this program does.
pub fn has_escape(document: &(impl Serialize + ?Sized), letters: &[u8]) -> io::Result<bool> {
    let mut watch = Watch { letters, is_behind: false, found: false };
    let formatter = Escaping { inner: serde_json::ser::CompactFormatter };
    document.serialize(&mut serde_json::Serializer::with_formatter(&mut watch, formatter))?;
    Ok(watch.found)
}

/// Reads JSON on its way to nowhere.
struct Watch<'l> {
    letters: &'l [u8],
    is_behind: bool,
    found: bool,
}

impl Write for Watch<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.is_behind {
                self.found |= self.letters.contains(&rest[0]);
                self.is_behind = false;
                rest = &rest[1..];
            } else {
                let Some(at) = memchr::memchr(b'\\', rest) else { break };
                self.is_behind = true;
                rest = &rest[at + 1..];
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
    fn nothing_commands_the_terminal() {
        assert_eq!(clean("plain, né ✓"), "plain, né ✓");
        assert_eq!(clean("a\u{1b}[31m\nb\u{9b}\u{202e}"), "a\\u{1b}[31m\\u{a}b\\u{9b}\\u{202e}");
    }

    #[test]
    fn json_has_no_character_that_a_terminal_obeys() {
        let text = json(&serde_json::json!({"a": "x\u{9b}31m\u{7f}\u{202e}y\u{1b}[0m\nz"}), false).unwrap();
        assert_eq!(text, r#"{"a":"x\u009b31m\u007f\u202ey\u001b[0m\nz"}"#);
    }
}
