//! Each rule of the mapping.

use crate::mapping::{Encoded, encode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use serde_json::{Value, json};

const LIMIT: usize = 5 << 20;

pub(super) fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(value: &str) -> Any {
    Any::StringValue(value.to_owned())
}

pub(super) fn span() -> Span {
    Span {
        trace_id: (0..16).collect(),
        span_id: vec![0xfb; 8],
        name: "Plan".to_owned(),
        start_time_unix_nano: 1_700_000_000_000_001_999,
        end_time_unix_nano: 1_700_000_000_000_005_998,
        ..Span::default()
    }
}

fn request(resource: Vec<KeyValue>, scope: Option<InstrumentationScope>, spans: Vec<Span>) -> Vec<u8> {
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    let scope_spans = vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }];
    let group = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![group] }.encode_to_vec()
}

pub(super) fn spans_in(encoded: &Encoded) -> Vec<Value> {
    let spans = |json: &[u8]| serde_json::from_slice::<Vec<Value>>(json).expect("a JSON array");
    encoded.bodies.iter().flat_map(|body| spans(&body.json)).collect()
}

fn encoded(resource: Vec<KeyValue>, scope: Option<InstrumentationScope>, span: Span) -> Value {
    let encoded = encode(&request(resource, scope, vec![span]), "nobody", LIMIT);
    spans_in(&encoded).pop().expect("a span")
}

fn alone(span: Span) -> Value {
    encoded(Vec::new(), None, span)
}

fn with(kind: i32, attributes: Vec<KeyValue>) -> Value {
    alone(Span { kind, attributes, ..span() })
}

#[test]
fn a_bare_span_has_what_zipkin_needs_and_no_more() {
    assert_eq!(
        alone(span()),
        json!({
            "traceId": "000102030405060708090a0b0c0d0e0f",
            "id": "fbfbfbfbfbfbfbfb",
            "name": "Plan",
            "timestamp": 1_700_000_000_000_001_u64,
            "duration": 3,
            "localEndpoint": {"serviceName": "nobody"},
        })
    );
}

#[test]
fn a_parent_is_there_if_there_is_one() {
    let parent = |id: Vec<u8>| alone(Span { parent_span_id: id, ..span() })["parentId"].clone();
    assert_eq!(parent(vec![0xab; 8]), json!("abababababababab"));
    assert_eq!(parent(vec![0; 8]), Value::Null);
}

#[test]
fn times_are_whole_microseconds_and_never_zero() {
    let times = |start, end| {
        let span = alone(Span { start_time_unix_nano: start, end_time_unix_nano: end, ..span() });
        (span["timestamp"].as_u64(), span["duration"].as_u64())
    };
    assert_eq!(times(5_000, 6_234), (Some(5), Some(1)));
    assert_eq!(times(5_000, 5_000), (Some(5), Some(1)));
    assert_eq!(times(5_000, 4_000), (Some(5), Some(1)));
    assert_eq!(times(0, 0), (None, None));
    assert_eq!(times(5_000, 0), (Some(5), None));
}

#[test]
fn kinds_have_zipkins_names() {
    let kind = |kind| with(kind, Vec::new())["kind"].clone();
    let names =
        [json!(null), json!(null), json!("SERVER"), json!("CLIENT"), json!("PRODUCER"), json!("CONSUMER")];
    assert_eq!((0..6).map(kind).collect::<Vec<_>>(), names);
    assert_eq!(kind(99), Value::Null);
    assert_eq!(with(1, Vec::new())["tags"]["span.kind"], "internal");
    assert_eq!(with(1, vec![attribute("span.kind", text("own"))])["tags"]["span.kind"], "own");
}

#[test]
fn the_service_is_the_local_endpoint() {
    let service = |value| encoded(vec![attribute("service.name", value)], None, span());
    let named = service(text("Planner"));
    assert_eq!(named["localEndpoint"], json!({"serviceName": "Planner"}));
    assert_eq!(named["tags"], Value::Null, "the name is not said twice");
    assert_eq!(service(text(""))["localEndpoint"]["serviceName"], "nobody");
    assert_eq!(service(Any::IntValue(7))["localEndpoint"]["serviceName"], "7");
}

