//! IMP409

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::lint::policies::{RELEASES, is_shipped, keys};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::keys::{KeyAlgorithm, inspect_public_key};
use crate::model::policy::{PolicyRequirement, Transport};
use crate::model::provenance::{Cause, ObjectRef};
use crate::model::reference::ImageReference;
use crate::snapshot::{Kind, Object, api};

pub static RULE: Rule = Rule {
    code: 409,
    name: "platform-under-foreign-key",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "4.16 and newer",
    pitfalls: &[41],
    needs: &[Kind::ClusterVersion],
    summary: "A policy asks for a signature on OpenShift's own images with a key that did not sign them.",
    why: "The release payload, the operating system's image and the image that every pod sandbox starts from are signed with OpenShift's own key, or \
          with none. A scope that holds them, such as `quay.io`, asks for a signature that nobody made: nodes reject OpenShift itself. What runs \
          goes on, until an operator is rescheduled, a node is added or rebuilt, or the cluster is updated.",
    fix: "Narrow the scope to the repositories that your key signs. The policy `openshift`, which releases from 4.21 on ship, asks for OpenShift's \
          own key where it is needed.",
    examples: &[
        Example {
            fires: true,
            release: "4.21",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata:
  name: version
status:
  desired:
    version: 4.21.3
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: openshift
  annotations:
    include.release.openshift.io/self-managed-high-availability: \"true\"
spec:
  scopes:
    - quay.io/openshift-release-dev/ocp-release
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: OTHER_KEY
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: quay
spec:
  scopes:
    - quay.io   # holds quay.io/openshift-release-dev/ocp-v4.0-art-dev
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
",
        },
        Example {
            fires: false,
            release: "4.21",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata:
  name: version
status:
  desired:
    version: 4.21.3
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: openshift
  annotations:
    include.release.openshift.io/self-managed-high-availability: \"true\"
spec:
  scopes:
    - quay.io/openshift-release-dev/ocp-release
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: OTHER_KEY
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: quay
spec:
  scopes:
    - quay.io/team
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
",
        },
        Example {
            fires: false,
            release: "4.21",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata:
  name: version
status:
  desired:
    version: 4.21.3
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: openshift
  annotations:
    include.release.openshift.io/self-managed-high-availability: \"true\"
spec:
  scopes:
    - quay.io/openshift-release-dev/ocp-release
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: OTHER_KEY
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: components
spec:
  scopes:
    - quay.io/openshift-release-dev/ocp-v4.0-art-dev   # with the key of the policy openshift
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: OTHER_KEY
",
        },
    ],
    check,
};

/// More are counted.
const MOST_NAMED: usize = 3;

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let shipped = context.snapshot.cluster_image_policies.iter().filter(|policy| is_shipped(policy));
    let official: Vec<_> = shipped.filter_map(keys).collect();
    let is_foreign = |object: &ObjectRef| match context.scopes().policy(object) {
        Some(policy) if is_shipped(policy) => false,
        Some(policy) if official.is_empty() => !may_be_a_copy(policy),
        Some(policy) => keys(policy).is_none_or(|keys| !official.contains(&keys)),
        // A GPG keyring, or what a MachineConfig brings along.
        None => true,
    };
    let mut asked: BTreeMap<(Arc<ObjectRef>, String), BTreeSet<String>> = BTreeMap::new();
    for image in context.platform_images() {
        let Ok(reference) = ImageReference::parse(&image) else { continue };
        for field in who_asks(context, &reference).into_iter().filter(|(object, _)| is_foreign(object)) {
            asked.entry(field).or_default().insert(reference.as_str().to_string());
        }
    }
    for ((object, path), images) in asked {
        let repositories: BTreeSet<&str> = images.iter().map(|image| repository(image)).collect();
        let mut named: Vec<&str> = repositories.iter().copied().take(MOST_NAMED).collect();
        let more = format!("{} more", repositories.len().saturating_sub(MOST_NAMED));
        if repositories.len() > MOST_NAMED {
            named.push(&more);
        }
        let scope = context.scopes().policy(&object).and_then(|policy| {
            let index = path.strip_prefix("spec.scopes[")?.strip_suffix(']')?.parse::<usize>().ok()?;
            policy.value.spec.scopes.get(index)
        });
        let what = scope.map_or("a signature that is asked for here".into(), |scope| shown(scope));
        let message =
            format!("{what} covers OpenShift's own images, which are not signed with this key: {}", named.join(", "));
        let effect = "nodes cannot pull them: updates, new nodes and operators that are rescheduled fail";
        let command = match scope {
            Some(scope) => {
                let cause = Cause { object: object.clone(), path: path.clone(), value: scope.clone() };
                context.scopes().drop_scope(&cause)
            }
            None => fix::edit(&object),
        };
        let help = format!("take it out, and name the repositories that your key signs instead:\n{command}");
        let finding = Finding::at(&RULE, &object, context.origin(&object), path, message).effect(effect).help(help);
        findings.push(match images.first() {
            Some(image) => finding.witness(image),
            None => finding,
        });
    }
}

/// The fields that ask for a signature on an image, wherever nodes go by them.
fn who_asks(context: &Context<'_>, image: &ImageReference<'_>) -> Vec<(Arc<ObjectRef>, String)> {
    if context.compiled.generated.is_err() {
        let scopes = context.scopes();
        // What the controller would write, if it did not refuse something else.
        let hit = image.candidates().find_map(|candidate| {
            let text = candidate.text();
            let is_allowed = || scopes.allowed.position(&text).map(|_| None);
            scopes.cluster_index.position(&text).map(Some).or_else(is_allowed)
        });
        let all = hit.flatten().into_iter().flat_map(|position| scopes.same(position));
        return all.map(|asked| (asked.policy.reference.clone(), asked.path())).collect();
    }
    let mut fields = Vec::new();
    for group in context.groups() {
        let Some(policy) = group.files.policy.as_ref().map(|file| &file.policy) else { continue };
        let docker = policy.transports.get(&Transport::Docker);
        let hit = image.candidates().find_map(|candidate| docker?.get(&candidate.text()));
        let requirements = hit.or_else(|| docker?.get("")).unwrap_or(&policy.default);
        let signed = requirements.iter().filter(|sourced| {
            use PolicyRequirement::{SignedBy, SigstoreSigned};
            matches!(*sourced.requirement, SignedBy { .. } | SigstoreSigned { .. })
        });
        fields.extend(signed.flat_map(|sourced| &sourced.from).filter_map(|from| context.written(from)));
    }
    fields
}

/// Where OpenShift's key is not among the objects, as before 4.21: who asks for signatures on releases alone, and with a key of its
/// kind, has most likely copied it.
fn may_be_a_copy(policy: &Object<api::ImagePolicy>) -> bool {
    let is_of_release = |scope: &String| scope.starts_with(RELEASES);
    let data = policy.value.spec.policy.root_of_trust.public_key.as_ref().map(|key| key.key_data.as_str());
    let key = data.and_then(|data| inspect_public_key(&crate::lint::policies::decoded(data)?).ok());
    policy.value.spec.scopes.iter().all(is_of_release)
        && key.is_some_and(|key| matches!(key.algorithm, KeyAlgorithm::Rsa { bits: 4096 }))
}

fn repository(image: &str) -> &str {
    fix::repository(image).unwrap_or(image)
}
