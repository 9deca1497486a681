//! Image references as `containers/image` reads them: Docker's normalisation, its texts of refusal, and the scopes under which a
//! node looks an image up.
//!
//! Source: `docker/reference` and `docker/policyconfiguration` of containers/image (domain.md 4.3).

use std::borrow::Cow;
use std::fmt;

const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_OLD: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const LONGEST_NAME: usize = 255;
const LONGEST_TAG: usize = 128;

/// Why a text is not a reference; [`fmt::Display`] gives the engine's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Anything that does not fit the grammar.
    #[error("invalid reference format")]
    Format,
    /// The repository has an upper-case letter.
    #[error("invalid reference format: repository name must be lowercase")]
    UppercaseRepository,
    /// What does not fit the grammar would fit it in lower case.
    #[error("repository name must be lowercase")]
    Uppercase,
    /// An empty text, where nothing is expanded.
    #[error("repository name must have at least one component")]
    Empty,
    /// 64 hexadecimal digits look like an image ID.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(Box<str>),
    /// Host and path together are too long.
    #[error("repository name must not be more than {LONGEST_NAME} characters")]
    TooLong,
    /// Not as many digits as the algorithm has.
    #[error("invalid checksum digest length")]
    DigestLength,
    /// The algorithm or the digits have upper-case letters.
    #[error("invalid checksum digest format")]
    DigestFormat,
    /// Neither sha256 nor sha384 nor sha512.
    #[error("unsupported digest algorithm")]
    DigestAlgorithm,
    /// A text that is not written out in full, where it must be.
    #[error("repository name must be canonical")]
    NotCanonical,
}

/// A reference to an image or a repository: `[host[:port]/]path[:tag][@digest]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageReference<'a> {
    text: Cow<'a, str>,
    parts: Parts,
}

/// Where the parts of a reference end in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Parts {
    /// 0: no host.
    host: usize,
    name: usize,
    /// The end of `:tag`; equal to `name` without one.
    tag: usize,
}

impl<'a> ImageReference<'a> {
    /// As a node looks an image up: expanded (`docker.io/library/…`, `:latest`), and of tag and digest only the digest, because
    /// CRI-O drops the tag.
    ///
    /// # Errors
    /// In the engine's words.
    pub fn parse(image: &'a str) -> Result<Self, ReferenceError> {
        let mut expanded = String::new();
        let in_expanded = expand(image, &mut expanded, Completion::ForLookup)?;
        Ok(match in_expanded {
            (parts, true) => Self { text: expanded.into(), parts },
            (parts, false) => Self { text: image.into(), parts },
        })
    }

    /// As [`Self::parse`], without allocating for each image: what has to be expanded goes to `scratch`.
    ///
    /// # Errors
    /// In the engine's words.
    pub fn parse_in(image: &'a str, scratch: &'a mut String) -> Result<Self, ReferenceError> {
        let (parts, in_scratch) = expand(image, scratch, Completion::ForLookup)?;
        Ok(Self { text: if in_scratch { scratch.as_str() } else { image }.into(), parts })
    }

    /// Expanded as Docker does, with tag and digest as they are (`ParseNormalizedNamed`).
    ///
    /// # Errors
    /// In the engine's words.
    pub fn parse_expanded(text: &'a str) -> Result<Self, ReferenceError> {
        let mut expanded = String::new();
        Ok(match expand(text, &mut expanded, Completion::AsWritten)? {
            (parts, true) => Self { text: expanded.into(), parts },
            (parts, false) => Self { text: text.into(), parts },
        })
    }

    /// Only where nothing has to be expanded (`ParseNamed`).
    ///
    /// # Errors
    /// In the engine's words; [`ReferenceError::NotCanonical`] where expanding changes the text.
    pub fn parse_canonical(text: &'a str) -> Result<Self, ReferenceError> {
        let reference = Self::parse_expanded(text)?;
        match reference.text {
            Cow::Borrowed(_) => Ok(reference),
            Cow::Owned(_) => Err(ReferenceError::NotCanonical),
        }
    }

