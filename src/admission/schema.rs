//! The schemas of the kinds as data, and their rules. Source: the CRDs of openshift/api (`payload-manifests/crds`, and for
//! `v1alpha1` `config/v1alpha1/zz_generated.featuregated-crd-manifests`), domain.md 1, and the `api-*` vectors.
//! `status` is left out: a create drops it.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::ApiRule;
use super::formats;
use crate::model::release::{ApiGeneration, Release};

/// What a field must be.
pub(super) struct Schema {
    pub shape: Shape,
    /// Kubernetes takes a list wherever a format is given, and a text where a format is given to a list.
    pub format: Option<Format>,
    /// Whose finding a wrong type, length or pattern is.
    pub rule: ApiRule,
    /// The CEL rules.
    pub checks: &'static [Check],
}

pub(super) enum Shape {
    Object(&'static [Field]),
    List { items: &'static Schema, least: usize, most: usize, set: bool },
    Text { least: usize, most: usize, one_of: &'static [&'static str], pattern: Option<&'static Pattern> },
    Boolean,
}

pub(super) struct Field {
    pub name: &'static str,
    pub required: bool,
    pub schema: &'static Schema,
}

pub(super) struct Format {
    pub name: &'static str,
    pub holds: fn(&str) -> bool,
}

pub(super) struct Pattern {
    /// As the CRD has it, for the message.
    pub text: &'static str,
    pub holds: fn(&str) -> bool,
}

pub(super) struct Check {
    pub rule: ApiRule,
    /// The error is what CEL cannot evaluate.
    pub holds: fn(&Value) -> Result<bool, String>,
    pub message: &'static str,
}

impl Schema {
    /// Whether it or anything below it has a CEL rule.
    pub fn has_checks(&self) -> bool {
        let below = match &self.shape {
            Shape::Object(fields) => fields.iter().any(|field| field.schema.has_checks()),
            Shape::List { items, .. } => items.has_checks(),
            Shape::Text { .. } | Shape::Boolean => false,
        };
        below || !self.checks.is_empty()
    }
}

/// The schema that an object of this version and kind must follow. None where the kind is not checked here.
///
/// A version that the release does not serve is held against the release nearest to it that does.
pub(super) fn schema_of(release: &Release, api_version: &str, kind: &str) -> Option<&'static Schema> {
    let generation = release.api;
    Some(match (api_version, kind) {
        ("config.openshift.io/v1", "Image") if generation >= ApiGeneration::V5_0 => &IMAGE_V5_0,
        ("config.openshift.io/v1", "Image") if generation >= ApiGeneration::V4_18 => &IMAGE_V4_18,
        ("config.openshift.io/v1", "Image") => &IMAGE_V4_14,
        ("config.openshift.io/v1", "ClusterImagePolicy" | "ImagePolicy") if generation >= ApiGeneration::V4_21 => {
            &POLICY_V4_21
        }
        ("config.openshift.io/v1", "ClusterImagePolicy" | "ImagePolicy") => &POLICY_V4_20,
        ("config.openshift.io/v1alpha1", "ClusterImagePolicy" | "ImagePolicy")
            if generation >= ApiGeneration::V4_19 =>
        {
            &POLICY_V4_19
        }
        ("config.openshift.io/v1alpha1", "ClusterImagePolicy" | "ImagePolicy") => &POLICY_V4_16,
        ("config.openshift.io/v1", "ImageDigestMirrorSet") => &DIGEST_MIRRORS,
        ("config.openshift.io/v1", "ImageTagMirrorSet") => &TAG_MIRRORS,
        ("operator.openshift.io/v1alpha1", "ImageContentSourcePolicy") => &CONTENT_SOURCES,
        _ => return None,
    })
}

const PLAIN: Schema = text(0, usize::MAX);

const fn text(least: usize, most: usize) -> Schema {
    let shape = Shape::Text { least, most, one_of: &[], pattern: None };
    Schema { shape, format: None, rule: ApiRule::Field, checks: &[] }
}

const fn one_of(values: &'static [&'static str], rule: ApiRule) -> Schema {
    let shape = Shape::Text { least: 0, most: usize::MAX, one_of: values, pattern: None };
    Schema { shape, format: None, rule, checks: &[] }
}

