//! One shard: a sampler behind a lock. Whoever brings a request takes it in; a thread does what is due.

use crate::readers::{Read, Readers};
use bytes::Bytes;
use forebay_component::Payload;
use forebay_sampling::{Action, Decision, Known, Reading, Sampler, Shard as Part};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
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

/// Traces of one part of all ids.
pub(crate) struct Shard {
    /// None when it is the only shard.
    part: Option<Part>,
    /// When the sampler's clock read zero.
    started: Instant,
    state: Mutex<State>,
    /// Requests of those who found another thread at it.
    handed: Mutex<VecDeque<Arc<Read>>>,
    /// How many there are.
    handed_over: AtomicUsize,
    /// The thread may sleep for long: who hands a request over has to wake it.
    dozes: AtomicBool,
    /// The thread has ended.
    gone: AtomicBool,
    /// There is something for the thread to do.
    work: Condvar,
    /// A caller may try again.
    room: Condvar,
    /// What was decided has been reported.
    reported: Condvar,
    /// What `state.waiting` holds.
    waiting_requests: AtomicUsize,
    waiting_bytes: AtomicUsize,
}

/// So many requests are left to another thread at most; whoever brings more waits for its turn.
const MOST_HANDED: usize = 16;

/// How often one thread takes in what others have handed over before it goes back to its own work.
const TURNS: u32 = 2;

/// What callers and the thread share.
pub(crate) struct State {
    pub sampler: Sampler,
    /// What the sampler says is to be done: by the thread, in this order.
    actions: Vec<Action>,
    /// Bytes of these, as far as they came of requests.
    actions_bytes: usize,
    /// Something was taken in since the thread looked.
    pub stirred: bool,
    /// How often the thread has taken what is to be done, and how often it has reported what was decided.
    taken: u64,
    reported: u64,
    /// The next stage has turned the thread away, which goes on trying.
    pub turned_away: bool,
    /// When the stop must be over; none while running.
    pub deadline: Option<Instant>,
    /// Requests that cannot be taken in yet, oldest first.
    waiting: VecDeque<(Bytes, usize)>,
}

impl State {
    /// Whether requests can be taken in.
    fn is_open(&self) -> bool {
        !self.turned_away && self.actions_bytes <= WAITING.bytes && !self.sampler.is_full()
    }

    /// Takes a request in.
    fn take_in(&mut self, reading: Reading<'_>, part: Option<Part>, now: Duration) {
        let before = self.actions.len();
        self.sampler.take_in(reading, part, now, &mut self.actions);
        let new = self.actions.get(before..).unwrap_or_default();
        self.actions_bytes += new.iter().map(weight).sum::<usize>();
    }

    /// Has the sampler decide what is due.
    pub fn tick(&mut self, now: Duration) {
        self.sampler.tick(now, &mut self.actions);
    }

    /// Has the sampler decide what is held; true when there is more.
    pub fn flush(&mut self, now: Duration) -> bool {
        self.sampler.flush(now, &mut self.actions)
    }

    /// Whether there is something to be done.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty() || self.sampler.gathers()
    }

    /// What is to be done, for `empty`, whose memory is used again. All of it is to be reported.
    pub fn take_actions(&mut self, empty: Vec<Action>) -> Vec<Action> {
        self.sampler.hand_on(&mut self.actions);
        self.taken += 1;
        self.actions_bytes = 0;
        std::mem::replace(&mut self.actions, empty)
    }

    /// Whether requests wait that can be taken in now.
    pub fn has_room_for_waiting(&self) -> bool {
        !self.waiting.is_empty() && self.is_open()
    }
}

impl Shard {
    pub fn new(sampler: Sampler, part: Option<Part>, started: Instant) -> Self {
        let state = State {
            sampler,
            actions: Vec::new(),
            actions_bytes: 0,
            stirred: false,
            taken: 0,
            reported: 0,
            turned_away: false,
            deadline: None,
            waiting: VecDeque::new(),
        };
        Self {
            part,
            started,
            state: Mutex::new(state),
            handed: Mutex::default(),
            handed_over: AtomicUsize::new(0),
            dozes: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            work: Condvar::new(),
            room: Condvar::new(),
            reported: Condvar::new(),
            waiting_requests: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
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

    /// Bytes of the requests that wait, and how many there may be.
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiting_bytes.load(Ordering::Relaxed), WAITING.bytes)
    }

