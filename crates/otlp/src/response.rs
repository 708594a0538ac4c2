//! What a server answers: `ExportTraceServiceResponse`, and `google.rpc.Status` as the body of an OTLP/HTTP error.
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>

use crate::wire::{
    Cursor, Fault, LEN, Merged, RECURSION_LIMIT, VARINT, WireError, WireErrorKind, is_utf8, text,
};
use crate::wire::{key, put_bytes, put_varint};

pub(crate) const PARTIAL_SUCCESS: u32 = key(1, LEN);
pub(crate) const REJECTED_SPANS: u32 = key(1, VARINT);
pub(crate) const ERROR_MESSAGE: u32 = key(2, LEN);
pub(crate) const STATUS_CODE: u32 = key(1, VARINT);
pub(crate) const STATUS_MESSAGE: u32 = key(2, LEN);
const STATUS_DETAILS: u32 = key(3, LEN);

/// An `ExportTraceServiceResponse`: how many spans were rejected and why, if any were. A message with 0 rejected
/// spans is a warning.
pub fn encode(partial_success: Option<(i64, &str)>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some((rejected, message)) = partial_success {
        put_bytes(
            &mut out,
            PARTIAL_SUCCESS,
            &number_and_text(REJECTED_SPANS, rejected, ERROR_MESSAGE, message),
        );
    }
    out
}

/// Reads an `ExportTraceServiceResponse`: how many spans were rejected and why, if the server said so.
///
/// # Errors
/// When the bytes are not such a message.
pub fn decode(response: &[u8]) -> Result<Option<(i64, String)>, WireError> {
    check(response, |key, cursor| match key {
        PARTIAL_SUCCESS => {
            check_fields(cursor.bytes()?, RECURSION_LIMIT - 1, &|key, cursor| match key {
                REJECTED_SPANS => cursor.varint().map(|_| true),
                ERROR_MESSAGE => string(cursor),
                _ => unexpected(key, 2, cursor),
            })?;
            Ok(true)
        }
        _ => unexpected(key, 1, cursor),
    })?;
    Ok(read(response))
}

/// [`decode`] of bytes known to be valid.
pub(crate) fn read(response: &[u8]) -> Option<(i64, String)> {
    let partial = Merged::find(response, PARTIAL_SUCCESS)?;
    let (rejected, message) =
        (partial.last_number(REJECTED_SPANS) as i64, text(partial.last_bytes(ERROR_MESSAGE)));
    (rejected != 0 || !message.is_empty()).then(|| (rejected, message.to_owned()))
}

/// A `google.rpc.Status` without details: the body of an OTLP/HTTP error. `code` is a gRPC status code.
pub fn encode_status(code: i32, message: &str) -> Vec<u8> {
    number_and_text(STATUS_CODE, i64::from(code), STATUS_MESSAGE, message)
}

/// Reads the code and message of a `google.rpc.Status`.
///
/// # Errors
/// When the bytes are not such a message.
pub fn decode_status(status: &[u8]) -> Result<(i32, String), WireError> {
    check(status, |key, cursor| match key {
        STATUS_CODE => cursor.varint().map(|_| true),
        STATUS_MESSAGE => string(cursor),
        STATUS_DETAILS => cursor.bytes().map(|_| true),
        _ => unexpected(key, 3, cursor),
    })?;
    Ok(read_status(status))
}

/// [`decode_status`] of bytes known to be valid.
pub(crate) fn read_status(status: &[u8]) -> (i32, String) {
    let status = Merged::whole(status);
    (status.last_number(STATUS_CODE) as i32, text(status.last_bytes(STATUS_MESSAGE)).to_owned())
}

fn number_and_text(number_key: u32, number: i64, text_key: u32, text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    if number != 0 {
        put_varint(&mut out, u64::from(number_key));
        put_varint(&mut out, number as u64);
    }
    if !text.is_empty() {
        put_bytes(&mut out, text_key, text.as_bytes());
    }
    out
}

/// Checks a message; `known` reads the value of a field of the schema, or says that it is none.
fn check(
    message: &[u8],
    known: impl Fn(u32, &mut Cursor<'_>) -> Result<bool, Fault>,
) -> Result<(), WireError> {
    check_fields(message, RECURSION_LIMIT, &known).map_err(|fault| fault.within(message))
}

fn check_fields(
    message: &[u8],
    depth: u32,
    known: &impl Fn(u32, &mut Cursor<'_>) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let mut cursor = Cursor::new(message);
    while !cursor.is_empty() {
        let key = cursor.key()?;
        if !known(key, &mut cursor)? {
            cursor.skip(key, depth)?;
        }
    }
    Ok(())
}

fn string(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    let bytes = cursor.bytes()?;
    if is_utf8(bytes) { Ok(true) } else { Err(Fault::new(WireErrorKind::InvalidUtf8, bytes)) }
}

/// No field of the schema, unless its number says otherwise: then its wire type is wrong.
fn unexpected(key: u32, last_known: u32, cursor: &Cursor<'_>) -> Result<bool, Fault> {
    if key >> 3 <= last_known { Err(cursor.fault(WireErrorKind::UnexpectedWireType)) } else { Ok(false) }
}

#[cfg(test)]
mod tests;
