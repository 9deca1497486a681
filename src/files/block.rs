//! The plain block style in which kubectl, oc and people write manifests, decoded without a general parser: four times as fast on
//! a large cluster. Whatever is not recognised for certain is left to [`super::yaml::general`]; where this one answers, both
//! answer the same (property tests).

use serde_json::{Map, Number, Value};

use super::scalars::{self, Scalar};
use super::yaml::MAX_DEPTH;

const NODE_WEIGHT: usize = std::mem::size_of::<Value>();

/// The document and what it weighs, or nothing where the general parser has to look.
pub(super) fn parse(source: &str) -> Option<(Value, usize)> {
    // In blocks without an early end, which the compiler makes one comparison of.
    let printable = |block: &[u8]| block.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~' | b'\n'));
    if !source.as_bytes().chunks(64).all(printable) {
        return None;
    }
    let mut block = Block { rest: source, line: None, weight: NODE_WEIGHT };
    block.advance();
    if block.line.is_some_and(|line| line.indent == 0 && line.content == "---") {
        block.advance();
    }
    if block.line?.indent != 0 {
        return None;
    }
    let map = block.mapping(0, 1)?;
    if block.line.is_some() {
        return None;
    }
    Some((Value::Object(map), block.weight))
}

struct Block<'a> {
    rest: &'a str,
    /// The line to be looked at; blank lines and those with only a comment are passed over.
    line: Option<Line<'a>>,
    weight: usize,
}

#[derive(Clone, Copy)]
struct Line<'a> {
    indent: usize,
    /// Without white space around it; never empty.
    content: &'a str,
}

impl<'a> Block<'a> {
    fn advance(&mut self) {
        self.line = None;
        while !self.rest.is_empty() {
            let end = memchr::memchr(b'\n', self.rest.as_bytes()).unwrap_or(self.rest.len());
            let (line, rest) = self.rest.split_at(end);
            self.rest = rest.strip_prefix('\n').unwrap_or(rest);
            let content = line.trim_start_matches(' ');
            if !content.is_empty() && !content.starts_with('#') {
                self.line = Some(Line { indent: line.len() - content.len(), content: content.trim_end_matches(' ') });
                return;
            }
        }
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Option<Map<String, Value>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut map = Map::new();
        while let Some(line) = self.line.filter(|line| line.indent >= indent) {
            if line.indent > indent {
                return None;
            }
            let (key, rest) = split_key(line.content)?;
            self.advance();
            let value = if rest.is_empty() { self.below(indent, depth)? } else { self.scalar(rest, indent)? };
            self.weight += NODE_WEIGHT + key.len();
            if map.insert(key.to_string(), value).is_some() {
                return None;
            }
        }
        Some(map)
    }

    /// The value of a key that has nothing on its own line.
    fn below(&mut self, indent: usize, depth: usize) -> Option<Value> {
        self.weight += NODE_WEIGHT;
        match self.line {
            Some(line) if line.indent >= indent && line.content.starts_with("- ") => {
                self.sequence(line.indent, depth + 1).map(Value::Array)
            }
            Some(line) if line.indent > indent => self.mapping(line.indent, depth + 1).map(Value::Object),
            _ => Some(Value::Null),
        }
    }

