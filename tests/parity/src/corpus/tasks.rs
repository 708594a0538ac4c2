//! Agent tasks: hundreds of traces of all sizes and orders, then late spans for some, and more traces.

use std::collections::{BTreeMap, VecDeque};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValueList, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span};
use prost::Message;

use super::build::{
    Builder, Chunk, MILLISECOND, NOON, attribute, failed, resource, root, scope, text, timed, with,
};
use super::{Quirk, Scenario, Step};
use crate::random::Random;

const TRACES: usize = 360;
const LATE_TRACES: usize = 40;
const SIZES: [usize; 12] = [1, 1, 2, 2, 3, 4, 5, 7, 8, 12, 20, 41];
const DURATIONS: [u64; 12] = [0, 3, 250, 250, 999, 1000, 1001, 1500, 4999, 5000, 5001, 20_000];
const TOKENS: [i64; 14] = [i64::MIN, -100, -1, 0, 1, 99, 100, 101, 250, 499, 500, 501, 40_000, i64::MAX];
const TOOLS: [&str; 12] = [
    "search.web",
    "search.files",
    "code.run",
    "code.run\nlater",
    "db.query-42",
    "db.query-7",
    "Search.Web",
    "naïve-läufer",
    "工具",
    "",
    " padded ",
    "a.b.c",
];
const STATES: [&str; 16] = [
    "vendor=a",
    "forebay=keep,vendor=a",
    "vendor=a,forebay=keep",
    "vendor=a, forebay=keep",
    "vendor=a ,\tforebay=keep",
    "vendor=a,,forebay=keep",
    "forebay=keep,forebay=drop",
    "forebay=drop",
    "forebay=",
    "forebay",
    "Forebay=keep",
    "forebay=kee p",
    "forebay=keep ",
    "team1@corp=blue,forebay=maybe",
    "1vendor=x,forebay=keep",
    "=,forebay=keep",
];
const NAMES: [&str; 8] =
    ["plan", "tool call", "llm.chat", "retrieve", "POST /v1/tasks", "", "memory.compact", "élan"];

pub(super) fn scenario() -> Scenario {
    let (mut builder, mut random) = (Builder::default(), Random::new(0xf04e_ba71));
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for number in 0..TRACES {
        let size = if number == 100 { 300 } else { *random.pick(&SIZES) };
        let mut chunks = trace(&mut builder, &mut random, size);
        if random.chance(25) {
            late.push(vec![late_spans(&mut builder, &mut random, builder_last(&chunks))]);
        } else if chunks.len() > 1 && random.chance(10) {
            // The end of it, and with it perhaps the root, comes after the decision.
            late.push(chunks.split_off(chunks.len() - 1));
        }
        early.push(chunks);
    }
    for _ in 0..LATE_TRACES {
        let size = *random.pick(&SIZES);
        late.push(trace(&mut builder, &mut random, size));
    }
    send(&mut builder, &mut random, early);
    builder.settle();
    send(&mut builder, &mut random, late);
    builder.settle();
    let mut scenario = builder.finish("tasks");
    mark_growing(&mut scenario);
    scenario
}

/// A trace's chunks in order of arrival.
fn trace(builder: &mut Builder, random: &mut Random, size: usize) -> Vec<Chunk> {
    let id = random.trace_id();
    let trace = builder.trace(id, &[]);
    let duration = *random.pick(&DURATIONS);
    let fraction = if random.chance(20) { 400_000 } else { 0 };
    let flags = *random.pick(&[0, 0, 1, 0x101, 0x300, 0x301, 0x100]);
    let mut spans: Vec<Span> = (0..size).map(|_| builder.span(trace)).collect();
    for span in &mut spans {
        let from = random.below(duration + 1);
        *span = timed(std::mem::take(span), from, from + random.below(duration - from + 1));
        span.flags = flags;
        span.kind = random.below(6) as i32;
        (*random.pick(&NAMES)).clone_into(&mut span.name);
    }
    // Three of four have a root, first or last, that covers the whole.
    match random.below(4) {
        0 => {}
        place => {
            let at = if place == 1 { size - 1 } else { 0 };
            spans[at] = root(timed(std::mem::take(&mut spans[at]), 0, duration));
            spans[at].end_time_unix_nano += fraction;
        }
    }
    let base = some_resource(random);
    for _ in 0..random.below(5) {
        let at = random.below(size as u64) as usize;
        spans[at] = decorated(std::mem::take(&mut spans[at]), random);
    }
    if size > 1 && random.chance(6) {
        spans[0].span_id = spans[size - 1].span_id.clone();
    }
    if random.chance(6) {
        let copied = random.pick(&spans).clone();
        spans.push(copied);
    }
    let mut chunks = Vec::new();
    let most = 1 + random.below(4) as usize;
    while !spans.is_empty() {
        let count = if chunks.len() + 1 >= most {
            spans.len()
        } else {
            1 + random.below(spans.len() as u64) as usize
        };
        let resource = if random.chance(80) { base.clone() } else { some_resource(random) };
        let scope = scope(random.pick::<&str>(&["sdk", "agents", ""]));
        chunks.push(Chunk { resource, scope, spans: spans.drain(..count).collect() });
    }
    chunks
}

/// The number of the trace that the chunks are of: the last one made.
fn builder_last(chunks: &[Chunk]) -> (Vec<u8>, Resource) {
    let chunk = &chunks[0];
    (chunk.spans[0].trace_id.clone(), chunk.resource.clone())
}

