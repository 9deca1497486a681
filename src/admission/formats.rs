//! The patterns, formats and functions that the schemas name, each written out by hand so that a hostile field of a
//! megabyte costs one pass. What a pattern means is read off the CRDs; `$` is the end of the text, as in Go.

use std::net::Ipv6Addr;

/// `[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]`
fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `[\w][\w.-]{0,127}`
fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// `[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*[:][[:xdigit:]]{32,}`
fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_alphabetic()) && word.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(is_word) && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?`: between letters and digits one dot, one or two underscores, or any number of dashes.
fn is_path_component(text: &str) -> bool {
    let is_body = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let body = rest.iter().take_while(|byte| is_body(byte)).count();
        let separator = rest.iter().skip(body).take_while(|byte| !is_body(byte)).count();
        let (head, tail) = rest.split_at(body + separator);
        let separator = &head[body..];
        match separator {
            _ if body == 0 => return false,
            [] => return true,
            [b'.' | b'_'] | [b'_', b'_'] => {}
            dashes if dashes.iter().all(|byte| *byte == b'-') => {}
            _ => return false,
        }
        rest = tail;
    }
}

/// `host(.host)*`, no port.
fn is_host(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// A host that is more than one word, or `localhost`.
fn is_qualified_host(text: &str) -> bool {
    text == "localhost" || (text.contains('.') && is_host(text))
}

/// `host[:port][/component…]`
fn is_location(text: &str, host: fn(&str) -> bool) -> bool {
    let (authority, path) = match text.split_once('/') {
        Some((authority, path)) => (authority, Some(path)),
        None => (text, None),
    };
    let (name, port) = match authority.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (authority, None),
    };
    host(name) && port.is_none_or(is_port) && path.is_none_or(|path| path.split('/').all(is_path_component))
}

/// `*.host`: no port and no path.
pub(super) fn is_wildcard(text: &str) -> bool {
    text.strip_prefix("*.").is_some_and(is_host)
}

/// A mirror of an ImageDigestMirrorSet or ImageTagMirrorSet.
pub(super) fn is_mirror(text: &str) -> bool {
    is_location(text, is_host)
}

/// A source of such a set, and from 5.0 on an entry of `registrySources`: as a mirror, or a wildcard.
pub(super) fn is_mirror_source(text: &str) -> bool {
    is_wildcard(text) || is_mirror(text)
}

/// First rule of a scope: the first segment has a dot, or is `localhost` up to its colon.
pub(super) fn scope_has_qualified_host(scope: &str) -> bool {
    let authority = scope.split_once('/').map_or(scope, |(authority, _)| authority);
    authority.contains('.') || authority.split_once(':').map_or(authority, |(name, _)| name) == "localhost"
}

/// Second rule of a scope.
pub(super) fn scope_wildcard_is_allowed(scope: &str) -> bool {
    !scope.contains('*') || is_wildcard(scope)
}

/// Third rule of a scope: a location, then perhaps a tag, then perhaps a digest.
pub(super) fn scope_is_reference(scope: &str) -> bool {
    if scope.contains('*') {
        return true;
    }
    let (named, digest) = match scope.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (scope, None),
    };
    if !digest.is_none_or(is_digest) {
        return false;
    }
    if is_location(named, is_qualified_host) {
        return true;
    }
    // No location holds a colon after its port, so what follows the last one is the tag.
    named.rsplit_once(':').is_some_and(|(location, tag)| is_tag(tag) && is_location(location, is_qualified_host))
}

/// First rule of an identity's repository or prefix. Purely textual: `host:5000` looks like a tag, only `localhost:5000` does not.
pub(super) fn identity_has_no_tag(repository: &str) -> bool {
    let tagged = repository.rsplit_once(':').is_some_and(|(_, tag)| is_tag(tag));
    !tagged || repository.strip_prefix("localhost:").is_some_and(is_port)
}

/// Second rule of an identity's repository or prefix.
pub(super) fn identity_is_location(repository: &str) -> bool {
    is_location(repository, is_qualified_host)
}

/// `^\S+@\S+$`, where `\S` is all but ASCII blanks.
pub(super) fn is_email(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = bytes.get(1..bytes.len().saturating_sub(1)).unwrap_or_default();
    inner.contains(&b'@') && !bytes.iter().any(|byte| matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | b' '))
}

/// A subdomain as RFC 1123 has it, in Kubernetes' reading: `[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.…)*`, at most 253 bytes.
pub(super) fn is_dns1123_subdomain(text: &str) -> bool {
    text.len() <= 253 && is_dns1123_labels(text)
}

/// The pattern of a subdomain without its length.
pub(super) fn is_dns1123_labels(text: &str) -> bool {
    is_host(text) && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// The subject's host name: a subdomain, perhaps after `*.`.
pub(super) fn is_subject_hostname(text: &str) -> bool {
    is_dns1123_subdomain(text.strip_prefix("*.").unwrap_or(text))
}

/// The format `byte`: `^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$`. Empty text is not base64 here.
pub(super) fn is_base64(text: &str) -> bool {
    let body = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    !body.is_empty()
        && text.len().is_multiple_of(4)
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// The format `hostname`. Only a text where a list of search registries belongs meets it. Letters beyond ASCII are those of Rust.
pub(super) fn is_hostname(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || (!c.is_ascii() && c.is_alphabetic());
    let node = |c: char| letter(c) || c.is_ascii_digit() || "$+<=>^`|~".contains(c);
    let is_single = || {
        let Some(rest) = text.strip_prefix(node) else { return false };
        let rest = rest.strip_prefix('-').unwrap_or(rest);
        rest.chars().all(node) && rest.chars().count() <= 62
    };
    let is_dotted = || {
        let Some((labels, top)) = text.rsplit_once('.') else { return false };
        let is_node = |label: &str| {
            label.starts_with(node)
                && label.ends_with(node)
                && label.chars().all(|c| node(c) || c == '-')
                && label.chars().count() <= 63
        };
        top.chars().all(letter) && (2..=63).contains(&top.chars().count()) && labels.split('.').all(is_node)
    };
    text.len() <= 255 && text.split('.').all(|label| label.len() <= 63) && (is_single() || is_dotted())
}

