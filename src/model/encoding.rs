//! Text as the controller's libraries write it: Go's JSON, go-yaml v2 and BurntSushi's TOML.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

/// Appends a string as `encoding/json` writes it, quotes included: `<`, `>` and `&` are escaped too (domain.md 2.6).
pub fn push_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        let escaped: &[u8] = match c {
            '"' => b"\\\"",
            '\\' => b"\\\\",
            '\n' => b"\\n",
            '\r' => b"\\r",
            '\t' => b"\\t",
            '\u{8}' => b"\\b",
            '\u{c}' => b"\\f",
            '<' => b"\\u003c",
            '>' => b"\\u003e",
            '&' => b"\\u0026",
            '\u{2028}' => b"\\u2028",
            '\u{2029}' => b"\\u2029",
            c if c < ' ' => {
                out.extend_from_slice(&text.as_bytes()[plain..at]);
                out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
                plain = at + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        out.extend_from_slice(escaped);
        plain = at + c.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

/// Appends a basic TOML string as BurntSushi's encoder writes it, quotes included.
pub fn push_toml_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || c == '\u{7f}' => _ = write!(out, "\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The positions of texts in bytewise order, equal ones in the order in which they stand.
///
/// Most comparisons are settled by a word of each text that is at hand, the first one behind what all of them begin with.
pub fn bytewise_order<'t>(texts: impl Iterator<Item = &'t str> + Clone) -> Vec<u32> {
    let first = texts.clone().next().unwrap_or_default();
    let common = texts.clone().fold(first.len(), |common, text| {
        let (a, b) = (&first.as_bytes()[..common], text.as_bytes());
        if b.starts_with(a) { common } else { a.iter().zip(b).take_while(|(a, b)| a == b).count() }
    });
    let word = |text: &str| {
        let rest = &text.as_bytes()[common..];
        let mut word = [0; 8];
        let length = rest.len().min(8);
        word[..length].copy_from_slice(&rest[..length]);
        u64::from_be_bytes(word)
    };
    let mut order: Vec<(u64, &str, u32)> =
        texts.enumerate().map(|(position, text)| (word(text), text, position as u32)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, _, position)| position).collect()
}

/// How go-yaml v2 orders the keys of a map (domain.md 2.8, registries.d). Not transitive: do not give it to a sort of the
/// standard library; [`sort_naturally`] copes.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let common = common_prefix(a, b);
    let (rest_a, rest_b) = (&a[common..], &b[common..]);
    let (Some(first_a), Some(first_b)) = (rest_a.chars().next(), rest_b.chars().next()) else {
        return rest_a.len().cmp(&rest_b.len());
    };
    match (first_a.is_alphabetic(), first_b.is_alphabetic()) {
        (true, true) => return first_a.cmp(&first_b),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let digits_before = a[..common].bytes().rev().take_while(u8::is_ascii_digit);
    let start = if (first_a == '0' || first_b == '0') && { digits_before }.any(|digit| digit != b'0') { 1 } else { 0 };
    let run = |rest: &str| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit);
        digits.fold((start, 0usize), |(value, length), digit| {
            (i64::wrapping_mul(value, 10).wrapping_add(i64::from(digit - b'0')), length + 1)
        })
    };
    run(rest_a).cmp(&run(rest_b)).then(first_a.cmp(&first_b))
}

/// Length of the longest common prefix, cut at a character.
fn common_prefix(a: &str, b: &str) -> usize {
    let (bytes_a, bytes_b) = (a.as_bytes(), b.as_bytes());
    let shorter = bytes_a.len().min(bytes_b.len());
    let mut common = 0;
    let words = bytes_a.chunks_exact(8).zip(bytes_b.chunks_exact(8));
    for (word_a, word_b) in words {
        if word_a != word_b {
            break;
        }
        common += 8;
    }
    while common < shorter && bytes_a[common] == bytes_b[common] {
        common += 1;
    }
    while !a.is_char_boundary(common) {
        common -= 1;
    }
    common
}

