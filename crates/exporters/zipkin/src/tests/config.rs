//! What the section may say, and what a mistake is told.

use crate::FACTORY;
use forebay_config::{Diagnostics, Node};

fn configure(text: &str) -> Result<serde_json::Value, Diagnostics> {
    let node = Node::parse_str("agent.yaml", text).expect("YAML");
    (FACTORY.configure)(&node).map(|plan| plan.effective())
}

#[test]
fn defaults_are_the_collectors() {
    let shown = configure("endpoint: http://zipkin:9411/api/v2/spans").expect("valid");
    assert_eq!(shown["format"], "json");
    assert_eq!(shown["timeout"], "5s");
    assert_eq!(shown["compression"], "none");
    assert_eq!(shown["default_service_name"], "unknown_service");
    assert_eq!(shown["sending_queue"]["queue_size"], 1000);
    assert_eq!(shown["idle_conn_timeout"], "1m30s");
}

#[test]
fn every_key_that_is_supported_is_read() {
    let text = "endpoint: https://zipkin:9411/api/v2/spans\nformat: json\ndefault_service_name: agent\n\
                tls: {insecure_skip_verify: true}\nheaders: {X-Scope: secret}\ntimeout: 2s\ncompression: zstd\n\
                proxy_url: http://proxy:3128\nmax_idle_conns: 7\nmax_idle_conns_per_host: 3\n\
                idle_conn_timeout: 1s\ndisable_keep_alives: true\nhttp2_read_idle_timeout: 1s\n\
                http2_ping_timeout: 1s\nforce_attempt_http2: false\nsending_queue: {enabled: false}\n\
                retry_on_failure: {enabled: false}\n";
    let shown = configure(text).expect("valid");
    assert_eq!(shown["compression"], "zstd");
    assert!(!shown.to_string().contains("secret"), "{shown}");
}

#[test]
fn mistakes_are_located_and_say_what_to_do() {
    let endpoint = "endpoint: http://zipkin:9411/api/v2/spans\n";
    let cases = [
        ("{}", "an endpoint is needed"),
        ("endpoint: zipkin:9411", "`http://`"),
        ("endpoint: ftp://zipkin", "`http://`"),
        (&format!("{endpoint}format: proto"), "`proto` is not supported: use `json`"),
        (&format!("{endpoint}format: thrift"), "`thrift` is not a format"),
        (&format!("{endpoint}default_service_name: ''"), "must not be empty"),
        (&format!("{endpoint}compression: snappy"), "gzip"),
        (&format!("{endpoint}compression_params: {{level: 9}}"), "compression_params"),
        (&format!("{endpoint}auth: {{authenticator: basicauth}}"), "`auth` is not supported"),
        (&format!("{endpoint}proxy_url: proxy:3128"), "http://proxy:3128"),
        (&format!("{endpoint}timeout: soon"), "timeout"),
    ];
    for (text, expected) in cases {
        let said = configure(text).expect_err(text).to_string();
        assert!(said.contains(expected) && said.contains("agent.yaml:"), "{text}: {said}");
    }
}
