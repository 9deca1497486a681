//! `oc-imagepolicy`: what an OpenShift cluster makes of its image policy objects, and what its nodes make of that.
//!
//! One pipeline, one direction:
//!
//! ```text
//!  cluster/read ─┐
//!                ├─→ Snapshot ──→ compile ──→ Compiled ──→ resolve, diff ─→ Report ─→ output
//!  files ────────┘       └─────────── lint ←─────┘
//! ```
//!
//! Everything between the two ends is a pure function over plain data: `model`, `snapshot`, `compile`, `resolve`, `diff`, `merge`, `lint`,
//! `plan` and `rollout` know no file, no server and no terminal (`tests/layers.rs` keeps it so). `files` and `cluster` are the two doors into the one
//! [`snapshot::Snapshot`]; `commands` load, make one pure call and hand a report to `output`.

pub mod admission;
pub mod cluster;
pub mod commands;
pub mod compile;
pub mod diff;
pub mod error;
pub mod files;
pub mod lint;
pub mod merge;
pub mod model;
pub mod output;
pub mod plan;
pub mod resolve;
pub mod rollout;
pub mod snapshot;
