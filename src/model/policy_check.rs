//! What a node says of a policy that was put together here, once it is written and the node reads it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::go_text::quote;
use super::policy::{KeySource, Policy, PolicyRequirement, Requirements, RootOfTrust, Sourced, Transport};
use super::policy_read::{FULCIO_NEEDS_REKOR, KEY_TYPES, ONE_KEY_SOURCE, check_identity, unknown};
use super::provenance::Provenance;
use super::scope::is_valid_scope;

/// Something in a policy that a node refuses. One is enough to make the whole file unusable.
#[derive(Clone, Debug)]
pub struct Fault<'p> {
    /// The transport and the scope; `None` for the policy's default.
    pub place: Option<(&'p Transport, Cow<'p, str>)>,
    /// What holds there, with those who asked for it.
    pub requirements: &'p [Sourced],
    /// The node's words, without `invalid policy in …`.
    pub text: String,
}

impl Policy {
    /// Everything that a node refuses, in the order in which it reads the file; it says the first and stops.
    pub fn faults(&self) -> Vec<Fault<'_>> {
        let mut checked = Checked::default();
        let mut faults: Vec<Fault<'_>> = Vec::new();
        let fault = |place, requirements, text| Fault { place, requirements, text };
        faults.extend(checked.list(&self.default).map(|text| fault(None, &*self.default, text)));
        for (transport, scopes) in &self.transports {
            let start = faults.len();
            for (scope, list) in scopes.iter() {
                let wrong = if is_valid_scope(transport, &scope) { checked.list(list) } else { Some(unknown(&scope)) };
                faults.extend(wrong.map(|text| fault(Some((transport, scope)), &**list, text)));
            }
            // Written in this order, and read so.
            faults[start..].sort_by(|a, b| a.place.cmp(&b.place));
        }
        faults
    }

    /// What a node says on reading the policy.
    ///
    /// # Errors
    /// The node's words, without `invalid policy in …`.
    pub fn check(&self) -> Result<(), String> {
        self.faults().into_iter().next().map_or(Ok(()), |fault| Err(fault.text))
    }
}

/// Each shared requirement is looked at once.
#[derive(Default)]
struct Checked(HashMap<*const PolicyRequirement, Option<String>, foldhash::fast::RandomState>);

impl Checked {
    fn list(&mut self, list: &Requirements) -> Option<String> {
        if list.is_empty() {
            return Some("List of verification policy requirements must not be empty".into());
        }
        let mut wrong = |Sourced { requirement, from }: &Sourced| {
            // What stands in a file was read already, where `keyData: ""` is something else than no keyData.
            if from.iter().any(|from| matches!(from, Provenance::File { .. })) {
                return None;
            }
            self.0.entry(Arc::as_ptr(requirement)).or_insert_with(|| check(requirement).err()).clone()
        };
        list.iter().find_map(&mut wrong)
    }
}

/// Of one requirement as the controller writes it: empty texts and empty data are left out.
fn check(requirement: &PolicyRequirement) -> Result<(), String> {
    match requirement {
        PolicyRequirement::InsecureAcceptAnything | PolicyRequirement::Reject => Ok(()),
        PolicyRequirement::SignedBy { key_type, keys, identity } => {
            if !KEY_TYPES.contains(&&**key_type) {
                return Err(format!("Unrecognized keyType value {}", quote(key_type)));
            }
            if matches!(keys, KeySource::Datas(_)) {
                return Err(unknown("keyDatas"));
            }
            identity.as_ref().map_or(Ok(()), check_identity)?;
            if keys.is_empty() {
                return Err(
                    "Exactly one of keyPath, keyPaths and keyData must be specified, none of them present".into()
                );
            }
            Ok(())
        }
        PolicyRequirement::SignedBaseLayer { base_layer_identity } => check_identity(base_layer_identity),
        PolicyRequirement::SigstoreSigned { root, identity } => {
            // A broken member of the root is noticed while reading, the identity only after all members.
            let root = check_root(root);
            if let Err(Wrong::Member(text)) = root {
                return Err(text);
            }
            identity.as_ref().map_or(Ok(()), check_identity)?;
            root.map_err(|wrong| match wrong {
                Wrong::Member(text) | Wrong::Whole(text) => text,
            })
        }
    }
}

enum Wrong {
    Member(String),
    Whole(String),
}

fn check_root(root: &RootOfTrust) -> Result<(), Wrong> {
    let member = |text: &str| Err(Wrong::Member(text.into()));
    let whole = |text: &str| Err(Wrong::Whole(text.into()));
    match root {
        RootOfTrust::Keys { keys, .. } if keys.is_empty() => whole(ONE_KEY_SOURCE),
        RootOfTrust::Keys { .. } => Ok(()),
        RootOfTrust::Fulcio { ca, .. } if !is_one_certificate(ca) => {
            member("At least one of caPath and caData must be specified")
        }
        RootOfTrust::Fulcio { oidc_issuer, .. } if oidc_issuer.is_empty() => member("oidcIssuer not specified"),
        RootOfTrust::Fulcio { subject_email, .. } if subject_email.is_empty() => member("subjectEmail not specified"),
        RootOfTrust::Fulcio { rekor, .. } if rekor.is_empty() => whole(FULCIO_NEEDS_REKOR),
        RootOfTrust::Fulcio { .. } => Ok(()),
        RootOfTrust::Pki { roots, .. } if !is_one_certificate(roots) => {
            member("At least one of caRootsPath and caRootsData must be specified")
        }
        RootOfTrust::Pki { subject_email, subject_hostname, .. } => {
            let is_given = |text: &Option<Box<str>>| text.as_ref().is_some_and(|text| !text.is_empty());
            if is_given(subject_email) || is_given(subject_hostname) {
                Ok(())
            } else {
                member("At least one of subjectEmail, subjectHostname must be specified")
            }
        }
    }
}

fn is_one_certificate(source: &KeySource) -> bool {
    matches!(source, KeySource::Path(_) | KeySource::Data(_)) && !source.is_empty()
}
