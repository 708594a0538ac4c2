//! Views of a span and of what it holds.

use crate::traces::KeyValueView;
use crate::traces::keys::{event, link, span, status};
use crate::traces::value::plain_attribute;
use crate::wire::{Cursor, Fault, Merged, RECURSION_LIMIT, text};

/// A span. Each getter walks the message: to read several fields, walk once with [`fields`](Self::fields).
#[derive(Debug, Clone, Copy)]
pub struct SpanView<'a> {
    body: &'a [u8],
}

impl<'a> SpanView<'a> {
    /// A view of the body of a `Span` message.
    #[inline]
    pub fn new(body: &'a [u8]) -> Self {
        Self { body }
    }

    /// The message's body: what [`RequestBuilder`](crate::splice::RequestBuilder) takes as a span.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.body
    }

    /// All fields in the order they lie, in one pass. When a scalar occurs twice, the last one counts.
    #[inline]
    pub fn fields(self) -> SpanFields<'a> {
        SpanFields { cursor: Cursor::new(self.body), status_seen: false }
    }

    /// What nearly every span begins with, read without a loop, and the fields from there on. Where those have one of the
    /// head's again, the later one counts.
    #[inline]
    pub fn head(self) -> (SpanHead<'a>, SpanFields<'a>) {
        let mut cursor = Cursor::new(self.body);
        let mut head = SpanHead::default();
        if cursor.step_over_id::<16>(span::TRACE_ID).is_some() {
            cursor.step_over_id::<8>(span::SPAN_ID);
            head.parent_span_id = cursor.step_over_id::<8>(span::PARENT_SPAN_ID).map(<[u8; 8]>::as_slice);
            head.name = cursor.step_over_bytes(span::NAME).unwrap_or_default();
            if let Some((next, rest)) = cursor.rest.split_first_chunk()
                && let Some((start, end)) = kind_and_times(next)
            {
                (head.start, head.end) = (start, end);
                cursor.rest = rest;
            }
        }
        (head, SpanFields { cursor, status_seen: false })
    }

    /// The trace id: 16 bytes, if valid.
    pub fn trace_id(self) -> &'a [u8] {
        self.last_bytes(span::TRACE_ID)
    }

    /// The span id: 8 bytes, if valid.
    pub fn span_id(self) -> &'a [u8] {
        self.last_bytes(span::SPAN_ID)
    }

    /// The parent's span id: 8 bytes, or none for a root.
    pub fn parent_span_id(self) -> &'a [u8] {
        self.last_bytes(span::PARENT_SPAN_ID)
    }

    /// The W3C trace state.
    pub fn trace_state(self) -> &'a str {
        text(self.last_bytes(span::TRACE_STATE))
    }

    /// The W3C trace flags (low 8 bits) and whether the parent is remote (bits 8 and 9).
    pub fn flags(self) -> u32 {
        self.last_number(span::FLAGS) as u32
    }

    /// The span's name.
    pub fn name(self) -> &'a str {
        text(self.last_bytes(span::NAME))
    }

    /// The `SpanKind`: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub fn kind(self) -> i32 {
        self.last_number(span::KIND) as i32
    }

    /// When it began, in nanoseconds since the Unix epoch.
    pub fn start_time_unix_nano(self) -> u64 {
        self.last_number(span::START_TIME)
    }

    /// When it ended, in nanoseconds since the Unix epoch.
    pub fn end_time_unix_nano(self) -> u64 {
        self.last_number(span::END_TIME)
    }

    /// The attributes.
    #[inline]
    pub fn attributes(self) -> impl Iterator<Item = KeyValueView<'a>> + Clone {
        SpanAttributes { fields: self.head().1 }
    }

    /// How many attributes the SDK dropped.
    pub fn dropped_attributes_count(self) -> u32 {
        self.last_number(span::DROPPED_ATTRIBUTES_COUNT) as u32
    }

    /// The events.
    #[inline]
    pub fn events(self) -> impl Iterator<Item = EventView<'a>> + Clone {
        Merged::whole(self.body).repeated(span::EVENTS).map(EventView::new)
    }

    /// How many events the SDK dropped.
    pub fn dropped_events_count(self) -> u32 {
        self.last_number(span::DROPPED_EVENTS_COUNT) as u32
    }

    /// The links.
    #[inline]
    pub fn links(self) -> impl Iterator<Item = LinkView<'a>> + Clone {
        Merged::whole(self.body).repeated(span::LINKS).map(LinkView::new)
    }

    /// How many links the SDK dropped.
    pub fn dropped_links_count(self) -> u32 {
        self.last_number(span::DROPPED_LINKS_COUNT) as u32
    }

    /// The status; an empty one (unset) if there is none.
    pub fn status(self) -> StatusView<'a> {
        StatusView { message: Merged::find(self.body, span::STATUS).unwrap_or_default() }
    }

    /// Whether a status is given, be it an empty one.
    pub fn has_status(self) -> bool {
        Merged::find(self.body, span::STATUS).is_some()
    }

    fn last_bytes(self, key: u32) -> &'a [u8] {
        Merged::whole(self.body).last_bytes(key)
    }

    fn last_number(self, key: u32) -> u64 {
        Merged::whole(self.body).last_number(key)
    }
}

