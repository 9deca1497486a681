//! What `explain` says, as documents (interface.md 3), and how a person sees them (interface.md 4).

use std::borrow::Cow;
use std::io;

use serde::Serialize;

use crate::commands::load::Header;
use crate::compile::in_force::InForce;
use crate::model::keyrings::{GpgKey, Keyring};
use crate::model::node_files::{DEFAULT_LOOKASIDE, REGISTRIES_D, SHIPPED_LOOKASIDES};
use crate::model::policy::{PolicyRequirement, Requirements, Sourced, Verdict};
use crate::model::provenance::{Provenance, Refusal, RefusedBy};
use crate::output::words::fold;
use crate::output::words::{self, Keyrings, NamedKeyring};
use crate::output::{Report, Style, Table, Terminal};

/// What is in force: every scope, with who says so.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeTable {
    pub api_version: &'static str,
    pub kind: &'static str,
    #[serde(flatten)]
    pub header: Header,
    pub groups: Vec<ScopeGroup>,
    /// Where the controller refuses: what the pools still have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub still_in_force: Vec<ScopeGroup>,
    /// What was counted, for the first line.
    #[serde(skip)]
    pub counts: String,
    /// Namespaces with a policy of their own that is not shown.
    #[serde(skip)]
    pub others: Vec<(String, usize)>,
}

/// The scopes of one policy file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeGroup {
    pub pools: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub policy_file: String,
    pub in_force: InForce,
    #[serde(serialize_with = "requirement_list")]
    pub default: Requirements,
    pub scopes: Vec<ScopeRow>,
    #[serde(skip)]
    pub keyrings: Keyrings,
    /// Where the node refuses its files: then nothing else counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
}

/// One scope.
#[derive(Serialize)]
pub struct ScopeRow {
    pub transport: String,
    pub scope: String,
    pub verdict: Verdict,
    #[serde(serialize_with = "requirement_list")]
    pub requirements: Requirements,
}

/// What happens when a node pulls an image.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_file: Option<String>,
    /// The MachineConfig of ours that the file comes from, and what it is made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<Matched>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    #[serde(serialize_with = "with_keys", skip_serializing_if = "Asked::is_empty")]
    pub requirements: Asked,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pullable: Option<Pullable>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pull_sources: Vec<PullSourceDoc>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub searched: Vec<Searched>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where the node refuses its files; those of a single Explanation stand in its header.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// Other namespaces in which the answer for this image is another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs_in: Vec<String>,
    /// Where the controller refuses: what the pools still have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub still_in_force: Option<Box<Explanation>>,
    /// Why the file is the one that counts.
    #[serde(skip)]
    pub why_this_file: String,
}

/// What is asked for, and with which keyrings.
#[derive(Clone, Default)]
pub struct Asked {
    pub list: Vec<Sourced>,
    pub keyrings: Keyrings,
}

impl Asked {
    fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// A verdict, or that it cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum VerdictDoc {
    Known(Verdict),
    Unknown(Unknown),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unknown {
    Unknown,
}

impl VerdictDoc {
    pub const UNKNOWN: Self = Self::Unknown(Unknown::Unknown);

    pub fn word(self) -> Cow<'static, str> {
        match self {
            Self::Known(verdict) => verdict.to_string().into(),
            Self::Unknown(_) => "Unknown".into(),
        }
    }
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Matched {
    Scope { transport: String, scope: String },
    Default { default: bool },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    pub transport: String,
    pub scope: String,
    pub matched: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pullable {
    pub answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PullSourceDoc {
    pub reference: String,
    pub insecure: bool,
    pub blocked: bool,
    pub sigstore_attachments: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookaside: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Searched {
    pub reference: String,
    pub verdict: VerdictDoc,
    pub matched: Matched,
    pub pullable: Pullable,
}

/// One image, or several.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanations {
    pub api_version: &'static str,
    pub kind: &'static str,
    #[serde(flatten)]
    pub header: Header,
    #[serde(flatten)]
    pub content: OneOrMany,
}

#[derive(Serialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(Box<Explanation>),
    Many { items: Vec<Explanation> },
}

impl OneOrMany {
    pub fn all(&self) -> &[Explanation] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many { items } => items,
        }
    }
}

fn requirement_list<S: serde::Serializer>(list: &Requirements, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter())
}

