use std::collections::HashSet;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;

use forebay_generator::{Corpus, CorpusOptions, ReplayId, SpanSlot};
use nix::unistd::Pid;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;

use crate::agent::{Agent, AgentSpec, cpu_seconds_of, parse_kib, stopped_cleanly};
use crate::case::{self, Case, MaximumOf, Measure};
use crate::cli::ReportArgs;
use crate::load::{LoadOptions, LoadReport, load};
use crate::memory::{AHEAD, Memory, PIECE};
use crate::protocol::{Compression, Outgoing, Protocol};
use crate::report::{CaseReport, Growth, Machine, Report, Spread};
use crate::round::Round;
use crate::scan;
use crate::sink::Sink;
use crate::tally::{Counts, Keep, Tally};
use crate::zipkin_sink;

fn corpus(spans: usize) -> Arc<Corpus> {
    let options = CorpusOptions { spans, spans_per_request: 50, ..CorpusOptions::default() };
    Arc::new(Corpus::build(&options).unwrap())
}

fn wire(corpus: &Corpus, replay: u32) -> Vec<Vec<u8>> {
    let encode = |request: &forebay_generator::CorpusRequest| {
        let mut bytes = Vec::new();
        request.write(replay, &mut bytes);
        bytes
    };
    corpus.requests().iter().map(encode).collect()
}

/// The request without the spans that `keep` refuses.
fn retain(request: &[u8], mut keep: impl FnMut(ReplayId, SpanSlot) -> bool) -> Vec<u8> {
    let mut decoded = ExportTraceServiceRequest::decode(request).unwrap();
    for scope in decoded.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans) {
        scope.spans.retain(|span| {
            keep(ReplayId::from_bytes(&span.trace_id).unwrap(), SpanSlot::from_bytes(&span.span_id).unwrap())
        });
    }
    decoded.encode_to_vec()
}

fn counted(corpus: &Corpus, keep: Keep, requests: &[Vec<u8>]) -> Counts {
    let tally = Tally::new(corpus, 2, keep);
    requests.iter().for_each(|request| tally.add(request));
    tally.counts()
}

#[test]
fn all_of_two_replays_is_exact() {
    let corpus = corpus(2000);
    let requests = [wire(&corpus, 0), wire(&corpus, 1)].concat();
    let counts = counted(&corpus, Keep::All, &requests);
    assert!(counts.is_exact());
    assert_eq!((counts.arrived, counts.expected, counts.requests), (4000, 4000, requests.len() as u64));
}

#[test]
fn only_the_important_traces_may_arrive() {
    let corpus = corpus(2000);
    let all = [wire(&corpus, 0), wire(&corpus, 1)].concat();
    let important = |id: ReplayId| corpus.traces()[id.trace as usize].priority.is_important();
    let kept: Vec<Vec<u8>> = all.iter().map(|request| retain(request, |id, _| important(id))).collect();
    let counts = counted(&corpus, Keep::Important, &kept);
    assert!(counts.is_exact(), "{counts}");
    assert!(counts.expected > 100 && counts.expected < 2000);

    let counts = counted(&corpus, Keep::Important, &all);
    assert_eq!((counts.missing, counts.unwanted), (0, 4000 - counts.expected));
}

#[test]
fn a_lost_span_does_not_hide_behind_a_doubled_one() {
    let corpus = corpus(2000);
    let mut requests = [wire(&corpus, 0), wire(&corpus, 1)].concat();
    let lost = |id: ReplayId, slot: SpanSlot| id.replay == 1 && id.trace == 3 && slot.span == 2;
    requests = requests.iter().map(|request| retain(request, |id, slot| !lost(id, slot))).collect();
    let doubled = |id: ReplayId, slot: SpanSlot| id.replay == 1 && id.trace == 3 && slot.span == 1;
    let again: Vec<Vec<u8>> = requests.iter().map(|request| retain(request, doubled)).collect();
    requests.extend(again);
    let counts = counted(&corpus, Keep::All, &requests);
    assert_eq!((counts.arrived, counts.expected), (4000, 4000));
    assert_eq!((counts.missing, counts.torn_traces, counts.doubled), (1, 1, 1));
}

