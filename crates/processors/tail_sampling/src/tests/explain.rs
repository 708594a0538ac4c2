//! What is known of a trace: kept, dropped, held, late, unknown, and when its sampler is busy.

use super::{PRIORITY, soon, start};
use crate::explain::{ShardView, Source};
use crate::recent::Recent;
use crate::shard::Shard;
use forebay_component::Processor;
use forebay_sampling::{
    Decision, Evidence, PolicySet, Reason, Sampler, SamplerConfig, Trigger, Verdict, compile,
};
use forebay_telemetry::{DecisionFilter, DecisionSource, Explanation, Telemetry};
use forebay_testkit::{Sink, requests};
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

const DROPS: &str = "
decision_wait: 1h
num_shards: SHARDS
num_traces: 1
decision_cache: {non_sampled_cache_size: 100}
policies:
  - {name: important, type: string_attribute, string_attribute: {key: task.priority, values: [critical]}}
  - {name: noise, type: drop, drop: {drop_sub_policy: [
      {name: probe, type: string_attribute, string_attribute: {key: probe, values: ['yes']}}]}}
";

fn explain(telemetry: &Telemetry, trace: u64) -> Explanation {
    let mut all = telemetry.decisions.explain(requests::trace_id(trace), PATIENCE);
    assert_eq!(all.len(), 1, "one processor, whatever its shards");
    all.remove(0)
}

/// The explanation, as soon as it is what is waited for.
fn until(telemetry: &Telemetry, trace: u64, ready: impl Fn(&Explanation) -> bool) -> Explanation {
    let deadline = soon();
    loop {
        let now = explain(telemetry, trace);
        if ready(&now) {
            return now;
        }
        assert!(Instant::now() < deadline, "{now:?}");
        std::thread::yield_now();
    }
}

fn votes(explanation: &Explanation) -> Vec<(&str, bool, &str)> {
    let votes = explanation.verdicts.last().map(|verdict| &verdict.votes);
    votes.into_iter().flatten().map(|vote| (vote.policy.as_str(), vote.drops, vote.vote)).collect()
}

fn send(processor: &dyn Processor, trace: u64, first: u64, spans: u64, attribute: Option<(&str, &str)>) {
    processor.consumer().consume(requests::payload(trace, first, spans, attribute)).unwrap();
}

#[tokio::test]
async fn held_then_kept_then_late() {
    for shards in ["1", "3"] {
        let sink = Arc::new(Sink::default());
        let (telemetry, processor) = start(&PRIORITY.replace("SHARDS", shards), &sink);
        send(&*processor, 1, 0, 2, None);
        let held = until(&telemetry, 1, |now| now.held.is_some());
        assert!(held.verdicts.is_empty() && held.bare_verdict.is_none() && held.unanswered.is_none());
        let trace = held.held.unwrap();
        assert_eq!((trace.spans, trace.due_by), (2, "decision_wait"));
        assert!(trace.due_in_ms > 3_590_000.0 && trace.due_in_ms + trace.held_ms < 3_600_001.0, "{trace:?}");
        assert_eq!(trace.policies[0].vote, "no_match");
        assert_eq!(trace.times.start_unix_ms, None, "these spans have no times");

        send(&*processor, 1, 2, 1, Some(("task.priority", "critical")));
        send(&*processor, 1, 3, 4, None);
        let kept = until(&telemetry, 1, |now| now.late.iter().any(|late| late.spans == 4));
        assert!(kept.held.is_none() && kept.bare_verdict.is_none());
        let verdict = &kept.verdicts[0];
        assert_eq!((verdict.decision.verdict, verdict.decision.trigger), ("kept", "early_keep"));
        assert_eq!(verdict.decision.evidence.as_deref(), Some("task.priority = critical"));
        assert_eq!(verdict.decision.span_id.as_deref(), Some("0000000000000003"));
        assert_eq!(votes(&kept), [("important", false, "matched")]);
        assert!(verdict.times.first_arrival_unix_ms <= verdict.times.last_arrival_unix_ms);
        assert!(verdict.times.last_arrival_unix_ms <= verdict.decision.decided_unix_ms);
        let late = &kept.late[0];
        assert_eq!((kept.late.len(), late.verdict, late.streamed, late.arrivals), (1, "kept", true, 1));
        assert_eq!(kept.late_known_since_unix_ms, None);

        let unknown = explain(&telemetry, 2);
        assert!(!unknown.knows(), "{unknown:?}");
        assert_eq!(unknown.remembered.verdicts, 1);
        assert!(unknown.remembered.since_unix_ms <= Some(verdict.times.first_arrival_unix_ms));
        processor.shutdown(soon());
        // What is remembered outlives the thread.
        assert_eq!(explain(&telemetry, 1).verdicts, kept.verdicts);
    }
}

