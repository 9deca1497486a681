//! Which files change, line by line where a person can read it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use ring::digest::{Context, Digest, SHA256};
use serde::Serialize;

use super::Side;
use super::scopes::Fingerprints;
use super::unified::unified_diff;
use crate::compile::pools::Content;
use crate::model::node_files::{NAMESPACE_POLICIES, NamespaceFile, NodeFiles, POLICY_JSON, file_name};
use crate::model::private_keys;

/// A file that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// On the node.
    pub path: String,
    /// What becomes of it.
    pub change: Change,
    /// Unified, or a sentence where lines would tell a person nothing.
    pub diff: String,
    /// How to read it, where it is not the file's own text that is compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

impl FileChange {
    /// Whether it was not even put together, since it is one of very many large ones.
    pub fn is_left_out(&self) -> bool {
        self.diff == UNSHOWN
    }
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Change {
    /// There was none.
    Added,
    /// There will be none.
    Removed,
    /// Its content.
    Changed,
}

/// Larger ones, both sides together, are not compared line by line.
const LARGEST: usize = 4 << 20;
/// So much is put together of namespaces' files: each repeats the cluster's policy, and there may be thousands.
const LARGEST_OF_NAMESPACES: usize = 64 << 20;

/// The files that change, by path.
pub(super) fn compare(before: &Side<'_>, after: &Side<'_>) -> BTreeMap<String, FileChange> {
    let paths: BTreeSet<&String> = before.contents.keys().chain(after.contents.keys()).collect();
    let mut changes = BTreeMap::new();
    let mut budget = LARGEST_OF_NAMESPACES;
    let mut namespaces = Namespaces::default();
    for path in paths {
        let contents = (before.contents.get(path), after.contents.get(path));
        if let (Some(before), Some(after)) = contents
            && before.is_written_as(after)
        {
            continue;
        }
        let is_of_namespace = path.starts_with(NAMESPACE_POLICIES);
        let change = if is_of_namespace && namespaces.have_equal_bases(before, after, path, changes.get(POLICY_JSON)) {
            None
        } else if is_of_namespace && budget == 0 {
            Some(FileChange { path: path.clone(), change: change_of(contents), diff: UNSHOWN.into(), note: None })
        } else {
            let (before, after) = both(contents);
            if is_of_namespace {
                let size =
                    |side: &Option<Read>| side.as_ref().map_or(0, |read| read.as_ref().map_or(0, |read| read.length));
                budget = budget.saturating_sub(size(&before) + size(&after));
            }
            file_change(path, before, after)
        };
        if let Some(change) = change {
            changes.insert(path.clone(), change);
        }
    }
    changes
}

const UNSHOWN: &str = "not shown: together the files of namespaces are too large\n";

type Read = Result<Measured, String>;

/// A file's content, held as far as it is small enough to be shown.
struct Measured {
    start: Vec<u8>,
    length: usize,
    lines: usize,
    hash: Context,
}

impl Measured {
    fn of(content: &Content<'_>) -> Read {
        let mut measured = Self { start: Vec::new(), length: 0, lines: 1, hash: Context::new(&SHA256) };
        content.write_to(&mut measured)?;
        Ok(measured)
    }

    fn sha256(&self) -> Digest {
        self.hash.clone().finish()
    }

