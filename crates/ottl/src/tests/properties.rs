//! Any text, any condition on any span: no panics, and the same answer each time.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::fixture::{entry, list, map, request, scope};
use crate::{Condition, ContextKind, duration};

/// Pieces that conditions are made of, most of them right, so that many combinations compile.
const PIECES: &[&str] = &[
    "attributes[\"k\"]",
    "attributes[\"k\"][0]",
    "attributes[\"k\"][\"k\"]",
    "attributes[name]",
    "resource.attributes[\"k\"]",
    "name",
    "kind",
    "kind.string",
    "status.code",
    "status.message",
    "start_time",
    "end_time",
    "start_time_unix_nano",
    "trace_id",
    "trace_id.string",
    "span_id",
    "trace_state[\"a\"]",
    "events",
    "attributes",
    "scope.name",
    "flags",
    "nil",
    "true",
    "false",
    "0",
    "1",
    "2.5",
    "\"k\"",
    "\"1\"",
    "0x0001",
    "STATUS_CODE_ERROR",
    "[1, \"k\"]",
    "Duration(\"1s\")",
    "Int(attributes[\"k\"])",
    "Double(attributes[\"k\"])",
    "String(attributes[\"k\"])",
    "Len(attributes[\"k\"])",
    "Concat([name, attributes[\"k\"]], \"-\")",
    "ToLowerCase(name)",
    "ToUpperCase(attributes[\"k\"])",
    "Substring(name, 0, Len(attributes[\"k\"]))",
    "Substring(name, kind, flags, true)",
    "Seconds(end_time - start_time)",
    "Double(name)",
    "Double(String(attributes[\"k\"]))",
    "Substring(attributes[\"k\"], 1, 2, true)",
    "String(attributes)",
    "TraceID(trace_id.string)",
    "Hours(end_time - start_time)",
    "Milliseconds(end_time - start_time)",
    "parent_span_id",
    "ToLowerCase(attributes[\"k\"])",
    "attributes[\"name\"]",
    "kind.deprecated_string",
    "status.code * 2 - 1",
    "dropped_links_count",
    "\"1.5\"",
    "\"[1]\"",
    "3 * attributes[\"k\"]",
    "String(attributes[\"name\"])",
    "end_time_unix_nano",
    "SpanID(attributes[\"k\"])",
    "Int(String(start_time_unix_nano))",
];

/// Texts that converters may take for numbers, or that JSON escapes.
const TEXTS: &[&str] = &[
    "1e400",
    "+5",
    "-0",
    "0x10",
    "0x1p-2",
    "inf",
    "-Infinity",
    "NaN",
    "1_000",
    " 5",
    "5 ",
    "9223372036854775808",
    ".5",
    "5.",
    "<&>",
    "\"\\\n\u{1}\u{2028}\u{7f}\u{8}\u{c}",
    "İstanbul ǅ ﬁ ΣΑΣ",
    "1e5",
    "infinity",
    "1.7976931348623159e308",
    "1e-400",
];

const TESTS: &[&str] = &[
    "IsMatch(attributes[\"k\"], \"^k|1\")",
    "IsMatch(name, \"\\\\w+\\\\s[[:alpha:]]\")",
    "IsString(name)",
    "IsRootSpan()",
    "HasPrefix(attributes[\"k\"], name)",
    "HasSuffix(name, \"k\")",
    "IsMap(attributes[\"k\"])",
    "true",
    "false",
    "ContainsValue(attributes[\"k\"], 1)",
    "IsList(attributes[\"k\"])",
];

pub(super) fn condition() -> impl Strategy<Value = String> {
    let piece = || prop::sample::select(PIECES);
    let math = prop_oneof![
        4 => piece().prop_map(str::to_owned),
        1 => (piece(), prop::sample::select(&["+", "-", "*", "/"][..]), piece()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
        1 => piece().prop_map(|piece| format!("-{piece}")),
    ];
    let math = math.boxed();
    let op = prop::sample::select(&["==", "!=", "<", "<=", ">", ">="][..]);
    let test = prop_oneof![
        3 => (math.clone(), op, math).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
        1 => prop::sample::select(TESTS).prop_map(str::to_owned),
    ];
    test.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("{l} and {r}")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l} or {r})")),
            inner.prop_map(|inner| format!("not ({inner})")),
        ]
    })
}

