//! An object's origin and a path in it → line and column, by parsing the one document again. No I/O: the text is kept.

use std::ops::Range;
use std::sync::Arc;

use granit_parser::{Event, Parser, Span, StrInput, StructureStyle};

use super::yaml;
use crate::snapshot::{Location, Origin, SourceFile};

/// Where the value at a path such as `spec.scopes[3]` or `metadata.annotations[example.com/a]` stands. Where the object has no such
/// field, the nearest one around it; for a mapping or sequence in block style its key; for the empty path the object's `kind`.
/// Nothing for objects of a cluster.
pub fn locate(origin: &Origin, path: &str) -> Option<Location> {
    let (source, found) = find(origin, path)?;
    Some(source.location(found.value_or_key()))
}

/// Where an object begins, in bytes of its file: its `kind`.
pub(super) fn offset(origin: &Origin) -> Option<usize> {
    let (_, found) = find(origin, "kind")?;
    Some(found.key.unwrap_or(found.value).start)
}

/// Like [`locate`], the key instead of its value; an item of a list stands for itself.
pub fn locate_key(origin: &Origin, path: &str) -> Option<Location> {
    let (source, found) = find(origin, path)?;
    Some(source.location(found.key.unwrap_or(found.value)))
}

/// The lines on which a field's key stands and its value begins: twice the same, mostly. Nothing for objects of a cluster.
pub fn lines(origin: &Origin, path: &str) -> Option<[usize; 2]> {
    let (source, found) = find(origin, path)?;
    let value = found.value.start;
    Some([found.key.map_or(value, |key| key.start), value].map(|offset| source.position(offset).0))
}

/// The line on which an object begins, with whatever is its first key.
pub fn first_line(origin: &Origin) -> Option<usize> {
    let Origin::File { source, document, pointer } = origin else { return None };
    let start = match item(source, document, pointer) {
        Some((range, _)) => range.start,
        None if pointer.is_empty() => {
            let mut walker = Walker::new(source.text.get(document.clone())?, document.start);
            let (_, span) = walker.root().ok()?;
            walker.range(&span).start
        }
        None => offset(origin)?,
    };
    Some(source.position(start).0)
}

/// A field that was found; both ranges are bytes of the file.
#[derive(Clone, Debug)]
struct Found {
    key: Option<Range<usize>>,
    value: Range<usize>,
    /// The value begins on a line of its own and goes on over several.
    block: bool,
    /// Whether the whole path was there.
    complete: bool,
}

impl Found {
    fn value_or_key(self) -> Range<usize> {
        match self.key {
            Some(key) if self.block || self.value.is_empty() => key,
            _ => self.value,
        }
    }
}

fn find<'a>(origin: &'a Origin, path: &str) -> Option<(&'a SourceFile, Found)> {
    let Origin::File { source, document, pointer } = origin else { return None };
    let path = if path.is_empty() { "kind" } else { path };
    let alone = item(source, document, pointer).map(|(range, prefix)| (range, format!("{prefix}{path}")));
    let alone = alone.or_else(|| pointer.is_empty().then(|| (document.clone(), path.to_string())));
    let within = (document.clone(), format!("{}{path}", in_list(pointer)));
    let narrowed = alone.as_ref().and_then(|(range, path)| narrow(source, range, path));
    narrowed.into_iter().chain(alone).chain([within]).find_map(|(range, path)| {
        let text = source.text.get(range.clone())?;
        let found = entry(source, &range, &path).or_else(|| Walker::new(text, range.start).document(&path).ok())?;
        Some((&**source, found))
    })
}

/// The item of the outermost list that a path leads into, and the path in it: of an object with thousands of items that hold lists,
/// only one is parsed.
fn narrow(source: &SourceFile, object: &Range<usize>, path: &str) -> Option<(Range<usize>, String)> {
    // The first list of an object that stands in a list itself is that one's.
    let (around, inner) = path.strip_prefix("[0].").map_or(("", path), |inner| ("[0].", inner));
    let (list, rest) = inner.split_once('[')?;
    let (index, rest) = rest.split_once(']')?;
    let rest = rest.strip_prefix('.').filter(|rest| !rest.is_empty())?;
    let list = format!("{around}{list}");
    let items = items_of(source, object, &list);
    let (range, prefix) = alone(source, items.get(index.parse::<usize>().ok()?)?.clone())?;
    Some((range, format!("{prefix}{rest}")))
}

