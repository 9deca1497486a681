//! What each argument takes, in one table, and the candidates of each.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use clap::{Arg, Command, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};

use super::live::Live;
use crate::commands::lint::LintFormat;
use crate::commands::load::Needs;
use crate::compile::overlay::REBOOT_FREE_KEY;
use crate::files::backup;
use crate::lint::rules::RULES;
use crate::lint::{Level, Rule};
use crate::model::release::RELEASES;
use crate::snapshot::Kind;

/// What an argument takes, where its type does not say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Nothing that has a name.
    Free,
    File,
    Directory,
    Namespace,
    Pool,
    /// `desired`, `rendered`, `node/NAME`
    Truth,
    /// `KIND/[NAMESPACE/]NAME` of these kinds.
    Object(&'static [Kind]),
    Context,
    Cluster,
    User,
    /// Somebody to act as, or what many take for a value of `--as`.
    As,
    Release,
    /// Rules by code, by the beginning of a code, or by name.
    Rules,
    /// One rule.
    Rule,
    /// `RULES=OBJECTS`
    Suppression,
    /// `FORMAT[=FILE]`
    LintFormat,
    /// `PATH-ON-NODE=FILE`
    Key,
    /// `SCOPE=URL`
    Lookaside,
    /// What may speak against an apply.
    Guard,
    Backup,
    Image,
}

/// Kinds that a change may delete: all that policy follows from.
fn deletable(command: &str) -> &'static [Kind] {
    const APPLY: &[Kind] = &[
        Kind::ClusterImagePolicy,
        Kind::ImagePolicy,
        Kind::ImageDigestMirrorSet,
        Kind::ImageTagMirrorSet,
        Kind::ImageContentSourcePolicy,
    ];
    if command == "apply" { APPLY } else { Needs::Policies.kinds() }
}

/// What the argument of a command takes; `None` where nobody has said so.
pub fn values_of(command: &str, argument: &str) -> Option<Values> {
    Some(match (command, argument) {
        ("lint", "output") => Values::LintFormat,
        ("lint", "explain") => Values::Rule,
        ("rollback", "to") => Values::Backup,
        (_, "to" | "registries_d" | "dir") => Values::Directory,
        ("apply", "as_user") => Values::As,
        (_, "images") => Values::Image,
        (_, "filename" | "overlay" | "base" | "policy" | "registries_conf") => Values::File,
        (_, "kubeconfig" | "certificate_authority" | "config" | "baseline" | "write_baseline") => Values::File,
        (_, "namespace") => Values::Namespace,
        (_, "pool") => Values::Pool,
        (_, "of") => Values::Truth,
        (_, "without") => Values::Object(deletable(command)),
        (_, "context") => Values::Context,
        (_, "cluster") => Values::Cluster,
        (_, "user") => Values::User,
        (_, "release") => Values::Release,
        (_, "select" | "extend_select" | "ignore") => Values::Rules,
        (_, "suppress") => Values::Suppression,
        (_, "key") => Values::Key,
        (_, "lookaside") => Values::Lookaside,
        (_, "force") => Values::Guard,
        (_, "server" | "token" | "tls_server_name" | "as_user" | "as_group" | "as_uid") => Values::Free,
        (_, "request_timeout" | "timeout" | "chunk_size") => Values::Free,
        _ => return None,
    })
}

/// What candidates are made from, and what they say to the shell. The words are known only after the command line is defined.
#[derive(Default)]
pub struct Context {
    pub live: OnceLock<Live>,
    /// The shell is to look for files.
    pub files: AtomicBool,
    /// The shell is to look for directories.
    pub directories: AtomicBool,
    /// Something more belongs to the word.
    pub no_space: AtomicBool,
}

/// The command with a completer on each argument that the table knows.
pub fn with_completers(command: Command, path: &str, context: &Arc<Context>) -> Command {
    let attach = |arg: Arg| match values_of(path, arg.get_id().as_str()) {
        Some(values) => arg.add(ArgValueCompleter::new(Completer { values, context: Arc::clone(context) })),
        None => arg,
    };
    command.mut_args(attach).mut_subcommands(|below| {
        let path = format!("{path} {}", below.get_name()).trim_start().to_string();
        with_completers(below, &path, context)
    })
}

struct Completer {
    values: Values,
    context: Arc<Context>,
}

impl ValueCompleter for Completer {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        match (current.to_str(), self.context.live.get()) {
            (Some(word), Some(live)) => self.of(word, live).into_iter().map(Candidate::into).collect(),
            _ => Vec::new(),
        }
    }
}

/// A value and a word about it.
#[derive(Debug, PartialEq, Eq)]
struct Candidate(String, String);

impl From<Candidate> for CompletionCandidate {
    fn from(Candidate(value, help): Candidate) -> Self {
        Self::new(value).help((!help.is_empty()).then(|| help.into()))
    }
}

