//! The values that conditions compute with, and how they compare.

use std::cmp::Ordering;
use std::fmt;

use forebay_otlp::traces::{
    AnyValueView, ArrayView, EventView, KeyValueView, KvListView, ResourceView, ScopeView, SpanView,
};

use crate::ast::CompareOp;
use crate::error::EvalErrorKind;
use crate::path::Field;

/// Lists and maps deeper than any valid request has them.
pub(crate) const MAX_DEPTH: usize = 128;

/// A value, borrowed from the span or from the condition where it can be.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Double(f64),
    Str(Text<'a>),
    Bytes(&'a [u8]),
    /// Nanoseconds since the Unix epoch; wide, because arithmetic may leave what a span can hold.
    Time(i128),
    /// Nanoseconds.
    Duration(i64),
    TraceId([u8; 16]),
    SpanId([u8; 8]),
    Map(Map<'a>),
    List(List<'a>),
}

impl<'a> Value<'a> {
    pub(crate) fn of(value: AnyValueView<'a>) -> Self {
        match value {
            AnyValueView::Empty => Self::Nil,
            AnyValueView::Str(text) => Self::Str(Text::Borrowed(text)),
            AnyValueView::Bool(value) => Self::Bool(value),
            AnyValueView::Int(value) => Self::Int(value),
            AnyValueView::Double(value) => Self::Double(value),
            AnyValueView::Bytes(bytes) => Self::Bytes(bytes),
            AnyValueView::Array(array) => Self::List(List::View(array)),
            AnyValueView::KvList(list) => Self::Map(Map::List(list)),
        }
    }

    pub(crate) fn text(text: &'a str) -> Self {
        Self::Str(Text::Borrowed(text))
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Double(_) => "a float",
            Self::Str(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Time(_) => "a time",
            Self::Duration(_) => "a duration",
            Self::TraceId(_) => "a trace id",
            Self::SpanId(_) => "a span id",
            Self::Map(_) => "a map",
            Self::List(_) => "a list",
        }
    }
}

/// A text: most are borrowed, and what is written for a number or an id is short enough to stay off the heap.
#[derive(Debug, Clone)]
pub(crate) enum Text<'a> {
    Borrowed(&'a str),
    Short(ShortText),
    Owned(String),
}

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Short(text) => text.as_str(),
            Self::Owned(text) => text,
        }
    }

    /// Bytes as lower-case hexadecimal digits.
    pub(crate) fn hex(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits =
            bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        if bytes.len() <= 16 {
            let mut short = ShortText::default();
            for (place, digit) in short.bytes.iter_mut().zip(digits) {
                *place = digit;
            }
            short.len = bytes.len() * 2;
            return Self::Short(short);
        }
        Self::Owned(digits.map(char::from).collect())
    }

    /// What formatting gives: on the heap only when it is longer than 32 bytes.
    pub(crate) fn format(arguments: fmt::Arguments<'_>) -> Self {
        let mut short = ShortText::default();
        match fmt::write(&mut short, arguments) {
            Ok(()) => Self::Short(short),
            Err(fmt::Error) => Self::Owned(arguments.to_string()),
        }
    }
}

/// Up to 32 bytes of text.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ShortText {
    bytes: [u8; 32],
    len: usize,
}

