//! What each path answers.

use super::query::Query;
use super::{About, explain, status};
use crate::config::{MetricsConfig, MetricsLevel, TelemetryConfig};
use crate::exposition::{self, Dialect};
use crate::rates::Rates;
use crate::{Kind, Phase, Telemetry};
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use http::{Method, Response, StatusCode, Uri};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The page: markup, style and script in one file. `NONCE` stands for the number that lets only them through.
const PAGE: &str = include_str!("page.html");

/// Samples of the rate of spans that `/status` shows: two minutes.
const HISTORY: usize = 120;

/// What an address serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// Everything to clients on this machine; to others no page, status or decisions.
    LocalPages,
    /// `/metrics`.
    Metrics,
    /// `/health` and `/ready`.
    Probes,
}

/// What the answers are made from.
pub(crate) struct Shared {
    pub(super) telemetry: Telemetry,
    pub(super) about: About,
    pub(super) rates: Mutex<Rates>,
    /// Spans accepted per second, a sample a second, the newest last.
    pub(super) history: Mutex<VecDeque<f64>>,
    metrics: MetricsConfig,
    resource: Vec<(String, String)>,
}

impl Shared {
    pub(crate) fn new(config: &TelemetryConfig, telemetry: Telemetry, about: About) -> Self {
        let (metrics, resource) = (config.metrics.clone(), config.resource.clone());
        Self { telemetry, about, rates: Mutex::default(), history: Mutex::default(), metrics, resource }
    }

    /// Takes a sample of every flow for the rates.
    pub(crate) fn sample(&self, now: Instant) {
        let components = self.telemetry.board.components();
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.sample(&components, now);
        let receivers = components.iter().filter(|component| component.kind == Kind::Receiver);
        let accepted = receivers.map(|receiver| rates.per_second(receiver, "accepted")).sum();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back(accepted);
    }
}

/// The path of explanations; the trace id stands behind it.
const EXPLAIN: &str = "/explain";

/// True for what may take its time: threads that own traces are asked, or many records are looked through.
pub(crate) fn waits(uri: &Uri) -> bool {
    uri.path().starts_with(EXPLAIN) || uri.path().starts_with("/decisions")
}

/// The answer to a request, read from memory and `/proc`; it waits for nothing, but for what [`waits`] says.
pub(crate) fn respond(
    shared: &Shared,
    scope: Scope,
    peer: IpAddr,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response<Vec<u8>> {
    if method != Method::GET && method != Method::HEAD {
        let mut answer = error(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let local = peer.to_canonical().is_loopback();
    let path = uri.path().strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(uri.path());
    // Such as `/explain/0af7651916cd43dd8448eb211c80319c`.
    let asked = path.strip_prefix(EXPLAIN).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let path = if asked.is_some() { EXPLAIN } else { path };
    let public = match path {
        "/health" | "/ready" => scope != Scope::Metrics,
        "/metrics" => scope != Scope::Probes,
        "/" | "/status" | "/decisions" | EXPLAIN if scope == Scope::LocalPages && !local => {
            let message = "answered only to clients on the same machine: this address came from a Prometheus \
                           reader; set service.telemetry.admin.endpoint to open it";
            return error(StatusCode::FORBIDDEN, message);
        }
        "/" | "/status" | "/decisions" | EXPLAIN => matches!(scope, Scope::All | Scope::LocalPages),
        _ => false,
    };
    if !public {
        let known = match scope {
            Scope::All | Scope::LocalPages => {
                "/, /health, /ready, /metrics, /status, /decisions, /explain/TRACE_ID"
            }
            Scope::Metrics => "/metrics",
            Scope::Probes => "/health, /ready",
        };
        return error(StatusCode::NOT_FOUND, &format!("there is nothing here; this address has {known}"));
    }
    match path {
        "/health" => health(shared),
        "/ready" => ready(shared),
        "/metrics" => metrics(shared, headers),
        "/status" => match uri.query() {
            None | Some("") => json(StatusCode::OK, &status::status(shared, true)),
            Some("config=false") => json(StatusCode::OK, &status::status(shared, false)),
            Some(_) => error(StatusCode::BAD_REQUEST, "unknown parameter; known is `config=false`"),
        },
        "/decisions" => decisions(shared, uri.query().unwrap_or_default()),
        EXPLAIN => {
            let (status, body) = explain::explain(shared, asked.unwrap_or_default().trim_start_matches('/'));
            let mut answer = json(status, &body);
            if status == StatusCode::SERVICE_UNAVAILABLE {
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            answer
        }
        _ => page(),
    }
}

fn health(shared: &Shared) -> Response<Vec<u8>> {
    let uptime = shared.about.started.elapsed().as_secs();
    json(StatusCode::OK, &json!({"status": "healthy", "version": shared.about.version, "uptime_s": uptime}))
}

fn ready(shared: &Shared) -> Response<Vec<u8>> {
    let phase = shared.telemetry.board.phase();
    let reason = match phase {
        Phase::Ready => return json(StatusCode::OK, &json!({"status": "ready"})),
        Phase::Starting => "the receivers do not all listen yet",
        Phase::Draining => "the agent is stopping: it takes no more data and sends what it has",
        Phase::Stopped => "the agent has stopped",
    };
    let body = json!({"status": "not ready", "phase": phase, "reason": reason});
    let mut answer = json(StatusCode::SERVICE_UNAVAILABLE, &body);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

fn metrics(shared: &Shared, headers: &HeaderMap) -> Response<Vec<u8>> {
    let level = shared.metrics.level;
    if level == MetricsLevel::None {
        return error(StatusCode::NOT_FOUND, "metrics are off: service.telemetry.metrics.level is none");
    }
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accept = (!accept.is_empty()).then(|| accept.join(","));
    let dialect: Dialect = exposition::negotiate(accept.as_deref(), shared.metrics.counter_suffix);
    let mut families = shared.telemetry.metrics.gather();
    families.retain(|family| level.shows(family.name()));
    let text = exposition::encode(&families, &shared.resource, dialect);
    answer(StatusCode::OK, dialect.content_type(), text)
}

fn decisions(shared: &Shared, query: &str) -> Response<Vec<u8>> {
    let query = match Query::parse(query) {
        Ok(query) => query,
        Err(message) => return error(StatusCode::BAD_REQUEST, &message),
    };
    let records = shared.telemetry.decisions.recent(&query.filter, query.limit());
    match serde_json::to_string(&records) {
        Ok(text) => answer(StatusCode::OK, "application/json", text),
        Err(problem) => error(StatusCode::INTERNAL_SERVER_ERROR, &problem.to_string()),
    }
}

fn page() -> Response<Vec<u8>> {
    let nonce = format!("{:032x}", rand::random::<u128>());
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut answer = answer(StatusCode::OK, "text/html; charset=utf-8", PAGE.replace("NONCE", &nonce));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        answer.headers_mut().insert("content-security-policy", policy);
    }
    answer
}

fn error(status: StatusCode, message: &str) -> Response<Vec<u8>> {
    json(status, &json!({"error": message}))
}

fn json(status: StatusCode, body: &Value) -> Response<Vec<u8>> {
    answer(status, "application/json", format!("{body}\n"))
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Vec<u8>> {
    let mut answer = Response::new(body.into_bytes());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
