//! The bytes of a recording, decompressed where all of it is compressed.

use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, BufReader, Cursor, Read};

/// What one read takes in.
const BUFFER: usize = 256 << 10;
/// How a zstd frame begins.
pub(crate) const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const GZIP: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// What is read, and what it began with.
pub(crate) struct Input {
    pub(crate) bytes: Box<dyn BufRead + Send>,
    /// Up to four bytes, not taken from `bytes`.
    pub(crate) head: Vec<u8>,
}

/// Looks at how `raw` begins and decompresses it if need be.
pub(crate) fn open(raw: impl Read + Send + 'static) -> io::Result<Input> {
    let plain = peek(BufReader::with_capacity(BUFFER, raw))?;
    if plain.head.starts_with(&ZSTD) {
        peek(BufReader::with_capacity(BUFFER, zstd::stream::read::Decoder::with_buffer(plain.bytes)?))
    } else if plain.head.starts_with(&GZIP) {
        peek(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(plain.bytes)))
    } else {
        Ok(plain)
    }
}

/// Reads the first bytes and puts them back; a byte order mark is left out.
fn peek(mut bytes: impl BufRead + Send + 'static) -> io::Result<Input> {
    let mut head = Vec::with_capacity(4);
    read_up_to(&mut bytes, 4, &mut head)?;
    if head.starts_with(&BYTE_ORDER_MARK) {
        head.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(Input { bytes: Box::new(Cursor::new(head.clone()).chain(bytes)), head })
}

/// Appends `most` bytes, or as many as there are.
pub(crate) fn read_up_to(from: &mut (impl Read + ?Sized), most: u64, to: &mut Vec<u8>) -> io::Result<usize> {
    from.take(most).read_to_end(to)
}