/// What a span begins with, as far as it is in the usual place.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpanHead<'a> {
    /// The parent's span id.
    pub parent_span_id: Option<&'a [u8]>,
    /// The span's name; UTF-8 in a valid request.
    pub name: &'a [u8],
    /// When it began, in nanoseconds since the Unix epoch.
    pub start: u64,
    /// When it ended, in nanoseconds since the Unix epoch.
    pub end: u64,
}

/// Start and end, if these are a span's kind and its times.
#[inline]
pub(super) fn kind_and_times(bytes: &[u8; 20]) -> Option<(u64, u64)> {
    let keys = [bytes[0], bytes[2], bytes[11]].map(u32::from);
    if keys != [span::KIND, span::START_TIME, span::END_TIME] || bytes[1] >= 0x80 {
        return None;
    }
    let time = |from: usize| Some(u64::from_le_bytes(*bytes.get(from..)?.first_chunk()?));
    Some((time(3)?, time(12)?))
}

/// One field of a span.
#[derive(Debug, Clone, Copy)]
pub enum SpanField<'a> {
    /// The trace id.
    TraceId(&'a [u8]),
    /// The span id.
    SpanId(&'a [u8]),
    /// The parent's span id.
    ParentSpanId(&'a [u8]),
    /// When it began, in nanoseconds since the Unix epoch.
    Start(u64),
    /// When it ended, in nanoseconds since the Unix epoch.
    End(u64),
    /// The span's name; UTF-8 in a valid request.
    Name(&'a [u8]),
    /// The `SpanKind`.
    Kind(i32),
    /// The trace flags.
    Flags(u32),
    /// The W3C trace state.
    TraceState(&'a str),
    /// One attribute.
    Attribute(KeyValueView<'a>),
    /// The status. Given once: one that lies in pieces is given whole with its first piece.
    Status(StatusView<'a>),
    /// One event.
    Event(EventView<'a>),
    /// One link.
    Link(LinkView<'a>),
    /// A count of something dropped, or a field unknown to us.
    Other,
}

/// The fields of a span in the order they lie; ends early on malformed bytes.
#[derive(Debug, Clone, Copy)]
pub struct SpanFields<'a> {
    cursor: Cursor<'a>,
    status_seen: bool,
}

impl<'a> SpanFields<'a> {
    /// Steps over events, links, and attributes whose keys have other lengths than `lengths`: bit n for n bytes, the
    /// highest for any longer. Stops at any other field, and at those that are encoded in an unusual way.
    #[inline]
    pub fn skip_others(&mut self, lengths: u64) {
        let mut rest = self.cursor.rest;
        while let Some(after) = skip_one(rest, lengths) {
            rest = after;
        }
        self.cursor.rest = rest;
    }

    /// The next field if it is an attribute: cheaper than [`next`](Iterator::next) in a row of them.
    #[inline]
    fn next_attribute(&mut self) -> Option<KeyValueView<'a>> {
        self.cursor.step_over_bytes(span::ATTRIBUTES).map(KeyValueView::new)
    }

    #[inline]
    fn read(&mut self) -> Result<SpanField<'a>, Fault> {
        let cursor = &mut self.cursor;
        Ok(match cursor.any_key()? {
            span::TRACE_ID => SpanField::TraceId(cursor.bytes()?),
            span::SPAN_ID => SpanField::SpanId(cursor.bytes()?),
            span::TRACE_STATE => SpanField::TraceState(text(cursor.bytes()?)),
            span::PARENT_SPAN_ID => SpanField::ParentSpanId(cursor.bytes()?),
            span::NAME => SpanField::Name(cursor.bytes()?),
            span::KIND => SpanField::Kind(cursor.varint()? as i32),
            span::START_TIME => SpanField::Start(cursor.fixed64()?),
            span::END_TIME => SpanField::End(cursor.fixed64()?),
            span::ATTRIBUTES => SpanField::Attribute(KeyValueView::new(cursor.bytes()?)),
            span::EVENTS => SpanField::Event(EventView::new(cursor.bytes()?)),
            span::LINKS => SpanField::Link(LinkView::new(cursor.bytes()?)),
            span::FLAGS => SpanField::Flags(cursor.fixed32()?),
            span::STATUS if !self.status_seen => {
                self.status_seen = true;
                let first = cursor.bytes()?;
                SpanField::Status(StatusView {
                    message: Merged::from_first(first, cursor.rest, span::STATUS),
                })
            }
            other => {
                cursor.check_key(other)?;
                cursor.skip(other, RECURSION_LIMIT)?;
                SpanField::Other
            }
        })
    }
}

/// What follows an event, a link, or an attribute whose key has another length than `lengths`. Without a loop: lengths
/// have one or two bytes here.
#[inline]
fn skip_one(fields: &[u8], lengths: u64) -> Option<&[u8]> {
    let [key, low, high, ..] = *fields.first_chunk::<4>()?;
    let (len, head) = if low < 0x80 {
        (usize::from(low), 2)
    } else if high < 0x80 {
        (usize::from(low & 0x7f) | usize::from(high) << 7, 3)
    } else {
        return None;
    };
    let rest = fields.get(head + len..)?;
    match u32::from(key) {
        span::ATTRIBUTES => {
            let key = plain_attribute(fields.get(head..head + len)?)?.0;
            (lengths >> key.len().min(63) & 1 == 0).then_some(rest)
        }
        span::EVENTS | span::LINKS => Some(rest),
        _ => None,
    }
}

impl<'a> Iterator for SpanFields<'a> {
    type Item = SpanField<'a>;

    #[inline]
    fn next(&mut self) -> Option<SpanField<'a>> {
        if self.cursor.is_empty() {
            return None;
        }
        let field = self.read().ok();
        if field.is_none() {
            self.cursor.rest = &[];
        }
        field
    }
}

/// The attributes among the fields of a span.
#[derive(Debug, Clone)]
struct SpanAttributes<'a> {
    fields: SpanFields<'a>,
}

impl<'a> Iterator for SpanAttributes<'a> {
    type Item = KeyValueView<'a>;

    #[inline]
    fn next(&mut self) -> Option<KeyValueView<'a>> {
        loop {
            if let Some(attribute) = self.fields.next_attribute() {
                return Some(attribute);
            }
            if let SpanField::Attribute(attribute) = self.fields.next()? {
                return Some(attribute);
            }
        }
    }
}

/// How a span ended.
#[derive(Debug, Clone, Copy)]
pub struct StatusView<'a> {
    message: Merged<'a>,
}

impl<'a> StatusView<'a> {
    /// A view of the body of a `Status` message.
    #[inline]
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { message: Merged::whole(body) }
    }

    /// The `StatusCode`: 0 unset, 1 ok, 2 error.
    #[inline]
    pub fn code(self) -> i32 {
        // A lone code, as in nearly every status, takes no loop.
        if let Some([0x18, code @ ..0x80]) = self.message.as_whole() {
            return i32::from(*code);
        }
        self.message.last_number(status::CODE) as i32
    }

    /// What went wrong, for people.
    #[inline]
    pub fn message(self) -> &'a str {
        text(self.message.last_bytes(status::MESSAGE))
    }
}

