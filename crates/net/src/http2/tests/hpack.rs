//! Header compression (RFC 7541).

use super::super::head::is_header;
use super::super::hpack::{Decoder, Header, put_header, put_status};
use super::super::huffman;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

type Headers = Vec<(Vec<u8>, Vec<u8>)>;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Option<Headers> {
    let mut headers = Vec::new();
    let read = decoder.decode(block, |Header { name, value, checked }| {
        if checked && !name.starts_with(b":") {
            let (name, value) = (HeaderName::from_lowercase(name), HeaderValue::from_bytes(value));
            assert!(name.is_ok() && value.is_ok());
        }
        headers.push((name.to_vec(), value.to_vec()));
    });
    read.is_ok().then_some(headers)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter_map(|c| (c as char).to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn text(headers: &Headers) -> String {
    let line = |(name, value): &(Vec<u8>, Vec<u8>)| {
        format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
    };
    headers.iter().map(line).collect::<Vec<_>>().join("; ")
}

/// The examples of appendix C.3 and C.4: the same requests, plain and Huffman-coded.
#[test]
fn the_examples_of_the_specification_are_read() {
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let coded = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::default();
        let read: Vec<_> =
            blocks.iter().map(|block| text(&decode(&mut decoder, &hex(block)).unwrap())).collect();
        assert_eq!(
            read,
            [
                ":method: GET; :scheme: http; :path: /; :authority: www.example.com",
                ":method: GET; :scheme: http; :path: /; :authority: www.example.com; cache-control: no-cache",
                ":method: GET; :scheme: https; :path: /index.html; :authority: www.example.com; \
                 custom-key: custom-value",
            ]
        );
    }
}

/// The second and third response of appendix C.5 evict entries from a table of 256 bytes.
#[test]
fn what_does_not_fit_the_table_is_evicted() {
    let mut decoder = Decoder::default();
    // Appendix C.5 sets the size by a setting; an update in the block does the same.
    let first = "3fe101 4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54\
                 6e1768747470733a2f2f7777772e6578616d706c652e636f6d";
    let headers = decode(&mut decoder, &hex(first)).unwrap();
    assert_eq!(
        text(&headers),
        ":status: 302; cache-control: private; date: Mon, 21 Oct 2013 20:13:21 GMT; location: https://www.example.com"
    );
    let second = decode(&mut decoder, &hex("4803333037c1c0bf")).unwrap();
    assert_eq!(
        text(&second),
        ":status: 307; cache-control: private; date: Mon, 21 Oct 2013 20:13:21 GMT; location: https://www.example.com"
    );
    // `:status: 302` is gone.
    assert!(decode(&mut decoder, &[0x80 | 66]).is_none());
    // A table of no size holds nothing, and an entry larger than the table empties it.
    assert!(decode(&mut decoder, &[0x20]).unwrap().is_empty());
    assert!(decode(&mut decoder, &[0x80 | 62]).is_none());
    assert!(decode(&mut decoder, &[0x40, 1, b'a', 1, b'b']).is_some());
    assert!(decode(&mut decoder, &[0x80 | 62]).is_none());
}

#[test]
fn what_is_no_hpack_is_refused() {
    for bad in [
        "80",
        "ff",
        "ffffffffff7f",
        "40",
        "4001",
        "400161",
        "40016101",
        "c6",
        "be",
        "3fe21f",
        "8220",
        "4081ff00",
        "4084ffffffff00",
        "0f",
    ] {
        assert!(decode(&mut Decoder::default(), &hex(bad)).is_none(), "{bad}");
    }
}

/// How a header is written.
#[derive(Clone, Copy, Debug)]
enum Way {
    Plain,
    Coded,
    Indexed,
    NeverIndexed,
}

fn put(out: &mut Vec<u8>, way: Way, name: &[u8], value: &[u8]) {
    let (first, coded) = match way {
        Way::Plain => (0, false),
        Way::Coded => (0, true),
        Way::Indexed => (0x40, true),
        Way::NeverIndexed => (0x10, false),
    };
    out.push(first);
    for text in [name, value] {
        let text = if coded { huffman::encode(text) } else { text.to_vec() };
        let mut literal = Vec::new();
        put_header(&mut literal, &text, b"");
        // Without what says that it is a literal, and without the empty value.
        let mut literal = literal[1..literal.len() - 1].to_vec();
        literal[0] |= u8::from(coded) << 7;
        out.extend_from_slice(&literal);
    }
}

proptest! {
    #[test]
    fn coded_text_is_read_back(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut read = Vec::new();
        prop_assert!(huffman::decode(&huffman::encode(&text), &mut read));
        prop_assert_eq!(read, text);
    }

    /// Padding must be ones, and less than a byte.
    #[test]
    fn wrong_padding_is_refused(text in "[a-z]{1,20}", extra in any::<u8>()) {
        let mut coded = huffman::encode(text.as_bytes());
        coded.push(0xff);
        let mut read = Vec::new();
        prop_assert!(!huffman::decode(&coded, &mut read));
        *coded.last_mut().unwrap() = extra;
        let mut read = Vec::new();
        if huffman::decode(&coded, &mut read) {
            prop_assert_eq!(huffman::encode(&read), coded);
        }
    }

    #[test]
    fn headers_are_read_back_whatever_way_they_are_written(
        blocks in prop::collection::vec(
            prop::collection::vec(
                ("[a-z-]{1,40}", "[ -~]{0,300}", prop_oneof![
                    Just(Way::Plain), Just(Way::Coded), Just(Way::Indexed), Just(Way::NeverIndexed),
                ]),
                0..10,
            ),
            1..5,
        ),
    ) {
        let mut decoder = Decoder::default();
        let mut newest: Option<(String, String)> = None;
        for headers in blocks {
            let mut block = Vec::new();
            let mut expected: Headers = Vec::new();
            for (name, value, way) in headers {
                put(&mut block, way, name.as_bytes(), value.as_bytes());
                expected.push((name.clone().into(), value.clone().into()));
                if matches!(way, Way::Indexed) {
                    newest = Some((name, value));
                }
                if let Some((name, value)) = &newest {
                    block.push(0x80 | 62);
                    expected.push((name.clone().into(), value.clone().into()));
                }
            }
            prop_assert_eq!(decode(&mut decoder, &block), Some(expected));
        }
    }

    #[test]
    fn any_bytes_can_be_read(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..10)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            let _ = decode(&mut decoder, &block);
        }
    }
}

