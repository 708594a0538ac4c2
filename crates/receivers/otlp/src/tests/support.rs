//! A running receiver, consumers, and clients.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_component::{Consumer, Payload, Receiver, Refused};
use forebay_config::Node;
use forebay_telemetry::{Kind, Telemetry};
use forebay_testkit::{Sink, context, metric};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tonic::transport::Channel;

use crate::{Config, OtlpReceiver};

/// Both protocols on ports of the system's choice.
pub(super) const BOTH: &str =
    "{protocols: {grpc: {endpoint: '127.0.0.1:0'}, http: {endpoint: '127.0.0.1:0'}}}";

/// A receiver that runs.
pub(super) struct Running {
    pub(super) receiver: OtlpReceiver,
    pub(super) telemetry: Telemetry,
}

pub(super) async fn start(yaml: &str, next: Arc<dyn Consumer>) -> Running {
    let config = Config::read(&Node::parse_str("test.yaml", yaml).unwrap()).unwrap();
    let context = context(Kind::Receiver, "otlp");
    let mut receiver = OtlpReceiver::build(&config, &context, next).unwrap();
    receiver.start().await.unwrap();
    Running { receiver, telemetry: context.telemetry }
}

/// A receiver of both protocols over a sink that takes everything.
pub(super) async fn both() -> (Running, Arc<Sink>) {
    let sink = Arc::new(Sink::default());
    (start(BOTH, sink.clone()).await, sink)
}

impl Running {
    pub(super) fn grpc_addr(&self) -> SocketAddr {
        self.receiver.grpc_addr().unwrap()
    }

    pub(super) fn http_addr(&self) -> SocketAddr {
        self.receiver.http_addr().unwrap()
    }

    pub(super) async fn grpc(&self) -> TraceServiceClient<Channel> {
        TraceServiceClient::connect(format!("http://{}", self.grpc_addr())).await.unwrap()
    }

    /// The sum of a metric over its series with these labels.
    pub(super) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        metric(&self.telemetry, name, labels)
    }

    pub(super) async fn stop(mut self) {
        self.receiver.shutdown(Instant::now() + Duration::from_secs(30)).await;
    }

    /// That both protocols still take a request.
    pub(super) async fn assert_serves(&self, sink: &Sink) {
        let before = sink.items();
        self.grpc().await.export(request(2)).await.unwrap();
        let reply = post(self.http_addr(), "application/x-protobuf", &[], wire(&request(3))).await;
        assert_eq!(reply.status, 200);
        assert_eq!(sink.items() - before, 5);
    }
}

/// A consumer that takes everything and leaves the answer to the test.
#[derive(Default)]
pub(super) struct Holder {
    held: Mutex<Vec<Payload>>,
    arrived: Notify,
}

impl Holder {
    /// The next payload, its acknowledgement open.
    pub(super) async fn next(&self) -> Payload {
        loop {
            if let Some(payload) = self.held.lock().unwrap().pop() {
                return payload;
            }
            self.arrived.notified().await;
        }
    }
}

impl Consumer for Holder {
    fn consume(&self, payload: Payload) -> Result<(), Refused> {
        self.held.lock().unwrap().push(payload);
        self.arrived.notify_one();
        Ok(())
    }

    fn consume_wait(&self, payload: Payload, _: Duration) -> Result<(), Refused> {
        self.consume(payload)
    }
}

pub(super) fn span(number: u64) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: number.to_be_bytes().to_vec(),
        name: format!("span {number}"),
        ..Span::default()
    }
}

pub(super) fn request_of(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope = ScopeSpans { spans, ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

/// A request of so many good spans.
pub(super) fn request(spans: u64) -> ExportTraceServiceRequest {
    request_of((1..=spans).map(span).collect())
}

/// Two good spans between three bad ones.
pub(super) fn mixed() -> ExportTraceServiceRequest {
    let bad_trace = Span { trace_id: vec![1; 15], ..span(1) };
    let zero_trace = Span { trace_id: vec![0; 16], ..span(3) };
    let bad_span = Span { span_id: vec![], ..span(4) };
    request_of(vec![bad_trace, span(2), zero_trace, bad_span, span(5)])
}

pub(super) fn wire(request: &ExportTraceServiceRequest) -> Bytes {
    prost::Message::encode_to_vec(request).into()
}

/// An answer over HTTP.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) headers: ::http::HeaderMap,
    pub(super) body: Bytes,
}

impl Answered {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Code and message of the `google.rpc.Status` in the body.
    pub(super) fn status_message(&self) -> (i32, String) {
        match self.header("content-type") {
            "application/json" => forebay_otlp::json::decode_status(&self.body).unwrap(),
            _ => forebay_otlp::response::decode_status(&self.body).unwrap(),
        }
    }
}

/// Posts to `/v1/traces` over a connection of its own.
pub(super) async fn post(
    address: SocketAddr,
    kind: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answered {
    let mut request = ::http::Request::post("/v1/traces").header("content-type", kind);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(address, request.body(body.into()).unwrap()).await
}

pub(super) async fn send(address: SocketAddr, request: ::http::Request<Bytes>) -> Answered {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let (mut head, body) = request.into_parts();
    head.headers.insert("host", ::http::HeaderValue::from_static("localhost"));
    let reply = sender.send_request(::http::Request::from_parts(head, Full::new(body))).await.unwrap();
    let (head, body) = reply.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    driver.abort();
    Answered { status: head.status.as_u16(), headers: head.headers, body }
}
