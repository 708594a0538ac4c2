//! A day of agent tasks under a fixed budget of bytes, on a clock that is passed in: what is critical comes out whole,
//! classes yield in order, memory stays flat.
#![allow(clippy::print_stdout)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use forebay_otlp::traces::TracesView;
use forebay_sampling::{Action, PolicyConfig, PriorityClasses, Sampler, SamplerConfig, Trigger, compile};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 24 * 60 * 60 * SECOND;
const LIMIT: usize = 6 << 20;
const CLASSES: [&str; 4] = ["critical", "high", "normal", "low"];

/// A small generator of numbers: the test must be the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A task: its class and how many spans it has.
struct Task {
    class: usize,
    spans: u64,
    fails: bool,
}

/// What happens: a span of a task ends. The root is number 0 and ends last.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: u64,
    task: usize,
    span: u64,
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn span(number: usize, task: &Task, span: u64, at: u64) -> Span {
    let mut id = [0x5a; 16];
    id[8..].copy_from_slice(&(number as u64).to_be_bytes());
    let class = Value::StringValue(CLASSES[task.class].to_owned());
    let prompt = Value::StringValue("token ".repeat(40));
    Span {
        trace_id: id.to_vec(),
        span_id: (span + 1).to_be_bytes().to_vec(),
        parent_span_id: if span == 0 { Vec::new() } else { 1_u64.to_be_bytes().to_vec() },
        name: format!("step {span}"),
        start_time_unix_nano: DAY + at.saturating_sub(SECOND),
        end_time_unix_nano: DAY + at,
        // Children say how much their task matters; what decides about it stands on the root, which ends last.
        attributes: vec![attribute("task.priority", class), attribute("gen_ai.prompt", prompt)]
            .into_iter()
            .chain((span == 0).then(|| attribute("task.failed", Value::BoolValue(task.fails))))
            .collect(),
        ..Span::default()
    }
}

/// Tasks that start all day long: most last seconds, some hours.
fn tasks(numbers: &mut Numbers) -> (Vec<Task>, BinaryHeap<Reverse<Event>>) {
    let (mut tasks, mut events) = (Vec::new(), BinaryHeap::new());
    let mut start = 0;
    while start < DAY {
        start += (1 + numbers.next(6)) * SECOND;
        let class = [0, 1, 2, 2, 2, 3, 3, 3, 3, 3][numbers.next(10) as usize];
        let lasts = match numbers.next(100) {
            0..60 => 1 + numbers.next(30),
            60..90 => 30 + numbers.next(600),
            90..98 => 600 + numbers.next(3_600),
            _ => 3_600 + numbers.next(5 * 3_600),
        };
        let spans = 2 + (lasts / 30).min(400) + numbers.next(8);
        for number in 1..spans {
            let at = start + lasts * SECOND * number / spans;
            events.push(Reverse(Event { at, task: tasks.len(), span: number }));
        }
        events.push(Reverse(Event { at: start + lasts * SECOND, task: tasks.len(), span: 0 }));
        tasks.push(Task { class, spans, fails: class == 0 || numbers.next(10) == 0 });
    }
    (tasks, events)
}

fn pop_before(events: &mut BinaryHeap<Reverse<Event>>, until: u64) -> Option<Reverse<Event>> {
    let is_due = events.peek().is_some_and(|Reverse(event)| event.at < until);
    is_due.then(|| events.pop()).flatten()
}

