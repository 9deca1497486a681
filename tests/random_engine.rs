//! Random questions to the real engine and to us, on every run. A failure prints the seed; `ENGINE_SEED=… cargo test --test
//! random_engine` asks the same again.

mod support;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use oc_imagepolicy::model::node_files::{NodeFiles, POLICY_JSON, PolicyForm, REGISTRIES_CONF, REGISTRIES_D};
use oc_imagepolicy::model::policy::{
    KeySource, Policy, PolicyRequirement, Requirements, RootOfTrust, SignedIdentity, Sourced, Transport,
};
use oc_imagepolicy::model::policy_write::{Style, write_policy};
use oc_imagepolicy::model::provenance::Provenance;
use oc_imagepolicy::model::reference::ImageReference;
use oc_imagepolicy::model::scopes::Scopes;
use oc_imagepolicy::resolve::Resolver;
use support::reference::{Answer, Engine, Request, Verdict};

/// SplitMix64: enough for tests, and the same on every machine.
struct Random(u64);

impl Random {
    /// From `ENGINE_SEED`, or a fresh one. Each test has its own sequence.
    fn new(test: u64) -> (Self, u64) {
        let seed = std::env::var("ENGINE_SEED").ok().map(|seed| seed.parse().expect("ENGINE_SEED is a number"));
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        (Self(seed ^ test.wrapping_mul(0x9e37_79b9_7f4a_7c15)), seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Once in so many times.
    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

impl Random {
    /// One of the odd ones once in so many times, else one of the usual ones.
    fn pick_odd<'a>(&mut self, times: usize, odd: &[&'a str], usual: &[&'a str]) -> &'a str {
        if self.one_in(times) { self.pick(odd) } else { self.pick(usual) }
    }
}

const HOSTS: &[&str] = &[
    "quay.io",
    "example.com",
    "example.com:5000",
    "registry.example.com",
    "eu.registry.example.com",
    "eu.registry.example.com:8443",
    "docker.io",
    "index.docker.io",
    "localhost",
    "localhost:5000",
    "10.1.2.3:5000",
    "B-Corp.example.net",
    "registry.iot.io",
    "a.b.c.io",
];
const ODD_HOSTS: &[&str] = &[
    "[::1]:5000",
    "[2001:db8::1]",
    "a_b.c",
    "A_b.c",
    "-x.io",
    "x-.io",
    "x..io",
    "io",
    "io:",
    "io:80",
    "x.io:8o",
    "",
    ".io",
    "İ.io",
];
const COMPONENTS: &[&str] = &["team", "app", "library", "busybox", "a__b", "c.d", "x--y", "a_b", "te", "team2"];
const ODD_COMPONENTS: &[&str] = &["Team", "é", "É", "_x", "x_", "a___b", "a-_b", "a..b", "", "x-", "ſ", "a b", "*"];
const TAGS: &[&str] = &["latest", "v1", "v1.2", "1.2-3_x", "V", "_"];
const ODD_TAGS: &[&str] = &["", "-x", ".x", "v:1", "é", "\u{212a}", "a/b"];
const ODD_CHARACTERS: &[char] = &[
    'A', 'É', 'İ', '\u{212a}', 'ß', ':', '@', '/', '.', '_', '-', '*', ' ', '"', '\\', '\n', '\u{7f}', '\u{ad}',
    '\u{301}', '😀',
];

fn digest(random: &mut Random) -> String {
    let letter = random.pick(&["a", "b", "0"]);
    match random.below(24) {
        0 => format!("sha512:{}", letter.repeat(128)),
        1 => format!("sha384:{}", letter.repeat(96)),
        2 => format!("sha256:{}", letter.repeat(63)),
        3 => format!("sha256:{}A", letter.repeat(63)),
        4 => format!("md5:{}", letter.repeat(32)),
        5 => format!("SHA256:{}", letter.repeat(64)),
        6 => format!("a+b.c:{}", letter.repeat(40)),
        7 => format!("a+B.c:{}", letter.repeat(40)),
        8 => format!("sha256:{}", letter.repeat(31)),
        9 => format!("1a:{}", letter.repeat(64)),
        10 => letter.repeat(64),
        _ => format!("sha256:{}", letter.repeat(64)),
    }
}

/// A name as a pod might have it, seldom a broken one.
fn image(random: &mut Random) -> String {
    let odd = random.one_in(6);
    let mut text = String::new();
    if !random.one_in(6) {
        text.push_str(if odd { random.pick_odd(2, ODD_HOSTS, HOSTS) } else { random.pick(HOSTS) });
        text.push('/');
    }
    for component in 0..1 + random.below(4) {
        if component > 0 {
            text.push('/');
        }
        text.push_str(if odd { random.pick_odd(4, ODD_COMPONENTS, COMPONENTS) } else { random.pick(COMPONENTS) });
    }
    if random.one_in(300) {
        text.push_str(&"x".repeat(random.below(300)));
    }
    if random.one_in(2) {
        text.push(':');
        text.push_str(if odd { random.pick_odd(3, ODD_TAGS, TAGS) } else { random.pick(TAGS) });
        if random.one_in(200) {
            text.push_str(&"x".repeat(120 + random.below(10)));
        }
    }
    if random.one_in(4) {
        text.push('@');
        text.push_str(&digest(random));
    }
    match random.below(100) {
        0 => digest(random),
        1 => text.chars().rev().collect(),
        2 | 3 => {
            let mut characters: Vec<char> = text.chars().collect();
            let odd = ODD_CHARACTERS[random.below(ODD_CHARACTERS.len())];
            characters.insert(random.below(characters.len() + 1), odd);
            characters.into_iter().collect()
        }
        4 => text.to_uppercase(),
        _ => text,
    }
}

/// What an image might be looked up under, and things near to it.
fn scope(random: &mut Random) -> String {
    let image = image(random);
    let candidates: Vec<String> = match ImageReference::parse(&image) {
        Ok(reference) => reference.candidates().map(|candidate| candidate.to_string()).collect(),
        Err(_) => vec![image.clone()],
    };
    match random.below(12) {
        0 => image,
        1 => String::new(),
        2 => random.pick(HOSTS).to_string(),
        3 => format!("*.{}", random.pick(HOSTS)),
        4 => random.pick(&["*.com", "*.io", "*.example.com", "*.", "*"]).to_string(),
        _ => candidates[random.below(candidates.len())].clone(),
    }
}

/// JSON that may be wrong: keys may repeat, numbers may be anything.
#[derive(Clone)]
enum Json {
    Raw(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn print(&self, random: &mut Random, out: &mut String) {
        fn space(random: &mut Random, out: &mut String) {
            if random.one_in(8) {
                out.push_str(random.pick(&[" ", "\n", "\t", "\r\n", "  "]));
            }
        }
        space(random, out);
        match self {
            Self::Raw(text) => out.push_str(text),
            Self::Text(text) => print_text(text, random, out),
            Self::List(list) => {
                out.push('[');
                for (index, element) in list.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    element.print(random, out);
                }
                space(random, out);
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    space(random, out);
                    print_text(key, random, out);
                    space(random, out);
                    out.push(':');
                    value.print(random, out);
                }
                space(random, out);
                out.push('}');
            }
        }
        space(random, out);
    }

    fn count(&self) -> usize {
        1 + match self {
            Self::Raw(_) | Self::Text(_) => 0,
            Self::List(list) => list.iter().map(Self::count).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| value.count()).sum(),
        }
    }

    /// Changes the value with this number.
    fn change(&mut self, number: &mut usize, random: &mut Random) {
        if *number == 0 {
            *number = usize::MAX;
            self.damage(random);
            return;
        }
        *number -= 1;
        let inner: Vec<&mut Json> = match self {
            Self::Raw(_) | Self::Text(_) => Vec::new(),
            Self::List(list) => list.iter_mut().collect(),
            Self::Object(members) => members.iter_mut().map(|(_, value)| value).collect(),
        };
        for value in inner {
            if *number != usize::MAX {
                value.change(number, random);
            }
        }
    }

    fn damage(&mut self, random: &mut Random) {
        match self {
            Self::Object(members) if !members.is_empty() && !random.one_in(5) => {
                let index = random.below(members.len());
                match random.below(6) {
                    0 => drop(members.remove(index)),
                    1 => members.push(members[index].clone()),
                    2 => members[index].0 = recased(&members[index].0, random),
                    3 => members[index].0.push('x'),
                    4 => members.insert(index, (random.pick(KEYS).to_string(), odd_value(random))),
                    _ => members[index].1 = odd_value(random),
                }
            }
            Self::List(list) if !list.is_empty() && !random.one_in(4) => {
                let index = random.below(list.len());
                match random.below(3) {
                    0 => drop(list.remove(index)),
                    1 => list.push(list[index].clone()),
                    _ => list[index] = odd_value(random),
                }
            }
            Self::Text(text) if random.one_in(2) => match random.below(4) {
                0 => text.clear(),
                1 => *text = recased(text, random),
                2 => text.push(ODD_CHARACTERS[random.below(ODD_CHARACTERS.len())]),
                _ => *text = image(random),
            },
            other => *other = odd_value(random),
        }
    }
}

fn print_text(text: &str, random: &mut Random, out: &mut String) {
    let escaping = random.one_in(10);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' || (escaping && random.one_in(4)) => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
            c => out.push(c),
        }
    }
    if random.one_in(2000) {
        out.push_str(random.pick(&["\\ud800", "\\udc00x", "\\ud800\\u0041", "\\/\\b\\f\\n\\r\\t"]));
    }
    out.push('"');
}

