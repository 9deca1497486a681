//! What an apply is about to change, on disk before anything is written: for `oc imagepolicy rollback`, and for a plain kubectl where
//! this program is not at hand.
//!
//! A backup is a directory `ROOT/CLUSTER/TIME-N` with `replace.yaml` (objects that are changed: `kubectl replace -f`), `create.yaml`
//! (objects that are deleted: `kubectl create -f`), `delete.yaml` (objects that are not there yet: `kubectl delete -f`), each only
//! where there are any, and `backup.json`. It has its name only once all of it is on the disk.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::yaml;
use crate::error::{Error, Result};
use crate::model::machine_config::INPUTS;
use crate::output::API_VERSION;
use crate::plan::{WRITTEN, bare};
use crate::snapshot::Kind;

const RECORD: &str = "backup.json";
const KIND: &str = "Backup";
/// No cluster has more policy than this.
const LARGEST: u64 = 256 << 20;

/// What an apply did, or was about to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    api_version: String,
    kind: String,
    /// Of the program that wrote it.
    pub version: String,
    /// RFC 3339, in UTC.
    pub time: String,
    /// See [`cluster_id`].
    pub cluster: String,
    /// URL of the API server.
    pub server: String,
    /// Such as `4.20`.
    pub release: String,
    /// In the order of writing.
    pub steps: Vec<Change>,
}

/// One object.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    /// As it was, whole; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What was to be written, without what servers add; absent where it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Of `after`, to know the object again: SHA-256 in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

impl Change {
    /// Of an object before and after.
    pub fn new(before: Option<&Value>, after: Option<&Value>) -> Self {
        Self { before: before.cloned(), after: after.map(bare), checksum: after.map(checksum) }
    }

    /// The object, as it was or as it was to be.
    pub fn object(&self) -> &Value {
        self.before.as_ref().or(self.after.as_ref()).unwrap_or(&Value::Null)
    }
}

/// Hash of what a person means by an object, whoever wrote it.
pub fn checksum(object: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut all: Vec<(&String, &Value)> = fields.iter().collect();
                all.sort_by_key(|(key, _)| *key);
                all.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    hex(&serde_json::to_vec(&sorted(&bare(object))).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Record {
    /// Of now.
    pub fn new(cluster: String, server: &str, release: String, steps: Vec<Change>) -> Self {
        Self {
            api_version: API_VERSION.to_string(),
            kind: KIND.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            time: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            cluster,
            server: server.to_string(),
            release,
            steps,
        }
    }
}

/// A name for a cluster that is fit for a directory: `clusterID` of ClusterVersion, else a hash of the server's URL.
pub fn cluster_id(of_version: Option<&str>, server: &str) -> String {
    let is_plain = |id: &&str| {
        (8..=64).contains(&id.len())
            && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !id.starts_with('-')
    };
    match of_version.filter(is_plain) {
        Some(id) => id.to_string(),
        None => hex(server.as_bytes()).chars().take(32).collect(),
    }
}

/// Where backups are kept: `$XDG_STATE_HOME/oc-imagepolicy`, by default `~/.local/state/oc-imagepolicy`.
///
/// # Errors
/// [`Error::Usage`] where neither is known.
pub fn root() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    match state {
        Some(state) => Ok(state.join("oc-imagepolicy")),
        None => Err(Error::usage(
            "there is no place for backups: neither XDG_STATE_HOME nor HOME names a directory",
            "name one: XDG_STATE_HOME=/var/tmp oc imagepolicy apply …",
        )),
    }
}

/// Writes a backup; afterwards it is on the disk, whatever happens.
///
/// # Errors
/// [`Error::File`] where the system refuses; then nothing is left of it.
pub fn write(root: &Path, record: &Record) -> Result<PathBuf> {
    let parent = root.join(&record.cluster);
    create_directories(&parent)?;
    let temporary = parent.join(format!(".incomplete-{}", std::process::id()));
    // What a process of the same number left behind.
    let _ = fs::remove_dir_all(&temporary);
    let written = write_all(&temporary, record).and_then(|()| publish(&parent, &temporary, record));
    if written.is_err() {
        let _ = fs::remove_dir_all(&temporary);
    }
    written
}

/// Writes down what an apply came to, over what it was about to do.
///
/// # Errors
/// [`Error::File`]; the backup is then as it was.
pub fn update(directory: &Path, record: &Record) -> Result<()> {
    let temporary = directory.join(".backup.json");
    let _ = fs::remove_file(&temporary);
    write_file(&temporary, &document(record)?)?;
    let path = directory.join(RECORD);
    fs::rename(&temporary, &path).map_err(|error| failure("write", &path, error))?;
    sync_directory(directory)
}

fn write_all(directory: &Path, record: &Record) -> Result<()> {
    create_directory(directory)?;
    let of = |wanted: fn(&Change) -> bool| record.steps.iter().filter(move |change| wanted(change));
    let replaced =
        of(|change| change.before.is_some() && change.after.is_some()).filter_map(|change| change.before.as_ref());
    let deleted = of(|change| change.after.is_none()).filter_map(|change| change.before.as_ref());
    let created = of(|change| change.before.is_none()).filter_map(|change| change.after.as_ref());
    let files: [(&str, &str, Vec<&Value>); 3] = [
        ("replace.yaml", "# As they were before: kubectl replace -f replace.yaml\n", replaced.collect()),
        ("create.yaml", "# Deleted since: kubectl create -f create.yaml\n", deleted.collect()),
        ("delete.yaml", "# Not there before: kubectl delete --ignore-not-found -f delete.yaml\n", created.collect()),
    ];
    for (name, comment, objects) in files.iter().filter(|(.., objects)| !objects.is_empty()) {
        let mut text = comment.to_string();
        for object in objects {
            text.push_str("---\n");
            text.push_str(&yaml::emit(&bare(object)));
        }
        write_file(&directory.join(name), text.as_bytes())?;
    }
    write_file(&directory.join(RECORD), &document(record)?)?;
    sync_directory(directory)
}

fn document(record: &Record) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(record).map_err(|error| Error::Output(error.into()))
}

