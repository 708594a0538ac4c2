//! Reading spans and resources for policies: one pass each, the first attribute of a key counts.

use forebay_otlp::traces::{
    AnyValueView, KeyValueView, Parent, ResourceSpansView, SpanEntry, SpanField, SpanView,
};

use crate::config::PriorityClasses;
use crate::contexts::{Priority, ResourceFacts};
use crate::evidence::short;
use crate::leaf_set::LeafSet;
use crate::policy::PolicySet;
use crate::predicate::{LEN_BUCKETS, MatchCache, Place, Value};

/// What one pass over a span found.
#[derive(Debug, Default)]
pub(crate) struct SpanFacts<'a> {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The span's name, if it has no parent.
    pub(crate) root_name: Option<&'a [u8]>,
    pub(crate) priority: Option<&'a [u8]>,
    /// Bytes that the collector's encoding has beyond this one: it writes an empty parent and an empty status.
    pub(crate) unwritten: u64,
}

/// Which keys were met on the span or resource at hand: stamps, so that nothing is cleared in between.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    stamps: Vec<u32>,
    now: u32,
}

impl Seen {
    pub(crate) fn new(keys: usize) -> Self {
        Self { stamps: vec![0; keys], now: 0 }
    }

    fn next(&mut self) {
        self.now = self.now.wrapping_add(1);
        if self.now == 0 {
            self.stamps.fill(0);
            self.now = 1;
        }
    }

    /// True the first time.
    fn first(&mut self, key: usize) -> bool {
        self.stamps.get_mut(key).is_some_and(|stamp| std::mem::replace(stamp, self.now) != self.now)
    }
}

/// The id of the trace that a span is counted to, if it has 16 bytes: the trace id that comes first counts, as every SDK
/// writes it, and nothing after it is read.
#[inline]
pub(crate) fn trace_id(span: SpanView<'_>) -> Option<[u8; 16]> {
    match span.fields().next() {
        Some(SpanField::TraceId(id)) => id.try_into().ok(),
        _ => span.trace_id().try_into().ok(),
    }
}

/// What spans are asked, and what is remembered from one to the next.
pub(crate) struct Asking<'r> {
    pub(crate) policies: &'r PolicySet,
    pub(crate) priorities: &'r PriorityClasses,
    pub(crate) caches: &'r mut [MatchCache],
    pub(crate) seen: &'r mut Seen,
}

impl Asking<'_> {
    /// Lengths of the keys that matter: bit n for n bytes, the highest for any longer.
    fn lengths(&self) -> u64 {
        self.policies.predicates.lens | 1 << self.priorities.key.len().min(LEN_BUCKETS - 1)
    }

    /// Walks a span once and adds what it matches to `matched`.
    pub(crate) fn walk<'a>(&mut self, span: SpanView<'a>, matched: &mut LeafSet) -> SpanFacts<'a> {
        let (head, mut fields) = span.head();
        let mut facts = SpanFacts { start: head.start, end: head.end, ..SpanFacts::default() };
        let (mut parent, mut name, mut status) = (head.parent_span_id, head.name, None);
        let (mut flags, mut trace_state) = (0, "");
        let lengths = self.lengths();
        let mut next = || {
            fields.skip_others(lengths);
            fields.next()
        };
        self.seen.next();
        while let Some(field) = next() {
            match field {
                SpanField::Start(nanos) => facts.start = nanos,
                SpanField::End(nanos) => facts.end = nanos,
                SpanField::ParentSpanId(id) => parent = Some(id),
                SpanField::Name(bytes) => name = bytes,
                SpanField::Status(view) => status = Some(view.code()),
                SpanField::Flags(bits) => flags = bits,
                SpanField::TraceState(text) => trace_state = text,
                SpanField::Attribute(attribute) => self.attribute(attribute, &mut facts, matched),
                _ => {}
            }
        }
        let predicates = &self.policies.predicates;
        predicates.eval_status(i64::from(status.unwrap_or(0)), matched);
        predicates.eval_context(flags, trace_state, matched);
        facts.unwritten = unwritten(parent.is_none(), status.is_none());
        facts.root_name = parent.is_none_or(|id| id.iter().all(|&byte| byte == 0)).then_some(name);
        facts
    }

    /// The same of a usual span that validation has noted.
    #[inline]
    pub(crate) fn noted<'a>(
        &mut self,
        span: &SpanEntry,
        request: &'a [u8],
        matched: &mut LeafSet,
    ) -> SpanFacts<'a> {
        let (start, end) = span.times();
        let mut facts = SpanFacts { start, end, ..SpanFacts::default() };
        if span.key_lengths() & self.lengths() != 0 {
            self.seen.next();
            for attribute in span.view(request).attributes() {
                self.attribute(attribute, &mut facts, matched);
            }
        }
        let (parent, status) = (span.parent(), span.status_code());
        let predicates = &self.policies.predicates;
        predicates.eval_status(i64::from(status.unwrap_or(0)), matched);
        predicates.eval_context(span.flags(), "", matched);
        facts.unwritten = unwritten(parent == Parent::Missing, status.is_none());
        facts.root_name = (parent != Parent::Given).then(|| span.name(request));
        facts
    }

    fn attribute<'a>(
        &mut self,
        attribute: KeyValueView<'a>,
        facts: &mut SpanFacts<'a>,
        matched: &mut LeafSet,
    ) {
        let predicates = &self.policies.predicates;
        let key = attribute.key_bytes();
        let is_priority = key == self.priorities.key.as_bytes() && facts.priority.is_none();
        let key = predicates.find_key(key).filter(|&key| self.seen.first(key));
        if key.is_none() && !is_priority {
            return;
        }
        let value = value(attribute);
        if let (true, Value::Str(text)) = (is_priority, value) {
            facts.priority = Some(text);
        }
        if let Some(key) = key {
            predicates.eval(key, value, Place::Span, self.caches, matched);
        }
    }
}

