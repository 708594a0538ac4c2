//! What the views read, as prost's structs: so that the two can be compared.

use forebay_otlp::traces::{
    AnyValueView, EventView, KeyValueView, LinkView, ResourceSpansView, ScopeSpansView, SpanField, SpanView,
    TracesView,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;

/// Prost's reading, without what views leave out: fields of profiles, and entity references.
pub fn expected(wire: &[u8]) -> ExportTraceServiceRequest {
    let mut request = ExportTraceServiceRequest::decode(wire).expect("valid");
    for_each_attributes(&mut request, &mut |attributes| {
        attributes.iter_mut().for_each(&mut without_profiles);
    });
    for resource in request.resource_spans.iter_mut().filter_map(|group| group.resource.as_mut()) {
        resource.entity_refs.clear();
    }
    request
}

/// Calls `visit` with every list of attributes, those nested in values apart.
pub fn for_each_attributes(
    request: &mut ExportTraceServiceRequest,
    visit: &mut dyn FnMut(&mut Vec<KeyValue>),
) {
    for group in &mut request.resource_spans {
        group.resource.iter_mut().for_each(|resource| visit(&mut resource.attributes));
        for scope in &mut group.scope_spans {
            scope.scope.iter_mut().for_each(|scope| visit(&mut scope.attributes));
            for span in &mut scope.spans {
                visit(&mut span.attributes);
                span.events.iter_mut().for_each(|event| visit(&mut event.attributes));
                span.links.iter_mut().for_each(|link| visit(&mut link.attributes));
            }
        }
    }
}

fn without_profiles(attribute: &mut KeyValue) {
    attribute.key_strindex = 0;
    for_each_value(attribute, &mut |value| {
        if let Some(Value::StringValueStrindex(_)) = value {
            *value = None;
        }
    });
}

/// Calls `visit` with every value of an attribute, outer ones first. Clears `key_strindex` on the way.
pub fn for_each_value(attribute: &mut KeyValue, visit: &mut dyn FnMut(&mut Option<Value>)) {
    attribute.key_strindex = 0;
    attribute.value.iter_mut().for_each(|value| each_value(value, visit));
}

fn each_value(value: &mut AnyValue, visit: &mut dyn FnMut(&mut Option<Value>)) {
    visit(&mut value.value);
    match &mut value.value {
        Some(Value::ArrayValue(array)) => array.values.iter_mut().for_each(|value| each_value(value, visit)),
        Some(Value::KvlistValue(list)) => {
            list.values.iter_mut().for_each(|entry| for_each_value(entry, visit))
        }
        _ => {}
    }
}

/// The views' reading of the same bytes.
pub fn read(wire: &[u8]) -> ExportTraceServiceRequest {
    let groups = TracesView::new(wire).resource_spans();
    ExportTraceServiceRequest { resource_spans: groups.map(resource_spans).collect() }
}

fn resource_spans(view: ResourceSpansView<'_>) -> ResourceSpans {
    let resource = view.resource();
    ResourceSpans {
        resource: view.has_resource().then(|| Resource {
            attributes: attributes(resource.attributes()),
            dropped_attributes_count: resource.dropped_attributes_count(),
            entity_refs: Vec::new(),
        }),
        scope_spans: view.scope_spans().map(scope_spans).collect(),
        schema_url: view.schema_url().to_owned(),
    }
}

fn scope_spans(view: ScopeSpansView<'_>) -> ScopeSpans {
    let scope = view.scope();
    ScopeSpans {
        scope: view.has_scope().then(|| InstrumentationScope {
            name: scope.name().to_owned(),
            version: scope.version().to_owned(),
            attributes: attributes(scope.attributes()),
            dropped_attributes_count: scope.dropped_attributes_count(),
        }),
        spans: view.spans().map(span).collect(),
        schema_url: view.schema_url().to_owned(),
    }
}

/// A span by getters, after checking that one pass over its fields reads the same if it is valid.
fn span(view: SpanView<'_>) -> Span {
    let (getters, fields) = (span_by_getters(view), span_by_fields(view));
    if Span::decode(view.bytes()).is_ok() {
        assert_eq!(fields.encode_to_vec(), getters.encode_to_vec());
    }
    getters
}

fn span_by_getters(view: SpanView<'_>) -> Span {
    Span {
        trace_id: view.trace_id().to_vec(),
        span_id: view.span_id().to_vec(),
        trace_state: view.trace_state().to_owned(),
        parent_span_id: view.parent_span_id().to_vec(),
        flags: view.flags(),
        name: view.name().to_owned(),
        kind: view.kind(),
        start_time_unix_nano: view.start_time_unix_nano(),
        end_time_unix_nano: view.end_time_unix_nano(),
        attributes: attributes(view.attributes()),
        dropped_attributes_count: view.dropped_attributes_count(),
        events: view.events().map(event).collect(),
        dropped_events_count: view.dropped_events_count(),
        links: view.links().map(link).collect(),
        dropped_links_count: view.dropped_links_count(),
        status: view
            .has_status()
            .then(|| Status { message: view.status().message().to_owned(), code: view.status().code() }),
    }
}

fn span_by_fields(view: SpanView<'_>) -> Span {
    let mut span = Span {
        dropped_attributes_count: view.dropped_attributes_count(),
        dropped_events_count: view.dropped_events_count(),
        dropped_links_count: view.dropped_links_count(),
        ..Span::default()
    };
    add_fields(&mut span, view.fields());
    let (head, rest) = view.head();
    let mut by_head = Span {
        parent_span_id: head.parent_span_id.unwrap_or_default().to_vec(),
        name: std::str::from_utf8(head.name).unwrap_or_default().to_owned(),
        start_time_unix_nano: head.start,
        end_time_unix_nano: head.end,
        // What the head leaves out.
        trace_id: span.trace_id.clone(),
        span_id: span.span_id.clone(),
        kind: span.kind,
        dropped_attributes_count: span.dropped_attributes_count,
        dropped_events_count: span.dropped_events_count,
        dropped_links_count: span.dropped_links_count,
        ..Span::default()
    };
    add_fields(&mut by_head, rest);
    assert_eq!(by_head.encode_to_vec(), span.encode_to_vec(), "the head and the rest say the same");
    span
}

fn add_fields<'a>(span: &mut Span, fields: impl Iterator<Item = SpanField<'a>>) {
    for field in fields {
        match field {
            SpanField::TraceId(id) => span.trace_id = id.to_vec(),
            SpanField::SpanId(id) => span.span_id = id.to_vec(),
            SpanField::ParentSpanId(id) => span.parent_span_id = id.to_vec(),
            SpanField::Start(time) => span.start_time_unix_nano = time,
            SpanField::End(time) => span.end_time_unix_nano = time,
            SpanField::Name(name) => span.name = std::str::from_utf8(name).unwrap_or_default().to_owned(),
            SpanField::Kind(kind) => span.kind = kind,
            SpanField::Flags(flags) => span.flags = flags,
            SpanField::TraceState(state) => span.trace_state = state.to_owned(),
            SpanField::Attribute(attribute) => span.attributes.push(key_value(attribute)),
            SpanField::Event(view) => span.events.push(event(view)),
            SpanField::Link(view) => span.links.push(link(view)),
            SpanField::Status(status) => {
                assert!(span.status.is_none(), "the status is given once");
                span.status = Some(Status { message: status.message().to_owned(), code: status.code() });
            }
            SpanField::Other => {}
        }
    }
}

