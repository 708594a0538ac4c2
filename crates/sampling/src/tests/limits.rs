//! Policies that let through so much a second.

use std::time::Duration;

use super::support::*;
use crate::{SamplerConfig, Trigger, Verdict};

const WAIT: Duration = Duration::from_secs(1);

fn config(shards: usize) -> SamplerConfig {
    SamplerConfig { decision_wait: WAIT, shards, ..SamplerConfig::default() }
}

/// Traces of so many spans, each a second before its decision; which are kept.
fn kept_over(policy: &str, shards: usize, traces: &[(u64, u64)]) -> Vec<bool> {
    let mut driver = Driver::new(config(shards), &policies(&format!("[{policy}]")));
    for (number, &(at_ms, spans)) in traces.iter().enumerate() {
        let spans = (0..spans).map(|span_number| span(number as u64, span_number)).collect();
        let at = Duration::from_millis(at_ms);
        decide_until(&mut driver, at);
        driver.ingest(&request(spans), at);
    }
    decide_until(&mut driver, Duration::MAX);
    driver.decisions.iter().map(|decision| decision.verdict == Verdict::Kept).collect()
}

/// Decides what is due, each trace at its time.
fn decide_until(driver: &mut Driver, until: Duration) {
    while let Some(deadline) = driver.sampler.next_deadline().filter(|deadline| *deadline <= until) {
        driver.tick(deadline);
    }
}

fn rate(keys: &str) -> String {
    format!(r#"{{"name": "p", "type": "rate_limiting", "rate_limiting": {{{keys}}}}}"#)
}

#[test]
fn rate_limiting_is_a_bucket_that_starts_full_and_refills() {
    let policy = rate(r#""spans_per_second": 2, "burst_capacity": 6"#);
    let traces = [
        (0, 4),
        (0, 3),
        (0, 2),
        (0, 1),
        (499, 1),
        (500, 1),
        (3_000, 5),
        (3_000, 1),
        (60_000, 7),
        (60_000, 6),
    ];
    let kept = kept_over(&policy, 1, &traces);
    assert_eq!(kept, [true, false, true, false, false, true, true, false, false, true]);
    // Twice the rate at once when not set.
    for keys in [r#""spans_per_second": 3"#, r#""spans_per_second": 3, "burst_capacity": -1"#] {
        assert_eq!(kept_over(&rate(keys), 1, &[(0, 7), (0, 6), (0, 1)]), [false, true, false]);
    }
}

#[test]
fn bytes_limiting_counts_encoded_bytes() {
    // As a request of its own: 23 + 5 bytes of resource and scope, and spans of 71.
    let one = vec![with_status(span(1, 0), 1)];
    let mut resource_spans = resource_spans(&[("service.name", text("planner"))], "sdk", one);
    resource_spans.schema_url.clear();
    resource_spans.scope_spans[0].schema_url.clear();
    let size = encode(vec![resource_spans]).len() as u64;
    let kept = |limit: u64, burst: u64, requests: u64| {
        let policy = format!(
            r#"[{{"name": "p", "type": "bytes_limiting",
                "bytes_limiting": {{"bytes_per_second": {limit}, "burst_capacity": {burst}}}}}]"#
        );
        let mut driver = Driver::new(config(1), &policies(&policy));
        for number in 0..requests {
            driver.ingest(&request(vec![with_status(span(1, number), 1)]), Duration::ZERO);
        }
        driver.tick(WAIT);
        driver.decisions[0].verdict == Verdict::Kept
    };
    assert!(kept(1, size, 1));
    assert!(!kept(1, size - 1, 1));
    // The resource counts once for each request it came in.
    assert!(kept(1, 3 * size, 3));
    assert!(!kept(1, 3 * size - 1, 3));
    // Twice the rate when not set.
    assert!(kept(size.div_ceil(2), 0, 1));
    assert!(!kept((size - 1) / 2, 0, 1));
}

