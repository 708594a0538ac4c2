//! OTLP/JSON: protobuf's JSON mapping with OTLP's deviations (ids as hex, enums as integers).
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>
//!
//! Reading is as liberal as the collector: also snake_case names, enum names, numbers as strings and the reverse,
//! base64 of either alphabet with or without padding; unknown fields are ignored and `null` is unset.
//! Fields that only profiles use (`keyStrindex`, `stringValueStrindex`) count as unknown.

mod attribute;
mod decode;
mod encode;
mod fault;
mod put;
mod scan;
mod schema;
mod text;

use thiserror::Error;

use crate::response;

/// JSON that is not the OTLP message it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("malformed OTLP/JSON at line {line}, column {column}: {message}")]
pub struct JsonError {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1; 0 is the line's very beginning.
    pub column: usize,
    /// What was found and what was expected.
    pub message: String,
}

/// Turns an `ExportTraceServiceRequest` in OTLP/JSON into protobuf that [`validate`](crate::traces::validate) accepts.
///
/// # Errors
/// When the text is not JSON, nests deeper than 128 levels, or a known field has a value that it cannot hold.
pub fn decode_request(json: &[u8]) -> Result<Vec<u8>, JsonError> {
    decode::message(json, &schema::REQUEST)
}

/// Appends a validated `ExportTraceServiceRequest` as OTLP/JSON. Unknown fields have no names, so they are left out.
pub fn encode_request(wire: &[u8], out: &mut Vec<u8>) {
    encode::message(wire, &schema::REQUEST, out);
}

/// An `ExportTraceServiceResponse` in OTLP/JSON: how many spans were rejected and why, if any were.
pub fn encode_response(partial_success: Option<(i64, &str)>) -> Vec<u8> {
    let mut out = Vec::new();
    encode::message(&response::encode(partial_success), &schema::RESPONSE, &mut out);
    out
}

/// Reads an `ExportTraceServiceResponse` in OTLP/JSON: how many spans were rejected and why, if the server said so.
///
/// # Errors
/// When the text is not such a message.
pub fn decode_response(json: &[u8]) -> Result<Option<(i64, String)>, JsonError> {
    let wire = decode::message(json, &schema::RESPONSE)?;
    Ok(response::read(&wire))
}

/// A `google.rpc.Status` in JSON: the body of an OTLP/HTTP error.
pub fn encode_status(code: i32, message: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::message(&response::encode_status(code, message), &schema::RPC_STATUS, &mut out);
    out
}

/// Reads the code and message of a `google.rpc.Status` in JSON.
///
/// # Errors
/// When the text is not such a message.
pub fn decode_status(json: &[u8]) -> Result<(i32, String), JsonError> {
    let wire = decode::message(json, &schema::RPC_STATUS)?;
    Ok(response::read_status(&wire))
}

#[cfg(test)]
mod tests;
