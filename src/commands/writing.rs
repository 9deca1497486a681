//! What `apply` and `rollback` have in common: a person's yes, and words about what was written and what was not.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cluster::{self, Confirmed, Denial, Target};
use crate::error::{Error, Result};
use crate::files::backup::{self, Change, Record};
use crate::output::Format;
use crate::plan::Step;
use crate::snapshot::Source;

use super::load::Loaded;
use super::say;

/// A person can be asked, or has said yes beforehand.
///
/// # Errors
/// [`Error::Usage`] where neither is so: found out before anything is read.
pub fn can_confirm(yes: bool, stdin_is_taken: bool, format: Format, dry_run: &str) -> Result<()> {
    // Other formats tell what was written, once it is: nobody would see what to say yes to.
    let shows_plan = matches!(format, Format::Table | Format::Wide);
    if yes || (io::stdin().is_terminal() && !stdin_is_taken && shows_plan) {
        return Ok(());
    }
    let message = match (stdin_is_taken, shows_plan) {
        (true, _) => "the files come from stdin, so that nobody can be asked there whether to write",
        (false, false) => "this output format shows no plan before it is carried out, so that nobody can be asked",
        (false, true) => "there is no terminal to ask on whether to write",
    };
    Err(Error::usage(message, format!("look first with: {dry_run}\nwrite without being asked with: --yes")))
}

/// Asks, unless the answer is known. `None` for no.
///
/// # Errors
/// [`Error::Interrupted`], and what reading can fail with.
pub fn confirm(question: &str, yes: bool) -> Result<Option<Confirmed>> {
    if yes {
        return Ok(Some(Confirmed::by_the_user()));
    }
    // Nobody is left to ask where stderr is closed; then nobody answers either.
    let _ = write!(io::stderr(), "{} [y/N] ", crate::output::clean(question)).and_then(|()| io::stderr().flush());
    let line = cluster::block_on(async {
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        });
        Ok(read.await)
    });
    let line = match line {
        Err(error) => {
            let _ = writeln!(io::stderr());
            return Err(error);
        }
        Ok(Ok(Ok(line))) => line,
        // What cannot be read is no yes.
        Ok(_) => String::new(),
    };
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes").then(Confirmed::by_the_user))
}

/// What to call the cluster.
pub fn server(loaded: &Loaded) -> &str {
    match &loaded.snapshot.source {
        Source::Live(server) => server,
        Source::MustGather | Source::Manifests => "files",
    }
}

/// `CLUSTER`'s backups stand under this.
pub fn cluster_id(loaded: &Loaded) -> String {
    let version = loaded.snapshot.cluster_version.as_ref().map(|version| version.value.spec.cluster_id.as_str());
    crate::files::backup::cluster_id(version, server(loaded))
}

/// The command that takes it back.
pub fn undo(backup: &Path) -> String {
    let path = backup.display().to_string();
    let is_plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let quoted = if is_plain { path } else { format!("'{}'", path.replace('\'', r"'\''")) };
    format!("oc imagepolicy rollback --to {quoted}")
}

/// Why the server will not take an object, as an error; `done` says what was written so far.
pub fn refused(loaded: &Loaded, target: &Target, denial: &Denial, done: &str) -> Error {
    let hint = match denial {
        Denial::Forbidden(_) => {
            "ask an administrator for the ClusterRole oc-imagepolicy-writer in docs/rbac.yaml: `oc adm policy \
             add-cluster-role-to-user oc-imagepolicy-writer USER`"
        }
        Denial::Changed => "somebody else writes it as well: run this again to see what would change now",
        Denial::Unforeseen => "run this again: it then shows what the server makes of it",
        Denial::Conflicts(_) => "--force-conflicts takes these fields over",
        Denial::Admission(_) => {
            "that is somebody's rule for this cluster: on a managed one, change the setting where the provider keeps it"
        }
        Denial::NotFound(_) => "create the namespace first, or mend its name in the file",
        Denial::NotServed => {
            "name a version that it has in the file's apiVersion: `oc api-resources --api-group=config.openshift.io`"
        }
        Denial::Invalid(..) => "mend the file; `oc explain` tells what the fields may hold",
    };
    Error::Cluster {
        server: server(loaded).to_string(),
        message: format!("{target} is not taken: {denial}; {done}"),
        hint: hint.into(),
    }
}

/// Puts what steps will change on the disk.
///
/// # Errors
/// [`Error::File`]: then nothing may be written.
pub fn back_up(before: &Loaded, steps: &[Step]) -> Result<(PathBuf, Record)> {
    let changes = steps.iter().map(|step| Change::new(step.before.as_ref(), step.after.as_ref())).collect();
    let record = Record::new(cluster_id(before), server(before), before.release.to_string(), changes);
    let directory = backup::write(&backup::root()?, &record).map_err(|error| match error {
        Error::File { action, path, source, hint } => {
            Error::File { action, path: format!("{path} (nothing was written to the cluster)"), source, hint }
        }
        other => other,
    })?;
    Ok((directory, record))
}

/// What came of writing: the objects as they are now (`None`: deleted), as far as it went.
pub struct Written {
    pub answers: Vec<Option<Value>>,
    pub outcome: Result<()>,
}

/// What was written and what was not, where it ended half-way; `again` is how to go on.
pub fn say_half(steps: &[Step], done: usize, backup: &Path, again: &str) {
    let names = |steps: &[Step]| steps.iter().map(|step| step.object.to_string()).collect::<Vec<_>>().join(", ");
    let (written, left) = steps.split_at(done.min(steps.len()));
    if !written.is_empty() {
        say("written", &names(written));
    }
    if !left.is_empty() {
        say("not written", &format!("{} (the first of them perhaps, where the connection broke)", names(left)));
    }
    say("hint", again);
    say("hint", &format!("to take back what was written: {}", undo(backup)));
}
