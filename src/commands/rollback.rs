//! `oc imagepolicy rollback`

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::input::{ConnectionFlags, InputArgs};
use super::load::{Loaded, Needs};
use super::plan_report::{PlanReport, target};
use super::writing::{Written, back_up, can_confirm, cluster_id, confirm, refused, say_half, server, undo};
use super::{Answer, OutputArgs, say};
use crate::cluster::{self, Confirmed, ConnectionArgs, Mode, Reply, Writer};
use crate::compile::{compile, overlay};
use crate::error::{Error, Result};
use crate::files::backup::{self, Change, Record, checksum};
use crate::model::machine_config::INPUTS;
use crate::output::{API_VERSION, Format, Report, Style, Table, Terminal};
use crate::plan::{self, Action, Objection, Step, bare, same_content};
use crate::snapshot::{Kind, Snapshot, Source};

/// Put back what an apply replaced
///
/// Every apply, and every rollback, keeps what it is about to change: this writes it back, deletes what was not there, and creates again
/// what was deleted, in the opposite order, after showing what that does and asking. Objects that somebody else has changed since are
/// left alone unless --force-conflicts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Take back the last apply to this cluster
  oc imagepolicy rollback

  # What is there to go back to?
  oc imagepolicy rollback --list
  oc imagepolicy rollback --to 20261122T164502Z-1

Exit codes: 0 written back, or nothing to do; 1 not written; 2 failed.")]
pub struct Args {
    /// The backup: its name in --list, or its directory [default: the last one of this cluster]
    #[arg(long, value_name = "BACKUP", conflicts_with = "list")]
    to: Option<PathBuf>,
    /// List the backups of this cluster
    #[arg(long)]
    list: bool,
    /// Show the plan, let the API server try it out, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Write without asking
    #[arg(short = 'y', long)]
    yes: bool,
    /// Write back objects that somebody has changed since, too
    #[arg(long)]
    force_conflicts: bool,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: Args) -> Answer {
    if !args.list && !args.dry_run {
        can_confirm(args.yes, false, args.output.format, "--dry-run")?;
    }
    // A backup that is no backup is found out before any cluster is asked.
    let named = args.to.as_deref().filter(|path| path.components().count() > 1 || path.is_dir());
    let read_before = named.map(|path| Ok::<_, Error>((path.to_path_buf(), backup::read(path)?))).transpose()?;
    let before = Loaded::load(&InputArgs::default(), &args.connection, Needs::Everything, None)?;
    if !matches!(before.snapshot.source, Source::Live(_)) {
        return Err(Error::usage("there is no cluster to write to", "name one: --context NAME"));
    }
    if args.list {
        return list(&args, &before);
    }
    before.say_gaps();
    let (path, record) = match read_before {
        Some(found) => found,
        None => find(&args, &before)?,
    };
    if record.cluster != cluster_id(&before) {
        return Err(Error::usage(
            format!("{} is a backup of another cluster ({}, {})", path.display(), record.cluster, record.server),
            "list those of this one with: oc imagepolicy rollback --list",
        ));
    }
    let Restoring { steps, changed } = restoring(&before.snapshot, &record)?;
    let mut t = args.output.terminal();
    let after = after(&before, &steps);
    let mut report = PlanReport::new(&before, &after, &steps);
    report.header.notes.push(format!("back to before {}, {} ({})", record.time, path.display(), server(&before)));
    for object in &changed {
        report.header.notes.push(format!("{object} was changed by somebody since; what is written back replaces that"));
    }
    for refusal in after.compiled.refusals() {
        report
            .header
            .notes
            .push(format!("this is refused afterwards, so that nothing reaches the nodes: {}", refusal.text));
    }
    if !steps.is_empty() {
        speak_against(&before, &after, &mut report.header.notes);
        report.compare(&before, &after)?;
        try_out(&args, &before, &steps)?;
    }
    let blocked = !changed.is_empty() && !args.force_conflicts;
    let goes_on = !steps.is_empty() && !blocked && !args.dry_run;
    let is_document = args.output.format.is_document();
    // A document is printed once, at the end; names are printed as they are written.
    if !goes_on || !(is_document || args.output.format == Format::Name) {
        crate::output::print(&report, args.output.format, &mut t)?;
    }
    if blocked {
        say("not written", &format!("nothing was changed; somebody has changed {} since", changed.join(", ")));
        say("hint", "--force-conflicts writes them back all the same");
        return Ok(false);
    }
    if !goes_on {
        return Ok(true);
    }
    let Some(confirmed) = confirm(&format!("Write this back to {}?", server(&before)), args.yes)? else {
        say("not written", "nothing was changed");
        return Ok(false);
    };
    let (directory, mut kept) = back_up(&before, &steps)?;
    say("backup", &directory.display().to_string());
    say("undo", &undo(&directory));
    let written = write(&args, &before, &steps, &confirmed, &mut t);
    for (change, answer) in kept.steps.iter_mut().zip(&written.answers) {
        *change = Change::new(change.before.as_ref(), answer.as_ref());
    }
    if let Err(error) = backup::update(&directory, &kept) {
        say("warning", &format!("what was written could not be noted in the backup: {error}"));
    }
    if let Err(error) = written.outcome {
        // By now the last backup is the one of this rollback, which the same command might go back to.
        let again = format!("to go on where this one ended: {}", undo(&path));
        say_half(&steps, written.answers.len(), &directory, &again);
        return Err(error);
    }
    if is_document {
        report.backup = Some(directory.display().to_string());
        crate::output::print(&report, args.output.format, &mut t)?;
    }
    Ok(true)
}

