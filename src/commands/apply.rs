//! `oc imagepolicy apply`

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};

use super::change::ChangeArgs;
use super::input::{ConnectionFlags, InputArgs};
use super::load::{Loaded, Needs, name_of};
use super::plan_report::{FreezeDoc, GuardDoc, PlanReport, target};
use super::writing::{Written, back_up, can_confirm, confirm, refused, say_half, server, undo};
use super::{Answer, OutputArgs, rollout, say};
use crate::cluster::{self, Confirmed, ConnectionArgs, Denial, Reply, Writer, platform_pods};
use crate::compile::{compile, overlay};
use crate::error::{Error, Result};
use crate::files::backup::{self, Change};
use crate::files::{self, ReadOptions};
use crate::lint::rules::RULES;
use crate::model::provenance::{Cause, Refusal, RefusalReason, RefusedBy};
use crate::output::{Format, Terminal};
use crate::plan::{self, Action, Draft, Freeze, Objection, Step, Wish};
use crate::snapshot::{Kind, Source};

/// Write image policy to the cluster, after showing what it does
///
/// Objects that the API has are written as objects (server-side apply with the field manager oc-imagepolicy); what it has no place for,
/// such as signedRegistries, becomes MachineConfigs 99-POOL-imagepolicy. Before anything is written the API server tries all of it out,
/// the plan is shown (each write, what changes on the nodes, what lint newly finds, what it does to nodes), somebody says yes, and a
/// backup of every object that is touched is on the disk. A second run goes on where a first one ended.
///
/// Not carried out, unless --force names the code: a plan that somebody would refuse (refused), that adds an error of lint (its code),
/// or after which the cluster could not pull its own images (platform-images).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Show the plan, ask, write
  oc imagepolicy apply -f policies/

  # Only show it; the API server checks everything and keeps nothing
  oc imagepolicy apply -f policies/ --dry-run=server

  # The same, and then watch the nodes take it
  oc imagepolicy apply -f policies/ --wait --timeout 30m

  # Delete a policy
  oc imagepolicy apply --without ClusterImagePolicy/team-key

  # signedRegistries of an Image, with the keyring that they name
  oc imagepolicy apply -f image.yaml --key /etc/machine-config-daemon/no-reboot/containers-gpg.pub=keys.gpg

Exit codes: 0 written, or nothing to do; 1 not written: somebody refuses it, a guard, or the answer was no; 2 failed.")]
pub struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    /// Bring all of it to the nodes by MachineConfigs of ours instead of objects [also: --as machineconfigs, which therefore names no
    /// user here]
    #[arg(long, help_heading = "Change")]
    as_machineconfigs: bool,
    /// Show the plan and write nothing: client asks the server for nothing but what is there, server lets it try everything out
    #[arg(long, value_enum, default_value = "none", value_name = "WHERE")]
    dry_run: DryRun,
    /// Write without asking
    #[arg(short = 'y', long)]
    yes: bool,
    /// Take over fields that others wrote last
    #[arg(long)]
    force_conflicts: bool,
    /// Carry it out in spite of this: refused, platform-images, or a code of lint
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    force: Vec<String>,
    /// Then wait until every pool has taken it, or will not without help
    #[arg(long)]
    wait: bool,
    /// With --wait: give up after this long, such as 90s or 30m; 0 for never
    #[arg(long, value_name = "DURATION", value_parser = rollout::timeout, requires = "wait")]
    timeout: Option<Duration>,
    /// The OpenShift release to answer for [default: that of ClusterVersion, else the newest known]
    #[arg(long, value_name = "X.Y")]
    release: Option<String>,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DryRun {
    /// Write
    None,
    /// Compute the plan here
    Client,
    /// Let the API server check it
    Server,
}

