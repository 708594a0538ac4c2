use bytes::BufMut;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::ids::{ReplayId, SpanSlot};
use crate::options::{OptionsError, Priority, PriorityWeights};
use crate::task::{SpanIds, TaskBuilder, TaskPlan, prose};
use crate::vocabulary::{Service, text};

/// 2026-01-01, when every corpus begins.
const EPOCH: u64 = 1_767_225_600_000_000_000;
const SECOND: u64 = 1_000_000_000;
/// Tasks of a corpus take 5 to 20 s: long enough to overlap, short enough that none outlives its neighbours.
const TASK_SECONDS: std::ops::Range<u64> = 5..20;
/// A request's tag bytes: field 1 or 2, length-delimited.
const FIELD_1: u8 = 0x0a;
const FIELD_2: u8 = 0x12;
/// A span's trace id is its first field: tag, length, then the id.
const TRACE_ID_IN_SPAN: usize = 2;
/// The largest span number a checker must hold in a 64-bit set, less some room for a corpus's last task.
const MOST_SPANS_PER_TASK: usize = 60;

/// What a [`Corpus`] is made of.
#[derive(Clone, Debug)]
pub struct CorpusOptions {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Spans in all; at least 4.
    pub spans: usize,
    /// Spans in each request, the last ones of each service excepted.
    pub spans_per_request: usize,
    /// Mean size of an encoded span in bytes, without the tag and length in front of it.
    pub span_bytes: usize,
    /// Spans of one task; at most 60.
    pub spans_per_task: std::ops::RangeInclusive<usize>,
    /// Tasks under way at a time: the more, the more traces share a request and the more requests a trace is in.
    pub concurrency: usize,
    /// How often each priority comes up.
    pub priorities: PriorityWeights,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            spans: 100_000,
            spans_per_request: 100,
            span_bytes: 340,
            spans_per_task: 8..=32,
            concurrency: 50,
            priorities: PriorityWeights::default(),
        }
    }
}

/// Encoded requests of many interleaved tasks, to be replayed under fresh trace ids.
///
/// Each request comes from one service and holds spans of several traces; each trace is spread over several
/// requests, its root span, the only one with `task.priority`, in the last of them.
#[derive(Debug)]
pub struct Corpus {
    requests: Vec<CorpusRequest>,
    traces: Vec<CorpusTrace>,
    spans: usize,
}

/// A trace of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorpusTrace {
    /// The value of `task.priority` on its root span.
    pub priority: Priority,
    /// Its spans, numbered from 0.
    pub spans: u16,
}

/// One encoded request and where its trace ids lie.
#[derive(Debug)]
pub struct CorpusRequest {
    bytes: Vec<u8>,
    /// The offset of each span's trace id, ascending, and the trace it belongs to.
    trace_ids: Vec<(u32, u32)>,
}

impl Corpus {
    /// Builds a corpus.
    ///
    /// # Errors
    /// When the options cannot be met.
    pub fn build(options: &CorpusOptions) -> Result<Self, OptionsError> {
        let per_task = &options.spans_per_task;
        let per_task_is_valid =
            !per_task.is_empty() && *per_task.start() >= 4 && *per_task.end() <= MOST_SPANS_PER_TASK;
        if !per_task_is_valid
            || options.spans < 4
            || options.spans_per_request == 0
            || options.concurrency == 0
        {
            return Err(OptionsError::Corpus);
        }
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(options.seed);
        let mean_seconds = TASK_SECONDS.start.midpoint(TASK_SECONDS.end);
        let gap = mean_seconds * SECOND / options.concurrency as u64;
        let (mut traces, mut spans, mut left) =
            (Vec::new(), Vec::with_capacity(options.spans), options.spans);
        while left > 0 {
            let trace = traces.len() as u32;
            let start = EPOCH + u64::from(trace) * gap;
            let length = rng.random_range(TASK_SECONDS.start * SECOND..TASK_SECONDS.end * SECOND);
            let wanted = rng.random_range(per_task.clone()).min(left);
            let plan = TaskPlan {
                number: u64::from(trace),
                priority: options.priorities.pick(&mut rng),
                failed: false,
                // A remainder too small for a task goes to the last one.
                spans: if left - wanted < 4 { left } else { wanted },
                time: start..start + length,
                follows: None,
            };
            left -= plan.spans;
            let made = TaskBuilder::build(&plan, SlotIds { trace, next: 0 }, &mut rng);
            traces.push(CorpusTrace { priority: plan.priority, spans: made.spans.len() as u16 });
            spans.extend(
                made.spans.into_iter().map(|(service, span)| (span.end_time_unix_nano, trace, service, span)),
            );
        }
        spans.sort_by_key(|(end, trace, _, _)| (*end, *trace));
        let mut packer = Packer::new(options, rng);
        for (_, trace, service, span) in spans {
            packer.add(trace, service, span);
        }
        Ok(Self { requests: packer.finish(), traces, spans: options.spans })
    }

    /// The requests in the order in which they are sent.
    pub fn requests(&self) -> &[CorpusRequest] {
        &self.requests
    }

    /// The traces; [`ReplayId::trace`] is an index into them.
    pub fn traces(&self) -> &[CorpusTrace] {
        &self.traces
    }

    /// Spans in all requests.
    pub fn spans(&self) -> usize {
        self.spans
    }

    /// The size of all requests, in bytes.
    pub fn wire_bytes(&self) -> usize {
        self.requests.iter().map(|request| request.bytes.len()).sum()
    }
}

