//! The sampler against the naive one of `model`, over random sequences of events.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, span};
use proptest::prelude::*;

use super::model::{HeldSpan, Naive, resource};
use super::support::*;
use crate::{PriorityClasses, RetainDropped, SamplerConfig, Verdict};

/// Policies that between them use every type and combinator.
const POLICIES: [&str; 13] = [
    r#"[{"name": "important", "type": "string_attribute", "string_attribute": {"key": "p", "values": ["a", "b"]}},
        {"name": "slow", "type": "latency", "latency": {"threshold_ms": 40}},
        {"name": "few", "type": "probabilistic", "probabilistic": {"sampling_percentage": 30}}]"#,
    r#"[{"name": "quiet", "type": "string_attribute",
         "string_attribute": {"key": "p", "values": ["a"], "invert_match": true}},
        {"name": "drop", "type": "drop", "drop": {"drop_sub_policy": [
            {"type": "status_code", "status_code": {"status_codes": ["OK"]}},
            {"type": "numeric_attribute", "numeric_attribute": {"key": "n", "min_value": 2, "max_value": 3}}]}}]"#,
    r#"[{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
        {"name": "both", "type": "and", "and": {"and_sub_policy": [
            {"type": "string_attribute", "string_attribute":
                {"key": "p", "values": ["^[ab]$"], "enabled_regex_matching": true, "cache_max_size": 1}},
            {"type": "numeric_attribute", "numeric_attribute":
                {"key": "n", "min_value": 2, "invert_match": true}}]}}]"#,
    r#"[{"name": "window", "type": "latency", "latency": {"threshold_ms": 10, "upper_threshold_ms": 60}},
        {"name": "drop", "type": "drop", "drop": {"drop_sub_policy": [
            {"type": "probabilistic", "probabilistic": {"sampling_percentage": 50, "hash_salt": "x"}},
            {"type": "string_attribute", "string_attribute":
                {"key": "p", "values": ["b"], "invert_match": true}}]}},
        {"name": "flag", "type": "boolean_attribute", "boolean_attribute": {"key": "f", "value": true}}]"#,
    r#"[{"name": "one", "type": "numeric_attribute", "numeric_attribute": {"key": "n", "max_value": 0}},
        {"name": "none", "type": "string_attribute", "string_attribute": {"key": "p", "values": ["zz"]}}]"#,
    r#"[{"name": "several", "type": "span_count", "span_count": {"min_spans": 4}},
        {"name": "flagged", "type": "and", "and": {"and_sub_policy": [
            {"type": "trace_flags"},
            {"type": "not", "not": {"not_sub_policy": {"type": "span_count", "span_count": {"max_spans": 2}}}}]}},
        {"name": "drop", "type": "drop", "drop": {"drop_sub_policy": [
            {"type": "trace_state", "trace_state": {"key": "k", "values": ["x", "y"]}},
            {"type": "not", "not": {"not_sub_policy": {"type": "and", "and": {"and_sub_policy": [
                {"type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
                {"type": "trace_flags"}]}}}}]}}]"#,
    r#"[{"name": "state", "type": "trace_state", "trace_state": {"key": "k", "values": ["x"]}},
        {"name": "window", "type": "span_count", "span_count": {"min_spans": 2, "max_spans": 5}},
        {"name": "calm", "type": "not", "not": {"not_sub_policy": {"type": "latency", "latency":
            {"threshold_ms": 20}}}}]"#,
    r#"[{"name": "rate", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 1, "burst_capacity": 9}},
        {"name": "errors", "type": "and", "and": {"and_sub_policy": [
            {"type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            {"name": "inner", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 3}}]}},
        {"name": "important", "type": "string_attribute", "string_attribute": {"key": "p", "values": ["a"]}}]"#,
    r#"[{"name": "bytes", "type": "bytes_limiting", "bytes_limiting": {"bytes_per_second": 800}},
        {"name": "drop", "type": "drop", "drop": {"drop_sub_policy": [
            {"type": "string_attribute", "string_attribute": {"key": "p", "values": ["a"]}},
            {"type": "not", "not": {"not_sub_policy": {"name": "some", "type": "bytes_limiting",
                "bytes_limiting": {"bytes_per_second": 200, "burst_capacity": 3000}}}}]}}]"#,
    r#"[{"name": "shared", "type": "composite", "composite": {"max_total_spans_per_second": 12,
            "policy_order": ["errors", "few"],
            "composite_sub_policy": [
                {"name": "some", "type": "string_attribute", "string_attribute": {"key": "p", "values": ["a"]}},
                {"name": "few", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 2}},
                {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
                {"name": "rest", "type": "always_sample"}],
            "rate_allocation": [{"policy": "few", "percent": 50}, {"policy": "errors", "percent": 25},
                {"policy": "some"}]}},
        {"name": "window", "type": "latency", "latency": {"threshold_ms": 55}}]"#,
    r#"[{"name": "strict", "type": "ottl_condition", "ottl_condition": {"error_mode": "propagate",
            "span": ["HasPrefix(attributes[\"p\"], \"b\")", "attributes[\"n\"] > 3"]}},
        {"name": "lax", "type": "ottl_condition", "ottl_condition": {"error_mode": "ignore",
            "span": ["HasPrefix(attributes[\"p\"], \"b\")",
                     "resource.attributes[\"p\"] == \"b\" and scope.name == \"http\""]}}]"#,
    r#"[{"name": "drop", "type": "drop", "drop": {"drop_sub_policy": [
            {"type": "ottl_condition", "ottl_condition": {"error_mode": "propagate",
                "span": ["attributes[\"p\"] == \"a\""],
                "spanevent": ["Int(attributes[\"left\"]) / Int(span.attributes[\"n\"]) == 1"]}},
            {"type": "string_attribute", "string_attribute": {"key": "p", "values": ["b"], "invert_match": true}}]}},
        {"name": "calm", "type": "not", "not": {"not_sub_policy": {"type": "and", "and": {"and_sub_policy": [
            {"type": "latency", "latency": {"threshold_ms": 20}},
            {"type": "ottl_condition", "ottl_condition": {"error_mode": "propagate",
                "span": ["HasPrefix(attributes[\"p\"], \"b\")"]}}]}}}},
        {"name": "retried", "type": "ottl_condition", "ottl_condition":
            {"spanevent": ["name == \"retry\" and span.status.code == STATUS_CODE_ERROR"]}}]"#,
    r#"[{"name": "shared", "type": "composite", "composite": {"max_total_spans_per_second": 12,
            "composite_sub_policy": [
                {"name": "conditions", "type": "ottl_condition", "ottl_condition": {"error_mode": "propagate",
                    "span": ["HasPrefix(attributes[\"p\"], \"b\")"]}},
                {"name": "rest", "type": "always_sample"}],
            "rate_allocation": [{"policy": "conditions", "percent": 50}, {"policy": "rest", "percent": 50}]}},
        {"name": "retried", "type": "ottl_condition", "ottl_condition": {"error_mode": "silent",
            "span": ["attributes[\"p\"] == \"a\""],
            "spanevent": ["Int(attributes[\"left\"]) / Int(span.attributes[\"n\"]) == 1"]}}]"#,
];

