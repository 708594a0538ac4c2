//! The sans-IO tail sampler: policies, verdicts with reasons, the trace store.
//!
//! [`compile`] makes a [`PolicySet`] of the collector's `policies`. A [`Reader`] reads requests; a [`Sampler`] is one
//! shard: what was read and the time go in, [`Action`]s and the next deadline come out. It knows no sockets, files,
//! threads or clocks.

mod ahead;
mod batches;
mod compile;
mod conclude;
mod condition;
mod config;
mod contexts;
mod decided;
mod decision;
mod emit;
mod evidence;
mod explain;
mod facts;
mod hold;
mod index;
mod ingest;
mod leaf_set;
mod limits;
mod marks;
mod names;
mod outlook;
mod parents;
mod policy;
mod predicate;
mod probabilistic;
mod read;
mod retained;
mod room;
mod sampler;
mod segments;
mod timers;
mod trace_state;
mod traces;
mod walk;

#[cfg(test)]
mod tests;

pub use compile::{POLICY_TYPES, PolicyError, compile};
pub use condition::ConditionErrors;
pub use config::{
    AndConfig, BooleanAttributeConfig, BytesLimitingConfig, CompositeConfig, DropConfig, LatencyConfig,
    NotConfig, NumericAttributeConfig, OttlConditionConfig, PolicyConfig, PriorityClasses,
    ProbabilisticConfig, RateAllocationConfig, RateLimitingConfig, RetainDropped, SamplerConfig,
    SpanCountConfig, StatusCodeConfig, StringAttributeConfig, TraceStateConfig,
};
pub use decision::{Action, Decision, Emit, Evidence, LateSpans, Reason, Trigger, Verdict};
pub use explain::{Held, Known, Retained, Standing, Vote, Votes};
pub use index::Shard;
pub use policy::{PolicySet, PolicyVotes};
pub use read::{Reader, Reading};
pub use room::Evictions;
pub use sampler::{Sampler, Stats};
