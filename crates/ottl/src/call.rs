//! What the converters do.

use crate::ast::CompareOp;
use crate::condition::SpanScope;
use crate::duration;
use crate::error::{EvalError, EvalErrorKind};
use crate::eval::{at, value as eval};
use crate::program::{Affix, Call, Function, Node, Test, TimeUnit, Type};
use crate::text::{in_case, text_of};
use crate::value::{List, Text, Value, compare};

pub(crate) fn value<'a>(call: &'a Call, scope: &SpanScope<'a>) -> Result<Value<'a>, EvalError> {
    Context { at: call.at, name: call.name, scope }.value(&call.function)
}

/// A call under evaluation.
struct Context<'s, 'a> {
    at: usize,
    name: &'static str,
    scope: &'s SpanScope<'a>,
}

impl<'a> Context<'_, 'a> {
    fn value(&self, function: &'a Function) -> Result<Value<'a>, EvalError> {
        Ok(match function {
            Function::Concat { values, delimiter } => self.concat(values, delimiter)?,
            Function::ContainsValue { list, item } => {
                let Value::List(list) =
                    self.typed(list, "a list", |value| matches!(value, Value::List(_)))?
                else {
                    return Ok(Value::Bool(false));
                };
                let item = eval(item, self.scope)?;
                Value::Bool(self.at(list.any(|element| compare(element, CompareOp::Eq, &item)))?)
            }
            Function::Convert { value, to } => {
                let value = eval(value, self.scope)?;
                self.at(match to {
                    Type::Int => int(value),
                    Type::Double => double(value),
                    _ => text_of(value, self.name).map(|text| text.map_or(Value::Nil, Value::Str)),
                })?
            }
            Function::Duration(text) => {
                let text = self.text(text)?;
                let expected = "a duration such as 1h30m or 1.5s";
                let malformed = EvalErrorKind::Malformed { what: self.name, expected };
                Value::Duration(self.at(duration::parse(text.as_str()).ok_or(malformed))?)
            }
            Function::Affix { affix, text, part } => {
                let (text, part) = (self.text(text)?, self.text(part)?);
                Value::Bool(match affix {
                    Affix::Prefix => text.as_str().starts_with(part.as_str()),
                    Affix::Suffix => text.as_str().ends_with(part.as_str()),
                })
            }
            Function::DurationIn { unit, duration } => {
                match self.typed(duration, "a duration", |value| matches!(value, Value::Duration(_)))? {
                    Value::Duration(nanos) => duration_in(nanos, *unit),
                    other => other,
                }
            }
            Function::IsMatch { value, regex } => {
                let value = eval(value, self.scope)?;
                let text = self.at(text_of(value, self.name))?;
                Value::Bool(text.is_some_and(|text| regex.is_match(text.as_str())))
            }
            Function::IsRootSpan => {
                Value::Bool(self.scope.span.parent_span_id().iter().all(|byte| *byte == 0))
            }
            Function::Is { test, value } => {
                let value = eval(value, self.scope)?;
                Value::Bool(matches!(
                    (test, value),
                    (Test::Bool, Value::Bool(_))
                        | (Test::Double, Value::Double(_))
                        | (Test::Int, Value::Int(_))
                        | (Test::List, Value::List(_))
                        | (Test::Map, Value::Map(_))
                        | (Test::Str, Value::Str(_))
                ))
            }
            Function::Len(value) => {
                let len = match eval(value, self.scope)? {
                    Value::Str(text) => text.as_str().len(),
                    Value::Bytes(bytes) => bytes.len(),
                    Value::Map(map) => map.len(),
                    Value::List(list) => list.len(),
                    other => return Err(self.wrong("a text, bytes, a list or a map", &other)),
                };
                Value::Int(i64::try_from(len).unwrap_or(i64::MAX))
            }
            Function::Case { upper, text } => Value::Str(in_case(self.text(text)?, *upper)),
            Function::TraceId(value) => Value::TraceId(self.id(value, "16 bytes or 32 hexadecimal digits")?),
            Function::SpanId(value) => Value::SpanId(self.id(value, "8 bytes or 16 hexadecimal digits")?),
            Function::Substring { text, start, length, utf8_safe } => {
                let start = self.integer(start)?;
                let length = self.integer(length)?;
                let text = self.text(text)?;
                self.at(substring(text, start, length, *utf8_safe))?
            }
        })
    }

    fn at<T>(&self, result: Result<T, EvalErrorKind>) -> Result<T, EvalError> {
        at(self.at, result)
    }

    fn wrong(&self, expected: &'static str, value: &Value<'_>) -> EvalError {
        let kind = EvalErrorKind::Type { what: self.name, expected, got: value.type_name() };
        EvalError { offset: self.at, kind }
    }

    fn typed(
        &self,
        node: &'a Node,
        expected: &'static str,
        fits: impl Fn(&Value<'_>) -> bool,
    ) -> Result<Value<'a>, EvalError> {
        let value = eval(node, self.scope)?;
        if fits(&value) { Ok(value) } else { Err(self.wrong(expected, &value)) }
    }

    fn text(&self, node: &'a Node) -> Result<Text<'a>, EvalError> {
        match eval(node, self.scope)? {
            Value::Str(text) => Ok(text),
            other => Err(self.wrong("a string", &other)),
        }
    }

    fn integer(&self, node: &'a Node) -> Result<i64, EvalError> {
        match eval(node, self.scope)? {
            Value::Int(number) => Ok(number),
            other => Err(self.wrong("an integer", &other)),
        }
    }

    /// On the heap, unless the result is short.
    fn concat(&self, values: &'a Node, delimiter: &'a Node) -> Result<Value<'a>, EvalError> {
        let delimiter = self.text(delimiter)?;
        let mut out = String::new();
        let mut first = true;
        let mut push = |value: Value<'a>| -> Result<(), EvalError> {
            if !std::mem::take(&mut first) {
                out.push_str(delimiter.as_str());
            }
            // The collector writes this for what is missing.
            let text = self.at(text_of(value, self.name))?;
            out.push_str(text.as_ref().map_or("<nil>", Text::as_str));
            Ok(())
        };
        match values {
            Node::List(items) => items.iter().try_for_each(|item| push(eval(item, self.scope)?))?,
            other => match eval(other, self.scope)? {
                Value::List(List::Constant(items)) => items.iter().try_for_each(|item| push(item.value()))?,
                other => return Err(self.wrong("a list in brackets", &other)),
            },
        }
        Ok(Value::Str(Text::Owned(out)))
    }

    fn id<const LENGTH: usize>(
        &self,
        node: &'a Node,
        expected: &'static str,
    ) -> Result<[u8; LENGTH], EvalError> {
        let value = eval(node, self.scope)?;
        let bytes = match &value {
            Value::Bytes(bytes) => *bytes,
            Value::Str(text) => text.as_str().as_bytes(),
            other => return Err(self.wrong(expected, other)),
        };
        let id = bytes.try_into().ok().or_else(|| hex(bytes));
        self.at(id.ok_or(EvalErrorKind::Malformed { what: self.name, expected }))
    }
}