/// A span as the test makes it up: everything a policy can see.
#[derive(Clone, Debug)]
struct Sketch {
    trace: u64,
    resource: usize,
    scope: usize,
    is_root: bool,
    p: usize,
    n: i64,
    f: Option<bool>,
    status: i32,
    start_ms: u64,
    length_ms: u64,
    padding: usize,
    flags: u32,
    state: usize,
    /// The attribute of an event `retry`.
    left: Option<i64>,
    parent: u64,
}

/// Trace states: mostly none, two that match something, one that is invalid.
const STATES: [&str; 6] = ["", "", "", "a=b,k=x", "k=y,a=b", "k=x,K=x"];

const TEXTS: [Option<&str>; 5] = [None, None, Some("a"), Some("b"), Some("c")];

fn sketch() -> impl Strategy<Value = Sketch> {
    let place = (0..6_u64, 0..3_usize, 0..2_usize, prop::bool::weighted(0.1));
    let values = (0..TEXTS.len(), -2..6_i64, prop::option::weighted(0.2, any::<bool>()), 0..3_i32);
    let size = (0..50_u64, 0..30_u64, prop_oneof![9 => 0..200_usize, 1 => 30_000..90_000_usize]);
    let left = prop::option::weighted(0.2, 0..4_i64);
    let context = (prop_oneof![8 => Just(0), 1 => Just(1), 1 => 0x100..0x104_u32], 0..STATES.len(), left);
    (place, values, size, context, 0..40_u64).prop_map(|(place, values, size, context, parent)| {
        let (trace, resource, scope, is_root) = place;
        let (p, n, f, status) = values;
        let (start_ms, length_ms, padding) = size;
        let (flags, state, left) = context;
        Sketch {
            trace,
            resource,
            scope,
            is_root,
            p,
            n,
            f,
            status,
            start_ms,
            length_ms,
            padding,
            flags,
            state,
            left,
            parent,
        }
    })
}

