//! JSON as Go's `encoding/json` takes it, read in place: syntax, strings with Go's leniency about bad Unicode, and nothing held
//! in memory but the text.

use std::borrow::Cow;

use super::go_text::quote;

/// Go's limit.
const DEEPEST: usize = 10_000;

/// The end of the value that starts at `start`, after checking all of it.
///
/// # Errors
/// What is wrong with it. Go words it differently.
pub(super) fn end_of_value(text: &[u8], start: usize) -> Result<usize, String> {
    // One bit a level: whether it is an object.
    let mut levels: Vec<bool> = Vec::new();
    let mut at = start;
    loop {
        at = match text.get(at) {
            Some(&open @ (b'{' | b'[')) => {
                if levels.len() == DEEPEST {
                    return Err("exceeded max depth".into());
                }
                let is_object = open == b'{';
                at = skip_space(text, at + 1);
                if text.get(at) == Some(if is_object { &b'}' } else { &b']' }) {
                    at + 1
                } else {
                    levels.push(is_object);
                    at = if is_object { end_of_key(text, at)? } else { at };
                    continue;
                }
            }
            Some(b'"') => end_of_string(text, at)?,
            Some(b't') => end_of_word(text, at, b"true")?,
            Some(b'f') => end_of_word(text, at, b"false")?,
            Some(b'n') => end_of_word(text, at, b"null")?,
            Some(b'-' | b'0'..=b'9') => end_of_number(text, at)?,
            _ => return Err(unexpected(text, at, "looking for beginning of value")),
        };
        loop {
            let Some(&is_object) = levels.last() else { return Ok(at) };
            at = skip_space(text, at);
            match text.get(at) {
                Some(b',') => {
                    at = skip_space(text, at + 1);
                    at = if is_object { end_of_key(text, at)? } else { at };
                    break;
                }
                Some(b'}') if is_object => at += 1,
                Some(b']') if !is_object => at += 1,
                _ => return Err(unexpected(text, at, "after a value")),
            }
            levels.pop();
        }
    }
}

/// From the start of a key to the start of its value.
fn end_of_key(text: &[u8], at: usize) -> Result<usize, String> {
    if text.get(at) != Some(&b'"') {
        return Err(unexpected(text, at, "looking for beginning of object key string"));
    }
    let at = skip_space(text, end_of_string(text, at)?);
    if text.get(at) != Some(&b':') {
        return Err(unexpected(text, at, "after object key"));
    }
    Ok(skip_space(text, at + 1))
}

/// The end of the string whose opening quote is at `start`.
pub(super) fn end_of_string(text: &[u8], start: usize) -> Result<usize, String> {
    let mut at = start + 1;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let plain = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        // Without an early end, which makes it fast.
        if rest.iter().take(plain).fold(false, |any, b| any | (*b < 0x20)) {
            let control = rest.iter().position(|b| *b < 0x20).unwrap_or(plain);
            return Err(unexpected(text, at + control, "in string literal"));
        }
        at += plain;
        match (text.get(at), text.get(at + 1)) {
            (Some(b'"'), _) => return Ok(at + 1),
            (Some(_), Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => at += 2,
            (Some(_), Some(b'u')) => {
                for digit in at + 2..at + 6 {
                    if !text.get(digit).is_some_and(u8::is_ascii_hexdigit) {
                        return Err(unexpected(text, digit, "in \\u hexadecimal character escape"));
                    }
                }
                at += 6;
            }
            (Some(_), _) => return Err(unexpected(text, at + 1, "in string escape code")),
            (None, _) => return Err(unexpected(text, at, "in string literal")),
        }
    }
}

fn end_of_word(text: &[u8], start: usize, word: &[u8]) -> Result<usize, String> {
    let end = start + word.len();
    if text.get(start..end) == Some(word) { Ok(end) } else { Err(unexpected(text, start, "in a literal")) }
}

fn end_of_number(text: &[u8], start: usize) -> Result<usize, String> {
    let digits = |at: usize| -> Result<usize, String> {
        let count = text.get(at..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 { Err(unexpected(text, at, "in numeric literal")) } else { Ok(at + count) }
    };
    let mut at = start + usize::from(text.get(start) == Some(&b'-'));
    at = if text.get(at) == Some(&b'0') { at + 1 } else { digits(at)? };
    if text.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = matches!(text.get(at + 1), Some(b'+' | b'-'));
        at = digits(at + 1 + usize::from(sign))?;
    }
    Ok(at)
}

/// What stands where something else should. The byte's place is counted from 0.
pub(super) fn unexpected(text: &[u8], at: usize, wanted: &str) -> String {
    match text.get(at) {
        None => "unexpected end of JSON input".into(),
        Some(&b) => format!("invalid character {} {wanted} at byte {at}", quote(&String::from_utf8_lossy(&[b]))),
    }
}

pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the array that starts at `start`, if the text is well-formed; nothing is checked, so that it can be found fast.
pub(super) fn probable_end_of_array(text: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = start;
    loop {
        at += memchr::memchr3(b'"', b'[', b']', text.get(at..)?)?;
        match text.get(at)? {
            b'"' => {
                at += 1;
                loop {
                    at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
                    if text.get(at)? == &b'"' {
                        break;
                    }
                    at += 2;
                }
            }
            b'[' => depth += 1,
            _ if depth <= 1 => return Some(at + 1),
            _ => depth -= 1,
        }
        at += 1;
    }
}

