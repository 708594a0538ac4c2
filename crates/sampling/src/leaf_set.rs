//! A small set of predicate numbers: one word inline, more on the heap only for configurations with
//! over 64 distinct predicates.

/// Which predicates have matched.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LeafSet {
    low: u64,
    high: Option<Box<[u64]>>,
}

impl LeafSet {
    pub(crate) fn contains(&self, leaf: usize) -> bool {
        let word = match leaf / 64 {
            0 => self.low,
            n => self.high.as_ref().and_then(|high| high.get(n - 1)).copied().unwrap_or(0),
        };
        word & (1 << (leaf % 64)) != 0
    }

    pub(crate) fn insert(&mut self, leaf: usize) {
        let bit = 1 << (leaf % 64);
        match leaf / 64 {
            0 => self.low |= bit,
            n => {
                let high = self.high.get_or_insert_with(Box::default);
                if high.len() < n {
                    let mut grown = std::mem::take(high).into_vec();
                    grown.resize(n, 0);
                    *high = grown.into_boxed_slice();
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
            Some(theirs) => self.union_high(theirs) || changed,
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
            high.fill(0);
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.high.as_ref().map_or(0, |high| high.len() * 8)
    }
}
