//! IMP401

use std::collections::BTreeMap;

use crate::lint::policies::RELEASES;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::{FieldPath, ObjectRef, Provenance};
use crate::model::reference::ImageReference;
use crate::snapshot::Kind;
use std::sync::Arc;

pub static RULE: Rule = Rule {
    code: 401,
    name: "payload-not-admitted",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[28],
    needs: &[Kind::Image, Kind::ClusterVersion],
    summary: "Nodes reject the release payload: OpenShift's own images.",
    why: "With `allowedRegistries` nodes reject every image that no entry covers, and nobody adds the payload's repositories to the list. Running \
          nodes have their images and go on until something moves: an operator that is rescheduled, a node that is added or rebuilt, the next \
          update. Then OpenShift cannot pull itself. Names count, not places: an entry for the mirror of a disconnected cluster does not cover \
          the payload, which is still asked for by its own name.",
    fix: "Add the payload's repository and that of its components to `allowedRegistries`: `quay.io/openshift-release-dev` holds both.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata:
  name: version
status:
  desired:
    version: 4.20.3
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    allowedRegistries:
      - registry.redhat.io
      - mirror.example.com:8443   # the mirror is not what pods name
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: ClusterVersion
metadata:
  name: version
status:
  desired:
    version: 4.20.3
    image: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
---
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    allowedRegistries:
      - quay.io/openshift-release-dev
      - registry.redhat.io
",
        },
    ],
    check,
};

const ALLOWED: &str = "spec.registrySources.allowedRegistries";

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(payload) = &context.compiled.payload else { return };
    let mut rejected: BTreeMap<String, Vec<Provenance>> = BTreeMap::new();
    let mut witness = None;
    for image in context.platform_images() {
        let Ok(reference) = ImageReference::parse(&image) else { continue };
        if let Some(from) = context.rejected_by(&reference) {
            witness.get_or_insert_with(|| reference.as_str().to_string());
            rejected.entry(reference.name().to_string()).or_insert(from);
        }
    }
    let (Some(witness), Some(from)) = (witness, rejected.values().next().cloned()) else { return };
    let repositories: Vec<&str> = rejected.keys().map(String::as_str).collect();
    let Some(about) = about(context, &from) else { return };
    let list = repositories.iter().map(|repository| shown(repository)).collect::<Vec<_>>().join(", ");
    let message = format!("nodes reject OpenShift's own images: {list}");
    let effect = "operators, updates and new nodes cannot pull what OpenShift is made of, as soon as an image is not on a node already";
    let mut finding = Finding::at(&RULE, &about.object, context.origin(&about.object), &about.path, message)
        .effect(effect)
        .help(help(context, &about, &repositories))
        .witness(witness);
    if let Provenance::Field { object, path } = &payload.from {
        finding = finding.related(object, path, "names the payload");
    }
    findings.push(finding);
}

struct About {
    object: Arc<ObjectRef>,
    path: String,
}

/// The field that rejects; a MachineConfig where its policy.json does.
fn about(context: &Context<'_>, from: &[Provenance]) -> Option<About> {
    let of = |from: &Provenance| match from {
        Provenance::Field { object, path } => Some(About { object: object.clone(), path: path.to_string() }),
        Provenance::File { machine_config: Some(name), .. } => {
            let objects = &context.snapshot.machine_configs;
            let object = objects.iter().find(|object| *object.metadata.name == **name)?;
            Some(About { object: object.reference.clone(), path: "spec.config".to_string() })
        }
        Provenance::File { machine_config: None, .. } | Provenance::Default(_) => None,
    };
    let image = || {
        let image = context.snapshot.image.as_ref()?;
        Some(About { object: image.reference.clone(), path: FieldPath::new(ALLOWED).to_string() })
    };
    // Where the exception for a blocked payload is at work, the payload itself is among those who ask for it.
    let is_image = |about: &About| &*about.object.kind == Kind::Image.name();
    from.iter().filter_map(of).find(is_image).or_else(|| from.iter().find_map(of)).or_else(image)
}

fn help(context: &Context<'_>, about: &About, repositories: &[&str]) -> String {
    let object = &*about.object;
    if &*object.kind == Kind::MachineConfig.name() {
        return format!("let the policy.json of the MachineConfig accept them:\n{}", fix::edit(object));
    }
    if let Some(entry) = context.blocked_entry(&about.path) {
        let command = fix::remove(object, &about.path, entry);
        return format!(
            "unblock it, and write mirrorSourcePolicy: NeverContactSource in its mirror sets to keep nodes away from it:\n{command}"
        );
    }
    let all_are_of_red_hat = repositories.iter().all(|repository| repository.starts_with(RELEASES));
    let entries: Vec<&str> = match all_are_of_red_hat {
        true => vec![RELEASES.trim_end_matches('/')],
        false => repositories.to_vec(),
    };
    let commands: Vec<String> = entries.iter().map(|entry| fix::append(object, ALLOWED, entry)).collect();
    format!("allow them:\n{}", commands.join("\n"))
}
