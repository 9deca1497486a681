//! IMP214

use crate::lint::fix::Fix;
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::provenance::{Cause, RefusalReason, RefusedBy};

pub static RULE: Rule = Rule {
    code: 214,
    name: "payload-exception",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Controller],
    releases: "all",
    pitfalls: &[7, 8],
    needs: &[],
    summary: "A blocked registry holds the release payload, and the exception that is made for it stops the controller.",
    why: "Where a blocked registry holds the payload and a mirror can serve it, the machine-config-controller keeps the block and allows the \
          payload's repository, as if `allowedRegistries` listed it and nothing else. Every policy scope must then lie in that one repository, and \
          no scope may lie in the blocked registry: the policy that OpenShift ships from 4.21 on is enough to break that. Two blocked entries \
          around the payload make it allowed twice, which counts as both lists set. In each case the controller writes nothing for any pool.",
    fix: "Do not block the payload's registry. To keep nodes away from it, give its mirror set `mirrorSourcePolicy: NeverContactSource`: it blocks \
          the source in registries.conf only, and leaves the policies alone.",
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
kind: Image
metadata:
  name: cluster
spec:
  registrySources:
    blockedRegistries:
      - quay.io
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: release
spec:
  imageDigestMirrors:
    - source: quay.io/openshift-release-dev/ocp-release
      mirrors:
        - mirror.example.com:8443/openshift/release-images
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.example.com/team   # not in the payload's repository
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
kind: Image
metadata:
  name: cluster
spec: {}
---
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata:
  name: release
spec:
  imageDigestMirrors:
    - source: quay.io/openshift-release-dev/ocp-release
      mirrors:
        - mirror.example.com:8443/openshift/release-images
      mirrorSourcePolicy: NeverContactSource
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata:
  name: team
spec:
  scopes:
    - registry.example.com/team
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
    let payload = context.compiled.payload.as_ref().and_then(|payload| payload.repository.as_deref());
    let payload = shown(payload.unwrap_or_default());
    for (refusal, cause) in context.refusals(&RULE) {
        let blocked: Vec<&Cause> =
            refusal.causes.iter().filter(|cause| cause.path.contains(".blockedRegistries[")).collect();
        let message = match refusal.reason {
            RefusalReason::ScopeOutsideAllowed => format!(
                "{} lies outside of {payload}, which alone is allowed because its registry is blocked",
                shown(&cause.value)
            ),
            RefusalReason::ScopeInsideBlocked => {
                format!("{} lies in a blocked registry that holds the payload", shown(&cause.value))
            }
            _ => format!("more than one entry blocks {payload}, the payload, which counts as both lists set"),
        };
        // About the lists, the first cause is where the payload is named; what is wrong is the block.
        let about = match refusal.reason {
            RefusalReason::AllowedAndBlocked => blocked.first().copied().unwrap_or(cause),
            _ => cause,
        };
        let mut finding = context.refused(&RULE, refusal, about, message);
        let mut command = String::new();
        for entry in blocked {
            let text = context.blocked_entry(&entry.path).unwrap_or(&entry.value);
            if entry != about {
                finding = finding.related(&entry.object, &entry.path, format!("blocks {}", shown(text)));
            }
            // One at a time: what stands behind it in the list moves up.
            if command.is_empty() {
                command = fix::remove(&entry.object, &entry.path, text);
                finding.fix =
                    Some(Fix::risky(format!("unblock {}", shown(text))).remove(&entry.object, &entry.path, text));
            }
        }
        findings.push(finding.help(format!(
            "unblock it, and write mirrorSourcePolicy: NeverContactSource in its mirror set to keep nodes away from it:\n{command}"
        )));
    }
}
