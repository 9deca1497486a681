//! `oc imagepolicy explain`

mod document;
pub(super) use document::{RefusedLine, capitalised, pools_in_words, print_refusals};
mod stream;

use std::collections::BTreeSet;

use document::{
    Asked, Candidate, Explanation, Explanations, Matched, OneOrMany, PullSourceDoc, Pullable, ScopeGroup, ScopeRow,
    ScopeTable, Searched, VerdictDoc,
};

use super::input::{ConnectionFlags, InputArgs, NamespaceArgs, Of, ScopeArgs};
use super::load::{Loaded, Needs};
use super::views::{Truth, View, truth};
use super::{Answer, OutputArgs};
use crate::compile::in_force::InForce;
use crate::error::Error;
use crate::model::node_files::{NamespaceFile, NodeFiles, POLICY_JSON};
use crate::model::policy::{Requirements, Verdict, verdict};
use crate::model::provenance::{Provenance, Refusal};
use crate::model::reference::ImageReference;
use crate::output::words::Keyrings;
use crate::output::{API_VERSION, Format};
use crate::resolve::{self, Resolution, Resolver};
use crate::snapshot::{Gap, GapReason, Kind, Object, api};

/// Show what is in force: for every scope, or for the images that are named
///
/// Without IMAGE: the table of scopes, and who says so. With IMAGE: what happens when a node pulls it, and which line of which
/// object decides. With `-`: a verdict for each line of stdin.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  # What is in force in the cluster?
  oc imagepolicy explain

  # Why can pods of namespace shop not pull this image?
  oc imagepolicy explain registry.example.com/shop/web:v1 -n shop

  # What would this change do?
  oc imagepolicy explain quay.io/org/app:v1 --overlay change.yaml

  # What do the nodes have now, whatever the objects say?
  oc imagepolicy explain --of rendered --pool worker

  # A verdict for every image in use
  oc get pods -A -o jsonpath='{range .items[*].spec.containers[*]}{.image}{\"\\n\"}{end}' | sort -u | oc imagepolicy explain -

