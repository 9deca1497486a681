//! Paths → Snapshot: files, directories, standard input, must-gathers and node trees, known by their contents.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::archive::{self, Format, Inflated, Metered};
use super::layout::{self, NODE_DIRECTORIES, Place};
use super::yaml::{self, Budget, Document, Remark};
use crate::error::{Error, Result};
use crate::snapshot::{
    Gap, GapReason, InsertError, Inserted, KINDS, Kind, Laying, NodeTree, Origin, Recognised, Snapshot, Source,
    SourceFile,
};

/// Texts that stand in for the contents of files, by [`super::identity`]: what would be written.
pub type Drafts = HashMap<PathBuf, String>;

/// How files are looked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions<'a> {
    /// `-R`: what lies below a directory, too.
    pub recursive: bool,
    /// Whether pods and other [workloads](Kind::is_workload) are read; otherwise they are passed over as foreign kinds are.
    pub workloads: bool,
    /// What is read in place of what files hold.
    pub drafts: Option<&'a Drafts>,
}

/// How many directories deep one is searched with `-R`.
const MAX_DIRECTORIES: usize = 64;
/// How deep a must-gather may lie below the directory that is named.
const MAX_NESTING: usize = 4;
/// Larger files of a node's `/etc/pki` hold certificates that no policy names.
const MAX_KEY_FILE: u64 = 1 << 20;
/// More warnings than this tell nothing new.
const MAX_WARNINGS: usize = 20;
/// From here on, several threads read.
const PARALLEL_FROM: usize = 8;
/// More namespaces than these are counted.
const MAX_NAMESPACES_NAMED: usize = 10;

/// What standard input is called in messages.
const STDIN: &str = "standard input";

static STDIN_TAKEN: AtomicBool = AtomicBool::new(false);

/// Reads everything that `-f` names into one snapshot.
///
/// # Errors
/// [`Error::File`] for what cannot be read, [`Error::Input`] with file and line for what makes no sense, [`Error::Empty`] where
/// nothing of interest is in it.
pub fn read(paths: &[PathBuf], options: ReadOptions<'_>) -> Result<Snapshot> {
    let mut snapshot = Snapshot::new(Source::Manifests);
    read_onto(&mut snapshot, paths, options, Laying::Beside)?;
    Ok(snapshot)
}

/// A file of this program itself: one document, and where it stands. An empty file is `null`.
///
/// # Errors
/// As [`read`]; a second document is one, too.
pub fn read_document(path: &Path) -> Result<(Value, Origin)> {
    let budget = Budget::default();
    let name = path.display().to_string();
    let mut loaded = load_text(&name, text_of(&name, read_bytes(path, &budget)?)?, &budget)?;
    if let Some(second) = loaded.documents.get(1) {
        let (line, _) = loaded.source.position(second.range.start);
        return Err(input(
            &format!("{name}:{line}"),
            "one document is expected, and a second one begins here",
            String::new(),
        ));
    }
    let document = loaded.documents.pop();
    let range = document.as_ref().map_or(0..0, |document| document.range.clone());
    let origin = Origin::File { source: loaded.source, document: range, pointer: "".into() };
    Ok((document.map_or(Value::Null, |document| document.value), origin))
}

/// Manifests that are at hand already, pods too.
///
/// # Errors
/// As [`read`].
pub fn read_text(name: &str, text: &str) -> Result<Snapshot> {
    let mut snapshot = Snapshot::new(Source::Manifests);
    let mut reader = Reader::new(&mut snapshot, Laying::Beside);
    reader.options.workloads = true;
    reader.text(name, text.to_string())?;
    Ok(snapshot)
}

/// Reads everything into a snapshot that may hold something already; `--overlay` with [`Laying::OnTop`].
///
/// # Errors
/// As [`read`].
pub fn read_onto(snapshot: &mut Snapshot, paths: &[PathBuf], options: ReadOptions<'_>, laying: Laying) -> Result<()> {
    let mut reader = Reader::new(snapshot, laying);
    reader.options = options;
    for path in paths {
        reader.path(path)?;
    }
    reader.finish(paths)
}

