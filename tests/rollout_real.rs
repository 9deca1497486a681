//! `rollout` on a real kube-apiserver, with a machine-config-operator of the tests' own behind it.

mod support;

use support::controlplane::{ControlPlane, Options};
use support::operator::{Cluster, Operator};

const POLICY: &str = r#"
apiVersion: config.openshift.io/v1
kind: ClusterImagePolicy
metadata: {name: team}
spec:
  scopes: [registry.example.com/team]
  policy:
    rootOfTrust:
      policyType: PublicKey
      publicKey: {keyData: LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFRVdqM3Q3Ykx2YUNIMGVyNEs2OWJyVDV1ZUJVTwpFTkQ0Ck1jM0F2bzBmYkE9PQotLS0tLUVORCBQVUJMSUMgS0VZLS0tLS0K}
"#;

#[test]
fn the_operator_of_the_tests_does_what_the_real_one_does() {
    let server = ControlPlane::start(Options::default());
    let cluster =
        Cluster { pools: vec![("master".into(), 1), ("worker".into(), 2), ("infra".into(), 1)], ..Cluster::default() };
    let operator = Operator::install(&server, &cluster, "");
    let before = operator.node_files("infra-0");
    let text = |files: &std::collections::BTreeMap<String, Vec<u8>>| {
        String::from_utf8(files["/etc/containers/policy.json"].clone()).unwrap()
    };
    assert!(!text(&before).contains("team"));
    server.apply(POLICY);
    operator.sync().unwrap();
    assert!(text(&operator.pool_files("worker")).contains("registry.example.com/team"));
    assert_eq!(operator.node_files("worker-0"), before);
    operator.roll_all();
    for node in ["master-0", "worker-0", "worker-1", "infra-0"] {
        assert!(text(&operator.node_files(node)).contains("registry.example.com/team"), "{node}");
    }
    let patch = r#"{"spec": {"registrySources": {"allowedRegistries": ["quay.io"]}}}"#;
    assert!(
        server
            .kubectl(&["patch", "image.config.openshift.io", "cluster", "--type=merge", "-p", patch])
            .status
            .success()
    );
    let refused = operator.sync().unwrap_err();
    assert!(refused[0].contains("clusterimagePolicy configured for the scope"), "{refused:?}");
    let delete = server.kubectl(&["delete", "clusterimagepolicy", "team"]);
    assert!(delete.status.success());
    let patch = r#"{"spec": {"registrySources": null}}"#;
    assert!(
        server
            .kubectl(&["patch", "image.config.openshift.io", "cluster", "--type=merge", "-p", patch])
            .status
            .success()
    );
    operator.sync().unwrap();
    operator.roll_all();
    assert_eq!(operator.node_files("infra-0"), before);
}
