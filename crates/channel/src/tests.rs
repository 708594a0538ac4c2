//! Bounds, closing and wake-ups, without sleeping.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Debug, PartialEq, Eq, Clone)]
struct Item(usize);

impl Weigh for Item {
    fn weight(&self) -> usize {
        self.0
    }
}

#[test]
fn full_in_items_or_bytes_hands_the_item_back() {
    let (tx, rx) = bounded(Limits { items: 2, bytes: 100 });
    tx.try_send(Item(60)).unwrap();
    assert_eq!(tx.try_send(Item(41)), Err(SendError::Full(Item(41))));
    tx.try_send(Item(40)).unwrap();
    assert_eq!(tx.try_send(Item(0)), Err(SendError::Full(Item(0))));
    assert_eq!((tx.depth().items(), tx.depth().bytes()), (2, 100));
    assert_eq!(rx.try_recv(), Ok(Item(60)));
    tx.try_send(Item(60)).unwrap();
}

#[test]
fn an_oversized_item_passes_an_empty_channel_only() {
    let (tx, rx) = bounded(Limits { items: 4, bytes: 10 });
    tx.try_send(Item(50)).unwrap();
    assert!(matches!(tx.try_send(Item(1)), Err(SendError::Full(_))));
    rx.try_recv().unwrap();
    tx.try_send(Item(1)).unwrap();
}

#[test]
fn closing_either_end_is_seen_by_the_other() {
    let (tx, rx) = bounded(Limits { items: 4, bytes: 10 });
    tx.try_send(Item(1)).unwrap();
    drop(tx);
    assert_eq!(rx.try_recv(), Ok(Item(1)));
    assert_eq!(rx.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected));

    let (tx, rx) = bounded(Limits { items: 4, bytes: 10 });
    drop(rx);
    assert_eq!(tx.try_send(Item(1)), Err(SendError::Closed(Item(1))));
    assert_eq!((tx.depth().items(), tx.depth().bytes()), (0, 0));
}

#[test]
fn a_waiting_sender_wakes_when_room_appears() {
    let (tx, rx) = bounded(Limits { items: 1, bytes: 10 });
    tx.try_send(Item(1)).unwrap();
    assert!(matches!(tx.send_timeout(Item(2), Duration::ZERO), Err(SendError::Full(_))));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| tx.send_timeout(Item(2), Duration::from_secs(60)));
        assert_eq!(rx.recv_deadline(std::time::Instant::now() + Duration::from_secs(60)), Ok(Item(1)));
        assert_eq!(rx.recv_deadline(std::time::Instant::now() + Duration::from_secs(60)), Ok(Item(2)));
        assert_eq!(waiter.join().unwrap(), Ok(()));
    });
}

proptest! {
    #[test]
    fn behaves_like_a_bounded_queue(
        items in 1usize..6, bytes in 0usize..50, steps in prop::collection::vec(prop::option::of(0usize..40), 0..200)
    ) {
        let (tx, rx) = bounded(Limits { items, bytes });
        let mut model: VecDeque<usize> = VecDeque::new();
        for step in steps {
            if let Some(weight) = step {
                let held: usize = model.iter().sum();
                let fits = model.len() < items && (held == 0 || held + weight <= bytes);
                let sent = tx.try_send(Item(weight));
                prop_assert_eq!(sent.is_ok(), fits);
                if fits { model.push_back(weight); }
            } else {
                prop_assert_eq!(rx.try_recv().ok().map(|item| item.0), model.pop_front());
            }
            prop_assert_eq!(rx.depth().items(), model.len());
            prop_assert_eq!(rx.depth().bytes(), model.iter().sum::<usize>());
        }
    }
}