fn recased(text: &str, random: &mut Random) -> String {
    let change = |c: char| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    let whole = random.one_in(2);
    let index = random.below(text.chars().count().max(1));
    text.chars().enumerate().map(|(i, c)| if whole || i == index { change(c) } else { c }).collect()
}

const KEYS: &[&str] = &[
    "type",
    "keyType",
    "keyPath",
    "keyPaths",
    "keyData",
    "keyDatas",
    "signedIdentity",
    "fulcio",
    "pki",
    "rekorPublicKeyPath",
    "rekorPublicKeyPaths",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
    "caPath",
    "caData",
    "oidcIssuer",
    "subjectEmail",
    "prefix",
    "signedPrefix",
    "dockerReference",
    "dockerRepository",
    "baseLayerIdentity",
    "default",
    "transports",
    "docker",
    "",
    "Type",
];

fn raw(text: &str) -> Json {
    Json::Raw(text.into())
}

fn text(text: &str) -> Json {
    Json::Text(text.into())
}

fn object(members: Vec<(&str, Json)>) -> Json {
    Json::Object(members.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
}

fn odd_value(random: &mut Random) -> Json {
    match random.below(16) {
        0 => raw("null"),
        1 => raw("true"),
        2 => raw("false"),
        3 => raw(random.pick(&[
            "0",
            "-0",
            "1.5",
            "1e6",
            "123456789",
            "1234567890123456789012",
            "1e-5",
            "0.0001",
            "-2.5e-7",
            "1e999",
            "255",
            "256",
        ])),
        4 => text(""),
        5 => text(&scope(random)),
        6 => Json::List(Vec::new()),
        7 => Json::Object(Vec::new()),
        8 => Json::List(vec![odd_value(random)]),
        9 => requirement(random),
        10 => identity(random),
        11 => Json::List(vec![requirement(random), raw("null")]),
        12 => text("a\nb"),
        13 => paths(random),
        _ => data(random),
    }
}

fn path(random: &mut Random) -> Json {
    text(random.pick_odd(40, &[""], &["/k.pem", "/etc/pki/é", "k"]))
}

fn paths(random: &mut Random) -> Json {
    let least = usize::from(!random.one_in(12));
    Json::List(
        (0..least + random.below(3)).map(|_| if random.one_in(20) { raw("null") } else { path(random) }).collect(),
    )
}

fn data(random: &mut Random) -> Json {
    let odd = [
        "",
        "Zm9v",
        "Zm8=",
        "Zg==",
        "Zh==",
        "Zm9vYmE",
        "Zg=",
        "Z",
        "=",
        "Zm9v\nYmFy\r\n",
        "Zg=\n=",
        "Zg==Zg==",
        "Zm9v=",
        "Zm-_",
        "Zmé=",
        "Z\ng",
        "Zm9vZm9vZ!==",
    ];
    match random.below(12) {
        0 => Json::List((0..random.below(4)).map(|_| raw(random.pick(&["1", "255", "null", "0"]))).collect()),
        1 => raw("null"),
        2 => Json::List(vec![raw(random.pick(&["256", "-1", "1.0", "1e1", "\"x\"", "-0"]))]),
        3..=5 => text(random.pick(&odd)),
        _ => text(random.pick(&["Zm9v", "Zm9vYmFy", "Zg=="])),
    }
}

fn datas(random: &mut Random) -> Json {
    let least = usize::from(!random.one_in(12));
    Json::List((0..least + random.below(3)).map(|_| data(random)).collect())
}

fn identity(random: &mut Random) -> Json {
    let mut members = match random.below(6) {
        0 => vec![("type", text("matchExact"))],
        1 => vec![("type", text("matchRepoDigestOrExact"))],
        2 => vec![("type", text("matchRepository"))],
        3 => vec![("type", text("exactReference")), ("dockerReference", text(&image(random)))],
        4 => vec![("type", text("exactRepository")), ("dockerRepository", text(&image(random)))],
        _ => vec![
            ("type", text("remapIdentity")),
            ("prefix", text(&remap(random))),
            ("signedPrefix", text(&remap(random))),
        ],
    };
    if random.one_in(3) {
        members.reverse();
    }
    object(members)
}

fn remap(random: &mut Random) -> String {
    match random.below(8) {
        0 => image(random),
        1 => scope(random),
        2 => random.pick(ODD_HOSTS).to_string(),
        3..=4 => random.pick(HOSTS).to_string(),
        _ => format!("{}/{}", random.pick(HOSTS), random.pick(COMPONENTS)),
    }
}

fn requirement(random: &mut Random) -> Json {
    let mut members = match random.below(7) {
        0 | 1 => vec![("type", text("insecureAcceptAnything"))],
        2 => vec![("type", text("reject"))],
        3 => vec![("type", text("signedBaseLayer")), ("baseLayerIdentity", identity(random))],
        4 => {
            let key_type = random.pick(&[
                "GPGKeys",
                "GPGKeys",
                "GPGKeys",
                "signedByGPGKeys",
                "X509Certificates",
                "signedByX509CAs",
                "gpgkeys",
            ]);
            let key = match random.below(3) {
                0 => ("keyPath", path(random)),
                1 => ("keyPaths", paths(random)),
                _ => ("keyData", data(random)),
            };
            vec![("type", text("signedBy")), ("keyType", text(key_type)), key]
        }
        _ => sigstore(random),
    };
    if members.len() > 2 && random.one_in(2) {
        members.push(("signedIdentity", identity(random)));
    }
    if random.one_in(3) {
        members.reverse();
    }
    object(members)
}

fn sigstore(random: &mut Random) -> Vec<(&'static str, Json)> {
    let mut members = vec![("type", text("sigstoreSigned"))];
    let root = random.below(6);
    members.push(match root {
        0 => ("keyPath", path(random)),
        1 => ("keyPaths", paths(random)),
        2 => ("keyData", data(random)),
        3 => ("keyDatas", datas(random)),
        4 => {
            let ca = if random.one_in(2) { ("caPath", path(random)) } else { ("caData", data(random)) };
            let rest = [("oidcIssuer", text("https://i")), ("subjectEmail", text("a@b.c"))];
            ("fulcio", object([ca].into_iter().chain(rest).collect()))
        }
        _ => {
            let mut pki =
                vec![if random.one_in(2) { ("caRootsPath", path(random)) } else { ("caRootsData", data(random)) }];
            if random.one_in(2) {
                pki.push(if random.one_in(2) {
                    ("caIntermediatesPath", path(random))
                } else {
                    ("caIntermediatesData", data(random))
                });
            }
            if random.one_in(2) {
                pki.push(("subjectEmail", text(random.pick(&["a@b.c", ""]))));
            }
            pki.push(("subjectHostname", text(random.pick(&["h.example", "h.example", ""]))));
            ("pki", object(pki))
        }
    });
    if root == 4 || (root < 4 && random.one_in(3)) || random.one_in(20) {
        members.push(match random.below(4) {
            0 => ("rekorPublicKeyPath", path(random)),
            1 => ("rekorPublicKeyPaths", paths(random)),
            2 => ("rekorPublicKeyData", data(random)),
            _ => ("rekorPublicKeyDatas", datas(random)),
        });
    }
    members
}

/// Requirements that the engine takes.
fn good_requirements(random: &mut Random) -> Json {
    let one = |random: &mut Random| {
        let identity = ("signedIdentity", object(vec![("type", text("matchRepository"))]));
        match random.below(6) {
            0 | 1 => object(vec![("type", text("insecureAcceptAnything"))]),
            2 => object(vec![("type", text("reject"))]),
            3 => object(vec![
                ("type", text("signedBaseLayer")),
                ("baseLayerIdentity", object(vec![("type", text("matchExact"))])),
            ]),
            4 => object(vec![
                ("type", text("signedBy")),
                ("keyType", text("GPGKeys")),
                ("keyPath", text("/k")),
                identity,
            ]),
            _ => object(vec![("type", text("sigstoreSigned")), ("keyData", text("Zm9v")), identity]),
        }
    };
    Json::List((0..1 + random.below(2) * random.below(3)).map(|_| one(random)).collect())
}

fn policy(random: &mut Random, requirements: fn(&mut Random) -> Json, docker_scopes: Vec<String>) -> Json {
    let mut transports: Vec<(String, Json)> = Vec::new();
    let mut add = |transport: &str, mut scopes: Vec<String>, random: &mut Random| {
        scopes.sort_by_cached_key(|_| random.next());
        let mut distinct: Vec<(String, Json)> = Vec::new();
        for scope in scopes {
            if !distinct.iter().any(|(known, _)| *known == scope) {
                distinct.push((scope, requirements(random)));
            }
        }
        transports.push((transport.to_string(), Json::Object(distinct)));
    };
    if !docker_scopes.is_empty() {
        add("docker", docker_scopes, random);
    }
    if random.one_in(3) {
        add("docker-daemon", vec![String::new()], random);
    }
    if random.one_in(20) {
        let transport = random.pick(&[
            "atomic",
            "dir",
            "oci",
            "oci-archive",
            "sif",
            "docker-archive",
            "tarball",
            "containers-storage",
            "ostree",
            "docker-daemon2",
            "",
        ]);
        let odd = [
            "",
            "/",
            "/a",
            "/a/b",
            "/a/",
            "/a/..",
            "//a",
            "a",
            "[overlay@/x]",
            "[/x]y@z",
            "[x]",
            "[/x]quay.io/a:b",
            "[]",
            "[@/x]",
            "[a@]x",
            "x/y:z",
            "x/y/z:t",
            "x/y/z:t:u",
            "x/y/z/t",
        ];
        let scopes = (0..random.below(3)).map(|_| random.pick(&odd).to_string()).collect();
        add(transport, scopes, random);
    }
    let default = ("default".to_string(), requirements(random));
    let mut members = vec![default, ("transports".to_string(), Json::Object(transports))];
    if random.one_in(4) {
        members.reverse();
    }
    Json::Object(members)
}

fn printed(json: &Json, random: &mut Random) -> String {
    let mut text = String::new();
    json.print(random, &mut text);
    text
}

/// Our answer to a policy and its images must be the engine's.
fn compare_policy(text: &[u8], images: &[String], answer: &Answer, context: &str) {
    let files = NodeFiles::read([(POLICY_JSON, text, None)]);
    let unreadable = files.unreadable.values().next();
    let context = format!("{context}\npolicy {:?}", String::from_utf8_lossy(text));
    let Some(expected) = &answer.refused else {
        assert!(unreadable.is_none(), "{unreadable:?}, but the engine takes it; {context}");
        let resolver = Resolver::new(&files, None).unwrap_or_else(|refusals| panic!("{refusals:?} {context}"));
        for (image, expected) in images.iter().zip(&answer.verdicts) {
            match resolver.resolve(image) {
                Err(error) => {
                    assert_eq!(
                        (Verdict::Unparsable, &error.to_string()),
                        (expected.verdict, &expected.text),
                        "{image:?} {context}"
                    );
                }
                Ok(resolution) => {
                    let verdict = resolution.verdict();
                    assert_eq!(verdict.to_string(), format!("{:?}", worst(expected)), "{image:?} {context}");
                    assert_eq!(resolution.failure().unwrap_or_default(), expected.text, "{image:?} {context}");
                    assert_eq!(resolver.verdict_of(image, &mut String::new()), Ok(verdict), "{image:?} {context}");
                }
            }
        }
        return;
    };
    let Some(refusal) = unreadable else { panic!("the engine says {expected:?}, we take it; {context}") };
    let said = refusal.text.strip_prefix("invalid policy in \"/etc/containers/policy.json\": ").unwrap();
    // Where two keys are missing the engine names a random one.
    let both_missing = [said, expected].iter().all(|text| text.ends_with("refix\" missing in a JSON object"));
    if !support::is_gos_own(expected) && !both_missing {
        assert_eq!(said, expected, "{context}");
    }
}

/// `signedBaseLayer` is never satisfied: that is `Rejects` for us.
fn worst(expected: &support::reference::ImageVerdict) -> Verdict {
    if expected.text == "signedBaseLayer not implemented yet!" { Verdict::Rejects } else { expected.overall() }
}

#[test]
fn names_are_read_as_the_engine_reads_them() {
    let (mut random, seed) = Random::new(1);
    let images: Vec<String> = (0..60_000).map(|_| image(&mut random)).collect();
    let request = Request { references: true, images: images.clone(), ..Request::default() };
    let answers = Engine::start().ask(&[request]);
    assert_eq!(answers[0].references.len(), images.len());
    let mut parsed = 0;
    for expected in &answers[0].references {
        let mut scratch = "left over".to_string();
        match ImageReference::parse_in(&expected.image, &mut scratch) {
            Err(error) => assert_eq!(Some(error.to_string()), expected.text, "{:?} ENGINE_SEED={seed}", expected.image),
            Ok(reference) => {
                parsed += 1;
                assert_eq!(Some(reference.as_str()), expected.reference.as_deref(), "ENGINE_SEED={seed}");
                let candidates: Vec<String> = reference.candidates().map(|candidate| candidate.to_string()).collect();
                assert_eq!(candidates, expected.candidates, "{:?} ENGINE_SEED={seed}", expected.image);
            }
        }
    }
    assert!(parsed > 30_000 && parsed < 59_000, "{parsed} ENGINE_SEED={seed}");
}

#[test]
fn policies_decide_as_the_engine_does() {
    let (mut random, seed) = Random::new(2);
    let requests: Vec<Request> = (0..700)
        .map(|id| {
            let images = (0..80).map(|_| image(&mut random)).collect();
            let scopes = (0..random.below(40)).map(|_| scope(&mut random)).collect();
            let policy = policy(&mut random, good_requirements, scopes);
            Request { id: id.to_string(), policy: Some(printed(&policy, &mut random)), images, ..Request::default() }
        })
        .collect();
    let answers = Engine::start().ask(&requests);
    for (request, answer) in requests.iter().zip(&answers) {
        compare_policy(
            request.policy.as_ref().unwrap().as_bytes(),
            &request.images,
            answer,
            &format!("ENGINE_SEED={seed}"),
        );
    }
    let questions: usize = answers.iter().map(|answer| answer.verdicts.len()).sum();
    assert!(questions >= 50_000, "{questions} ENGINE_SEED={seed}");
}

#[test]
fn damaged_policies_are_refused_as_the_engine_refuses_them() {
    let (mut random, seed) = Random::new(3);
    let list = |random: &mut Random| Json::List((0..1 + random.below(2)).map(|_| requirement(random)).collect());
    let requests: Vec<Request> = (0..8_000)
        .map(|id| {
            let scopes = (0..random.below(3)).map(|_| scope(&mut random)).collect();
            let mut policy = policy(&mut random, list, scopes);
            for _ in 0..random.below(3) {
                let mut number = random.below(policy.count());
                policy.change(&mut number, &mut random);
            }
            let mut bytes = printed(&policy, &mut random).into_bytes();
            if random.one_in(6) {
                damage_bytes(&mut bytes, &mut random);
            }
            let images = vec!["quay.io/team/app".to_string(), "busybox".to_string()];
            Request { id: id.to_string(), policy_bytes: Some(bytes), images, ..Request::default() }
        })
        .collect();
    let answers = Engine::start().ask(&requests);
    for (request, answer) in requests.iter().zip(&answers) {
        compare_policy(request.policy_bytes.as_ref().unwrap(), &request.images, answer, &format!("ENGINE_SEED={seed}"));
    }
    let refused = answers.iter().filter(|answer| answer.refused.is_some()).count();
    assert!((5_000..8_000).contains(&refused), "{refused} ENGINE_SEED={seed}");
}

#[test]
fn policies_put_together_here_are_refused_as_the_engine_refuses_what_is_written() {
    let (mut random, seed) = Random::new(6);
    let policies: Vec<Policy> = (0..3_000).map(|_| typed_policy(&mut random)).collect();
    let style = Style { form: PolicyForm::Indented(2), pki_writes_empty_keys: false };
    let requests: Vec<Request> = policies
        .iter()
        .enumerate()
        .map(|(id, policy)| {
            let mut written = Vec::new();
            write_policy(&mut written, policy, None, style).unwrap();
            Request { id: id.to_string(), policy_bytes: Some(written), ..Request::default() }
        })
        .collect();
    let answers = Engine::start().ask(&requests);
    let mut refused = 0;
    for ((policy, request), answer) in policies.iter().zip(&requests).zip(&answers) {
        let written = request.policy_bytes.as_ref().unwrap();
        let context = format!("ENGINE_SEED={seed}\n{}", String::from_utf8_lossy(written));
        assert_eq!(policy.check().err(), answer.refused, "{context}");
        let read = Policy::read(written, &Provenance::Default("test"));
        assert_eq!(read.as_ref().err(), answer.refused.as_ref(), "{context}");
        refused += usize::from(read.is_err());
        let Ok(read) = read else { continue };
        assert_eq!(requirements(&read), requirements(policy), "{context}");
    }
    assert!((300..2_700).contains(&refused), "{refused} ENGINE_SEED={seed}");
}

/// Place → requirements, without those who asked for them.
fn requirements(policy: &Policy) -> BTreeMap<(String, String), Vec<PolicyRequirement>> {
    let bare = |list: &[Sourced]| list.iter().map(|sourced| (*sourced.requirement).clone()).collect();
    let scopes = policy.transports.iter().flat_map(|(transport, scopes)| {
        scopes.iter().map(|(scope, list)| ((transport.to_string(), scope.into_owned()), bare(list)))
    });
    scopes.chain([(("default".into(), String::new()), bare(&policy.default))]).collect()
}

fn typed_policy(random: &mut Random) -> Policy {
    let list = |random: &mut Random| -> Requirements {
        let least = usize::from(!random.one_in(60));
        let one = |random: &mut Random| Sourced {
            requirement: Arc::new(typed_requirement(random)),
            from: vec![Provenance::Default("test")],
        };
        (0..least + random.below(2)).map(|_| one(random)).collect()
    };
    let mut policy = Policy { default: list(random), ..Policy::default() };
    for transport in [Transport::Docker, Transport::Atomic, Transport::DockerDaemon] {
        let mut scopes = Scopes::default();
        for _ in 0..random.below(3) {
            let scope = scope(random);
            if transport != Transport::Atomic || scope.matches('/').count() < 2 || random.one_in(6) {
                scopes.insert(&scope, list(random));
            }
        }
        policy.transports.insert(transport, scopes);
    }
    policy
}

fn typed_requirement(random: &mut Random) -> PolicyRequirement {
    let some = |random: &mut Random, text: &str| -> Box<str> { random.pick_odd(25, &[""], &[text]).into() };
    let path = |random: &mut Random| KeySource::Path(some(random, "/k"));
    let data = |random: &mut Random| KeySource::Data(some(random, "k").as_bytes().into());
    let certificate = |random: &mut Random| if random.one_in(2) { path(random) } else { data(random) };
    let keys = |random: &mut Random| match random.below(4) {
        0 => path(random),
        1 => KeySource::Paths(["/k".into(), some(random, "/l")].into()),
        2 => data(random),
        _ => KeySource::Datas([(*b"k").into(), some(random, "l").as_bytes().into()].into()),
    };
    let identity = if random.one_in(2) { None } else { Some(typed_identity(random)) };
    match random.below(8) {
        0 => PolicyRequirement::InsecureAcceptAnything,
        1 => PolicyRequirement::Reject,
        2 => PolicyRequirement::SignedBaseLayer { base_layer_identity: typed_identity(random) },
        3 => {
            let keys = if random.one_in(2) { path(random) } else { KeySource::Data((*b"k").into()) };
            PolicyRequirement::SignedBy { key_type: some(random, "GPGKeys"), keys, identity }
        }
        4 => {
            let (ca, rekor) = (certificate(random), keys(random));
            let (oidc_issuer, subject_email) = (some(random, "https://i"), some(random, "a@b.c"));
            let root = RootOfTrust::Fulcio { ca, oidc_issuer, subject_email, rekor };
            PolicyRequirement::SigstoreSigned { root, identity }
        }
        5 => {
            let subject = |random: &mut Random| if random.one_in(3) { None } else { Some("h.example".into()) };
            let root = RootOfTrust::Pki {
                roots: certificate(random),
                intermediates: if random.one_in(2) { None } else { Some(KeySource::Data((*b"c").into())) },
                subject_email: subject(random),
                subject_hostname: subject(random),
            };
            PolicyRequirement::SigstoreSigned { root, identity }
        }
        _ => {
            let rekor = if random.one_in(2) { None } else { Some(KeySource::Path("/r".into())) };
            PolicyRequirement::SigstoreSigned { root: RootOfTrust::Keys { keys: keys(random), rekor }, identity }
        }
    }
}

fn typed_identity(random: &mut Random) -> SignedIdentity {
    match random.below(9) {
        0 => SignedIdentity::ExactReference(image(random).into()),
        1 => SignedIdentity::ExactRepository(image(random).into()),
        2 => SignedIdentity::RemapIdentity { prefix: remap(random).into(), signed_prefix: remap(random).into() },
        3 | 4 => SignedIdentity::MatchExact,
        5 | 6 => SignedIdentity::MatchRepository,
        _ => SignedIdentity::MatchRepoDigestOrExact,
    }
}

fn damage_bytes(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len().max(1));
    match random.below(6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, b"{}[]\",:x\\0- \n\x00\x1f\x80\xff\xe9"[random.below(18)]),
        2 if at < bytes.len() => drop(bytes.remove(at)),
        3 => bytes.extend_from_slice(random.pick(&[&b" x"[..], b"{}", b"\n ", b"null", b"]"])),
        4 => {
            *bytes =
                random.pick(&[&b""[..], b"null", b"[]", b"1e6", b"\"x\"", b" ", b"{}", b"1234567.5", b"true"]).to_vec()
        }
        _ => bytes.splice(at..at, *b"\xff\xe2\x82").for_each(drop),
    }
}

