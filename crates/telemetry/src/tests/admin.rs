//! Each endpoint, and the server on a real socket.

use crate::admin::{Scope, Shared, respond};
use crate::config::TelemetryConfig;
use crate::{
    About, AdminServer, DecisionFilter, DecisionRecord, DecisionSource, DecisionTraits, ExplainedVerdict,
    Explanation, HeldTrace, Kind, Phase, PolicyVote, QueueDepth, Remembered, State, Telemetry,
};
use http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\"'\u{202e}\n\0";

struct Fixed(Vec<DecisionRecord>);

impl DecisionSource for Fixed {
    fn recent(&self, filter: &DecisionFilter, limit: usize) -> Vec<DecisionRecord> {
        let admits = |record: &&DecisionRecord| {
            filter.admits(DecisionTraits {
                verdict: record.verdict,
                policy: record.policy.as_deref(),
                service: record.service.as_deref(),
                priority: record.priority.as_deref(),
                reason: record.reason,
                trigger: record.trigger,
            })
        };
        self.0.iter().filter(admits).take(limit).cloned().collect()
    }

    fn explain(&self, trace_id: [u8; 16], timeout: Duration) -> Explanation {
        assert!(timeout <= Duration::from_secs(1), "the server does not wait for long");
        let id = format!("{:032x}", u128::from_be_bytes(trace_id));
        let verdicts = self.0.iter().filter(|record| record.trace_id == id).map(|record| ExplainedVerdict {
            decision: record.clone(),
            votes: vec![PolicyVote { policy: HOSTILE.to_owned(), drops: false, vote: "matched" }],
            ..ExplainedVerdict::default()
        });
        Explanation {
            processor: "tail_sampling".to_owned(),
            pipeline: Some("traces".to_owned()),
            verdicts: verdicts.collect(),
            held: id.ends_with('9').then(|| HeldTrace {
                spans: 5,
                due_by: "decision_wait",
                ..Default::default()
            }),
            remembered: Remembered { verdicts: 3, since_unix_ms: Some(1) },
            unanswered: id.ends_with('8').then_some("busy"),
            ..Explanation::default()
        }
    }
}

fn about() -> About {
    About { version: "1.2.3", started: Instant::now() }
}

fn telemetry() -> Telemetry {
    let telemetry = Telemetry::default();
    let board = &telemetry.board;
    board.set_pipelines(json!({
        "traces": {"receivers": ["otlp"], "processors": ["tail_sampling"], "exporters": ["zipkin", "debug"]}
    }));
    board.set_config(json!({"exporters": {"zipkin": {"headers": {"authorization": "[REDACTED]"}}}}));
    let receiver = board.register(Kind::Receiver, "otlp", None);
    let sampler = board.register(Kind::Processor, "tail_sampling", Some("traces"));
    let zipkin = board.register(Kind::Exporter, "zipkin", None);
    board.register(Kind::Exporter, "debug", None);
    board.register(Kind::Extension, "health_check", None);
    let accepted =
        telemetry.metrics.counter("otelcol_receiver_accepted_spans", "Spans.", &[("receiver", "otlp")]);
    receiver.flow("accepted", &accepted);
    receiver.ok();
    let kept = telemetry.metrics.counter("kept", "Traces.", &[]);
    let dropped = telemetry.metrics.counter("dropped", "Traces.", &[]);
    sampler.flow("traces_kept", &kept);
    sampler.flow("traces_dropped", &dropped);
    kept.inc_by(3);
    dropped.inc_by(7);
    zipkin.failed(State::RecoverableError, HOSTILE);
    zipkin.queue(|| QueueDepth { used: 5, capacity: 10, unit: "requests", bytes: 500 });
    accepted.inc_by(40);
    let record = |verdict, service: &str, at| DecisionRecord {
        trace_id: format!("{at:032x}"),
        verdict,
        reason: "policy_match",
        trigger: if at == 1 { "early_keep" } else { "decision_wait" },
        policy: Some("important".to_owned()),
        evidence: Some(HOSTILE.to_owned()),
        service: Some(service.to_owned()),
        priority: Some("high".to_owned()),
        decided_unix_ms: at,
        ..DecisionRecord::default()
    };
    let records =
        vec![record("kept", "planner", 3), record("dropped", "a b&c", 2), record("kept", "tools", 1)];
    telemetry.decisions.register(Arc::new(Fixed(records)));
    telemetry
}

