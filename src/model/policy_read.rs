//! policy.json, read as strictly as a node reads it, refused in the node's own words.
//!
//! Source: `signature/policy_config*.go` of containers/image (domain.md 4.1). Errors of Go's JSON package itself are in our words
//! or near to Go's.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::go_text::quote;
use super::json;
use super::policy::{
    KeySource, Policy, PolicyRequirement, Requirements, RootOfTrust, SignedIdentity, Sourced, Transport,
};
use super::provenance::Provenance;
use super::reference::{ImageReference, is_remap_prefix};
use super::scope::is_valid_scope;
use super::scopes::Scopes;

impl Policy {
    /// From the bytes of a file. `from` says who wrote it.
    ///
    /// # Errors
    /// What the node says of it, without `invalid policy in …`.
    pub fn read(text: &[u8], from: &Provenance) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0, from, lists: HashMap::default(), requirements: HashMap::default() };
        reader.policy().map_err(|refusal| {
            // The engine checks the syntax of everything before it looks at the meaning of anything.
            let start = json::skip_space(text, 0);
            match json::end_of_value(text, start).and_then(|end| nothing_follows(text, end)) {
                Ok(()) => refusal,
                Err(syntax) => syntax,
            }
        })
    }
}

fn nothing_follows(text: &[u8], at: usize) -> Result<(), String> {
    let at = json::skip_space(text, at);
    if at == text.len() { Ok(()) } else { Err(json::unexpected(text, at, "after top-level value")) }
}

/// One pass over the file. Requirement lists repeat, for each transport and for each scope of an object, so each distinct one is
/// read once.
struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    from: &'t Provenance,
    lists: HashMap<&'t [u8], Requirements, foldhash::fast::RandomState>,
    requirements: HashMap<&'t [u8], Arc<PolicyRequirement>, foldhash::fast::RandomState>,
}

impl<'t> Reader<'t> {
    fn policy(&mut self) -> Result<Policy, String> {
        let (mut default, mut transports) = (None, None);
        self.at = json::skip_space(self.text, 0);
        self.object(|reader, key| {
            match &*key {
                "default" if default.is_some() => return Err(duplicate(&key)),
                "default" => default = Some(reader.list()?),
                "transports" if transports.is_some() => return Err(duplicate(&key)),
                "transports" => transports = Some(reader.transports()?),
                _ => return Err(unknown(&key)),
            }
            Ok(())
        })?;
        nothing_follows(self.text, self.at)?;
        let default = default.ok_or("Default policy is missing")?;
        Ok(Policy { default, transports: transports.unwrap_or_default() })
    }

    fn transports(&mut self) -> Result<BTreeMap<Transport, Scopes>, String> {
        let mut transports = BTreeMap::new();
        self.object(|reader, key| {
            let transport = Transport::from(&*key);
            if transports.contains_key(&transport) {
                return Err(duplicate(&key));
            }
            let scopes = reader.scopes(&transport)?;
            transports.insert(transport, scopes);
            Ok(())
        })?;
        Ok(transports)
    }

    fn scopes(&mut self, transport: &Transport) -> Result<Scopes, String> {
        let mut scopes = Scopes::default();
        self.object(|reader, scope| {
            if !is_valid_scope(transport, &scope) {
                return Err(unknown(&scope));
            }
            // The engine looks for duplicates before it reads the value; here they cost nothing while there are none.
            let before = match reader.list() {
                Ok(list) => scopes.insert(&scope, list),
                Err(refusal) => Some(scopes.get(&scope).cloned().ok_or(refusal)?),
            };
            if before.is_some() { Err(duplicate(&scope)) } else { Ok(()) }
        })?;
        Ok(scopes)
    }

