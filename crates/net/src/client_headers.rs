//! `headers` of an exporter: names with secret values, as a mapping or as a list of names and values.

use forebay_config::{Diagnostics, Node, Secret};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Headers to send with every request. Serializes with its values redacted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, Secret)>);

impl Headers {
    /// What is wrong with the names and values; `section` is the node that has the key `headers`.
    pub fn check(&self, section: &Node) -> Diagnostics {
        let mut found = Diagnostics::default();
        for (index, (name, value)) in self.0.iter().enumerate() {
            let mut wrong = |message: &str| {
                found.push(section.error_at(&["headers", name], format!("`{name}`: {message}")))
            };
            if HeaderName::try_from(name.as_str()).is_err() {
                wrong("is not a valid header name");
            }
            if HeaderValue::try_from(value.expose()).is_err() {
                wrong("the value has characters that no header may have");
            }
            if self.0[..index].iter().any(|other| other.0.eq_ignore_ascii_case(name)) {
                wrong("is given twice");
            }
        }
        found
    }

    /// The headers as HTTP has them, values marked sensitive; what [`Self::check`] refuses is left out.
    pub fn to_map(&self) -> HeaderMap {
        let header = |(name, value): &(String, Secret)| {
            let name = HeaderName::try_from(name.as_str()).ok()?;
            let mut value = HeaderValue::try_from(value.expose()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        };
        self.0.iter().filter_map(header).collect()
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadHeaders)
    }
}

struct ReadHeaders;

/// The collector's list form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    name: String,
    value: Secret,
}

impl<'de> Visitor<'de> for ReadHeaders {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("header names with their values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some(entry) = map.next_entry::<String, Secret>()? {
            headers.push(entry);
        }
        Ok(Headers(headers))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Headers, A::Error> {
        let mut headers = Vec::new();
        while let Some(pair) = seq.next_element::<Pair>()? {
            headers.push((pair.name, pair.value));
        }
        Ok(Headers(headers))
    }
}
