//! Randomly damaged objects, offered to a real kube-apiserver with the CRDs of 4.21 and to [`refusals`]: the same are accepted, for
//! the same causes the others are refused. `SEED=… cargo test --test admission_real` repeats a run.

mod support;

use std::hash::{BuildHasher, RandomState};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use oc_imagepolicy::admission::refusals;
use oc_imagepolicy::model::release::Release;
use serde_json::{Value, json};

use support::controlplane::ControlPlane;

const ROUNDS: usize = 100;

#[test]
fn the_server_refuses_what_is_refused_here() {
    let seed = std::env::var("SEED").map_or_else(|_| RandomState::new().hash_one(0), |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    let release = Release::parse("4.21").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = client(ControlPlane::shared()).await;
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..ROUNDS {
            for (resource, sound) in sound_objects() {
                let mut object = sound;
                for _ in 0..random.below(4) {
                    damage(&mut random, &mut object);
                }
                let theirs = offer(&client, resource, &object).await;
                let mut ours: Vec<Cause> =
                    refusals(release, &object).into_iter().map(|cause| (cause.path, cause.message)).collect();
                ours.sort();
                assert_eq!(ours, theirs, "SEED={seed}, ours first:\n{object}");
                if theirs.is_empty() { accepted += 1 } else { refused += 1 }
            }
        }
        assert!(accepted > ROUNDS && refused > ROUNDS, "SEED={seed}: {accepted} accepted, {refused} refused");
    });
}

type Cause = (String, String);

async fn client(server: &ControlPlane) -> Client {
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig("admin")).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// The causes for which the server would not create the object, sorted.
async fn offer(client: &Client, resource: &str, object: &Value) -> Vec<Cause> {
    let uri = format!("/apis/{}/{resource}?dryRun=All", object["apiVersion"].as_str().unwrap());
    let request = Request::post(uri).header("Content-Type", "application/json").body(object.to_string().into_bytes());
    match client.request::<Value>(request.unwrap()).await {
        Ok(_) => Vec::new(),
        Err(kube::Error::Api(status)) if status.code == 422 => {
            let causes = status.details.map(|details| details.causes).unwrap_or_default();
            assert!(!causes.is_empty(), "{}\n{object}", status.message);
            let mut causes: Vec<Cause> = causes.into_iter().map(|cause| (cause.field, cause.message)).collect();
            causes.sort();
            causes
        }
        Err(error) => panic!("{error}\n{object}"),
    }
}

/// One object of each kind that the server takes, with every field that has a rule; three policies, one for each root of trust.
fn sound_objects() -> Vec<(&'static str, Value)> {
    let key = STANDARD.encode(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", "A".repeat(20)));
    let certificate = STANDARD.encode("-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----");
    let object = |api_version: &str, kind: &str, spec: Value| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "labels": {"a.b/c": "d"}}, "spec": spec});
    let policy = |kind: &str, root: Value, identity: Value| {
        let policy = json!({"rootOfTrust": root, "signedIdentity": identity});
        object("config.openshift.io/v1", kind, json!({"scopes": ["quay.io/team", "*.example.com"], "policy": policy}))
    };
    let mirrors = json!([
        {"source": "quay.io/a", "mirrors": ["m.example.com:5000/a", "n/b"], "mirrorSourcePolicy": "NeverContactSource"},
        {"source": "*.example.com"},
    ]);
    vec![
        (
            "clusterimagepolicies",
            policy(
                "ClusterImagePolicy",
                json!({"policyType": "PublicKey", "publicKey": {"keyData": key, "rekorKeyData": key}}),
                json!({"matchPolicy": "ExactRepository", "exactRepository": {"repository": "a.b/c"}}),
            ),
        ),
        (
            "clusterimagepolicies",
            policy(
                "ClusterImagePolicy",
                json!({"policyType": "FulcioCAWithRekor", "fulcioCAWithRekor": {
                    "fulcioCAData": certificate, "rekorKeyData": key,
                    "fulcioSubject": {"oidcIssuer": "https://issuer.example.com/a", "signedEmail": "a@example.com"},
                }}),
                json!({"matchPolicy": "MatchRepository"}),
            ),
        ),
        (
            "namespaces/default/imagepolicies",
            policy(
                "ImagePolicy",
                json!({"policyType": "PKI", "pki": {
                    "caRootsData": certificate, "caIntermediatesData": certificate,
                    "pkiCertificateSubject": {"email": "a@b.c", "hostname": "*.example.com"},
                }}),
                json!({"matchPolicy": "RemapIdentity", "remapIdentity": {"prefix": "a.b", "signedPrefix": "c.d/e"}}),
            ),
        ),
        (
            "images",
            object(
                "config.openshift.io/v1",
                "Image",
                json!({
                    "additionalTrustedCA": {"name": "ca"},
                    "allowedRegistriesForImport": [{"domainName": "a", "insecure": true}],
                    "externalRegistryHostnames": ["a.b"],
                    "registrySources": {
                        "insecureRegistries": ["a.b"], "blockedRegistries": ["b.c"], "containerRuntimeSearchRegistries": ["c.d", "e"],
                    },
                }),
            ),
        ),
        (
            "imagedigestmirrorsets",
            object("config.openshift.io/v1", "ImageDigestMirrorSet", json!({"imageDigestMirrors": mirrors})),
        ),
        (
            "imagetagmirrorsets",
            object("config.openshift.io/v1", "ImageTagMirrorSet", json!({"imageTagMirrors": mirrors})),
        ),
        (
            "imagecontentsourcepolicies",
            object(
                "operator.openshift.io/v1alpha1",
                "ImageContentSourcePolicy",
                json!({"repositoryDigestMirrors": mirrors}),
            ),
        ),
    ]
}

