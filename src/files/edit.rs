//! Fixes of findings → changed texts. Comments, order and quotes stay as they are: only the bytes that an edit is about change.
//!
//! Every change is proved before anybody sees it: the new text is parsed, and must say exactly what the old one says with the edits
//! made. What cannot be proved (an anchor that others use, a layout that this module does not understand) is left to a person.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle};
use serde_json::{Map, Value};

use super::scalars::{self, Scalar};
use super::yaml::{self, Budget};
use crate::lint::fix::{self, Edit, Fate, Fix, Operation, Step, steps};
use crate::model::provenance::ObjectRef;
use crate::snapshot::{Origin, SourceFile};

/// Another text in the place of some bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextEdit {
    /// The bytes that go; empty where something is put in.
    pub range: Range<usize>,
    /// What comes.
    pub text: String,
}

/// What is to change in one file.
#[derive(Debug)]
pub struct FileEdits {
    /// The file as it was read.
    pub source: Arc<SourceFile>,
    /// In the order of the text; they do not overlap.
    pub edits: Vec<TextEdit>,
}

impl FileEdits {
    /// The text with the edits made.
    pub fn text(&self) -> String {
        apply(&self.source.text, &self.edits)
    }
}

/// What came of some fixes.
#[derive(Debug, Default)]
pub struct Edited {
    /// Files that change.
    pub files: Vec<FileEdits>,
    /// For each fix: whether it is made, and why not.
    pub fates: Vec<Fate>,
}

/// Works out what fixes make of the files that their objects stand in. `object` tells where that is, and what stands there.
pub fn edit<'f, 'o>(
    fixes: impl IntoIterator<Item = &'f Fix>,
    object: impl Fn(&ObjectRef) -> Option<(&'o Origin, &'o Value)>,
) -> Edited {
    let fixes: Vec<&Fix> = fixes.into_iter().collect();
    let placed: Vec<Placed<'f>> = fixes.iter().map(|fix| Placed::of(fix, |name| Some(object(name)?.0))).collect();
    let mut edited = Edited { files: Vec::new(), fates: fix::choose(&fixes, |name| Some(object(name)?.1)) };
    for (fate, placed) in edited.fates.iter_mut().zip(&placed) {
        if let (Fate::Made, Err(why)) = (&*fate, &placed.edits) {
            *fate = Fate::Impossible(why.clone());
        }
    }
    let chosen: Vec<usize> = (0..fixes.len()).filter(|index| edited.fates[*index] == Fate::Made).collect();
    if let Ok(files) = prove(chosen.iter().map(|index| &placed[*index])) {
        edited.files = files;
        return edited;
    }
    // One of them is more than can be done; each alone tells which. The others get their turn when those are made.
    let mut first = true;
    for index in chosen {
        edited.fates[index] = match prove([&placed[index]]) {
            Ok(files) if first => {
                first = false;
                edited.files = files;
                Fate::Made
            }
            Ok(_) => Fate::Later,
            Err(why) => Fate::Impossible(why),
        };
    }
    edited
}

/// The edits of one fix, for reports that show them.
///
/// # Errors
/// Why it cannot be made in files.
pub fn edit_one<'o>(fix: &Fix, origin: impl FnMut(&ObjectRef) -> Option<&'o Origin>) -> Result<Vec<FileEdits>, String> {
    prove([&Placed::of(fix, origin)])
}

/// A fix with the places of its objects.
struct Placed<'f> {
    edits: Result<Vec<(&'f Edit, Place)>, String>,
}

#[derive(Clone)]
struct Place {
    source: Arc<SourceFile>,
    document: Range<usize>,
    pointer: Box<str>,
}

impl<'f> Placed<'f> {
    fn of<'o>(fix: &'f Fix, mut origin: impl FnMut(&ObjectRef) -> Option<&'o Origin>) -> Self {
        let place = |edit: &'f Edit| match origin(&edit.object) {
            Some(Origin::File { source, document, pointer }) => {
                Ok((edit, Place { source: source.clone(), document: document.clone(), pointer: pointer.clone() }))
            }
            _ => Err(format!("{} does not stand in a file", edit.object)),
        };
        Self { edits: fix.edits.iter().map(place).collect() }
    }
}

impl Place {
    fn file(&self) -> usize {
        Arc::as_ptr(&self.source) as usize
    }

    /// The steps from the document to a field of the object.
    fn steps(&self, path: &str) -> Vec<Step> {
        let pointer = self.pointer.split('/').skip(1);
        let pointer = pointer.map(|part| part.parse().map_or_else(|_| Step::Key(part.to_string()), Step::Index));
        pointer.chain(steps(path)).collect()
    }
}

/// Edits of one file.
type InFile<'e> = (Arc<SourceFile>, Vec<(&'e Edit, Place)>);

/// What is done to the fields of one document.
#[derive(Default)]
struct Changes<'e> {
    range: Range<usize>,
    of_fields: BTreeMap<Vec<Step>, Vec<&'e Operation>>,
    /// Fields that get another name: taken out under one, set under the other.
    renamed: BTreeMap<Vec<Step>, Vec<Step>>,
}

impl<'e> Changes<'e> {
    fn iter(&self) -> impl Iterator<Item = (&Vec<Step>, &'e Operation)> {
        self.of_fields.iter().flat_map(|(path, operations)| operations.iter().map(move |operation| (path, *operation)))
    }
}