    /// As far as it is held.
    fn is_text(&self) -> bool {
        if self.length == self.start.len() { is_text(&self.start) } else { !self.start.contains(&0) }
    }
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = LARGEST.saturating_sub(self.start.len());
        self.start.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.length += bytes.len();
        self.lines += memchr::memchr_iter(b'\n', bytes).count();
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A policy.json may have 100 MB: both are put together at once.
fn both((before, after): (Option<&Content<'_>>, Option<&Content<'_>>)) -> (Option<Read>, Option<Read>) {
    let read = |content: Option<&Content<'_>>| content.map(Measured::of);
    if before.is_none_or(Content::is_written) || after.is_none_or(Content::is_written) {
        return (read(before), read(after));
    }
    std::thread::scope(|threads| {
        let beside = threads.spawn(|| read(before));
        let after = read(after);
        (beside.join().unwrap_or_else(|_| read(before)), after)
    })
}

fn change_of<T>((before, after): (Option<T>, Option<T>)) -> Change {
    match (before, after) {
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        _ => Change::Changed,
    }
}

fn file_change(path: &str, before: Option<Read>, after: Option<Read>) -> Option<FileChange> {
    let change = change_of((before.as_ref(), after.as_ref()));
    let (diff, note) = match (before.transpose(), after.transpose()) {
        (Err(why), Err(same)) if why == same => return None,
        (Err(why), _) | (_, Err(why)) => (format!("cannot be shown: {why}\n"), None),
        (Ok(Some(before)), Ok(Some(after))) if before.sha256().as_ref() == after.sha256().as_ref() => return None,
        (Ok(before), Ok(after)) => shown(path, before.as_ref(), after.as_ref()),
    };
    Some(FileChange { path: path.to_string(), change, diff, note })
}

fn shown(path: &str, before: Option<&Measured>, after: Option<&Measured>) -> (String, Option<&'static str>) {
    if !before.is_none_or(Measured::is_text) || !after.is_none_or(Measured::is_text) {
        return (format!("not text: {} before, {} after\n", measured(before), measured(after)), None);
    }
    let size = |side: Option<&Measured>| side.map_or(0, |read| read.length);
    if size(before) + size(after) > LARGEST {
        let lines = |side: Option<&Measured>| side.map_or("nothing".to_string(), |read| counted(read.lines));
        return (format!("too large to show: {} before, {} after\n", lines(before), lines(after)), None);
    }
    let (before, after) = (before.map(|read| &*read.start), after.map(|read| &*read.start));
    let text = |bytes: Option<&[u8]>| without_private_keys(bytes.unwrap_or_default()).into_owned();
    let (mut before_text, mut after_text) = (text(before), text(after));
    let is_redacted =
        before_text.as_bytes() != before.unwrap_or_default() || after_text.as_bytes() != after.unwrap_or_default();
    let is_indented = path.ends_with(".json") && [&before_text, &after_text].into_iter().any(|text| is_one_line(text));
    if is_indented {
        (before_text, after_text) = (indented(&before_text), indented(&after_text));
    }
    let name = |side: &str, bytes: Option<&[u8]>| bytes.map_or("/dev/null".to_string(), |_| format!("{side}{path}"));
    let text = unified_diff(&before_text, &after_text, (&name("before", before), &name("after", after)));
    let note = match (is_redacted, is_indented) {
        (true, _) => Some("private keys are not shown"),
        (false, true) => Some("shown indented: the file itself is one line"),
        (false, false) => None,
    };
    (text, note)
}

/// Whether a file can be shown as lines.
pub fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0)
}

/// A file's text with the body of each private key taken out.
pub fn without_private_keys(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => private_keys::redact(text),
        Err(_) => Cow::Owned(private_keys::redact(&String::from_utf8_lossy(bytes)).into_owned()),
    }
}

/// `1234 bytes (sha256 3f9c…)`
fn measured(side: Option<&Measured>) -> String {
    let Some(read) = side else { return "nothing".to_string() };
    let hash: String = read.sha256().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let unit = if read.length == 1 { "byte" } else { "bytes" };
    format!("{} {unit} (sha256 {hash})", read.length)
}

fn counted(lines: usize) -> String {
    if lines == 1 { "1 line".to_string() } else { format!("{lines} lines") }
}

fn is_one_line(text: &str) -> bool {
    let text = text.trim_end();
    text.len() > 2 && text.starts_with('{') && !text.contains('\n')
}

/// JSON with one value a line, whatever it looked like; what is no JSON comes out as some text.
fn indented(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut characters = text.chars().peekable();
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth.min(16)));
    };
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                out.push('"');
                let mut is_escaped = false;
                for inner in characters.by_ref() {
                    out.push(inner);
                    match inner {
                        '"' if !is_escaped => break,
                        '\\' => is_escaped = !is_escaped,
                        _ => is_escaped = false,
                    }
                }
            }
            '{' | '[' => {
                out.push(character);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(close) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ if character.is_ascii_whitespace() => {}
            _ => out.push(character),
        }
    }
    out.push('\n');
    out
}

/// Whether a namespace's files are equal without being put together: what the controller writes is the cluster's policy and
/// additions.
#[derive(Default)]
struct Namespaces {
    fingerprints: Fingerprints,
}

