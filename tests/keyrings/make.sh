#!/bin/sh
# Makes the keyrings of this folder anew, with GnuPG 2.2 or later: ./make.sh
# Nothing was ever signed with these keys; the private ones are thrown away, but for the one that a test needs.
set -eu
cd "$(dirname "$0")"
GNUPGHOME=$(mktemp -d) && export GNUPGHOME
trap 'gpgconf --kill gpg-agent; rm -rf "$GNUPGHOME"' EXIT
gpg() { command gpg --batch --quiet --yes --no-permission-warning --pinentry-mode loopback --passphrase "" "$@"; }
at() { time=$1; shift; gpg --faked-system-time "$time" "$@"; }

at 20260101T000000 --quick-gen-key 'Example Release <release@example.com>' rsa4096 sign never
at 20260101T000000 --quick-gen-key 'Example Images <images@example.com>' ed25519 sign 2099-12-31
at 20200101T000000 --quick-gen-key 'Old Release <old@example.com>' ed25519 sign 2021-01-01
at 20260101T000000 --quick-gen-key 'Revoked Release <revoked@example.com>' ed25519 sign never
at 20260101T000000 --quick-gen-key 'Private Release <private@example.com>' ed25519 sign never
at 20260101T000000 --quick-gen-key 'Mail Only <mail@example.com>' ed25519 cert never
at 20260101T000000 --quick-gen-key 'With Subkeys <subkeys@example.com>' rsa2048 cert never
at 20260101T000000 --quick-gen-key 'Curve <curve@example.com>' nistp256 sign never
at 20260101T000000 --quick-gen-key 'Renewed <renewed@example.com>' ed25519 sign 2026-02-01

fingerprint() { gpg --with-colons --list-keys "$1" | awk -F: '/^fpr/ { print $10; exit }'; }
at 20260101T000000 --quick-add-key "$(fingerprint mail@example.com)" cv25519 encr never
at 20260101T000000 --quick-add-key "$(fingerprint subkeys@example.com)" ed25519 sign 2030-01-01
at 20260115T000000 --quick-set-expire "$(fingerprint renewed@example.com)" 2098-01-01
sed 's/^:-----/-----/' "$GNUPGHOME/openpgp-revocs.d/$(fingerprint revoked@example.com).rev" | gpg --import

export_one() { gpg --export "$2" >"$1"; }
export_one rsa4096.gpg release@example.com
export_one ed25519.gpg images@example.com
export_one expired.gpg old@example.com
export_one revoked.gpg revoked@example.com
export_one encryption.gpg mail@example.com
export_one subkeys.gpg subkeys@example.com
export_one p256.gpg curve@example.com
export_one renewed.gpg renewed@example.com
gpg --export-secret-keys private@example.com >private.gpg
gpg --armor --export-secret-keys private@example.com >private.asc
gpg --armor --export images@example.com >armored.asc
{ gpg --export images@example.com; gpg --export old@example.com; } >two.gpg
{ gpg --armor --export release@example.com; gpg --armor --export images@example.com; } >two-blocks.asc
