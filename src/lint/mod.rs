//! What is wrong or dangerous. A rule is one file under `rules/`: its code, its essay, examples that are its tests, and the
//! check. Rules are pure functions over a [`Context`]; a compile that the controller would refuse is input like any other.

mod api;
pub mod baseline;
pub mod config;
pub mod few;
mod fingerprint;
pub mod fix;
pub mod formats;
pub mod glob;
mod gpg;
pub mod images;
pub mod keys;
mod mirrors;
mod nodes;
pub mod policies;
mod refusals;
pub mod report;
pub mod rules;
pub mod select;
pub mod suppress;
pub mod usage;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::ser::{SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::compile::Compiled;
use crate::compile::pools::Truth;
use crate::model::go_text::quote;
use crate::model::parallel;
use crate::model::private_keys::redact;
use crate::model::provenance::{ObjectRef, RefusedBy};
use crate::model::release::Release;
use crate::snapshot::api::MirrorRule;
use crate::snapshot::{Kind, Location, Object, Origin, Snapshot, Source};
use suppress::{Directive, Suppressing};

/// From this code on, rules are about what was said about findings, and run when the others are done.
const ABOUT_SUPPRESSIONS: u16 = 900;

/// A rule: static data and one function. Read `rules/mod.rs` for the list.
pub struct Rule {
    /// `IMP204`, without the letters. Never reused.
    pub code: u16,
    /// Names the bad pattern, as in "allow shadowed-by-allowed".
    pub name: &'static str,
    /// The highest level that its findings have.
    pub level: Level,
    /// How sure it is.
    pub confidence: Confidence,
    /// Who refuses what it finds, if anybody.
    pub refused_by: &'static [RefusedBy],
    /// Releases concerned, in words.
    pub releases: &'static str,
    /// Numbers of the pitfalls in domain.md 7 that it covers.
    pub pitfalls: &'static [u8],
    /// Kinds without which it cannot say anything; it is then skipped, and named.
    pub needs: &'static [Kind],
    /// What it finds, in one sentence.
    pub summary: &'static str,
    /// What breaks for whom. Markdown.
    pub why: &'static str,
    /// How to mend it. Markdown.
    pub fix: &'static str,
    /// Clusters on which it fires, and on which it does not: run as tests.
    pub examples: &'static [Example],
    /// The check.
    pub check: fn(&Context<'_>, &mut Vec<Finding>),
}

/// A small cluster that shows a rule at work.
pub struct Example {
    /// Whether the rule fires.
    pub fires: bool,
    /// The release that it is looked at with.
    pub release: &'static str,
    /// Objects as a YAML stream. `SOME_KEY` stands for the base64 of a good public key, `OTHER_KEY` for another,
    /// `MUCH_DATA` for 1.3 MiB of base64.
    pub manifests: &'static str,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Worth knowing.
    Hint,
    /// Worth telling.
    Info,
    /// Not what one would expect.
    Warning,
    /// Something is refused, stops working or is not protected.
    Error,
}

impl Level {
    /// Lower case, as in `error[IMP202]`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// How sure a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Confidence {
    /// Seen on the real thing.
    Verified,
    /// Depends on the release, which is known or assumed.
    VersionDependent,
    /// Likely.
    Heuristic,
}

impl Rule {
    /// `IMP204`
    pub fn id(&self) -> String {
        format!("IMP{:03}", self.code)
    }
}

/// By code: a rule is itself and nothing else.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.id(), self.name)
    }
}

/// Where an object stood, and what there was; of a pod nothing is kept.
type Written<'a> = (&'a Origin, Option<&'a Value>);

/// Looks up the lines of a field: where its key stands, and where its value begins. Nothing for objects of a cluster.
pub type Lines = fn(&Origin, &str) -> Option<[usize; 2]>;