/// Node files that are named one by one (`--policy`, `--registries-conf`, `--registries-d`).
///
/// # Errors
/// [`Error::File`] for what cannot be read.
pub fn node_files(
    policy: Option<&Path>,
    registries_conf: Option<&Path>,
    registries_d: Option<&Path>,
) -> Result<NodeTree> {
    let budget = Budget::default();
    let mut tree = NodeTree::default();
    let mut names = Vec::new();
    for (path, target) in
        [(policy, "/etc/containers/policy.json"), (registries_conf, "/etc/containers/registries.conf")]
    {
        if let Some(path) = path {
            tree.files.insert(target.into(), read_bytes(path, &budget)?);
            names.push(path.display().to_string());
        }
    }
    if let Some(directory) = registries_d {
        for path in listing(directory)? {
            let Some(name) = path.file_name().and_then(OsStr::to_str).filter(|name| name.ends_with(".yaml")) else {
                continue;
            };
            tree.files.insert(format!("/etc/containers/registries.d/{name}"), read_bytes(&path, &budget)?);
        }
        names.push(directory.display().to_string());
    }
    tree.name = names.join(", ");
    Ok(tree)
}

/// Standard input, once: who comes second would wait for ever, or read nothing.
///
/// # Errors
/// [`Error::Usage`] the second time.
pub fn take_stdin() -> Result<io::Stdin> {
    if STDIN_TAKEN.swap(true, Ordering::Relaxed) {
        return Err(Error::usage(
            "standard input (`-`) can be read only once",
            "save one of the two in a file and name that: -f FILE",
        ));
    }
    Ok(io::stdin())
}

/// A file that is yet to be read, or was unpacked already.
struct Piece {
    name: String,
    content: Content,
    kind: Option<Kind>,
    namespace: Option<String>,
}

enum Content {
    Path(PathBuf),
    Bytes(Vec<u8>),
}

/// What is in a file, decoded.
struct Loaded {
    source: Arc<SourceFile>,
    documents: Vec<Document>,
}

/// What it does with documents that are no Kubernetes objects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strangers {
    /// The file was named, so it is said.
    Refuse,
    /// It was found in a directory, so they are counted.
    Count,
}

pub(super) struct Reader<'a> {
    snapshot: &'a mut Snapshot,
    laying: Laying,
    options: ReadOptions<'a>,
    budget: Budget,
    taken: usize,
    warnings: usize,
    /// Directories that hold others, and nothing of their own that was read.
    unsearched: bool,
    /// What of a must-gather was taken in: uid and resourceVersion.
    versions: HashMap<(Kind, String, String), (String, u64)>,
    must_gather: bool,
    /// The namespaces of which a must-gather holds the objects of a kind, where it does not hold those of all.
    partial: BTreeSet<(Kind, String)>,
    collected: [bool; KINDS.len()],
}

impl<'a> Reader<'a> {
    pub(super) fn new(snapshot: &'a mut Snapshot, laying: Laying) -> Self {
        Self {
            snapshot,
            laying,
            options: ReadOptions::default(),
            budget: Budget::default(),
            taken: 0,
            warnings: 0,
            unsearched: false,
            versions: HashMap::new(),
            must_gather: false,
            partial: BTreeSet::new(),
            collected: [false; KINDS.len()],
        }
    }

    fn path(&mut self, path: &Path) -> Result<()> {
        let shown = path.display().to_string();
        if shown == "-" {
            return self.stream(STDIN, take_stdin()?.lock());
        }
        if shown.starts_with("http://") || shown.starts_with("https://") {
            return Err(Error::usage(
                format!("{shown} is a URL, and only files are read"),
                format!("fetch it first: curl -fsSL {} | oc imagepolicy explain -f -", quoted(&shown)),
            ));
        }
        let metadata = fs::metadata(path).map_err(|error| cannot_read(path, error))?;
        if metadata.is_dir() {
            return self.directory(path);
        }
        let file = fs::File::open(path).map_err(|error| cannot_read(path, error))?;
        self.stream(&shown, file)
    }

    /// A file of any format that was named.
    fn stream(&mut self, name: &str, reader: impl Read) -> Result<()> {
        let (head, reader) = peek(reader).map_err(|error| cannot_read_named(name, error))?;
        match archive::format(&head) {
            Format::Gzip => {
                let (head, reader) = peek(Inflated::new(reader)).map_err(|error| damaged(name, &error))?;
                match archive::format(&head) {
                    Format::Tar => self.archive(name, reader),
                    Format::Gzip => Err(input(
                        name,
                        "is compressed twice",
                        format!("decompress it once: gzip -dc {0} > {0}.1", quoted(name)),
                    )),
                    _ => self.plain(name, reader),
                }
            }
            Format::Tar => self.archive(name, reader),
            Format::Foreign(what, command) => Err(input(
                name,
                &format!("is compressed with {what}, which is not read here"),
                format!("{command} {} | oc imagepolicy explain -f -", quoted(name)),
            )),
            Format::Other => self.plain(name, reader),
        }
    }

