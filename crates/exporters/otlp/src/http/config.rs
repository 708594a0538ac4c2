//! The collector's keys of `otlp_http`.

use forebay_config::{Diagnostics, GoDuration, Node, Unsupported};
use forebay_exporter_queue::{QueueConfig, RetryConfig};
use forebay_net::{
    ClientCompression, ClientTlsConfig, Compression, CompressionParams, Headers, HttpKeys, check_http_url,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How requests are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    /// Binary protobuf: the bytes as they came.
    #[default]
    Proto,
    /// JSON, by the OTLP specification's mapping.
    Json,
}

/// The configuration of an `otlp_http` exporter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) endpoint: String,
    pub(crate) traces_endpoint: String,
    pub(crate) encoding: Encoding,
    pub(crate) tls: ClientTlsConfig,
    pub(crate) compression: ClientCompression,
    pub(crate) compression_params: CompressionParams,
    pub(crate) headers: Headers,
    pub(crate) timeout: GoDuration,
    pub(crate) sending_queue: QueueConfig,
    pub(crate) retry_on_failure: RetryConfig,
    pub(crate) proxy_url: String,
    pub(crate) max_idle_conns: usize,
    pub(crate) max_idle_conns_per_host: usize,
    pub(crate) idle_conn_timeout: GoDuration,
    pub(crate) disable_keep_alives: bool,
    pub(crate) force_attempt_http2: bool,
    pub(crate) http2_read_idle_timeout: GoDuration,
    pub(crate) http2_ping_timeout: GoDuration,
    /// Of other signals: a shared section may have them, and they change nothing for traces.
    #[serde(skip_serializing)]
    metrics_endpoint: Unsupported,
    #[serde(skip_serializing)]
    logs_endpoint: Unsupported,
    #[serde(skip_serializing)]
    profiles_endpoint: Unsupported,
    #[serde(skip_serializing)]
    auth: Unsupported,
    #[serde(skip_serializing)]
    cookies: Unsupported,
    #[serde(skip_serializing)]
    middlewares: Unsupported,
    #[serde(skip_serializing)]
    read_buffer_size: Unsupported,
    #[serde(skip_serializing)]
    write_buffer_size: Unsupported,
    #[serde(skip_serializing)]
    max_conns_per_host: Unsupported,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            traces_endpoint: String::new(),
            encoding: Encoding::Proto,
            tls: ClientTlsConfig::default(),
            compression: ClientCompression(Compression::Gzip),
            compression_params: CompressionParams::default(),
            headers: Headers::default(),
            timeout: GoDuration(Duration::from_secs(30)),
            sending_queue: QueueConfig::default(),
            retry_on_failure: RetryConfig::default(),
            proxy_url: String::new(),
            max_idle_conns: 100,
            max_idle_conns_per_host: 0,
            idle_conn_timeout: GoDuration(Duration::from_secs(90)),
            disable_keep_alives: false,
            force_attempt_http2: true,
            http2_read_idle_timeout: GoDuration(Duration::ZERO),
            http2_ping_timeout: GoDuration(Duration::ZERO),
            metrics_endpoint: Unsupported::default(),
            logs_endpoint: Unsupported::default(),
            profiles_endpoint: Unsupported::default(),
            auth: Unsupported::default(),
            cookies: Unsupported::default(),
            middlewares: Unsupported::default(),
            read_buffer_size: Unsupported::default(),
            write_buffer_size: Unsupported::default(),
            max_conns_per_host: Unsupported::default(),
        }
    }
}

impl Config {
    pub(crate) fn keys(&self) -> HttpKeys<'_> {
        HttpKeys {
            tls: &self.tls,
            headers: &self.headers,
            compression: self.compression,
            compression_params: self.compression_params,
            proxy_url: &self.proxy_url,
            max_idle_conns: self.max_idle_conns,
            max_idle_conns_per_host: self.max_idle_conns_per_host,
            idle_conn_timeout: self.idle_conn_timeout,
            disable_keep_alives: self.disable_keep_alives,
            force_attempt_http2: self.force_attempt_http2,
            http2_read_idle_timeout: self.http2_read_idle_timeout,
            http2_ping_timeout: self.http2_ping_timeout,
        }
    }
}

/// Reads and validates the section; the URL is where traces go.
pub(crate) fn read(node: &Node) -> Result<(Config, String), Diagnostics> {
    let config: Config = node.read()?;
    let mut found = config.keys().check(node);
    found.extend(config.sending_queue.check(node));
    found.extend(config.retry_on_failure.check(node));
    let (key, url) = match (config.traces_endpoint.as_str(), config.endpoint.as_str()) {
        ("", "") => {
            let message = "`endpoint` or `traces_endpoint` is needed, such as `http://tempo:4318`";
            found.push(node.error_at(&["endpoint"], message));
            return Err(found);
        }
        ("", endpoint) => {
            ("endpoint", format!("{}/v1/traces", endpoint.strip_suffix('/').unwrap_or(endpoint)))
        }
        (endpoint, _) => ("traces_endpoint", endpoint.to_owned()),
    };
    if let Err(message) = check_http_url(&url) {
        found.push(node.error_at(&[key], message));
    }
    found.into_result((config, url))
}
