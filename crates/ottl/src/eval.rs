//! Conditions and values on a span.

use crate::ast::MathOp;
use crate::call;
use crate::condition::SpanScope;
use crate::error::{EvalError, EvalErrorKind};
use crate::path::{Field, Owner};
use crate::program::{Condition, Index, Node};
use crate::tracestate;
use crate::value::{List, Map, Text, Value, compare};

type Evaluated<T> = Result<T, EvalError>;

pub(crate) fn at<T>(offset: usize, result: Result<T, EvalErrorKind>) -> Evaluated<T> {
    result.map_err(|kind| EvalError { offset, kind })
}

pub(crate) fn condition(condition: &Condition, scope: &SpanScope<'_>) -> Evaluated<bool> {
    match condition {
        Condition::Constant { value, .. } => Ok(*value),
        Condition::Or(terms) => {
            for term in terms {
                if self::condition(term, scope)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Condition::And(terms) => {
            for term in terms {
                if !self::condition(term, scope)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Condition::Not(inner) => self::condition(inner, scope).map(|holds| !holds),
        Condition::Compare { at: offset, left, op, right } => {
            at(*offset, compare(&value(left, scope)?, *op, &value(right, scope)?))
        }
        Condition::Call { at: offset, node } => match value(node, scope)? {
            Value::Bool(value) => Ok(value),
            other => {
                let kind = EvalErrorKind::Type {
                    what: "a condition",
                    expected: "a boolean",
                    got: other.type_name(),
                };
                at(*offset, Err(kind))
            }
        },
    }
}

pub(crate) fn value<'a>(node: &'a Node, scope: &SpanScope<'a>) -> Evaluated<Value<'a>> {
    Ok(match node {
        Node::Constant(constant) => constant.value(),
        Node::Field { at: offset, field } => at(*offset, self::field(*field, scope))?,
        Node::TraceState { key } => {
            tracestate::get(scope.span.trace_state(), key).map_or(Value::Nil, Value::text)
        }
        Node::Attribute { at: offset, owner, key, inner } => {
            let map = at(*offset, map(*owner, scope))?;
            attribute(*offset, map, key, inner, scope)?
        }
        Node::List(items) => {
            let items = items.iter().map(|item| value(item, scope));
            Value::List(List::Built(items.collect::<Evaluated<_>>()?))
        }
        Node::Negated { at: offset, inner } => match value(inner, scope)? {
            Value::Int(number) => Value::Int(number.wrapping_neg()),
            Value::Double(number) => Value::Double(-number),
            other => return at(*offset, Err(not_a_number("-", &other))),
        },
        Node::Math { at: offset, first, steps } => {
            let mut result = value(first, scope)?;
            for (op, node) in steps {
                result = at(*offset, calculate(&result, *op, &value(node, scope)?))?;
            }
            result
        }
        Node::Call(call) => call::value(call, scope)?,
    })
}

fn map<'a>(owner: Owner, scope: &SpanScope<'a>) -> Result<Map<'a>, EvalErrorKind> {
    Ok(match owner {
        Owner::Span => Map::Span(scope.span),
        Owner::Event => Map::Event(scope.event.ok_or(EvalErrorKind::NoEvent)?),
        Owner::Scope => Map::Scope(scope.scope),
        Owner::Resource => Map::Resource(scope.resource),
    })
}

fn field<'a>(field: Field, scope: &SpanScope<'a>) -> Result<Value<'a>, EvalErrorKind> {
    let span = scope.span;
    // The collector's integers are signed; a time after the year 2262 comes out negative there too.
    let nanos = |time: u64| Value::Int(time as i64);
    let time = |time: u64| Value::Time(i128::from(time as i64));
    let event = || scope.event.ok_or(EvalErrorKind::NoEvent);
    let count = |count: u32| Value::Int(i64::from(count));
    Ok(match field {
        Field::TraceId => Value::TraceId(id(span.trace_id())),
        Field::TraceIdString => Value::Str(Text::hex(&id::<16>(span.trace_id()))),
        Field::SpanId => Value::SpanId(id(span.span_id())),
        Field::SpanIdString => Value::Str(Text::hex(&id::<8>(span.span_id()))),
        Field::ParentSpanId => Value::SpanId(id(span.parent_span_id())),
        Field::ParentSpanIdString => Value::Str(Text::hex(&id::<8>(span.parent_span_id()))),
        Field::TraceState => Value::text(span.trace_state()),
        Field::Name => Value::text(span.name()),
        Field::Kind => Value::Int(i64::from(span.kind())),
        Field::KindString => Value::text(match span.kind() {
            0 => "Unspecified",
            1 => "Internal",
            2 => "Server",
            3 => "Client",
            4 => "Producer",
            5 => "Consumer",
            _ => "",
        }),
        Field::KindDeprecatedString => Value::text(match span.kind() {
            0 => "SPAN_KIND_UNSPECIFIED",
            1 => "SPAN_KIND_INTERNAL",
            2 => "SPAN_KIND_SERVER",
            3 => "SPAN_KIND_CLIENT",
            4 => "SPAN_KIND_PRODUCER",
            5 => "SPAN_KIND_CONSUMER",
            _ => "",
        }),
        Field::StartTimeUnixNano => nanos(span.start_time_unix_nano()),
        Field::EndTimeUnixNano => nanos(span.end_time_unix_nano()),
        Field::StartTime => time(span.start_time_unix_nano()),
        Field::EndTime => time(span.end_time_unix_nano()),
        Field::StatusCode => Value::Int(i64::from(span.status().code())),
        Field::StatusMessage => Value::text(span.status().message()),
        Field::Flags => count(span.flags()),
        Field::Events => Value::List(List::Opaque { of: field, len: span.events().count() }),
        Field::Links => Value::List(List::Opaque { of: field, len: span.links().count() }),
        Field::DroppedAttributesCount => count(span.dropped_attributes_count()),
        Field::DroppedEventsCount => count(span.dropped_events_count()),
        Field::DroppedLinksCount => count(span.dropped_links_count()),
        Field::EventName => Value::text(event()?.name()),
        Field::EventTimeUnixNano => nanos(event()?.time_unix_nano()),
        Field::EventTime => time(event()?.time_unix_nano()),
        Field::EventDroppedAttributesCount => count(event()?.dropped_attributes_count()),
        Field::ScopeName => Value::text(scope.scope.name()),
        Field::ScopeVersion => Value::text(scope.scope.version()),
        Field::ScopeSchemaUrl => Value::text(scope.scope_spans.schema_url()),
        Field::ScopeDroppedAttributesCount => count(scope.scope.dropped_attributes_count()),
        Field::ResourceSchemaUrl => Value::text(scope.resource_spans.schema_url()),
        Field::ResourceDroppedAttributesCount => count(scope.resource.dropped_attributes_count()),
        Field::Attributes(owner) => Value::Map(map(owner, scope)?),
    })
}

