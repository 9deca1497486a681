//! `lint` against the real ones: a finding with `refusedBy: Controller` for exactly the clusters on which the controller freezes, and
//! the pitfalls that were tried out on its code (domain.md 7).

mod support;

use std::collections::BTreeSet;

use oc_imagepolicy::compile::compile;
use oc_imagepolicy::files;
use oc_imagepolicy::lint::rules::RULES;
use oc_imagepolicy::lint::{self, Context, Finding};
use oc_imagepolicy::model::provenance::RefusedBy;
use oc_imagepolicy::model::release::Release;
use oc_imagepolicy::snapshot::{Laying, Origin, Snapshot, Source};
use serde_json::{Value, json};

use support::vector_lines;

fn findings(snapshot: &Snapshot, release: &str) -> Vec<Finding> {
    let compiled = compile(snapshot, Release::parse(release).unwrap());
    lint::run(&Context::new(snapshot, &compiled), RULES).findings
}

fn snapshot(line: &Value) -> Snapshot {
    let mut snapshot = Snapshot::new(Source::Manifests);
    let config = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "ControllerConfig",
        "metadata": {"name": "machine-config-controller"}, "spec": {"releaseImage": line["releaseImage"]},
    });
    for object in line["objects"].as_array().unwrap().iter().cloned().chain([config]) {
        snapshot.insert(object, Origin::Live, Laying::Beside).unwrap();
    }
    snapshot
}

fn check(line: &Value, release: &str) -> Result<(), String> {
    let findings = findings(&snapshot(line), release);
    let by_controller: Vec<&Finding> =
        findings.iter().filter(|finding| finding.refused_by == Some(RefusedBy::Controller)).collect();
    let Some(text) = line.get("refusal").and_then(Value::as_str) else {
        return match by_controller.is_empty() {
            true => Ok(()),
            false => Err(format!("the controller does not refuse: {by_controller:#?}")),
        };
    };
    let telling: Vec<_> =
        by_controller.iter().filter(|finding| finding.effect.contains(&format!("\"{text}\""))).collect();
    if telling.is_empty() {
        return Err(format!("no finding says {text}: {by_controller:#?}"));
    }
    let rules: BTreeSet<u16> = telling.iter().map(|finding| finding.rule.code).collect();
    if rules.len() > 1 {
        return Err(format!("{text} is told by several rules: {rules:?}"));
    }
    Ok(())
}

#[test]
fn refused_by_the_controller_where_it_refuses_and_nowhere_else() {
    let mut failures = Vec::new();
    let (mut count, mut refused) = (0, 0);
    for release in ["4.14", "4.16", "4.17", "4.18", "4.19", "4.20", "5.2"] {
        for line in vector_lines(&format!("controller-{release}")) {
            let line: Value = serde_json::from_str(&line).unwrap();
            count += 1;
            refused += usize::from(line.get("refusal").is_some());
            if let Err(difference) = check(&line, release) {
                failures.push(format!("{release} {}: {difference}", line["id"]));
            }
        }
    }
    assert!(count > 1000 && refused > 300, "only {count} vectors, {refused} of them refused");
    let shown = failures[..failures.len().min(3)].join("\n");
    assert!(failures.is_empty(), "{} of {count} vectors fail\n{shown}", failures.len());
}

const KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFOEpqbTJMK3oram\
                   NOdzJVckxwN2h2eXAzUzlNRgpvdDI4aEFKYXRHeVRER2ZTNDlaVmtXM01MSXlyTnptVUhFdEhhU2NrdWw3Zm1teVgxa2RyNXFRc1dRPT0KLS0t\
                   LS1FTkQgUFVCTElDIEtFWS0tLS0tCg==";
const OTHER_KEY: &str = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUNvd0JRWURLMlZ3QXlFQTRzb2tHQ05BOEF2eG5jSVlrMWg2eXl0SndPQ1Exa0Z\
                         1THJja0paVDlHYlE9Ci0tLS0tRU5EIFBVQkxJQyBLRVktLS0tLQo=";
const PAYLOAD: &str = "quay.io/openshift-release-dev/ocp-release";