/// Gives a complete directory its name.
fn publish(parent: &Path, temporary: &Path, record: &Record) -> Result<PathBuf> {
    let time: String = record.time.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    for number in 1..1000 {
        let path = parent.join(format!("{time}-{number}"));
        if path.exists() {
            continue;
        }
        match fs::rename(temporary, &path) {
            Ok(()) => {
                sync_directory(parent)?;
                return Ok(path);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) => {}
            Err(error) => return Err(failure("create", &path, error)),
        }
    }
    Err(failure("create", parent, io::ErrorKind::AlreadyExists.into()))
}

/// The backups of a cluster, the oldest first.
///
/// # Errors
/// [`Error::File`] where the directory cannot be read; one that is not there has no backups.
pub fn list(root: &Path, cluster: &str) -> Result<Vec<PathBuf>> {
    let directory = root.join(cluster);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failure("read", &directory, error)),
    };
    let entries: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut found = entries.map_err(|error| failure("read", &directory, error))?;
    found.retain(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')) && path.is_dir());
    // `…-10` comes after `…-9`.
    found.sort_by_key(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (time, number) = name.rsplit_once('-').map_or((name.as_str(), "0"), |(time, number)| (time, number));
        (time.to_string(), number.parse::<u64>().unwrap_or_default())
    });
    Ok(found)
}

/// Reads a backup.
///
/// # Errors
/// [`Error::File`], and [`Error::Input`] where it is no complete backup of this program.
pub fn read(directory: &Path) -> Result<Record> {
    let path = directory.join(RECORD);
    let place = path.display().to_string();
    let wrong = |message: String| Error::Input {
        place: place.clone(),
        message,
        hint: "list the backups of a cluster with: oc imagepolicy rollback --list".into(),
    };
    let size = fs::metadata(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::Input {
            place: directory.display().to_string(),
            message: format!("this is no backup: it has no {RECORD}"),
            hint: "list the backups of a cluster with: oc imagepolicy rollback --list".into(),
        },
        _ => failure("read", &path, error),
    })?;
    if size.len() > LARGEST || !size.is_file() {
        return Err(wrong("this is no backup of this program".into()));
    }
    let bytes = fs::read(&path).map_err(|error| failure("read", &path, error))?;
    let record: Record =
        serde_json::from_slice(&bytes).map_err(|error| wrong(format!("this is no backup of this program: {error}")))?;
    if record.api_version != API_VERSION || record.kind != KIND {
        return Err(wrong(format!("this is {} of {}, not {KIND} of {API_VERSION}", record.kind, record.api_version)));
    }
    for (index, change) in record.steps.iter().enumerate() {
        check(change).map_err(|why| wrong(format!("steps[{index}] {why}")))?;
    }
    Ok(record)
}

/// Whether this could be something that an apply has written.
fn check(change: &Change) -> Result<(), String> {
    let text =
        |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
    let name =
        |object: &Value| (text(object, "/kind"), text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    if let (Some(before), Some(after)) = (&change.before, &change.after)
        && name(before) != name(after)
    {
        return Err("has two different objects".into());
    }
    let object = change.object();
    match Kind::of_object(object) {
        Some(kind) if WRITTEN.contains(&kind) => {}
        Some(Kind::MachineConfig)
            if object.pointer("/metadata/annotations").is_some_and(|all| all.get(INPUTS).is_some()) => {}
        _ => return Err("is of a kind that this program does not write".into()),
    }
    if name(object).2.is_empty() {
        return Err("has no name".into());
    }
    match (&change.after, &change.checksum) {
        (Some(_), Some(sum)) if sum.len() == 64 => Ok(()),
        (None, None) => Ok(()),
        _ => Err("has no checksum".into()),
    }
}

fn create_directories(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    private_directory(&mut builder);
    let is_new = |path: &&Path| !path.exists();
    let new: Vec<&Path> = path.ancestors().take_while(is_new).collect();
    builder.create(path).map_err(|error| failure("create", path, error))?;
    new.iter().filter_map(|path| path.parent()).try_for_each(sync_directory)
}

fn create_directory(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    private_directory(&mut builder);
    builder.create(path).map_err(|error| failure("create", path, error))
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    private_file(&mut options);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| failure("write", path, error))
}

