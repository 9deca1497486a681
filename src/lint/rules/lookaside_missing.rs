//! IMP318

use crate::lint::gpg::{Demand, image_below, together};
use crate::lint::nodes::in_words;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::node_files::{DEFAULT_LOOKASIDE, SHIPPED_LOOKASIDES};
use crate::model::reference::ImageReference;
use crate::resolve::Resolver;

pub static RULE: Rule = Rule {
    code: 318,
    name: "lookaside-missing",
    level: Level::Warning,
    confidence: Confidence::Heuristic,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "A GPG signature is required for images of a place for which nodes know no lookaside.",
    why: "GPG signatures do not lie beside the image in its registry. Nodes take them from the URL that registries.d names as `lookaside` for the \
          place that the image comes from, its mirror where it has one. Where there is none, they look into the folder \
          `/var/lib/containers/sigstore` of their own disk, into which nobody puts anything: every image is rejected. RHCOS ships the \
          lookasides of `registry.redhat.io` and `registry.access.redhat.com`. A registry may hand out signatures by itself \
          (`X-Registry-Supports-Signatures`), as OpenShift's internal one does; whether yours does cannot be seen from here.",
    fix: "Name the place of the signatures: `oc imagepolicy apply` writes a file of registries.d for `--lookaside SCOPE=URL`. A mirror needs its own.",
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
    signedRegistries:
      - sigRequiredRegistriesOrImages: [registry.example.com/team]
        gpgKeyPath: /etc/machine-config-daemon/no-reboot/containers-gpg.pub
",
        },
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
    signedRegistries:
      - sigRequiredRegistriesOrImages: [registry.redhat.io]
        gpgKeyPath: /etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: datacentre
spec:
  imageDigestMirrors:
    - source: registry.redhat.io
      mirrors:
        - mirror.example.com:8443/redhat  # for which there is no lookaside
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
    signedRegistries:
      - sigRequiredRegistriesOrImages: [registry.redhat.io]
        gpgKeyPath: /etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release
",
        },
    ],
    check,
};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// OpenShift's own registry hands out signatures by itself.
const INTERNAL: &str = ".svc:5000";

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let mut lacking = Vec::new();
    let demands = context.gpg_demands();
    // A resolver takes its time, and demands come group by group.
    for demands in demands.chunk_by(|a, b| std::ptr::eq(a.group, b.group)) {
        let Some(first) = demands.first() else { continue };
        let Ok(resolver) = Resolver::new(&first.group.files, None) else { continue };
        for demand in demands.iter().filter(|demand| !demand.scope.is_empty()) {
            // By digest, so that mirrors of every kind count.
            let image = image_below(&demand.scope);
            let by_digest = format!("{}@{DIGEST}", fix::repository(&image).unwrap_or(&image));
            let Ok(reference) = ImageReference::parse(if image == demand.scope { &image } else { &by_digest }) else {
                continue;
            };
            let pull = resolver.pull(&reference);
            let lacks = pull.sources.iter().find(|source| {
                let place = source.reference.to_string();
                let host = place.split('/').next().unwrap_or_default();
                source.lookaside.is_none()
                    && !source.blocked
                    && !SHIPPED_LOOKASIDES.contains(&host)
                    && !host.ends_with(INTERNAL)
            });
            if let Some(source) = lacks {
                let place = source.reference.to_string();
                let place = place.split('@').next().unwrap_or(&place).to_string();
                let key = (demand.object.clone(), demand.path.clone(), demand.scope.clone(), place.clone());
                lacking.push((key, demand.clone(), (place, image)));
            }
        }
    }
    for (demand, (place, image)) in together(lacking) {
        findings.push(finding(context, &demand, &place, image));
    }
}

fn finding(context: &Context<'_>, demand: &Demand<'_>, place: &str, image: String) -> Finding {
    let host = place.split('/').next().unwrap_or(place);
    let scope = demand.place();
    let is_mirror = !demand.scope.starts_with(host) && !demand.scope.starts_with('*');
    let at = if is_mirror { format!(" that come from the mirror {}", shown(host)) } else { String::new() };
    let message = format!("no lookaside is known for GPG signatures of images under {scope}{at}");
    let effect = format!(
        "nodes of {} look into {DEFAULT_LOOKASIDE} and reject them, unless {} supports the API X-Registry-Supports-Signatures: \"Source image \
         rejected: A signature was required, but no signature exists\"",
        in_words(demand.pools.iter().copied()),
        shown(host)
    );
    let key = if is_mirror || demand.scope.starts_with('*') { host } else { &demand.scope };
    let key = fix::repository(key).unwrap_or(key);
    let help = format!(
        "name the place of the signatures:\noc imagepolicy apply -f IMAGE.yaml --lookaside {}=https://SIGNATURES/sigstore",
        fix::shell_word(key)
    );
    Finding::at(&RULE, &demand.object, context.origin(&demand.object), &demand.path, message)
        .effect(effect)
        .help(help)
        .witness(image)
}