/// A cluster of a few strings.
#[derive(Default)]
struct Cluster {
    payload: &'static str,
    allowed: &'static [&'static str],
    blocked: &'static [&'static str],
    insecure: &'static [&'static str],
    /// Name, scopes; a name that begins with `other` has the other key.
    cluster_policies: &'static [(&'static str, &'static [&'static str])],
    /// Namespace, name, scopes.
    policies: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// Source, mirrors, mirrorSourcePolicy.
    digest_mirrors: &'static [(&'static str, &'static [&'static str], &'static str)],
    tag_mirrors: &'static [(&'static str, &'static [&'static str], &'static str)],
    /// Name of the ImagePolicy whose status tells of a conflict.
    conflicting: &'static str,
}

impl Cluster {
    fn objects(&self) -> Vec<Value> {
        let payload = if self.payload.is_empty() { PAYLOAD } else { self.payload };
        let payload = format!("{payload}@sha256:{}", "a".repeat(64));
        let mut sources = json!({});
        for (list, entries) in [
            ("allowedRegistries", self.allowed),
            ("blockedRegistries", self.blocked),
            ("insecureRegistries", self.insecure),
        ] {
            if !entries.is_empty() {
                sources[list] = json!(entries);
            }
        }
        let mut objects = vec![
            json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion", "metadata": {"name": "version"},
                   "status": {"desired": {"image": payload, "version": "4.20.1"}}}),
            json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
                   "spec": {"registrySources": sources},
                   "status": {"internalRegistryHostname": "image-registry.openshift-image-registry.svc:5000"}}),
        ];
        let spec = |name: &str, scopes: &[&str]| {
            let key = if name.starts_with("other") { OTHER_KEY } else { KEY };
            json!({"scopes": scopes, "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": key}}}})
        };
        objects.extend(self.cluster_policies.iter().map(|(name, scopes)| {
            json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": name},
                   "spec": spec(name, scopes)})
        }));
        objects.extend(self.policies.iter().map(|(namespace, name, scopes)| {
            let conditions = match *name == self.conflicting {
                true => {
                    json!([{"type": "Pending", "status": "False", "reason": "ConflictScopes", "observedGeneration": 1}])
                }
                false => json!([]),
            };
            json!({"apiVersion": "config.openshift.io/v1", "kind": "ImagePolicy",
                   "metadata": {"name": name, "namespace": namespace, "generation": 1},
                   "spec": spec(name, scopes), "status": {"conditions": conditions}})
        }));
        for (kind, list, rules) in [
            ("ImageDigestMirrorSet", "imageDigestMirrors", self.digest_mirrors),
            ("ImageTagMirrorSet", "imageTagMirrors", self.tag_mirrors),
        ] {
            objects.extend(rules.iter().enumerate().map(|(index, (source, mirrors, policy))| {
                let mut rule = json!({"source": source, "mirrors": mirrors});
                if !policy.is_empty() {
                    rule["mirrorSourcePolicy"] = json!(policy);
                }
                json!({"apiVersion": "config.openshift.io/v1", "kind": kind,
                       "metadata": {"name": format!("set{index}")}, "spec": {list: [rule]}})
            }));
        }
        objects
    }

    fn findings(&self, release: &str) -> Vec<Finding> {
        let mut snapshot = Snapshot::new(Source::Manifests);
        for object in self.objects() {
            snapshot.insert(object, Origin::Live, Laying::Beside).unwrap();
        }
        findings(&snapshot, release)
    }
}

/// Rules about what this table is about: scopes, lists and mirrors.
fn is_concerned(code: u16) -> bool {
    matches!(code, 107 | 111 | 201..=210 | 214 | 305 | 311 | 312 | 317 | 412..=414)
}

/// A name, a release, a cluster and its findings.
type Case = (&'static str, &'static str, Cluster, Vec<(u16, String)>);