/// Sorts by [`natural_order`], stably; where that order contradicts itself the result is one of those the real writer may give.
pub fn sort_naturally<T>(items: &mut Vec<T>, key: impl Fn(&T) -> &str) {
    let mut order: Vec<u32> = (0..items.len() as u32).collect();
    let mut merged = vec![0; order.len()];
    let less_or_equal = |a: u32, b: u32| natural_order(key(&items[a as usize]), key(&items[b as usize])).is_le();
    let mut width = 1;
    while width < order.len() {
        for (run, out) in order.chunks(2 * width).zip(merged.chunks_mut(2 * width)) {
            let (left, right) = run.split_at(width.min(run.len()));
            if let (Some(last), Some(first)) = (left.last(), right.first())
                && less_or_equal(*last, *first)
            {
                out.copy_from_slice(run);
                continue;
            }
            let (mut l, mut r) = (0, 0);
            for slot in out {
                let take_left = match (left.get(l), right.get(r)) {
                    (Some(a), Some(b)) => less_or_equal(*a, *b),
                    (left, _) => left.is_some(),
                };
                *slot = if take_left { left[l] } else { right[r] };
                if take_left { l += 1 } else { r += 1 }
            }
        }
        std::mem::swap(&mut order, &mut merged);
        width *= 2;
    }
    let mut taken: Vec<Option<T>> = std::mem::take(items).into_iter().map(Some).collect();
    items.extend(order.into_iter().filter_map(|position| taken[position as usize].take()));
}

/// How go-yaml v2 writes a string as a key or a value on one line.
pub fn yaml_scalar(text: &str) -> Cow<'_, str> {
    // Nearly every scope: nothing in it is special to YAML, and a dot after a letter keeps it from being a number or a word.
    let is_harmless = |b: &u8| matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'/' | b'-' | b'_');
    if text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && text.as_bytes().contains(&b'.')
        && text.as_bytes().iter().all(is_harmless)
    {
        return text.into();
    }
    if !text.chars().all(is_yaml_printable) || text.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
        return yaml_double_quoted(text).into();
    }
    if resolves_to_something_else(text) {
        return yaml_double_quoted(text).into();
    }
    if is_plain(text) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "''")).into()
}

fn is_yaml_printable(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && c != '\u{feff}'
}

fn yaml_double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if is_yaml_printable(c) => out.push(c),
            c if (c as u32) <= 0xff => _ = write!(out, "\\x{:02X}", c as u32),
            c if (c as u32) <= 0xffff => _ = write!(out, "\\u{:04X}", c as u32),
            c => _ = write!(out, "\\U{:08X}", c as u32),
        }
    }
    out.push('"');
    out
}

/// Whether the text can stand without quotes in block style (`yaml_emitter_analyze_scalar`).
fn is_plain(text: &str) -> bool {
    let blank = |c: Option<char>| c.is_none_or(|c| c == ' ' || c == '\t');
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied();
        let special = match (before, c) {
            (None, '-' | '?' | ':') => blank(next),
            (None, c) => "#,[]{}&*!|>'\"%@`".contains(c),
            (Some(_), ':') => blank(next),
            (before, '#') => blank(before),
            _ => false,
        };
        if special {
            return false;
        }
        before = Some(c);
    }
    let first = text.chars().next();
    !blank(first) && !blank(before) && !text.starts_with("---") && !text.starts_with("...")
}

/// Whether a YAML 1.1 reader would take the bare text for a number, a truth value, null, a merge key or a time.
fn resolves_to_something_else(text: &str) -> bool {
    match text.as_bytes().first() {
        None => true,
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => is_number_like(text),
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' | b'<') => {
            const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
            let word = WORDS.iter().find(|word| text.eq_ignore_ascii_case(word));
            // `True`, `TRUE` and `true`, but not `tRUE`.
            let cased =
                |word: &&str| text == *word || text[1..] == word[1..] || text.bytes().all(|b| b.is_ascii_uppercase());
            word.is_some_and(cased) || text == "~" || text == "<<"
        }
        Some(_) => false,
    }
}

fn is_number_like(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let digits: String = unsigned.chars().filter(|c| *c != '_').collect();
    let all = |text: &str, is: fn(&u8) -> bool| !text.is_empty() && text.as_bytes().iter().all(is);
    let radix = |prefixes: [&str; 2], is: fn(&u8) -> bool| {
        prefixes.iter().any(|prefix| digits.strip_prefix(prefix).is_some_and(|rest| all(rest, is)))
    };
    radix(["0x", "0X"], u8::is_ascii_hexdigit)
        || radix(["0b", "0B"], |b| matches!(b, b'0' | b'1'))
        || radix(["0o", "0O"], |b| matches!(b, b'0'..=b'7'))
        || is_decimal(&digits)
        || is_base_60(unsigned)
        || is_time(text)
}

