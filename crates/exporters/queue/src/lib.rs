//! The sending queue, workers, timeout and retries that every exporter shares.
//!
//! An exporter brings a [`Transport`], which turns a payload into requests and sends one; [`QueuedExporter`] makes it
//! a component: a bounded in-memory queue, workers that wait out a failing backend, and the counters.

mod backoff;
mod config;
mod counters;
mod delivery;
mod exporter;
mod log_limit;
mod queue;
#[cfg(test)]
mod tests;
mod transport;

pub use config::{QueueConfig, RetryConfig, SendConfig, Sizer};
pub use exporter::QueuedExporter;
pub use log_limit::LogLimit;
pub use transport::{Delivered, Request, SendFailure, Transport};
