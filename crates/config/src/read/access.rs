//! Lists, mappings and enums for `Reader`.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::error::{Kind, ReadError, Spot};
use super::reader::{Read, Reader};
use crate::node::{Entry, Node};

/// The items of a list.
pub(super) struct Items<'de, 'a> {
    pub(super) items: std::slice::Iter<'de, Node>,
    pub(super) reader: Reader<'de, 'a>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = ReadError<'de>;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<'de, Option<T::Value>> {
        let reader = self.reader;
        let Some(item) = self.items.find(|item| !reader.skips(item)) else { return Ok(None) };
        let result = seed.deserialize(reader.child(item, false));
        result.map(Some).map_err(|error| error.at(Spot::Value(item)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The parts of a comma-separated string.
pub(super) struct Parts<I> {
    pub(super) parts: I,
}

impl<'de, I: Iterator<Item = &'de str>> SeqAccess<'de> for Parts<I> {
    type Error = ReadError<'de>;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Read<'de, Option<T::Value>> {
        self.parts.next().map(|part| seed.deserialize(Part(part))).transpose()
    }
}

/// One part of a comma-separated string: good for a list of strings only.
struct Part<'de>(&'de str);

impl<'de> Deserializer<'de> for Part<'de> {
    type Error = ReadError<'de>;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Read<'de, V::Value> {
        let (found, expected) = (format!("the string \"{}\"", self.0), "a list".to_owned());
        Err(ReadError::new(Kind::Unexpected { found, expected }))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Read<'de, V::Value> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Read<'de, V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Read<'de, V::Value> {
        StrDeserializer::new(self.0).deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The entries of a mapping.
pub(super) struct Entries<'de, 'a> {
    pub(super) entries: std::slice::Iter<'de, Entry>,
    pub(super) current: Option<&'de Entry>,
    pub(super) fields: Option<&'static [&'static str]>,
    pub(super) reader: Reader<'de, 'a>,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = ReadError<'de>;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Read<'de, Option<K::Value>> {
        let reader = self.reader;
        self.current = self.entries.find(|entry| !reader.skips(&entry.value));
        let Some(entry) = self.current else { return Ok(None) };
        let result = seed.deserialize(StrDeserializer::new(&entry.key));
        result.map(Some).map_err(|error: ReadError<'de>| error.at(Spot::Key(entry)))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Read<'de, V::Value> {
        let Some(entry) = self.current.take() else {
            return Err(ReadError::custom("a value was asked for before its key"));
        };
        let mut reader = self.reader.child(&entry.value, true);
        reader.unknown =
            self.fields.filter(|fields| !fields.contains(&entry.key.as_str())).map(|fields| (entry, fields));
        seed.deserialize(reader).map_err(|error| error.at(Spot::Value(&entry.value)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// A variant of an enum: its name alone, or a mapping from its name to its content.
pub(super) struct Variant<'de, 'a> {
    pub(super) name: &'de str,
    pub(super) entry: Option<&'de Entry>,
    pub(super) reader: Reader<'de, 'a>,
}

impl<'de> EnumAccess<'de> for Variant<'de, '_> {
    type Error = ReadError<'de>;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Read<'de, (V::Value, Self)> {
        let spot = self.entry.map_or(Spot::Value(self.reader.node), Spot::Key);
        let value = seed
            .deserialize(StrDeserializer::new(self.name))
            .map_err(|error: ReadError<'de>| error.at(spot))?;
        Ok((value, self))
    }
}

impl<'de, 'a> Variant<'de, 'a> {
    /// The value under the name of the variant.
    fn content(&self, expected: &'static str) -> Read<'de, Reader<'de, 'a>> {
        match self.entry {
            Some(entry) => Ok(self.reader.child(&entry.value, false)),
            None => Err(ReadError::custom(format!("`{}` needs {expected} under it", self.name))
                .at(Spot::Value(self.reader.node))),
        }
    }
}

impl<'de> VariantAccess<'de> for Variant<'de, '_> {
    type Error = ReadError<'de>;

    fn unit_variant(self) -> Read<'de, ()> {
        match self.entry {
            Some(entry) if !entry.value.is_null() => {
                let message = format!("`{}` takes nothing under it", self.name);
                Err(ReadError::custom(message).at(Spot::Value(&entry.value)))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Read<'de, T::Value> {
        let reader = self.content("a value")?;
        seed.deserialize(reader).map_err(|error| error.at(Spot::Value(reader.node)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Read<'de, V::Value> {
        self.content("a list")?.list(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Read<'de, V::Value> {
        self.content("a mapping")?.mapping(visitor, Some(fields))
    }
}
