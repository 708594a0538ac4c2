//! What every component must do, whatever else it does.
//!
//! Each function panics with what was broken. `section` is the component's configuration in YAML.

use crate::{Sink, context, requests};
use forebay_component::{
    Ack, Consumer, ExporterFactory, Info, Payload, Processor, ProcessorFactory, Reason, ReceiverFactory,
    Refusal,
};
use forebay_config::{Diagnostics, Node};
use forebay_telemetry::{Kind, Telemetry};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECTION: &str = "section.yaml";

#[allow(clippy::expect_used, reason = "a mistake in a test")]
fn section(text: &str) -> Node {
    Node::parse_str(SECTION, text).expect("a section that parses")
}

/// An unknown key is one located error that names what exists; the effective configuration can be shown.
#[allow(clippy::panic, reason = "fails the test")]
fn configuration<Plan: ?Sized>(
    info: Info,
    text: &str,
    configure: fn(&Node) -> Result<Box<Plan>, Diagnostics>,
    effective: impl Fn(&Plan) -> serde_json::Value,
) {
    assert!(!info.description.is_empty(), "{}: no description", info.kind);
    let plan = configure(&section(text)).unwrap_or_else(|errors| panic!("{}: {errors}", info.kind));
    assert!(!effective(&plan).is_null() || text.is_empty(), "{}: nothing to show", info.kind);
    let wrong = if text.trim().is_empty() { String::new() } else { format!("{}\n", text.trim_end()) };
    let line = wrong.lines().count() + 1;
    let Err(errors) = configure(&section(&format!("{wrong}no_such_key_at_all: 1\n"))) else {
        panic!("{}: takes an unknown key", info.kind)
    };
    let said = errors.to_string();
    assert!(said.contains(&format!("{SECTION}:{line}:")), "{}: not located: {said}", info.kind);
    assert!(said.contains("no_such_key_at_all"), "{}: the key is not named: {said}", info.kind);
}

/// A processor whose configuration passes everything on: it starts and stops empty, passes on all it
/// acknowledged, holds back and loses nothing while the next stage is full or refuses at random, and counts what
/// it has to give up at a deadline.
///
/// # Panics
/// When the processor breaks a rule.
#[allow(clippy::panic, clippy::expect_used, reason = "fails the test")]
pub fn processor(factory: &ProcessorFactory, text: &str) {
    let kind = factory.info.kind;
    configuration(factory.info, text, factory.configure, |plan| plan.effective());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let _inside = runtime.enter();
    let build = |sink: &Arc<Sink>| -> (Telemetry, Box<dyn Processor>) {
        let context = context(Kind::Processor, kind);
        let plan = (factory.configure)(&section(text)).unwrap_or_else(|errors| panic!("{kind}: {errors}"));
        let telemetry = context.telemetry.clone();
        (telemetry, plan.build(context, Arc::clone(sink) as Arc<dyn Consumer>).expect("it builds"))
    };
    let soon = || Instant::now() + Duration::from_secs(60);

    let sink = Arc::new(Sink::default());
    let (_, idle) = build(&sink);
    assert_eq!(idle.shutdown(soon()).sent, 0, "{kind}: sent something when there was nothing");

    // Everything acknowledged comes out once, in spite of refusals at random.
    let sink = Arc::new(Sink::default());
    let (_, running) = build(&sink);
    let entrance = running.consumer();
    let mut random = StdRng::seed_from_u64(7);
    let mut expected = Vec::new();
    for trace in 0..500 {
        let spans = random.random_range(1..20);
        if random.random_bool(0.2) {
            sink.refuse_next(random.random_range(1..3));
        }
        let (ack, outcome) = Ack::channel();
        let payload = requests::payload(trace, 0, spans, None).with_ack(ack);
        entrance.consume_wait(payload, Duration::from_secs(60)).expect("room within a minute");
        runtime.block_on(outcome).expect("what was taken is acknowledged");
        expected.extend((0..spans).map(|span| (trace, span)));
    }
    let drained = running.shutdown(soon());
    assert_eq!(requests::spans_of(&sink.taken()), expected, "{kind}: lost or doubled spans");
    assert_eq!((drained.sent, drained.dropped), (expected.len() as u64, 0), "{kind}: miscounted");
    let late = entrance.consume(requests::payload(0, 0, 1, None));
    assert!(late.is_err_and(|refused| refused.refusal.retryable), "{kind}: takes data after its stop");

    // A full next stage is felt at the entrance as a retryable refusal; nothing is lost.
    let sink = Arc::new(Sink::default());
    sink.close();
    let (_, running) = build(&sink);
    let entrance = running.consumer();
    let big = "x".repeat(1 << 20);
    let mut taken = 0;
    let refusal = loop {
        let payload = requests::payload(taken, 0, 1, Some(("filler", &big)));
        match entrance.consume_wait(payload, Duration::from_millis(500)) {
            Ok(()) => taken += 1,
            Err(refused) => break refused.refusal,
        }
        assert!(taken < 512, "{kind}: half a gigabyte taken while the next stage is full");
    };
    assert!(
        refusal.retryable && refusal.retry_after.is_some(),
        "{kind}: refuses without a time: {refusal:?}"
    );
    sink.open();
    running.shutdown(soon());
    assert_eq!(sink.items() as u64, taken, "{kind}: lost what it had taken");

    // At a deadline what cannot be passed on is counted.
    let sink = Arc::new(Sink::default());
    sink.refuse(Refusal::retryable(Reason::Unavailable, "down"));
    let (_, running) = build(&sink);
    running.consumer().consume(requests::payload(1, 0, 3, None)).expect("room");
    let drained = running.shutdown(Instant::now());
    assert_eq!((drained.sent, drained.dropped + drained.left), (0, 3), "{kind}: a silent loss");
}

