//! One payload to several consumers: its bytes are shared, and no consumer waits for another.

use crate::ack::Ack;
use crate::consumer::{Consumer, Refused};
use crate::payload::Payload;
use crate::refusal::{Reason, Refusal};
use forebay_telemetry::Counter;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a sender waits before it tries a fan-out again that an exporter holds back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One way out of a fan-out.
pub struct Branch {
    consumer: Arc<dyn Consumer>,
    missed: Counter,
    /// What a branch that holds the others back has not taken yet: one payload for each sender at most.
    parked: Mutex<VecDeque<Payload>>,
}

impl Branch {
    /// A branch to `consumer`; `missed` counts the items it had no room for while another branch took them.
    pub fn new(consumer: Arc<dyn Consumer>, missed: Counter) -> Self {
        Self { consumer, missed, parked: Mutex::default() }
    }

    fn parked(&self) -> MutexGuard<'_, VecDeque<Payload>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the branch what is parked for it; false while it still does not fit.
    fn unpark(&self, give: &Give<'_>) -> bool {
        let mut parked = self.parked();
        while let Some(payload) = parked.pop_front() {
            match give(self.consumer.as_ref(), payload) {
                Ok(()) => {}
                Err(refused) if refused.refusal.retryable => {
                    parked.push_front(*refused.payload);
                    return false;
                }
                Err(refused) => self.missed.inc_by(refused.payload.items as u64),
            }
        }
        true
    }

    /// Another branch has the payload, this one refused it: it misses it, or everybody waits for it.
    fn left_behind(&self, refused: Refused) {
        if refused.refusal.retryable && self.consumer.holds_back() {
            let mut payload = *refused.payload;
            std::mem::replace(&mut payload.ack, Ack::none()).accept();
            self.parked().push_back(payload);
        } else {
            self.missed.inc_by(refused.payload.items as u64);
            refused.refuse();
        }
    }
}

type Give<'a> = dyn Fn(&dyn Consumer, Payload) -> Result<(), Refused> + 'a;

/// Gives each payload to every branch.
///
/// The fan-out takes what at least one branch takes. A branch that refuses while another accepts misses the payload,
/// which is counted: a backend that is down must not hold up the others (promise 6), nor make the client send again
/// what the others already have. Only a branch that asks for it ([`Consumer::holds_back`]) makes everybody wait. When
/// every branch refuses, the payload goes back to the caller, whole.
pub struct FanOut {
    branches: Vec<Branch>,
}

impl FanOut {
    /// A fan-out to `branches`.
    pub fn new(branches: Vec<Branch>) -> Self {
        Self { branches }
    }

    /// Delivers what is parked for branches that hold back, until `deadline`; for a stop, once no more comes in.
    /// Returns the items given up, which are counted.
    pub fn flush(&self, deadline: Instant) -> u64 {
        let mut lost = 0;
        for branch in &self.branches {
            while !branch.unpark(&|consumer, payload| {
                consumer.consume_wait(payload, deadline.saturating_duration_since(Instant::now()))
            }) {
                if Instant::now() >= deadline {
                    let items = branch.parked().drain(..).map(|payload| payload.items as u64).sum();
                    branch.missed.inc_by(items);
                    lost += items;
                }
            }
        }
        lost
    }

    fn give(&self, mut payload: Payload, give: &Give<'_>) -> Result<(), Refused> {
        if let [only] = self.branches.as_slice() {
            return give(only.consumer.as_ref(), payload);
        }
        for branch in &self.branches {
            if !branch.unpark(give) {
                let refusal =
                    Refusal::retryable(Reason::QueueFull, "an exporter with block_on_overflow is full");
                return Err(Refused::new(payload, refusal.after(RETRY_AFTER)));
            }
        }
        let ack = std::mem::replace(&mut payload.ack, Ack::none());
        let acks = ack.fan_out(self.branches.len());
        let mut refusals = Vec::new();
        for (branch, ack) in self.branches.iter().zip(acks) {
            let copy = Payload {
                signal: payload.signal,
                body: payload.body.clone(),
                items: payload.items,
                index: payload.index.clone().filter(|_| branch.consumer.wants_index()),
                origin: Arc::clone(&payload.origin),
                ack,
            };
            if let Err(refused) = give(branch.consumer.as_ref(), copy) {
                refusals.push((branch, refused));
            }
        }
        if refusals.len() < self.branches.len() {
            refusals.into_iter().for_each(|(branch, refused)| branch.left_behind(refused));
            return Ok(());
        }
        // The refusal that may pass speaks for all: trying again can then help.
        let mut spoken: Option<Refusal> = None;
        let mut acks = Vec::with_capacity(refusals.len());
        for (_, refused) in refusals {
            acks.push(refused.payload.ack);
            if spoken.as_ref().is_none_or(|known| !known.retryable) {
                spoken = Some(refused.refusal);
            }
        }
        match spoken {
            Some(refusal) => Err(Refused::new(payload.with_ack(Ack::reunite(acks)), refusal)),
            None => Ok(()), // no branches: a pipeline always has an exporter
        }
    }
}

impl Consumer for FanOut {
    fn wants_index(&self) -> bool {
        self.branches.iter().any(|branch| branch.consumer.wants_index())
    }

    fn consume(&self, payload: Payload) -> Result<(), Refused> {
        self.give(payload, &|branch, payload| branch.consume(payload))
    }

    fn consume_wait(&self, payload: Payload, timeout: Duration) -> Result<(), Refused> {
        // Nobody waits while another could take it: only when all are full is waiting of any use.
        match self.consume(payload) {
            Err(refused) if refused.refusal.retryable => {
                self.give(*refused.payload, &|branch, payload| branch.consume_wait(payload, timeout))
            }
            done => done,
        }
    }
}
