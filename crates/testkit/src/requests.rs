//! Small valid trace requests, written by hand so that tests need no protobuf library.

use bytes::Bytes;
use forebay_component::Payload;
use forebay_otlp::traces::TracesView;

/// A request of `spans` spans of trace `trace`, numbered from `first`, each with the attribute `key` = `value` if given.
pub fn request(trace: u64, first: u64, spans: u64, attribute: Option<(&str, &str)>) -> Vec<u8> {
    let mut scope = Vec::new();
    for number in first..first + spans {
        let mut span = Vec::new();
        field(&mut span, 1, &trace_id(trace));
        field(&mut span, 2, &(number + 1).to_be_bytes());
        field(&mut span, 5, format!("span {number}").as_bytes());
        if let Some((key, value)) = attribute {
            let (mut any, mut pair) = (Vec::new(), Vec::new());
            field(&mut any, 1, value.as_bytes());
            field(&mut pair, 1, key.as_bytes());
            field(&mut pair, 2, &any);
            field(&mut span, 9, &pair);
        }
        field(&mut scope, 2, &span);
    }
    let (mut resource, mut request) = (Vec::new(), Vec::new());
    field(&mut resource, 2, &scope);
    field(&mut request, 1, &resource);
    request
}

/// The id of trace number `trace`.
pub fn trace_id(trace: u64) -> [u8; 16] {
    let mut id = [0xfb; 16];
    id[8..].copy_from_slice(&trace.to_be_bytes());
    id
}

/// [`request`] as a payload.
pub fn payload(trace: u64, first: u64, spans: u64, attribute: Option<(&str, &str)>) -> Payload {
    Payload::traces(request(trace, first, spans, attribute), spans as usize)
}

/// Trace and span numbers of every span in `bodies`, sorted.
pub fn spans_of(bodies: &[Bytes]) -> Vec<(u64, u64)> {
    let number = |id: &[u8]| id.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let mut found = Vec::new();
    for body in bodies {
        for resource in TracesView::new(body).resource_spans() {
            for scope in resource.scope_spans() {
                let ids = scope.spans().map(|span| (number(span.trace_id()), number(span.span_id()) - 1));
                found.extend(ids);
            }
        }
    }
    found.sort_unstable();
    found
}

fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}
