//! `/explain/{trace_id}`: everything the agent knows of one trace.

use super::Shared;
use crate::board::{ComponentSnapshot, Kind};
use crate::decisions::Explanation;
use http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

/// For the threads that own traces; an answer that takes longer does without them.
const PATIENCE: Duration = Duration::from_secs(1);

/// The answer for what stands behind `/explain/`.
pub(super) fn explain(shared: &Shared, id: &str) -> (StatusCode, Value) {
    let Some(trace_id) = parse(id) else {
        let message = "a trace id is 32 hexadecimal digits, as in /explain/0af7651916cd43dd8448eb211c80319c";
        return (StatusCode::BAD_REQUEST, json!({"error": message}));
    };
    let id = id.to_ascii_lowercase();
    let all = shared.telemetry.decisions.explain(trace_id, PATIENCE);
    if !all.iter().any(Explanation::knows) {
        return unknown(&id, &all);
    }
    let board = &shared.telemetry.board;
    let (wiring, components) = (board.pipelines(), board.components());
    let shown = all.iter().filter(|one| one.knows() || one.unanswered.is_some()).map(|one| {
        let state = state(one);
        let mut value = json!(one);
        value["state"] = json!(state);
        value["handed_to"] = match state {
            Some("kept") => handed_to(one, &wiring, &components),
            _ => Value::Null,
        };
        value
    });
    (StatusCode::OK, json!({"trace_id": id, "explanations": shown.collect::<Vec<_>>()}))
}

fn unknown(id: &str, all: &[Explanation]) -> (StatusCode, Value) {
    let remembered: Vec<Value> = all
        .iter()
        .map(|one| {
            json!({
                "processor": one.processor,
                "pipeline": one.pipeline,
                "verdicts": one.remembered.verdicts,
                "since_unix_ms": one.remembered.since_unix_ms,
                "unanswered": one.unanswered,
            })
        })
        .collect();
    let unanswered = all.iter().find_map(|one| one.unanswered);
    let verdicts: u64 = all.iter().map(|one| one.remembered.verdicts).sum();
    let (status, message) = match unanswered {
        _ if all.is_empty() => {
            (StatusCode::NOT_FOUND, "no processor of this agent decides about traces".to_owned())
        }
        Some(why) => {
            let message =
                format!("no verdict on this trace is remembered; whether it is held is not known: {why}");
            (StatusCode::SERVICE_UNAVAILABLE, message)
        }
        None => {
            let message = format!(
                "nothing is known of this trace: it is not held, and no verdict on it is among the {verdicts} \
                 that are remembered; it never came, or has been forgotten"
            );
            (StatusCode::NOT_FOUND, message)
        }
    };
    (status, json!({"error": message, "trace_id": id, "remembered": remembered}))
}

/// The trace's state as of the newest thing that is known.
fn state(one: &Explanation) -> Option<&'static str> {
    if one.held.is_some() {
        return Some("held");
    }
    let verdict = one.verdicts.last().map(|verdict| verdict.decision.verdict);
    let bare = one.bare_verdict.as_ref().map(|verdict| verdict.verdict);
    verdict.or(bare).or_else(|| one.late.last().map(|late| late.verdict))
}

/// What stands behind the processor, and how it fares now. What became of one trace there is not recorded.
fn handed_to(one: &Explanation, wiring: &Value, components: &[ComponentSnapshot]) -> Value {
    let Some(stages) = one.pipeline.as_ref().and_then(|pipeline| wiring.get(pipeline)) else {
        return Value::Null;
    };
    let ids = |key: &str| -> Vec<&str> {
        stages.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let processors: Vec<&str> =
        ids("processors").into_iter().skip_while(|id| *id != one.processor).skip(1).collect();
    let exporters = ids("exporters").into_iter().map(|id| {
        let is = |component: &&ComponentSnapshot| {
            component.id == id && matches!(component.kind, Kind::Exporter | Kind::Connector)
        };
        match components.iter().find(is) {
            Some(exporter) => {
                let error = exporter.last_error.as_ref();
                json!({
                    "id": id,
                    "state": exporter.state,
                    "queue": exporter.queue,
                    "last_error": error.map(|(message, at)| json!({"message": message, "unix_s": at})),
                })
            }
            None => json!({"id": id}),
        }
    });
    json!({"processors": processors, "exporters": exporters.collect::<Vec<_>>()})
}

/// The 16 bytes that 32 hexadecimal digits stand for.
pub(crate) fn parse(id: &str) -> Option<[u8; 16]> {
    let digits = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(id, 16).ok()).flatten().map(u128::to_be_bytes)
}
