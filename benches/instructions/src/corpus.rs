//! The requests that every path works on, in a file: generating them under callgrind would take most of the time.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use forebay_generator::corpus;

use crate::error::InstructionsError;

const SPANS: usize = 100_000;
const SPANS_PER_REQUEST: usize = 100;
const SPAN_BYTES: usize = 340;

/// Encoded trace requests of agent tasks: the benchmarks' usual load.
pub struct Requests(pub Vec<Bytes>);

impl Requests {
    /// 100,000 spans, the same on every machine.
    pub fn generate() -> Result<Self, InstructionsError> {
        let requests = corpus(SPANS, SPANS_PER_REQUEST, SPAN_BYTES)
            .map_err(|error| InstructionsError::Workload(error.to_string()))?;
        Ok(Self(requests.into_iter().map(Bytes::from).collect()))
    }

    /// Spans in all requests.
    pub fn spans(&self) -> usize {
        self.0.iter().map(|request| forebay_otlp::splice::count_spans(request)).sum()
    }

    /// Writes them to a file in `folder`, each with its length in front, and returns the file's path.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, InstructionsError> {
        let mut bytes = Vec::new();
        for request in &self.0 {
            bytes.extend_from_slice(&(request.len() as u64).to_le_bytes());
            bytes.extend_from_slice(request);
        }
        fs::create_dir_all(folder).map_err(InstructionsError::file(folder))?;
        let path = folder.join("corpus.bin");
        fs::write(&path, bytes).map_err(InstructionsError::file(&path))?;
        Ok(path)
    }

    /// Reads what [`Requests::write`] wrote.
    pub fn read(path: &Path) -> Result<Self, InstructionsError> {
        let bytes = fs::read(path).map_err(InstructionsError::file(path))?;
        let mut rest = bytes.as_slice();
        let mut requests = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<8>() {
            let length = u64::from_le_bytes(*length) as usize;
            let (request, after) = after
                .split_at_checked(length)
                .ok_or_else(|| InstructionsError::Workload(format!("{} is cut short", path.display())))?;
            requests.push(Bytes::copy_from_slice(request));
            rest = after;
        }
        Ok(Self(requests))
    }
}
