//! Building, splitting and counting requests by moving slices, never decoding them.
//!
//! Two requests one after the other are a request: `resource_spans` is a repeated field, and protobuf merges
//! messages by concatenation. So joining whole requests needs nothing from here.

use crate::traces::TracesView;
use crate::traces::keys::{request, resource_spans, scope_spans};
use crate::wire::{framed_len, put_bytes, put_frame};

/// Builds an `ExportTraceServiceRequest` from slices: lengths are added up as spans come, then everything is
/// written once. Reusable after [`finish`](Self::finish), without allocating again.
///
/// Headers come from [`ResourceSpansView::write_header`](crate::traces::ResourceSpansView::write_header) and
/// [`ScopeSpansView::write_header`](crate::traces::ScopeSpansView::write_header).
#[derive(Debug, Clone, Default)]
pub struct RequestBuilder<'a> {
    resources: Vec<Group<'a>>,
    scopes: Vec<Group<'a>>,
    spans: Vec<&'a [u8]>,
}

/// A header and how many groups or spans of the level below follow it.
#[derive(Debug, Clone, Copy)]
struct Group<'a> {
    header: &'a [u8],
    members: usize,
    /// Length of the body: of a scope with its spans, of a resource with its header only until finished.
    len: usize,
}

impl<'a> RequestBuilder<'a> {
    /// An empty request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a span. Spans that follow each other with equal headers share one `ResourceSpans` and `ScopeSpans`.
    #[inline]
    pub fn push(&mut self, resource_header: &'a [u8], scope_header: &'a [u8], span: &'a [u8]) {
        let same_resource = self.resources.last().is_some_and(|group| same(group.header, resource_header));
        if !same_resource {
            self.begin_resource(resource_header);
        }
        let in_scope = self.resources.last().is_some_and(|group| group.members > 0);
        if !in_scope || !self.scopes.last().is_some_and(|group| same(group.header, scope_header)) {
            self.begin_scope(scope_header);
        }
        self.span(span);
    }

    /// Begins a `ResourceSpans`, to which the scopes that follow belong.
    pub fn begin_resource(&mut self, header: &'a [u8]) {
        self.resources.push(Group { header, members: 0, len: header.len() });
    }

    /// Begins a `ScopeSpans`, to which the spans that follow belong; under an empty resource if none was begun.
    pub fn begin_scope(&mut self, header: &'a [u8]) {
        if self.resources.is_empty() {
            self.begin_resource(&[]);
        }
        if let Some(resource) = self.resources.last_mut() {
            resource.members += 1;
        }
        self.scopes.push(Group { header, members: 0, len: header.len() });
    }

    /// Adds a span to the scope begun last; to an empty one if the resource has none yet.
    #[inline]
    pub fn span(&mut self, span: &'a [u8]) {
        if self.resources.last().is_none_or(|resource| resource.members == 0) {
            self.begin_scope(&[]);
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.members += 1;
            scope.len += framed_len(span.len());
        }
        self.spans.push(span);
    }

    /// How many spans were added since the last finish.
    pub fn span_count(&self) -> usize {
        self.spans.len()
    }

    /// Whether nothing was added since the last finish.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// How many bytes [`finish`](Self::finish) will write.
    pub fn encoded_len(&self) -> usize {
        let mut scopes = self.scopes.iter();
        self.resources
            .iter()
            .map(|resource| {
                let scopes = scopes.by_ref().take(resource.members);
                framed_len(resource.len + scopes.map(|scope| framed_len(scope.len)).sum::<usize>())
            })
            .sum()
    }

    /// Appends the request to `out` and empties the builder.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_len());
        let (mut scopes, mut spans) = (self.scopes.as_slice(), self.spans.as_slice());
        for resource in &self.resources {
            let members = take(&mut scopes, resource.members);
            let len = resource.len + members.iter().map(|scope| framed_len(scope.len)).sum::<usize>();
            put_frame(out, request::RESOURCE_SPANS, len);
            out.extend_from_slice(resource.header);
            for scope in members {
                put_frame(out, resource_spans::SCOPE_SPANS, scope.len);
                out.extend_from_slice(scope.header);
                for span in take(&mut spans, scope.members) {
                    put_bytes(out, scope_spans::SPANS, span);
                }
            }
        }
        self.resources.clear();
        self.scopes.clear();
        self.spans.clear();
    }
}

/// Equal, by address if possible: headers are mostly shared.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    (a.as_ptr() == b.as_ptr() && a.len() == b.len()) || a == b
}

fn take<'s, T>(from: &mut &'s [T], count: usize) -> &'s [T] {
    let (taken, rest) = from.split_at(count.min(from.len()));
    *from = rest;
    taken
}

/// How many spans a validated request holds. Looks at keys and lengths only.
pub fn count_spans(request: &[u8]) -> usize {
    TracesView::new(request)
        .resource_spans()
        .flat_map(|resource_spans| resource_spans.scope_spans())
        .map(|scope_spans| scope_spans.spans().count())
        .sum()
}

/// Splits a validated request into requests of at most `max_spans` spans (0: no limit), in order and losing
/// nothing: each repeats the headers that its spans need; groups without spans stay where they are; unknown fields
/// of the request itself come in the first.
pub fn split(request: &[u8], max_spans: usize) -> Vec<Vec<u8>> {
    if max_spans == 0 || count_spans(request) <= max_spans {
        return vec![request.to_vec()];
    }
    let headers = Headers::of(request);
    let mut header = headers.iter();
    let mut parts = Vec::new();
    let mut part = header.next().unwrap_or_default().to_vec();
    let mut builder = RequestBuilder::new();
    for resource_spans in TracesView::new(request).resource_spans() {
        let resource_header = header.next().unwrap_or_default();
        builder.begin_resource(resource_header);
        for scope_spans in resource_spans.scope_spans() {
            let scope_header = header.next().unwrap_or_default();
            builder.begin_scope(scope_header);
            for span in scope_spans.spans() {
                if builder.span_count() == max_spans {
                    builder.finish(&mut part);
                    parts.push(std::mem::take(&mut part));
                    builder.begin_resource(resource_header);
                    builder.begin_scope(scope_header);
                }
                builder.span(span.bytes());
            }
        }
    }
    builder.finish(&mut part);
    parts.push(part);
    parts
}

/// All headers of a request in the order met: its own, then each resource's followed by its scopes'.
struct Headers {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Headers {
    fn of(request: &[u8]) -> Self {
        let mut headers = Self { bytes: Vec::new(), ends: Vec::new() };
        let request = TracesView::new(request);
        headers.add(|out| request.write_header(out));
        for resource_spans in request.resource_spans() {
            headers.add(|out| resource_spans.write_header(out));
            for scope_spans in resource_spans.scope_spans() {
                headers.add(|out| scope_spans.write_header(out));
            }
        }
        headers
    }

    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| self.bytes.get(start..end).unwrap_or_default())
    }
}