#[tokio::test]
async fn dropped_with_every_policys_vote_and_what_came_after() {
    let sink = Arc::new(Sink::default());
    let (telemetry, processor) = start(&DROPS.replace("SHARDS", "1"), &sink);
    send(&*processor, 1, 0, 3, None);
    send(&*processor, 2, 0, 1, Some(("probe", "yes")));
    send(&*processor, 3, 0, 1, None);
    let first = until(&telemetry, 1, |now| !now.verdicts.is_empty());
    assert_eq!(first.verdicts[0].decision.reason, "no_policy_matched");
    assert_eq!(votes(&first), [("noise", true, "not_matched"), ("important", false, "not_matched")]);
    let second = until(&telemetry, 2, |now| !now.verdicts.is_empty());
    assert_eq!(second.verdicts[0].decision.reason, "dropped_by_policy");
    assert_eq!(second.verdicts[0].decision.policy.as_deref(), Some("noise"));
    assert_eq!(votes(&second), [("noise", true, "matched"), ("important", false, "not_asked")]);

    send(&*processor, 1, 3, 2, Some(("task.priority", "critical")));
    send(&*processor, 1, 5, 1, None);
    let late = until(&telemetry, 1, |now| now.late.iter().any(|late| late.spans == 3));
    assert_eq!(late.late.len(), 1, "neighbours go together");
    assert_eq!((late.late[0].verdict, late.late[0].streamed, late.late[0].arrivals), ("dropped", false, 2));
    processor.shutdown(soon());
}

#[tokio::test]
async fn a_verdict_that_turned_is_a_history() {
    let sink = Arc::new(Sink::default());
    let config = DROPS.replace("SHARDS", "1") + "retain_dropped: {for: 1h, bytes: 1MiB}\n";
    let (telemetry, processor) = start(&config, &sink);
    send(&*processor, 1, 0, 3, None);
    send(&*processor, 2, 0, 1, None);
    let dropped = until(&telemetry, 1, |now| now.retained.is_some());
    let retained = dropped.retained.unwrap();
    assert!(retained.left_ms > 3_590_000.0 && retained.spans == 3, "{retained:?}");
    assert_eq!(dropped.verdicts[0].retained_until_unix_ms, Some(retained.until_unix_ms));
    assert!(dropped.bare_verdict.is_none() && dropped.held.is_none());

    send(&*processor, 1, 3, 1, None);
    send(&*processor, 1, 4, 1, Some(("task.priority", "critical")));
    send(&*processor, 1, 5, 1, None);
    let kept = until(&telemetry, 1, |now| now.late.last().is_some_and(|late| late.verdict == "kept"));
    let history: Vec<_> = kept
        .verdicts
        .iter()
        .map(|one| (one.decision.verdict, one.decision.trigger, one.decision.spans))
        .collect();
    assert_eq!(history, [("dropped", "evicted_num_traces", 3), ("kept", "late_spans", 5)]);
    assert_eq!(votes(&kept), [("noise", true, "not_matched"), ("important", false, "matched")]);
    let late: Vec<_> = kept.late.iter().map(|late| (late.verdict, late.retained, late.spans)).collect();
    assert_eq!(late, [("dropped", true, 2), ("kept", false, 1)]);
    assert!(kept.retained.is_none());
    processor.shutdown(soon());
}

#[tokio::test]
async fn a_full_next_stage_does_not_keep_the_sampler_from_answering() {
    let sink = Arc::new(Sink::default());
    sink.close();
    let (telemetry, processor) = start(&PRIORITY.replace("SHARDS", "1"), &sink);
    send(&*processor, 1, 0, 2, Some(("task.priority", "critical")));
    send(&*processor, 2, 0, 1, None);
    let kept = until(&telemetry, 1, |now| !now.verdicts.is_empty());
    assert_eq!(kept.unanswered, None);
    // The second is taken in all the same.
    until(&telemetry, 2, |now| now.held.is_some());
    sink.open();
    processor.shutdown(soon());
}

#[tokio::test]
async fn a_shard_that_takes_nothing_in_still_answers() {
    let sink = Arc::new(Sink::default());
    let config = PRIORITY.replace("SHARDS", "1") + "block_on_overflow: true\nnum_traces: 1\n";
    let (telemetry, processor) = start(&config, &sink);
    for trace in 0..100 {
        send(&*processor, trace, 0, 1, None);
    }
    until(&telemetry, 0, |now| now.held.is_some());
    assert_eq!(explain(&telemetry, 99).unanswered, None);
    processor.shutdown(soon());
}

