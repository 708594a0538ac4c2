//! The collector's keys of `zipkin`.

use forebay_config::{Diagnostics, GoDuration, Node, Unsupported};
use forebay_exporter_queue::{QueueConfig, RetryConfig};
use forebay_net::{ClientCompression, ClientTlsConfig, CompressionParams, Headers, HttpKeys, check_http_url};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The service of spans whose resource has no `service.name`: what SDKs write then.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// The configuration of a `zipkin` exporter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) endpoint: String,
    pub(crate) format: String,
    pub(crate) default_service_name: String,
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
            format: "json".to_owned(),
            default_service_name: UNKNOWN_SERVICE.to_owned(),
            tls: ClientTlsConfig::default(),
            compression: ClientCompression::default(),
            compression_params: CompressionParams::default(),
            headers: Headers::default(),
            timeout: GoDuration(Duration::from_secs(5)),
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
    /// Reads and validates the section.
    pub(crate) fn read(node: &Node) -> Result<Self, Diagnostics> {
        let config: Self = node.read()?;
        let mut found = config.keys().check(node);
        found.extend(config.sending_queue.check(node));
        found.extend(config.retry_on_failure.check(node));
        match config.format.as_str() {
            "json" => {}
            "proto" => found.push(
                node.error_at(&["format"], "`proto` is not supported: use `json`, which every Zipkin takes"),
            ),
            other => found.push(node.error_at(&["format"], format!("`{other}` is not a format: use `json`"))),
        }
        if config.default_service_name.is_empty() {
            found.push(node.error_at(&["default_service_name"], "must not be empty"));
        }
        if config.endpoint.is_empty() {
            let message = "an endpoint is needed, such as `http://zipkin:9411/api/v2/spans`";
            found.push(node.error_at(&["endpoint"], message));
        } else if let Err(message) = check_http_url(&config.endpoint) {
            found.push(node.error_at(&["endpoint"], message));
        }
        found.into_result(config)
    }

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