#[test]
fn spans_nobody_sent_are_told_apart() {
    let corpus = corpus(500);
    let counts = counted(&corpus, Keep::All, &wire(&corpus, 2));
    assert_eq!((counts.foreign, counts.missing), (500, counts.expected));
    let counts = counted(&corpus, Keep::All, &[vec![0xff, 0xff]]);
    assert_eq!((counts.foreign, counts.arrived), (1, 0));
}

#[test]
fn the_scan_finds_what_prost_finds() {
    for request in wire(&corpus(2000), 7) {
        let decoded = ExportTraceServiceRequest::decode(&request[..]).unwrap();
        let spans = decoded.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|scope| &scope.spans);
        let expected: Vec<_> = spans.map(|span| (span.trace_id.clone(), span.span_id.clone())).collect();
        let mut found = Vec::new();
        scan::spans(&request, |trace_id, span_id| found.push((trace_id.to_vec(), span_id.to_vec()))).unwrap();
        assert_eq!(found, expected);
    }
}

proptest! {
    #[test]
    fn the_scan_survives_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = scan::spans(&bytes, |_, _| {});
    }

    #[test]
    fn the_scan_survives_damaged_requests(at in 0usize..2000, to: u8) {
        let mut request = wire(&corpus(50), 0).remove(0);
        let at = at % request.len();
        request[at] = to;
        let _ = scan::spans(&request, |_, _| {});
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loader_and_the_sink_agree_over_real_connections() {
    // The sink takes no zstd: only agents are sent any.
    for compression in [Compression::None, Compression::Gzip] {
        agree(compression).await;
    }
}

async fn agree(compression: Compression) {
    let corpus = corpus(5000);
    let tally = Arc::new(Tally::new(&corpus, 3, Keep::All));
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sink = Sink::start(any_port, Arc::clone(&tally)).await.unwrap();
    let options = LoadOptions {
        endpoint: sink.address.to_string(),
        protocol: Protocol::Grpc,
        compression,
        connections: 2,
        in_flight: 3,
        rate: Some(1e6),
        replays: 3,
    };
    let report = load(Arc::clone(&corpus), options).await.unwrap();
    assert_eq!((report.spans, report.refused, report.rejected), (15_000, 0, 0));
    assert_eq!(report.requests, corpus.requests().len() as u64 * 3);
    assert!(report.ack_p50_ms > 0.0 && report.ack_p50_ms <= report.ack_p999_ms);
    let counts = tally.counts();
    assert!(counts.is_exact());
    let compressed = if compression == Compression::None { 0 } else { counts.requests };
    assert_eq!(counts.compressed, compressed);
}

#[tokio::test]
async fn a_load_without_a_receiver_says_so() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    drop(listener);
    let options = LoadOptions {
        endpoint: endpoint.clone(),
        protocol: Protocol::Http,
        compression: Compression::Zstd,
        connections: 1,
        in_flight: 1,
        rate: None,
        replays: 1,
    };
    let error = load(corpus(100), options).await.unwrap_err().to_string();
    assert!(error.contains(&endpoint), "{error}");
}

#[test]
fn cpu_is_that_of_a_process() {
    let before = cpu_seconds_of(Pid::this()).unwrap();
    let corpus = corpus(2000);
    assert!(!wire(&corpus, 0).is_empty());
    assert!(cpu_seconds_of(Pid::this()).unwrap() > before);
    // Linux numbers processes up to 2^22.
    assert_eq!(cpu_seconds_of(Pid::from_raw((1 << 22) + 1)), None);
}

#[test]
fn sizes_are_read() {
    let status = "Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t   74012 kB\nVmRSS:\t 1 kB\n";
    assert_eq!(parse_kib(status, "VmHWM:"), Some(74_012));
    assert_eq!(parse_kib("Name:\tx\n", "VmHWM:"), None);
}

