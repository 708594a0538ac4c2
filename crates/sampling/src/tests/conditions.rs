//! `ottl_condition` policies: what matches, and what an error in a condition does.

use forebay_otlp::traces::SpanView;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, span::Event};
use prost::Message;

use super::support::*;
use crate::Verdict;
use crate::leaf_set::LeafSet;

fn condition(keys: &str) -> String {
    format!(r#"{{"name": "p", "type": "ottl_condition", "ottl_condition": {{{keys}}}}}"#)
}

/// A span with one event.
fn eventful(number: u64, event: &str) -> Span {
    let event = Event { name: event.to_owned(), ..Default::default() };
    Span { events: vec![event], ..span(1, number) }
}

#[test]
fn ottl_condition_matches_any_condition_on_any_span_or_event() {
    let policy = condition(
        r#""span": ["attributes[\"n\"] > 3", "resource.attributes[\"k\"] == \"v\" and scope.name == \"sdk\""],
           "spanevent": ["name == \"oops\" and span.name == \"step 1\""]"#,
    );
    assert!(!kept_by(&policy, vec![span(1, 0), with(span(1, 1), "n", Value::IntValue(3))]));
    assert!(kept_by(&policy, vec![span(1, 0), with(span(1, 1), "n", Value::IntValue(4))]));
    assert!(kept_with_resource(&policy, &[("k", text("v"))], vec![span(1, 0)]));
    assert!(!kept_with_resource(&policy, &[("k", text("w"))], vec![span(1, 0)]));
    assert!(kept_by(&policy, vec![eventful(0, "fine"), eventful(1, "oops")]));
    assert!(!kept_by(&policy, vec![eventful(0, "oops"), eventful(1, "fine")]));
    let said = verdict(
        &policies(&format!("[{policy}]")),
        &[],
        vec![span(1, 0), with(span(1, 1), "n", Value::IntValue(4))],
    );
    let evidence = said.evidence.unwrap();
    assert_eq!(evidence.span_id, Some(2_u64.to_be_bytes()));
    assert_eq!((&*evidence.key, &*evidence.value), ("ottl_condition", "attributes[\"n\"] > 3"));
    let said = verdict(&policies(&format!("[{policy}]")), &[], vec![eventful(1, "oops")]);
    assert_eq!(said.evidence.unwrap().value, "name == \"oops\" and span.name == \"step 1\"");
}

#[test]
fn a_condition_takes_no_memory_and_is_settled_by_its_first_match() {
    let policy = condition(
        r#""error_mode": "ignore", "span": ["HasPrefix(attributes[\"k\"], \"x\")", "attributes[\"n\"] > 3",
            "resource.attributes[\"service.name\"] == \"tool\" and IsMatch(name, \"^s.*9$\")"],
           "spanevent": ["name == \"oops\""]"#,
    );
    let set = crate::compile(&policies(&format!("[{policy}]"))).unwrap();
    let mut contexts = crate::contexts::Contexts::new(1);
    let group = resource_spans(&[("service.name", text("tool"))], "sdk", Vec::new());
    let headers = [
        ResourceSpans { scope_spans: Vec::new(), ..group.clone() }.encode_to_vec(),
        group.scope_spans[0].encode_to_vec(),
    ];
    let resource = contexts.hold_resource(&headers[0], Default::default);
    let scope = contexts.hold_scope(resource, &headers[1]);
    let spans =
        [eventful(0, "fine"), with(span(1, 1), "n", Value::IntValue(4))].map(|span| span.encode_to_vec());
    let (mut matched, mut errors) = (LeafSet::default(), None);
    let mut eval = |span: &[u8], known: &LeafSet| {
        let span = SpanView::new(span);
        matched.clear();
        let at = contexts.span_scope(scope, span);
        set.predicates.eval_conditions(&at, span, known, &mut matched, &mut errors);
        matched.contains(0)
    };
    // A pattern takes its scratch space on a thread's first use, and the report its text on the first error.
    let none = LeafSet::default();
    assert!(!eval(&spans[0], &none));
    let info = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            assert!(!eval(&spans[0], &none) && eval(&spans[1], &none));
        }
    });
    assert_eq!(info.count_total, 0);
    let mut known = LeafSet::default();
    known.insert(0);
    assert!(!eval(&spans[1], &known));
    assert_eq!(errors.map(|errors: crate::ConditionErrors| errors.count), Some(2_001));
}

/// The votes of policies on one trace, asked after its spans came one by one: a letter each for sampled, not sampled,
/// dropped, failed, not asked.
fn votes(json: &str, spans: Vec<Span>) -> String {
    let config = crate::SamplerConfig { early_keep: false, ..Default::default() };
    let mut driver = Driver::new(config, &policies(json));
    spans.into_iter().for_each(|span| driver.ingest(&request(vec![span]), std::time::Duration::ZERO));
    driver.tick(30 * SECOND);
    let letter =
        |votes: &crate::PolicyVotes| match (votes.sampled, votes.not_sampled, votes.dropped, votes.failed) {
            (1, 0, 0, 0) => 's',
            (0, 1, 0, 0) => 'n',
            (0, 0, 1, 0) => 'd',
            (0, 0, 0, 1) => 'f',
            (0, 0, 0, 0) => '-',
            other => panic!("{other:?}"),
        };
    driver.sampler.votes().iter().map(letter).collect()
}

