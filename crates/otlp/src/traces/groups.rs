//! Views of a request and of what groups its spans: resources and scopes.

use crate::traces::keys::{request, resource, resource_spans, scope, scope_spans};
use crate::traces::{KeyValueView, SpanView};
use crate::wire::{Fields, Merged, put_frame, text};

/// An `ExportTraceServiceRequest` (or a `TracesData`, which is the same on the wire).
#[derive(Debug, Clone, Copy)]
pub struct TracesView<'a> {
    body: &'a [u8],
}

impl<'a> TracesView<'a> {
    /// A view of a request.
    #[inline]
    pub fn new(request: &'a [u8]) -> Self {
        Self { body: request }
    }

    /// The request's bytes.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.body
    }

    /// The spans by resource.
    #[inline]
    pub fn resource_spans(self) -> impl Iterator<Item = ResourceSpansView<'a>> + Clone {
        Merged::whole(self.body).repeated(request::RESOURCE_SPANS).map(ResourceSpansView::new)
    }

    /// Appends every field that is not resource spans: unknown ones, in order.
    pub fn write_header(self, out: &mut Vec<u8>) {
        write_all_but(self.body, request::RESOURCE_SPANS, out);
    }
}

/// The spans of one resource.
#[derive(Debug, Clone, Copy)]
pub struct ResourceSpansView<'a> {
    body: &'a [u8],
}

impl<'a> ResourceSpansView<'a> {
    /// A view of the body of a `ResourceSpans` message.
    #[inline]
    pub fn new(body: &'a [u8]) -> Self {
        Self { body }
    }

    /// The message's body.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.body
    }

    /// The resource; an empty one if there is none. Looks at each scope's key: ask once per group.
    pub fn resource(self) -> ResourceView<'a> {
        ResourceView { message: Merged::find(self.body, resource_spans::RESOURCE).unwrap_or_default() }
    }

    /// Whether a resource is given, be it an empty one.
    pub fn has_resource(self) -> bool {
        Merged::find(self.body, resource_spans::RESOURCE).is_some()
    }

    /// The spans by scope.
    #[inline]
    pub fn scope_spans(self) -> impl Iterator<Item = ScopeSpansView<'a>> + Clone {
        Merged::whole(self.body).repeated(resource_spans::SCOPE_SPANS).map(ScopeSpansView::new)
    }

    /// The schema URL of the resource's attributes.
    pub fn schema_url(self) -> &'a str {
        text(Merged::whole(self.body).last_bytes(resource_spans::SCHEMA_URL))
    }

    /// Appends every field but the scope spans, unknown ones included, in order: what
    /// [`RequestBuilder`](crate::splice::RequestBuilder) takes as the header of a resource.
    pub fn write_header(self, out: &mut Vec<u8>) {
        write_all_but(self.body, resource_spans::SCOPE_SPANS, out);
    }
}

/// What produced the spans.
#[derive(Debug, Clone, Copy)]
pub struct ResourceView<'a> {
    message: Merged<'a>,
}

impl<'a> ResourceView<'a> {
    /// The attributes.
    #[inline]
    pub fn attributes(self) -> impl Iterator<Item = KeyValueView<'a>> + Clone {
        self.message.repeated(resource::ATTRIBUTES).map(KeyValueView::new)
    }

    /// How many attributes the SDK dropped.
    pub fn dropped_attributes_count(self) -> u32 {
        self.message.last_number(resource::DROPPED_ATTRIBUTES_COUNT) as u32
    }

    /// The message's body; only its first piece in the odd request that gives a resource in pieces.
    pub fn bytes(self) -> &'a [u8] {
        self.message.first_piece()
    }
}

/// The spans of one scope.
#[derive(Debug, Clone, Copy)]
pub struct ScopeSpansView<'a> {
    body: &'a [u8],
}

impl<'a> ScopeSpansView<'a> {
    /// A view of the body of a `ScopeSpans` message.
    #[inline]
    pub fn new(body: &'a [u8]) -> Self {
        Self { body }
    }

