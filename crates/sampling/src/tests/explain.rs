//! Votes in decisions, and what a sampler says of a trace when asked.

use std::time::Duration;

use super::support::{
    Driver, SECOND, critical, id, policies, request, root, span, text, timed, verdict, with,
};
use crate::{
    Decision, Held, Known, PolicySet, RetainDropped, SamplerConfig, Standing, Trigger, Verdict, Vote, compile,
};

const ALL: &str = r#"[
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 5000}},
    {"name": "important", "type": "string_attribute",
     "string_attribute": {"key": "task.priority", "values": ["critical"]}},
    {"name": "noise", "type": "drop", "drop": {"drop_sub_policy": [
        {"name": "probe", "type": "string_attribute", "string_attribute": {"key": "probe", "values": ["yes"]}}]}},
    {"name": "few", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 10}}]"#;

fn set() -> PolicySet {
    compile(&policies(ALL)).unwrap()
}

fn votes(decision: &Decision, set: &PolicySet) -> Vec<(String, Vote)> {
    set.names().enumerate().map(|(at, name)| (name.to_string(), decision.votes.of(at))).collect()
}

fn held(driver: &Driver, trace: u64) -> Held {
    match driver.sampler.explain(&id(trace)) {
        Known::Held(held) => *held,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_decision_has_every_policys_vote() {
    use Vote::{Matched, NotAsked, NotMatched};
    let set = set();
    let outline: Vec<_> = set.outline().map(|(name, drops)| (&**name, drops)).collect();
    assert_eq!(outline, [("noise", true), ("slow", false), ("important", false), ("few", false)]);
    let of = |spans| {
        let decision = verdict(&policies(ALL), &[], spans);
        votes(&decision, &set).into_iter().map(|(_, vote)| vote).collect::<Vec<_>>()
    };
    assert_eq!(of(vec![root(1)]), [NotMatched, NotMatched, NotMatched, Matched]);
    let slow = timed(span(1, 1), 0, 10_000);
    let slow = timed(slow, 1, 10_000);
    assert_eq!(of(vec![slow.clone()]), [NotMatched, Matched, NotMatched, Matched]);
    assert_eq!(of(vec![slow, with(root(1), "probe", text("yes"))]), [Matched, NotAsked, NotAsked, NotAsked]);
    let many = (0..30).map(|number| span(1, number)).collect();
    assert_eq!(of(many), [NotMatched, NotMatched, NotMatched, NotMatched]);
}

#[test]
fn after_a_first_match_the_rest_is_not_asked() {
    let config = SamplerConfig { sample_on_first_match: true, early_keep: false, ..SamplerConfig::default() };
    let mut driver = Driver::new(config, &policies(ALL));
    driver.ingest(&request(vec![with(root(1), "task.priority", text("critical"))]), Duration::ZERO);
    driver.tick(30 * SECOND);
    let votes: Vec<_> = votes(&driver.decisions[0], &set()).into_iter().map(|(_, vote)| vote).collect();
    assert_eq!(votes, [Vote::NotMatched, Vote::NotMatched, Vote::Matched, Vote::NotAsked]);
}

#[test]
fn more_policies_than_a_word_has_bits() {
    let many: Vec<String> = (0..200)
        .map(|number| {
            format!(
                r#"{{"name": "p{number}", "type": "numeric_attribute",
                     "numeric_attribute": {{"key": "n", "min_value": {number}, "max_value": {number}}}}}"#
            )
        })
        .collect();
    let json = format!("[{}]", many.join(","));
    let span = with(root(1), "n", super::support::Value::IntValue(131));
    let decision = verdict(&policies(&json), &[], vec![span]);
    for policy in 0..200 {
        let expected = if policy == 131 { Vote::Matched } else { Vote::NotMatched };
        assert_eq!(decision.votes.of(policy), expected, "{policy}");
    }
    assert_eq!(decision.votes.of(200), Vote::NotAsked);
    assert!(decision.votes.heap_bytes() > 0);
}

#[test]
fn dropped_without_a_question_nobody_was_asked() {
    let config = SamplerConfig { drop_pending_traces_on_shutdown: true, ..SamplerConfig::default() };
    let mut driver = Driver::new(config, &policies(ALL));
    driver.ingest(&request(vec![root(1)]), Duration::ZERO);
    driver.flush(SECOND);
    assert!(votes(&driver.decisions[0], &set()).iter().all(|(_, vote)| *vote == Vote::NotAsked));
}

