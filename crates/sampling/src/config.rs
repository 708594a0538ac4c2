//! What a user writes: the collector's policy keys, and the sampler's own settings.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One entry of `policies`, in the collector's flat shape: a name, a type, and the section named like the type.
///
/// Also the shape of the policies inside `and`, `not`, `drop` and `composite`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// Shown in metrics and verdicts. Required and unique among `policies`; optional inside `and`, `not` and `drop`;
    /// required and unique inside `composite`.
    pub name: String,
    /// The policy type: one of [`POLICY_TYPES`](crate::POLICY_TYPES).
    pub r#type: String,
    /// Settings of a `latency` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyConfig>,
    /// Settings of a `numeric_attribute` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numeric_attribute: Option<NumericAttributeConfig>,
    /// Settings of a `probabilistic` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probabilistic: Option<ProbabilisticConfig>,
    /// Settings of a `status_code` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<StatusCodeConfig>,
    /// Settings of a `string_attribute` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_attribute: Option<StringAttributeConfig>,
    /// Settings of a `boolean_attribute` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boolean_attribute: Option<BooleanAttributeConfig>,
    /// Settings of a `span_count` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_count: Option<SpanCountConfig>,
    /// Settings of a `trace_state` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_state: Option<TraceStateConfig>,
    /// Settings of a `not` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<NotConfig>,
    /// Settings of an `and` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub and: Option<AndConfig>,
    /// Settings of a `drop` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<DropConfig>,

    /// Settings of a `rate_limiting` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limiting: Option<RateLimitingConfig>,
    /// Settings of a `bytes_limiting` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_limiting: Option<BytesLimitingConfig>,

    /// Settings of a `composite` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composite: Option<CompositeConfig>,
    /// Settings of an `ottl_condition` policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ottl_condition: Option<OttlConditionConfig>,
}

/// Keeps a trace that lasts longer than a threshold: latest end minus earliest start of its spans.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LatencyConfig {
    /// The trace must last longer than this, in milliseconds.
    pub threshold_ms: i64,
    /// And not longer than this, in milliseconds; 0 for no upper bound.
    pub upper_threshold_ms: i64,
}

/// Keeps a trace that has a numeric attribute, on a span or a resource, inside a range.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumericAttributeConfig {
    /// The attribute's key.
    pub key: String,
    /// The smallest value that matches; unbounded when unset.
    pub min_value: Option<i64>,
    /// The largest value that matches; unbounded when unset.
    pub max_value: Option<i64>,
    /// Keep the trace when nothing in it matches.
    pub invert_match: bool,
}

/// Keeps a share of all traces, chosen by a hash of the trace id.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbabilisticConfig {
    /// Hashed before the trace id, so that layers of agents choose independently. Empty: `default-hash-seed`.
    pub hash_salt: String,
    /// The share to keep in percent: 0 or less keeps none, 100 or more keeps all.
    pub sampling_percentage: f64,
}

/// Keeps a trace that has a span with one of the given status codes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StatusCodeConfig {
    /// Any of `OK`, `ERROR`, `UNSET`.
    pub status_codes: Vec<String>,
}

/// Keeps a trace that has a string attribute, on a span or a resource, with one of the given values.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StringAttributeConfig {
    /// The attribute's key.
    pub key: String,
    /// The values to match exactly, or regular expressions with `enabled_regex_matching`.
    pub values: Vec<String>,
    /// Take `values` as regular expressions (RE2 syntax) that match anywhere in the attribute's value.
    pub enabled_regex_matching: bool,
    /// How many values remember their regular expression result; 0 for 128. Unused for exact values.
    pub cache_max_size: i64,
    /// Keep the trace when nothing in it matches.
    pub invert_match: bool,
}

/// Keeps a trace that has a boolean attribute, on a span or a resource, with the given value.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BooleanAttributeConfig {
    /// The attribute's key.
    pub key: String,
    /// The value to match.
    pub value: bool,
    /// Keep the trace when nothing in it matches.
    pub invert_match: bool,
}

/// Keeps a trace whose number of spans is inside a range.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpanCountConfig {
    /// The fewest spans that match.
    pub min_spans: i32,
    /// The most spans that match; 0 for no upper bound.
    pub max_spans: i32,
}

/// Keeps a trace that has a span whose W3C trace state carries a key with one of the given values.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceStateConfig {
    /// The list-member's key.
    pub key: String,
    /// The values to match exactly.
    pub values: Vec<String>,
}

