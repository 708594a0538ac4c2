//! OTLP/gRPC: one unary method, framed by hand so that the message's memory is counted as it arrives.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use forebay_net::Compression;
use forebay_net::http2::{Answer, AnswerFuture, Call, Calls, Head};
use forebay_net::server::ReplyBody;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tonic::{Code, Status};

use crate::answer::{Failure, Rejected};
use crate::budget::{ByteBudget, Share};
use crate::intake::Intake;
use crate::receive::{Body, Limit, unpack};
use crate::receiver::origin;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// A compression flag and a length before each message.
const PREFIX: usize = 5;
const NOT_GRPC: &str = "this port speaks gRPC; OTLP/HTTP has a port of its own";
const ENCODINGS: &str = "identity,gzip,zstd,deflate";
/// Heads larger than clients' usual ones are counted with their bodies: a few bytes can stand for a long head (HPACK),
/// and it is held until its body has come. In memory a header takes up to four times its text.
const USUAL_HEAD: usize = 1 << 10;
const HEAD_WEIGHT: usize = 4;
/// How much of what a client sent is repeated to it.
const MAX_QUOTED: usize = 100;

/// Answers gRPC requests.
pub(crate) struct GrpcHandler {
    pub(crate) intake: Arc<Intake>,
    pub(crate) budget: ByteBudget,
    pub(crate) max_message: usize,
    pub(crate) include_metadata: bool,
}

impl Calls for GrpcHandler {
    fn begin(self: Arc<Self>, head: Arc<Head>, peer: SocketAddr) -> Result<Box<dyn Call>, Answer> {
        if !is_grpc(&head.headers) {
            let mut reply = Response::new(ReplyBody::new(NOT_GRPC));
            *reply.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(reply.into());
        }
        if head.path != EXPORT || head.method != Method::POST {
            return Err(into_answer(Status::new(Code::Unimplemented, unimplemented(&head.path))));
        }
        match encoding(&head.headers) {
            Ok(encoding) => {
                let mut share = self.budget.share();
                if head.size > USUAL_HEAD && !share.try_grow(head.size * HEAD_WEIGHT) {
                    return Err(self.failed(Failure::no_room(), peer));
                }
                let body = Body::new(share);
                Ok(Box::new(GrpcCall { handler: self, head, peer, encoding, body }))
            }
            Err(failure) => Err(self.failed(failure, peer)),
        }
    }

    fn not_http2(&self) -> &'static str {
        NOT_GRPC
    }
}

impl GrpcHandler {
    /// Counts a failure and says it.
    fn failed(&self, failure: Failure, peer: SocketAddr) -> Answer {
        self.intake.metrics().failure(&failure, peer);
        let unsupported = matches!(failure, Failure::Unsupported(_));
        let mut reply = failure.answer().grpc().into_http();
        if unsupported {
            reply.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static(ENCODINGS));
        }
        reply.into()
    }

    fn limit(&self) -> Limit {
        Limit { bytes: self.max_message, option: "max_recv_msg_size_mib" }
    }
}

/// One export on its way in.
struct GrpcCall {
    handler: Arc<GrpcHandler>,
    head: Arc<Head>,
    peer: SocketAddr,
    encoding: Compression,
    body: Body,
}

impl Call for GrpcCall {
    fn data(&mut self, bytes: &[u8]) -> Result<(), Answer> {
        let limit = self.handler.limit();
        let added = self.body.add(bytes, PREFIX + limit.bytes, |first| framed_length(first, limit));
        added.map_err(|failure| self.handler.failed(failure, self.peer))
    }

    fn answer(self: Box<Self>) -> AnswerFuture {
        Box::pin(async move {
            let (handler, peer) = (Arc::clone(&self.handler), self.peer);
            match self.export().await {
                Ok(rejected) => success(rejected.as_ref()),
                Err(failure) => handler.failed(failure, peer),
            }
        })
    }

    fn stalled(self: Box<Self>) -> Answer {
        self.handler.failed(Failure::Stalled, self.peer)
    }

    fn broken(self: Box<Self>, why: &str) {
        self.handler.intake.metrics().failure(&Failure::Broken(why.to_owned()), self.peer);
    }
}

impl GrpcCall {
    async fn export(self) -> Result<Option<Rejected>, Failure> {
        let Self { handler, head, peer, encoding, body } = self;
        let (message, share) = message(body, encoding, handler.limit()).await?;
        let origin = origin(peer, &head.headers, handler.include_metadata);
        Arc::clone(&handler.intake).take(message, origin, share).await
    }
}

/// The bytes of a message and its prefix, once the prefix is known.
fn framed_length(first: &[u8], limit: Limit) -> Result<Option<usize>, Failure> {
    let Some(&[_, a, b, c, d]) = first.first_chunk::<PREFIX>() else { return Ok(None) };
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    if len > limit.bytes { Err(limit.exceeded(len)) } else { Ok(Some(PREFIX + len)) }
}

/// The one message of a request, decompressed.
async fn message(body: Body, encoding: Compression, limit: Limit) -> Result<(Bytes, Share), Failure> {
    let Body { bytes: framed, share } = body;
    let expected = framed_length(&framed, limit)?;
    let malformed = |message: &str| Failure::Malformed(message.to_owned());
    if expected.is_none_or(|expected| framed.len() < expected) {
        return Err(malformed("the request ends before its gRPC message does"));
    }
    if expected.is_some_and(|expected| framed.len() > expected) {
        return Err(malformed("the request holds more than the one gRPC message of a unary call"));
    }
    let compression = match (framed[0], encoding) {
        (0, _) => Compression::Identity,
        (1, Compression::Identity) => {
            return Err(malformed(
                "the gRPC message is marked compressed, but grpc-encoding names no compression",
            ));
        }
        (1, encoding) => encoding,
        _ => return Err(malformed("the gRPC message has an unknown flag")),
    };
    unpack(compression, Bytes::from(framed).slice(PREFIX..), limit, share).await
}

/// What the request says its message is compressed with.
fn encoding(headers: &HeaderMap) -> Result<Compression, Failure> {
    let Some(name) = headers.get("grpc-encoding") else { return Ok(Compression::Identity) };
    let known = name.to_str().ok().and_then(|name| name.parse().ok());
    known.filter(|encoding| *encoding != Compression::Zlib).ok_or_else(|| {
        let name = String::from_utf8_lossy(name.as_bytes());
        let name = quoted(&name);
        Failure::Unsupported(format!("the grpc-encoding {name:?} is not supported: use one of {ENCODINGS}"))
    })
}

fn into_answer(status: Status) -> Answer {
    status.into_http::<ReplyBody>().into()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    // Other suffixes (+json) name other encodings of the messages.
    matches!(kind.split(';').next().map(str::trim), Some("application/grpc" | "application/grpc+proto"))
}

fn unimplemented(path: &str) -> String {
    let known = [("metrics", "MetricsService"), ("logs", "LogsService"), ("profiles", "ProfilesService")];
    match known.iter().find(|(_, service)| path.contains(service)) {
        Some((signal, _)) => format!("this receiver takes traces only: export {signal} elsewhere"),
        None => format!("no method {}: this receiver serves {EXPORT}", quoted(path)),
    }
}

/// The beginning of a text.
fn quoted(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_QUOTED)]
}

fn success(rejected: Option<&Rejected>) -> Answer {
    let rejected = rejected.map(|rejected| (rejected.spans, rejected.message.as_str()));
    Answer::Message(forebay_otlp::response::encode(rejected).into())
}
