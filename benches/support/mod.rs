//! What benches share.

pub mod big_cluster;