Exit codes: 0 answered, 1 refused or not the verdict of --check, 2 no answer.")]
pub struct Args {
    /// Image names as pods have them, or `-` for one a line on stdin
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Exit with 1 unless every verdict is this one
    #[arg(long, value_enum, value_name = "VERDICT")]
    check: Option<Check>,
    /// With `-o jsonl`: a first line with what the documents have in common
    #[arg(long)]
    header: bool,
    #[command(flatten)]
    scope: ScopeArgs,
    #[command(flatten)]
    namespaces: NamespaceArgs,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Check {
    #[value(name = "AcceptsAnything", alias = "accept")]
    AcceptsAnything,
    #[value(name = "Rejects", alias = "reject")]
    Rejects,
    #[value(name = "RequiresSignature", alias = "signed")]
    RequiresSignature,
}

impl Check {
    fn verdict(self) -> Verdict {
        match self {
            Self::AcceptsAnything => Verdict::AcceptsAnything,
            Self::Rejects => Verdict::Rejects,
            Self::RequiresSignature => Verdict::RequiresSignature,
        }
    }
}

pub fn run(args: Args) -> Answer {
    let from_stdin = args.images.iter().any(|image| image == "-");
    if from_stdin {
        stream::check_flags(&args)?;
    } else if args.header {
        return Err(Error::usage("--header goes with `-` and -o jsonl", "oc imagepolicy explain - -o jsonl --header"));
    }
    for image in args.images.iter().filter(|image| *image != "-") {
        if let Err(error) = ImageReference::parse(image) {
            let hint = "name it as a pod does, such as: oc imagepolicy explain registry.example.com/team/app:v1";
            return Err(Error::usage(format!("`{image}` is not the name of an image: {error}"), hint));
        }
    }
    if args.check.is_some() && args.images.is_empty() {
        return Err(Error::usage("--check needs an image", "oc imagepolicy explain IMAGE --check RequiresSignature"));
    }
    if args.input.lacks_policy() && (from_stdin || args.images.is_empty()) {
        return Err(no_policy());
    }
    let loaded = Loaded::load(&args.input, &args.connection, Needs::Everything, args.namespaces.namespace.as_deref())?;
    let truth = truth(&loaded, &args.scope)?;
    loaded.say_gaps();
    truth.missing.iter().for_each(|missing| super::say("incomplete", missing));
    let answer = if from_stdin {
        stream::run(&args, &loaded, &truth)?
    } else if args.images.is_empty() {
        scope_table(&args, &loaded, &truth)?
    } else {
        images(&args, &loaded, &truth)?
    };
    loaded.require_complete(&args.input)?;
    Ok(answer)
}

/// Which policies of one view are asked about: the cluster's, one namespace's, or all.
fn namespaces(args: &Args, view: &View) -> Vec<Option<String>> {
    if args.namespaces.all_namespaces {
        let own = view.files.namespaces.keys().map(|namespace| Some(namespace.to_string()));
        return std::iter::once(None).chain(own).collect();
    }
    vec![args.namespaces.namespace.clone()]
}

/// Whether something that could not be read could change every verdict.
fn blind<'l>(loaded: &'l Loaded, of: &Of, namespace: Option<&str>) -> Option<&'l Gap> {
    let decides = |kind: Kind, gap_namespace: Option<&str>| match (of, kind) {
        (Of::Desired, Kind::Image | Kind::ClusterImagePolicy) => true,
        (Of::Desired, Kind::ImagePolicy) => {
            namespace.is_some_and(|namespace| gap_namespace.is_none_or(|gap_namespace| gap_namespace == namespace))
        }
        (Of::Rendered | Of::Node(_), Kind::MachineConfig | Kind::MachineConfigPool) => true,
        _ => false,
    };
    // What stands in a gap about all namespaces does not concern one that could be read alone.
    let was_read = |gap: &Gap| {
        let of_namespace = |policy: &Object<api::ImagePolicy>| Some(policy.metadata.namespace.as_str()) == namespace;
        gap.kind == Kind::ImagePolicy
            && gap.namespace.is_none()
            && match gap.reason {
                GapReason::Forbidden => loaded.snapshot.has_read(Kind::ImagePolicy),
                GapReason::NotInInput => loaded.snapshot.image_policies.iter().any(of_namespace),
                GapReason::NotInstalled | GapReason::Undecodable => false,
            }
    };
    loaded.snapshot.gaps.iter().find(|gap| {
        gap.reason != GapReason::NotInstalled && decides(gap.kind, gap.namespace.as_deref()) && !was_read(gap)
    })
}

fn scope_table(args: &Args, loaded: &Loaded, truth: &Truth) -> Answer {
    let blind = blind(loaded, &args.scope.of, args.namespaces.namespace.as_deref());
    let mut groups = Vec::new();
    let mut others: Vec<(String, usize)> = Vec::new();
    // A table that could be wrong is not shown.
    for view in truth.views().iter().filter(|_| blind.is_none()) {
        groups.extend(namespaces(args, view).iter().map(|namespace| scope_group(view, namespace.as_deref())));
        if args.namespaces.namespace.is_none() && !args.namespaces.all_namespaces {
            for (namespace, file) in &view.files.namespaces {
                if others.iter().all(|(other, _)| **other != **namespace) {
                    others.push((namespace.to_string(), differing_scopes(&view.files, file)));
                }
            }
        }
    }
    let node_refuses = groups.iter().any(|group| !group.refusals.is_empty());
    let mut header = loaded.header(&args.scope.of.to_string(), in_force(truth, blind));
    header.refusals = truth.refusals().to_vec();
    groups.iter().flat_map(|group| &group.refusals).for_each(|refusal| add_refusal(&mut header.refusals, refusal));
    let (groups, still_in_force) = if truth.refused() { (Vec::new(), groups) } else { (groups, Vec::new()) };
    let kind = "ScopeTable";
    let table =
        ScopeTable { api_version: API_VERSION, kind, header, groups, still_in_force, counts: counts(loaded), others };
    crate::output::print(&table, args.output.format, &mut args.output.terminal())?;
    args.output.say_refusals(&table.header.refusals);
    match blind {
        Some(gap) => Err(unknown(gap)),
        None => Ok(!truth.refused() && !node_refuses),
    }
}

