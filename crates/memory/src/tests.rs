//! Vectors in huge pages against those of the standard library.

use proptest::prelude::*;

use crate::{HUGE_PAGE, HugePages, HugeVec, append, prefetch, zeroes};

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

/// Small and large ones, and as good as any vector.
#[test]
fn zeroes_are_zero_and_can_be_added_to() {
    for len in [0, 1, 64, HUGE_PAGE / 8 - 1, HUGE_PAGE / 8, HUGE_PAGE] {
        let mut zeroes = zeroes(len);
        assert!(zeroes.len() == len && zeroes.iter().all(|number| *number == 0));
        zeroes.push(7);
        assert_eq!((zeroes.iter().sum::<u64>(), zeroes.len()), (7, len + 1));
    }
}

#[cfg(target_os = "linux")]
mod program {
    use std::path::Path;

    use crate::forget_start;
    use crate::program::as_in_file;

    /// As the system writes it, shortened; the program's name has a space.
    const SMAPS: &str = "\
561904a82000-561904eae000 r--p 00000000 fe:00 9978085                    /opt/for e/bay
Size:               4272 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
561904eae000-56190591f000 r-xp 0042b000 fe:00 9978085                    /opt/for e/bay
Anonymous:             0 kB
56190591f000-5619059b7000 r--p 00e9b000 fe:00 9978085                    /opt/for e/bay
Anonymous:           608 kB
5619059b7000-5619059bb000 rw-p 00f32000 fe:00 9978085                    /opt/for e/bay
Anonymous:             0 kB
5619059bb000-5619059bc000 r--s 00f32000 fe:00 9978085                    /opt/for e/bay
Anonymous:             0 kB
7f54d3733000-7f54d3734000 r--p 00000000 fe:00 325835                     /usr/lib/ld-linux-x86-64.so.2
Anonymous:             0 kB
7f54d3800000-7f54d3801000 r--p 00000000 00:00 0
Anonymous:             0 kB
7ffc7d9fe000-7ffc7da1f000 rw-p 00000000 00:00 0                          [stack]
Anonymous:            16 kB
";

    #[test]
    fn only_what_is_as_in_the_programs_file_is_given_up() {
        let ranges = as_in_file(SMAPS, Path::new("/opt/for e/bay"));
        assert_eq!(ranges, [0x5619_04a8_2000..0x5619_04ea_e000, 0x5619_04ea_e000..0x5619_0591_f000]);
        assert_eq!(as_in_file(SMAPS, Path::new("/opt/for")), []);
        assert_eq!(as_in_file("garbage\n\n-- -\nAnonymous: 0 kB", Path::new("/opt/for")), []);
    }

    /// Constants and code are what they were.
    #[test]
    fn a_program_goes_on_without_its_start() {
        assert!(
            forget_start().is_ok_and(|bytes| bytes > 64 << 10),
            "this test is in a mapping of its own file"
        );
        assert_eq!(as_in_file(SMAPS, Path::new("/usr/lib/ld-linux-x86-64.so.2")).len(), 1);
    }
}
