//! An acknowledgement answers exactly once, whatever becomes of its payload.

use super::*;
use proptest::prelude::*;

fn now(mut future: AckFuture) -> Option<Outcome> {
    let waker = std::task::Waker::noop();
    match std::pin::Pin::new(&mut future).poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(outcome) => Some(outcome),
        std::task::Poll::Pending => None,
    }
}

fn full() -> Refusal {
    Refusal::retryable(Reason::QueueFull, "full")
}

#[test]
fn dropping_an_ack_refuses_retryably() {
    let (ack, future) = Ack::channel();
    drop(ack);
    assert!(matches!(now(future), Some(Err(refusal)) if refusal.retryable));
    let (ack, future) = Ack::channel();
    drop(ack.split_parts(0));
    assert!(matches!(now(future), Some(Err(_))));
}

#[test]
fn nested_splits_answer_the_client() {
    let (ack, future) = Ack::channel();
    let mut branches = ack.fan_out(2);
    let parts = branches.pop().unwrap().split_parts(2);
    branches.pop().unwrap().refuse(full());
    parts.into_iter().for_each(Ack::accept);
    assert_eq!(now(future), Some(Ok(())));
}

proptest! {
    /// 0 accepts, 1 refuses retryably, 2 refuses for good, 3 drops.
    #[test]
    fn splits_follow_their_rule(answers in prop::collection::vec(0u8..4, 1..8), all: bool) {
        let (ack, future) = Ack::channel();
        let branches = if all { ack.split_parts(answers.len()) } else { ack.fan_out(answers.len()) };
        prop_assert_eq!(branches.len(), answers.len());
        for (branch, answer) in branches.into_iter().zip(&answers) {
            match answer {
                0 => branch.accept(),
                1 => branch.refuse(full()),
                2 => branch.refuse(Refusal::permanent(Reason::Rejected, "no")),
                _ => drop(branch),
            }
        }
        let outcome = now(future).unwrap();
        let accepted = answers.iter().filter(|answer| **answer == 0).count();
        prop_assert_eq!(outcome.is_ok(), if all { accepted == answers.len() } else { accepted > 0 });
        if let Err(refusal) = outcome {
            prop_assert_eq!(refusal.retryable, !answers.contains(&2));
        }
    }
}
