//! The converters: what they are called, what they take and what they give.

use regex::Regex;

use crate::ast;
use crate::error::{Located, nearest};
use crate::program::{Affix, Call, Function, Node, Test, TimeUnit, Type};
use crate::re2;
use crate::value::Constant;

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Anything,
    Str,
    Int,
    Duration,
    List,
    /// A list written out, or one text.
    Texts,
    /// A regular expression known when the condition is compiled.
    Pattern,
    /// A boolean known when the condition is compiled; may be left out.
    Flag,
}

#[derive(Debug, Clone, Copy)]
enum Name {
    Concat,
    ContainsValue,
    Convert(Type),
    Duration,
    Affix(Affix),
    DurationIn(TimeUnit),
    IsMatch,
    IsRootSpan,
    Is(Test),
    Len,
    Case { upper: bool },
    TraceId,
    SpanId,
    Substring,
}

struct Signature {
    text: &'static str,
    name: Name,
    parameters: &'static [(&'static str, Takes)],
    result: Type,
}

const fn signature(
    text: &'static str,
    name: Name,
    parameters: &'static [(&'static str, Takes)],
    result: Type,
) -> Signature {
    Signature { text, name, parameters, result }
}

const TARGET: &[(&str, Takes)] = &[("target", Takes::Anything)];
const TEXT: &[(&str, Takes)] = &[("target", Takes::Str)];
const DURATION: &[(&str, Takes)] = &[("duration", Takes::Duration)];

#[rustfmt::skip]
const SIGNATURES: &[Signature] = &[
    signature("Concat", Name::Concat, &[("vals", Takes::Texts), ("delimiter", Takes::Str)], Type::Str),
    signature("ContainsValue", Name::ContainsValue, &[("target", Takes::List), ("item", Takes::Anything)], Type::Bool),
    signature("Double", Name::Convert(Type::Double), TARGET, Type::Any),
    signature("Duration", Name::Duration, &[("duration", Takes::Str)], Type::Duration),
    signature("HasPrefix", Name::Affix(Affix::Prefix), &[("target", Takes::Str), ("prefix", Takes::Str)], Type::Bool),
    signature("HasSuffix", Name::Affix(Affix::Suffix), &[("target", Takes::Str), ("suffix", Takes::Str)], Type::Bool),
    signature("Hours", Name::DurationIn(TimeUnit::Hours), DURATION, Type::Double),
    signature("Int", Name::Convert(Type::Int), TARGET, Type::Any),
    signature("IsBool", Name::Is(Test::Bool), TARGET, Type::Bool),
    signature("IsDouble", Name::Is(Test::Double), TARGET, Type::Bool),
    signature("IsInt", Name::Is(Test::Int), TARGET, Type::Bool),
    signature("IsList", Name::Is(Test::List), TARGET, Type::Bool),
    signature("IsMap", Name::Is(Test::Map), TARGET, Type::Bool),
    signature("IsMatch", Name::IsMatch, &[("target", Takes::Anything), ("pattern", Takes::Pattern)], Type::Bool),
    signature("IsRootSpan", Name::IsRootSpan, &[], Type::Bool),
    signature("IsString", Name::Is(Test::Str), TARGET, Type::Bool),
    signature("Len", Name::Len, TARGET, Type::Int),
    signature("Microseconds", Name::DurationIn(TimeUnit::Microseconds), DURATION, Type::Int),
    signature("Milliseconds", Name::DurationIn(TimeUnit::Milliseconds), DURATION, Type::Int),
    signature("Minutes", Name::DurationIn(TimeUnit::Minutes), DURATION, Type::Double),
    signature("Nanoseconds", Name::DurationIn(TimeUnit::Nanoseconds), DURATION, Type::Int),
    signature("Seconds", Name::DurationIn(TimeUnit::Seconds), DURATION, Type::Double),
    signature("SpanID", Name::SpanId, TARGET, Type::Id),
    signature("String", Name::Convert(Type::Str), TARGET, Type::Any),
    signature("Substring", Name::Substring, &[("target", Takes::Str), ("start", Takes::Int), ("length", Takes::Int), ("utf8_safe", Takes::Flag)], Type::Str),
    signature("ToLowerCase", Name::Case { upper: false }, TEXT, Type::Str),
    signature("ToUpperCase", Name::Case { upper: true }, TEXT, Type::Str),
    signature("TraceID", Name::TraceId, TARGET, Type::Id),
];

