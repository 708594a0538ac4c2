//! OTLP spans as Zipkin v2 JSON, by the specification's "OpenTelemetry to Zipkin Transformation"; where that leaves
//! something open (resource, links, trace state), as the collector's translator has it.

use crate::endpoint::{CLIENT, CONSUMER, PRODUCER, Peer, SERVER};
use crate::json;
use forebay_otlp::traces::{
    AnyValueView, EventView, KeyValueView, LinkView, ResourceView, ScopeView, SpanView, TracesView, check_ids,
};
use std::collections::HashSet;
use std::ops::Range;

/// The OTLP `SpanKind` of a span that is within its service.
const INTERNAL: i32 = 1;
/// The OTLP `StatusCode`s.
const STATUS_OK: i32 = 1;
const STATUS_ERROR: i32 = 2;

/// One request's body: a JSON array of spans.
#[derive(Debug, Default)]
pub struct Body {
    /// The array's text.
    pub json: Vec<u8>,
    /// Spans in it.
    pub spans: usize,
}

/// What became of an OTLP request.
#[derive(Debug, Default)]
pub struct Encoded {
    /// In the order of the spans.
    pub bodies: Vec<Body>,
    /// Spans whose ids Zipkin has no form for.
    pub invalid: usize,
}

/// Encodes a request's spans into bodies of at most `max_body` bytes; a span that is larger gets one of its own.
pub fn encode(request: &[u8], default_service_name: &str, max_body: usize) -> Encoded {
    let mut encoded = Encoded::default();
    let mut open = Body::default();
    let mut text = Vec::new();
    let mut seen = HashSet::default();
    for group in TracesView::new(request).resource_spans() {
        let resource = SharedTags::of_resource(group.resource());
        let endpoint = local_endpoint(group.resource(), default_service_name);
        for group in group.scope_spans() {
            let scope = SharedTags::of_scope(group.scope());
            for span in group.spans() {
                if check_ids(span.trace_id(), span.span_id(), span.parent_span_id()).is_err() {
                    encoded.invalid += 1;
                    continue;
                }
                text.clear();
                let tags = Tags { shared: [&scope, &resource], seen: &mut seen };
                write_span(&mut text, span, &endpoint, tags);
                if open.spans > 0 && open.json.len() + text.len() + 2 > max_body {
                    encoded.bodies.push(finish(std::mem::take(&mut open)));
                }
                open.json.push(if open.spans == 0 { b'[' } else { b',' });
                open.json.extend_from_slice(&text);
                open.spans += 1;
            }
        }
    }
    if open.spans > 0 {
        encoded.bodies.push(finish(open));
    }
    encoded
}

fn finish(mut body: Body) -> Body {
    body.json.push(b']');
    body
}

/// The keys that a span's tags have so far.
type Seen<'a> = HashSet<&'a str, foldhash::fast::RandomState>;

/// What a span's tags are made of besides the span.
struct Tags<'t, 'a> {
    /// The scope's and the resource's, best first.
    shared: [&'t SharedTags<'a>; 2],
    /// Reused from span to span.
    seen: &'t mut Seen<'a>,
}

/// Tags that all spans of a resource or scope have, encoded once.
#[derive(Default)]
struct SharedTags<'a> {
    /// Keys, and where in `json` each one's `"key":"value"` lies.
    tags: Vec<(&'a str, Range<usize>)>,
    json: Vec<u8>,
}

impl<'a> SharedTags<'a> {
    /// The resource's attributes but its service name, which is the local endpoint's.
    fn of_resource(resource: ResourceView<'a>) -> Self {
        let mut tags = Self::default();
        for attribute in resource.attributes() {
            if attribute.key_bytes() != b"service.name" || service_name(attribute).is_none() {
                tags.push(attribute.key(), |out| json::tag_value(out, attribute.value()));
            }
        }
        tags
    }

    /// The scope's name and version, also under the names they had before, and its attributes.
    fn of_scope(scope: ScopeView<'a>) -> Self {
        let mut tags = Self::default();
        let fields = [
            ("otel.scope.name", scope.name()),
            ("otel.scope.version", scope.version()),
            ("otel.library.name", scope.name()),
            ("otel.library.version", scope.version()),
        ];
        for (key, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            tags.push(key, |out| json::string(out, value));
        }
        for attribute in scope.attributes() {
            tags.push(attribute.key(), |out| json::tag_value(out, attribute.value()));
        }
        tags
    }

