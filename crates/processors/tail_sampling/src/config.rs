//! The `tail_sampling` processor's configuration: the collector's keys, and ours.

use crate::patience::{Priority, Retain};
use crate::processor::TailSampling;
use forebay_component::{BuildError, BuildProcessor, Consumer, Context, Info, Processor, ProcessorFactory};
use forebay_config::{ByteSize, Diagnostics, GoDuration, Node, nearest};
use forebay_sampling::{POLICY_TYPES, PolicyConfig, PolicySet, SamplerConfig, compile};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The `tail_sampling` processor type.
pub static FACTORY: ProcessorFactory = ProcessorFactory {
    info: Info {
        kind: "tail_sampling",
        aliases: &[],
        description: "Holds each trace until it is worth deciding about, and keeps what matters.",
    },
    configure,
};

/// The keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// How long after its first span a trace is decided.
    pub decision_wait: GoDuration,
    /// Decide this long after the root span, if that is earlier; 0 waits for `decision_wait`.
    pub decision_wait_after_root_received: GoDuration,
    /// Most undecided traces; beyond it the oldest is decided on what it has.
    pub num_traces: usize,
    /// The collector's hint for its maps; our store needs none.
    pub expected_new_traces_per_sec: u64,
    /// With `num_traces` undecided, take nothing in until one is decided.
    pub block_on_overflow: bool,
    /// Remembered verdicts.
    pub decision_cache: DecisionCache,
    /// Stop at the first policy that keeps a trace.
    pub sample_on_first_match: bool,
    /// `trace-complete` decides on whole traces, `span-ingest` on each batch as it comes.
    pub sampling_strategy: String,
    /// At a stop, drop undecided traces instead of deciding them on what they have.
    pub drop_pending_traces_on_shutdown: bool,
    /// A trace larger than this, encoded, is dropped at once; 0 is no bound.
    pub maximum_trace_size_bytes: u64,
    /// Parts of the traces, each with a lock and a thread of its own; 0 is one for every two cores.
    pub num_shards: usize,
    /// Ours: take a verdict that no later span can change at once.
    pub early_keep: bool,
    /// Ours: bytes that held traces may take in all; 0 is half of the container's or the machine's memory.
    pub memory_limit: ByteSize,
    /// Ours: name the policy that kept a trace on the scopes of its spans; the collector's feature gate `recordpolicy`.
    pub record_policy: bool,
    /// Ours: bytes that recent verdicts and late spans may take, to be asked about; 0 remembers none.
    pub recent_decisions: ByteSize,
    /// Ours: a trace is complete when no span came for this long; 0 decides after `decision_wait`.
    pub idle_timeout: GoDuration,
    /// Ours: with `idle_timeout`, a trace is decided at this age at the latest.
    pub max_trace_age: Option<GoDuration>,
    /// Ours: hold dropped traces for a while, in case a late span changes everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain_dropped: Option<Retain>,
    /// Ours: what yields first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// What decides.
    pub policies: Vec<PolicyConfig>,
}

/// How many verdicts are remembered for late spans; 0 is as many as `num_traces`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DecisionCache {
    pub sampled_cache_size: usize,
    pub non_sampled_cache_size: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            decision_wait: Duration::from_secs(30).into(),
            decision_wait_after_root_received: Duration::ZERO.into(),
            num_traces: 50_000,
            expected_new_traces_per_sec: 0,
            block_on_overflow: false,
            decision_cache: DecisionCache::default(),
            sample_on_first_match: false,
            sampling_strategy: "trace-complete".to_owned(),
            drop_pending_traces_on_shutdown: false,
            maximum_trace_size_bytes: 0,
            num_shards: 0,
            early_keep: true,
            memory_limit: ByteSize(0),
            record_policy: false,
            recent_decisions: ByteSize(8 << 20),
            idle_timeout: Duration::ZERO.into(),
            max_trace_age: None,
            retain_dropped: None,
            priority: None,
            policies: Vec::new(),
        }
    }
}