    fn plain(&mut self, name: &str, reader: impl Read) -> Result<()> {
        let bytes = read_all(name, reader, 0, &self.budget)?;
        let loaded = load_text(name, self.options.text_of(name, bytes)?, &self.budget)?;
        self.take_in(loaded, Strangers::Refuse, None)
    }

    /// A text that was named.
    pub(super) fn text(&mut self, name: &str, text: String) -> Result<()> {
        let loaded = load_text(name, text, &self.budget)?;
        self.take_in(loaded, Strangers::Refuse, None)
    }

    fn directory(&mut self, path: &Path) -> Result<()> {
        let entries = listing(path)?;
        let has_manifests = entries.iter().any(|entry| is_manifest(entry) && entry.is_file());
        let mut roots = Vec::new();
        find_roots(path, &entries, if has_manifests { 0 } else { MAX_NESTING }, &mut roots)?;
        if roots.is_empty() {
            return self.manifests(entries);
        }
        for root in roots {
            match root {
                Root::MustGather(root) => self.must_gather_directory(&root)?,
                Root::Node(root) => self.node_directory(&root)?,
            }
        }
        Ok(())
    }

    fn manifests(&mut self, entries: Vec<PathBuf>) -> Result<()> {
        let mut files = Vec::new();
        self.walk(entries, 0, &mut files)?;
        let pieces = files.into_iter().map(|path| Piece {
            name: path.display().to_string(),
            content: Content::Path(path),
            kind: None,
            namespace: None,
        });
        for (_, loaded) in load_pieces(pieces.collect(), self.options, &self.budget) {
            self.take_in(loaded?, Strangers::Count, None)?;
        }
        Ok(())
    }

    /// Files and directories in the order of their names, as kubectl walks them; links to directories are not followed.
    fn walk(&mut self, entries: Vec<PathBuf>, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
        for entry in entries {
            let is_directory = fs::symlink_metadata(&entry).is_ok_and(|metadata| metadata.is_dir());
            if is_directory && (!self.options.recursive || depth == MAX_DIRECTORIES) {
                self.unsearched = true;
            } else if is_directory {
                self.walk(listing(&entry)?, depth + 1, files)?;
            } else if is_manifest(&entry) && fs::metadata(&entry).map_err(|error| cannot_read(&entry, error))?.is_file()
            {
                files.push(entry);
            }
        }
        Ok(())
    }

    fn must_gather_directory(&mut self, root: &Path) -> Result<()> {
        let mut found = Vec::new();
        let workloads = self.options.workloads;
        for info in KINDS.iter().filter(|info| workloads || !info.kind.is_workload()) {
            let group = layout::group_directory(info.group);
            let cluster_scoped = root.join(layout::CLUSTER_SCOPED).join(group);
            self.objects_in(&cluster_scoped, info.kind, None, &mut found)?;
            if !info.namespaced {
                continue;
            }
            for namespace in optional_listing(&root.join(layout::NAMESPACES))? {
                let name = namespace.file_name().map(|name| name.to_string_lossy().into_owned());
                let before = found.len();
                self.objects_in(&namespace.join(group), info.kind, name.clone(), &mut found)?;
                if info.kind == Kind::Pod && found.len() == before {
                    pods_one_by_one(&namespace, name, &mut found)?;
                }
            }
        }
        let inside = fs::canonicalize(root).map_err(|error| cannot_read(root, error))?;
        found.retain(|piece| match &piece.content {
            Content::Path(path) => leads_inside(path, &inside),
            Content::Bytes(_) => true,
        });
        self.must_gather_pieces(found)
    }

    /// `PLURAL.yaml` and `PLURAL/*.yaml` of one kind.
    fn objects_in(
        &mut self,
        group: &Path,
        kind: Kind,
        namespace: Option<String>,
        found: &mut Vec<Piece>,
    ) -> Result<()> {
        let plural = kind.info().plural;
        let directory = group.join(plural);
        if directory.is_dir() {
            self.mark_collected(kind, namespace.as_deref());
        }
        let lists =
            ["yaml", "yml", "json", "yaml.gz", "json.gz"].map(|ending| group.join(format!("{plural}.{ending}")));
        let objects = optional_listing(&directory)?;
        let named =
            |path: &PathBuf| path.file_name().and_then(OsStr::to_str).is_some_and(|name| layout::stem(name).is_some());
        for path in lists.into_iter().chain(objects.into_iter().filter(named)).filter(|path| path.is_file()) {
            let name = path.display().to_string();
            found.push(Piece { name, content: Content::Path(path), kind: Some(kind), namespace: namespace.clone() });
        }
        Ok(())
    }

