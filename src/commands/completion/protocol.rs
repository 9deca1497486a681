//! Cobra's protocol: a candidate a line, a tab and a word about it behind, and in the last line what the shell is to make of them.
//! `completions.go` of cobra and `plugin_completion.go` of kubectl are the other side; their scripts for bash, zsh and fish say how words
//! with `=` are cut.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use clap::Command;
use clap_complete::engine::{CompletionCandidate, complete};

use super::Request;
use super::candidates::{Context, with_completers};
use super::live::Live;
use super::words::{Words, split, takes_value};
use crate::output::is_unsafe;

/// Bits of the last line. None of them: files, where there is no candidate.
const NO_SPACE: u8 = 2;
const NO_FILES: u8 = 4;
const DIRECTORIES: u8 = 16;
/// What cobra takes for a message to the person.
const ACTIVE_HELP: &str = "_activeHelp_";
/// More than this nobody looks through, and shells take seconds to show it; what is typed next narrows it down.
const MOST: usize = 1000;
/// A description is one line of a list.
const LONGEST_DESCRIPTION: usize = 120;

pub fn answer(request: &Request) {
    // A panic would be said on the terminal, over what is being typed.
    std::panic::set_hook(Box::new(|_| std::process::exit(0)));
    let reply = Reply::to(&request.words, request.started);
    // Where nobody reads there is nobody to tell.
    let _ = std::io::stdout().lock().write_all(reply.text(request.descriptions).as_bytes());
}

/// What is said to the shell.
struct Reply {
    /// Values, and what is said about each.
    candidates: Vec<(String, String)>,
    directive: u8,
}

impl Reply {
    /// The last word is the one to complete.
    fn to(words: &[OsString], started: Instant) -> Self {
        let context = Arc::new(Context::default());
        let mut command = with_completers(crate::commands::definition(), "", &context);
        command.build();
        let (word, before) =
            words.split_last().map_or((OsString::new(), &[][..]), |(word, before)| (word.clone(), before));
        let read = Words::read(&command, before);
        let below = read.command.split_whitespace().try_fold(&command, |command, name| command.find_subcommand(name));
        let below = below.unwrap_or(&command).clone();
        let _ = context.live.set(Live::new(&read, started));

        let found = candidates(&mut command, &below, before, &word);
        let mut candidates: Vec<(String, String)> = found.iter().filter_map(|found| shown(found, &word)).collect();
        let mut seen = std::collections::HashSet::new();
        candidates.retain(|(value, _)| seen.insert(value.clone()));
        candidates.truncate(MOST);
        let unfinished = |(value, _): &(String, String)| value.ends_with(['/', '=']);
        let mut directive = match candidates.is_empty() {
            true if context.files.load(Ordering::Relaxed) => 0,
            true if context.directories.load(Ordering::Relaxed) => DIRECTORIES,
            _ => NO_FILES,
        };
        if candidates.iter().any(unfinished) || context.no_space.load(Ordering::Relaxed) {
            directive |= NO_SPACE;
        }
        Self { candidates, directive }
    }

    fn text(&self, descriptions: bool) -> String {
        let mut text = String::new();
        for (value, description) in &self.candidates {
            text.push_str(value);
            if descriptions && !description.is_empty() {
                text.push('\t');
                text.push_str(description);
            }
            text.push('\n');
        }
        text.push_str(&format!(":{}\n", self.directive));
        text
    }
}

/// What clap's engine finds, and this is the one place where it is led around what it gets wrong (4.6): a flag is offered by one of its names
/// alone, and not known by others; and for an empty word everything is offered that can follow at all, forty flags among it, where cobra
/// wants a `-` first.
fn candidates(command: &mut Command, below: &Command, before: &[OsString], word: &OsStr) -> Vec<CompletionCandidate> {
    let escaped = before.iter().any(|word| word == "--");
    let text = word.to_string_lossy();
    if !escaped && let Some(flags) = complete_flags(below, &text) {
        return flags;
    }
    let mut words = vec![OsString::from(command.get_name())];
    words.extend(before.iter().chain([&word.to_os_string()]).map(|word| by_first_name(below, word)));
    let last = words.len() - 1;
    let mut found = complete(command, words, last, None).unwrap_or_default();

    let is_flag = |found: &CompletionCandidate| found.get_value().as_encoded_bytes().starts_with(b"-");
    if text == "-" || text.starts_with("--") && !text.contains('=') {
        return if found.iter().any(is_flag) { flags(below, &text) } else { found };
    }
    // Where nothing else can come, flags are what to choose from.
    if text.is_empty()
        && found.iter().any(is_flag)
        && below.get_positionals().next().is_none()
        && !below.has_subcommands()
    {
        return flags(below, "--");
    }
    if !text.starts_with('-') {
        found.retain(|found| !is_flag(found));
    }
    found
}

