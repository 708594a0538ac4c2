//! What validation notes of a request is what views read.

use forebay_otlp::traces::{validate, validate_and_index};
use proptest::prelude::*;

use crate::generate::{Entropy, mutate};
use crate::notes::agrees;
use crate::requests;

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
    // Empty spans in one scope, empty scopes, and empty fields of a resource.
    let scope = framed(0x12, &repeated(b"\x12\0", 10_000));
    for resource in [scope, repeated(b"\x12\0", 10_000), repeated(b"\x1a\0", 10_000)] {
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
