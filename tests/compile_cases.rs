//! What domain.md says the controller does, case by case: its test vectors, and the pitfalls that were run.

use oc_imagepolicy::compile::{Compiled, NoteKind, compile};
use oc_imagepolicy::model::machine_config::ignition;
use oc_imagepolicy::model::node_files::NodeFiles;
use oc_imagepolicy::model::policy::{PolicyRequirement, Transport, Verdict, verdict};
use oc_imagepolicy::model::provenance::RefusalReason;
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::snapshot::{Laying, Origin, Snapshot, Source};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

const FOO_BAR: &str = "Zm9vIGJhcg==";
const PAYLOAD: &str = "quay.io/openshift-release-dev/ocp-release@sha256:\
                       eee65f53e9421ce50211670eae679f02e8d28a79023c39c200661fccd268a29a";

fn image(sources: Value) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
           "spec": {"registrySources": sources}})
}

fn policy(kind: &str, name: &str, namespace: &str, scopes: &[&str]) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
           "spec": {"scopes": scopes, "policy": {
               "rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": FOO_BAR}},
               "signedIdentity": {"matchPolicy": "MatchRepoDigestOrExact"}}}})
}

fn cip(name: &str, scopes: &[&str]) -> Value {
    policy("ClusterImagePolicy", name, "", scopes)
}

fn ip(namespace: &str, name: &str, scopes: &[&str]) -> Value {
    policy("ImagePolicy", name, namespace, scopes)
}

fn idms(name: &str, source: &str, mirrors: &[&str], policy: &str) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "ImageDigestMirrorSet", "metadata": {"name": name},
           "spec": {"imageDigestMirrors": [{"source": source, "mirrors": mirrors, "mirrorSourcePolicy": policy}]}})
}

fn version(payload: &str) -> Value {
    json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion", "metadata": {"name": "version"},
           "status": {"desired": {"version": "5.2.0", "image": payload}}})
}

fn compiled_as(source: Source, release: &str, payload: &str, objects: &[Value]) -> Compiled {
    let mut snapshot = Snapshot::new(source);
    for object in objects.iter().cloned().chain([version(payload)]) {
        snapshot.insert(object, Origin::Live, Laying::Beside).unwrap();
    }
    compile(&snapshot, Release::parse(release).unwrap())
}

fn compiled(objects: &[Value]) -> Compiled {
    compiled_as(Source::Manifests, "5.2", PAYLOAD, objects)
}

fn texts(compiled: &Compiled) -> Vec<&str> {
    match &compiled.generated {
        Ok(_) => Vec::new(),
        Err(refusals) => refusals.iter().map(|refusal| refusal.text.as_str()).collect(),
    }
}

fn file(compiled: &Compiled, path: &str) -> Option<String> {
    let files = compiled.generated.as_ref().unwrap().files();
    files.iter().find(|file| file.path == path).map(|file| String::from_utf8(file.bytes()).unwrap())
}

fn notes(compiled: &Compiled) -> Vec<NoteKind> {
    compiled.notes.iter().map(|note| note.kind).collect()
}

