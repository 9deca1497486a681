//! The file door: manifests, must-gathers and node trees → [`crate::snapshot::Snapshot`], and files written all or nothing.
//!
//! Input is hostile, so everything is bounded, for all that one command reads together: 256 MiB of text, decompressed; 1 GiB of
//! decoded values, 32 MiB of them by aliases; 128 levels of nesting; archives that expand up to 250-fold. What goes beyond ends in an
//! error that names the file. Files of archives are never written to disk.

mod archive;
pub mod backup;
mod block;
mod comments;
pub mod edit;
mod example;
mod json;
mod keyring;
mod layout;
mod read;
mod scalars;
pub mod spans;
mod write;
pub mod yaml;

pub use comments::{Comment, comments};
pub use example::{MANIFESTS, example, example_in_rollout};
pub use keyring::read_keyring;
pub use read::{Drafts, ReadOptions, node_files, read, read_document, read_onto, read_text, take_stdin};
pub use write::{Content, Replacement, can_be_written, file_failure, identity, replace_texts, write_directory};
