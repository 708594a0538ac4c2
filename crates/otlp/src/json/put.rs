//! Appending protobuf: fields whose value comes from text, and lengths that are known only afterwards.

use super::schema::{FieldSchema, Kind};
use crate::wire::{put_frame, put_varint, varint_len};

/// Appends a string field: the first `len` bytes of `text`. A short string is copied with what follows it, as copying
/// 32 bytes takes no call.
#[inline]
pub(super) fn put_text(out: &mut Vec<u8>, key: u32, text: &[u8], len: usize) {
    put_short_frame(out, key, len);
    match text.first_chunk::<32>() {
        Some(window) if len <= window.len() => {
            let end = out.len() + len;
            out.extend_from_slice(window);
            out.truncate(end);
        }
        _ => out.extend_from_slice(text.get(..len).unwrap_or_default()),
    }
}

/// Appends a bytes field of a size that is known here, which takes no call either.
#[inline]
pub(super) fn put_id<const LEN: usize>(out: &mut Vec<u8>, key: u32, id: &[u8; LEN]) {
    put_short_frame(out, key, LEN);
    out.extend_from_slice(id);
}

/// [`put_frame`], quick when key and length take a byte each.
#[inline]
pub(super) fn put_short_frame(out: &mut Vec<u8>, key: u32, len: usize) {
    if key < 0x80 && len < 0x80 {
        out.extend_from_slice(&[key as u8, len as u8]);
    } else {
        put_long_frame(out, key, len);
    }
}

#[inline(never)]
fn put_long_frame(out: &mut Vec<u8>, key: u32, len: usize) {
    put_frame(out, key, len);
}

/// Appends a numeric field if the text is a number that it holds.
pub(super) fn put_number(out: &mut Vec<u8>, field: &FieldSchema, text: &str) -> bool {
    if let Kind::Double = field.kind {
        // An overflow is not infinity; only the word is.
        let is_word = !text.contains(|c: char| c.is_ascii_digit());
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() || is_word);
        number.map(|number| put_bits(out, field, number.to_bits())).is_some()
    } else {
        let integer = text.parse::<i128>().ok().or_else(|| text.parse().ok().and_then(integral));
        integer.is_some_and(|number| put_integer(out, field, number))
    }
}

/// The integer that a float is, if it is one: `1e3` and `1.0` are.
fn integral(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 1e38).then_some(number as i128)
}

fn put_integer(out: &mut Vec<u8>, field: &FieldSchema, number: i128) -> bool {
    let signed = match field.kind {
        Kind::Int64 => i64::try_from(number).ok(),
        Kind::Int32 | Kind::Enum(_) => i32::try_from(number).ok().map(i64::from),
        _ => return u64::try_from(number).is_ok_and(|number| put_unsigned(out, field, number)),
    };
    signed.map(|number| put_bits(out, field, number as u64)).is_some()
}

/// Appends a numeric field if it holds that number.
#[inline(always)]
pub(super) fn put_unsigned(out: &mut Vec<u8>, field: &FieldSchema, number: u64) -> bool {
    let most = match field.kind {
        Kind::Int64 => i64::MAX as u64,
        Kind::Int32 | Kind::Enum(_) => i32::MAX as u64,
        Kind::Uint32 | Kind::Fixed32 => u64::from(u32::MAX),
        _ => u64::MAX,
    };
    let bits = if let Kind::Double = field.kind { (number as f64).to_bits() } else { number };
    if number <= most {
        put_bits(out, field, bits);
    }
    number <= most
}

#[inline(always)]
fn put_bits(out: &mut Vec<u8>, field: &FieldSchema, bits: u64) {
    put_varint(out, u64::from(field.key));
    match field.kind {
        Kind::Fixed64 | Kind::Double => out.extend_from_slice(&bits.to_le_bytes()),
        Kind::Fixed32 => out.extend_from_slice(&(bits as u32).to_le_bytes()),
        _ => put_varint(out, bits),
    }
}

/// Appends a key and leaves `width` bytes for a length; returns where.
#[inline]
pub(super) fn put_place(out: &mut Vec<u8>, key: u32, width: usize) -> usize {
    put_varint(out, u64::from(key));
    let start = out.len();
    out.extend_from_slice(&[0; 10]);
    out.truncate(start + width);
    start
}

/// Puts the length of a message into the place of `width` bytes that was left for it at `start`, and moves the
/// message behind it if it takes more or less. Returns how many bytes it takes.
#[inline]
pub(super) fn put_len(out: &mut Vec<u8>, start: usize, width: usize) -> usize {
    let len = out.len() - start - width;
    if let (..0x80, 1, Some(place)) = (len, width, out.get_mut(start)) {
        *place = len as u8;
        return 1;
    }
    put_long_len(out, start, width, len)
}

#[inline(never)]
fn put_long_len(out: &mut Vec<u8>, start: usize, width: usize, mut len: usize) -> usize {
    let needed = varint_len(len as u64);
    if needed != width {
        let (old_end, new_end) = (out.len(), out.len() + needed - width);
        out.resize(old_end.max(new_end), 0);
        out.copy_within(start + width..old_end, start + needed);
        out.truncate(new_end);
    }
    for place in out.iter_mut().skip(start).take(needed) {
        *place = len as u8 | 0x80;
        len >>= 7;
    }
    if let Some(last) = out.get_mut(start + needed - 1) {
        *last &= 0x7f;
    }
    needed
}
