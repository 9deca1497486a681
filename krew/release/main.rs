//! Makes a release: archives for every platform, and the manifests of krew, a custom index and the OpenShift CLI Manager
//! (docs/releasing.md). Its own program, so that the plugin carries nothing of it.

fn main() {}
