//! Comments of YAML files that begin with a word, and what they stand beside. Only what the scanner takes for a comment is one: not what
//! stands in a string or a block of text.

use std::ops::Range;

use granit_parser::{Event, Parser};
use memchr::memmem;

use super::yaml::{self, MAX_DEPTH};
use crate::snapshot::{Location, SourceFile};

/// A comment that begins with the word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// What stands behind the word.
    pub text: String,
    /// From the `#` on.
    pub location: Location,
    /// The line that it is about: its own where something else stands there, too; else the first one below that is neither a comment nor
    /// `---`. Nothing where that one is empty.
    pub line: Option<usize>,
}

/// The comments of a file that begin with the word. A file without the word costs one search.
pub fn comments(source: &SourceFile, word: &str) -> Vec<Comment> {
    let text = source.text.as_str();
    let mut found = Vec::new();
    let mut words = memmem::find_iter(text.as_bytes(), word).peekable();
    if words.peek().is_none() {
        return found;
    }
    for chunk in yaml::chunks(text) {
        let mut is_in_it = false;
        while words.next_if(|at| *at < chunk.end).is_some() {
            is_in_it = true;
        }
        if is_in_it {
            scan(source, chunk, word, &mut found);
        }
    }
    found
}

fn scan(source: &SourceFile, chunk: Range<usize>, word: &str, found: &mut Vec<Comment>) {
    let Some(text) = source.text.get(chunk.clone()) else { return };
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        max_buffered_comment_events: usize::MAX,
    };
    options.set_emit_comments(true);
    // What comes behind a mistake was not read either.
    for (event, span) in Parser::new_from_str_with_options(text, options).map_while(Result::ok) {
        let Event::Comment(comment, _) = event else { continue };
        let Some(rest) = comment.trim_start().strip_prefix(word) else { continue };
        let start = chunk.start + span.start.byte_offset().unwrap_or_default();
        let end = (start + 1 + comment.len()).min(chunk.end);
        let location = source.location(start..end);
        let line = line_beside(source, &location);
        found.push(Comment { text: rest.to_string(), location, line });
    }
}

fn line_beside(source: &SourceFile, comment: &Location) -> Option<usize> {
    let before = source.line(comment.line)?.chars().take(comment.column.saturating_sub(1));
    if !before.clone().all(char::is_whitespace) && before.collect::<String>().trim() != "---" {
        return Some(comment.line);
    }
    let mut line = comment.line + 1;
    loop {
        match source.line(line)?.trim() {
            "" => return None,
            text if text.starts_with('#') || text == "---" || text.starts_with("--- #") => line += 1,
            _ => return Some(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, usize, Option<usize>)> {
        let source = SourceFile::new("a.yaml", text);
        let comments = comments(&source, "x:ignore").into_iter();
        comments.map(|comment| (comment.text, comment.location.line, comment.line)).collect()
    }

    #[test]
    fn comments_and_what_is_none() {
        for (text, expected) in [
            ("a: b # x:ignore A\n", &[(" A", 1, Some(1))][..]),
            ("# x:ignore A\na: b\n", &[(" A", 1, Some(2))]),
            ("#x:ignore A\n# more\n#\na: b\n", &[(" A", 1, Some(4))]),
            ("# x:ignore A\n---\na: b\n", &[(" A", 1, Some(3))]),
            ("--- # x:ignore A\na: b\n", &[(" A", 1, Some(2))]),
            ("# x:ignore A\n\na: b\n", &[(" A", 1, None)]),
            ("a: b\n# x:ignore A\n", &[(" A", 2, None)]),
            ("a: b\n# x:ignore A", &[(" A", 2, None)]),
            ("a:\n- b # x:ignore A\n  # x:ignore B\n- c\n", &[(" A", 2, Some(2)), (" B", 3, Some(4))]),
            ("a: [b, # x:ignore A\n  c]\n", &[(" A", 1, Some(1))]),
            ("a: |\n  # x:ignore A\n  b # x:ignore B\n# x:ignore C\nc: d\n", &[(" C", 4, Some(5))]),
            ("a: \"# x:ignore A\"\nb: '\n  # x:ignore B'\n", &[]),
            ("a: b# x:ignore A\n", &[]),
            ("a: b # see x:ignore A\n", &[]),
            ("a: |- # x:ignore A\n  text\n", &[(" A", 1, Some(1))]),
            ("{\"a\": \"# x:ignore A\"}\n", &[]),
            ("a: b\n---\n# x:ignore A\nc: d\n---\n- e # x:ignore B\n", &[(" A", 3, Some(4)), (" B", 6, Some(6))]),
            ("a: b # x:ignore \u{e9}\r\nc: d\r\n", &[(" \u{e9}", 1, Some(1))]),
            ("ä: ö # x:ignore A\n[", &[(" A", 1, Some(1))]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(text, at, line)| (text.to_string(), *at, *line)).collect();
            assert_eq!(found(text), expected, "{text:?}");
        }
    }

    #[test]
    fn many_and_long_ones() {
        let started = std::time::Instant::now();
        let many = format!("{}a: b\n", "# x:ignore A\n".repeat(3_000));
        assert_eq!(found(&many).len(), 3_000);
        let beside: String = (0..20_000).map(|index| format!("k{index}: v # x:ignore A\n")).collect();
        assert_eq!(found(&beside).len(), 20_000);
        assert_eq!(found(&format!("a: b # x:ignore {}\n", "y".repeat(5_000_000))).len(), 1);
        assert_eq!(found(&"---\na: '# x:ignore'\n".repeat(20_000)).len(), 0);
        assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    }
}
