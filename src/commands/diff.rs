//! `oc imagepolicy diff`

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use super::change::{ChangeArgs, Sides, known_left, sides};
use super::explain::{capitalised, pools_in_words, print_refusals};
use super::input::{ConnectionFlags, InputArgs, Of};
use super::load::{Header, Loaded, Needs};
use super::{Answer, OutputArgs};
use crate::compile::overlay;
use crate::diff::{
    Answer as NodeAnswer, Change, Difference, DifferenceGroup, FileChange, ScopeChange, Side, difference, is_text,
    without_private_keys,
};
use crate::error::{Error, Result};
use crate::model::node_files::{NAMESPACE_POLICIES, NodeFiles, POLICY_JSON};
use crate::model::provenance::RefusedBy;
use crate::output::words::fold;
use crate::output::{API_VERSION, Report, Style, Table, Terminal, words};
use crate::snapshot::{Gap, GapReason, Kind, Source};

/// Show what would change on the nodes, for images and in files
///
/// From what the nodes of each pool were given last (rendered), or what the objects ask for where that is not known, to what the objects
/// would ask for with the change: first the scopes whose answer changes, each with an image that shows it, then the files, line by line.
/// As with kubectl, -f names what would be written, and the cluster is read; --base reads files in its place. The change is laid on
/// what there is as a server-side apply would: fields that the file does not name stay, unless an earlier apply put them there.
///
/// KUBECTL_EXTERNAL_DIFF names a program that shows the files instead, as for kubectl diff.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # What would this policy change in the cluster?
  oc imagepolicy diff -f policy.yaml

  # The same without a cluster: what is there are files, a must-gather or the example
  oc imagepolicy diff -f policy.yaml --base cluster/
  oc imagepolicy diff -f policy.yaml --example

  # What if a policy were deleted?
  oc imagepolicy diff --without ClusterImagePolicy/team-key

  # What is asked for already and not yet on this node?
  oc imagepolicy diff --of node/worker-1

