//! The sampler over time: when it decides, what it sends on, what it forgets.

use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::{Action, Reader, Reason, Sampler, SamplerConfig, Shard, Trigger, Verdict, compile};

fn patient() -> SamplerConfig {
    SamplerConfig { early_keep: false, ..SamplerConfig::default() }
}

fn urgent(trace: u64, number: u64) -> opentelemetry_proto::tonic::trace::v1::Span {
    with(span(trace, number), "task.priority", text("critical"))
}

#[test]
fn a_critical_span_that_comes_last_keeps_the_whole_trace() {
    let mut driver = Driver::new(SamplerConfig::default(), &critical());
    driver.ingest(&request(vec![span(1, 0), span(2, 0), span(1, 1)]), Duration::ZERO);
    driver.ingest(&request(vec![span(1, 2), span(2, 1)]), 5 * SECOND);
    driver.ingest(&request(vec![with(root(1), "task.priority", text("critical"))]), 29 * SECOND);
    driver.tick(30 * SECOND);
    assert_eq!(driver.kept()[&id(1).to_vec()], [0, 1, 2, 0]);
    assert_eq!(driver.kept().len(), 1);
    let [first, second] = &driver.decisions[..] else { panic!("{:?}", driver.decisions) };
    assert_eq!((first.trace_id, first.trigger), (id(1), Trigger::EarlyKeep));
    assert_eq!((first.spans, first.root_name.as_deref()), (4, Some("task")));
    assert_eq!(first.priority.as_deref(), Some("critical"));
    assert_eq!(first.service_name.as_deref(), Some("planner"));
    let evidence = first.evidence.as_ref().unwrap();
    assert_eq!((&*evidence.key, evidence.value.as_str()), ("task.priority", "critical"));
    assert_eq!(evidence.span_id, Some(1_u64.to_be_bytes()));
    assert_eq!((second.trace_id, second.verdict), (id(2), Verdict::Dropped));
    assert_eq!((second.trigger, second.reason), (Trigger::DecisionWait, Reason::NoPolicyMatched));
}

#[test]
fn a_trace_over_three_requests_keeps_resources_scopes_and_bytes() {
    let mut driver = Driver::new(patient(), &critical());
    let planner = [("service.name", text("planner"))];
    let tool = [("service.name", text("tool"))];
    let first = with(span(1, 0), "odd", Value::BytesValue(vec![0, 255]));
    driver.ingest(
        &encode(vec![
            resource_spans(&planner, "sdk", vec![first.clone(), span(2, 9)]),
            resource_spans(&planner, "http", vec![span(1, 1)]),
        ]),
        Duration::ZERO,
    );
    driver.ingest(&encode(vec![resource_spans(&tool, "sdk", vec![span(1, 2)])]), SECOND);
    driver.ingest(&encode(vec![resource_spans(&planner, "sdk", vec![urgent(1, 3)])]), 2 * SECOND);
    assert_eq!(driver.sampler.next_deadline(), Some(30 * SECOND));
    driver.tick(30 * SECOND - Duration::from_nanos(1));
    assert!(driver.decisions.is_empty());
    driver.tick(30 * SECOND);
    // Spans of equal headers come together; nothing of the headers is lost.
    let mut expected = vec![
        resource_spans(&planner, "sdk", vec![first, urgent(1, 3)]),
        resource_spans(&tool, "sdk", vec![span(1, 2)]),
    ];
    expected[0].scope_spans.extend(resource_spans(&planner, "http", vec![span(1, 1)]).scope_spans);
    assert_eq!(driver.sent, expected);
    assert_eq!(driver.decisions[0].policy.as_deref(), Some("important"));
    assert_eq!(driver.sampler.next_deadline(), None);
}