/// Everything that a rule may look at.
pub struct Context<'a> {
    /// The objects.
    pub snapshot: &'a Snapshot,
    /// The release that is asked for.
    pub release: &'static Release,
    /// What the controller makes of them, or why it refuses.
    pub compiled: &'a Compiled,
    /// The time at which keys must be valid, in seconds since 1970.
    pub now: i64,
    /// What comments, the command line and the configuration suppress; annotations are looked up in the objects.
    directives: Vec<Directive>,
    /// The lines on which the key and the value of an object's field stand.
    lines: Option<Lines>,
    suppressing: OnceLock<Suppressing>,
    objects: OnceLock<HashMap<&'a ObjectRef, Written<'a>, foldhash::fast::RandomState>>,
    images: OnceLock<Vec<images::ImageInUse<'a>>>,
    codes: OnceLock<Vec<Option<u16>>>,
    unstorable: OnceLock<Vec<api::Unstorable<'a>>>,
    desired: OnceLock<Option<Truth>>,
    scopes: OnceLock<policies::Scopes<'a>>,
    usage: OnceLock<usage::Usage>,
    mirrors: OnceLock<mirrors::Mirrors<'a>>,
    mirror_rules: OnceLock<HashMap<&'a ObjectRef, &'a [MirrorRule], foldhash::fast::RandomState>>,
}

impl<'a> Context<'a> {
    /// Of objects and what the controller of a release makes of them, at this moment.
    pub fn new(snapshot: &'a Snapshot, compiled: &'a Compiled) -> Self {
        Self {
            snapshot,
            release: compiled.release,
            compiled,
            now: jiff::Timestamp::now().as_second(),
            directives: Vec::new(),
            lines: None,
            suppressing: OnceLock::new(),
            objects: OnceLock::new(),
            images: OnceLock::new(),
            codes: OnceLock::new(),
            unstorable: OnceLock::new(),
            desired: OnceLock::new(),
            scopes: OnceLock::new(),
            usage: OnceLock::new(),
            mirrors: OnceLock::new(),
            mirror_rules: OnceLock::new(),
        }
    }

    /// With what is suppressed besides annotations, and how to find the lines that comments are about.
    pub fn suppressed_by(mut self, directives: Vec<Directive>, lines: Lines) -> Self {
        self.directives = directives;
        self.lines = Some(lines);
        self
    }

    /// What is suppressed, and what became of it in the run so far.
    pub fn suppressing(&self) -> &Suppressing {
        self.suppressing.get_or_init(|| Suppressing::new(self))
    }

    /// Where an object stood that is known by name only, as in a refusal's causes.
    pub fn origin(&self, object: &ObjectRef) -> Origin {
        self.object(object).map_or(Origin::Live, |(origin, _)| origin.clone())
    }

    /// An object as it was written.
    pub fn raw(&self, object: &ObjectRef) -> Option<&'a Value> {
        self.object(object)?.1
    }

    /// The same, with where it stood.
    pub fn as_written(&self, object: &ObjectRef) -> Option<(&'a Origin, &'a Value)> {
        let (origin, raw) = self.object(object)?;
        Some((origin, raw?))
    }

    fn object(&self, object: &ObjectRef) -> Option<Written<'a>> {
        let objects = self.objects.get_or_init(|| {
            let written = self.snapshot.as_written().map(|(object, raw, origin)| (&**object, (origin, Some(raw))));
            let others = self.snapshot.same_name_elsewhere.iter();
            let others = others.map(|object| (&*object.reference, (&object.origin, Some(&object.raw))));
            let pods = self.snapshot.pods.iter().map(|pod| (&*pod.reference, (&pod.origin, None)));
            written.chain(others).chain(pods).collect()
        });
        objects.get(object).copied()
    }

    /// Whether it is known which objects of a kind there are. Manifests are complete in what the controller's bootstrap reads
    /// from them; what only a running cluster has is known where it is in them.
    pub fn can_see(&self, kind: Kind) -> bool {
        let bootstrap_reads = matches!(
            kind,
            Kind::Image
                | Kind::ClusterImagePolicy
                | Kind::ImagePolicy
                | Kind::ImageDigestMirrorSet
                | Kind::ImageTagMirrorSet
                | Kind::ImageContentSourcePolicy
                | Kind::MachineConfig
                | Kind::MachineConfigPool
        );
        // At bootstrap the payload may come from ControllerConfig.
        let has_payload = kind == Kind::ClusterVersion && self.compiled.payload.is_some();
        has_payload || self.snapshot.has_read(kind) || (self.snapshot.source == Source::Manifests && bootstrap_reads)
    }

    /// Whether every object of a kind is there that the cluster has: only then does something that is not among them not exist. A
    /// must-gather holds the pods of some namespaces, and a tenant sees those of its own. A cluster in which nothing runs at all tells
    /// nothing about what is in use.
    pub fn has_all(&self, kind: Kind) -> bool {
        let tells = kind != Kind::Pod || !self.snapshot.pods.is_empty();
        tells && self.can_see(kind) && self.snapshot.gaps.iter().all(|gap| gap.kind != kind)
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule that found it.
    pub rule: &'static Rule,
    /// At most the rule's.
    pub level: Level,
    /// The object.
    pub object: Arc<ObjectRef>,
    /// Where the object stood, for lines and columns.
    pub origin: Origin,
    /// The field, such as `spec.scopes[0]`; empty for the object as a whole.
    pub path: String,
    /// Where it stands, if that is not where the field does.
    pub location: Option<Location>,
    /// What is wrong, in one line.
    pub message: String,
    /// What follows from it, in one line; the literal text of whoever refuses, where one does.
    pub effect: String,
    /// What to do: lines, commands among them.
    pub help: String,
    /// Other objects and fields that take part.
    pub related: Vec<Related>,
    /// An image name that shows it.
    pub witness: Option<String>,
    /// Who will not take it.
    pub refused_by: Option<RefusedBy>,
    /// A change of objects that mends it, where one does without asking anybody anything.
    pub fix: Option<fix::Fix>,
    /// The same for the same finding on the same object, whatever is reordered around it: code, object, and the field with values in place of indices.
    pub fingerprint: String,
    /// Why it does not count, where somebody said so.
    pub suppression: Option<Suppression>,
}