/// `isURL` of Kubernetes' CEL library: what Go's `url.ParseRequestURI` takes (that of Go 1.24.8 and 1.25.2 on, where brackets must hold an
/// IPv6 address; several colons in a host are refused only by a server whose own go.mod says Go 1.26).
pub(super) fn is_url(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return false;
    }
    if text == "*" {
        return true;
    }
    let Some((scheme, rest)) = split_scheme(text) else { return false };
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    if !rest.starts_with('/') {
        return !scheme.is_empty();
    }
    let path = match rest.strip_prefix("//") {
        Some(after) if !scheme.is_empty() => {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            if !is_authority(authority) {
                return false;
            }
            path
        }
        _ => rest,
    };
    has_whole_escapes(path)
}

/// Scheme, or empty text, and what follows it. None where the text begins with a colon.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return None,
            b':' => return Some((text.get(..at)?, text.get(at + 1..)?)),
            _ => break,
        }
    }
    Some(("", text))
}

fn is_authority(authority: &str) -> bool {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", authority),
    };
    let user_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    user.bytes().all(user_byte) && has_whole_escapes(user) && is_url_host(host)
}

fn is_url_host(host: &str) -> bool {
    if let Some(at) = host.rfind('[') {
        if at > 0 {
            return false;
        }
        let Some((literal, port)) = host.get(1..).and_then(|rest| rest.rsplit_once(']')) else { return false };
        return is_optional_port(port) && is_ip_literal(literal);
    }
    let port = host.rfind(':').and_then(|at| host.get(at..)).unwrap_or_default();
    is_optional_port(port) && has_only_host_bytes(host)
}

fn is_optional_port(port: &str) -> bool {
    port.is_empty() || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An IPv6 address, perhaps with a zone after `%25`.
fn is_ip_literal(literal: &str) -> bool {
    match literal.split_once("%25") {
        None => literal.parse::<Ipv6Addr>().is_ok(),
        Some((address, zone)) => !zone.is_empty() && address.parse::<Ipv6Addr>().is_ok() && is_zone(zone),
    }
}

/// Escapes in a zone may only spell what a host may hold anyway, a blank or a per cent sign.
fn is_zone(zone: &str) -> bool {
    let mut rest = zone.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low)) else { return false };
                let byte = high << 4 | low;
                if byte != b'%' && byte != b' ' && !is_host_byte(byte) {
                    return false;
                }
                tail
            }
            (b'%', _) => return false,
            (byte, tail) if !byte.is_ascii() || is_host_byte(*byte) => tail,
            _ => return false,
        };
    }
    true
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
}

/// A host's escapes spell bytes beyond ASCII, or `%25`.
fn has_only_host_bytes(host: &str) -> bool {
    let mut rest = host.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let (Some(digit), Some(_)) = (hex_digit(*high), hex_digit(*low)) else { return false };
                if digit < 8 && (*high, *low) != (b'2', b'5') {
                    return false;
                }
                tail
            }
            (b'%', _) => return false,
            (byte, tail) if !byte.is_ascii() || is_host_byte(*byte) => tail,
            _ => return false,
        };
    }
    true
}