#[test]
fn a_limit_is_drawn_from_only_when_it_is_asked() {
    let both = policies(
        r#"[{"name": "errors", "type": "and", "and": {"and_sub_policy": [
            {"type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            {"type": "rate_limiting", "rate_limiting": {"spans_per_second": 1, "burst_capacity": 1}}]}}]"#,
    );
    let mut driver = Driver::new(config(1), &both);
    for (trace, status) in [(1, 1), (2, 2), (3, 2)] {
        driver.ingest(&request(vec![with_status(span(trace, 0), status)]), Duration::ZERO);
    }
    driver.tick(WAIT);
    let verdicts: Vec<_> = driver.decisions.iter().map(|decision| decision.verdict).collect();
    assert_eq!(verdicts, [Verdict::Dropped, Verdict::Kept, Verdict::Dropped]);
    let fact = driver.decisions[1].evidence.clone().unwrap();
    assert_eq!((&*fact.key, &*fact.value), ("status.code", "ERROR"));
}

#[test]
fn shards_share_a_rate_evenly_and_one_trace_may_use_the_whole_burst() {
    let policy = rate(r#""spans_per_second": 4, "burst_capacity": 8"#);
    // A quarter: bursts of 2, then one span a second.
    assert_eq!(kept_over(&policy, 4, &[(0, 1), (0, 1), (0, 1), (1_000, 1)]), [true, true, false, true]);
    // A trace of 8 fits the limit: it passes once the part is full, and what it took is made good first.
    let traces = [(0, 9), (0, 8), (6_900, 1), (7_000, 1), (60_000, 1), (60_000, 8), (61_000, 8)];
    assert_eq!(kept_over(&policy, 4, &traces), [false, true, false, true, true, false, true]);
    // In the long run the parts add up to the rate, whatever the traces' sizes.
    for size in [1, 2, 3, 8] {
        let traces: Vec<_> = (0..4_000).map(|n| (n * 50, size)).collect();
        let kept = kept_over(&policy, 4, &traces).iter().filter(|kept| **kept).count() as f64;
        let a_second = kept * size as f64 / 200.0;
        assert!((0.9..=1.05).contains(&a_second), "{size}: {a_second}");
    }
}

#[test]
fn nothing_is_kept_early_that_a_limit_would_be_asked_about() {
    let trigger = |policy: &str, sample_on_first_match| {
        let config = SamplerConfig { sample_on_first_match, ..config(1) };
        let mut driver = Driver::new(config, &policies(policy));
        driver.ingest(&request(vec![span(1, 0)]), Duration::ZERO);
        driver.tick(WAIT);
        driver.decisions[0].trigger
    };
    let all = r#"{"name": "all", "type": "always_sample"}"#;
    let rate = rate(r#""spans_per_second": 9"#);
    // Without first match, the limit is asked about traces that others keep too.
    assert_eq!(trigger(&format!("[{all}, {rate}]"), false), Trigger::DecisionWait);
    assert_eq!(trigger(&format!("[{all}, {rate}]"), true), Trigger::EarlyKeep);
    assert_eq!(trigger(&format!("[{rate}, {all}]"), true), Trigger::DecisionWait);
}

/// Sizes that the collector's library gives for the same requests, trace by trace.
#[test]
fn encoded_sizes_are_the_collectors() {
    let expected: [&[u64]; 6] = [
        &[3584],
        &[4430, 4682],
        &[4954, 5037, 4790],
        &[4862, 5236, 4895, 5247],
        &[5062, 5238, 5063, 5258, 5085],
        &[5167, 5467, 5072, 5331, 5085, 5262],
    ];
    let policy = format!(
        "[{}]",
        r#"{"name": "p", "type": "bytes_limiting", "bytes_limiting": {"bytes_per_second": 1}}"#
    );
    for (variant, expected) in expected.into_iter().enumerate() {
        let traces = 1 + variant as u64;
        let mut first: Vec<_> = (0..20 + 30 * variant as u64)
            .map(|n| {
                let mut span = span(n % traces, n);
                if n % 3 == 0 {
                    span = with_status(span, (n % 2) as i32 * 2);
                }
                if n % 4 == 0 {
                    span.parent_span_id.clear();
                }
                with(span, "k", text(&"x".repeat((n * 13 % 90) as usize)))
            })
            .collect();
        let second = first.split_off(first.len() / 2);
        let resource =
            |name: &str, scope, spans| resource_spans(&[("service.name", text(name))], scope, spans);
        let mut groups = vec![resource("a", "sdk", first), resource("b", "http", second.clone())];
        groups[1].scope_spans.extend(resource("b", "third", second).scope_spans);
        let mut driver = Driver::new(config(1), &policies(&policy));
        driver.ingest(&encode(groups), Duration::ZERO);
        let sizes: Vec<u64> =
            (0..traces as u32).map(|at| driver.sampler.traces.get(at).unwrap().candidate().bytes).collect();
        assert_eq!(sizes, expected);
    }
}
