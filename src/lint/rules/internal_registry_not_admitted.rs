//! IMP402

use crate::lint::fix::Fix;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::Provenance;
use crate::model::reference::ImageReference;
use crate::snapshot::{Kind, Source};

pub static RULE: Rule = Rule {
    code: 402,
    name: "internal-registry-not-admitted",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[28],
    needs: &[Kind::Image],
    summary: "Nodes reject the cluster's internal image registry.",
    why: "What is built in the cluster, and what image streams with local lookup point to, is pulled from \
          `image-registry.openshift-image-registry.svc:5000`. With `allowedRegistries`, nodes reject it unless an entry covers it, port included: \
          `image-registry.openshift-image-registry.svc` alone does not. Builds succeed and the pods of what was built do not start.",
    fix: "Add `image-registry.openshift-image-registry.svc:5000` to `allowedRegistries`. A cluster whose registry is removed \
          (`managementState: Removed`) does not need it.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    allowedRegistries:
      - quay.io
      - image-registry.openshift-image-registry.svc   # without its port
status:
  internalRegistryHostname: image-registry.openshift-image-registry.svc:5000
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    allowedRegistries:
      - quay.io
      - image-registry.openshift-image-registry.svc:5000
status:
  internalRegistryHostname: image-registry.openshift-image-registry.svc:5000
",
        },
    ],
    check,
};

const USUAL: &str = "image-registry.openshift-image-registry.svc:5000";
const ALLOWED: &str = "spec.registrySources.allowedRegistries";

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Some(image) = &context.snapshot.image else { return };
    let known = image.value.status.internal_registry_hostname.as_str();
    // Manifests in Git have no status; a cluster without a registry has no name in it.
    let is_assumed = known.is_empty();
    if is_assumed && context.snapshot.source != Source::Manifests {
        return;
    }
    let host = if is_assumed { USUAL } else { known };
    let witness = format!("{host}/team/app:latest");
    let Ok(reference) = ImageReference::parse(&witness) else { return };
    let Some(from) = context.rejected_by(&reference) else { return };
    let field = from.iter().find_map(|from| match from {
        Provenance::Field { object, path } if **object == *image.reference => Some(path.to_string()),
        _ => None,
    });
    // Where a MachineConfig rejects, the Image is not what to mend.
    let Some(path) = field else { return };
    let is_listed = path == ALLOWED;
    let what = if is_listed { "is in no entry of allowedRegistries" } else { "is rejected" };
    let assumed = if is_assumed { ", where this cluster has one," } else { "" };
    let message = format!("the internal registry{assumed} {what}: {}", shown(host));
    let help = match context.blocked_entry(&path) {
        Some(entry) => format!(
            "unblock it:
{}",
            fix::remove(&image.reference, &path, entry)
        ),
        None => format!(
            "allow it:
{}",
            fix::append(&image.reference, ALLOWED, host)
        ),
    };
    let mended = match context.blocked_entry(&path) {
        Some(entry) => Fix::risky(format!("unblock {}", shown(entry))).remove(&image.reference, &path, entry),
        None => Fix::risky("allow it").append(&image.reference, ALLOWED, host),
    };
    let finding = Finding::new(&RULE, image, path, message)
        .fixed_by(mended)
        .effect("pods with images that were built or imported in the cluster cannot start: nodes reject them")
        .help(help)
        .witness(witness);
    findings.push(if is_assumed { finding.level(Level::Warning) } else { finding });
}
