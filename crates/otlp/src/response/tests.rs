use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use proptest::prelude::*;
use prost::Message;

use super::*;

#[derive(Clone, PartialEq, Message)]
struct AnyDetail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<AnyDetail>,
}

proptest! {
    #[test]
    fn responses_are_what_prost_writes_and_reads(rejected: i64, message: String) {
        let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message: message.clone() };
        let theirs = ExportTraceServiceResponse { partial_success: Some(partial) };
        let ours = encode(Some((rejected, &message)));
        prop_assert_eq!(&ours, &theirs.encode_to_vec());
        let read = (rejected != 0 || !message.is_empty()).then_some((rejected, message));
        prop_assert_eq!(decode(&ours), Ok(read));
    }

    #[test]
    fn statuses_are_what_prost_writes_and_reads(code: i32, message: String, details: bool) {
        let theirs = RpcStatus { code, message: message.clone(), details: Vec::new() };
        prop_assert_eq!(encode_status(code, &message), theirs.encode_to_vec());
        let detail = AnyDetail { type_url: "type.googleapis.com/x".to_owned(), value: vec![1, 2] };
        let theirs = RpcStatus { details: if details { vec![detail] } else { Vec::new() }, ..theirs };
        prop_assert_eq!(decode_status(&theirs.encode_to_vec()), Ok((code, message)));
    }

    #[test]
    fn responses_are_refused_exactly_when_prost_refuses(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
        prop_assert_eq!(decode(&bytes).is_ok(), ExportTraceServiceResponse::decode(&bytes[..]).is_ok());
        let _ = decode_status(&bytes);
    }
}

#[test]
fn full_success_is_the_empty_message() {
    assert_eq!(encode(None), b"");
    assert_eq!(decode(b""), Ok(None));
}

#[test]
fn errors_say_where() {
    let error = decode(b"\x0a\x02\x12\x05").expect_err("cut");
    assert_eq!(error.to_string(), "malformed protobuf at byte 3: the message ends inside a field");
    assert_eq!(
        decode_status(b"\x12\x01\xff").map_err(|error| (error.offset, error.kind)),
        Err((2, WireErrorKind::InvalidUtf8))
    );
}