/// What would stop an apply. Here it is only said: the way back must be open.
fn speak_against(before: &Loaded, after: &Loaded, notes: &mut Vec<String>) {
    let (was, is) = ((&before.snapshot, &before.compiled), (&after.snapshot, &after.compiled));
    let images = plan::platform_images(&before.snapshot);
    let findings = plan::new_findings(was, is);
    for guard in plan::guards(was, is, (&[], &[]), &findings, &images) {
        notes.push(format!("apply would stop here ({}): {}", guard.code, guard.message));
    }
    // An older backup knows nothing of what was made since.
    match plan::machine_configs(is.0, is.0, is.1) {
        Ok(steps) if steps.is_empty() => {}
        Ok(steps) => {
            let names: Vec<String> = steps.iter().map(|step| step.object.to_string()).collect();
            notes.push(format!(
                "{} would no longer fit the objects, and nodes read them: afterwards, apply one of the objects once more",
                names.join(", ")
            ));
        }
        Err(
            Objection::Impossible { message, .. } | Objection::Blind { message } | Objection::Usage { message, .. },
        ) => {
            notes.push(message);
        }
    }
}

/// The backup that is meant.
fn find(args: &Args, before: &Loaded) -> Result<(PathBuf, Record)> {
    let (root, cluster) = (backup::root()?, cluster_id(before));
    let path = match &args.to {
        Some(name) => root.join(&cluster).join(name),
        None => backup::list(&root, &cluster)?.pop().ok_or_else(|| Error::Empty {
            message: format!("there is no backup of this cluster in {}", root.join(&cluster).display()),
            hint: "name one that lies elsewhere: --to DIRECTORY".into(),
        })?,
    };
    let record = backup::read(&path)?;
    Ok((path, record))
}

/// What has to be written, and the objects that are neither as they were before nor as the apply left them.
struct Restoring {
    steps: Vec<Step>,
    changed: Vec<String>,
}

