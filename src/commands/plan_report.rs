//! A plan as it is shown: by `apply` and by `rollback`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::change::{Sides, known_left, sides};
use super::diff::print_difference;
use super::explain::print_refusals;
use super::input::Of;
use super::load::{Header, Loaded};
use super::writing::server;
use crate::cluster::Target;
use crate::diff::{Difference, difference};
use crate::error::Result;
use crate::files;
use crate::lint::{Finding, Level};
use crate::model::private_keys::redact;
use crate::model::provenance::{ObjectRef, Refusal};
use crate::output::words::fold;
use crate::output::{API_VERSION, Report, Style, Table, Terminal};
use crate::plan::{self, Action, Freeze, Guard, Leftover, Step};
use crate::rollout::{Action as NodeAction, ChangedFile, Disruption, forecast};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    pub header: Header,
    steps: Vec<StepDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeze: Option<FreezeDoc>,
    difference: Difference,
    pub new_findings: Vec<Finding>,
    disruption: Vec<Disruption>,
    pub guards: Vec<GuardDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    #[serde(skip)]
    title: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepDoc {
    action: Action,
    object: Arc<ObjectRef>,
    reason: String,
    diff: String,
    leftovers: Vec<Leftover>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    takes_over: bool,
    #[serde(skip)]
    name: String,
}

impl StepDoc {
    fn new(step: &Step) -> Self {
        Self {
            action: step.action,
            object: Arc::clone(&step.object),
            reason: step.reason.clone(),
            diff: object_diff(step.before.as_ref(), step.after.as_ref()),
            leftovers: step.leftovers.clone(),
            takes_over: step.takes_over,
            name: target(step).map(|target| target.to_string()).unwrap_or_default(),
        }
    }
}

/// An object before and after, line by line, without what servers add.
fn object_diff(before: Option<&Value>, after: Option<&Value>) -> String {
    let text = |object: Option<&Value>| {
        let whole = object.map(|object| files::yaml::emit(&plan::bare(object))).unwrap_or_default();
        // Of single lines nobody could tell that they belong to a private key.
        redact(&whole).into_owned()
    };
    let (before, after) = (text(before), text(after));
    crate::diff::unified_diff(&before, &after, ("before", "after"))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FreezeDoc {
    from: Arc<ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Arc<ObjectRef>>,
    refusals: Vec<Refusal>,
}

impl FreezeDoc {
    pub fn new(freeze: &Freeze, steps: &[Step]) -> Self {
        let object = |index: usize| steps.get(index).map(|step| Arc::clone(&step.object));
        let nobody =
            || Arc::new(ObjectRef { api_version: "".into(), kind: "".into(), namespace: None, name: "".into() });
        Self {
            from: object(freeze.from).unwrap_or_else(nobody),
            until: freeze.until.and_then(object),
            refusals: freeze.refusals.clone(),
        }
    }
}

#[derive(Serialize)]
pub struct GuardDoc {
    #[serde(flatten)]
    pub guard: Guard,
    pub forced: bool,
}

impl PlanReport {
    /// Of steps that lead from one state to the other; everything else is still to be filled in.
    pub fn new(before: &Loaded, after: &Loaded, steps: &[Step]) -> Self {
        let mut header = after.header("desired", None);
        let known: BTreeSet<&str> = before.notes().map(|note| note.text.as_str()).collect();
        header.notes.retain(|note| !known.contains(note.as_str()));
        header.refusals.clear();
        Self {
            api_version: API_VERSION,
            kind: "Plan",
            header,
            steps: steps.iter().map(StepDoc::new).collect(),
            freeze: None,
            difference: Difference::default(),
            new_findings: Vec::new(),
            disruption: Vec::new(),
            guards: Vec::new(),
            backup: None,
            title: format!("Plan for {} · {}", server(before), before.header("desired", None).release_in_words()),
        }
    }

    /// Fills in what changes on the nodes, and what that does to them.
    pub fn compare(&mut self, before: &Loaded, after: &Loaded) -> Result<()> {
        let left = sides(before, &known_left(before))?;
        let right = sides(after, &Of::Desired)?;
        if right.refusals.is_empty() && left.refusals.is_empty() {
            self.difference = difference(&left.sides, &right.sides);
            self.disruption = disruption(before, &self.difference, &left, &right);
        }
        self.header.notes.extend(left.missing.iter().chain(&right.missing).cloned());
        Ok(())
    }

    pub fn mark_forced(&mut self, codes: &BTreeSet<String>) {
        for guard in &mut self.guards {
            guard.forced = codes.contains(&guard.guard.code);
        }
    }
}

impl Report for PlanReport {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        t.put(Style::Bold, &self.title)?;
        t.end_line()?;
        if self.steps.is_empty() {
            t.line("Nothing to do: the cluster is as it should be.")?;
            return self.print_notes(t);
        }
        t.end_line()?;
        let mut table = Table::new(t, &["WRITE", "OBJECT", "WHY"]);
        for step in &self.steps {
            let style = if step.action == Action::Delete { Style::Bad } else { Style::Good };
            table.row([
                (style, step.action.to_string().into()),
                (Style::Plain, step.object.to_string().into()),
                (Style::Plain, step.why().into()),
            ]);
        }
        table.print(t)?;
        if t.wide() {
            for step in &self.steps {
                t.end_line()?;
                t.line(&step.object.to_string())?;
                step.diff.lines().try_for_each(|line| t.line(line))?;
            }
        }
        if !self.header.refusals.is_empty() {
            t.end_line()?;
            return print_refusals(&self.header.refusals, t);
        }
        if let Some(freeze) = &self.freeze {
            freeze.print(t)?;
        }
        if self.difference.is_empty() {
            t.end_line()?;
            t.line("Nothing changes for any image or file of a node.")?;
        }
        print_difference(&self.difference, t)?;
        self.print_findings(t)?;
        self.print_disruption(t)?;
        self.print_notes(t)?;
        for GuardDoc { guard, forced } in &self.guards {
            let word = if *forced { "forced" } else { "guard" };
            t.end_line()?;
            t.put(if *forced { Style::Caution } else { Style::Bad }, &format!("{word}[{}]", guard.code))?;
            t.line(&format!(" {}", guard.message))?;
        }
        Ok(())
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        self.steps.iter().try_for_each(|step| t.line(&step.name))
    }
}

