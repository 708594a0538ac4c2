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
pub(crate) struct Batcher {
    timeout: Duration,
    size: usize,
    max: usize,
    bodies: Vec<Bytes>,
    items: usize,
    bytes: usize,
    due: Option<Instant>,
}

impl Batcher {
    pub fn new(timeout: Duration, size: usize, max: usize) -> Self {
        Self { timeout, size, max, bodies: Vec::new(), items: 0, bytes: 0, due: None }
    }

    /// Adds a payload; says whether a batch is due because of its size.
    pub fn add(&mut self, payload: Payload, now: Instant) -> bool {
        if payload.items == 0 {
            return false;
        }
        if self.bodies.is_empty() {
            self.due = Some(now + self.timeout);
        }
        self.items += payload.items;
        self.bytes += payload.body.len();
        self.bodies.push(payload.body);
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

    /// Everything gathered, as payloads of at most `max` items each.
    pub fn take(&mut self) -> Vec<Payload> {
        self.due = None;
        let (items, bytes) = (std::mem::take(&mut self.items), std::mem::take(&mut self.bytes));
        let body = match self.bodies.as_mut_slice() {
            [] => return Vec::new(),
            [only] => std::mem::take(only),
            many => {
                let mut joined = Vec::with_capacity(bytes);
                many.iter().for_each(|body| joined.extend_from_slice(body));
                Bytes::from(joined)
            }
        };
        self.bodies.clear();
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