/// An id; all zeros where there is none.
fn id<const LENGTH: usize>(bytes: &[u8]) -> [u8; LENGTH] {
    bytes.try_into().unwrap_or([0; LENGTH])
}

/// The collector's rules: a missing key is nil, and indexing into what has no such index is an error.
fn attribute<'a>(
    offset: usize,
    map: Map<'a>,
    key: &'a Index,
    inner: &'a [Index],
    scope: &SpanScope<'a>,
) -> Evaluated<Value<'a>> {
    let mut current = Value::Map(map);
    for index in std::iter::once(key).chain(inner) {
        let computed = match index {
            Index::Computed(node) => Some(value(node, scope)?),
            Index::Key(_) | Index::Place(_) => None,
        };
        let key = match (index, &computed) {
            (Index::Key(key), _) => Some(&**key),
            (_, Some(Value::Str(text))) => Some(text.as_str()),
            _ => None,
        };
        let place = match (index, &computed) {
            (Index::Place(place), _) | (_, Some(Value::Int(place))) => Some(*place),
            _ => None,
        };
        current = match (&current, key, place) {
            (Value::Map(map), Some(key), _) => match map.get(key) {
                Some(value) => Value::of(value),
                None => return Ok(Value::Nil),
            },
            (Value::List(List::View(array)), _, Some(place)) => {
                let element = usize::try_from(place).ok().and_then(|place| array.iter().nth(place));
                Value::of(at(offset, element.ok_or(EvalErrorKind::OutOfBounds))?)
            }
            (other, _, _) => {
                let expected = "a map with a string, or a list with an integer";
                let kind = EvalErrorKind::Type { what: "an index", expected, got: other.type_name() };
                return at(offset, Err(kind));
            }
        };
    }
    Ok(current)
}

fn not_a_number(what: &'static str, value: &Value<'_>) -> EvalErrorKind {
    EvalErrorKind::Type { what, expected: "numbers, or times and durations", got: value.type_name() }
}

/// Integers wrap around, as Go's do; with a float in it, it is a matter of floats.
fn calculate<'a>(left: &Value<'a>, op: MathOp, right: &Value<'a>) -> Result<Value<'a>, EvalErrorKind> {
    let floats = |left: f64, right: f64| {
        Ok(Value::Double(match op {
            MathOp::Add => left + right,
            MathOp::Sub => left - right,
            MathOp::Mul => left * right,
            MathOp::Div if right == 0.0 => return Err(EvalErrorKind::DivisionByZero),
            MathOp::Div => left / right,
        }))
    };
    match (left, op, right) {
        (Value::Int(left), _, Value::Int(right)) => Ok(Value::Int(match op {
            MathOp::Add => left.wrapping_add(*right),
            MathOp::Sub => left.wrapping_sub(*right),
            MathOp::Mul => left.wrapping_mul(*right),
            MathOp::Div if *right == 0 => return Err(EvalErrorKind::DivisionByZero),
            MathOp::Div => left.wrapping_div(*right),
        })),
        (Value::Int(left), _, Value::Double(right)) => floats(*left as f64, *right),
        (Value::Double(left), _, Value::Int(right)) => floats(*left, *right as f64),
        (Value::Double(left), _, Value::Double(right)) => floats(*left, *right),
        (Value::Time(left), MathOp::Sub, Value::Time(right)) => {
            let between = (left - right).clamp(i128::from(i64::MIN), i128::from(i64::MAX));
            Ok(Value::Duration(between as i64))
        }
        (Value::Time(time), MathOp::Add, Value::Duration(duration))
        | (Value::Duration(duration), MathOp::Add, Value::Time(time)) => {
            Ok(Value::Time(time.wrapping_add(i128::from(*duration))))
        }
        (Value::Time(time), MathOp::Sub, Value::Duration(duration)) => {
            Ok(Value::Time(time.wrapping_sub(i128::from(*duration))))
        }
        (Value::Duration(left), MathOp::Add, Value::Duration(right)) => {
            Ok(Value::Duration(left.wrapping_add(*right)))
        }
        (Value::Duration(left), MathOp::Sub, Value::Duration(right)) => {
            Ok(Value::Duration(left.wrapping_sub(*right)))
        }
        (Value::Int(_) | Value::Double(_) | Value::Time(_) | Value::Duration(_), _, other)
        | (other, _, _) => Err(not_a_number(op.sign(), other)),
    }
}
