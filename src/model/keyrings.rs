//! GPG keyrings, as `signedBy` takes them: whose keys they hold, until when, and why the engine cannot use one, in words.
//!
//! The engine imports a keyring anew for each signature (`policy_eval_signedby.go`). RHCOS builds it with gpgme, that is, it runs `gpg --import`:
//! binary or ASCII-armored, any number of keys and of armored blocks. Built with `containers_image_openpgp` it reads binary, else the first armored
//! block (`mechanism_openpgp.go`). Where no key comes out of it, all signatures are rejected with `No public keys imported`. With gpgme a
//! signature counts only if gpg has nothing to say about its key (`mechanism_gpgme.go`: `sig.Status`): one by a key that has expired by now is
//! rejected (`EXPKEYSIG`), whenever it was made, and so is one by a revoked key; the other build knows revoked keys only.

use std::fmt::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use pgp::packet::{KeyFlags, PacketHeader, PublicKey, PublicSubkey, Signature, SignatureType, UserId};
use pgp::types::{KeyDetails, Tag};

use super::private_keys::contains_private_key;

/// What a keyring holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring {
    /// In order; never empty.
    pub keys: Vec<GpgKey>,
    /// What lies beside them and cannot be read: broken keys, blocks and packets.
    pub skipped: usize,
}

/// One key with its subkeys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpgKey {
    /// Of the primary key, in upper-case hexadecimal digits: 40, or 64 of a key of version 6. This is what the engine compares.
    pub fingerprint: Box<str>,
    /// Such as `RSA 4096`, `Ed25519`, `ECDSA P-256`.
    pub algorithm: Box<str>,
    /// Whose it claims to be, such as `Example Release <release@example.com>`: anybody's text. Only those that the key itself signed.
    pub user_ids: Vec<String>,
    /// In seconds since 1970.
    pub created: i64,
    /// The first second, since 1970, at which nothing that it signs or has signed is accepted any more; of those of its subkeys that sign the last.
    pub expires: Option<i64>,
    /// Its owner took it back.
    pub revoked: bool,
    /// It, or one of its subkeys, may sign.
    pub can_sign: bool,
}

impl GpgKey {
    /// For people: `3F9C…E1`.
    pub fn short(&self) -> String {
        let shortened = self.fingerprint.get(..4).zip(self.fingerprint.get(self.fingerprint.len().saturating_sub(2)..));
        shortened.map_or_else(|| self.fingerprint.to_string(), |(head, tail)| format!("{head}…{tail}"))
    }

    /// Why no signature by it counts, at a time in seconds since 1970; as half a sentence.
    pub fn fault(&self, now: i64) -> Option<KeyFault> {
        match self.expires {
            _ if self.revoked => Some(KeyFault::Revoked),
            Some(expires) if expires <= now => Some(KeyFault::Expired(expires)),
            _ if !self.can_sign => Some(KeyFault::CannotSign),
            _ => None,
        }
    }
}

/// `3F9C…E1 (Example Release <release@example.com>)`
impl fmt::Display for GpgKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())?;
        self.user_ids.first().map_or(Ok(()), |user_id| write!(f, " ({user_id})"))
    }
}

/// Why no signature by a key counts. Prints as what follows its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Since then, in seconds since 1970.
    Expired(i64),
    /// Its owner took it back.
    Revoked,
    /// It is for encryption.
    CannotSign,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(since) => write!(f, "expired on {}", day(*since)),
            Self::Revoked => f.write_str("is revoked"),
            Self::CannotSign => f.write_str("is not for signing"),
        }
    }
}

/// Seconds since 1970 as a date: `2027-03-01`.
pub fn day(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds);
    time.map_or_else(|_| format!("{seconds} s"), |time| time.strftime("%Y-%m-%d").to_string())
}

