//! Where held spans lie: records appended to fixed-size segments, and a table that knows where each record is.
//!
//! A record is a run of spans of one trace under one scope that came together, exactly as `ScopeSpans.spans` encodes
//! them, so sending a run on is one copy. Records of a trace are chained backwards through the table: a trace can be
//! let go without reading its spans, and a record can move (compaction; later, to disk) without its trace knowing.

use forebay_memory::{HUGE_PAGE, HugePages, HugeVec, append, prefetch};

/// A record's number in the table; [`RecordAt::NONE`] for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordAt(u32);

impl RecordAt {
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// What the table knows of a record.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// [`FREE`] when the number is not in use; `previous` is then the next free number.
    segment: u32,
    offset: u32,
    /// Bytes of the spans, and how many they are.
    len: u32,
    spans: u32,
    previous: RecordAt,
    scope: u32,
}

/// A record that was let go of: the one of its trace before it, its scope, and the length of its spans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Released {
    pub(crate) previous: RecordAt,
    pub(crate) scope: u32,
    pub(crate) len: usize,
}

/// No segment.
const FREE: u32 = u32::MAX;

/// The record's number and the length of its spans, four bytes each, little endian: what compaction reads.
pub(crate) const HEADER: usize = 8;

/// A record that has reached this ends, so what is sent on can be cut at records.
const RECORD_TARGET: usize = 64 << 10;

/// A run of at most so many bytes is not cut to fill what is left of a segment.
const UNCUT: usize = 2 << 10;

#[derive(Debug)]
struct Segment {
    data: HugeVec<u8>,
    /// Bytes of the records that are still needed.
    live: usize,
}

impl Segment {
    const EMPTY: Self = Self { data: HugeVec::new_in(HugePages), live: 0 };

    fn dead(&self) -> usize {
        self.data.len() - self.live
    }
}

/// The segments of one shard.
#[derive(Debug)]
pub(crate) struct Segments {
    table: HugeVec<Entry>,
    free_entry: RecordAt,
    records: usize,
    segments: Vec<Segment>,
    current: usize,
    free: Vec<usize>,
    /// Emptied buffers of the usual size, for the next segments.
    spare: Vec<HugeVec<u8>>,
    segment_bytes: usize,
    in_use: usize,
    live: usize,
}

/// How many emptied buffers are kept: so many, or one for so many bytes of segments in use. What traces leave is what the
/// next ones need.
const SPARE: usize = 4;
const SPARE_SHARE: usize = 8;

impl Segments {
    pub(crate) fn new(segment_bytes: usize) -> Self {
        Self {
            table: HugeVec::new_in(HugePages),
            free_entry: RecordAt::NONE,
            records: 0,
            segments: vec![Segment::EMPTY],
            current: 0,
            free: Vec::new(),
            spare: Vec::new(),
            segment_bytes,
            in_use: 0,
            live: 0,
        }
    }

    /// Bytes allocated, emptied buffers and the table included.
    pub(crate) fn memory(&self) -> usize {
        self.in_use + self.spare.len() * self.segment_bytes + self.table.capacity() * size_of::<Entry>()
    }

