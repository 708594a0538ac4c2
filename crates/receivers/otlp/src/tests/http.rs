use super::support::{BOTH, Holder, both, mixed, post, request, send, start, wire};
use bytes::Bytes;
use forebay_component::{Reason, Refusal};
use forebay_net::{Compression, compress};
use forebay_testkit::Sink;
use http::Request;
use std::sync::Arc;
use std::time::Duration;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const SPAN_JSON: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
    {"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"a"}]}]}]}"#;

#[tokio::test]
async fn protobuf_arrives_as_the_bytes_that_were_sent() {
    let (receiver, sink) = both().await;
    let sent = wire(&request(10));
    let reply = post(receiver.http_addr(), PROTOBUF, &[], sent.clone()).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, PROTOBUF));
    assert!(reply.body.is_empty());
    assert_eq!(sink.taken(), [sent]);
    let accepted = receiver.metric("otelcol_receiver_accepted_spans", &[("transport", "http")]);
    assert_eq!(accepted, 10.0);
    receiver.stop().await;
}

#[tokio::test]
async fn json_arrives_as_protobuf_and_is_answered_in_json() {
    let (receiver, sink) = both().await;
    let reply = post(receiver.http_addr(), "application/json; charset=utf-8", &[], SPAN_JSON).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, JSON));
    assert_eq!(forebay_otlp::json::decode_response(&reply.body).unwrap(), None);
    assert_eq!(sink.items(), 1);
    receiver.stop().await;
}

#[tokio::test]
async fn every_compression_is_read_in_both_encodings() {
    let (receiver, sink) = both().await;
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Deflate, Compression::Zlib] {
        for (kind, body) in [(PROTOBUF, wire(&request(1))), (JSON, Bytes::from_static(SPAN_JSON.as_bytes()))]
        {
            let packed = compress(compression, &body).unwrap();
            let headers = [("content-encoding", compression.as_str())];
            assert_eq!(post(receiver.http_addr(), kind, &headers, packed).await.status, 200);
        }
    }
    assert_eq!(sink.items(), 8);
    receiver.stop().await;
}

#[tokio::test]
async fn requests_of_several_mebibytes_are_read_in_both_encodings() {
    let (receiver, sink) = both().await;
    let protobuf = wire(&request(60_000));
    let mut text = Vec::new();
    forebay_otlp::json::encode_request(&protobuf, &mut text);
    assert!(protobuf.len() > 2 << 20 && text.len() > 4 << 20);
    for (kind, body) in [(PROTOBUF, protobuf.clone()), (JSON, text.into())] {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let packed = compress(compression, &body).unwrap();
            let headers = [("content-encoding", compression.as_str())];
            assert_eq!(post(receiver.http_addr(), kind, &headers, packed).await.status, 200);
        }
    }
    assert_eq!(sink.items(), 240_000);
    assert_eq!(sink.taken()[0], protobuf);
    assert_eq!(receiver.metric("forebay_receiver_in_flight_bytes", &[]), 0.0);
    receiver.stop().await;
}

#[tokio::test]
async fn bad_spans_are_named_in_both_encodings() {
    let (receiver, sink) = both().await;
    let reply = post(receiver.http_addr(), PROTOBUF, &[], wire(&mixed())).await;
    let (rejected, message) = forebay_otlp::response::decode(&reply.body).unwrap().unwrap();
    assert_eq!((reply.status, rejected), (200, 3));
    assert!(message.contains("trace_id"), "{message}");
    let bad = SPAN_JSON.replace("0102030405060708\"", "\"");
    let reply = post(receiver.http_addr(), JSON, &[], bad).await;
    let (rejected, _) = forebay_otlp::json::decode_response(&reply.body).unwrap().unwrap();
    assert_eq!((reply.status, rejected), (200, 1));
    assert_eq!(sink.items(), 2);
    receiver.stop().await;
}

