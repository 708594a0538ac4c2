//! What requests are made of besides spans: resources, scopes, events, links, attributes.
//!
//! `depth` is how many levels may still nest in the message at hand. Down to attributes the nesting is fixed, so it is
//! checked only from `any_value` on.

use crate::traces::keys::*;
use crate::traces::value::plain_attribute;
use crate::wire::{Cursor, Fault, WireErrorKind, is_ascii_up_to, is_utf8, varint_bytes};

pub(super) type Checked = Result<(), Fault>;

pub(super) fn resource(body: &[u8], depth: u32) -> Checked {
    let mut cursor = Cursor::new(body);
    while !cursor.is_empty() {
        match cursor.any_key()? {
            resource::ATTRIBUTES => key_value(cursor.bytes()?, depth - 1)?,
            resource::DROPPED_ATTRIBUTES_COUNT => drop(cursor.varint()?),
            resource::ENTITY_REFS => entity_ref(cursor.bytes()?, depth - 1)?,
            key => unknown(&mut cursor, key, 3, depth)?,
        }
    }
    Ok(())
}

fn entity_ref(body: &[u8], depth: u32) -> Checked {
    let mut cursor = Cursor::new(body);
    while !cursor.is_empty() {
        match cursor.any_key()? {
            entity_ref::SCHEMA_URL
            | entity_ref::TYPE
            | entity_ref::ID_KEYS
            | entity_ref::DESCRIPTION_KEYS => {
                string(&mut cursor)?;
            }
            key => unknown(&mut cursor, key, 4, depth)?,
        }
    }
    Ok(())
}

pub(super) fn scope(body: &[u8], depth: u32) -> Checked {
    let mut cursor = Cursor::new(body);
    while !cursor.is_empty() {
        match cursor.any_key()? {
            scope::NAME | scope::VERSION => string(&mut cursor)?,
            scope::ATTRIBUTES => key_value(cursor.bytes()?, depth - 1)?,
            scope::DROPPED_ATTRIBUTES_COUNT => drop(cursor.varint()?),
            key => unknown(&mut cursor, key, 4, depth)?,
        }
    }
    Ok(())
}

pub(super) fn event(body: &[u8], depth: u32) -> Checked {
    let mut cursor = Cursor::new(body);
    while !cursor.is_empty() {
        match cursor.any_key()? {
            event::TIME => drop(cursor.fixed64()?),
            event::NAME => string(&mut cursor)?,
            event::ATTRIBUTES => key_value(cursor.bytes()?, depth - 1)?,
            event::DROPPED_ATTRIBUTES_COUNT => drop(cursor.varint()?),
            key => unknown(&mut cursor, key, 4, depth)?,
        }
    }
    Ok(())
}

pub(super) fn link(body: &[u8], depth: u32) -> Checked {
    let mut cursor = Cursor::new(body);
    while !cursor.is_empty() {
        match cursor.any_key()? {
            link::TRACE_ID | link::SPAN_ID => drop(cursor.bytes()?),
            link::TRACE_STATE => string(&mut cursor)?,
            link::ATTRIBUTES => key_value(cursor.bytes()?, depth - 1)?,
            link::DROPPED_ATTRIBUTES_COUNT => drop(cursor.varint()?),
            link::FLAGS => drop(cursor.fixed32()?),
            key => unknown(&mut cursor, key, 6, depth)?,
        }
    }
    Ok(())
}

pub(super) fn status(body: &[u8], depth: u32) -> Checked {
    let mut cursor = Cursor::new(body);
    while !cursor.is_empty() {
        match cursor.any_key()? {
            status::MESSAGE => string(&mut cursor)?,
            status::CODE => drop(cursor.varint()?),
            // Number 1 is reserved in the schema: unknown.
            key if key >> 3 == 1 => unknown(&mut cursor, key, 0, depth)?,
            key => unknown(&mut cursor, key, 3, depth)?,
        }
    }
    Ok(())
}

/// Steps over the attributes that come next for as long as each is plain; the lengths of their keys. `ahead` is what can
/// be read from the start of the span's body on: more than the body, as a rule.
#[inline]
pub(super) fn plain_attributes(cursor: &mut Cursor<'_>, body: &[u8], ahead: &[u8]) -> u64 {
    let (mut left, mut lengths) = (cursor.rest, 0);
    let mut ahead = ahead.get(body.len() - left.len()..).unwrap_or_default();
    while let Some(window) = ahead.first_chunk()
        && let Some(len) = plain_attribute_len(window)
        && let (Some(rest), Some(rest_ahead)) = (left.get(len..), ahead.get(len..))
    {
        // It is less than 49.
        lengths |= 1 << window[3];
        (left, ahead) = (rest, rest_ahead);
    }
    cursor.rest = left;
    lengths
}

/// A key's length as one bit, the highest for any length beyond.
#[inline]
pub(super) fn length_bit(len: usize) -> u64 {
    1 << len.min(63)
}

