//! Metric families as text: the Prometheus format 0.0.4 and OpenMetrics 1.0.

use prometheus::proto::{LabelPair, MetricFamily, MetricType};
use std::fmt::Write;

/// `Content-Type` of [`Dialect::Prometheus`].
pub const PROMETHEUS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// `Content-Type` of [`Dialect::OpenMetrics`].
pub const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Which text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus text format 0.0.4.
    Prometheus {
        /// Whether counters are named `..._total` (`without_type_suffix: false`).
        counter_suffix: bool,
    },
    /// OpenMetrics 1.0, which demands `_total` on counters.
    OpenMetrics,
}

impl Dialect {
    /// The `Content-Type` of the format.
    pub fn content_type(self) -> &'static str {
        match self {
            Dialect::Prometheus { .. } => PROMETHEUS_TYPE,
            Dialect::OpenMetrics => OPENMETRICS_TYPE,
        }
    }

    fn open(self) -> bool {
        self == Dialect::OpenMetrics
    }

    fn counter_suffix(self) -> bool {
        !matches!(self, Dialect::Prometheus { counter_suffix: false })
    }
}

/// The families as text. `target_info` carries the resource; empty, there is none.
pub fn encode(families: &[MetricFamily], target_info: &[(String, String)], dialect: Dialect) -> String {
    let mut out = String::with_capacity(families.len() * 256);
    if !target_info.is_empty() {
        encode_target_info(&mut out, target_info, dialect);
    }
    for family in families {
        encode_family(&mut out, family, dialect);
    }
    if dialect.open() {
        out.push_str("# EOF\n");
    }
    out
}

fn encode_target_info(out: &mut String, attributes: &[(String, String)], dialect: Dialect) {
    let (name, kind) = if dialect.open() { ("target", "info") } else { ("target_info", "gauge") };
    header(out, name, "Target metadata", kind, dialect);
    out.push_str("target_info");
    let mut labels: Vec<(String, &str)> = Vec::with_capacity(attributes.len());
    for (key, value) in attributes {
        let name = label_name(key);
        // Two attributes may become the same label; the first one stays.
        if !labels.iter().any(|(known, _)| *known == name) {
            labels.push((name, value));
        }
    }
    write_labels(out, labels.iter().map(|(name, value)| (name.as_str(), *value)));
    out.push_str(" 1\n");
}

fn encode_family(out: &mut String, family: &MetricFamily, dialect: Dialect) {
    if family.get_metric().is_empty() {
        return;
    }
    let counter = family.get_field_type() == MetricType::COUNTER;
    let base = if counter && dialect.counter_suffix() {
        family.name().strip_suffix("_total").unwrap_or(family.name())
    } else {
        family.name()
    };
    let sample = if counter && dialect.counter_suffix() { format!("{base}_total") } else { base.to_owned() };
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED if dialect.open() => "unknown",
        MetricType::UNTYPED => "untyped",
    };
    header(out, if dialect.open() { base } else { &sample }, family.help(), kind, dialect);
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match family.get_field_type() {
            MetricType::COUNTER => line(out, &sample, labels, None, metric.get_counter().get_value()),
            MetricType::GAUGE => line(out, &sample, labels, None, metric.get_gauge().get_value()),
            MetricType::HISTOGRAM => {
                let histogram = metric.get_histogram();
                let bucket = format!("{base}_bucket");
                for part in histogram.get_bucket() {
                    let bound = bound(part.upper_bound(), dialect);
                    line(out, &bucket, labels, Some(("le", &bound)), part.cumulative_count() as f64);
                }
                let count = histogram.get_sample_count() as f64;
                if !histogram.get_bucket().iter().any(|part| part.upper_bound() == f64::INFINITY) {
                    line(out, &bucket, labels, Some(("le", "+Inf")), count);
                }
                line(out, &format!("{base}_sum"), labels, None, histogram.get_sample_sum());
                line(out, &format!("{base}_count"), labels, None, count);
            }
            // The registry hands out no summaries and no untyped metrics.
            MetricType::SUMMARY | MetricType::UNTYPED => {}
        }
    }
}

fn header(out: &mut String, name: &str, help: &str, kind: &str, dialect: Dialect) {
    let mut escaped = String::with_capacity(help.len());
    for c in help.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if dialect.open() => escaped.push_str("\\\""),
            c => escaped.push(c),
        }
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# HELP {name} {escaped}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &[LabelPair], extra: Option<(&str, &str)>, value: f64) {
    out.push_str(name);
    write_labels(out, labels.iter().map(|label| (label.name(), label.value())).chain(extra));
    out.push(' ');
    write_value(out, value);
    out.push('\n');
}

fn write_labels<'a>(out: &mut String, labels: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut separator = '{';
    for (name, value) in labels {
        out.push(separator);
        separator = ',';
        out.push_str(name);
        out.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    if separator == ',' {
        out.push('}');
    }
}

fn write_value(out: &mut String, value: f64) {
    let _ = if value.is_nan() {
        out.write_str("NaN")
    } else if value == f64::INFINITY {
        out.write_str("+Inf")
    } else if value == f64::NEG_INFINITY {
        out.write_str("-Inf")
    } else {
        write!(out, "{value}")
    };
}

/// A bucket's bound: `1` as the collector writes it, `1.0` where OpenMetrics wants a float to look like one.
fn bound(value: f64, dialect: Dialect) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        _ if dialect.open() => format!("{value:?}"),
        _ => format!("{value}"),
    }
}

/// An attribute key as a label name: what is no letter, digit or `_` becomes `_`.
fn label_name(key: &str) -> String {
    let mut name: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "key_");
    }
    name
}

/// The format to answer with for an `Accept` header.
///
/// Text wins wherever the client names it: the names of the collector's counters end without `_total`, which
/// OpenMetrics forbids, and a Prometheus that names both must not see other names than from a collector.
pub fn negotiate(accept: Option<&str>, counter_suffix: bool) -> Dialect {
    let text = Dialect::Prometheus { counter_suffix };
    let Some(accept) = accept else { return text };
    let mut open = false;
    for item in accept.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = parts
            .filter_map(|part| part.split_once('='))
            .any(|(key, value)| key.trim().eq_ignore_ascii_case("q") && value.trim().parse() == Ok(0.0));
        match kind.as_str() {
            "text/plain" | "text/*" if !refused => return text,
            "application/openmetrics-text" => open = open || !refused,
            _ => {}
        }
    }
    if open { Dialect::OpenMetrics } else { text }
}
