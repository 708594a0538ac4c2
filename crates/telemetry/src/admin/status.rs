//! `/status` as JSON.

use super::Shared;
use crate::board::{ComponentSnapshot, Kind};
use crate::process::ProcessStats;
use crate::rates::Rates;
use serde_json::{Map, Value, json};
use std::sync::PoisonError;

/// The flows of a sampling processor that count traces by verdict, and what the status calls them.
const VERDICTS: [(&str, &str); 2] = [("traces_kept", "kept"), ("traces_dropped", "dropped")];

/// Everything about the agent; `with_config` adds the effective configuration (its secrets are redacted).
pub(super) fn status(shared: &Shared, with_config: bool) -> Value {
    let board = &shared.telemetry.board;
    let components = board.components();
    let rates = shared.rates.lock().unwrap_or_else(PoisonError::into_inner);
    let shown: Vec<(&ComponentSnapshot, Value)> =
        components.iter().map(|component| (component, show(component, &rates))).collect();
    let process = ProcessStats::read()
        .map(|process| json!({"cpu_seconds": process.cpu_seconds, "memory_rss_bytes": process.memory_rss}));
    let history = shared
        .history
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .map(|rate| round(*rate))
        .collect::<Vec<_>>();
    let mut status = json!({
        "name": "forebay",
        "version": shared.about.version,
        "uptime_s": shared.about.started.elapsed().as_secs(),
        "phase": board.phase(),
        "process": process,
        "spans_in_history": history,
        "traces": verdicts(&components, &rates),
        "pipelines": pipelines(&board.pipelines(), &shown),
        "components": shown.iter().map(|(_, value)| value).collect::<Vec<_>>(),
    });
    if with_config {
        status["config"] = board.config();
    }
    status
}

fn show(component: &ComponentSnapshot, rates: &Rates) -> Value {
    let flows: Map<String, Value> = component
        .flows
        .iter()
        .map(|flow| {
            let rate = round(rates.per_second(component, flow.name));
            (flow.name.to_owned(), json!({"total": flow.total, "per_second": rate}))
        })
        .collect();
    let last_error =
        component.last_error.as_ref().map(|(message, at)| json!({"message": message, "unix_s": at}));
    json!({
        "kind": component.kind,
        "id": component.id,
        "pipeline": component.pipeline,
        "state": component.state,
        "last_error": last_error,
        "flows": flows,
        "queue": component.queue,
    })
}

/// Traces kept and dropped by all samplers together.
fn verdicts(components: &[ComponentSnapshot], rates: &Rates) -> Value {
    let of = |(name, verdict): (&str, &str)| {
        let flows = components
            .iter()
            .flat_map(|component| component.flows.iter().map(move |flow| (component, flow)))
            .filter(|(_, flow)| flow.name == name);
        let (total, rate) = flows.fold((0u64, 0.0), |(total, rate), (component, flow)| {
            (total + flow.total, rate + rates.per_second(component, flow.name))
        });
        (verdict.to_owned(), json!({"total": total, "per_second": round(rate)}))
    };
    Value::Object(VERDICTS.into_iter().map(of).collect())
}

/// The wiring with each component's line. The board holds it as `service.pipelines` is written: a mapping from
/// the pipeline's id to its `receivers`, `processors` and `exporters`.
fn pipelines(wiring: &Value, components: &[(&ComponentSnapshot, Value)]) -> Value {
    let Some(wiring) = wiring.as_object() else { return json!([]) };
    let line = |pipeline: &str, kinds: [Kind; 2], id: &Value| {
        let id = id.as_str().unwrap_or_default();
        let of = |own: bool| {
            components.iter().find(|(component, _)| {
                let placed = match &component.pipeline {
                    Some(name) => own && name == pipeline,
                    None => !own,
                };
                placed && component.id == id && kinds.contains(&component.kind)
            })
        };
        of(true).or_else(|| of(false)).map_or_else(|| json!({"id": id}), |(_, value)| value.clone())
    };
    wiring
        .iter()
        .map(|(pipeline, stages)| {
            let stage = |key: &str, kinds: [Kind; 2]| -> Vec<Value> {
                let ids = stages.get(key).and_then(Value::as_array);
                ids.into_iter().flatten().map(|id| line(pipeline, kinds, id)).collect()
            };
            json!({
                "id": pipeline,
                "receivers": stage("receivers", [Kind::Receiver, Kind::Connector]),
                "processors": stage("processors", [Kind::Processor, Kind::Processor]),
                "exporters": stage("exporters", [Kind::Exporter, Kind::Connector]),
            })
        })
        .collect()
}

/// One decimal is plenty for a rate.
fn round(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}
