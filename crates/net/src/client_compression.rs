//! `compression` of an exporter.

use crate::Compression;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How an exporter compresses its requests, as its configuration says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientCompression(pub Compression);

impl<'de> Deserialize<'de> for ClientCompression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = Compression::ALL.into_iter().find(|known| known.as_str() == text);
        match known {
            Some(known) => Ok(Self(known)),
            None if matches!(text.as_str(), "" | "none") => Ok(Self(Compression::Identity)),
            None => Err(serde::de::Error::custom(format!(
                "`{text}` is not a supported compression: use `gzip`, `zstd` or `none`, over HTTP also `zlib` or `deflate`"
            ))),
        }
    }
}

impl Serialize for ClientCompression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self.0 {
            Compression::Identity => "none",
            other => other.as_str(),
        })
    }
}
