//! YAML and JSON text → documents, as kubectl turns them into JSON: YAML 1.1 scalars, merge keys, aliases and keys that are no
//! text. Unlike kubectl, a key that is there twice is an error. Everything is bounded: [`Budget`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, StrInput, Tag};
use memchr::memmem;
use serde_json::{Map, Number, Value};

use super::scalars::{self, Scalar};
use super::{block, json};

/// How deep a document may be nested. The real objects stay below 30, CustomResourceDefinitions below 80.
pub const MAX_DEPTH: usize = 128;
/// How much text one reading may take in, decompressed.
pub const MAX_INPUT: usize = 256 << 20;
/// What all values of one reading may weigh in memory, roughly in bytes.
const MAX_WEIGHT: usize = 1 << 30;
/// What of that may come from aliases.
const MAX_EXPANDED: usize = 32 << 20;
/// What a value weighs besides its text.
const NODE_WEIGHT: usize = std::mem::size_of::<Value>();
/// What a document costs besides its values, and what follows from it.
const DOCUMENT_WEIGHT: usize = 512;
/// Below this, threads cost more than they bring.
const PARALLEL_FROM: usize = 512 << 10;

/// What is left of the memory that values may take. One for all files that are read together.
#[derive(Debug, Default)]
pub struct Budget {
    bytes: AtomicUsize,
    weight: AtomicUsize,
    expanded: AtomicUsize,
}

impl Budget {
    pub(super) fn read(&self, bytes: usize) -> Result<(), &'static str> {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > MAX_INPUT {
            return Err("there is more than 256 MiB to read");
        }
        Ok(())
    }

    pub(super) fn spend(&self, weight: usize) -> Result<(), &'static str> {
        if self.weight.fetch_add(weight, Ordering::Relaxed).saturating_add(weight) > MAX_WEIGHT {
            return Err("the input holds more values than fit into 1 GiB of memory");
        }
        Ok(())
    }

    fn spend_on_alias(&self, weight: usize) -> Result<(), &'static str> {
        if self.expanded.fetch_add(weight, Ordering::Relaxed).saturating_add(weight) > MAX_EXPANDED {
            return Err("the aliases expand to more than 32 MiB");
        }
        self.spend(weight)
    }
}

/// One document that is not empty.
#[derive(Debug)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// Where it stands, in bytes of the text: enough to parse it again alone.
    pub range: Range<usize>,
    /// What a person might have meant differently.
    pub warnings: Vec<Remark>,
}

/// Something worth saying about a place in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The place, in bytes of the text.
    pub offset: usize,
    /// A sentence.
    pub message: String,
    /// Another place that has a part in it, and what to say before its line: `first in`.
    pub other: Option<(&'static str, usize)>,
}

impl Remark {
    pub(super) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into(), other: None }
    }
}

/// All documents of a text in their order; empty ones are left out.
///
/// # Errors
/// The first place that makes no sense.
pub fn documents(text: &str, budget: &Budget) -> Result<Vec<Document>, Remark> {
    if text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with('{') {
        match json::documents(text, budget) {
            Ok(documents) => return Ok(documents),
            // A flow mapping of YAML begins in the same way, and kubectl tries YAML then, too. Who came further tells more.
            Err(problem) if problem.other.is_some() => return Err(problem),
            Err(problem) => {
                let further = |other: Remark| if other.offset > problem.offset { other } else { problem };
                return yaml_documents(text, budget).map_err(further);
            }
        }
    }
    yaml_documents(text, budget)
}