impl StepDoc {
    fn why(&self) -> String {
        let mut lines = vec![self.reason.clone()];
        if self.takes_over {
            lines.push("what an earlier kubectl apply wrote becomes this program's".into());
        }
        for Leftover { path, value, manager } in &self.leftovers {
            let value = if value.is_empty() { String::new() } else { format!(" ({value})") };
            lines.push(format!("{path}{value} stays: {manager} put it there"));
        }
        lines.join("\n")
    }
}

impl FreezeDoc {
    fn print(&self, t: &mut Terminal) -> io::Result<()> {
        t.end_line()?;
        let until = match &self.until {
            Some(until) => format!("until {until} is written"),
            None => "and goes on refusing afterwards".to_string(),
        };
        let text = format!(
            "The controller refuses what stands there once {} is written, {until}: no order of writes avoids it.",
            self.from
        );
        fold(&text, t.width()).iter().try_for_each(|line| t.line(line))?;
        self.refusals.iter().try_for_each(|refusal| t.line(&format!("  {}", refusal.text)))
    }
}

impl PlanReport {
    fn print_findings(&self, t: &mut Terminal) -> io::Result<()> {
        let shown: Vec<&Finding> =
            self.new_findings.iter().filter(|finding| finding.level >= Level::Warning || t.wide()).collect();
        if shown.is_empty() {
            return Ok(());
        }
        t.end_line()?;
        t.put(Style::Bold, "What lint newly finds")?;
        t.end_line()?;
        for finding in shown {
            let style = if finding.level == Level::Error { Style::Bad } else { Style::Caution };
            t.put(style, &format!("  {}[{}]", finding.level.word(), finding.rule.id()))?;
            t.line(&format!(" {}: {}", finding.object, finding.message))?;
        }
        Ok(())
    }

    fn print_disruption(&self, t: &mut Terminal) -> io::Result<()> {
        if self.disruption.iter().all(|pool| pool.path.is_none()) {
            return Ok(());
        }
        t.end_line()?;
        t.put(Style::Bold, "What it does to nodes")?;
        t.end_line()?;
        let mut table = Table::new(t, &["POOL", "NODES", "BECAUSE OF"]);
        for pool in &self.disruption {
            let style = match pool.action {
                NodeAction::None => Style::Plain,
                NodeAction::Reload => Style::Good,
                NodeAction::Drain => Style::Caution,
                NodeAction::Reboot => Style::Bad,
            };
            let because = match &pool.path {
                Some(path) => format!("{path}: {}", pool.rule),
                None => pool.rule.clone(),
            };
            table.row([
                (Style::Plain, pool.pool.as_str().into()),
                (style, pool.to_string().into()),
                (Style::Plain, because.into()),
            ]);
        }
        table.print(t)
    }

    fn print_notes(&self, t: &mut Terminal) -> io::Result<()> {
        if !self.header.notes.is_empty() {
            t.end_line()?;
        }
        for note in &self.header.notes {
            fold(&format!("Note: {note}"), t.width()).iter().try_for_each(|line| t.line(line))?;
        }
        Ok(())
    }
}

/// What the changed files do to the nodes of every pool.
fn disruption(before: &Loaded, difference: &Difference, left: &Sides<'_>, right: &Sides<'_>) -> Vec<Disruption> {
    let mut paths: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for group in &difference.groups {
        for pool in &group.pools {
            paths.entry(pool).or_default().extend(group.files.iter().map(|file| file.path.as_str()));
        }
    }
    let side = |sides: &Sides<'_>, pool: &str, path: &str| {
        let side = sides.sides.iter().find(|side| side.pools.iter().any(|name| name == pool))?;
        side.contents.get(path)?.bytes().ok()
    };
    let pools: Vec<&String> = left.sides.iter().flat_map(|side| &side.pools).collect();
    let of_pool = |pool: &&String| {
        let paths: Vec<&str> = paths.get(pool.as_str()).into_iter().flatten().copied().collect();
        let bytes = |sides: &Sides<'_>| paths.iter().map(|path| side(sides, pool, path)).collect::<Vec<_>>();
        let (earlier, later) = (bytes(left), bytes(right));
        let files: Vec<ChangedFile> = paths
            .iter()
            .zip(earlier.iter().zip(&later))
            .map(|(path, (before, after))| ChangedFile { path, before: before.as_deref(), after: after.as_deref() })
            .collect();
        forecast(&before.snapshot, before.release, pool, &files)
    };
    pools.iter().map(of_pool).collect()
}

/// What a step writes.
pub fn target(step: &Step) -> Option<Target> {
    Target::of(if step.manifest.is_null() { step.before.as_ref()? } else { &step.manifest })
}