    /// By the grammar alone, without expanding anything (`Parse`): `a/b` has the host `a`.
    ///
    /// # Errors
    /// In the engine's words.
    pub fn parse_literally(text: &'a str) -> Result<Self, ReferenceError> {
        let parts = fit(text).ok_or_else(|| why_unfit(text))?;
        check_limits(text, parts)?;
        Ok(Self { text: text.into(), parts })
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and path, without tag and digest.
    pub fn name(&self) -> &str {
        self.text.get(..self.parts.name).unwrap_or_default()
    }

    /// Host and port; empty where the first component cannot be a host.
    pub fn host(&self) -> &str {
        self.text.get(..self.parts.host).unwrap_or_default()
    }

    /// What follows the host.
    pub fn path(&self) -> &str {
        self.name().get(self.parts.host..).unwrap_or_default().trim_start_matches('/')
    }

    /// Without the colon.
    pub fn tag(&self) -> Option<&str> {
        if self.parts.tag == self.parts.name { None } else { self.text.get(self.parts.name + 1..self.parts.tag) }
    }

    /// Algorithm, colon and digits.
    pub fn digest(&self) -> Option<&str> {
        self.text.get(self.parts.tag + 1..)
    }

    /// Whether there is neither tag nor digest.
    pub fn is_name_only(&self) -> bool {
        self.parts.name == self.text.len()
    }

    /// As Docker users write it: without `docker.io/` and `library/`. The engine's texts speak of images so.
    pub fn familiar(&self) -> &str {
        if self.host() != DOCKER_HUB {
            return &self.text;
        }
        let short = self.path().strip_prefix(OFFICIAL).filter(|rest| !rest.contains('/'));
        let start = self.parts.name - short.unwrap_or(self.path()).len();
        self.text.get(start..).unwrap_or_default()
    }

    /// The scopes under which a node looks it up, the most specific first. [`Scopes`](super::scopes::Scopes) and registries.d
    /// are both asked in this order.
    pub fn candidates(&self) -> Candidates<'_> {
        Candidates {
            next: if self.is_name_only() { Next::Name(self.name()) } else { Next::Whole(&self.text, self.name()) },
        }
    }

    /// The same, borrowing from this one.
    pub fn borrowed(&self) -> ImageReference<'_> {
        ImageReference { text: Cow::Borrowed(&self.text), parts: self.parts }
    }

    /// The same, without borrowing.
    pub fn into_owned(self) -> ImageReference<'static> {
        ImageReference { text: self.text.into_owned().into(), parts: self.parts }
    }
}

impl fmt::Display for ImageReference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a name as a person writes it has no registry in it, so that a node may search for it.
pub fn is_short_name(image: &str) -> bool {
    host_as_docker_sees_it(image).is_none()
}

/// A scope that a node asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidate<'a> {
    /// A scope as it is written.
    Scope(&'a str),
    /// `*.` and this.
    Wildcard(&'a str),
}

impl<'a> Candidate<'a> {
    /// The scope's text, put together for a wildcard.
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Self::Scope(scope) => scope.into(),
            Self::Wildcard(suffix) => format!("*.{suffix}").into(),
        }
    }
}

impl fmt::Display for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scope(scope) => f.write_str(scope),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

/// The scopes that a node asks for after this one, when it looks up an image that lies in it: what would hold there, if this
/// scope were not written. Not what the controller takes to be around it ([`super::scope::is_nested`]).
pub fn broader_scopes(scope: &str) -> Candidates<'_> {
    if let Some(suffix) = scope.strip_prefix("*.") {
        return Candidates { next: Next::Above(suffix) };
    }
    let name = scope.split_once('@').map_or(scope, |(name, _)| name);
    let path = name.rfind('/').unwrap_or(name.len());
    let name = name[path..].find(':').map_or(name, |colon| &name[..path + colon]);
    let mut candidates = Candidates { next: Next::Name(name) };
    if name.len() == scope.len() {
        candidates.next();
    }
    candidates
}