#[test]
fn who_ends_by_the_signal_has_stopped_once_nothing_is_left_to_do() {
    let (ended, failed, terminated, killed) = (0, 1 << 8, 15, 9);
    let clean = |status, delivered| stopped_cleanly(ExitStatus::from_raw(status), delivered);
    assert!(clean(ended, false) && clean(terminated, true));
    assert!(!clean(failed, true) && !clean(terminated, false) && !clean(killed, true));
}

#[tokio::test]
async fn a_script_starts_an_agent_of_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    let (config, started) = (folder.path().join("a.sh"), folder.path().join("started"));
    let script =
        format!("echo \"$BENCH_AGENT $BENCH_SINK_PORT $BENCH_WAIT\" > {}\nexit 7\n", started.display());
    std::fs::write(&config, script).unwrap();
    let sinks = [("BENCH_SINK_PORT", SocketAddr::from((Ipv4Addr::LOCALHOST, 9)))];
    let spec = AgentSpec {
        name: "a",
        binary: Path::new("/the/program"),
        config: &config,
        sinks: &sinks,
        wait: Some("4s"),
        cpus: None,
        log: folder.path().join("a.log"),
    };
    let error = Agent::start(spec).await.err().unwrap().to_string();
    assert!(error.contains("exit status: 7"), "{error}");
    assert_eq!(std::fs::read_to_string(started).unwrap(), "/the/program 9 4s\n");
}

#[test]
fn agents_are_found_by_their_configs() {
    let folder = tempfile::tempdir().unwrap();
    let case = "description: x\nspans: 1\nspans_per_request: 1\nkeep: all\nshare_of_maximum: 0.5\nmaximum_of: each\n";
    std::fs::write(folder.path().join("case.yaml"), case).unwrap();
    for name in ["otap.one_core.yaml", "floor.sh", "rotel.sh", "otelcol.yaml", "forebay.yaml", "notes.txt"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let case = Case::read(folder.path()).unwrap();
    assert_eq!(case.agents, ["forebay", "otelcol", "otap.one_core", "rotel", "floor"]);
    assert_eq!(case.config("rotel"), folder.path().join("rotel.sh"));
    assert_eq!(case.config("otap.one_core"), folder.path().join("otap.one_core.yaml"));
    assert_eq!(case.file.maximum_of, MaximumOf::Each);
    assert_eq!(case::binary("floor"), std::env::current_exe().ok());
    assert!(case::how_to_get("no-such.variant").ends_with("NO_SUCH_BIN"));
}

#[test]
fn a_spread_is_a_median_between_its_ends() {
    let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
    assert_eq!((spread.least, spread.median, spread.most), (1.0, 2.0, 3.0));
    assert_eq!(Spread::of([1.0, 2.0]).unwrap().median, 1.5);
    assert_eq!(Spread::of([]), None);
}

#[test]
fn every_case_reads_and_gives_the_same_pipeline_to_us_and_to_the_collector() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cases");
    let folders = case::all(&folder).unwrap();
    assert!(folders.len() >= 2);
    for folder in folders {
        let case = Case::read(&folder).unwrap();
        assert_eq!(case.agents[..2], ["forebay", "otelcol"]);
        let read = |agent| std::fs::read_to_string(case.config(agent)).unwrap();
        assert_eq!(read("forebay"), read("otelcol"), "{}: the same YAML must do for both", case.name);
    }
}

#[test]
fn a_misspelt_case_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("case.yaml"), "description: x\nspanz: 1\n").unwrap();
    assert!(Case::read(folder.path()).unwrap_err().to_string().contains("spanz"));
}

#[test]
fn corpora_of_different_sizes_have_all_priorities() {
    let corpus = corpus(20_000);
    let priorities: HashSet<_> = corpus.traces().iter().map(|trace| trace.priority).collect();
    assert_eq!(priorities.len(), 4);
}

