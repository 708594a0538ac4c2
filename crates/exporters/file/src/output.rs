//! Records on their way to the file: gathered for `flush_interval`, or written at once when the file is rotated.

use crate::sink::Sink;
use jiff::Timestamp;
use std::io;

/// What is gathered at most; larger records go straight to the file.
const BUFFER: usize = 64 << 10;

/// Records that wait, and where they go.
pub(crate) struct Output {
    sink: Sink,
    buffered: bool,
    waiting: Vec<u8>,
    /// Spans in `waiting`.
    spans: u64,
}

impl Output {
    pub(crate) fn new(sink: Sink, buffered: bool) -> Self {
        Self { sink, buffered, waiting: Vec::new(), spans: 0 }
    }

    /// Takes a record of `spans` spans in. On an error it is not taken; what was taken before is still there.
    pub(crate) fn append(&mut self, record: &[u8], spans: u64, now: Timestamp) -> io::Result<()> {
        if self.waiting.len() + record.len() > BUFFER {
            self.flush(now)?;
        }
        if !self.buffered || record.len() > BUFFER {
            return self.sink.write(record, now);
        }
        self.waiting.extend_from_slice(record);
        self.spans += spans;
        Ok(())
    }

    /// Writes what waits. On an error it goes on waiting.
    pub(crate) fn flush(&mut self, now: Timestamp) -> io::Result<()> {
        if !self.waiting.is_empty() {
            self.sink.write(&self.waiting, now)?;
            self.waiting.clear();
            self.spans = 0;
        }
        Ok(())
    }

    /// Spans that are taken and not yet in the file.
    pub(crate) fn waiting(&self) -> u64 {
        self.spans
    }
}
