//! Connections: bounded in number, in time and in size.

use super::{Scope, Shared, respond, waits};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Connections per address; a new one beyond that ends the oldest, so that nobody can lock a probe out.
pub(crate) const MAX_CONNECTIONS: usize = 64;
/// How long a new one waits for another to end by itself before that, while answers are being found out.
const PATIENCE: Duration = Duration::from_millis(50);
/// The same while none is: a request may just be arriving.
const IMPATIENCE: Duration = Duration::from_millis(1);
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// For the head of a request, and for the pause before the next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection lives no longer: a client that does not read its answers holds nothing for ever.
const LIFETIME: Duration = Duration::from_secs(120);
/// For the answer under way when the lifetime ends.
const LAST_ANSWER: Duration = Duration::from_secs(5);
/// Rates are computed from samples this far apart.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Serves until `stopped` says so.
pub(super) async fn run(
    listeners: Vec<(TcpListener, Scope)>,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    for (listener, scope) in listeners {
        tasks.spawn(listen(listener, scope, shared.clone()));
    }
    tasks.spawn(sample(shared));
    // An error means that the server is gone, which stops it too. Dropping the set ends all connections.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn sample(shared: Arc<Shared>) {
    let mut tick = interval(SAMPLE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        shared.sample(Instant::now());
    }
}

async fn listen(listener: TcpListener, scope: Scope, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut order: VecDeque<AbortHandle> = VecDeque::new();
    let answering = Arc::new(());
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin server cannot accept a connection");
                // Out of file descriptors, most likely: trying again at once would spin.
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        order.retain(|handle| !handle.is_finished());
        if order.len() >= MAX_CONNECTIONS {
            let wait = if Arc::strong_count(&answering) > 1 { PATIENCE } else { IMPATIENCE };
            match timeout(wait, connections.join_next()).await {
                Ok(_) => order.retain(|handle| !handle.is_finished()),
                Err(_) => order.pop_front().iter().for_each(AbortHandle::abort),
            }
        }
        order.push_back(connections.spawn(connection(
            stream,
            peer,
            scope,
            shared.clone(),
            Arc::downgrade(&answering),
        )));
    }
}

/// `answering` is held by each answer that takes time.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    scope: Scope,
    shared: Arc<Shared>,
    answering: Weak<()>,
) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (shared, (head, _)) = (shared.clone(), request.into_parts());
        let wait = waits(&head.uri);
        let under_way = answering.upgrade().filter(|_| wait);
        let answer = move || respond(&shared, scope, peer.ip(), &head.method, &head.uri, &head.headers);
        async move {
            let answer = if wait { spawn_blocking(answer).await? } else { answer() };
            drop(under_way);
            Ok::<_, JoinError>(answer.map(|body| Full::new(Bytes::from(body))))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // A client's mistakes are its own: the error tells nobody anything.
    if timeout(LIFETIME, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_ANSWER, connection).await;
    }
}
