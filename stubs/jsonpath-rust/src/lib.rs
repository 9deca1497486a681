//! Stands in for the crate `jsonpath-rust`, which would bring a regex engine and a parser generator: a tenth of the binary. `kube-client` reads
//! the answers of the `gcp` auth provider with it, and nothing else. Our own `cluster::connection` refuses auth providers before `kube` sees
//! them, as kubectl does since 1.26, so that nothing here is ever called.

use std::fmt;

use serde_json::Value;

/// What `kube-client` uses of the trait.
pub trait JsonPath {
    /// # Errors
    /// Always.
    fn query(&self, path: &str) -> Result<Vec<&Value>, Unsupported>;
}

impl JsonPath for Value {
    fn query(&self, _: &str) -> Result<Vec<&Value>, Unsupported> {
        Err(Unsupported)
    }
}

/// JSONPath is not in this program.
#[derive(Debug)]
pub struct Unsupported;

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("auth providers are not supported")
    }
}

impl std::error::Error for Unsupported {}
