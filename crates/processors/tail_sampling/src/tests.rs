//! The processor around the sampler: threads, shards, metrics, verdicts to show.

mod explain;
mod log;
mod patience;

use crate::config::configure;
use forebay_component::{Consumer, Processor};
use forebay_config::Node;
use forebay_otlp::traces::TracesView;
use forebay_telemetry::{DecisionFilter, Kind, Telemetry};
use forebay_testkit::{Sink, conformance, context, metric, requests};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PRIORITY: &str = "
decision_wait: 1h
num_shards: SHARDS
policies:
  - {name: important, type: string_attribute, string_attribute: {key: task.priority, values: [critical, high]}}
";

fn start(config: &str, sink: &Arc<Sink>) -> (Telemetry, Box<dyn Processor>) {
    let node = Node::parse_str("c.yaml", config).unwrap();
    let context = context(Kind::Processor, "tail_sampling");
    let telemetry = context.telemetry.clone();
    let next = Arc::clone(sink) as Arc<dyn Consumer>;
    (telemetry, configure(&node).unwrap().build(context, next).unwrap())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[test]
fn conforms() {
    for shards in [1, 3] {
        let config = format!(
            "num_shards: {shards}\npolicies:\n  - {{name: all, type: always_sample}}\ndecision_wait: 10ms\n"
        );
        conformance::processor(&crate::FACTORY, &config);
    }
}

#[tokio::test]
async fn keeps_the_important_traces_whole_and_says_why() {
    for shards in ["1", "4"] {
        let sink = Arc::new(Sink::default());
        let (telemetry, processor) = start(&PRIORITY.replace("SHARDS", shards), &sink);
        let entrance = processor.consumer();
        for trace in 0..100 {
            entrance.consume(requests::payload(trace, 0, 3, None)).unwrap();
        }
        // What makes a trace worth keeping comes last, on every tenth.
        for trace in (0..100).step_by(10) {
            let value = if trace % 20 == 0 { "critical" } else { "high" };
            entrance.consume(requests::payload(trace, 3, 1, Some(("task.priority", value)))).unwrap();
        }
        entrance.consume(requests::payload(1, 3, 1, Some(("task.priority", "low")))).unwrap();
        let drained = processor.shutdown(soon());
        let expected: Vec<(u64, u64)> =
            (0..100).step_by(10).flat_map(|trace| (0..4).map(move |span| (trace, span))).collect();
        assert_eq!(requests::spans_of(&sink.taken()), expected);
        assert_eq!((drained.sent, drained.dropped), (40, 0));
        let count = |name, labels: &[(&str, &str)]| metric(&telemetry, name, labels);
        assert_eq!(count("forebay_tail_sampling_kept_spans", &[]), 40.0);
        assert_eq!(count("forebay_tail_sampling_dropped_spans", &[]), 271.0);
        assert_eq!(count("otelcol_processor_incoming_items", &[]), 311.0);
        assert_eq!(count("otelcol_processor_outgoing_items", &[]), 40.0);
        let global = "otelcol_processor_tail_sampling_global_count_traces_sampled";
        assert_eq!(count(global, &[("sampled", "true")]), 10.0);
        assert_eq!(count(global, &[("sampled", "false")]), 90.0);
        let by_policy = "otelcol_processor_tail_sampling_count_traces_sampled";
        assert_eq!(count(by_policy, &[("policy", "important"), ("decision", "sampled")]), 10.0);
        assert_eq!(count("otelcol_processor_tail_sampling_sampling_traces_on_memory", &[]), 0.0);

        let records = telemetry.decisions.recent(&DecisionFilter::default(), 1000);
        assert_eq!(records.len(), 100);
        let kept = records.iter().find(|record| record.verdict == "kept").unwrap();
        assert_eq!((kept.policy.as_deref(), kept.reason), (Some("important"), "policy_match"));
        assert!(kept.evidence.as_deref().unwrap().starts_with("task.priority = "), "{kept:?}");
        let dropped = records.iter().find(|record| record.verdict == "dropped").unwrap();
        assert_eq!((dropped.policy.as_deref(), dropped.reason), (None, "no_policy_matched"));
    }
}

#[tokio::test]
async fn drop_policies_have_a_decision_of_their_own_in_the_global_count() {
    let config = r#"
decision_wait: 1h
num_shards: 1
policies:
  - {name: all, type: span_count, span_count: {min_spans: 2}}
  - name: low
    type: drop
    drop: {drop_sub_policy: [{type: string_attribute, string_attribute: {key: task.priority, values: [low]}}]}
"#;
    let sink = Arc::new(Sink::default());
    let (telemetry, processor) = start(config, &sink);
    let entrance = processor.consumer();
    for (trace, spans, value) in [(1, 2, "low"), (2, 2, "high"), (3, 1, "high"), (4, 1, "high")] {
        entrance.consume(requests::payload(trace, 0, spans, Some(("task.priority", value)))).unwrap();
    }
    processor.shutdown(soon());
    let global = "otelcol_processor_tail_sampling_global_count_traces_sampled";
    let decisions = ["sampled", "not_sampled", "dropped"]
        .map(|decision| metric(&telemetry, global, &[("decision", decision)]));
    assert_eq!(decisions, [1.0, 2.0, 1.0]);
    let asked = "otelcol_processor_tail_sampling_sampling_policy_execution_count";
    let asked = ["low", "all"].map(|policy| metric(&telemetry, asked, &[("policy", policy)]));
    assert_eq!(asked, [4.0, 3.0]);
}

#[tokio::test]
async fn conditions_decide_and_failures_are_counted() {
    let config = r#"
decision_wait: 1h
num_shards: 2
policies:
  - name: strict
    type: ottl_condition
    ottl_condition:
      error_mode: propagate
      span: ['HasPrefix(attributes["task.priority"], "x")']
  - name: important
    type: ottl_condition
    ottl_condition:
      error_mode: ignore
      span:
      - 'Int(name) == 1'
      - 'attributes["task.priority"] == "critical" and resource.attributes["service.name"] == nil'
"#;
    let sink = Arc::new(Sink::default());
    let (telemetry, processor) = start(config, &sink);
    let entrance = processor.consumer();
    for trace in 0..10 {
        entrance.consume(requests::payload(trace, 0, 2, Some(("task.priority", "low")))).unwrap();
    }
    entrance.consume(requests::payload(3, 2, 1, Some(("task.priority", "critical")))).unwrap();
    entrance.consume(requests::payload(4, 2, 1, None)).unwrap();
    processor.shutdown(soon());
    assert_eq!(requests::spans_of(&sink.taken()), [(3, 0), (3, 1), (3, 2)]);
    let failed = "otelcol_processor_tail_sampling_sampling_policy_evaluation_error";
    assert_eq!(metric(&telemetry, failed, &[]), 1.0);
    let records = telemetry.decisions.recent(&DecisionFilter::default(), 1000);
    let kept = records.iter().find(|record| record.verdict == "kept").unwrap();
    assert_eq!(kept.policy.as_deref(), Some("important"));
    let evidence = kept.evidence.as_deref().unwrap();
    assert!(evidence.starts_with("ottl_condition = attributes[\"task.priority\"] == "), "{evidence}");
}

#[tokio::test]
async fn the_policy_is_recorded_on_scopes_when_asked_for() {
    for asked in [false, true] {
        let sink = Arc::new(Sink::default());
        let config = format!("{}record_policy: {asked}\n", PRIORITY.replace("SHARDS", "1"));
        let (_, processor) = start(&config, &sink);
        processor.consumer().consume(requests::payload(1, 0, 2, Some(("task.priority", "high")))).unwrap();
        processor.shutdown(soon());
        for body in sink.taken() {
            let scopes = TracesView::new(&body).resource_spans().flat_map(|resource| resource.scope_spans());
            for scope in scopes {
                let first = scope.scope().attributes().next().map(|attribute| attribute.key());
                assert_eq!(first, asked.then_some("tailsampling.policy"));
            }
        }
    }
}

#[tokio::test]
async fn an_early_verdict_streams_before_the_wait_is_over() {
    let sink = Arc::new(Sink::default());
    let (_, processor) = start(&PRIORITY.replace("SHARDS", "2"), &sink);
    let entrance = processor.consumer();
    entrance.consume(requests::payload(1, 0, 2, None)).unwrap();
    entrance.consume(requests::payload(1, 2, 1, Some(("task.priority", "critical")))).unwrap();
    sink.wait_for(3);
    entrance.consume(requests::payload(1, 3, 1, None)).unwrap();
    sink.wait_for(4);
    processor.shutdown(soon());
}

#[tokio::test]
async fn figures_are_true_while_the_next_stage_is_full() {
    let sink = Arc::new(Sink::default());
    sink.close();
    let (telemetry, processor) = start(&PRIORITY.replace("SHARDS", "1"), &sink);
    let entrance = processor.consumer();
    entrance.consume(requests::payload(1, 0, 2, Some(("task.priority", "critical")))).unwrap();
    let kept = || metric(&telemetry, "forebay_tail_sampling_kept_spans", &[]);
    let until = soon();
    while kept() < 2.0 && Instant::now() < until {
        std::thread::yield_now();
    }
    assert_eq!((kept(), metric(&telemetry, "otelcol_processor_incoming_items", &[])), (2.0, 2.0));
    assert_eq!((sink.items(), metric(&telemetry, "otelcol_processor_outgoing_items", &[])), (0, 0.0));
    sink.open();
    assert_eq!(processor.shutdown(soon()).sent, 2);
}

#[tokio::test]
async fn span_ingest_and_the_bound_of_one_trace_reach_the_sampler() {
    let sink = Arc::new(Sink::default());
    let config = PRIORITY.replace("SHARDS", "2")
        + "early_keep: false\nsampling_strategy: span-ingest\n\
        maximum_trace_size_bytes: 2000\n";
    let (telemetry, processor) = start(&config, &sink);
    let entrance = processor.consumer();
    entrance.consume(requests::payload(1, 0, 1, None)).unwrap();
    entrance.consume(requests::payload(1, 1, 1, Some(("task.priority", "critical")))).unwrap();
    sink.wait_for(2);
    entrance.consume(requests::payload(2, 0, 100, None)).unwrap();
    processor.shutdown(soon());
    assert_eq!(metric(&telemetry, "otelcol_processor_tail_sampling_traces_dropped_too_large", &[]), 1.0);
}

#[tokio::test]
async fn block_on_overflow_waits_for_decisions_and_never_hangs() {
    let config = |wait: &str| {
        format!(
            "block_on_overflow: true\nnum_traces: 2\nnum_shards: 1\nearly_keep: false\ndecision_wait: {wait}\n\
             policies: [{{name: all, type: always_sample}}]\n"
        )
    };
    let too_early = "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early";
    let sink = Arc::new(Sink::default());
    let (telemetry, processor) = start(&config("5ms"), &sink);
    for trace in 0..20 {
        processor.consumer().consume(requests::payload(trace, 0, 3, None)).unwrap();
    }
    sink.wait_for(60);
    processor.shutdown(soon());
    assert_eq!(metric(&telemetry, too_early, &[]), 0.0);
    // A stop does not wait for room.
    let sink = Arc::new(Sink::default());
    let (telemetry, processor) = start(&config("1h"), &sink);
    for trace in 0..20 {
        processor.consumer().consume(requests::payload(trace, 0, 3, None)).unwrap();
    }
    assert_eq!(processor.shutdown(soon()).sent, 60);
    assert_eq!(metric(&telemetry, too_early, &[]), 0.0);
}

#[tokio::test]
async fn while_full_requests_are_refused_with_a_retry() {
    let sink = Arc::new(Sink::default());
    let config = "block_on_overflow: true\nnum_traces: 1\nnum_shards: 1\ndecision_wait: 1h\n\
        policies: [{name: important, type: latency, latency: {threshold_ms: 3600000}}]\n";
    let (_, processor) = start(config, &sink);
    // What waits in front of the shard is bounded, so that a client comes to feel it.
    let refused = (0..10_000)
        .find_map(|trace| processor.consumer().consume(requests::payload(trace, 0, 1, None)).err());
    assert!(refused.unwrap().refusal.retry_after.is_some());
    processor.shutdown(soon());
}

const ALL: &str = "decision_wait: 2ms\nnum_shards: SHARDS\npolicies: [{name: all, type: always_sample}]\n";

#[tokio::test]
async fn many_at_once_lose_and_double_nothing() {
    for shards in ["1", "3"] {
        let sink = Arc::new(Sink::default());
        let (_, processor) = start(&ALL.replace("SHARDS", shards), &sink);
        let entrance = processor.consumer();
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let entrance = &entrance;
                scope.spawn(move || {
                    for number in 0..400 {
                        let payload =
                            requests::payload(number % 40, thread * 1_000 + number / 40 * 5, 5, None);
                        entrance.consume_wait(payload, Duration::from_secs(60)).unwrap();
                    }
                });
            }
        });
        let drained = processor.shutdown(soon());
        assert_eq!((drained.sent, drained.dropped), (8 * 400 * 5, 0));
        let spans = |thread: u64| (0..50).map(move |span| thread * 1_000 + span);
        let expected: Vec<_> =
            (0..40).flat_map(|trace| (0..8).flat_map(spans).map(move |span| (trace, span))).collect();
        assert_eq!(requests::spans_of(&sink.taken()), expected);
    }
}