    fn push(&mut self, key: &'a str, value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.json.len();
        json::string(&mut self.json, key);
        self.json.push(b':');
        value(&mut self.json);
        self.tags.push((key, start..self.json.len()));
    }
}

/// The service's name, if the attribute `service.name` has one.
fn service_name(attribute: KeyValueView<'_>) -> Option<AnyValueView<'_>> {
    match attribute.value() {
        AnyValueView::Empty | AnyValueView::Str("") => None,
        name => Some(name),
    }
}

fn local_endpoint(resource: ResourceView<'_>, default_service_name: &str) -> Vec<u8> {
    let mut names = resource.attributes().filter(|attribute| attribute.key_bytes() == b"service.name");
    let mut out = b"{\"serviceName\":".to_vec();
    match names.find_map(service_name) {
        Some(name) => json::tag_value(&mut out, name),
        None => json::string(&mut out, default_service_name),
    }
    out.push(b'}');
    out
}

fn write_span<'a>(out: &mut Vec<u8>, span: SpanView<'a>, local_endpoint: &[u8], tags: Tags<'_, 'a>) {
    out.extend_from_slice(b"{\"traceId\":");
    json::hex(out, span.trace_id());
    // An id of zeros is none (W3C trace context).
    if span.parent_span_id().iter().any(|byte| *byte != 0) {
        out.extend_from_slice(b",\"parentId\":");
        json::hex(out, span.parent_span_id());
    }
    out.extend_from_slice(b",\"id\":");
    json::hex(out, span.span_id());
    let kind = span.kind();
    let known = match kind {
        SERVER => ",\"kind\":\"SERVER\"",
        CLIENT => ",\"kind\":\"CLIENT\"",
        PRODUCER => ",\"kind\":\"PRODUCER\"",
        CONSUMER => ",\"kind\":\"CONSUMER\"",
        _ => "",
    };
    out.extend_from_slice(known.as_bytes());
    if !span.name().is_empty() {
        out.extend_from_slice(b",\"name\":");
        json::string(out, span.name());
    }
    write_times(out, span);
    out.extend_from_slice(b",\"localEndpoint\":");
    out.extend_from_slice(local_endpoint);
    if let Some(peer) = Peer::of(kind, span.attributes()) {
        out.extend_from_slice(b",\"remoteEndpoint\":");
        peer.write(out);
    }
    write_annotations(out, span);
    write_tags(out, span, tags);
    out.push(b'}');
}

/// Whole microseconds. Zipkin takes 0 for none, so a span that ended has at least 1.
fn write_times(out: &mut Vec<u8>, span: SpanView<'_>) {
    let (start, end) = (span.start_time_unix_nano(), span.end_time_unix_nano());
    if start >= 1000 {
        json::plain(out, format_args!(",\"timestamp\":{}", start / 1000));
    }
    if end > 0 {
        json::plain(out, format_args!(",\"duration\":{}", (end.saturating_sub(start) / 1000).max(1)));
    }
}

fn write_annotations(out: &mut Vec<u8>, span: SpanView<'_>) {
    let mut events = span.events().peekable();
    if events.peek().is_none() {
        return;
    }
    out.extend_from_slice(b",\"annotations\":[");
    for event in events {
        json::comma(out);
        // An event without a time is shown where its span begins, not in 1970.
        let time = match event.time_unix_nano() / 1000 {
            0 => span.start_time_unix_nano() / 1000,
            time => time,
        };
        json::plain(out, format_args!("{{\"timestamp\":{},\"value\":", time));
        annotation_value(out, event);
        out.push(b'}');
    }
    out.push(b']');
}

/// The event's name, or `"name":{attributes}` as the specification writes an event that has attributes.
fn annotation_value(out: &mut Vec<u8>, event: EventView<'_>) {
    let dropped = event.dropped_attributes_count();
    if dropped == 0 && event.attributes().next().is_none() {
        return json::string(out, event.name());
    }
    let mut text = Vec::new();
    json::string(&mut text, event.name());
    text.push(b':');
    json::object(&mut text, event.attributes(), Some(dropped));
    // Readers of OpenTelemetry take two `|` for their own form, and refuse the request when it is not.
    json::quoted(out, String::from_utf8_lossy(&text).replace('|', "\\u007c").as_bytes());
}