impl Completer {
    fn of(&self, word: &str, live: &Live) -> Vec<Candidate> {
        let context = &self.context;
        let found = match self.values {
            Values::Free => Vec::new(),
            Values::File => {
                context.files.store(true, Ordering::Relaxed);
                Vec::new()
            }
            Values::Directory => {
                context.directories.store(true, Ordering::Relaxed);
                Vec::new()
            }
            Values::Namespace => plain(live.namespaces()),
            Values::Pool => plain(live.objects(Kind::MachineConfigPool).into_iter().map(|pool| pool.name)),
            Values::Truth => truths(word, live),
            Values::Object(kinds) => objects(word, kinds, live),
            Values::Context => contexts(live),
            Values::Cluster => plain(live.kubeconfig().clusters),
            Values::User => plain(live.kubeconfig().users),
            Values::As => vec![Candidate("machineconfigs".into(), "As --as-machineconfigs".into())],
            Values::Release => plain(RELEASES.iter().rev().map(ToString::to_string)),
            Values::Rules => rules(word),
            Values::Rule => RULES.iter().map(|rule| one(rule)).chain(names_of_rules(word)).collect(),
            Values::Suppression => suppressions(word, live),
            Values::LintFormat => lint_formats(word),
            Values::Key => keys(word),
            Values::Lookaside => {
                let scopes = if word.contains('=') { Vec::new() } else { live.scopes() };
                plain(scopes.into_iter().map(|scope| format!("{scope}=")))
            }
            Values::Guard => guards(),
            Values::Backup => {
                let found = backups(word, live);
                context.directories.store(found.is_empty(), Ordering::Relaxed);
                found
            }
            // A flag that is being typed is no image.
            Values::Image if word.starts_with('-') => Vec::new(),
            Values::Image => plain(live.scopes()),
        };
        let found: Vec<Candidate> = found.into_iter().filter(|Candidate(value, _)| value.starts_with(word)).collect();
        if self.values == Values::Image && !found.is_empty() {
            context.no_space.store(true, Ordering::Relaxed);
        }
        found
    }
}

fn plain(values: impl IntoIterator<Item = String>) -> Vec<Candidate> {
    values.into_iter().map(|value| Candidate(value, String::new())).collect()
}

fn contexts(live: &Live) -> Vec<Candidate> {
    let names = live.kubeconfig();
    let about = |name: &String| match names.current_context.as_ref() == Some(name) {
        true => "The current one".to_string(),
        false => String::new(),
    };
    names.contexts.iter().map(|name| Candidate(name.clone(), about(name))).collect()
}

fn truths(word: &str, live: &Live) -> Vec<Candidate> {
    const NODE: &str = "node/";
    let mut found = vec![
        Candidate("desired".into(), "What the objects ask for".into()),
        Candidate("rendered".into(), "What the pools were given".into()),
    ];
    // Nobody is asked where the word is something else already.
    if word.starts_with(NODE) || NODE.starts_with(word) {
        let nodes = live.objects(Kind::Node);
        match nodes.is_empty() {
            true => found.push(Candidate(NODE.into(), "What one node has".into())),
            false => found.extend(plain(nodes.into_iter().map(|node| format!("{NODE}{}", node.name)))),
        }
    }
    found
}

/// `KIND/`, and behind it what there is of the kind, which may be written in any way that `--without` takes.
fn objects(word: &str, kinds: &[Kind], live: &Live) -> Vec<Candidate> {
    let Some((typed, _)) = word.split_once('/') else {
        return kinds.iter().map(|kind| Candidate(format!("{kind}/"), String::new())).collect();
    };
    let Some(kind) = Kind::named(typed) else { return Vec::new() };
    let name = |object: crate::cluster::ObjectName| match object.namespace {
        Some(namespace) => format!("{typed}/{namespace}/{}", object.name),
        None => format!("{typed}/{}", object.name),
    };
    plain(live.objects(kind).into_iter().map(name))
}

fn one(rule: &Rule) -> Candidate {
    Candidate(rule.id(), format!("{}: {}", rule.name, rule.summary))
}

/// Codes, what several of them begin with, and names for who has begun to type one.
fn rules(word: &str) -> Vec<Candidate> {
    let beginnings: BTreeSet<String> = RULES.iter().filter_map(|rule| Some(rule.id().get(..4)?.to_string())).collect();
    let beginnings =
        beginnings.into_iter().map(|beginning| Candidate(beginning.clone(), format!("Every rule {beginning}nn")));
    beginnings.chain(RULES.iter().map(|rule| one(rule))).chain(names_of_rules(word)).collect()
}

fn names_of_rules(word: &str) -> impl Iterator<Item = Candidate> {
    let begun = !word.is_empty();
    let named = |rule: &&Rule| Candidate(rule.name.to_string(), format!("{}: {}", rule.id(), rule.summary));
    RULES.iter().filter(move |_| begun).map(named)
}

