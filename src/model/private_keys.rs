//! Private keys that someone pasted into an object: found in any text, and kept out of whatever is printed.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::{self, Finder};

/// What is printed in place of a private key.
pub const NOT_SHOWN: &str = "<private key, not shown>";

/// Whether a private key is anywhere in it: PEM, PGP or OpenSSH with its markers, the same in base64 once or twice, percent-encoded, DER or
/// a binary PGP key, or the base64 of these without markers.
pub fn contains_private_key(data: impl AsRef<[u8]>) -> bool {
    let data = data.as_ref();
    is_private_binary(data) || !private_keys(data).is_empty()
}

/// The text with [`NOT_SHOWN`] in place of every private key. Give it whole values: of a line out of the middle of a key nobody can say
/// what it is. Some hundred nanoseconds for a short text; nothing for the inner loop of a million images.
pub fn redact(text: &str) -> Cow<'_, str> {
    let found = private_keys(text.as_bytes());
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut redacted = String::with_capacity(text.len());
    let mut shown = 0;
    for range in found {
        redacted.push_str(text.get(shown..range.start).unwrap_or_default());
        redacted.push_str(NOT_SHOWN);
        shown = range.end;
    }
    redacted.push_str(text.get(shown..).unwrap_or_default());
    Cow::Owned(redacted)
}

/// Where private keys are, as byte ranges in ascending order that do not touch. For printers of source lines: a line that meets one of them is
/// not to be shown. They begin and end at ASCII characters.
pub fn private_keys(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if text.len() < SHORTEST {
        return found;
    }
    marked(text, &mut found);
    if bare(text, &mut found) >= SHORTEST {
        encoded(text, &mut found);
    }
    found.sort_by_key(|range| range.start);
    found.dedup_by(|next, kept| {
        let meets = next.start <= kept.end;
        if meets {
            kept.end = kept.end.max(next.end);
        }
        meets
    });
    found
}

/// `PRIVATE KEY` in base64.
const SHORTEST: usize = 14;

/// A body of more than this between the markers is looked through token by token, so that one tenant's opening marker and another's closing one do not
/// hide what lies between.
const LONGEST_KEY: usize = 16 * 1024;

/// From `-----BEGIN … PRIVATE KEY-----` to its end, or as far as the text looks like a key.
fn marked(text: &[u8], found: &mut Vec<Range<usize>>) {
    static WORDS: LazyLock<[Finder<'static>; 2]> =
        LazyLock::new(|| [Finder::new(b"PRIVATE KEY"), Finder::new(b"PRIVATE%20KEY")]);
    let mut markers: Vec<Marker> = WORDS.iter().flat_map(|words| markers_of(text, words)).collect();
    markers.sort_by_key(|marker| marker.start);
    let mut markers = markers.into_iter().peekable();
    while let Some(marker) = markers.next() {
        if !marker.opens {
            found.push(body_before(text, marker.start)..marker.end);
            continue;
        }
        let closing = markers.next_if(|next| !next.opens && next.start.saturating_sub(marker.end) <= LONGEST_KEY);
        found.push(match closing {
            Some(closing) => marker.start..closing.end,
            None => marker.start..body_after(text, marker.end),
        });
    }
}

struct Marker {
    opens: bool,
    start: usize,
    end: usize,
}

/// `words` with `--BEGIN` or `--END` before them on the same line: lenient, since a damaged marker hides nothing.
fn markers_of(text: &[u8], words: &Finder<'static>) -> Vec<Marker> {
    let mut markers = Vec::new();
    for at in words.find_iter(text) {
        let window_start = at.saturating_sub(80);
        let mut line = text.get(window_start..at).unwrap_or_default();
        if let Some(newline) = memchr::memrchr(b'\n', line) {
            line = line.get(newline + 1..).unwrap_or_default();
        }
        let begin = memmem::rfind(line, b"BEGIN");
        let end = memmem::rfind(line, b"END ").max(memmem::rfind(line, b"END%20"));
        let Some(verb) = begin.max(end) else { continue };
        let dashes = line.iter().take(verb).rev().take_while(|byte| **byte == b'-').count();
        if dashes < 2 {
            continue;
        }
        let mut after = at + words.needle().len();
        for block in [&b" BLOCK"[..], b"%20BLOCK"] {
            if text.get(after..).is_some_and(|rest| rest.starts_with(block)) {
                after += block.len();
            }
        }
        let trailing = text.get(after..).unwrap_or_default().iter().take_while(|byte| **byte == b'-').count();
        markers.push(Marker { opens: begin > end, start: at - line.len() + verb - dashes, end: after + trailing });
    }
    markers
}

/// Runs of base64 that decode to a text with the words `PRIVATE KEY`, also when encoded twice.
fn encoded(text: &[u8], found: &mut Vec<Range<usize>>) {
    static ENCODED: LazyLock<Vec<Finder<'static>>> = LazyLock::new(|| {
        let once = alignments(b"PRIVATE KEY");
        let twice: Vec<Vec<u8>> = once.iter().flat_map(|text| alignments(text)).collect();
        once.iter().chain(&twice).map(|text| Finder::new(text).into_owned()).collect()
    });
    for finder in &*ENCODED {
        let mut seen = 0;
        for at in finder.find_iter(text) {
            if at < seen {
                continue;
            }
            let before = text.iter().take(at).rev().take_while(|byte| is_base64(**byte)).count();
            let end = body_after(text, base64_end(text, at));
            found.push(at - before..end);
            seen = end;
        }
    }
}

