//! Each policy type and the effect of each of its keys.

use std::time::Duration;

use super::support::*;
use crate::probabilistic::{Share, fnv1a, threshold};
use crate::{Reason, SamplerConfig, Verdict};

#[test]
fn always_sample_keeps_everything() {
    assert!(kept_by(r#"{"name": "p", "type": "always_sample"}"#, vec![span(1, 0)]));
}

#[test]
fn string_attribute_matches_exact_values_on_spans_and_resources() {
    let policy = r#"{"name": "p", "type": "string_attribute",
        "string_attribute": {"key": "task.priority", "values": ["critical", "high", ""]}}"#;
    assert!(kept_by(policy, vec![span(1, 0), with(span(1, 1), "task.priority", text("high"))]));
    assert!(!kept_by(policy, vec![with(span(1, 1), "task.priority", text("highest"))]));
    assert!(!kept_by(policy, vec![with(span(1, 1), "task.priority", text(""))]));
    assert!(!kept_by(policy, vec![with(span(1, 1), "task.priority", Value::IntValue(1))]));
    assert!(!kept_by(policy, vec![with(span(1, 1), "priority", text("high"))]));
    assert!(kept_with_resource(policy, &[("task.priority", text("critical"))], vec![span(1, 0)]));
    // The first attribute of a key counts.
    let twice = with(with(span(1, 0), "task.priority", text("low")), "task.priority", text("high"));
    assert!(!kept_by(policy, vec![twice]));
}

#[test]
fn string_attribute_with_many_values_matches_the_same() {
    let values: Vec<String> = (0..40).map(|n| format!("\"v{n}\"")).collect();
    let policy = format!(
        r#"{{"name": "p", "type": "string_attribute", "string_attribute": {{"key": "k", "values": [{}]}}}}"#,
        values.join(",")
    );
    assert!(kept_by(&policy, vec![with(span(1, 0), "k", text("v39"))]));
    assert!(!kept_by(&policy, vec![with(span(1, 0), "k", text("v40"))]));
}

#[test]
fn string_attribute_regex_matches_anywhere() {
    let policy = |values: &str, size: i64| {
        format!(
            r#"{{"name": "p", "type": "string_attribute", "string_attribute": {{"key": "k", "values": {values},
                "enabled_regex_matching": true, "cache_max_size": {size}}}}}"#
        )
    };
    for size in [-1, 0, 1, 2] {
        let policy = policy(r#"["^a.c$", "\\d+x"]"#, size);
        for (value, expected) in [("abc", true), ("abcd", false), ("see 12x there", true), ("x", false)] {
            assert_eq!(kept_by(&policy, vec![with(span(1, 0), "k", text(value))]), expected, "{value}");
        }
        // Through the cache, values forgotten and not.
        let spans = |last: &str| {
            let values = ["b", "c", "d", "b", last].into_iter().enumerate();
            values.map(|(n, value)| with(span(1, n as u64), "k", text(value))).collect::<Vec<_>>()
        };
        assert!(kept_by(&policy, spans("9x")));
        assert!(!kept_by(&policy, spans("c")));
    }
    // An empty value: matched on a resource, never on a span; other types on a resource count as empty.
    let any = policy(r#"[".*"]"#, 0);
    assert!(!kept_by(&any, vec![with(span(1, 0), "k", text(""))]));
    assert!(kept_with_resource(&any, &[("k", text(""))], vec![span(1, 0)]));
    assert!(kept_with_resource(&any, &[("k", Value::IntValue(1))], vec![span(1, 0)]));
    assert!(!kept_by(&any, vec![with(span(1, 0), "k", Value::IntValue(1))]));
}

#[test]
fn invert_match_keeps_traces_without_a_match() {
    let policy = r#"{"name": "p", "type": "string_attribute",
        "string_attribute": {"key": "k", "values": ["noise"], "invert_match": true}}"#;
    assert!(kept_by(policy, vec![span(1, 0)]));
    assert!(kept_by(policy, vec![with(span(1, 0), "k", text("signal"))]));
    assert!(!kept_by(policy, vec![span(1, 0), with(span(1, 1), "k", text("noise"))]));
    assert!(!kept_with_resource(policy, &[("k", text("noise"))], vec![span(1, 0)]));
}

