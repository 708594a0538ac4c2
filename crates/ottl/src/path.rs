//! What paths mean: names to fields, per context.

use crate::ast;
use crate::condition::ContextKind;
use crate::error::{Located, nearest};

/// A field that can be read from a span and what is around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    TraceId,
    TraceIdString,
    SpanId,
    SpanIdString,
    ParentSpanId,
    ParentSpanIdString,
    /// Also with a key.
    TraceState,
    Name,
    Kind,
    KindString,
    KindDeprecatedString,
    StartTimeUnixNano,
    EndTimeUnixNano,
    StartTime,
    EndTime,
    StatusCode,
    StatusMessage,
    Flags,
    Events,
    Links,
    DroppedAttributesCount,
    DroppedEventsCount,
    DroppedLinksCount,
    EventName,
    EventTimeUnixNano,
    EventTime,
    EventDroppedAttributesCount,
    ScopeName,
    ScopeVersion,
    ScopeSchemaUrl,
    ScopeDroppedAttributesCount,
    ResourceSchemaUrl,
    ResourceDroppedAttributesCount,
    /// Also with keys.
    Attributes(Owner),
}

/// Whose attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Span,
    Event,
    Scope,
    Resource,
}

impl Field {
    /// How many keys in brackets it may have.
    fn keys(self) -> usize {
        match self {
            Self::Attributes(_) => usize::MAX,
            Self::TraceState => 1,
            _ => 0,
        }
    }
}

const SPAN: &[(&str, Field)] = &[
    ("attributes", Field::Attributes(Owner::Span)),
    ("name", Field::Name),
    ("kind", Field::Kind),
    ("kind.string", Field::KindString),
    ("kind.deprecated_string", Field::KindDeprecatedString),
    ("status.code", Field::StatusCode),
    ("status.message", Field::StatusMessage),
    ("start_time_unix_nano", Field::StartTimeUnixNano),
    ("end_time_unix_nano", Field::EndTimeUnixNano),
    ("start_time", Field::StartTime),
    ("end_time", Field::EndTime),
    ("trace_id", Field::TraceId),
    ("trace_id.string", Field::TraceIdString),
    ("span_id", Field::SpanId),
    ("span_id.string", Field::SpanIdString),
    ("parent_span_id", Field::ParentSpanId),
    ("parent_span_id.string", Field::ParentSpanIdString),
    ("trace_state", Field::TraceState),
    ("flags", Field::Flags),
    ("events", Field::Events),
    ("links", Field::Links),
    ("dropped_attributes_count", Field::DroppedAttributesCount),
    ("dropped_events_count", Field::DroppedEventsCount),
    ("dropped_links_count", Field::DroppedLinksCount),
];

const EVENT: &[(&str, Field)] = &[
    ("attributes", Field::Attributes(Owner::Event)),
    ("name", Field::EventName),
    ("time_unix_nano", Field::EventTimeUnixNano),
    ("time", Field::EventTime),
    ("dropped_attributes_count", Field::EventDroppedAttributesCount),
];

const SCOPE: &[(&str, Field)] = &[
    ("attributes", Field::Attributes(Owner::Scope)),
    ("name", Field::ScopeName),
    ("version", Field::ScopeVersion),
    ("schema_url", Field::ScopeSchemaUrl),
    ("dropped_attributes_count", Field::ScopeDroppedAttributesCount),
];

const RESOURCE: &[(&str, Field)] = &[
    ("attributes", Field::Attributes(Owner::Resource)),
    ("schema_url", Field::ResourceSchemaUrl),
    ("dropped_attributes_count", Field::ResourceDroppedAttributesCount),
];

const CONTEXTS: [&str; 5] = ["span", "resource", "scope", "instrumentation_scope", "spanevent"];

/// What the collector has and we do not.
const UNSUPPORTED: [(&str, &str); 4] = [
    ("status", "write status.code or status.message"),
    ("cache", "nothing sets it in a condition"),
    ("event_index", "test the event's name, time or attributes"),
    ("otelcol", "what a request came with is not kept with its spans"),
];