/// What this text looks like inside base64: the characters that depend on nothing else, at each of the three offsets.
fn alignments(text: &[u8]) -> [Vec<u8>; 3] {
    [0, 1, 2].map(|offset| {
        let mut bytes = vec![0; offset];
        bytes.extend_from_slice(text);
        let encoded = STANDARD.encode(&bytes).into_bytes();
        let (first, last) = ((offset * 8).div_ceil(6), bytes.len() * 8 / 6);
        encoded.get(first..last).unwrap_or_default().to_vec()
    })
}

/// Base64 that nothing marks as a private key but its first bytes.
fn bare(text: &[u8], found: &mut Vec<Range<usize>>) -> usize {
    let mut at = 0;
    let mut longest = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().take_while(|byte| is_base64(**byte)).count();
        longest = longest.max(length);
        let head = rest.get(..32).filter(|_| length >= 60 && matches!(rest.first(), Some(b'M' | b'b' | b'l' | b'x')));
        let private = head.and_then(|head| STANDARD.decode(head).ok()).is_some_and(|head| is_private_binary(&head));
        if private {
            let end = body_after(text, base64_end(text, at));
            found.push(at..end);
            at = end;
        } else {
            at += length + 1;
        }
    }
    longest
}

fn is_private_binary(bytes: &[u8]) -> bool {
    is_private_der(bytes) || is_secret_key_packet(bytes)
}

/// What `gpg --export-secret-keys` begins with (RFC 9580 4.2, 5.5.3): the packet's head, the version, four bytes of time, the algorithm.
fn is_secret_key_packet(bytes: &[u8]) -> bool {
    let (length, body) = match bytes {
        [0x94, length, body @ ..] | [0xc5, length @ ..0xc0, body @ ..] => (usize::from(*length), body),
        [0x95, high, low, body @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), body),
        [0x96, 0, 0, high, low, body @ ..] | [0xc5, 0xff, 0, 0, high, low, body @ ..] => {
            (usize::from(u16::from_be_bytes([*high, *low])), body)
        }
        [0xc5, high @ 0xc0..0xe0, low, body @ ..] => {
            (usize::from(u16::from_be_bytes([*high - 0xc0, *low])) + 0xc0, body)
        }
        _ => return false,
    };
    (40..16_384).contains(&length) && matches!(body, [4 | 6, _, _, _, _, 1..=3 | 16..=19 | 22 | 25..=28, ..])
}