/// So that names in it are on the disk as well.
fn sync_directory(path: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| failure("write", path, error))?;
    }
    Ok(())
}

#[cfg(unix)]
fn private_directory(builder: &mut DirBuilder) {
    std::os::unix::fs::DirBuilderExt::mode(builder, 0o700);
}

#[cfg(unix)]
fn private_file(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn private_directory(_: &mut DirBuilder) {}

#[cfg(not(unix))]
fn private_file(_: &mut OpenOptions) {}

fn failure(action: &'static str, path: &Path, source: io::Error) -> Error {
    let hint = "backups lie below $XDG_STATE_HOME/oc-imagepolicy: name a place with room that you may write to, as in XDG_STATE_HOME=/var/tmp";
    Error::File { action, path: path.display().to_string(), source, hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(name: &str, scope: &str) -> Value {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy",
               "metadata": {"name": name, "uid": "u", "resourceVersion": "7", "managedFields": [{"manager": "m"}]},
               "spec": {"scopes": [scope]}, "status": {"x": "y"}})
    }

    fn record() -> Record {
        let (a, b) = (policy("a", "a.io"), policy("a", "b.io"));
        let steps = vec![
            Change::new(Some(&a), Some(&b)),
            Change::new(Some(&policy("gone", "g.io")), None),
            Change::new(None, Some(&policy("new", "n.io"))),
        ];
        Record::new(cluster_id(None, "https://x"), "https://x", "4.21".into(), steps)
    }

    #[test]
    fn written_and_read_back() {
        let root = tempfile::tempdir().unwrap();
        let record = record();
        let first = write(root.path(), &record).unwrap();
        let second = write(root.path(), &record).unwrap();
        assert_eq!(list(root.path(), &record.cluster).unwrap(), [first.clone(), second]);
        let read_back = read(&first).unwrap();
        assert_eq!(serde_json::to_value(&read_back).unwrap(), serde_json::to_value(&record).unwrap());
        let text = fs::read_to_string(first.join("replace.yaml")).unwrap();
        assert!(
            text.contains("a.io")
                && !text.contains("uid")
                && !text.contains("managedFields")
                && !text.contains("status"),
            "{text}"
        );
        assert!(fs::read_to_string(first.join("create.yaml")).unwrap().contains("name: gone"));
        assert!(fs::read_to_string(first.join("delete.yaml")).unwrap().contains("name: new"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&first), mode(&first.join(RECORD))), (0o700, 0o600));
        }
        let mut record = record;
        record.steps[0].checksum = Some("0".repeat(64));
        update(&first, &record).unwrap();
        assert_eq!(read(&first).unwrap().steps[0].checksum, record.steps[0].checksum);
        assert_eq!(list(root.path(), "other").unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn what_is_no_backup() {
        let root = tempfile::tempdir().unwrap();
        let good = serde_json::to_value(record()).unwrap();
        let change = |pointer: &str, value: Value| {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = value;
            bad.to_string()
        };
        let cases = [
            (String::new(), "EOF"),
            ("{".into(), "EOF"),
            ("[]".into(), "no backup"),
            (change("/kind", json!("List")), "this is List"),
            (change("/steps/0/after/metadata/name", json!("z")), "two different objects"),
            (change("/steps/2/after/kind", json!("Secret")), "does not write"),
            (change("/steps/2/after/kind", json!("MachineConfig")), "does not write"),
            (change("/steps/2/checksum", Value::Null), "no checksum"),
            (change("/steps/1/before/metadata/name", json!("")), "no name"),
            (change("/steps", json!([{}])), "does not write"),
        ];
        for (text, expected) in cases {
            fs::write(root.path().join(RECORD), &text).unwrap();
            let error = read(root.path()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}\n{text}");
            assert_eq!(error.exit_code(), 2);
        }
        fs::remove_file(root.path().join(RECORD)).unwrap();
        assert!(read(root.path()).unwrap_err().to_string().contains("no backup.json"));
    }

    #[test]
    fn names_of_clusters_stay_inside() {
        assert_eq!(
            cluster_id(Some("6b2d1b9e-52c7-4c8e-9a63-0f4d1c7ae210"), ""),
            "6b2d1b9e-52c7-4c8e-9a63-0f4d1c7ae210"
        );
        for odd in ["../../etc/passwd", "", "..", "a/b", "-rf"] {
            let id = cluster_id(Some(odd), "https://x");
            assert!(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), "{odd} → {id}");
        }
        assert_eq!(checksum(&json!({"a": 1, "b": 2})), checksum(&json!({"b": 2, "a": 1})));
    }
}
