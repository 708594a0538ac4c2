//! The admin server: health, readiness, metrics, status, decisions and the page.
//!
//! It runs on a thread of its own with a runtime of its own, so that it answers while the data runtime is busy.
//! It reads and never changes anything: only GET and HEAD, no request bodies.

mod explain;
mod query;
mod routes;
mod serve;
mod status;

pub(crate) use routes::{Scope, Shared, respond, waits};

use crate::config::TelemetryConfig;
use crate::{Telemetry, process};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::watch;

/// Requests that may wait for other threads at a time; more wait for these.
const ASKING: usize = 8;

/// What the endpoints say about the agent.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The agent's version.
    pub version: &'static str,
    /// When the process started.
    pub started: Instant,
}

/// Why the admin server does not run.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// An address cannot be listened on.
    #[error("cannot listen on {endpoint} for the admin endpoints: {source}; set another address in {key}")]
    Listen {
        /// The address as configured.
        endpoint: String,
        /// The key that named it.
        key: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No thread or runtime.
    #[error("cannot start the thread of the admin endpoints: {0}")]
    Thread(io::Error),
}

/// The running server; stops when dropped.
#[derive(Debug)]
pub struct AdminServer {
    /// Where the page and every endpoint are.
    pub addr: SocketAddr,
    /// Where only `/health` and `/ready` are, if asked for.
    pub probes_addr: Option<SocketAddr>,
    /// Where only `/metrics` is, if it is not at `addr`.
    pub metrics_addr: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl AdminServer {
    /// Listens on the configured addresses and serves them. It answers once this returns.
    pub fn start(config: &TelemetryConfig, telemetry: Telemetry, about: About) -> Result<Self, AdminError> {
        let admin = &config.admin;
        let scope = if admin.private_pages { Scope::LocalPages } else { Scope::All };
        let mut listeners = vec![bind(&admin.endpoint, "service.telemetry.admin.endpoint", scope)?];
        let mut bind_more = |endpoint: &Option<String>, key, scope| {
            let Some(endpoint) = endpoint else { return Ok(None) };
            let bound = bind(endpoint, key, scope)?;
            let addr = bound.1;
            listeners.push(bound);
            Ok(Some(addr))
        };
        let probes =
            bind_more(&admin.probes_endpoint, "service.telemetry.admin.probes_endpoint", Scope::Probes)?;
        let metrics =
            bind_more(&admin.metrics_endpoint, "service.telemetry.metrics.readers", Scope::Metrics)?;
        let addr = listeners[0].1;

        process::register(&telemetry.metrics, about.started);
        let shared = Arc::new(Shared::new(config, telemetry, about));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_name("admin-ask")
            .max_blocking_threads(ASKING)
            .build()
            .map_err(AdminError::Thread)?;
        let (stop, stopped) = watch::channel(false);
        let listeners = {
            // Registration with the runtime fails here, not later on the thread.
            let _inside = runtime.enter();
            let listen = |(listener, _, scope)| {
                tokio::net::TcpListener::from_std(listener).map(|listener| (listener, scope))
            };
            listeners.into_iter().map(listen).collect::<Result<Vec<_>, _>>().map_err(AdminError::Thread)?
        };
        let thread = std::thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || runtime.block_on(serve::run(listeners, shared, stopped)))
            .map_err(AdminError::Thread)?;
        Ok(Self { addr, probes_addr: probes, metrics_addr: metrics, stop, thread: Some(thread) })
    }

    /// Stops listening and waits for the thread; open connections are closed.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been printed; there is nothing to undo.
            let _ = thread.join();
        }
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.end();
    }
}

type Bound = (TcpListener, SocketAddr, Scope);

fn bind(endpoint: &str, key: &'static str, scope: Scope) -> Result<Bound, AdminError> {
    // As in Go, `:8888` means every interface.
    let addresses: io::Result<Vec<SocketAddr>> = match endpoint.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}").to_socket_addrs().map(Iterator::collect),
        None => endpoint.to_socket_addrs().map(Iterator::collect),
    };
    let bound = addresses.and_then(|mut addresses| {
        // `localhost` is 127.0.0.1 first, as in Go.
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let listener = TcpListener::bind(&addresses[..])?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        Ok((listener, addr, scope))
    });
    bound.map_err(|source| AdminError::Listen { endpoint: endpoint.to_owned(), key, source })
}
