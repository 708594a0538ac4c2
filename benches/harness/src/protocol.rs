//! How requests are sent: encoding, compression, and the connection they go over.

use std::io::{Read, Write};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::write::GzEncoder;
use forebay_generator::client::EXPORT_PATH;
use forebay_generator::{Corpus, ReplayId};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::error::BenchError;

/// What the loader speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// OTLP/gRPC.
    #[default]
    Grpc,
    /// OTLP/HTTP, protobuf.
    Http,
    /// OTLP/HTTP, JSON.
    HttpJson,
}

/// How the loader compresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Zstd,
}

/// A request's JSON, its trace ids' places in it and the traces they are of.
type Text = (Vec<u8>, Vec<(usize, u32)>);

/// The requests as they are sent. What does not depend on the replay, and all compression, is done beforehand.
#[derive(Debug)]
pub struct Outgoing {
    protocol: Protocol,
    compression: Compression,
    /// Of each request, when sent as JSON.
    texts: Vec<Text>,
    /// Every request of every replay, when compressed.
    compressed: Vec<Bytes>,
}

impl Outgoing {
    /// Prepares `replays` replays of the corpus.
    pub fn new(
        corpus: &Corpus,
        replays: u32,
        protocol: Protocol,
        compression: Compression,
    ) -> Result<Self, BenchError> {
        let mut made = Self { protocol, compression, texts: Vec::new(), compressed: Vec::new() };
        if protocol == Protocol::HttpJson {
            made.texts = corpus.requests().iter().map(text).collect();
        }
        if compression != Compression::None {
            let mut compressed = Vec::new();
            for replay in 0..replays {
                for request in 0..corpus.requests().len() {
                    let plain = made.plain(corpus, request, replay, 0);
                    let packed = compress(compression, &plain);
                    compressed.push(packed.map_err(|error| BenchError::Load(error.to_string()))?.into());
                }
            }
            made.compressed = compressed;
        }
        Ok(made)
    }

    /// The body of a request as it goes over the connection.
    pub fn body(&self, corpus: &Corpus, request: usize, replay: u32) -> Bytes {
        let prefix = if self.protocol == Protocol::Grpc { 5 } else { 0 };
        let packed = self.compressed.get(replay as usize * corpus.requests().len() + request);
        let mut body = match packed {
            None => self.plain(corpus, request, replay, prefix),
            Some(packed) if prefix == 0 => return packed.clone(),
            Some(packed) => {
                let mut body = BytesMut::with_capacity(prefix + packed.len());
                body.put_bytes(0, prefix);
                body.put_slice(packed);
                body
            }
        };
        if prefix > 0 {
            let length = u32::try_from(body.len() - prefix).unwrap_or(u32::MAX);
            body[0] = u8::from(packed.is_some());
            body[1..prefix].copy_from_slice(&length.to_be_bytes());
        }
        body.freeze()
    }

    fn plain(&self, corpus: &Corpus, request: usize, replay: u32, prefix: usize) -> BytesMut {
        let mut body = BytesMut::new();
        match self.texts.get(request) {
            None => {
                let request = &corpus.requests()[request];
                body.reserve(prefix + request.wire_len());
                body.put_bytes(0, prefix);
                request.write(replay, &mut body);
            }
            Some((text, trace_ids)) => {
                body.extend_from_slice(text);
                for &(at, trace) in trace_ids {
                    hex(&ReplayId { replay, trace }.to_bytes(), &mut body[at..at + 32]);
                }
            }
        }
        body
    }

    fn headers(&self, endpoint: &str) -> http::request::Builder {
        let encoding = match self.compression {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        };
        let (path, kind, header) = match self.protocol {
            Protocol::Grpc => (EXPORT_PATH, "application/grpc", "grpc-encoding"),
            Protocol::Http => ("/v1/traces", "application/x-protobuf", "content-encoding"),
            Protocol::HttpJson => ("/v1/traces", "application/json", "content-encoding"),
        };
        let request = Request::post(format!("http://{endpoint}{path}")).header("content-type", kind);
        let request = match self.protocol {
            Protocol::Grpc => request.header("te", "trailers"),
            _ => request.header("host", endpoint),
        };
        encoding.into_iter().fold(request, |request, encoding| request.header(header, encoding))
    }
}

/// A request's JSON in replay 0, and its trace ids' places: spans stand in the same order in both encodings.
fn text(request: &forebay_generator::CorpusRequest) -> Text {
    const KEY: &[u8] = b"\"traceId\":\"";
    let (mut wire, mut text) = (Vec::new(), Vec::new());
    request.write(0, &mut wire);
    forebay_otlp::json::encode_request(&wire, &mut text);
    let mut trace_ids = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].windows(KEY.len()).position(|window| window == KEY) {
        at += found + KEY.len();
        let mut id = [0; 16];
        let digits = text.get(at..at + 32).and_then(|digits| std::str::from_utf8(digits).ok());
        for (byte, pair) in id.iter_mut().zip(0..) {
            let digits = digits.and_then(|digits| digits.get(pair * 2..pair * 2 + 2));
            *byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or_default();
        }
        // Links hold trace ids of others' making, which stay.
        if let Some(id) = ReplayId::from_bytes(&id) {
            trace_ids.push((at, id.trace));
        }
    }
    (text, trace_ids)
}