/// See [`ImageReference::candidates`].
#[derive(Clone, Debug)]
pub struct Candidates<'a> {
    next: Next<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Next<'a> {
    Whole(&'a str, &'a str),
    Name(&'a str),
    /// Wildcards above this host without a port.
    Above(&'a str),
}

impl<'a> Iterator for Candidates<'a> {
    type Item = Candidate<'a>;

    #[inline]
    fn next(&mut self) -> Option<Candidate<'a>> {
        match self.next {
            Next::Whole(text, name) => {
                self.next = Next::Name(name);
                Some(Candidate::Scope(text))
            }
            Next::Name(name) => {
                self.next = match memchr::memrchr(b'/', name.as_bytes()) {
                    Some(slash) => Next::Name(name.get(..slash)?),
                    None => Next::Above(name.split_once(':').map_or(name, |(host, _)| host)),
                };
                Some(Candidate::Scope(name))
            }
            Next::Above(host) => {
                let (_, suffix) = host.split_once('.')?;
                self.next = Next::Above(suffix);
                Some(Candidate::Wildcard(suffix))
            }
        }
    }
}

/// Whether the text is a host with an optional port, and nothing else.
pub fn is_host(text: &str) -> bool {
    host_fits(text.as_bytes())
}

/// Whether `remapIdentity` takes the text as a prefix: a host, or a name that starts with one.
pub fn is_remap_prefix(text: &str) -> bool {
    is_host(text) || fit(text).is_some_and(|parts| parts.host > 0 && parts.name == text.len())
}

/// Why a text is no digest by the rules of go-digest, or nothing where it is one.
pub(super) fn check_digest(digest: &str) -> Result<(), ReferenceError> {
    let Some((algorithm, digits)) = digest.split_once(':').filter(|(a, d)| !a.is_empty() && !d.is_empty()) else {
        return Err(ReferenceError::DigestFormat);
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => {
            let mut parts = algorithm.split(['.', '+', '_', '-']);
            let plain =
                |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            let encoded = digits.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-'));
            return Err(if parts.all(plain) && encoded {
                ReferenceError::DigestAlgorithm
            } else {
                ReferenceError::DigestFormat
            });
        }
    };
    if digits.len() != length {
        Err(ReferenceError::DigestLength)
    } else if all_lower_hex(digits.as_bytes()) {
        Ok(())
    } else {
        Err(ReferenceError::DigestFormat)
    }
}

/// Without an early end, which makes it fast.
fn all_lower_hex(digits: &[u8]) -> bool {
    digits.iter().fold(true, |all, b| all & (b.is_ascii_digit() | matches!(b, b'a'..=b'f')))
}

/// What becomes of tag and digest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Completion {
    AsWritten,
    /// One of the two, as CRI-O asks.
    ForLookup,
}

/// Docker's normalisation. What differs from `image` goes to `expanded`, and the second value is true.
fn expand(image: &str, expanded: &mut String, completion: Completion) -> Result<(Parts, bool), ReferenceError> {
    if let Some(parts) = fit(image).filter(|parts| needs_nothing(image, *parts, completion)) {
        check_limits(image, parts)?;
        return Ok((parts, false));
    }
    let host = host_as_docker_sees_it(image);
    let on_hub = match host {
        None => Some(image),
        Some(DOCKER_HUB | DOCKER_HUB_OLD) => image.split_once('/').map(|(_, remainder)| remainder),
        Some(_) => None,
    };
    expanded.clear();
    if let Some(remainder) = on_hub.filter(|remainder| host != Some(DOCKER_HUB) || !remainder.contains('/')) {
        if is_identifier(image) {
            return Err(ReferenceError::Identifier(image.into()));
        }
        expanded.reserve(DOCKER_HUB.len() + OFFICIAL.len() + remainder.len() + ":latest".len() + 1);
        expanded.push_str(DOCKER_HUB);
        expanded.push('/');
        if !remainder.contains('/') {
            expanded.push_str(OFFICIAL);
        }
        expanded.push_str(remainder);
    }
    let text = if expanded.is_empty() { image } else { expanded.as_str() };
    let parts = fit_expanded(text)?;
    if completion == Completion::AsWritten {
        return Ok((parts, !expanded.is_empty()));
    }
    let (has_tag, has_digest) = (parts.tag > parts.name, parts.tag < text.len());
    if has_tag != has_digest {
        return Ok((parts, !expanded.is_empty()));
    }
    if expanded.is_empty() {
        expanded.push_str(image);
    }
    if has_tag {
        expanded.replace_range(parts.name..parts.tag, "");
        Ok((Parts { tag: parts.name, ..parts }, true))
    } else {
        expanded.push_str(":latest");
        Ok((Parts { tag: expanded.len(), ..parts }, true))
    }
}

