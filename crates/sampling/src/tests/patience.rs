//! Traces that are complete when they are done: quiet, or with their root and all parents there.

use std::time::Duration;

use super::support::*;
use crate::{SamplerConfig, Trigger, Verdict};
use opentelemetry_proto::tonic::trace::v1::Span;

const MINUTE: Duration = Duration::from_secs(60);

fn config() -> SamplerConfig {
    SamplerConfig { idle_timeout: Some(5 * MINUTE), early_keep: false, ..SamplerConfig::default() }
}

fn child(trace: u64, number: u64, parent: u64) -> Span {
    Span { parent_span_id: (parent + 1).to_be_bytes().to_vec(), ..span(trace, number) }
}

fn triggers(driver: &Driver) -> Vec<(u8, Trigger)> {
    driver.decisions.iter().map(|decision| (decision.trace_id[15], decision.trigger)).collect()
}

#[test]
fn a_trace_is_decided_when_no_span_has_come_for_idle_timeout() {
    let mut driver = Driver::new(config(), &critical());
    driver.ingest(&request(vec![span(1, 0), span(2, 0)]), Duration::ZERO);
    for minute in (4..180).step_by(4) {
        driver.tick(minute * MINUTE);
        driver.ingest(&request(vec![span(1, u64::from(minute))]), minute * MINUTE);
    }
    assert_eq!(triggers(&driver), [(2, Trigger::Idle)]);
    assert_eq!(driver.decisions[0].decided_at, 8 * MINUTE, "at the first tick after five minutes");
    // Three hours in, the root that comes last makes all of it worth keeping.
    driver.ingest(&request(vec![with(root(1), "task.priority", text("critical"))]), 180 * MINUTE);
    driver.tick(185 * MINUTE - Duration::from_nanos(1));
    assert_eq!(driver.decisions.len(), 1);
    assert_eq!(driver.sampler.next_deadline(), Some(185 * MINUTE));
    driver.tick(185 * MINUTE);
    assert_eq!(triggers(&driver), [(2, Trigger::Idle), (1, Trigger::Idle)]);
    assert_eq!(driver.kept()[&id(1).to_vec()].len(), 46);
    assert_eq!(driver.sampler.next_deadline(), None);
}

#[test]
fn decision_wait_is_the_least_and_max_trace_age_the_greatest_age() {
    let config = SamplerConfig {
        decision_wait: 10 * MINUTE,
        max_trace_age: Some(60 * MINUTE),
        idle_timeout: Some(MINUTE),
        ..config()
    };
    let mut driver = Driver::new(config, &critical());
    driver.ingest(&request(vec![span(1, 0), span(2, 0)]), Duration::ZERO);
    driver.tick(9 * MINUTE);
    assert!(driver.decisions.is_empty());
    let half = Duration::from_secs(30);
    for step in 19..120 {
        driver.ingest(&request(vec![span(1, u64::from(step))]), step * half);
        driver.tick(step * half);
    }
    assert_eq!(triggers(&driver), [(2, Trigger::Idle)]);
    driver.tick(60 * MINUTE);
    assert_eq!(triggers(&driver), [(2, Trigger::Idle), (1, Trigger::MaxTraceAge)]);
    assert_eq!(driver.decisions[0].decided_at, 10 * MINUTE);
}

#[test]
fn after_its_root_a_trace_waits_for_the_parents_that_are_named() {
    let after_root = Some(2 * SECOND);
    let config = SamplerConfig { decision_wait_after_root_received: after_root, ..config() };
    let mut driver = Driver::new(config, &critical());
    // 2 is a child of 1, which is a child of the root (0); 1 ends after the root.
    driver.ingest(&request(vec![child(1, 2, 1), root(1)]), Duration::ZERO);
    driver.ingest(&request(vec![root(7)]), Duration::ZERO);
    driver.tick(2 * SECOND);
    assert_eq!(triggers(&driver), [(7, Trigger::RootReceived)]);
    driver.tick(60 * SECOND);
    assert_eq!(driver.decisions.len(), 1, "span 1 has not come");
    driver.ingest(&request(vec![child(1, 3, 9)]), 61 * SECOND);
    driver.ingest(&request(vec![child(1, 1, 0)]), 62 * SECOND);
    driver.tick(64 * SECOND);
    assert_eq!(driver.decisions.len(), 1, "span 9 has been named meanwhile");
    driver.ingest(&request(vec![child(1, 9, 0)]), 70 * SECOND);
    driver.tick(72 * SECOND);
    assert_eq!(triggers(&driver)[1..], [(1, Trigger::RootReceived)]);
    assert_eq!(driver.decisions[1].spans, 5);
}

