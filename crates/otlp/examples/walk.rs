//! Times validation and a one-pass walk over 340-byte spans: `cargo run --release -p forebay-otlp --example walk`.
#![allow(clippy::expect_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use forebay_otlp::json::decode_request;
use forebay_otlp::splice::{RequestBuilder, count_spans};
use forebay_otlp::traces::{AnyValueView, SpanField, TracesView, validate};
const SPANS: usize = 100;
const ROUNDS: usize = 20;

fn main() {
    let request = request();
    println!("{} bytes a span", request.len() / SPANS);
    time("validate", || validate(black_box(&request)).expect("valid").spans);
    time("walk", || walk(black_box(&request)));
    time("count", || count_spans(black_box(&request)));
    time("splice", || splice(black_box(&request)));
}

fn time(name: &str, mut run: impl FnMut() -> usize) {
    let best = (0..500)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ROUNDS {
                black_box(run());
            }
            start.elapsed().as_nanos() as f64 / (ROUNDS * SPANS) as f64
        })
        .fold(f64::MAX, f64::min);
    println!("{name:>10}: {best:6.1} ns a span");
}

/// What the sampler reads: ids, times, status, and one attribute by its key.
fn walk(request: &[u8]) -> usize {
    let mut found = 0;
    for resource in TracesView::new(request).resource_spans() {
        for scope in resource.scope_spans() {
            for span in scope.spans() {
                for field in span.fields() {
                    match field {
                        SpanField::TraceId(id) | SpanField::SpanId(id) | SpanField::ParentSpanId(id) => {
                            found += id.len();
                        }
                        SpanField::Start(time) | SpanField::End(time) => found ^= time as usize,
                        SpanField::Status(status) => found += status.code() as usize,
                        SpanField::Attribute(attribute) if attribute.key_bytes() == b"task.priority" => {
                            if let AnyValueView::Str(priority) = attribute.value() {
                                found += priority.len();
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn splice(request: &[u8]) -> usize {
    let (mut builder, mut out) = (RequestBuilder::new(), Vec::with_capacity(request.len()));
    for resource in TracesView::new(request).resource_spans() {
        for scope in resource.scope_spans() {
            for span in scope.spans() {
                builder.push(b"", b"", span.bytes());
            }
        }
    }
    builder.finish(&mut out);
    out.len()
}

fn request() -> Vec<u8> {
    let spans: Vec<String> = (0..SPANS).map(span).collect();
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, spans.join(","));
    decode_request(json.as_bytes()).expect("valid")
}

fn span(index: usize) -> String {
    let attributes: Vec<String> = [
        ("task.id", r#"{"stringValue":"task-00004711"}"#),
        ("task.priority", r#"{"stringValue":"normal"}"#),
        ("gen_ai.system", r#"{"stringValue":"acme"}"#),
        ("gen_ai.request.model", r#"{"stringValue":"large-2026-05"}"#),
        ("gen_ai.usage.input_tokens", r#"{"intValue":1234}"#),
        ("gen_ai.usage.output_tokens", r#"{"intValue":567}"#),
        ("agent.name", r#"{"stringValue":"planner"}"#),
        ("task.cost", r#"{"doubleValue":0.0123}"#),
    ]
    .iter()
    .map(|(key, value)| format!(r#"{{"key":"{key}","value":{value}}}"#))
    .collect();
    let id = index + 1;
    format!(
        r#"{{"traceId":"{id:032x}","spanId":"{id:016x}","parentSpanId":"{id:016x}","name":"agent.step plan","kind":1,
        "startTimeUnixNano":17000000000000{id:05},"endTimeUnixNano":17000000010000{id:05},"flags":257,
        "attributes":[{}],"status":{{"code":1}}}}"#,
        attributes.join(",")
    )
}