/// Bytes that an empty parent and an empty status take.
fn unwritten(parent: bool, status: bool) -> u64 {
    2 * (u64::from(parent) + u64::from(status))
}

/// What a resource says about all its spans.
pub(crate) fn resource(
    header: &[u8],
    policies: &PolicySet,
    priorities: &PriorityClasses,
    caches: &mut [MatchCache],
    seen: &mut Seen,
) -> ResourceFacts {
    let mut facts = ResourceFacts::default();
    seen.next();
    for attribute in resource_attributes(header) {
        let key = attribute.key_bytes();
        if key == b"service.name" && facts.service_name.is_none() {
            facts.service_name = text(attribute).map(|name| short(&String::from_utf8_lossy(name)).into());
        }
        if key == priorities.key.as_bytes() && facts.priority.is_none() {
            facts.priority = text(attribute).map(|value| priority(priorities, value));
        }
        if let Some(key) = policies.predicates.find_key(key)
            && seen.first(key)
        {
            let value = value(attribute);
            policies.predicates.eval(key, value, Place::Resource, caches, &mut facts.matched);
        }
    }
    facts
}

/// What a value of the priority attribute says.
pub(crate) fn priority(priorities: &PriorityClasses, value: &[u8]) -> Priority {
    let odd = || Priority::Odd(short(&String::from_utf8_lossy(value)).into());
    priorities.rank(value).map_or_else(odd, Priority::Ranked)
}

/// The attributes of the resource in a header of `ResourceSpans`.
pub(crate) fn resource_attributes(header: &[u8]) -> impl Iterator<Item = KeyValueView<'_>> {
    ResourceSpansView::new(header).resource().attributes()
}

/// The value of the first attribute named `key`.
pub(crate) fn first_value<'a>(
    mut attributes: impl Iterator<Item = KeyValueView<'a>>,
    key: &[u8],
) -> Option<Value<'a>> {
    attributes.find(|attribute| attribute.key_bytes() == key).map(value)
}

fn text(attribute: KeyValueView<'_>) -> Option<&[u8]> {
    match attribute.value() {
        AnyValueView::Str(text) => Some(text.as_bytes()),
        _ => None,
    }
}

fn value(attribute: KeyValueView<'_>) -> Value<'_> {
    match attribute.value() {
        AnyValueView::Str(text) => Value::Str(text.as_bytes()),
        AnyValueView::Bool(value) => Value::Bool(value),
        AnyValueView::Int(value) => Value::Int(value),
        AnyValueView::Double(value) => Value::Double(value),
        _ => Value::Other,
    }
}
