//! Texts as Go prints them, for refusals in the engine's and the controller's own words.

use std::fmt::Write;

/// `%q`: in double quotes, with Go's escapes for what cannot be printed.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            c if is_printable(c) => quoted.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..0x20 | 0x7f => write!(quoted, "\\x{code:02x}"),
                    0..0x10000 => write!(quoted, "\\u{code:04x}"),
                    _ => write!(quoted, "\\U{code:08x}"),
                };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Letters, marks, numbers, punctuation and symbols: Go and Rust agree on them. The standard library tells which characters are none of
/// these only by escaping them; a combining mark it leaves alone after another character.
fn is_printable(c: char) -> bool {
    let mut buffer = [b'a'; 5];
    let length = c.len_utf8();
    c.encode_utf8(&mut buffer[1..]);
    let text = std::str::from_utf8(&buffer[..=length]).unwrap_or_default();
    text.escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        for (text, quoted) in [
            ("", r#""""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\n\t\r\u{7}\u{8}\u{b}\u{c}\0\u{1f}\u{7f}", r#""\n\t\r\a\b\v\f\x00\x1f\x7f""#),
            ("é日e\u{301}", "\"é日e\u{301}\""),
            ("\u{85}\u{a0}\u{200b}\u{2028}\u{fffd}", "\"\\u0085\\u00a0\\u200b\\u2028\u{fffd}\""),
            ("\u{e000}\u{10ffff}😀", "\"\\ue000\\U0010ffff😀\""),
        ] {
            assert_eq!(quote(text), quoted);
        }
    }
}