/// Whether a text that fits is one of the many that are written out in full; the others go the long way.
fn needs_nothing(image: &str, parts: Parts, completion: Completion) -> bool {
    let host = image.get(..parts.host).unwrap_or_default();
    let (has_tag, has_digest) = (parts.tag > parts.name, parts.tag < image.len());
    host.bytes().any(|b| matches!(b, b'.' | b':'))
        && !matches!(host, DOCKER_HUB | DOCKER_HUB_OLD)
        && (completion == Completion::AsWritten || has_tag != has_digest)
        && (has_tag || !has_uppercase_algorithm(image, parts))
}

/// The first component, where Docker takes it for a host.
fn host_as_docker_sees_it(image: &str) -> Option<&str> {
    let (first, _) = image.split_once('/')?;
    let is_host = first == "localhost" || first.bytes().any(|b| matches!(b, b'.' | b':'));
    is_host.then_some(first)
}

fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

/// The checks of an expanded text, in the engine's order.
fn fit_expanded(text: &str) -> Result<Parts, ReferenceError> {
    let Some(parts) = fit(text) else {
        return Err(if has_uppercase(checked_for_case(text)) {
            ReferenceError::UppercaseRepository
        } else {
            why_unfit(text)
        });
    };
    if parts.tag == parts.name && has_uppercase_algorithm(text, parts) {
        return Err(ReferenceError::UppercaseRepository);
    }
    check_limits(text, parts)?;
    Ok(parts)
}

/// Of a text that fits, only the digest's algorithm can still have upper-case letters before the first colon.
fn has_uppercase_algorithm(text: &str, parts: Parts) -> bool {
    let digest = text.as_bytes().get(parts.tag + 1..).unwrap_or_default();
    digest.iter().take_while(|&&b| b != b':').any(u8::is_ascii_uppercase)
}

/// The engine looks for upper case from the host to the first colon, wherever that is.
fn checked_for_case(text: &str) -> &str {
    let (_, remainder) = text.split_once('/').unwrap_or_default();
    remainder.split_once(':').map_or(remainder, |(repository, _)| repository)
}

fn has_uppercase(text: &str) -> bool {
    text.chars().any(|c| go_lowercase(c) != c)
}

/// Go maps each character by itself to one character.
fn go_lowercase(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        // The only character whose full mapping is longer: İ.
        _ => 'i',
    }
}

fn why_unfit(text: &str) -> ReferenceError {
    if text.is_empty() {
        return ReferenceError::Empty;
    }
    let lowercase: String = text.chars().map(go_lowercase).collect();
    if fit(&lowercase).is_some() { ReferenceError::Uppercase } else { ReferenceError::Format }
}

fn check_limits(text: &str, parts: Parts) -> Result<(), ReferenceError> {
    if parts.name > LONGEST_NAME {
        return Err(ReferenceError::TooLong);
    }
    match text.get(parts.tag + 1..) {
        Some(digest) => check_digest(digest),
        None => Ok(()),
    }
}

/// The grammar of references: where the parts are, or nothing where the text does not fit.
fn fit(text: &str) -> Option<Parts> {
    let bytes = text.as_bytes();
    // What cannot be a host may still be the first component of the path.
    let with_host = leading_host(bytes).and_then(|host| Some((host, path_end(bytes, host + 1)?)));
    let (host, name) = with_host.or_else(|| Some((0, path_end(bytes, 0)?)))?;
    let tag = match bytes.get(name) {
        Some(b':') => {
            let end = memchr::memchr(b'@', bytes.get(name..)?).map_or(bytes.len(), |at| name + at);
            if !tag_fits(bytes.get(name + 1..end)?) {
                return None;
            }
            end
        }
        _ => name,
    };
    if tag < bytes.len() && !digest_fits(bytes.get(tag + 1..)?) {
        return None;
    }
    Some(Parts { host, name, tag })
}