/// The content of a checked string, its quotes included in `raw`. What is not Unicode becomes U+FFFD, as in Go.
pub(super) fn string(raw: &[u8]) -> Cow<'_, str> {
    let raw = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(b'\\', raw).is_none()
        && let Ok(text) = std::str::from_utf8(raw)
    {
        return text.into();
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(&b) = rest.first() {
        let taken = if b == b'\\' { push_escape(&mut text, rest) } else { push_plain(&mut text, rest) };
        rest = rest.get(taken..).unwrap_or_default();
    }
    text.into()
}

fn push_escape(text: &mut String, rest: &[u8]) -> usize {
    let c = match rest.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let first = code_unit(rest);
            // Half of a pair counts only together with the other half.
            if (0xd800..0xdc00).contains(&first)
                && let second @ 0xdc00..0xe000 = code_unit(rest.get(6..).unwrap_or_default())
            {
                let pair = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                text.push(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
                return 12;
            }
            text.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
            return 6;
        }
        Some(&other) => char::from(other),
        None => char::REPLACEMENT_CHARACTER,
    };
    text.push(c);
    2
}

/// The value of `\uXXXX`, or 0 where there is none.
fn code_unit(rest: &[u8]) -> u32 {
    let Some(b"\\u") = rest.get(..2) else { return 0 };
    let digits = rest.get(2..6).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// Up to the next escape; of bytes that are no Unicode, each becomes one U+FFFD.
fn push_plain(text: &mut String, rest: &[u8]) -> usize {
    let end = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
    let plain = rest.get(..end).unwrap_or_default();
    match std::str::from_utf8(plain) {
        Ok(valid) => {
            text.push_str(valid);
            end
        }
        Err(error) => {
            let valid = plain.get(..error.valid_up_to()).unwrap_or_default();
            text.push_str(std::str::from_utf8(valid).unwrap_or_default());
            text.push(char::REPLACEMENT_CHARACTER);
            valid.len() + 1
        }
    }
}

/// The members of a checked object in order: key and checked value. Nothing where `object` is none.
pub(super) fn members(object: &[u8]) -> impl Iterator<Item = (Cow<'_, str>, &[u8])> {
    let mut at = 1;
    std::iter::from_fn(move || {
        at = skip_space(object, at);
        if object.get(at) == Some(&b',') {
            at = skip_space(object, at + 1);
        }
        if object.get(at) != Some(&b'"') {
            return None;
        }
        let key_end = end_of_string(object, at).ok()?;
        let key = string(object.get(at..key_end)?);
        let value = skip_space(object, skip_space(object, key_end) + 1);
        at = end_of_value(object, value).ok()?;
        Some((key, object.get(value..at)?))
    })
}

/// The elements of a checked array in order. Nothing where `array` is none.
pub(super) fn elements(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 1;
    std::iter::from_fn(move || {
        at = skip_space(array, at);
        if array.get(at) == Some(&b',') {
            at = skip_space(array, at + 1);
        }
        if matches!(array.get(at), None | Some(b']')) {
            return None;
        }
        let start = at;
        at = end_of_value(array, start).ok()?;
        array.get(start..at)
    })
}

/// What a checked value is, in Go's words.
pub(super) fn kind(value: &[u8]) -> &'static str {
    match value.first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "null",
        _ => "number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_is_gos() {
        for (text, valid) in [
            ("{}", true),
            ("[ ]", true),
            (" {\"a\" : [1, -0.5e+3, \"\\u00e9\", {}, [] ,null,true,false]} ", true),
            ("\"\u{7f}\"", true),
            ("-0", true),
            ("1E5", true),
            ("", false),
            ("{", false),
            ("[1", false),
            ("[1,]", false),
            ("{\"a\":1,}", false),
            ("{'a':1}", false),
            ("{\"a\" 1}", false),
            ("{\"a\":1]", false),
            ("01", false),
            ("-", false),
            ("1.", false),
            ("+1", false),
            ("nul", false),
            ("\"\t\"", false),
            ("\"\\x\"", false),
            ("\"\\u12g4\"", false),
            ("\u{feff}{}", false),
        ] {
            let end = end_of_value(text.as_bytes(), skip_space(text.as_bytes(), 0));
            let whole = end.is_ok_and(|end| skip_space(text.as_bytes(), end) == text.len());
            assert_eq!(whole, valid, "{text}");
        }
        assert!(end_of_value(b"\"\xff\"", 0).is_ok());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
        assert!(end_of_value(&nested(10_000), 0).is_ok());
        assert_eq!(end_of_value(&nested(10_001), 0).unwrap_err(), "exceeded max depth");
        assert!(end_of_value(&b"[".repeat(1_000_000), 0).is_err());
    }

    #[test]
    fn strings_are_decoded_as_go_does() {
        for (raw, expected) in [
            (&b"\"a\\n\\t\\\"\\/\\\\\""[..], "a\n\t\"/\\"),
            (b"\"\\u00e9\\ud83d\\ude00\"", "é😀"),
            (b"\"\\ud83d\"", "\u{fffd}"),
            (b"\"\\ude00x\\ud83d\\u0041\"", "\u{fffd}x\u{fffd}A"),
            (b"\"\xe2\x82x\xff\xff\"", "\u{fffd}\u{fffd}x\u{fffd}\u{fffd}"),
            ("\"é\\u0000\"".as_bytes(), "é\0"),
        ] {
            assert_eq!(string(raw), expected);
        }
    }

    #[test]
    fn the_probable_end_is_the_end_of_what_is_well_formed() {
        for text in ["[]", "[\"]\"]", "[[1],[\"a\\\"]\\\\\"]]", "[{\"k\":[\"v\"]},2]"] {
            let text = format!("{text},tail]").into_bytes();
            assert_eq!(probable_end_of_array(&text, 0), end_of_value(&text, 0).ok());
        }
        assert_eq!(probable_end_of_array(b"[\"a\\", 0), None);
    }
}