fn shared(telemetry: &Telemetry) -> Shared {
    Shared::new(&TelemetryConfig::default(), telemetry.clone(), about())
}

fn ask(shared: &Shared, scope: Scope, peer: [u8; 4], path: &str, accept: Option<&str>) -> Response<Vec<u8>> {
    let mut headers = HeaderMap::new();
    if let Some(accept) = accept {
        headers.insert(header::ACCEPT, accept.parse().unwrap());
    }
    let uri: Uri = path.parse().unwrap();
    respond(shared, scope, IpAddr::V4(Ipv4Addr::from(peer)), &Method::GET, &uri, &headers)
}

fn get(shared: &Shared, path: &str) -> (StatusCode, Value) {
    let answer = ask(shared, Scope::All, [127, 0, 0, 1], path, None);
    (answer.status(), serde_json::from_slice(answer.body()).unwrap())
}

#[test]
fn ready_follows_the_phase_and_health_does_not() {
    let telemetry = telemetry();
    let shared = shared(&telemetry);
    for (phase, status) in [
        (Phase::Starting, StatusCode::SERVICE_UNAVAILABLE),
        (Phase::Ready, StatusCode::OK),
        (Phase::Draining, StatusCode::SERVICE_UNAVAILABLE),
        (Phase::Stopped, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        telemetry.board.set_phase(phase);
        let (got, body) = get(&shared, "/ready");
        assert_eq!(got, status, "{phase:?}: {body}");
        assert_eq!(body["reason"].is_string(), status != StatusCode::OK);
        let (got, body) = get(&shared, "/health");
        assert_eq!(
            (got, &body["status"], &body["version"]),
            (StatusCode::OK, &json!("healthy"), &json!("1.2.3"))
        );
    }
}

#[test]
fn status_shows_wiring_states_queues_rates_and_the_redacted_configuration() {
    let telemetry = telemetry();
    let shared = shared(&telemetry);
    let now = Instant::now();
    shared.sample(now);
    telemetry
        .metrics
        .counter("otelcol_receiver_accepted_spans", "Spans.", &[("receiver", "otlp")])
        .inc_by(100);
    shared.sample(now + Duration::from_secs(2));
    let (status, body) = get(&shared, "/status");
    assert_eq!(status, StatusCode::OK);
    let traces = &body["pipelines"][0];
    assert_eq!(traces["id"], "traces");
    assert_eq!(traces["receivers"][0]["flows"]["accepted"], json!({"total": 140, "per_second": 50.0}));
    assert_eq!(traces["processors"][0]["flows"]["traces_dropped"]["total"], 7);
    assert_eq!(traces["exporters"][0]["queue"]["used"], 5);
    assert_eq!(traces["exporters"][0]["state"], "recoverable_error");
    assert_eq!(traces["exporters"][0]["last_error"]["message"], HOSTILE);
    assert_eq!(body["traces"]["kept"]["total"], 3);
    assert_eq!(body["components"].as_array().unwrap().len(), 5);
    assert_eq!(body["config"]["exporters"]["zipkin"]["headers"]["authorization"], "[REDACTED]");
    assert!(body["process"]["memory_rss_bytes"].as_u64().unwrap() > 0);
    assert!(get(&shared, "/status?config=false").1.get("config").is_none());
    assert_eq!(get(&shared, "/status?confg=false").0, StatusCode::BAD_REQUEST);
}

#[test]
fn rates_are_means_over_five_seconds_and_survive_a_restarted_counter() {
    let telemetry = Telemetry::default();
    let flow = |value: u64| {
        let handle = telemetry.board.register(Kind::Receiver, "otlp", None);
        let counter = crate::Counter::new("x", "x").unwrap();
        counter.inc_by(value);
        handle.flow("accepted", &counter);
        vec![handle.snapshot()]
    };
    let mut rates = crate::rates::Rates::default();
    let start = Instant::now();
    let at = |second: u64| start + Duration::from_secs(second);
    let one = flow(0);
    rates.sample(&one, at(0));
    assert_eq!(rates.per_second(&one[0], "accepted"), 0.0);
    for second in 1..=10 {
        rates.sample(&flow(second * 100), at(second));
    }
    assert_eq!(rates.per_second(&one[0], "accepted"), 100.0);
    for second in 11..=20 {
        rates.sample(&flow(1000), at(second));
    }
    assert_eq!(rates.per_second(&one[0], "accepted"), 0.0);
    rates.sample(&flow(5), at(21));
    assert_eq!(rates.per_second(&one[0], "accepted"), 0.0);
}

#[test]
fn decisions_are_filtered_limited_and_wrong_queries_are_said() {
    let telemetry = telemetry();
    let shared = shared(&telemetry);
    let ids = |path: &str| -> Vec<u64> {
        let (status, body) = get(&shared, path);
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body.as_array().unwrap().iter().map(|record| record["decided_unix_ms"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids("/decisions"), [3, 2, 1]);
    assert_eq!(ids("/decisions?limit=1"), [3]);
    assert_eq!(ids("/decisions?verdict=kept&limit=10"), [3, 1]);
    assert_eq!(ids("/decisions?service=a+b%26c"), [2]);
    assert_eq!(ids("/decisions?policy=important&priority=high&service=tools"), [1]);
    assert_eq!(ids("/decisions?policy=other"), [0u64; 0]);
    assert_eq!(ids("/decisions?trigger=early_keep"), [1]);
    assert_eq!(ids("/decisions?reason=policy_match&trigger=decision_wait&limit=1"), [3]);
    assert_eq!(ids("/decisions?reason=no_policy_matched"), [0u64; 0]);
    assert_eq!(get(&shared, "/decisions").1[0]["evidence"], HOSTILE);
    for wrong in ["limit=0", "limit=-1", "limit=1001", "limit=x", "verdict=both", "polcy=x"] {
        let (status, body) = get(&shared, &format!("/decisions?{wrong}"));
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
        assert!(body["error"].is_string());
    }
    for odd in ["service=%", "service=%zz", "service=%e2%82", "&&=&", "service=%E2%82%AC"] {
        assert!(!get(&shared, &format!("/decisions?{odd}")).0.is_server_error(), "{odd}");
    }
}

const EXPLAIN: &str = "/explain/00000000000000000000000000000003";

#[test]
fn a_trace_is_explained_with_where_it_went() {
    let telemetry = telemetry();
    let shared = shared(&telemetry);
    let (status, body) = get(&shared, EXPLAIN);
    assert_eq!((status, &body["trace_id"]), (StatusCode::OK, &json!("00000000000000000000000000000003")));
    let explanation = &body["explanations"][0];
    assert_eq!((&explanation["state"], &explanation["pipeline"]), (&json!("kept"), &json!("traces")));
    let verdict = &explanation["verdicts"][0];
    assert_eq!((&verdict["verdict"], &verdict["evidence"]), (&json!("kept"), &json!(HOSTILE)));
    assert_eq!(verdict["votes"], json!([{"policy": HOSTILE, "drops": false, "vote": "matched"}]));
    assert_eq!(verdict["first_arrival_unix_ms"], 0);
    let to = &explanation["handed_to"];
    assert_eq!(to["processors"], json!([]));
    assert_eq!(to["exporters"][0]["id"], "zipkin");
    assert_eq!(to["exporters"][0]["state"], "recoverable_error");
    assert_eq!(to["exporters"][0]["queue"]["used"], 5);
    assert_eq!(to["exporters"][0]["last_error"]["message"], HOSTILE);
    assert_eq!(
        to["exporters"][1],
        json!({"id": "debug", "state": "starting", "queue": null, "last_error": null})
    );
    // Dropped and undecided traces went nowhere.
    let state = |path: &str| {
        let explanation = get(&shared, path).1["explanations"][0].clone();
        (explanation["state"].clone(), explanation["handed_to"].clone())
    };
    assert_eq!(state("/explain/00000000000000000000000000000002/"), (json!("dropped"), Value::Null));
    assert_eq!(state("/explain/ABCDEFabcdef00000000000000000009"), (json!("held"), Value::Null));
}

#[test]
fn what_is_no_trace_id_and_what_is_not_known_is_said() {
    let telemetry = telemetry();
    let shared = shared(&telemetry);
    let long = format!("/explain/{}", "0".repeat(33));
    for wrong in [
        "/explain",
        "/explain/",
        "/explain/xyz",
        "/explain/%30",
        "/explain/+0000000000000000000000000000003",
        &long,
    ] {
        let (status, body) = get(&shared, wrong);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
        assert!(body["error"].as_str().unwrap().contains("32 hexadecimal digits"), "{wrong}");
    }
    let (status, body) = get(&shared, "/explain/0000000000000000000000000000000a");
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body["error"].as_str().unwrap().contains("among the 3 that are remembered"), "{body}");
    assert_eq!(body["remembered"][0]["since_unix_ms"], 1);
    // Not known for certain: the owner did not answer.
    let answer = ask(&shared, Scope::All, [127, 0, 0, 1], "/explain/00000000000000000000000000000008", None);
    assert_eq!(
        (answer.status(), answer.headers().contains_key("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, true)
    );
    assert!(String::from_utf8(answer.into_body()).unwrap().contains("busy"));
    let nobody = Shared::new(&TelemetryConfig::default(), Telemetry::default(), about());
    let (status, body) = get(&nobody, EXPLAIN);
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body["error"].as_str().unwrap().contains("no processor"), "{body}");
}

#[test]
fn metrics_come_as_text_unless_only_openmetrics_is_accepted() {
    let telemetry = telemetry();
    let shared = shared(&telemetry);
    let scrape = |accept| {
        let answer = ask(&shared, Scope::All, [10, 0, 0, 1], "/metrics", accept);
        let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        (kind, String::from_utf8(answer.into_body()).unwrap())
    };
    let (kind, text) = scrape(None);
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.contains("otelcol_receiver_accepted_spans{receiver=\"otlp\"} 40\n"), "{text}");
    assert!(text.contains("target_info{service_name=\"forebay\","), "{text}");
    let (kind, text) = scrape(Some("application/openmetrics-text; version=1.0.0"));
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.contains("otelcol_receiver_accepted_spans_total{receiver=\"otlp\"} 40\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    // What Prometheus sends: it takes both, and gets the collector's names.
    let both = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    assert!(scrape(Some(both)).0.starts_with("text/plain"));
}

#[test]
fn each_address_serves_only_what_it_is_for() {
    let telemetry = telemetry();
    let shared = shared(&telemetry);
    let status = |scope, peer, path| ask(&shared, scope, peer, path, None).status().as_u16();
    let (here, there) = ([127, 0, 0, 1], [10, 1, 2, 3]);
    telemetry.board.set_phase(Phase::Ready);
    for path in
        ["/", "/health", "/ready", "/metrics", "/status", "/decisions", "/status/", "/decisions/", EXPLAIN]
    {
        assert_eq!(status(Scope::All, there, path), 200, "{path}");
        assert_eq!(status(Scope::LocalPages, here, path), 200, "{path}");
        let probe = matches!(path, "/health" | "/ready");
        assert_eq!(status(Scope::Probes, here, path), if probe { 200 } else { 404 }, "{path}");
        assert_eq!(status(Scope::Metrics, here, path), if path == "/metrics" { 200 } else { 404 }, "{path}");
        let public = probe || path == "/metrics";
        assert_eq!(status(Scope::LocalPages, there, path), if public { 200 } else { 403 }, "{path}");
    }
    for nothing in ["/nothing", "/explained", "/explanations/1"] {
        assert_eq!(status(Scope::All, here, nothing), 404);
    }
    let uri = Uri::from_static("/health");
    let answer = respond(&shared, Scope::All, here.into(), &Method::POST, &uri, &HeaderMap::new());
    assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &"GET, HEAD".parse().unwrap()));
}

#[test]
fn the_page_lets_only_its_own_script_run_and_loads_nothing() {
    let telemetry = telemetry();
    let shared = shared(&telemetry);
    let page = || {
        let answer = ask(&shared, Scope::All, [127, 0, 0, 1], "/", None);
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        (policy, String::from_utf8(answer.into_body()).unwrap())
    };
    let (policy, html) = page();
    let nonce = policy.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    assert_eq!(html.matches(&format!("nonce=\"{nonce}\"")).count(), 2, "one style, one script");
    assert_ne!(policy, page().0, "a nonce is used once");
    for outside in
        ["src=\"http", "href=\"http", "@import", "url(http", "innerHTML", "insertAdjacentHTML", " style="]
    {
        assert!(!html.contains(outside), "{outside}");
    }
}

fn start(telemetry: &Telemetry) -> AdminServer {
    let mut config = TelemetryConfig::default();
    config.admin.endpoint = "127.0.0.1:0".to_owned();
    config.admin.probes_endpoint = Some("127.0.0.1:0".to_owned());
    AdminServer::start(&config, telemetry.clone(), about()).unwrap()
}

fn raw(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The server may refuse before all of it is written.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

const CLOSE: &str = "Host: x\r\nConnection: close\r\n\r\n";

#[test]
fn the_server_answers_on_both_addresses_and_stops() {
    let telemetry = telemetry();
    let server = start(&telemetry);
    let (addr, probes) = (server.addr, server.probes_addr.unwrap());
    let ask =
        |addr, method: &str, path: &str| raw(addr, format!("{method} {path} HTTP/1.1\r\n{CLOSE}").as_bytes());
    assert!(ask(addr, "GET", "/health").starts_with("HTTP/1.1 200"));
    assert!(ask(addr, "GET", "/metrics").contains("otelcol_process_uptime "));
    assert!(ask(addr, "GET", "/metrics").contains("otelcol_process_memory_rss "));
    assert!(ask(probes, "GET", "/ready").starts_with("HTTP/1.1 503"));
    assert!(ask(probes, "GET", "/metrics").starts_with("HTTP/1.1 404"));
    assert!(ask(addr, "GET", EXPLAIN).starts_with("HTTP/1.1 200"));
    assert!(ask(addr, "GET", "/explain/1").starts_with("HTTP/1.1 400"));
    let head = ask(addr, "HEAD", "/status");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(ask(addr, "POST", "/health").starts_with("HTTP/1.1 405"));
    server.shutdown();
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn too_large_a_head_is_refused_and_idle_connections_give_way() {
    let telemetry = telemetry();
    let server = start(&telemetry);
    let long = format!("GET /health HTTP/1.1\r\nX: {}\r\n{CLOSE}", "x".repeat(64 * 1024));
    let answer = raw(server.addr, long.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let mut idle: Vec<TcpStream> = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(server.addr).unwrap();
        stream.write_all(b"GET /hea").unwrap();
        idle.push(stream);
    }
    let answer = raw(server.addr, format!("GET /health HTTP/1.1\r\n{CLOSE}").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // The oldest were closed for the newer ones.
    idle[0].set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert!(matches!(idle[0].read(&mut [0; 8]), Ok(0) | Err(_)));
    server.shutdown();
}

#[test]
fn many_questions_at_once_are_all_answered() {
    let telemetry = telemetry();
    let server = start(&telemetry);
    let addr = server.addr;
    let ask = move || raw(addr, format!("GET {EXPLAIN} HTTP/1.1\r\n{CLOSE}").as_bytes());
    let asking: Vec<_> = (0..300).map(|_| std::thread::spawn(ask)).collect();
    for thread in asking {
        let answer = thread.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    server.shutdown();
}

#[test]
fn an_address_in_use_is_said_with_the_key_to_change() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = TelemetryConfig::default();
    config.admin.endpoint = taken.local_addr().unwrap().to_string();
    let error = AdminServer::start(&config, Telemetry::default(), about()).unwrap_err().to_string();
    assert!(error.contains("service.telemetry.admin.endpoint"), "{error}");
}