/// How long the first component is, if it fits as a host and something follows it.
fn leading_host(text: &[u8]) -> Option<usize> {
    let slash = memchr::memchr(b'/', text)?;
    host_fits(text.get(..slash)?).then_some(slash)
}

/// `[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?`, several with dots between them, then `:` and digits or nothing.
fn host_fits(text: &[u8]) -> bool {
    let mut before = b'.';
    for (at, &b) in text.iter().enumerate() {
        let fits = match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => true,
            b'-' => before != b'.',
            b'.' => before != b'.' && before != b'-',
            b':' => {
                let port = text.get(at + 1..).unwrap_or_default();
                return before != b'.' && before != b'-' && !port.is_empty() && port.iter().all(u8::is_ascii_digit);
            }
            _ => false,
        };
        if !fits {
            return false;
        }
        before = b;
    }
    before != b'.' && before != b'-'
}

/// Components with slashes between them: `[a-z0-9]+`, joined by `.`, `_`, `__` or any number of `-`. They end with the text, or at
/// a tag or digest.
fn path_end(text: &[u8], start: usize) -> Option<usize> {
    let (mut before, mut before_that) = (b'/', b'/');
    for (at, &b) in text.iter().enumerate().skip(start) {
        let fits = match b {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'-' => is_path_letter(before) || before == b'-',
            b'_' => is_path_letter(before) || (before == b'_' && before_that != b'_'),
            b'.' | b'/' => is_path_letter(before),
            b':' | b'@' => return is_path_letter(before).then_some(at),
            _ => false,
        };
        if !fits {
            return None;
        }
        (before, before_that) = (b, before);
    }
    is_path_letter(before).then_some(text.len())
}

fn is_path_letter(b: u8) -> bool {
    matches!(b, b'a'..=b'z' | b'0'..=b'9')
}

fn tag_fits(tag: &[u8]) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    match tag {
        [first, rest @ ..] => {
            word(*first) && tag.len() <= LONGEST_TAG && rest.iter().all(|&b| word(b) || matches!(b, b'.' | b'-'))
        }
        [] => false,
    }
}