#[test]
fn a_day_of_agent_tasks_under_a_byte_budget() {
    let policies: Vec<PolicyConfig> = serde_json::from_str(
        r#"[{"name": "failed", "type": "boolean_attribute", "boolean_attribute": {"key": "task.failed", "value": true}}]"#,
    )
    .unwrap();
    let config = SamplerConfig {
        decision_wait: Duration::from_secs(10),
        decision_wait_after_root_received: Some(Duration::from_secs(10)),
        idle_timeout: Some(Duration::from_secs(2 * 60 * 60)),
        num_traces: 1_000_000,
        sampled_cache_size: 2_000,
        non_sampled_cache_size: 2_000,
        memory_limit: Some(LIMIT),
        priority: PriorityClasses::default(),
        ..SamplerConfig::default()
    };
    let mut sampler = Sampler::new(config, Arc::new(compile(&policies).unwrap()), 3);
    let (tasks, mut events) = tasks(&mut Numbers(42));
    let longest = tasks.iter().map(|task| task.spans).max().unwrap();
    let (mut arrived, mut peaks, mut out) = (0_u64, [0_usize; 4], Vec::new());
    let (mut kept, mut evicted, mut came) = (BTreeMap::<usize, u64>::new(), [0_u64; 4], [0_u64; 4]);
    let task_of = |id: [u8; 16]| {
        usize::from_str_radix(&id[8..].iter().map(|b| format!("{b:02x}")).collect::<String>(), 16).unwrap()
    };
    let mut now = 0;
    loop {
        // An exporter sends what has ended every second.
        let mut spans = Vec::new();
        let until = match events.peek() {
            Some(Reverse(next)) => next.at + SECOND,
            None => break,
        };
        while let Some(Reverse(Event { at, task, span: number })) = pop_before(&mut events, until) {
            now = at;
            came[tasks[task].class] += 1;
            spans.push(span(task, &tasks[task], number, at));
        }
        let clock = Duration::from_nanos(now);
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
        };
        let request = request.encode_to_vec();
        arrived += request.len() as u64;
        sampler.ingest(&request, None, clock, &mut out);
        while sampler.next_deadline().is_some_and(|due| due <= clock) {
            sampler.tick(clock, &mut out);
        }
        for action in out.drain(..) {
            match action {
                Action::Emit(emit) => {
                    for resource in TracesView::new(&emit.request).resource_spans() {
                        for span in resource.scope_spans().flat_map(|scope| scope.spans()) {
                            *kept.entry(task_of(span.trace_id().try_into().unwrap())).or_default() += 1;
                        }
                    }
                }
                Action::Decided(decision) if decision.trigger.is_eviction() => {
                    assert_eq!(decision.trigger, Trigger::EvictedMemory);
                    evicted[tasks[task_of(decision.trace_id)].class] += 1;
                }
                _ => {}
            }
        }
        let stats = sampler.stats();
        assert_eq!(stats.spans_accepted, stats.spans_kept + stats.spans_dropped + stats.spans_held);
        let quarter = usize::try_from(now / (DAY / 4)).unwrap().min(3);
        peaks[quarter] = peaks[quarter].max(stats.memory);
    }
    println!(
        "{} tasks, the longest of {longest} spans, {} MiB in a day; memory by quarter {:?} KiB; evicted by class {evicted:?} of {came:?} spans",
        tasks.len(),
        arrived >> 20,
        peaks.map(|peak| peak >> 10),
    );
    // Far more arrives than memory could hold, and what may be held does not suffice for all that is under way.
    assert!(arrived > 4 * LIMIT as u64, "{arrived}");
    assert!(evicted[3] > 50, "{evicted:?}");
    // Classes yield in order: nothing above the lowest that had to.
    assert_eq!((evicted[0], evicted[1]), (0, 0));
    // Every critical task is whole, however long it took.
    for (number, task) in tasks.iter().enumerate() {
        match task.class {
            0 => assert_eq!(kept.get(&number), Some(&task.spans), "critical task {number}"),
            1 => assert_eq!(kept.get(&number), task.fails.then_some(&task.spans), "task {number}"),
            _ => {}
        }
    }
    let highest = *peaks.iter().max().unwrap();
    assert!(highest < LIMIT + (4 << 20), "{peaks:?}");
    assert!(peaks[3] <= peaks[1] + (1 << 20), "flat: {peaks:?}");
}
