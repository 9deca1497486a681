//! Findings that do not count: `--suppress`, comments of the files that were read, and baselines.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Looked;
use super::select::refused;
use crate::commands::say;
use crate::error::{Error, Result};
use crate::files::{self, Replacement, file_failure, spans, yaml};
use crate::lint::SuppressionKind;
use crate::lint::baseline::{Baseline, Effect, Entry, counts, split};
use crate::lint::glob::ObjectGlob;
use crate::lint::select::{Matching, rules_named};
use crate::lint::suppress::{self, COMMAND_LINE_KIND, Directive, MARKER, Target};
use crate::model::provenance::ObjectRef;
use crate::snapshot::{Kind, Origin, Snapshot, Source, SourceFile};

/// The flags.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Suppression")]
pub struct SuppressArgs {
    /// Findings of these rules about these objects do not count, as in 'IMP204=ClusterImagePolicy/*' or
    /// 'IMP207=ImagePolicy/team-*/*: agreed with them'
    #[arg(long, value_name = "RULES=OBJECTS[: REASON]")]
    suppress: Vec<String>,
    /// Findings that this file knows do not count
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write what is found now into a baseline; with --baseline, what that one knows stays
    #[arg(long, value_name = "FILE", conflicts_with = "diff")]
    write_baseline: Option<PathBuf>,
    /// Take out of the baseline what no longer occurs
    #[arg(long, conflicts_with_all = ["write_baseline", "diff"])]
    baseline_prune: bool,
}

const SUPPRESS: &str = "as in: --suppress 'IMP204=ClusterImagePolicy/*: agreed with the team'";
const BASELINE: &str = "name a file that --write-baseline wrote";

impl SuppressArgs {
    /// Files that are read or written.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.baseline.iter().chain(&self.write_baseline)
    }

    /// Finds out whether the baseline can be written before anything else is.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot.
    pub fn check(&self) -> Result<()> {
        let pruned = self.baseline.as_ref().filter(|_| self.baseline_prune);
        self.write_baseline.iter().chain(pruned).try_for_each(|path| files::can_be_written(path))
    }

    /// Says that no baseline is written, where one was to be.
    pub fn leave_baseline(&self) {
        if self.write_baseline.is_some() || self.baseline_prune {
            say("note", "the baseline is left as it is, since not everything could be looked at");
        }
    }

    /// What `--suppress` says.
    ///
    /// # Errors
    /// One that is not of its form.
    pub fn directives(&self) -> Result<Vec<Directive>> {
        let object = ObjectRef {
            api_version: "imagepolicy.openshift.io/v1alpha1".into(),
            kind: COMMAND_LINE_KIND.into(),
            namespace: None,
            name: "--suppress".into(),
        };
        let object = Arc::new(object);
        let mut directives = Vec::new();
        for text in &self.suppress {
            let wrong = |why: String| Error::usage(format!("--suppress {text}: {why}"), SUPPRESS);
            let Some((rules, rest)) = text.split_once('=') else {
                return Err(wrong("not of the form RULES=OBJECTS".into()));
            };
            let (pattern, reason) = rest.split_once(':').unwrap_or((rest, ""));
            let rules: Vec<String> = rules.split(',').map(|rule| rule.trim().to_string()).collect();
            for rule in &rules {
                rules_named(rule).map_err(|unknown| wrong(unknown.to_string()))?;
            }
            let glob = ObjectGlob::parse(pattern).map_err(wrong)?;
            let reason = match reason.trim() {
                "" => "asked for on the command line",
                reason => reason,
            };
            let entry = suppress::Entry { rules, reason: reason.to_string(), until: None };
            directives.extend(suppress::directives(entry, |directive| Directive {
                kind: SuppressionKind::CommandLine,
                target: Target::Matching(Matching { objects: vec![glob.clone()], ..Matching::default() }),
                object: object.clone(),
                path: String::new(),
                ..directive
            }));
        }
        Ok(directives)
    }
}

/// An object and where it stands.
type Placed<'a> = (&'a Arc<ObjectRef>, &'a Origin);

