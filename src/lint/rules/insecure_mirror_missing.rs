//! IMP316

use std::collections::BTreeMap;

use crate::lint::mirrors::{Place, host, others};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::scope_index::ScopeIndex;
use crate::snapshot::Kind;

pub static RULE: Rule = Rule {
    code: 316,
    name: "insecure-mirror-missing",
    level: Level::Warning,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "all",
    pitfalls: &[50],
    needs: &[Kind::Image],
    summary: "A source is in insecureRegistries, its mirror is not.",
    why: "`insecureRegistries` speaks of places, not of names: that a source may be contacted without TLS, or with a certificate that nobody knows, \
          says nothing of its mirrors. If the mirror is as insecure as the source, nodes fail there and go on to the source, or fail altogether \
          where the source may not be contacted.",
    fix: "Give the mirror a certificate that nodes know (`additionalTrustedCA`), or add it to `insecureRegistries` as well. If it has a good \
          certificate already, ignore this.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    insecureRegistries: [registry.lab.example.com]
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: lab}
spec:
  imageDigestMirrors:
    - source: registry.lab.example.com/team
      mirrors: ['mirror.lab.example.com:5000/team']
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    insecureRegistries: [registry.lab.example.com, '*.lab.example.com']
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: lab}
spec:
  imageDigestMirrors:
    - source: registry.lab.example.com/team
      mirrors: ['mirror.lab.example.com:5000/team']
",
        },
    ],
    check,
};

const INSECURE: &str = "spec.registrySources.insecureRegistries";

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(image) = &context.snapshot.image else { return };
    let listed = image.value.spec.registry_sources.insecure_registries.as_deref().unwrap_or_default();
    let insecure = ScopeIndex::new(listed.iter().map(String::as_str));
    let mut hosts: BTreeMap<&str, (&Place<'_>, usize, usize)> = BTreeMap::new();
    for place in &context.mirrors().places {
        let Some(of_source) = insecure.containing(&place.rule.source).next() else { continue };
        if !insecure.contains(place.mirror) {
            hosts.entry(place.host()).or_insert((place, of_source, 0)).2 += 1;
        }
    }
    for (place, of_source, mirrors) in hosts.into_values() {
        let (mirror, source) = (shown(place.mirror), shown(&place.rule.source));
        let more = match mirrors {
            1 => String::new(),
            more => format!(", nor {} there", others(more, "mirror")),
        };
        let message = format!("{source} is insecure, and its mirror {mirror} is not in insecureRegistries{more}");
        let effect = "if the mirror has no TLS or an unknown certificate, as the source, nodes cannot pull from it";
        let entry = host(place.mirror);
        let mend =
            fix::Fix::risky("let nodes trust whoever answers at the mirror").append(&image.reference, INSECURE, entry);
        let help = format!(
            "give the mirror a certificate that nodes know, or add it:\n{}",
            fix::append(&image.reference, INSECURE, entry)
        );
        findings.push(
            Finding::new(&RULE, place.set, place.path(), message).effect(effect).help(help).fixed_by(mend).related(
                &image.reference,
                format!("{INSECURE}[{of_source}]"),
                "makes the source insecure",
            ),
        );
    }
}
