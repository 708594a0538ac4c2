//! The tree, and the one request.

use super::http::{parse, split};
use super::tree::{bytes, clean, draw, duration, refusal, utc};
use serde_json::json;

#[test]
fn a_kept_trace() {
    let explanation = json!({"trace_id": "0af7651916cd43dd8448eb211c80319c", "explanations": [{
        "processor": "tail_sampling", "pipeline": "traces", "state": "kept",
        "verdicts": [{
            "trace_id": "0af7651916cd43dd8448eb211c80319c", "verdict": "kept", "reason": "policy_match",
            "trigger": "early_keep", "policy": "important", "evidence": "task.priority = critical",
            "span_id": "00f067aa0ba902b7", "service": "planner", "root": "research\u{1b}[31m", "priority": "critical",
            "spans": 12, "bytes": 3482, "duration_ms": 200.0, "held_ms": 41_200.0,
            "decided_unix_ms": 1_795_359_845_678_u64, "processor": "tail_sampling",
            "votes": [{"policy": "noise", "drops": true, "vote": "not_matched"},
                      {"policy": "important", "drops": false, "vote": "matched"},
                      {"policy": "few", "drops": false, "vote": "not_asked"}],
            "first_arrival_unix_ms": 1_795_359_804_478_u64, "last_arrival_unix_ms": 1_795_359_845_678_u64,
            "start_unix_ms": 1_795_359_800_000_u64, "end_unix_ms": 1_795_359_800_200_u64}],
        "bare_verdict": null, "held": null,
        "late": [{"verdict": "kept", "streamed": true, "spans": 40, "bytes": 12_000, "arrivals": 5,
                  "first_unix_ms": 1_795_359_846_000_u64, "last_unix_ms": 1_795_359_850_000_u64, "age_ms": 4_322.0}],
        "late_known_since_unix_ms": null, "unanswered": null,
        "handed_to": {"processors": ["batch"], "exporters": [
            {"id": "otlp_grpc/jaeger", "state": "ok", "last_error": null,
             "queue": {"used": 0, "capacity": 1000, "unit": "requests", "bytes": 0}},
            {"id": "zipkin", "state": "recoverable_error", "queue": null,
             "last_error": {"message": "connection refused", "unix_s": 1_795_359_840}}]}
    }]});
    let expected = "\
trace 0af7651916cd43dd8448eb211c80319c
└─ kept: tail_sampling in pipeline traces
   ├─ task: research\\u{1b}[31m, service planner, priority critical
   ├─ spans ran: 2026-11-22 15:03:20.000Z to 2026-11-22 15:03:20.200Z (200 ms)
   ├─ spans came: 2026-11-22 15:03:24.478Z to 2026-11-22 15:04:05.678Z
   ├─ kept 2026-11-22 15:04:05.678Z after 41.2 s on 12 spans (3.4 KiB)
   │  ├─ why: policy important (policy match): task.priority = critical on span 00f067aa0ba902b7
   │  ├─ when: early keep
   │  └─ votes
   │     ├─ noise (drops)  not matched
   │     ├─ important      matched, decided
   │     └─ few            not asked
   ├─ streamed: 40 spans (11.7 KiB) 5 times, 2026-11-22 15:04:06.000Z to 2026-11-22 15:04:10.000Z, the last 4.3 s after the verdict
   └─ handed to batch, then
      ├─ otlp_grpc/jaeger: ok now, queue 0 of 1000 requests
      └─ zipkin: recoverable error now
         └─ last error 2026-11-22 15:04:00.000Z: connection refused
";
    assert_eq!(draw(&explanation), expected);
}

#[test]
fn a_held_trace_and_what_is_not_known() {
    let held = json!({"trace_id": "a", "explanations": [{
        "processor": "s", "pipeline": null, "state": "held", "verdicts": [],
        "held": {"held_ms": 125_000.0, "due_unix_ms": 60_000, "due_in_ms": 7_500_000.0, "due_by": "root_received",
                 "spans": 1, "bytes": 10, "service": null, "root": null, "priority": null,
                 "first_arrival_unix_ms": 1000, "last_arrival_unix_ms": 1000, "start_unix_ms": null, "end_unix_ms": null,
                 "missing_parents": ["00000000000000aa", "00000000000000bb"],
                 "policies": [{"policy": "p", "drops": false, "vote": "asked_when_decided"}]},
        "late": [], "unanswered": null, "handed_to": null}]});
    let expected = "\
trace a
└─ held: s
   ├─ task: root span not seen
   ├─ spans came: 1970-01-01 00:00:01.000Z to 1970-01-01 00:00:01.000Z
   └─ undecided for 2 min 5 s: 1 span (10 B)
      ├─ due 1970-01-01 00:01:00.000Z at the latest, in 2 h 5 min (root received)
      ├─ waits for parents that have not come: 00000000000000aa, 00000000000000bb
      └─ policies now
         └─ p  asked when decided
";
    assert_eq!(draw(&held), expected);
    let bare = json!({"trace_id": "a", "explanations": [{
        "processor": "s", "state": "dropped", "unanswered": "busy", "late_known_since_unix_ms": 5,
        "late": [{"verdict": "dropped", "streamed": false, "spans": 1, "bytes": 1, "arrivals": 1,
                  "first_unix_ms": 0, "last_unix_ms": 0, "age_ms": 1}],
        "retained": {"until_unix_ms": 1000, "left_ms": 90_000.0, "spans": 4, "bytes": 9, "policies": []},
        "bare_verdict": {"verdict": "dropped", "policy": "p", "decided_unix_ms": 0}}]});
    let drawn = draw(&bare);
    for words in [
        "dropped 1970-01-01 00:00:00.000Z by policy p",
        "no more is remembered",
        "late, dropped: 1 span",
        "late spans may still turn the verdict until 1970-01-01 00:00:01.000Z, for 1 min 30 s: 4 spans",
        "forgotten",
        "not known: busy",
    ] {
        assert!(drawn.contains(words), "{words}\n{drawn}");
    }
    let said = json!({"error": "nothing", "remembered": [
        {"processor": "s", "verdicts": 3, "since_unix_ms": 0}, {"processor": "t", "verdicts": 0, "since_unix_ms": null}]});
    assert_eq!(
        refusal(&said),
        "nothing\n  s remembers 3 verdicts, all that fell since 1970-01-01 00:00:00.000Z\n  t remembers no verdicts (recent_decisions)"
    );
    // An agent of another version may say less.
    assert_eq!(draw(&json!({})), "trace \n");
    assert_eq!(draw(&json!({"explanations": [{}]})), "trace \n└─ not known: \n");
}

#[test]
fn times_and_sizes() {
    assert_eq!(utc(951_827_696_789.0), "2000-02-29 12:34:56.789Z");
    assert_eq!(utc(1_709_251_199_999.0), "2024-02-29 23:59:59.999Z");
    assert_eq!(utc(4_102_444_800_000.0), "2100-01-01 00:00:00.000Z");
    assert_eq!(utc(4_107_542_400_000.0), "2100-03-01 00:00:00.000Z");
    for (ms, shown) in [
        (0.4, "0 ms"),
        (999.0, "999 ms"),
        (1_500.0, "1.5 s"),
        (60_000.0, "1 min 0 s"),
        (3_600_000.0, "1 h 0 min"),
    ] {
        assert_eq!(duration(ms), shown);
    }
    assert_eq!([bytes(1023.0), bytes(1536.0), bytes(5e6)], ["1023 B", "1.5 KiB", "4.8 MiB"]);
    assert_eq!(clean("a\u{202e}b\n\u{7f}é"), "a\\u{202e}b\\u{a}\\u{7f}é");
}

#[test]
fn endpoints() {
    let ok = |endpoint| split(endpoint).unwrap();
    assert_eq!(ok("http://127.0.0.1:8888"), ("127.0.0.1:8888".to_owned(), ""));
    assert_eq!(ok("localhost:8888/"), ("localhost:8888".to_owned(), ""));
    assert_eq!(ok("http://agents.example/node-1/"), ("agents.example:80".to_owned(), "/node-1"));
    assert_eq!(ok("http://[::1]:9"), ("[::1]:9".to_owned(), ""));
    assert_eq!(ok("http://[::1]").0, "[::1]:80");
    for wrong in ["", "http://", "https://x:1", "http://a b:1", "http://a:1/\r\nX: y"] {
        assert!(split(wrong).unwrap_err().contains("http://HOST:PORT"), "{wrong}");
    }
}

#[test]
fn answers() {
    let answer = parse(b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n{}\r\n\r\n").unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (404, "{}\r\n\r\n"));
    for wrong in
        [&b""[..], b"HTTP/1.1 200 OK\r\n", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 x\r\n\r\n", b"\xff\r\n\r\n"]
    {
        assert!(parse(wrong).is_none());
    }
}
