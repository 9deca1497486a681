//! Runs other programs, and ends them when this one is to end.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::fault::{Fault, Result};

/// The last word of a program that was asked to end.
pub const INTERRUPTED: &str = "interrupted: nothing was made";

static STOPPED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C and SIGTERM end what runs, and this program tidies up before it ends.
///
/// # Errors
/// Where the system has no way for it.
pub fn stop_on_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::new(format!("cannot wait for signals: {error}")))?;
    thread::spawn(move || {
        runtime.block_on(async {
            if asked_to_end().await.is_ok() {
                STOPPED.store(true, Ordering::SeqCst);
            }
        });
    });
    Ok(())
}

#[cfg(unix)]
async fn asked_to_end() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn asked_to_end() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

pub fn is_stopped() -> bool {
    STOPPED.load(Ordering::SeqCst)
}

/// # Errors
/// Once somebody asked this program to end.
pub fn go_on() -> Result<()> {
    if is_stopped() { Err(Fault::new(INTERRUPTED)) } else { Ok(()) }
}

/// git, about the repository in a directory, whatever a hook or a shell says of another one.
pub fn git(directory: &Path) -> Command {
    let mut git = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"]
            .iter()
            .any(|known| name == *known)
        {
            git.env_remove(&name);
        }
    }
    git.arg("-C").arg(directory);
    git
}

/// Runs a program that tells its progress itself, on stderr.
///
/// # Errors
/// Where it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    command.stdout(io::stderr()).stderr(Stdio::inherit());
    let status = finish(command)?;
    if status.success() { Ok(()) } else { Err(failed(command, status)) }
}

/// What a program prints on stdout.
///
/// # Errors
/// As [`run`]; with what it said on stderr.
pub fn output(command: &mut Command) -> Result<String> {
    let (status, stdout, stderr) = all_output(command)?;
    if status.success() {
        return Ok(stdout);
    }
    let last: Vec<&str> = stderr.lines().rev().take(10).collect();
    Err(failed(command, status).hint(last.into_iter().rev().collect::<Vec<_>>().join("\n")))
}

/// How a program ends, and what it prints on stdout and stderr.
///
/// # Errors
/// Where it cannot be started.
pub fn all_output(command: &mut Command) -> Result<(ExitStatus, String, String)> {
    // Files, so that a program that prints much never waits for a reader.
    let file = || tempfile::tempfile().map_err(|error| Fault::new(format!("cannot make a temporary file: {error}")));
    let (stdout, stderr) = (file()?, file()?);
    let again =
        |file: &File| file.try_clone().map_err(|error| Fault::new(format!("cannot use a temporary file: {error}")));
    command.stdout(again(&stdout)?).stderr(again(&stderr)?);
    let status = finish(command)?;
    let text = |mut file: File| {
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map(|_| String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = |file| text(file).map_err(|error| Fault::new(format!("cannot read a temporary file: {error}")));
    Ok((status, text(stdout)?, text(stderr)?))
}

fn finish(command: &mut Command) -> Result<ExitStatus> {
    go_on()?;
    // A group of its own: a whole build can be ended with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| Fault::new(format!("cannot run {}: {error}", command.get_program().display())))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return go_on().map(|()| status),
            Ok(None) if is_stopped() => end(&mut child),
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Err(error) => return Err(Fault::new(format!("lost {}: {error}", command.get_program().display()))),
        }
    }
}

fn end(child: &mut Child) {
    if cfg!(unix) {
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-TERM", "--", &group]).stderr(Stdio::null()).status();
        for _ in 0..100 {
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn failed(command: &Command, status: ExitStatus) -> Fault {
    let words: Vec<String> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    Fault::new(format!("`{}` failed: {status}", words.join(" ")))
}