/// Why no key can be taken out of a keyring. Prints as what follows a field's name: `keyData` … `is empty`. Never quotes what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyringProblem {
    /// Nothing, or white space.
    Empty,
    /// A private key is in it, alone or beside public ones. It is to be considered stolen.
    PrivateKey,
    /// PEM of a public key: what `sigstoreSigned` takes.
    SigstoreKey,
    /// Something else in PEM or the like; the text names it with its article.
    SomethingElse(&'static str),
    /// Base64 of a keyring, where the keyring itself is wanted.
    Base64,
    /// The path of a file, where its content is wanted.
    Path,
    /// Nothing that is known here.
    NotAKeyring,
    /// It has the marks of a keyring, and no key in it can be read; the text says why.
    Broken(&'static str),
    /// Larger than any keyring.
    TooLarge,
}

impl fmt::Display for KeyringProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::PrivateKey => f.write_str("holds a private key"),
            Self::SigstoreKey => f.write_str("is a public key for sigstore, not a GPG keyring"),
            Self::SomethingElse(what) => write!(f, "is {what}, not a GPG keyring"),
            Self::Base64 => f.write_str("is the base64 of a GPG keyring, not the keyring itself"),
            Self::Path => f.write_str("is the path of a file, not a GPG keyring"),
            Self::NotAKeyring => f.write_str("is not a GPG keyring"),
            Self::Broken(why) => write!(f, "is a GPG keyring that cannot be read: {why}"),
            Self::TooLarge => write!(f, "is larger than any GPG keyring ({} KiB)", LARGEST >> 10),
        }
    }
}

impl KeyringProblem {
    /// What to do about it, with a command.
    pub fn help(&self) -> &'static str {
        match self {
            Self::PrivateKey => {
                "make a new key, as whoever can read this has the old one, and give its public half: gpg --export NAME >release.gpg"
            }
            Self::SigstoreKey => {
                "images signed with cosign need a ClusterImagePolicy; for GPG: gpg --export NAME >release.gpg"
            }
            Self::Base64 => "decode it once: base64 -d <FILE >release.gpg",
            Self::Path => "name the file as keyPath, or encode its content: base64 -w0 <release.gpg",
            _ => "export the public key: gpg --export NAME >release.gpg",
        }
    }
}

/// The keys of a keyring, binary or ASCII-armored. Half a millisecond a key: their own signatures are checked, since those say when they expire.
///
/// # Errors
/// Why there is none.
pub fn inspect_keyring(bytes: &[u8]) -> Result<Keyring, KeyringProblem> {
    if bytes.trim_ascii().is_empty() {
        return Err(KeyringProblem::Empty);
    }
    if bytes.len() > LARGEST {
        return Err(KeyringProblem::TooLarge);
    }
    if contains_private_key(bytes) {
        return Err(KeyringProblem::PrivateKey);
    }
    let mut ring = Reading::default();
    if is_binary(bytes) {
        ring.read(bytes)?;
    } else {
        let blocks = armored_blocks(bytes);
        if blocks.is_empty() {
            return Err(what_it_is(bytes));
        }
        for block in blocks {
            match block {
                Ok(packets) => ring.read(&packets)?,
                Err(why) => ring.skip(why),
            }
        }
    }
    ring.finish()
}

/// A keyring of a thousand keys is smaller.
const LARGEST: usize = 4 << 20;
/// Keys of a keyring that are looked at; others are skipped.
const MOST_KEYS: usize = 1000;
/// Names and subkeys of one key, and signatures by itself on each of them, that are looked at.
const MOST_PARTS: usize = 200;
/// Signatures that are checked in all: a hostile key makes each of them as dear as it can.
const MOST_CHECKS: usize = 300;
/// RSA of 16384 bits fits, and numbers that take seconds to reckon with do not.
const LARGEST_KEY: usize = 2200;

/// A packet begins with a set bit, text does not.
fn is_binary(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x80 != 0) && !bytes.starts_with(b"\xef\xbb\xbf")
}

/// Keys as they come.
#[derive(Default)]
struct Reading {
    keys: Vec<Certificate>,
    skipped: usize,
    why: Option<&'static str>,
    /// Packets that follow belong to a key that was left out.
    is_skipping: bool,
}

/// A key with what belongs to it.
struct Certificate {
    key: PublicKey,
    algorithm: Box<str>,
    signatures: Vec<Signature>,
    parts: Vec<Part>,
}

struct Part {
    kind: PartKind,
    signatures: Vec<Signature>,
}

enum PartKind {
    User(UserId),
    Subkey(Box<PublicSubkey>),
    /// Pictures and the like.
    Other,
}

