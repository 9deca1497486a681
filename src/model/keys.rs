//! What is inside a PEM block: algorithm, fingerprint, names, dates; and why the engine cannot use it, in words.
//!
//! A node reads keys only when it verifies a signature (`UnmarshalPEMToPublicKey` of sigstore's cryptoutils, over Go's `encoding/pem` and
//! `crypto/x509`), so that a key that is broken behind its markers passes the API server and the controller. What is accepted here
//! is what is accepted there.

use std::collections::HashMap;
use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;
use ring::digest;
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::{Any, AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::curves::Curve;
use super::private_keys::contains_private_key;

/// A public key that the engine can verify with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeyInfo {
    /// What it is.
    pub algorithm: KeyAlgorithm,
    /// Of the SubjectPublicKeyInfo in DER, whatever form the key was written in.
    pub fingerprint: Fingerprint,
    /// Why nobody should rely on it, as half a sentence; the engine may accept it all the same.
    pub weakness: Option<&'static str>,
    /// More PEM blocks follow, which the engine ignores without a word.
    pub more_blocks: bool,
}

/// `SHA256:77b0…4c (ECDSA P-256)`
impl fmt::Display for PublicKeyInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.fingerprint.short(), self.algorithm)
    }
}

/// What a key is; prints as `ECDSA P-256`, `RSA 4096`, `Ed25519`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// On one of the curves that Go knows.
    Ecdsa(Curve),
    /// RSA.
    Rsa {
        /// Length of the modulus.
        bits: usize,
    },
    /// Ed25519.
    Ed25519,
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ecdsa(curve) => write!(f, "ECDSA {curve}"),
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

/// SHA-256 of some DER; prints as `SHA256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(der: &[u8]) -> Self {
        let mut sum = [0; 32];
        for (target, byte) in sum.iter_mut().zip(digest::digest(&digest::SHA256, der).as_ref()) {
            *target = *byte;
        }
        Self(sum)
    }

    /// For people: `SHA256:3f9c…e1`.
    pub fn short(&self) -> String {
        let [first, second, .., last] = self.0;
        format!("SHA256:{first:02x}{second:02x}…{last:02x}")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHA256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a key or certificate cannot be used. Prints as what follows a field's name: `keyData` … `is a certificate, not a public key`. Never
/// quotes what was found, except object identifiers and well-formed PEM labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// Nothing, or white space.
    Empty,
    /// A private key is in it, alone or beside something else. It is to be considered stolen.
    PrivateKey,
    /// Not PEM, and nothing else that is known here.
    NotPem,
    /// It has markers, yet the engine's reader finds no block; the text says what is in its way.
    DamagedPem(&'static str),
    /// Decoding it once more gives PEM.
    DoubleBase64,
    /// The base64 body of a key or certificate without its BEGIN and END lines.
    NoMarkers,
    /// A key or certificate in binary DER.
    BinaryDer,
    /// A certificate where a public key is wanted.
    Certificate,
    /// A public key where certificates are wanted.
    PublicKey,
    /// A key in a form of SSH.
    SshKey,
    /// An OpenPGP key; the engine wants it in `signedBy`, which the API does not offer.
    PgpKey,
    /// A PEM block of another kind, with its label where that is fit to print.
    OtherBlock(Option<String>),
    /// The markers are right, the body is no such thing; the text says what is wrong with it.
    Unparsable(&'static str),
    /// A key of an algorithm that Go does not read, by its object identifier.
    UnknownAlgorithm(String),
    /// An elliptic curve that Go does not read, by its name or object identifier.
    UnknownCurve(String),
    /// A key that Go reads and sigstore does not verify with.
    CannotVerify(&'static str),
    /// A good key where the engine takes none but ECDSA: that of Rekor.
    NotEcdsa(KeyAlgorithm),
    /// Text after the last block, which stops the engine from reading intermediate certificates.
    TextAfter,
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::PrivateKey => f.write_str("holds a private key"),
            Self::NotPem => f.write_str("is not PEM"),
            Self::DamagedPem(why) => write!(f, "is PEM that cannot be read: {why}"),
            Self::DoubleBase64 => f.write_str("is base64 twice: decoded, it is still base64, of PEM"),
            Self::NoMarkers => f.write_str("is the body of PEM without its BEGIN and END lines"),
            Self::BinaryDer => f.write_str("is binary DER, not PEM"),
            Self::Certificate => f.write_str("is a certificate, not a public key"),
            Self::PublicKey => f.write_str("is a public key, not a certificate"),
            Self::SshKey => f.write_str("is a key of SSH, not PEM of a public key"),
            Self::PgpKey => f.write_str("is an OpenPGP key, not PEM of a public key"),
            Self::OtherBlock(Some(label)) => write!(f, "is PEM of something else: {label}"),
            Self::OtherBlock(None) => f.write_str("is PEM of something else"),
            Self::Unparsable(why) => write!(f, "has the right markers, but its body cannot be read: {why}"),
            Self::UnknownAlgorithm(oid) => write!(f, "is a key of an algorithm that nodes do not know ({oid})"),
            Self::UnknownCurve(curve) => write!(f, "is a key on an elliptic curve that nodes do not know ({curve})"),
            Self::CannotVerify(name) => write!(f, "is a key for {name}, which nodes verify no signatures with"),
            Self::NotEcdsa(algorithm) => write!(f, "is an {algorithm} key: the key of Rekor must be ECDSA"),
            Self::TextAfter => f.write_str("has text after its last certificate"),
        }
    }
}

impl KeyProblem {
    /// What to do about it, with a command where there is one. `None` where only the key's owner knows.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::PrivateKey => {
                "make a new key pair, as whoever can read the object has this one, and give its public half: \
                 openssl pkey -in NEW.key -pubout | base64 -w0"
            }
            Self::DoubleBase64 => "encode once: base64 -w0 <cosign.pub",
            Self::Certificate => "take the key out of it: openssl x509 -in CERT.pem -pubkey -noout | base64 -w0",
            Self::BinaryDer => "convert it: openssl pkey -pubin -inform DER -in KEY.der | base64 -w0",
            Self::SshKey => "convert it: ssh-keygen -e -m PKCS8 -f KEY.pub | base64 -w0",
            Self::NotEcdsa(_) | Self::UnknownAlgorithm(_) | Self::UnknownCurve(_) | Self::CannotVerify(_) => {
                return None;
            }
            Self::PublicKey => "give the certificates of the authority: base64 -w0 <CA.pem",
            Self::TextAfter => "end it with the last END CERTIFICATE line",
            _ => "encode the file as it is: base64 -w0 <cosign.pub",
        })
    }
}

