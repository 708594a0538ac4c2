//! The collector's tail-sampling metrics, and ours.

use forebay_component::{Context, Reason as RefusalReason};
use forebay_sampling::{
    Decision, Evictions, LateSpans, PolicySet, PolicyVotes, Reason, Sampler, Stats, Verdict,
};
use forebay_telemetry::{Counter, Gauge, Histogram, MetricKind, Metrics as Registry};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Handles of one shard. Shards share the counters; gauges are moved by differences, so that they add up.
pub(crate) struct Metrics {
    registry: Registry,
    processor: String,
    incoming: Counter,
    pub outgoing: Counter,
    kept: Counter,
    dropped: Counter,
    late_age: Histogram,
    removal_age: Histogram,
    pub decision_latency: Histogram,
    evicted: Counter,
    too_large: Counter,
    evaluation_errors: Counter,
    new_traces: Counter,
    on_memory: Gauge,
    spans_held: Gauge,
    bytes_held: Gauge,
    memory: Gauge,
    spans_retained: Gauge,
    bytes_retained: Gauge,
    oldest: Arc<AtomicU64>,
    verdict_changes: Counter,
    evictions: Vec<EvictionCounters>,
    seen_evictions: Vec<Evictions>,
    /// Traces sampled, not sampled, and dropped by a drop policy.
    global: [Counter; 3],
    late: [Counter; 2],
    policies: Vec<PolicyCounters>,
    seen: Stats,
    seen_recent: usize,
    seen_votes: Vec<PolicyVotes>,
}

/// What one priority class gave up for want of room.
struct EvictionCounters {
    traces: Counter,
    spans_kept: Counter,
    spans_dropped: Counter,
}

/// One policy's counters, by decision.
struct PolicyCounters {
    sampled: Counter,
    not_sampled: Counter,
    dropped: Counter,
    spans_sampled: Counter,
    asked: Counter,
}

const SECONDS: &[f64] = &[1., 5., 10., 30., 60., 120., 300., 600., 1800., 3600., 7200., 21600., 86400.];
const MILLISECONDS: &[f64] = &[
    0.1, 0.5, 1., 2., 5., 10., 25., 50., 75., 100., 150., 200., 300., 400., 500., 750., 1e3, 2e3, 3e3, 5e3,
    1e4,
];

/// No undecided trace.
const NOTHING: u64 = u64::MAX;

/// The age of the oldest undecided trace of all shards, as true when it is asked for as when it was last counted.
pub(crate) fn observe_oldest(context: &Context, shards: &[Metrics], started: Instant) {
    let oldest: Vec<_> = shards.iter().map(|shard| Arc::clone(&shard.oldest)).collect();
    let id = context.id.to_string();
    context.telemetry.metrics.observe(
        "forebay_tail_sampling_oldest_undecided_age",
        "Time (in seconds) since the first span of the undecided trace that has waited longest.",
        MetricKind::Gauge,
        &[("processor", &id)],
        move || {
            let first_seen = oldest.iter().map(|shard| shard.load(Ordering::Relaxed)).min();
            first_seen
                .filter(|at| *at != NOTHING)
                .map_or(0.0, |at| started.elapsed().saturating_sub(Duration::from_nanos(at)).as_secs_f64())
        },
    );
}

