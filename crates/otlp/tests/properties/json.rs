//! OTLP/JSON both ways, against opentelemetry-proto where it keeps to the specification.

use forebay_otlp::json::{decode_request, encode_request};
use forebay_otlp::traces::validate;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use proptest::prelude::*;
use prost::Message;

use crate::generate::{self, Entropy};
use crate::{reference, requests, spelling};

/// Prost's reading, with every value replaced as `replace` says.
fn expected(wire: &[u8], replace: fn(&mut Option<Value>)) -> ExportTraceServiceRequest {
    let mut request = ExportTraceServiceRequest::decode(wire).expect("valid");
    reference::for_each_attributes(&mut request, &mut |attributes| {
        for attribute in attributes {
            reference::for_each_value(attribute, &mut |value| {
                if let Some(Value::StringValueStrindex(_)) = value {
                    *value = None;
                }
                replace(value);
            });
        }
    });
    request
}

/// JSON has one NaN.
fn one_nan(value: &mut Option<Value>) {
    match value {
        Some(Value::DoubleValue(number)) if number.is_nan() => *number = f64::NAN,
        _ => {}
    }
}

/// opentelemetry-proto writes `null` for what is not finite, and reads no value that is not set.
fn finite_and_set(value: &mut Option<Value>) {
    match value {
        Some(Value::DoubleValue(number)) if !number.is_finite() => *number = 0.5,
        None => *value = Some(Value::BoolValue(false)),
        _ => {}
    }
}

fn encode(wire: &[u8]) -> Vec<u8> {
    let mut json = Vec::new();
    encode_request(wire, &mut json);
    json
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_written_reads_back(wire in requests()) {
        let json = encode(&wire);
        let back = decode_request(&json).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(validate(&back).is_ok());
        let back = ExportTraceServiceRequest::decode(&back[..]).expect("valid");
        prop_assert_eq!(back.encode_to_vec(), expected(&wire, one_nan).encode_to_vec());
    }

    #[test]
    fn opentelemetry_proto_reads_what_we_write(wire in requests()) {
        let request = expected(&wire, finite_and_set);
        let json = encode(&request.encode_to_vec());
        let theirs: ExportTraceServiceRequest = serde_json::from_slice(&json).map_err(|error| {
            TestCaseError::fail(format!("{error} in {}", String::from_utf8_lossy(&json)))
        })?;
        prop_assert_eq!(theirs.encode_to_vec(), request.encode_to_vec());
    }

    #[test]
    fn we_read_what_opentelemetry_proto_writes(wire in requests()) {
        let request = expected(&wire, finite_and_set);
        let json = serde_json::to_vec(&request).expect("serializes");
        let ours = decode_request(&json).map_err(|error| {
            TestCaseError::fail(format!("{error} in {}", String::from_utf8_lossy(&json)))
        })?;
        let ours = ExportTraceServiceRequest::decode(&ours[..]).expect("valid");
        prop_assert_eq!(ours.encode_to_vec(), request.encode_to_vec());
    }

    #[test]
    fn however_it_is_written_it_reads_the_same(
        wire in requests(),
        entropy in prop::collection::vec(any::<u8>(), 0..4000),
    ) {
        let json = serde_json::from_slice(&encode(&wire)).expect("JSON");
        let json = spelling::respell(&json, &mut Entropy::new(&entropy));
        let back = decode_request(json.as_bytes())
            .map_err(|error| TestCaseError::fail(format!("{error} in {json}")))?;
        prop_assert!(validate(&back).is_ok());
        let back = ExportTraceServiceRequest::decode(&back[..]).expect("valid");
        prop_assert_eq!(back.encode_to_vec(), expected(&wire, one_nan).encode_to_vec(), "{}", json);
    }

    #[test]
    fn damaged_json_never_panics_nor_decodes_to_invalid_protobuf(
        wire in requests(),
        entropy in prop::collection::vec(any::<u8>(), 1..32),
    ) {
        let mut json = encode(&wire);
        generate::mutate(&mut Entropy::new(&entropy), &mut json);
        if let Ok(wire) = decode_request(&json) {
            prop_assert!(validate(&wire).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_written_as_json(wire in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&encode(&wire)).is_ok());
    }
}