#[tokio::test]
async fn bytes_that_do_not_parse_are_a_bad_request_in_the_requests_encoding() {
    let (receiver, sink) = both().await;
    let gzip = [("content-encoding", "gzip")];
    for (kind, headers, body) in [
        (PROTOBUF, &[][..], &b"\x0a\xff\xff"[..]),
        (JSON, &[], b"{\"resourceSpans\": ["),
        (JSON, &[], b"{\"resourceSpans\": 5}"),
        (PROTOBUF, &gzip, b"not gzip"),
        (JSON, &gzip, b"\x1f\x8b\x08"),
    ] {
        let reply = post(receiver.http_addr(), kind, headers, body).await;
        assert_eq!((reply.status, reply.header("content-type")), (400, kind));
        let (code, message) = reply.status_message();
        assert_eq!(code, 3, "{message}");
        assert!(!message.is_empty() && reply.header("retry-after").is_empty());
    }
    assert_eq!(receiver.metric("forebay_receiver_bad_requests", &[("reason", "malformed")]), 5.0);
    receiver.assert_serves(&sink).await;
    receiver.stop().await;
}

#[tokio::test]
async fn wrong_types_encodings_methods_and_paths_are_told_what_is_supported() {
    let (receiver, _sink) = both().await;
    let address = receiver.http_addr();
    let reply = post(address, "text/plain", &[], "x").await;
    assert_eq!(reply.status, 415);
    assert!(reply.text().contains("application/json, application/x-protobuf"), "{}", reply.text());
    let reply = post(address, PROTOBUF, &[("content-encoding", "br")], "x").await;
    assert_eq!(reply.status, 415);
    assert!(reply.status_message().1.contains("gzip, zstd, deflate, zlib"));
    let reply = send(address, Request::get("/v1/traces").body(Bytes::new()).unwrap()).await;
    assert_eq!((reply.status, reply.header("allow")), (405, "POST"));
    for path in ["/", "/v1/metrics", "/v1/traces/"] {
        let reply = send(address, Request::post(path).body(Bytes::new()).unwrap()).await;
        assert_eq!(reply.status, 404);
        assert!(reply.text().contains("/v1/traces"));
    }
    receiver.stop().await;
}

#[tokio::test]
async fn refusals_carry_the_time_to_wait() {
    let (receiver, sink) = both().await;
    let address = receiver.http_addr();
    for (refusal, status, wait) in [
        (Refusal::retryable(Reason::QueueFull, "full").after(Duration::from_millis(2500)), 429, "3"),
        (Refusal::retryable(Reason::MemoryLimit, "full"), 429, "1"),
        (Refusal::retryable(Reason::Timeout, "slow"), 503, "1"),
        (Refusal::retryable(Reason::ShuttingDown, "bye"), 503, "1"),
        (Refusal::permanent(Reason::Rejected, "no"), 400, ""),
        (Refusal::permanent(Reason::Unauthenticated, "who?"), 401, ""),
        (Refusal::permanent(Reason::Internal, "oops"), 500, ""),
    ] {
        sink.refuse(refusal);
        let reply = post(address, PROTOBUF, &[], wire(&request(1))).await;
        assert_eq!((reply.status, reply.header("retry-after")), (status, wait));
    }
    assert_eq!(receiver.metric("otelcol_receiver_refused_spans", &[("transport", "http")]), 6.0);
    assert_eq!(receiver.metric("otelcol_receiver_failed_spans", &[("transport", "http")]), 1.0);
    receiver.stop().await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_too_large_however_it_comes() {
    let sink = Arc::new(Sink::default());
    let yaml = "{protocols: {http: {endpoint: '127.0.0.1:0', max_request_body_size: 1MiB}}}";
    let receiver = start(yaml, sink.clone()).await;
    let address = receiver.http_addr();
    let large = vec![0; 3 << 20];
    let reply = post(address, PROTOBUF, &[], large.clone()).await;
    assert_eq!(reply.status, 413);
    assert!(reply.status_message().1.contains("max_request_body_size"));
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Deflate] {
        let bomb = compress(compression, &large).unwrap();
        assert!(bomb.len() < 100_000);
        let reply = post(address, JSON, &[("content-encoding", compression.as_str())], bomb).await;
        assert_eq!(reply.status, 413, "{compression}");
    }
    assert_eq!(receiver.metric("forebay_receiver_bad_requests", &[("reason", "too_large")]), 4.0);
    assert_eq!(post(address, PROTOBUF, &[], wire(&request(1))).await.status, 200);
    receiver.stop().await;
}

