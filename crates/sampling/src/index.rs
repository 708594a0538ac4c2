//! From trace id to what is known of the trace: one look-up finds any state.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use forebay_memory::{HugeVec, prefetch, zeroes};

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

/// The map, keyed on all 16 bytes of the id and hashed with a secret seed.
///
/// It grows bit by bit, so that no request waits for all of it: with each trace that is added, some move from a table that has
/// become too small to one of twice its size. Every trace is in one of the two, as its hash says.
#[derive(Debug)]
pub(crate) struct Index {
    table: Table,
    /// The table before. What has its home in the first `moved` slots from `start` on, round the table, is no longer there, and the next
    /// slot is free.
    old: Table,
    start: usize,
    moved: usize,
    len: usize,
    hasher: Hasher,
}

/// Slots that are moved with each trace added: all have long before the larger table is full.
const MOVED_AT_ONCE: usize = 16;
/// How many have moved when there is no old table.
const ALL: usize = usize::MAX;

/// Open addressing in one array: a look-up nearly always touches one cache line of it, where a table with its bytes of hash apart
/// touches two.
#[derive(Debug)]
struct Table {
    /// As many as a power of two, or none. One that does not lie where its hash says lies as near behind as there was room.
    slots: HugeVec<u64>,
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
        let hasher = Hasher::new(seed);
        Self { table: Table::of(0), old: Table::of(0), start: 0, moved: ALL, len: 0, hasher }
    }

    pub(crate) fn hash(&self, id: &[u8; 16]) -> u64 {
        self.hasher.hash(id)
    }

    /// The place of the trace whose id has this hash; `is` says whether it is at a place.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(Place) -> bool) -> Option<Place> {
        let table = self.table(hash);
        let at = table.position(hash, |entry| entry.hash() == part(hash) && is(entry.place()))?;
        table.entry(at).map(Entry::place)
    }

    /// A trace whose id has this hash is about to be looked up.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        let table = self.table(hash);
        if let Some(slot) = table.slots.get(table.home(hash)) {
            prefetch(slot);
        }
    }

    /// Adds a trace that is not there.
    pub(crate) fn insert(&mut self, id: &[u8; 16], place: Place) {
        self.len += 1;
        // More than five eighths of it are never in use.
        if self.len * 8 > self.table.slots.len() * 5 {
            self.grow();
        }
        self.move_on(MOVED_AT_ONCE);
        let hash = self.hash(id);
        self.table_mut(hash).put(Entry::new(hash, place));
    }

    /// A trace stands elsewhere now.
    pub(crate) fn change(&mut self, id: &[u8; 16], from: Place, to: Place) {
        let hash = self.hash(id);
        let entry = Entry::new(hash, from);
        let table = self.table_mut(hash);
        let found = table.position(hash, |other| other == entry);
        debug_assert!(found.is_some(), "a trace that is not in the index");
        if let Some(slot) = found.and_then(|at| table.slots.get_mut(at)) {
            *slot = Entry::new(hash, to).0;
        }
    }

    /// Takes out the trace that is at `place`.
    pub(crate) fn remove(&mut self, id: &[u8; 16], place: Place) {
        let hash = self.hash(id);
        let entry = Entry::new(hash, place);
        let table = self.table_mut(hash);
        if let Some(at) = table.position(hash, |other| other == entry) {
            table.take_out(at);
            self.len -= 1;
        }
    }

    pub(crate) fn memory(&self) -> usize {
        (self.table.slots.capacity() + self.old.slots.capacity()) * size_of::<u64>()
    }

    /// Where a trace with this hash is, or is to be.
    #[inline]
    fn table(&self, hash: u64) -> &Table {
        if self.has_moved(hash) { &self.table } else { &self.old }
    }

    #[inline]
    fn table_mut(&mut self, hash: u64) -> &mut Table {
        if self.has_moved(hash) { &mut self.table } else { &mut self.old }
    }

    #[inline]
    fn has_moved(&self, hash: u64) -> bool {
        self.old.home(hash).wrapping_sub(self.start) & self.old.mask() < self.moved
    }

    #[cold]
    fn grow(&mut self) {
        self.move_on(ALL);
        let larger = Table::of((2 * self.table.slots.len()).max(64));
        self.old = std::mem::replace(&mut self.table, larger);
        // From a free slot on, so that no run of used ones is cut in two.
        self.start = self.old.slots.iter().position(|slot| *slot == Entry::NONE.0).unwrap_or_default();
        self.moved = if self.old.slots.is_empty() { ALL } else { 0 };
    }

    /// Moves what is in so many slots of the old table, if there is one, and in those behind them up to a free one.
    fn move_on(&mut self, slots: usize) {
        if self.moved == ALL {
            return;
        }
        let (size, mask) = (self.old.slots.len(), self.old.mask());
        let end = self.moved.saturating_add(slots).min(size);
        loop {
            let entry = Entry(std::mem::take(&mut self.old.slots[(self.start + self.moved) & mask]));
            if entry != Entry::NONE {
                self.table.put(entry);
            } else if self.moved >= end {
                break;
            }
            self.moved += 1;
        }
        if self.moved >= size {
            (self.old, self.start, self.moved) = (Table::of(0), 0, ALL);
        }
    }
}

impl Table {
    /// An empty one.
    fn of(slots: usize) -> Self {
        Self { slots: zeroes(slots) }
    }

    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    /// Where the entry of a trace with this hash lies if there is room.
    fn home(&self, hash: u64) -> usize {
        part(hash) as usize & self.mask()
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        self.slots.get(at).map(|slot| Entry(*slot))
    }

    /// Where the entry lies that a trace with this hash has and that `is` it.
    #[inline]
    fn position(&self, hash: u64, is: impl Fn(Entry) -> bool) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            let entry = self.entry(at)?;
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
        while self.slots[at] != Entry::NONE.0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = entry.0;
    }

    /// Takes an entry out.
    fn take_out(&mut self, mut hole: usize) {
        let mask = self.mask();
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let entry = Entry(self.slots[at]);
            if entry == Entry::NONE {
                break;
            }
            // What a search would no longer reach behind the hole moves into it.
            let is_behind = at.wrapping_sub(self.home(entry.hash())) & mask >= at.wrapping_sub(hole) & mask;
            if is_behind {
                self.slots[hole] = entry.0;
                hole = at;
            }
        }
        self.slots[hole] = Entry::NONE.0;
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
