//! Reading spans and resources for policies: one pass each, the first attribute of a key counts.

use forebay_otlp::traces::{AnyValueView, KeyValueView, ResourceSpansView, SpanField, SpanView};

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

/// Walks a span once and adds what it matches to `matched`.
pub(crate) fn span<'a>(
    span: SpanView<'a>,
    policies: &PolicySet,
    priority_key: &str,
    caches: &mut [MatchCache],
    seen: &mut Seen,
    matched: &mut LeafSet,
) -> SpanFacts<'a> {
    let (predicates, priority_key) = (&policies.predicates, priority_key.as_bytes());
    let (head, mut fields) = span.head();
    let mut facts = SpanFacts { start: head.start, end: head.end, ..SpanFacts::default() };
    let (mut parent, mut name, mut status) = (head.parent_span_id, head.name, None);
    let (mut flags, mut trace_state) = (0, "");
    let lengths = predicates.lens | 1 << priority_key.len().min(LEN_BUCKETS - 1);
    let mut next = || {
        fields.skip_others(lengths);
        fields.next()
    };
    seen.next();
    while let Some(field) = next() {
        match field {
            SpanField::Start(nanos) => facts.start = nanos,
            SpanField::End(nanos) => facts.end = nanos,
            SpanField::ParentSpanId(id) => parent = Some(id),
            SpanField::Name(bytes) => name = bytes,
            SpanField::Status(view) => status = Some(view.code()),
            SpanField::Flags(bits) => flags = bits,
            SpanField::TraceState(text) => trace_state = text,
            SpanField::Attribute(attribute) => {
                let key = attribute.key_bytes();
                let is_priority = key == priority_key && facts.priority.is_none();
                let key = predicates.find_key(key).filter(|&key| seen.first(key));
                if key.is_none() && !is_priority {
                    continue;
                }
                let value = value(attribute);
                if let (true, Value::Str(text)) = (is_priority, value) {
                    facts.priority = Some(text);
                }
                if let Some(key) = key {
                    predicates.eval(key, value, Place::Span, caches, matched);
                }
            }
            _ => {}
        }
    }
    predicates.eval_status(i64::from(status.unwrap_or(0)), matched);
    predicates.eval_context(flags, trace_state, matched);
    facts.unwritten = 2 * (u64::from(parent.is_none()) + u64::from(status.is_none()));
    facts.root_name = parent.is_none_or(|id| id.iter().all(|&byte| byte == 0)).then_some(name);
    facts
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
