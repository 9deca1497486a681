//! From flags to a snapshot and what the controller makes of it: the way that every reading command begins.

use serde::Serialize;

use super::input::{ConnectionFlags, InputArgs};
use crate::cluster::{self, ConnectionArgs};
use crate::compile::in_force::InForce;
use crate::compile::{Compiled, Note, NoteKind, compile, overlay};
use crate::error::{Error, Result};
use crate::files::{self, ReadOptions};
use crate::model::node_files::POLICY_JSON;
use crate::model::provenance::Refusal;
use crate::model::release::Release;
use crate::snapshot::{Delivery, Gap, GapReason, Kind, Laying, Snapshot, Source};

/// What a command has to read of a live cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// What policies and node files follow from.
    Policies,
    /// That, and nodes.
    Everything,
    /// That, and what runs.
    Lint,
}

impl Needs {
    /// The kinds to read.
    pub fn kinds(self) -> &'static [Kind] {
        const ALL: [Kind; 16] = [
            Kind::Image,
            Kind::ClusterImagePolicy,
            Kind::ImagePolicy,
            Kind::ImageDigestMirrorSet,
            Kind::ImageTagMirrorSet,
            Kind::ImageContentSourcePolicy,
            Kind::ClusterVersion,
            Kind::FeatureGate,
            Kind::Infrastructure,
            Kind::MachineConfigPool,
            Kind::MachineConfig,
            Kind::Node,
            Kind::ControllerConfig,
            Kind::MachineConfiguration,
            Kind::PinnedImageSet,
            Kind::Pod,
        ];
        match self {
            Self::Policies => &ALL[..11],
            Self::Everything => &ALL[..14],
            Self::Lint => &ALL,
        }
    }

    fn read_options(self, input: &InputArgs) -> ReadOptions<'_> {
        ReadOptions { recursive: input.recursive, workloads: self == Self::Lint, drafts: Some(&input.drafts) }
    }
}

/// A snapshot, the release it is looked at with, and what follows.
pub struct Loaded {
    /// Everything that was read, overlays and deletions included.
    pub snapshot: Snapshot,
    /// From `--release`, else from ClusterVersion, else the newest known.
    pub release: &'static Release,
    /// Whether nothing said which release it is.
    pub release_assumed: bool,
    /// What the controller makes of it.
    pub compiled: Compiled,
    /// Whether something was laid on top or taken away.
    pub hypothetical: bool,
}

impl Loaded {
    /// Reads what the flags name.
    pub fn load(
        input: &InputArgs,
        connection: &ConnectionFlags,
        needs: Needs,
        namespace: Option<&str>,
    ) -> Result<Self> {
        Self::of(input, needs, read(input, connection, needs, namespace)?)
    }

    /// From what was read.
    pub fn of(input: &InputArgs, needs: Needs, mut snapshot: Snapshot) -> Result<Self> {
        if !input.overlay.is_empty() {
            files::read_onto(&mut snapshot, &input.overlay, needs.read_options(input), Laying::OnTop)?;
        }
        overlay::unfold(&mut snapshot);
        for text in &input.without {
            without(&mut snapshot, text)?;
        }
        for warning in &snapshot.warnings {
            super::say("warning", warning);
        }
        let (release, release_assumed) = match release(input.release.as_deref(), &snapshot)? {
            (_, true) if input.default_release.is_some() => release(input.default_release.as_deref(), &snapshot)?,
            known => known,
        };
        let compiled = compile(&snapshot, release);
        if snapshot.source == Source::Manifests && compiled.payload.is_none() && snapshot.node_trees.is_empty() {
            snapshot.gaps.push(Gap {
                kind: Kind::ClusterVersion,
                namespace: None,
                reason: GapReason::NotInInput,
                message: "no ClusterVersion or ControllerConfig names the payload's image: no exception is made for its repository"
                    .to_string(),
            });
        }
        let hypothetical = !input.overlay.is_empty() || !input.without.is_empty();
        Ok(Self { snapshot, release, release_assumed, compiled, hypothetical })
    }

    /// Compiles anew with what our own MachineConfigs are to bring along; policies that the controller does not read are delivered by
    /// them.
    pub fn deliver(&mut self, delivery: Delivery) {
        self.snapshot.delivery = delivery;
        overlay::deliver_what_is_not_read(&mut self.snapshot, self.release);
        self.compiled = compile(&self.snapshot, self.release);
    }

