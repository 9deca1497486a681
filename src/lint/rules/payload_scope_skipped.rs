//! IMP408

use crate::compile::NoteKind;
use crate::lint::policies::is_shipped;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, gpg, shown};
use crate::model::provenance::Provenance;
use crate::model::reference::ImageReference;

pub static RULE: Rule = Rule {
    code: 408,
    name: "payload-scope-skipped",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "4.16",
    pitfalls: &[19],
    needs: &[],
    summary: "On 4.16 a scope that holds the release payload's repository is left out: nothing under it needs a signature.",
    why: "The controller of 4.16 protects the payload by leaving out every ClusterImagePolicy scope that contains its repository. Not only the \
          payload, but all that the scope was meant for is then accepted unsigned: `quay.io` covers nothing at all. A condition `ConflictScopes` in \
          the status of the policy is the only sign. From 4.17 on such scopes count.",
    fix: "Write narrower scopes, which do not contain the payload's repository, or update to 4.17.",
    examples: &[
        Example {
            fires: true,
            release: "4.16",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata:
  name: version
status:
  desired:
    version: 4.16.20
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1alpha1
kind: ClusterImagePolicy
metadata:
  name: quay
spec:
  scopes:
    - quay.io   # holds quay.io/openshift-release-dev/ocp-release
    - registry.example.com/team
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
",
        },
        Example {
            fires: false,
            release: "4.16",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata:
  name: version
status:
  desired:
    version: 4.16.20
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1alpha1
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
            release: "4.17",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata:
  name: version
status:
  desired:
    version: 4.17.1
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1alpha1
kind: ClusterImagePolicy
metadata:
  name: quay
spec:
  scopes:
    - quay.io
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let scopes = context.scopes();
    let Some(payload) = &context.compiled.payload else { return };
    let repository = payload.repository.as_deref().unwrap_or(&payload.image);
    for note in context.compiled.notes.iter().filter(|note| note.kind == NoteKind::PayloadScopeSkipped) {
        for cause in &note.causes {
            if scopes.policy(&cause.object).is_some_and(is_shipped) {
                continue;
            }
            let scope = shown(&cause.value);
            let message = format!(
                "{scope} holds the payload's repository {}, so that OpenShift {} leaves it out",
                shown(repository),
                context.release
            );
            let effect =
                format!("nodes need no signature for images under {scope}: {} has no effect there", cause.object);
            let help = format!(
                "take the scope out and write narrower ones, without the payload's repository:\n{}",
                scopes.drop_scope(cause)
            );
            let mut finding =
                Finding::at(&RULE, &cause.object, context.origin(&cause.object), &cause.path, message).effect(effect);
            if let Provenance::Field { object, path } = &payload.from {
                finding = finding.related(object, path, "names the payload");
            }
            // Another scope may ask for a signature all the same.
            let image = gpg::image_below(&cause.value);
            let is_free = |image: &ImageReference| {
                image.candidates().all(|candidate| scopes.cluster_index.position(&candidate.text()).is_none())
            };
            if ImageReference::parse(&image).is_ok_and(|image| is_free(&image)) {
                finding = finding.witness(image);
            }
            findings.push(finding.help(help));
        }
    }
}
