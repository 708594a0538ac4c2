//! Batching rules and the thread around them.

use crate::batcher::Batcher;
use crate::config::configure;
use forebay_component::Payload;
use forebay_config::Node;
use std::time::{Duration, Instant};

fn span_request(id: u8) -> Vec<u8> {
    // resource_spans { scope_spans { spans { trace_id: 16 x id } } }
    let mut span = vec![0x0a, 16];
    span.extend([id; 16]);
    let wrap = |inner: &[u8], tag: u8| [&[tag, inner.len() as u8][..], inner].concat();
    wrap(&wrap(&wrap(&span, 0x12), 0x12), 0x0a)
}

fn payload(id: u8) -> Payload {
    Payload::traces(span_request(id), 1)
}

#[test]
fn a_batch_is_the_concatenation_of_its_requests() {
    let mut batcher = Batcher::new(Duration::from_secs(1), 3, 0);
    let now = Instant::now();
    assert!(!batcher.add(payload(1), || now));
    assert!(!batcher.add(payload(2), || now + Duration::from_millis(5)));
    assert_eq!(batcher.due(), Some(now + Duration::from_secs(1)));
    assert!(batcher.add(payload(3), || now));
    let taken = batcher.take();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].items, 3);
    assert_eq!(taken[0].body, [span_request(1), span_request(2), span_request(3)].concat());
    assert_eq!((batcher.items(), batcher.due()), (0, None));
    assert!(batcher.take().is_empty());
}

#[test]
fn a_single_request_is_shared_not_copied() {
    let mut batcher = Batcher::new(Duration::from_secs(1), 10, 0);
    let payload = payload(1);
    let bytes = payload.body.as_ptr();
    batcher.add(payload, Instant::now);
    assert_eq!(batcher.take()[0].body.as_ptr(), bytes);
}

#[test]
fn max_size_splits_and_loses_nothing() {
    let mut batcher = Batcher::new(Duration::from_secs(1), 5, 5);
    for id in 1..=12 {
        batcher.add(payload(id), Instant::now);
    }
    let taken = batcher.take();
    assert!(taken.iter().all(|part| part.items <= 5 && part.items > 0));
    assert_eq!(taken.iter().map(|part| part.items).sum::<usize>(), 12);
    let joined: Vec<u8> = taken.iter().flat_map(|part| part.body.to_vec()).collect();
    let ids: Vec<u8> = forebay_otlp::traces::TracesView::new(&joined)
        .resource_spans()
        .flat_map(|resource| resource.scope_spans().collect::<Vec<_>>())
        .flat_map(|scope| scope.spans().map(|span| span.trace_id()[0]).collect::<Vec<_>>())
        .collect();
    assert_eq!(ids, (1..=12).collect::<Vec<u8>>());
}

#[test]
fn no_timeout_means_no_waiting() {
    let mut batcher = Batcher::new(Duration::ZERO, 8192, 0);
    assert!(batcher.add(payload(1), Instant::now));
}

#[test]
fn configuration_has_the_collectors_defaults_and_located_errors() {
    let node = Node::parse_str("c.yaml", "").unwrap();
    let effective = configure(&node).unwrap().effective();
    assert_eq!(effective["send_batch_size"], 8192);
    assert_eq!(effective["timeout"], "200ms");

    let node = Node::parse_str("c.yaml", "send_batch_size: 100\nsend_batch_max_size: 10\n").unwrap();
    let error = configure(&node).err().unwrap().to_string();
    assert!(error.contains("c.yaml:2:") && error.contains("at least send_batch_size (100)"), "{error}");

    let node = Node::parse_str("c.yaml", "timeout: 1s\nmetadata_keys: [tenant]\n").unwrap();
    let error = configure(&node).err().unwrap().to_string();
    assert!(error.contains("c.yaml:2:") && error.contains("not supported yet"), "{error}");
}

#[test]
fn conforms() {
    forebay_testkit::conformance::processor(&crate::FACTORY, "timeout: 10ms\nsend_batch_size: 50\n");
    forebay_testkit::conformance::processor(
        &crate::FACTORY,
        "send_batch_size: 10\nsend_batch_max_size: 10\n",
    );
}

#[test]
fn many_callers_at_once_lose_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _inside = runtime.enter();
    let sink = std::sync::Arc::new(forebay_testkit::Sink::default());
    let context = forebay_testkit::context(forebay_telemetry::Kind::Processor, "batch");
    let node = Node::parse_str("c.yaml", "timeout: 1ms\nsend_batch_size: 7\n").unwrap();
    let running = configure(&node).unwrap().build(context, sink.clone()).unwrap();
    let entrance = running.consumer();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for id in 0..250 {
                    sink.refuse_next(usize::from(id % 16 == 0));
                    entrance.consume_wait(payload(id as u8), Duration::from_secs(60)).unwrap();
                }
            });
        }
    });
    let drained = running.shutdown(Instant::now() + Duration::from_secs(60));
    assert_eq!((drained.sent, drained.dropped), (1000, 0));
    assert_eq!(sink.items(), 1000);
}