    /// For commands that need objects.
    pub fn refuse_bare_node_files(&self, command: &str) -> Result<()> {
        if self.snapshot.node_trees.is_empty() || self.snapshot.objects() != 0 {
            return Ok(());
        }
        Err(Error::usage(
            format!("`{command}` needs objects, and these are the files of a node"),
            "look into them with: oc imagepolicy explain -f DIR",
        ))
    }

    /// `--require-complete`
    pub fn require_complete(&self, input: &InputArgs) -> Result<()> {
        if !input.require_complete || self.snapshot.gaps.is_empty() {
            return Ok(());
        }
        let messages: Vec<&str> = self.snapshot.gaps.iter().map(|gap| gap.message.as_str()).collect();
        Err(Error::Incomplete {
            message: format!("the answer is incomplete: {}", messages.join("; ")),
            hint:
                "docs/rbac.yaml has a ClusterRole that is enough; leave --require-complete out to answer all the same"
                    .into(),
        })
    }

    /// The part that every document has.
    pub fn header(&self, of: &str, in_force: Option<InForce>) -> Header {
        let (from, cluster) = match &self.snapshot.source {
            Source::Live(cluster) => ("Live", Some(cluster.clone())),
            Source::MustGather | Source::Manifests => ("Files", None),
        };
        Header {
            source: SourceDoc {
                from,
                cluster,
                release: self.release.to_string(),
                release_assumed: self.release_assumed,
                // The files of a node are the only truth there is.
                of: if self.snapshot.node_trees.is_empty() { of } else { "node" }.to_string(),
                in_force,
            },
            gaps: self.snapshot.gaps.clone(),
            notes: self.notes().map(|note| note.text.clone()).collect(),
            refusals: self.compiled.refusals(),
        }
    }

    /// What the controller drops silently. That the payload is unknown is a gap.
    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        self.compiled.notes.iter().filter(|note| note.kind != NoteKind::PayloadUnknown)
    }

    /// What to do about a gap that no answer can be given with.
    pub fn hint_on(gap: &Gap) -> &'static str {
        match gap.reason {
            GapReason::NotInInput => {
                "ask the cluster itself, without -f, or save all that it has: oc get image.config,clusterimagepolicies,imagepolicies -A -o yaml > cluster.yaml"
            }
            GapReason::Undecodable => "mend the object; `oc explain` tells what its fields may hold",
            _ => "ask somebody who may read it, or get the rights of docs/rbac.yaml",
        }
    }

    /// Gaps to stderr: what could not be read is part of the answer.
    pub fn say_gaps(&self) {
        for gap in &self.snapshot.gaps {
            super::say("incomplete", &gap.message);
        }
    }
}