#[tokio::test]
async fn nothing_is_remembered_when_nothing_is_to_be() {
    let sink = Arc::new(Sink::default());
    let config = PRIORITY.replace("SHARDS", "2") + "recent_decisions: 0\n";
    let (telemetry, processor) = start(&config, &sink);
    send(&*processor, 1, 0, 1, Some(("task.priority", "high")));
    sink.wait_for(1);
    assert!(telemetry.decisions.recent(&DecisionFilter::default(), 10).is_empty());
    // But what late spans need.
    let bare = until(&telemetry, 1, |now| now.bare_verdict.is_some());
    let verdict = bare.bare_verdict.unwrap();
    assert_eq!((verdict.verdict, verdict.policy.as_deref()), ("kept", Some("important")));
    assert_eq!((bare.remembered.verdicts, bare.remembered.since_unix_ms), (0, None));
    processor.shutdown(soon());
}

#[tokio::test]
async fn decisions_are_found_by_what_they_are() {
    let sink = Arc::new(Sink::default());
    let (telemetry, processor) = start(&DROPS.replace("SHARDS", "2"), &sink);
    for trace in 0..40 {
        let attribute = match trace % 4 {
            0 => Some(("task.priority", "critical")),
            1 => Some(("probe", "yes")),
            2 => Some(("task.priority", "low")),
            _ => None,
        };
        send(&*processor, trace, 0, 1, attribute);
    }
    processor.shutdown(soon());
    let count = |set: &dyn Fn(&mut DecisionFilter), limit| {
        let mut filter = DecisionFilter::default();
        set(&mut filter);
        telemetry.decisions.recent(&filter, limit).len()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(count(&|_| {}, 1000), 40);
    assert_eq!(count(&|_| {}, 7), 7);
    assert_eq!(count(&|filter| filter.verdict = some("kept"), 1000), 10);
    assert_eq!(count(&|filter| filter.policy = some("noise"), 1000), 10);
    assert_eq!(count(&|filter| filter.priority = some("low"), 1000), 10);
    assert_eq!(count(&|filter| filter.reason = some("no_policy_matched"), 1000), 20);
    assert_eq!(count(&|filter| filter.trigger = some("evicted_num_traces"), 1000), 38);
    assert_eq!(count(&|filter| filter.trigger = some("shutdown"), 1000), 2);
    assert_eq!(count(&|filter| filter.service = some("planner"), 1000), 0);
    let both = |filter: &mut DecisionFilter| {
        (filter.verdict, filter.priority) = (some("dropped"), some("critical"));
    };
    assert_eq!(count(&both, 1000), 0);
}

#[test]
fn a_busy_sampler_is_not_waited_for_and_a_stopped_one_holds_nothing() {
    let policies: Arc<PolicySet> = Arc::new(compile(&[]).unwrap_or_default());
    let sampler = Sampler::new(SamplerConfig::default(), Arc::clone(&policies), 1);
    let shard = Arc::new(Shard::new(sampler, None, Instant::now()));
    let recent = Arc::new(Recent::new(1 << 20, Arc::clone(&policies)));
    let shards = vec![ShardView { recent, shard: Arc::downgrade(&shard) }];
    let source =
        Source { processor: "s".to_owned(), pipeline: None, policies, shards, seed: 1, epoch: 5_000_000_000 };
    let ask = || source.explain([1; 16], Duration::from_millis(1));
    let busy = shard.lock();
    assert!(ask().unanswered.unwrap().contains("busy"));
    drop(busy);
    assert_eq!(ask().unanswered, None);
    drop(shard);
    let stopped = ask();
    assert_eq!((stopped.unanswered, stopped.knows()), (None, false));
    assert_eq!(stopped.remembered.since_unix_ms, Some(5_000), "none has been forgotten since the start");
}

#[test]
fn the_default_remembers_some_twenty_thousand_verdicts() {
    let recent = Recent::new(8 << 20, Arc::default());
    for number in 0..60_000_u64 {
        recent.decided(&Decision {
            trace_id: requests::trace_id(number),
            verdict: Verdict::Kept,
            reason: Reason::PolicyMatch,
            trigger: Trigger::EarlyKeep,
            policy: None,
            evidence: Some(Evidence {
                span_id: Some([1; 8]),
                key: "task.priority".into(),
                value: "critical".to_owned(),
            }),
            votes: Default::default(),
            spans: 12,
            bytes: 4000,
            first_seen: Duration::ZERO,
            last_seen: Duration::ZERO,
            decided_at: Duration::from_nanos(number),
            root_name: Some("research_workflow".into()),
            service_name: Some("orchestrator".into()),
            priority: Some("critical".into()),
            duration: Duration::ZERO,
            times: Some((1, 2)),
            retained_until: None,
        });
    }
    let verdicts = recent.verdicts();
    assert!((20_000..30_000).contains(&verdicts.len()), "{} of {} bytes", verdicts.len(), recent.memory());
    assert!(recent.memory() <= 6 << 20);
}
