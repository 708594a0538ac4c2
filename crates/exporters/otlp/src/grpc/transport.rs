//! One unary call: a frame header, the payload's bytes, an answer.

use super::channel::{ChannelError, channel, describe};
use super::config::Config;
use super::status;
use super::target::Target;
use crate::response::{self, MAX_RESPONSE};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use forebay_component::{Reason, Refusal};
use forebay_exporter_queue::{Delivered, Request, SendFailure, Transport};
use forebay_net::{Compression, compress};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::Code;
use tonic::client::GrpcService;
use tonic::transport::Channel;

const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Sends over one channel.
pub(crate) struct GrpcTransport {
    channel: Channel,
    compression: Compression,
    /// What every request carries.
    headers: HeaderMap,
    /// For messages.
    authority: String,
}

impl GrpcTransport {
    pub(crate) fn new(config: &Config, target: &Target) -> Result<Self, ChannelError> {
        let mut headers = config.headers.to_map();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        if config.compression.0 != Compression::Identity {
            headers.insert("grpc-encoding", HeaderValue::from_static(config.compression.0.as_str()));
        }
        if let Some(timeout) = grpc_timeout(config.timeout.0) {
            headers.insert("grpc-timeout", timeout);
        }
        Ok(Self {
            channel: channel(config, target)?,
            compression: config.compression.0,
            headers,
            authority: target.authority(),
        })
    }

    fn unreachable(&self, what: &str, error: &(dyn std::error::Error + 'static)) -> SendFailure {
        // The channel watches `grpc-timeout` too; whichever clock is first, it is the same event.
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        if causes.any(|cause| cause.is::<tonic::TimeoutExpired>()) {
            let message = format!("{} did not answer within the timeout", self.authority);
            return SendFailure::retryable(Reason::Timeout, message);
        }
        let message = format!("{what} {}: {}", self.authority, describe(error));
        SendFailure::retryable(Reason::Unavailable, message)
    }
}

#[async_trait]
impl Transport for GrpcTransport {
    fn encode(&self, body: Bytes, items: usize) -> Result<Vec<Request>, Refusal> {
        if self.compression == Compression::Identity {
            return Ok(vec![Request { body, items }]);
        }
        match compress(self.compression, &body) {
            Ok(body) => Ok(vec![Request { body: body.into(), items }]),
            Err(error) => {
                Err(Refusal::permanent(Reason::Internal, format!("compressing the request failed: {error}")))
            }
        }
    }

    async fn send(&self, request: &Request) -> Result<Delivered, SendFailure> {
        let mut call = http::Request::new(tonic::body::Body::new(self.frame(&request.body)?));
        *call.method_mut() = http::Method::POST;
        *call.version_mut() = http::Version::HTTP_2;
        *call.uri_mut() = http::Uri::from_static(METHOD);
        call.headers_mut().clone_from(&self.headers);

        let mut channel = self.channel.clone();
        std::future::poll_fn(|context| GrpcService::<tonic::body::Body>::poll_ready(&mut channel, context))
            .await
            .map_err(|error| self.unreachable("cannot reach", &error))?;
        let response = GrpcService::call(&mut channel, call)
            .await
            .map_err(|error| self.unreachable("cannot reach", &error))?;
        self.answer(response).await
    }
}

impl GrpcTransport {
    fn frame(&self, body: &Bytes) -> Result<Message, SendFailure> {
        let length = u32::try_from(body.len()).map_err(|_| {
            let message =
                "a gRPC message is at most 4 GiB: lower `send_batch_max_size` of the batch processor";
            SendFailure::permanent(Reason::Invalid, message)
        })?;
        let [a, b, c, d] = length.to_be_bytes();
        let compressed = u8::from(self.compression != Compression::Identity);
        Ok(Message { parts: [Bytes::copy_from_slice(&[compressed, a, b, c, d]), body.clone()] })
    }

    async fn answer(&self, response: http::Response<tonic::body::Body>) -> Result<Delivered, SendFailure> {
        let (head, mut body) = response.into_parts();
        if let Some(status) = status::read(&head.headers)
            && status.code() != Code::Ok
        {
            return Err(status::failure(&status));
        }
        if head.status != http::StatusCode::OK {
            return Err(status::failure(&status::from_http(head.status)));
        }
        let mut message = BytesMut::new();
        let mut last = status::read(&head.headers);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.unreachable("lost the connection to", &error))?;
            match frame.into_data() {
                Ok(data) if message.len() + data.len() <= MAX_RESPONSE => message.extend_from_slice(&data),
                // A longer answer is not looked at: the status in the trailers is what counts.
                Ok(_) => {}
                Err(frame) => last = frame.trailers_ref().and_then(status::read).or(last),
            }
        }
        match last {
            Some(status) if status.code() == Code::Ok => Ok(delivered(&message)),
            Some(status) => Err(status::failure(&status)),
            None => Err(SendFailure::retryable(
                Reason::Unavailable,
                format!("{} ended its answer without a gRPC status", self.authority),
            )),
        }
    }
}

/// The answer's message; a compressed one was not asked for and is not read.
fn delivered(frame: &[u8]) -> Delivered {
    match frame {
        [0, a, b, c, d, message @ ..] => {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let message =
                message.get(..length).and_then(|message| forebay_otlp::response::decode(message).ok());
            response::delivered(message.flatten())
        }
        _ => Delivered::default(),
    }
}

/// `grpc-timeout` has at most eight digits.
fn grpc_timeout(timeout: Duration) -> Option<HeaderValue> {
    let millis = timeout.as_millis();
    let text = match millis {
        0 => return None,
        1..100_000_000 => format!("{millis}m"),
        _ => format!("{}S", (millis / 1000).min(99_999_999)),
    };
    HeaderValue::try_from(text).ok()
}

/// The request's body: the frame header (compression flag, length) and the payload's own bytes, not copied together.
struct Message {
    parts: [Bytes; 2],
}

impl Body for Message {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.parts.iter_mut().find(|part| !part.is_empty());
        Poll::Ready(part.map(|part| Ok(Frame::data(std::mem::take(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.iter().all(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.parts.iter().map(|part| part.len() as u64).sum())
    }
}
