//! The error of a read on its way up to the place it belongs to.

use std::fmt;

use serde::de::{Expected, Unexpected};

use crate::node::{Entry, Node};

/// What went wrong, and where once that is known.
#[derive(Debug)]
pub(crate) struct ReadError<'de> {
    pub(super) kind: Kind,
    pub(super) spot: Option<Spot<'de>>,
}

/// The value or the key an error is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot<'de> {
    Value(&'de Node),
    Key(&'de Entry),
}

impl<'de> Spot<'de> {
    pub(super) fn node(self) -> &'de Node {
        match self {
            Spot::Value(node) => node,
            Spot::Key(entry) => &entry.value,
        }
    }
}

#[derive(Debug)]
pub(super) enum Kind {
    UnknownField {
        name: String,
        known: &'static [&'static str],
    },
    UnknownVariant {
        name: String,
        known: &'static [&'static str],
    },
    MissingField(&'static str),
    /// Something other was expected; `found` in words.
    Unexpected {
        found: String,
        expected: String,
    },
    /// A null where a value is needed: the key counts as absent.
    Null,
    Custom(String),
}

impl Kind {
    pub(super) fn message(&self, node: &Node) -> String {
        match self {
            Kind::UnknownField { name, .. } => format!("unknown key `{name}`"),
            Kind::UnknownVariant { name, .. } => format!("unknown value `{name}`"),
            Kind::MissingField(name) => format!("the key `{name}` is missing"),
            // What an environment variable holds may be secret: its type is told, not its value.
            Kind::Unexpected { found, expected } if node.expansion.is_some() => {
                let kind = found.split(['`', '"']).next().unwrap_or_default().trim_end();
                format!("expected {expected}, found {kind}")
            }
            Kind::Unexpected { found, expected } => format!("expected {expected}, found {found}"),
            Kind::Null => "a value is needed here".to_owned(),
            Kind::Custom(message) => message.clone(),
        }
    }
}

impl<'de> ReadError<'de> {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, spot: None }
    }

    /// Marks where the error arose, unless a deeper place is already known.
    pub(super) fn at(mut self, spot: Spot<'de>) -> Self {
        self.spot.get_or_insert(spot);
        self
    }
}

impl fmt::Display for ReadError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::UnknownField { name, .. } => write!(f, "unknown key `{name}`"),
            Kind::UnknownVariant { name, .. } => write!(f, "unknown value `{name}`"),
            Kind::MissingField(name) => write!(f, "the key `{name}` is missing"),
            Kind::Unexpected { found, expected } => write!(f, "expected {expected}, found {found}"),
            Kind::Null => f.write_str("a value is needed here"),
            Kind::Custom(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ReadError<'_> {}

impl serde::de::Error for ReadError<'_> {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Custom(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Unexpected { found: found_in_words(found), expected: expected_in_words(expected) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let found = format!("{length} items");
        Self::new(Kind::Unexpected { found, expected: expected_in_words(expected) })
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownVariant { name: variant.to_owned(), known })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownField { name: field.to_owned(), known })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::MissingField(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Kind::Custom(format!("the key `{field}` is here twice, once under another name")))
    }
}

fn found_in_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("the string \"{text}\""),
        Unexpected::Bool(value) => format!("the boolean `{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        Unexpected::Map | Unexpected::StructVariant => "a mapping".to_owned(),
        Unexpected::Seq | Unexpected::TupleVariant => "a list".to_owned(),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        other => other.to_string(),
    }
}

/// serde's words for Rust's types, said in the words of a configuration.
fn expected_in_words(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    let whole = |low: &str, high: &str| format!("a whole number from {low} to {high}");
    match text.as_str() {
        "u8" => whole("0", "255"),
        "u16" => whole("0", "65535"),
        "u32" => whole("0", "4294967295"),
        "u64" | "usize" | "u128" => "a whole number from 0".to_owned(),
        "i8" => whole("-128", "127"),
        "i16" => whole("-32768", "32767"),
        "i32" => whole("-2147483648", "2147483647"),
        "i64" | "isize" | "i128" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a map" => "a mapping".to_owned(),
        "a sequence" => "a list".to_owned(),
        _ if text.starts_with("struct ") => "a mapping".to_owned(),
        _ if text.starts_with("enum ") || text.starts_with("string or map") => {
            "one of its known values".to_owned()
        }
        _ => text.strip_prefix("a nonzero ").map_or(text.clone(), |_| "a whole number above 0".to_owned()),
    }
}
