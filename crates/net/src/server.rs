//! A small server for every component that listens: TLS, timeouts against slow clients, and a graceful stop. What a
//! request means is the [`Handler`]'s over HTTP/1.1 and HTTP/2, and that of [`Calls`] on ports that speak gRPC alone.

mod activity;
mod body;
mod connection;
mod edges;
mod socket;
mod speaks;
#[cfg(test)]
pub(crate) mod tests;
mod watch;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use activity::Stream;
pub use body::ReplyBody;
pub use connection::serve_connection;
pub(crate) use edges::Seat;
pub(crate) use watch::{Signs, Verdict, Watch};

use crate::http2::{Calls, PingPolicy, ServedCalls};
use edges::Edges;
use socket::Socket;

/// How long a TLS handshake may take when no header timeout is set.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long accepting rests when the system has no file descriptor or memory left for a connection.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What a handler answers with, later.
pub type Reply = Pin<Box<dyn Future<Output = Response<ReplyBody>> + Send>>;

/// Answers requests. The future is dropped when the client goes away.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(self: Arc<Self>, request: Request<Incoming>, peer: SocketAddr) -> Reply;
}

/// Who answers.
#[derive(Clone)]
pub enum Service {
    /// Requests over HTTP/1.1 and HTTP/2.
    Http(Arc<dyn Handler>),
    /// Calls over HTTP/2.
    Calls(Arc<dyn Calls>),
}

/// How connections are served.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// TLS, with the protocols it offers; none for plain text.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// How long a client may take for the TLS handshake and for the head of a request once its first byte arrived.
    pub header_timeout: Option<Duration>,
    /// How long a connection may stay open with no request under way.
    pub idle_timeout: Option<Duration>,
    /// How old a connection may become before it is asked to end.
    pub max_age: Option<Duration>,
    /// How long a connection may take to end once it was asked for its age; none: as long as its requests take.
    pub max_age_grace: Option<Duration>,
    /// Whether an HTTP/1.1 connection serves more than one request.
    pub keep_alive: bool,
    /// Requests under way on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// How long a connection of calls may be silent before it is pinged.
    pub ping_interval: Option<Duration>,
    /// How long a ping may stay unanswered before the connection is closed.
    pub ping_timeout: Duration,
    /// How often a client of calls may ping; none: as often as it likes.
    pub ping_policy: Option<PingPolicy>,
    /// Bytes that one read from the socket may fetch; none: what the protocol asks for.
    pub read_buffer: Option<usize>,
    /// Bytes of answers that may wait to be written on a connection of calls before no more is read; none: 64 KiB.
    pub write_buffer: Option<usize>,
    /// Runtimes of one thread each, on which connections are served; with none it is the one that listens. Those of
    /// [`Service::Calls`] share the first for as long as it can carry them.
    pub edges: Arc<[Handle]>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            tls: None,
            header_timeout: Some(Duration::from_secs(60)),
            idle_timeout: None,
            max_age: None,
            max_age_grace: None,
            keep_alive: true,
            max_concurrent_streams: 1000,
            ping_interval: None,
            ping_timeout: Duration::from_secs(20),
            ping_policy: None,
            read_buffer: None,
            write_buffer: None,
            edges: Arc::default(),
        }
    }
}

/// A server that runs. Dropping it stops it at once.
#[derive(Debug)]
pub struct Server {
    local: SocketAddr,
    /// Asks connections to end when their requests are answered.
    stop: CancellationToken,
    /// Ends them.
    kill: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    /// Serves what `listener` accepts, on the current runtime.
    ///
    /// # Errors
    /// When the listener has no address, as it does once the system has closed it.
    pub fn start(listener: TcpListener, options: ServerOptions, service: Service) -> std::io::Result<Self> {
        let edges = Edges::new(&options.edges);
        Self::start_on(listener, options, service, edges)
    }