/// Where the items of a list in an object stand, worked out once.
fn items_of(source: &SourceFile, object: &Range<usize>, list: &str) -> Arc<[Range<usize>]> {
    // No pointer begins so.
    source.items(object.start, &format!("#{list}"), || {
        let text = source.text.get(object.clone()).unwrap_or_default();
        Walker::new(text, object.start).items(list).unwrap_or_default()
    })
}

/// A scalar in a list, found in all of the list's items at once: an object with thousands of findings is parsed for the first.
fn entry(source: &SourceFile, object: &Range<usize>, path: &str) -> Option<Found> {
    let (list, index) = path.strip_suffix(']')?.rsplit_once('[')?;
    let index: usize = index.parse().ok()?;
    let value = items_of(source, object, list).get(index)?.clone();
    let (event, _) = Walker::new(source.text.get(value.clone())?, value.start).root().ok()?;
    event.scalar()?;
    Some(Found { key: None, value, block: false, complete: true })
}

/// `/items/3` as `items[3].`
fn in_list(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            path.pop();
            path += &format!("[{part}].");
        } else {
            path += part;
            path.push('.');
        }
    }
    path
}

/// The part of a long list that can be parsed alone for one object, and the path of the object there. Without it, a list of
/// thousands would be parsed from its start for each of them.
fn item(source: &SourceFile, document: &Range<usize>, pointer: &str) -> Option<(Range<usize>, &'static str)> {
    let (list, index) = pointer.rsplit_once('/')?;
    let index: usize = index.parse().ok()?;
    let items = source.items(document.start, list, || {
        let text = source.text.get(document.clone()).unwrap_or_default();
        let path = in_list(list);
        Walker::new(text, document.start).items(path.trim_end_matches('.')).unwrap_or_default()
    });
    alone(source, items.get(index)?.clone())
}

/// An item of a list as a text that can be parsed by itself, and what leads to the item in it.
fn alone(source: &SourceFile, range: Range<usize>) -> Option<(Range<usize>, &'static str)> {
    if source.text.get(range.clone())?.starts_with('{') {
        return Some((range, ""));
    }
    let before = source.text.get(..range.start)?;
    let line = before.rfind('\n').map_or(0, |newline| newline + 1);
    let dash = source.text.get(line..range.start)?.trim();
    (dash == "-").then_some((line..range.end, "[0]."))
}

struct Walker<'a> {
    events: Parser<'a, StrInput<'a>>,
    source: &'a str,
    base: usize,
}

/// The text makes no sense to the parser, or ends early.
struct Unparsable;