    fn mark_collected(&mut self, kind: Kind, namespace: Option<&str>) {
        match namespace {
            Some(namespace) => {
                self.partial.insert((kind, namespace.to_string()));
                // A must-gather holds the pods of some namespaces at most: they count, and the gap tells of the others.
                if kind == Kind::Pod {
                    self.snapshot.mark_read(kind);
                }
            }
            None => {
                if let Some(collected) = self.collected.get_mut(kind as usize) {
                    *collected = true;
                }
                self.snapshot.mark_read(kind);
            }
        }
    }

    fn must_gather_pieces(&mut self, pieces: Vec<Piece>) -> Result<()> {
        self.must_gather = true;
        for (piece, loaded) in load_pieces(pieces, self.options, &self.budget) {
            let Some(kind) = piece.kind else { continue };
            match loaded {
                Ok(loaded) => {
                    self.mark_collected(kind, piece.namespace.as_deref());
                    self.take_in(loaded, Strangers::Count, Some(kind))?;
                }
                // One damaged file of thousands must not hide the rest.
                Err(Error::Input { place, message, .. }) => self.snapshot.gaps.push(Gap {
                    kind,
                    namespace: piece.namespace,
                    reason: GapReason::Undecodable,
                    message: format!("{place}: {message}"),
                }),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn archive(&mut self, name: &str, reader: impl Read) -> Result<()> {
        let mut pieces = Vec::new();
        let mut trees: BTreeMap<String, NodeTree> = BTreeMap::new();
        let mut entries = archive::entries(reader, &self.budget).map_err(|error| damaged(name, &error))?;
        // As directories are read, whatever the order they were packed in.
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let listed: HashSet<String> = entries.iter().filter_map(|entry| entry.place.lists_pods_of()).collect();
        for entry in entries {
            match entry.place {
                Place::Objects { kind, .. } if !self.reads(kind) => self.must_gather = true,
                Place::Pod { .. } if !self.reads(Kind::Pod) => self.must_gather = true,
                Place::Pod { namespace } if listed.contains(&namespace) => {}
                Place::Pod { namespace } => pieces.push(Piece {
                    name: format!("{name}:{}", entry.path),
                    content: Content::Bytes(entry.bytes),
                    kind: Some(Kind::Pod),
                    namespace: Some(namespace),
                }),
                Place::Objects { kind, namespace, file: false } => {
                    self.must_gather = true;
                    self.mark_collected(kind, namespace.as_deref());
                }
                Place::Objects { kind, namespace, file: true } => pieces.push(Piece {
                    name: format!("{name}:{}", entry.path),
                    content: Content::Bytes(entry.bytes),
                    kind: Some(kind),
                    namespace,
                }),
                Place::NodeFile { root, path } => {
                    let tree = trees.entry(root.clone()).or_default();
                    tree.name = if root.is_empty() { name.to_string() } else { format!("{name}:{root}") };
                    tree.files.insert(path, entry.bytes);
                }
            }
        }
        trees.retain(|_, tree| tree.files.keys().any(|path| path.starts_with("/etc/containers/")));
        if pieces.is_empty() && trees.is_empty() && !self.must_gather {
            return Err(input(
                name,
                "is an archive of neither a must-gather nor a node's files",
                format!(
                    "unpack it: mkdir unpacked && tar -xf {name} -C unpacked && oc imagepolicy explain -R -f unpacked"
                ),
            ));
        }
        self.taken += trees.len();
        self.snapshot.node_trees.extend(trees.into_values());
        if pieces.is_empty() { Ok(()) } else { self.must_gather_pieces(pieces) }
    }

    fn node_directory(&mut self, root: &Path) -> Result<()> {
        let inside = fs::canonicalize(root).map_err(|error| cannot_read(root, error))?;
        let mut tree = NodeTree { name: root.display().to_string(), ..NodeTree::default() };
        let mut open: Vec<(PathBuf, usize)> = NODE_DIRECTORIES
            .iter()
            .map(|name| (root.join("etc").join(name), 0))
            .filter(|(path, _)| path.is_dir())
            .collect();
        while let Some((directory, depth)) = open.pop() {
            for path in listing(&directory)? {
                let Ok(metadata) = fs::metadata(&path) else { continue };
                if !leads_inside(&path, &inside) {
                    continue;
                }
                if metadata.is_dir() && depth < MAX_NESTING {
                    open.push((path, depth + 1));
                } else if metadata.is_file()
                    && let Ok(relative) = path.strip_prefix(root)
                    && (!relative.starts_with("etc/pki") || metadata.len() <= MAX_KEY_FILE)
                {
                    let target = format!("/{}", relative.display());
                    tree.files.insert(target, read_bytes(&path, &self.budget)?);
                }
            }
        }
        self.taken += 1;
        self.snapshot.node_trees.push(tree);
        Ok(())
    }

    fn take_in(&mut self, loaded: Loaded, strangers: Strangers, collected: Option<Kind>) -> Result<()> {
        for document in loaded.documents {
            let before = self.taken;
            let at = At { source: &loaded.source, document: &document.range, strangers, collected };
            self.object(document.value, String::new(), None, &at)?;
            if self.taken > before {
                for warning in document.warnings {
                    self.warn(&loaded.source, &warning);
                }
            }
        }
        Ok(())
    }

    /// One object, or all that a list holds. `list` is the `apiVersion` and `kind` of the typed list it is an item of.
    fn object(&mut self, mut value: Value, pointer: String, list: Option<(&str, &str)>, at: &At<'_>) -> Result<()> {
        let Value::Object(map) = &mut value else {
            return self.stranger("it is no mapping", &pointer, at);
        };
        if let Some((api_version, kind)) = list {
            for (key, text) in [("apiVersion", api_version), ("kind", kind)] {
                if !text.is_empty() && !map.contains_key(key) {
                    map.insert(key.into(), text.into());
                }
            }
        }
        let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let items = map.get("items").is_some_and(|items| items.is_array() || items.is_null());
        if let Some(item_kind) = kind.strip_suffix("List").filter(|_| items) {
            if let Recognised::Kind(kind) = Kind::of(&api_version, item_kind)
                && self.reads(kind)
            {
                self.snapshot.mark_read(kind);
                self.taken += 1;
            }
            let inherited = (!item_kind.is_empty()).then_some((api_version.as_str(), item_kind));
            if let Some(Value::Array(items)) = map.remove("items") {
                for (index, item) in items.into_iter().enumerate() {
                    self.object(item, format!("{pointer}/items/{index}"), inherited, at)?;
                }
            }
            return Ok(());
        }
        if kind.is_empty() {
            return self.stranger("it has no `kind`", &pointer, at);
        }
        if api_version.is_empty() {
            return self.stranger("it has no `apiVersion`", &pointer, at);
        }
        self.insert(value, pointer, at)
    }

    /// Whether objects of the kind are taken in.
    fn reads(&self, kind: Kind) -> bool {
        self.options.workloads || !kind.is_workload()
    }

    fn insert(&mut self, value: Value, pointer: String, at: &At<'_>) -> Result<()> {
        if let Some(kind) = Kind::of_object(&value).filter(|kind| !self.reads(*kind)) {
            *self.snapshot.passed_over.entry(kind.to_string()).or_default() += 1;
            return Ok(());
        }
        let mut laying = self.laying;
        if at.collected.is_some() {
            match self.compare_with_earlier(&value) {
                Earlier::None => {}
                Earlier::Older => laying = Laying::OnTop,
                Earlier::Newer => return Ok(()),
            }
        }
        let strangers_before = self.snapshot.same_name_elsewhere.len();
        let origin =
            Origin::File { source: at.source.clone(), document: at.document.clone(), pointer: pointer.clone().into() };
        match self.snapshot.insert(value, origin, laying) {
            Ok(Inserted::Added | Inserted::Duplicate) => self.taken += 1,
            Ok(Inserted::PassedOver) => {
                if let Some(other) = self.snapshot.same_name_elsewhere.get(strangers_before) {
                    let (name, version) = (other.reference.to_string(), &other.reference.api_version);
                    let message = format!("{name} of {version} is something else than OpenShift's, and is passed over");
                    self.warn(at.source, &Remark::new(at.offset(&pointer), message));
                }
            }
            Err(InsertError::Conflict(reference)) => {
                let first = self.snapshot.origin(&reference).map(place_of);
                let first = first.map_or_else(String::new, |first| format!(": first in {first}"));
                return Err(input(
                    &at.place(&pointer),
                    &format!("{reference} is there twice, with different contents{first}"),
                    "remove one of the two; --overlay FILE lays one over the other".into(),
                ));
            }
            Err(InsertError::NotAnObject(why)) => return self.stranger(why, &pointer, at),
        }
        Ok(())
    }

    /// A must-gather of several images holds some objects more than once, as they were at different times: the newest counts.
    fn compare_with_earlier(&mut self, value: &Value) -> Earlier {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_string();
        let Recognised::Kind(kind) = Kind::of(&text("/apiVersion"), &text("/kind")) else { return Earlier::None };
        let uid = text("/metadata/uid");
        let Ok(version) = text("/metadata/resourceVersion").parse::<u64>() else { return Earlier::None };
        let identity = (kind, text("/metadata/namespace"), text("/metadata/name"));
        match self.versions.get_mut(&identity) {
            Some((before, _)) if *before != uid => Earlier::None,
            Some((_, before)) if *before >= version => Earlier::Newer,
            Some((_, before)) => {
                *before = version;
                Earlier::Older
            }
            None => {
                self.versions.insert(identity, (uid, version));
                Earlier::None
            }
        }
    }

    fn stranger(&mut self, why: &str, pointer: &str, at: &At<'_>) -> Result<()> {
        if at.strangers == Strangers::Count {
            *self.snapshot.passed_over.entry("no Kubernetes object".into()).or_default() += 1;
            return Ok(());
        }
        Err(input(
            &at.place(pointer),
            &format!("this is no Kubernetes object: {why}"),
            "every document needs `apiVersion` and `kind`; node files have flags of their own: --policy FILE".into(),
        ))
    }

    fn warn(&mut self, source: &SourceFile, remark: &Remark) {
        self.warnings += 1;
        if self.warnings <= MAX_WARNINGS {
            self.snapshot.warnings.push(format!("{}: {}", line_of(source, remark.offset), remark.message));
        }
    }

    fn finish(mut self, paths: &[PathBuf]) -> Result<()> {
        if let Some(more @ 1..) = self.warnings.checked_sub(MAX_WARNINGS) {
            self.snapshot.warnings.push(format!("and {more} more warnings like these"));
        }
        if self.must_gather {
            // What is laid on top says nothing about where the rest came from.
            if self.laying == Laying::Beside {
                self.snapshot.source = Source::MustGather;
                self.add_gaps();
            }
            return Ok(());
        }
        if self.taken > 0 || !self.snapshot.same_name_elsewhere.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        let arguments: Vec<String> = names.iter().map(|name| format!("-f {}", quoted(name))).collect();
        let others: Vec<String> =
            self.snapshot.passed_over.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let passed_over = match others.as_slice() {
            [] => "it is empty".to_string(),
            others => format!("passed over: {}", others.join(", ")),
        };
        let hint = if self.unsearched && !self.options.recursive {
            format!("add -R to read the directories below: -R {}", arguments.join(" "))
        } else {
            "save what a cluster has: oc get image.config,clusterimagepolicies,imagepolicies -A -o yaml > cluster.yaml"
                .into()
        };
        let message = format!("{}: nothing in it has to do with image policy; {passed_over}", names.join(", "));
        Err(Error::Empty { message, hint })
    }

    /// What is missing from a must-gather: never the same as what there is none of.
    fn add_gaps(&mut self) {
        for (info, collected) in KINDS.iter().zip(self.collected) {
            let kind = info.kind;
            let is_told = || self.snapshot.gaps.iter().any(|gap| gap.kind == kind && gap.namespace.is_none());
            if collected || !self.reads(kind) || kind.is_optional() || is_told() {
                continue;
            }
            let of_kind = self.partial.iter().filter(|(of, _)| *of == kind);
            let namespaces: Vec<&str> = of_kind.map(|(_, namespace)| namespace.as_str()).collect();
            let message = match namespaces.split_at_checked(MAX_NAMESPACES_NAMED) {
                _ if namespaces.is_empty() => format!("the must-gather does not hold {}", info.plural),
                Some((named, more @ [_, ..])) => format!(
                    "the must-gather holds the {} of {} namespaces only: {} and {} more",
                    info.plural,
                    namespaces.len(),
                    named.join(", "),
                    more.len()
                ),
                _ => format!(
                    "the must-gather holds the {} of these namespaces only: {}",
                    info.plural,
                    namespaces.join(", ")
                ),
            };
            self.snapshot.gaps.push(Gap { kind, namespace: None, reason: GapReason::NotInInput, message });
        }
    }
}

/// `pods/NAME/NAME.yaml` of a namespace, which stands there beside the logs.
fn pods_one_by_one(namespace: &Path, name: Option<String>, found: &mut Vec<Piece>) -> Result<()> {
    for directory in optional_listing(&namespace.join(layout::PODS))? {
        let Some(pod) = directory.file_name().and_then(OsStr::to_str) else { continue };
        let path = directory.join(format!("{pod}.yaml"));
        if path.is_file() {
            let (shown, content) = (path.display().to_string(), Content::Path(path));
            found.push(Piece { name: shown, content, kind: Some(Kind::Pod), namespace: name.clone() });
        }
    }
    Ok(())
}

enum Earlier {
    /// There is none, or it is of another cluster.
    None,
    Older,
    Newer,
}

/// Where a document stands, and what was expected of it.
struct At<'a> {
    source: &'a Arc<SourceFile>,
    document: &'a std::ops::Range<usize>,
    strangers: Strangers,
    collected: Option<Kind>,
}

impl At<'_> {
    fn origin(&self, pointer: &str) -> Origin {
        Origin::File { source: self.source.clone(), document: self.document.clone(), pointer: pointer.into() }
    }

    fn place(&self, pointer: &str) -> String {
        place_of(&self.origin(pointer))
    }

    fn offset(&self, pointer: &str) -> usize {
        super::spans::offset(&self.origin(pointer)).unwrap_or(self.document.start)
    }
}

/// `FILE:LINE` of an object.
fn place_of(origin: &Origin) -> String {
    match origin {
        Origin::Live => "the cluster".into(),
        Origin::File { source, document, .. } => {
            line_of(source, super::spans::offset(origin).unwrap_or(document.start))
        }
    }
}

fn line_of(source: &SourceFile, offset: usize) -> String {
    format!("{}:{}", source.name, source.position(offset).0)
}

enum Root {
    MustGather(PathBuf),
    Node(PathBuf),
}

/// Must-gathers and node trees in a directory, and below it where it is one of those that hold nothing else.
fn find_roots(path: &Path, entries: &[PathBuf], depth: usize, roots: &mut Vec<Root>) -> Result<()> {
    let groups = optional_listing(&path.join(layout::CLUSTER_SCOPED))?;
    let known = |group: &PathBuf| group.file_name().and_then(OsStr::to_str).is_some_and(layout::is_known_group);
    if groups.iter().any(known) {
        roots.push(Root::MustGather(path.to_path_buf()));
        return Ok(());
    }
    if path.join("etc/containers").is_dir() {
        roots.push(Root::Node(path.to_path_buf()));
        return Ok(());
    }
    if depth > 0 {
        for entry in entries {
            let hidden = entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && fs::symlink_metadata(entry).is_ok_and(|metadata| metadata.is_dir()) {
                find_roots(entry, &optional_listing(entry)?, depth - 1, roots)?;
            }
        }
    }
    Ok(())
}

/// Whether a path, links followed, stays below a directory: what others packed must not show files of this machine.
fn leads_inside(path: &Path, directory: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|path| path.starts_with(directory))
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

fn listing(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(|error| cannot_read(directory, error))?;
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|error| cannot_read(directory, error))?;
    paths.sort();
    Ok(paths)
}

