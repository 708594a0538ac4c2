//! Drops that are provisional: a late span may still bring the whole trace out.

use std::time::Duration;

use super::support::*;
use crate::{PriorityClasses, Reason, RetainDropped, SamplerConfig, Trigger, Verdict};

fn config(bytes: u64) -> SamplerConfig {
    SamplerConfig {
        early_keep: false,
        retain_dropped: Some(RetainDropped { time: 600 * SECOND, bytes }),
        ..SamplerConfig::default()
    }
}

fn urgent(trace: u64, number: u64) -> opentelemetry_proto::tonic::trace::v1::Span {
    with(span(trace, number), "task.priority", text("critical"))
}

#[test]
fn a_late_span_that_a_policy_matches_brings_out_the_whole_trace() {
    let mut driver = Driver::new(config(1 << 20), &critical());
    driver.ingest(&request(vec![span(1, 0), span(2, 0), span(1, 1)]), Duration::ZERO);
    driver.tick(30 * SECOND);
    let first = &driver.decisions[0];
    assert_eq!((first.verdict, first.retained_until), (Verdict::Dropped, Some(630 * SECOND)));
    assert_eq!((driver.sampler.stats().spans_held, driver.sampler.stats().spans_retained), (0, 3));
    driver.ingest(&request(vec![span(1, 2)]), 100 * SECOND);
    assert_eq!((driver.late[0].verdict, driver.late[0].retained), (Verdict::Dropped, true));
    assert_eq!(driver.late[0].age, 70 * SECOND);
    assert!(driver.kept().is_empty());
    driver.ingest(&request(vec![urgent(1, 3)]), 200 * SECOND);
    assert_eq!(driver.kept()[&id(1).to_vec()], [0, 1, 2, 3]);
    let turned = driver.decisions.last().unwrap();
    assert_eq!((turned.trigger, turned.verdict, turned.spans), (Trigger::LateSpans, Verdict::Kept, 4));
    assert_eq!(turned.policy.as_deref(), Some("important"));
    assert_eq!(driver.sampler.stats().verdict_changes, 1);
    // From then on it is a kept trace.
    driver.ingest(&request(vec![span(1, 4)]), 201 * SECOND);
    assert_eq!(driver.kept()[&id(1).to_vec()].len(), 5);
    driver.tick(630 * SECOND);
    let stats = driver.sampler.stats();
    assert_eq!((stats.spans_retained, stats.spans_dropped, stats.traces_dropped), (0, 1, 1));
    driver.ingest(&request(vec![urgent(2, 1)]), 631 * SECOND);
    assert_eq!(driver.sampler.stats().spans_late_dropped, 1, "its time is over, the verdict stands");
    assert_eq!(driver.sampler.next_deadline(), None);
}

#[test]
fn beyond_its_bytes_the_lowest_class_goes_first() {
    let of = |trace, value: &str| with(span(trace, 0), "p", text(value));
    let all = [of(1, "low"), of(2, "high"), of(3, "low"), of(4, "normal")];
    let bytes: usize = all.iter().map(prost::Message::encoded_len).sum();
    let priority = PriorityClasses { key: "p".to_owned(), ..PriorityClasses::default() };
    let errors = policies(
        r#"[{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]"#,
    );
    let mut driver = Driver::new(SamplerConfig { priority, ..config(bytes as u64 - 1) }, &errors);
    driver.ingest(&request(all.to_vec()), Duration::ZERO);
    driver.tick(30 * SECOND);
    driver.ingest(&request((1..5).map(|trace| with_status(span(trace, 1), 2)).collect()), 31 * SECOND);
    let kept: Vec<_> = driver.kept().into_keys().map(|id| id[15]).collect();
    assert_eq!(kept, [2, 3, 4], "the first of the low ones had to go");
}

#[test]
fn what_is_dropped_for_good_is_not_retained() {
    let drop = policies(
        r#"[{"name": "d", "type": "drop", "drop": {"drop_sub_policy": [
            {"type": "string_attribute", "string_attribute": {"key": "k", "values": ["x"]}}]}},
           {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]"#,
    );
    let mut driver = Driver::new(config(1 << 20), &drop);
    driver.ingest(&request(vec![with(span(1, 0), "k", text("x")), span(2, 0)]), Duration::ZERO);
    driver.tick(30 * SECOND);
    let retained: Vec<_> =
        driver.decisions.iter().map(|decision| decision.retained_until.is_some()).collect();
    assert_eq!(retained, [false, true]);
    // A drop policy that matches late settles it for good.
    driver.ingest(&request(vec![with(span(2, 1), "k", text("x"))]), 31 * SECOND);
    let last = driver.decisions.last().unwrap();
    assert_eq!((last.reason, last.trigger), (Reason::DroppedByPolicy, Trigger::LateSpans));
    driver.ingest(&request(vec![with_status(span(2, 2), 2)]), 32 * SECOND);
    assert!(driver.kept().is_empty());
    assert_eq!(driver.sampler.stats().verdict_changes, 0);
}