#[test]
fn a_parent_that_never_comes_leaves_the_trace_to_idle_timeout() {
    let config = SamplerConfig { decision_wait_after_root_received: Some(SECOND), ..config() };
    let mut driver = Driver::new(config, &critical());
    driver.ingest(&request(vec![child(1, 2, 5), root(1)]), Duration::ZERO);
    driver.tick(5 * MINUTE);
    assert_eq!(triggers(&driver), [(1, Trigger::Idle)]);
}

#[test]
fn an_early_kept_trace_streams_until_max_trace_age() {
    let config = SamplerConfig { early_keep: true, max_trace_age: Some(60 * MINUTE), ..config() };
    let mut driver = Driver::new(config, &critical());
    driver.ingest(&request(vec![with(span(1, 0), "task.priority", text("high"))]), Duration::ZERO);
    driver.ingest(&request(vec![span(1, 1)]), 59 * MINUTE);
    driver.ingest(&request(vec![span(1, 2)]), 61 * MINUTE);
    let streamed: Vec<_> = driver.late.iter().map(|late| late.streamed).collect();
    assert_eq!(streamed, [true, false]);
    assert_eq!(driver.kept()[&id(1).to_vec()], [0, 1, 2]);
    assert_eq!(driver.decisions[0].verdict, Verdict::Kept);
}

#[test]
fn one_trace_that_stays_for_days_leaves_nothing_behind_of_those_that_passed() {
    let caches = SamplerConfig { sampled_cache_size: 1_000, non_sampled_cache_size: 1_000, ..config() };
    let mut driver = Driver::new(caches, &critical());
    let mut memory = 0;
    for round in 0..200_u64 {
        let now = round as u32 * MINUTE;
        let mut spans: Vec<_> = (0..200).map(|n| span(10 + round * 200 + n, n)).collect();
        spans.push(span(1, round));
        driver.ingest(&request(spans), now);
        driver.tick(now);
        if round == 100 {
            memory = driver.sampler.stats().memory;
        }
    }
    assert!(driver.sampler.stats().traces_held <= 6 * 200 + 1);
    let grown = driver.sampler.stats().memory.saturating_sub(memory);
    // A segment or two that it keeps from being emptied, too few to be worth compacting.
    assert!(grown < 4 << 20, "{grown}");
    let oldest = driver.sampler.stats().oldest_first_seen;
    assert_eq!(oldest, Some(Duration::ZERO));
}

#[test]
fn thousands_of_missing_parents_are_ticked_off_in_any_order() {
    let config = SamplerConfig { decision_wait_after_root_received: Some(SECOND), ..config() };
    let mut driver = Driver::new(config, &critical());
    let orphans = (0..5_000).map(|number| child(1, 10_000 + number, number + 1));
    driver.ingest(&request(orphans.chain([root(1)]).collect()), Duration::ZERO);
    driver.tick(SECOND);
    let mut parents: Vec<_> = (0..5_000).map(|number| child(1, (number * 7) % 5_000 + 1, 0)).collect();
    let last = parents.pop().unwrap();
    driver.ingest(&request(parents), 2 * SECOND);
    driver.tick(10 * SECOND);
    assert!(driver.decisions.is_empty());
    driver.ingest(&request(vec![last]), 20 * SECOND);
    driver.tick(21 * SECOND);
    assert_eq!(triggers(&driver), [(1, Trigger::RootReceived)]);
}
