//! The hot paths, each as a fixed amount of work on the same requests: no threads, no clock, fixed seeds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use forebay_component::Payload;
use forebay_exporter_zipkin::encode;
use forebay_otlp::traces::{SpanIndex, validate, validate_and_index};
use forebay_otlp::{json, splice};
use forebay_processor_batch::Batcher;
use forebay_sampling::{Action, PolicySet, Reader, Sampler, SamplerConfig, Shard, compile};

use crate::corpus::Requests;
use crate::error::InstructionsError;

/// Work that is ready to be counted; returns something that depends on all of it.
pub type Work = Box<dyn FnOnce() -> u64>;

/// A path that most spans take.
pub struct HotPath {
    pub name: &'static str,
    /// It works on one of so many requests: kept spans are fewer.
    pub one_of: usize,
    prepare: fn(Requests) -> Result<Work, InstructionsError>,
}

impl HotPath {
    /// Does what must not be counted.
    pub fn prepare(&self, Requests(requests): Requests) -> Result<Work, InstructionsError> {
        (self.prepare)(Requests(requests.into_iter().step_by(self.one_of).collect()))
    }
}

/// Every path that is counted, about in the order in which a span meets them.
pub const HOT_PATHS: [HotPath; 8] = [
    HotPath { name: "json", one_of: 1, prepare: from_json },
    HotPath { name: "validate", one_of: 1, prepare: validation },
    HotPath { name: "index", one_of: 1, prepare: indexing },
    HotPath { name: "read", one_of: 1, prepare: reading },
    HotPath { name: "sampler", one_of: 1, prepare: sampler },
    HotPath { name: "batch", one_of: 1, prepare: batch },
    HotPath { name: "split", one_of: 1, prepare: split },
    HotPath { name: "zipkin", one_of: 10, prepare: zipkin },
];

const SEED: u64 = 1;
/// Requests per second of the sampler's time.
const REQUESTS_PER_SECOND: u32 = 300;
/// The batch processor's defaults.
const BATCH_SPANS: usize = 8192;
const BATCH_TIMEOUT: Duration = Duration::from_millis(200);

const POLICIES: &str = r#"[
    {"name": "important", "type": "string_attribute",
     "string_attribute": {"key": "task.priority", "values": ["critical", "high"]}},
    {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
    {"name": "slow", "type": "latency", "latency": {"threshold_ms": 60000}}]"#;

/// OTLP/JSON to protobuf.
fn from_json(Requests(requests): Requests) -> Result<Work, InstructionsError> {
    let texts: Vec<Vec<u8>> = requests
        .iter()
        .map(|request| {
            let mut text = Vec::new();
            json::encode_request(request, &mut text);
            text
        })
        .collect();
    Ok(Box::new(move || {
        texts.iter().map(|text| json::decode_request(text).map_or(0, |wire| wire.len() as u64)).sum()
    }))
}

/// The receiver's check at the door.
fn validation(Requests(requests): Requests) -> Result<Work, InstructionsError> {
    Ok(Box::new(move || {
        requests.iter().map(|request| validate(request).map_or(0, |stats| stats.spans as u64)).sum()
    }))
}

/// The same check, with notes for who reads every span.
fn indexing(Requests(requests): Requests) -> Result<Work, InstructionsError> {
    let spans = |request: &Bytes| validate_and_index(request).map_or(0, |(stats, _)| stats.spans as u64);
    Ok(Box::new(move || requests.iter().map(spans).sum()))
}

/// What the sampler wants to know of a request, before it takes it in.
fn reading(Requests(requests): Requests) -> Result<Work, InstructionsError> {
    let mut reader = Reader::new(&SamplerConfig::default(), Arc::new(policies()?), SEED);
    let (one, other) = (Shard { index: 0, count: 2 }, Shard { index: 1, count: 2 });
    let index = |request: Bytes| validate_and_index(&request).map(|(_, index)| (request, index));
    let requests: Result<Vec<_>, _> = requests.into_iter().map(index).collect();
    let requests = requests.map_err(|error| InstructionsError::Workload(error.to_string()))?;
    let mut shards = move |(request, index): &(Bytes, Option<SpanIndex>)| -> u64 {
        let reading = reader.read(request, index.as_ref());
        u64::from(reading.concerns(one)) + u64::from(reading.concerns(other))
    };
    Ok(Box::new(move || requests.iter().map(&mut shards).sum()))
}

fn policies() -> Result<PolicySet, InstructionsError> {
    let policies = serde_json::from_str::<Vec<_>>(POLICIES)
        .map_err(|error| InstructionsError::Workload(error.to_string()))?;
    compile(&policies).map_err(|errors| InstructionsError::Workload(format!("{errors:?}")))
}

/// Every span into the store, every trace decided, kept ones written out.
fn sampler(Requests(requests): Requests) -> Result<Work, InstructionsError> {
    let config = SamplerConfig {
        num_traces: 1 << 20,
        decision_wait: Duration::from_secs(1),
        ..SamplerConfig::default()
    };
    let mut sampler = Sampler::new(config, Arc::new(policies()?), SEED);
    Ok(Box::new(move || {
        let (mut out, mut kept) = (Vec::new(), 0);
        let mut take = |out: &mut Vec<Action>| {
            for action in out.drain(..) {
                if let Action::Emit(emit) = action {
                    kept += emit.spans as u64;
                }
            }
        };
        let mut now = Duration::ZERO;
        for request in &requests {
            now += Duration::from_secs(1) / REQUESTS_PER_SECOND;
            sampler.ingest(request, None, now, &mut out);
            sampler.tick(now, &mut out);
            take(&mut out);
        }
        while sampler.flush(now, &mut out) {
            take(&mut out);
        }
        take(&mut out);
        kept
    }))
}

/// Requests into batches of the default size.
fn batch(Requests(requests): Requests) -> Result<Work, InstructionsError> {
    let payloads: Vec<Payload> = requests.into_iter().map(|body| Payload::traces(body, 100)).collect();
    let now = Instant::now();
    Ok(Box::new(move || {
        let mut batcher = Batcher::new(BATCH_TIMEOUT, BATCH_SPANS, 0);
        let mut bytes = 0;
        for payload in payloads {
            if batcher.add(payload, || now) {
                bytes += batcher.take().iter().map(|batch| batch.body.len() as u64).sum::<u64>();
            }
        }
        bytes + batcher.take().iter().map(|batch| batch.body.len() as u64).sum::<u64>()
    }))
}

/// Batches cut to `send_batch_max_size`.
fn split(Requests(requests): Requests) -> Result<Work, InstructionsError> {
    let batches: Vec<Vec<u8>> = requests.chunks(82).map(|requests| requests.concat()).collect();
    Ok(Box::new(move || batches.iter().map(|batch| splice::split(batch, 512).len() as u64).sum()))
}

/// Protobuf to Zipkin's JSON.
fn zipkin(Requests(requests): Requests) -> Result<Work, InstructionsError> {
    Ok(Box::new(move || {
        let encoded = requests.iter().flat_map(|request| encode(request, "unknown", 5 << 20).bodies);
        encoded.map(|body| body.json.len() as u64).sum()
    }))
}
