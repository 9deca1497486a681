//! Where an object stood, and the files that were read, kept for looking up lines.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use serde::Serialize;

use crate::model::private_keys::{NOT_SHOWN, private_keys};

/// A stretch of a file. Lines and columns count from 1, columns in Unicode scalar values; the end is behind the last one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    /// As the user would name it.
    pub file: String,
    /// Of the first character.
    pub line: usize,
    /// Of the first character.
    pub column: usize,
    /// Of the end.
    pub end_line: usize,
    /// Of the end.
    pub end_column: usize,
}

/// A line with what is marked in it, cut where it is long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Its number, from 1.
    pub line: usize,
    /// What stands before the marked part; begins with `…` where more was cut off.
    pub before: String,
    /// What is marked.
    pub marked: String,
    /// What follows; ends with `…` where more was cut off.
    pub after: String,
}

/// Where an object stood. Lines and columns are looked up only when somebody needs them.
#[derive(Clone, Debug, Default)]
pub enum Origin {
    /// In an API server.
    #[default]
    Live,
    /// In a file.
    File {
        /// The file.
        source: Arc<SourceFile>,
        /// The byte range of the YAML document that it stood in, so that one object can be parsed again alone.
        document: Range<usize>,
        /// The object's place in the document as a JSON pointer: empty, or `/items/3`.
        pointer: Box<str>,
    },
}

/// A file that was read. Its lines are counted once, when the first position is asked for.
#[derive(Default)]
pub struct SourceFile {
    /// As the user would name it.
    pub name: String,
    /// Its content.
    pub text: String,
    index: OnceLock<Index>,
    private_keys: OnceLock<Vec<Range<usize>>>,
    items: Mutex<HashMap<List, Arc<[Range<usize>]>>>,
}

/// A document's start and the pointer of a list in it.
type List = (usize, Box<str>);

/// Enough to turn a byte offset into line and column without counting from the start, even in one line of 100 MB.
struct Index {
    /// The offset of each line.
    lines: Vec<usize>,
    /// How many characters stand before each block of [`BLOCK`] bytes.
    characters: Vec<usize>,
}

const BLOCK: usize = 512;

impl SourceFile {
    /// A file as it was read.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), ..Self::default() }
    }

    /// Line and column of a byte offset, both from 1, columns in Unicode scalar values. An offset behind the end is the end.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let index = self.index();
        let line = index.lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|line| index.lines.get(line)).copied().unwrap_or_default();
        let column = self.characters_before(offset).saturating_sub(self.characters_before(start));
        (line.max(1), column + 1)
    }

    /// The text of a line, counted from 1, without its line break.
    pub fn line(&self, line: usize) -> Option<&str> {
        self.line_range(line).and_then(|range| self.text.get(range))
    }

    /// Where that text stands.
    pub fn line_range(&self, line: usize) -> Option<Range<usize>> {
        let start = *self.index().lines.get(line.checked_sub(1)?)?;
        let rest = self.text.get(start..)?;
        let text = rest.get(..memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len()))?;
        Some(start..start + text.strip_suffix('\r').unwrap_or(text).len())
    }

    /// Where the items of a list stand, worked out once by `find`. The key is the document's start and the list's pointer.
    pub fn items(&self, document: usize, list: &str, find: impl FnOnce() -> Vec<Range<usize>>) -> Arc<[Range<usize>]> {
        let mut items = self.items.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        items.entry((document, list.into())).or_insert_with(|| find().into()).clone()
    }

    fn characters_before(&self, offset: usize) -> usize {
        let block = (offset / BLOCK).min(self.index().characters.len().saturating_sub(1));
        let before = self.index().characters.get(block).copied().unwrap_or_default();
        let rest = self.text.as_bytes().get(block * BLOCK..offset.min(self.text.len())).unwrap_or_default();
        before + characters(rest)
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            let bytes = self.text.as_bytes();
            let lines =
                std::iter::once(0).chain(memchr::memchr_iter(b'\n', bytes).map(|newline| newline + 1)).collect();
            let blocks = bytes.chunks(BLOCK).map(characters);
            let running = blocks.scan(0, |sum, block| Some(std::mem::replace(sum, *sum + block)));
            Index { lines, characters: running.collect() }
        })
    }
}

