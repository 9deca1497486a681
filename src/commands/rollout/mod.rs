//! `oc imagepolicy rollout`

mod document;
mod follow;

use std::time::Duration;

use super::input::{ConnectionFlags, InputArgs};
use super::load::{Loaded, Needs};
use super::{Answer, OutputArgs};
use crate::cluster::go_duration;
use crate::error::{Error, Result};
use crate::files;
use crate::output::Format;
use crate::rollout::{RolloutStatus, State, blind, status};
use crate::snapshot::{Gap, Source};

use document::Rollout;
use follow::Follow;

/// Show how far pools and nodes have taken what the objects ask for, and what keeps them from it
///
/// A node has a change when the MachineConfig that it runs has the content that the objects ask for, whatever its name is. Where the
/// machine-config-controller refuses the objects, nothing moves and no object says so: this says so, with the controller's words.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Where is everything now
  oc imagepolicy rollout

  # Watch until all nodes have it, half an hour at most
  oc imagepolicy rollout --watch --wait --timeout 30m

  # What a must-gather shows, every node
  oc imagepolicy rollout -f must-gather.tar.gz -o wide

Exit codes: 0 done or on its way, 1 stuck or degraded, 2 no answer or not done within --timeout.")]
pub struct Args {
    /// Go on showing what changes, until Ctrl-C or, with --wait, the end
    #[arg(short = 'w', long)]
    watch: bool,
    /// End once every pool is done, or will not be without help
    #[arg(long)]
    wait: bool,
    /// Give up after this long, such as 90s or 30m; 0 for never
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    timeout: Option<Duration>,
    /// Only this MachineConfigPool
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| go_duration(text)).ok_or_else(|| "expected a duration such as 90s or 30m".to_string())
}

pub fn run(args: Args) -> Answer {
    if args.watch || args.wait {
        return watched(&args);
    }
    if args.timeout.is_some() {
        return Err(Error::usage("--timeout has nothing to end", "add --wait or --watch"));
    }
    let loaded = match args.input.example {
        true => Loaded::of(&args.input, Needs::Everything, files::example_in_rollout()?)?,
        false => Loaded::load(&args.input, &args.connection, Needs::Everything, None)?,
    };
    loaded.refuse_bare_node_files("rollout")?;
    loaded.say_gaps();
    check_worth(&loaded)?;
    let mut status = status(&loaded.snapshot, &loaded.compiled);
    choose(&mut status, args.pool.as_deref())?;
    let rollout = Rollout::new(&loaded, status);
    crate::output::print(&rollout, args.output.format, &mut args.output.terminal())?;
    args.output.say_refusals(&rollout.header.refusals);
    loaded.require_complete(&args.input)?;
    match blind(&loaded.snapshot) {
        Some(gap) => Err(unknown(gap)),
        None => Ok(rollout.status.state() <= State::Progressing),
    }
}

/// Watches a rollout until every pool is done or will not be without help, as `apply --wait` does: what changes is shown in the
/// format of `output`, and what it came to is the answer.
pub(super) fn wait(connection: &ConnectionFlags, output: &OutputArgs, timeout: Option<Duration>) -> Answer {
    let input = InputArgs::default();
    follow::run(&Follow { input: &input, connection, output, pool: None, watch: true, wait: true, timeout })
}

fn watched(args: &Args) -> Answer {
    let input = &args.input;
    let flag = if args.watch { "--watch" } else { "--wait" };
    if input.example || !input.filename.is_empty() || input.names_node_files() {
        return Err(Error::usage(
            format!("{flag} needs a cluster: files do not change"),
            format!("leave {flag} out, or leave the files out"),
        ));
    }
    if !input.overlay.is_empty() || !input.without.is_empty() {
        return Err(Error::usage(
            format!("--overlay and --without change what is desired, and {flag} waits for what is asked for"),
            "apply it first, with: oc imagepolicy apply -f FILE",
        ));
    }
    if args.watch && !args.wait && matches!(args.output.format, Format::Json | Format::Yaml) {
        return Err(Error::usage(
            "a document that never ends is no JSON and no YAML",
            "use -o jsonl for a document a change, or --wait for one at the end",
        ));
    }
    follow::run(&Follow {
        input,
        connection: &args.connection,
        output: &args.output,
        pool: args.pool.as_deref(),
        watch: args.watch,
        wait: args.wait,
        timeout: args.timeout.filter(|timeout| !timeout.is_zero()),
    })
}

/// Without pools, or with pools of which nothing is known but their names, there is nothing to tell.
fn check_worth(loaded: &Loaded) -> Result<()> {
    let snapshot = &loaded.snapshot;
    if snapshot.pools.is_empty() {
        let gap = snapshot.gaps.iter().find(|gap| gap.kind == crate::snapshot::Kind::MachineConfigPool);
        return Err(Error::Incomplete {
            message: gap.map_or("no MachineConfigPool is known".to_string(), |gap| gap.message.clone()),
            hint: "a rollout is what MachineConfigPools and nodes do: ask a cluster, or a must-gather of it".into(),
        });
    }
    let is_rendered = snapshot.pools.iter().any(|pool| !pool.value.spec.configuration.name.is_empty());
    if snapshot.source == Source::Manifests && !is_rendered {
        return Err(Error::Incomplete {
            message: "nothing here says what nodes have: no MachineConfigPool names a rendered MachineConfig".into(),
            hint: "ask a cluster, or a must-gather of it; what these manifests ask for: oc imagepolicy explain".into(),
        });
    }
    Ok(())
}

fn choose(status: &mut RolloutStatus, pool: Option<&str>) -> Result<()> {
    let Some(wanted) = pool else { return Ok(()) };
    if status.pools.iter().all(|pool| *pool.name != *wanted) {
        let known: Vec<&str> = status.pools.iter().map(|pool| &*pool.name).collect();
        return Err(Error::usage(
            format!("there is no pool `{wanted}` here"),
            format!("those that are known: {}", known.join(", ")),
        ));
    }
    status.pools.retain(|pool| *pool.name == *wanted);
    status.nodes.retain(|node| *node.pool == *wanted);
    Ok(())
}

fn unknown(gap: &Gap) -> Error {
    Error::Incomplete {
        message: format!("what nodes should have is unknown: {}", gap.message),
        hint: Loaded::hint_on(gap).into(),
    }
}