#[test]
fn span_ingest_adds_up_the_votes_on_batches() {
    let json = r#"[
        {"name": "noise", "type": "drop", "drop": {"drop_sub_policy": [
            {"name": "probe", "type": "string_attribute", "string_attribute": {"key": "probe", "values": ["yes"]}}]}},
        {"name": "a", "type": "string_attribute", "string_attribute": {"key": "a", "values": ["yes"]}},
        {"name": "b", "type": "string_attribute", "string_attribute": {"key": "b", "values": ["yes"]}}]"#;
    let config = SamplerConfig { span_ingest: true, ..SamplerConfig::default() };
    let mut driver = Driver::new(config, &policies(json));
    driver.ingest(&request(vec![root(1)]), Duration::ZERO);
    driver.ingest(&request(vec![with(span(1, 1), "b", text("yes"))]), SECOND);
    let standings = held(&driver, 1).standings;
    assert_eq!(standings, [Standing::NoMatch, Standing::NoMatch, Standing::MatchesForGood]);
    // Another trace's batch has no part in it.
    driver.ingest(&request(vec![with(root(2), "a", text("yes"))]), SECOND);
    driver.tick(30 * SECOND);
    let decision = &driver.decisions[0];
    let of = |policy| decision.votes.of(policy);
    assert_eq!((decision.trace_id, decision.verdict), (id(1), Verdict::Kept));
    assert_eq!([of(0), of(1), of(2)], [Vote::NotMatched, Vote::NotMatched, Vote::Matched]);
}

#[test]
fn a_held_trace_says_how_it_stands_and_when_it_is_due() {
    let config = SamplerConfig {
        decision_wait_after_root_received: Some(5 * SECOND),
        early_keep: false,
        ..SamplerConfig::default()
    };
    let mut driver = Driver::new(config, &policies(ALL));
    assert_eq!(driver.sampler.explain(&id(1)), Known::Nothing);
    driver.ingest(&request(vec![timed(span(1, 1), 2_000, 3_000)]), SECOND);
    let before = held(&driver, 1);
    assert_eq!((before.due, before.due_by), (31 * SECOND, Trigger::DecisionWait));
    driver.ingest(
        &request(vec![timed(with(root(1), "task.priority", text("critical")), 1_000, 8_000)]),
        3 * SECOND,
    );
    let now = held(&driver, 1);
    assert_eq!((now.first_seen, now.last_seen), (SECOND, 3 * SECOND));
    assert_eq!((now.due, now.due_by), (8 * SECOND, Trigger::RootReceived));
    assert_eq!((now.spans, now.times), (2, Some((1_000_000_000, 8_000_000_000))));
    assert_eq!((now.root_name.as_deref(), now.priority.as_deref()), (Some("task"), Some("critical")));
    use Standing::{AskedWhenDecided, MatchesForGood, NoMatch};
    assert_eq!(now.standings, [NoMatch, MatchesForGood, MatchesForGood, AskedWhenDecided]);

    // The clock may go on without spans: asking changes nothing.
    let stats = driver.sampler.stats();
    assert_eq!(held(&driver, 1), now);
    assert_eq!(driver.sampler.stats(), stats);
    driver.tick(8 * SECOND);
    let decision = &driver.decisions[0];
    assert_eq!((decision.first_seen, decision.last_seen), (SECOND, 3 * SECOND));
    assert_eq!(decision.times, now.times);
    let Known::Decided { verdict, policy, decided_at } = driver.sampler.explain(&id(1)) else { panic!() };
    assert_eq!((verdict, policy.as_deref(), decided_at), (Verdict::Kept, Some("slow"), 8 * SECOND));
}

#[test]
fn asking_does_not_keep_a_verdict_remembered() {
    let config = SamplerConfig { non_sampled_cache_size: 1, ..SamplerConfig::default() };
    let mut driver = Driver::new(config, &critical());
    driver.ingest(&request(vec![root(1), root(2)]), Duration::ZERO);
    driver.tick(30 * SECOND);
    assert_eq!(driver.sampler.explain(&id(1)), Known::Nothing, "forgotten for the second");
    assert!(matches!(driver.sampler.explain(&id(2)), Known::Decided { verdict: Verdict::Dropped, .. }));
}