const fn matching(pattern: &'static Pattern) -> Schema {
    let shape = Shape::Text { least: 0, most: usize::MAX, one_of: &[], pattern: Some(pattern) };
    Schema { shape, format: None, rule: ApiRule::Field, checks: &[] }
}

const fn bytes(least: usize, checks: &'static [Check]) -> Schema {
    Schema { format: Some(Format { name: "byte", holds: formats::is_base64 }), checks, ..text(least, 8192) }
}

const fn list(items: &'static Schema, most: usize, set: bool) -> Schema {
    let shape = Shape::List { items, least: 0, most, set };
    Schema { shape, format: None, rule: ApiRule::Field, checks: &[] }
}

const fn object(fields: &'static [Field], checks: &'static [Check]) -> Schema {
    Schema { shape: Shape::Object(fields), format: None, rule: ApiRule::Field, checks }
}

const fn required(name: &'static str, schema: &'static Schema) -> Field {
    Field { name, required: true, schema }
}

const fn optional(name: &'static str, schema: &'static Schema) -> Field {
    Field { name, required: false, schema }
}

const fn check(holds: fn(&Value) -> Result<bool, String>, message: &'static str) -> Check {
    Check { rule: ApiRule::Field, holds, message }
}

// Image

static IMAGE_V4_14: Schema = object(&[required("spec", &IMAGE_SPEC_V4_14)], &[]);
static IMAGE_V4_18: Schema = object(&[required("spec", &IMAGE_SPEC_V4_18)], &[]);
static IMAGE_V5_0: Schema = object(&[required("spec", &IMAGE_SPEC_V5_0)], &[]);

static IMAGE_SPEC_V4_14: Schema = object(
    &[TRUSTED_CA, IMPORT_REGISTRIES, EXTERNAL_HOSTNAMES, optional("registrySources", &REGISTRY_SOURCES_V4_14)],
    &[],
);
static IMAGE_SPEC_V4_18: Schema = object(
    &[TRUSTED_CA, IMPORT_REGISTRIES, EXTERNAL_HOSTNAMES, optional("registrySources", &REGISTRY_SOURCES_V4_18)],
    &[],
);
static IMAGE_SPEC_V5_0: Schema = object(
    &[TRUSTED_CA, IMPORT_REGISTRIES, EXTERNAL_HOSTNAMES, optional("registrySources", &REGISTRY_SOURCES_V5_0)],
    &[],
);

const TRUSTED_CA: Field = optional("additionalTrustedCA", &CONFIG_MAP_NAME);
static CONFIG_MAP_NAME: Schema = object(&[required("name", &PLAIN)], &[]);
const IMPORT_REGISTRIES: Field = optional("allowedRegistriesForImport", &IMPORT_REGISTRY_LIST);
static IMPORT_REGISTRY_LIST: Schema = list(&REGISTRY_LOCATION, usize::MAX, false);
static REGISTRY_LOCATION: Schema = object(&[optional("domainName", &PLAIN), optional("insecure", &BOOLEAN)], &[]);
static BOOLEAN: Schema = Schema { shape: Shape::Boolean, ..PLAIN };
const EXTERNAL_HOSTNAMES: Field = optional("externalRegistryHostnames", &TEXTS);
static TEXTS: Schema = list(&PLAIN, usize::MAX, false);

static REGISTRY_SOURCES_V4_14: Schema = object(
    &[
        optional("insecureRegistries", &REGISTRIES_V4_14),
        optional("blockedRegistries", &REGISTRIES_V4_14),
        optional("allowedRegistries", &REGISTRIES_V4_14),
        optional("containerRuntimeSearchRegistries", &SEARCH_REGISTRIES),
    ],
    &[],
);
static REGISTRY_SOURCES_V4_18: Schema = object(
    &[
        optional("insecureRegistries", &REGISTRIES_V4_14),
        optional("blockedRegistries", &REGISTRIES_V4_14),
        optional("allowedRegistries", &REGISTRIES_V4_14),
        optional("containerRuntimeSearchRegistries", &SEARCH_REGISTRIES),
    ],
    &[ALLOWED_OR_BLOCKED],
);
static REGISTRY_SOURCES_V5_0: Schema = object(
    &[
        optional("insecureRegistries", &REGISTRIES_V5_0),
        optional("blockedRegistries", &REGISTRIES_V5_0),
        optional("allowedRegistries", &REGISTRIES_V5_0),
        optional("containerRuntimeSearchRegistries", &SEARCH_REGISTRIES),
    ],
    &[ALLOWED_OR_BLOCKED],
);

