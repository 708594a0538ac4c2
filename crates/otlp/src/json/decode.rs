//! From JSON to protobuf in one pass over the text, by the tables of [`schema`](super::schema).

use std::fmt;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use super::JsonError;
use super::schema::{ANY_VALUE, FieldSchema, Kind, Schema};
use crate::wire::{put_bytes, put_varint, varint_len};

const BASE64: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64_STANDARD: GeneralPurpose = GeneralPurpose::new(&STANDARD, BASE64);
const BASE64_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, BASE64);

/// Reads a message and nothing after it.
pub(super) fn message(json: &[u8], schema: &'static Schema) -> Result<Vec<u8>, JsonError> {
    let mut out = Vec::with_capacity(json.len() / 2);
    let mut source = serde_json::Deserializer::from_slice(json);
    let read = Message { schema, out: &mut out }.deserialize(&mut source).and_then(|()| source.end());
    read.map(|()| out).map_err(|error| {
        let mut message = error.to_string();
        if let Some(at) = message.rfind(" at line ") {
            message.truncate(at);
        }
        JsonError { line: error.line(), column: error.column(), message }
    })
}

/// Reads an object and appends the message's body.
struct Message<'o> {
    schema: &'static Schema,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(FieldName { schema: self.schema })? {
            match field {
                Some(field) => map.next_value_seed(Value { field, element: false, out: self.out })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Reads a key: the field it names, if the message has it.
struct FieldName {
    schema: &'static Schema,
}

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Option<&'static FieldSchema>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = Option<&'static FieldSchema>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let find = |name: &str| self.schema.fields.iter().find(|field| field.name == name);
        Ok(find(name).or_else(|| if name.contains('_') { find(&camel_case(name)) } else { None }))
    }
}

fn camel_case(snake_case: &str) -> String {
    let mut words = snake_case.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at_checked(1).unwrap_or(("", word));
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    camel
}

/// Reads the value of a field, or an element of a repeated one, and appends key and value.
struct Value<'o> {
    field: &'static FieldSchema,
    element: bool,
    out: &'o mut Vec<u8>,
}

impl Value<'_> {
    fn put_key(&mut self) {
        put_varint(self.out, u64::from(self.field.key));
    }

    fn put_integer<E: Error>(mut self, number: i128, unexpected: Unexpected<'_>) -> Result<(), E> {
        let value = match self.field.kind {
            Kind::Int64 => i64::try_from(number).map(|number| number as u64),
            Kind::Int32 | Kind::Enum(_) => i32::try_from(number).map(|number| number as u64),
            Kind::Uint32 | Kind::Fixed32 => u32::try_from(number).map(u64::from),
            Kind::Fixed64 => u64::try_from(number),
            Kind::Double => return self.put_double(number as f64),
            _ => return Err(E::invalid_type(unexpected, &self)),
        };
        let Ok(value) = value else { return Err(E::invalid_value(unexpected, &self)) };
        self.put_key();
        match self.field.kind {
            Kind::Fixed64 => self.out.extend_from_slice(&value.to_le_bytes()),
            Kind::Fixed32 => self.out.extend_from_slice(&(value as u32).to_le_bytes()),
            _ => put_varint(self.out, value),
        }
        Ok(())
    }

    fn put_double<E: Error>(mut self, number: f64) -> Result<(), E> {
        self.put_key();
        self.out.extend_from_slice(&number.to_le_bytes());
        Ok(())
    }

    fn put_number_in_text<E: Error>(self, text: &str) -> Result<(), E> {
        let unexpected = Unexpected::Str(text);
        if let Kind::Double = self.field.kind {
            return match text.parse::<f64>() {
                // An overflow is not infinity; only the word is.
                Ok(number) if number.is_finite() || !text.contains(|c: char| c.is_ascii_digit()) => {
                    self.put_double(number)
                }
                _ => Err(E::invalid_value(unexpected, &self)),
            };
        }
        let integer = text.parse::<i128>().ok().or_else(|| text.parse().ok().and_then(integral));
        match integer {
            Some(number) => self.put_integer(number, unexpected),
            None => Err(E::invalid_value(unexpected, &self)),
        }
    }

    fn put_enum_name<E: Error>(self, text: &str, names: &[&str]) -> Result<(), E> {
        match names.iter().position(|name| *name == text) {
            Some(number) => self.put_integer(number as i128, Unexpected::Str(text)),
            None => self.put_number_in_text(text),
        }
    }
}