#[test]
fn values_are_text() {
    let list = vec![text("a\"b"), Any::IntValue(1), Any::BoolValue(false), Any::DoubleValue(0.5)];
    let values = list.into_iter().map(|value| AnyValue { value: Some(value) }).collect();
    let list = Any::ArrayValue(ArrayValue { values });
    let nested = KeyValueList { values: vec![attribute("k", list.clone())] };
    let empty = KeyValue { key: "none".to_owned(), ..KeyValue::default() };
    let tags = with(
        0,
        vec![
            attribute("text", text("line\n\"quoted\" \u{1} \\ ünï")),
            attribute("int", Any::IntValue(i64::MIN)),
            attribute("bool", Any::BoolValue(true)),
            attribute("double", Any::DoubleValue(1.0)),
            attribute("nan", Any::DoubleValue(f64::NAN)),
            attribute("infinite", Any::DoubleValue(f64::NEG_INFINITY)),
            attribute("bytes", Any::BytesValue(vec![0xff, 0, 1])),
            attribute("list", list),
            attribute("map", Any::KvlistValue(nested)),
            empty,
        ],
    )["tags"]
        .clone();
    let expected = json!({
        "text": "line\n\"quoted\" \u{1} \\ ünï", "int": "-9223372036854775808", "bool": "true", "double": "1.0",
        "nan": "NaN", "infinite": "-Infinity", "bytes": "/wAB", "list": "[\"a\\\"b\",1,false,0.5]",
        "map": "{\"k\":[\"a\\\"b\",1,false,0.5]}", "none": "",
    });
    assert_eq!(tags, expected);
}

#[test]
fn a_spans_tags_win_over_its_scopes_and_these_over_the_resources() {
    let scope = InstrumentationScope {
        name: "lib".to_owned(),
        version: "1.2".to_owned(),
        attributes: vec![attribute("both", text("scope")), attribute("all", text("scope"))],
        ..InstrumentationScope::default()
    };
    let resource = vec![
        attribute("service.name", text("s")),
        attribute("host.name", text("h")),
        attribute("both", text("resource")),
        attribute("all", text("resource")),
    ];
    let own = vec![attribute("all", text("span")), attribute("all", text("again"))];
    let tags = encoded(resource, Some(scope), Span { attributes: own, ..span() })["tags"].clone();
    let expected = json!({
        "all": "span", "both": "scope", "host.name": "h", "otel.scope.name": "lib", "otel.scope.version": "1.2",
        "otel.library.name": "lib", "otel.library.version": "1.2",
    });
    assert_eq!(tags, expected);
}

#[test]
fn only_a_failed_span_has_an_error() {
    let tags = |code, message: &str| {
        let status = Some(Status { code, message: message.to_owned() });
        let attributes = vec![attribute("error", Any::BoolValue(false))];
        alone(Span { status, attributes, ..span() })["tags"].clone()
    };
    assert_eq!(tags(2, "no route"), json!({"otel.status_code": "ERROR", "error": "no route"}));
    assert_eq!(tags(2, ""), json!({"otel.status_code": "ERROR", "error": ""}));
    assert_eq!(tags(1, ""), json!({"otel.status_code": "OK"}));
    assert_eq!(tags(1, "fine"), json!({"otel.status_code": "OK", "otel.status_description": "fine"}));
    assert_eq!(tags(0, ""), Value::Null);
}

#[test]
fn events_are_annotations() {
    let event = |name: &str, time_unix_nano, attributes, dropped_attributes_count| Event {
        time_unix_nano,
        name: name.to_owned(),
        attributes,
        dropped_attributes_count,
    };
    let events = vec![
        event("retry", 2_000_500, Vec::new(), 0),
        event("a \"tool\"", 3_000, vec![attribute("n", Any::IntValue(3)), attribute("pipe", text("a|b"))], 0),
        event("cut", 0, Vec::new(), 4),
    ];
    let shown = alone(Span { events, start_time_unix_nano: 7_000, ..span() })["annotations"].clone();
    let expected = json!([
        {"timestamp": 2000, "value": "retry"},
        {"timestamp": 3, "value": "\"a \\\"tool\\\"\":{\"n\":3,\"pipe\":\"a\\u007cb\"}"},
        {"timestamp": 7, "value": "\"cut\":{\"otel.dropped_attributes_count\":4}"},
    ]);
    assert_eq!(shown, expected);
}

#[test]
fn links_are_tags() {
    let link = Link {
        trace_id: vec![0x0a; 16],
        span_id: vec![0x0b; 8],
        trace_state: "v=1".to_owned(),
        attributes: vec![attribute("why", text("retry"))],
        dropped_attributes_count: 2,
        ..Link::default()
    };
    let bare = Link {
        trace_state: String::new(),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        ..link.clone()
    };
    let tags = alone(Span { links: vec![link, bare], ..span() })["tags"].clone();
    let ids = format!("{}|{}", "0a".repeat(16), "0b".repeat(8));
    let expected = json!({
        "otlp.link.0": format!("{ids}|v=1|{{\"why\":\"retry\"}}|2"),
        "otlp.link.1": format!("{ids}||{{}}|0"),
    });
    assert_eq!(tags, expected);
}

