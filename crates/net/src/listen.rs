//! Where a server listens.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// An address to listen on: `host:port`, `[::1]:port`, or `:port` for every address of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenEndpoint {
    /// A name, an address without brackets, or nothing for every address.
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
}

/// Why a text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Nothing at all.
    #[error("the endpoint is empty: write `host:port`, such as `0.0.0.0:4317`")]
    Empty,
    /// A unix socket.
    #[error("the endpoint `{0}` is a unix socket, which is not supported yet: write `host:port`")]
    Unix(String),
    /// `http://...`.
    #[error("the endpoint `{0}` of a server has no scheme: write `host:port`")]
    Scheme(String),
    /// No `:port`.
    #[error("the endpoint `{0}` lacks a port: write `host:port`, such as `{0}:4317`")]
    NoPort(String),
    /// The port is not 0 to 65535.
    #[error("the port in the endpoint `{0}` is not a number from 0 to 65535")]
    Port(String),
    /// An IPv6 address without brackets, or something that is no host.
    #[error(
        "the host in the endpoint `{0}` is no name or address; an IPv6 address stands in brackets, `[::1]:4317`"
    )]
    Host(String),
}

impl FromStr for ListenEndpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let owned = || text.to_owned();
        if text.trim().is_empty() {
            return Err(EndpointError::Empty);
        }
        if text.starts_with("unix:") || text.starts_with('/') {
            return Err(EndpointError::Unix(owned()));
        }
        if text.contains("://") {
            return Err(EndpointError::Scheme(owned()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| EndpointError::NoPort(owned()))?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let inner = rest.strip_suffix(']').ok_or_else(|| EndpointError::NoPort(owned()))?;
                inner.parse::<Ipv6Addr>().map_err(|_| EndpointError::Host(owned()))?;
                inner
            }
            None => host,
        };
        let bare = !text.starts_with('[');
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
        if bare && !host.chars().all(allowed) {
            return Err(EndpointError::Host(owned()));
        }
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse() {
            Ok(port) if digits => Ok(Self { host: host.to_owned(), port }),
            _ => Err(EndpointError::Port(owned())),
        }
    }
}

impl fmt::Display for ListenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl serde::Serialize for ListenEndpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ListenEndpoint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Which addresses a server may listen on, the collector's `transport`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// IPv4 and IPv6.
    #[default]
    Tcp,
    /// IPv4 only.
    Tcp4,
    /// IPv6 only.
    Tcp6,
}

impl Transport {
    /// The collector's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tcp4 => "tcp4",
            Self::Tcp6 => "tcp6",
        }
    }

    fn admits(self, address: SocketAddr) -> bool {
        match self {
            Self::Tcp => true,
            Self::Tcp4 => address.is_ipv4(),
            Self::Tcp6 => address.is_ipv6(),
        }
    }
}

impl serde::Serialize for Transport {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Transport {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = [Self::Tcp, Self::Tcp4, Self::Tcp6].into_iter().find(|known| known.as_str() == name);
        known.ok_or_else(|| {
            serde::de::Error::custom(format!(
                "the transport `{name}` is not supported: use tcp, tcp4 or tcp6"
            ))
        })
    }
}

/// A server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {endpoint}: {source}; {advice}")]
pub struct ListenError {
    endpoint: String,
    source: io::Error,
    advice: &'static str,
}

impl ListenError {
    fn new(endpoint: &ListenEndpoint, source: io::Error) -> Self {
        let advice = match source.kind() {
            io::ErrorKind::AddrInUse => {
                "another program (or another receiver of this one) listens there: stop it, or set `endpoint` to a free port"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need a privilege: set `endpoint` to a higher port"
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address: set `endpoint` to one of its own, or to 0.0.0.0 for all"
            }
            _ => "check `endpoint`",
        };
        Self { endpoint: endpoint.to_string(), source, advice }
    }
}

impl ListenEndpoint {
    /// Listens. Of a name's addresses the first IPv4 one is taken, as the collector does.
    ///
    /// # Errors
    /// When the name is unknown or the address cannot be had; the message says what to do.
    pub async fn listen(&self, transport: Transport) -> Result<TcpListener, ListenError> {
        let failed = |source| ListenError::new(self, source);
        if self.host.is_empty() && transport == Transport::Tcp {
            let every = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), self.port);
            let listener = match bind(every, false) {
                // No IPv6 on this machine.
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), self.port), false)
                }
                bound => bound,
            };
            return listener.map_err(failed);
        }
        let host = match (self.host.as_str(), transport) {
            ("", Transport::Tcp6) => "::",
            ("", _) => "0.0.0.0",
            (host, _) => host,
        };
        let mut addresses: Vec<_> = tokio::net::lookup_host((host, self.port))
            .await
            .map_err(failed)?
            .filter(|address| transport.admits(*address))
            .collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let address = addresses
            .first()
            .ok_or_else(|| failed(io::Error::new(io::ErrorKind::AddrNotAvailable, "no such address")))?;
        bind(*address, transport == Transport::Tcp6).map_err(failed)
    }
}

fn bind(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A port whose last connections linger is free again at once, for a restart.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
