//! `service.telemetry`: the collector's YAML works, and what does not is said where it stands.

use crate::config::{AdminConfig, Encoding, LogLevel, MetricsLevel, Output, TelemetryConfig, parse};
use forebay_config::{Diagnostic, Node};
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

fn read(yaml: &str) -> TelemetryConfig {
    parse(&Node::parse_str("t.yaml", yaml).unwrap()).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(yaml: &str) -> Vec<Diagnostic> {
    parse(&Node::parse_str("t.yaml", yaml).unwrap()).err().map_or_else(Vec::new, |errors| errors.0)
}

#[test]
fn nothing_gives_the_collectors_defaults() {
    let config = read("");
    assert_eq!(config.admin, AdminConfig { endpoint: "127.0.0.1:8888".to_owned(), ..AdminConfig::default() });
    assert_eq!((config.logs.level, config.logs.encoding), (LogLevel::Info, Encoding::Console));
    let sampling = &config.logs.sampling;
    assert_eq!((sampling.enabled, sampling.initial, sampling.thereafter), (true, 10, 100));
    assert_eq!(sampling.tick, Duration::from_secs(10));
    assert_eq!(config.logs.output_paths, [Output::Stderr]);
    assert_eq!((config.metrics.level, config.metrics.counter_suffix), (MetricsLevel::Normal, false));
    let names: Vec<&str> = config.resource.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["service.name", "service.version", "service.instance.id"]);
    assert_eq!(config.resource[0].1, "forebay");
    assert_ne!(config.resource[2].1, read("").resource[2].1, "an instance id is one agent's");
    assert_eq!(config.logs.resource, config.resource);
    assert!(config.warnings.0.is_empty());
}

#[test]
fn every_key_of_a_collector_acts() {
    let config = read(
        r#"
logs:
  level: DEBUG
  encoding: json
  disable_caller: true
  disable_stacktrace: true
  disable_zap_resource: true
  sampling: {enabled: false, tick: 1s, initial: 234, thereafter: 567}
  output_paths: [stdout, /tmp/x.log, "file:///tmp/y.log"]
  error_output_paths: [stderr]
  initial_fields: {cluster: blue, shard: 3}
  processors: []
metrics:
  level: Detailed
  readers:
    - pull:
        exporter:
          prometheus: {host: "[::1]", port: 9888, without_type_suffix: false, without_units: true}
traces: {level: none, processors: []}
resource:
  schema_url: https://opentelemetry.io/schemas/1.40.0
  attributes:
    - {name: service.name, value: edge, type: string}
    - {name: replicas, value: 3, type: int}
    - {name: service.instance.id, value: null}
"#,
    );
    let logs = &config.logs;
    assert_eq!((logs.level, logs.encoding, logs.disable_caller), (LogLevel::Debug, Encoding::Json, true));
    assert!(!logs.sampling.enabled && logs.sampling.initial == 234 && logs.sampling.thereafter == 567);
    let file = |path: &str| Output::File(path.into());
    assert_eq!(logs.output_paths, [Output::Stdout, file("/tmp/x.log"), file("/tmp/y.log")]);
    assert_eq!(json!(logs.initial_fields), json!({"cluster": "blue", "shard": 3}));
    assert!(logs.resource.is_empty(), "disable_zap_resource");
    assert_eq!((config.metrics.level, config.metrics.counter_suffix), (MetricsLevel::Detailed, true));
    assert_eq!(config.admin.endpoint, "[::1]:9888");
    assert!(config.admin.private_pages);
    let mut resource = config.resource.clone();
    resource.retain(|(name, _)| name != "service.version");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(resource, [pair("service.name", "edge"), pair("replicas", "3")]);
    assert!(config.warnings.0.is_empty(), "{}", config.warnings);
}