fn event(view: EventView<'_>) -> span::Event {
    span::Event {
        time_unix_nano: view.time_unix_nano(),
        name: view.name().to_owned(),
        attributes: attributes(view.attributes()),
        dropped_attributes_count: view.dropped_attributes_count(),
    }
}

fn link(view: LinkView<'_>) -> span::Link {
    span::Link {
        trace_id: view.trace_id().to_vec(),
        span_id: view.span_id().to_vec(),
        trace_state: view.trace_state().to_owned(),
        attributes: attributes(view.attributes()),
        dropped_attributes_count: view.dropped_attributes_count(),
        flags: view.flags(),
    }
}

fn attributes<'a>(views: impl Iterator<Item = KeyValueView<'a>>) -> Vec<KeyValue> {
    views.map(key_value).collect()
}

fn key_value(view: KeyValueView<'_>) -> KeyValue {
    assert_eq!(view.key(), std::str::from_utf8(view.key_bytes()).unwrap_or_default());
    KeyValue {
        key: view.key().to_owned(),
        value: view.has_value().then(|| any_value(view.value())),
        key_strindex: 0,
    }
}

fn any_value(view: AnyValueView<'_>) -> AnyValue {
    let value = match view {
        AnyValueView::Empty => None,
        AnyValueView::Str(value) => Some(Value::StringValue(value.to_owned())),
        AnyValueView::Bool(value) => Some(Value::BoolValue(value)),
        AnyValueView::Int(value) => Some(Value::IntValue(value)),
        AnyValueView::Double(value) => Some(Value::DoubleValue(value)),
        AnyValueView::Bytes(value) => Some(Value::BytesValue(value.to_vec())),
        AnyValueView::Array(array) => {
            Some(Value::ArrayValue(ArrayValue { values: array.iter().map(any_value).collect() }))
        }
        AnyValueView::KvList(list) => {
            Some(Value::KvlistValue(KeyValueList { values: list.iter().map(key_value).collect() }))
        }
    };
    AnyValue { value }
}
