//! OTLP/gRPC: one unary method, framed by hand so that the message is never copied twice and its memory is counted.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use forebay_net::Compression;
use forebay_net::server::{Handler, Reply, ReplyBody};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tonic::{Code, Status};

use crate::answer::{Failure, Rejected};
use crate::budget::{ByteBudget, Share};
use crate::intake::Intake;
use crate::receive::{Limit, read_body, unpack};
use crate::receiver::origin;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// A compression flag and a length before each message.
const PREFIX: usize = 5;
const ENCODINGS: &str = "identity,gzip,zstd,deflate";

/// Answers gRPC requests.
pub(crate) struct GrpcHandler {
    pub(crate) intake: Arc<Intake>,
    pub(crate) budget: ByteBudget,
    pub(crate) max_message: usize,
    pub(crate) include_metadata: bool,
}

impl Handler for GrpcHandler {
    fn handle(self: Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Reply {
        Box::pin(async move { self.answer(request, peer).await })
    }
}

impl GrpcHandler {
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<ReplyBody> {
        if !is_grpc(request.headers()) {
            let mut reply =
                Response::new(ReplyBody::new("this port speaks gRPC; OTLP/HTTP has a port of its own"));
            *reply.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return reply;
        }
        if request.uri().path() != EXPORT || request.method() != Method::POST {
            return Status::new(Code::Unimplemented, unimplemented(request.uri().path())).into_http();
        }
        let (head, body) = request.into_parts();
        match self.export(head.headers, body, peer).await {
            Ok(rejected) => success(rejected.as_ref()),
            Err(failure) => {
                self.intake.metrics().failure(&failure, peer);
                let unsupported = matches!(failure, Failure::Unsupported(_));
                let mut reply = failure.answer().grpc().into_http();
                if unsupported {
                    let encodings = HeaderValue::from_static(ENCODINGS);
                    reply.headers_mut().insert("grpc-accept-encoding", encodings);
                }
                reply
            }
        }
    }

    async fn export(
        &self,
        headers: HeaderMap,
        body: Incoming,
        peer: SocketAddr,
    ) -> Result<Option<Rejected>, Failure> {
        let encoding = match headers.get("grpc-encoding") {
            None => Compression::Identity,
            Some(name) => name
                .to_str()
                .ok()
                .and_then(|name| name.parse().ok())
                .filter(|encoding| *encoding != Compression::Zlib)
                .ok_or_else(|| {
                    Failure::Unsupported(format!(
                        "the grpc-encoding {name:?} is not supported: use one of {ENCODINGS}"
                    ))
                })?,
        };
        let (message, share) = self.message(body, encoding).await?;
        let origin = origin(peer, &headers, self.include_metadata);
        Arc::clone(&self.intake).take(message, origin, share).await
    }

    /// The one message of the request, decompressed.
    async fn message(&self, mut body: Incoming, encoding: Compression) -> Result<(Bytes, Share), Failure> {
        let mut share = self.budget.share();
        let limit = Limit { bytes: self.max_message, option: "max_recv_msg_size_mib" };
        let total = |first: &[u8]| {
            let Some(&[_, a, b, c, d]) = first.first_chunk::<PREFIX>() else { return Ok(None) };
            let len = u32::from_be_bytes([a, b, c, d]) as usize;
            if len > limit.bytes { Err(limit.exceeded(len)) } else { Ok(Some(PREFIX + len)) }
        };
        let framed = read_body(&mut body, PREFIX + limit.bytes, total, &mut share).await?;
        let expected = total(&framed)?;
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
        None => format!("no method {path}: this receiver serves {EXPORT}"),
    }
}

fn success(rejected: Option<&Rejected>) -> Response<ReplyBody> {
    let message =
        forebay_otlp::response::encode(rejected.map(|rejected| (rejected.spans, rejected.message.as_str())));
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or_default());
    framed.put_slice(&message);
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut reply = Response::new(ReplyBody::new(framed).with_trailers(trailers));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    reply
}
