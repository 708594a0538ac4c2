//! The `composite` policy: order, parts and seconds.

use std::time::Duration;

use super::support::*;
use crate::{SamplerConfig, Trigger, Verdict};

const PARTS: &str = r#"[
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {"name": "important", "type": "string_attribute", "string_attribute": {"key": "p", "values": ["high"]}},
    {"name": "rest", "type": "always_sample"}]"#;

fn composite(total: u64, order: &str, allocation: &str) -> String {
    format!(
        r#"[{{"name": "shared", "type": "composite", "composite": {{"max_total_spans_per_second": {total},
            "policy_order": {order}, "composite_sub_policy": {PARTS}, "rate_allocation": {allocation}}}}}]"#
    )
}

const ALLOCATION: &str =
    r#"[{"policy": "errors", "percent": 50}, {"policy": "important", "percent": 30}, {"policy": "rest"}]"#;

/// One trace each: what it is, its number of spans, and when it is decided, in ms.
fn kept(policies: &str, shards: usize, traces: &[(&str, u64, u64)]) -> Vec<bool> {
    let config = SamplerConfig { decision_wait: Duration::ZERO, shards, ..SamplerConfig::default() };
    let mut driver = Driver::new(config, &super::support::policies(policies));
    for (number, &(what, spans, at)) in traces.iter().enumerate() {
        let mut spans: Vec<_> = (0..spans).map(|n| span(number as u64, n)).collect();
        match what {
            "error" => spans[0] = with_status(spans[0].clone(), 2),
            "high" => spans[0] = with(spans[0].clone(), "p", text("high")),
            "both" => spans[0] = with_status(with(spans[0].clone(), "p", text("high")), 2),
            _ => {}
        }
        driver.ingest(&request(spans), Duration::from_millis(at));
        driver.tick(Duration::from_millis(at));
    }
    assert!(driver.decisions.iter().all(|decision| decision.trigger == Trigger::DecisionWait));
    driver.decisions.iter().map(|decision| decision.verdict == Verdict::Kept).collect()
}

#[test]
fn each_sub_policy_has_its_part_of_each_second() {
    let policies = composite(10, "[]", ALLOCATION);
    // Parts of 5, 3 and 10 / 3 spans a second.
    let traces = [
        ("error", 4, 0),
        ("error", 2, 1),
        ("error", 1, 2),
        ("error", 1, 3),
        ("high", 4, 4),
        ("high", 3, 5),
        ("", 4, 6),
        ("", 3, 7),
        ("", 1, 8),
        // The next second starts anew, and so does any later one.
        ("error", 5, 1_000),
        ("error", 1, 1_999),
        ("error", 5, 9_000),
    ];
    let expected = [true, false, true, false, false, true, false, true, false, true, false, true];
    assert_eq!(kept(&policies, 1, &traces), expected);
}

#[test]
fn the_first_sub_policy_that_matches_decides_in_the_configured_order() {
    let traces = [("both", 5, 0), ("both", 4, 1_000), ("both", 3, 2_000)];
    assert_eq!(kept(&composite(10, "[]", ALLOCATION), 1, &traces), [true, true, true]);
    let important_first = composite(10, r#"["important"]"#, ALLOCATION);
    assert_eq!(kept(&important_first, 1, &traces), [false, false, true]);
    let all_first = composite(10, r#"["rest", "errors", "important"]"#, ALLOCATION);
    assert_eq!(kept(&all_first, 1, &[("error", 4, 0), ("error", 3, 1)]), [false, true]);
}

#[test]
fn no_part_is_above_the_total_and_no_allocation_is_no_part() {
    let double = composite(10, "[]", r#"[{"policy": "errors", "percent": 200}]"#);
    assert_eq!(kept(&double, 1, &[("error", 11, 0), ("error", 10, 1), ("", 1, 2)]), [false, true, false]);
}

#[test]
fn shards_share_the_parts_and_make_up_for_large_traces() {
    let policies = composite(10, "[]", r#"[{"policy": "errors", "percent": 80}]"#);
    let traces =
        [("error", 2, 0), ("error", 1, 1), ("error", 8, 1_000), ("error", 1, 3_000), ("error", 1, 4_000)];
    assert_eq!(kept(&policies, 4, &traces), [true, false, true, false, false]);
    assert_eq!(
        kept(&policies, 4, &[("error", 9, 0), ("error", 8, 1), ("error", 2, 4_000)]),
        [false, true, true]
    );
}

#[test]
fn a_sub_policy_may_be_a_limit_or_a_combination() {
    let policies = r#"[{"name": "shared", "type": "composite", "composite": {"max_total_spans_per_second": 100,
        "composite_sub_policy": [
            {"name": "few", "type": "and", "and": {"and_sub_policy": [
                {"type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
                {"type": "rate_limiting", "rate_limiting": {"spans_per_second": 1, "burst_capacity": 2}}]}},
            {"name": "calm", "type": "not", "not": {"not_sub_policy":
                {"type": "status_code", "status_code": {"status_codes": ["ERROR"]}}}}],
        "rate_allocation": [{"policy": "few", "percent": 50}, {"policy": "calm", "percent": 50}]}}]"#;
    let traces = [("error", 2, 0), ("error", 1, 1), ("", 5, 2)];
    assert_eq!(kept(policies, 1, &traces), [true, false, true]);
}

#[test]
fn evidence_is_that_of_the_sub_policy() {
    let all = super::support::policies(&composite(10, "[]", ALLOCATION));
    let decision = verdict(&all, &[], vec![with(span(1, 0), "p", text("high"))]);
    let fact = decision.evidence.unwrap();
    assert_eq!((decision.policy.as_deref(), &*fact.key, &*fact.value), (Some("shared"), "p", "high"));
    // Also where a limit was asked before it.
    let limited = r#"[{"name": "shared", "type": "composite", "composite": {"max_total_spans_per_second": 10,
        "composite_sub_policy": [
            {"name": "few", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 1, "burst_capacity": 1}},
            {"name": "slow", "type": "latency", "latency": {"threshold_ms": 100}}],
        "rate_allocation": [{"policy": "slow", "percent": 100}]}}]"#;
    let spans = vec![timed(span(1, 0), 1, 500), span(1, 1)];
    let fact = verdict(&super::support::policies(limited), &[], spans).evidence.unwrap();
    assert_eq!(&*fact.key, "duration");
}
