//! JSON written by hand, and attribute values as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use forebay_otlp::traces::{AnyValueView, KeyValueView};
use std::borrow::Cow;

/// Appends a JSON string.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(text, out);
    out.push(b'"');
}

/// Appends the inside of a JSON string.
fn escaped(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && !matches!(byte, b'"' | b'\\') {
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        written = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 15)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(*byte)]);
            }
        }
    }
    out.extend_from_slice(&bytes[written..]);
}

/// Appends bytes as a JSON string of lower-case hex.
pub(crate) fn hex_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    hex(bytes, out);
    out.push(b'"');
}

/// Appends bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 15)];
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]));
}

/// Appends a number.
pub(crate) fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// A value as the text of a tag: strings as they are, bytes in base64, arrays and lists as JSON.
pub(crate) fn text(value: AnyValueView<'_>) -> Cow<'_, str> {
    match value {
        AnyValueView::Empty => Cow::Borrowed(""),
        AnyValueView::Str(text) => Cow::Borrowed(text),
        AnyValueView::Bool(true) => Cow::Borrowed("true"),
        AnyValueView::Bool(false) => Cow::Borrowed("false"),
        AnyValueView::Int(number) => Cow::Owned(number.to_string()),
        AnyValueView::Double(number) => Cow::Owned(double(number)),
        AnyValueView::Bytes(bytes) => Cow::Owned(STANDARD.encode(bytes)),
        AnyValueView::Array(_) | AnyValueView::KvList(_) => {
            let mut json = Vec::new();
            any(value, &mut json);
            Cow::Owned(String::from_utf8_lossy(&json).into_owned())
        }
    }
}

/// Appends attributes as a JSON object.
pub(crate) fn object<'a>(attributes: impl Iterator<Item = KeyValueView<'a>>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, attribute) in attributes.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(attribute.key(), out);
        out.push(b':');
        any(attribute.value(), out);
    }
    out.push(b'}');
}

/// Appends a value as JSON. Nesting is bounded: the bytes were validated.
fn any(value: AnyValueView<'_>, out: &mut Vec<u8>) {
    match value {
        AnyValueView::Empty => out.extend_from_slice(b"null"),
        AnyValueView::Bool(_) | AnyValueView::Int(_) => out.extend_from_slice(text(value).as_bytes()),
        AnyValueView::Double(number) if number.is_finite() => {
            out.extend_from_slice(double(number).as_bytes())
        }
        AnyValueView::Str(_) | AnyValueView::Bytes(_) | AnyValueView::Double(_) => string(&text(value), out),
        AnyValueView::Array(array) => {
            out.push(b'[');
            for (index, value) in array.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                any(value, out);
            }
            out.push(b']');
        }
        AnyValueView::KvList(list) => object(list.iter(), out),
    }
}

/// The shortest digits that give the same number, with an exponent where it would be long.
fn double(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        (if number > 0.0 { "+Inf" } else { "-Inf" }).to_owned()
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}