#[derive(Clone, Debug)]
enum Event {
    /// Spans in the order of the request, and by how much the clock moves before, in ms.
    Ingest(Vec<Sketch>, i64),
    Tick(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (prop::collection::vec(sketch(), 1..12), -500..3_000_i64).prop_map(|(spans, by)| Event::Ingest(spans, by)),
        1 => (-500..12_000_i64).prop_map(Event::Tick),
    ]
}

fn build(sketch: &Sketch, number: u64) -> Span {
    let mut span = if sketch.is_root { root(sketch.trace) } else { span(sketch.trace, 0) };
    span.span_id = (number + 1).to_be_bytes().to_vec();
    if !sketch.is_root {
        span.parent_span_id = (sketch.parent + 1).to_be_bytes().to_vec();
    }
    span = timed(with_status(span, sketch.status), sketch.start_ms, sketch.start_ms + sketch.length_ms);
    (span.flags, span.trace_state) = (sketch.flags, STATES[sketch.state].to_owned());
    if let Some(value) = TEXTS[sketch.p] {
        span = with(span, "p", text(value));
    }
    if sketch.n >= 0 {
        span = with(span, "n", Value::IntValue(sketch.n));
    }
    if let Some(value) = sketch.f {
        span = with(span, "f", Value::BoolValue(value));
    }
    if let Some(left) = sketch.left {
        let attributes = with(Span::default(), "left", Value::IntValue(left)).attributes;
        span.events.push(span::Event { name: "retry".to_owned(), attributes, ..Default::default() });
    }
    with(span, "padding", Value::BytesValue(vec![1; sketch.padding]))
}

/// A request with the spans in the given order: neighbours of one resource and scope share them.
fn build_request(spans: &[(usize, usize, Span)]) -> Vec<u8> {
    let mut groups: Vec<ResourceSpans> = Vec::new();
    let same = |a: &(usize, usize, Span), b: &(usize, usize, Span)| a.0 == b.0 && a.1 == b.1;
    for group in spans.chunk_by(same) {
        let scope = ["sdk", "http"][group[0].1];
        let spans = group.iter().map(|(_, _, span)| span.clone()).collect();
        groups.push(resource_spans(&resource(group[0].0), scope, spans));
    }
    encode(groups)
}

fn span_key(span: &HeldSpan) -> (usize, usize, Vec<u8>) {
    (span.0, span.1, prost::Message::encode_to_vec(&span.2))
}

