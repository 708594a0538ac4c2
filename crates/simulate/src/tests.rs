mod accounting;
mod changes;
mod recordings;
mod verdicts;

use crate::{Decide, Observer, Options, Report, SimulateError, Source, Subject, simulate};
use forebay_recording::Framing;
use forebay_sampling::{SamplerConfig, compile};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use std::io::Cursor;
use std::sync::Arc;

/// 2026-11-22, in seconds.
const START: u64 = 1_795_305_600;
const SECOND: u64 = 1_000_000_000;

/// A span of trace `trace` that ends `end` seconds after the start and took one. Number 0 is the root.
#[derive(Clone, Copy, Debug)]
struct Spanlet {
    trace: u64,
    number: u64,
    end: f64,
    priority: Option<&'static str>,
    error: bool,
}

fn span(trace: u64, number: u64, end: f64) -> Spanlet {
    Spanlet { trace, number, end, priority: None, error: false }
}

impl Spanlet {
    fn priority(self, priority: &'static str) -> Self {
        Self { priority: Some(priority), ..self }
    }

    fn error(self) -> Self {
        Self { error: true, ..self }
    }

    fn encoded(&self) -> Span {
        let end = START * SECOND + (self.end * 1e9) as u64;
        let priority = self.priority.map(|priority| KeyValue {
            key: "task.priority".to_owned(),
            value: Some(AnyValue { value: Some(Value::StringValue(priority.to_owned())) }),
            ..KeyValue::default()
        });
        Span {
            trace_id: trace_id(self.trace).to_vec(),
            span_id: (self.trace << 16 | (self.number + 1)).to_be_bytes().to_vec(),
            parent_span_id: if self.number == 0 {
                Vec::new()
            } else {
                (self.trace << 16 | 1).to_be_bytes().to_vec()
            },
            name: if self.number == 0 { format!("task {}", self.trace) } else { "step".to_owned() },
            start_time_unix_nano: end - SECOND,
            end_time_unix_nano: end,
            attributes: priority.into_iter().collect(),
            status: self.error.then(|| Status { code: 2, ..Status::default() }),
            ..Span::default()
        }
    }
}

fn trace_id(trace: u64) -> [u8; 16] {
    let mut id = [0xab; 16];
    id[8..].copy_from_slice(&trace.to_be_bytes());
    id
}

/// A recording with a record for each group of spans.
fn recording(records: &[Vec<Spanlet>]) -> Vec<u8> {
    let mut out = Vec::new();
    for spans in records {
        let spans = spans.iter().map(Spanlet::encoded).collect();
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
        let request = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        Framing::Lengths.append(&request, &mut out).unwrap();
    }
    out
}

fn subject(policies: &str, sampler: SamplerConfig) -> Subject {
    let policies = compile(&serde_json::from_str::<Vec<_>>(policies).unwrap()).unwrap();
    Subject {
        name: "new.yaml".to_owned(),
        processor: "tail_sampling".to_owned(),
        sampler,
        policies: Arc::new(policies),
    }
}

/// Critical tasks, errors, then anything over two seconds.
const POLICIES: &str = r#"[
    {"name": "important", "type": "string_attribute",
     "string_attribute": {"key": "task.priority", "values": ["critical"]}},
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 2500}}]"#;

#[derive(Default)]
struct Warnings(Vec<String>);

impl Observer for Warnings {
    fn progress(&mut self) {}
    fn warn(&mut self, message: &str) {
        self.0.push(message.to_owned());
    }
}

fn options(decide: Decide) -> Options {
    Options { decide, examples: 2, present: (START + 1_000_000) * SECOND }
}

fn run_all(
    files: Vec<Vec<u8>>,
    new: Subject,
    old: Option<Subject>,
    decide: Decide,
) -> (Result<Report, SimulateError>, Vec<String>) {
    let mut warnings = Warnings::default();
    let source =
        |(number, bytes)| Source { name: format!("file {number}"), bytes: Box::new(Cursor::new(bytes)) };
    let sources = files.into_iter().enumerate().map(source).collect();
    let report = simulate(sources, new, old, options(decide), &mut warnings);
    (report, warnings.0)
}

/// One recording, one configuration, no warnings.
fn run(records: &[Vec<Spanlet>], policies: &str, sampler: SamplerConfig, decide: Decide) -> Report {
    let (report, warnings) = run_all(vec![recording(records)], subject(policies, sampler), None, decide);
    assert_eq!(warnings, Vec::<String>::new());
    report.unwrap()
}

/// Traces that a policy decided.
fn traces(report: &Report, policy: &str) -> u64 {
    let rows = report.new.policies.iter().chain(&report.new.without_policy);
    rows.filter(|row| row.policy == policy).map(|row| row.decided.counts.traces).sum()
}