fn late_spans(builder: &mut Builder, random: &mut Random, (id, base): (Vec<u8>, Resource)) -> Chunk {
    let trace = builder.traces.len() - 1;
    debug_assert_eq!(builder.traces[trace].id.to_vec(), id);
    let count = 1 + random.below(3);
    let spans = (0..count).map(|_| decorated(builder.span(trace), random)).collect();
    let resource = if random.chance(70) { base } else { some_resource(random) };
    Chunk { resource, scope: scope("sdk"), spans }
}

fn some_resource(random: &mut Random) -> Resource {
    let service = *random.pick(&["planner", "executor", "retriever", "llm-gateway", "planner", ""]);
    let mut resource = resource(&[("service.name", text(service))]);
    match random.below(14) {
        0 => resource.attributes.push(attribute("task.priority", text("critical"))),
        1 => resource.attributes.push(attribute("task.priority", text("low"))),
        2 => resource.attributes.push(attribute("node.healthy", Value::BoolValue(true))),
        3 => resource.attributes.push(attribute("node.healthy", Value::BoolValue(false))),
        4 => resource.attributes.push(attribute("llm.tokens", Value::IntValue(*random.pick(&TOKENS)))),
        5 => resource.attributes.push(attribute("tool.name", text(random.pick::<&str>(&TOOLS)))),
        6 => resource.attributes.push(attribute("tool.name", Value::IntValue(7))),
        _ => {}
    }
    resource
}

/// The span with one more thing to look for.
fn decorated(span: Span, random: &mut Random) -> Span {
    let priorities = ["critical", "high", "normal", "low", "normal", "low", "", "CRITICAL"];
    match random.below(17) {
        0..=2 => with(span, "task.priority", text(random.pick::<&str>(&priorities))),
        3 => failed(span, random.pick::<&str>(&["timeout", "rate limited", ""])),
        4 => Span { status: Some(Status { code: 1, message: String::new() }), ..span },
        5 | 6 => with(span, "llm.tokens", Value::IntValue(*random.pick(&TOKENS))),
        7 => with(span, "retry", Value::BoolValue(random.chance(50))),
        8 | 9 => with(span, "tool.name", text(random.pick::<&str>(&TOOLS))),
        10 | 11 => Span { trace_state: (*random.pick(&STATES)).to_owned(), ..span },
        12 | 13 => with_event(span, random),
        14 => with(with(span, "tool.name", text("code.run")), "tool.name", text("search.web")),
        15 => with(span, "tool.name", some_structure(random)),
        _ => with(
            with(span, "cost.usd", Value::DoubleValue(0.25 * random.below(9) as f64)),
            "step",
            Value::IntValue(random.below(4) as i64),
        ),
    }
}

fn with_event(mut span: Span, random: &mut Random) -> Span {
    let name = *random.pick(&["exception", "retry", "token", ""]);
    let kind = *random.pick(&["Timeout", "QuotaExceeded", "ValueError"]);
    span.events.push(span::Event {
        time_unix_nano: NOON + random.below(1000) * MILLISECOND,
        name: name.to_owned(),
        attributes: vec![
            attribute("exception.type", text(kind)),
            attribute("attempt", Value::IntValue(random.below(5) as i64)),
        ],
        ..Default::default()
    });
    span
}

fn some_structure(random: &mut Random) -> Value {
    let item = AnyValue { value: Some(text("search.web")) };
    match random.below(4) {
        0 => Value::ArrayValue(ArrayValue { values: vec![item] }),
        1 => Value::KvlistValue(KeyValueList { values: vec![attribute("name", text("search.web"))] }),
        2 => Value::BytesValue(b"search.web".to_vec()),
        _ => Value::DoubleValue(1.5),
    }
}

/// Sends the chunks of many traces interleaved, those of one trace in order.
fn send(builder: &mut Builder, random: &mut Random, traces: Vec<Vec<Chunk>>) {
    let mut waiting: VecDeque<VecDeque<Chunk>> = traces.into_iter().map(VecDeque::from).collect();
    let mut open: Vec<VecDeque<Chunk>> = Vec::new();
    loop {
        while open.len() < 30
            && let Some(next) = waiting.pop_front()
        {
            open.push(next);
        }
        if open.is_empty() {
            return;
        }
        let mut chunks = Vec::new();
        for _ in 0..=random.below(12) {
            if open.is_empty() {
                break;
            }
            let at = random.below(open.len() as u64) as usize;
            chunks.extend(open[at].pop_front());
            if open[at].is_empty() {
                open.swap_remove(at);
            }
        }
        builder.send(chunks);
    }
}

/// Traces whose first span is shorter than the whole: an upper bound on the latency may hold for a while.
fn mark_growing(scenario: &mut Scenario) {
    let mut times: BTreeMap<Vec<u8>, (u64, u64, bool)> = BTreeMap::new();
    for step in &scenario.steps {
        let Step::Send(request) = step else { continue };
        let request = ExportTraceServiceRequest::decode(request.clone()).unwrap_or_default();
        let groups = request.resource_spans.iter().flat_map(|group| &group.scope_spans);
        for span in groups.flat_map(|group| &group.spans) {
            let (from, to) = (span.start_time_unix_nano, span.end_time_unix_nano);
            let known = times.entry(span.trace_id.clone()).or_insert((from, to, false));
            known.2 |= from < known.0 || to > known.1;
            (known.0, known.1) = (known.0.min(from), known.1.max(to));
        }
    }
    for trace in &mut scenario.traces {
        if times.get(trace.id.as_slice()).is_some_and(|(_, _, grew)| *grew) {
            trace.quirks.insert(Quirk::Grows);
        }
    }
}
