//! Our own keys, each where it acts.

use super::*;

const BASE: &str = "
num_shards: 1
policies:
  - {name: important, type: string_attribute, string_attribute: {key: task.priority, values: [critical]}}
";

fn complaint(keys: &str) -> String {
    let node = Node::parse_str("c.yaml", &format!("{BASE}{keys}")).unwrap();
    configure(&node).err().map_or_else(String::new, |errors| errors.to_string())
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (keys, message) in [
        ("max_trace_age: 1h", "needs idle_timeout"),
        ("idle_timeout: 2h\nmax_trace_age: 1h", "shorter than idle_timeout"),
        ("idle_timeout: 5s\nmax_trace_age: 10s", "shorter than decision_wait"),
        ("memory_limit: 512", "must be at least 1MiB"),
        ("retain_dropped: {bytes: 1MiB}", "how long dropped traces are held"),
        ("retain_dropped: {for: 1m, bytes: 0}", "more than 0"),
        ("sampling_strategy: span-ingest\nretain_dropped: {for: 1m}", "trace-complete"),
        ("priority: {key: ''}", "name the attribute"),
        ("priority: {order: []}", "must list 1 to 32"),
        ("priority: {order: [a, a]}", "listed twice"),
        ("priority: {unset: urgent}", "`urgent` is not in `order`"),
        ("priority: {classes: {urgent: {floor: 1MiB}}}", "`urgent` is not in `order`"),
        ("priority: {classes: {low: {floor: 2MiB, budget: 1MiB}}}", "smaller than the class's floor"),
        ("memory_limit: 1MiB\npriority: {classes: {low: {floor: 2MiB}}}", "larger than memory_limit"),
    ] {
        let found = complaint(keys);
        assert!(found.contains(message), "{keys}: {found}");
    }
    assert_eq!(complaint("idle_timeout: 5m\nmax_trace_age: 6h\nretain_dropped: {for: 10m}"), "");
}

#[test]
fn shards_share_budgets_and_floors() {
    let keys = "memory_limit: 64MiB\nretain_dropped: {for: 1m, bytes: 8MiB}\npriority: {order: [high, mid, low], classes: {low: {floor: 2MiB, budget: 4MiB}}}";
    let node = Node::parse_str("c.yaml", &format!("{BASE}{keys}")).unwrap();
    let config: crate::config::Config = node.read().unwrap();
    let sampler = config.sampler(4);
    assert_eq!(sampler.memory_limit, Some(16 << 20));
    assert_eq!(sampler.retain_dropped.map(|retain| retain.bytes), Some(2 << 20));
    assert_eq!(sampler.priority.floors, [0, 0, 1 << 19]);
    assert_eq!(sampler.priority.budgets, [None, None, Some(1 << 20)]);
    assert_eq!((sampler.priority.unset, sampler.priority.limits), (1, true));
    let node = Node::parse_str("c.yaml", BASE).unwrap();
    let config: crate::config::Config = node.read().unwrap();
    assert!(!config.sampler(1).priority.limits, "classes of ours do not change what a limit lets through");
    assert!(config.sampler(1).memory_limit.is_some_and(|limit| limit > 0));
}

#[test]
fn memory_is_read_as_linux_writes_it() {
    let text = "MemTotal:       24565104 kB\nMemFree:         1000 kB\n";
    assert_eq!(crate::memory::total(text), Some(24_565_104 * 1024));
    assert_eq!(crate::memory::total("MemTotal: lots\n"), None);
}

#[tokio::test]
async fn what_is_retained_and_evicted_is_counted() {
    let sink = Arc::new(Sink::default());
    let keys = "decision_wait: 1h\nnum_traces: 2\nretain_dropped: {for: 1h}";
    let (telemetry, processor) = start(&format!("{BASE}{keys}"), &sink);
    let entrance = processor.consumer();
    let count = |name: &str, labels: &[(&str, &str)]| {
        metric(&telemetry, &format!("forebay_tail_sampling_{name}"), labels)
    };
    for (trace, value) in [(1, "low"), (2, "high"), (3, "high")] {
        entrance.consume(requests::payload(trace, 0, 2, Some(("task.priority", value)))).unwrap();
    }
    // Evicted, dropped and retained; a late span turns it.
    entrance.consume(requests::payload(1, 2, 1, Some(("task.priority", "critical")))).unwrap();
    let drained = processor.shutdown(soon());
    assert_eq!((drained.sent, drained.dropped), (3, 0));
    assert_eq!(requests::spans_of(&sink.taken()), [(1, 0), (1, 1), (1, 2)]);
    assert_eq!(count("evicted_traces", &[("priority", "low")]), 1.0);
    assert_eq!(count("evicted_spans", &[("priority", "low"), ("decision", "not_sampled")]), 2.0);
    assert_eq!(count("verdict_changes", &[]), 1.0);
    assert_eq!(count("kept_spans", &[]) + count("dropped_spans", &[]), 7.0);
    assert_eq!((count("held_spans", &[]), count("retained_spans", &[])), (0.0, 0.0));
    assert_eq!(count("oldest_undecided_age", &[]), 0.0);
}
