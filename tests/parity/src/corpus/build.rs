//! Making requests of spans.

use std::collections::BTreeSet;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use super::{Quirk, Scenario, Step, Trace};

/// The attribute that carries a span's number.
const NUMBER: &str = "n";

/// All times are around this moment.
pub(super) const NOON: u64 = 1_795_348_800_000_000_000;
pub(super) const MILLISECOND: u64 = 1_000_000;

pub(super) fn number_of(span: &Span) -> Option<usize> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == NUMBER)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::IntValue(number) => usize::try_from(*number).ok(),
        _ => None,
    }
}

pub(super) fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

/// The spans of one trace under one resource and one scope that travel together.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) resource: Resource,
    pub(super) scope: InstrumentationScope,
    pub(super) spans: Vec<Span>,
}

/// Collects steps, and gives out the numbers.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub(super) steps: Vec<Step>,
    pub(super) traces: Vec<Trace>,
    spans: usize,
}

impl Builder {
    /// A new trace; its number.
    pub(super) fn trace(&mut self, id: [u8; 16], quirks: &[Quirk]) -> usize {
        self.traces.push(Trace { id, spans: BTreeSet::new(), quirks: quirks.iter().copied().collect() });
        self.traces.len() - 1
    }

    /// A span of 1 ms, child of a span that may never come.
    pub(super) fn span(&mut self, trace: usize) -> Span {
        let number = self.spans;
        self.spans += 1;
        self.traces[trace].spans.insert(number);
        Span {
            trace_id: self.traces[trace].id.to_vec(),
            span_id: (number as u64 + 1).to_be_bytes().to_vec(),
            parent_span_id: 0x00ff_0000_0000_0000_u64.to_be_bytes().to_vec(),
            name: "step".to_owned(),
            kind: 1,
            start_time_unix_nano: NOON,
            end_time_unix_nano: NOON + MILLISECOND,
            attributes: vec![attribute(NUMBER, Value::IntValue(number as i64))],
            ..Default::default()
        }
    }

    /// Sends the chunks, neighbours of one resource together.
    pub(super) fn send(&mut self, chunks: Vec<Chunk>) {
        let mut resource_spans: Vec<ResourceSpans> = Vec::new();
        for Chunk { resource, scope, spans } in chunks {
            let scope_spans = ScopeSpans { scope: Some(scope), spans, ..Default::default() };
            match resource_spans.last_mut() {
                Some(last) if last.resource.as_ref() == Some(&resource) => {
                    match last.scope_spans.last_mut() {
                        Some(group) if group.scope == scope_spans.scope => {
                            group.spans.extend(scope_spans.spans)
                        }
                        _ => last.scope_spans.push(scope_spans),
                    }
                }
                _ => resource_spans.push(ResourceSpans {
                    resource: Some(resource),
                    scope_spans: vec![scope_spans],
                    ..Default::default()
                }),
            }
        }
        let request = ExportTraceServiceRequest { resource_spans };
        self.steps.push(Step::Send(request.encode_to_vec().into()));
    }

    /// Sends spans under one plain resource and scope.
    pub(super) fn send_plain(&mut self, spans: Vec<Span>) {
        self.send(vec![Chunk {
            resource: resource(&[("service.name", text("planner"))]),
            scope: scope("sdk"),
            spans,
        }]);
    }

    pub(super) fn pause(&mut self, milliseconds: u64) {
        self.steps.push(Step::Pause(Duration::from_millis(milliseconds)));
    }

    pub(super) fn settle(&mut self) {
        self.steps.push(Step::Settle);
    }

    pub(super) fn finish(self, name: &'static str) -> Scenario {
        Scenario { name, steps: self.steps, traces: self.traces, spans: self.spans }
    }
}

pub(super) fn resource(attributes: &[(&str, Value)]) -> Resource {
    let attributes = attributes.iter().map(|(key, value)| attribute(key, value.clone())).collect();
    Resource { attributes, ..Default::default() }
}

pub(super) fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope { name: name.to_owned(), version: "1.2.0".to_owned(), ..Default::default() }
}

/// The span without a parent.
pub(super) fn root(mut span: Span) -> Span {
    span.parent_span_id.clear();
    "task".clone_into(&mut span.name);
    span
}

pub(super) fn with(mut span: Span, key: &str, value: Value) -> Span {
    span.attributes.push(attribute(key, value));
    span
}

pub(super) fn failed(mut span: Span, message: &str) -> Span {
    span.status = Some(Status { code: 2, message: message.to_owned() });
    span
}

/// From and to in milliseconds after noon.
pub(super) fn timed(mut span: Span, from: u64, to: u64) -> Span {
    span.start_time_unix_nano = NOON + from * MILLISECOND;
    span.end_time_unix_nano = NOON + to * MILLISECOND;
    span
}
