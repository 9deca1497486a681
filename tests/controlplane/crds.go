//go:build crds

// Keeps github.com/openshift/api in go.mod: its folder holds the CRDs as files, and no program imports those.
package main

import _ "github.com/openshift/api/config/v1"
