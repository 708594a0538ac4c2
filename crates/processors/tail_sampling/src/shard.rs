//! One shard's thread.

use crate::explain::Answer;
use crate::metrics::Metrics;
use crate::recent::{Recent, hex, shown};
use crossbeam_channel::{Receiver as Lane, Sender, select};
use forebay_channel::Receiver;
use forebay_component::{Consumer, Drained, Payload, deliver};
use forebay_sampling::{Action, Decision, Sampler, Shard};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests taken in before the shard looks at deadlines and its control lane again.
const BURST: usize = 64;

/// How long the shard lets requests gather when one has woken it: each wake-up costs as much as several requests, and
/// no client waits for it, since a request is acknowledged when it has been queued.
const LINGER: Duration = Duration::from_millis(1);

/// The longest sleep: statistics of an idle shard stay true without it, deadlines wake it.
const IDLE: Duration = Duration::from_secs(3600);

/// How many actions' memory one request leaves to the next.
const MOST_ACTIONS_KEPT: usize = 8192;

/// Requests up to this size are copied before they are read: what the cores' second-level caches hold.
const COPIED: usize = 512 << 10;

/// Failed conditions are reported so often at most: they may fail on every span.
const REPORT: Duration = Duration::from_secs(60);

/// What a shard is told and asked beside its data.
pub(crate) enum Control {
    /// Stop; everything must be over by then.
    Stop(Instant),
    /// Say what is known of a trace.
    Explain { trace_id: [u8; 16], reply: Sender<Answer> },
}

/// The owner of one shard's traces.
pub(crate) struct Worker {
    pub sampler: Sampler,
    /// Which part of each request is ours; none when there is only one shard.
    pub shard: Option<Shard>,
    pub input: Receiver<Payload>,
    pub control: Lane<Control>,
    pub next: Arc<dyn Consumer>,
    pub metrics: Metrics,
    pub recent: Arc<Recent>,
    /// When the sampler's clock read zero.
    pub started: Instant,
    /// When the stop must be over; none while running.
    pub deadline: Option<Instant>,
    pub actions: Vec<Action>,
    pub drained: Drained,
    /// When failed conditions were reported last.
    pub reported: Option<Instant>,
    /// The request that is being taken in: at most [`COPIED`] bytes.
    pub request: Vec<u8>,
}

impl Worker {
    pub fn run(mut self) -> Drained {
        let never = crossbeam_channel::never();
        while self.deadline.is_none() {
            let due =
                self.sampler.next_deadline().map_or(IDLE, |due| due.saturating_sub(self.started.elapsed()));
            // With block_on_overflow nothing is taken in until there is room; a deadline or a stop ends the wait.
            let input = if self.sampler.is_full() { &never } else { self.input.as_crossbeam() };
            let waits = input.is_empty();
            select! {
                recv(input) -> payload => match payload {
                    Ok(payload) => {
                        if waits { std::thread::sleep(LINGER) }
                        self.input.taken(&payload);
                        self.ingest(payload)
                    }
                    // Every sender is gone without a stop: nothing more can come.
                    Err(_) => self.deadline = Some(Instant::now()),
                },
                recv(self.control) -> control => match control {
                    Ok(control) => control.obey(&self.sampler, self.started, &mut self.deadline),
                    Err(_) => self.deadline = Some(Instant::now()),
                },
                default(due) => {}
            }
            for _ in 1..BURST {
                if self.sampler.is_full() {
                    break;
                }
                let Ok(payload) = self.input.try_recv() else { break };
                self.ingest(payload);
            }
            self.tick();
        }
        // Upstream stages have stopped: what is queued is all there is, and little beside what is held.
        while let Ok(payload) = self.input.try_recv() {
            self.ingest(payload);
        }
        loop {
            let now = self.started.elapsed();
            let more = self.sampler.flush(now, &mut self.actions);
            self.act(now);
            if !more {
                break;
            }
        }
        self.metrics.publish(&self.sampler);
        self.reported = None;
        self.report();
        self.drained
    }

    /// Logs conditions that could not be evaluated (`error_mode: ignore`).
    fn report(&mut self) {
        if self.reported.is_none_or(|last| last.elapsed() >= REPORT)
            && let Some(errors) = self.sampler.take_condition_errors()
        {
            self.reported = Some(Instant::now());
            tracing::warn!(
                errors = errors.count,
                condition = errors.condition,
                "tail_sampling: an OTTL condition could not be evaluated, and counts as not holding: {}",
                errors.error
            );
        }
    }

