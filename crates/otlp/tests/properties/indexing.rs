//! What validation notes of a request is what views read.

use forebay_otlp::traces::{Parent, SpanView, TracesView, validate, validate_and_index};
use proptest::prelude::*;

use crate::generate::{Entropy, mutate};
use crate::requests;

/// Checks the index of a request, if it is valid.
#[track_caller]
pub(crate) fn agrees(wire: &[u8]) {
    let (stats, index) = match (validate(wire), validate_and_index(wire)) {
        (Ok(stats), Ok(indexed)) => {
            assert_eq!(stats, indexed.0);
            indexed
        }
        (plain, indexed) => {
            assert_eq!(plain.err(), indexed.err(), "{wire:02x?}");
            return;
        }
    };
    let Some(index) = index else { return };
    assert_eq!(index.spans(), stats.spans);
    let mut scopes = index.scopes();
    for (number, resource_spans) in (1..).zip(TracesView::new(wire).resource_spans()) {
        for scope_spans in resource_spans.scope_spans() {
            let scope = scopes.next().expect("as many scopes");
            assert_eq!(scope.resource(), number);
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            resource_spans.write_header(&mut expected);
            scope_spans.write_header(&mut expected);
            scope.write_resource_header(wire, &mut found);
            scope.write_header(wire, &mut found);
            assert_eq!(found, expected);
            let spans: Vec<SpanView<'_>> = scope_spans.spans().collect();
            assert_eq!(scope.spans().len(), spans.len());
            for (entry, span) in scope.spans().iter().zip(spans) {
                assert_eq!(entry.view(wire).bytes(), span.bytes());
                assert!(entry.field(wire).ends_with(span.bytes()));
                if !entry.is_usual() {
                    continue;
                }
                assert_eq!(&entry.trace_id(wire)[..], span.trace_id());
                assert_eq!(entry.name(wire), span.name().as_bytes());
                assert_eq!(entry.times(), (span.start_time_unix_nano(), span.end_time_unix_nano()));
                let parent = match span.parent_span_id() {
                    [] => Parent::Missing,
                    id if id.iter().all(|&byte| byte == 0) => Parent::Zero,
                    _ => Parent::Given,
                };
                assert_eq!(entry.parent(), parent);
                assert_eq!(entry.status_code(), span.has_status().then(|| span.status().code()));
                assert_eq!((entry.flags(), ""), (span.flags(), span.trace_state()));
                let lengths = span.attributes().map(|attribute| 1 << attribute.key_bytes().len().min(63));
                assert_eq!(entry.key_lengths(), lengths.fold(0, |all, one: u64| all | one));
            }
        }
    }
    assert!(scopes.next().is_none());
}

#[test]
fn tiny_spans_and_scopes_are_not_noted_at_any_price() {
    let repeated = |field: &[u8], times: usize| field.repeat(times);
    let framed = |key: u8, body: &[u8]| {
        let mut out = vec![key];
        let mut len = body.len();
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend_from_slice(body);
        out
    };
    // Empty spans in one scope, and empty scopes.
    for resource in [framed(0x12, &repeated(b"\x12\0", 10_000)), repeated(b"\x12\0", 10_000)] {
        let wire = framed(0x0a, &resource);
        let (stats, index) = validate_and_index(&wire).expect("valid");
        assert!(index.is_none());
        assert_eq!(stats, validate(&wire).expect("valid"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn of_any_valid_request(wire in requests()) {
        agrees(&wire);
    }

    #[test]
    fn of_damaged_ones(wire in requests(), entropy in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut wire = wire;
        mutate(&mut Entropy::new(&entropy), &mut wire);
        agrees(&wire);
    }
}