impl CorpusRequest {
    /// Spans in the request.
    pub fn spans(&self) -> usize {
        self.trace_ids.len()
    }

    /// The size of the request in bytes, the same in each replay.
    pub fn wire_len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends the request as it is sent in the given replay: the corpus's bytes under that replay's trace ids.
    pub fn write(&self, replay: u32, to: &mut impl BufMut) {
        let mut copied = 0;
        let mut last = None;
        for &(offset, trace) in &self.trace_ids {
            let id = match last {
                Some((of, id)) if of == trace => id,
                _ => ReplayId { replay, trace }.to_bytes(),
            };
            last = Some((trace, id));
            to.put_slice(&self.bytes[copied..offset as usize]);
            to.put_slice(&id);
            copied = offset as usize + id.len();
        }
        to.put_slice(&self.bytes[copied..]);
    }

    /// Overwrites the trace ids of a copy of this request with those of another replay.
    pub fn patch_ids(&self, replay: u32, copy: &mut [u8]) {
        for &(offset, trace) in &self.trace_ids {
            if let Some(place) = copy.get_mut(offset as usize..offset as usize + 16) {
                place.copy_from_slice(&ReplayId { replay, trace }.to_bytes());
            }
        }
    }
}

/// The requests of a corpus of `spans` spans as they stand in replay 0, for tests and micro-benchmarks.
///
/// # Errors
/// When there are fewer than 4 spans, or none in a request.
pub fn corpus(
    spans: usize,
    spans_per_request: usize,
    span_bytes: usize,
) -> Result<Vec<Vec<u8>>, OptionsError> {
    let options = CorpusOptions { spans, spans_per_request, span_bytes, ..CorpusOptions::default() };
    Ok(Corpus::build(&options)?.requests.into_iter().map(|request| request.bytes).collect())
}

/// Packs spans, as they end, into one open request per service.
struct Packer {
    open: [Vec<(u32, Vec<u8>)>; 6],
    spans_per_request: usize,
    requests: Vec<CorpusRequest>,
    span_bytes: usize,
    /// Bytes by which the spans so far fall short of the wanted mean.
    owed: isize,
    rng: Xoshiro256PlusPlus,
}

impl Packer {
    fn new(options: &CorpusOptions, rng: Xoshiro256PlusPlus) -> Self {
        Self {
            open: Default::default(),
            spans_per_request: options.spans_per_request,
            requests: Vec::new(),
            span_bytes: options.span_bytes,
            owed: 0,
            rng,
        }
    }

    fn add(&mut self, trace: u32, service: Service, mut span: Span) {
        self.owed += self.span_bytes as isize - span.encoded_len() as isize;
        // What an attribute costs beside its text: tags, lengths and the key.
        let overhead = 12 + "step.note".len() as isize;
        if self.owed > overhead && self.rng.random_bool(0.7) {
            let note = prose((self.owed - overhead) as usize);
            let bare = span.encoded_len() as isize;
            span.attributes.push(text("step.note", note));
            self.owed -= span.encoded_len() as isize - bare;
        }
        let open = &mut self.open[service.index()];
        open.push((trace, span.encode_to_vec()));
        if open.len() == self.spans_per_request {
            self.close(service);
        }
    }

    fn finish(mut self) -> Vec<CorpusRequest> {
        // The orchestrator holds the root spans: its request goes last.
        for service in Service::ALL.into_iter().rev() {
            if !self.open[service.index()].is_empty() {
                self.close(service);
            }
        }
        self.requests
    }

    /// Encodes the open request: resource spans { resource, scope spans { scope, spans } }.
    fn close(&mut self, service: Service) {
        let spans = std::mem::take(&mut self.open[service.index()]);
        let (resource, scope) = (service.resource().encode_to_vec(), service.scope().encode_to_vec());
        let scope_spans =
            field_len(scope.len()) + spans.iter().map(|(_, span)| field_len(span.len())).sum::<usize>();
        let resource_spans = field_len(resource.len()) + field_len(scope_spans);
        let mut bytes = Vec::with_capacity(field_len(resource_spans));
        open_field(FIELD_1, resource_spans, &mut bytes);
        open_field(FIELD_1, resource.len(), &mut bytes);
        bytes.extend_from_slice(&resource);
        open_field(FIELD_2, scope_spans, &mut bytes);
        open_field(FIELD_1, scope.len(), &mut bytes);
        bytes.extend_from_slice(&scope);
        let mut trace_ids = Vec::with_capacity(spans.len());
        for (trace, span) in spans {
            open_field(FIELD_2, span.len(), &mut bytes);
            trace_ids.push(((bytes.len() + TRACE_ID_IN_SPAN) as u32, trace));
            bytes.extend_from_slice(&span);
        }
        self.requests.push(CorpusRequest { bytes, trace_ids });
    }
}

/// The size of a length-delimited field with a one-byte tag.
fn field_len(content: usize) -> usize {
    1 + encoded_len_varint(content as u64) + content
}

fn open_field(tag: u8, content: usize, to: &mut Vec<u8>) {
    to.push(tag);
    encode_varint(content as u64, to);
}

struct SlotIds {
    trace: u32,
    next: u16,
}

impl SpanIds for SlotIds {
    fn trace_id(&self) -> [u8; 16] {
        ReplayId { replay: 0, trace: self.trace }.to_bytes()
    }

    fn next_span_id(&mut self) -> [u8; 8] {
        let slot = SpanSlot { trace: self.trace, span: self.next };
        self.next += 1;
        slot.to_bytes()
    }
}
