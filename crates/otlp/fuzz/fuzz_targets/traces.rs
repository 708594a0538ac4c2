//! Any bytes, and requests generated from them: validation against prost, its notes, views, splicing.
#![no_main]

#[path = "../../tests/properties/generate.rs"]
mod generate;
#[path = "../../tests/properties/notes.rs"]
mod notes;
#[path = "../../tests/properties/reference.rs"]
mod reference;

use forebay_otlp::response;
use forebay_otlp::splice::{RequestBuilder, count_spans, split};
use forebay_otlp::traces::{TracesView, validate, without_invalid_spans};
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;

fuzz_target!(|data: &[u8]| {
    check(data);
    assert_eq!(response::decode(data).is_ok(), ExportTraceServiceResponse::decode(data).is_ok());
    let _ = response::decode_status(data);

    let (seed, damage) = data.split_at(data.len() - data.len() / 4);
    let mut request = generate::request(&mut generate::Entropy::new(seed));
    assert!(validate(&request).is_ok());
    check(&request);
    generate::mutate(&mut generate::Entropy::new(damage), &mut request);
    check(&request);
});

fn check(wire: &[u8]) {
    notes::agrees(wire);
    let valid = validate(wire);
    assert_eq!(valid.is_ok(), ExportTraceServiceRequest::decode(wire).is_ok());
    let read = reference::read(wire);
    let spliced = splice(wire);
    let parts = split(wire, 2);
    let clean = without_invalid_spans(wire);
    let Ok(stats) = valid else { return };
    assert_eq!(read.encode_to_vec(), reference::expected(wire).encode_to_vec());
    assert_eq!(stats.spans, count_spans(wire));
    assert_eq!(spans(&spliced), spans(wire));
    assert!(parts.iter().all(|part| count_spans(part) <= 2));
    assert_eq!(spans(&parts.concat()), spans(wire));
    assert_eq!(validate(&clean).map(|clean| clean.spans), Ok(stats.spans - stats.invalid.total()));
    if stats.invalid.total() == 0 {
        assert_eq!(clean, wire);
    }
}

/// All spans taken out with their headers and put back together.
fn splice(wire: &[u8]) -> Vec<u8> {
    let (mut headers, mut out) = (Vec::new(), Vec::new());
    for (resource, scope) in groups(wire) {
        let (mut resource_header, mut scope_header) = (Vec::new(), Vec::new());
        resource.write_header(&mut resource_header);
        scope.write_header(&mut scope_header);
        headers.push((resource_header, scope_header, scope));
    }
    let mut builder = RequestBuilder::new();
    for (resource_header, scope_header, scope) in &headers {
        for span in scope.spans() {
            builder.push(resource_header, scope_header, span.bytes());
        }
    }
    builder.finish(&mut out);
    out
}

type Group<'a> = (forebay_otlp::traces::ResourceSpansView<'a>, forebay_otlp::traces::ScopeSpansView<'a>);

fn groups(wire: &[u8]) -> impl Iterator<Item = Group<'_>> {
    TracesView::new(wire)
        .resource_spans()
        .flat_map(|resource| resource.scope_spans().map(move |scope| (resource, scope)))
}

/// Each span with its headers.
fn spans(wire: &[u8]) -> Vec<(Vec<u8>, Vec<u8>, &[u8])> {
    let mut spans = Vec::new();
    for (resource, scope) in groups(wire) {
        let (mut resource_header, mut scope_header) = (Vec::new(), Vec::new());
        resource.write_header(&mut resource_header);
        scope.write_header(&mut scope_header);
        spans.extend(scope.spans().map(|span| (resource_header.clone(), scope_header.clone(), span.bytes())));
    }
    spans
}