/// The edits of fixes that do not touch each other, by file; an error where the new texts do not say what they should.
fn prove<'a, 'f: 'a>(fixes: impl IntoIterator<Item = &'a Placed<'f>>) -> Result<Vec<FileEdits>, String> {
    let mut files: Vec<InFile<'_>> = Vec::new();
    let mut positions: HashMap<usize, usize> = HashMap::new();
    for placed in fixes {
        for (edit, place) in placed.edits.as_ref().map_err(String::clone)? {
            let position = *positions.entry(place.file()).or_insert(files.len());
            if position == files.len() {
                files.push((place.source.clone(), Vec::new()));
            }
            files[position].1.push((edit, place.clone()));
        }
    }
    files.into_iter().map(|(source, edits)| prove_file(source, &edits)).collect()
}

fn prove_file(source: Arc<SourceFile>, edits: &[(&Edit, Place)]) -> Result<FileEdits, String> {
    let unclear = |why: &str| format!("{}: {why}", source.name);
    let mut documents: BTreeMap<usize, Changes<'_>> = BTreeMap::new();
    for (edit, place) in edits {
        let changes = documents.entry(place.document.start).or_default();
        changes.range = place.document.clone();
        let operations = changes.of_fields.entry(place.steps(edit.operation.path())).or_default();
        if !operations.contains(&&edit.operation) {
            operations.push(&edit.operation);
        }
    }
    for pair in edits.windows(2) {
        let [(first, place), (second, _)] = pair else { continue };
        let (Operation::Remove { value: before, .. }, Operation::Set { value: after, .. }) =
            (&first.operation, &second.operation)
        else {
            continue;
        };
        let [from, to] = [first, second].map(|edit| place.steps(edit.operation.path()));
        let is_name = first.object == second.object
            && before == after
            && matches!((from.split_last(), to.split_last()), (Some((_, a)), Some((_, b))) if a == b);
        if let Some(changes) = documents.get_mut(&place.document.start).filter(|_| is_name) {
            changes.renamed.insert(from, to);
        }
    }
    let read = |text: &str| yaml::documents(text, &Budget::default());
    let old = read(&source.text).map_err(|_| unclear("it cannot be read again"))?;
    let mut changed = Vec::new();
    let mut wanted: Vec<Value> = Vec::with_capacity(old.len());
    for document in old {
        let Some(changes) = documents.remove(&document.range.start) else {
            wanted.push(document.value);
            continue;
        };
        let range = changes.range.clone();
        if changes.iter().any(|(steps, operation)| steps.is_empty() && *operation == Operation::Delete) {
            changed.push(TextEdit { range: whole_lines(&source.text, range), text: String::new() });
            continue;
        }
        let mut value = document.value;
        for (steps, operation) in changes.iter() {
            expect(&mut value, steps, operation).ok_or_else(|| unclear("the field is not there as it was"))?;
        }
        wanted.push(strip(value).unwrap_or_default());
        let text = source.text.get(range.clone()).unwrap_or_default();
        let root = Tree::read(text, range.start).ok_or_else(|| unclear("the document cannot be taken apart"))?;
        let writer = Writer { text: &source.text, is_json: source.text.trim_start().starts_with(['{', '[']) };
        changed.extend(writer.edits(&root, &changes).ok_or_else(|| unclear("its layout is left to a person"))?);
    }
    if !documents.is_empty() {
        return Err(unclear("a document is not where it was"));
    }
    if wanted.is_empty() {
        return Err(unclear("nothing would be left in the file: delete it, or what it declares, yourself"));
    }
    changed.sort_by_key(|edit| (edit.range.start, edit.range.end));
    if changed.windows(2).any(|pair| pair[0].range.end > pair[1].range.start) {
        return Err(unclear("two changes touch the same text"));
    }
    let edits = FileEdits { source: source.clone(), edits: changed };
    let new = read(&edits.text()).map_err(|_| unclear("the changed text could not be read"))?;
    let is_proved = new.len() == wanted.len() && new.iter().zip(&wanted).all(|(new, wanted)| new.value == *wanted);
    if !is_proved {
        return Err(unclear("it cannot be changed there alone: aliases, or a layout that is left to a person"));
    }
    Ok(edits)
}

/// Where something was that is taken out: positions of the others stay as they are until the end.
const GONE: &str = "\u{0}gone";

fn gone() -> Value {
    let mut marker = Map::new();
    marker.insert(GONE.into(), Value::Null);
    Value::Object(marker)
}

fn is_gone(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.len() == 1 && map.contains_key(GONE))
}

/// What a document shall say after an operation.
fn expect(document: &mut Value, path: &[Step], operation: &Operation) -> Option<()> {
    let at = |value: &'_ Value, wanted: &Value| value == wanted;
    match operation {
        Operation::Append { value, .. } => find(document, path)?.as_array_mut()?.push(value.clone()),
        Operation::Delete => *find(document, path)? = gone(),
        Operation::Remove { value, .. } => {
            let found = find(document, path)?;
            at(found, value).then_some(())?;
            *found = gone();
        }
        Operation::Replace { before, after, .. } => {
            let found = find(document, path)?;
            at(found, before).then_some(())?;
            *found = after.clone();
        }
        Operation::Set { value, .. } => {
            let (last, around) = path.split_last()?;
            let Step::Key(key) = last else { return None };
            find(document, around)?.as_object_mut()?.insert(key.clone(), value.clone());
        }
    }
    Some(())
}

fn find<'v>(value: &'v mut Value, path: &[Step]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, step| match (step, value) {
        (Step::Key(key), Value::Object(map)) => map.get_mut(key),
        (Step::Index(index), Value::Array(items)) => items.get_mut(*index),
        (Step::Index(index), Value::Object(map)) => map.get_mut(&index.to_string()),
        _ => None,
    })
}

