//! Values as text, for `String`, `Concat` and `IsMatch`.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::EvalErrorKind;
use crate::value::{List, MAX_DEPTH, Map, ShortText, Text, Value};

/// A value as the collector writes it; none for nil. Lists and maps are JSON, which takes the heap.
pub(crate) fn text_of<'a>(value: Value<'a>, what: &'static str) -> Result<Option<Text<'a>>, EvalErrorKind> {
    Ok(Some(match value {
        Value::Nil => return Ok(None),
        Value::Str(text) => text,
        Value::Bool(value) => Text::Borrowed(if value { "true" } else { "false" }),
        Value::Int(value) | Value::Duration(value) => Text::format(format_args!("{value}")),
        Value::Double(value) => double(value)?,
        Value::Bytes(bytes) => Text::hex(bytes),
        value @ (Value::Map(_) | Value::List(_)) => {
            let mut out = String::new();
            json(&value, what, MAX_DEPTH, &mut out)?;
            Text::Owned(out)
        }
        other => return Err(wrong(&other, what)),
    }))
}

fn wrong(value: &Value<'_>, what: &'static str) -> EvalErrorKind {
    let expected = "a text, number, boolean, bytes, list or map (ids have .string, times _unix_nano)";
    EvalErrorKind::Type { what, expected, got: value.type_name() }
}

/// As few digits as tell the number from all others; an exponent of two digits or more from 1e21 on and below 1e-6.
fn double(value: f64) -> Result<Text<'static>, EvalErrorKind> {
    if !value.is_finite() {
        return Err(EvalErrorKind::NotFinite);
    }
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return Ok(Text::format(format_args!("{value}")));
    }
    let mut short = ShortText::default();
    // 17 digits, a sign, a point and an exponent of 5: it always fits.
    write!(short, "{value:e}").map_err(|_| EvalErrorKind::NotFinite)?;
    let text = Text::Short(short);
    let (digits, exponent) = text.as_str().split_once('e').unwrap_or((text.as_str(), "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    Ok(Text::format(format_args!("{digits}e{sign}{exponent:0>2}")))
}

fn json(value: &Value<'_>, what: &'static str, depth: usize, out: &mut String) -> Result<(), EvalErrorKind> {
    let depth = depth.checked_sub(1).ok_or(EvalErrorKind::TooDeep)?;
    match value {
        Value::Nil => out.push_str("null"),
        Value::Str(text) => json_string(text.as_str(), out),
        Value::Bytes(bytes) => json_string(&STANDARD.encode(bytes), out),
        Value::Map(map) => json_map(*map, what, depth, out)?,
        Value::List(list) => {
            out.push('[');
            let mut first = true;
            if matches!(list, List::Opaque { .. }) {
                return Err(wrong(value, what));
            }
            list.any(|item| {
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                json(item, what, depth, out).map(|()| false)
            })?;
            out.push(']');
        }
        Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Duration(_) => {
            if let Some(text) = text_of(value.clone(), what)? {
                out.push_str(text.as_str());
            }
        }
        Value::Time(_) | Value::TraceId(_) | Value::SpanId(_) => return Err(wrong(value, what)),
    }
    Ok(())
}

fn json_map(map: Map<'_>, what: &'static str, depth: usize, out: &mut String) -> Result<(), EvalErrorKind> {
    // In order of their keys, and of equal ones the last.
    let entries: BTreeMap<&str, _> =
        map.with_entries(|entries| entries.map(|entry| (entry.key(), entry.value())).collect());
    out.push('{');
    for (place, (key, value)) in entries.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        json_string(key, out);
        out.push(':');
        json(&Value::of(value), what, depth, out)?;
    }
    out.push('}');
    Ok(())
}

/// With what HTML would take for a tag escaped, as Go's encoder does.
fn json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{0}'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// Each character in lower or upper case, one for one as Go does it; the text itself where nothing changes.
pub(crate) fn in_case<'a>(text: Text<'a>, upper: bool) -> Text<'a> {
    let one = |c: char| {
        if c.is_ascii() {
            return if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        }
        if upper {
            let mut folded = c.to_uppercase();
            if folded.len() == 1 { folded.next().unwrap_or(c) } else { c }
        } else {
            c.to_lowercase().next().unwrap_or(c)
        }
    };
    if text.as_str().chars().all(|c| one(c) == c) {
        return text;
    }
    let mut short = ShortText::default();
    match text.as_str().chars().try_for_each(|c| short.write_char(one(c))) {
        Ok(()) => Text::Short(short),
        Err(_) => Text::Owned(text.as_str().chars().map(one).collect()),
    }
}