#[test]
fn a_limit_that_refused_a_trace_does_not_take_it_back_for_a_late_span() {
    let limited = policies(
        r#"[{"name": "some", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 1, "burst_capacity": 2}},
           {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]"#,
    );
    let mut driver = Driver::new(config(1 << 20), &limited);
    driver.ingest(&request(vec![span(1, 0), span(1, 1), span(2, 0)]), Duration::ZERO);
    driver.tick(30 * SECOND);
    assert_eq!(driver.kept().into_keys().map(|id| id[15]).collect::<Vec<_>>(), [1]);
    driver.ingest(&request(vec![span(2, 1)]), 90 * SECOND);
    assert_eq!(driver.kept().len(), 1, "the bucket is full again, but nothing new is known of the trace");
    driver.ingest(&request(vec![with_status(span(2, 2), 2)]), 91 * SECOND);
    assert_eq!(driver.kept()[&id(2).to_vec()], [0, 1, 2]);
}

#[test]
fn a_stop_and_short_memory_end_retention() {
    let mut driver = Driver::new(config(1 << 20), &critical());
    driver.ingest(&request(vec![span(1, 0)]), Duration::ZERO);
    driver.tick(30 * SECOND);
    driver.ingest(&request(vec![span(2, 0)]), 31 * SECOND);
    driver.flush(32 * SECOND);
    let stats = driver.sampler.stats();
    assert_eq!((stats.spans_retained, stats.spans_held, stats.spans_dropped), (0, 0, 2));
    assert_eq!(driver.decisions[1].retained_until, None);

    // Undecided traces are worth more than dropped ones.
    let limit = 1 << 20;
    let mut driver = Driver::new(SamplerConfig { memory_limit: Some(limit), ..config(1 << 20) }, &critical());
    let filled = |trace| with(span(trace, 0), "filler", text(&"x".repeat(1_000)));
    driver.ingest(&request((0..400).map(filled).collect()), Duration::ZERO);
    driver.tick(30 * SECOND);
    assert_eq!(driver.sampler.stats().traces_retained, 400);
    driver.ingest(&request((400..1_000).map(filled).collect()), 31 * SECOND);
    let stats = driver.sampler.stats();
    assert_eq!((stats.traces_held, stats.traces_evicted), (600, 0));
    assert!(stats.traces_retained < 400, "{}", stats.traces_retained);
}

#[test]
fn a_retained_trace_that_grows_too_large_is_let_go() {
    let config = SamplerConfig { maximum_trace_size: Some(1_000), ..config(1 << 20) };
    let mut driver = Driver::new(config, &critical());
    driver.ingest(&request(vec![span(1, 0)]), Duration::ZERO);
    driver.tick(30 * SECOND);
    assert_eq!(driver.sampler.stats().traces_retained, 1);
    let padded = with(span(1, 1), "filler", text(&"x".repeat(1_000)));
    driver.ingest(&request(vec![padded, urgent(1, 2)]), 31 * SECOND);
    let stats = driver.sampler.stats();
    assert_eq!((stats.traces_retained, stats.verdict_changes, stats.spans_dropped), (0, 0, 3));
}

#[test]
fn what_comes_after_retention_is_late_since_the_verdict() {
    let mut driver = Driver::new(config(1 << 20), &critical());
    driver.ingest(&request(vec![span(1, 0)]), Duration::ZERO);
    driver.tick(30 * SECOND);
    driver.tick(630 * SECOND);
    driver.ingest(&request(vec![span(1, 1)]), 640 * SECOND);
    assert_eq!((driver.late[0].retained, driver.late[0].age), (false, 610 * SECOND));
}

#[test]
fn many_small_retained_traces_take_little_beside_their_entries() {
    let caches = SamplerConfig { sampled_cache_size: 1, non_sampled_cache_size: 1, ..config(1 << 30) };
    let mut driver = Driver::new(SamplerConfig { num_traces: 1_000_000, ..caches }, &critical());
    driver.ingest(&request((0..50_000).map(|trace| span(trace, 0)).collect()), Duration::ZERO);
    let undecided = driver.sampler.stats().memory;
    driver.tick(30 * SECOND);
    let stats = driver.sampler.stats();
    assert_eq!(stats.traces_retained, 50_000);
    let each = (stats.memory - undecided) / 50_000;
    assert!(each < 200, "{each}");
}

#[test]
fn the_end_of_many_retentions_falls_in_steps() {
    let mut driver = Driver::new(config(1 << 30), &critical());
    driver.ingest(&request((0..40_000).map(|trace| span(trace, 0)).collect()), Duration::ZERO);
    driver.tick(30 * SECOND);
    assert_eq!(driver.sampler.stats().traces_retained, 40_000);
    let mut out = Vec::new();
    driver.sampler.tick(630 * SECOND, &mut out);
    let left = driver.sampler.stats().traces_retained;
    assert!((1..39_000).contains(&left), "{left}");
    assert!(driver.sampler.next_deadline().is_some_and(|due| due <= 630 * SECOND));
    driver.tick(630 * SECOND);
    assert_eq!(driver.sampler.stats().spans_dropped, 40_000);
}