fn strip(value: Value) -> Option<Value> {
    if is_gone(&value) {
        return None;
    }
    Some(match value {
        Value::Array(items) => Value::Array(items.into_iter().filter_map(strip).collect()),
        Value::Object(map) => {
            Value::Object(map.into_iter().filter_map(|(key, value)| Some((key, strip(value)?))).collect())
        }
        other => other,
    })
}

fn apply(text: &str, edits: &[TextEdit]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for edit in edits {
        out.push_str(text.get(end..edit.range.start).unwrap_or_default());
        out.push_str(&edit.text);
        end = edit.range.end;
    }
    out.push_str(text.get(end..).unwrap_or_default());
    out
}

/// The length of what stands above the first document of a file for all of them: comments with an empty line below.
fn head(text: &str) -> usize {
    let mut at = 0;
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        match line.trim() {
            "" => end = at,
            comment if comment.starts_with('#') => {}
            _ => break,
        }
    }
    end
}

/// A document's range as lines: with its `---` in front, without that of the next.
fn whole_lines(text: &str, range: Range<usize>) -> Range<usize> {
    let before = text.get(..range.start).unwrap_or_default();
    let start = match before.trim_end_matches([' ', '\t', '\r', '\n']).strip_suffix("---") {
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => rest.len(),
        _ => range.start + head(text.get(range.clone()).unwrap_or_default()),
    };
    start..range.end
}

/// Where the parts of a document stand.
#[derive(Debug)]
struct Tree {
    range: Range<usize>,
    part: Part,
}

#[derive(Debug)]
enum Part {
    Scalar(ScalarStyle),
    List { flow: bool, items: Vec<Tree> },
    Map { flow: bool, entries: Vec<(Option<String>, Range<usize>, Tree)> },
    Alias,
}

struct Events<'a> {
    events: Parser<'a, StrInput<'a>>,
    text: &'a str,
    base: usize,
}

impl Tree {
    fn read(text: &str, base: usize) -> Option<Self> {
        let mut events = Events { events: yaml::parser(text), text, base };
        loop {
            let (event, span) = events.next()?;
            if event.is_node() {
                return events.tree(event, &span);
            }
        }
    }

    fn get(&self, path: &[Step]) -> Option<&Self> {
        path.iter().try_fold(self, |tree, step| match (step, &tree.part) {
            (Step::Index(index), Part::List { items, .. }) => items.get(*index),
            (step, Part::Map { entries, .. }) => {
                let wanted = step.to_string();
                entries.iter().find(|(key, ..)| key.as_deref() == Some(&*wanted)).map(|(_, _, value)| value)
            }
            _ => None,
        })
    }
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        self.events.next_event()?.ok()
    }

    fn range(&self, span: &Span) -> Range<usize> {
        let start = span.start.byte_offset().unwrap_or_default();
        let end = span.end.byte_offset().unwrap_or(start).max(start);
        let text = self.text.get(start..end).unwrap_or_default();
        self.base + start..self.base + start + text.trim_end().len()
    }

    /// As deep as the document is, which the reader has bounded.
    fn tree(&mut self, event: Event<'a>, span: &Span) -> Option<Tree> {
        let range = self.range(span);
        let part = match event {
            Event::Alias(_) => Part::Alias,
            Event::SequenceStart(style, ..) => {
                let flow = style != StructureStyle::Block;
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        let end = self.end(flow, &span, items.last().map(|item: &Tree| item.range.end), range.end);
                        return Some(Tree { range: range.start..end, part: Part::List { flow, items } });
                    }
                    items.push(self.tree(event, &span)?);
                }
            }
            Event::MappingStart(style, ..) => {
                let flow = style != StructureStyle::Block;
                let mut entries: Vec<(Option<String>, Range<usize>, Tree)> = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if matches!(event, Event::MappingEnd) {
                        let last = entries.last().map(|(_, key, value)| value.range.end.max(key.end));
                        let end = self.end(flow, &span, last, range.end);
                        return Some(Tree { range: range.start..end, part: Part::Map { flow, entries } });
                    }
                    let key = event.scalar().map(|(text, _)| text.to_string());
                    let key_range = self.tree(event, &span)?.range;
                    let (event, span) = self.next()?;
                    let value = self.tree(event, &span)?;
                    entries.push((key, key_range, value));
                }
            }
            event => Part::Scalar(event.scalar()?.1),
        };
        Some(Tree { range, part })
    }

    fn end(&self, flow: bool, span: &Span, last: Option<usize>, start: usize) -> usize {
        if flow { self.range(span).end } else { last.unwrap_or(start) }
    }
}

/// Turns operations into edits of the text.
struct Writer<'a> {
    text: &'a str,
    is_json: bool,
}

