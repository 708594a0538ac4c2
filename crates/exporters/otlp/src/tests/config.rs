//! Defaults and located errors.

use super::server::plan;
use crate::grpc::target::Target;
use forebay_net::ClientTlsConfig;
use proptest::prelude::*;

#[test]
fn defaults_are_the_collectors() {
    let grpc = plan("otlp_grpc", "endpoint: jaeger:4317").unwrap().effective();
    assert_eq!(grpc["compression"], "gzip");
    assert_eq!(grpc["timeout"], "5s");
    assert_eq!(grpc["balancer_name"], "round_robin");
    assert_eq!(grpc["sending_queue"]["queue_size"], 1000);
    let http = plan("otlp_http", "endpoint: http://tempo:4318").unwrap().effective();
    assert_eq!(http["compression"], "gzip");
    assert_eq!(http["timeout"], "30s");
    assert_eq!(http["encoding"], "proto");
    assert_eq!(http["idle_conn_timeout"], "1m30s");
}

#[test]
fn secrets_are_not_shown() {
    let text =
        "endpoint: http://x:1\nheaders: {authorization: Bearer secret}\ntls: {key_pem: secret, cert_pem: x}";
    for kind in ["otlp", "otlphttp"] {
        let shown = plan(kind, text).unwrap().effective().to_string();
        assert!(!shown.contains("secret") && shown.contains("[REDACTED]"), "{shown}");
    }
    let list = "endpoint: x:1\nheaders: [{name: a, value: secret}]";
    assert_eq!(plan("otlp", list).unwrap().effective()["headers"]["a"], "[REDACTED]");
}

#[test]
fn bad_values_are_named_where_they_stand() {
    let both = [
        ("", "endpoint"),
        ("endpoint: http://x:1\nauth: {authenticator: a}", "auth: `auth` is not supported"),
        ("endpoint: http://x:1\ncompression: snappy", "compression: `snappy` is not a supported compression"),
        ("endpoint: http://x:1\ntls: {min_version: \"1.0\"}", "tls.min_version"),
        ("endpoint: http://x:1\ntls: {cert_file: a}", "set `key_file` too"),
        ("endpoint: http://x:1\ntls: {ca_file: a, ca_pem: b}", "not both"),
        ("endpoint: http://x:1\ntls: {cipher_suites: [a]}", "tls.cipher_suites"),
        ("endpoint: http://x:1\nheaders: {\"a b\": c}", "not a valid header name"),
        ("endpoint: http://x:1\nheaders: {a: b, A: c}", "is given twice"),
        ("endpoint: http://x:1\nsending_queue: {queue_size: 0}", "sending_queue.queue_size"),
        ("endpoint: http://x:1\nendpont: a", "unknown key `endpont`"),
        ("endpoint: http://x:1\ntimeout: -1s", "timeout"),
    ];
    let grpc = [
        ("endpoint: jaeger", "has no port"),
        ("endpoint: jaeger:http", "is not a port"),
        ("endpoint: jaeger:0", "is not a port"),
        ("endpoint: ':4317'", "has no host"),
        ("endpoint: http://jaeger:4317/v1/traces", "use `otlp_http`"),
        ("endpoint: unix:///tmp/x", "the scheme `unix` is not supported"),
        ("endpoint: ftp://x:1", "the scheme `ftp` is not supported"),
        ("endpoint: x:1\ncompression: zlib", "not supported over gRPC"),
        ("endpoint: x:1\nbalancer_name: least_request", "balancer_name"),
        ("endpoint: x:1\nheaders: {grpc-timeout: 1S}", "gRPC's own"),
    ];
    let http = [
        ("endpoint: tempo:4318", "must begin with `http://` or `https://`"),
        ("traces_endpoint: /v1/traces", "traces_endpoint: "),
        ("endpoint: http://x\nencoding: xml", "unknown value `xml`"),
        ("endpoint: http://x\ncompression_params: {level: 12}", "from -1 to 9"),
        ("endpoint: http://x\nproxy_url: proxy", "proxy_url"),
        ("endpoint: http://x\nmax_conns_per_host: 3", "max_conns_per_host"),
    ];
    let cases = [("otlp", &both[..]), ("otlphttp", &both[..]), ("otlp", &grpc[..]), ("otlphttp", &http[..])];
    for (kind, cases) in cases {
        for (text, words) in cases {
            let errors = plan(kind, text).err().unwrap_or_else(|| panic!("{kind}: {text} passed"));
            assert!(errors.contains(words), "{kind}: {text}: {errors}");
        }
    }
}

#[test]
fn endpoints_lead_where_they_say() {
    for (endpoint, insecure, expected) in [
        ("jaeger:4317", false, ("jaeger", 4317, true)),
        ("jaeger:4317", true, ("jaeger", 4317, false)),
        ("http://jaeger:4317", false, ("jaeger", 4317, false)),
        ("http://jaeger:4317/", false, ("jaeger", 4317, false)),
        ("https://jaeger:4317", true, ("jaeger", 4317, true)),
        ("dns:///jaeger:4317", true, ("jaeger", 4317, false)),
        ("dns://8.8.8.8/jaeger:4317", true, ("jaeger", 4317, false)),
        ("passthrough:///10.0.0.1:4317", true, ("10.0.0.1", 4317, false)),
        ("[::1]:4317", true, ("::1", 4317, false)),
        ("http://[::1]:4317", true, ("::1", 4317, false)),
    ] {
        let target = Target::parse(endpoint, &tls(insecure)).unwrap();
        assert_eq!((target.host.as_str(), target.port, target.tls), expected, "{endpoint}");
    }
}

fn tls(insecure: bool) -> ClientTlsConfig {
    ClientTlsConfig { insecure, ..ClientTlsConfig::default() }
}

proptest! {
    #[test]
    fn any_endpoint_is_read_or_refused(endpoint in "\\PC{0,40}", insecure: bool) {
        let _ = Target::parse(&endpoint, &tls(insecure));
    }
}