fn hex<const LENGTH: usize>(digits: &[u8]) -> Option<[u8; LENGTH]> {
    let mut id = [0; LENGTH];
    if digits.len() != 2 * LENGTH {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(id)
}

/// Texts that are no numbers give nil, not an error.
fn int<'a>(value: Value<'a>) -> Result<Value<'a>, EvalErrorKind> {
    Ok(match value {
        Value::Nil => Value::Nil,
        Value::Int(number) => Value::Int(number),
        Value::Double(number) => Value::Int(number as i64),
        Value::Bool(value) => Value::Int(i64::from(value)),
        Value::Str(text) => text.as_str().parse().map_or(Value::Nil, Value::Int),
        other => {
            let expected = "a text, a number or a boolean";
            return Err(EvalErrorKind::Type { what: "Int", expected, got: other.type_name() });
        }
    })
}

/// Texts that are no numbers are an error.
fn double<'a>(value: Value<'a>) -> Result<Value<'a>, EvalErrorKind> {
    Ok(Value::Double(match value {
        Value::Nil => return Ok(Value::Nil),
        Value::Int(number) => number as f64,
        Value::Double(number) => number,
        Value::Bool(value) => f64::from(u8::from(value)),
        Value::Str(text) => {
            let text = text.as_str();
            let number = text.parse::<f64>().ok();
            // Out of range: Go gives an error, Rust infinity.
            let number = number
                .filter(|number| !(number.is_infinite() && text.contains(|c: char| c.is_ascii_digit())));
            number.ok_or(EvalErrorKind::Malformed { what: "Double", expected: "a number" })?
        }
        other => {
            let expected = "a text, a number or a boolean";
            return Err(EvalErrorKind::Type { what: "Double", expected, got: other.type_name() });
        }
    }))
}

fn duration_in(nanos: i64, unit: TimeUnit) -> Value<'static> {
    // Whole units and the rest apart, so that what is whole stays exact.
    let float = |unit: i64| Value::Double((nanos / unit) as f64 + (nanos % unit) as f64 / unit as f64);
    match unit {
        TimeUnit::Hours => float(3_600_000_000_000),
        TimeUnit::Minutes => float(60_000_000_000),
        TimeUnit::Seconds => float(1_000_000_000),
        TimeUnit::Milliseconds => Value::Int(nanos / 1_000_000),
        TimeUnit::Microseconds => Value::Int(nanos / 1_000),
        TimeUnit::Nanoseconds => Value::Int(nanos),
    }
}

/// A range of bytes; `utf8_safe` shrinks it to whole characters.
fn substring<'a>(
    text: Text<'a>,
    start: i64,
    length: i64,
    utf8_safe: bool,
) -> Result<Value<'a>, EvalErrorKind> {
    let range = |text: &str| {
        let start = usize::try_from(start).ok()?;
        let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
        let end = start.checked_add(length).filter(|end| *end <= text.len())?;
        if !utf8_safe {
            return Some(start..end);
        }
        let start = (start..=text.len()).find(|place| text.is_char_boundary(*place))?;
        let end = (start..=end.max(start)).rev().find(|place| text.is_char_boundary(*place))?;
        Some(start..end)
    };
    let part = match text {
        Text::Borrowed(text) => range(text).and_then(|range| text.get(range)).map(Value::text),
        other => {
            let text = other.as_str();
            let part = range(text).and_then(|range| text.get(range));
            part.map(|part| Value::Str(Text::format(format_args!("{part}"))))
        }
    };
    part.ok_or(EvalErrorKind::Range)
}