/// Every flag that help shows, by all its names.
fn flags(command: &Command, begun: &str) -> Vec<CompletionCandidate> {
    let mut found = Vec::new();
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let long = arg.get_long_and_visible_aliases().into_iter().flatten().map(|name| format!("--{name}"));
        let short = arg.get_short().map(|letter| format!("-{letter}"));
        let names = long.chain(short).filter(|name| name.starts_with(begun));
        found.extend(names.map(|name| CompletionCandidate::new(name).help(arg.get_help().cloned())));
    }
    found
}

/// Short flags in one word that want no value: the word is whole, and more letters are nothing to offer. Nor are any behind an unknown one.
fn complete_flags(command: &Command, word: &str) -> Option<Vec<CompletionCandidate>> {
    if !word.starts_with('-') || word.starts_with("--") || word.len() < 2 {
        return None;
    }
    let Some((arg, value)) = split(command, word) else { return Some(Vec::new()) };
    if takes_value(arg) || value.is_some() {
        return None;
    }
    Some(vec![CompletionCandidate::new(word).help(arg.get_help().cloned())])
}

/// A long flag by the first of its names.
fn by_first_name(command: &Command, word: &OsStr) -> OsString {
    let long = word.to_str().filter(|text| text.starts_with("--"));
    match long.and_then(|text| split(command, text)) {
        Some((arg, value)) => match (arg.get_long(), value) {
            (Some(name), Some(value)) => format!("--{name}={value}").into(),
            (Some(name), None) => format!("--{name}").into(),
            _ => word.to_os_string(),
        },
        None => word.to_os_string(),
    }
}

/// A line of the answer; `None` for what no shell can take. In `--flag=value` the shells want the value alone: they put the rest before it.
fn shown(candidate: &CompletionCandidate, word: &OsStr) -> Option<(String, String)> {
    let value = candidate.get_value().to_str()?;
    let value = match word.to_str() {
        Some(word) if word.starts_with('-') && word.contains('=') => value.split_once('=')?.1,
        _ => value,
    };
    let fits = !value.is_empty() && value.trim() == value && !value.contains(is_unsafe);
    if !fits || value.starts_with(ACTIVE_HELP) {
        return None;
    }
    let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
    Some((value.to_string(), first_sentence(&help)))
}