fn registries_conf(random: &mut Random) -> String {
    let location = |random: &mut Random| -> String {
        let mut text = match random.below(10) {
            0 => random.pick(HOSTS).to_string(),
            1 => image(random),
            2..=4 => format!("{}/{}", random.pick(HOSTS), random.pick(COMPONENTS)),
            5 => format!("{}/{}/{}", random.pick(HOSTS), random.pick(COMPONENTS), random.pick(COMPONENTS)),
            6 => "mirror.lab".into(),
            7 => "mirror.lab:8443".into(),
            _ => format!("mirror.lab/{}", random.pick(COMPONENTS)),
        };
        match random.below(60) {
            0 => text.push('/'),
            1 => text.insert_str(0, "https://"),
            2 => text.clear(),
            _ => {}
        }
        text
    };
    let mut file = String::new();
    let line = |file: &mut String, indent: &str, key: &str, value: String, random: &mut Random| {
        let key = if random.one_in(60) { key.to_uppercase() } else { key.to_string() };
        let value =
            if random.one_in(250) { random.pick(&["5", "true", "\"\"", "[]", "{}"]).to_string() } else { value };
        file.push_str(&format!("{indent}{key} = {value}\n"));
    };
    let quoted = |text: &str| toml::Value::String(text.into()).to_string();
    if random.one_in(2) {
        let entry = |random: &mut Random| quoted(random.pick_odd(30, ODD_HOSTS, HOSTS));
        let list: Vec<String> = (0..random.below(3)).map(|_| entry(random)).collect();
        line(&mut file, "", "unqualified-search-registries", format!("[{}]", list.join(", ")), random);
    }
    if random.one_in(6) {
        line(
            &mut file,
            "",
            "short-name-mode",
            quoted(random.pick(&["", "disabled", "enforcing", "permissive", "permissive", "x"])),
            random,
        );
    }
    let calm = !random.one_in(4);
    for _ in 0..random.below(12) {
        file.push_str("[[registry]]\n");
        let prefix = match random.below(4) {
            0 => format!(
                "*.{}",
                random.pick_odd(
                    40,
                    &["io:80"],
                    &["com", "io", "example.com", "registry.example.com", "iot.io", "b.c.io"]
                )
            ),
            1 | 2 => scope(random),
            _ => String::new(),
        };
        if !prefix.is_empty() || random.one_in(3) {
            line(&mut file, "", "prefix", quoted(&prefix), random);
        }
        if !prefix.starts_with("*.") || random.one_in(2) {
            let location = if random.one_in(3) { scope(random) } else { location(random) };
            line(&mut file, "", "location", quoted(&location), random);
        }
        for flag in ["insecure", "blocked"] {
            if random.one_in(if calm { 40 } else { 4 }) {
                line(&mut file, "", flag, random.one_in(2).to_string(), random);
            }
        }
        if random.one_in(9) {
            line(&mut file, "", "mirror-by-digest-only", random.one_in(2).to_string(), random);
        }
        if random.one_in(300) {
            line(&mut file, "", "pull-from-mirror", quoted("all"), random);
        }
        for _ in 0..random.below(4) {
            file.push_str("  [[registry.mirror]]\n");
            line(&mut file, "  ", "location", quoted(&location(random)), random);
            if random.one_in(4) {
                line(&mut file, "  ", "insecure", random.one_in(2).to_string(), random);
            }
            if random.one_in(2) {
                let mode = random.pick_odd(100, &["x"], &["digest-only", "tag-only", "all", ""]);
                line(&mut file, "  ", "pull-from-mirror", quoted(mode), random);
            }
        }
    }
    if random.one_in(12) {
        file.push_str("[aliases]\n");
        for _ in 0..random.below(3) {
            let (name, value) =
                (random.pick(COMPONENTS), format!("{}/{}", random.pick(HOSTS), random.pick(COMPONENTS)));
            let value = if random.one_in(4) { image(random) } else { value };
            file.push_str(&format!("{} = {}\n", quoted(name), quoted(&value)));
        }
    }
    if random.one_in(20) {
        let section = random.pick(&["search", "insecure", "block"]);
        if random.one_in(2) {
            file.clear();
        }
        file.push_str(&format!("[registries.{section}]\nregistries = [{}]\n", quoted(&location(random))));
    }
    file
}