    fn sequence(&mut self, indent: usize, depth: usize) -> Option<Vec<Value>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut items = Vec::new();
        while let Some(line) = self.line.filter(|line| line.indent >= indent) {
            if line.indent > indent {
                return None;
            }
            let Some(after) = line.content.strip_prefix("- ") else { break };
            let content = after.trim_start_matches(' ');
            if split_key(content).is_some() {
                // A mapping that begins behind the dash: its first line is read as if it stood alone.
                let inner = indent + (line.content.len() - content.len());
                self.line = Some(Line { indent: inner, content });
                self.weight += NODE_WEIGHT;
                items.push(Value::Object(self.mapping(inner, depth + 1)?));
            } else {
                self.advance();
                items.push(self.scalar(content, indent)?);
            }
        }
        Some(items)
    }

    /// A scalar that begins and ends on its line; `indent` is that of the collection it stands in.
    fn scalar(&mut self, text: &str, indent: usize) -> Option<Value> {
        // A deeper line would go on with it.
        if self.line.is_some_and(|line| line.indent > indent) {
            return None;
        }
        self.weight += NODE_WEIGHT + text.len();
        match text.as_bytes().first()? {
            b'"' => quoted(text, '"').map(|text| Value::String(text.to_string())),
            b'\'' => quoted(text, '\'').map(|text| Value::String(text.to_string())),
            b'[' => self.flow(text).map(Value::Array),
            b'{' => (text == "{}").then(|| Value::Object(Map::new())),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'_' | b'.' | b'~' | b'+' | b'$' | b'(' => plain(text),
            _ => None,
        }
    }

    /// `[a, b]`, of words that need no quotes anywhere.
    fn flow(&mut self, text: &str) -> Option<Vec<Value>> {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?.trim_matches(' ');
        if inner.is_empty() {
            return Some(Vec::new());
        }
        let item = |item: &str| {
            let item = item.trim_matches(' ');
            let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'-' | b'_' | b'@');
            let begins = item.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
            (begins && item.bytes().all(harmless)).then(|| plain(item)).flatten()
        };
        let items: Option<Vec<Value>> = inner.split(',').map(item).collect();
        self.weight += items.as_ref().map_or(0, Vec::len) * NODE_WEIGHT;
        items
    }
}

/// `key: rest` or `key:`, where the key is an ordinary word.
fn split_key(content: &str) -> Option<(&str, &str)> {
    let in_key = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-');
    let end = content.bytes().position(|byte| !in_key(&byte))?;
    let (key, rest) = content.split_at(end);
    let rest = rest.strip_prefix(':')?;
    let begins = key.as_bytes().first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    let ends = rest.is_empty() || rest.starts_with(' ');
    let ordinary = begins && ends && key.len() <= 512 && scalars::plain(key) == Scalar::Text;
    ordinary.then(|| (key, rest.trim_start_matches(' ')))
}

fn quoted(text: &str, quote: char) -> Option<&str> {
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    memchr::memchr2(quote as u8, b'\\', inner.as_bytes()).is_none().then_some(inner)
}

