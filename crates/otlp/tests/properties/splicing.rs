//! Slices put together, taken apart and filtered lose nothing.

use forebay_otlp::splice::{RequestBuilder, count_spans, split};
use forebay_otlp::traces::{SpanView, TracesView, check_ids, retain_spans, validate, without_invalid_spans};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::ScopeSpans;
use proptest::prelude::*;
use prost::Message;

use crate::requests;

/// A span with what it lies under, all as bytes.
#[derive(Debug, Clone, PartialEq)]
struct Slice {
    resource: Vec<u8>,
    scope: Vec<u8>,
    span: Vec<u8>,
}

fn slices(wire: &[u8]) -> Vec<Slice> {
    let mut slices = Vec::new();
    for resource_spans in TracesView::new(wire).resource_spans() {
        let mut resource = Vec::new();
        resource_spans.write_header(&mut resource);
        for scope_spans in resource_spans.scope_spans() {
            let mut scope = Vec::new();
            scope_spans.write_header(&mut scope);
            for span in scope_spans.spans() {
                slices.push(Slice {
                    resource: resource.clone(),
                    scope: scope.clone(),
                    span: span.bytes().to_vec(),
                });
            }
        }
    }
    slices
}

/// Every group's header, those without spans included.
fn headers(wire: &[u8]) -> Vec<Vec<u8>> {
    let mut headers = Vec::new();
    for resource_spans in TracesView::new(wire).resource_spans() {
        let mut resource = Vec::new();
        resource_spans.write_header(&mut resource);
        headers.push(resource);
        for scope_spans in resource_spans.scope_spans() {
            let mut scope = Vec::new();
            scope_spans.write_header(&mut scope);
            headers.push(scope);
        }
    }
    headers
}

fn build(slices: &[Slice]) -> Vec<u8> {
    let (mut builder, mut out) = (RequestBuilder::new(), Vec::new());
    for slice in slices {
        builder.push(&slice.resource, &slice.scope, &slice.span);
    }
    let len = builder.encoded_len();
    assert_eq!(builder.span_count(), slices.len());
    builder.finish(&mut out);
    assert_eq!(out.len(), len);
    assert!(builder.is_empty());
    out
}

fn has_valid_ids(span: &[u8]) -> bool {
    let span = SpanView::new(span);
    check_ids(span.trace_id(), span.span_id(), span.parent_span_id()).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn spans_sliced_out_and_spliced_back_are_the_same(wire in requests()) {
        let sliced = slices(&wire);
        let spliced = build(&sliced);
        prop_assert!(validate(&spliced).is_ok());
        prop_assert_eq!(&slices(&spliced), &sliced);

        let changes = |same: fn(&Slice, &Slice) -> bool| {
            sliced.windows(2).filter(|pair| !same(&pair[0], &pair[1])).count() + usize::from(!sliced.is_empty())
        };
        let resources = TracesView::new(&spliced).resource_spans();
        prop_assert_eq!(resources.clone().count(), changes(|a, b| a.resource == b.resource));
        let scopes = changes(|a, b| a.resource == b.resource && a.scope == b.scope);
        prop_assert_eq!(resources.flat_map(|resource| resource.scope_spans()).count(), scopes);
    }

    #[test]
    fn attributes_added_to_a_scope_are_in_it_once(wire in requests(), replace in any::<bool>()) {
        let decode = |header: &[u8]| ScopeSpans::decode(header).expect("a header");
        for scope_spans in TracesView::new(&wire).resource_spans().flat_map(|resource| resource.scope_spans()) {
            let known = scope_spans.scope().attributes().next().map(|attribute| attribute.key().to_owned());
            let mut added = vec![KeyValue { key: "new".to_owned(), value: None, ..Default::default() }];
            added.extend(known.filter(|_| replace).map(|key| KeyValue { key, ..Default::default() }));
            let encoded = InstrumentationScope { attributes: added.clone(), ..Default::default() }.encode_to_vec();
            let (mut header, mut with) = (Vec::new(), Vec::new());
            scope_spans.write_header(&mut header);
            scope_spans.write_header_with(&encoded, &mut with);
            let mut expected = decode(&header);
            let scope = expected.scope.get_or_insert_default();
            scope.attributes.retain(|attribute| !added.iter().any(|added| added.key == attribute.key));
            scope.attributes.extend(added);
            prop_assert_eq!(decode(&with), expected);
        }
    }

    #[test]
    fn splitting_keeps_every_span_and_group_in_order(wire in requests(), max_spans in 1..6_usize) {
        let parts = split(&wire, max_spans);
        for part in &parts {
            prop_assert!(validate(part).is_ok());
            prop_assert!(count_spans(part) <= max_spans);
        }
        if let Some((_, full)) = parts.split_last() {
            prop_assert!(full.iter().all(|part| count_spans(part) == max_spans));
        }
        prop_assert_eq!(slices(&parts.concat()), slices(&wire));
        let (mut whole, mut in_parts) = (headers(&wire), headers(&parts.concat()));
        whole.dedup();
        in_parts.dedup();
        prop_assert!(whole.iter().all(|header| in_parts.contains(header)));
        let (mut own, mut kept) = (Vec::new(), Vec::new());
        TracesView::new(&wire).write_header(&mut own);
        TracesView::new(&parts.concat()).write_header(&mut kept);
        prop_assert_eq!(own, kept);
    }

    #[test]
    fn spans_are_counted(wire in requests()) {
        prop_assert_eq!(count_spans(&wire), slices(&wire).len());
        prop_assert_eq!(Ok(count_spans(&wire)), validate(&wire).map(|stats| stats.spans));
    }

    #[test]
    fn only_invalid_spans_are_taken_out(wire in requests()) {
        let clean = without_invalid_spans(&wire);
        prop_assert_eq!(validate(&clean).map(|stats| stats.invalid.total()), Ok(0));
        let expected: Vec<_> = slices(&wire).into_iter().filter(|slice| has_valid_ids(&slice.span)).collect();
        prop_assert_eq!(slices(&clean), expected);
        prop_assert_eq!(headers(&clean), headers(&wire));
    }

    #[test]
    fn a_request_of_which_all_is_kept_stays_byte_for_byte(wire in requests()) {
        prop_assert_eq!(retain_spans(&wire, |_| true), wire);
    }

    #[test]
    fn requests_one_after_the_other_are_a_request(first in requests(), second in requests()) {
        let joined = [&first[..], &second].concat();
        prop_assert!(validate(&joined).is_ok());
        prop_assert_eq!(slices(&joined), [slices(&first), slices(&second)].concat());
    }

    #[test]
    fn nothing_panics_on_any_bytes(wire in prop::collection::vec(any::<u8>(), 0..200), max_spans in 0..4_usize) {
        let _ = (split(&wire, max_spans), count_spans(&wire), without_invalid_spans(&wire), slices(&wire));
    }
}

#[test]
fn nested_calls_build_what_they_say() {
    let (mut builder, mut out) = (RequestBuilder::new(), Vec::new());
    builder.begin_resource(b"\x1a\x01r");
    builder.begin_scope(b"\x1a\x01s");
    builder.begin_scope(b"\x1a\x01t");
    builder.span(b"\x2a\x01a");
    builder.begin_resource(b"");
    builder.span(b"\x2a\x01b");
    builder.finish(&mut out);
    assert_eq!(
        out,
        b"\x0a\x12\x1a\x01r\x12\x03\x1a\x01s\x12\x08\x1a\x01t\x12\x03\x2a\x01a\x0a\x07\x12\x05\x12\x03\x2a\x01b"
    );
}