Exit codes: 0 nothing changes, 1 something does or the change is refused, 2 no answer.")]
pub struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    /// Read these instead of a cluster: manifests, a must-gather, or a node's file tree
    #[arg(long, value_name = "PATH", help_heading = "Input")]
    base: Vec<PathBuf>,
    /// Read the example cluster that is built into the program
    #[arg(long, conflicts_with = "base", help_heading = "Input")]
    example: bool,
    /// The OpenShift release to answer for [default: that of ClusterVersion, else the newest known]
    #[arg(long, value_name = "X.Y", help_heading = "Input")]
    release: Option<String>,
    /// Exit with 2 where anything that is needed could not be read
    #[arg(long, help_heading = "Input")]
    require_complete: bool,
    /// The left side: what pools were given last (rendered), what the objects ask for now (desired), or what one node has (node/NAME)
    /// [default: rendered where it is known, else desired]
    #[arg(long, value_name = "TRUTH", value_parser = Of::parse, help_heading = "Scope")]
    of: Option<Of>,
    /// Only this MachineConfigPool
    #[arg(long, value_name = "NAME", help_heading = "Scope")]
    pool: Option<String>,
    /// Exit with 0 where something changes, too
    #[arg(long, help_heading = "Output")]
    exit_zero: bool,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: Args) -> Answer {
    let is_of_node = matches!(args.of, Some(Of::Node(_)));
    let input = InputArgs {
        filename: args.base.clone(),
        recursive: args.change.recursive && !args.base.is_empty(),
        example: args.example,
        release: args.release.clone(),
        require_complete: args.require_complete,
        ..InputArgs::default()
    };
    let needs = if is_of_node { Needs::Everything } else { Needs::Policies };
    let mut before = Loaded::load(&input, &args.connection, needs, None)?;
    let tree = before.snapshot.node_trees.first().cloned();
    before.snapshot.node_trees.clear();
    let of = left_side(&args, &before, tree.is_some())?;
    let after = args.change.lay_on(&before)?;
    after.say_gaps();
    if let Some(gap) = after.snapshot.gaps.iter().find(|gap| blinds(gap, &of)) {
        let message = format!("what changes cannot be told: {}", gap.message);
        return Err(Error::Incomplete { message, hint: Loaded::hint_on(gap).into() });
    }

    let right = sides(&after, &Of::Desired)?;
    let mut report = DifferenceReport::new(&args, &before, &after, &of, tree.is_some());
    if !right.refusals.is_empty() {
        let is_ours = right.refusals.iter().all(|refusal| refusal.by == RefusedBy::Plugin);
        report.header.notes.push(if is_ours { NOT_APPLIED } else { STAYS }.to_string());
        report.header.refusals = right.refusals;
        return report.print(&args, false);
    }
    let left = match &tree {
        Some(tree) => of_tree(tree, &right),
        None => sides(&before, &of)?,
    };
    if !left.refusals.is_empty() {
        report.is_compared = false;
        report.header.notes.push(format!(
            "what is asked for now is refused, so that nothing can be compared with it; with the change it no longer is: {}",
            left.refusals.first().map(|refusal| refusal.text.as_str()).unwrap_or_default()
        ));
        return report.print(&args, args.exit_zero);
    }
    for text in overlay::unused_keys(&after.snapshot, &after.compiled) {
        super::say("warning", &text);
    }
    let (left, right) = (only(left, &args)?, only(right, &args)?);
    left.missing.iter().for_each(|missing| super::say("incomplete", missing));
    for pool in unpaired(&left.sides, &right.sides) {
        super::say(
            "incomplete",
            &format!("pool {pool}: what its nodes have is not known, so that nothing can be compared"),
        );
    }
    if left.sides.is_empty() {
        let message = format!("nothing is known of what is {of}");
        return Err(Error::Incomplete { message, hint: "compare with what the objects say: --of desired".into() });
    }
    report.difference = difference(&left.sides, &right.sides);
    let refused = report.difference.refused_after();
    let fine = report.difference.is_empty() || (args.exit_zero && refused.is_empty());
    report.header.refusals = refused;
    let external = std::env::var("KUBECTL_EXTERNAL_DIFF").unwrap_or_default();
    let answer = if external.is_empty() || args.output.format.is_document() {
        report.print(&args, fine)
    } else {
        report.header.refusals.iter().for_each(|refusal| super::say("refused", &refusal.text));
        let is_refused = !report.header.refusals.is_empty();
        run_external(&external, &report.difference, &left.sides, &right.sides)
            .map(|same| (same || args.exit_zero) && !is_refused)
    };
    after.require_complete(&input)?;
    // The process ends here; taking two large clusters apart piece by piece would take a tenth of the time.
    std::mem::forget((before.snapshot, before.compiled));
    answer
}

const STAYS: &str =
    "nodes keep the files that they have, and until this is mended no other change of policies reaches them either";
const NOT_APPLIED: &str = "nodes keep the files that they have: this change would not be applied";

/// The cluster's own word where it is known.
fn left_side(args: &Args, before: &Loaded, is_tree: bool) -> Result<Of> {
    if is_tree && args.of.is_some() {
        return Err(Error::usage("the files of a node are the only truth there is", "leave --of out"));
    }
    let of = args.of.clone().unwrap_or_else(|| known_left(before));
    if args.change.is_empty() && of == Of::Desired && !is_tree {
        return Err(Error::usage(
            "there is nothing to compare: no change is named",
            "name it: -f FILE, or --without KIND/NAME; or compare what nodes have with what is asked for: --of rendered",
        ));
    }
    Ok(of)
}

/// Whether something that could not be read could change the answer.
fn blinds(gap: &Gap, of: &Of) -> bool {
    let decides = match gap.kind {
        Kind::Image | Kind::ClusterImagePolicy => true,
        Kind::MachineConfig | Kind::MachineConfigPool => *of != Of::Desired,
        _ => false,
    };
    // An object of the change that cannot be read is refused by the API server at the latest.
    decides && gap.reason != GapReason::NotInstalled
}

/// The files of a node, compared with what every pool would get.
fn of_tree<'a>(tree: &'a crate::snapshot::NodeTree, right: &Sides<'_>) -> Sides<'a> {
    let files = NodeFiles::read(tree.files.iter().map(|(path, bytes)| (path, bytes, None)));
    let side = Side {
        pools: right.sides.iter().flat_map(|side| side.pools.iter().cloned()).collect(),
        files: files.into(),
        contents: tree.files.iter().map(|(path, bytes)| (path.clone(), bytes.as_slice().into())).collect(),
    };
    Sides { sides: vec![side], ..Sides::default() }
}

