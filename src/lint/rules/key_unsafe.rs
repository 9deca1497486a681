//! IMP102

use std::collections::HashMap;

use crate::lint::keys::{KeyField, Purpose, concerned, decode, every_field, fields, witness};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix, shown};
use crate::model::keys::{KeyProblem, PublicKeyInfo, inspect_certificates, inspect_public_key, inspect_rekor_key};
use crate::model::private_keys::contains_private_key;
use crate::snapshot::Object;
use crate::snapshot::api::ImagePolicy;

pub static RULE: Rule = Rule {
    code: 102,
    name: "key-unsafe",
    level: Level::Error,
    confidence: Confidence::Verified,
    refused_by: &[],
    releases: "all that have the policies: 4.16 on",
    pitfalls: &[],
    needs: &[],
    summary: "A private key in the place of a public one, a key so weak that others can make signatures for it, or a key that nodes cannot verify with.",
    why: "Who has the private key can sign whatever they like, and everybody who can read the object, its history in Git or a backup of the cluster has it: \
that key is no proof any more, even after it was taken out. RSA keys of less than 2048 bits and short elliptic curves can be broken with means that \
others have. And there are keys that are neither damaged nor weak, and still of no use: nodes verify with RSA, Ed25519, and ECDSA on the curves of NIST, not with \
secp256k1, DSA or X25519; every pull under such a policy fails.",
    fix: "Make a new key pair with `cosign generate-key-pair`, sign the images with it, and put the file `cosign.pub` into the policy. After a private \
key was pasted: do not use that pair any more for anything.",
    examples: &[
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
# RSA with 1024 bits.
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUlHZk1BMEdDU3FHU0liM0RRRUJBUVVBQTRHTkFEQ0JpUUtCZ1FDOWpXQ0dCV2pWQ3M5djB4cUpXbWhQMnh2QwpHZFpzRlNPdGJKeTlNbEhIN2hMT04yTXU0RkQra2ZmUEEvQSsrbzI4eHRIT0RIYU9iaEZXelpFazkzL1NXOHQrCk1yVWR6dDh6VGxpcWplVTh3RE15S291Y0dJdkgzWlJDT05qNC82QVF6NjNQRWNqZGdpNFZUMEhJVGhFK0x5NFUKbHQ4ODcxMVU2MUR6V2JLZHJRSURBUUFCCi0tLS0tRU5EIFBVQkxJQyBLRVktLS0tLQo=
"#,
        },
        Example {
            fires: true,
            release: "4.20",
            manifests: r#"
# secp256k1, a curve that nodes do not know.
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZZd0VBWUhLb1pJemowQ0FRWUZLNEVFQUFvRFFnQUVOdHFGWTBpQ3VQVDk2aUh5VkFlSXhHLzNZem81ZzY2VgpuRVUyR1lLb0ttL3ZEaWpQMm5USzBUS0kxcSttSXdpUHFkdzFYSzUwMll3cFVZazJVWmxLcXc9PQotLS0tLUVORCBQVUJMSUMgS0VZLS0tLS0K
"#,
        },
        Example {
            fires: true,
            release: "4.18",
            manifests: r#"
# The other file of the key pair: that with the private key.
apiVersion: config.openshift.io/v1alpha1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCih0aGUga2V5KQotLS0tLUVORCBQUklWQVRFIEtFWS0tLS0tCg==
"#,
        },
        Example {
            fires: false,
            release: "4.20",
            manifests: r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey:
        keyData: SOME_KEY
"#,
        },
    ],
    check,
};

fn check(context: &Context<'_>, findings: &mut Vec<Finding>) {
    // Many policies have the same key.
    let mut known: HashMap<(&str, Purpose), Vec<Unsafe>, foldhash::fast::RandomState> = HashMap::default();
    let mut private: HashMap<&str, bool, foldhash::fast::RandomState> = HashMap::default();
    for policy in context.policies() {
        for field in every_field(policy) {
            if *private.entry(field.data).or_insert_with(|| contains_private_key(field.data)) {
                findings.push(finding(context, policy, &field, &Unsafe::Private));
            }
        }
        for field in fields(policy) {
            let found = known.entry((field.data, field.purpose)).or_insert_with(|| unsafe_keys(&field));
            // What the API server refuses is IMP111's.
            if !found.is_empty() && !context.api_refuses(&policy.reference, field.path) {
                findings.extend(found.iter().map(|found| finding(context, policy, &field, found)));
            }
        }
    }
}

