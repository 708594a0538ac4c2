//! A small set of predicate numbers: one word inline, more on the heap only for configurations with
//! over 64 distinct predicates.

/// Which predicates have matched.
#[derive(Clone, Debug, Default, PartialEq)]
#[repr(C)]
pub(crate) struct LeafSet {
    low: u64,
    high: Option<Box<High>>,
}

/// The words behind the first: one pointer to them, since few sets have any and every trace has a set.
#[derive(Clone, Debug, Default, PartialEq)]
struct High(Vec<u64>);

impl LeafSet {
    pub(crate) fn contains(&self, leaf: usize) -> bool {
        let word = match leaf / 64 {
            0 => self.low,
            n => self.high.as_ref().and_then(|high| high.0.get(n - 1)).copied().unwrap_or(0),
        };
        word & (1 << (leaf % 64)) != 0
    }

    pub(crate) fn insert(&mut self, leaf: usize) {
        let bit = 1 << (leaf % 64);
        match leaf / 64 {
            0 => self.low |= bit,
            n => {
                let High(high) = &mut **self.high.get_or_insert_default();
                if high.len() < n {
                    high.reserve_exact(n - high.len());
                    high.resize(n, 0);
                }
                if let Some(word) = high.get_mut(n - 1) {
                    *word |= bit;
                }
            }
        }
    }

    /// Adds all of `other`; true when that changed anything.
    #[inline]
    pub(crate) fn union(&mut self, other: &Self) -> bool {
        let before = self.low;
        self.low |= other.low;
        let changed = self.low != before;
        match &other.high {
            Some(theirs) => self.union_high(&theirs.0) || changed,
            None => changed,
        }
    }

    #[inline(never)]
    fn union_high(&mut self, theirs: &[u64]) -> bool {
        let mut changed = false;
        for (word_index, &word) in theirs.iter().enumerate() {
            let mut rest = word;
            while rest != 0 {
                let leaf = (word_index + 1) * 64 + rest.trailing_zeros() as usize;
                if !self.contains(leaf) {
                    self.insert(leaf);
                    changed = true;
                }
                rest &= rest - 1;
            }
        }
        changed
    }

    /// Empties the set and keeps its memory.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.low = 0;
        if let Some(high) = &mut self.high {
            high.0.fill(0);
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.high.as_ref().map_or(0, |high| size_of::<High>() + high.0.len() * 8)
    }
}