#[test]
fn a_policy_that_cannot_be_evaluated_says_so() {
    let json = r#"[{"name": "strict", "type": "ottl_condition", "ottl_condition":
        {"error_mode": "propagate", "span": ["HasPrefix(attributes[\"k\"], \"x\")"]}}]"#;
    let mut driver = Driver::new(SamplerConfig::default(), &policies(json));
    driver.ingest(&request(vec![with(span(1, 0), "k", text("y"))]), Duration::ZERO);
    assert_eq!(held(&driver, 1).standings, [Standing::NoMatch]);
    driver.ingest(&request(vec![span(1, 1)]), Duration::ZERO);
    assert_eq!(held(&driver, 1).standings, [Standing::Failed]);
    driver.tick(30 * SECOND);
    assert_eq!(driver.decisions[0].votes.of(0), Vote::Failed);
}

#[test]
fn a_retained_trace_says_until_when_its_verdict_can_turn() {
    let config = SamplerConfig {
        retain_dropped: Some(RetainDropped { time: 100 * SECOND, bytes: 1 << 20 }),
        ..SamplerConfig::default()
    };
    let mut driver = Driver::new(config, &policies(ALL));
    // More than the limit lets through, which is not asked a second time.
    driver.ingest(&request((0..30).map(|number| span(1, number)).collect()), Duration::ZERO);
    driver.tick(30 * SECOND);
    assert_eq!(driver.decisions[0].retained_until, Some(130 * SECOND));
    let Known::Retained(retained) = driver.sampler.explain(&id(1)) else { panic!("not retained") };
    assert_eq!((retained.decided_at, retained.until, retained.spans), (30 * SECOND, 130 * SECOND, 30));
    use Standing::{NeverMatches, NoMatch};
    assert_eq!(retained.standings, [NoMatch, NoMatch, NoMatch, NeverMatches]);
    driver.ingest(&request(vec![span(1, 30)]), 40 * SECOND);
    let Known::Retained(retained) = driver.sampler.explain(&id(1)) else { panic!("not retained") };
    assert_eq!((retained.spans, retained.last_seen), (31, 40 * SECOND));
    driver.tick(130 * SECOND);
    assert!(matches!(driver.sampler.explain(&id(1)), Known::Decided { verdict: Verdict::Dropped, .. }));
}

#[test]
fn a_turned_verdict_has_votes_of_its_own() {
    let config = SamplerConfig {
        retain_dropped: Some(RetainDropped { time: 100 * SECOND, bytes: 1 << 20 }),
        ..SamplerConfig::default()
    };
    let mut driver = Driver::new(config, &critical());
    driver.ingest(&request(vec![root(1)]), Duration::ZERO);
    driver.tick(30 * SECOND);
    driver.ingest(&request(vec![with(span(1, 1), "task.priority", text("high"))]), 40 * SECOND);
    let [first, second] = &driver.decisions[..] else { panic!("{:?}", driver.decisions) };
    assert_eq!((first.verdict, first.votes.of(0)), (Verdict::Dropped, Vote::NotMatched));
    assert_eq!((second.verdict, second.votes.of(0)), (Verdict::Kept, Vote::Matched));
    assert_eq!((second.trigger, second.spans, second.last_seen), (Trigger::LateSpans, 2, 40 * SECOND));
    assert!(matches!(driver.sampler.explain(&id(1)), Known::Decided { verdict: Verdict::Kept, .. }));
}

#[test]
fn a_patient_trace_names_the_parents_it_waits_for() {
    let config = SamplerConfig {
        idle_timeout: Some(20 * SECOND),
        decision_wait_after_root_received: Some(SECOND),
        early_keep: false,
        ..SamplerConfig::default()
    };
    let mut driver = Driver::new(config, &critical());
    driver.ingest(&request(vec![root(1), span(1, 5)]), Duration::ZERO);
    assert_eq!(held(&driver, 1).due_by, Trigger::RootReceived);
    driver.tick(SECOND);
    let waits = held(&driver, 1);
    // `span` names this one.
    assert_eq!(waits.missing_parents, [77_u64.to_be_bytes()]);
    assert_ne!(waits.due_by, Trigger::RootReceived);
    assert!(waits.due > SECOND);
}