const ALLOWED_OR_BLOCKED: Check = Check {
    rule: ApiRule::AllowedAndBlocked,
    holds: |sources| Ok(!(has(sources, "blockedRegistries") && has(sources, "allowedRegistries"))),
    message: "Only one of blockedRegistries or allowedRegistries may be set",
};

static REGISTRIES_V4_14: Schema = list(&REGISTRY_V4_14, usize::MAX, false);
static REGISTRY_V4_14: Schema = Schema { rule: ApiRule::RegistryEntry, ..PLAIN };
static REGISTRIES_V5_0: Schema = list(&REGISTRY_V5_0, 1024, false);
pub(super) static REGISTRY_V5_0: Schema = Schema {
    rule: ApiRule::RegistryEntry,
    checks: &[Check {
        rule: ApiRule::RegistryEntry,
        holds: |registry| is_text(registry, formats::is_mirror_source),
        message: "each registry must be a valid hostname[:port][/path] or wildcard *.hostname format without tags or digests",
    }],
    ..text(1, 256)
};
static SEARCH_REGISTRIES: Schema = Schema {
    shape: Shape::List { items: &REGISTRY_V4_14, least: 1, most: usize::MAX, set: true },
    format: Some(Format { name: "hostname", holds: formats::is_hostname }),
    ..PLAIN
};

// ClusterImagePolicy and ImagePolicy

static POLICY_V4_16: Schema = object(&[required("spec", &POLICY_SPEC_V4_16)], &[]);
static POLICY_V4_19: Schema = object(&[required("spec", &POLICY_SPEC_V4_19)], &[]);
static POLICY_V4_20: Schema = object(&[required("spec", &POLICY_SPEC_V4_20)], &[]);
static POLICY_V4_21: Schema = object(&[required("spec", &POLICY_SPEC_V4_21)], &[]);

static POLICY_SPEC_V4_16: Schema = object(&[SCOPES, required("policy", &REQUIREMENT_V4_16)], &[]);
static POLICY_SPEC_V4_19: Schema = object(&[SCOPES, required("policy", &REQUIREMENT_V4_19)], &[]);
static POLICY_SPEC_V4_20: Schema = object(&[SCOPES, required("policy", &REQUIREMENT_V4_20)], &[]);
static POLICY_SPEC_V4_21: Schema = object(&[SCOPES, required("policy", &REQUIREMENT_V4_21)], &[]);

static REQUIREMENT_V4_16: Schema =
    object(&[required("rootOfTrust", &ROOT_V4_16), optional("signedIdentity", &IDENTITY_V1ALPHA1)], &[]);
static REQUIREMENT_V4_19: Schema =
    object(&[required("rootOfTrust", &ROOT_V4_19), optional("signedIdentity", &IDENTITY_V1ALPHA1)], &[]);
static REQUIREMENT_V4_20: Schema =
    object(&[required("rootOfTrust", &ROOT_V4_20), optional("signedIdentity", &IDENTITY_V1)], &[]);
static REQUIREMENT_V4_21: Schema =
    object(&[required("rootOfTrust", &ROOT_V4_21), optional("signedIdentity", &IDENTITY_V1)], &[]);

const SCOPES: Field = required("scopes", &SCOPE_LIST);
static SCOPE_LIST: Schema = list(&SCOPE, 256, true);
pub(super) static SCOPE: Schema = Schema {
    rule: ApiRule::Scope,
    checks: &[
        scope_check(
            |scope| is_text(scope, formats::scope_has_qualified_host),
            "invalid image scope format, scope must contain a fully qualified domain name or 'localhost'",
        ),
        scope_check(
            |scope| is_text(scope, formats::scope_wildcard_is_allowed),
            "invalid image scope with wildcard, a wildcard can only be at the start of the domain and is only supported for subdomain \
             matching, not path matching",
        ),
        scope_check(
            |scope| is_text(scope, formats::scope_is_reference),
            "invalid repository namespace or image specification in the image scope",
        ),
    ],
    ..text(0, 512)
};