#[test]
fn an_inverted_match_does_not_veto_other_policies() {
    let both = policies(
        r#"[{"name": "not-noise", "type": "string_attribute",
             "string_attribute": {"key": "k", "values": ["noise"], "invert_match": true}},
            {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]"#,
    );
    let noisy_error = with_status(with(span(1, 0), "k", text("noise")), 2);
    let decision = verdict(&both, &[], vec![noisy_error]);
    assert_eq!((decision.verdict, decision.policy.as_deref()), (Verdict::Kept, Some("errors")));
}

#[test]
fn numeric_attribute_compares_integers_and_doubles() {
    let policy = |bounds: &str| {
        format!(
            r#"{{"name": "p", "type": "numeric_attribute", "numeric_attribute": {{"key": "n"{bounds}}}}}"#
        )
    };
    let kept = |bounds: &str, value: Value| kept_by(&policy(bounds), vec![with(span(1, 0), "n", value)]);
    let (int, double) = (Value::IntValue, Value::DoubleValue);
    let range = r#", "min_value": -5, "max_value": 10"#;
    for (value, expected) in [(-6, false), (-5, true), (0, true), (10, true), (11, false)] {
        assert_eq!(kept(range, int(value)), expected, "{value}");
    }
    for (value, expected) in [
        (-5.1, false),
        (-5.0, true),
        (-4.9, true),
        (10.0, true),
        (10.1, false),
        (f64::NAN, false),
        (f64::INFINITY, false),
        (f64::NEG_INFINITY, false),
    ] {
        assert_eq!(kept(range, double(value)), expected, "{value}");
    }
    // An unset bound is no bound, and zero is a bound.
    assert!(kept(r#", "min_value": 1"#, int(i64::MAX)));
    assert!(kept(r#", "max_value": 1"#, int(i64::MIN)));
    assert!(!kept(r#", "min_value": 0"#, int(-1)));
    assert!(!kept(r#", "max_value": 0"#, double(0.5)));
    assert!(kept("", int(0)));
    assert!(!kept("", text("0")));
    // No rounding of large bounds.
    let large = format!(r#", "max_value": {}"#, i64::MAX - 1);
    assert!(!kept(&large, double(i64::MAX as f64)));
    assert!(kept(&format!(r#", "min_value": {}"#, i64::MAX), double(i64::MAX as f64)));
    // Inverted, and on the resource.
    let inverted = policy(r#", "min_value": 1, "invert_match": true"#);
    assert!(kept_by(&inverted, vec![span(1, 0)]));
    assert!(!kept_by(&inverted, vec![with(span(1, 0), "n", int(1))]));
    assert!(kept_with_resource(&policy(range), &[("n", int(3))], vec![span(1, 0)]));
}

#[test]
fn boolean_attribute_matches_only_booleans() {
    let policy = |keys: &str| {
        format!(r#"{{"name": "p", "type": "boolean_attribute", "boolean_attribute": {{"key": "b"{keys}}}}}"#)
    };
    let kept = |keys: &str, value: Value| kept_by(&policy(keys), vec![with(span(1, 0), "b", value)]);
    let truth = Value::BoolValue;
    assert!(kept(r#", "value": true"#, truth(true)));
    assert!(!kept(r#", "value": true"#, truth(false)));
    assert!(kept("", truth(false)));
    // The collector takes any other type for false.
    assert!(!kept("", text("false")));
    assert!(!kept(r#", "value": true, "invert_match": true"#, truth(true)));
    assert!(kept(r#", "value": true, "invert_match": true"#, text("true")));
}

#[test]
fn status_code_matches_any_listed() {
    let policy = |codes: &str| {
        format!(r#"{{"name": "p", "type": "status_code", "status_code": {{"status_codes": {codes}}}}}"#)
    };
    let (unset, ok, error) = (span(1, 0), with_status(span(1, 1), 1), with_status(span(1, 2), 2));
    assert!(kept_by(&policy(r#"["ERROR"]"#), vec![unset.clone(), ok.clone(), error.clone()]));
    assert!(!kept_by(&policy(r#"["ERROR"]"#), vec![unset.clone(), ok.clone()]));
    assert!(kept_by(&policy(r#"["OK", "UNSET"]"#), vec![unset]));
    assert!(kept_by(&policy(r#"["OK", "UNSET"]"#), vec![ok]));
    assert!(!kept_by(&policy(r#"["OK", "UNSET"]"#), vec![error]));
    assert!(!kept_by(&policy(r#"["OK", "UNSET", "ERROR"]"#), vec![with_status(span(1, 0), 3)]));
}

#[test]
fn latency_is_that_of_the_whole_trace() {
    let policy = |keys: &str| format!(r#"{{"name": "p", "type": "latency", "latency": {{{keys}}}}}"#);
    let over = policy(r#""threshold_ms": 500"#);
    let parts = |end| vec![timed(span(1, 0), 1_400, end), timed(span(1, 1), 1_000, 1_100)];
    assert!(!kept_by(&over, parts(1_500)), "500 ms is not longer than 500 ms");
    assert!(kept_by(&over, parts(1_501)));
    let between = policy(r#""threshold_ms": 500, "upper_threshold_ms": 600"#);
    assert!(!kept_by(&between, parts(1_500)));
    assert!(kept_by(&between, parts(1_600)));
    // In whatever order its spans come, the final duration counts.
    assert!(!kept_by(&between, parts(1_601)));
    assert!(!kept_by(&between, vec![timed(span(1, 0), 1_000, 1_550), timed(span(1, 1), 1_000, 3_000)]));
    // No start time says nothing.
    assert!(!kept_by(&over, vec![timed(span(1, 0), 0, 9_000), timed(span(1, 1), 1_000, 1_100)]));
    assert!(!kept_by(&over, vec![timed(span(1, 0), 5_000, 0)]));
    assert!(kept_by(r#"{"name": "p", "type": "latency"}"#, vec![span(1, 0)]));
}

#[test]
fn probabilistic_hash_and_threshold_are_the_collectors() {
    // FNV-1a's published vectors.
    let empty = 0xcbf2_9ce4_8422_2325;
    assert_eq!(fnv1a(empty, b""), empty);
    assert_eq!(fnv1a(empty, b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(fnv1a(empty, b"foobar"), 0x8594_4171_f739_67e8);
    for (percentage, expected) in include!("thresholds.in") {
        let percentage: f64 = percentage;
        assert_eq!(threshold(percentage / 100.0), expected, "{percentage}");
    }
    for (salt, percentage, kept) in include!("shares.in") {
        let share = Share::new(salt, percentage);
        let found: Vec<u64> = (0..kept_range()).filter(|&n| share.keeps(&golden_id(n))).collect();
        assert_eq!(found, kept, "{salt} {percentage}");
    }
}

fn kept_range() -> u64 {
    400
}

/// The ids that the golden files were made with.
fn golden_id(n: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id[8..].copy_from_slice(&n.to_be_bytes());
    id
}

#[test]
fn probabilistic_keeps_its_share() {
    for (salt, percentage, expected) in [
        ("", 100.0, 100.0),
        ("", 0.0, 0.0),
        ("", 25.0, 25.0),
        ("test-salt", 33.0, 33.0),
        ("", -50.0, 0.0),
        ("", 150.0, 100.0),
    ] {
        let share = Share::new(salt, percentage);
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state ^ state >> 33).to_be_bytes()
        };
        let kept = (0..100_000)
            .filter(|_| {
                let mut id = [0; 16];
                id[..8].copy_from_slice(&next());
                id[8..].copy_from_slice(&next());
                share.keeps(&id)
            })
            .count();
        let found = kept as f64 / 1_000.0;
        assert!((found - expected).abs() < 0.4, "{percentage}: {found}");
    }
}

#[test]
fn and_needs_every_sub_policy() {
    let policy = r#"{"name": "p", "type": "and", "and": {"and_sub_policy": [
        {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
        {"type": "string_attribute", "string_attribute": {"key": "k", "values": ["x"], "invert_match": true}},
        {"type": "latency", "latency": {"threshold_ms": 100}}]}}"#;
    let slow_error = || with_status(timed(span(1, 0), 1_000, 2_000), 2);
    assert!(kept_by(policy, vec![slow_error()]));
    assert!(!kept_by(policy, vec![timed(span(1, 0), 1_000, 2_000)]));
    assert!(!kept_by(policy, vec![with_status(span(1, 0), 2)]));
    assert!(!kept_by(policy, vec![slow_error(), with(span(1, 1), "k", text("x"))]));
}

#[test]
fn drop_wins_wherever_it_stands() {
    let both = policies(
        r#"[{"name": "all", "type": "always_sample"},
            {"name": "health", "type": "drop", "drop": {"drop_sub_policy": [
                {"type": "string_attribute", "string_attribute": {"key": "path", "values": ["/health"]}},
                {"type": "status_code", "status_code": {"status_codes": ["OK"]}}]}}]"#,
    );
    let health = || with(span(1, 0), "path", text("/health"));
    let dropped = verdict(&both, &[], vec![with_status(health(), 1)]);
    assert_eq!((dropped.verdict, dropped.reason), (Verdict::Dropped, Reason::DroppedByPolicy));
    assert_eq!(dropped.policy.as_deref(), Some("health"));
    assert_eq!(dropped.evidence.unwrap().value, "/health");
    let kept = verdict(&both, &[], vec![health()]);
    assert_eq!((kept.verdict, kept.policy.as_deref()), (Verdict::Kept, Some("all")));
}

#[test]
fn more_than_64_predicates_work_alike() {
    let many: Vec<String> = (0..150)
        .map(|n| {
            format!(
                r#"{{"name": "p{n}", "type": "string_attribute",
                    "string_attribute": {{"key": "k{n}", "values": ["x"]}}}}"#
            )
        })
        .collect();
    let many = policies(&format!("[{}]", many.join(",")));
    for n in [0, 63, 64, 127, 128, 149] {
        let decision = verdict(&many, &[], vec![span(1, 0), with(span(1, 1), &format!("k{n}"), text("x"))]);
        assert_eq!(decision.policy.as_deref(), Some(format!("p{n}").as_str()));
    }
    assert_eq!(verdict(&many, &[], vec![span(1, 0)]).verdict, Verdict::Dropped);
}

#[test]
fn the_span_that_matched_is_found_whenever_it_came() {
    let both = [
        r#"{"name": "important", "type": "string_attribute",
            "string_attribute": {"key": "task.priority", "values": ["critical"]}}"#,
        r#"{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}"#,
    ];
    let requests = [
        vec![span(1, 0), with_status(span(1, 1), 2)],
        vec![span(1, 2), with(span(1, 3), "task.priority", text("critical"))],
        vec![with_status(span(1, 4), 2)],
    ];
    for (first, second, key, number) in [(0, 1, "task.priority", 3), (1, 0, "status.code", 1)] {
        let list = format!("[{}, {}]", both[first], both[second]);
        let config = SamplerConfig { early_keep: false, ..SamplerConfig::default() };
        let mut driver = Driver::new(config, &policies(&list));
        requests.iter().for_each(|spans| driver.ingest(&request(spans.clone()), Duration::ZERO));
        driver.tick(30 * SECOND);
        let fact = driver.decisions[0].evidence.clone().unwrap();
        assert_eq!((&*fact.key, fact.span_id), (key, Some((number + 1_u64).to_be_bytes())));
    }
}
