//! Vectors in huge pages against those of the standard library.

use proptest::prelude::*;

use crate::{HUGE_PAGE, HugePages, HugeVec, append, prefetch};

#[derive(Clone, Debug)]
enum Step {
    Push(u32),
    Reserve(usize),
    Truncate(prop::sample::Index),
    Shrink,
    Clone,
}

fn step() -> impl Strategy<Value = Step> {
    // Up to two huge pages of 8-byte numbers, so that sizes around every bound occur.
    prop_oneof![
        4 => (0..300_000_u32).prop_map(Step::Push),
        3 => (0..600_000_usize).prop_map(Step::Reserve),
        2 => any::<prop::sample::Index>().prop_map(Step::Truncate),
        2 => Just(Step::Shrink),
        1 => Just(Step::Clone),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever grows, shrinks and moves, contents stay.
    #[test]
    fn a_vector_is_what_the_standard_one_is(steps in prop::collection::vec(step(), 1..30)) {
        let (mut ours, mut theirs) = (HugeVec::<u64>::new_in(HugePages), Vec::<u64>::new());
        for step in steps {
            match step {
                Step::Push(count) => {
                    let numbers = theirs.len() as u64..theirs.len() as u64 + u64::from(count);
                    ours.extend(numbers.clone());
                    theirs.extend(numbers);
                }
                Step::Reserve(more) => ours.reserve_exact(more),
                Step::Truncate(at) => {
                    let len = at.index(theirs.len() + 1);
                    ours.truncate(len);
                    theirs.truncate(len);
                }
                Step::Shrink => ours.shrink_to_fit(),
                Step::Clone => ours = ours.clone(),
            }
            prop_assert!(ours.as_slice() == theirs.as_slice());
        }
    }
}

proptest! {
    #[test]
    fn what_is_appended_follows_what_is_there(pieces in prop::collection::vec(0..(HUGE_PAGE / 2), 0..8)) {
        let (mut ours, mut theirs) = (HugeVec::<u8>::new_in(HugePages), Vec::<u8>::new());
        for (number, len) in pieces.into_iter().enumerate() {
            let piece = vec![number as u8; len];
            append(&mut ours, &piece);
            theirs.extend_from_slice(&piece);
        }
        prop_assert!(ours.as_slice() == theirs.as_slice());
    }
}

#[test]
fn sizes_around_a_huge_page() {
    for len in [1, HUGE_PAGE - 1, HUGE_PAGE, HUGE_PAGE + 1, 3 * HUGE_PAGE - 1, 3 * HUGE_PAGE] {
        let mut bytes = HugeVec::<u8>::with_capacity_in(len, HugePages);
        bytes.resize(len, 7);
        assert!(bytes.iter().all(|&byte| byte == 7));
        bytes.reserve_exact(HUGE_PAGE);
        assert!(bytes.len() == len && bytes.iter().all(|&byte| byte == 7));
        bytes.resize(len + HUGE_PAGE, 8);
        assert_eq!((bytes[len - 1], bytes[len], bytes[len + HUGE_PAGE - 1]), (7, 8, 8));
    }
}

#[test]
fn what_needs_a_large_alignment_gets_it() {
    #[repr(align(8192))]
    struct Aligned([u8; 8192]);
    let mut items = HugeVec::new_in(HugePages);
    for number in 0..600_u64 {
        items.push(Aligned([number as u8; 8192]));
    }
    for (number, item) in items.iter().enumerate() {
        assert_eq!(std::ptr::from_ref(item).addr() % 8192, 0);
        assert_eq!(item.0[8191], number as u8);
    }
}

#[test]
fn nothing_takes_no_memory() {
    let mut units = HugeVec::<()>::new_in(HugePages);
    units.resize(10_000_000, ());
    assert_eq!(HugeVec::<u64>::new_in(HugePages).capacity(), 0);
    assert_eq!(units.len(), 10_000_000);
}

#[test]
fn what_is_fetched_ahead_stays_as_it_is() {
    let items: Vec<[u64; 40]> = (0..100).map(|number| [number; 40]).collect();
    items.iter().for_each(prefetch);
    prefetch(&());
    assert!(items.iter().zip(0..).all(|(item, number)| *item == [number; 40]));
}
