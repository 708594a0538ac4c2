//! Recordings of OTLP trace requests, as the collector's `file` exporter and ours write them.
//!
//! A recording is a sequence of `ExportTraceServiceRequest`s: JSON objects, one a line, or messages (protobuf or
//! JSON, each perhaps compressed with zstd) behind four bytes of length. The whole may be compressed with zstd or
//! gzip. [`frame`] writes one message; [`Reader`] finds out what it is given and reads it back, validated.

mod error;
mod frame;
mod input;
mod reader;
#[cfg(test)]
mod tests;

pub use error::{Place, Problem, ReadError};
pub use frame::{Framing, MAX_MESSAGE, TooLarge};
pub use reader::{Reader, Record};
