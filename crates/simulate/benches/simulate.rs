//! CPU time of `simulate` over recordings of about a million spans: `cargo bench -p forebay-simulate`. A figure for
//! comparing changes, not for publishing. With a folder as argument the recordings stay there.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use forebay_generator::{Corpus, CorpusOptions};
use forebay_recording::Framing;
use forebay_sampling::{SamplerConfig, compile};
use forebay_simulate::{Decide, Observer, Options, Source, Subject, simulate};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const POLICIES: &str = r#"[
    {"name": "important", "type": "string_attribute",
     "string_attribute": {"key": "task.priority", "values": ["critical", "high"]}},
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 15000}},
    {"name": "few", "type": "probabilistic", "probabilistic": {"sampling_percentage": 5}}]"#;

/// The agent's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Replays of the corpus of 100,000 spans.
const REPLAYS: u32 = 10;
const ROUNDS: usize = 3;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = given.as_deref().map_or(folder.path(), Path::new);
    let corpus = Corpus::build(&CorpusOptions::default()).unwrap();
    for form in ["proto", "proto.zstd", "json"] {
        let path = folder.join(format!("traces.{form}"));
        record(&corpus, form, &path);
        run(&path, &format!("{form}, whole traces"), Decide::Whole(None), false);
        if form == "proto" {
            run(&path, &format!("{form}, as configured"), Decide::AsConfigured, false);
            run(&path, &format!("{form}, two configurations"), Decide::Whole(None), true);
        }
    }
}

fn record(corpus: &Corpus, form: &str, path: &Path) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let (mut request, mut json, mut out) = (Vec::new(), Vec::new(), Vec::new());
    for replay in 0..REPLAYS {
        for piece in corpus.requests() {
            for buffer in [&mut request, &mut json, &mut out] {
                buffer.clear();
            }
            piece.write(replay, &mut request);
            match form {
                "json" => {
                    forebay_otlp::json::encode_request(&request, &mut json);
                    Framing::Lines.append(&json, &mut out).unwrap();
                }
                "proto.zstd" => {
                    Framing::Lengths.append(&zstd::bulk::compress(&request, 0).unwrap(), &mut out).unwrap();
                }
                _ => Framing::Lengths.append(&request, &mut out).unwrap(),
            }
            file.write_all(&out).unwrap();
        }
    }
    file.flush().unwrap();
}

struct Silent;

impl Observer for Silent {
    fn progress(&mut self) {}
    fn warn(&mut self, _: &str) {}
}

fn run(path: &Path, name: &str, decide: Decide, against: bool) {
    let subject = || Subject {
        name: "bench".to_owned(),
        processor: "tail_sampling".to_owned(),
        sampler: SamplerConfig::default(),
        policies: Arc::new(compile(&serde_json::from_str::<Vec<_>>(POLICIES).unwrap()).unwrap()),
    };
    let options = Options { decide, examples: 0, present: u64::MAX };
    let round = || {
        let source = Source { name: name.to_owned(), bytes: Box::new(File::open(path).unwrap()) };
        let begun = cpu_nanos();
        let report = simulate(vec![source], subject(), against.then(subject), options, &mut Silent).unwrap();
        (cpu_nanos() - begun, report)
    };
    let (nanos, report) = (0..ROUNDS).map(|_| round()).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    let spans = report.recording.spans as f64;
    let megabytes = std::fs::metadata(path).unwrap().len() as f64 / 1e6;
    println!(
        "{name}: {spans} spans, {megabytes:.0} MB: {:.0} ns/span, {:.2} million spans/s, {:.0} MB/s; kept {:.1} %",
        nanos / spans,
        spans / nanos * 1e3,
        megabytes / Duration::from_nanos(nanos as u64).as_secs_f64(),
        report.new.kept.percent.spans,
    );
}

/// CPU time of this thread: what else runs on the machine does not count.
fn cpu_nanos() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}
