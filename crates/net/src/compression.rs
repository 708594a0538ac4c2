//! Compressing what is sent, and decompressing what arrives without trusting it.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};
use std::fmt;
use std::str::FromStr;
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

/// The smallest buffer a decompressed message starts in.
const FIRST_GROWTH: usize = 4 * 1024;
/// Frames with a window beyond 8 MiB, which RFC 8878 recommends as what every decoder supports, are refused: the
/// window is memory that the sender chooses.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const ZSTD_LEVEL: i32 = 1;
const GZIP_WINDOW_BITS: u8 = 15;

/// A way to compress messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// None at all.
    #[default]
    Identity,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// zlib (RFC 1950), under the name that HTTP gives it.
    Deflate,
    /// zlib (RFC 1950), under the name that the collector also gives it.
    Zlib,
}

impl Compression {
    /// Every way but [`Self::Identity`].
    pub const ALL: [Self; 4] = [Self::Gzip, Self::Zstd, Self::Deflate, Self::Zlib];

    /// The name in `content-encoding` and `grpc-encoding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
            Self::Zlib => "zlib",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that stands for no compression we know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the compression `{0}` is not supported: use gzip, zstd, deflate, zlib or identity")]
pub struct UnknownCompression(pub String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    /// Reads a header's value; case does not matter, and nothing means [`Compression::Identity`].
    fn from_str(name: &str) -> Result<Self, UnknownCompression> {
        let name = name.trim();
        if name.is_empty() || name.eq_ignore_ascii_case("identity") || name.eq_ignore_ascii_case("none") {
            return Ok(Self::Identity);
        }
        let known = Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(name));
        known.ok_or_else(|| UnknownCompression(name.to_owned()))
    }
}

/// Why bytes could not be decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// They become more than is allowed.
    #[error("the message is larger than {limit} bytes once decompressed")]
    TooLarge {
        /// The most bytes that are allowed.
        limit: usize,
    },
    /// There is no memory for the result now.
    #[error("there is no memory left to decompress the message now")]
    NoRoom,
    /// They end in the middle.
    #[error("the {0} data ends too early")]
    Truncated(Compression),
    /// They are not of the format.
    #[error("the data is not valid {0}: {1}")]
    Malformed(Compression, String),
}

/// Compresses a message.
///
/// # Errors
/// When the compressor itself fails, which it does not for lack of anything in the input.
pub fn compress(compression: Compression, input: &[u8]) -> std::io::Result<Vec<u8>> {
    compress_at(compression, None, input)
}

/// Compresses a message at a level of the format's own scale, none being a fast one.
///
/// # Errors
/// When the compressor itself fails, as it does for a level that does not exist.
pub fn compress_at(compression: Compression, level: Option<i32>, input: &[u8]) -> std::io::Result<Vec<u8>> {
    let flate_level = || match level {
        Some(level) => flate2::Compression::new(u32::try_from(level.clamp(0, 9)).unwrap_or_default()),
        None => flate2::Compression::fast(),
    };
    match compression {
        Compression::Identity => Ok(input.to_vec()),
        Compression::Zstd => zstd::bulk::compress(input, level.unwrap_or(ZSTD_LEVEL)),
        Compression::Gzip => deflate(Compress::new_gzip(flate_level(), GZIP_WINDOW_BITS), input),
        Compression::Deflate | Compression::Zlib => deflate(Compress::new(flate_level(), true), input),
    }
}

fn deflate(mut compress: Compress, input: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut output = Vec::with_capacity(input.len() / 3 + 64);
    loop {
        let consumed = usize::try_from(compress.total_in()).map_or(input.len(), |read| read.min(input.len()));
        let status = compress.compress_vec(&input[consumed..], &mut output, FlushCompress::Finish)?;
        if status == Status::StreamEnd {
            return Ok(output);
        }
        output.reserve(output.len().max(256));
    }
}