impl Reading {
    fn skip(&mut self, why: &'static str) {
        self.skipped += 1;
        self.why.get_or_insert(why);
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), KeyringProblem> {
        self.is_skipping = true;
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some((tag, body, after)) = packet(rest) else {
                self.skip("a packet is cut off or has no valid length");
                break;
            };
            rest = after;
            match tag {
                SECRET_KEY | SECRET_SUBKEY => return Err(KeyringProblem::PrivateKey),
                PUBLIC_KEY => self.begin(body),
                _ if self.is_skipping => {
                    if !matches!(tag, SIGNATURE | TRUST | USER_ID | PUBLIC_SUBKEY | USER_ATTRIBUTE | MARKER) {
                        self.skip("it holds something else than keys");
                    }
                }
                _ => self.keys.last_mut().map_or((), |key| key.add(tag, body)),
            }
        }
        Ok(())
    }

    fn begin(&mut self, body: &[u8]) {
        self.is_skipping = true;
        if self.keys.len() >= MOST_KEYS || body.len() > LARGEST_KEY {
            return self.skip("it is too large");
        }
        let key = header(Tag::PublicKey, body).and_then(|header| PublicKey::try_from_reader(header, body).ok());
        match key {
            Some(key) if matches!(body.first(), Some(4 | 6)) => {
                let algorithm = algorithm(body);
                self.keys.push(Certificate { key, algorithm, signatures: Vec::new(), parts: Vec::new() });
                self.is_skipping = false;
            }
            Some(_) => self.skip("its key is of a version that nobody takes any more"),
            None => self.skip("its key is damaged or of an unknown kind"),
        }
    }

    fn finish(self) -> Result<Keyring, KeyringProblem> {
        let Self { keys, skipped, why, .. } = self;
        if keys.is_empty() {
            return Err(KeyringProblem::Broken(why.unwrap_or("there is no key in it")));
        }
        let mut checks = MOST_CHECKS;
        let (with_names, nameless): (Vec<GpgKey>, Vec<GpgKey>) = (keys.iter().map(|key| key.info(&mut checks)))
            .partition(|key| !key.user_ids.is_empty() || key.fingerprint.len() > 40);
        // As gpg: a key whose names it did not sign itself is not imported.
        if with_names.is_empty() {
            return Err(KeyringProblem::Broken("its key signed no name of its own"));
        }
        Ok(Keyring { keys: with_names, skipped: skipped + nameless.len() })
    }
}

impl Certificate {
    fn add(&mut self, tag: u8, body: &[u8]) {
        let kind = match tag {
            USER_ID => header(Tag::UserId, body)
                .and_then(|header| UserId::try_from_reader(header, body).ok())
                .map_or(PartKind::Other, PartKind::User),
            PUBLIC_SUBKEY if body.len() <= LARGEST_KEY => header(Tag::PublicSubkey, body)
                .and_then(|header| PublicSubkey::try_from_reader(header, body).ok())
                .filter(|_| matches!(body.first(), Some(4 | 6)))
                .map_or(PartKind::Other, |subkey| PartKind::Subkey(Box::new(subkey))),
            PUBLIC_SUBKEY | USER_ATTRIBUTE => PartKind::Other,
            SIGNATURE => return self.sign(body),
            _ => return,
        };
        if self.parts.len() < MOST_PARTS {
            self.parts.push(Part { kind, signatures: Vec::new() });
        }
    }

    fn sign(&mut self, body: &[u8]) {
        let signature = header(Tag::Signature, body).and_then(|header| Signature::try_from_reader(header, body).ok());
        let signatures = match self.parts.last_mut() {
            Some(part) => &mut part.signatures,
            None => &mut self.signatures,
        };
        // Those by others, of which a well-known key has thousands, say nothing here.
        let (id, fingerprint) = (self.key.legacy_key_id(), self.key.fingerprint());
        let is_own = |signature: &Signature| {
            let ids = signature.issuer_key_id();
            let fingerprints = signature.issuer_fingerprint();
            (ids.is_empty() && fingerprints.is_empty()) || ids.contains(&&id) || fingerprints.contains(&&fingerprint)
        };
        if signatures.len() < MOST_PARTS {
            signatures.extend(signature.filter(is_own));
        }
    }