fn hex(id: &[u8; 16], to: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in id.iter().zip(to.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn compress(compression: Compression, plain: &[u8]) -> std::io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(plain.to_vec()),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(plain)?;
            encoder.finish()
        }
        Compression::Zstd => zstd::bulk::compress(plain, 1),
    }
}

/// What an attempt came to, when it was not taken.
#[derive(Debug)]
pub enum Failure {
    /// To be sent again.
    Refused(String),
    /// Not to be sent again.
    Failed(String),
}

/// A connection to the receiver.
#[derive(Debug)]
pub struct Connection {
    endpoint: String,
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(endpoint: &str, protocol: Protocol) -> Result<Self, BenchError> {
        let failed = |error: String| BenchError::Load(format!("cannot connect to {endpoint}: {error}"));
        let stream = TcpStream::connect(endpoint).await.map_err(|error| failed(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
        let io = TokioIo::new(stream);
        let sender = if protocol == Protocol::Grpc {
            let made = http2::handshake(TokioExecutor::new(), io)
                .await
                .map_err(|error| failed(error.to_string()))?;
            tokio::spawn(made.1);
            Sender::Http2(made.0)
        } else {
            let made = http1::handshake(io).await.map_err(|error| failed(error.to_string()))?;
            tokio::spawn(made.1);
            Sender::Http1(made.0)
        };
        Ok(Self { endpoint: endpoint.to_owned(), sender })
    }

    /// The same connection once more, where it carries several requests at a time; otherwise a new one.
    pub async fn another(&self, protocol: Protocol) -> Result<Self, BenchError> {
        match &self.sender {
            Sender::Http1(_) => Self::open(&self.endpoint, protocol).await,
            Sender::Http2(sender) => {
                Ok(Self { endpoint: self.endpoint.clone(), sender: Sender::Http2(sender.clone()) })
            }
        }
    }

    /// Sends a request once; returns the number of spans that were rejected for good.
    pub async fn send(
        &mut self,
        outgoing: &Outgoing,
        corpus: &Corpus,
        request: usize,
        replay: u32,
    ) -> Result<u64, Failure> {
        let failed = |error: hyper::Error| Failure::Failed(format!("the connection failed: {error}"));
        let body = Full::new(outgoing.body(corpus, request, replay));
        let request = outgoing
            .headers(&self.endpoint)
            .body(body)
            .map_err(|error| Failure::Failed(error.to_string()))?;
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(failed)?;
                sender.send_request(request).await.map_err(failed)?
            }
            Sender::Http2(sender) => {
                sender.ready().await.map_err(failed)?;
                sender.send_request(request).await.map_err(failed)?
            }
        };
        answer(outgoing, response).await
    }
}

async fn answer(outgoing: &Outgoing, response: http::Response<Incoming>) -> Result<u64, Failure> {
    let protocol = outgoing.protocol;
    let (head, body) = response.into_parts();
    let read = tokio::time::timeout(Duration::from_secs(60), body.collect()).await;
    let body = read.map_err(|_| Failure::Failed("no answer within 60 s".into()))?;
    let body = body.map_err(|error| Failure::Failed(format!("the answer broke off: {error}")))?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let body = body.to_bytes();
    match protocol {
        Protocol::Grpc => grpc_status(&head.headers, &trailers)?,
        _ => http_status(head.status)?,
    }
    if protocol == Protocol::HttpJson {
        let rejected =
            forebay_otlp::json::decode_response(&body).map_err(|error| Failure::Failed(error.to_string()))?;
        return Ok(rejected.map_or(0, |(spans, _)| u64::try_from(spans).unwrap_or_default()));
    }
    let message = match (protocol, body.first()) {
        (Protocol::Grpc, Some(1)) => unpack(outgoing.compression, &body[5.min(body.len())..])?,
        (Protocol::Grpc, _) => body.slice(5.min(body.len())..),
        _ => body,
    };
    let decoded = ExportTraceServiceResponse::decode(message)
        .map_err(|error| Failure::Failed(format!("not an OTLP response: {error}")))?;
    Ok(decoded.partial_success.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or_default()))
}

/// An answer compressed the way the request was.
fn unpack(compression: Compression, packed: &[u8]) -> Result<Bytes, Failure> {
    let mut plain = Vec::new();
    let unpacked = match compression {
        Compression::Zstd => zstd::stream::copy_decode(packed, &mut plain),
        _ => flate2::read::GzDecoder::new(packed).read_to_end(&mut plain).map(|_| ()),
    };
    unpacked.map_err(|error| Failure::Failed(format!("the answer does not unpack: {error}")))?;
    Ok(plain.into())
}

/// A response without a body has its status among the headers.
fn grpc_status(headers: &HeaderMap, trailers: &HeaderMap) -> Result<(), Failure> {
    let find = |name| trailers.get(name).or(headers.get(name)).and_then(|value| value.to_str().ok());
    let message =
        || format!("grpc-status {:?}: {}", find("grpc-status"), find("grpc-message").unwrap_or_default());
    match find("grpc-status") {
        Some("0") => Ok(()),
        // RESOURCE_EXHAUSTED, UNAVAILABLE
        Some("8" | "14") => Err(Failure::Refused(message())),
        _ => Err(Failure::Failed(message())),
    }
}

fn http_status(status: StatusCode) -> Result<(), Failure> {
    match status.as_u16() {
        200 => Ok(()),
        429 | 502 | 503 | 504 => Err(Failure::Refused(status.to_string())),
        _ => Err(Failure::Failed(status.to_string())),
    }
}
