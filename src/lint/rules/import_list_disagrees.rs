//! IMP405

use std::collections::BTreeMap;

use serde_json::Value;

use crate::lint::mirrors::host;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::scope_index::ScopeIndex;
use crate::snapshot::{Kind, Object, api};

pub static RULE: Rule = Rule {
    code: 405,
    name: "import-list-disagrees",
    level: Level::Warning,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[Kind::Image],
    summary: "Users may import images from a registry that nodes do not pull from.",
    why: "`allowedRegistriesForImport` says where users may import images from into image streams, `registrySources` what nodes may pull. Nobody \
          compares them. An import from a registry that nodes reject succeeds, the image stream looks right, and the pods that use it do not \
          start. So it is with a registry that is insecure for imports only.",
    fix: "Write the registry in both lists or in neither.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  allowedRegistriesForImport:
    - domainName: quay.io
    - domainName: registry.example.com
  registrySources:
    allowedRegistries: [quay.io]
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
  allowedRegistriesForImport:
    - domainName: quay.io
    - domainName: registry.example.com
  registrySources:
    allowedRegistries: [quay.io/team, registry.example.com]
",
        },
    ],
    check,
};

const IMPORT: &str = "spec.allowedRegistriesForImport";
const SOURCES: &str = "spec.registrySources";

/// One list of registrySources.
struct List<'a> {
    index: ScopeIndex<'a>,
    /// Hosts that some entry is about, with its position.
    hosts: BTreeMap<&'a str, usize>,
    is_set: bool,
}

impl<'a> List<'a> {
    fn new(list: &'a Option<Vec<String>>) -> Self {
        let entries = || list.iter().flatten().map(String::as_str);
        let hosts = entries().enumerate().map(|(position, entry)| (host(entry), position)).collect();
        Self { index: ScopeIndex::new(entries()), hosts, is_set: entries().next().is_some() }
    }

    /// The entry that a whole registry is in.
    fn around(&self, registry: &str) -> Option<usize> {
        self.index.containing(registry).next()
    }

    fn has_some(&self, registry: &str) -> bool {
        self.around(registry).is_some()
            || self.hosts.contains_key(registry)
            || (registry.starts_with("*.") && !self.index.nested_in(registry).is_empty())
    }
}

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(image) = &context.snapshot.image else { return };
    let sources = &image.value.spec.registry_sources;
    let (allowed, blocked) = (List::new(&sources.allowed_registries), List::new(&sources.blocked_registries));
    let insecure = List::new(&sources.insecure_registries);
    for (position, location) in image.value.spec.allowed_registries_for_import.iter().enumerate() {
        let registry = location.domain_name.as_str();
        // Other patterns mean more than the lists of registrySources can say.
        let plain = registry.strip_prefix("*.").unwrap_or(registry);
        if plain.is_empty() || plain.contains(['*', '?', '/']) {
            continue;
        }
        let path = format!("{IMPORT}[{position}].domainName");
        let name = shown(registry);
        if let Some(entry) = blocked.around(registry) {
            let message = format!("images may be imported from {name}, which nodes do not pull from");
            let finding = rejected(image, position, &path, message);
            findings.push(finding.related(
                &image.reference,
                format!("{SOURCES}.blockedRegistries[{entry}]"),
                "blocks it",
            ));
        } else if allowed.is_set && !allowed.has_some(registry) {
            let message = format!("images may be imported from {name}, which is in no entry of allowedRegistries");
            let list = format!("{SOURCES}.allowedRegistries");
            let mut finding = rejected(image, position, &path, message);
            let allow = fix::append(&image.reference, &list, registry);
            finding.help = format!("allow it for nodes as well:\n{allow}\nor {}", finding.help);
            findings.push(finding.related(&image.reference, list, "the registries that are allowed"));
        } else if location.insecure && !insecure.has_some(registry) {
            let message = format!("{name} is insecure for imports, and not in insecureRegistries");
            let list = format!("{SOURCES}.insecureRegistries");
            let help = match insecure.is_set {
                true => {
                    format!("add it there, or import with TLS:\n{}", fix::append(&image.reference, &list, registry))
                }
                false => format!(
                    "write it in spec.registrySources.insecureRegistries, or import with TLS:\n{}",
                    fix::edit(&image.reference)
                ),
            };
            findings.push(
                Finding::new(&RULE, image, format!("{IMPORT}[{position}].insecure"), message)
                    .effect("imports succeed without TLS or with an unknown certificate, and nodes then fail to pull the image")
                    .help(help)
                    .witness(witness(registry)),
            );
        }
    }
}

fn rejected(image: &Object<api::Image>, position: usize, path: &str, message: String) -> Finding {
    let entry = format!("{IMPORT}[{position}]");
    let written = image.raw.pointer(&fix::pointer(&entry)).cloned().unwrap_or(Value::Null);
    let mend = fix::Fix::risky("take it out of the registries for import").remove(&image.reference, &entry, written);
    let registry =
        image.value.spec.allowed_registries_for_import.get(position).map_or("", |location| &location.domain_name);
    let is_only = image.value.spec.allowed_registries_for_import.len() == 1;
    let (help, mend) = match is_only {
        // An empty list allows every registry.
        true => ("name other registries for import".to_string(), None),
        false => (format!("take it out of the registries for import:\n{}", mend.commands().join("\n")), Some(mend)),
    };
    let mut finding = Finding::new(&RULE, image, path, message)
        .effect("an import from there succeeds, and pods with the imported image do not start: nodes reject it")
        .help(help)
        .witness(witness(registry));
    finding.fix = mend;
    finding
}

fn witness(registry: &str) -> String {
    match registry.strip_prefix('*') {
        Some(suffix) => format!("registry{suffix}/app:latest"),
        None => format!("{registry}/app:latest"),
    }
}
