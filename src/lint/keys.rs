//! The keys and certificates of policies, as rules look at them.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use super::{Context, shown};
use crate::model::provenance::ObjectRef;
use crate::snapshot::Object;
use crate::snapshot::api::{ImagePolicy, PolicyRootOfTrust};

/// What stands in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A public key.
    Key,
    /// The public key of Rekor.
    RekorKey,
    /// Certificates of Fulcio: they must have been valid when Rekor saw the signature.
    Fulcio,
    /// Root certificates: they must be valid whenever an image is pulled.
    Roots,
    /// A certificate that cannot be read among them makes every check fail; elsewhere it is passed over.
    Intermediates,
}

/// A field with a key or with certificates.
#[derive(Clone, Copy, Debug)]
pub struct KeyField<'a> {
    /// Such as `spec.policy.rootOfTrust.publicKey.keyData`.
    pub path: &'static str,
    /// Base64, as it is written.
    pub data: &'a str,
    /// What stands in it.
    pub purpose: Purpose,
}

impl KeyField<'_> {
    /// `keyData`
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// A file of the user's that goes into such a field.
    pub fn file(&self) -> &'static str {
        match self.purpose {
            Purpose::Key | Purpose::RekorKey => "cosign.pub",
            Purpose::Fulcio | Purpose::Roots | Purpose::Intermediates => "ca.pem",
        }
    }
}

/// The fields that the policy's type makes use of.
pub fn fields(policy: &Object<ImagePolicy>) -> impl Iterator<Item = KeyField<'_>> {
    let root = &policy.value.spec.policy.root_of_trust;
    all_fields(root).into_iter().filter(|(policy_type, _)| *policy_type == root.policy_type).map(|(_, field)| field)
}

/// Every field, whatever the policy's type.
pub fn every_field(policy: &Object<ImagePolicy>) -> impl Iterator<Item = KeyField<'_>> {
    all_fields(&policy.value.spec.policy.root_of_trust).into_iter().map(|(_, field)| field)
}

fn all_fields(root: &PolicyRootOfTrust) -> Vec<(&'static str, KeyField<'_>)> {
    let mut fields = Vec::new();
    let mut add = |policy_type, path, data, purpose| fields.push((policy_type, KeyField { path, data, purpose }));
    if let Some(key) = &root.public_key {
        let path = "spec.policy.rootOfTrust.publicKey.keyData";
        add("PublicKey", path, key.key_data.as_str(), Purpose::Key);
        let path = "spec.policy.rootOfTrust.publicKey.rekorKeyData";
        add("PublicKey", path, &key.rekor_key_data, Purpose::RekorKey);
    }
    if let Some(fulcio) = &root.fulcio_ca_with_rekor {
        let path = "spec.policy.rootOfTrust.fulcioCAWithRekor.fulcioCAData";
        add("FulcioCAWithRekor", path, &fulcio.fulcio_ca_data, Purpose::Fulcio);
        let path = "spec.policy.rootOfTrust.fulcioCAWithRekor.rekorKeyData";
        add("FulcioCAWithRekor", path, &fulcio.rekor_key_data, Purpose::RekorKey);
    }
    if let Some(pki) = &root.pki {
        add("PKI", "spec.policy.rootOfTrust.pki.caRootsData", &pki.ca_roots_data, Purpose::Roots);
        let path = "spec.policy.rootOfTrust.pki.caIntermediatesData";
        add("PKI", path, &pki.ca_intermediates_data, Purpose::Intermediates);
    }
    fields
}

/// As Go reads base64: line ends are passed over, and what is left over in the last character.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// The bytes of a field; nothing for what is no base64 or is empty: others refuse that.
pub fn decode(data: &str) -> Option<Vec<u8>> {
    let bytes = match data.contains(['\r', '\n']) {
        true => BASE64.decode(data.replace(['\r', '\n'], "")),
        false => BASE64.decode(data),
    };
    bytes.ok().filter(|bytes| !bytes.is_empty())
}

/// Whose pulls it is about, in words: `an image under registry.example.com/team and 2 more scopes for pods of namespace shop`.
pub fn concerned(policy: &Object<ImagePolicy>) -> String {
    let whose = match namespace(&policy.reference) {
        "" => String::new(),
        namespace => format!(" for pods of namespace {}", shown(namespace)),
    };
    let under = match policy.value.spec.scopes.as_slice() {
        [scope] => shown(scope).into_owned(),
        [scope, rest @ ..] => {
            format!("{} and {} more scope{}", shown(scope), rest.len(), if rest.len() == 1 { "" } else { "s" })
        }
        [] => "the policy's scopes".to_string(),
    };
    format!("an image under {under}{whose}")
}

/// An image that the policy decides about.
pub fn witness(context: &Context<'_>, policy: &Object<ImagePolicy>) -> Option<String> {
    let scopes = policy.value.spec.scopes.iter();
    scopes.take(20).find_map(|scope| context.scopes().witness(scope, namespace(&policy.reference)))
}

fn namespace(object: &ObjectRef) -> &str {
    object.namespace.as_deref().unwrap_or_default()
}

impl<'a> Context<'a> {
    /// ClusterImagePolicies, then ImagePolicies.
    pub fn policies(&self) -> impl Iterator<Item = &'a Object<ImagePolicy>> {
        self.snapshot.cluster_image_policies.iter().chain(&self.snapshot.image_policies)
    }
}