impl Metrics {
    pub fn new(context: &Context, policies: &PolicySet, classes: &[String], first: bool) -> Self {
        let id = context.id.to_string();
        let registry = &context.telemetry.metrics;
        let own = [("processor", id.as_str())];
        let items = [("processor", id.as_str()), ("otel_signal", "traces")];
        let sampled = |name, help, yes: bool| {
            registry.counter(
                name,
                help,
                &[("processor", &id), ("sampled", if yes { "true" } else { "false" })],
            )
        };
        let global = |decision: &str| {
            let yes = decision == "sampled";
            registry.counter(
                "otelcol_processor_tail_sampling_global_count_traces_sampled",
                "Global count of traces that were sampled or not by at least one policy.",
                &[
                    ("processor", &id),
                    ("sampled", if yes { "true" } else { "false" }),
                    ("decision", decision),
                ],
            )
        };
        let by_policy = |name, help, policy: &str, decision: &str| {
            let yes = if decision == "sampled" { "true" } else { "false" };
            registry.counter(
                name,
                help,
                &[("processor", &id), ("policy", policy), ("sampled", yes), ("decision", decision)],
            )
        };
        let policy = |name: &str| {
            let traces = |decision| {
                by_policy(
                    "otelcol_processor_tail_sampling_count_traces_sampled",
                    "Count of traces that were sampled or not per sampling policy.",
                    name,
                    decision,
                )
            };
            PolicyCounters {
                sampled: traces("sampled"),
                not_sampled: traces("not_sampled"),
                dropped: traces("dropped"),
                spans_sampled: by_policy(
                    "otelcol_processor_tail_sampling_count_spans_sampled",
                    "Count of spans that were sampled or not per sampling policy.",
                    name,
                    "sampled",
                ),
                asked: registry.counter(
                    "otelcol_processor_tail_sampling_sampling_policy_execution_count",
                    "Number of times a policy was asked about a trace that was being decided.",
                    &[("processor", &id), ("policy", name)],
                ),
            }
        };
        let evictions = |class: &String| {
            let spans = |decision| {
                let labels = [("processor", id.as_str()), ("priority", class), ("decision", decision)];
                registry.counter(
                    "forebay_tail_sampling_evicted_spans",
                    "Number of spans of traces that were decided before their time for want of room.",
                    &labels,
                )
            };
            EvictionCounters {
                traces: registry.counter(
                    "forebay_tail_sampling_evicted_traces",
                    "Number of traces that were decided before their time for want of room.",
                    &[("processor", &id), ("priority", class)],
                ),
                spans_kept: spans("sampled"),
                spans_dropped: spans("not_sampled"),
            }
        };
        let made = Self {
            evictions: classes.iter().map(evictions).collect(),
            seen_evictions: vec![Evictions::default(); classes.len()],
            spans_retained: registry.gauge(
                "forebay_tail_sampling_retained_spans",
                "Spans of dropped traces that are held in case a late span turns the verdict.",
                &own,
            ),
            bytes_retained: registry.gauge(
                "forebay_tail_sampling_retained_bytes",
                "Bytes on the wire of spans of dropped traces that are held in case a late span turns the verdict.",
                &own,
            ),
            oldest: Arc::new(AtomicU64::new(NOTHING)),
            verdict_changes: registry.counter(
                "forebay_tail_sampling_verdict_changes",
                "Number of dropped traces that late spans brought back.",
                &own,
            ),
            incoming: registry.counter(
                "otelcol_processor_incoming_items",
                "Number of items passed to the processor.",
                &items,
            ),
            outgoing: registry.counter(
                "otelcol_processor_outgoing_items",
                "Number of items emitted from the processor.",
                &items,
            ),
            kept: registry.counter(
                "forebay_tail_sampling_kept_spans",
                "Number of spans of kept traces.",
                &own,
            ),
            dropped: registry.counter(
                "forebay_tail_sampling_dropped_spans",
                "Number of spans of dropped traces.",
                &own,
            ),
            late_age: registry.histogram(
                "otelcol_processor_tail_sampling_sampling_late_span_age",
                "Time (in seconds) from the sampling decision to the arrival of a late span.",
                SECONDS,
                &own,
            ),
            removal_age: registry.histogram(
                "otelcol_processor_tail_sampling_sampling_trace_removal_age",
                "Time (in seconds) from arrival of a new trace until its removal from memory.",
                SECONDS,
                &own,
            ),
            decision_latency: registry.histogram(
                "otelcol_processor_tail_sampling_sampling_decision_timer_latency",
                "Latency (in milliseconds) of each run of the sampling decision timer.",
                MILLISECONDS,
                &own,
            ),
            evicted: registry.counter(
                "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early",
                "Count of traces that had to be decided before the configured wait time.",
                &own,
            ),
            too_large: registry.counter(
                "otelcol_processor_tail_sampling_traces_dropped_too_large",
                "Count of traces that were dropped because they were larger than maximum_trace_size_bytes.",
                &own,
            ),
            evaluation_errors: registry.counter(
                "otelcol_processor_tail_sampling_sampling_policy_evaluation_error",
                "Count of sampling policy evaluation errors.",
                &own,
            ),
            new_traces: registry.counter(
                "otelcol_processor_tail_sampling_new_trace_id_received",
                "Counts the arrival of new traces.",
                &own,
            ),
            on_memory: registry.gauge(
                "otelcol_processor_tail_sampling_sampling_traces_on_memory",
                "Tracks the number of traces currently in memory.",
                &own,
            ),
            spans_held: registry.gauge("forebay_tail_sampling_held_spans", "Undecided spans.", &own),
            bytes_held: registry.gauge(
                "forebay_tail_sampling_held_bytes",
                "Undecided spans' bytes on the wire.",
                &own,
            ),
            memory: registry.gauge(
                "forebay_tail_sampling_memory_bytes",
                "Memory that the sampler takes, headers, decision caches and recent verdicts included.",
                &own,
            ),
            global: ["sampled", "not_sampled", "dropped"].map(global),
            late: [false, true].map(|yes| {
                sampled(
                    "otelcol_processor_tail_sampling_early_releases_from_cache_decision",
                    "Number of spans that were released at once because their trace had been decided.",
                    yes,
                )
            }),
            policies: policies.names().map(|name| policy(name)).collect(),
            seen: Stats::default(),
            seen_recent: 0,
            seen_votes: vec![PolicyVotes::default(); policies.names().count()],
            registry: registry.clone(),
            processor: id.clone(),
        };
        // Shards share the counters: the status board needs them once.
        if first {
            context.status.flow("incoming", &made.incoming);
            context.status.flow("kept", &made.kept);
            context.status.flow("dropped", &made.dropped);
            let [sampled, not_sampled, dropped] = &made.global;
            context.status.flow("traces_dropped", not_sampled);
            context.status.flow("traces_dropped", dropped);
            context.status.flow("traces_kept", sampled);
        }
        made
    }