fn of_scope(compiled: &Compiled, scope: &str) -> Option<(Verdict, usize)> {
    let files = &compiled.generated.as_ref().unwrap().files;
    let found = files.policy.as_ref()?.policy.transports.get(&Transport::Docker)?.get(scope)?;
    Some((verdict(found), found.len()))
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

const POLICY: &str = "/etc/containers/policy.json";
const CONF: &str = "/etc/containers/registries.conf";
const ATTACHMENTS: &str = "/etc/containers/registries.d/sigstore-registries.yaml";

#[test]
fn v1_the_seeds_policy() {
    let objects = [cip("p0", &["registry.ci.openshift.org", "example.com/global"])];
    let compiled = compiled(&objects);
    let written = file(&compiled, POLICY).unwrap();
    assert_eq!(written.len(), 1142);
    assert_eq!(sha256(written.as_bytes()), "f4d426167e1069a4b96edd776236d408c39b932e9dc475460f5710cf83595f27");
    let attachments = file(&compiled, ATTACHMENTS).unwrap();
    assert_eq!(attachments.len(), 129);
    assert_eq!(sha256(attachments.as_bytes()), "720a013593459385b55c1992ec5dce0b7e79a79dc92a5691a2bb549793739712");
    let generated = compiled.generated.as_ref().unwrap();
    let files = generated.files();
    let config = ignition(files.iter().map(|file| (&file.path, file.bytes())), Release::newest()).to_string();
    assert_eq!(config.len(), 2068);
    assert_eq!(sha256(config.as_bytes()), "4d5e2bf692e5ea2cb58d31599517560ef953c7085a4e02cde5f4d905b6ca84eb");
    let compact = file(&compiled_as(Source::Manifests, "4.16", PAYLOAD, &objects), POLICY).unwrap();
    assert!(
        compact.starts_with(r#"{"default":[{"type":"insecureAcceptAnything"}],"transports":{"atomic":{"#),
        "{compact}"
    );
}

#[test]
fn v2_a_mirror_set() {
    let source = "registry.access.redhat.com/ubi8/ubi-minimal";
    let objects = [idms("m", source, &["example.io/digest-example/ubi-minimal"], "NeverContactSource")];
    let expected = r#"unqualified-search-registries = ["registry.access.redhat.com", "docker.io"]
short-name-mode = ""
additional-layer-store-auth-helper = ""

[[registry]]
  prefix = ""
  location = "registry.access.redhat.com/ubi8/ubi-minimal"
  blocked = true

  [[registry.mirror]]
    location = "example.io/digest-example/ubi-minimal"
    pull-from-mirror = "digest-only"
"#;
    assert_eq!(file(&compiled(&objects), CONF).unwrap(), expected);
    let helper = "additional-layer-store-auth-helper = \"\"\n";
    let older = compiled_as(Source::Manifests, "4.18", PAYLOAD, &objects);
    assert_eq!(file(&older, CONF).unwrap(), expected.replace(helper, ""));
}

/// The column "MCO emits".
#[test]
fn v3_scopes_under_atomic() {
    let table = [
        ("ex.com", true),
        ("ex.com:5000", true),
        ("*.ex.com", true),
        ("ex.com/ns/repo:tag", true),
        ("ex.com/ns/repo@sha256:aa", true),
        ("ex.com/repo:tag", true),
        ("ex.com/a/b/c", false),
    ];
    for (scope, expected) in table {
        let compiled = compiled(&[cip("a", &[scope])]);
        let transports = &compiled.generated.as_ref().unwrap().files.policy.as_ref().unwrap().policy.transports;
        let is_atomic = transports[&Transport::Atomic].get(scope).is_some();
        assert_eq!(is_atomic, expected, "{scope}");
        assert!(transports[&Transport::Docker].get(scope).is_some());
    }
}

#[test]
fn v4_allowed_blocked_and_shared_scopes() {
    let one = compiled(&[image(json!({"allowedRegistries": ["allow.io", "test0.com"]})), cip("a", &["test0.com"])]);
    assert_eq!(of_scope(&one, "allow.io"), Some((Verdict::AcceptsAnything, 1)));
    assert_eq!(of_scope(&one, "test0.com"), Some((Verdict::RequiresSignature, 1)));
    let policy = &one.generated.as_ref().unwrap().files.policy.as_ref().unwrap().policy;
    assert_eq!(*policy.default[0].requirement, PolicyRequirement::Reject);
    assert_eq!(policy.default[0].from[0].to_string(), "Image/cluster spec.registrySources.allowedRegistries");
    let accept = &policy.transports[&Transport::Docker].get("allow.io").unwrap()[0];
    assert_eq!(accept.from[0].to_string(), "Image/cluster spec.registrySources.allowedRegistries[0]");

    let both = compiled(&[image(json!({"allowedRegistries": ["allow.io"], "blockedRegistries": ["allow.io"]}))]);
    let expected = "could not update policy json with new changes: invalid images config: only one of AllowedRegistries or BlockedRegistries may be specified";
    assert_eq!(texts(&both), [expected]);

    let shared = compiled(&[cip("a", &["test0.com"]), cip("b", &["test0.com"])]);
    assert_eq!(of_scope(&shared, "test0.com"), Some((Verdict::RequiresSignature, 2)));
}

#[test]
fn v5_blocking_the_payload() {
    let payload = format!("payload-reg.io/release-image@sha256:{}", "a".repeat(64));
    let blocked = || image(json!({"blockedRegistries": ["block.io", "payload-reg.io", "block-2.io"]}));
    let without = compiled_as(Source::Manifests, "5.2", &payload, &[blocked()]);
    assert_eq!(of_scope(&without, "payload-reg.io"), None);
    assert_eq!(of_scope(&without, "block-2.io"), Some((Verdict::Rejects, 1)));
    assert!(!file(&without, CONF).unwrap().contains("payload-reg.io"));
    let note = without.notes.iter().find(|note| note.kind == NoteKind::PayloadBlockIgnored).unwrap();
    assert_eq!(
        note.text,
        r#"error adding ["payload-reg.io"] to blocked registries, cannot block the repository being used by the payload"#
    );
    assert_eq!(note.causes[0].path, "spec.registrySources.blockedRegistries[1]");

    let mirror = idms("m", "payload-reg.io/release-image", &["mirror-1.io/payload"], "");
    let with = compiled_as(Source::Manifests, "5.2", &payload, &[blocked(), mirror]);
    assert_eq!(of_scope(&with, "payload-reg.io"), Some((Verdict::Rejects, 1)));
    assert_eq!(of_scope(&with, "payload-reg.io/release-image"), Some((Verdict::AcceptsAnything, 1)));
    assert!(notes(&with).contains(&NoteKind::PayloadAllowed));

    let payload = format!("quay.io/openshift-release-dev@sha256:{}", "a".repeat(64));
    let objects = [
        image(json!({"blockedRegistries": ["quay.io", "block.io/openshift-release-dev"]})),
        idms("m", "quay.io", &["block.io"], ""),
    ];
    let mirror_blocked = compiled_as(Source::Manifests, "5.2", &payload, &objects);
    assert_eq!(of_scope(&mirror_blocked, "quay.io"), None);
    assert_eq!(of_scope(&mirror_blocked, "block.io/openshift-release-dev"), Some((Verdict::Rejects, 1)));
}

#[test]
fn p03_a_scope_that_nodes_refuse_is_written() {
    let compiled = compiled(&[cip("a", &["example.com/app:latest"])]);
    let refusals = compiled.generated.as_ref().unwrap().files.check();
    assert!(
        refusals.iter().any(|refusal| refusal.text.contains(r#"Unknown key "example.com/app:latest""#)),
        "{refusals:?}"
    );
}

#[test]
fn p05_and_p07_the_stock_policy() {
    let stock = || {
        cip(
            "openshift",
            &["quay.io/openshift-release-dev/ocp-release", "quay.io/openshift-release-dev/ocp-v4.0-art-dev"],
        )
    };
    let allowed = compiled(&[image(json!({"allowedRegistries": ["mirror.lab"]})), stock()]);
    let texts_of = |compiled: &Compiled| texts(compiled).iter().map(ToString::to_string).collect::<Vec<_>>();
    let outside = |scope: &str| {
        format!(
            "could not update policy json with new changes: clusterimagePolicy configured for the scope {scope} is not nested inside allowedRegistries"
        )
    };
    assert_eq!(
        texts_of(&allowed),
        [
            outside("quay.io/openshift-release-dev/ocp-release"),
            outside("quay.io/openshift-release-dev/ocp-v4.0-art-dev")
        ]
    );
    let refusals = allowed.generated.as_ref().unwrap_err();
    assert_eq!(refusals[1].reason, RefusalReason::ScopeOutsideAllowed);
    assert_eq!(
        (refusals[1].causes[0].path.as_str(), &*refusals[1].causes[0].object.name),
        ("spec.scopes[1]", "openshift")
    );

    let blocked = compiled(&[
        image(json!({"blockedRegistries": ["quay.io"]})),
        idms("m", "quay.io/openshift-release-dev", &["mirror.lab/ocp"], ""),
        stock(),
    ]);
    let texts = texts_of(&blocked);
    assert_eq!(texts[0], outside("quay.io/openshift-release-dev/ocp-v4.0-art-dev"));
    assert!(texts[1..].iter().all(|text| text.ends_with("is nested inside blockedRegistries")), "{texts:?}");
    assert_eq!(texts.len(), 3);
}

#[test]
fn p08_two_blocked_entries_contain_the_payload() {
    let compiled = compiled(&[
        image(json!({"blockedRegistries": ["quay.io", "quay.io/openshift-release-dev"]})),
        idms("m", "quay.io/openshift-release-dev/ocp-release", &["mirror.lab/ocp"], ""),
    ]);
    assert!(texts(&compiled)[0].ends_with("only one of AllowedRegistries or BlockedRegistries may be specified"));
}

#[test]
fn p10_and_p14_image_policies() {
    let outside = compiled(&[image(json!({"allowedRegistries": ["quay.io"]})), ip("shop", "web", &["evil.com"])]);
    assert_eq!(
        texts(&outside),
        [
            "could not update namespace policy JSON from imagepolicy: imagePolicy configured for the scope evil.com is not nested inside allowedRegistries"
        ]
    );
    let tag = compiled(&[
        cip("a", &["quay.io/repo"]),
        ip("shop", "web", &["quay.io/repo:v1", "quay.io/repo/sub", "quay.io/repo"]),
    ]);
    let written = file(&tag, "/etc/crio/policies/shop.json").unwrap();
    assert!(written.contains("quay.io/repo:v1") && !written.contains("quay.io/repo/sub"), "{written}");
    let ignored: Vec<&str> = tag.notes.iter().map(|note| note.causes[0].value.as_str()).collect();
    assert_eq!(ignored, ["quay.io/repo/sub", "quay.io/repo"]);
    assert!(notes(&tag).iter().all(|kind| *kind == NoteKind::ImagePolicyScopeIgnored));
}

#[test]
fn p16_an_allowed_entry_inside_of_a_policys_scope_is_a_hole() {
    let compiled = compiled(&[image(json!({"allowedRegistries": ["quay.io", "quay.io/pub"]})), cip("a", &["quay.io"])]);
    assert_eq!(of_scope(&compiled, "quay.io/pub"), Some((Verdict::AcceptsAnything, 1)));
    assert_eq!(of_scope(&compiled, "quay.io"), Some((Verdict::RequiresSignature, 1)));
}

#[test]
fn p32_every_error_of_the_registries_stage_is_told() {
    let compiled = compiled(&[
        image(json!({"insecureRegistries": ["ok.io", "bad*"], "blockedRegistries": [""]})),
        idms("a", "quay.io/a", &["quay.io/a", "m.io/a"], "NeverContactSource"),
        idms("b", "quay.io/a", &["m.io/B"], ""),
    ]);
    let prefix = "could not update registries config with new changes: ";
    let texts: Vec<&str> = texts(&compiled).iter().filter_map(|text| text.strip_prefix(prefix)).collect();
    assert_eq!(
        texts,
        [
            r#"invalid entry for insecure registries "bad*""#,
            r#"invalid entry for blocked registries """#,
            r#"cannot set mirrorSourcePolicy: NeverContactSource if the source "quay.io/a" is one of the mirrors"#,
            r#"conflicting mirrorSourcePolicy is set for the same source "quay.io/a" in imagedigestmirrorsets, imagetagmirrorsets, or imagecontentsourcepolicies"#,
            r#"invalid format for mirror "m.io/B""#,
        ]
    );
    // The policy stage would refuse the empty entry as well.
    assert_eq!(compiled.generated.as_ref().unwrap_err().len(), 6);
}

#[test]
fn p33_a_mirrored_wildcard_with_a_concrete_entry_inside() {
    let compiled =
        compiled(&[image(json!({"blockedRegistries": ["foo.ex.com"]})), idms("m", "*.ex.com", &["m.io/x"], "")]);
    assert_eq!(
        texts(&compiled),
        [
            r#"could not update registries config with new changes: internal error: mirrorsAdjustedForNestedScope for a wildcard scope "*.ex.com""#
        ]
    );
}

#[test]
fn p34_mirror_sets_without_a_mirror() {
    let compiled = compiled(&[idms("m", "quay.io/a", &[], "NeverContactSource")]);
    assert_eq!(notes(&compiled), [NoteKind::MirrorSetIgnored]);
    assert!(!file(&compiled, CONF).unwrap().contains("[[registry]]"));
}

/// The cases that domain.md settles, and those that are fine.
#[test]
fn p51_entries_that_cannot_be_rewritten() {
    let insecure = |entry: &str| image(json!({"insecureRegistries": [entry]}));
    let mirror = |source: &str, mirror: &str| idms("m", source, &[mirror], "");
    let hex = "a".repeat(63);
    let short = format!("quay.io/a@sha256:{hex}");
    for (scope, object, ending) in [
        (
            "docker.io",
            mirror("docker.io", "m.io/x"),
            "scope docker.io/a: rewriting reference: repository name must be canonical",
        ),
        (
            "docker.io",
            mirror("docker.io/library", "m.io/x"),
            "scope docker.io/library: rewriting reference: repository name must be canonical",
        ),
        (
            "docker.io",
            insecure("docker.io/foo"),
            "scope docker.io/foo: rewriting reference: repository name must be canonical",
        ),
        (
            "docker.io/ubi9",
            mirror("docker.io", "m.io/x"),
            "scope docker.io/ubi9: rewriting reference: repository name must be canonical",
        ),
        (
            "*.io",
            mirror("docker.io/library", "m.io/x"),
            "scope docker.io/library: rewriting reference: repository name must be canonical",
        ),
        (
            "quay.io",
            mirror("quay.io/library", "mirror.lab.local"),
            "rewriting reference: repository name must be canonical",
        ),
        (
            "quay.io/team",
            mirror("quay.io/team", "mirror.lab.local:8443"),
            "rewriting reference: repository name must be canonical",
        ),
        (
            "quay.io",
            insecure("quay.io/a:latest"),
            "invalid prefix 'quay.io/a:latest' for reference 'quay.io/a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
        ),
        ("quay.io", insecure("quay.io/Team"), "error parsing scope quay.io/Team: repository name must be lowercase"),
        ("quay.io", insecure("quay.io/team/"), "error parsing scope quay.io/team/: invalid reference format"),
        (&short, mirror("quay.io/a", "m.io/a"), "invalid checksum digest length"),
    ] {
        let compiled = compiled(&[cip("a", &[scope]), object]);
        let start = format!("error adding clusterimagepolicy scope {scope} relevant mirrors: error ");
        let texts = texts(&compiled);
        assert!(texts.len() == 1 && texts[0].starts_with(&start) && texts[0].ends_with(ending), "{scope}: {texts:?}");
        let refusal = &compiled.generated.as_ref().unwrap_err()[0];
        assert_eq!(refusal.reason, RefusalReason::CannotRewrite);
        assert!(refusal.causes.len() >= 2, "{:?}", refusal.causes);
    }
    for (scope, object) in [
        ("docker.io/library/busybox", mirror("docker.io", "m.io/x")),
        ("docker.io/team/app", mirror("docker.io", "m.io/x")),
        ("quay.io/team/app", mirror("quay.io/team", "mirror.lab.local")),
    ] {
        assert_eq!(texts(&compiled(&[cip("a", &[scope]), object])), [""; 0], "{scope}");
    }
}

#[test]
fn p52_the_blocked_list_is_dropped() {
    let objects = [
        image(json!({"blockedRegistries": ["quay.io", "evil.com"]})),
        idms("m", "quay.io/openshift-release-dev/ocp-release", &["mirror.lab.local"], ""),
    ];
    let compiled = compiled(&objects);
    assert!(notes(&compiled).contains(&NoteKind::BlockedListDropped));
    assert_eq!(file(&compiled, POLICY), None);
    assert!(!file(&compiled, CONF).unwrap().contains("evil.com"));
}

#[test]
fn p52_live_loses_the_allowed_list_too() {
    let objects = [
        image(json!({"blockedRegistries": ["quay.io"], "allowedRegistries": ["good.com"]})),
        idms("m", "quay.io/openshift-release-dev/ocp-release", &["mirror.lab.local"], ""),
    ];
    let live = compiled_as(Source::MustGather, "5.2", PAYLOAD, &objects);
    assert_eq!(file(&live, POLICY), None);
    let bootstrap = compiled(&objects);
    assert_eq!(of_scope(&bootstrap, "good.com"), Some((Verdict::AcceptsAnything, 1)));
}

#[test]
fn p53_the_controller_crashes() {
    let payload = format!("registry.iot.io/ocp/release@sha256:{}", "a".repeat(64));
    for release in ["4.14", "5.2"] {
        let objects = [image(json!({"blockedRegistries": ["*.io"]}))];
        let compiled = compiled_as(Source::Manifests, release, &payload, &objects);
        let refusals = compiled.generated.as_ref().unwrap_err();
        assert_eq!((refusals.len(), refusals[0].reason), (1, RefusalReason::Crash));
        assert_eq!(refusals[0].causes[0].value, "*.io");
    }
}

/// domain.md 2.2: bootstrap appends the allowed list twice.
#[test]
fn the_payload_alone_allowed_is_fine_live_and_refused_at_bootstrap() {
    let objects = [image(json!({
        "allowedRegistries": ["quay.io/openshift-release-dev/ocp-release"], "blockedRegistries": ["evil.com"],
    }))];
    assert_eq!(texts(&compiled_as(Source::MustGather, "4.17", PAYLOAD, &objects)), [""; 0]);
    assert_eq!(texts(&compiled(&objects)).len(), 1);
}

#[test]
fn policies_that_cannot_be_converted() {
    let with = |identity: Value| {
        let mut object = cip("a", &["quay.io/a"]);
        object["spec"]["policy"]["signedIdentity"] = identity;
        object
    };
    let exact = with(json!({"matchPolicy": "ExactRepository", "exactRepository": {"repository": "Quay.io/A"}}));
    for (release, identity, expected) in [
        (
            "5.2",
            with(json!({"matchPolicy": "RemapIdentity", "remapIdentity": {"prefix": "x_", "signedPrefix": "quay.io"}})),
            r#"error getting signedIdentity for RemapIdentity: prefix "x_" is not valid"#,
        ),
        (
            "5.2",
            exact.clone(),
            r#"error getting signedIdentity for ExactRepository: Invalid format of dockerRepository "Quay.io/A": invalid reference format: repository name must be lowercase"#,
        ),
        (
            "4.18",
            exact,
            "error getting signedIdentity for ExactRepository: Invalid format of dockerRepository Quay.io/A: invalid reference format: repository name must be lowercase",
        ),
        ("5.2", with(json!({"matchPolicy": "Odd"})), "unknown signedIdentity match policy: Odd"),
    ] {
        let compiled = compiled_as(Source::Manifests, release, PAYLOAD, &[identity]);
        assert_eq!(texts(&compiled), [expected]);
        assert_eq!(compiled.generated.as_ref().unwrap_err()[0].reason, RefusalReason::PolicyConversion);
    }
}

#[test]
fn gates_and_releases_that_do_not_know_policies() {
    let gate = |enabled: Value, disabled: Value| {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "FeatureGate", "metadata": {"name": "cluster"},
               "status": {"featureGates": [{"version": "5.2.0", "enabled": enabled, "disabled": disabled}]}})
    };
    let name = json!([{"name": "SigstoreImageVerification"}]);
    let policy = || cip("a", &["quay.io/a"]);
    let off = compiled(&[policy(), gate(json!([]), name.clone())]);
    assert_eq!(notes(&off), [NoteKind::GateOff]);
    assert_eq!(file(&off, POLICY), None);
    assert!(file(&compiled(&[policy(), gate(name, json!([]))]), POLICY).is_some());
    let old =
        compiled_as(Source::Manifests, "4.15", PAYLOAD, &[policy(), image(json!({"allowedRegistries": ["a.io"]}))]);
    assert_eq!(notes(&old), [NoteKind::KindUnknown]);
    assert_eq!(of_scope(&old, "quay.io/a"), None);
    let skipped = compiled_as(Source::Manifests, "4.16", PAYLOAD, &[cip("a", &["quay.io", "b.io"])]);
    assert_eq!(notes(&skipped), [NoteKind::PayloadScopeSkipped]);
    assert_eq!((of_scope(&skipped, "quay.io"), of_scope(&skipped, "b.io").is_some()), (None, true));
}

#[test]
fn without_a_payload_there_is_no_exception() {
    let mut snapshot = Snapshot::new(Source::Manifests);
    let blocked = image(json!({"blockedRegistries": ["quay.io"]}));
    snapshot.insert(blocked, Origin::Live, Laying::Beside).unwrap();
    let compiled = compile(&snapshot, Release::newest());
    assert!(compiled.payload.is_none());
    assert_eq!(notes(&compiled), [NoteKind::PayloadUnknown]);
    assert_eq!(of_scope(&compiled, "quay.io"), Some((Verdict::Rejects, 1)));
    let unparsable = compiled_as(Source::Manifests, "5.2", "Quay.io/X", &[image(json!({}))]);
    assert_eq!(texts(&unparsable), ["error parsing reference of release image"]);
}

#[test]
fn everything_knows_who_asked_for_it() {
    let compiled = compiled(&[
        cip("a", &["x.io/a", "quay.io"]),
        idms("m", "quay.io/team", &["m.io/team"], "NeverContactSource"),
        image(json!({"insecureRegistries": ["m.io"]})),
    ]);
    let files = &compiled.generated.as_ref().unwrap().files;
    let shown = |from: &[oc_imagepolicy::model::provenance::Provenance]| {
        from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let docker = &files.policy.as_ref().unwrap().policy.transports[&Transport::Docker];
    assert_eq!(shown(&docker.get("quay.io").unwrap()[0].from), "ClusterImagePolicy/a spec.scopes[1]");
    let registries = &files.registries_conf.as_ref().unwrap().registries;
    assert_eq!(
        shown(&registries[0].from),
        "ImageDigestMirrorSet/m spec.imageDigestMirrors[0].source, ImageDigestMirrorSet/m spec.imageDigestMirrors[0].mirrorSourcePolicy"
    );
    assert_eq!(shown(&registries[0].mirrors[0].from), "ImageDigestMirrorSet/m spec.imageDigestMirrors[0].mirrors[0]");
    assert!(registries[0].mirrors[0].insecure);
    let attached = &files.registries_d["sigstore-registries.yaml"].docker;
    let mirror = attached.iter().find(|(scope, _)| &**scope == "m.io/team").unwrap();
    assert_eq!(
        shown(&mirror.1.from),
        "ClusterImagePolicy/a spec.scopes[1], ImageDigestMirrorSet/m spec.imageDigestMirrors[0].mirrors[0]"
    );
}

/// From some thousands of scopes on two threads share the work; what comes out is the same, and reads back equal.
#[test]
fn very_many_scopes() {
    let policies = (0..700).map(|i| {
        let scopes: Vec<String> = (0..10).map(|j| format!("reg{}.example.com/ns{i}/repo{j}", i % 7)).collect();
        cip(&format!("p{i}"), &scopes.iter().map(String::as_str).collect::<Vec<_>>())
    });
    let mirrors = (0..70)
        .map(|i| idms(&format!("m{i}"), &format!("reg{}.example.com/ns{i}", i % 7), &[&format!("m.io/ns{i}")], ""));
    let objects: Vec<Value> = policies.chain(mirrors).collect();
    let compiled = compiled(&objects);
    let generated = compiled.generated.as_ref().unwrap();
    let contents = generated.contents();
    for (file, (path, bytes)) in generated.files().iter().zip(&contents) {
        assert!(file.path == *path && file.bytes() == *bytes, "{path}");
    }
    let read = NodeFiles::read(contents.iter().map(|(path, bytes)| (path, bytes, None)));
    assert!(read.unreadable.is_empty(), "{:?}", read.unreadable);
    let scopes = |files: &NodeFiles| {
        let docker = &files.policy.as_ref().unwrap().policy.transports[&Transport::Docker];
        let requirements = |(scope, found): (std::borrow::Cow<str>, &oc_imagepolicy::model::policy::Requirements)| {
            (scope.into_owned(), found.iter().map(|sourced| sourced.requirement.clone()).collect::<Vec<_>>())
        };
        docker.sorted().into_iter().map(requirements).collect::<Vec<_>>()
    };
    assert_eq!(scopes(&read).len(), 7000);
    assert_eq!(scopes(&read), scopes(&generated.files));
    let attached = |files: &NodeFiles| -> std::collections::BTreeSet<String> {
        files.registries_d["sigstore-registries.yaml"].docker.iter().map(|(scope, _)| scope.to_string()).collect()
    };
    assert_eq!(attached(&read).len(), 7000 + 700);
    assert_eq!(attached(&read), attached(&generated.files));
}

/// None of this may take time that grows with the square of its size.
#[test]
fn one_source_with_very_many_mirrors_and_names_without_end() {
    let mirrors: Vec<String> = (0..20_000).map(|number| format!("m.io/{number}")).collect();
    let mirrors: Vec<&str> = mirrors.iter().map(String::as_str).collect();
    let long = |part: &str| format!("r.io{}", part.repeat(200_000));
    let objects = [
        cip("a", &["quay.io/team", "*.b"]),
        idms("a", "quay.io", &mirrors, ""),
        image(json!({"insecureRegistries": [long(".a"), long("/a")]})),
    ];
    let compiled = compiled(&objects);
    let refusals = texts(&compiled);
    assert_eq!(refusals, Vec::<&str>::new());
    let file = file(&compiled, "/etc/containers/registries.d/sigstore-registries.yaml").unwrap();
    assert_eq!(file.matches("use-sigstore-attachments").count(), 20_000 + 2);
}