fn with_keys<S: serde::Serializer>(asked: &Asked, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(asked.list.iter().map(|sourced| RequirementDoc {
        keys: keys_of(&asked.keyrings.named_by(&sourced.requirement)),
        ..requirement_document(sourced)
    }))
}

/// The keys of each keyring, or why there are none; nothing of a file whose content nobody knows.
fn keys_of(keyrings: &[NamedKeyring<'_>]) -> Vec<KeyDoc> {
    let mut keys = Vec::new();
    for NamedKeyring { path, content } in keyrings {
        let path = path.map(str::to_string);
        match content.as_deref() {
            Some(Ok(Keyring { keys: found, .. })) => {
                keys.extend(found.iter().map(|key| KeyDoc { path: path.clone(), ..KeyDoc::of(key) }));
            }
            Some(Err(problem)) => {
                keys.push(KeyDoc { path, problem: Some(problem.to_string()), ..KeyDoc::default() });
            }
            None => {}
        }
    }
    keys
}

/// A GPG key that a requirement takes signatures of.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyDoc {
    /// Of the keyring's file on the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Box<str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    user_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    revoked: bool,
    /// Why the keyring cannot be read; then nothing else is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl KeyDoc {
    fn of(key: &GpgKey) -> Self {
        let time = |seconds: i64| jiff::Timestamp::from_second(seconds).ok().map(|time| time.to_string());
        Self {
            fingerprint: Some(key.fingerprint.clone()),
            user_ids: key.user_ids.clone(),
            algorithm: Some(key.algorithm.clone()),
            created: time(key.created),
            expires: key.expires.and_then(time),
            revoked: key.revoked,
            ..Self::default()
        }
    }
}

/// `{type, …as in policy.json…, from, keys?}`
#[derive(Serialize)]
struct RequirementDoc<'a> {
    #[serde(flatten)]
    requirement: &'a PolicyRequirement,
    from: &'a [Provenance],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<KeyDoc>,
}

fn requirement_document(sourced: &Sourced) -> RequirementDoc<'_> {
    RequirementDoc { requirement: &sourced.requirement, from: &sourced.from, keys: Vec::new() }
}

/// `Pools master, worker`, `Node w-1`, or nothing where only files are known.
pub fn pools_in_words(pools: &[String]) -> String {
    match pools {
        [] => String::new(),
        [one] => format!("pool {one}"),
        many => format!("pools {}", many.join(", ")),
    }
}

/// With a capital letter at the start.
pub fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// Refusals as a person sees them: who, the literal words, every cause.
pub fn print_refusals(refusals: &[Refusal], t: &mut Terminal) -> io::Result<()> {
    for together in refusals.chunk_by(|a, b| a.by == b.by) {
        let (Some(first), number) = (together.first(), together.len()) else { continue };
        let who = match first.by {
            RefusedBy::Api => "The API server refuses",
            RefusedBy::Controller => "The controller refuses, and writes nothing for any pool",
            RefusedBy::Node => "Every node refuses its files, and every pull fails",
            RefusedBy::Plugin => "Refused",
        };
        let reasons = if number > 1 { format!(", for {number} reasons") } else { String::new() };
        t.put(Style::Bad, &format!("{who}{reasons}:"))?;
        t.end_line()?;
        for refusal in together {
            let mark = if number > 1 { "* " } else { "  " };
            for (line_number, line) in fold(&refusal.text, t.width().saturating_sub(4).max(30)).iter().enumerate() {
                t.line(&format!("  {}{line}", if line_number == 0 { mark } else { "  " }))?;
            }
            for cause in &refusal.causes {
                let value = if cause.value.is_empty() { String::new() } else { format!(": {}", cause.value) };
                t.put(Style::Dim, format!("    because of {} {}", cause.object, cause.path).trim_end())?;
                t.line(&value)?;
            }
        }
    }
    Ok(())
}

