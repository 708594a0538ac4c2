//! The store of records against a list of byte strings.

use proptest::prelude::*;

use crate::segments::{RecordAt, Segments, spans};

#[derive(Clone, Debug)]
enum Step {
    /// A record of spans of these lengths.
    Add(Vec<usize>),
    /// Lets go of one of the records there are.
    Release(prop::sample::Index),
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![20 => 0..300_usize, 2 => 1_000..9_000_usize, 1 => 60_000..150_000_usize];
    prop_oneof![
        6 => prop::collection::vec(len, 1..5).prop_map(Step::Add),
        5 => any::<prop::sample::Index>().prop_map(Step::Release),
        1 => Just(Step::Compact),
    ]
}

/// A span as `ScopeSpans.spans` encodes it.
fn field(span: &[u8]) -> Vec<u8> {
    let mut field = vec![0x12];
    crate::emit::put_varint(&mut field, span.len());
    field.extend_from_slice(span);
    field
}

struct Kept {
    at: RecordAt,
    previous: RecordAt,
    scope: u32,
    spans: Vec<Vec<u8>>,
}

fn check(segments: &Segments, records: &[Kept]) -> Result<(), TestCaseError> {
    let mut live = 0;
    for record in records {
        let found: Vec<_> = spans(segments.spans(record.at)).map(<[u8]>::to_vec).collect();
        prop_assert!(found == record.spans, "a record has other spans");
        prop_assert_eq!(segments.count(record.at), found.len());
        prop_assert_eq!(segments.scope(record.at), record.scope);
        prop_assert_eq!(segments.previous(record.at), record.previous);
        prop_assert_eq!(segments.len(record.at), segments.spans(record.at).len());
        live += segments.len(record.at);
    }
    prop_assert!(segments.in_use() >= live);
    prop_assert!(segments.memory() >= segments.in_use());
    Ok(())
}

proptest! {
    /// Whatever is added, let go of and moved, each record has its own spans, and what is let go of comes back.
    #[test]
    fn records_stay_what_they_were(
        steps in prop::collection::vec(step(), 1..120),
        segment_bytes in prop::sample::select(vec![4 << 10, 64 << 10]),
    ) {
        let mut segments = Segments::new(segment_bytes);
        let mut records: Vec<Kept> = Vec::new();
        let mut number = 0_u32;
        for step in steps {
            match step {
                Step::Add(lens) => {
                    number += 1;
                    let new: Vec<Vec<u8>> = lens.iter().map(|len| vec![number as u8; *len]).collect();
                    let fields: Vec<Vec<u8>> = new.iter().map(|span| field(span)).collect();
                    let len = fields.iter().map(Vec::len).sum();
                    let before = records.last().map_or(RecordAt::NONE, |record| record.at);
                    let (last, count) = segments.append(before, number, fields.iter().map(Vec::as_slice), len);
                    // A record that is full or at its segment's end goes on in another.
                    let (mut at, mut rest, mut parts) = (last, &new[..], Vec::new());
                    for _ in 0..count {
                        let (earlier, own) = rest.split_at(rest.len() - spans(segments.spans(at)).count());
                        let previous = segments.previous(at);
                        parts.push(Kept { at, previous, scope: number, spans: own.to_vec() });
                        (at, rest) = (previous, earlier);
                    }
                    prop_assert!(at == before && rest.is_empty());
                    records.extend(parts.into_iter().rev());
                }
                Step::Release(which) if !records.is_empty() => {
                    let gone = records.swap_remove(which.index(records.len()));
                    let len = segments.len(gone.at);
                    let released = segments.release(gone.at);
                    prop_assert_eq!(
                        (released.previous, released.scope, released.len),
                        (gone.previous, gone.scope, len)
                    );
                }
                Step::Release(_) => {}
                Step::Compact => {
                    let memory = segments.memory();
                    segments.compact();
                    prop_assert!(segments.memory() <= memory + segment_bytes, "moving costs a segment at most");
                }
            }
            check(&segments, &records)?;
        }
        for record in records.drain(..) {
            segments.release(record.at);
        }
        prop_assert_eq!(segments.dead(), 0);
        while segments.compact() {}
        prop_assert!(segments.in_use() <= (64 << 10).max(segment_bytes) + (150 << 10));
    }
}