    /// Bytes allocated in segments that hold spans, or are being filled, and table entries in use.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use + self.records * size_of::<Entry>()
    }

    /// Bytes of segments that nothing needs any more.
    pub(crate) fn dead(&self) -> usize {
        self.in_use.saturating_sub(self.live + self.room())
    }

    /// Adds the spans of a run, each as `ScopeSpans.spans` encodes it and `len` bytes in all: nearly always as one record.
    /// The number of the last record, and how many there are.
    pub(crate) fn append<'s>(
        &mut self,
        mut previous: RecordAt,
        scope: u32,
        mut spans: impl Iterator<Item = &'s [u8]> + Clone,
        len: usize,
    ) -> (RecordAt, u32) {
        let (mut left, mut records) = (len, 0);
        while left > 0 {
            let (most, len) = if left <= UNCUT { (usize::MAX, left) } else { self.fitting(spans.clone()) };
            if most == 0 {
                break;
            }
            previous = self.begin(previous, scope, len);
            let data = &mut self.segments[self.current].data;
            let mut count = 0;
            for span in spans.by_ref().take(most) {
                append(data, span);
                count += 1;
            }
            self.table[previous.0 as usize].spans = count;
            left = left.saturating_sub(len);
            records += 1;
        }
        (previous, records)
    }

    /// How many of the spans make the next record, and their bytes: what the segment has room for, or else a new one.
    fn fitting<'s>(&self, spans: impl Iterator<Item = &'s [u8]>) -> (usize, usize) {
        let mut room = self.room().saturating_sub(HEADER);
        let (mut count, mut len) = (0, 0);
        for span in spans {
            if count == 0 && span.len() > room {
                room = self.segment_bytes.saturating_sub(HEADER);
            }
            if count > 0 && len + span.len() > room.min(RECORD_TARGET) {
                break;
            }
            (count, len) = (count + 1, len + span.len());
        }
        (count, len)
    }

    /// Starts a record whose `len` bytes follow.
    fn begin(&mut self, previous: RecordAt, scope: u32, len: usize) -> RecordAt {
        self.make_room(HEADER + len);
        let segment = &mut self.segments[self.current];
        let (offset, len) = (segment.data.len() as u32, len as u32);
        let entry = Entry { segment: self.current as u32, offset, len, spans: 0, previous, scope };
        let at = match self.table.get_mut(self.free_entry.0 as usize) {
            Some(slot) => {
                let at = self.free_entry;
                self.free_entry = slot.previous;
                *slot = entry;
                // Let go of long ago, or by another thread.
                if let Some(next) = self.table.get(self.free_entry.0 as usize) {
                    prefetch(next);
                }
                at
            }
            None => {
                grow_by_an_eighth(&mut self.table);
                self.table.push(entry);
                RecordAt(self.table.len() as u32 - 1)
            }
        };
        self.records += 1;
        segment.live += HEADER + len as usize;
        self.live += HEADER + len as usize;
        let header = u64::from(at.0) | u64::from(len) << 32;
        append(&mut segment.data, &header.to_le_bytes());
        at
    }

    /// What is known of a record is about to be looked at.
    pub(crate) fn prefetch(&self, at: RecordAt) {
        if let Some(entry) = self.table.get(at.0 as usize) {
            prefetch(entry);
        }
    }

    /// The same as [`Self::previous`], and any record for one that is gone.
    pub(crate) fn previous_if_any(&self, at: RecordAt) -> RecordAt {
        self.table.get(at.0 as usize).map_or(RecordAt::NONE, |entry| entry.previous)
    }

    /// The record of the same trace that came before; [`RecordAt::NONE`] for the first.
    pub(crate) fn previous(&self, at: RecordAt) -> RecordAt {
        self.table[at.0 as usize].previous
    }

    /// Number of the record's scope in [`Contexts`](crate::contexts::Contexts).
    pub(crate) fn scope(&self, at: RecordAt) -> u32 {
        self.table[at.0 as usize].scope
    }

    /// Length of the record's spans.
    pub(crate) fn len(&self, at: RecordAt) -> usize {
        self.table[at.0 as usize].len as usize
    }

    /// How many spans the record has.
    pub(crate) fn count(&self, at: RecordAt) -> usize {
        self.table[at.0 as usize].spans as usize
    }

    /// The record's spans, each with its key and length as in `ScopeSpans`.
    pub(crate) fn spans(&self, at: RecordAt) -> &[u8] {
        let entry = &self.table[at.0 as usize];
        let from = entry.offset as usize + HEADER;
        &self.segments[entry.segment as usize].data[from..from + entry.len as usize]
    }

    /// Lets go of a record, and of its segment with the last one; what it was.
    pub(crate) fn release(&mut self, at: RecordAt) -> Released {
        let free = Entry { segment: FREE, offset: 0, len: 0, spans: 0, previous: self.free_entry, scope: 0 };
        let entry = std::mem::replace(&mut self.table[at.0 as usize], free);
        self.release_bytes(&entry, at);
        Released { previous: entry.previous, scope: entry.scope, len: entry.len as usize }
    }

    fn release_bytes(&mut self, entry: &Entry, at: RecordAt) {
        self.free_entry = at;
        self.records -= 1;
        let index = entry.segment as usize;
        let segment = &mut self.segments[index];
        segment.live -= HEADER + entry.len as usize;
        self.live -= HEADER + entry.len as usize;
        if segment.live > 0 {
            return;
        }
        if index != self.current {
            self.retire(index);
        } else if segment.data.capacity() == self.segment_bytes {
            segment.data.clear();
        } else {
            // Made for one large span: it would stand there empty until the next span needs another.
            self.in_use -= std::mem::replace(segment, Segment::EMPTY).data.capacity();
        }
    }

    /// Moves what is still needed of the segment with the most dead bytes together with newer records, and frees it.
    /// False when no segment but the current one has as much as an eighth of it dead: moving would gain too little.
    pub(crate) fn compact(&mut self) -> bool {
        let others = self.segments.iter().enumerate().filter(|(index, _)| *index != self.current);
        let Some((victim, segment)) = others.max_by_key(|(_, segment)| segment.dead()) else { return false };
        if segment.dead() == 0 || segment.dead() < segment.data.capacity() / 8 {
            return false;
        }
        let data = std::mem::replace(&mut self.segments[victim].data, HugeVec::new_in(HugePages));
        let mut offset = 0;
        while let Some(header) = data[offset..].first_chunk::<HEADER>() {
            let word = |from: usize| {
                u32::from_le_bytes([header[from], header[from + 1], header[from + 2], header[from + 3]])
            };
            let (at, len) = (word(0), HEADER + word(4) as usize);
            // A number that was freed may be another record's by now.
            let entry = self.table.get(at as usize);
            if entry.is_some_and(|entry| (entry.segment, entry.offset) == (victim as u32, offset as u32)) {
                self.move_record(at, &data[offset..offset + len]);
            }
            offset += len;
        }
        self.segments[victim] = Segment { data, live: 0 };
        self.retire(victim);
        true
    }

    fn move_record(&mut self, at: u32, record: &[u8]) {
        self.make_room(record.len());
        let segment = &mut self.segments[self.current];
        let entry = &mut self.table[at as usize];
        (entry.segment, entry.offset) = (self.current as u32, segment.data.len() as u32);
        append(&mut segment.data, record);
        segment.live += record.len();
    }

    fn room(&self) -> usize {
        let data = &self.segments[self.current].data;
        data.capacity() - data.len()
    }

    /// Makes a segment with room for `needed` bytes the current one.
    fn make_room(&mut self, needed: usize) {
        if self.room() >= needed {
            return;
        }
        if self.segments[self.current].live == 0 {
            self.retire(self.current);
        }
        let data = match self.spare.pop() {
            Some(data) if needed <= data.capacity() => data,
            spare => {
                self.spare.extend(spare);
                // One larger than usual has whole huge pages in any case.
                let whole = if needed > HUGE_PAGE { needed.next_multiple_of(HUGE_PAGE) } else { needed };
                HugeVec::with_capacity_in(whole.max(self.segment_bytes), HugePages)
            }
        };
        self.in_use += data.capacity();
        self.current = self.free.pop().unwrap_or_else(|| {
            self.segments.push(Segment::EMPTY);
            self.segments.len() - 1
        });
        self.segments[self.current].data = data;
    }

    fn retire(&mut self, index: usize) {
        let mut data = std::mem::replace(&mut self.segments[index].data, HugeVec::new_in(HugePages));
        self.free.push(index);
        self.in_use -= data.capacity();
        if data.capacity() == self.segment_bytes {
            data.clear();
            self.spare.push(data);
        }
        self.spare.truncate(SPARE.max(self.in_use / self.segment_bytes / SPARE_SHARE));
    }
}

/// Makes room for one more without doubling: a table of millions must not hold as many again in reserve.
pub(crate) fn grow_by_an_eighth<T>(items: &mut HugeVec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact(items.len() / 8 + 64);
    }
}

/// The spans of a record one by one.
pub(crate) fn spans(mut encoded: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        // The key, which may be longer than it has to be.
        let key = encoded.iter().position(|&byte| byte < 0x80)?;
        let mut rest = encoded.get(key + 1..)?;
        let (mut len, mut shift) = (0_usize, 0);
        loop {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        let (span, after) = rest.split_at_checked(len)?;
        encoded = after;
        Some(span)
    })
}
