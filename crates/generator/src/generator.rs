use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::options::{Options, OptionsError, Priority};
use crate::task::{SpanIds, TaskBuilder, TaskPlan};
use crate::vocabulary::Service;

/// How many tasks follow up an earlier one, linking to its root span.
const FOLLOW_UP_SHARE: f64 = 0.1;

/// Plans one agent task after another.
#[derive(Debug)]
pub struct Generator {
    options: Options,
    rng: Xoshiro256PlusPlus,
    tasks: u64,
    last_root: Option<([u8; 16], [u8; 8])>,
}

/// One agent task: a whole trace, cut into the requests that carry it.
#[derive(Clone, Debug)]
pub struct Task {
    /// The trace id of every span of the task.
    pub trace_id: [u8; 16],
    /// The span id of the root, which ends last.
    pub root_span_id: [u8; 8],
    /// The value of `task.id` on every span.
    pub task_id: String,
    /// The value of `task.priority`, on the root span only.
    pub priority: Priority,
    /// Whether the root span's status is an error.
    pub failed: bool,
    /// From the root's start to its end.
    pub duration: Duration,
    /// Spans of the whole task.
    pub spans: usize,
    /// In the order in which they are sent; the root is in the last.
    pub requests: Vec<TimedRequest>,
}

/// One OTLP request: spans of one service that ended since its last export.
#[derive(Clone, Debug)]
pub struct TimedRequest {
    /// When it is sent, from the start of its task.
    pub after: Duration,
    /// Who sends it.
    pub service: Service,
    /// Spans in it.
    pub spans: usize,
    /// The request itself.
    pub request: ExportTraceServiceRequest,
}

impl TimedRequest {
    /// The request's wire bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.request.encode_to_vec()
    }
}

impl Generator {
    /// A generator of tasks, the same ones for the same options.
    ///
    /// # Errors
    /// When the options cannot be met; see [`Options::validate`].
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        options.validate()?;
        let rng = Xoshiro256PlusPlus::seed_from_u64(options.seed);
        Ok(Self { options, rng, tasks: 0, last_root: None })
    }

    /// How long after this task the next one starts.
    pub fn next_gap(&mut self) -> Duration {
        let unit: f64 = self.rng.random();
        Duration::from_secs_f64((-(1.0 - unit).ln() / self.options.tasks_per_second).min(60.0))
    }

    /// The next task, as if it started at `start_unix_nano` (nanoseconds since the epoch).
    pub fn task(&mut self, start_unix_nano: u64) -> Task {
        self.tasks += 1;
        let duration = self.duration();
        let ids = RandomIds { trace_id: self.rng.random(), spans: self.rng.random::<u64>() };
        let trace_id = ids.trace_id;
        let follow_up = self.rng.random_bool(FOLLOW_UP_SHARE);
        let plan = TaskPlan {
            number: self.tasks,
            priority: self.options.priorities.pick(&mut self.rng),
            failed: self.rng.random_bool(self.options.error_rate),
            spans: self.rng.random_range(self.options.spans_per_task.clone()),
            time: start_unix_nano..start_unix_nano.saturating_add(duration.as_nanos() as u64),
            follows: self.last_root.filter(|_| follow_up),
        };
        let made = TaskBuilder::build(&plan, ids, &mut self.rng);
        self.last_root = Some((trace_id, made.root_id));
        let interval = self.options.export_interval.as_nanos() as u64;
        Task {
            trace_id,
            root_span_id: made.root_id,
            task_id: made.task_id,
            priority: plan.priority,
            failed: plan.failed,
            duration,
            spans: made.spans.len(),
            requests: into_requests(made.spans, start_unix_nano, interval),
        }
    }

    /// Between the shortest and the longest, the short ones more often.
    fn duration(&mut self) -> Duration {
        let range = &self.options.task_duration;
        let (shortest, longest) = (range.start().as_secs_f64(), range.end().as_secs_f64());
        let skewed = self.rng.random::<f64>().powi(2);
        Duration::from_secs_f64(shortest * (longest / shortest).powf(skewed) / self.options.compression)
    }
}

/// Groups spans by the export tick that follows their end and by service; `spans` are in order of their end.
fn into_requests(spans: Vec<(Service, Span)>, start: u64, interval: u64) -> Vec<TimedRequest> {
    let mut groups: Vec<(u64, Service, Vec<Span>)> = Vec::new();
    for (service, span) in spans {
        let tick = span.end_time_unix_nano.saturating_sub(start) / interval + 1;
        let same = groups.iter_mut().rev().find(|(at, of, _)| *at == tick && *of == service);
        match same {
            Some((_, _, group)) => group.push(span),
            None => groups.push((tick, service, vec![span])),
        }
    }
    // The orchestrator exports last in each tick, so that the root span is in the last request.
    groups.sort_by_key(|(tick, service, _)| (*tick, *service == Service::Orchestrator));
    groups
        .into_iter()
        .map(|(tick, service, spans)| TimedRequest {
            after: Duration::from_nanos(tick.saturating_mul(interval)),
            service,
            spans: spans.len(),
            request: request(service, spans),
        })
        .collect()
}

fn request(service: Service, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(service.resource()),
            scope_spans: vec![ScopeSpans { scope: Some(service.scope()), spans, ..Default::default() }],
            ..Default::default()
        }],
    }
}

/// Live ids: a random trace id; span ids count up from a random number, so they are distinct within the trace.
struct RandomIds {
    trace_id: [u8; 16],
    spans: u64,
}

impl SpanIds for RandomIds {
    fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    fn next_span_id(&mut self) -> [u8; 8] {
        // An odd step visits every value before it repeats; zero is the invalid id.
        self.spans = self.spans.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.spans.max(1).to_be_bytes()
    }
}