/// Empty where there is no such directory.
fn optional_listing(directory: &Path) -> Result<Vec<PathBuf>> {
    if directory.is_dir() { listing(directory) } else { Ok(Vec::new()) }
}

/// Decodes files on several threads; the results are in their order.
fn load_pieces(pieces: Vec<Piece>, options: ReadOptions<'_>, budget: &Budget) -> Vec<(Piece, Result<Loaded>)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    if threads == 1 || pieces.len() < PARALLEL_FROM {
        return pieces.into_iter().map(|piece| load_piece(piece, options, budget)).collect();
    }
    let share = pieces.len().div_ceil(threads);
    let mut pieces = pieces.into_iter();
    std::thread::scope(|scope| {
        let mut handles = Vec::new();
        for _ in 0..threads {
            let part: Vec<Piece> = pieces.by_ref().take(share).collect();
            handles.push(
                scope.spawn(move || {
                    part.into_iter().map(|piece| load_piece(piece, options, budget)).collect::<Vec<_>>()
                }),
            );
        }
        let joined =
            handles.into_iter().map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    })
}

fn load_piece(mut piece: Piece, options: ReadOptions<'_>, budget: &Budget) -> (Piece, Result<Loaded>) {
    let content = std::mem::replace(&mut piece.content, Content::Bytes(Vec::new()));
    let loaded = (|| {
        let bytes = match content {
            Content::Path(path) => read_bytes(&path, budget)?,
            Content::Bytes(bytes) => bytes,
        };
        let bytes = match archive::format(bytes.get(..archive::HEAD.min(bytes.len())).unwrap_or_default()) {
            Format::Gzip => read_all(&piece.name, Inflated::new(bytes.as_slice()), 0, budget)?,
            _ => bytes,
        };
        load_text(&piece.name, options.text_of(&piece.name, bytes)?, budget)
    })();
    (piece, loaded)
}

