//! IMP101

use std::collections::HashMap;

use crate::lint::keys::{KeyField, Purpose, concerned, decode, fields, witness};
use crate::lint::{Confidence, Context, Example, Finding, Level, Rule, fix};
use crate::model::keys::{KeyProblem, inspect_certificates, inspect_public_key, inspect_rekor_key};
use crate::snapshot::Object;
use crate::snapshot::api::ImagePolicy;

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
    // Many policies have the same key.
    let mut known: HashMap<(&str, Purpose), Option<Problem>, foldhash::fast::RandomState> = HashMap::default();
    for policy in context.policies() {
        for field in fields(policy) {
            let problem = known.entry((field.data, field.purpose)).or_insert_with(|| problem(&field));
            // What the API server refuses is IMP111's.
            if let Some(problem) = problem
                && !context.api_refuses(&policy.reference, field.path)
            {
                findings.push(finding(context, policy, &field, problem));
            }
        }
    }
}

/// What is wrong with a field.
enum Problem {
    /// Nodes can use nothing of it.
    Whole(KeyProblem),
    /// Nodes use the first key, and pass over the others.
    OnlyFirst,
    /// Nodes pass over one of several certificates.
    One(KeyProblem),
}

fn finding(context: &Context<'_>, policy: &Object<ImagePolicy>, field: &KeyField<'_>, problem: &Problem) -> Finding {
    let (name, concerned) = (field.name(), concerned(policy));
    let command = fix::set_to_file(&policy.reference, field.path, field.file());
    let finding = |message: String| Finding::new(&RULE, policy, field.path, message);
    let finding = match problem {
        Problem::Whole(problem) => {
            let advice = problem.help().unwrap_or("give the key that the images are really signed with");
            finding(format!("{name} {problem}"))
                .effect(format!(
                    "no signature can satisfy the policy: every pull of {concerned} fails, signed or not"
                ))
                .help(format!("{advice}\n{command}"))
        }
        Problem::OnlyFirst => finding(format!("{name} holds more than one PEM block, and nodes read only the first"))
            .level(Level::Warning)
            .effect(format!("a signature by any key but the first is not good enough for {concerned}"))
            .help(format!(
                "keep the key that the images are signed with; to change keys, sign with both first, then put the new one in:\n{command}"
            )),
        Problem::One(problem) => finding(format!("a certificate in {name} cannot be used: it {problem}"))
            .level(Level::Warning)
            .effect(format!(
                "nodes pass over it without a word: what it issued is not good enough for {concerned}"
            ))
            .help(format!("put in the certificates as the authority gave them:\n{command}")),
    };
    Finding { witness: witness(context, policy), ..finding }
}

/// `None` for what is fine, for what is no base64 or is empty, which others refuse, and for what is unsafe, which is IMP102's.
fn problem(field: &KeyField<'_>) -> Option<Problem> {
    use KeyProblem::{CannotVerify, PrivateKey, TextAfter, UnknownAlgorithm, UnknownCurve};
    let bytes = decode(field.data)?;
    let inspected = match field.purpose {
        Purpose::Key | Purpose::RekorKey => {
            let inspect = if field.purpose == Purpose::Key { inspect_public_key } else { inspect_rekor_key };
            inspect(&bytes).map(|key| key.more_blocks.then_some(Problem::OnlyFirst))
        }
        Purpose::Fulcio | Purpose::Roots => inspect_certificates(&bytes).map(|certificates| {
            let skipped = certificates.skipped.into_iter().find(|problem| *problem != TextAfter);
            skipped.map(Problem::One)
        }),
        Purpose::Intermediates => {
            inspect_certificates(&bytes).map(|certificates| certificates.skipped.into_iter().next().map(Problem::Whole))
        }
    };
    match inspected {
        Ok(problem) => problem,
        Err(PrivateKey | UnknownCurve(_) | UnknownAlgorithm(_) | CannotVerify(_)) => None,
        Err(problem) => Some(Problem::Whole(problem)),
    }
}
