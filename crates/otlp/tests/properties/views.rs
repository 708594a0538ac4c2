//! Views read what prost reads, and validation accepts what prost accepts.

use forebay_otlp::traces::{InvalidSpans, RequestStats, validate};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use prost::Message;

use crate::generate::{Entropy, mutate};
use crate::{reference, requests};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_reading_equals_prosts(wire in requests()) {
        prop_assert_eq!(reference::read(&wire).encode_to_vec(), reference::expected(&wire).encode_to_vec());
    }

    #[test]
    fn valid_requests_are_counted(wire in requests()) {
        let request = ExportTraceServiceRequest::decode(&wire[..]).expect("generated ones are valid");
        prop_assert_eq!(validate(&wire), Ok(stats(&request)));
    }

    #[test]
    fn damaged_requests_are_refused_exactly_when_prost_refuses(
        wire in requests(),
        entropy in prop::collection::vec(any::<u8>(), 1..32),
    ) {
        let mut damaged = wire;
        mutate(&mut Entropy::new(&entropy), &mut damaged);
        agree(&damaged)?;
    }

    #[test]
    fn cut_requests_are_refused_exactly_when_prost_refuses(wire in requests(), at in any::<prop::sample::Index>()) {
        agree(&wire[..at.index(wire.len() + 1)])?;
    }

    #[test]
    fn any_bytes_are_refused_exactly_when_prost_refuses(wire in prop::collection::vec(any::<u8>(), 0..64)) {
        agree(&wire)?;
    }
}

fn agree(wire: &[u8]) -> Result<(), TestCaseError> {
    let prost = ExportTraceServiceRequest::decode(wire);
    let ours = validate(wire);
    prop_assert_eq!(ours.is_ok(), prost.is_ok(), "ours {:?}, prost {:?}", ours, prost);
    if let Err(error) = ours {
        prop_assert!(error.offset <= wire.len());
    }
    let _ = reference::read(wire); // must not panic, whatever it reads
    Ok(())
}

fn stats(request: &ExportTraceServiceRequest) -> RequestStats {
    let mut stats = RequestStats { spans: 0, invalid: InvalidSpans::default() };
    for span in spans(request) {
        stats.spans += 1;
        if span.trace_id.len() != 16 || span.trace_id.iter().all(|byte| *byte == 0) {
            stats.invalid.trace_id += 1;
        } else if span.span_id.len() != 8 || span.span_id.iter().all(|byte| *byte == 0) {
            stats.invalid.span_id += 1;
        } else if ![0, 8].contains(&span.parent_span_id.len()) {
            stats.invalid.parent_span_id += 1;
        }
    }
    stats
}

pub fn spans(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    request.resource_spans.iter().flat_map(|group| &group.scope_spans).flat_map(|group| &group.spans)
}

#[test]
fn nesting_is_refused_at_the_depth_where_prost_refuses() {
    let frame = |key: u8, body: &[u8]| {
        let mut out = vec![key];
        prost::encoding::encode_varint(body.len() as u64, &mut out);
        out.extend_from_slice(body);
        out
    };
    let innermost: [&[u8]; 6] =
        [&[], &[0x08, 0x00], &[0xa0, 0x06, 0x01], &[0x0a, 0x00], &[0x6b, 0x6c], &[0x12, 0x00]];
    for start in innermost {
        for levels in 80..110 {
            for pattern in
                [&[0x0a][..], &[0x0a, 0x2a], &[0x2a, 0x0a], &[0x12, 0x0a, 0x32], &[0x0a, 0x32, 0x12]]
            {
                let mut wire = start.to_vec();
                for level in 0..levels {
                    wire = frame(pattern[level % pattern.len()], &wire);
                }
                // A value in an attribute in a span in a scope in a resource.
                for key in [0x12, 0x4a, 0x12, 0x12, 0x0a] {
                    wire = frame(key, &wire);
                }
                agree(&wire).expect("prost and we agree");
            }
        }
    }
    for groups in 90..110 {
        for keys in [&[][..], &[0x0a], &[0x0a, 0x12], &[0x0a, 0x12, 0x12]] {
            let mut wire = [[0xa3, 0x06].repeat(groups), [0xa4, 0x06].repeat(groups)].concat();
            for key in keys.iter().rev() {
                wire = frame(*key, &wire);
            }
            agree(&wire).expect("prost and we agree");
        }
    }
}