/// What is desired cannot be compared where it is not known.
fn in_force(truth: &Truth, blind: Option<&Gap>) -> Option<InForce> {
    truth.in_force().map(|answer| if blind.is_some() { InForce::Unknown } else { answer })
}

/// The same node files refuse for the same reason.
fn add_refusal(refusals: &mut Vec<Refusal>, refusal: &Refusal) {
    if refusals.iter().all(|known| known.text != refusal.text) {
        refusals.push(refusal.clone());
    }
}

fn unknown(gap: &Gap) -> Error {
    Error::Incomplete { message: format!("the answer is unknown: {}", gap.message), hint: Loaded::hint_on(gap).into() }
}

fn no_policy() -> Error {
    Error::Incomplete {
        message: "the answer is unknown: no policy.json was given".into(),
        hint: "give it as well, with: --policy FILE".into(),
    }
}

/// `1 ClusterImagePolicy, 2 ImagePolicies, allowedRegistries`
fn counts(loaded: &Loaded) -> String {
    let count = |number: usize, one: &str, many: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {many}")),
    };
    let snapshot = &loaded.snapshot;
    let sources = snapshot.image.as_ref().map(|image| &image.value.spec.registry_sources);
    let has = |list: Option<&Option<Vec<String>>>| list.and_then(Option::as_ref).is_some_and(|list| !list.is_empty());
    let signs = loaded.compiled.overlay().is_some_and(|overlay| !overlay.signed.is_empty());
    let parts = [
        count(snapshot.cluster_image_policies.len(), "ClusterImagePolicy", "ClusterImagePolicies"),
        count(snapshot.image_policies.len(), "ImagePolicy", "ImagePolicies"),
        has(sources.map(|sources| &sources.allowed_registries)).then(|| "allowedRegistries".to_string()),
        has(sources.map(|sources| &sources.blocked_registries)).then(|| "blockedRegistries".to_string()),
        signs.then(|| "signedRegistries".to_string()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn differing_scopes(files: &NodeFiles, file: &NamespaceFile) -> usize {
    match file {
        NamespaceFile::Additions { scopes, .. } => scopes.len(),
        NamespaceFile::Whole(own) => {
            let docker = crate::model::policy::Transport::Docker;
            let cluster = files.policy.as_ref().and_then(|file| file.policy.transports.get(&docker));
            let own = own.policy.transports.get(&docker);
            let same = |scope: &str, list: &Requirements| {
                let requirement = |list: &Requirements| list.iter().map(|s| s.requirement.clone()).collect::<Vec<_>>();
                cluster
                    .and_then(|scopes| scopes.get(scope))
                    .is_some_and(|other| requirement(other) == requirement(list))
            };
            own.map_or(0, |scopes| scopes.iter().filter(|(scope, list)| !same(scope, list)).count())
        }
    }
}

fn scope_group(view: &View, namespace: Option<&str>) -> ScopeGroup {
    let mut group = ScopeGroup {
        pools: view.pools.clone(),
        namespace: namespace.map(str::to_string),
        policy_file: POLICY_JSON.to_string(),
        // Of manifests nobody can tell.
        in_force: view.in_force.unwrap_or(InForce::Unknown),
        default: Requirements::default(),
        scopes: Vec::new(),
        keyrings: Keyrings::of(&view.files),
        refusals: Vec::new(),
    };
    match Resolver::new(&view.files, namespace) {
        Err(refusals) => group.refusals = refusals,
        Ok(resolver) => {
            group.policy_file = resolver.policy_file().to_string();
            group.default = resolver.default_requirements().clone();
            group.scopes = resolver
                .scopes()
                .into_iter()
                .map(|(transport, scope, requirements)| ScopeRow {
                    transport: transport.to_string(),
                    scope: scope.into_owned(),
                    verdict: verdict(&requirements),
                    requirements,
                })
                .collect();
            // What needs attention first: signatures, rejections, then what is let through.
            group.scopes.sort_by(|a, b| {
                let rank = |row: &ScopeRow| match row.verdict {
                    Verdict::RequiresSignature => 0,
                    Verdict::Rejects => 1,
                    Verdict::AcceptsAnything => 2,
                };
                (rank(a), &a.scope, &a.transport).cmp(&(rank(b), &b.scope, &b.transport))
            });
        }
    }
    group
}

fn images(args: &Args, loaded: &Loaded, truth: &Truth) -> Answer {
    let mut items = Vec::new();
    let mut fine = truth.refusals().is_empty();
    let mut gap = None;
    for image in &args.images {
        if truth.refused() {
            items.extend(refused(image, args, truth));
            continue;
        }
        for view in truth.views() {
            for namespace in namespaces(args, view) {
                let blind = blind(loaded, &args.scope.of, namespace.as_deref());
                let mut item =
                    explanation(image, view, namespace.as_deref(), args.namespaces.all_namespaces, blind.is_some());
                if args.input.lacks_policy() {
                    item.forget_policy();
                }
                fine &= item.refusals.is_empty();
                if let Some(check) = args.check {
                    fine &= item.verdict == Some(VerdictDoc::Known(check.verdict()));
                }
                gap = gap.or(blind);
                items.push(item);
            }
        }
    }
    let mut header = loaded.header(&args.scope.of.to_string(), in_force(truth, gap));
    header.refusals = truth.refusals().to_vec();
    items.iter().flat_map(|item| &item.refusals).for_each(|refusal| add_refusal(&mut header.refusals, refusal));
    let one = items.len() == 1;
    let content = match items.pop() {
        Some(item) if one => OneOrMany::One(Box::new(Explanation { refusals: Vec::new(), ..item })),
        last => {
            items.extend(last);
            OneOrMany::Many { items }
        }
    };
    let kind = if one { "Explanation" } else { "ExplanationList" };
    let report = Explanations { api_version: API_VERSION, kind, header, content };
    crate::output::print(&report, args.output.format, &mut args.output.terminal())?;
    args.output.say_refusals(&report.header.refusals);
    match gap {
        Some(gap) => Err(unknown(gap)),
        None if args.input.lacks_policy() => Err(no_policy()),
        None => Ok(fine),
    }
}

/// The controller refuses: there is no desired truth; on a live cluster what each group of pools still has is told.
fn refused(image: &str, args: &Args, truth: &Truth) -> Vec<Explanation> {
    let answer = |namespace: Option<String>| Explanation {
        reference: ImageReference::parse(image).ok().map(|reference| reference.as_str().to_string()),
        namespace,
        ..Explanation::empty(image)
    };
    if truth.views().is_empty() {
        return vec![answer(args.namespaces.namespace.clone())];
    }
    let still = truth.views().iter().flat_map(|view| {
        namespaces(args, view).into_iter().map(|namespace| {
            let still = explanation(image, view, namespace.as_deref(), args.namespaces.all_namespaces, false);
            Explanation { pools: view.pools.clone(), still_in_force: Some(Box::new(still)), ..answer(namespace) }
        })
    });
    still.collect()
}

/// Everything about one image in one view.
fn explanation(image: &str, view: &View, namespace: Option<&str>, all_are_asked: bool, blind: bool) -> Explanation {
    let mut item = Explanation {
        namespace: namespace.map(str::to_string),
        pools: view.pools.clone(),
        ..Explanation::empty(image)
    };
    match Resolver::new(&view.files, namespace) {
        Err(refusals) => {
            item.reference = ImageReference::parse(image).ok().map(|reference| reference.as_str().to_string());
            item.refusals = refusals;
        }
        Ok(resolver) => {
            describe(&mut item, &resolver, &Keyrings::of(&view.files), blind);
            item.why_this_file = why_this_file(&view.files, namespace);
            item.delivered_by = item.policy_file.as_ref().and_then(|file| view.ours.get(file)).cloned();
            if namespace.is_none() && !all_are_asked && !blind {
                item.differs_in = differing_namespaces(image, view, &resolver);
            }
        }
    }
    item
}

/// Fills in what a resolver says.
fn describe(item: &mut Explanation, resolver: &Resolver<'_>, keyrings: &Keyrings, blind: bool) {
    let image = item.image.clone();
    let resolution = match resolver.resolve(&image) {
        Ok(resolution) => resolution,
        Err(error) => {
            item.error = Some(error.to_string());
            return;
        }
    };
    item.reference = Some(resolution.reference.as_str().to_string());
    if blind {
        // What is known could mislead: nothing of it is told.
        item.verdict = Some(VerdictDoc::UNKNOWN);
        item.pullable = Some(Pullable { answer: "Unknown", reason: None });
        return;
    }
    item.policy_file = Some(resolver.policy_file().to_string());
    item.verdict = Some(VerdictDoc::Known(resolution.verdict()));
    item.matched = Some(matched(&resolution.matched()));
    item.candidates = candidates(&resolution);
    item.requirements = Asked { list: resolution.requirements().cloned().collect(), keyrings: keyrings.clone() };
    item.pullable = Some(pullable(resolution.pull.obstacle.as_deref()));
    item.pull_sources = resolution
        .pull
        .sources
        .iter()
        .map(|source| PullSourceDoc {
            reference: source.reference.to_string(),
            insecure: source.insecure,
            blocked: source.blocked,
            sigstore_attachments: source.sigstore_attachments,
            lookaside: source.lookaside.map(str::to_string),
        })
        .collect();
    item.searched = resolver
        .search(&image)
        .into_iter()
        .map(|searched| Searched {
            reference: searched.reference.to_string(),
            verdict: VerdictDoc::Known(searched.verdict),
            matched: matched(&searched.matched),
            pullable: pullable(searched.obstacle.as_deref()),
        })
        .collect();
}

fn matched(matched: &resolve::Matched<'_>) -> Matched {
    match matched {
        resolve::Matched::Scope(scope) => Matched::Scope { transport: "docker".into(), scope: scope.to_string() },
        resolve::Matched::Default => Matched::Default { default: true },
    }
}

fn candidates(resolution: &Resolution<'_>) -> Vec<Candidate> {
    let tried = resolution.candidates().into_iter();
    tried.map(|(scope, matched)| Candidate { transport: "docker".into(), scope: scope.into_owned(), matched }).collect()
}

fn pullable(obstacle: Option<&str>) -> Pullable {
    match obstacle {
        Some(reason) => Pullable { answer: "No", reason: Some(reason.to_string()) },
        None => Pullable { answer: "Yes", reason: None },
    }
}

fn why_this_file(files: &NodeFiles, namespace: Option<&str>) -> String {
    let Some(namespace) = namespace else { return String::new() };
    match files.namespaces.get(namespace) {
        None => format!("since namespace {namespace} has no policy of its own"),
        Some(NamespaceFile::Whole(_)) => "which replaces policy.json for this namespace".to_string(),
        Some(NamespaceFile::Additions { scopes, .. }) => {
            let objects: BTreeSet<String> = scopes
                .values()
                .flat_map(|list| list.iter())
                .flat_map(|sourced| &sourced.from)
                .filter_map(|from| match from {
                    Provenance::Field { object, .. } => {
                        Some(format!("{}/{}", object.namespace.as_deref().unwrap_or_default(), object.name))
                    }
                    _ => None,
                })
                .collect();
            let cover = if objects.len() == 1 { "covers" } else { "cover" };
            let kind = if objects.len() == 1 { "ImagePolicy" } else { "ImagePolicies" };
            let objects: Vec<String> = objects.into_iter().collect();
            format!("because {kind} {} {cover} this namespace", objects.join(", "))
        }
    }
}

/// Namespaces whose own policy asks for something else for this image.
fn differing_namespaces(image: &str, view: &View, cluster_wide: &Resolver<'_>) -> Vec<String> {
    let Ok(here) = cluster_wide.resolve(image) else { return Vec::new() };
    let asked: Vec<_> = here.requirements().map(|sourced| sourced.requirement.clone()).collect();
    let differs = |namespace: &str| match Resolver::new(&view.files, Some(namespace)) {
        Err(_) => true,
        Ok(resolver) => resolver
            .resolve(image)
            .is_ok_and(|there| there.requirements().map(|sourced| &sourced.requirement).ne(asked.iter())),
    };
    view.files.namespaces.keys().filter(|namespace| differs(namespace)).map(ToString::to_string).collect()
}

fn is_lines(format: Format) -> bool {
    matches!(format, Format::Table | Format::Wide | Format::Name)
}