#[test]
fn images_are_pulled_from_where_the_engine_pulls_them() {
    let (mut random, seed) = Random::new(4);
    let requests: Vec<Request> = (0..1_500)
        .map(|id| {
            let images = (0..25).map(|_| image(&mut random)).collect();
            Request { id: id.to_string(), registries: Some(registries_conf(&mut random)), images, ..Request::default() }
        })
        .collect();
    let answers = Engine::start().ask(&requests);
    let (mut loaded, mut with_sources) = (0, 0);
    for (request, answer) in requests.iter().zip(&answers) {
        let text = request.registries.as_ref().unwrap();
        let context = format!("ENGINE_SEED={seed}\n{text}");
        let anything = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
        let files = NodeFiles::read([(POLICY_JSON, anything, None), (REGISTRIES_CONF, text, None)]);
        if let Some(expected) = &answer.registries_refused {
            let refusal = files.unreadable.values().next();
            let Some(refusal) = refusal else { panic!("the engine says {expected:?}, we take it; {context}") };
            compare_registries_refusal(&refusal.text, expected, &context);
            continue;
        }
        loaded += 1;
        let resolver = Resolver::new(&files, None).unwrap_or_else(|refusals| panic!("{refusals:?} {context}"));
        for expected in &answer.sources {
            let Ok(resolution) = resolver.resolve(&expected.image) else {
                assert!(expected.text.is_some(), "{:?} {context}", expected.image);
                continue;
            };
            let entry = resolver.registries().find(resolution.reference.name());
            assert_eq!(entry.map(|entry| &*entry.prefix), expected.prefix.as_deref(), "{} {context}", expected.image);
            assert_eq!(entry.is_some_and(|entry| entry.blocked), expected.blocked, "{} {context}", expected.image);
            if entry.is_none() {
                continue;
            }
            match &expected.text {
                Some(text) => assert_eq!(resolution.pull.obstacle.as_ref(), Some(text), "{} {context}", expected.image),
                None => {
                    with_sources += 1;
                    let found: Vec<_> = resolution.pull.sources.iter().map(|s| (&*s.reference, s.insecure)).collect();
                    let wanted: Vec<_> = expected.sources.iter().map(|s| (&*s.reference, s.insecure)).collect();
                    assert_eq!(found, wanted, "{} {context}", expected.image);
                }
            }
        }
    }
    assert!((400..1_450).contains(&loaded) && with_sources > 1_000, "{loaded} {with_sources} ENGINE_SEED={seed}");
}

