//! `type/name` identifiers.

use std::fmt;
use std::str::FromStr;

/// The identifier of a component or a pipeline: `kind` or `kind/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComponentId {
    /// The type of component, such as `otlp`; of a pipeline, its signal.
    pub kind: String,
    /// What tells several of one kind apart.
    pub name: Option<String>,
}

/// Why a text is no identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// No text at all.
    #[error("the id is empty: write `type` or `type/name`")]
    Empty,
    /// `/name`.
    #[error("the part before `/` in the id `{0}` is empty: write `type/name`")]
    NoKind(String),
    /// `type/`.
    #[error("the part after `/` in the id `{0}` is empty: write `type` or `type/name`")]
    NoName(String),
    /// The type is not a letter followed by at most 62 letters, digits and underscores.
    #[error(
        "the type `{0}` in an id starts with a letter and goes on with letters, digits and `_`, at most 63 in all"
    )]
    Kind(String),
    /// The name has spaces, control characters or symbols, or is too long.
    #[error("the name `{0}` in an id has no spaces, control characters or symbols, and at most 1024 bytes")]
    Name(String),
}

impl ComponentId {
    /// An identifier from its parts, unchecked.
    pub fn new(kind: impl Into<String>, name: Option<&str>) -> Self {
        Self { kind: kind.into(), name: name.map(str::to_owned) }
    }
}

impl FromStr for ComponentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind.trim(), Some(name.trim())),
            None => (text.trim(), None),
        };
        match (kind, name) {
            ("", Some(_)) => return Err(IdError::NoKind(text.to_owned())),
            ("", None) => return Err(IdError::Empty),
            (_, Some("")) => return Err(IdError::NoName(text.to_owned())),
            _ => {}
        }
        let letters = kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !(letters && kind.starts_with(|c: char| c.is_ascii_alphabetic()) && kind.len() <= 63) {
            return Err(IdError::Kind(kind.to_owned()));
        }
        if let Some(name) = name.filter(|name| name.len() > 1024 || name.chars().any(is_refused)) {
            return Err(IdError::Name(name.to_owned()));
        }
        Ok(Self::new(kind, name))
    }
}

/// The collector refuses separators, control characters and symbols (`$`, `+`, `<`, `=`, `>`, `^`, `` ` ``, `|`, `~`
/// and their kin beyond ASCII).
fn is_refused(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~')
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}/{name}", self.kind),
            None => f.write_str(&self.kind),
        }
    }
}

impl serde::Serialize for ComponentId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ComponentId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