    pub fn decided(&self, decision: &Decision) {
        let [sampled, not_sampled, dropped] = &self.global;
        let global = match decision.reason {
            _ if decision.verdict == Verdict::Kept => sampled,
            Reason::DroppedByPolicy => dropped,
            _ => not_sampled,
        };
        global.inc();
        let held = decision.decided_at.saturating_sub(decision.first_seen);
        self.removal_age.observe(held.as_secs_f64());
    }

    pub fn late(&self, late: &LateSpans) {
        if !late.retained {
            self.late[usize::from(late.verdict == Verdict::Kept)].inc_by(late.spans);
        }
        if !late.streamed {
            self.late_age.observe(late.age.as_secs_f64());
        }
    }

    /// Spans of kept traces that the next stage would not take before a stop's deadline.
    pub fn undelivered(&self, spans: u64, reason: RefusalReason) {
        let labels = [("processor", self.processor.as_str()), ("reason", reason.as_str())];
        let help = "Number of spans of kept traces that the next stage would not take.";
        self.registry.counter("forebay_tail_sampling_undelivered_spans", help, &labels).inc_by(spans);
    }

    /// Bytes that recent verdicts take.
    pub fn remembers(&mut self, bytes: usize) {
        self.memory.add(bytes as i64 - self.seen_recent as i64);
        self.seen_recent = bytes;
    }

    /// Brings the counters up to what the sampler counted.
    pub fn publish(&mut self, sampler: &Sampler) {
        let (now, before) = (sampler.stats(), self.seen);
        let _together = self.registry.together();
        self.incoming.inc_by(now.spans_accepted - before.spans_accepted);
        self.kept.inc_by(now.spans_kept - before.spans_kept);
        self.dropped.inc_by(now.spans_dropped - before.spans_dropped);
        self.evicted.inc_by(now.traces_evicted - before.traces_evicted);
        self.too_large.inc_by(now.traces_too_large - before.traces_too_large);
        self.new_traces.inc_by(now.traces_new - before.traces_new);
        let step = |now: u64, before: u64| now as i64 - before as i64;
        self.on_memory.add(step(now.traces_held as u64, before.traces_held as u64));
        self.spans_held.add(step(now.spans_held, before.spans_held));
        self.bytes_held.add(step(now.bytes_held, before.bytes_held));
        self.memory.add(step(now.memory as u64, before.memory as u64));
        self.spans_retained.add(step(now.spans_retained, before.spans_retained));
        self.bytes_retained.add(step(now.bytes_retained, before.bytes_retained));
        let oldest = now.oldest_first_seen.and_then(|at| u64::try_from(at.as_nanos()).ok());
        self.oldest.store(oldest.unwrap_or(NOTHING), Ordering::Relaxed);
        self.verdict_changes.inc_by(now.verdict_changes - before.verdict_changes);
        let evicted = sampler.evictions();
        for ((counters, now), before) in self.evictions.iter().zip(evicted).zip(&mut self.seen_evictions) {
            counters.traces.inc_by(now.traces - before.traces);
            counters.spans_kept.inc_by(now.spans_kept - before.spans_kept);
            counters.spans_dropped.inc_by(now.spans_dropped - before.spans_dropped);
            *before = *now;
        }
        self.seen = now;
        for ((counters, now), before) in self.policies.iter().zip(sampler.votes()).zip(&mut self.seen_votes) {
            counters.sampled.inc_by(now.sampled - before.sampled);
            counters.not_sampled.inc_by(now.not_sampled - before.not_sampled);
            counters.dropped.inc_by(now.dropped - before.dropped);
            self.evaluation_errors.inc_by(now.failed - before.failed);
            let asked =
                |votes: &PolicyVotes| votes.sampled + votes.not_sampled + votes.dropped + votes.failed;
            counters.asked.inc_by(asked(now) - asked(before));
            counters.spans_sampled.inc_by(now.spans_sampled - before.spans_sampled);
            *before = *now;
        }
    }
}