fn yaml_documents(text: &str, budget: &Budget) -> Result<Vec<Document>, Remark> {
    let chunks = chunks(text);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    if threads == 1 || chunks.len() == 1 || text.len() < PARALLEL_FROM {
        return decode_all(text, &chunks, budget);
    }
    let mut results = Vec::new();
    std::thread::scope(|scope| {
        let mut handles = Vec::new();
        for part in shares(&chunks, text.len(), threads) {
            handles.push(scope.spawn(move || decode_all(text, part, budget)));
        }
        results.extend(handles.into_iter().map(|handle| handle.join()));
    });
    let mut documents = Vec::new();
    for result in results {
        match result {
            Ok(part) => documents.append(&mut part?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    Ok(documents)
}

/// Neighbouring chunks, in as many parts of about equal length as there are threads.
fn shares(chunks: &[Range<usize>], length: usize, threads: usize) -> Vec<&[Range<usize>]> {
    let mut parts = Vec::new();
    let mut rest = chunks;
    for index in 1..=threads {
        let end = if index == threads { length } else { length / threads * index };
        let (part, others) = rest.split_at(rest.partition_point(|chunk| chunk.end <= end));
        parts.push(part);
        rest = others;
    }
    parts
}

/// go-yaml reads none of them, wherever they stand; JSON escapes and YAML's own are how to write them.
fn refuse_control_characters(text: &str, base: usize) -> Result<(), Remark> {
    let bad = |byte: &u8| (*byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || *byte == 0x7f;
    match text.as_bytes().iter().position(bad) {
        Some(offset) => Err(Remark::new(base + offset, "control characters are not allowed in YAML")),
        None => Ok(()),
    }
}

/// The text cut before every `---` that begins a line and ends in white space, which is always the start of a document, inside
/// of block scalars too. A cut too few does no harm: what follows a directive stays with it.
pub(super) fn chunks(text: &str) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut start = 0;
    for newline in memmem::find_iter(text.as_bytes(), b"\n---") {
        let marker = newline + 1;
        let ends_there = matches!(text.as_bytes().get(marker + 3), None | Some(b' ' | b'\t' | b'\r' | b'\n'));
        if ends_there && !ends_in_directive(text.get(start..marker).unwrap_or_default()) {
            chunks.push(start..marker);
            start = marker;
        }
    }
    chunks.push(start..text.len());
    chunks
}

fn ends_in_directive(text: &str) -> bool {
    let mut lines = text.lines().rev().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    lines.next().is_some_and(|line| line.starts_with('%'))
}

fn decode_all(text: &str, chunks: &[Range<usize>], budget: &Budget) -> Result<Vec<Document>, Remark> {
    let mut documents = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let source = text.get(chunk.clone()).unwrap_or_default();
        if source.trim_start_matches("---").trim_ascii().is_empty() {
            continue;
        }
        budget.spend(DOCUMENT_WEIGHT).map_err(|message| Remark::new(chunk.start, message))?;
        if let Some((value, weight)) = block::parse(source) {
            budget.spend(weight).map_err(|message| Remark::new(chunk.start, message))?;
            documents.push(Document { value, range: chunk.clone(), warnings: Vec::new() });
        } else {
            general(source, chunk.start, budget, &mut documents)?;
        }
    }
    documents.retain(|document| !document.value.is_null());
    Ok(documents)
}

/// A parser for a part of a file, with the limits of this program.
pub(super) fn parser(source: &str) -> Parser<'_, StrInput<'_>> {
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    Parser::new_from_str_with_options(source, options)
}

/// Decodes whatever YAML allows, by events. `base` is where `source` stands in its file.
pub(super) fn general(source: &str, base: usize, budget: &Budget, into: &mut Vec<Document>) -> Result<(), Remark> {
    refuse_control_characters(source, base)?;
    let mut builder = Builder::new(budget);
    let mut start = 0;
    let mut first = true;
    let mut explicit = false;
    for event in parser(source) {
        let (event, span) = event.map_err(|error| {
            let offset = error.marker().byte_offset().unwrap_or_default();
            let message = match error.kind() {
                ErrorKind::RecursionLimitExceeded => too_deep(),
                kind => kind.to_string(),
            };
            Remark::new(base + offset.min(source.len()), message)
        })?;
        let place = span.start.byte_offset().unwrap_or_default();
        if let Event::DocumentStart(marked, _) = event {
            explicit = marked;
        }
        if let Event::DocumentEnd = event {
            let end = span.end.byte_offset().unwrap_or(source.len()).max(start);
            let mut warnings = std::mem::take(&mut builder.warnings);
            for warning in &mut warnings {
                warning.offset += base;
            }
            if let Some(value) = builder.finish() {
                if !first {
                    budget.spend(DOCUMENT_WEIGHT).map_err(|message| Remark::new(base + start, message))?;
                }
                if !first && !explicit && !value.is_null() {
                    warnings
                        .push(Remark::new(base + start, "kubectl reads nothing behind `...`, up to the next `---`"));
                }
                into.push(Document { value, range: base + start..base + end, warnings });
                first = false;
            }
            start = end;
            continue;
        }
        builder.event(event, &span).map_err(|problem| {
            let mut problem = problem.at(place);
            problem.offset += base;
            if let Some((_, other)) = &mut problem.other {
                *other += base;
            }
            problem
        })?;
    }
    // The last document keeps what follows it, so that a chunk of one document is that chunk.
    if let Some(last) = into.last_mut().filter(|last| !first && last.range.start >= base) {
        last.range.end = base + source.len();
    }
    Ok(())
}

/// A value as YAML that kubectl reads back equal.
pub fn emit(value: &Value) -> String {
    emit_part(value, bears_blocks(value))
}

/// Whether block scalars may be used for a document that has this value in it.
///
/// serde-saphyr quotes what YAML 1.1 would misread, but a tab at the start of a block scalar is more than go-yaml can bear.
pub fn bears_blocks(value: &Value) -> bool {
    match value {
        Value::String(text) => !(text.contains('\t') && text.contains('\n')),
        Value::Array(items) => items.iter().all(bears_blocks),
        Value::Object(map) => map.values().all(bears_blocks),
        _ => true,
    }
}

/// The same as [`emit`], for a part of a document of which all is known to bear block scalars or not.
pub fn emit_part(value: &Value, blocks: bool) -> String {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: blocks };
    // JSON is YAML, in case a value is more than the emitter can do.
    serde_saphyr::to_string_with_options(value, options).unwrap_or_else(|_| format!("{value}\n"))
}

enum Problem {
    Text(Cow<'static, str>),
    Remark(Remark),
}

impl Problem {
    fn at(self, offset: usize) -> Remark {
        match self {
            Self::Text(message) => Remark::new(offset, message),
            Self::Remark(remark) => remark,
        }
    }
}

impl From<&'static str> for Problem {
    fn from(message: &'static str) -> Self {
        Self::Text(message.into())
    }
}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        Self::Text(message.into())
    }
}

