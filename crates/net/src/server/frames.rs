//! Finding the frames in what an HTTP/2 client sends, to count its pings: the HTTP library answers them unseen.

/// What starts every HTTP/2 connection (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER_LEN: usize = 9;
const PING: u8 = 0x6;
const ACK: u8 = 0x1;

/// What a client speaks, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// So many bytes were as HTTP/2 has them.
    Unknown(usize),
    Http1,
    Http2,
}

impl Speaks {
    /// Looks at the next bytes; returns what follows the preface.
    pub(super) fn look<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Self::Unknown(matched) = *self else { return bytes };
        let expected = &PREFACE[matched..];
        let compared = expected.len().min(bytes.len());
        if bytes[..compared] != expected[..compared] {
            *self = Self::Http1;
            return &[];
        }
        *self = match matched + compared {
            all if all == PREFACE.len() => Self::Http2,
            part => Self::Unknown(part),
        };
        &bytes[compared..]
    }
}

/// Counts the pings in a stream of frames, whatever its pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    header: [u8; HEADER_LEN],
    have: usize,
    /// Bytes of the current frame's payload still to come.
    skip: usize,
}

impl Frames {
    /// How many pings begin in the next bytes.
    pub(super) fn pings(&mut self, mut bytes: &[u8]) -> usize {
        let mut pings = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER_LEN - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEADER_LEN {
                self.have = 0;
                let [high, middle, low, kind, flags, ..] = self.header;
                self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                pings += usize::from(kind == PING && flags & ACK == 0);
            }
        }
        pings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&len[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn the_first_bytes_tell_what_a_client_speaks() {
        let mut speaks = Speaks::Unknown(0);
        assert_eq!(speaks.look(b"PRI * HT"), b"");
        assert_eq!(speaks, Speaks::Unknown(8));
        assert_eq!(speaks.look(b"TP/2.0\r\n\r\nSM\r\n\r\nrest"), b"rest");
        assert_eq!(speaks, Speaks::Http2);
        let mut speaks = Speaks::Unknown(0);
        speaks.look(b"POST /v1/traces HTTP/1.1");
        assert_eq!(speaks, Speaks::Http1);
    }

    proptest! {
        #[test]
        fn pings_are_counted_however_the_bytes_are_cut(
            frames in prop::collection::vec((0u8..10, 0u8..2, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
            cut in 1usize..50,
        ) {
            let expected = frames.iter().filter(|(kind, flags, _)| *kind == PING && *flags == 0).count();
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, flags, data)| frame(*kind, *flags, data)).collect();
            let mut scan = Frames::default();
            let pings: usize = bytes.chunks(cut).map(|piece| scan.pings(piece)).sum();
            prop_assert_eq!(pings, expected);
        }

        #[test]
        fn any_bytes_can_be_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut speaks = Speaks::Unknown(0);
            let rest = speaks.look(&bytes);
            Frames::default().pings(rest);
        }
    }
}
