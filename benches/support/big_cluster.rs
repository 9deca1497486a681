//! A cluster of any size: what `gen_big_cluster.py N M` of the project's notes writes as YAML, as objects.

use oc_imagepolicy::snapshot::{Laying, Origin, Snapshot, Source};
use serde_json::{Value, json};

/// `policies` ClusterImagePolicies of ten scopes each, `mirrors` digest mirror sets, a tenth as many allowed registries.
pub fn objects(policies: usize, mirrors: usize) -> impl Iterator<Item = Value> {
    let registries = (policies / 10).max(1);
    let mut allowed: Vec<String> = (0..registries).map(|i| format!("reg{i}.example.com")).collect();
    allowed.push("quay.io".into());
    let image = json!({
        "apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
        "spec": {"registrySources": {"allowedRegistries": allowed}},
    });
    let policy = move |i: usize| {
        let scopes: Vec<String> = (0..10).map(|j| format!("reg{}.example.com/ns{i}/repo{j}", i % registries)).collect();
        json!({
            "apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": format!("p{i}")},
            "spec": {"scopes": scopes, "policy": {
                "rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": key()}},
                "signedIdentity": {"matchPolicy": "MatchRepository"},
            }},
        })
    };
    let mirror = move |i: usize| {
        json!({
            "apiVersion": "config.openshift.io/v1", "kind": "ImageDigestMirrorSet", "metadata": {"name": format!("m{i}")},
            "spec": {"imageDigestMirrors": [{
                "source": format!("reg{}.example.com/ns{i}", i % registries),
                "mirrors": [format!("mirror.example.net/ns{i}")],
            }]},
        })
    };
    [image].into_iter().chain((0..policies).map(policy)).chain((0..mirrors).map(mirror))
}

/// The same, read.
pub fn snapshot(policies: usize, mirrors: usize) -> Snapshot {
    let mut snapshot = Snapshot::new(Source::Manifests);
    for object in objects(policies, mirrors) {
        let inserted = snapshot.insert(object, Origin::Live, Laying::Beside);
        assert!(inserted.is_ok(), "every object is new");
    }
    snapshot
}

/// The same as text, byte for byte what the script writes.
pub fn yaml(policies: usize, mirrors: usize) -> String {
    let registries = (policies / 10).max(1);
    let key = key();
    let mut text = String::from(
        "apiVersion: config.openshift.io/v1\nkind: Image\nmetadata:\n  name: cluster\nspec:\n  registrySources:\n    allowedRegistries:\n",
    );
    for i in 0..registries {
        text += &format!("    - reg{i}.example.com\n");
    }
    text += "    - quay.io\n";
    for i in 0..policies {
        text += &format!(
            "---\napiVersion: config.openshift.io/v1\nkind: ClusterImagePolicy\nmetadata:\n  name: p{i}\nspec:\n  scopes:\n"
        );
        for j in 0..10 {
            text += &format!("    - reg{}.example.com/ns{i}/repo{j}\n", i % registries);
        }
        text += &format!(
            "  policy:\n    rootOfTrust:\n      policyType: PublicKey\n      publicKey:\n        keyData: {key}\n"
        );
        text += "    signedIdentity:\n      matchPolicy: MatchRepository\n";
    }
    for i in 0..mirrors {
        text += &format!(
            "---\napiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\nmetadata:\n  name: m{i}\nspec:\n  imageDigestMirrors:\n"
        );
        text +=
            &format!("  - source: reg{}.example.com/ns{i}\n    mirrors: [mirror.example.net/ns{i}]\n", i % registries);
    }
    text
}

fn key() -> String {
    use base64::Engine;
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8Jjm2L+z+jCNw2UrLp7hvyp3S9MF\not28hAJatGyTDGfS49ZVkW3MLIyrNzmUHEtHaSckul7fmmyX1kdr5qQsWQ==\n-----END PUBLIC KEY-----\n";
    base64::engine::general_purpose::STANDARD.encode(PEM)
}
