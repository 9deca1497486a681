//! The words before the one that is completed, read with all their mistakes: what flags say so far.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

/// Flags with their values, and the command that they belong to.
#[derive(Debug, Default)]
pub struct Words {
    /// `completion install`
    pub command: String,
    /// By the argument's id; a flag without a value has an empty one.
    values: Vec<(String, OsString)>,
}

impl Words {
    /// Reads the words as far as they make sense. `program` must be built.
    pub fn read(program: &Command, words: &[OsString]) -> Self {
        let mut read = Self::default();
        let mut command = program;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let text = word.to_string_lossy();
            if text == "--" {
                break;
            }
            if let Some((arg, value)) = split(command, &text) {
                let value = match value {
                    _ if !takes_value(arg) => OsString::new(),
                    Some(value) => value.into(),
                    None => words.next().cloned().unwrap_or_default(),
                };
                read.values.push((arg.get_id().to_string(), value));
            } else if let Some(below) = command.find_subcommand(&*text) {
                command = below;
                read.command = format!("{} {text}", read.command).trim_start().to_string();
            }
        }
        read
    }

    /// What is said last.
    pub fn last(&self, id: &str) -> Option<&OsStr> {
        self.all(id).last()
    }

    /// [`Words::last`] as text, where it is any.
    pub fn text(&self, id: &str) -> Option<String> {
        self.last(id)?.to_str().filter(|text| !text.is_empty()).map(str::to_string)
    }

    /// Everything that is said.
    pub fn all(&self, id: &str) -> impl Iterator<Item = &OsStr> {
        self.values.iter().filter(move |(of, _)| of == id).map(|(_, value)| value.as_os_str())
    }

    /// Whether the flag is there.
    pub fn has(&self, id: &str) -> bool {
        self.all(id).next().is_some()
    }
}

/// The flag that a word is, by any of its names, and the value that is in the same word. Of short flags in one word it is the last.
pub fn split<'c>(command: &'c Command, word: &str) -> Option<(&'c Arg, Option<String>)> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value.to_string())));
        let is_named = |arg: &&Arg| {
            arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
        };
        return Some((command.get_arguments().find(is_named)?, value));
    }
    let mut letters = word.strip_prefix('-')?.chars();
    while let Some(letter) = letters.next() {
        let arg = command.get_arguments().find(|arg| arg.get_short() == Some(letter))?;
        let rest = letters.as_str();
        if takes_value(arg) {
            let value = rest.strip_prefix('=').unwrap_or(rest);
            return Some((arg, (!rest.is_empty()).then(|| value.to_string())));
        }
        if rest.is_empty() {
            return Some((arg, None));
        }
    }
    None
}

/// Whether something has to follow the flag.
pub fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_with_their_mistakes() {
        let mut program = crate::commands::definition();
        program.build();
        for (line, command, id, expected) in [
            ("lint -n shop", "lint", "namespace", &["shop"][..]),
            ("lint -nshop", "lint", "namespace", &["shop"]),
            ("lint -n=shop", "lint", "namespace", &["shop"]),
            ("lint -ARn shop", "lint", "namespace", &["shop"]),
            ("lint --namespace=shop --nonsense --context", "lint", "namespace", &["shop"]),
            ("lint --context", "lint", "context", &[""]),
            ("lint -f a -f b --example", "lint", "filename", &["a", "b"]),
            ("lint -f a --example", "lint", "example", &[""]),
            ("diff --overlay a", "diff", "filename", &["a"]),
            ("explain -- -n shop", "explain", "namespace", &[]),
            ("explain diff -n shop", "explain", "namespace", &["shop"]),
            ("completion install --dir /x", "completion install", "dir", &["/x"]),
            ("nonsense -n shop", "", "namespace", &[]),
            ("lint -", "lint", "namespace", &[]),
            ("lint -é -n shop", "lint", "namespace", &["shop"]),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let read = Words::read(&program, &words);
            assert_eq!(read.command, command, "{line}");
            assert_eq!(read.all(id).collect::<Vec<_>>(), expected, "{line}");
        }
    }
}