    /// Whether a request of `len` bytes can be taken in or wait; until `deadline`, or a stop, it waits for that.
    pub fn has_room(&self, len: usize, deadline: Option<Instant>) -> bool {
        let has_room = || {
            let requests = self.waiting_requests.load(Ordering::Acquire);
            let bytes = self.waiting_bytes.load(Ordering::Acquire);
            // One request larger than the limit still passes when none waits.
            requests == 0 || (requests < WAITING.requests && bytes + len <= WAITING.bytes)
        };
        if self.gone.load(Ordering::Acquire) {
            return false;
        }
        if has_room() {
            return true;
        }
        let Some(deadline) = deadline else { return false };
        let mut state = self.lock();
        while state.deadline.is_none() && !has_room() {
            if self.room.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.deadline.is_some() || has_room()
    }

    /// Takes in its part of a request unless another thread is at it.
    pub fn try_take_in(&self, read: &Read) -> bool {
        let Some(mut state) = self.state.try_lock() else { return false };
        self.take_in(&mut state, read);
        self.leave(state);
        true
    }

    /// Leaves a request to the thread that is at the shard.
    pub fn hand_over(&self, read: Arc<Read>) {
        let mut handed = self.handed.lock();
        handed.push_back(read);
        self.handed_over.fetch_add(1, Ordering::Release);
        let many = handed.len() > MOST_HANDED;
        drop(handed);
        // With the fences in `leave` and `sleep`: a thread that has left before it could see the request is no longer at it,
        // and the shard's own sees it before it sleeps for long, or is seen to.
        fence(Ordering::SeqCst);
        let waits = many || self.dozes.load(Ordering::Acquire);
        let state = if waits { Some(self.lock()) } else { self.state.try_lock() };
        if let Some(state) = state {
            self.leave(state);
        }
    }

    /// Ends a turn at the shard: takes in what was handed over meanwhile, and wakes the thread if it sleeps for long. What
    /// is left in the end the thread finds when it looks.
    fn leave<'s>(&'s self, mut state: MutexGuard<'s, State>) {
        for turn in 1.. {
            self.take_in_handed(&mut state, MOST_HANDED);
            state.stirred = true;
            // It will find what else comes until it looks by itself.
            let dozes = self.dozes.load(Ordering::Acquire);
            if dozes {
                self.dozes.store(false, Ordering::Release);
            }
            drop(state);
            if dozes {
                self.work.notify_one();
            }
            fence(Ordering::SeqCst);
            if turn == TURNS || self.handed_over.load(Ordering::Acquire) == 0 {
                return;
            }
            // Somebody else is at it by now, or it is this thread's turn again.
            let Some(again) = self.state.try_lock() else { return };
            state = again;
        }
    }

    /// Takes in what was handed over, `most` requests at most.
    pub fn take_in_handed(&self, state: &mut State, most: usize) {
        for _ in 0..most {
            if self.handed_over.load(Ordering::Acquire) == 0 {
                return;
            }
            let Some(read) = self.handed.lock().pop_front() else { return };
            self.handed_over.fetch_sub(1, Ordering::Release);
            self.take_in(state, &read);
        }
    }

    fn take_in(&self, state: &mut State, read: &Read) {
        let Some(reading) = read.reading() else { return };
        if state.is_open() && state.waiting.is_empty() {
            state.take_in(reading, self.part, self.now());
        } else {
            self.waiting_requests.fetch_add(1, Ordering::Release);
            self.waiting_bytes.fetch_add(read.body.len(), Ordering::Release);
            state.waiting.push_back((read.body.clone(), read.items));
        }
    }

    /// Takes in what waits, as far as there is room for it.
    pub fn take_in_waiting(&self, state: &mut State, readers: &Arc<Readers>) {
        let before = state.waiting.len();
        while (state.is_open() || state.deadline.is_some())
            && let Some((body, items)) = state.waiting.pop_front()
        {
            let len = body.len();
            let read = readers.read(&Payload::traces(body, items));
            if let Some(reading) = read.reading() {
                state.take_in(reading, self.part, self.now());
            }
            self.waiting_requests.fetch_sub(1, Ordering::Release);
            self.waiting_bytes.fetch_sub(len, Ordering::Release);
        }
        if state.waiting.len() < before {
            self.room.notify_all();
        }
    }

    /// Has the thread sleep until something may be due, or a request comes.
    pub fn sleep(&self, state: &mut MutexGuard<'_, State>) {
        let soon = Instant::now() + LOOK;
        if std::mem::take(&mut state.stirred) {
            self.work.wait_until(state, soon);
            return;
        }
        let due = state.sampler.next_deadline().and_then(|due| self.instant(due));
        self.dozes.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        // Handed over while the thread was at the shard itself.
        if self.handed_over.load(Ordering::Acquire) == 0 {
            match due {
                Some(due) => drop(self.work.wait_until(state, due.max(soon))),
                None => self.work.wait(state),
            }
        }
        self.dozes.store(false, Ordering::Release);
    }

    /// The thread has ended, however it came to that: nothing is taken any more.
    pub fn end(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Has the thread decide what is held, and end. Nothing comes any more.
    pub fn stop(&self, deadline: Instant) {
        self.lock().deadline = Some(deadline);
        self.work.notify_all();
        self.room.notify_all();
    }

    /// All of what was decided is reported.
    pub fn reported(&self) {
        let mut state = self.lock();
        state.reported = state.taken;
        drop(state);
        self.reported.notify_all();
    }

    /// What is known of a trace, and at which of the sampler's times; none when it is busy for as long as `timeout`. What was
    /// decided before that time is reported by then, unless the thread waits for the next stage.
    pub fn explain(&self, trace_id: &[u8; 16], timeout: Duration) -> Option<(Duration, Known)> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.try_lock_until(deadline)?;
        self.take_in_handed(&mut state, usize::MAX);
        let answer = (self.now(), state.sampler.explain(trace_id));
        let until = state.taken + u64::from(state.has_actions());
        while state.reported < until && !state.turned_away {
            self.work.notify_one();
            if self.reported.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        self.leave(state);
        Some(answer)
    }

    /// When the stop must be over; none while running.
    pub fn give_up_at(&self) -> Option<Instant> {
        self.lock().deadline
    }
}

/// Bytes that an action holds, about.
fn weight(action: &Action) -> usize {
    match action {
        Action::Emit(emit) => emit.request.len(),
        Action::Decided(_) | Action::Late(_) => size_of::<Action>() + size_of::<Decision>(),
    }
}
