//! Both text formats, checked line by line.

use crate::exposition::{Dialect, encode, negotiate};
use crate::{MetricKind, Metrics};
use proptest::prelude::*;
use std::collections::HashSet;

const PLAIN: Dialect = Dialect::Prometheus { counter_suffix: false };
const SUFFIXED: Dialect = Dialect::Prometheus { counter_suffix: true };

fn metrics(label: &str) -> Metrics {
    let metrics = Metrics::default();
    metrics
        .counter("otelcol_exporter_sent_spans", "Spans \"sent\",\n\\ all.", &[("exporter", label)])
        .inc_by(7);
    metrics.counter("requests_total", "Requests.", &[]).inc();
    metrics.gauge("otelcol_exporter_queue_size", "Size.", &[("exporter", label)]).set(-3);
    metrics.observe("odd", "Odd.", MetricKind::Gauge, &[], || f64::NAN);
    metrics.histogram("latency", "Seconds.", &[0.5, 1.0], &[("exporter", label)]).observe(0.7);
    metrics
}

/// The rules of OpenMetrics 1.0 that matter here.
fn lint(text: &str) {
    let body = text.strip_suffix("# EOF\n").expect("ends with # EOF");
    let (mut family, mut kind) = (String::new(), String::new());
    let (mut families, mut samples) = (HashSet::new(), HashSet::new());
    for line in body.lines() {
        assert!(!line.is_empty(), "no blank lines");
        if let Some(meta) = line.strip_prefix("# ") {
            let (word, rest) = meta.split_once(' ').unwrap();
            let (name, value) = rest.split_once(' ').unwrap();
            if name != family {
                assert!(families.insert(name.to_owned()), "family {name} comes twice");
                (family, kind) = (name.to_owned(), String::new());
            }
            match word {
                "TYPE" => kind = value.to_owned(),
                "HELP" => assert!(!value.replace("\\\\", "").replace("\\\"", "").contains('"')),
                other => panic!("unknown line {other}"),
            }
            continue;
        }
        let name_end = line.find(['{', ' ']).unwrap();
        let suffixes: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            other => panic!("unknown type {other:?} in {line}"),
        };
        assert!(
            suffixes.iter().any(|suffix| format!("{family}{suffix}") == line[..name_end]),
            "{line} in {family}"
        );
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(samples.insert(series.to_owned()), "{series} comes twice");
        assert!(value.parse::<f64>().is_ok() || matches!(value, "NaN" | "+Inf" | "-Inf"), "{line}");
        if let Some(bound) = series.split("le=\"").nth(1) {
            let bound = bound.split('"').next().unwrap();
            assert!(bound == "+Inf" || bound.contains('.'), "{line}");
        }
    }
}

#[test]
fn the_text_format_keeps_names_and_openmetrics_suffixes_counters() {
    let families = metrics("otlp/jaeger").gather();
    let text = encode(&families, &[], PLAIN);
    for line in [
        "# HELP otelcol_exporter_sent_spans Spans \"sent\",\\n\\\\ all.\n# TYPE otelcol_exporter_sent_spans counter\n",
        "otelcol_exporter_sent_spans{exporter=\"otlp/jaeger\"} 7\n",
        "requests_total 1\n",
        "odd NaN\n",
        "latency_bucket{exporter=\"otlp/jaeger\",le=\"1\"} 1\n",
        "latency_bucket{exporter=\"otlp/jaeger\",le=\"+Inf\"} 1\n",
        "latency_count{exporter=\"otlp/jaeger\"} 1\n",
    ] {
        assert!(text.contains(line), "{line}\n---\n{text}");
    }
    let text = encode(&families, &[], SUFFIXED);
    assert!(text.contains("# TYPE otelcol_exporter_sent_spans_total counter\n"), "{text}");
    assert!(text.contains("\nrequests_total 1\n") && !text.contains("total_total"), "{text}");
    let text = encode(&families, &[], Dialect::OpenMetrics);
    assert!(text.contains("# TYPE otelcol_exporter_sent_spans counter\n"), "{text}");
    assert!(text.contains("otelcol_exporter_sent_spans_total{exporter=\"otlp/jaeger\"} 7\n"), "{text}");
    lint(&text);
}

#[test]
fn target_info_carries_the_resource_with_legal_label_names() {
    let resource = [("service.name", "a\"b\\\n"), ("service_name", "second"), ("0x", "y")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let text = encode(&[], &resource, PLAIN);
    assert!(text.ends_with("target_info{service_name=\"a\\\"b\\\\\\n\",key_0x=\"y\"} 1\n"), "{text}");
    assert!(text.contains("# TYPE target_info gauge\n"));
    let text = encode(&[], &resource, Dialect::OpenMetrics);
    assert!(text.contains("# TYPE target info\n"), "{text}");
    lint(&text);
}

#[test]
fn the_accept_header_decides() {
    let open = |accept| negotiate(Some(accept), false) == Dialect::OpenMetrics;
    assert!(open("application/openmetrics-text"));
    assert!(open("Application/OpenMetrics-Text; version=1.0.0; charset=utf-8, */*;q=0.1"));
    assert!(open("application/openmetrics-text, text/plain;q=0"));
    assert!(!open("application/openmetrics-text;q=0.9, text/plain;q=0.1"));
    assert!(!open("application/openmetrics-text;q=0"));
    assert!(!open("*/*") && !open("") && !open(";;,,=") && !open("text/html"));
    assert_eq!(negotiate(None, true), SUFFIXED);
}

proptest! {
    #[test]
    fn any_label_value_passes_the_lint(label in "\\PC*|[\\\\\"\n]{0,8}", value in any::<f64>()) {
        let metrics = metrics(&label);
        metrics.observe("value", "x", MetricKind::Gauge, &[], move || value);
        lint(&encode(&metrics.gather(), &[("k".to_owned(), label.clone())], Dialect::OpenMetrics));
    }

    #[test]
    fn any_accept_header_is_taken(accept in "\\PC*") {
        negotiate(Some(&accept), false);
    }

    #[test]
    fn any_stat_is_taken(text in "\\PC*") {
        crate::process::cpu_seconds(&text);
        crate::process::memory_rss(&text);
    }
}

#[test]
fn process_figures_are_read_past_a_hostile_name() {
    let stat = "12 (a) R 1) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
    assert_eq!(crate::process::cpu_seconds(stat), Some(2.0));
    assert_eq!(crate::process::memory_rss("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 * 1024 * 1024));
    let stats = crate::process::ProcessStats::read().unwrap();
    assert!(stats.memory_rss > 100_000);
}
