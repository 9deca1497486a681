#!/bin/sh
# big-cluster.sh N M: on stdout a cluster of N ClusterImagePolicies with 10 scopes each, M digest mirror sets and N/10 allowed registries.
# What docs/performance.md measures with; the benches make the same in benches/support/big_cluster.rs.
exec awk -v n="$1" -v m="$2" 'BEGIN {
  key = "LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFOEpqbTJMK3orakNOdzJVckxwN2h2eXAzUzlNRgpvdDI4aEFKYXRHeVRER2ZTNDlaVmtXM01MSXlyTnptVUhFdEhhU2NrdWw3Zm1teVgxa2RyNXFRc1dRPT0KLS0tLS1FTkQgUFVCTElDIEtFWS0tLS0tCg=="
  r = int(n / 10); if (r < 1) r = 1
  print "apiVersion: config.openshift.io/v1\nkind: Image\nmetadata:\n  name: cluster\nspec:\n  registrySources:\n    allowedRegistries:"
  for (i = 0; i < r; i++) printf "    - reg%d.example.com\n", i
  print "    - quay.io"
  for (i = 0; i < n; i++) {
    printf "---\napiVersion: config.openshift.io/v1\nkind: ClusterImagePolicy\nmetadata:\n  name: p%d\nspec:\n  scopes:\n", i
    for (j = 0; j < 10; j++) printf "    - reg%d.example.com/ns%d/repo%d\n", i % r, i, j
    printf "  policy:\n    rootOfTrust:\n      policyType: PublicKey\n      publicKey:\n        keyData: %s\n    signedIdentity:\n      matchPolicy: MatchRepository\n", key
  }
  for (i = 0; i < m; i++)
    printf "---\napiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\nmetadata:\n  name: m%d\nspec:\n  imageDigestMirrors:\n  - source: reg%d.example.com/ns%d\n    mirrors: [mirror.example.net/ns%d]\n", i, i % r, i, i
}'