/// The key in the decoded bytes of `keyData`: the first PEM block, `PUBLIC KEY` or `RSA PUBLIC KEY`, as the engine takes it.
pub fn inspect_public_key(bytes: &[u8]) -> Result<PublicKeyInfo, KeyProblem> {
    if contains_private_key(bytes) {
        return Err(KeyProblem::PrivateKey);
    }
    let (block, rest) = next_block(bytes).ok_or_else(|| no_block(bytes))?;
    let mut key = match block.label {
        b"PUBLIC KEY" => spki(&block.der)?,
        b"RSA PUBLIC KEY" => pkcs1(&block.der)?,
        b"CERTIFICATE" | b"TRUSTED CERTIFICATE" | b"X509 CERTIFICATE" => return Err(KeyProblem::Certificate),
        other => return Err(other_block(other)),
    };
    key.more_blocks = next_block(rest).is_some();
    Ok(key)
}

/// As [`inspect_public_key`], of `rekorKeyData`: the engine takes ECDSA only.
pub fn inspect_rekor_key(bytes: &[u8]) -> Result<PublicKeyInfo, KeyProblem> {
    let key = inspect_public_key(bytes)?;
    match key.algorithm {
        KeyAlgorithm::Ecdsa(_) => Ok(key),
        other => Err(KeyProblem::NotEcdsa(other)),
    }
}

/// The certificates in the decoded bytes of `fulcioCAData`, `caRootsData` or `caIntermediatesData`. An error where none can be read.
pub fn inspect_certificates(bytes: &[u8]) -> Result<Certificates, KeyProblem> {
    if contains_private_key(bytes) {
        return Err(KeyProblem::PrivateKey);
    }
    let mut certificates = Certificates::default();
    let mut rest = bytes;
    while let Some((block, after)) = next_block(rest) {
        rest = after;
        let read = match block.label {
            b"CERTIFICATE" if block.has_headers => Err(KeyProblem::DamagedPem("header lines stand in its block")),
            b"CERTIFICATE" => certificate(&block.der),
            b"PUBLIC KEY" | b"RSA PUBLIC KEY" => Err(KeyProblem::PublicKey),
            other => Err(other_block(other)),
        };
        match read {
            Ok(certificate) => certificates.read.push(certificate),
            Err(problem) => certificates.skipped.push(problem),
        }
    }
    if certificates.read.is_empty() {
        return Err(certificates.skipped.into_iter().next().unwrap_or_else(|| no_block(bytes)));
    }
    if !rest.trim_ascii().is_empty() {
        certificates.skipped.push(KeyProblem::TextAfter);
    }
    Ok(certificates)
}

/// What a field with certificates holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Those that can be read, in order; never empty.
    pub read: Vec<CertificateInfo>,
    /// What is wrong with the others. Among roots and in `fulcioCAData` the engine passes over them; one of them among the intermediates
    /// makes every verification fail.
    pub skipped: Vec<KeyProblem>,
}

/// One certificate. Its texts come from outside: RFC 4514 escapes the control characters of names, those of addresses stand as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Whom it is for, as RFC 4514 writes names: `CN=Example Signing CA,O=Example Corp`.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// First second of its validity, since 1970.
    pub not_before: i64,
    /// Last second of its validity, since 1970.
    pub not_after: i64,
    /// Whether it may issue certificates, as Go decides it: the CA flag (none is needed before version 3) and, where given, the key usage.
    pub is_ca: bool,
    /// E-mail addresses among its alternative names.
    pub emails: Vec<String>,
    /// DNS names among them.
    pub hosts: Vec<String>,
    /// URIs among them: what Fulcio names workflows by, and the API cannot ask for.
    pub uris: Vec<String>,
    /// Its key. A certificate can be fine although its key is of an algorithm that nodes do not know or do not verify with.
    pub key: Result<PublicKeyInfo, KeyProblem>,
    /// Of the whole certificate in DER.
    pub fingerprint: Fingerprint,
    subject_der: Vec<u8>,
    issuer_der: Vec<u8>,
}

impl CertificateInfo {
    /// Subject and issuer are the same name.
    pub fn is_self_issued(&self) -> bool {
        self.subject_der == self.issuer_der
    }

    /// The end of its validity as `2046-11-20T13:20:17Z`.
    pub fn not_after_text(&self) -> String {
        time_text(self.not_after)
    }

    /// The start of its validity as `2026-11-22T13:20:17Z`.
    pub fn not_before_text(&self) -> String {
        time_text(self.not_before)
    }
}

fn time_text(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s"), |time| time.to_string())
}

/// The intermediates that no chain of issuers links to a root, by name only: nobody's signature is checked here.
pub fn unlinked<'a>(intermediates: &'a [CertificateInfo], roots: &[CertificateInfo]) -> Vec<&'a CertificateInfo> {
    let mut by_issuer: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (index, certificate) in intermediates.iter().enumerate() {
        by_issuer.entry(&certificate.issuer_der).or_default().push(index);
    }
    let mut linked = vec![false; intermediates.len()];
    let mut issuers: Vec<&[u8]> = roots.iter().map(|root| root.subject_der.as_slice()).collect();
    while let Some(issuer) = issuers.pop() {
        for index in by_issuer.remove(issuer).unwrap_or_default() {
            if let (Some(linked), Some(certificate)) = (linked.get_mut(index), intermediates.get(index)) {
                *linked = true;
                issuers.push(&certificate.subject_der);
            }
        }
    }
    intermediates.iter().zip(linked).filter(|(_, linked)| !linked).map(|(certificate, _)| certificate).collect()
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");

