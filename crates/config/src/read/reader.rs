//! The `serde::Deserializer` over a `Node`.

use serde::de::{Deserializer, Error as _, Unexpected, Visitor};

use super::SetAside;
use super::access::{Entries, Items, Parts, Variant};
use super::error::{Kind, ReadError, Spot};
use crate::node::{Entry, Node, Value};
use crate::scalar::Resolved;

/// Reads one value.
#[derive(Clone, Copy)]
pub(super) struct Reader<'de, 'a> {
    pub(super) node: &'de Node,
    wrong: &'a SetAside,
    absent: &'a SetAside,
    /// Whether a null can count as an absent key; not for the items of a list and the root.
    in_mapping: bool,
    /// Set for the value of a key that the struct being read does not have.
    pub(super) unknown: Option<(&'de Entry, &'static [&'static str])>,
}

/// The result of a step of a read.
pub(super) type Read<'de, T> = Result<T, ReadError<'de>>;

impl<'de, 'a> Reader<'de, 'a> {
    pub(super) fn new(node: &'de Node, wrong: &'a SetAside, absent: &'a SetAside) -> Self {
        Self { node, wrong, absent, in_mapping: false, unknown: None }
    }

    pub(super) fn child(&self, node: &'de Node, in_mapping: bool) -> Self {
        Self { node, in_mapping, unknown: None, ..*self }
    }

    pub(super) fn skips(&self, node: &Node) -> bool {
        self.wrong.holds(node) || self.absent.holds(node)
    }

    fn locate<T>(&self, result: Read<'de, T>) -> Read<'de, T> {
        result.map_err(|error| error.at(Spot::Value(self.node)))
    }

    fn null(&self) -> ReadError<'de> {
        ReadError::new(Kind::Null).at(Spot::Value(self.node))
    }

    /// What the node is, for an error about it.
    fn unexpected(&self) -> Unexpected<'de> {
        match self.node.resolved() {
            Some(Resolved::Null) => Unexpected::Unit,
            Some(Resolved::Bool(value)) => Unexpected::Bool(value),
            Some(Resolved::Int(value)) => Unexpected::Signed(value),
            Some(Resolved::Uint(value)) => Unexpected::Unsigned(value),
            Some(Resolved::Float(value)) => Unexpected::Float(value),
            Some(Resolved::Str(value)) => Unexpected::Str(value),
            None if matches!(self.node.value, Value::Sequence(_)) => Unexpected::Seq,
            None => Unexpected::Map,
        }
    }

    fn mismatch<V: Visitor<'de>>(&self, visitor: &V) -> ReadError<'de> {
        if self.node.is_null() && self.in_mapping {
            return self.null();
        }
        ReadError::invalid_type(self.unexpected(), visitor).at(Spot::Value(self.node))
    }

    fn integer<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        let result = match self.node.resolved() {
            Some(Resolved::Int(value)) => visitor.visit_i64(value),
            Some(Resolved::Uint(value)) => visitor.visit_u64(value),
            // 1e6 is a whole number, too. The bounds are where f64 still tells neighbours apart.
            Some(Resolved::Float(value)) if value.fract() == 0.0 && value.abs() < 9e15 => {
                visitor.visit_i64(value as i64)
            }
            _ => return Err(self.mismatch(&visitor)),
        };
        self.locate(result)
    }

