//! What can be wrong with the text: where it is, what was found and what was expected.

use super::JsonError;
use super::schema::{FieldSchema, Kind};

/// What is wrong with the text, and how much of it was left there.
#[derive(Debug)]
pub(super) struct Fault {
    left: usize,
    message: String,
}

/// Faults are boxed, so that what every step returns fits into a register.
pub(super) type Scanned<T = ()> = Result<T, Box<Fault>>;

impl Fault {
    /// A fault at the first byte of `rest`; at the end of the text that end is the fault.
    #[cold]
    pub(super) fn new(rest: &[u8], message: &str) -> Box<Self> {
        let message = if rest.is_empty() { format!("EOF: {message}") } else { message.to_owned() };
        Box::new(Self { left: rest.len(), message })
    }

    /// The value that begins with `rest` is of another kind than what is expected.
    #[cold]
    pub(super) fn unexpected(rest: &[u8], expected: &str) -> Box<Self> {
        match rest {
            [b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b'n' | b't' | b'f', ..] => {
                Self::new(rest, &format!("invalid type: {}, expected {expected}", describe(rest)))
            }
            _ => Self::new(rest, &format!("expected {expected}")),
        }
    }

    /// The same of a field.
    #[cold]
    pub(super) fn unexpected_for(rest: &[u8], field: &FieldSchema) -> Box<Self> {
        Self::unexpected(rest, &expected(field))
    }

    /// The value that begins with `rest` is of the right kind, but the field cannot hold it.
    #[cold]
    pub(super) fn invalid(rest: &[u8], field: &FieldSchema) -> Box<Self> {
        Self::new(rest, &format!("invalid value: {}, expected {}", describe(rest), expected(field)))
    }

    /// The error as callers see it; `json` is the whole text.
    pub(super) fn within(self, json: &[u8]) -> JsonError {
        // Up to and including the byte that is wrong.
        let read = (json.len() + 1).saturating_sub(self.left).min(json.len());
        let read = json.get(..read).unwrap_or_default();
        let line = 1 + read.iter().filter(|byte| **byte == b'\n').count();
        let column = read.iter().rev().take_while(|byte| **byte != b'\n').count();
        JsonError { line, column, message: self.message }
    }
}

/// What a field holds, or an element of it.
fn expected(field: &FieldSchema) -> String {
    let expected = match field.kind {
        Kind::Message(_) | Kind::AnyValue => "an object",
        Kind::String => "a string",
        Kind::Bytes => "a base64 string",
        Kind::Id => "a string of hex digits, two per byte",
        Kind::Bool => "true or false",
        Kind::Double => "a number",
        Kind::Int32 => "a 32-bit integer",
        Kind::Uint32 | Kind::Fixed32 => "an unsigned 32-bit integer",
        Kind::Int64 => "a 64-bit integer",
        Kind::Fixed64 => "an unsigned 64-bit integer",
        Kind::Enum(_) => "the integer of an enum value",
    };
    format!("{expected} for `{}`", field.name)
}

/// What the value in front is: of a string, number or word, as much as 64 bytes.
fn describe(rest: &[u8]) -> String {
    let (start, _) = rest.split_at(rest.len().min(64));
    let in_number = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let (kind, len) = match start {
        [b'{', ..] => return "map".to_owned(),
        [b'[', ..] => return "sequence".to_owned(),
        [b'"', text @ ..] => ("string ", text.iter().position(|byte| *byte == b'"').map(|quote| quote + 2)),
        [b'n' | b't' | b'f', ..] => ("", start.iter().position(|byte| !in_number(byte))),
        _ => ("number ", start.iter().position(|byte| !in_number(byte))),
    };
    let value = start.get(..len.unwrap_or(start.len())).unwrap_or_default();
    format!("{kind}{}", String::from_utf8_lossy(value).replace(char::is_control, " "))
}