const fn scope_check(holds: fn(&Value) -> Result<bool, String>, message: &'static str) -> Check {
    Check { rule: ApiRule::Scope, holds, message }
}

static ROOT_V4_16: Schema = object(
    &[
        required("policyType", &POLICY_TYPE_V4_16),
        optional("publicKey", &PUBLIC_KEY_V1ALPHA1),
        optional("fulcioCAWithRekor", &FULCIO_V1ALPHA1),
    ],
    &[PUBLIC_KEY_MEMBER, FULCIO_MEMBER],
);
static ROOT_V4_19: Schema = object(
    &[
        required("policyType", &POLICY_TYPE_V4_19),
        optional("publicKey", &PUBLIC_KEY_V1ALPHA1),
        optional("fulcioCAWithRekor", &FULCIO_V1ALPHA1),
    ],
    &[PUBLIC_KEY_MEMBER, FULCIO_MEMBER],
);
static ROOT_V4_20: Schema = object(
    &[
        required("policyType", &POLICY_TYPE_V4_19),
        optional("publicKey", &PUBLIC_KEY_V1),
        optional("fulcioCAWithRekor", &FULCIO_V1),
    ],
    &[PUBLIC_KEY_MEMBER, FULCIO_MEMBER],
);
static ROOT_V4_21: Schema = object(
    &[
        required("policyType", &POLICY_TYPE_V4_21),
        optional("publicKey", &PUBLIC_KEY_V1),
        optional("fulcioCAWithRekor", &FULCIO_V1),
        optional("pki", &PKI),
    ],
    &[
        member_check(
            |root| member_goes_with(root, "pki", "policyType", "PKI"),
            "pki is required when policyType is PKI, and forbidden otherwise",
        ),
        PUBLIC_KEY_MEMBER,
        FULCIO_MEMBER,
    ],
);

static POLICY_TYPE_V4_16: Schema = one_of(&["PublicKey", "FulcioCAWithRekor"], ApiRule::RootOfTrust);
// While PKI was behind a gate the generator left the values out, so that any text passed.
static POLICY_TYPE_V4_19: Schema = one_of(&[], ApiRule::RootOfTrust);
static POLICY_TYPE_V4_21: Schema = one_of(&["PublicKey", "FulcioCAWithRekor", "PKI"], ApiRule::RootOfTrust);

const PUBLIC_KEY_MEMBER: Check = member_check(
    |root| member_goes_with(root, "publicKey", "policyType", "PublicKey"),
    "publicKey is required when policyType is PublicKey, and forbidden otherwise",
);
const FULCIO_MEMBER: Check = member_check(
    |root| member_goes_with(root, "fulcioCAWithRekor", "policyType", "FulcioCAWithRekor"),
    "fulcioCAWithRekor is required when policyType is FulcioCAWithRekor, and forbidden otherwise",
);

const fn member_check(holds: fn(&Value) -> Result<bool, String>, message: &'static str) -> Check {
    Check { rule: ApiRule::RootOfTrust, holds, message }
}

static BYTES: Schema = bytes(0, &[]);

static PUBLIC_KEY_V1ALPHA1: Schema = object(&[required("keyData", &BYTES), optional("rekorKeyData", &BYTES)], &[]);
static PUBLIC_KEY_V1: Schema =
    object(&[required("keyData", &KEY_DATA), optional("rekorKeyData", &REKOR_KEY_DATA)], &[]);
static KEY_DATA: Schema = bytes(
    68,
    &[
        check(begins_as_key, "the keyData must start with base64 encoding of '-----BEGIN PUBLIC KEY-----'."),
        check(ends_as_key, "the keyData must end with base64 encoding of '-----END PUBLIC KEY-----'."),
    ],
);
static REKOR_KEY_DATA: Schema = bytes(
    0,
    &[
        check(begins_as_key, "the rekorKeyData must start with base64 encoding of '-----BEGIN PUBLIC KEY-----'."),
        check(ends_as_key, "the rekorKeyData must end with base64 encoding of '-----END PUBLIC KEY-----'."),
    ],
);