impl<'a> Walker<'a> {
    fn new(source: &'a str, base: usize) -> Self {
        Self { events: yaml::parser(source), source, base }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Unparsable> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            _ => Err(Unparsable),
        }
    }

    fn root(&mut self) -> Result<(Event<'a>, Span), Unparsable> {
        loop {
            let (event, span) = self.next()?;
            if event.is_node() {
                return Ok((event, span));
            }
        }
    }

    fn document(&mut self, path: &str) -> Result<Found, Unparsable> {
        let (event, span) = self.root()?;
        self.node(event, span, path, None)
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let start = span.start.byte_offset().unwrap_or_default();
        let end = span.end.byte_offset().unwrap_or(start).max(start);
        let text = self.source.get(start..end).unwrap_or_default();
        self.base + start..self.base + start + text.trim_end().len()
    }

    /// Follows the path into a node, and goes past it.
    fn node(
        &mut self,
        event: Event<'a>,
        span: Span,
        path: &str,
        key: Option<Range<usize>>,
    ) -> Result<Found, Unparsable> {
        let range = self.range(&span);
        match event {
            Event::MappingStart(style, ..) if !path.is_empty() => {
                let mut found = None;
                loop {
                    let (event, key_span) = self.next()?;
                    if matches!(event, Event::MappingEnd) {
                        break;
                    }
                    let rest = event.scalar().and_then(|(name, _)| rest_after_key(path, name));
                    self.skip(&event)?;
                    let (value, value_span) = self.next()?;
                    match rest.filter(|_| !matches!(&found, Some(Found { complete: true, .. }))) {
                        Some(rest) => {
                            let key = self.range(&key_span);
                            found = Some(self.node(value, value_span, rest, Some(key))?);
                        }
                        None => {
                            self.skip(&value)?;
                        }
                    }
                }
                Ok(found.unwrap_or(Found { key, value: range, block: style == StructureStyle::Block, complete: false }))
            }
            Event::SequenceStart(style, ..) if !path.is_empty() => {
                let wanted = index(path);
                let mut found = None;
                let mut position = 0;
                loop {
                    let (event, item_span) = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    match wanted.filter(|(index, _)| *index == position) {
                        Some((_, rest)) => found = Some(self.node(event, item_span, rest, None)?),
                        None => {
                            self.skip(&event)?;
                        }
                    }
                    position += 1;
                }
                Ok(found.unwrap_or(Found { key, value: range, block: style == StructureStyle::Block, complete: false }))
            }
            Event::MappingStart(style, ..) | Event::SequenceStart(style, ..) => {
                let end = self.skip(&event)?;
                let block = style == StructureStyle::Block;
                let end =
                    if block { self.line_end(range.start) } else { end.map_or(range.end, |end| self.range(&end).end) };
                Ok(Found { key, value: range.start..end, block, complete: true })
            }
            // What an alias stands for cannot be pointed at from here.
            Event::Alias(_) => Ok(Found { key, value: range, block: false, complete: true }),
            _ => Ok(Found { key, value: range, block: false, complete: path.is_empty() }),
        }
    }

    fn line_end(&self, start: usize) -> usize {
        let rest = self.source.get(start.saturating_sub(self.base)..).unwrap_or_default();
        start + rest.lines().next().unwrap_or_default().trim_end().len()
    }

    /// Goes past a node whose first event was taken; the span of its last event.
    fn skip(&mut self, event: &Event<'a>) -> Result<Option<Span>, Unparsable> {
        let mut depth = usize::from(opens(event));
        let mut last = None;
        while depth > 0 {
            let (event, span) = self.next()?;
            match event {
                Event::SequenceEnd | Event::MappingEnd => depth -= 1,
                event if opens(&event) => depth += 1,
                _ => {}
            }
            last = Some(span);
        }
        Ok(last)
    }

    /// The bytes of each item of the list at a path; none where it holds anchors or aliases, which no item can be without.
    fn items(&mut self, path: &str) -> Result<Vec<Range<usize>>, Unparsable> {
        let (mut event, _) = self.root()?;
        let mut path = path;
        loop {
            match event {
                Event::SequenceStart(..) if path.is_empty() => break,
                Event::MappingStart(..) => loop {
                    let (key, _) = self.next()?;
                    if matches!(key, Event::MappingEnd) {
                        return Err(Unparsable);
                    }
                    let rest = key.scalar().and_then(|(name, _)| rest_after_key(path, name));
                    self.skip(&key)?;
                    let (value, _) = self.next()?;
                    if let Some(rest) = rest {
                        path = rest;
                        event = value;
                        break;
                    }
                    self.skip(&value)?;
                },
                Event::SequenceStart(..) => {
                    let (wanted, rest) = index(path).ok_or(Unparsable)?;
                    for _ in 0..wanted {
                        let (item, _) = self.next()?;
                        if matches!(item, Event::SequenceEnd) {
                            return Err(Unparsable);
                        }
                        self.skip(&item)?;
                    }
                    path = rest;
                    event = self.next()?.0;
                }
                _ => return Err(Unparsable),
            }
        }
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(items);
            }
            let start = self.range(&span).start;
            let last = self.skip(&event)?.unwrap_or(span);
            items.push(start..self.range(&last).end.max(start));
        }
    }
}

fn opens(event: &Event<'_>) -> bool {
    matches!(event, Event::SequenceStart(..) | Event::MappingStart(..))
}

/// What is left of `scopes[3].x` behind the key `scopes`; keys may hold dots, and may stand in brackets.
fn rest_after_key<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    if let Some(inner) = path.strip_prefix('[') {
        let quoted = ["\"", "'"].iter().find_map(|quote| inner.strip_prefix(quote).map(|inner| (*quote, inner)));
        let (quote, inner) = quoted.unwrap_or(("", inner));
        let rest = inner.strip_prefix(key)?.strip_prefix(quote)?.strip_prefix(']')?;
        return Some(rest.strip_prefix('.').unwrap_or(rest));
    }
    let rest = path.strip_prefix(key)?;
    if rest.is_empty() || rest.starts_with('[') {
        return (!key.is_empty()).then_some(rest);
    }
    rest.strip_prefix('.')
}