#[test]
fn the_error_mode_says_what_a_failed_condition_does() {
    // It fails where there is no `k`.
    let policy = |mode: &str, more: &str| {
        condition(&format!(
            r#""error_mode": "{mode}", "span": ["HasPrefix(attributes[\"k\"], \"x\")"{more}]"#
        ))
    };
    let all = |more: &str| {
        let [silent, ignore, propagate] = ["silent", "ignore", "propagate"].map(|mode| policy(mode, more));
        format!("[{silent}, {ignore}, {propagate}]")
            .replacen("\"p\"", "\"q\"", 1)
            .replacen("\"p\"", "\"r\"", 1)
    };
    let (fails, holds) = (|| span(1, 0), || with(span(1, 1), "k", text("xy")));
    assert_eq!(votes(&all(""), vec![fails()]), "nnf");
    assert_eq!(votes(&all(""), vec![with(span(1, 0), "k", text("y"))]), "nnn");
    // The first that happens counts.
    assert_eq!(votes(&all(""), vec![fails(), holds()]), "ssf");
    assert_eq!(votes(&all(""), vec![holds(), fails()]), "sss");
    assert_eq!(votes(&all(r#", "true""#), vec![fails()]), "ssf");
    assert_eq!(
        votes(
            &format!("[{}]", policy("propagate", "").replace(r#"["Has"#, r#"["true", "Has"#)),
            vec![fails()]
        ),
        "s"
    );
    // Without the key the collector's mode is none of the three, and silent.
    let unset = condition(r#""span": ["HasPrefix(attributes[\"k\"], \"x\")"]"#);
    assert_eq!(votes(&format!("[{unset}]"), vec![fails(), holds()]), "s");

    let count = |mode: &str| {
        let mut driver =
            Driver::new(crate::SamplerConfig::default(), &policies(&format!("[{}]", policy(mode, ""))));
        driver.ingest(&request(vec![fails(), fails(), holds()]), std::time::Duration::ZERO);
        let errors = driver.sampler.take_condition_errors();
        assert_eq!(driver.sampler.take_condition_errors(), None);
        errors.map(|errors| (errors.count, errors.condition))
    };
    assert_eq!(count("ignore"), Some((2, "HasPrefix(attributes[\"k\"], \"x\")".to_owned())));
    assert_eq!((count("silent"), count("propagate")), (None, None));
}

#[test]
fn a_failure_speaks_for_the_policy_around_it() {
    let fails = r#"{"name": "f", "type": "ottl_condition", "ottl_condition":
        {"error_mode": "propagate", "span": ["HasPrefix(attributes[\"missing\"], \"x\")"]}}"#;
    let no = r#"{"name": "n", "type": "latency", "latency": {"threshold_ms": 100000}}"#;
    let yes = r#"{"name": "y", "type": "always_sample"}"#;
    let and = |list: &[&str]| {
        format!(r#"{{"name": "p", "type": "and", "and": {{"and_sub_policy": [{}]}}}}"#, list.join(","))
    };
    let not =
        |inner: &str| format!(r#"{{"name": "p", "type": "not", "not": {{"not_sub_policy": {inner}}}}}"#);
    let drop = |list: &[&str]| {
        format!(r#"{{"name": "p", "type": "drop", "drop": {{"drop_sub_policy": [{}]}}}}"#, list.join(","))
    };
    let composite = |list: &[&str]| {
        format!(
            r#"{{"name": "p", "type": "composite", "composite": {{"max_total_spans_per_second": 100,
                "composite_sub_policy": [{}], "rate_allocation": [{{"policy": "y", "percent": 100}}]}}}}"#,
            list.join(",")
        )
    };
    for (policy, expected) in [
        (and(&[fails, no]), "f"),
        (and(&[no, fails]), "n"),
        (and(&[yes, fails]), "f"),
        (not(fails), "f"),
        (not(&and(&[no, fails])), "s"),
        (not(&and(&[fails, no])), "f"),
        (drop(&[yes, fails]), "f"),
        (drop(&[fails, yes]), "f"),
        (drop(&[no, fails]), "n"),
        (composite(&[no, fails, yes]), "f"),
        (composite(&[no, yes]), "s"),
        (composite(&[yes, fails]), "s"),
    ] {
        assert_eq!(votes(&format!("[{policy}]"), vec![span(1, 0)]), expected, "{policy}");
    }
    // The next policy has its say.
    let kept = verdict(&policies(&format!(r#"[{}, {yes}]"#, drop(&[fails]))), &[], vec![span(1, 0)]);
    assert_eq!((kept.verdict, kept.policy.as_deref()), (Verdict::Kept, Some("y")));
}