/// The length of the field at the front if it is a short attribute of a span with an ASCII key and one scalar, as nearly
/// all are, and valid. Whatever else may be valid too.
#[inline(always)]
fn plain_attribute_len(ahead: &[u8; 64]) -> Option<usize> {
    let [0x4a, len @ ..63, 0x0a, key_len @ ..49, ..] = *ahead else { return None };
    let (len, value_at) = (2 + usize::from(len), 4 + usize::from(key_len));
    let [0x12, value_len, kind, value @ ..] = *ahead.get(value_at..)?.first_chunk::<11>()? else {
        return None;
    };
    if value_at + 2 + usize::from(value_len) != len {
        return None;
    }
    let well_formed = match kind {
        0x0a => value_len.wrapping_sub(2) == value[0],
        0x10 | 0x18 => value_len < 10 && varint_bytes(value) + 1 == u32::from(value_len),
        _ => kind == 0x21 && value_len == 9,
    };
    // What stands before and between the key and the text is ASCII too: one look covers all.
    let text = if kind == 0x0a { len } else { value_at };
    (well_formed && is_ascii_up_to(ahead, text)).then_some(len)
}

#[inline]
pub(super) fn key_value(body: &[u8], depth: u32) -> Checked {
    match plain_attribute(body) {
        Some((key, value)) if is_utf8(key) && is_plain_value(value) => Ok(()),
        _ => any_key_value(body, depth),
    }
}

/// Whether the body of an `AnyValue` is one valid scalar, its length in one byte or, of a text, two: as nearly all are.
#[inline]
fn is_plain_value(body: &[u8]) -> bool {
    match body {
        [0x0a, len @ ..0x80, text @ ..] => usize::from(*len) == text.len() && is_utf8(text),
        [0x0a, low @ 0x80..=0xff, high @ 1..0x80, text @ ..] => {
            usize::from(low & 0x7f) | usize::from(*high) << 7 == text.len() && is_utf8(text)
        }
        [0x10 | 0x18, varint @ ..] => Cursor::new(varint).is_one_varint(),
        [0x21, double @ ..] => double.len() == 8,
        _ => false,
    }
}

#[inline(never)]
fn any_key_value(body: &[u8], depth: u32) -> Checked {
    let mut cursor = Cursor::new(body);
    while !cursor.is_empty() {
        match cursor.any_key()? {
            key_value::KEY => string(&mut cursor)?,
            key_value::VALUE => any_value(nested(&mut cursor, depth)?, depth - 1)?,
            key_value::KEY_STRINDEX => drop(cursor.varint()?),
            key => unknown(&mut cursor, key, 3, depth)?,
        }
    }
    Ok(())
}

fn any_value(body: &[u8], depth: u32) -> Checked {
    let mut cursor = Cursor::new(body);
    while !cursor.is_empty() {
        match cursor.any_key()? {
            any_value::STRING => string(&mut cursor)?,
            any_value::BOOL | any_value::INT | any_value::STRING_STRINDEX => drop(cursor.varint()?),
            any_value::DOUBLE => drop(cursor.fixed64()?),
            any_value::BYTES => drop(cursor.bytes()?),
            any_value::ARRAY => values(nested(&mut cursor, depth)?, depth - 1, any_value)?,
            any_value::KVLIST => values(nested(&mut cursor, depth)?, depth - 1, key_value)?,
            key => unknown(&mut cursor, key, 8, depth)?,
        }
    }
    Ok(())
}

/// An `ArrayValue` or a `KeyValueList`, whose elements `element` checks.
fn values(body: &[u8], depth: u32, element: fn(&[u8], u32) -> Checked) -> Checked {
    let mut cursor = Cursor::new(body);
    while !cursor.is_empty() {
        match cursor.any_key()? {
            VALUES => element(nested(&mut cursor, depth)?, depth - 1)?,
            key => unknown(&mut cursor, key, 1, depth)?,
        }
    }
    Ok(())
}

#[inline]
fn nested<'a>(cursor: &mut Cursor<'a>, depth: u32) -> Result<&'a [u8], Fault> {
    if depth == 0 {
        return Err(cursor.fault(WireErrorKind::TooDeep));
    }
    cursor.bytes()
}

#[inline]
pub(super) fn string(cursor: &mut Cursor<'_>) -> Checked {
    let bytes = cursor.bytes()?;
    if is_utf8(bytes) { Ok(()) } else { Err(Fault::new(WireErrorKind::InvalidUtf8, bytes)) }
}

/// Skips a field that the schema does not have; it has those numbered up to `last_known`.
#[cold]
pub(super) fn unknown(cursor: &mut Cursor<'_>, key: u32, last_known: u32, depth: u32) -> Checked {
    cursor.check_key(key)?;
    if key >> 3 <= last_known {
        return Err(cursor.fault(WireErrorKind::UnexpectedWireType));
    }
    cursor.skip(key, depth)
}