impl Writer<'_> {
    fn edits(&self, root: &Tree, changes: &Changes<'_>) -> Option<Vec<TextEdit>> {
        let mut edits = Vec::new();
        // Entries that go out of one list or map go together.
        let mut removed: BTreeMap<&[Step], Vec<&Step>> = BTreeMap::new();
        let mut appended: BTreeMap<&[Step], Vec<&Value>> = BTreeMap::new();
        let new_names: HashSet<&Vec<Step>> = changes.renamed.values().collect();
        for (path, operation) in changes.iter() {
            match operation {
                Operation::Remove { .. } if changes.renamed.contains_key(path) => {
                    edits.push(self.rename(root, path, changes.renamed.get(path)?)?);
                }
                Operation::Set { .. } if new_names.contains(path) => {}
                Operation::Remove { .. } | Operation::Delete => {
                    let (last, around) = path.split_last()?;
                    removed.entry(around).or_default().push(last);
                }
                Operation::Append { value, .. } => appended.entry(path).or_default().push(value),
                Operation::Replace { after, .. } => edits.push(self.replace(root, path, after)?),
                Operation::Set { value, .. } => match root.get(path) {
                    Some(_) => edits.push(self.replace(root, path, value)?),
                    None => edits.push(self.insert(root, path, value)?),
                },
            }
        }
        for (path, steps) in removed {
            let around = root.get(path)?;
            let mut positions: Vec<usize> = match &around.part {
                Part::List { .. } => steps.iter().map(|step| step.index()).collect::<Option<_>>()?,
                Part::Map { entries, .. } => steps
                    .iter()
                    .map(|step| {
                        let key = step.to_string();
                        entries.iter().position(|(other, ..)| other.as_deref() == Some(&*key))
                    })
                    .collect::<Option<_>>()?,
                _ => return None,
            };
            positions.sort_unstable();
            positions.dedup();
            // What is added to a list that loses all it has would stand behind `[]`.
            let is_all = matches!(&around.part, Part::List { items, .. } if items.len() == positions.len());
            if is_all && appended.contains_key(path) {
                return None;
            }
            edits.extend(self.remove(around, &positions)?);
        }
        for (path, values) in appended {
            edits.push(self.append(root.get(path)?, &values)?);
        }
        Some(edits)
    }

    fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|text| text.rfind('\n')).map_or(0, |newline| newline + 1)
    }

    /// The end of a line, before its line break.
    fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let line = rest.split_once('\n').map_or(rest, |(line, _)| line);
        at + line.strip_suffix('\r').unwrap_or(line).len()
    }

    fn next_line(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        rest.find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }

    fn line_break(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }

    /// What stands before a place in its line, if only blanks and dashes of lists do: as blanks of the same width.
    fn indent(&self, at: usize) -> Option<String> {
        let before = self.text.get(self.line_start(at)..at)?;
        before.chars().all(|c| matches!(c, ' ' | '-')).then(|| " ".repeat(before.len()))
    }

    /// Nothing but a comment follows in the line.
    fn is_last_in_line(&self, at: usize) -> bool {
        let rest = self.text.get(at..self.line_end(at)).unwrap_or_default();
        rest.trim().is_empty() || (rest.starts_with([' ', '\t']) && rest.trim_start().starts_with('#'))
    }

    /// The dash of an item of a block list, where it is the first thing in its line.
    fn dash(&self, item: &Tree) -> Option<usize> {
        let before = self.text.get(..item.range.start)?;
        let dash = before.trim_end_matches([' ', '\t']).strip_suffix('-')?.len();
        let is_first = self.text.get(self.line_start(dash)..dash)?.trim().is_empty();
        is_first.then_some(dash)
    }

    fn remove(&self, around: &Tree, positions: &[usize]) -> Option<Vec<TextEdit>> {
        let gone = |range: Range<usize>| TextEdit { range, text: String::new() };
        let (flow, parts, empty): (bool, Vec<Range<usize>>, &str) = match &around.part {
            Part::List { flow, items } => (*flow, items.iter().map(|item| item.range.clone()).collect(), "[]"),
            Part::Map { flow, entries } => {
                let part = |(_, key, value): &(_, Range<usize>, Tree)| key.start..value.range.end.max(key.end);
                (*flow, entries.iter().map(part).collect(), "{}")
            }
            _ => return None,
        };
        if positions.len() == parts.len() {
            return self.empty(around, flow, empty);
        }
        let runs = positions.chunk_by(|a, b| a + 1 == *b);
        if flow {
            let run = |run: &[usize]| {
                let own: Option<Vec<_>> = run.iter().map(|position| self.own_line(parts.get(*position)?)).collect();
                if let Some(lines) = own {
                    return Some(lines.into_iter().map(gone).collect());
                }
                let (first, last) = (*run.first()?, *run.last()?);
                let range = match first.checked_sub(1) {
                    Some(before) => parts.get(before)?.end..parts.get(last)?.end,
                    None => parts.first()?.start..parts.get(last + 1)?.start,
                };
                // A comment beside entries could be about any of them.
                let taken = self.text.get(range.clone())?;
                let rest = self.text.get(range.end..self.line_end(range.end))?.trim_start_matches([' ', '\t', ',']);
                let is_commented = taken.contains('\n') && (taken.contains('#') || rest.starts_with('#'));
                (!is_commented).then(|| vec![gone(range)])
            };
            return Some(runs.map(run).collect::<Option<Vec<_>>>()?.concat());
        }
        let mut edits = Vec::new();
        for position in positions {
            let part = parts.get(*position)?;
            let first = match &around.part {
                Part::List { items, .. } => self.dash(items.get(*position)?)?,
                _ => part.start,
            };
            if !self.is_last_in_line(part.end.max(first)) {
                return None;
            }
            let start = self.line_start(first);
            if self.text.get(start..first)?.trim().is_empty() {
                edits.push(gone(start..self.next_line(part.end.max(first))));
                continue;
            }
            // The first field of an item, behind its dash: the next one takes its place.
            let next = parts.get(position + 1).filter(|_| !positions.contains(&(position + 1)))?;
            if self.text.get(self.next_line(part.end)..next.start)?.contains('#') {
                return None;
            }
            edits.push(gone(first..next.start));
        }
        Some(edits)
    }

    /// The line of an entry of a flow list or map that has it for itself, but for the comma behind it and a comment.
    fn own_line(&self, part: &Range<usize>) -> Option<Range<usize>> {
        let line = self.line_start(part.start)..self.next_line(part.end);
        let is_first = self.text.get(line.start..part.start)?.trim().is_empty();
        let behind = self.text.get(part.end..line.end)?.trim_start().strip_prefix(',')?;
        let is_last =
            behind.trim().is_empty() || (behind.starts_with([' ', '\t']) && behind.trim_start().starts_with('#'));
        (is_first && is_last).then_some(line)
    }

    /// Nothing is left of a list or map: `[]` or `{}`.
    fn empty(&self, around: &Tree, flow: bool, empty: &str) -> Option<Vec<TextEdit>> {
        if flow {
            return Some(vec![TextEdit { range: around.range.clone(), text: empty.into() }]);
        }
        let first = match &around.part {
            Part::List { items, .. } => self.dash(items.first()?)?,
            _ => around.range.start,
        };
        let start = self.line_start(first);
        if !self.text.get(start..first)?.trim().is_empty() || !self.is_last_in_line(around.range.end) {
            return None;
        }
        // The line of the key, comments below it passed over.
        let before = self.text.get(..start)?;
        let lines = before.split_inclusive('\n').rev();
        let mut at = start;
        for line in lines {
            at -= line.len();
            let content = line.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let key = self.key_end(at)?;
            return Some(vec![
                TextEdit { range: key..key, text: format!(" {empty}") },
                TextEdit { range: start..self.next_line(around.range.end), text: String::new() },
            ]);
        }
        None
    }

    /// Behind the colon of a line that ends in a key, but for a comment.
    fn key_end(&self, line: usize) -> Option<usize> {
        let text = self.text.get(line..self.line_end(line))?;
        let colons = text.match_indices(':').map(|(colon, _)| line + colon + 1);
        colons.rev().find(|end| self.is_last_in_line(*end))
    }

    /// Another key, where the old one stands and quoted like it.
    fn rename(&self, root: &Tree, path: &[Step], to: &[Step]) -> Option<TextEdit> {
        let (key, around) = path.split_last()?;
        let Part::Map { entries, .. } = &root.get(around)?.part else { return None };
        let key = key.to_string();
        let (_, range, _) = entries.iter().find(|(other, ..)| other.as_deref() == Some(&*key))?;
        let to = to.last()?.to_string();
        let text = match self.text.get(range.clone())?.chars().next()? {
            '\'' => self.scalar(&Value::String(to), ScalarStyle::SingleQuoted),
            '"' => self.scalar(&Value::String(to), ScalarStyle::DoubleQuoted),
            _ if is_plain(&to) => to,
            _ => return None,
        };
        Some(TextEdit { range: range.clone(), text })
    }

    fn replace(&self, root: &Tree, path: &[Step], after: &Value) -> Option<TextEdit> {
        let found = root.get(path)?;
        let range = match found.part {
            Part::Scalar(style @ (ScalarStyle::Literal | ScalarStyle::Folded)) => {
                let before = self.text.get(..found.range.start)?;
                let sign = if style == ScalarStyle::Literal { '|' } else { '>' };
                // The content may begin behind the sign of a block scalar, or with it.
                let start = match self.text.get(found.range.start..)?.starts_with(sign) {
                    true => found.range.start,
                    false => before.rfind(sign)?,
                };
                start..found.range.end
            }
            Part::Scalar(_) => found.range.clone(),
            Part::List { flow: true, .. } | Part::Map { flow: true, .. } => found.range.clone(),
            _ => return None,
        };
        if range.is_empty() {
            return None;
        }
        let style = match found.part {
            Part::Scalar(style) => style,
            _ => ScalarStyle::Plain,
        };
        Some(TextEdit { range, text: self.scalar(after, style) })
    }

    fn insert(&self, root: &Tree, path: &[Step], value: &Value) -> Option<TextEdit> {
        let (last, around) = path.split_last()?;
        let map = root.get(around)?;
        let Part::Map { flow, entries } = &map.part else { return None };
        let key = self.scalar(&Value::String(last.to_string()), ScalarStyle::Plain);
        let Some((_, first, _)) = entries.first() else {
            let at = map.range.start + 1;
            return flow.then(|| TextEdit {
                range: at..at,
                text: format!("{key}: {}", self.scalar(value, ScalarStyle::Plain)),
            });
        };
        let (_, key_of_last, last_value) = entries.last()?;
        let end = last_value.range.end.max(key_of_last.end);
        if *flow {
            let text = format!("{key}: {}", self.scalar(value, ScalarStyle::Plain));
            return Some(self.behind(end, key_of_last.start, map.range.start, &text));
        }
        let indent = self.indent(first.start)?;
        if !self.is_last_in_line(end) {
            return None;
        }
        let text = match value {
            Value::Array(items) if !items.is_empty() => self.block(&key, value, &indent),
            Value::Object(map) if !map.is_empty() => self.block(&key, value, &indent),
            _ => format!("{indent}{key}: {}", self.scalar(value, ScalarStyle::Plain)),
        };
        let at = self.line_end(end);
        Some(TextEdit { range: at..at, text: format!("{}{text}", self.line_break()) })
    }

    fn block(&self, key: &str, value: &Value, indent: &str) -> String {
        let lines = yaml::emit(value);
        let lines = lines.trim_end().lines().map(|line| format!("{indent}  {line}"));
        let lines: Vec<String> = std::iter::once(format!("{indent}{key}:")).chain(lines).collect();
        lines.join(self.line_break())
    }

    fn append(&self, list: &Tree, values: &[&Value]) -> Option<TextEdit> {
        let Part::List { flow, items } = &list.part else { return None };
        let style = match items.last().map(|item| &item.part) {
            Some(Part::Scalar(style)) => *style,
            _ => ScalarStyle::Plain,
        };
        let written: Vec<String> = values.iter().map(|value| self.scalar(value, style)).collect();
        let Some(last) = items.last() else {
            let at = list.range.start + 1;
            return Some(TextEdit { range: at..at, text: written.join(", ") });
        };
        if *flow {
            let mut edit = self.behind(last.range.end, last.range.start, list.range.start, &written[0]);
            let separator = edit.text.strip_suffix(written[0].as_str()).unwrap_or_default().to_string();
            written.iter().skip(1).for_each(|value| edit.text.push_str(&format!("{separator}{value}")));
            return Some(edit);
        }
        let dash = self.dash(last)?;
        let indent = self.text.get(self.line_start(dash)..dash)?;
        if !self.is_last_in_line(last.range.end.max(dash)) {
            return None;
        }
        let at = self.line_end(last.range.end.max(dash));
        let lines = written.iter().map(|value| format!("{}{indent}- {value}", self.line_break()));
        Some(TextEdit { range: at..at, text: lines.collect() })
    }

    /// Behind the last part of a flow list or map: on a line of its own where the last part has one.
    fn behind(&self, end: usize, last: usize, opening: usize, text: &str) -> TextEdit {
        let line = self.line_start(last);
        let blank = self.text.get(line..last).filter(|before| before.trim().is_empty() && opening < line);
        let separator = match blank {
            Some(indent) => format!(",{}{indent}", self.line_break()),
            None => ", ".to_string(),
        };
        TextEdit { range: end..end, text: format!("{separator}{text}") }
    }

    /// A value on one line, quoted as its neighbours are.
    fn scalar(&self, value: &Value, style: ScalarStyle) -> String {
        let Value::String(text) = value else { return value.to_string() };
        let is_printable = text.chars().all(|c| !c.is_control() && c != '\u{2028}' && c != '\u{2029}');
        match style {
            ScalarStyle::SingleQuoted if is_printable && !self.is_json => format!("'{}'", text.replace('\'', "''")),
            ScalarStyle::Plain if is_plain(text) && !self.is_json => text.clone(),
            _ => value.to_string(),
        }
    }
}