/// What a driver sent on, in the same terms.
fn sent(driver: &Driver) -> Vec<(usize, usize, Vec<u8>)> {
    let mut all = Vec::new();
    for resource_spans in &driver.sent {
        let number = (0..3).find(|&n| {
            super::support::resource_spans(&resource(n), "", Vec::new()).resource == resource_spans.resource
        });
        for scope_spans in &resource_spans.scope_spans {
            let scope = usize::from(scope_spans.scope.as_ref().unwrap().name == "http");
            let spans = scope_spans.spans.iter();
            all.extend(spans.map(|span| span_key(&(number.unwrap(), scope, span.clone()))));
        }
    }
    all.sort();
    all
}

fn run(policies: &str, config: SamplerConfig, events: &[Event]) -> (Driver, Naive) {
    let policies = super::support::policies(policies);
    let mut driver = Driver::new(config.clone(), &policies);
    let mut naive = Naive::new(policies, config);
    let (mut clock, mut number) = (10_000_i64, 0);
    for event in events {
        let (Event::Ingest(_, by) | Event::Tick(by)) = event;
        clock = (clock + by).max(0);
        let now = Duration::from_millis(clock as u64);
        naive.now = naive.now.max(crate::sampler::nanos(now));
        match event {
            Event::Ingest(sketches, _) => {
                let build = |sketch: &Sketch| {
                    number += 1;
                    (sketch.resource, sketch.scope, build(sketch, number))
                };
                let spans: Vec<HeldSpan> = sketches.iter().map(build).collect();
                driver.ingest(&build_request(&spans), now);
                naive.ingest(&spans);
            }
            Event::Tick(_) => {
                driver.tick(Duration::from_nanos(naive.now));
                naive.tick();
            }
        }
    }
    driver.flush(Duration::ZERO);
    naive.flush();
    (driver, naive)
}

/// What the sampler decided, in the naive one's terms.
fn decisions(driver: &Driver) -> Vec<super::model::NaiveDecision> {
    let decided = driver.decisions.iter().map(|decision| {
        let policy = decision.policy.as_deref().map(str::to_owned);
        (decision.trace_id.to_vec(), decision.verdict, policy, decision.spans as usize, decision.trigger)
    });
    decided.collect()
}

/// The same decisions in the same order, the same spans sent on, and nothing left.
fn agree(driver: &Driver, naive: &Naive) -> Result<(), TestCaseError> {
    prop_assert_eq!(&decisions(driver), &naive.decisions);
    let mut expected: Vec<_> = naive.sent.iter().map(span_key).collect();
    expected.sort();
    prop_assert!(sent(driver) == expected, "other spans were sent on");
    let stats = driver.sampler.stats();
    prop_assert_eq!((stats.spans_held, stats.spans_retained), (0, 0));
    Ok(())
}

/// The policies that say the same of a trace whenever they are asked.
fn without_limits() -> Vec<&'static str> {
    POLICIES
        .into_iter()
        .filter(|policies| !policies.contains("limiting") && !policies.contains("composite"))
        .collect()
}

/// The policies that can vote on a part of a trace, and some more.
fn by_batch() -> Vec<&'static str> {
    let more = [
        r#"[{"name": "shared", "type": "composite", "composite": {"max_total_spans_per_second": 6,
            "composite_sub_policy": [
                {"name": "some", "type": "string_attribute", "string_attribute": {"key": "p", "values": ["a"]}},
                {"name": "rest", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}],
            "rate_allocation": [{"policy": "some"}, {"policy": "rest", "percent": 50}]}},
            {"name": "several", "type": "span_count", "span_count": {"min_spans": 5}}]"#,
        r#"[{"name": "slow", "type": "latency", "latency": {"threshold_ms": 20}},
            {"name": "both", "type": "and", "and": {"and_sub_policy": [
                {"type": "string_attribute", "string_attribute": {"key": "p", "values": ["a"]}},
                {"type": "not", "not": {"not_sub_policy": {"type": "status_code", "status_code":
                    {"status_codes": ["ERROR"]}}}}]}}]"#,
    ];
    let whole = |policies: &&str| {
        let set = crate::compile(&super::support::policies(policies)).unwrap();
        set.need_whole_traces().next().is_none()
    };
    let by_batch: Vec<_> = POLICIES.into_iter().chain(more).filter(whole).collect();
    assert!(by_batch.len() >= 5);
    by_batch
}