#[test]
fn late_spans_follow_the_verdict() {
    let mut driver = Driver::new(patient(), &critical());
    driver.ingest(&request(vec![urgent(1, 0), span(2, 0)]), Duration::ZERO);
    driver.tick(30 * SECOND);
    driver.ingest(&request(vec![span(1, 1), urgent(2, 1), span(1, 2)]), 45 * SECOND);
    assert_eq!(driver.kept()[&id(1).to_vec()], [0, 1, 2]);
    assert_eq!(driver.kept().len(), 1);
    assert_eq!(driver.requests.len(), 2, "late spans of one call go out as one request");
    let late: Vec<_> = driver.late.iter().map(|late| (late.trace_id, late.verdict, late.spans)).collect();
    assert_eq!(late, [(id(1), Verdict::Kept, 2), (id(2), Verdict::Dropped, 1)]);
    assert_eq!((driver.late[0].age, driver.late[0].streamed), (15 * SECOND, false));
    assert_eq!(driver.late[0].policy.as_deref(), Some("important"));
    let stats = driver.sampler.stats();
    assert_eq!((stats.spans_late_kept, stats.spans_late_dropped, stats.traces_new), (2, 1, 2));
}

#[test]
fn an_early_kept_trace_streams() {
    let mut driver = Driver::new(SamplerConfig::default(), &critical());
    driver.ingest(&request(vec![span(1, 0), urgent(1, 1), span(1, 2)]), SECOND);
    assert_eq!(driver.kept()[&id(1).to_vec()], [0, 1, 2]);
    driver.ingest(&request(vec![span(1, 3)]), 20 * SECOND);
    assert!(driver.late[0].streamed);
    driver.ingest(&request(vec![span(1, 4)]), 31 * SECOND);
    assert!(!driver.late[1].streamed, "after decision_wait a span is late");
    assert_eq!(driver.kept()[&id(1).to_vec()], [0, 1, 2, 3, 4]);
    assert_eq!(driver.sampler.next_deadline(), None);
}

#[test]
fn a_drop_policy_that_could_still_match_holds_early_keep_back() {
    let drop = |value: &str| {
        format!(
            r#"[{{"name": "d", "type": "drop", "drop": {{"drop_sub_policy": [
                {{"type": "string_attribute", "string_attribute": {{"key": "k", "values": ["x"]{value}}}}}]}}}},
               {{"name": "all", "type": "always_sample"}}]"#
        )
    };
    let mut driver = Driver::new(SamplerConfig::default(), &policies(&drop("")));
    driver.ingest(&request(vec![span(1, 0)]), Duration::ZERO);
    assert!(driver.decisions.is_empty());
    driver.ingest(&request(vec![with(span(1, 1), "k", text("x"))]), SECOND);
    assert!(
        driver.decisions.is_empty(),
        "a drop is not taken early: nothing is gained by forgetting a trace"
    );
    driver.tick(30 * SECOND);
    assert_eq!(driver.decisions[0].reason, Reason::DroppedByPolicy);
    // Inverted, the match makes the drop impossible.
    let mut driver = Driver::new(SamplerConfig::default(), &policies(&drop(r#", "invert_match": true"#)));
    driver.ingest(&request(vec![span(1, 0)]), Duration::ZERO);
    assert!(driver.decisions.is_empty());
    driver.ingest(&request(vec![with(span(1, 1), "k", text("x"))]), SECOND);
    assert_eq!(driver.decisions[0].trigger, Trigger::EarlyKeep);
}

#[test]
fn only_what_cannot_change_is_kept_early() {
    for policy in [
        r#"{"name": "p", "type": "string_attribute",
            "string_attribute": {"key": "k", "values": ["x"], "invert_match": true}}"#,
        r#"{"name": "p", "type": "latency", "latency": {"threshold_ms": 0, "upper_threshold_ms": 5}}"#,
        r#"{"name": "p", "type": "and", "and": {"and_sub_policy": [{"type": "always_sample"},
            {"type": "boolean_attribute", "boolean_attribute": {"key": "k", "invert_match": true}}]}}"#,
    ] {
        let mut driver = Driver::new(SamplerConfig::default(), &policies(&format!("[{policy}]")));
        driver.ingest(&request(vec![span(1, 0)]), Duration::ZERO);
        assert!(driver.decisions.is_empty(), "{policy}");
        driver.tick(30 * SECOND);
        assert_eq!(driver.decisions[0].verdict, Verdict::Kept, "{policy}");
    }
}

