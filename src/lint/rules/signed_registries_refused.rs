//! IMP220

use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix};
use crate::model::provenance::{RefusalReason, RefusedBy};

pub static RULE: Rule = Rule {
    code: 220,
    name: "signed-registries-refused",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[RefusedBy::Plugin],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "signedRegistries contradict themselves or the rest, so that no MachineConfig can be made from them.",
    why: "`signedRegistries` is nobody's field but this program's: no API server and no controller looks at it. What would make a policy that \
          nodes cannot read, or that says two things at once, is refused here, in the manner of the controller: a signed scope inside of a \
          blocked registry, the same scope in two items, a scope or a path that is none. Nodes keep the policy that they have.",
    fix: "Take one side of the contradiction away. One scope takes one keyring; the file may hold several keys, of which one must have signed.",
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
    blockedRegistries: [registry.example.com]
    signedRegistries:
      - sigRequiredRegistriesOrImages: [registry.example.com/team]  # blocked
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
  annotations:
    imagepolicy.openshift.io/signed-registries: |
      - sigRequiredRegistriesOrImages: [registry.example.com/team]
        gpgKeyPath: keys/team.gpg  # not a path on a node
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
    blockedRegistries: [registry.example.com/old]
    signedRegistries:
      - sigRequiredRegistriesOrImages: [registry.example.com, quay.io/team]
        gpgKeyPath: /etc/machine-config-daemon/no-reboot/containers-gpg.pub
",
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let Err(refusals) = &context.compiled.overlay else { return };
    for refusal in refusals.iter().filter(|refusal| refusal.reason == RefusalReason::SignedRegistries) {
        // What only flags say has no object.
        let Some((first, others)) = refusal.causes.split_first() else { continue };
        let effect =
            format!("no MachineConfig can be made, and nodes keep the policy that they have: \"{}\"", refusal.text);
        let help = format!("mend or remove the entry:\n{}", fix::edit(&first.object));
        let mut finding =
            Finding::at(&RULE, &first.object, context.origin(&first.object), &first.path, refusal.text.clone())
                .effect(effect)
                .help(help)
                .refused_by(RefusedBy::Plugin);
        for other in others {
            finding = finding.related(&other.object, &other.path, format!("has {}", crate::lint::shown(&other.value)));
        }
        findings.push(finding);
    }
}
