//! A shard's thread: decides what is due, hands on what is kept, and says what was decided.

use crate::metrics::Metrics;
use crate::readers::Readers;
use crate::recent::{Recent, hex, shown};
use crate::shard::{Shard, State};
use forebay_component::{Consumer, Drained, Payload, deliver};
use forebay_sampling::{Action, Decision, Emit, Sampler};
use parking_lot::MutexGuard;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many actions' memory one look leaves to the next.
const MOST_ACTIONS_KEPT: usize = 8192;

/// Failed conditions are reported so often at most: they may fail on every span.
const REPORT: Duration = Duration::from_secs(60);

/// The thread.
pub(crate) struct Worker {
    pub shard: Arc<Shard>,
    /// For requests that had to wait.
    pub readers: Arc<Readers>,
    pub next: Arc<dyn Consumer>,
    pub metrics: Metrics,
    pub recent: Arc<Recent>,
    pub drained: Drained,
    /// When failed conditions were reported last.
    pub reported: Option<Instant>,
    /// Memory for what is carried out.
    pub actions: Vec<Action>,
}

impl Worker {
    pub fn run(mut self) -> Drained {
        let shard = Arc::clone(&self.shard);
        let _end = End(&shard);
        let mut state = shard.lock();
        while state.deadline.is_none() {
            shard.take_in_handed(&mut state, usize::MAX);
            shard.take_in_waiting(&mut state, &self.readers);
            self.tick(&mut state);
            if state.has_actions() {
                state = self.act(&shard, state);
            }
            self.metrics.publish(&state.sampler);
            self.report(&mut state);
            // A tick ends early when there is much to do; everything else can wait for the next look.
            let goes_on = state.has_room_for_waiting() || is_due(&state.sampler, shard.now());
            if state.deadline.is_none() && !goes_on {
                shard.sleep(&mut state);
            }
        }
        // The entrance is closed: what waits is all there is.
        shard.take_in_handed(&mut state, usize::MAX);
        shard.take_in_waiting(&mut state, &self.readers);
        loop {
            let more = state.flush(shard.now());
            state = self.act(&shard, state);
            if !more {
                break;
            }
        }
        self.metrics.publish(&state.sampler);
        self.reported = None;
        self.report(&mut state);
        self.drained
    }

    fn tick(&mut self, state: &mut State) {
        let now = self.shard.now();
        if is_due(&state.sampler, now) {
            let begun = Instant::now();
            state.tick(now);
            self.metrics.decision_latency.observe(begun.elapsed().as_secs_f64() * 1e3);
        }
    }

    /// Logs conditions that could not be evaluated (`error_mode: ignore`).
    fn report(&mut self, state: &mut State) {
        if self.reported.is_none_or(|last| last.elapsed() >= REPORT)
            && let Some(errors) = state.sampler.take_condition_errors()
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

    /// Carries out what there is to do, without the lock: the next stage may be full, and others take requests in.
    fn act<'s>(&mut self, shard: &'s Shard, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let mut actions = state.take_actions(std::mem::take(&mut self.actions));
        drop(state);
        for action in &actions {
            match action {
                Action::Decided(decision) => {
                    self.metrics.decided(decision);
                    log(decision);
                    self.recent.decided(decision);
                }
                Action::Late(late) => {
                    self.metrics.late(late);
                    self.recent.late(late, shard.now());
                }
                Action::Emit(_) => {}
            }
        }
        shard.reported();
        self.metrics.remembers(self.recent.memory());
        for action in actions.drain(..) {
            if let Action::Emit(emit) = action {
                self.deliver(shard, emit);
            }
        }
        actions.shrink_to(MOST_ACTIONS_KEPT);
        self.actions = actions;
        shard.lock()
    }

    fn deliver(&mut self, shard: &Shard, emit: Emit) {
        let spans = emit.spans as u64;
        let (metrics, mut asked) = (&mut self.metrics, 0_u32);
        let delivered = deliver(&self.next, Payload::traces(emit.request, emit.spans), || {
            asked = asked.saturating_add(1);
            if asked == 1 {
                return shard.give_up_at();
            }
            // Asked again: it does not fit, perhaps for long, and the figures must be true meanwhile.
            let mut state = shard.lock();
            state.turned_away = true;
            metrics.publish(&state.sampler);
            // A stop's deadline also bounds a delivery that was under way when it came.
            state.deadline
        });
        if asked > 1 {
            shard.lock().turned_away = false;
        }
        match delivered {
            Ok(()) => {
                self.metrics.outgoing.inc_by(spans);
                self.drained.sent += spans;
            }
            Err((refusal, _)) => {
                self.metrics.undelivered(spans, refusal.reason);
                self.drained.dropped += spans;
                tracing::error!(spans, reason = refusal.reason.as_str(), "tail_sampling: dropped: {refusal}");
            }
        }
    }
}

/// Says that the thread has ended, be it by a panic.
struct End<'s>(&'s Shard);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Whether some trace is to be decided now.
fn is_due(sampler: &Sampler, now: Duration) -> bool {
    sampler.next_deadline().is_some_and(|due| due <= now)
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
