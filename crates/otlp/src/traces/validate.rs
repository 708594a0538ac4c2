//! One pass over a request that accepts exactly what prost decodes, and counts spans that no backend could place.

use std::ops::Range;

use thiserror::Error;

use crate::traces::StatusView;
use crate::traces::index::{Parent, ScopeEntry, SpanEntry, SpanIndex};
use crate::traces::keys::*;
use crate::traces::span::kind_and_times;
use crate::traces::value::plain_attribute;
use crate::wire::{Cursor, Fields, RECURSION_LIMIT, WireError};

mod parts;

use parts::{
    Checked, event, key_value, length_bit, link, plain_attributes, resource, scope, status, string, unknown,
};

/// What a valid request holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestStats {
    /// All spans, those with bad ids included.
    pub spans: usize,
    /// Spans with bad ids.
    pub invalid: InvalidSpans,
}

/// Spans with bad ids, each counted once, by the first of these that is wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InvalidSpans {
    /// The trace id is not 16 bytes, or all zero.
    pub trace_id: usize,
    /// The span id is not 8 bytes, or all zero.
    pub span_id: usize,
    /// The parent's span id is neither empty nor 8 bytes.
    pub parent_span_id: usize,
}

impl InvalidSpans {
    /// How many spans in all.
    pub fn total(self) -> usize {
        self.trace_id + self.span_id + self.parent_span_id
    }

    /// The reasons with their counts, for the message of a partial success; empty if there is none.
    pub fn message(self) -> String {
        [
            (self.trace_id, IdError::TraceId),
            (self.span_id, IdError::SpanId),
            (self.parent_span_id, IdError::ParentSpanId),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{count} rejected: {reason}"))
        .collect::<Vec<_>>()
        .join("; ")
    }

    fn count(&mut self, reason: IdError) {
        match reason {
            IdError::TraceId => self.trace_id += 1,
            IdError::SpanId => self.span_id += 1,
            IdError::ParentSpanId => self.parent_span_id += 1,
        }
    }
}

/// Which of a span's ids is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// The trace id.
    #[error("trace_id must be 16 bytes, not all zero")]
    TraceId,
    /// The span id.
    #[error("span_id must be 8 bytes, not all zero")]
    SpanId,
    /// The parent's span id.
    #[error("parent_span_id must be empty or 8 bytes")]
    ParentSpanId,
}

/// Whether a span with these ids can be placed in a trace.
#[inline]
pub fn check_ids(trace_id: &[u8], span_id: &[u8], parent_span_id: &[u8]) -> Result<(), IdError> {
    if !<[u8; 16]>::try_from(trace_id).is_ok_and(|id| u128::from_ne_bytes(id) != 0) {
        Err(IdError::TraceId)
    } else if !<[u8; 8]>::try_from(span_id).is_ok_and(|id| u64::from_ne_bytes(id) != 0) {
        Err(IdError::SpanId)
    } else if !matches!(parent_span_id.len(), 0 | 8) {
        Err(IdError::ParentSpanId)
    } else {
        Ok(())
    }
}

/// Validates an `ExportTraceServiceRequest`: accepts exactly what prost decodes, in one pass and without allocating.
///
/// # Errors
/// When the bytes are not such a message. Bad ids are no error: they are counted.
pub fn validate(request: &[u8]) -> Result<RequestStats, WireError> {
    let mut pass = Pass::<false> { request, stats: RequestStats::default(), index: SpanIndex::default() };
    pass.traces().map_err(|fault| fault.within(request))?;
    Ok(pass.stats)
}

/// The same for a request of less than 4 GiB, and notes where its spans lie and what they say; not if it is of spans and scopes so
/// small that the notes would take more memory than the request.
///
/// # Errors
/// As [`validate`].
pub fn validate_and_index(request: &[u8]) -> Result<(RequestStats, Option<SpanIndex>), WireError> {
    let index = SpanIndex::for_bytes(request.len());
    let mut pass = Pass::<true> { request, stats: RequestStats::default(), index };
    pass.traces().map_err(|fault| fault.within(request))?;
    let index = (!pass.index.is_given_up).then_some(pass.index);
    Ok((pass.stats, index))
}