/// Changes one value somewhere: another text, another type, nothing, one more, one member too many.
fn damage(random: &mut Random, object: &mut Value) {
    let mut pointers = Vec::new();
    collect_pointers(object, &mut String::new(), &mut pointers);
    let pointer = random.pick(&pointers).clone();
    let in_metadata = pointer.starts_with("/metadata");
    let Some(value) = object.pointer_mut(&pointer) else { return };
    match (random.below(8), value) {
        // The decoder refuses wrong types in metadata, with an error that has no causes.
        (_, Value::String(text)) if in_metadata => *text = random.text(),
        (_, Value::Object(labels)) if in_metadata => {
            labels.insert(random.text(), json!(random.text()));
        }
        (0..=3, Value::String(text)) => *text = random.text(),
        (4, Value::String(text)) => *text = STANDARD.encode(random.text()),
        (0..=2, Value::Array(items)) => items.extend(items.get(random.below(items.len() + 1)).cloned()),
        (3, Value::Array(items)) => items.resize(random.pick(&[0, 1, 255, 256, 257]), json!("quay.io")),
        (0..=2, Value::Object(members)) => {
            let names: Vec<String> = members.keys().cloned().collect();
            if !names.is_empty() {
                members.shift_remove(&random.pick(&names));
            }
        }
        (3, Value::Object(members)) => {
            let names =
                ["allowedRegistries", "publicKey", "pki", "remapIdentity", "exactRepository", "mirrors", "unknown"];
            let name: &str = random.pick(&names);
            members.insert(name.to_string(), json!({}));
        }
        (4, Value::Object(members)) => {
            members.insert("allowedRegistries".to_string(), json!([]));
        }
        (_, value) => {
            *value = random.pick(&[
                json!(null),
                json!(true),
                json!(7),
                json!(-1.5),
                json!(12345678.5),
                json!([]),
                json!({}),
                json!([{"a": null}, "<&>", null]),
                json!({"name": 1}),
                json!(""),
                json!(["a", "a", null, null, 1, 1, 1, {"b": 1}, {"c": 2}]),
            ]);
        }
    }
}

/// Every value from the spec down, the name, and the labels. Empty objects too, since something may be put into them.
fn collect_pointers(value: &Value, path: &mut String, pointers: &mut Vec<String>) {
    if path.starts_with("/spec") || path == "/metadata/name" || path == "/metadata/labels" {
        pointers.push(path.clone());
    }
    let length = path.len();
    let mut visit = |name: String, value: &Value| {
        path.push_str(&format!("/{}", name.replace('~', "~0").replace('/', "~1")));
        collect_pointers(value, path, pointers);
        path.truncate(length);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| visit(name.clone(), value)),
        Value::Array(items) => items.iter().take(4).enumerate().for_each(|(at, value)| visit(at.to_string(), value)),
        _ => {}
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// Text in which the patterns' turning points are likely.
    fn text(&mut self) -> String {
        const PARTS: [&str; 64] = [
            "a",
            "b",
            "0",
            "A",
            "quay.io",
            "localhost",
            "example.com",
            "team/app",
            "*.",
            "*",
            ".",
            "/",
            ":",
            "@",
            "-",
            "_",
            "__",
            ":5000",
            ":latest",
            "@sha256:0123456789abcdef0123456789abcdef",
            "@md5:aF",
            "--",
            "..",
            " ",
            "\n",
            "é",
            "\u{301}",
            "\u{200d}",
            "😀",
            "\u{7f}",
            "\"",
            "\\",
            "<&>",
            "https://",
            "HTTP://",
            "x://",
            "//",
            "[::1]",
            "[fe80::1%25en0]",
            "[",
            "]",
            "%41",
            "%C3%A9",
            "%",
            "%25",
            "?",
            "#",
            "+",
            "~",
            ">",
            "u:p@",
            ":8080",
            "-----BEGIN PUBLIC KEY-----",
            "-----END PUBLIC KEY-----",
            "-----BEGIN CERTIFICATE-----",
            "-----END CERTIFICATE-----",
            "QUJD",
            "==",
            "=",
            "PKI",
            "Legacy",
            "ExactRepository",
            "ÿ",
            "\t",
        ];
        let mut text = String::new();
        for _ in 0..self.below(6) {
            text.push_str(self.pick(&PARTS));
        }
        if self.below(12) == 0 {
            let part = self.pick(&["a", "é", "1", ".a", "/a", "a@"]);
            let length: usize = self.pick(&[63, 64, 128, 129, 253, 254, 320, 321, 512, 513, 2048, 2049, 8192, 8193]);
            let missing = length.saturating_sub(text.chars().count());
            text.push_str(&part.repeat(missing / part.chars().count()));
        }
        text
    }
}
