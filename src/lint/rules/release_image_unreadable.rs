//! IMP414

use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::provenance::RefusedBy;

pub static RULE: Rule = Rule {
    code: 414,
    name: "release-image-unreadable",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Controller],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "The name of the release payload's image cannot be read.",
    why: "The machine-config-controller needs the repository of the payload (`status.desired.image` of ClusterVersion; while a cluster is being \
          installed `spec.releaseImage` of ControllerConfig), so that it never blocks it by accident. It takes a name in full only, such as \
          `quay.io/openshift-release-dev/ocp-release@sha256:…`, and stops with an error on any other.",
    fix: "Name the payload in full, with its digest. In a running cluster nobody but the cluster version operator writes it: look at how the \
          update was asked for (`oc get clusterversion version -o yaml`).",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
apiVersion: config.openshift.io/v1
kind: Image
metadata:
  name: cluster
spec: {}
---
apiVersion: machineconfiguration.openshift.io/v1
kind: ControllerConfig
metadata:
  name: machine-config-controller
spec:
  releaseImage: ocp-release:4.20.3   # the registry is missing
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
spec: {}
---
apiVersion: machineconfiguration.openshift.io/v1
kind: ControllerConfig
metadata:
  name: machine-config-controller
spec:
  releaseImage: quay.io/openshift-release-dev/ocp-release@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    for (refusal, cause) in context.refusals(&RULE) {
        let message = format!("{} is not the name of an image in full", shown(&cause.value));
        let help = match &*cause.object.kind {
            "ClusterVersion" => {
                "see which image the update was asked for by, and name it with registry and digest:\n\
                 oc get clusterversion version -o jsonpath='{.spec.desiredUpdate}{\"\\n\"}'\n\
                 oc adm upgrade --to-image=quay.io/openshift-release-dev/ocp-release@sha256:…"
            }
            _ => {
                "write the payload's image with registry and digest, as this command prints it:\n\
                 oc adm release info --output=jsonpath='{.image}{\"\\n\"}' VERSION"
            }
        };
        findings.push(context.refused(&RULE, refusal, cause, message).help(help));
    }
}