/// Builds one value after another from the parser's events.
struct Builder<'a> {
    budget: &'a Budget,
    stack: Vec<Frame>,
    /// Where the keys of all open mappings stand; each frame knows where its own begin.
    places: Vec<usize>,
    anchors: HashMap<usize, (Value, usize)>,
    root: Option<Value>,
    warnings: Vec<Remark>,
}

struct Frame {
    anchor: usize,
    /// What the finished children weigh.
    weight: usize,
    node: Node,
}

enum Node {
    Sequence(Vec<Value>),
    Mapping {
        map: Map<String, Value>,
        key: Option<Key>,
        first_place: usize,
        /// Where each key was written, once a merge has put others between them.
        written: Option<HashMap<String, usize>>,
    },
}

enum Key {
    Text(String, usize),
    Merge,
}

impl<'a> Builder<'a> {
    fn new(budget: &'a Budget) -> Self {
        Self {
            budget,
            stack: Vec::new(),
            places: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            warnings: Vec::new(),
        }
    }

    fn finish(&mut self) -> Option<Value> {
        self.stack.clear();
        self.places.clear();
        self.anchors.clear();
        self.root.take()
    }

    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let place = span.start.byte_offset().unwrap_or_default();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text = match tag.as_deref().and_then(core_name).as_deref() {
                    Some("binary") => binary(&text)?.into(),
                    _ => text,
                };
                let scalar = self.resolve(&text, style, tag.as_deref(), place)?;
                if self.wants_key() {
                    self.anchor_scalar(anchor, || to_value(scalar, text.to_string()))?;
                    let merges = matches!(text.as_ref(), "<<")
                        && tag
                            .as_deref()
                            .map_or(style == ScalarStyle::Plain, |tag| core_name(tag).as_deref() == Some("merge"));
                    let key = if merges { Key::Merge } else { Key::Text(key_text(scalar, text)?, place) };
                    return self.key(key);
                }
                let weight = NODE_WEIGHT + text.len();
                self.budget.spend(weight)?;
                let value = to_value(scalar, text.into_owned())?;
                self.anchor_scalar(anchor, || Ok(value.clone()))?;
                self.value(value, weight, false)
            }
            Event::SequenceStart(_, anchor, _) => self.open(anchor, Node::Sequence(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                let first_place = self.places.len();
                self.open(anchor, Node::Mapping { map: Map::new(), key: None, first_place, written: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => {
                let (value, weight) = self.anchors.get(&id).ok_or("an anchor's value contains its own alias")?;
                self.budget.spend_on_alias(*weight)?;
                let (value, weight) = (value.clone(), *weight);
                if self.wants_key() {
                    let key = match value {
                        Value::String(text) => text,
                        Value::Bool(value) => value.to_string(),
                        Value::Number(number) if number.is_i64() => number.to_string(),
                        _ => return Err("only text, whole numbers and booleans can be keys".into()),
                    };
                    return self.key(Key::Text(key, place));
                }
                self.value(value, weight, true)
            }
            _ => Ok(()),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { node: Node::Mapping { key: None, .. }, .. }))
    }

    fn open(&mut self, anchor: usize, node: Node) -> Result<(), Problem> {
        if self.wants_key() {
            return Err("a mapping or a sequence cannot be a key".into());
        }
        if self.stack.len() == MAX_DEPTH {
            return Err(too_deep().into());
        }
        self.budget.spend(NODE_WEIGHT)?;
        self.stack.push(Frame { anchor, weight: NODE_WEIGHT, node });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.node {
            Node::Sequence(items) => Value::Array(items),
            Node::Mapping { map, first_place, .. } => {
                self.places.truncate(first_place);
                Value::Object(map)
            }
        };
        if frame.anchor != 0 {
            self.budget.spend_on_alias(frame.weight)?;
            self.anchors.insert(frame.anchor, (value.clone(), frame.weight));
        }
        self.value(value, frame.weight, false)
    }

    fn anchor_scalar(&mut self, anchor: usize, value: impl FnOnce() -> Result<Value, Problem>) -> Result<(), Problem> {
        if anchor != 0 {
            let value = value()?;
            let weight = NODE_WEIGHT + value.as_str().map_or(0, str::len);
            self.budget.spend_on_alias(weight)?;
            self.anchors.insert(anchor, (value, weight));
        }
        Ok(())
    }

    fn key(&mut self, new: Key) -> Result<(), Problem> {
        if let Some(Frame { node: Node::Mapping { key, .. }, .. }) = self.stack.last_mut() {
            *key = Some(new);
        }
        Ok(())
    }

    fn value(&mut self, value: Value, weight: usize, alias: bool) -> Result<(), Problem> {
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        frame.weight += weight;
        match &mut frame.node {
            Node::Sequence(items) => items.push(value),
            Node::Mapping { map, key, first_place, written } => match key.take() {
                Some(Key::Text(name, place)) => {
                    self.budget.spend(NODE_WEIGHT + name.len())?;
                    frame.weight += NODE_WEIGHT + name.len();
                    let before = match written {
                        Some(written) => written.insert(name.clone(), place),
                        None => map.get(&name).and_then(|_| {
                            let index = map.keys().position(|key| *key == name)?;
                            self.places.get(*first_place + index).copied()
                        }),
                    };
                    if let Some(before) = before {
                        return Err(Problem::Remark(duplicate(&name, before, place)));
                    }
                    if written.is_none() {
                        self.places.push(place);
                    }
                    map.insert(name, value);
                }
                Some(Key::Merge) => {
                    if written.is_none() {
                        let places = self.places.get(*first_place..).unwrap_or_default();
                        *written = Some(map.keys().cloned().zip(places.iter().copied()).collect());
                    }
                    merge(map, value, alias)?;
                }
                None => {}
            },
        }
        Ok(())
    }

    fn resolve(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, place: usize) -> Result<Scalar, Problem> {
        let Some(tag) = tag else {
            if style != ScalarStyle::Plain {
                return Ok(Scalar::Text);
            }
            if scalars::is_surprising_bool(text) {
                let meaning = matches!(scalars::plain(text), Scalar::Bool(true));
                self.warnings.push(Remark::new(
                    place,
                    format!("`{text}` without quotes is read as {meaning}, as kubectl does; quote it if text is meant"),
                ));
            }
            return Ok(scalars::plain(text));
        };
        let scalar = scalars::plain(text);
        let name = core_name(tag);
        let name = name.as_deref().unwrap_or("str");
        let fits = match name {
            "bool" => matches!(scalar, Scalar::Bool(_)),
            "int" => matches!(scalar, Scalar::Int(_) | Scalar::Unsigned(_)),
            "float" => matches!(scalar, Scalar::Int(_) | Scalar::Float(_)),
            "null" => scalar == Scalar::Null,
            _ => return Ok(Scalar::Text),
        };
        if fits { Ok(scalar) } else { Err(format!("`{}` is no !!{name}", shorten(text)).into()) }
    }
}