#[test]
fn sample_on_first_match_names_the_first_policy_in_order() {
    let two = policies(
        r#"[{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            {"name": "all", "type": "always_sample"}]"#,
    );
    let config = |sample_on_first_match| SamplerConfig { sample_on_first_match, ..SamplerConfig::default() };
    for first_match in [true, false] {
        let mut driver = Driver::new(config(first_match), &two);
        driver.ingest(&request(vec![span(1, 0)]), Duration::ZERO);
        assert_eq!(driver.decisions.is_empty(), first_match);
        driver.ingest(&request(vec![with_status(span(1, 1), 2)]), SECOND);
        let name = if first_match { "errors" } else { "all" };
        assert_eq!(driver.decisions[0].policy.as_deref(), Some(name));
    }
    // Policies after the first match are not asked.
    let mut driver = Driver::new(SamplerConfig { early_keep: false, ..config(true) }, &two);
    driver.ingest(&request(vec![with_status(span(1, 1), 2)]), SECOND);
    driver.tick(31 * SECOND);
    let votes: Vec<_> =
        driver.sampler.votes().iter().map(|votes| (votes.sampled, votes.not_sampled)).collect();
    assert_eq!(votes, [(1, 0), (0, 0)]);
}

#[test]
fn the_root_span_shortens_the_wait() {
    let config = SamplerConfig { decision_wait_after_root_received: Some(2 * SECOND), ..patient() };
    let mut driver = Driver::new(config, &critical());
    driver.ingest(&request(vec![span(1, 0)]), Duration::ZERO);
    driver.ingest(&request(vec![root(1), span(2, 0)]), 10 * SECOND);
    driver.ingest(&request(vec![root(1)]), 11 * SECOND);
    assert_eq!(driver.sampler.next_deadline(), Some(12 * SECOND));
    driver.tick(12 * SECOND);
    assert_eq!((driver.decisions.len(), driver.decisions[0].trigger), (1, Trigger::RootReceived));
    // A root that comes near the end does not prolong.
    driver.ingest(&request(vec![root(2)]), 39 * SECOND);
    driver.tick(40 * SECOND);
    assert_eq!((driver.decisions.len(), driver.decisions[1].trigger), (2, Trigger::DecisionWait));
    driver.tick(100 * SECOND);
    assert_eq!(driver.decisions.len(), 2);
}

#[test]
fn one_trace_too_many_decides_the_oldest_on_what_it_has() {
    let errors = policies(
        r#"[{"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}]"#,
    );
    let mut driver = Driver::new(SamplerConfig { num_traces: 2, ..patient() }, &errors);
    let failed = with_status(span(1, 0), 2);
    driver.ingest(&request(vec![failed, span(2, 0), span(3, 0), span(1, 1)]), Duration::ZERO);
    assert_eq!(driver.decisions.len(), 1);
    assert_eq!(driver.decisions[0].trigger, Trigger::EvictedNumTraces);
    assert_eq!((driver.decisions[0].trace_id, driver.decisions[0].verdict), (id(1), Verdict::Kept));
    assert_eq!(driver.kept()[&id(1).to_vec()], [0, 1], "what came after the eviction follows its verdict");
    driver.ingest(&request(vec![span(4, 0)]), SECOND);
    assert_eq!((driver.decisions[1].trace_id, driver.decisions[1].verdict), (id(2), Verdict::Dropped));
    assert_eq!(driver.sampler.stats().traces_evicted, 2);
    let classes: Vec<_> = driver.sampler.evictions().iter().map(|class| class.traces).collect();
    assert_eq!(classes, [0, 0, 2, 0], "a trace without a priority counts as normal");
}

#[test]
fn block_on_overflow_evicts_nothing_and_says_when_it_is_full() {
    let config = SamplerConfig { num_traces: 2, block_on_overflow: true, ..patient() };
    let mut driver = Driver::new(config, &critical());
    driver.ingest(&request(vec![span(1, 0)]), Duration::ZERO);
    assert!(!driver.sampler.is_full());
    // A request that has been taken is taken whole.
    driver.ingest(&request(vec![span(2, 0), span(3, 0)]), SECOND);
    assert!(driver.sampler.is_full());
    assert_eq!((driver.decisions.len(), driver.sampler.stats().traces_held), (0, 3));
    // One decision may not be enough.
    let deadline = driver.sampler.next_deadline().unwrap();
    driver.tick(deadline);
    assert!(driver.sampler.is_full());
    driver.tick(driver.sampler.next_deadline().unwrap());
    assert!(!driver.sampler.is_full());
    assert_eq!(driver.sampler.stats().traces_evicted, 0);
}

