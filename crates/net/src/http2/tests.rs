//! Connections over pipes in memory, with the clock paused, and the state alone.

mod floods;
mod flow;
mod hpack;
mod pieces;
mod rules;
mod timeouts;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::frame::{FrameHead, HEAD, flag, kind, put_head};
use super::{Answer, Answered, Call, Calls, Head, PREFACE, PingPolicy, serve_calls};
use crate::server::{ReplyBody, ServerOptions};

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// Answers a body with itself, after as many seconds as the path says; `/work` takes two milliseconds of the thread's
/// time; `/refuse` is answered without reading it.
#[derive(Default)]
pub(super) struct Echo {
    /// Calls that are being read.
    reading: AtomicUsize,
    /// Calls that were refused.
    refused: AtomicUsize,
    /// The paths of calls in the order of their answers.
    answered: Mutex<Vec<String>>,
    /// What was said of those that broke.
    broken: Mutex<Vec<String>>,
}

pub(super) struct EchoCall {
    echo: Arc<Echo>,
    path: String,
    seconds: u64,
    body: Vec<u8>,
}

fn plain(status: u16, text: impl Into<Bytes>) -> Answer {
    Response::builder().status(status).body(ReplyBody::new(text)).unwrap().into()
}

impl Calls for Echo {
    fn begin(self: Arc<Self>, head: Arc<Head>, _: SocketAddr) -> Result<Box<dyn Call>, Answer> {
        if head.path() == b"/refuse" {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(plain(404, "not here"));
        }
        let path = String::from_utf8(head.path().to_vec()).unwrap();
        let seconds = path.trim_start_matches('/').parse().unwrap_or(0);
        self.reading.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(EchoCall { echo: self, path, seconds, body: Vec::new() }))
    }

    fn not_http2(&self) -> &'static str {
        "speak HTTP/2"
    }
}

impl Drop for EchoCall {
    fn drop(&mut self) {
        self.echo.reading.fetch_sub(1, Ordering::Relaxed);
    }
}

impl EchoCall {
    fn echo(&mut self) -> Answer {
        self.echo.answered.lock().unwrap().push(self.path.clone());
        Answer::Message(std::mem::take(&mut self.body).into())
    }
}

impl Call for EchoCall {
    fn data(&mut self, bytes: &[u8]) -> Result<(), Answer> {
        self.body.extend_from_slice(bytes);
        if self.body.len() > 8 << 20 { Err(plain(413, "too large")) } else { Ok(()) }
    }

    fn answer(mut self: Box<Self>) -> Answered {
        if self.seconds == 0 && !self.path.starts_with("/work") {
            return Answered::Now(self.echo());
        }
        Answered::Later(Box::pin(async move {
            if self.seconds > 0 {
                tokio::time::sleep(Duration::from_secs(self.seconds)).await;
            } else {
                tokio::time::advance(Duration::from_millis(2)).await;
            }
            self.echo()
        }))
    }

    fn stalled(self: Box<Self>) -> Answer {
        plain(408, "stalled")
    }

    fn broken(self: Box<Self>, why: &str) {
        self.echo.broken.lock().unwrap().push(why.to_owned());
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_head(&mut out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
    out
}

/// A head as HPACK has it without compression.
fn block(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    super::hpack::put_header(&mut block, b":path", path.as_bytes());
    super::hpack::put_header(&mut block, b"content-type", b"application/grpc");
    block
}

fn request(stream: u32, path: &str, body: &[u8]) -> Vec<u8> {
    let head = frame(kind::HEADERS, flag::END_HEADERS, stream, &block(path));
    [head, frame(kind::DATA, flag::END_STREAM, stream, body)].concat()
}

/// The preface and settings.
fn hello(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    super::frame::put_settings(&mut out, settings);
    out
}

/// One frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sent {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Sent {
    fn code(&self) -> u32 {
        let at = if self.kind == kind::GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

fn frames(mut bytes: &[u8]) -> Vec<Sent> {
    let mut found = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
        let head = FrameHead::read(*head);
        let (payload, rest) = rest.split_at(head.length);
        found.push(Sent {
            kind: head.kind,
            flags: head.flags,
            stream: head.stream,
            payload: payload.to_vec(),
        });
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame: {bytes:?}");
    found
}

/// The data that came on a stream.
fn data_of(frames: &[Sent], stream: u32) -> Vec<u8> {
    let data = frames.iter().filter(|sent| sent.kind == kind::DATA && sent.stream == stream);
    data.flat_map(|sent| sent.payload.clone()).collect()
}

/// A gRPC message as it is framed.
fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

struct Connection {
    client: DuplexStream,
    task: JoinHandle<()>,
    stop: CancellationToken,
    born: Instant,
    echo: Arc<Echo>,
}

fn connect(options: ServerOptions) -> Connection {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let (stop, echo) = (CancellationToken::new(), Arc::new(Echo::default()));
    let serving = serve_calls(Box::new(server), PEER, Arc::new(options), echo.clone(), stop.clone());
    Connection { client, task: tokio::spawn(serving), stop, born: Instant::now(), echo }
}

impl Connection {
    async fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    /// The next frame.
    async fn next(&mut self) -> Sent {
        let mut head = [0; HEAD];
        self.client.read_exact(&mut head).await.unwrap();
        let head = FrameHead::read(head);
        let mut payload = vec![0; head.length];
        self.client.read_exact(&mut payload).await.unwrap();
        Sent { kind: head.kind, flags: head.flags, stream: head.stream, payload }
    }

    /// The next frame of a kind; those before it are read for nothing.
    async fn next_of(&mut self, kind: u8) -> Sent {
        loop {
            let next = self.next().await;
            if next.kind == kind {
                return next;
            }
        }
    }

    /// What the server said, and the second at which the connection ended.
    async fn ended(mut self) -> (Vec<u8>, u64) {
        let mut said = Vec::new();
        let _ = self.client.read_to_end(&mut said).await;
        self.task.await.unwrap();
        assert_eq!(self.echo.reading.load(Ordering::Relaxed), 0);
        (said, self.born.elapsed().as_secs())
    }
}