#[test]
fn answers_are_plain_hpack() {
    let mut block = Vec::new();
    put_status(&mut block, 200);
    put_status(&mut block, 415);
    put_header(&mut block, b"name", &[b'v'; 400]);
    let headers = decode(&mut Decoder::default(), &block).unwrap();
    assert_eq!(text(&headers), format!(":status: 200; :status: 415; name: {}", "v".repeat(400)));
}

/// A text that is remembered is that text only.
#[test]
fn a_text_that_comes_again_is_read_again() {
    let mut decoder = Decoder::default();
    let paths =
        [b"/opentelemetry.proto/Export", b"/opentelemetry.proto/Exporu", b"/opentelemetry.proto/Export"];
    let mut broken = Vec::new();
    put(&mut broken, Way::Coded, b"a", paths[0]);
    // All ones: the end of a text, which may not be coded.
    broken.splice(broken.len() - 8.., [0xff; 8]);
    for path in paths {
        for _ in 0..2 {
            let mut block = Vec::new();
            put(&mut block, Way::Coded, b"a", path);
            assert_eq!(decode(&mut decoder, &block).unwrap(), [(b"a".to_vec(), path.to_vec())]);
        }
        assert!(decode(&mut decoder, &broken).is_none());
    }
}

/// What HTTP allows in a header is what the library says that serves HTTP.
#[test]
fn headers_are_what_the_library_takes_for_them() {
    for byte in 0..=u8::MAX {
        for text in [vec![byte], vec![b'a', byte], vec![byte, b'z']] {
            // The library takes quotes in names, which are no part of a token.
            let is_name = HeaderName::from_lowercase(&text).is_ok() && byte != b'"';
            assert_eq!(is_header(&text, b""), is_name, "{text:?}");
            assert_eq!(is_header(b"a", &text), HeaderValue::from_bytes(&text).is_ok(), "{text:?}");
        }
    }
    assert!(!is_header(b"", b""));
}
