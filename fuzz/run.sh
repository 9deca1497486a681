#!/usr/bin/env bash
# Every fuzz target for a while, a minute each unless told otherwise: fuzz/run.sh [SECONDS] [TARGET…]
# Needs a nightly toolchain and cargo-fuzz, and installs both where they are missing.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | tail -n +2)

# Real texts to begin with: the example cluster, the shapes of the node files, and the suppressions of the documentation.
seed() { mkdir -p "corpus/$1" && cp -n "${@:2}" "corpus/$1/"; }
text() { mkdir -p "corpus/$1" && printf '%s' "$3" >"corpus/$1/$2"; }
seed manifests ../docs/example-cluster/*.yaml
text scopes some $'registry.example.com\n*.example.com\nregistry.example.com:5000/team/app:v1\nquay.io/a/b'
text references some 'registry.example.com:5000/team/app:v1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
text policy_json some '{"default":[{"type":"reject"}],"transports":{"docker":{"registry.example.com":[{"type":"sigstoreSigned","keyData":"Zm9v","signedIdentity":{"type":"matchRepository"}}]}}}'
text registries_conf some $'unqualified-search-registries = ["quay.io"]\n[[registry]]\nprefix = "*.example.com"\nblocked = true\n[[registry]]\nlocation = "quay.io/team"\n[[registry.mirror]]\nlocation = "mirror.lab/team"\npull-from-mirror = "digest-only"\n'
text suppressions annotation 'IMP204=kept for the old build; until=2027-01-31'
text suppressions comment $'# imagepolicy:ignore IMP204 kept for the old build until=2027-01-31\nkind: Image'

for target in "${targets[@]}"; do
    echo "== $target, $seconds s"
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1
done
