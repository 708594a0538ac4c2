//! Priority classes: the lowest yields first.

use std::time::Duration;

use super::support::*;
use crate::{PriorityClasses, SamplerConfig, Trigger, Verdict};
use opentelemetry_proto::tonic::trace::v1::Span;

fn of(trace: u64, number: u64, value: &str) -> Span {
    with(span(trace, number), "task.priority", text(value))
}

fn errors() -> Vec<crate::PolicyConfig> {
    policies(r#"[{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]"#)
}

fn evicted(driver: &Driver) -> Vec<u8> {
    let evictions = driver.decisions.iter().filter(|decision| decision.trigger.is_eviction());
    evictions.map(|decision| decision.trace_id[15]).collect()
}

#[test]
fn the_lowest_class_yields_first_and_in_it_what_came_first() {
    let config = SamplerConfig { num_traces: 4, ..SamplerConfig::default() };
    let mut driver = Driver::new(config, &errors());
    let spans = vec![of(1, 0, "low"), of(2, 0, "critical"), span(3, 0), of(4, 0, "low")];
    driver.ingest(&request(spans), Duration::ZERO);
    for trace in 5..9 {
        driver.ingest(&request(vec![of(trace, 0, "high")]), SECOND);
    }
    assert_eq!(evicted(&driver), [1, 4, 3, 5], "without a priority a trace is of class normal");
    let traces: Vec<_> = driver.sampler.evictions().iter().map(|class| class.traces).collect();
    assert_eq!(traces, [0, 1, 1, 2]);
}

#[test]
fn a_trace_counts_to_the_highest_priority_seen_on_it_or_its_resources() {
    let config = SamplerConfig { num_traces: 2, ..SamplerConfig::default() };
    let mut driver = Driver::new(config, &errors());
    driver.ingest(&request(vec![of(1, 0, "low"), of(2, 0, "normal")]), Duration::ZERO);
    let resource = [("task.priority", text("high"))];
    driver.ingest(&encode(vec![resource_spans(&resource, "sdk", vec![of(1, 1, "low")])]), SECOND);
    driver.ingest(&request(vec![span(3, 0)]), 2 * SECOND);
    assert_eq!(evicted(&driver), [2]);
    assert_eq!(driver.decisions[0].priority.as_deref(), Some("normal"));
}

#[test]
fn with_idle_timeout_what_is_quiet_yields_before_what_is_under_way() {
    let config =
        SamplerConfig { num_traces: 3, idle_timeout: Some(600 * SECOND), ..SamplerConfig::default() };
    let mut driver = Driver::new(config, &errors());
    driver.ingest(&request(vec![span(1, 0), span(2, 0), span(3, 0)]), Duration::ZERO);
    driver.ingest(&request(vec![span(1, 1)]), SECOND);
    for trace in 4..6 {
        driver.ingest(&request(vec![span(trace, 0)]), 2 * SECOND);
    }
    assert_eq!(evicted(&driver), [2, 3]);
}

#[test]
fn floors_hold_and_budgets_bind() {
    let size = prost::Message::encoded_len(&of(1, 0, "low")) as u64;
    let priority = PriorityClasses {
        floors: vec![0, 0, 0, 2 * size],
        budgets: vec![None, Some(3 * (size + 1)), None, None],
        ..PriorityClasses::default()
    };
    let config = SamplerConfig { num_traces: 6, priority, ..SamplerConfig::default() };
    let mut driver = Driver::new(config, &errors());
    let low = (1..4).map(|trace| of(trace, 0, "low")).collect();
    driver.ingest(&request(low), Duration::ZERO);
    for trace in 4..9 {
        driver.ingest(&request(vec![of(trace, 0, "normal")]), SECOND);
    }
    assert_eq!(evicted(&driver), [1, 4], "two low ones are within their floor");
    assert!(driver.decisions.iter().all(|decision| decision.trigger == Trigger::EvictedNumTraces));
    for trace in 10..16 {
        driver.ingest(&request(vec![of(trace, 0, "high")]), 2 * SECOND);
    }
    let by_budget: Vec<_> = driver
        .decisions
        .iter()
        .filter(|decision| decision.trigger == Trigger::EvictedClassBudget)
        .map(|decision| decision.trace_id[15])
        .collect();
    assert_eq!(by_budget, [10, 11, 12], "the class makes room for its own");
}

#[test]
fn a_limit_leaves_a_part_of_the_burst_to_higher_classes() {
    let limited = policies(
        r#"[{"name": "some", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 1, "burst_capacity": 8}}]"#,
    );
    for limits in [false, true] {
        let priority = PriorityClasses { limits, ..PriorityClasses::default() };
        let mut driver = Driver::new(SamplerConfig { priority, ..SamplerConfig::default() }, &limited);
        let low = (0..12).map(|trace| of(trace, 0, "low"));
        let critical = (20..32).map(|trace| of(trace, 0, "critical"));
        driver.ingest(&request(low.chain(critical).collect()), Duration::ZERO);
        driver.tick(30 * SECOND);
        let kept = driver.decisions.iter().filter(|decision| decision.verdict == Verdict::Kept);
        let (low, critical): (Vec<_>, Vec<_>) = kept.partition(|decision| decision.trace_id[15] < 20);
        assert_eq!((low.len(), critical.len()), if limits { (2, 6) } else { (8, 0) });
    }
}

#[test]
fn under_a_byte_budget_the_critical_stay_whole() {
    let limit = 2 << 20;
    let config = SamplerConfig { memory_limit: Some(limit), early_keep: false, ..SamplerConfig::default() };
    let mut driver = Driver::new(config, &critical());
    let filler = "x".repeat(500);
    for number in 0..200 {
        let mut spans: Vec<_> =
            (0..50).map(|n| with(of(1_000 + number * 50 + n, 0, "low"), "filler", text(&filler))).collect();
        spans.push(with(of(number % 5, number, "critical"), "filler", text(&filler)));
        driver.ingest(&request(spans), Duration::ZERO);
        let stats = driver.sampler.stats();
        assert!(stats.memory < limit + (3 << 20), "{}", stats.memory);
    }
    // Long-lived records among short-lived ones: dead space is taken back, not held against the living.
    assert!(driver.sampler.stats().bytes_held > limit as u64 / 10 * 6);
    driver.flush(SECOND);
    let critical = driver.kept();
    assert_eq!(critical.len(), 5);
    assert!(critical.values().all(|spans| spans.len() == 40));
    let by_class: Vec<_> = driver.sampler.evictions().iter().map(|class| class.traces).collect();
    assert_eq!((by_class[0], by_class[1], by_class[2]), (0, 0, 0));
}

#[test]
fn a_trace_of_a_quarter_of_the_memory_is_decided_and_never_stops_the_others() {
    let limit = 4 << 20;
    let config = SamplerConfig { memory_limit: Some(limit), early_keep: false, ..SamplerConfig::default() };
    let mut driver = Driver::new(config, &critical());
    let filler = "x".repeat(1_000);
    for number in 0..3_000 {
        let giant = with(of(1, number, "critical"), "filler", text(&filler));
        driver.ingest(&request(vec![giant, span(2, number)]), Duration::ZERO);
    }
    let [decision] = &driver.decisions[..] else { panic!("{:?}", driver.decisions.len()) };
    assert_eq!((decision.trace_id[15], decision.trigger), (1, Trigger::EvictedTraceSize));
    assert_eq!(driver.kept()[&id(1).to_vec()].len(), 3_000, "what comes after follows the verdict");
    driver.flush(SECOND);
    assert_eq!(driver.decisions[1].spans, 3_000);
}
