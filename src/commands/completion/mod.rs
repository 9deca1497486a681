//! `oc imagepolicy completion`, and what shells ask through oc, kubectl and our own scripts.
//!
//! `oc` and `kubectl` run `oc_complete-imagepolicy` and `kubectl_complete-imagepolicy` for what comes after `imagepolicy`, and hand on what
//! those print. Both are this program ([`install`] makes the links), and so is `__complete`, which our own scripts call. [`protocol`] speaks
//! cobra's language, [`candidates`] knows which argument takes what, [`live`] has the names of clusters and files, in the time that a person
//! who pressed TAB waits.

mod candidates;
mod install;
mod live;
mod protocol;
mod words;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::time::Instant;

use clap::Subcommand;

use super::Answer;

/// Print a completion script for a shell, or make `oc` and `kubectl` complete this plugin
///
/// `oc imagepolicy …` and `kubectl imagepolicy …` are completed by the completion of oc and kubectl themselves, which has to be loaded
/// (`oc completion --help`), once `completion install` has made two links to this program. The scripts are for `oc-imagepolicy …` and
/// `kubectl-imagepolicy …` typed as they stand.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # Complete `oc imagepolicy` and `kubectl imagepolicy`
  oc imagepolicy completion install

  # Complete `oc-imagepolicy` in this bash
  source <(oc imagepolicy completion bash)

Exit codes: 0 done, 2 not done.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make the links by which oc and kubectl complete this plugin
    ///
    /// `oc_complete-imagepolicy` and `kubectl_complete-imagepolicy`, beside the program by default. They lead to the name under which the
    /// plugin is found, so that they outlive its upgrades. A file of that name that is anything else stays as it is.
    #[command(after_help = "Examples:
  # Beside the program
  oc imagepolicy completion install

  # Where that directory cannot be written; DIR must be on PATH
  oc imagepolicy completion install --dir ~/.local/bin

Exit codes: 0 done, 2 not done.")]
    Install(install::InstallArgs),
    /// Remove the links that `completion install` made
    #[command(after_help = "Examples:
  # Before the plugin itself is uninstalled
  oc imagepolicy completion uninstall

Exit codes: 0 done, or nothing to do; 2 not done.")]
    Uninstall(install::UninstallArgs),
    /// Print the script for bash
    #[command(after_help = "Examples:
  # In this shell
  source <(oc imagepolicy completion bash)

  # In every new one
  echo 'source <(oc imagepolicy completion bash)' >> ~/.bashrc")]
    Bash,
    /// Print the script for zsh
    #[command(after_help = "Examples:
  # In this shell, after compinit
  source <(oc imagepolicy completion zsh)

  # In every new one
  echo 'source <(oc imagepolicy completion zsh)' >> ~/.zshrc")]
    Zsh,
    /// Print the script for fish
    #[command(after_help = "Examples:
  # In this shell
  oc imagepolicy completion fish | source

  # In every new one
  oc imagepolicy completion fish > ~/.config/fish/completions/oc-imagepolicy.fish")]
    Fish,
    /// Print the script for PowerShell
    #[command(after_help = "Examples:
  # In this shell
  oc imagepolicy completion powershell | Out-String | Invoke-Expression

  # In every new one
  oc imagepolicy completion powershell >> $PROFILE")]
    Powershell,
}

pub fn run(args: Args) -> Answer {
    let script = match args.what {
        What::Install(args) => return install::install(&args),
        What::Uninstall(args) => return install::uninstall(&args),
        What::Bash => include_str!("scripts/completion.bash"),
        What::Zsh => include_str!("scripts/completion.zsh"),
        What::Fish => include_str!("scripts/completion.fish"),
        What::Powershell => include_str!("scripts/completion.ps1"),
    };
    let mut out = std::io::stdout().lock();
    std::io::Write::write_all(&mut out, named(script).as_bytes())?;
    Ok(true)
}

/// A script with the plugin's name in place of `PLUGIN`, and in names of functions in place of `FUNCTION`.
fn named(script: &str) -> String {
    let file = super::plugin_file("x");
    let file = file.strip_prefix("x-").unwrap_or(&file);
    script.replace("FUNCTION", &file.replace('-', "_")).replace("PLUGIN", file)
}

/// What a shell asks for.
pub struct Request {
    words: Vec<OsString>,
    descriptions: bool,
    started: Instant,
}

/// The words to complete, where this process was started to complete some: under the name `oc_complete-…` or `kubectl_complete-…`, or as
/// `__complete` or `__completeNoDesc`, as a program with cobra is.
pub fn asked(mut args: impl Iterator<Item = OsString>) -> Option<Request> {
    let started = Instant::now();
    let request = |words, descriptions| Some(Request { words, descriptions, started });
    if is_completer(&args.next()?) {
        return request(args.collect(), true);
    }
    match args.next()?.to_str()? {
        "__complete" => request(args.collect(), true),
        "__completeNoDesc" => request(args.collect(), false),
        _ => None,
    }
}

/// Whether a program of this name is run to complete words.
fn is_completer(program: &OsStr) -> bool {
    let name = std::path::Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("oc_complete-") || name.starts_with("kubectl_complete-")
}

/// Prints candidates as cobra's protocol has them. Nothing else is ever said: whoever pressed TAB is typing, and oc and kubectl let what
/// comes on stderr through to the terminal.
pub fn answer(request: Request) -> ExitCode {
    protocol::answer(&request);
    // Whatever is still being read ends with the process.
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_are_to_complete() {
        let of = |words: &[&str]| {
            let request = asked(words.iter().map(OsString::from))?;
            let words: Vec<String> = request.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            Some((words.join("|"), request.descriptions))
        };
        for (words, expected) in [
            (&["/x/oc_complete-imagepolicy", "lint", ""][..], Some(("lint|", true))),
            (&["kubectl_complete-imagepolicy", "__complete", ""], Some(("__complete|", true))),
            (&["kubectl_complete-imagepolicy.exe", "a"], Some(("a", true))),
            (&["kubectl_complete-imagepolicy"], Some(("", true))),
            (&["oc-imagepolicy", "__complete", "x", "-"], Some(("x|-", true))),
            (&["oc-imagepolicy", "__completeNoDesc", ""], Some(("", false))),
            (&["oc-imagepolicy", "lint", "__complete"], None),
            (&["/oc_complete-x/oc-imagepolicy", "lint"], None),
            (&["oc-imagepolicy"], None),
            (&[], None),
        ] {
            assert_eq!(of(words), expected.map(|(words, described)| (words.to_string(), described)), "{words:?}");
        }
    }

    #[test]
    fn scripts_have_the_name_of_the_plugin() {
        for script in [
            include_str!("scripts/completion.bash"),
            include_str!("scripts/completion.zsh"),
            include_str!("scripts/completion.fish"),
            include_str!("scripts/completion.ps1"),
        ] {
            let named = named(script);
            assert!(named.contains("oc-imagepolicy") && named.contains("kubectl-imagepolicy"), "{named}");
            assert!(!named.contains("PLUGIN") && !named.contains("FUNCTION"), "{named}");
            assert!(named.contains("__complete"), "{named}");
        }
    }
}