/// Keeps traces until so many spans a second are kept: a token bucket that every trace it votes on draws from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitingConfig {
    /// Spans a second in the long run.
    pub spans_per_second: i64,
    /// Spans at once; a trace of more never passes. 0 or less: twice `spans_per_second`.
    pub burst_capacity: i64,
}

/// Keeps traces until so many bytes a second are kept: a token bucket that every trace it votes on draws from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BytesLimitingConfig {
    /// Bytes a second in the long run, of traces encoded as protobuf.
    pub bytes_per_second: i64,
    /// Bytes at once; a trace of more never passes. 0 or less: twice `bytes_per_second`.
    pub burst_capacity: i64,
}

/// Shares a number of spans a second out among policies. The first sub-policy, in order, that would keep a trace
/// decides: the trace is kept if the second's spans of that sub-policy allow it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompositeConfig {
    /// What the percentages are of; also the most of one sub-policy.
    pub max_total_spans_per_second: i64,
    /// Names of sub-policies in the order to ask them; those not named come after, as they are listed.
    pub policy_order: Vec<String>,
    /// The policies, each with a name.
    pub composite_sub_policy: Vec<PolicyConfig>,
    /// What each may keep; a sub-policy that is not listed keeps nothing.
    pub rate_allocation: Vec<RateAllocationConfig>,
}

/// One sub-policy's part of a `composite` policy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateAllocationConfig {
    /// The sub-policy's name.
    pub policy: String,
    /// Its part in percent; 0 or less: an even part, as all sub-policies would have.
    pub percent: i64,
}

/// Keeps a trace that has a span, or a span event, on which one of the conditions holds.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OttlConditionConfig {
    /// What an error in a condition does: `ignore` reports it and takes the condition as not holding, `silent` does
    /// so without a report, `propagate` leaves the policy without a vote on a trace that it did not match before.
    pub error_mode: String,
    /// Conditions on each span.
    pub span: Vec<String>,
    /// Conditions on each event of each span.
    pub spanevent: Vec<String>,
}

impl Default for OttlConditionConfig {
    fn default() -> Self {
        // The collector's default has no name and does the same.
        Self { error_mode: "silent".to_owned(), span: Vec::new(), spanevent: Vec::new() }
    }
}

/// Keeps a trace when another policy would not.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotConfig {
    /// The policy that must not match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_sub_policy: Option<Box<PolicyConfig>>,
}

/// Keeps a trace when every sub-policy would.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AndConfig {
    /// The policies that must all match.
    pub and_sub_policy: Vec<PolicyConfig>,
}

/// Drops a trace when every sub-policy would keep it, whatever other policies say.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DropConfig {
    /// The policies that must all match.
    pub drop_sub_policy: Vec<PolicyConfig>,
}

/// The settings of one [`Sampler`](crate::Sampler), that is of one shard: whoever runs several shards
/// divides counts and bytes among them.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerConfig {
    /// How long after its first span a trace is decided. The collector's default is 30 s.
    pub decision_wait: Duration,
    /// When set, a trace is decided this long after its root span if that is earlier.
    pub decision_wait_after_root_received: Option<Duration>,
    /// How many undecided traces are held; one more and one of the lowest class is decided on what it has, but for
    /// `block_on_overflow`. At least 1.
    pub num_traces: usize,
    /// Hold more than `num_traces` rather than decide the oldest too early: whoever drives the sampler must then
    /// [ask](crate::Sampler::is_full) before each request whether to wait.
    pub block_on_overflow: bool,
    /// How many kept trace ids are remembered, so that their late spans are kept too. 0: as many as `num_traces`.
    pub sampled_cache_size: usize,
    /// How many dropped trace ids are remembered, so that their late spans are dropped too. 0: as many as `num_traces`.
    pub non_sampled_cache_size: usize,
    /// Stop at the first policy, in order, that keeps the trace: later policies are not counted as voting.
    pub sample_on_first_match: bool,
    /// At shutdown, drop undecided traces instead of deciding them on what they have.
    pub drop_pending_traces_on_shutdown: bool,
    /// Keep a trace as soon as no later span can change that: a policy matched that cannot stop matching,
    /// and no drop policy can match any more. Its spans then stream through as they come.
    ///
    /// The same traces are kept as without; only the time, and with it possibly which of several matching
    /// policies is named, differs. With `sample_on_first_match` the named policy is the same too: the
    /// sampler then waits while a policy earlier in the order could still match. Policies that let through so
    /// much a second see whole traces only: none is kept early that they would be asked about.
    pub early_keep: bool,
    /// Bytes that held spans may take, headers, entries and unfilled segments included. Beyond it retained traces are
    /// let go, then traces of the lowest class are decided on what they have. A trace that takes a quarter of it by
    /// itself is decided on what it has.
    pub memory_limit: Option<usize>,
    /// Evaluate each batch, the spans of a trace in one `ResourceSpans` of one request, by itself as it comes. The
    /// first that a policy matches settles the verdict; a trace without one is dropped when it is due. With drop
    /// policies, a trace that is to be kept waits until it is due, since a later batch may still be dropped.
    pub span_ingest: bool,
    /// A trace whose encoded size is above this is dropped at once, whatever policies say. Nothing is then kept early.
    pub maximum_trace_size: Option<u64>,
    /// Name the policy that kept a trace on the scopes of its spans: the attribute `tailsampling.policy`, with
    /// `tailsampling.composite_policy` for the part of a `composite` policy that let the trace through. Late spans have
    /// `tailsampling.cached_decision: true` instead of that.
    pub record_policy: bool,
    /// How many samplers share what the policies let through a second: this one gets an even part. At least 1.
    pub shards: usize,
    /// When set, a trace is complete when no span has come for this long, and `decision_wait` is the least time it
    /// waits. The root span then settles a trace after `decision_wait_after_root_received` only once every span that
    /// is named as a parent has come.
    pub idle_timeout: Option<Duration>,
    /// With `idle_timeout`: a trace is decided at this age at the latest, however many spans still come.
    pub max_trace_age: Option<Duration>,
    /// Hold dropped traces for a while: a late span that a policy matches then brings out the whole trace.
    pub retain_dropped: Option<RetainDropped>,
    /// What traces yield first when there is no room for all.
    pub priority: PriorityClasses,
    /// Only tell what is decided: no [`Action::Emit`](crate::Action::Emit) comes out. For whoever tries policies out.
    pub verdicts_only: bool,
}

