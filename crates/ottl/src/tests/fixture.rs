//! One request with one span and two events, and what conditions say about it.

use forebay_otlp::traces::TracesView;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use crate::{Condition, ContextKind, SpanScope};

pub(super) fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

pub(super) fn entry(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(super) fn list(values: Vec<Value>) -> Value {
    Value::ArrayValue(ArrayValue {
        values: values.into_iter().map(|value| AnyValue { value: Some(value) }).collect(),
    })
}

pub(super) fn map(values: Vec<KeyValue>) -> Value {
    Value::KvlistValue(KeyValueList { values })
}

pub(super) fn span() -> Span {
    let event = |name: &str, attributes| Event {
        time_unix_nano: 1_700_000_001_000_000_000,
        name: name.to_owned(),
        attributes,
        dropped_attributes_count: 2,
    };
    Span {
        trace_id: (0x10..0x20).collect(),
        span_id: vec![1, 2, 3, 4, 5, 6, 7, 0xab],
        trace_state: "rojo=00f067aa0ba902b7,t61rcWkg@x=1".to_lowercase(),
        parent_span_id: Vec::new(),
        flags: 0x101,
        name: "GET /api/v1/items".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_002_500_000_000,
        attributes: vec![
            entry("http.method", text("GET")),
            entry("http.status_code", Value::IntValue(503)),
            entry("ratio", Value::DoubleValue(0.25)),
            entry("cached", Value::BoolValue(true)),
            entry("blob", Value::BytesValue(vec![0, 0xff])),
            entry("number.text", text("42")),
            entry("empty", text("")),
            entry("tags", list(vec![text("a"), text("b"), Value::IntValue(3)])),
            entry(
                "user",
                map(vec![
                    entry("name", text("Zoë <z@x>")),
                    entry("roles", list(vec![text("admin"), map(vec![entry("deep", Value::IntValue(7))])])),
                ]),
            ),
            KeyValue { key: "unset".to_owned(), value: None, ..KeyValue::default() },
            entry("the.key", text("http.method")),
        ],
        dropped_attributes_count: 3,
        events: vec![
            event("exception", vec![entry("exception.type", text("Timeout"))]),
            event("retry", vec![entry("attempt", Value::IntValue(2))]),
        ],
        dropped_events_count: 4,
        links: Vec::new(),
        dropped_links_count: 5,
        status: Some(Status { message: "deadline exceeded".to_owned(), code: 2 }),
    }
}

pub(super) fn request(span: Span) -> Vec<u8> {
    let scope = InstrumentationScope {
        name: "io.agents".to_owned(),
        version: "1.2.3".to_owned(),
        attributes: vec![entry("lib", text("core"))],
        dropped_attributes_count: 1,
    };
    let resource = Resource {
        attributes: vec![entry("service.name", text("checkout")), entry("replicas", Value::IntValue(3))],
        dropped_attributes_count: 6,
        ..Resource::default()
    };
    let scope_spans =
        ScopeSpans { scope: Some(scope), spans: vec![span], schema_url: "scope/schema".to_owned() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope_spans],
            schema_url: "resource/schema".to_owned(),
        }],
    }
    .encode_to_vec()
}

/// The first span of a request.
pub(super) fn scope(request: &[u8]) -> SpanScope<'_> {
    let resource_spans = TracesView::new(request).resource_spans().next().unwrap();
    let scope_spans = resource_spans.scope_spans().next().unwrap();
    SpanScope::new(resource_spans, scope_spans, scope_spans.spans().next().unwrap())
}

/// What a condition says about the span; the texts of errors.
pub(super) fn about_span(condition: &str) -> Result<bool, String> {
    let compiled = Condition::compile(condition, ContextKind::Span).map_err(|error| error.to_string())?;
    compiled.matches(&scope(&request(span()))).map_err(|error| error.to_string())
}

/// Which of the span's events a condition picks.
pub(super) fn about_events(condition: &str) -> Result<Vec<bool>, String> {
    let compiled =
        Condition::compile(condition, ContextKind::SpanEvent).map_err(|error| error.to_string())?;
    let request = request(span());
    let scope = scope(&request);
    let answers = scope.span.events().map(|event| compiled.matches(&scope.with_event(event)));
    answers.collect::<Result<_, _>>().map_err(|error| error.to_string())
}
