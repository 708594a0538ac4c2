//! What a reader finds in a request, against what prost does.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay_otlp::traces::validate_and_index;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use prost::Message;

use super::support::{id, root, span, text, with};
use crate::{PolicyConfig, Reader, SamplerConfig, Shard, compile};

fn reader() -> Reader {
    let policies = r#"[{"name": "important", "type": "string_attribute",
        "string_attribute": {"key": "task.priority", "values": ["critical"]}}]"#;
    let policies: Vec<PolicyConfig> = serde_json::from_str(policies).unwrap();
    Reader::new(&SamplerConfig::default(), Arc::new(compile(&policies).unwrap()), 1)
}

fn any_span() -> impl Strategy<Value = Span> {
    let trace = prop_oneof![4 => 0..4_u64, 1 => 0..200_u64];
    let priority = prop::sample::select(vec![None, Some("critical"), Some("low"), Some("odd"), Some("")]);
    (trace, 0..50_u64, any::<bool>(), priority, 0..40_usize).prop_map(
        |(trace, number, is_root, priority, pad)| {
            let plain = if is_root { root(trace) } else { span(trace, number) };
            let padded = with(plain, "padding", text(&"x".repeat(pad * 10)));
            let start = 1_000 + number;
            let timed = Span { start_time_unix_nano: start, end_time_unix_nano: start + trace, ..padded };
            let mut span = priority.map_or(timed.clone(), |value| with(timed, "task.priority", text(value)));
            if pad == 39 {
                span.trace_id.pop();
            }
            span
        },
    )
}

fn any_request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = prop::collection::vec(any_span(), 0..40).prop_map(|spans| ScopeSpans {
        spans,
        schema_url: "scope".to_owned(),
        ..Default::default()
    });
    let resource = prop::collection::vec(scope, 0..3).prop_map(|scope_spans| ResourceSpans {
        scope_spans,
        schema_url: "resource".to_owned(),
        ..Default::default()
    });
    let resources = prop::collection::vec(resource, 0..3);
    resources.prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// The highest rank of a trace's spans in a scope, and the first value that is not in the order.
fn priorities(spans: &[&Span]) -> (u8, Option<Vec<u8>>) {
    let order = SamplerConfig::default().priority;
    let values: Vec<Vec<u8>> = spans
        .iter()
        .filter_map(|span| {
            let attribute = span.attributes.iter().find(|attribute| attribute.key == "task.priority")?;
            match attribute.value.as_ref()?.value.as_ref()? {
                super::support::Value::StringValue(text) => Some(text.clone().into_bytes()),
                _ => None,
            }
        })
        .collect();
    let rank = values.iter().filter_map(|value| order.rank(value)).min();
    let odd = values.into_iter().find(|value| order.rank(value).is_none());
    (rank.unwrap_or(u8::MAX), odd)
}

proptest! {
    #[test]
    fn runs_are_the_traces_of_each_scope(
        requests in prop::collection::vec(any_request(), 1..4),
        indexed in any::<bool>(),
    ) {
        // One reader for all: nothing of a request is left in the next.
        let mut reader = reader();
        for request in requests {
            let bytes = request.encode_to_vec();
            let index = indexed.then(|| validate_and_index(&bytes).unwrap().1.unwrap());
            let reading = reader.read(&bytes, index.as_ref());
            let mut groups = reading.found.groups.iter();
            let mut invalid = 0_u64;
            for (resource, resource_spans) in (1..).zip(&request.resource_spans) {
                for scope_spans in &resource_spans.scope_spans {
                    if scope_spans.spans.iter().all(|span| span.trace_id.len() != 16) {
                        invalid += scope_spans.spans.len() as u64;
                        continue;
                    }
                    let group = groups.next().unwrap();
                    prop_assert_eq!(group.resource, resource);
                    prop_assert_eq!(reading.resource_header(group), b"\x1a\x08resource");
                    prop_assert_eq!(reading.scope_header(group), b"\x1a\x05scope");
                    let mut expected: BTreeMap<&[u8], Vec<&Span>> = BTreeMap::new();
                    let mut order = Vec::new();
                    for span in &scope_spans.spans {
                        if span.trace_id.len() != 16 {
                            invalid += 1;
                            continue;
                        }
                        if !expected.contains_key(&span.trace_id[..]) {
                            order.push(&span.trace_id[..]);
                        }
                        expected.entry(&span.trace_id).or_default().push(span);
                    }
                    let runs = reading.runs(group);
                    prop_assert!(runs.iter().map(|run| &run.id[..]).eq(order));
                    for run in runs {
                        let spans = &expected[&run.id[..]];
                        let bodies: Vec<Vec<u8>> = spans.iter().map(|span| span.encode_to_vec()).collect();
                        prop_assert!(reading.spans(run).map(|(span, _)| span.bytes()).eq(bodies.iter().map(|body| &body[..])));
                        let fields: usize = reading.fields(run).map(<[u8]>::len).sum();
                        prop_assert_eq!(fields, run.fields as usize);
                        prop_assert!(reading.fields(run).zip(&bodies).all(|(field, body)| field.ends_with(body) && field[0] == 0x12));
                        prop_assert_eq!(run.spans as usize, spans.len());
                        prop_assert_eq!(run.bytes as usize, bodies.iter().map(Vec::len).sum::<usize>());
                        let start = spans.iter().map(|span| span.start_time_unix_nano).min().unwrap();
                        let end = spans.iter().map(|span| span.end_time_unix_nano).max().unwrap();
                        prop_assert_eq!((run.facts.start, run.facts.end), (start, end));
                        let (rank, odd) = priorities(spans);
                        prop_assert_eq!(run.rank, rank);
                        prop_assert_eq!(reading.odd_priority(run), odd.as_deref());
                        prop_assert_eq!(run.facts.matched.contains(0), rank == 0);
                        let root = spans.iter().find(|span| span.parent_span_id.is_empty());
                        prop_assert_eq!(reading.root_name(run), root.map(|root| root.name.as_bytes()));
                    }
                }
            }
            prop_assert!(groups.next().is_none());
            prop_assert_eq!(reading.found.invalid, invalid);
        }
    }
}

#[test]
fn a_request_concerns_the_shards_of_its_traces() {
    let mut reader = reader();
    for trace in 0..50 {
        let scope_spans = vec![ScopeSpans { spans: vec![span(trace, 1)], ..Default::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..Default::default() }];
        let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let owner = Shard::index_of(&id(trace), 3, 1);
        for index in 0..3 {
            assert_eq!(reader.read(&bytes, None).concerns(Shard { index, count: 3 }), index == owner);
        }
    }
}

#[test]
fn a_huge_request_leaves_little_behind() {
    let mut reader = reader();
    let spans = (0..100_000).map(|number| span(number / 2, number)).collect();
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..Default::default() }];
    let huge = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    assert_eq!(reader.read(&huge, None).found.runs.len(), 50_000);
    assert!(reader.memory() > 4 << 20);
    reader.read(&[], None);
    assert!(reader.memory() < 1 << 20, "{}", reader.memory());
}
