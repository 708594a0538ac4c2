//! What is wrong with a recording, and where.

use crate::frame::MAX_MESSAGE;
use forebay_otlp::WireError;
use forebay_otlp::json::JsonError;
use std::fmt;
use std::io;
use thiserror::Error;

/// Where a record stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The record, from 1.
    pub record: u64,
    /// The line, from 1, when records are lines.
    pub line: Option<u64>,
    /// Its first byte, from 0; in a recording compressed as a whole, after decompression.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, line, offset } = self;
        match line {
            Some(line) => write!(f, "line {line} (record {record}, byte {offset})"),
            None => write!(f, "record {record} (byte {offset})"),
        }
    }
}

/// A record that could not be read.
#[derive(Debug, Error)]
#[error("{place}: {problem}")]
pub struct ReadError {
    /// Where it begins.
    pub place: Place,
    /// What is wrong.
    pub problem: Problem,
}

impl ReadError {
    /// Whether there is nothing more to read: the next record cannot be found.
    pub fn is_end(&self) -> bool {
        matches!(
            self.problem,
            Problem::CutOff | Problem::Length(_) | Problem::LineTooLong | Problem::Input(_)
        )
    }

    /// Whether only the last record is incomplete, as a crash or a copy of a file being written leaves it.
    pub fn is_cut_off(&self) -> bool {
        matches!(self.problem, Problem::CutOff)
    }
}

/// What is wrong with a record.
#[derive(Debug, Error)]
pub enum Problem {
    /// The recording ends inside it.
    #[error("the recording ends inside this record: what came before is whole")]
    CutOff,
    /// What should be its length cannot be one.
    #[error(
        "{0} cannot be the length of a record (at most {MAX_MESSAGE}): this is no recording of OTLP, or it is damaged \
         here; nothing after it can be read"
    )]
    Length(u32),
    /// A line without an end.
    #[error(
        "the line has more than {MAX_MESSAGE} bytes: this is no recording of OTLP, one JSON object a line"
    )]
    LineTooLong,
    /// Compressed, and not readable.
    #[error("cannot be decompressed: {0}")]
    Compressed(io::Error),
    /// Compressed, and more than [`MAX_MESSAGE`].
    #[error("has more than {MAX_MESSAGE} bytes once decompressed")]
    Inflated,
    /// Not a trace request.
    #[error("is no OTLP trace request in protobuf: {0}")]
    Protobuf(WireError),
    /// Not a trace request.
    #[error("is no OTLP trace request in JSON: column {}: {}", .0.column, .0.message)]
    Json(JsonError),
    /// The file could not be read, or is damaged where all of it is compressed.
    #[error("cannot read on: {0}")]
    Input(io::Error),
}