    /// The message's body.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.body
    }

    /// The scope; an empty one if there is none. Looks at each span's key: ask once per group.
    pub fn scope(self) -> ScopeView<'a> {
        ScopeView { message: Merged::find(self.body, scope_spans::SCOPE).unwrap_or_default() }
    }

    /// Whether a scope is given, be it an empty one.
    pub fn has_scope(self) -> bool {
        Merged::find(self.body, scope_spans::SCOPE).is_some()
    }

    /// The spans.
    #[inline]
    pub fn spans(self) -> impl Iterator<Item = SpanView<'a>> + Clone {
        Merged::whole(self.body).repeated(scope_spans::SPANS).map(SpanView::new)
    }

    /// The schema URL of the spans' attributes.
    pub fn schema_url(self) -> &'a str {
        text(Merged::whole(self.body).last_bytes(scope_spans::SCHEMA_URL))
    }

    /// Appends every field but the spans, unknown ones included, in order: what
    /// [`RequestBuilder`](crate::splice::RequestBuilder) takes as the header of a scope.
    pub fn write_header(self, out: &mut Vec<u8>) {
        write_all_but(self.body, scope_spans::SPANS, out);
    }

    /// Both in one pass: hands out the spans, each with its whole field as encoded, and appends to `header` what
    /// [`write_header`](Self::write_header) does.
    #[inline]
    pub fn read(self, header: &mut Vec<u8>, mut span: impl FnMut(SpanView<'a>, &'a [u8])) {
        let mut fields = Fields::new(self.body);
        loop {
            let (field, body) = match fields.step_over(scope_spans::SPANS) {
                Some(found) => found,
                None => match fields.next() {
                    Some(field) if field.key == scope_spans::SPANS => (field.raw, field.bytes),
                    Some(field) => {
                        header.extend_from_slice(field.raw);
                        continue;
                    }
                    None => return,
                },
            };
            span(SpanView::new(body), field);
        }
    }

    /// The same with attributes added to the scope, which the group gets if it has none. `added` are attributes as an
    /// `InstrumentationScope` encodes them; they take the place of those with the same keys.
    pub fn write_header_with(self, added: &[u8], out: &mut Vec<u8>) {
        let is_new = |attribute: &[u8]| {
            let key = KeyValueView::new(attribute).key_bytes();
            let mut keys = Merged::whole(added).repeated(scope::ATTRIBUTES).map(KeyValueView::new);
            keys.any(|added| added.key_bytes() == key)
        };
        let scope = Merged::find(self.body, scope_spans::SCOPE).unwrap_or_default();
        let kept = scope.fields().filter(|field| field.key != scope::ATTRIBUTES || !is_new(field.bytes));
        let len = kept.clone().map(|field| field.raw.len()).sum::<usize>() + added.len();
        put_frame(out, scope_spans::SCOPE, len);
        kept.for_each(|field| out.extend_from_slice(field.raw));
        out.extend_from_slice(added);
        let others = Fields::new(self.body)
            .filter(|field| ![scope_spans::SCOPE, scope_spans::SPANS].contains(&field.key));
        others.for_each(|field| out.extend_from_slice(field.raw));
    }
}

/// The library that made the spans.
#[derive(Debug, Clone, Copy)]
pub struct ScopeView<'a> {
    message: Merged<'a>,
}

impl<'a> ScopeView<'a> {
    /// The library's name.
    pub fn name(self) -> &'a str {
        text(self.message.last_bytes(scope::NAME))
    }

    /// The library's version.
    pub fn version(self) -> &'a str {
        text(self.message.last_bytes(scope::VERSION))
    }

    /// The attributes.
    #[inline]
    pub fn attributes(self) -> impl Iterator<Item = KeyValueView<'a>> + Clone {
        self.message.repeated(scope::ATTRIBUTES).map(KeyValueView::new)
    }

    /// How many attributes the SDK dropped.
    pub fn dropped_attributes_count(self) -> u32 {
        self.message.last_number(scope::DROPPED_ATTRIBUTES_COUNT) as u32
    }

    /// The message's body; only its first piece in the odd request that gives a scope in pieces.
    pub fn bytes(self) -> &'a [u8] {
        self.message.first_piece()
    }
}

fn write_all_but(body: &[u8], key: u32, out: &mut Vec<u8>) {
    for field in Fields::new(body).filter(|field| field.key != key) {
        out.extend_from_slice(field.raw);
    }
}
