//! From a specification to a running graph: plan, start, fan-out, drain. Names no concrete component.
//!
//! Consumers start before producers: exporters, then each pipeline's processors from last to first, then receivers.
//! A stop goes the other way, so that what was acknowledged still finds its way out.

mod plan;
mod running;
#[cfg(test)]
mod tests;

pub use plan::{Components, Plan};
pub use running::{Delivered, Running, StartFailed, Summary};