static FULCIO_V1ALPHA1: Schema = object(
    &[
        required("fulcioCAData", &BYTES),
        required("rekorKeyData", &BYTES),
        required("fulcioSubject", &FULCIO_SUBJECT_V1ALPHA1),
    ],
    &[],
);
static FULCIO_V1: Schema = object(
    &[
        required("fulcioCAData", &FULCIO_CA_DATA),
        required("rekorKeyData", &REKOR_KEY_DATA),
        required("fulcioSubject", &FULCIO_SUBJECT_V1),
    ],
    &[],
);
static FULCIO_CA_DATA: Schema = bytes(
    0,
    &[
        check(
            begins_as_certificate,
            "the fulcioCAData must start with base64 encoding of '-----BEGIN CERTIFICATE-----'.",
        ),
        check(ends_as_certificate, "the fulcioCAData must end with base64 encoding of '-----END CERTIFICATE-----'."),
    ],
);
static FULCIO_SUBJECT_V1ALPHA1: Schema =
    object(&[required("oidcIssuer", &ISSUER_V1ALPHA1), required("signedEmail", &EMAIL_V1ALPHA1)], &[]);
static FULCIO_SUBJECT_V1: Schema =
    object(&[required("oidcIssuer", &ISSUER_V1), required("signedEmail", &EMAIL_V1)], &[]);
static ISSUER_V1ALPHA1: Schema = Schema { checks: &[IS_URL], ..PLAIN };
static ISSUER_V1: Schema = Schema { checks: &[IS_URL], ..text(0, 2048) };
static EMAIL_V1ALPHA1: Schema = Schema { checks: &[IS_EMAIL], ..PLAIN };
static EMAIL_V1: Schema = Schema { checks: &[IS_EMAIL], ..text(0, 320) };
const IS_URL: Check = check(|issuer| is_text(issuer, formats::is_url), "oidcIssuer must be a valid URL");
const IS_EMAIL: Check = check(|email| is_text(email, formats::is_email), "invalid email address");

static PKI: Schema = object(
    &[
        required("caRootsData", &CA_ROOTS_DATA),
        optional("caIntermediatesData", &CA_INTERMEDIATES_DATA),
        required("pkiCertificateSubject", &PKI_SUBJECT),
    ],
    &[],
);
static CA_ROOTS_DATA: Schema = bytes(
    72,
    &[
        check(
            begins_as_certificate,
            "the caRootsData must start with base64 encoding of '-----BEGIN CERTIFICATE-----'.",
        ),
        check(ends_as_certificate, "the caRootsData must end with base64 encoding of '-----END CERTIFICATE-----'."),
        check(
            has_paired_markers,
            "caRootsData must be base64 encoding of valid PEM format data contain the same number of \
             '-----BEGIN CERTIFICATE-----' and '-----END CERTIFICATE-----' markers.",
        ),
    ],
);
static CA_INTERMEDIATES_DATA: Schema = bytes(
    72,
    &[
        check(
            begins_as_certificate,
            "the caIntermediatesData must start with base64 encoding of '-----BEGIN CERTIFICATE-----'.",
        ),
        check(
            ends_as_certificate,
            "the caIntermediatesData must end with base64 encoding of '-----END CERTIFICATE-----'.",
        ),
        check(
            has_paired_markers,
            "caIntermediatesData must be base64 encoding of valid PEM format data contain the same number of \
             '-----BEGIN CERTIFICATE-----' and '-----END CERTIFICATE-----' markers.",
        ),
    ],
);
static PKI_SUBJECT: Schema = object(
    &[optional("email", &EMAIL_V1), optional("hostname", &SUBJECT_HOSTNAME)],
    &[check(
        |subject| Ok(has(subject, "email") || has(subject, "hostname")),
        "at least one of email or hostname must be set in pkiCertificateSubject",
    )],
);
static SUBJECT_HOSTNAME: Schema = Schema {
    checks: &[check(
        |hostname| is_text(hostname, formats::is_subject_hostname),
        "hostname must be a valid dns 1123 subdomain name, optionally prefixed by '*.'. It must consist only of lowercase alphanumeric \
         characters, hyphens, periods and the optional preceding asterisk.",
    )],
    ..text(0, 253)
};

