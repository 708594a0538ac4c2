//! What a client speaks.

use crate::http2::PREFACE;

/// What a client speaks, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// So many bytes were as HTTP/2 has them.
    Unknown(usize),
    Http1,
    Http2,
}

impl Speaks {
    /// Looks at the next bytes.
    pub(super) fn look(&mut self, bytes: &[u8]) {
        let Self::Unknown(matched) = *self else { return };
        let expected = &PREFACE[matched..];
        let compared = expected.len().min(bytes.len());
        *self = match matched + compared {
            _ if bytes[..compared] != expected[..compared] => Self::Http1,
            all if all == PREFACE.len() => Self::Http2,
            part => Self::Unknown(part),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_client_speaks() {
        let mut speaks = Speaks::Unknown(0);
        speaks.look(b"PRI * HT");
        assert_eq!(speaks, Speaks::Unknown(8));
        speaks.look(b"TP/2.0\r\n\r\nSM\r\n\r\nrest");
        assert_eq!(speaks, Speaks::Http2);
        let mut speaks = Speaks::Unknown(0);
        speaks.look(b"POST /v1/traces HTTP/1.1");
        assert_eq!(speaks, Speaks::Http1);
    }
}
