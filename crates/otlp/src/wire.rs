//! Protobuf's wire format: keys, varints, lengths, and the cursor that everything else reads with.
//! <https://protobuf.dev/programming-guides/encoding/>

mod fields;
#[cfg(test)]
mod tests;

pub(crate) use fields::{Fields, Merged, MergedFields};

use thiserror::Error;

/// Wire types: the low three bits of a key.
pub(crate) const VARINT: u32 = 0;
pub(crate) const FIXED64: u32 = 1;
pub(crate) const LEN: u32 = 2;
pub(crate) const START_GROUP: u32 = 3;
pub(crate) const END_GROUP: u32 = 4;
pub(crate) const FIXED32: u32 = 5;

/// How deep messages and groups may nest: prost's limit, which is also C++'s.
pub(crate) const RECURSION_LIMIT: u32 = 100;

/// The key of a field: number and wire type.
pub(crate) const fn key(number: u32, wire_type: u32) -> u32 {
    number << 3 | wire_type
}

/// Bytes that are not the protobuf message they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed protobuf at byte {offset}: {kind}")]
pub struct WireError {
    /// Where reading stopped, in bytes from the start of the request: at the value that is wrong, or behind its key.
    pub offset: usize,
    /// What went wrong.
    pub kind: WireErrorKind,
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireErrorKind {
    /// The message ends inside a field.
    #[error("the message ends inside a field")]
    Truncated,
    /// A varint has more than 64 bits.
    #[error("a varint is longer than 64 bits")]
    VarintTooLong,
    /// A key has field number 0, or more than 32 bits.
    #[error("a field number is out of range")]
    InvalidKey,
    /// Wire types 6 and 7 do not exist.
    #[error("a field has a wire type that does not exist")]
    InvalidWireType,
    /// A field of the OTLP schema is encoded as another type.
    #[error("a field has another wire type than the OTLP schema gives it")]
    UnexpectedWireType,
    /// A string field is not UTF-8.
    #[error("a string is not valid UTF-8")]
    InvalidUtf8,
    /// A group ends that was not begun, or not the one that was.
    #[error("an end-group key matches no group")]
    UnmatchedEndGroup,
    /// Messages or groups nest deeper than 100 levels.
    #[error("messages nest deeper than {RECURSION_LIMIT} levels")]
    TooDeep,
}

/// A [`WireErrorKind`] and the address of the byte it was found at.
/// Becomes an offset once the start of the request is at hand, so that reading carries no position along.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    kind: WireErrorKind,
    address: usize,
}

impl Fault {
    #[cold]
    pub(crate) fn new(kind: WireErrorKind, at: &[u8]) -> Self {
        Self { kind, address: at.as_ptr() as usize }
    }

    /// The error as callers see it; `request` must contain the slice the fault was found in.
    pub(crate) fn within(self, request: &[u8]) -> WireError {
        let offset = self.address.saturating_sub(request.as_ptr() as usize).min(request.len());
        WireError { offset, kind: self.kind }
    }
}

/// Reads from the front of a slice. A failed read leaves the cursor where the trouble is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[cold]
    pub(crate) fn fault(&self, kind: WireErrorKind) -> Fault {
        Fault::new(kind, self.rest)
    }

    /// A varint; one and two bytes, nearly all there are, are read inline.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Fault> {
        match self.rest {
            [low, rest @ ..] if *low < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*low))
            }
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    /// Steps over the one-byte key `key` if it is next.
    #[inline]
    pub(crate) fn step_over(&mut self, key: u32) -> bool {
        match self.rest {
            [first, rest @ ..] if u32::from(*first) == key => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Steps over the field with the one-byte key `key` if it is next and holds `N` bytes, and returns those.
    #[inline]
    pub(crate) fn step_over_id<const N: usize>(&mut self, key: u32) -> Option<&'a [u8; N]> {
        let (start, rest) = self.rest.split_first_chunk()?;
        if u16::from_le_bytes(*start) as usize != key as usize | N << 8 {
            return None;
        }
        let (id, rest) = rest.split_first_chunk()?;
        self.rest = rest;
        Some(id)
    }

    /// Steps over the length-delimited field with the one-byte key `key` if it is next, and returns its bytes.
    #[inline]
    pub(crate) fn step_over_bytes(&mut self, key: u32) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let bytes = if ahead.step_over(key) { ahead.bytes().ok()? } else { return None };
        *self = ahead;
        Some(bytes)
    }

    /// Steps over a length and as many bytes if it is quick to see that they are ASCII.
    #[inline]
    pub(crate) fn step_over_ascii(&mut self) -> bool {
        if let [len @ ..64, text @ ..] = self.rest
            && let (len, Some(window)) = (usize::from(*len), text.first_chunk())
            && is_ascii_up_to(window, len)
            && let Some(rest) = text.get(len..)
        {
            self.rest = rest;
            return true;
        }
        false
    }

    /// Whether a varint is all there is.
    #[inline]
    pub(crate) fn is_one_varint(mut self) -> bool {
        self.varint().is_ok() && self.is_empty()
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for (index, &byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                if index == 9 && byte > 1 {
                    break;
                }
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        let kind = if self.rest.len() < 10 { WireErrorKind::Truncated } else { WireErrorKind::VarintTooLong };
        Err(self.fault(kind))
    }

    /// A field's key, whose number is not 0 and whose wire type exists.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<u32, Fault> {
        let start = *self;
        let key = self.any_key()?;
        start.check_key(key)?;
        Ok(key)
    }

    /// A field's key as it is: one that exists need not be [checked](Self::check_key) when it is a known one.
    /// A key of more than 32 bits reads as 0, which does not exist.
    #[inline]
    pub(crate) fn any_key(&mut self) -> Result<u32, Fault> {
        Ok(u32::try_from(self.varint()?).unwrap_or(0))
    }

    /// Whether a key has a number other than 0 and a wire type that exists.
    #[inline]
    pub(crate) fn check_key(&self, key: u32) -> Result<(), Fault> {
        if key < 8 {
            Err(self.fault(WireErrorKind::InvalidKey))
        } else if key & 7 > FIXED32 {
            Err(self.fault(WireErrorKind::InvalidWireType))
        } else {
            Ok(())
        }
    }

    /// A length and that many bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let start = *self;
        let len = self.varint()?;
        if len > self.rest.len() as u64 {
            return Err(start.fault(WireErrorKind::Truncated));
        }
        let (bytes, rest) = self.rest.split_at(len as usize);
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64, Fault> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return Err(self.fault(WireErrorKind::Truncated));
        };
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    #[inline]
    pub(crate) fn fixed32(&mut self) -> Result<u32, Fault> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return Err(self.fault(WireErrorKind::Truncated));
        };
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    /// Skips the value of a field whose key was just read. `depth` is how many levels may still nest.
    pub(crate) fn skip(&mut self, key: u32, depth: u32) -> Result<(), Fault> {
        if depth == 0 {
            return Err(self.fault(WireErrorKind::TooDeep));
        }
        match key & 7 {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            LEN => self.bytes().map(drop),
            FIXED32 => self.fixed32().map(drop),
            START_GROUP => loop {
                let start = *self;
                let inner = self.key()?;
                if inner & 7 != END_GROUP {
                    self.skip(inner, depth - 1)?;
                } else if inner >> 3 == key >> 3 {
                    return Ok(());
                } else {
                    return Err(start.fault(WireErrorKind::UnmatchedEndGroup));
                }
            },
            _ => Err(self.fault(WireErrorKind::UnmatchedEndGroup)),
        }
    }
}

