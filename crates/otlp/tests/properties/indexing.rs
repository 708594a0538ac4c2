//! What validation notes of a request is what views read.

use forebay_otlp::traces::{validate, validate_and_index};
use proptest::prelude::*;

use crate::generate::{Entropy, mutate};
use crate::notes::agrees;
use crate::requests;

#[test]
fn tiny_spans_and_scopes_are_not_noted_at_any_price() {
    let framed = |key: u8, body: &[u8]| {
        let mut out = vec![key];
        prost::encoding::encode_varint(body.len() as u64, &mut out);
        out.extend_from_slice(body);
        out
    };
    // Empty spans in one scope, empty scopes, and empty fields of a resource.
    let scope = framed(0x12, &b"\x12\0".repeat(10_000));
    for resource in [scope, b"\x12\0".repeat(10_000), b"\x1a\0".repeat(10_000)] {
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
