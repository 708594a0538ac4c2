//! Traces larger than one may be.

use std::time::Duration;

use super::support::*;
use crate::{Reason, SamplerConfig, Trigger, Verdict};

fn driver(most: u64) -> Driver {
    let config = SamplerConfig { maximum_trace_size: Some(most), ..SamplerConfig::default() };
    Driver::new(config, &policies(r#"[{"name": "all", "type": "always_sample"}]"#))
}

#[test]
fn a_trace_that_grows_too_large_is_dropped_at_once_and_never_stops_others() {
    let mut driver = driver(1_000);
    for number in 0..100 {
        let padded = with(span(1, number), "padding", Value::BytesValue(vec![0; 200]));
        driver.ingest(&request(vec![padded]), Duration::ZERO);
        driver.ingest(&request(vec![span(2 + number, 0)]), Duration::ZERO);
    }
    let decision = driver.decisions.remove(0);
    assert_eq!((decision.trace_id, decision.verdict), (id(1), Verdict::Dropped));
    assert_eq!(
        (decision.reason, decision.trigger, decision.policy),
        (Reason::TooLarge, Trigger::TooLarge, None)
    );
    assert!(decision.spans < 10);
    // Nothing is kept early: any trace may still grow too large.
    assert!(driver.decisions.is_empty());
    driver.tick(30 * SECOND);
    let stats = driver.sampler.stats();
    assert_eq!((stats.traces_too_large, stats.traces_kept, stats.spans_dropped), (1, 100, 100));
}

#[test]
fn the_bound_is_inclusive_and_counts_resources_by_request() {
    let one = resource_spans(&[("service.name", text("planner"))], "sdk", vec![with_status(span(1, 0), 1)]);
    let mut bare = one.clone();
    bare.schema_url.clear();
    bare.scope_spans[0].schema_url.clear();
    let size = prost::Message::encoded_len(&bare) as u64;
    for (most, requests, dropped) in
        [(size, 1, false), (size - 1, 1, true), (3 * size, 3, false), (3 * size - 1, 3, true)]
    {
        let mut driver = driver(most);
        for _ in 0..requests {
            driver.ingest(&encode(vec![one.clone()]), Duration::ZERO);
        }
        assert_eq!(!driver.decisions.is_empty(), dropped, "{most} {requests}");
    }
}