impl Report for ScopeTable {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        if self.groups.is_empty() {
            self.print_head(None, t)?;
            if !self.header.refusals.is_empty() {
                t.end_line()?;
                print_refusals(&self.header.refusals, t)?;
            }
        }
        if !self.still_in_force.is_empty() {
            t.end_line()?;
            t.put(Style::Bold, "Therefore still in force (rendered):")?;
            t.end_line()?;
            t.end_line()?;
        }
        for (number, group) in self.groups.iter().chain(&self.still_in_force).enumerate() {
            if number > 0 {
                t.end_line()?;
            }
            self.print_group(group, t)?;
        }
        if !self.others.is_empty() || !self.header.notes.is_empty() {
            t.end_line()?;
        }
        for (namespace, differing) in &self.others {
            let scopes =
                if *differing == 1 { "1 scope differs".to_string() } else { format!("{differing} scopes differ") };
            t.line(&format!("Namespace {namespace} has its own policy, {scopes}: add -n {namespace}"))?;
        }
        for note in &self.header.notes {
            let lines = fold(&format!("Note: {note}"), t.width());
            lines.iter().try_for_each(|line| t.line(line))?;
        }
        Ok(())
    }

    /// Of the transport that nodes pull with.
    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        let rows = self.groups.iter().flat_map(|group| &group.scopes).filter(|row| row.transport == "docker");
        rows.map(|row| format!("{} {}", row.verdict, row.scope)).try_for_each(|line| t.line(&line))
    }

    fn lines(&self, t: &mut Terminal) -> io::Result<()> {
        if self.groups.is_empty() && !self.header.refusals.is_empty() {
            t.json_line(&RefusedLine { refusals: &self.header.refusals })?;
        }
        self.groups.iter().try_for_each(|group| t.json_line(group))
    }
}

/// What a stream of documents says where there is nothing to tell but refusals.
#[derive(Serialize)]
pub struct RefusedLine<'a> {
    pub refusals: &'a [Refusal],
}

impl ScopeTable {
    fn print_head(&self, group: Option<&ScopeGroup>, t: &mut Terminal) -> io::Result<()> {
        let mut first = Vec::new();
        if let Some(group) = group {
            if !group.pools.is_empty() {
                first.push(capitalised(&pools_in_words(&group.pools)));
            }
            if let Some(namespace) = &group.namespace {
                first.push(format!("namespace {namespace}"));
            }
        }
        first.extend([self.header.truth_in_words(), self.header.release_in_words()]);
        if !self.counts.is_empty() {
            first.push(self.counts.clone());
        }
        t.put(Style::Bold, &first.join(" · "))?;
        t.end_line()
    }

    fn print_group(&self, group: &ScopeGroup, t: &mut Terminal) -> io::Result<()> {
        self.print_head(Some(group), t)?;
        t.end_line()?;
        if !group.refusals.is_empty() {
            return print_refusals(&group.refusals, t);
        }
        let mut table = Table::new(t, &["SCOPE", "A NODE", "BECAUSE OF"]);
        // CRI-O pulls with `docker` only: the other transports are for `-o wide` and documents.
        for row in group.scopes.iter().filter(|row| t.wide() || row.transport == "docker") {
            let scope = match (row.transport.as_str(), row.scope.as_str()) {
                ("docker", "") => "anything else from a registry".to_string(),
                ("docker", scope) => scope.to_string(),
                (transport, "") => format!("{transport}: anything"),
                (transport, scope) => format!("{transport}: {scope}"),
            };
            table.row([
                (Style::Plain, scope.into()),
                (words::verdict_style(row.verdict), words::requirements(&row.requirements, &group.keyrings).into()),
                (Style::Dim, words::because_of(&row.requirements).into()),
            ]);
        }
        let verdict = crate::model::policy::verdict(&group.default);
        table.row([
            (Style::Plain, "anything else".into()),
            (words::verdict_style(verdict), words::requirements(&group.default, &group.keyrings).into()),
            (Style::Dim, words::because_of(&group.default).into()),
        ]);
        table.print(t)
    }
}

impl Report for Explanations {
    fn human(&self, t: &mut Terminal) -> io::Result<()> {
        for (number, explanation) in self.content.all().iter().enumerate() {
            if number > 0 {
                t.end_line()?;
            }
            explanation.print(&self.header, number == 0, t)?;
        }
        Ok(())
    }

    fn names(&self, t: &mut Terminal) -> io::Result<()> {
        self.content.all().iter().try_for_each(|explanation| t.line(&explanation.name_line()))
    }

    fn lines(&self, t: &mut Terminal) -> io::Result<()> {
        self.content.all().iter().try_for_each(|explanation| match explanation.is_refused() {
            // There is no header that would say why.
            true => t.json_line(&Refused { explanation, refusals: &self.header.refusals }),
            false => t.json_line(explanation),
        })
    }
}

/// An Explanation whose refusals stand in the header of its document.
#[derive(Serialize)]
struct Refused<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    refusals: &'a [Refusal],
}