/// `--pool`
fn only<'a>(mut all: Sides<'a>, args: &Args) -> Result<Sides<'a>> {
    let Some(wanted) = &args.pool else { return Ok(all) };
    let known: Vec<String> = all.sides.iter().flat_map(|side| side.pools.iter().cloned()).collect();
    if !known.contains(wanted) {
        return Err(Error::usage(
            format!("there is no pool `{wanted}` here"),
            format!("those that are known: {}", known.join(", ")),
        ));
    }
    all.sides.retain_mut(|side| {
        side.pools.retain(|pool| pool == wanted);
        !side.pools.is_empty()
    });
    all.missing.clear();
    Ok(all)
}

/// Pools that are known on the right side only.
fn unpaired<'s>(left: &[Side<'_>], right: &'s [Side<'_>]) -> Vec<&'s String> {
    let known: BTreeSet<&String> = left.iter().flat_map(|side| &side.pools).collect();
    right.iter().flat_map(|side| &side.pools).filter(|pool| !known.contains(pool)).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DifferenceReport {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    header: Header,
    #[serde(flatten)]
    difference: Difference,
    #[serde(skip)]
    is_compared: bool,
    /// What is compared, for the first line.
    #[serde(skip)]
    title: String,
}

impl DifferenceReport {
    fn new(args: &Args, before: &Loaded, after: &Loaded, of: &Of, is_tree: bool) -> Self {
        let is_unknown = args.of.is_none() && *of == Of::Desired && before.snapshot.source != Source::Manifests;
        let left = match of {
            _ if is_tree => "the files of a node".to_string(),
            _ if is_unknown => "desired, since nothing rendered is known,".to_string(),
            of => of.to_string(),
        };
        let right = if args.change.is_empty() { "desired" } else { "desired with this change" };
        let mut header = after.header(&of.to_string(), None);
        let known: BTreeSet<&str> = before.notes().map(|note| note.text.as_str()).collect();
        header.notes.retain(|note| !known.contains(note.as_str()));
        header.refusals.clear();
        let title = format!("From {left} to {right} · {}", header.release_in_words());
        let (kind, difference) = ("Difference", Difference::default());
        Self { api_version: API_VERSION, kind, header, difference, is_compared: true, title }
    }

    fn print(&self, args: &Args, fine: bool) -> Answer {
        crate::output::print(self, args.output.format, &mut args.output.terminal())?;
        args.output.say_refusals(&self.header.refusals);
        Ok(fine)
    }
}

impl Report for DifferenceReport {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        t.put(Style::Bold, &self.title)?;
        t.end_line()?;
        let is_refused = self.difference.is_empty() && !self.header.refusals.is_empty();
        if is_refused {
            t.end_line()?;
            print_refusals(&self.header.refusals, t)?;
        } else if self.difference.is_empty() && self.is_compared {
            t.line("Nothing changes on any node.")?;
        }
        print_difference(&self.difference, t)?;
        if !self.header.notes.is_empty() {
            t.end_line()?;
        }
        for note in &self.header.notes {
            let lines = fold(&format!("Note: {note}"), t.width());
            lines.iter().try_for_each(|line| t.line(line))?;
        }
        Ok(())
    }

    /// `POOL/etc/…` of every file that changes.
    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        let groups = self.difference.groups.iter();
        let names = groups.flat_map(|group| {
            group.pools.iter().flat_map(|pool| group.files.iter().map(move |file| format!("{pool}{}", file.path)))
        });
        for name in names.collect::<BTreeSet<_>>() {
            t.line(&name)?;
        }
        Ok(())
    }

    fn lines(&self, t: &mut Terminal) -> io::Result<()> {
        if self.difference.is_empty() && !self.header.refusals.is_empty() {
            t.json_line(&super::explain::RefusedLine { refusals: &self.header.refusals })?;
        }
        self.difference.groups.iter().try_for_each(|group| t.json_line(group))
    }
}

/// So many rows, lines and names are shown to a person who did not ask for all of them with `-o wide`.
const ROWS: usize = 200;
const LINES: usize = 400;
const NAMES: usize = 20;