pub fn run(mut args: Args) -> Answer {
    // Nobody acts as a user of that name, and many will type it so.
    if args.connection.as_user.as_deref() == Some("machineconfigs") {
        args.connection.as_user = None;
        args.as_machineconfigs = true;
    }
    let forced = forced(&args.force)?;
    if args.wait && matches!(args.output.format, Format::Json | Format::Yaml) {
        return Err(Error::usage(
            "--wait has more to say than one document holds",
            "use -o jsonl, or wait afterwards with: oc imagepolicy rollout --wait",
        ));
    }
    let wish = wish(&args)?;
    if args.dry_run == DryRun::None {
        let from_stdin = args.change.filename.iter().any(|path| path == Path::new("-"));
        can_confirm(args.yes, from_stdin, args.output.format, "--dry-run=server")?;
    }
    let input = InputArgs { release: args.release.clone(), ..InputArgs::default() };
    let before = Loaded::load(&input, &args.connection, Needs::Everything, None)?;
    before.say_gaps();
    let planned = match Planner::new(&args, &before)?.plan(&wish) {
        Ok(planned) => planned?,
        Err(objection) => return object(objection),
    };
    let mut t = args.output.terminal();
    let Planned { mut report, steps, is_refused } = planned;
    report.mark_forced(&forced);
    let unforced: Vec<String> =
        report.guards.iter().filter(|guard| !guard.forced).map(|guard| guard.guard.code.clone()).collect();
    let is_document = args.output.format.is_document();
    let goes_on = !is_refused && unforced.is_empty() && !steps.is_empty() && args.dry_run == DryRun::None;
    if !goes_on || !is_document {
        show(&report, &args, goes_on, &mut t)?;
    }
    if is_refused {
        say("not written", "the API server does not take it; nothing was changed");
        return Ok(false);
    }
    if !unforced.is_empty() {
        let codes: BTreeSet<String> = unforced.into_iter().collect();
        let codes: Vec<String> = codes.into_iter().collect();
        say("not written", &format!("nothing was changed; --force={} writes it all the same", codes.join(",")));
        return Ok(false);
    }
    if steps.is_empty() || args.dry_run != DryRun::None {
        return Ok(true);
    }
    let Some(confirmed) = confirm(&format!("Apply these changes to {}?", server(&before)), args.yes)? else {
        say("not written", "nothing was changed");
        return Ok(false);
    };
    let (directory, mut record) = back_up(&before, &steps)?;
    say("backup", &directory.display().to_string());
    say("undo", &undo(&directory));
    let written = write(&args, &before, &steps, &confirmed, &mut t);
    for (change, answer) in record.steps.iter_mut().zip(&written.answers) {
        *change = Change::new(change.before.as_ref(), answer.as_ref());
    }
    if let Err(error) = backup::update(&directory, &record) {
        say("warning", &format!("what was written could not be noted in the backup: {error}"));
    }
    if let Err(error) = written.outcome {
        let again = "the same command again goes on where this one ended";
        say_half(&steps, written.answers.len(), &directory, again);
        return Err(error);
    }
    if is_document {
        report.backup = Some(directory.display().to_string());
        crate::output::print(&report, args.output.format, &mut t)?;
    }
    std::mem::forget((before.snapshot, before.compiled));
    match args.wait {
        true => rollout::wait(&args.connection, &args.output, args.timeout.filter(|timeout| !timeout.is_zero())),
        false => Ok(true),
    }
}

/// `--force`
fn forced(codes: &[String]) -> Result<BTreeSet<String>> {
    let known = |code: &str| {
        let of_rule = || RULES.iter().map(|rule| rule.id()).find(|id| id.eq_ignore_ascii_case(code));
        ["refused", "platform-images"].into_iter().find(|name| *name == code).map(str::to_string).or_else(of_rule)
    };
    let code = |code: &String| {
        known(code).ok_or_else(|| {
            Error::usage(
                format!("--force={code} is nothing that can be forced"),
                "the plan names the codes: refused, platform-images, or IMPnnn",
            )
        })
    };
    codes.iter().map(code).collect()
}

