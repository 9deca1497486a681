//! Values as Go prints them in a field error: `%q` for text, `%v` for numbers, `encoding/json` for the rest.

use std::ops::Range;

use serde_json::Value;

use crate::model::encoding::push_json_string;
use crate::model::go_text::quote;

/// How deep a list is printed. What is deeper comes from no person and prints as an empty list.
const DEPTH: usize = 64;

/// A value as the bad value of a field error.
pub(super) fn bad_value(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.to_string(),
            None => float(number.as_f64().unwrap_or_default(), -4..6, 2),
        },
        _ => json(value, 0),
    }
}

/// As `encoding/json` has it after pruning: such a value stands where a text belongs, so no object in it keeps a member.
fn json(value: &Value, depth: usize) -> String {
    match value {
        Value::Object(_) => "{}".to_string(),
        Value::Array(_) if depth == DEPTH => "[]".to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| json(item, depth + 1)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.to_string(),
            None => float(number.as_f64().unwrap_or_default(), -6..21, 1),
        },
        Value::String(text) => json_text(text),
        Value::Null | Value::Bool(_) => value.to_string(),
    }
}

fn json_text(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    push_json_string(&mut bytes, text);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The shortest digits that read back as the number; with an exponent where it is not among the `plain` ones. A negative exponent
/// has at least `digits` digits, a positive one two.
fn float(number: f64, plain: Range<i32>, digits: usize) -> String {
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if plain.contains(&exponent) {
        return number.to_string();
    }
    match exponent.unsigned_abs() {
        size if exponent < 0 => format!("{mantissa}e-{size:0digits$}"),
        size => format!("{mantissa}e+{size:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_quoted_as_go_quotes_it() {
        for (text, expected) in [
            ("", r#""""#),
            ("a\"\\b", r#""a\"\\b""#),
            ("\u{1}\u{7f}\n\u{b}", r#""\x01\x7f\n\v""#),
            ("é\u{301}😀", "\"é\u{301}😀\""),
            ("\u{301}", "\"\u{301}\""),
            ("\u{200d}\u{2028}\u{feff}\u{a0}\u{e0001}", r#""\u200d\u2028\ufeff\u00a0\U000e0001""#),
        ] {
            assert_eq!(quote(text), expected, "{text:?}");
        }
    }

    #[test]
    fn values_are_printed_as_go_prints_them() {
        for (value, expected) in [
            (json!(null), "null"),
            (json!(true), "true"),
            (json!(-5), "-5"),
            (json!(1.5), "1.5"),
            (json!(100000.0), "100000"),
            (json!(1234567.5), "1.2345675e+06"),
            (json!(0.00001), "1e-05"),
            (json!([1234567.5, 0.0000001]), "[1234567.5,1e-7]"),
            (json!({"a": 1}), "{}"),
            (json!(["<a>", {"b": 2}, [1, null]]), r#"["\u003ca\u003e",{},[1,null]]"#),
        ] {
            assert_eq!(bad_value(&value), expected);
        }
        let mut deep = json!([]);
        for _ in 0..100 {
            deep = json!([deep]);
        }
        assert_eq!(bad_value(&deep).len(), 2 * (DEPTH + 1));
    }
}
