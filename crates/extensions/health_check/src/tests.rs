use crate::{Config, FACTORY, HealthCheck};
use bytes::Bytes;
use forebay_component::{Context, Extension};
use forebay_config::Node;
use forebay_telemetry::{Kind, Phase, State};
use forebay_testkit::context;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

fn node(yaml: &str) -> Node {
    Node::parse_str("test.yaml", yaml).unwrap()
}

async fn start(yaml: &str) -> (HealthCheck, Context) {
    let context = context(Kind::Extension, "health_check");
    let mut extension = HealthCheck::build(Config::read(&node(yaml)).unwrap(), &context).unwrap();
    extension.start().await.unwrap();
    (extension, context)
}

async fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new()).unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let kind = head.headers["content-type"].to_str().unwrap().to_owned();
    (head.status.as_u16(), kind, String::from_utf8(body.to_vec()).unwrap())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[tokio::test]
async fn the_answer_follows_the_agents_phase() {
    let (mut extension, context) = start("{endpoint: '127.0.0.1:0'}").await;
    let address = extension.local_addr().unwrap();
    let unavailable = r#"{"status":"Server not available","upSince":"0001-01-01T00:00:00Z","uptime":""}"#;
    let json = "application/json".to_owned();
    assert_eq!(get(address, "/").await, (503, json.clone(), unavailable.to_owned()));

    context.telemetry.board.set_phase(Phase::Ready);
    let (status, kind, body) = get(address, "/any/path").await;
    assert_eq!((status, kind), (200, json.clone()));
    let health: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(health["status"], "Server available");
    assert!(health["upSince"].as_str().unwrap().starts_with("20"), "{body}");
    assert!(health["uptime"].as_str().unwrap().ends_with('s'), "{body}");

    context.telemetry.board.set_phase(Phase::Draining);
    assert_eq!(get(address, "/").await, (503, json, unavailable.to_owned()));
    extension.shutdown(soon()).await;
    assert_eq!(context.status.state(), State::Stopped);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn path_and_bodies_are_configurable() {
    let yaml = "{endpoint: '127.0.0.1:0', path: /health, response_body: {healthy: fine, unhealthy: ill}}";
    let (mut extension, context) = start(yaml).await;
    let address = extension.local_addr().unwrap();
    let text = "text/plain; charset=utf-8".to_owned();
    assert_eq!(get(address, "/health").await, (503, text.clone(), "ill".to_owned()));
    context.telemetry.board.set_phase(Phase::Ready);
    assert_eq!(get(address, "/health").await, (200, text, "fine".to_owned()));
    let (status, _, body) = get(address, "/").await;
    assert_eq!(status, 404);
    assert!(body.contains("/health"));
    extension.shutdown(soon()).await;
}

#[tokio::test]
async fn a_busy_port_is_said_with_the_way_out() {
    let (mut first, _) = start("{endpoint: '127.0.0.1:0'}").await;
    let busy = format!("{{endpoint: '{}'}}", first.local_addr().unwrap());
    let context = context(Kind::Extension, "health_check/b");
    let mut second = HealthCheck::build(Config::read(&node(&busy)).unwrap(), &context).unwrap();
    let error = second.start().await.unwrap_err().to_string();
    assert!(error.contains("health_check/b") && error.contains("free port"), "{error}");
    first.shutdown(soon()).await;
}

#[test]
fn defaults_are_the_collectors() {
    let plan = (FACTORY.configure)(&node("")).unwrap();
    let effective = plan.effective();
    assert_eq!(effective["endpoint"], "localhost:13133");
    assert_eq!(effective["path"], "/");
    assert_eq!(effective["keep_alives_enabled"], false);
    // What the collector reads and ignores is no error.
    let ignored = "{check_collector_pipeline: {enabled: true, interval: 5m, exporter_failure_threshold: 5}}";
    assert!((FACTORY.configure)(&node(ignored)).is_ok());
}

#[test]
fn what_is_not_supported_is_an_error_where_it_stands() {
    for key in [
        "write_timeout: 1s",
        "cors: {}",
        "auth: {}",
        "middlewares: [a]",
        "dialer: {}",
        "max_request_body_size: 1",
        "include_metadata: true",
        "response_headers: {}",
        "compression_algorithms: []",
        "http: {}",
        "grpc: {}",
        "component_health: {}",
        "path: health",
        "endpoint: localhost",
        "tls: {cert_file: a}",
        "pth: /",
    ] {
        let errors = Config::read(&node(&format!("transport: tcp\n{key}"))).unwrap_err().to_string();
        assert!(errors.starts_with("test.yaml:2:"), "{key}: {errors}");
    }
}
