//! The index against a plain map.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use proptest::prelude::*;

use super::support::id;
use crate::index::{Index, Place};

#[derive(Clone, Debug)]
enum Step {
    Insert(u64, u8),
    Change(prop::sample::Index, u8),
    Remove(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..400_u64, 0..3_u8).prop_map(|(trace, kind)| Step::Insert(trace, kind)),
        1 => (any::<prop::sample::Index>(), 0..3_u8).prop_map(|(which, kind)| Step::Change(which, kind)),
        2 => any::<prop::sample::Index>().prop_map(Step::Remove),
    ]
}

fn place(kind: u8, number: u32) -> Place {
    [Place::Held(number), Place::Kept(number), Place::Dropped(number)][usize::from(kind)]
}

proptest! {
    #[test]
    fn it_finds_what_a_map_does(steps in prop::collection::vec(step(), 0..800), seed: u64) {
        let mut index = Index::new(seed);
        // By trace: its place. Every place has another number.
        let mut known: BTreeMap<u64, Place> = BTreeMap::new();
        for (number, step) in (0..).zip(steps) {
            let trace = match step {
                Step::Insert(trace, kind) => {
                    let Entry::Vacant(entry) = known.entry(trace) else { continue };
                    index.insert(&id(trace), *entry.insert(place(kind, number)));
                    trace
                }
                Step::Change(which, kind) if !known.is_empty() => {
                    let which = which.index(known.len());
                    let (trace, before) = known.iter_mut().nth(which).unwrap();
                    let from = std::mem::replace(before, place(kind, number));
                    index.change(&id(*trace), from, *before);
                    *trace
                }
                Step::Remove(which) if !known.is_empty() => {
                    let trace = *known.keys().nth(which.index(known.len())).unwrap();
                    let place = known.remove(&trace).unwrap();
                    index.remove(&id(trace), place);
                    trace
                }
                _ => continue,
            };
            // While it grows as well.
            for trace in if number % 16 == 0 { 0..400 } else { trace..trace + 1 } {
                let found = index.find(index.hash(&id(trace)), |place| known.get(&trace) == Some(&place));
                prop_assert_eq!(found, known.get(&trace).copied());
            }
        }
        // A table, and the one before while it moves.
        prop_assert!(index.memory() <= (1024 + 512) * 8);
    }
}

#[test]
fn hashes_that_are_alike_are_told_by_the_place() {
    let mut index = Index::new(1);
    let ids = [id(1), id(2), id(3)];
    let places = [Place::Held(7), Place::Kept(7), Place::Dropped(u32::MAX)];
    // Three traces of the same hash: each is inserted by the first's.
    places.iter().for_each(|place| index.insert(&ids[0], *place));
    let hash = index.hash(&ids[0]);
    for place in places {
        assert_eq!(index.find(hash, |other| other == place), Some(place));
    }
    index.change(&ids[0], Place::Kept(7), Place::Dropped(9));
    index.remove(&ids[0], Place::Held(7));
    assert_eq!(index.find(hash, |_| true).map(|_| ()), Some(()));
    for (place, found) in
        [(Place::Held(7), false), (Place::Dropped(9), true), (Place::Dropped(u32::MAX), true)]
    {
        assert_eq!(index.find(hash, |other| other == place).is_some(), found);
    }
    assert_eq!(index.find(index.hash(&ids[1]), |_| true), None);
}