/// As `x509.ParsePKIXPublicKey`.
fn spki(der: &[u8]) -> Result<PublicKeyInfo, KeyProblem> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| not_a_public_key(der))?;
    let key = info.subject_public_key.as_bytes().ok_or(KeyProblem::Unparsable("its bits are not whole bytes"))?;
    let algorithm = info.algorithm;
    let algorithm = match algorithm.oid {
        RSA if algorithm.parameters.is_some_and(AnyRef::is_null) => rsa(key)?,
        RSA => return Err(KeyProblem::Unparsable("the NULL that belongs to an RSA key is missing")),
        EC => ecdsa(algorithm, key)?,
        ED25519 if algorithm.parameters.is_some() => {
            return Err(KeyProblem::Unparsable("an Ed25519 key has no parameters"));
        }
        ED25519 if key.len() == 32 => KeyAlgorithm::Ed25519,
        ED25519 => return Err(KeyProblem::Unparsable("an Ed25519 key has 32 bytes")),
        X25519 => return Err(KeyProblem::CannotVerify("X25519")),
        DSA => return Err(KeyProblem::CannotVerify("DSA")),
        other => return Err(KeyProblem::UnknownAlgorithm(other.to_string())),
    };
    Ok(key_info(algorithm, Fingerprint::of(der)))
}

fn not_a_public_key(der: &[u8]) -> KeyProblem {
    if rsa(der).is_ok() {
        KeyProblem::Unparsable("it is a PKCS#1 key, whose markers say RSA PUBLIC KEY")
    } else if Certificate::from_der(der).is_ok() {
        KeyProblem::Unparsable("it is a certificate under the markers of a key")
    } else {
        KeyProblem::Unparsable("it is cut off, damaged, or never was a public key")
    }
}

/// As `x509.ParsePKCS1PublicKey`, with the fingerprint of the same key written as SubjectPublicKeyInfo.
fn pkcs1(der: &[u8]) -> Result<PublicKeyInfo, KeyProblem> {
    if SubjectPublicKeyInfoRef::from_der(der).is_ok() {
        return Err(KeyProblem::Unparsable("its markers should say PUBLIC KEY, without RSA"));
    }
    let algorithm = rsa(der)?;
    let info = BitStringRef::from_bytes(der).and_then(|key| {
        SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef { oid: RSA, parameters: Some(AnyRef::NULL) },
            subject_public_key: key,
        }
        .to_der()
    });
    let info = info.map_err(|_| KeyProblem::Unparsable("it is too long"))?;
    Ok(key_info(algorithm, Fingerprint::of(&info)))
}

fn rsa(der: &[u8]) -> Result<KeyAlgorithm, KeyProblem> {
    let numbers = || -> Result<(usize, bool), x509_cert::der::Error> {
        let sequence = AnyRef::from_der(der)?;
        if sequence.header().tag() != Tag::Sequence {
            return Err(Tag::Sequence.value_error().into());
        }
        let mut reader = SliceReader::new(sequence.value())?;
        let modulus: UintRef<'_> = reader.decode()?;
        let exponent: UintRef<'_> = reader.decode()?;
        let bits =
            modulus.as_bytes().first().map_or(0, |first| modulus.as_bytes().len() * 8 - first.leading_zeros() as usize);
        // An int64 in Go, and not zero.
        let exponent = exponent.as_bytes();
        let usable = exponent.len() < 8 && exponent.iter().any(|byte| *byte != 0);
        Ok((bits, usable))
    };
    match numbers() {
        Ok((bits, true)) if bits > 0 => Ok(KeyAlgorithm::Rsa { bits }),
        Ok(_) => Err(KeyProblem::Unparsable("its RSA modulus or exponent makes no sense")),
        Err(_) => Err(KeyProblem::Unparsable("it is not an RSA key")),
    }
}

fn ecdsa(algorithm: AlgorithmIdentifierRef<'_>, point: &[u8]) -> Result<KeyAlgorithm, KeyProblem> {
    let oid = algorithm.parameters.and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
    let oid = oid.ok_or(KeyProblem::Unparsable("its elliptic curve is not given by name"))?.to_string();
    let Some(curve) = Curve::from_oid(&oid) else {
        return Err(KeyProblem::UnknownCurve(if oid == "1.3.132.0.10" { "secp256k1".to_owned() } else { oid }));
    };
    match point.first() {
        Some(2 | 3) => Err(KeyProblem::Unparsable("its point is in compressed form, which nodes do not read")),
        _ if curve.has_point(point) => Ok(KeyAlgorithm::Ecdsa(curve)),
        _ => Err(KeyProblem::Unparsable("its point is not on the curve, so at least one character is wrong")),
    }
}

fn key_info(algorithm: KeyAlgorithm, fingerprint: Fingerprint) -> PublicKeyInfo {
    let weakness = match algorithm {
        KeyAlgorithm::Rsa { bits: ..2048 } => Some("RSA keys of less than 2048 bits can be broken"),
        KeyAlgorithm::Ecdsa(Curve::P224) => Some("P-224 is too short a curve for signatures that must last"),
        _ => None,
    };
    PublicKeyInfo { algorithm, fingerprint, weakness, more_blocks: false }
}