/// What is unsafe about a key.
enum Unsafe {
    /// A private key.
    Private,
    /// Half a sentence that says why; and the name of the certificate that it is in.
    Weak(PublicKeyInfo, &'static str, Option<String>),
    /// Nodes do not verify with it; and the certificate.
    NoUse(KeyProblem, Option<String>),
}

fn finding(context: &Context<'_>, policy: &Object<ImagePolicy>, field: &KeyField<'_>, found: &Unsafe) -> Finding {
    let (name, concerned) = (field.name(), concerned(policy));
    let place = |certificate: &Option<String>| match certificate {
        Some(subject) => format!("the key of the certificate {} in {name}", shown(subject)),
        None => name.to_string(),
    };
    let finding = |message: String| Finding::new(&RULE, policy, field.path, message);
    let command = fix::set_to_file(&policy.reference, field.path, field.file());
    let finding = match found {
        Unsafe::Private => finding(format!("{name} holds a private key"))
            .effect(format!(
                "whoever can read the object or a copy of it can make signatures for {concerned}, and no pull that needs this key succeeds"
            ))
            .help(format!(
                "make a new key pair, never use this one again, and put the public half of the new one in:\ncosign generate-key-pair\n{command}"
            )),
        Unsafe::Weak(key, why, certificate) => {
            let what = match certificate {
                Some(_) => format!("{} is {}", place(certificate), key.algorithm),
                None => format!("{name} is a key of {}", key.algorithm),
            };
            finding(format!("{what}: {why}"))
                .effect(format!("somebody else may be able to make signatures that nodes accept for {concerned}"))
                .help(format!(
                    "make a key of ECDSA P-256 or RSA 3072, sign with it, then put it in the place of this one:\n{command}"
                ))
        }
        Unsafe::NoUse(problem, certificate) => finding(format!("{} {problem}", place(certificate)))
            .effect(match certificate {
                None => format!(
                    "no signature can satisfy the policy: every pull of {concerned} fails, signed or not"
                ),
                Some(_) => format!("nothing that it issued is good enough for {concerned}"),
            })
            .help(format!("use a key of ECDSA P-256, RSA or Ed25519, and sign the images with it:\n{command}")),
    };
    Finding { witness: witness(context, policy), ..finding }
}

fn unsafe_keys(field: &KeyField<'_>) -> Vec<Unsafe> {
    use KeyProblem::{CannotVerify, UnknownAlgorithm, UnknownCurve};
    let Some(bytes) = decode(field.data) else { return Vec::new() };
    let judge = |key: Result<PublicKeyInfo, KeyProblem>, certificate: Option<&str>| {
        let certificate = certificate.map(str::to_string);
        match key {
            Ok(key) => key.weakness.map(|why| Unsafe::Weak(key, why, certificate)),
            Err(problem @ (UnknownCurve(_) | UnknownAlgorithm(_) | CannotVerify(_))) => {
                Some(Unsafe::NoUse(problem, certificate))
            }
            // Others tell of those.
            Err(_) => None,
        }
    };
    match field.purpose {
        Purpose::Key => judge(inspect_public_key(&bytes), None).into_iter().collect(),
        Purpose::RekorKey => judge(inspect_rekor_key(&bytes), None).into_iter().collect(),
        Purpose::Fulcio | Purpose::Roots | Purpose::Intermediates => {
            let read = inspect_certificates(&bytes).map(|certificates| certificates.read).unwrap_or_default();
            read.into_iter().filter_map(|certificate| judge(certificate.key, Some(&certificate.subject))).collect()
        }
    }
}