#[test]
fn the_memory_limit_decides_what_matters_least_and_holds() {
    let limit = 1 << 20;
    let mut driver = Driver::new(SamplerConfig { memory_limit: Some(limit), ..patient() }, &critical());
    let filler = "x".repeat(1_000);
    for trace in 0..5_000 {
        let filled =
            with(if trace == 7 { urgent(trace, 0) } else { span(trace, 0) }, "filler", text(&filler));
        driver.ingest(&request(vec![filled]), Duration::ZERO);
        // The remembered verdicts and a few spare segments come on top.
        assert!(driver.sampler.stats().bytes_held < limit as u64);
        assert!(driver.sampler.stats().memory < limit + (4 << 20));
    }
    assert!(driver.sampler.stats().bytes_held > limit as u64 / 2, "the room is used");
    assert!(driver.decisions.iter().all(|decision| decision.trigger == Trigger::EvictedMemory));
    assert_eq!(driver.kept().len(), 0, "what is critical is held on to");
    driver.flush(SECOND);
    assert_eq!(driver.kept().into_keys().collect::<Vec<_>>(), [id(7).to_vec()]);
}

#[test]
fn verdicts_are_forgotten_least_recently_used_first() {
    let config = SamplerConfig { sampled_cache_size: 2, non_sampled_cache_size: 1, ..patient() };
    let mut driver = Driver::new(config, &critical());
    driver.ingest(&request(vec![urgent(1, 0), urgent(2, 0), span(8, 0)]), Duration::ZERO);
    driver.tick(30 * SECOND);
    driver.ingest(&request(vec![span(1, 1), urgent(3, 0)]), 31 * SECOND);
    driver.tick(70 * SECOND);
    // 2 was used longest ago.
    driver.ingest(&request(vec![span(1, 2), span(3, 1), span(2, 1), span(8, 1)]), 71 * SECOND);
    assert_eq!(driver.kept()[&id(1).to_vec()], [0, 1, 2]);
    assert_eq!(driver.kept()[&id(3).to_vec()], [0, 1]);
    assert_eq!(driver.kept()[&id(2).to_vec()], [0]);
    assert_eq!(driver.sampler.stats().spans_held, 1);
    assert_eq!(driver.sampler.stats().spans_late_dropped, 1);
}

#[test]
fn shutdown_decides_or_drops_what_is_pending() {
    for drop_pending in [false, true] {
        let config = SamplerConfig { drop_pending_traces_on_shutdown: drop_pending, ..patient() };
        let mut driver = Driver::new(config, &critical());
        driver.ingest(&request(vec![urgent(1, 0), span(2, 0)]), Duration::ZERO);
        driver.flush(SECOND);
        assert_eq!(driver.decisions.len(), 2);
        assert_eq!(driver.kept().len(), usize::from(!drop_pending));
        let reason = if drop_pending { Reason::DroppedAtShutdown } else { Reason::PolicyMatch };
        assert_eq!((driver.decisions[0].reason, driver.decisions[0].trigger), (reason, Trigger::Shutdown));
        assert_eq!(driver.sampler.stats().spans_held, 0);
    }
}

#[test]
fn a_giant_trace_comes_out_whole_in_small_requests() {
    let mut driver = Driver::new(patient(), &critical());
    let spans = 50_000;
    for batch in 0..spans / 500 {
        let spans = (0..500).map(|n| span(1, batch * 500 + n)).collect();
        driver.ingest(&request(spans), Duration::ZERO);
        driver.ingest(&request(vec![span(batch + 2, 0)]), Duration::ZERO);
    }
    driver.ingest(&request(vec![urgent(1, spans)]), SECOND);
    driver.tick(60 * SECOND);
    assert_eq!(driver.kept()[&id(1).to_vec()], (0..=spans).collect::<Vec<_>>());
    assert!(driver.requests.iter().all(|request| request.len() < 400 << 10));
    assert!(driver.requests.len() > 10);
}