fn round(agent: &str, round: usize, cpu: f64) -> Round {
    Round {
        agent: agent.into(),
        round,
        rate: None,
        cpu_seconds_per_million: cpu,
        cpu_seconds: cpu,
        spans_per_second: 100.0,
        delivered_seconds: 1.0,
        peak_mib: 10.0,
        resident_mib: 9.0,
        resident_over_wire: 1.5,
        load: LoadReport::default(),
        counts: Counts::default(),
        stopped_cleanly: true,
        correct: true,
    }
}

#[test]
fn growth_is_what_a_step_costs_beyond_the_one_before() {
    let step = |spans, rounds| CaseReport {
        case: format!("growth_{spans}"),
        step_of: Some("growth".into()),
        description: String::new(),
        spans,
        spans_per_request: 100,
        measure: Measure::Held,
        wire_bytes_per_span: 340.0,
        agents: vec!["a".into(), "b".into()],
        rounds,
        failures: Vec::new(),
    };
    // Of a start that takes 1 s, and 2 s for a million spans.
    let mut cases = vec![step(1_000_000, vec![round("a", 1, 3.0), round("b", 1, 9.0)])];
    cases.push(step(3_000_000, vec![round("a", 1, 7.0)]));
    let table = Growth(&cases).to_string();
    assert!(table.contains("| 1000000 .. 3000000 | 2.00 | - |"), "{table}");
    cases[1].step_of = None;
    assert_eq!(Growth(&cases).to_string(), "");
}

#[test]
fn a_step_has_another_number_of_spans_or_another_wait() {
    let folder = tempfile::tempdir().unwrap();
    let text = "description: x\nspans: 7\nspans_per_request: 1\nkeep: all\nrate: 5\nwait: 2s\n";
    let steps = "steps: [{spans: 1}, {spans: 2, wait: 40ms}]\n";
    std::fs::write(folder.path().join("case.yaml"), format!("{text}{steps}")).unwrap();
    let case = Case { name: "x".into(), ..Case::read(folder.path()).unwrap() };
    assert_eq!((case.file.spans, case.file.rate), (7, Some(5.0)));
    let [one, two] = case.steps().try_into().unwrap();
    assert_eq!((one.name.as_str(), one.file.spans, one.file.wait.as_deref()), ("x_1", 1, Some("2s")));
    assert_eq!((two.name.as_str(), two.file.spans, two.file.wait.as_deref()), ("x_40ms", 2, Some("40ms")));
    // What spans cost beyond those of the step before says nothing when something else is different.
    assert_eq!((one.step_of.as_deref(), two.step_of.as_deref()), (Some("x"), None));
}

#[test]
fn ratios_compare_agents_within_a_round() {
    let rounds = vec![round("a", 1, 1.0), round("b", 1, 10.0), round("b", 2, 40.0), round("a", 2, 2.0)];
    let mut report = CaseReport {
        case: "x".into(),
        step_of: None,
        description: String::new(),
        spans: 1,
        spans_per_request: 1,
        measure: Measure::Delivered,
        wire_bytes_per_span: 340.0,
        agents: vec!["a".into(), "b".into(), "c".into()],
        rounds,
        failures: Vec::new(),
    };
    let table = report.to_string();
    assert!(
        table.contains(
            "| b | 25.00 (10.00 .. 40.00) | 100 (100 .. 100) | 10 (10 .. 10) | 15.0 (10.0 .. 20.0) |"
        )
    );
    assert!(table.contains("| c | - | - | - | - |"));
    assert_eq!(report.incorrect(), 0);
    report.rounds[0].correct = false;
    report.failures.push("round 1 c failed: it is gone".into());
    assert_eq!(report.incorrect(), 2);
    assert!(report.to_string().contains("it is gone"));
}