impl Explanation {
    /// Nothing known yet.
    pub fn empty(image: &str) -> Self {
        Self {
            image: image.to_string(),
            reference: None,
            namespace: None,
            pools: Vec::new(),
            policy_file: None,
            delivered_by: None,
            verdict: None,
            matched: None,
            candidates: Vec::new(),
            requirements: Asked::default(),
            pullable: None,
            pull_sources: Vec::new(),
            searched: Vec::new(),
            error: None,
            refusals: Vec::new(),
            differs_in: Vec::new(),
            still_in_force: None,
            why_this_file: String::new(),
        }
    }

    /// Leaves only what registries.conf and registries.d say.
    pub fn forget_policy(&mut self) {
        self.verdict = self.verdict.map(|_| VerdictDoc::UNKNOWN);
        self.policy_file = None;
        self.delivered_by = None;
        self.matched = None;
        self.candidates.clear();
        self.requirements = Asked::default();
        self.searched.clear();
    }

    /// `VERDICT image`
    pub fn name_line(&self) -> String {
        let word = match (&self.error, self.verdict) {
            (Some(_), _) => "Unparsable".into(),
            (None, Some(verdict)) => verdict.word(),
            (None, None) => "Refused".into(),
        };
        format!("{word} {}", self.image)
    }

    /// Whether the header says why there is no answer.
    fn is_refused(&self) -> bool {
        self.verdict.is_none() && self.error.is_none() && self.refusals.is_empty()
    }

    /// What the header refuses is told once, with the first.
    fn print(&self, header: &Header, first: bool, t: &mut Terminal) -> io::Result<()> {
        let mut about = Vec::new();
        if let Some(namespace) = &self.namespace {
            about.push(format!("namespace {namespace}"));
        }
        if !self.pools.is_empty() {
            about.push(pools_in_words(&self.pools));
        }
        about.extend([header.truth_in_words(), header.release_in_words()]);
        t.put(Style::Bold, &self.image)?;
        t.line(&format!("   {}", about.join(" · ")))?;
        t.end_line()?;
        if let Some(error) = &self.error {
            field(t, "error", std::slice::from_ref(error))?;
            return Ok(());
        }
        if !self.refusals.is_empty() {
            print_refusals(&self.refusals, t)?;
        } else if !self.is_refused() {
            self.print_trace(t)?;
        } else if first {
            print_refusals(&header.refusals, t)?;
        } else {
            t.put(Style::Bad, "  Refused, as above")?;
            t.end_line()?;
        }
        if let Some(still) = &self.still_in_force {
            t.end_line()?;
            t.put(Style::Bold, "Therefore still in force (rendered):")?;
            t.end_line()?;
            t.end_line()?;
            still.print_trace(t)?;
        }
        Ok(())
    }

