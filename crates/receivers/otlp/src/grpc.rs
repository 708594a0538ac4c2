//! OTLP/gRPC: one unary method, framed by hand so that the message's memory is counted as it arrives.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use forebay_net::Compression;
use forebay_net::http2::{Answer, Answered, Call, Calls, Head};
use forebay_net::server::ReplyBody;
use http::{HeaderValue, Response, StatusCode};
use tonic::{Code, Status};

use crate::answer::{Failure, Rejected};
use crate::budget::{ByteBudget, Share};
use crate::intake::{Intake, Taken, Taking};
use crate::receive::{Body, Limit, unpack};
use crate::receiver::origin;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// A compression flag and a length before each message.
const PREFIX: usize = 5;
const NOT_GRPC: &str = "this port speaks gRPC; OTLP/HTTP has a port of its own";
const ENCODINGS: &str = "identity,gzip,zstd,deflate";
/// Heads larger than clients' usual ones are counted with their bodies: a few bytes can stand for a long head (HPACK),
/// and it is held until its body has come.
const USUAL_HEAD: usize = 1 << 10;
const HEAD_WEIGHT: usize = 2;
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
        if !is_grpc(&head) {
            let mut reply = Response::new(ReplyBody::new(NOT_GRPC));
            *reply.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(reply.into());
        }
        if head.path() != EXPORT.as_bytes() || head.method() != b"POST" {
            return Err(into_answer(Status::new(
                Code::Unimplemented,
                unimplemented(&String::from_utf8_lossy(head.path())),
            )));
        }
        match encoding(&head) {
            Ok(encoding) => {
                let mut share = self.budget.share();
                if head.size() > USUAL_HEAD && !share.try_grow(head.size() * HEAD_WEIGHT) {
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

    fn take(&self, message: Bytes, head: &Head, peer: SocketAddr, share: Share) -> Taken {
        let headers = self.include_metadata.then(|| head.headers()).into_iter().flatten();
        self.intake.take(message, origin(peer, headers), share)
    }

    fn answer(&self, outcome: Taking, peer: SocketAddr) -> Answer {
        match outcome {
            Ok(rejected) => success(rejected.as_ref()),
            Err(failure) => self.failed(failure, peer),
        }
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

    fn answer(self: Box<Self>) -> Answered {
        let Self { handler, head, peer, encoding, body } = *self;
        let limit = handler.limit();
        let compression = match unframe(&body.bytes, encoding, limit) {
            Ok(compression) => compression,
            Err(failure) => return Answered::Now(handler.failed(failure, peer)),
        };
        let mut message = Bytes::from(body.bytes);
        message.advance(PREFIX);
        if compression == Compression::Identity {
            return match handler.take(message, &head, peer, body.share) {
                Taken::Now(outcome) => Answered::Now(handler.answer(outcome, peer)),
                Taken::Later(outcome) => {
                    Answered::Later(Box::pin(async move { handler.answer(outcome.await, peer) }))
                }
            };
        }
        Answered::Later(Box::pin(async move {
            let outcome = match unpack(compression, message, limit, body.share).await {
                Ok((message, share)) => handler.take(message, &head, peer, share).outcome().await,
                Err(failure) => Err(failure),
            };
            handler.answer(outcome, peer)
        }))
    }

    fn stalled(self: Box<Self>) -> Answer {
        self.handler.failed(Failure::Stalled, self.peer)
    }

    fn broken(self: Box<Self>, why: &str) {
        self.handler.intake.metrics().failure(&Failure::Broken(why.to_owned()), self.peer);
    }
}

/// The bytes of a message and its prefix, once the prefix is known.
fn framed_length(first: &[u8], limit: Limit) -> Result<Option<usize>, Failure> {
    let Some(&[_, a, b, c, d]) = first.first_chunk::<PREFIX>() else { return Ok(None) };
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    if len > limit.bytes { Err(limit.exceeded(len)) } else { Ok(Some(PREFIX + len)) }
}

/// How the one message of a request is compressed.
fn unframe(framed: &[u8], encoding: Compression, limit: Limit) -> Result<Compression, Failure> {
    let expected = framed_length(framed, limit)?;
    let malformed = |message: &str| Failure::Malformed(message.to_owned());
    if expected.is_none_or(|expected| framed.len() < expected) {
        return Err(malformed("the request ends before its gRPC message does"));
    }
    if expected.is_some_and(|expected| framed.len() > expected) {
        return Err(malformed("the request holds more than the one gRPC message of a unary call"));
    }
    match (framed[0], encoding) {
        (0, _) => Ok(Compression::Identity),
        (1, Compression::Identity) => {
            Err(malformed("the gRPC message is marked compressed, but grpc-encoding names no compression"))
        }
        (1, encoding) => Ok(encoding),
        _ => Err(malformed("the gRPC message has an unknown flag")),
    }
}

/// What the request says its message is compressed with.
fn encoding(head: &Head) -> Result<Compression, Failure> {
    let Some(name) = head.header("grpc-encoding") else { return Ok(Compression::Identity) };
    let known = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
    known.filter(|encoding| *encoding != Compression::Zlib).ok_or_else(|| {
        let name = String::from_utf8_lossy(name);
        let name = quoted(&name);
        Failure::Unsupported(format!("the grpc-encoding {name:?} is not supported: use one of {ENCODINGS}"))
    })
}

fn into_answer(status: Status) -> Answer {
    status.into_http::<ReplyBody>().into()
}

fn is_grpc(head: &Head) -> bool {
    let kind = head.header("content-type").and_then(|kind| kind.split(|byte| *byte == b';').next());
    // Other suffixes (+json) name other encodings of the messages.
    matches!(kind.map(<[u8]>::trim_ascii), Some(b"application/grpc" | b"application/grpc+proto"))
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