#[test]
fn what_is_sent_as_json_or_compressed_is_the_replay() {
    let corpus = corpus(500);
    let unpacked = |protocol, compression: Compression, replay, at| {
        let outgoing = Outgoing::new(&corpus, 3, protocol, compression).unwrap();
        let body = outgoing.body(&corpus, at, replay);
        match compression {
            Compression::None => body.to_vec(),
            Compression::Gzip => {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
                plain
            }
            Compression::Zstd => zstd::bulk::decompress(&body, 1 << 20).unwrap(),
        }
    };
    for replay in 0..3 {
        for (at, expected) in wire(&corpus, replay).into_iter().enumerate() {
            for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                assert_eq!(unpacked(Protocol::Http, compression, replay, at), expected);
                let text = unpacked(Protocol::HttpJson, compression, replay, at);
                assert_eq!(ids(&forebay_otlp::json::decode_request(&text).unwrap()), ids(&expected));
            }
        }
    }
    let framed = Outgoing::new(&corpus, 1, Protocol::Grpc, Compression::Gzip).unwrap().body(&corpus, 0, 0);
    assert_eq!(framed[0], 1);
    assert_eq!(framed[1..5], (framed.len() as u32 - 5).to_be_bytes());
}

fn ids(request: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut ids = Vec::new();
    scan::spans(request, |trace_id, span_id| ids.push((trace_id.to_vec(), span_id.to_vec()))).unwrap();
    ids
}

#[test]
fn zipkin_spans_are_checked_like_others() {
    let corpus = corpus(500);
    let tally = Tally::new(&corpus, 1, Keep::All);
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for request in wire(&corpus, 0) {
        let span = |(trace_id, span_id): (Vec<u8>, Vec<u8>)| {
            format!(
                r#"{{"id":"{}","name":"x","traceId":"{}","tags":{{"a":"b"}}}}"#,
                hex(&span_id),
                hex(&trace_id)
            )
        };
        let spans: Vec<String> = ids(&request).into_iter().map(span).collect();
        zipkin_sink::count(&tally, format!("[{}]", spans.join(",")).as_bytes());
    }
    assert!(tally.counts().is_exact());
    zipkin_sink::count(&tally, b"[");
    zipkin_sink::count(&tally, br#"[{"id":"1","traceId":"\u00e9"}]"#);
    assert_eq!(tally.counts().foreign, 1 + 1);
}

#[test]
fn a_report_goes_between_its_marks() {
    let folder = tempfile::tempdir().unwrap();
    let (results, page) = (folder.path().join("results.json"), folder.path().join("page.md"));
    let case = CaseReport {
        case: "idle".into(),
        step_of: None,
        description: "nothing".into(),
        spans: 0,
        spans_per_request: 1,
        measure: Measure::Idle,
        wire_bytes_per_span: 340.0,
        agents: vec!["a".into()],
        rounds: vec![round("a", 1, 0.5)],
        failures: Vec::new(),
    };
    let report = Report { machine: Machine::read(), cases: vec![case] };
    std::fs::write(&results, serde_json::to_string(&report).unwrap()).unwrap();
    std::fs::write(&page, "before\n<!-- results -->\nold\n<!-- /results -->\nafter\n").unwrap();
    crate::report::print(&ReportArgs { results, into: Some(page.clone()) }).unwrap();
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("before\n") && text.ends_with("\nafter\n") && !text.contains("old"), "{text}");
    assert!(text.contains("| a | 9 (9 .. 9) | 500 (500 .. 500) |"), "{text}");
}

/// Whole pieces, as far ahead of the agent as is said, and once each.
#[test]
fn memory_is_let_go_of_ahead_of_the_agent() {
    let mut memory = Memory::touch(3 * PIECE as u64 + 1);
    assert_eq!(memory.pieces.len(), 3);
    // What has been let go of before.
    memory.let_go = AHEAD;
    for (resident, left) in
        [(0, 3), (1, 2), (PIECE as u64, 2), (PIECE as u64 + 1, 1), (0, 1), (u64::MAX / 2, 0)]
    {
        memory.let_go_for(resident);
        assert_eq!(memory.pieces.len(), left, "{resident} bytes resident");
    }
}