/// As `x509.ParseCertificate`, as far as certificates in the wild go.
fn certificate(der: &[u8]) -> Result<CertificateInfo, KeyProblem> {
    let parsed = Certificate::from_der(der)
        .map_err(|_| KeyProblem::Unparsable("it is cut off, damaged, or never was a certificate"))?;
    let content = parsed.tbs_certificate();
    if content.signature() != parsed.signature_algorithm() {
        return Err(KeyProblem::Unparsable("it names two different signature algorithms"));
    }
    if content.serial_number().as_bytes().first().is_some_and(|first| *first >= 0x80) {
        return Err(KeyProblem::Unparsable("its serial number is negative"));
    }
    let names = [content.subject(), content.issuer()];
    if !names.iter().flat_map(|name| name.iter()).all(|part| is_text(&part.value)) {
        return Err(KeyProblem::Unparsable("its subject or issuer is not text"));
    }
    let key = content.subject_public_key_info().to_der().map_err(|_| not_a_public_key(der)).and_then(|key| spki(&key));
    match &key {
        Ok(_) | Err(KeyProblem::UnknownAlgorithm(_) | KeyProblem::CannotVerify(_)) => {}
        Err(KeyProblem::UnknownCurve(_)) => {
            return Err(KeyProblem::Unparsable("its key is on an elliptic curve that nodes do not know"));
        }
        Err(_) => return Err(KeyProblem::Unparsable("the key in it is damaged")),
    }
    let mut info = CertificateInfo {
        subject: content.subject().to_string(),
        issuer: content.issuer().to_string(),
        not_before: seconds(content.validity().not_before),
        not_after: seconds(content.validity().not_after),
        is_ca: false,
        emails: Vec::new(),
        hosts: Vec::new(),
        uris: Vec::new(),
        key,
        fingerprint: Fingerprint::of(der),
        subject_der: content.subject().to_der().unwrap_or_default(),
        issuer_der: content.issuer().to_der().unwrap_or_default(),
    };
    let damaged = |_| KeyProblem::Unparsable("one of its extensions is damaged");
    info.is_ca = match content.get_extension::<BasicConstraints>().map_err(damaged)? {
        Some((_, constraints)) => constraints.ca,
        None => content.version() != Version::V3,
    };
    if let Some((_, usage)) = content.get_extension::<KeyUsage>().map_err(damaged)? {
        info.is_ca &= usage.0.is_empty() || usage.key_cert_sign();
    }
    if let Some((_, names)) = content.get_extension::<SubjectAltName>().map_err(damaged)? {
        for name in names.0 {
            match name {
                GeneralName::Rfc822Name(email) => info.emails.push(email.to_string()),
                GeneralName::DnsName(host) => info.hosts.push(host.to_string()),
                GeneralName::UniformResourceIdentifier(uri) => info.uris.push(uri.to_string()),
                _ => {}
            }
        }
    }
    Ok(info)
}

/// The string types that Go reads in names.
fn is_text(value: &Any) -> bool {
    match value.tag() {
        Tag::Utf8String => std::str::from_utf8(value.value()).is_ok(),
        tag => matches!(
            tag,
            Tag::PrintableString | Tag::Ia5String | Tag::TeletexString | Tag::BmpString | Tag::NumericString
        ),
    }
}

fn seconds(time: x509_cert::time::Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

/// A PEM block.
struct Block<'a> {
    label: &'a [u8],
    has_headers: bool,
    der: Vec<u8>,
}

/// The first block and what follows it, as Go's `pem.Decode` finds it: both markers at the start of a line, text before it passed over, and so is a
/// block that cannot be read.
fn next_block(bytes: &[u8]) -> Option<(Block<'_>, &[u8])> {
    let mut rest = bytes;
    loop {
        let end = memmem::find(rest, b"\n-----END ")?;
        let after = rest.get(end + b"\n-----END ".len()..)?;
        if let Some(found) = block_between(rest.get(..end)?, after) {
            return Some(found);
        }
        rest = after;
    }
}

/// `before` is the text up to the line with the END marker, `after` what follows the marker's first word.
fn block_between<'a>(before: &'a [u8], after: &'a [u8]) -> Option<(Block<'a>, &'a [u8])> {
    let begin = memmem::rfind(before, b"-----BEGIN ")?;
    if begin > 0 && before.get(begin - 1) != Some(&b'\n') {
        return None;
    }
    let (first, mut body) = split_line(before.get(begin + b"-----BEGIN ".len()..)?);
    let label = first.strip_suffix(b"-----")?;
    let mut has_headers = false;
    loop {
        let (line, next) = split_line(body);
        if !line.contains(&b':') {
            break;
        }
        has_headers = true;
        body = next;
    }
    let (rest_of_line, rest) = split_line(after.strip_prefix(label)?.strip_prefix(b"-----")?);
    if !rest_of_line.is_empty() {
        return None;
    }
    Some((Block { label, has_headers, der: decode_base64(body)? }, rest))
}

/// The line without its end and the spaces before that, and the rest. A carriage return without a newline is no line end to Go.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match memchr::memchr(b'\n', bytes) {
        Some(newline) => {
            let line = bytes.get(..newline).unwrap_or_default();
            (line.strip_suffix(b"\r").unwrap_or(line), bytes.get(newline + 1..).unwrap_or_default())
        }
        None => (bytes, &[][..]),
    };
    let spaces = line.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    (line.get(..line.len() - spaces).unwrap_or_default(), rest)
}

/// As Go's `base64.StdEncoding` after white space: padding is required, spare bits may be anything.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    const LIKE_GO: GeneralPurpose =
        GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    let text: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).collect();
    LIKE_GO.decode(text).ok()
}

fn other_block(label: &[u8]) -> KeyProblem {
    if label.starts_with(b"PGP ") {
        return KeyProblem::PgpKey;
    }
    let plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ';
    let label = Some(label).filter(|label| label.len() <= 40 && label.iter().all(plain));
    KeyProblem::OtherBlock(label.map(|label| String::from_utf8_lossy(label).into_owned()))
}

