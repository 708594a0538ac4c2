//! One payload to several consumers: its bytes are shared, and no consumer waits for another.

use crate::ack::Ack;
use crate::consumer::{Consumer, Refused};
use crate::payload::Payload;
use forebay_telemetry::Counter;
use std::sync::Arc;
use std::time::Duration;

/// One way out of a fan-out.
pub struct Branch {
    /// Where it leads.
    pub consumer: Arc<dyn Consumer>,
    /// Counts items that this branch had no room for while another took them.
    pub missed: Counter,
}

/// Gives each payload to every branch.
///
/// The fan-out takes what at least one branch takes. A branch that refuses while another accepts misses the payload,
/// which is counted: a backend that is down must not hold up the others (promise 6), nor make the client send again
/// what the others already have. When every branch refuses, the payload goes back to the caller, whole.
pub struct FanOut {
    branches: Vec<Branch>,
}

impl FanOut {
    /// A consumer that feeds all of `branches`; a single one is used as it is.
    pub fn join(mut branches: Vec<Branch>) -> Arc<dyn Consumer> {
        match branches.pop() {
            Some(only) if branches.is_empty() => only.consumer,
            last => {
                branches.extend(last);
                Arc::new(Self { branches })
            }
        }
    }

    fn give(
        &self,
        mut payload: Payload,
        give: impl Fn(&dyn Consumer, Payload) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let ack = std::mem::replace(&mut payload.ack, Ack::none());
        let acks = ack.fan_out(self.branches.len());
        let mut refusals = Vec::new();
        for (branch, ack) in self.branches.iter().zip(acks) {
            let copy = Payload {
                signal: payload.signal,
                body: payload.body.clone(),
                items: payload.items,
                origin: Arc::clone(&payload.origin),
                ack,
            };
            if let Err(refused) = give(branch.consumer.as_ref(), copy) {
                refusals.push((branch, refused));
            }
        }
        if refusals.len() < self.branches.len() {
            for (branch, refused) in refusals {
                branch.missed.inc_by(refused.payload.items as u64);
                refused.refuse();
            }
            return Ok(());
        }
        // The refusal that may pass speaks for all: trying again can then help.
        let mut worst = None;
        let mut acks = Vec::with_capacity(refusals.len());
        for (_, refused) in refusals {
            acks.push(refused.payload.ack);
            if worst.as_ref().is_none_or(|known: &crate::Refusal| !known.retryable) {
                worst = Some(refused.refusal);
            }
        }
        match worst {
            Some(refusal) => Err(Refused::new(payload.with_ack(Ack::reunite(acks)), refusal)),
            None => Ok(()), // no branches: a pipeline always has an exporter
        }
    }
}

impl Consumer for FanOut {
    fn consume(&self, payload: Payload) -> Result<(), Refused> {
        self.give(payload, |branch, payload| branch.consume(payload))
    }

    fn consume_wait(&self, payload: Payload, timeout: Duration) -> Result<(), Refused> {
        // Nobody waits while another could take it: only when all are full is waiting of any use.
        match self.consume(payload) {
            Err(refused) if refused.refusal.retryable => {
                self.give(*refused.payload, |branch, payload| branch.consume_wait(payload, timeout))
            }
            done => done,
        }
    }
}
