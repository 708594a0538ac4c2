//! Clients that break the rules, and what others notice of it: nothing.

use crate::budget::ByteBudget;
use crate::http_server::HttpHandler;
use crate::intake::Intake;
use crate::metrics::TransportMetrics;
use forebay_net::server::{ServerOptions, serve_connection};
use std::time::Duration;

use super::support::{BOTH, Running, both, post, request, start, wire};
use forebay_testkit::Sink;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of an export as HPACK has it without compression.
fn headers() -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/opentelemetry.proto.collector.trace.v1.TraceService/Export"),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        block.push(name.len() as u8);
        block.extend_from_slice(name.as_bytes());
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// Sends bytes, then reads until the server closes; what it said.
async fn hurl(address: SocketAddr, bytes: &[u8], then_close: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    if then_close {
        let _ = stream.shutdown().await;
    }
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    reply
}

async fn assert_unharmed(running: &Running, sink: &Sink) {
    running.assert_serves(sink).await;
    assert_eq!(running.metric("forebay_receiver_in_flight_bytes", &[]), 0.0);
}

#[tokio::test]
async fn garbage_on_either_port_ends_that_connection_only() {
    let (running, sink) = both().await;
    let mut old = running.grpc().await;
    old.export(request(1)).await.unwrap();
    let noise: Vec<u8> = (0..20_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for address in [running.grpc_addr(), running.http_addr()] {
        hurl(address, &noise, true).await;
        hurl(address, &[PREFACE, &noise].concat(), true).await;
        hurl(address, b"\0", true).await;
        hurl(address, b"", true).await;
    }
    hurl(running.grpc_addr(), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", true).await;
    old.export(request(1)).await.unwrap();
    assert_unharmed(&running, &sink).await;
    running.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_cut_off_anywhere_gives_back_what_it_held() {
    let (running, sink) = both().await;
    let message = wire(&request(20));
    let framed = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
    let whole = [
        PREFACE,
        &frame(4, 0, 0, &[]),
        &frame(1, 4, 1, &headers()),
        &frame(0, 0, 1, &framed[..500]),
        &frame(0, 1, 1, &framed[500..]),
    ]
    .concat();
    for cut in [10, 24, 30, 33, 60, 120, 200, 260, 500, whole.len() - 1] {
        hurl(running.grpc_addr(), &whole[..cut], true).await;
    }
    assert_eq!(sink.items(), 0);
    // The same over HTTP/1.1.
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        message.len()
    );
    let whole = [head.as_bytes(), &message].concat();
    for cut in [5, head.len(), head.len() + 100, whole.len() - 1] {
        hurl(running.http_addr(), &whole[..cut], true).await;
    }
    let chunked = b"POST /v1/traces HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\
        content-type: application/x-protobuf\r\n\r\nzz\r\n";
    hurl(running.http_addr(), chunked, true).await;
    assert_eq!(sink.items(), 0);
    assert_unharmed(&running, &sink).await;
    running.stop().await;
}

#[tokio::test]
async fn wrong_grpc_framing_is_an_invalid_argument() {
    let (running, sink) = both().await;
    let message = wire(&request(1));
    let prefix = |flag: u8, length: usize| [&[flag][..], &(length as u32).to_be_bytes()].concat();
    for body in [
        vec![],
        vec![0, 0, 0],
        [&prefix(0, message.len() + 1)[..], &message].concat(),
        [&prefix(0, message.len() - 1)[..], &message].concat(),
        [&prefix(2, message.len())[..], &message].concat(),
        // Compressed, without a grpc-encoding.
        [&prefix(1, message.len())[..], &message].concat(),
        [&prefix(0, message.len())[..], &message, &prefix(0, message.len()), &message].concat(),
    ] {
        let bytes =
            [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 4, 1, &headers()), &frame(0, 1, 1, &body)].concat();
        let mut stream = TcpStream::connect(running.grpc_addr()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        // HPACK writes `grpc-status: 3` as a literal; its value is Huffman-coded in one byte or plain.
        let mut reply = Vec::new();
        let mut piece = [0; 4096];
        while !ends_stream(&reply, 1) {
            let read = stream.read(&mut piece).await.unwrap();
            assert_ne!(read, 0, "closed without an answer");
            reply.extend_from_slice(&piece[..read]);
        }
    }
    assert_eq!(running.metric("forebay_receiver_bad_requests", &[("reason", "malformed")]), 7.0);
    assert_eq!(sink.items(), 0);
    assert_unharmed(&running, &sink).await;
    running.stop().await;
}

/// Whether the frames in `bytes` hold one that ends `stream`.
fn ends_stream(mut bytes: &[u8], stream: u32) -> bool {
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if rest.len() < length {
            return false;
        }
        if id == stream && matches!(head[3], 0 | 1) && head[4] & 1 == 1 {
            return true;
        }
        bytes = &rest[length..];
    }
    false
}

#[tokio::test]
async fn requests_beyond_the_budget_are_refused_and_the_budget_comes_back() {
    let sink = Arc::new(Sink::default());
    let yaml = "{max_in_flight_bytes: 20MiB, protocols: {http: {endpoint: '127.0.0.1:0'}}}";
    let running = start(yaml, sink.clone()).await;
    // One client holds most of the budget in an unfinished body.
    let mut slow = TcpStream::connect(running.http_addr()).await.unwrap();
    let held = 19 << 20;
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        20 << 20
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(&vec![0; held]).await.unwrap();
    while running.metric("forebay_receiver_in_flight_bytes", &[]) < held as f64 {
        tokio::task::yield_now().await;
    }
    let large = wire(&request(60_000));
    assert!(large.len() > 2 << 20);
    let reply = post(running.http_addr(), "application/x-protobuf", &[], large).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, "1"));
    assert!(reply.status_message().1.contains("max_in_flight_bytes"));
    // Decompression counts too.
    let bomb = forebay_net::compress(forebay_net::Compression::Gzip, &vec![0; 10 << 20]).unwrap();
    let gzip = [("content-encoding", "gzip")];
    let reply = post(running.http_addr(), "application/x-protobuf", &gzip, bomb).await;
    assert_eq!(reply.status, 429);
    let small = post(running.http_addr(), "application/x-protobuf", &[], wire(&request(1))).await;
    assert_eq!(small.status, 200);
    drop(slow);
    while running.metric("forebay_receiver_in_flight_bytes", &[]) > 0.0 {
        tokio::task::yield_now().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn messages_of_64_mebibytes_are_refused_while_small_ones_pass() {
    let sink = Arc::new(Sink::default());
    let running = start(BOTH, sink.clone()).await;
    let huge = bytes::Bytes::from(vec![0; 64 << 20]);
    let address = running.http_addr();
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let huge = huge.clone();
            tokio::spawn(async move { post(address, "application/x-protobuf", &[], huge).await.status })
        })
        .collect();
    running.assert_serves(&sink).await;
    for call in calls {
        assert_eq!(call.await.unwrap(), 413);
    }
    assert_unharmed(&running, &sink).await;
    running.stop().await;
}