/// Why no PEM block is to be found in it.
fn no_block(bytes: &[u8]) -> KeyProblem {
    let text = bytes.trim_ascii();
    let has = |marker: &[u8]| memmem::find(text, marker).is_some();
    if text.is_empty() {
        KeyProblem::Empty
    } else if has(b"PGP PUBLIC KEY BLOCK") || matches!(text.first(), Some(0x98 | 0x99 | 0xc6)) {
        KeyProblem::PgpKey
    } else if [&b"ssh-"[..], b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-"].iter().any(|kind| text.starts_with(kind))
        || has(b"BEGIN SSH2 PUBLIC KEY")
    {
        KeyProblem::SshKey
    } else if has(b"-----BEGIN ") {
        KeyProblem::DamagedPem(damage(text))
    } else if is_public_der(bytes) {
        KeyProblem::BinaryDer
    } else {
        match decode_base64(text) {
            Some(inner) if memmem::find(&inner, b"-----BEGIN ").is_some() => KeyProblem::DoubleBase64,
            Some(inner) if is_public_der(&inner) => KeyProblem::NoMarkers,
            _ => KeyProblem::NotPem,
        }
    }
}

fn is_public_der(bytes: &[u8]) -> bool {
    SubjectPublicKeyInfoRef::from_der(bytes).is_ok() || Certificate::from_der(bytes).is_ok()
}

/// Of a text with a BEGIN marker, in which no block was found.
fn damage(text: &[u8]) -> &'static str {
    let starts_line = |at: usize| at == 0 || text.get(at - 1) == Some(&b'\n');
    let begin = memmem::find(text, b"-----BEGIN ");
    if text.starts_with(b"\xef\xbb\xbf") {
        return "a byte-order mark stands before it";
    }
    if memmem::find(text, b"-----\\n").is_some() || memmem::find(text, b"-----\\r").is_some() {
        return "its lines are separated by a backslash and a letter, not by line ends";
    }
    if !begin.is_some_and(starts_line) {
        return "its BEGIN marker is not at the start of a line";
    }
    match memmem::find(text, b"-----END ") {
        None => "its END marker is missing",
        Some(_) if !text.contains(&b'\n') => "it is all on one line",
        Some(end) if !starts_line(end) => "its END marker is not at the start of a line",
        Some(_) => "its markers do not belong together, or what is between them is not base64",
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    // Made with openssl 3.0 for these tests, fingerprints by `openssl pkey -pubin -outform DER | sha256sum`.
    const P256: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfqNcRctKG8NP8BVIFo3OCqFhn0ls
YtchuJBZo6T39DLG9XXz7d/MPStcc3wgGyyZBlK67gKpi/jWEDFKIQqqpQ==
-----END PUBLIC KEY-----
";
    const P224: &str = "\
-----BEGIN PUBLIC KEY-----
ME4wEAYHKoZIzj0CAQYFK4EEACEDOgAEd2wtDlAg3L5tGBRFO0i+1bXkKv8a06JD
kcaFf8X7nVjk08c+bbryOBRVb2LUzNJYYsXNVVHrB5o=
-----END PUBLIC KEY-----
";
    const P384: &str = "\
-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEDFFHd/cmstcxu2CgJFVmE8lSZzEOZRvy
ix1HSNEERIYpsJEGjyV8V3JuuCFI/vTp0m/aqOyITEszjLuxn8qbnjXj5mnpDfGs
PXpcFQ3ZBFb2/YZZFAZ9C28s8fktdf50
-----END PUBLIC KEY-----
";
    const P521: &str = "\
-----BEGIN PUBLIC KEY-----
MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAijve0ScSZpx6RILsHx07bVZQXEhZ
8r+JnPTAq1MRxm+/hdDVBw8M893mCPybTfomolTvDTYEM9BGAs+Fa5MhQ/8AF71o
zS6Gu+36xX0RlF1GGc3AjpxV2LMHiVr8sb5yDv5ADt7wZKPlMBFeX8ImrpyZjzgo
pbu1Ttknox6B/cFek10=
-----END PUBLIC KEY-----
";
    const SECP256K1: &str = "\
-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEURl43yLlUv8yOSmGwSyfpNn4a77APptQ
BVbkd/aqUnSTcZPj4mEkLhBnbjP7m0TD5Gd3+1Qz0VrJKEcQAxRJRw==
-----END PUBLIC KEY-----
";
    const COMPRESSED: &str = "\
-----BEGIN PUBLIC KEY-----
MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgADfqNcRctKG8NP8BVIFo3OCqFhn0ls
YtchuJBZo6T39DI=
-----END PUBLIC KEY-----
";
    const EXPLICIT: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBSzCCAQMGByqGSM49AgEwgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAA
AAAAAAAAAAAA////////////////MFsEIP////8AAAABAAAAAAAAAAAAAAAA////
///////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMVAMSd
NgiG5wSTamZ44ROdJreBn36QBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5
RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9QIhAP////8AAAAA
//////////+85vqtpxeehPO5ysL8YyVRAgEBA0IABH6jXEXLShvDT/AVSBaNzgqh
YZ9JbGLXIbiQWaOk9/QyxvV18+3fzD0rXHN8IBssmQZSuu4CqYv41hAxSiEKqqU=
-----END PUBLIC KEY-----
";
    const ED25519_KEY: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAgyeTG6NP7ZmASv7SmBtfL7oG1AvOarfnMOEWP7suAGY=
-----END PUBLIC KEY-----
";
    const X25519_KEY: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEAEFTEd3fTBm/iKD6jPy5MX2LdS6ft3rjdCDz/AflcBGk=
-----END PUBLIC KEY-----
";
    const ED448_KEY: &str = "\
-----BEGIN PUBLIC KEY-----
MEMwBQYDK2VxAzoA9MvTToSg1EJubed1ULiRhbDtvXwTSQGsWeYnQz4Crf3ZQOpK
KyPyj+RzK49X+XXK7XErX0GVkmUA
-----END PUBLIC KEY-----
";
    const RSA1024: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC0RzshYBMM11AHeEdSZPrZRf7P
7GnCTO79fmqyfTleD2zMvQyxDRlPkbbZPCDgyWlpOy1KLvrlPcamC93kA2locPqw
z71ERnnLTRJSqbxvTOKfhO9YXjwB/0Uij+UWl0ktSB1O3mM54Iic/wozWAnwH2zg
vn0y0V9YzlmqNfPLdQIDAQAB
-----END PUBLIC KEY-----
";
    const RSA1024_PKCS1: &str = "\
-----BEGIN RSA PUBLIC KEY-----
MIGJAoGBALRHOyFgEwzXUAd4R1Jk+tlF/s/sacJM7v1+arJ9OV4PbMy9DLENGU+R
ttk8IODJaWk7LUou+uU9xqYL3eQDaWhw+rDPvURGectNElKpvG9M4p+E71hePAH/
RSKP5RaXSS1IHU7eYzngiJz/CjNYCfAfbOC+fTLRX1jOWao188t1AgMBAAE=
-----END RSA PUBLIC KEY-----
";
    const RSA2048: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAuCXq/nia+Lr1oiBQFeDa
T2bSGcMtm2eflj1ioo7bnqYKtOI0+b6sA/NrZ9LzXkG9FTNY+LzfWrFWO9LrHltp
v3DeFAwkxd7mQ7M3ZpJ0MVBQlF3MguJrQ+bclYGFaGkie5YK1qSPQtb2Kar63GGE
WqMqzuffvX9Ln4be15AmLdSKC8qbhlvRLSkeRDtL/QjfDLfhvN2Zi55GQGTbFQCJ
kmAzkCVe8VkB0es3ZBvCjGCZV3SN4DtEhKeY2D0DBXzDP/t9xDJSsKoPQ0K+y1rb
I07XiOnoJdRembQm+OGBOjUCLY2QT7AAQaaoOPNxHFP7wTC8XAie1H+eVJOIm7Hf
fQIDAQAB
-----END PUBLIC KEY-----
";
    const ROOT: &str = "\
-----BEGIN CERTIFICATE-----
MIIBoTCCAUegAwIBAgIUKk2WO/PpBDzraf9rT5Sl0+1GmlUwCgYIKoZIzj0EAwIw
JjEVMBMGA1UECgwMRXhhbXBsZSBDb3JwMQ0wCwYDVQQDDARSb290MB4XDTI2MTEy
MjEzMzU1MVoXDTQ2MTEyMjEzMzU1MVowJjEVMBMGA1UECgwMRXhhbXBsZSBDb3Jw
MQ0wCwYDVQQDDARSb290MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYxBNXi9H
iLxnPtGkmxWmL2oqbHXKdMUqlMHbirWhJM7ikynbsMo/EYY+COdDCqGUKlMzjoK/
p2VZM2r+H6qTO6NTMFEwHQYDVR0OBBYEFLtyhBBxUph6kUsKe0GjctxXK/dUMB8G
A1UdIwQYMBaAFLtyhBBxUph6kUsKe0GjctxXK/dUMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSAAwRQIhAKdL4y1YD2P+5baxY1PGcAxZD1sM055IKeqn/mbz
66JZAiAVS+7efLPQJTV/Sn09OF7YV70gV2g/nNTh+f/EgvAWFw==
-----END CERTIFICATE-----
";
    const ISSUING: &str = "\
-----BEGIN CERTIFICATE-----
MIIBtDCCAVqgAwIBAgIUBB5qG5+Lh3TkKPrNJZ9bhOleTuUwCgYIKoZIzj0EAwIw
JjEVMBMGA1UECgwMRXhhbXBsZSBDb3JwMQ0wCwYDVQQDDARSb290MB4XDTI2MTEy
MjEzMzU1MVoXDTQ2MTExNzEzMzU1MVowKTEVMBMGA1UECgwMRXhhbXBsZSBDb3Jw
MRAwDgYDVQQDDAdJc3N1aW5nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqABb
3bDXfYUQEJWOVGRTnKIqDpXv3VeZtw4ULZ7DfbM5yyd1E1iyU46Hz4s4oI2uYUzs
e8IaWZFPDtx7GvtZUKNjMGEwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMC
AgQwHQYDVR0OBBYEFPiF63+UQNrbc1sJQu23S7jqCxq8MB8GA1UdIwQYMBaAFLty
hBBxUph6kUsKe0GjctxXK/dUMAoGCCqGSM49BAMCA0gAMEUCIQC3CmzptDKRw2HZ
kHVTVocw/yLYeA7Lm+1nZbM4PLhakQIgbQcDgsrOFRwi20bIxyyZrDezpwMYtF/I
TligLnyRaIA=
-----END CERTIFICATE-----
";
    const LEAF: &str = "\
-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUMHH3YmEUqEVizaLPwNfHA88yh1kwCgYIKoZIzj0EAwIw
KTEVMBMGA1UECgwMRXhhbXBsZSBDb3JwMRAwDgYDVQQDDAdJc3N1aW5nMB4XDTI2
MTEyMjEzMzU1MVoXDTI2MTIwMjEzMzU1MVowETEPMA0GA1UEAwwGYnVpbGRzMCow
BQYDK2VwAyEADCpWjJ8Hf3MQdOwKqNSMFVz3PhqrR0/OC1bklGvHyvujgY0wgYow
SAYDVR0RBEEwP4ESYnVpbGRzQGV4YW1wbGUuY29tgg5jaS5leGFtcGxlLmNvbYYZ
aHR0cHM6Ly9leGFtcGxlLmNvbS93LnltbDAdBgNVHQ4EFgQUMdgrJzft/y1wSIBU
X6I7qUjivvgwHwYDVR0jBBgwFoAU+IXrf5RA2ttzWwlC7bdLuOoLGrwwCgYIKoZI
zj0EAwIDSQAwRgIhAJR9/W034RhPzThma2dBpCDZdiuUYwm4GgsRU/FX4d03AiEA
w3dw39uddJB4CBSU1JimOFJ9P0oz8vc9iTw0Fdw8ywo=
-----END CERTIFICATE-----
";
    const PRIVATE: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgH2nFSePDtMF9yBLp
xYe9a2NIMFwTouOCqn7CS8g9PsGhRANCAAR+o1xFy0obw0/wFUgWjc4KoWGfSWxi
1yG4kFmjpPf0Msb1dfPt38w9K1xzfCAbLJkGUrruAqmL+NYQMUohCqql
-----END PRIVATE KEY-----
";

    fn lines(pem: &str, keep: impl Fn(usize) -> bool) -> String {
        pem.lines().enumerate().filter(|(index, _)| keep(*index)).map(|(_, line)| format!("{line}\n")).collect()
    }

    fn der(pem: &str) -> Vec<u8> {
        next_block(pem.as_bytes()).map(|(block, _)| block.der).unwrap_or_default()
    }

    #[test]
    fn keys_are_known_by_algorithm_and_fingerprint() {
        for (pem, algorithm, fingerprint, weak) in [
            (P256, "ECDSA P-256", "b1241eb525acd14ab0163dbcfbfbd0658735b0a70a7f48671ba45311858db1d8", false),
            (P224, "ECDSA P-224", "90295187b372b49507f06ed5d553ebed35728dcf1e16949488c1f92bfcabdc0f", true),
            (P384, "ECDSA P-384", "e1e658afdea3d1830be9ff37e244e4bb90f07b25a2c15e91920a946805fbf9d2", false),
            (P521, "ECDSA P-521", "9bcb7936b5a5166f02e66fb15ec0664420557a8698a25ee0076a9bf069ec3b1b", false),
            (ED25519_KEY, "Ed25519", "93ba4ff93bee9430b0096159ece17196f1bc371faa5f70005a5f1f4d5d52590e", false),
            (RSA1024, "RSA 1024", "609e8610ec4040fa0253993410e20df700e7971d8a5024442b668d948930ca73", true),
            (RSA1024_PKCS1, "RSA 1024", "609e8610ec4040fa0253993410e20df700e7971d8a5024442b668d948930ca73", true),
            (RSA2048, "RSA 2048", "ca9d0e2c1706021d2b063c66ec1c3e15dd527c5f8cfe88744be10bb043faa845", false),
        ] {
            let key = inspect_public_key(pem.as_bytes()).unwrap();
            assert_eq!(key.algorithm.to_string(), algorithm);
            assert_eq!(key.fingerprint.to_string(), format!("SHA256:{fingerprint}"), "{algorithm}");
            assert_eq!(key.weakness.is_some(), weak, "{algorithm}");
            assert!(!key.more_blocks);
        }
        let key = inspect_public_key(P256.as_bytes()).unwrap();
        assert_eq!(key.to_string(), "SHA256:b124…d8 (ECDSA P-256)");
    }

    #[test]
    fn a_key_is_read_where_go_reads_it() {
        let spaced = P256.replace("\nYt", " \t\nYt");
        for text in [
            P256.replace('\n', "\r\n"),
            P256.trim_end().to_owned(),
            format!("some words\n{P256}others\n"),
            P256.replace("KEY-----\nMF", "KEY-----\nComment: yes\n\nMF"),
            format!("-----BEGIN NOTHING-----\n{P256}"),
            spaced,
        ] {
            let key = inspect_public_key(text.as_bytes());
            assert!(key.is_ok_and(|key| !key.more_blocks), "{text}");
        }
        let two = inspect_public_key(format!("{ED25519_KEY}{P256}").as_bytes()).unwrap();
        assert_eq!((two.algorithm, two.more_blocks), (KeyAlgorithm::Ed25519, true));
    }

    #[test]
    fn what_is_wrong_with_a_key_is_said_in_words() {
        let wrong_character = P256.replace("fqNc", "fqNd");
        let twice = STANDARD.encode(P256);
        let wrapped_twice =
            twice.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + "\n").collect::<String>();
        let body = lines(P256, |index| index == 1 || index == 2);
        let cut = "its BEGIN marker is not at the start of a line";
        for (bytes, problem, words) in [
            (b"".to_vec(), KeyProblem::Empty, "is empty"),
            (b" \n\n".to_vec(), KeyProblem::Empty, "is empty"),
            (b"foo bar".to_vec(), KeyProblem::NotPem, "is not PEM"),
            (twice.clone().into(), KeyProblem::DoubleBase64, "is base64 twice"),
            (wrapped_twice.into(), KeyProblem::DoubleBase64, "is base64 twice"),
            (body.into(), KeyProblem::NoMarkers, "without its BEGIN and END lines"),
            (der(P256), KeyProblem::BinaryDer, "binary DER"),
            (ROOT.into(), KeyProblem::Certificate, "is a certificate"),
            (PRIVATE.into(), KeyProblem::PrivateKey, "holds a private key"),
            (format!("{P256}{PRIVATE}").into(), KeyProblem::PrivateKey, "holds a private key"),
            (STANDARD.encode(PRIVATE).into(), KeyProblem::PrivateKey, "holds a private key"),
            (der(PRIVATE), KeyProblem::PrivateKey, "holds a private key"),
            (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== me".to_vec(), KeyProblem::SshKey, "SSH"),
            (
                b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----".to_vec(),
                KeyProblem::PgpKey,
                "OpenPGP",
            ),
            (
                P256.replace("PUBLIC KEY", "X509 CRL").into(),
                KeyProblem::OtherBlock(Some("X509 CRL".into())),
                "something else: X509 CRL",
            ),
            (P256.replace("PUBLIC KEY", "\x1b[31m").into(), KeyProblem::OtherBlock(None), "is PEM of something else"),
            (
                lines(P256, |index| index != 2).into(),
                KeyProblem::Unparsable("it is cut off, damaged, or never was a public key"),
                "the right markers, but its body cannot be read",
            ),
            (
                wrong_character.into(),
                KeyProblem::Unparsable("its point is not on the curve, so at least one character is wrong"),
                "not on the curve",
            ),
            (
                COMPRESSED.into(),
                KeyProblem::Unparsable("its point is in compressed form, which nodes do not read"),
                "compressed",
            ),
            (EXPLICIT.into(), KeyProblem::Unparsable("its elliptic curve is not given by name"), "curve"),
            (
                RSA1024_PKCS1.replace("RSA PUBLIC", "PUBLIC").into(),
                KeyProblem::Unparsable("it is a PKCS#1 key, whose markers say RSA PUBLIC KEY"),
                "PKCS#1",
            ),
            (
                RSA1024.replace("PUBLIC", "RSA PUBLIC").into(),
                KeyProblem::Unparsable("its markers should say PUBLIC KEY, without RSA"),
                "without RSA",
            ),
            (
                ROOT.replace("CERTIFICATE", "PUBLIC KEY").into(),
                KeyProblem::Unparsable("it is a certificate under the markers of a key"),
                "certificate",
            ),
            (SECP256K1.into(), KeyProblem::UnknownCurve("secp256k1".into()), "(secp256k1)"),
            (ED448_KEY.into(), KeyProblem::UnknownAlgorithm("1.3.101.113".into()), "(1.3.101.113)"),
            (X25519_KEY.into(), KeyProblem::CannotVerify("X25519"), "X25519"),
            (
                format!("\u{feff}{P256}").into(),
                KeyProblem::DamagedPem("a byte-order mark stands before it"),
                "byte-order",
            ),
            (format!("key: {P256}").into(), KeyProblem::DamagedPem(cut), cut),
            (
                P256.replace('\n', "\\n").into(),
                KeyProblem::DamagedPem("its lines are separated by a backslash and a letter, not by line ends"),
                "backslash",
            ),
            (P256.replace('\n', " ").into(), KeyProblem::DamagedPem("it is all on one line"), "one line"),
            (P256.replace('\n', "\r").into(), KeyProblem::DamagedPem("it is all on one line"), "one line"),
            (
                P256.replace("\n-----END", "\n  -----END").into(),
                KeyProblem::DamagedPem("its END marker is not at the start of a line"),
                "END",
            ),
            (lines(P256, |index| index < 3).into(), KeyProblem::DamagedPem("its END marker is missing"), "END"),
            (
                P256.replace("MFkw", "MF*w").into(),
                KeyProblem::DamagedPem("its markers do not belong together, or what is between them is not base64"),
                "not base64",
            ),
        ] {
            let found = inspect_public_key(&bytes).unwrap_err();
            assert_eq!(found, problem, "{}", String::from_utf8_lossy(&bytes));
            assert!(found.to_string().contains(words), "{found}");
        }
    }

    #[test]
    fn rekor_takes_ecdsa_only() {
        assert!(inspect_rekor_key(P384.as_bytes()).is_ok());
        let problem = inspect_rekor_key(RSA2048.as_bytes()).unwrap_err();
        assert_eq!(problem.to_string(), "is an RSA 2048 key: the key of Rekor must be ECDSA");
        assert_eq!(inspect_rekor_key(b""), Err(KeyProblem::Empty));
    }

    #[test]
    fn certificates_are_read() {
        let chain = inspect_certificates(format!("{ISSUING}{LEAF}").as_bytes()).unwrap();
        assert_eq!(chain.skipped, []);
        let [issuing, leaf] = &chain.read[..] else { panic!("{chain:?}") };
        assert_eq!(
            (issuing.subject.as_str(), issuing.issuer.as_str()),
            ("CN=Issuing,O=Example Corp", "CN=Root,O=Example Corp")
        );
        assert_eq!(
            (issuing.not_before_text().as_str(), issuing.not_after_text().as_str()),
            ("2026-11-22T13:35:51Z", "2046-11-17T13:35:51Z")
        );
        assert_eq!(
            issuing.fingerprint.to_string(),
            "SHA256:bc62f41ce501dc719ce0e85d4153bc8162e0e5c1c002a692161081434d740673"
        );
        assert!(issuing.is_ca && !issuing.is_self_issued());
        assert_eq!(issuing.key.as_ref().map(|key| key.algorithm), Ok(KeyAlgorithm::Ecdsa(Curve::P256)));
        assert!(!leaf.is_ca);
        assert_eq!(leaf.not_after - leaf.not_before, 10 * 24 * 60 * 60);
        assert_eq!(
            (&leaf.emails[..], &leaf.hosts[..], &leaf.uris[..]),
            (
                &["builds@example.com".to_owned()][..],
                &["ci.example.com".to_owned()][..],
                &["https://example.com/w.yml".to_owned()][..]
            )
        );
        assert_eq!(leaf.key.as_ref().map(|key| key.algorithm), Ok(KeyAlgorithm::Ed25519));

        let roots = inspect_certificates(ROOT.as_bytes()).unwrap();
        assert!(roots.read[0].is_self_issued() && roots.read[0].is_ca);
        assert_eq!(unlinked(&chain.read, &roots.read), Vec::<&CertificateInfo>::new());
        assert_eq!(unlinked(&chain.read[1..], &roots.read), [leaf]);
        assert_eq!(unlinked(&chain.read, &[]).len(), 2);
    }

    #[test]
    fn what_is_wrong_with_certificates_is_said() {
        let damaged = lines(ISSUING, |index| index != 3);
        let some = inspect_certificates(format!("{P256}{ROOT}{damaged}and so on").as_bytes()).unwrap();
        assert_eq!(some.read.len(), 1);
        assert_eq!(
            some.skipped,
            [
                KeyProblem::PublicKey,
                KeyProblem::Unparsable("it is cut off, damaged, or never was a certificate"),
                KeyProblem::TextAfter
            ]
        );
        let mut off_curve = der(ROOT);
        let at = memmem::find(&off_curve, b"\x03\x42\x00\x04").unwrap() + 20;
        off_curve[at] ^= 1;
        let off_curve =
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", STANDARD.encode(off_curve));
        assert_eq!(inspect_certificates(off_curve.as_bytes()), Err(KeyProblem::Unparsable("the key in it is damaged")));
        assert_eq!(inspect_certificates(P256.as_bytes()), Err(KeyProblem::PublicKey));
        assert_eq!(inspect_certificates(b""), Err(KeyProblem::Empty));
        assert_eq!(inspect_certificates(STANDARD.encode(ROOT).as_bytes()), Err(KeyProblem::DoubleBase64));
        assert_eq!(inspect_certificates(&der(ROOT)), Err(KeyProblem::BinaryDer));
        assert_eq!(inspect_certificates(format!("{ROOT}{PRIVATE}").as_bytes()), Err(KeyProblem::PrivateKey));
    }

    #[test]
    fn any_cut_of_a_key_is_an_answer() {
        for pem in [P521, RSA2048, LEAF] {
            let der = der(pem);
            for end in 0..der.len() {
                let cut =
                    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&der[..end]));
                assert!(inspect_public_key(cut.as_bytes()).is_err(), "{end}");
                assert!(inspect_certificates(cut.replace("PUBLIC KEY", "CERTIFICATE").as_bytes()).is_err(), "{end}");
            }
            for end in 0..pem.len() - "KEY-----".len() {
                assert!(inspect_public_key(&pem.as_bytes()[..end]).is_err(), "{end}");
            }
        }
    }
}