fn wish(args: &Args) -> Result<Wish> {
    if args.change.is_empty() {
        return Err(Error::usage("there is nothing to apply", "name it: -f FILE, or --without KIND/NAME"));
    }
    let mut wish = match args.change.filename.is_empty() {
        true if args.change.recursive => return Err(Error::usage("-R needs a directory", "say which with: -f DIR -R")),
        true => Wish::default(),
        false => {
            let read = files::read(
                &args.change.filename,
                ReadOptions { recursive: args.change.recursive, ..ReadOptions::default() },
            )?;
            read.warnings.iter().for_each(|warning| say("warning", warning));
            plan::wish(&read).map_err(usage)?
        }
    };
    let objects = std::mem::take(&mut wish.objects).into_iter();
    wish.objects = objects.map(|object| args.change.in_namespace(object)).collect::<Result<_>>()?;
    for text in &args.change.without {
        let named = name_of(text)?;
        if !plan::WRITTEN.contains(&named.0) || named.0 == Kind::Image {
            let hint = match named.0 {
                Kind::Image => "the controller needs the object: take lists out of it instead, with -f",
                _ => "delete it with: oc delete",
            };
            return Err(Error::usage(format!("--without {text}: this is nothing that this program deletes"), hint));
        }
        wish.without.push(named);
    }
    wish.as_machine_configs = args.as_machineconfigs;
    wish.delivery = args.change.delivery.read()?;
    Ok(wish)
}

fn usage(objection: Objection) -> Error {
    match objection {
        Objection::Usage { message, hint } | Objection::Impossible { message, hint } => Error::Usage { message, hint },
        Objection::Blind { message } => Error::Incomplete {
            message: format!("what would be written cannot be told: {message}"),
            hint: "ask somebody who may read it, or get the rights of docs/rbac.yaml".into(),
        },
    }
}

/// What cannot be done on this cluster is an answer.
fn object(objection: Objection) -> Answer {
    match objection {
        Objection::Impossible { message, hint } => {
            say("not written", &message);
            hint.lines().for_each(|line| say("hint", line));
            Ok(false)
        }
        other => Err(usage(other)),
    }
}

/// From what is wanted to steps and everything that is to be said about them.
struct Planner<'a> {
    args: &'a Args,
    before: &'a Loaded,
}

struct Planned {
    report: PlanReport,
    steps: Vec<Step>,
    /// The API server will not take something of it.
    is_refused: bool,
}

type Denied = Vec<(usize, Denial)>;

impl<'a> Planner<'a> {
    fn new(args: &'a Args, before: &'a Loaded) -> Result<Self> {
        match before.snapshot.source {
            Source::Live(_) => Ok(Self { args, before }),
            _ => Err(Error::usage("there is no cluster to write to", "leave -f for what is to be written")),
        }
    }

    fn plan(&self, wish: &Wish) -> Result<Result<Planned>, Objection> {
        let live = &self.before.snapshot;
        let mut draft = plan::draft(live, self.before.release, wish)?;
        let mut steps = std::mem::take(&mut draft.steps);
        let mut denied = match self.try_out(&mut steps) {
            Ok(denied) => denied,
            Err(error) => return Ok(Err(error)),
        };
        let mut refusals: Vec<Refusal> =
            denied.iter().filter_map(|(index, denial)| Some(refusal(steps.get(*index)?, denial))).collect();
        // What the server makes of a file may be what is there already.
        let mut index = 0;
        steps.retain(|step| {
            index += 1;
            !step.is_idle() || denied.iter().any(|(denied, _)| denied + 1 == index)
        });
        let (after, compiled) = plan::outcome(live, &draft, &steps, self.before.release)?;
        let mut own = plan::machine_configs(live, &after, &compiled)?;
        denied = match self.try_out(&mut own) {
            Ok(denied) => denied,
            Err(error) => return Ok(Err(error)),
        };
        refusals.extend(denied.iter().filter_map(|(index, denial)| Some(refusal(own.get(*index)?, denial))));
        own.retain(|step| !step.is_idle());
        let api = live.beneath.as_deref().unwrap_or(live);
        let ordered = plan::order(api, self.before.release, steps);
        if ordered.has_unseen_states {
            draft.notes.push(
                "there are too many states between these steps to look at each: the controller may refuse one of them, and goes on \
                 once all steps are done"
                    .to_string(),
            );
        }
        let mut steps = ordered.steps;
        let (snapshot, compiled) = match own.is_empty() {
            true => (after, compiled),
            false => {
                let snapshot = after.changed(own.iter().map(Step::change));
                let compiled = compile(&snapshot, self.before.release);
                (snapshot, compiled)
            }
        };
        steps.extend(own);
        let Loaded { release, release_assumed, .. } = *self.before;
        let after = Loaded { snapshot, release, release_assumed, compiled, hypothetical: true };
        Ok(self.report(&draft, steps, after, refusals, ordered.freeze))
    }