    fn float<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        let result = match self.node.resolved() {
            Some(Resolved::Int(value)) => visitor.visit_f64(value as f64),
            Some(Resolved::Uint(value)) => visitor.visit_f64(value as f64),
            Some(Resolved::Float(value)) => visitor.visit_f64(value),
            _ => return Err(self.mismatch(&visitor)),
        };
        self.locate(result)
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        match self.node.as_str() {
            Some(text) => {
                let result = visitor.visit_str(text);
                self.locate(result)
            }
            None => Err(self.mismatch(&visitor)),
        }
    }

    pub(super) fn list<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        let result = match (&self.node.value, self.node.resolved()) {
            (Value::Sequence(items), _) => visitor.visit_seq(Items { items: items.iter(), reader: self }),
            // The collector takes `a,b` for a list of strings.
            (_, Some(Resolved::Str(text))) => {
                let parts = (!text.is_empty()).then(|| text.split(',')).into_iter().flatten();
                visitor.visit_seq(Parts { parts })
            }
            (Value::Null, _) if !self.in_mapping => {
                visitor.visit_seq(Items { items: [].iter(), reader: self })
            }
            _ => return Err(self.mismatch(&visitor)),
        };
        self.locate(result)
    }

    pub(super) fn mapping<V: Visitor<'de>>(
        self,
        visitor: V,
        fields: Option<&'static [&'static str]>,
    ) -> Read<'de, V::Value> {
        let entries = match &self.node.value {
            Value::Mapping(entries) => entries.iter(),
            Value::Null if fields.is_some() || !self.in_mapping => [].iter(),
            _ => return Err(self.mismatch(&visitor)),
        };
        let result = visitor.visit_map(Entries { entries, current: None, fields, reader: self });
        self.locate(result)
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = ReadError<'de>;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        let result = match (&self.node.value, self.node.resolved()) {
            (Value::Sequence(_), _) => return self.list(visitor),
            (Value::Mapping(_), _) => return self.mapping(visitor, None),
            (_, Some(Resolved::Bool(value))) => visitor.visit_bool(value),
            (_, Some(Resolved::Int(value))) => match u64::try_from(value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(value),
            },
            (_, Some(Resolved::Uint(value))) => visitor.visit_u64(value),
            (_, Some(Resolved::Float(value))) => visitor.visit_f64(value),
            (_, Some(Resolved::Str(text))) => visitor.visit_str(text),
            (_, Some(Resolved::Null) | None) => visitor.visit_unit(),
        };
        self.locate(result)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        match self.node.resolved() {
            Some(Resolved::Bool(value)) => {
                let result = visitor.visit_bool(value);
                self.locate(result)
            }
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.integer(visitor)
    }
    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.integer(visitor)
    }
    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.integer(visitor)
    }
    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.integer(visitor)
    }
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.integer(visitor)
    }
    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.integer(visitor)
    }
    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.integer(visitor)
    }
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.integer(visitor)
    }
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.float(visitor)
    }
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.float(visitor)
    }
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.text(visitor)
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.text(visitor)
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.text(visitor)
    }
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.text(visitor)
    }
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.text(visitor)
    }
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        // A null in a mapping may still be a struct with all its defaults (`grpc:`), which only the inner type
        // knows; where it is not, the read comes again without the key.
        let result = if self.node.is_null() && self.node.expansion.is_none() && !self.in_mapping {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        };
        self.locate(result)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        if self.node.is_null() { visitor.visit_unit() } else { Err(self.mismatch(&visitor)) }
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<'de, V::Value> {
        self.deserialize_unit(visitor)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<'de, V::Value> {
        let result = visitor.visit_newtype_struct(self);
        self.locate(result)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.list(visitor)
    }
    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Read<'de, V::Value> {
        self.list(visitor)
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Read<'de, V::Value> {
        self.list(visitor)
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        self.mapping(visitor, None)
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Read<'de, V::Value> {
        self.mapping(visitor, Some(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Read<'de, V::Value> {
        let result = match &self.node.value {
            Value::Mapping(entries) if entries.len() == 1 => {
                visitor.visit_enum(Variant { name: &entries[0].key, entry: Some(&entries[0]), reader: self })
            }
            _ => match self.node.as_str() {
                Some(name) if !self.node.is_null() || !name.is_empty() => {
                    visitor.visit_enum(Variant { name, entry: None, reader: self })
                }
                _ => return Err(self.mismatch(&visitor)),
            },
        };
        self.locate(result)
    }

    /// serde asks for this where a struct has no such field: that is an error here, whether or not the struct
    /// says `deny_unknown_fields`.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        match self.unknown {
            Some((entry, known)) => {
                let kind = Kind::UnknownField { name: entry.key.clone(), known };
                Err(ReadError::new(kind).at(Spot::Key(entry)))
            }
            None => visitor.visit_unit(),
        }
    }
}
