//! The spans of one agent task.

use std::ops::Range;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{Span, Status, status::StatusCode};
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use crate::options::Priority;
use crate::vocabulary::{FAILURES, MODELS, PROSE, Service, TASKS, TOOLS, boolean, double, int, text};

/// The ids of a task: random for live ones, slots of a corpus for replayed ones.
pub(crate) trait SpanIds {
    fn trace_id(&self) -> [u8; 16];
    fn next_span_id(&mut self) -> [u8; 8];
}

/// What is decided about a task before its spans are made.
pub(crate) struct TaskPlan {
    pub(crate) number: u64,
    pub(crate) priority: Priority,
    pub(crate) failed: bool,
    pub(crate) spans: usize,
    /// Nanoseconds since the epoch: first start and last end.
    pub(crate) time: Range<u64>,
    /// The root span of the task that this one follows up.
    pub(crate) follows: Option<([u8; 16], [u8; 8])>,
}

/// The spans of a task in the order in which they end; the root is the last.
pub(crate) struct TaskSpans {
    pub(crate) task_id: String,
    pub(crate) root_id: [u8; 8],
    pub(crate) spans: Vec<(Service, Span)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    Plan,
    Chat,
    Tool,
    Retrieve,
    Memory,
}

impl Step {
    fn spans(self) -> usize {
        match self {
            Step::Chat | Step::Memory => 1,
            Step::Plan | Step::Tool => 2,
            Step::Retrieve => 3,
        }
    }
}

/// Makes the spans of one task.
pub(crate) struct TaskBuilder<'a, Ids> {
    rng: &'a mut Xoshiro256PlusPlus,
    ids: Ids,
    task_id: String,
    agent: &'static str,
    conversation: String,
    spans: Vec<(Service, Span)>,
    tokens: i64,
    cost: f64,
}

impl<'a, Ids: SpanIds> TaskBuilder<'a, Ids> {
    pub(crate) fn build(plan: &TaskPlan, ids: Ids, rng: &'a mut Xoshiro256PlusPlus) -> TaskSpans {
        let (name, agent) = TASKS[rng.random_range(0..TASKS.len())];
        let builder = Self {
            task_id: format!("task-{:08}", plan.number),
            agent,
            conversation: format!("conv-{:06x}", rng.random_range(0..0x100_0000u32)),
            spans: Vec::with_capacity(plan.spans),
            tokens: 0,
            cost: 0.0,
            rng,
            ids,
        };
        builder.task(plan, name)
    }

    fn task(mut self, plan: &TaskPlan, name: &str) -> TaskSpans {
        let root_id = self.ids.next_span_id();
        let steps = self.steps(plan.spans.saturating_sub(1));
        let failing =
            steps.iter().rposition(|step| matches!(step, Step::Tool | Step::Chat)).filter(|_| plan.failed);
        for (index, (step, time)) in steps.iter().zip(self.schedule(steps.len(), &plan.time)).enumerate() {
            let failed = failing == Some(index);
            match step {
                Step::Plan => self.plan(root_id, time),
                Step::Chat => self.chat(Service::LlmGateway, root_id, time, failed),
                Step::Tool => self.tool(root_id, time, failed),
                Step::Retrieve => self.retrieve(root_id, time),
                Step::Memory => self.memory(root_id, time),
            }
        }
        self.root(plan, root_id, name, steps.len());
        self.spans.sort_by_key(|(_, span)| span.end_time_unix_nano);
        TaskSpans { task_id: self.task_id, root_id, spans: self.spans }
    }

    /// Steps that add up to exactly `spans` spans, a plan first.
    fn steps(&mut self, spans: usize) -> Vec<Step> {
        let mut left = spans;
        let mut steps = Vec::new();
        while left > 0 {
            let step = match self.rng.random_range(0..10) {
                _ if steps.is_empty() && left >= Step::Plan.spans() => Step::Plan,
                0..=3 => Step::Tool,
                4..=6 => Step::Chat,
                7..=8 => Step::Retrieve,
                _ => Step::Memory,
            };
            let step = if step.spans() > left { Step::Chat } else { step };
            left -= step.spans();
            steps.push(step);
        }
        steps
    }