/// Rules, `=`, and then an object.
fn suppressions(word: &str, live: &Live) -> Vec<Candidate> {
    let kinds = [&crate::plan::WRITTEN[..], &[Kind::MachineConfigPool, Kind::MachineConfig, Kind::Node]].concat();
    match word.split_once('=') {
        Some((typed, object)) => behind(&format!("{typed}="), objects(object, &kinds, live)),
        None => {
            let (before, rule) = word.rfind(',').map_or(("", word), |comma| word.split_at(comma + 1));
            let named = rules(rule).into_iter().map(|Candidate(value, help)| Candidate(format!("{value}="), help));
            behind(before, named.collect())
        }
    }
}

fn lint_formats(word: &str) -> Vec<Candidate> {
    match word.split_once('=') {
        Some((format, file)) => behind(&format!("{format}="), paths(file)),
        None => {
            let formats = LintFormat::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            let about = |value: &clap::builder::PossibleValue| value.get_help().map(ToString::to_string);
            formats.map(|value| Candidate(value.get_name().to_string(), about(&value).unwrap_or_default())).collect()
        }
    }
}

fn keys(word: &str) -> Vec<Candidate> {
    match word.split_once('=') {
        Some((path, file)) => behind(&format!("{path}="), paths(file)),
        None => vec![Candidate(format!("{REBOOT_FREE_KEY}="), "The path that makes no node reboot".into())],
    }
}

fn guards() -> Vec<Candidate> {
    let own = [
        Candidate("refused".into(), "Somebody would refuse the result".into()),
        Candidate("platform-images".into(), "The cluster could not pull its own images".into()),
    ];
    own.into_iter().chain(RULES.iter().filter(|rule| rule.level == Level::Error).map(|rule| one(rule))).collect()
}

/// Names of backups, of whichever cluster: which one it is would have to be asked. None where a path is being typed.
fn backups(word: &str, live: &Live) -> Vec<Candidate> {
    if word.contains(std::path::is_separator) {
        return Vec::new();
    }
    let read = || {
        let root = backup::root().ok()?;
        let clusters = std::fs::read_dir(&root).ok()?.flatten().map(|entry| entry.file_name());
        let found = clusters.filter_map(|cluster| backup::list(&root, cluster.to_str()?).ok()).flatten();
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_string());
        Some(found.filter_map(|path| name(&path)).collect::<BTreeSet<String>>())
    };
    let found = live.in_time(read).unwrap_or_default();
    plain(found.into_iter().rev().filter(|name| name.starts_with(word)))
}

/// Files, where the shell cannot look for them since something stands before the path.
fn paths(begun: &str) -> Vec<Candidate> {
    let found = PathCompleter::any().complete(OsStr::new(begun)).into_iter();
    let found = found.filter_map(|candidate| candidate.get_value().to_str().map(str::to_string));
    plain(found.filter(|path| path != "."))
}

fn behind(before: &str, candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.into_iter().map(|Candidate(value, help)| Candidate(format!("{before}{value}"), help)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::select::rules_named;
    use crate::plan;

    #[test]
    fn every_argument_is_in_the_table_or_says_itself_what_it_takes() {
        fn check(command: &Command, path: &str) {
            for arg in command.get_arguments().filter(|arg| super::super::words::takes_value(arg)) {
                let says_itself = !arg.get_possible_values().is_empty();
                let known = values_of(path, arg.get_id().as_str()).is_some();
                assert!(known != says_itself, "{path} {}: say in values_of what it takes", arg.get_id());
            }
            for below in command.get_subcommands() {
                check(below, format!("{path} {}", below.get_name()).trim_start());
            }
        }
        let mut program = crate::commands::definition();
        program.build();
        check(&program, "");
    }

    #[test]
    fn what_apply_deletes_is_what_is_offered() {
        let deleted: BTreeSet<Kind> = plan::WRITTEN.into_iter().filter(|kind| *kind != Kind::Image).collect();
        assert_eq!(deletable("apply").iter().copied().collect::<BTreeSet<_>>(), deleted);
    }

    #[test]
    fn rules_are_offered_by_code_and_by_name() {
        let offered = |word: &str| {
            let found = rules(word).into_iter().map(|Candidate(value, _)| value);
            found.filter(|value| value.starts_with(word)).collect::<Vec<_>>()
        };
        assert!(offered("IMP20").contains(&"IMP204".to_string()));
        assert!(offered("IMP").contains(&"IMP2".to_string()));
        assert_eq!(offered("shadowed-by-a"), ["shadowed-by-allowed"]);
        for value in offered("") {
            assert!(rules_named(&value).is_ok(), "{value}");
        }
    }
}
