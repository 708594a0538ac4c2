//! From JSON to protobuf in one pass over the text, by the tables of [`schema`](super::schema).
//!
//! Nothing is built in between. A key is compared, 32 bytes at once, with the field that usually comes next, so it is
//! rarely looked up; a string is searched and copied in words; the usual form of an attribute is recognised as a whole;
//! the length of a message goes into a place left for it. A general parser cannot do these: it knows neither the
//! schema nor where bytes go. The same tables behind serde_json took nearly five times as many instructions, and more
//! for finding and checking strings alone than all of this; a pull parser hands out the same tokens. What is rare is left
//! to libraries: values that are ignored (serde_json), floats, base64.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::JsonError;
use super::attribute::plain_attribute;
use super::fault::{Fault, Scanned};
use super::put::{put_id, put_len, put_number, put_place, put_text, put_unsigned};
use super::scan::Scanner;
use super::schema::{ANY_VALUE, FieldSchema, KEY_VALUE, Kind, Schema};
use super::text::{from_hex, leading_number};
use crate::wire::{put_bytes, put_varint, text};

const BASE64: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64_STANDARD: GeneralPurpose = GeneralPurpose::new(&STANDARD, BASE64);
const BASE64_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, BASE64);

/// How deep objects and arrays may nest.
const DEPTH: u32 = 127;

/// Reads a message and nothing after it.
pub(super) fn message(json: &[u8], schema: &'static Schema) -> Result<Vec<u8>, JsonError> {
    let mut decoder = Decoder {
        source: Scanner { rest: json },
        unescaped: Vec::new(),
        out: Vec::with_capacity(json.len() / 2),
    };
    match decoder.only_message(schema) {
        Ok(()) => Ok(decoder.out),
        Err(fault) => Err(fault.within(json)),
    }
}

struct Decoder<'j> {
    source: Scanner<'j>,
    /// The string at hand, if it has escapes.
    unescaped: Vec<u8>,
    out: Vec<u8>,
}

