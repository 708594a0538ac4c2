//! What validation notes of a request, against views.

use forebay_otlp::traces::{Parent, SpanView, TracesView, validate, validate_and_index};

/// Checks the index of a request, if it is valid.
#[track_caller]
pub fn agrees(wire: &[u8]) {
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
