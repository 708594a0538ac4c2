//! A gRPC answer's status, and what it means for a retry.
//!
//! Read here rather than by tonic, whose `Status::from_header_map` panics on details that are not base64: what a
//! broken backend sends must not bring a worker down.

use crate::response::words;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use forebay_component::Reason;
use forebay_exporter_queue::SendFailure;
use http::{HeaderMap, StatusCode};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The status in a response's headers or trailers; none if there is none.
pub(crate) fn read(headers: &HeaderMap) -> Option<Status> {
    let code = Code::from_bytes(headers.get("grpc-status")?.as_bytes());
    let message = headers.get("grpc-message").map(|value| percent_decode(value.as_bytes()));
    let details = headers.get("grpc-status-details-bin").and_then(|value| BASE64.decode(value).ok());
    Some(Status::with_details(code, message.unwrap_or_default(), details.unwrap_or_default().into()))
}

/// The status that an HTTP status without a gRPC one stands for
/// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>).
pub(crate) fn from_http(status: StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let hint = if code == Code::Unimplemented { "; is this an OTLP/gRPC port?" } else { "" };
    Status::new(code, format!("the server answered HTTP {status} without a gRPC status{hint}"))
}

/// Retryable or permanent, by the table in the OTLP specification (OTLP/gRPC, failures).
pub(crate) fn failure(status: &Status) -> SendFailure {
    let code = status.code();
    let text = format!("{code:?}: {}", words(status.message()));
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
    // tonic servers answer OutOfRange, grpc-go servers ResourceExhausted without RetryInfo.
    if is_too_large(status) && wait.is_none() {
        let advice = "the backend refuses requests of this size: raise its limit for received messages, or lower \
                      `send_batch_max_size` of the batch processor";
        return SendFailure::permanent(Reason::Rejected, format!("{advice} ({text})"));
    }
    match code {
        Code::DeadlineExceeded => SendFailure::retryable(Reason::Timeout, text).after(positive(wait)),
        Code::Cancelled | Code::Aborted | Code::OutOfRange | Code::Unavailable | Code::DataLoss => {
            SendFailure::retryable(Reason::Unavailable, text).after(positive(wait))
        }
        Code::ResourceExhausted if wait.is_some() => {
            SendFailure::retryable(Reason::Unavailable, text).after(positive(wait))
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            let advice = "check `headers` and `tls`";
            SendFailure::permanent(Reason::Unauthenticated, format!("{text} ({advice})"))
        }
        _ => SendFailure::permanent(Reason::Rejected, text),
    }
}

fn positive(wait: Option<Duration>) -> Option<Duration> {
    wait.filter(|wait| !wait.is_zero())
}

fn is_too_large(status: &Status) -> bool {
    let message = status.message();
    match status.code() {
        Code::OutOfRange => message.contains("message length too large"),
        Code::ResourceExhausted => message.contains("larger than max"),
        _ => false,
    }
}

/// The percent-encoding of `grpc-message`; what does not decode stays as it is.
fn percent_decode(text: &[u8]) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, hex(text.get(at + 1)), hex(text.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                // Two hex digits are less than 256.
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
