//! What goes over the wire, and what the answers come to.

use super::server::{Answer, Server};
use crate::FACTORY;
use crate::config::Config;
use crate::transport::ZipkinTransport;
use bytes::Bytes;
use forebay_component::{Ack, Context, Outcome, Payload, Reason};
use forebay_config::Node;
use forebay_exporter_queue::{QueuedExporter, RetryConfig, SendConfig, SendFailure, Transport};
use forebay_net::{Compression, decompress};
use forebay_telemetry::Kind;
use forebay_testkit::{conformance, context, metric, requests};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn status(status: u16) -> Answer {
    Answer::Status(status, String::new(), String::new())
}

fn transport(server: &Server, max_body: usize) -> ZipkinTransport {
    let text = format!("endpoint: http://{}/api/v2/spans", server.address);
    let config = Config::read(&Node::parse_str("zipkin.yaml", &text).unwrap()).unwrap();
    ZipkinTransport::new(&config, max_body).unwrap()
}

async fn send(server: &Server) -> Result<(), SendFailure> {
    let transport = transport(server, usize::MAX);
    let request = transport.encode(requests::request(1, 0, 2, None).into(), 2).unwrap().remove(0);
    assert_eq!(request.items, 2);
    transport.send(&request).await.map(drop)
}

/// Sends payloads one by one through an exporter configured by `section`; `URL` in it stands for the server's.
async fn export(server: &Server, section: &str, payloads: Vec<Payload>) -> (Context, Vec<Outcome>) {
    let scheme = if section.contains("ca_pem") { "https" } else { "http" };
    let url = format!("{scheme}://localhost:{}/api/v2/spans", server.address.port());
    let section = format!("sending_queue: {{wait_for_result: true}}\n{}", section.replace("URL", &url));
    let plan = (FACTORY.configure)(&Node::parse_str("zipkin.yaml", &section).unwrap()).unwrap();
    let context = context(Kind::Exporter, "zipkin");
    let exporter = plan.build(context.clone()).unwrap();
    let mut outcomes = Vec::new();
    for payload in payloads {
        let (ack, outcome) = Ack::channel();
        exporter.consumer().consume(payload.with_ack(ack)).unwrap();
        outcomes.push(outcome.await);
    }
    exporter.shutdown(Instant::now() + Duration::from_secs(30)).await;
    (context, outcomes)
}

fn names(body: &[u8]) -> Vec<String> {
    let spans: Vec<serde_json::Value> = serde_json::from_slice(body).unwrap();
    spans.iter().map(|span| span["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn spans_are_posted_as_json_with_the_users_headers() {
    let server = Server::start(Vec::new(), None).await;
    let section = "endpoint: URL\nheaders: {X-Tenant: a b, user-agent: mine}\n";
    let payloads = vec![requests::payload(7, 0, 2, None), requests::payload(8, 2, 1, None)];
    let (context, outcomes) = export(&server, section, payloads).await;
    assert_eq!(outcomes, [Ok(()), Ok(())]);
    let got = server.got();
    assert_eq!(got[0].line, "POST /api/v2/spans HTTP/1.1");
    assert_eq!(got[0].headers["content-type"], "application/json");
    assert_eq!((got[0].headers["x-tenant"].as_str(), got[0].headers["user-agent"].as_str()), ("a b", "mine"));
    assert!(!got[0].headers.contains_key("content-encoding"));
    assert_eq!(
        (names(&got[0].body), names(&got[1].body)),
        (vec!["span 0".into(), "span 1".into()], vec!["span 2".into()])
    );
    assert_eq!(server.connections(), 1, "connections are kept");
    assert_eq!(metric(&context.telemetry, "otelcol_exporter_sent_spans", &[]), 3.0);
}

#[tokio::test]
async fn bodies_are_compressed() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let server = Server::start(Vec::new(), None).await;
        let section = format!("endpoint: URL\ncompression: {}\n", compression.as_str());
        let payload = requests::payload(1, 0, 100, None);
        assert_eq!(export(&server, &section, vec![payload]).await.1, [Ok(())]);
        let got = server.got().remove(0);
        assert_eq!(got.headers["content-encoding"], compression.as_str());
        let body = decompress(compression, &got.body, 1 << 20, &mut |_| true).unwrap();
        assert!(got.body.len() < body.len() / 5);
        assert_eq!(names(&body).len(), 100);
    }
}

