//! A generator of realistic agent-task traces, for demonstrations, tests and benchmarks.
//!
//! A [`Generator`] plans one [`Task`] after another: the spans that an orchestrator, a planner, an LLM gateway,
//! a tool runner, a retriever and a memory service would emit for one agent task, cut into the requests in which
//! they would arrive. A [`Corpus`] is the same material encoded for replay at full speed under fresh ids, and
//! [`live::run`] sends tasks to an OTLP/gRPC endpoint as they happen.

pub mod client;
mod corpus;
mod generator;
mod ids;
pub mod live;
mod options;
mod task;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use corpus::{Corpus, CorpusOptions, CorpusRequest, CorpusTrace, corpus};
pub use generator::{Generator, Task, TimedRequest};
pub use ids::{ReplayId, SpanSlot};
pub use live::{LiveError, LiveOptions, Summary, run};
pub use options::{Options, OptionsError, Priority, PriorityWeights};
pub use vocabulary::Service;
