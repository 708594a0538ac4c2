//! When a connection ends: its age, its idleness, a head that does not come, the server's stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ServerOptions;

/// How long an idle connection may take to end once it was asked to.
pub(super) const CLOSE_GRACE: Duration = Duration::from_secs(10);

/// How long a connection without a request under way may take to end once the server stops: a client that has just
/// sent one is still heard, one that says nothing holds up no stop.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// How a client fares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signs {
    /// Since when the head of a request is awaited, if one is.
    pub(crate) head_since: Option<Instant>,
    /// Since when nothing has been under way, if nothing is.
    pub(crate) idle_since: Option<Instant>,
    /// The same, whether or not the head of a request is awaited.
    pub(crate) quiet_since: Option<Instant>,
}

/// What is to be done about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// Ask the client to end the connection.
    End,
    /// Close it now.
    Close,
}

/// Decides when a connection has lived long enough.
pub(crate) struct Watch {
    options: Arc<ServerOptions>,
    born: Instant,
    /// When to close what was asked to end.
    close_by: Option<Instant>,
    /// Since when the server has been stopping.
    stopped: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(options: Arc<ServerOptions>) -> Self {
        Self { options, born: Instant::now(), close_by: None, stopped: None }
    }

    /// The server stops.
    pub(crate) fn stop(&mut self) {
        self.stopped.get_or_insert_with(Instant::now);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// What is due now.
    pub(crate) fn look(&mut self, signs: Signs) -> Verdict {
        let now = Instant::now();
        let past = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if past(self.close_by) || past(self.head_deadline(signs)) || past(self.stop_deadline(signs)) {
            Verdict::Close
        } else if past(self.age_deadline()) {
            // Without a grace it ends when its requests have.
            self.close_by = Some(now + self.options.max_age_grace.unwrap_or(FOREVER));
            Verdict::End
        } else if past(self.idle_deadline(signs)) {
            self.close_within(CLOSE_GRACE);
            Verdict::End
        } else {
            Verdict::Fine
        }
    }

    /// Closes the connection after a while, whatever is under way.
    pub(crate) fn close_within(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.close_by = Some(self.close_by.map_or(deadline, |known| known.min(deadline)));
    }

    /// Closes the connection soon, whatever is under way.
    pub(crate) fn close_soon(&mut self) {
        self.close_within(CLOSE_GRACE);
    }

    /// When the connection is closed, whatever happens meanwhile.
    pub(crate) fn closes_at(&self) -> Option<Instant> {
        self.close_by
    }

    /// When something can be due at the earliest, given that anything may happen on the connection meanwhile.
    pub(crate) fn next_look(&self, signs: Signs) -> Instant {
        let now = Instant::now();
        let later = |timeout: Option<Duration>| timeout.map(|timeout| now + timeout);
        let head = self.head_deadline(signs).or_else(|| later(self.options.header_timeout));
        let idle = self.idle_deadline(signs).or_else(|| later(self.options.idle_timeout));
        let stop = self.stop_deadline(signs).or_else(|| self.stopped.map(|_| now + STOP_GRACE));
        let next = [self.close_by, head, self.age_deadline(), idle.filter(|_| self.close_by.is_none()), stop];
        next.into_iter().flatten().min().unwrap_or(now + FOREVER)
    }

    /// When a connection on which nothing is under way is closed because the server stops.
    fn stop_deadline(&self, signs: Signs) -> Option<Instant> {
        Some(self.stopped?.max(signs.quiet_since?) + STOP_GRACE)
    }

    fn head_deadline(&self, signs: Signs) -> Option<Instant> {
        Some(signs.head_since? + self.options.header_timeout?)
    }

    fn idle_deadline(&self, signs: Signs) -> Option<Instant> {
        Some(signs.idle_since? + self.options.idle_timeout?).filter(|_| self.close_by.is_none())
    }

    fn age_deadline(&self) -> Option<Instant> {
        Some(self.born + self.options.max_age?).filter(|_| self.close_by.is_none())
    }
}

/// Longer than any connection lives, short enough for the timer.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
