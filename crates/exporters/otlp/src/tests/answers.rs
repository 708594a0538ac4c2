//! What answers mean: retryable, permanent, throttled, partial, broken.

use super::server::{Reply, Server, grpc_message, grpc_reply, http_reply, start};
use base64::Engine as _;
use bytes::Bytes;
use forebay_component::{Reason, Refusal};
use forebay_otlp::response;
use std::time::Duration;
use tonic_types::{ErrorDetails, StatusExt};

async fn grpc(reply: Reply) -> Result<(), Refusal> {
    let server = Server::start(vec![], reply, None).await;
    start("otlp", &format!("endpoint: \"http://{}\"", server.address)).send("x").await
}

async fn http(reply: Reply) -> Result<(), Refusal> {
    let server = Server::start(vec![], reply, None).await;
    start("otlphttp", &format!("endpoint: \"http://{}\"", server.address)).send("x").await
}

#[tokio::test]
async fn each_grpc_status_is_classed_by_the_specifications_table() {
    assert_eq!(grpc(grpc_reply(0, "")).await, Ok(()));
    let retryable = [1, 4, 10, 11, 14, 15];
    for code in (1..=16).chain([99]) {
        let refusal = grpc(grpc_reply(code, "because%20of%0athis")).await.unwrap_err();
        assert_eq!(refusal.retryable, retryable.contains(&code), "{code}: {refusal}");
        assert!(refusal.message.contains("because of this"), "{refusal}");
        assert_eq!(refusal.retry_after, None);
        let unauthenticated = matches!(code, 7 | 16);
        assert_eq!(refusal.reason == Reason::Unauthenticated, unauthenticated, "{code}");
    }
}

fn with_retry_info(code: tonic::Code, delay: Duration) -> Reply {
    let details = ErrorDetails::with_retry_info(Some(delay));
    let status = tonic::Status::with_error_details(code, "busy", details);
    let details = base64::engine::general_purpose::STANDARD_NO_PAD.encode(status.details());
    grpc_message(&[], vec![("grpc-status", (code as i32).to_string()), ("grpc-status-details-bin", details)])
}

#[tokio::test]
async fn retry_info_is_honoured_and_makes_exhaustion_retryable() {
    for code in [tonic::Code::Unavailable, tonic::Code::ResourceExhausted] {
        let refusal = grpc(with_retry_info(code, Duration::from_millis(12_500))).await.unwrap_err();
        assert_eq!((refusal.retryable, refusal.retry_after), (true, Some(Duration::from_millis(12_500))));
    }
    let refusal = grpc(with_retry_info(tonic::Code::ResourceExhausted, Duration::ZERO)).await.unwrap_err();
    assert_eq!((refusal.retryable, refusal.retry_after), (true, None));
    let refusal =
        grpc(with_retry_info(tonic::Code::InvalidArgument, Duration::from_secs(1))).await.unwrap_err();
    assert!(!refusal.retryable);
}

#[tokio::test]
async fn details_that_are_no_base64_do_no_harm() {
    let trailers = vec![("grpc-status", "14".to_owned()), ("grpc-status-details-bin", "!!%".to_owned())];
    assert!(grpc(grpc_message(&[], trailers)).await.unwrap_err().retryable);
}

#[tokio::test]
async fn a_size_limit_of_the_backend_is_permanent_and_said() {
    for (code, words) in [
        (8, "grpc: received message larger than max (5000000 vs. 4194304)"),
        (11, "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes"),
    ] {
        let refusal = grpc(grpc_reply(code, words)).await.unwrap_err();
        assert!(!refusal.retryable && refusal.message.contains("send_batch_max_size"), "{refusal}");
    }
}

#[tokio::test]
async fn http_statuses_without_a_grpc_one() {
    for (status, retryable) in
        [(400, false), (401, false), (404, false), (429, true), (500, false), (503, true)]
    {
        let refusal = grpc(http_reply(status)).await.unwrap_err();
        assert_eq!(refusal.retryable, retryable, "{status}: {refusal}");
        assert!(refusal.message.contains(&status.to_string()), "{refusal}");
    }
    let refusal = grpc(http_reply(200)).await.unwrap_err();
    assert!(refusal.retryable && refusal.message.contains("without a gRPC status"), "{refusal}");
}