/// An exporter whose backend takes everything: configuration, a stop with nothing to do, and a stop that first
/// delivers what was acknowledged. `text` is called for each instance; the backend outlives it.
///
/// # Panics
/// When the exporter breaks a rule.
#[allow(clippy::panic, clippy::expect_used, reason = "fails the test")]
pub async fn exporter(factory: &ExporterFactory, text: &str) {
    let kind = factory.info.kind;
    configuration(factory.info, text, factory.configure, |plan| plan.effective());
    let build = || {
        let plan = (factory.configure)(&section(text)).unwrap_or_else(|errors| panic!("{kind}: {errors}"));
        plan.build(context(Kind::Exporter, kind)).expect("it builds")
    };
    let soon = || Instant::now() + Duration::from_secs(60);
    assert_eq!(build().shutdown(soon()).await.sent, 0, "{kind}: sent something when there was nothing");

    let running = build();
    let entrance = running.consumer();
    let mut expected = 0;
    for trace in 0..50 {
        let (ack, outcome) = Ack::channel();
        let payload: Payload = requests::payload(trace, 0, 3, None).with_ack(ack);
        entrance.consume(payload).expect("room for fifty requests");
        outcome.await.expect("what was taken is acknowledged");
        expected += 3;
    }
    let drained = running.shutdown(soon()).await;
    assert_eq!((drained.sent, drained.dropped, drained.left), (expected, 0, 0), "{kind}: lost at its stop");
    let late = entrance.consume(requests::payload(0, 0, 1, None));
    assert!(late.is_err_and(|refused| refused.refusal.retryable), "{kind}: takes data after its stop");
}

/// A receiver: configuration, everything sent comes out once, a full pipeline is felt by the client, a taken port is
/// a clear error, and after a stop nothing listens. `section` gives the configuration for a port of 127.0.0.1;
/// `send` sends an export request there and says whether it was acknowledged.
///
/// # Panics
/// When the receiver breaks a rule.
#[allow(clippy::panic, clippy::expect_used, reason = "fails the test")]
pub async fn receiver(
    factory: &ReceiverFactory,
    text: impl Fn(u16) -> String,
    send: impl AsyncFn(SocketAddr, Vec<u8>) -> bool,
) {
    let kind = factory.info.kind;
    // Free a moment ago: two receivers have to be told the same port.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let address = free.expect("a free port");
    let text = text(address.port());
    configuration(factory.info, &text, factory.configure, |plan| plan.effective());
    let sink = Arc::new(Sink::default());
    let build = || {
        let plan = (factory.configure)(&section(&text)).unwrap_or_else(|errors| panic!("{kind}: {errors}"));
        let next = Arc::clone(&sink) as Arc<dyn Consumer>;
        plan.build(context(Kind::Receiver, kind), next).expect("it builds")
    };
    let soon = || Instant::now() + Duration::from_secs(60);

    let mut running = build();
    running.start().await.expect("it starts");
    let mut expected = Vec::new();
    for trace in 0..20 {
        assert!(send(address, requests::request(trace, 0, 3, None)).await, "{kind}: refused a good request");
        expected.extend((0..3).map(|span| (trace, span)));
    }
    assert_eq!(requests::spans_of(&sink.taken()), expected, "{kind}: acknowledged and did not pass on");

    sink.close();
    assert!(!send(address, requests::request(20, 0, 3, None)).await, "{kind}: acknowledged what nobody took");
    sink.open();
    assert!(send(address, requests::request(20, 0, 3, None)).await, "{kind}: does not recover");
    assert_eq!(sink.items(), 63, "{kind}: passed on a refused request");

    let taken = build().start().await.expect_err("the port is taken").to_string();
    assert!(taken.contains(&address.port().to_string()), "{kind}: the taken port is not named: {taken}");

    running.shutdown(soon()).await;
    assert!(!send(address, requests::request(21, 0, 3, None)).await, "{kind}: takes data after its stop");
    assert_eq!(sink.items(), 63, "{kind}: passed something on after its stop");
    let mut again = build();
    again.start().await.expect("its port is free again");
    assert!(send(address, requests::request(22, 0, 3, None)).await, "{kind}: does not start again");
    again.shutdown(soon()).await;
}
