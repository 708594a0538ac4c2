//! Writing kept spans as requests, a run of spans at a time.

use forebay_otlp::traces::ScopeSpansView;

use crate::decision::{Action, Emit};

/// A run of spans under its headers. Equal numbers mean equal headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) resource: u32,
    pub(crate) scope: u32,
    pub(crate) resource_header: &'a [u8],
    pub(crate) scope_header: &'a [u8],
    /// Encoded as in `ScopeSpans.spans`, and how many they are.
    pub(crate) spans: &'a [u8],
    pub(crate) count: usize,
    /// Attributes to add to the scope (see `marks`): of all runs or of none.
    pub(crate) mark: &'a [u8],
}

/// A request is sent on when it has about this many bytes; runs are not cut, so it may be somewhat larger.
pub(crate) const REQUEST_TARGET: usize = 256 << 10;

/// Keys of `ExportTraceServiceRequest.resource_spans` (1) and `ResourceSpans.scope_spans` (2), length-delimited.
const RESOURCE_SPANS_KEY: u8 = 1 << 3 | 2;
const SCOPE_SPANS_KEY: u8 = 2 << 3 | 2;

/// Collects runs into requests and requests into actions.
#[derive(Debug, Default)]
pub(crate) struct Emitter {
    request: Vec<u8>,
    spans: usize,
    /// Bytes of the last request: room for as much is made at once for the next one.
    usual: usize,
    marked: Marked,
}

/// The marked headers of a resource's scopes, one behind the other.
#[derive(Debug, Default)]
struct Marked {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Marked {
    fn write<'a>(&mut self, headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        self.bytes.clear();
        self.ends.clear();
        for (header, mark) in headers {
            ScopeSpansView::new(header).write_header_with(mark, &mut self.bytes);
            self.ends.push(self.bytes.len());
        }
    }

    /// The header of the scope with this number.
    fn get(&self, scope: usize) -> &[u8] {
        let start = scope.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(scope).and_then(|&end| self.bytes.get(start..end)).unwrap_or_default()
    }
}

impl Emitter {
    /// Writes runs in order; neighbours with the same headers share them. `piece` looks a run up.
    pub(crate) fn write<'a, K>(
        &mut self,
        mut runs: &[K],
        piece: impl Fn(&K) -> Piece<'a>,
        out: &mut Vec<Action>,
    ) {
        while !runs.is_empty() {
            // As many runs as the request has room for, and at least one.
            let mut room = REQUEST_TARGET.saturating_sub(self.request.len());
            let fitting = runs
                .iter()
                .take_while(|run| {
                    let open = room > 0;
                    room = room.saturating_sub(piece(run).spans.len());
                    open
                })
                .count();
            let (now, later) = runs.split_at(fitting.max(1).min(runs.len()));
            let mut rest = now;
            while let Some(first) = rest.first() {
                let resource = piece(first).resource;
                let same = rest.iter().take_while(|run| piece(run).resource == resource).count();
                let (group, after) = rest.split_at(same);
                self.resource_spans(group, &piece);
                rest = after;
            }
            runs = later;
            if self.request.len() >= REQUEST_TARGET {
                self.flush(out);
            }
        }
    }

    /// Whether something was collected that is not sent on yet.
    pub(crate) fn gathers(&self) -> bool {
        !self.request.is_empty()
    }

    /// Bytes allocated.
    pub(crate) fn memory(&self) -> usize {
        self.request.capacity()
    }

    /// Sends on what was collected.
    pub(crate) fn flush(&mut self, out: &mut Vec<Action>) {
        if !self.request.is_empty() {
            let mut request = std::mem::take(&mut self.request);
            self.usual = request.len();
            // It may wait for long in an exporter's queue, which counts what it holds and not what it could.
            if request.len() < request.capacity() / 2 {
                request.shrink_to_fit();
            }
            out.push(Action::Emit(Emit { request, spans: std::mem::take(&mut self.spans) }));
        }
    }

    fn resource_spans<'a, K>(&mut self, runs: &[K], piece: &impl Fn(&K) -> Piece<'a>) {
        let Some(first) = runs.first().map(piece) else { return };
        let is_marked = !first.mark.is_empty();
        if is_marked {
            let firsts = scopes(runs, piece).filter_map(|scope| scope.first().map(piece));
            self.marked.write(firsts.map(|first| (first.scope_header, first.mark)));
        }
        let marked = &self.marked;
        let header = |scope: usize, runs: &[K]| match runs.first() {
            Some(_) if is_marked => marked.get(scope),
            Some(run) => piece(run).scope_header,
            None => &[],
        };
        let scope_len = |(scope, runs): (usize, &[K])| {
            header(scope, runs).len() + runs.iter().map(|run| piece(run).spans.len()).sum::<usize>()
        };
        let body: usize = scopes(runs, piece).enumerate().map(|scope| framed_len(scope_len(scope))).sum();
        let len = first.resource_header.len() + body;
        if self.request.capacity() == 0 {
            self.request.reserve_exact(framed_len(len).max(self.usual + self.usual / 16));
        }
        self.request.reserve(framed_len(len));
        self.request.push(RESOURCE_SPANS_KEY);
        put_varint(&mut self.request, len);
        self.request.extend_from_slice(first.resource_header);
        for (number, scope) in scopes(runs, piece).enumerate() {
            self.request.push(SCOPE_SPANS_KEY);
            put_varint(&mut self.request, scope_len((number, scope)));
            self.request.extend_from_slice(header(number, scope));
            for run in scope {
                let Piece { spans, count, .. } = piece(run);
                self.spans += count;
                self.request.extend_from_slice(spans);
            }
        }
    }
}

/// Runs cut where the scope or its mark changes.
fn scopes<'r, 'a, K>(runs: &'r [K], piece: &impl Fn(&K) -> Piece<'a>) -> impl Iterator<Item = &'r [K]> {
    let of = |run: &K| {
        let piece = piece(run);
        (piece.scope, piece.mark)
    };
    runs.chunk_by(move |a, b| of(a) == of(b))
}

fn framed_len(len: usize) -> usize {
    let bits = (len | 1).ilog2() as usize + 1;
    1 + bits.div_ceil(7) + len
}

/// Writes a length as protobuf's varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