fn compare_registries_refusal(said: &str, expected: &str, context: &str) {
    let start = "loading registries configuration \"/etc/containers/registries.conf\": ";
    let (said, expected) = (said.strip_prefix(start).unwrap(), expected.strip_prefix(start).unwrap());
    if expected.starts_with("toml: ") {
        assert!(said.starts_with("toml: "), "{said:?} {expected:?} {context}");
    } else if expected.starts_with("mixing sysregistry v1/v2") {
        // The engine then shows its own data structure.
        assert!(said.starts_with("mixing sysregistry v1/v2"), "{said:?} {expected:?} {context}");
    } else {
        // Aliases come in a random order.
        let sorted = |text: &str| {
            let mut lines: Vec<String> =
                text.trim_start_matches("validating short-name aliases: ").lines().map(Into::into).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(said), sorted(expected), "{context}");
    }
}

#[test]
fn signatures_are_looked_for_where_the_engine_looks() {
    let (mut random, seed) = Random::new(5);
    let requests: Vec<Request> = (0..400)
        .map(|id| {
            let images = (0..20).map(|_| image(&mut random)).collect();
            let count = 1 + random.below(3);
            let files = (0..count).map(|file| (format!("{file}.yaml"), registries_d(&mut random, file))).collect();
            Request { id: id.to_string(), registries_d: Some(files), images, ..Request::default() }
        })
        .collect();
    let answers = Engine::start().ask(&requests);
    let mut merged = 0;
    for (request, answer) in requests.iter().zip(&answers) {
        let texts = request.registries_d.as_ref().unwrap();
        let context = format!("ENGINE_SEED={seed}\n{texts:?}");
        let files = NodeFiles::read(texts.iter().map(|(name, text)| (format!("{REGISTRIES_D}/{name}"), text, None)));
        let storages = files.merge_registries_d();
        let our_refusal = files.unreadable.values().next().or(storages.as_ref().err());
        if let Some(expected) = &answer.registries_d_refused {
            let Some(refusal) = our_refusal else { panic!("the engine says {expected:?}, we take it; {context}") };
            // Which of several keys and which file comes first is random.
            let start = |text: &str| text.split(':').next().unwrap().to_string();
            let is_twice = expected.starts_with("Error parsing");
            assert!(!is_twice || start(&refusal.text) == start(expected), "{refusal:?} {expected} {context}");
            continue;
        }
        assert!(our_refusal.is_none(), "{our_refusal:?} {context}");
        let storages = storages.unwrap();
        merged += 1;
        for expected in answer.attachments.iter().filter(|expected| expected.text.is_none()) {
            let reference = ImageReference::parse(&expected.image).unwrap();
            let settings = storages.settings(&reference);
            assert_eq!(settings.sigstore_attachments, expected.used, "{} {context}", expected.image);
            let base = settings.lookaside.unwrap_or("file:///var/lib/containers/sigstore");
            assert_eq!(format!("{base}/{}", reference.path()), expected.lookaside, "{} {context}", expected.image);
        }
    }
    assert!((100..400).contains(&merged), "{merged} ENGINE_SEED={seed}");
}

