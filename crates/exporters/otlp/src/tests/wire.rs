//! What goes over the wire: the bytes, their compression, the headers.

use super::server::{Reply, Server, grpc_reply, http_reply, start};
use bytes::Bytes;
use forebay_net::{Compression, decompress};

/// A valid request with a field that no version of OTLP has.
fn body() -> Bytes {
    let unknown = [0xfa, 0x3f, 3, b'a', b'b', b'c'];
    let spans: Vec<u8> = (0..2000u32).flat_map(|number| number.to_le_bytes()).collect();
    let mut body = vec![0x0a, 0];
    body.extend(unknown);
    // Field 1000, length-delimited: 8000 bytes.
    body.extend([0xc2, 0x3e, 0xc0, 0x3e]);
    body.extend(spans);
    body.into()
}

fn unpack(name: &str, body: &[u8]) -> Bytes {
    let compression: Compression = name.parse().unwrap();
    decompress(compression, body, 1 << 20, &mut |_| true).unwrap()
}

#[tokio::test]
async fn grpc_sends_the_bytes_it_got_however_compressed() {
    for (setting, expected) in [
        ("", Some("gzip")),
        (", compression: gzip", Some("gzip")),
        (", compression: zstd", Some("zstd")),
        (", compression: none", None),
        (", compression: \"\"", None),
    ] {
        let server = Server::start(vec![], grpc_reply(0, ""), None).await;
        let exporter = start("otlp", &format!("endpoint: \"http://{}\"{setting}", server.address));
        exporter.send(body()).await.unwrap();
        let seen = &server.seen()[0];
        assert_eq!(seen.path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        assert_eq!(
            seen.headers.get("grpc-encoding").map(|value| value.to_str().unwrap()),
            expected,
            "{setting}"
        );
        assert_eq!(seen.headers["content-type"], "application/grpc");
        assert_eq!(seen.headers["te"], "trailers");
        assert_eq!(seen.headers["grpc-timeout"], "5000m");
        assert!(seen.headers["user-agent"].to_str().unwrap().starts_with("Forebay/"));
        let (frame, message) = seen.body.split_at(5);
        assert_eq!(frame[0], u8::from(expected.is_some()), "{setting}");
        assert_eq!(frame[1..], (message.len() as u32).to_be_bytes());
        match expected {
            Some(name) => assert_eq!(unpack(name, message), body()),
            None => assert_eq!(message, body()),
        }
    }
}

#[tokio::test]
async fn http_sends_the_bytes_it_got_however_compressed() {
    for (setting, expected) in [
        ("", Some("gzip")),
        (", compression: zstd", Some("zstd")),
        (", compression: zlib", Some("zlib")),
        (", compression: deflate", Some("deflate")),
        (", compression: gzip, compression_params: {level: 9}", Some("gzip")),
        (", compression: none", None),
    ] {
        let server = Server::start(vec![], http_reply(200), None).await;
        let exporter = start("otlphttp", &format!("endpoint: \"http://{}\"{setting}", server.address));
        exporter.send(body()).await.unwrap();
        let seen = &server.seen()[0];
        assert_eq!(seen.path, "/v1/traces");
        assert_eq!(seen.headers["content-type"], "application/x-protobuf");
        assert!(seen.headers["user-agent"].to_str().unwrap().starts_with("Forebay/"));
        assert_eq!(
            seen.headers.get("content-encoding").map(|value| value.to_str().unwrap()),
            expected,
            "{setting}"
        );
        match expected {
            Some(name) => assert_eq!(unpack(name, &seen.body), body()),
            None => assert_eq!(seen.body, body()),
        }
    }
}

#[tokio::test]
async fn http_can_send_json_and_to_another_url() {
    let server = Server::start(vec![], http_reply(200), None).await;
    let url = format!("traces_endpoint: \"http://{}/any/path\"", server.address);
    let exporter = start("otlp_http", &format!("{url}, encoding: json, compression: none"));
    // One resource with a schema URL.
    exporter.send(vec![0x0a, 3, 0x1a, 1, b'u']).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(
        (seen.path.as_str(), &seen.headers["content-type"]),
        ("/any/path", &"application/json".parse().unwrap())
    );
    let json: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(json["resourceSpans"][0]["schemaUrl"], "u");
}

#[tokio::test]
async fn headers_are_sent_with_every_request() {
    for (kind, reply) in [("otlp", grpc_reply(0, "")), ("otlphttp", http_reply(200))] {
        let server = Server::start(vec![], reply, None).await;
        let headers = "headers: {X-Scope-OrgID: team-a, authorization: Bearer secret}";
        let exporter = start(kind, &format!("endpoint: \"http://{}\", {headers}", server.address));
        exporter.send(body()).await.unwrap();
        exporter.send(body()).await.unwrap();
        for seen in server.seen() {
            assert_eq!(seen.headers["x-scope-orgid"], "team-a");
            assert_eq!(seen.headers["authorization"], "Bearer secret");
        }
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn a_connection_ended_by_the_server_is_made_again() {
    for (kind, reply) in [("otlp", grpc_reply(0, "")), ("otlphttp", http_reply(200))] {
        let server = Server::start(vec![], reply, None).await;
        let exporter = start(kind, &format!("endpoint: \"http://{}\"", server.address));
        for _ in 0..5 {
            exporter.send(body()).await.unwrap();
            server.go_away();
            tokio::task::yield_now().await;
        }
        assert_eq!(server.seen().len(), 5);
    }
}

#[tokio::test]
async fn a_backend_that_comes_up_later_gets_the_data() {
    for (kind, reply) in [("otlp", grpc_reply(0, "")), ("otlphttp", http_reply(200))] {
        // A port that nothing listens on until the server takes it over.
        let reserved = tokio::net::TcpSocket::new_v4().unwrap();
        reserved.set_reuseaddr(true).unwrap();
        reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = reserved.local_addr().unwrap();
        let exporter = start(kind, &format!("endpoint: \"http://{address}\""));
        let refusal = exporter.send(body()).await.unwrap_err();
        assert!(refusal.retryable, "{refusal}");
        assert!(
            refusal.message.contains("refused") && refusal.message.contains(&address.to_string()),
            "{refusal}"
        );
        let server = Server::on(reserved.listen(16).unwrap(), vec![], reply, None);
        exporter.send(body()).await.unwrap();
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn with_wait_for_ready_a_request_waits_for_the_connection() {
    let reserved = tokio::net::TcpSocket::new_v4().unwrap();
    reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("endpoint: \"http://{}\"", reserved.local_addr().unwrap());
    let exporter = start("otlp", &format!("{endpoint}, wait_for_ready: true, timeout: 60s"));
    let (outcome, _) = tokio::join!(exporter.send(body()), async {
        tokio::task::yield_now().await;
        Server::on(reserved.listen(16).unwrap(), vec![], grpc_reply(0, ""), None)
    });
    outcome.unwrap();
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_after_the_timeout() {
    for kind in ["otlp", "otlphttp"] {
        let server = Server::start(vec![], Reply::Silence, None).await;
        let exporter = start(kind, &format!("endpoint: \"http://{}\", timeout: 50ms", server.address));
        let refusal = exporter.send(body()).await.unwrap_err();
        assert!(refusal.retryable && refusal.message.contains("did not answer"), "{refusal}");
    }
}

#[tokio::test]
async fn both_conform() {
    let grpc = Server::start(Vec::new(), grpc_reply(0, ""), None).await;
    let text = format!("endpoint: {}\ntls: {{insecure: true}}\n", grpc.address);
    forebay_testkit::conformance::exporter(&crate::GRPC, &text).await;
    let http = Server::start(Vec::new(), http_reply(200), None).await;
    forebay_testkit::conformance::exporter(&crate::HTTP, &format!("endpoint: http://{}\n", http.address))
        .await;
}