/// The field that a path means, and the path's segment that holds the keys.
pub(crate) fn resolve(path: &ast::Path, context: ContextKind) -> Result<(Field, &[ast::Key]), Located> {
    let (first, rest) =
        path.segments.split_first().ok_or_else(|| Located::new(path.at.0, "an empty path"))?;
    let (prefix, segments) = match rest {
        [_, ..] if CONTEXTS.contains(&first.name.as_str()) => (Some(first), rest),
        _ => (None, &path.segments[..]),
    };
    if let Some(prefix) = prefix.filter(|prefix| !prefix.keys.is_empty()) {
        return Err(Located::new(prefix.at.0, format!("`{}` cannot be indexed", prefix.name)));
    }
    let (group, fields) = match (prefix.map(|prefix| prefix.name.as_str()), context) {
        (Some("resource"), _) => ("resource", RESOURCE),
        (Some("scope" | "instrumentation_scope"), _) => ("scope", SCOPE),
        (Some("spanevent"), ContextKind::Span) => {
            return Err(Located::new(path.at.0, "a condition on spans cannot look at a span event")
                .help("write it as a condition on span events"));
        }
        (Some("spanevent"), _) | (None, ContextKind::SpanEvent) => ("spanevent", EVENT),
        (_, _) => ("span", SPAN),
    };
    let name = segments.iter().map(|segment| segment.name.as_str()).collect::<Vec<_>>().join(".");
    let Some((_, field)) = fields.iter().find(|(known, _)| *known == name) else {
        return Err(unknown(path, prefix.is_some(), &name, group, fields));
    };
    let (last, inner) = segments.split_last().unwrap_or((first, &[]));
    if let Some(indexed) = inner.iter().find(|segment| !segment.keys.is_empty()) {
        return Err(Located::new(indexed.at.0, format!("`{}` cannot be indexed", indexed.name)));
    }
    if last.keys.len() > field.keys() {
        let error =
            Located::new(last.at.0, format!("`{}` takes {} keys in brackets", path_name(path), field.keys()));
        return Err(match field.keys() {
            0 => Located::new(last.at.0, format!("`{}` cannot be indexed", path_name(path))),
            _ => error,
        });
    }
    Ok((*field, &last.keys))
}

fn path_name(path: &ast::Path) -> String {
    path.segments.iter().map(|segment| segment.name.as_str()).collect::<Vec<_>>().join(".")
}

fn unknown(
    path: &ast::Path,
    prefixed: bool,
    name: &str,
    group: &'static str,
    fields: &'static [(&'static str, Field)],
) -> Located {
    let full = path_name(path);
    let first = name.split('.').next().unwrap_or(name);
    if let Some((known, help)) = UNSUPPORTED.iter().find(|(known, _)| *known == first)
        && (name == *known || *known == "otelcol")
    {
        return Located::new(path.at.0, format!("`{full}` is not supported")).help(*help);
    }
    let error = Located::new(path.at.0, format!("there is no path `{full}` in the {group} context"));
    // Attributes written with a dot, the usual slip.
    if let Some(key) = name.strip_prefix("attributes.") {
        return error.help(format!("write attributes[\"{key}\"]"));
    }
    let known = fields.iter().map(|(known, _)| *known);
    if let Some(best) = nearest(name, known.clone()) {
        let shown = if prefixed { format!("{group}.{best}") } else { best.to_owned() };
        return error.help(format!("did you mean `{shown}`?"));
    }
    if group == "spanevent" && SPAN.iter().any(|(known, _)| *known == name) {
        return error.help(format!("write `span.{name}` for the span that the event is in"));
    }
    if !prefixed && let Some(best) = nearest(first, CONTEXTS).filter(|_| name.contains('.')) {
        return error.help(format!("did you mean `{best}.{}`?", &name[first.len() + 1..]));
    }
    if first.contains("service") || first == "http" || name.contains('.') && !prefixed {
        return error.help(format!(
            "attributes are written attributes[\"{name}\"] or resource.attributes[\"{name}\"]; paths: {}",
            known.collect::<Vec<_>>().join(", ")
        ));
    }
    error.help(format!("there are: {}", known.collect::<Vec<_>>().join(", ")))
}
