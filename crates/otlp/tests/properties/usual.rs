//! Spans as SDKs write them, for which validation has a fast path: every damage of one byte, every length.

use forebay_otlp::traces::{InvalidSpans, RequestStats, check_ids, validate};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn span(parent: &[u8], attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        parent_span_id: parent.to_vec(),
        name: "plan".to_owned(),
        kind: 1,
        start_time_unix_nano: 1,
        end_time_unix_nano: u64::MAX,
        attributes,
        status: Some(Status { message: String::new(), code: 1 }),
        flags: 257,
        ..Span::default()
    }
}

/// A request of `first` and another span, so that bytes can be read beyond the first.
fn request(first: Span) -> Vec<u8> {
    let text = "text behind the span that is looked at".to_owned();
    let last = span(&[], vec![attribute("note", Value::StringValue(text))]);
    let scope_spans = vec![ScopeSpans { spans: vec![first, last], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// What validation must say of the bytes; none if prost does not decode them.
fn expected(wire: &[u8]) -> Option<RequestStats> {
    let request = ExportTraceServiceRequest::decode(wire).ok()?;
    let mut invalid = [0; 3];
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    let spans: Vec<&Span> = scopes.flat_map(|scope| &scope.spans).collect();
    for span in &spans {
        if let Err(reason) = check_ids(&span.trace_id, &span.span_id, &span.parent_span_id) {
            invalid[reason as usize] += 1;
        }
    }
    let [trace_id, span_id, parent_span_id] = invalid;
    Some(RequestStats { spans: spans.len(), invalid: InvalidSpans { trace_id, span_id, parent_span_id } })
}

#[track_caller]
fn agrees(wire: &[u8]) {
    assert_eq!(validate(wire).ok(), expected(wire), "{wire:02x?}");
    crate::notes::agrees(wire);
}

#[test]
fn every_byte_of_a_usual_span_may_be_any_other() {
    let attributes = vec![
        attribute("a", Value::StringValue("text".to_owned())),
        attribute("b", Value::BoolValue(true)),
        attribute("c", Value::IntValue(3 << 20)),
        attribute("d", Value::IntValue(-1)),
        attribute("e", Value::DoubleValue(-0.1)),
        attribute("f", Value::StringValue("ö".to_owned())),
    ];
    let usual = span(&[3; 8], attributes);
    let len = usual.encoded_len();
    let mut wire = request(usual);
    agrees(&wire);
    for at in 0..len + 12 {
        let was = wire[at];
        for byte in 0..=u8::MAX {
            wire[at] = byte;
            agrees(&wire);
        }
        wire[at] = was;
    }
}

/// A text whose length takes two bytes, and one of three: their heads may be anything, their texts not.
#[test]
fn every_byte_of_a_long_text_may_be_any_other() {
    for text in [130, 300, 16_384] {
        let usual = span(&[], vec![attribute("a", Value::StringValue("t".repeat(text)))]);
        let mut wire = request(usual);
        let head = wire.windows(2).position(|pair| pair == b"tt").unwrap_or_default();
        let texts = [head, head + 1, head + text / 2, head + text - 1];
        for at in (0..head).chain(texts) {
            let was = wire[at];
            for byte in 0..=u8::MAX {
                wire[at] = byte;
                agrees(&wire);
            }
            wire[at] = was;
        }
    }
}

#[test]
fn keys_and_texts_of_every_length() {
    for key in 0..=66 {
        for text in (0..=66).chain([118, 119, 120, 121, 126, 127, 128]) {
            let mut attributes = vec![attribute(&"k".repeat(key), Value::StringValue("t".repeat(text)))];
            attributes.push(attribute(&"k".repeat(key), Value::IntValue(1 << (text % 64))));
            let wire = request(span(&[], attributes));
            agrees(&wire);
            // A byte of the text, and one of the key, that alone is not UTF-8.
            for byte in [b't', b'k'] {
                let mut damaged = wire.clone();
                if let Some(last) = damaged.windows(2).rposition(|pair| pair == [byte; 2]) {
                    damaged[last + 1] = 0x80;
                    agrees(&damaged);
                }
            }
        }
    }
}

#[test]
fn names_of_every_length() {
    for len in 0..=130 {
        let mut usual = span(&[], Vec::new());
        usual.name = "n".repeat(len);
        let mut wire = request(usual);
        agrees(&wire);
        if let Some(last) = wire.windows(2).rposition(|pair| pair == b"nn") {
            wire[last + 1] = 0xff;
            agrees(&wire);
        }
    }
}

#[test]
fn an_id_that_comes_again_counts() {
    let id = |id: &[u8]| Span { span_id: id.to_vec(), ..Span::default() }.encode_to_vec();
    let usual = span(&[], Vec::new()).encode_to_vec();
    for again in [&[7; 8][..], &[0; 8], &[7; 9]] {
        let span = [usual.clone(), id(again)].concat();
        let scope = [&[0x12, span.len() as u8][..], &span].concat();
        let resource = [&[0x12, scope.len() as u8][..], &scope].concat();
        let wire = [&[0x0a, resource.len() as u8][..], &resource].concat();
        assert!(expected(&wire).is_some_and(|stats| stats.spans == 1));
        agrees(&wire);
    }
}