/// What comments in the files say that were read.
pub fn comments(snapshot: &Snapshot) -> Vec<Directive> {
    let elsewhere = snapshot.same_name_elsewhere.iter().map(|object| (&object.reference, &object.origin));
    let pods = snapshot.pods.iter().map(|pod| (&pod.reference, &pod.origin));
    let objects = snapshot.as_written().map(|(object, _, origin)| (object, origin)).chain(elsewhere).chain(pods);
    let mut of_files: HashMap<usize, (&Arc<SourceFile>, Vec<Placed<'_>>)> = HashMap::new();
    for (object, origin) in objects {
        if let Origin::File { source, .. } = origin {
            let (_, of_file) = of_files.entry(Arc::as_ptr(source).addr()).or_insert_with(|| (source, Vec::new()));
            of_file.push((object, origin));
        }
    }
    let mut directives = Vec::new();
    for (source, objects) in of_files.into_values() {
        let found = files::comments(source, MARKER);
        if found.is_empty() {
            continue;
        }
        let begins = |(object, origin)| Some((spans::first_line(origin)?, (object, origin)));
        let objects: BTreeMap<usize, Placed<'_>> = objects.into_iter().filter_map(begins).collect();
        for comment in found {
            let line = comment.line.unwrap_or(comment.location.line);
            let around = objects.range(..=line).next_back().or_else(|| objects.first_key_value());
            let Some((_, (object, origin))) = around else { continue };
            let target = match comment.line.map(|line| (line, objects.get(&line))) {
                Some((_, Some((object, _)))) => Target::Object((*object).clone()),
                // No finding stands on a comment's own line.
                beside => Target::Line(source.clone(), beside.map_or(comment.location.line, |(line, _)| line)),
            };
            for entry in suppress::comment(&comment.text) {
                directives.extend(suppress::directives(entry, |directive| Directive {
                    kind: SuppressionKind::Comment,
                    target: target.clone(),
                    object: (*object).clone(),
                    origin: (*origin).clone(),
                    location: Some(comment.location.clone()),
                    ..directive
                }));
            }
        }
    }
    // Files come in no order.
    directives.sort_by(|a, b| a.location.cmp(&b.location));
    directives
}

/// The baseline that a run begins with.
pub struct Baselines {
    old: Option<(PathBuf, Baseline)>,
}

impl Baselines {
    /// Reads the baseline: that of the flag, else that of the configuration. What is to be overwritten must be one, too.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Input`] for a file that is none, [`Error::Usage`] for flags that make no sense.
    pub fn read(args: &SuppressArgs, configured: Option<PathBuf>) -> Result<Self> {
        let named = args.baseline.clone().or(configured);
        if args.baseline_prune && named.is_none() {
            return Err(Error::usage(
                "--baseline-prune needs a baseline",
                "name it: oc imagepolicy lint --baseline FILE --baseline-prune",
            ));
        }
        let mut begins_anew = false;
        if let Some(path) = &args.write_baseline {
            // The first time there is none yet to go on with.
            begins_anew = !is_there(path)? && named.as_ref().is_some_and(|named| same_place(named, path));
        }
        let Some(path) = named.filter(|_| !begins_anew) else { return Ok(Self { old: None }) };
        let baseline = read(&path)?;
        Ok(Self { old: Some((path, baseline)) })
    }

    /// Marks what it knows.
    pub fn apply(&self, looked: &mut Looked) -> Option<Effect> {
        let (_, baseline) = self.old.as_ref()?;
        let looked_at = LookedAt::new(looked);
        Some(baseline.apply(&mut looked.outcome.findings, |entry| looked_at.has(entry)))
    }

    /// Says what it did.
    pub fn tell(&self, looked: &Looked) {
        let Some(((_, baseline), effect)) = self.old.as_ref().zip(looked.baseline.as_ref()) else { return };
        say("note", &baseline.words(effect, looked.today));
    }

    /// Writes the baseline that is asked for: pruned (by all findings), or new (by those that are shown), which then no longer count.
    ///
    /// # Errors
    /// [`Error::File`] where it cannot be written.
    pub fn write(&self, args: &SuppressArgs, looked: &mut Looked) -> Result<()> {
        let looked_at = LookedAt::new(looked);
        let old = self.old.as_ref();
        if let Some(path) = &args.write_baseline {
            let old = old.map(|(_, old)| old);
            let new = Baseline::of(&looked.outcome.findings, old, |entry| looked_at.has(entry), looked.today);
            write(path, &new)?;
            new.apply(&mut looked.outcome.findings, |_| false);
            say("note", &format!("wrote {}: {}", path.display(), split(counts(new.entries.iter()))));
        } else if let Some((path, old)) = old.filter(|_| args.baseline_prune) {
            let mut baseline = old.clone();
            let gone = baseline.prune(&looked.fingerprints, |entry| looked_at.has(entry));
            if gone > 0 {
                write(path, &baseline)?;
            }
            if let Some(effect) = &mut looked.baseline {
                effect.gone = 0;
            }
            let left = split(counts(baseline.entries.iter()));
            say("note", &format!("took {gone} of its entries out of {}: {left} left", path.display()));
        }
        Ok(())
    }
}

/// What of a baseline could have been found again.
struct LookedAt {
    ran: HashSet<String>,
    objects: HashSet<String>,
    /// Kinds of which it is known that there are no others.
    complete: HashSet<&'static str>,
}

impl LookedAt {
    fn new(looked: &Looked) -> Self {
        let Looked { loaded, outcome, namespace, .. } = looked;
        let snapshot = &loaded.snapshot;
        let elsewhere = snapshot.same_name_elsewhere.iter().map(|object| &object.reference);
        let objects = snapshot.as_written().map(|(object, ..)| object).chain(elsewhere);
        let objects = objects.chain(snapshot.pods.iter().map(|pod| &pod.reference)).map(|object| object.to_string());
        let is_live = matches!(snapshot.source, Source::Live(_)) && !loaded.hypothetical;
        let has_gap = |kind: Kind| snapshot.gaps.iter().any(|gap| gap.kind == kind);
        let all = |kind: &Kind| {
            is_live && snapshot.has_read(*kind) && !has_gap(*kind) && (namespace.is_none() || !kind.info().namespaced)
        };
        let kinds = crate::snapshot::KINDS.iter().map(|info| info.kind);
        Self {
            ran: outcome.rules.iter().map(|rule| rule.id()).collect(),
            objects: objects.collect(),
            complete: kinds.filter(all).map(Kind::name).collect(),
        }
    }

    fn has(&self, entry: &Entry) -> bool {
        let kind = entry.object.split('/').next().unwrap_or_default();
        self.ran.contains(&entry.code) && (self.objects.contains(&entry.object) || self.complete.contains(kind))
    }
}

/// Whether there is a baseline to be overwritten; anything else is not.
fn is_there(path: &Path) -> Result<bool> {
    match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Ok(metadata) if !metadata.is_file() || metadata.len() == 0 => Ok(false),
        _ => match read(path) {
            Ok(_) => Ok(true),
            Err(Error::Input { place, message, .. }) => Err(Error::Input {
                place,
                message: format!("{message}; it is not overwritten"),
                hint: "name another file: --write-baseline lint-baseline.yaml".into(),
            }),
            Err(error) => Err(error),
        },
    }
}