#[test]
fn a_span_larger_than_a_segment_and_its_neighbours_survive() {
    let mut driver = Driver::new(patient(), &critical());
    let huge = |number| with(urgent(1, number), "blob", Value::BytesValue(vec![7; 3 << 20]));
    let sent = vec![span(1, 0), huge(1), span(1, 2), huge(3)];
    driver.ingest(&request(sent.clone()), Duration::ZERO);
    driver.ingest(&request(vec![span(2, 0)]), Duration::ZERO);
    driver.tick(30 * SECOND);
    // A trace of more than a few MiB goes out in steps, what came last first.
    let mut came: Vec<_> = driver.sent_spans().cloned().collect();
    came.sort_by(|a, b| a.span_id.cmp(&b.span_id));
    assert_eq!(came, sent);
    driver.ingest(&request(vec![urgent(3, 0)]), 31 * SECOND);
    driver.tick(70 * SECOND);
    assert_eq!(driver.kept()[&id(3).to_vec()], [0]);
}

#[test]
fn ids_are_told_apart_by_all_their_bytes() {
    let mut driver = Driver::new(patient(), &critical());
    let mut twin = span(1, 1);
    twin.trace_id[0] ^= 1;
    let zero = opentelemetry_proto::tonic::trace::v1::Span { trace_id: vec![0; 16], ..urgent(1, 2) };
    driver.ingest(&request(vec![urgent(1, 0), twin.clone(), zero]), Duration::ZERO);
    driver.tick(30 * SECOND);
    driver.ingest(&request(vec![twin]), 31 * SECOND);
    assert_eq!(driver.kept().into_keys().collect::<Vec<_>>(), [vec![0; 16], id(1).to_vec()]);
    assert_eq!(driver.late[0].verdict, Verdict::Dropped);
}

#[test]
fn spans_with_ids_of_another_length_are_counted_and_left_out() {
    let mut driver = Driver::new(SamplerConfig::default(), &critical());
    let short = opentelemetry_proto::tonic::trace::v1::Span { trace_id: vec![1; 8], ..urgent(1, 1) };
    driver.ingest(&request(vec![urgent(1, 0), short, span(1, 2)]), Duration::ZERO);
    assert_eq!(driver.kept()[&id(1).to_vec()], [0, 2]);
    assert_eq!((driver.sampler.stats().spans_invalid, driver.sampler.stats().spans_accepted), (1, 2));
}

#[test]
fn a_clock_that_steps_back_stands_still() {
    let mut driver = Driver::new(patient(), &critical());
    let day = 24 * 60 * 60 * SECOND;
    driver.ingest(&request(vec![urgent(1, 0)]), day);
    driver.ingest(&request(vec![urgent(2, 0)]), SECOND);
    driver.tick(60 * SECOND);
    assert_eq!(driver.sampler.next_deadline(), Some(day + 30 * SECOND));
    driver.tick(day + 30 * SECOND);
    assert_eq!(driver.decisions.len(), 2);
    driver.ingest(&request(vec![urgent(3, 0)]), Duration::MAX);
    driver.tick(Duration::MAX);
    assert_eq!(driver.decisions.len(), 3);
}

#[test]
fn shards_share_the_traces_out_without_loss() {
    let spans: Vec<_> = (0..200).map(|n| urgent(n / 3 % 40, n)).collect();
    let request = request(spans);
    let mut total = 0;
    for index in 0..3 {
        let mut driver = Driver::new(patient(), &critical());
        driver.ingest_shard(&request, Some(Shard { index, count: 3 }), Duration::ZERO);
        driver.flush(SECOND);
        for trace in driver.kept().keys() {
            let id: [u8; 16] = trace.as_slice().try_into().unwrap();
            assert_eq!(Shard::index_of(&id, 3, 42), index);
        }
        assert!(!driver.kept().is_empty());
        total += driver.sent_spans().count();
    }
    assert_eq!(total, 200);
}

