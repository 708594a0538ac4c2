//! Views of attributes and their values.

use crate::traces::keys::{VALUES, any_value, key_value};
use crate::wire::{Cursor, Fields, Merged, MergedFields, text};

/// An attribute: a key and its value.
#[derive(Debug, Clone, Copy)]
pub struct KeyValueView<'a> {
    body: &'a [u8],
}

impl<'a> KeyValueView<'a> {
    /// A view of the body of a `KeyValue` message.
    #[inline]
    pub fn new(body: &'a [u8]) -> Self {
        Self { body }
    }

    /// The message's body.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.body
    }

    /// The key.
    #[inline]
    pub fn key(self) -> &'a str {
        text(self.key_bytes())
    }

    /// The key as bytes: cheaper to compare than [`key`](Self::key), which checks UTF-8 again.
    #[inline]
    pub fn key_bytes(self) -> &'a [u8] {
        match plain_attribute(self.body) {
            Some((key, _)) => key,
            None => self.any_parts().0,
        }
    }

    /// The value; [`AnyValueView::Empty`] if there is none.
    #[inline]
    pub fn value(self) -> AnyValueView<'a> {
        AnyValueView::of(self.parts().1)
    }

    /// Whether a value is given, be it an empty one.
    pub fn has_value(self) -> bool {
        Fields::new(self.body).any(|field| field.key == key_value::VALUE)
    }

    #[inline]
    fn parts(self) -> (&'a [u8], Merged<'a>) {
        match plain_attribute(self.body) {
            Some((key, value)) => (key, Merged::whole(value)),
            None => self.any_parts(),
        }
    }

    #[inline(never)]
    fn any_parts(self) -> (&'a [u8], Merged<'a>) {
        let key = Merged::whole(self.body).last_bytes(key_value::KEY);
        (key, Merged::find(self.body, key_value::VALUE).unwrap_or_default())
    }
}

/// The key and the `AnyValue` of a `KeyValue` that has these and nothing else, the key shorter than 128 bytes and the
/// value than 16 KiB: nearly every one. It takes no loop.
#[inline]
pub(super) fn plain_attribute(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x0a, key_len @ ..0x80, rest @ ..] = body else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*key_len))?;
    match rest {
        [0x12, value_len @ ..0x80, value @ ..] if usize::from(*value_len) == value.len() => {
            Some((key, value))
        }
        [0x12, low @ 0x80..=0xff, high @ ..0x80, value @ ..]
            if usize::from(*low & 0x7f) | usize::from(*high) << 7 == value.len() =>
        {
            Some((key, value))
        }
        _ => None,
    }
}

/// The value of an attribute, or of an element of an array or a key-value list.
#[derive(Debug, Clone, Copy)]
pub enum AnyValueView<'a> {
    /// No value is set (or one that only profiles may use).
    Empty,
    /// A string.
    Str(&'a str),
    /// A boolean.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A 64-bit float.
    Double(f64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// An array.
    Array(ArrayView<'a>),
    /// A list of keys with values.
    KvList(KvListView<'a>),
}

impl<'a> AnyValueView<'a> {
    /// A view of the body of an `AnyValue` message.
    #[inline]
    pub fn new(body: &'a [u8]) -> Self {
        Self::of(Merged::whole(body))
    }

    #[inline]
    pub(crate) fn of(message: Merged<'a>) -> Self {
        message.as_whole().and_then(Self::lone).unwrap_or_else(|| Self::merge(message))
    }

    /// A message of exactly one scalar field, which is what SDKs write.
    #[inline]
    fn lone(body: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let value = match cursor.key().ok()? {
            any_value::STRING => Self::Str(text(cursor.bytes().ok()?)),
            any_value::BOOL => Self::Bool(cursor.varint().ok()? != 0),
            any_value::INT => Self::Int(cursor.varint().ok()? as i64),
            any_value::DOUBLE => Self::Double(f64::from_bits(cursor.fixed64().ok()?)),
            any_value::BYTES => Self::Bytes(cursor.bytes().ok()?),
            _ => return None,
        };
        cursor.is_empty().then_some(value)
    }

    /// Protobuf's rules for a oneof: the last member wins, and an array or list that follows itself is extended.
    fn merge(message: Merged<'a>) -> Self {
        let mut fields = message.fields();
        let mut value = Self::Empty;
        loop {
            let from_here = fields;
            let Some(field) = fields.next() else { return value };
            value = match (field.key, value) {
                (any_value::STRING, _) => Self::Str(text(field.bytes)),
                (any_value::BOOL, _) => Self::Bool(field.number != 0),
                (any_value::INT, _) => Self::Int(field.number as i64),
                (any_value::DOUBLE, _) => Self::Double(f64::from_bits(field.number)),
                (any_value::BYTES, _) => Self::Bytes(field.bytes),
                (any_value::STRING_STRINDEX, _) => Self::Empty,
                (any_value::ARRAY, Self::Array(array)) => Self::Array(array),
                (any_value::ARRAY, _) => Self::Array(ArrayView { fields: from_here }),
                (any_value::KVLIST, Self::KvList(list)) => Self::KvList(list),
                (any_value::KVLIST, _) => Self::KvList(KvListView { fields: from_here }),
                (_, unchanged) => unchanged,
            };
        }
    }
}

/// An array of values.
#[derive(Debug, Clone, Copy)]
pub struct ArrayView<'a> {
    /// The `AnyValue`'s fields from the first piece of the array on.
    fields: MergedFields<'a>,
}

impl<'a> ArrayView<'a> {
    /// The elements.
    pub fn iter(self) -> impl Iterator<Item = AnyValueView<'a>> + Clone {
        elements(self.fields, any_value::ARRAY).map(AnyValueView::new)
    }
}

/// A list of keys with values.
#[derive(Debug, Clone, Copy)]
pub struct KvListView<'a> {
    /// The `AnyValue`'s fields from the first piece of the list on.
    fields: MergedFields<'a>,
}

impl<'a> KvListView<'a> {
    /// The entries.
    pub fn iter(self) -> impl Iterator<Item = KeyValueView<'a>> + Clone {
        elements(self.fields, any_value::KVLIST).map(KeyValueView::new)
    }
}

fn elements<'a>(fields: MergedFields<'a>, key: u32) -> impl Iterator<Item = &'a [u8]> + Clone {
    fields.filter(move |field| field.key == key).flat_map(|piece| {
        Fields::new(piece.bytes).filter(|field| field.key == VALUES).map(|field| field.bytes)
    })
}
