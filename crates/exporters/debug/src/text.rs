//! Traces as text for people. The layout may change at any time.

use forebay_otlp::traces::{
    AnyValueView, KeyValueView, ResourceSpansView, ScopeSpansView, SpanView, TracesView,
};
use std::fmt::{self, Display, Write};

/// About one line per span.
pub(crate) fn normal(traces: TracesView<'_>, out: &mut String) {
    for (r, resource_spans) in traces.resource_spans().enumerate() {
        line(out, format_args!("ResourceTraces #{r}{}", Inline(resource_spans.resource().attributes())));
        for (s, scope_spans) in resource_spans.scope_spans().enumerate() {
            let scope = scope_spans.scope();
            let version = if scope.version().is_empty() { "" } else { "@" };
            let name = format_args!("{}{version}{}", scope.name(), scope.version()).to_string();
            line(out, format_args!("ScopeTraces #{s} {name}{}", Inline(scope.attributes())));
            for span in scope_spans.spans() {
                let (trace, id) = (Hex(span.trace_id()), Hex(span.span_id()));
                line(out, format_args!("{} {trace} {id}{}", span.name(), Inline(span.attributes())));
            }
        }
    }
}

/// Everything.
pub(crate) fn detailed(traces: TracesView<'_>, out: &mut String) {
    for (index, group) in traces.resource_spans().enumerate() {
        resource(index, group, out);
    }
}

fn resource(index: usize, group: ResourceSpansView<'_>, out: &mut String) {
    line(out, format_args!("ResourceSpans #{index}"));
    line(out, format_args!("Resource SchemaURL: {}", group.schema_url()));
    attributes("Resource attributes", group.resource().attributes(), out);
    for (index, group) in group.scope_spans().enumerate() {
        scope(index, group, out);
    }
}

fn scope(index: usize, group: ScopeSpansView<'_>, out: &mut String) {
    let scope = group.scope();
    line(out, format_args!("ScopeSpans #{index}"));
    line(out, format_args!("ScopeSpans SchemaURL: {}", group.schema_url()));
    line(out, format_args!("InstrumentationScope {} {}", scope.name(), scope.version()));
    attributes("InstrumentationScope attributes", scope.attributes(), out);
    for (index, view) in group.spans().enumerate() {
        line(out, format_args!("Span #{index}"));
        span(view, out);
    }
}

fn span(span: SpanView<'_>, out: &mut String) {
    let mut field = |name: &str, value: &dyn Display| line(out, format_args!("    {name:<15}: {value}"));
    field("Trace ID", &Hex(span.trace_id()));
    field("Parent ID", &Hex(span.parent_span_id()));
    field("ID", &Hex(span.span_id()));
    field("Name", &span.name());
    field("Kind", &kind(span.kind()));
    if !span.trace_state().is_empty() {
        field("TraceState", &span.trace_state());
    }
    field("Start time", &Time(span.start_time_unix_nano()));
    field("End time", &Time(span.end_time_unix_nano()));
    field("Status code", &status(span.status().code()));
    field("Status message", &span.status().message());
    let dropped = [
        ("DroppedAttributesCount", span.dropped_attributes_count()),
        ("DroppedEventsCount", span.dropped_events_count()),
        ("DroppedLinksCount", span.dropped_links_count()),
    ];
    for (name, count) in dropped.into_iter().filter(|(_, count)| *count > 0) {
        field(name, &count);
    }
    attributes("Attributes", span.attributes(), out);
    for (index, event) in span.events().enumerate() {
        line(out, format_args!("SpanEvent #{index}"));
        line(out, format_args!("     -> Name: {}", event.name()));
        line(out, format_args!("     -> Timestamp: {}", Time(event.time_unix_nano())));
        line(out, format_args!("     -> DroppedAttributesCount: {}", event.dropped_attributes_count()));
        attributes("     -> Attributes", event.attributes(), out);
    }
    for (index, link) in span.links().enumerate() {
        line(out, format_args!("SpanLink #{index}"));
        line(out, format_args!("     -> Trace ID: {}", Hex(link.trace_id())));
        line(out, format_args!("     -> ID: {}", Hex(link.span_id())));
        line(out, format_args!("     -> TraceState: {}", link.trace_state()));
        line(out, format_args!("     -> DroppedAttributesCount: {}", link.dropped_attributes_count()));
        attributes("     -> Attributes", link.attributes(), out);
    }
}

fn attributes<'a>(title: &str, attributes: impl Iterator<Item = KeyValueView<'a>>, out: &mut String) {
    for (index, attribute) in attributes.enumerate() {
        if index == 0 {
            line(out, format_args!("{title}:"));
        }
        line(out, format_args!("     -> {}: {}", attribute.key(), Typed(attribute.value())));
    }
}

fn line(out: &mut String, text: fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = out.write_fmt(text);
    out.push('\n');
}

fn kind(kind: i32) -> &'static str {
    match kind {
        1 => "Internal",
        2 => "Server",
        3 => "Client",
        4 => "Producer",
        5 => "Consumer",
        _ => "Unspecified",
    }
}

fn status(code: i32) -> &'static str {
    match code {
        0 => "Unset",
        1 => "Ok",
        2 => "Error",
        _ => "Unknown",
    }
}

/// Bytes in lower-case hex.
struct Hex<'a>(&'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// ` key=value` of each attribute.
struct Inline<I>(I);

impl<'a, I: Iterator<Item = KeyValueView<'a>> + Clone> Display for Inline<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.clone().try_for_each(|attribute| write!(f, " {}={}", attribute.key(), Bare(attribute.value())))
    }
}

/// A value with its type: `Str(x)`.
struct Typed<'a>(AnyValueView<'a>);

impl Display for Typed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            AnyValueView::Empty => "Empty",
            AnyValueView::Str(_) => "Str",
            AnyValueView::Bool(_) => "Bool",
            AnyValueView::Int(_) => "Int",
            AnyValueView::Double(_) => "Double",
            AnyValueView::Bytes(_) => "Bytes",
            AnyValueView::Array(_) => "Slice",
            AnyValueView::KvList(_) => "Map",
        };
        write!(f, "{kind}({})", Bare(self.0))
    }
}

/// A value alone. Nesting is bounded: the bytes were validated.
struct Bare<'a>(AnyValueView<'a>);

impl Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            AnyValueView::Empty => Ok(()),
            AnyValueView::Str(text) => f.write_str(text),
            AnyValueView::Bool(value) => value.fmt(f),
            AnyValueView::Int(value) => value.fmt(f),
            AnyValueView::Double(value) => value.fmt(f),
            AnyValueView::Bytes(bytes) => Hex(bytes).fmt(f),
            AnyValueView::Array(array) => {
                f.write_str("[")?;
                for (index, value) in array.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{}", Typed(value))?;
                }
                f.write_str("]")
            }
            AnyValueView::KvList(list) => {
                f.write_str("{")?;
                for (index, entry) in list.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{}: {}", entry.key(), Typed(entry.value()))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Nanoseconds since the Unix epoch, as a UTC date and time.
struct Time(u64);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        let (days, time) = (seconds / 86_400, seconds % 86_400);
        // Howard Hinnant's civil_from_days, for days from the epoch on: years that start in March, in eras of 400.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{nanos:09} +0000 UTC")
    }
}