#[tokio::test]
async fn tls_reaches_a_server_whose_certificate_is_trusted() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let server = Server::start(Vec::new(), Some(Arc::new(config).into())).await;
    let pem = made.cert.pem().replace('\n', "\\n").replace('\r', "");
    let section = format!("endpoint: URL\ntls: {{ca_pem: \"{pem}\"}}\n");
    assert_eq!(export(&server, &section, vec![requests::payload(1, 0, 1, None)]).await.1, [Ok(())]);

    // The same server without its certificate among the trusted ones.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = other.cert.pem().replace('\n', "\\n").replace('\r', "");
    let section =
        format!("endpoint: URL\ntls: {{ca_pem: \"{pem}\"}}\nretry_on_failure: {{enabled: false}}\n");
    let (_, outcomes) = export(&server, &section, vec![requests::payload(1, 0, 1, None)]).await;
    assert!(
        outcomes[0].as_ref().is_err_and(|refusal| refusal.message.contains("certificate")),
        "{outcomes:?}"
    );
    assert_eq!(server.got().len(), 1);
}

#[tokio::test]
async fn answers_are_taken_retryable_or_permanent() {
    for code in [200, 202, 204] {
        assert_eq!(send(&Server::start(vec![status(code)], None).await).await, Ok(()));
    }
    for code in [429, 502, 503, 504] {
        let failure = send(&Server::start(vec![status(code)], None).await).await.unwrap_err().refusal;
        assert!(failure.retryable && failure.reason == Reason::Unavailable, "{code}: {failure:?}");
        assert_eq!(failure.retry_after, None);
    }
    let permanent = [
        (400, Reason::Rejected),
        (404, Reason::Rejected),
        (413, Reason::Rejected),
        (500, Reason::Rejected),
        (401, Reason::Unauthenticated),
        (403, Reason::Unauthenticated),
    ];
    for (code, reason) in permanent {
        let failure = send(&Server::start(vec![status(code)], None).await).await.unwrap_err().refusal;
        assert!(!failure.retryable && failure.reason == reason, "{code}: {failure:?}");
        assert!(failure.message.contains(&code.to_string()), "{failure:?}");
    }
}

#[tokio::test]
async fn the_backend_says_how_long_to_wait() {
    let wait = |value: &str| {
        let answer = Answer::Status(503, format!("Retry-After: {value}\r\n"), String::new());
        async move { send(&Server::start(vec![answer], None).await).await.unwrap_err().refusal.retry_after }
    };
    assert_eq!(wait("7").await, Some(Duration::from_secs(7)));
    assert_eq!(wait("0").await, None);
    assert_eq!(wait("soon").await, None);
    assert!(
        wait("Fri, 31 Dec 2100 23:59:59 GMT").await.is_some_and(|wait| wait > Duration::from_secs(1 << 20))
    );
}

#[tokio::test]
async fn a_redirect_that_drops_the_body_is_not_followed() {
    let target = Server::start(Vec::new(), None).await;
    let location = format!("Location: http://{}/\r\n", target.address);
    let server = Server::start(vec![Answer::Status(302, location, String::new())], None).await;
    let failure = send(&server).await.unwrap_err().refusal;
    assert!(!failure.retryable && failure.message.contains("set `endpoint`"), "{failure:?}");
    assert!(target.got().is_empty());
}