#[test]
fn the_older_forms_work() {
    let config = read(
        "metrics: {level: basic, address: 'localhost:6666'}\nresource: {service.name: edge, service.version: }",
    );
    assert_eq!(config.admin.endpoint, "localhost:6666");
    let names: Vec<&str> = config.resource.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["service.instance.id", "service.name"]);
    let both = "metrics:\n  address: 192.168.0.1:6666\n  readers: [{pull: {exporter: {prometheus: {host: localhost, port: 9999}}}}]";
    assert_eq!(read(both).admin.endpoint, "localhost:9999");
    assert_eq!(read("metrics: {level: none, readers: []}").metrics.level, MetricsLevel::None);
}

#[test]
fn our_admin_address_opens_the_pages_and_leaves_metrics_where_the_reader_says() {
    let reader = "metrics: {readers: [{pull: {exporter: {prometheus: {host: 0.0.0.0, port: 8888}}}}]}";
    let config = read(&format!("{reader}\nadmin: {{endpoint: '127.0.0.1:9000', probes_endpoint: ':9001'}}"));
    let expected = AdminConfig {
        endpoint: "127.0.0.1:9000".to_owned(),
        probes_endpoint: Some(":9001".to_owned()),
        metrics_endpoint: Some("0.0.0.0:8888".to_owned()),
        private_pages: false,
    };
    assert_eq!(config.admin, expected);
    let same = read(&format!("{reader}\nadmin: {{endpoint: '0.0.0.0:8888'}}"));
    assert_eq!((same.admin.metrics_endpoint, same.admin.private_pages), (None, false));
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let config = read(
        "logs: {development: true, disable_stacktrace: false}\ntraces: {level: basic, propagators: [tracecontext, b3]}",
    );
    let said: Vec<String> = config.warnings.iter().map(|warning| warning.path.clone()).collect();
    assert_eq!(said, ["logs.development", "logs.disable_stacktrace", "traces.level", "traces.propagators"]);
}

