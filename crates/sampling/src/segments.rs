//! Where held spans lie: records appended to fixed-size segments, freed a segment at a time.
//!
//! A record is a run of spans of one trace under one scope that came together: a header, then the spans exactly as
//! `ScopeSpans.spans` encodes them, so sending a run on is one copy. Records of a trace are chained backwards.

/// A record's place; [`RecordAt::NONE`] for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordAt(u64);

impl RecordAt {
    pub(crate) const NONE: Self = Self(u64::MAX);

    fn new(segment: usize, offset: usize) -> Self {
        Self((segment as u64) << 32 | offset as u64)
    }

    fn segment(self) -> usize {
        (self.0 >> 32) as usize
    }

    fn offset(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

/// A record read back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) previous: RecordAt,
    /// Number of the scope in [`Contexts`](crate::contexts::Contexts).
    pub(crate) scope: u32,
    /// Spans, each with its key and length as in `ScopeSpans`.
    pub(crate) spans: &'a [u8],
}

/// previous: u64, scope: u32, length of the spans: u32; little endian.
pub(crate) const HEADER: usize = 16;

/// A record that has reached this ends, so what is sent on can be cut at records.
const RECORD_TARGET: usize = 64 << 10;

/// Key and length of a span take at most this much: the length of a span fits 32 bits.
const FRAME: usize = 6;

/// The key of `ScopeSpans.spans`: field 2, length-delimited.
pub(crate) const SPANS_KEY: u8 = 2 << 3 | 2;

#[derive(Debug, Default)]
struct Segment {
    data: Vec<u8>,
    live_records: u32,
}

/// The segments of one shard.
#[derive(Debug)]
pub(crate) struct Segments {
    segments: Vec<Segment>,
    current: usize,
    free: Vec<usize>,
    /// Emptied buffers of the usual size, for the next segments.
    spare: Vec<Vec<u8>>,
    segment_bytes: usize,
    in_use: usize,
}

/// How many emptied buffers are kept.
const MAX_SPARE: usize = 4;

impl Segments {
    pub(crate) fn new(segment_bytes: usize) -> Self {
        Self {
            segments: vec![Segment::default()],
            current: 0,
            free: Vec::new(),
            spare: Vec::new(),
            segment_bytes,
            in_use: 0,
        }
    }

    /// Bytes allocated, emptied buffers included.
    pub(crate) fn memory(&self) -> usize {
        self.in_use + self.spare.len() * self.segment_bytes
    }

    /// Bytes allocated in segments that hold spans, or are being filled.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    /// Starts a record with its first span.
    pub(crate) fn begin(&mut self, previous: RecordAt, scope: u32, span: &[u8]) -> RecordAt {
        let needed = HEADER + FRAME + span.len();
        if self.room() < needed {
            self.roll(needed);
        }
        let segment = &mut self.segments[self.current];
        let at = RecordAt::new(self.current, segment.data.len());
        segment.live_records += 1;
        segment.data.extend_from_slice(&previous.0.to_le_bytes());
        segment.data.extend_from_slice(&scope.to_le_bytes());
        segment.data.extend_from_slice(&[0; 4]);
        put_span(&mut segment.data, span);
        at
    }

    /// Adds a span to the record begun last; false when it is full and another has to be begun.
    pub(crate) fn extend(&mut self, at: RecordAt, span: &[u8]) -> bool {
        if at.segment() != self.current {
            return false;
        }
        let room = self.room();
        let data = &mut self.segments[self.current].data;
        let fits = data.len() - at.offset() + span.len() <= RECORD_TARGET && room >= FRAME + span.len();
        if fits {
            put_span(data, span);
        }
        fits
    }

    /// Writes the record's length: to be done before anything else is begun.
    pub(crate) fn end(&mut self, at: RecordAt) {
        let data = &mut self.segments[at.segment()].data;
        let len = (data.len() - at.offset() - HEADER) as u32;
        data[at.offset() + 12..at.offset() + HEADER].copy_from_slice(&len.to_le_bytes());
    }

    pub(crate) fn get(&self, at: RecordAt) -> Record<'_> {
        let data = &self.segments[at.segment()].data[at.offset()..];
        let (header, spans) = data.split_at(HEADER);
        let word = |from: usize| {
            header[from..from + 4].iter().rev().fold(0_u32, |word, &byte| word << 8 | u32::from(byte))
        };
        Record {
            previous: RecordAt(u64::from(word(4)) << 32 | u64::from(word(0))),
            scope: word(8),
            spans: &spans[..word(12) as usize],
        }
    }

    /// Lets go of a record, and of its segment with the last one.
    pub(crate) fn release(&mut self, at: RecordAt) {
        let index = at.segment();
        let segment = &mut self.segments[index];
        segment.live_records -= 1;
        if segment.live_records > 0 {
            return;
        }
        if index == self.current && segment.data.capacity() == self.segment_bytes {
            segment.data.clear();
        } else if index != self.current {
            self.retire(index);
        }
    }

    fn room(&self) -> usize {
        let data = &self.segments[self.current].data;
        data.capacity() - data.len()
    }

    /// Makes a segment with room for `needed` bytes the current one.
    fn roll(&mut self, needed: usize) {
        if self.segments[self.current].live_records == 0 {
            self.retire(self.current);
        }
        let data = match self.spare.pop() {
            Some(data) if needed <= data.capacity() => data,
            spare => {
                self.spare.extend(spare);
                Vec::with_capacity(needed.max(self.segment_bytes))
            }
        };
        self.in_use += data.capacity();
        self.current = self.free.pop().unwrap_or_else(|| {
            self.segments.push(Segment::default());
            self.segments.len() - 1
        });
        self.segments[self.current].data = data;
    }

    fn retire(&mut self, index: usize) {
        let mut data = std::mem::take(&mut self.segments[index].data);
        self.free.push(index);
        self.in_use -= data.capacity();
        if data.capacity() == self.segment_bytes && self.spare.len() < MAX_SPARE {
            data.clear();
            self.spare.push(data);
        }
    }
}

fn put_span(out: &mut Vec<u8>, span: &[u8]) {
    out.push(SPANS_KEY);
    crate::emit::put_varint(out, span.len());
    out.extend_from_slice(span);
}

/// The spans of a record one by one.
pub(crate) fn spans(mut encoded: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (_, mut rest) = encoded.split_first()?;
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
