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

#[derive(Debug)]
struct Entry {
    id: [u8; 16],
    place: Place,
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

    pub(crate) fn get(&self, id: &[u8; 16]) -> Option<Place> {
        self.get_hashed(self.hasher.hash(id), id)
    }

    pub(crate) fn get_hashed(&self, hash: u64, id: &[u8; 16]) -> Option<Place> {
        self.table.find(hash, |entry| entry.id == *id).map(|entry| entry.place)
    }

    pub(crate) fn set(&mut self, id: [u8; 16], place: Place) {
        let key = self.hasher.hash(&id);
        if let Some(entry) = self.table.find_mut(key, |entry| entry.id == id) {
            entry.place = place;
        } else {
            let hasher = &self.hasher;
            self.table.insert_unique(key, Entry { id, place }, |entry| hasher.hash(&entry.id));
        }
    }

    pub(crate) fn remove(&mut self, id: &[u8; 16]) {
        if let Ok(entry) = self.table.find_entry(self.hasher.hash(id), |entry| entry.id == *id) {
            entry.remove();
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
