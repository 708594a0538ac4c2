//! Forebay's view of itself: metrics, component states, recent decisions, logs and the admin endpoints.
//!
//! Components own their metrics: they ask [`Metrics`] for a counter by its collector name and labels and keep the
//! handle. What the status page shows about a component is registered on its [`ComponentHandle`].

mod admin;
mod board;
pub mod config;
mod decisions;
pub mod exposition;
mod logs;
mod metrics;
mod process;
mod rates;
#[cfg(test)]
mod tests;

pub use admin::{About, AdminError, AdminServer};
pub use board::{
    Board, ComponentHandle, ComponentSnapshot, Flow, FlowSnapshot, Kind, Phase, QueueDepth, State,
};
pub use decisions::{
    BareVerdict, DecisionFilter, DecisionRecord, DecisionSource, DecisionTraits, Decisions, ExplainedVerdict,
    Explanation, HeldTrace, LateSpansRecord, PolicyVote, Remembered, RetainedTrace, TraceTimes,
};
pub use logs::{LogsError, init_logs};
pub use metrics::{Counter, Gauge, Histogram, MetricKind, Metrics};

/// What every component gets: one registry of metrics, one board of states, one list of decision sources.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    /// The metrics registry.
    pub metrics: Metrics,
    /// Component and agent states.
    pub board: Board,
    /// Recent sampling decisions.
    pub decisions: Decisions,
}