proptest! {
    /// Same verdicts for the same reasons in the same order, and the same spans sent on, byte for byte, once each.
    #[test]
    fn agrees_with_the_naive_sampler(
        policies in prop::sample::select(POLICIES.to_vec()),
        events in prop::collection::vec(event(), 1..40),
        num_traces in 1..6_usize,
        caches in (1..4_usize, 1..4_usize),
        after_root in prop::option::of(0..9_000_u64),
        maximum_trace_size in prop::option::weighted(0.2, 200..3_000_u64),
        record_policy in any::<bool>(),
    ) {
        let config = SamplerConfig {
            decision_wait: 10 * SECOND,
            decision_wait_after_root_received: after_root.map(Duration::from_millis),
            num_traces,
            maximum_trace_size,
            sampled_cache_size: caches.0,
            non_sampled_cache_size: caches.1,
            early_keep: false,
            record_policy,
            ..SamplerConfig::default()
        };
        let (driver, naive) = run(policies, config, &events);
        agree(&driver, &naive)?;
    }

    /// The same with each batch evaluated by itself.
    #[test]
    fn span_ingest_agrees_with_the_naive_sampler(
        policies in prop::sample::select(by_batch()),
        events in prop::collection::vec(event(), 1..40),
        num_traces in 1..6_usize,
        after_root in prop::option::of(0..9_000_u64),
        maximum_trace_size in prop::option::weighted(0.2, 200..3_000_u64),
    ) {
        let config = SamplerConfig {
            decision_wait: 10 * SECOND,
            decision_wait_after_root_received: after_root.map(Duration::from_millis),
            num_traces,
            maximum_trace_size,
            sampled_cache_size: 3,
            non_sampled_cache_size: 3,
            span_ingest: true,
            ..SamplerConfig::default()
        };
        let (driver, naive) = run(policies, config, &events);
        agree(&driver, &naive)?;
    }

    /// The same with traces that are complete when they are quiet, classes that yield, and drops that may turn.
    #[test]
    fn patience_agrees_with_the_naive_sampler(
        policies in prop::sample::select(without_limits()),
        events in prop::collection::vec(event(), 1..40),
        num_traces in 1..6_usize,
        caches in (1..4_usize, 1..4_usize),
        after_root in prop::option::of(0..9_000_u64),
        times in (0..6_000_u64, 500..12_000_u64, prop::option::of(1_000..30_000_u64)),
        is_patient in prop::bool::weighted(0.8),
        retain in prop::option::of((0..20_000_u64, 100..5_000_u64)),
        unset in 0..3_usize,
        floor in 0..2_000_u64,
    ) {
        let (wait, idle, age) = times;
        let config = SamplerConfig {
            decision_wait: if is_patient { Duration::from_millis(wait) } else { 10 * SECOND },
            decision_wait_after_root_received: after_root.map(Duration::from_millis),
            idle_timeout: is_patient.then(|| Duration::from_millis(idle)),
            max_trace_age: age.map(Duration::from_millis),
            num_traces,
            sampled_cache_size: caches.0,
            non_sampled_cache_size: caches.1,
            early_keep: false,
            retain_dropped: retain.map(|(time, bytes)| RetainDropped { time: Duration::from_millis(time), bytes }),
            priority: PriorityClasses {
                key: "p".to_owned(),
                order: ["a", "b", "c"].map(str::to_owned).to_vec(),
                unset,
                floors: vec![0, 0, floor],
                ..PriorityClasses::default()
            },
            ..SamplerConfig::default()
        };
        let (driver, naive) = run(policies, config, &events);
        agree(&driver, &naive)?;
    }

    /// With room for all, keeping early keeps the same traces, and each span of them once.
    #[test]
    fn early_keep_keeps_the_same_traces(
        policies in prop::sample::select(POLICIES.to_vec()),
        events in prop::collection::vec(event(), 1..40),
        sample_on_first_match in any::<bool>(),
    ) {
        let config = |early_keep| SamplerConfig {
            // No deadline comes: a late span would be part of one decision and not of the other.
            decision_wait: 1_000_000 * SECOND,
            sampled_cache_size: 100,
            non_sampled_cache_size: 100,
            sample_on_first_match,
            early_keep,
            ..SamplerConfig::default()
        };
        let (early, naive) = run(policies, config(true), &events);
        let mut expected: Vec<_> = naive.sent.iter().map(span_key).collect();
        expected.sort();
        prop_assert!(sent(&early) == expected, "other spans were sent on");
        let verdicts: BTreeMap<_, _> =
            early.decisions.iter().map(|decision| (decision.trace_id.to_vec(), decision)).collect();
        prop_assert_eq!(verdicts.len(), naive.decisions.len());
        for (id, verdict, policy, ..) in &naive.decisions {
            prop_assert_eq!(verdicts[id].verdict, *verdict);
            if sample_on_first_match {
                prop_assert_eq!(verdicts[id].policy.as_deref(), policy.as_deref());
            }
        }
    }

    /// Under any limits, a trace whose verdict is remembered comes out whole and once, or not at all.
    #[test]
    fn all_of_a_trace_or_nothing(
        policies in prop::sample::select(POLICIES.to_vec()),
        events in prop::collection::vec(event(), 1..40),
        num_traces in 1..6_usize,
        memory_limit in prop::option::of(1..400_000_usize),
        early_keep in any::<bool>(),
        drop_pending_traces_on_shutdown in any::<bool>(),
    ) {
        let config = SamplerConfig {
            decision_wait: 10 * SECOND,
            num_traces,
            sampled_cache_size: 100,
            non_sampled_cache_size: 100,
            memory_limit,
            early_keep,
            drop_pending_traces_on_shutdown,
            ..SamplerConfig::default()
        };
        let (driver, naive) = run(policies, config, &events);
        let kept: Vec<_> = driver.decisions.iter().filter(|decision| decision.verdict == Verdict::Kept).collect();
        let kept: Vec<_> = kept.iter().map(|decision| decision.trace_id.to_vec()).collect();
        let mut expected: Vec<_> =
            naive.seen.iter().filter(|span| kept.contains(&span.2.trace_id)).map(span_key).collect();
        expected.sort();
        prop_assert!(sent(&driver) == expected, "other spans were sent on");
        let stats = driver.sampler.stats();
        prop_assert_eq!(stats.spans_accepted, naive.seen.len() as u64);
        prop_assert_eq!((stats.spans_held, stats.bytes_held), (0, 0));
        prop_assert_eq!(stats.spans_kept, expected.len() as u64);
    }

    /// Bytes that are no request do no harm.
    #[test]
    fn malformed_requests_do_not_panic(
        policies in prop::sample::select(POLICIES.to_vec()),
        sketches in prop::collection::vec(sketch(), 1..6),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        random in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let spans: Vec<HeldSpan> = sketches
            .iter()
            .map(|sketch| (sketch.resource, sketch.scope, build(&Sketch { padding: 3, ..sketch.clone() }, 1)))
            .collect();
        let mut request = build_request(&spans);
        for (at, byte) in mutations {
            let at = at.index(request.len());
            request[at] = byte;
        }
        let set = std::sync::Arc::new(crate::compile(&super::support::policies(policies)).unwrap());
        let mut sampler = crate::Sampler::new(SamplerConfig::default(), set, 1);
        let mut out = Vec::new();
        for bytes in [&request[..], &request[..cut.index(request.len())], &random, &request] {
            sampler.ingest(bytes, None, Duration::ZERO, &mut out);
        }
        while sampler.flush(SECOND, &mut out) {}
        let stats = sampler.stats();
        prop_assert_eq!(stats.spans_accepted, stats.spans_kept + stats.spans_dropped);
    }
}
