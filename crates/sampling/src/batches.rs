//! What is known of a trace by batch, as the collector counts them: the trace's spans in one `ResourceSpans` of one
//! request. Kept only for policies and settings that ask for it.

use forebay_otlp::traces::{ResourceSpansView, ScopeSpansView};

use crate::explain::Votes;
use crate::facts::Facts;
use crate::policy::Outcome;

/// A trace's batch that is being taken in, evaluated by itself (`span_ingest`).
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// What is known from it alone.
    pub(crate) facts: Facts,
    /// It has not been evaluated.
    pub(crate) open: bool,
    /// The policy that an earlier batch matched, while drop policies may still match a later one.
    pub(crate) keep: Option<usize>,
    pub(crate) outcome: Option<Outcome>,
    /// The part of a `composite` policy that let it through.
    pub(crate) part: Option<(usize, usize)>,
    /// What policies said of this and earlier batches.
    pub(crate) cast: Votes,
}

/// Which batch a span came in, and which scope of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct BatchAt {
    pub(crate) batch: u32,
    pub(crate) scope: u32,
}

/// The encoded size of a trace: resource and scope once for each batch they came in, without schema URLs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Size {
    at: BatchAt,
    /// Bytes of all batches.
    bodies: u64,
    /// Keys and lengths around them.
    frames: u64,
    /// Bytes of the batch and of the scope that grow.
    batch: u64,
    scope: u64,
}

impl Size {
    /// As an `ExportTraceServiceRequest` of its own.
    pub(crate) fn request(&self) -> u64 {
        self.bodies + self.frames
    }

    /// The sum of its `ResourceSpans`.
    pub(crate) fn batches(&self) -> u64 {
        self.bodies
    }

    /// Adds a span of `len` bytes under its headers.
    pub(crate) fn add(&mut self, at: BatchAt, resource_header: &[u8], scope_header: &[u8], len: u64) {
        let new_batch = self.bodies == 0 || at.batch != self.at.batch;
        let new_scope = new_batch || at.scope != self.at.scope;
        let batch_before = if new_batch { 0 } else { framed(self.batch) };
        let scope_before = if new_scope { 0 } else { framed(self.scope) };
        let header = ScopeSpansView::new(scope_header).schema_url();
        let scope = if new_scope { header_len(scope_header, header) } else { self.scope };
        self.scope = scope + framed(len);
        let mut growth = framed(self.scope) - scope_before;
        if new_batch {
            growth += header_len(resource_header, ResourceSpansView::new(resource_header).schema_url());
        }
        self.batch = growth + if new_batch { 0 } else { self.batch };
        self.bodies += growth;
        self.frames += framed(self.batch) - batch_before - growth;
        self.at = at;
    }
}

/// A message with its key (one byte) and length.
pub(crate) fn framed(len: u64) -> u64 {
    1 + u64::from((len | 1).ilog2() / 7 + 1) + len
}

fn header_len(header: &[u8], schema_url: &str) -> u64 {
    let schema_url = if schema_url.is_empty() { 0 } else { framed(schema_url.len() as u64) };
    (header.len() as u64).saturating_sub(schema_url)
}