    fn info(&self, checks: &mut usize) -> GpgKey {
        let mut check = |valid: &dyn Fn() -> bool| {
            let is_left = *checks > 0;
            *checks = checks.saturating_sub(1);
            is_left && valid()
        };
        let on_key: Vec<&Signature> =
            self.signatures.iter().filter(|signature| check(&|| signature.verify_key(&self.key).is_ok())).collect();
        let revoked = on_key.iter().any(|signature| signature.typ() == Some(SignatureType::KeyRevocation));
        let mut said: Vec<&Signature> = on_key;
        let mut user_ids = Vec::new();
        let mut signing_subkeys = Vec::new();
        for Part { kind, signatures } in &self.parts {
            match kind {
                PartKind::User(user) => {
                    let valid =
                        |s: &&Signature| check(&|| s.verify_certification(&self.key, Tag::UserId, user).is_ok());
                    let last = newest(signatures.iter().filter(valid));
                    if let Some(last) = last.filter(|last| last.typ() != Some(SignatureType::CertRevocation)) {
                        user_ids.push(String::from_utf8_lossy(user.id()).into_owned());
                        said.push(last);
                    }
                }
                PartKind::Subkey(subkey) => {
                    let valid = |s: &&Signature| check(&|| s.verify_subkey_binding(&self.key, &**subkey).is_ok());
                    let bindings: Vec<&Signature> = signatures.iter().filter(valid).collect();
                    let is_revoked = bindings.iter().any(|s| s.typ() == Some(SignatureType::SubkeyRevocation));
                    // A subkey that signs has to agree.
                    let agrees = |back: &Signature| back.verify_primary_key_binding(&**subkey, &self.key).is_ok();
                    let binding = newest(bindings.into_iter()).filter(|binding| {
                        !is_revoked
                            && binding.key_flags().sign()
                            && binding.embedded_signature().is_some_and(|back| check(&|| agrees(back)))
                    });
                    signing_subkeys.extend(binding.map(|binding| expiry(subkey.created_at().as_secs(), binding)));
                }
                PartKind::Other => {}
            }
        }
        let created = self.key.created_at().as_secs();
        let last = newest(said.into_iter());
        let own_expiry = last.and_then(|signature| expiry(created, signature));
        // Without flags a key may do whatever its algorithm can.
        let flags = last.map(Signature::key_flags).filter(|flags| *flags != KeyFlags::default());
        let signs_itself = self.key.algorithm().can_sign() && flags.is_none_or(|flags| flags.sign());
        let signers: Vec<Option<i64>> = signing_subkeys.into_iter().chain(signs_itself.then_some(own_expiry)).collect();
        // A subkey is worth nothing without its primary key.
        let last_signer = signers.iter().copied().max_by_key(|expiry| expiry.unwrap_or(i64::MAX)).flatten();
        GpgKey {
            fingerprint: hexadecimal(self.key.fingerprint().as_bytes()),
            algorithm: self.algorithm.clone(),
            user_ids,
            created: created.into(),
            expires: own_expiry.into_iter().chain(last_signer).min(),
            revoked,
            can_sign: !signers.is_empty(),
        }
    }
}

/// What counts: of equal age the last.
fn newest<'s>(signatures: impl Iterator<Item = &'s Signature>) -> Option<&'s Signature> {
    signatures.max_by_key(|signature| signature.created())
}

/// When what the signature is about expires, if at all.
fn expiry(created: u32, signature: &Signature) -> Option<i64> {
    let lifetime =
        signature.key_expiration_time().map(|lifetime| lifetime.as_secs()).filter(|lifetime| *lifetime > 0)?;
    Some(i64::from(created) + i64::from(lifetime))
}

fn header(tag: Tag, body: &[u8]) -> Option<PacketHeader> {
    Some(PacketHeader::new_fixed(tag, u32::try_from(body.len()).ok()?))
}

fn hexadecimal(bytes: &[u8]) -> Box<str> {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text.into()
}

const SIGNATURE: u8 = 2;
const SECRET_KEY: u8 = 5;
const PUBLIC_KEY: u8 = 6;
const SECRET_SUBKEY: u8 = 7;
const MARKER: u8 = 10;
const TRUST: u8 = 12;
const USER_ID: u8 = 13;
const PUBLIC_SUBKEY: u8 = 14;
const USER_ATTRIBUTE: u8 = 17;

/// Tag and body of the first packet, and what follows it (RFC 9580 4.2). Keys come in no packets of partial or open length.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum: usize, byte| sum << 8 | usize::from(*byte));
    let (tag, length, rest) = match (first, rest) {
        (0xc0.., [0xff, rest @ ..]) => (first & 0x3f, number(rest.get(..4)?), rest.get(4..)?),
        (0xc0.., [high @ 0xc0..0xe0, low, rest @ ..]) => (first & 0x3f, number(&[*high - 0xc0, *low]) + 0xc0, rest),
        (0xc0.., [length @ ..0xc0, rest @ ..]) => (first & 0x3f, usize::from(*length), rest),
        (0x80..0xc0, rest) => {
            let width = [1, 2, 4].get(usize::from(first & 3)).copied()?;
            (first >> 2 & 0xf, number(rest.get(..width)?), rest.get(width..)?)
        }
        _ => return None,
    };
    let (body, rest) = rest.split_at_checked(length)?;
    Some((tag, body, rest))
}