/// For how long, and how much of, what was dropped is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainDropped {
    /// How long after its verdict.
    pub time: Duration,
    /// Encoded bytes of spans at most; beyond them the lowest class goes first, and in it the trace dropped first.
    pub bytes: u64,
}

/// Priority classes: a trace counts to the class of the highest priority seen on any of its spans and resources.
/// When there is no room the lowest class yields first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityClasses {
    /// The attribute whose value is a trace's priority.
    pub key: String,
    /// Its values from the highest, each a class: at least one, at most [`Self::MOST`].
    pub order: Vec<String>,
    /// The class, by place in the order, of traces on which no value of the order was seen (yet).
    pub unset: usize,
    /// Encoded bytes of undecided spans that a class holds undisturbed by others, by place in the order; 0 if none is
    /// given. When all classes are within theirs the lowest yields all the same.
    pub floors: Vec<u64>,
    /// The most encoded bytes of undecided spans a class may hold, by place in the order.
    pub budgets: Vec<Option<u64>>,
    /// Policies that let through so much a second keep a part of the burst free for higher classes: the class at
    /// place i of n leaves i/n of it.
    pub limits: bool,
}

impl PriorityClasses {
    /// The most classes there may be.
    pub const MOST: usize = 32;

    /// How many classes there are.
    pub(crate) fn count(&self) -> usize {
        self.order.len().clamp(1, Self::MOST)
    }

    /// The place of a value in the order.
    pub(crate) fn rank(&self, value: &[u8]) -> Option<u8> {
        let place = self.order.iter().position(|known| known.as_bytes() == value)?;
        u8::try_from(place).ok().filter(|_| place < Self::MOST)
    }
}

impl Default for PriorityClasses {
    /// `task.priority`: critical, high, normal, low; without one a trace counts as normal.
    fn default() -> Self {
        Self {
            key: "task.priority".to_owned(),
            order: ["critical", "high", "normal", "low"].map(str::to_owned).to_vec(),
            unset: 2,
            floors: Vec::new(),
            budgets: Vec::new(),
            limits: false,
        }
    }
}

impl Default for SamplerConfig {
    fn default() -> Self {
        Self {
            decision_wait: Duration::from_secs(30),
            decision_wait_after_root_received: None,
            num_traces: 50_000,
            block_on_overflow: false,
            sampled_cache_size: 0,
            non_sampled_cache_size: 0,
            sample_on_first_match: false,
            drop_pending_traces_on_shutdown: false,
            early_keep: true,
            memory_limit: None,
            span_ingest: false,
            maximum_trace_size: None,
            record_policy: false,
            shards: 1,
            idle_timeout: None,
            max_trace_age: None,
            retain_dropped: None,
            priority: PriorityClasses::default(),
            verdicts_only: false,
        }
    }
}