impl Decoder<'_> {
    fn only_message(&mut self, schema: &'static Schema) -> Scanned {
        if simdutf8::basic::from_utf8(self.source.rest).is_err() {
            let valid =
                std::str::from_utf8(self.source.rest).map_or_else(|error| error.valid_up_to(), str::len);
            let (_, rest) = self.source.rest.split_at(valid);
            return Err(Fault::new(rest, "the text is not UTF-8"));
        }
        match self.source.peek() {
            b'{' => self.message(schema, DEPTH)?,
            _ => return Err(Fault::unexpected(self.source.rest, "an object")),
        }
        self.source.peek();
        if self.source.rest.is_empty() { Ok(()) } else { Err(self.source.fault("trailing characters")) }
    }

    /// Takes an object, whose brace was seen, and appends the message's body.
    fn message(&mut self, schema: &'static Schema, depth: u32) -> Scanned {
        let depth = self.enter(depth)?;
        let mut expected = schema.fields;
        if !matches!(self.source.rest, [b'"', ..]) && self.source.peek() == b'}' {
            self.source.take(b'}');
            return Ok(());
        }
        loop {
            let field = if let Some((field, after)) = expected.split_first()
                && let Some(rest) = field.strip_name(self.source.rest)
            {
                self.source.rest = rest;
                expected = after;
                Some(field)
            } else {
                self.unexpected_name(schema, &mut expected)?
            };
            match field {
                Some(field) if field.repeated => self.repeated(field, depth)?,
                Some(field) => match self.source.peek() {
                    b'n' => self.source.literal("null")?,
                    next => self.value(field, next, depth)?,
                },
                None => self.source.skip_value()?,
            }
            if !self.source.goes_on(b'}')? {
                return Ok(());
            }
        }
    }

    /// Takes a key, which is not the one that was expected, and its colon; which field it names, if there is one.
    #[inline(never)]
    fn unexpected_name(
        &mut self,
        schema: &'static Schema,
        expected: &mut &'static [FieldSchema],
    ) -> Scanned<Option<&'static FieldSchema>> {
        self.source.peek();
        for mut fields in [*expected, schema.fields] {
            while let Some((field, after)) = fields.split_first() {
                if let Some(rest) = field.strip_name(self.source.rest) {
                    self.source.rest = rest;
                    *expected = after;
                    return Ok(Some(field));
                }
                fields = after;
            }
        }
        // In snake_case, with escapes, with spaces before the colon, near the end of the text, or unknown.
        self.source.begin_key()?;
        let name = text(self.source.string(&mut self.unescaped)?);
        let find = |name: &str| schema.fields.iter().find(|field| field.name == name);
        let field = find(name).or_else(|| if name.contains('_') { find(&camel_case(name)) } else { None });
        self.source.colon()?;
        Ok(field)
    }

    /// Takes the bracket of an object or array that may be `depth` levels deep; how deep those in it may be.
    fn enter(&mut self, depth: u32) -> Scanned<u32> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.source.fault("recursion limit exceeded"));
        };
        self.source.rest = self.source.rest.get(1..).unwrap_or_default();
        Ok(depth)
    }

    /// Takes the value of a repeated field and appends key and value of each element.
    #[inline(never)]
    fn repeated(&mut self, field: &'static FieldSchema, depth: u32) -> Scanned {
        match self.source.peek() {
            b'[' => {}
            b'n' => return self.source.literal("null"),
            _ => return Err(Fault::unexpected(self.source.rest, &format!("an array for `{}`", field.name))),
        }
        let depth = self.enter(depth)?;
        if self.source.peek() == b']' {
            self.source.take(b']');
            return Ok(());
        }
        // These nest two levels.
        let attributes =
            matches!(field.kind, Kind::Message(schema) if std::ptr::eq(schema, &KEY_VALUE)) && depth >= 2;
        let mut width = 1;
        loop {
            match (self.source.peek(), field.kind) {
                _ if attributes && plain_attribute(&mut self.source, field.key, &mut self.out).is_some() => {}
                (b'n', Kind::Message(_) | Kind::AnyValue) => {
                    self.source.literal("null")?;
                    put_bytes(&mut self.out, field.key, &[]);
                }
                (b'{', Kind::Message(schema)) => width = self.embedded(field.key, schema, depth, width)?,
                (next, _) => self.value(field, next, depth)?,
            }
            if !self.source.goes_on(b']')? {
                return Ok(());
            }
        }
    }

    /// Takes a value that is not `null` and begins with `next`, and appends key and value.
    fn value(&mut self, field: &'static FieldSchema, next: u8, depth: u32) -> Scanned {
        match (field.kind, next) {
            (Kind::String, b'"') => self.string(field),
            (Kind::Message(schema), b'{') => self.embedded(field.key, schema, depth, 1).map(drop),
            (Kind::AnyValue, b'{') => self.embedded(field.key, &ANY_VALUE, depth, 1).map(drop),
            (Kind::Id, b'"') => self.id(field),
            (Kind::Bytes, b'"') => self.base64(field),
            (Kind::Bool, b't') => self.bool(field, true),
            (Kind::Bool, b'f') => self.bool(field, false),
            (Kind::Message(_) | Kind::AnyValue | Kind::String | Kind::Id | Kind::Bytes | Kind::Bool, _) => {
                Err(Fault::unexpected_for(self.source.rest, field))
            }
            (_, b'"') => self.number_in_string(field),
            (_, b'0'..=b'9' | b'-') => self.number(field),
            _ => Err(Fault::unexpected_for(self.source.rest, field)),
        }
    }

    /// Takes an object and appends it as an embedded message. Its length is expected to be `width` bytes long, and
    /// if it is not, the message is moved; returns what it is.
    fn embedded(&mut self, key: u32, schema: &'static Schema, depth: u32, width: usize) -> Scanned<usize> {
        let start = put_place(&mut self.out, key, width);
        self.message(schema, depth)?;
        Ok(put_len(&mut self.out, start, width))
    }

    #[inline]
    fn string(&mut self, field: &FieldSchema) -> Scanned {
        self.source.take(b'"');
        if let Some((text, len)) = self.source.plain_string() {
            put_text(&mut self.out, field.key, text, len);
            return Ok(());
        }
        put_bytes(&mut self.out, field.key, self.source.string(&mut self.unescaped)?);
        Ok(())
    }

    #[inline(never)]
    fn id(&mut self, field: &FieldSchema) -> Scanned {
        let start = self.source.rest;
        self.source.take(b'"');
        if let Some((digits, [b'"', rest @ ..])) = self.source.rest.split_first_chunk::<32>()
            && let Some(id) = from_hex::<32, 16>(digits)
        {
            self.source.rest = rest;
            put_id(&mut self.out, field.key, &id);
            return Ok(());
        }
        if let Some((digits, [b'"', rest @ ..])) = self.source.rest.split_first_chunk::<16>()
            && let Some(id) = from_hex::<16, 8>(digits)
        {
            self.source.rest = rest;
            put_id(&mut self.out, field.key, &id);
            return Ok(());
        }
        let (pairs, odd) = self.source.string(&mut self.unescaped)?.as_chunks::<2>();
        let id: Option<Vec<[u8; 1]>> = pairs.iter().map(from_hex).collect();
        let Some(id) = id.filter(|_| odd.is_empty()) else { return Err(Fault::invalid(start, field)) };
        put_bytes(&mut self.out, field.key, id.as_flattened());
        Ok(())
    }

    #[inline(never)]
    fn base64(&mut self, field: &FieldSchema) -> Scanned {
        let start = self.source.rest;
        self.source.take(b'"');
        let text = self.source.string(&mut self.unescaped)?;
        let url_safe = text.contains(&b'-') || text.contains(&b'_');
        let bytes = if url_safe { BASE64_URL_SAFE.decode(text) } else { BASE64_STANDARD.decode(text) };
        let Ok(bytes) = bytes else { return Err(Fault::invalid(start, field)) };
        put_bytes(&mut self.out, field.key, &bytes);
        Ok(())
    }

    #[inline(never)]
    fn bool(&mut self, field: &FieldSchema, value: bool) -> Scanned {
        self.source.literal(if value { "true" } else { "false" })?;
        put_varint(&mut self.out, u64::from(field.key));
        self.out.push(u8::from(value));
        Ok(())
    }

    #[inline(never)]
    fn number(&mut self, field: &FieldSchema) -> Scanned {
        let start = self.source.rest;
        let (number, len) = leading_number(start);
        if let Some((digits, rest)) = start.split_at_checked(len)
            && !matches!(digits, [] | [b'0', _, ..])
            && !matches!(rest, [b'0'..=b'9' | b'.' | b'e' | b'E', ..])
            && put_unsigned(&mut self.out, field, number)
        {
            self.source.rest = rest;
            return Ok(());
        }
        let number = text(self.source.number()?);
        if put_number(&mut self.out, field, number) { Ok(()) } else { Err(Fault::invalid(start, field)) }
    }

    #[inline(never)]
    fn number_in_string(&mut self, field: &FieldSchema) -> Scanned {
        let start = self.source.rest;
        self.source.take(b'"');
        let (number, len) = leading_number(self.source.rest);
        if let Some([b'"', rest @ ..]) = self.source.rest.get(len..)
            && len > 0
            && put_unsigned(&mut self.out, field, number)
        {
            self.source.rest = rest;
            return Ok(());
        }
        let text = text(self.source.string(&mut self.unescaped)?);
        let read = match field.kind {
            Kind::Enum(names) if let Some(value) = names.iter().position(|name| *name == text) => {
                put_unsigned(&mut self.out, field, value as u64)
            }
            _ => put_number(&mut self.out, field, text),
        };
        if read { Ok(()) } else { Err(Fault::invalid(start, field)) }
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