fn digest_fits(digest: &[u8]) -> bool {
    if digest.len() == 71 && digest.starts_with(b"sha256:") && all_lower_hex(&digest[7..]) {
        return true;
    }
    let Some(colon) = memchr::memchr(b':', digest) else { return false };
    let (algorithm, digits) = (&digest[..colon], &digest[colon + 1..]);
    let mut parts = algorithm.split(|b| matches!(b, b'-' | b'_' | b'+' | b'.'));
    digits.len() >= 32
        && digits.iter().all(u8::is_ascii_hexdigit)
        && parts
            .all(|part| part.first().is_some_and(u8::is_ascii_alphabetic) && part.iter().all(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn names_are_expanded_as_docker_does() {
        for (image, expected) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("docker.io/busybox:1", "docker.io/library/busybox:1"),
            ("index.docker.io/a/b", "docker.io/a/b:latest"),
            ("team/app", "docker.io/team/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000", "docker.io/library/localhost:5000"),
            ("Quay.IO:443/a--b/c__d.e", "Quay.IO:443/a--b/c__d.e:latest"),
            ("a_b.c/d", "a_b.c/d:latest"),
            (&format!("quay.io/a:v1@sha256:{HEX}"), &format!("quay.io/a@sha256:{HEX}")),
            (&format!("a:v1@sha256:{HEX}"), &format!("docker.io/library/a@sha256:{HEX}")),
        ] {
            assert_eq!(ImageReference::parse(image).unwrap().as_str(), expected);
            let mut scratch = String::from("left over");
            assert_eq!(ImageReference::parse_in(image, &mut scratch).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn broader_scopes_are_what_a_node_asks_for_next() {
        for (scope, expected) in [
            ("quay.io", &["*.io"][..]),
            ("quay.io:5000/a/b:v1", &["quay.io:5000/a/b", "quay.io:5000/a", "quay.io:5000", "*.io"]),
            ("a.b.c/d@sha256:00", &["a.b.c/d", "a.b.c", "*.b.c", "*.c"]),
            ("a.b/c:v1@sha256:00", &["a.b/c", "a.b", "*.b"]),
            ("*.b.c", &["*.c"]),
            ("*.c", &[]),
            ("localhost:5000", &[]),
            ("", &[]),
        ] {
            assert_eq!(broader_scopes(scope).map(|broader| broader.text()).collect::<Vec<_>>(), expected, "{scope}");
        }
    }

    #[test]
    fn refusals_are_in_the_engines_words() {
        let long = format!("quay.io/{}", "a".repeat(250));
        for (image, expected) in [
            ("", "invalid reference format"),
            ("quay.io/", "invalid reference format"),
            ("quay.io/a:", "invalid reference format"),
            ("[::1]:5000/a", "invalid reference format"),
            ("a b", "invalid reference format"),
            ("quay.io/Team/app", "invalid reference format: repository name must be lowercase"),
            ("Team/app", "invalid reference format: repository name must be lowercase"),
            (&format!("quay.io/a@SHA256:{HEX}"), "invalid reference format: repository name must be lowercase"),
            ("quay.io/é", "invalid reference format"),
            ("quay.io/É", "invalid reference format: repository name must be lowercase"),
            ("A_b.c/d", "repository name must be lowercase"),
            ("quay.io/a:\u{212a}", "repository name must be lowercase"),
            (HEX, &format!("invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings")),
            (&long, "repository name must not be more than 255 characters"),
            (&format!("quay.io/a@sha256:{}", &HEX[1..]), "invalid checksum digest length"),
            (&format!("quay.io/a@sha256:{}A", &HEX[1..]), "invalid checksum digest format"),
            (&format!("quay.io/a@md5:{HEX}"), "unsupported digest algorithm"),
            (&format!("quay.io/a:1@SHA256:{HEX}"), "invalid checksum digest format"),
        ] {
            assert_eq!(ImageReference::parse(image).unwrap_err().to_string(), expected, "{image}");
        }
        assert_eq!(ImageReference::parse_literally("").unwrap_err(), ReferenceError::Empty);
        assert_eq!(ImageReference::parse_literally("quay.io/Team").unwrap_err(), ReferenceError::Uppercase);
        assert_eq!(ImageReference::parse_canonical("docker.io/a").unwrap_err(), ReferenceError::NotCanonical);
    }

    #[test]
    fn the_parts_and_the_familiar_form() {
        let text = format!("docker.io/library/app:v1@sha256:{HEX}");
        let reference = ImageReference::parse_canonical(&text).unwrap();
        assert_eq!(reference.name(), "docker.io/library/app");
        assert_eq!((reference.host(), reference.path()), ("docker.io", "library/app"));
        assert_eq!(reference.tag(), Some("v1"));
        assert_eq!(reference.digest(), Some(&*format!("sha256:{HEX}")));
        assert_eq!(reference.familiar(), format!("app:v1@sha256:{HEX}"));
        for (image, familiar) in [
            ("docker.io/team/app", "team/app:latest"),
            ("docker.io/library/a/b", "library/a/b:latest"),
            ("quay.io/library/a", "quay.io/library/a:latest"),
        ] {
            assert_eq!(ImageReference::parse(image).unwrap().familiar(), familiar);
        }
        let name = ImageReference::parse_literally("a/b").unwrap();
        assert_eq!((name.host(), name.path(), name.tag(), name.digest()), ("a", "b", None, None));
    }

    #[test]
    fn candidates_go_from_the_image_to_the_widest_wildcard() {
        let candidates = |image| -> Vec<String> {
            ImageReference::parse(image).unwrap().candidates().map(|c| c.to_string()).collect()
        };
        assert_eq!(
            candidates("a.b.c:5000/x/y:v1"),
            ["a.b.c:5000/x/y:v1", "a.b.c:5000/x/y", "a.b.c:5000/x", "a.b.c:5000", "*.b.c", "*.c"]
        );
        assert_eq!(candidates("localhost/x"), ["localhost/x:latest", "localhost/x", "localhost"]);
    }

    #[test]
    fn short_names_have_no_registry() {
        for (image, short) in [("a", true), ("a/b:1", true), ("localhost/a", false), ("a.b/c", false), ("a:1/b", false)]
        {
            assert_eq!(is_short_name(image), short, "{image}");
        }
    }
}
