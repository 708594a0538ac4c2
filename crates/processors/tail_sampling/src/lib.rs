//! The `tail_sampling` processor: threads, channels and metrics around the sans-IO sampler.
//!
//! Each shard is one thread that owns its traces. A request goes, its bytes shared, to the shards that its trace ids
//! hash to; what a shard keeps goes on to the next stage.

mod config;
mod explain;
mod log;
mod memory;
mod metrics;
mod patience;
mod processor;
mod recent;
mod router;
mod shard;
#[cfg(test)]
mod tests;

pub use config::{FACTORY, read_sampler};
