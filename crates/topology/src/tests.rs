//! Graphs of made-up components: order, fan-out, errors at their place.

use crate::{Components, Plan, Running, StartFailed};
use async_trait::async_trait;
use forebay_component::*;
use forebay_config::{Diagnostics, Node, Source, Spec};
use forebay_telemetry::{Phase, Telemetry};
use forebay_testkit::{Sink, requests};
use serde::Deserialize;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

/// What happened, by test: components write `name: event` under the journal their configuration names.
static JOURNAL: LazyLock<Mutex<Vec<(String, String)>>> = LazyLock::new(Mutex::default);
/// The sinks and entrances of all tests, by journal and component.
static SINKS: LazyLock<Registry<Arc<Sink>>> = LazyLock::new(Mutex::default);
static ENTRANCES: LazyLock<Registry<Arc<dyn Consumer>>> = LazyLock::new(Mutex::default);
/// Until when receivers and processors were told to stop.
static DEADLINES: LazyLock<Registry<Instant>> = LazyLock::new(Mutex::default);

/// Things by `journal:component`.
type Registry<T> = Mutex<Vec<(String, T)>>;

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Settings {
    test: String,
    #[serde(default)]
    fail: bool,
}

struct Part {
    settings: Settings,
    id: String,
    next: Option<Arc<dyn Consumer>>,
}

impl Part {
    fn note(&self, event: &str) {
        JOURNAL.lock().unwrap().push((self.settings.test.clone(), format!("{} {event}", self.id)));
    }
    fn key(&self) -> String {
        format!("{}:{}", self.settings.test, self.id)
    }
}

struct Made(Settings);

impl Made {
    fn part(self, context: &Context, next: Option<Arc<dyn Consumer>>) -> Part {
        let part = Part { settings: self.0, id: context.id.to_string(), next };
        part.note("built");
        part
    }
}

impl BuildReceiver for Made {
    fn effective(&self) -> serde_json::Value {
        serde_json::json!({"test": self.0.test})
    }
    fn build(
        self: Box<Self>,
        context: Context,
        next: Arc<dyn Consumer>,
    ) -> Result<Box<dyn Receiver>, BuildError> {
        let part = self.part(&context, Some(next));
        ENTRANCES.lock().unwrap().push((part.key(), Arc::clone(part.next.as_ref().unwrap())));
        Ok(Box::new(part))
    }
}

impl BuildProcessor for Made {
    fn effective(&self) -> serde_json::Value {
        serde_json::json!({"test": self.0.test})
    }
    fn build(
        self: Box<Self>,
        context: Context,
        next: Arc<dyn Consumer>,
    ) -> Result<Box<dyn Processor>, BuildError> {
        Ok(Box::new(self.part(&context, Some(next))))
    }
}

impl BuildExporter for Made {
    fn effective(&self) -> serde_json::Value {
        serde_json::json!({"test": self.0.test})
    }
    fn build(self: Box<Self>, context: Context) -> Result<Box<dyn Exporter>, BuildError> {
        let sink = Arc::new(Sink::default());
        let part = self.part(&context, Some(Arc::clone(&sink) as Arc<dyn Consumer>));
        SINKS.lock().unwrap().push((part.key(), sink));
        Ok(Box::new(part))
    }
}

#[async_trait]
impl Receiver for Part {
    async fn start(&mut self) -> Result<(), StartError> {
        if self.settings.fail {
            return Err(StartError("the port is taken".to_owned()));
        }
        self.note("started");
        Ok(())
    }
    async fn shutdown(&mut self, deadline: Instant) {
        DEADLINES.lock().unwrap().push((self.key(), deadline));
        self.note("stopped");
    }
}

impl Processor for Part {
    fn consumer(&self) -> Arc<dyn Consumer> {
        Arc::clone(self.next.as_ref().unwrap())
    }
    fn shutdown(self: Box<Self>, deadline: Instant) -> Drained {
        DEADLINES.lock().unwrap().push((self.key(), deadline));
        self.note("stopped");
        Drained::default()
    }
}

#[async_trait]
impl Exporter for Part {
    fn consumer(&self) -> Arc<dyn Consumer> {
        Arc::clone(self.next.as_ref().unwrap())
    }
    async fn shutdown(self: Box<Self>, _: Instant) -> Drained {
        self.note("stopped");
        Drained { sent: 1, dropped: 2, left: 3 }
    }
}