/// Decompresses a message to at most `limit` bytes. Before each growth of the result `room` is asked for that many
/// more bytes of memory; a no ends the work. What it said yes to is the caller's to give back.
///
/// # Errors
/// When the bytes are not a whole valid message of the format, or become too many.
pub fn decompress(
    compression: Compression,
    input: &[u8],
    limit: usize,
    room: &mut dyn FnMut(usize) -> bool,
) -> Result<Bytes, DecompressError> {
    let mut output = Output { bytes: Vec::new(), limit, room };
    match compression {
        Compression::Identity => {
            output.grow_to(input.len())?;
            output.bytes.extend_from_slice(input);
            output.finish()?;
        }
        Compression::Gzip => {
            inflate(compression, Decompress::new_gzip(GZIP_WINDOW_BITS), input, &mut output)?
        }
        Compression::Deflate | Compression::Zlib => {
            inflate(compression, Decompress::new(true), input, &mut output)?;
        }
        Compression::Zstd => unzstd(input, &mut output)?,
    }
    let mut bytes = output.bytes;
    // The result may be held for a long time: no more than an eighth of it is slack.
    if bytes.capacity() - bytes.len() > bytes.len() / 8 {
        bytes.shrink_to_fit();
    }
    Ok(bytes.into())
}

struct Output<'a> {
    bytes: Vec<u8>,
    limit: usize,
    room: &'a mut dyn FnMut(usize) -> bool,
}

impl Output<'_> {
    /// Makes the buffer larger; it may hold one byte beyond the limit, so that an overflow shows.
    fn grow(&mut self, first: usize) -> Result<(), DecompressError> {
        if self.bytes.len() > self.limit {
            return Err(DecompressError::TooLarge { limit: self.limit });
        }
        let wanted = if self.bytes.capacity() == 0 { first.max(FIRST_GROWTH) } else { self.bytes.len() * 2 };
        self.grow_to(wanted.min(self.limit.saturating_add(1)))
    }

    fn grow_to(&mut self, capacity: usize) -> Result<(), DecompressError> {
        if capacity > self.limit.saturating_add(1) {
            return Err(DecompressError::TooLarge { limit: self.limit });
        }
        let more = capacity.saturating_sub(self.bytes.capacity());
        if more > 0 {
            if !(self.room)(more) {
                return Err(DecompressError::NoRoom);
            }
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), DecompressError> {
        if self.bytes.len() > self.limit {
            return Err(DecompressError::TooLarge { limit: self.limit });
        }
        Ok(())
    }
}

/// zlib, or gzip with any number of members (RFC 1952, 2.2).
fn inflate(
    compression: Compression,
    mut inflate: Decompress,
    mut input: &[u8],
    output: &mut Output<'_>,
) -> Result<(), DecompressError> {
    // Spans shrink to a third at the least; a wrong guess costs one growth.
    output.grow(input.len().saturating_mul(4))?;
    loop {
        if output.bytes.len() == output.bytes.capacity() {
            output.grow(0)?;
        }
        let (read, written) = (inflate.total_in(), output.bytes.len());
        let status = inflate
            .decompress_vec(input, &mut output.bytes, FlushDecompress::None)
            .map_err(|error| DecompressError::Malformed(compression, error.to_string()))?;
        let read = usize::try_from(inflate.total_in() - read).unwrap_or(usize::MAX).min(input.len());
        input = &input[read..];
        match status {
            Status::StreamEnd if input.is_empty() => return output.finish(),
            Status::StreamEnd if compression == Compression::Gzip => {
                inflate = Decompress::new_gzip(GZIP_WINDOW_BITS);
            }
            Status::StreamEnd => {
                return Err(DecompressError::Malformed(compression, "bytes follow its end".to_owned()));
            }
            Status::Ok | Status::BufError => {
                let stuck = read == 0 && output.bytes.len() == written;
                if stuck && output.bytes.len() < output.bytes.capacity() {
                    return Err(DecompressError::Truncated(compression));
                }
            }
        }
    }
}

/// One or more zstd frames.
fn unzstd(input: &[u8], output: &mut Output<'_>) -> Result<(), DecompressError> {
    let malformed = |error: std::io::Error| DecompressError::Malformed(Compression::Zstd, error.to_string());
    let mut decoder = zstd::stream::raw::Decoder::new().map_err(malformed)?;
    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(malformed)?;
    output.grow(input.len().saturating_mul(4))?;
    let mut input = InBuffer::around(input);
    loop {
        if output.bytes.len() == output.bytes.capacity() {
            output.grow(0)?;
        }
        let (read, written) = (input.pos(), output.bytes.len());
        let mut buffer = OutBuffer::around_pos(&mut output.bytes, written);
        let missing = decoder.run(&mut input, &mut buffer).map_err(malformed)?;
        let done = input.pos() == input.src.len();
        if missing == 0 && done {
            return output.finish();
        }
        let stuck = input.pos() == read && output.bytes.len() == written;
        if stuck && output.bytes.len() < output.bytes.capacity() {
            return Err(DecompressError::Truncated(Compression::Zstd));
        }
    }
}
