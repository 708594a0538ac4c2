//! A server for Zipkin v2 JSON that counts spans and keeps nothing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::error::BenchError;
use crate::tally::Tally;

/// A running sink; it stops when dropped.
pub struct ZipkinSink {
    pub address: SocketAddr,
    server: JoinHandle<()>,
}

impl ZipkinSink {
    /// Listens on `address` (port 0: any free one) and counts into `tally`.
    pub async fn start(address: SocketAddr, tally: Arc<Tally>) -> Result<Self, BenchError> {
        let stopped =
            |error: std::io::Error| BenchError::Sink(format!("cannot listen on {address}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(stopped)?;
        let address = listener.local_addr().map_err(stopped)?;
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tally = Arc::clone(&tally);
                let service = service_fn(move |request| answer(request, Arc::clone(&tally)));
                // A client that closes its connection is no news.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, server })
    }
}

impl Drop for ZipkinSink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(request: Request<Incoming>, tally: Arc<Tally>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = match request.into_body().collect().await {
        Ok(body) => {
            count(&tally, &body.to_bytes());
            StatusCode::ACCEPTED
        }
        Err(_) => StatusCode::BAD_REQUEST,
    };
    Ok(response)
}

/// The two fields of a span that tell which one it is.
#[derive(Deserialize)]
struct Span<'a> {
    #[serde(rename = "traceId")]
    trace_id: &'a str,
    id: &'a str,
}

/// Counts one request.
pub fn count(tally: &Tally, body: &[u8]) {
    match serde_json::from_slice::<Vec<Span<'_>>>(body) {
        Ok(spans) => tally
            .add_ids(body.len(), spans.iter().map(|span| (bytes::<16>(span.trace_id), bytes::<8>(span.id)))),
        Err(_) => tally.add_malformed(body.len()),
    }
}

/// Hexadecimal digits as the bytes of an id; zeros for what is none.
fn bytes<const N: usize>(digits: &str) -> [u8; N] {
    let mut id = [0; N];
    if digits.len() == 2 * N {
        for (at, byte) in id.iter_mut().enumerate() {
            let pair = digits.get(2 * at..2 * at + 2);
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or_default();
        }
    }
    id
}
