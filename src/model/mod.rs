//! The nouns: scopes, references, policies, registries, node files. No I/O, no async, no kube, no clap.

pub mod curves;
pub mod encoding;
pub mod go_text;
mod json;
pub mod keyrings;
pub mod keys;
pub mod machine_config;
pub mod node_files;
pub mod parallel;
pub mod policy;
mod policy_check;
mod policy_document;
mod policy_read;
pub mod policy_write;
pub mod private_keys;
pub mod provenance;
pub mod reference;
pub mod registries_conf;
pub mod registries_d;
pub mod registries_write;
pub mod release;
pub mod safe_text;
pub mod scope;
pub mod scope_index;
pub mod scopes;
