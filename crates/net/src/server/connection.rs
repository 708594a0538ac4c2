//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::BufReader;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Stream, Watched};
use super::{Handler, ServerOptions};

/// One stream may carry a large request without waiting for leave to go on.
const STREAM_WINDOW: u32 = 1 << 20;
/// All streams of a connection together.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// The head of an HTTP/1.1 request, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How long an idle connection may take to end once it was asked to.
const CLOSE_GRACE: Duration = Duration::from_secs(10);

/// How long a connection without a request under way may take to end once the server stops: a client that has just
/// sent one is still heard, one that says nothing holds up no stop.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// Serves one connection until it ends; asks the client to end it when `stop` is cancelled.
pub async fn serve_connection(
    stream: Box<dyn Stream>,
    peer: SocketAddr,
    options: Arc<ServerOptions>,
    handler: Arc<dyn Handler>,
    stop: CancellationToken,
) {
    let activity = Activity::new(options.ping_policy);
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
    let mut watch = Watch {
        activity: activity.clone(),
        options: &options,
        born: Instant::now(),
        close_by: None,
        stopped: None,
    };
    let mut ending = false;
    let mut timer = pin!(tokio::time::sleep_until(watch.next_look()));
    loop {
        let end = tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%peer, %error, "a connection ended early");
                }
                return;
            }
            () = stop.cancelled(), if watch.stopped.is_none() => {
                watch.stopped = Some(Instant::now());
                true
            }
            () = activity.too_many_pings() => {
                tracing::debug!(%peer, "a client pings too often: its connection is ended");
                watch.close_within(CLOSE_GRACE);
                true
            }
            () = timer.as_mut() => match watch.look() {
                Verdict::Fine => false,
                Verdict::End => true,
                Verdict::Close => return,
            },
        };
        if end && !ending {
            ending = true;
            connection.as_mut().graceful_shutdown();
        }
        timer.as_mut().reset(watch.next_look());
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
    let mut http2 = builder.http2();
    http2
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(options.max_concurrent_streams)
        .keep_alive_interval(options.ping_interval)
        .keep_alive_timeout(options.ping_timeout);
    if let Some(size) = options.write_buffer {
        http2.max_send_buf_size(size);
    }
    if options.http1 { builder } else { builder.http2_only() }
}

enum Verdict {
    Fine,
    /// Ask the client to end the connection.
    End,
    /// Close it now.
    Close,
}

/// Decides when a connection has lived long enough.
struct Watch<'a> {
    activity: Activity,
    options: &'a ServerOptions,
    born: Instant,
    /// When to close what was asked to end.
    close_by: Option<Instant>,
    /// Since when the server has been stopping.
    stopped: Option<Instant>,
}

impl Watch<'_> {
    fn look(&mut self) -> Verdict {
        let now = Instant::now();
        let past = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if past(self.close_by) || past(self.head_deadline()) || past(self.stop_deadline()) {
            Verdict::Close
        } else if past(self.age_deadline()) {
            // Without a grace it ends when its requests have.
            self.close_by = Some(now + self.options.max_age_grace.unwrap_or(FOREVER));
            Verdict::End
        } else if past(self.idle_deadline()) {
            self.close_within(CLOSE_GRACE);
            Verdict::End
        } else {
            Verdict::Fine
        }
    }

    fn close_within(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.close_by = Some(self.close_by.map_or(deadline, |known| known.min(deadline)));
    }

    /// When something can be due at the earliest, given that anything may happen on the connection meanwhile.
    fn next_look(&self) -> Instant {
        let now = Instant::now();
        let later = |timeout: Option<Duration>| timeout.map(|timeout| now + timeout);
        let head = self.head_deadline().or_else(|| later(self.options.header_timeout));
        let idle = self.idle_deadline().or_else(|| later(self.options.idle_timeout));
        let stop = self.stop_deadline().or_else(|| self.stopped.map(|_| now + STOP_GRACE));
        let next = [self.close_by, head, self.age_deadline(), idle.filter(|_| self.close_by.is_none()), stop];
        next.into_iter().flatten().min().unwrap_or(now + FOREVER)
    }

    /// When a connection on which nothing is under way is closed because the server stops.
    fn stop_deadline(&self) -> Option<Instant> {
        Some(self.stopped?.max(self.activity.quiet_since()?) + STOP_GRACE)
    }

    fn head_deadline(&self) -> Option<Instant> {
        Some(self.activity.head_since()? + self.options.header_timeout?)
    }

    fn idle_deadline(&self) -> Option<Instant> {
        Some(self.activity.idle_since()? + self.options.idle_timeout?).filter(|_| self.close_by.is_none())
    }

    fn age_deadline(&self) -> Option<Instant> {
        Some(self.born + self.options.max_age?).filter(|_| self.close_by.is_none())
    }
}

/// Longer than any connection lives, short enough for the timer.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
