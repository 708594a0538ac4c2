//! What is written is read back; what is damaged is named and placed; nothing panics.

use crate::{Framing, MAX_MESSAGE, Problem, ReadError, Reader};
use flate2::Compression;
use flate2::write::GzEncoder;
use forebay_testkit::requests;
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::{self, Cursor, Read, Write};

/// How one message is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Message {
    JsonLine,
    Json,
    Proto,
    ZstdJson,
    ZstdProto,
}

const MESSAGES: [Message; 5] =
    [Message::JsonLine, Message::Json, Message::Proto, Message::ZstdJson, Message::ZstdProto];

/// How the whole is compressed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Whole {
    Plain,
    Zstd,
    Gzip,
}

const WHOLES: [Whole; 3] = [Whole::Plain, Whole::Zstd, Whole::Gzip];

fn json(request: &[u8]) -> Vec<u8> {
    let mut json = Vec::new();
    forebay_otlp::json::encode_request(request, &mut json);
    json
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 0).unwrap()
}

fn append(message: Message, request: &[u8], out: &mut Vec<u8>) {
    let bytes = match message {
        Message::JsonLine | Message::Json => json(request),
        Message::Proto => request.to_vec(),
        Message::ZstdJson => zstd(&json(request)),
        Message::ZstdProto => zstd(request),
    };
    let framing = if message == Message::JsonLine { Framing::Lines } else { Framing::Lengths };
    framing.append(&bytes, out).unwrap();
}

fn compress(whole: Whole, bytes: &[u8]) -> Vec<u8> {
    match whole {
        Whole::Plain => bytes.to_vec(),
        // In two members each, as files that are joined have.
        Whole::Zstd => {
            let (first, second) = bytes.split_at(bytes.len() / 2);
            [zstd(first), zstd(second)].concat()
        }
        Whole::Gzip => {
            let gzip = |bytes: &[u8]| {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            };
            let (first, second) = bytes.split_at(bytes.len() / 2);
            [gzip(first), gzip(second)].concat()
        }
    }
}

fn recording(message: Message, whole: Whole, requests: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    requests.iter().for_each(|request| append(message, request, &mut out));
    compress(whole, &out)
}

/// Gives a few bytes at a time, and an interruption before each.
struct Pieces {
    bytes: Cursor<Vec<u8>>,
    sizes: Vec<usize>,
    turn: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(2) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = self.sizes.get(self.turn / 2 % self.sizes.len().max(1)).copied().unwrap_or(1).max(1);
        let most = size.min(buffer.len());
        self.bytes.read(&mut buffer[..most])
    }
}

fn pieces(bytes: Vec<u8>, sizes: Vec<usize>) -> Pieces {
    Pieces { bytes: Cursor::new(bytes), sizes, turn: 0 }
}

/// Everything in it: requests, and what could not be read.
fn read_all(raw: impl Read + Send + 'static) -> (Vec<Vec<u8>>, Vec<ReadError>) {
    let (mut requests, mut errors) = (Vec::new(), Vec::new());
    let mut reader = match Reader::new(raw) {
        Ok(reader) => reader,
        Err(error) => return (requests, vec![error]),
    };
    loop {
        match reader.read() {
            Ok(Some(record)) => {
                assert_eq!(forebay_otlp::traces::validate(record.request), Ok(record.stats));
                requests.push(record.request.to_vec());
            }
            Ok(None) => return (requests, errors),
            Err(error) => errors.push(error),
        }
    }
}

fn some_requests(count: u64) -> Vec<Vec<u8>> {
    (0..count)
        .map(|trace| requests::request(trace, 0, 1 + trace % 3, Some(("task.priority", "high"))))
        .collect()
}