fn read(input: &InputArgs, connection: &ConnectionFlags, needs: Needs, namespace: Option<&str>) -> Result<Snapshot> {
    let node_files = input.policy.is_some() || input.registries_conf.is_some() || input.registries_d.is_some();
    if input.recursive && input.filename.is_empty() && input.overlay.is_empty() {
        return Err(Error::usage("-R needs a directory", "say which with: -f DIR -R"));
    }
    if node_files {
        let mut snapshot = Snapshot::new(Source::Manifests);
        let mut tree = files::node_files(
            input.policy.as_deref(),
            input.registries_conf.as_deref(),
            input.registries_d.as_deref(),
        )?;
        if input.lacks_policy() {
            // What stands in its place has no say: `explain` gives no verdict then.
            tree.files.insert(POLICY_JSON.to_string(), br#"{"default":[{"type":"reject"}]}"#.to_vec());
        }
        snapshot.node_trees.push(tree);
        return Ok(snapshot);
    }
    if input.example {
        return files::example();
    }
    if !input.filename.is_empty() {
        return files::read(&input.filename, needs.read_options(input));
    }
    let connection = cluster::connect(&ConnectionArgs::from(connection))?;
    cluster::block_on_read(&connection, needs.kinds(), namespace)
}

impl From<&ConnectionFlags> for ConnectionArgs {
    fn from(flags: &ConnectionFlags) -> Self {
        Self {
            kubeconfig: flags.kubeconfig.clone(),
            context: flags.context.clone(),
            cluster: flags.cluster.clone(),
            user: flags.user.clone(),
            server: flags.server.clone(),
            token: flags.token.clone(),
            certificate_authority: flags.certificate_authority.clone(),
            insecure_skip_tls_verify: flags.insecure_skip_tls_verify,
            tls_server_name: flags.tls_server_name.clone(),
            as_user: flags.as_user.clone(),
            as_group: flags.as_group.clone(),
            as_uid: flags.as_uid.clone(),
            request_timeout: flags.request_timeout.clone(),
            chunk_size: flags.chunk_size,
            ..Self::default()
        }
    }
}

/// `--without KIND/NAME` or `KIND/NAMESPACE/NAME`.
pub(super) fn without(snapshot: &mut Snapshot, text: &str) -> Result<()> {
    let (kind, namespace, name) = name_of(text)?;
    if snapshot.remove(kind, &namespace, &name) {
        return Ok(());
    }
    Err(Error::usage(format!("--without {text}: there is no such object in what was read"), WITHOUT))
}

const WITHOUT: &str = "name it as in: --without ClusterImagePolicy/NAME or --without ImagePolicy/NAMESPACE/NAME";

/// Kind, namespace (empty for cluster-scoped ones) and name of what `--without` names.
pub(super) fn name_of(text: &str) -> Result<(Kind, String, String)> {
    let mut parts = text.splitn(3, '/');
    let (kind, first, second) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let Some(kind) = Kind::named(kind) else {
        return Err(Error::usage(format!("--without {text}: `{kind}` is not a kind that is read here"), WITHOUT));
    };
    let (namespace, name) = match (kind.info().namespaced, first, second) {
        (true, Some(namespace), Some(name)) => (namespace, name),
        (false, Some(name), None) => ("", name),
        _ => return Err(Error::usage(format!("--without {text} does not name an object"), WITHOUT)),
    };
    Ok((kind, namespace.to_string(), name.to_string()))
}

/// That of `--release`, else of the cluster, else the newest, which is an assumption.
pub(super) fn release(asked: Option<&str>, snapshot: &Snapshot) -> Result<(&'static Release, bool)> {
    let parse = |text: &str, place: &str| {
        Release::parse(text)
            .map_err(|message| Error::usage(format!("{place}: {message}"), "name the release with: --release 4.20"))
    };
    if let Some(text) = asked {
        return Ok((parse(text, "--release")?, false));
    }
    let version = snapshot.cluster_version.as_ref().map(|object| object.value.status.desired.version.as_str());
    match version {
        Some(version) if !version.is_empty() => Ok((parse(version, "ClusterVersion/version")?, false)),
        _ => Ok((Release::newest(), true)),
    }
}

/// The part that every document has (interface.md 3).
#[derive(Clone, Debug, Serialize)]
pub struct Header {
    source: SourceDoc,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// What the controller drops silently, and the like.
    pub notes: Vec<String>,
    /// Who will not take it.
    pub refusals: Vec<Refusal>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceDoc {
    from: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    release: String,
    release_assumed: bool,
    of: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_force: Option<InForce>,
}

impl Header {
    /// `OpenShift 4.20`, or that it is assumed.
    pub fn release_in_words(&self) -> String {
        let assumed = if self.source.release_assumed { " (assumed)" } else { "" };
        format!("OpenShift {}{assumed}", self.source.release)
    }

    /// `desired, in force`
    pub fn truth_in_words(&self) -> String {
        let in_force = match self.source.in_force {
            Some(InForce::Yes) => ", in force",
            Some(InForce::No) => ", NOT in force",
            Some(InForce::Unknown) => ", not known whether in force",
            None => "",
        };
        format!("{}{in_force}", self.source.of)
    }

    /// `ImagePolicy[team-x]: forbidden`
    pub fn gaps_in_words(&self) -> String {
        let words = self.gaps.iter().map(|gap| {
            let namespace = gap.namespace.as_ref().map(|namespace| format!("[{namespace}]")).unwrap_or_default();
            let reason = match gap.reason {
                GapReason::Forbidden => "forbidden",
                GapReason::NotInstalled => "not installed",
                GapReason::NotInInput => "not in the input",
                GapReason::Undecodable => "undecodable",
            };
            format!("{}{namespace}: {reason}", gap.kind)
        });
        let mut words: Vec<String> = words.collect();
        words.dedup();
        words.join(", ")
    }
}