    fn print_trace(&self, t: &mut Terminal) -> io::Result<()> {
        if let Some(file) = &self.policy_file {
            let why = if self.why_this_file.is_empty() { String::new() } else { format!(", {}", self.why_this_file) };
            let ours = self.delivered_by.iter().map(|ours| format!("from {ours}"));
            field(t, "policy", &std::iter::once(format!("{file}{why}")).chain(ours).collect::<Vec<_>>())?;
        }
        self.print_candidates(t)?;
        let Asked { list, keyrings } = &self.requirements;
        for (number, sourced) in list.iter().enumerate() {
            field(t, if number == 0 { "requires" } else { "and" }, &words::demand(&sourced.requirement, keyrings))?;
            let from: Vec<String> = sourced.from.iter().map(|from| format!("from {from}")).collect();
            field(t, "", &from)?;
        }
        if let Some(Pullable { answer, reason: Some(reason) }) = &self.pullable {
            let label = if *answer == "Yes" { "pulled" } else { "no pull" };
            field(t, label, std::slice::from_ref(reason))?;
        }
        let is_by_gpg = |sourced: &Sourced| matches!(*sourced.requirement, PolicyRequirement::SignedBy { .. });
        let asks_for_gpg = list.iter().any(is_by_gpg);
        let asks_for_gpg_only = asks_for_gpg && list.iter().all(is_by_gpg);
        let width = self.pull_sources.iter().map(|source| source.reference.chars().count()).max().unwrap_or(0);
        for (number, source) in self.pull_sources.iter().enumerate() {
            let mut said = match source.sigstore_attachments {
                _ if source.blocked => vec!["blocked"],
                true => vec!["signatures read"],
                // That is said of signatures of sigstore.
                false if asks_for_gpg_only => Vec::new(),
                false => vec!["signatures not read"],
            };
            if source.insecure {
                said.push("TLS not checked");
            }
            let line = format!("{}  {:width$}   {}", number + 1, source.reference, said.join(", "));
            // Names are for copying: these lines stay whole.
            t.put(Style::Dim, &format!("  {:<11} ", if number == 0 { "pulled from" } else { "" }))?;
            t.line(line.trim_end())?;
            let lookaside = match (&source.lookaside, shipped_lookaside(&source.reference)) {
                (Some(lookaside), _) => Some(format!("   GPG signatures at {lookaside}")),
                _ if !asks_for_gpg || source.blocked => None,
                (None, Some(file)) => Some(format!("   GPG signatures where {file} says, which RHCOS ships")),
                (None, None) => Some(format!(
                    "   GPG signatures at {DEFAULT_LOOKASIDE}, for want of a lookaside: nobody delivers any there, unless \
                     the registry has them itself (X-Registry-Supports-Signatures)"
                )),
            };
            field(t, "", lookaside.as_slice())?;
        }
        for (number, searched) in self.searched.iter().enumerate() {
            let line = format!("{}   {}", searched.reference, searched.verdict.word());
            field(t, if number == 0 { "short name" } else { "" }, &[line])?;
        }
        if !self.differs_in.is_empty() {
            let (noun, command) = match self.differs_in.as_slice() {
                [one] => ("namespace", format!("add -n {one}")),
                _ => ("namespaces", "add -A".to_string()),
            };
            field(t, "but", &[format!("another answer in {noun} {}: {command}", self.differs_in.join(", "))])?;
        }
        if !self.candidates.is_empty() || !self.pull_sources.is_empty() {
            t.end_line()?;
        }
        let (style, text) = match self.verdict {
            Some(VerdictDoc::Known(verdict)) => (
                words::verdict_style(verdict),
                match verdict {
                    Verdict::AcceptsAnything => "ACCEPTS ANYTHING",
                    Verdict::Rejects => "REJECTS",
                    Verdict::RequiresSignature => "REQUIRES A SIGNATURE",
                },
            ),
            _ => (Style::Caution, "UNKNOWN"),
        };
        t.put(Style::Plain, "  ")?;
        t.put(style, text)?;
        if self.pullable.as_ref().is_some_and(|pullable| pullable.answer == "No") {
            t.put(Style::Bad, ", AND CANNOT BE PULLED")?;
        }
        t.end_line()
    }

    fn print_candidates(&self, t: &mut Terminal) -> io::Result<()> {
        for (number, candidate) in self.candidates.iter().enumerate() {
            let scope = match (candidate.scope.as_str(), candidate.transport.as_str()) {
                ("", transport) => format!("anything of transport {transport}"),
                (scope, "docker") => scope.to_string(),
                (scope, transport) => format!("{transport}: {scope}"),
            };
            print_candidate(t, if number == 0 { "looked up" } else { "" }, &scope, candidate.matched)?;
        }
        match self.matched {
            Some(Matched::Default { .. }) => {
                let label = if self.candidates.is_empty() { "looked up" } else { "" };
                print_candidate(t, label, "the default, for anything else", true)
            }
            _ => Ok(()),
        }
    }
}

/// The file of registries.d that RHCOS ships for the registry of an image (domain.md 4.4).
fn shipped_lookaside(reference: &str) -> Option<String> {
    let host = reference.split('/').next()?;
    SHIPPED_LOOKASIDES.contains(&host).then(|| format!("{REGISTRIES_D}/{host}.yaml"))
}

/// The arrow of the hit stands in the margin, so that all candidates are aligned.
fn print_candidate(t: &mut Terminal, label: &str, scope: &str, matched: bool) -> io::Result<()> {
    t.put(Style::Dim, &format!("  {label:<9} "))?;
    t.put(Style::Accent, if matched { "→ " } else { "  " })?;
    t.put(if matched { Style::Bold } else { Style::Plain }, scope)?;
    t.end_line()
}

/// A label and its lines, folded.
fn field(t: &mut Terminal, label: &str, lines: &[String]) -> io::Result<()> {
    let mut label = label;
    for line in lines {
        for piece in fold(line, t.width().saturating_sub(14).max(30)) {
            t.put(Style::Dim, &format!("  {label:<11} "))?;
            t.line(&piece)?;
            label = "";
        }
    }
    Ok(())
}