    /// One stretch of time per step, in order, inside the root's; some overlap their neighbour.
    fn schedule(&mut self, steps: usize, time: &Range<u64>) -> Vec<Range<u64>> {
        let total = (time.end - time.start) as f64;
        let weights: Vec<f64> = (0..steps).map(|_| 0.2 + self.rng.random::<f64>()).collect();
        let sum: f64 = weights.iter().sum();
        // The root keeps the first and the last 2 % for itself.
        let mut cursor = 0.02;
        let mut stretches = Vec::with_capacity(steps);
        for weight in weights {
            let share = 0.96 * weight / sum;
            let early = if self.rng.random_bool(0.2) { cursor * 0.05 } else { 0.0 };
            let start = time.start + ((cursor - early) * total) as u64;
            let end = time.start + ((cursor + share * 0.97) * total) as u64;
            stretches.push(start..end.max(start + 1));
            cursor += share;
        }
        stretches
    }

    fn root(&mut self, plan: &TaskPlan, id: [u8; 8], name: &str, steps: usize) {
        let mut attributes = vec![
            text("task.priority", plan.priority.as_str()),
            text("task.type", name),
            int("task.steps", steps as i64),
            int("task.tokens", self.tokens),
            double("task.cost_usd", (self.cost * 1e6).round() / 1e6),
            boolean("task.failed", plan.failed),
            text("agent.name", self.agent),
            text("gen_ai.operation.name", "invoke_agent"),
            text("gen_ai.agent.name", self.agent),
            text("gen_ai.conversation.id", self.conversation.clone()),
        ];
        if plan.failed {
            attributes.push(text("error.type", "TaskFailed"));
        }
        let done = if plan.failed { "task.failed" } else { "task.completed" };
        let mut span =
            self.span(None, id, format!("task {name}"), SpanKind::Server, plan.time.clone(), attributes);
        span.events.push(event(plan.time.start, "task.accepted", Vec::new()));
        span.events.push(event(plan.time.end, done, Vec::new()));
        span.links.extend(plan.follows.map(|(trace_id, span_id)| Link {
            trace_id: trace_id.to_vec(),
            span_id: span_id.to_vec(),
            attributes: vec![text("link.kind", "follows")],
            ..Default::default()
        }));
        span.status = Some(status(plan.failed.then_some("the task failed")));
        self.spans.push((Service::Orchestrator, span));
    }

    fn plan(&mut self, parent: [u8; 8], time: Range<u64>) {
        let id = self.ids.next_span_id();
        let inner = within(&time, 0.05, 0.95);
        self.chat(Service::LlmGateway, id, inner, false);
        let attributes = vec![
            text("agent.name", self.agent),
            text("plan.strategy", if self.rng.random_bool(0.5) { "react" } else { "plan-and-execute" }),
            int("plan.steps", self.rng.random_range(3..12)),
        ];
        let span = self.span(Some(parent), id, "create plan".into(), SpanKind::Server, time, attributes);
        self.spans.push((Service::Planner, span));
    }

    fn chat(&mut self, service: Service, parent: [u8; 8], time: Range<u64>, failed: bool) {
        let id = self.ids.next_span_id();
        let (provider, model, price) = MODELS[self.rng.random_range(0..MODELS.len())];
        let (input, output) = (self.rng.random_range(200..12_000), self.rng.random_range(20..1_500));
        self.tokens += input + output;
        self.cost += output as f64 * price / 1e6;
        let attributes = vec![
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.provider.name", provider),
            text("gen_ai.request.model", model),
            int("gen_ai.usage.input_tokens", input),
            int("gen_ai.usage.output_tokens", if failed { 0 } else { output }),
            text("gen_ai.response.finish_reasons", if failed { "error" } else { "stop" }),
        ];
        let first_token = within(&time, 0.3, 1.0).start;
        let mut span =
            self.span(Some(parent), id, format!("chat {model}"), SpanKind::Client, time, attributes);
        if failed {
            self.fail(&mut span);
        } else {
            span.events.push(event(first_token, "gen_ai.first_token", Vec::new()));
        }
        self.spans.push((service, span));
    }

    fn tool(&mut self, parent: [u8; 8], time: Range<u64>, failed: bool) {
        let (outer_id, inner_id) = (self.ids.next_span_id(), self.ids.next_span_id());
        let tool = TOOLS[self.rng.random_range(0..TOOLS.len())];
        let attributes = vec![
            text("tool.name", tool),
            text("tool.call.id", format!("call_{:08x}", self.rng.random::<u32>())),
            int("tool.result.bytes", self.rng.random_range(40..60_000)),
            int("tool.attempt", 1),
        ];
        let inner = within(&time, 0.04, 0.96);
        let mut span =
            self.span(Some(outer_id), inner_id, format!("run {tool}"), SpanKind::Server, inner, attributes);
        if failed {
            self.fail(&mut span);
        }
        self.spans.push((Service::ToolRunner, span));
        let attributes = vec![
            text("gen_ai.operation.name", "execute_tool"),
            text("gen_ai.tool.name", tool),
            text("agent.name", self.agent),
        ];
        let mut span = self.span(
            Some(parent),
            outer_id,
            format!("execute_tool {tool}"),
            SpanKind::Client,
            time,
            attributes,
        );
        span.status = Some(status(failed.then_some("the tool failed")));
        self.spans.push((Service::Orchestrator, span));
    }

