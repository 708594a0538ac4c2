//! Batches evaluated by themselves as they come.

use std::time::Duration;

use super::support::*;
use crate::{Reason, SamplerConfig, Trigger, Verdict, compile};

fn driver(policies: &str) -> Driver {
    let config = SamplerConfig { span_ingest: true, ..SamplerConfig::default() };
    Driver::new(config, &super::support::policies(policies))
}

const ERRORS: &str =
    r#"{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}"#;

const HEALTH: &str = r#"{"name": "health", "type": "drop", "drop": {"drop_sub_policy": [
    {"type": "string_attribute", "string_attribute": {"key": "path", "values": ["/health"]}}]}}"#;

fn error(trace: u64, number: u64) -> opentelemetry_proto::tonic::trace::v1::Span {
    with_status(span(trace, number), 2)
}

#[test]
fn the_first_batch_that_matches_keeps_the_whole_trace_at_once() {
    let mut driver = driver(&format!("[{ERRORS}]"));
    driver.ingest(&request(vec![span(1, 0), span(2, 0)]), Duration::ZERO);
    driver.ingest(&request(vec![span(1, 1), error(1, 2), span(1, 3)]), SECOND);
    assert_eq!(driver.decisions.len(), 1);
    assert_eq!((driver.decisions[0].trigger, driver.decisions[0].spans), (Trigger::SpanIngest, 4));
    assert_eq!(driver.decisions[0].evidence.as_ref().unwrap().value, "ERROR");
    driver.ingest(&request(vec![span(1, 4)]), 2 * SECOND);
    assert_eq!(driver.kept()[id(1).as_slice()], [0, 1, 2, 3, 4]);
    // What no batch settled is dropped when it is due.
    driver.tick(30 * SECOND);
    let last = driver.decisions.last().unwrap();
    assert_eq!(
        (last.verdict, last.reason, last.trigger),
        (Verdict::Dropped, Reason::NoPolicyMatched, Trigger::DecisionWait)
    );
}

#[test]
fn a_batch_is_evaluated_by_itself_but_spans_are_counted_over_all() {
    let both = r#"[{"name": "both", "type": "and", "and": {"and_sub_policy": [
        {"type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
        {"type": "string_attribute", "string_attribute": {"key": "k", "values": ["x"]}}]}}]"#;
    let marked = |number| with(span(1, number), "k", text("x"));
    let mut apart = driver(both);
    apart.ingest(&request(vec![error(1, 0)]), Duration::ZERO);
    apart.ingest(&request(vec![marked(1)]), Duration::ZERO);
    // Two resources are two batches, too.
    let resource = |name: &str, span| resource_spans(&[("service.name", text(name))], "sdk", vec![span]);
    apart.ingest(&encode(vec![resource("a", error(1, 2)), resource("b", marked(3))]), Duration::ZERO);
    assert!(apart.decisions.is_empty());
    let mut together = driver(both);
    together.ingest(&request(vec![error(1, 0), span(2, 0), marked(1)]), Duration::ZERO);
    assert_eq!(together.decisions.len(), 1);
    let mut counted =
        driver(r#"[{"name": "several", "type": "span_count", "span_count": {"min_spans": 3}}]"#);
    for number in 0..3 {
        assert!(counted.decisions.is_empty());
        counted.ingest(&request(vec![span(1, number)]), Duration::ZERO);
    }
    assert_eq!(counted.decisions[0].verdict, Verdict::Kept);
}

#[test]
fn with_a_drop_policy_traces_are_still_kept() {
    let mut driver = driver(&format!("[{ERRORS}, {HEALTH}]"));
    let health = |trace| with(span(trace, 9), "path", text("/health"));
    driver.ingest(&request(vec![error(1, 0), error(2, 0), span(3, 0)]), Duration::ZERO);
    assert!(driver.decisions.is_empty(), "a later batch may still be dropped");
    driver.ingest(&request(vec![health(2), span(1, 1)]), SECOND);
    assert_eq!(driver.decisions.len(), 1);
    let dropped = driver.decisions.remove(0);
    assert_eq!(
        (dropped.trace_id, dropped.reason, dropped.trigger),
        (id(2), Reason::DroppedByPolicy, Trigger::SpanIngest)
    );
    driver.tick(30 * SECOND);
    let kept = &driver.decisions[0];
    assert_eq!((kept.trace_id, kept.verdict, kept.policy.as_deref()), (id(1), Verdict::Kept, Some("errors")));
    assert_eq!(driver.decisions[1].verdict, Verdict::Dropped);
    assert_eq!(driver.kept().len(), 1);
}

#[test]
fn an_evicted_trace_is_evaluated_with_the_batch_that_it_is_in() {
    let config = SamplerConfig { span_ingest: true, num_traces: 1, ..SamplerConfig::default() };
    let mut driver = Driver::new(config, &policies(&format!("[{ERRORS}]")));
    driver.ingest(&request(vec![error(1, 0), span(2, 0)]), Duration::ZERO);
    assert_eq!(
        (driver.decisions[0].verdict, driver.decisions[0].trigger),
        (Verdict::Kept, Trigger::EvictedNumTraces)
    );
}

#[test]
fn policies_that_need_whole_traces_are_told() {
    let needing = |policies: &str| -> Vec<usize> {
        compile(&super::support::policies(policies)).unwrap().need_whole_traces().collect()
    };
    let max = r#"{"name": "max", "type": "span_count", "span_count": {"max_spans": 3}}"#;
    let min = r#"{"name": "min", "type": "span_count", "span_count": {"min_spans": 3}}"#;
    let upper =
        r#"{"name": "upper", "type": "latency", "latency": {"threshold_ms": 1, "upper_threshold_ms": 3}}"#;
    let rate = r#"{"name": "rate", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 3}}"#;
    let within = |policy: &str| {
        format!(
            r#"{{"name": "drop", "type": "drop", "drop": {{"drop_sub_policy": [
                {{"type": "not", "not": {{"not_sub_policy": {policy}}}}}]}}}}"#
        )
    };
    let composite = |policy: &str| {
        format!(
            r#"{{"name": "composite", "type": "composite", "composite":
                {{"max_total_spans_per_second": 5, "composite_sub_policy": [{policy}]}}}}"#
        )
    };
    assert_eq!(needing(&format!("[{min}, {max}, {upper}, {rate}]")), [1, 2, 3]);
    // Drop policies are evaluated first, and named by their place.
    assert_eq!(needing(&format!("[{min}, {}]", within(max))), [1]);
    assert_eq!(needing(&format!("[{}]", within(min))), [] as [usize; 0]);
    assert_eq!(needing(&format!("[{}]", composite(min))), [] as [usize; 0]);
    assert_eq!(needing(&format!("[{}]", composite(rate))), [0]);
}