/// Each with the findings that it must have, and no others of those rules: code, the field, and an image that shows it.
#[test]
fn pitfalls_that_were_tried_out() {
    const OPENSHIFT: (&str, &[&str]) = ("openshift", &[PAYLOAD]);
    const MIRRORED: &[(&str, &[&str], &str)] = &[(PAYLOAD, &["mirror.lab.local/release"], "")];
    let allowed = |index: usize| format!("Image/cluster spec.registrySources.allowedRegistries[{index}]");
    let cip = |name: &str, index: usize| format!("ClusterImagePolicy/{name} spec.scopes[{index}]");
    let ip = |name: &str, index: usize| format!("ImagePolicy/{name} spec.scopes[{index}]");
    let cases: Vec<Case> = vec![
        (
            "P04",
            "4.20",
            Cluster {
                allowed: &["a.io", "quay.io"],
                cluster_policies: &[("p", &["a.io/x", "b.io/x"])],
                ..Cluster::default()
            },
            vec![(202, cip("p", 1))],
        ),
        (
            "P04 by name only",
            "4.20",
            Cluster { allowed: &["a.io/x/y"], cluster_policies: &[("p", &["a.io/x/y:v1"])], ..Cluster::default() },
            vec![(210, cip("p", 0))],
        ),
        (
            "P05",
            "4.21",
            Cluster { allowed: &["mirror.lab.local"], cluster_policies: &[OPENSHIFT], ..Cluster::default() },
            vec![(202, cip("openshift", 0))],
        ),
        (
            "P06",
            "4.20",
            Cluster {
                blocked: &["a.io", "b.io/x"],
                cluster_policies: &[("p", &["a.io/x", "b.io/x", "b.io"])],
                ..Cluster::default()
            },
            vec![(203, cip("p", 0)), (203, cip("p", 1))],
        ),
        (
            "P10",
            "4.20",
            Cluster { allowed: &["a.io"], policies: &[("shop", "p", &["a.io/x", "b.io/x"])], ..Cluster::default() },
            vec![(209, ip("shop/p", 1))],
        ),
        (
            "P10, blocked",
            "4.18",
            Cluster { blocked: &["b.io"], policies: &[("shop", "p", &["a.io/x", "b.io/x"])], ..Cluster::default() },
            vec![(209, ip("shop/p", 1))],
        ),
        (
            "P10, by name only",
            "4.20",
            Cluster { allowed: &["*.a.io"], policies: &[("shop", "p", &["r.a.io/x/y:v1"])], ..Cluster::default() },
            vec![(209, ip("shop/p", 0))],
        ),
        (
            "P11",
            "4.20",
            Cluster { cluster_policies: &[("p", &["a.io/x"]), ("other", &["b.io", "a.io/x"])], ..Cluster::default() },
            vec![(205, cip("other", 1))],
        ),
        (
            "P11 in namespaces",
            "4.20",
            Cluster {
                policies: &[("shop", "p", &["a.io/x"]), ("shop", "other", &["a.io/x"]), ("web", "other", &["a.io/x"])],
                ..Cluster::default()
            },
            vec![(205, ip("shop/other", 0))],
        ),
        (
            "P13",
            "4.20",
            Cluster {
                cluster_policies: &[("p", &["a.io/x"])],
                policies: &[("shop", "other", &["a.io/x/y", "a.io/x", "a.io", "a.io/z"])],
                ..Cluster::default()
            },
            vec![(207, ip("shop/other", 0)), (207, ip("shop/other", 1))],
        ),
        (
            "P13, stale",
            "4.20",
            Cluster { policies: &[("shop", "p", &["a.io/x"])], conflicting: "p", ..Cluster::default() },
            vec![(207, "ImagePolicy/shop/p status.conditions[0]".into())],
        ),
        (
            "P14, tag, digest, wildcard",
            "4.20",
            Cluster {
                cluster_policies: &[("p", &["a.io/x/y", "*.b.io"])],
                policies: &[(
                    "shop",
                    "other",
                    &[
                        "a.io/x/y:v1",
                        "a.io/x/y@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                        "r.b.io/x/y:v1",
                        "a.io/x/z:v1",
                    ],
                )],
                ..Cluster::default()
            },
            vec![(208, ip("shop/other", 0)), (208, ip("shop/other", 1)), (208, ip("shop/other", 2))],
        ),
        (
            "P16",
            "4.20",
            Cluster {
                allowed: &["quay.io", "quay.io/pub"],
                cluster_policies: &[("p", &["quay.io"])],
                ..Cluster::default()
            },
            vec![(204, allowed(1))],
        ),
        (
            "P17",
            "4.20",
            Cluster {
                cluster_policies: &[("p", &["a.io", "*.b.io"]), ("other", &["a.io/x", "r.b.io:5000"])],
                ..Cluster::default()
            },
            vec![(206, cip("other", 0)), (206, cip("other", 1))],
        ),
        (
            "P32",
            "4.20",
            Cluster {
                digest_mirrors: &[
                    ("a.io/x", &["m.io/x"], "NeverContactSource"),
                    ("b.io/x", &["b.io/x"], "NeverContactSource"),
                ],
                tag_mirrors: &[("a.io/x", &["m.io/x"], "")],
                ..Cluster::default()
            },
            vec![
                (305, "ImageTagMirrorSet/set0 spec.imageTagMirrors[0].mirrorSourcePolicy".into()),
                (305, "ImageDigestMirrorSet/set1 spec.imageDigestMirrors[0].mirrors[0]".into()),
            ],
        ),
        (
            "P33",
            "4.20",
            Cluster { blocked: &["old.a.io"], digest_mirrors: &[("*.a.io", &["m.io/x"], "")], ..Cluster::default() },
            vec![(311, "Image/cluster spec.registrySources.blockedRegistries[0]".into())],
        ),
        (
            "P51: docker.io, mirrored",
            "4.20",
            Cluster {
                cluster_policies: &[("p", &["docker.io"])],
                digest_mirrors: &[("docker.io/library", &["m.io/x"], "")],
                ..Cluster::default()
            },
            vec![(312, cip("p", 0))],
        ),
        (
            "P51: docker.io, insecure",
            "4.20",
            Cluster { cluster_policies: &[("p", &["docker.io"])], insecure: &["docker.io/foo"], ..Cluster::default() },
            vec![(312, cip("p", 0))],
        ),
        (
            "P51: one component of docker.io",
            "4.20",
            Cluster {
                cluster_policies: &[("p", &["docker.io/ubi9"])],
                digest_mirrors: &[("docker.io", &["m.io/x"], "")],
                ..Cluster::default()
            },
            vec![(312, cip("p", 0))],
        ),
        (
            "P51: *.io",
            "4.20",
            Cluster {
                cluster_policies: &[("p", &["*.io"])],
                digest_mirrors: &[("docker.io/library", &["m.io/x"], "")],
                ..Cluster::default()
            },
            vec![(312, cip("p", 0))],
        ),
        (
            "P51: bare host",
            "4.20",
            Cluster {
                cluster_policies: &[("p", &["quay.io/team"])],
                digest_mirrors: &[("quay.io/team", &["mirror.lab.local:8443"], "")],
                ..Cluster::default()
            },
            vec![(312, cip("p", 0))],
        ),
        (
            "P51: tag in a list",
            "4.20",
            Cluster { cluster_policies: &[("p", &["quay.io"])], insecure: &["quay.io/a:latest"], ..Cluster::default() },
            vec![(312, cip("p", 0))],
        ),
        (
            "P51: host and tag",
            "4.20",
            Cluster {
                cluster_policies: &[("p", &["example.com:latest"])],
                digest_mirrors: &[("example.com", &["m.io/x"], "")],
                ..Cluster::default()
            },
            vec![(312, cip("p", 0))],
        ),
        (
            "P51: digest of a wrong length",
            "4.20",
            Cluster {
                cluster_policies: &[("p", &["quay.io/a/b@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"])],
                digest_mirrors: &[("quay.io", &["m.io/x"], "")],
                ..Cluster::default()
            },
            vec![(312, cip("p", 0))],
        ),
        (
            "P51: fine",
            "4.20",
            Cluster {
                cluster_policies: &[("p", &["docker.io/library/busybox", "docker.io/team/app", "quay.io/team/app"])],
                digest_mirrors: &[("docker.io", &["m.io/x"], ""), ("quay.io/team", &["mirror.lab.local"], "")],
                ..Cluster::default()
            },
            vec![],
        ),
        (
            "P52",
            "4.20",
            Cluster {
                blocked: &["quay.io", "evil.com"],
                digest_mirrors: &[(PAYLOAD, &["mirror.lab.local"], "")],
                ..Cluster::default()
            },
            vec![(412, "Image/cluster spec.registrySources.blockedRegistries[0]".into())],
        ),
        (
            "P53",
            "5.2",
            Cluster { payload: "registry.iot.io/release", blocked: &["*.io"], ..Cluster::default() },
            vec![(413, "Image/cluster spec.registrySources.blockedRegistries[0]".into())],
        ),
    ];
    for (name, release, cluster, mut expected) in cases {
        let findings = cluster.findings(release);
        let concerned = findings.iter().filter(|finding| is_concerned(finding.rule.code));
        let mut found: Vec<(u16, String)> =
            concerned.map(|finding| (finding.rule.code, format!("{} {}", finding.object, finding.path))).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{name}: {findings:#?}");
    }
    // LINT-A's rule says where.
    for (name, cluster) in [
        (
            "P07",
            Cluster {
                blocked: &["quay.io"],
                cluster_policies: &[OPENSHIFT],
                digest_mirrors: MIRRORED,
                ..Cluster::default()
            },
        ),
        (
            "P07, outside",
            Cluster {
                blocked: &["quay.io"],
                cluster_policies: &[("p", &["a.io"])],
                digest_mirrors: MIRRORED,
                ..Cluster::default()
            },
        ),
        (
            "P08",
            Cluster {
                blocked: &["quay.io", "quay.io/openshift-release-dev"],
                digest_mirrors: MIRRORED,
                ..Cluster::default()
            },
        ),
    ] {
        let findings = cluster.findings("4.21");
        let codes: BTreeSet<u16> =
            findings.iter().map(|finding| finding.rule.code).filter(|code| is_concerned(*code)).collect();
        assert_eq!(codes, BTreeSet::from([214]), "{name}: {findings:#?}");
    }
}

/// Names of objects, scopes and entries that would break a line, a terminal or a shell.
#[test]
fn hostile_names_stay_inside_of_their_quotes() {
    let manifests = format!(
        r#"
apiVersion: config.openshift.io/v1
kind: Image
metadata: {{name: cluster}}
spec:
  registrySources:
    allowedRegistries: ["a.io/x\n'; rm -rf ~; '", "a.io/\e[31mred"]
---
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {{name: "p'; reboot; '\n"}}
spec:
  scopes: ["a.io", "b.io/$(reboot)'\n\e[2J"]
  policy:
    rootOfTrust: {{policyType: PublicKey, publicKey: {{keyData: {KEY}}}}}
"#
    );
    let snapshot = files::read_text("hostile.yaml", &manifests).unwrap();
    let findings = findings(&snapshot, "4.20");
    assert!(
        findings.iter().any(|finding| finding.rule.code == 202)
            && findings.iter().any(|finding| finding.rule.code == 204)
    );
    for finding in findings {
        assert!(!finding.message.chars().any(char::is_control), "{finding:#?}");
        for line in finding.help.lines() {
            assert!(!line.chars().any(char::is_control), "{finding:#?}");
            if line.starts_with("oc ") {
                let words = shell_words(line);
                assert_eq!(words[0], "oc", "{line}");
                assert!(words.iter().all(|word| !word.starts_with("rm") && word != "reboot;"), "{line} is {words:?}");
            }
        }
    }
}

/// What bash makes of a command line.
fn shell_words(line: &str) -> Vec<String> {
    let script = format!("printf '%s\\0' {line}");
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{line}");
    String::from_utf8(output.stdout).unwrap().split_terminator('\0').map(str::to_string).collect()
}

/// Lint must stay far from pair by pair.
#[test]
fn a_hundred_thousand_scopes_are_looked_at_quickly() {
    let policies = (0..1000).map(|policy| {
        let scopes: Vec<String> = (0..100).map(|scope| format!("r{}.example.com/team{policy}/app{scope}", policy % 50)).collect();
        json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": format!("p{policy}")},
               "spec": {"scopes": scopes, "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": KEY}}}}})
    });
    let allowed: Vec<String> = (0..50).map(|host| format!("r{host}.example.com")).collect();
    let image = |allowed: &[String]| {
        json!({"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"},
               "spec": {"registrySources": {"allowedRegistries": allowed}}})
    };
    let wide = json!({"apiVersion": "config.openshift.io/v1", "kind": "ClusterImagePolicy", "metadata": {"name": "wide"},
        "spec": {"scopes": ["*.example.com"], "policy": {"rootOfTrust": {"policyType": "PublicKey", "publicKey": {"keyData": OTHER_KEY}}}}});
    let policies: Vec<Value> = policies.chain([wide]).collect();
    // Everything nested, then everything refused.
    for (allowed, code) in [(allowed, 206), (vec!["a.io".to_string()], 202)] {
        let mut snapshot = Snapshot::new(Source::Manifests);
        for object in policies.iter().cloned().chain([image(&allowed)]) {
            snapshot.insert(object, Origin::Live, Laying::Beside).unwrap();
        }
        let compiled = compile(&snapshot, Release::newest());
        let start = std::time::Instant::now();
        let findings = lint::run(&Context::new(&snapshot, &compiled), RULES).findings;
        let took = start.elapsed();
        assert!(findings.iter().filter(|finding| finding.rule.code == code).count() >= 100_000);
        // Not optimised, on a busy machine; pair by pair would take minutes.
        assert!(took.as_secs() < 120, "{took:?}");
    }
}
