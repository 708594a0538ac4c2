//! Iterating over the fields of a message, of any schema. On malformed bytes the iteration ends early.

use super::{Cursor, FIXED32, FIXED64, LEN, RECURSION_LIMIT, VARINT};

/// One field: its key and its value in the form that its wire type gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) key: u32,
    /// The value of a varint, fixed32 or fixed64.
    pub(crate) number: u64,
    /// The value of a length-delimited field.
    pub(crate) bytes: &'a [u8],
    /// The whole field as encoded, key included.
    pub(crate) raw: &'a [u8],
}

/// The fields of a message that lies in one piece.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Fields<'a> {
    #[inline]
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(message) }
    }

    /// What is not iterated over yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.cursor.rest
    }

    /// The next field as encoded and its bytes if it is a length-delimited one with the one-byte key `key`: cheaper than
    /// [`next`](Iterator::next) where nearly all are.
    #[inline]
    pub(crate) fn step_over(&mut self, key: u32) -> Option<(&'a [u8], &'a [u8])> {
        let start = self.cursor.rest;
        let bytes = self.cursor.step_over_bytes(key)?;
        Some((start.get(..start.len() - self.cursor.rest.len())?, bytes))
    }

    #[inline]
    fn read(&mut self) -> Option<Field<'a>> {
        let start = self.cursor.rest;
        let key = self.cursor.key().ok()?;
        let (mut number, mut bytes) = (0, &[][..]);
        match key & 7 {
            LEN => bytes = self.cursor.bytes().ok()?,
            VARINT => number = self.cursor.varint().ok()?,
            FIXED64 => number = self.cursor.fixed64().ok()?,
            FIXED32 => number = u64::from(self.cursor.fixed32().ok()?),
            _ => self.cursor.skip(key, RECURSION_LIMIT).ok()?,
        }
        let raw = start.get(..start.len() - self.cursor.rest.len())?;
        Some(Field { key, number, bytes, raw })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        if self.cursor.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_none() {
            self.cursor.rest = &[];
        }
        field
    }
}

/// An embedded message that protobuf allows to arrive in several pieces: when a field that is not repeated
/// occurs again, its pieces merge, which is as if they were concatenated.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Merged<'a> {
    first: &'a [u8],
    /// Fields of the parent among which further pieces may be; nearly always empty.
    siblings: &'a [u8],
    key: u32,
}

impl<'a> Merged<'a> {
    /// A message in one piece.
    #[inline]
    pub(crate) fn whole(message: &'a [u8]) -> Self {
        Self { first: message, siblings: &[], key: 0 }
    }

    /// The message that `parent` holds in field `key`; none if it has no such field.
    #[inline]
    pub(crate) fn find(parent: &'a [u8], key: u32) -> Option<Self> {
        let mut fields = Fields::new(parent);
        let first = fields.find(|field| field.key == key)?.bytes;
        Some(Self::from_first(first, fields.rest(), key))
    }

    /// The message whose first piece is `first`, its parent going on with `siblings`.
    #[inline]
    pub(crate) fn from_first(first: &'a [u8], siblings: &'a [u8], key: u32) -> Self {
        let more = Fields::new(siblings).any(|field| field.key == key);
        Self { first, siblings: if more { siblings } else { &[] }, key }
    }

    #[inline]
    pub(crate) fn fields(self) -> MergedFields<'a> {
        MergedFields { piece: Fields::new(self.first), siblings: Fields::new(self.siblings), key: self.key }
    }

    /// The bytes, if they lie in one piece.
    #[inline]
    pub(crate) fn as_whole(self) -> Option<&'a [u8]> {
        self.siblings.is_empty().then_some(self.first)
    }

    /// The first piece, which is nearly always the message.
    #[inline]
    pub(crate) fn first_piece(self) -> &'a [u8] {
        self.first
    }

    /// The value of a string or bytes field: its last occurrence, or empty.
    #[inline]
    pub(crate) fn last_bytes(self, key: u32) -> &'a [u8] {
        self.fields().filter(|field| field.key == key).last().map_or(&[], |field| field.bytes)
    }

    /// The value of a numeric field: its last occurrence, or 0.
    #[inline]
    pub(crate) fn last_number(self, key: u32) -> u64 {
        self.fields().filter(|field| field.key == key).last().map_or(0, |field| field.number)
    }

    /// The elements of a repeated message, string or bytes field.
    #[inline]
    pub(crate) fn repeated(self, key: u32) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.fields().filter(move |field| field.key == key).map(|field| field.bytes)
    }
}

/// The fields of a [`Merged`] message, piece after piece.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MergedFields<'a> {
    piece: Fields<'a>,
    siblings: Fields<'a>,
    key: u32,
}

impl<'a> Iterator for MergedFields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            if let Some(field) = self.piece.next() {
                return Some(field);
            }
            let key = self.key;
            self.piece = Fields::new(self.siblings.find(|field| field.key == key)?.bytes);
        }
    }
}
