//! The sampler against a naive one that keeps decoded spans in plain lists.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use proptest::prelude::*;

use super::support::*;
use crate::{PolicyConfig, SamplerConfig, Trigger, Verdict};

/// Policies that between them use every type and combinator.
const POLICIES: [&str; 5] = [
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
}

const TEXTS: [Option<&str>; 5] = [None, None, Some("a"), Some("b"), Some("c")];

fn sketch() -> impl Strategy<Value = Sketch> {
    let place = (0..6_u64, 0..3_usize, 0..2_usize, prop::bool::weighted(0.1));
    let values = (0..TEXTS.len(), -2..6_i64, prop::option::weighted(0.2, any::<bool>()), 0..3_i32);
    let size = (0..50_u64, 0..30_u64, prop_oneof![9 => 0..200_usize, 1 => 30_000..90_000_usize]);
    (place, values, size).prop_map(|((trace, resource, scope, is_root), (p, n, f, status), size)| Sketch {
        trace,
        resource,
        scope,
        is_root,
        p,
        n,
        f,
        status,
        start_ms: size.0,
        length_ms: size.1,
        padding: size.2,
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

fn resource(number: usize) -> Vec<(&'static str, Value)> {
    match number {
        0 => vec![("service.name", text("planner"))],
        1 => vec![("service.name", text("tool")), ("p", text("b"))],
        _ => vec![("n", Value::IntValue(-1))],
    }
}

fn build(sketch: &Sketch, number: u64) -> Span {
    let mut span = if sketch.is_root { root(sketch.trace) } else { span(sketch.trace, 0) };
    span.span_id = (number + 1).to_be_bytes().to_vec();
    span = timed(with_status(span, sketch.status), sketch.start_ms, sketch.start_ms + sketch.length_ms);
    if let Some(value) = TEXTS[sketch.p] {
        span = with(span, "p", text(value));
    }
    if sketch.n >= 0 {
        span = with(span, "n", Value::IntValue(sketch.n));
    }
    if let Some(value) = sketch.f {
        span = with(span, "f", Value::BoolValue(value));
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

type HeldSpan = (usize, usize, Span);

struct NaiveTrace {
    id: Vec<u8>,
    first_seen: u64,
    /// Deadline, and the how manieth root it was.
    root_due: Option<(u64, usize)>,
    spans: Vec<HeldSpan>,
}

/// The reference: lists, searched from the front.
struct Naive {
    policies: Vec<PolicyConfig>,
    config: SamplerConfig,
    now: u64,
    roots: usize,
    held: Vec<NaiveTrace>,
    /// Most recently used last.
    remembered: [VecDeque<Vec<u8>>; 2],
    decisions: Vec<(Vec<u8>, Verdict, Option<String>, usize, Trigger)>,
    sent: Vec<HeldSpan>,
}

impl Naive {
    fn matches(policy: &PolicyConfig, id: &[u8], spans: &[HeldSpan]) -> bool {
        let attribute = |key: &str| -> Vec<Value> {
            let on_resources = spans.iter().flat_map(|(number, ..)| resource(*number));
            let on_resources = on_resources.filter(|(name, _)| *name == key).map(|(_, value)| value);
            let on_spans = spans.iter().flat_map(|(_, _, span)| &span.attributes).filter(|kv| kv.key == key);
            let on_spans = on_spans.filter_map(|kv| kv.value.clone()?.value);
            on_resources.chain(on_spans).collect()
        };
        match policy.r#type.as_str() {
            "always_sample" => true,
            "string_attribute" => {
                let config = policy.string_attribute.as_ref().unwrap();
                let matched = attribute(&config.key).iter().any(|value| match value {
                    Value::StringValue(text) if config.enabled_regex_matching => {
                        config.values.iter().any(|regex| regex::Regex::new(regex).unwrap().is_match(text))
                    }
                    Value::StringValue(text) => config.values.contains(text),
                    _ => false,
                });
                matched != config.invert_match
            }
            "numeric_attribute" => {
                let config = policy.numeric_attribute.as_ref().unwrap();
                let (min, max) = (config.min_value.unwrap_or(i64::MIN), config.max_value.unwrap_or(i64::MAX));
                let inside = |value: &Value| matches!(value, Value::IntValue(n) if (min..=max).contains(n));
                attribute(&config.key).iter().any(inside) != config.invert_match
            }
            "boolean_attribute" => {
                let config = policy.boolean_attribute.as_ref().unwrap();
                attribute(&config.key).contains(&Value::BoolValue(config.value)) != config.invert_match
            }
            "status_code" => {
                let codes = &policy.status_code.as_ref().unwrap().status_codes;
                spans.iter().any(|(_, _, span)| {
                    let code = span.status.as_ref().map_or(0, |status| status.code) as usize;
                    codes.contains(&["UNSET", "OK", "ERROR"][code].to_owned())
                })
            }
            "latency" => {
                let config = policy.latency.as_ref().unwrap();
                let started = || spans.iter().map(|(_, _, s)| s).filter(|span| span.start_time_unix_nano > 0);
                let Some(start) = started().map(|span| span.start_time_unix_nano).min() else { return false };
                let end = started().map(|span| span.end_time_unix_nano).max().unwrap();
                let millis = (end as i64 - start as i64) / 1_000_000;
                let below = config.upper_threshold_ms == 0 || millis <= config.upper_threshold_ms;
                millis > config.threshold_ms && below
            }
            "probabilistic" => {
                let config = policy.probabilistic.as_ref().unwrap();
                let share = crate::probabilistic::Share::new(&config.hash_salt, config.sampling_percentage);
                share.keeps(id.try_into().unwrap())
            }
            "and" => {
                policy.and.as_ref().unwrap().and_sub_policy.iter().all(|sub| Self::matches(sub, id, spans))
            }
            "drop" => {
                policy.drop.as_ref().unwrap().drop_sub_policy.iter().all(|sub| Self::matches(sub, id, spans))
            }
            other => panic!("{other}"),
        }
    }

    fn decide(&mut self, at: usize, trigger: Trigger) {
        let trace = self.held.remove(at);
        let mut matching =
            self.policies.iter().filter(|policy| Self::matches(policy, &trace.id, &trace.spans));
        let all: Vec<_> = matching.by_ref().collect();
        let dropping = all.iter().find(|policy| policy.r#type == "drop");
        let (verdict, policy) = match (dropping, all.first()) {
            (Some(policy), _) => (Verdict::Dropped, Some(policy.name.clone())),
            (None, Some(policy)) => (Verdict::Kept, Some(policy.name.clone())),
            (None, None) => (Verdict::Dropped, None),
        };
        self.decisions.push((trace.id.clone(), verdict, policy, trace.spans.len(), trigger));
        if verdict == Verdict::Kept {
            self.sent.extend(trace.spans);
        }
        let (sampled, not_sampled) = (self.config.sampled_cache_size, self.config.non_sampled_cache_size);
        let (list, size) = if verdict == Verdict::Kept { (0, sampled) } else { (1, not_sampled) };
        self.remembered[list].push_back(trace.id);
        if self.remembered[list].len() > size {
            self.remembered[list].pop_front();
        }
    }

    fn ingest(&mut self, spans: &[HeldSpan]) {
        for span in spans {
            let id = &span.2.trace_id;
            let known = self.remembered.iter().position(|list| list.contains(id));
            if let Some(list) = known {
                self.remembered[list].retain(|other| other != id);
                self.remembered[list].push_back(id.clone());
                if list == 0 {
                    self.sent.push(span.clone());
                }
                continue;
            }
            if !self.held.iter().any(|trace| trace.id == *id) {
                if self.held.len() == self.config.num_traces {
                    self.decide(0, Trigger::EvictedNumTraces);
                }
                let (id, first_seen) = (id.clone(), self.now);
                self.held.push(NaiveTrace { id, first_seen, root_due: None, spans: Vec::new() });
            }
            let (now, wait) = (self.now, self.config.decision_wait_after_root_received);
            let trace = self.held.iter_mut().find(|trace| trace.id == *id).unwrap();
            trace.spans.push(span.clone());
            if let (true, Some(wait)) = (span.2.parent_span_id.is_empty(), wait) {
                self.roots += 1;
                trace.root_due.get_or_insert((now + crate::sampler::nanos(wait), self.roots));
            }
        }
    }

    fn tick(&mut self) {
        loop {
            let now = self.now;
            let rooted = self
                .held
                .iter()
                .enumerate()
                .filter(|(_, trace)| trace.root_due.is_some_and(|(due, _)| due <= now));
            let rooted = rooted.min_by_key(|(_, trace)| trace.root_due).map(|(at, _)| at);
            let wait = crate::sampler::nanos(self.config.decision_wait);
            match (rooted, self.held.first()) {
                (Some(at), _) => self.decide(at, Trigger::RootReceived),
                (None, Some(oldest)) if oldest.first_seen + wait <= now => {
                    self.decide(0, Trigger::DecisionWait)
                }
                _ => break,
            }
        }
    }
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
    let mut naive = Naive {
        policies,
        config,
        now: 0,
        roots: 0,
        held: Vec::new(),
        remembered: Default::default(),
        decisions: Vec::new(),
        sent: Vec::new(),
    };
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
    while !naive.held.is_empty() {
        naive.decide(0, Trigger::Shutdown);
    }
    (driver, naive)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Same verdicts for the same reasons in the same order, and the same spans sent on, byte for byte, once each.
    #[test]
    fn agrees_with_the_naive_sampler(
        policies in prop::sample::select(POLICIES.to_vec()),
        events in prop::collection::vec(event(), 1..40),
        num_traces in 1..6_usize,
        caches in (1..4_usize, 1..4_usize),
        after_root in prop::option::of(0..9_000_u64),
    ) {
        let config = SamplerConfig {
            decision_wait: 10 * SECOND,
            decision_wait_after_root_received: after_root.map(Duration::from_millis),
            num_traces,
            sampled_cache_size: caches.0,
            non_sampled_cache_size: caches.1,
            early_keep: false,
            ..SamplerConfig::default()
        };
        let (driver, naive) = run(policies, config, &events);
        let decisions: Vec<_> = driver.decisions.iter().map(|decision| {
            let policy = decision.policy.as_deref().map(str::to_owned);
            (decision.trace_id.to_vec(), decision.verdict, policy, decision.spans as usize, decision.trigger)
        }).collect();
        prop_assert_eq!(&decisions, &naive.decisions);
        let mut expected: Vec<_> = naive.sent.iter().map(span_key).collect();
        expected.sort();
        prop_assert!(sent(&driver) == expected, "other spans were sent on");
        prop_assert_eq!(driver.sampler.stats().spans_held, 0);
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
}