fn info() -> Info {
    Info { kind: "made", aliases: &["made_up"], description: "for tests" }
}
fn settings(node: &Node) -> Result<Box<Made>, Diagnostics> {
    Ok(Box::new(Made(node.read()?)))
}
static RECEIVER: LazyLock<ReceiverFactory> =
    LazyLock::new(|| Factory { info: info(), configure: |node| Ok(settings(node)? as _) });
static PROCESSOR: LazyLock<ProcessorFactory> =
    LazyLock::new(|| Factory { info: info(), configure: |node| Ok(settings(node)? as _) });
static EXPORTER: LazyLock<ExporterFactory> =
    LazyLock::new(|| Factory { info: info(), configure: |node| Ok(settings(node)? as _) });

fn components() -> Components {
    static ALL: LazyLock<Components> = LazyLock::new(|| Components {
        receivers: Box::leak(Box::new([&*RECEIVER])),
        processors: Box::leak(Box::new([&*PROCESSOR])),
        exporters: Box::leak(Box::new([&*EXPORTER])),
        extensions: &[],
    });
    *ALL
}

fn spec(text: &str) -> Spec {
    let source = Source::Yaml { name: "c.yaml".to_owned(), text: text.to_owned() };
    forebay_config::load(&[source], &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap().0
}

async fn start(test: &str, text: &str) -> (Telemetry, Result<Running, StartFailed>) {
    let telemetry = Telemetry::default();
    let plan = Plan::new(&spec(&text.replace("TEST", test)), &components()).unwrap();
    let running = plan.start(telemetry.clone()).await;
    (telemetry, running)
}

fn journal(test: &str) -> Vec<String> {
    JOURNAL.lock().unwrap().iter().filter(|(of, _)| of == test).map(|(_, event)| event.clone()).collect()
}

fn found<T: Clone>(all: &Registry<T>, key: &str) -> T {
    all.lock().unwrap().iter().find(|(known, _)| known == key).unwrap().1.clone()
}

const TWO_EXPORTERS: &str = "
receivers: {made/in: {test: TEST}}
processors: {made/p1: {test: TEST}, made/p2: {test: TEST}}
exporters: {made/a: {test: TEST}, made_up/b: {test: TEST}}
service:
  pipelines:
    traces: {receivers: [made/in], processors: [made/p1, made/p2], exporters: [made/a, made_up/b]}
";

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[tokio::test]
async fn consumers_start_before_producers_and_stop_after_them() {
    let (telemetry, running) = start("order", TWO_EXPORTERS).await;
    assert_eq!(telemetry.board.phase(), Phase::Ready);
    let summary = running.unwrap().shutdown(soon()).await;
    assert_eq!(
        journal("order"),
        [
            "made/a built",
            "made_up/b built",
            "made/p2 built",
            "made/p1 built",
            "made/in built",
            "made/in started",
            "made/in stopped",
            "made/p1 stopped",
            "made/p2 stopped",
            "made/a stopped",
            "made_up/b stopped",
        ]
    );
    assert_eq!(telemetry.board.phase(), Phase::Stopped);
    assert_eq!(
        summary.to_string(),
        "made/a: 1 spans sent, 2 dropped, 3 left; made_up/b: 1 spans sent, 2 dropped, 3 left; \
         given up before the exporters: 0 spans"
    );
}

#[tokio::test]
async fn a_client_that_does_not_let_go_leaves_time_to_drain() {
    let (_, running) = start("share", TWO_EXPORTERS).await;
    let deadline = soon();
    running.unwrap().shutdown(deadline).await;
    let receiver = found(&DEADLINES, "share:made/in");
    assert!(
        deadline - receiver > Duration::from_secs(40),
        "most of a minute is left when receivers must end"
    );
    assert_eq!(found(&DEADLINES, "share:made/p1"), deadline);
}

#[tokio::test]
async fn a_full_branch_misses_what_another_takes_and_is_counted() {
    let (telemetry, running) = start("fan", TWO_EXPORTERS).await;
    let entrance = found(&ENTRANCES, "fan:made/in");
    let (a, b) = (found(&SINKS, "fan:made/a"), found(&SINKS, "fan:made_up/b"));
    let missed = |id: &str| {
        forebay_testkit::metric(&telemetry, "otelcol_exporter_enqueue_failed_spans", &[("exporter", id)])
    };
    let send = || {
        let (ack, outcome) = Ack::channel();
        let sent = entrance.consume(requests::payload(1, 0, 2, None).with_ack(ack));
        (sent, outcome)
    };
    let (sent, outcome) = send();
    assert!(sent.is_ok() && outcome.await.is_ok());
    assert_eq!((a.items(), b.items()), (2, 2));
    assert_eq!(a.taken()[0].as_ptr(), b.taken()[0].as_ptr(), "the bytes are shared");

    b.close();
    let (sent, outcome) = send();
    assert!(sent.is_ok() && outcome.await.is_ok());
    assert_eq!((a.items(), b.items(), missed("made_up/b"), missed("made/a")), (4, 2, 2.0, 0.0));

    // With both full the payload comes back whole, its acknowledgement still open, and nothing counts as missed.
    a.close();
    let (sent, outcome) = send();
    let refused = sent.unwrap_err();
    assert!(refused.refusal.retryable);
    assert_eq!((refused.payload.items, missed("made_up/b"), missed("made/a")), (2, 2.0, 0.0));
    a.open();
    assert!(entrance.consume(*refused.payload).is_ok());
    assert!(outcome.await.is_ok());
    assert_eq!((a.items(), missed("made_up/b")), (6, 4.0));
    let summary = running.unwrap().shutdown(soon()).await.to_string();
    assert!(
        summary.starts_with(
            "made/a: 1 spans sent, 2 dropped, 3 left; \
             made_up/b: 1 spans sent, 2 dropped, 4 missed while its queue was full, 3 left; "
        ),
        "the closing words leave nothing out: {summary}"
    );
}

#[tokio::test]
async fn a_branch_that_holds_back_misses_nothing_and_is_flushed_at_a_stop() {
    let (telemetry, running) = start("hold", TWO_EXPORTERS).await;
    let entrance = found(&ENTRANCES, "hold:made/in");
    let (a, b) = (found(&SINKS, "hold:made/a"), found(&SINKS, "hold:made_up/b"));
    b.hold_back();
    b.close();
    entrance.consume(requests::payload(1, 0, 2, None)).unwrap();
    let refused = entrance.consume(requests::payload(2, 0, 3, None)).unwrap_err();
    assert!(refused.refusal.retryable, "the second waits for the first");
    assert_eq!((a.items(), b.items()), (2, 0));
    b.open();
    entrance.consume(*refused.payload).unwrap();
    assert_eq!((a.items(), b.items()), (5, 5), "nothing is missed or doubled");
    b.close();
    entrance.consume(requests::payload(3, 0, 4, None)).unwrap();
    b.open();
    running.unwrap().shutdown(soon()).await;
    assert_eq!((a.items(), b.items()), (9, 9), "a stop delivers what was held");
    let missed = forebay_testkit::metric(&telemetry, "otelcol_exporter_enqueue_failed_spans", &[]);
    assert_eq!(missed, 0.0);
}

#[tokio::test]
async fn a_receiver_that_cannot_start_stops_everything_that_had_started() {
    let text = TWO_EXPORTERS.replace("made/in: {test: TEST}", "made/in: {test: TEST, fail: true}");
    let (telemetry, running) = start("fail", &text).await;
    assert_eq!(running.err().unwrap().to_string(), "receiver `made/in`: the port is taken");
    assert!(journal("fail").ends_with(&["made_up/b stopped".to_owned()]));
    assert_eq!(telemetry.board.phase(), Phase::Stopped);
    let receiver = telemetry.board.components().into_iter().find(|part| part.id == "made/in").unwrap();
    assert_eq!(receiver.last_error.unwrap().0, "the port is taken");
}

#[test]
fn every_component_error_is_said_at_its_place() {
    let text = "
receivers: {made/in: {test: x, colour: red}}
processors: {mad: {}}
exporters: {made/out: {test: x}, unheard_of: {}}
service:
  pipelines:
    traces: {receivers: [made/in], processors: [mad], exporters: [made/out, unheard_of]}
";
    let said = Plan::new(&spec(text), &components()).err().unwrap().to_string();
    for expected in [
        "c.yaml:2:32: error: receivers.made/in.colour",
        "c.yaml:3:14: error: processors.mad: there is no processor type `mad`",
        "did you mean `made`?",
        "c.yaml:4:34: error: exporters.unheard_of: there is no exporter type `unheard_of`",
        "supported: made",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

#[test]
fn the_effective_configuration_hides_passwords_in_urls() {
    let text =
        TWO_EXPORTERS.replace("made/a: {test: TEST}", "made/a: {test: 'http://me:geheim@host:1/x?y=a@b'}");
    let plan = Plan::new(&spec(&text), &components()).unwrap();
    let shown = &plan.effective()["exporters"]["made/a"]["test"];
    assert_eq!(shown, "http://[REDACTED]@host:1/x?y=a@b");
}