/// What changes, as a person sees it: each group of pools, by scope, then by file.
pub(super) fn print_difference(difference: &Difference, t: &mut Terminal) -> io::Result<()> {
    let mut pools: Option<&[String]> = None;
    let mut policy: Option<&FileChange> = None;
    for group in &difference.groups {
        if pools.replace(&group.pools) != Some(&group.pools) {
            policy = group.files.iter().find(|file| file.path == POLICY_JSON);
            t.end_line()?;
            t.put(Style::Bold, &capitalised(&pools_in_words(&group.pools)))?;
            t.end_line()?;
        }
        print_group(group, policy, t)?;
    }
    Ok(())
}

fn print_group(group: &DifferenceGroup, policy: Option<&FileChange>, t: &mut Terminal) -> io::Result<()> {
    if let Some(namespace) = &group.namespace {
        t.end_line()?;
        let names: Vec<&String> = std::iter::once(namespace).chain(&group.also_in).collect();
        let text = match names.len() {
            1 => format!("In namespace {namespace}, by a policy of its own, instead or besides:"),
            _ => format!("In namespaces {}, by policies of their own, instead or besides:", listed(&names, t)),
        };
        paragraph(t, Style::Bold, &text)?;
    }
    for (refusals, when) in [(&group.refused_before, "now"), (&group.refused_after, "with this change")] {
        if !refusals.is_empty() {
            t.end_line()?;
            t.put(Style::Bold, &format!("{}:", capitalised(when)))?;
            t.end_line()?;
            print_refusals(refusals, t)?;
        }
    }
    if !group.refused_before.is_empty() && group.refused_after.is_empty() {
        t.end_line()?;
        t.line("With this change: nodes can read their files again.")?;
    }
    if !group.scopes.is_empty() {
        t.end_line()?;
        print_scopes(&group.scopes, t)?;
    }
    if !group.unchanged.is_empty() {
        t.end_line()?;
        let scopes: Vec<String> = group.unchanged.iter().map(|scope| in_words(scope)).collect();
        paragraph(t, Style::Plain, &format!("Nothing changes here for: {}", listed(&scopes, t)))?;
    }
    if group.namespace.is_none() && !group.also_in.is_empty() {
        t.end_line()?;
        let text = match group.also_in.as_slice() {
            [one] => format!("The same in namespace {one}, which has a policy of its own."),
            many => format!("The same in namespaces {}, which have policies of their own.", listed(many, t)),
        };
        paragraph(t, Style::Plain, &text)?;
    }
    let mut alike: Vec<((Change, &str), Vec<&str>)> = Vec::new();
    let mut known: HashMap<(Change, &str), usize> = HashMap::new();
    for file in &group.files {
        match said_of_many(file, policy) {
            Some(text) => {
                let position = *known.entry((file.change, text)).or_insert(alike.len());
                match alike.get_mut(position) {
                    Some((_, paths)) => paths.push(&file.path),
                    None => alike.push(((file.change, text), vec![&file.path])),
                }
            }
            None => {
                t.end_line()?;
                print_file(file, t)?;
            }
        }
    }
    for ((change, text), paths) in alike {
        let names = listed(&paths, t);
        t.end_line()?;
        paragraph(t, Style::Bold, &format!("{} {names}: {}", word(change), text.trim_end()))?;
    }
    Ok(())
}

/// The first of many names, and how many there are more.
fn listed<S: AsRef<str>>(names: &[S], t: &Terminal) -> String {
    let shown = if t.wide() { names.len() } else { NAMES };
    let first: Vec<&str> = names.iter().take(shown).map(AsRef::as_ref).collect();
    match names.len().checked_sub(shown) {
        Some(more) if more > 0 => format!("{} and {more} more", first.join(", ")),
        _ => first.join(", "),
    }
}

/// What is true of many namespaces' files is told once.
fn said_of_many<'f>(file: &'f FileChange, policy: Option<&FileChange>) -> Option<&'f str> {
    if !file.path.starts_with(NAMESPACE_POLICIES) {
        return None;
    }
    if changed_lines(file).next().is_none() {
        return Some(&file.diff);
    }
    let is_like_policy =
        policy.is_some_and(|policy| policy.change == file.change && changed_lines(policy).eq(changed_lines(file)));
    is_like_policy.then_some("the same lines as policy.json")
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "Added",
        Change::Removed => "Removed",
        Change::Changed => "Changed",
    }
}

fn paragraph(t: &mut Terminal, style: Style, text: &str) -> io::Result<()> {
    for line in fold(text, t.width()) {
        t.put(style, &line)?;
        t.end_line()?;
    }
    Ok(())
}