fn has_whole_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let mut digits = after.bytes().take(2).map(|byte| byte.is_ascii_hexdigit());
        digits.next() == Some(true) && digits.next() == Some(true)
    })
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, holds: fn(&str) -> bool, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(holds(text), "{name}: {text:?} holds");
        }
        for text in no {
            assert!(!holds(text), "{name}: {text:?} does not hold");
        }
    }

    #[test]
    fn scopes() {
        let digest = format!("quay.io/a@sha256:{}", "0".repeat(32));
        let short = format!("quay.io/a@sha256:{}", "0".repeat(31));
        let long_tag = format!("quay.io/a:{}", "t".repeat(128));
        let longer_tag = format!("quay.io/a:{}", "t".repeat(129));
        let long_port = format!("quay.io:{}", "1".repeat(300));
        table(
            "reference",
            scope_is_reference,
            &[
                "quay.io",
                "quay.io:5000",
                "quay.io:latest",
                "quay.io:5000:latest",
                "localhost",
                "localhost:5000/a",
                "a.b/c/d",
                "a.b/c:1.2",
                "a.b/c__d/e---f",
                "x*y",
                &digest,
                &long_tag,
                &long_port,
                &format!("quay.io:5000:v1@a.b+c-d_e:{}", "F".repeat(40)),
            ],
            &[
                "",
                "quay",
                "quay/a",
                "quay.io/",
                "quay.io//a",
                "quay.io:",
                "quay.io:5000:",
                "quay.io:x/a",
                "a..b",
                "-a.b",
                "a.b-",
                "a.b/A",
                "a.b/a___b",
                "a.b/a._b",
                "a.b/-a",
                "a.b/a-",
                "a.b/c:.x",
                "quay.io\n",
                "ü.b",
                &short,
                &longer_tag,
                "a.b@sha256",
                "a.b@:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                "quay.io:1:2:3",
                "localhosts",
            ],
        );
        table(
            "host",
            scope_has_qualified_host,
            &["a.b", ".", "localhost", "localhost:x/y", "a.b/c", ":.", "localhost:"],
            &["", "a", "a/b.c", "localhosts", "/a.b", ":localhost"],
        );
        table(
            "wildcard",
            scope_wildcard_is_allowed,
            &["", "*.a", "*.a.b-c"],
            &["*", "*.", "*.a:1", "*.a/b", "a*.b", "**.a", "*.*"],
        );
    }

    #[test]
    fn identities_and_registries() {
        table(
            "no tag",
            identity_has_no_tag,
            &["", "a.b/c", "localhost:5000", "a.b:5000/c", "a.b:", "a:b@c", "a.b:-"],
            &["a.b:5000", "localhost:x", "localhost:5000x", "x localhost:5000", "a.b/c:tag", "a@sha256:aa"],
        );
        table(
            "identity",
            identity_is_location,
            &["a.b", "localhost:1/a", "a.b:1/c"],
            &["a", "a/b", "a.b:x", "a.b/c:1", ""],
        );
        table(
            "source",
            is_mirror_source,
            &["a", "a/b", "*.a", "a:1/b", "A-b.c"],
            &["", "*", "*.a/b", "a:b", "a/B", "a/", "a@b"],
        );
        assert!(!is_mirror("*.a"));
    }

    #[test]
    fn mail_hosts_and_base64() {
        table(
            "email",
            is_email,
            &["a@b", "@@@", "a@@", "ü@ü", "a\u{b}@b"],
            &["", "@", "a@", "@a", "a b@c", "a@b\n", "ab"],
        );
        let longest = format!("{}.{}", "a".repeat(200), "b".repeat(52));
        table(
            "subject",
            is_subject_hostname,
            &["a", "*.a", "a-b.c", "0", &longest],
            &["", "*", "*.*.a", "A", "a_b", "a.", "-a", "a-", &format!("{longest}b")],
        );
        table(
            "base64",
            is_base64,
            &["AAAA", "AA==", "AAA=", "+/+/"],
            &["", "=", "==", "====", "A===", "AAA", "AA=A", "AAAA\n", "-_-_", "AAAA===="],
        );
        table(
            "hostname",
            is_hostname,
            &["a", "quay.io", "a-b", "a-", "a.b-c.com", "localhost", "1", "ü.de"],
            &["", "-a", "a b", "a.b", "a.1", "a..com", "a--b", "quay.io:5000", "a.b-.com"],
        );
    }

    #[test]
    fn urls() {
        table(
            "url",
            is_url,
            &[
                "https://a.b/c?d#e",
                "/a",
                "//x",
                "*",
                "mailto:x",
                "a:",
                "http://",
                "http://a:",
                "http://a:1/%41",
                "http://[::1]:80/",
                "http://[fe80::1%25en0]/",
                "http://u:p@a@b/",
                "http://a:b:1/",
                "http://%C3%A9/",
                "http://ü/",
                "a:%zz",
                "/?%zz",
                "http://a<b>/",
                "http://a%25b/",
            ],
            &[
                "",
                "a",
                "a b",
                ":a",
                "1a:b",
                "http://a b",
                "http://a:b/",
                "http://a%41/",
                "/%4",
                "/%zz",
                "http://[::1",
                "http://[a]/",
                "http://a[::1]/",
                "http://[1.2.3.4]/",
                "http://u p@a/",
                "http://u%4@a/",
                "a\u{7f}",
                "a:\n",
                "http://a%/",
                "http://[::1%25]/",
                "http://a\\b/",
                "ü:a",
                "http://[::1]x/",
            ],
        );
    }
}
