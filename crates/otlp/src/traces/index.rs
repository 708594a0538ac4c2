//! What validation has seen of a request: where its spans lie, and what nearly every span says in the same place.
//!
//! Whoever reads spans right after validation need not walk them again. Offsets are into the request that was validated.

use std::ops::Range;

use crate::traces::SpanView;

/// A usual span begins with the trace id's key and length.
const TRACE_ID_AT: u32 = 2;

/// The spans of a valid request by scope.
#[derive(Clone, Debug, Default)]
pub struct SpanIndex {
    pub(super) scopes: Vec<ScopeEntry>,
    pub(super) spans: Vec<SpanEntry>,
    /// Fields of resources that are not scopes, and of scopes that are not spans.
    pub(super) headers: Vec<Range<u32>>,
    /// It would have been too large.
    pub(super) is_given_up: bool,
}

/// Bytes that an index may take whatever the request's length is.
const ALLOWED: usize = 4 << 10;

/// A scope of a request.
#[derive(Clone, Debug)]
pub(super) struct ScopeEntry {
    /// Which resource of the request it is under, from 1.
    pub(super) resource: u32,
    pub(super) resource_header: Range<u32>,
    pub(super) header: Range<u32>,
    pub(super) spans: Range<u32>,
}

/// A span. Of one that is not [usual](Self::is_usual) only the place is meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpanEntry {
    /// Where its field begins, how long that is, and how much of it is key and length.
    start: u32,
    len: u32,
    head: u32,
    pub(super) name: (u32, u32),
    pub(super) key_lengths: u64,
    pub(super) start_time: u64,
    pub(super) end_time: u64,
    pub(super) flags: u32,
    pub(super) status_code: i32,
    pub(super) parent: Parent,
    pub(super) has_status: bool,
    pub(super) is_usual: bool,
}

/// What a span says of its parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parent {
    /// Nothing.
    #[default]
    Missing,
    /// An id of zeros: there is none.
    Zero,
    /// Its id.
    Given,
}

/// A scope of an index.
#[derive(Clone, Copy, Debug)]
pub struct IndexedScope<'i> {
    index: &'i SpanIndex,
    entry: &'i ScopeEntry,
}

impl SpanIndex {
    /// An empty one with room for what a request of so many bytes usually holds.
    #[must_use]
    pub fn for_bytes(len: usize) -> Self {
        let spans = len / 256 + 4;
        Self {
            scopes: Vec::with_capacity(4),
            spans: Vec::with_capacity(spans),
            headers: Vec::with_capacity(8),
            is_given_up: false,
        }
    }

    /// Lets go of all notes, and of those to come, once they take more than a request of `len` bytes.
    #[inline]
    pub(super) fn give_up_beyond(&mut self, len: usize) {
        let bytes = self.spans.len() * size_of::<SpanEntry>()
            + self.scopes.len() * size_of::<ScopeEntry>()
            + self.headers.len() * size_of::<Range<u32>>();
        if bytes > len + ALLOWED || self.is_given_up {
            *self = Self { is_given_up: true, ..Self::default() };
        }
    }

    /// How many spans there are.
    #[must_use]
    pub fn spans(&self) -> usize {
        self.spans.len()
    }

    /// The scopes in order.
    pub fn scopes(&self) -> impl Iterator<Item = IndexedScope<'_>> {
        self.scopes.iter().map(|entry| IndexedScope { index: self, entry })
    }

    fn write(&self, headers: &Range<u32>, request: &[u8], out: &mut Vec<u8>) {
        for field in self.headers.get(headers.start as usize..headers.end as usize).unwrap_or_default() {
            out.extend_from_slice(part(request, field.start, field.end - field.start));
        }
    }
}

impl<'i> IndexedScope<'i> {
    /// Which resource of the request it is under, from 1.
    #[must_use]
    pub fn resource(self) -> u32 {
        self.entry.resource
    }

    /// Appends every field of the resource but its scopes, as `ResourceSpansView::write_header` does.
    pub fn write_resource_header(self, request: &[u8], out: &mut Vec<u8>) {
        self.index.write(&self.entry.resource_header, request, out);
    }

    /// Appends every field of the scope but its spans, as `ScopeSpansView::write_header` does.
    pub fn write_header(self, request: &[u8], out: &mut Vec<u8>) {
        self.index.write(&self.entry.header, request, out);
    }

    /// The spans in order.
    #[must_use]
    pub fn spans(self) -> &'i [SpanEntry] {
        let Range { start, end } = self.entry.spans;
        self.index.spans.get(start as usize..end as usize).unwrap_or_default()
    }
}

impl SpanEntry {
    pub(super) fn new(start: u32, len: u32, head: u32) -> Self {
        Self { start, len, head, ..Self::default() }
    }

    /// Its ids, its name, its kind and its times lie in front as SDKs write them and nowhere else, each attribute has a key and
    /// a value, and there is no trace state: all that is said here of it is true.
    #[inline]
    #[must_use]
    pub fn is_usual(&self) -> bool {
        self.is_usual
    }

    /// The whole field of `ScopeSpans` that it is.
    #[inline]
    #[must_use]
    pub fn field<'r>(&self, request: &'r [u8]) -> &'r [u8] {
        part(request, self.start, self.len)
    }

    /// The span.
    #[inline]
    #[must_use]
    pub fn view<'r>(&self, request: &'r [u8]) -> SpanView<'r> {
        SpanView::new(self.field(request).get(self.head as usize..).unwrap_or_default())
    }

    /// The trace id.
    #[inline]
    #[must_use]
    pub fn trace_id(&self, request: &[u8]) -> [u8; 16] {
        let id = part(request, self.start + self.head + TRACE_ID_AT, 16);
        id.try_into().unwrap_or_default()
    }

    /// How long the keys of its attributes are: bit n for n bytes, the highest for any longer.
    #[inline]
    #[must_use]
    pub fn key_lengths(&self) -> u64 {
        self.key_lengths
    }

    /// The span's name.
    #[inline]
    #[must_use]
    pub fn name<'r>(&self, request: &'r [u8]) -> &'r [u8] {
        part(request, self.name.0, self.name.1)
    }

    /// Start and end, in nanoseconds since the Unix epoch.
    #[inline]
    #[must_use]
    pub fn times(&self) -> (u64, u64) {
        (self.start_time, self.end_time)
    }

    /// What it says of its parent.
    #[inline]
    #[must_use]
    pub fn parent(&self) -> Parent {
        self.parent
    }

    /// The `StatusCode`; none without a status.
    #[inline]
    #[must_use]
    pub fn status_code(&self) -> Option<i32> {
        self.has_status.then_some(self.status_code)
    }

    /// The trace flags.
    #[inline]
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags
    }
}

#[inline]
fn part(request: &[u8], start: u32, len: u32) -> &[u8] {
    let start = start as usize;
    request.get(start..start + len as usize).unwrap_or_default()
}