/// As the words say it, without what JSON cannot carry.
fn said(errors: &[ReadError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_however_it_is_split(
        count in 0_u64..12,
        message in prop::sample::select(MESSAGES.to_vec()),
        whole in prop::sample::select(WHOLES.to_vec()),
        sizes in vec(1_usize..40, 1..8),
    ) {
        let requests = some_requests(count);
        let (found, errors) = read_all(pieces(recording(message, whole, &requests), sizes));
        prop_assert_eq!(said(&errors), Vec::<String>::new());
        prop_assert_eq!(found, requests);
    }

    #[test]
    fn a_recording_that_is_cut_off_gives_what_is_whole(
        message in prop::sample::select(MESSAGES.to_vec()),
        whole in prop::sample::select(WHOLES.to_vec()),
        cut in 0.0_f64..1.0,
    ) {
        let requests = some_requests(6);
        let mut bytes = recording(message, whole, &requests);
        bytes.truncate((bytes.len() as f64 * cut) as usize);
        let (found, errors) = read_all(Cursor::new(bytes));
        prop_assert!(requests.starts_with(&found));
        prop_assert!(errors.len() <= 1, "{:?}", errors);
        // Two bytes of zstd's mark are no mark yet, so that a few cuts look like a length.
        let explained = errors.iter().all(|error| error.is_cut_off() || found.is_empty());
        prop_assert!(explained, "{:?}", errors);
        if whole == Whole::Plain && message != Message::JsonLine {
            prop_assert!(errors.is_empty() || errors[0].place.record == found.len() as u64 + 1);
        }
    }

    #[test]
    fn damage_and_garbage_never_panic(
        message in prop::sample::select(MESSAGES.to_vec()),
        whole in prop::sample::select(WHOLES.to_vec()),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        garbage in vec(any::<u8>(), 0..60),
    ) {
        let mut bytes = recording(message, whole, &some_requests(4));
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_all(Cursor::new(bytes));
        read_all(Cursor::new(garbage));
    }
}

#[test]
fn a_bad_record_is_named_and_placed_and_the_next_one_read() {
    let requests = some_requests(3);
    let mut bytes = Vec::new();
    append(Message::Proto, &requests[0], &mut bytes);
    let at = bytes.len();
    Framing::Lengths.append(b"\xff\xff garbage", &mut bytes).unwrap();
    append(Message::ZstdJson, &requests[1], &mut bytes);
    let (found, errors) = read_all(Cursor::new(bytes));
    assert_eq!(found, requests[..2]);
    let message = said(&errors).remove(0);
    assert!(
        message.starts_with(&format!("record 2 (byte {at}): is no OTLP trace request in protobuf")),
        "{message}"
    );

    let mut bytes = Vec::new();
    append(Message::JsonLine, &requests[0], &mut bytes);
    bytes.extend(b"\n{\"resourceSpans\": 7}\n");
    append(Message::JsonLine, &requests[1], &mut bytes);
    let at = json(&requests[0]).len() + 2;
    let (found, errors) = read_all(Cursor::new(bytes));
    assert_eq!(found, requests[..2]);
    let message = said(&errors).remove(0);
    assert!(
        message.starts_with(&format!(
            "line 3 (record 2, byte {at}): is no OTLP trace request in JSON: column 1"
        )),
        "{message}"
    );
}

#[test]
fn what_is_no_recording_is_an_end() {
    for bytes in [&b"not a recording"[..], b"\x1f\x8b not gzip", b"\x28\xb5\x2f\xfd not zstd"] {
        let (found, errors) = read_all(Cursor::new(bytes));
        assert_eq!((found.len(), errors.len()), (0, 1), "{errors:?}");
        assert!(errors[0].is_end(), "{errors:?}");
    }
    let (_, errors) = read_all(Cursor::new(b"\x7f\xff\xff\xff"));
    assert!(matches!(errors[0].problem, Problem::Length(0x7fff_ffff)));
}

#[test]
fn blank_lines_zeros_and_a_byte_order_mark_are_nothing() {
    let requests = some_requests(1);
    let mut text = b"\xef\xbb\xbf\n \r\n".to_vec();
    text.extend(json(&requests[0]));
    let (found, errors) = read_all(Cursor::new(text));
    assert_eq!((found, errors.len()), (requests.clone(), 0));
    let mut proto = recording(Message::Proto, Whole::Plain, &requests);
    proto.extend([0; 4096]);
    let (found, errors) = read_all(Cursor::new(proto));
    assert_eq!((found, errors.len()), (requests, 0));
    let (found, errors) = read_all(io::empty());
    assert_eq!((found.len(), errors.len()), (0, 0));
}

#[test]
fn a_bomb_is_not_inflated() {
    let bomb = zstd(&vec![b' '; MAX_MESSAGE + 1]);
    let mut bytes = Vec::new();
    Framing::Lengths.append(&bomb, &mut bytes).unwrap();
    append(Message::Proto, &some_requests(1)[0], &mut bytes);
    let (found, errors) = read_all(Cursor::new(bytes));
    assert_eq!(found.len(), 1, "the next one is read");
    assert!(matches!(errors[0].problem, Problem::Inflated), "{errors:?}");
}
