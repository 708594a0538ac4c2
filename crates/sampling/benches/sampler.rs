//! CPU time per span and memory per held span, for traffic like that of the end-to-end benchmark: 100 spans a request,
//! about 340 bytes a span. `cargo bench -p forebay-sampling`; a figure for comparing changes, not for publishing.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_generator::{Corpus, CorpusOptions};
use forebay_otlp::traces::validate_and_index;
use forebay_sampling::{Action, Reader, Sampler, SamplerConfig, compile};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

const PRIORITY: &str = r#"[{"name": "important", "type": "string_attribute",
     "string_attribute": {"key": "task.priority", "values": ["critical", "high"]}}]"#;

const POLICIES: &str = r#"[
    {"name": "important", "type": "string_attribute",
     "string_attribute": {"key": "task.priority", "values": ["critical", "high"]}},
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 5000}},
    {"name": "few", "type": "probabilistic", "probabilistic": {"sampling_percentage": 5}}]"#;

/// The first two as conditions, which look at each span by itself.
const CONDITIONS: &str = r#"[
    {"name": "important", "type": "ottl_condition", "ottl_condition": {"span": [
        "attributes[\"task.priority\"] == \"critical\" or attributes[\"task.priority\"] == \"high\""]}},
    {"name": "errors", "type": "ottl_condition", "ottl_condition": {"span": ["status.code == STATUS_CODE_ERROR"]}},
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 5000}},
    {"name": "few", "type": "probabilistic", "probabilistic": {"sampling_percentage": 5}}]"#;

const SPANS_PER_TRACE: u64 = 10;
const SPANS_PER_REQUEST: u64 = 100;

fn main() {
    let corpus = Corpus::build(&CorpusOptions::default()).unwrap();
    let rounds: Vec<[f64; 2]> = (0..ROUNDS).map(|_| tasks(&corpus)).collect();
    let best = |part: usize| rounds.iter().map(|round| round[part]).min_by(f64::total_cmp).unwrap();
    println!("agent tasks: {:.0} ns/span read, {:.0} ns/span taken in and decided", best(0), best(1));
    for (name, interleaved, policies) in [
        ("traces together", false, POLICIES),
        ("only priority", true, PRIORITY),
        ("traces interleaved", true, POLICIES),
        ("traces interleaved, conditions", true, CONDITIONS),
    ] {
        let requests: Vec<Vec<u8>> = (0..10_000).map(|number| request(number, interleaved)).collect();
        let rounds: Vec<Round> = (0..ROUNDS).map(|_| run(&requests, policies)).collect();
        let best = rounds.iter().min_by(|a, b| a.nanos.total_cmp(&b.nanos)).unwrap();
        println!(
            "{name}: {:.0} ns/span, {:.1} MB kept; {} held spans of {} B take {:.3} x their size",
            best.nanos, best.kept_mb, best.held_spans, best.span_bytes, best.held_ratio
        );
    }
}

const ROUNDS: usize = 7;

/// The load of `benches/cases/tail_sampling_100`, a million spans held: what reading a request that is in the cache
/// takes, and what the sampler does.
fn tasks(corpus: &Corpus) -> [f64; 2] {
    let policies = Arc::new(compile(&serde_json::from_str::<Vec<_>>(PRIORITY).unwrap()).unwrap());
    let config = SamplerConfig { num_traces: 1 << 20, ..SamplerConfig::default() };
    let mut reader = Reader::new(&config, Arc::clone(&policies), 1);
    let mut sampler = Sampler::new(config, policies, 1);
    let (mut out, mut request) = (Vec::new(), Vec::new());
    let (mut now, mut taken, mut spans) = (Duration::ZERO, [Duration::ZERO; 2], 0);
    for replay in 0..20 {
        for one in corpus.requests() {
            request.clear();
            one.write(replay, &mut request);
            // A million spans in the 30 s that a trace waits.
            now += Duration::from_nanos(30_000 * one.spans() as u64);
            spans += one.spans();
            let (_, index) = validate_and_index(&request).unwrap();
            let begun = Instant::now();
            let reading = reader.read(&request, index.as_ref());
            let read = Instant::now();
            sampler.take_in(reading, None, now, &mut out);
            sampler.tick(now, &mut out);
            out.clear();
            taken[0] += read - begun;
            taken[1] += read.elapsed();
        }
    }
    taken.map(|taken| taken.as_nanos() as f64 / spans as f64)
}

