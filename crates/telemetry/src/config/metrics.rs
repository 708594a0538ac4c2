//! `service.telemetry.metrics`.

use super::{endpoint_problem, keep};
use forebay_config::{Diagnostics, Node};
use serde::{Deserialize, Deserializer, Serialize, de};

/// How many of its own metrics the agent shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsLevel {
    /// None: `/metrics` answers 404.
    None,
    /// Without the batch processor's.
    Basic,
    /// Without batch sizes in bytes and processing times.
    #[default]
    Normal,
    /// All.
    Detailed,
}

impl MetricsLevel {
    /// Whether a metric is shown at this level; the same ones as in the collector.
    pub fn shows(self, name: &str) -> bool {
        let detail = name == "otelcol_processor_batch_batch_send_size_bytes"
            || name == "otelcol_processor_internal_duration"
            || name.starts_with("otelcol_exporter_queue_batch_send_size");
        match self {
            MetricsLevel::None => false,
            MetricsLevel::Basic => !detail && !name.starts_with("otelcol_processor_batch_"),
            MetricsLevel::Normal => !detail,
            MetricsLevel::Detailed => true,
        }
    }
}

impl<'de> Deserialize<'de> for MetricsLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(MetricsLevel::None),
            "basic" => Ok(MetricsLevel::Basic),
            "normal" => Ok(MetricsLevel::Normal),
            "detailed" => Ok(MetricsLevel::Detailed),
            _ => Err(de::Error::unknown_variant(&text, &["none", "basic", "normal", "detailed"])),
        }
    }
}

/// The agent's own metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MetricsConfig {
    /// How many of them are shown.
    pub level: MetricsLevel,
    /// Whether counters are named `..._total` (`without_type_suffix: false`).
    pub counter_suffix: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawMetrics {
    level: MetricsLevel,
    address: Option<String>,
    readers: Option<Vec<RawReader>>,
    views: Option<Vec<de::IgnoredAny>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawReader {
    pull: Option<RawPull>,
    periodic: Option<de::IgnoredAny>,
    producers: Option<Vec<de::IgnoredAny>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawPull {
    exporter: RawExporter,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawExporter {
    prometheus: Option<RawPrometheus>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawPrometheus {
    host: Option<String>,
    port: Option<u16>,
    without_scope_info: Option<bool>,
    without_type_suffix: Option<bool>,
    without_units: Option<bool>,
    with_resource_constant_labels: Option<de::IgnoredAny>,
}

const SUPPORTED: &str = "one `- pull: {exporter: {prometheus: {host, port}}}` is supported";

/// The settings, and the address a Prometheus reader or the older `address` names.
pub(super) fn parse(node: &Node, found: &mut Diagnostics) -> (MetricsConfig, Option<String>) {
    let before = found.0.len();
    let raw: RawMetrics = keep(node.read(), found);
    if found.0.len() > before {
        // What could not be read says nothing about what is missing.
        return (MetricsConfig::default(), None);
    }
    if raw.views.is_some_and(|views| !views.is_empty()) {
        let help =
            "remove `views`; `level` says how many metrics are shown, a scrape configuration can drop more";
        found.push(node.error_at(&["views"], "views are not supported").with_help(help));
    }
    if let Some(message) = raw.address.as_deref().and_then(endpoint_problem) {
        found.push(node.error_at(&["address"], message));
    }
    let mut config = MetricsConfig { level: raw.level, counter_suffix: false };
    let readers = raw.readers.unwrap_or_default();
    if node.get("readers").is_some_and(|list| !list.is_null()) && readers.is_empty() && raw.address.is_none()
    {
        if raw.level != MetricsLevel::None {
            let message = "no reader, and `level` is not `none`";
            found.push(
                node.error_at(&["readers"], message).with_help("leave `readers` out, or say `level: none`"),
            );
        }
        return (config, None);
    }
    let mut endpoint = raw.address;
    for (index, reader) in readers.iter().enumerate() {
        let index_text = index.to_string();
        let at = |path: &[&str], message: String| {
            let mut full = vec!["readers", index_text.as_str()];
            full.extend(path);
            node.error_at(&full, message)
        };
        if reader.periodic.is_some() {
            let message = "the agent does not push its own metrics".to_owned();
            let help = "let Prometheus, or a collector's `prometheus` receiver, scrape `/metrics`: ";
            found.push(at(&["periodic"], message).with_help(format!("{help}{SUPPORTED}")));
            continue;
        }
        if reader.producers.as_ref().is_some_and(|list| !list.is_empty()) {
            found.push(at(&["producers"], format!("metric producers are not supported: {SUPPORTED}")));
        }
        let Some(prometheus) = reader.pull.as_ref().and_then(|pull| pull.exporter.prometheus.as_ref()) else {
            found.push(at(&[], format!("a reader without a Prometheus exporter: {SUPPORTED}")));
            continue;
        };
        if index > 0 {
            found.push(at(&[], format!("a second reader: {SUPPORTED}")));
            continue;
        }
        let path = ["pull", "exporter", "prometheus"];
        for (key, value) in [
            ("without_scope_info", prometheus.without_scope_info),
            ("without_units", prometheus.without_units),
        ] {
            if value == Some(false) {
                let message =
                    "only `true`, the default, is supported: metric names and labels are the collector's"
                        .to_owned();
                found.push(at(&[path[0], path[1], path[2], key], message));
            }
        }
        if prometheus.with_resource_constant_labels.is_some() {
            let message = "resource attributes as labels of every metric are not supported".to_owned();
            let key = "with_resource_constant_labels";
            let help = "join with `target_info`, which carries them";
            found.push(at(&[path[0], path[1], path[2], key], message).with_help(help));
        }
        config.counter_suffix = prometheus.without_type_suffix == Some(false);
        match (&prometheus.host, prometheus.port) {
            (Some(host), Some(port)) => {
                let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
                let address =
                    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
                match endpoint_problem(&address) {
                    Some(message) => found.push(at(&[path[0], path[1], path[2], "host"], message)),
                    None => endpoint = Some(address),
                }
            }
            (host, _) => {
                let missing = if host.is_none() { "host" } else { "port" };
                found.push(at(&path, format!("the key `{missing}` is missing")));
            }
        }
    }
    (config, endpoint)
}