fn plain(text: &str) -> Option<Value> {
    let bytes = text.as_bytes();
    for special in memchr::memchr2_iter(b':', b'#', bytes) {
        let ends_here = match bytes.get(special)? {
            b':' => matches!(bytes.get(special + 1), None | Some(b' ')),
            _ => special.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b' '),
        };
        if ends_here {
            return None;
        }
    }
    if scalars::is_surprising_bool(text) {
        return None;
    }
    Some(match scalars::plain(text) {
        Scalar::Text => Value::String(text.to_string()),
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::Bool(value),
        Scalar::Int(value) => value.into(),
        Scalar::Unsigned(value) => (value as f64).into(),
        Scalar::Float(value) => match scalars::whole(value) {
            Some(value) => value.into(),
            None => Value::Number(Number::from_f64(value)?),
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::yaml::{self, Budget};

    /// What the general parser says, where it is one document without warnings.
    fn general(text: &str) -> Option<Value> {
        let mut documents = Vec::new();
        yaml::general(text, 0, &Budget::default(), &mut documents).ok()?;
        let document = documents.pop()?;
        (documents.is_empty() && document.warnings.is_empty()).then_some(document.value)
    }

    #[track_caller]
    fn agree(text: &str) -> bool {
        let found = parse(text);
        if let Some((value, _)) = &found {
            assert_eq!(Some(value), general(text).as_ref(), "{text}");
        }
        found.is_some()
    }

    #[test]
    fn ordinary_manifests_are_recognised() {
        for text in [
            "apiVersion: v1\nkind: Image\nmetadata:\n  name: x\nspec:\n  scopes:\n  - a:5000/b\n  - 'c'\n  x: [a, b]\n  z: {}\n",
            "---\n# c\na:\n\n    - b: 1\n      c:\n        d: 'x y'\n    -   b: 2\n        c: \"z\"\nb: null\n",
            "a:\n- b:\n  - c\n  d: 1.5\ne:",
        ] {
            assert!(agree(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_ordinary_is_left_alone() {
        for text in [
            "",
            "a",
            "- a",
            "a: b: c",
            "a: b #c",
            "a: |\n  x",
            "a: b\n  c",
            "a: 'b'\n  c",
            "a: &x b",
            "a: on",
            "on: a",
            "a: .inf",
            "a: 1\na: 2",
            "a: \"\\n\"",
            "a: 'it''s'",
            "a:\tb",
            "a: b\r\n",
            "a: ä",
            "a: [b: c]",
            "a: [b,]",
            "a: {b: c}",
            "a: *x",
            "a: !x b",
            "? a",
            "a: 1\n...\nb: 2",
            " a: 1",
            "a: 1\n b: 2",
            "a:\n  - b\n c: d",
            "a: [b\n]",
            "a: -",
            "a: - b",
            "- - a",
            "a:\n- b\n  c: d",
            "null: x",
            "a: b:",
            "a: @b",
            "a: %b",
            "a: ~x\n  y",
            "%YAML 1.1",
        ] {
            assert!(parse(text).is_none(), "{text:?}");
        }
        let deep: String = (0..500).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
        assert!(parse(&deep).is_none());
    }

    fn scalar() -> impl Strategy<Value = String> {
        let tricky = prop::sample::select(vec![
            "",
            "x",
            "a b",
            "on",
            "y",
            "null",
            "~",
            "014",
            "08",
            "0x1f",
            "1_0",
            "1.5",
            "1e3",
            ".5",
            ".inf",
            "-1",
            "+1",
            "a:b",
            "a: b",
            "a #b",
            "a#b",
            "'q'",
            "'it''s'",
            "\"d\"",
            "\"\\n\"",
            "[]",
            "{}",
            "[a, b]",
            "[a,]",
            "[a b]",
            "{a: b}",
            "|",
            ">-",
            "*a",
            "&a b",
            "!t x",
            "- a",
            "-",
            "?",
            ":",
            "#c",
            "@x",
            "`x",
            "%x",
            "a,b",
            "a]",
            "http://x/y",
            "quay.io/a/b:v1",
            "*.io",
            "---",
            "...",
            "ä",
            "a\t",
            "<<",
            "=",
            "2001-01-01",
            "'a' b",
            "\"a\"b",
            "a'",
            "a\"",
            "[a]b",
            "{}b",
            "(x)",
            "$x",
            "_",
            "/x",
            "a  b ",
            "key:",
            "k: ",
        ]);
        prop_oneof![4 => "[a-z0-9./:-]{0,12}", 3 => tricky.prop_map(str::to_string), 1 => "[ -~]{0,8}"]
    }

    fn line() -> impl Strategy<Value = String> {
        let key = prop_oneof![4 => "[a-e]", 1 => scalar()];
        let separator = prop::sample::select(vec![": ", ":", ":  ", " : "]);
        let indent = prop::sample::select(vec![0usize, 0, 2, 2, 4, 4, 6, 1, 3]);
        let dashes = prop::sample::select(vec!["", "", "", "- ", "-   ", "- - ", "-"]);
        let whole = (dashes, key, separator, scalar())
            .prop_map(|(dash, key, separator, value)| format!("{dash}{key}{separator}{value}"));
        let item = scalar().prop_map(|value| format!("- {value}"));
        let other = prop::sample::select(vec!["", "   ", "# c", "---", "...", "--- a", "\t"]).prop_map(str::to_string);
        (indent, prop_oneof![6 => whole, 3 => item, 1 => scalar(), 1 => other])
            .prop_map(|(indent, text)| format!("{}{text}", " ".repeat(indent)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn both_parsers_agree(lines in prop::collection::vec(line(), 1..6), end in prop::bool::ANY) {
            let mut text = lines.join("\n");
            if end {
                text.push('\n');
            }
            agree(&text);
        }
    }
}