/// PKCS#8 plain and encrypted, PKCS#1, SEC 1, PKCS#12, and OpenSSH's own form, by their first bytes. A public key or a certificate begins
/// with a sequence in a sequence.
fn is_private_der(bytes: &[u8]) -> bool {
    const PASSWORD_BASED: [&[u8]; 2] =
        [b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05", b"\x06\x0a\x2a\x86\x48\x86\xf7\x0d\x01\x0c"];
    if bytes.starts_with(b"openssh-key-v1\0") {
        return true;
    }
    match sequence(bytes) {
        Some([0x02, 0x01, 0 | 1 | 3, 0x02 | 0x04 | 0x30, ..]) => true,
        Some(inner) => sequence(inner).is_some_and(|inner| PASSWORD_BASED.iter().any(|oid| inner.starts_with(oid))),
        None => false,
    }
}

/// The content of a DER sequence, as far as it is there.
fn sequence(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [0x30, 0x81, _, content @ ..] | [0x30, 0x82, _, _, content @ ..] | [0x30, 0x83, _, _, _, content @ ..] => {
            Some(content)
        }
        [0x30, 0..=0x7f, content @ ..] => Some(content),
        _ => None,
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

fn base64_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let run = rest.iter().take_while(|byte| is_base64(**byte)).count();
    at + run + rest.iter().skip(run).take(2).take_while(|byte| **byte == b'=').count()
}

/// Base64, and what stands for its line ends in JSON strings and URLs.
fn is_key_byte(byte: u8) -> bool {
    is_base64(byte) || matches!(byte, b'=' | b'\\' | b'%')
}

/// Shorter words are prose, except the last of a key.
const SHORTEST_LINE: usize = 16;

/// Where the lines of a key end that follow here: words of base64, the last of which may be short, after the headers of an armor.
fn body_after(text: &[u8], start: usize) -> usize {
    const HEADERS: [&[u8]; 7] =
        [b"Proc-Type:", b"DEK-Info:", b"Version:", b"Comment:", b"Charset:", b"Hash:", b"MessageID:"];
    let mut end = start;
    let mut long = true;
    while long {
        let rest = text.get(end..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let rest = rest.get(blank..).unwrap_or_default();
        if HEADERS.iter().any(|header| rest.starts_with(header)) {
            end += blank + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            continue;
        }
        let word = rest.iter().take_while(|byte| is_key_byte(**byte)).count();
        long = word >= SHORTEST_LINE;
        let follows = rest.get(word).copied().unwrap_or(b'\n');
        let is_short_end = word > 0 && end > start && follows.is_ascii_whitespace() && is_last_group(rest.get(..word));
        if follows == b':' || !(long || is_short_end) {
            break;
        }
        end += blank + word;
    }
    end
}

/// The mirror image of [`body_after`], for a closing marker whose opening one is missing.
fn body_before(text: &[u8], end: usize) -> usize {
    let mut start = end;
    loop {
        let rest = text.get(..start).unwrap_or_default();
        let blank = rest.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
        let rest = rest.get(..rest.len() - blank).unwrap_or_default();
        let word = rest.iter().rev().take_while(|byte| is_key_byte(**byte)).count();
        let from = rest.len() - word;
        let is_short_end = start == end && word > 0 && is_last_group(rest.get(from..));
        if word < SHORTEST_LINE && !is_short_end {
            return start;
        }
        start = from;
    }
}

/// Whether this can be the last line of base64: whole groups of four, or the checksum of an armor.
fn is_last_group(word: Option<&[u8]>) -> bool {
    word.is_some_and(|word| word.len() % 4 == 0 || word.first() == Some(&b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made for these tests: nothing was ever signed with them.
    const PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgH2nFSePDtMF9yBLp
xYe9a2NIMFwTouOCqn7CS8g9PsGhRANCAAR+o1xFy0obw0/wFUgWjc4KoWGfSWxi
1yG4kFmjpPf0Msb1dfPt38w9K1xzfCAbLJkGUrruAqmL+NYQMUohCqql
-----END PRIVATE KEY-----
";
    const SEC1: &str = "\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIB9pxUnjw7TBfcgS6cWHvWtjSDBcE6Ljgqp+wkvIPT7BoAoGCCqGSM49
AwEHoUQDQgAEfqNcRctKG8NP8BVIFo3OCqFhn0lsYtchuJBZo6T39DLG9XXz7d/M
PStcc3wgGyyZBlK67gKpi/jWEDFKIQqqpQ==
-----END EC PRIVATE KEY-----
";
    const ENCRYPTED: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAif7sPIBGLHhAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEKL1HSXax9yOCWjV/DmMa+AEgZCG
FiOJHuP7vBkGH096CyJ5VKbRDYFZ6yExV27PbCozqBD6eJhMOVtSK3fP4Gpu3em5
8YKhguXSgVFUPOzhoebcQvZsz6T6ideVjhK9ATTVNgmfMeoq6Em1B2qKfsIdCuSH
oA24r212hBOxtnXPS9J4KOfBDDd0vw1hh6TgI11N3OviGYD68g4ySQKdeksg3O8=
-----END ENCRYPTED PRIVATE KEY-----
";
    const WITH_HEADERS: &str = "\
-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,5125D84A5132716247F8BB754F0A222A

Z5LF2OmltA+Bo5/QIPkWKCui0udDALSuEBPWeVzeu3vBvjB4MdANtPEXrbNNy4ky
tO/UxsEZnjwvMJj8PLYfh8OM6F1MP17dWZMhksHoEERxjdDc62Tw/QkX3ZDFoFgn
5ns7wv1HwN32Q6sTT1o9OmT0PNaZxK5c2PuFn62XnFxEF24OtaMgoG/Sw+uywS41
A2rG++UziMmcmafqXdvJIBiWQrBPtFCuY1wkpDUshz8FyWHN2N39AAJUwRh7MN1E
H+eaNeufh8SXumrTVJLZkJZV0MT2SmQJWGL2xo3hdcZxoqGQVP0dnfVN1bRoliCw
a0SpvIZTO5vnMGjHokfVbMm4YDF2x1OpE5+lfDxFNyGRIjvdtdMDbInd5woXMjgu
my1rz91C9vrOTUzPPCvLKPw/SqosHpHFlCMkr9AnkvFzG/vz6VH36zmdFWmkEgNY
i15gD+4nz4fiLCx+Ae0o+6YPT9JO852PML1mifUzEk/zGlw+R+5EdI82aino6n7f
I6+Wy2MIYz2AvqapOTtF+g+Ew4pWQVtrG2jyfBcKB3GFfX3DIC8CCgqidUE9SEGm
6AIG+81Si95gm7/2m+iy+r8rkrkI+OhWQ2ViKuaBzw69g9RMAaoXX4nzBIXWzH/q
vwvSiwqrmcSziKGEeRBi1Cri6N8LXFk2KZ4mW6T03K3CBiKOuKeZ9ynEfN6I6ZHp
ddmUm6Z0Tn9oA7Z8hQh2bezS61W5jjxiZfBMcs/xBQZ76Zv4aYBVdvhTk1VY+bs4
vRunoVZ6n0EH1uSqK3v9TUuJEB8p9zn39T+iIC+IPYk=
-----END RSA PRIVATE KEY-----
";
    const OPENSSH: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACB/sfsjejXWbNKV8y8H5QcqnYAraMaYsPRXQzpURXrrOgAAAIg3u+g0N7vo
NAAAAAtzc2gtZWQyNTUxOQAAACB/sfsjejXWbNKV8y8H5QcqnYAraMaYsPRXQzpURXrrOg
AAAEC8NQ/OxQjVRxHfThVKRwEeQ/72aTi0Q/HBetG4VbywEX+x+yN6NdZs0pXzLwflByqd
gCtoxpiw9FdDOlRFeus6AAAAAXQBAgME
-----END OPENSSH PRIVATE KEY-----
";
    const PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfqNcRctKG8NP8BVIFo3OCqFhn0ls
YtchuJBZo6T39DLG9XXz7d/MPStcc3wgGyyZBlK67gKpi/jWEDFKIQqqpQ==
-----END PUBLIC KEY-----
";
    const RSA_PUBLIC: &str = "\
-----BEGIN RSA PUBLIC KEY-----
MIGJAoGBALRHOyFgEwzXUAd4R1Jk+tlF/s/sacJM7v1+arJ9OV4PbMy9DLENGU+R
ttk8IODJaWk7LUou+uU9xqYL3eQDaWhw+rDPvURGectNElKpvG9M4p+E71hePAH/
RSKP5RaXSS1IHU7eYzngiJz/CjNYCfAfbOC+fTLRX1jOWao188t1AgMBAAE=
-----END RSA PUBLIC KEY-----
";
    const CERTIFICATE: &str = "\
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

    fn body(pem: &str) -> String {
        pem.lines().filter(|line| !line.contains("-----")).collect()
    }

    /// No line of the key's body, and not the last few characters, may be left.
    fn assert_hidden(text: &str, key: &str) {
        assert!(contains_private_key(text), "{text}");
        let shown = redact(text);
        assert!(shown.contains(NOT_SHOWN), "{shown}");
        let encoded = STANDARD.encode(key);
        let twice = STANDARD.encode(&encoded);
        for secret in key
            .lines()
            .filter(|line| !line.contains("-----") && !line.contains(':') && line.len() > 3)
            .chain([&*encoded, &*twice])
        {
            for part in secret.as_bytes().chunks(20).map(String::from_utf8_lossy).filter(|part| part.len() > 3) {
                assert!(!shown.contains(&*part), "{part} in {shown}");
            }
        }
        assert_eq!(redact(&shown), shown, "what was redacted once stays as it is");
    }

    #[test]
    fn private_keys_are_hidden_in_every_dress() {
        for key in [PKCS8, SEC1, ENCRYPTED, WITH_HEADERS, OPENSSH] {
            let indented = key.replace('\n', "\n      ");
            let wrapped = STANDARD
                .encode(key)
                .as_bytes()
                .chunks(76)
                .map(String::from_utf8_lossy)
                .collect::<Vec<_>>()
                .join("\n    ");
            let percent = key.replace(' ', "%20").replace('\n', "%0A");
            for text in [
                key.to_owned(),
                format!("keyData: |\n      {indented}\n    other: x\n"),
                format!("{{\"keyData\":\"{}\"}}", key.replace('\n', "\\n")),
                format!("keyData: {}", key.replace('\n', " ")),
                format!("keyData: {}\nscopes:\n", STANDARD.encode(key)),
                format!("keyData: |\n    {wrapped}\n    other: x\n"),
                format!("keyData: {}", STANDARD.encode(STANDARD.encode(key))),
                format!("a {}", STANDARD.encode(format!("x{key}"))),
                format!("a {}", STANDARD.encode(format!("xy{key}"))),
                format!("data:,{percent}"),
                key.replace("-----BEGIN", "---BEGIN"),
                key.split("-----END").next().unwrap_or_default().to_owned(),
                key.split_once("-----\n").map(|(_, rest)| rest.to_owned()).unwrap_or_default(),
            ] {
                assert_hidden(&text, key);
            }
        }
        for key in [PKCS8, SEC1, ENCRYPTED, OPENSSH] {
            assert_hidden(&format!("keyData: {}\n", body(key)), key);
            assert!(contains_private_key(STANDARD.decode(body(key)).unwrap()));
        }
        let binary = include_bytes!("../../tests/keyrings/private.gpg");
        let pgp = STANDARD.encode(binary);
        assert!(contains_private_key(binary));
        assert_hidden(&format!("keyData: {pgp}\n"), &pgp);
        assert_hidden(
            include_str!("../../tests/keyrings/private.asc"),
            include_str!("../../tests/keyrings/private.asc"),
        );
        let sigstore = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\neyJrZGYiOnsibmFtZSI6InNjcnlwdCJ9\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";
        assert_hidden(sigstore, sigstore);
        let pgp = "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\nlQWGBGPPkAQBDACabcdefghijk\n=aB3d\n-----END PGP PRIVATE KEY BLOCK-----";
        assert_hidden(pgp, pgp);
        assert_hidden(&pgp[..pgp.find("-----END").unwrap()], pgp);
    }

    #[test]
    fn what_is_no_private_key_is_left_alone() {
        for text in [
            "",
            "a",
            PUBLIC,
            RSA_PUBLIC,
            CERTIFICATE,
            &STANDARD.encode(PUBLIC),
            &STANDARD.encode(CERTIFICATE),
            &body(RSA_PUBLIC),
            &body(CERTIFICATE),
            &STANDARD.encode(include_bytes!("../../tests/keyrings/rsa4096.gpg")),
            &STANDARD.encode(include_bytes!("../../tests/keyrings/two.gpg")),
            include_str!("../../tests/keyrings/armored.asc"),
            "BEGIN by making a PRIVATE KEY, and keep it",
            "quay.io/team/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            NOT_SHOWN,
        ] {
            assert!(!contains_private_key(text), "{text}");
            assert!(matches!(redact(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn single_lines_of_a_key_are_known() {
        let long = "a: b ".repeat(100) + "\n";
        let text = format!(
            "{}keyData: |\n  {}\nother: {PUBLIC}{}",
            long.repeat(40),
            SEC1.replace('\n', "\n  "),
            long.repeat(40)
        );
        let mut start = 0;
        let mut hidden = Vec::new();
        for line in text.split_inclusive('\n') {
            let end = start + line.trim_end().len();
            if private_keys(text.as_bytes()).iter().any(|key| key.start <= end && start <= key.end) {
                hidden.push(line.trim());
            }
            start += line.len();
        }
        assert_eq!(hidden, SEC1.lines().collect::<Vec<_>>());
    }

    #[test]
    fn what_stands_around_a_key_is_shown() {
        let secret = STANDARD.encode(PKCS8);
        for (text, expected) in [
            (format!("é {PKCS8} ü"), format!("é {NOT_SHOWN}\n ü")),
            (format!("a: {secret}\nb: {secret}\n"), format!("a: {NOT_SHOWN}\nb: {NOT_SHOWN}\n")),
            (format!("{PUBLIC}{SEC1}{PUBLIC}"), format!("{PUBLIC}{NOT_SHOWN}\n{PUBLIC}")),
            (
                "-----BEGIN PRIVATE KEY-----\nwords that follow it: yes".to_owned(),
                format!("{NOT_SHOWN}\nwords that follow it: yes"),
            ),
            (
                format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", "x y: z\n".repeat(5000)),
                format!("{NOT_SHOWN}\n{}\n{NOT_SHOWN}", "x y: z\n".repeat(5000)),
            ),
        ] {
            assert_eq!(redact(&text), expected);
        }
    }

    #[test]
    fn hostile_texts_take_linear_time() {
        let needle = STANDARD.encode("PRIVATE KEY");
        for unit in [
            "-----BEGIN PRIVATE KEY-----",
            "-----END PRIVATE KEY-----\n",
            "PRIVATE KEY",
            "MIIE",
            "M ",
            "-----BEGIN ",
            &needle,
        ] {
            let text = unit.repeat(4_000_000 / unit.len());
            let started = std::time::Instant::now();
            let ranges = private_keys(text.as_bytes());
            assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            assert!(started.elapsed().as_secs() < 20, "{unit}: {:?}", started.elapsed());
        }
    }
}