#[test]
fn memory_is_flat_in_steady_state() {
    let mut driver = Driver::new(SamplerConfig { num_traces: 1_000, ..patient() }, &critical());
    let mut peaks = [0; 2];
    for round in 0..200_u64 {
        for batch in 0..10 {
            let spans = (0..100).map(|n| span(round * 1_000 + batch * 100 + n, n)).collect();
            driver.ingest(&request(spans), round as u32 * SECOND);
        }
        driver.tick(round as u32 * SECOND);
        // By then the index has grown for the places that removed ids leave.
        if round >= 100 {
            let peak = &mut peaks[usize::from(round >= 150)];
            *peak = driver.sampler.stats().memory.max(*peak);
        }
    }
    assert!(peaks[1] <= peaks[0], "{peaks:?}");
    driver.flush(210 * SECOND);
    assert_eq!(driver.sampler.stats().bytes_held, 0);
}

#[test]
fn decisions_carry_duration_and_the_highest_priority() {
    let mut driver = Driver::new(patient(), &critical());
    let spans = vec![
        with(timed(span(1, 0), 2_000, 2_500), "task.priority", text("low")),
        with(timed(span(1, 1), 1_500, 1_600), "task.priority", text("high")),
        with(timed(span(1, 2), 1_500, 1_600), "task.priority", text("odd")),
    ];
    driver.ingest(&request(spans), 3 * SECOND);
    driver.tick(33 * SECOND);
    let decision = &driver.decisions[0];
    assert_eq!(decision.priority.as_deref(), Some("high"));
    assert_eq!(decision.duration, SECOND);
    assert_eq!((decision.first_seen, decision.decided_at), (3 * SECOND, 33 * SECOND));
    assert_eq!(decision.root_name, None);
}

#[test]
fn verdicts_only_tells_the_same_and_sends_nothing() {
    for verdicts_only in [false, true] {
        let mut driver = Driver::new(SamplerConfig { verdicts_only, ..patient() }, &critical());
        driver.ingest(&request(vec![urgent(1, 0), span(2, 0)]), Duration::ZERO);
        driver.tick(30 * SECOND);
        driver.ingest(&request(vec![span(1, 1)]), 31 * SECOND);
        let verdicts: Vec<_> = driver.decisions.iter().map(|decision| decision.verdict).collect();
        assert_eq!((verdicts, driver.late.len()), (vec![Verdict::Kept, Verdict::Dropped], 1));
        assert_eq!(driver.sent_spans().count(), if verdicts_only { 0 } else { 2 });
        assert_eq!(driver.sampler.stats().spans_kept, 2);
    }
}

#[test]
fn what_is_kept_goes_on_when_it_is_asked_for_or_is_enough_for_a_request() {
    const NOTHING: [usize; 0] = [];
    let policies = Arc::new(compile(&critical()).unwrap());
    let mut reader = Reader::new(&SamplerConfig::default(), Arc::clone(&policies), 42);
    let mut sampler = Sampler::new(SamplerConfig::default(), policies, 42);
    let mut take_in = |sampler: &mut Sampler, spans: Vec<_>| {
        let (request, mut out) = (request(spans), Vec::new());
        sampler.take_in(reader.read(&request, None), None, SECOND, &mut out);
        sent(&out)
    };
    assert!(!sampler.gathers());
    // Kept early, and late.
    assert_eq!(take_in(&mut sampler, vec![urgent(1, 0), urgent(2, 0)]), NOTHING);
    assert_eq!(take_in(&mut sampler, vec![span(1, 1), span(3, 0)]), NOTHING);
    assert!(sampler.gathers());
    let mut out = Vec::new();
    sampler.hand_on(&mut out);
    sampler.hand_on(&mut out);
    assert_eq!(sent(&out), [3]);
    assert!(!sampler.gathers());
    let large = |number| with(urgent(4, number), "text", text(&"x".repeat(100 << 10)));
    assert_eq!(take_in(&mut sampler, vec![large(0), large(1)]), NOTHING);
    assert_eq!(take_in(&mut sampler, vec![large(2)]), [3]);
    assert!(!sampler.gathers());
}

/// How many spans each request has that is sent on.
fn sent(out: &[Action]) -> Vec<usize> {
    let spans = |action: &Action| if let Action::Emit(emit) = action { Some(emit.spans) } else { None };
    out.iter().filter_map(spans).collect()
}