#[tokio::test]
async fn each_http_status_is_classed_by_the_specifications_table() {
    for status in [200, 202, 204] {
        assert_eq!(http(http_reply(status)).await, Ok(()), "{status}");
    }
    for status in [301, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 500, 501, 502, 503, 504, 505] {
        let refusal = http(http_reply(status)).await.unwrap_err();
        assert_eq!(refusal.retryable, matches!(status, 429 | 502 | 503 | 504), "{status}: {refusal}");
        assert_eq!(refusal.reason == Reason::Unauthenticated, matches!(status, 401 | 403));
    }
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let throttled = |value: &str| Reply::Answer {
        status: 429,
        headers: vec![("retry-after", value.to_owned())],
        body: vec![],
        trailers: vec![],
    };
    assert_eq!(http(throttled("7")).await.unwrap_err().retry_after, Some(Duration::from_secs(7)));
    assert_eq!(http(throttled("soon")).await.unwrap_err().retry_after, None);
    let far = http(throttled("Tue, 31 Dec 2199 23:59:59 GMT")).await.unwrap_err().retry_after;
    assert!(far.unwrap() > Duration::from_secs(365 * 86_400));
}

#[tokio::test]
async fn a_partial_success_is_a_success_that_counts_what_was_rejected() {
    let message = response::encode(Some((2, "ids too short")));
    let ok = vec![("grpc-status", "0".to_owned())];
    let grpc_reply = grpc_message(&message, ok);
    let http_reply = |content_type: &str, body: Vec<u8>| Reply::Answer {
        status: 200,
        headers: vec![("content-type", content_type.to_owned())],
        body: vec![body.into()],
        trailers: vec![],
    };
    let json = forebay_otlp::json::encode_response(Some((2, "ids too short")));
    for (kind, reply) in [
        ("otlp", grpc_reply),
        ("otlphttp", http_reply("application/x-protobuf", message)),
        ("otlphttp", http_reply("application/json; charset=utf-8", json)),
    ] {
        let server = Server::start(vec![], reply, None).await;
        let exporter = start(kind, &format!("endpoint: \"http://{}\"", server.address));
        exporter.send("x").await.unwrap();
        assert_eq!(exporter.metric("otelcol_exporter_sent_spans"), 1.0);
        assert_eq!(
            exporter.metric(&format!(
                "forebay_exporter_dropped_spans{{exporter=\"{kind}\",reason=\"rejected\"}}"
            )),
            2.0
        );
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn error_bodies_are_told_in_short() {
    let giant = |content_type: &str, chunk: Bytes| Reply::Answer {
        status: 400,
        headers: vec![("content-type", content_type.to_owned())],
        body: vec![chunk; 64],
        trailers: vec![],
    };
    let refusal = http(giant("text/plain", Bytes::from(vec![b'z'; 1 << 20]))).await.unwrap_err();
    assert!(refusal.message.len() < 1000 && refusal.message.contains("zzz"), "{}", refusal.message.len());
    let status = Reply::Answer {
        status: 400,
        headers: vec![("content-type", "application/x-protobuf".to_owned())],
        body: vec![response::encode_status(3, "span 7 has no name").into()],
        trailers: vec![],
    };
    assert!(http(status).await.unwrap_err().message.contains("span 7 has no name"));
    let reply = Reply::Answer {
        status: 200,
        headers: vec![("content-type", "application/grpc".to_owned())],
        body: vec![Bytes::from(vec![0; 1 << 20]); 16],
        trailers: vec![("grpc-status", "0".to_owned())],
    };
    assert_eq!(grpc(reply).await, Ok(()), "a giant answer is not looked at, its status is");
}

#[tokio::test]
async fn redirects_keep_the_method_or_are_not_followed() {
    let server = Server::start(vec![], http_reply(200), None).await;
    for (status, followed) in [(307, true), (308, true), (301, false), (302, false)] {
        let moved = Reply::Answer {
            status,
            headers: vec![("location", format!("http://{}/moved", server.address))],
            body: vec![],
            trailers: vec![],
        };
        let before = server.seen().len();
        let outcome = http(moved).await;
        assert_eq!(outcome.is_ok(), followed, "{status}");
        assert_eq!(server.seen().len() - before, usize::from(followed));
        if let Err(refusal) = outcome {
            assert!(!refusal.retryable && refusal.message.contains("set `endpoint`"), "{refusal}");
        }
    }
    assert!(server.seen().iter().all(|seen| seen.path == "/moved" && !seen.body.is_empty()));
}