fn too_deep() -> String {
    format!("this is nested more than {MAX_DEPTH} deep")
}

fn core_name(tag: &Tag) -> Option<Cow<'_, str>> {
    tag.suffix_in_namespace("tag:yaml.org,2002:")
}

pub(super) fn duplicate(name: &str, first: usize, second: usize) -> Remark {
    Remark {
        offset: second,
        message: format!("the key `{}` is there twice", shorten(name)),
        other: Some(("first in", first)),
    }
}

pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

/// JSON has text only, so that other bytes are lost.
fn binary(text: &str) -> Result<String, Problem> {
    let text: String = text.split_ascii_whitespace().collect();
    let bytes = base64::prelude::BASE64_STANDARD.decode(text).map_err(|_| "`!!binary` holds no base64")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn key_text(scalar: Scalar, text: Cow<'_, str>) -> Result<String, Problem> {
    match scalar {
        Scalar::Text => Ok(text.into_owned()),
        Scalar::Bool(value) => Ok(value.to_string()),
        Scalar::Int(value) => Ok(value.to_string()),
        Scalar::Float(value) => Ok(scalars::float_key(value)),
        Scalar::Null => Err("null cannot be a key".into()),
        Scalar::Unsigned(_) => Err("a number as large as this cannot be a key".into()),
    }
}

fn to_value(scalar: Scalar, text: String) -> Result<Value, Problem> {
    Ok(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::Bool(value),
        Scalar::Int(value) => value.into(),
        // kubectl knows int64 and float64 only.
        Scalar::Unsigned(value) => (value as f64).into(),
        Scalar::Float(value) => match scalars::whole(value) {
            Some(value) => value.into(),
            None => Number::from_f64(value).map(Value::Number).ok_or("JSON has neither infinity nor NaN")?,
        },
        Scalar::Text => Value::String(text),
    })
}

