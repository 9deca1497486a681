//! IMP101

use std::collections::HashMap;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::keys::{KeyProblem, inspect_certificates, inspect_public_key, inspect_rekor_key};
use crate::snapshot::api::ImagePolicy;
use crate::snapshot::{Kind, Object};

pub static RULE: Rule = Rule {
    code: 101,
    name: "key-unreadable",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all that have the policies: 4.16 on",
    pitfalls: &[35],
    needs: &[],
    summary: "A key or certificate that nodes cannot use, though the API server stores it.",
    why: "The API server looks at the first and last line of a PEM block, and `v1alpha1` not even at these; the controller passes on whatever is \
          between them. Only a node reads the key, each time it pulls an image of the policy's scopes. If it cannot, no signature is ever good \
          enough: every pull under these scopes fails, however well the image is signed. A Rekor key must be an ECDSA key.",
    fix: "Put in the file that `cosign generate-key-pair` or your PKI gave you, encoded once: `base64 -w0 <cosign.pub`. Look at what is there now \
          with `openssl pkey -pubin -noout -text`.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: "
# The markers are right, what is between them is not a key.
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
        keyData: LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQQotLS0tLUVORCBQVUJMSUMgS0VZLS0tLS0K
",
        },
        Example {
            fires: true,
            release: "4.18",
            manifests: "
# v1alpha1 does not look at keys at all: this is the text \"foo bar\".
apiVersion: config.openshift.io/v1alpha1
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
        keyData: Zm9vIGJhcg==
",
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: "
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
    let cluster = context.snapshot.cluster_image_policies.iter().map(|policy| (Kind::ClusterImagePolicy, policy));
    let namespaced = context.snapshot.image_policies.iter().map(|policy| (Kind::ImagePolicy, policy));
    // Many policies have the same key.
    let mut known: HashMap<(&str, Purpose), Option<KeyProblem>, foldhash::fast::RandomState> = HashMap::default();
    for (kind, policy) in cluster.chain(namespaced) {
        for Field { path, data, purpose } in fields(policy) {
            let Some(problem) = known.entry((data, purpose)).or_insert_with(|| problem(data, purpose)) else {
                continue;
            };
            // What the API server refuses is IMP111's.
            if !context.api_refuses(&policy.reference, path) {
                findings.push(unusable(context, kind, policy, path, problem));
            }
        }
    }
}

fn unusable(
    context: &Context<'_>,
    kind: Kind,
    policy: &Object<ImagePolicy>,
    path: &'static str,
    problem: &KeyProblem,
) -> Finding {
    let name = path.rsplit('.').next().unwrap_or(path);
    let namespace = Some(policy.metadata.namespace.as_str()).filter(|_| kind == Kind::ImagePolicy);
    let scopes = &policy.value.spec.scopes;
    let whose = namespace.map(|namespace| format!(" for pods of namespace {}", shown(namespace))).unwrap_or_default();
    let under = match scopes.as_slice() {
        [scope] => shown(scope).into_owned(),
        [scope, rest @ ..] => {
            format!("{} and {} more scope{}", shown(scope), rest.len(), if rest.len() == 1 { "" } else { "s" })
        }
        [] => "the policy's scopes".to_string(),
    };
    let effect = format!(
        "no signature can satisfy the policy: every pull of an image under {under}{whose} fails, signed or not"
    );
    let advice = problem.help().unwrap_or("give the key that the images are really signed with");
    // A file of the user's: the shell fills it in.
    let file = if name.ends_with("KeyData") || name == "keyData" { "cosign.pub" } else { "ca.pem" };
    let command = fix::set_to_file(&policy.reference, path, file);
    let finding = Finding::new(&RULE, policy, path, format!("{name} {problem}"))
        .effect(effect)
        .help(format!("{advice}\n{command}"));
    let witness = scopes.iter().find_map(|scope| context.scopes().witness(scope, namespace.unwrap_or_default()));
    match witness {
        Some(image) => finding.witness(image),
        None => finding,
    }
}

/// What stands in a field.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Purpose {
    Key,
    RekorKey,
    Certificates,
    /// A certificate that cannot be read among them makes every check fail; elsewhere it is passed over.
    Intermediates,
}

struct Field<'a> {
    path: &'static str,
    data: &'a str,
    purpose: Purpose,
}

fn fields(policy: &Object<ImagePolicy>) -> Vec<Field<'_>> {
    let root = &policy.value.spec.policy.root_of_trust;
    let mut fields = Vec::new();
    let mut add = |path, data, purpose| fields.push(Field { path, data, purpose });
    match root.policy_type.as_str() {
        "PublicKey" => {
            if let Some(key) = &root.public_key {
                add("spec.policy.rootOfTrust.publicKey.keyData", key.key_data.as_str(), Purpose::Key);
                add("spec.policy.rootOfTrust.publicKey.rekorKeyData", &key.rekor_key_data, Purpose::RekorKey);
            }
        }
        "FulcioCAWithRekor" => {
            if let Some(fulcio) = &root.fulcio_ca_with_rekor {
                let path = "spec.policy.rootOfTrust.fulcioCAWithRekor.fulcioCAData";
                add(path, &fulcio.fulcio_ca_data, Purpose::Certificates);
                let path = "spec.policy.rootOfTrust.fulcioCAWithRekor.rekorKeyData";
                add(path, &fulcio.rekor_key_data, Purpose::RekorKey);
            }
        }
        "PKI" => {
            if let Some(pki) = &root.pki {
                add("spec.policy.rootOfTrust.pki.caRootsData", &pki.ca_roots_data, Purpose::Certificates);
                let path = "spec.policy.rootOfTrust.pki.caIntermediatesData";
                add(path, &pki.ca_intermediates_data, Purpose::Intermediates);
            }
        }
        _ => {}
    }
    fields
}

/// As Go reads base64: line ends are passed over, and what is left over in the last character.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// `None` for what is fine, and for what is no base64 or is empty: others refuse that.
fn problem(data: &str, purpose: Purpose) -> Option<KeyProblem> {
    let bytes = match data.contains(['\r', '\n']) {
        true => BASE64.decode(data.replace(['\r', '\n'], "")),
        false => BASE64.decode(data),
    };
    let bytes = bytes.ok().filter(|bytes| !bytes.is_empty())?;
    match purpose {
        Purpose::Key => inspect_public_key(&bytes).err(),
        Purpose::RekorKey => inspect_rekor_key(&bytes).err(),
        Purpose::Certificates => inspect_certificates(&bytes).err(),
        Purpose::Intermediates => match inspect_certificates(&bytes) {
            Ok(certificates) => certificates.skipped.into_iter().next(),
            Err(problem) => Some(problem),
        },
    }
}
