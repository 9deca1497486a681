//! Keyrings made by the real gpg (`tests/keyrings/README.md`), the same in bad shape, and what the real engine takes from them.

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use oc_imagepolicy::model::keyrings::{GpgKey, KeyringProblem, day, inspect_keyring};
use proptest::prelude::*;
use support::reference::{Engine, Request};

/// 2026-11-22
const NOW: i64 = 1_795_305_600;

fn file(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keyrings").join(name)).unwrap()
}

fn keys(name: &str) -> Vec<GpgKey> {
    let ring = inspect_keyring(&file(name)).unwrap_or_else(|problem| panic!("{name} {problem}"));
    assert_eq!(ring.skipped, 0, "{name}");
    ring.keys
}

/// File, fingerprint, algorithm, name, expiry and fault, as `gpg --show-keys` has them.
const GPG_SAYS: [(&str, &str, &str, &str, &str, &str); 8] = [
    (
        "rsa4096.gpg",
        "10A26F6BA8382E45B3026729401B5CAE074C79AE",
        "RSA 4096",
        "Example Release <release@example.com>",
        "",
        "",
    ),
    (
        "ed25519.gpg",
        "719D584E4F6FD70BF42A9B18D4E0EEB3ED564DC9",
        "Ed25519",
        "Example Images <images@example.com>",
        "2099-12-31",
        "",
    ),
    ("p256.gpg", "281C1BA46DEEF4D8D2E940F9F2DD3DEB06E0D9AF", "ECDSA P-256", "Curve <curve@example.com>", "", ""),
    (
        "expired.gpg",
        "2857588AC4E468BFE9889EDD048E41F401F3EB82",
        "Ed25519",
        "Old Release <old@example.com>",
        "2021-01-01",
        "expired on 2021-01-01",
    ),
    (
        "revoked.gpg",
        "AA2892B11BD1E1E3090DC1D389D25545A1CB02DC",
        "Ed25519",
        "Revoked Release <revoked@example.com>",
        "",
        "is revoked",
    ),
    (
        "renewed.gpg",
        "AD886C2ADEA0569DFEA5C610A4595AB374B8480F",
        "Ed25519",
        "Renewed <renewed@example.com>",
        "2098-01-01",
        "",
    ),
    (
        "encryption.gpg",
        "FFEBF106FD44CECC0E80E3AD6E2B454120E5CD00",
        "Ed25519",
        "Mail Only <mail@example.com>",
        "",
        "is not for signing",
    ),
    (
        "subkeys.gpg",
        "3374F65941D56DE276DC4E80202F8F7DA8A363CB",
        "RSA 2048",
        "With Subkeys <subkeys@example.com>",
        "2030-01-01",
        "",
    ),
];

#[test]
fn keys_are_what_gpg_says() {
    for (name, fingerprint, algorithm, user, expires, fault) in GPG_SAYS {
        let [key] = &*keys(name) else { panic!("{name}: not one key") };
        assert_eq!((&*key.fingerprint, &*key.algorithm), (fingerprint, algorithm), "{name}");
        assert_eq!(key.user_ids, [user], "{name}");
        assert_eq!(key.expires.map(day).unwrap_or_default(), expires, "{name}");
        assert_eq!(key.fault(NOW).map(|fault| fault.to_string()).unwrap_or_default(), fault, "{name}");
        let created = if name == "expired.gpg" { "2020-01-01" } else { "2026-01-01" };
        assert_eq!(day(key.created), created, "{name}");
    }
    assert_eq!(keys("ed25519.gpg")[0].to_string(), "719D…C9 (Example Images <images@example.com>)");
}

#[test]
fn armor_and_several_keys() {
    let one = |name| keys(name).pop().unwrap();
    assert_eq!(keys("armored.asc"), [one("ed25519.gpg")]);
    assert_eq!(keys("two.gpg"), [one("ed25519.gpg"), one("expired.gpg")]);
    assert_eq!(keys("two-blocks.asc"), [one("rsa4096.gpg"), one("ed25519.gpg")]);
    let mut mixed = file("ed25519.gpg");
    mixed.extend(file("private.gpg"));
    for private in [file("private.gpg"), file("private.asc"), mixed] {
        assert_eq!(inspect_keyring(&private), Err(KeyringProblem::PrivateKey));
    }
}

/// It is built without gpg here, and reads RSA only; and of several armored blocks the first.
#[test]
fn the_engine_takes_the_same_keys() {
    let armored_rsa = "two-blocks.asc";
    let names = ["rsa4096.gpg", "p256.gpg", armored_rsa];
    let ask = |name: &&str| Request { id: name.to_string(), keyring: Some(file(name)), ..Request::default() };
    let requests: Vec<Request> = names.iter().map(ask).collect();
    for (name, answer) in names.iter().zip(Engine::start().ask(&requests)) {
        let first = keys(name).remove(0);
        assert_eq!(answer.keys, [&*first.fingerprint], "{name}");
    }
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    const NAMES: &[&str] =
        &["rsa4096.gpg", "ed25519.gpg", "p256.gpg", "revoked.gpg", "subkeys.gpg", "encryption.gpg", "armored.asc"];
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    (prop::sample::select(NAMES), prop::collection::vec(change, 1..6)).prop_map(|(name, changes)| {
        let mut bytes = file(name);
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, byte),
                _ if bytes.len() > 1 => _ = bytes.remove(at),
                _ => {}
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    /// The release build would abort.
    #[test]
    fn nothing_makes_it_panic(bytes in mutated()) {
        let started = Instant::now();
        let _ = inspect_keyring(&bytes);
        prop_assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn nor_does_noise_behind_the_head_of_a_packet(
        tag in prop::sample::select(&[0xc2_u8, 0xc6, 0xce, 0xcd, 0xd1][..]),
        version in 2..7_u8,
        algorithm in 0..30_u8,
        noise in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut body = vec![version, 0x60, 0, 0, 0, algorithm];
        body.extend(noise);
        let mut bytes = file("ed25519.gpg");
        bytes.extend([tag, body.len() as u8]);
        bytes.extend(body);
        let _ = inspect_keyring(&bytes);
    }
}
