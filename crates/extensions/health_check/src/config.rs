//! The extension's configuration: the collector's keys and defaults.

use std::time::Duration;

use forebay_component::{BuildError, BuildExtension, Context, Extension, ExtensionFactory, Info};
use forebay_config::{Diagnostics, GoDuration, Node, Unsupported, refuse_unsupported};
use forebay_net::server::ServerOptions;
use forebay_net::{ListenEndpoint, ServerTlsConfig, TlsError, Transport};
use serde::{Deserialize, Serialize};

use crate::extension::HealthCheck;

/// The `health_check` extension type.
pub static FACTORY: ExtensionFactory = ExtensionFactory {
    info: Info {
        kind: "health_check",
        aliases: &[],
        description: "Answers 200 while the agent takes data, else 503.",
    },
    configure,
};

/// The keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub(crate) endpoint: ListenEndpoint,
    pub(crate) transport: Transport,
    pub(crate) tls: Option<ServerTlsConfig>,
    /// Where to ask; with a slash at its end, everything below it too.
    pub(crate) path: String,
    /// Texts to answer with instead of the collector's JSON.
    pub(crate) response_body: Option<ResponseBody>,
    #[serde(skip_serializing)]
    check_collector_pipeline: CheckPipeline,
    pub(crate) read_timeout: GoDuration,
    /// 0: as `read_timeout`.
    pub(crate) read_header_timeout: GoDuration,
    /// 0: as `read_timeout`.
    pub(crate) idle_timeout: GoDuration,
    pub(crate) keep_alives_enabled: bool,
    #[serde(skip_serializing)]
    write_timeout: Unsupported,
    #[serde(skip_serializing)]
    cors: Unsupported,
    #[serde(skip_serializing)]
    auth: Unsupported,
    #[serde(skip_serializing)]
    middlewares: Unsupported,
    #[serde(skip_serializing)]
    dialer: Unsupported,
    #[serde(skip_serializing)]
    max_request_body_size: Unsupported,
    #[serde(skip_serializing)]
    include_metadata: Unsupported,
    #[serde(skip_serializing)]
    response_headers: Unsupported,
    #[serde(skip_serializing)]
    compression_algorithms: Unsupported,
    #[serde(skip_serializing)]
    http: Unsupported,
    #[serde(skip_serializing)]
    grpc: Unsupported,
    #[serde(skip_serializing)]
    component_health: Unsupported,
}

/// Keys of the collector's that have no use or are not supported yet.
const UNSUPPORTED: [(&str, &str); 12] = [
    ("write_timeout", "answers are written at once: remove the key"),
    ("cors", "remove the key"),
    ("auth", "bind `endpoint` to an address that only probes reach, or use `tls.client_ca_file`"),
    ("middlewares", "remove the key"),
    ("dialer", "a server dials nobody: remove the key"),
    ("max_request_body_size", "bodies are not read: remove the key"),
    ("include_metadata", "remove the key"),
    ("response_headers", "remove the key"),
    ("compression_algorithms", "bodies are not read: remove the key"),
    ("http", "the second form of this extension is not supported yet: set `endpoint` and `path`"),
    ("grpc", "the second form of this extension is not supported yet: set `endpoint` and `path`"),
    (
        "component_health",
        "the second form of this extension is not supported yet; `/status` of the admin endpoint shows each component",
    ),
];

/// The texts to answer with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ResponseBody {
    pub(crate) healthy: String,
    pub(crate) unhealthy: String,
}

/// What the collector reads and then ignores.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CheckPipeline {
    enabled: bool,
    #[serde(rename = "interval")]
    _interval: Unsupported,
    #[serde(rename = "exporter_failure_threshold")]
    _exporter_failure_threshold: Unsupported,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: ListenEndpoint { host: "localhost".to_owned(), port: 13133 },
            transport: Transport::Tcp,
            tls: None,
            path: "/".to_owned(),
            response_body: None,
            check_collector_pipeline: CheckPipeline::default(),
            read_timeout: GoDuration::default(),
            read_header_timeout: Duration::from_secs(60).into(),
            idle_timeout: GoDuration::default(),
            keep_alives_enabled: false,
            write_timeout: Unsupported::default(),
            cors: Unsupported::default(),
            auth: Unsupported::default(),
            middlewares: Unsupported::default(),
            dialer: Unsupported::default(),
            max_request_body_size: Unsupported::default(),
            include_metadata: Unsupported::default(),
            response_headers: Unsupported::default(),
            compression_algorithms: Unsupported::default(),
            http: Unsupported::default(),
            grpc: Unsupported::default(),
            component_health: Unsupported::default(),
        }
    }
}

impl Config {
    /// Reads the extension's section.
    ///
    /// # Errors
    /// Every key that is unknown, of the wrong type or not supported, where it stands.
    pub fn read(node: &Node) -> Result<Self, Diagnostics> {
        let config: Self = node.read()?;
        let mut found = refuse_unsupported(node, &UNSUPPORTED);
        if let (Some(tls), Some(section)) = (&config.tls, node.get("tls")) {
            found.extend(tls.check(section));
        }
        if !config.path.starts_with('/') {
            found.push(node.error_at(&["path"], "a path starts with `/`"));
        }
        found.into_result(config)
    }

    /// Whether a request to `path` is meant for this extension.
    pub(crate) fn serves(&self, path: &str) -> bool {
        path == self.path || (self.path.ends_with('/') && path.starts_with(&self.path))
    }

    pub(crate) fn server_options(&self) -> Result<ServerOptions, TlsError> {
        let nonzero = |duration: GoDuration| (!duration.0.is_zero()).then_some(duration.0);
        let read = nonzero(self.read_timeout);
        Ok(ServerOptions {
            tls: self.tls.as_ref().map(|tls| tls.load(&[b"h2", b"http/1.1"])).transpose()?,
            header_timeout: nonzero(self.read_header_timeout).or(read),
            idle_timeout: nonzero(self.idle_timeout).or(read),
            keep_alive: self.keep_alives_enabled,
            ..ServerOptions::default()
        })
    }

    /// Whether the check was asked for that the collector reads and ignores.
    pub(crate) fn wants_ignored_check(&self) -> bool {
        self.check_collector_pipeline.enabled
    }
}

fn configure(node: &Node) -> Result<Box<dyn BuildExtension>, Diagnostics> {
    Ok(Box::new(Plan(Config::read(node)?)))
}

struct Plan(Config);

impl BuildExtension for Plan {
    fn effective(&self) -> serde_json::Value {
        serde_json::to_value(&self.0).unwrap_or_default()
    }

    fn build(self: Box<Self>, context: Context) -> Result<Box<dyn Extension>, BuildError> {
        Ok(Box::new(HealthCheck::build(self.0, &context)?))
    }
}