static IDENTITY_V1ALPHA1: Schema = object(
    &[
        MATCH_POLICY,
        optional("exactRepository", &EXACT_REPOSITORY_V1ALPHA1),
        optional("remapIdentity", &REMAP_IDENTITY_V1ALPHA1),
    ],
    &[EXACT_MEMBER, REMAP_MEMBER],
);
static IDENTITY_V1: Schema = object(
    &[MATCH_POLICY, optional("exactRepository", &EXACT_REPOSITORY_V1), optional("remapIdentity", &REMAP_IDENTITY_V1)],
    &[EXACT_MEMBER, REMAP_MEMBER],
);
const MATCH_POLICY: Field = required("matchPolicy", &MATCH_POLICIES);
static MATCH_POLICIES: Schema =
    one_of(&["MatchRepoDigestOrExact", "MatchRepository", "ExactRepository", "RemapIdentity"], ApiRule::Field);
const EXACT_MEMBER: Check = check(
    |identity| member_goes_with(identity, "exactRepository", "matchPolicy", "ExactRepository"),
    "exactRepository is required when matchPolicy is ExactRepository, and forbidden otherwise",
);
const REMAP_MEMBER: Check = check(
    |identity| member_goes_with(identity, "remapIdentity", "matchPolicy", "RemapIdentity"),
    "remapIdentity is required when matchPolicy is RemapIdentity, and forbidden otherwise",
);
static EXACT_REPOSITORY_V1ALPHA1: Schema = object(&[required("repository", &REPOSITORY_V1ALPHA1)], &[]);
static EXACT_REPOSITORY_V1: Schema = object(&[required("repository", &REPOSITORY_V1)], &[]);
static REMAP_IDENTITY_V1ALPHA1: Schema =
    object(&[required("prefix", &REPOSITORY_V1ALPHA1), required("signedPrefix", &REPOSITORY_V1ALPHA1)], &[]);
static REMAP_IDENTITY_V1: Schema =
    object(&[required("prefix", &REPOSITORY_V1), required("signedPrefix", &REPOSITORY_V1)], &[]);
static REPOSITORY_V1ALPHA1: Schema = Schema {
    checks: &[HAS_NO_TAG, check(is_location, "invalid repository or prefix in the signedIdentity")],
    ..text(0, 512)
};
static REPOSITORY_V1: Schema = Schema {
    checks: &[
        HAS_NO_TAG,
        check(
            is_location,
            "invalid repository or prefix in the signedIdentity. The repository or prefix must starts with 'localhost' or a valid '.' \
             separated domain. If contains registry paths, the path component names must start with at least one letter or number, with \
             following parts able to be separated by one period, one or two underscore and multiple dashes.",
        ),
    ],
    ..text(0, 512)
};
const HAS_NO_TAG: Check = check(
    |repository| is_text(repository, formats::identity_has_no_tag),
    "invalid repository or prefix in the signedIdentity, should not include the tag or digest",
);

fn is_location(repository: &Value) -> Result<bool, String> {
    is_text(repository, formats::identity_is_location)
}

// Mirrors