/// In the opposite order of the apply.
fn restoring(live: &Snapshot, record: &Record) -> Result<Restoring> {
    let api = live.beneath.as_deref().unwrap_or(live);
    let mut restoring = Restoring { steps: Vec::new(), changed: Vec::new() };
    for change in record.steps.iter().rev() {
        let object = change.object();
        let Some(kind) = Kind::of_object(object) else { continue };
        let blind = live.gaps.iter().find(|gap| gap.kind == kind);
        if let Some(gap) = blind {
            return Err(Error::Incomplete {
                message: format!("what is there now cannot be seen: {}", gap.message),
                hint: "ask somebody who may read it, or get the rights of docs/rbac.yaml".into(),
            });
        }
        let current = current(api, kind, object);
        let as_before = match (&current, &change.before) {
            (None, None) => true,
            (Some(current), Some(before)) => same_content(current, before),
            _ => false,
        };
        if as_before {
            continue;
        }
        let as_after = match (&current, &change.checksum) {
            (None, None) => true,
            (Some(current), Some(sum)) => checksum(current) == *sum,
            _ => false,
        };
        let (action, reason) = match (&current, &change.before) {
            (Some(_), Some(_)) => (Action::Update, "as it was"),
            (None, _) => (Action::Create, "it was there"),
            (Some(_), None) => (Action::Delete, "it was not there"),
        };
        // Gone, and it was not there before either.
        if current.is_none() && change.before.is_none() {
            continue;
        }
        let shown = plan::reference(object);
        if kind == Kind::MachineConfig
            && let Some(name) = foreign(live, &shown.name)
        {
            return Err(Error::usage(
                format!(
                    "MachineConfig {name} is there and was not made by this program: it has no annotation {INPUTS}"
                ),
                format!("look at it: oc get machineconfig {name} -o yaml; give it another name, and run this again"),
            ));
        }
        if !as_after {
            restoring.changed.push(shown.to_string());
        }
        restoring.steps.push(Step {
            action,
            kind,
            object: shown.into(),
            reason: reason.into(),
            manifest: change.before.as_ref().map(bare).unwrap_or_default(),
            before: current.cloned(),
            after: change.before.clone(),
            takes_over: false,
            leftovers: Vec::new(),
        });
    }
    Ok(restoring)
}

/// A MachineConfig of that name that somebody else made.
fn foreign<'s>(live: &'s Snapshot, name: &str) -> Option<&'s str> {
    let there = live.machine_configs.iter().find(|there| there.metadata.name == name)?;
    (!overlay::is_ours(there)).then_some(&there.metadata.name)
}

fn current<'s>(api: &'s Snapshot, kind: Kind, wanted: &Value) -> Option<&'s Value> {
    let name = |object: &Value| {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
        (text("/metadata/namespace"), text("/metadata/name"))
    };
    let is_it = |raw: &&Value| Kind::of_object(raw) == Some(kind) && name(raw) == name(wanted);
    let machine_configs = api.machine_configs.iter().map(|object| &object.raw);
    api.policy_objects().map(|(_, raw)| raw).chain(machine_configs).find(is_it)
}

fn after(before: &Loaded, steps: &[Step]) -> Loaded {
    let api = before.snapshot.beneath.as_deref().unwrap_or(&before.snapshot);
    let mut snapshot = api.changed(steps.iter().map(Step::change));
    overlay::unfold(&mut snapshot);
    let compiled = compile(&snapshot, before.release);
    let Loaded { release, release_assumed, .. } = *before;
    Loaded { snapshot, release, release_assumed, compiled, hypothetical: true }
}

async fn restore(writer: &Writer, step: &Step, mode: Mode<'_>) -> Result<Reply> {
    match (&step.before, step.action) {
        (Some(seen), Action::Delete) => writer.delete(seen, mode).await,
        (Some(seen), _) => {
            let reply = writer.replace(&step.manifest, seen, mode).await?;
            let (Reply::Done(now), Mode::Write(_)) = (&reply, mode) else { return Ok(reply) };
            // Who owned what is part of what was: else the next apply would meet this rollback as somebody else.
            let owners = |now: &Value| owners(step.after.as_ref()?, now);
            match writer.set_managed_fields(now, owners, mode).await {
                Ok(Reply::Done(now)) => Ok(Reply::Done(now)),
                Ok(Reply::Refused(_)) | Err(_) => Ok(reply),
            }
        }
        (None, _) => writer.create(&step.manifest, mode).await,
    }
}

