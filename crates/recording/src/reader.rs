//! Reading a recording, record by record.

use crate::error::{Place, Problem, ReadError};
use crate::frame::{Framing, MAX_MESSAGE};
use crate::input::{self, Input, ZSTD, read_up_to};
use forebay_otlp::json::decode_request;
use forebay_otlp::traces::{RequestStats, validate};
use std::io::{self, BufRead, Read};
use zstd::bulk::Decompressor;

/// A request of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// A valid `ExportTraceServiceRequest` in protobuf, whatever it was recorded as.
    pub request: &'a [u8],
    /// Spans, and those of them with bad ids.
    pub stats: RequestStats,
    /// Where it stands.
    pub place: Place,
}

/// Reads a recording of any of the known forms.
pub struct Reader {
    bytes: Box<dyn BufRead + Send>,
    framing: Framing,
    /// Where the next record begins.
    next: Place,
    ended: bool,
    zstd: Decompressor<'static>,
    message: Vec<u8>,
    inflated: Vec<u8>,
    converted: Vec<u8>,
    /// What [`Self::current`] shows.
    current: Option<(Content, RequestStats, Place)>,
}

/// Which buffer has the request.
#[derive(Clone, Copy)]
enum Content {
    Message,
    Inflated,
    Converted,
}

impl Reader {
    /// Reads the first bytes to see what `raw` is. Buffered: `raw` need not be.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(raw: impl Read + Send + 'static) -> Result<Self, ReadError> {
        let next = Place { record: 1, line: None, offset: 0 };
        let Input { bytes, head } =
            input::open(raw).map_err(|error| ReadError { place: next, problem: unreadable(error) })?;
        let is_text = head.first().is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'{');
        Ok(Self {
            bytes,
            framing: if is_text { Framing::Lines } else { Framing::Lengths },
            next: Place { line: is_text.then_some(1), ..next },
            ended: false,
            zstd: Decompressor::new()
                .map_err(|error| ReadError { place: next, problem: Problem::Compressed(error) })?,
            message: Vec::new(),
            inflated: Vec::new(),
            converted: Vec::new(),
            current: None,
        })
    }

    /// The next record; none at the end.
    ///
    /// # Errors
    /// When the record is no trace request: the next call goes on behind it, unless [`ReadError::is_end`].
    pub fn read(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        self.current = None;
        while !self.ended {
            let place = self.next;
            match self.frame() {
                Ok(true) if self.message.is_empty() => {}
                Ok(true) => {
                    self.next.record += 1;
                    self.current = Some(self.open(place)?);
                    return Ok(self.current());
                }
                Ok(false) => self.ended = true,
                Err(problem) => {
                    self.ended = true;
                    return Err(ReadError { place, problem });
                }
            }
        }
        Ok(None)
    }

    /// What [`Self::read`] returned last.
    pub fn current(&self) -> Option<Record<'_>> {
        self.current.map(|(content, stats, place)| {
            let request = match content {
                Content::Message => &self.message,
                Content::Inflated => &self.inflated,
                Content::Converted => &self.converted,
            };
            Record { request, stats, place }
        })
    }

    /// Takes the next message's bytes; false at the end. An empty one (a blank line, zeros at the end of a file
    /// after a crash of the machine) is none.
    fn frame(&mut self) -> Result<bool, Problem> {
        self.message.clear();
        let most = MAX_MESSAGE as u64;
        match self.framing {
            Framing::Lines => {
                // One byte more for the line feed.
                let read = (&mut self.bytes).take(most + 1).read_until(b'\n', &mut self.message);
                let read = read.map_err(unreadable)?;
                self.next.offset += read as u64;
                self.next.line = self.next.line.map(|line| line + 1);
                if self.message.last() != Some(&b'\n') && read > MAX_MESSAGE {
                    return Err(Problem::LineTooLong);
                }
                if self.message.iter().all(u8::is_ascii_whitespace) {
                    self.message.clear();
                }
                Ok(read > 0)
            }
            Framing::Lengths => {
                let mut length = Vec::with_capacity(4);
                match read_up_to(&mut self.bytes, 4, &mut length).map_err(unreadable)? {
                    0 => return Ok(false),
                    1..4 => return Err(Problem::CutOff),
                    _ => {}
                }
                let length = length.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
                if length as usize > MAX_MESSAGE {
                    return Err(Problem::Length(length));
                }
                let read =
                    read_up_to(&mut self.bytes, length.into(), &mut self.message).map_err(unreadable)?;
                self.next.offset += 4 + read as u64;
                if read < length as usize { Err(Problem::CutOff) } else { Ok(true) }
            }
        }
    }

    /// Makes the message a valid request in protobuf.
    fn open(&mut self, place: Place) -> Result<(Content, RequestStats, Place), ReadError> {
        let fail = |problem| ReadError { place, problem };
        let (mut content, mut bytes) = (Content::Message, &self.message);
        if self.framing == Framing::Lengths && bytes.starts_with(&ZSTD) {
            inflate(bytes, &mut self.zstd, &mut self.inflated).map_err(fail)?;
            (content, bytes) = (Content::Inflated, &self.inflated);
        }
        // No request in protobuf begins so: it would be a field that does not exist, of a kind that does not either.
        if self.framing == Framing::Lines || bytes.first() == Some(&b'{') {
            match decode_request(bytes) {
                Ok(wire) => self.converted = wire,
                Err(_) if self.framing == Framing::Lines && bytes.last() != Some(&b'\n') => {
                    return Err(fail(Problem::CutOff));
                }
                Err(error) => return Err(fail(Problem::Json(error))),
            }
            (content, bytes) = (Content::Converted, &self.converted);
        }
        let stats = validate(bytes).map_err(|error| fail(Problem::Protobuf(error)))?;
        Ok((content, stats, place))
    }
}

/// Decompresses one message; in one go when it says its size, as the exporters' do.
fn inflate(message: &[u8], context: &mut Decompressor<'static>, to: &mut Vec<u8>) -> Result<(), Problem> {
    to.clear();
    if let Some(size) = Decompressor::upper_bound(message).filter(|size| *size <= MAX_MESSAGE) {
        to.reserve(size);
        if context.decompress_to_buffer(message, to).is_ok() {
            return Ok(());
        }
        to.clear();
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(message).map_err(Problem::Compressed)?;
    let read = read_up_to(&mut decoder, MAX_MESSAGE as u64 + 1, to).map_err(Problem::Compressed)?;
    if read > MAX_MESSAGE { Err(Problem::Inflated) } else { Ok(()) }
}

/// A compressed recording that ends early is cut off like any other.
fn unreadable(error: io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Problem::CutOff,
        _ => Problem::Input(error),
    }
}