/// What the collector has besides; naming one of these is no typing error.
const UNSUPPORTED: &[&str] = &[
    "All",
    "Any",
    "Base64Decode",
    "Base64Encode",
    "Bool",
    "Coalesce",
    "CommunityID",
    "ConvertAttributesToElementsXML",
    "ConvertCase",
    "ConvertTextToElementsXML",
    "Day",
    "Decode",
    "ExtractGrokPatterns",
    "ExtractPatterns",
    "Filter",
    "Find",
    "FNV",
    "Format",
    "FormatTime",
    "GetXML",
    "Hex",
    "Hour",
    "Index",
    "InsertXML",
    "IsEmpty",
    "IsInCIDR",
    "IsValidLuhn",
    "Keys",
    "Log",
    "MapEach",
    "MapKeys",
    "MD5",
    "Minute",
    "Month",
    "Murmur3Hash",
    "Murmur3Hash128",
    "Nanosecond",
    "Now",
    "ParseCSV",
    "ParseInt",
    "ParseJSON",
    "ParseKeyValue",
    "ParseSeverity",
    "ParseSimplifiedXML",
    "ParseXML",
    "ProfileID",
    "Reduce",
    "RemoveXML",
    "Second",
    "SHA1",
    "SHA256",
    "SHA512",
    "SliceToMap",
    "Sort",
    "Split",
    "Time",
    "ToCamelCase",
    "ToKeyValueString",
    "ToSnakeCase",
    "Trim",
    "TrimPrefix",
    "TrimSuffix",
    "TruncateTime",
    "Unix",
    "UnixMicro",
    "UnixMilli",
    "UnixNano",
    "UnixSeconds",
    "URL",
    "UserAgent",
    "UUID",
    "UUIDv7",
    "Values",
    "Weekday",
    "When",
    "XXH128",
    "XXH3",
    "Year",
];

type Compiled<T> = Result<T, Located>;

/// A call with its arguments compiled by `compile`, and the type it gives.
pub(crate) fn compile(
    call: &ast::Call,
    events: bool,
    compile: &dyn Fn(&ast::Value) -> Compiled<Node>,
) -> Compiled<(Node, Type)> {
    let Some(signature) = SIGNATURES.iter().find(|signature| signature.text == call.name) else {
        return Err(unknown(call));
    };
    if matches!(signature.name, Name::IsRootSpan) && events {
        return Err(Located::new(call.at.0, "IsRootSpan is for conditions on spans")
            .help("write span.parent_span_id == SpanID(0x0000000000000000)"));
    }
    let arguments = bind(call, signature)?;
    let mut nodes = arguments.iter().zip(signature.parameters).map(|(argument, parameter)| {
        let Some(value) = argument else { return Ok((call.at.0, Node::Constant(Constant::Nil))) };
        let node = compile(value)?;
        check(&node, value, parameter, signature.text)?;
        Ok((value.at.0, node))
    });
    // As many as the signature has parameters: `bind` saw to it.
    let mut located =
        || nodes.next().unwrap_or_else(|| Err(Located::new(call.at.0, "an argument is missing")));
    let mut next = || located().map(|(_, node)| node);
    let function = match signature.name {
        Name::Concat => Function::Concat { values: next()?, delimiter: next()? },
        Name::ContainsValue => Function::ContainsValue { list: next()?, item: next()? },
        Name::Convert(to) => Function::Convert { value: next()?, to },
        Name::Duration => Function::Duration(next()?),
        Name::Affix(affix) => Function::Affix { affix, text: next()?, part: next()? },
        Name::DurationIn(unit) => Function::DurationIn { unit, duration: next()? },
        Name::IsMatch => {
            let value = next()?;
            let (at, pattern) = located()?;
            Function::IsMatch { value, regex: regex(at, &pattern)? }
        }
        Name::IsRootSpan => Function::IsRootSpan,
        Name::Is(test) => Function::Is { test, value: next()? },
        Name::Len => Function::Len(next()?),
        Name::Case { upper } => Function::Case { upper, text: next()? },
        Name::TraceId => Function::TraceId(next()?),
        Name::SpanId => Function::SpanId(next()?),
        Name::Substring => Function::Substring {
            text: next()?,
            start: next()?,
            length: next()?,
            utf8_safe: matches!(next()?, Node::Constant(Constant::Bool(true))),
        },
    };
    Ok((Node::Call(Box::new(Call { at: call.at.0, name: signature.text, function })), signature.result))
}

