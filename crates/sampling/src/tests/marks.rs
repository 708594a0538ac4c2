//! The policy that kept a trace, on the scopes of its spans (`record_policy`).

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use super::support::*;
use crate::SamplerConfig;

const POLICIES: &str = r#"[
    {"name": "important", "type": "string_attribute", "string_attribute": {"key": "p", "values": ["a", "b"]}},
    {"name": "shared", "type": "composite", "composite": {"max_total_spans_per_second": 100,
        "composite_sub_policy": [
            {"name": "b only", "type": "string_attribute", "string_attribute": {"key": "p", "values": ["b"]}},
            {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}],
        "rate_allocation": [{"policy": "b only", "percent": 50}, {"policy": "errors", "percent": 50}]}}]"#;

fn recording() -> SamplerConfig {
    SamplerConfig { record_policy: true, ..SamplerConfig::default() }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

/// Span numbers and the scope attributes they came out under, in the order of span numbers.
fn marks(sent: &[ResourceSpans]) -> Vec<(u64, String)> {
    let shown = |attribute: &KeyValue| match attribute.value.clone().and_then(|value| value.value) {
        Some(Value::StringValue(text)) => format!("{}={text}", attribute.key),
        Some(Value::BoolValue(value)) => format!("{}={value}", attribute.key),
        other => panic!("{other:?}"),
    };
    let mut all = Vec::new();
    for scope in sent.iter().flat_map(|resource| &resource.scope_spans) {
        let attributes = scope.scope.iter().flat_map(|scope| &scope.attributes);
        let attributes: Vec<String> = attributes.map(shown).collect();
        let number = |span: &Span| u64::from_be_bytes(span.span_id.clone().try_into().unwrap()) - 1;
        all.extend(scope.spans.iter().map(|span| (number(span), attributes.join(" "))));
    }
    all.sort();
    all
}

fn said(marks: &[(u64, &str)]) -> Vec<(u64, String)> {
    marks.iter().map(|(number, mark)| (*number, (*mark).to_owned())).collect()
}

#[test]
fn kept_traces_name_the_policy_and_the_part() {
    let mut driver = Driver::new(recording(), &policies(POLICIES));
    let error = |trace, number| with_status(span(trace, number), 2);
    driver.ingest(
        &request(vec![
            with(span(1, 10), "p", text("a")),
            with(span(2, 20), "p", text("b")),
            error(3, 30),
            span(1, 11),
            span(4, 40),
        ]),
        Duration::ZERO,
    );
    driver.tick(30 * SECOND);
    let policy = "tailsampling.policy=important";
    assert_eq!(
        marks(&driver.sent),
        said(&[
            (10, policy),
            (11, policy),
            (20, "tailsampling.policy=important tailsampling.composite_policy=b only"),
            (30, "tailsampling.policy=shared tailsampling.composite_policy=errors"),
        ])
    );
    // What else there is of the scope and its resource stays.
    for resource in &driver.sent {
        let scope = &resource.scope_spans[0];
        assert_eq!(
            (&*resource.schema_url, &*scope.schema_url),
            ("https://resource.example", "https://scope.example")
        );
        assert_eq!(scope.scope.as_ref().unwrap().name, "sdk");
    }
    // Late spans of two traces under one scope: each has its own.
    driver.sent.clear();
    driver
        .ingest(&request(vec![span(1, 12), span(3, 31), span(3, 32), span(4, 41), span(1, 13)]), 31 * SECOND);
    let late = |policy: &str| format!("tailsampling.policy={policy} tailsampling.cached_decision=true");
    let (important, shared) = (late("important"), late("shared"));
    let expected = [(12, &*important), (13, &important), (31, &shared), (32, &shared)];
    assert_eq!(marks(&driver.sent), said(&expected));
    assert_eq!(driver.sent.len(), 1);
    assert_eq!(driver.sent[0].scope_spans.len(), 2);
}

#[test]
fn a_trace_that_is_kept_early_is_marked_from_the_first_span_on() {
    let mut driver = Driver::new(recording(), &critical());
    driver.ingest(&request(vec![span(1, 0)]), Duration::ZERO);
    driver.ingest(&request(vec![with(span(1, 1), "task.priority", text("critical"))]), SECOND);
    driver.ingest(&request(vec![span(1, 2)]), 2 * SECOND);
    let policy = "tailsampling.policy=important";
    let late = "tailsampling.policy=important tailsampling.cached_decision=true";
    assert_eq!(marks(&driver.sent), said(&[(0, policy), (1, policy), (2, late)]));
}

#[test]
fn attributes_of_an_earlier_sampler_are_replaced_and_a_missing_scope_is_made() {
    let config = SamplerConfig { early_keep: false, ..recording() };
    let mut driver = Driver::new(config, &policies(r#"[{"name": "all", "type": "always_sample"}]"#));
    let scope = InstrumentationScope {
        name: "sdk".to_owned(),
        attributes: vec![attribute("tailsampling.policy", text("upstream")), attribute("k", text("v"))],
        ..Default::default()
    };
    let groups = [Some(scope), None].into_iter().zip(0_u64..).map(|(scope, number)| ScopeSpans {
        scope,
        spans: vec![span(1, number)],
        ..Default::default()
    });
    driver.ingest(
        &encode(vec![ResourceSpans { scope_spans: groups.collect(), ..Default::default() }]),
        Duration::ZERO,
    );
    driver.tick(30 * SECOND);
    let policy = "tailsampling.policy=all";
    assert_eq!(marks(&driver.sent), said(&[(0, &format!("k=v {policy}")), (1, policy)]));
}

#[test]
fn with_span_ingest_the_part_of_the_batch_that_matched_is_named() {
    let config = SamplerConfig { span_ingest: true, ..recording() };
    let drop =
        r#", {"name": "drop", "type": "drop", "drop": {"drop_sub_policy": [{"type": "trace_flags"}]}}]"#;
    for (json, wait) in
        [(POLICIES.to_owned(), false), (POLICIES.trim_end_matches(']').to_owned() + drop, true)]
    {
        let mut driver = Driver::new(config.clone(), &policies(&json));
        driver.ingest(&request(vec![with_status(span(1, 0), 2), span(2, 5)]), Duration::ZERO);
        driver.ingest(&request(vec![span(1, 1)]), SECOND);
        driver.tick(30 * SECOND);
        let kept = "tailsampling.policy=shared tailsampling.composite_policy=errors";
        let late = "tailsampling.policy=shared tailsampling.cached_decision=true";
        assert_eq!(marks(&driver.sent), said(&[(0, kept), (1, if wait { kept } else { late })]));
    }
}

#[test]
fn off_by_default() {
    let mut driver = Driver::new(SamplerConfig::default(), &critical());
    driver.ingest(&request(vec![with(span(1, 0), "task.priority", text("high"))]), Duration::ZERO);
    driver.ingest(&request(vec![span(1, 1)]), Duration::ZERO);
    assert_eq!(marks(&driver.sent), said(&[(0, ""), (1, "")]));
}
