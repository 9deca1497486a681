//! The only code that talks to an API server: [`connect`] settles which one and who one is to it, [`read()`] turns its objects
//! into a [`crate::snapshot::Snapshot`], [`watch`] follows them. No discovery: the kinds are those of [`crate::snapshot::KINDS`].

mod client;
mod connection;
mod exec;
mod kubeconfig;
mod names;
mod pods;
mod proxy;
mod read;
mod session;
mod trimmed;
pub mod watch;
mod write;

use std::future::Future;

pub use connection::{
    Connection, ConnectionArgs, Environment, KubeconfigNames, connect, connect_if_any, connect_in, go_duration,
    kubeconfig_names,
};
pub use names::{Named, ObjectName, names};
pub use pods::platform_pods;
pub use read::{block_on_read, read};
pub use write::{Confirmed, Denial, FieldConflict, InvalidField, Mode, Reply, Seen, Target, Writer};

use crate::error::{Error, Result};
use crate::output::is_unsafe;

/// Runs `work` on a runtime of its own until it ends or somebody presses Ctrl-C.
///
/// # Errors
/// That of `work`, or [`Error::Interrupted`].
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| Error::Cluster {
            server: "this machine".into(),
            message: format!("cannot wait for the network: {error}"),
            hint: "raise `ulimit -n`, or read files with -f".into(),
        })?;
    let result = runtime.block_on(or_interrupted(work));
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_background();
    result
}

/// `work`, or [`Error::Interrupted`] on Ctrl-C, whichever comes first.
///
/// # Errors
/// As said.
pub async fn or_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        result = work => result,
        // Where the signal cannot be listened for, it ends the process as it always did.
        Ok(()) = tokio::signal::ctrl_c() => Err(Error::Interrupted),
    }
}

/// Foreign text for a message: one line, nothing that a terminal obeys, not too long.
fn plain(text: &str, most: usize) -> String {
    let mut line = String::new();
    let mut letters = 0;
    for letter in text.chars() {
        let letter = if is_unsafe(letter) { ' ' } else { letter };
        if letter == ' ' && (line.is_empty() || line.ends_with(' ')) {
            continue;
        }
        if letters == most {
            line.push('…');
            break;
        }
        line.push(letter);
        letters += 1;
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn foreign_text_is_one_harmless_line() {
        for (text, expected) in [
            ("a\n\tb\u{1b}[31mc", "a b [31mc"),
            ("  a  ", "a"),
            ("\u{202e}abc\u{9b}x", "abc x"),
            ("äöüß", "äöü…"),
            ("", ""),
        ] {
            assert_eq!(plain(text, if text.starts_with('ä') { 3 } else { 100 }), expected);
        }
    }
}
