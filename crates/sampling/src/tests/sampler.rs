//! The sampler over time: when it decides, what it sends on, what it forgets.

use std::time::Duration;

use super::support::*;
use crate::{SamplerConfig, Trigger, Verdict};

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
    assert_eq!(second.trigger, Trigger::DecisionWait);
}
