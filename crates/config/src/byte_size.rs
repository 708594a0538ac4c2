//! Sizes in bytes: `64MiB`, `1GB`, `512KiB`, `1048576`.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Visitor};

/// A number of bytes in a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    /// Not a number with a unit.
    #[error("`{0}` is no size: write a number of bytes, or one with a unit, such as `64MiB` or `1GB`")]
    Syntax(String),
    /// A unit that is not known.
    #[error(
        "`{0}` has the unknown unit `{1}`: the units are `B`, `KiB`, `MiB`, `GiB`, `TiB` and `KB`, `MB`, `GB`, `TB`"
    )]
    Unit(String, String),
    /// Beyond 64 bits.
    #[error("`{0}` is too large a size")]
    Range(String),
}

const UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

impl ByteSize {
    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = (&trimmed[..end], trimmed[end..].trim_start());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.contains('.') {
            return Err(ByteSizeError::Syntax(text.to_owned()));
        }
        let unit = if unit.is_empty() { "B" } else { unit };
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
            return Err(ByteSizeError::Unit(text.to_owned(), unit.to_owned()));
        };
        let range = || ByteSizeError::Range(text.to_owned());
        let whole: u64 = whole.parse().map_err(|_| range())?;
        let digits = &fraction[..fraction.len().min(15)];
        let part: u128 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| range())? };
        let part = part * u128::from(*scale) / 10u128.pow(digits.len() as u32);
        let part = u64::try_from(part).map_err(|_| range())?;
        whole.checked_mul(*scale).and_then(|bytes| bytes.checked_add(part)).map(Self).ok_or_else(range)
    }
}

/// With the largest binary unit that loses nothing: `64MiB`, `1000B`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, scale): &&(&str, u64)| self.0 >= *scale && self.0.is_multiple_of(*scale);
        let (unit, scale) = UNITS[..5].iter().rev().find(exact).unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", self.0 / scale)
    }
}

impl serde::Serialize for ByteSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Bytes).map(Self)
    }
}

struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as `64MiB`, or a whole number of bytes")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
        text.parse::<ByteSize>().map(ByteSize::bytes).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }
}