    /// Lets the server try out the steps; what it answers is what they lead to.
    fn try_out(&self, steps: &mut [Step]) -> Result<Denied> {
        if self.args.dry_run == DryRun::Client || steps.is_empty() {
            return Ok(Vec::new());
        }
        let connection = cluster::connect(&ConnectionArgs::from(&self.args.connection))?;
        let force = self.args.force_conflicts;
        let try_all = async {
            let writer = Rc::new(Writer::new(&connection)?);
            let mut tasks = JoinSet::new();
            for (index, step) in steps.iter().cloned().enumerate() {
                let writer = Rc::clone(&writer);
                tasks.spawn_local(async move { (index, writer.try_out(&step, force).await) });
            }
            let mut answers = BTreeMap::new();
            while let Some(done) = tasks.join_next().await {
                let (index, reply) = done.map_err(|error| Error::Cluster {
                    server: server(self.before).to_string(),
                    message: format!("trying it out stops: {error}"),
                    hint: "please report this".into(),
                })?;
                answers.insert(index, reply?);
            }
            Ok((answers, writer.take_warnings()))
        };
        let (answers, warnings) = cluster::block_on(LocalSet::new().run_until(try_all))?;
        warnings
            .iter()
            .filter(|warning| !self.before.snapshot.warnings.contains(warning))
            .for_each(|warning| say("warning", warning));
        let mut denied = Vec::new();
        for (index, reply) in answers {
            let Some(step) = steps.get_mut(index) else { continue };
            match reply {
                Reply::Done(answer) if step.action != Action::Delete => step.answered(answer),
                Reply::Done(_) => {}
                Reply::Refused(denial) => {
                    let Some(target) = target(step) else { continue };
                    if matches!(denial, Denial::Forbidden(_) | Denial::Changed) {
                        return Err(refused(self.before, &target, &denial, "nothing was changed"));
                    }
                    denied.push((index, denial));
                }
            }
        }
        Ok(denied)
    }

    fn report(
        &self,
        draft: &Draft,
        steps: Vec<Step>,
        after: Loaded,
        refusals: Vec<Refusal>,
        freeze: Option<Freeze>,
    ) -> Result<Planned> {
        let before = (&self.before.snapshot, &self.before.compiled);
        let later = (&after.snapshot, &after.compiled);
        let is_refused = !refusals.is_empty();
        let mut report = PlanReport::new(self.before, &after, &steps);
        report.header.notes.extend(draft.notes.iter().cloned());
        report.header.notes.extend(about_keys(&after));
        report.freeze = freeze.map(|freeze| FreezeDoc::new(&freeze, &steps));
        if is_refused || steps.is_empty() {
            report.header.refusals = refusals;
            return Ok(Planned { report, steps, is_refused });
        }
        report.new_findings = plan::new_findings(before, later);
        let images = self.platform_images(&mut report.header.notes)?;
        let (refused_before, refused_after) = (plan::refusals(before.0, before.1), plan::refusals(later.0, later.1));
        let refused = (refused_before.as_slice(), refused_after.as_slice());
        let guards = plan::guards(before, later, refused, &report.new_findings, &images);
        report.guards = guards.into_iter().map(|guard| GuardDoc { guard, forced: false }).collect();
        for refusal in plan::still_refused(refused) {
            report.header.notes.push(format!(
                "this was refused before and still is, so that nothing reaches the nodes until it is mended: {}",
                refusal.text
            ));
        }
        report.compare(self.before, &after)?;
        Ok(Planned { report, steps, is_refused })
    }

