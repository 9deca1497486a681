//! `oc imagepolicy lint`

mod catalogue;
mod fix;
mod output;
mod select;
mod suppress;
mod text;

use std::collections::HashSet;

use jiff::civil::Date;
pub(super) use output::LintFormat;
use output::Outputs;
use select::Settings;

use super::input::{ConnectionFlags, InputArgs};
use super::load::{Loaded, Needs};
use super::{Answer, say};
use crate::error::{Error, Result};
use crate::files::spans;
use crate::lint::baseline::Effect;
use crate::lint::report::LintReport;
use crate::lint::{Context, Outcome};
use crate::model::provenance::ObjectRef;
use crate::snapshot::{Gap, GapReason, Kind, Snapshot, Source};

/// Find what is wrong or dangerous in the image policy of a cluster
///
/// Every rule has a code such as IMP204. A rule that lacks objects which it needs is skipped and named.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Check the cluster of your kubeconfig
  oc imagepolicy lint

  # Check manifests in Git, for the release that they are meant for
  oc imagepolicy lint -f policies/ -R --release 4.20

  # Check what a change would make of the cluster
  oc imagepolicy lint --overlay change.yaml

  # Mend in the files what can be mended safely; --diff shows it first
  oc imagepolicy lint -f policies/ --fix --diff

  # Only the rules about mirrors, and warnings count as well
  oc imagepolicy lint -f policies/ --select IMP3 --strict

  # What is there today is known: only what is new counts
  oc imagepolicy lint -f policies/ --write-baseline lint-baseline.yaml
  oc imagepolicy lint -f policies/ --baseline lint-baseline.yaml

  # What does a rule mean?
  oc imagepolicy lint --explain IMP204

A file .imagepolicy.yaml holds the same settings for a project; docs/lint.md has its keys, and how annotations and comments
silence a finding.

Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 no answer, in every format.")]
pub struct Args {
    /// List the rules
    #[arg(long, conflicts_with = "explain")]
    rules: bool,
    /// Teach one rule: why it matters, examples, how to mend it
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    /// Only what concerns this namespace: its own objects and those of the cluster
    #[arg(short = 'n', long, value_name = "NAMESPACE", conflicts_with = "all_namespaces", help_heading = "Scope")]
    namespace: Option<String>,
    /// Objects of all namespaces (the default)
    #[arg(short = 'A', long, help_heading = "Scope")]
    all_namespaces: bool,
    #[command(flatten)]
    select: select::SelectArgs,
    #[command(flatten)]
    suppress: suppress::SuppressArgs,
    #[command(flatten)]
    fix: fix::FixArgs,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(flatten)]
    output: output::LintOutputArgs,
}

pub fn run(mut args: Args) -> Answer {
    let outputs =
        args.output.plan(args.input.filename.iter().chain(&args.input.overlay).chain(args.suppress.files()))?;
    if args.rules {
        let (format, mut terminal) = outputs.common()?;
        crate::output::print(&catalogue::list(), format, &mut terminal)?;
        return Ok(true);
    }
    if let Some(code) = &args.explain {
        let (format, mut terminal) = outputs.common()?;
        crate::output::print(&catalogue::page(code)?, format, &mut terminal)?;
        return Ok(true);
    }
    let settings = Settings::read(&args.select, &args.suppress)?;
    args.input.default_release.clone_from(&settings.release);
    let look = |args: &Args| look(args, &settings);
    let mut looked = look(&args)?;
    outputs.check(&looked.loaded.snapshot, settings.file.as_deref())?;
    args.suppress.check()?;
    if args.fix.wants_files(outputs.has(LintFormat::Patch)) {
        fix::check_source(&args, &looked.loaded)?;
        if matches!(looked.is_complete(&args), Ok(true)) {
            let mended = fix::mend(&mut args, looked, look)?;
            if args.fix.diff {
                let is_same = mended.show(&mut outputs.terminal())?;
                return Ok(is_same && !settings.fails(&mended.looked.outcome));
            }
            mended.write()?;
            looked = mended.looked;
        } else {
            say("note", "no file is changed, since not everything could be looked at");
        }
    }
    match looked.is_complete(&args) {
        Ok(true) => settings.baselines.write(&args.suppress, &mut looked)?,
        _ => args.suppress.leave_baseline(),
    }
    let answer = tell(&args, &settings, &outputs, &looked);
    // The process ends here; taking a hundred thousand findings apart one by one would take a tenth of a second.
    std::mem::forget(looked);
    answer
}

/// What was read, and what was found in it.
struct Looked {
    loaded: Loaded,
    outcome: Outcome,
    /// There is nothing to look at, and what to do about it.
    nothing: Option<Error>,
    /// Something that could not be read and that no finding tells of.
    unseen: Option<Gap>,
    /// What the baseline has to do with it.
    baseline: Option<Effect>,
    /// All that were found, those included that nobody wants to see.
    fingerprints: HashSet<String>,
    namespace: Option<String>,
    today: Date,
}

impl Looked {
    fn is_complete(&self, args: &Args) -> Answer {
        self.loaded.require_complete(&args.input)?;
        Ok(self.unseen.is_none())
    }
}