/// Why a finding does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suppression {
    /// Who says so.
    pub kind: SuppressionKind,
    /// Their words; never empty, but for a baseline.
    pub reason: String,
    /// The last day that it holds, as `2027-01-31`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Who suppresses a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum SuppressionKind {
    /// The annotation `imagepolicy.openshift.io/ignore` of the object.
    Annotation,
    /// A comment in the file.
    Comment,
    /// `--suppress`
    CommandLine,
    /// `.imagepolicy.yaml`
    Configuration,
    /// `--baseline`
    Baseline,
}

/// Another field that takes part in a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    /// The object.
    pub object: Arc<ObjectRef>,
    /// The field.
    pub path: String,
    /// What it has to do with it.
    pub message: String,
}

impl Finding {
    /// About a field of an object, with the rule's level.
    pub fn new<T>(
        rule: &'static Rule,
        object: &Object<T>,
        path: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self::at(rule, &object.reference, object.origin.clone(), path, message)
    }

    /// The same, of an object that is known by name and place.
    pub fn at(
        rule: &'static Rule,
        object: &Arc<ObjectRef>,
        origin: Origin,
        path: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            level: rule.level,
            object: Arc::clone(object),
            origin,
            path: path.to_string(),
            location: None,
            message: message.into(),
            effect: String::new(),
            help: String::new(),
            related: Vec::new(),
            witness: None,
            refused_by: None,
            fix: None,
            fingerprint: String::new(),
            suppression: None,
        }
    }

    /// Takes out private keys that somebody pasted into an object. Here, where texts are still whole: of a folded line nobody could
    /// say what it is.
    fn redact(&mut self) {
        let Self { message, effect, help, related, witness, .. } = self;
        let related = related.iter_mut().map(|related| &mut related.message);
        for text in [message, effect, help].into_iter().chain(related).chain(witness) {
            if let Cow::Owned(redacted) = redact(text) {
                *text = redacted;
            }
        }
    }

    /// With another level than the rule's.
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// With what follows from it.
    pub fn effect(mut self, effect: impl Into<String>) -> Self {
        self.effect = effect.into();
        self
    }

    /// With what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// With an image name that shows it.
    pub fn witness(mut self, image: impl Into<String>) -> Self {
        self.witness = Some(image.into());
        self
    }

    /// With who will not take it.
    pub fn refused_by(mut self, by: RefusedBy) -> Self {
        self.refused_by = Some(by);
        self
    }

    /// With a change that mends it.
    pub fn fixed_by(mut self, fix: fix::Fix) -> Self {
        self.fix = Some(fix);
        self
    }

    /// With another field that takes part.
    pub fn related(mut self, object: &Arc<ObjectRef>, path: impl fmt::Display, message: impl Into<String>) -> Self {
        self.related.push(Related { object: object.clone(), path: path.to_string(), message: message.into() });
        self
    }
}

