//! Development only: the same traces through `tail_sampling` here and in the Go collector, kept span for span.
//!
//! A [`Case`] is a `tail_sampling` section and the [`Scenario`](corpus::Scenario) that is played to it. The runner (this
//! crate's binary) plays it to the collector and to the agent, compares what came out, and records the collector's answer
//! in `golden/`. The crate's tests play every case to the sampler on virtual time and check it against the record.

pub mod agent;
pub mod case;
pub mod content;
pub mod corpus;
pub mod generate;
pub mod golden;
pub mod random;
pub mod replay;
pub mod report;
pub mod virtual_time;

pub use case::Case;
