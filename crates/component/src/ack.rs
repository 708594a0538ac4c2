//! The acknowledgement that travels with a payload.

use crate::refusal::{Reason, Refusal};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot::{self, error::TryRecvError};

/// How a payload fared: taken, or refused.
pub type Outcome = Result<(), Refusal>;

/// Completed exactly once: by [`Ack::accept`], by [`Ack::refuse`], or, when a stage lost it, by its drop, which
/// refuses retryably so that the sender never takes lost data for taken.
pub struct Ack(Target);

enum Target {
    None,
    Channel(oneshot::Sender<Outcome>),
    Branch(Arc<Mutex<Branches>>),
}

/// What the branches of a split acknowledgement have answered so far.
struct Branches {
    /// Whether every branch must accept, or one is enough.
    all: bool,
    left: usize,
    accepted: bool,
    refused: Option<Refusal>,
    parent: Ack,
}

impl Ack {
    /// An acknowledgement that nobody waits for.
    pub fn none() -> Self {
        Self(Target::None)
    }

    /// An acknowledgement and the future of its outcome.
    pub fn channel() -> (Self, AckFuture) {
        let (sender, receiver) = oneshot::channel();
        (Self(Target::Channel(sender)), AckFuture(receiver))
    }

    /// Says that responsibility has been taken.
    pub fn accept(mut self) {
        self.complete(Ok(()));
    }

    /// Says that the data was not taken.
    pub fn refuse(mut self, refusal: Refusal) {
        self.complete(Err(refusal));
    }

    /// One acknowledgement for each of `branches`. The whole is accepted as soon as all have answered and at
    /// least one has accepted: one full branch must not make the client repeat what another already has.
    pub fn fan_out(self, branches: usize) -> Vec<Self> {
        self.split(branches, false)
    }

    /// One acknowledgement for each of `parts` of the data; the whole is accepted when every part is.
    pub fn split_parts(self, parts: usize) -> Vec<Self> {
        self.split(parts, true)
    }

    /// Undoes a split of which no branch has answered yet.
    pub(crate) fn reunite(branches: Vec<Self>) -> Self {
        let mut whole = Self::none();
        for mut branch in branches {
            match std::mem::replace(&mut branch.0, Target::None) {
                Target::Branch(state) => {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    let parent = std::mem::replace(&mut state.parent, Self::none());
                    if !matches!(parent.0, Target::None) {
                        whole = parent;
                    }
                }
                target => whole = Self(target),
            }
        }
        whole
    }

    fn split(self, count: usize, all: bool) -> Vec<Self> {
        if matches!(self.0, Target::None) {
            return (0..count).map(|_| Self::none()).collect();
        }
        if count == 1 {
            return vec![self];
        }
        let state = Branches { all, left: count, accepted: false, refused: None, parent: self };
        let state = Arc::new(Mutex::new(state));
        // With no branches the parent is dropped here and refuses: there was nobody to take the data.
        (0..count).map(|_| Self(Target::Branch(Arc::clone(&state)))).collect()
    }

    fn complete(&mut self, outcome: Outcome) {
        match std::mem::replace(&mut self.0, Target::None) {
            Target::None => {}
            // The client may have gone away: then nobody needs to know.
            Target::Channel(sender) => drop(sender.send(outcome)),
            Target::Branch(state) => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.settle(outcome);
            }
        }
    }
}

impl Branches {
    fn settle(&mut self, outcome: Outcome) {
        self.left -= 1;
        match outcome {
            Ok(()) => self.accepted = true,
            // A permanent refusal of one part is final for the whole; else the first one speaks.
            Err(refusal)
                if self.refused.as_ref().is_none_or(|known| known.retryable && !refusal.retryable) =>
            {
                self.refused = Some(refusal);
            }
            Err(_) => {}
        }
        if self.left == 0 {
            let outcome = match self.refused.take() {
                Some(refusal) if self.all || !self.accepted => Err(refusal),
                _ => Ok(()),
            };
            self.parent.complete(outcome);
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if !matches!(self.0, Target::None) {
            self.complete(Err(Refusal::retryable(
                Reason::Internal,
                "a stage stopped before it took the data",
            )));
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self.0, Target::None) { "Ack(none)" } else { "Ack(pending)" })
    }
}

/// The outcome of an [`Ack`], when it comes.
#[derive(Debug)]
pub struct AckFuture(oneshot::Receiver<Outcome>);

impl AckFuture {
    /// The outcome if it is there already; it is handed out once.
    pub fn now(&mut self) -> Option<Outcome> {
        match self.0.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(lost())),
        }
    }
}

impl Future for AckFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.0).poll(context).map(|received| received.unwrap_or_else(|_| Err(lost())))
    }
}

/// An `Ack` always answers, if only from its drop; this is for the compiler.
fn lost() -> Refusal {
    Refusal::retryable(Reason::Internal, "the acknowledgement was lost")
}