/// A text of somebody's object inside of a sentence: as it is, or in quotes with escapes where it would be mistaken for something else.
/// What is longer than anything that the API takes is cut.
pub fn shown(text: &str) -> Cow<'_, str> {
    const MOST: usize = 600;
    if let Some((end, _)) = text.char_indices().nth(MOST) {
        return format!("{}…", shown(text.get(..end).unwrap_or_default())).into();
    }
    let is_plain = |c: char| c.is_alphanumeric() || c.is_ascii_punctuation();
    if !text.is_empty() && text.chars().all(is_plain) { text.into() } else { quote(text).into() }
}

/// As in `LintReport` of interface.md 3, without the location, which only the caller can look up.
impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Finding", 14)?;
        out.serialize_field("code", &self.rule.id())?;
        out.serialize_field("name", self.rule.name)?;
        out.serialize_field("level", &self.level)?;
        out.serialize_field("confidence", &self.rule.confidence)?;
        out.serialize_field("object", &self.object)?;
        out.serialize_field("path", &self.path)?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("effect", &self.effect)?;
        out.serialize_field("help", &self.help)?;
        out.serialize_field("related", &self.related)?;
        if let Some(witness) = &self.witness {
            out.serialize_field("witness", witness)?;
        }
        if let Some(by) = &self.refused_by {
            out.serialize_field("refusedBy", by)?;
        }
        if let Some(suppression) = &self.suppression {
            out.serialize_field("suppression", suppression)?;
        }
        out.serialize_field("fingerprint", &self.fingerprint)?;
        out.end()
    }
}

/// What a run found.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Worst first, then by object, path and code.
    pub findings: Vec<Finding>,
    /// How many rules could say something.
    pub ran: usize,
    /// Which ones.
    pub rules: Vec<&'static Rule>,
    /// Rules that could not, and the kinds that they miss.
    pub skipped: Vec<(&'static Rule, Vec<Kind>)>,
}

/// Worst first, then by object, rule, path and words.
fn in_order(a: &Finding, b: &Finding) -> Ordering {
    let objects = if Arc::ptr_eq(&a.object, &b.object) { Ordering::Equal } else { a.object.cmp(&b.object) };
    let what = |finding: &Finding| finding.rule.code;
    (b.level.cmp(&a.level))
        .then(objects)
        .then_with(|| what(a).cmp(&what(b)))
        .then_with(|| (&a.path, &a.message).cmp(&(&b.path, &b.message)))
}

/// Runs the rules for which everything is there, and names the others. What is suppressed is marked.
pub fn run(context: &Context<'_>, rules: &[&'static Rule]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut ran = Vec::new();
    for &rule in rules {
        let missing: Vec<Kind> = rule.needs.iter().copied().filter(|kind| !context.can_see(*kind)).collect();
        if missing.is_empty() {
            ran.push(rule);
        } else {
            outcome.skipped.push((rule, missing));
        }
    }
    outcome.ran = ran.len();
    outcome.rules.clone_from(&ran);
    let suppressing = context.suppressing();
    suppressing.begin(ran.iter().map(|rule| rule.code));
    let (late, early): (Vec<_>, Vec<_>) = ran.into_iter().partition(|rule| rule.code >= ABOUT_SUPPRESSIONS);
    outcome.findings = parallel::each(&early, |rule, findings| (rule.check)(context, findings));
    suppressing.apply(context, &mut outcome.findings);
    // Which are not used is known last.
    for rule in late.into_iter().rev() {
        let mut findings = Vec::new();
        (rule.check)(context, &mut findings);
        suppressing.apply(context, &mut findings);
        outcome.findings.append(&mut findings);
    }
    parallel::for_each(&mut outcome.findings, Finding::redact);
    outcome.findings.sort_by(in_order);
    fingerprint::name(context, &mut outcome.findings);
    outcome
}