    fn retrieve(&mut self, parent: [u8; 8], time: Range<u64>) {
        let (id, embed_id, search_id) =
            (self.ids.next_span_id(), self.ids.next_span_id(), self.ids.next_span_id());
        let (tokens, rows) = (self.rng.random_range(8..200), self.rng.random_range(0..40));
        let embed = self.span(
            Some(id),
            embed_id,
            "embeddings text-embedding-3-small".into(),
            SpanKind::Client,
            within(&time, 0.05, 0.4),
            vec![
                text("gen_ai.operation.name", "embeddings"),
                text("gen_ai.request.model", "text-embedding-3-small"),
                int("gen_ai.usage.input_tokens", tokens),
            ],
        );
        self.spans.push((Service::LlmGateway, embed));
        let search = self.span(
            Some(id),
            search_id,
            "search passages".into(),
            SpanKind::Client,
            within(&time, 0.45, 0.95),
            vec![
                text("db.system.name", "postgresql"),
                text("db.collection.name", "passages"),
                int("db.response.returned_rows", rows),
            ],
        );
        self.spans.push((Service::Retriever, search));
        let attributes =
            vec![int("retrieval.top_k", 8), double("retrieval.best_score", self.rng.random::<f64>())];
        let span = self.span(Some(parent), id, "retrieve".into(), SpanKind::Server, time, attributes);
        self.spans.push((Service::Retriever, span));
    }

    fn memory(&mut self, parent: [u8; 8], time: Range<u64>) {
        let id = self.ids.next_span_id();
        let name = if self.rng.random_bool(0.6) { "memory read" } else { "memory write" };
        let attributes = vec![
            text("memory.kind", "episodic"),
            int("memory.items", self.rng.random_range(0..30)),
            boolean("memory.hit", self.rng.random_bool(0.7)),
        ];
        let span = self.span(Some(parent), id, name.into(), SpanKind::Server, time, attributes);
        self.spans.push((Service::Memory, span));
    }

    fn span(
        &self,
        parent: Option<[u8; 8]>,
        id: [u8; 8],
        name: String,
        kind: SpanKind,
        time: Range<u64>,
        mut attributes: Vec<KeyValue>,
    ) -> Span {
        attributes.push(text("task.id", self.task_id.clone()));
        Span {
            trace_id: self.ids.trace_id().to_vec(),
            span_id: id.to_vec(),
            parent_span_id: parent.map(|id| id.to_vec()).unwrap_or_default(),
            // W3C flags: sampled, and its bits 8 and 9 say "the parent is known not to be remote".
            flags: 0x101,
            name,
            kind: kind.into(),
            start_time_unix_nano: time.start,
            end_time_unix_nano: time.end,
            attributes,
            ..Default::default()
        }
    }

    fn fail(&mut self, span: &mut Span) {
        let (kind, message) = FAILURES[self.rng.random_range(0..FAILURES.len())];
        let details = vec![text("exception.type", kind), text("exception.message", message)];
        span.events.push(event(span.end_time_unix_nano, "exception", details));
        span.attributes.push(text("error.type", kind));
        span.status = Some(status(Some(message)));
    }
}

/// An excerpt of running text, `length` bytes long.
pub(crate) fn prose(length: usize) -> String {
    PROSE.chars().cycle().take(length).collect()
}

fn within(time: &Range<u64>, from: f64, to: f64) -> Range<u64> {
    let length = (time.end - time.start) as f64;
    let start = time.start + (length * from) as u64;
    start..(time.start + (length * to) as u64).max(start)
}

fn event(time_unix_nano: u64, name: &str, attributes: Vec<KeyValue>) -> Event {
    Event { time_unix_nano, name: name.into(), attributes, ..Default::default() }
}

fn status(error: Option<&str>) -> Status {
    match error {
        Some(message) => Status { message: message.into(), code: StatusCode::Error.into() },
        None => Status { message: String::new(), code: StatusCode::Ok.into() },
    }
}
