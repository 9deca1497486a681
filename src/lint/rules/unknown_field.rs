//! IMP108

use std::sync::Arc;

use crate::admission::{UnknownField, nearest, unknown_fields};
use crate::lint::fix::{Fix, shell_word};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, shown};
use crate::model::private_keys::contains_private_key;
use crate::model::provenance::ObjectRef;
use crate::snapshot::{Kind, Origin};

pub static RULE: Rule = Rule {
    code: 108,
    name: "unknown-field",
    level: Level::Warning,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all",
    pitfalls: &[],
    needs: &[],
    summary: "A field that no release of OpenShift has: a slip of the pen, or the right field in the wrong place.",
    why: "`oc create` and `oc apply` warn of such a field at best; a GitOps controller that applies without validation says nothing, and the API server drops the \
field. The object is there, its other fields have their effect, and the setting that was meant is not made: a registry is not blocked, a mirror not used, \
a signature asked for another identity.",
    fix: "Write the field's name as the API has it, where it has it: `oc explain clusterimagepolicy.spec --recursive` lists all of them.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources:
    blockedRegistrys: [evil.example.org]  # blockedRegistries
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  signedIdentity: {matchPolicy: MatchRepository}  # belongs into spec.policy
  policy:
    rootOfTrust: {policyType: PublicKey, publicKey: {keyData: SOME_KEY}}
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: mirrors}
spec:
  repositoryDigestMirrors:  # the list's name in an ImageContentSourcePolicy
    - source: registry.example.com/team
      mirrors: [mirror.example.net/team]
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster, annotations: {example.com/owner: team}}
spec:
  registrySources:
    blockedRegistries: [evil.example.org]
status:
  anything: is the controllers' own
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    let is_ours = |object: &ObjectRef| {
        let policies = ["Image", "ClusterImagePolicy", "ImagePolicy"];
        policies.contains(&&*object.kind) || MIRROR_SETS.iter().any(|kind| kind.name() == &*object.kind)
    };
    for (object, raw, origin) in context.snapshot.as_written().filter(|(object, ..)| is_ours(object)) {
        for field in unknown_fields(raw) {
            findings.push(finding(object, origin, &field));
        }
    }
}

fn finding(object: &Arc<ObjectRef>, origin: &Origin, field: &UnknownField<'_>) -> Finding {
    let UnknownField { parent, name, value, siblings, known, elsewhere } = field;
    let place = |name: &str| if parent.is_empty() { name.to_string() } else { format!("{parent}.{name}") };
    let is_plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    // A name that is no field's cannot be part of a path.
    let path = if is_plain(name) { place(name) } else { parent.clone() };
    let meant = nearest(name, known).or_else(|| mirror_list(object, parent, name));
    let within = if parent.is_empty() { format!("a {}", object.kind) } else { parent.clone() };
    let message = match (meant, elsewhere) {
        (Some(meant), _) => format!("{within} has no field {}: did you mean {meant}?", shown(name)),
        (None, Some(place)) => format!("{within} has no field {}: it belongs at {place}", shown(name)),
        (None, None) => format!("{within} has no field {}", shown(name)),
    };
    let advice = match (meant, elsewhere) {
        (Some(meant), _) => format!("write {meant}"),
        (None, Some(place)) => format!("write it at {place}"),
        (None, None) => "take it out, or write the field that you mean".to_string(),
    };
    let finding = Finding::at(&RULE, object, origin.clone(), &path, message)
        .effect("the API server drops it without a word, so that it has no effect")
        .help(format!("{advice}; the fields that there are:\n{}", explain(object, parent)));
    let is_fit =
        |meant: &&str| is_plain(name) && !siblings.contains_key(*meant) && !contains_private_key(value.to_string());
    match meant.filter(is_fit) {
        Some(meant) => {
            let what = format!("call it {meant}");
            let fix = if changes_what_is_pulled(meant) { Fix::risky(what) } else { Fix::safe(what) };
            finding.fixed_by(fix.remove(object, &path, (*value).clone()).set(object, &place(meant), (*value).clone()))
        }
        None => finding,
    }
}

const MIRROR_SETS: [Kind; 3] = [Kind::ImageDigestMirrorSet, Kind::ImageTagMirrorSet, Kind::ImageContentSourcePolicy];

/// What a list of mirrors is called in this kind, where it has the name that another kind has for it.
fn mirror_list(object: &ObjectRef, parent: &str, name: &str) -> Option<&'static str> {
    let own = MIRROR_SETS.iter().find(|kind| kind.name() == &*object.kind)?;
    (parent == "spec" && MIRROR_SETS.iter().any(|kind| kind.mirror_list() == name)).then(|| own.mirror_list())
}

/// Whether images that could be pulled may be rejected, or the reverse, when the field has its effect.
fn changes_what_is_pulled(name: &str) -> bool {
    matches!(
        name,
        "allowedRegistries"
            | "imageDigestMirrors"
            | "imageTagMirrors"
            | "repositoryDigestMirrors"
            | "blockedRegistries"
            | "insecureRegistries"
            | "signedRegistries"
            | "registrySources"
            | "mirrorSourcePolicy"
            | "spec"
    )
}

/// `oc explain` of the parent.
fn explain(object: &ObjectRef, parent: &str) -> String {
    let mut place = format!("{}.{parent}", object.kind.to_ascii_lowercase());
    while let Some((start, end)) = place.find('[').zip(place.find(']')).filter(|(start, end)| start < end) {
        place.replace_range(start..=end, "");
    }
    format!("oc explain {} --api-version={}", place.trim_end_matches('.'), shell_word(&object.api_version))
}
