//! Spans and requests by prost, and a driver for the sampler.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use crate::{Action, Decision, LateSpans, PolicyConfig, Sampler, SamplerConfig, Shard, Verdict, compile};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) type Value = any_value::Value;

pub(crate) fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

pub(crate) fn id(number: u64) -> [u8; 16] {
    let mut id = [0xab; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    id
}

fn attributes(pairs: &[(&str, Value)]) -> Vec<KeyValue> {
    let attribute = |(key, value): &(&str, Value)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue { value: Some(value.clone()) }),
        ..Default::default()
    };
    pairs.iter().map(attribute).collect()
}

/// A child span of 1 ms.
pub(crate) fn span(trace: u64, number: u64) -> Span {
    Span {
        trace_id: id(trace).to_vec(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        parent_span_id: 77_u64.to_be_bytes().to_vec(),
        name: format!("step {number}"),
        start_time_unix_nano: 1_000_000_000,
        end_time_unix_nano: 1_001_000_000,
        ..Default::default()
    }
}

pub(crate) fn root(trace: u64) -> Span {
    Span { parent_span_id: Vec::new(), name: "task".to_owned(), ..span(trace, 0) }
}

pub(crate) fn with(mut span: Span, key: &str, value: Value) -> Span {
    span.attributes.extend(attributes(&[(key, value)]));
    span
}

pub(crate) fn with_status(mut span: Span, code: i32) -> Span {
    span.status = Some(Status { code, ..Default::default() });
    span
}

pub(crate) fn timed(mut span: Span, start_ms: u64, end_ms: u64) -> Span {
    span.start_time_unix_nano = start_ms * 1_000_000;
    span.end_time_unix_nano = end_ms * 1_000_000;
    span
}

pub(crate) fn resource_spans(resource: &[(&str, Value)], scope: &str, spans: Vec<Span>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource { attributes: attributes(resource), ..Default::default() }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope { name: scope.to_owned(), ..Default::default() }),
            spans,
            schema_url: "https://scope.example".to_owned(),
        }],
        schema_url: "https://resource.example".to_owned(),
    }
}

pub(crate) fn encode(resource_spans: Vec<ResourceSpans>) -> Vec<u8> {
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// One service, one scope.
pub(crate) fn request(spans: Vec<Span>) -> Vec<u8> {
    encode(vec![resource_spans(&[("service.name", text("planner"))], "sdk", spans)])
}

pub(crate) fn policies(json: &str) -> Vec<PolicyConfig> {
    serde_json::from_str(json).unwrap()
}

pub(crate) fn critical() -> Vec<PolicyConfig> {
    policies(
        r#"[{"name": "important", "type": "string_attribute",
             "string_attribute": {"key": "task.priority", "values": ["critical", "high"]}}]"#,
    )
}

/// A sampler and all that came out of it.
pub(crate) struct Driver {
    pub(crate) sampler: Sampler,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) late: Vec<LateSpans>,
    /// What was sent on: the resources with their spans, as they came.
    pub(crate) sent: Vec<ResourceSpans>,
    pub(crate) requests: Vec<Vec<u8>>,
}

impl Driver {
    pub(crate) fn new(config: SamplerConfig, policies: &[PolicyConfig]) -> Self {
        let set = compile(policies).unwrap();
        Self {
            sampler: Sampler::new(config, Arc::new(set), 42),
            decisions: Vec::new(),
            late: Vec::new(),
            sent: Vec::new(),
            requests: Vec::new(),
        }
    }

    pub(crate) fn ingest(&mut self, request: &[u8], now: Duration) {
        self.ingest_shard(request, None, now);
    }

    pub(crate) fn ingest_shard(&mut self, request: &[u8], shard: Option<Shard>, now: Duration) {
        let mut out = Vec::new();
        self.sampler.ingest(request, shard, now, &mut out);
        self.take(out);
    }

    pub(crate) fn tick(&mut self, now: Duration) {
        loop {
            let mut out = Vec::new();
            self.sampler.tick(now, &mut out);
            self.take(out);
            if self.sampler.next_deadline().is_none_or(|deadline| deadline > now) {
                break;
            }
        }
    }

    pub(crate) fn flush(&mut self, now: Duration) {
        let mut more = true;
        while more {
            let mut out = Vec::new();
            more = self.sampler.flush(now, &mut out);
            self.take(out);
        }
    }

    fn take(&mut self, out: Vec<Action>) {
        for action in out {
            match action {
                Action::Emit(emit) => {
                    forebay_otlp::traces::validate(&emit.request).unwrap();
                    let decoded = ExportTraceServiceRequest::decode(emit.request.as_slice()).unwrap();
                    assert_eq!(decoded.encoded_len(), emit.request.len(), "lengths are written minimally");
                    let spans = decoded
                        .resource_spans
                        .iter()
                        .flat_map(|rs| &rs.scope_spans)
                        .map(|ss| ss.spans.len())
                        .sum::<usize>();
                    assert_eq!(spans, emit.spans);
                    self.sent.extend(decoded.resource_spans);
                    self.requests.push(emit.request);
                }
                Action::Decided(decision) => self.decisions.push(*decision),
                Action::Late(late) => self.late.push(late),
            }
        }
        let stats = self.sampler.stats();
        let held = stats.spans_held + stats.spans_retained;
        assert_eq!(stats.spans_accepted, stats.spans_kept + stats.spans_dropped + held);
        let held = (stats.traces_held + stats.traces_retained) as u64;
        assert_eq!(stats.traces_new, stats.traces_kept + stats.traces_dropped + held);
    }

    /// Span ids sent on so far, by trace.
    pub(crate) fn kept(&self) -> BTreeMap<Vec<u8>, Vec<u64>> {
        let mut kept: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
        for span in self.sent_spans() {
            let number = u64::from_be_bytes(span.span_id.clone().try_into().unwrap());
            kept.entry(span.trace_id.clone()).or_default().push(number - 1);
        }
        kept
    }

    pub(crate) fn sent_spans(&self) -> impl Iterator<Item = &Span> {
        self.sent.iter().flat_map(|rs| &rs.scope_spans).flat_map(|ss| &ss.spans)
    }
}

/// The verdict on one trace whose resource and spans are given, by the collector's timing.
pub(crate) fn verdict(policies: &[PolicyConfig], resource: &[(&str, Value)], spans: Vec<Span>) -> Decision {
    let config = SamplerConfig { early_keep: false, ..SamplerConfig::default() };
    let mut driver = Driver::new(config, policies);
    driver.ingest(&encode(vec![resource_spans(resource, "sdk", spans)]), Duration::ZERO);
    driver.tick(30 * SECOND);
    assert_eq!(driver.decisions.len(), 1);
    driver.decisions.remove(0)
}

/// Whether a trace of these spans is kept by one policy given as JSON.
pub(crate) fn kept_by(policy: &str, spans: Vec<Span>) -> bool {
    kept_with_resource(policy, &[], spans)
}

pub(crate) fn kept_with_resource(policy: &str, resource: &[(&str, Value)], spans: Vec<Span>) -> bool {
    verdict(&policies(&format!("[{policy}]")), resource, spans).verdict == Verdict::Kept
}