#[test]
fn what_is_wrong_or_not_supported_is_said_where_it_stands() {
    let reader = "metrics:\n  readers:\n    - pull:\n        exporter:\n          prometheus:\n";
    for (yaml, line, path, words) in [
        ("logz: {}", 1, "logz", "unknown key `logz`"),
        ("logs:\n  level: loud", 2, "logs.level", "unknown value `loud`"),
        ("logs:\n  encoding: xml", 2, "logs.encoding", "xml"),
        ("logs:\n  samplin: {}", 2, "logs.samplin", "unknown key"),
        ("logs:\n  sampling:\n    tick: 10x", 3, "logs.sampling.tick", ""),
        ("logs:\n  sampling:\n    initial: -1", 3, "logs.sampling.initial", ""),
        (
            "logs:\n  output_paths:\n    - stderr\n    - udp://x",
            4,
            "logs.output_paths[1]",
            "`udp://` is not supported",
        ),
        ("logs:\n  output_paths: ['file://x']", 2, "logs.output_paths[0]", "absolute"),
        ("logs:\n  processors: [{batch: {exporter: {console: {}}}}]", 2, "logs.processors", "OTLP"),
        ("metrics:\n  level: much", 2, "metrics.level", "much"),
        ("metrics:\n  address: '1:2:3'", 2, "metrics.address", "host"),
        ("metrics:\n  address: localhost", 2, "metrics.address", "no port"),
        ("metrics:\n  level: basic\n  readers: []", 3, "metrics.readers", "no reader"),
        (
            "metrics:\n  level: detailed\n  views: [{selector: {}, stream: {}}]",
            3,
            "metrics.views",
            "not supported",
        ),
        (
            "metrics:\n  readers:\n    - periodic:\n        exporter: {otlp: {protocol: grpc}}",
            4,
            "metrics.readers[0].periodic",
            "does not push",
        ),
        (
            "metrics:\n  readers:\n    - pull: {exporter: {prometheus: {host: a, port: 1}}}\n    - pull: {exporter: {prometheus: {host: a, port: 2}}}",
            4,
            "metrics.readers[1]",
            "second reader",
        ),
        ("metrics:\n  readers:\n    - pull: {}", 3, "metrics.readers[0]", "Prometheus exporter"),
        (
            &format!("{reader}            host: a"),
            6,
            "metrics.readers[0].pull.exporter.prometheus",
            "`port` is missing",
        ),
        (
            &format!("{reader}            port: 99999\n            host: a"),
            6,
            "metrics.readers[0].pull.exporter.prometheus.port",
            "",
        ),
        (
            &format!("{reader}            host: a\n            port: 1\n            without_units: false"),
            8,
            "metrics.readers[0].pull.exporter.prometheus.without_units",
            "only `true`",
        ),
        (
            &format!(
                "{reader}            {{host: a, port: 1, with_resource_constant_labels: {{included: ['*']}}}}"
            ),
            6,
            "metrics.readers[0].pull.exporter.prometheus.with_resource_constant_labels",
            "not supported",
        ),
        ("traces:\n  processors: [{batch: {}}]", 2, "traces.processors", "no traces of its own"),
        ("traces:\n  propagators: [jaeger]", 2, "traces.propagators[0]", "jaeger"),
        ("resource: edge", 1, "resource", "mapping"),
        ("resource:\n  attributes_list: a=b", 2, "resource.attributes_list", "not supported"),
        ("resource:\n  detection/development: {}", 2, "resource.detection/development", "not supported"),
        ("resource:\n  service.name: [a]", 2, "resource.service.name", "single value"),
        ("resource:\n  attributes:\n    - {name: a}", 3, "resource.attributes[0]", "`value` is missing"),
        (
            "resource:\n  attributes:\n    - {name: a, value: b, kind: c}",
            3,
            "resource.attributes[0].kind",
            "unknown key",
        ),
        ("resource:\n  attributes:\n    - {name: a, value: b}\n  other: c", 4, "resource.other", "together"),
        ("admin:\n  endpoint: 8888", 2, "admin.endpoint", ""),
        ("admin:\n  endpoint: localhost:http", 2, "admin.endpoint", "port"),
        ("admin:\n  endpoint: http://x:1", 2, "admin.endpoint", "no host"),
        ("admin:\n  probes_endpoint: 127.0.0.1:8888", 2, "admin.probes_endpoint", "already"),
        ("admin:\n  endpont: 127.0.0.1:1", 2, "admin.endpont", "unknown key"),
    ] {
        let found = errors(yaml);
        assert_eq!(found.len(), 1, "{yaml}\n{found:#?}");
        let shown = found[0].to_string();
        assert_eq!((found[0].location.line, found[0].path.as_str()), (line, path), "{shown}");
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

#[test]
fn every_error_of_a_file_is_said_at_once() {
    let yaml =
        "logs: {level: loud}\nmetrics: {views: [{}]}\nresource: {attributes_list: x}\nadmin: {endpoint: x}";
    assert_eq!(errors(yaml).len(), 4);
}

#[test]
fn levels_hide_what_the_collector_hides() {
    let shown = |name: &str| {
        [MetricsLevel::None, MetricsLevel::Basic, MetricsLevel::Normal, MetricsLevel::Detailed]
            .map(|level| level.shows(name))
    };
    assert_eq!(shown("otelcol_receiver_accepted_spans"), [false, true, true, true]);
    assert_eq!(shown("otelcol_processor_batch_batch_send_size"), [false, false, true, true]);
    assert_eq!(shown("otelcol_processor_batch_batch_send_size_bytes"), [false, false, false, true]);
    assert_eq!(shown("otelcol_exporter_queue_batch_send_size"), [false, false, false, true]);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(yaml in "[a-z:{}\\[\\]\n -]{0,80}", value in "\\PC{0,20}") {
        if let Ok(node) = Node::parse_str("t.yaml", &yaml) {
            let _ = parse(&node);
        }
        let quoted = serde_json::to_string(&value).unwrap();
        for key in ["{admin: {endpoint: V}}", "{logs: {level: V, output_paths: [V]}}", "{metrics: {address: V}}", "{resource: {V: V}}"] {
            if let Ok(node) = Node::parse_str("t.yaml", &key.replace('V', &quoted)) {
                let _ = parse(&node);
            }
        }
    }
}