    /// Reads the object at the current place; `member` gets each key and has to read its value.
    fn object(&mut self, mut member: impl FnMut(&mut Self, Cow<'t, str>) -> Result<(), String>) -> Result<(), String> {
        let text = self.text;
        if text.get(self.at) != Some(&b'{') {
            let end = json::end_of_value(text, self.at)?;
            return Err(not_an_object(text.get(self.at..end).unwrap_or_default()));
        }
        self.at = json::skip_space(text, self.at + 1);
        if text.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if text.get(self.at) != Some(&b'"') {
                return Err(json::unexpected(text, self.at, "looking for beginning of object key string"));
            }
            let end = json::end_of_string(text, self.at)?;
            let key = json::string(text.get(self.at..end).unwrap_or_default());
            self.at = json::skip_space(text, end);
            if text.get(self.at) != Some(&b':') {
                return Err(json::unexpected(text, self.at, "after object key"));
            }
            self.at = json::skip_space(text, self.at + 1);
            member(self, key)?;
            self.at = json::skip_space(text, self.at);
            match text.get(self.at) {
                Some(b',') => self.at = json::skip_space(text, self.at + 1),
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(json::unexpected(text, self.at, "after object key:value pair")),
            }
        }
    }

    /// Reads the requirement list at the current place.
    fn list(&mut self) -> Result<Requirements, String> {
        let text = self.text;
        if text.get(self.at) == Some(&b'[')
            && let Some(end) = json::probable_end_of_array(text, self.at)
            && let Some(known) = text.get(self.at..end).and_then(|raw| self.lists.get(raw))
        {
            self.at = end;
            return Ok(known.clone());
        }
        let end = json::end_of_value(text, self.at)?;
        let raw = text.get(self.at..end).unwrap_or_default();
        self.at = end;
        if !matches!(raw.first(), Some(b'[' | b'n')) {
            return Err(cannot_unmarshal(raw, "[]json.RawMessage"));
        }
        let list: Requirements =
            json::elements(raw).map(|element| self.requirement(element)).collect::<Result<_, _>>()?;
        if list.is_empty() {
            return Err("List of verification policy requirements must not be empty".into());
        }
        self.lists.insert(raw, list.clone());
        Ok(list)
    }

    fn requirement(&mut self, raw: &'t [u8]) -> Result<Sourced, String> {
        let requirement = match self.requirements.get(raw) {
            Some(known) => known.clone(),
            None => {
                let requirement = Arc::new(requirement(raw)?);
                self.requirements.insert(raw, requirement.clone());
                requirement
            }
        };
        Ok(Sourced { requirement, from: vec![self.from.clone()] })
    }
}

fn requirement(raw: &[u8]) -> Result<PolicyRequirement, String> {
    let kind = type_of(raw, "prCommon", "prTypeIdentifier")?;
    match &*kind {
        "insecureAcceptAnything" => only_type(raw).map(|()| PolicyRequirement::InsecureAcceptAnything),
        "reject" => only_type(raw).map(|()| PolicyRequirement::Reject),
        "signedBy" => signed_by(raw),
        "signedBaseLayer" => signed_base_layer(raw),
        "sigstoreSigned" => sigstore_signed(raw),
        _ => Err(format!("Unknown policy requirement type {}", quote(&kind))),
    }
}

/// What Go's lenient reading finds as the type: keys in any case, the last one wins, `null` is passed over.
fn type_of<'t>(raw: &'t [u8], structure: &str, identifier: &str) -> Result<Cow<'t, str>, String> {
    match raw.first() {
        Some(b'{') => {}
        Some(b'n') => return Ok("".into()),
        _ => return Err(cannot_unmarshal(raw, &format!("signature.{structure}"))),
    }
    let mut found: Cow<'t, str> = "".into();
    let mut wrong = None;
    for (_, value) in json::members(raw).filter(|(key, _)| key.eq_ignore_ascii_case("type")) {
        match value.first() {
            Some(b'"') => found = json::string(value),
            Some(b'n') => {}
            _ => wrong = wrong.or(Some(value)),
        }
    }
    match wrong {
        None => Ok(found),
        Some(value) => Err(format!(
            "json: cannot unmarshal {} into Go struct field {structure}.type of type signature.{identifier}",
            json::kind(value)
        )),
    }
}