/// Those of then for what people write, those of now for what controllers do.
fn owners(then: &Value, now: &Value) -> Option<Value> {
    let entries = |object: &Value| object.pointer("/metadata/managedFields").and_then(Value::as_array).cloned();
    let is_of_subresource = |entry: &Value| {
        entry.get("subresource").and_then(Value::as_str).is_some_and(|subresource| !subresource.is_empty())
    };
    let mut all = entries(then)?;
    all.retain(|entry| !is_of_subresource(entry));
    all.extend(entries(now).unwrap_or_default().into_iter().filter(is_of_subresource));
    (!all.is_empty()).then_some(Value::Array(all))
}

fn try_out(args: &Args, before: &Loaded, steps: &[Step]) -> Result<()> {
    let connection = cluster::connect(&ConnectionArgs::from(&args.connection))?;
    cluster::block_on(async {
        let writer = Writer::new(&connection)?;
        for step in steps {
            let Some(target) = target(step) else { continue };
            if let Reply::Refused(denial) = restore(&writer, step, Mode::DryRun).await? {
                return Err(refused(before, &target, &denial, "nothing was changed"));
            }
        }
        Ok(())
    })
}

fn write(args: &Args, before: &Loaded, steps: &[Step], confirmed: &Confirmed, t: &mut Terminal) -> Written {
    let answers = RefCell::new(Vec::new());
    let is_document = args.output.format.is_document();
    let outcome = cluster::connect(&ConnectionArgs::from(&args.connection)).and_then(|connection| {
        cluster::block_on(async {
            let writer = Writer::new(&connection)?;
            for step in steps {
                let Some(target) = target(step) else { continue };
                let word = match step.action {
                    Action::Create => "created",
                    Action::Update => "replaced",
                    Action::Delete => "deleted",
                };
                match restore(&writer, step, Mode::Write(confirmed)).await? {
                    Reply::Done(object) => {
                        answers.borrow_mut().push((step.action != Action::Delete).then_some(object));
                    }
                    Reply::Refused(denial) => {
                        let hint_done = if answers.borrow().is_empty() {
                            "nothing was changed"
                        } else {
                            "what comes after it was not written"
                        };
                        return Err(refused(before, &target, &denial, hint_done));
                    }
                }
                if args.output.format == Format::Name {
                    t.line(&target.to_string())?;
                } else if !is_document {
                    t.line(&format!("{target} {word}"))?;
                }
                t.flush()?;
            }
            writer.take_warnings().iter().for_each(|warning| say("warning", warning));
            Ok(())
        })
    });
    Written { answers: answers.into_inner(), outcome }
}

fn list(args: &Args, before: &Loaded) -> Answer {
    let root = backup::root()?;
    let mut backups = Vec::new();
    for path in backup::list(&root, &cluster_id(before))? {
        match backup::read(&path) {
            Ok(record) => backups.push(Entry::new(&path, &record)),
            Err(error) => say("warning", &error.to_string()),
        }
    }
    let report = Backups { api_version: API_VERSION, kind: "BackupList", items: backups };
    crate::output::print(&report, args.output.format, &mut args.output.terminal())?;
    Ok(true)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Backups {
    api_version: &'static str,
    kind: &'static str,
    items: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    directory: String,
    time: String,
    objects: Vec<String>,
}

impl Entry {
    fn new(path: &Path, record: &Record) -> Self {
        Self {
            name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            directory: path.display().to_string(),
            time: record.time.clone(),
            objects: record.steps.iter().map(|change| plan::reference(change.object()).to_string()).collect(),
        }
    }
}

impl Report for Backups {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        if self.items.is_empty() {
            return t.line("There is no backup of this cluster.");
        }
        let mut table = Table::new(t, &["BACKUP", "TAKEN", "BEFORE WRITING"]);
        for entry in &self.items {
            table.row([
                (Style::Plain, entry.name.as_str().into()),
                (Style::Plain, entry.time.as_str().into()),
                (Style::Plain, entry.objects.join("\n").into()),
            ]);
        }
        table.print(t)
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        self.items.iter().try_for_each(|entry| t.line(&entry.directory))
    }
}