#[tokio::test]
async fn paths_compressions_and_response_headers_are_configurable() {
    let sink = Arc::new(Sink::default());
    let yaml = "{protocols: {http: {endpoint: '127.0.0.1:0', traces_url_path: spans, \
        compression_algorithms: [gzip], response_headers: {X-Agent: forebay}, include_metadata: true}}}";
    let receiver = start(yaml, sink.clone()).await;
    let at = |path: &str| Request::post(path).header("content-type", PROTOBUF);
    let reply = send(receiver.http_addr(), at("/spans").body(wire(&request(1))).unwrap()).await;
    assert_eq!((reply.status, reply.header("x-agent")), (200, "forebay"));
    let zstd = at("/spans").header("content-encoding", "zstd").body(Bytes::new()).unwrap();
    let reply = send(receiver.http_addr(), zstd).await;
    assert_eq!((reply.status, reply.header("x-agent")), (415, "forebay"));
    let reply = send(receiver.http_addr(), at("/v1/traces").body(Bytes::new()).unwrap()).await;
    assert_eq!(reply.status, 404);
    receiver.stop().await;
}

const CORS: &str = "{protocols: {http: {endpoint: '127.0.0.1:0', cors: {\
    allowed_origins: ['https://*.example.com'], allowed_headers: [X-Token], exposed_headers: [X-Agent], max_age: 600}}}}";

#[tokio::test]
async fn a_preflight_is_answered_for_allowed_origins_only() {
    let receiver = start(CORS, Arc::new(Sink::default())).await;
    let ask = |origin: &str, headers: &str| {
        let request = Request::options("/v1/traces")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", headers);
        send(receiver.http_addr(), request.body(Bytes::new()).unwrap())
    };
    let reply = ask("https://app.example.com", "content-type, x-token").await;
    assert_eq!(reply.status, 204);
    assert_eq!(reply.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(reply.header("access-control-allow-methods"), "POST");
    assert_eq!(reply.header("access-control-allow-headers"), "content-type, x-token");
    assert_eq!(reply.header("access-control-allow-credentials"), "true");
    assert_eq!(reply.header("access-control-max-age"), "600");
    for (origin, headers) in [
        ("https://example.org", "content-type"),
        ("https://app.example.com.evil.org", "content-type"),
        ("https://app.example.com", "x-other"),
    ] {
        let reply = ask(origin, headers).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, ""));
    }
    receiver.stop().await;
}

#[tokio::test]
async fn a_cross_origin_answer_may_be_read_by_allowed_origins_only() {
    let receiver = start(CORS, Arc::new(Sink::default())).await;
    let address = receiver.http_addr();
    let other = post(address, JSON, &[("origin", "https://example.org")], SPAN_JSON).await;
    assert_eq!((other.status, other.header("access-control-allow-origin")), (200, ""));
    let reply = post(address, JSON, &[("origin", "https://app.example.com")], SPAN_JSON).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), "https://app.example.com");
    assert_eq!(reply.header("access-control-expose-headers"), "X-Agent");
    assert_eq!(reply.header("vary"), "Origin");
    receiver.stop().await;
}

#[tokio::test]
async fn without_cors_no_header_of_it_is_sent() {
    let (receiver, _sink) = both().await;
    let reply = post(receiver.http_addr(), JSON, &[("origin", "https://a.example")], SPAN_JSON).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, ""));
    let preflight = Request::options("/v1/traces")
        .header("origin", "https://a.example")
        .header("access-control-request-method", "POST");
    let reply = send(receiver.http_addr(), preflight.body(Bytes::new()).unwrap()).await;
    assert_eq!(reply.status, 405);
    receiver.stop().await;
}

#[tokio::test]
async fn the_answer_waits_for_the_acknowledgement_but_not_beyond_write_timeout() {
    let holder = Arc::new(Holder::default());
    let receiver = start(BOTH, holder.clone()).await;
    let address = receiver.http_addr();
    let call = tokio::spawn(async move { post(address, PROTOBUF, &[], wire(&request(3))).await });
    let payload = holder.next().await;
    assert!(!call.is_finished());
    payload.ack.accept();
    assert_eq!(call.await.unwrap().status, 200);
    receiver.stop().await;

    let yaml = "{protocols: {http: {endpoint: '127.0.0.1:0', write_timeout: 10ms}}}";
    let receiver = start(yaml, holder.clone()).await;
    let reply = post(receiver.http_addr(), PROTOBUF, &[], wire(&request(3))).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
    // What was taken after all is counted.
    holder.next().await.ack.accept();
    while receiver.metric("otelcol_receiver_accepted_spans", &[]) < 3.0 {
        tokio::task::yield_now().await;
    }
    receiver.stop().await;
}