#[test]
fn trace_state_and_what_was_dropped_are_tags() {
    let span = Span {
        trace_state: "vendor=x".to_owned(),
        dropped_attributes_count: 1,
        dropped_events_count: 2,
        dropped_links_count: 3,
        ..span()
    };
    let expected = json!({
        "w3c.tracestate": "vendor=x", "otel.dropped_attributes_count": "1", "otel.dropped_events_count": "2",
        "otel.dropped_links_count": "3",
    });
    assert_eq!(alone(span)["tags"], expected);
}

#[test]
fn a_client_names_its_peer_by_rank() {
    let peer = |attributes: &[(&str, Any)]| {
        let attributes = attributes.iter().map(|(key, value)| attribute(key, value.clone())).collect();
        with(3, attributes)["remoteEndpoint"].clone()
    };
    let ranked = [
        "peer.service",
        "server.address",
        "net.peer.name",
        "server.socket.domain",
        "net.sock.peer.name",
        "peer.hostname",
        "db.name",
    ];
    for (rank, best) in ranked.iter().enumerate() {
        // The better one is found wherever it lies.
        let attributes: Vec<_> = ranked[rank..].iter().rev().map(|key| (*key, text(key))).collect();
        assert_eq!(peer(&attributes), json!({"serviceName": best}));
    }
    let ip = text("192.0.2.7");
    assert_eq!(peer(&[("network.peer.address", ip.clone())]), json!({"ipv4": "192.0.2.7"}));
    assert_eq!(
        peer(&[("network.peer.address", text("2001:db8::1")), ("network.peer.port", Any::IntValue(443))]),
        json!({"ipv6": "2001:db8::1", "port": 443})
    );
    assert_eq!(
        peer(&[
            ("server.address", text("llm")),
            ("server.port", Any::IntValue(8443)),
            ("net.sock.peer.addr", ip.clone())
        ]),
        json!({"serviceName": "llm", "ipv4": "192.0.2.7", "port": 8443})
    );
    assert_eq!(
        peer(&[("server.address", ip), ("server.port", text("80"))]),
        json!({"serviceName": "192.0.2.7", "ipv4": "192.0.2.7", "port": 80})
    );
    assert_eq!(
        peer(&[("network.peer.address", text("/run/db.sock"))]),
        json!({"serviceName": "/run/db.sock"})
    );
    assert_eq!(peer(&[("server.port", Any::IntValue(70_000)), ("server.address", text(""))]), Value::Null);
    assert_eq!(peer(&[]), Value::Null);
}

#[test]
fn the_address_of_a_server_is_not_its_peers() {
    let attributes = || {
        vec![
            attribute("server.address", text("me")),
            attribute("server.port", Any::IntValue(80)),
            attribute("network.peer.address", text("::ffff:192.0.2.9")),
        ]
    };
    for kind in [2, 5] {
        assert_eq!(with(kind, attributes())["remoteEndpoint"], json!({"ipv4": "192.0.2.9"}));
    }
    for kind in [0, 1] {
        assert_eq!(with(kind, attributes())["remoteEndpoint"], Value::Null);
    }
    assert_eq!(with(3, attributes())["remoteEndpoint"]["serviceName"], "me");
    assert_eq!(with(3, attributes())["tags"]["server.address"], "me", "attributes stay tags");
}

#[test]
fn bodies_end_between_spans() {
    let spans: Vec<Span> =
        (1..=50u64).map(|id| Span { span_id: id.to_be_bytes().to_vec(), ..span() }).collect();
    let wire = request(Vec::new(), None, spans);
    let encoded = encode(&wire, "nobody", 1000);
    assert!(encoded.bodies.len() > 5);
    assert!(encoded.bodies.iter().all(|body| body.json.len() <= 1000 && body.spans > 1));
    assert_eq!(encoded.bodies.iter().map(|body| body.spans).sum::<usize>(), 50);
    assert_eq!(spans_in(&encoded).len(), 50);
    // What is larger than the limit goes alone.
    assert!(encode(&wire, "nobody", 1).bodies.iter().all(|body| body.spans == 1));
    assert!(encode(b"", "nobody", 1000).bodies.is_empty());
}

#[test]
fn spans_without_valid_ids_are_counted() {
    let none = Span { trace_id: vec![0; 16], ..span() };
    let short = Span { span_id: vec![1; 4], ..span() };
    let encoded = encode(&request(Vec::new(), None, vec![none, span(), short]), "nobody", LIMIT);
    assert_eq!((encoded.invalid, spans_in(&encoded).len()), (2, 1));
}
