//! IMP317

use crate::lint::fix::Fix;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::RefusedBy;

pub static RULE: Rule = Rule {
    code: 317,
    name: "mirror-refused",
    level: Level::Error,
    confidence: Confidence::VersionDependent,
    refused_by: &[RefusedBy::Controller],
    releases: "all; wildcard sources to 4.15, every format from 4.16",
    pitfalls: &[],
    needs: &[],
    summary: "A mirror set's source or mirror has a form that the controller refuses.",
    why: "A source is a host, optionally with a port and a path, or a wildcard such as `*.example.com` (from 4.16); a mirror is the same \
without the wildcard; neither has a scheme, a tag or a digest. The API checks most of this for ImageDigestMirrorSets and \
ImageTagMirrorSets, and nothing of it for ImageContentSourcePolicies. The machine-config-controller checks all of it, and stops: no pool gets \
its registries, mirrors, blocks or policies written any more. Only its log says so.",
    fix: "Write the name as `host[:port][/path]`.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: operator.openshift.io/v1alpha1
kind: ImageContentSourcePolicy
metadata: {name: release}
spec:
  repositoryDigestMirrors:
    - source: quay.io/openshift-release-dev/ocp-release
      mirrors: ["https://mirror.example.com/release"]
"#,
        },
        Example {
            fires: true,
            release: "4.15",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: company}
spec:
  imageDigestMirrors:
    - source: "*.example.com"
      mirrors: [mirror.lab.local/company]
"#,
        },
        Example {
            fires: false,
            release: "4.16",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: company}
spec:
  imageDigestMirrors:
    - source: "*.example.com"
      mirrors: [mirror.lab.local/company]
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (refusal, cause) in context.refusals(&RULE) {
        let (text, is_mirror) = (&cause.value, cause.path.contains(".mirrors["));
        let what = if is_mirror { "mirror" } else { "source" };
        let message = format!("{} cannot be a {what}", shown(text));
        let without_scheme = text.split_once("://").map(|(_, rest)| rest.trim_end_matches('/'));
        let bare = without_scheme.or_else(|| fix::repository(text)).filter(|bare| !bare.is_empty());
        let form = "write it as host[:port][/path]";
        let help = match (bare, is_mirror) {
            (Some(bare), _) => format!("{form}:\n{}", fix::replace(&cause.object, &cause.path, text, bare)),
            (None, true) => format!("{form}, or take it out:\n{}", fix::remove(&cause.object, &cause.path, text)),
            (None, false) if text.starts_with("*.") && !context.release.mirror_formats => {
                format!("name the hosts one by one, or update to 4.16; to see the object:\n{}", fix::get(&cause.object))
            }
            (None, false) => format!("{form}; to edit the object:\n{}", fix::edit(&cause.object)),
        };
        let finding = context.refused(&RULE, refusal, cause, message).help(help);
        findings.push(match bare {
            Some(bare) => finding.fixed_by(Fix::correction(&cause.object, &cause.path, text, bare)),
            None => finding,
        });
    }
}
