//! Policies on the whole trace and its W3C context, and the combinators.

use super::support::*;
use crate::Verdict;

fn spans(count: u64) -> Vec<opentelemetry_proto::tonic::trace::v1::Span> {
    (0..count).map(|number| span(1, number)).collect()
}

#[test]
fn span_count_is_within_its_bounds() {
    let policy = |keys: &str| format!(r#"{{"name": "p", "type": "span_count", "span_count": {{{keys}}}}}"#);
    let at_least = policy(r#""min_spans": 3"#);
    for (count, expected) in [(2, false), (3, true), (9, true)] {
        assert_eq!(kept_by(&at_least, spans(count)), expected, "{count}");
    }
    let between = policy(r#""min_spans": 2, "max_spans": 4"#);
    for (count, expected) in [(1, false), (2, true), (4, true), (5, false)] {
        assert_eq!(kept_by(&between, spans(count)), expected, "{count}");
    }
    assert!(kept_by(&policy(""), spans(1)));
    assert!(kept_by(&policy(r#""min_spans": -1"#), spans(1)));
    let decision = verdict(&policies(&format!("[{at_least}]")), &[], spans(4));
    assert_eq!(
        decision.evidence.map(|fact| (fact.key.to_string(), fact.value)),
        Some(("span_count".into(), "4".into()))
    );
}

#[test]
fn trace_flags_is_the_sampled_flag_of_any_span() {
    let policy = r#"{"name": "p", "type": "trace_flags"}"#;
    let flagged = |flags| opentelemetry_proto::tonic::trace::v1::Span { flags, ..span(1, 1) };
    for (flags, expected) in [(0, false), (1, true), (0x101, true), (0x300, false), (3, true), (2, false)] {
        assert_eq!(kept_by(policy, vec![span(1, 0), flagged(flags)]), expected, "{flags:x}");
    }
    let decision = verdict(&policies(&format!("[{policy}]")), &[], vec![span(1, 0), flagged(1)]);
    let fact = decision.evidence.unwrap();
    assert_eq!((fact.span_id, &*fact.key), (Some(2_u64.to_be_bytes()), "trace_flags"));
}

#[test]
fn trace_state_matches_a_member_of_a_valid_list() {
    let policy = r#"{"name": "p", "type": "trace_state", "trace_state": {"key": "vendor", "values": ["a", "b c", ""]}}"#;
    let stated = |text: &str| opentelemetry_proto::tonic::trace::v1::Span {
        trace_state: text.to_owned(),
        ..span(1, 1)
    };
    let many = |count: usize| {
        let others: Vec<String> = (1..count).map(|n| format!("k{n}=v")).collect();
        format!("vendor=a,{}", others.join(","))
    };
    for (text, expected) in [
        ("", false),
        ("vendor=a", true),
        ("vendor=b c", true),
        ("vendor=b", false),
        ("other=a", false),
        ("other=x, vendor=a\t", true),
        ("other=x,,vendor=a,", true),
        ("t@sys=1,9t@sys=2,vendor=a", true),
        // One wrong member makes the whole list invalid.
        ("vendor=a,Other=x", false),
        ("vendor=a,other", false),
        ("vendor=a,other=", false),
        ("vendor=a,vendor=b", false),
        ("vendor=a,other=x=y", false),
        ("vendor=a, ", false),
        ("vendor=a,9other=x", false),
        ("vendor=a,other=\u{e9}", false),
        (&many(32), true),
        (&many(33), false),
    ] {
        assert_eq!(kept_by(policy, vec![span(1, 0), stated(text)]), expected, "{text:?}");
    }
    let decision = verdict(&policies(&format!("[{policy}]")), &[], vec![stated("x=y,vendor=b c")]);
    let fact = decision.evidence.unwrap();
    assert_eq!((&*fact.key, &*fact.value), ("trace_state[vendor]", "b c"));
}

#[test]
fn not_keeps_what_its_policy_would_not() {
    let slow = r#"{"name": "p", "type": "not", "not": {"not_sub_policy":
        {"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}}}}"#;
    assert!(kept_by(slow, vec![timed(span(1, 0), 1_000, 1_500)]));
    assert!(!kept_by(slow, vec![timed(span(1, 0), 1_000, 2_500)]));
    let twice = r#"{"name": "p", "type": "not", "not": {"not_sub_policy":
        {"type": "string_attribute", "string_attribute": {"key": "k", "values": ["x"], "invert_match": true}}}}"#;
    assert!(kept_by(twice, vec![with(span(1, 0), "k", text("x"))]));
    assert!(!kept_by(twice, spans(1)));
}

#[test]
fn policies_nest() {
    let nested = r#"{"name": "p", "type": "and", "and": {"and_sub_policy": [
        {"type": "not", "not": {"not_sub_policy": {"type": "span_count", "span_count": {"min_spans": 4}}}},
        {"type": "and", "and": {"and_sub_policy": [
            {"type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            {"type": "span_count", "span_count": {"min_spans": 2}}]}}]}}"#;
    let errors = |count| {
        let mut spans = spans(count);
        spans[0] = with_status(spans[0].clone(), 2);
        spans
    };
    for (count, expected) in [(1, false), (2, true), (3, true), (4, false)] {
        assert_eq!(kept_by(nested, errors(count)), expected, "{count}");
        assert!(!kept_by(nested, spans(count)));
    }
    let dropping = policies(
        r#"[{"name": "all", "type": "always_sample"},
            {"name": "drop", "type": "drop", "drop": {"drop_sub_policy": [
                {"type": "and", "and": {"and_sub_policy": [{"type": "span_count", "span_count": {"max_spans": 1}}]}},
                {"type": "not", "not": {"not_sub_policy":
                    {"type": "status_code", "status_code": {"status_codes": ["ERROR"]}}}}]}}]"#,
    );
    assert_eq!(verdict(&dropping, &[], spans(1)).verdict, Verdict::Dropped);
    assert_eq!(verdict(&dropping, &[], spans(2)).verdict, Verdict::Kept);
    assert_eq!(verdict(&dropping, &[], errors(1)).verdict, Verdict::Kept);
}

/// After how many spans (one request each) the trace is kept early, if at all.
fn kept_early_at(policy: &str, spans: u64) -> Option<usize> {
    let mut driver = Driver::new(crate::SamplerConfig::default(), &policies(&format!("[{policy}]")));
    (0..spans).position(|number| {
        driver.ingest(&request(vec![span(1, number)]), std::time::Duration::ZERO);
        !driver.decisions.is_empty()
    })
}

#[test]
fn a_count_is_kept_early_only_when_more_spans_cannot_change_it() {
    let count = |keys: &str| format!(r#"{{"name": "p", "type": "span_count", "span_count": {{{keys}}}}}"#);
    let not =
        |policy: &str| format!(r#"{{"name": "p", "type": "not", "not": {{"not_sub_policy": {policy}}}}}"#);
    assert_eq!(kept_early_at(&count(r#""min_spans": 3"#), 9), Some(2));
    assert_eq!(kept_early_at(&count(r#""min_spans": 3, "max_spans": 20"#), 9), None);
    assert_eq!(kept_early_at(&not(&count(r#""min_spans": 3"#)), 9), None);
    // Above the maximum for good.
    assert_eq!(kept_early_at(&not(&count(r#""max_spans": 4"#)), 9), Some(4));
    assert_eq!(kept_early_at(&not(&not(&count(r#""min_spans": 2"#))), 9), Some(1));
    assert_eq!(kept_early_at(&not(r#"{"type": "trace_flags"}"#), 9), None);
}
