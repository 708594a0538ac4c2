//! The admin page on made-up data, to work on it without an agent: `cargo run -p forebay-telemetry --example admin_page`.
//!
//! `FOREBAY_PAGE_ADDR` names the address (default 127.0.0.1:8890); `FOREBAY_PAGE_EMPTY` shows an agent without traffic.
//! The data is hostile on purpose: markup, control characters, very long names.

use forebay_telemetry::config::TelemetryConfig;
use forebay_telemetry::{
    About, AdminServer, Counter, DecisionFilter, DecisionRecord, DecisionSource, ExplainedVerdict,
    Explanation, Kind, Phase, QueueDepth, State, Telemetry,
};
use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

#[derive(Default)]
struct Verdicts(Mutex<Vec<DecisionRecord>>);

impl DecisionSource for Verdicts {
    fn recent(&self, filter: &DecisionFilter, limit: usize) -> Vec<DecisionRecord> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let admits =
            |record: &&DecisionRecord| filter.verdict.as_deref().is_none_or(|it| it == record.verdict);
        all.iter().rev().filter(admits).take(limit).cloned().collect()
    }

    fn explain(&self, trace_id: [u8; 16], _: Duration) -> Explanation {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = format!("{:032x}", u128::from_be_bytes(trace_id));
        let mine = all.iter().filter(|record| record.trace_id == id);
        let explained =
            |record: &DecisionRecord| ExplainedVerdict { decision: record.clone(), ..Default::default() };
        Explanation {
            processor: "tail_sampling".to_owned(),
            pipeline: Some("traces".to_owned()),
            verdicts: mine.map(explained).collect(),
            ..Explanation::default()
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let empty = std::env::var_os("FOREBAY_PAGE_EMPTY").is_some();
    let telemetry = Telemetry::default();
    let board = &telemetry.board;
    board.set_pipelines(json!({
        "traces": {
            "receivers": ["otlp"], "processors": ["tail_sampling", "batch"],
            "exporters": ["otlp_grpc/jaeger", "zipkin", "otlp_grpc/tempo"]
        },
        "traces/everything": {"receivers": ["otlp"], "processors": [], "exporters": ["debug"]}
    }));
    board.set_config(json!({"receivers": {"otlp": {"protocols": {
        "grpc": {"endpoint": "127.0.0.1:4317"}, "http": {"endpoint": "127.0.0.1:4318"}
    }}}}));
    let counter = |name: &'static str| telemetry.metrics.counter(name, "Made up.", &[]);
    let component = |kind, id, pipeline, flows: &[(&'static str, &Counter)]| {
        let handle = board.register(kind, id, pipeline);
        flows.iter().for_each(|(name, counter)| handle.flow(name, counter));
        handle.ok();
        handle
    };
    let (spans, kept_spans, kept, dropped) = (counter("a"), counter("b"), counter("c"), counter("d"));
    let (refused, failed, late) = (counter("e"), counter("f"), counter("g"));
    component(Kind::Receiver, "otlp", None, &[("accepted", &spans), ("refused", &refused)]);
    let flows = [
        ("incoming", &spans),
        ("kept", &kept_spans),
        ("dropped", &late),
        ("traces_kept", &kept),
        ("traces_dropped", &dropped),
    ];
    let sampler = component(Kind::Processor, "tail_sampling", Some("traces"), &flows);
    component(
        Kind::Processor,
        "batch",
        Some("traces"),
        &[("incoming", &kept_spans), ("outgoing", &kept_spans)],
    );
    let jaeger =
        component(Kind::Exporter, "otlp_grpc/jaeger", None, &[("sent", &kept_spans), ("failed", &refused)]);
    let zipkin = component(Kind::Exporter, "zipkin", None, &[("sent", &late), ("failed", &failed)]);
    let tempo = component(Kind::Exporter, "otlp_grpc/tempo", None, &[("sent", &kept_spans)]);
    component(Kind::Exporter, "debug", None, &[("sent", &spans)]);
    component(Kind::Extension, "health_check", None, &[]);
    let held = Arc::new(AtomicU64::new(0));
    let (now_held, backlog) = (held.clone(), failed.clone());
    let depth = |used, capacity, unit, bytes| QueueDepth { used, capacity, unit, bytes };
    sampler.queue(move || {
        let used = now_held.load(Ordering::Relaxed);
        depth(used, 50_000, "traces", used * 9_000)
    });
    jaeger.queue(move || depth(0, 1000, "requests", 0));
    zipkin.queue(move || depth(backlog.get().min(1000), 1000, "requests", backlog.get() * 2_300));
    tempo.queue(move || depth(14, 1000, "requests", 400_000));
    let verdicts = Arc::new(Verdicts::default());
    telemetry.decisions.register(verdicts.clone());

    let mut config = TelemetryConfig::default();
    config.admin.endpoint =
        std::env::var("FOREBAY_PAGE_ADDR").unwrap_or_else(|_| "127.0.0.1:8890".to_owned());
    let about = About { version: env!("CARGO_PKG_VERSION"), started: Instant::now() };
    let server = AdminServer::start(&config, telemetry.clone(), about)?;
    eprintln!("http://{}/", server.addr);
    board.set_phase(Phase::Ready);
    if !empty {
        tempo.failed(State::RecoverableError, "connection reset by peer");
        tempo.ok();
        zipkin.failed(
            State::RecoverableError,
            "http://zipkin:9411/api/v2/spans: connection refused; trying again in 4.2 s",
        );
    }
    for tick in 0u64.. {
        std::thread::sleep(Duration::from_millis(250));
        if empty {
            continue;
        }
        let wave = ((tick as f64 / 19.0).sin() * 220.0 + (tick as f64 / 5.0).sin() * 60.0 + 460.0) as u64;
        spans.inc_by(wave);
        held.store(900 + wave, Ordering::Relaxed);
        failed.inc_by(u64::from(tick % 3 == 0));
        let record = verdict(tick);
        if record.verdict == "kept" { &kept } else { &dropped }.inc();
        dropped.inc_by(wave / 150);
        kept_spans.inc_by(wave / 8);
        let mut all = verdicts.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(record);
    }
    server.shutdown();
    Ok(())
}

fn verdict(tick: u64) -> DecisionRecord {
    const TASKS: [&str; 6] = [
        "task.run triage inbox",
        "task.run write report",
        "research_workflow",
        "process_document",
        "task.run deploy \u{202e}preview",
        "<img src=x onerror=alert(1)>",
    ];
    const SERVICES: [&str; 5] =
        ["orchestrator", "agent-marie", "megaagent-pro", "agent-bus-worker", "</script>\u{7}"];
    let mixed = tick.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let pick = |shift: u32, from: u64| (mixed >> shift) % from;
    let priority = ["critical", "high", "normal", "normal", "low", "low"][pick(7, 6) as usize];
    let failed = pick(23, 9) == 0;
    let (policy, evidence) = match (priority, failed, pick(31, 12)) {
        ("critical" | "high", ..) => (Some("important-tasks"), Some(format!("task.priority = {priority}"))),
        (_, true, _) => (Some("errors"), Some("status = ERROR".to_owned())),
        (_, _, 0) => (Some("slow-tasks"), Some("duration = 83212 ms".to_owned())),
        (_, _, 1) => (Some("share-of-the-rest"), None),
        _ => (None, None),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    DecisionRecord {
        trace_id: format!("{mixed:016x}{:016x}", mixed.rotate_left(29)),
        verdict: if policy.is_some() { "kept" } else { "dropped" },
        reason: if policy.is_some() { "policy_match" } else { "no_policy_matched" },
        trigger: if policy == Some("important-tasks") { "early_keep" } else { "root_received" },
        policy: policy.map(str::to_owned),
        evidence,
        span_id: None,
        service: Some(SERVICES[pick(11, 5) as usize].to_owned()),
        root: (pick(43, 9) > 0).then(|| TASKS[pick(17, 6) as usize].to_owned()),
        priority: Some(priority.to_owned()),
        spans: 4 + pick(37, 120),
        bytes: 9000,
        duration_ms: (pick(13, 90_000) as f64) * 1.7,
        held_ms: 1000.0 + pick(19, 20_000) as f64,
        decided_unix_ms: now.as_millis() as u64,
        processor: "tail_sampling".to_owned(),
    }
}
