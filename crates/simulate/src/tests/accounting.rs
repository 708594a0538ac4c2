//! Whatever is recorded and configured: every span is counted once.

use super::*;
use forebay_sampling::RetainDropped;
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;

fn spans() -> impl Strategy<Value = Vec<Spanlet>> {
    let one = (
        0_u64..12,
        0_u64..1000,
        prop::sample::select(vec![None, Some("critical"), Some("low")]),
        any::<bool>(),
    );
    let spanlet =
        |(trace, end, priority, error)| Spanlet { priority, error, ..span(trace, 0, end as f64 / 10.0) };
    vec(one.prop_map(spanlet), 1..60).prop_map(|mut spans| {
        // Ids of their own; the first of a trace is its root.
        let mut seen = std::collections::HashMap::new();
        for span in &mut spans {
            let number = seen.entry(span.trace).or_insert(0);
            span.number = *number;
            *number += 1;
        }
        spans
    })
}

/// The spans in records of a few each, in files.
fn files(spans: &[Spanlet], sizes: &[usize], count: usize) -> Vec<Vec<u8>> {
    let mut files = vec![Vec::new(); count];
    let (mut rest, mut turn) = (spans, 0);
    while !rest.is_empty() {
        let (record, after) = rest.split_at(sizes[turn % sizes.len()].min(rest.len()));
        files[turn % count].extend(recording(&[record.to_vec()]));
        (rest, turn) = (after, turn + 1);
    }
    files
}

fn configs() -> impl Strategy<Value = SamplerConfig> {
    (1_u64..60, 1_usize..8, any::<[bool; 5]>()).prop_map(
        |(wait, num_traces, [early, retain, first, block, idle])| SamplerConfig {
            decision_wait: Duration::from_secs(wait),
            num_traces,
            early_keep: early,
            sample_on_first_match: first,
            block_on_overflow: block,
            idle_timeout: idle.then_some(Duration::from_secs(5)),
            max_trace_age: idle.then_some(Duration::from_secs(90)),
            retain_dropped: retain.then_some(RetainDropped { time: Duration::from_secs(20), bytes: 1 << 20 }),
            ..SamplerConfig::default()
        },
    )
}

proptest! {
    #[test]
    fn every_span_is_kept_or_dropped(
        spans in spans(),
        sizes in vec(1_usize..9, 1..4),
        count in 1_usize..4,
        config in configs(),
        decide in prop::sample::select(vec![Decide::AsConfigured, Decide::Whole(None), Decide::Whole(Some(Duration::from_secs(7)))]),
    ) {
        let old = Some(subject(POLICIES, SamplerConfig::default()));
        let (report, _) = run_all(files(&spans, &sizes, count), subject(POLICIES, config), old, decide);
        let report = report.unwrap();
        let new = &report.new;
        prop_assert_eq!(report.recording.spans, spans.len() as u64);
        prop_assert_eq!(new.kept.counts.spans + new.dropped.counts.spans, spans.len() as u64);
        let rows = new.policies.iter().chain(&new.without_policy);
        let sum = rows.fold(crate::report::Counts::default(), |sum, row| sum.plus(row.decided.counts));
        prop_assert_eq!(sum, new.all);
        let traces = spans.iter().map(|span| span.trace).collect::<std::collections::HashSet<_>>().len() as u64;
        let diff = report.diff.as_ref().unwrap();
        let compared = diff.kept_by_both.traces + diff.dropped_by_both.traces + diff.newly_kept.traces + diff.newly_dropped.traces;
        prop_assert_eq!(compared, traces);
        if decide == Decide::Whole(None) {
            prop_assert_eq!(new.all.traces, traces);
        }
    }

    #[test]
    fn whole_traces_do_not_depend_on_records_and_files(
        spans in spans(),
        sizes in vec(1_usize..9, 1..4),
        count in 1_usize..4,
        shuffled in any::<u64>(),
    ) {
        let one = |files| run_all(files, subject(POLICIES, SamplerConfig::default()), None, Decide::Whole(None)).0.unwrap();
        let mut other = spans.clone();
        let turn = shuffled as usize % other.len();
        other.rotate_left(turn);
        let (a, b) = (one(files(&spans, &[spans.len()], 1)), one(files(&other, &sizes, count)));
        prop_assert_eq!(a.new.all, b.new.all);
        for (a, b) in a.new.policies.iter().zip(&b.new.policies) {
            prop_assert_eq!((a.decided.counts, a.matched_traces, a.alone_traces), (b.decided.counts, b.matched_traces, b.alone_traces));
        }
    }
}
