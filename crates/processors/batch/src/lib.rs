//! The `batch` processor: gathers requests until they are large or old enough and passes them on as one.
//!
//! Two export requests' wire bytes, one behind the other, are a valid request that holds both (repeated fields of
//! a protobuf message concatenate): a batch is a copy of bytes, nothing is decoded.

mod batcher;
mod config;
mod gathering;
mod metrics;
mod processor;
#[cfg(test)]
mod tests;

pub use batcher::Batcher;
pub use config::FACTORY;