    fn start_on(
        listener: TcpListener,
        options: ServerOptions,
        service: Service,
        edges: Option<Arc<Edges>>,
    ) -> std::io::Result<Self> {
        let server = Self {
            local: listener.local_addr()?,
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        let (stop, kill) = (server.stop.clone(), server.kill.clone());
        let connections = server.connections.clone();
        let options = Arc::new(options);
        server.connections.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let (stream, peer) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection; raise the limit of open files if it persists");
                        tokio::time::sleep(ACCEPT_REST).await;
                        continue;
                    }
                };
                // Answers are small and awaited: Nagle's algorithm would only delay them.
                let _ = stream.set_nodelay(true);
                let client = Client { peer, options: Arc::clone(&options), service: service.clone() };
                let (stop, kill) = (stop.clone(), kill.clone());
                match &edges {
                    Some(edges) => {
                        let seat = edges.seat(matches!(service, Service::Calls(_)));
                        connections.spawn(client.serve_on_edges(stream, seat, stop, kill));
                    }
                    None => {
                        connections.spawn(client.serve_here(stream, stop, kill));
                    }
                }
            }
        });
        Ok(server)
    }

    /// The address it listens on, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        // The accepting task is one of those tracked.
        self.connections.len().saturating_sub(usize::from(!self.stop.is_cancelled()))
    }

    /// Listens no more, says so to the clients (GOAWAY, `connection: close`), waits until `deadline` for the requests
    /// under way, then closes what is left.
    pub async fn shutdown(self, deadline: Instant) {
        self.stop.cancel();
        self.connections.close();
        if tokio::time::timeout_at(deadline.into(), self.connections.wait()).await.is_err() {
            self.kill.cancel();
            self.connections.wait().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.kill.cancel();
    }
}

/// An accepted connection.
struct Client {
    peer: SocketAddr,
    options: Arc<ServerOptions>,
    service: Service,
}

impl Client {
    async fn serve_here(self, stream: TcpStream, stop: CancellationToken, kill: CancellationToken) {
        let socket = Socket::new(stream, Arc::default());
        // Without a seat it never moves.
        let _ = kill.run_until_cancelled(self.secure_and_serve(socket, None, stop)).await;
    }

    /// Serves it on one edge after another, as its seat has it; ends when the connection has ended.
    async fn serve_on_edges(
        self,
        stream: TcpStream,
        seat: Seat,
        stop: CancellationToken,
        kill: CancellationToken,
    ) {
        // Registered with the edge's own reactor from its first use on.
        let Ok(stream) = stream.into_std() else { return };
        let (edge, killed, stopped) = (seat.runtime().clone(), kill.clone(), stop.clone());
        let begin = async move {
            let stream = Socket::new(TcpStream::from_std(stream).ok()?, seat.moved());
            killed.run_until_cancelled(self.secure_and_serve(stream, Some(seat), stopped)).await?
        };
        let mut moving = edge.spawn(begin).await.ok().flatten();
        while let Some(calls) = moving {
            let Some(edge) = calls.runtime().cloned() else { return };
            let (killed, stopped) = (kill.clone(), stop.clone());
            let go_on = async move { killed.run_until_cancelled(calls.serve(stopped)).await? };
            moving = edge.spawn(go_on).await.ok().flatten();
        }
    }

    /// Serves it until it ends or, to be served on, moves.
    async fn secure_and_serve(
        self,
        stream: Socket,
        seat: Option<Seat>,
        stop: CancellationToken,
    ) -> Option<Box<ServedCalls>> {
        let Self { peer, options, service } = self;
        let stream: Box<dyn Stream> = match options.tls.clone() {
            None => Box::new(stream),
            Some(tls) => {
                let limit = options.header_timeout.unwrap_or(HANDSHAKE_TIMEOUT);
                Box::pin(secure(stream, tls, limit, peer)).await?
            }
        };
        // Each on its own: together a connection would take the room of the largest for as long as it lives.
        match service {
            Service::Http(handler) => {
                let _seat = seat;
                Box::pin(serve_connection(stream, peer, options, handler, stop)).await;
                None
            }
            Service::Calls(calls) => {
                let served = Box::new(ServedCalls::new(stream, peer, options, calls, seat));
                Box::pin(served.serve(stop)).await
            }
        }
    }
}

async fn secure(
    stream: Socket,
    tls: Arc<rustls::ServerConfig>,
    limit: Duration,
    peer: SocketAddr,
) -> Option<Box<dyn Stream>> {
    let handshake = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
    match tokio::time::timeout(limit, handshake).await {
        Ok(Ok(stream)) => return Some(Box::new(stream)),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
    None
}
