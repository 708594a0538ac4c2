//! A request as arrays of Zipkin v2 spans.

use crate::tags::Tags;
use crate::{endpoint, json, tags};
use forebay_otlp::traces::{EventView, SpanView, TracesView};

/// One array and how many spans it has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) json: Vec<u8>,
    pub(crate) spans: usize,
}

/// Writes a request; an array ends when it has `max_bytes` or more.
pub(crate) fn encode(request: &[u8], default_service: &str, max_bytes: usize) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut json = Vec::new();
    let mut spans = 0;
    let mut scratch = Tags::default();
    for resource_spans in TracesView::new(request).resource_spans() {
        let (resource_tags, service) = tags::of_resource(resource_spans.resource());
        let service = service.filter(|name| !name.is_empty());
        let service = service.as_deref().unwrap_or(default_service);
        for scope_spans in resource_spans.scope_spans() {
            let mut base = resource_tags.clone();
            tags::add_scope(scope_spans.scope(), &mut base);
            for view in scope_spans.spans() {
                json.push(if spans == 0 { b'[' } else { b',' });
                scratch.reset_to(&base);
                span(view, service, &mut scratch, &mut json);
                spans += 1;
                if json.len() >= max_bytes {
                    json.push(b']');
                    chunks.push(Chunk { json: std::mem::take(&mut json), spans });
                    spans = 0;
                }
            }
        }
    }
    if spans > 0 {
        json.push(b']');
        chunks.push(Chunk { json, spans });
    }
    chunks
}

fn span<'a>(span: SpanView<'a>, service: &str, tags: &mut Tags<'a>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"traceId\":");
    json::hex_string(span.trace_id(), out);
    out.extend_from_slice(b",\"id\":");
    json::hex_string(span.span_id(), out);
    if span.parent_span_id().iter().any(|byte| *byte != 0) {
        out.extend_from_slice(b",\"parentId\":");
        json::hex_string(span.parent_span_id(), out);
    }
    if !span.name().is_empty() {
        out.extend_from_slice(b",\"name\":");
        json::string(span.name(), out);
    }
    if let Some(kind) = kind(span.kind()) {
        out.extend_from_slice(b",\"kind\":");
        json::string(kind, out);
    }
    let (start, end) = (span.start_time_unix_nano(), span.end_time_unix_nano());
    if start > 0 {
        out.extend_from_slice(b",\"timestamp\":");
        json::number((start / 1_000).max(1), out);
    }
    // Zipkin has no duration of 0; a span that has not ended, or before it began, has none at all.
    if end > 0 && end >= start {
        out.extend_from_slice(b",\"duration\":");
        json::number(((end - start) / 1_000).max(1), out);
    }
    tags.add_all(span.attributes());
    endpoint::write_local(service, tags, out);
    endpoint::write_remote(span.kind(), tags, out);
    annotations(span.events(), out);
    tags::add_span(span, tags);
    tags.write(out);
    out.push(b'}');
}

/// Unspecified and internal spans have no kind in Zipkin.
fn kind(kind: i32) -> Option<&'static str> {
    match kind {
        2 => Some("SERVER"),
        3 => Some("CLIENT"),
        4 => Some("PRODUCER"),
        5 => Some("CONSUMER"),
        _ => None,
    }
}

/// Events, in the form that the collector's Zipkin receiver reads back: the name alone, or with its attributes.
fn annotations<'a>(events: impl Iterator<Item = EventView<'a>>, out: &mut Vec<u8>) {
    let mut any = false;
    for event in events {
        out.extend_from_slice(if any { b"," } else { b",\"annotations\":[" });
        any = true;
        out.extend_from_slice(b"{\"timestamp\":");
        json::number(event.time_unix_nano() / 1_000, out);
        out.extend_from_slice(b",\"value\":");
        let dropped = event.dropped_attributes_count();
        if dropped == 0 && event.attributes().next().is_none() {
            json::string(event.name(), out);
        } else {
            let mut attributes = Vec::new();
            json::object(event.attributes(), &mut attributes);
            let attributes = String::from_utf8_lossy(&attributes);
            json::string(&format!("{}|{attributes}|{dropped}", event.name()), out);
        }
        out.push(b'}');
    }
    if any {
        out.push(b']');
    }
}
