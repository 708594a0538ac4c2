//! One shard: a sampler behind a lock. Whoever brings a request takes it in; a thread does what is due.

use forebay_component::Payload;
use forebay_sampling::{Action, Known, Reader, Reading, Sampler, Shard as Part};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What may wait while the next stage takes nothing, or while as many traces are held as may be: enough for a stall,
/// little beside what the store holds.
const WAITING: Limit = Limit { requests: 1024, bytes: 16 << 20 };

struct Limit {
    requests: usize,
    bytes: usize,
}

/// How often the thread looks while requests come: often enough for what is kept, seldom beside what they cost.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// The shard is stopping and takes nothing more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed;

/// Traces of one part of all ids.
pub(crate) struct Shard {
    /// None when it is the only shard.
    part: Option<Part>,
    /// When the sampler's clock read zero.
    started: Instant,
    state: Mutex<State>,
    /// There is something for the thread to do.
    work: Condvar,
    /// A caller may try again.
    room: Condvar,
    /// What was decided has been reported.
    reported: Condvar,
    /// What `state.waiting` holds.
    waiting_requests: AtomicUsize,
    waiting_bytes: AtomicUsize,
    closed: AtomicBool,
}

/// What callers and the thread share.
pub(crate) struct State {
    pub sampler: Sampler,
    /// What the sampler says is to be done: by the thread, in this order.
    pub actions: Vec<Action>,
    /// Something was taken in since the thread looked.
    pub stirred: bool,
    /// The thread has yet to report some of what was decided.
    pub reporting: bool,
    /// The next stage has turned the thread away, which goes on trying.
    pub turned_away: bool,
    /// When the stop must be over; none while running.
    pub deadline: Option<Instant>,
    /// Requests that cannot be taken in yet, oldest first.
    waiting: VecDeque<Payload>,
    /// When the sleeping thread will look by itself; none while it is awake.
    wakes_at: Option<Instant>,
}

impl State {
    /// Whether requests can be taken in.
    fn is_open(&self) -> bool {
        !self.turned_away && !self.sampler.is_full()
    }
}

impl Shard {
    pub fn new(sampler: Sampler, part: Option<Part>, started: Instant) -> Self {
        let state = State {
            sampler,
            actions: Vec::new(),
            stirred: false,
            reporting: false,
            turned_away: false,
            deadline: None,
            waiting: VecDeque::new(),
            wakes_at: None,
        };
        Self {
            part,
            started,
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            reported: Condvar::new(),
            waiting_requests: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Which part of each request is its own; none when all of it is.
    pub fn part(&self) -> Option<Part> {
        self.part
    }

    /// The sampler's time.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// When the sampler's clock reads `at`.
    fn instant(&self, at: Duration) -> Option<Instant> {
        self.started.checked_add(at)
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// It takes nothing more.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Bytes of the requests that wait, and how many there may be.
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiting_bytes.load(Ordering::Relaxed), WAITING.bytes)
    }

    /// Whether a request of `len` bytes can be taken in or wait; until `deadline` it waits for that.
    pub fn has_room(&self, len: usize, deadline: Option<Instant>) -> bool {
        let has_room = || {
            let requests = self.waiting_requests.load(Ordering::Acquire);
            let bytes = self.waiting_bytes.load(Ordering::Acquire);
            // One request larger than the limit still passes when none waits.
            requests == 0 || (requests < WAITING.requests && bytes + len <= WAITING.bytes)
        };
        if self.is_closed() || has_room() {
            return !self.is_closed();
        }
        let Some(deadline) = deadline else { return false };
        let mut state = self.lock();
        while !self.is_closed() && !has_room() {
            if self.room.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        !self.is_closed() && has_room()
    }

    /// [`Self::take_in`] unless another thread is at it.
    pub fn try_take_in(&self, reading: Reading<'_>, payload: &Payload) -> Option<Result<(), Closed>> {
        Some(self.take_in_locked(self.state.try_lock()?, reading, payload))
    }

    /// Takes in its part of a request, or has it wait.
    pub fn take_in(&self, reading: Reading<'_>, payload: &Payload) -> Result<(), Closed> {
        self.take_in_locked(self.lock(), reading, payload)
    }

    fn take_in_locked(
        &self,
        mut state: MutexGuard<'_, State>,
        reading: Reading<'_>,
        payload: &Payload,
    ) -> Result<(), Closed> {
        if state.deadline.is_some() {
            return Err(Closed);
        }
        let now = Instant::now();
        if state.is_open() && state.waiting.is_empty() {
            let State { sampler, actions, .. } = &mut *state;
            sampler.take_in(reading, self.part, now.saturating_duration_since(self.started), actions);
        } else {
            self.waiting_requests.fetch_add(1, Ordering::Release);
            self.waiting_bytes.fetch_add(payload.body.len(), Ordering::Release);
            state.waiting.push_back(Payload::traces(payload.body.clone(), payload.items));
        }
        state.stirred = true;
        // One that sleeps for long is to look soon; it will find what else comes until then.
        if state.wakes_at.is_some_and(|at| at > now + LOOK) {
            state.wakes_at = None;
            drop(state);
            self.work.notify_one();
        }
        Ok(())
    }

    /// Takes in what waits, as far as there is room for it.
    pub fn take_in_waiting(&self, state: &mut State, reader: &mut Reader) {
        let before = state.waiting.len();
        while (state.is_open() || state.deadline.is_some())
            && let Some(payload) = state.waiting.pop_front()
        {
            let State { sampler, actions, .. } = state;
            sampler.take_in(
                reader.read(&payload.body, payload.index.as_deref()),
                self.part,
                self.now(),
                actions,
            );
            self.waiting_requests.fetch_sub(1, Ordering::Release);
            self.waiting_bytes.fetch_sub(payload.body.len(), Ordering::Release);
        }
        if state.waiting.len() < before {
            self.room.notify_all();
        }
    }

    /// Has the thread sleep until something may be due, or a request comes.
    pub fn sleep(&self, state: &mut MutexGuard<'_, State>) {
        let soon = Instant::now() + LOOK;
        let due = match state.sampler.next_deadline() {
            _ if std::mem::take(&mut state.stirred) => Some(soon),
            due => due.and_then(|due| self.instant(due)).map(|due| due.max(soon)),
        };
        match due {
            Some(due) => {
                state.wakes_at = Some(due);
                self.work.wait_until(state, due);
            }
            None => {
                state.wakes_at = soon.checked_add(FOREVER);
                self.work.wait(state);
            }
        }
        state.wakes_at = None;
    }

    /// Has the thread decide what is held and end. Nothing is taken in from now on.
    pub fn stop(&self, deadline: Instant) {
        self.closed.store(true, Ordering::Release);
        self.lock().deadline = Some(deadline);
        self.work.notify_all();
        self.room.notify_all();
    }

    /// All of what was decided is reported.
    pub fn reported(&self) {
        self.lock().reporting = false;
        self.reported.notify_all();
    }

    /// What is known of a trace, and at which of the sampler's times; none when it is busy for as long as `timeout`.
    /// Verdicts from before that time have been reported by then.
    pub fn explain(&self, trace_id: &[u8; 16], timeout: Duration) -> Option<(Duration, Known)> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.try_lock_until(deadline)?;
        while state.reporting || !state.actions.is_empty() {
            self.work.notify_one();
            if self.reported.wait_until(&mut state, deadline).timed_out() {
                return None;
            }
        }
        Some((self.now(), state.sampler.explain(trace_id)))
    }

    /// When the stop must be over; none while running.
    pub fn give_up_at(&self) -> Option<Instant> {
        self.lock().deadline
    }
}

/// As good as never.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);
