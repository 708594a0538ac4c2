//! Attributes as nearly all are written: without white space and escapes, the key first, text or an integer.

use super::put::{put_short_frame, put_text};
use super::scan::Scanner;
use super::text::leading_number;
use crate::traces::keys::{any_value, key_value};
use crate::wire::{framed_len, put_varint, varint_len};

/// Takes such an attribute and appends it under `field`, a key of one byte; or does nothing and says so.
#[inline]
pub(super) fn plain_attribute(source: &mut Scanner<'_>, field: u32, out: &mut Vec<u8>) -> Option<()> {
    let mut scanner = Scanner { rest: source.rest.strip_prefix(br#"{"key":""#)? };
    let (key, key_len) = scanner.plain_string()?;
    scanner.rest = scanner.rest.strip_prefix(br#","value":{""#)?;
    if let Some(rest) = scanner.rest.strip_prefix(br#"stringValue":""#) {
        scanner.rest = rest;
        let (text, len) = scanner.plain_string()?;
        source.rest = scanner.rest.strip_prefix(b"}}")?;
        let value = framed_len(len);
        put_up_to_value(out, field, key, key_len, value);
        put_text(out, any_value::STRING, text, len);
    } else {
        scanner.rest = scanner.rest.strip_prefix(br#"intValue":"#)?;
        let quoted = scanner.take(b'"');
        let (number, len) = leading_number(scanner.rest);
        let (digits, rest) = scanner.rest.split_at_checked(len)?;
        if matches!(digits, [] | [b'0', _, ..]) || number > i64::MAX as u64 {
            return None;
        }
        source.rest = rest.strip_prefix(if quoted { b"\"}}".as_slice() } else { b"}}" })?;
        let value = 1 + varint_len(number);
        put_up_to_value(out, field, key, key_len, value);
        put_varint(out, u64::from(any_value::INT));
        put_varint(out, number);
    }
    Some(())
}

/// Appends an attribute up to its value, which takes so many bytes.
#[inline]
fn put_up_to_value(out: &mut Vec<u8>, field: u32, key: &[u8], key_len: usize, value_len: usize) {
    let len = if key_len < 0x80 && value_len < 0x80 {
        2 + key_len + 2 + value_len
    } else {
        framed_len(key_len) + framed_len(value_len)
    };
    put_short_frame(out, field, len);
    put_text(out, key_value::KEY, key, key_len);
    put_short_frame(out, key_value::VALUE, value_len);
}
