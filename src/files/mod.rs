//! The file door: manifests, must-gathers and node trees → [`crate::snapshot::Snapshot`], and files written all or nothing.

mod archive;
mod block;
mod example;
mod json;
mod layout;
mod read;
mod scalars;
pub mod spans;
mod write;
pub mod yaml;

pub use example::{MANIFESTS, example};
pub use read::{ReadOptions, node_files, read, read_onto, read_text, take_stdin};
pub use write::write_directory;
