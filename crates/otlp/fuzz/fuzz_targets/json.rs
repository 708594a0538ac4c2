//! Any text as OTLP/JSON, and any bytes and generated requests written as OTLP/JSON.
#![no_main]

#[path = "../../tests/properties/generate.rs"]
mod generate;

use forebay_otlp::json::{decode_request, decode_response, decode_status, encode_request};
use forebay_otlp::traces::validate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(wire) = decode_request(data) {
        round_trip(&wire);
    }
    let _ = (decode_response(data), decode_status(data));
    encode_request(data, &mut Vec::new());

    let (seed, damage) = data.split_at(data.len() - data.len() / 4);
    let wire = generate::request(&mut generate::Entropy::new(seed));
    let mut json = round_trip(&wire);
    generate::mutate(&mut generate::Entropy::new(damage), &mut json);
    if let Ok(wire) = decode_request(&json) {
        assert!(validate(&wire).is_ok());
    }
});

/// What is written reads back as what writes the same.
fn round_trip(wire: &[u8]) -> Vec<u8> {
    assert!(validate(wire).is_ok());
    let (mut json, mut again) = (Vec::new(), Vec::new());
    encode_request(wire, &mut json);
    let back = decode_request(&json).unwrap_or_else(|error| panic!("{error}"));
    encode_request(&back, &mut again);
    assert_eq!(String::from_utf8_lossy(&json), String::from_utf8_lossy(&again));
    json
}
