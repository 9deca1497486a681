//! `oc imagepolicy lint`

mod catalogue;
mod fix;
mod output;
mod text;

use output::{LintFormat, Outputs};

use super::Answer;
use super::input::{ConnectionFlags, InputArgs};
use super::load::{Loaded, Needs};
use crate::error::{Error, Result};
use crate::files::spans;
use crate::lint::report::LintReport;
use crate::lint::rules::RULES;
use crate::lint::{Context, Level, Outcome};
use crate::model::provenance::ObjectRef;
use crate::snapshot::{Gap, GapReason, Kind};

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

  # What does a rule mean?
  oc imagepolicy lint --explain IMP204

Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 no answer, in every format.")]
pub struct Args {
    /// List the rules
    #[arg(long, conflicts_with = "explain")]
    rules: bool,
    /// Teach one rule: why it matters, examples, how to mend it
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
    /// The level from which findings make the exit code 1
    #[arg(long, value_enum, default_value = "error", value_name = "LEVEL")]
    fail_on: FailOn,
    /// Only what concerns this namespace: its own objects and those of the cluster
    #[arg(short = 'n', long, value_name = "NAMESPACE", conflicts_with = "all_namespaces", help_heading = "Scope")]
    namespace: Option<String>,
    /// Objects of all namespaces (the default)
    #[arg(short = 'A', long, help_heading = "Scope")]
    all_namespaces: bool,
    #[command(flatten)]
    fix: fix::FixArgs,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(flatten)]
    output: output::LintOutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Info,
    Hint,
    Never,
}

impl FailOn {
    fn reached_by(self, level: Level) -> bool {
        match self {
            Self::Error => level >= Level::Error,
            Self::Warning => level >= Level::Warning,
            Self::Info => level >= Level::Info,
            Self::Hint => true,
            Self::Never => false,
        }
    }
}

pub fn run(mut args: Args) -> Answer {
    let outputs = args.output.plan(args.input.filename.iter().chain(&args.input.overlay))?;
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
    if args.fix.wants_files(outputs.has(LintFormat::Patch)) {
        let mended = fix::mend(&mut args, look)?;
        if args.fix.diff {
            let is_same = mended.show(&mut outputs.terminal())?;
            let fails = fails(&args, &mended.outcome);
            return Ok(is_same && !fails);
        }
        mended.write()?;
        return tell(&args, &outputs, &mended.loaded, &mended.outcome);
    }
    let (loaded, outcome) = look(&args)?;
    tell(&args, &outputs, &loaded, &outcome)
}

/// Reads the input and runs the rules.
fn look(args: &Args) -> Result<(Loaded, Outcome)> {
    let loaded = Loaded::load(&args.input, &args.connection, Needs::Lint, args.namespace.as_deref())?;
    loaded.refuse_bare_node_files("lint")?;
    let context = Context::new(&loaded.snapshot, &loaded.compiled);
    let mut outcome = crate::lint::run(&context, RULES);
    if let Some(namespace) = &args.namespace {
        let concerns = |object: &ObjectRef| object.namespace.as_deref().is_none_or(|own| own == namespace);
        outcome.findings.retain(|finding| concerns(&finding.object));
    }
    drop(context);
    Ok((loaded, outcome))
}

/// Whether what was found makes the exit code 1.
fn fails(args: &Args, outcome: &Outcome) -> bool {
    let mut counted = outcome.findings.iter().filter(|finding| finding.suppression.is_none());
    counted.any(|finding| args.fail_on.reached_by(finding.level))
}

/// Prints what was found, and says whether it is fine.
fn tell(args: &Args, outputs: &Outputs, loaded: &Loaded, outcome: &Outcome) -> Answer {
    let answer = answer(args, loaded, outcome);
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
        say_skipped(&report);
    };
    outputs.write(&document, beside, answer)
}

fn answer(args: &Args, loaded: &Loaded, outcome: &Outcome) -> Answer {
    loaded.require_complete(&args.input)?;
    let fails = fails(args, outcome);
    match unseen(loaded, outcome, args.namespace.as_deref()) {
        Some(gap) if !fails => Err(Error::Incomplete {
            message: format!("not everything could be looked at: {}", gap.message),
            hint: "mend the object: its fields have other types than the API's".into(),
        }),
        _ => Ok(!fails),
    }
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
    super::say("note", &format!("skipped {}: not in the input: {}", codes.join(", "), missing.join(", ")));
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