/// The integer that a float is, if it is one: `1e3` and `1.0` are.
fn integral(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 1e38).then_some(number as i128)
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = match self.field.kind {
            _ if self.field.repeated && !self.element => "an array",
            Kind::Message(_) | Kind::AnyValue => "an object",
            Kind::String => "a string",
            Kind::Bytes => "a base64 string",
            Kind::Id => "a string of hex digits, two per byte",
            Kind::Bool => "true or false",
            Kind::Double => "a number",
            Kind::Int32 => "a 32-bit integer",
            Kind::Uint32 | Kind::Fixed32 => "an unsigned 32-bit integer",
            Kind::Int64 => "a 64-bit integer",
            Kind::Fixed64 => "an unsigned 64-bit integer",
            Kind::Enum(_) => "the integer of an enum value",
        };
        write!(formatter, "{expected} for `{}`", self.field.name)
    }

    /// `null`: an unset field, or an empty element.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self.field.kind {
            Kind::Message(_) | Kind::AnyValue if self.element => put_bytes(self.out, self.field.key, &[]),
            _ if self.element => return Err(E::invalid_type(Unexpected::Unit, &self)),
            _ => {}
        }
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => {
                self.put_key();
                self.out.push(u8::from(value));
                Ok(())
            }
            _ => Err(E::invalid_type(Unexpected::Bool(value), &self)),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put_integer(i128::from(value), Unexpected::Signed(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.put_integer(i128::from(value), Unexpected::Unsigned(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match (self.field.kind, integral(value)) {
            (Kind::Double, _) => self.put_double(value),
            (_, Some(integer)) => self.put_integer(integer, Unexpected::Float(value)),
            _ => Err(E::invalid_value(Unexpected::Float(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let bytes = match self.field.kind {
            _ if self.field.repeated && !self.element => {
                return Err(E::invalid_type(Unexpected::Str(text), &self));
            }
            Kind::Message(_) | Kind::AnyValue | Kind::Bool => {
                return Err(E::invalid_type(Unexpected::Str(text), &self));
            }
            Kind::Enum(names) => return self.put_enum_name(text, names),
            Kind::String => {
                put_bytes(self.out, self.field.key, text.as_bytes());
                return Ok(());
            }
            Kind::Id => from_hex(text),
            Kind::Bytes if text.contains(['-', '_']) => BASE64_URL_SAFE.decode(text).ok(),
            Kind::Bytes => BASE64_STANDARD.decode(text).ok(),
            _ => return self.put_number_in_text(text),
        };
        let Some(bytes) = bytes else { return Err(E::invalid_value(Unexpected::Str(text), &self)) };
        put_bytes(self.out, self.field.key, &bytes);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        if !self.field.repeated || self.element {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        while elements.next_element_seed(Value { field: self.field, element: true, out: self.out })?.is_some()
        {
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let schema = match self.field.kind {
            _ if self.field.repeated && !self.element => {
                return Err(A::Error::invalid_type(Unexpected::Map, &self));
            }
            Kind::Message(schema) => schema,
            Kind::AnyValue => &ANY_VALUE,
            _ => return Err(A::Error::invalid_type(Unexpected::Map, &self)),
        };
        self.put_key();
        let start = self.out.len();
        Message { schema, out: self.out }.visit_map(map)?;
        insert_len(self.out, start);
        Ok(())
    }
}

/// Puts the length of what was written since `start` before it.
fn insert_len(out: &mut Vec<u8>, start: usize) {
    let len = (out.len() - start) as u64;
    put_varint(out, len);
    if let Some(written) = out.get_mut(start..) {
        written.rotate_right(varint_len(len));
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let pair = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    if odd.is_empty() { pairs.iter().map(pair).collect() } else { None }
}
