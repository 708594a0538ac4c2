//! JSON written straight into a buffer: strings, ids, and attribute values.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forebay_otlp::traces::{AnyValueView, KeyValueView};
use std::io::Write;

/// Values nested deeper are `null`. Validated requests nest less.
const MAX_DEPTH: u32 = 128;

/// A string with its quotes, escaped.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    // Strings always serialize, and a vector takes every write.
    let _ = serde_json::to_writer(out, text);
}

/// Bytes as a string of lower-case hexadecimal digits.
pub(crate) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    hex_digits(out, bytes);
    out.push(b'"');
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex_digits(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Anything whose text needs no escaping.
pub(crate) fn plain(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// A comma, unless an object or array begins just before.
pub(crate) fn comma(out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'{' | b'[')) {
        out.push(b',');
    }
}

/// An attribute's value as a tag has it, which is always a string: arrays and lists as JSON text, bytes as base64.
pub(crate) fn tag_value(out: &mut Vec<u8>, value: AnyValueView<'_>) {
    match value {
        AnyValueView::Empty => out.extend_from_slice(b"\"\""),
        AnyValueView::Bool(value) => plain(out, format_args!("\"{value}\"")),
        AnyValueView::Int(value) => plain(out, format_args!("\"{value}\"")),
        AnyValueView::Double(value) if value.is_finite() => {
            out.push(b'"');
            let _ = serde_json::to_writer(&mut *out, &value);
            out.push(b'"');
        }
        AnyValueView::Array(_) | AnyValueView::KvList(_) => {
            let mut text = Vec::new();
            json_value(&mut text, value, MAX_DEPTH);
            quoted(out, &text);
        }
        scalar => json_value(out, scalar, MAX_DEPTH),
    }
}

/// JSON text as a JSON string.
pub(crate) fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    string(out, &String::from_utf8_lossy(text));
}

/// Attributes as a JSON object. With `dropped`, the number that the SDK dropped is one more attribute.
pub(crate) fn object<'a>(
    out: &mut Vec<u8>,
    attributes: impl Iterator<Item = KeyValueView<'a>>,
    dropped: Option<u32>,
) {
    members(out, attributes, MAX_DEPTH);
    if let Some(dropped) = dropped.filter(|dropped| *dropped > 0) {
        out.pop();
        comma(out);
        plain(out, format_args!("\"otel.dropped_attributes_count\":{dropped}}}"));
    }
}

fn members<'a>(out: &mut Vec<u8>, attributes: impl Iterator<Item = KeyValueView<'a>>, depth: u32) {
    out.push(b'{');
    for attribute in attributes {
        comma(out);
        string(out, attribute.key());
        out.push(b':');
        json_value(out, attribute.value(), depth);
    }
    out.push(b'}');
}

/// An attribute's value as JSON of its own type; numbers that JSON has not are strings.
fn json_value(out: &mut Vec<u8>, value: AnyValueView<'_>, depth: u32) {
    match value {
        AnyValueView::Str(value) => string(out, value),
        AnyValueView::Bool(value) => plain(out, format_args!("{value}")),
        AnyValueView::Int(value) => plain(out, format_args!("{value}")),
        AnyValueView::Double(value) if value.is_finite() => {
            let _ = serde_json::to_writer(out, &value);
        }
        AnyValueView::Double(value) if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
        AnyValueView::Double(value) => {
            out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
        }
        AnyValueView::Bytes(value) => plain(out, format_args!("\"{}\"", BASE64_STANDARD.encode(value))),
        AnyValueView::Array(array) if depth > 0 => {
            out.push(b'[');
            for element in array.iter() {
                comma(out);
                json_value(out, element, depth - 1);
            }
            out.push(b']');
        }
        AnyValueView::KvList(list) if depth > 0 => members(out, list.iter(), depth - 1),
        AnyValueView::Empty | AnyValueView::Array(_) | AnyValueView::KvList(_) => {
            out.extend_from_slice(b"null");
        }
    }
}