#[tokio::test]
async fn a_long_answer_is_cut() {
    let server =
        Server::start(vec![Answer::Status(400, String::new(), "no\u{7}! ".repeat(1 << 20))], None).await;
    let message = send(&server).await.unwrap_err().refusal.message;
    assert!(message.contains("no !") && message.len() < 1000, "{}", message.len());
}

#[tokio::test]
async fn a_backend_that_is_gone_may_come_back() {
    let server = Server::start(vec![Answer::HangUp], None).await;
    let failure = send(&server).await.unwrap_err().refusal;
    assert!(failure.retryable && failure.reason == Reason::Unavailable, "{failure:?}");
    let closed = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let nobody = server.at(closed.local_addr().unwrap());
    drop(closed);
    let failure = send(&nobody).await.unwrap_err().refusal;
    assert!(failure.retryable && failure.message.contains("cannot reach 127.0.0.1:"), "{failure:?}");
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    let server = Server::start(vec![Answer::Silence], None).await;
    let section = "endpoint: URL\ntimeout: 50ms\nretry_on_failure: {enabled: false}\n";
    let (context, outcomes) = export(&server, section, vec![requests::payload(1, 0, 3, None)]).await;
    assert!(outcomes[0].as_ref().is_err_and(|refusal| refusal.reason == Reason::Timeout), "{outcomes:?}");
    let dropped = metric(&context.telemetry, "forebay_exporter_dropped_spans", &[("reason", "timeout")]);
    assert_eq!(dropped, 3.0);
}

#[tokio::test]
async fn what_was_taken_of_a_large_payload_is_not_sent_again() {
    let answers = vec![status(202), status(503), status(400), status(202)];
    let server = Server::start(answers, None).await;
    let context = context(Kind::Exporter, "zipkin");
    let retry = RetryConfig {
        initial_interval: forebay_config::GoDuration(Duration::from_millis(1)),
        ..RetryConfig::default()
    };
    let send = SendConfig { queue: None, retry, timeout: Duration::ZERO };
    // Room for two of these spans in a body.
    let exporter = QueuedExporter::new(&context, send, Arc::new(transport(&server, 300)));
    let exporter: Box<dyn forebay_component::Exporter> = Box::new(exporter);
    let (ack, outcome) = Ack::channel();
    exporter.consumer().consume(requests::payload(1, 0, 6, None).with_ack(ack)).unwrap();
    assert!(outcome.await.is_err_and(|refusal| !refusal.retryable));
    let got: Vec<Vec<String>> = server.got().iter().map(|got| names(&got.body)).collect();
    let pair = |first: usize| vec![format!("span {first}"), format!("span {}", first + 1)];
    assert_eq!(got, [pair(0), pair(2), pair(2), pair(4)]);
    let drained = exporter.shutdown(Instant::now() + Duration::from_secs(30)).await;
    assert_eq!((drained.sent, drained.dropped, drained.left), (4, 2, 0));
}

#[tokio::test]
async fn spans_without_ids_are_counted_and_the_others_go() {
    let server = Server::start(Vec::new(), None).await;
    let mut wire = requests::request(1, 0, 1, None);
    // A second group with a span that has no field at all.
    wire.extend_from_slice(&[0x0a, 4, 0x12, 2, 0x12, 0]);
    let (context, outcomes) =
        export(&server, "endpoint: URL\n", vec![Payload::traces(Bytes::from(wire), 2)]).await;
    assert!(outcomes[0].as_ref().is_err_and(|refusal| refusal.reason == Reason::Invalid));
    assert_eq!(metric(&context.telemetry, "otelcol_exporter_sent_spans", &[]), 1.0);
    assert_eq!(metric(&context.telemetry, "forebay_exporter_dropped_spans", &[("reason", "invalid")]), 1.0);
    assert_eq!(server.got().len(), 1);
}

#[tokio::test]
async fn it_conforms() {
    let server = Server::start(Vec::new(), None).await;
    conformance::exporter(&FACTORY, &format!("endpoint: http://{}/api/v2/spans", server.address)).await;
    assert_eq!(server.got().len(), 50);
}