impl Namespaces {
    fn have_equal_bases(
        &mut self,
        before: &Side<'_>,
        after: &Side<'_>,
        path: &str,
        cluster_change: Option<&FileChange>,
    ) -> bool {
        let is_generated =
            |side: &Side<'_>, path: &str| side.contents.get(path).is_some_and(|content| !content.is_written());
        let all_generated =
            [before, after].into_iter().all(|side| is_generated(side, path) && is_generated(side, POLICY_JSON));
        let namespace = file_name(path).trim_end_matches(".json");
        let additions = |files: &'_ NodeFiles| match files.namespaces.get(namespace) {
            Some(NamespaceFile::Additions { scopes, form }) => Some((scopes.clone(), *form)),
            _ => None,
        };
        let (true, None) = (all_generated, cluster_change) else { return false };
        let (Some(before), Some(after)) = (additions(&before.files), additions(&after.files)) else { return false };
        before.1 == after.1
            && before.0.len() == after.0.len()
            && before.0.iter().zip(&after.0).all(|((scope, own), (other_scope, other))| {
                scope == other_scope && self.fingerprints.each(own) == self.fingerprints.each(other)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, before: Option<&str>, after: Option<&str>) -> Option<FileChange> {
        let read = |text: Option<&str>| text.map(|text| Measured::of(&text.as_bytes().into()));
        file_change(path, read(before), read(after))
    }

    #[test]
    fn lines_as_diff_shows_them() {
        let told = |before, after| change("/etc/x", before, after).map(|found| (found.change, found.diff));
        assert_eq!(told(Some("a\n"), Some("a\n")), None);
        assert_eq!(
            told(Some("a\nb\n"), Some("a\nc")),
            Some((
                Change::Changed,
                "--- before/etc/x\n+++ after/etc/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n\\ No newline at end of file\n".into()
            ))
        );
        assert_eq!(
            told(None, Some("a\n")),
            Some((Change::Added, "--- /dev/null\n+++ after/etc/x\n@@ -0,0 +1 @@\n+a\n".into()))
        );
        assert_eq!(
            told(Some("a\n"), None),
            Some((Change::Removed, "--- before/etc/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n".into()))
        );
        assert_eq!(told(None, Some("")).map(|(change, _)| change), Some(Change::Added));
    }

    #[test]
    fn a_policy_on_one_line_is_shown_indented() {
        let found = change(
            "/etc/containers/policy.json",
            Some(r#"{"default":[{"type":"reject"}],"transports":{}}"#),
            Some(r#"{"default":[{"type":"insecureAcceptAnything"}],"transports":{}}"#),
        )
        .unwrap();
        assert!(found.note.unwrap().contains("indented"));
        assert!(
            found.diff.contains("\n-      \"type\": \"reject\"\n+      \"type\": \"insecureAcceptAnything\"\n"),
            "{}",
            found.diff
        );
        for hostile in ["{\"", "{\"a\\", "]]]]}}}", "{[{[\"\\\"", "{,,::"] {
            assert!(indented(hostile).ends_with('\n'));
        }
    }

    #[test]
    fn what_no_person_reads_is_measured() {
        let large = |line: &str| line.repeat(LARGEST / line.len());
        let found = change("/etc/x", Some(&large("abc\n")), Some(&large("abcdefg\n"))).unwrap();
        assert_eq!(found.diff, "too large to show: 1048577 lines before, 524289 lines after\n");
        let keyring =
            file_change("/etc/k.gpg", None, Some(Measured::of(&[0x99_u8, 0, 0xff].as_slice().into()))).unwrap();
        assert!(keyring.diff.starts_with("not text: nothing before, 3 bytes (sha256 "), "{}", keyring.diff);
        let unreadable = file_change(
            "/etc/x",
            Some(Err("its gzip data is broken".into())),
            Some(Measured::of(&[].as_slice().into())),
        )
        .unwrap();
        assert_eq!(unreadable.diff, "cannot be shown: its gzip data is broken\n");
    }

    #[test]
    fn private_keys_are_not_shown() {
        let pem =
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIFadeSecretSecretSecret\n-----END PRIVATE KEY-----\n";
        let found = change("/etc/k.pem", Some("old\n"), Some(pem)).unwrap();
        assert!(!found.diff.contains("Secret") && found.note == Some("private keys are not shown"), "{found:?}");
    }

    #[test]
    fn hostile_texts_end() {
        // Nothing in common, many lines of the same, and lines in reverse: none may take long.
        let count = 40_000;
        let lines = |make: fn(usize) -> usize| (0..count).map(|n| format!("{}\n", make(n))).collect::<String>();
        for (a, b) in [
            (lines(|n| n), lines(|n| n + 1_000_000)),
            (lines(|n| n), lines(|n| 40_000 - n)),
            (lines(|n| n % 2), lines(|n| n % 3)),
            (lines(|n| n * 7919 % 1000), lines(|n| n * 104_729 % 1000)),
        ] {
            let start = std::time::Instant::now();
            assert!(change("/etc/x", Some(&a), Some(&b)).is_some());
            assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
        }
    }
}