/// Reads the input and runs the rules.
fn look(args: &Args, settings: &Settings) -> Result<Looked> {
    let (loaded, nothing) = load(args)?;
    loaded.refuse_bare_node_files("lint")?;
    let mut directives = suppress::comments(&loaded.snapshot);
    directives.extend(settings.directives.iter().cloned());
    let context = Context::new(&loaded.snapshot, &loaded.compiled).suppressed_by(directives, spans::lines);
    let today = crate::lint::suppress::today(context.now);
    let outcome = crate::lint::run(&context, &settings.selection.rules());
    drop(context);
    let namespace = args.namespace.clone();
    let unseen = unseen(&loaded, &outcome, namespace.as_deref()).cloned();
    let fingerprints = outcome.findings.iter().map(|finding| finding.fingerprint.clone()).collect();
    let mut looked = Looked { loaded, outcome, nothing, unseen, baseline: None, fingerprints, namespace, today };
    looked.baseline = settings.baselines.apply(&mut looked);
    settings.selection.filter(&mut looked.outcome.findings);
    if let Some(namespace) = &args.namespace {
        let concerns = |object: &ObjectRef| object.namespace.as_deref().is_none_or(|own| own == namespace);
        looked.outcome.findings.retain(|finding| concerns(&finding.object));
    }
    Ok(looked)
}

/// What is to be looked at; that there is nothing of it is an answer here.
fn load(args: &Args) -> Result<(Loaded, Option<Error>)> {
    let nothing = |where_to_look: &str| Error::Empty {
        message: format!("nothing in the {where_to_look} has to do with image policy"),
        hint: "see what is there: oc get image.config,clusterimagepolicies,imagepolicies -A".into(),
    };
    match Loaded::load(&args.input, &args.connection, Needs::Lint, args.namespace.as_deref()) {
        Err(empty @ Error::Empty { .. }) if args.input.overlay.is_empty() && args.input.without.is_empty() => {
            let snapshot = Snapshot::new(Source::Manifests);
            Ok((Loaded::of(&args.input, Needs::Lint, snapshot)?, Some(empty)))
        }
        Ok(loaded) => {
            let snapshot = &loaded.snapshot;
            let has_objects = snapshot.objects() > 0 || !snapshot.same_name_elsewhere.is_empty();
            let place = if matches!(snapshot.source, Source::Live(_)) { "cluster" } else { "input" };
            let is_empty = !has_objects && snapshot.node_trees.is_empty();
            Ok((loaded, is_empty.then(|| nothing(place))))
        }
        Err(error) => Err(error),
    }
}

/// Prints what was found, and says whether it is fine.
fn tell(args: &Args, settings: &Settings, outputs: &Outputs, looked: &Looked) -> Answer {
    let Looked { loaded, outcome, nothing, .. } = looked;
    let fails = settings.fails(outcome) || nothing.is_some() && args.select.fail_if_no_objects_found;
    let answer = match (looked.is_complete(args), &looked.unseen) {
        (Ok(_), Some(gap)) if !fails => Err(Error::Incomplete {
            message: format!("not everything could be looked at: {}", gap.message),
            hint: "mend the object: its fields have other types than the API's".into(),
        }),
        (complete, _) => complete.map(|_| !fails),
    };
    let mut report = LintReport::new(outcome, loaded.snapshot.objects(), loaded.release.to_string(), |finding| {
        spans::locate(&finding.origin, &finding.path)
    });
    report.gaps = &loaded.snapshot.gaps;
    if outputs.has(LintFormat::Sarif) {
        fix::add_edits(&mut report, &Context::new(&loaded.snapshot, &loaded.compiled));
    }
    if outputs.has(LintFormat::Patch) {
        report.commands = fix::commands(args, &Context::new(&loaded.snapshot, &loaded.compiled), outcome);
    }
    report.exit_code = answer.as_ref().map_or_else(Error::exit_code, |fine| u8::from(!fine));
    report.directory = std::env::current_dir().ok().and_then(|path| path.to_str().map(str::to_owned));
    let document = text::Document::new(loaded.header("desired", None), &report);
    let beside = || {
        if !outputs.tells_gaps() {
            loaded.say_gaps();
        }
        match nothing {
            Some(nothing) => {
                say("note", &nothing.to_string());
                say("hint", nothing.hint());
            }
            None => say_skipped(&report),
        }
        settings.baselines.tell(looked);
    };
    outputs.write(&document, beside, answer)
}

/// What is not a finding goes to stderr: skipped rules.
fn say_skipped(report: &LintReport<'_>) {
    let skipped = &report.rules.skipped;
    if skipped.is_empty() {
        return;
    }
    let mut missing: Vec<&str> = skipped.iter().flat_map(|skipped| skipped.missing.clone()).collect();
    missing.sort_unstable();
    missing.dedup();
    let codes: Vec<&str> = skipped.iter().map(|skipped| skipped.code.as_str()).collect();
    say("note", &format!("skipped {}: not in the input: {}", codes.join(", "), missing.join(", ")));
}

/// An object of image policy that cannot be read and that no finding tells of: nothing found must not pass for fine then.
fn unseen<'l>(loaded: &'l Loaded, outcome: &Outcome, namespace: Option<&str>) -> Option<&'l Gap> {
    let is_told = |object: &ObjectRef| outcome.findings.iter().any(|finding| *finding.object == *object);
    let concerns = |object: &ObjectRef| {
        namespace.is_none() || object.namespace.as_deref().is_none_or(|own| Some(own) == namespace)
    };
    let is_policy =
        |kind: &str| Kind::named(kind).is_some_and(|kind| (kind as usize) <= Kind::ImageContentSourcePolicy as usize);
    let silent = loaded.snapshot.undecodable.iter().map(|object| &*object.reference);
    let mut silent = silent.filter(|object| is_policy(&object.kind) && concerns(object) && !is_told(object));
    let object = silent.next()?;
    loaded
        .snapshot
        .gaps
        .iter()
        .find(|gap| gap.reason == GapReason::Undecodable && gap.message.starts_with(&object.to_string()))
}
