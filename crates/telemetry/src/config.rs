//! `service.telemetry`: the collector's keys (v0.158), and `admin`, which is ours.
//!
//! What the collector has and this agent does not (OTLP readers, views, its own traces) is an error that names what
//! is supported; keys about Go's runtime are accepted and said to have no effect.

mod logs;
mod metrics;
mod resource;

pub use logs::{Encoding, LogLevel, LogSampling, LogsConfig, Output};
pub use metrics::{MetricsConfig, MetricsLevel};

use forebay_config::{Diagnostics, Node};
use serde::{Deserialize, Serialize};

/// The address of the admin endpoints when nothing names one.
pub const DEFAULT_ENDPOINT: &str = "127.0.0.1:8888";

/// `service.telemetry`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryConfig {
    /// The agent's own log.
    pub logs: LogsConfig,
    /// The agent's own metrics.
    pub metrics: MetricsConfig,
    /// Attributes of the agent itself, as `target_info` shows them. `service.name`, `service.version` and
    /// `service.instance.id` are there unless the configuration says null.
    pub resource: Vec<(String, String)>,
    /// Where the admin endpoints listen.
    pub admin: AdminConfig,
    /// What has no effect here, to be logged once.
    pub warnings: Diagnostics,
}

/// Where the admin endpoints listen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AdminConfig {
    /// The page, `/status`, `/decisions`, `/metrics`, `/health` and `/ready`.
    pub endpoint: String,
    /// A second address with `/health` and `/ready` only, for a kubelet or a load balancer.
    pub probes_endpoint: Option<String>,
    /// Where the collector's Prometheus reader would listen, when that is not `endpoint`: `/metrics` only.
    pub metrics_endpoint: Option<String>,
    /// `endpoint` came from a Prometheus reader, which means to show metrics and nothing else: the page, `/status` and
    /// `/decisions` then answer only clients on the same machine.
    pub private_pages: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawTelemetry {
    logs: Option<serde::de::IgnoredAny>,
    metrics: Option<serde::de::IgnoredAny>,
    traces: Option<serde::de::IgnoredAny>,
    resource: Option<serde::de::IgnoredAny>,
    admin: RawAdmin,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawAdmin {
    endpoint: Option<String>,
    probes_endpoint: Option<String>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        let logs = LogsConfig::default();
        let admin = AdminConfig { endpoint: DEFAULT_ENDPOINT.to_owned(), ..AdminConfig::default() };
        let metrics = MetricsConfig::default();
        Self { logs, metrics, resource: resource::defaults(), admin, warnings: Diagnostics::default() }
    }
}

/// Reads and checks `service.telemetry`; a null node gives the defaults. Reports every error it finds.
pub fn parse(node: &Node) -> Result<TelemetryConfig, Diagnostics> {
    let mut found = Diagnostics::default();
    let raw: RawTelemetry = keep(node.read(), &mut found);
    let section = |key: &str| node.get(key).cloned().unwrap_or_else(|| node.empty_child(key));
    let resource = resource::parse(&section("resource"), &mut found);
    let mut logs = logs::parse(&section("logs"), &mut found);
    let (metrics, reader) = metrics::parse(&section("metrics"), &mut found);
    check_traces(&section("traces"), &mut found);
    if !logs.disable_zap_resource {
        logs.resource = resource.clone();
    }

    let admin_node = section("admin");
    for (key, value) in [("endpoint", &raw.admin.endpoint), ("probes_endpoint", &raw.admin.probes_endpoint)] {
        if let Some(message) = value.as_deref().and_then(endpoint_problem) {
            found.push(admin_node.error_at(&[key], message));
        }
    }
    let private_pages = raw.admin.endpoint.is_none() && reader.is_some();
    let endpoint =
        raw.admin.endpoint.or_else(|| reader.clone()).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    let metrics_endpoint = reader.filter(|reader| *reader != endpoint);
    let probes_endpoint = raw.admin.probes_endpoint;
    if probes_endpoint.as_ref() == Some(&endpoint) {
        let message = format!(
            "{endpoint} is already the address of the admin endpoints, which serve /health and /ready too: \
             leave this key out or name another port"
        );
        found.push(admin_node.error_at(&["probes_endpoint"], message));
    }
    let admin = AdminConfig { endpoint, probes_endpoint, metrics_endpoint, private_pages };
    let (errors, warnings): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|diagnostic| diagnostic.severity == forebay_config::Severity::Error);
    let config = TelemetryConfig { logs, metrics, resource, admin, warnings: Diagnostics(warnings) };
    Diagnostics(errors).into_result(config)
}

/// `traces`: this agent has no spans of its own. The collector emits none either until a processor is named.
fn check_traces(node: &Node, found: &mut Diagnostics) {
    #[derive(Deserialize, Default)]
    #[serde(deny_unknown_fields, default)]
    struct RawTraces {
        level: MetricsLevel,
        propagators: Vec<Propagator>,
        processors: Option<serde::de::IgnoredAny>,
        sampler: Option<serde::de::IgnoredAny>,
        limits: Option<serde::de::IgnoredAny>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Propagator {
        TraceContext,
        B3,
    }
    let raw: RawTraces = keep(node.read(), found);
    if raw.processors.is_some() && node.get("processors").is_some_and(|list| list.items().len() > 0) {
        let message = "the agent emits no traces of its own, so there is nothing to process";
        found.push(
            node.error_at(&["processors"], message).with_help("remove `processors`, or leave the list empty"),
        );
        return;
    }
    let set = [
        ("level", node.get("level").is_some() && raw.level != MetricsLevel::None),
        ("propagators", !raw.propagators.is_empty()),
        ("sampler", raw.sampler.is_some()),
        ("limits", raw.limits.is_some()),
    ];
    for (key, _) in set.into_iter().filter(|(_, set)| *set) {
        let message = "has no effect: the agent emits no traces of its own";
        found.push(node.error_at_key(key, message).into_warning());
    }
}

/// The value that was read, or the default with the errors put into `found`.
fn keep<T: Default>(read: Result<T, Diagnostics>, found: &mut Diagnostics) -> T {
    read.unwrap_or_else(|errors| {
        found.extend(errors);
        T::default()
    })
}

/// What is wrong with `host:port` as an address to listen on.
fn endpoint_problem(endpoint: &str) -> Option<String> {
    let example = "write host:port, such as `127.0.0.1:8888`, `[::1]:8888` or `0.0.0.0:8888`";
    let Some((host, port)) = endpoint.rsplit_once(':') else {
        return Some(format!("`{endpoint}` has no port: {example}"));
    };
    if port.parse::<u16>().is_err() {
        return Some(format!("`{port}` is no port number (0 to 65535): {example}"));
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && (host.contains(':') || host.contains('/') || host.contains(char::is_whitespace)) {
        return Some(format!("`{host}` is no host: {example}"));
    }
    None
}
