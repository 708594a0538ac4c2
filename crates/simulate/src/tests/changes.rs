//! Two configurations compared.

use super::*;

const STRICT: &str = r#"[
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {"name": "very slow", "type": "latency", "latency": {"threshold_ms": 60000}}]"#;

fn records() -> Vec<Vec<Spanlet>> {
    vec![
        vec![span(1, 0, 1.0).priority("critical"), span(2, 0, 1.0).error().priority("critical")],
        vec![span(3, 1, 2.0), span(3, 0, 9.0), span(4, 0, 3.0)],
        vec![span(5, 1, 4.0).priority("critical"), span(5, 0, 99.0)],
    ]
}

fn compare(new: &str, old: &str) -> Report {
    let old = Subject { name: "old.yaml".to_owned(), ..subject(old, SamplerConfig::default()) };
    let new = subject(new, SamplerConfig::default());
    let (report, warnings) = run_all(vec![recording(&records())], new, Some(old), Decide::Whole(None));
    assert_eq!(warnings, Vec::<String>::new());
    report.unwrap()
}

#[test]
fn what_is_newly_dropped_is_told_by_policy_with_examples() {
    let report = compare(STRICT, POLICIES);
    let diff = report.diff.as_ref().unwrap();
    // 2 and 5 are kept by both, by other policies; 4 by none; 1 and 3 were kept.
    assert_eq!(
        (diff.kept_by_both.traces, diff.kept_by_another_policy.traces, diff.dropped_by_both.traces),
        (2, 2, 1)
    );
    assert_eq!((diff.newly_kept.traces, diff.newly_dropped.traces, diff.newly_dropped.spans), (0, 2, 3));
    let rows: Vec<_> = diff
        .newly_dropped_by_policy
        .iter()
        .map(|row| (row.kept_by.as_deref().unwrap(), row.dropped_because, row.counts.traces))
        .collect();
    assert_eq!(rows, [("important", "no_policy_matched", 1), ("slow", "no_policy_matched", 1)]);
    let example = &diff.newly_dropped_by_policy[0].examples[0];
    assert_eq!(example.trace_id, "abababababababab0000000000000001");
    assert_eq!(
        (example.root.as_deref(), example.evidence.as_deref()),
        (Some("task 1"), Some("task.priority = critical"))
    );
    assert_eq!(example.span_id.as_deref(), Some("0000000000010001"));
    let text = report.to_string();
    assert!(
        text.contains("newly dropped that slow kept (now: no_policy_matched): 1 traces, 2 spans"),
        "{text}"
    );
}

#[test]
fn the_other_way_round_the_same_is_newly_kept() {
    let (there, back) = (compare(STRICT, POLICIES).diff.unwrap(), compare(POLICIES, STRICT).diff.unwrap());
    assert_eq!((there.newly_dropped, there.newly_kept), (back.newly_kept, back.newly_dropped));
    let json = |rows| serde_json::to_value(rows).unwrap();
    assert_eq!(json(&there.newly_dropped_by_policy), json(&back.newly_kept_by_policy));
}

#[test]
fn the_same_changes_nothing() {
    let diff = compare(POLICIES, POLICIES).diff.unwrap();
    assert_eq!((diff.kept_by_both.traces, diff.kept_by_another_policy.traces), (4, 0));
    assert!(diff.newly_kept_by_policy.is_empty() && diff.newly_dropped_by_policy.is_empty());
}

#[test]
fn a_new_drop_policy_is_named() {
    let policies = POLICIES.replacen('[', r#"[{"name": "no tasks", "type": "drop", "drop": {"drop_sub_policy": [{"name": "a", "type": "always_sample"}]}},"#, 1);
    let diff = compare(&policies, POLICIES).diff.unwrap();
    assert_eq!(diff.newly_dropped.traces, 4);
    let row = &diff.newly_dropped_by_policy[0];
    assert_eq!((row.dropped_because, row.dropped_by.as_deref()), ("dropped_by_policy", Some("no tasks")));
}

#[test]
fn json_has_it_all() {
    let json = serde_json::to_value(compare(STRICT, POLICIES)).unwrap();
    assert_eq!(json["new"]["config"], "new.yaml");
    assert_eq!(json["old"]["kept"]["traces"], 4);
    assert_eq!(json["new"]["policies"][0]["percent"]["traces"], 20.0);
    assert_eq!(json["diff"]["newly_dropped_by_policy"][0]["examples"][0]["root"], "task 1");
}
