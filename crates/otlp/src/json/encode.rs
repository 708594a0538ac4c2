//! From protobuf to JSON by the tables of [`schema`](super::schema). Defaults and unknown fields are left out.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::schema::{FieldSchema, KEY_VALUE, Kind, Schema};
use crate::traces::AnyValueView;
use crate::wire::{Merged, RECURSION_LIMIT, text};

/// Appends a validated message.
pub(super) fn message(wire: &[u8], schema: &Schema, out: &mut Vec<u8>) {
    Writer { out }.message(Merged::whole(wire), schema, RECURSION_LIMIT);
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl Writer<'_> {
    /// `depth` is how many levels may still nest: validated bytes never use it up.
    fn message(&mut self, message: Merged<'_>, schema: &Schema, depth: u32) {
        self.out.push(b'{');
        let start = self.out.len();
        for field in schema.fields.iter().filter(|_| depth > 0) {
            if field.repeated {
                self.repeated(message, field, start, depth - 1);
            } else {
                self.singular(message, field, start, depth - 1);
            }
        }
        self.out.push(b'}');
    }

    fn repeated(&mut self, message: Merged<'_>, field: &FieldSchema, start: usize, depth: u32) {
        let mut elements = message.repeated(field.key).peekable();
        if elements.peek().is_none() && !field.always {
            return;
        }
        self.name(field.name, start);
        self.array(elements, |writer, element| match field.kind {
            Kind::Message(schema) => writer.message(Merged::whole(element), schema, depth),
            _ => writer.string(text(element)),
        });
    }

    fn singular(&mut self, message: Merged<'_>, field: &FieldSchema, start: usize, depth: u32) {
        match field.kind {
            Kind::Message(_) | Kind::AnyValue => {
                // Messages that are not repeated lie only in messages that are, so those are in one piece.
                let Some(embedded) = Merged::find(message.first_piece(), field.key) else { return };
                self.name(field.name, start);
                match field.kind {
                    Kind::Message(schema) => self.message(embedded, schema, depth),
                    _ => self.any_value(AnyValueView::of(embedded), depth),
                }
            }
            Kind::String | Kind::Bytes | Kind::Id => {
                let bytes = message.last_bytes(field.key);
                if bytes.is_empty() && !field.always {
                    return;
                }
                self.name(field.name, start);
                match field.kind {
                    Kind::String => self.string(text(bytes)),
                    Kind::Id => self.hex(bytes),
                    _ => self.base64(bytes),
                }
            }
            _ => {
                let number = message.last_number(field.key);
                if self.is_default(field.kind, number) {
                    return;
                }
                self.name(field.name, start);
                self.number(field.kind, number);
            }
        }
    }

    /// Whether a number is 0 once cut to the width of its kind.
    fn is_default(&self, kind: Kind, number: u64) -> bool {
        match kind {
            Kind::Int32 | Kind::Enum(_) | Kind::Uint32 | Kind::Fixed32 => number as u32 == 0,
            _ => number == 0,
        }
    }

    fn any_value(&mut self, value: AnyValueView<'_>, depth: u32) {
        self.out.push(b'{');
        let start = self.out.len();
        match value {
            AnyValueView::Empty => {}
            AnyValueView::Str(value) => {
                self.name("stringValue", start);
                self.string(value);
            }
            AnyValueView::Bool(value) => {
                self.name("boolValue", start);
                self.number(Kind::Bool, u64::from(value));
            }
            AnyValueView::Int(value) => {
                self.name("intValue", start);
                self.number(Kind::Int64, value as u64);
            }
            AnyValueView::Double(value) => {
                self.name("doubleValue", start);
                self.number(Kind::Double, value.to_bits());
            }
            AnyValueView::Bytes(value) => {
                self.name("bytesValue", start);
                self.base64(value);
            }
            AnyValueView::Array(_) | AnyValueView::KvList(_) if depth < 2 => {}
            AnyValueView::Array(array) => {
                self.name("arrayValue", start);
                self.values(array.iter(), |writer, element| writer.any_value(element, depth - 2));
            }
            AnyValueView::KvList(list) => {
                self.name("kvlistValue", start);
                self.values(list.iter(), |writer, entry| {
                    writer.message(Merged::whole(entry.bytes()), &KEY_VALUE, depth - 2);
                });
            }
        }
        self.out.push(b'}');
    }

    fn values<T>(&mut self, elements: impl Iterator<Item = T>, write: impl FnMut(&mut Self, T)) {
        self.put(b"{\"values\":");
        self.array(elements, write);
        self.out.push(b'}');
    }

    fn array<T>(&mut self, elements: impl Iterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.out.push(b'[');
        for (index, element) in elements.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write(self, element);
        }
        self.out.push(b']');
    }

    /// Writes a field's name, after a comma unless the object, begun at `start`, is still empty.
    fn name(&mut self, name: &str, start: usize) {
        if self.out.len() > start {
            self.out.push(b',');
        }
        self.string(name);
        self.out.push(b':');
    }

    fn number(&mut self, kind: Kind, number: u64) {
        match kind {
            Kind::Bool => self.put(if number == 0 { b"false" } else { b"true" }),
            Kind::Int64 => self.format(format_args!("\"{}\"", number as i64)),
            Kind::Fixed64 => self.format(format_args!("\"{number}\"")),
            Kind::Double => self.double(f64::from_bits(number)),
            Kind::Int32 | Kind::Enum(_) => self.format(format_args!("{}", number as i32)),
            _ => self.format(format_args!("{}", number as u32)),
        }
    }

    fn double(&mut self, number: f64) {
        if number.is_nan() {
            self.put(b"\"NaN\"");
        } else if number.is_infinite() {
            self.put(if number > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
        } else {
            self.serialize(&number);
        }
    }

    fn string(&mut self, text: &str) {
        self.serialize(text);
    }

    fn hex(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        for byte in bytes {
            self.format(format_args!("{byte:02x}"));
        }
        self.out.push(b'"');
    }

    fn base64(&mut self, bytes: &[u8]) {
        self.format(format_args!("\"{}\"", BASE64_STANDARD.encode(bytes)));
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Strings and finite floats always serialize, and a vector takes every write.
    fn serialize<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        let _ = serde_json::to_writer(&mut *self.out, value);
    }

    fn format(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(text);
    }
}
