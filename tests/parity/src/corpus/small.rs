//! Scenarios where order and time matter: few traces, each alone in its second unless said otherwise.

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::build::{Builder, failed, root, text, with};
use super::{Quirk, Scenario};
use crate::random::Random;

/// Longer than the collector's tick: traces so far apart are decided in different ticks, in order.
const APART: u64 = 1300;

/// A trace of `size` plain spans in one request, the first the root.
fn trace(builder: &mut Builder, random: &mut Random, size: usize, priority: &str, quirks: &[Quirk]) -> usize {
    let trace = builder.trace(random.trace_id(), quirks);
    more(builder, trace, size, priority, true);
    trace
}

fn more(builder: &mut Builder, trace: usize, size: usize, priority: &str, rooted: bool) {
    let mut spans: Vec<_> = (0..size).map(|_| builder.span(trace)).collect();
    if rooted {
        spans[0] = root(std::mem::take(&mut spans[0]));
    }
    spans[0] = with(std::mem::take(&mut spans[0]), "task.priority", text(priority));
    builder.send_plain(spans);
}

/// For limits of about 20 spans: traces of 20, 10, 1, 30 and 10 spans, and after a long wait 10 and 21.
pub(super) fn rates() -> Scenario {
    let (mut builder, mut random) = (Builder::default(), Random::new(0x4a7e5));
    for size in [20, 10, 1, 30, 10] {
        trace(&mut builder, &mut random, size, "normal", &[]);
        builder.pause(APART);
    }
    builder.pause(18_000);
    for size in [10, 21, 2] {
        trace(&mut builder, &mut random, size, "critical", &[]);
        builder.pause(APART);
    }
    builder.settle();
    builder.finish("rates")
}

/// Twelve traces of 5 spans in one request: they are decided together, in no particular order.
pub(super) fn crowd() -> Scenario {
    let (mut builder, mut random) = (Builder::default(), Random::new(0xc40d));
    let mut spans = Vec::new();
    for _ in 0..12 {
        let trace = builder.trace(random.trace_id(), &[]);
        spans.extend((0..5).map(|_| builder.span(trace)));
    }
    builder.send_plain(spans);
    builder.settle();
    builder.finish("crowd")
}

/// Ten traces decided one after another, then late spans for each; some turn what an evaluation would say.
pub(super) fn spaced() -> Scenario {
    let (mut builder, mut random) = (Builder::default(), Random::new(0x59ace));
    let traces: Vec<usize> = (0..10)
        .map(|number| {
            let priority = if number % 2 == 0 { "critical" } else { "low" };
            let trace = trace(&mut builder, &mut random, 3, priority, &[]);
            builder.pause(APART);
            trace
        })
        .collect();
    builder.settle();
    // From the newest: a verdict that is asked for again counts as used.
    for (number, trace) in traces.into_iter().enumerate().rev() {
        let priority = if number % 3 == 0 { "critical" } else { "low" };
        more(&mut builder, trace, 2, priority, false);
        builder.pause(APART);
    }
    builder.settle();
    builder.finish("spaced")
}

/// For 8 undecided traces: first 12 at once, so that 4 are too many; then more of the first and the last ones.
pub(super) fn overflow() -> Scenario {
    let (mut builder, mut random) = (Builder::default(), Random::new(0x0f10));
    let mut traces = Vec::new();
    for number in 0..12 {
        let priority = if number % 2 == 0 { "critical" } else { "low" };
        let quirks: &[Quirk] = if number < 4 { &[Quirk::Evicted] } else { &[] };
        traces.push(trace(&mut builder, &mut random, 2, priority, quirks));
    }
    // These join traces that are held, except with fewer than 8.
    for trace in &traces[8..] {
        more(&mut builder, *trace, 1, "normal", false);
    }
    builder.settle();
    for trace in &traces[9..] {
        let span = builder.span(*trace);
        builder.send_plain(vec![failed(with(span, "step", Value::IntValue(2)), "late")]);
    }
    builder.settle();
    builder.finish("overflow")
}
