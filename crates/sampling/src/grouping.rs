//! The spans of one scope in one request, by trace: each trace is then looked up once, and its spans lie together.

use crate::index::Index;

/// No span, no trace.
const NONE: u32 = u32::MAX;

/// How many entries' memory one scope leaves to the next.
const MOST_KEPT: usize = 8 << 10;

/// A table up to this size is emptied and used as it is: most scopes then never let it grow.
const REUSED: usize = 512;

/// A span: where its field lies in the scope's bytes, how much of that is key and length, and the next span of its trace.
#[derive(Clone, Copy, Debug)]
struct Found {
    start: u32,
    len: u32,
    head: u32,
    next: u32,
}

/// A trace and its spans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceSpans {
    pub(crate) id: [u8; 16],
    pub(crate) hash: u64,
    first: u32,
    last: u32,
    /// How many spans, their bytes, and their fields' bytes.
    pub(crate) spans: u32,
    pub(crate) bytes: u32,
    pub(crate) fields: u32,
}

impl TraceSpans {
    fn add(&mut self, span: u32, field: u32, len: u32, found: &mut [Found]) {
        if let Some(before) = found.get_mut(self.last as usize) {
            before.next = span;
        }
        self.last = span;
        self.spans += 1;
        self.bytes += len;
        self.fields += field;
    }
}

impl Found {
    fn field(self, scope: &[u8]) -> &[u8] {
        let start = self.start as usize;
        scope.get(start..start + self.len as usize).unwrap_or_default()
    }
}

/// Memory for one scope after the other.
#[derive(Debug, Default)]
pub(crate) struct Grouping {
    found: Vec<Found>,
    traces: Vec<TraceSpans>,
    /// Places in `traces` by hash, open addressing; as large as a power of two.
    table: Vec<u32>,
}

impl Grouping {
    pub(crate) fn clear(&mut self) {
        self.found.clear();
        self.traces.clear();
        if self.table.len() <= REUSED {
            self.table.fill(NONE);
        } else {
            self.table.clear();
        }
        // One huge request must not leave its memory to all that come after it.
        self.found.shrink_to(MOST_KEPT);
        self.traces.shrink_to(MOST_KEPT);
        self.table.shrink_to(4 * MOST_KEPT);
    }

    #[cfg(test)]
    fn memory(&self) -> usize {
        self.found.capacity() * size_of::<Found>()
            + self.traces.capacity() * size_of::<TraceSpans>()
            + self.table.capacity() * size_of::<u32>()
    }

    /// Traces in the order in which their first spans lie.
    pub(crate) fn traces(&self) -> usize {
        self.traces.len()
    }

    pub(crate) fn trace(&self, number: usize) -> Option<TraceSpans> {
        self.traces.get(number).copied()
    }

    /// The spans of a trace in order, each as the field of `scope` that it is.
    pub(crate) fn fields<'a>(
        &'a self,
        trace: TraceSpans,
        scope: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.found(trace).map(|found| found.field(scope))
    }

    /// The spans of a trace in order.
    pub(crate) fn spans<'a>(
        &'a self,
        trace: TraceSpans,
        scope: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.found(trace).map(|found| found.field(scope).get(found.head as usize..).unwrap_or_default())
    }

    fn found(&self, trace: TraceSpans) -> impl Iterator<Item = Found> + Clone {
        std::iter::successors(self.found.get(trace.first as usize).copied(), |found| {
            self.found.get(found.next as usize).copied()
        })
    }

    /// Adds a span of `len` bytes that ends a field of `field` bytes at `start`.
    #[inline]
    pub(crate) fn add(&mut self, id: [u8; 16], start: usize, field: usize, len: usize, index: &Index) {
        let span = self.found.len() as u32;
        let (start, field, len) = (start as u32, field as u32, len as u32);
        self.found.push(Found { start, len: field, head: field - len, next: NONE });
        // Neighbours are often of one trace.
        if let Some(trace) = self.traces.last_mut().filter(|trace| trace.id == id) {
            trace.add(span, field, len, &mut self.found);
            return;
        }
        let hash = index.hash(&id);
        let place = self.place(hash, &id);
        match self.table.get(place).and_then(|&number| self.traces.get_mut(number as usize)) {
            Some(trace) => trace.add(span, field, len, &mut self.found),
            None => {
                if let Some(slot) = self.table.get_mut(place) {
                    *slot = self.traces.len() as u32;
                }
                let (first, last) = (span, span);
                self.traces.push(TraceSpans { id, hash, first, last, spans: 1, bytes: len, fields: field });
            }
        }
    }

    /// The place in the table where a trace is, or may be put.
    fn place(&mut self, hash: u64, id: &[u8; 16]) -> usize {
        if self.table.len() < 2 * (self.traces.len() + 1) {
            let size = (4 * (self.traces.len() + 1)).next_power_of_two().max(64);
            self.table.clear();
            self.table.resize(size, NONE);
            for number in 0..self.traces.len() {
                let hash = self.traces[number].hash;
                let mut place = hash as usize & (size - 1);
                while self.table[place] != NONE {
                    place = (place + 1) & (size - 1);
                }
                self.table[place] = number as u32;
            }
        }
        let mask = self.table.len() - 1;
        let mut place = hash as usize & mask;
        while self.traces.get(self.table[place] as usize).is_some_and(|trace| trace.id != *id) {
            place = (place + 1) & mask;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_request_leaves_little_behind() {
        let mut spans = Grouping::default();
        let index = Index::new(1);
        for number in 0..200_000_u128 {
            spans.add((number / 2).to_be_bytes(), 0, 0, 0, &index);
        }
        assert_eq!(spans.traces(), 100_000);
        assert!(spans.memory() > 4 << 20);
        spans.clear();
        assert!(spans.memory() < 1 << 20, "{}", spans.memory());
    }
}