#[tokio::test]
async fn what_is_taken_while_it_stops_is_decided() {
    for shards in ["1", "3"] {
        for _ in 0..20 {
            let sink = Arc::new(Sink::default());
            let (_, processor) = start(&ALL.replace("SHARDS", shards), &sink);
            let entrance = processor.consumer();
            let (begun, wait) = (std::sync::Barrier::new(5), Duration::from_secs(60));
            let (sent, taken) = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4_u64)
                    .map(|thread| {
                        let (entrance, begun) = (&entrance, &begun);
                        scope.spawn(move || {
                            begun.wait();
                            // Until it is refused, which only a stop does.
                            let taken = |number: &u64| {
                                let payload =
                                    requests::payload(number % 7, thread * 1_000_000 + number, 1, None);
                                entrance.consume_wait(payload, wait).is_ok()
                            };
                            (0..).take_while(taken).count() as u64
                        })
                    })
                    .collect();
                begun.wait();
                let drained = processor.shutdown(soon());
                assert_eq!(drained.dropped, 0);
                (drained.sent, threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>())
            });
            assert_eq!(sent, taken);
        }
    }
}

#[test]
fn wrong_configurations_are_located() {
    let cases = [
        ("decision_wait: 1s\n", "c.yaml:1", "policies"),
        ("policies: [{name: a, type: always_sample}]\nnum_traces: 0\n", "c.yaml:2:13", "at least 1"),
        (
            "policies: [{name: a, type: always_sample}]\nsampling_strategy: span-egress\n",
            "c.yaml:2:20",
            "trace-complete, span-ingest",
        ),
        (
            "sampling_strategy: span-ingest\npolicies:\n  - {name: a, type: trace_flags}\n  - {name: b, type: span_count, span_count: {max_spans: 5}}\n",
            "c.yaml:4:5",
            "needs whole traces",
        ),
        (
            "policies:\n  - name: c\n    type: composite\n    composite:\n      max_total_spans_per_second: 5\n      \
             policy_order: [a, b]\n      composite_sub_policy: [{name: a, type: always_sample}]\n",
            "c.yaml:6:25",
            "unknown policy \"b\"",
        ),
        (
            "policies: [{name: a, type: always_sample}]\nrecent_decisions: 1KiB\n",
            "c.yaml:2:19",
            "at least 64KiB",
        ),
        ("policies: [{name: a, type: always_sample}]\nnum_shards: 1000\n", "c.yaml:2:13", "at most 256"),
        ("policies:\n  - {name: a, type: string_atribute}\n", "c.yaml:2:21", "string_attribute"),
        ("policies:\n  - {name: a, type: latency, latency: {threshold: 5}}\n", "c.yaml:2:", "threshold_ms"),
        ("policies:\n  - {name: a, type: extension}\n", "c.yaml:2:21", "supported"),
        (
            "policies:\n  - name: a\n    type: ottl_condition\n    ottl_condition:\n      error_mode: loud\n      \
             span: ['true']\n",
            "c.yaml:5:19",
            "ignore, silent, propagate",
        ),
        (
            "policies:\n  - name: a\n    type: ottl_condition\n    ottl_condition:\n      span:\n      - 'true'\n      \
             - status.cod == 2\n",
            "c.yaml:7:9",
            "line 1, column 1: there is no path `status.cod` in the span context; did you mean `status.code`?",
        ),
    ];
    for (text, place, word) in cases {
        let node = Node::parse_str("c.yaml", text).unwrap();
        let error = configure(&node).err().unwrap_or_else(|| panic!("accepted: {text}")).to_string();
        assert!(error.contains(place) && error.contains(word), "{text}\n{error}");
    }
}