/// Of the first line, without what no list can show.
fn first_sentence(help: &str) -> String {
    let line: String = help.lines().next().unwrap_or_default().chars().filter(|c| !is_unsafe(*c)).collect();
    let sentence = line.split(". ").next().unwrap_or_default();
    let sentence = sentence.split(" [default:").next().unwrap_or_default().trim().trim_end_matches('.');
    match sentence.char_indices().nth(LONGEST_DESCRIPTION) {
        Some((end, _)) => format!("{}…", sentence.get(..end).unwrap_or_default()),
        None => sentence.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values and the directive, without a cluster.
    fn asked(line: &str) -> (Vec<String>, u8) {
        let mut words: Vec<OsString> = vec![];
        words.extend(line.split(' ').map(OsString::from));
        // As if started in a minute: no slow machine keeps the example from being read.
        let reply = Reply::to(&words, Instant::now() + std::time::Duration::from_secs(60));
        (reply.candidates.into_iter().map(|(value, _)| value).collect(), reply.directive)
    }

    #[test]
    fn words_and_what_follows() {
        for (line, expected, directive) in [
            ("", "explain lint generate diff apply rollback rollout completion version", 4),
            ("ro", "rollback rollout", 4),
            ("completion ", "install uninstall bash zsh fish powershell", 4),
            ("completion install --d", "--dir --dry-run", 4),
            ("nonsense", "", 4),
            ("completion install -", "--dir --dry-run --help -h", 4),
            ("completion install ", "--dir --dry-run --help", 4),
            ("completion install --", "--dir --dry-run --help", 4),
            ("version -o ", "table wide json yaml jsonl name", 4),
            ("version -o js", "json jsonl", 4),
            ("version -ojs", "-ojson -ojsonl", 4),
            ("version -o=js", "json jsonl", 4),
            ("version --output=js", "json jsonl", 4),
            ("version --output js", "json jsonl", 4),
            ("version --output=", "table wide json yaml jsonl name", 4),
            ("version --nonsense=", "", 4),
            ("completion install --nonsense ", "--dir --dry-run --help", 4),
            ("version --output -", "", 4),
            ("version --output --", "", 4),
            ("version --output json --col", "--color", 4),
            ("version -h", "-h", 4),
            ("explain -A", "-A", 4),
            ("explain -AR", "-AR", 4),
            ("explain -Aé", "", 4),
            ("explain -ARo js", "json jsonl", 4),
            ("explain -ARojs", "-ARojson -ARojsonl", 4),
            ("explain --check R", "Rejects RequiresSignature", 4),
            ("explain --request-timeout ", "", 4),
            ("explain -f ", "", 0),
            ("explain -f -", "", 0),
            ("explain -f=./", "", 0),
            ("explain -f - -n ", "", 4),
            ("explain --policy x --of ", "desired rendered node/", 6),
            ("explain --policy x --of re", "rendered", 4),
            ("explain --policy x -- --o", "", 4),
            ("explain --policy x -- ", "", 4),
            ("explain --registries-d ", "", 16),
            ("explain --registries-d=", "", 16),
            ("generate --to ", "", 16),
            ("generate --layout ", "controller split overlay", 4),
            ("generate --key /etc", "/etc/machine-config-daemon/no-reboot/containers-gpg.pub=", 6),
            ("diff --overlay ", "", 0),
            ("diff --overlay=x", "", 0),
            ("diff --over", "--overlay", 4),
            ("apply --as ", "machineconfigs", 4),
            ("apply --force ref", "refused", 4),
            ("apply --force refused,plat", "refused,platform-images", 4),
            ("apply --dry-run=", "none client server", 4),
            ("apply --without ImageD", "ImageDigestMirrorSet/", 6),
            ("apply --without nonsense/", "", 4),
            ("lint --release 5.", "5.2 5.1 5.0", 4),
            ("lint --select IMP204,IMP90", "IMP204,IMP901 IMP204,IMP902 IMP204,IMP903", 4),
            ("lint --select=IMP204,shadowed-by-a", "IMP204,shadowed-by-allowed", 4),
            ("lint --explain IMP20", "IMP201 IMP202 IMP203 IMP204 IMP205 IMP206 IMP207 IMP208 IMP209", 4),
            ("lint --suppress IMP204,IMP903", "IMP204,IMP903=", 6),
            ("lint --suppress IMP204=ClusterI", "IMP204=ClusterImagePolicy/", 6),
            ("lint --suppress=IMP204=ClusterI", "IMP204=ClusterImagePolicy/", 6),
            ("lint -o j", "json jsonl junit", 4),
            ("lint -o sarif=Cargo.t", "sarif=Cargo.toml", 4),
            ("lint -o sarif=sr", "sarif=src/", 6),
            ("lint --output=sarif=Cargo.t", "sarif=Cargo.toml", 4),
            ("lint --example -n ", "analytics shop", 4),
            ("lint --example --without ImagePolicy/s", "ImagePolicy/shop/partners ImagePolicy/shop/web", 4),
        ] {
            let (values, found) = asked(line);
            assert_eq!((values.join(" ").as_str(), found), (expected, directive), "{line:?}");
        }
    }

    #[test]
    fn every_flag_that_help_shows_is_offered() {
        fn check(command: &Command, path: &str) {
            let (offered, directive) = asked(&format!("{path} -"));
            assert_eq!(directive, 4, "{path}");
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional()) {
                for name in arg.get_long_and_visible_aliases().into_iter().flatten() {
                    assert!(offered.contains(&format!("--{name}")), "{path} --{name}");
                }
                if let Some(letter) = arg.get_short() {
                    assert!(offered.contains(&format!("-{letter}")), "{path} -{letter}");
                }
            }
            for below in command.get_subcommands() {
                check(below, format!("{path} {}", below.get_name()).trim_start());
            }
        }
        let mut program = crate::commands::definition();
        program.build();
        for below in program.get_subcommands() {
            check(below, below.get_name());
        }
    }

    #[test]
    fn descriptions_are_one_short_line() {
        for (help, expected) in [
            ("Read this\nand that", "Read this"),
            ("One. Two", "One"),
            ("Give up [default: never]", "Give up"),
            ("a\tb\u{1b}[31mc\u{202e}", "ab[31mc"),
            ("", ""),
        ] {
            assert_eq!(first_sentence(help), expected, "{help:?}");
        }
        assert_eq!(first_sentence(&"ä".repeat(500)).chars().count(), LONGEST_DESCRIPTION + 1);
        let reply = Reply { candidates: vec![("a".into(), "b".into()), ("c".into(), String::new())], directive: 6 };
        assert_eq!(reply.text(true), "a\tb\nc\n:6\n");
        assert_eq!(reply.text(false), "a\nc\n:6\n");
    }

    #[test]
    fn hostile_candidates_are_left_out() {
        for value in ["a\nb", "a\tb", "", " a", "a ", "_activeHelp_ x", "\u{1b}[2J", "a\u{202e}b"] {
            assert_eq!(shown(&CompletionCandidate::new(value), OsStr::new("")), None, "{value:?}");
        }
        assert!(shown(&CompletionCandidate::new("a b"), OsStr::new("")).is_some());
    }
}