/// Less would hold next to nothing; a bare number is in bytes.
const LEAST_MEMORY: u64 = 1 << 20;

/// Less would remember next to nothing.
const LEAST_RECENT: u64 = 64 << 10;

/// The age at which a trace is decided although spans still come, when `max_trace_age` is not given.
const MAX_TRACE_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// More threads than this are a mistake, not a choice.
const MOST_SHARDS: usize = 256;

const SPAN_INGEST: &str = "span-ingest";
const STRATEGIES: [&str; 2] = ["trace-complete", SPAN_INGEST];

impl Config {
    /// The number of shards to run.
    pub fn shards(&self) -> usize {
        match self.num_shards {
            // What one takes in takes little time, and each shard of a request is a lock more (docs/adr/0004, 0008).
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
            count => count,
        }
    }

    /// Bytes of recent verdicts that each shard may remember.
    pub fn recent(&self, shards: usize) -> usize {
        usize::try_from(self.recent_decisions.0).unwrap_or(usize::MAX) / shards
    }

    /// One shard's settings: its part of the counts and bytes.
    pub fn sampler(&self, shards: usize) -> SamplerConfig {
        let part = |whole: usize| whole.div_ceil(shards);
        let after_root: Duration = self.decision_wait_after_root_received.into();
        SamplerConfig {
            decision_wait: self.decision_wait.into(),
            decision_wait_after_root_received: (!after_root.is_zero()).then_some(after_root),
            num_traces: part(self.num_traces),
            block_on_overflow: self.block_on_overflow,
            sampled_cache_size: part(self.decision_cache.sampled_cache_size),
            non_sampled_cache_size: part(self.decision_cache.non_sampled_cache_size),
            sample_on_first_match: self.sample_on_first_match,
            drop_pending_traces_on_shutdown: self.drop_pending_traces_on_shutdown,
            early_keep: self.early_keep,
            memory_limit: Some(part(usize::try_from(self.memory_limit()).unwrap_or(usize::MAX))),
            span_ingest: self.sampling_strategy == SPAN_INGEST,
            maximum_trace_size: Some(self.maximum_trace_size_bytes).filter(|most| *most > 0),
            record_policy: self.record_policy,
            shards,
            verdicts_only: false,
            idle_timeout: self.idle_timeout(),
            max_trace_age: self.max_trace_age(),
            retain_dropped: self.retain_dropped.as_ref().map(|retain| retain.part(shards)),
            priority: self.priority.clone().unwrap_or_default().classes(shards, self.priority.is_some()),
        }
    }

    /// Bytes that all shards may take.
    pub fn memory_limit(&self) -> u64 {
        match self.memory_limit.0 {
            0 => crate::memory::default_limit(),
            given => given,
        }
    }

    fn idle_timeout(&self) -> Option<Duration> {
        Some(Duration::from(self.idle_timeout)).filter(|idle| !idle.is_zero())
    }

    fn max_trace_age(&self) -> Option<Duration> {
        let idle = self.idle_timeout()?;
        Some(self.max_trace_age.map_or(MAX_TRACE_AGE.max(idle), Duration::from))
    }

    /// Refuses patience that cannot be meant.
    fn check_patience(&self, node: &Node, errors: &mut Diagnostics) {
        let mut refuse = |key: &str, message: &str| errors.push(node.error_at(&[key], message));
        match (self.max_trace_age.map(Duration::from), self.idle_timeout()) {
            (Some(_), None) => {
                refuse(
                    "max_trace_age",
                    "needs idle_timeout: without it a trace is decided after decision_wait",
                );
            }
            (Some(age), Some(idle)) if age < idle => {
                refuse("max_trace_age", "is shorter than idle_timeout, which then never decides");
            }
            (Some(age), Some(_)) if age < Duration::from(self.decision_wait) => {
                refuse(
                    "max_trace_age",
                    "is shorter than decision_wait (30s unless given), the least time a trace waits: every trace would \
                     be decided at that age",
                );
            }
            _ => {}
        }
        if self.retain_dropped.is_some() && self.sampling_strategy == SPAN_INGEST {
            refuse("retain_dropped", "looks at whole traces: it needs sampling_strategy trace-complete");
        }
        if let Some(retain) = &self.retain_dropped {
            retain.check(node, errors);
        }
        if let Some(priority) = &self.priority {
            priority.check(node, self.memory_limit.0, errors);
        }
    }
}