/// A walk down to the spans; what lies below is checked by functions.
struct Pass<'a, const INDEXED: bool> {
    request: &'a [u8],
    stats: RequestStats,
    index: SpanIndex,
}

impl<'a, const INDEXED: bool> Pass<'a, INDEXED> {
    fn traces(&mut self) -> Checked {
        let depth = RECURSION_LIMIT;
        let mut cursor = Cursor::new(self.request);
        let mut resource = 0;
        while !cursor.is_empty() {
            match cursor.any_key()? {
                request::RESOURCE_SPANS => {
                    resource += 1;
                    self.resource_spans(cursor.bytes()?, resource, depth - 1)?;
                }
                key => unknown(&mut cursor, key, 1, depth)?,
            }
        }
        Ok(())
    }

    fn resource_spans(&mut self, body: &'a [u8], resource_number: u32, depth: u32) -> Checked {
        let first_scope = self.index.scopes.len();
        let mut cursor = Cursor::new(body);
        while !cursor.is_empty() {
            match cursor.any_key()? {
                resource_spans::RESOURCE => resource(cursor.bytes()?, depth - 1)?,
                resource_spans::SCOPE_SPANS => {
                    self.scope_spans(cursor.bytes()?, resource_number, depth - 1)?;
                }
                resource_spans::SCHEMA_URL => string(&mut cursor)?,
                key => unknown(&mut cursor, key, 3, depth)?,
            }
        }
        if INDEXED {
            let from = self.index.headers.len() as u32;
            for field in Fields::new(body).filter(|field| field.key != resource_spans::SCOPE_SPANS) {
                let place = self.place(field.raw, field.raw.len());
                self.index.headers.push(place);
            }
            let to = self.index.headers.len() as u32;
            for scope in self.index.scopes.iter_mut().skip(first_scope) {
                scope.resource_header = from..to;
            }
            self.index.give_up_beyond(self.request.len());
        }
        Ok(())
    }

    fn scope_spans(&mut self, whole: &'a [u8], resource: u32, depth: u32) -> Checked {
        let (headers, spans) = (self.index.headers.len() as u32, self.index.spans.len() as u32);
        let mut cursor = Cursor::new(whole);
        while !cursor.is_empty() {
            let start = cursor.rest;
            match cursor.any_key()? {
                scope_spans::SPANS => {
                    let body = cursor.bytes()?;
                    let field = &start[..start.len() - cursor.rest.len()];
                    self.span(
                        field,
                        body,
                        start.get(field.len() - body.len()..).unwrap_or_default(),
                        depth - 1,
                    )?;
                    continue;
                }
                scope_spans::SCOPE => scope(cursor.bytes()?, depth - 1)?,
                scope_spans::SCHEMA_URL => string(&mut cursor)?,
                key => unknown(&mut cursor, key, 3, depth)?,
            }
            if INDEXED {
                let field = self.place(start, start.len() - cursor.rest.len());
                self.index.headers.push(field);
            }
        }
        if INDEXED {
            let header = headers..self.index.headers.len() as u32;
            let spans = spans..self.index.spans.len() as u32;
            self.index.scopes.push(ScopeEntry { resource, resource_header: 0..0, header, spans });
            self.index.give_up_beyond(self.request.len());
        }
        Ok(())
    }

