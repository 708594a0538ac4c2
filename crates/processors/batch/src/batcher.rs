//! The batching rules, without threads or clocks.

use bytes::Bytes;
use forebay_component::Payload;
use std::time::{Duration, Instant};

/// Why a batch was sent; names the collector's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    Size,
    Timeout,
    Stop,
}

/// Gathers payloads and says when they are due.
#[derive(Debug)]
pub struct Batcher {
    timeout: Duration,
    size: usize,
    max: usize,
    body: Body,
    items: usize,
    /// Bytes of the last batch: room for as much is made at once for the next one.
    usual: usize,
    due: Option<Instant>,
}

/// Requests one behind the other.
#[derive(Debug)]
enum Body {
    /// A request that stays alone is passed on as it is; so is none.
    Shared(Bytes),
    /// Each is copied when it comes: its bytes are in the cache then, and its own memory is free again at once.
    Joined(Vec<u8>),
}

impl Batcher {
    /// Nothing gathered yet; `max` 0: no limit on a batch's items.
    pub fn new(timeout: Duration, size: usize, max: usize) -> Self {
        Self { timeout, size, max, body: Body::Shared(Bytes::new()), items: 0, usual: 0, due: None }
    }

    /// Adds a payload; says whether a batch is due because of its size. `now` is asked for the first of a batch.
    pub fn add(&mut self, payload: Payload, now: impl FnOnce() -> Instant) -> bool {
        if payload.items == 0 {
            return false;
        }
        if self.items == 0 {
            self.due = Some(now() + self.timeout);
        }
        self.items += payload.items;
        match &mut self.body {
            Body::Joined(joined) => joined.extend_from_slice(&payload.body),
            Body::Shared(first) if first.is_empty() => *first = payload.body,
            Body::Shared(first) => {
                let mut joined = Vec::with_capacity(self.usual.max(first.len() + payload.body.len()));
                joined.extend_from_slice(first);
                joined.extend_from_slice(&payload.body);
                self.body = Body::Joined(joined);
            }
        }
        self.timeout.is_zero() || self.items >= self.size
    }

    /// When the oldest span has waited long enough; none when nothing waits.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Items that wait.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        match &self.body {
            Body::Shared(only) => only.len(),
            Body::Joined(joined) => joined.len(),
        }
    }

    /// Everything gathered, as payloads of at most `max` items each.
    pub fn take(&mut self) -> Vec<Payload> {
        self.due = None;
        let items = std::mem::take(&mut self.items);
        if items == 0 {
            return Vec::new();
        }
        let body = match std::mem::replace(&mut self.body, Body::Shared(Bytes::new())) {
            Body::Shared(only) => only,
            Body::Joined(joined) => {
                self.usual = joined.len() + joined.len() / 16;
                Bytes::from(joined)
            }
        };
        if self.max == 0 || items <= self.max {
            return vec![Payload::traces(body, items)];
        }
        forebay_otlp::splice::split(&body, self.max)
            .into_iter()
            .map(|part| {
                let items = forebay_otlp::splice::count_spans(&part);
                Payload::traces(part, items)
            })
            .collect()
    }
}