/// What a `tail_sampling` section says to one sampler that has all traces to itself: for decisions outside a pipeline.
///
/// # Errors
/// Everything that is wrong with the section, as at a start.
pub fn read_sampler(node: &Node) -> Result<(SamplerConfig, Arc<PolicySet>), Diagnostics> {
    let Plan { config, policies } = read(node)?;
    Ok((config.sampler(1), policies))
}

pub(crate) fn configure(node: &Node) -> Result<Box<dyn BuildProcessor>, Diagnostics> {
    Ok(Box::new(read(node)?))
}

fn read(node: &Node) -> Result<Plan, Diagnostics> {
    let config: Config = node.read()?;
    let mut errors = Diagnostics::default();
    let mut refuse = |key: &str, message: String| errors.push(node.error_at(&[key], message));
    if config.num_traces == 0 {
        refuse("num_traces", "must be at least 1".to_owned());
    }
    if config.num_shards > MOST_SHARDS {
        refuse("num_shards", format!("must be at most {MOST_SHARDS}; 0 is one for every two cores"));
    }
    if (1..LEAST_MEMORY).contains(&config.memory_limit.0) {
        refuse("memory_limit", "must be at least 1MiB; 0 is half of the memory there is".to_owned());
    }
    if (1..LEAST_RECENT).contains(&config.recent_decisions.0) {
        refuse("recent_decisions", "must be at least 64KiB; 0 remembers no verdicts".to_owned());
    }
    if !STRATEGIES.contains(&config.sampling_strategy.as_str()) {
        let supported = STRATEGIES.join(", ");
        refuse(
            "sampling_strategy",
            format!("unknown strategy `{}`; supported: {supported}", config.sampling_strategy),
        );
    }
    config.check_patience(node, &mut errors);
    let policies = match compile(&config.policies) {
        Ok(policies) => policies,
        Err(found) => {
            for error in found {
                let path: Vec<&str> =
                    std::iter::once("policies").chain(error.path.iter().map(String::as_str)).collect();
                let found = node.error_at(&path, error.message);
                errors.push(match meant(node, &path) {
                    Some(name) => found.with_help(format!("did you mean `{name}`?")),
                    None => found,
                });
            }
            return Err(errors);
        }
    };
    if config.sampling_strategy == SPAN_INGEST {
        for place in policies.need_whole_traces() {
            let message = "needs whole traces, which sampling_strategy span-ingest does not wait for: rate_limiting, \
                bytes_limiting, span_count with max_spans and latency with upper_threshold_ms need trace-complete";
            errors.push(node.error_at(&["policies", &place.to_string()], message));
        }
    }
    errors.into_result(Plan { config, policies: Arc::new(policies) })
}

/// The policy type that a misspelled `type` at `path` may stand for.
fn meant(node: &Node, path: &[&str]) -> Option<&'static str> {
    if path.last() != Some(&"type") {
        return None;
    }
    let at = path.iter().try_fold(node, |at, key| match key.parse::<usize>() {
        Ok(index) => at.items().nth(index),
        Err(_) => at.get(key),
    })?;
    nearest(at.as_str()?, POLICY_TYPES.into_iter())
}

struct Plan {
    config: Config,
    policies: Arc<PolicySet>,
}

impl BuildProcessor for Plan {
    fn effective(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    fn build(
        self: Box<Self>,
        context: Context,
        next: Arc<dyn Consumer>,
    ) -> Result<Box<dyn Processor>, BuildError> {
        Ok(Box::new(TailSampling::start(&self.config, self.policies, &context, &next)?))
    }
}
