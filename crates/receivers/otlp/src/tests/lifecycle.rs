use super::support::{BOTH, Holder, both, post, request, start, wire};
use crate::{Config, FACTORY, OtlpReceiver};
use forebay_component::{Reason, Receiver, Refusal};
use forebay_config::Node;
use forebay_telemetry::{Kind, State};
use forebay_testkit::{Sink, context};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tonic::Code;

#[tokio::test]
async fn a_busy_port_names_the_endpoint_and_stops_what_had_started() {
    let (running, sink) = both().await;
    let yaml = format!(
        "{{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '{}'}}}}}}",
        running.http_addr()
    );
    let context = context(Kind::Receiver, "otlp/b");
    let config = Config::read(&Node::parse_str("test.yaml", &yaml).unwrap()).unwrap();
    let mut second = OtlpReceiver::build(&config, &context, sink.clone()).unwrap();
    let error = second.start().await.unwrap_err().to_string();
    for part in ["otlp/b", "HTTP", &running.http_addr().to_string(), "free port"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(second.grpc_addr(), None);
    running.assert_serves(&sink).await;
    running.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_requests_under_way() {
    let holder = Arc::new(Holder::default());
    let mut running = start(BOTH, holder.clone()).await;
    let (grpc_addr, http_addr) = (running.grpc_addr(), running.http_addr());
    let mut client = running.grpc().await;
    let over_grpc = tokio::spawn(async move { client.export(request(1)).await });
    let first = holder.next().await;
    let over_http =
        tokio::spawn(async move { post(http_addr, "application/x-protobuf", &[], wire(&request(1))).await });
    let second = holder.next().await;

    let stopping = tokio::spawn(async move {
        running.receiver.shutdown(Instant::now() + Duration::from_secs(60)).await;
        running
    });
    // Nobody new gets in.
    for address in [grpc_addr, http_addr] {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
    assert!(!stopping.is_finished());
    first.ack.accept();
    second.ack.refuse(Refusal::retryable(Reason::ShuttingDown, "stopping"));
    over_grpc.await.unwrap().unwrap();
    let reply = over_http.await.unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
    let running = stopping.await.unwrap();
    assert_eq!(running.telemetry.board.components()[0].state, State::Stopped);
}

#[tokio::test]
async fn a_stop_ends_at_its_deadline() {
    let holder = Arc::new(Holder::default());
    let mut running = start(BOTH, holder.clone()).await;
    let mut client = running.grpc().await;
    let call = tokio::spawn(async move { client.export(request(1)).await });
    let _never_answered = holder.next().await;
    running.receiver.shutdown(Instant::now()).await;
    // The client knows nothing of its spans, so it will send them again.
    let code = call.await.unwrap().unwrap_err().code();
    assert!(matches!(code, Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal), "{code:?}");
}

#[tokio::test]
async fn a_receiver_that_was_never_started_stops() {
    let context = context(Kind::Receiver, "otlp");
    let plan = (FACTORY.configure)(&Node::parse_str("test.yaml", BOTH).unwrap()).unwrap();
    let mut receiver = plan.build(context, Arc::new(Sink::default())).unwrap();
    receiver.shutdown(Instant::now()).await;
}

#[tokio::test]
async fn the_status_page_shows_what_happened() {
    let (running, sink) = both().await;
    running.grpc().await.export(request(5)).await.unwrap();
    post(running.http_addr(), "application/x-protobuf", &[], wire(&super::support::mixed())).await;
    sink.close();
    running.grpc().await.export(request(3)).await.unwrap_err();
    let shown = &running.telemetry.board.components()[0];
    assert_eq!(shown.state, State::Ok);
    let total = |name| shown.flows.iter().find(|flow| flow.name == name).unwrap().total;
    assert_eq!((total("accepted"), total("refused"), total("rejected"), total("failed")), (7, 3, 3, 0));
    let queue = shown.queue.unwrap();
    assert_eq!((queue.used, queue.capacity), (0, 256 << 20));
    running.stop().await;
}

#[tokio::test]
async fn old_connections_end_and_clients_go_on() {
    let holder = Arc::new(Holder::default());
    let yaml = "{protocols: {grpc: {endpoint: '127.0.0.1:0', keepalive: {server_parameters: \
        {max_connection_age: 20ms, max_connection_age_grace: 10s}}}}}";
    let running = start(yaml, holder.clone()).await;
    let client = running.grpc().await;
    let mut peers = HashSet::new();
    while peers.len() < 4 {
        let mut client = client.clone();
        let mut call = tokio::spawn(async move { client.export(request(1)).await });
        tokio::select! {
            payload = holder.next() => {
                // What arrived is answered, however old its connection has become.
                peers.insert(payload.origin.peer);
                payload.ack.accept();
                call.await.unwrap().unwrap();
            }
            // The client itself gives up what it had not sent when its connection ended.
            result = &mut call => assert_eq!(result.unwrap().unwrap_err().code(), Code::Cancelled),
        }
    }
    running.stop().await;
}
