//! Traces with what Forebay and the collector treat differently on purpose, and the same without.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::build::{Builder, root, text, timed, with};
use super::{Quirk, Scenario};
use crate::random::Random;

pub(super) fn scenario() -> Scenario {
    let (mut builder, mut random) = (Builder::default(), Random::new(0x0dd1_7135));
    for value in [0, 1, 100, 101, 5000] {
        one(&mut builder, &mut random, &[], |span| with(span, "amount", Value::IntValue(value)));
    }
    for value in [0.0, 99.5, 100.0, 100.5, 101.0, -0.5, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        one(&mut builder, &mut random, &[Quirk::NotAnInteger], |span| {
            with(span, "amount", Value::DoubleValue(value))
        });
    }
    for value in [text("100"), text(""), Value::BoolValue(true), Value::BytesValue(vec![100])] {
        one(&mut builder, &mut random, &[Quirk::NotAnInteger], |span| with(span, "amount", value.clone()));
    }
    for value in [true, false] {
        one(&mut builder, &mut random, &[], |span| with(span, "flag", Value::BoolValue(value)));
    }
    for value in [
        text("true"),
        text("false"),
        text(""),
        Value::IntValue(1),
        Value::IntValue(0),
        Value::DoubleValue(1.0),
    ] {
        one(&mut builder, &mut random, &[Quirk::NotABoolean], |span| with(span, "flag", value.clone()));
    }
    // Neither attribute.
    one(&mut builder, &mut random, &[], |span| span);
    // No start time: on the only span, on one of two, and no time at all.
    let no_start = |span: Span| Span { start_time_unix_nano: 0, ..span };
    let no_end = |span: Span| Span { end_time_unix_nano: 0, ..span };
    one(&mut builder, &mut random, &[Quirk::NoStart], no_start);
    one(&mut builder, &mut random, &[Quirk::NoStart], |span| no_start(no_end(span)));
    one(&mut builder, &mut random, &[], no_end);
    for (first, to) in [(true, 100), (false, 100), (true, 3000), (false, 3000)] {
        let trace = builder.trace(random.trace_id(), &[Quirk::NoStart, Quirk::Grows]);
        let (one, other) = (builder.span(trace), builder.span(trace));
        let spans = if first { [no_start(one), other] } else { [one, no_start(other)] };
        builder.send_plain(
            spans
                .map(|span| Span { end_time_unix_nano: span.end_time_unix_nano + to * 1_000_000, ..span })
                .into(),
        );
    }
    // It grows through a window of 1 to 2 s, or ends inside.
    for ends in
        [[500, 1500, 3000], [1500, 1600, 1700], [3000, 1500, 500], [500, 3000, 1500], [500, 600, 1500]]
    {
        let trace = builder.trace(random.trace_id(), &[Quirk::Grows]);
        let spans = ends.map(|end| timed(builder.span(trace), 0, end));
        builder.send_plain(spans.into());
    }
    // Two traces whose ids differ in the high half only; the second comes when the first is decided.
    let halves: Vec<([u8; 16], [u8; 16])> = (0..6)
        .map(|_| {
            let (first, mut second) = (random.trace_id(), random.trace_id());
            second[8..].copy_from_slice(&first[8..]);
            (first, second)
        })
        .collect();
    for (number, (first, _)) in halves.iter().enumerate() {
        pair(&mut builder, *first, number % 2 == 0, &[]);
    }
    builder.settle();
    for (number, (_, second)) in halves.iter().enumerate() {
        pair(&mut builder, *second, number % 3 == 0, &[Quirk::SharedLowHalf]);
    }
    builder.settle();
    builder.finish("quirks")
}

/// A trace of one span.
fn one(builder: &mut Builder, random: &mut Random, quirks: &[Quirk], change: impl Fn(Span) -> Span) {
    let trace = builder.trace(random.trace_id(), quirks);
    let span = change(root(builder.span(trace)));
    builder.send_plain(vec![span]);
}

fn pair(builder: &mut Builder, id: [u8; 16], important: bool, quirks: &[Quirk]) {
    let trace = builder.trace(id, quirks);
    let priority = if important { "critical" } else { "low" };
    let spans = vec![with(root(builder.span(trace)), "task.priority", text(priority)), builder.span(trace)];
    builder.send_plain(spans);
}