/// The same ones each time.
pub(super) fn samples<S: Strategy>(strategy: S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[kK1-9é ß]{0,40}".prop_map(Value::StringValue),
        prop::sample::select(TEXTS).prop_map(|text| Value::StringValue(text.to_owned())),
        prop::sample::select(&[1e21, 1e-7, 123456.789, 1e20, 0.000001, -0.0, 5e-324][..])
            .prop_map(Value::DoubleValue),
        any::<bool>().prop_map(Value::BoolValue),
        prop_oneof![any::<i64>(), -3..3_i64, Just(i64::MIN)].prop_map(Value::IntValue),
        any::<f64>().prop_map(Value::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::BytesValue),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(list),
            prop::collection::vec(("k|a", inner), 0..3).prop_map(|entries| map(entries
                .into_iter()
                .map(|(key, value)| entry(&key, value))
                .collect())),
        ]
    })
}

pub(super) fn span() -> impl Strategy<Value = Span> {
    let attributes = prop::collection::vec(("k|k|k|name|é", any_value()), 0..3);
    let ids = (prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 0..10));
    (attributes, "[kKaé =,]{0,12}", ids, any::<[u64; 2]>(), any::<[i32; 2]>(), "[a-c=, ]{0,8}").prop_map(
        |(attributes, name, (trace_id, span_id), times, [kind, code], trace_state)| {
            let attributes: Vec<_> = attributes.into_iter().map(|(key, value)| entry(&key, value)).collect();
            Span {
                trace_id,
                parent_span_id: span_id.clone(),
                span_id,
                trace_state,
                name: name.clone(),
                kind: kind % 8,
                flags: kind as u32,
                start_time_unix_nano: times[0],
                end_time_unix_nano: times[1],
                events: vec![Event { name, attributes: attributes.clone(), ..Event::default() }],
                attributes,
                status: Some(Status { message: "k".to_owned(), code: code % 4 }),
                ..Span::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = Condition::compile(&text, ContextKind::Span);
    }

    #[test]
    fn no_heap_of_tokens_panics(
        tokens in prop::collection::vec(prop_oneof![
            prop::sample::select(PIECES),
            prop::sample::select(TESTS),
            prop::sample::select(&["(", ")", "[", "]", "{", ",", ".", "=", "==", "<", "not", "and", "or", "+", "-", "/", "=>", "Concat(", "\"", "\\", "1e", "0x", "é", "\n"][..]),
        ], 0..12),
        spaced in any::<bool>(),
    ) {
        let text = tokens.join(if spaced { " " } else { "" });
        for context in [ContextKind::Span, ContextKind::SpanEvent] {
            if let Err(error) = Condition::compile(&text, context) {
                prop_assert!(error.offset <= text.len() && text.is_char_boundary(error.offset));
                prop_assert!(!error.message.is_empty());
                let _ = error.excerpt(&text);
            }
        }
    }

    #[test]
    fn no_evaluation_panics(text in condition(), span in span()) {
        let request = request(span);
        let scope = scope(&request);
        if let Ok(condition) = Condition::compile(&text, ContextKind::Span) {
            let answer = condition.matches(&scope);
            prop_assert_eq!(answer, condition.matches(&scope));
            // A negation turns the answer around, and keeps the kind of error.
            let negated = Condition::compile(&format!("not ({text})"), ContextKind::Span);
            prop_assert!(negated.is_ok(), "{}", text);
            if let Ok(negated) = negated {
                let turned = negated.matches(&scope).map(|holds| !holds).map_err(|error| error.kind);
                prop_assert_eq!(turned, answer.map_err(|error| error.kind), "{}", text);
            }
        }
        if let Ok(condition) = Condition::compile(&text, ContextKind::SpanEvent) {
            for event in scope.span.events() {
                let _ = condition.matches(&scope.with_event(event));
            }
        }
    }

    #[test]
    fn no_duration_panics(text in "[-+]?([0-9]{0,25}(\\.[0-9]{0,25})?[a-zµ]{0,2}){0,3}") {
        let _ = duration::parse(&text);
    }

    #[test]
    fn durations_read_back(nanos in any::<i64>()) {
        prop_assert_eq!(duration::parse(&format!("{nanos}ns")), Some(nanos));
        let millis = nanos / 1_000_000;
        prop_assert_eq!(duration::parse(&format!("{millis}ms")), Some(millis * 1_000_000));
    }
}

#[test]
fn durations() {
    for (text, expected) in [
        ("0", Some(0)),
        ("5s", Some(5_000_000_000)),
        ("1h15m30.918273645s", Some(4_530_918_273_645)),
        ("-1.5h", Some(-5_400_000_000_000)),
        (".5s", Some(500_000_000)),
        ("1.s", Some(1_000_000_000)),
        ("3µs", Some(3_000)),
        ("1", None),
        ("", None),
        ("-", None),
        (".s", None),
        ("1x", None),
        ("9223372036854775807ns", Some(i64::MAX)),
        ("-9223372036854775808ns", Some(i64::MIN)),
        ("9223372036854775808ns", None),
        ("99999999999999999999h", None),
    ] {
        assert_eq!(duration::parse(text), expected, "{text}");
    }
}
