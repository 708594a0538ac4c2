use crate::{Config, FACTORY};
use forebay_config::Node;
use proptest::prelude::*;

fn node(yaml: &str) -> Node {
    Node::parse_str("test.yaml", yaml).unwrap()
}

fn errors(yaml: &str) -> String {
    Config::read(&node(yaml)).unwrap_err().to_string()
}

#[test]
fn an_empty_section_enables_its_protocol_with_the_collectors_defaults() {
    let effective = (FACTORY.configure)(&node("protocols:\n  grpc:\n  http:\n")).unwrap().effective();
    let (grpc, http) = (&effective["protocols"]["grpc"], &effective["protocols"]["http"]);
    assert_eq!(grpc["endpoint"], "localhost:4317");
    assert_eq!(grpc["transport"], "tcp");
    assert_eq!(http["endpoint"], "localhost:4318");
    assert_eq!(http["traces_url_path"], "/v1/traces");
    assert_eq!(http["max_request_body_size"], "20MiB");
    assert_eq!(http["keep_alives_enabled"], true);
    assert_eq!(effective["max_in_flight_bytes"], "256MiB");

    let effective = (FACTORY.configure)(&node("protocols: {http: {}}")).unwrap().effective();
    assert!(effective["protocols"].get("grpc").is_none());
}

#[test]
fn no_protocol_is_an_error_as_in_the_collector() {
    for yaml in ["", "{}", "protocols:", "protocols: {}"] {
        let errors = errors(yaml);
        assert!(errors.contains("at least one protocol") && errors.contains("grpc:"), "{yaml}: {errors}");
    }
}

#[test]
fn what_is_wrong_or_not_supported_is_an_error_where_it_stands() {
    for line in [
        "endpint: a:1",
        "endpoint: localhost",
        "endpoint: 'unix:///tmp/a'",
        "transport: unix",
        "auth: {authenticator: a}",
        "middlewares: [{id: a}]",
        "dialer: {timeout: 1s}",
        "max_recv_msg_size_mib: -1",
        "max_recv_msg_size_mib: 4096",
        "max_concurrent_streams: many",
        "read_buffer_size: -5",
        "keepalive: {server_parameters: {max_age: 1s}}",
        "keepalive: {enforcement_policy: {min_time: 5}, x: 1}",
        "tls: {cert_file: a}",
        "include_metadata: maybe",
    ] {
        let errors = errors(&format!("protocols:\n  grpc:\n    {line}\n"));
        assert!(errors.starts_with("test.yaml:3:"), "{line}: {errors}");
    }
    for line in [
        "traces_path: /a",
        "traces_url_path: ''",
        "traces_url_path: '/a?b'",
        "metrics_url_path: /m",
        "logs_url_path: /l",
        "cors: {allowed_origin: [a]}",
        "cors: {allowed_origins: ['*.a.*']}",
        "max_request_body_size: big",
        "compression_algorithms: [gzip, br]",
        "response_headers: {'a b': c}",
        "read_timeout: 5 parsecs",
        "auth: {authenticator: a}",
        "tls: {cert_file: a, key_file: b, reload_interval: 1m}",
    ] {
        let errors = errors(&format!("protocols:\n  http:\n    {line}\n"));
        assert!(errors.starts_with("test.yaml:3:"), "{line}: {errors}");
    }
    assert!(errors("protocols: {grpc: {}, thrift: {}}").contains("thrift"));
    assert!(errors("max_in_flight_bytes: 1KiB\nprotocols: {grpc: }").contains("at least 1MiB"));
    let small = errors("max_in_flight_bytes: 16MiB\nprotocols: {http: }");
    assert!(small.starts_with("test.yaml:1:") && small.contains("20MiB"), "{small}");
}

#[test]
fn every_error_is_told_at_once() {
    let errors =
        errors("protocols:\n  grpc: {endpoint: x, auth: {}}\n  http: {endpoint: 'y:z', cors: {a: 1}}\n");
    assert!(errors.lines().filter(|line| line.starts_with("test.yaml:")).count() >= 3, "{errors}");
}

#[test]
fn a_collectors_configuration_is_read_unchanged() {
    let yaml = "
protocols:
  grpc:
    endpoint: 0.0.0.0:4317
    transport: tcp
    max_recv_msg_size_mib: 32
    max_concurrent_streams: 16
    read_buffer_size: 1024
    write_buffer_size: 1024
    include_metadata: true
    keepalive:
      server_parameters:
        max_connection_idle: 11s
        max_connection_age: 12s
        max_connection_age_grace: 13s
        time: 30s
        timeout: 5s
      enforcement_policy:
        min_time: 10s
        permit_without_stream: true
  http:
    endpoint: '[::]:4318'
    traces_url_path: traces
    metrics_url_path: v1/metrics
    logs_url_path: /v1/logs
    cors:
      allowed_origins: [https://*.test.com, '*']
      max_age: 7200
    max_request_body_size: 33554432
    compression_algorithms: ['', gzip, zstd]
    response_headers: [{name: X-A, value: b}]
    read_timeout: 10s
    read_header_timeout: 5s
    write_timeout: 30s
    idle_timeout: 2m
    keep_alives_enabled: false
";
    let config = Config::read(&node(yaml)).unwrap();
    let grpc = config.protocols.grpc.unwrap();
    let options = grpc.server_options().unwrap();
    assert_eq!(grpc.max_message(), 32 << 20);
    assert_eq!((options.max_concurrent_streams, options.read_buffer), (16, Some(1024)));
    assert_eq!(options.ping_policy.unwrap().min_time.as_secs(), 10);
    let seconds = |duration: Option<std::time::Duration>| duration.unwrap().as_secs();
    assert_eq!((seconds(options.idle_timeout), seconds(options.max_age)), (11, 12));
    assert_eq!((seconds(options.max_age_grace), seconds(options.ping_interval)), (13, 30));
    let http = config.protocols.http.unwrap();
    assert_eq!((http.traces_path().as_str(), http.max_body()), ("/traces", 32 << 20));
    let options = http.server_options().unwrap();
    assert_eq!((seconds(options.header_timeout), seconds(options.idle_timeout)), (5, 120));
    assert!(!options.keep_alive);
}

proptest! {
    #[test]
    fn any_scalar_for_any_key_is_read_or_refused_where_it_stands(
        protocol in prop::sample::select(vec!["grpc", "http"]),
        key in prop::sample::select(vec![
            "endpoint", "transport", "tls", "cors", "keepalive", "read_timeout", "max_recv_msg_size_mib",
            "max_request_body_size", "compression_algorithms", "response_headers", "traces_url_path",
        ]),
        value in "[ -#%&(-~]{0,20}",
    ) {
        let yaml = format!("protocols:\n  {protocol}:\n    {key}: '{value}'\n");
        if let Err(errors) = Config::read(&node(&yaml)) {
            prop_assert!(errors.to_string().starts_with("test.yaml:3:"), "{errors}");
        }
    }
}
