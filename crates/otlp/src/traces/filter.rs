//! Taking spans out of a request in place: the slow path, for the requests that need it.

use crate::traces::keys::{request, resource_spans, scope_spans};
use crate::traces::{SpanField, SpanView, check_ids};
use crate::wire::{Fields, put_bytes};

/// Copies a validated request without the spans that [`validate`](crate::traces::validate) counts as invalid.
/// Everything else stays as it is, unknown fields included.
pub fn without_invalid_spans(request: &[u8]) -> Vec<u8> {
    retain_spans(request, has_valid_ids)
}

/// Copies a validated request with only the spans that `keep` says yes to. Everything else stays as it is,
/// unknown fields included; groups that held spans stay even when empty.
pub fn retain_spans(request: &[u8], mut keep: impl FnMut(SpanView<'_>) -> bool) -> Vec<u8> {
    rewrite(request, request::RESOURCE_SPANS, &mut |resource_spans| {
        Some(rewrite(resource_spans, resource_spans::SCOPE_SPANS, &mut |scope_spans| {
            Some(rewrite(scope_spans, scope_spans::SPANS, &mut |span| {
                keep(SpanView::new(span)).then(|| span.to_vec())
            }))
        }))
    })
}

/// Copies a message, with each element of the repeated field `key` replaced by what `map` makes of it.
fn rewrite(message: &[u8], key: u32, map: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for field in Fields::new(message) {
        if field.key != key {
            out.extend_from_slice(field.raw);
        } else if let Some(element) = map(field.bytes) {
            if element == field.bytes {
                out.extend_from_slice(field.raw);
            } else {
                put_bytes(&mut out, key, &element);
            }
        }
    }
    out
}

fn has_valid_ids(span: SpanView<'_>) -> bool {
    let (mut trace_id, mut span_id, mut parent_span_id) = (&[][..], &[][..], &[][..]);
    for field in span.fields() {
        match field {
            SpanField::TraceId(id) => trace_id = id,
            SpanField::SpanId(id) => span_id = id,
            SpanField::ParentSpanId(id) => parent_span_id = id,
            _ => {}
        }
    }
    check_ids(trace_id, span_id, parent_span_id).is_ok()
}
