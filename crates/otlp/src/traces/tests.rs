use super::*;
use crate::wire::{WireErrorKind, put_bytes};

fn framed(keys: &[u32], body: &[u8]) -> Vec<u8> {
    keys.iter().rev().fold(body.to_vec(), |body, key| {
        let mut out = Vec::new();
        put_bytes(&mut out, *key, &body);
        out
    })
}

/// A request of spans, each given by its body.
fn request(spans: &[&[u8]]) -> Vec<u8> {
    let spans: Vec<u8> = spans.iter().flat_map(|span| framed(&[keys::scope_spans::SPANS], span)).collect();
    framed(&[keys::request::RESOURCE_SPANS, keys::resource_spans::SCOPE_SPANS], &spans)
}

fn ids(trace_id: &[u8], span_id: &[u8], parent_span_id: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, keys::span::TRACE_ID, trace_id);
    put_bytes(&mut out, keys::span::SPAN_ID, span_id);
    put_bytes(&mut out, keys::span::PARENT_SPAN_ID, parent_span_id);
    out
}

#[test]
fn spans_with_bad_ids_are_counted_by_reason_and_taken_out() {
    let good = ids(&[1; 16], &[2; 8], &[]);
    let request = request(&[
        &good,
        &ids(&[1; 16], &[2; 8], &[0; 8]),
        &ids(&[0; 16], &[2; 8], &[]),
        &ids(&[1; 15], &[0; 8], &[]),
        &[],
        &ids(&[1; 16], &[0; 8], &[]),
        &ids(&[1; 16], &[2; 9], &[3; 1]),
        &ids(&[1; 16], &[2; 8], &[3; 16]),
    ]);
    let stats = validate(&request).expect("valid");
    assert_eq!(
        stats,
        RequestStats { spans: 8, invalid: InvalidSpans { trace_id: 3, span_id: 2, parent_span_id: 1 } }
    );
    assert_eq!(stats.invalid.total(), 6);
    assert_eq!(
        stats.invalid.message(),
        "3 rejected: trace_id must be 16 bytes, not all zero; 2 rejected: span_id must be 8 bytes, not all zero; \
         1 rejected: parent_span_id must be empty or 8 bytes"
    );
    let clean = validate(&without_invalid_spans(&request)).expect("valid");
    assert_eq!(clean, RequestStats { spans: 2, invalid: InvalidSpans::default() });
    assert_eq!(clean.invalid.message(), "");
}

#[test]
fn errors_say_where_and_what() {
    let error =
        |bytes: &[u8]| validate(bytes).map_err(|error| (error.offset, error.kind)).expect_err("refused");
    assert_eq!(error(b"\x0a\x05\x12\x03"), (1, WireErrorKind::Truncated));
    assert_eq!(error(b"\x0a\x04\x12\x02\x12\x07"), (5, WireErrorKind::Truncated));
    assert_eq!(error(b"\x08\x01"), (1, WireErrorKind::UnexpectedWireType));
    assert_eq!(error(b"\x02\x01"), (1, WireErrorKind::InvalidKey));
    assert_eq!(error(b"\x0f\x01"), (1, WireErrorKind::InvalidWireType));
    assert_eq!(error(b"\x14"), (1, WireErrorKind::UnmatchedEndGroup));
    assert_eq!(error(b"\x0a\x04\x1a\x02k\xff"), (4, WireErrorKind::InvalidUtf8));
    assert_eq!(
        error(&[0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
        (1, WireErrorKind::VarintTooLong)
    );
    assert_eq!(
        validate(b"\x0a\x04\x1a\x02k\xff").expect_err("refused").to_string(),
        "malformed protobuf at byte 4: a string is not valid UTF-8"
    );
}

#[test]
fn an_embedded_message_in_pieces_is_read_as_one() {
    let status = |body: &[u8]| framed(&[keys::span::STATUS], body);
    let span = [status(b"\x12\x01a\x18\x02"), status(b"\x12\x01b"), status(b"")].concat();
    let view = SpanView::new(&span);
    assert_eq!((view.status().code(), view.status().message()), (2, "b"));
    let given: Vec<_> = view.fields().collect();
    assert!(
        matches!(given[..], [SpanField::Status(first), SpanField::Other, SpanField::Other] if first.code() == 2)
    );
}

#[test]
fn arrays_in_pieces_merge_unless_something_came_between() {
    let piece = |element: &[u8]| framed(&[keys::any_value::ARRAY, keys::VALUES], element);
    let (one, two, text) = (piece(b"\x18\x01"), piece(b"\x18\x02"), b"\x0a\x01t".to_vec());
    let read = |pieces: &[&[u8]]| match AnyValueView::new(&pieces.concat()) {
        AnyValueView::Array(array) => {
            array.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" ")
        }
        other => format!("{other:?}"),
    };
    assert_eq!(read(&[&one, &two]), "Int(1) Int(2)");
    assert_eq!(read(&[&one, &text, &two]), "Int(2)");
    assert_eq!(read(&[&one, &text]), "Str(\"t\")");

    let values: Vec<u8> =
        [&one, &text, &two, &one].into_iter().flat_map(|body| framed(&[18], body)).collect();
    let AnyValueView::Array(array) = KeyValueView::new(&values).value() else { panic!("an array") };
    assert_eq!(array.iter().count(), 2);
}