/// Each member of an object once; `field` says whether it knows the key.
fn strictly<'t>(raw: &'t [u8], mut field: impl FnMut(&str, &'t [u8]) -> Result<bool, String>) -> Result<(), String> {
    if raw.first() != Some(&b'{') {
        return Err(not_an_object(raw));
    }
    // No longer than the number of known keys, because an unknown one ends the reading.
    let mut seen: Vec<Cow<'_, str>> = Vec::new();
    for (key, value) in json::members(raw) {
        if seen.contains(&key) {
            return Err(duplicate(&key));
        }
        if !field(&key, value)? {
            return Err(unknown(&key));
        }
        seen.push(key);
    }
    Ok(())
}

fn only_type(raw: &[u8]) -> Result<(), String> {
    strictly(raw, |key, _| Ok(key == "type"))
}

fn signed_by(raw: &[u8]) -> Result<PolicyRequirement, String> {
    let (mut key_type, mut identity) = (None, None);
    let mut keys = Fields::default();
    strictly(raw, |key, value| {
        match key {
            "type" => {}
            "keyType" => key_type = Some(known_key_type(value)?),
            "keyPath" => keys.path = Some(string(value)?),
            "keyPaths" => keys.paths = Some(strings(value)?),
            "keyData" => keys.data = Some(bytes(value)?),
            "signedIdentity" => identity = Some(value),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let identity = identity.map(signed_identity).transpose()?;
    match keys.present() {
        1 => {}
        0 => {
            return Err("Exactly one of keyPath, keyPaths and keyData must be specified, none of them present".into());
        }
        _ => return Err("Exactly one of keyPath, keyPaths and keyData must be specified, more than one present".into()),
    }
    let key_type = key_type.ok_or(r#"invalid keyType """#)?;
    let keys = keys.sources().pop().ok_or("exactly one of keyPath, keyPaths and keyData must be specified")?;
    Ok(PolicyRequirement::SignedBy { key_type, keys, identity })
}

/// The four that the engine reads; only the first can be met.
pub(super) const KEY_TYPES: [&str; 4] = ["GPGKeys", "signedByGPGKeys", "X509Certificates", "signedByX509CAs"];

fn known_key_type(value: &[u8]) -> Result<Box<str>, String> {
    let text = string(value)?;
    if KEY_TYPES.contains(&&*text) { Ok(text) } else { Err(format!("Unrecognized keyType value {}", quote(&text))) }
}

fn signed_base_layer(raw: &[u8]) -> Result<PolicyRequirement, String> {
    let mut identity = None;
    strictly(raw, |key, value| {
        match key {
            "type" => {}
            "baseLayerIdentity" => identity = Some(value),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let base_layer_identity = signed_identity(identity.ok_or_else(|| missing("baseLayerIdentity"))?)?;
    Ok(PolicyRequirement::SignedBaseLayer { base_layer_identity })
}

fn sigstore_signed(raw: &[u8]) -> Result<PolicyRequirement, String> {
    let (mut keys, mut rekor) = (Fields::default(), Fields::default());
    let (mut fulcio, mut pki, mut identity) = (None, None, None);
    strictly(raw, |key, value| {
        match key {
            "type" => {}
            "keyPath" => keys.path = Some(string(value)?),
            "keyPaths" => keys.paths = Some(strings(value)?),
            "keyData" => keys.data = Some(bytes(value)?),
            "keyDatas" => keys.datas = Some(byte_lists(value)?),
            "fulcio" => fulcio = Some(fulcio_root(value)?),
            "rekorPublicKeyPath" => rekor.path = Some(string(value)?),
            "rekorPublicKeyPaths" => rekor.paths = Some(strings(value)?),
            "rekorPublicKeyData" => rekor.data = Some(bytes(value)?),
            "rekorPublicKeyDatas" => rekor.datas = Some(byte_lists(value)?),
            "pki" => pki = Some(pki_root(value)?),
            "signedIdentity" => identity = Some(value),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let identity = identity.map(signed_identity).transpose()?;
    keys.check_entries("keyPaths", "keyDatas")?;
    // The engine's own spelling.
    rekor.check_entries("rekorPublickeyPaths", "rekorPublickeyDatas")?;
    let (mut keys, mut rekor) = (keys.sources(), rekor.sources());
    if keys.len() + usize::from(fulcio.is_some()) + usize::from(pki.is_some()) != 1 {
        return Err(ONE_KEY_SOURCE.into());
    }
    if rekor.len() > 1 {
        return Err("at most one of rekorPublickeyPath, rekorPublicKeyPaths, rekorPublickeyData and rekorPublicKeyDatas can be used simultaneously".into());
    }
    let rekor = rekor.pop();
    let root = match (fulcio, pki, keys.pop()) {
        (Some((ca, oidc_issuer, subject_email)), ..) => {
            let rekor = rekor.ok_or(FULCIO_NEEDS_REKOR)?;
            RootOfTrust::Fulcio { ca, oidc_issuer, subject_email, rekor }
        }
        (None, Some(_), _) if rekor.is_some() => return Err(NO_REKOR_FOR_PKI.into()),
        (None, Some(pki), _) => pki,
        (None, None, keys) => RootOfTrust::Keys { keys: keys.ok_or(ONE_KEY_SOURCE)?, rekor },
    };
    Ok(PolicyRequirement::SigstoreSigned { root, identity })
}

pub(super) const ONE_KEY_SOURCE: &str =
    "exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio, and pki must be specified";
pub(super) const FULCIO_NEEDS_REKOR: &str = "At least one of rekorPublickeyPath, rekorPublicKeyPaths, rekorPublickeyData and rekorPublicKeyDatas must be specified if fulcio is used";
const NO_REKOR_FOR_PKI: &str =
    "rekorPublickeyPath, rekorPublicKeyPaths, rekorPublickeyData and rekorPublicKeyDatas are not supported for pki";

fn fulcio_root(raw: &[u8]) -> Result<(KeySource, Box<str>, Box<str>), String> {
    let (mut ca, mut oidc_issuer, mut subject_email) = (Fields::default(), None, None);
    strictly(raw, |key, value| {
        match key {
            "caPath" => ca.path = Some(string(value)?),
            "caData" => ca.data = Some(bytes(value)?),
            "oidcIssuer" => oidc_issuer = Some(string(value)?),
            "subjectEmail" => subject_email = Some(string(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let ca = ca.at_most_one("caPath and caData")?.ok_or("At least one of caPath and caData must be specified")?;
    let given = |text: Option<Box<str>>| text.filter(|text| !text.is_empty());
    let oidc_issuer = given(oidc_issuer).ok_or("oidcIssuer not specified")?;
    let subject_email = given(subject_email).ok_or("subjectEmail not specified")?;
    Ok((ca, oidc_issuer, subject_email))
}

fn pki_root(raw: &[u8]) -> Result<RootOfTrust, String> {
    let (mut roots, mut intermediates) = (Fields::default(), Fields::default());
    let (mut subject_email, mut subject_hostname) = (None, None);
    strictly(raw, |key, value| {
        match key {
            "caRootsPath" => roots.path = Some(string(value)?),
            "caRootsData" => roots.data = Some(bytes(value)?),
            "caIntermediatesPath" => intermediates.path = Some(string(value)?),
            "caIntermediatesData" => intermediates.data = Some(bytes(value)?),
            "subjectEmail" => subject_email = Some(string(value)?),
            "subjectHostname" => subject_hostname = Some(string(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let roots = roots.at_most_one("caRootsPath and caRootsData")?;
    let roots = roots.ok_or("At least one of caRootsPath and caRootsData must be specified")?;
    let intermediates = intermediates.at_most_one("caIntermediatesPath and caIntermediatesData")?;
    let given = |text: Option<Box<str>>| text.filter(|text| !text.is_empty());
    let (subject_email, subject_hostname) = (given(subject_email), given(subject_hostname));
    if subject_email.is_none() && subject_hostname.is_none() {
        return Err("At least one of subjectEmail, subjectHostname must be specified".into());
    }
    Ok(RootOfTrust::Pki { roots, intermediates, subject_email, subject_hostname })
}

fn signed_identity(raw: &[u8]) -> Result<SignedIdentity, String> {
    let kind = type_of(raw, "prmCommon", "prmTypeIdentifier")?;
    let identity = match &*kind {
        "matchExact" => exactly(raw, []).map(|[]| SignedIdentity::MatchExact),
        "matchRepoDigestOrExact" => exactly(raw, []).map(|[]| SignedIdentity::MatchRepoDigestOrExact),
        "matchRepository" => exactly(raw, []).map(|[]| SignedIdentity::MatchRepository),
        "exactReference" => exactly(raw, ["dockerReference"]).map(|[text]| SignedIdentity::ExactReference(text)),
        "exactRepository" => exactly(raw, ["dockerRepository"]).map(|[text]| SignedIdentity::ExactRepository(text)),
        "remapIdentity" => exactly(raw, ["prefix", "signedPrefix"])
            .map(|[prefix, signed_prefix]| SignedIdentity::RemapIdentity { prefix, signed_prefix }),
        _ => Err(format!("Unknown policy reference match type {}", quote(&kind))),
    }?;
    check_identity(&identity)?;
    Ok(identity)
}

/// Besides the type, each of these texts and nothing else.
fn exactly<const N: usize>(raw: &[u8], names: [&str; N]) -> Result<[Box<str>; N], String> {
    let mut texts: [Option<Box<str>>; N] = [const { None }; N];
    strictly(raw, |key, value| {
        if let Some(place) = names.iter().zip(&mut texts).find_map(|(name, text)| (*name == key).then_some(text)) {
            *place = Some(string(value)?);
            return Ok(true);
        }
        Ok(key == "type")
    })?;
    // Of several that are missing the engine names a random one.
    if let Some((name, _)) = names.iter().zip(&texts).find(|(_, text)| text.is_none()) {
        return Err(missing(name));
    }
    Ok(texts.map(Option::unwrap_or_default))
}

/// What a node checks of an identity's texts when it reads them.
pub(super) fn check_identity(identity: &SignedIdentity) -> Result<(), String> {
    match identity {
        SignedIdentity::MatchExact | SignedIdentity::MatchRepoDigestOrExact | SignedIdentity::MatchRepository => Ok(()),
        SignedIdentity::ExactReference(text) => match ImageReference::parse_expanded(text) {
            Err(error) => Err(format!("Invalid format of dockerReference {}: {error}", quote(text))),
            Ok(reference) if reference.is_name_only() => {
                Err(format!("dockerReference {} contains neither a tag nor digest", quote(text)))
            }
            Ok(_) => Ok(()),
        },
        SignedIdentity::ExactRepository(text) => match ImageReference::parse_expanded(text) {
            Err(error) => Err(format!("Invalid format of dockerRepository {}: {error}", quote(text))),
            Ok(_) => Ok(()),
        },
        SignedIdentity::RemapIdentity { prefix, signed_prefix } => {
            match [prefix, signed_prefix].into_iter().find(|text| !is_remap_prefix(text)) {
                Some(text) => Err(format!("prefix {} is not valid", quote(text))),
                None => Ok(()),
            }
        }
    }
}

type Bytes = Box<[u8]>;

/// The ways to give a key or certificate, as they are written. The outer `Option` is whether the key is there, the inner one
/// whether its value is something else than `null`. An empty path counts as none.
#[derive(Default)]
struct Fields {
    path: Option<Box<str>>,
    paths: Option<Option<Box<[Box<str>]>>>,
    data: Option<Option<Bytes>>,
    datas: Option<Option<Box<[Bytes]>>>,
}

impl Fields {
    fn present(&self) -> usize {
        [self.path.is_some(), self.paths.is_some(), self.data.is_some(), self.datas.is_some()]
            .into_iter()
            .filter(|present| *present)
            .count()
    }

    fn check_entries(&self, paths: &str, datas: &str) -> Result<(), String> {
        let empty = |name| Err(format!("{} contains no entries", quote(name)));
        if self.paths.as_ref().is_some_and(|list| list.as_ref().is_none_or(|list| list.is_empty())) {
            return empty(paths);
        }
        if self.datas.as_ref().is_some_and(|list| list.as_ref().is_none_or(|list| list.is_empty())) {
            return empty(datas);
        }
        Ok(())
    }

    fn sources(self) -> Vec<KeySource> {
        let mut sources = Vec::new();
        sources.extend(self.path.filter(|path| !path.is_empty()).map(KeySource::Path));
        sources.extend(self.paths.flatten().map(KeySource::Paths));
        sources.extend(self.data.flatten().map(KeySource::Data));
        sources.extend(self.datas.flatten().map(KeySource::Datas));
        sources
    }

    fn at_most_one(self, names: &str) -> Result<Option<KeySource>, String> {
        let mut sources = self.sources();
        if sources.len() > 1 {
            return Err(format!("{names} cannot be used simultaneously"));
        }
        Ok(sources.pop())
    }
}

/// Into a Go `string`.
fn string(value: &[u8]) -> Result<Box<str>, String> {
    match value.first() {
        Some(b'"') => Ok(json::string(value).into()),
        Some(b'n') => Ok("".into()),
        _ => Err(cannot_unmarshal(value, "string")),
    }
}

/// Into a Go `[]string`.
fn strings(value: &[u8]) -> Result<Option<Box<[Box<str>]>>, String> {
    match value.first() {
        Some(b'[') => json::elements(value).map(string).collect::<Result<_, _>>().map(Some),
        Some(b'n') => Ok(None),
        _ => Err(cannot_unmarshal(value, "[]string")),
    }
}

/// Into a Go `[]byte`: base64, or a list of numbers.
fn bytes(value: &[u8]) -> Result<Option<Bytes>, String> {
    match value.first() {
        Some(b'"') => decode_base64(&json::string(value)).map(|bytes| Some(bytes.into())),
        Some(b'[') => json::elements(value).map(byte).collect::<Result<_, _>>().map(Some),
        Some(b'n') => Ok(None),
        _ => Err(cannot_unmarshal(value, "[]uint8")),
    }
}

/// Into a Go `[][]byte`.
fn byte_lists(value: &[u8]) -> Result<Option<Box<[Bytes]>>, String> {
    match value.first() {
        Some(b'[') => {
            let element = |element| bytes(element).map(Option::unwrap_or_default);
            json::elements(value).map(element).collect::<Result<_, _>>().map(Some)
        }
        Some(b'n') => Ok(None),
        _ => Err(cannot_unmarshal(value, "[][]uint8")),
    }
}

fn byte(value: &[u8]) -> Result<u8, String> {
    match json::kind(value) {
        "null" => Ok(0),
        "number" => {
            let text = String::from_utf8_lossy(value);
            text.parse().map_err(|_| format!("json: cannot unmarshal number {text} into Go value of type uint8"))
        }
        _ => Err(cannot_unmarshal(value, "uint8")),
    }
}

const LENIENT_BITS: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// As Go's standard encoding does: line breaks are passed over, padding is required, bits that are left over do not matter.
fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    LENIENT_BITS.decode(text).or_else(|_| {
        check_base64(text.as_bytes()).map_err(|at| format!("illegal base64 data at input byte {at}"))?;
        let without_breaks: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        LENIENT_BITS.decode(without_breaks).map_err(|e| e.to_string())
    })
}

/// Where Go finds something wrong.
fn check_base64(text: &[u8]) -> Result<(), usize> {
    let is_break = |b: &u8| matches!(b, b'\r' | b'\n');
    let skip_breaks = |at: usize| at + text.get(at..).unwrap_or_default().iter().take_while(|b| is_break(b)).count();
    let mut in_group = 0;
    let mut at = 0;
    while let Some(b) = text.get(at) {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => in_group = (in_group + 1) % 4,
            b if is_break(b) => {}
            b'=' if in_group >= 2 => {
                let mut end = skip_breaks(at + 1);
                if in_group == 2 {
                    match text.get(end) {
                        None => return Err(text.len()),
                        Some(b'=') => end = skip_breaks(end + 1),
                        Some(_) => return Err(end - 1),
                    }
                }
                return if end == text.len() { Ok(()) } else { Err(end) };
            }
            _ => return Err(at),
        }
        at += 1;
    }
    if in_group == 0 { Ok(()) } else { Err(at - in_group) }
}

fn duplicate(key: &str) -> String {
    format!("Duplicate key {}", quote(key))
}

pub(super) fn unknown(key: &str) -> String {
    format!("Unknown key {}", quote(key))
}

fn missing(key: &str) -> String {
    format!("Key {} missing in a JSON object", quote(key))
}

fn cannot_unmarshal(value: &[u8], target: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {target}", json::kind(value))
}

/// The engine shows the value's first token as Go source.
fn not_an_object(value: &[u8]) -> String {
    let token = match value.first() {
        Some(b'[') => u32::from(b'[').to_string(),
        Some(b'n') => "<nil>".into(),
        Some(b't') => "true".into(),
        Some(b'f') => "false".into(),
        Some(b'"') => quote(&json::string(value)),
        _ => {
            let text = String::from_utf8_lossy(value);
            match text.parse::<f64>() {
                Ok(number) if number.is_finite() => go_float(number),
                _ => return format!("json: cannot unmarshal number {text} into Go value of type float64"),
            }
        }
    };
    format!("JSON object expected, got {token}")
}

/// `%g` of Go with the fewest digits that say which number it is.
fn go_float(number: f64) -> String {
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: Provenance = Provenance::Default("test");

    fn refusal(text: &str) -> String {
        Policy::read(text.as_bytes(), &FROM).expect_err(text)
    }

    #[test]
    fn files_are_refused_in_the_engines_words() {
        for (text, expected) in [
            ("{}", "Default policy is missing"),
            ("null", "JSON object expected, got <nil>"),
            ("[]", "JSON object expected, got 91"),
            ("1234567.5", "JSON object expected, got 1.2345675e+06"),
            (r#""a\nb""#, r#"JSON object expected, got "a\nb""#),
            (r#"{"Default": []}"#, r#"Unknown key "Default""#),
            (r#"{"default": []}"#, "List of verification policy requirements must not be empty"),
            (r#"{"default": null}"#, "List of verification policy requirements must not be empty"),
            (r#"{"default": [{"type": "reject"}], "default": 5}"#, r#"Duplicate key "default""#),
            (r#"{"default": [{"type": "reject"}], "d\u0065fault": 5}"#, r#"Duplicate key "default""#),
            (r#"{"transports": {"docker": {"a": [{"type": "reject"}], "a": []}}}"#, r#"Duplicate key "a""#),
            (r#"{"transports": {"docker": {}, "docker": 1}}"#, r#"Duplicate key "docker""#),
            (r#"{"transports": {"atomic": {"a/b:c": 5}}}"#, r#"Unknown key "a/b:c""#),
            (r#"{"transports": {"docker": []}}"#, "JSON object expected, got 91"),
        ] {
            assert_eq!(refusal(text), expected, "{text}");
        }
    }

    #[test]
    fn syntax_comes_before_meaning() {
        for text in ["", "{", "{\"default\": []", "{\"default\": [], \"x\": 01}", "{\"x\": 1}}", "{\"x\": \"\t\"}"] {
            let said = refusal(text);
            assert!(said.starts_with("invalid character ") || said == "unexpected end of JSON input", "{text}: {said}");
        }
        assert_eq!(refusal(&format!("{{\"x\": {}{}}}", "[".repeat(20_000), "]".repeat(20_000))), "exceeded max depth");
    }

    #[test]
    fn requirements_are_refused_in_the_engines_words() {
        let identity =
            |identity: &str| format!(r#"{{"type": "sigstoreSigned", "keyPath": "/k", "signedIdentity": {identity}}}"#);
        for (requirement, expected) in [
            ("null".to_string(), r#"Unknown policy requirement type """#),
            (r#"{"type": "x"}"#.into(), r#"Unknown policy requirement type "x""#),
            (r#"{"TYPE": "reject"}"#.into(), r#"Unknown key "TYPE""#),
            (r#"{"type": "reject", "type": "reject"}"#.into(), r#"Duplicate key "type""#),
            (r#"{"type": "signedBaseLayer"}"#.into(), r#"Key "baseLayerIdentity" missing in a JSON object"#),
            (r#"{"type": "signedBy", "keyPath": "/k"}"#.into(), r#"invalid keyType """#),
            (r#"{"type": "signedBy", "keyType": "x"}"#.into(), r#"Unrecognized keyType value "x""#),
            (
                r#"{"type": "signedBy", "keyType": "GPGKeys"}"#.into(),
                "Exactly one of keyPath, keyPaths and keyData must be specified, none of them present",
            ),
            (
                r#"{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k", "keyData": ""}"#.into(),
                "Exactly one of keyPath, keyPaths and keyData must be specified, more than one present",
            ),
            (
                r#"{"type": "signedBy", "keyType": "GPGKeys", "keyPath": ""}"#.into(),
                "exactly one of keyPath, keyPaths and keyData must be specified",
            ),
            (r#"{"type": "sigstoreSigned", "keyPaths": []}"#.into(), r#""keyPaths" contains no entries"#),
            (r#"{"type": "sigstoreSigned"}"#.into(), ONE_KEY_SOURCE),
            (
                r#"{"type": "sigstoreSigned", "keyPath": "/k", "rekorPublicKeyDatas": []}"#.into(),
                r#""rekorPublickeyDatas" contains no entries"#,
            ),
            (r#"{"type": "sigstoreSigned", "keyData": "/tmp/key1.gpg"}"#.into(), "illegal base64 data at input byte 9"),
            (r#"{"type": "sigstoreSigned", "fulcio": null}"#.into(), "JSON object expected, got <nil>"),
            (
                r#"{"type": "sigstoreSigned", "fulcio": {"caPath": "/c", "oidcIssuer": "i", "subjectEmail": "e"}}"#.into(),
                FULCIO_NEEDS_REKOR,
            ),
            (
                r#"{"type": "sigstoreSigned", "pki": {"caRootsPath": "/c", "subjectEmail": "e"}, "rekorPublicKeyPath": "/r"}"#.into(),
                NO_REKOR_FOR_PKI,
            ),
            (identity("null"), r#"Unknown policy reference match type """#),
            (
                identity(r#"{"type": "exactReference", "dockerReference": "a"}"#),
                r#"dockerReference "a" contains neither a tag nor digest"#,
            ),
            (
                identity(r#"{"type": "exactRepository", "dockerRepository": "A"}"#),
                r#"Invalid format of dockerRepository "A": invalid reference format: repository name must be lowercase"#,
            ),
            (
                identity(r#"{"type": "remapIdentity", "prefix": "a.io", "signedPrefix": "a.io/"}"#),
                r#"prefix "a.io/" is not valid"#,
            ),
        ] {
            assert_eq!(refusal(&format!(r#"{{"default": [{requirement}]}}"#)), expected, "{requirement}");
        }
    }

    #[test]
    fn lists_that_are_written_alike_are_shared() {
        let list = r#"[{"type": "sigstoreSigned", "keyData": "a2V5"}]"#;
        let text =
            format!(r#"{{"default": {list}, "transports": {{"docker": {{"a.io": {list}, "*.b.io": {list}}}}}}}"#);
        let policy = Policy::read(text.as_bytes(), &FROM).unwrap();
        let scopes = &policy.transports[&Transport::Docker];
        assert!(scopes.iter().all(|(_, list)| Arc::ptr_eq(list, &policy.default)));
        let keys = KeySource::Data((*b"key").into());
        let wanted =
            PolicyRequirement::SigstoreSigned { root: RootOfTrust::Keys { keys, rekor: None }, identity: None };
        assert_eq!(*policy.default[0].requirement, wanted);
        assert_eq!(policy.default[0].from, [FROM]);
    }

    #[test]
    fn base64_is_gos() {
        for (text, expected) in [
            ("", Ok(&b""[..])),
            ("Zm9v\r\nYg=\n=\n", Ok(b"foob")),
            ("Zh==", Ok(b"f")),
            ("Zg", Err(0)),
            ("Zm9vZg=", Err(7)),
            ("Zg=x", Err(2)),
            ("Zg==Zg==", Err(4)),
            ("Z===", Err(1)),
            ("Zm9vZ\n", Err(5)),
            ("Zm-_", Err(2)),
        ] {
            let expected = expected.map(<[u8]>::to_vec).map_err(|at| format!("illegal base64 data at input byte {at}"));
            assert_eq!(decode_base64(text), expected, "{text}");
        }
    }
}