/// Whether a text means itself without quotes, wherever it stands.
fn is_plain(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.'));
    let is_usual =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@' | '*' | '+' | '=');
    let is_text = matches!(scalars::plain(text), Scalar::Text) && !scalars::is_surprising_bool(text);
    begins && text.chars().all(is_usual) && !text.ends_with(':') && is_text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::files::read_text;

    const POLICY: &str = "\
# ours
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}   # flow
spec:
  # which
  scopes:  # these
    - 'a.io'   # first
    # about b
    - \"b.io\"
    - c.io
  policy:
    rootOfTrust: {policyType: PublicKey}
";

    fn edited(text: &str, fix: impl Fn(Fix, &Arc<ObjectRef>) -> Fix) -> Result<String, String> {
        let snapshot = read_text("a.yaml", text).unwrap();
        let (object, _, origin) = snapshot.as_written().next().unwrap();
        let (object, origin) = (object.clone(), origin.clone());
        let files = edit_one(&fix(Fix::safe("x"), &object), |_| Some(&origin))?;
        Ok(files[0].text())
    }

    #[track_caller]
    fn check(text: &str, fix: impl Fn(Fix, &Arc<ObjectRef>) -> Fix, before: &str, after: &str) {
        assert!(text.contains(before), "{before:?} is not in the text");
        let expected = text.replacen(before, after, 1);
        assert_eq!(edited(text, fix).as_deref(), Ok(expected.as_str()));
    }

    #[test]
    fn entries_of_block_lists() {
        check(POLICY, |fix, o| fix.remove(o, "spec.scopes[0]", "a.io"), "    - 'a.io'   # first\n", "");
        check(POLICY, |fix, o| fix.remove(o, "spec.scopes[1]", "b.io"), "    - \"b.io\"\n", "");
        check(POLICY, |fix, o| fix.remove(o, "spec.scopes[2]", "c.io"), "    - c.io\n", "");
        check(POLICY, |fix, o| fix.append(o, "spec.scopes", "d.io"), "    - c.io\n", "    - c.io\n    - d.io\n");
        check(
            POLICY,
            |fix, o| fix.append(o, "spec.scopes", "*.d.io"),
            "    - c.io\n",
            "    - c.io\n    - \"*.d.io\"\n",
        );
        check(POLICY, |fix, o| fix.replace(o, "spec.scopes[0]", "a.io", "it's"), "'a.io'", "'it''s'");
        check(POLICY, |fix, o| fix.replace(o, "spec.scopes[1]", "b.io", "z.io"), "\"b.io\"", "\"z.io\"");
        check(POLICY, |fix, o| fix.replace(o, "spec.scopes[2]", "c.io", "z.io/a:b"), "- c.io", "- z.io/a:b");
        check(POLICY, |fix, o| fix.replace(o, "spec.scopes[2]", "c.io", "no"), "- c.io", "- \"no\"");
        let all = |fix: Fix, o: &Arc<ObjectRef>| {
            fix.remove(o, "spec.scopes[0]", "a.io").remove(o, "spec.scopes[1]", "b.io").remove(
                o,
                "spec.scopes[2]",
                "c.io",
            )
        };
        check(
            POLICY,
            all,
            "  scopes:  # these\n    - 'a.io'   # first\n    # about b\n    - \"b.io\"\n    - c.io\n",
            "  scopes: []  # these\n",
        );
    }

    #[test]
    fn names_of_fields() {
        let called = |fix: Fix, o: &Arc<ObjectRef>| {
            fix.remove(o, "spec.scope", json!(["a.io"])).set(o, "spec.scopes", json!(["a.io"]))
        };
        for (text, expected) in [
            ("spec:\n  # the\n  scope:  # here\n  - a.io # a\n  x: 1\n", "scopes:  # here"),
            ("spec:\n  'scope' : [a.io]\n", "'scopes' :"),
            ("spec: {scope: [a.io], x: 1}\n", "{scopes: [a.io], x"),
            ("spec: {\"scope\": [a.io]}\n", "{\"scopes\": [a.io]"),
            ("spec:\n  ? scope\n  : [a.io]\n", "? scopes\n"),
        ] {
            let text = format!("apiVersion: config.openshift.io/v1\nkind: Image\nmetadata: {{name: cluster}}\n{text}");
            let changed = edited(&text, called).unwrap();
            assert!(changed.contains(expected), "{changed}");
            assert_eq!(changed.replace("scopes", "scope"), text);
        }
    }

    #[test]
    fn comments_within_flow_lists() {
        let text = |list: &str| {
            format!(
                "apiVersion: config.openshift.io/v1\nkind: Image\nmetadata: {{name: cluster}}\nspec:\n  x: {list}\n"
            )
        };
        let second = |fix: Fix, o: &Arc<ObjectRef>| fix.remove(o, "spec.x[1]", "b");
        let lines = text("[\n    a, # a\n    b, # b\n    c  # c\n  ]");
        check(&lines, second, "    b, # b\n", "");
        for between in ["[ a\n  , b # b\n  , c\n  ]", "[\n    a, # a\n    b # b\n  ]"] {
            assert!(edited(&text(between), second).is_err(), "{between}");
        }
    }

    #[test]
    fn fields() {
        check(POLICY, |fix, o| fix.set(o, "spec.policy.x", "y"), "PublicKey}\n", "PublicKey}\n    x: \"y\"\n");
        check(
            POLICY,
            |fix, o| fix.set(o, "spec.policy.rootOfTrust.pki", json!({"a": "b"})),
            "PublicKey}",
            "PublicKey, pki: {\"a\":\"b\"}}",
        );
        check(
            POLICY,
            |fix, o| fix.set(o, "spec.a", json!({"b": ["c"]})),
            "PublicKey}\n",
            "PublicKey}\n  a:\n    b:\n    - c\n",
        );
        check(POLICY, |fix, o| fix.set(o, "metadata.name", "other"), "name: team", "name: other");
        check(
            POLICY,
            |fix, o| fix.remove(o, "spec.policy.rootOfTrust.policyType", "PublicKey"),
            "{policyType: PublicKey}",
            "{}",
        );
        check(
            POLICY,
            |fix, o| fix.remove(o, "spec.policy", json!({"rootOfTrust": {"policyType": "PublicKey"}})),
            "  policy:\n    rootOfTrust: {policyType: PublicKey}\n",
            "",
        );
        let rename = |fix: Fix, o: &Arc<ObjectRef>| {
            fix.remove(o, "spec.policy.rootOfTrust.policyType", "PublicKey").set(
                o,
                "spec.policy.rootOfTrust.type",
                "PublicKey",
            )
        };
        check(POLICY, rename, "{policyType: PublicKey}", "{type: PublicKey}");
    }

    #[test]
    fn items_behind_a_dash() {
        let text = "apiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\nmetadata:\n  name: m\nspec:\n  imageDigestMirrors:\n  - source: a.io\n    mirrors:\n    - b.io\n    - c.io\n  - mirrors: [d.io, e.io,\n      f.io]\n    source: g.io\n";
        let at = |path: &str| format!("spec.imageDigestMirrors{path}");
        check(text, |fix, o| fix.remove(o, &at("[0].source"), "a.io"), "source: a.io\n    mirrors:", "mirrors:");
        check(text, |fix, o| fix.remove(o, &at("[1].source"), "g.io"), "    source: g.io\n", "");
        check(text, |fix, o| fix.remove(o, &at("[0].mirrors[1]"), "c.io"), "    - c.io\n", "");
        check(text, |fix, o| fix.remove(o, &at("[1].mirrors[0]"), "d.io"), "d.io, ", "");
        check(text, |fix, o| fix.remove(o, &at("[1].mirrors[2]"), "f.io"), ",\n      f.io", "");
        check(text, |fix, o| fix.append(o, &at("[1].mirrors"), "h.io"), "f.io]", "f.io,\n      h.io]");
        check(
            text,
            |fix, o| fix.remove(o, &at("[0]"), json!({"source": "a.io", "mirrors": ["b.io", "c.io"]})),
            "  - source: a.io\n    mirrors:\n    - b.io\n    - c.io\n",
            "",
        );
        check(
            text,
            |fix, o| fix.set(o, &at("[1].mirrorSourcePolicy"), "NeverContactSource"),
            "g.io\n",
            "g.io\n    mirrorSourcePolicy: NeverContactSource\n",
        );
        let both = |fix: Fix, o: &Arc<ObjectRef>| {
            fix.remove(o, &at("[0].mirrors[0]"), "b.io").remove(o, &at("[0].mirrors[1]"), "c.io")
        };
        check(text, both, "    mirrors:\n    - b.io\n    - c.io\n", "    mirrors: []\n");
    }

    #[test]
    fn json_stays_json() {
        let text = "{\n  \"apiVersion\": \"config.openshift.io/v1\",\n  \"kind\": \"Image\",\n  \"metadata\": {\"name\": \"cluster\"},\n  \"spec\": {\n    \"registrySources\": {\n      \"allowedRegistries\": [\n        \"a.io\",\n        \"b.io\"\n      ]\n    }\n  }\n}\n";
        let list = "spec.registrySources.allowedRegistries";
        check(text, |fix, o| fix.append(o, list, "c.io"), "\"b.io\"", "\"b.io\",\n        \"c.io\"");
        check(text, |fix, o| fix.remove(o, &format!("{list}[0]"), "a.io"), "\"a.io\",\n        ", "");
        check(text, |fix, o| fix.remove(o, &format!("{list}[1]"), "b.io"), ",\n        \"b.io\"", "");
        check(
            text,
            |fix, o| fix.set(o, "spec.registrySources.insecureRegistries", json!(["x"])),
            "      ]\n",
            "      ],\n      \"insecureRegistries\": [\"x\"]\n",
        );
    }

    #[test]
    fn documents_go_with_their_marker() {
        let two = format!("{POLICY}---\n{}# the end\n", POLICY.replace("team", "other"));
        let text = edited(&two, |fix, o| fix.delete(o)).unwrap();
        assert!(text.contains("other") && !text.contains("team"), "{text}");
        assert!(edited(POLICY, |fix, o| fix.delete(o)).unwrap_err().contains("nothing would be left"));
        let list = "kind: List\napiVersion: v1\nitems:\n- apiVersion: config.openshift.io/v1\n  kind: Image\n  metadata: {name: cluster}\n  spec: {}\n- apiVersion: config.openshift.io/v1\n  kind: ClusterVersion\n  metadata: {name: version}\n";
        let text = edited(list, |fix, o| fix.delete(o)).unwrap();
        assert!(
            text.starts_with(
                "kind: List\napiVersion: v1\nitems:\n- apiVersion: config.openshift.io/v1\n  kind: ClusterVersion"
            ),
            "{text}"
        );
    }

    #[test]
    fn what_cannot_be_proved_is_left_alone() {
        let shared =
            POLICY.replace("  scopes:  # these", "  other: &s [x]\n  scopes:").replace("    - c.io", "    - *s");
        assert!(edited(&shared, |fix, o| fix.remove(o, "spec.scopes[0]", "a.io")).is_ok());
        let anchored = POLICY.replace("- c.io", "- &c c.io").replace("{policyType: PublicKey}", "{policyType: *c}");
        assert!(edited(&anchored, |fix, o| fix.remove(o, "spec.scopes[2]", "c.io")).is_err());
        assert!(edited(&anchored, |fix, o| fix.replace(o, "spec.scopes[2]", "c.io", "d.io")).is_err());
        assert!(
            edited(POLICY, |fix, o| fix.remove(o, "spec.scopes[0]", "other")).is_err(),
            "another value stands there"
        );
        assert!(edited(POLICY, |fix, o| fix.remove(o, "spec.scopes[7]", "x")).is_err());
        let block = POLICY.replace("'a.io'   # first", ">-\n      a.io");
        assert_eq!(
            edited(&block, |fix, o| fix.replace(o, "spec.scopes[0]", "a.io", "z.io")).unwrap(),
            block.replace(">-\n      a.io", "\"z.io\"")
        );
    }

    #[test]
    fn windows_lines_and_no_end_of_line() {
        let text = POLICY.replace('\n', "\r\n");
        check(&text, |fix, o| fix.append(o, "spec.scopes", "d.io"), "- c.io\r\n", "- c.io\r\n    - d.io\r\n");
        check(&text, |fix, o| fix.remove(o, "spec.scopes[1]", "b.io"), "    - \"b.io\"\r\n", "");
        let text = POLICY.trim_end();
        check(text, |fix, o| fix.set(o, "spec.a", "b"), "PublicKey}", "PublicKey}\n  a: b");
    }

    #[test]
    fn fixes_that_touch_each_other_wait() {
        let snapshot = read_text("a.yaml", POLICY).unwrap();
        let policy = &snapshot.cluster_image_policies[0];
        let object = &policy.reference;
        let fixes = [
            Fix::safe("a").remove(object, "spec.scopes[0]", "a.io"),
            Fix::safe("b").replace(object, "spec.scopes[0]", "a.io", "x.io"),
            Fix::safe("c").remove(object, "spec.scopes[0]", "a.io"),
            Fix::safe("d").append(object, "spec.scopes", "d.io"),
            Fix::safe("e").remove(object, "spec.scopes[1]", "nothing of the kind"),
            Fix::safe("f").delete(object),
        ];
        let edited = edit(&fixes[..4], |_| Some((&policy.origin, &policy.raw)));
        assert_eq!(edited.fates, [Fate::Made, Fate::Later, Fate::Made, Fate::Made]);
        let expected = POLICY.replace("    - 'a.io'   # first\n", "").replace("- c.io\n", "- c.io\n    - d.io\n");
        assert_eq!(edited.files[0].text(), expected);
        let edited = edit(&fixes, |_| Some((&policy.origin, &policy.raw)));
        assert!(matches!(edited.fates[4], Fate::Impossible(_)), "{:?}", edited.fates);
        assert_eq!((&edited.fates[0], &edited.fates[5], edited.files.len()), (&Fate::Made, &Fate::Later, 1));
    }
}