/// Something that happened during a span.
#[derive(Debug, Clone, Copy)]
pub struct EventView<'a> {
    body: &'a [u8],
}

impl<'a> EventView<'a> {
    /// A view of the body of an `Event` message.
    #[inline]
    pub fn new(body: &'a [u8]) -> Self {
        Self { body }
    }

    /// The message's body.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.body
    }

    /// When it happened, in nanoseconds since the Unix epoch.
    pub fn time_unix_nano(self) -> u64 {
        Merged::whole(self.body).last_number(event::TIME)
    }

    /// The event's name.
    pub fn name(self) -> &'a str {
        text(Merged::whole(self.body).last_bytes(event::NAME))
    }

    /// The attributes.
    #[inline]
    pub fn attributes(self) -> impl Iterator<Item = KeyValueView<'a>> + Clone {
        Merged::whole(self.body).repeated(event::ATTRIBUTES).map(KeyValueView::new)
    }

    /// How many attributes the SDK dropped.
    pub fn dropped_attributes_count(self) -> u32 {
        Merged::whole(self.body).last_number(event::DROPPED_ATTRIBUTES_COUNT) as u32
    }
}

/// A pointer from a span to another one.
#[derive(Debug, Clone, Copy)]
pub struct LinkView<'a> {
    body: &'a [u8],
}

impl<'a> LinkView<'a> {
    /// A view of the body of a `Link` message.
    #[inline]
    pub fn new(body: &'a [u8]) -> Self {
        Self { body }
    }

    /// The message's body.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.body
    }

    /// The linked span's trace id.
    pub fn trace_id(self) -> &'a [u8] {
        Merged::whole(self.body).last_bytes(link::TRACE_ID)
    }

    /// The linked span's id.
    pub fn span_id(self) -> &'a [u8] {
        Merged::whole(self.body).last_bytes(link::SPAN_ID)
    }

    /// The W3C trace state.
    pub fn trace_state(self) -> &'a str {
        text(Merged::whole(self.body).last_bytes(link::TRACE_STATE))
    }

    /// The attributes.
    #[inline]
    pub fn attributes(self) -> impl Iterator<Item = KeyValueView<'a>> + Clone {
        Merged::whole(self.body).repeated(link::ATTRIBUTES).map(KeyValueView::new)
    }

    /// How many attributes the SDK dropped.
    pub fn dropped_attributes_count(self) -> u32 {
        Merged::whole(self.body).last_number(link::DROPPED_ATTRIBUTES_COUNT) as u32
    }

    /// The trace flags, as on a span.
    pub fn flags(self) -> u32 {
        Merged::whole(self.body).last_number(link::FLAGS) as u32
    }
}
