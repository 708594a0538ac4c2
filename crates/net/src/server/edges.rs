//! Which of a server's threads serves which connection.
//!
//! Connections of calls share one thread for as long as it can carry them: what all of them need then stays in the caches
//! of one core, nobody waits for another's lock, and one wake-up serves several. When the thread has nearly a core to
//! itself, they move to the one with the least to do, one at a time; when there is little to do, they come back. Other
//! connections stay where they began, and each thread gets as many.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;

/// For how long a thread is watched before it is judged, and how often the same has to be found before anything moves.
#[derive(Clone, Copy, Debug)]
struct Patience {
    window: Duration,
    /// That it is full: a burst passes.
    full: u32,
    /// That it could have been done without.
    calm: u32,
}

const PATIENCE: Patience = Patience { window: Duration::from_millis(250), full: 4, calm: 20 };

/// A thread that runs for so many thousandths of the time is full.
const FULL: u32 = 900;
/// One to which a connection moves from there has so much less to do.
const LESS: u32 = 250;
/// Two that do no more than this together could be one.
const LITTLE: u32 = 500;
/// A thread that does more than this gets no new connections if another does less.
const BUSY: u32 = 600;

/// No connection.
const NOBODY: u64 = 0;

/// The threads that a server has for its connections.
#[derive(Debug)]
pub(crate) struct Edges {
    edges: Vec<Edge>,
    started: Instant,
    patience: Patience,
    /// For how long the current thread has run.
    clock: fn() -> Duration,
    connections: AtomicU64,
}

#[derive(Debug)]
struct Edge {
    runtime: Handle,
    /// Connections that stay.
    settled: AtomicUsize,
    /// When its window began, in nanoseconds since the start, and how long it had run by then.
    began: AtomicU64,
    ran: AtomicU64,
    /// How much of its last window it ran, in thousandths.
    share: AtomicU32,
    /// For how many windows it has been full, and for how many it could have been done without.
    strain: AtomicU32,
    calm: AtomicU32,
    /// The connection that was served last in this window, and whether there were others.
    served: AtomicU64,
    several: AtomicBool,
}

impl Edges {
    /// None without a thread.
    pub(crate) fn new(runtimes: &[Handle]) -> Option<Arc<Self>> {
        Self::with(runtimes, PATIENCE, ran)
    }

    fn with(runtimes: &[Handle], patience: Patience, clock: fn() -> Duration) -> Option<Arc<Self>> {
        let edge = |runtime: &Handle| Edge {
            runtime: runtime.clone(),
            settled: AtomicUsize::new(0),
            began: AtomicU64::new(0),
            ran: AtomicU64::new(0),
            share: AtomicU32::new(0),
            strain: AtomicU32::new(0),
            calm: AtomicU32::new(0),
            served: AtomicU64::new(NOBODY),
            several: AtomicBool::new(false),
        };
        let edges: Vec<Edge> = runtimes.iter().map(edge).collect();
        let (started, connections) = (Instant::now(), AtomicU64::new(NOBODY));
        (!edges.is_empty()).then(|| Arc::new(Self { edges, started, patience, clock, connections }))
    }

    /// A place for a new connection: one that may move, or one of equal parts.
    pub(crate) fn seat(self: &Arc<Self>, moves: bool) -> Seat {
        let now = self.since_start(Instant::now());
        let shares = (0..self.edges.len()).map(|at| self.share(at, now));
        let at = if moves {
            let free = shares.clone().position(|share| share < BUSY);
            free.or_else(|| shares.enumerate().min_by_key(|(_, share)| *share).map(|(at, _)| at))
        } else {
            let settled = self.edges.iter().map(|edge| edge.settled.load(Relaxed));
            settled.enumerate().min_by_key(|(_, settled)| *settled).map(|(at, _)| at)
        };
        let at = at.unwrap_or(0);
        self.edges[at].settled.fetch_add(usize::from(!moves), Relaxed);
        let number = self.connections.fetch_add(1, Relaxed) + 1;
        Seat { edges: Arc::clone(self), at, moves, number, moved: Arc::default() }
    }

    fn since_start(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.started))
    }

    /// What a thread does, in thousandths of what it could; nothing if it has not been heard of for long.
    fn share(&self, at: usize, now: u64) -> u32 {
        let edge = &self.edges[at];
        let fresh = now.saturating_sub(edge.began.load(Relaxed)) <= 4 * nanos(self.patience.window);
        if fresh { edge.share.load(Relaxed) } else { 0 }
    }

    /// Ends the window of the current thread, which is `at`: where one of its connections should go.
    fn judge(&self, at: usize, now: u64) -> Option<usize> {
        let edge = &self.edges[at];
        let ran = nanos((self.clock)());
        let lasted = now.saturating_sub(edge.began.swap(now, Relaxed));
        let run = ran.saturating_sub(edge.ran.swap(ran, Relaxed));
        let share = (u128::from(run) * 1000 / u128::from(lasted.max(1))).min(1000) as u32;
        edge.share.store(share, Relaxed);
        edge.served.store(NOBODY, Relaxed);
        let several = edge.several.swap(false, Relaxed);
        let shares: Vec<u32> = (0..self.edges.len()).map(|at| self.share(at, now)).collect();
        let strained = count(&edge.strain, share >= FULL) >= self.patience.full;
        let with_room = with_room(&shares, at);
        let calm = count(&edge.calm, with_room.is_some()) >= self.patience.calm;
        if strained { less_busy(&shares, at).filter(|_| several) } else { with_room.filter(|_| calm) }
    }
}

/// Counts how often something has held in a row.
fn count(times: &AtomicU32, holds: bool) -> u32 {
    let counted = if holds { times.load(Relaxed).saturating_add(1) } else { 0 };
    times.store(counted, Relaxed);
    counted
}

/// The thread with the least to do, if that is much less than `at` has.
fn less_busy(shares: &[u32], at: usize) -> Option<usize> {
    let (other, share) = shares.iter().enumerate().min_by_key(|(_, share)| **share)?;
    (share + LESS <= *shares.get(at)?).then_some(other)
}

/// The first thread before `at` that could do the work of both.
fn with_room(shares: &[u32], at: usize) -> Option<usize> {
    let own = *shares.get(at)?;
    shares.get(..at)?.iter().position(|share| share + own <= LITTLE)
}

/// A connection's place on a thread, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    edges: Arc<Edges>,
    at: usize,
    moves: bool,
    number: u64,
    /// It has changed threads, and its socket does not know yet.
    moved: Arc<AtomicBool>,
}

impl Seat {
    /// The runtime of the thread.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.edges.edges[self.at].runtime
    }

    /// Set when it has changed: for [`Socket`](super::socket::Socket).
    pub(crate) fn moved(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.moved)
    }

    /// To be asked on its thread whenever the connection has something to do: true when it should go on elsewhere, at
    /// [`Self::runtime`].
    #[inline]
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        let edge = &self.edges.edges[self.at];
        let served = edge.served.load(Relaxed);
        if served != self.number {
            edge.served.store(self.number, Relaxed);
            edge.several.fetch_or(served != NOBODY, Relaxed);
        }
        let now = self.edges.since_start(now);
        if now.saturating_sub(edge.began.load(Relaxed)) < nanos(self.edges.patience.window) {
            return false;
        }
        match self.edges.judge(self.at, now) {
            Some(other) => {
                tracing::debug!(from = self.at, to = other, "a connection moves to another thread");
                self.at = other;
                self.moved.store(true, Relaxed);
                true
            }
            None => false,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.edges.edges[self.at].settled.fetch_sub(usize::from(!self.moves), Relaxed);
    }
}

fn ran() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
