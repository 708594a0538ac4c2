//! From trace id to what is known of the trace: one look-up finds any state.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use forebay_memory::{HugePages, HugeVec, prefetch};

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

/// What the table holds: a part of the id's hash, the kind of place and its number, in 64 bits; none is 0. The id itself lies
/// at the place, which whoever looks a trace up is about to touch in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry(u64);

/// From which bit on the part of the hash lies, and the kind.
const HASH: u32 = 34;
const KIND: u32 = 32;

/// What an entry has of a hash.
fn part(hash: u64) -> u64 {
    hash << HASH >> HASH
}

impl Entry {
    const NONE: Self = Self(0);

    fn new(hash: u64, place: Place) -> Self {
        let (kind, number) = match place {
            Place::Held(number) => (1, number),
            Place::Kept(number) => (2, number),
            Place::Dropped(number) => (3, number),
        };
        Self(hash << HASH | kind << KIND | u64::from(number))
    }

    fn place(self) -> Place {
        let number = self.0 as u32;
        match self.0 >> KIND & 3 {
            1 => Place::Held(number),
            2 => Place::Kept(number),
            _ => Place::Dropped(number),
        }
    }

    /// What it has of the hash.
    fn hash(self) -> u64 {
        self.0 >> HASH
    }
}

/// The map, keyed on all 16 bytes of the id and hashed with a secret seed. Open addressing in one array: a look-up nearly
/// always touches one cache line of it, where a table with its bytes of hash apart touches two.
#[derive(Debug)]
pub(crate) struct Index {
    /// As many as a power of two, or none. One that does not lie where its hash says lies as near behind as there was room.
    entries: HugeVec<Entry>,
    len: usize,
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
        Self { entries: HugeVec::new_in(HugePages), len: 0, hasher: Hasher::new(seed) }
    }

    pub(crate) fn hash(&self, id: &[u8; 16]) -> u64 {
        self.hasher.hash(id)
    }

    /// The place of the trace whose id has this hash; `is` says whether it is at a place.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(Place) -> bool) -> Option<Place> {
        let at = self.position(hash, |entry| entry.hash() == part(hash) && is(entry.place()))?;
        self.entries.get(at).map(|entry| entry.place())
    }

    /// A trace whose id has this hash is about to be looked up.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        if let Some(entry) = self.entries.get(self.home(hash)) {
            prefetch(entry);
        }
    }

    /// Adds a trace that is not there.
    pub(crate) fn insert(&mut self, id: &[u8; 16], place: Place) {
        self.len += 1;
        // More than five eighths of it are never in use.
        if self.len * 8 > self.entries.len() * 5 {
            self.grow();
        }
        self.put(Entry::new(self.hash(id), place));
    }

    /// A trace stands elsewhere now.
    pub(crate) fn change(&mut self, id: &[u8; 16], from: Place, to: Place) {
        let hash = self.hash(id);
        let entry = Entry::new(hash, from);
        let found = self.position(hash, |other| other == entry);
        debug_assert!(found.is_some(), "a trace that is not in the index");
        if let Some(found) = found.and_then(|at| self.entries.get_mut(at)) {
            *found = Entry::new(hash, to);
        }
    }

    /// Takes out the trace that is at `place`.
    pub(crate) fn remove(&mut self, id: &[u8; 16], place: Place) {
        let hash = self.hash(id);
        let entry = Entry::new(hash, place);
        let Some(mut hole) = self.position(hash, |other| other == entry) else { return };
        self.len -= 1;
        let mask = self.mask();
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let entry = self.entries[at];
            if entry == Entry::NONE {
                break;
            }
            // What a search would no longer reach behind the hole moves into it.
            if at.wrapping_sub(self.home(entry.hash())) & mask >= at.wrapping_sub(hole) & mask {
                self.entries[hole] = entry;
                hole = at;
            }
        }
        self.entries[hole] = Entry::NONE;
    }

    pub(crate) fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    fn mask(&self) -> usize {
        self.entries.len().wrapping_sub(1)
    }

    /// Where the entry of a trace with this hash lies if there is room.
    fn home(&self, hash: u64) -> usize {
        part(hash) as usize & self.mask()
    }

    /// Where the entry lies that a trace with this hash has and that `is` it.
    #[inline]
    fn position(&self, hash: u64, is: impl Fn(Entry) -> bool) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            let entry = *self.entries.get(at)?;
            if entry == Entry::NONE {
                return None;
            }
            if is(entry) {
                return Some(at);
            }
            at = (at + 1) & self.mask();
        }
    }

    fn put(&mut self, entry: Entry) {
        let (mut at, mask) = (self.home(entry.hash()), self.mask());
        while self.entries[at] != Entry::NONE {
            at = (at + 1) & mask;
        }
        self.entries[at] = entry;
    }

    #[inline(never)]
    fn grow(&mut self) {
        let size = (2 * self.entries.len()).max(64);
        let mut entries = HugeVec::with_capacity_in(size, HugePages);
        entries.resize(size, Entry::NONE);
        let before = std::mem::replace(&mut self.entries, entries);
        before.into_iter().filter(|entry| *entry != Entry::NONE).for_each(|entry| self.put(entry));
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
