//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::BufReader;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Stream, Watched};
use super::watch::{Verdict, Watch};
use super::{Handler, ServerOptions};

/// One stream may carry a large request without waiting for leave to go on.
const STREAM_WINDOW: u32 = 1 << 20;
/// All streams of a connection together.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// The head of an HTTP/1.1 request, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Serves one connection until it ends; asks the client to end it when `stop` is cancelled.
pub async fn serve_connection(
    stream: Box<dyn Stream>,
    peer: SocketAddr,
    options: Arc<ServerOptions>,
    handler: Arc<dyn Handler>,
    stop: CancellationToken,
) {
    let activity = Activity::new();
    let stream = match options.read_buffer {
        Some(size) => Box::new(BufReader::with_capacity(size, stream)),
        None => stream,
    };
    let io = TokioIo::new(Watched::new(stream, activity.clone()));
    let service = service_fn(|request: Request<Incoming>| {
        let under_way = activity.request();
        let reply = Arc::clone(&handler).handle(request, peer);
        async move {
            let reply = reply.await;
            drop(under_way);
            Ok::<_, Infallible>(reply)
        }
    });
    let builder = builder(&options);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut watch = Watch::new(options);
    let mut ending = false;
    let mut timer = pin!(tokio::time::sleep_until(watch.next_look(activity.signs())));
    loop {
        let end = tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%peer, %error, "a connection ended early");
                }
                return;
            }
            () = stop.cancelled(), if !watch.is_stopped() => {
                watch.stop();
                true
            }
            () = timer.as_mut() => match watch.look(activity.signs()) {
                Verdict::Fine => false,
                Verdict::End => true,
                Verdict::Close => return,
            },
        };
        if end && !ending {
            ending = true;
            connection.as_mut().graceful_shutdown();
        }
        timer.as_mut().reset(watch.next_look(activity.signs()));
    }
}

fn builder(options: &ServerOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The library's own header timeout would also end idle connections: the watch tells the two apart.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .keep_alive(options.keep_alive)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(options.max_concurrent_streams);
    builder
}