/// An HTTP handler over a pipe, with the clock paused: the second at which it answered a body that stops, and what.
async fn stalled(read_timeout: Option<Duration>) -> (u64, String) {
    let sink = Arc::new(Sink::default());
    let context = forebay_testkit::context(forebay_telemetry::Kind::Receiver, "otlp");
    let handler = HttpHandler {
        intake: Arc::new(Intake::new(sink, TransportMetrics::new(&context, "http"))),
        budget: ByteBudget::new(1 << 20),
        traces_path: "/v1/traces".to_owned(),
        max_body: 1 << 20,
        compressions: vec![],
        cors: None,
        response_headers: http::HeaderMap::new(),
        include_metadata: false,
        read_timeout,
        write_timeout: None,
    };
    let (mut client, stream) = tokio::io::duplex(4096);
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let stop = tokio_util::sync::CancellationToken::new();
    let options = Arc::new(ServerOptions::default());
    tokio::spawn(serve_connection(Box::new(stream), peer, options, Arc::new(handler), stop));
    let born = tokio::time::Instant::now();
    let head =
        b"POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n";
    client.write_all(head).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    client.write_all(b"{").await.unwrap();
    let mut reply = vec![0; 12];
    client.read_exact(&mut reply).await.unwrap();
    let bad = forebay_testkit::metric(
        &context.telemetry,
        "forebay_receiver_bad_requests",
        &[("reason", "stalled")],
    );
    assert_eq!(bad, 1.0);
    (born.elapsed().as_secs(), String::from_utf8(reply).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_is_given_up() {
    assert_eq!(stalled(None).await, (34, "HTTP/1.1 408".to_owned()));
    assert_eq!(stalled(Some(Duration::from_secs(7))).await, (7, "HTTP/1.1 408".to_owned()));
}

/// Heads that a few bytes stand for (HPACK) are held with their calls: they count, and are refused beyond the budget.
#[tokio::test]
async fn large_heads_count_as_bodies_do() {
    let sink = Arc::new(Sink::default());
    let yaml = "{max_in_flight_bytes: 4MiB, protocols: {grpc: {endpoint: '127.0.0.1:0'}}}";
    let running = start(yaml, sink).await;
    let long = [&headers()[..], &[0x40, 1, b'a', 0x7f, 0x80 | 33, 30], &[b'x'; 4000]].concat();
    let mut bytes = [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 4, 1, &long)].concat();
    let again = [&headers()[..], &[0x80 | 62; 3]].concat();
    for call in 1..200 {
        bytes.extend(frame(1, 4, call * 2 + 1, &again));
    }
    let mut stream = TcpStream::connect(running.grpc_addr()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let refused = |reason| running.metric("forebay_receiver_bad_requests", &[("reason", reason)]);
    let mut reply = Vec::new();
    while !ends_stream(&reply, 399) {
        assert_ne!(stream.read_buf(&mut reply).await.unwrap(), 0);
    }
    let held = running.metric("forebay_receiver_in_flight_bytes", &[]);
    assert!(held > 4e6, "{held}, {}", refused("malformed"));
    drop(stream);
    while running.metric("forebay_receiver_in_flight_bytes", &[]) > 0.0 {
        tokio::task::yield_now().await;
    }
    running.stop().await;
}

/// What a client sent is not repeated to it at any length.
#[tokio::test]
async fn long_names_are_quoted_in_part() {
    let (running, _) = both().await;
    let path = format!("/{}", "\u{20ac}".repeat(1000));
    let length = path.len() - 0x7f;
    let block = [&[0x83, 0x86, 0x04, 0x7f, 0x80 | length as u8, (length >> 7) as u8][..], path.as_bytes()];
    let block = [&block.concat()[..], b"\x0f\x10\x10application/grpc"].concat();
    let bytes = [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 5, 1, &block)].concat();
    let mut stream = TcpStream::connect(running.grpc_addr()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut reply = Vec::new();
    while !ends_stream(&reply, 1) {
        assert_ne!(stream.read_buf(&mut reply).await.unwrap(), 0);
    }
    let said = String::from_utf8_lossy(&reply);
    assert!(said.contains("/%E2%82%AC%E2%82%AC") && reply.len() < 700, "{said}");
    running.stop().await;
}

#[test]
fn the_first_bytes_of_a_body_make_little_room() {
    let mut body = crate::receive::Body::new(ByteBudget::new(1 << 20).share());
    body.add(b"x", 4 << 20, |_| Ok(Some(4 << 20))).unwrap();
    assert!(body.bytes.capacity() < 100);
    body.add(&[0; 5000], 4 << 20, |_| Ok(Some(4 << 20))).unwrap();
    assert_eq!(body.bytes.capacity(), 256 << 10);
}
