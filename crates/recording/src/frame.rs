//! How messages stand one behind the other.

use thiserror::Error;

/// The most bytes in one message, compressed or not.
///
/// A length up to this begins with a byte below 9. White space, `{` and the marks of zstd and gzip do not, so that
/// the first byte of a recording tells what it is.
pub const MAX_MESSAGE: usize = 128 << 20;

/// How the end of a message is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A line each: JSON as it is.
    Lines,
    /// Four bytes of length, the highest first, before each message.
    Lengths,
}

/// A message that no reader would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a message of {0} bytes is more than the {MAX_MESSAGE} that a recording takes: use smaller batches")]
pub struct TooLarge(pub usize);

impl Framing {
    /// Appends `message`, which must not contain a line feed when lines frame it.
    ///
    /// # Errors
    /// When it is larger than [`MAX_MESSAGE`].
    pub fn append(self, message: &[u8], out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let length = u32::try_from(message.len()).ok().filter(|length| *length as usize <= MAX_MESSAGE);
        let length = length.ok_or(TooLarge(message.len()))?;
        out.reserve(message.len() + 4);
        match self {
            Self::Lines => {
                out.extend_from_slice(message);
                out.push(b'\n');
            }
            Self::Lengths => {
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(message);
            }
        }
        Ok(())
    }
}
