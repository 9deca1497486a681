//! The command line. A command is its arguments and one run: load, make one pure call, hand a report to `output`.

mod apply;
mod change;
mod completion;
mod diff;
mod explain;
mod generate;
mod input;
mod lint;
mod load;
mod plan_report;
mod rollback;
mod rollout;
mod version;
mod views;
mod writing;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::{Error, Result};
use crate::model::provenance::Refusal;
use crate::output::{Color, Format, Terminal};

/// The plugin's name: what comes after `oc` and `kubectl`, and krew's name of it. A dash in it becomes `_` in the names of
/// executables ([`plugin_file`]), as krew and kubectl have it.
pub const PLUGIN: &str = "imagepolicy";

/// What the plugin's executable is called for a program that looks for it: `kubectl-imagepolicy`, `oc_complete-imagepolicy`.
pub fn plugin_file(program: &str) -> String {
    file_of(program, PLUGIN)
}

fn file_of(program: &str, plugin: &str) -> String {
    format!("{program}-{}", plugin.replace('-', "_"))
}

/// Explain, check and generate the image policy of an OpenShift cluster.
#[derive(Debug, Parser)]
#[command(
    name = "oc-imagepolicy",
    bin_name = "oc imagepolicy",
    version,
    disable_help_subcommand = true,
    max_term_width = 110,
    about = "Explain, check and generate the image policy of an OpenShift cluster",
    long_about = "Explain, check and generate the image policy of an OpenShift cluster.\n\n\
        Which images may run is decided by objects (Image, ClusterImagePolicy, ImagePolicy, mirror sets) that the \
        machine-config-operator compiles into files on every node. This program computes those files as the operator does, and \
        reads them as a node does.",
    after_help = "Every command works on the cluster of your kubeconfig, on files (-f), and on a built-in example:\n\
        \x20 oc imagepolicy explain --example\n\
        \x20 oc imagepolicy lint -f must-gather.tar.gz"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Explain(explain::Args),
    Lint(lint::Args),
    Generate(generate::Args),
    Diff(diff::Args),
    Apply(apply::Args),
    Rollback(rollback::Args),
    Rollout(rollout::Args),
    Completion(completion::Args),
    Version(version::Args),
}

/// How to print.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
struct OutputArgs {
    /// Output format
    #[arg(short = 'o', long = "output", value_enum, default_value = "table", value_name = "FORMAT")]
    format: Format,
    /// When to use colours
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    color: Color,
}

impl OutputArgs {
    fn terminal(&self) -> Terminal {
        Terminal::stdout(self.color, self.format == Format::Wide)
    }

    /// Names have no place for refusals.
    fn say_refusals(&self, refusals: &[Refusal]) {
        if self.format == Format::Name {
            refusals.iter().for_each(|refusal| say("refused", &refusal.text));
        }
    }
}

/// What a command came to: `Ok(true)` is "fine", `Ok(false)` "the answer is no".
type Answer = Result<bool>;

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    if let Some(words) = completion::asked(std::env::args_os()) {
        return completion::answer(words);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help to stdout with 0 and mistakes to stderr with 2, which are our codes; a closed pipe is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let answer = match cli.command {
        Command::Explain(args) => explain::run(args),
        Command::Lint(args) => lint::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Rollout(args) => rollout::run(args),
        Command::Apply(args) => apply::run(args),
        Command::Rollback(args) => rollback::run(args),
        Command::Completion(args) => completion::run(args),
        Command::Version(args) => version::run(args),
    };
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// The definition of the command line, for generated docs.
pub fn definition() -> clap::Command {
    Cli::command()
}

fn report(error: &Error) {
    if error.exit_code() == 0 {
        return;
    }
    say("error", &error.to_string());
    for line in error.hint().lines() {
        say("hint", line);
    }
}

/// A line on stderr: everything that is not data.
fn say(what: &str, text: &str) {
    use std::io::Write;
    // Nobody is left to tell where stderr is closed.
    let _ = writeln!(
        std::io::stderr(),
        "{what}: {}",
        text.lines().map(crate::output::clean).collect::<Vec<_>>().join("\n  ")
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_have_no_dash_in_the_plugins_name() {
        assert_eq!(file_of("kubectl", "imagepolicy"), "kubectl-imagepolicy");
        assert_eq!(file_of("kubectl", "openshift-imagepolicy"), "kubectl-openshift_imagepolicy");
        assert_eq!(file_of("oc_complete", "a-b-c"), "oc_complete-a_b_c");
        assert_eq!(plugin_file("kubectl"), file_of("kubectl", PLUGIN));
    }
}
