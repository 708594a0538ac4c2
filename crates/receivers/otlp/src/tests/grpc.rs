use super::support::{BOTH, Holder, both, mixed, request, span, start};
use crate::budget::ByteBudget;
use crate::intake::Intake;
use crate::metrics::TransportMetrics;
use forebay_component::{Origin, Reason, Refusal};
use forebay_otlp::traces::validate;
use forebay_testkit::Sink;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use std::sync::Arc;
use std::time::Duration;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request};
use tonic_types::StatusExt;

#[tokio::test]
async fn spans_arrive_as_the_bytes_that_were_sent() {
    let (receiver, sink) = both().await;
    let sent = request(100);
    let reply = receiver.grpc().await.export(sent.clone()).await.unwrap().into_inner();
    assert_eq!(reply.partial_success, None);
    assert_eq!(sink.taken(), [super::support::wire(&sent)]);
    let labels = [("receiver", "otlp"), ("transport", "grpc")];
    assert_eq!(receiver.metric("otelcol_receiver_accepted_spans", &labels), 100.0);
    assert_eq!(receiver.metric("otelcol_receiver_refused_spans", &labels), 0.0);
    assert_eq!(receiver.metric("forebay_receiver_in_flight_bytes", &[]), 0.0);
    receiver.stop().await;
}

#[tokio::test]
async fn every_compression_is_read() {
    let (receiver, sink) = both().await;
    for (index, encoding) in
        [CompressionEncoding::Gzip, CompressionEncoding::Zstd, CompressionEncoding::Deflate]
            .into_iter()
            .enumerate()
    {
        let mut client = receiver.grpc().await.send_compressed(encoding).accept_compressed(encoding);
        client.export(request(1000)).await.unwrap();
        assert_eq!(sink.items(), 1000 * (index + 1));
    }
    receiver.stop().await;
}

#[tokio::test]
async fn bad_spans_are_named_and_the_good_ones_go_on() {
    let (receiver, sink) = both().await;
    let reply = receiver.grpc().await.export(mixed()).await.unwrap().into_inner();
    let partial = reply.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 3);
    assert!(partial.error_message.contains("2 rejected: trace_id"), "{}", partial.error_message);
    assert!(partial.error_message.contains("1 rejected: span_id"), "{}", partial.error_message);
    assert_eq!(sink.items(), 2);
    assert_eq!(validate(&sink.taken()[0]).unwrap().invalid.total(), 0);
    let rejected = |reason| receiver.metric("forebay_receiver_rejected_spans", &[("reason", reason)]);
    assert_eq!((rejected("trace_id"), rejected("span_id"), rejected("parent_span_id")), (2.0, 1.0, 0.0));
    receiver.stop().await;
}

#[tokio::test]
async fn nothing_good_and_nothing_at_all_are_successes() {
    let (receiver, sink) = both().await;
    let mut client = receiver.grpc().await;
    let bad = super::support::request_of(vec![opentelemetry_proto::tonic::trace::v1::Span {
        parent_span_id: vec![1],
        ..span(1)
    }]);
    let partial = client.export(bad).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    let empty = client.export(ExportTraceServiceRequest::default()).await.unwrap().into_inner();
    assert_eq!(empty.partial_success, None);
    assert!(sink.taken().is_empty());
    receiver.stop().await;
}

#[tokio::test]
async fn a_full_pipeline_is_resource_exhausted_with_the_time_to_wait() {
    let (receiver, sink) = both().await;
    let mut client = receiver.grpc().await;
    sink.refuse(Refusal::retryable(Reason::QueueFull, "the queue is full").after(Duration::from_secs(7)));
    let status = client.export(request(5)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "the queue is full"));
    let wait = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(wait, Some(Duration::from_secs(7)));

    sink.refuse(Refusal::retryable(Reason::Unavailable, "nobody there"));
    let status = client.export(request(5)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().is_some());

    sink.refuse(Refusal::permanent(Reason::Invalid, "no such thing"));
    let status = client.export(request(5)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.get_details_retry_info().is_none());

    assert_eq!(receiver.metric("otelcol_receiver_refused_spans", &[("transport", "grpc")]), 15.0);
    sink.open();
    client.export(request(5)).await.unwrap();
    assert_eq!(sink.items(), 5);
    receiver.stop().await;
}

/// A full stage gets a tenth of a second to make room; the client notices nothing but the time.
#[tokio::test(start_paused = true)]
async fn a_request_waits_a_moment_for_room() {
    let sink = Arc::new(Sink::default());
    let context = forebay_testkit::context(forebay_telemetry::Kind::Receiver, "otlp");
    let intake = Arc::new(Intake::new(sink.clone(), TransportMetrics::new(&context, "grpc")));
    let metric = |name: &str| forebay_testkit::metric(&context.telemetry, name, &[("transport", "grpc")]);
    let take = || {
        let share = ByteBudget::new(1 << 20).share();
        intake.take(super::support::wire(&request(5)), Origin::default(), share).outcome()
    };
    let full = || sink.refuse(Refusal::retryable(Reason::QueueFull, "the queue is full"));
    full();
    let begun = tokio::time::Instant::now();
    let (taken, ()) = tokio::join!(take(), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        sink.open();
    });
    assert!(taken.is_ok());
    assert_eq!(begun.elapsed().as_millis(), 31);
    full();
    let begun = tokio::time::Instant::now();
    assert!(take().await.is_err());
    assert_eq!(begun.elapsed().as_millis(), 127);
    // A client that goes meanwhile has not got it in.
    assert!(tokio::time::timeout(Duration::from_millis(20), take()).await.is_err());
    assert_eq!(metric("otelcol_receiver_accepted_spans"), 5.0);
    assert_eq!(metric("otelcol_receiver_refused_spans"), 10.0);
    // What cannot pass is said at once.
    sink.refuse(Refusal::retryable(Reason::ShuttingDown, "bye"));
    let begun = tokio::time::Instant::now();
    assert!(take().await.is_err());
    assert_eq!(begun.elapsed().as_millis(), 0);
}