    fn platform_images(&self, notes: &mut Vec<String>) -> Result<Vec<plan::PlatformImage>> {
        let live = &self.before.snapshot;
        let mut images = plan::platform_images(live);
        if live.controller_config.is_none() {
            let gap = live.gaps.iter().find(|gap| gap.kind == Kind::ControllerConfig);
            let why = gap.map_or("there is no ControllerConfig", |gap| &gap.message);
            notes.push(format!("whether all images of the release stay pullable was not looked at: {why}"));
        }
        let connection = cluster::connect(&ConnectionArgs::from(&self.args.connection))?;
        match cluster::block_on(platform_pods(&connection))? {
            Ok(of_pods) => images.extend(of_pods),
            Err(why) => notes.push(why),
        }
        Ok(images)
    }
}

/// Keyrings that nobody brings to the nodes, and those that nobody needs.
fn about_keys(after: &Loaded) -> Vec<String> {
    let overlay = after.compiled.overlay();
    let missing = overlay.map(|overlay| overlay::missing_keys(&after.snapshot, overlay)).unwrap_or_default();
    let mut notes: Vec<String> = missing.iter().filter_map(overlay::MissingKey::in_words).collect();
    notes.extend(overlay::unused_keys(&after.snapshot, &after.compiled));
    notes
}

/// The server's no, as an answer.
fn refusal(step: &Step, denial: &Denial) -> Refusal {
    let cause = |path: &str, value: &str| Cause {
        object: Arc::clone(&step.object),
        path: path.to_string(),
        value: value.to_string(),
    };
    let causes = match denial {
        Denial::Conflicts(conflicts) => {
            conflicts.iter().map(|conflict| cause(&conflict.path, &conflict.manager)).collect()
        }
        Denial::Invalid(_, fields) if !fields.is_empty() => fields.iter().map(|field| cause(&field.path, "")).collect(),
        _ => vec![cause("", "")],
    };
    let text = match denial {
        Denial::Conflicts(_) => format!("{}: {denial}; --force-conflicts takes these fields over", step.object),
        Denial::Admission(_) | Denial::Invalid(..) => denial.to_string(),
        Denial::NotServed => {
            let asked = step.object.api_version.rsplit('/').next().unwrap_or_default();
            let others: Vec<&str> =
                step.kind.info().versions.iter().copied().filter(|version| *version != asked).collect();
            format!("{}: {denial}; write apiVersion {}/{}", step.object, step.kind.info().group, others.join(" or "))
        }
        _ => format!("{}: {denial}", step.object),
    };
    Refusal { by: RefusedBy::Api, reason: RefusalReason::Schema, text, causes }
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
                    Action::Update => "configured",
                    Action::Delete => "deleted",
                };
                match writer.carry_out(step, args.force_conflicts, confirmed).await? {
                    Reply::Done(object) => {
                        if step.after.as_ref().is_some_and(|after| !plan::same_content(after, &object)) {
                            say("warning", &format!("the server has made something else of {target} than was shown"));
                        }
                        answers.borrow_mut().push((step.action != Action::Delete).then_some(object));
                    }
                    Reply::Refused(denial) => {
                        let done = if answers.borrow().is_empty() {
                            "nothing was changed"
                        } else {
                            "what comes after it was not written"
                        };
                        return Err(refused(before, &target, &denial, done));
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

fn show(report: &PlanReport, args: &Args, goes_on: bool, t: &mut Terminal) -> Result<()> {
    // Names are printed as they are written.
    if args.output.format == Format::Name && goes_on {
        return Ok(());
    }
    crate::output::print(report, args.output.format, t)?;
    args.output.say_refusals(&report.header.refusals);
    Ok(())
}
