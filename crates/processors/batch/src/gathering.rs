//! One batch that everybody adds to.
//!
//! Whoever adds the payload that makes a batch large enough passes it on. The thread is for what has to wait: batches
//! that are due by their age, and those for which the next stage has no room. A thread that took in every payload would
//! be woken for each, which costs more than the batching itself.

use crate::batcher::{Batcher, Trigger};
use crate::metrics::Metrics;
use forebay_component::{Ack, Consumer, Drained, Payload, Reason, Refusal, Refused, deliver};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of what is gathered and what waits for the next stage, from which on nothing is taken while something waits.
pub(crate) const LIMIT: usize = 16 << 20;

/// How long a refused sender is asked to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What callers and the thread share.
pub(crate) struct Gathering {
    state: Mutex<State>,
    /// There is something for the thread to do.
    work: Condvar,
    /// A caller may try again.
    room: Condvar,
    next: Arc<dyn Consumer>,
    metrics: Metrics,
    sent: AtomicU64,
    dropped: AtomicU64,
}

struct State {
    batcher: Batcher,
    /// Batches that the next stage had no room for, oldest first.
    waiting: VecDeque<Payload>,
    /// Bytes of those, and of the one that the thread is delivering.
    waiting_bytes: usize,
    /// Callers that are passing a batch on.
    passing_on: usize,
    /// Whether the thread sleeps without knowing when the batch is due.
    idle: bool,
    /// When the stop must be over; none while running.
    deadline: Option<Instant>,
    closed: bool,
}

impl State {
    fn has_room(&self, weight: usize) -> bool {
        self.waiting_bytes == 0 || self.waiting_bytes + self.batcher.bytes() + weight <= LIMIT
    }

    fn wait_in_line(&mut self, payload: Payload) {
        self.waiting_bytes += payload.body.len();
        self.waiting.push_back(payload);
    }
}

impl Gathering {
    pub fn new(batcher: Batcher, next: Arc<dyn Consumer>, metrics: Metrics) -> Self {
        let state = State {
            batcher,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            passing_on: 0,
            idle: false,
            deadline: None,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            next,
            metrics,
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Bytes gathered and waiting.
    pub fn held_bytes(&self) -> usize {
        let state = self.lock();
        state.waiting_bytes + state.batcher.bytes()
    }

    /// Lets the thread pass on what is left until `deadline`, and end.
    pub fn stop(&self, deadline: Instant) {
        self.lock().deadline = Some(deadline);
        self.work.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, mut payload: Payload, wait_until: Option<Instant>) -> Result<(), Refused> {
        let mut state = self.lock();
        while !state.closed && !state.has_room(payload.body.len()) {
            let left = wait_until.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                let refusal = Refusal::retryable(Reason::QueueFull, "the pipeline is full; try again later");
                return Err(Refused::new(payload, refusal.after(RETRY_AFTER)));
            }
            state = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.closed {
            let refusal = Refusal::retryable(Reason::ShuttingDown, "the pipeline is stopping");
            return Err(Refused::new(payload, refusal));
        }
        let ack = std::mem::replace(&mut payload.ack, Ack::none());
        self.metrics.incoming.inc_by(payload.items as u64);
        let mut full = Vec::new();
        if state.batcher.add(payload, Instant::now) {
            full = self.take(&mut state, Trigger::Size);
        }
        if !full.is_empty() && state.waiting_bytes > 0 {
            full.drain(..).for_each(|payload| state.wait_in_line(payload));
        }
        state.passing_on += usize::from(!full.is_empty());
        if state.idle && state.batcher.due().is_some() {
            state.idle = false;
            self.work.notify_one();
        }
        drop(state);
        ack.accept();
        if !full.is_empty() {
            self.pass_on(full);
        }
        Ok(())
    }

    /// Gives batches to the next stage; what it has no room for is left to the thread.
    fn pass_on(&self, batches: Vec<Payload>) {
        let mut left = Vec::new();
        for payload in batches {
            let items = payload.items as u64;
            match self.next.consume(payload) {
                Ok(()) => self.sent(items),
                Err(refused) if refused.refusal.retryable => left.push(*refused.payload),
                Err(refused) => self.dropped(items, &refused.refuse()),
            }
        }
        let mut state = self.lock();
        left.into_iter().for_each(|payload| state.wait_in_line(payload));
        state.passing_on -= 1;
        if state.waiting_bytes > 0 || state.deadline.is_some() {
            self.work.notify_one();
        }
    }

    fn take(&self, state: &mut State, trigger: Trigger) -> Vec<Payload> {
        let batches = state.batcher.take();
        match trigger {
            _ if batches.is_empty() => {}
            Trigger::Size => self.metrics.by_size.inc(),
            Trigger::Timeout => self.metrics.by_timeout.inc(),
            Trigger::Stop => {}
        }
        batches.iter().for_each(|payload| self.metrics.send_size.observe(payload.items as f64));
        batches
    }

    /// The thread.
    pub fn run(&self) -> Drained {
        let mut state = self.lock();
        loop {
            if let Some(payload) = state.waiting.pop_front() {
                drop(state);
                state = self.deliver(payload);
                continue;
            }
            let now = Instant::now();
            let due = state.batcher.due();
            if state.deadline.is_some() {
                // Upstream stages have stopped: what is here is all there is.
                if state.batcher.items() > 0 {
                    let batches = self.take(&mut state, Trigger::Stop);
                    batches.into_iter().for_each(|payload| state.wait_in_line(payload));
                    continue;
                }
                state.closed = true;
                self.room.notify_all();
                if state.passing_on == 0 {
                    break;
                }
            } else if due.is_some_and(|due| due <= now) {
                let batches = self.take(&mut state, Trigger::Timeout);
                batches.into_iter().for_each(|payload| state.wait_in_line(payload));
                continue;
            }
            state.idle = due.is_none();
            state = match due {
                Some(due) => {
                    self.work.wait_timeout(state, due - now).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        Drained {
            sent: self.sent.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            left: 0,
        }
    }

    /// Waits until the next stage has taken the payload; a stop's deadline also bounds a delivery that was under way
    /// when it came.
    fn deliver(&self, payload: Payload) -> MutexGuard<'_, State> {
        let (items, bytes) = (payload.items as u64, payload.body.len());
        match deliver(&self.next, payload, || self.lock().deadline) {
            Ok(()) => self.sent(items),
            Err((refusal, _)) => self.dropped(items, &refusal),
        }
        let mut state = self.lock();
        state.waiting_bytes -= bytes;
        self.room.notify_all();
        state
    }

    fn sent(&self, items: u64) {
        self.metrics.outgoing.inc_by(items);
        self.sent.fetch_add(items, Ordering::Relaxed);
    }

    fn dropped(&self, items: u64, refusal: &Refusal) {
        self.metrics.dropped.inc_by(items);
        self.dropped.fetch_add(items, Ordering::Relaxed);
        tracing::error!(spans = items, reason = refusal.reason.as_str(), "batch: dropped: {refusal}");
    }
}

impl Consumer for Gathering {
    fn consume(&self, payload: Payload) -> Result<(), Refused> {
        self.add(payload, None)
    }

    fn consume_wait(&self, payload: Payload, timeout: Duration) -> Result<(), Refused> {
        self.add(payload, Some(Instant::now() + timeout))
    }
}
