//! IMP315

use std::collections::{BTreeMap, BTreeSet};

use crate::lint::mirrors::{Place, others};
use crate::lint::policies::Asked;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::go_text::quote;
use crate::model::provenance::ObjectRef;

pub static RULE: Rule = Rule {
    code: 315,
    name: "mirror-may-lack-signatures",
    level: Level::Warning,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "4.17 and later; in 4.16 signatures are not read at mirrors at all (IMP302)",
    pitfalls: &[23],
    needs: &[],
    summary: "Signatures are required of images that come from a mirror, and many tools copy images without their signatures.",
    why: "A node looks for the signature where it gets the image. It takes the image from the first mirror that has it, and when the signature is \
          not beside it there, it rejects the image and does not try the next place. `oc adm release mirror` and `oc image mirror` do not copy \
          signatures; `oc-mirror` of the second version does. The policy that OpenShift 4.21 ships for its own release images makes this the usual \
          way for a disconnected update to fail.",
    fix: "Mirror with `oc-mirror --v2`, or copy the signatures afterwards: the signature of an image is the tag `sha256-<hex digits>.sig` of the same \
          repository. A look at one digest in the mirror shows whether they are there.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: datacentre}
spec:
  imageDigestMirrors:
    - source: registry.example.com/team
      mirrors: ['mirror.example.com:8443/team']
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team/app]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: datacentre}
spec:
  imageDigestMirrors:
    - source: registry.example.com/other
      mirrors: ['mirror.example.com:8443/other']
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team/app]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: SOME_KEY}
",
        },
    ],
    check,
};

/// The mirrors at one host that one policy wants signatures from.
struct Group<'c, 'a> {
    first: &'c Place<'a>,
    asked: Asked<'a>,
    mirrors: BTreeSet<&'a str>,
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    if !context.release.attachments_for_mirrors {
        return;
    }
    let mut groups: BTreeMap<(&ObjectRef, &str), Group<'_, '_>> = BTreeMap::new();
    for place in &context.mirrors().places {
        let Some(asked) = context.signed_source(&place.rule.source) else { continue };
        let new = || Group { first: place, asked, mirrors: BTreeSet::new() };
        let group = groups.entry((&*asked.policy.reference, place.host())).or_insert_with(new);
        group.mirrors.insert(place.mirror);
    }
    for Group { first, asked, mirrors } in groups.into_values() {
        let (mirror, source) = (shown(first.mirror), shown(&first.rule.source));
        let more = match mirrors.len() {
            1 => String::new(),
            more => format!(", nor {} there", others(more, "mirror")),
        };
        let message = format!("the mirror {mirror} may not have the signatures of {source}{more}");
        let effect = format!(
            "nodes that get an image there reject it where its signature was not copied, even if the source has one: {}",
            quote("A signature was required, but no signature exists")
        );
        let help = format!(
            "mirror with oc-mirror --v2, or copy the signature of each digest:\noc image mirror {} {}",
            fix::shell_word(&format!("{}:sha256-<hex>.sig", first.rule.source)),
            fix::shell_word(&format!("{}:sha256-<hex>.sig", first.mirror))
        );
        let mut finding = Finding::new(&RULE, first.set, first.path(), message).effect(effect).help(help).related(
            &asked.policy.reference,
            asked.path(),
            format!("requires a signature for {}", shown(asked.scope)),
        );
        finding.witness = context.scopes().witness(asked.scope, asked.namespace());
        findings.push(finding);
    }
}
