//! The `health_check` extension: one URL that says whether the agent takes data, for probes written for the collector.

mod clock;
mod config;
mod extension;
#[cfg(test)]
mod tests;

pub use config::{Config, FACTORY};
pub use extension::HealthCheck;