fn load_text(name: &str, text: String, budget: &Budget) -> Result<Loaded> {
    match yaml::documents(&text, budget) {
        Ok(documents) => Ok(Loaded { source: Arc::new(SourceFile::new(name, text)), documents }),
        Err(remark) => Err(senseless(&SourceFile::new(name, text), &remark)),
    }
}

fn senseless(source: &SourceFile, remark: &Remark) -> Error {
    let (line, column) = source.position(remark.offset);
    let message = match remark.other {
        Some((words, other)) => format!("{}, {words} line {}", remark.message, source.position(other).0),
        None => remark.message.clone(),
    };
    let shown = source.line(line).is_some_and(|text| text.trim_start().starts_with("{{"));
    let hint = if shown {
        "this looks like a Helm template: read what `helm template` makes of it".into()
    } else if source.name == STDIN {
        format!("save it in a file first, and look at line {line}")
    } else {
        format!("look at it: sed -n {line}p {}", quoted(&source.name))
    };
    input(&format!("{}:{line}:{column}", source.name), &message, hint)
}

impl ReadOptions<'_> {
    fn text_of(&self, name: &str, bytes: Vec<u8>) -> Result<String> {
        let drafts = self.drafts.filter(|drafts| !drafts.is_empty());
        match drafts.and_then(|drafts| drafts.get(&super::identity(Path::new(name)))) {
            Some(draft) => Ok(draft.clone()),
            None => text_of(name, bytes),
        }
    }
}

