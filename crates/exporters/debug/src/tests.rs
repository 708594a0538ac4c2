//! What is printed, where, and how often.

use crate::sampler::Sampler;
use crate::text;
use forebay_component::{Ack, BuildExporter, Context, Drained, ExporterFactory, Payload};
use forebay_config::{ComponentId, Node};
use forebay_otlp::traces::TracesView;
use forebay_telemetry::{Kind, Telemetry};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use std::time::{Duration, Instant};

fn kv(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn body() -> Vec<u8> {
    let list = ArrayValue { values: vec![AnyValue { value: Some(Value::BoolValue(true)) }] };
    let span = Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        name: "plan".into(),
        kind: 2,
        start_time_unix_nano: 1_709_210_096_000_000_001,
        end_time_unix_nano: 0,
        attributes: vec![
            kv("task.priority", Value::StringValue("high".into())),
            kv("list", Value::ArrayValue(list)),
        ],
        events: vec![Event { name: "retry".into(), ..Event::default() }],
        links: vec![Link { trace_id: vec![1; 16], span_id: vec![2; 8], ..Link::default() }],
        status: Some(Status { code: 2, message: "no".into() }),
        ..Span::default()
    };
    let scope =
        Some(InstrumentationScope { name: "agent".into(), version: "1".into(), ..Default::default() });
    let resource = Resource {
        attributes: vec![kv("service.name", Value::StringValue("s".into()))],
        ..Default::default()
    };
    let scope_spans = vec![ScopeSpans { scope, spans: vec![span], ..Default::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans, ..Default::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn plan(factory: &ExporterFactory, text: &str) -> Result<Box<dyn BuildExporter>, String> {
    let node = Node::parse_str("test.yaml", text).unwrap();
    (factory.configure)(&node).map_err(|found| found.to_string())
}

fn context(telemetry: &Telemetry) -> Context {
    Context {
        id: ComponentId::new("debug", None),
        pipeline: None,
        telemetry: telemetry.clone(),
        status: telemetry.board.register(Kind::Exporter, "debug", None),
        runtime: tokio::runtime::Handle::current(),
        edges: std::sync::Arc::default(),
    }
}

#[test]
fn normal_is_a_line_per_span_and_detailed_is_everything() {
    let body = body();
    let mut out = String::new();
    text::normal(TracesView::new(&body), &mut out);
    let (trace, span) = ("ab".repeat(16), "cd".repeat(8));
    assert_eq!(
        out,
        format!(
            "ResourceTraces #0 service.name=s\nScopeTraces #0 agent@1\n\
             plan {trace} {span} task.priority=high list=[Bool(true)]\n"
        )
    );
    let mut out = String::new();
    text::detailed(TracesView::new(&body), &mut out);
    for line in [
        "     -> service.name: Str(s)",
        "InstrumentationScope agent 1",
        "    Trace ID       : abababababababababababababababab",
        "    Kind           : Server",
        "    Start time     : 2024-02-29 12:34:56.000000001 +0000 UTC",
        "    End time       : 1970-01-01 00:00:00.000000000 +0000 UTC",
        "    Status code    : Error",
        "    Status message : no",
        "     -> list: Slice([Bool(true)])",
        "     -> Name: retry",
        "     -> ID: 0202020202020202",
    ] {
        assert!(out.lines().any(|found| found == line), "{line:?} is missing in\n{out}");
    }
}

#[test]
fn a_second_prints_its_first_messages_then_every_nth() {
    let start = Instant::now();
    let at = |milliseconds| start + Duration::from_millis(milliseconds);
    let mut sampler = Sampler::new(2, 3);
    let passed: Vec<u64> = (0..10).filter(|number| sampler.pass(at(*number))).collect();
    assert_eq!(passed, [0, 1, 4, 7]);
    assert!(sampler.pass(at(1000)), "a new second");
    let mut all = Sampler::new(2, 1);
    assert!((0..10).all(|number| all.pass(at(number))));
    let mut none = Sampler::new(1, 0);
    assert_eq!((0..10).filter(|number| none.pass(at(*number))).count(), 1);
}

#[tokio::test]
async fn files_get_the_text_with_and_without_a_queue() {
    let folder = tempfile::tempdir().unwrap();
    for (queue, name) in [("", "direct"), (", sending_queue: {num_consumers: 1}", "queued")] {
        let file = folder.path().join(name);
        let text = format!(
            "{{verbosity: normal, use_internal_logger: false, output_paths: [{}]{queue}}}",
            file.display()
        );
        let telemetry = Telemetry::default();
        let exporter = plan(&crate::DEBUG, &text).unwrap().build(context(&telemetry)).unwrap();
        let (ack, taken) = Ack::channel();
        let consumer = exporter.consumer();
        consumer.consume(Payload::traces(body(), 1).with_ack(ack)).unwrap();
        assert_eq!(taken.await, Ok(()));
        let drained = exporter.shutdown(Instant::now() + Duration::from_secs(60)).await;
        assert_eq!(drained, Drained { sent: 1, dropped: 0, left: 0 });
        let written = std::fs::read_to_string(&file).unwrap();
        assert!(
            written.starts_with("Traces exporter=debug resource_spans=1 spans=1\nResourceTraces #0"),
            "{written}"
        );
        assert!(consumer.consume(Payload::traces(body(), 1)).is_err(), "stopped");
    }
}

#[tokio::test]
async fn nop_takes_everything() {
    let telemetry = Telemetry::default();
    let exporter = plan(&crate::NOP, "").unwrap().build(context(&telemetry)).unwrap();
    let (ack, taken) = Ack::channel();
    exporter.consumer().consume(Payload::traces("whatever", 7).with_ack(ack)).unwrap();
    assert_eq!(taken.await, Ok(()));
    assert_eq!(exporter.shutdown(Instant::now()).await, Drained { sent: 7, dropped: 0, left: 0 });
}

#[test]
fn the_configuration_is_the_collectors() {
    let shown = plan(&crate::DEBUG, "").unwrap().effective();
    assert_eq!(
        shown,
        serde_json::json!({
            "verbosity": "basic", "sampling_initial": 2, "sampling_thereafter": 1, "use_internal_logger": true
        })
    );
    for (factory, text, words) in [
        (&crate::DEBUG, "verbosity: loud", "unknown value `loud`"),
        (&crate::DEBUG, "output_paths: [stdout]", "needs `use_internal_logger: false`"),
        (&crate::DEBUG, "{use_internal_logger: false, output_paths: []}", "at least one"),
        (&crate::DEBUG, "sending_queue: {queue_size: 0}", "must be 1 or more"),
        (&crate::NOP, "verbosity: basic", "unknown key `verbosity`"),
    ] {
        let error = plan(factory, text).err().unwrap();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[tokio::test]
async fn both_conform() {
    forebay_testkit::conformance::exporter(&crate::NOP, "").await;
    forebay_testkit::conformance::exporter(&crate::DEBUG, "verbosity: detailed\n").await;
    forebay_testkit::conformance::exporter(&crate::DEBUG, "sending_queue: {enabled: true}\n").await;
}