    /// `ahead` is what can be read from the start of the body on: more than the body, as a rule.
    fn span(&mut self, field: &'a [u8], body: &'a [u8], ahead: &'a [u8], depth: u32) -> Checked {
        let (mut trace_id, mut span_id, mut parent_span_id) = (&[][..], &[][..], &[][..]);
        let mut cursor = Cursor::new(body);
        let mut entry = SpanEntry::default();
        if INDEXED {
            let Range { start, end } = self.place(field, field.len());
            entry = SpanEntry::new(start, end - start, (field.len() - body.len()) as u32);
        }
        // Nearly every span begins with these, in this order. A branch that is right is cheaper than the jump of the
        // match below, which reads whatever is not as expected, and fields that come again: the last one counts.
        if let Some(id) = cursor.step_over_id::<16>(span::TRACE_ID) {
            trace_id = id;
            if let Some(id) = cursor.step_over_id::<8>(span::SPAN_ID) {
                span_id = id;
            }
            if let Some(id) = cursor.step_over_id::<8>(span::PARENT_SPAN_ID) {
                parent_span_id = id;
                let is_zero = u64::from_ne_bytes(*id) == 0;
                entry.parent = if is_zero { Parent::Zero } else { Parent::Given };
            }
            if cursor.step_over(span::NAME) {
                let start = cursor.rest;
                if !cursor.step_over_ascii() {
                    string(&mut cursor)?;
                }
                if INDEXED {
                    let name = Cursor::new(start).bytes()?;
                    entry.name = (self.place(name, 0).start, name.len() as u32);
                }
            }
            if let Some((next, rest)) = cursor.rest.split_first_chunk()
                && let Some((start, end)) = kind_and_times(next)
            {
                cursor.rest = rest;
                (entry.start_time, entry.end_time) = (start, end);
                entry.is_usual = true;
            }
            entry.key_lengths |= plain_attributes(&mut cursor, body, ahead);
        }
        while !cursor.is_empty() {
            match cursor.any_key()? {
                span::ATTRIBUTES => {
                    let attribute = cursor.bytes()?;
                    key_value(attribute, depth - 1)?;
                    if INDEXED {
                        let plain = plain_attribute(attribute);
                        entry.is_usual &= plain.is_some();
                        entry.key_lengths |= plain.map_or(0, |(key, _)| length_bit(key.len()));
                    }
                    entry.key_lengths |= plain_attributes(&mut cursor, body, ahead);
                    continue;
                }
                span::EVENTS => {
                    event(cursor.bytes()?, depth - 1)?;
                    continue;
                }
                span::LINKS => {
                    link(cursor.bytes()?, depth - 1)?;
                    continue;
                }
                span::STATUS => {
                    let body = cursor.bytes()?;
                    status(body, depth - 1)?;
                    // One in pieces is read by who asks for it.
                    entry.is_usual &= !entry.has_status;
                    entry.has_status = true;
                    if INDEXED {
                        entry.status_code = StatusView::new(body).code();
                    }
                    continue;
                }
                span::FLAGS => {
                    entry.flags = cursor.fixed32()?;
                    continue;
                }
                span::DROPPED_ATTRIBUTES_COUNT | span::DROPPED_EVENTS_COUNT | span::DROPPED_LINKS_COUNT => {
                    cursor.varint()?;
                    continue;
                }
                span::TRACE_ID => trace_id = cursor.bytes()?,
                span::SPAN_ID => span_id = cursor.bytes()?,
                span::PARENT_SPAN_ID => parent_span_id = cursor.bytes()?,
                span::NAME | span::TRACE_STATE => string(&mut cursor)?,
                span::START_TIME | span::END_TIME => drop(cursor.fixed64()?),
                span::KIND => drop(cursor.varint()?),
                key => {
                    unknown(&mut cursor, key, 16, depth)?;
                    continue;
                }
            }
            entry.is_usual = false;
        }
        self.stats.spans += 1;
        if let Err(reason) = check_ids(trace_id, span_id, parent_span_id) {
            self.stats.invalid.count(reason);
        }
        if INDEXED {
            self.index.spans.push(entry);
            self.index.give_up_beyond(self.request.len());
        }
        Ok(())
    }

    /// The place in the request of the first `len` bytes of a part of it.
    #[inline]
    fn place(&self, part: &[u8], len: usize) -> Range<u32> {
        let start = (part.as_ptr() as usize).wrapping_sub(self.request.as_ptr() as usize) as u32;
        start..start + len as u32
    }
}
