//! Whatever a valid request holds, its JSON parses, and what Zipkin has a place for is in it.

use super::mapping::{attribute, spans_in};
use crate::mapping::encode;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message;
use std::collections::HashSet;

fn text() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "",
        "\"",
        "\\",
        "\u{0}\u{1f}\u{7f}",
        "},{",
        "\u{2028}",
        "</script>",
        "a|b|c",
        "𝄞",
    ]);
    prop_oneof![4 => ".{0,12}", 1 => hostile.prop_map(str::to_owned)]
}

fn key() -> impl Strategy<Value = String> {
    let special = [
        "error",
        "service.name",
        "peer.service",
        "server.address",
        "server.port",
        "network.peer.address",
        "otlp.link.0",
        "otel.status_code",
        "span.kind",
        "w3c.tracestate",
    ];
    prop_oneof![3 => text(), 1 => prop::sample::select(special.to_vec()).prop_map(str::to_owned)]
}

fn value() -> impl Strategy<Value = Any> {
    let scalar = prop_oneof![
        text().prop_map(Any::StringValue),
        any::<bool>().prop_map(Any::BoolValue),
        any::<i64>().prop_map(Any::IntValue),
        any::<f64>().prop_map(Any::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(Any::BytesValue),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        let wrapped = |value| AnyValue { value };
        prop_oneof![
            prop::collection::vec(prop::option::of(inner.clone()), 0..4).prop_map(move |values| {
                Any::ArrayValue(ArrayValue { values: values.into_iter().map(wrapped).collect() })
            }),
            prop::collection::vec((text(), inner), 0..4).prop_map(|values| {
                let values = values.into_iter().map(|(key, value)| attribute(&key, value)).collect();
                Any::KvlistValue(KeyValueList { values })
            }),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    prop::collection::vec((key(), value()).prop_map(|(key, value)| attribute(&key, value)), 0..6)
}

fn id<const N: usize>() -> impl Strategy<Value = Vec<u8>> {
    any::<[u8; N]>().prop_filter("zeros are no id", |id| *id != [0; N]).prop_map(|id| id.to_vec())
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (id::<16>(), id::<8>(), prop::option::of(id::<8>()));
    let event = (any::<u64>(), text(), attributes(), 0..2u32).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    );
    let link = (id::<16>(), id::<8>(), text(), attributes()).prop_map(
        |(trace_id, span_id, trace_state, attributes)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            ..Link::default()
        },
    );
    let children = (prop::collection::vec(event, 0..3), prop::collection::vec(link, 0..3));
    let status = prop::option::of((text(), 0..4).prop_map(|(message, code)| Status { code, message }));
    (ids, text(), -1..7i32, any::<(u64, u64)>(), attributes(), children, status, text()).prop_map(
        |(ids, name, kind, times, attributes, children, status, trace_state)| Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2.unwrap_or_default(),
            name,
            kind,
            start_time_unix_nano: times.0,
            end_time_unix_nano: times.1,
            attributes,
            events: children.0,
            links: children.1,
            status,
            trace_state,
            ..Span::default()
        },
    )
}

fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = (text(), text(), attributes()).prop_map(|(name, version, attributes)| InstrumentationScope {
        name,
        version,
        attributes,
        ..InstrumentationScope::default()
    });
    let scope_spans = (prop::option::of(scope), prop::collection::vec(span(), 0..4))
        .prop_map(|(scope, spans)| ScopeSpans { scope, spans, ..ScopeSpans::default() });
    let group =
        (attributes(), prop::collection::vec(scope_spans, 0..3)).prop_map(|(attributes, scope_spans)| {
            let resource = Some(Resource { attributes, ..Resource::default() });
            ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }
        });
    prop::collection::vec(group, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn as_tag(value: &Any) -> Option<String> {
    match value {
        Any::StringValue(text) => Some(text.clone()),
        Any::BoolValue(value) => Some(value.to_string()),
        Any::IntValue(value) => Some(value.to_string()),
        _ => None,
    }
}

proptest! {
    #[test]
    fn any_request_is_json_with_all_of_its_spans(request in request(), limit in 1usize..4000) {
        let encoded = encode(&request.encode_to_vec(), "nobody", limit);
        let shown = spans_in(&encoded);
        let groups = request.resource_spans.iter().flat_map(|group| &group.scope_spans);
        let sent: Vec<&Span> = groups.flat_map(|group| &group.spans).collect();
        prop_assert_eq!(shown.len(), sent.len());
        prop_assert_eq!(encoded.bodies.iter().map(|body| body.spans).sum::<usize>(), sent.len());
        prop_assert!(encoded.bodies.iter().all(|body| body.json.len() <= limit || body.spans == 1));
        for (span, shown) in sent.iter().zip(&shown) {
            prop_assert_eq!(shown["traceId"].as_str().unwrap_or_default(), hex(&span.trace_id));
            prop_assert_eq!(shown["id"].as_str().unwrap_or_default(), hex(&span.span_id));
            prop_assert_eq!(shown["parentId"].as_str().unwrap_or_default(), hex(&span.parent_span_id));
            prop_assert_eq!(shown["name"].as_str().unwrap_or_default(), &span.name);
            let annotations = shown["annotations"].as_array().map_or(0, Vec::len);
            prop_assert_eq!(annotations, span.events.len());

            let tags = shown["tags"].as_object().cloned().unwrap_or_default();
            prop_assert!(tags.values().all(serde_json::Value::is_string));
            let failed = span.status.as_ref().is_some_and(|status| status.code == 2);
            prop_assert_eq!(tags.contains_key("error"), failed);
            // Keys that we write ourselves, and the second of two equal ones, are not the attribute's.
            let mut seen: HashSet<&str> = ["error", "otel.status_code", "w3c.tracestate"].into();
            for attribute in &span.attributes {
                let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
                if seen.insert(&attribute.key) && let Some(text) = value.and_then(as_tag) {
                    prop_assert_eq!(tags.get(&attribute.key).and_then(|tag| tag.as_str()), Some(text.as_str()));
                }
            }
            for (index, link) in span.links.iter().enumerate() {
                let key = format!("otlp.link.{index}");
                if !seen.contains(key.as_str()) {
                    let ids = format!("{}|{}|", hex(&link.trace_id), hex(&link.span_id));
                    prop_assert!(tags[&key].as_str().is_some_and(|tag| tag.starts_with(&ids)));
                }
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        spans_in(&encode(&bytes, "nobody", 100));
    }
}