#[tokio::test]
async fn the_answer_waits_for_the_acknowledgement() {
    let holder = Arc::new(Holder::default());
    let receiver = start(BOTH, holder.clone()).await;
    let mut client = receiver.grpc().await;
    let call = tokio::spawn(async move { client.export(request(4)).await });
    let payload = holder.next().await;
    assert_eq!(payload.items, 4);
    assert!(payload.origin.peer.unwrap().ip().is_loopback());
    assert!(payload.origin.headers.is_empty());
    assert!(!call.is_finished());
    payload.ack.refuse(Refusal::retryable(Reason::MemoryLimit, "no memory"));
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::ResourceExhausted);

    // A stage that loses the data refuses it retryably, which counts as our fault.
    let mut client = receiver.grpc().await;
    let call = tokio::spawn(async move { client.export(request(2)).await });
    drop(holder.next().await);
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(receiver.metric("otelcol_receiver_refused_spans", &[]), 4.0);
    assert_eq!(receiver.metric("otelcol_receiver_failed_spans", &[]), 2.0);
    receiver.stop().await;
}

#[tokio::test]
async fn spans_of_a_client_that_went_away_are_counted_as_they_fare() {
    let holder = Arc::new(Holder::default());
    let receiver = start(BOTH, holder.clone()).await;
    let mut client = receiver.grpc().await;
    let call = tokio::spawn(async move { client.export(request(6)).await });
    let payload = holder.next().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    payload.ack.accept();
    while receiver.metric("otelcol_receiver_accepted_spans", &[]) < 6.0 {
        tokio::task::yield_now().await;
    }
    receiver.stop().await;
}

#[tokio::test]
async fn request_headers_go_along_when_asked_for() {
    let holder = Arc::new(Holder::default());
    let yaml = "{protocols: {grpc: {endpoint: '127.0.0.1:0', include_metadata: true}}}";
    let receiver = start(yaml, holder.clone()).await;
    let mut client = receiver.grpc().await;
    let mut sent = Request::new(request(1));
    sent.metadata_mut().insert("x-tenant", "blue".parse().unwrap());
    let call = tokio::spawn(async move { client.export(sent).await });
    let payload = holder.next().await;
    assert!(payload.origin.headers.contains(&("x-tenant".into(), "blue".into())));
    payload.ack.accept();
    call.await.unwrap().unwrap();
    receiver.stop().await;
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_for_good() {
    let sink = Arc::new(Sink::default());
    let yaml = "{protocols: {grpc: {endpoint: '127.0.0.1:0', max_recv_msg_size_mib: 1}}}";
    let receiver = start(yaml, sink.clone()).await;
    for compressed in [false, true] {
        let mut client = receiver.grpc().await;
        if compressed {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let status = client.export(request(60_000)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        assert!(status.message().contains("max_recv_msg_size_mib"), "{status}");
        assert!(status.get_details_retry_info().is_none());
    }
    assert_eq!(receiver.metric("forebay_receiver_bad_requests", &[("reason", "too_large")]), 2.0);
    receiver.grpc().await.export(request(1)).await.unwrap();
    receiver.stop().await;
}

#[tokio::test]
async fn other_signals_and_methods_are_unimplemented() {
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
    let (receiver, _sink) = both().await;
    let channel = tonic::transport::Endpoint::new(format!("http://{}", receiver.grpc_addr())).unwrap();
    let mut grpc = tonic::client::Grpc::new(channel.connect().await.unwrap());
    for path in [
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
        "/grpc.health.v1.Health/Check",
    ] {
        grpc.ready().await.unwrap();
        let message = Request::new(bytes::Bytes::new());
        let path = path.parse().unwrap();
        let status = grpc.unary(message, path, forebay_net::RawCodec).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
    // The connection goes on.
    let mut client = TraceServiceClient::new(channel.connect().await.unwrap());
    client.export(request(1)).await.unwrap();
    receiver.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_are_an_invalid_argument() {
    let (receiver, sink) = both().await;
    let channel = tonic::transport::Endpoint::new(format!("http://{}", receiver.grpc_addr())).unwrap();
    let mut grpc = tonic::client::Grpc::new(channel.connect().await.unwrap());
    grpc.ready().await.unwrap();
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export".parse().unwrap();
    let message = Request::new(bytes::Bytes::from_static(b"\x0a\xff\xff"));
    let status = grpc.unary(message, path, forebay_net::RawCodec).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.get_details_retry_info().is_none());
    assert_eq!(receiver.metric("forebay_receiver_bad_requests", &[("reason", "malformed")]), 1.0);
    receiver.assert_serves(&sink).await;
    receiver.stop().await;
}