/// Of the body of a key's packet, by RFC 9580 9.1 and 9.2.
fn algorithm(body: &[u8]) -> Box<str> {
    let material = if body.first() == Some(&6) { 10 } else { 6 };
    let material = body.get(material..).unwrap_or_default();
    let bits = match material {
        [high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    let curve = material.split_first().and_then(|(length, rest)| rest.get(..usize::from(*length))).map_or("?", curve);
    match body.get(5).copied().unwrap_or_default() {
        1..=3 => format!("RSA {bits}").into(),
        16 | 20 => format!("Elgamal {bits}").into(),
        17 => format!("DSA {bits}").into(),
        18 => format!("ECDH {curve}").into(),
        19 => format!("ECDSA {curve}").into(),
        22 | 27 => "Ed25519".into(),
        25 => "X25519".into(),
        26 => "X448".into(),
        28 => "Ed448".into(),
        number => format!("algorithm {number}").into(),
    }
}

/// By its object identifier.
fn curve(oid: &[u8]) -> &'static str {
    match oid {
        b"\x2a\x86\x48\xce\x3d\x03\x01\x07" => "P-256",
        b"\x2b\x81\x04\x00\x22" => "P-384",
        b"\x2b\x81\x04\x00\x23" => "P-521",
        b"\x2b\x81\x04\x00\x0a" => "secp256k1",
        b"\x2b\x24\x03\x03\x02\x08\x01\x01\x07" => "brainpoolP256r1",
        b"\x2b\x24\x03\x03\x02\x08\x01\x01\x0b" => "brainpoolP384r1",
        b"\x2b\x24\x03\x03\x02\x08\x01\x01\x0d" => "brainpoolP512r1",
        b"\x2b\x06\x01\x04\x01\x97\x55\x01\x05\x01" => "Curve25519",
        _ => "on an unknown curve",
    }
}

/// The packets in each armored block, or why there are none in it (RFC 9580 6.2).
fn armored_blocks(text: &[u8]) -> Vec<Result<Vec<u8>, &'static str>> {
    const BEGIN: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";
    const END: &[u8] = b"-----END PGP PUBLIC KEY BLOCK-----";
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = memmem::find(rest, BEGIN) {
        rest = rest.get(start + BEGIN.len()..).unwrap_or_default();
        let end = memmem::find(rest, END);
        blocks.push(match end {
            Some(end) => dearmored(rest.get(..end).unwrap_or_default()),
            None => Err("its END line is missing"),
        });
        rest = rest.get(end.map_or(rest.len(), |end| end + END.len())..).unwrap_or_default();
    }
    blocks
}

fn dearmored(block: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut body = Vec::with_capacity(block.len());
    let mut checksum = None;
    let mut in_headers = true;
    // The rest of the BEGIN line comes first.
    for line in block.split(|byte| *byte == b'\n').skip(1).map(<[u8]>::trim_ascii) {
        match line {
            b"" => in_headers = false,
            _ if in_headers && line.contains(&b':') => {}
            [b'=', sum @ ..] if sum.len() == 4 => checksum = Some(sum),
            _ if in_headers => return Err("the empty line before its base64 is missing"),
            _ if checksum.is_some() => return Err("something follows its checksum"),
            _ => body.extend_from_slice(line),
        }
    }
    let packets = STANDARD.decode(body).map_err(|_| "its base64 is damaged")?;
    let expected = checksum.map(|sum| STANDARD.decode(sum).unwrap_or_default());
    match expected {
        Some(expected) if expected != crc24(&packets) => Err("its checksum does not fit"),
        _ => Ok(packets),
    }
}

/// RFC 9580 6.1.
fn crc24(bytes: &[u8]) -> [u8; 3] {
    let sum = bytes.iter().fold(0x00b7_04ce_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << 16, |sum, _| {
            let shifted = sum << 1;
            if shifted & 0x0100_0000 == 0 { shifted } else { shifted ^ 0x0186_4cfb }
        })
    });
    let [_, sum @ ..] = sum.to_be_bytes();
    sum
}

