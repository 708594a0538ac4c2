//! YAML to a located, validated specification; knows no concrete component.
//!
//! [`load`] reads one or more [`Source`]s, merges them, expands `${...}` and gives a [`Spec`]. Each component reads its
//! [`Node`] into a struct of its own and checks the rest itself:
//!
//! ```
//! use forebay_config::{Diagnostics, GoDuration, Node};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(default)]
//! struct Config {
//!     endpoint: String,
//!     timeout: GoDuration,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Self { endpoint: String::new(), timeout: GoDuration(std::time::Duration::from_secs(5)) }
//!     }
//! }
//!
//! fn read(node: &Node) -> Result<Config, Diagnostics> {
//!     let config: Config = node.read()?;
//!     if config.endpoint.is_empty() {
//!         return Err(node.error_at(&["endpoint"], "an endpoint is needed, such as `host:4317`").into());
//!     }
//!     Ok(config)
//! }
//!
//! let node = Node::parse_str("agent.yaml", "endpoint: tempo:4317\ntimeuot: 3s\n")?;
//! let problem = &read(&node).err().unwrap().0[0];
//! assert_eq!((problem.location.line, problem.location.column), (2, 1));
//! assert!(problem.help.as_deref().unwrap().starts_with("did you mean `timeout`?"));
//! # Ok::<(), Diagnostics>(())
//! ```
//!
//! Unknown keys are errors without `deny_unknown_fields`. A key without value is absent for a number, string, list or
//! mapping, and all defaults for a struct (also behind an `Option`: `grpc:` is `Some`). Avoid `#[serde(flatten)]`,
//! `tag` and `untagged`: what is inside loses its place.
//!
//! Where this differs from the collector: a value that is null or comes from an unset variable keeps the option's
//! default (there: zero); a `${` that is not closed is an error (there: text); a reference after an escaped one in the
//! same text is expanded (there: not); numbers and booleans are fine where a string is wanted (there: an error).

mod byte_size;
mod diagnostic;
pub mod duration;
mod emit;
mod expand;
mod id;
mod node;
mod parse;
mod read;
mod scalar;
mod secret;
mod source;
mod spec;
mod suggest;
mod unsupported;

pub use byte_size::{ByteSize, ByteSizeError};
pub use diagnostic::{Diagnostic, Diagnostics, Location, Severity};
pub use duration::{DurationError, GoDuration};
pub use emit::{to_yaml, to_yaml_redacted};
pub use id::{ComponentId, IdError};
pub use node::{Entry, Node, Scalar, Value};
pub use secret::{REDACTED, Secret};
pub use source::Source;
pub use spec::{Components, DEFAULT_SHUTDOWN_TIMEOUT, Located, Pipeline, Service, Spec, load};
pub use suggest::nearest;
pub use unsupported::{Unsupported, refuse_unsupported};

#[cfg(test)]
mod tests;
