//! IMP410

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::lint::policies::is_shipped;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::policy::{KeySource, PolicyRequirement, RootOfTrust, Sourced, Transport};
use crate::model::provenance::ObjectRef;
use crate::model::reference::ImageReference;
use crate::snapshot::{Kind, Object, api};

pub static RULE: Rule = Rule {
    code: 410,
    name: "reader-too-old",
    level: Level::Error,
    confidence: Confidence::VersionDependent,
    refused_by: &[],
    releases: "all",
    pitfalls: &[36, 47],
    needs: &[],
    summary: "Something on the nodes is too old to read a policy, or to check the signatures that it asks for.",
    why: "Nodes read policy.json strictly: a key that CRI-O does not know makes the whole file unreadable, and every pull fails, `Unknown key \
          \"pki\"`. PKI and lists of keys (`keyDatas`, `keyPaths`) came with OpenShift 4.19, CRI-O 1.32. Nodes of a paused pool keep the CRI-O that \
          they have while the controller writes what the new release knows. Older skopeo on the nodes, before 1.22.2, moreover fails to check \
          sigstore signatures on operating system images for several architectures, so that updates of nodes stop.",
    fix: "Update the nodes first: end the pause of their pool. Until then use a PublicKey policy, with one key. For operating system images take a \
          newer z-stream and newer boot images.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: signed-by-us
spec:
  scopes:
    - registry.example.com/team
  policy:
    rootOfTrust:
      policyType: PKI
      pki:
        caRootsData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==
        pkiCertificateSubject:
          email: build@example.com
---
apiVersion: v1
kind: Node
metadata:
  name: worker-3        # its pool was paused during the update
status:
  nodeInfo:
    containerRuntimeVersion: cri-o://1.31.4-2.rhaos4.18.git0b1a4a3.el9
",
        },
        Example {
            fires: true,
            release: "4.18",
            manifests: "
apiVersion: config.openshift.io/v1alpha1
kind: ClusterImagePolicy
metadata:
  name: signed-by-us
spec:
  scopes:
    - registry.example.com/team
  policy:
    rootOfTrust:
      policyType: PKI
      pki:
        caRootsData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==
        pkiCertificateSubject:
          email: build@example.com
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: signed-by-us
spec:
  scopes:
    - registry.example.com/team
  policy:
    rootOfTrust:
      policyType: PKI
      pki:
        caRootsData: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==
        pkiCertificateSubject:
          email: build@example.com
---
apiVersion: v1
kind: Node
metadata:
  name: worker-3
status:
  nodeInfo:
    containerRuntimeVersion: cri-o://1.33.2-3.rhaos4.20.git0b1a4a3.el9
",
        },
    ],
    check,
};

/// The first CRI-O that knows PKI and lists of keys, that of 4.19.
const CRI_O: (u32, u32) = (1, 32);
const POLICY_TYPE: &str = "spec.policy.rootOfTrust.policyType";
/// More nodes than these are counted.
const MOST_NAMED: usize = 3;

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let readers = Readers::of(context);
    if readers.is_old() {
        let snapshot = context.snapshot;
        let policies = snapshot.cluster_image_policies.iter().chain(&snapshot.image_policies);
        for policy in policies.filter(|policy| policy.value.spec.policy.root_of_trust.policy_type == "PKI") {
            let advice = "use a PublicKey policy until every node is newer";
            let help = format!("{advice}:\n{}", fix::edit(&policy.reference));
            let finding = Finding::new(&RULE, policy, POLICY_TYPE, readers.message("PKI"));
            findings.push(readers.finished(finding, "pki").help(help));
        }
        of_files(context, &readers, findings);
    }
    operating_system(context, findings);
}

/// Who reads policy.json and is too old for PKI and lists of keys.
struct Readers<'a> {
    /// The release, where it is.
    release: Option<String>,
    nodes: Vec<&'a Object<api::Node>>,
}

impl<'a> Readers<'a> {
    fn of(context: &Context<'a>) -> Self {
        let is_old = |node: &&Object<api::Node>| {
            cri_o(&node.value.status.node_info.container_runtime_version).is_some_and(|version| version < CRI_O)
        };
        Self {
            release: (!context.release.pki).then(|| context.release.to_string()),
            nodes: context.snapshot.nodes.iter().filter(is_old).collect(),
        }
    }

    fn is_old(&self) -> bool {
        self.release.is_some() || !self.nodes.is_empty()
    }

    fn message(&self, what: &str) -> String {
        let mut names: Vec<String> =
            self.nodes.iter().take(MOST_NAMED).map(|node| shown(&node.metadata.name).into_owned()).collect();
        if self.nodes.len() > MOST_NAMED {
            names.push(format!("{} more", self.nodes.len() - MOST_NAMED));
        }
        match &self.release {
            Some(release) => format!("nodes of OpenShift {release} do not know {what}"),
            None => format!("nodes with an older CRI-O do not know {what}: {}", names.join(", ")),
        }
    }

