//! Where an endpoint leads.

use forebay_net::ClientTlsConfig;

/// A backend's address and whether to speak TLS to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

/// An endpoint that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("an endpoint is needed: `host:port`, such as `jaeger:4317`")]
    Missing,
    #[error("`{0}` has no port: write `host:port`, such as `jaeger:4317`")]
    NoPort(String),
    #[error("`{0}` is not a port: it is a number from 1 to 65535")]
    Port(String),
    #[error("`{0}` has no host: write `host:port`")]
    NoHost(String),
    #[error("`{0}` has a path: a gRPC endpoint is only `host:port`; for OTLP over HTTP use `otlp_http`")]
    Path(String),
    #[error(
        "the scheme `{0}` is not supported: use `host:port`, `http://`, `https://`, `dns:///` or `passthrough:///`"
    )]
    Scheme(String),
}

impl Target {
    /// Reads an endpoint. A scheme `http` or `https` decides about TLS; else `tls` does.
    pub(crate) fn parse(endpoint: &str, tls: &ClientTlsConfig) -> Result<Self, EndpointError> {
        let (authority, tls) = match endpoint.split_once("://") {
            None if endpoint.starts_with("unix:") => return Err(EndpointError::Scheme("unix".to_owned())),
            None => (endpoint.strip_prefix("dns:").unwrap_or(endpoint), !tls.is_plaintext()),
            Some(("http", rest)) => (rest.strip_suffix('/').unwrap_or(rest), false),
            Some(("https", rest)) => (rest.strip_suffix('/').unwrap_or(rest), true),
            // scheme://resolver/host:port; the system's resolver is used whichever is named.
            Some(("dns" | "passthrough", rest)) => {
                (rest.split_once('/').map_or(rest, |(_, name)| name), !tls.is_plaintext())
            }
            Some((scheme, _)) => return Err(EndpointError::Scheme(scheme.to_owned())),
        };
        if authority.is_empty() {
            return Err(EndpointError::Missing);
        }
        if authority.contains('/') {
            return Err(EndpointError::Path(endpoint.to_owned()));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.starts_with('[') && host.ends_with(']') => {
                (host, port)
            }
            _ => return Err(EndpointError::NoPort(endpoint.to_owned())),
        };
        let port = match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(EndpointError::Port(port.to_owned())),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(EndpointError::NoHost(endpoint.to_owned()));
        }
        Ok(Self { host: host.to_owned(), port, tls })
    }

    /// `host:port`, with brackets where an address needs them.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}