/// go-yaml lays what is merged over the keys that stand before it; those behind it win.
fn merge(map: &mut Map<String, Value>, value: Value, alias: bool) -> Result<(), Problem> {
    const WRONG: &str = "`<<` wants a mapping or a sequence of mappings";
    match value {
        Value::Object(other) => map.extend(other),
        Value::Array(items) if !alias => {
            for item in items.into_iter().rev() {
                let Value::Object(other) = item else { return Err(WRONG.into()) };
                map.extend(other);
            }
        }
        _ => return Err(WRONG.into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decode(text: &str) -> Vec<Value> {
        let documents = documents(text, &Budget::default()).unwrap_or_else(|problem| panic!("{text:?}: {problem:?}"));
        documents.into_iter().map(|document| document.value).collect()
    }

    #[track_caller]
    fn problem(text: &str) -> Remark {
        documents(text, &Budget::default()).expect_err(text)
    }

    /// What sigs.k8s.io/yaml 1.6 makes of these, by running it; tests/files.rs asks the real kubectl about them and more.
    #[test]
    fn scalars_merges_and_keys_are_kubectl_s() {
        for (text, expected) in [
            ("a: y", json!({"a": true})),
            ("a: 'y'", json!({"a": "y"})),
            ("y: 1", json!({"true": 1})),
            ("a: !!str y", json!({"a": "y"})),
            ("a: ! 12", json!({"a": "12"})),
            ("a: !!int \"12\"", json!({"a": 12})),
            ("a: !foo bar", json!({"a": "bar"})),
            ("a: !!binary aGk=", json!({"a": "hi"})),
            ("a: 014", json!({"a": 12})),
            ("a: 08", json!({"a": 8})),
            ("a: 2001-01-01", json!({"a": "2001-01-01"})),
            ("4.20: x", json!({"4.2": "x"})),
            ("1e6: x", json!({"1e+06": "x"})),
            ("014: x", json!({"12": "x"})),
            ("a: &x {b: 1}\nc: *x", json!({"a": {"b": 1}, "c": {"b": 1}})),
            ("a: &x k\n*x : 1", json!({"a": "k", "k": 1})),
            ("a: &x {b: 1, c: 2}\nd:\n  b: 0\n  <<: *x\n  c: 3", json!({"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}})),
            ("<<: [{a: 1}, {a: 2, b: 3}]", json!({"a": 1, "b": 3})),
            ("'<<': x", json!({"<<": "x"})),
            ("a: |\n  x\n   y\n", json!({"a": "x\n y\n"})),
            ("a: >-\n  x\n  y\n", json!({"a": "x y"})),
            ("a:\n- b\n-\n- c: d\n  e:", json!({"a": ["b", null, {"c": "d", "e": null}]})),
            ("\u{feff}a: b\r\nc: d\r\n", json!({"a": "b", "c": "d"})),
            ("{a: b}", json!({"a": "b"})),
            ("{\"a\": \"\\ud83d\\ude00\", \"b\": 1.0}", json!({"a": "😀", "b": 1})),
        ] {
            assert_eq!(decode(text), [expected], "{text:?}");
        }
    }

    #[test]
    fn documents_are_cut_where_they_end() {
        for (text, count) in [
            ("", 0),
            ("---\n---\n# nothing\n---\n", 0),
            ("a: 1\n---\nb: 2\n--- # comment\nc: 3\n---", 3),
            ("a: |\n  ---\n  x\n---\nb: 1", 2),
            ("a: 1\n...\nb: 2\n", 2),
            ("%YAML 1.1\n---\na: 1\n", 1),
            ("a: 1\n...\n%YAML 1.1\n---\nb: 1\n---\nc: 1\n", 3),
            ("--- {a: 1}\n--- {b: 1}\n", 2),
            ("{\"a\": 1}\n{\"b\": 2}\n", 2),
            ("a: 1\n---x: 2\n", 1),
        ] {
            let found = documents(text, &Budget::default()).unwrap();
            assert_eq!(found.len(), count, "{text:?}");
            for document in found {
                let alone = text.get(document.range.clone()).unwrap();
                assert_eq!(decode(alone), [document.value], "{alone:?} of {text:?}");
            }
        }
    }

    #[test]
    fn warnings_tell_what_kubectl_does() {
        let warnings = |text: &str| documents(text, &Budget::default()).unwrap().pop().unwrap().warnings;
        let found = warnings("a: 1\nb: on\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].offset, 8);
        assert!(found[0].message.starts_with("`on` without quotes is read as true"), "{found:?}");
        assert_eq!(warnings("no: 1\n").len(), 1);
        assert_eq!(warnings("a: true\nb: 'on'\nc: \"y\"\nd: yess\n"), []);
        assert!(warnings("a: 1\n...\nb: 2\n")[0].message.starts_with("kubectl reads nothing behind"));
    }

    #[test]
    fn a_key_there_twice_names_both_places() {
        for (text, first, second) in [
            ("a: 1\nb: 2\na: 3\n", 0, 10),
            ("x: 1\n---\nm:\n  c: {d: 1}\n  a: 1\n  'a': 3\n", 26, 33),
            ("{a: 1, b: {c: 1}, a: 2}", 1, 18),
            ("{\"x\": {\"a\": 1, \"a\": 2}}", 7, 15),
            ("{\"x\": 1}\n{\"a\": 1, \"a\": 2}", 10, 18),
            ("b: &b {a: 1}\nc:\n  x: 1\n  <<: *b\n  x: 2\n", 18, 34),
            ("on: 1\nyes: 2\n", 0, 6),
        ] {
            let problem = problem(text);
            assert_eq!((problem.offset, problem.other), (second, Some(("first in", first))), "{text:?} {problem:?}");
        }
        // What is merged may be written again.
        assert_eq!(decode("b: &b {a: 1}\nc:\n  <<: *b\n  a: 2\n").len(), 1);
    }

    #[test]
    fn problems_say_where() {
        for (text, offset, words) in [
            ("a: b\nc: [d\n", 8, "unclosed bracket"),
            ("a: 1\n---\nb: \"x\n", 12, "quote"),
            ("a: x\u{1}", 4, "control characters"),
            ("a: .inf", 3, "infinity"),
            ("null: 1", 0, "null cannot be a key"),
            ("? [a]\n: b", 2, "cannot be a key"),
            ("a: !!int x", 9, "`x` is no !!int"),
            ("a: &a [*a]", 7, "its own alias"),
            ("<<: 1", 4, "wants a mapping"),
            ("a: *x", 3, "anchor"),
            ("{\"a\": 1,\n \"b\": ]}", 15, ""),
        ] {
            let problem = problem(text);
            assert_eq!(problem.offset, offset, "{text:?} {problem:?}");
            assert!(problem.message.contains(words), "{text:?} {problem:?}");
        }
    }

    #[test]
    fn bombs_are_cut_short() {
        let laughs: String = (1..20)
            .map(|level| format!("b{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(",")))
            .collect();
        for (text, words) in [
            (format!("a: &a0 [x]\n{laughs}"), "aliases expand"),
            (format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), "*a, ".repeat(100)), "aliases expand"),
            ("[".repeat(1 << 20), "nested more than"),
            ("- ".repeat(1 << 20), "nested more than"),
            (format!("{{\"a\":{}", "[".repeat(1 << 20)), "nested"),
            (
                "a:\n".repeat(1000).lines().enumerate().map(|(i, line)| format!("{}{line}\n", " ".repeat(i))).collect(),
                "nested",
            ),
        ] {
            assert!(problem(&text).message.contains(words), "{:?}", problem(&text));
        }
        let long = format!("a: {}\n", "x".repeat(20 << 20));
        assert_eq!(decode(&long).len(), 1);
        let budget = Budget::default();
        budget.spend(MAX_WEIGHT - 1000).unwrap();
        assert!(documents(&format!("a: [{}]", "[],".repeat(100)), &budget).unwrap_err().message.contains("1 GiB"));
        let budget = Budget::default();
        budget.spend(MAX_WEIGHT - 1000).unwrap();
        assert!(documents(&format!("{{\"a\": [{}[]]}}", "[],".repeat(100)), &budget).is_err());
    }

    #[test]
    fn threads_change_nothing() {
        let many: String = (0..20_000).map(|i| format!("---\nname: n{i}\nlist:\n- a{i}\n- 'b'\n")).collect();
        assert!(many.len() > PARALLEL_FROM);
        let budget = Budget::default();
        let together = documents(&many, &budget).unwrap();
        let alone = decode_all(&many, &chunks(&many), &budget).unwrap();
        assert_eq!(together.len(), 20_000);
        assert!(together.iter().zip(&alone).all(|(one, other)| one.value == other.value && one.range == other.range));
        let broken = many.replace("name: n15000\n", "name: \"n15000\n");
        assert!(documents(&broken, &budget).is_err());
    }
}
