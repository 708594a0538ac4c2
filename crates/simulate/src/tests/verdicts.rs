//! What is kept, by which policy, in which mode.

use super::*;
use crate::report::Counts;
use std::time::Duration;

const WHOLE: Decide = Decide::Whole(None);

/// Trace 1 is critical by a root that ends an hour after its first span, 2 fails, 3 is slow and fails, 4 is nothing.
fn records() -> Vec<Vec<Spanlet>> {
    vec![
        vec![span(1, 1, 1.0), span(2, 1, 1.5).error(), span(3, 1, 2.0)],
        vec![span(4, 1, 3.0), span(4, 0, 3.0)],
        vec![span(3, 0, 9.0).error(), span(2, 0, 3.0)],
        vec![span(1, 0, 3601.0).priority("critical")],
    ]
}

#[test]
fn whole_traces_are_decided_by_all_their_spans() {
    let report = run(&records(), POLICIES, SamplerConfig::default(), WHOLE);
    assert_eq!(report.mode, "whole_traces");
    let of = |policy| traces(&report, policy);
    assert_eq!((of("important"), of("errors"), of("slow"), of("no_policy_matched")), (1, 2, 0, 1));
    let policies = &report.new.policies;
    assert_eq!(policies.iter().map(|row| row.matched_traces).collect::<Vec<_>>(), [1, 2, 2]);
    // Trace 1 is slow too, 3 fails and is slow: only 2 hangs on one policy.
    assert_eq!(policies.iter().map(|row| row.alone_traces).collect::<Vec<_>>(), [Some(0), Some(1), Some(0)]);
    let kept = report.new.kept;
    assert_eq!((kept.counts.traces, kept.counts.spans), (3, 6));
    assert_eq!((kept.percent.traces, kept.percent.spans), (75.0, 75.0));
    let (recording, daily) = (&report.recording, kept.per_day.unwrap());
    assert_eq!((recording.records, recording.spans, recording.seconds), (4, 8, 3599.0));
    assert_eq!(daily.traces, (3.0 * 86_400.0 / 3599.0_f64).round());
    assert_eq!(recording.from.as_deref(), Some("2026-11-22T00:00:02Z"));
}

#[test]
fn as_configured_a_root_that_comes_late_comes_too_late() {
    let sampler = || SamplerConfig { decision_wait: Duration::from_secs(30), ..SamplerConfig::default() };
    let report = run(&records(), POLICIES, sampler(), Decide::AsConfigured);
    assert_eq!(
        (report.mode, traces(&report, "important"), traces(&report, "errors")),
        ("as_configured", 0, 2)
    );
    let dropped = report.new.dropped.counts;
    assert_eq!((dropped.traces, dropped.spans), (2, 4), "the late span follows the verdict of its trace");
    assert_eq!(report.new.policies[0].alone_traces, None, "not every policy sees every span");

    let patient = SamplerConfig { decision_wait: Duration::from_secs(2 * 3600), ..SamplerConfig::default() };
    assert_eq!(traces(&run(&records(), POLICIES, patient, Decide::AsConfigured), "important"), 1);
    let waiting = Decide::Whole(Some(Duration::from_secs(30)));
    assert_eq!(traces(&run(&records(), POLICIES, SamplerConfig::default(), waiting), "important"), 0);
}

#[test]
fn whole_traces_need_no_room_and_no_memory_of_verdicts() {
    let sampler = SamplerConfig {
        decision_wait: Duration::from_secs(1),
        num_traces: 1,
        memory_limit: Some(1),
        sampled_cache_size: 1,
        non_sampled_cache_size: 1,
        ..SamplerConfig::default()
    };
    let narrow = run(&records(), POLICIES, sampler, WHOLE);
    let wide = run(&records(), POLICIES, SamplerConfig::default(), WHOLE);
    assert_eq!(narrow.to_string(), wide.to_string());
}

#[test]
fn settings_of_policies_count_in_whole_traces_too() {
    let sampler = SamplerConfig { sample_on_first_match: true, ..SamplerConfig::default() };
    let report = run(&records(), POLICIES, sampler, WHOLE);
    assert_eq!(report.new.policies[2].matched_traces, 0, "not asked");
    assert_eq!(report.new.policies[2].alone_traces, None);
    let sampler = SamplerConfig { maximum_trace_size: Some(100), ..SamplerConfig::default() };
    assert_eq!(traces(&run(&records(), POLICIES, sampler, WHOLE), "too_large"), 4);
}

#[test]
fn what_passes_a_second_is_by_the_recordings_time() {
    let policies = r#"[{"name": "some", "type": "rate_limiting", "rate_limiting": {"spans_per_second": 2, "burst_capacity": 2}}]"#;
    // Ten traces of one span in each of ten seconds.
    let second =
        |second: u64| (0..10).map(|trace| span(second * 10 + trace, 0, second as f64)).collect::<Vec<_>>();
    let records: Vec<_> = (0..10).map(second).collect();
    for decide in [WHOLE, Decide::AsConfigured] {
        let report = run(&records, policies, SamplerConfig::default(), decide);
        assert_eq!(traces(&report, "some"), 20, "{decide:?}");
    }
}

#[test]
fn drop_policies_are_rows_of_what_they_drop() {
    let policies = r#"[
        {"name": "all", "type": "always_sample"},
        {"name": "noise", "type": "drop", "drop": {"drop_sub_policy": [
            {"name": "low", "type": "string_attribute", "string_attribute": {"key": "task.priority", "values": ["low"]}}]}}]"#;
    let records = vec![vec![span(1, 0, 1.0).priority("low"), span(2, 0, 1.0)]];
    let report = run(&records, policies, SamplerConfig::default(), WHOLE);
    let rows: Vec<_> = report
        .new
        .policies
        .iter()
        .map(|row| (row.policy.as_str(), row.verdict, row.decided.counts.traces))
        .collect();
    assert_eq!(rows, [("noise", "dropped", 1), ("all", "kept", 1)]);
    let example = &report.new.policies[0].examples[0];
    assert_eq!((example.root.as_deref(), example.priority.as_deref()), (Some("task 1"), Some("low")));
}

#[test]
fn a_verdict_that_turns_counts_once() {
    let retain = forebay_sampling::RetainDropped { time: Duration::from_secs(7200), bytes: 1 << 20 };
    let sampler = SamplerConfig {
        decision_wait: Duration::from_secs(30),
        retain_dropped: Some(retain),
        ..SamplerConfig::default()
    };
    let report = run(&records(), POLICIES, sampler, Decide::AsConfigured);
    assert_eq!((traces(&report, "important"), traces(&report, "no_policy_matched")), (1, 1));
    let Counts { traces, spans, .. } = report.new.all;
    assert_eq!((traces, spans), (4, 8));
}
