//! An OTLP/gRPC server that counts spans and keeps nothing.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tower::Service;

use crate::codec::SinkCodec;
use crate::error::BenchError;
use crate::tally::Tally;

const MIB: u32 = 1024 * 1024;

/// What a sink does with the requests that arrive.
pub trait Count: Send + Sync + 'static {
    /// One request, unpacked when it was `compressed`.
    fn count(&self, request: &[u8], compressed: bool);
}

impl Count for Tally {
    fn count(&self, request: &[u8], compressed: bool) {
        if compressed {
            self.add_compressed();
        }
        self.add(request);
    }
}

/// A running sink; it stops when dropped.
pub struct Sink {
    pub address: SocketAddr,
    server: JoinHandle<()>,
}

impl Sink {
    /// Listens on `address` (port 0: any free one) and gives `counter` what arrives.
    pub async fn start(address: SocketAddr, counter: Arc<impl Count>) -> Result<Self, BenchError> {
        let stopped =
            |error: std::io::Error| BenchError::Sink(format!("cannot listen on {address}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(stopped)?;
        let address = listener.local_addr().map_err(stopped)?;
        // Windows and frames large enough that flow control never holds the agent back.
        let server = Server::builder()
            .initial_stream_window_size(16 * MIB)
            .initial_connection_window_size(64 * MIB)
            .max_frame_size(MIB)
            .tcp_nodelay(true)
            .add_service(CountingService { counter })
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move {
            if let Err(error) = server.await {
                eprintln!("forebay-bench: the sink stopped: {error}");
            }
        });
        Ok(Self { address, server })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct CountingService<C> {
    counter: Arc<C>,
}

impl<C> Clone for CountingService<C> {
    fn clone(&self) -> Self {
        Self { counter: Arc::clone(&self.counter) }
    }
}

impl<C> NamedService for CountingService<C> {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl<C: Count> Service<http::Request<Body>> for CountingService<C> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let counting = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(SinkCodec)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(64 * MIB as usize);
            Ok(grpc.unary(counting, request).await)
        })
    }
}

impl<C: Count> UnaryService<Bytes> for CountingService<C> {
    type Response = ();
    type Future = std::future::Ready<Result<Response<()>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        self.counter.count(request.get_ref(), is_compressed(request.metadata()));
        std::future::ready(Ok(Response::new(())))
    }
}

fn is_compressed(headers: &MetadataMap) -> bool {
    headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity")
}