static DIGEST_MIRRORS: Schema = object(&[required("spec", &DIGEST_MIRRORS_SPEC)], &[]);
static DIGEST_MIRRORS_SPEC: Schema = object(&[optional("imageDigestMirrors", &MIRROR_ENTRIES)], &[]);
static TAG_MIRRORS: Schema = object(&[required("spec", &TAG_MIRRORS_SPEC)], &[]);
static TAG_MIRRORS_SPEC: Schema = object(&[optional("imageTagMirrors", &MIRROR_ENTRIES)], &[]);
static MIRROR_ENTRIES: Schema = list(&MIRROR_ENTRY, usize::MAX, false);
static MIRROR_ENTRY: Schema = object(
    &[
        required("source", &SOURCE),
        optional("mirrors", &MIRRORS),
        optional("mirrorSourcePolicy", &MIRROR_SOURCE_POLICY),
    ],
    &[],
);
static SOURCE: Schema = matching(&Pattern {
    text: r"^\*(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+$|^((?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+)?(?::[0-9]+)?)(?:(?:/[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?)+)?$",
    holds: formats::is_mirror_source,
});
static MIRRORS: Schema = list(&MIRROR, usize::MAX, true);
static MIRROR: Schema = matching(&Pattern {
    text: r"^((?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+)?(?::[0-9]+)?)(?:(?:/[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?)+)?$",
    holds: formats::is_mirror,
});
static MIRROR_SOURCE_POLICY: Schema = one_of(&["NeverContactSource", "AllowContactingSource"], ApiRule::Field);

static CONTENT_SOURCES: Schema = object(&[required("spec", &CONTENT_SOURCES_SPEC)], &[]);
static CONTENT_SOURCES_SPEC: Schema = object(&[optional("repositoryDigestMirrors", &CONTENT_SOURCE_ENTRIES)], &[]);
static CONTENT_SOURCE_ENTRIES: Schema = list(&CONTENT_SOURCE_ENTRY, usize::MAX, false);
static CONTENT_SOURCE_ENTRY: Schema = object(&[required("source", &PLAIN), optional("mirrors", &TEXTS)], &[]);

// What the rules are made of

/// CEL's `has()` on an object whose nulls have been dropped.
fn has(object: &Value, member: &str) -> bool {
    object.get(member).is_some_and(|value| !value.is_null())
}

/// Exactly where the discriminator has the value the member is there.
fn member_goes_with(object: &Value, member: &str, discriminator: &str, value: &str) -> Result<bool, String> {
    let chosen = object.get(discriminator).and_then(Value::as_str) == Some(value);
    Ok(chosen == has(object, member))
}

fn is_text(value: &Value, holds: fn(&str) -> bool) -> Result<bool, String> {
    Ok(value.as_str().is_some_and(holds))
}

/// What holds for `string(self)` of a `byte` field.
///
/// The server decodes it with the alphabet of URLs though it was validated with the standard one, so `+` and `/` are errors here.
/// Text in a PEM block never needs them; bytes beyond ASCII and `?`, `>`, `~` may.
fn decodes_to(value: &Value, holds: fn(&str) -> bool) -> Result<bool, String> {
    let Value::String(text) = value else {
        return Err("invalid data, expected string, got []interface {}".to_string());
    };
    if let Some(at) = text.find(['+', '/']) {
        return Err(format!("Invalid byte formatted string {text}: illegal base64 data at input byte {at}"));
    }
    let decoded = LENIENT.decode(text).unwrap_or_default();
    match std::str::from_utf8(&decoded) {
        Ok(decoded) => Ok(holds(decoded)),
        Err(_) => Err("invalid UTF-8 in bytes, cannot convert to string".to_string()),
    }
}

/// Go ignores the bits that are left over in the last character.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

const BEGIN_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const END_CERTIFICATE: &str = "-----END CERTIFICATE-----";

fn begins_as_key(value: &Value) -> Result<bool, String> {
    decodes_to(value, |pem| pem.starts_with("-----BEGIN PUBLIC KEY-----"))
}

fn ends_as_key(value: &Value) -> Result<bool, String> {
    decodes_to(value, |pem| pem.strip_suffix('\n').unwrap_or(pem).ends_with("-----END PUBLIC KEY-----"))
}

fn begins_as_certificate(value: &Value) -> Result<bool, String> {
    decodes_to(value, |pem| pem.starts_with(BEGIN_CERTIFICATE))
}

fn ends_as_certificate(value: &Value) -> Result<bool, String> {
    decodes_to(value, |pem| pem.strip_suffix('\n').unwrap_or(pem).ends_with(END_CERTIFICATE))
}

fn has_paired_markers(value: &Value) -> Result<bool, String> {
    decodes_to(value, |pem| pem.matches(BEGIN_CERTIFICATE).count() == pem.matches(END_CERTIFICATE).count())
}
