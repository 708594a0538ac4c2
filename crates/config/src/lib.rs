//! YAML to a located, validated specification; knows no concrete component.

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
