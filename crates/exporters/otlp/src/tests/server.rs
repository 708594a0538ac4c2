//! A server that speaks HTTP/1 and HTTP/2, plain or over TLS, and answers as told.

use bytes::Bytes;
use forebay_component::{Ack, BuildExporter, Context, Exporter, Outcome, Payload};
use forebay_config::{ComponentId, Node};
use forebay_telemetry::{Kind, Telemetry};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// Status, headers, body chunks, trailers.
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<Bytes>,
        trailers: Vec<(&'static str, String)>,
    },
    /// Never answers.
    Silence,
}

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) version: http::Version,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    stop: Arc<tokio::sync::Notify>,
}

struct State {
    replies: Mutex<VecDeque<Reply>>,
    last: Reply,
    seen: Mutex<Vec<Seen>>,
}

pub(super) fn http_reply(status: u16) -> Reply {
    Reply::Answer { status, headers: vec![], body: vec![], trailers: vec![] }
}

/// An empty message and a status in the trailers.
pub(super) fn grpc_reply(code: i32, message: &str) -> Reply {
    grpc_message(&[], vec![("grpc-status", code.to_string()), ("grpc-message", message.to_owned())])
}

pub(super) fn grpc_message(message: &[u8], trailers: Vec<(&'static str, String)>) -> Reply {
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    let headers = vec![("content-type", "application/grpc".to_owned())];
    Reply::Answer { status: 200, headers, body: vec![frame.into()], trailers }
}

impl Server {
    /// Answers with `replies` in turn, then with `last`.
    pub(super) async fn start(replies: Vec<Reply>, last: Reply, tls: Option<rustls::ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, replies, last, tls)
    }

    pub(super) fn on(
        listener: TcpListener,
        replies: Vec<Reply>,
        last: Reply,
        tls: Option<rustls::ServerConfig>,
    ) -> Self {
        let state = Arc::new(State { replies: Mutex::new(replies.into()), last, seen: Mutex::default() });
        let stop = Arc::new(tokio::sync::Notify::new());
        let server = Self { address: listener.local_addr().unwrap(), state, stop };
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let running = server.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(running.clone().connection(tcp, tls.clone()));
            }
        });
        server
    }

    async fn connection(self, tcp: tokio::net::TcpStream, tls: Option<TlsAcceptor>) {
        let service = hyper::service::service_fn(|request| answer(Arc::clone(&self.state), request));
        let builder = auto::Builder::new(TokioExecutor::new());
        match tls {
            Some(tls) => {
                let Ok(stream) = tls.accept(tcp).await else { return };
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            }
            None => {
                let connection = builder.serve_connection(TokioIo::new(tcp), service);
                let mut connection = std::pin::pin!(connection);
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = self.stop.notified() => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            }
        }
    }

    /// Ends every connection gracefully (GOAWAY); new ones are taken.
    pub(super) fn go_away(&self) {
        self.stop.notify_waiters();
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }
}

async fn answer(
    state: Arc<State>,
    request: http::Request<hyper::body::Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return std::future::pending().await };
    let seen = Seen {
        path: head.uri.path().to_owned(),
        version: head.version,
        headers: head.headers,
        body: body.to_bytes(),
    };
    state.seen.lock().unwrap().push(seen);
    let reply = state.replies.lock().unwrap().pop_front().unwrap_or_else(|| state.last.clone());
    let Reply::Answer { status, headers, body, trailers } = reply else {
        return std::future::pending().await;
    };
    let mut frames: Vec<Result<Frame<Bytes>, Infallible>> =
        body.into_iter().map(|chunk| Ok(Frame::data(chunk))).collect();
    if !trailers.is_empty() {
        let trailers =
            trailers.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        frames.push(Ok(Frame::trailers(HeaderMap::from_iter(trailers))));
    }
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(StreamBody::new(futures_util::stream::iter(frames)).boxed()).unwrap())
}

/// An exporter made from configuration text, as the agent makes it.
pub(super) struct Running {
    pub(super) telemetry: Telemetry,
    pub(super) exporter: Box<dyn Exporter>,
}

pub(super) fn plan(kind: &str, text: &str) -> Result<Box<dyn BuildExporter>, String> {
    let factory =
        [&crate::GRPC, &crate::HTTP].into_iter().find(|factory| factory.info.answers_to(kind)).unwrap();
    let node = Node::parse_str("test.yaml", text).unwrap();
    (factory.configure)(&node).map_err(|found| {
        found.iter().map(|error| format!("{}: {}", error.path, error.message)).collect::<Vec<_>>().join("\n")
    })
}

pub(super) fn try_start(kind: &str, text: &str) -> Result<Running, String> {
    let telemetry = Telemetry::default();
    let context = Context {
        id: ComponentId::new(kind, None),
        pipeline: None,
        telemetry: telemetry.clone(),
        status: telemetry.board.register(Kind::Exporter, kind, None),
        runtime: tokio::runtime::Handle::current(),
        edges: Arc::default(),
    };
    let exporter = plan(kind, text)?.build(context).map_err(|error| error.to_string())?;
    Ok(Running { telemetry, exporter })
}

/// Without queue and retries, so that each answer of the backend is the outcome.
pub(super) fn start(kind: &str, text: &str) -> Running {
    let text = format!("{{{text}, sending_queue: {{enabled: false}}, retry_on_failure: {{enabled: false}}}}");
    try_start(kind, &text).unwrap()
}

impl Running {
    pub(super) async fn send(&self, body: impl Into<Bytes>) -> Outcome {
        let (ack, outcome) = Ack::channel();
        self.exporter.consumer().consume(Payload::traces(body, 3).with_ack(ack)).unwrap();
        outcome.await
    }

    pub(super) fn metric(&self, series: &str) -> f64 {
        let text = self.telemetry.metrics.render();
        let line = text.lines().find(|line| line.starts_with(series));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
    }
}
