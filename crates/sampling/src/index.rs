//! From trace id to what is known of the trace: one look-up finds any state.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use forebay_memory::HugePages;
use hashbrown::HashTable;

/// Where a trace stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Undecided: its number in [`Traces`](crate::traces::Traces).
    Held(u32),
    /// Kept: its number among the kept ones remembered.
    Kept(u32),
    /// Dropped: its number among the dropped ones remembered.
    Dropped(u32),
}

/// What the table holds: a part of the id's hash, the kind of place and its number, in 64 bits. The id itself lies at the
/// place, which whoever looks a trace up is about to touch in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry(u64);

/// From which bit on the part of the hash lies, and the kind.
const HASH: u32 = 34;
const KIND: u32 = 32;

impl Entry {
    fn new(hash: u64, place: Place) -> Self {
        let (kind, number) = match place {
            Place::Held(number) => (0, number),
            Place::Kept(number) => (1, number),
            Place::Dropped(number) => (2, number),
        };
        Self(hash << HASH | kind << KIND | u64::from(number))
    }

    fn place(self) -> Place {
        let number = self.0 as u32;
        match self.0 >> KIND & 3 {
            0 => Place::Held(number),
            1 => Place::Kept(number),
            _ => Place::Dropped(number),
        }
    }

    fn has_hash(self, hash: u64) -> bool {
        self.0 >> HASH == hash << HASH >> HASH
    }

    /// What the table goes by, which reads its low bits and its highest ones.
    fn key(self) -> u64 {
        (self.0 >> HASH).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// The map, keyed on all 16 bytes of the id and hashed with a secret seed.
#[derive(Debug)]
pub(crate) struct Index {
    table: HashTable<Entry, HugePages>,
    hasher: Hasher,
}

/// Hashes trace ids, with a secret seed.
#[derive(Clone, Debug)]
pub(crate) struct Hasher(FixedState);

impl Hasher {
    pub(crate) fn new(seed: u64) -> Self {
        Self(FixedState::with_seed(seed))
    }

    #[inline]
    pub(crate) fn hash(&self, id: &[u8; 16]) -> u64 {
        self.0.hash_one(u128::from_ne_bytes(*id))
    }
}

impl Index {
    pub(crate) fn new(seed: u64) -> Self {
        Self { table: HashTable::new_in(HugePages), hasher: Hasher::new(seed) }
    }

    pub(crate) fn hash(&self, id: &[u8; 16]) -> u64 {
        self.hasher.hash(id)
    }

    /// The place of the trace whose id has this hash; `is` says whether it is at a place.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(Place) -> bool) -> Option<Place> {
        let key = Entry::new(hash, Place::Held(0)).key();
        let found = self.table.find(key, |entry| entry.has_hash(hash) && is(entry.place()));
        found.map(|entry| entry.place())
    }

    /// Adds a trace that is not there.
    pub(crate) fn insert(&mut self, id: &[u8; 16], place: Place) {
        let entry = Entry::new(self.hash(id), place);
        self.table.insert_unique(entry.key(), entry, |entry| entry.key());
    }

    /// A trace stands elsewhere now.
    pub(crate) fn change(&mut self, id: &[u8; 16], from: Place, to: Place) {
        let hash = self.hash(id);
        let entry = Entry::new(hash, from);
        let found = self.table.find_mut(entry.key(), |other| *other == entry);
        debug_assert!(found.is_some(), "a trace that is not in the index");
        if let Some(found) = found {
            *found = Entry::new(hash, to);
        }
    }

    /// Takes out the trace that is at `place`.
    pub(crate) fn remove(&mut self, id: &[u8; 16], place: Place) {
        let entry = Entry::new(self.hash(id), place);
        if let Ok(found) = self.table.find_entry(entry.key(), |other| *other == entry) {
            found.remove();
        }
    }

    pub(crate) fn memory(&self) -> usize {
        self.table.allocation_size()
    }
}

/// The part of the traces that one sampler takes care of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which one, from 0.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

impl Shard {
    /// The shard among `count` that a trace belongs to. `seed` is the one all the shards' samplers got.
    #[must_use]
    pub fn index_of(trace_id: &[u8; 16], count: usize, seed: u64) -> usize {
        Self::of_hash(Hasher::new(seed).hash(trace_id), count)
    }

    /// Whether a trace with this hash belongs here.
    pub(crate) fn owns(self, hash: u64) -> bool {
        Self::of_hash(hash, self.count) == self.index
    }

    fn of_hash(hash: u64, count: usize) -> usize {
        // Mixed once more: the shards' tables use the bits of the hash as it is.
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (((mixed >> 32) * count as u64) >> 32) as usize
    }
}