/// The span's own tags first: they win over those of its scope, and these over the resource's.
fn write_tags<'a>(out: &mut Vec<u8>, span: SpanView<'a>, tags: Tags<'_, 'a>) {
    let Tags { shared, seen } = tags;
    seen.clear();
    let start = out.len();
    out.extend_from_slice(b",\"tags\":{");
    let empty = out.len();
    write_status(out, span, seen);
    let trace_state = span.trace_state();
    if !trace_state.is_empty() {
        tag(out, seen, "w3c.tracestate", |out| json::string(out, trace_state));
    }
    if span.kind() == INTERNAL && !span.attributes().any(|known| known.key_bytes() == b"span.kind") {
        tag(out, seen, "span.kind", |out| json::string(out, "internal"));
    }
    let counts = [
        ("otel.dropped_attributes_count", span.dropped_attributes_count()),
        ("otel.dropped_events_count", span.dropped_events_count()),
        ("otel.dropped_links_count", span.dropped_links_count()),
    ];
    for (key, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        tag(out, seen, key, |out| json::plain(out, format_args!("\"{count}\"")));
    }
    for attribute in span.attributes() {
        tag(out, seen, attribute.key(), |out| json::tag_value(out, attribute.value()));
    }
    let links = write_links(out, span, seen);
    for shared in shared {
        for (key, json) in &shared.tags {
            if !is_link_key(key, links) && seen.insert(key) {
                json::comma(out);
                out.extend_from_slice(&shared.json[json.clone()]);
            }
        }
    }
    if out.len() == empty {
        out.truncate(start);
    } else {
        out.push(b'}');
    }
}

/// Writes a tag unless there is one of this key.
fn tag<'a>(out: &mut Vec<u8>, seen: &mut Seen<'a>, key: &'a str, value: impl FnOnce(&mut Vec<u8>)) {
    if seen.insert(key) {
        json::comma(out);
        json::string(out, key);
        out.push(b':');
        value(out);
    }
}

/// `error` is there for failed spans only, whatever the attributes say: Zipkin takes any value for a failure.
fn write_status<'a>(out: &mut Vec<u8>, span: SpanView<'a>, seen: &mut Seen<'a>) {
    let status = span.status();
    match status.code() {
        STATUS_ERROR => {
            tag(out, seen, "otel.status_code", |out| json::string(out, "ERROR"));
            tag(out, seen, "error", |out| json::string(out, status.message()));
        }
        STATUS_OK => {
            tag(out, seen, "otel.status_code", |out| json::string(out, "OK"));
            if !status.message().is_empty() {
                tag(out, seen, "otel.status_description", |out| json::string(out, status.message()));
            }
        }
        _ => {}
    }
    seen.insert("error");
}

/// Links as tags `otlp.link.0`, `otlp.link.1`, ..: `trace id|span id|trace state|attributes|dropped attributes`.
/// Gives their number.
fn write_links(out: &mut Vec<u8>, span: SpanView<'_>, seen: &Seen<'_>) -> usize {
    let mut links = 0;
    for link in span.links() {
        let key = link_key(links);
        if !seen.contains(key.as_str()) {
            json::comma(out);
            json::string(out, &key);
            out.push(b':');
            link_value(out, link);
        }
        links += 1;
    }
    links
}

fn link_key(index: usize) -> String {
    format!("otlp.link.{index}")
}

/// Whether `key` is that of one of a span's links.
fn is_link_key(key: &str, links: usize) -> bool {
    let index = key.strip_prefix("otlp.link.").and_then(|index| index.parse().ok());
    index.is_some_and(|index| index < links && link_key(index) == key)
}

fn link_value(out: &mut Vec<u8>, link: LinkView<'_>) {
    let mut text = Vec::new();
    json::hex_digits(&mut text, link.trace_id());
    text.push(b'|');
    json::hex_digits(&mut text, link.span_id());
    text.push(b'|');
    text.extend_from_slice(link.trace_state().as_bytes());
    text.push(b'|');
    json::object(&mut text, link.attributes(), None);
    json::plain(&mut text, format_args!("|{}", link.dropped_attributes_count()));
    json::quoted(out, &text);
}
