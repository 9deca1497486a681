//! IMP306

use std::collections::HashMap;

use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};

pub static RULE: Rule = Rule {
    code: 306,
    name: "icsp-beside-idms",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "An ImageContentSourcePolicy stands beside ImageDigestMirrorSets.",
    why: "ImageContentSourcePolicy is the old name of ImageDigestMirrorSet. The controller merges both: mirrors of one source come in an order that \
          neither object shows, and an ImageContentSourcePolicy always counts as `AllowContactingSource`, so that a `NeverContactSource` for the \
          same source in an ImageDigestMirrorSet stops the controller. Who reads only one kind sees half of the mirrors.",
    fix: "Turn the ImageContentSourcePolicy into an ImageDigestMirrorSet with `oc adm migrate icsp`, apply it, and delete the old object. Nodes see \
          no difference as long as the new one is there before the old one goes.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: operator.openshift.io/v1alpha1
kind: ImageContentSourcePolicy
metadata: {name: old}
spec:
  repositoryDigestMirrors:
    - source: registry.redhat.io
      mirrors: [mirror.example.com/redhat]
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: new}
spec:
  imageDigestMirrors:
    - source: quay.io/team
      mirrors: [mirror.example.com/team]
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: operator.openshift.io/v1alpha1
kind: ImageContentSourcePolicy
metadata: {name: old}
spec:
  repositoryDigestMirrors:
    - source: registry.redhat.io
      mirrors: [mirror.example.com/redhat]
---
apiVersion: config.openshift.io/v1
kind: ImageTagMirrorSet
metadata: {name: tags}
spec:
  imageTagMirrors:
    - source: quay.io/team
      mirrors: [mirror.example.com/team]
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let new = &context.snapshot.digest_mirror_sets;
    let Some(first) = new.first() else { return };
    if context.snapshot.content_source_policies.is_empty() {
        return;
    }
    let mut sources = HashMap::new();
    for set in new {
        for (index, rule) in set.value.spec.mirrors.iter().enumerate() {
            sources.entry(rule.source.as_str()).or_insert((set, index));
        }
    }
    for old in &context.snapshot.content_source_policies {
        let rules = old.value.spec.mirrors.iter().enumerate();
        let shared: Vec<_> =
            rules.filter_map(|(index, rule)| Some((index, *sources.get(rule.source.as_str())?))).take(10).collect();
        let message =
            format!("ImageContentSourcePolicy {} stands beside ImageDigestMirrorSets", shown(&old.metadata.name));
        let effect = match shared.first() {
            Some((index, _)) => {
                let source = old.value.spec.mirrors.get(*index).map(|rule| rule.source.as_str()).unwrap_or_default();
                format!(
                    "the mirrors of {} are merged from both in an order that neither shows; it always counts as AllowContactingSource",
                    shown(source)
                )
            }
            None => "its mirrors and theirs are merged; who reads one kind sees half of them, and later releases may leave the old kind out"
                .to_string(),
        };
        let help = format!(
            "make an ImageDigestMirrorSet of it, apply what is written to the directory idms, then delete the old object:\n{} > icsp.yaml\n\
             oc adm migrate icsp icsp.yaml --dest-dir idms\noc apply -f idms\n{}",
            fix::get(&old.reference),
            fix::delete(&old.reference)
        );
        let mut finding = Finding::new(&RULE, old, "", message).effect(effect).help(help);
        for (_, (set, index)) in &shared {
            finding =
                finding.related(&set.reference, format!("spec.imageDigestMirrors[{index}].source"), "the same source");
        }
        if shared.is_empty() {
            finding = finding.related(&first.reference, "spec.imageDigestMirrors", "an ImageDigestMirrorSet");
        }
        findings.push(finding);
    }
}