fn text_of(name: &str, bytes: Vec<u8>) -> Result<String> {
    let wide = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0xfe, 0xff, rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ => None,
    };
    if let Some((rest, unit)) = wide {
        let units: Vec<u16> = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        return String::from_utf16(&units).map_err(|_| {
            input(
                name,
                "is damaged UTF-16 text",
                format!("convert it: iconv -f UTF-16 -t UTF-8 {} > utf8.yaml", quoted(name)),
            )
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + memchr::memchr_iter(b'\n', error.as_bytes().get(..good).unwrap_or_default()).count();
        let hint = format!("see what it is: file {}", quoted(name));
        input(&format!("{name}:{line}"), "is no text: YAML and JSON are UTF-8", hint)
    })
}

fn read_bytes(path: &Path, budget: &Budget) -> Result<Vec<u8>> {
    let file = fs::File::open(path).map_err(|error| cannot_read(path, error))?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    read_all(&path.display().to_string(), file, length, budget)
}

fn read_all(name: &str, reader: impl Read, length: u64, budget: &Budget) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default().min(yaml::MAX_INPUT) + 1);
    match (Metered { inner: reader, budget }).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(cannot_read_named(name, error)),
    }
}

/// The first bytes of a reader, and a reader of everything.
fn peek<R: Read>(mut reader: R) -> io::Result<(Vec<u8>, impl Read)> {
    let mut head = Vec::new();
    reader.by_ref().take(archive::HEAD as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(reader)))
}