/// Whether the bytes are UTF-8. Short ASCII, nearly all there is, is checked inline by overlapping words.
#[inline]
pub(crate) fn is_utf8(bytes: &[u8]) -> bool {
    is_short_ascii(bytes) || is_any_utf8(bytes)
}

#[inline(never)]
fn is_any_utf8(bytes: &[u8]) -> bool {
    is_ascii_of::<32>(bytes)
        || is_ascii_of::<64>(bytes)
        || is_ascii_of::<128>(bytes)
        || simdutf8::basic::from_utf8(bytes).is_ok()
}

/// Whether the bytes are ASCII, and from `HALF` to twice as many: two looks that overlap cover all.
#[inline]
fn is_ascii_of<const HALF: usize>(bytes: &[u8]) -> bool {
    let (Some(first), Some(last)) = (bytes.first_chunk::<HALF>(), bytes.last_chunk::<HALF>()) else {
        return false;
    };
    let seen = || first.iter().zip(last).fold(0, |seen, (one, other)| seen | one | other);
    bytes.len() <= 2 * HALF && seen() & 0x80 == 0
}

/// Whether the first `len` bytes are ASCII, without a loop or a branch; false if `len` is more than 64.
#[inline]
pub(crate) fn is_ascii_up_to(bytes: &[u8; 64], len: usize) -> bool {
    const HIGH_BITS: [u8; 128] = {
        let mut bits = [0; 128];
        let mut index = 0;
        while index < 64 {
            bits[index] = 0x80;
            index += 1;
        }
        bits
    };
    let mask = 64usize.checked_sub(len).and_then(|skip| HIGH_BITS.get(skip..)?.first_chunk::<64>());
    mask.is_some_and(|mask| bytes.iter().zip(mask).fold(0, |seen, (byte, mask)| seen | byte & mask) == 0)
}

/// How many bytes the varint at the front takes; 9 if it does not end within these.
#[inline]
pub(crate) fn varint_bytes(bytes: [u8; 8]) -> u32 {
    (!u64::from_le_bytes(bytes) & 0x8080_8080_8080_8080).trailing_zeros() / 8 + 1
}

/// Whether the bytes are ASCII and at most 32; without loops, whose ends would be mispredicted.
#[inline]
fn is_short_ascii(bytes: &[u8]) -> bool {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let word = |chunk: &[u8; 8]| u64::from_le_bytes(*chunk);
    let half = |chunk: &[u8; 4]| u64::from(u32::from_le_bytes(*chunk));
    let wide = |chunk: &[u8; 16]| (u128::from_le_bytes(*chunk) | u128::from_le_bytes(*chunk) >> 64) as u64;
    let seen = if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        if bytes.len() > 32 {
            return false;
        }
        wide(first) | wide(last)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        word(first) | word(last)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        half(first) | half(last)
    } else {
        bytes.iter().fold(0, |seen, byte| seen | u64::from(*byte))
    };
    seen & HIGH_BITS == 0
}

/// The bytes as text; empty if they are not UTF-8, which validated bytes always are.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> &str {
    simdutf8::basic::from_utf8(bytes).unwrap_or_default()
}

/// How many bytes `value` takes as a varint: 1 to 10.
#[inline]
pub(crate) fn varint_len(value: u64) -> usize {
    let bits = (value | 1).ilog2() as usize + 1;
    bits.div_ceil(7)
}

/// How many bytes a length-delimited field takes whose key is one byte.
#[inline]
pub(crate) fn framed_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a key and the length of what follows.
#[inline]
pub(crate) fn put_frame(out: &mut Vec<u8>, key: u32, len: usize) {
    put_varint(out, u64::from(key));
    put_varint(out, len as u64);
}

/// Writes a whole length-delimited field.
#[inline]
pub(crate) fn put_bytes(out: &mut Vec<u8>, key: u32, bytes: &[u8]) {
    put_frame(out, key, bytes.len());
    out.extend_from_slice(bytes);
}