fn in_words(scope: &str) -> String {
    if scope.is_empty() { "anything else".to_string() } else { scope.to_string() }
}

fn print_scopes(changes: &[ScopeChange], t: &mut Terminal) -> io::Result<()> {
    let shown = if t.wide() { changes.len() } else { ROWS };
    let mut table = Table::new(t, &["SCOPE", "FOR EXAMPLE", "BEFORE → AFTER"]);
    for change in changes.iter().take(shown) {
        let (before, after) = answers_in_words(&change.before, &change.after);
        table.row([
            (Style::Plain, in_words(&change.scope).into()),
            (Style::Dim, change.witness.as_str().into()),
            (words::verdict_style(change.after.verdict), format!("{before}\n→ {after}").into()),
        ]);
    }
    table.print(t)?;
    if changes.len() > shown {
        t.line(&format!("… and {} scopes more: add -o wide", changes.len() - shown))?;
    }
    Ok(())
}

/// As short as it can be told apart.
fn answers_in_words(before: &NodeAnswer, after: &NodeAnswer) -> (String, String) {
    // A keyring is named by its path: its content is the same for every scope, and stands among the files where it changes.
    let keyrings = words::Keyrings::default();
    let short = [before, after].map(|answer| words::requirements(&answer.requirements, &keyrings));
    if short[0] != short[1] {
        let [before, after] = short;
        return (before, after);
    }
    let in_full = |answer: &NodeAnswer| {
        let demands = answer.requirements.iter().flat_map(|sourced| words::demand(&sourced.requirement, &keyrings));
        demands.collect::<Vec<_>>().join(",\n")
    };
    (in_full(before), in_full(after))
}

fn print_file(file: &FileChange, t: &mut Terminal) -> io::Result<()> {
    t.put(Style::Bold, &format!("{} {}", word(file.change), file.path))?;
    if let Some(note) = file.note {
        t.put(Style::Dim, &format!(" ({note})"))?;
    }
    t.end_line()?;
    let shown = if t.wide() { usize::MAX } else { LINES };
    for line in file.diff.lines().take(shown) {
        let style = match line.as_bytes().first() {
            _ if line.starts_with("--- ") || line.starts_with("+++ ") => Style::Dim,
            Some(b'+') => Style::Good,
            Some(b'-') => Style::Bad,
            Some(b'@') => Style::Accent,
            _ => Style::Plain,
        };
        t.put(style, line)?;
        t.end_line()?;
    }
    match file.diff.lines().count().checked_sub(shown) {
        Some(more) if more > 0 => t.line(&format!("… and {more} lines more: add -o wide")),
        _ => Ok(()),
    }
}

/// What is taken and given, apart from white space: files of namespaces may be indented in another way.
fn changed_lines(file: &FileChange) -> impl Iterator<Item = (bool, &str)> {
    let lines = file.diff.lines().filter(|line| !line.starts_with("--- ") && !line.starts_with("+++ "));
    lines.filter_map(|line| match (line.strip_prefix('+'), line.strip_prefix('-')) {
        (Some(added), _) => Some((true, added.trim())),
        (_, Some(removed)) => Some((false, removed.trim())),
        _ => None,
    })
}

/// Lets a program show the files that change, as kubectl does: it gets two directories. True where it finds no difference.
fn run_external(command: &str, difference: &Difference, left: &[Side<'_>], right: &[Side<'_>]) -> Result<bool> {
    let (program, arguments) = external(command);
    let Some(program) = program else { return Err(no_program(command)) };
    let directory = Temporary::create()?;
    for (name, sides) in [("BEFORE", left), ("AFTER", right)] {
        let root = directory.0.join(name);
        fs::create_dir_all(&root).map_err(|error| unwritable(&root, error))?;
        for group in &difference.groups {
            write_group(&root, group, sides)?;
        }
    }
    let status = Command::new(&program)
        .args([directory.0.join("BEFORE"), directory.0.join("AFTER")])
        .args(arguments)
        .status()
        .map_err(|error| {
            Error::usage(
                format!("KUBECTL_EXTERNAL_DIFF: cannot run {}: {error}", program.display()),
                "name a program that compares two directories, such as: KUBECTL_EXTERNAL_DIFF='diff -uN'",
            )
        })?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(Error::usage(
            format!("KUBECTL_EXTERNAL_DIFF: {} failed: {status}", program.display()),
            "run it by hand to see why",
        )),
    }
}

