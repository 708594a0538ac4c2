//! Connections to a backend: TCP, TLS, HTTP/2.

use super::config::{Balancer, Config};
use super::target::Target;
use crate::USER_AGENT;
use forebay_net::ClientTlsError;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

/// A connection that takes longer has failed, as in grpc-go.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Between attempts to connect while requests wait for a connection (`wait_for_ready`).
const RECONNECT: Duration = Duration::from_millis(500);

/// A channel could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error(transparent)]
    Tls(#[from] ClientTlsError),
    #[error("the endpoint cannot be used: {0}")]
    Endpoint(String),
}

/// A stream that HTTP/2 runs on.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A channel that connects when it is first used, and again whenever the connection is lost.
pub(crate) fn channel(config: &Config, target: &Target) -> Result<Channel, ChannelError> {
    let tls = match target.tls {
        true => {
            let name = match config.tls.server_name_override.as_str() {
                "" => target.host.clone(),
                name => name.to_owned(),
            };
            let name =
                ServerName::try_from(name).map_err(|error| ChannelError::Endpoint(error.to_string()))?;
            Some((TlsConnector::from(Arc::new(config.tls.build(&[b"h2"])?)), name))
        }
        false => None,
    };
    let authority = match config.authority.as_str() {
        "" => target.authority(),
        authority => authority.to_owned(),
    };
    let scheme = if target.tls { "https" } else { "http" };
    let origin: Uri = format!("{scheme}://{authority}")
        .parse()
        .map_err(|error| ChannelError::Endpoint(format!("{authority}: {error}")))?;
    let agent = if config.user_agent.is_empty() { USER_AGENT } else { &config.user_agent };
    // tonic itself sees plaintext: TLS is made in the connector, with the settings rustls got.
    let invalid = |error: tonic::transport::Error| ChannelError::Endpoint(describe(&error));
    let mut endpoint = Endpoint::from_shared(format!("http://{}", target.authority()))
        .and_then(|endpoint| endpoint.user_agent(agent))
        .map_err(invalid)?
        .origin(origin);
    if let Some(keepalive) = &config.keepalive {
        endpoint = endpoint
            .http2_keep_alive_interval(keepalive.time.0)
            .keep_alive_timeout(keepalive.timeout.0)
            .keep_alive_while_idle(keepalive.permit_without_stream);
    }
    let (address, wait) = ((target.host.clone(), target.port), config.wait_for_ready);
    let rotates = config.balancer_name == Balancer::RoundRobin;
    let turn = Arc::new(AtomicUsize::new(0));
    let connector = tower::service_fn(move |_: Uri| {
        let (address, tls, turn) = (address.clone(), tls.clone(), Arc::clone(&turn));
        async move {
            loop {
                let first = if rotates { turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
                match connect(&address, first, tls.as_ref()).await {
                    Err(_) if wait => tokio::time::sleep(RECONNECT).await,
                    done => return done.map(TokioIo::new),
                }
            }
        }
    });
    Ok(endpoint.connect_with_connector_lazy(connector))
}

/// Connects to the first of the name's addresses that answers, starting with number `first` of them.
async fn connect(
    address: &(String, u16),
    first: usize,
    tls: Option<&(TlsConnector, ServerName<'static>)>,
) -> io::Result<Box<dyn Stream>> {
    let connect = async {
        let mut addresses: Vec<_> = tokio::net::lookup_host((address.0.as_str(), address.1)).await?.collect();
        let count = addresses.len().max(1);
        addresses.rotate_left(first % count);
        let tcp = TcpStream::connect(addresses.as_slice()).await?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match tls {
            Some((connector, name)) => Box::new(connector.connect(name.clone(), tcp).await?),
            None => Box::new(tcp),
        };
        Ok(stream)
    };
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "connecting took longer than 20 s");
    tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(late)?
}

/// An error with its causes, each said once.
pub(crate) fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}
