//! OTLP/HTTP: protobuf and JSON.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay_net::server::{Handler, Reply, ReplyBody};
use forebay_net::{Compression, retry_after_value};
use forebay_otlp::{json, response};
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};

use crate::answer::{Answer, Failure, Rejected};
use crate::budget::ByteBudget;
use crate::cors::CorsConfig;
use crate::intake::Intake;
use crate::receive::{Body as ReadBody, Limit, discard, from_json, unpack};
use crate::receiver::origin;

/// Answers HTTP requests.
pub(crate) struct HttpHandler {
    pub(crate) intake: Arc<Intake>,
    pub(crate) budget: ByteBudget,
    pub(crate) traces_path: String,
    pub(crate) max_body: usize,
    pub(crate) compressions: Vec<Compression>,
    pub(crate) cors: Option<CorsConfig>,
    pub(crate) response_headers: HeaderMap,
    pub(crate) include_metadata: bool,
    /// For reading a body.
    pub(crate) read_timeout: Option<Duration>,
    /// For answering a request whose head has been read.
    pub(crate) write_timeout: Option<Duration>,
}

/// How a request and its answer are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/x-protobuf") {
            Some(Self::Protobuf)
        } else if essence.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else {
            None
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }
}

impl Handler for HttpHandler {
    fn handle(self: Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Reply {
        Box::pin(async move {
            let preflight = self.cors.as_ref().and_then(|cors| cors.preflight(&request));
            let origin =
                self.cors.as_ref().and_then(|_| request.headers().get(http::header::ORIGIN).cloned());
            let mut reply = match preflight {
                Some(reply) => reply,
                None => {
                    let (head, mut body) = request.into_parts();
                    let mut reply = self.answer(&head, &mut body, peer).await;
                    let stalled = reply.status() == StatusCode::REQUEST_TIMEOUT;
                    if head.version < Version::HTTP_2 && !body.is_end_stream() && !stalled {
                        discard(&mut body).await;
                    }
                    if let Some(cors) = &self.cors {
                        let origin = origin.map(|origin| (http::header::ORIGIN, origin));
                        cors.mark(&origin.into_iter().collect(), reply.headers_mut());
                    }
                    reply
                }
            };
            for (name, value) in &self.response_headers {
                reply.headers_mut().entry(name).or_insert_with(|| value.clone());
            }
            reply
        })
    }
}

impl HttpHandler {
    async fn answer(&self, head: &Parts, body: &mut Incoming, peer: SocketAddr) -> Response<ReplyBody> {
        if head.uri.path() != self.traces_path {
            let known = format!("404 not found: this receiver takes traces at {}", self.traces_path);
            return text(StatusCode::NOT_FOUND, known);
        }
        if head.method != Method::POST {
            let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed, supported: [POST]");
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return reply;
        }
        let Some(encoding) = Encoding::of(&head.headers) else {
            let failure = Failure::Unsupported(
                "415 unsupported media type, supported: [application/json, application/x-protobuf]"
                    .to_owned(),
            );
            self.intake.metrics().failure(&failure, peer);
            return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, failure.to_string());
        };
        let export = self.export(head, body, encoding, peer);
        let answered = match self.write_timeout {
            Some(limit) => tokio::time::timeout(limit, export).await.unwrap_or(Err(Failure::TooSlow)),
            None => export.await,
        };
        match answered {
            Ok(rejected) => success(encoding, rejected.as_ref()),
            Err(failure) => {
                self.intake.metrics().failure(&failure, peer);
                failed(encoding, &failure.answer())
            }
        }
    }

    async fn export(
        &self,
        head: &Parts,
        body: &mut Incoming,
        encoding: Encoding,
        peer: SocketAddr,
    ) -> Result<Option<Rejected>, Failure> {
        let compression = self.compression(&head.headers)?;
        let limit = Limit { bytes: self.max_body, option: "max_request_body_size" };
        let announced = body.size_hint().exact().and_then(|size| usize::try_from(size).ok());
        if let Some(size) = announced.filter(|size| *size > limit.bytes) {
            return Err(limit.exceeded(size));
        }
        let reading = ReadBody::new(self.budget.share()).read(body, limit.bytes, |_| Ok(announced));
        let read = match self.read_timeout {
            Some(limit) => tokio::time::timeout(limit, reading).await.unwrap_or(Err(Failure::Stalled)),
            None => reading.await,
        };
        let read = read.map_err(|failure| match failure {
            Failure::TooLarge(_) => limit.exceeded(limit.bytes + 1),
            other => other,
        })?;
        let (body, share) = unpack(compression, Bytes::from(read.bytes), limit, read.share).await?;
        let (message, share) = match encoding {
            Encoding::Protobuf => (body, share),
            Encoding::Json => from_json(body, share).await?,
        };
        let headers = self.include_metadata.then_some(&head.headers).into_iter().flatten();
        let origin = origin(peer, headers.map(|(name, value)| (name.as_str(), value.as_bytes())));
        self.intake.take(message, origin, share).outcome().await
    }

    fn compression(&self, headers: &HeaderMap) -> Result<Compression, Failure> {
        let Some(name) = headers.get(CONTENT_ENCODING) else { return Ok(Compression::Identity) };
        let known = name.to_str().ok().and_then(|name| name.parse().ok());
        known.filter(|known| *known == Compression::Identity || self.compressions.contains(known)).ok_or_else(
            || {
                let supported: Vec<_> = self.compressions.iter().map(|known| known.as_str()).collect();
                Failure::Unsupported(format!(
                    "415 unsupported content-encoding {name:?}, supported: [{}, identity]",
                    supported.join(", ")
                ))
            },
        )
    }
}

fn text(status: StatusCode, message: impl Into<String>) -> Response<ReplyBody> {
    let mut reply = Response::new(ReplyBody::new(message.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}

fn success(encoding: Encoding, rejected: Option<&Rejected>) -> Response<ReplyBody> {
    let partial = rejected.map(|rejected| (rejected.spans, rejected.message.as_str()));
    let body = match encoding {
        Encoding::Protobuf => response::encode(partial),
        Encoding::Json => json::encode_response(partial),
    };
    let mut reply = Response::new(ReplyBody::new(body));
    reply.headers_mut().insert(CONTENT_TYPE, encoding.content_type());
    reply
}

/// A failure as a `google.rpc.Status` in the request's encoding.
fn failed(encoding: Encoding, answer: &Answer) -> Response<ReplyBody> {
    let code = i32::from(answer.code);
    let body = match encoding {
        Encoding::Protobuf => response::encode_status(code, &answer.message),
        Encoding::Json => json::encode_status(code, &answer.message),
    };
    let mut reply = Response::new(ReplyBody::new(body));
    *reply.status_mut() = answer.http;
    reply.headers_mut().insert(CONTENT_TYPE, encoding.content_type());
    if let Some(wait) = answer.retry_after
        && let Ok(value) = HeaderValue::try_from(retry_after_value(wait))
    {
        reply.headers_mut().insert(RETRY_AFTER, value);
    }
    reply
}