/// The program and the arguments that kubectl would hand over too: letters, digits, and a few signs.
fn external(command: &str) -> (Option<OsString>, Vec<String>) {
    let mut words = command.split(' ').filter(|word| !word.is_empty());
    let program = words.next().map(OsString::from);
    let is_harmless = |word: &&str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_=.".contains(&b));
    let (arguments, dropped): (Vec<&str>, Vec<&str>) = words.partition(is_harmless);
    for word in dropped {
        super::say("warning", &format!("KUBECTL_EXTERNAL_DIFF: {word:?} is left out, as kubectl leaves it out"));
    }
    (program, arguments.into_iter().map(str::to_string).collect())
}

fn no_program(command: &str) -> Error {
    Error::usage(format!("KUBECTL_EXTERNAL_DIFF={command:?} names no program"), "unset it, or name one: diff -uN")
}

/// The files that change, as on the nodes of the group's first pool: side by side in one folder, as kubectl has them, since programs
/// that are set up for it (`colordiff -N -u`) do not look into folders below.
fn write_group(root: &Path, group: &DifferenceGroup, sides: &[Side<'_>]) -> Result<()> {
    let Some(pool) = group.pools.first() else { return Ok(()) };
    let Some(side) = sides.iter().find(|side| side.pools.contains(pool)) else { return Ok(()) };
    if let Some(file) = group.files.iter().find(|file| file.is_left_out()) {
        super::say("incomplete", &format!("{} and others are left out: together they are too large", file.path));
    }
    for (file, name) in group.files.iter().zip(file_names(group)).filter(|(file, _)| !file.is_left_out()) {
        let Some(content) = side.contents.get(&file.path) else { continue };
        let path = root.join(name);
        let bytes = content.bytes().unwrap_or_else(|why| format!("cannot be read: {why}\n").into_bytes());
        let shown = if is_text(&bytes) { without_private_keys(&bytes).into_owned().into_bytes() } else { bytes };
        fs::write(&path, shown).map_err(|error| unwritable(&path, error))?;
    }
    Ok(())
}

/// `master,worker.etc.containers.policy.json`: one for each file, no two the same, and none longer than a file system takes.
fn file_names(group: &DifferenceGroup) -> Vec<String> {
    const LONGEST: usize = 60;
    // Names of pools and paths may come from anywhere.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ',' | '.' | '+');
    let plain = |text: &str| text.replace(|c| !is_plain(c), "_");
    let first = group.pools.first().map(String::as_str).unwrap_or_default();
    let pools = plain(&match group.pools.join(",") {
        all if all.len() <= LONGEST => all,
        _ => format!("{}+{}", first.chars().take(LONGEST).collect::<String>(), group.pools.len() - 1),
    });
    let mut taken = BTreeSet::new();
    let name = |(index, path): (usize, &str)| {
        let path = plain(&path.replace('/', "."));
        let name = format!("{}{}", pools.trim_start_matches('.'), path);
        if name.len() <= 4 * LONGEST - 20 && taken.insert(name.clone()) {
            return name;
        }
        let end = path.get(path.len().saturating_sub(2 * LONGEST)..).unwrap_or_default();
        format!("{}~{index}{end}", pools.trim_start_matches('.'))
    };
    group.files.iter().map(|file| file.path.as_str()).enumerate().map(name).collect()
}

fn unwritable(path: &Path, source: io::Error) -> Error {
    Error::File {
        action: "write",
        path: path.display().to_string(),
        source,
        hint: "set TMPDIR to a place with room".into(),
    }
}

/// A directory for this process alone, gone with it.
struct Temporary(PathBuf);

impl Temporary {
    fn create() -> Result<Self> {
        let parent = std::env::temp_dir();
        for attempt in 0..100 {
            let path = parent.join(format!("oc-imagepolicy-diff-{}-{attempt}", std::process::id()));
            match create_private(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unwritable(&path, error)),
            }
        }
        Err(unwritable(&parent, io::ErrorKind::AlreadyExists.into()))
    }
}

/// On Windows a person's directory for temporary files is theirs alone already.
fn create_private(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(path);
    #[cfg(not(unix))]
    fs::create_dir(path)
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}