fn same_place(a: &Path, b: &Path) -> bool {
    let full = |path: &Path| std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
    matches!((full(a), full(b)), (Ok(a), Ok(b)) if a == b)
}

fn read(path: &Path) -> Result<Baseline> {
    let name = path.display().to_string();
    let (value, origin) = files::read_document(path).map_err(|error| match error {
        Error::Input { place, message, .. } => Error::Input { place, message, hint: BASELINE.into() },
        Error::File { action, path, source, .. } if source.kind() == std::io::ErrorKind::NotFound => Error::File {
            action,
            path,
            source,
            hint: format!("write it first: oc imagepolicy lint --write-baseline {name}"),
        },
        error => error,
    })?;
    Baseline::parse(&value).map_err(|problem| refused(&name, &origin, problem, BASELINE))
}

fn write(path: &Path, baseline: &Baseline) -> Result<()> {
    let failed = |error: std::io::Error| file_failure("write", path, error);
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let text = match serde_json::to_value(baseline) {
        Ok(value) if !is_json => yaml::emit(&value),
        Ok(value) => format!("{value:#}\n"),
        Err(error) => return Err(failed(error.into())),
    };
    let file = Replacement::begin(path)?;
    file.writer()?.write_all(text.as_bytes()).map_err(failed)?;
    file.commit()
}