struct Round {
    nanos: f64,
    kept_mb: f64,
    held_spans: u64,
    span_bytes: u64,
    held_ratio: f64,
}

fn run(requests: &[Vec<u8>], policies: &str) -> Round {
    let policies = Arc::new(compile(&serde_json::from_str::<Vec<_>>(policies).unwrap()).unwrap());
    let config = SamplerConfig { num_traces: 1 << 20, ..SamplerConfig::default() };
    let mut sampler = Sampler::new(config, policies, 1);
    let mut out = Vec::new();
    let (mut kept, mut held_peak) = (0, (0, 0, 0));
    let started = cpu_nanos();
    // 300 requests a second of the sampler's time, so 30 s hold 900,000 spans.
    for (number, request) in requests.iter().enumerate() {
        let now = Duration::from_millis(number as u64 * 1_000 / 300);
        sampler.ingest(request, None, now, &mut out);
        sampler.tick(now, &mut out);
        for action in out.drain(..) {
            if let Action::Emit(emit) = action {
                kept += emit.request.len();
            }
        }
        if number == 8_999 {
            let stats = sampler.stats();
            held_peak = (stats.spans_held, stats.bytes_held, stats.memory);
        }
    }
    let elapsed = cpu_nanos() - started;
    let spans = sampler.stats().spans_accepted;
    let (held_spans, held_bytes, memory) = held_peak;
    Round {
        nanos: elapsed as f64 / spans as f64,
        kept_mb: kept as f64 / 1e6,
        held_spans,
        span_bytes: held_bytes / held_spans.max(1),
        held_ratio: memory as f64 / held_bytes.max(1) as f64,
    }
}

/// CPU time of this process, which a busy machine does not inflate as it does the clock's.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

fn request(number: u64, interleaved: bool) -> Vec<u8> {
    let traces = SPANS_PER_REQUEST / SPANS_PER_TRACE;
    let spans = (0..SPANS_PER_REQUEST).map(|n| {
        let (trace, step) =
            if interleaved { (n % traces, n / traces) } else { (n / SPANS_PER_TRACE, n % SPANS_PER_TRACE) };
        span(number * traces + trace, step)
    });
    let scope_spans = ScopeSpans {
        scope: Some(InstrumentationScope { name: "forebay.bench".to_owned(), ..Default::default() }),
        spans: spans.collect(),
        ..Default::default()
    };
    let resource = Resource {
        attributes: vec![
            text("service.name", "planner"),
            text("host.name", "node-1"),
            text("k8s.pod.name", "planner-0"),
        ],
        ..Default::default()
    };
    let resource_spans =
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope_spans], ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec()
}

fn span(trace: u64, step: u64) -> Span {
    let mixed = (trace + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let trace_id = (u128::from(mixed) << 64 | u128::from(mixed.rotate_left(31))).to_be_bytes().to_vec();
    let priority = if trace.is_multiple_of(20) { "critical" } else { "normal" };
    Span {
        trace_id,
        span_id: (mixed ^ step).to_be_bytes().to_vec(),
        parent_span_id: if step == 0 { Vec::new() } else { mixed.to_be_bytes().to_vec() },
        name: format!("agent.step {step}"),
        kind: 3,
        start_time_unix_nano: 1_700_000_000_000_000_000 + step * 1_000_000,
        end_time_unix_nano: 1_700_000_000_050_000_000 + step * 1_000_000,
        attributes: vec![
            text("task.id", &format!("task-{trace:016x}")),
            text("task.priority", priority),
            text("gen_ai.system", "example"),
            text("gen_ai.request.model", "large-model-2026"),
            text("tool.name", "search.documents"),
            text("session.id", "0123456789abcdef0123456789abcdef"),
        ],
        ..Default::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}
