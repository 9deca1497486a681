//! The file door: manifests, must-gathers and node trees → [`crate::snapshot::Snapshot`], and files written all or nothing.

mod block;
mod json;
mod scalars;
pub mod spans;
pub mod yaml;