/// Every character of UTF-8 has one byte that is no continuation.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFile").field("name", &self.name).field("bytes", &self.text.len()).finish()
    }
}

impl SourceFile {
    /// A stretch of the file by its bytes.
    pub fn location(&self, range: Range<usize>) -> Location {
        let (line, column) = self.position(range.start);
        let (end_line, end_column) = self.position(range.end.max(range.start));
        Location { file: self.name.clone(), line, column, end_line, end_column }
    }

    /// The first line of a location; no private key is shown.
    pub fn excerpt(&self, location: &Location) -> Option<Excerpt> {
        let line = self.line_range(location.line)?;
        let skipped = location.column.saturating_sub(1 + MARGIN);
        // A line may be a whole file: it is not walked through from its start for every finding in it.
        let start = self.offset(line.start, skipped).min(line.end);
        let text = self.text.get(start..line.end)?;
        let shown = text.char_indices().nth(2 * MARGIN + WIDEST + 1).map_or(text.len(), |(end, _)| end);
        if self.meets_private_key(start..start + shown) {
            let marked = NOT_SHOWN.to_owned();
            return Some(Excerpt { line: location.line, before: String::new(), marked, after: String::new() });
        }
        let mut rest = text.chars();
        let mut before: String = rest.by_ref().take(location.column - 1 - skipped).collect();
        if skipped > 0 {
            before.insert(0, '…');
        }
        let width = if location.end_line == location.line {
            location.end_column.saturating_sub(location.column)
        } else {
            WIDEST
        };
        let marked: String = rest.by_ref().take(width.clamp(1, WIDEST)).collect();
        let mut after: String = rest.by_ref().take(MARGIN).collect();
        if rest.next().is_some() {
            after.push('…');
        }
        Some(Excerpt { line: location.line, before, marked, after })
    }
}

impl SourceFile {
    /// The offset of a character that stands so many characters behind another offset.
    fn offset(&self, start: usize, characters_behind: usize) -> usize {
        let wanted = self.characters_before(start) + characters_behind;
        let block = self.index().characters.partition_point(|before| *before <= wanted).saturating_sub(1);
        let mut seen = self.index().characters.get(block).copied().unwrap_or_default();
        let at = block * BLOCK;
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        let position = rest.iter().position(|byte| {
            let begins = byte & 0xc0 != 0x80;
            seen += usize::from(begins);
            begins && seen > wanted
        });
        position.map_or(self.text.len(), |position| at + position)
    }

    /// Whether a private key meets a part of the text; looked for once.
    fn meets_private_key(&self, part: Range<usize>) -> bool {
        let keys = self.private_keys.get_or_init(|| private_keys(self.text.as_bytes()));
        let next = keys.partition_point(|key| key.end < part.start);
        keys.get(next).is_some_and(|key| key.start <= part.end)
    }
}

/// How many characters are shown on either side of what is marked, and of the marked part itself.
const MARGIN: usize = 60;
const WIDEST: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let file = SourceFile::new("a.yaml", "a\näöü: x\r\n\n日本");
        for (offset, expected) in [
            (0, (1, 1)),
            (1, (1, 2)),
            (2, (2, 1)),
            (4, (2, 2)),
            (8, (2, 4)),
            (13, (3, 1)),
            (14, (4, 1)),
            (17, (4, 2)),
            (99, (4, 3)),
        ] {
            assert_eq!(file.position(offset), expected, "{offset}");
        }
        assert_eq!(file.line(2), Some("äöü: x"));
        assert_eq!(file.line(4), Some("日本"));
        assert_eq!(file.line(5), None);
        assert_eq!(file.line(0), None);
        assert_eq!(SourceFile::default().position(7), (1, 1));
    }

    #[test]
    fn long_lines_are_counted_in_blocks() {
        let file = SourceFile::new("long", "ä".repeat(3 * BLOCK) + "\nx");
        assert_eq!(file.position(2 * (2 * BLOCK + 7)), (1, 2 * BLOCK + 8));
        assert_eq!(file.position(6 * BLOCK + 1), (2, 1));
    }
}