fn cannot_read(path: &Path, source: io::Error) -> Error {
    cannot_read_named(&path.display().to_string(), source)
}

fn cannot_read_named(name: &str, source: io::Error) -> Error {
    use io::ErrorKind::{FileTooLarge, InvalidData, InvalidInput, Other, UnexpectedEof};
    if matches!(source.kind(), FileTooLarge | Other | InvalidData | InvalidInput | UnexpectedEof) {
        return damaged(name, &source);
    }
    let hint = match source.kind() {
        io::ErrorKind::NotFound => format!("see what is there: ls -l {}", quoted(&parent_of(name))),
        io::ErrorKind::PermissionDenied => format!("see who may read it: ls -ld {}", quoted(name)),
        io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => {
            format!("see what it is: ls -ld {}", quoted(name))
        }
        _ => String::new(),
    };
    Error::File { action: "read", path: name.to_string(), source, hint }
}

fn parent_of(name: &str) -> String {
    match Path::new(name).parent().map(|parent| parent.display().to_string()) {
        Some(parent) if !parent.is_empty() => parent,
        _ => ".".into(),
    }
}

/// What an archive reader, or a limit of ours, has to say.
fn damaged(name: &str, error: &io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::Other => {
            "name less: one must-gather at a time, or only the objects that matter: oc get … -o yaml".into()
        }
        _ => format!("see whether it is complete: gzip -t {0} || tar -tf {0}", quoted(name)),
    };
    input(name, &error.to_string(), hint)
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    let harmless = |c: char| c.is_alphanumeric() || "_-./:@%+=,".contains(c);
    if !name.is_empty() && name.chars().all(harmless) {
        name.to_string()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}

fn input(place: &str, message: &str, hint: String) -> Error {
    Error::Input { place: place.to_string(), message: message.to_string(), hint }
}