/// `[3].x` as 3 and `x`.
fn index(path: &str) -> Option<(usize, &str)> {
    let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::private_keys::NOT_SHOWN;
    use std::sync::Arc;

    fn origin(text: &str, pointer: &str) -> Origin {
        let source = Arc::new(SourceFile::new("a.yaml", text));
        Origin::File { document: 0..text.len(), source, pointer: pointer.into() }
    }

    fn excerpt(origin: &Origin, location: &Location) -> crate::snapshot::Excerpt {
        let Origin::File { source, .. } = origin else { panic!("not in a file") };
        source.excerpt(location).unwrap()
    }

    #[track_caller]
    fn marked(origin: &Origin, path: &str) -> (usize, usize, String) {
        let location = locate(origin, path).unwrap_or_else(|| panic!("{path} not found"));
        let excerpt = excerpt(origin, &location);
        (location.line, location.column, excerpt.marked)
    }

    const POLICY: &str = "\
# a comment
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: 'täam'  # quoted
  annotations: {example.com/a.b: x, \"on\": \"ünï\"}
spec:
  scopes:
    - registry.example.com/ä
    -   \"b.io\"
  policy:
    rootOfTrust:
      keyData: >-
        folded
        text
  empty:
";

    /// Parsing the object once for each of them would take minutes.
    #[test]
    fn thousands_of_entries_of_one_object() {
        let entries: String = (0..5_000).map(|index| format!("  - 'r{index}.io' # {index}\n")).collect();
        for (text, pointer) in [
            (format!("kind: A\nspec:\n  a: &x [a]\n  scopes:\n{entries}"), ""),
            (
                format!("items:\n- kind: A\n  spec:\n   a: 1\n   scopes:\n{}", entries.replace("  -", "    -")),
                "/items/0",
            ),
        ] {
            let origin = origin(&text, pointer);
            for index in 0..5_000 {
                let found = locate(&origin, &format!("spec.scopes[{index}]")).unwrap();
                let (line, width) = (index + if pointer.is_empty() { 5 } else { 6 }, format!("'r{index}.io'").len());
                assert_eq!((found.line, found.end_column - found.column), (line, width));
            }
            assert!(
                locate(&origin, "spec.scopes[5000]").is_some_and(|location| location.line > 3),
                "the list stands for it"
            );
        }
        let rules: String =
            (0..2_000).map(|index| format!("    - source: s{index}.io\n      mirrors: [a, 'm{index}.io']\n")).collect();
        let nested = format!("kind: A\nspec:\n  rules:\n{rules}");
        let listed = format!("items:\n- kind: A\n  spec:\n    rules:\n{rules}");
        let json: Vec<String> =
            (0..2_000).map(|index| format!("{{\"source\": \"s\", \"mirrors\": [\"a\", \"m{index}.io\"]}}")).collect();
        let json = format!("{{\"kind\": \"A\", \"spec\": {{\"rules\": [{}]}}}}", json.join(", "));
        for (text, pointer) in [(nested, ""), (listed, "/items/0"), (json, "")] {
            let origin = origin(&text, pointer);
            for index in 0..2_000 {
                let location = locate(&origin, &format!("spec.rules[{index}].mirrors[1]")).unwrap();
                let marked = excerpt(&origin, &location).marked;
                assert_eq!(marked.trim_matches(['\'', '"']), format!("m{index}.io"));
            }
        }
        let mixed = origin("spec:\n  k: &x y\n  l: [a, {b: c}, *x, [d]]\n", "");
        for (path, expected) in
            [("spec.l[0]", "a"), ("spec.l[1]", "{b: c}"), ("spec.l[1].b", "c"), ("spec.l[3][0]", "d")]
        {
            assert_eq!(marked(&mixed, path).2, expected, "{path}");
        }
    }

    #[test]
    fn a_private_key_is_no_excerpt() {
        let encoded = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCkFBQUFCQkJCQ0NDQ0RERERFRUVFRkZGRkdHR0dISEhICi0tLS0tRU5EIFBSSVZBVEUgS0VZLS0tLS0K";
        let block = "-----BEGIN PRIVATE KEY-----\n  AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH\n  -----END PRIVATE KEY-----";
        for text in [
            format!("a: b\nkey: {encoded}\n"),
            format!("a: b\nkey: \"{encoded}\"\n"),
            format!("a: b\nkey: >\n  {block}\n"),
        ] {
            let origin = origin(&text, "");
            let location = locate(&origin, "key").unwrap();
            let excerpt = excerpt(&origin, &location);
            assert_eq!((excerpt.before.as_str(), excerpt.marked.as_str(), excerpt.after.as_str()), ("", NOT_SHOWN, ""));
            assert_eq!(marked(&origin, "a"), (1, 4, "b".into()));
        }
    }

    #[test]
    fn values_are_found() {
        let origin = origin(POLICY, "");
        for (path, line, column, text) in [
            ("", 3, 7, "ClusterImagePolicy"),
            ("metadata.name", 5, 9, "'täam'"),
            ("metadata.annotations", 6, 16, "{example.com/a.b: x, \"on\": \"ünï\"}"),
            ("metadata.annotations[example.com/a.b]", 6, 34, "x"),
            ("metadata.annotations.example.com/a.b", 6, 34, "x"),
            ("metadata.annotations['on']", 6, 43, "\"ünï\""),
            ("spec.scopes", 8, 3, "scopes"),
            ("spec.scopes[0]", 9, 7, "registry.example.com/ä"),
            ("spec.scopes[1]", 10, 9, "\"b.io\""),
            ("spec.policy.rootOfTrust", 12, 5, "rootOfTrust"),
            ("spec.empty", 16, 3, "empty"),
            // What is not there is pointed at from the nearest that is.
            ("spec.scopes[7]", 8, 3, "scopes"),
            ("spec.policy.signedIdentity.matchPolicy", 11, 3, "policy"),
        ] {
            assert_eq!(marked(&origin, path), (line, column, text.to_string()), "{path}");
        }
        let key = locate_key(&origin, "metadata.name").unwrap();
        assert_eq!((key.line, key.column, key.end_column), (5, 3, 7));
        let folded = locate(&origin, "spec.policy.rootOfTrust.keyData").unwrap();
        assert_eq!((folded.line, folded.end_line), (14, 15));
        assert_eq!(locate(&Origin::Live, "spec"), None);
    }

    #[test]
    fn items_of_lists_are_found() {
        let block =
            "kind: List\nitems:\n- kind: A\n  spec: {scopes: [a, b]}\n-   kind: B\n    spec:\n      scopes: [c]\n";
        assert_eq!(marked(&origin(block, "/items/1"), "spec.scopes[0]"), (7, 16, "c".to_string()));
        assert_eq!(marked(&origin(block, "/items/0"), "spec.scopes[1]"), (4, 22, "b".to_string()));
        assert_eq!(marked(&origin(block, "/items/1"), ""), (5, 11, "B".to_string()));
        let json = "{\"kind\": \"List\", \"items\": [{\"kind\": \"A\"},\n {\"kind\": \"B\", \"spec\": {\"scopes\": [\"ä\", \"c\"]}}]}";
        assert_eq!(marked(&origin(json, "/items/1"), "spec.scopes[1]"), (2, 41, "\"c\"".to_string()));
        let nested = format!("items: [{json}]");
        assert_eq!(marked(&origin(&nested, "/items/0/items/1"), "spec.scopes[1]"), (2, 41, "\"c\"".to_string()));
        let alias = "items:\n- &a {kind: A}\n- kind: B\n  spec: *a\n";
        assert_eq!(marked(&origin(alias, "/items/1"), "spec.kind"), (4, 9, "*a".to_string()));
    }

    #[test]
    fn lines_of_keys_values_and_objects() {
        let single = origin(POLICY, "");
        for (path, expected) in [
            ("", [3, 3]),
            ("spec.scopes[1]", [10, 10]),
            ("spec.scopes", [8, 9]),
            ("spec.policy.rootOfTrust.keyData", [13, 14]),
            ("spec.empty", [16, 16]),
        ] {
            assert_eq!(lines(&single, path), Some(expected), "{path}");
        }
        assert_eq!(first_line(&single), Some(2));
        let list = "# c\nkind: List\nitems:\n# c\n- # d\n  kind: A\n  x: 1\n-   {kind: B}\n- y: 1\n  kind: C\n";
        for (pointer, line) in [("/items/0", 6), ("/items/1", 8), ("/items/2", 9)] {
            assert_eq!(first_line(&origin(list, pointer)), Some(line), "{pointer}");
        }
        let anchored = "items:\n- &a\n  kind: A\n- kind: B\n  x: *a\n";
        assert_eq!(first_line(&origin(anchored, "/items/1")), Some(4));
        assert_eq!(first_line(&origin("\n\n{kind: A}\n", "")), Some(3));
        assert_eq!((first_line(&Origin::Live), lines(&Origin::Live, "")), (None, None));
    }

    #[test]
    fn long_lines_are_cut() {
        let text = format!("kind: A\nspec: [{}, needle, {}]\n", "x".repeat(5000), "y".repeat(5000));
        let origin = origin(&text, "");
        let location = locate(&origin, "spec[1]").unwrap();
        let excerpt = excerpt(&origin, &location);
        assert_eq!(excerpt.marked, "needle");
        assert!(excerpt.before.starts_with('…') && excerpt.before.chars().count() == 61);
        assert!(excerpt.after.ends_with('…') && excerpt.after.chars().count() == 61);
    }
}