/// `(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_decimal(text: &str) -> bool {
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_fits = all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    mantissa_fits && exponent.is_none_or(|digits| !digits.is_empty() && all_digits(digits))
}

/// `[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`: quoted out of courtesy to older readers.
fn is_base_60(text: &str) -> bool {
    let digit = |b: u8| b.is_ascii_digit();
    let (text, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default().as_bytes();
    let mut more = parts.peekable();
    more.peek().is_some()
        && first.first().is_some_and(|b| digit(*b))
        && first.iter().chain(fraction.as_bytes()).all(|b| digit(*b) || *b == b'_')
        && more.all(|part| match part.as_bytes() {
            [one] => digit(*one),
            [ten, one] => matches!(ten, b'0'..=b'5') && digit(*one),
            _ => false,
        })
}

/// `2006-1-2`, optionally with a time of day behind it.
fn is_time(text: &str) -> bool {
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, ""));
    let mut parts = date.split('-');
    let number = |part: Option<&str>, lengths: std::ops::RangeInclusive<usize>| {
        part.is_some_and(|part| lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_date = number(parts.next(), 4..=4) && number(parts.next(), 1..=2) && number(parts.next(), 1..=2);
    is_date && parts.next().is_none() && (time.is_empty() != text.contains(['T', 't', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_are_escaped_as_go_does() {
        let mut out = Vec::new();
        push_json_string(&mut out, "a\"\\\n\u{1}<b>&\u{2028}é");
        assert_eq!(String::from_utf8(out).unwrap(), r#""a\"\\\n\u0001\u003cb\u003e\u0026\u2028é""#);
    }

    #[test]
    fn bytewise_order_is_that_of_the_texts() {
        let texts =
            ["reg.io/b", "reg.io", "reg.io/a\u{0}", "reg.io/a", "reg.io/b", "reg.io/abcdefghij", "reg.io/abcdefghi"];
        let order = bytewise_order(texts.iter().copied());
        assert_eq!(order, [1, 3, 2, 6, 5, 0, 4]);
        assert!(bytewise_order(std::iter::empty()).is_empty());
    }

    /// domain.md 2.8.
    #[test]
    fn keys_come_in_natural_order() {
        let mut keys = vec!["b10.com", "b9.com", "a.com:5000/x", "B.com", "*.zeta.com", "team2", "team:v1.2", "team"];
        sort_naturally(&mut keys, |key| key);
        assert_eq!(keys, ["*.zeta.com", "B.com", "a.com:5000/x", "b9.com", "b10.com", "team", "team:v1.2", "team2"]);
    }

    /// domain.md 2.8: this order runs in a circle.
    #[test]
    fn an_order_in_a_circle_is_survived() {
        assert!(natural_order("r1e.x", "r9.x").is_lt());
        assert!(natural_order("r9.x", "r10.x").is_lt());
        assert!(natural_order("r10.x", "r1e.x").is_lt());
        let mut keys: Vec<String> = (0..300).map(|i| format!("r{}{}.x", i % 17, ["", "e", "0"][i % 3])).collect();
        let mut before = keys.clone();
        sort_naturally(&mut keys, |key| key);
        keys.sort();
        before.sort();
        assert_eq!(keys, before);
    }

    #[test]
    fn yaml_scalars_are_quoted_where_go_yaml_does() {
        for (text, expected) in [
            ("a.com:5000/x", "a.com:5000/x"),
            ("*.zeta.com", "'*.zeta.com'"),
            ("10.1", "\"10.1\""),
            ("1.5e3", "\"1.5e3\""),
            ("10.0.0.1", "10.0.0.1"),
            ("10:30", "\"10:30\""),
            ("0x1f", "\"0x1f\""),
            ("on", "\"on\""),
            ("oN", "oN"),
            ("true", "\"true\""),
            ("", "\"\""),
            ("a: b", "'a: b'"),
            ("it's", "it's"),
            ("a\nb", "\"a\\nb\""),
            ("2001-12-31", "\"2001-12-31\""),
            ("localhost:5000", "localhost:5000"),
        ] {
            assert_eq!(yaml_scalar(text), expected, "{text}");
        }
    }
}
