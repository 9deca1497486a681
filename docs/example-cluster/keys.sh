#!/bin/sh
# How the keys and certificates of the example cluster were made. Nothing runs this: the results stand in the manifests, and the
# private halves were thrown away. It prints every value as the manifests hold it: base64 of the PEM text, on one line.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

value() {
    printf '%s: %s\n' "$1" "$(base64 -w0 <"$2")"
}

public_key() {
    name=$1
    shift
    openssl genpkey "$@" -out "$name.key" 2>/dev/null
    openssl pkey -in "$name.key" -pubout -out "$name.pub"
    value "$name" "$name.pub"
}

public_key openshift -algorithm RSA -pkeyopt rsa_keygen_bits:4096
public_key shop -algorithm EC -pkeyopt ec_paramgen_curve:P-256
public_key base-images -algorithm EC -pkeyopt ec_paramgen_curve:P-384
public_key shop-web -algorithm EC -pkeyopt ec_paramgen_curve:P-256
public_key shop-partners -algorithm RSA -pkeyopt rsa_keygen_bits:3072
public_key analytics -algorithm ED25519
public_key analytics-dev -algorithm EC -pkeyopt ec_paramgen_curve:P-256
public_key rekor -algorithm EC -pkeyopt ec_paramgen_curve:P-256

# A key that lost its third line on the way: the markers are right, the body is not.
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out vendor.key 2>/dev/null
openssl pkey -in vendor.key -pubout | sed 3d >vendor.pub
value vendor-agent vendor.pub

# The certificate authority of one's own Fulcio, good for twenty years.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout fulcio.key -out fulcio.crt -days 7305 \
    -subj "/O=Example Corp/CN=Example Signing CA" \
    -addext "basicConstraints=critical,CA:TRUE,pathlen:1" -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
value fulcio fulcio.crt