/// Most keys are in one file only.
fn registries_d(random: &mut Random, file: usize) -> String {
    let section = |random: &mut Random| {
        let mut settings: BTreeMap<&str, String> = BTreeMap::new();
        for key in ["lookaside", "sigstore", "lookaside-staging"] {
            if random.one_in(3) {
                settings.insert(key, random.pick(&["https://a.io/s", "file:///b", "''"]).to_string());
            }
        }
        if random.one_in(2) {
            let values = ["true", "false", "yes", "no", "on", "off", "'y'", "True", "null", "~", "Yes", "maybe", "1"];
            let known = if random.one_in(40) { values.len() } else { values.len() - 3 };
            settings.insert("use-sigstore-attachments", random.pick(&values[..known]).to_string());
        }
        if random.one_in(20) {
            settings.insert("other", "[1, {a: b}]".into());
        }
        settings
    };
    let print = |settings: BTreeMap<&str, String>, indent: &str| {
        settings.iter().map(|(key, value)| format!("{indent}{key}: {value}\n")).collect::<String>()
    };
    let mut text = String::new();
    if file == 0 && random.one_in(2) || random.one_in(20) {
        text.push_str("default-docker:\n");
        text.push_str(&print(section(random), "  "));
    }
    text.push_str("docker:\n");
    let mut keys: Vec<String> = Vec::new();
    for _ in 0..random.below(10) {
        let key = scope(random);
        let is_elsewhere = key.len() % 3 != file % 3 && !random.one_in(60);
        if !key.is_empty()
            && !is_elsewhere
            && !keys.contains(&key)
            && key.bytes().all(|b| (b' '..0x7f).contains(&b) && b != b'\'')
        {
            text.push_str(&format!("  '{key}':\n{}", print(section(random), "    ")));
            keys.push(key);
        }
    }
    text
}
