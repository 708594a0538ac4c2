//! The log: what goes in comes out, newest last, within its bytes.

use crate::log::{Log, Texts};
use proptest::prelude::*;

fn push(log: &Log<(usize, Texts<2>)>, number: usize, strings: [Option<&str>; 2]) {
    log.push(0, |text| (number, Texts::write(text, strings)));
}

proptest! {
    #[test]
    fn the_newest_records_come_back_as_they_were(
        limit in 0_usize..20_000,
        lens in prop::collection::vec((prop::option::of(0_usize..40), prop::option::of(0_usize..300)), 0..400),
    ) {
        let records = lens.into_iter().map(|(one, other)| (one.map(|len| "é".repeat(len)), other.map(|len| "x".repeat(len))));
        let records: Vec<_> = records.collect();
        let log = Log::new(limit);
        let mut largest = 0;
        for (number, (one, other)) in records.iter().enumerate() {
            push(&log, number, [one.as_deref(), other.as_deref()]);
            largest = largest.max(one.as_deref().map_or(0, str::len) + other.as_deref().map_or(0, str::len));
            // The text being written doubles when one record more does not fit.
            prop_assert!(limit == 0 || log.memory() <= limit.max(512) + 2 * largest + limit / 8);
        }
        let read = log.read();
        let first = records.len() - read.len();
        prop_assert_eq!(read.forgetful, first > 0 || limit == 0);
        prop_assert!(limit < 8_000 || records.is_empty() || read.len() > 0, "the newest is there");
        for (at, ((number, texts), text)) in read.iter().enumerate() {
            let (one, other) = &records[first + at];
            prop_assert_eq!(*number, first + at);
            prop_assert_eq!(texts.read(text), [one.as_deref(), other.as_deref()]);
        }
    }
}

#[test]
fn a_log_uses_most_of_its_bytes() {
    let log = Log::new(1 << 20);
    for number in 0..100_000 {
        push(&log, number, [Some("research_workflow"), Some("task.priority")]);
    }
    let used = log.read().len() * (size_of::<(usize, Texts<2>)>() + 30);
    assert!(used > 700_000 && log.memory() <= 1 << 20, "{used} of {}", log.memory());
    assert_eq!(log.read().iter().next_back().map(|((number, _), _)| *number), Some(99_999));
}

#[test]
fn an_idle_log_takes_no_memory_and_long_strings_are_cut() {
    let log = Log::new(1 << 20);
    assert_eq!((log.memory(), log.read().len(), log.read().forgetful), (0, 0, false));
    let long = "é".repeat(40_000);
    push(&log, 1, [Some(&long), Some("x")]);
    let read = log.read();
    let ((_, texts), text) = read.iter().next().unwrap();
    let [one, other] = texts.read(text);
    assert_eq!((one.unwrap().len(), other), (65_534, Some("x")));
}

#[test]
fn what_records_have_elsewhere_counts() {
    let log: Log<u8> = Log::new(100_000);
    for number in 0..100 {
        log.push(10_000, |_| number);
    }
    assert!(log.read().len() < 100, "{}", log.read().len());
}
