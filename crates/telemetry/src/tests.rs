//! The registry and the board.

use super::*;

mod admin;
mod config;
mod exposition;
mod logs;

#[test]
fn the_same_labels_are_the_same_series_and_names_stay_as_given() {
    let metrics = Metrics::default();
    let a = metrics.counter("otelcol_receiver_accepted_spans", "Spans.", &[("receiver", "otlp")]);
    let b = metrics.counter("otelcol_receiver_accepted_spans", "Spans.", &[("receiver", "otlp")]);
    a.inc_by(2);
    b.inc();
    metrics.observe("otelcol_exporter_queue_size", "Size.", MetricKind::Gauge, &[("exporter", "x")], || 7.0);
    let text = metrics.render();
    assert!(text.contains("otelcol_receiver_accepted_spans{receiver=\"otlp\"} 3\n"), "{text}");
    assert!(text.contains("otelcol_exporter_queue_size{exporter=\"x\"} 7\n"), "{text}");
}

#[test]
fn the_board_shows_states_flows_and_errors() {
    let telemetry = Telemetry::default();
    let handle = telemetry.board.register(Kind::Exporter, "otlp/jaeger", None);
    let sent = telemetry.metrics.counter("sent", "x", &[]);
    handle.flow("sent", &sent);
    sent.inc_by(5);
    handle.failed(State::RecoverableError, "connection refused");
    let shown = &telemetry.board.components()[0];
    assert_eq!((shown.state, shown.flows[0].total), (State::RecoverableError, 5));
    assert_eq!(shown.last_error.as_ref().map(|error| error.0.as_str()), Some("connection refused"));
    handle.ok();
    assert_eq!(handle.state(), State::Ok);
}

#[test]
fn metrics_that_are_moved_together_are_read_together() {
    let metrics = Metrics::default();
    let [came, went] = ["came", "went"].map(|name| metrics.counter(name, "x", &[]));
    let stop = &std::sync::atomic::AtomicBool::new(false);
    let mover = metrics.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _together = mover.together();
                came.inc();
                went.inc();
            }
        });
        for _ in 0..1_000 {
            let values: Vec<f64> = metrics
                .gather()
                .iter()
                .flat_map(|family| family.get_metric())
                .map(|metric| metric.get_counter().get_value())
                .collect();
            assert_eq!(values.first(), values.get(1));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