    fn finished(&self, finding: Finding, key: &str) -> Finding {
        let effect = format!(
            "every pull on them fails, of any image: \"invalid policy in \\\"/etc/containers/policy.json\\\": Unknown key \\\"{key}\\\"\""
        );
        let nodes = self.nodes.iter().take(MOST_NAMED);
        nodes.fold(finding.effect(effect), |finding, node| {
            let version = &node.value.status.node_info.container_runtime_version;
            finding.related(&node.reference, "status.nodeInfo.containerRuntimeVersion", shown(version))
        })
    }
}

/// `cri-o://1.31.4-2…` is (1, 31).
fn cri_o(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("cri-o://")?.split(['.', '-', '+']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Of policy.json that MachineConfigs bring along.
fn of_files(context: &Context<'_>, readers: &Readers<'_>, findings: &mut Vec<Finding>) {
    let mut told: BTreeSet<(Arc<ObjectRef>, String)> = BTreeSet::new();
    for group in context.groups() {
        let Some(policy) = group.files.policy.as_ref().map(|file| &file.policy) else { continue };
        let docker = policy.transports.get(&Transport::Docker);
        let lists = docker.into_iter().flat_map(|scopes| scopes.iter().map(|(_, list)| list)).chain([&policy.default]);
        for sourced in lists.flat_map(|list| list.iter()) {
            let Some((key, what)) = new_key(sourced) else { continue };
            let fields = sourced.from.iter().filter_map(|from| context.written(from));
            for (object, path) in fields.filter(|(object, _)| &*object.kind == Kind::MachineConfig.name()) {
                if told.insert((object.clone(), path.clone())) {
                    let finding = Finding::at(
                        &RULE,
                        &object,
                        context.origin(&object),
                        path,
                        readers.message(&format!("{what} in policy.json")),
                    );
                    let help = format!(
                        "write one key, as keyPath or keyData, until every node is newer:\n{}",
                        fix::edit(&object)
                    );
                    findings.push(readers.finished(finding, key).help(help));
                }
            }
        }
    }
}

/// The key of a requirement in policy.json that older nodes do not know, and what it is for.
fn new_key(sourced: &Sourced) -> Option<(&'static str, &'static str)> {
    let PolicyRequirement::SigstoreSigned { root, .. } = &*sourced.requirement else { return None };
    let of_log = |rekor: &KeySource| match rekor {
        KeySource::Paths(_) => Some(("rekorPublicKeyPaths", "lists of Rekor keys")),
        KeySource::Datas(_) => Some(("rekorPublicKeyDatas", "lists of Rekor keys")),
        KeySource::Path(_) | KeySource::Data(_) => None,
    };
    match root {
        RootOfTrust::Pki { .. } => Some(("pki", "PKI")),
        RootOfTrust::Keys { keys: KeySource::Paths(_), .. } => Some(("keyPaths", "lists of keys")),
        RootOfTrust::Keys { keys: KeySource::Datas(_), .. } => Some(("keyDatas", "lists of keys")),
        RootOfTrust::Keys { rekor, .. } => rekor.as_ref().and_then(of_log),
        RootOfTrust::Fulcio { rekor, .. } => of_log(rekor),
    }
}

/// Images of the operating system for several architectures, under a policy.
fn operating_system(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let version = context.snapshot.cluster_version.as_ref();
    let is_multi =
        version.and_then(|version| version.raw.pointer("/status/desired/architecture")).and_then(Value::as_str)
            == Some("Multi");
    let image = context.snapshot.controller_config.as_ref().map(|config| config.value.spec.os_image_url.as_str());
    let Some(image) = image.filter(|image| is_multi && !image.is_empty()) else { return };
    let Ok(reference) = ImageReference::parse(image) else { return };
    let scopes = context.scopes();
    let hit = reference.candidates().find_map(|candidate| scopes.cluster_index.position(&candidate.text()));
    for asked in hit.into_iter().flat_map(|position| scopes.same(position)) {
        let message =
            format!("{} covers the operating system's image, which is for several architectures", shown(asked.scope));
        let effect = "nodes whose skopeo is older than 1.22.2 fail to check it, so that the update of their operating system will likely stop";
        let help = format!(
            "take the newest z-stream before the next update, and newer boot images; see what a node has:\n{}",
            "oc debug node/NODE -- chroot /host skopeo --version"
        );
        // What OpenShift ships is not for anybody to change.
        let level = if is_shipped(asked.policy) { Level::Info } else { Level::Warning };
        findings.push(
            Finding::new(&RULE, asked.policy, asked.path(), message)
                .level(level)
                .effect(effect)
                .help(help)
                .witness(reference.as_str()),
        );
    }
}