    /// The bytes were written on another core: reading span by span waits for each cache line, while a copy in one go
    /// has the processor fetch ahead, and its buffer stays in this core's cache. It takes 0.2 of the 1.9 CPU-s per million
    /// spans of `tail_sampling_100` away (docs/adr/0006).
    fn ingest(&mut self, payload: Payload) {
        let now = self.started.elapsed();
        let body = payload.body;
        if body.len() <= COPIED {
            self.request.clear();
            self.request.extend_from_slice(&body);
            drop(body);
            self.sampler.ingest(&self.request, self.shard, now, &mut self.actions);
        } else {
            self.sampler.ingest(&body, self.shard, now, &mut self.actions);
        }
        self.act(now);
    }

    fn tick(&mut self) {
        let now = self.started.elapsed();
        if self.sampler.next_deadline().is_some_and(|due| due <= now) {
            let begun = Instant::now();
            self.sampler.tick(now, &mut self.actions);
            self.metrics.decision_latency.observe(begun.elapsed().as_secs_f64() * 1e3);
            self.act(now);
        }
        self.metrics.publish(&self.sampler);
        self.report();

        self.metrics.remembers(self.recent.memory());
    }

    fn act(&mut self, now: Duration) {
        self.carry_out(now);
        self.actions.shrink_to(MOST_ACTIONS_KEPT);
    }

    fn carry_out(&mut self, now: Duration) {
        for action in self.actions.drain(..) {
            match action {
                Action::Decided(decision) => {
                    self.metrics.decided(&decision);
                    log(&decision);
                    self.recent.decided(*decision);
                }
                Action::Late(late) => {
                    self.metrics.late(&late);
                    self.recent.late(&late, now);
                }
                Action::Emit(emit) => {
                    let spans = emit.spans as u64;
                    let (control, started, deadline) = (&self.control, self.started, &mut self.deadline);
                    let (metrics, sampler, mut asked) = (&mut self.metrics, &self.sampler, 0_u32);
                    let delivered = deliver(&self.next, Payload::traces(emit.request, emit.spans), || {
                        // Asked again: it does not fit, perhaps for long, and the figures must be true meanwhile.
                        if asked == 1 {
                            metrics.publish(sampler);
                        }
                        asked = asked.saturating_add(1);
                        // A stop's deadline also bounds a delivery that was under way when it came.
                        while let Ok(control) = control.try_recv() {
                            control.obey(sampler, started, deadline);
                        }
                        *deadline
                    });
                    match delivered {
                        Ok(()) => {
                            self.metrics.outgoing.inc_by(spans);
                            self.drained.sent += spans;
                        }
                        Err((refusal, _)) => {
                            self.metrics.undelivered(spans, refusal.reason);
                            self.drained.dropped += spans;
                            tracing::error!(
                                spans,
                                reason = refusal.reason.as_str(),
                                "tail_sampling: dropped: {refusal}"
                            );
                        }
                    }
                }
            }
        }
    }
}

impl Control {
    fn obey(self, sampler: &Sampler, started: Instant, deadline: &mut Option<Instant>) {
        match self {
            Self::Stop(at) => *deadline = Some(at),
            Self::Explain { trace_id, reply } => {
                // Whoever asked may have given up.
                let _ = reply.try_send(Answer { now: started.elapsed(), known: sampler.explain(&trace_id) });
            }
        }
    }
}

/// One line for each verdict, for who asks for it (`service.telemetry.logs.level: debug`).
fn log(decision: &Decision) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let or = |text: &Option<Arc<str>>, other: &str| text.as_deref().unwrap_or(other).to_owned();
    let verdict = shown(decision.verdict);
    let root = or(&decision.root_name, "a trace without its root");
    let why = match (&decision.policy, &decision.evidence) {
        (Some(policy), Some(fact)) => format!("policy {policy}: {} = {}", fact.key, fact.value),
        (Some(policy), None) => format!("policy {policy}"),
        (None, _) => decision.reason.as_str().to_owned(),
    };
    tracing::debug!(
        trace_id = %hex(&decision.trace_id),
        spans = decision.spans,
        priority = or(&decision.priority, "none"),
        trigger = decision.trigger.as_str(),
        "{verdict}: {root}: {why}"
    );
}
