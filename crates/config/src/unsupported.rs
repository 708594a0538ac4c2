//! Keys of the collector that a component does not support.

use crate::diagnostic::Diagnostics;
use crate::node::Node;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// The field of a key that is known but not supported: it takes any value, so that [`refuse_unsupported`] can say
/// what to do instead of an error about an unknown key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsupported(());

impl<'de> Deserialize<'de> for Unsupported {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(()))
    }
}

/// An error for each of `keys` (a key, and what to do about it) that `section` sets.
pub fn refuse_unsupported(section: &Node, keys: &[(&str, &str)]) -> Diagnostics {
    let set = keys.iter().filter(|(key, _)| section.get(key).is_some_and(|value| !value.is_null()));
    let error = |(key, advice): &(&str, &str)| {
        section.error_at_key(key, format!("`{key}` is not supported")).with_help(*advice)
    };
    Diagnostics(set.map(error).collect())
}
