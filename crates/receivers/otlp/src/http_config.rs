//! The `http` section: the collector's `confighttp` and the paths.

use std::time::Duration;

use forebay_config::{ByteSize, Diagnostics, GoDuration, Node, Unsupported, refuse_unsupported};
use forebay_net::server::ServerOptions;
use forebay_net::{Compression, Headers, ListenEndpoint, ServerTlsConfig, TlsError, Transport};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::config::{UNSUPPORTED, nonzero};
use crate::cors::CorsConfig;

const DEFAULT_MAX_BODY: u64 = 20 << 20;
const TRACES_PATH: &str = "/v1/traces";
/// Other signals' paths: known, so that a configuration may spell out the defaults.
const OTHER_PATHS: [(&str, &str); 2] = [("metrics_url_path", "/v1/metrics"), ("logs_url_path", "/v1/logs")];

/// The `http` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpConfig {
    pub(crate) endpoint: ListenEndpoint,
    pub(crate) transport: Transport,
    pub(crate) tls: Option<ServerTlsConfig>,
    pub(crate) traces_url_path: String,
    #[serde(skip_serializing)]
    metrics_url_path: Option<String>,
    #[serde(skip_serializing)]
    logs_url_path: Option<String>,
    pub(crate) cors: Option<CorsConfig>,
    /// Of a body, on the wire and decompressed; 0 is the default.
    pub(crate) max_request_body_size: ByteSize,
    /// What `content-encoding` may be; none: all that are supported.
    pub(crate) compression_algorithms: Option<Vec<String>>,
    pub(crate) include_metadata: bool,
    pub(crate) response_headers: Headers,
    /// For reading a request with its body; 0: no limit but for a stall.
    pub(crate) read_timeout: GoDuration,
    /// For reading a request's head; 0: as `read_timeout`.
    pub(crate) read_header_timeout: GoDuration,
    /// For answering a request; 0: no limit.
    pub(crate) write_timeout: GoDuration,
    /// For the next request on a connection; 0: as `read_timeout`.
    pub(crate) idle_timeout: GoDuration,
    pub(crate) keep_alives_enabled: bool,
    #[serde(skip_serializing)]
    auth: Unsupported,
    #[serde(skip_serializing)]
    middlewares: Unsupported,
    #[serde(skip_serializing)]
    dialer: Unsupported,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            endpoint: ListenEndpoint { host: "localhost".to_owned(), port: 4318 },
            transport: Transport::Tcp,
            tls: None,
            traces_url_path: TRACES_PATH.to_owned(),
            metrics_url_path: None,
            logs_url_path: None,
            cors: None,
            max_request_body_size: ByteSize(DEFAULT_MAX_BODY),
            compression_algorithms: None,
            include_metadata: false,
            response_headers: Headers::default(),
            read_timeout: GoDuration::default(),
            read_header_timeout: Duration::from_secs(60).into(),
            write_timeout: GoDuration::default(),
            idle_timeout: GoDuration::default(),
            keep_alives_enabled: true,
            auth: Unsupported::default(),
            middlewares: Unsupported::default(),
            dialer: Unsupported::default(),
        }
    }
}

impl HttpConfig {
    /// The largest body, in bytes.
    pub(crate) fn max_body(&self) -> usize {
        let bytes = self.max_request_body_size.bytes();
        usize::try_from(if bytes == 0 { DEFAULT_MAX_BODY } else { bytes }).unwrap_or(usize::MAX)
    }

    /// The path with its leading slash.
    pub(crate) fn traces_path(&self) -> String {
        let path = &self.traces_url_path;
        if path.starts_with('/') { path.clone() } else { format!("/{path}") }
    }

    /// What a body may be compressed with.
    pub(crate) fn compressions(&self) -> Vec<Compression> {
        match &self.compression_algorithms {
            None => Compression::ALL.to_vec(),
            Some(names) => names.iter().filter_map(|name| name.parse().ok()).collect(),
        }
    }

    pub(crate) fn read_timeout(&self) -> Option<Duration> {
        nonzero(self.read_timeout)
    }

    pub(crate) fn write_timeout(&self) -> Option<Duration> {
        nonzero(self.write_timeout)
    }

    pub(crate) fn server_options(&self) -> Result<ServerOptions, TlsError> {
        Ok(ServerOptions {
            tls: self.tls.as_ref().map(|tls| tls.load(&[b"h2", b"http/1.1"])).transpose()?,
            header_timeout: nonzero(self.read_header_timeout).or(self.read_timeout()),
            idle_timeout: nonzero(self.idle_timeout).or(self.read_timeout()),
            keep_alive: self.keep_alives_enabled,
            ..ServerOptions::default()
        })
    }

    pub(crate) fn check(&self, node: &Node) -> Diagnostics {
        let mut found = refuse_unsupported(node, &UNSUPPORTED);
        if let (Some(tls), Some(section)) = (&self.tls, node.get("tls")) {
            found.extend(tls.check(section));
        }
        let given = [&self.metrics_url_path, &self.logs_url_path];
        for ((key, default), path) in OTHER_PATHS.into_iter().zip(given) {
            if path
                .as_deref()
                .is_some_and(|path| path.trim_start_matches('/') != default.trim_start_matches('/'))
            {
                let error = node
                    .error_at(&[key], format!("`{key}` is not supported: this receiver takes traces only"));
                found.push(error.with_help("remove the key"));
            }
        }
        if self.traces_url_path.contains(['?', '#', ' ']) || self.traces_url_path.is_empty() {
            found.push(node.error_at(&["traces_url_path"], "is not the path of a URL, such as `/v1/traces`"));
        }
        for (index, name) in self.compression_algorithms.iter().flatten().enumerate() {
            if let Err(error) = name.parse::<Compression>() {
                found.push(node.error_at(&["compression_algorithms", &index.to_string()], error.to_string()));
            }
        }
        for (name, value) in &self.response_headers.0 {
            let valid =
                HeaderName::try_from(name.as_str()).is_ok() && HeaderValue::try_from(value.expose()).is_ok();
            if !valid {
                let message =
                    format!("`{name}` is not a header's name, or its value is not a header's value");
                found.push(node.error_at(&["response_headers", name], message));
            }
        }
        for (index, origin) in self.cors.iter().flat_map(|cors| &cors.allowed_origins).enumerate() {
            if origin.matches('*').count() > 1 {
                let message = format!("the origin `{origin}` has more than one `*`");
                found.push(node.error_at(&["cors", "allowed_origins", &index.to_string()], message));
            }
        }
        found
    }
}
