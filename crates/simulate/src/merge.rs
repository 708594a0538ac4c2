//! Several recordings read as one, in order of time.

use forebay_otlp::traces::{SpanField, TracesView};
use forebay_recording::{ReadError, Reader, Record};
use std::io::Read;

/// A recording to read.
pub struct Source {
    /// What it is called in messages.
    pub name: String,
    /// Its bytes; need not be buffered.
    pub bytes: Box<dyn Read + Send>,
}

/// All recordings, each at its next record.
pub(crate) struct Merge {
    inputs: Vec<Input>,
    /// The input that the last record came from: its next is not read yet.
    taken: Option<usize>,
    /// Later times are mistakes.
    present: u64,
}

struct Input {
    name: String,
    reader: Reader,
    /// When its next record arrived; none at its end.
    time: Option<u64>,
    /// Whether something was read from it.
    begun: bool,
}

/// What was wrong with a record, and with which recording.
pub(crate) struct Bad {
    pub(crate) name: String,
    pub(crate) error: ReadError,
    /// The recording has given nothing, and will give nothing.
    pub(crate) hopeless: bool,
}

impl Merge {
    /// Reads the first record of each. `present` is the time beyond which no span can have ended, in Unix nanoseconds.
    pub(crate) fn new(sources: Vec<Source>, present: u64, bad: &mut Vec<Bad>) -> Self {
        let mut inputs = Vec::with_capacity(sources.len());
        for Source { name, bytes } in sources {
            match Reader::new(bytes) {
                Ok(reader) => {
                    let mut input = Input { name, reader, time: Some(0), begun: false };
                    input.advance(present, bad);
                    inputs.push(input);
                }
                Err(error) => bad.push(Bad { name, error, hopeless: true }),
            }
        }
        Self { inputs, taken: None, present }
    }

    /// The record that arrived first of those not read yet, and when.
    pub(crate) fn next(&mut self, bad: &mut Vec<Bad>) -> Option<(u64, Record<'_>)> {
        if let Some(input) = self.taken.take().and_then(|taken| self.inputs.get_mut(taken)) {
            input.advance(self.present, bad);
        }
        let ahead = self.inputs.iter().enumerate().filter_map(|(at, input)| Some((input.time?, at)));
        let (time, at) = ahead.min()?;
        self.taken = Some(at);
        Some((time, self.inputs.get(at)?.reader.current()?))
    }
}

impl Input {
    /// Goes to the next record that can be read.
    fn advance(&mut self, present: u64, bad: &mut Vec<Bad>) {
        loop {
            match self.reader.read() {
                Ok(Some(record)) => {
                    self.begun = true;
                    // Without a time it came with the one before.
                    self.time = newest_end(record.request, present).or(self.time);
                    return;
                }
                Ok(None) => {
                    self.time = None;
                    return;
                }
                Err(error) => {
                    let hopeless = !self.begun && error.is_end() && !error.is_cut_off();
                    bad.push(Bad { name: self.name.clone(), error, hopeless });
                }
            }
        }
    }
}

/// When the last span of a request ended, which is when the request can have arrived at the earliest. Times that are
/// not set or after `present` do not count.
fn newest_end(request: &[u8], present: u64) -> Option<u64> {
    let mut newest = None;
    for resource in TracesView::new(request).resource_spans() {
        for scope in resource.scope_spans() {
            for span in scope.spans() {
                // Stops at the field: attributes come after it.
                let end = span.fields().find_map(|field| match field {
                    SpanField::End(nanos) => Some(nanos),
                    _ => None,
                });
                newest = newest.max(end.filter(|end| (1..=present).contains(end)));
            }
        }
    }
    newest
}