/// Of what is no keyring.
fn what_it_is(bytes: &[u8]) -> KeyringProblem {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii();
    let has = |mark: &str| memmem::find(text, mark.as_bytes()).is_some();
    let is_line = !text.contains(&b'\n');
    if has("-----BEGIN PUBLIC KEY-----") || has("-----BEGIN RSA PUBLIC KEY-----") {
        KeyringProblem::SigstoreKey
    } else if has("CERTIFICATE-----") {
        KeyringProblem::SomethingElse("a certificate")
    } else if has("-----BEGIN PGP SIGNATURE-----") || has("-----BEGIN PGP SIGNED MESSAGE-----") {
        KeyringProblem::SomethingElse("a GPG signature")
    } else if has("-----BEGIN PGP MESSAGE-----") {
        KeyringProblem::SomethingElse("a GPG message")
    } else if has("-----BEGIN SSH2 PUBLIC KEY-----") || text.starts_with(b"ssh-") || text.starts_with(b"ecdsa-sha2-") {
        KeyringProblem::SomethingElse("a key of SSH")
    } else if bytes.get(8..12) == Some(b"KBXf") {
        KeyringProblem::SomethingElse("a keybox, GnuPG's own store")
    } else if is_line && text.starts_with(b"/") {
        KeyringProblem::Path
    } else if is_base64_of_keyring(text) {
        KeyringProblem::Base64
    } else {
        KeyringProblem::NotAKeyring
    }
}

fn is_base64_of_keyring(text: &[u8]) -> bool {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).is_ok_and(|bytes| {
        packet(&bytes).is_some_and(|(tag, body, _)| tag == PUBLIC_KEY && matches!(body.first(), Some(3..=6)))
            || !armored_blocks(&bytes).is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_keyring_is_called_by_its_name() {
        use KeyringProblem::*;
        let binary = include_bytes!("../../tests/keyrings/ed25519.gpg");
        let armored = include_str!("../../tests/keyrings/armored.asc");
        let base64 = STANDARD.encode(binary);
        let lines = base64.as_bytes().chunks(64).collect::<Vec<_>>().join(&b'\n');
        let cut = binary.get(..binary.len() - 200).unwrap();
        let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        for (bytes, problem) in [
            (b" \n".to_vec(), Empty),
            (pem("PUBLIC KEY").into(), SigstoreKey),
            (pem("CERTIFICATE").into(), SomethingElse("a certificate")),
            (pem("PGP SIGNATURE").into(), SomethingElse("a GPG signature")),
            (b"ssh-ed25519 AAAA me".to_vec(), SomethingElse("a key of SSH")),
            (b"\0\0\0\x20\x01\x01\0\x02KBXf\0\0\0\0".to_vec(), SomethingElse("a keybox, GnuPG's own store")),
            (pem("EC PRIVATE KEY").into(), PrivateKey),
            (base64.clone().into(), Base64),
            (lines, Base64),
            (STANDARD.encode(armored).into(), Base64),
            (b"/etc/pki/release.gpg\n".to_vec(), Path),
            (b"<html>".to_vec(), NotAKeyring),
            (vec![0xc2, 1, 4], Broken("there is no key in it")),
            (vec![0xcb, 1, b'b'], Broken("it holds something else than keys")),
            (cut.to_vec(), Broken("a packet is cut off or has no valid length")),
            (vec![0xc6, 3, 4, 0, 0], Broken("its key is damaged or of an unknown kind")),
            (armored.replace("BEGIN PGP PUBLIC KEY BLOCK-----\n\n", "BEGIN PGP PUBLIC KEY BLOCK-----\n").into(), {
                Broken("the empty line before its base64 is missing")
            }),
            (armored.replace("-----END", "----END").into(), Broken("its END line is missing")),
            (armored.replacen('a', "b", 1).into(), Broken("its checksum does not fit")),
            (armored.replacen('a', "!", 1).into(), Broken("its base64 is damaged")),
            (vec![0x99; LARGEST + 1], TooLarge),
        ] {
            let shown = String::from_utf8_lossy(bytes.get(..60).unwrap_or(&bytes)).into_owned();
            assert_eq!(inspect_keyring(&bytes), Err(problem), "{shown}");
        }
    }

    #[test]
    fn names_that_the_key_did_not_sign_are_nobodys() {
        let mut bytes = include_bytes!("../../tests/keyrings/ed25519.gpg").to_vec();
        let at = memmem::find(&bytes, b"Example Images").unwrap();
        bytes[at..at + 7].copy_from_slice(b"Foreign");
        assert_eq!(inspect_keyring(&bytes), Err(KeyringProblem::Broken("its key signed no name of its own")));
    }
}
