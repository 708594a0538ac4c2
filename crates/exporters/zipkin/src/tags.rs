//! Tags of a span: gathered from several places, each key once.

use crate::json;
use forebay_otlp::traces::{AnyValueView, KeyValueView, LinkView, ResourceView, ScopeView, SpanView};
use std::borrow::Cow;

/// A tag's value until it is written.
#[derive(Clone, Debug)]
pub(crate) enum TagValue<'a> {
    Any(AnyValueView<'a>),
    Text(Cow<'a, str>),
}

impl<'a> TagValue<'a> {
    pub(crate) fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Any(value) => json::text(*value),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Keys with values; of a key that is added twice, the later value counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tags<'a>(Vec<(Cow<'a, str>, TagValue<'a>)>);

impl<'a> Tags<'a> {
    pub(crate) fn add(&mut self, key: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        self.0.push((key.into(), TagValue::Text(value.into())));
    }

    pub(crate) fn add_all(&mut self, attributes: impl Iterator<Item = KeyValueView<'a>>) {
        let tags = attributes.map(|one| (Cow::Borrowed(one.key()), TagValue::Any(one.value())));
        self.0.extend(tags);
    }

    pub(crate) fn get(&self, key: &str) -> Option<Cow<'a, str>> {
        self.0.iter().rev().find(|tag| tag.0 == key).map(|tag| tag.1.text())
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.0.retain(|tag| tag.0 != key);
    }

    /// Starts again from those of the resource and the scope.
    pub(crate) fn reset_to(&mut self, base: &Self) {
        self.0.clone_from(&base.0);
    }

    /// Appends `"tags":{...}` and a comma in front, if there are any.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>) {
        if self.0.is_empty() {
            return;
        }
        // Stable: the last of equal keys is the one that counts.
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
        out.extend_from_slice(b",\"tags\":{");
        let mut first = true;
        for (index, (key, value)) in self.0.iter().enumerate() {
            if self.0.get(index + 1).is_some_and(|next| next.0 == *key) {
                continue;
            }
            if !first {
                out.push(b',');
            }
            first = false;
            json::string(key, out);
            out.push(b':');
            json::string(&value.text(), out);
        }
        out.push(b'}');
    }
}

/// Where the service's name comes from, best first; the collector names the source when it is not the first.
const SERVICE_NAMES: [&str; 4] =
    ["service.name", "faas.name", "k8s.deployment.name", "process.executable.name"];

/// The tags of a resource, and the service's name, which goes to the endpoint instead.
pub(crate) fn of_resource(resource: ResourceView<'_>) -> (Tags<'_>, Option<Cow<'_, str>>) {
    let mut tags = Tags::default();
    tags.add_all(resource.attributes());
    let named = SERVICE_NAMES.into_iter().find_map(|key| tags.get(key).map(|name| (key, name)));
    let Some((key, name)) = named else { return (tags, None) };
    tags.remove(key);
    if key != SERVICE_NAMES[0] {
        tags.add("otlp.service.name.source", key);
    }
    (tags, Some(name))
}

/// Adds what a scope says: `otel.scope.*` by the specification, `otel.library.*` for readers that know only those.
pub(crate) fn add_scope<'a>(scope: ScopeView<'a>, tags: &mut Tags<'a>) {
    tags.add_all(scope.attributes());
    for (key, old_key, value) in [
        ("otel.scope.name", "otel.library.name", scope.name()),
        ("otel.scope.version", "otel.library.version", scope.version()),
    ] {
        if !value.is_empty() {
            tags.add(key, value);
            tags.add(old_key, value);
        }
    }
}

/// Adds what a span says besides its attributes, once they are in.
pub(crate) fn add_span<'a>(span: SpanView<'a>, tags: &mut Tags<'a>) {
    if !span.trace_state().is_empty() {
        tags.add("w3c.tracestate", span.trace_state());
    }
    if span.kind() == 1 {
        tags.add("span.kind", "internal");
    }
    if tags.get("http.status_code").is_none()
        && let Some(code) = tags.get("http.response.status_code")
    {
        tags.add("http.status_code", code);
    }
    let dropped = [
        ("otel.dropped_attributes_count", span.dropped_attributes_count()),
        ("otel.dropped_events_count", span.dropped_events_count()),
        ("otel.dropped_links_count", span.dropped_links_count()),
    ];
    for (key, count) in dropped.into_iter().filter(|(_, count)| *count > 0) {
        tags.add(key, count.to_string());
    }
    let status = span.status();
    match status.code() {
        1 => tags.add("otel.status_code", "OK"),
        2 => {
            tags.add("otel.status_code", "ERROR");
            // Zipkin takes any span with an `error` tag for failed, an empty one is easily overlooked.
            tags.add("error", if status.message().is_empty() { "true" } else { status.message() });
        }
        _ => {}
    }
    // For the same reason a span that says it has no error must not have the tag.
    if status.code() != 2 && tags.get("error").is_some_and(|error| error == "false") {
        tags.remove("error");
    }
    if status.code() != 0 && !status.message().is_empty() {
        tags.add("otel.status_description", status.message());
    }
    for (index, link) in span.links().enumerate() {
        tags.add(format!("otlp.link.{index}"), link_text(link));
    }
}

/// A link in the form that the collector's Zipkin receiver reads back.
fn link_text(link: LinkView<'_>) -> String {
    let mut text = Vec::new();
    json::hex(link.trace_id(), &mut text);
    text.push(b'|');
    json::hex(link.span_id(), &mut text);
    text.push(b'|');
    text.extend_from_slice(link.trace_state().as_bytes());
    text.push(b'|');
    json::object(link.attributes(), &mut text);
    text.push(b'|');
    json::number(link.dropped_attributes_count().into(), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
