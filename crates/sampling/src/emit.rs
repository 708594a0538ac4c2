//! Writing kept spans as requests, a run of spans at a time.

use crate::decision::{Action, Emit};

/// A run of spans under its headers. Equal numbers mean equal headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) resource: u32,
    pub(crate) scope: u32,
    pub(crate) resource_header: &'a [u8],
    pub(crate) scope_header: &'a [u8],
    /// Encoded as in `ScopeSpans.spans`.
    pub(crate) spans: &'a [u8],
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

    /// Sends on what was collected.
    pub(crate) fn flush(&mut self, out: &mut Vec<Action>) {
        if !self.request.is_empty() {
            let request = std::mem::take(&mut self.request);
            out.push(Action::Emit(Emit { request, spans: std::mem::take(&mut self.spans) }));
        }
    }

    fn resource_spans<'a, K>(&mut self, runs: &[K], piece: &impl Fn(&K) -> Piece<'a>) {
        let Some(header) = runs.first().map(|run| piece(run).resource_header) else { return };
        let body: usize = scopes(runs, piece).map(|scope| framed_len(scope_len(scope, piece))).sum();
        let len = header.len() + body;
        self.request.reserve(framed_len(len));
        self.request.push(RESOURCE_SPANS_KEY);
        put_varint(&mut self.request, len);
        self.request.extend_from_slice(header);
        for scope in scopes(runs, piece) {
            self.request.push(SCOPE_SPANS_KEY);
            put_varint(&mut self.request, scope_len(scope, piece));
            self.request.extend_from_slice(scope.first().map_or(&[][..], |run| piece(run).scope_header));
            for run in scope {
                let spans = piece(run).spans;
                self.spans += crate::segments::spans(spans).count();
                self.request.extend_from_slice(spans);
            }
        }
    }
}

/// Runs cut where the scope changes.
fn scopes<'r, 'a, K>(runs: &'r [K], piece: &impl Fn(&K) -> Piece<'a>) -> impl Iterator<Item = &'r [K]> {
    runs.chunk_by(|a, b| piece(a).scope == piece(b).scope)
}

/// The length of a `ScopeSpans` body.
fn scope_len<'a, K>(runs: &[K], piece: &impl Fn(&K) -> Piece<'a>) -> usize {
    let header = runs.first().map_or(0, |run| piece(run).scope_header.len());
    header + runs.iter().map(|run| piece(run).spans.len()).sum::<usize>()
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
