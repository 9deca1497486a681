//! What benches share.

#![allow(dead_code, reason = "every bench uses a part of it")]

pub mod big_cluster;