fn unknown(call: &ast::Call) -> Located {
    let supported = || SIGNATURES.iter().map(|signature| signature.text);
    if UNSUPPORTED.contains(&call.name.as_str()) {
        return Located::new(call.at.0, format!("the converter {} is not supported", call.name))
            .help(format!("there are: {}", supported().collect::<Vec<_>>().join(", ")));
    }
    let error = Located::new(call.at.0, format!("there is no converter {}", call.name));
    match nearest(&call.name, supported()) {
        Some(best) => error.help(format!("did you mean {best}?")),
        None => error.help(format!("there are: {}", supported().collect::<Vec<_>>().join(", "))),
    }
}

/// The arguments in the order of the parameters; only a flag may be missing.
fn bind<'a>(call: &'a ast::Call, signature: &Signature) -> Compiled<Vec<Option<&'a ast::Value>>> {
    let shape = || {
        let names: Vec<_> = signature.parameters.iter().map(|(name, _)| *name).collect();
        format!("write {}({})", signature.text, names.join(", "))
    };
    let mut bound = vec![None; signature.parameters.len()];
    let mut named = false;
    for (place, argument) in call.arguments.iter().enumerate() {
        let at = argument.at.0;
        let place = match &argument.name {
            None if named => {
                return Err(
                    Located::new(at, "an argument without a name after one with a name").help(shape())
                );
            }
            None => place,
            Some(name) => {
                named = true;
                signature.parameters.iter().position(|(known, _)| known == name).ok_or_else(|| {
                    Located::new(at, format!("{} has no parameter {name}", signature.text)).help(shape())
                })?
            }
        };
        let slot = bound.get_mut(place).ok_or_else(|| {
            Located::new(at, format!("too many arguments to {}", signature.text)).help(shape())
        })?;
        if slot.replace(&argument.value).is_some() {
            return Err(Located::new(at, "an argument is given twice").help(shape()));
        }
    }
    for (slot, (name, takes)) in bound.iter().zip(signature.parameters) {
        if slot.is_none() && *takes != Takes::Flag {
            return Err(Located::new(call.at.0, format!("{} lacks its argument {name}", signature.text))
                .help(shape()));
        }
    }
    Ok(bound)
}

/// Refuses constants that could only fail.
fn check(node: &Node, value: &ast::Value, (name, takes): &(&str, Takes), function: &str) -> Compiled<()> {
    let wrong = |expected: &str| {
        Err(Located::new(
            value.at.0,
            format!("the argument {name} of {function} takes {expected}, not `{value}`"),
        ))
    };
    let constant = match node {
        Node::Constant(constant) => Some(constant),
        _ => None,
    };
    match (takes, constant) {
        (Takes::Str | Takes::Pattern, Some(Constant::Str(_))) => Ok(()),
        (Takes::Str, Some(_)) => wrong("a string"),
        (Takes::Pattern, _) => wrong("a pattern written out as a string"),
        (Takes::Int, Some(Constant::Int(_))) => Ok(()),
        (Takes::Int, Some(_)) => wrong("an integer"),
        (Takes::Duration, Some(Constant::Duration(_))) => Ok(()),
        (Takes::Duration, Some(_)) => wrong("a duration, as in end_time - start_time or Duration(\"5s\")"),
        (Takes::List | Takes::Texts, Some(Constant::List(_))) => Ok(()),
        (Takes::List, Some(_)) => wrong("a list"),
        (Takes::Texts, _) if !matches!(node, Node::List(_)) => wrong("a list in brackets"),
        (Takes::Flag, Some(Constant::Bool(_))) => Ok(()),
        (Takes::Flag, _) => wrong("true or false"),
        _ => Ok(()),
    }
}

fn regex(at: usize, pattern: &Node) -> Compiled<Regex> {
    let Node::Constant(Constant::Str(pattern)) = pattern else {
        return Err(Located::new(at, "a pattern is a string"));
    };
    let translated =
        re2::translate(pattern).map_err(|reason| Located::new(at, format!("invalid pattern: {reason}")))?;
    Regex::new(&translated).map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or(&text);
        Located::new(at, format!("invalid pattern: {reason}"))
    })
}
