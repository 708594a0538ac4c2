//! The `tail_sampling` processor: locks, threads and metrics around the sans-IO sampler.
//!
//! Traces belong to shards by their ids. Whoever brings a request reads it and takes it in, shard by shard, each for as long
//! as it has that shard's lock; a thread for each shard decides what is due and hands on what is kept.

mod config;
mod entrance;
mod explain;
mod log;
mod memory;
mod metrics;
mod patience;
mod processor;
mod readers;
mod recent;
mod shard;
#[cfg(test)]
mod tests;
mod worker;

pub use config::{FACTORY, read_sampler};
