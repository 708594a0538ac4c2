//! The collector's keys of `otlp_grpc`.

use super::target::Target;
use forebay_config::{Diagnostics, GoDuration, Node, Unsupported, refuse_unsupported};
use forebay_exporter_queue::{QueueConfig, RetryConfig};
use forebay_net::{ClientCompression, ClientTlsConfig, Compression, Headers};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The configuration of an `otlp_grpc` exporter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) endpoint: String,
    pub(crate) tls: ClientTlsConfig,
    pub(crate) compression: ClientCompression,
    pub(crate) headers: Headers,
    pub(crate) timeout: GoDuration,
    pub(crate) sending_queue: QueueConfig,
    pub(crate) retry_on_failure: RetryConfig,
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) wait_for_ready: bool,
    pub(crate) balancer_name: Balancer,
    pub(crate) authority: String,
    pub(crate) user_agent: String,
    #[serde(skip_serializing)]
    auth: Unsupported,
    #[serde(skip_serializing)]
    middlewares: Unsupported,
    #[serde(skip_serializing)]
    read_buffer_size: Unsupported,
    #[serde(skip_serializing)]
    write_buffer_size: Unsupported,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            tls: ClientTlsConfig::default(),
            compression: ClientCompression(Compression::Gzip),
            headers: Headers::default(),
            timeout: GoDuration(Duration::from_secs(5)),
            sending_queue: QueueConfig::default(),
            retry_on_failure: RetryConfig::default(),
            keepalive: None,
            wait_for_ready: false,
            balancer_name: Balancer::RoundRobin,
            authority: String::new(),
            user_agent: String::new(),
            auth: Unsupported::default(),
            middlewares: Unsupported::default(),
            read_buffer_size: Unsupported::default(),
            write_buffer_size: Unsupported::default(),
        }
    }
}

/// The section `keepalive`: HTTP/2 pings that notice a connection gone dead.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Keepalive {
    /// How long without traffic before a ping.
    pub(crate) time: GoDuration,
    /// How long to wait for its answer.
    pub(crate) timeout: GoDuration,
    /// Whether to ping while nothing is being sent.
    pub(crate) permit_without_stream: bool,
}

impl Default for Keepalive {
    fn default() -> Self {
        let ten = GoDuration(Duration::from_secs(10));
        Self { time: ten, timeout: ten, permit_without_stream: false }
    }
}

/// How the addresses that the endpoint's name stands for are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Balancer {
    /// Each new connection goes to the next address. Requests share one connection at a time.
    RoundRobin,
    /// Each connection goes to the first address that answers.
    PickFirst,
}

/// Reads and validates the section.
pub(crate) fn read(node: &Node) -> Result<(Config, Target), Diagnostics> {
    let config: Config = node.read()?;
    let mut found = Diagnostics::default();
    let unsupported = [
        ("auth", "set the credentials in `headers`; authenticator extensions do not exist yet"),
        ("middlewares", "remove it: middleware extensions do not exist"),
        ("read_buffer_size", "remove it: buffers size themselves"),
        ("write_buffer_size", "remove it: buffers size themselves"),
    ];
    found.extend(refuse_unsupported(node, &unsupported));
    found.extend(config.tls.check(node));
    found.extend(config.headers.check(node));
    found.extend(config.sending_queue.check(node));
    found.extend(config.retry_on_failure.check(node));
    for (name, _) in &config.headers.0 {
        if name.to_ascii_lowercase().starts_with("grpc-") || name.to_ascii_lowercase().ends_with("-bin") {
            let message =
                format!("`{name}`: names that begin with `grpc-` or end with `-bin` are gRPC's own");
            found.push(node.error_at(&["headers", name], message));
        }
    }
    if matches!(config.compression.0, Compression::Zlib | Compression::Deflate) {
        found.push(
            node.error_at(&["compression"], "is not supported over gRPC: use `gzip`, `zstd` or `none`"),
        );
    }
    if !config.user_agent.is_empty() && http::HeaderValue::try_from(&config.user_agent).is_err() {
        found.push(node.error_at(&["user_agent"], "has characters that no header may have"));
    }
    if !config.authority.is_empty() && http::uri::Authority::try_from(config.authority.as_str()).is_err() {
        found.push(node.error_at(&["authority"], "must be `host` or `host:port`"));
    }
    match Target::parse(&config.endpoint, &config.tls) {
        Ok(target) => found.into_result((config, target)),
        Err(error) => {
            found.push(node.error_at(&["endpoint"], error.to_string()));
            Err(found)
        }
    }
}
