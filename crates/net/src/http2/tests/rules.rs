//! Clients that break the rules (RFC 9113): what they are told, and that it costs nobody else anything.

use super::super::frame::{Code, setting};
use super::*;

const HEADERS: u8 = kind::HEADERS;
const DATA: u8 = kind::DATA;

/// What a client is told that sends this after its settings: the error of the connection.
async fn goaway(bytes: &[u8]) -> u32 {
    let mut connection = connect(ServerOptions { max_concurrent_streams: 2, ..ServerOptions::default() });
    connection.send(&[&hello(&[])[..], bytes].concat()).await;
    let (said, at) = connection.ended().await;
    assert_eq!(at, 0);
    frames(&said).iter().rfind(|sent| sent.kind == kind::GOAWAY).unwrap().code()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_go_on_ends_with_the_reason() {
    let (protocol, flow, size) = (Code::Protocol as u32, Code::FlowControl as u32, Code::FrameSize as u32);
    let (compression, calm) = (Code::Compression as u32, Code::EnhanceYourCalm as u32);
    let open = frame(HEADERS, flag::END_HEADERS, 1, &block("/0"));
    let after = |bytes: Vec<u8>| [open.clone(), bytes].concat();
    let setting = |number: u16, value: u32| {
        frame(kind::SETTINGS, 0, 0, &[&number.to_be_bytes()[..], &value.to_be_bytes()].concat())
    };
    let window = |stream, bytes: u32| frame(kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    let part = frame(HEADERS, 0, 1, &block("/0"));
    for (case, bytes, code) in [
        ("data without a head", frame(DATA, 0, 1, b"x"), protocol),
        ("data on no stream", frame(DATA, 0, 0, b"x"), protocol),
        ("data on a stream of the server", frame(DATA, 0, 2, b"x"), protocol),
        ("a head on no stream", frame(HEADERS, 4, 0, &block("/0")), protocol),
        ("a head on a stream of the server", frame(HEADERS, 4, 2, &block("/0")), protocol),
        ("settings on a stream", frame(kind::SETTINGS, 0, 1, &[]), protocol),
        ("half a setting", frame(kind::SETTINGS, 0, 0, &[0; 5]), size),
        ("an acknowledgement with settings", frame(kind::SETTINGS, 1, 0, &[0; 6]), size),
        ("a window beyond 31 bits", setting(setting::INITIAL_WINDOW_SIZE, 1 << 31), flow),
        ("frames too small", setting(setting::MAX_FRAME_SIZE, 100), protocol),
        ("frames too large", setting(setting::MAX_FRAME_SIZE, 1 << 24), protocol),
        ("a ping on a stream", frame(kind::PING, 0, 1, &[0; 8]), protocol),
        ("a short ping", frame(kind::PING, 0, 0, &[0; 7]), size),
        ("a push", frame(kind::PUSH_PROMISE, 4, 1, &[0; 4]), protocol),
        ("a reset of nothing", frame(kind::RST_STREAM, 0, 1, &[0; 4]), protocol),
        ("a short reset", after(frame(kind::RST_STREAM, 0, 1, &[0; 3])), size),
        ("leave for nothing", window(1, 1), protocol),
        ("leave to send nothing", window(0, 0), protocol),
        ("leave to send too much", window(0, u32::MAX >> 1), flow),
        ("a continuation of nothing", frame(kind::CONTINUATION, 4, 1, &[]), protocol),
        ("data within a head", [part.clone(), frame(DATA, 0, 1, b"x")].concat(), protocol),
        (
            "another stream within a head",
            [part.clone(), frame(kind::CONTINUATION, 4, 3, &[0])].concat(),
            protocol,
        ),
        ("an empty continuation", [part.clone(), frame(kind::CONTINUATION, 0, 1, &[])].concat(), calm),
        (
            "a head without end",
            [part.clone(), frame(kind::CONTINUATION, 0, 1, &[0; 32 << 10])].concat(),
            calm,
        ),
        ("a head that is not HPACK", frame(HEADERS, 4, 1, &[0xff, 0xff, 0xff]), compression),
        ("padding beyond the head", frame(HEADERS, 4 | flag::PADDED, 1, &[9, 0x83]), protocol),
        ("padding without a length", frame(HEADERS, 4 | flag::PADDED, 1, &[]), size),
        ("a priority without room", frame(HEADERS, 4 | flag::PRIORITY, 1, &[0; 4]), size),
        ("padding beyond the data", after(frame(DATA, flag::PADDED, 1, &[3, 0, 0])), protocol),
        ("padding of data without a length", after(frame(DATA, flag::PADDED, 1, &[])), size),
        ("a frame too large", after([&[0x10, 0, 1, DATA, 0, 0, 0, 0, 1][..], &[0; 10]].concat()), size),
    ] {
        assert_eq!(goaway(&bytes).await, code, "{case}");
    }
    let mut connection = connect(ServerOptions::default());
    connection.send(&[PREFACE, &frame(kind::PING, 0, 0, &[0; 8])].concat()).await;
    assert_eq!(frames(&connection.ended().await.0).pop().unwrap().code(), protocol);
    // Not HTTP at all.
    let mut connection = connect(ServerOptions::default());
    connection.send(&[0; 100]).await;
    assert_eq!(frames(&connection.ended().await.0).pop().unwrap().code(), protocol);
}

/// What a stream is told; the connection serves the next one.
async fn reset(bytes: &[u8]) -> (u32, u32) {
    let mut connection = connect(ServerOptions { max_concurrent_streams: 2, ..ServerOptions::default() });
    connection.send(&[&hello(&[])[..], bytes].concat()).await;
    let reset = connection.next_of(kind::RST_STREAM).await;
    for open in [1, 3, 5] {
        connection.send(&frame(kind::RST_STREAM, 0, open, &[0; 4])).await;
        if open >= reset.stream {
            break;
        }
    }
    // Calls that were taken back count until they have been answered.
    tokio::time::sleep(Duration::from_secs(10)).await;
    connection.send(&request(7, "/0", b"good")).await;
    assert_eq!(connection.next_of(DATA).await.payload, framed(b"good"));
    (reset.stream, reset.code())
}

#[tokio::test(start_paused = true)]
async fn a_bad_request_ends_its_stream_only() {
    let (protocol, closed) = (Code::Protocol as u32, Code::StreamClosed as u32);
    let head = |block: &[u8]| frame(HEADERS, flag::END_HEADERS, 1, block);
    let open = head(&block("/0"));
    let with = |name: &str, value: &str| {
        let mut block = block("/0");
        super::super::hpack::put_header(&mut block, name.as_bytes(), value.as_bytes());
        head(&block)
    };
    let window = |stream, bytes: u32| frame(kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    for (case, bytes, stream, code) in [
        ("no path", head(&[0x83, 0x86]), 1, protocol),
        ("two methods", head(&[0x83, 0x83, 0x84]), 1, protocol),
        ("a pseudo header after others", with(":scheme", "http"), 1, protocol),
        ("an unknown pseudo header", head(&[0x83, 0x84, 0x88]), 1, protocol),
        ("a name in capitals", with("Content-Length", "1"), 1, protocol),
        ("a value with a line break", with("a", "b\r\nc"), 1, protocol),
        ("leave to send nothing", [open.clone(), window(1, 0)].concat(), 1, protocol),
        (
            "leave to send too much",
            [open.clone(), window(1, u32::MAX >> 1)].concat(),
            1,
            Code::FlowControl as u32,
        ),
        ("a second head", [open.clone(), open.clone()].concat(), 1, protocol),
        ("data after the end", [request(1, "/9", b""), frame(DATA, 0, 1, b"x")].concat(), 1, closed),
        (
            "a head after the end",
            [request(1, "/9", b""), frame(HEADERS, 5, 1, &block("/0"))].concat(),
            1,
            closed,
        ),
        ("too many", [request(1, "/9", b""), request(3, "/9", b""), request(5, "/9", b"")].concat(), 5, 7),
        ("a request that is not wanted", head(&block("/refuse")), 1, 0),
    ] {
        assert_eq!(reset(&bytes).await, (stream, code), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_odd_but_allowed_is_served() {
    let mut padded_block = vec![3];
    padded_block.extend_from_slice(&[0, 0, 0, 0, 16]);
    padded_block.extend_from_slice(&block("/0"));
    padded_block.extend_from_slice(&[0; 3]);
    let (first, second) = padded_block.split_at(20);
    let whole_head = frame(HEADERS, 4 | flag::PADDED | flag::PRIORITY, 1, &padded_block);
    let plain = block("/0");
    let cases = [
        ("padding and priority", [whole_head, frame(DATA, 1 | flag::PADDED, 1, b"\x02odd\0\0")].concat()),
        (
            "only padding",
            [frame(HEADERS, 4, 1, &plain), frame(DATA, flag::PADDED, 1, &[1, 0]), frame(DATA, 1, 1, b"odd")]
                .concat(),
        ),
        (
            "a head in pieces",
            [
                frame(HEADERS, 0, 1, &plain[..7]),
                frame(kind::CONTINUATION, 0, 1, &plain[7..9]),
                frame(kind::CONTINUATION, 4, 1, &plain[9..]),
                frame(DATA, 1, 1, b"odd"),
            ]
            .concat(),
        ),
        (
            "empty data",
            [
                frame(HEADERS, 4, 1, &plain),
                frame(DATA, 0, 1, b""),
                frame(DATA, 0, 1, b"odd"),
                frame(DATA, 1, 1, b""),
            ]
            .concat(),
        ),
        (
            "trailers",
            [frame(HEADERS, 4, 1, &plain), frame(DATA, 0, 1, b"odd"), frame(HEADERS, 5, 1, &[])].concat(),
        ),
        (
            "frames nobody knows",
            [frame(0x42, 1, 1, b"what"), frame(0xff, 0xff, 0, &[7; 40_000]), request(1, "/0", b"odd")]
                .concat(),
        ),
        (
            "priorities, a farewell, an old answer",
            [
                frame(kind::PRIORITY, 0, 9, &[0; 5]),
                frame(kind::PING, flag::ACK, 0, &[1; 8]),
                frame(kind::GOAWAY, 0, 0, &[0; 8]),
                request(1, "/0", b"odd"),
            ]
            .concat(),
        ),
    ];
    assert!(!first.is_empty() && !second.is_empty());
    for (case, bytes) in cases {
        let mut connection = connect(ServerOptions::default());
        connection.send(&[hello(&[]), bytes].concat()).await;
        assert_eq!(connection.next_of(DATA).await.payload, framed(b"odd"), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_too_large_is_answered() {
    let mut large = block("/0");
    for number in 0..20 {
        super::super::hpack::put_header(&mut large, format!("a-{number}").as_bytes(), &[b'x'; 1000]);
    }
    let mut connection = connect(ServerOptions::default());
    let head = frame(HEADERS, flag::END_HEADERS, 1, &large);
    connection.send(&[hello(&[]), head, request(3, "/0", b"good")].concat()).await;
    assert_eq!(connection.next_of(HEADERS).await.payload, b"\x08\x03431");
    assert_eq!(connection.next_of(DATA).await.payload, framed(b"good"));
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_taken_back_are_given_up() {
    let mut connection = connect(ServerOptions::default());
    let open = frame(HEADERS, flag::END_HEADERS, 1, &block("/0"));
    let cancel = frame(kind::RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    connection.send(&[hello(&[]), open, frame(DATA, 0, 1, b"some"), cancel].concat()).await;
    // What still comes on it is skipped.
    connection.send(&[frame(DATA, 1, 1, b"more"), request(3, "/0", b"good")].concat()).await;
    assert_eq!(connection.next_of(DATA).await.payload, framed(b"good"));
    assert_eq!(*connection.echo.broken.lock().unwrap(), ["the client has taken the request back"]);
    // One that is being answered: nobody gets the answer.
    connection.send(&[request(5, "/5", b"late"), frame(kind::RST_STREAM, 0, 5, &[0; 4])].concat()).await;
    connection.send(&request(7, "/6", b"last")).await;
    let answer = connection.next_of(DATA).await;
    assert_eq!((answer.stream, answer.payload), (7, framed(b"last")));
    // And one whose client goes away.
    connection.send(&frame(HEADERS, flag::END_HEADERS, 9, &block("/0"))).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(connection.client);
    connection.task.await.unwrap();
    assert_eq!(connection.echo.broken.lock().unwrap().len(), 2);
    assert_eq!(connection.echo.reading.load(Ordering::Relaxed), 0);
}
