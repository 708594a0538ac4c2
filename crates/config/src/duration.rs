//! Durations as Go writes them: `1h30m`, `1.5s`, `200ms`, `0`.
//!
//! A bare whole number counts nanoseconds, as in the collector. The module also works as
//! `#[serde(with = "forebay_config::duration")]` on a `std::time::Duration`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, Visitor};
use serde::ser::Serializer;

/// A duration in a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GoDuration(pub Duration);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not of the form.
    #[error("`{0}` is no duration: write numbers with units, such as `200ms`, `1.5s` or `1h30m`")]
    Syntax(String),
    /// A number without unit, other than 0.
    #[error("`{0}` lacks a unit: write one of `ns`, `us`, `ms`, `s`, `m`, `h` after each number")]
    NoUnit(String),
    /// A unit that Go does not know.
    #[error("`{0}` has the unknown unit `{1}`: the units are `ns`, `us`, `ms`, `s`, `m`, `h`")]
    Unit(String, String),
    /// Beyond what 64 bits of nanoseconds hold.
    #[error("`{0}` is too long a duration: the longest is about 292 years")]
    Range(String),
    /// Below zero where that has no meaning.
    #[error("`{0}` is negative: a duration here is 0 or more")]
    Negative(String),
}

/// Parses a duration of 0 or more.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let nanos = parse_nanos(text)?;
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| DurationError::Negative(text.to_owned()))
}

/// Parses a duration that may be negative, in nanoseconds.
pub fn parse_nanos(text: &str) -> Result<i64, DurationError> {
    let range = || DurationError::Range(text.to_owned());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(DurationError::Syntax(text.to_owned()));
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(DurationError::Syntax(text.to_owned()));
        }
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale: i128 = match unit {
            "" => return Err(DurationError::NoUnit(text.to_owned())),
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(DurationError::Unit(text.to_owned(), unit.to_owned())),
        };
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| range())? };
        total = whole.checked_mul(scale).and_then(|nanos| total.checked_add(nanos)).ok_or_else(range)?;
        // Digits beyond the 15th are below a nanosecond even for hours.
        let digits = &fraction[..fraction.len().min(15)];
        if !digits.is_empty() {
            let part: i128 = digits.parse().map_err(|_| range())?;
            total += part * scale / 10i128.pow(digits.len() as u32);
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| range())
}

impl From<GoDuration> for Duration {
    fn from(duration: GoDuration) -> Self {
        duration.0
    }
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl std::str::FromStr for GoDuration {
    type Err = DurationError;
    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text).map(Self)
    }
}

/// As Go prints it: `1h30m0s`, `1.5s`, `200ms`, `0s`.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let decimal = |f: &mut fmt::Formatter<'_>, value: u128, scale: u128, unit: &str| {
            let fraction = format!("{:0width$}", value % scale, width = scale.ilog10() as usize);
            let fraction = if scale == 1 { "" } else { fraction.trim_end_matches('0') };
            let dot = if fraction.is_empty() { "" } else { "." };
            write!(f, "{}{dot}{fraction}{unit}", value / scale)
        };
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => decimal(f, nanos, 1, "ns"),
            1_000..1_000_000 => decimal(f, nanos, 1_000, "\u{b5}s"),
            1_000_000..1_000_000_000 => decimal(f, nanos, 1_000_000, "ms"),
            _ => {
                let seconds = nanos / 1_000_000_000;
                let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
                if hours > 0 {
                    write!(f, "{hours}h")?;
                }
                if seconds >= 60 {
                    write!(f, "{minutes}m")?;
                }
                decimal(f, nanos % 60_000_000_000, 1_000_000_000, "s")
            }
        }
    }
}

impl serde::Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let nanos = deserializer.deserialize_any(Nanos)?;
        u64::try_from(nanos)
            .map(|nanos| Self(Duration::from_nanos(nanos)))
            .map_err(|_| serde::de::Error::custom("a duration here is 0 or more"))
    }
}

/// Writes as Go does; for `#[serde(with = "forebay_config::duration")]`.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&GoDuration(*duration))
}

/// Reads a duration of 0 or more; for `#[serde(with = "forebay_config::duration")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    <GoDuration as serde::Deserialize>::deserialize(deserializer).map(Duration::from)
}

struct Nanos;

impl Visitor<'_> for Nanos {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as `200ms`, `1.5s` or `1h30m`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<i64, E> {
        parse_nanos(text).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, nanos: i64) -> Result<i64, E> {
        Ok(nanos)
    }

    fn visit_u64<E: serde::de::Error>(self, nanos: u64) -> Result<i64, E> {
        i64::try_from(nanos).map_err(|_| E::custom(DurationError::Range(nanos.to_string())))
    }
}