impl ShortText {
    fn as_str(&self) -> &str {
        // Only whole strings are ever appended.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Keys with values.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Map<'a> {
    Span(SpanView<'a>),
    Event(EventView<'a>),
    Scope(ScopeView<'a>),
    Resource(ResourceView<'a>),
    List(KvListView<'a>),
}

impl<'a> Map<'a> {
    /// The value of a key; the first, where it occurs twice.
    pub(crate) fn get(self, key: &str) -> Option<AnyValueView<'a>> {
        fn find<'a>(
            mut entries: impl Iterator<Item = KeyValueView<'a>>,
            key: &str,
        ) -> Option<AnyValueView<'a>> {
            entries.find(|entry| entry.key_bytes() == key.as_bytes()).map(KeyValueView::value)
        }
        match self {
            Self::Span(span) => find(span.attributes(), key),
            Self::Event(event) => find(event.attributes(), key),
            Self::Scope(scope) => find(scope.attributes(), key),
            Self::Resource(resource) => find(resource.attributes(), key),
            Self::List(list) => find(list.iter(), key),
        }
    }

    pub(crate) fn with_entries<R>(
        self,
        read: impl FnOnce(&mut dyn Iterator<Item = KeyValueView<'a>>) -> R,
    ) -> R {
        match self {
            Self::Span(span) => read(&mut span.attributes()),
            Self::Event(event) => read(&mut event.attributes()),
            Self::Scope(scope) => read(&mut scope.attributes()),
            Self::Resource(resource) => read(&mut resource.attributes()),
            Self::List(list) => read(&mut list.iter()),
        }
    }

    pub(crate) fn len(self) -> usize {
        self.with_entries(|entries| entries.count())
    }
}

/// Values in order.
#[derive(Debug, Clone)]
pub(crate) enum List<'a> {
    View(ArrayView<'a>),
    Constant(&'a [Constant]),
    Built(Vec<Value<'a>>),
    /// A span's events or links: there is nothing to do with them but to count them.
    Opaque {
        of: Field,
        len: usize,
    },
}

impl<'a> List<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::View(array) => array.iter().count(),
            Self::Constant(items) => items.len(),
            Self::Built(items) => items.len(),
            Self::Opaque { len, .. } => *len,
        }
    }

    /// The elements in order; none of what is opaque.
    fn with_items<'v, R>(&'v self, read: impl FnOnce(&mut dyn Iterator<Item = Value<'v>>) -> R) -> R {
        match self {
            Self::View(array) => read(&mut array.iter().map(Value::of)),
            Self::Constant(items) => read(&mut items.iter().map(Constant::value)),
            Self::Built(items) => read(&mut items.iter().cloned()),
            Self::Opaque { .. } => read(&mut std::iter::empty()),
        }
    }

    /// Whether `test` holds for an element.
    pub(crate) fn any(
        &self,
        mut test: impl FnMut(&Value<'_>) -> Result<bool, EvalErrorKind>,
    ) -> Result<bool, EvalErrorKind> {
        self.with_items(|items| {
            for item in items {
                if test(&item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }
}

/// A value that is part of the condition.
#[derive(Debug, Clone)]
pub(crate) enum Constant {
    Nil,
    Bool(bool),
    Int(i64),
    Double(f64),
    Str(Box<str>),
    Bytes(Box<[u8]>),
    Time(i128),
    Duration(i64),
    TraceId([u8; 16]),
    SpanId([u8; 8]),
    List(Box<[Constant]>),
}

impl Constant {
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Self::Nil => Value::Nil,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Str(text) => Value::text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Time(time) => Value::Time(*time),
            Self::Duration(duration) => Value::Duration(*duration),
            Self::TraceId(id) => Value::TraceId(*id),
            Self::SpanId(id) => Value::SpanId(*id),
            Self::List(items) => Value::List(List::Constant(items)),
        }
    }

    /// The value kept; none for what only a span can hold.
    pub(crate) fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Nil => Self::Nil,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Double(value) => Self::Double(*value),
            Value::Str(text) => Self::Str(text.as_str().into()),
            Value::Bytes(bytes) => Self::Bytes((*bytes).into()),
            Value::Time(time) => Self::Time(*time),
            Value::Duration(duration) => Self::Duration(*duration),
            Value::TraceId(id) => Self::TraceId(*id),
            Value::SpanId(id) => Self::SpanId(*id),
            Value::List(List::Built(items)) => Self::List(items.iter().map(Self::of).collect::<Option<_>>()?),
            Value::List(List::Constant(items)) => Self::List((*items).into()),
            Value::List(_) | Value::Map(_) => return None,
        })
    }
}

/// OTTL's comparison: values of different types are different and nothing else, but numbers compare as numbers.
pub(crate) fn compare(left: &Value<'_>, op: CompareOp, right: &Value<'_>) -> Result<bool, EvalErrorKind> {
    let order = match (left, right) {
        (Value::Nil, Value::Nil) => return Ok(matches!(op, CompareOp::Eq | CompareOp::Le | CompareOp::Ge)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Double(right)) => (*left as f64).partial_cmp(right),
        (Value::Double(left), Value::Int(right)) => left.partial_cmp(&(*right as f64)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Str(left), Value::Str(right)) => Some(left.as_str().cmp(right.as_str())),
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        (Value::Time(left), Value::Time(right)) => Some(left.cmp(right)),
        (Value::Duration(left), Value::Duration(right)) => Some(left.cmp(right)),
        _ => {
            // What has no order is equal or not.
            return Ok(match op {
                CompareOp::Eq => same(left, right, MAX_DEPTH)?,
                CompareOp::Ne => !same(left, right, MAX_DEPTH)?,
                _ => false,
            });
        }
    };
    Ok(match op {
        CompareOp::Eq => order == Some(Ordering::Equal),
        CompareOp::Ne => order != Some(Ordering::Equal),
        CompareOp::Lt => order == Some(Ordering::Less),
        CompareOp::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        CompareOp::Gt => order == Some(Ordering::Greater),
        CompareOp::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    })
}

/// Whether two values are of one type and equal: within lists and maps, 1 is not 1.0.
fn same(left: &Value<'_>, right: &Value<'_>, depth: usize) -> Result<bool, EvalErrorKind> {
    let depth = depth.checked_sub(1).ok_or(EvalErrorKind::TooDeep)?;
    Ok(match (left, right) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(left), Value::Int(right)) | (Value::Duration(left), Value::Duration(right)) => {
            left == right
        }
        (Value::Double(left), Value::Double(right)) => left == right,
        (Value::Str(left), Value::Str(right)) => left.as_str() == right.as_str(),
        (Value::Bytes(left), Value::Bytes(right)) => left == right,
        (Value::Time(left), Value::Time(right)) => left == right,
        (Value::TraceId(left), Value::TraceId(right)) => left == right,
        (Value::SpanId(left), Value::SpanId(right)) => left == right,
        (Value::Map(left), Value::Map(right)) => same_maps(*left, *right, depth)?,
        (Value::List(left), Value::List(right)) => same_lists(left, right, depth)?,
        _ => false,
    })
}

fn same_maps(left: Map<'_>, right: Map<'_>, depth: usize) -> Result<bool, EvalErrorKind> {
    if left.len() != right.len() {
        return Ok(false);
    }
    left.with_entries(|entries| {
        for entry in entries {
            let Some(other) = right.get(entry.key()) else { return Ok(false) };
            if !same(&Value::of(entry.value()), &Value::of(other), depth)? {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

fn same_lists(left: &List<'_>, right: &List<'_>, depth: usize) -> Result<bool, EvalErrorKind> {
    if let (List::Opaque { of: left, .. }, List::Opaque { of: right, .. }) = (left, right) {
        return Ok(left == right);
    }
    if matches!(left, List::Opaque { .. })
        || matches!(right, List::Opaque { .. })
        || left.len() != right.len()
    {
        return Ok(false);
    }
    left.with_items(|left| {
        right.with_items(|right| {
            for (left, right) in left.zip(right) {
                if !same(&left, &right, depth)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    })
}
